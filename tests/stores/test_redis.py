import asyncio
import builtins
import importlib
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
import redis
import redis.asyncio
import redis.cluster
import redis.commands
import redis.connection
from stores.services import RedisServer, redis_cluster, redis_server, redis_url

from jwt_middleware import JWTAuth, Settings
from jwt_middleware.errors import ConfigurationError, StoreUnavailable
from jwt_middleware.sessions import Rotation, Session, new_session_id, routing_tag
from jwt_middleware.stores import VERBS, check_store, open_store
from jwt_middleware.stores import redis as module
from jwt_middleware.stores.redis import SLACK, AsyncRedisSessionStore, RedisSessionStore
from jwt_middleware.testing import SessionStoreContract
from jwt_middleware.testing.store_contract import NOW, RACERS, a_session, race

ROUNDS = int(os.environ.get("RACE_ROUNDS", "10"))

PREFIX = f"jwt-test-{os.getpid()}:"
"""What the keys of this run begin with, in a server that may be somebody's."""

PRESENTERS = 64


def a_prefix() -> str:
    """For the keys of one test."""
    return f"{PREFIX}{uuid.uuid4().hex}:"


def swap(**changes: Any) -> dict[str, Any]:
    """What a rotation from generation 0 asks for, but for ``changes``."""
    times = {"rotated_at": NOW, "expires_at": NOW + 9, "now": NOW}
    return {"expected": 0, "generation": 1, "confirmed": 0} | times | changes


