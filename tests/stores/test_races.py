"""The races of docs/architecture.md on every store, over threads and over four processes.

64 requests go through the real flow at the same moment. The contract has races of single
verbs; here it is the table that is raced for, on what each store makes of it.
``RACE_ROUNDS`` says how often each race is run.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import closing
from secrets import token_hex
from typing import Any

import pytest
from stepping import Browser, House, token_claims
from stores.everywhere import KINDS, place
from stores.racing import PRESENTERS, Job, Outcome, Result, Team, team
from stores.services import one_crowd_at_a_time

pytestmark = pytest.mark.race

ROUNDS = range(int(os.environ.get("RACE_ROUNDS", "10")))

ACCESS_LIFE, GRACE = 900, 120
"""The defaults of ``access_token_expires`` and ``rotation_grace``, in seconds."""


class Track:
    """Where a race is run: a house of this process, and the team over the same store."""

    def __init__(self, house: House, store: Any, team: Team) -> None:
        self.house = house
        self.store = store
        self.team = team

    def sign_in(self, subject: str = "alice") -> Browser:
        browser = Browser(self.house)
        browser.login(subject)
        return browser

    def burst(self, *jobs: Job) -> Outcome:
        return self.team.burst(jobs, self.house.now)

    def expire(self) -> None:
        """Every access token there is expires."""
        self.house.wait(ACCESS_LIFE + 1)

    def reasons_of_some(self, results: list[Result]) -> set[str | None]:
        """What a few of those who came away with tokens are told when they come again."""
        jars = [result.jar for result in results if result.jar]
        return reasons(self.burst(*map(Job, random.sample(jars, min(len(jars), 8)))).results)

    def row(self, browser: Browser) -> Any:
        session_id = token_claims(browser.refresh)["sid"]
        return self.store.load(session_id, now=self.house.now)


@pytest.fixture(
    scope="module",
    params=[
        (kind, way)
        for kind in KINDS
        for way in ("threads", "processes")
        if (kind, way) != ("memory", "processes")  # which share no memory
    ],
    ids="-".join,
)
def track(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Track]:
    """Each race is run on each store, over threads and over processes."""
    kind, way = request.param
    with place(kind, tmp_path_factory.mktemp(kind)) as where, closing(where.open()) as store:
        house = House(session_store=store)
        # Not the house's own time: a store may let rows go by a clock of its own.
        house.now = float(int(time.time()))
        house.auth.sessions("nobody")  # tables are made before the crews come
        with team(where, store, processes=way == "processes") as racers:
            yield Track(house, store, racers)


@pytest.fixture(autouse=True)
def crowd() -> Iterator[None]:
    """No other test opens dozens of connections at the same time."""
    with one_crowd_at_a_time():
        yield


def refresh_of(jar: dict[str, str]) -> str | None:
    return jar.get("__Host-refresh_token")


def successors(results: list[Result]) -> set[str]:
    """The distinct refresh tokens that were sent."""
    return {token for result in results if (token := refresh_of(result.sent)) is not None}


def receive(browser: Browser, results: list[Result]) -> None:
    """The answers overtake each other; the browser is left with whichever came last."""
    browser.jar = dict(random.choice([result for result in results if result.sent]).jar)


def subjects(results: list[Result]) -> set[str | None]:
    return {result.subject for result in results}


def reasons(results: list[Result]) -> set[str | None]:
    return {result.reason for result in results}


# ── Honest ──────────────────────────────────────────────────────────────────────


def test_of_many_presenters_one_rotates(track: Track) -> None:
    """64 presenters of one refresh token: one rotation, one successor, nobody is out."""
    # S41, S42
    alice = track.sign_in()
    for generation in ROUNDS:
        track.expire()
        results, events = track.burst(*[Job(alice.jar)] * PRESENTERS)
        assert subjects(results) == {"alice"}
        assert len(successors(results)) == 1
        assert all(refresh_of(result.sent) for result in results)
        assert track.row(alice).generation == generation + 1
        assert events["reissued"] == 1
        assert events.keys() <= {"reissued", "replayed"}
        receive(alice, results)


def test_a_lost_response_followed_by_a_burst(track: Track) -> None:
    """After an answer was lost and the grace is over, 64 presenters of the old token are all
    handed the successor that was lost; none of them rotates."""  # S42
    alice = track.sign_in()
    for generation in ROUNDS:
        track.expire()
        (lost,), _ = track.burst(Job(alice.jar))
        track.house.wait(GRACE + 1)
        results, events = track.burst(*[Job(alice.jar)] * PRESENTERS)
        assert subjects(results) == {"alice"}
        assert successors(results) == {refresh_of(lost.sent)}
        assert track.row(alice).generation == generation + 1
        assert events == {"lost_response": PRESENTERS}
        receive(alice, results)


def test_one_proof_stands(track: Track) -> None:
    """64 times a client shows that it has its new tokens: it is written once, and neither
    these nor later requests move the time at which it was."""  # S42
    for _ in ROUNDS:
        alice = track.sign_in()
        track.expire()
        alice.receive(alice.respond(alice.arrive().auth))
        assert track.row(alice).confirmed_generation == 0
        track.house.wait(1)
        shows = [Job(alice.jar, late=-number / 256) for number in range(PRESENTERS)]
        results, _ = track.burst(*shows)
        assert subjects(results) == {"alice"}
        row = track.row(alice)
        assert (row.generation, row.confirmed_generation) == (1, 1)
        assert row.confirmed_at == row.last_seen_at
        track.house.wait(1)
        track.burst(*shows)
        assert track.row(alice) == row


def test_proofs_against_a_rotation(track: Track) -> None:
    """While 32 show that they have the new tokens, 32 have the refresh token rotated: the
    row moves once, and what was proven is the generation it moved from."""  # S42
    for _ in ROUNDS:
        alice = track.sign_in()
        track.expire()
        alice.receive(alice.respond(alice.arrive().auth))
        track.house.wait(GRACE)
        half = PRESENTERS // 2
        jobs = [Job(alice.jar), Job(alice.without_access().jar)] * half
        results, events = track.burst(*jobs)
        assert subjects(results) == {"alice"}
        assert len(successors(results)) == 1
        row = track.row(alice)
        assert (row.generation, row.confirmed_generation) == (2, 1)
        assert events["reissued"] == 1


# ── Sessions that end ───────────────────────────────────────────────────────────


def test_a_logout_against_rotations(track: Track) -> None:
    """One of 64 signs out: the session has ended once, it has moved at most once, and no
    token that the others were handed is worth anything."""  # S44, S46
    for _ in ROUNDS:
        alice = track.sign_in()
        track.expire()
        jobs = [Job(alice.jar)] * PRESENTERS
        jobs[random.randrange(PRESENTERS)] = Job(alice.jar, asks="logout")
        results, events = track.burst(*jobs)
        row = track.row(alice)
        assert row.revoked_reason == "logout"
        assert row.generation <= 1
        assert len(successors(results)) <= 1
        assert reasons(results) <= {None, "revoked", "logged_out"}
        assert (events["revoked"], events["reuse"]) == (1, 0)
        track.expire()
        assert track.reasons_of_some(results) == {"revoked"}
        assert track.row(alice) == row


def test_logins_against_log_out_everywhere(track: Track) -> None:
    """63 logins begin before the subject is signed out everywhere, and are stored meanwhile:
    none of them survives; one that begins afterwards does."""  # S46
    for _ in ROUNDS:
        subject = f"bob-{token_hex(4)}"
        track.house.wait(1)
        jobs = [Job(asks="login", subject=subject, late=-0.5)] * PRESENTERS
        jobs[random.randrange(PRESENTERS)] = Job(asks="everywhere", subject=subject)
        results, _ = track.burst(*jobs)
        assert track.house.auth.sessions(subject) == []
        track.expire()
        assert track.reasons_of_some(results) <= {"revoked"}
        track.sign_in(subject)
        assert len(track.house.auth.sessions(subject)) == 1


# ── Thieves ─────────────────────────────────────────────────────────────────────


def spent(track: Track, alice: Browser) -> Browser:
    """A thief's copy of a jar that its owner has since had rotated twice."""
    thief = alice.copy()
    for _ in range(2):
        track.expire()
        alice.receive(alice.respond(alice.arrive().auth))
    track.house.wait(GRACE + 1)
    return thief


