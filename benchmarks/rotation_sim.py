"""How many honest people are signed out, and how many thieves are noticed?

Whole sessions of thirty days are lived through on the real flow: four processes over one
memory store, a simulated clock, a browser with a cookie jar, and a network that is late,
loses answers and lets them overtake each other. The same lives are then lived under models
of what others do. What is a stand-in: tokens are numbers in a register instead of signed
text (nobody forges here), and a Set-Cookie field is a name and a value.

    python benchmarks/rotation_sim.py --sessions 10000 --seed 1 --json result.json

A run is determined by its seed and its number of sessions, whatever the number of workers.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from heapq import heappop, heappush
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

from jwt_middleware import JWTAuth, Settings
from jwt_middleware.claims import Claims
from jwt_middleware.driver import run
from jwt_middleware.events import Event
from jwt_middleware.flow import Flow
from jwt_middleware.handle import RequestAuth
from jwt_middleware.request import Request
from jwt_middleware.sessions import Session
from jwt_middleware.stores.memory import MemorySessionStore
from jwt_middleware.tokens import AccessToken, RefreshToken, Tokens
from jwt_middleware.transport import Additions, Channel, Transport

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0

# ── What the world is like ───────────────────────────────────────────────────────────

SESSION_LENGTH = 30 * DAY
PROCESSES = 4
BURST = (1, 10)
"""Parallel requests at a time, at least and at most: the smaller of two draws, so mostly few."""

LOST = 0.005
"""Share of responses that never arrive."""
LATE = 0.01
"""Share of requests that are held up on their way to the server."""
LATE_BY = (35.0, 90.0)
"""Seconds they are held up."""
SLOW = 0.01
"""Share of requests to a slow endpoint."""
SLOW_BY = (20.0, 90.0)
"""Seconds it takes to answer."""
POSTS = 0.1
"""Share of requests that carry a body."""

WAY_THERE, ANSWERING, WAY_BACK = 0.1, 0.15, 0.1
"""Seconds all other requests take, on average (exponential)."""
LONGEST_WAY_THERE = LATE_BY[1]

PAGES = (1, 8)
"""Of a visit, at least and at most."""
PAGE_PAUSE = (5.0, 2 * MINUTE)

OFFICE_DAY = (9 * HOUR, 17 * HOUR)
OFFICE_PAUSE = 90 * MINUTE
"""Between two visits of somebody at work, on average (exponential: often much less)."""
DAYS_APART = (12 * HOUR, 6 * DAY)
"""Between two visits of somebody who comes now and then."""
APP_PAUSE = (3 * MINUTE, 60 * MINUTE)
"""Between two updates of a dashboard or a mobile app that is always on."""
APP_UPDATES = (1, 3)
"""At a time: it is looked at, or has missed something."""
THIEF_PAUSE = 4 * HOUR
"""Between two visits of a thief, on average: on and off, like a person."""

THEFT_WATCHED = 30 * DAY
"""How long thief and victim go on after the theft, unless it is noticed."""

RIVAL_SHARE = THEFT_SHARE = 10
"""Each rival model, and the naive thief, gets a tenth of the sessions."""
ESCAPE_SHARE = 50
"""Each thief who is known to escape gets a fiftieth."""

SMALLEST_GROUP = 20
"""Sessions each of them gets in a short run."""

FULL_RUN, QUICK_RUN = 10_000, 300
"""Sessions."""


class Trip(NamedTuple):
    """What becomes of one request."""

    there: float
    """Seconds until it arrives."""
    answering: float
    """Seconds until its response starts."""
    back: float
    """Seconds until its response arrives."""
    lost: bool
    """Its response never arrives."""
    process: int
    posts: bool


class Burst(NamedTuple):
    """Parallel requests; what becomes of them is drawn when it is asked for."""

    at: float
    """Seconds since the session's first Monday, midnight."""
    seed: int

    def trips(self) -> list[Trip]:
        random = Random(self.seed)  # noqa: S311  # a simulation guards nothing
        size = min(random.randint(*BURST), random.randint(*BURST))
        return [_trip(random) for _ in range(size)]