# ── The services ──────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def single(tmp_path_factory) -> Iterator[str]:
    """The URL of one server, left as it was found."""
    with redis_url(tmp_path_factory.mktemp("redis")) as url:
        yield url
        with redis.Redis.from_url(url) as client:
            for key in client.scan_iter(match=f"{PREFIX}*", count=1000):
                client.delete(key)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[str]:
    """The URL of a Cluster of three masters."""
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as url:
        yield url


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def own(tmp_path) -> Iterator[RedisServer]:
    """A server of this test alone, that loses nothing when it is killed."""
    with redis_server(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@pytest.fixture(params=["single", "cluster"])
def url(request) -> str:
    """Each test that asks for it is run on one server and on a Cluster."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def store(request, url) -> Iterator[Any]:
    """Either store, empty."""
    if request.param:
        loop = request.getfixturevalue("loop")
        store: Any = Waiting(AsyncRedisSessionStore(url, prefix=a_prefix(), timeout=30), loop)
    else:
        store = RedisSessionStore(url, prefix=a_prefix(), timeout=30)
    yield store
    store.close()


class Waiting:
    """An async store whose verbs wait: they run in ``loop``, which runs in another thread."""

    def __init__(self, store: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.store, self.loop = store, loop

    def __getattr__(self, verb: str) -> Any:
        def wait(*arguments: Any, **options: Any) -> Any:
            asked = getattr(self.store, verb)(*arguments, **options)
            return asyncio.run_coroutine_threadsafe(asked, self.loop).result(timeout=60)

        return wait


class Tagged:
    """A store whose ids carry their subject's tag, as real ones do; the tests see them bare."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.tags: dict[str, str] = {}
        self.names: dict[str, str] = {}

    def full(self, session_id: str) -> str:
        return self.tags.get(session_id, "") + session_id

    def bare(self, session: Session) -> Session:
        return replace(session, id=self.names[session.id])

    def create(self, session: Session, *, ends: Any = (), now: float) -> Session:
        self.tags.setdefault(session.id, routing_tag(session.subject))
        full = replace(session, id=self.full(session.id))
        self.names.setdefault(full.id, session.id)
        return self.bare(self.store.create(full, ends=[*map(self.full, ends)], now=now))

    def load(self, session_id: str, *, now: float) -> Session | None:
        row = self.store.load(self.full(session_id), now=now)
        return row and self.bare(row)

    def rotate(self, session_id: str, **swap: Any) -> Rotation:
        row, won = self.store.rotate(self.full(session_id), **swap)
        return Rotation(row and self.bare(row), won)

    def confirm(self, session_id: str, **proof: Any) -> None:
        self.store.confirm(self.full(session_id), **proof)

    def update(self, session_id: str, claims: Any, *, now: float) -> Session | None:
        row = self.store.update(self.full(session_id), claims, now=now)
        return row and self.bare(row)

    def revoke(self, session_id: str, **why: Any) -> bool:
        return self.store.revoke(self.full(session_id), **why)

    def revoke_subject(self, subject: str, *, keep: str | None = None, **why: Any) -> list[str]:
        kept = None if keep is None else routing_tag(subject) + keep
        ended = self.store.revoke_subject(subject, keep=kept, **why)
        return [session_id.removeprefix(routing_tag(subject)) for session_id in ended]

    def find(self, subject: str, *, now: float) -> list[Session]:
        return [self.bare(row) for row in self.store.find(subject, now=now)]

    def purge(self, before: float, *, limit: int = 1000) -> int:
        return self.store.purge(before, limit=limit)

    def close(self) -> None:
        self.store.close()


# ── The contract ──────────────────────────────────────────────────────────────────


class Contract(SessionStoreContract):
    """The ids of the contract carry no tag: their rows are found by way of an address."""

    race_rounds = ROUNDS
    service: ClassVar[str] = "single"
    is_async: ClassVar[bool] = False
    tagged: ClassVar[bool] = False

    @pytest.fixture(autouse=True)
    def services(self, request) -> None:
        self.url = request.getfixturevalue(self.service)
        self.loop = request.getfixturevalue("loop")

    def make_store(self, tmp_path: Path) -> Any:
        kind = AsyncRedisSessionStore if self.is_async else RedisSessionStore
        # Patient: sixteen at once share two cores with whatever else is running.
        store: Any = kind(self.url, prefix=a_prefix(), timeout=30)
        store = Waiting(store, self.loop) if self.is_async else store
        return Tagged(store) if self.tagged else store


class TestRedisSessionStore(Contract):
    pass


class TestRedisSessionStoreOnCluster(Contract):
    service = "cluster"


class TestRedisSessionStoreOnClusterTagged(Contract):
    service = "cluster"
    tagged = True


class TestAsyncRedisSessionStoreTagged(Contract):
    is_async = True
    tagged = True


class TestAsyncRedisSessionStoreOnCluster(Contract):
    service = "cluster"
    is_async = True


# ── Rows and keys ─────────────────────────────────────────────────────────────────


def keys_of(url: str, prefix: str) -> set[str]:
    """The keys in the server that begin with this prefix."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        return {key for key in client.scan_iter(count=1000) if key.startswith(prefix)}


def ttl_of(url: str, key: str) -> float:
    """Seconds until the server lets this key go."""
    with redis.Redis.from_url(url) as client:
        return client.pttl(key) / 1000


def test_every_field_has_its_kind():
    """A row holds what Session holds, in its order."""
    assert list(module._FIELDS) == [field.name for field in fields(Session)]


def test_a_subjects_keys_lie_together(single):
    """A real session's keys, its subject's index and epoch carry one tag in braces."""
    prefix = a_prefix()
    store = RedisSessionStore(single, prefix=prefix)
    session_id, tag = new_session_id("alice"), routing_tag("alice")
    store.create(a_session(session_id), now=NOW)
    store.revoke_subject("alice", reason="everywhere", until=NOW + 9, now=NOW)
    store.close()
    assert keys_of(single, prefix) == {
        f"{prefix}{{{tag}}}:s:{session_id}",
        f"{prefix}{{{tag}}}:i:alice",
        f"{prefix}{{{tag}}}:e:alice",
    }


@pytest.mark.parametrize("session_id", ["}", "{}", "a}b{c}d}", " ", "}" * 30])
def test_an_id_of_any_shape(store, session_id):
    """An id with braces or none of the usual characters is a session as any other."""
    session = a_session(session_id)
    assert store.create(session, now=NOW) == session
    assert store.load(session_id, now=NOW) == session
    assert store.find("alice", now=NOW) == [session]
    assert store.revoke_subject("alice", reason="x", until=NOW + 9, now=NOW) == [session_id]


def test_an_id_with_the_tag_of_somebody_else(store):
    """Bob's session under an id that points at alice is bob's, and can be replaced by alice."""
    session_id = new_session_id("alice")
    store.create(a_session(session_id, subject="bob"), now=NOW)
    assert store.find("alice", now=NOW) == []
    with pytest.raises(ValueError, match="stored already"):
        store.create(a_session(session_id), now=NOW)
    store.create(a_session(new_session_id("alice")), ends=[session_id], now=NOW)
    assert store.load(session_id, now=NOW).revoked_reason == "replaced"


def test_an_id_that_is_taken_where_it_points(store):
    """An id of alice's cannot be stored a second time for bob, who lies elsewhere."""
    session_id = new_session_id("alice")
    store.create(a_session(session_id), now=NOW)
    with pytest.raises(ValueError, match="stored already"):
        store.create(a_session(session_id, subject="bob"), now=NOW)
    assert store.load(session_id, now=NOW) == a_session(session_id)
    assert store.find("bob", now=NOW) == []


def test_keys_last_as_long_as_their_sessions(single):
    """However the caller's clock stands, a key lasts as long as what is in it, and some more."""
    prefix = a_prefix()
    store = RedisSessionStore(single, prefix=prefix)
    for began in (0.0, NOW, 4e9):
        subject = f"at {began}"
        session = a_session(new_session_id(subject), subject=subject, created_at=began)
        store.create(replace(session, absolute_expires_at=began + 500), now=began)
        store.revoke_subject(subject, reason="x", until=began + 500, now=began)
    store.close()
    lifetimes = [ttl_of(single, key) for key in keys_of(single, prefix)]
    assert len(lifetimes) == 9
    assert all(500 + SLACK - 60 < lifetime <= 500 + SLACK for lifetime in lifetimes)


@pytest.mark.parametrize("over", [NOW - 1e6, NOW - 1])
def test_a_session_that_was_over_before_it_was_stored(single, over):
    """It is kept for a while, for what its refresh token would tell."""
    prefix = a_prefix()
    store = RedisSessionStore(single, prefix=prefix)
    store.create(a_session(absolute_expires_at=over), now=NOW)
    assert store.load("s", now=NOW) is not None
    store.close()
    assert all(SLACK - 60 < ttl_of(single, key) <= SLACK for key in keys_of(single, prefix))


def test_a_session_without_end(single):
    """Redis has a last day, and what is to last for ever is kept for ten years."""
    store = RedisSessionStore(single, prefix=a_prefix())
    endless = a_session(absolute_expires_at=math.inf)
    assert store.create(endless, now=NOW) == endless
    assert store.find("alice", now=NOW) == [endless]
    store.close()


def test_an_index_lasts_as_long_as_its_longest_session(single):
    """A short session that comes after a long one shortens nothing."""
    prefix = a_prefix()
    store = RedisSessionStore(single, prefix=prefix)
    for session_id, over in (("long", NOW + 9000), ("short", NOW + 10)):
        store.create(a_session(session_id, absolute_expires_at=over), now=NOW)
    store.close()
    assert ttl_of(single, f"{prefix}{{{routing_tag('alice')}}}:i:alice") > 8000 + SLACK


def test_an_index_does_not_grow_for_ever(single):
    """A login clears away ids whose rows Redis has let go of."""
    prefix = a_prefix()
    store = RedisSessionStore(single, prefix=prefix)
    old = [new_session_id("alice") for _ in range(3)]
    for session_id in old:
        store.create(a_session(session_id), now=NOW)
    index = f"{prefix}{{{routing_tag('alice')}}}:i:alice"
    with redis.Redis.from_url(single, decode_responses=True) as client:
        for session_id in old:
            client.delete(f"{prefix}{{{routing_tag('alice')}}}:s:{session_id}")
        new = store.create(a_session(new_session_id("alice")), now=NOW)
        assert client.zrange(index, 0, -1) == [new.id]
    store.close()


@pytest.mark.parametrize("prefix", ["a*b?[c]\\d:", ""])
def test_a_prefix_of_any_shape(own, prefix):
    """A prefix is taken as it stands: a purge leaves alone what a pattern would match."""
    store, other = (
        RedisSessionStore(own.url, prefix=prefix),
        RedisSessionStore(own.url, prefix="abc:"),
    )
    for each in (store, other):
        each.create(a_session(), now=NOW)
    assert store.purge(NOW + 6000) == 1
    assert other.load("s", now=NOW) == a_session()
    store.close()
    other.close()


def test_a_prefix_with_a_brace():
    """Braces in a prefix would decide the slot instead of the tag: refused."""
    with pytest.raises(ConfigurationError, match="brace"):
        RedisSessionStore("redis://localhost", prefix="{jwt}:")


def test_purge_walks_over_more_than_a_page(single, loop):
    """All subjects are found, however many steps that takes; a limit stops the walk."""
    prefix = a_prefix()
    store = RedisSessionStore(single, prefix=prefix)
    waiting: Any = Waiting(AsyncRedisSessionStore(single, prefix=prefix), loop)
    for number in range(module.PAGE + 200):
        session = a_session(subject=str(number), id=new_session_id(str(number)))
        store.create(session, now=NOW)
    assert store.purge(NOW + 6000, limit=100) == 100
    assert waiting.purge(NOW + 6000, limit=100) == 100
    assert store.purge(NOW + 6000, limit=9999) == module.PAGE
    assert waiting.purge(NOW + 6000) == 0
    store.close()
    waiting.close()
    assert keys_of(single, prefix) == set()


# ── Clients ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("decode", [False, True])
def test_a_client_of_the_app(single, decode):
    """A client that is passed in is used as it is, also one that decodes, and not closed."""
    with redis.Redis.from_url(single, decode_responses=decode) as client:
        store = RedisSessionStore(client, prefix=a_prefix())
        session = a_session(user_agent="日本語", claims={"name": "Zoë"})
        assert store.create(session, now=NOW) == store.load("s", now=NOW) == session
        assert store.purge(NOW + 6000) == 1
        store.close()
        assert store._client() is client
        assert client.connection_pool._available_connections


def test_an_async_client_of_the_app(single):
    """The async store uses and keeps open what it is given, too."""

    async def use() -> None:
        async with redis.asyncio.Redis.from_url(single) as client:
            store = AsyncRedisSessionStore(client, prefix=a_prefix())
            assert await store.create(a_session(), now=NOW) == a_session()
            await store.close()
            assert store._client() is client

    asyncio.run(use())


def test_a_client_that_reads_from_replicas(cluster):
    """Even a client that sends reads to replicas has rows read from primaries."""
    strategy = redis.cluster.LoadBalancingStrategy.RANDOM_REPLICA
    url = cluster.replace("+cluster", "")
    with redis.RedisCluster.from_url(url, load_balancing_strategy=strategy) as client:
        store = RedisSessionStore(client, prefix=a_prefix())
        store.create(a_session(), now=NOW)
        assert store.load("s", now=NOW) == a_session()
    assert not {"EVAL", "EVALSHA"} & redis.commands.READ_COMMANDS


@pytest.mark.parametrize(
    ("url", "single_class", "cluster"),
    [
        ("redis://h", redis.connection.Connection, False),
        ("rediss://h", redis.connection.SSLConnection, False),
        ("REDISS://h", redis.connection.SSLConnection, False),
        ("redis+cluster://h", None, True),
        ("rediss+cluster://h", None, True),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_what_a_url_opens(monkeypatch, url, single_class, cluster, is_async):
    """TLS where the scheme says so, a Cluster where it says so, bounded, and nothing retried."""
    calls: list[tuple[str, dict[str, Any]]] = []
    kinds: Any = redis.asyncio if is_async else module

    def record(kind: type, url: str, **options: Any) -> str:
        calls.append((url, options))
        return kind.__name__

    store = cast(Any, open_store(url, timeout=0.25, prefer_async=is_async))
    assert type(store).__name__ == "Async" * is_async + "RedisSessionStore"
    if single_class is not None:
        client: Any = store._open(store._source)
        made = client.connection_pool.connection_class
        assert made.__name__ == single_class.__name__
        assert made.__module__ == f"redis.{'asyncio.' * is_async}connection"
    for name in ("Redis", "RedisCluster"):
        fake = type(name, (), {"from_url": classmethod(record)})
        monkeypatch.setattr(kinds, name, fake)
    assert store._open(store._source) == ("RedisCluster" if cluster else "Redis")
    ((given, options),) = calls
    assert given == url.lower().replace("+cluster", "")
    assert options.pop("retry")._retries == 0
    assert options == {"socket_timeout": 0.25, "socket_connect_timeout": 0.25, "protocol": 2}


def test_a_cluster_over_tls():
    """The nodes of a Cluster are spoken to over TLS as well."""
    store = cast(Any, AsyncRedisSessionStore("rediss+cluster://h"))
    client = store._open(store._source)
    (node,) = client.startup_nodes
    assert node.connection_class is redis.asyncio.SSLConnection


# ── URLs ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "rest",
    ["h", "h:6379/3", "h/", "", "u:hunter2@h:1/0", ":p%2Fhunter2@h?client_name=x", "[::1]:6379"],
)
@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_a_url_that_opens(scheme, rest):
    """What redis-py reads is read, by check_store and by open_store alike."""
    assert check_store(f"{scheme}://{rest}") is None
    assert isinstance(open_store(f"{scheme}://{rest}", timeout=2), RedisSessionStore)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("redis://u:hunter2/x@h", "percent-encoded"),
        ("redis://u:12/hunter2@h", "percent-encoded"),
        ("redis://u:hunter2#x@h", "percent-encoded"),
        ("redis://u:hunter2@h:0", "percent-encoded"),
        ("redis://u:hunter2@[h", "percent-encoded"),
        ("redis://u:hunter2@h/one", "percent-encoded"),
        ("redis+cluster://u:hunter2@h/1", "one database only"),
        ("redis://u:hunter2@h?socket_timeout=hunter2", "an option"),
        ("memory://", "begins with redis"),
        ("nonsense hunter2", "no URL"),
    ],
)
@pytest.mark.parametrize("kind", [RedisSessionStore, AsyncRedisSessionStore])
def test_a_url_that_opens_nothing(kind, url, hint):
    """What is wrong is said at once, without a word of the URL."""
    with pytest.raises(ConfigurationError, match=hint) as raised:
        kind(url)
    assert "hunter2" not in "".join(traceback.format_exception(raised.value)).replace(url, "")


