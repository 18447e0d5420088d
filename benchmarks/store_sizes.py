"""Does a store stay quick when it is large, and how large does it get?

Each store is filled twice, with a thousand sessions and with many, and asked the same of both
in turn: what is read here is the ratio. Then 10,000 rows past their lifetime are purged, and a
subject with 10,000 sessions is listed and signed out everywhere.

    python benchmarks/store_sizes.py --sessions 1000000 --store all --json result.json

The servers are expected on this machine, on their usual ports: PostgreSQL and MariaDB with user
root, no password, and a database ``test``; Redis, of which database 14 is used if it is empty.
Tables and keys have names of their own, and are removed at the end, also after Ctrl-C.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import sqlite3
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, fields
from itertools import islice
from operator import attrgetter
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, time
from types import TracebackType
from typing import Any, Self, TypeVar

from jwt_middleware.sessions import Session, SessionStore, new_session_id
from jwt_middleware.stores.memory import MemorySessionStore
from jwt_middleware.stores.sqlite import SQLiteSessionStore

T = TypeVar("T")

DAY = 86400.0
SMALL = 1000
DEAD = 10_000
"""Rows past their lifetime, to be purged."""
DEVICES = 10_000
"""Sessions of the one subject that has many."""
PURGE_BATCH = 1000
"""What ``JWTAuth.purge`` asks for at a time."""
WRITE_BATCH = 2000

CLAIMS = {"roles": ["reader", "editor"], "name": "A. N. Other"}
USER_AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/138.0.0.0 Safari/537.36"
)

NAMES = tuple(field.name for field in fields(Session))
values_of = attrgetter(*NAMES)


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """As in ``itertools`` from Python 3.12 on."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


# ── Sessions as they are found in a store ─────────────────────────────────────────


def living(number: int, now: float, chance: Random) -> Session:
    """Somebody's only session, begun within the last month."""
    return _session(f"user-{number:09d}", now - chance.random() * 30 * DAY)


def dead(number: int, now: float, chance: Random) -> Session:
    """A session past its lifetime."""
    return _session(f"gone-{number:09d}", now - (100 + chance.random()) * DAY)


def device(_number: int, now: float, chance: Random) -> Session:
    """One of the many sessions of one subject."""
    return _session("many-devices", now - (1 + chance.random()) * DAY)


def _session(subject: str, began: float) -> Session:
    return Session(
        id=new_session_id(subject),
        subject=subject,
        claims=CLAIMS,
        persistent=True,
        created_at=began,
        rotated_at=began,
        expires_at=began + 60 * DAY,
        absolute_expires_at=began + 90 * DAY,
        refresh_salt=new_session_id(subject)[:22],
        last_seen_at=began,
        user_agent=USER_AGENT,
        address="203.0.113.77",
    )


def as_columns(session: Session) -> tuple[Any, ...]:
    """The row as SQL stores keep it: Session's fields in Session's order, claims as JSON."""
    columns = list(values_of(session))
    columns[NAMES.index("claims")] = json.dumps(CLAIMS, separators=(",", ":"))
    return tuple(columns)


# ── A store that can be filled in bulk and weighed ────────────────────────────────


