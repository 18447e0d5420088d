"""Tokens: made, and read back strictly (RFC 7519, RFC 9068).

Two kinds. The *access token* (``typ: at+jwt``) is short-lived and verified without asking
anyone. The *refresh token* (``typ: rt+jwt``) is signed with a derived key, names one
generation of one session, and can be recomputed from the session's row:

    jti = HMAC(derived key, salt of the row, session id, generation)

so a leaked database forges nothing without the key, and a leaked key nothing without the
row. Reading needs no store and no clock; ``now`` is passed in. What is authentic but
expired is returned, with its expiry for the caller to judge: an expired token still tells
whose session to renew or to end.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from math import inf
from typing import Any, Literal, NamedTuple, TypeAlias

from .claims import RESERVED, Claims, copy_json
from .errors import InvalidToken, TokenTooLarge
from .jws import decode_object, encode_object, encode_segment, is_array, split
from .keys import Key, KeySet, access_keys, derive, refresh_keys
from .memory import Bounded
from .sessions import Session, new_session_id
from .settings import Settings

ACCESS_TYPE = "at+jwt"
REFRESH_TYPE = "rt+jwt"
ACCEPTED_TYPES = frozenset((ACCESS_TYPE, "jwt", None))
"""``typ`` of tokens that may open the app, None for none; an allow-list (RFC 8725 section 3.11)."""

REFRESH_TYPES: frozenset[str | None] = frozenset((REFRESH_TYPE,))

CLOCK_SKEW = 60.0
"""Seconds ``nbf`` and ``iat`` may lie ahead: small skew between nodes must not refuse our
own fresh tokens."""

MAX_TRUSTED_HEADERS = 64
"""Header segments whose parsing is remembered; honest ones are as few as the keys."""

LATEST = 253402300800.0
"""The year 10000: no honest time claim lies beyond it."""

# Members that announce a form we do not process (RFC 7515 section 4.1.11, RFC 7797, RFC 7516,
# RFC 7519 section 5.2): what they would change is never guessed at.
_UNPROCESSED = frozenset(("crit", "b64", "zip", "enc", "p2c", "cty"))


TokenState: TypeAlias = Literal["valid", "missing", "expired", "invalid"]


class AccessToken:
    """A verified access token, ready to be shown to many requests."""

    __slots__ = (
        "checked_until",
        "claims",
        "expires_at",
        "fresh_until",
        "generation",
        "refresh_expires_at",
        "session_id",
        "settled",
        "subject",
    )

    def __init__(self, claims: Claims, subject: str, settings: Settings) -> None:
        self.claims = claims
        self.subject = subject
        self.session_id: str | None = claims.get("sid")
        self.generation: int = claims.get("rgen", 0)
        """The generation of the refresh token the client is known to hold."""
        self.refresh_expires_at: float | None = claims.get("rexp")
        self.expires_at: float = claims["exp"] + settings.leeway
        """Seconds since the epoch, leeway included; at this moment it is expired."""
        self.fresh_until = self._fresh_until(settings)
        """Until then nothing but this token needs to be looked at."""
        unchecked = settings.check_session == "never" or self.session_id is None
        self.checked_until = inf if unchecked else 0.0
        """Until then the store need not vouch for the session again (``check_session``)."""
        self.settled = self.session_id is None or self.generation == 0
        """Nothing is left to confirm: there is no predecessor whose grace it could end."""

    def _fresh_until(self, settings: Settings) -> float:
        moments = [self.expires_at, self.expires_at - settings.reissue_within]
        if self.refresh_expires_at is not None and settings.renew_refresh:
            moments.append(self.refresh_expires_at)
        return min(moments)

    def expired(self, now: float) -> bool:
        return now >= self.expires_at


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """An authentic refresh token; whether it counts is for the rotation table to say."""

    session_id: str
    subject: str
    generation: int
    issued_at: float
    expires_at: float
    """Seconds since the epoch."""
    jti: str = field(repr=False)
    kid: str
    """The key that verified the signature: the ``jti`` is judged with the same one."""
    session: Session | None = field(default=None, repr=False)
    """What a stateless refresh token carries instead of a row."""


@dataclass(frozen=True, slots=True)
class TokenPair:
    """An access and a refresh token of one session."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    """Seconds the access token lives from its issue."""
    session: Session = field(repr=False)

    @property
    def session_id(self) -> str:
        return self.session.id

    def as_dict(self) -> dict[str, str | int]:
        """The response body of RFC 6749 section 5.1, for clients without cookies."""
        return {
            "access_token": self.access_token,
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            "refresh_token": self.refresh_token,
        }


@dataclass(slots=True)
class Verified:
    """The tokens of one request, as far as they are authentic."""

    access: AccessToken | None = None
    access_state: TokenState = "missing"
    refresh: RefreshToken | None = None
    refresh_state: TokenState = "missing"

    @property
    def session_ids(self) -> tuple[str, ...]:
        """The sessions they belong to; expired tokens count."""
        ids = (token.session_id for token in (self.access, self.refresh) if token is not None)
        return tuple(dict.fromkeys(one for one in ids if one is not None))

    @property
    def same_session(self) -> bool:
        """Both are authentic, of one session and one subject (S44)."""
        access, refresh = self.access, self.refresh
        return (
            access is not None
            and refresh is not None
            and (access.session_id, access.subject) == (refresh.session_id, refresh.subject)
        )


class _TrustedHeader(NamedTuple):
    """A header segment that has come with a valid signature: no need to parse it again."""

    key: Key
    typ: str | None


class Tokens:
    """Makes and reads tokens with the keys of one configuration."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        secret_keys = (settings.secret_key, *settings.previous_secret_keys)
        self._access_keys = access_keys(secret_keys, settings.algorithm)
        self._refresh_keys = refresh_keys(secret_keys)
        # As many as there are secrets, and in their order, like the key set they belong to.
        self._jti_keys = {
            key.kid: derive(secret, "refresh token jti")
            for key, secret in zip(self._refresh_keys.keys, secret_keys, strict=True)
        }
        self._trusted_headers: dict[str, _TrustedHeader] = {}
        self._access_header = _header(self._access_keys.signing, ACCESS_TYPE)
        self._refresh_header = _header(self._refresh_keys.signing, REFRESH_TYPE)
        self.verified: Bounded[str, AccessToken] = Bounded(settings.token_cache_size)
        """Access tokens whose signature and claims held; expiry is judged at every look."""

    # ── Making ───────────────────────────────────────────────────────────────────

    def new_session(
        self,
        subject: str,
        claims: Mapping[str, Any],
        *,
        persistent: bool,
        now: float,
        user_agent: str | None = None,
        address: str | None = None,
    ) -> Session:
        """A session that begins now, at generation 0; nothing is stored."""
        absolute = now + self._settings.session_lifetime
        return Session(
            id=new_session_id(subject),
            subject=subject,
            claims=claims,
            persistent=persistent,
            created_at=now,
            rotated_at=now,
            expires_at=min(now + self.idle(persistent), absolute),
            absolute_expires_at=absolute,
            refresh_salt=secrets.token_urlsafe(16),
            last_seen_at=now,
            user_agent=user_agent,
            address=address,
        )

    def idle(self, persistent: bool) -> float:
        """Seconds a session may rest between two rotations."""
        settings = self._settings
        if persistent:
            return settings.refresh_token_expires
        return min(settings.session_cookie_expires, settings.refresh_token_expires)

    def pair(self, session: Session, *, now: float) -> TokenPair:
        """Both tokens of a session as it stands. Raises `TokenTooLarge`."""
        expires_in = int(self._access_expiry(session, now)) - int(now)
        return TokenPair(
            self.access(session, generation=session.generation, now=now),
            self.refresh(session),
            expires_in,
            session,
        )

    def access(self, session: Session, *, generation: int, now: float) -> str:
        """An access token that says the client holds the refresh token of ``generation``.

        It enters the cache of verified tokens, still to be confirmed: only a token that
        comes back from a client proves that the client received it.
        Raises `TokenTooLarge`.
        """
        members = self.members(session, generation=generation, now=now)
        token = self.sign_access(members)
        if self.has_required_claims(members):
            minted = AccessToken(Claims(members), session.subject, self._settings)
            self.verified.put(token, minted)
        return token

    def sign_access(self, members: Mapping[str, Any]) -> str:
        """An access token with exactly this claims set. Raises `TokenTooLarge`."""
        token = self._sign(self._access_header, members, self._access_keys.signing)
        self._check_length(token, members)
        return token

    def _check_length(self, token: str, members: Mapping[str, Any]) -> None:
        """A token longer than we read would be worth nothing to its client."""
        limit = self._settings.max_token_length
        if len(token) > limit:
            ours = RESERVED | {self._settings.identity_claim}
            own = {name: value for name, value in members.items() if name not in ours}
            raise TokenTooLarge(_too_large(limit, own))

    def members(self, session: Session, *, generation: int, now: float) -> dict[str, Any]:
        """The claims set of an access token (RFC 9068 section 2.2)."""
        settings = self._settings
        members: dict[str, Any] = copy_json(dict(session.claims))
        if settings.issuer is not None:
            members["iss"] = settings.issuer
        if settings.audience:
            members["aud"] = settings.audience[0]
        return {
            **members,
            settings.identity_claim: session.subject,
            "iat": int(now),
            "exp": int(self._access_expiry(session, now)),
            "jti": secrets.token_urlsafe(9),
            "sid": session.id,
            "rgen": generation,
            "rexp": int(session.expires_at),
        }

    def refresh(self, session: Session) -> str:
        """The refresh token of the generation a row stands at; the same on every node.

        Raises `TokenTooLarge`.
        """
        key = self._refresh_keys.signing
        members: dict[str, Any] = {
            "sub": session.subject,
            "sid": session.id,
            "gen": session.generation,
            "jti": self._jti(key.kid, session, session.generation),
            "iat": session.rotated_at,
            "exp": session.expires_at,
        }
        if self._settings.session_store == "none":
            members["ses"] = _carried(session)
        token = self._sign(self._refresh_header, members, key)
        self._check_length(token, session.claims)
        return token

    def _access_expiry(self, session: Session, now: float) -> float:
        return min(now + self._settings.access_token_expires, session.absolute_expires_at)

    def _jti(self, kid: str, session: Session, generation: int) -> str:
        message = f"{session.refresh_salt}.{session.id}.{generation}".encode()
        return encode_segment(hmac.digest(self._jti_keys[kid], message, sha256)[:16])

    def _sign(self, header: str, members: Mapping[str, Any], key: Key) -> str:
        signing_input = f"{header}.{encode_object(members)}"
        return f"{signing_input}.{encode_segment(key.sign(signing_input.encode()))}"

    # ── Reading ──────────────────────────────────────────────────────────────────

    def verify(self, access: str | None, refresh: str | None, *, now: float) -> Verified:
        """Both tokens of a request; never raises for what a client sent."""
        found = Verified()
        if access is not None:
            try:
                found.access = self.read_access(access, now=now)
                found.access_state = "expired" if found.access.expired(now) else "valid"
            except InvalidToken:
                found.access_state = "invalid"
        if refresh is not None:
            try:
                found.refresh = self.read_refresh(refresh)
                # Without leeway: it is our own clock that judges it, here and in the row.
                expired = now >= found.refresh.expires_at
                found.refresh_state = "expired" if expired else "valid"
            except InvalidToken:
                found.refresh_state = "invalid"
        return found

    def read_access(self, token: str, *, now: float) -> AccessToken:
        """The token, if it is authentic and meant for us; perhaps expired.

        Raises `InvalidToken`.
        """
        known = self.verified.get(token)
        if known is not None:
            return known
        payload, _ = self._authentic(token, self._access_keys, ACCEPTED_TYPES)
        members = decode_object(payload)
        subject = self._check_access_claims(members, now)
        access = AccessToken(Claims(members), subject, self._settings)
        if not access.expired(now):
            self.verified.put(token, access)
        return access

    def read_refresh(self, token: str) -> RefreshToken:
        """The token, if it is an authentic refresh token of ours; perhaps expired.

        Raises `InvalidToken`.
        """
        payload, key = self._authentic(token, self._refresh_keys, REFRESH_TYPES)
        members = decode_object(payload)
        # Only our own derived key signs these, so their form is ours; if it is not, another
        # version of this package made them.
        generation, jti = members.get("gen"), members.get("jti")
        if not isinstance(generation, int) or not isinstance(jti, str):
            raise InvalidToken("a refresh token of another version")
        try:
            return RefreshToken(
                session_id=members["sid"],
                subject=members["sub"],
                generation=generation,
                issued_at=_moment(members, "iat"),
                expires_at=_moment(members, "exp"),
                jti=jti,
                kid=key.kid,
                session=_restored(members) if self._settings.session_store == "none" else None,
            )
        except (KeyError, TypeError):
            raise InvalidToken("a refresh token of another version or configuration") from None

    def matches(self, refresh: RefreshToken, session: Session) -> bool:
        """Whether the row gives this token's ``jti`` for its generation (constant time)."""
        expected = self._jti(refresh.kid, session, refresh.generation)
        return hmac.compare_digest(expected, refresh.jti) and refresh.subject == session.subject

    def _authentic(self, token: str, keys: KeySet, types: frozenset[str | None]) -> tuple[str, Key]:
        """The payload of a token whose signature holds, not yet decoded, and its key."""
        parts = split(token, self._settings.max_token_length)
        trusted = self._trusted_headers.get(parts.header)
        header = trusted or _judge_header(decode_object(parts.header), keys)
        # A trusted header may be trusted as the other kind of token's.
        if header.typ not in types or not header.key.verify(parts.signing_input, parts.signature):
            raise InvalidToken("the signature does not hold, or this is another kind of token")
        if trusted is None and len(self._trusted_headers) < MAX_TRUSTED_HEADERS:
            self._trusted_headers[parts.header] = header
        return parts.payload, header.key

    def has_required_claims(self, members: Mapping[str, Any]) -> bool:
        """Null is no value: a required claim of null is missing."""
        return all(members.get(name) is not None for name in self._settings.required_claims)

    def _check_access_claims(self, members: dict[str, Any], now: float) -> str:
        """RFC 7519 section 4.1, RFC 9068 section 4; answers the subject."""
        settings = self._settings
        _moment(members, "exp")
        for name in ("nbf", "iat"):
            if name in members and _moment(members, name) > now + CLOCK_SKEW:
                raise InvalidToken(f"{name} lies in the future")
        _check_audience(members, settings.audience)
        if settings.issuer is not None and members.get("iss") != settings.issuer:
            raise InvalidToken("another issuer")
        if "cnf" in members:
            raise InvalidToken("bound to a key (cnf), but presented as a plain bearer token")
        if not isinstance(members.get("jti", ""), str):
            raise InvalidToken("jti is not text")
        if not self.has_required_claims(members):
            raise InvalidToken("a required claim is missing")
        _check_session_claims(members)
        return _subject(members, settings.identity_claim)