def _trip(random: Random) -> Trip:
    late, slow = random.random() < LATE, random.random() < SLOW
    return Trip(
        there=random.uniform(*LATE_BY) if late else random.expovariate(1 / WAY_THERE),
        answering=random.uniform(*SLOW_BY) if slow else random.expovariate(1 / ANSWERING),
        back=random.expovariate(1 / WAY_BACK),
        lost=random.random() < LOST,
        process=random.randrange(PROCESSES),
        posts=random.random() < POSTS,
    )


def _good_trip(random: Random) -> Trip:
    """One that a thief with a plan would wait for."""
    return Trip(0.1, 0.1, 0.1, lost=False, process=random.randrange(PROCESSES), posts=False)


# ── How people live ──────────────────────────────────────────────────────────────────


def office_worker(random: Random) -> Iterator[Burst]:
    """At work from Monday to Friday, with a look at the app now and then."""
    for day in count():
        if day % 7 >= 5:
            continue
        opens, closes = (day * DAY + hour for hour in OFFICE_DAY)
        now = opens + random.expovariate(1 / OFFICE_PAUSE)
        while now < closes:
            now = yield from _visit(random, now)
            now += random.expovariate(1 / OFFICE_PAUSE)


def occasional_visitor(random: Random) -> Iterator[Burst]:
    """A few pages, then nothing for days."""
    now = 0.0
    while True:
        now = yield from _visit(random, now)
        now += random.uniform(*DAYS_APART)


def always_on(random: Random) -> Iterator[Burst]:
    """A dashboard on a wall, or an app in a pocket: never at rest."""
    now = 0.0
    while True:
        now = yield from _visit(random, now, pages=APP_UPDATES)
        now += random.uniform(*APP_PAUSE)


def on_and_off(random: Random) -> Iterator[Burst]:
    """A naive thief, from the theft on."""
    now = 0.0
    while True:
        now += random.expovariate(1 / THIEF_PAUSE)
        now = yield from _visit(random, now)


def _visit(
    random: Random, now: float, pages: tuple[int, int] = PAGES
) -> Generator[Burst, None, float]:
    """A few pages, seconds or minutes apart; answers when it is over."""
    for _ in range(random.randint(*pages)):
        yield Burst(now, random.getrandbits(62))
        now += random.uniform(*PAGE_PAUSE)
    return now


Life = Callable[[Random], Iterator[Burst]]

LIVES: dict[str, Life] = {
    "office worker": office_worker,
    "occasional visitor": occasional_visitor,
    "always on": always_on,
}
MIX = ("always on", "occasional visitor", *("office worker", "occasional visitor") * 24)
"""The life of session ``i`` is ``MIX[i % 50]``: who is always on costs the most by far."""


@dataclass(frozen=True, kw_only=True)
class Theft:
    """What a thief does with the jar he has copied."""

    wanders: bool = False
    """He comes when he likes; else he knows when his victim has rotated, and comes once then."""
    echo: tuple[float, float] = (0.0, 0.0)
    """Seconds after that, at least and at most."""
    hides: bool = False
    """He never shows an access token where the store is seen, only his refresh token."""
    silent_victim: bool = False
    """Neither does his victim."""


THEFTS: dict[str, Theft] = {
    "naive": Theft(wanders=True),
    "hides his access tokens": Theft(wanders=True, hides=True),
    "always within the grace": Theft(echo=(1.0, 60.0), hides=True),
    "once after each rotation": Theft(
        echo=(3 * MINUTE, 10 * MINUTE), hides=True, silent_victim=True
    ),
}

# ── What is tried: a way to handle refresh tokens ────────────────────────────────────


class Jar(NamedTuple):
    """The two cookies somebody holds, or the part of them that a response brings."""

    access: str | None = None
    refresh: str | None = None

    def with_answer(self, answer: Jar) -> Jar:
        """A cookie that comes replaces the one that is there; nothing else ever goes."""
        return Jar(answer.access or self.access, answer.refresh or self.refresh)


