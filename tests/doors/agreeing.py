"""What a client, a view and the store can tell of a request: the same through both doors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from through import Answer

from jwt_middleware.events import Event
from jwt_middleware.handle import RequestAuth
from jwt_middleware.sessions import Session

TOKEN_FIELDS = ("x-access-token", "x-refresh-token")
OURS = (
    *("vary", "cache-control", "expires", "www-authenticate", "location", "retry-after"),
    *("content-length", "content-type", "access-control-expose-headers"),
)
"""The fields this middleware has a say in, but for those that carry tokens."""


@dataclass
class Outcome:
    """A request, as it ended."""

    status: int
    body: bytes
    reached: bool
    """The app was called."""
    reason: str | None = None
    subject: str | None = None
    claims: dict[str, Any] | None = None
    reissued: bool = False
    authenticated: bool = False
    channel: Any = None
    cookies: list[str] = field(default_factory=list)
    """Set-Cookie fields, values and all, but for the parts of a token that are drawn by lot."""
    fields: dict[str, list[str]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    verbs: list[str] = field(default_factory=list)
    """What the store was asked, in order."""
    rows: list[Session] = field(default_factory=list)
    """The store, afterwards."""


def outcome(
    answer: Answer,
    seen: RequestAuth | None,
    *,
    events: Iterable[Event],
    rows: Iterable[Session],
    verbs: Iterable[str] = (),
) -> Outcome:
    """Everything about it that must not depend on the door."""
    stored = sorted(rows, key=lambda row: (row.subject, row.created_at, row.generation))
    # An id is drawn by lot: what counts is whose session it is, and which of theirs.
    ids = {row.id: f"{row.subject} {number}" for number, row in enumerate(stored)}
    found = Outcome(
        answer.status,
        answer.body,
        seen is not None,
        cookies=sorted(_without_value(value) for value in answer.all("set-cookie")),
        fields={name: answer.all(name) for name in OURS},
        events=[replace(event, session_id=ids.get(event.session_id or "")) for event in events],
        verbs=list(verbs),
        rows=[replace(row, id=ids[row.id], refresh_salt="drawn by lot") for row in stored],
    )
    found.fields.update({name: ["…"] * len(answer.all(name)) for name in TOKEN_FIELDS})
    if seen is not None:
        found.reason, found.subject, found.reissued = seen.reason, seen.subject, seen.reissued
        found.authenticated, found.channel = seen.is_authenticated, seen.channel
        if seen.claims is not None:
            found.claims = {**seen.claims, "jti": "drawn by lot"}
            found.claims["sid"] = ids.get(seen.claims.get("sid", ""))
    return found


def _without_value(cookie: str) -> str:
    """A Set-Cookie field; of its value only whether there is one."""
    pair, semicolon, attributes = cookie.partition(";")
    name, equals, value = pair.partition("=")
    return name + equals + ("…" if value else "") + semicolon + attributes
