"""What happened: requests, what the middleware decided and why, and what a person did.

A record holds claims, never a token: whoever reads it can sign nobody in.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Condition
from typing import Any, NamedTuple

from jwt_middleware import Event

Claims = Mapping[str, Any]

KEPT = 400
"""Records that a page which is opened late is still shown."""


class Decision(NamedTuple):
    """What became of a request."""

    kind: str
    text: str


DECISIONS: Mapping[str, Decision] = {
    "reuse": Decision("revoked", "A spent refresh token was used: the session has ended."),
    "revoked": Decision("revoked", "The session has ended."),
    "csrf_refused": Decision("refused", "Another site caused this request."),
    "lost_response": Decision("replayed", "An answer was lost: the same successor again."),
    "replayed": Decision("replayed", "A sibling was first: it gets the same successor."),
    "login": Decision("issued", "Signed in: a session begins, with a new pair."),
    "reissued": Decision("reissued", "Reissued inside this very request."),
    "token_refused": Decision("refused", "A token came that does not count."),
}
"""By event, the most telling first."""

VALID = Decision("valid", "The access token is valid: no new tokens are needed.")
NOBODY = Decision("refused", "No token that counts: sign in.")


def decided(events: Sequence[Event], status: int) -> Decision:
    """The decision that the events of a request, or their absence, tell of."""
    names = {event.name for event in events}
    for name, decision in DECISIONS.items():
        if name in names:
            return decision
    return NOBODY if status in {303, 401, 403} else VALID


def claims_of(token: str) -> dict[str, Any]:
    """What a token says, unverified; nothing, if it is none. A token's own id is left out."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    return {name: value for name, value in claims.items() if name != "jti"}


@dataclass(slots=True)
class Passage:
    """A request on its way through, with the events it has caused so far."""

    who: str
    """``"you"``, or ``"elsewhere"``: whoever holds the stolen token."""
    line: str
    presented: Mapping[str, str]
    cookie: str
    """The header as the door is to see it."""
    events: list[Event] = field(default_factory=list[Event])


current: ContextVar[Passage | None] = ContextVar("passage", default=None)
"""The request that is being answered: the one an event belongs to."""


class Recorder:
    """The record, for any number of readers in any thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock: Callable[[], float] = clock
        self.closed: bool = False
        self._records: list[dict[str, Any]] = []
        self._news = Condition()
        self._last = 0

    def hear(self, event: Event) -> None:
        """An event, put down to the request that has caused it."""
        passage = current.get()
        if passage is not None:
            passage.events.append(event)

    def did(self, text: str) -> None:
        """Something a person did to the tokens, the clock or the keys."""
        self._add({"type": "action", "text": text})

    def answered(
        self, passage: Passage, status: int, delivered: Mapping[str, str], *, lost: bool
    ) -> None:
        """A request was answered, and these tokens went out; empty text: to be forgotten."""
        now = self.clock()
        decision = decided(passage.events, status)
        self._add(
            {
                "type": "request",
                "who": passage.who,
                "line": passage.line,
                "status": status,
                "kind": decision.kind,
                "text": decision.text,
                "why": [_told(event) for event in passage.events],
                "presented": {
                    kind: _state(claims_of(token), now) for kind, token in passage.presented.items()
                },
                "delivered": {kind: claims_of(token) for kind, token in delivered.items()},
                "lost": lost,
            }
        )

    def after(self, last: int, patience: float) -> list[dict[str, Any]]:
        """The records after that one; waits up to ``patience`` seconds for the first."""
        with self._news:
            self._news.wait_for(lambda: self.closed or self._last > last, patience)
            return [record for record in self._records if record["id"] > last]

    def close(self) -> None:
        """Let the readers go."""
        with self._news:
            self.closed = True
            self._news.notify_all()

    def _add(self, record: dict[str, Any]) -> None:
        with self._news:
            self._last += 1
            self._records.append({"id": self._last, "at": self.clock(), **record})
            del self._records[:-KEPT]
            self._news.notify_all()


def _state(claims: Claims, now: float) -> str:
    if "exp" not in claims:
        return "unreadable"
    left = claims["exp"] - now
    return f"{left:.0f} s left" if left > 0 else "expired"


def _told(event: Event) -> str:
    return event.name if event.reason is None else f"{event.name} ({event.reason})"
