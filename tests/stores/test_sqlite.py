import logging
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from jwt_middleware.errors import ConfigurationError
from jwt_middleware.sessions import Session
from jwt_middleware.stores import VERBS, sqlite
from jwt_middleware.stores.sqlite import SQLiteSessionStore
from jwt_middleware.testing import SessionStoreContract
from jwt_middleware.testing.store_contract import NOW, RACERS, a_session, race


def swap(**changes: Any) -> dict[str, Any]:
    """What a rotation from generation 0 asks for, but for ``changes``."""
    times = {"rotated_at": NOW, "expires_at": NOW + 9, "now": NOW}
    return {"expected": 0, "generation": 1, "confirmed": 0} | times | changes


class TestSQLiteSessionStore(SessionStoreContract):
    race_rounds = int(os.environ.get("RACE_ROUNDS", "10"))

    def make_store(self, tmp_path: Path) -> SQLiteSessionStore:
        # Patient: a race writes sixteen times at once, and some disks are slow.
        return SQLiteSessionStore(tmp_path / "sessions.sqlite3", timeout=30)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sessions.sqlite3"


@pytest.fixture
def store(path):
    store = SQLiteSessionStore(path)
    yield store
    store.close()


@pytest.fixture
def opened(monkeypatch):
    """Every connection that is opened during the test."""
    connections = []
    connect = sqlite3.connect

    def recording(*args, **kwargs):
        connections.append(connect(*args, **kwargs))
        return connections[-1]

    monkeypatch.setattr(sqlite3, "connect", recording)
    return connections


def is_closed(connection):
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return True
    return False


def pragma(store, name):
    with store._line() as connection:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]


_FORKS = "ignore:This process:DeprecationWarning"