def _header(key: Key, typ: str) -> str:
    return encode_object({"alg": key.algorithm, "typ": typ, "kid": key.kid})


def _judge_header(header: Mapping[str, Any], keys: KeySet) -> _TrustedHeader:
    """The key a header asks for. ``jwk``, ``jku``, ``x5u`` and ``x5c`` are never looked at."""
    if not _UNPROCESSED.isdisjoint(header):
        raise InvalidToken("a header member that is not processed here")
    # Absent is a case of its own, null is none of them.
    kid, typ = header.get("kid", ""), header.get("typ", "")
    if not isinstance(kid, str) or not isinstance(typ, str):
        raise InvalidToken("kid or typ is not text")
    key = keys.find(kid if "kid" in header else None, header.get("alg"))
    if key is None:
        raise InvalidToken("no key has this kid and alg")
    kind = typ.lower().removeprefix("application/") if "typ" in header else None
    return _TrustedHeader(key, kind)


def _moment(members: Mapping[str, Any], name: str) -> float:
    """A NumericDate (RFC 7519 section 2): a finite JSON number, and no bool."""
    moment = members.get(name)
    if isinstance(moment, bool) or not isinstance(moment, int | float):
        raise InvalidToken(f"{name} is not a number")
    if not 0 <= moment < LATEST:
        raise InvalidToken(f"{name} is beyond all bounds")
    return moment


