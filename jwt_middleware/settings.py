"""Every setting: its default, its kind, and the contradictions that are refused at start-up.

A :class:`Settings` object that exists is sound. However it is made (keywords, the
environment, ``app.config``, Django's settings, ``dataclasses.replace``), each value is
read by its field's kind (:mod:`jwt_middleware.setting_kinds`), the whole is held against
the rules below, and everything that is wrong is reported at once.
"""

from __future__ import annotations

import difflib
import hmac
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import timedelta
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, TypeAlias, TypedDict, TypeVar, Unpack, cast

from . import setting_kinds as kinds
from .errors import ConfigurationError
from .sessions import AsyncSessionStore, SessionStore
from .setting_kinds import Unfit

T = TypeVar("T")

Algorithm: TypeAlias = Literal["HS256", "HS384", "HS512"]
Location: TypeAlias = Literal["headers", "cookies"]
SameSite: TypeAlias = Literal["Lax", "Strict", "None"]
ReissueReason: TypeAlias = Literal["missing", "expired", "invalid"]
CheckSession: TypeAlias = Literal["never", "always"]
CsrfMode: TypeAlias = Literal["origin", "off"]
Store: TypeAlias = str | SessionStore | AsyncSessionStore
Duration: TypeAlias = float | timedelta | str
"""Seconds, a timedelta, or a string like "900", "15m", "12h", "30d"."""

HASH_BYTES: Mapping[Algorithm, int] = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The shortest secret of each algorithm, in bytes (RFC 7518 section 3.2)."""

LOCATIONS: tuple[Location, ...] = ("headers", "cookies")
SAME_SITE: tuple[SameSite, ...] = ("Lax", "Strict", "None")
REISSUE_REASONS: tuple[ReissueReason, ...] = ("missing", "expired", "invalid")
CHECKS: tuple[CheckSession, ...] = ("never", "always")
CSRF_MODES: tuple[CsrfMode, ...] = ("origin", "off")
RESERVED_CLAIMS = frozenset("exp iat nbf jti sid rgen rexp iss aud".split())

MINUTE, HOUR, DAY = 60, 3600, 86_400
"""In seconds."""


class UnknownSettingWarning(UserWarning):
    """A configuration shared with others has a name with our prefix that is no setting."""


class RiskyTimesWarning(UserWarning):
    """These durations work, but answers that overtake each other may cost a reissue."""


class SettingsKeywords(TypedDict, total=False):
    """The settings as keyword arguments, with the types each one accepts."""

    secret_key: str | bytes
    previous_secret_keys: Sequence[str | bytes] | str
    algorithm: Algorithm
    token_location: Sequence[Location] | str
    header_name: str
    header_type: str
    access_cookie_name: str | None
    refresh_cookie_name: str | None
    refresh_header_name: str
    access_response_header: str
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
    check_session: CheckSession | Duration
    issuer: str | None
    audience: Sequence[str] | None
    leeway: Duration
    required_claims: Sequence[str]
    max_token_length: int
    identity_claim: str
    csrf: CsrfMode
    trusted_origins: Sequence[str]
    csrf_exempt_paths: Sequence[str]
    session_store: Store
    store_timeout: Duration
    token_cache_size: int
    login_url: str | None


def _setting(kind: kinds.Kind[T], default: object, help_text: str, *, hidden: bool = False) -> T:
    """A field: how its value is read, what it is when left alone, and what it means.

    ``default`` is a value the kind would return, or ``MISSING``. ``hidden`` settings are
    secrets: never shown, and readable from a file.
    """
    metadata = {"kind": kind, "help": help_text, "secret": hidden}
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


@dataclass(init=False, frozen=True, kw_only=True)
class Settings:
    """How the middleware behaves. Durations are seconds, sequences tuples, secrets bytes.

    Raises :class:`ConfigurationError`, with every fault, for names that do not exist and
    for values that are wrong, contradict each other, would have no effect or be unsafe.
    """

    secret_key: bytes = _setting(
        kinds.secret,
        MISSING,
        "Signs access tokens and, by a derived key, refresh tokens. As long as its hash.",
        hidden=True,
    )
    previous_secret_keys: tuple[bytes, ...] = _setting(
        kinds.secrets_by_line,
        (),
        "Secrets that still verify while a new one takes over; one a line in text.",
        hidden=True,
    )
    algorithm: Algorithm = _setting(
        kinds.one_of(tuple(HASH_BYTES)), "HS256", "The signature algorithm of access tokens."
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
    csrf: CsrfMode = _setting(
        kinds.one_of(CSRF_MODES), "origin", "How cross-site requests with cookies are found."
    )
    trusted_origins: tuple[str, ...] = _setting(
        kinds.several(kinds.origin), (), "Other origins whose requests may carry cookies."
    )
    csrf_exempt_paths: tuple[str, ...] = _setting(
        kinds.several(kinds.rule_path), (), "Where cross-site requests are not refused."
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

    def _settle(self, given: Mapping[str, _Given]) -> None:
        """The one way to settings: read every value, apply every rule, report every fault."""
        faults = [_unknown(name, value) for name, value in given.items() if name not in _FIELDS]
        broken: set[str] = set()
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
    def access_cookie(self) -> str:
        """The access cookie's name in effect."""
        return self.access_cookie_name or f"{self._cookie_prefix}access_token"

    @property
    def refresh_cookie(self) -> str:
        """The refresh cookie's name in effect."""
        return self.refresh_cookie_name or f"{self._cookie_prefix}refresh_token"

    @property
    def _cookie_prefix(self) -> str:
        """``__Host-`` wherever browsers keep such a cookie (RFC 6265bis section 4.1.3.2)."""
        host_only = self.cookie_secure and self.cookie_path == "/" and self.cookie_domain is None
        return "__Host-" if host_only else ""


