"""Times that can be compared: of things done in turn, in one process, in random order.

A machine is quicker now and slower then. So nothing is timed by itself: in each round every
subject runs a few times, in a new order, and only what ran in the same round is compared. What a
middleware adds is the difference to its bare app in that round; a ratio is one of such
differences, its interval that of a bootstrap over the rounds.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import median
from time import perf_counter_ns

Call = Callable[[], object]

RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Subject:
    """Something to be timed."""

    call: Call
    prepare: Call | None = None
    """Runs before each call, untimed."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """How one cost stands to another: the median, and its interval of 95 %."""

    value: float
    low: float
    high: float


Times = Mapping[str, Sequence[float]]
"""Microseconds a call, by subject, one for each round."""


def measure(
    subjects: Mapping[str, Call | Subject], *, rounds: int, calls: int, seed: int = 1
) -> dict[str, list[float]]:
    """The median time of ``calls`` calls of each subject, for each of so many rounds."""
    random = Random(seed)  # noqa: S311  # an order, no secret
    named = {
        name: one if isinstance(one, Subject) else Subject(one) for name, one in subjects.items()
    }
    times: dict[str, list[float]] = {name: [] for name in named}
    order = list(named)
    for subject in named.values():
        _timed(subject, calls)  # caches are warm, lazy imports are done
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            random.shuffle(order)
            for name in order:
                times[name].append(_timed(named[name], calls))
            gc.collect(0)
    finally:
        gc.enable()
    return times


def _timed(subject: Subject, calls: int) -> float:
    """Microseconds of a call: the median of ``calls``, each timed by itself."""
    call, prepare, now = subject.call, subject.prepare, perf_counter_ns
    spent: list[int] = []
    for _ in range(calls):
        if prepare is not None:
            prepare()
        started = now()
        call()
        spent.append(now() - started)
    return median(spent) / 1000


def added(times: Times, name: str, bare: str | None) -> list[float]:
    """What a subject costs over its bare app, round by round."""
    if bare is None:
        return list(times[name])
    return [with_it - without for with_it, without in zip(times[name], times[bare], strict=True)]


def ratio(ours: Sequence[float], theirs: Sequence[float], *, seed: int = 1) -> Ratio:
    """Median over median, with an interval from resampling whole rounds."""
    random = Random(seed)  # noqa: S311  # as above
    rounds = range(len(ours))
    resampled: list[float] = []
    for _ in range(RESAMPLES):
        drawn = random.choices(rounds, k=len(rounds))
        resampled.append(median(ours[i] for i in drawn) / median(theirs[i] for i in drawn))
    resampled.sort()
    edge = int((1 - CONFIDENCE) / 2 * RESAMPLES)
    return Ratio(median(ours) / median(theirs), resampled[edge], resampled[-edge - 1])
