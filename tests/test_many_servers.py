"""Gunicorn and uvicorn, four workers each, side by side over one store: Redis, then PostgreSQL.

Flask stands behind the one, Starlette behind the other, and a browser's requests go to
either. The workers take their time from a file, which the tests move or stop: nobody sleeps
until a token has expired. ``RACE_ROUNDS`` says how often each race is run.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPException
from itertools import cycle
from pathlib import Path
from secrets import token_hex
from threading import Barrier

import pytest
import redis
import sqlalchemy as sa
from real_http import (
    ACCESS,
    REFRESH,
    Answer,
    Browser,
    call,
    cookie_header,
    free_port,
    members_of,
    serving,
    successors,
    wait_until,
)
from stores.databases import database_url
from stores.services import one_crowd_at_a_time, redis_url

from jwt_middleware import Session, SessionStore
from jwt_middleware.stores.redis import RedisSessionStore
from jwt_middleware.stores.sqlalchemy import SQLAlchemySessionStore

pytestmark = pytest.mark.race

ROUNDS = range(int(os.environ.get("RACE_ROUNDS", "10")))
WORKERS = 4
PRESENTERS = 64

DOORS = ("gunicorn", "uvicorn")
STORES = ("redis", "postgresql")

ACCESS_LIFE, GRACE, DAY = 900, 120, 86400
LAG = 1.0
"""Seconds of ``check_session`` below ``/lag``, as the app has it."""


# ── The servers ─────────────────────────────────────────────────────────────────


class Servers:
    """Two servers, the time they live in, the events they tell, and the rows they share."""

    def __init__(self, place: Path, ports: dict[str, int], stores: dict[str, SessionStore]) -> None:
        self.place = place
        self.ports = ports
        self.stores = stores
        self._offset = 0.0

    # ── Time ─────────────────────────────────────────────────────────────────────

    @property
    def now(self) -> float:
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        """Move every worker's clock, in one step."""
        self._offset += seconds
        self._write(f"+{self._offset!r}")

    def stop_at(self, moment: float) -> None:
        """The clock shows this, until it is moved again."""
        self._write(f"={moment!r}")

    def _write(self, text: str) -> None:
        written = self.place / "time.new"
        written.write_text(text, "ascii")
        written.replace(self.place / "time")

    # ── What has happened ────────────────────────────────────────────────────────

    def events(self, session_id: str) -> Counter[str]:
        """What all workers have told of this session so far."""
        lines = map(json.loads, (self.place / "events").read_text("ascii").splitlines())
        return Counter(line["name"] for line in lines if line["session"] == session_id)

    def mark(self, name: str) -> None:
        (self.place / name).touch()

    def worker_at(self, mark: str) -> int:
        """The process id of the worker that gets to this mark, once it has."""
        wait_until((self.place / mark).exists, mark)
        return int((self.place / mark).read_text("ascii"))


