import importlib
import importlib.util
import math
import os
import secrets
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.schema import CreateTable
from stores.databases import Proxy, database_url, postgres_server, until

from jwt_middleware import stores
from jwt_middleware.errors import ConfigurationError
from jwt_middleware.sessions import Rotation
from jwt_middleware.stores import check_store, open_store
from jwt_middleware.stores.sqlalchemy import (
    LONGEST_ID,
    LONGEST_SUBJECT,
    SQLAlchemySessionStore,
    epochs_table,
    sessions_table,
)
from jwt_middleware.stores.sqlalchemy import store as module
from jwt_middleware.testing import SessionStoreContract
from jwt_middleware.testing.store_contract import CLAIMS, NOW, RACERS, a_session, race

ROUNDS = int(os.environ.get("RACE_ROUNDS", "10"))

PRESENTERS = 64

PREFIX = f"jwt_test_{secrets.token_hex(4)}_"
"""What the tables of this run begin with, in a database that may be somebody's."""

SERVERS = ["postgresql", "mariadb"]


def swap(**changes: Any) -> dict[str, Any]:
    """What a rotation from generation 0 asks for, but for ``changes``."""
    times = {"rotated_at": NOW, "expires_at": NOW + 9, "now": NOW}
    return {"expected": 0, "generation": 1, "confirmed": 0} | times | changes


def a_store(
    url: sa.Engine | sa.URL | str, tables: str = "", **options: Any
) -> SQLAlchemySessionStore:
    """A store whose tables are this run's."""
    names = {"sessions": f"{PREFIX}{tables}sessions", "epochs": f"{PREFIX}{tables}epochs"}
    everything: dict[str, Any] = names | {"timeout": 20.0} | options
    return SQLAlchemySessionStore(url, **everything)


def emptied(store: SQLAlchemySessionStore) -> SQLAlchemySessionStore:
    store.load("s", now=NOW)
    with store._line.connect() as connection:
        for table in (store._sessions, store._epochs):
            connection.execute(table.delete())
    return store


_shared: dict[str, SQLAlchemySessionStore] = {}


def shared(kind: str) -> SQLAlchemySessionStore:
    """One store for many tests, each of which finds it empty: statements are compiled once."""
    if kind not in _shared:
        _shared[kind] = a_store(database_url(kind))
    return emptied(_shared[kind])


def lossy_sqlite(path: Path) -> sa.Engine:
    """An engine of the user's own; it does not wait for the disk."""
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": 20})

    @event.listens_for(engine, "connect")
    def hurry(connection, record):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")

    return engine


@pytest.fixture(scope="module", autouse=True)
def tables_dropped() -> Iterator[None]:
    """Leaves no table behind."""
    yield
    for kind in SERVERS:
        try:
            engine = sa.create_engine(database_url(kind))
        except (pytest.skip.Exception, pytest.fail.Exception):
            continue
        with engine.begin() as connection:
            for name in sa.inspect(connection).get_table_names():
                if name.startswith(PREFIX):
                    connection.exec_driver_sql(f"DROP TABLE {name}")
        engine.dispose()


@pytest.fixture(params=SERVERS)
def url(request) -> str:
    return database_url(request.param)


@pytest.fixture
def make(tmp_path) -> Iterator[Callable[..., SQLAlchemySessionStore]]:
    """`a_store`, closed after the test."""
    made = []

    def make(*args: Any, **options: Any) -> SQLAlchemySessionStore:
        made.append(a_store(*args, **options))
        return made[-1]

    yield make
    for store in made:
        store._engine.dispose()


@pytest.fixture
def store(request, url) -> Iterator[SQLAlchemySessionStore]:
    store = shared(request.node.callspec.params["url"])
    yield store
    store.close()


@pytest.fixture
def file_store(tmp_path, make) -> SQLAlchemySessionStore:
    return make(f"sqlite:///{tmp_path}/s.sqlite3")


# ── The contract ──────────────────────────────────────────────────────────────────


class ServerContract(SessionStoreContract):
    race_rounds = ROUNDS
    kind: ClassVar[str]

    def make_store(self, tmp_path: Path) -> SQLAlchemySessionStore:
        return shared(self.kind)


class TestPostgreSQL(ServerContract):
    kind = "postgresql"


class TestMariaDB(ServerContract):
    kind = "mariadb"


class TestSQLite(SessionStoreContract):
    race_rounds = ROUNDS

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SQLAlchemySessionStore]:
        engine = lossy_sqlite(tmp_path / "s.sqlite3")
        yield a_store(engine)
        engine.dispose()


