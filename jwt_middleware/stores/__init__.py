"""Where sessions are kept: from the ``session_store`` setting to a store.

The setting is a URL or an object with the verbs of :class:`~jwt_middleware.sessions.SessionStore`.
A store's own module is imported only when a URL names it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from difflib import get_close_matches
from importlib.util import find_spec
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

from jwt_middleware.errors import ConfigurationError
from jwt_middleware.sessions import AsyncSessionStore, SessionStore

Store: TypeAlias = SessionStore | AsyncSessionStore

NO_STORE = "none"
"""The setting that asks for no store at all: stateless sessions."""

VERBS = tuple(
    name
    for name, value in vars(SessionStore).items()
    if inspect.isfunction(value) and not name.startswith("_")
)
"""What an object needs to count as a store."""


def open_store(
    url: str | SessionStore | AsyncSessionStore, *, timeout: float, prefer_async: bool = False
) -> Store | None:
    """The store that ``url`` names, or ``url`` itself if it is a store; None for ``"none"``.

    No file or connection is opened before the store's first verb. ``timeout``, in seconds,
    bounds each of its waits. ``prefer_async`` asks for the async twin where a scheme has one.

    Raises `ConfigurationError` with the text of :func:`check_store`.
    """
    fault = check_store(url)
    if fault is not None:
        raise ConfigurationError(fault)
    if not isinstance(url, str):
        return url
    if url.lower() == NO_STORE:
        return None
    scheme, rest = _split(url)
    row = _SCHEMES[scheme]
    opener = row.open_async if prefer_async and row.open_async is not None else row.open
    return opener(rest, timeout)


def check_store(value: object) -> str | None:
    """What is wrong with a ``session_store`` setting, as one sentence; None if nothing is.

    Opens and imports nothing. Never quotes the value: a URL may hold a password.
    """
    return _fault_of_url(value) if isinstance(value, str) else _fault_of_object(value)


# ── Objects ───────────────────────────────────────────────────────────────────────


def _fault_of_object(value: object) -> str | None:
    if isinstance(value, type):
        return f"session_store is the class {value.__name__}: give an instance of it"
    missing = [verb for verb in VERBS if not callable(getattr(value, verb, None))]
    if missing:
        return (
            f"session_store is neither a URL nor a store: {type(value).__name__} has no "
            f"{', '.join(missing)} (see jwt_middleware.sessions.SessionStore)"
        )
    return None


# ── URLs ──────────────────────────────────────────────────────────────────────────


class _Scheme(NamedTuple):
    """What one URL scheme means. All three are given what follows ``scheme://``."""

    fault: Callable[[str], str | None]
    open: Callable[[str, float], Store]
    open_async: Callable[[str, float], Store] | None = None


def _memory_fault(rest: str) -> str | None:
    return "session_store memory:// takes nothing behind the slashes" if rest else None


def _open_memory(_rest: str, _timeout: float) -> Store:
    from jwt_middleware.stores.memory import MemorySessionStore

    return MemorySessionStore()


_NO_FILE = {"", "/", "/:memory:"}
"""What follows the two slashes of a SQLite URL that names no file."""


def _sqlite_fault(rest: str) -> str | None:
    if not rest.startswith("/") and rest:
        return (
            "session_store: a SQLite URL has three slashes before a relative path and four "
            "before an absolute one (sqlite:///sessions.sqlite3, sqlite:////srv/sessions.sqlite3)"
        )
    if rest in _NO_FILE:
        return "session_store: SQLite needs a file; for sessions in memory use memory://"
    if "?" in rest:
        return (
            "session_store: a SQLite URL takes no options; "
            'give an object instead: SQLiteSessionStore(path, synchronous="FULL")'
        )
    return None


def _open_sqlite(rest: str, timeout: float) -> Store:
    from jwt_middleware.stores.sqlite import SQLiteSessionStore

    return SQLiteSessionStore(rest.removeprefix("/"), timeout=timeout)


def _redis(scheme: str) -> _Scheme:
    def fault(rest: str) -> str | None:
        return _redis_fault(rest, cluster=scheme.endswith("+cluster"))

    def open_sync(rest: str, timeout: float) -> Store:
        from jwt_middleware.stores.redis import RedisSessionStore

        return RedisSessionStore(f"{scheme}://{rest}", timeout=timeout)

    def open_async(rest: str, timeout: float) -> Store:
        from jwt_middleware.stores.redis import AsyncRedisSessionStore

        return AsyncRedisSessionStore(f"{scheme}://{rest}", timeout=timeout)

    return _Scheme(fault, open_sync, open_async)