class Visitor(Browser):
    """A browser at both servers: cookies do not tell ports apart."""

    def __init__(self, servers: Servers, store: str) -> None:
        super().__init__(0)
        self.servers = servers
        self.store = store

    def path(self, path: str, mode: str) -> str:
        return f"/{self.store}/{mode}{path}"

    def ask(self, door: str, path: str = "/", *, mode: str = "plain") -> Answer:
        """One request there; its answer arrives."""
        method = "POST" if path.startswith(("/log", "/every")) else "GET"
        self.port = self.servers.ports[door]
        answer = self.send(method, self.path(path, mode))
        assert answer.status == 200, answer.text
        return answer

    def sign_in(self, door: str, name: str = "alice", *, mode: str = "plain") -> Visitor:
        assert self.ask(door, f"/login/{name}", mode=mode).json["subject"] == name
        return self

    def copy(self) -> Visitor:
        """The same cookies elsewhere: another tab, or a thief."""
        twin = Visitor(self.servers, self.store)
        twin.jar = dict(self.jar)
        return twin

    @property
    def session_id(self) -> str:
        return members_of(self.jar[REFRESH])["sid"]

    @property
    def row(self) -> Session:
        row = self.servers.stores[self.store].load(self.session_id, now=self.servers.now)
        assert row is not None
        return row

    @property
    def events(self) -> Counter[str]:
        return self.servers.events(self.session_id)

    def sends(
        self, door: str, threads: ThreadPoolExecutor, path: str, mode: str = "plain"
    ) -> Future[Answer]:
        """A request that is under way; its answer is not kept."""
        where = (self.servers.ports[door], "GET", self.path(path, mode))
        return threads.submit(call, *where, cookies=dict(self.jar))

    def burst(
        self, presenters: int = PRESENTERS, *, doors: Iterable[str] = DOORS, mode: str = "plain"
    ) -> list[Answer]:
        """Requests with this jar, at these servers by turns, all at the same time."""
        ready = Barrier(presenters)
        there = cycle(doors)

        def request(door: str) -> Answer:
            ready.wait()
            port = self.servers.ports[door]
            return call(port, "GET", self.path("/", mode), cookies=self.jar)

        with ThreadPoolExecutor(presenters) as threads:
            answers = list(threads.map(request, [next(there) for _ in range(presenters)]))
        assert {answer.status for answer in answers} == {200}
        return answers

    def asks_and_hangs_up(self, door: str, answered: Callable[[], bool]) -> None:
        """A request whose answer never arrives: it is carried out, and nobody reads."""
        head = f"GET {self.path('/', 'plain')} HTTP/1.1\r\nHost: localhost\r\n"
        cookies = f"Cookie: {cookie_header(self.jar)['Cookie']}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.servers.ports[door])) as connection:
            connection.sendall((head + cookies).encode())
            wait_until(answered, "the answer to be lost")


@contextmanager
def serving_both(
    place: Path, urls: dict[str, str], name: str
) -> Generator[dict[str, int], None, None]:
    """Gunicorn and uvicorn, until the block ends."""
    tests = str(Path(__file__).parent)
    (place / "time").write_text("+0", "ascii")
    (place / "events").touch()
    ports = {door: free_port() for door in DOORS}
    at = {door: f"127.0.0.1:{port}" for door, port in ports.items()}
    commands = {
        "gunicorn": [
            *("gunicorn", "--pythonpath", tests, "--preload", "--bind", at["gunicorn"]),
            *("--workers", str(WORKERS), "--threads", "4", "--graceful-timeout", "2"),
        ],
        "uvicorn": [
            *("uvicorn", "--app-dir", tests, "--port", str(ports["uvicorn"])),
            *("--workers", str(WORKERS), "--no-access-log", "--timeout-graceful-shutdown", "2"),
        ],
    }
    with ExitStack() as stack:
        for door, command in commands.items():
            variables = {
                "SERVERS_PLACE": str(place),
                "SERVERS_NAME": name,
                "SERVERS_DOOR": "wsgi" if door == "gunicorn" else "asgi",
                **{f"SERVERS_{kind.upper()}": url for kind, url in urls.items()},
            }
            arguments = ["-W", "error", "-m", *command, "many_servers_app:app"]
            log = place / f"{door}.log"
            stack.enter_context(serving(*arguments, port=ports[door], log=log, variables=variables))
        yield ports


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Generator[Servers, None, None]:
    """Both servers, for all tests of this file, over stores with keys and tables of their own."""
    place = tmp_path_factory.mktemp("servers")
    name = f"jwt_servers_{token_hex(4)}"
    with redis_url(tmp_path_factory.mktemp("redis")) as redis_at:
        urls = {"redis": redis_at, "postgresql": database_url("postgresql")}
        stores: dict[str, SessionStore] = {
            "redis": RedisSessionStore(redis_at, prefix=f"{name}:", timeout=20),
            "postgresql": SQLAlchemySessionStore(
                urls["postgresql"],
                sessions=f"{name}_sessions",
                epochs=f"{name}_epochs",
                timeout=20,
            ),
        }
        with ExitStack() as stack:
            stack.callback(forget, urls, name)
            for store in stores.values():
                stack.enter_context(closing(store))
            ports = stack.enter_context(serving_both(place, urls, name))
            yield Servers(place, ports, stores)


