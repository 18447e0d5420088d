"""Every setting: its default, its kind, and the contradictions that are refused at start-up.

A :class:`Settings` object that exists is sound. However it is made (keywords, the
environment, ``app.config``, Django's settings, ``dataclasses.replace``), each value is
read by its field's kind (:mod:`jwt_middleware.setting_kinds`), the whole is held against
the rules below, and everything that is wrong is reported at once.
"""

from __future__ import annotations

import hmac
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from datetime import datetime, timedelta
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import (
    Any,
    Literal,
    NamedTuple,
    Self,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    get_args,
)

from . import setting_kinds as kinds
from . import simplejwt
from .claims import RESERVED
from .errors import ConfigurationError
from .issuers import Issuer, discoverable
from .key_files import (
    Keys,
    KeyText,
    file_content,
    is_written_out,
    key_texts,
    own_keys,
    private_keys,
    public_keys,
)
from .keys import ASYMMETRIC, HASH_BYTES, REFRESH_ALGORITHM, make_a_key
from .legacy import LegacyTokens
from .request import below
from .rules import Rule
from .sessions import AsyncSessionStore, SessionStore
from .setting_kinds import Unfit

T = TypeVar("T")

HashAlgorithm: TypeAlias = Literal["HS256", "HS384", "HS512"]
KeyAlgorithm: TypeAlias = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]  # fmt: skip
Algorithm: TypeAlias = HashAlgorithm | KeyAlgorithm
Location: TypeAlias = Literal["headers", "cookies"]
SameSite: TypeAlias = Literal["Lax", "Strict", "None"]
ReissueReason: TypeAlias = Literal["missing", "expired", "invalid"]
CheckSession: TypeAlias = Literal["never", "always"]
CsrfMode: TypeAlias = Literal["origin", "double-submit", "off"]
Store: TypeAlias = str | SessionStore | AsyncSessionStore
Duration: TypeAlias = float | timedelta | str
"""Seconds, a timedelta, or a string like "900", "15m", "12h", "30d"."""

DISCOVER = "discover"
"""In place of a ``jwks_url``: the issuer's configuration names it (OpenID Connect Discovery)."""

ALGORITHMS: tuple[Algorithm, ...] = (*get_args(HashAlgorithm), *get_args(KeyAlgorithm))

LOCATIONS: tuple[Location, ...] = ("headers", "cookies")
SAME_SITE: tuple[SameSite, ...] = ("Lax", "Strict", "None")
REISSUE_REASONS: tuple[ReissueReason, ...] = ("missing", "expired", "invalid")
CHECKS: tuple[CheckSession, ...] = ("never", "always")
CSRF_MODES: tuple[CsrfMode, ...] = ("origin", "double-submit", "off")
RESERVED_CLAIMS = RESERVED - {"sub"}
"""What no identity, role or scope can be read from: it means something else already."""

MINUTE, HOUR, DAY = 60, 3600, 86_400
"""In seconds."""


class UnknownSettingWarning(UserWarning):
    """A configuration shared with others has a name with our prefix that is no setting."""


class RiskyTimesWarning(UserWarning):
    """These durations work, but answers that overtake each other may cost a reissue."""


class SettingsKeywords(TypedDict, total=False):
    """The settings as keyword arguments, with the types each one accepts."""

    secret_key: str | bytes | None
    previous_secret_keys: Sequence[str | bytes] | str
    algorithm: Algorithm
    private_key: Keys | Sequence[KeyText]
    public_keys: Keys | Sequence[KeyText]
    keys_reload: Duration | None
    jwks_url: str | None
    jwks_max_stale: Duration
    jwks_timeout: Duration
    jwks_loopback_http: bool
    issuers: Sequence[Issuer] | str
    legacy_tokens: LegacyTokens | None
    encryption_key: str | bytes | None
    previous_encryption_keys: Sequence[str | bytes] | str
    accept_unencrypted: bool
    token_location: Sequence[Location] | str
    header_name: str
    header_type: str
    access_cookie_name: str | None
    refresh_cookie_name: str | None
    refresh_header_name: str
    access_response_header: str
    show_access_token: bool
    cookie_secure: bool
    cookie_httponly: bool
    cookie_samesite: SameSite
    cookie_domain: str | None
    cookie_path: str
    cookie_partitioned: bool
    access_token_expires: Duration
    refresh_token_expires: Duration
    session_lifetime: Duration
    session_cookie_expires: Duration
    rotation_grace: Duration
    lost_response_window: Duration | None
    reissue_on: Sequence[ReissueReason] | str
    renew_refresh: bool
    reissue_within: Duration
    required: bool
    public_paths: Sequence[str]
    ignore_paths: Sequence[str]
    rules: Sequence[Rule]
    check_session: CheckSession | Duration
    issuer: str | None
    audience: Sequence[str] | None
    leeway: Duration
    required_claims: Sequence[str]
    max_token_length: int
    identity_claim: str
    roles_claim: str
    scopes_claim: str
    csrf: CsrfMode
    trusted_origins: Sequence[str]
    csrf_exempt_paths: Sequence[str]
    csrf_cookie_name: str | None
    csrf_header_name: str
    csrf_field_name: str
    websocket_close_on_expiry: bool
    websocket_check_every: Duration | None
    websocket_query_param: str | None
    session_store: Store
    store_timeout: Duration
    max_sessions_per_subject: int | None
    refresh_path: str | None
    logout_path: str | None
    jwks_path: str | None
    refresh_cookie_path: str | None
    token_cache_size: int
    login_url: str | None


def _setting(
    kind: kinds.Kind[T],
    default: object,
    help_text: str,
    *,
    hidden: bool = False,
    followed: bool = False,
) -> T:
    """A field: how its value is read, what it is when left alone, and what it means.

    ``default`` is a value the kind would return. ``hidden`` settings are secrets: never
    shown, and readable from a file; ``followed``: a file that may change later.
    """
    metadata = {"kind": kind, "help": help_text, "secret": hidden, "followed": followed}
    return cast(T, field(default=default, repr=not hidden, metadata=metadata))


def _store(value: object) -> Store:
    """A store's URL, "none", or an object with a store's verbs. Opens nothing."""
    from .stores import check_store  # a plug: looked at only when it is configured

    if isinstance(value, bytes):  # the content of a file
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        value = "none" if value.strip().lower() == "none" else value.strip()
    if fault := check_store(value):
        raise Unfit(fault.removeprefix("session_store").lstrip(": "))  # our reports begin with it
    return cast(Store, value)