def _redis_fault(rest: str, *, cluster: bool) -> str | None:
    if find_spec("redis") is None:
        return 'session_store: Redis needs redis-py: pip install "jwt-session-middleware[redis]"'
    try:
        url = urlsplit(f"redis://{rest}")
        database = url.path.removeprefix("/") if url.port != 0 else "?"
    except ValueError:
        database = "?"
    if not re.fullmatch("[0-9]*", database, re.ASCII) or "#" in rest:
        return (
            "session_store: a Redis URL is redis://user:password@host:port/database; special "
            "characters in the password are percent-encoded (%2F for a slash)"
        )
    if cluster and database not in {"", "0"}:
        return "session_store: a Redis Cluster has one database only, and its URL names none"
    return None


def _database(scheme: str, driver: str) -> _Scheme:
    """``driver`` is the module that SQLAlchemy imports for a URL of this scheme."""

    def fault(rest: str) -> str | None:
        if driver == "sqlite3" and rest.partition("?")[0] in _NO_FILE:
            return f"session_store: {scheme}:// needs a file; for sessions in memory use memory://"
        if find_spec("sqlalchemy") is None or find_spec(driver) is None:
            package = _PACKAGES.get(driver, f' "{driver}"')
            return (
                f"session_store: {scheme}:// needs SQLAlchemy and {driver}: "
                f'pip install "jwt-session-middleware[sqlalchemy]"{package}'
            )
        return None

    def open_sync(rest: str, timeout: float) -> Store:
        from jwt_middleware.stores.sqlalchemy import SQLAlchemySessionStore

        return SQLAlchemySessionStore(f"{scheme}://{rest}", timeout=timeout)

    return _Scheme(fault, open_sync)


_PACKAGES = {"psycopg": ' "psycopg[binary]"', "MySQLdb": ' "mysqlclient"', "sqlite3": ""}
"""What pip calls the drivers that are called differently there, or come with Python."""

_DRIVERS = {
    "postgresql": "psycopg",
    "postgresql+psycopg": "psycopg",
    "postgresql+psycopg2": "psycopg2",
    "postgres": "psycopg",
    "mariadb": "pymysql",
    "mariadb+pymysql": "pymysql",
    "mariadb+mysqldb": "MySQLdb",
    "mysql": "pymysql",
    "mysql+pymysql": "pymysql",
    "mysql+mysqldb": "MySQLdb",
    "sqlite+pysqlite": "sqlite3",
}

_SCHEMES = {
    "memory": _Scheme(_memory_fault, _open_memory),
    "sqlite": _Scheme(_sqlite_fault, _open_sqlite),
    **{name: _redis(name) for name in ("redis", "rediss", "redis+cluster", "rediss+cluster")},
    **{name: _database(name, driver) for name, driver in _DRIVERS.items()},
}

_SCHEME_SYNTAX = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII)


def _fault_of_url(url: str) -> str | None:
    if url.lower() == NO_STORE:
        return None
    scheme, rest = _split(url)
    if scheme in _SCHEMES:
        return _SCHEMES[scheme].fault(rest)
    family = scheme.partition("+")[0]
    if not scheme:
        return f"session_store is no URL (a file is sqlite:///path). {_known()}"
    close = get_close_matches(family, _SCHEMES, n=1)
    guess = f", did you mean {close[0]}://?" if close else "."
    return f"session_store: unknown scheme {scheme}://{guess} {_known()}"


def _split(url: str) -> tuple[str, str]:
    """Scheme (lower case) and what follows ``://``. No scheme: two empty strings, since
    what stands there instead may be anything, a password too."""
    scheme, slashes, rest = url.partition("://")
    scheme = scheme.lower()
    return (scheme, rest) if slashes and _SCHEME_SYNTAX.fullmatch(scheme) else ("", "")


def _known() -> str:
    """Without those that name a driver behind a ``+``."""
    named = [f"{scheme}://" for scheme in _SCHEMES if scheme.partition("+")[2] in ("", "cluster")]
    return f"Known: {', '.join(named)}, and none."
