"""Our own tokens, signed and then encrypted: a nested JWT (RFC 7519 section 5.2, RFC 7516).

There is one form of it: ``dir`` and A256GCM, a ``kid`` that names one of our keys, and a signed
token inside. A header that says anything else, or more, is refused before anything is decrypted,
unpacked or derived. And decrypting proves nothing: what comes out is read and verified like
every other token, by the same code.

Where tokens are encrypted, a plain one of ours does not count, unless `accept_unencrypted`
says so: whoever learns the key that signs could otherwise do without the other. Tokens of other
issuers, and those of the package used before, are plain, and never nested in ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from .errors import InvalidToken
from .jws import decode_object, decode_segment, encode_segment
from .keys import derive
from .settings import Settings

# Header, no encrypted key (RFC 7516 section 5.1, step 5), 96 bits of initialization vector,
# ciphertext, 128 bits of tag (RFC 7518 section 5.3).
_compact = re.compile(
    r"([A-Za-z0-9_-]+)\.\.([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{22})", re.ASCII
).fullmatch


def is_encrypted(token: str) -> bool:
    """Whether a token has the five segments of a JWE (RFC 7516 section 3.1)."""
    return token.count(".") == 4


class _Cipher(Protocol):
    def encrypt(self, header: Mapping[str, str], content: str, /) -> str: ...

    def decrypt(self, token: str, /) -> bytes: ...


class _EncryptionKey(NamedTuple):
    """A key, and the one header that its tokens have."""

    header: Mapping[str, str]
    cipher: _Cipher


class Nesting:
    """How our own tokens are encrypted, by one configuration that has keys for it."""

    def __init__(self, settings: Settings) -> None:
        keys = [_encryption_key(key) for key in settings.encryption_keys]
        self._by_kid = {key.header["kid"]: key for key in keys}
        self._newest = None if settings.encryption_key is None else keys[0]
        self._admits_plain = self._newest is None or settings.accept_unencrypted

    def encrypt(self, token: str) -> str:
        """The token as it travels: encrypted by the newest key, if there is one to encrypt by."""
        newest = self._newest
        return token if newest is None else newest.cipher.encrypt(newest.header, token)

    def decrypt(self, token: str, max_length: int) -> str:
        """The text inside an encrypted token, not yet believed. ``max_length``: characters.

        Raises `InvalidToken`.
        """
        if len(token) > max_length:
            raise InvalidToken(f"longer than max_token_length ({max_length} characters)")
        segments = _compact(token)
        if segments is None:
            raise InvalidToken("not the five segments of an encrypted token")
        header, *others = segments.groups()
        for segment in others:
            decode_segment(segment)  # one token has one spelling
        members = decode_object(header)
        kid = members.get("kid")
        key = self._by_kid.get(kid) if isinstance(kid, str) else None
        if key is None or members != key.header:
            raise InvalidToken("a header that is none of ours")
        try:
            return key.cipher.decrypt(token).decode("ascii")
        except UnicodeDecodeError:
            raise InvalidToken("no token is inside") from None

    def check(self, *, nested: bool, ours: bool) -> None:
        """Whether a token may come in this form. Raises `InvalidToken`.

        ``nested``: it came encrypted. ``ours``: it says that we have signed it.
        """
        if nested and not ours:
            raise InvalidToken("another issuer's token, encrypted by our key")
        if ours and not nested and not self._admits_plain:
            raise InvalidToken("not encrypted")


def _encryption_key(key: bytes) -> _EncryptionKey:
    from .jwe import Cipher  # a plug: needs joserfc

    kid = encode_segment(derive(key, "encryption kid")[:6])
    return _EncryptionKey(
        {"alg": "dir", "enc": "A256GCM", "cty": "JWT", "kid": kid},
        Cipher(key),
    )