def _secret(value: object) -> bytes | None:
    """A secret, or None for a process that only verifies; the rules say whether it may."""
    return None if value is None else kinds.secret(value)


def _encryption_key(value: object) -> bytes | None:
    """None is the only way to none: an empty variable must not turn encryption off."""
    return None if value is None else kinds.encryption_key(value)


def _access_rules(value: object) -> tuple[Rule, ...]:
    """Rules, which are made in code; no two of them for one path and method."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise Unfit('is no list of rules; write rules=[Rule("/admin", roles={"admin"})] in code')
    for item in cast("Sequence[object]", value):
        if not isinstance(item, Rule):
            raise Unfit(f"holds {kinds.shown(item)}, which is no Rule")
    rules = tuple(cast("Sequence[Rule]", value))
    for one, other in combinations(rules, 2):
        if one.overlaps(other):
            raise Unfit(f"has two rules for {one.path} that are for the same methods; join them")
    return rules


def _jwks_url(value: object) -> str:
    """A URL, or "discover" for the one that the issuer's configuration names."""
    return DISCOVER if value == DISCOVER else kinds.key_url(value)


def _legacy(value: object) -> LegacyTokens:
    if isinstance(value, LegacyTokens):
        return value
    raise Unfit(f"is {kinds.shown(value)}; give LegacyTokens.flask_jwt_extended(...), in code")


def _issuers(value: object) -> tuple[Issuer, ...]:
    """A list of `Issuer`, each named once; as text, a JSON array of their parameters."""
    if isinstance(value, str):
        value = _written_issuers(value)
    if not isinstance(value, list | tuple):
        raise Unfit(f"is {kinds.shown(value)}; give a list of Issuer(...), in code")
    listed = cast("Sequence[object]", value)
    for item in listed:
        if not isinstance(item, Issuer):
            raise Unfit(f"holds {kinds.shown(item)}; give Issuer(...) objects")
    issuers = tuple(cast("Sequence[Issuer]", listed))
    if len({issuer.url for issuer in issuers}) < len(issuers):
        raise Unfit("names an issuer twice; give it once, with all that is true of it")
    return issuers


def _written_issuers(text: str) -> list[Issuer]:
    """Issuers in JSON, which can say everything but functions and objects."""
    if not text.strip():
        return []
    form = """write JSON: [{"url": "https://login.example.com", "audience": "api"}]"""
    try:
        listed: Any = json.loads(text)
        return [Issuer(**parameters) for parameters in listed]
    except ConfigurationError as error:
        raise Unfit("; ".join(error.faults)) from None
    except (TypeError, ValueError, RecursionError):
        raise Unfit(f"is no list of Issuer parameters; {form}") from None


