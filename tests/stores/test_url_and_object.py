"""``session_store`` as a URL and as an object: every store, in programs of both kinds."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
import sqlalchemy as sa
from stepping import SECRET
from stores.databases import database_url
from stores.services import redis_cluster, redis_server

from jwt_middleware import JWTAuth
from jwt_middleware.stores.memory import MemorySessionStore
from jwt_middleware.stores.redis import AsyncRedisSessionStore, RedisSessionStore
from jwt_middleware.stores.sqlalchemy import SQLAlchemySessionStore
from jwt_middleware.stores.sqlite import SQLiteSessionStore

KINDS = {
    "memory": MemorySessionStore,
    "sqlite": SQLiteSessionStore,
    "sqlite+pysqlite": SQLAlchemySessionStore,
    "redis": RedisSessionStore,
    "cluster": RedisSessionStore,
    "postgresql": SQLAlchemySessionStore,
    "mariadb": SQLAlchemySessionStore,
}
"""What a URL opens for a program without an event loop."""


@contextmanager
def url_of(kind: str, directory: Path) -> Iterator[str]:
    """The URL of a place that is nobody else's: what a URL opens has the usual names."""
    with ExitStack() as stack:
        if kind == "memory":
            yield "memory://"
        elif kind.startswith("sqlite"):
            yield f"{kind}:///{directory}/s.sqlite3"
        elif kind == "redis":
            yield stack.enter_context(redis_server(directory)).url
        elif kind == "cluster":
            yield stack.enter_context(redis_cluster(directory))
        else:
            yield stack.enter_context(_database(database_url(kind)))


@contextmanager
def _database(url: str) -> Iterator[str]:
    name = f"jwt_test_{token_hex(4)}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    cascade = " CASCADE" if engine.dialect.name == "postgresql" else ""
    own = (
        sa.make_url(url).update_query_dict({"options": f"-csearch_path={name}"})
        if cascade
        else sa.make_url(url).set(database=name)
    )
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {name}")
        try:
            yield own.render_as_string(hide_password=False)
        finally:
            connection.exec_driver_sql(f"DROP SCHEMA {name}{cascade}")
    engine.dispose()


@pytest.fixture(params=KINDS)
def place(request, tmp_path) -> Iterator[tuple[str, str]]:
    with url_of(request.param, tmp_path / "data" if request.param == "redis" else tmp_path) as url:
        yield request.param, url


def an_object(kind: str, url: str, *, is_async: bool) -> Any:
    """The same store, made by hand."""
    if kind == "memory":
        return MemorySessionStore()
    if kind == "sqlite":
        return SQLiteSessionStore(url.removeprefix("sqlite:///"), timeout=20)
    made: Any = AsyncRedisSessionStore if "redis" in url and is_async else KINDS[kind]
    return made(url, timeout=20)


@pytest.mark.parametrize("as_object", [False, True], ids=["url", "object"])
def test_a_program_without_an_event_loop(place, as_object):
    """By its URL or as an object, a store keeps sessions, lists them and ends them."""
    kind, url = place
    store: Any = an_object(kind, url, is_async=False) if as_object else url
    auth = JWTAuth(secret_key=SECRET, session_store=store, store_timeout=20)
    pair = auth.issue("alice")
    assert [row.id for row in auth.sessions("alice")] == [pair.session_id]
    assert type(auth._stores["sync"]) is KINDS[kind]
    assert auth.revoke(pair.session_id)
    assert auth.sessions("alice") == []
    assert auth.purge() == 0
    auth.close()


@pytest.mark.parametrize("as_object", [False, True], ids=["url", "object"])
def test_a_program_with_an_event_loop(place, as_object):
    """So it does where it is awaited; a Redis is opened as the store that can be."""
    kind, url = place
    store: Any = an_object(kind, url, is_async=True) if as_object else url
    auth = JWTAuth(secret_key=SECRET, session_store=store, store_timeout=20)

    async def story() -> None:
        pair = await auth.aissue("alice")
        assert [row.id for row in await auth.asessions("alice")] == [pair.session_id]
        of_redis = KINDS[kind] is RedisSessionStore
        opened = AsyncRedisSessionStore if of_redis else KINDS[kind]
        assert type(auth._stores["async"]) is opened
        assert await auth.arevoke_subject("alice") == 1
        assert await auth.asessions("alice") == []
        assert await auth.apurge() == 0
        await auth.aclose()

    asyncio.run(story())