def test_without_redis_py(monkeypatch):
    """Where redis-py is not installed, it is said how to have it."""
    hint = r'pip install "jwt-session-middleware\[redis\]"'
    monkeypatch.setattr("jwt_middleware.stores.find_spec", lambda name: None)
    assert "redis-py" in str(check_store("redis://h"))
    with pytest.raises(ConfigurationError, match=hint):
        Settings(secret_key="x" * 32, session_store="redis://h")

    usual = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "redis":
            raise ImportError(name)
        return usual(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, "jwt_middleware.stores.redis")
    with pytest.raises(ConfigurationError, match=hint):
        importlib.import_module("jwt_middleware.stores.redis")


def test_no_password_in_an_error(tmp_path, caplog):
    """Neither a refused password nor a server that is away puts one into an error or a log."""
    caplog.set_level(0)
    with redis_server(tmp_path, "--requirepass", "the right one") as server:
        url = server.url.replace("//", "//:hunter2@")
        auth = JWTAuth(Settings(secret_key="x" * 32, session_store=url))
        with pytest.raises(StoreUnavailable) as refused:
            auth.issue("alice")
    with pytest.raises(StoreUnavailable) as away:
        auth.issue("alice")
    auth.close()
    causes = [error.value.__cause__ for error in (refused, away)]
    assert [type(cause).__name__ for cause in causes] == ["AuthenticationError", "ConnectionError"]
    said = [str(error) for error in (refused.value, away.value, *causes)] + [caplog.text]
    assert not any("hunter2" in text for text in said)