@dataclass(init=False, frozen=True, kw_only=True)
class Settings:
    """How the middleware behaves. Durations are seconds, sequences tuples, secrets bytes.

    Raises :class:`ConfigurationError`, with every fault, for names that do not exist and
    for values that are wrong, contradict each other, would have no effect or be unsafe.
    """

    secret_key: bytes | None = _setting(
        _secret,
        None,
        "Signs access tokens (HS*) and, by a derived key, refresh tokens; needed to issue.",
        hidden=True,
    )
    previous_secret_keys: tuple[bytes, ...] = _setting(
        kinds.by_line(kinds.secret),
        (),
        "Secrets that still verify while a new one takes over; one a line in text.",
        hidden=True,
    )
    algorithm: Algorithm = _setting(
        kinds.one_of(ALGORITHMS), "HS256", "The signature algorithm of access tokens."
    )
    private_key: tuple[KeyText, ...] = _setting(
        key_texts,
        (),
        "Signs access tokens by an asymmetric algorithm; of several the first, the newest.",
        hidden=True,
        followed=True,
    )
    public_keys: tuple[KeyText, ...] = _setting(
        key_texts,
        (),
        "More keys that verify our own access tokens: of other nodes, or of a roll-over.",
        hidden=True,
        followed=True,
    )
    keys_reload: float | None = _setting(
        kinds.optional(kinds.duration()),
        None,
        "Looks at the files of keys again after so long; None: they are read once.",
    )
    jwks_url: str | None = _setting(
        kinds.optional(_jwks_url),
        None,
        'Where the keys of issuer are published, for a process that only verifies; "discover".',
    )
    jwks_max_stale: float = _setting(
        kinds.duration(zero=True),
        HOUR,
        "How long published keys stay in use past their life while newer ones cannot be had.",
    )
    jwks_timeout: float = _setting(
        kinds.duration(most=15), 5, "How long a server that publishes keys may take in all."
    )
    jwks_loopback_http: bool = _setting(
        kinds.flag, False, "Fetches keys by http from this machine, too; for development."
    )
    issuers: tuple[Issuer, ...] = _setting(
        _issuers, (), "Others whose access tokens are accepted, each on its own terms."
    )
    legacy_tokens: LegacyTokens | None = _setting(
        kinds.optional(_legacy),
        None,
        "Access tokens of the package used before, accepted until they expire.",
    )
    encryption_key: bytes | None = _setting(
        _encryption_key,
        None,
        "Encrypts our own tokens, once they are signed: 32 bytes, in text as base64url.",
        hidden=True,
    )
    previous_encryption_keys: tuple[bytes, ...] = _setting(
        kinds.by_line(kinds.encryption_key),
        (),
        "Keys that still decrypt, or already do, while another encrypts; one a line in text.",
        hidden=True,
    )
    accept_unencrypted: bool = _setting(
        kinds.flag, False, "Our own tokens count without encryption, too: while it is rolled out."
    )
    token_location: tuple[Location, ...] = _setting(
        kinds.some_of(LOCATIONS, least=1),
        LOCATIONS,
        "Where tokens travel; the first that holds any of ours is the request's channel.",
    )
    header_name: str = _setting(
        kinds.header_name, "Authorization", "The request header that carries the access token."
    )
    header_type: str = _setting(
        kinds.scheme, "Bearer", "The scheme in front of the token; empty for a bare token."
    )
    access_cookie_name: str | None = _setting(
        kinds.optional(kinds.token), None, "The access cookie's exact name; None: a safe one."
    )
    refresh_cookie_name: str | None = _setting(
        kinds.optional(kinds.token), None, "The refresh cookie's exact name; None: a safe one."
    )
    refresh_header_name: str = _setting(
        kinds.header_name, "X-Refresh-Token", "Carries the refresh token, there and back."
    )
    access_response_header: str = _setting(
        kinds.header_name, "X-Access-Token", "The response header of a new access token."
    )
    show_access_token: bool = _setting(
        kinds.flag,
        False,
        "Shows the app a good access token in header_name, for services behind it.",
    )
    cookie_secure: bool = _setting(
        kinds.flag, True, "Cookies travel over https only; False for plain-http development."
    )
    cookie_httponly: bool = _setting(kinds.flag, True, "Hides the cookies from JavaScript.")
    cookie_samesite: SameSite = _setting(
        kinds.one_of(SAME_SITE), "Lax", "Which cross-site requests carry the cookies."
    )
    cookie_domain: str | None = _setting(
        kinds.optional(kinds.cookie_domain), None, "The cookies' Domain; None: this host alone."
    )
    cookie_path: str = _setting(kinds.cookie_path, "/", "The cookies' Path.")
    cookie_partitioned: bool = _setting(
        kinds.flag, False, "Keeps the cookies apart by embedding site (CHIPS)."
    )
    access_token_expires: float = _setting(
        kinds.duration(), 15 * MINUTE, "The life of an access token."
    )
    refresh_token_expires: float = _setting(
        kinds.duration(), 30 * DAY, "The idle limit of a session: each rotation moves it."
    )
    session_lifetime: float = _setting(
        kinds.duration(), 90 * DAY, "The absolute limit of a session; it caps the others."
    )
    session_cookie_expires: float = _setting(
        kinds.duration(), 12 * HOUR, "The idle limit of a login with remember=False."
    )
    rotation_grace: float = _setting(
        kinds.duration(zero=True),
        2 * MINUTE,
        "How long siblings of a rotated request are welcome; longer than proxies queue.",
    )
    lost_response_window: float | None = _setting(
        kinds.optional(kinds.duration(zero=True)),
        None,
        "How long an unconfirmed rotation can be repeated; None: the presented token's life.",
    )
    reissue_on: tuple[ReissueReason, ...] = _setting(
        kinds.some_of(REISSUE_REASONS),
        REISSUE_REASONS,
        "What may be the matter with an access token that a refresh token replaces.",
    )
    renew_refresh: bool = _setting(
        kinds.flag, True, "Renews an expired refresh token beside a valid access token."
    )
    reissue_within: float = _setting(
        kinds.duration(zero=True), 0, "Reissues when the access token has less left than this."
    )
    required: bool = _setting(kinds.flag, False, "Answers 401 where nobody is signed in.")
    public_paths: tuple[str, ...] = _setting(
        kinds.several(kinds.rule_path), (), "Where required=True does not apply."
    )
    ignore_paths: tuple[str, ...] = _setting(
        kinds.several(kinds.rule_path), (), "Where the middleware reads and sends nothing."
    )
    rules: tuple[Rule, ...] = _setting(
        _access_rules, (), "What is asked on which paths: Rule objects, the most specific counts."
    )
    check_session: CheckSession | float = _setting(
        kinds.either(kinds.one_of(CHECKS), kinds.duration()),
        "never",
        "Whether the store vouches for valid tokens, too: always, or after so many seconds.",
    )
    issuer: str | None = _setting(
        kinds.optional(kinds.text), None, "The iss of issued and accepted tokens."
    )
    audience: tuple[str, ...] = _setting(
        kinds.one_or_several(kinds.text), (), "Accepted aud values; the first one is issued."
    )
    leeway: float = _setting(
        kinds.duration(most=5 * MINUTE, zero=True), 0, "How long past its exp a token counts."
    )
    required_claims: tuple[str, ...] = _setting(
        kinds.several(kinds.text), (), "Claims that every access token must have."
    )
    max_token_length: int = _setting(
        kinds.whole_number(256, 65_536), 8192, "The longest token, in characters."
    )
    identity_claim: str = _setting(
        kinds.claim_name(reserved=RESERVED_CLAIMS), "sub", "The claim that names the subject."
    )
    roles_claim: str = _setting(
        kinds.claim_name(reserved=RESERVED_CLAIMS), "roles", "The claim that lists the roles."
    )
    scopes_claim: str = _setting(
        kinds.claim_name(reserved=RESERVED_CLAIMS), "scope", "The claim that lists the scopes."
    )
    csrf: CsrfMode = _setting(
        kinds.one_of(CSRF_MODES), "origin", "How cross-site requests with cookies are found."
    )
    trusted_origins: tuple[str, ...] = _setting(
        kinds.several(kinds.origin), (), "Other origins whose requests may carry cookies."
    )
    csrf_exempt_paths: tuple[str, ...] = _setting(
        kinds.several(kinds.rule_path), (), "Where cross-site requests are not refused."
    )
    csrf_cookie_name: str | None = _setting(
        kinds.optional(kinds.token), None, "The CSRF cookie's exact name; None: a safe one."
    )
    csrf_header_name: str = _setting(
        kinds.header_name, "X-CSRF-Token", "The request header in which scripts send the token."
    )
    csrf_field_name: str = _setting(
        kinds.token, "csrf_token", "The form field in which pages without scripts send it."
    )
    websocket_close_on_expiry: bool = _setting(
        kinds.flag, True, "Closes an open WebSocket when its access token ends."
    )
    websocket_check_every: float | None = _setting(
        kinds.optional(kinds.duration()),
        None,
        "How often check_session asks about an open WebSocket; None: after its own seconds.",
    )
    websocket_query_param: str | None = _setting(
        kinds.optional(kinds.query_name),
        None,
        "Where in the query a WebSocket handshake may carry its access token; None: nowhere.",
    )
    session_store: Store = _setting(
        _store,
        "sqlite:///jwt-sessions.sqlite3",
        'Where sessions are kept: a URL, an object, or "none" for stateless tokens.',
        hidden=True,
    )
    store_timeout: float = _setting(
        kinds.duration(), 2, "The longest a store opened by its URL may take over a call."
    )
    max_sessions_per_subject: int | None = _setting(
        kinds.optional(kinds.whole_number(1, 100_000)),
        None,
        "How many sessions a subject may have; a new one ends the oldest. None: any number.",
    )
    refresh_path: str | None = _setting(
        kinds.optional(kinds.rule_path),
        None,
        "Where POST renews the tokens ahead of time, answered by the middleware.",
    )
    logout_path: str | None = _setting(
        kinds.optional(kinds.rule_path), None, "Where POST signs out, answered by the middleware."
    )
    jwks_path: str | None = _setting(
        kinds.optional(kinds.rule_path),
        None,
        "Where GET finds our public keys as a JWK Set, answered by the middleware.",
    )
    refresh_cookie_path: str | None = _setting(
        kinds.optional(kinds.cookie_path),
        None,
        "The Path of the refresh cookie, if not cookie_path: at refresh_path, no silent reissue.",
    )
    token_cache_size: int = _setting(
        kinds.whole_number(0, 1_000_000), 4096, "How many verified tokens a process remembers."
    )
    login_url: str | None = _setting(
        kinds.optional(kinds.sign_in_url), None, "Where required=True sends browsers to sign in."
    )

    # ── Making one ───────────────────────────────────────────────────────────────

    def __init__(self, **settings: Unpack[SettingsKeywords]) -> None:
        self._settle(_from_code(settings))

    @classmethod
    def from_env(
        cls,
        prefix: str = "JWT_",
        environ: Mapping[str, str] | None = None,
        **keywords: Unpack[SettingsKeywords],
    ) -> Self:
        """From ``environ`` (``os.environ`` unless given); keywords win over variables.

        A variable with the prefix that is no setting is a fault. Each secret may also be
        the content of a file whose path is in a variable that ends in ``_FILE``.
        """
        source = os.environ if environ is None else environ
        self = cls.__new__(cls)
        self._settle(
            _unknown_in(source, prefix) | _from_names(source, prefix) | _from_code(keywords)
        )
        return self

    @classmethod
    def from_mapping(
        cls,
        mapping: Mapping[str, object],
        prefix: str = "JWT_",
        environ: Mapping[str, str] | None = None,
        **keywords: Unpack[SettingsKeywords],
    ) -> Self:
        """From a configuration shared with others, such as Flask's ``app.config``.

        A name with the prefix that is no setting warns (:class:`UnknownSettingWarning`).
        What neither keywords nor mapping set is looked for in ``environ`` (``os.environ``
        unless given), where unknown names are left alone.
        """
        _warn_of_unknown(mapping, prefix)
        self = cls.__new__(cls)
        self._settle(_layers(mapping, prefix, environ, keywords))
        return self

    @classmethod
    def from_object(
        cls,
        obj: object,
        prefix: str = "JWT_",
        environ: Mapping[str, str] | None = None,
        **keywords: Unpack[SettingsKeywords],
    ) -> Self:
        """From upper-case attributes, such as those of Django's settings; else as a mapping."""
        names = [name for name in dir(obj) if name.startswith(prefix) and name.isupper()]
        mapping = {name: getattr(obj, name) for name in names}
        _warn_of_unknown(mapping, prefix)
        self = cls.__new__(cls)
        self._settle(_layers(mapping, prefix, environ, keywords))
        return self

    @classmethod
    def from_simplejwt(
        cls,
        simple_jwt: Mapping[str, Any],
        *,
        until: datetime | None = None,
        environ: Mapping[str, str] | None = None,
        **keywords: Unpack[SettingsKeywords],
    ) -> Self:
        """From the ``SIMPLE_JWT`` of djangorestframework-simplejwt; keywords win over it.

        A key that would be missed is refused; one that means nothing here is named in a warning
        (:class:`UnknownSettingWarning`). What ``SIMPLE_JWT`` leaves out is as it was there. Its
        ``SIGNING_KEY`` never signs our tokens: ``secret_key`` is a new one, as a keyword or
        from ``environ`` (``os.environ`` unless given).

        ``until``: access tokens that simplejwt has issued are accepted, if they have not expired,
        up to that moment, an aware datetime (see :class:`LegacyTokens`).
        """
        moved = simplejwt.moved(simple_jwt, until)
        if moved.notes:
            text = "in SIMPLE_JWT, without a meaning here: " + "; ".join(moved.notes)
            warnings.warn(text, UnknownSettingWarning, stacklevel=2)
        carried = {name: _Given(value, key) for name, (value, key) in moved.settings.items()}
        below = _from_names(os.environ if environ is None else environ, "JWT_")
        self = cls.__new__(cls)
        self._settle(below | carried | _from_code(keywords), moved.faults)
        return self

    def _settle(self, given: Mapping[str, _Given], known_faults: Sequence[str] = ()) -> None:
        """The one way to settings: read every value, apply every rule, report every fault."""
        faults = list(known_faults)
        faults += [_unknown(name, value) for name, value in given.items() if name not in _FIELDS]
        broken: set[str] = set()
        given = _without_sessions(given)
        for name, item in _FIELDS.items():
            try:
                object.__setattr__(self, name, _read(item, given.get(name)))
            except Unfit as unfit:
                broken.add(name)
                faults.append(f"{name}{_origin(given.get(name))}: {unfit}")
        for rule in _RULES:
            if broken.isdisjoint(rule.reads):
                faults.extend(rule.check(self))
        if faults:
            raise ConfigurationError(faults)
        _warn_of_risky_times(self)

    # ── What follows from them ───────────────────────────────────────────────────

    @property
    def secret_keys(self) -> tuple[bytes, ...]:
        """All secrets, the one that signs first; none in a process that only verifies."""
        return () if self.secret_key is None else (self.secret_key, *self.previous_secret_keys)

    @property
    def encryption_keys(self) -> tuple[bytes, ...]:
        """All keys that decrypt; `encryption_key`, if there is one, comes first."""
        newest = () if self.encryption_key is None else (self.encryption_key,)
        return (*newest, *self.previous_encryption_keys)

    @property
    def stateless(self) -> bool:
        """No session is stored: refresh tokens carry what a row would hold."""
        return self.session_store == "none"

    @property
    def access_cookie(self) -> str:
        """The access cookie's name in effect."""
        return self.access_cookie_name or f"{self._prefix(self.cookie_path)}access_token"

    @property
    def refresh_cookie(self) -> str:
        """The refresh cookie's name in effect."""
        path = self.refresh_cookie_path or self.cookie_path
        return self.refresh_cookie_name or f"{self._prefix(path)}refresh_token"

    @property
    def csrf_cookie(self) -> str:
        """The CSRF cookie's name in effect, where there is one."""
        return self.csrf_cookie_name or f"{self._prefix(self.cookie_path)}csrf_token"

    def _prefix(self, path: str) -> str:
        """``__Host-`` wherever browsers keep such a cookie (RFC 6265bis section 4.1.3.2)."""
        host_only = self.cookie_secure and path == "/" and self.cookie_domain is None
        return "__Host-" if host_only else ""


