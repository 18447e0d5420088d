"""A session's whole life, as Hypothesis makes it up.

Where `test_exploration` walks every path of a small world, this draws long paths through a
large one: real tokens, logins and logouts, two processes, a store that fails before or after
it has done its work, responses of every kind, and a thief.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from stepping import START, Browser, House, token_claims

from jwt_middleware.handle import RequestAuth
from jwt_middleware.refusals import Refusal
from jwt_middleware.sessions import Session
from jwt_middleware.stores.memory import MemorySessionStore
from jwt_middleware.transport import Additions

EXPIRED = 15 * 60.0
GRACE = 120.0
DAY = 86_400.0

SEEN: Counter[str] = Counter()
"""What has happened in all examples together: a machine that does nothing proves nothing."""


class Down(Exception):
    """The store does not answer."""


class FlakyStore(MemorySessionStore):
    """Fails for a while, or at one call: before its work, or after it."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.fails_in: int | None = None
        """Calls until the one that fails."""
        self.fails_after_work = False
        self.failures = 0
        self.blurred = False
        """Something was done, and whoever asked for it does not know."""

    def call(self, verb: str, *args: Any, **options: Any) -> Any:
        fails = self.down or self.fails_in == 0
        if self.fails_in is not None:
            self.fails_in = self.fails_in - 1 if self.fails_in else None
        if fails:
            self.failures += 1
            if self.fails_after_work and not self.down:
                getattr(MemorySessionStore, verb)(self, *args, **options)
                self.blurred = True
            raise Down
        return getattr(MemorySessionStore, verb)(self, *args, **options)

    def row(self, session_id: str) -> Session | None:
        """A look that never fails."""
        return self._sessions.get(session_id)


def _flaky(verb: str) -> Any:
    return lambda self, *args, **options: self.call(verb, *args, **options)


for _verb in MemorySessionStore.inline - {"close"}:
    setattr(FlakyStore, _verb, _flaky(_verb))


@dataclass
class Flight:
    """A request that has arrived and is not answered yet."""

    browser: Browser
    house: House
    auth: RequestAuth
    method: str
    refresh: str | None
    abandoned: bool = False
    """Its client has signed in or out since, and does not look at the answer."""


@dataclass
class Transit:
    """An answer on its way."""

    outcome: Additions | Refusal
    sent_at: float


processes = st.integers(0, 1)
statuses = st.sampled_from((200, 200, 200, 304, 404, 500))


