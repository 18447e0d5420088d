"""Every interleaving of small worlds: nobody honest is signed out, and no thief goes unnoticed.

`exploring` says what a world is, and which laws hold at each of its steps. The worlds here
are as small as the shortest ways to break the laws; EXPLORE=deep makes them larger.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from exploring import GRACE, Bounds, Broken, Exploration
from stepping import Browser, House, token_claims

from jwt_middleware import rotation
from jwt_middleware.driver import Asks
from jwt_middleware.flow import Arrival, Flow
from jwt_middleware.reissue import Reissuer
from jwt_middleware.stores.memory import MemorySessionStore
from jwt_middleware.tokens import Tokens

EXPIRED = 15 * 60.0
"""Seconds after which a default access token is expired."""
ROTATION_GRACE = 120.0


class World(NamedTuple):
    """A world to be explored, how large it is at least, and what must have happened in it."""

    bounds: Bounds
    states: int
    sights: set[str]


BURST = {"client current", "client predecessor", "client with its access token"}
AFTER = {"answered from memory", "replayed", "lost_response", "rotated", "goes on"}

HONEST = {
    "a burst": World(Bounds(requests=4, ticks=1), 7_000, BURST | AFTER),
    "a later burst": World(Bounds(requests=3, ticks=2, confirmed_first=True), 7_000, BURST | AFTER),
    "slow requests": World(Bounds(requests=3, ticks=3, late_arrival=True), 8_000, BURST | AFTER),
    "slow requests, after a lost answer": World(
        Bounds(requests=4, ticks=0, late_arrival=True), 2_500, BURST | AFTER
    ),
    "apps that fail": World(Bounds(requests=3, ticks=2, crashes=True), 4_000, BURST | AFTER),
    "processes that restart": World(Bounds(requests=3, ticks=1, restarts=True), 5_000, BURST),
    "uploads": World(
        Bounds(requests=3, ticks=1, jumps=2, bodies=True),
        12_000,
        {
            *BURST,
            *AFTER,
            "client slow upload",
            "client sibling of a recovery",
            "client anonymous: superseded",
        },
    ),
    "a window for lost answers": World(
        Bounds(requests=3, ticks=3, settings={"lost_response_window": 2 * GRACE}),
        9_000,
        {*BURST, *AFTER, "client anonymous: superseded"},
    ),
    "no window for lost answers": World(
        Bounds(requests=3, ticks=2, lossless=True, settings={"lost_response_window": 0}),
        4_000,
        BURST,
    ),
    "a logout elsewhere": World(
        Bounds(requests=3, ticks=1, logout=True),
        6_000,
        {*BURST, "stays out", "answered from memory, ended elsewhere", "client anonymous: revoked"},
    ),
    "reissued early": World(
        Bounds(requests=3, ticks=2, settings={"reissue_within": 1}), 4_000, BURST | AFTER
    ),
    "a forgetful client": World(
        Bounds(requests=3, ticks=3, forgetful=True, in_order=True),
        12_000,
        {*BURST, *AFTER, "client fresh"},
    ),
    "a forgetful client in a hurry": World(
        Bounds(requests=4, ticks=0, forgetful=True, in_order=True, late_arrival=True),
        4_000,
        {*BURST, *AFTER, "client fresh", "client sibling of a recovery"},
    ),
    "renewed": World(
        Bounds(
            requests=3,
            ticks=3,
            jump=7,
            forgetful=True,
            in_order=True,
            settings={"refresh_token_expires": 9},
        ),
        12_000,
        {*BURST, "client current, renewed", "client anonymous: expired"},
    ),
}

CAUGHT = {"thief anonymous: reuse", "client anonymous: reuse", "thief anonymous: revoked"}
CAUGHT |= {"client anonymous: revoked", "thief predecessor", "thief current", "noticed"}

STOLEN = {
    "a thief": World(
        Bounds(requests=2, ticks=1, thefts=2, in_flight=1), 9_000, {*CAUGHT, "thief fresh"}
    ),
    "a thief later": World(
        Bounds(requests=2, ticks=1, thefts=1, in_flight=2, confirmed_first=True), 4_000, CAUGHT
    ),
    "a slow thief": World(
        Bounds(requests=2, ticks=3, jumps=0, thefts=1, in_flight=1), 2_000, {*CAUGHT, "thief fresh"}
    ),
    "a thief without a window": World(
        Bounds(requests=2, ticks=1, thefts=1, lossless=True, settings={"lost_response_window": 0}),
        4_000,
        CAUGHT,
    ),
}

DEEP = {
    "a burst": Bounds(requests=5, ticks=2),
    "a later burst": Bounds(requests=4, ticks=4, confirmed_first=True),
    "two jumps": Bounds(requests=4, ticks=2, jumps=2),
    "slow requests": Bounds(requests=4, ticks=2, late_arrival=True),
    "apps that fail, processes that restart": Bounds(
        requests=4, ticks=1, crashes=True, restarts=True
    ),
    "uploads": Bounds(requests=4, ticks=1, jumps=2, bodies=True),
    "a window for lost answers": Bounds(
        requests=4, ticks=4, settings={"lost_response_window": 2 * GRACE}
    ),
    "a logout elsewhere": Bounds(requests=4, ticks=2, logout=True),
    "a forgetful client": Bounds(requests=4, ticks=3, forgetful=True, in_order=True),
    "a thief": Bounds(requests=3, ticks=2, thefts=2, in_flight=2),
    "a thief and three in flight": Bounds(requests=3, ticks=2, thefts=1),
    "a thief later": Bounds(requests=2, ticks=3, thefts=2, in_flight=2, confirmed_first=True),
}


def explore(bounds: Bounds) -> Exploration:
    explored = Exploration(bounds).run()
    sights = ", ".join(f"{count} {what}" for what, count in explored.seen.most_common())
    print(f"{explored.states} states: {sights}")  # noqa: T201  # pytest shows it on failure and with -s
    return explored


@pytest.mark.explore
@pytest.mark.parametrize("name", HONEST)
def test_nobody_honest_is_signed_out(name: str) -> None:
    """In no interleaving does an honest session end or fork, and its client can always go on."""
    # S41, S42, S44, S54
    world = HONEST[name]
    explored = explore(world.bounds)
    assert explored.states >= world.states
    assert world.sights <= explored.seen.keys()
    assert not any(sight.startswith("thief") for sight in explored.seen)
    assert explored.seen["client anonymous: reuse"] == 0


@pytest.mark.explore
@pytest.mark.parametrize("name", STOLEN)
def test_a_thief_who_goes_on_is_noticed(name: str) -> None:
    """In every interleaving thief and victim end up with one reuse event, and no tokens."""
    # S42, S44
    world = STOLEN[name]
    explored = explore(world.bounds)
    assert explored.states >= world.states
    assert world.sights <= explored.seen.keys()


@pytest.mark.explore
@pytest.mark.skipif(os.environ.get("EXPLORE") != "deep", reason="takes minutes: make explore")
@pytest.mark.parametrize("name", DEEP)
def test_nor_in_larger_worlds(name: str) -> None:
    """More requests, more time: the same laws."""  # S41, S42, S44, S54
    assert explore(DEEP[name]).states >= 40_000


# ── The laws bite ────────────────────────────────────────────────────────────────────


def planted(monkeypatch: pytest.MonkeyPatch, name: str, **changes: Any) -> None:
    """One row of the table changed."""
    rows = (replace(row, **changes) if row.name == name else row for row in rotation.TABLE)
    monkeypatch.setattr(rotation, "TABLE", tuple(rows))


def test_strict_single_use_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table without a kindness for predecessors signs an honest client out."""
    planted(monkeypatch, "predecessor", applies=lambda p: False)
    with pytest.raises(Broken, match=r"an honest client is superseded"):
        Exploration(Bounds(requests=2, ticks=0, jumps=0)).run()


