"""The record as server-sent events (WHATWG HTML, section 9.2).

A stream ends by itself after a while, and the browser opens the next one where this one ended
(``Last-Event-ID``). So nobody has to notice that a page was closed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from .recorder import Recorder

ROUNDS = 20
PATIENCE = 1.0
"""Seconds that are waited in a round: also the longest that the end of the server waits."""

BEGINNING = b"retry: 100\n\n"

HEADERS = [("Content-Type", "text/event-stream"), ("Cache-Control", "no-store")]


def told(recorder: Recorder, last: int) -> Iterator[bytes]:
    """For a server with threads."""
    yield BEGINNING
    for _ in range(ROUNDS):
        if recorder.closed:
            return
        for record in recorder.after(last, PATIENCE):
            last = record["id"]
            yield _message(record, recorder)


async def atold(recorder: Recorder, last: int) -> AsyncIterator[bytes]:
    """For an event loop."""
    yield BEGINNING
    for _ in range(ROUNDS):
        if recorder.closed:
            return
        for record in await asyncio.to_thread(recorder.after, last, PATIENCE):
            last = record["id"]
            yield _message(record, recorder)


def position(last_event_id: str | None) -> int:
    """Where a page that was told so far goes on."""
    return int(last_event_id) if last_event_id and last_event_id.isdecimal() else 0


def _message(record: Mapping[str, Any], recorder: Recorder) -> bytes:
    told_at = {**record, "now": recorder.clock()}
    return f"id: {record['id']}\ndata: {json.dumps(told_at)}\n\n".encode()