def start(program, *args) -> Any:
    """A Python process of its own that runs ``program``."""
    return subprocess.Popen(
        # Since 3.12 Python warns of a fork beside threads, which is what some of these do.
        [sys.executable, "-W", _FORKS, "-c", textwrap.dedent(program), *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def outcome(process):
    """What the process printed, once it has ended well; bounded in time."""
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 0, err
    assert not err
    return out


# ── Construction ──────────────────────────────────────────────────────────────────


def test_no_file_before_the_first_verb(path):
    """Making a store, and closing one never used, creates nothing."""
    store = SQLiteSessionStore(path)
    store.close()
    assert list(path.parent.iterdir()) == []
    assert store.load("s", now=NOW) is None
    assert path.exists()
    store.close()


@pytest.mark.parametrize("nowhere", ["", ":memory:"])
def test_memory_is_another_store(nowhere):
    """SQLite in memory would be a database a thread: refused, and pointed at memory://."""
    with pytest.raises(ConfigurationError, match="memory://"):
        SQLiteSessionStore(nowhere)


def test_a_relative_path_is_fixed_at_once(tmp_path, monkeypatch):
    """A later change of the working directory does not move the sessions."""
    monkeypatch.chdir(tmp_path)
    store = SQLiteSessionStore("relative.sqlite3")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store.create(a_session(), now=NOW)
    store.close()
    assert store.path == tmp_path / "relative.sqlite3"
    assert store.path.exists()


def test_an_old_library_is_refused(path, monkeypatch):
    """Without RETURNING there is no answer to who won: said at once, with both versions."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(ConfigurationError, match=r"SQLite 3\.35"):
        SQLiteSessionStore(path)


def test_only_reads_by_key_run_on_an_event_loop(path):
    """Whatever may wait for a lock is not for an event loop: to write, or to make the file."""
    # S52
    first, second = SQLiteSessionStore(path), SQLiteSessionStore(path)
    assert first.inline == second.inline == set()
    first.load("nobody", now=0)
    assert first.inline == second.inline == {"load"} < set(VERBS)


# ── The file ──────────────────────────────────────────────────────────────────────


def test_the_path_is_logged_once(path, caplog):
    """The absolute path is logged when the file is first opened, not again later."""
    caplog.set_level(logging.INFO, "jwt_middleware")
    for _ in range(2):
        store = SQLiteSessionStore(path)
        store.load("s", now=NOW)
        store.close()
        store.load("s", now=NOW)
        store.close()
    assert [(r.name, r.levelname, r.getMessage()) for r in caplog.records] == [
        ("jwt_middleware", "INFO", f"sessions are kept in {path}")
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permission bits")
def test_only_the_owner_reads_the_file(store):
    """The file and what SQLite keeps beside it have mode 0600, whatever the umask."""
    umask = os.umask(0)
    try:
        store.create(a_session(), now=NOW)
    finally:
        os.umask(umask)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in store.path.parent.iterdir()}
    assert len(modes) == 3
    assert set(modes.values()) == {0o600}


def test_an_empty_file_is_taken(path, store):
    """A file made beforehand, by a deployment, is filled and keeps its mode."""
    path.touch(mode=0o640)
    store.create(a_session(), now=NOW)
    assert store.load("s", now=NOW) == a_session()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_readers_do_not_wait(store):
    """The file is in write-ahead mode."""
    assert pragma(store, "journal_mode") == "wal"


@pytest.mark.parametrize(("synchronous", "level"), [("NORMAL", 1), ("FULL", 2)])
def test_synchronous_is_a_setting(path, synchronous, level):
    """How hard a commit hits the disk is up to the caller."""
    store = SQLiteSessionStore(path, synchronous=synchronous)
    assert pragma(store, "synchronous") == level
    store.close()


def test_normal_is_the_default(store):
    """A write costs no disk flush unless asked for."""
    assert pragma(store, "synchronous") == 1


def test_columns_are_the_fields(store):
    """``SELECT *`` is a Session: the columns have its fields' names, in its order."""
    with store._line() as connection:
        columns = connection.execute("SELECT name FROM pragma_table_info('sessions')").fetchall()
    assert [name for (name,) in columns] == [field.name for field in fields(Session)]


def test_claims_are_compact_json(store):
    """The claims column is JSON text that other tools can read."""
    store.create(a_session(claims={"roles": ["a", "b"], "n": 1}), now=NOW)
    with store._line() as connection:
        ((text,),) = connection.execute("SELECT claims FROM sessions").fetchall()
    assert text == '{"roles":["a","b"],"n":1}'


@pytest.mark.parametrize(
    ("statement", "values", "plan"),
    [
        (sqlite._LOAD, ["s"], "sqlite_autoindex_sessions_1"),
        (sqlite._FIND, {"subject": "alice", "now": NOW}, "sessions_subject"),
        (sqlite._REVOKE_SUBJECT, [NOW, "r", "alice", None], "sessions_subject"),
        (sqlite._PURGE_SESSIONS, [NOW, 1], "sessions_end"),
        (sqlite._PURGE_EPOCHS, [NOW, 1], "epochs_until"),
        (sqlite._COVERING_EPOCH, ["alice", NOW, "s"], "sqlite_autoindex_epochs_1"),
    ],
    ids=["load", "find", "revoke_subject", "purge", "purge_epochs", "epoch"],
)
def test_no_verb_reads_the_whole_table(store, statement, values, plan):
    """Each statement finds its rows by an index."""
    with store._line() as connection:
        steps = connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
    details = " ".join(step[-1] for step in steps)
    assert plan in details
    assert "SCAN sessions" not in details.replace("SCAN sessions USING INDEX", "")


def test_a_newer_schema_is_refused(path, store):
    """A file of a later version is not touched, and the message names both versions."""
    store.load("s", now=NOW)
    with store._line() as connection:
        connection.execute("PRAGMA user_version = 7")
    store.close()
    with pytest.raises(ConfigurationError, match=r"schema is 7, this one knows 1.*upgrade"):
        store.load("s", now=NOW)
    with pytest.raises(ConfigurationError, match=str(path)):
        store.create(a_session(), now=NOW)


@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE users (id)", "PRAGMA application_id = 42", "PRAGMA user_version = 1"],
    ids=["tables", "application", "version"],
)
def test_a_foreign_database_is_refused(path, store, statement):
    """Somebody else's database stays exactly as it is."""
    with sqlite3.connect(path) as foreign:
        foreign.execute(statement)
    foreign.close()
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="a file of their own"):
        store.create(a_session(), now=NOW)
    assert path.read_bytes() == before


def test_a_schema_made_meanwhile_is_welcome(path, store):
    """Two processes that both find no schema: the second one takes what the first made."""
    store.create(a_session(), now=NOW)
    with store._line() as connection:
        sqlite._make_schema(connection, path)
    assert store.load("s", now=NOW) == a_session()


