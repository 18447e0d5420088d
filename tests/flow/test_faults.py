"""A fault at every command of every scenario: whatever fails, the client can go on.

Each scenario is run once to count its commands, and then once for each of them with that
one failing, before it took effect, or after (its answer was lost).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
from stepping import SECRET, Browser, House, names, token_claims

from jwt_middleware.auth import JWTAuth
from jwt_middleware.driver import Asks, Command, arun, run
from jwt_middleware.errors import StoreUnavailable
from jwt_middleware.handle import RequestAuth
from jwt_middleware.memory import PURGE_INTERVAL, SETTLE_PAUSE
from jwt_middleware.refusals import Refusal
from jwt_middleware.stores.memory import MemorySessionStore
from jwt_middleware.tokens import TokenPair

EXPIRED = 15 * 60.0
DAY = 86_400.0


class FaultyHouse(House):
    """A house whose n-th command from now on fails; events are not commands here."""

    armed: int | None = None
    after_effect = False
    failed: str | None = None
    pair: TokenPair
    """Issued beforehand, for a view that sends it."""

    def arm(self, index: int | None, *, after_effect: bool = False) -> None:
        """``index``: which command fails; None: none does."""
        self.armed, self.after_effect, self.failed = index, after_effect, None
        self.forget_commands()

    def answer(self, command: Command) -> Any:
        at = len(self.asked)
        if at != self.armed or command.verb == "emit":
            return super().answer(command)
        self.failed = command.verb
        if self.after_effect:
            super().answer(command)
        else:
            self.commands.append(command)
        raise OSError("away")

    @property
    def asked(self) -> list[str]:
        return [command.verb for command in self.commands if command.verb != "emit"]


class Outcome(NamedTuple):
    """What became of one request."""

    auth: RequestAuth
    refusal: Refusal | None
    """On arrival, or in place of the app's response."""


Act = Callable[[RequestAuth, FaultyHouse], Any]


def request(browser: Browser, act: Act | None = None) -> Outcome:
    """One whole request whose answer arrives, whatever it is."""
    house = browser.house
    assert isinstance(house, FaultyHouse)
    path = "/login" if act is log_in else "/do"
    arrival = browser.arrive(browser.request("DELETE", path))  # unsafe, and has no body
    if arrival.refusal is not None:
        browser.receive(arrival.refusal)
        return Outcome(arrival.auth, arrival.refusal)
    if act is not None:
        act(arrival.auth, house)
    outcome = browser.respond(arrival.auth)
    browser.receive(outcome)
    return Outcome(arrival.auth, outcome if isinstance(outcome, Refusal) else None)


# ── The scenarios ────────────────────────────────────────────────────────────────


class Scenario(NamedTuple):
    """``prepare`` makes the browser, ``act`` is what the view does; the request is the test."""

    prepare: Callable[[FaultyHouse], Browser]
    verbs: str
    """The commands of the request, in order."""
    act: Act | None = None
    wish: bool = False
    """The app asks for something that has to be stored."""


def nobody(house: FaultyHouse) -> Browser:
    house.auth.sessions("warm up")  # opens the store
    return Browser(house)


def fresh(house: FaultyHouse) -> Browser:
    browser = Browser(house)
    browser.login("alice")
    return browser


def expired(house: FaultyHouse) -> Browser:
    browser = fresh(house)
    house.wait(EXPIRED)
    return browser


def rotated(house: FaultyHouse) -> Browser:
    browser = expired(house)
    browser.get()
    return browser


def lost(house: FaultyHouse) -> Browser:
    """The answer to a rotation was lost, some days ago."""
    browser = rotated(house)
    browser.get()
    house.wait(EXPIRED)
    browser.respond(browser.arrive().auth)
    house.wait(3 * DAY)
    return browser


def bare(house: FaultyHouse) -> Browser:
    """Just rotated, and the access cookie is gone: KEEP."""
    return rotated(house).without_access()


def behind(house: FaultyHouse) -> Browser:
    """The store has lost the last rotation: AHEAD."""
    browser = rotated(house)
    browser.get()
    house.wait(EXPIRED)
    backup = house.row(token_claims(browser.refresh)["sid"])
    browser.get()
    house.store._sessions[backup.id] = backup
    return browser.without_access()


