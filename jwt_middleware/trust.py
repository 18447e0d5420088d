"""Whose tokens open the app, and what they must say (RFC 7519 section 4.1, RFC 9068 section 4).

A `Trust` is one issuer with its keys: ours, or another's. What a token says of its issuer is
not believed; it only selects whose keys may verify it, and is compared, with everything else,
after they have. So a token that one issuer signed never counts as another's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from .access import CLOCK_SKEW
from .claims import MAX_CLAIMS_DEPTH, copy_json
from .errors import ConfigurationError, InvalidToken
from .issuers import ACCESS_TYPE, Issuer, MapClaims, header_type
from .jws import CompactJWS, decode_object, encode_object, is_array, nests_deeper
from .key_files import FileKeys, KeyText, own_keys, public_keys
from .keys import ASYMMETRIC, Key, KeySet, KeySource, access_keys
from .legacy import LegacyTokens
from .settings import DISCOVER, Settings

_logger = logging.getLogger("jwt_middleware")

OWN_TYPES = frozenset((ACCESS_TYPE, "jwt", ""))
"""``typ`` of our own tokens that may open the app, "" for none; an allow-list (RFC 8725
section 3.11)."""

MAX_TRUSTED_HEADERS = 64
"""Header segments whose parsing is remembered; honest ones are as few as the keys."""

LATEST = 253402300800.0
"""The year 10000: no honest time claim lies beyond it."""

# Members that announce a form we do not process (RFC 7515 section 4.1.11, RFC 7797, RFC 7516,
# RFC 7519 section 5.2): what they would change is never guessed at.
_UNPROCESSED = frozenset(("crit", "b64", "zip", "enc", "p2c", "cty"))

_ID_TOKEN_CLAIMS = frozenset(("nonce", "at_hash", "c_hash", "s_hash", "events"))
"""What ID tokens and logout tokens have and access tokens have not (OpenID Connect Core
sections 2 and 3.3.2.11, Back-Channel Logout section 2.4)."""

_OTHER_KINDS = frozenset(("id", "refresh", "offline", "logout"))
"""How some providers name such tokens within: in the claim ``typ`` or ``token_use``."""

_KIND_CLAIMS = ("typ", "token_use", "type", "token_type")
"""Claims in which packages and providers say what kind of token it is."""

_SESSION_CLAIMS = frozenset(("sid", "rgen", "rexp"))
"""Claims that mean something only in tokens of our own."""

_VERIFIED = frozenset(("iss", "aud", "exp", "nbf", "iat", "jti"))
"""Claims that a mapping function sees and does not change."""

RemoteKeys: TypeAlias = Callable[[Issuer], KeySource]
"""Makes the source of an issuer's keys that have to be fetched."""


class KeysAwaited(Exception):
    """A token can be judged once its issuer's keys have been looked for."""

    def __init__(self, keys: KeySource, kid: str | None) -> None:
        super().__init__("newer keys have to be looked for")
        self.keys = keys
        self.kid = kid


class Signer(NamedTuple):
    """A header segment, understood: the key a token was verified with, and how its source stood
    then. Once it has come with a valid signature, it need not be parsed again."""

    key: Key
    typ: str
    version: int


def look(keys: KeySource, kid: str | None, now: float, may_wait: bool) -> None:
    """See to it that keys which are known are not too old. Raises `KeysAwaited`."""
    if now >= keys.due:
        if may_wait and keys.stale(kid, now):
            raise KeysAwaited(keys, kid)
        keys.refresh_ahead(now)


