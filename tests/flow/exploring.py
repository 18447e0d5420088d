"""Every interleaving of a small world, on the real flow.

The world: one session, one store, two processes with a memory each, an honest client with
a cookie jar and, if wanted, a thief with a copy of it. Time is counted in ticks, and a grace
is two of them, so that steps fall before, onto and behind each boundary. What is real: the
flow, its table, its handle, both loops' commands, the memory store. What is cheap: tokens are
plain text (nobody forges here), and a Set-Cookie field is a name and a value.

A state is a value: the row, the memories, the jars, the requests under way. So each step is
taken from each state once, however it was reached; nothing is replayed. The laws hold at
every step, or `Broken` shows the steps that led there.
"""

from __future__ import annotations

import copy
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, NamedTuple

from jwt_middleware.claims import Claims
from jwt_middleware.csrf import CsrfPolicy
from jwt_middleware.denials import Denials
from jwt_middleware.driver import Command, run
from jwt_middleware.errors import InvalidToken
from jwt_middleware.flow import Flow
from jwt_middleware.handle import Parts, RequestAuth
from jwt_middleware.memory import ProcessMemory
from jwt_middleware.request import Request
from jwt_middleware.rotation import Verdict
from jwt_middleware.sessions import Session
from jwt_middleware.settings import Settings
from jwt_middleware.stores.memory import MemorySessionStore
from jwt_middleware.tokens import AccessToken, RefreshToken, Tokens
from jwt_middleware.transport import Additions, Transport

GRACE = 2
"""Ticks of ``rotation_grace``: its half is a tick, its end is two, three lie behind it."""

ACCESS_LIFE = 8
"""Ticks an access token lives: more than three graces, as the settings ask for."""

SESSION = "session"
CLIENT, THIEF = 0, 1


class Broken(AssertionError):
    """A law does not hold; shows the shortest way there that was found."""


# ── Cheap parts ──────────────────────────────────────────────────────────────────────


class PlainTokens(Tokens):
    """Tokens that say in plain text what they are; two with the same content are one."""

    def sign_access(self, members: Any) -> str:
        return "a-{rgen}-{iat}-{exp}-{rexp}".format(**members)

    def refresh(self, session: Session) -> str:
        return f"r-{session.generation}-{session.rotated_at}-{session.expires_at}"

    def read_access(self, token: str, *, now: float, may_wait: bool = False) -> AccessToken:
        known = self.verified.get(token)
        if known is not None:
            return known
        kind, rgen, iat, exp, rexp = token.split("-")
        if kind != "a":
            raise InvalidToken("no access token")
        members = {"rgen": int(rgen), "iat": int(iat), "exp": int(exp), "rexp": int(rexp)}
        claims = Claims({"sub": "alice", "sid": SESSION, **members})
        keys = self.own_keys
        access = AccessToken(claims, "alice", self._settings, keys=keys, version=keys.version)
        if not access.expired(now):
            self.verified.put(token, access)
        return access

    def read_refresh(self, token: str) -> RefreshToken:
        generation = generation_of(token)
        issued_at, expires_at = (float(part) for part in token.split("-")[2:])
        return RefreshToken(SESSION, "alice", generation, issued_at, expires_at, token, "key")

    def matches(self, refresh: RefreshToken, session: Session) -> bool:
        return refresh.session_id == session.id


class PlainTransport(Transport):
    """The real one, but for the attributes of a cookie."""

    def _token_cookie(self, name: str, token: str, max_age: float | None) -> tuple[str, str]:
        return ("Set-Cookie", f"{name}={token}")


def generation_of(token: str) -> int:
    """Of a refresh token its own generation, of an access token its ``rgen``."""
    return int(token.split("-")[1])


def expiry_of(access: str) -> int:
    return int(access.split("-")[3])


# ── The world as a value ─────────────────────────────────────────────────────────────


class Jar(NamedTuple):
    """The two cookies somebody holds."""

    access: str | None
    refresh: str


class Answer(NamedTuple):
    """What a response carries of ours."""

    access: str | None
    refresh: str | None