@dataclass(slots=True)
class Served:
    """A request under way."""

    refused: str | None
    """Why it is anonymous; None when somebody is signed in."""
    ticket: Any
    """What the scheme needs to answer it."""


class Scheme(ABC):
    """One session on the server's side."""

    def __init__(self) -> None:
        self.noticed = False
        """The session has been ended, because a spent token came back."""
        self.proven: set[str] = set()
        """Access tokens that change nothing any more, however often they are shown."""
        self.met: Counter[str] = Counter()
        """How often each row of the table has decided."""

    @abstractmethod
    def sign_in(self, now: float) -> Jar: ...

    @abstractmethod
    def arrive(self, jar: Jar, trip: Trip, now: float) -> Served: ...

    @abstractmethod
    def respond(self, served: Served, trip: Trip, now: float) -> Jar: ...

    @abstractmethod
    def expiry(self, access: str) -> float: ...


# ── This package ─────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Register:
    """What each token says, for all processes."""

    access: dict[str, dict[str, Any]] = field(default_factory=dict)
    refresh: dict[str, RefreshToken] = field(default_factory=dict)


class RegisteredTokens(Tokens):
    """The real ones, but for signing and reading: a token is its number in the register."""

    def __init__(self, settings: Settings, register: Register) -> None:
        super().__init__(settings)
        self._register = register
        self._kid = self._refresh_keys.signing.kid

    def sign_access(self, members: Mapping[str, Any]) -> str:
        token = f"a{len(self._register.access)}"
        self._register.access[token] = dict(members)
        return token

    def refresh(self, session: Session) -> str:
        token = f"r{session.generation}@{session.rotated_at!r}-{session.expires_at!r}"
        if token not in self._register.refresh:
            self._register.refresh[token] = RefreshToken(
                session_id=session.id,
                subject=session.subject,
                generation=session.generation,
                issued_at=session.rotated_at,
                expires_at=session.expires_at,
                jti=self._jti(self._kid, session, session.generation),
                kid=self._kid,
            )
        return token

    def read_access(self, token: str, *, now: float, may_wait: bool = False) -> AccessToken:
        del may_wait  # its keys never change
        known = self.verified.get(token)
        if known is not None:
            return known
        members = self._register.access[token]
        access = AccessToken(Claims(members), members["sub"], self._settings)
        if not access.expired(now):
            self.verified.put(token, access)
        return access

    def read_refresh(self, token: str) -> RefreshToken:
        return self._register.refresh[token]


class PlainTransport(Transport):
    """The real one, but for the attributes of a cookie."""

    def deliver(
        self,
        channel: Channel,  # noqa: ARG002  # the signature is the real one's
        *,
        access: str,
        refresh: str | None,
        max_age: float | None,  # noqa: ARG002
        claims: Mapping[str, Any],  # noqa: ARG002
        csrf: str | None = None,  # noqa: ARG002
    ) -> Additions:
        fields = [(self.access_cookie, access)]
        if refresh is not None:
            fields.append((self.refresh_cookie, refresh))
        return Additions(fields)


