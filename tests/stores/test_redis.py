import asyncio
import importlib
import importlib.util
import math
import os
import shutil
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
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, cast

import pytest
import redis
import redis.asyncio
import redis.cluster
import redis.commands
import redis.connection
import redis.crc
import redis.exceptions
from stores.databases import until
from stores.services import (
    RedisServer,
    cluster_url,
    free_port,
    missing,
    redis_nodes,
    redis_server,
    redis_url,
)

from jwt_middleware import JWTAuth, Settings
from jwt_middleware.errors import ConfigurationError, StoreUnavailable
from jwt_middleware.sessions import Rotation, Session, new_session_id, routing_tag
from jwt_middleware.stores import VERBS, check_store, open_store
from jwt_middleware.stores.redis import (
    AsyncRedisSessionStore,
    RedisSessionStore,
    async_store,
    sync_store,
)
from jwt_middleware.stores.redis import client as client_module
from jwt_middleware.stores.redis.row import FIELDS
from jwt_middleware.stores.redis.scripts import LOAD
from jwt_middleware.stores.redis.verbs import PAGE, SLACK
from jwt_middleware.testing import SessionStoreContract
from jwt_middleware.testing.store_contract import CLAIMS, NOW, RACERS, a_session, race

ROUNDS = int(os.environ.get("RACE_ROUNDS", "10"))

