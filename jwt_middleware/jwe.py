"""Encryption by joserfc, of the one kind we use: ``dir`` with A256GCM (RFC 7516, RFC 7518).

What a header may say, and which key it means, has been judged before
(:mod:`jwt_middleware.nesting`); this file only has the library do its work.
"""

from __future__ import annotations

from collections.abc import Mapping

from joserfc.errors import JoseError
from joserfc.jwe import JWERegistry, decrypt_compact, encrypt_compact
from joserfc.jwk import OctKey

from .errors import InvalidToken

_REGISTRY = JWERegistry(algorithms=("dir", "A256GCM"))


class Cipher:
    """A key that is ready to encrypt and decrypt."""

    def __init__(self, key: bytes) -> None:
        self._key = OctKey.import_key(key)

    def encrypt(self, header: Mapping[str, str], content: str) -> str:
        """A compact JWE, with an initialization vector that has never been used."""
        return encrypt_compact(dict(header), content, self._key, registry=_REGISTRY)

    def decrypt(self, token: str) -> bytes:
        """What a compact JWE holds. Raises `InvalidToken` unless this key has encrypted it."""
        try:
            return decrypt_compact(token, self._key, registry=_REGISTRY).plaintext or b""
        except (JoseError, ValueError):
            raise InvalidToken("it cannot be decrypted") from None
