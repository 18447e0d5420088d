"""The answers the middleware gives in the app's place (RFC 6750 section 3, RFC 9470 section 3).

Their text is fixed ASCII: nothing the client sent is ever echoed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote, urlencode

from .access import Requirement
from .request import Request

RETRY_AFTER = 2
"""Seconds a client should wait when the session store is away."""

SIGN_IN = "Sign in to use this resource."

_DESCRIPTIONS = {
    "missing": SIGN_IN,
    "expired": "The access token expired. Send the refresh token too, or sign in again.",
    "invalid_request": "Send one Authorization field of the form: Bearer <token>.",
    "duplicate_cookie": "A token cookie came twice with different values. Sign in again.",
    "store_unavailable": "Sessions cannot be checked right now. Try again shortly.",
    "insufficient_role": "A role is needed here that the signed-in user does not have.",
    "insufficient_scope": "A scope is needed here that the access token does not have.",
    "insufficient_user_authentication": "A more recent sign-in is needed here. Sign in again.",
    "not_renewed": "No new token can be handed out right now. Try again shortly, with the newest "
    "refresh token.",
    "no_refresh_token": "Send a refresh token, where every other request carries it.",
    "no_grant": "The refresh token is not valid, or its session has ended. Sign in again.",
    "not_stored": "Sign-in and sign-out cannot be stored right now. Nothing was changed; "
    "try again shortly.",
}

CSRF_REASONS = frozenset(("csrf", "csrf_token_missing", "csrf_token_invalid"))


@dataclass(frozen=True, slots=True)
class Refusal:
    """A complete response: status, headers, body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def status_line(self) -> str:
        return f"{self.status} {HTTPStatus(self.status).phrase}"


def refuse(
    reason: str,
    request: Request,
    requirement: Requirement | None = None,
    *,
    explanation: str | None = None,
) -> Refusal:
    """The answer for a request that may not have what it asks for.

    ``reason``: as ``RequestAuth.unmet`` has it. ``requirement``: what was unmet, so that the
    client learns what to ask its authorization server for. ``explanation``: what was expected,
    where that depends on the configuration or on what came.
    """
    if reason in ("insufficient_scope", "insufficient_role"):
        # RFC 6750 section 3.1 has one name for all that a better token would be allowed.
        needed = sorted(requirement.scopes) if requirement is not None else []
        scope = f', scope="{" ".join(needed)}"' if needed else ""
        challenge = _challenge("insufficient_scope", reason) + scope
        return _answer(403, "insufficient_scope", reason, request, challenge)
    if reason == "insufficient_user_authentication":
        max_age = requirement.max_age if requirement is not None else None
        age = "" if max_age is None else f', max_age="{int(max_age)}"'
        return _answer(401, reason, reason, request, _challenge(reason, reason) + age)
    if reason == "store_unavailable":
        return unavailable("store_unavailable", request)
    if reason in CSRF_REASONS:
        return _answer(403, "csrf_refused", reason, request, explanation=explanation)
    if reason == "invalid_request":
        challenge = _challenge("invalid_request", reason)
        return _answer(400, "invalid_request", reason, request, challenge)
    if reason == "missing":
        # RFC 6750 section 3: nothing was presented, so there is no error to name.
        return _answer(401, "unauthorized", reason, request, "Bearer", explanation=explanation)
    challenge = _challenge("invalid_token", reason)
    return _answer(401, "invalid_token", reason, request, challenge)


def refuse_grant(reason: str, request: Request, explanation: str | None = None) -> Refusal:
    """The answer of `refresh_path` to a refresh token that is worth nothing (RFC 6749 section
    5.2); ``reason`` and ``explanation``: as `refuse` has them."""
    if reason == "missing":
        return _answer(400, "invalid_request", "no_refresh_token", request)
    if reason in CSRF_REASONS or reason in ("invalid_request", "store_unavailable"):
        return refuse(reason, request, explanation=explanation)
    return _answer(400, "invalid_grant", "no_grant", request)


def refuse_method(request: Request, *allowed: str) -> Refusal:
    """405: ``allowed`` is what the endpoint is asked by, the usual one first (RFC 9110 15.5.6)."""
    return _answer(
        405,
        "invalid_request",
        "method",
        request,
        extra=(("Allow", ", ".join(allowed)),),
        explanation=f"Send {allowed[0]}.",
    )


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
    explanation: str | None = None,
) -> Refusal:
    members = {"error": error, "error_description": explanation or _describe(reason)}
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
