"""The answers the middleware gives in the app's place (RFC 6750 section 3).

Their text is fixed ASCII: nothing the client sent is ever echoed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote, urlencode

from .request import Request

RETRY_AFTER = 2
"""Seconds a client should wait when the session store is away."""

_DESCRIPTIONS = {
    "missing": "Sign in to use this resource.",
    "expired": "The access token expired. Send the refresh token too, or sign in again.",
    "invalid_request": "Send one Authorization field of the form: Bearer <token>.",
    "duplicate_cookie": "A token cookie came twice with different values. Sign in again.",
    "csrf": "Refused: another site caused this request. Expected an Origin of this host, "
    "one listed in trusted_origins, or Sec-Fetch-Site: same-origin.",
    "store_unavailable": "Sessions cannot be checked right now. Try again shortly.",
    "not_stored": "Sign-in and sign-out cannot be stored right now. Nothing was changed; "
    "try again shortly.",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A complete response: status, headers, body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def status_line(self) -> str:
        return f"{self.status} {HTTPStatus(self.status).phrase}"


def refuse(reason: str, request: Request) -> Refusal:
    """The answer for an anonymous request where sign-in is required.

    ``reason``: as ``RequestAuth.reason`` has it.
    """
    if reason == "store_unavailable":
        return unavailable("store_unavailable", request)
    if reason == "csrf":
        return _answer(403, "csrf_refused", reason, request)
    if reason == "invalid_request":
        challenge = _challenge("invalid_request", reason)
        return _answer(400, "invalid_request", reason, request, challenge)
    if reason == "missing":
        # RFC 6750 section 3: nothing was presented, so there is no error to name.
        return _answer(401, "unauthorized", reason, request, "Bearer")
    challenge = _challenge("invalid_token", reason)
    return _answer(401, "invalid_token", reason, request, challenge)


def unavailable(reason: str, request: Request) -> Refusal:
    """503: nothing was decided, and nothing was lost."""
    retry = ("Retry-After", str(RETRY_AFTER))
    return _answer(503, "temporarily_unavailable", reason, request, extra=(retry,))


def to_login(login_url: str, request: Request) -> Refusal:
    """303 to the login page, which learns where to go back to: always a local path."""
    # One leading slash, whatever came: "//host" and "/\host" lead to another site.
    local = "/" + quote((request.mount + request.path).lstrip("/\\"), errors="replace")
    if request.query:
        local = f"{local}?{request.query}"
    page, number_sign, fragment = login_url.partition("#")
    separator = "&" if "?" in page else "?"
    way_back = urlencode({"next": local}, errors="replace")
    location = f"{page}{separator}{way_back}{number_sign}{fragment}"
    body = b"Sign in first."
    headers = (
        ("Location", location),
        ("Cache-Control", "no-store"),
        ("Content-Type", "text/plain"),
        ("Content-Length", str(len(body))),
    )
    return Refusal(303, headers, body)


def _challenge(error: str, reason: str) -> str:
    return f'Bearer error="{error}", error_description="{_describe(reason)}"'


def _describe(reason: str) -> str:
    return _DESCRIPTIONS.get(reason, "The token is not valid. Sign in again.")


def _answer(
    status: int,
    error: str,
    reason: str,
    request: Request,
    challenge: str | None = None,
    extra: tuple[tuple[str, str], ...] = (),
) -> Refusal:
    members = {"error": error, "error_description": _describe(reason)}
    body = json.dumps(members).encode("ascii")
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        *extra,
    ]
    if challenge is not None:
        headers.append(("WWW-Authenticate", challenge))
    return Refusal(status, tuple(headers), b"" if request.method == "HEAD" else body)