class Memory(NamedTuple):
    """What one process remembers."""

    opened: bool = False
    minted: dict[Any, Any] = {}  # noqa: RUF012  # never changed in place
    confirmed: dict[str, int] = {}  # noqa: RUF012
    ended: dict[str | None, None] = {}  # noqa: RUF012
    standing: dict[str, Any] = {}  # noqa: RUF012
    verified: dict[str, tuple[AccessToken, bool]] = {}  # noqa: RUF012
    """Each with its mark ``settled``, which is the one thing that changes in it."""


class Flight(NamedTuple):
    """A request under way."""

    owner: int
    stage: str
    """``sent``, ``arrived`` or ``answered``."""
    since: float
    jar: Jar
    """As it was when the request was sent."""
    body: bool = False
    process: int = 0
    auth: RequestAuth | None = None
    answer: Answer = Answer(None, None)


class Budget(NamedTuple):
    """What may still happen; more of everything reaches all that less reaches."""

    requests: int
    ticks: int
    jumps: int
    thefts: int

    def covers(self, other: Budget) -> bool:
        return all(mine >= theirs for mine, theirs in zip(self, other, strict=True))


class State(NamedTuple):
    """The whole world at one moment."""

    now: float
    row: Session
    memories: tuple[Memory, ...]
    jars: tuple[Jar | None, ...]
    flights: tuple[Flight, ...]
    left: Budget
    held: int
    """The newest generation anybody has received."""
    reuses: int
    """``reuse`` events so far."""
    step: str = ""
    before: State | None = None


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How large the world is."""

    requests: int
    """The honest client makes, in all."""
    in_flight: int = 3
    ticks: int = 3
    jumps: int = 1
    """Long steps of time."""
    jump: int = ACCESS_LIFE
    transit: int = GRACE
    """Ticks a request or a response may be on its way at most."""
    lossless: bool = False
    """Every answer arrives."""
    in_order: bool = False
    """No answer overtakes another on its way."""
    late_arrival: bool = False
    """Requests may be on their way for a while, too; else they arrive at once."""
    bodies: bool = False
    """Requests may be uploads, which may be on their way for ever."""
    forgetful: bool = False
    """The client may have lost its access token: cookies are evicted, apps restart."""
    crashes: bool = False
    """An app may fail before its response starts."""
    restarts: bool = False
    """Processes may forget all they know."""
    logout: bool = False
    """The session may be ended from elsewhere, by a process that is not in this world."""
    thefts: int = 0
    """Requests of a thief."""
    confirmed_first: bool = False
    """The session has rotated once, and its client has shown it, before all this begins."""
    settings: dict[str, Any] = field(default_factory=dict)


class World:
    """The real flow in two processes over one store, put into any state."""

    def __init__(self, bounds: Bounds) -> None:
        self.store = MemorySessionStore()
        lifetimes: dict[str, Any] = {"refresh_token_expires": 1000, "session_lifetime": 5000}
        lifetimes.update(bounds.settings)
        self.settings = Settings(
            secret_key="a secret of the tests, 32 bytes and more",
            session_store=self.store,
            rotation_grace=GRACE,
            access_token_expires=ACCESS_LIFE,
            **lifetimes,
        )
        self.flows = [Flow(self._parts()) for _ in range(3)]
        """Two processes, and one that has just started, to compare with."""
        self.events: list[str] = []
        self._memory = self.flows[0].parts.memory

    def _parts(self) -> Parts:
        settings = self.settings
        memory = ProcessMemory(settings.token_cache_size)
        memory.purge_again_at = float("inf")
        transport = PlainTransport(settings)
        tokens, csrf = PlainTokens(settings), CsrfPolicy(settings)
        return Parts(
            settings,
            tokens,
            transport,
            csrf,
            Denials(settings, csrf, tokens.own_keys),
            memory,
            False,
            lambda name, *_: self.events.append(name),
        )

    def answer(self, command: Command) -> Any:
        if command.port == "hooks":
            self.events.append(command.arguments[0].name)
            return None
        self._memory.store_opened = True
        return getattr(self.store, command.verb)(*command.arguments, **command.options)

    # ── In and out of a state ────────────────────────────────────────────────────

    def enter(self, state: State) -> None:
        """Make the world as it stands there."""
        self.store._sessions = {SESSION: state.row}
        for flow, memory in zip(self.flows, (*state.memories, Memory()), strict=True):
            known = flow.parts.memory
            known.store_opened = memory.opened
            known.minted._young = dict(memory.minted)
            known.standing._young = dict(memory.standing)
            known.siblings._young = {
                one.reissue.presented.access: one
                for one in memory.minted.values()
                if one.reissue.expired is not None
            }
            known.confirmed._young = dict(memory.confirmed)
            known.ended = dict(memory.ended)
            verified: dict[str, AccessToken] = {}
            for token, (access, settled) in memory.verified.items():
                access.settled = settled
                verified[token] = access
            flow.parts.tokens.verified._young = verified
        self.events = []

    def leave(self, state: State, process: int, **changes: Any) -> State:
        """The state after a step in this process."""
        flow = self.flows[process]
        known = flow.parts.memory
        verified = flow.parts.tokens.verified._young
        memory = Memory(
            known.store_opened,
            dict(known.minted._young),
            dict(known.confirmed._young),
            dict(known.ended),
            dict(known.standing._young),
            {token: (access, access.settled) for token, access in verified.items()},
        )
        memories = tuple(
            memory if index == process else other for index, other in enumerate(state.memories)
        )
        return state._replace(
            row=self.row,
            memories=memories,
            reuses=state.reuses + self.events.count("reuse"),
            **changes,
        )

    @property
    def row(self) -> Session:
        return self.store._sessions[SESSION]

    # ── The two phases ───────────────────────────────────────────────────────────

    def arrive(self, jar: Jar, process: int, now: float, *, body: bool = False) -> RequestAuth:
        flow = self.flows[process]
        self._memory = flow.parts.memory
        names = (self.settings.access_cookie, self.settings.refresh_cookie)
        cookies = [
            f"{name}={value}" for name, value in zip(names, jar, strict=True) if value is not None
        ]
        request = Request(
            "POST" if body else "GET",
            "/",
            raw_path=None,
            authorization=None,
            refresh=None,
            cookie="; ".join(cookies),
            header=_no_header,
        )
        glanced = flow.glance(request, now)
        if glanced is None:
            return run(flow.arrive(request, now), self).auth
        if glanced.reissue is not None:
            looked_at = run(flow.arrive(request, now), self).auth
            assert seen_of(glanced) == seen_of(looked_at), "a glance is no other verdict"
        return glanced

    def respond(self, auth: RequestAuth, process: int, now: float) -> Additions:
        flow = self.flows[process]
        self._memory = flow.parts.memory
        auth = copy.copy(auth)  # the same request may be answered from other states, too
        additions = run(flow.respond(auth, 200, [], now), self)
        assert isinstance(additions, Additions)
        run(flow.settle(auth, now), self)
        return additions

    def read(self, additions: Additions) -> Answer:
        """The tokens on a response."""
        found: dict[str, str | None] = {}
        for _, cookie in additions.fields:
            name, _, value = cookie.partition("=")
            found[name] = value
        assert "" not in found.values(), "nothing but a logout clears cookies"
        return Answer(
            found.get(self.settings.access_cookie), found.get(self.settings.refresh_cookie)
        )


def seen_of(auth: RequestAuth) -> dict[str, Any]:
    """All that a handle knows."""
    return {name: getattr(auth, name) for name in RequestAuth.__slots__}


def _no_header(name: str) -> None:
    return None


def keep(jar: Jar, answer: Answer) -> Jar:
    """The jar once the answer has arrived."""
    return Jar(answer.access or jar.access, answer.refresh or jar.refresh)


# ── The exploration ──────────────────────────────────────────────────────────────────


class Exploration:
    """All schedules of a world of these bounds."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.world = World(bounds)
        self.states = 0
        self.seen: Counter[str] = Counter()
        """How often what happened: verdicts at arrival, events, reasons."""
        self._visited: dict[int, list[Budget]] = {}

    def run(self) -> Exploration:
        """Visit every state once, deepest first; raises `Broken`."""
        try:
            self._visit(shortest=False)
        except Broken:
            Exploration(self.bounds)._visit(shortest=True)
            raise
        return self

    def _visit(self, *, shortest: bool) -> None:
        waiting = deque([self._root()])
        take = waiting.popleft if shortest else waiting.pop
        while waiting:
            state = take()
            if self._known(state):
                continue
            self.states += 1
            here = state
            try:
                ends = True
                for here in self._successors(state):
                    self._check(state, here)
                    waiting.append(here)
                    ends = False
                if ends:
                    here = state
                    self._farewell(state)
            except Broken:
                raise
            except AssertionError as failure:
                raise Broken(f"{failure}\n{_story(here)}") from failure

    # ── States ───────────────────────────────────────────────────────────────────

    def _root(self) -> State:
        """A session whose access token has just expired."""
        world, start = self.world, 1000.0
        session = replace(
            world.flows[0].parts.tokens.new_session("alice", {}, persistent=True, now=start),
            id=SESSION,
        )
        tokens = world.flows[0].parts.tokens
        jar = Jar(tokens.access(session, generation=0, now=start), tokens.refresh(session))
        tokens.verified._young = {}
        bounds = self.bounds
        left = Budget(bounds.requests, bounds.ticks, bounds.jumps, bounds.thefts)
        state = State(
            start + ACCESS_LIFE, session, (Memory(), Memory()), (jar, None), (), left, 0, 0
        )
        if bounds.confirmed_first:
            for _ in range(2):
                state = self._whole_request(state, CLIENT, 0)
            state = state._replace(now=state.now + ACCESS_LIFE)
        return state

    def _known(self, state: State) -> bool:
        """Whether all that can follow has been visited; takes note of the state."""
        budgets = self._visited.setdefault(_fingerprint(state), [])
        if any(known.covers(state.left) for known in budgets):
            return True
        budgets[:] = [known for known in budgets if not state.left.covers(known)]
        budgets.append(state.left)
        return False

    def _successors(self, state: State) -> Iterator[State]:
        """All that can happen next."""
        yield from self._passing_time(state)
        yield from self._departures(state)
        first = next((flight for flight in state.flights if flight.stage == "answered"), None)
        for index, flight in enumerate(state.flights):
            others = state.flights[:index] + state.flights[index + 1 :]
            if flight.stage == "sent":
                for process in range(2):
                    yield self._arrive(state, flight, others, process)
            elif flight.stage == "arrived":
                yield self._respond(state, flight, others)
                if self.bounds.crashes and flight.owner == CLIENT:
                    yield self._next(state, "the app fails before it responds", flights=others)
            else:
                if flight is first or not self.bounds.in_order:
                    yield self._deliver(state, flight, others)
                if not self.bounds.lossless:
                    yield self._next(state, f"{_name(flight)}'s answer is lost", flights=others)
        if self.bounds.logout and not state.row.revoked:
            self.world.enter(state)
            self.world.store.revoke(SESSION, reason="logout", now=state.now)
            yield self._next(state, "a logout elsewhere", row=self.world.row)
        if self.bounds.restarts:
            for process, memory in enumerate(state.memories):
                if memory != Memory():
                    memories = list(state.memories)
                    memories[process] = Memory()
                    yield self._next(state, f"process {process} restarts", memories=tuple(memories))

    @staticmethod
    def _next(state: State, step: str, *, before: State | None = None, **changes: Any) -> State:
        return state._replace(step=step, before=before or state, **changes)

    def _passing_time(self, state: State) -> Iterator[State]:
        left = state.left
        oldest = min(
            (
                flight.since
                for flight in state.flights
                if flight.stage == "answered" or (flight.stage == "sent" and not flight.body)
            ),
            default=float("inf"),
        )
        for ticks, after in (
            (1, left._replace(ticks=left.ticks - 1)),
            (self.bounds.jump, left._replace(jumps=left.jumps - 1)),
        ):
            then = state.now + ticks
            if min(after) >= 0 and then <= oldest + self.bounds.transit:
                yield self._next(state, f"{ticks} ticks pass", now=then, left=after)

    def _departures(self, state: State) -> Iterator[State]:
        left, (jar, loot) = state.left, state.jars
        assert jar is not None
        flying = sum(flight.owner == CLIENT for flight in state.flights)
        if left.requests and flying < self.bounds.in_flight:
            after = left._replace(requests=left.requests - 1)
            uses = _uses(jar, state.now) if self.bounds.forgetful else (jar,)
            bodies = (False, True) if self.bounds.bodies else (False,)
            for one, body in product(uses, bodies):
                flight = Flight(CLIENT, "sent", state.now, one, body)
                if body or self.bounds.late_arrival:
                    kind = "an upload" if body else "a request"
                    yield self._next(
                        state,
                        f"the client sends {kind} with {one}",
                        flights=(*state.flights, flight),
                        left=after,
                    )
                else:
                    for process in range(2):
                        sent = state._replace(left=after)
                        yield self._arrive(sent, flight, state.flights, process)
        if self.bounds.thefts and loot is None:
            yield self._next(state, "a thief copies the jar", jars=(jar, jar))
        thief_flies = any(flight.owner == THIEF for flight in state.flights)
        if left.thefts and loot is not None and not thief_flies:
            after = left._replace(thefts=left.thefts - 1)
            sent = state._replace(left=after)
            for one in _uses(loot, state.now):
                for process in range(2):
                    flight = Flight(THIEF, "sent", state.now, one)
                    yield self._arrive(sent, flight, state.flights, process)

    def _arrive(
        self, state: State, flight: Flight, others: tuple[Flight, ...], process: int
    ) -> State:
        world = self.world
        world.enter(state)
        auth = world.arrive(flight.jar, process, state.now, body=flight.body)
        arrived = flight._replace(stage="arrived", process=process, auth=auth, since=0.0)
        verdict = "with its access token" if auth.reissue is None else auth.reissue.row.name
        if auth.reissue is not None and auth.reissue.renewal:
            verdict += ", renewed"
        if auth.reason is not None:
            verdict = f"anonymous: {auth.reason}"
        after = world.leave(
            state,
            process,
            flights=(*others, arrived),
            step=f"{_name(flight)} arrives at process {process} with {flight.jar}: {verdict}",
            before=state,
        )
        self.seen[f"{_name(flight)} {verdict}"] += 1
        try:
            self._check_arrival(state, after, flight, auth)
        except AssertionError as failure:
            raise Broken(f"{failure}\n{_story(after)}") from failure
        return after

    def _respond(self, state: State, flight: Flight, others: tuple[Flight, ...]) -> State:
        world, auth = self.world, flight.auth
        assert auth is not None
        world.enter(state)
        additions = world.respond(auth, flight.process, state.now)
        answer = world.read(additions)
        answered = flight._replace(stage="answered", since=state.now, auth=None, answer=answer)
        # A thief keeps what he gets; an answer without tokens changes nothing wherever it goes.
        flies = answer != Answer(None, None) and flight.owner == CLIENT
        after = world.leave(
            state,
            flight.process,
            flights=(*others, answered) if flies else others,
            step=f"{_name(flight)} is answered with {answer}",
            before=state,
        )
        self.seen.update(world.events)
        if flight.owner == THIEF:
            after = self._hold(after, THIEF, answer)
        try:
            self._check_answer(state, after, flight, additions, answer)
        except AssertionError as failure:
            raise Broken(f"{failure}\n{_story(after)}") from failure
        return after

    def _deliver(self, state: State, flight: Flight, others: tuple[Flight, ...]) -> State:
        after = self._hold(state, flight.owner, flight.answer)
        step = f"{_name(flight)} receives {flight.answer}"
        return self._next(after, step, before=state, flights=others)

    @staticmethod
    def _hold(state: State, owner: int, answer: Answer) -> State:
        jars = list(state.jars)
        jar = jars[owner]
        assert jar is not None
        jars[owner] = keep(jar, answer)
        newest = max(generation_of(token) for token in (*answer, jar.refresh) if token is not None)
        return state._replace(jars=tuple(jars), held=max(state.held, newest))

    def _whole_request(self, state: State, owner: int, process: int) -> State:
        """From sending to receiving, with nothing in between."""
        jar = state.jars[owner]
        assert jar is not None
        state = self._arrive(state, Flight(owner, "sent", state.now, jar), (), process)
        state = self._respond(state, state.flights[0], ())
        return self._deliver(state, state.flights[0], ()) if state.flights else state

    # ── The laws ─────────────────────────────────────────────────────────────────

    def _check(self, before: State, after: State) -> None:
        """What holds between any two states."""
        old, new = before.row, after.row
        assert new.generation - old.generation in (0, 1), "one generation at a time"
        if new.generation == old.generation:
            assert new.rotated_at == old.rotated_at, "a generation is made once (S42)"
            if old.confirmed_generation == new.confirmed_generation:
                assert new.confirmed_at == old.confirmed_at, "no window slides (S42)"
        assert new.confirmed_generation >= old.confirmed_generation
        assert new.confirmed_generation <= after.held, "confirmed, but nobody received it"
        assert new.confirmed_generation >= new.generation - 1, "a swap proves what it starts from"
        assert new.absolute_expires_at == old.absolute_expires_at, "never extended (S43)"
        assert after.reuses == (new.revoked_reason == "reuse"), "one event a reuse (S42)"
        if self._honest(after):
            assert new.revoked_reason in (None, "logout"), "an honest session has ended (S41)"
        assert new.revoked_at == old.revoked_at or not old.revoked, "it ends once"

    def _honest(self, state: State) -> bool:
        """No thief has done anything yet."""
        return state.left.thefts == self.bounds.thefts

    def _check_arrival(
        self, before: State, after: State, flight: Flight, auth: RequestAuth
    ) -> None:
        """What a request is told it is."""
        claims = auth.claims
        if claims is not None:
            shown = claims["rgen"]
            if auth.reissue is not None:
                assert shown == generation_of(flight.jar.refresh), "shown is what is proven"
                self._check_kindness(before, flight, auth)
            else:
                assert flight.jar.access is not None
                assert shown == generation_of(flight.jar.access)
                assert before.now < expiry_of(flight.jar.access), "an expired token signs nobody in"
        elif self._honest(after):
            assert flight.owner == CLIENT
            assert self._excused(before, flight), f"an honest client is {auth.reason} (S41)"

    def _check_kindness(self, state: State, flight: Flight, auth: RequestAuth) -> None:
        """How far behind a refresh token may be that still signs somebody in (S42)."""
        minted = [one for memory in state.memories for one in memory.minted.values()]
        if any(one.reissue is auth.reissue for one in minted):
            return  # this process has only just made its answer
        row = state.row
        behind = row.generation - generation_of(flight.jar.refresh)
        settled = row.confirmed_generation == row.generation
        calm_since = state.now - max(row.rotated_at, row.confirmed_at)
        assert not row.revoked, "signed in to a session that has ended"
        assert behind <= 2, "signed in by a token of long ago"
        if behind == 2:
            assert state.now - row.rotated_at <= GRACE, "signed in by a token of long ago"
        if behind == 1 and settled:
            assert calm_since <= GRACE, "signed in by what was spent"

    def _excused(self, state: State, flight: Flight) -> bool:
        """The documented reasons for which honest tokens may not count, said once more."""
        row, window = state.row, self.world.settings.lost_response_window
        behind = row.generation - generation_of(flight.jar.refresh)
        age = state.now - row.rotated_at
        if row.revoked_reason == "logout":
            return True
        if state.now >= float(flight.jar.refresh.split("-")[3]):
            return True  # idle for too long
        if flight.body and behind >= 1 and age <= 3600:
            return True  # a late upload
        unclaimed = behind == 1 and row.confirmed_generation < row.generation
        return unclaimed and window is not None and age > window

    def _check_answer(
        self, before: State, after: State, flight: Flight, additions: Additions, answer: Answer
    ) -> None:
        """What a response may carry."""
        if answer == Answer(None, None):
            return
        access, refresh = answer
        assert access is not None, "new tokens always bring an access token"
        assert flight.auth is not None
        assert flight.auth.reissue is not None
        if flight.auth.reissue.row.verdict is Verdict.KEEP:
            assert refresh is None, "a fresh token is kept, so only an access token goes out"
        presented = generation_of(flight.jar.refresh)
        holds = presented if refresh is None else generation_of(refresh)
        assert generation_of(access) == holds, "rgen is what the client holds now"
        assert holds - presented in (0, 1), "nobody is handed two generations on"
        if self._remembered(before, flight, additions):
            self.seen["answered from memory"] += 1
            self.seen["answered from memory, ended elsewhere"] += before.row.revoked
            return
        # S44: no token leaves without a look at the row, and only that of the row.
        assert not before.row.revoked, "tokens of a session that has ended (S42, S44)"
        if refresh is not None:
            tokens = self.world.flows[0].parts.tokens
            assert refresh == tokens.refresh(after.row), "not the successor of the row (S42)"
        if after.row.generation > before.row.generation:
            self.seen["rotated"] += 1
            return  # by the verdict at arrival; what it gets, nobody had before
        if flight.auth.reissue.renewal:
            return  # due to both tokens together, as they were at arrival
        if flight.owner == THIEF or not self.bounds.thefts:
            now_due = self._due_now(before, flight.jar.refresh)
            assert refresh in (None, now_due.refresh), "a refresh token no longer due (S44)"
            assert now_due.access is not None, "an access token no longer due (S44)"

    def _remembered(self, state: State, flight: Flight, additions: Additions) -> bool:
        """The one exception: the very answer this process made, within its grace."""
        memory = state.memories[flight.process]
        minted = memory.minted.get(("cookies", *flight.jar))
        for one in memory.minted.values():
            minted = one if one.answer.additions is additions else minted
        if minted is None or minted.answer.additions is not additions:
            return False
        access = self.world.read(additions).access
        assert access is not None
        made_at = expiry_of(access) - ACCESS_LIFE
        assert state.now < made_at + GRACE, "remembered for too long"
        assert not memory.ended, "a local end drops what was minted"
        return True

    def _due_now(self, state: State, refresh: str) -> Answer:
        """What the same refresh token gets, asked afresh at a process that knows nothing."""
        world = self.world
        world.enter(state)
        auth = world.arrive(Jar(None, refresh), 2, state.now)
        return world.read(world.respond(auth, 2, state.now))

    # ── The end of a schedule ────────────────────────────────────────────────────

    def _farewell(self, state: State) -> None:
        """Everything has arrived or is lost; now everybody just goes on."""
        assert state.flights == ()
        if state.row.revoked_reason == "logout":
            self._stays_out(state)
        elif not self.bounds.thefts:
            self._goes_on(state)
        elif state.jars[THIEF] is not None:
            self._is_noticed(state)

    def _goes_on(self, state: State) -> None:
        """The client asks again, later, twice, at the other process (S41, S54)."""
        if state.now + 2 * ACCESS_LIFE >= state.row.expires_at:
            return  # that would be idle for too long
        for process in range(2):
            state = self._next(state, "in the end", now=state.now + ACCESS_LIFE)
            state = self._whole_request(state, CLIENT, process)
        self.seen["goes on"] += 1

    def _stays_out(self, state: State) -> None:
        """When the last access token has expired, a logout counts everywhere (S46)."""
        state = self._next(state, "in the end", now=state.now + ACCESS_LIFE)
        for process in range(2):
            after = self._whole_request(state, CLIENT, process)
            assert after.jars == state.jars, "tokens after a logout"
        self.seen["stays out"] += 1

    def _is_noticed(self, state: State) -> None:
        """Thief and victim both go on, each showing what it got: the session ends (S42)."""
        for _ in range(3):
            for owner in (CLIENT, THIEF):
                state = self._next(state, "in the end", now=state.now + ACCESS_LIFE)
                for _ in range(2):
                    after = self._whole_request(state, owner, owner)
                    self._check(state, after)
                    state = after
        assert state.row.revoked_reason == "reuse", f"a theft goes unnoticed\n{_story(state)}"
        for owner in (CLIENT, THIEF):
            jar = state.jars[owner]
            assert jar is not None
            assert self._due_now(state, jar.refresh) == Answer(None, None)
        self.seen["noticed"] += 1


