"""The store: each verb one conditional statement, or one short transaction."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, ClassVar, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from jwt_middleware.sessions import Rotation, Session
from jwt_middleware.stores.columns import as_json, columns_of, session_of
from jwt_middleware.stores.deadline import Deadline
from jwt_middleware.stores.sqlalchemy.engine import engine_of, together
from jwt_middleware.stores.sqlalchemy.statements import Statements, end_of, shown
from jwt_middleware.stores.sqlalchemy.tables import (
    EPOCHS,
    SESSIONS,
    epochs_table,
    make_tables,
    refuse_too_long,
    sessions_table,
)

T = TypeVar("T")

BATCH = 500
"""Rows that are deleted or ended at a time: no lock is held for longer than that takes."""


class SQLAlchemySessionStore:
    """Sessions in a database, given as a URL or as your own synchronous ``Engine``.

    With a URL the store makes its engine. Connections are tried before they are used, and a
    verb ends after ``timeout`` seconds, all its waits together: for a free connection, for a
    new one, for a lock, for an answer. (`purge` has as long for each batch; with the drivers
    psycopg2 and mysqldb each of the waits may take as long, and connecting 2 seconds at least.)
    An engine of yours is used as it is, and only its timeouts bound a verb;
    ``pool_pre_ping=True`` is advised.

    The tables are made on first need unless ``create_tables=False`` (you have migrations);
    ``metadata`` is where they are entered, and brings its schema.

    Where a connection is lost under a verb, nobody knows whether it was done. ``load``,
    ``find``, ``confirm`` and ``rotate`` are then done once more on a new connection: a second
    time they change nothing. Such a ``rotate`` may answer ``won=False`` to whoever did move
    the row; a loser hands out the same successor, so that nothing is lost by it. The other
    verbs raise, since their answer (who ended it?) or their effect (which claims stand?) could
    be wrong. Half of a log-out-everywhere is nearly all of it: it stores its epoch first, and
    with that every session that began before has ended, marked or not.
    """

    inline: ClassVar[frozenset[str]] = frozenset()
    """No verb is quick enough for an event loop: each is a round trip at least."""

    def __init__(
        self,
        engine_or_url: sa.Engine | sa.URL | str,
        *,
        metadata: sa.MetaData | None = None,
        sessions: str = SESSIONS,
        epochs: str = EPOCHS,
        timeout: float = 2.0,
        create_tables: bool = True,
    ) -> None:
        metadata = sa.MetaData() if metadata is None else metadata
        self._sessions = sessions_table(metadata, sessions)
        self._epochs = epochs_table(metadata, epochs)
        self._do = Statements(self._sessions, self._epochs)
        self._timeout = timeout
        self._owned = not isinstance(engine_or_url, sa.Engine)
        self._deadline = Deadline(timeout)
        self._engine = engine_of(engine_or_url, timeout, self._deadline)
        self._line = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._line.hide_parameters = True  # salts and claims: not in an error's text
        self._making = Lock()
        self._tables_are_there = not create_tables
        _stores.add(self)

    def create(self, session: Session, *, ends: Sequence[str] = (), now: float) -> Session:
        refuse_too_long(session.subject, session.id)
        with self._connection() as connection:
            with together(connection):
                for ended in sorted(ends):
                    connection.execute(self._do.revoke, end_of(ended, now, "replaced"))
                connection.execute(self._do.insert, columns_of(session))
            # Row first, then epoch; `revoke_subject` the other way round, each committed
            # before the next: at least one of the two sees the other.
            stored = self._read(connection, session.id) or session
            if stored.revoked and not session.revoked:
                covered = end_of(session.id, stored.revoked_at, stored.revoked_reason)
                connection.execute(self._do.mark, covered)
        return stored

    def load(self, session_id: str, *, now: float) -> Session | None:  # noqa: ARG002  # protocol
        return self._twice(lambda connection: self._read(connection, session_id))

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
        swap = {
            "p_id": session_id,
            "p_expected": expected,
            "p_generation": generation,
            "p_rotated_at": rotated_at,
            "p_expires_at": expires_at,
            "p_confirmed": confirmed,
            "p_claims": None if claims is None else as_json(claims),
            "p_now": now,
        }

        def step(connection: sa.Connection) -> Rotation:
            moved = self._changed(connection, self._do.rotate, swap)
            if moved is not None:
                return Rotation(moved, won=True)
            return Rotation(self._read(connection, session_id), won=False)

        return self._twice(step)

    def confirm(self, session_id: str, *, generation: int, now: float) -> None:
        proof = {"p_id": session_id, "p_generation": generation, "p_now": now}

        def step(connection: sa.Connection) -> None:
            row = self._read(connection, session_id)
            if row is None or row.revoked or row.generation != generation:
                return
            if row.confirmed_generation < generation:
                connection.execute(self._do.confirm, proof)

        self._twice(step)

    def update(
        self,
        session_id: str,
        claims: Mapping[str, Any],
        *,
        now: float,  # noqa: ARG002  # protocol
    ) -> Session | None:
        change = {"p_id": session_id, "p_claims": as_json(claims)}
        with self._connection() as connection:
            changed = self._changed(connection, self._do.update, change)
            return self._read(connection, session_id) if changed is None else changed

    def revoke(self, session_id: str, *, reason: str, now: float) -> bool:
        with self._connection() as connection:
            ended = connection.execute(self._do.revoke, end_of(session_id, now, reason))
            return ended.rowcount == 1

    def revoke_subject(
        self, subject: str, *, reason: str, keep: str | None = None, until: float, now: float
    ) -> list[str]:
        refuse_too_long(subject, keep or "")
        others = {"p_subject": subject, "p_keep": keep}
        epoch = others | {"p_at": now, "p_until": until, "p_reason": reason}
        with self._connection() as connection:
            self._store_epoch(connection, epoch)
            # Whoever is stored after this has seen the epoch, and marks itself.
            ids = list(connection.scalars(self._do.others, others))
            batches = [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]
            return [
                ended for batch in batches for ended in self._mark(connection, batch, now, reason)
            ]

    def find(self, subject: str, *, now: float) -> list[Session]:
        whose = {"p_subject": subject, "p_now": now}
        rows = self._twice(lambda connection: connection.execute(self._do.find, whose).all())
        return [shown(row) for row in rows]

    def purge(self, before: float, *, limit: int = 1000) -> int:
        self._purge(self._epochs.c.subject, self._epochs.c.until, before, limit)
        row = self._sessions.c
        return self._purge(row.id, row.absolute_expires_at, before, limit)

    def close(self) -> None:
        """Close the connections of an engine made here; a given one is its owner's."""
        if self._owned:
            self._engine.dispose()

    # ── What the verbs are made of ────────────────────────────────────────────────

    def _read(self, connection: sa.Connection, session_id: str) -> Session | None:
        row = connection.execute(self._do.load, {"p_id": session_id}).one_or_none()
        return None if row is None else shown(row)

    def _changed(
        self, connection: sa.Connection, change: sa.Update, values: dict[str, Any]
    ) -> Session | None:
        """The row as a conditional update leaves it; None if the condition did not hold."""
        if connection.dialect.update_returning:
            returning = change.returning(*self._sessions.c)
            row = connection.execute(returning, values).one_or_none()
            return None if row is None else session_of(row)
        # MariaDB and MySQL: read under the lock of the update, or it might have moved on.
        with together(connection):
            if not connection.execute(change, values).rowcount:
                return None
            return session_of(connection.execute(self._do.as_it_stands, values).one())

    def _mark(
        self, connection: sa.Connection, ids: Sequence[str], now: float, reason: str
    ) -> Sequence[str]:
        """End those of these sessions that nobody has ended meanwhile; answers which."""
        with together(connection):
            open_ = connection.scalars(self._do.lock, {"p_ids": ids}).all()
            if open_:
                end = {"p_ids": open_, "p_now": now, "p_reason": reason}
                connection.execute(self._do.mark_locked, end)
        return open_

    def _purge(self, key: sa.Column[Any], end: sa.Column[Any], before: float, limit: int) -> int:
        """Delete at most ``limit`` rows whose ``end`` is at or before ``before``, batch by batch,
        each in its own time."""
        gone = 0
        while gone < limit:
            size = min(BATCH, limit - gone)
            # Two statements: MySQL takes no LIMIT in a subquery.
            past = sa.select(key).where(end <= before).order_by(end).limit(size)
            with self._connection() as connection:
                keys = list(connection.scalars(past))
                # Once more `before`: an epoch may have been moved meanwhile.
                delete = key.table.delete().where(key.in_(keys), end <= before)
                gone += connection.execute(delete).rowcount
            if len(keys) < size:
                break
        return gone

    def _store_epoch(self, connection: sa.Connection, epoch: dict[str, Any]) -> None:
        """The subject's epoch is now this one, unless a later one is stored already."""
        if connection.execute(self._do.move_epoch, epoch).rowcount:
            return
        try:
            connection.execute(self._do.new_epoch, epoch)
        except IntegrityError:  # there is one: a later one, or one stored just now
            connection.execute(self._do.move_epoch, epoch)

    def _twice(self, step: Callable[[sa.Connection], T]) -> T:
        """``step``, and once more if its connection is lost. A server that keeps silent, which
        shows in the time it took, is not waited for again."""
        with self._deadline.running():
            try:
                with self._connection() as connection:
                    return step(connection)
            except DBAPIError as lost:
                in_vain = self._deadline.left() < self._timeout / 2
                if not lost.connection_invalidated or in_vain:
                    raise
            with self._connection() as connection:
                return step(connection)

    @contextmanager
    def _connection(self) -> Generator[sa.Connection, None, None]:
        """A connection on which each statement commits by itself, for as long as is left."""
        with self._deadline.running():
            if not self._tables_are_there:
                self._make_tables()
            with self._line.connect() as connection:
                yield connection

    def _make_tables(self) -> None:
        with self._making:
            make_tables(self._line, [self._sessions, self._epochs])
            self._tables_are_there = True

    def forget_connections(self) -> None:
        """In a forked child: the connections are the parent's, and so is a lock that is held.

        Called by itself after ``os.fork``, for a given engine too."""
        _inherited.append(self._engine.pool)  # letting go of them might end them: leaked
        self._engine.dispose(close=False)
        self._making = Lock()


# ── Forks: a child begins with no connections ─────────────────────────────────────

_stores: weakref.WeakSet[SQLAlchemySessionStore] = weakref.WeakSet()

_inherited: list[sa.Pool] = []


def _after_fork() -> None:
    for store in list(_stores):
        store.forget_connections()


if sys.platform != "win32":  # pragma: no branch
    os.register_at_fork(after_in_child=_after_fork)