def test_a_file_system_without_a_log_is_refused(path, store, monkeypatch):
    """Where SQLite keeps no write-ahead log, readers would wait for writers: refused."""
    in_memory = sqlite3.connect(":memory:", isolation_level=None)
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kwargs: in_memory)
    with pytest.raises(ConfigurationError, match="write-ahead log"):
        store.load("s", now=NOW)
    assert is_closed(in_memory)


def test_a_missing_directory_raises(tmp_path):
    """No directory is made up for the file."""
    with pytest.raises(FileNotFoundError):
        SQLiteSessionStore(tmp_path / "missing" / "s.sqlite3").load("s", now=NOW)


# ── What others do to the file ────────────────────────────────────────────────────


@pytest.fixture
def locked(path):
    """Another process that has begun to write and does not go on."""
    SQLiteSessionStore(path).create(a_session(generation=1), now=NOW)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    yield writer
    writer.close()


WRITES = {
    "create": lambda store: store.create(a_session("new"), now=NOW),
    "rotate": lambda store: store.rotate("s", **swap(expected=1, generation=2)),
    "confirm": lambda store: store.confirm("s", generation=1, now=NOW),
    "update": lambda store: store.update("s", {}, now=NOW),
    "revoke": lambda store: store.revoke("s", reason="logout", now=NOW),
    "revoke_subject": lambda store: store.revoke_subject(
        "alice", reason="all", until=NOW + 9, now=NOW
    ),
    "purge": lambda store: store.purge(NOW + 9999),
}


@pytest.mark.parametrize("verb", WRITES)
def test_waiting_for_a_writer_is_bounded(path, locked, verb):
    """A write that cannot begin within the timeout raises, and has changed nothing."""
    store = SQLiteSessionStore(path, timeout=0.1)
    begun = time.monotonic()
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        WRITES[verb](store)
    assert 0.05 < time.monotonic() - begun < 2
    assert store.load("s", now=NOW) == a_session(generation=1)

    locked.execute("ROLLBACK")
    WRITES[verb](store)  # and the connection is as good as before
    store.close()


def test_what_changes_nothing_does_not_wait(path, store):
    """Reads, a swap that has lost and a proof not needed take no write lock."""
    for session in (
        a_session("idle", generation=1, confirmed_generation=1),
        a_session("ended", generation=1, revoked_at=NOW),
    ):
        store.create(session, now=NOW)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")

    impatient = SQLiteSessionStore(path, timeout=0)
    assert [impatient.load("idle", now=NOW)] == impatient.find("alice", now=NOW)
    for session_id, expected in (("idle", 0), ("ended", 1), ("unknown", 0)):
        assert not impatient.rotate(session_id, **swap(expected=expected)).won
    for session_id, generation in (("idle", 1), ("idle", 2), ("ended", 1), ("unknown", 1)):
        impatient.confirm(session_id, generation=generation, now=NOW)
    impatient.close()
    writer.close()


def between(store, happens):
    """Have ``happens()`` take place when ``store`` has read and is about to write."""
    with store._line() as connection:

        def trace(statement):
            if statement.lstrip().startswith("UPDATE"):
                connection.set_trace_callback(None)
                happens()

        connection.set_trace_callback(trace)


@pytest.mark.parametrize("happens", ["rotated", "revoked", "purged"])
def test_a_swap_overtaken_answers_what_stands(path, store, happens):
    """A swap that is overtaken between its read and its write loses, and reads again."""
    other = SQLiteSessionStore(path)
    store.create(a_session(), now=NOW)
    between(
        store,
        {
            "rotated": lambda: other.rotate("s", **swap(claims={"winner": "other"})),
            "revoked": lambda: other.revoke("s", reason="logout", now=NOW),
            "purged": lambda: other.purge(NOW + 9999),
        }[happens],
    )
    row, won = store.rotate("s", **swap())
    assert not won
    assert row == other.load("s", now=NOW) != a_session()
    other.close()