_FIELDS: Mapping[str, Field[Any]] = {item.name: item for item in fields(Settings)}


def _is_changed(settings: Settings, name: str) -> bool:
    """Whether a setting differs from its default."""
    return bool(getattr(settings, name) != _FIELDS[name].default)


# ── Sources ──────────────────────────────────────────────────────────────────────

MAX_SECRET_FILE = 65_536
"""The longest file a secret is read from, in bytes."""


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
    """The bytes of a file without the newline at their end. Raises :class:`Unfit`.

    A path is quoted in a message only if it is absolute: what is no path at all may be
    the secret itself, written in the wrong variable.
    """
    if file.rival:
        raise Unfit(f"{file.rival} is set as well; keep one of the two")
    if not isinstance(file.path, str | Path):
        raise Unfit("is no path; name a file that holds the secret")
    name = str(file.path)
    quoted = repr(name) if os.path.isabs(name) else "the file (its path is not absolute)"
    try:
        with open(name, "rb") as opened:
            content = opened.read(MAX_SECRET_FILE + 1)
    except OSError as error:
        reason = error.strerror
        raise Unfit(f"cannot read {quoted}: {reason}; name a file that can be read") from None
    except ValueError:  # a NUL, or no Unicode text
        raise Unfit("is no path; name a file that holds the secret") from None
    if len(content) > MAX_SECRET_FILE:
        raise Unfit(f"{quoted} has more than {MAX_SECRET_FILE} bytes; is it the right file?")
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


def _unknown(name: str, given: _Given) -> str:
    """The fault for a name that is no setting, with the nearest one that is."""
    nearest = difflib.get_close_matches(name.removeprefix(given.prefix).lower(), list(_FIELDS), n=1)
    hint = "; see the list of settings"
    if nearest:
        meant = _spellings(nearest[0], given.prefix)[0] if given.prefix else nearest[0]
        hint = f"; did you mean {meant}?"
    return f"{name}: there is no such setting{hint}"


def _warn_of_unknown(source: Mapping[str, object], prefix: str) -> None:
    for name, given in _unknown_in(source, prefix).items():
        warnings.warn(_unknown(name, given), UnknownSettingWarning, stacklevel=3)


def _origin(given: _Given | None) -> str:
    return f" (from {given.written_as})" if given and given.written_as else ""


def _read(item: Field[Any], given: _Given | None) -> object:
    """A field's value as given, or else its default. Raises :class:`Unfit`."""
    if given is None and item.default is not MISSING:
        return item.default
    value = given.value if given else None
    kind: kinds.Kind[object] = item.metadata["kind"]
    return kind(_content(value) if isinstance(value, _SecretFile) else value)


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


