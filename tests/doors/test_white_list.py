"""``check_session`` on every store and at both doors: how late the end of a session is noticed.

Tokens are made, and sessions ended, by another process of the same service.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from stepping import SECRET, House
from stores.everywhere import KINDS, Place, place
from through import Answer, Ask, Through, aask, ask_wsgi, cookie

from jwt_middleware import JWTAuth, TokenPair

LAG = 30
"""Seconds of ``check_session``, where it is not ``"always"``."""

JUST_BEFORE = LAG - 0.001

MODES = ["always", LAG]


@pytest.fixture(scope="module", params=KINDS)
def where(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Each test that asks for it is run on each store."""
    with place(request.param, tmp_path_factory.mktemp(request.param)) as found:
        yield found


class Service:
    """One process of a service that checks sessions, behind one door, and one elsewhere."""

    def __init__(self, door: str, where: Place, **settings: Any) -> None:
        self.door = door
        self.store = where.open(for_event_loop=door == "asgi")
        self.house = House(session_store=self.store, **settings)
        # Not the house's own time: a store may let rows go by a clock of its own.
        self.house.now = float(int(time.time()))
        self.through = Through(self.house)
        self.asked = 0
        """How often the store was asked to load a row."""
        self.silent = False
        """Whether the store fails when it is asked."""
        self._loop = asyncio.Runner()  # one for all requests, as a server has it
        self._count()

    def elsewhere(self, where: Place) -> JWTAuth:
        return JWTAuth(secret_key=SECRET, session_store=where.open(), clock=lambda: self.house.now)

    def ask(self, pair: TokenPair) -> Answer:
        """A request with both tokens in cookies."""
        ask = Ask(fields=[cookie(access=pair.access_token, refresh=pair.refresh_token)])
        if self.door == "wsgi":
            return ask_wsgi(self.through.wsgi, ask.environ)
        return self._loop.run(aask(self.through.asgi, ask.scope()))

    def close(self) -> None:
        closing_now = self.store.close()
        if inspect.iscoroutine(closing_now):
            self._loop.run(closing_now)
        self._loop.close()

    def reason(self, pair: TokenPair) -> str | None:
        """Why that request is anonymous; None: it is signed in."""
        assert self.ask(pair).status == 200
        return self.through.auth.reason

    def _count(self) -> None:
        load = self.store.load

        def note() -> None:
            self.asked += 1
            if self.silent:
                raise OSError("the store is away")

        def counted(session_id: str, *, now: float) -> Any:
            note()
            return load(session_id, now=now)

        async def awaited(session_id: str, *, now: float) -> Any:
            note()
            return await load(session_id, now=now)

        self.store.load = awaited if inspect.iscoroutinefunction(load) else counted


@pytest.fixture(params=["wsgi", "asgi"])
def serve(request: Any, where: Place) -> Iterator[Callable[..., tuple[Service, JWTAuth]]]:
    """A service with these settings over the store, and the process elsewhere."""
    open_now: list[Service | JWTAuth] = []

    def serve(**settings: Any) -> tuple[Service, JWTAuth]:
        service = Service(request.param, where, **settings)
        elsewhere = service.elsewhere(where)
        open_now.extend((service, elsewhere))
        return service, elsewhere

    yield serve
    for one in open_now:
        one.close()
    if where.memory is not None:
        vars(where.memory).pop("load", None)


def log_out(auth: JWTAuth, pair: TokenPair) -> None:
    assert auth.revoke(pair.session_id)


def log_out_everywhere(auth: JWTAuth, pair: TokenPair) -> None:
    assert auth.revoke_subject("alice") >= 1


ENDS = pytest.mark.parametrize("end", [log_out, log_out_everywhere])


# ── The end of a session ────────────────────────────────────────────────────────