def renewable(house: FaultyHouse) -> Browser:
    """A valid access token beside an expired refresh token."""
    browser = fresh(house)
    house.wait(EXPIRED - 1)
    browser.late_access()
    house.wait(101)
    return browser


def due_for_purge(house: FaultyHouse) -> Browser:
    browser = fresh(house)
    house.wait(PURGE_INTERVAL)
    browser.house.auth._memory.purge_again_at = 0
    return browser.without_access()


def spent(house: FaultyHouse) -> Browser:
    """A thief with a spent token."""
    victim = rotated(house)
    victim.get()
    house.wait(EXPIRED)
    thief = victim.copy()
    victim.get()
    victim.get()
    house.wait(121)
    return thief


def with_a_pair(house: FaultyHouse) -> Browser:
    """Signed in, and another pair is issued already."""
    house.pair = house.auth.issue("alice")
    return fresh(house)


# What views do.


def log_in(auth: RequestAuth, house: FaultyHouse) -> None:
    auth.login("alice")


def send_and_update(auth: RequestAuth, house: FaultyHouse) -> None:
    auth.send(house.pair)
    auth.update({"role": "admin"})


def update(auth: RequestAuth, house: FaultyHouse) -> None:
    if auth.is_authenticated:
        auth.update({"role": "admin"})


def log_out(auth: RequestAuth, house: FaultyHouse) -> None:
    auth.logout()


def log_out_everywhere(auth: RequestAuth, house: FaultyHouse) -> None:
    auth.logout_everywhere()


SCENARIOS: dict[str, Scenario] = {
    "reissue": Scenario(expired, "load load_claims rotate"),
    "keep": Scenario(bare, "load load_claims load confirm"),
    "replay": Scenario(lost, "load load_claims load"),
    "ahead": Scenario(behind, "load load_claims rotate"),
    "renewal": Scenario(renewable, "load load_claims rotate"),
    "confirm": Scenario(rotated, "confirm"),
    "purge": Scenario(due_for_purge, "load load_claims rotate purge"),
    "first login": Scenario(nobody, "create", log_in, wish=True),
    "login again": Scenario(fresh, "create", log_in, wish=True),
    "send": Scenario(with_a_pair, "load update revoke", send_and_update, wish=True),
    "update": Scenario(fresh, "update", update, wish=True),
    "update and reissue": Scenario(expired, "load load_claims update rotate", update, wish=True),
    "logout": Scenario(fresh, "revoke", log_out, wish=True),
    "logout everywhere": Scenario(fresh, "revoke_subject revoke", log_out_everywhere, wish=True),
    "reuse": Scenario(spent, "load revoke"),
}

STEPS = [
    (name, index)
    for name, scenario in SCENARIOS.items()
    for index in range(len(scenario.verbs.split()))
]


def a_house(**settings: Any) -> FaultyHouse:
    house = FaultyHouse(
        load_claims=lambda session: {},
        rotation_grace=120,
        refresh_token_expires=1000 if settings.pop("short", False) else 30 * DAY,
        **settings,
    )
    # The purge that comes along now and then is a scenario of its own.
    house.auth._memory.purge_again_at = float("inf")
    return house


def prepared(name: str, **settings: Any) -> tuple[FaultyHouse, Browser]:
    house = a_house(short=name == "renewal", **settings)
    return house, SCENARIOS[name].prepare(house)


REQUIRED: dict[str, Any] = {"required": True, "public_paths": ["/login"]}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_commands_of_a_scenario(name: str) -> None:
    """What each scenario asks, so that no step goes untested and no write comes too early."""
    house, browser = prepared(name)
    house.arm(None)
    request(browser, SCENARIOS[name].act)
    assert sorted(house.asked) == sorted(SCENARIOS[name].verbs.split())