_FIELDS: Mapping[str, Field[Any]] = {item.name: item for item in fields(Settings)}


def _is_changed(settings: Settings, name: str) -> bool:
    """Whether a setting differs from its default."""
    return bool(getattr(settings, name) != _FIELDS[name].default)


# ── Sources ──────────────────────────────────────────────────────────────────────


class _SecretFile(NamedTuple):
    """Stands for the content of a file, which is read only if no nearer source has a value."""

    path: object
    rival: str | None
    """The name under which the same source gives the secret itself, if it does."""


class _Given(NamedTuple):
    """A value, and the name it was written under where that is not the setting's own."""

    value: object
    written_as: str | None = None
    prefix: str = ""


def _from_code(keywords: SettingsKeywords) -> dict[str, _Given]:
    return {name: _Given(value) for name, value in keywords.items()}


def _layers(
    mapping: Mapping[str, object],
    prefix: str,
    environ: Mapping[str, str] | None,
    keywords: SettingsKeywords,
) -> dict[str, _Given]:
    """Keywords over the mapping over the environment."""
    below = _from_names(os.environ if environ is None else environ, prefix)
    return below | _from_names(mapping, prefix) | _from_code(keywords)


def _from_names(source: Mapping[str, object], prefix: str) -> dict[str, _Given]:
    """What a source says about our settings, whose names it writes as ``JWT_SECRET_KEY``."""
    given: dict[str, _Given] = {}
    for name, item in _FIELDS.items():
        plain, in_file = _spellings(name, prefix)
        if in_file in source and item.metadata["secret"]:
            file = _SecretFile(source[in_file], plain if plain in source else None)
            given[name] = _Given(file, in_file, prefix)
        elif plain in source:
            given[name] = _Given(source[plain], plain, prefix)
    return given


