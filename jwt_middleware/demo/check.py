"""The demo's story without a person: every scenario, through both doors, over real HTTP.

Only time is not real. Both servers run in this process and read a clock that the check
moves, so that a minute of waiting takes none.

A scenario is a function. It yields steps: what is done, what is expected, what was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from threading import Barrier
from typing import NamedTuple, TypeAlias

from jwt_middleware import Event

from .client import Browser, Program, Reply
from .config import ACCESS_LIFE, GRACE, REFRESH_LIFE, demo_auth
from .server import DOORS, serving

PARALLEL = 32

UNCHANGED = "200 alice, no new tokens"
NEW_PAIR = "200 alice, reissued, new pair"
REFUSED = "401, no new tokens"


class Step(NamedTuple):
    """What a scenario finds."""

    name: str
    expected: str
    seen: object
    """Shown, and compared, as text."""


class Finding(NamedTuple):
    """A line of the table."""

    door: str
    step: str
    expected: str
    seen: str
    verdict: str


@dataclass(slots=True)
class SimulatedClock:
    """Time that passes when it is told to."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += seconds


@dataclass(frozen=True, slots=True)
class Stage:
    """One door, served, with all that a scenario needs."""

    url: str
    clock: SimulatedClock
    events: list[Event]

    def signed_in(self) -> Browser:
        browser = Browser(self.url)
        browser.login("alice")
        return browser

    def count(self, name: str) -> int:
        """Events of this name since the scenario began."""
        return sum(event.name == name for event in self.events)


Scenario: TypeAlias = Callable[[Stage], Iterator[Step]]


# ── The four cases ────────────────────────────────────────────────────────────────


def both_valid(stage: Stage) -> Iterator[Step]:
    """The access token is valid: the request goes on, and no cookie changes."""
    browser = stage.signed_in()
    yield Step("1. access token valid", UNCHANGED, browser.get())


def access_expired(stage: Stage) -> Iterator[Step]:
    """Only the access token has expired: the same request is signed in, with a new pair."""
    browser = stage.signed_in()
    stage.clock.move(ACCESS_LIFE + 1)
    yield Step("2. access token expired", NEW_PAIR, browser.get())
    yield Step("   with the new pair", UNCHANGED, browser.get())


def refresh_expired(stage: Stage) -> Iterator[Step]:
    """Only the refresh token has expired: the valid access token vouches for a new pair.

    An answer that got lost and is repeated late brings an access token that outlives the
    refresh token beside it.
    """
    browser = stage.signed_in()
    late_access(browser, stage.clock)
    stage.clock.move(2)
    yield Step("3. refresh token expired", NEW_PAIR, browser.get())
    yield Step("   with the new pair", UNCHANGED, browser.get())


def late_access(browser: Browser, clock: SimulatedClock) -> None:
    """Leave a browser with an access token that outlives its refresh token.

    The first answer is lost. It is asked for again in the spent token's last second: the
    successor is the same, as old as it is, and the access token is new.
    """
    browser.tokens = browser.with_only("refresh").tokens
    browser.send("GET", "/me")
    clock.move(REFRESH_LIFE - 1)
    browser.get()


def both_expired(stage: Stage) -> Iterator[Step]:
    """Both have expired: sign in again."""
    browser = stage.signed_in()
    stage.clock.move(REFRESH_LIFE + 1)
    yield Step("4. both expired", REFUSED, browser.get())


# ── Concurrency and loss ──────────────────────────────────────────────────────────


def parallel(stage: Stage) -> Iterator[Step]:
    """A page fires many requests with one expired access token: one rotation serves all."""
    browser = stage.signed_in()
    stage.clock.move(ACCESS_LIFE + 1)
    replies = _at_once(browser, PARALLEL)
    signed_in = sum(reply.signed_in for reply in replies)
    successors = {reply.tokens["refresh"] for reply in replies if "refresh" in reply.tokens}
    browser.tokens |= replies[-1].tokens
    rotations = browser.get().members.get("generation")
    name = f"{PARALLEL} parallel requests"
    yield Step(f"{name}: signed in", str(PARALLEL), signed_in)
    yield Step(f"{name}: rotations", "1", rotations)
    yield Step(f"{name}: successors", "1", len(successors))


def _at_once(browser: Browser, number: int) -> list[Reply]:
    start = Barrier(number)

    def call(_: int) -> Reply:
        start.wait()
        return browser.send("GET", "/me")

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(call, range(number)))


