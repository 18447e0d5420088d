"""Tokens: made, and read back strictly (RFC 7519, RFC 9068).

Two kinds. The *access token* (``typ: at+jwt``) is short-lived and verified without asking
anyone. The *refresh token* (``typ: rt+jwt``) is signed with a derived key, names one
generation of one session, and can be recomputed from the session's row:

    jti = HMAC(derived key, salt of the row, session id, generation)

so a leaked database forges nothing without the key, and a leaked key nothing without the
row. Reading needs no store and no clock; ``now`` is passed in. What is authentic but
expired is returned, with its expiry for the caller to judge: an expired token still tells
whose session to renew or to end.

Where there are keys for it, both kinds are encrypted, too (`jwt_middleware.nesting`): last, when
they are made, and first when they are read.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from math import inf
from typing import Any, Literal, TypeAlias

from .claims import RESERVED, Claims, copy_json, custom_claims, largest
from .errors import InvalidToken, TokenTooLarge
from .issuers import ACCESS_TYPE
from .jws import CompactJWS, decode_object, encode_object, encode_segment, is_object, split
from .key_files import FileKeys
from .keys import Key, KeySet, KeySource, derive, refresh_keys
from .memory import Bounded
from .nesting import Nesting, is_encrypted
from .sessions import Session, new_session_id
from .settings import Settings
from .trust import (
    KeysAwaited,
    RemoteKeys,
    Trust,
    Trusted,
    generation,
    has_required_claims,
    look,
    moment,
    text,
)

REFRESH_TYPE = "rt+jwt"
REFRESH_TYPES = frozenset((REFRESH_TYPE,))

NO_KEYS = KeySet(())
"""Where a token is from whose keys never change."""

TokenState: TypeAlias = Literal["valid", "missing", "expired", "invalid"]


class AccessToken:
    """A verified access token, ready to be shown to many requests."""

    __slots__ = (
        "checked_until",
        "claims",
        "expires_at",
        "foreign",
        "fresh_until",
        "generation",
        "keys",
        "kid",
        "refresh_expires_at",
        "session_id",
        "settled",
        "subject",
        "version",
    )

    def __init__(
        self,
        members: Mapping[str, Any],
        subject: str,
        settings: Settings,
        *,
        keys: KeySource = NO_KEYS,
        version: int = 0,
        kid: str | None = None,
        foreign: bool = False,
        until: float = inf,
    ) -> None:
        self.claims: Claims = Claims(members)
        self.subject: str = subject
        self.keys: KeySource = keys
        self.version: int = version
        """How ``keys`` stood when the token was verified: it counts while they stand so."""
        self.kid: str | None = kid
        self.foreign: bool = foreign
        """Another issuer's: what it says of sessions means nothing to us."""
        self.session_id: str | None = None if foreign else members.get("sid")
        self.generation: int = 0 if foreign else members.get("rgen", 0)
        """The generation of the refresh token the client is known to hold."""
        self.refresh_expires_at: float | None = None if foreign else members.get("rexp")
        self.expires_at: float = min(members["exp"] + settings.leeway, until)
        """Seconds since the epoch, leeway included; at this moment it is expired."""
        self.fresh_until: float = self._fresh_until(settings)
        """Until then nothing but this token needs to be looked at."""
        unchecked = settings.check_session == "never" or self.session_id is None
        self.checked_until: float = inf if unchecked else 0.0
        """Until then the store need not vouch for the session again (``check_session``)."""
        self.settled: bool = self.session_id is None or self.generation == 0
        """Nothing is left to confirm: there is no predecessor whose grace it could end."""

    def _fresh_until(self, settings: Settings) -> float:
        if self.foreign:
            return self.expires_at
        early = self.expires_at - settings.reissue_within
        if self.refresh_expires_at is not None and settings.renew_refresh:
            return min(early, self.refresh_expires_at)
        return early

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
    awaits: KeysAwaited | None = None
    """Newer keys have to be looked for before the access token can be judged."""

    @property
    def leading(self) -> AccessToken | RefreshToken | None:
        """The authentic token that says who came, expired or not: the access token, if it is one,
        since the other may have been planted in the jar."""
        return self.access or self.refresh

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