def _spellings(name: str, prefix: str) -> tuple[str, str]:
    plain = f"{prefix}{name.upper()}"
    return plain, f"{plain}_FILE"


def _content(file: _SecretFile) -> bytes:
    """The bytes of a file without the newline at their end. Raises :class:`Unfit`."""
    if file.rival:
        raise Unfit(f"{file.rival} is set as well; keep one of the two")
    if not isinstance(file.path, str | Path):
        raise Unfit("is no path; name a file that holds the secret")
    content = file_content(file.path)
    return content.removesuffix(b"\n").removesuffix(b"\r")


def _unknown_in(source: Mapping[str, object], prefix: str) -> dict[str, _Given]:
    """What a source writes with our prefix though it is no setting; values left behind."""
    known = {
        spelling
        for name, item in _FIELDS.items()
        for spelling in _spellings(name, prefix)[: 2 if item.metadata["secret"] else 1]
    }
    strange = [name for name in source if name.startswith(prefix) and name not in known]
    return {name: _Given(None, name, prefix) for name in strange}


_ELSEWHERE: Mapping[str, str | None] = {
    "cookie_csrf_protect": "csrf",
    "access_cookie_path": "cookie_path",
    "session_cookie": None,
    "session_tracking": None,
    "csrf_methods": None,
    "csrf_in_cookies": None,
    "csrf_check_form": None,
    "query_string_name": None,
    "json_key": None,
}
"""What settings of flask-jwt-extended and AuthX are here, where the nearest name of ours, if any,
is for something else."""


def _unknown(name: str, given: _Given) -> str:
    """The fault for a name that is no setting, with the one that was probably meant."""
    written = name.removeprefix(given.prefix).lower()
    meant = _ELSEWHERE[written] if written in _ELSEWHERE else _nearest(written)
    hint = "see the list of settings"
    if meant is not None:
        hint = f"did you mean {_spellings(meant, given.prefix)[0] if given.prefix else meant}?"
    elif written in _ELSEWHERE:
        hint = "what becomes of another package's settings is in docs/migrate"
    return f"{name}: there is no such setting; {hint}"


def _nearest(name: str) -> str | None:
    import difflib  # only for whoever made a mistake

    return next(iter(difflib.get_close_matches(name, _FIELDS, n=1)), None)


def _warn_of_unknown(source: Mapping[str, object], prefix: str) -> None:
    for name, given in _unknown_in(source, prefix).items():
        warnings.warn(_unknown(name, given), UnknownSettingWarning, stacklevel=3)


def _without_sessions(given: Mapping[str, _Given]) -> Mapping[str, _Given]:
    """A process that only verifies keeps no sessions, unless a store is named."""
    secret = given.get("secret_key")
    only_verifies = (secret is None or secret.value is None) and not given.keys().isdisjoint(
        ("public_keys", "jwks_url", "issuers")
    )
    if "session_store" in given or not only_verifies:
        return given
    return {**given, "session_store": _Given("none")}


def _origin(given: _Given | None) -> str:
    return f" (from {given.written_as})" if given and given.written_as else ""


def _read(item: Field[Any], given: _Given | None) -> object:
    """A field's value as given, or else its default. Raises :class:`Unfit`."""
    if given is None:
        return item.default
    value = given.value
    kind: kinds.Kind[object] = item.metadata["kind"]
    if not isinstance(value, _SecretFile):
        if item.metadata["followed"] and given.prefix:
            _check_written_out(value, given.written_as)
        return kind(value)
    content = _content(value)
    return kind(KeyText(content, Path(str(value.path))) if item.metadata["followed"] else content)


def _check_written_out(value: object, name: str | None) -> None:
    """A file's name where the key itself belongs. Raises :class:`Unfit`."""
    if isinstance(value, str) and value and not is_written_out(value):
        raise Unfit(
            'is no key: give PEM text ("-----BEGIN …"), a JWK or a JWK Set, or name a file that '
            f"holds one in {name}_FILE"
        )


# ── Rules: settings that contradict each other ───────────────────────────────────

_Check: TypeAlias = Callable[[Settings], Iterator[str]]


class _Rule(NamedTuple):
    """Judges settings together, unless one of those it reads is broken on its own."""

    reads: frozenset[str]
    check: _Check


_RULES: list[_Rule] = []


def _rule(*reads: str) -> Callable[[_Check], _Check]:
    """Makes a rule of a check that looks at the settings ``reads`` and at no others."""

    def add(check: _Check) -> _Check:
        _RULES.append(_Rule(frozenset(reads), check))
        return check

    return add


@_rule(
    *("secret_key", "previous_secret_keys", "private_key"),
    *("public_keys", "jwks_url", "issuers"),
)
def _has_a_key(settings: Settings) -> Iterator[str]:
    if settings.secret_key is not None:
        return
    if settings.private_key:
        yield f"secret_key: is missing: refresh tokens need one, too; make it: {kinds.MAKE_ONE}"
    elif settings.previous_secret_keys or not (
        settings.public_keys or settings.jwks_url or settings.issuers
    ):
        yield f"secret_key: is missing; make one with: {kinds.MAKE_ONE}"


@_rule("secret_key", "algorithm")
def _secret_is_long(settings: Settings) -> Iterator[str]:
    if settings.secret_key is not None:
        yield from _too_short("secret_key", settings.secret_key, settings.algorithm)