@pytest.mark.parametrize("required", [False, True], ids=["optional", "required"])
@pytest.mark.parametrize(("name", "index"), STEPS)
def test_a_client_goes_on_after_any_fault(name: str, index: int, required: bool) -> None:
    """What failed is done when the client asks again with what it has."""  # S45 S54
    house, browser = prepared(name, **(REQUIRED if required else {}))
    scenario = SCENARIOS[name]
    before = dict(browser.jar)
    house.arm(index)
    outcome = request(browser, scenario.act)
    assert house.failed is not None
    behind_the_response = house.failed in ("confirm", "purge")
    stored_first = name == "logout everywhere" and house.failed == "revoke"
    # In doubt the client keeps what it has.
    if not behind_the_response:
        assert browser.jar == before
    if scenario.wish and outcome.auth.intent is not None:
        assert outcome.refusal is not None
        assert outcome.refusal.status == 503
    house.arm(None)
    house.wait(SETTLE_PAUSE if name == "renewal" else EXPIRED)
    if name == "reuse":
        assert request(browser).auth.reason == "reuse"
        assert house.event_names.count("reuse") == 1
    elif name == "first login":
        assert request(browser, scenario.act).refusal is None
        assert browser.arrive().auth.subject == "alice"
    elif not stored_first:
        assert request(browser).auth.subject == "alice"
        assert request(browser, scenario.act).refusal is None
        expected = None if name.startswith("logout") else "alice"
        assert browser.arrive().auth.subject == expected


@pytest.mark.parametrize(("name", "index"), [step for step in STEPS if not SCENARIOS[step[0]].wish])
def test_a_client_goes_on_after_a_lost_acknowledgement(name: str, index: int) -> None:
    """The store did it, and its answer was lost: the one successor is handed out later."""  # S42
    house, browser = prepared(name)
    before = dict(browser.jar)
    house.arm(index, after_effect=True)
    request(browser)
    assert house.failed is not None
    if house.failed not in ("confirm", "purge"):
        assert browser.jar == before
    house.arm(None)
    house.wait(SETTLE_PAUSE)
    if name == "reuse":
        assert request(browser).auth.claims is None
        return
    assert request(browser).auth.subject == "alice"
    house.wait(EXPIRED)
    assert request(browser).auth.reissued
    row = house.row(token_claims(browser.refresh)["sid"])
    assert row.generation == token_claims(browser.refresh)["gen"]
    assert not row.revoked


@pytest.mark.parametrize("required", [False, True], ids=["optional", "required"])
@pytest.mark.parametrize("name", ["reissue", "keep", "replay", "ahead", "reuse"])
def test_an_outage_on_arrival(name: str, required: bool) -> None:
    """503 where sign-in is required, anonymous elsewhere; nothing minted, nothing cleared."""
    house, browser = prepared(name, **(REQUIRED if required else {}))  # S45
    minted = len(house.auth.flow.parts.memory.minted)
    verified = len(house.auth.flow.parts.tokens.verified)
    house.arm(0)
    outcome = request(browser)
    assert (outcome.auth.claims, outcome.auth.reason) == (None, "store_unavailable")
    assert (outcome.refusal is not None) is required
    if outcome.refusal is not None:
        assert outcome.refusal.status == 503
        assert dict(outcome.refusal.headers)["Retry-After"]
        assert names(outcome.refusal) == []
    assert house.event_names == ["store_unavailable"]
    assert len(house.auth.flow.parts.memory.minted) == minted
    assert len(house.auth.flow.parts.tokens.verified) == verified


def test_an_outage_where_the_access_token_is_valid() -> None:
    """A valid token needs nobody's word, also where sign-in is required."""  # S45
    for name in ("confirm", "renewal"):
        house, browser = prepared(name, **REQUIRED)
        house.arm(0)
        outcome = request(browser)
        assert house.failed is not None
        assert (outcome.refusal, outcome.auth.subject) == (None, "alice")


@pytest.mark.parametrize("name", ["reissue", "keep", "replay", "ahead", "renewal"])
def test_a_fault_of_the_hook(name: str) -> None:
    """load_claims raises: 503 in every mode, unless a valid token goes on without it."""  # S43
    house, browser = prepared(name)
    house.arm(1)
    outcome = request(browser)
    assert house.failed == "load_claims"
    if name == "renewal":
        assert (outcome.refusal, outcome.auth.subject) == (None, "alice")
    else:
        assert outcome.refusal is not None
        assert outcome.refusal.status == 503
    assert not house.row(token_claims(browser.refresh)["sid"]).revoked


