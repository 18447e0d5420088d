"""Sessions in PostgreSQL, MariaDB or MySQL, by way of SQLAlchemy: for several machines.

From the top down: the tables, for migrations too; the statements, each written once; the
verbs; how a row is read; and the engine, with which every wait has an end.

Two rules carry the whole store. *A verb that moves a row is one conditional statement*: the
database decides who won, no lock outlives a verb, and who matched no row reads again to learn
why. *What the epoch covers is ended, marked or not*: at READ COMMITTED a login may be written
after a log-out-everywhere it did not see, so every verb asks for the epoch in its own statement.

SQLite works as well (its own file: ``jwt_middleware.stores.sqlite`` does it faster).
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
import weakref
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields, replace
from threading import Lock
from typing import Any, ClassVar, TypeVar

from jwt_middleware.errors import ConfigurationError
from jwt_middleware.sessions import Rotation, Session

INSTALL = 'pip install "jwt-session-middleware[sqlalchemy]"'
"""What whoever lacks SQLAlchemy has to type; the database's driver comes beside it."""

try:
    import sqlalchemy as sa
    from sqlalchemy import event
    from sqlalchemy.dialects import mysql
    from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError
except ModuleNotFoundError as missing:
    raise ConfigurationError(f"sessions in a database need SQLAlchemy: {INSTALL}") from missing

T = TypeVar("T")

# ── The tables ────────────────────────────────────────────────────────────────────

SESSIONS = "jwt_sessions"
EPOCHS = "jwt_epochs"
"""The tables, unless they are given other names."""

LONGEST_ID = 64
"""Characters of a session id; ours have 30."""

LONGEST_SUBJECT = 255
"""Characters of a subject: what OpenID Connect allows a ``sub``, and what an index can hold.
A longer one is refused, never cut: two people who share a beginning would become one."""


class Exact(sa.types.TypeDecorator[str]):
    """A string whose comparison knows no equivalents: case, accents and spaces at the end count.

    PostgreSQL and SQLite compare so by themselves. The collations of MariaDB and MySQL do
    not, and even ``utf8mb4_bin`` takes ``"alice "`` for ``"alice"``: theirs is named here.
    """

    impl = sa.String
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        if dialect.name not in {"mysql", "mariadb"}:
            return self.impl_instance
        is_mariadb: bool = getattr(dialect, "is_mariadb", False)
        collation = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
        length: int = getattr(self.impl_instance, "length")  # noqa: B009  # untyped upstream
        return mysql.VARCHAR(length, charset="utf8mb4", collation=collation)


_IN_MYSQL: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"))
}