class TestSQLiteByUrl(SessionStoreContract):
    race_rounds = 2  # it waits for the disk

    def make_store(self, tmp_path: Path) -> Any:
        return open_store(f"sqlite+pysqlite:///{tmp_path}/s.sqlite3", timeout=20, prefer_async=True)


del ServerContract, SessionStoreContract  # pytest would run them by themselves


def test_a_url_that_says_mysql(make):
    """A MariaDB behind mysql:// is found out: what looks alike stays apart there, too."""
    url = database_url("mariadb").replace("mariadb+pymysql", "mysql")
    store = make(url, "mysql_")
    for session_id in ("s", "S", "s ", "ś"):
        store.create(a_session(session_id, subject=f"alice{session_id}"), now=NOW)
    assert [row.id for row in store.find("alices ", now=NOW)] == ["s "]


def test_a_file_by_its_url(file_store):
    """SQLite works by its URL as well, each verb with a connection of its own."""
    assert file_store.create(a_session(claims=CLAIMS), now=NOW) == a_session(claims=CLAIMS)
    assert file_store.rotate("s", **swap()).won
    assert isinstance(file_store._engine.pool, sa.NullPool)


# ── Races ─────────────────────────────────────────────────────────────────────────


def at_once(steps: int, step: Callable[[int], Any]) -> list[Any]:
    start = threading.Barrier(steps, timeout=30)

    def run(number: int) -> Any:
        start.wait()
        return step(number)

    with ThreadPoolExecutor(steps) as threads:
        return list(threads.map(run, range(steps)))


@pytest.mark.race
def test_one_presenter_wins(store):
    """Of 64 threads that present one token, one moves the row, and all see where it went."""
    for number in range(ROUNDS):
        session_id = str(number)
        store.create(a_session(session_id), now=NOW)
        results = at_once(
            PRESENTERS,
            lambda me, session_id=session_id: store.rotate(session_id, **swap(claims={"me": me})),
        )
        assert [won for _, won in results].count(True) == 1
        assert len({row.claims["me"] for row, _ in results}) == 1
        assert {row.generation for row, _ in results} == {1}


PROCESS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from jwt_middleware.stores.sqlalchemy import SQLAlchemySessionStore
url, sessions, epochs, now, rounds = sys.argv[1:4] + [float(sys.argv[4]), int(sys.argv[5])]
store = SQLAlchemySessionStore(url, sessions=sessions, epochs=epochs, timeout=30)
def present(_):
    won = 0
    while (generation := store.load("shared", now=now).generation) < rounds:
        won += store.rotate(
            "shared", expected=generation, generation=generation + 1, rotated_at=now,
            expires_at=now + 9, confirmed=generation, now=now,
        ).won
    return won
store.load("shared", now=now)
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(16) as threads:
    print(sum(threads.map(present, range(16))))
