"""Security events: what happened to whom, told to a hook and to the log.

An event holds ids and reasons, never a token, a cookie or a secret (S53).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

EventName: TypeAlias = Literal[
    "login",
    "reissued",
    "replayed",
    "lost_response",
    "reuse",
    "revoked",
    "csrf_refused",
    "token_refused",
    "store_unavailable",
    "store_behind",
    "oversized",
]

_logger = logging.getLogger("jwt_middleware")
_LOUD = frozenset(("reuse", "store_unavailable", "store_behind", "oversized"))


@dataclass(frozen=True, slots=True)
class Event:
    """Something a security team wants to count."""

    name: EventName
    at: float
    """Seconds since the epoch."""
    reason: str | None = None
    subject: str | None = None
    session_id: str | None = None


EventHook: TypeAlias = Callable[[Event], None]


def advise(text: str) -> None:
    """Tell whoever runs the app what is probably wrong with its configuration."""
    _logger.warning("a request is not signed in, or will not stay so: %s", text)


def heard(name: EventName, hook: EventHook | None) -> bool:
    """Whether an event of that name would reach anybody."""
    return hook is not None or _logger.isEnabledFor(_level(name))


def tell(event: Event, hook: EventHook | None) -> None:
    """Log the event and hand it to the hook, whose failures never reach a request."""
    _logger.log(
        _level(event.name),
        "%s (reason=%s, session=%r)",
        event.name,
        event.reason,
        event.session_id,
        extra={"jwt_event": event},
    )
    if hook is not None:
        try:
            hook(event)
        except Exception:
            _logger.exception("on_event failed for %s", event.name)


def _level(name: EventName) -> int:
    return logging.WARNING if name in _LOUD else logging.INFO