def test_a_slow_verb_is_not_for_an_event_loop():
    """Every verb of the sync store waits for the network, and the async one is async."""
    assert not hasattr(RedisSessionStore, "inline")
    for verb in VERBS:
        assert asyncio.iscoroutinefunction(getattr(AsyncRedisSessionStore, verb))


# ── Connections ───────────────────────────────────────────────────────────────────


def test_nothing_connects_before_the_first_verb(url):
    """Making a store, and closing one never used, opens nothing."""
    store = RedisSessionStore(url)
    store.close()
    assert store._clients == {}

    async def use() -> None:
        waiting = AsyncRedisSessionStore(url)
        await waiting.close()
        assert waiting._clients == {}

    asyncio.run(use())


def test_each_event_loop_has_its_own_connection(url):
    """A store that is used in one loop after the other works in each."""
    store = AsyncRedisSessionStore(url, prefix=a_prefix())

    async def use(session_id: str) -> None:
        await store.create(a_session(session_id), now=NOW)
        assert len(store._clients) == 1
        await store.close()
        assert len(store._clients) == 0

    for session_id in "abc":
        asyncio.run(use(session_id))


def test_what_a_closed_loop_left_is_let_go(monkeypatch):
    """A loop that ended without closing the store is not remembered for ever."""
    store = AsyncRedisSessionStore("redis://localhost")
    monkeypatch.setattr(AsyncRedisSessionStore, "_open", lambda self, address: object())

    async def use() -> None:
        assert store._client() is store._client()
        assert len(store._clients) == 1

    for _ in range(3):
        asyncio.run(use())