class Middleware(Scheme):
    """The real flow, in several processes over one store."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self._register = Register()
        self._settings = Settings(
            secret_key="a secret of the simulation, 32 bytes and more",  # noqa: S106
            session_store=MemorySessionStore(),
            **settings,
        )
        self._processes = [self._process() for _ in range(PROCESSES)]

    def _process(self) -> JWTAuth:
        auth = JWTAuth(self._settings, on_event=self._hear)
        tokens = RegisteredTokens(self._settings, self._register)
        transport = PlainTransport(self._settings)
        auth.flow = Flow(replace(auth.flow.parts, tokens=tokens, transport=transport))
        return auth

    def _hear(self, event: Event) -> None:
        self.noticed = self.noticed or event.name == "reuse"
        if event.name == "lost_response":
            self.met["lost answer made good"] += 1

    def sign_in(self, now: float) -> Jar:
        trip = Trip(0.0, 0.0, 0.0, lost=False, process=0, posts=True)
        served = self.arrive(Jar(), trip, now)
        served.ticket.login("alice")
        return self.respond(served, trip, now)

    def arrive(self, jar: Jar, trip: Trip, now: float) -> Served:
        process = self._processes[trip.process]
        request = self._request(jar, posts=trip.posts)
        auth = process.flow.glance(request, now)
        if auth is None:
            auth = run(process.flow.arrive(request, now), process.world).auth
            self.met[_row_of(auth)] += 1
        return Served(auth.reason, auth)

    def respond(self, served: Served, trip: Trip, now: float) -> Jar:
        process, auth = self._processes[trip.process], served.ticket
        additions = run(process.flow.respond(auth, 200, [], now), process.world)
        run(process.flow.settle(auth, now), process.world)
        if auth.access is not None and auth.access.settled:
            self.proven.add(_cookie(auth.request, self._settings.access_cookie))
        assert isinstance(additions, Additions)  # noqa: S101  # nothing is out of order here
        brought = dict(additions.fields)
        return Jar(
            brought.get(self._settings.access_cookie), brought.get(self._settings.refresh_cookie)
        )

    def expiry(self, access: str) -> float:
        return self._register.access[access]["exp"]

    def _request(self, jar: Jar, *, posts: bool) -> Request:
        names = (self._settings.access_cookie, self._settings.refresh_cookie)
        cookies = [f"{name}={value}" for name, value in zip(names, jar, strict=True) if value]
        return Request(
            "POST" if posts else "GET",
            "/",
            raw_path=None,
            authorization=None,
            refresh=None,
            cookie="; ".join(cookies) or None,
            header=_no_header,
        )


def _no_header(name: str) -> None:  # noqa: ARG001
    return None


def _cookie(request: Request, name: str) -> str:
    """Of a request made by `Middleware`: the access cookie, if any, comes first."""
    return (request.cookie or "").partition("; ")[0].removeprefix(f"{name}=")


def _row_of(auth: RequestAuth) -> str:
    """What decided on this request."""
    if auth.reissue is not None:
        return auth.reissue.row.name
    return auth.reason or "valid access token"


# ── Models of what others do ─────────────────────────────────────────────────────────


class Rival(Scheme):
    """An access token for fifteen minutes, and a rule for refresh tokens.

    The rule is asked when a request arrives, as an endpoint for refreshing would ask it.
    """

    access_lives = 15 * MINUTE

    def __init__(self) -> None:
        super().__init__()
        self._expiries: dict[str, float] = {}
        self._made = 0

    @abstractmethod
    def accepts(self, refresh: str, now: float) -> bool:
        """Whether it is worth a new token; else a spent one has come back."""

    @abstractmethod
    def made(self, successor: str, predecessor: str, now: float) -> None:
        """A token has been handed out for another."""

    def sign_in(self, now: float) -> Jar:
        jar = self._pair(now)
        self.made(jar.refresh or "", "", now)
        return jar

    def arrive(self, jar: Jar, trip: Trip, now: float) -> Served:  # noqa: ARG002
        if jar.access is not None and now < self._expiries[jar.access]:
            return Served(None, Jar())
        refresh = jar.refresh or ""
        self.noticed = self.noticed or not self.accepts(refresh, now)
        if self.noticed:
            return Served("reuse", Jar())
        pair = self._pair(now)
        self.made(pair.refresh or "", refresh, now)
        return Served(None, pair)

    def respond(self, served: Served, trip: Trip, now: float) -> Jar:  # noqa: ARG002
        return served.ticket

    def expiry(self, access: str) -> float:
        return self._expiries[access]

    def _pair(self, now: float) -> Jar:
        self._made += 1
        pair = Jar(f"a{self._made}", f"r{self._made}")
        self._expiries[f"a{self._made}"] = now + self.access_lives
        self.proven.add(f"a{self._made}")
        return pair


class StrictSingleUse(Rival):
    """A refresh token counts once."""

    _current = ""

    def accepts(self, refresh: str, now: float) -> bool:  # noqa: ARG002
        return refresh == self._current

    def made(self, successor: str, predecessor: str, now: float) -> None:  # noqa: ARG002
        self._current = successor


class ForkWithinLeeway(Rival):
    """Within a leeway of its first use a token counts again: each racer gets one of its own."""

    def __init__(self, leeway: float) -> None:
        super().__init__()
        self._leeway = leeway
        self._used_at: dict[str, float] = {}

    def accepts(self, refresh: str, now: float) -> bool:
        return now <= self._used_at.get(refresh, now) + self._leeway

    def made(self, successor: str, predecessor: str, now: float) -> None:  # noqa: ARG002
        self._used_at.setdefault(predecessor, now)


class RotateAgain(Rival):
    """Within a leeway the predecessor counts, too, and rotates again: only the newest
    successor lives."""

    def __init__(self, leeway: float) -> None:
        super().__init__()
        self._leeway = leeway
        self._current = self._previous = ""
        self._rotated_at = 0.0

    def accepts(self, refresh: str, now: float) -> bool:
        again = refresh == self._previous and now <= self._rotated_at + self._leeway
        return refresh == self._current or again

    def made(self, successor: str, predecessor: str, now: float) -> None:
        if predecessor != self._previous:
            self._previous, self._rotated_at = predecessor, now
        self._current = successor


OURS = "this package"
SCHEMES: dict[str, Callable[[], Scheme]] = {
    OURS: Middleware,
    "strict single use": StrictSingleUse,
    "fork within 30 s": lambda: ForkWithinLeeway(30.0),
    "fork within 120 s": lambda: ForkWithinLeeway(120.0),
    "re-rotate within 30 s": lambda: RotateAgain(30.0),
    "re-rotate within 120 s": lambda: RotateAgain(120.0),
}
RIVALS = tuple(name for name in SCHEMES if name != OURS)

# ── A session, lived through ─────────────────────────────────────────────────────────


@dataclass(slots=True, kw_only=True)
class Client:
    """Somebody with a jar: the one who signed in, or a thief."""

    jar: Jar
    hides: bool = False
    silent: bool = False
    served_at: float | None = None
    """When he was last signed in."""

    def shown(self) -> Jar:
        return self.jar._replace(access=None) if self.hides else self.jar


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What has become of one session."""

    life: str
    index: int
    logged_out: str | None = None
    """Why an honest request ended anonymous."""
    stolen: bool = False
    noticed_after: float | None = None
    """Seconds from the theft to the end of the session."""
    served_for: float = 0.0
    """Seconds from the theft to the last time the thief was signed in."""
    requests: int = 0
    quiet: int = 0
    """Bursts that were left out, since they could not change anything."""
    met: Counter[str] = field(default_factory=Counter[str])