class Trust:
    """An issuer, its keys, and what a token of its has to say."""

    def __init__(
        self,
        settings: Settings,
        keys: KeySource,
        issuer: Issuer | None = None,
        *,
        legacy: LegacyTokens | None = None,
    ) -> None:
        self.keys = keys
        self.issuer = issuer
        """None: ourselves, now or in former times."""
        self.legacy = legacy
        self.ours: bool = legacy is None and (issuer is None or issuer.url == settings.issuer)
        """We sign its tokens today, or the service does that issues them for us."""
        self._settings = settings
        self._types = OWN_TYPES
        self._iss, self._audience = settings.issuer, settings.audience
        if issuer is not None:
            self._types = frozenset(issuer.token_types)
            self._iss, self._audience = issuer.url, issuer.audience
        elif legacy is not None:
            self._iss, self._audience = legacy.issuer, legacy.audience
        self._headers: dict[str, Signer] = {}

    # ── The signature ────────────────────────────────────────────────────────────

    def verify(
        self,
        parts: CompactJWS,
        *,
        now: float,
        may_wait: bool,
        types: frozenset[str] | None = None,
    ) -> Signer:
        """Whose signature it is.

        Raises `InvalidToken`, and `KeysAwaited` if ``may_wait``, or if there are no keys at all
        to judge by.
        """
        header = self._headers.get(parts.header)
        trusted = header is not None and header.version == self.keys.version
        if header is None or not trusted:
            header = self._judge(decode_object(parts.header), now, may_wait)
        else:
            look(self.keys, header.key.kid, now, may_wait)
        # A trusted header may be trusted as the other kind of token's.
        wanted = self._types if types is None else types
        if header.typ not in wanted or not header.key.verify(parts.signing_input, parts.signature):
            raise InvalidToken("the signature does not hold, or this is another kind of token")
        if not trusted:
            if len(self._headers) >= MAX_TRUSTED_HEADERS:
                self._headers = {}
            self._headers[parts.header] = header
        return header

    def _judge(self, header: Mapping[str, Any], now: float, may_wait: bool) -> Signer:
        """The key a header asks for. ``jwk``, ``jku``, ``x5u`` and ``x5c`` are never looked at."""
        if not _UNPROCESSED.isdisjoint(header):
            raise InvalidToken("a header member that is not processed here")
        # Absent is a case of its own, null is none of them.
        named, typ = header.get("kid", ""), header.get("typ", "")
        if not isinstance(named, str) or not isinstance(typ, str):
            raise InvalidToken("kid or typ is not text")
        kid = named if "kid" in header else None
        version = self.keys.version  # read first: keys that change meanwhile make it outdated
        key = self.keys.find(kid, header.get("alg"))
        if key is not None:
            look(self.keys, kid, now, may_wait)
            # A type that is there but empty is none of ours.
            return Signer(key, header_type(typ) or ("?" if "typ" in header else ""), version)
        if not self.keys.usable or (may_wait and self.keys.stale(kid, now)):
            raise KeysAwaited(self.keys, kid)
        raise InvalidToken("no key has this kid and alg")

    # ── The claims ───────────────────────────────────────────────────────────────

    def check(self, members: dict[str, Any], now: float, typ: str) -> tuple[dict[str, Any], str]:
        """The claims the app sees, and the subject. Raises `InvalidToken`."""
        moment(members, "exp")
        for name in ("nbf", "iat"):
            if name in members and moment(members, name) > now + CLOCK_SKEW:
                raise InvalidToken(f"{name} lies in the future")
        if self._audience or "aud" in members:
            _check_audience(members, self._audience)
        if self._iss is not None and members.get("iss") != self._iss:
            raise InvalidToken("another issuer")
        if "cnf" in members:
            raise InvalidToken("bound to a key (cnf), but presented as a plain bearer token")
        if not isinstance(members.get("jti", ""), str):
            raise InvalidToken("jti is not text")
        identity_claim = self._settings.identity_claim
        if self.legacy is not None:
            members = _of_former_times(members, self.legacy, identity_claim)
        elif self.issuer is None:
            _check_session_claims(members)
            if typ != ACCESS_TYPE and _names_another_kind(members):
                raise InvalidToken("says itself that it is no access token")
        else:
            members = self._foreign(members, self.issuer, identity_claim)
        if not has_required_claims(members, self._settings):
            raise InvalidToken("a required claim is missing")
        return members, _subject(members, identity_claim)

    def _foreign(
        self, members: dict[str, Any], issuer: Issuer, identity_claim: str
    ) -> dict[str, Any]:
        """Claims of a token that is not ours, as our app shall see them."""
        if not _ID_TOKEN_CLAIMS.isdisjoint(members) or any(
            _is_another_kind(members.get(name)) for name in ("typ", "token_use")
        ):
            raise InvalidToken("an ID token, or one for something else, is no access token")
        _subject(members, "sub")
        if issuer.claims is not None:
            members = {
                **_mapped(issuer.claims, members, f"issuer {issuer.url!r}"),
                **{name: members[name] for name in _VERIFIED.intersection(members)},
            }
        if identity_claim not in members and "sub" in members:
            members[identity_claim] = members["sub"]
        return members