def test_two_threads_that_connect_together(single, monkeypatch):
    """Of two clients made at the same moment one is kept, and both threads use it."""
    store = RedisSessionStore(single, prefix=a_prefix())
    usual, kept = RedisSessionStore._open, []

    def meanwhile(self: RedisSessionStore, address: Any) -> Any:
        kept.append(self._clients.setdefault(os.getpid(), usual(self, address)))
        return usual(self, address)

    monkeypatch.setattr(RedisSessionStore, "_open", meanwhile)
    assert [store._client()] == kept
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_no_connection_crosses_a_fork(url):
    """Parent and child, each on a connection of its own, never read each other's answers."""
    program = """
    import os, sys
    from jwt_middleware.stores.redis import RedisSessionStore
    url, prefix, now = sys.argv[1], sys.argv[2], float(sys.argv[3])
    store = RedisSessionStore(url, prefix=prefix, timeout=30)
    assert store.load("parent", now=now).id == "parent"
    inherited = store._client()
    pid = os.fork()
    mine = "parent" if pid else "child"
    for number in range(200):
        assert store.load(mine, now=now).id == mine
        assert store.update(mine, {"number": number}, now=now).claims["number"] == number
    assert (store._client() is inherited) == bool(pid)
    store.close()
    if not pid:
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0, status
    """
    prefix = a_prefix()
    store = RedisSessionStore(url, prefix=prefix, timeout=30)
    for name in ("parent", "child"):
        store.create(a_session(name), now=NOW)
    assert outcome(start(program, url, prefix, NOW)) == ""
    assert [row.claims for row in store.find("alice", now=NOW)] == [{"number": 199}] * 2
    store.close()