class World:
    """A clock, a queue of what is to come, one session, and those who use it."""

    def __init__(
        self,
        scheme: Scheme,
        *,
        random: Random,
        theft: Theft | None = None,
        skip_quiet: bool = True,
    ) -> None:
        self.scheme = scheme
        self.theft = theft
        self.now = 0.0
        self._random = random
        """For the theft alone: the life of the victim is the same without it."""
        self._skip_quiet = skip_quiet
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._numbers = count()
        self._rotated_to: str | None = None
        self.honest = Client(jar=Jar())
        self.thief: Client | None = None
        self.stolen_at: float | None = None
        self.logged_out: str | None = None
        self.requests = self.quiet = 0

    def live(self, bursts: Iterator[Burst]) -> None:
        """Sign in with the first page, and go on to the end."""
        first = next(bursts)
        self.now = first.at
        self.honest.jar = self.scheme.sign_in(self.now)
        self.honest.silent = self.theft is not None and self.theft.silent_victim
        self._follow(self.honest, bursts, 0.0)
        end = self.now + SESSION_LENGTH
        if self.theft is not None:
            moment = self.now + self._random.random() * SESSION_LENGTH
            self._at(moment, self._steal, self.theft)
            end = moment + THEFT_WATCHED
        while not self._over and self._queue[0][0] < end:
            self.now, _, happens, arguments = heappop(self._queue)
            happens(*arguments)

    @property
    def _over(self) -> bool:
        return self.scheme.noticed or self.logged_out is not None

    def _at(self, moment: float, happens: Callable[..., None], *arguments: Any) -> None:
        heappush(self._queue, (moment, next(self._numbers), happens, arguments))

    def _follow(self, client: Client, bursts: Iterator[Burst], since: float) -> None:
        burst = next(bursts)
        self._at(since + burst.at, self._send, client, burst, bursts, since)

    # ── One request ──────────────────────────────────────────────────────────────────

    def _send(self, client: Client, burst: Burst, bursts: Iterator[Burst], since: float) -> None:
        self._follow(client, bursts, since)
        if self._rests(client):
            self.quiet += 1
            return
        for trip in burst.trips():
            self._depart(client, trip)

    def _rests(self, client: Client) -> bool:
        """Nothing would come of it: the access token is good until all requests have arrived,
        and has been shown before; or it is not for those who see the store."""
        access = client.shown().access
        if access is None:
            return False
        if client.silent:
            return self.now < self.scheme.expiry(access)
        good = self.now + LONGEST_WAY_THERE < self.scheme.expiry(access)
        return self._skip_quiet and good and access in self.scheme.proven

    def _depart(self, client: Client, trip: Trip) -> None:
        self._at(self.now + trip.there, self._arrive, client, client.shown(), trip)

    def _arrive(self, client: Client, jar: Jar, trip: Trip) -> None:
        served = self.scheme.arrive(jar, trip, self.now)
        self.requests += 1
        if served.refused is None:
            client.served_at = self.now
        elif client is self.honest and self.thief is None:
            self.logged_out = served.refused
        self._at(self.now + trip.answering, self._respond, client, served, trip)

    def _respond(self, client: Client, served: Served, trip: Trip) -> None:
        answer = self.scheme.respond(served, trip, self.now)
        if not trip.lost and answer != Jar():
            self._at(self.now + trip.back, self._receive, client, answer)
        if client is self.honest and answer.refresh not in (None, self._rotated_to):
            self._rotated_to = answer.refresh
            self._echo()

    def _receive(self, client: Client, answer: Jar) -> None:
        client.jar = client.jar.with_answer(answer)

    # ── The thief ────────────────────────────────────────────────────────────────────

    def _steal(self, theft: Theft) -> None:
        self.stolen_at = self.now
        self.thief = Client(jar=self.honest.jar, hides=theft.hides)
        if theft.wanders:
            self._follow(self.thief, on_and_off(self._random), self.now)

    def _echo(self) -> None:
        """The victim has rotated: a thief who knows it comes, once."""
        if self.thief is not None and self.theft is not None and not self.theft.wanders:
            moment = self.now + self._random.uniform(*self.theft.echo)
            self._at(moment, self._come, self.thief)

    def _come(self, thief: Client) -> None:
        self._depart(thief, _good_trip(self._random))

    # ── What has become of it ────────────────────────────────────────────────────────

    def outcome(self, life: str, index: int) -> Outcome:
        stolen_at, thief = self.stolen_at, self.thief
        told = Outcome(
            life=life,
            index=index,
            logged_out=self.logged_out,
            requests=self.requests,
            quiet=self.quiet,
            met=self.scheme.met,
        )
        if stolen_at is None or thief is None:
            return told
        return replace(
            told,
            stolen=True,
            noticed_after=self.now - stolen_at if self.scheme.noticed else None,
            served_for=0.0 if thief.served_at is None else thief.served_at - stolen_at,
        )