@ENDS
def test_always_refuses_at_once(serve, end) -> None:
    """A session that was ended elsewhere is refused at its next request, by one read each."""
    # S46
    service, elsewhere = serve(check_session="always")
    pair = elsewhere.issue("alice")
    assert [service.reason(pair) for _ in range(3)] == [None] * 3
    assert service.asked == 3
    end(elsewhere, pair)
    answer = service.ask(pair)
    assert service.through.auth.reason == "revoked"
    assert answer.cookies == {}, "neither new tokens nor cleared ones"
    assert service.asked == 4


@ENDS
def test_a_lag_is_exactly_as_long_as_it_says(serve, end) -> None:
    """Ended right after it was vouched for, a session goes on until just before the lag is
    over, at no read at all, and is refused at that very moment."""
    # S46
    service, elsewhere = serve(check_session=LAG)
    pair = elsewhere.issue("alice")
    assert service.reason(pair) is None
    assert service.asked == 1
    end(elsewhere, pair)
    service.house.wait(JUST_BEFORE)
    assert service.reason(pair) is None
    assert service.asked == 1
    service.house.wait(LAG - JUST_BEFORE)
    assert service.reason(pair) == "revoked"
    assert service.asked == 2


def test_an_ended_session_is_not_asked_for_again(serve) -> None:
    """What a process has seen end it knows, and refuses without another read."""
    service, elsewhere = serve(check_session="always")
    pair = elsewhere.issue("alice")
    elsewhere.revoke(pair.session_id)
    assert [service.reason(pair) for _ in range(3)] == ["revoked"] * 3
    assert service.asked == 1


def test_a_lag_costs_one_read_each(serve) -> None:
    """A busy session is read once a lag, however many requests come in it."""
    service, elsewhere = serve(check_session=LAG)
    pair = elsewhere.issue("alice")
    for _ in range(3):
        assert [service.reason(pair) for _ in range(5)] == [None] * 5
        service.house.wait(LAG)
    assert service.asked == 3


def test_never_reads_nothing(serve) -> None:
    """By default a valid token is not asked for, whatever was ended elsewhere."""
    # S46
    service, elsewhere = serve()
    pair = elsewhere.issue("alice")
    elsewhere.revoke(pair.session_id)
    assert service.reason(pair) is None
    assert service.asked == 0


# ── What else a store may answer ────────────────────────────────────────────────


@pytest.mark.parametrize("mode", MODES)
def test_a_session_nobody_knows_is_refused(serve, mode) -> None:
    """A genuine token whose session the store has never seen signs nobody in."""
    service, _ = serve(check_session=mode)
    stranger = JWTAuth(
        secret_key=SECRET, session_store="memory://", clock=lambda: service.house.now
    )
    assert service.reason(stranger.issue("alice")) == "unknown_session"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("required", [False, True], ids=["optional", "required"])
@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_a_store_that_is_away_is_a_503(
    where: Place, tmp_path: Path, door: str, required: bool, mode: Any
) -> None:
    """Where the store has to vouch and nobody answers, the app is not asked, and the client
    keeps what it has and is told to come again."""
    # S45
    fallen = where.fallen(tmp_path)
    service = Service(door, fallen, check_session=mode, required=required)
    with closing(service), closing(service.elsewhere(where)) as elsewhere:
        answer = service.ask(elsewhere.issue("alice"))
    assert answer.status == 503
    assert answer.one("Retry-After")
    assert answer.cookies == {}
    assert service.through.seen == []
    assert service.house.event_names == ["store_unavailable"]


def test_an_outage_within_the_lag_is_not_noticed(serve) -> None:
    """Who was vouched for goes on while the store is away, until the lag is over; then comes
    a 503, and when the store is back the session goes on."""
    # S45
    service, elsewhere = serve(check_session=LAG)
    pair = elsewhere.issue("alice")
    assert service.reason(pair) is None
    service.silent = True
    service.house.wait(JUST_BEFORE)
    assert service.reason(pair) is None
    service.house.wait(LAG - JUST_BEFORE)
    assert service.ask(pair).status == 503
    service.silent = False
    assert service.reason(pair) is None