class Tokens:
    """Makes and reads tokens with the keys of one configuration."""

    def __init__(self, settings: Settings, remote_keys: RemoteKeys | None = None) -> None:
        self._settings = settings
        self._trusted = Trusted(settings, remote_keys)
        self._access_keys = self._trusted.own_keys
        self._refresh_keys = refresh_keys(settings.secret_keys)
        self._refreshers = Trust(settings, self._refresh_keys)
        # As many as there are secrets, and in their order, like the key set they belong to.
        self._jti_keys = {
            key.kid: derive(secret, "refresh token jti")
            for key, secret in zip(self._refresh_keys.keys, settings.secret_keys, strict=True)
        }
        self._nesting = Nesting(settings) if settings.encryption_keys else None
        self._headers: dict[tuple[str, str, str], str] = {}
        self.verified: Bounded[str, AccessToken] = Bounded(settings.token_cache_size)
        """Access tokens whose signature and claims held; expiry is judged at every look."""
        self.hits: int = 0
        self.misses: int = 0
        """How often such a token was known, and how often it had to be verified. Counted without
        a lock: under threads a few may be missing."""
        self._read: Bounded[str, RefreshToken] = Bounded(settings.token_cache_size)
        """Refresh tokens likewise: many requests come with the same one when it is due."""

    @property
    def own_keys(self) -> KeySet | FileKeys:
        """Those that sign and verify our own access tokens."""
        return self._access_keys

    # ── Making ───────────────────────────────────────────────────────────────────

    def new_session(
        self,
        subject: str,
        claims: Mapping[str, Any] | None,
        *,
        persistent: bool,
        now: float,
        user_agent: str | None = None,
        address: str | None = None,
    ) -> Session:
        """A session that begins now, at generation 0; nothing is stored.

        Raises `InvalidClaims`, and ``TypeError`` or ``ValueError`` for what is no subject.
        """
        absolute = now + self._settings.session_lifetime
        return Session(
            id=new_session_id(_checked_subject(subject)),
            subject=subject,
            claims=custom_claims(claims, self._settings.identity_claim),
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

    def access(self, session: Session, *, generation: int, now: float, until: float = inf) -> str:
        """An access token that says the client holds the refresh token of ``generation``.
        It expires at ``until`` at the latest (seconds since the epoch).

        It enters the cache of verified tokens, still to be confirmed: only a token that
        comes back from a client proves that the client received it.
        Raises `TokenTooLarge`.
        """
        members = self.members(session, generation=generation, now=now, until=until)
        keys = self._access_keys
        version = keys.version  # read first: keys that change meanwhile make it outdated
        token = self.sign_access(members)
        if self.has_required_claims(members):
            subject, kid = session.subject, keys.signing.kid
            self.verified.put(
                token,
                AccessToken(members, subject, self._settings, keys=keys, version=version, kid=kid),
            )
        return token

    def sign_access(self, members: Mapping[str, Any]) -> str:
        """An access token with exactly this claims set.

        Raises `TokenTooLarge`, and `ConfigurationError` in a process that only verifies.
        """
        token = self._sign(ACCESS_TYPE, members, self._access_keys.signing)
        self._check_length(token, members)
        return token

    def _check_length(self, token: str, members: Mapping[str, Any]) -> None:
        """A token longer than we read would be worth nothing to its client."""
        limit = self._settings.max_token_length
        if len(token) > limit:
            ours = RESERVED | {self._settings.identity_claim}
            own = {name: value for name, value in members.items() if name not in ours}
            raise TokenTooLarge(f"the access token is over {limit} characters. {largest(own)}")

    def members(
        self, session: Session, *, generation: int, now: float, until: float = inf
    ) -> dict[str, Any]:
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
            "exp": int(min(self._access_expiry(session, now), until)),
            "jti": secrets.token_urlsafe(9),
            "sid": session.id,
            "rgen": generation,
            "rexp": int(session.expires_at),
            # The sign-in itself, however often it was reissued since.
            "auth_time": int(session.created_at),
        }

    def refresh(self, session: Session) -> str:
        """The refresh token of the generation a row stands at; the same on every node.

        It need not be read when it comes back to this process. Raises `TokenTooLarge`.
        """
        key = self._refresh_keys.signing
        jti = self._jti(key.kid, session, session.generation)
        members: dict[str, Any] = {
            "sub": session.subject,
            "sid": session.id,
            "gen": session.generation,
            "jti": jti,
            "iat": session.rotated_at,
            "exp": session.expires_at,
        }
        carried = self._settings.stateless
        if carried:
            members["ses"] = _carried(session)
        token = self._sign(REFRESH_TYPE, members, key)
        self._check_length(token, session.claims)
        if not carried:
            self._read.put(token, self._as_read(session, jti, key.kid))
        return token

    @staticmethod
    def _as_read(session: Session, jti: str, kid: str) -> RefreshToken:
        """What `read_refresh` finds in the refresh token of a row."""
        return RefreshToken(
            session_id=session.id,
            subject=session.subject,
            generation=session.generation,
            issued_at=session.rotated_at,
            expires_at=session.expires_at,
            jti=jti,
            kid=kid,
        )

    def _access_expiry(self, session: Session, now: float) -> float:
        return min(now + self._settings.access_token_expires, session.absolute_expires_at)

    def _jti(self, kid: str, session: Session, generation: int) -> str:
        message = f"{session.refresh_salt}.{session.id}.{generation}".encode()
        return encode_segment(hmac.digest(self._jti_keys[kid], message, sha256)[:16])

    def _sign(self, typ: str, members: Mapping[str, Any], key: Key) -> str:
        signing_input = f"{self._header(typ, key)}.{encode_object(members)}"
        token = f"{signing_input}.{encode_segment(key.sign(signing_input.encode()))}"
        return token if self._nesting is None else self._nesting.encrypt(token)

    def _header(self, typ: str, key: Key) -> str:
        """One for each kind of token and key, encoded once."""
        name = (typ, key.kid, key.algorithm)
        header = self._headers.get(name)
        if header is None:
            header = encode_object({"alg": key.algorithm, "typ": typ, "kid": key.kid})
            self._headers[name] = header
        return header

    # ── Reading ──────────────────────────────────────────────────────────────────

    def verify(
        self, access: str | None, refresh: str | None, *, now: float, may_wait: bool = False
    ) -> Verified:
        """Both tokens of a request; never raises for what a client sent.

        ``may_wait``: where the access token's keys may be outdated, the answer is no verdict
        but what has to be refreshed first (`Verified.awaits`). Without it, the same means that
        nobody can say now.
        """
        found = Verified()
        if access is not None:
            try:
                found.access = self.read_access(access, now=now, may_wait=may_wait)
                found.access_state = "expired" if found.access.expired(now) else "valid"
            except KeysAwaited as awaited:
                found.awaits = awaited
                if may_wait:
                    return found
            except InvalidToken:
                found.access_state = "invalid"
        if refresh is not None and self._refresh_keys.keys:
            try:
                found.refresh = self.read_refresh(refresh)
                # Without leeway: it is our own clock that judges it, here and in the row.
                expired = now >= found.refresh.expires_at
                found.refresh_state = "expired" if expired else "valid"
            except InvalidToken:
                found.refresh_state = "invalid"
        return found

    def read_access(self, token: str, *, now: float, may_wait: bool = False) -> AccessToken:
        """The token, if it is authentic and meant for us; perhaps expired.

        Raises `InvalidToken` and `KeysAwaited`.
        """
        known = self.verified.get(token)
        if known is not None and known.version == known.keys.version:
            look(known.keys, known.kid, now, may_wait)
            self.hits += 1
            return known
        self.misses += 1
        parts, nested = self._split(token)
        trust, members = self._trusted.select(parts)
        self._check_nesting(nested, ours=trust.ours)
        signer = trust.verify(parts, now=now, may_wait=may_wait)
        if members is None:
            members = decode_object(parts.payload)
        members, subject = trust.check(members, now, signer.typ)
        access = AccessToken(
            members,
            subject,
            self._settings,
            keys=trust.keys,
            version=signer.version,
            kid=signer.key.kid,
            foreign=trust.issuer is not None,
            until=inf if trust.legacy is None else trust.legacy.until,
        )
        if not access.expired(now):
            self.verified.put(token, access)
        return access

    def read_refresh(self, token: str) -> RefreshToken:
        """The token, if it is an authentic refresh token of ours; perhaps expired.

        Raises `InvalidToken`.
        """
        known = self._read.get(token)
        if known is not None:
            return known
        parts, nested = self._split(token)
        self._check_nesting(nested, ours=True)
        signer = self._refreshers.verify(parts, now=0, may_wait=False, types=REFRESH_TYPES)
        members = decode_object(parts.payload)
        # Only our own derived key signs these. If their form is not ours, another version of
        # this package made them, and what it meant is not guessed at.
        refresh = RefreshToken(
            session_id=text(members, "sid"),
            subject=text(members, "sub"),
            generation=generation(members, "gen"),
            issued_at=moment(members, "iat"),
            expires_at=moment(members, "exp"),
            jti=text(members, "jti"),
            kid=signer.key.kid,
            session=_restored(members) if self._settings.stateless else None,
        )
        if refresh.session is None:  # a carried one is this request's own
            self._read.put(token, refresh)
        return refresh

    def expiry(self, token: str) -> float:
        """``exp`` of a token we have just signed, and perhaps encrypted."""
        parts, _ = self._split(token)
        expiry: float = decode_object(parts.payload)["exp"]
        return expiry

    def _split(self, token: str) -> tuple[CompactJWS, bool]:
        """The signed token, and whether it came inside an encrypted one. Raises `InvalidToken`."""
        limit = self._settings.max_token_length
        if self._nesting is None or not is_encrypted(token):
            return split(token, limit), False
        return split(self._nesting.decrypt(token, limit), limit), True

    def _check_nesting(self, nested: bool, *, ours: bool) -> None:
        if self._nesting is not None:
            self._nesting.check(nested=nested, ours=ours)

    def matches(self, refresh: RefreshToken, session: Session) -> bool:
        """Whether the row gives this token's ``jti`` for its generation (constant time)."""
        expected = self._jti(refresh.kid, session, refresh.generation)
        return hmac.compare_digest(expected, refresh.jti) and refresh.subject == session.subject

    def has_required_claims(self, members: Mapping[str, Any]) -> bool:
        """Null is no value: a required claim of null is missing."""
        return has_required_claims(members, self._settings)