store.close()
"""


def start(program: str, *args: object) -> Any:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def outcome(process: Any, said: str = "") -> str:
    try:
        out, err = process.communicate(said, timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 0, err
    assert not err
    return out


@pytest.mark.race
def test_one_process_wins(url, store):
    """Four processes of sixteen threads race each rotation: one of the 64 wins each."""
    store.create(a_session("shared"), now=NOW)
    names = (store._sessions.name, store._epochs.name)
    processes = [start(PROCESS, url, *names, NOW, ROUNDS) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert sum(int(outcome(process)) for process in processes) == ROUNDS


@pytest.mark.race
def test_a_proof_races_a_rotation(store):
    """Confirmed before it moves or while it moves: the row moves on, and its proof is whole."""
    for number in range(ROUNDS):
        session_id = str(number)
        store.create(a_session(session_id, generation=1), now=NOW)

        def step(racer: int, session_id: str = session_id) -> Any:
            if racer % 2:
                return store.confirm(session_id, generation=1, now=NOW + 1)
            onward = swap(expected=1, generation=2, confirmed=1, now=NOW + 2)
            return store.rotate(session_id, **onward)

        rotations = [answer for answer in race(step) if answer is not None]
        assert [won for _, won in rotations].count(True) == 1
        row = store.load(session_id, now=NOW)
        assert (row.generation, row.confirmed_generation) == (2, 1)
        assert row.confirmed_at in {NOW + 1, NOW + 2}


@pytest.mark.race
def test_a_logout_races_a_rotation(store):
    """Whichever comes first: it is ended in the end, by one, and then stays where it stood."""
    for number in range(ROUNDS):
        session_id = str(number)
        store.create(a_session(session_id), now=NOW)

        def step(racer: int, session_id: str = session_id) -> Any:
            if racer % 2:
                return store.revoke(session_id, reason="logout", now=NOW)
            return store.rotate(session_id, **swap())

        answers = race(step)
        rotations = [answer for answer in answers if isinstance(answer, Rotation)]
        assert answers.count(True) == 1
        row = store.load(session_id, now=NOW)
        assert row.revoked
        assert row.generation == [won for _, won in rotations].count(True)


@pytest.mark.race
def test_a_late_login_races_log_out_everywhere(store):
    """Once everybody is out, no session of before is seen alive, and somebody was told of each."""
    for number in range(ROUNDS):
        subject = f"alice {number}"
        out = threading.Event()

        def step(racer: int, subject: str = subject, out: Any = out) -> Any:
            if not racer:
                ended = store.revoke_subject(
                    subject, reason="everywhere", until=NOW + 9000, now=NOW + 1
                )
                out.set()
                return ended
            row = store.create(a_session(f"{subject}-{racer}", subject=subject), now=NOW)
            over = out.is_set()
            assert store.rotate(row.id, **swap()).won is False or not over
            assert not over or store.load(row.id, now=NOW).revoked
            return [row.id] if row.revoked else []

        told = race(step)
        everybody = {f"{subject}-{racer}" for racer in range(1, RACERS)}
        assert everybody == {session_id for ids in told for session_id in ids}
        assert store.find(subject, now=NOW) == []
        assert all(store.load(session_id, now=NOW).revoked for session_id in everybody)


@pytest.mark.race
def test_everybody_is_sent_out_once(store, monkeypatch):
    """Of many calls that end a subject's sessions, together or one by one, each session is
    answered to one of them, however many batches that takes, and has that call's reason."""
    monkeypatch.setattr(module, "BATCH", 3)
    for number in range(ROUNDS):
        subject = f"alice {number}"
        ids = [f"{number} {which}" for which in range(10)]
        for session_id in ids:
            store.create(a_session(session_id, subject=subject), now=NOW)

        def step(racer: int, subject: str = subject, ids: list[str] = ids) -> list[str]:
            why: dict[str, Any] = {"reason": str(racer), "now": NOW + racer}
            if racer % 2:
                ended = ids[racer % len(ids)]
                return [ended] * store.revoke(ended, **why)
            return store.revoke_subject(subject, until=NOW + 99, **why)

        told = [(ended, str(racer)) for racer, all_of in enumerate(race(step)) for ended in all_of]
        rows = [store.load(session_id, now=NOW) for session_id in ids]
        assert sorted(told) == sorted((row.id, row.revoked_reason) for row in rows)


def test_everybody_is_sent_out_batch_by_batch(store, monkeypatch):
    """Ending many sessions holds no more than a batch of them at a time, and answers all but
    those that somebody else has ended meanwhile."""
    monkeypatch.setattr(module, "BATCH", 3)
    ids = {str(number) for number in range(8)}
    for session_id in ids:
        store.create(a_session(session_id), now=NOW)
    held: list[int] = []
    elsewhere: set[str] = set()
    usual = store._mark

    def mark(connection: Any, batch: Any, *why: Any) -> Any:
        if not held:
            elsewhere.update(batch)
            usual(connection, batch, NOW, "first")
        held.append(len(batch))
        return usual(connection, batch, *why)

    monkeypatch.setattr(store, "_mark", mark)
    ended = store.revoke_subject("alice", reason="x", keep="3", until=NOW + 9, now=NOW)
    assert (set(ended), held) == (ids - elsewhere - {"3"}, [3, 3, 1])
    assert [row.id for row in store.find("alice", now=NOW)] == ["3"]


@pytest.mark.race
def test_workers_that_start_together(url, make):
    """Workers that make the tables at the same moment all succeed."""
    for number in range(3):
        workers = [make(url, f"together{number}_") for _ in range(RACERS)]
        assert race(lambda racer, workers=workers: workers[racer].load("s", now=NOW)) == [
            None
        ] * len(workers)
        for worker in workers:
            worker.close()


# ── The epoch, where it has marked nothing ────────────────────────────────────────


@pytest.fixture(params=[*SERVERS, "sqlite"])
def covered(request, tmp_path, make) -> Iterator[SQLAlchemySessionStore]:
    """A store with two sessions: ``s``, that an epoch covers which has not marked it yet, and
    ``kept``."""
    if request.param == "sqlite":
        store = make(f"sqlite:///{tmp_path}/s.sqlite3")
    else:
        store = shared(request.param)
    store.create(a_session(generation=1), now=NOW)
    store.create(a_session("kept"), now=NOW)
    with store._connection() as connection:
        epoch = {"p_at": NOW, "p_keep": "kept", "p_until": NOW + 9, "p_reason": "everywhere"}
        store._store_epoch(connection, {"p_subject": "alice"} | epoch)
    yield store
    store.close()


