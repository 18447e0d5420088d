"""Why a request that was copied is not signed in: the decision's own view of it, and its hints."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ..auth import JWTAuth
from ..hints import Hints
from ..request import Request
from ..settings import Settings
from ..transport import Channel, Presented
from .exits import Stop
from .findings import Finding, Level
from .given_request import GivenRequest
from .inspect import Inspected, verified

ABOUT = "request"


def look_at_request(given: GivenRequest, auth: JWTAuth) -> Iterator[Finding]:
    """What becomes of it, and why."""
    settings, parts, hints = auth.settings, auth.flow.parts, auth.flow.parts.denials.hints
    request = given.as_request(settings)
    presented = parts.transport.locate(request)
    if presented.channel is None:
        yield from _nothing_came(request, hints)
    elif presented.fault is not None:
        yield Finding(Level.LOST, ABOUT, f"its tokens do not count: {presented.fault}")
    else:
        yield from _judged(presented, settings)
    if presented.channel is not Channel.HEADERS and parts.csrf.origin_refuses(request):
        yield Finding(Level.LOST, "csrf", hints.cross_site(request).text)


# ── Tokens came ──────────────────────────────────────────────────────────────────


def _judged(presented: Presented, settings: Settings) -> Iterator[Finding]:
    came = {"access token": presented.access, "refresh token": presented.refresh}
    states = {kind: _state(token, settings) for kind, token in came.items() if token is not None}
    signed_in = "valid" in states.values()
    for kind, state in states.items():
        level = Level.GOOD if state == "valid" else Level.NOTE if signed_in else Level.LOST
        yield Finding(level, kind, state)


def _state(token: str, settings: Settings) -> str:
    try:
        found: Inspected = verified(token, settings, time.time())
    except Stop as stop:
        return str(stop)
    return found.state if found.reason is None else f"{found.state}: {found.reason}"


# ── None came ────────────────────────────────────────────────────────────────────


def _nothing_came(request: Request, hints: Hints) -> Iterator[Finding]:
    reasons = [hint.text for hint in hints.without_token(request)]
    reasons = reasons or ["no token came: sign in first, and see that the client keeps cookies"]
    for reason in reasons:
        yield Finding(Level.LOST, ABOUT, reason)