def test_a_reuse_burst_is_told_once(track: Track) -> None:
    """64 presenters of a spent refresh token are all refused, and one of them tells."""
    # S42
    for _ in ROUNDS:
        alice = track.sign_in()
        thief = spent(track, alice)
        results, events = track.burst(*[Job(thief.jar)] * PRESENTERS)
        assert subjects(results) == {None}
        assert reasons(results) <= {"reuse", "revoked"}
        assert not any(result.sent for result in results)
        assert events["reuse"] == 1
        assert track.row(alice).revoked_reason == "reuse"


def test_slow_thieves_get_nothing(track: Track) -> None:
    """32 thieves whose answers start when their victim has rotated, and is rotating again:
    no token for any of them, the session goes on, and the next of them ends it."""
    # S42, S44
    for _ in ROUNDS:
        alice = track.sign_in()
        track.expire()
        half = PRESENTERS // 2
        thieves = [Job(alice.jar, part="arrives")] * half
        results, _ = track.burst(*thieves)
        assert subjects(results) == {"alice"}
        thief = alice.copy()
        for _ in range(2):  # to rotate, and to show that the successor has arrived
            alice.receive(alice.respond(alice.arrive().auth))
        track.expire()

        # The crews get the thieves they know, in the same places, and then the victim.
        results, events = track.burst(
            *[Job(part="responds")] * half, *[Job(alice.jar)] * (PRESENTERS - half)
        )
        late, honest = results[:half], results[half:]
        assert not any(result.sent for result in late)
        assert subjects(honest) == {"alice"}
        assert len(successors(honest)) == 1
        assert track.row(alice).generation == 2
        assert events["reuse"] == 0

        receive(alice, honest)
        alice.receive(alice.respond(alice.arrive().auth))
        track.house.wait(GRACE + 1)
        (caught,), events = track.burst(Job(thief.jar))
        assert (caught.reason, events["reuse"]) == ("reuse", 1)
