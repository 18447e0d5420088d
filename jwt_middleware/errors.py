"""Everything that can go wrong, as one tree.

Each error says what was wrong, where, and what to do about it. None of them ever
holds a token, a cookie or a secret: errors end up in logs.

Errors about a *token* never leave the middleware: they become an anonymous request
or an answer of RFC 6750 section 3. Errors about a *mistake of the app or its
configuration* are raised to the person who can mend it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class JWTMiddlewareError(Exception):
    """The root of every error this package raises."""


# ── Mistakes that a developer or operator mends ──────────────────────────────────


class ConfigurationError(JWTMiddlewareError, ValueError):
    """The settings cannot work, or would not be safe. Raised at start-up.

    ``faults`` lists every fault found, not just the first.
    """

    def __init__(self, faults: str | Sequence[str]) -> None:
        self.faults: tuple[str, ...] = (faults,) if isinstance(faults, str) else tuple(faults)
        if len(self.faults) == 1:
            text = self.faults[0]
        else:
            text = f"{len(self.faults)} faults:" + "".join(
                f"\n  - {fault}" for fault in self.faults
            )
        super().__init__(f"jwt_middleware cannot start: {text}")


class MiddlewareNotInstalled(JWTMiddlewareError, LookupError):
    """``get_auth`` was asked about a request that never passed the middleware."""


class ResponseStarted(JWTMiddlewareError, RuntimeError):
    """The response has begun, so nothing can be added to its headers any more."""


class PathIgnored(JWTMiddlewareError, RuntimeError):
    """The middleware leaves this request alone: its path is listed in ``ignore_paths``, or it is a
    CORS preflight."""


class NotAuthenticated(JWTMiddlewareError, RuntimeError):
    """The call needs a signed-in request."""


class SessionsNotStored(JWTMiddlewareError, RuntimeError):
    """The call needs a session store, and ``session_store`` is ``"none"``."""


class TokenTooLarge(JWTMiddlewareError, ValueError):
    """A token would not fit where it has to travel; names the largest claims."""


class InvalidClaims(JWTMiddlewareError, ValueError):
    """Claims that cannot be put into a token: reserved names, or not JSON."""


class CrossSiteRequest(JWTMiddlewareError):
    """``login`` or ``logout`` was called for a request another site caused (CSRF)."""

    status: ClassVar[int] = 403


# ── The world outside ────────────────────────────────────────────────────────────


class StoreUnavailable(JWTMiddlewareError):
    """The session store (or a hook) failed; the cause is chained to it."""

    status: ClassVar[int] = 503

    def __init__(self, text: str, *, decisive: bool = False) -> None:
        super().__init__(text)
        self.decisive = decisive
        """503 also where nobody has to be signed in: the app's own hook failed, or the store
        had to vouch for a valid token (``check_session``)."""


class KeysNotFetched(JWTMiddlewareError):
    """The keys of an issuer could not be had; its text goes to the log."""


# ── Tokens that are refused (RFC 6750 section 3.1) ───────────────────────────────


class TokenError(JWTMiddlewareError):
    """A token that does not count. ``reason`` is what ``RequestAuth.reason`` shows."""

    reason: ClassVar[str] = "invalid_token"


class InvalidToken(TokenError):
    """Malformed, forged, of another kind, or with claims that do not hold."""


class InvalidRequest(TokenError):
    """The Authorization field itself is malformed or ambiguous (RFC 6750 section 3.1)."""

    reason = "invalid_request"


class DuplicateCookie(TokenError):
    """One of our cookies came twice with different values (cookie tossing)."""

    reason = "duplicate_cookie"