def forget(urls: dict[str, str], name: str) -> None:
    """The servers of the tests may be somebody's: leave them as they were found."""
    with redis.Redis.from_url(urls["redis"]) as client:
        for key in client.scan_iter(match=f"{name}:*", count=1000):
            client.delete(key)
    engine = sa.create_engine(urls["postgresql"])
    with engine.begin() as connection:
        for table in ("sessions", "epochs"):
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}_{table}")
    engine.dispose()


@pytest.fixture(autouse=True)
def crowd() -> Generator[None, None, None]:
    """No other test opens dozens of connections at the same time."""
    with one_crowd_at_a_time():
        yield


@pytest.fixture(params=STORES)
def visitor(servers: Servers, request: pytest.FixtureRequest) -> Visitor:
    """A browser without cookies; what it asks is kept in the one store or the other."""
    servers.advance(0)
    return Visitor(servers, request.param)


@pytest.fixture(params=DOORS)
def here(request: pytest.FixtureRequest) -> str:
    """The server that a test begins at."""
    return request.param


@pytest.fixture
def there(here: str) -> str:
    """The other one."""
    return next(door for door in DOORS if door != here)


def assert_all_signed_in(answers: Iterable[Answer], session_id: str) -> None:
    for answer in answers:
        seen = answer.json
        assert (seen["subject"], seen["session"]) == ("alice", session_id), seen["reason"]


# ── The four cases ──────────────────────────────────────────────────────────────


def test_a_login_here_counts_there(visitor: Visitor, here: str, there: str) -> None:
    """Who signed in at one server goes on at the other; nothing is reissued."""
    visitor.sign_in(here)
    answers = [visitor.ask(door) for door in (there, here, there)]
    assert_all_signed_in(answers, visitor.session_id)
    assert not any(answer.cookies or answer.json["reissued"] for answer in answers)


def test_an_expired_access_token_is_reissued_by_either(
    visitor: Visitor, here: str, there: str
) -> None:
    """Each expiry is made good by the server that sees it, whoever made the tokens before."""
    visitor.sign_in(here)
    session_id = visitor.session_id
    for generation, door in enumerate([there, here, here, there], start=1):
        visitor.servers.advance(ACCESS_LIFE + 1)
        answer = visitor.ask(door)
        assert_all_signed_in([answer], session_id)
        assert answer.json["reissued"]
        assert members_of(answer.cookies[REFRESH])["gen"] == visitor.row.generation == generation


@pytest.mark.parametrize("access", [None, "forged"])
def test_a_missing_or_forged_access_token_is_reissued(
    visitor: Visitor, here: str, there: str, access: str | None
) -> None:
    """Without an access token worth anything the refresh token alone signs in."""
    visitor.sign_in(here)
    session_id = visitor.session_id
    head, payload, _ = visitor.jar.pop(ACCESS).split(".")
    if access is not None:
        visitor.jar[ACCESS] = f"{head}.{payload}.{'A' * 43}"
    assert_all_signed_in([visitor.ask(there), visitor.ask(here)], session_id)
    assert visitor.row.generation == 1


def test_an_expired_refresh_token_is_renewed(visitor: Visitor, here: str, there: str) -> None:
    """A refresh token that expired before its access token is renewed at the other server."""
    visitor.sign_in(here, mode="short")
    session_id = visitor.session_id
    for seconds in (500, 100):  # the second time the fresh refresh token is kept
        visitor.servers.advance(seconds)
        del visitor.jar[ACCESS]
        visitor.ask(here, mode="short")
    assert visitor.row.generation == 1
    assert members_of(visitor.jar[ACCESS])["exp"] > members_of(visitor.jar[REFRESH])["exp"]
    visitor.servers.advance(850)
    assert_all_signed_in([visitor.ask(there, mode="short")], session_id)
    assert visitor.row.generation == 2
    assert members_of(visitor.jar[REFRESH])["exp"] > visitor.servers.now


