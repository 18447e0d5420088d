"""Sessions in one SQLite file: the default, for the processes of one machine.

Three ideas, from the top down: the verbs, each one statement or one transaction; the line,
a connection held by each thread; and the file, made and recognised.

Not for a network file system: SQLite's locks do not hold there.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
import time
import weakref
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock, RLock, local
from types import TracebackType
from typing import Any, Literal

from jwt_middleware.errors import ConfigurationError
from jwt_middleware.sessions import Rotation, Session
from jwt_middleware.stores.columns import as_json, columns_of, session_of

OLDEST_LIBRARY = (3, 35, 0)
"""The first SQLite with ``RETURNING``."""

APPLICATION_ID = 0x6A776D77
"""``jwmw``, in the file's header: tells our files from everybody else's."""

SCHEMA_VERSION = 1

# The table has Session's fields in Session's order, so that `*` is a Session. It stays so:
# a file of another schema version is refused.
_SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS sessions (
        id TEXT NOT NULL PRIMARY KEY,
        subject TEXT NOT NULL,
        claims TEXT NOT NULL,
        persistent INTEGER NOT NULL,
        created_at REAL NOT NULL,
        rotated_at REAL NOT NULL,
        expires_at REAL NOT NULL,
        absolute_expires_at REAL NOT NULL,
        refresh_salt TEXT NOT NULL,
        generation INTEGER NOT NULL,
        confirmed_generation INTEGER NOT NULL,
        confirmed_at REAL NOT NULL,
        last_seen_at REAL NOT NULL,
        revoked_at REAL,
        revoked_reason TEXT,
        user_agent TEXT,
        address TEXT
    )
    """,
    "CREATE INDEX IF NOT EXISTS sessions_subject ON sessions (subject)",
    "CREATE INDEX IF NOT EXISTS sessions_end ON sessions (absolute_expires_at)",
    """
    CREATE TABLE IF NOT EXISTS epochs (
        subject TEXT NOT NULL PRIMARY KEY,
        at REAL NOT NULL,
        keep TEXT,
        until REAL NOT NULL,
        reason TEXT NOT NULL
    )
    """,
    "CREATE INDEX IF NOT EXISTS epochs_until ON epochs (until)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)

_LOAD = "SELECT * FROM sessions WHERE id = ?"

_STANDS_AT = "SELECT generation, revoked_at FROM sessions WHERE id = ?"

_INSERT = """
INSERT INTO sessions VALUES (
    :id, :subject, :claims, :persistent, :created_at, :rotated_at, :expires_at,
    :absolute_expires_at, :refresh_salt, :generation, :confirmed_generation, :confirmed_at,
    :last_seen_at, :revoked_at, :revoked_reason, :user_agent, :address
)
"""

_COVERING_EPOCH = """
SELECT at, reason FROM epochs WHERE subject = ? AND at >= ? AND keep IS NOT ?
"""

# The right-hand sides all see the row as it was before.
_ROTATE = """
UPDATE sessions SET
    generation = :generation,
    rotated_at = :rotated_at,
    expires_at = :expires_at,
    last_seen_at = :now,
    claims = coalesce(:claims, claims),
    confirmed_at = CASE WHEN :confirmed > confirmed_generation THEN :now ELSE confirmed_at END,
    confirmed_generation = max(:confirmed, confirmed_generation)
WHERE id = :id AND generation = :expected AND revoked_at IS NULL
RETURNING *
"""

_CONFIRM = """
UPDATE sessions
SET confirmed_generation = :generation, confirmed_at = :now, last_seen_at = :now
WHERE id = :id AND generation = :generation AND confirmed_generation < :generation
    AND revoked_at IS NULL
"""

_UPDATE = "UPDATE sessions SET claims = ? WHERE id = ? AND revoked_at IS NULL RETURNING *"

_REVOKE = """
UPDATE sessions SET revoked_at = ?, revoked_reason = ? WHERE id = ? AND revoked_at IS NULL
"""

_REVOKE_SUBJECT = """
UPDATE sessions SET revoked_at = ?, revoked_reason = ?
WHERE subject = ? AND id IS NOT ? AND revoked_at IS NULL
RETURNING id
"""