def test_a_grace_that_never_ends_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that is always kind to predecessors signs a thief in for ever."""
    planted(monkeypatch, "predecessor", applies=lambda p: p.behind == 1)
    with pytest.raises(Broken, match=r"signed in by what was spent"):
        Exploration(Bounds(requests=1, ticks=0, thefts=1)).run()


def test_a_fork_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store whose swap compares nothing lets two racers make the same generation."""
    rotate = MemorySessionStore.rotate

    def blindly(self: MemorySessionStore, session_id: str, *, expected: int, **swap: Any) -> Any:
        row = self._sessions[session_id]
        self._sessions[session_id] = replace(row, generation=expected)
        return rotate(self, session_id, expected=expected, **swap)

    monkeypatch.setattr(MemorySessionStore, "rotate", blindly)
    with pytest.raises(Broken, match=r"made once|no longer due"):
        Exploration(Bounds(requests=2, ticks=1, jumps=0)).run()


def test_an_answer_without_another_look_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow request that is answered by its verdict at arrival is handed what is not its due."""
    judge = Reissuer.judge

    def at_arrival(self: Reissuer, auth: Any, *args: Any, **kwargs: Any) -> Any:
        known = auth.reissue
        return judge(self, auth, *args, **kwargs) if known is None else known.row

    monkeypatch.setattr(Reissuer, "judge", at_arrival)
    with pytest.raises(Broken, match=r"S42|S44"):
        Exploration(Bounds(requests=2, ticks=1, thefts=1, in_flight=1)).run()


def test_a_proof_by_minting_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that shows the app a generation its client does not hold yet breaks a law."""
    members = Tokens.members

    def ahead(self: Tokens, session: Any, **options: Any) -> dict[str, Any]:
        return members(self, session, **{**options, "generation": session.generation + 1})

    monkeypatch.setattr(Tokens, "members", ahead)
    with pytest.raises(Broken, match=r"shown is what is proven|rgen is what the client holds"):
        Exploration(Bounds(requests=1, ticks=0)).run()