# ── Servers that fail ─────────────────────────────────────────────────────────────


def test_a_server_that_has_forgotten_the_scripts(own, loop):
    """After SCRIPT FLUSH, as after a restart, every verb works, and is known again."""
    store: Any = RedisSessionStore(own.url)
    waiting: Any = Waiting(AsyncRedisSessionStore(own.url), loop)
    store.create(a_session(generation=1), now=NOW)
    with redis.Redis.from_url(own.url) as client:
        for each in (store, waiting):
            for _ in range(2):
                client.script_flush()
                each.confirm("s", generation=1, now=NOW)
                each.update("s", {}, now=NOW)
                assert each.load("s", now=NOW).confirmed_generation == 1
                assert len(each.find("alice", now=NOW)) == 1
            assert client.script_exists(module._LOAD.digest) == [True]
    store.close()
    waiting.close()


@pytest.mark.parametrize("is_async", [False, True])
def test_a_server_that_is_killed(own, loop, is_async):
    """While it is away every verb fails, soon; once it is back all goes on, and nothing is lost."""
    kind: Any = AsyncRedisSessionStore if is_async else RedisSessionStore
    store: Any = kind(own.url, timeout=1)
    store = Waiting(store, loop) if is_async else store
    store.create(a_session(), now=NOW)
    race(lambda racer: store.load("s", now=NOW))  # many connections, which will all be stale
    assert store.rotate("s", **swap()).won
    own.signal(signal.SIGKILL)
    own.stop()
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(redis.ConnectionError):
            store.load("s", now=NOW)
        assert time.monotonic() - began < 2
    own.start()
    rows = race(lambda racer: store.load("s", now=NOW))
    assert {row.generation for row in rows} == {1}
    assert store.rotate("s", **swap(expected=1, generation=2)).won
    store.close()