def _uses(jar: Jar, now: float) -> Iterator[Jar]:
    """With the access token or without; an expired one is as good as none."""
    yield Jar(None, jar.refresh)
    if jar.access is not None and now < expiry_of(jar.access):
        yield jar


def _name(flight: Flight) -> str:
    return ("client", "thief")[flight.owner]


def _story(state: State) -> str:
    """The steps that led to a state."""
    steps: list[str] = []
    at: State | None = state
    while at is not None:
        row = at.row
        stands = f"row {row.generation}, confirmed {row.confirmed_generation}"
        steps.append(f"  t={at.now:g} {at.step or '...'} [{stands}]")
        at = at.before
    return "\n".join(reversed(steps))


# ── Which states are the same ────────────────────────────────────────────────────────


def _fingerprint(state: State) -> int:
    """Equal for states from which the same can follow.

    The two processes may change places, and so may requests of one kind. Forgotten is what
    nobody can ask for any more.
    """
    jars = {jar for jar in state.jars if jar is not None}
    jars.update(flight.jar for flight in state.flights if flight.stage != "answered")
    answers = {flight.answer.access for flight in state.flights}
    tokens = {jar.access for jar in jars} | answers
    memories = [_memory_key(memory, state.now, tokens) for memory in state.memories]
    swapped = memories[0] > memories[1]
    flights = sorted(
        hash(
            (
                # Answers keep their order, which may matter to how they arrive.
                index if flight.stage == "answered" else None,
                flight.owner,
                flight.stage,
                state.now - flight.since if flight.stage != "arrived" else 0,
                flight.jar if flight.stage != "answered" else None,
                flight.body,
                flight.process ^ swapped if flight.stage == "arrived" else None,
                _auth_key(flight.auth, state.memories[flight.process]),
                flight.answer,
            )
        )
        for index, flight in enumerate(_answers_last(state.flights))
    )
    return hash(
        (
            state.now,
            _row_key(state.row),
            tuple(sorted(memories)),
            state.jars,
            tuple(flights),
            state.held,
        )
    )


