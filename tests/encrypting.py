"""Encrypted tokens as another program, or an attacker, would make them: each part as given.

AES by hand, after RFC 7516 section 5 and RFC 7518 section 5.3: neither the package nor the
library it uses has a part in it.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from forging import Part, b64, content_of, make_tokens

from jwt_middleware.tokens import Tokens

KEY = bytes(range(100, 132))
OLD_KEY = bytes(range(50, 82))
STRANGE_KEY = bytes(range(7, 39))
IV = b"twelve bytes"


def encrypting(**settings: Any) -> Tokens:
    """A process that encrypts, and has seen nothing yet."""
    return make_tokens(**{"encryption_key": KEY, **settings})


def header_of(token: str) -> dict[str, Any]:
    return json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))


def our_header(key: bytes = KEY) -> dict[str, Any]:
    """The header of the tokens we encrypt by this key."""
    return header_of(encrypting(encryption_key=key).sign_access({}))


def encrypt(
    content: str | bytes,
    header: Part | None = None,
    *,
    key: bytes = KEY,
    iv: bytes = IV,
    encrypted_key: bytes = b"",
) -> str:
    """A compact JWE with exactly this header and content, and a good tag."""
    protected = b64(content_of(our_header(key) if header is None else header))
    plain = content.encode() if isinstance(content, str) else content
    sealed = AESGCM(key).encrypt(iv, plain, protected.encode())
    parts = (encrypted_key, iv, sealed[:-16], sealed[-16:])
    return ".".join((protected, *map(b64, parts)))


def decrypt(token: str, *, key: bytes = KEY) -> bytes:
    """What a compact JWE holds, by hand; raises ``InvalidTag`` for another key or header."""
    protected, _, *segments = token.split(".")
    iv, content, tag = (base64.urlsafe_b64decode(one + "==") for one in segments)
    return AESGCM(key).decrypt(iv, content + tag, protected.encode())