@pytest.mark.parametrize("happens", ["rotated", "revoked", "confirmed"])
def test_a_proof_overtaken_writes_nothing(path, store, happens):
    """A proof that is overtaken between its read and its write changes no row."""
    other = SQLiteSessionStore(path)
    store.create(a_session(generation=1), now=NOW)
    between(
        store,
        {
            "rotated": lambda: other.rotate("s", **swap(expected=1, generation=2)),
            "revoked": lambda: other.revoke("s", reason="logout", now=NOW),
            "confirmed": lambda: other.confirm("s", generation=1, now=NOW + 1),
        }[happens],
    )
    store.confirm("s", generation=1, now=NOW + 2)
    row = other.load("s", now=NOW)
    assert row is not None
    assert row.confirmed_at != NOW + 2
    other.close()


def test_a_full_disk_loses_nothing(store):
    """A write that finds no room raises and is undone whole; what was stored can be read."""
    store.create(a_session(), now=NOW)
    pages = pragma(store, "page_count")
    assert pragma(store, f"max_page_count = {pages}") == pages
    large = {"large": "x" * 20_000}

    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.create(a_session("new", claims=large), ends=["s"], now=NOW)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.rotate("s", **swap(claims=large))
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.update("s", large, now=NOW)
    assert store.load("s", now=NOW) == a_session()
    assert store.load("new", now=NOW) is None

    pragma(store, "max_page_count = 1000000")
    store.create(a_session("new", claims=large), ends=["s"], now=NOW)
    assert store.find("alice", now=NOW) == [a_session("new", claims=large)]


def test_a_read_only_file_can_be_read(path, store, monkeypatch):
    """Where the file cannot be written, reads answer and writes raise."""
    store.create(a_session(generation=1), now=NOW)
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3,
        "connect",
        lambda path, **options: connect(f"file:{path}?mode=ro", uri=True, **options),
    )
    reader = SQLiteSessionStore(path)
    assert reader.load("s", now=NOW) == a_session(generation=1)
    assert reader.find("alice", now=NOW) == [a_session(generation=1)]
    for write in WRITES.values():
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            write(reader)
    assert store.load("s", now=NOW) == a_session(generation=1)
    reader.close()


@pytest.fixture
def unlogged(path):
    """A file with our schema that is not in write-ahead mode yet, and somebody reading it."""
    store = SQLiteSessionStore(path)
    store.create(a_session(), now=NOW)
    assert pragma(store, "journal_mode = DELETE") == "delete"
    store.close()
    reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM sessions").fetchall()
    yield reader
    reader.close()


@pytest.mark.usefixtures("unlogged")
def test_waiting_to_begin_the_log_is_bounded(path, opened):
    """The mode is changed by one alone; who cannot be alone within the timeout raises."""
    begun = time.monotonic()
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        SQLiteSessionStore(path, timeout=0.1).load("s", now=NOW)
    assert 0.05 < time.monotonic() - begun < 2
    assert all(map(is_closed, opened))


def test_beginning_the_log_waits_for_readers(path, unlogged):
    """A reader in the way for a moment is no failure."""
    gone = threading.Timer(0.1, unlogged.execute, ["ROLLBACK"])
    gone.start()
    store = SQLiteSessionStore(path, timeout=30)
    assert store.load("s", now=NOW) == a_session()
    assert pragma(store, "journal_mode") == "wal"
    gone.join()
    store.close()


class Contended:
    """A connection that is refused the change of mode a few times, at once."""

    def __init__(self, refusals):
        self.refusals = refusals

    def execute(self, _):
        self.refusals -= 1
        if self.refusals >= 0:
            raise sqlite3.OperationalError("database is locked")
        return self

    def fetchone(self):
        return ("wal",)


def test_a_change_of_mode_refused_at_once_is_tried_again():
    """SQLite may refuse the mode without waiting: it is asked again, until the timeout."""
    soon: Any = Contended(3)
    never: Any = Contended(10**9)
    sqlite._keep_log(soon, patience=30)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        sqlite._keep_log(never, patience=0.02)


def test_threads_that_make_the_file_together(tmp_path):
    """Threads that open a file nobody has made yet, all at once, all succeed."""
    for number in range(20):
        store = SQLiteSessionStore(tmp_path / str(number), timeout=30)
        assert race(lambda _, store=store: store.load("s", now=NOW)) == [None] * RACERS
        store.close()