def sessions_table(metadata: sa.MetaData, name: str = SESSIONS) -> sa.Table:
    """The table of sessions, in ``metadata``: made there, or the one made before.

    For Alembic, name both tables where your models are: ``sessions_table(Base.metadata)``,
    ``epochs_table(Base.metadata)``. Its columns are Session's fields, in Session's order.
    """
    known = _known_table(metadata, name)
    if known is not None:
        return known
    return sa.Table(
        name,
        metadata,
        sa.Column("id", Exact(LONGEST_ID), primary_key=True),
        sa.Column("subject", Exact(LONGEST_SUBJECT), nullable=False),
        sa.Column("claims", sa.Text, nullable=False),
        sa.Column("persistent", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("rotated_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("absolute_expires_at", sa.Double, nullable=False),
        sa.Column("refresh_salt", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("confirmed_generation", sa.BigInteger, nullable=False),
        sa.Column("confirmed_at", sa.Double, nullable=False),
        sa.Column("last_seen_at", sa.Double, nullable=False),
        sa.Column("revoked_at", sa.Double),
        sa.Column("revoked_reason", sa.Text),
        sa.Column("user_agent", sa.Text),
        sa.Column("address", sa.Text),
        sa.Index(f"ix_{name}_subject", "subject"),
        sa.Index(f"ix_{name}_end", "absolute_expires_at"),
        **_IN_MYSQL,
    )


def epochs_table(metadata: sa.MetaData, name: str = EPOCHS) -> sa.Table:
    """The table of epochs, one row a subject that was logged out everywhere: see above."""
    known = _known_table(metadata, name)
    if known is not None:
        return known
    return sa.Table(
        name,
        metadata,
        sa.Column("subject", Exact(LONGEST_SUBJECT), primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("keep", Exact(LONGEST_ID)),
        sa.Column("until", sa.Double, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Index(f"ix_{name}_until", "until"),
        **_IN_MYSQL,
    )


def _known_table(metadata: sa.MetaData, name: str) -> sa.Table | None:
    return metadata.tables.get(f"{metadata.schema}.{name}" if metadata.schema else name)


# ── The statements ────────────────────────────────────────────────────────────────


class _Statements:
    """Every statement of the store, for its two tables. Parameters begin with ``p_``."""

    def __init__(self, sessions: sa.Table, epochs: sa.Table) -> None:
        row, epoch = sessions.c, epochs.c

        this = row.id == _p("p_id")
        unmarked = row.revoked_at.is_(None)
        covering = sa.and_(
            epoch.subject == row.subject,
            epoch.at >= row.created_at,
            sa.or_(epoch.keep.is_(None), epoch.keep != row.id),
        )
        uncovered = ~sa.exists().where(covering)
        not_ended = sa.and_(this, unmarked, uncovered)
        mark: dict[str, Any] = {"revoked_at": _p("p_now"), "revoked_reason": _p("p_reason")}

        shown = sa.select(sessions, epoch.at.label("epoch_at"), epoch.reason).select_from(
            sessions.outerjoin(epochs, covering)
        )
        self.load = shown.where(this)
        self.find = shown.where(
            row.subject == _p("p_subject"),
            unmarked,
            epoch.subject.is_(None),
            row.expires_at > _p("p_now"),
            row.absolute_expires_at > _p("p_now"),
        ).order_by(row.created_at.desc())

        self.insert = sessions.insert()
        self.rotate = (
            sessions.update()
            .where(not_ended, row.generation == _p("p_expected"))
            .ordered_values(
                (row.generation, _p("p_generation")),
                (row.rotated_at, _p("p_rotated_at")),
                (row.expires_at, _p("p_expires_at")),
                (row.last_seen_at, _p("p_now")),
                (row.claims, sa.func.coalesce(_p("p_claims", type_=sa.Text()), row.claims)),
                # In this order: MySQL's right-hand sides see what stands to their left.
                (row.confirmed_at, _if_raised(row, _p("p_now"), row.confirmed_at)),
                (
                    row.confirmed_generation,
                    _if_raised(row, _p("p_confirmed"), row.confirmed_generation),
                ),
            )
        )
        self.confirm = (
            sessions.update()
            .where(
                not_ended,
                row.generation == _p("p_generation"),
                row.confirmed_generation < _p("p_generation"),
            )
            .values(
                confirmed_generation=_p("p_generation"),
                confirmed_at=_p("p_now"),
                last_seen_at=_p("p_now"),
            )
        )
        self.update = sessions.update().where(not_ended).values(claims=_p("p_claims"))
        self.as_it_stands = sa.select(sessions).where(this)

        self.revoke = sessions.update().where(not_ended).values(mark)
        self.mark = sessions.update().where(this, unmarked).values(mark)
        self.lock_others = (
            sa.select(row.id)
            .where(
                row.subject == _p("p_subject"),
                unmarked,
                sa.or_(_p("p_keep", type_=row.id.type).is_(None), row.id != _p("p_keep")),
            )
            .order_by(row.id)  # whoever locks several locks them in one order
            .with_for_update()
        )
        stored = {name: _p(f"p_{name}") for name in ("at", "keep", "until", "reason")}
        self.move_epoch = (
            epochs.update()
            .where(epoch.subject == _p("p_subject"), epoch.at <= _p("p_at"))
            .values(stored)
        )
        self.new_epoch = epochs.insert().values(stored | {"subject": _p("p_subject")})


def _p(name: str, type_: sa.types.TypeEngine[Any] | None = None) -> sa.BindParameter[Any]:
    return sa.bindparam(name, type_=type_)


def _end(session_id: str, at: float | None, reason: str | None) -> dict[str, Any]:
    """What the statements that end a session ask for."""
    return {"p_id": session_id, "p_now": at, "p_reason": reason}


def _if_raised(row: Any, then: Any, otherwise: Any) -> sa.ColumnElement[Any]:
    """``then``, if a rotation proves a newer generation than is known."""
    return sa.case((_p("p_confirmed") > row.confirmed_generation, then), else_=otherwise)


# ── The verbs ─────────────────────────────────────────────────────────────────────

BATCH = 500
"""Rows that `purge` deletes with one statement: no lock is held for longer than that takes."""


class SQLAlchemySessionStore:
    """Sessions in a database, given as a URL or as your own synchronous ``Engine``.

    With a URL the store makes its engine: connections are tried before they are used, and
    connecting, waiting for a connection, for a lock and for an answer each end after
    ``timeout`` seconds (at least 2 for connecting to PostgreSQL). An engine of yours is used
    as it is, and only its timeouts bound a verb; ``pool_pre_ping=True`` is advised.

    The tables are made on first need unless ``create_tables=False`` (you have migrations);
    ``metadata`` is where they are entered, and brings its schema.

    Where a connection is lost under a verb, nobody knows whether it was done. ``load``,
    ``find``, ``confirm`` and ``rotate`` are then done once more on a new connection: a second
    time they change nothing. Such a ``rotate`` may answer ``won=False`` to whoever did move
    the row; a loser hands out the same successor, so that nothing is lost by it. The other
    verbs raise, since their answer (who ended it?) or their effect (which claims stand?) could
    be wrong. Half of a log-out-everywhere is nearly all of it: it stores its epoch first, and
    with that every session that began before has ended, marked or not.

    A connection that keeps silent until ``timeout`` is not tried again, so a verb raises after
    a few times ``timeout`` at worst: waiting for a free connection, trying it, making a new one.
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
        self._do = _Statements(self._sessions, self._epochs)
        self._timeout = timeout
        self._owned = not isinstance(engine_or_url, sa.Engine)
        self._engine = _engine(engine_or_url, timeout)
        self._line = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._line.hide_parameters = True  # salts and claims: not in an error's text
        self._making = Lock()
        self._tables_are_there = not create_tables
        _stores.add(self)

    def create(self, session: Session, *, ends: Sequence[str] = (), now: float) -> Session:
        _refuse_too_long(session.subject, session.id)
        with self._connection() as connection:
            with _together(connection):
                for ended in sorted(ends):
                    connection.execute(self._do.revoke, _end(ended, now, "replaced"))
                connection.execute(self._do.insert, _columns(session))
            # Row first, then epoch; `revoke_subject` the other way round, each committed
            # before the next: at least one of the two sees the other.
            stored = self._read(connection, session.id) or session
            if stored.revoked and not session.revoked:
                covered = _end(session.id, stored.revoked_at, stored.revoked_reason)
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
            "p_claims": None if claims is None else _json(claims),
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
        change = {"p_id": session_id, "p_claims": _json(claims)}
        with self._connection() as connection:
            changed = self._changed(connection, self._do.update, change)
            return self._read(connection, session_id) if changed is None else changed

    def revoke(self, session_id: str, *, reason: str, now: float) -> bool:
        with self._connection() as connection:
            ended = connection.execute(self._do.revoke, _end(session_id, now, reason))
            return ended.rowcount == 1

    def revoke_subject(
        self, subject: str, *, reason: str, keep: str | None = None, until: float, now: float
    ) -> list[str]:
        _refuse_too_long(subject, keep or "")
        others = {"p_subject": subject, "p_keep": keep}
        epoch = others | {"p_at": now, "p_until": until, "p_reason": reason}
        with self._connection() as connection:
            self._store_epoch(connection, epoch)
            with _together(connection):
                ids = list(connection.scalars(self._do.lock_others, others))
                if ids:
                    connection.execute(self._do.mark, [_end(one, now, reason) for one in ids])
        return ids

    def find(self, subject: str, *, now: float) -> list[Session]:
        whose = {"p_subject": subject, "p_now": now}
        rows = self._twice(lambda connection: connection.execute(self._do.find, whose).all())
        return [_shown(row) for row in rows]

    def purge(self, before: float, *, limit: int = 1000) -> int:
        with self._connection() as connection:
            _purge(connection, self._epochs.c.subject, self._epochs.c.until, before, limit)
            key, end = self._sessions.c.id, self._sessions.c.absolute_expires_at
            return _purge(connection, key, end, before, limit)

    def close(self) -> None:
        """Close the connections of an engine made here; a given one is its owner's."""
        if self._owned:
            self._engine.dispose()

    # ── What the verbs are made of ────────────────────────────────────────────────

    def _read(self, connection: sa.Connection, session_id: str) -> Session | None:
        row = connection.execute(self._do.load, {"p_id": session_id}).one_or_none()
        return None if row is None else _shown(row)

    def _changed(
        self, connection: sa.Connection, change: sa.Update, values: dict[str, Any]
    ) -> Session | None:
        """The row as a conditional update leaves it; None if the condition did not hold."""
        if connection.dialect.update_returning:
            returning = change.returning(*self._sessions.c)
            row = connection.execute(returning, values).one_or_none()
            return None if row is None else _session(row)
        # MariaDB and MySQL: read under the lock of the update, or it might have moved on.
        with _together(connection):
            if not connection.execute(change, values).rowcount:
                return None
            return _session(connection.execute(self._do.as_it_stands, values).one())

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
        begun = time.monotonic()
        try:
            with self._connection() as connection:
                return step(connection)
        except DBAPIError as lost:
            if not lost.connection_invalidated or time.monotonic() - begun > self._timeout / 2:
                raise
        with self._connection() as connection:
            return step(connection)

    @contextmanager
    def _connection(self) -> Generator[sa.Connection, None, None]:
        """A connection on which each statement commits by itself."""
        if not self._tables_are_there:
            self._make_tables()
        with self._line.connect() as connection:
            yield connection

    def _make_tables(self) -> None:
        with self._making:
            _make_tables(self._line, [self._sessions, self._epochs])
            self._tables_are_there = True

    def forget_connections(self) -> None:
        """In a forked child: the connections are the parent's, and so is a lock that is held.

        Called by itself after ``os.fork``, for a given engine too."""
        _inherited.append(self._engine.pool)  # letting go of them might end them: leaked
        self._engine.dispose(close=False)
        self._making = Lock()


@contextmanager
def _together(connection: sa.Connection) -> Generator[None, None, None]:
    """All that follows is one transaction: all of it, or nothing if anything raises."""
    # IMMEDIATE: SQLite has no row locks, and refuses a reader that turns writer.
    immediate = connection.dialect.name == "sqlite"
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
    try:
        yield
    except BaseException:
        connection.invalidate()  # whatever it is in the midst of ends with the connection
        raise
    connection.exec_driver_sql("COMMIT")


def _purge(
    connection: sa.Connection,
    key: sa.Column[Any],
    end: sa.Column[Any],
    before: float,
    limit: int,
) -> int:
    """Delete at most ``limit`` rows whose ``end`` is at or before ``before``, batch by batch."""
    gone = 0
    while gone < limit:
        size = min(BATCH, limit - gone)
        # Two statements: MySQL takes no LIMIT in a subquery.
        past = sa.select(key).where(end <= before).order_by(end).limit(size)
        keys = list(connection.scalars(past))
        # Once more `before`: an epoch may have been moved meanwhile.
        delete = key.table.delete().where(key.in_(keys), end <= before)
        gone += connection.execute(delete).rowcount
        if len(keys) < size:
            break
    return gone


# ── Rows ──────────────────────────────────────────────────────────────────────────

_COLUMNS = tuple(field.name for field in fields(Session))
_TIMES = frozenset(name for name in _COLUMNS if name.endswith("_at"))


def _shown(row: sa.Row[Any]) -> Session:
    """The session of a row that has its covering epoch, if there is one, at its end."""
    session = _session(row[: len(_COLUMNS)])
    epoch_at, epoch_reason = row[len(_COLUMNS) :]
    if session.revoked or epoch_at is None:
        return session
    return replace(session, revoked_at=float(epoch_at), revoked_reason=epoch_reason)


def _session(columns: Sequence[Any]) -> Session:
    values = dict(zip(_COLUMNS, columns, strict=True))
    values["claims"] = json.loads(values["claims"])
    for name in _TIMES:
        if values[name] is not None:
            values[name] = float(values[name])  # SQLite may answer 1.0 as 1
    return Session(**values)


def _columns(session: Session) -> dict[str, Any]:
    values = {name: getattr(session, name) for name in _COLUMNS}
    values["claims"] = _json(session.claims)
    return values


def _json(claims: Mapping[str, Any]) -> str:
    # In ASCII: what PostgreSQL stores in no text (U+0000) is escaped like all the rest.
    return json.dumps(dict(claims), separators=(",", ":"), allow_nan=False)


def _refuse_too_long(subject: str, session_id: str) -> None:
    """Raise ValueError for what a database would refuse, or, worse, cut."""
    for what, value, longest in (
        ("subject", subject, LONGEST_SUBJECT),
        ("session id", session_id, LONGEST_ID),
    ):
        if len(value) > longest:
            raise ValueError(
                f"a {what} of {len(value)} characters: this store keeps at most {longest}"
            )


# ── Forks: a child begins with no connections ─────────────────────────────────────

_stores: weakref.WeakSet[SQLAlchemySessionStore] = weakref.WeakSet()

_inherited: list[sa.Pool] = []


def _after_fork() -> None:
    for store in list(_stores):
        store.forget_connections()


if sys.platform != "win32":  # pragma: no branch
    os.register_at_fork(after_in_child=_after_fork)


# ── The engine ────────────────────────────────────────────────────────────────────

_PREFERRED = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
"""The driver for a URL that names none; all are pure Python or come ready built."""

_CONNECT: dict[str, Callable[[float], dict[str, Any]]] = {
    # libpq counts whole seconds, and takes 1 for 2.
    "psycopg": lambda timeout: {"connect_timeout": max(2, math.ceil(timeout))},
    "psycopg2": lambda timeout: {"connect_timeout": max(2, math.ceil(timeout))},
    "pymysql": lambda timeout: dict.fromkeys(
        ("connect_timeout", "read_timeout", "write_timeout"), timeout
    ),
    "mysqldb": lambda timeout: dict.fromkeys(
        ("connect_timeout", "read_timeout", "write_timeout"), math.ceil(timeout)
    ),
    "pysqlite": lambda timeout: {"timeout": timeout},
}
"""What each driver wants to hear of a timeout in seconds."""

_ON_CONNECT: dict[str, tuple[str, ...]] = {
    "postgresql": (
        "SET default_transaction_isolation = 'read committed'",
        "SET statement_timeout = {milliseconds}",
        "SET lock_timeout = {milliseconds}",
    ),
    "mysql": (
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET SESSION innodb_lock_wait_timeout = {seconds}",
    ),
    "sqlite": (),
}
"""What each database is told at the beginning of a connection."""

_ON_CONNECT["mariadb"] = _ON_CONNECT["mysql"]


def _engine(engine_or_url: sa.Engine | sa.URL | str, timeout: float) -> sa.Engine:
    engine = (
        engine_or_url
        if isinstance(engine_or_url, sa.Engine)
        else _new_engine(_url(engine_or_url), timeout)
    )
    if engine.dialect.is_async:
        raise ConfigurationError(
            f"the sessions need a synchronous driver, {engine.dialect.driver} is an async one: "
            "in an async program the store runs in worker threads by itself"
        )
    return engine


def _url(given: sa.URL | str) -> sa.URL:
    # Neither error is chained: what they quote may be the password.
    try:
        url = sa.make_url(given)
    except (ArgumentError, ValueError):
        raise ConfigurationError("the URL of the sessions' database cannot be read") from None
    url = url.set(drivername=_PREFERRED.get(url.drivername, url.drivername))
    if url.get_backend_name() not in _ON_CONNECT:
        raise ConfigurationError(
            f"the sessions can be kept in PostgreSQL, MariaDB, MySQL and SQLite, "
            f"not by {url.drivername}://"
        )
    if url.get_backend_name() == "sqlite" and url.database in {None, "", ":memory:"}:
        raise ConfigurationError("SQLite needs a file; for sessions in memory use memory://")
    return url


def _new_engine(url: sa.URL, timeout: float) -> sa.Engine:
    backend = url.get_backend_name()
    # SQLite: opened for each verb, so that no connection is there to cross a fork.
    pool: dict[str, Any] = (
        {"poolclass": sa.NullPool}
        if backend == "sqlite"
        # As many at most as SQLAlchemy would have it, but more of them kept: a burst that has
        # to connect first takes twenty round trips for one.
        else {"pool_size": 10, "max_overflow": 5, "pool_timeout": timeout, "pool_pre_ping": True}
    )
    driver = url.get_driver_name()
    arguments = _CONNECT[driver](timeout) if driver in _CONNECT else {}
    try:
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", connect_args=arguments, **pool)
    except NoSuchModuleError:
        raise ConfigurationError(f"SQLAlchemy knows no {url.drivername}://") from None
    except ImportError as missing:
        raise ConfigurationError(
            f"{url.drivername}:// needs the driver {driver}: {INSTALL} {_package(driver)}"
        ) from missing
    _bound_statements(engine, _ON_CONNECT[backend], timeout)
    if driver == "psycopg":
        _bound_waits(engine, timeout)
    return engine


def _package(driver: str) -> str:
    """What pip calls a driver."""
    return {"psycopg": '"psycopg[binary]"', "mysqldb": "mysqlclient"}.get(driver, driver)


def _bound_statements(engine: sa.Engine, settings: tuple[str, ...], timeout: float) -> None:
    """Have the server end what takes longer than ``timeout`` seconds."""
    limits = {"milliseconds": math.ceil(timeout * 1000), "seconds": math.ceil(timeout)}

    @event.listens_for(engine, "connect")
    def settle(connection: Any, _record: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        with closing(connection.cursor()) as cursor:
            for setting in settings:
                cursor.execute(setting.format_map(limits))


def _bound_waits(engine: sa.Engine, timeout: float) -> None:
    """Have psycopg give up a server that does not answer at all.

    A server that is stopped, or hangs in its disk, ends no statement by itself, and its
    machine keeps the connection up. libpq has no timeout for that; PyMySQL has.
    """
    import psycopg

    class Impatient(psycopg.Connection[Any]):
        def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
            return super().wait(self._bounded(gen), *args, **options)

        def _bounded(self, steps: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
            give_up_at = time.monotonic() + timeout
            try:
                waits_for = next(steps)
                while True:
                    ready = yield waits_for  # nothing, several times a second
                    if not ready and time.monotonic() >= give_up_at:
                        self.close()
                        raise psycopg.OperationalError(f"no answer within {timeout} seconds")
                    waits_for = steps.send(ready)
            except StopIteration as end:
                answer: T = end.value
                return answer

    @event.listens_for(engine, "do_connect")
    def connect(  # pyright: ignore[reportUnusedFunction]
        _dialect: Any, _record: Any, arguments: Any, options: Any
    ) -> psycopg.Connection[Any]:
        return Impatient.connect(*arguments, **options)


def _make_tables(engine: sa.Engine, tables: list[sa.Table], collisions: int = 2) -> None:
    """Make the tables that are not there.

    Other workers may be starting too. Who comes second is refused and looks again; each
    collision is one more table that is there by then.
    """
    try:
        with engine.connect() as connection, _together(connection):
            tables[0].metadata.create_all(connection, tables=tables)
    except DBAPIError as refused:
        unconnected = refused.statement is None or refused.connection_invalidated
        if unconnected or not collisions:
            raise
        _make_tables(engine, tables, collisions - 1)
