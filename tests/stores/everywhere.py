"""Every store there is, as one place to keep sessions, for tests that are about all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

import redis
import sqlalchemy as sa
from stores.databases import database_url
from stores.services import free_port, redis_cluster, redis_url

from jwt_middleware.stores.memory import MemorySessionStore
from jwt_middleware.stores.redis import AsyncRedisSessionStore, RedisSessionStore
from jwt_middleware.stores.sqlalchemy import SQLAlchemySessionStore
from jwt_middleware.stores.sqlite import SQLiteSessionStore

KINDS = ("memory", "sqlite", "redis", "cluster", "postgresql", "mariadb")

PATIENCE = 20.0
"""Seconds a verb may take: 64 racers may queue for one file on a slow machine."""


class Place(NamedTuple):
    """Where sessions are kept. It can be handed to another process, but for memory."""

    kind: str
    url: str
    """A file's path for SQLite, nothing for memory."""
    name: str
    """What our keys and tables there begin with: the server may be somebody's."""
    memory: MemorySessionStore | None = None

    def open(self, *, for_event_loop: bool = False, timeout: float = PATIENCE) -> Any:
        """A store of this place; one with async verbs, where there is one and it is wanted."""
        if self.memory is not None:
            return self.memory
        if self.kind == "sqlite":
            return SQLiteSessionStore(self.url, timeout=timeout)
        if self.kind in ("redis", "cluster"):
            store = AsyncRedisSessionStore if for_event_loop else RedisSessionStore
            return store(self.url, prefix=f"{self.name}:", timeout=timeout)
        tables = {name: f"{self.name}_{name}" for name in ("sessions", "epochs")}
        return SQLAlchemySessionStore(self.url, timeout=timeout, **tables)  # type: ignore[arg-type]

    def fallen(self, directory: Path) -> Place:
        """A place of this kind where nobody answers."""
        if self.kind == "memory":
            return self._replace(memory=Fallen())
        if self.kind == "sqlite":
            return self._replace(url=str(directory / "no such folder" / "s.sqlite3"))
        nobody = f"127.0.0.1:{free_port()}"
        if self.kind in ("redis", "cluster"):
            return self._replace(url=f"{self.url.partition('://')[0]}://{nobody}")
        url = sa.make_url(self.url).set(host="127.0.0.1", port=free_port())
        return self._replace(url=url.render_as_string(hide_password=False))


class Fallen(MemorySessionStore):
    """Memory that cannot be read: as a store of the user's own whose server is away."""

    def load(self, session_id: str, *, now: float) -> Any:
        raise OSError("nobody answers")


@contextmanager
def place(kind: str, directory: Path) -> Iterator[Place]:
    """A place of this kind, left as it was found."""
    name = f"jwt_test_{token_hex(4)}"
    with ExitStack() as stack:
        if kind == "memory":
            yield Place(kind, "", name, MemorySessionStore())
        elif kind == "sqlite":
            yield Place(kind, str(directory / "s.sqlite3"), name)
        elif kind == "redis":
            url = stack.enter_context(redis_url(directory))
            stack.callback(_forget_keys, url, name)
            yield Place(kind, url, name)
        elif kind == "cluster":
            yield Place(kind, stack.enter_context(redis_cluster(directory)), name)
        else:
            url = database_url(kind)
            stack.callback(_forget_tables, url, name)
            yield Place(kind, url, name)


def _forget_keys(url: str, name: str) -> None:
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter(match=f"{name}:*", count=1000):
            client.delete(key)


def _forget_tables(url: str, name: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for table in ("sessions", "epochs"):
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}_{table}")
    engine.dispose()
