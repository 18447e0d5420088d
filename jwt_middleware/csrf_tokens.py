"""CSRF tokens: made for one session, and good for no other.

    token = salt + HMAC(derived key, salt, session id)

Nothing is stored: whoever knows the secret can tell whether a token is of a session. The salt
is new each time, so that a page which shows the token never shows it twice alike, and
compression tells nobody what it is. All tokens of a session are good for as long as it lives.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from hashlib import sha256

from .jws import encode_segment
from .keys import derive

SALT_LENGTH = 22
"""Characters: 128 bits as base64url."""

VISITOR = ""
"""In place of a session id: somebody who has none yet, and is about to sign in."""


class CsrfTokens:
    """Makes and checks tokens with keys that are good for nothing else."""

    def __init__(self, secret_keys: Sequence[bytes]) -> None:
        """``secret_keys``: the one that signs first; the others still verify."""
        self._keys = [derive(secret, "csrf token") for secret in secret_keys]

    def make(self, session_id: str) -> str:
        """64 characters of ``[A-Za-z0-9_-]``."""
        return _signed(self._keys[0], secrets.token_urlsafe(16), session_id)

    def holds(self, token: str, session_id: str) -> bool:
        """Whether the token was made for this session."""
        if not token.isascii():
            return False
        salt = token[:SALT_LENGTH]
        good = [hmac.compare_digest(_signed(key, salt, session_id), token) for key in self._keys]
        return any(good)


def _signed(key: bytes, salt: str, session_id: str) -> str:
    # The salt has a fixed length: where it ends and the id begins is no question.
    return salt + encode_segment(hmac.digest(key, (salt + session_id).encode(), sha256))
