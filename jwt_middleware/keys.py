"""Keys, prepared once, and sets of them.

One key has one algorithm (RFC 8725 section 3.1) and is found by its ``kid`` alone: a
token never gets to try several keys. The first key of a set signs; all of them verify,
which is what a roll-over needs.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jwt.algorithms import Algorithm, get_default_algorithms

from .jws import encode_segment

REFRESH_ALGORITHM = "HS256"


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """A key that is ready to sign and verify with its one algorithm."""

    kid: str
    algorithm: str
    _material: Any = field(repr=False)
    _primitive: Algorithm = field(repr=False)

    def sign(self, signing_input: bytes) -> bytes:
        return self._primitive.sign(signing_input, self._material)

    def verify(self, signing_input: bytes, signature: bytes) -> bool:
        """In constant time, whatever the signature's length."""
        return self._primitive.verify(signing_input, self._material, signature)


class KeySet:
    """Keys by ``kid``; the first one signs.

    A token without ``kid`` (from an issuer that sends none) is checked with the first key
    and no other: trying them all would multiply the cost of every forgery.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self.keys = tuple(keys)
        self._by_kid = {key.kid: key for key in self.keys}

    @property
    def signing(self) -> Key:
        return self.keys[0]

    def find(self, kid: str | None, algorithm: object) -> Key | None:
        """The one key that may verify; None if no key has this ``kid`` and algorithm."""
        key = self.signing if kid is None else self._by_kid.get(kid)
        return key if key is not None and key.algorithm == algorithm else None


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
    primitive = get_default_algorithms()[algorithm]
    kid = encode_segment(derive(secret, f"{purpose} kid")[:6])
    return Key(kid, algorithm, primitive.prepare_key(secret), primitive)