def _checked_subject(subject: str) -> str:
    """A subject that can be put into a token. Raises ``TypeError`` or ``ValueError``."""
    if not isinstance(subject, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # untyped
        raise TypeError(
            f"the subject must be text, not {type(subject).__name__}: write str(user.id)"
        )
    if not subject:
        raise ValueError("the subject must not be empty")
    return subject


# ── Stateless refresh tokens (session_store="none") ──────────────────────────────


_CARRIED = frozenset(("claims", "persistent", "created_at", "absolute_expires_at", "refresh_salt"))


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
    """The row again. Raises `InvalidToken`, also for the token of a row that is in a store."""
    carried = members.get("ses")
    if not is_object(carried) or carried.keys() != _CARRIED:
        raise InvalidToken("a refresh token of another version or configuration")
    if not is_object(carried["claims"]) or not isinstance(carried["persistent"], bool):
        raise InvalidToken("a carried session of another form")
    return Session(
        id=members["sid"],
        subject=members["sub"],
        generation=members["gen"],
        rotated_at=members["iat"],
        expires_at=members["exp"],
        last_seen_at=members["iat"],
        claims=carried["claims"],
        persistent=carried["persistent"],
        created_at=moment(carried, "created_at"),
        absolute_expires_at=moment(carried, "absolute_expires_at"),
        refresh_salt=text(carried, "refresh_salt"),
    )