class SessionMachine(RuleBasedStateMachine):
    """One honest person with a browser; sometimes a thief; a store that fails at times."""

    def __init__(self) -> None:
        super().__init__()
        self.store = FlakyStore()
        self.house = House(session_store=self.store)
        self.houses = [self.house, self.house.other_process()]
        self.browser = Browser(self.house)
        self.thief: Browser | None = None
        self.session: str | None = None
        """The session the honest client is to be signed in to."""
        self.ended: dict[str, str] = {}
        """Sessions that ended for a cause this machine knows."""
        self.touched: set[str] = set()
        """Sessions in which a thief has acted."""
        self.bursts = 0
        """Since the last login or logout; few of either keep a session long enough to matter."""
        self.flights: list[Flight] = []
        self.transits: list[Transit] = []
        self.successors: dict[tuple[str, int], str] = {}
        """The jti of each refresh token that was ever sent."""

    # ── Small things ─────────────────────────────────────────────────────────────

    def expects_sign_in(self, browser: Browser) -> bool:
        """Whether nothing can excuse that this client is anonymous."""
        if self.session is None or browser.refresh is None:
            return False
        row = self.store.row(self.session)
        claims = token_claims(browser.refresh)
        return (
            row is not None
            and self.session not in self.ended
            and self.session not in self.touched
            and claims["sid"] == self.session
            and self.house.now < claims["exp"]
            and self.house.now < row.absolute_expires_at
        )

    def arrive(self, browser: Browser, process: int, method: str = "GET") -> Flight:
        """Phase A, and what must hold of it."""
        house, failures = self.houses[process], self.store.failures
        auth = browser.arrive(browser.request(method), house=house).auth
        flight = Flight(browser, house, auth, method, browser.refresh)
        if auth.claims is not None and auth.reissue is not None:
            assert auth.claims["rgen"] == token_claims(browser.refresh)["gen"]
        if browser is self.thief:
            SEEN[f"thief {auth.reason}"] += 1
            if self.session is not None:
                self.touched.add(self.session)
        elif self.store.failures > failures:
            SEEN["arrived in an outage"] += 1
            assert auth.reason in (None, "store_unavailable")
        elif self.expects_sign_in(browser):
            assert auth.is_authenticated, auth.reason
        if auth.reason == "reuse" and self.session is not None:
            self.ended[self.session] = "reuse"
        return flight

    def respond(self, flight: Flight, status: int = 200) -> Additions | Refusal:
        """Phase B, and what must hold of it."""
        memory = flight.house.auth._memory
        remembered = [
            one.answer.additions for part in (memory.minted._young, memory.minted._old)
            for one in part.values()
        ]  # fmt: skip
        outcome = flight.browser.respond(flight.auth, status, house=flight.house)
        tokens = self.tokens_of(outcome)
        if flight.method == "HEAD" or status == 304:
            assert tokens == {}
        if tokens:
            self.check_tokens(tokens, any(outcome is one for one in remembered))
        return outcome

    def tokens_of(self, outcome: Additions | Refusal) -> dict[str, str]:
        """What an answer would put into an empty jar."""
        empty = Browser(self.house)
        empty.receive(outcome)
        return empty.jar

    def check_tokens(self, tokens: dict[str, str], remembered: bool) -> None:
        """One successor a generation, and none of a session that has ended (S42, S44)."""
        settings = self.house.auth.settings
        access = token_claims(tokens[settings.access_cookie])
        row = self.store.row(access["sid"])
        assert row is not None
        if remembered:
            SEEN["answered from memory"] += 1
            assert self.house.now < access["iat"] + GRACE + 1
        else:
            assert not row.revoked, row.revoked_reason
            assert access["sid"] not in self.ended
        if settings.refresh_cookie in tokens:
            refresh = token_claims(tokens[settings.refresh_cookie])
            assert access["rgen"] == refresh["gen"]
            assert remembered or refresh["gen"] == row.generation
            name = (refresh["sid"], refresh["gen"])
            assert self.successors.setdefault(name, refresh["jti"]) == refresh["jti"]

    def lose_the_late(self) -> None:
        """An answer that is not there after a grace never comes."""
        now = self.house.now
        self.transits = [one for one in self.transits if one.sent_at + GRACE >= now]

    def abandon(self) -> None:
        """The page is left: whatever is under way comes back to nobody."""
        self.transits.clear()
        for flight in self.flights:
            flight.abandoned |= flight.browser is self.browser

    def whole(self, browser: Browser, process: int) -> RequestAuth:
        flight = self.arrive(browser, process)
        browser.receive(self.respond(flight))
        return flight.auth

    # ── Signing in and out ───────────────────────────────────────────────────────

    @initialize()
    def first_login(self) -> None:
        self.login(0, 200, True)

    @precondition(lambda self: self.bursts > 2 or self.session in self.ended)
    @rule(process=processes, status=st.sampled_from((200, 200, 302, 500)), remember=st.booleans())
    def login(self, process: int, status: int, remember: bool) -> None:
        """A new session in place of the old one; none at all if the app fails."""
        self.bursts = 0
        self.house.wait(1.0)  # a login in the very instant of a logout everywhere loses to it
        self.lose_the_late()
        failures = self.store.failures
        flight = self.arrive(self.browser, process, "POST")
        presented = flight.auth.presented_sessions
        pair = flight.auth.login("alice", remember=remember)
        self.abandon()
        outcome = self.respond(flight, status)
        if status >= 500:
            SEEN["a login that failed"] += 1
            assert self.store.row(pair.session_id) is None
            self.browser.receive(outcome)  # the old session goes on, perhaps reissued
            access = self.browser.access
            assert access is None or token_claims(access)["sid"] != pair.session_id
        elif isinstance(outcome, Refusal):
            SEEN["a login in an outage"] += 1
            assert outcome.status == 503
            assert self.store.failures > failures
            if self.store.row(pair.session_id) is not None:  # stored, but nobody knows
                self.ended.update(dict.fromkeys(presented, "replaced"))
        else:
            row = self.store.row(pair.session_id)
            assert row is not None
            assert not row.revoked
            self.ended.update(dict.fromkeys(presented, "replaced"))
            assert pair.session_id not in self.ended
            self.session = pair.session_id
            self.thief = None
            self.browser.receive(outcome)
            assert self.browser.refresh == pair.refresh_token

    @precondition(lambda self: self.bursts > 1)
    @rule(process=processes, status=statuses, everywhere=st.booleans())
    def logout(self, process: int, status: int, everywhere: bool) -> None:
        """The end of the session, whatever the status; or 503, and no end that was confirmed."""
        self.bursts = 0
        failures = self.store.failures
        flight = self.arrive(self.browser, process, "POST")
        known_as = flight.auth.subject
        if everywhere and known_as is not None:
            flight.auth.logout_everywhere()
        else:
            flight.auth.logout()
        known = flight.auth.presented_sessions
        self.abandon()
        outcome = self.respond(flight, status)
        if isinstance(outcome, Refusal):
            SEEN["a logout in an outage"] += 1
            assert outcome.status == 503
            assert self.store.failures > failures
            for row in self.store._sessions.values():
                if row.revoked and (row.id in known or everywhere):
                    self.ended.setdefault(row.id, "logout")
            return
        if everywhere and known_as is not None:
            SEEN["a logout everywhere"] += 1
            known = tuple(self.store._sessions)
        for session_id in known:
            row = self.store.row(session_id)
            assert row is None or row.revoked
            self.ended.setdefault(session_id, "logout")
            SEEN["a logout"] += 1
        self.browser.receive(outcome)

    # ── Requests ─────────────────────────────────────────────────────────────────

    @precondition(lambda self: len(self.flights) < 4)
    @rule(process=processes, method=st.sampled_from(("GET", "GET", "GET", "HEAD", "POST")))
    def request(self, process: int, method: str) -> None:
        """A request arrives."""
        self.flights.append(self.arrive(self.browser, process, method))

    @rule(at=st.lists(processes, min_size=2, max_size=4), answered=st.integers(1, 4))
    def burst(self, at: list[int], answered: int) -> None:
        """The access token has expired, and a page asks for many things at once."""
        self.house.wait(EXPIRED)
        self.lose_the_late()
        flights = [self.arrive(self.browser, process) for process in at]
        for flight in flights[:answered]:
            self.transits.append(Transit(self.respond(flight), self.house.now))
        self.flights += flights[answered:]
        self.bursts += 1

    @precondition(lambda self: self.flights)
    @rule(data=st.data(), status=statuses)
    def response(self, data: st.DataObject, status: int) -> None:
        """One of those under way is answered."""
        flight = self.flights.pop(data.draw(st.integers(0, len(self.flights) - 1)))
        outcome = self.respond(flight, status)
        if flight.browser is self.thief:
            flight.browser.receive(outcome)
        elif flight.browser is self.browser and not flight.abandoned:
            self.transits.append(Transit(outcome, self.house.now))

    @precondition(lambda self: self.flights)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """An app fails before its response starts: phase B never runs (S54)."""
        self.flights.pop(data.draw(st.integers(0, len(self.flights) - 1)))

    @precondition(lambda self: self.transits)
    @rule(data=st.data(), lost=st.booleans())
    def delivery(self, data: st.DataObject, lost: bool) -> None:
        """An answer arrives, in any order; or it does not."""
        transit = self.transits.pop(data.draw(st.integers(0, len(self.transits) - 1)))
        if not lost:
            self.browser.receive(transit.outcome)

    @precondition(lambda self: not self.flights and not self.transits)
    @rule(process=processes, with_access=st.booleans())
    def quiet_request(self, process: int, with_access: bool) -> None:
        """A request with nothing beside it, perhaps of a client that has lost its access token."""
        if not with_access:
            self.browser.jar = self.browser.without_access().jar
        self.whole(self.browser, process)

    @rule(
        seconds=st.sampled_from(
            (1.0, GRACE / 2, GRACE / 2, GRACE, GRACE + 1, EXPIRED, EXPIRED, DAY, 31 * DAY)
        )
    )
    def time(self, seconds: float) -> None:
        """Time passes."""
        self.house.wait(seconds)
        self.lose_the_late()

    # ── Faults ───────────────────────────────────────────────────────────────────

    @rule(calls=st.integers(0, 3), after_work=st.booleans())
    def fault(self, calls: int, after_work: bool) -> None:
        """One call of the store is going to fail."""
        self.store.fails_in = calls
        self.store.fails_after_work = after_work

    @rule(process=processes)
    def outage(self, process: int) -> None:
        """The store is down for a request, and comes back: the client goes on (S45)."""
        before = dict(self.browser.jar)
        expected = self.expects_sign_in(self.browser)
        self.store.down = True
        flight = self.arrive(self.browser, process)
        outcome = self.respond(flight)
        self.store.down = False
        self.house.wait(6)  # confirming pauses for five seconds
        self.lose_the_late()
        if flight.auth.reason == "store_unavailable":
            SEEN["an outage"] += 1
            assert self.tokens_of(outcome) == {}
            self.browser.receive(outcome)
            assert self.browser.jar == before
        if expected and self.expects_sign_in(self.browser) and self.store.fails_in is None:
            assert self.arrive(self.browser, process).auth.is_authenticated

    @rule(process=processes)
    def restart(self, process: int) -> None:
        """A process starts anew, and knows nothing; its requests are gone."""
        gone = self.houses[process]
        self.houses[process] = gone.other_process()
        self.flights = [flight for flight in self.flights if flight.house is not gone]

    # ── A thief ──────────────────────────────────────────────────────────────────

    @precondition(lambda self: self.thief is None and self.session is not None)
    @rule()
    def theft(self) -> None:
        """Somebody copies the jar."""
        if self.browser.refresh is not None and self.session not in self.ended:
            self.thief = self.browser.copy()

    @precondition(lambda self: self.thief is not None and len(self.flights) < 4)
    @rule(process=processes, with_access=st.booleans())
    def thief_request(self, process: int, with_access: bool) -> None:
        """The thief's request arrives; its answer may take long."""
        assert self.thief is not None
        if not with_access:
            self.thief.jar = self.thief.without_access().jar
        self.flights.append(self.arrive(self.thief, process))

    @precondition(lambda self: self.thief is not None)
    @rule(first=st.sampled_from(("thief", "victim")))
    def both_go_on(self, first: Literal["thief", "victim"]) -> None:
        """Thief and victim use what they have, outside the windows: that is noticed (S42)."""
        thief, session = self.thief, self.session
        assert thief is not None
        assert session is not None
        self.store.fails_in = None
        self.abandon()
        self.house.wait(EXPIRED + 6)
        until = self.house.now + 8 * EXPIRED
        if session in self.ended or not self.both_live(thief, session, until):
            return
        reused = self.reuses(session)
        players = [(thief, 1), (self.browser, 0)]
        if first == "victim":
            players.reverse()
        for _ in range(3):
            for browser, process in players:
                self.whole(browser, process)
                self.whole(browser, process)
                self.house.wait(EXPIRED)
        row = self.store.row(session)
        assert row is not None
        assert row.revoked_reason == "reuse"
        assert self.reuses(session) == reused + 1
        SEEN["a theft that was noticed"] += 1
        for browser, process in players:
            before = dict(browser.jar)
            assert not self.whole(browser, process).is_authenticated
            assert browser.jar == before
        self.ended[session] = "reuse"

    def both_live(self, thief: Browser, session: str, until: float) -> bool:
        for browser in (thief, self.browser):
            if browser.refresh is None:
                return False
            claims = token_claims(browser.refresh)
            if claims["sid"] != session or claims["exp"] < until:
                return False
        row = self.store.row(session)
        return row is not None and not row.revoked and until < row.absolute_expires_at

    def reuses(self, session: str) -> int:
        return sum(
            event.name == "reuse" and event.session_id == session for event in self.house.events
        )

    # ── What always holds ────────────────────────────────────────────────────────

    @invariant()
    def no_session_ends_without_a_cause(self) -> None:
        """S41: whatever is revoked was signed out, replaced or stolen."""
        for row in self.store._sessions.values():
            if row.revoked and row.id not in self.touched:
                assert row.id in self.ended, row.revoked_reason
                assert self.ended[row.id] != "reuse"

    @invariant()
    def an_end_is_final(self) -> None:
        """S46: no row that has ended comes back to life."""
        for session_id in self.ended:
            row = self.store.row(session_id)
            assert row is None or row.revoked

    @invariant()
    def a_reuse_is_told_once(self) -> None:
        """S42: one event, by the one who ended it."""
        for row in self.store._sessions.values():
            told = self.reuses(row.id)
            assert told <= (row.revoked_reason == "reuse")
            assert told == (row.revoked_reason == "reuse") or self.store.blurred

    @invariant()
    def a_row_keeps_its_limits(self) -> None:
        """S43: nothing outlives its absolute expiry, and nothing is confirmed ahead of time."""
        for row in self.store._sessions.values():
            assert row.expires_at <= row.absolute_expires_at == row.created_at + 90 * DAY
            assert row.confirmed_generation <= row.generation
            assert row.rotated_at >= START

    def teardown(self) -> None:
        """In the end, with the store back, an honest client can go on (S41, S45, S54)."""
        SEEN.update(self.house.event_names)
        self.store.down, self.store.fails_in = False, None
        self.house.wait(EXPIRED)
        for process in (0, 1):
            if self.expects_sign_in(self.browser):
                SEEN["goes on"] += 1
                assert self.whole(self.browser, process).is_authenticated
        super().teardown()


def test_a_session_through_all_that_can_happen() -> None:
    """Honest clients stay signed in, ends are final, forks do not happen, thefts are noticed."""
    # S41, S42, S43, S44, S45, S46, S54
    SEEN.clear()
    run_state_machine_as_test(
        SessionMachine,
        settings=settings(
            max_examples=300,
            stateful_step_count=40,
            report_multiple_bugs=False,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
    print(dict(SEEN))  # noqa: T201  # pytest shows it on failure and with -s
    # A login or logout in an outage is too rare here to count on: test_faults.py has each.
    assert {
        "a login that failed",
        "a logout",
        "an outage",
        "a theft that was noticed",
        "a logout everywhere",
        "replayed",
        "lost_response",
        "reuse",
        "goes on",
    } <= SEEN.keys()
