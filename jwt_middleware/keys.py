"""Keys, prepared once, and where they come from.

One key has one algorithm (RFC 8725 section 3.1) and is found by its ``kid`` alone: a
token never gets to try several keys. The first key of a set signs; all of them verify,
which is what a roll-over needs.

This file knows secrets. What is read from PEM or JWK is prepared by
:mod:`jwt_middleware.jwk`, which needs ``cryptography``.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Protocol, TypeAlias

from .errors import ConfigurationError
from .jws import encode_segment

REFRESH_ALGORITHM = "HS256"
"""What refresh tokens are signed by, whatever the algorithm of access tokens."""

ASYMMETRIC = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
"""Algorithms with a public key (RFC 7518 section 3.1, RFC 8037). An RSA key fits several: where
neither it nor the configuration says which it is for, it is for the first."""

_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


def make_a_key(algorithm: str) -> str:
    """A command that prints a good private key for the algorithm; for one that needs none, the
    key that is advised."""
    if algorithm in _CURVES:
        return f"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:{_CURVES[algorithm]}"
    if algorithm.startswith(("RS", "PS")):
        return "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072"
    return "openssl genpkey -algorithm ed25519"


HASH_BYTES: Mapping[str, int] = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The shortest secret of each algorithm, in bytes (RFC 7518 section 3.2)."""


class Primitive(Protocol):
    """What an algorithm does with its keys."""

    def sign(self, msg: bytes, key: Any) -> bytes: ...

    def verify(self, msg: bytes, key: Any, sig: bytes) -> bool: ...


class SecretHash:
    """HS256 and its two relatives (RFC 7518 section 3.2).

    By the standard library alone: a process without public keys loads no PyJWT and no
    ``cryptography``, which are most of the time that a start takes.
    """

    __slots__ = ("_hash",)

    def __init__(self, algorithm: str) -> None:
        self._hash = f"sha{algorithm[2:]}"

    def prepare(self, secret: bytes) -> hmac.HMAC:
        """The key: a hash that has read the secret and no message. A copy of it takes two thirds
        of the time that a new one would."""
        return hmac.new(secret, None, self._hash)

    def sign(self, msg: bytes, key: hmac.HMAC) -> bytes:
        mac = key.copy()
        mac.update(msg)
        return mac.digest()

    def verify(self, msg: bytes, key: hmac.HMAC, sig: bytes) -> bool:
        return hmac.compare_digest(self.sign(msg, key), sig)


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """A key that is ready to verify with its one algorithm, and perhaps to sign."""

    kid: str
    algorithm: str
    _material: Any = field(repr=False)
    """What verifies: the secret, or the public key."""
    _primitive: Primitive = field(repr=False)
    _private: Any = field(default=None, repr=False)
    """What signs, where that is something else than what verifies."""
    public: Mapping[str, str] | None = field(default=None, repr=False)
    """The public half as a JWK (RFC 7517 section 4), to be published; None for a secret."""
    _well_formed: Callable[[bytes], bool] | None = field(default=None, repr=False)
    """Whether bytes are a signature at all, where a signature has a form."""

    @property
    def can_sign(self) -> bool:
        return self.public is None or self._private is not None

    def public_half(self) -> Key:
        """The same key, which can no longer sign; only for one that has a public half."""
        return replace(self, _private=None)

    def sign(self, signing_input: bytes) -> bytes:
        """Only a key that `can_sign` does."""
        material = self._material if self._private is None else self._private
        return self._primitive.sign(signing_input, material)

    def verify(self, signing_input: bytes, signature: bytes) -> bool:
        """Whatever the signature's length; a secret's in constant time."""
        if self._well_formed is not None and not self._well_formed(signature):
            return False
        return self._primitive.verify(signing_input, self._material, signature)