def test_an_unmarked_session_is_ended(covered):
    """What the epoch covers is ended for every verb the moment the epoch is stored."""
    ended = a_session(generation=1, revoked_at=NOW, revoked_reason="everywhere")
    assert covered.load("s", now=NOW) == ended
    assert covered.rotate("s", **swap(expected=1, generation=2)) == (ended, False)
    assert covered.update("s", {}, now=NOW) == ended
    covered.confirm("s", generation=1, now=NOW)
    assert covered.revoke("s", reason="logout", now=NOW) is False
    covered.create(a_session("new", created_at=NOW + 1), ends=["s"], now=NOW + 1)
    assert covered.load("s", now=NOW) == ended
    assert [row.id for row in covered.find("alice", now=NOW)] == ["new", "kept"]
    assert covered.rotate("kept", **swap()).won


def test_an_unmarked_session_does_not_come_back(covered):
    """A later log-out-everywhere marks what an earlier one left, before it is forgotten."""
    later = covered.revoke_subject("alice", reason="again", until=NOW + 99, now=NOW + 1)
    assert later == ["kept", "s"]


def test_the_swaps_themselves_ask_for_the_epoch(covered):
    """A conditional update does not match what the epoch covers, whatever was read before it."""
    with covered._connection() as connection:
        for statement in (covered._do.rotate, covered._do.confirm, covered._do.update):
            values = dict.fromkeys(statement.compile().params, 1) | {"p_id": "s"}
            values |= {"p_claims": "{}"} if "p_claims" in values else {}
            assert connection.execute(statement, values).rowcount == 0


# ── Lines that break ──────────────────────────────────────────────────────────────


@pytest.fixture
def proxy(url, store) -> Iterator[Proxy]:
    proxy = Proxy(url)
    yield proxy
    proxy.close()


COMMITTED = {"postgresql": b"UPDATE", "mariadb": b"\x03COMMIT"}
"""What is sent last when a row moves. In MariaDB, and there alone, it is the end of a transaction
(a query of this one word: drivers say SET AUTOCOMMIT too)."""


def test_a_rotation_whose_answer_is_lost(proxy, make, store):
    """It has moved the row once; the client is told where the row stands, and goes on."""
    far = make(proxy.url)
    store.create(a_session(), now=NOW)
    far.load("s", now=NOW)
    proxy.cut_after(COMMITTED[proxy.url.get_backend_name()])
    answer = far.rotate("s", **swap(claims={"mine": True}))
    assert proxy.cuts == 1
    assert answer == (store.load("s", now=NOW), False)
    assert answer.session is not None
    assert (answer.session.generation, answer.session.claims) == (1, {"mine": True})
    assert store.rotate("s", **swap()).won is False
    assert far.rotate("s", **swap(expected=1, generation=2)).won


def test_a_rotation_that_never_arrived(proxy, make, store):
    """It is sent once more, and wins."""
    far = make(proxy.url)
    store.create(a_session(), now=NOW)
    proxy.cut_after(b"UPDATE", done=False)
    assert far.rotate("s", **swap()).won
    assert proxy.cuts == 1


def test_a_proof_or_a_read_whose_answer_is_lost(proxy, make, store):
    """Reads and proofs are done again, and nobody notices."""
    far = make(proxy.url)
    store.create(a_session(generation=1), now=NOW)
    proxy.cut_after(b"UPDATE")
    far.confirm("s", generation=1, now=NOW + 1)
    row = store.load("s", now=NOW)
    assert row is not None
    assert row.confirmed_at == NOW + 1
    proxy.cut_after(b"SELECT " + PREFIX.encode())
    assert far.load("s", now=NOW) == row
    proxy.cut_after(b"ORDER BY")
    assert far.find("alice", now=NOW) == [row]
    assert proxy.cuts == 3


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        (b"INSERT", lambda store: store.create(a_session("new"), now=NOW)),
        (b"UPDATE", lambda store: store.update("s", {"new": True}, now=NOW)),
        (b"UPDATE", lambda store: store.revoke("s", reason="logout", now=NOW)),
        (
            b"FOR UPDATE",
            lambda store: store.revoke_subject("alice", reason="x", until=NOW + 9, now=NOW),
        ),
        (b"DELETE", lambda store: store.purge(NOW + 9999)),
    ],
    ids=["create", "update", "revoke", "revoke_subject", "purge"],
)
def test_what_is_not_done_twice(proxy, make, store, words, verb):
    """Where a second time could be wrong the verb raises, and the next one works."""
    far = make(proxy.url)
    store.create(a_session(), now=NOW)
    far.load("s", now=NOW)
    proxy.cut_after(words)
    with pytest.raises(DBAPIError):
        verb(far)
    assert proxy.cuts == 1
    far.load("s", now=NOW)


