"""Four crews of sixteen threads over one store: in this process, or each in one of its own.

A crew is a process of a service: a `JWTAuth` with a memory of its own, whose threads all
start their requests at the same moment. The requests go through the real flow.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice, zip_longest
from threading import Barrier, Event
from typing import Any, NamedTuple, Protocol

from stepping import Browser, House
from stores.everywhere import PATIENCE, Place

from jwt_middleware.handle import RequestAuth

CREWS = 4
THREADS = 16
PRESENTERS = CREWS * THREADS


@dataclass(frozen=True)
class Job:
    """What one thread does: a request with these cookies, at the time of the burst."""

    jar: dict[str, str] = field(default_factory=dict)
    asks: str = "nothing"
    """What its view wants: ``nothing``, ``logout`` or ``login``. Or, without a request,
    ``everywhere``: the subject is signed out of all its sessions."""
    subject: str = ""
    late: float = 0.0
    """Seconds between the burst and the moment it arrives; negative: it arrived before."""
    part: str = "whole"
    """``arrives``: the app is left running. ``responds``: the one of this place starts its
    response."""


class Result(NamedTuple):
    """What came of a job."""

    subject: str | None
    reason: str | None
    jar: dict[str, str]
    """The cookies once the response has arrived."""
    sent: dict[str, str]
    """Those that the response set."""


NOBODY = Result(None, None, {}, {})


class Outcome(NamedTuple):
    """What came of a burst."""

    results: list[Result]
    """In the order of the jobs."""
    events: Counter[str]


class Crew(Protocol):
    """What starts together."""

    def line_up(self, jobs: Sequence[Job], now: float) -> None: ...

    def set_off(self) -> None: ...

    def come_in(self) -> tuple[list[Result], list[str]]: ...

    def close(self) -> None: ...


class LocalCrew:
    """Sixteen threads with one `JWTAuth`."""

    def __init__(self, store: Any) -> None:
        self._house = House(session_store=store)
        self._threads = ThreadPoolExecutor(THREADS)
        self._running: dict[int, tuple[Browser, RequestAuth]] = {}
        self._off = Event()
        self._futures: list[Future[Result]] = []

    def line_up(self, jobs: Sequence[Job], now: float) -> None:
        self._house.forget_commands()
        self._house.now = now
        self._off = Event()
        lined_up = Barrier(len(jobs) + 1, timeout=PATIENCE)
        self._futures = [
            self._threads.submit(self._run, number, job, lined_up)
            for number, job in enumerate(jobs)
        ]
        lined_up.wait()

    def set_off(self) -> None:
        self._off.set()

    def come_in(self) -> tuple[list[Result], list[str]]:
        results = [future.result() for future in self._futures]
        return results, self._house.event_names

    def close(self) -> None:
        self._threads.shutdown()

    def _run(self, number: int, job: Job, lined_up: Barrier) -> Result:
        house = self._house
        lined_up.wait()
        self._off.wait()
        if job.asks == "everywhere":
            house.auth.revoke_subject(job.subject)
            return NOBODY
        if job.part == "responds":
            browser, auth = self._running.pop(number)
        else:
            browser = Browser(house)
            browser.jar = dict(job.jar)
            auth = self._arrive(browser, job, house.now + job.late)
            if job.part == "arrives":
                self._running[number] = browser, auth
                return Result(auth.subject, auth.reason, job.jar, {})
        before = dict(browser.jar)
        browser.receive(browser.respond(auth))
        sent = {name: value for name, value in browser.jar.items() if before.get(name) != value}
        return Result(auth.subject, auth.reason, browser.jar, sent)

    def _arrive(self, browser: Browser, job: Job, now: float) -> RequestAuth:
        house = self._house
        request = browser.request("GET" if job.asks == "nothing" else "POST")
        auth = house.flow.glance(request, now) or house.run(house.flow.arrive(request, now)).auth
        if job.asks == "logout":
            auth.logout()
        elif job.asks == "login":
            auth.login(job.subject)
        return auth


class RemoteCrew:
    """The same, in a process of its own with a store of its own."""

    def __init__(self, place: Place) -> None:
        spawning = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawning.Pipe()
        self._process = spawning.Process(target=_serve, args=(place, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def line_up(self, jobs: Sequence[Job], now: float) -> None:
        self._pipe.send((jobs, now))

    def set_off(self) -> None:
        self._pipe.send("off")

    def come_in(self) -> tuple[list[Result], list[str]]:
        return self.hear()

    def hear(self) -> Any:
        assert self._pipe.poll(3 * PATIENCE), "a racer's process does not answer"
        return self._pipe.recv()

    def close(self) -> None:
        self._pipe.send(None)
        self._process.join(PATIENCE)
        assert self._process.exitcode == 0
        self._pipe.close()


def _serve(place: Place, pipe: Any) -> None:
    """A crew's process: bursts, until it is told that there are no more."""
    with closing(place.open()) as store, closing(LocalCrew(store)) as crew:
        while (burst := pipe.recv()) is not None:
            crew.line_up(*burst)
            pipe.send("lined up")
            assert pipe.recv() == "off"
            crew.set_off()
            pipe.send(crew.come_in())


class Team:
    """All crews."""

    def __init__(self, crews: Sequence[Crew]) -> None:
        self._crews = crews

    def burst(self, jobs: Sequence[Job], now: float) -> Outcome:
        """All of these at the same moment, dealt out to the crews by turns."""
        for number, crew in enumerate(self._crews):
            crew.line_up(jobs[number :: len(self._crews)], now)
        for crew in self._crews:
            if isinstance(crew, RemoteCrew):
                assert crew.hear() == "lined up"
        for crew in self._crews:
            crew.set_off()
        parts = [crew.come_in() for crew in self._crews]
        dealt = zip_longest(*(results for results, _ in parts))
        results = list(islice(chain.from_iterable(dealt), len(jobs)))
        return Outcome(results, Counter(chain.from_iterable(events for _, events in parts)))


@contextmanager
def team(place: Place, store: Any, *, processes: bool) -> Iterator[Team]:
    """Four crews in this process, over this one store, or four processes."""
    crews: list[Crew] = []
    try:
        for _ in range(CREWS):
            crew: Crew = RemoteCrew(place) if processes else LocalCrew(store)
            crews.append(crew)
        yield Team(crews)
    finally:
        for crew in crews:
            crew.close()