@_rule("secret_key", "algorithm")
def _secret_is_long(settings: Settings) -> Iterator[str]:
    yield from _too_short("secret_key", settings.secret_key, settings.algorithm)


@_rule("previous_secret_keys", "algorithm")
def _previous_secrets_are_long(settings: Settings) -> Iterator[str]:
    for key in settings.previous_secret_keys:
        yield from _too_short("previous_secret_keys", key, settings.algorithm)


def _too_short(name: str, key: bytes, algorithm: Algorithm) -> Iterator[str]:
    least = HASH_BYTES[algorithm]
    if len(key) < least:
        yield (
            f"{name}: {algorithm} needs at least {least} bytes (RFC 7518 section 3.2), "
            f"not {len(key)}; make one with: {kinds.MAKE_ONE}"
        )


@_rule("secret_key", "previous_secret_keys")
def _secrets_differ(settings: Settings) -> Iterator[str]:
    keys = (settings.secret_key, *settings.previous_secret_keys)
    if any(hmac.compare_digest(one, other) for one, other in combinations(keys, 2)):
        yield "previous_secret_keys: repeats secret_key or itself; list each former secret once"


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


def _broken_promises(name: str, settings: Settings) -> Iterator[str]:
    cookie: str = getattr(settings, name) or ""
    prefix = next(filter(cookie.lower().startswith, _PREFIXES), "")
    for demand, value in _PREFIXES[prefix].items():
        if getattr(settings, demand) != value:
            yield (
                f"{name}: browsers drop {cookie} unless {demand}={value!r}; set that, or choose "
                f"a name without {cookie[: len(prefix)]}"
            )


@_rule("access_cookie_name", "refresh_cookie_name", *_HOST)
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
        yield f"{name}: is {duration:g} s, but must be shorter than {limit}, which is {most:g} s"


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
        "required",
        lambda settings: not settings.required,
        "public_paths login_url",
        "nothing requires sign-in; set required=True",
    ),
    _NoEffect(
        "token_location",
        lambda settings: "cookies" not in settings.token_location,
        "access_cookie_name refresh_cookie_name cookie_secure cookie_httponly cookie_samesite "
        "cookie_domain cookie_path cookie_partitioned csrf trusted_origins csrf_exempt_paths",
        'token_location leaves "cookies" out; add it',
    ),
    _NoEffect(
        "token_location",
        lambda settings: "headers" not in settings.token_location,
        "header_name header_type refresh_header_name access_response_header",
        'token_location leaves "headers" out; add it',
    ),
    _NoEffect(
        "csrf",
        lambda settings: settings.csrf == "off",
        "trusted_origins csrf_exempt_paths",
        'csrf is "off"; set it to "origin"',
    ),
    _NoEffect(
        "session_store",
        lambda settings: settings.session_store == "none",
        "rotation_grace lost_response_window renew_refresh check_session",
        'session_store is "none", where nothing rotates; name a store',
    ),
)


def _without_effect(row: _NoEffect, name: str) -> _Check:
    def check(settings: Settings) -> Iterator[str]:
        if row.when(settings) and _is_changed(settings, name):
            yield f"{name}: has no effect, since {row.because}, or leave {name} out"

    return check


_RULES.extend(
    _Rule(frozenset({row.reads, name}), _without_effect(row, name))
    for row in _NO_EFFECT
    for name in row.names.split()
)


# ── A warning ────────────────────────────────────────────────────────────────────


def _warn_of_risky_times(settings: Settings) -> None:
    """Tokens that live hardly longer than the grace period. Points at who made the settings."""
    replaced_after = settings.access_token_expires - settings.reissue_within
    if settings.session_store == "none" or replaced_after > 3 * settings.rotation_grace:
        return
    warnings.warn(
        f"an access token is replaced after {replaced_after:g} s (access_token_expires - "
        f"reissue_within), at most 3 times rotation_grace ({settings.rotation_grace:g} s): if "
        "answers to parallel requests overtake each other, an older token could end up in the "
        "client's cookie jar over a newer one; lengthen access_token_expires, or shorten "
        "reissue_within or rotation_grace",
        RiskyTimesWarning,
        stacklevel=4,
    )