class KeySource(Protocol):
    """Where the keys of one issuer are found: a fixed set, files, or a remote set.

    What it has to do to stay up to date, it does when it is asked to, never in `find`:
    the decision about a request does no I/O, and whoever answers its commands
    (:mod:`jwt_middleware.world`) calls `refresh`, in a thread where there is an event loop.
    """

    version: int
    """Changes whenever the set does, just after it: what was verified before is then verified
    again."""

    due: float
    """From this moment on (seconds since the epoch) `stale` or `refresh_ahead` have something
    to do, even for keys that are known; ``inf`` where nothing ever changes."""

    usable: bool
    """False while there is no set to judge by: none has come yet, or the last one is too old.
    Then nobody can say that a token is bad, and its request is told to come again (503)."""

    def find(self, kid: str | None, algorithm: object, /) -> Key | None:
        """The one key that may verify; None if no key has this ``kid`` and algorithm.

        ``kid``: None where a token names none. Does no I/O and never blocks.
        """
        ...

    def stale(self, kid: str | None, now: float, /) -> bool:
        """Whether a request that needs this key should wait for `refresh`.

        Asked once ``now`` has reached `due`, or when `find` knew no such key. Cheap.
        """
        ...

    def refresh(self, kid: str | None, now: float, /) -> None:
        """Look for newer keys and wait for them. May block; never raises.

        Several callers at a time cause one look. A failure leaves the last good set. A source
        that can be waited for without a thread has an async ``arefresh``, too.
        """
        ...

    def refresh_ahead(self, now: float, /) -> None:
        """See to it that newer keys are there before the present ones are too old. Cheap,
        and moves `due`; asked once ``now`` has reached it."""
        ...


@dataclass(frozen=True)
class Fetched:
    """What a server answered that publishes keys.

    content:
        A JWK Set in JSON; None: what was fetched last has not changed (304).
    etag:
        Its entity tag, to be asked with the next time (RFC 9110 section 8.8.3).
    max_age:
        Seconds it may be kept; None where the server does not say.
    """

    content: bytes | None = field(repr=False)
    etag: str | None = None
    max_age: float | None = None


FetchKeys: TypeAlias = Callable[[str, str | None], Fetched]
"""``fetch(url, etag)`` asks for a document, in a thread where it may block. ``etag``: of what was
fetched last, or None. Raises whatever it likes; to have the reason in the log,
`jwt_middleware.errors.KeysNotFetched`."""


class KeySet:
    """Keys by ``kid``, which never change; the first one signs. A `KeySource`.

    A token without ``kid`` (from an issuer that sends none) is checked with the first key of
    its algorithm and no other: trying them all would multiply the cost of every forgery.
    """

    version = 0
    due = inf
    usable = True

    def __init__(self, keys: Iterable[Key]) -> None:
        self.keys: tuple[Key, ...] = tuple(keys)
        by_kid: dict[str, tuple[Key, ...]] = {}
        for key in self.keys:
            by_kid[key.kid] = (*by_kid.get(key.kid, ()), key)
        self._by_kid = by_kid

    @property
    def signing(self) -> Key:
        """The key that signs. Raises `ConfigurationError` if this set only verifies."""
        if not self.keys or not self.keys[0].can_sign:
            raise ConfigurationError(
                "this process only verifies tokens: it has no key to sign with. To issue, give "
                "it a secret_key, and for asymmetric algorithms a private_key, too."
            )
        return self.keys[0]

    def find(self, kid: str | None, algorithm: object, /) -> Key | None:
        """The one key that may verify; None if no key has this ``kid`` and algorithm."""
        candidates = self.keys if kid is None else self._by_kid.get(kid, ())
        for key in candidates:
            if key.algorithm == algorithm:
                return key
        return None

    def stale(self, _kid: str | None, _now: float, /) -> bool:
        return False

    def refresh(self, _kid: str | None, _now: float, /) -> None:
        """There is nothing to look for."""

    def refresh_ahead(self, _now: float, /) -> None:
        """There is nothing to look for."""


def access_keys(secrets: Sequence[bytes], algorithm: str) -> KeySet:
    """The keys of access tokens: the secrets themselves, so that any JWT library with the
    secret can verify what we issue."""
    return KeySet(_hmac_key(secret, algorithm, "access") for secret in secrets)


def refresh_keys(secrets: Sequence[bytes]) -> KeySet:
    """The keys of refresh tokens: derived for this one purpose, so that neither kind of
    token can ever be taken for the other (RFC 8725 section 3.11)."""
    return KeySet(
        _hmac_key(derive(secret, "refresh token signature"), REFRESH_ALGORITHM, "refresh")
        for secret in secrets
    )


def derive(secret: bytes, purpose: str) -> bytes:
    """32 bytes that are worth nothing for any other purpose."""
    return hmac.digest(secret, f"jwt_middleware {purpose}".encode(), hashlib.sha256)


def _hmac_key(secret: bytes, algorithm: str, purpose: str) -> Key:
    kid = encode_segment(derive(secret, f"{purpose} kid")[:6])
    primitive = SecretHash(algorithm)
    return Key(kid, algorithm, primitive.prepare(secret), primitive)