@_rule("previous_secret_keys", "algorithm")
def _previous_secrets_are_long(settings: Settings) -> Iterator[str]:
    for key in settings.previous_secret_keys:
        yield from _too_short("previous_secret_keys", key, settings.algorithm)


def _too_short(name: str, key: bytes, algorithm: Algorithm) -> Iterator[str]:
    hashed = algorithm if algorithm in HASH_BYTES else REFRESH_ALGORITHM
    least = HASH_BYTES[hashed]
    if len(key) < least:
        yield (
            f"{name}: {hashed} needs at least {least} bytes (RFC 7518 section 3.2), "
            f"not {len(key)}; make one with: {kinds.MAKE_ONE}"
        )


@_rule("secret_key", "previous_secret_keys")
def _secrets_differ(settings: Settings) -> Iterator[str]:
    if _repeats([one for one in (settings.secret_key, *settings.previous_secret_keys) if one]):
        yield "previous_secret_keys: repeats secret_key or itself; list each former secret once"


def _repeats(keys: Sequence[bytes]) -> bool:
    return any(hmac.compare_digest(one, other) for one, other in combinations(keys, 2))


@_rule("secret_key", "private_key", "algorithm")
def _private_key_signs(settings: Settings) -> Iterator[str]:
    """An asymmetric algorithm and a private key go together."""
    asymmetric = settings.algorithm in ASYMMETRIC
    if asymmetric and settings.secret_key is not None and not settings.private_key:
        made_by = make_a_key(settings.algorithm)
        yield f"private_key: {settings.algorithm} signs with one; make it: {made_by}"
    elif settings.private_key and not asymmetric:
        yield (
            f"private_key: has no effect, since algorithm is {settings.algorithm!r}; set "
            "algorithm to one of the key's"
        )
    elif settings.private_key:
        yield from _unfit("private_key", private_keys, settings.private_key, settings.algorithm)


@_rule("public_keys")
def _public_keys_verify(settings: Settings) -> Iterator[str]:
    yield from _unfit("public_keys", public_keys, settings.public_keys, ASYMMETRIC)


def _unfit(name: str, make: Callable[..., object], *arguments: object) -> Iterator[str]:
    try:
        make(*arguments)
    except Unfit as unfit:
        yield f"{name}: {unfit}"


@_rule("private_key", "public_keys", "algorithm")
def _kids_differ(settings: Settings) -> Iterator[str]:
    if settings.private_key and settings.public_keys and settings.algorithm in ASYMMETRIC:
        try:
            private_keys(settings.private_key, settings.algorithm)
            public_keys(settings.public_keys, ASYMMETRIC)
        except Unfit:
            return  # said already
        parts = (settings.private_key, settings.public_keys, settings.algorithm)
        yield from _unfit("public_keys", own_keys, *parts)


@_rule("keys_reload", "private_key", "public_keys")
def _files_can_change(settings: Settings) -> Iterator[str]:
    texts = (*settings.private_key, *settings.public_keys)
    if settings.keys_reload is not None and not any(text.path for text in texts):
        yield (
            "keys_reload: has no effect, since no key comes from a file; give private_key or "
            "public_keys as pathlib.Path, or by a variable that ends in _FILE"
        )


@_rule("jwks_url", "secret_key", "public_keys", "issuer")
def _remote_keys_are_others(settings: Settings) -> Iterator[str]:
    if settings.jwks_url is None:
        return
    if settings.issuer is None:
        yield "jwks_url: whose keys are these? Set issuer to the iss of their tokens"
    if settings.secret_key is not None or settings.public_keys:
        yield (
            "jwks_url: is for a process with no keys of its own; beside secret_key or "
            "public_keys use issuers=[Issuer(url, jwks_url=...)]"
        )
    if settings.jwks_url == DISCOVER and settings.issuer is not None:
        yield from _unfit("issuer", discoverable, settings.issuer)


@_rule("jwks_url", "issuer", "issuers", "jwks_loopback_http")
def _keys_travel_safely(settings: Settings) -> Iterator[str]:
    """Whoever can change keys on their way can sign tokens (RFC 8725 section 3.8)."""
    if settings.jwks_loopback_http:
        return
    own = settings.issuer if settings.jwks_url == DISCOVER else settings.jwks_url
    named = [("jwks_url", own), *(("issuers", issuer.asks) for issuer in settings.issuers)]
    for name, url in named:
        if url is not None and kinds.is_plain_http(url):
            yield (
                f"{name}: {kinds.shown(url)} is no https, so whoever else runs on this machine may "
                'answer; give a URL that begins with "https://", or, for development, set '
                "jwks_loopback_http=True"
            )


_ENCRYPTION = ("encryption_key", "previous_encryption_keys")


@_rule(*_ENCRYPTION)
def _encryption_is_installed(settings: Settings) -> Iterator[str]:
    if settings.encryption_keys and find_spec("joserfc") is None:
        yield (
            "encryption_key: encrypted tokens need joserfc: "
            'pip install "jwt-session-middleware[jwe]"'
        )


@_rule(*_ENCRYPTION)
def _encryption_keys_differ(settings: Settings) -> Iterator[str]:
    if _repeats(settings.encryption_keys):
        yield (
            "previous_encryption_keys: repeats encryption_key or itself; list each former key once"
        )


@_rule(*_ENCRYPTION, "secret_key", "previous_secret_keys")
def _encryption_keys_sign_nothing(settings: Settings) -> Iterator[str]:
    # A secret is the text as it is written, an encryption key the bytes that it spells.
    secrets = [spelt for one in settings.secret_keys for spelt in (one, kinds.from_base64(one))]
    if any(
        hmac.compare_digest(key, secret) for key in settings.encryption_keys for secret in secrets
    ):
        yield (
            "encryption_key: is a secret key, too, and who may read tokens could make them; make "
            f"another with: {kinds.MAKE_AN_ENCRYPTION_KEY}"
        )


@_rule("rules", "ignore_paths")
def _rules_are_heard(settings: Settings) -> Iterator[str]:
    for rule in settings.rules:
        for path in settings.ignore_paths:
            if below(path, rule.path):
                yield f"rules: {rule.path} lies in {path} of ignore_paths, where nothing is asked"


@_rule("issuers", "issuer")
def _issuers_are_others(settings: Settings) -> Iterator[str]:
    if any(issuer.url == settings.issuer for issuer in settings.issuers):
        yield "issuers: names issuer, which is ourselves; list only others"


