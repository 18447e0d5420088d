"""How long an open connection may stay open: for a WebSocket, decided as a request is.

A handshake is signed in once, and a connection may outlive what signed it in. So beside each one
stands this generator, which does no I/O and reads no clock. It sleeps until something could have
changed, and ends with the reason to close the connection:

    the access token has ended           1008, at that moment
    this process has seen the session end  1008, at once
    the store says that it has ended     1008, where check_session asks it
    the store cannot be asked            1013, where check_session asks it
"""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

from .driver import Asks
from .errors import StoreUnavailable
from .handle import Parts, RequestAuth
from .sessions import not_alive, store
from .world import hooks, timer

CHECK_EVERY: Final = 30.0
"""Seconds between two looks at the store with ``check_session="always"``: an open connection
makes no requests that could ask it."""

POLICY_VIOLATION: Final = 1008
"""RFC 6455 section 7.4.1."""
TRY_AGAIN_LATER: Final = 1013
"""Of IANA's registry of close codes."""

_TEXTS = {
    "expired": "The access token expired. Connect again.",
    "store_unavailable": "Sessions cannot be checked right now. Try again shortly.",
}
_ENDED = "The session has ended. Sign in again."


class Ending(NamedTuple):
    """Why and how a connection is closed."""

    code: int
    text: str
    """Fixed ASCII, for the client."""


def watched(auth: RequestAuth) -> bool:
    """Whether anything could end this connection: nobody is signed in on some, and on others
    the token is another issuer's and its end does not count."""
    closes = auth.parts.settings.websocket_close_on_expiry
    return auth.claims is not None and (closes or auth.session_id is not None)


def watch(auth: RequestAuth) -> Asks[Ending]:
    """Sleep until the connection has to be closed. For a connection that is `watched`."""
    parts, session_id = auth.parts, auth.session_id
    ends_at, check_at = _end(auth), _first_check(auth)
    while True:
        now = yield from timer.wait(min(ends_at, check_at))
        if now is None:
            return _ending(auth, "revoked")
        if now >= ends_at:
            return _ending(auth, "expired")
        if now >= check_at:
            reason = yield from _ask_store(auth, session_id or "", now)
            if reason is not None:
                return _ending(auth, reason)
            check_at = now + _interval(parts)


def _end(auth: RequestAuth) -> float:
    settings, access = auth.parts.settings, auth.access
    if auth.claims is None or not settings.websocket_close_on_expiry:
        return inf
    if access is not None and access.claims is auth.claims:
        return access.expires_at  # one of former times has a date beside its own
    end: float = auth.claims["exp"] + settings.leeway
    return end


def _first_check(auth: RequestAuth) -> float:
    """Counted from when the store was last asked, which may have been for another request."""
    lag, access = auth.parts.settings.check_session, auth.access
    if lag == "never" or auth.session_id is None:
        return inf
    first = auth.now + _interval(auth.parts)
    if access is None or isinstance(lag, str) or access.session_id != auth.session_id:
        return first  # it was asked for this handshake
    return min(first, access.checked_until)


def _interval(parts: Parts) -> float:
    settings = parts.settings
    if settings.websocket_check_every is not None:
        return settings.websocket_check_every
    lag = settings.check_session
    return CHECK_EVERY if isinstance(lag, str) else lag


def _ask_store(auth: RequestAuth, session_id: str, now: float) -> Asks[str | None]:
    """Why the session does not count any more; None: it does."""
    try:
        session = yield from store.load(session_id, now=now)
    except StoreUnavailable:
        yield from hooks.emit(auth.event("store_unavailable"))
        return "store_unavailable"
    reason = not_alive(session, now)
    if reason is None:
        return None
    if reason == "revoked":
        auth.parts.memory.end(session_id)
    subject = auth.subject
    auth.anonymous(reason)
    yield from hooks.emit(auth.event("token_refused", session_id, subject))
    return reason


def _ending(auth: RequestAuth, reason: str) -> Ending:
    """The app may ask why: it is anonymous from here on, for this reason."""
    auth.anonymous(reason)
    code = TRY_AGAIN_LATER if reason == "store_unavailable" else POLICY_VIOLATION
    return Ending(code, _TEXTS.get(reason, _ENDED))
