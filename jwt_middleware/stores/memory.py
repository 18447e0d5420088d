"""Sessions in the memory of this process: for tests, and for programs of one process.

They end with the process, and a second worker does not see them. For anything that has to
survive a restart take :mod:`jwt_middleware.stores.sqlite`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from threading import Lock
from typing import Any, ClassVar, NamedTuple

from jwt_middleware.forks import in_each_child
from jwt_middleware.sessions import Rotation, Session


class _Epoch(NamedTuple):
    """Everybody out: what ``revoke_subject`` leaves behind for sessions written later."""

    at: float
    keep: str | None
    until: float
    reason: str

    def covers(self, session: Session) -> bool:
        return session.created_at <= self.at and session.id != self.keep


class MemorySessionStore:
    """A dict and a lock.

    A covered session never stands here unended: the epoch and the rows change under one
    lock, so a row is marked either by ``revoke_subject`` or, if it comes later, by
    ``create``. So ``revoked_at`` says all there is to say about a row that is stored.
    """

    inline: ClassVar[frozenset[str]] = frozenset(
        (
            "create",
            "load",
            "rotate",
            "confirm",
            "update",
            "revoke",
            "revoke_subject",
            "find",
            "purge",
            "close",
        )
    )
    """The verbs quick enough to be called straight on an event loop."""

    def __init__(self) -> None:
        self._begin_again()
        in_each_child(self._begin_again)
        self._sessions: dict[str, Session] = {}
        self._epochs: dict[str, _Epoch] = {}
        # So that no verb walks over all sessions: an event loop would stand still meanwhile.
        self._ids: dict[str, dict[str, None]] = {}
        self._ends: list[tuple[float, str]] = []
        self._epoch_ends: list[tuple[float, str]] = []

    def _begin_again(self) -> None:
        self._lock = Lock()

    def create(self, session: Session, *, ends: Sequence[str] = (), now: float) -> Session:
        with self._lock:
            if session.id in self._sessions:
                raise ValueError("a session with this id is stored already")
            for ended in ends:
                self._end(ended, "replaced", now)
            epoch = self._epochs.get(session.subject)
            if epoch is not None and epoch.covers(session) and not session.revoked:
                session = replace(session, revoked_at=epoch.at, revoked_reason=epoch.reason)
            stored = self._put(session)
            self._ids.setdefault(session.subject, {})[session.id] = None
            heappush(self._ends, (session.absolute_expires_at, session.id))
            return stored

    def load(self, session_id: str, *, now: float) -> Session | None:  # noqa: ARG002  # protocol
        with self._lock:
            return self._get(session_id)

    def rotate(
        self,
        session_id: str,
        *,
        expected: int,
        generation: int,
        rotated_at: float,
        expires_at: float,
        confirmed: int,
        claims: Mapping[str, Any] | None = None,
        now: float,
    ) -> Rotation:
        with self._lock:
            row = self._get(session_id)
            if row is None or row.revoked or row.generation != expected:
                return Rotation(row, won=False)
            raised = confirmed > row.confirmed_generation
            moved = replace(
                row,
                generation=generation,
                rotated_at=rotated_at,
                expires_at=expires_at,
                last_seen_at=now,
                claims=row.claims if claims is None else claims,
                confirmed_generation=confirmed if raised else row.confirmed_generation,
                confirmed_at=now if raised else row.confirmed_at,
            )
            return Rotation(self._put(moved), won=True)

    def confirm(self, session_id: str, *, generation: int, now: float) -> None:
        with self._lock:
            row = self._get(session_id)
            if row is None or row.revoked or row.generation != generation:
                return
            if row.confirmed_generation < generation:
                self._put(
                    replace(
                        row, confirmed_generation=generation, confirmed_at=now, last_seen_at=now
                    )
                )

    def update(
        self,
        session_id: str,
        claims: Mapping[str, Any],
        *,
        now: float,  # noqa: ARG002  # protocol
    ) -> Session | None:
        with self._lock:
            row = self._get(session_id)
            if row is None or row.revoked:
                return row
            return self._put(replace(row, claims=claims))

    def revoke(self, session_id: str, *, reason: str, now: float) -> bool:
        with self._lock:
            return self._end(session_id, reason, now)

    def revoke_subject(
        self, subject: str, *, reason: str, keep: str | None = None, until: float, now: float
    ) -> list[str]:
        with self._lock:
            known = self._epochs.get(subject)
            if known is None or now >= known.at:
                self._epochs[subject] = _Epoch(now, keep, until, reason)
                heappush(self._epoch_ends, (until, subject))
            others = [row.id for row in self._of(subject) if row.id != keep]
            return [session_id for session_id in others if self._end(session_id, reason, now)]

    def find(self, subject: str, *, now: float) -> list[Session]:
        with self._lock:
            alive = [_copy(row) for row in self._of(subject) if row.alive(now)]
        return sorted(alive, key=lambda row: row.created_at, reverse=True)

    def purge(self, before: float, *, limit: int = 1000) -> int:
        with self._lock:
            while self._epoch_ends and self._epoch_ends[0][0] <= before:
                _, subject = heappop(self._epoch_ends)
                epoch = self._epochs.get(subject)
                if epoch is not None and epoch.until <= before:  # no later one
                    del self._epochs[subject]
            gone = 0
            while gone < limit and self._ends and self._ends[0][0] <= before:
                _, session_id = heappop(self._ends)
                self._forget(self._sessions.pop(session_id))
                gone += 1
            return gone

    def close(self) -> None:
        """Nothing to let go of: the sessions stay."""

    # What follows is called with the lock held.

    def _get(self, session_id: str) -> Session | None:
        row = self._sessions.get(session_id)
        return None if row is None else _copy(row)

    def _put(self, session: Session) -> Session:
        """Keep a copy, answer another: the caller's claims are never the stored ones."""
        kept = self._sessions[session.id] = _copy(session)
        return _copy(kept)

    def _end(self, session_id: str, reason: str, now: float) -> bool:
        row = self._sessions.get(session_id)
        if row is None or row.revoked:
            return False
        self._sessions[session_id] = replace(row, revoked_at=now, revoked_reason=reason)
        return True

    def _of(self, subject: str) -> list[Session]:
        return [self._sessions[session_id] for session_id in self._ids.get(subject, ())]

    def _forget(self, session: Session) -> None:
        ids = self._ids[session.subject]
        del ids[session.id]
        if not ids:
            del self._ids[session.subject]


def _copy(session: Session) -> Session:
    # By way of JSON, as every other store has it: what cannot be stored there fails here too.
    return replace(session, claims=json.loads(json.dumps(dict(session.claims), allow_nan=False)))