def test_half_a_log_out_everywhere_is_a_whole_one(proxy, make, store):
    """The line breaks between epoch and marks: all sessions have ended all the same."""
    far = make(proxy.url)
    store.create(a_session(), now=NOW)
    far.load("s", now=NOW)
    proxy.cut_after(b"FOR UPDATE")
    with pytest.raises(DBAPIError):
        far.revoke_subject("alice", reason="everywhere", until=NOW + 9, now=NOW)
    assert store.find("alice", now=NOW) == []
    assert store.revoke_subject("alice", reason="again", until=NOW + 9, now=NOW + 1) == ["s"]


# ── Servers that fail ─────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def server():
    with postgres_server() as server:
        yield server


def test_a_server_that_is_killed(server, make):
    """What was answered is there after a crash; meanwhile there are errors, later none."""
    store = emptied(make(server.url, timeout=1.0))
    store.create(a_session(), now=NOW)
    assert store.rotate("s", **swap()).won
    server.kill()
    begun = time.monotonic()
    with pytest.raises(DBAPIError):
        store.load("s", now=NOW)
    assert time.monotonic() - begun < 10
    server.start()
    row = store.load("s", now=NOW)
    assert row is not None
    assert row.generation == 1
    assert store.rotate("s", **swap(expected=1, generation=2)).won


@pytest.mark.parametrize("connected", [False, True])
def test_a_server_that_is_silent(server, make, connected):
    """A server that accepts and never answers is given up in time, by old lines and new ones."""
    # S45
    store = emptied(make(server.url, timeout=0.5))
    store.create(a_session(), now=NOW)
    if not connected:
        store.close()
    server.signal(signal.SIGSTOP)
    try:
        for verb in (
            lambda: store.rotate("s", **swap()),
            lambda: store.create(a_session("new"), ends=["s"], now=NOW),
            lambda: store.revoke_subject("alice", reason="x", until=NOW + 9, now=NOW),
        ):
            begun = time.monotonic()
            with pytest.raises(DBAPIError):
                verb()
            assert time.monotonic() - begun < 1.5
    finally:
        server.signal(signal.SIGCONT)
    until(lambda: store.load("s", now=NOW))


@pytest.mark.parametrize("connected", [False, True])
def test_a_line_that_is_silent(proxy, make, store, connected):
    """A network that delivers nothing costs a verb no more than its timeout."""
    # S45
    far = make(proxy.url, timeout=0.5)
    store.create(a_session(), now=NOW)
    far.load("s", now=NOW)
    if not connected:
        far.close()
    with proxy.frozen():
        for verb in (
            lambda: far.rotate("s", **swap()),
            lambda: far.create(a_session("new"), ends=["s"], now=NOW),
        ):
            begun = time.monotonic()
            with pytest.raises(DBAPIError):
                verb()
            assert time.monotonic() - begun < 1.5
    assert store.load("s", now=NOW) == a_session()
    assert far.rotate("s", **swap()).won


def test_a_line_that_was_forgotten(proxy, make, store):
    """Where an old line is silent and a new one is not, the verb has time left for the new one."""
    # S45
    far = make(proxy.url, timeout=2)
    store.create(a_session(), now=NOW)
    far.load("s", now=NOW)
    proxy.forget()
    assert far.rotate("s", **swap()).won


def test_time_is_for_the_verb_and_not_for_each_wait(proxy, make, store):
    """Answers that are slow one by one, and would be in time alone, are too slow together."""
    # S45
    far = make(proxy.url, timeout=0.5)
    store.create(a_session("old"), now=NOW)
    far.load("old", now=NOW)
    proxy.delay = 0.2
    begun = time.monotonic()
    with pytest.raises(DBAPIError):
        far.create(a_session(), ends=["old"], now=NOW)
    assert time.monotonic() - begun < 1.5
    proxy.delay = 0.0
    assert far.load("old", now=NOW)