def _answers_last(flights: tuple[Flight, ...]) -> list[Flight]:
    return sorted(flights, key=lambda flight: flight.stage == "answered")


def _row_key(row: Session) -> tuple[Any, ...]:
    return (
        row.generation,
        row.rotated_at,
        row.expires_at,
        row.confirmed_generation,
        row.confirmed_at,
        row.revoked_at,
    )


def _memory_key(memory: Memory, now: float, tokens: set[str | None]) -> int:
    minted = frozenset(
        (presented, minted.answer.until, tuple(minted.answer.additions.fields))
        for presented, minted in memory.minted.items()
        if minted.answer.until >= now
    )
    standing = memory.standing.get(SESSION)
    verified = frozenset(
        (token, settled)
        for token, (_, settled) in memory.verified.items()
        if token in tokens and expiry_of(token) > now
    )
    return hash(
        (
            memory.opened,
            minted,
            None if standing is None else (standing.until, tuple(standing.additions.fields)),
            memory.confirmed.get(SESSION),
            SESSION in memory.ended,
            verified,
        )
    )


def _auth_key(auth: RequestAuth | None, memory: Memory) -> tuple[Any, ...] | None:
    """What an answer depends on, beyond the tokens that were presented."""
    if auth is None:
        return None
    reissue = auth.reissue
    if reissue is None:
        return (auth.unconfirmed,)
    known = any(minted.reissue is reissue for minted in memory.minted.values())
    row = (reissue.row.name, reissue.renewal, _row_key(reissue.session))
    return (auth.unconfirmed, row, known)
