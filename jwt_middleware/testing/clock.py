"""A clock that stands still until a test moves it."""

from __future__ import annotations

import time
from datetime import timedelta
from math import isfinite


class FakeClock:
    """``JWTAuth(clock=clock)``: tokens and stores are both told the time by it.

        clock = FakeClock()
        clock.move(15 * 60)

    It begins at ``start`` (seconds since the epoch), by default now: Redis also forgets keys by
    a clock of its own, which should not be far from this one.
    """

    def __init__(self, start: float | None = None) -> None:
        self._now = time.time() if start is None else _number(start, "start")

    def __call__(self) -> float:
        return self._now

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return self._now

    def move(self, by: float | timedelta) -> None:
        """Let time pass: seconds, or a `timedelta`. Raises `TypeError` and `ValueError`."""
        seconds = _number(by.total_seconds() if isinstance(by, timedelta) else by, "move()")
        if seconds < 0:
            raise ValueError("time goes forward only: move() takes seconds from 0 on")
        self._now += seconds


def _number(given: object, what: str) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise TypeError(f"{what} takes a number of seconds, not {type(given).__name__}")
    if not isfinite(given):
        raise ValueError(f"{what} takes a finite number of seconds, not {given}")
    return given