@dataclass(frozen=True, slots=True)
class Job:
    """A session to be lived through."""

    seed: int
    index: int
    scheme: str
    theft: str | None = None

    def run(self) -> Outcome:
        return live(SCHEMES[self.scheme](), self.seed, self.index, theft=self.theft)


def live(
    scheme: Scheme, seed: int, index: int, *, theft: str | None = None, skip_quiet: bool = True
) -> Outcome:
    """One session. The same seed and index are the same life, under whatever scheme."""
    life = MIX[index % len(MIX)]
    world = World(
        scheme,
        random=Random(f"theft {seed} {index}"),  # noqa: S311
        theft=THEFTS[theft] if theft else None,
        skip_quiet=skip_quiet,
    )
    world.live(LIVES[life](Random(f"life {seed} {index}")))  # noqa: S311
    return world.outcome(life, index)


# ── What is made of many ─────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class HonestResult:
    """How honest sessions fared under one scheme."""

    sessions: int
    logged_out: int
    at_most: float
    """The true share is below this, with 95 % confidence."""
    by_life: dict[str, tuple[int, int]]
    """Of each life: sessions logged out, sessions."""
    examples: list[tuple[str, int, str]]
    """Life, index and reason of the first few: to live them through again."""
    requests: int
    quiet_bursts: int
    met: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TheftResult:
    """How thefts fared under one scheme; only those that found the session still alive."""

    thefts: int
    noticed: int
    at_least: float
    """The true share of noticed ones is above this, with 95 % confidence."""
    median_hours: float | None
    """From the theft to the notice."""
    longest_hours: float | None
    median_days_served: float | None
    """Of the thieves who were not noticed: how long they were served."""