ROOT = Path(__file__).parents[2]

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
def nodes(tmp_path_factory) -> Iterator[list[RedisServer]]:
    """A Cluster of three masters."""
    with redis_nodes(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def cluster(nodes) -> str:
    """The URL of a Cluster of three masters."""
    return cluster_url(nodes)


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
    assert list(FIELDS) == [field.name for field in fields(Session)]


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


@pytest.mark.parametrize("over", [NOW - 1e6, NOW - 1], ids=["long ago", "just now"])
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
    for number in range(PAGE + 200):
        session = a_session(subject=str(number), id=new_session_id(str(number)))
        store.create(session, now=NOW)
    assert store.purge(NOW + 6000, limit=100) == 100
    assert waiting.purge(NOW + 6000, limit=100) == 100
    assert store.purge(NOW + 6000, limit=9999) == PAGE
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
    store = cast(Any, open_store(url, timeout=0.25, prefer_async=is_async))
    assert type(store).__name__ == "Async" * is_async + "RedisSessionStore"
    kinds: Any = redis.asyncio if is_async else client_module
    if not cluster:
        connection = opened(store, is_async).connection_pool.make_connection()
        assert single_class.__name__ in {kind.__name__ for kind in type(connection).mro()}
        assert (connection.socket_timeout, connection.socket_connect_timeout) == (0.25, 0.25)
        assert connection.retry._retries == 0
        return
    monkeypatch.setattr(kinds, "RedisCluster", type("Cluster", (), {"from_url": recorded}))
    given, options = opened(store, is_async)
    assert given == url.lower().replace("+cluster", "")
    assert options.pop("retry")._retries == 0
    assert bool(options.pop("connection_pool_class", None)) is not is_async
    assert options == {"socket_timeout": 0.125, "socket_connect_timeout": 0.125, "protocol": 2}


def opened(store: Any, is_async: bool) -> Any:
    """The client that a store would make."""
    if is_async:
        return client_module.connect_async(store._source, store._timeout)
    return client_module.connect(store._source, store._deadline)


def recorded(url: str, **options: Any) -> Any:
    """In place of a client: what it would have been made of."""
    return url, options


def test_a_connection_has_what_is_left(single):
    """Whatever a connection is told later, its waits are its verb's, from the first command on."""
    # S45
    store = RedisSessionStore(single, timeout=5)
    connection: Any = store._client().connection_pool.make_connection()
    connection.socket_timeout = connection.socket_connect_timeout = 99.0
    connection.send_command("PING")
    assert connection.read_response() == b"PONG"
    assert (connection.socket_timeout, connection.socket_connect_timeout) == (5, 5)
    connection.disconnect()
    store.close()


def test_a_cluster_over_tls():
    """The nodes of a Cluster are spoken to over TLS as well."""
    store = cast(Any, AsyncRedisSessionStore("rediss+cluster://h"))
    client: Any = opened(store, is_async=True)
    (node,) = client.startup_nodes
    assert node.connection_class is redis.asyncio.SSLConnection


# ── TLS ───────────────────────────────────────────────────────────────────────────


class Encrypted(NamedTuple):
    """A server that speaks TLS, and who vouches for it."""

    port: int
    authority: Path


@pytest.fixture(scope="module", params=["single", "cluster"])
def encrypted(request, tmp_path_factory) -> Iterator[tuple[str, Encrypted]]:
    """A server with a certificate that nobody knows, alone or as a Cluster of one node."""
    directory = tmp_path_factory.mktemp("tls")
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(
        [
            *(openssl(), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=test"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    port = free_port()
    options = ["--tls-port", port, "--tls-cert-file", certificate, "--tls-key-file", key]
    options += ["--tls-ca-cert-file", certificate, "--tls-auth-clients", "no"]
    if request.param == "cluster":
        options += [
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            free_port(),
            "--tls-cluster",
            "yes",
        ]
    with redis_server(directory / "data", *map(str, options)) as server:
        if request.param == "cluster":
            with redis.Redis(port=server.port) as client:
                node: Any = client
                node.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
                until(lambda: node.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
        scheme = "rediss" if request.param == "single" else "rediss+cluster"
        yield scheme, Encrypted(port, certificate)


def openssl() -> str:
    return shutil.which("openssl") or missing("needs openssl: apt install openssl")


@pytest.mark.parametrize("is_async", [False, True])
def test_a_server_that_speaks_tls(encrypted, loop, is_async):
    """A rediss URL that names who vouches for the server opens a store that works, in a Cluster
    on the nodes that it is told of, too."""
    scheme, server = encrypted
    url = f"{scheme}://localhost:{server.port}?ssl_ca_certs={server.authority}"
    store: Any = open_store(url, timeout=20, prefer_async=is_async)
    store = Waiting(store, loop) if is_async else store
    session = a_session(new_session_id("alice"))
    store.create(session, now=NOW)
    assert store.rotate(session.id, **swap(claims=CLAIMS)).won
    assert [row.claims for row in store.find("alice", now=NOW)] == [CLAIMS]
    assert store.revoke_subject("alice", reason="x", until=NOW + 9, now=NOW) == [session.id]
    assert store.purge(NOW + 9000) == 1
    store.close()


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_server_that_nobody_vouches_for(encrypted, loop, is_async, host):
    """A certificate that is not known is refused: nobody in between reads a row."""
    scheme, server = encrypted
    store: Any = open_store(f"{scheme}://{host}:{server.port}", timeout=5, prefer_async=is_async)
    store = Waiting(store, loop) if is_async else store
    with pytest.raises(UNANSWERED, match=r"(?i)certificate.verify.failed"):
        store.create(a_session(), now=NOW)
    store.close()


# ── A server that is full ─────────────────────────────────────────────────────────


def test_a_server_that_is_full_and_evicts_nothing(tmp_path):
    """With ``noeviction`` a full Redis refuses logins, as docs/deploy.md says, and who is signed
    in stays so; when there is room again all goes on."""
    # S45
    assert "maxmemory-policy noeviction" in (ROOT / "docs" / "deploy.md").read_text("utf-8")
    with redis_server(tmp_path, "--maxmemory-policy", "noeviction") as server:
        auth = JWTAuth(Settings(secret_key="x" * 32, session_store=server.url))
        pair = auth.issue("alice")
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory", 1)
            with pytest.raises(StoreUnavailable):
                auth.issue("bob")
            assert [row.id for row in auth.sessions("alice")] == [pair.session_id]
            client.config_set("maxmemory", 0)
        auth.issue("bob")
        auth.close()


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

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
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
    monkeypatch.setattr(async_store, "connect_async", lambda address, timeout: object())

    async def use() -> None:
        assert store._client() is store._client()
        assert len(store._clients) == 1

    for _ in range(3):
        asyncio.run(use())


def test_two_threads_that_connect_together(single, monkeypatch):
    """Of two clients made at the same moment one is kept, and both threads use it."""
    store = RedisSessionStore(single, prefix=a_prefix())
    usual, kept = sync_store.connect, []

    def meanwhile(*where: Any) -> Any:
        kept.append(store._clients.setdefault(os.getpid(), usual(*where)))
        return usual(*where)

    monkeypatch.setattr(sync_store, "connect", meanwhile)
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
            assert client.script_exists(LOAD.digest) == [True]
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


UNANSWERED = (redis.RedisError, redis.exceptions.RedisClusterException)
"""What redis-py raises when nobody answers; of a Cluster that has been asked in vain, the other."""


def at_last(ask: Callable[[], Any]) -> Any:
    """The answer, however often it takes too long on a busy machine."""
    while True:
        with suppress(*UNANSWERED):
            return ask()


@contextmanager
def frozen(servers: list[RedisServer]) -> Iterator[None]:
    """They hold their connections, accept new ones, and answer nothing."""
    for server in servers:
        server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for server in servers:
            server.signal(signal.SIGCONT)


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_cluster_that_stops_answering(nodes, cluster, loop, is_async, connected):
    """However many nodes are asked in vain, a verb ends when its time is over."""
    # S45
    kind: Any = AsyncRedisSessionStore if is_async else RedisSessionStore
    store: Any = kind(cluster, prefix=a_prefix(), timeout=0.5)
    store = Waiting(store, loop) if is_async else store
    if connected:
        store.create(a_session(), now=NOW)
    with frozen(nodes):
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(UNANSWERED):
                store.create(a_session("new"), ends=["s", "other"], now=NOW)
            assert time.monotonic() - began < 1.5  # three nodes, one after the other: 2
    row = at_last(lambda: store.load("s", now=NOW))
    assert row == (a_session() if connected else None)
    store.close()


@pytest.mark.parametrize("is_async", [False, True])
def test_a_node_that_stops_answering(nodes, cluster, loop, is_async):
    """While one node is silent the sessions of the others are there, after a verb or two."""
    # S45
    kind: Any = AsyncRedisSessionStore if is_async else RedisSessionStore
    store: Any = kind(cluster, prefix=a_prefix(), timeout=1)
    store = Waiting(store, loop) if is_async else store
    sessions = [
        store.create(a_session(new_session_id(name), subject=name), now=NOW) for name in "abcdefgh"
    ]
    on_others = {session.id for session in sessions if node_of(cluster, session) != nodes[1].port}
    assert 0 < len(on_others) < len(sessions)
    found: set[str] = set()
    with frozen(nodes[1:2]):
        for session in sessions * 3:
            if found == on_others:
                break
            began = time.monotonic()
            try:
                found.add(store.load(session.id, now=NOW).id)
            except UNANSWERED:
                assert time.monotonic() - began < 2
    assert found == on_others
    store.close()


def node_of(cluster: str, session: Session) -> int:
    """The port of the node that has this session."""
    slot = redis.crc.key_slot(routing_tag(session.subject).encode())
    with redis.RedisCluster.from_url(cluster.replace("+cluster", ""), socket_timeout=0.2) as client:
        return client.nodes_manager.get_node_from_slot(slot).port


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("service", ["single", "cluster"])
def test_an_answer_that_comes_too_late(request, own, nodes, loop, service, is_async):
    """An answer that nobody waits for any longer is never taken for that to another question."""
    url, servers = (own.url, [own]) if service == "single" else (cluster_url(nodes), nodes)
    kind: Any = AsyncRedisSessionStore if is_async else RedisSessionStore
    store: Any = kind(url, prefix=a_prefix(), timeout=0.5)
    store = Waiting(store, loop) if is_async else store
    ids = [new_session_id("alice") for _ in range(RACERS)]
    for session_id in ids:
        store.create(a_session(session_id), now=NOW)
    race(lambda racer: store.load(ids[racer], now=NOW))

    def in_vain(racer: int) -> None:
        with pytest.raises(UNANSWERED):
            store.load(ids[racer], now=NOW)

    with frozen(servers):
        race(in_vain)
    for _ in range(3):
        rows = race(lambda racer: at_last(lambda: store.load(ids[racer], now=NOW)))
        assert [row.id for row in rows] == ids
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