@_rule("legacy_tokens", "secret_key", "previous_secret_keys")
def _legacy_secret_is_another(settings: Settings) -> Iterator[str]:
    """Under our own key old tokens would count as ours, and outlive their date."""
    legacy = settings.legacy_tokens
    if legacy is None or legacy.secret is None:
        return
    for name in ("secret_key", "previous_secret_keys"):
        own: Any = getattr(settings, name) or ()
        for key in [own] if isinstance(own, bytes) else own:
            if hmac.compare_digest(key, legacy.secret):
                yield f"{name}: is that of legacy_tokens, too; make one with: {kinds.MAKE_ONE}"


@_rule("legacy_tokens", "private_key", "public_keys", "algorithm")
def _legacy_key_is_another(settings: Settings) -> Iterator[str]:
    legacy, written = settings.legacy_tokens, settings.private_key + settings.public_keys
    if legacy is None or not written:
        return
    try:
        own = own_keys(settings.private_key, settings.public_keys, settings.algorithm)
    except Unfit:
        return  # said already
    old = {_material(key.public) for key in legacy.keys().keys if key.public}
    if any(key.public and _material(key.public) in old for key in own.keys):
        name = "private_key" if settings.private_key else "public_keys"
        made_by = make_a_key(settings.algorithm)
        yield f"{name}: is the key of legacy_tokens, too; make one with: {made_by}"


def _material(public: Mapping[str, str]) -> tuple[str | None, ...]:
    """What makes a public key the one it is (RFC 7638 section 3.2)."""
    return tuple(public.get(name) for name in ("crv", "n", "e", "x", "y"))


@_rule("cookie_samesite", "cookie_secure")
def _cross_site_is_secure(settings: Settings) -> Iterator[str]:
    if settings.cookie_samesite == "None" and not settings.cookie_secure:
        yield (
            "cookie_samesite: browsers drop SameSite=None cookies that are not Secure; "
            'set it to "Lax", or cookie_secure=True'
        )


@_rule("cookie_partitioned", "cookie_secure")
def _partitioned_is_secure(settings: Settings) -> Iterator[str]:
    if settings.cookie_partitioned and not settings.cookie_secure:
        yield (
            "cookie_partitioned: browsers drop Partitioned cookies that are not Secure; "
            "set cookie_secure=True"
        )


_SECURE: Mapping[str, object] = {"cookie_secure": True}
_HOST: Mapping[str, object] = {**_SECURE, "cookie_domain": None, "cookie_path": "/"}
_HTTP: Mapping[str, object] = {**_SECURE, "cookie_httponly": True}
_PREFIXES: Mapping[str, Mapping[str, object]] = {
    "__host-http-": {**_HOST, **_HTTP},
    "__host-": _HOST,
    "__http-": _HTTP,
    "__secure-": _SECURE,
    "": {},
}
"""What the beginning of a cookie's name promises, in any case (RFC 6265bis section 4.1.3)."""


@_rule("access_cookie_name", *_PREFIXES["__host-http-"])
def _access_prefix_holds(settings: Settings) -> Iterator[str]:
    yield from _broken_promises("access_cookie_name", settings)


@_rule("refresh_cookie_name", *_PREFIXES["__host-http-"])
def _refresh_prefix_holds(settings: Settings) -> Iterator[str]:
    yield from _broken_promises("refresh_cookie_name", settings)


@_rule("csrf_cookie_name", *_PREFIXES["__host-http-"])
def _csrf_prefix_holds(settings: Settings) -> Iterator[str]:
    cookie = settings.csrf_cookie_name or ""
    if cookie.lower().startswith(("__host-http-", "__http-")):
        yield (
            f"csrf_cookie_name: scripts have to read it, and browsers keep {cookie} from them; "
            "choose a name that begins with __Host-, or plainly"
        )
    else:
        yield from _broken_promises("csrf_cookie_name", settings)


@_rule(
    "csrf_cookie_name", "access_cookie_name", "refresh_cookie_name", "refresh_cookie_path", *_HOST
)
def _csrf_cookie_is_another(settings: Settings) -> Iterator[str]:
    others = (settings.access_cookie.lower(), settings.refresh_cookie.lower())
    if settings.csrf_cookie.lower() in others:
        yield "csrf_cookie_name: is a token cookie's name too; choose another"


@_rule("csrf_header_name", "header_name", "refresh_header_name")
def _csrf_header_is_another(settings: Settings) -> Iterator[str]:
    others = (settings.header_name.lower(), settings.refresh_header_name.lower())
    if settings.csrf_header_name.lower() in others:
        yield "csrf_header_name: is a token header's name too; choose another"


@_rule("csrf", "secret_key")
def _csrf_tokens_are_signed(settings: Settings) -> Iterator[str]:
    if settings.csrf == "double-submit" and settings.secret_key is None:
        yield (
            'csrf: "double-submit" signs its tokens, and there is no secret_key; set one, or '
            'csrf="origin"'
        )


@_rule("refresh_cookie_name", "refresh_cookie_path")
def _host_cookies_have_no_path(settings: Settings) -> Iterator[str]:
    name, path = settings.refresh_cookie_name or "", settings.refresh_cookie_path
    if name.lower().startswith("__host-") and path not in (None, "/"):
        yield "refresh_cookie_name: browsers drop a __Host- cookie with refresh_cookie_path; rename"


_ENDPOINTS = ("refresh_path", "logout_path", "jwks_path")


@_rule(*_ENDPOINTS)
def _endpoints_differ(settings: Settings) -> Iterator[str]:
    for one, other in combinations(_ENDPOINTS, 2):
        path: str | None = getattr(settings, one)
        if path is not None and path == getattr(settings, other):
            yield f"{other}: is {one}, too; choose another"


@_rule(*_ENDPOINTS, "ignore_paths")
def _endpoints_are_heard(settings: Settings) -> Iterator[str]:
    for name in _ENDPOINTS:
        path: str | None = getattr(settings, name)
        if path is not None and any(below(ignored, path) for ignored in settings.ignore_paths):
            yield f"{name}: lies in a path of ignore_paths, where nothing is answered"


@_rule("jwks_path", "private_key", "public_keys")
def _there_are_keys_to_publish(settings: Settings) -> Iterator[str]:
    if settings.jwks_path is not None and not settings.private_key + settings.public_keys:
        yield (
            "jwks_path: there is no public key to publish, and secrets are never shown; set "
            f'algorithm="EdDSA" and a private_key; make one: {make_a_key("EdDSA")}'
        )


