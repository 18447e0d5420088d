"""Tokens as another library, or an attacker, would make them: each part exactly as given.

Nothing here is taken from the package: what it reads is judged against an independent pen.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from stepping import SECRET, START

from jwt_middleware.settings import Settings
from jwt_middleware.tokens import Tokens

OLD_SECRET = "the secret before it, 32 bytes and more"
STRANGE_SECRET = "the secret of somebody else, 32 bytes or more"

NOW = START
HEADER: dict[str, Any] = {"alg": "HS256", "typ": "JWT"}
CLAIMS: dict[str, Any] = {"sub": "alice", "iat": int(NOW), "exp": int(NOW) + 600}

Part: TypeAlias = Mapping[str, Any] | str | bytes
"""An object to be written as JSON, JSON text, or the bytes themselves."""


def make_settings(**settings: Any) -> Settings:
    """Settings with the tests' secret, of values that type checkers might object to."""
    settings.setdefault("secret_key", SECRET)
    return Settings(**settings)


def make_tokens(**settings: Any) -> Tokens:
    return Tokens(make_settings(**settings))


def b64(content: bytes) -> str:
    """Unpadded base64url."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def content_of(part: Part) -> bytes:
    if isinstance(part, bytes):
        return part
    text = part if isinstance(part, str) else json.dumps(part)
    return text.encode("utf-8", "surrogatepass")


def forge(header: Part, payload: Part, *, secret: str | bytes = SECRET) -> str:
    """A token with these parts and a good HS256 signature."""
    return signed(f"{b64(content_of(header))}.{b64(content_of(payload))}", secret=secret)


def signed(signing_input: str, *, secret: str | bytes = SECRET, hash_name: str = "sha256") -> str:
    """Two segments, well-formed or not, with a good signature as the third."""
    key = secret.encode() if isinstance(secret, str) else secret
    message = signing_input.encode("utf-8", "surrogatepass")
    return f"{signing_input}.{b64(hmac.digest(key, message, hash_name))}"


def refresh_secret(secret: str = SECRET) -> bytes:
    """The key of refresh tokens, as it is derived from the secret."""
    purpose = b"jwt_middleware refresh token signature"
    return hmac.digest(secret.encode(), purpose, hashlib.sha256)


def part_of(token: str, index: int) -> dict[str, Any]:
    """The header (0) or the payload (1) of a token."""
    segment = token.split(".")[index]
    return json.loads(base64.urlsafe_b64decode(segment + "=="))
