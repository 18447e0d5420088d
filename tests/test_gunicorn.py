"""Races between processes: gunicorn with four workers, Flask, and sessions in SQLite.

The workers take their time from a file, which the tests move: nobody sleeps until a token
has expired. ``RACE_ROUNDS`` says how often each race is run.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Barrier

import pytest
from real_http import (
    ACCESS,
    REFRESH,
    Answer,
    Browser,
    Server,
    call,
    cookie_header,
    free_port,
    members_of,
    serving,
    successors,
    wait_until,
)

from jwt_middleware import Session
from jwt_middleware.stores.sqlite import SQLiteSessionStore

pytestmark = pytest.mark.race

ROUNDS = range(int(os.environ.get("RACE_ROUNDS", "10")))
WORKERS = 4
PARALLEL = 32

ACCESS_LIFE, GRACE = 900, 120
"""The defaults of ``access_token_expires`` and ``rotation_grace``, in seconds."""


class Race:
    """The servers, the time they live in, and the rows they race for."""

    def __init__(self, server: Server, place: Path, store: SQLiteSessionStore) -> None:
        self.server = server
        self.place = place
        self.workers: set[int] = set()
        """Process ids of those who have answered a burst."""
        self._store = store
        self._offset = 0.0

    def advance(self, seconds: float) -> None:
        """Move every worker's clock, in one step."""
        self._offset += seconds
        written = self.place / "offset.new"
        written.write_text(str(self._offset), "ascii")
        written.replace(self.place / "offset")

    def row(self, session_id: str) -> Session:
        session = self._store.load(session_id, now=0)
        assert session is not None
        return session

    def sign_in(self, name: str) -> Browser:
        browser = Browser(self.server.port)
        assert browser.post(f"/login/{name}").json["subject"] == name
        return browser

    def burst(self, jars: Iterable[dict[str, str]]) -> list[Answer]:
        """One request with the cookies of each jar, all at the same time."""
        jars = list(jars)
        ready = Barrier(len(jars))

        def request(jar: dict[str, str]) -> Answer:
            ready.wait()
            return call(self.server.port, "GET", "/", cookies=jar)

        with ThreadPoolExecutor(len(jars)) as threads:
            answers = list(threads.map(request, jars))
        self.workers |= {answer.json["worker"] for answer in answers}
        return answers


@contextmanager
def racing(place: Path, *options: str) -> Generator[Race, None, None]:
    """Gunicorn, until the block ends."""
    (place / "offset").write_text("0", "ascii")
    port = free_port()
    command = [
        *("-W", "error", "-m", "gunicorn", "--pythonpath", str(Path(__file__).parent)),
        *("--workers", str(WORKERS), "--threads", "8", "--graceful-timeout", "2"),
        *("--bind", f"127.0.0.1:{port}", *options, "gunicorn_app:app"),
    ]
    with (
        serving(*command, port=port, log=place / "log", variables={"RACE_PLACE": str(place)}) as up,
        closing(SQLiteSessionStore(place / "sessions.sqlite3")) as store,
    ):
        yield Race(up, place, store)


@pytest.fixture(params=["--preload", None], ids=["preload", "no preload"])
def race(tmp_path: Path, request: pytest.FixtureRequest) -> Generator[Race, None, None]:
    """Workers forked from a process that has the app, or that load it one by one."""
    with racing(tmp_path, *filter(None, [request.param])) as started:
        yield started


def session_of(browser: Browser) -> str:
    return members_of(browser.jar[ACCESS])["sid"]


def assert_signed_in(answers: Iterable[Answer], name: str, session_id: str) -> None:
    """Each answer was made for ``name``, whichever way its view asked."""
    for answer in answers:
        assert answer.status == 200
        seen = answer.json
        assert (seen["subject"], seen["environ"], seen["handle"]) == (name, name, name)
        assert (seen["session"], seen["reason"]) == (session_id, None)


def ask_and_hang_up(race: Race, jar: dict[str, str], answered: Callable[[], bool]) -> None:
    """A request whose answer never arrives: it is sent, carried out, and nobody reads."""
    field = cookie_header(jar)["Cookie"]
    with socket.create_connection(("127.0.0.1", race.server.port)) as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: {field}\r\n\r\n".encode())
        wait_until(answered, "the answer to be lost")


# ── Races ───────────────────────────────────────────────────────────────────────


def test_of_many_racers_one_rotates(race: Race) -> None:
    """Of 32 parallel requests with one expired access token one rotates, and all are signed
    in and handed the same successor."""  # S41, S42
    alice = race.sign_in("alice")
    session_id = session_of(alice)
    for generation in ROUNDS:
        race.advance(ACCESS_LIFE + 1)

        answers = race.burst([alice.jar] * PARALLEL)

        assert_signed_in(answers, "alice", session_id)
        assert race.row(session_id).generation == generation + 1
        assert all(REFRESH in answer.cookies for answer in answers)
        assert len(successors(answers)) == 1
        # The answers overtake each other; the browser is left with whichever came last.
        alice.take(random.choice(answers).cookies)
    assert len(race.workers) > 1