def lost_response(stage: Stage) -> Iterator[Step]:
    """An answer never arrives: whoever asks again, however late, gets the same successor."""
    browser = stage.signed_in()
    stage.clock.move(ACCESS_LIFE + 1)
    lost = browser.send("GET", "/me")
    yield Step("lost response: what got lost", NEW_PAIR, lost)
    stage.clock.move(GRACE * 5)
    again = browser.get()
    yield Step("lost response: asked again", NEW_PAIR, again)
    same = lost.tokens.get("refresh") == again.tokens.get("refresh")
    yield Step("lost response: refresh token", "the same", "the same" if same else "another")
    yield Step("lost response: then", UNCHANGED, browser.get())


# ── Theft and logout ──────────────────────────────────────────────────────────────


def theft(stage: Stage) -> Iterator[Step]:
    """A refresh token is spent by two parties: nobody can tell who is who, so both are out."""
    victim = stage.signed_in()
    thief = victim.with_only("refresh")
    stage.clock.move(ACCESS_LIFE + 1)
    yield Step("theft: victim, new pair", NEW_PAIR, victim.get())
    yield Step("theft: victim, shows it", UNCHANGED, victim.get())
    stage.clock.move(GRACE + 1)
    yield Step("theft: thief, spent token", REFUSED, thief.get())
    yield Step("theft: thief, again", REFUSED, thief.get())
    yield Step("theft: victim, valid token", REFUSED, victim.get())
    yield Step("theft: reuse events", "1", stage.count("reuse"))


def logout(stage: Stage) -> Iterator[Step]:
    """After a logout the cookies are gone, and copies of them are worth nothing."""
    browser = stage.signed_in()
    copies = browser.with_only("access"), browser.with_only("refresh")
    yield Step("logout", "303, cookies cleared", browser.post("/logout"))
    yield Step("logout: cookies left", "0", len(browser.tokens))
    yield Step("logout: copied access token", REFUSED, copies[0].get())
    yield Step("logout: copied refresh token", REFUSED, copies[1].get())


def logout_everywhere(stage: Stage) -> Iterator[Step]:
    """A logout everywhere ends the sessions of other browsers, too."""
    here, elsewhere = stage.signed_in(), stage.signed_in()
    yield Step("logout everywhere", "303, cookies cleared", here.post("/logout-everywhere"))
    yield Step("logout everywhere: elsewhere", REFUSED, elsewhere.get())


# ── Without cookies ───────────────────────────────────────────────────────────────


def header_client(stage: Stage) -> Iterator[Step]:
    """A client that sends its tokens as headers is answered with headers."""
    program = Program(stage.url)
    yield Step("headers: sign in, pair in body", "200, no new tokens", program.login("alice"))
    yield Step("headers: access token valid", UNCHANGED, program.get())
    stage.clock.move(ACCESS_LIFE + 1)
    yield Step("headers: access token expired", NEW_PAIR, program.get())
    yield Step("headers: with the new pair", UNCHANGED, program.get())


SCENARIOS: tuple[Scenario, ...] = (
    both_valid,
    access_expired,
    refresh_expired,
    both_expired,
    parallel,
    lost_response,
    theft,
    logout,
    logout_everywhere,
    header_client,
)

# ── Playing them ──────────────────────────────────────────────────────────────────


def check(doors: Iterable[str] = DOORS, scenarios: Sequence[Scenario] = SCENARIOS) -> int:
    """Play all scenarios and print what was found; answers the exit status.

    Raises `CannotServe`.
    """
    print("Real servers, real HTTP; time is simulated.\n", flush=True)
    findings: list[Finding] = []
    for door in doors:
        with _staged(door) as stage:
            for scenario in scenarios:
                findings.extend(_played(door, scenario, stage))
    print(_table(findings))
    different = sum(finding.verdict != "ok" for finding in findings)
    print(f"\n{len(findings)} steps: {len(findings) - different} ok, {different} different")
    return 1 if different else 0


@contextmanager
def _staged(door: str) -> Generator[Stage, None, None]:
    clock, events = SimulatedClock(), list[Event]()
    with demo_auth(on_event=events.append, clock=clock) as auth, serving(door, auth) as url:
        yield Stage(url, clock, events)


def _played(door: str, scenario: Scenario, stage: Stage) -> Iterator[Finding]:
    stage.clock.move(3600)  # whatever the last one left behind is over
    stage.events.clear()
    try:
        for step in scenario(stage):
            seen = str(step.seen)
            verdict = "ok" if seen == step.expected else "DIFFERENT"
            yield Finding(door, step.name, step.expected, seen, verdict)
    except (OSError, HTTPException, LookupError, ValueError) as error:
        yield Finding(door, scenario.__name__, "an answer", repr(error), "DIFFERENT")


def _table(findings: Sequence[Finding]) -> str:
    """The findings in columns as wide as they need."""
    rows = [Finding("door", "step", "expected", "seen", ""), *findings]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)