def test_a_confirmation_that_never_comes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without confirmation a thief may use the predecessor for ever."""

    def never(self: Flow, auth: Any, now: float) -> Any:
        yield from ()

    monkeypatch.setattr(Flow, "_confirm", never)
    with pytest.raises(Broken, match=r"a theft goes unnoticed"):
        Exploration(Bounds(requests=1, ticks=0, thefts=1)).run()


# ── What the exploration has found, step by step, with real tokens ───────────────────


def test_a_slow_answer_does_not_bring_an_old_token_back() -> None:
    """An answer slower than the access token's life never overtakes the next rotation's."""
    # S41
    browser = Browser(House())
    browser.login()
    house = browser.house
    house.wait(EXPIRED)
    quick, slow = (browser.arrive(house=house).auth for _ in range(2))
    browser.receive(browser.respond(quick))
    house.wait(EXPIRED)
    next_one = browser.arrive().auth
    overtaken = browser.respond(slow)
    browser.receive(browser.respond(next_one))
    assert browser.get().is_authenticated
    browser.receive(overtaken)  # sent first, received last
    house.wait(EXPIRED)
    assert browser.get().is_authenticated
    assert "reuse" not in house.event_names


UPLOAD = {"method": "PUT", "headers": {"content-length": "1000000"}}


def test_the_answer_to_a_slow_upload_does_not_bring_an_old_token_back() -> None:
    """An upload that is under way while its session rotates twice signs its user in, and its
    answer leaves the newer refresh token in the jar, in whichever order they arrive."""
    # S41
    browser = Browser(House())
    browser.login()
    house = browser.house
    house.wait(EXPIRED)
    upload = browser.copy()  # its request is sent, and travels
    browser.get()
    house.wait(EXPIRED)  # no request shows the new tokens
    rotating = browser.arrive().auth
    there = house.other_process()
    arrived = upload.arrive(upload.request(**UPLOAD), house=there).auth
    assert arrived.is_authenticated
    overtaken = browser.respond(arrived, house=there)
    browser.receive(browser.respond(rotating))
    assert browser.get().is_authenticated
    browser.receive(overtaken)  # sent first, received last
    assert token_claims(browser.refresh)["gen"] == 2
    house.wait(EXPIRED)
    assert browser.get().is_authenticated
    assert "reuse" not in house.event_names


def test_a_client_that_only_uploads_recovers_a_lost_answer() -> None:
    """A client whose requests all have bodies goes on after a lost answer, with access tokens
    alone for an hour, and is then handed the successor."""  # S41, S42
    browser = Browser(House())
    browser.login()
    house = browser.house
    house.wait(EXPIRED)
    browser.respond(browser.arrive(browser.request(**UPLOAD)).auth)  # lost
    generations = []
    for _ in range(6):
        house.wait(EXPIRED)
        assert browser.get(**UPLOAD).is_authenticated
        generations.append(token_claims(browser.refresh)["gen"])
    assert generations == [0, 0, 0, 0, 1, 2]
    assert token_claims(browser.access)["rgen"] == 2
    assert "reuse" not in house.event_names


def test_an_access_token_alone_names_the_expiry_of_the_refresh_token_that_is_kept() -> None:
    """After a slow upload the client's own refresh token can be renewed when it expires."""
    browser = Browser(House(refresh_token_expires=3600))
    browser.login()
    house = browser.house
    house.wait(3600 - GRACE - 300)
    kept = token_claims(browser.refresh)["exp"]
    browser.without_access().get()  # another tab; its answer is lost
    house.wait(ROTATION_GRACE + 10)
    upload = browser.without_access()
    upload.get(**UPLOAD)
    assert token_claims(upload.refresh)["gen"] == 0
    assert token_claims(upload.access)["rexp"] == kept
    house.wait(300)  # past that expiry, and the access token is valid
    assert upload.get().is_authenticated
    assert token_claims(upload.refresh)["gen"] == 1