@pytest.mark.parametrize("name", ["reissue", "keep", "replay", "ahead", "renewal"])
def test_an_outage_when_the_response_starts(name: str) -> None:
    """The app's response goes out as it is, and an event tells."""  # S45
    house, browser = prepared(name, **REQUIRED)
    house.arm(2)
    before = dict(browser.jar)
    outcome = request(browser)
    assert (outcome.refusal, outcome.auth.subject) == (None, "alice")
    assert browser.jar == before
    assert house.event_names[-1] == "store_unavailable"


def test_a_reuse_that_could_not_be_stored_is_told_later() -> None:
    """No event tells of an end that did not happen."""
    house, browser = prepared("reuse")
    house.arm(1)
    request(browser)
    assert "reuse" not in house.event_names
    house.arm(None)
    request(browser)
    assert house.event_names.count("reuse") == 1


def test_a_login_that_failed_signed_nobody_in() -> None:
    """No row, no event, no cookie; and the session that was presented lives on."""  # S45
    house, browser = prepared("login again")
    house.arm(0)
    request(browser, SCENARIOS["login again"].act)
    assert len(house.auth.sessions("alice")) == 1
    assert "login" not in house.event_names


def test_a_logout_that_failed_signed_nobody_out() -> None:
    """The client is told to try again, and until then it is signed in."""  # S45
    house, browser = prepared("logout")
    house.arm(0)
    request(browser, SCENARIOS["logout"].act)
    assert browser.arrive().auth.subject == "alice"
    assert "revoked" not in house.event_names


def test_a_failed_purge_is_tried_again_later() -> None:
    """It is nobody's business, and does not stop the confirming for good."""
    house, browser = prepared("purge")
    house.arm(3)
    request(browser)
    assert house.failed == "purge"
    house.arm(None)
    house.wait(PURGE_INTERVAL)
    browser.get()
    house.wait(EXPIRED)
    browser.get()
    assert "purge" in house.asked


def test_outside_a_request_an_outage_is_raised() -> None:
    """Whoever calls JWTAuth is told, and nothing of the failure's own text is shown."""  # S53
    house = a_house()
    auth = house.auth
    # These run in the world of the configuration, so the store itself has to fail.
    for verb in ("create", "revoke", "revoke_subject", "find", "purge"):
        setattr(house.store, verb, away)
    calls: list[Callable[[], Any]] = [
        lambda: auth.issue("alice"),
        lambda: auth.revoke("sid"),
        lambda: auth.revoke_subject("alice"),
        lambda: auth.sessions("alice"),
        auth.purge,
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable) as caught:
            call()
        assert "password" not in str(caught.value)
        assert isinstance(caught.value.__cause__, OSError)


def away(*_: object, **__: object) -> Any:
    raise OSError("away: redis://user:password@host")


def test_a_hook_for_events_cannot_fail_a_request() -> None:
    """Whatever on_event raises is logged, and that is all."""

    def explode(event: object) -> None:
        raise RuntimeError("the dashboard is away")

    house = House()
    house.auth = JWTAuth(
        clock=lambda: house.now,
        on_event=explode,
        secret_key=SECRET,
        session_store=MemorySessionStore(),
    )
    house.flow = house.auth.flow
    browser = Browser(house)
    browser.login()
    house.wait(EXPIRED)
    assert browser.get().reissued


# ── The two loops ────────────────────────────────────────────────────────────────