def _is_another_kind(kind: object) -> bool:
    """What some issuers write into a claim; what is no text says nothing we could trust."""
    return kind is not None and (not isinstance(kind, str) or kind.lower() in _OTHER_KINDS)


def _names_another_kind(members: Mapping[str, Any]) -> bool:
    """A refresh token of a package that used our secret before: it must never open the app."""
    kinds = [members.get(name) for name in _KIND_CLAIMS]
    return any(isinstance(kind, str) and kind.lower() in _OTHER_KINDS for kind in kinds)


def _of_former_times(
    members: dict[str, Any], legacy: LegacyTokens, identity_claim: str
) -> dict[str, Any]:
    """Claims of a token of the package before us, as our app shall see them."""
    subject = _subject(members, legacy.identity_claim)
    if legacy.claims is not None:
        verified = {name: members[name] for name in _VERIFIED.intersection(members)}
        members = {**_mapped(legacy.claims, members, "legacy_tokens"), **verified}
    # It has no session, whatever it says.
    members = {name: value for name, value in members.items() if name not in _SESSION_CLAIMS}
    return {**members, identity_claim: subject}


def _mapped(claims: MapClaims, members: dict[str, Any], whose: str) -> dict[str, Any]:
    """What the app's function makes of the claims; a mistake of its refuses the token."""
    try:
        mapped: Any = dict(claims(copy_json(members)))
        encode_object(mapped)
        if any(not isinstance(name, str) for name in mapped):
            raise TypeError("a name that is not text")  # noqa: TRY301  # one way out
        if nests_deeper(mapped, MAX_CLAIMS_DEPTH):
            raise ValueError("claims nested too deep")  # noqa: TRY301  # likewise
    except Exception as error:
        # Only its type: the text may quote a claim.
        _logger.warning(
            "the claims function of %s refused a token (%s)",
            whose,
            type(error).__name__,
        )
        _logger.debug("the claims function refused a token", exc_info=error)
        raise InvalidToken("the claims function of its issuer refused it") from None
    return copy_json(mapped)  # type: ignore[no-any-return]  # of a dict, a dict


# ── Everybody we trust ───────────────────────────────────────────────────────────


class Trusted:
    """Ourselves and all other issuers of one configuration."""

    def __init__(self, settings: Settings, remote_keys: RemoteKeys | None = None) -> None:
        self.own_keys: KeySet | FileKeys = _own_keys(settings)
        self._own = Trust(settings, self.own_keys)
        issuers = (*settings.issuers, *main_issuer(settings))
        self._others = {
            issuer.url: Trust(settings, _keys_of(issuer, remote_keys), issuer) for issuer in issuers
        }
        has_own = settings.secret_key is not None or settings.public_keys
        self._legacy = legacy = settings.legacy_tokens
        self._before = Trust(settings, legacy.keys(), legacy=legacy) if legacy else self._own
        everybody = [*([self._own] if has_own else []), *self._others.values()]
        alone = len(everybody) == 1 and legacy is None
        self._only = everybody[0] if alone else None

    def select(self, parts: CompactJWS) -> tuple[Trust, dict[str, Any] | None]:
        """Whose keys may verify this token, and its payload if that had to be
        decoded. Raises `InvalidToken`.

        With one issuer it is not decoded before the signature holds.
        """
        if self._only is not None:
            return self._only, None
        members = decode_object(parts.payload)
        named = members.get("iss")
        other = self._others.get(named) if isinstance(named, str) else None
        if other is None and self._legacy is not None:
            before = self._legacy.wrote(decode_object(parts.header), members)
            return self._before if before else self._own, members
        return other or self._own, members