_STORE_EPOCH = """
INSERT INTO epochs VALUES (:subject, :at, :keep, :until, :reason)
ON CONFLICT (subject) DO UPDATE
SET at = excluded.at, keep = excluded.keep, until = excluded.until, reason = excluded.reason
WHERE excluded.at >= epochs.at
"""

_FIND = """
SELECT * FROM sessions
WHERE subject = :subject AND revoked_at IS NULL
    AND expires_at > :now AND absolute_expires_at > :now
ORDER BY created_at DESC
"""

_PURGE_SESSIONS = """
DELETE FROM sessions WHERE id IN (
    SELECT id FROM sessions WHERE absolute_expires_at <= ? ORDER BY absolute_expires_at LIMIT ?
)
"""

_PURGE_EPOCHS = """
DELETE FROM epochs WHERE subject IN (
    SELECT subject FROM epochs WHERE until <= ? ORDER BY until LIMIT ?
)
"""


# ── The verbs ─────────────────────────────────────────────────────────────────────


_READS = frozenset(("load",))


class SQLiteSessionStore:
    """Sessions in the SQLite file at ``path``, which is made when first needed.

    ``timeout`` is how many seconds a verb waits for another writer before it raises. With
    ``synchronous="NORMAL"`` a power cut (not a crash of the process) may lose the last
    commits: a client then shows a refresh token ahead of its row, which is accepted, or a
    logout is forgotten. ``"FULL"`` loses nothing and costs a disk flush a write.

    Marking rows and storing the epoch are one transaction, and so is reading the epoch and
    inserting. So a covered row is never without its ``revoked_at``, and ``load`` is one
    primary-key read.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        timeout: float = 2.0,
        synchronous: Literal["NORMAL", "FULL"] = "NORMAL",
    ) -> None:
        if sqlite3.sqlite_version_info < OLDEST_LIBRARY:
            raise ConfigurationError(
                f"the sessions need SQLite 3.35 or later, this Python has {sqlite3.sqlite_version}"
            )
        if os.fspath(path) in {"", ":memory:"}:
            raise ConfigurationError("SQLite needs a file; for sessions in memory use memory://")
        self._file = _File(Path(path).absolute(), timeout, synchronous)
        self._here = local()

    @property
    def inline(self) -> frozenset[str]:
        """The verbs quick enough to be called straight on an event loop: a read never waits for
        a writer, once the file is there. Everything that may write can wait, up to ``timeout``,
        and so can who makes the file or its tables."""
        return _READS if self.path in _announced else frozenset()

    @property
    def path(self) -> Path:
        """The file, absolute: a later ``chdir`` does not move it."""
        return self._file.path

    def create(self, session: Session, *, ends: Sequence[str] = (), now: float) -> Session:
        with self._writing() as connection:
            connection.executemany(_REVOKE, [(now, "replaced", ended) for ended in ends])
            covered = (session.subject, session.created_at, session.id)
            epoch = connection.execute(_COVERING_EPOCH, covered).fetchone()
            if epoch is not None and not session.revoked:
                at, reason = epoch
                session = replace(session, revoked_at=at, revoked_reason=reason)
            connection.execute(_INSERT, columns_of(session))
            (row,) = connection.execute(_LOAD, (session.id,)).fetchall()
            return session_of(row)

    def load(self, session_id: str, *, now: float) -> Session | None:  # noqa: ARG002  # protocol
        with self._line() as connection:
            return _load(connection, session_id)

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
            "id": session_id,
            "expected": expected,
            "generation": generation,
            "rotated_at": rotated_at,
            "expires_at": expires_at,
            "confirmed": confirmed,
            "claims": None if claims is None else as_json(claims),
            "now": now,
        }
        with self._line() as connection:
            # An UPDATE takes the write lock even if it matches nothing, and in a burst all
            # but one match nothing: look first.
            if connection.execute(_STANDS_AT, (session_id,)).fetchall() == [(expected, None)]:
                moved = _returned(connection.execute(_ROTATE, swap))
                if moved is not None:
                    return Rotation(moved, won=True)
            return Rotation(_load(connection, session_id), won=False)

    def confirm(self, session_id: str, *, generation: int, now: float) -> None:
        with self._line() as connection:
            row = _load(connection, session_id)
            if row is None or row.revoked or row.generation != generation:
                return
            if row.confirmed_generation < generation:
                proof = {"id": session_id, "generation": generation, "now": now}
                connection.execute(_CONFIRM, proof)

    def update(
        self,
        session_id: str,
        claims: Mapping[str, Any],
        *,
        now: float,  # noqa: ARG002  # protocol
    ) -> Session | None:
        with self._line() as connection:
            changed = _returned(connection.execute(_UPDATE, (as_json(claims), session_id)))
            return changed if changed is not None else _load(connection, session_id)

    def revoke(self, session_id: str, *, reason: str, now: float) -> bool:
        with self._line() as connection:
            return connection.execute(_REVOKE, (now, reason, session_id)).rowcount == 1

    def revoke_subject(
        self, subject: str, *, reason: str, keep: str | None = None, until: float, now: float
    ) -> list[str]:
        epoch = {"subject": subject, "at": now, "keep": keep, "until": until, "reason": reason}
        with self._writing() as connection:
            connection.execute(_STORE_EPOCH, epoch)
            ended = connection.execute(_REVOKE_SUBJECT, (now, reason, subject, keep)).fetchall()
        return [session_id for (session_id,) in ended]

    def find(self, subject: str, *, now: float) -> list[Session]:
        with self._line() as connection:
            rows = connection.execute(_FIND, {"subject": subject, "now": now}).fetchall()
        return [session_of(row) for row in rows]

    def purge(self, before: float, *, limit: int = 1000) -> int:
        with self._writing() as connection:
            connection.execute(_PURGE_EPOCHS, (before, limit))
            return connection.execute(_PURGE_SESSIONS, (before, limit)).rowcount

    def close(self) -> None:
        """Close the connections of all threads; each opens again when it next needs one."""
        with _registering:
            lines = [line for line in _lines if line.file is self._file]
        for line in lines:
            line.close()

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection, None, None]:
        """One transaction: all of it, or nothing if anything raises."""
        with self._line() as connection, connection:
            # IMMEDIATE: wait for the write lock here, where waiting is allowed. A reader that
            # turns writer later is refused at once.
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    def _line(self) -> _Line:
        line: _Line | None = getattr(self._here, "line", None)
        if line is None or line.pid != os.getpid():
            line = self._here.line = _Line(self._file)
            with _registering:
                _lines.add(line)
        return line


# ── Rows ──────────────────────────────────────────────────────────────────────────


def _load(connection: sqlite3.Connection, session_id: str) -> Session | None:
    # All rows, though there is one at most: a statement not read to its end keeps its locks.
    rows = connection.execute(_LOAD, (session_id,)).fetchall()
    return session_of(rows[0]) if rows else None


def _returned(cursor: sqlite3.Cursor) -> Session | None:
    """The row of an ``UPDATE … RETURNING``, which is committed once it is read to its end."""
    rows = cursor.fetchall()
    return session_of(rows[0]) if rows else None


# ── The line: one connection a thread, and none across a fork ─────────────────────
#
# A forked child must not inherit a connection, not even one it never touches. SQLite keeps
# its locks a process in memory, and the child inherits that memory but not the locks. A
# connection the child opens itself then believes in a lock nobody holds; when the parent
# closes its own, it takes the file for unused and removes the log the child still writes to.
# Commits are lost. So every connection is closed just before a fork, and opened again by
# whoever next needs one.
#
# A server that forks in C may pass the hooks by. There the process id tells, and what was
# inherited is left alone.


class _Line:
    """One thread's connection, opened when first needed: ``with line as connection``.

    Besides its own thread only a fork and `SQLiteSessionStore.close` take the lock. It is
    reentrant, so that a signal handler that uses the store does not stop for ever.
    """

    def __init__(self, file: _File) -> None:
        self.file = file
        self.pid = os.getpid()
        self.busy = RLock()
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> sqlite3.Connection:
        self.busy.acquire()
        try:
            return self._connection or self._open()
        except BaseException:
            self.busy.release()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.busy.release()

    def _open(self) -> sqlite3.Connection:
        connection = self._connection = self.file.connect()
        # Called when the thread ends, and its line with it; at the latest when Python does.
        self._finish = weakref.finalize(self, _let_go, connection, self.pid)
        return connection

    def close(self) -> None:
        with self.busy:
            if self._connection is not None:
                self._connection = None
                self._finish()


_lines: weakref.WeakSet[_Line] = weakref.WeakSet()
_registering = Lock()
"""Held to change or to walk ``_lines``, and by a fork, so that no line is made meanwhile."""

_halted: list[_Line] = []
"""The lines a fork in progress keeps from opening."""

_inherited: list[sqlite3.Connection] = []


def _let_go(connection: sqlite3.Connection, pid: int) -> None:
    if pid == os.getpid():
        connection.close()
    else:
        # The parent's. Closing it here could remove the parent's log: leaked on purpose.
        _inherited.append(connection)


def _before_fork() -> None:
    _registering.acquire()
    for line in list(_lines):
        # A verb takes no longer than this; if one does, the process id has to tell.
        if line.busy.acquire(timeout=line.file.timeout):
            line.close()
            _halted.append(line)


def _after_fork() -> None:
    while _halted:
        _halted.pop().busy.release()
    _registering.release()


if sys.platform != "win32":  # pragma: no branch
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )


# ── The file: made, recognised, opened ────────────────────────────────────────────

_creating = Lock()
"""Only taken by an opening line, so that a fork, which halts all lines, finds it free."""

_announced: set[Path] = set()
"""Files this process or its parent has opened, with their tables, and spoken of."""


@dataclass(frozen=True, slots=True, eq=False)
class _File:
    path: Path
    timeout: float
    synchronous: Literal["NORMAL", "FULL"]

    def connect(self) -> sqlite3.Connection:
        _create(self.path)
        connection = sqlite3.connect(
            self.path,
            timeout=self.timeout,
            isolation_level=None,  # autocommit: a transaction is begun where it is meant
            check_same_thread=False,  # `close` and a fork close it from another one
        )
        try:
            connection.execute(f"PRAGMA synchronous = {self.synchronous}")
            if _identity(connection) != (APPLICATION_ID, SCHEMA_VERSION):
                _make_schema(connection, self.path)
            _keep_log(connection, self.timeout)
        except BaseException:
            connection.close()
            raise
        _announce(self.path)
        return connection


def _create(path: Path) -> None:
    """Make the file, for its owner's eyes only; SQLite would follow the umask.

    ``O_EXCL``, and one at a time: POSIX drops all of a process's locks on a file when *any*
    of its descriptors is closed, so none may be closed once a connection could be open.
    """
    with _creating, suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _identity(connection: sqlite3.Connection) -> tuple[int, int]:
    """Application id and schema version; two zeros in a file nobody has claimed."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return application, version