def honest_result(outcomes: Sequence[Outcome]) -> HonestResult:
    """The sum of sessions without a thief."""
    bad = [one for one in outcomes if one.logged_out is not None]
    lives = Counter(one.life for one in outcomes)
    bad_lives = Counter(one.life for one in bad)
    met = sum((one.met for one in outcomes), Counter[str]())
    return HonestResult(
        sessions=len(outcomes),
        logged_out=len(bad),
        at_most=upper_bound(len(bad), len(outcomes)),
        by_life={life: (bad_lives[life], lives[life]) for life in LIVES},
        examples=[(one.life, one.index, one.logged_out or "") for one in bad[:5]],
        requests=sum(one.requests for one in outcomes),
        quiet_bursts=sum(one.quiet for one in outcomes),
        met=dict(met.most_common()),
    )


def theft_result(outcomes: Sequence[Outcome]) -> TheftResult:
    """The sum of sessions with a thief."""
    thefts = [one for one in outcomes if one.stolen]
    after = [one.noticed_after / HOUR for one in thefts if one.noticed_after is not None]
    escaped = [one.served_for / DAY for one in thefts if one.noticed_after is None]
    return TheftResult(
        thefts=len(thefts),
        noticed=len(after),
        at_least=1 - upper_bound(len(thefts) - len(after), len(thefts)),
        median_hours=median(after) if after else None,
        longest_hours=max(after, default=None),
        median_days_served=median(escaped) if escaped else None,
    )