class Answers:
    """A world that answers one command with what the test says."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        self._answer = answer

    def answer(self, command: Command) -> Any:
        return self._answer()


class AsyncAnswers(Answers):
    """The same, to be awaited."""

    async def answer(self, command: Command) -> Any:
        return self._answer()


class PlainAwaitable(Answers):
    """An answer that fails before there is anything to await."""

    def answer(self, command: Command) -> Any:
        return self._answer()


def raises(error: BaseException) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer


def steps(log: list[object]) -> Asks[str]:
    """Asks once; says what came of it."""
    try:
        answer = yield Command("store", "load", ("sid",))
    except StoreUnavailable as outage:
        log.append(outage.__cause__)
        return "outage"
    except BaseException as other:
        log.append(other)
        raise
    return f"answered {answer}"


def both(answer: Callable[[], Any], log: list[object]) -> list[str]:
    """The outcome in each of the loops."""
    return [
        run(steps(log), Answers(answer)),
        asyncio.run(arun(steps(log), AsyncAnswers(answer))),
    ]


def test_the_loops_answer() -> None:
    """An answer is sent in, and what the decision returns comes out."""
    assert both(lambda: 7, []) == ["answered 7", "answered 7"]
    assert both(lambda: None, []) == ["answered None", "answered None"]


@pytest.mark.parametrize(
    "error",
    [OSError(), ValueError(), StopIteration("outcome"), StopAsyncIteration(), StoreUnavailable("")],
    ids=repr,
)
def test_what_a_store_raises_is_an_outage(error: Exception) -> None:
    """Any exception arrives as StoreUnavailable, StopIteration too: it is no outcome."""
    log: list[object] = []
    assert both(raises(error), log) == ["outage", "outage"]
    assert log[0] is error
    assert asyncio.run(arun(steps(log), PlainAwaitable(raises(error)))) == "outage"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), asyncio.CancelledError()])
def test_what_is_no_fault_passes(error: BaseException) -> None:
    """The end of the program, or of the task, is not for the decision to see."""
    log: list[object] = []
    with pytest.raises(type(error)):
        run(steps(log), Answers(raises(error)))
    if isinstance(error, asyncio.CancelledError):
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(arun(steps(log), AsyncAnswers(raises(error))))
    assert not any(isinstance(one, StoreUnavailable) for one in log)


def test_a_fault_names_verb_and_kind_alone(caplog: pytest.LogCaptureFixture) -> None:
    """The text of a failure may quote a URL with a password: it is chained, never written."""
    log: list[object] = []  # S53
    run(steps(log), Answers(raises(OSError("redis://user:password@host"))))
    assert "store.load failed (OSError)" in caplog.text
    assert "password" not in caplog.text


def test_a_fault_of_a_hook_says_so() -> None:
    """An outage of the app's own function is told from one of the store."""

    def ask(port: str) -> Asks[bool]:
        with suppress(AssertionError):
            try:
                yield Command(port, "verb")
            except StoreUnavailable as outage:
                return outage.decisive
        return False

    assert run(ask("hooks"), Answers(raises(OSError()))) is True
    assert run(ask("store"), Answers(raises(OSError()))) is False


def test_a_decision_may_ask_on_after_a_fault() -> None:
    """What follows the failed command is answered again."""

    def ask() -> Asks[list[str]]:
        heard = []
        for verb in ("load", "rotate", "load"):
            try:
                heard.append((yield Command("store", verb)))
            except StoreUnavailable:
                heard.append("outage")
        return heard

    class World:
        def answer(self, command: Command) -> Any:
            if command.verb == "rotate":
                raise OSError
            return "row"

    assert run(ask(), World()) == ["row", "outage", "row"]


def test_a_mistake_in_a_decision_is_no_outage() -> None:
    """An error of our own code comes out as it is."""

    def ask() -> Asks[None]:
        yield Command("store", "load")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(ask(), Answers(lambda: None))
    with pytest.raises(ZeroDivisionError):
        asyncio.run(arun(ask(), AsyncAnswers(lambda: None)))


# ── Given up in the midst ────────────────────────────────────────────────────────────


class GivesUp:
    """A world that is left, by an exit or a cancellation, before it has answered."""

    def answer(self, command: Command) -> Any:
        raise KeyboardInterrupt

    async def aanswer(self, command: Command) -> Any:
        raise asyncio.CancelledError


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_decision_that_is_given_up_ends_there(kind: str) -> None:
    """What it does at its end is done at once, not when its last reference happens to go."""
    ended: list[bool] = []

    def steps() -> Asks[None]:
        try:
            yield Command("store", "load")
        finally:
            ended.append(True)

    kept = steps()
    if kind == "sync":
        with pytest.raises(KeyboardInterrupt):
            run(kept, GivesUp())
    else:
        world: Any = GivesUp()
        world.answer = world.aanswer
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(arun(kept, world))
    assert ended == [True]
