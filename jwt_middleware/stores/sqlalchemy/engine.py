"""The engine: how each database is spoken to.

An engine that is made here gives every wait no longer than its verb has left (`Deadline`): for
a new connection, for one that is tried, for an answer. That takes a subclass of the driver's
connection, since drivers bound single waits at best. ``psycopg2`` and ``mysqldb`` wait in C,
where only the server's own limits hold.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from importlib import import_module
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from jwt_middleware.errors import ConfigurationError
from jwt_middleware.stores.deadline import Deadline

T = TypeVar("T")

SHARE = 0.5
"""Of what is left, how much a wait may take that may turn out to be for nothing."""

_INSTALL = 'pip install "jwt-session-middleware[sqlalchemy]"'
"""What has to be typed; the database's driver comes beside it."""

_PREFERRED = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
"""The driver for a URL that names none; all are pure Python or come ready built."""

_CONNECT: dict[str, Callable[[float], dict[str, Any]]] = {
    # libpq counts whole seconds, and takes 1 for 2.
    "psycopg2": lambda timeout: {"connect_timeout": max(2, math.ceil(timeout))},
    "mysqldb": lambda timeout: dict.fromkeys(
        ("connect_timeout", "read_timeout", "write_timeout"), math.ceil(timeout)
    ),
    "pysqlite": lambda timeout: {"timeout": timeout},
}
"""What the drivers that no deadline reaches want to hear of a timeout in seconds."""

_ON_CONNECT: dict[str, tuple[str, ...]] = {
    "postgresql": (
        "SET default_transaction_isolation = 'read committed'",
        "SET statement_timeout = {milliseconds}",
        "SET lock_timeout = {milliseconds}",
    ),
    "mysql": (
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        # The comment is read by MariaDB alone.
        (
            "SET SESSION innodb_lock_wait_timeout = {seconds} "
            "/*M!100101 , SESSION max_statement_time = {timeout} */"
        ),
    ),
    "sqlite": (),
}
"""What each database is told at the beginning of a connection."""

_ON_CONNECT["mariadb"] = _ON_CONNECT["mysql"]


def engine_of(
    engine_or_url: sa.Engine | sa.URL | str, timeout: float, deadline: Deadline
) -> sa.Engine:
    """The engine given, or a new one, whose waits heed ``deadline``.

    Raises `ConfigurationError`, which never quotes the URL: it may hold a password.
    """
    engine = (
        engine_or_url
        if isinstance(engine_or_url, sa.Engine)
        else _new_engine(_url(engine_or_url), timeout, deadline)
    )
    if engine.dialect.is_async:
        raise ConfigurationError(
            f"the sessions need a synchronous driver, {engine.dialect.driver} is an async one: "
            "in an async program the store runs in worker threads by itself"
        )
    if engine.dialect.name == "sqlite" and engine.url.database in {None, "", ":memory:"}:
        raise ConfigurationError("SQLite needs a file; for sessions in memory use memory://")
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
            f"the sessions can be kept in PostgreSQL, MariaDB, MySQL and SQLite, not by "
            f"{url.drivername}://: to try another database, at your own risk, pass an Engine"
        )
    return url


def _new_engine(url: sa.URL, timeout: float, deadline: Deadline) -> sa.Engine:
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
            f"{url.drivername}:// needs the driver {driver}: {_INSTALL} {_package(driver)}"
        ) from missing
    _bound_statements(engine, _ON_CONNECT[backend], timeout)
    _bound_waits(engine, driver, deadline)
    return engine


def _package(driver: str) -> str:
    """What pip calls a driver."""
    return {"psycopg": '"psycopg[binary]"', "mysqldb": "mysqlclient"}.get(driver, driver)


def _bound_statements(engine: sa.Engine, settings: tuple[str, ...], timeout: float) -> None:
    """Have the server end what takes longer than ``timeout`` seconds."""
    limits = {
        "timeout": f"{timeout:.6f}",
        "milliseconds": math.ceil(timeout * 1000),
        "seconds": math.ceil(timeout),
    }

    @event.listens_for(engine, "connect")
    def settle(connection: Any, _record: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        with closing(connection.cursor()) as cursor:
            for setting in settings:
                cursor.execute(setting.format_map(limits))


def _bound_waits(engine: sa.Engine, driver: str, deadline: Deadline) -> None:
    """Have the driver give up a server that does not answer at all.

    A server that is stopped, or hangs in its disk, ends no statement by itself, and its
    machine keeps the connection up.
    """
    if driver in _CONNECTORS:
        connect = _CONNECTORS[driver](deadline)

        @event.listens_for(engine, "do_connect")
        def connect_in_time(  # pyright: ignore[reportUnusedFunction]
            _dialect: Any, _record: Any, arguments: Any, options: Any
        ) -> Any:
            # Where one of several hosts is silent, the next is to have its turn.
            several = "," in str(options.get("host", ""))
            with deadline.sharing(SHARE if several else 1.0):
                return connect(*arguments, **options)

    ping = engine.dialect.do_ping

    def ping_in_time(connection: Any) -> bool:
        # A line that a firewall has forgotten is silent: leave time for a new one.
        with deadline.sharing(SHARE):
            return ping(connection)

    setattr(engine.dialect, "do_ping", ping_in_time)  # noqa: B010  # a dialect of our own engine


def _psycopg(deadline: Deadline) -> Callable[..., Any]:
    import psycopg

    class Impatient(psycopg.Connection[Any]):
        @classmethod
        def _connect_gen(cls, *args: Any, **options: Any) -> Generator[Any, Any, Any]:
            return in_time(super()._connect_gen(*args, **options))

        def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
            return super().wait(in_time(gen, self.close), *args, **options)

    def in_time(
        steps: Generator[Any, Any, T], give_up: Callable[[], None] | None = None
    ) -> Generator[Any, Any, T]:
        patience = deadline.left()
        give_up_at = time.monotonic() + patience
        try:
            waits_for = next(steps)
            while True:
                ready = yield waits_for  # nothing, several times a second
                if not ready and time.monotonic() >= give_up_at:
                    if give_up is not None:
                        give_up()
                    raise psycopg.OperationalError(f"no answer within {patience:.3g} seconds")
                waits_for = steps.send(ready)
        except StopIteration as end:
            answer: T = end.value
            return answer

    return Impatient.connect


def _pymysql(deadline: Deadline) -> Callable[..., Any]:
    # In this way, since PyMySQL has no types.
    usual: Any = import_module("pymysql.connections").Connection

    class Impatient(usual):  # type: ignore[misc]  # a class that is known when it runs
        def query(self, *args: Any, **options: Any) -> Any:
            self._read_timeout = self._write_timeout = deadline.left()
            return usual.query(self, *args, **options)

        def ping(self, *args: Any, **options: Any) -> Any:
            self._read_timeout = self._write_timeout = deadline.left()
            return usual.ping(self, *args, **options)

    def connect(*args: Any, **options: Any) -> Any:
        waits = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), deadline.left())
        return Impatient(*args, **options | waits)

    return connect


_CONNECTORS: dict[str, Callable[[Deadline], Callable[..., Any]]] = {
    "psycopg": _psycopg,
    "pymysql": _pymysql,
}
"""How connections are made that heed a deadline."""


@contextmanager
def together(connection: sa.Connection) -> Generator[None, None, None]:
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