def upper_bound(hits: int, trials: int) -> float:
    """Of the true share, with 95 % confidence: the rule of three for none, else Wilson's."""
    if trials == 0:
        return 1.0
    if hits == 0:
        return min(3 / trials, 1.0)
    z = 1.645  # one-sided
    share = hits / trials
    spread = z * math.sqrt(share * (1 - share) / trials + (z / trials / 2) ** 2)
    return min((share + z * z / trials / 2 + spread) / (1 + z * z / trials), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A run, in numbers."""

    sessions: int
    seed: int
    seconds: float
    honest: dict[str, HonestResult]
    """By scheme."""
    naive: dict[str, TheftResult]
    """Naive thieves, by scheme."""
    escapes: dict[str, TheftResult]
    """Thieves with a plan against this package, by their plan."""


def plan(sessions: int, seed: int) -> dict[tuple[str, str | None], list[Job]]:
    """Which sessions are lived through, by scheme and thief."""
    shares: dict[tuple[str, str | None], int] = {(OURS, None): 1, (OURS, "naive"): THEFT_SHARE}
    for rival in RIVALS:
        shares[rival, None] = RIVAL_SHARE
        shares[rival, "naive"] = RIVAL_SHARE
    for theft in THEFTS:
        shares.setdefault((OURS, theft), ESCAPE_SHARE)
    return {
        (scheme, theft): [
            Job(seed, index, scheme, theft)
            for index in range(max(sessions // share, min(sessions, SMALLEST_GROUP)))
        ]
        for (scheme, theft), share in shares.items()
    }


def simulate(sessions: int, seed: int, *, workers: int = 2) -> Report:
    """All that is planned."""
    started = perf_counter()
    planned = plan(sessions, seed)
    outcomes: dict[tuple[str, str | None], list[Outcome]] = {}
    for group, lived in zip(planned, _in_groups(planned.values(), workers), strict=True):
        outcomes[group] = lived
        _tell(*group, len(lived), perf_counter() - started)
    return Report(
        sessions=sessions,
        seed=seed,
        seconds=perf_counter() - started,
        honest={name: honest_result(outcomes[name, None]) for name in SCHEMES},
        naive={name: theft_result(outcomes[name, "naive"]) for name in SCHEMES},
        escapes={
            theft: theft_result(outcomes[OURS, theft]) for theft in THEFTS if theft != "naive"
        },
    )


def _tell(scheme: str, theft: str | None, sessions: int, seconds: float) -> None:
    """A full run takes minutes: say how far it is."""
    thief = f"thief: {theft}" if theft else "honest"
    sys.stderr.write(f"{seconds:5.0f} s  {sessions:6,} sessions lived: {scheme}, {thief}\n")


def _in_groups(groups: Iterable[list[Job]], workers: int) -> Iterator[list[Outcome]]:
    if workers == 1:
        yield from ([job.run() for job in jobs] for jobs in groups)
        return
    with get_context("spawn").Pool(workers, _silence) as pool:
        yield from (pool.map(Job.run, jobs, chunksize=10) for jobs in groups)


def _silence() -> None:
    """A worker's log: a thousand noticed thefts need no warning each."""
    logging.getLogger("jwt_middleware").setLevel(logging.CRITICAL)


# ── Shown to people ──────────────────────────────────────────────────────────────────


def markdown(report: Report) -> str:
    """The report as it stands in docs/rotation-simulation.md."""
    return "\n".join(
        [*_honest_table(report), "", *_theft_table(report), "", *_escape_table(report)]
    )


def _honest_table(report: Report) -> Iterator[str]:
    yield "| honest sessions | signed out | share | 95 % bound | " + " | ".join(LIVES) + " |"
    yield "|---" * (4 + len(LIVES)) + "|"
    for name, found in report.honest.items():
        lives = " | ".join(f"{bad} of {of:,}" for bad, of in found.by_life.values())
        yield (
            f"| {name} | {found.logged_out:,} of {found.sessions:,} "
            f"| {_percent(found.logged_out, found.sessions)} "
            f"| under {found.at_most:.2%} | {lives} |"
        )


def _theft_table(report: Report) -> Iterator[str]:
    yield "| naive thefts | noticed | share | 95 % bound | median | longest |"
    yield "|---|---|---|---|---|---|"
    for name, found in report.naive.items():
        yield f"| {name} | {_noticed(found)} |"


def _escape_table(report: Report) -> Iterator[str]:
    yield "| a thief who … | noticed | share | 95 % bound | median | longest | escaped: served |"
    yield "|---|---|---|---|---|---|---|"
    for name, found in report.escapes.items():
        served = found.median_days_served
        yield f"| {name} | {_noticed(found)} | {'–' if served is None else f'{served:.1f} d'} |"


def _noticed(found: TheftResult) -> str:
    cells = (
        f"{found.noticed:,} of {found.thefts:,}",
        _percent(found.noticed, found.thefts),
        f"over {found.at_least:.2%}" if found.noticed else "–",
        _hours(found.median_hours),
        _hours(found.longest_hours),
    )
    return " | ".join(cells)


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _hours(hours: float | None) -> str:
    return "–" if hours is None else f"{hours:.1f} h"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=FULL_RUN, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--workers", type=int, default=2, metavar="W")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_RUN} sessions")
    options = parser.parse_args(arguments)
    sessions = QUICK_RUN if options.quick else options.sessions
    report = simulate(sessions, options.seed, workers=options.workers)
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(report), indent=1) + "\n", "utf-8")
    sys.stdout.write(markdown(report) + f"\n\n{sessions:,} sessions, seed {options.seed}, ")
    sys.stdout.write(f"{report.seconds:.0f} s with {options.workers} workers\n")


if __name__ == "__main__":
    main()