def test_when_both_have_expired_nobody_is_signed_in(
    visitor: Visitor, here: str, there: str
) -> None:
    """Past the refresh token's life both servers ask to sign in again, and end nothing."""
    visitor.sign_in(here)
    visitor.servers.advance(30 * DAY + 1)
    for door in (there, here):
        answer = visitor.ask(door)
        assert (answer.json["subject"], answer.json["reason"]) == (None, "expired")
        assert answer.cookies == {}
    assert not visitor.row.revoked


# ── Signing out ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", ["/logout", "/everywhere"])
def test_a_logout_here_is_final_there(visitor: Visitor, here: str, there: str, way: str) -> None:
    """After a sign-out at one server the other reissues nothing, from that moment on; an
    access token that was left goes on for its life, and no longer."""  # S46
    visitor.sign_in(here)
    left = visitor.copy()
    assert left.ask(there).json["subject"] == "alice"
    visitor.ask(here, way)
    assert visitor.jar == {}

    assert left.ask(there).json["subject"] == "alice"
    without = left.copy()
    del without.jar[ACCESS]
    assert [without.ask(door).json["reason"] for door in (there, here)] == ["revoked"] * 2
    left.servers.advance(ACCESS_LIFE + 1)
    assert [left.ask(door).json["reason"] for door in (there, here)] == ["revoked"] * 2
    assert left.row.revoked
    assert left.events["reuse"] == 0


def test_a_logout_everywhere_ends_the_session_of_the_other_server(
    visitor: Visitor, here: str, there: str
) -> None:
    """One device signs out everywhere at one server; the other device's session, made at the
    other server, is not reissued any more."""  # S46
    name = f"bob-{token_hex(4)}"
    phone = Visitor(visitor.servers, visitor.store).sign_in(there, name)
    visitor.sign_in(here, name).ask(here, "/everywhere")
    del phone.jar[ACCESS]
    assert [phone.ask(door).json["reason"] for door in DOORS] == ["revoked"] * 2
    assert visitor.sign_in(there, name).ask(here).json["subject"] == name


def test_always_notices_at_once(visitor: Visitor, here: str, there: str) -> None:
    """Where every request is vouched for, a sign-out at one server counts at the other's next
    request, in each of its workers."""  # S46
    visitor.sign_in(here)
    left = visitor.copy()
    assert_all_signed_in(left.burst(16, doors=[there], mode="always"), left.session_id)
    visitor.ask(here, "/logout")
    for answer in left.burst(16, doors=[there], mode="always"):
        assert (answer.json["subject"], answer.json["reason"]) == (None, "revoked")


def test_the_lag_to_its_end(visitor: Visitor, here: str, there: str) -> None:
    """A worker that has vouched goes on until the lag is over, and not a moment longer; one
    that has not yet asks the store and refuses at once."""  # S46
    servers = visitor.servers
    moment = servers.now
    servers.stop_at(moment)
    visitor.sign_in(here)
    left = visitor.copy()
    answers = left.burst(16, doors=[there], mode="lag")
    assert_all_signed_in(answers, left.session_id)
    vouched = {answer.json["worker"] for answer in answers}
    visitor.ask(here, "/logout")

    servers.stop_at(moment + 0.999 * LAG)
    for answer in left.burst(16, doors=[there], mode="lag"):
        accepted = answer.json["worker"] in vouched
        assert answer.json["reason"] == (None if accepted else "revoked")
    servers.stop_at(moment + LAG)
    for answer in left.burst(16, doors=[there], mode="lag"):
        assert answer.json["reason"] == "revoked"


def test_the_lag_in_real_time(visitor: Visitor, here: str, there: str) -> None:
    """From the lag on after a sign-out was answered, no request at the other server is
    signed in, by a clock that nobody has moved."""  # S46
    visitor.sign_in(here)
    left = visitor.copy()
    left.burst(16, doors=[there], mode="lag")
    visitor.ask(here, "/logout")
    answered_at = time.monotonic()
    seen: Answer | None = None
    while seen is None or seen.json["subject"] or time.monotonic() < answered_at + LAG:
        sent_at = time.monotonic()
        seen = left.ask(there, mode="lag")
        assert seen.json["subject"] is None or sent_at < answered_at + LAG