@_rule("refresh_cookie_path", "refresh_path")
def _refresh_cookie_reaches_its_endpoint(settings: Settings) -> Iterator[str]:
    own, path = settings.refresh_cookie_path, settings.refresh_path
    if own is None or own == "/":
        return
    if path is None:
        yield "refresh_cookie_path: nothing would ever renew the tokens; set refresh_path, too"
    elif not below(own, path):
        yield f"refresh_cookie_path: browsers would not send it to refresh_path, {path}"


def _broken_promises(name: str, settings: Settings) -> Iterator[str]:
    cookie: str = getattr(settings, name) or ""
    prefix = next(filter(cookie.lower().startswith, _PREFIXES), "")
    for demand, value in _PREFIXES[prefix].items():
        if getattr(settings, demand) != value:
            yield (
                f"{name}: browsers drop {cookie} unless {demand}={value!r}; set that, or choose "
                f"a name without {cookie[: len(prefix)]}"
            )


@_rule("access_cookie_name", "refresh_cookie_name", "refresh_cookie_path", *_HOST)
def _cookie_names_differ(settings: Settings) -> Iterator[str]:
    if settings.access_cookie.lower() == settings.refresh_cookie.lower():
        yield "refresh_cookie_name: is the access cookie's name too; choose another"


@_rule("refresh_header_name", "header_name")
def _request_headers_differ(settings: Settings) -> Iterator[str]:
    if settings.refresh_header_name.lower() == settings.header_name.lower():
        yield "refresh_header_name: is header_name too; choose another"


@_rule("refresh_header_name", "access_response_header")
def _response_headers_differ(settings: Settings) -> Iterator[str]:
    if settings.refresh_header_name.lower() == settings.access_response_header.lower():
        yield "refresh_header_name: is access_response_header too; choose another"


@_rule("access_token_expires", "refresh_token_expires")
def _shorter_than_idle(settings: Settings) -> Iterator[str]:
    yield from _too_long("access_token_expires", "refresh_token_expires", settings)


@_rule("access_token_expires", "session_lifetime")
def _shorter_than_session(settings: Settings) -> Iterator[str]:
    yield from _too_long("access_token_expires", "session_lifetime", settings)


@_rule("access_token_expires", "session_cookie_expires")
def _shorter_than_cookie(settings: Settings) -> Iterator[str]:
    if _is_changed(settings, "session_cookie_expires"):
        yield from _too_long("access_token_expires", "session_cookie_expires", settings)


@_rule("reissue_within", "access_token_expires")
def _reissue_within_life(settings: Settings) -> Iterator[str]:
    yield from _too_long("reissue_within", "access_token_expires", settings)


def _too_long(name: str, limit: str, settings: Settings) -> Iterator[str]:
    duration, most = getattr(settings, name), getattr(settings, limit)
    if duration >= most:
        yield (
            f"{name}: is {kinds.spelled(duration)}, but must be shorter than {limit}, "
            f"which is {kinds.spelled(most)}"
        )


# ── Rules: settings that would have no effect ────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _NoEffect:
    """While ``when`` holds, which looks at ``reads`` alone, the settings ``names`` do nothing."""

    reads: str
    when: Callable[[Settings], bool]
    names: str
    because: str


_NO_EFFECT: tuple[_NoEffect, ...] = (
    _NoEffect(
        "encryption_key",
        lambda settings: settings.encryption_key is None,
        "accept_unencrypted",
        "nothing is encrypted; set encryption_key",
    ),
    _NoEffect(
        "issuers secret_key public_keys jwks_url",
        lambda settings: (
            bool(settings.issuers)
            and not (settings.secret_key or settings.public_keys or settings.jwks_url)
        ),
        "encryption_key previous_encryption_keys",
        "all tokens are those of other issuers; set secret_key, public_keys or jwks_url",
    ),
    _NoEffect(
        "required rules",
        lambda settings: not settings.required and not settings.rules,
        "public_paths",
        "nothing requires sign-in; set required=True, or rules",
    ),
    _NoEffect(
        "token_location",
        lambda settings: "cookies" not in settings.token_location,
        "access_cookie_name refresh_cookie_name cookie_secure cookie_httponly cookie_samesite "
        "cookie_domain cookie_path cookie_partitioned csrf trusted_origins csrf_exempt_paths "
        "refresh_cookie_path",
        'token_location leaves "cookies" out; add it',
    ),
    _NoEffect(
        "token_location",
        lambda settings: "headers" not in settings.token_location,
        "header_name header_type refresh_header_name access_response_header",
        'token_location leaves "headers" out; add it',
    ),
    _NoEffect(
        "check_session",
        lambda settings: settings.check_session == "never",
        "websocket_check_every",
        'check_session is "never"; set it to "always" or a number of seconds',
    ),
    _NoEffect(
        "csrf",
        lambda settings: settings.csrf != "double-submit",
        "csrf_cookie_name csrf_header_name csrf_field_name",
        'csrf asks for no token; set it to "double-submit"',
    ),
    _NoEffect(
        "csrf",
        lambda settings: settings.csrf == "off",
        "trusted_origins csrf_exempt_paths",
        'csrf is "off"; set it to "origin"',
    ),
    _NoEffect(
        "session_store",
        lambda settings: settings.stateless,
        "rotation_grace lost_response_window renew_refresh check_session max_sessions_per_subject",
        'session_store is "none", where nothing rotates; name a store',
    ),
)


def _without_effect(row: _NoEffect, name: str) -> _Check:
    def check(settings: Settings) -> Iterator[str]:
        if row.when(settings) and _is_changed(settings, name):
            yield f"{name}: has no effect, since {row.because}, or leave {name} out"

    return check


_RULES.extend(
    _Rule(frozenset({*row.reads.split(), name}), _without_effect(row, name))
    for row in _NO_EFFECT
    for name in row.names.split()
)


# ── A warning ────────────────────────────────────────────────────────────────────


def _warn_of_risky_times(settings: Settings) -> None:
    """Tokens that live hardly longer than the grace period. Points at who made the settings."""
    replaced_after = settings.access_token_expires - settings.reissue_within
    if settings.stateless or replaced_after > 3 * settings.rotation_grace:
        return
    replaced, grace = kinds.spelled(replaced_after), kinds.spelled(settings.rotation_grace)
    warnings.warn(
        f"an access token is replaced after {replaced} (access_token_expires - reissue_within), "
        f"at most 3 times rotation_grace ({grace}): if answers to parallel requests overtake each "
        "other, an older token could end up in the client's cookie jar over a newer one; lengthen "
        "access_token_expires, or shorten reissue_within or rotation_grace",
        RiskyTimesWarning,
        stacklevel=4,
    )