def _make_schema(connection: sqlite3.Connection, path: Path) -> None:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        _check_identity(connection, path)
        for statement in _SCHEMA:
            connection.execute(statement)


def _check_identity(connection: sqlite3.Connection, path: Path) -> None:
    """Raise unless the file is empty or, by now, ours: others may open it at the same time."""
    application, version = _identity(connection)
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application == APPLICATION_ID and version != SCHEMA_VERSION:
        raise ConfigurationError(
            f"{path} was made by another version of jwt_middleware (its schema is {version}, this "
            f"one knows {SCHEMA_VERSION}): upgrade, or give session_store another file"
        )
    if application != APPLICATION_ID and (tables or application or version):
        raise ConfigurationError(
            f"{path} is a SQLite database of something else: give the sessions a file of their own"
        )


def _keep_log(connection: sqlite3.Connection, patience: float) -> None:
    """Write-ahead logging, with which readers and the one writer do not wait for each other."""
    give_up_at = time.monotonic() + patience
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError:
            # Whoever changes the mode needs the file alone, and SQLite does not wait for it.
            if time.monotonic() >= give_up_at:
                raise
            time.sleep(0.005)
            continue
        if mode == "wal":
            return
        raise ConfigurationError(
            "SQLite cannot keep a write-ahead log where session_store points (a network file "
            "system?): give it a file on a local disk"
        )


def _announce(path: Path) -> None:
    if path not in _announced:
        _announced.add(path)
        logging.getLogger("jwt_middleware").info("sessions are kept in %s", path)