def _check_audience(members: Mapping[str, Any], expected: tuple[str, ...]) -> None:
    """RFC 7519 section 4.1.3: who is not named must refuse, also when it has no name."""
    if "aud" not in members and not expected:
        return
    named: Any = members.get("aud")
    audiences = named if is_array(named) else [named]
    if not all(isinstance(one, str) for one in audiences):
        raise InvalidToken("aud is neither text nor a list of texts")
    if not set(expected).intersection(audiences):
        raise InvalidToken("meant for another audience")


def _check_session_claims(members: Mapping[str, Any]) -> None:
    if not isinstance(members.get("sid", ""), str):
        raise InvalidToken("sid is not text")
    generation = members.get("rgen", 0)
    if isinstance(generation, bool) or not isinstance(generation, int) or generation < 0:
        raise InvalidToken("rgen is not a generation")
    if "rexp" in members:
        _moment(members, "rexp")


def _subject(members: Mapping[str, Any], identity_claim: str) -> str:
    """Who it is. Packages that use a claim of their own often put a row number there."""
    for name in {"sub", identity_claim}:
        value = members.get(name, "-")
        number = name != "sub" and isinstance(value, int) and not isinstance(value, bool)
        if not number and (not isinstance(value, str) or not value):
            raise InvalidToken(f"{name} is not text")
    if identity_claim not in members:
        raise InvalidToken("nobody is named")
    return str(members[identity_claim])


def _too_large(limit: int, claims: Mapping[str, Any]) -> str:
    """Says what to shorten: the names and sizes of the largest claims, never their values."""
    sizes = {name: len(encode_object({name: value})) for name, value in claims.items()}
    largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:3]
    named = ", ".join(f"{name} (about {sizes[name]})" for name in largest) or "none of your own"
    return (
        f"the access token is over {limit} characters. Largest claims: {named}. "
        "Keep ids in the token and look the rest up."
    )


# ── Stateless refresh tokens (session_store="none") ──────────────────────────────


def _carried(session: Session) -> dict[str, Any]:
    """What a row would hold, for a refresh token that has no row."""
    return {
        "claims": session.claims,
        "persistent": session.persistent,
        "created_at": session.created_at,
        "absolute_expires_at": session.absolute_expires_at,
        "refresh_salt": session.refresh_salt,
    }


def _restored(members: Mapping[str, Any]) -> Session:
    return Session(
        id=members["sid"],
        subject=members["sub"],
        generation=members["gen"],
        rotated_at=members["iat"],
        expires_at=members["exp"],
        last_seen_at=members["iat"],
        **members["ses"],
    )