# ── Races ───────────────────────────────────────────────────────────────────────


def test_of_many_presenters_one_rotates(visitor: Visitor) -> None:
    """64 presenters of one refresh token at both servers: one rotation, one successor, and
    all are signed in."""  # S41, S42
    visitor.sign_in("gunicorn")
    session_id = visitor.session_id
    workers: set[int] = set()
    for generation in ROUNDS:
        visitor.servers.advance(ACCESS_LIFE + 1)

        answers = visitor.burst()

        assert_all_signed_in(answers, session_id)
        assert len(successors(answers)) == 1
        assert all(REFRESH in answer.cookies for answer in answers)
        assert visitor.row.generation == generation + 1
        workers |= {answer.json["worker"] for answer in answers}
        # The answers overtake each other; the browser is left with whichever came last.
        visitor.take(random.choice(answers).cookies)
    assert len(workers) > 2
    assert visitor.events["reuse"] == 0


def test_a_replayed_token_is_told_once(visitor: Visitor) -> None:
    """64 presenters of a spent refresh token, after the grace, at both servers: all are
    refused, and one of them tells of the reuse."""  # S42
    for _ in ROUNDS:
        visitor.sign_in("uvicorn")
        thief = visitor.copy()
        for door in DOORS:  # to rotate, and to show that the successor has arrived
            visitor.servers.advance(ACCESS_LIFE + 1)
            visitor.ask(door)
        visitor.servers.advance(GRACE + 1)

        answers = thief.burst()

        assert {answer.json["subject"] for answer in answers} == {None}
        assert {answer.json["reason"] for answer in answers} <= {"reuse", "revoked"}
        assert all(answer.cookies == {} for answer in answers)
        assert visitor.events["reuse"] == 1
        assert visitor.row.revoked_reason == "reuse"


def test_a_lost_answer_is_made_good_for_a_burst(visitor: Visitor) -> None:
    """After an answer was lost, and the grace is over, 64 presenters of the old token at both
    servers are handed the successor that was lost; none of them rotates."""  # S42
    visitor.sign_in("gunicorn")
    session_id = visitor.session_id
    for generation, here in zip(ROUNDS, cycle(DOORS), strict=False):
        visitor.servers.advance(ACCESS_LIFE + 1)
        moved = generation + 1
        visitor.asks_and_hangs_up(here, lambda moved=moved: visitor.row.generation == moved)
        visitor.servers.advance(GRACE + 1)

        answers = visitor.burst()

        assert_all_signed_in(answers, session_id)
        (successor,) = successors(answers)
        assert members_of(successor)["gen"] == visitor.row.generation == moved
        visitor.take(random.choice(answers).cookies)
    assert visitor.events["reuse"] == 0


def test_a_slow_thief_gets_no_tokens(visitor: Visitor, here: str, there: str) -> None:
    """A thief whose answer leaves one server after his victim has rotated at the other gets
    no token, and the session goes on; his next request ends it."""  # S42, S44
    visitor.sign_in(here)
    session_id = visitor.session_id
    thief = visitor.copy()
    slow = f"thief-{token_hex(4)}"
    visitor.servers.advance(ACCESS_LIFE + 1)
    with ThreadPoolExecutor(1) as threads:
        theft = thief.sends(here, threads, f"/slow/{slow}")
        visitor.servers.worker_at(f"{slow}.arrived")
        visitor.take(random.choice(visitor.burst(8, doors=[there])).cookies)
        wait_until(
            lambda: visitor.ask(there).json["subject"] and visitor.row.confirmed_generation == 1,
            "the successor to be confirmed",
        )
        visitor.servers.advance(GRACE + 1)
        visitor.servers.mark(f"{slow}.released")
        late = theft.result()
    assert_all_signed_in([late], session_id)
    assert late.cookies == {}
    assert not visitor.row.revoked
    assert thief.ask(here).json["reason"] == "reuse"
    assert visitor.events["reuse"] == 1