def test_processes_that_start_together(path):
    """Processes that make the file at the same moment and race each rotation: one wins each."""
    program = """
    import sys
    from jwt_middleware.stores.sqlite import SQLiteSessionStore
    from jwt_middleware.testing.store_contract import a_session
    path, name, now, rounds = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
    store = SQLiteSessionStore(path, timeout=30)
    print("ready", flush=True)
    sys.stdin.readline()
    store.create(a_session(name), now=now)
    won = 0
    try:
        store.create(a_session("shared"), now=now)
    except Exception:
        pass
    while (generation := store.load("shared", now=now).generation) < rounds:
        won += store.rotate(
            "shared", expected=generation, generation=generation + 1, rotated_at=now,
            expires_at=now + 9, confirmed=generation, now=now,
        ).won
    print(won)
    """
    rounds = 200
    processes = [start(program, path, name, NOW, rounds) for name in "abcd"]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert sum(int(outcome(process)) for process in processes) == rounds
    store = SQLiteSessionStore(path)
    assert {row.id for row in store.find("alice", now=NOW)} == {*"abcd", "shared"}
    store.close()


# ── Threads ───────────────────────────────────────────────────────────────────────


def test_a_thread_holds_one_connection(store, opened):
    """A thread opens one connection and keeps it; another thread opens its own."""
    for _ in range(3):
        store.load("s", now=NOW)
        store.create(a_session(str(len(opened) + time.monotonic_ns())), now=NOW)
    assert len(opened) == 1
    with ThreadPoolExecutor(1) as thread:
        for _ in range(3):
            thread.submit(store.load, "s", now=NOW).result()
    assert len(opened) == 2


def test_a_connection_ends_with_its_thread(store, opened):
    """Nothing stays open of a thread that has ended; other threads keep theirs."""
    store.load("s", now=NOW)
    thread = threading.Thread(target=store.load, args=["s"], kwargs={"now": NOW})
    thread.start()
    thread.join()
    mine, its = opened
    patience = time.monotonic() + 10
    while not is_closed(its) and time.monotonic() < patience:
        time.sleep(0.001)
    assert is_closed(its)
    assert not is_closed(mine)


def test_a_connection_ends_with_its_store(path, opened):
    """A store nobody holds any more leaves nothing open."""
    SQLiteSessionStore(path).load("s", now=NOW)
    assert [is_closed(connection) for connection in opened] == [True]


def test_close_closes_for_all_threads(path, store, opened):
    """Every thread's connection is closed, only this store's, and opens again when needed."""
    other = SQLiteSessionStore(path)
    other.load("s", now=NOW)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(store.create, a_session(), now=NOW).result()
        store.load("s", now=NOW)
        store.close()
        assert [is_closed(connection) for connection in opened] == [False, True, True]
        assert thread.submit(store.load, "s", now=NOW).result() == a_session()
    other.close()


def test_close_waits_for_a_verb(store):
    """A connection is not closed under the verb that uses it."""
    with ThreadPoolExecutor(1) as thread:
        with store._line() as connection:
            closing = thread.submit(store.close)
            time.sleep(0.05)
            assert not closing.done()
            assert not is_closed(connection)
        closing.result(timeout=10)
    assert is_closed(connection)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGALRM")
def test_a_signal_handler_may_use_the_store(store):
    """A handler that interrupts a verb of its own thread does not wait for it for ever."""
    store.create(a_session(), now=NOW)
    seen = []
    usual = signal.signal(signal.SIGALRM, lambda *_: seen.append(store.load("s", now=NOW)))
    try:
        with store._line():
            os.kill(os.getpid(), signal.SIGALRM)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGALRM, usual)
    assert seen == [a_session()]


def test_a_failed_opening_can_be_tried_again(path, store, opened):
    """A line whose opening failed is not stuck: it closes what it had, and opens later."""
    path.write_bytes(b"no database, but long enough to be looked at as one" * 100)
    for _ in range(2):
        with pytest.raises(sqlite3.DatabaseError, match="not a database"):
            store.load("s", now=NOW)
    assert all(map(is_closed, opened))
    closing = threading.Thread(target=store.close, daemon=True)
    closing.start()
    closing.join(timeout=10)
    assert not closing.is_alive()
    path.unlink()
    assert store.load("s", now=NOW) is None