def test_a_lost_response_is_made_good_for_every_racer(race: Race) -> None:
    """After a response was lost, 32 parallel requests with the old tokens are all signed in
    and handed the successor that was lost; none of them rotates."""  # S42
    alice = race.sign_in("alice")
    session_id = session_of(alice)
    for generation in ROUNDS:
        race.advance(ACCESS_LIFE + 1)
        ask_and_hang_up(
            race, alice.jar, lambda moved=generation + 1: race.row(session_id).generation == moved
        )
        race.advance(GRACE + 1)

        answers = race.burst([alice.jar] * PARALLEL)

        assert_signed_in(answers, "alice", session_id)
        assert race.row(session_id).generation == generation + 1
        (successor,) = successors(answers)
        assert members_of(successor)["gen"] == generation + 1
        alice.take(random.choice(answers).cookies)


def test_a_slow_thief_gets_no_tokens(race: Race) -> None:
    """A thief whose request is answered after his victim has rotated and used the successor
    gets no token, and the session goes on; his next request ends it."""  # S42, S44
    alice = race.sign_in("alice")
    session_id = session_of(alice)
    stolen: dict[str, str] = {}
    for generation in ROUNDS:
        race.advance(ACCESS_LIFE + 1)
        stolen = dict(alice.jar)
        with ThreadPoolExecutor(1) as thief:
            theft = thief.submit(
                call, race.server.port, "GET", f"/slow/{generation}", cookies=stolen
            )
            wait_until((race.place / f"{generation}.arrived").exists, "the thief's arrival")

            answers = race.burst([alice.jar] * (PARALLEL - 1))
            alice.take(random.choice(answers).cookies)
            wait_until(
                lambda moved=generation + 1: confirmed(race, alice) == moved,
                "the successor to be confirmed",
            )
            race.advance(GRACE + 1)
            (race.place / f"{generation}.released").touch()
            late = theft.result()

        assert_signed_in([*answers, late], "alice", session_id)
        assert len(successors(answers)) == 1
        assert late.cookies == {}
        row = race.row(session_id)
        assert (row.generation, row.revoked) == (generation + 1, False)

    assert call(race.server.port, "GET", "/", cookies=stolen).json["reason"] == "reuse"
    assert race.row(session_id).revoked_reason == "reuse"


def confirmed(race: Race, browser: Browser) -> int:
    """Use the tokens in the jar; answers the newest generation known to have arrived."""
    assert browser.get("/").json["subject"] == "alice"
    return race.row(session_of(browser)).confirmed_generation


def test_mixed_identities_do_not_mix(race: Race) -> None:
    """In bursts of seven users and of nobody each answer is about the one who asked, and
    carries only this one's tokens."""  # S51
    names = [f"user{number}" for number in range(7)]
    browsers = {name: race.sign_in(name) for name in names}
    sessions = {name: session_of(browser) for name, browser in browsers.items()}
    for generation in ROUNDS:
        race.advance(ACCESS_LIFE + 1)
        askers = [*names, None] * (PARALLEL // 8)
        random.shuffle(askers)

        answers = race.burst(browsers[name].jar if name else {} for name in askers)

        for name, answer in zip(askers, answers, strict=True):
            if name is None:
                seen = answer.json
                assert (seen["subject"], seen["environ"], seen["handle"]) == (None, None, None)
                assert answer.cookies == {}
                continue
            assert_signed_in([answer], name, sessions[name])
            for token in answer.cookies.values():
                members = members_of(token)
                assert (members["sub"], members["sid"]) == (name, sessions[name])
        for name, browser in browsers.items():
            own = [answer for asker, answer in zip(askers, answers, strict=True) if asker == name]
            assert len(successors(own)) == 1
            assert race.row(sessions[name]).generation == generation + 1
            browser.take(random.choice(own).cookies)
    assert len(race.workers) > 1


def test_nothing_connects_before_a_fork(race: Race) -> None:
    """Loading the app and answering strangers opens no store; the first sign-in does, in the
    worker that serves it and not in the process that forked it."""  # S51
    file = race.place / "sessions.sqlite3"
    assert {answer.json["subject"] for answer in race.burst([{}] * PARALLEL)} == {None}
    assert not file.exists()

    race.sign_in("alice")

    assert file.exists()
    descriptors = Path(f"/proc/{race.server.process.pid}/fd")
    if descriptors.is_dir():  # Linux
        opened = {os.readlink(descriptor) for descriptor in descriptors.iterdir()}
        assert not any(path.startswith(str(file)) for path in opened)