def test_an_outage_as_the_app_sees_it(own):
    """The middleware says StoreUnavailable while the server is away, and goes on afterwards."""
    auth = JWTAuth(Settings(secret_key="x" * 32, session_store=own.url, store_timeout=1))
    pair = auth.issue("alice")
    own.stop()
    with pytest.raises(StoreUnavailable):
        auth.issue("alice")
    own.start()
    assert [row.id for row in auth.sessions("alice")] == [pair.session_id]
    auth.close()


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_server_that_stops_answering(own, loop, is_async, connected):
    """A server that hangs costs no more than the timeout, on a new connection and on an old."""
    kind: Any = AsyncRedisSessionStore if is_async else RedisSessionStore
    store: Any = kind(own.url, timeout=0.3)
    store = Waiting(store, loop) if is_async else store
    if connected:
        store.create(a_session(), now=NOW)
    own.signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(redis.RedisError):
            store.load("s", now=NOW)
        assert time.monotonic() - began < 1.3
    finally:
        own.signal(signal.SIGCONT)
    assert store.load("s", now=NOW) == (a_session() if connected else None)
    store.close()


# ── Races ─────────────────────────────────────────────────────────────────────────


def start(program: str, *args: Any) -> Any:
    """A Python process of its own that runs ``program``."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def outcome(process: Any) -> str:
    """What the process printed, once it has ended well; bounded in time."""
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 0, err
    assert not err
    return out


def at_once(step: Callable[[int], Any]) -> list[Any]:
    """Run ``step(0)`` … ``step(63)`` at the same moment; their answers, in order."""
    gate = threading.Barrier(PRESENTERS, timeout=30)

    def run(racer: int) -> Any:
        gate.wait()
        return step(racer)

    with ThreadPoolExecutor(PRESENTERS) as threads:
        return list(threads.map(run, range(PRESENTERS)))


@pytest.mark.race
def test_one_of_many_threads_rotates(store):
    """Of 64 that present one refresh token at once, one moves the row; all see where it is."""
    for _ in range(ROUNDS):
        session_id = new_session_id("alice")
        store.create(a_session(session_id), now=NOW)
        results = at_once(lambda racer, sid=session_id: store.rotate(sid, **swap()))
        assert [won for _, won in results].count(True) == 1
        assert {row.generation for row, _ in results} == {1}


@pytest.mark.race
def test_one_of_many_processes_rotates(url):
    """Of four processes with sixteen threads each, one thread moves the row, each time."""
    program = """
    import sys
    from concurrent.futures import ThreadPoolExecutor
    from jwt_middleware.stores.redis import RedisSessionStore
    url, prefix, session_id, now, rounds = sys.argv[1:]
    store, now = RedisSessionStore(url, prefix=prefix, timeout=30), float(now)

    def step(generation):
        return store.rotate(
            session_id, expected=generation, generation=generation + 1, rotated_at=now,
            expires_at=now + 9, confirmed=generation, now=now,
        ).won

    print("ready", flush=True)
    sys.stdin.readline()
    won = 0
    with ThreadPoolExecutor(16) as threads:
        while (row := store.load(session_id, now=now)).generation < int(rounds):
            won += list(threads.map(step, [row.generation] * 16)).count(True)
    print(won)
    store.close()
    """
    prefix, session_id, rounds = a_prefix(), new_session_id("alice"), ROUNDS
    store = RedisSessionStore(url, prefix=prefix)
    store.create(a_session(session_id), now=NOW)
    processes = [start(program, url, prefix, session_id, NOW, rounds) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    outcomes = [outcome(process) for process in processes]
    assert sum(map(int, outcomes)) == rounds
    row = store.load(session_id, now=NOW)
    assert row is not None
    assert (row.generation, row.confirmed_generation) == (rounds, rounds - 1)
    store.close()


@pytest.mark.race
def test_proofs_against_logouts(store):
    """Proofs, rotations and two kinds of logout at once: one ends it, and what it ended stays."""
    for number in range(ROUNDS):
        subject = f"alice {number}"
        session_id = new_session_id(subject)
        store.create(a_session(session_id, subject=subject, generation=1), now=NOW)

        def step(racer: int, subject: str = subject, session_id: str = session_id) -> bool:
            if racer % 4 == 0:
                store.confirm(session_id, generation=1, now=NOW + 1)
            elif racer % 4 == 1:
                store.rotate(session_id, **swap(expected=1, generation=2))
            elif racer % 8 == 2:
                return store.revoke(session_id, reason="logout", now=NOW + 2)
            elif racer == 3:
                ended = store.revoke_subject(subject, reason="all", until=NOW + 9, now=NOW + 2)
                return session_id in ended
            return False

        assert at_once(step).count(True) == 1
        row = store.load(session_id, now=NOW)
        assert row.revoked
        assert row.confirmed_generation in {0, 1}
        assert store.rotate(session_id, **swap(expected=row.generation)) == (row, False)
        store.confirm(session_id, generation=row.generation, now=NOW + 3)
        assert store.load(session_id, now=NOW) == row


@pytest.mark.race
def test_logins_against_log_out_everywhere(store):
    """No login that began before the epoch lives, however the writes fall; the kept one does."""
    for number in range(ROUNDS):
        subject = f"alice {number}"
        kept = new_session_id(subject)

        def step(racer: int, subject: str = subject, kept: str = kept) -> Any:
            if racer == RACERS:
                return store.revoke_subject(
                    subject, reason="all", keep=kept, until=NOW + 9, now=NOW
                )
            # Half of them carry no tag, and so are stored in two steps.
            session_id = str(racer) + subject if racer % 2 else new_session_id(subject)
            session = a_session(session_id if racer else kept, subject=subject)
            return store.create(session, now=NOW)

        at_once(step)
        assert [row.id for row in store.find(subject, now=NOW)] == [kept]