def _own_keys(settings: Settings) -> KeySet | FileKeys:
    """Those we sign and verify with; a secret's are secret, all others are ``public_keys``."""
    private, public = settings.private_key, settings.public_keys
    # What an asymmetric algorithm signs, no secret verifies.
    secrets = () if settings.algorithm in ASYMMETRIC else settings.secret_keys
    by_secret = access_keys(secrets, settings.algorithm).keys

    def make(texts: Sequence[KeyText]) -> KeySet:
        count = len(private)
        own = own_keys(texts[:count], texts[count:], settings.algorithm)
        return KeySet((*by_secret, *own.keys))

    texts = (*private, *public)
    if settings.keys_reload is None or not any(text.path for text in texts):
        return make(texts)
    return FileKeys(texts, make, every=settings.keys_reload)


def main_issuer(settings: Settings) -> tuple[Issuer, ...]:
    """The issuer whose tokens a process with a ``jwks_url`` of its own verifies."""
    if settings.jwks_url is None or settings.issuer is None:
        return ()
    named = settings.algorithm in ASYMMETRIC
    return (
        Issuer(
            settings.issuer,
            audience=settings.audience,
            jwks_url=None if settings.jwks_url == DISCOVER else settings.jwks_url,
            algorithms=(settings.algorithm,) if named else ASYMMETRIC,
        ),
    )


def _keys_of(issuer: Issuer, remote_keys: RemoteKeys | None) -> KeySource:
    if issuer.keys is not None:
        return issuer.keys
    if issuer.public_keys:
        return KeySet(public_keys(issuer.public_keys, issuer.algorithms))
    if remote_keys is None:
        raise ConfigurationError(f"the keys of {issuer.url!r} cannot be fetched here")
    return remote_keys(issuer)


# ── Single claims ────────────────────────────────────────────────────────────────


def has_required_claims(members: Mapping[str, Any], settings: Settings) -> bool:
    """Null is no value: a required claim of null is missing."""
    required = settings.required_claims
    return not required or all(members.get(name) is not None for name in required)


def moment(members: Mapping[str, Any], name: str) -> float:
    """A NumericDate (RFC 7519 section 2): a finite JSON number, and no bool."""
    value: Any = members.get(name)
    # Exactly these, as JSON is read; `isinstance` would take a bool, and six times as long.
    if type(value) is not int and type(value) is not float:
        raise InvalidToken(f"{name} is not a number")
    if not 0 <= value < LATEST:
        raise InvalidToken(f"{name} is beyond all bounds")
    return value


def text(members: Mapping[str, Any], name: str) -> str:
    """Text that is not empty."""
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidToken(f"{name} is not text")
    return value


def generation(members: Mapping[str, Any], name: str) -> int:
    """A whole number from 0, and no bool."""
    value: Any = members.get(name)
    if type(value) is not int or value < 0:
        raise InvalidToken(f"{name} is not a generation")
    return value


def _check_audience(members: Mapping[str, Any], expected: tuple[str, ...]) -> None:
    """RFC 7519 section 4.1.3: who is not named must refuse, also when it has no name."""
    named: Any = members.get("aud")
    audiences = named if is_array(named) else [named]
    if not all(isinstance(one, str) for one in audiences):
        raise InvalidToken("aud is neither text nor a list of texts")
    if not set(expected).intersection(audiences):
        raise InvalidToken("meant for another audience")


def _check_session_claims(members: Mapping[str, Any]) -> None:
    if not isinstance(members.get("sid", ""), str):
        raise InvalidToken("sid is not text")
    if "rgen" in members:
        generation(members, "rgen")
    if "rexp" in members:
        moment(members, "rexp")


def _subject(members: Mapping[str, Any], identity_claim: str) -> str:
    """Who it is. Packages that use a claim of their own often put a row number there."""
    subject = members.get("sub", "-")
    if not isinstance(subject, str) or not subject:
        raise InvalidToken("sub is not text")
    if identity_claim not in members:
        raise InvalidToken("nobody is named")
    if identity_claim == "sub":
        return subject
    value = members[identity_claim]
    number = isinstance(value, int) and not isinstance(value, bool)
    if not number and (not isinstance(value, str) or not value):
        raise InvalidToken(f"{identity_claim} is not text")
    return str(value)