def test_what_a_process_remembers_is_forgotten_when_the_next_rotation_may_begin() -> None:
    """At the end of the grace no process answers from memory what another has rotated away."""
    # S41, S44
    browser = Browser(House())
    browser.login()
    house = browser.house
    house.wait(EXPIRED)
    sibling = browser.copy()
    browser.get()
    house.wait(ROTATION_GRACE)
    late = sibling.arrive().auth
    browser.without_access().get(house=house.other_process())
    sibling.receive(sibling.respond(late))
    row = house.row(token_claims(browser.refresh)["sid"])
    assert row.generation == 2
    assert sibling.refresh is not None
    assert token_claims(sibling.refresh)["gen"] != 1


def test_a_token_that_expires_while_its_request_runs_gets_nothing() -> None:
    """A slow request is not handed the successor once its own refresh token has expired."""
    # S44
    browser = Browser(House(refresh_token_expires=3600))
    browser.login()
    house = browser.house
    house.wait(3600 - 10)
    slow = browser.copy()
    auth = slow.arrive(house=house.other_process()).auth
    browser.get()
    house.wait(10)
    before = dict(slow.jar)
    slow.receive(slow.respond(auth))
    assert slow.jar == before


# ── Between two questions of one request ─────────────────────────────────────────────


def after_reading(steps: Asks[Arrival], answer: Any) -> Asks[Arrival]:
    """The rest of a decision whose first question has been answered."""
    try:
        while True:
            answer = yield steps.send(answer)
    except StopIteration as outcome:
        return outcome.value


def test_a_reuse_that_two_find_at_once_is_told_once() -> None:
    """Both read the row before either ends the session: one of them tells, both are refused."""
    # S42
    victim = Browser(House())
    victim.login()
    house = victim.house
    thief = victim.copy()
    house.wait(EXPIRED)
    victim.get()
    victim.get()
    house.wait(EXPIRED)
    there = (house, house.other_process())
    requests = [one.flow.arrive(thief.request(), house.now) for one in there]
    rows = [house.answer(next(steps)) for steps in requests]
    arrivals = [
        one.run(after_reading(steps, row))
        for one, steps, row in zip(there, requests, rows, strict=True)
    ]
    assert [arrival.auth.reason for arrival in arrivals] == ["reuse", "reuse"]
    assert house.event_names.count("reuse") == 1