def test_a_logout_against_a_burst(visitor: Visitor) -> None:
    """A sign-out in the middle of 63 reissues: whatever they were handed, it is worth nothing
    at either server once the access tokens have expired."""  # S44, S46
    for _, here in zip(ROUNDS, cycle(DOORS), strict=False):
        visitor.sign_in(here)
        racer = visitor.copy()
        visitor.servers.advance(ACCESS_LIFE + 1)
        with ThreadPoolExecutor(1) as threads:
            leaving = threads.submit(visitor.ask, here, "/logout")
            answers = racer.burst(PRESENTERS - 1)
            assert leaving.result().json["subject"] is None
        assert racer.row.revoked_reason == "logout"
        assert racer.row.generation <= 1
        assert len(successors(answers)) <= 1
        racer.take(random.choice(answers).cookies)
        racer.servers.advance(ACCESS_LIFE + 1)
        assert {answer.json["reason"] for answer in racer.burst(4)} == {"revoked"}
        assert racer.events["reuse"] == 0


# ── Workers that die ────────────────────────────────────────────────────────────


def kill(worker: int, request: Future[Answer]) -> None:
    """Without a farewell; whoever waited for its answer is left without one."""
    os.kill(worker, signal.SIGKILL)
    with pytest.raises((OSError, HTTPException)):
        request.result()


def test_a_worker_that_dies_before_the_swap(visitor: Visitor, here: str, there: str) -> None:
    """A worker killed while its view runs has moved nothing: the client asks again with what
    it has, another worker reissues, and the session goes on at both servers."""  # S41
    visitor.sign_in(there)
    session_id = visitor.session_id
    visitor.servers.advance(ACCESS_LIFE + 1)
    name = f"killed-{token_hex(4)}"
    with ThreadPoolExecutor(1) as threads:
        request = visitor.sends(here, threads, f"/slow/{name}")
        killed = visitor.servers.worker_at(f"{name}.arrived")
        kill(killed, request)
    assert visitor.row.generation == 0

    again = visitor.ask(here)
    assert_all_signed_in([again], session_id)
    assert again.json["worker"] != killed
    assert visitor.row.generation == members_of(visitor.jar[REFRESH])["gen"] == 1
    goes_on(visitor)


@pytest.mark.parametrize("later", [0, GRACE + 1], ids=["within the grace", "after it"])
def test_a_worker_that_dies_after_the_swap(
    visitor: Visitor, here: str, there: str, later: float
) -> None:
    """A worker killed between its swap and its answer leaves a row that has moved: the
    client asks again with what it has, and is handed the successor that was lost."""  # S41, S42
    name = f"mortal-{token_hex(4)}"
    visitor.sign_in(there, name)
    visitor.servers.advance(ACCESS_LIFE + 1)
    visitor.servers.mark(f"{name}.mortal")
    with ThreadPoolExecutor(1) as threads:
        request = visitor.sends(here, threads, "/")
        kill(visitor.servers.worker_at(f"{name}.swapped"), request)
    assert (visitor.row.generation, visitor.row.confirmed_generation) == (1, 0)
    visitor.servers.advance(later)

    again = visitor.ask(there if later else here)
    assert again.json["subject"] == name
    assert members_of(again.cookies[REFRESH])["gen"] == visitor.row.generation == 1
    goes_on(visitor)


def goes_on(visitor: Visitor) -> None:
    """The store is as it should be: the session rotates on, at both servers, and is alive."""
    begun = visitor.row.generation
    for steps, door in enumerate((*DOORS, *DOORS), start=1):
        visitor.servers.advance(ACCESS_LIFE + 1)
        assert visitor.ask(door).json["reissued"]
        assert visitor.row.generation == begun + steps
        assert visitor.row.confirmed_generation >= begun + steps - 1
    assert not visitor.row.revoked
    assert visitor.events["reuse"] == 0