def test_a_statement_that_is_not_answered(server, make):
    """Silence under a verb ends it after the timeout, and it is not begun again."""
    # S45
    store = emptied(make(server.url, timeout=0.5))
    begun = time.monotonic()
    with pytest.raises(DBAPIError, match=r"no answer within 0\.[45]\d* seconds"):
        store._twice(lambda connection: stopped(server, connection))
    assert time.monotonic() - begun < 1.5
    assert store.load("s", now=NOW) is None


def stopped(server, connection):
    server.signal(signal.SIGSTOP)
    try:
        return connection.exec_driver_sql("SELECT 1")
    finally:
        server.signal(signal.SIGCONT)


def test_a_row_somebody_holds(url, store, make):
    """Who waits for a row longer than the timeout gets an error, and the row stays."""
    hurried = make(url, timeout=0.5)
    store.create(a_session(), now=NOW)
    with store._engine.execution_options(isolation_level="READ COMMITTED").begin() as holder:
        holder.execute(sa.select(store._sessions).with_for_update())
        begun = time.monotonic()
        with pytest.raises(DBAPIError):
            hurried.rotate("s", **swap())
        assert time.monotonic() - begun < 1.5
    assert hurried.rotate("s", **swap()).won


def test_a_server_that_is_not_there():
    """The error names the place and not the password."""
    for scheme in ("postgresql", "mysql"):
        store = SQLAlchemySessionStore(f"{scheme}://me:hunter2@127.0.0.1:1/test", timeout=1)
        with pytest.raises(DBAPIError) as raised:
            store.load("s", now=NOW)
        assert "hunter2" not in str(raised.value)
        assert "127.0.0.1" in str(raised.value)
        store.close()


def test_an_error_holds_no_salt(store):
    """The values of a statement are in no error: a salt is half of a refresh token."""
    store.create(a_session(), now=NOW)
    with pytest.raises(IntegrityError) as raised:
        store.create(a_session(refresh_salt="hunter2", claims={"secret": "hunter2"}), now=NOW)
    assert "hunter2" not in str(raised.value)


# ── Tables ────────────────────────────────────────────────────────────────────────


def test_tables_for_migrations():
    """Both tables enter the metadata they are given, with its schema, once."""
    metadata = sa.MetaData(schema="auth")
    ours = [sessions_table(metadata), epochs_table(metadata)]
    assert [sessions_table(metadata), epochs_table(metadata)] == ours
    store = SQLAlchemySessionStore("sqlite:///never.sqlite3", metadata=metadata)
    assert [store._sessions, store._epochs] == ours
    assert set(metadata.tables) == {"auth.jwt_sessions", "auth.jwt_epochs"}


@pytest.mark.parametrize(
    ("is_mariadb", "collation"), [(True, "utf8mb4_nopad_bin"), (False, "utf8mb4_0900_bin")]
)
def test_a_collation_that_pads_nothing(is_mariadb, collation):
    """MariaDB and MySQL each have a collation of bytes, spaces at the end among them."""
    ddl = CreateTable(sessions_table(sa.MetaData()))
    text = str(ddl.compile(dialect=mysql.dialect(is_mariadb=is_mariadb)))
    assert text.count(f"COLLATE {collation}") == 2
    assert "ENGINE=InnoDB" in text


def test_tables_that_somebody_else_makes(url, make):
    """With create_tables=False nothing is made: a missing table is an error."""
    with pytest.raises(DBAPIError, match="missing"):
        make(url, "missing_", create_tables=False).load("s", now=NOW)


def test_tables_that_cannot_be_made(file_store, monkeypatch):
    """What is refused for good is tried once a table and once more, and then raised."""
    tried = []

    def refused(*_, **__):
        tried.append(1)
        raise ProgrammingError("CREATE TABLE", None, Exception("permission denied"))

    monkeypatch.setattr(sa.MetaData, "create_all", refused)
    with pytest.raises(ProgrammingError, match="permission denied"):
        file_store.load("s", now=NOW)
    assert len(tried) == 3


@pytest.mark.parametrize(
    ("session", "message"),
    [
        (a_session(subject="x" * (LONGEST_SUBJECT + 1)), "a subject of 256 characters"),
        (a_session("x" * (LONGEST_ID + 1)), "a session id of 65 characters"),
    ],
    ids=["subject", "id"],
)
def test_what_is_too_long(session, message, file_store):
    """A subject or an id that does not fit is refused, never cut, and not quoted."""
    with pytest.raises(ValueError, match=message) as raised:
        file_store.create(session, now=NOW)
    assert "xx" not in str(raised.value)