def test_everything_is_closed_when_python_ends(path):
    """A program that never closes its store leaves no log behind and warns of nothing."""
    program = """
    import sys, threading
    from jwt_middleware.stores.sqlite import SQLiteSessionStore
    from jwt_middleware.testing.store_contract import NOW, a_session
    store = SQLiteSessionStore(sys.argv[1])
    store.create(a_session(), now=NOW)
    loaded = threading.Event()
    def wait():
        store.load("s", now=NOW)
        loaded.set()
        threading.Event().wait()
    threading.Thread(target=wait, daemon=True).start()
    loaded.wait()
    """
    assert outcome(start(program, path)) == ""
    assert [file.name for file in path.parent.iterdir()] == [path.name]


# ── Forks ─────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_loses_nothing_when_its_parent_lets_go(path):
    """Parent and child use the store after a fork, the parent closes: all commits are there.

    A child that inherits an open connection, even one it never uses, believes in a lock
    that is not held: the parent's close would remove the log under it.
    """
    program = """
    import os, sys, threading
    from jwt_middleware.stores.sqlite import SQLiteSessionStore
    from jwt_middleware.testing.store_contract import NOW, a_session
    path = sys.argv[1]
    store = SQLiteSessionStore(path)
    store.create(a_session("parent"), now=NOW)
    loaded, done = threading.Event(), threading.Event()
    thread = threading.Thread(
        target=lambda: (store.load("parent", now=NOW), loaded.set(), done.wait())
    )
    thread.start()
    loaded.wait()

    to_child, from_child = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        store.create(a_session("child 1"), now=NOW)
        os.write(from_child[1], b".")
        os.read(to_child[0], 1)
        store.create(a_session("child 2"), now=NOW)
        store.close()
        os._exit(0)
    os.read(from_child[0], 1)
    store.load("parent", now=NOW)
    store.close()
    SQLiteSessionStore(path).create(a_session("another"), now=NOW)
    os.write(to_child[1], b".")
    _, status = os.waitpid(pid, 0)
    done.set()
    thread.join()
    assert status == 0, status
    print(sorted(row.id for row in SQLiteSessionStore(path).find("alice", now=NOW)))
    """
    assert outcome(start(program, path)) == "['another', 'child 1', 'child 2', 'parent']\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_no_connection_crosses_a_fork(store, opened):
    """Just before a fork all connections are closed; no thread opens one until it is done."""
    store.load("s", now=NOW)
    with ThreadPoolExecutor(2) as threads:
        threads.submit(store.create, a_session(), now=NOW).result()
        sqlite._before_fork()
        try:
            assert [is_closed(connection) for connection in opened] == [True, True]
            loading = [threads.submit(store.load, "s", now=NOW) for _ in range(2)]
            time.sleep(0.05)
            assert not any(load.done() for load in loading)
        finally:
            sqlite._after_fork()
        assert [load.result(timeout=10) for load in loading] == [a_session(), a_session()]


def test_a_fork_does_not_wait_for_ever(path, opened):
    """A connection still busy after the timeout is left to the check of the process id."""
    store = SQLiteSessionStore(path, timeout=0.05)
    with ThreadPoolExecutor(1) as thread, store._line() as connection:
        thread.submit(sqlite._before_fork).result(timeout=10)
        thread.submit(sqlite._after_fork).result(timeout=10)
        assert not is_closed(connection)
    assert opened == [connection]
    assert store.load("s", now=NOW) is None
    store.close()


def test_an_inherited_connection_is_left_alone(store, opened, monkeypatch):
    """After a fork that passed the hooks by, the parent's connection is not used nor closed."""
    store.create(a_session(), now=NOW)
    (parents,) = opened
    monkeypatch.setattr(sqlite, "_inherited", inherited := [])
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: -1)
        parents.set_trace_callback((used := []).append)
        assert store.load("s", now=NOW) == a_session()
        assert used == []
        assert inherited == [parents]
        assert not is_closed(parents)
        assert len(opened) == 2
        store.close()
        assert not is_closed(parents)
        assert is_closed(opened[1])
    parents.close()


def test_what_cannot_be_json_is_refused(store):
    """A NaN, which no token could carry, is no claim; nothing is stored."""
    with pytest.raises(ValueError, match="JSON"):
        store.create(a_session(claims={"n": float("nan")}), now=NOW)
    assert store.load("s", now=NOW) is None