class Filled(ABC):
    """One store, empty at first, gone at the end: ``with Kind(...) as filled``."""

    store: SessionStore
    walks_to_purge = False
    """Its purge looks at every key there is, and no request ever waits for one."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.store.close()
        finally:
            self.remove()

    @abstractmethod
    def write(self, sessions: Sequence[Session]) -> None: ...

    @abstractmethod
    def weigh(self) -> int:
        """Bytes in use, in all."""

    @abstractmethod
    def remove(self) -> None: ...

    def settle(self) -> None:  # noqa: B027  # not all have anything to do
        """After filling: what a server does by itself when it has a quiet moment."""


class FilledMemory(Filled):
    """Weighed by what the process occupies."""

    def __init__(self, _name: str, _timeout: float) -> None:
        self.store = MemorySessionStore()

    def write(self, sessions: Sequence[Session]) -> None:
        for session in sessions:
            self.store.create(session, now=session.created_at)

    def weigh(self) -> int:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def remove(self) -> None:
        self.store = MemorySessionStore()


class FilledSQLite(Filled):
    """A file in a folder of its own."""

    def __init__(self, name: str, timeout: float) -> None:
        self._folder = TemporaryDirectory(prefix=name)
        self._path = Path(self._folder.name, "sessions.sqlite3")
        self.store = SQLiteSessionStore(self._path, timeout=timeout)
        self.store.find("nobody", now=0.0)  # makes the file

    def write(self, sessions: Sequence[Session]) -> None:
        marks = ", ".join("?" * len(NAMES))
        with closing(sqlite3.connect(self._path)) as connection, connection:
            insert = f"INSERT INTO sessions VALUES ({marks})"  # noqa: S608  # nothing of others
            connection.executemany(insert, map(as_columns, sessions))

    def settle(self) -> None:
        with closing(sqlite3.connect(self._path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def weigh(self) -> int:
        return self._path.stat().st_size

    def remove(self) -> None:
        self._folder.cleanup()


class FilledRedis(Filled):
    """The layout is not written down here: one session is created, and copied."""

    walks_to_purge = True

    def __init__(self, name: str, timeout: float) -> None:
        from redis import Redis

        from jwt_middleware.stores.redis import RedisSessionStore

        url = "redis://127.0.0.1:6379/14"
        self._prefix = f"{name}:"
        self._client: Any = Redis.from_url(url, decode_responses=True)
        strangers = [key for key in self._client.scan_iter() if not key.startswith("jwt_sizes_")]
        if strangers:
            sys.exit("store_sizes: database 14 of Redis is not empty; it is left alone")
        self.store = RedisSessionStore(url, prefix=self._prefix, timeout=timeout)

    def write(self, sessions: Sequence[Session]) -> None:
        first, *rest = sessions
        now = first.created_at
        self.store.create(first, now=now)
        row_key, index_key = self._keys(first)
        template = self._client.hgetall(row_key)
        lifetime = self._client.pttl(row_key)
        pipe = self._client.pipeline(transaction=False)
        for session in rest:
            row_key, index_key = self._keys(session)
            own = {name: getattr(session, name) for name in ("id", "subject", "refresh_salt")}
            times = {
                name: repr(getattr(session, name))
                for name in NAMES
                if name.endswith("_at") and name in template and name != "confirmed_at"
            }
            pipe.hset(row_key, mapping=template | own | times)
            pipe.pexpire(row_key, lifetime)
            pipe.zadd(index_key, {session.id: session.absolute_expires_at})
            pipe.pexpire(index_key, lifetime)
        pipe.execute()

    def _keys(self, session: Session) -> tuple[str, str]:
        place = f"{self._prefix}{{{session.id[:8]}}}"
        return f"{place}:s:{session.id}", f"{place}:i:{session.subject}"

    def weigh(self) -> int:
        used: int = self._client.info("memory")["used_memory"]
        return used

    def remove(self) -> None:
        # On a new connection: who was interrupted left the old one in the midst of something.
        self._client.connection_pool.disconnect()
        for keys in batched(self._client.scan_iter(match=f"{self._prefix}*", count=5000), 5000):
            self._client.unlink(*keys)
        self._client.close()


class FilledDatabase(Filled):
    """PostgreSQL or MariaDB: tables made by the store itself, with names of this run."""

    url: str

    def __init__(self, name: str, timeout: float) -> None:
        import sqlalchemy as sa

        from jwt_middleware.stores.sqlalchemy import SQLAlchemySessionStore

        self._sessions, self._epochs = f"{name}_sessions", f"{name}_epochs"
        self.store = SQLAlchemySessionStore(
            self.url, sessions=self._sessions, epochs=self._epochs, timeout=timeout
        )
        self._line: Any = sa.create_engine(self.url, isolation_level="AUTOCOMMIT").connect()
        self.store.find("nobody", now=0.0)  # makes the tables

    def _say(self, statement: str) -> Any:
        return self._line.exec_driver_sql(statement)

    @property
    def _driver(self) -> Any:
        return self._line.connection.driver_connection

    def remove(self) -> None:
        # On a new connection: who was interrupted left the old one in the midst of something.
        self._line.invalidate()
        self._line.close()
        with self._line.engine.connect() as connection:
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {self._sessions}, {self._epochs}")
        self._line.engine.dispose()


class FilledPostgreSQL(FilledDatabase):
    """Filled by ``COPY``."""

    url = "postgresql+psycopg://root@127.0.0.1/test"

    def write(self, sessions: Sequence[Session]) -> None:
        with (
            self._driver.cursor() as cursor,
            cursor.copy(f"COPY {self._sessions} FROM STDIN") as copy,
        ):
            for session in sessions:
                copy.write_row(as_columns(session))

    def settle(self) -> None:
        self._say(f"VACUUM ANALYZE {self._sessions}")

    def weigh(self) -> int:
        size: int = self._say(f"SELECT pg_total_relation_size('{self._sessions}')").scalar()
        return size


class FilledMariaDB(FilledDatabase):
    """Filled by inserts of many rows."""

    url = "mariadb+pymysql://root@127.0.0.1/test"

    def write(self, sessions: Sequence[Session]) -> None:
        marks = ", ".join(["%s"] * len(NAMES))
        insert = f"INSERT INTO {self._sessions} VALUES ({marks})"  # noqa: S608  # names of ours
        with self._driver.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.executemany(insert, list(map(as_columns, sessions)))
            cursor.execute("COMMIT")

    def settle(self) -> None:
        self._say(f"ANALYZE TABLE {self._sessions}").all()

    def weigh(self) -> int:
        size = self._say(
            "SELECT data_length + index_length FROM information_schema.tables "  # noqa: S608
            f"WHERE table_schema = database() AND table_name = '{self._sessions}'"
        ).scalar()
        return int(size)


KINDS: dict[str, Callable[[str, float], Filled]] = {
    "memory": FilledMemory,
    "sqlite": FilledSQLite,
    "redis": FilledRedis,
    "postgresql": FilledPostgreSQL,
    "mariadb": FilledMariaDB,
}


# ── Filling ───────────────────────────────────────────────────────────────────────


@dataclass
class Filling:
    """What a store was filled with."""

    count: int
    sample: list[str]
    """Some of the ids, evenly spread."""
    bytes_each: float


def fill(filled: Filled, wanted: int, seconds: float, chance: Random) -> Filling:
    """Fill with ``wanted`` sessions, or as many as go in within ``seconds``."""
    now, sample, step = time(), list[str](), max(1, wanted // 20_000)
    written, before, until = 0, filled.weigh(), perf_counter() + seconds
    sessions = (living(number, now, chance) for number in range(wanted))
    for batch in batched(sessions, WRITE_BATCH):
        filled.write(batch)
        sample += [session.id for session in islice(batch, 0, None, step)]
        written += len(batch)
        if perf_counter() > until:
            break
    filled.settle()
    return Filling(written, sample, (filled.weigh() - before) / written)


def add(
    filled: Filled, make: Callable[[int, float, Random], Session], count: int, chance: Random
) -> None:
    """More sessions, of one sort."""
    now = time()
    for batch in batched((make(number, now, chance) for number in range(count)), WRITE_BATCH):
        filled.write(batch)


# ── Measuring ─────────────────────────────────────────────────────────────────────


def timed(call: Callable[[], object]) -> float:
    """Seconds."""
    begun = perf_counter()
    call()
    return perf_counter() - begun


class Client:
    """Who asks one store for random sessions of it, and knows where each of them stands."""

    def __init__(self, store: SessionStore, sample: list[str], chance: Random) -> None:
        self._store, self._sample, self._chance = store, sample, chance
        self._generations: dict[str, int] = {}

    def load(self) -> None:
        if self._store.load(self._chance.choice(self._sample), now=time()) is None:
            raise AssertionError("a session is missing")

    def rotate(self) -> None:
        session_id, now = self._chance.choice(self._sample), time()
        stands_at = self._generations.get(session_id, 0)
        rotation = self._store.rotate(
            session_id,
            expected=stands_at,
            generation=stands_at + 1,
            rotated_at=now,
            expires_at=now + 30 * DAY,
            confirmed=stands_at,
            now=now,
        )
        if not rotation.won:
            raise AssertionError("a rotation was lost, and nobody else is here")
        self._generations[session_id] = stands_at + 1


def compare(small: Client, large: Client, verb: str, calls: int) -> dict[str, float]:
    """The same call on both in turn, so that a busy moment of the machine meets both."""
    call_small, call_large = getattr(small, verb), getattr(large, verb)
    for _ in range(50):  # warm up: connections, statements
        call_small()
        call_large()
    pairs = [(timed(call_small), timed(call_large)) for _ in range(calls)]
    in_small, in_large = (list(times) for times in zip(*pairs, strict=True))
    return {
        "small_median_us": round(median(in_small) * 1e6, 1),
        "large_median_us": round(median(in_large) * 1e6, 1),
        "ratio": round(median(in_large) / median(in_small), 2),
        "large_per_second": round(calls / sum(in_large)),
    }


def measure_purge(filled: Filled, chance: Random) -> dict[str, float]:
    """Rows past their lifetime go, batch by batch; or all at once, where each call is a walk."""
    add(filled, dead, DEAD, chance)
    filled.settle()
    now, gone, times = time(), 0, list[float]()
    size = DEAD + 1 if filled.walks_to_purge else PURGE_BATCH
    while gone < DEAD:
        begun = perf_counter()
        batch = filled.store.purge(now, limit=size)
        if not batch:
            break
        times.append(perf_counter() - begun)
        gone += batch
    if gone != DEAD:
        raise AssertionError(f"{gone} rows were purged, {DEAD} were dead")
    return {
        "batches": len(times),
        "batch_median_ms": round(median(times) * 1e3, 1),
        "batch_longest_ms": round(max(times) * 1e3, 1),
    }


def measure_subject(filled: Filled, chance: Random) -> dict[str, float]:
    """A subject with many sessions is listed, and signed out everywhere."""
    add(filled, device, DEVICES, chance)
    filled.settle()
    store, now = filled.store, time()
    finds: list[float] = []
    for _ in range(5):
        begun = perf_counter()
        found = store.find("many-devices", now=now)
        finds.append(perf_counter() - begun)
        if len(found) != DEVICES:
            raise AssertionError(f"{len(found)} sessions were found, {DEVICES} are there")
    begun = perf_counter()
    ended = store.revoke_subject("many-devices", reason="revoked", until=now + 90 * DAY, now=now)
    took = perf_counter() - begun
    if len(ended) != DEVICES or store.find("many-devices", now=now):
        raise AssertionError("sessions of the subject are left")
    return {
        "find_median_ms": round(median(finds) * 1e3, 1),
        "revoke_subject_ms": round(took * 1e3, 1),
    }


def measure(kind: str, options: argparse.Namespace) -> dict[str, Any]:
    """All there is to know of one store."""
    chance, name = Random(options.seed), f"jwt_sizes_{os.getpid()}_{kind}"  # noqa: S311
    with ExitStack() as stack:
        small = stack.enter_context(KINDS[kind](f"{name}_small", options.timeout))
        in_small = fill(small, SMALL, options.fill_seconds, chance)
        large = stack.enter_context(KINDS[kind](f"{name}_large", options.timeout))
        begun = perf_counter()
        in_large = fill(large, options.sessions, options.fill_seconds, chance)
        filling = perf_counter() - begun
        clients = [
            Client(filled.store, filling.sample, chance)
            for filled, filling in ((small, in_small), (large, in_large))
        ]
        result: dict[str, Any] = {
            "store": kind,
            "sessions": in_large.count,
            "fill_seconds": round(filling, 1),
            "bytes_each": round(in_large.bytes_each),
            "bytes_each_of_1000": round(in_small.bytes_each),
            "load": compare(clients[0], clients[1], "load", options.calls),
            "rotate": compare(clients[0], clients[1], "rotate", options.calls),
        }
        result["purge_10000"] = measure_purge(large, chance)
        result["subject_10000"] = measure_subject(large, chance)
        return result


# ── The command ───────────────────────────────────────────────────────────────────


def lines(result: dict[str, Any]) -> Iterator[str]:
    """The result, for people."""
    yield (
        f"{result['store']}: {result['sessions']:,} sessions in {result['fill_seconds']} s, "
        f"{result['bytes_each']} bytes each ({result['bytes_each_of_1000']} with a thousand)"
    )
    for verb in ("load", "rotate"):
        of = result[verb]
        yield (
            f"  {verb:6} {of['small_median_us']} us with a thousand, {of['large_median_us']} us "
            f"with all: {of['ratio']} times; {of['large_per_second']} a second"
        )
    purge = result["purge_10000"]
    yield (
        f"  purge  {DEAD:,} rows, batches: {purge['batches']}, "
        f"{purge['batch_median_ms']} ms each, {purge['batch_longest_ms']} ms at most"
    )
    subject = result["subject_10000"]
    yield (
        f"  a subject with {DEVICES:,} sessions: find {subject['find_median_ms']} ms, "
        f"revoke_subject {subject['revoke_subject_ms']} ms"
    )


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--store", choices=[*KINDS, "all"], default="all")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--calls", type=int, default=2000, help="of load and of rotate, each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--fill-seconds", type=float, default=240.0, help="then a store is as large as it is"
    )
    parser.add_argument("--timeout", type=float, default=2.0, help="the store's own, in seconds")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """One store after the other."""
    options = parsed(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("store_sizes: stopped"))  # cleans up, too
    kinds: Iterable[str] = KINDS if options.store == "all" else [options.store]
    results: list[dict[str, Any]] = []
    for kind in kinds:
        results.append(measure(kind, options))
        sys.stdout.writelines(f"{line}\n" for line in lines(results[-1]))
        sys.stdout.flush()
        if options.json is not None:
            options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("store_sizes: stopped")