def test_the_longest_there_is(store):
    """Subject and id fit to the last character, whatever the characters weigh."""
    longest = a_session("🔐" * LONGEST_ID, subject="🔐" * LONGEST_SUBJECT)
    store.create(longest, now=NOW)
    assert store.find(longest.subject, now=NOW) == [longest]
    assert (
        store.revoke_subject(longest.subject, reason="x", until=NOW + 9, now=NOW, keep=longest.id)
        == []
    )
    with pytest.raises(ValueError, match="256 characters"):
        store.revoke_subject(longest.subject + "x", reason="x", until=NOW + 9, now=NOW)


def test_an_id_nobody_could_have(store):
    """A presented id that is too long is no error: there is no such session."""
    assert store.load("x" * 1000, now=NOW) is None


def test_purge_goes_batch_by_batch(store, monkeypatch):
    """A large purge is many small ones, and keeps to its limit."""
    monkeypatch.setattr(module, "BATCH", 2)
    for number in range(9):
        store.create(a_session(str(number), absolute_expires_at=NOW + number), now=NOW)
    assert store.purge(NOW + 7, limit=5) == 5
    assert store.purge(NOW + 7, limit=100) == 3
    assert store.load("8", now=NOW) is not None


def test_a_float_to_its_last_bit(store):
    """Times come back exactly, whatever the database writes them as."""
    for number, time_ in enumerate((NOW, math.pi, 1e-300, math.nextafter(2e9, 0))):
        row = store.create(a_session(str(number), last_seen_at=time_), now=NOW)
        assert row.last_seen_at == time_


# ── Engines ───────────────────────────────────────────────────────────────────────


def test_an_engine_of_the_users_own(url):
    """A given engine is used as it is: neither changed nor closed."""
    engine = sa.create_engine(url)
    store = emptied(a_store(engine))
    store.create(a_session(), now=NOW)
    store.close()
    assert engine.pool.checkedin() == 1  # type: ignore[attr-defined]  # a QueuePool
    assert not engine.hide_parameters
    with engine.connect() as connection:
        assert connection.get_isolation_level() == connection.default_isolation_level
    engine.dispose()


def test_close_closes_an_engine_of_our_own(store):
    """Connections of an engine that was made here end with close()."""
    store.load("s", now=NOW)
    assert store._engine.pool.checkedin() == 1
    store.close()
    assert store._engine.pool.checkedin() == 0


def test_statements_commit_at_once(store):
    """Our own engine commits each statement by itself, at READ COMMITTED."""
    with store._line.connect() as connection:
        if connection.dialect.name == "postgresql":
            (level,) = connection.exec_driver_sql("SHOW transaction_isolation").one()
            (limit,) = connection.exec_driver_sql("SHOW statement_timeout").one()
            assert (level, limit) == ("read committed", "20s")
            assert connection.connection.dbapi_connection.autocommit
        else:
            variables = "@@tx_isolation, @@autocommit, @@innodb_lock_wait_timeout"
            row = connection.exec_driver_sql(f"SELECT {variables}").one()
            assert tuple(row) == ("READ-COMMITTED", 1, 20)


def test_no_verb_is_inline():
    """An event loop never waits for a database."""
    assert SQLAlchemySessionStore.inline == frozenset()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_begins_without_connections(url, store):
    """Parent and child use the store after a fork, and neither hears the other's answers."""
    program = """
    import os, sys
    from jwt_middleware.stores.sqlalchemy import SQLAlchemySessionStore
    from jwt_middleware.testing.store_contract import a_session
    url, sessions, epochs, now = sys.argv[1:4] + [float(sys.argv[4])]
    store = SQLAlchemySessionStore(url, sessions=sessions, epochs=epochs, timeout=30)
    store.create(a_session("before"), now=now)
    pid = os.fork()
    me = "parent" if pid else "child"
    for number in range(50):
        store.create(a_session(f"{me} {number}"), now=now)
        assert store.load(f"{me} {number}", now=now).id == f"{me} {number}"
    store.close()
    if pid:
        assert os.waitpid(pid, 0)[1] == 0
        assert store.load("before", now=now) is not None
        store.close()
        print("well")
    """
    names = (store._sessions.name, store._epochs.name)
    assert outcome(start(program, url, *names, NOW)) == "well\n"
    assert len(store.find("alice", now=NOW)) == 101


def test_what_a_child_forgets(file_store, monkeypatch):
    """The parent's pool is kept aside, untouched; a lock that was held is not the child's."""
    monkeypatch.setattr(module, "_inherited", kept := [])
    pool = file_store._engine.pool
    file_store._making.acquire()
    module._after_fork()
    assert pool in kept
    assert file_store._engine.pool is not pool
    assert file_store.load("s", now=NOW) is None


# ── What cannot work ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("postgresql://me:hunter2@host:port/db", "cannot be read"),
        ("hunter2", "cannot be read"),
        ("postgresql+nothing://me:hunter2@host/db", "SQLAlchemy knows no postgresql+nothing://"),
        ("postgresql+asyncpg://me:hunter2@host/db", "asyncpg"),
        ("sqlite+aiosqlite:///file", "aiosqlite"),
        ("oracle://me:hunter2@host/db", "PostgreSQL, MariaDB, MySQL and SQLite, not by oracle://"),
        ("mssql+pyodbc://me:hunter2@host/db", "pass an Engine"),
        ("sqlite://", "memory://"),
        ("sqlite:///:memory:", "memory://"),
    ],
)
def test_a_url_that_cannot_work(url, hint):
    """What is wrong is said at once, without the password."""
    with pytest.raises(ConfigurationError, match=hint.replace("+", r"\+")) as raised:
        SQLAlchemySessionStore(url)
    assert "hunter2" not in str(raised.value)
    assert raised.value.__cause__ is None or "hunter2" not in str(raised.value.__cause__)


def test_an_async_engine():
    """An engine for event loops is refused: the store brings threads of its own."""
    engine = sa.create_engine("sqlite:///file")
    engine.dialect.is_async = True
    with pytest.raises(ConfigurationError, match="synchronous driver"):
        SQLAlchemySessionStore(engine)


def test_an_engine_in_memory():
    """SQLite in memory is a database of its own for each thread: refused."""
    with pytest.raises(ConfigurationError, match="memory://"):
        SQLAlchemySessionStore(sa.create_engine("sqlite://"))


@pytest.mark.parametrize(
    ("url", "module_name", "package"),
    [
        ("postgresql://me:hunter2@host/db", "psycopg", r"psycopg\[binary\]"),
        ("mysql://me:hunter2@host/db", "pymysql", "pymysql"),
        ("mysql+mysqldb://me:hunter2@host/db", "MySQLdb", "mysqlclient"),
    ],
)
def test_a_driver_that_is_missing(url, module_name, package, monkeypatch):
    """Both packages are named in a line that can be pasted, and the password is not."""
    monkeypatch.setitem(sys.modules, module_name, None)
    wanted = rf'pip install "jwt-session-middleware\[sqlalchemy\]" "?{package}'
    with pytest.raises(ConfigurationError, match=wanted) as raised:
        SQLAlchemySessionStore(url)
    assert "hunter2" not in str(raised.value)


def test_sqlalchemy_is_missing(monkeypatch):
    """Without SQLAlchemy the module says what to install."""
    name = "jwt_middleware.stores.sqlalchemy"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ConfigurationError, match=r"jwt-session-middleware\[sqlalchemy\]"):
        importlib.import_module(name)


# ── By the setting ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://me@host/db", "postgresql+psycopg"),
        ("postgres://me@host/db", "postgresql+psycopg"),
        ("postgresql+psycopg://me@host/db", "postgresql+psycopg"),
        ("mysql://me@host/db", "mysql+pymysql"),
        ("mariadb://me@host/db?charset=utf8mb4", "mariadb+pymysql"),
        ("SQLite+pysqlite:///file", "sqlite+pysqlite"),
    ],
)
def test_opened_by_its_url(url, driver):
    """A URL without a driver gets the one that needs nothing compiled; nothing is opened yet."""
    assert check_store(url) is None
    store = open_store(url, timeout=0.25, prefer_async=True)
    assert isinstance(store, SQLAlchemySessionStore)
    assert store._engine.url.drivername == driver
    assert getattr(store._engine.pool, "_timeout", 0.25) == 0.25


@pytest.mark.parametrize("absent", ["sqlalchemy", "psycopg"])
def test_a_missing_package_is_noticed_at_startup(absent, monkeypatch):
    """Checking the setting finds out, and imports nothing."""
    monkeypatch.setattr(stores, "find_spec", lambda name: None if name == absent else name)
    fault = check_store("postgresql://me:hunter2@host/db")
    assert fault is not None
    assert 'pip install "jwt-session-middleware[sqlalchemy]" "psycopg[binary]"' in fault
    assert "hunter2" not in fault
    with pytest.raises(ConfigurationError, match="psycopg"):
        open_store("postgresql://me:hunter2@host/db", timeout=2)
