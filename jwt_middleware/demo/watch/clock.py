"""Time that passes by itself, and can be moved on."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(slots=True)
class MovableClock:
    """Seconds since the epoch, and those that were skipped."""

    skipped: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.skipped

    def move(self, seconds: float) -> None:
        self.skipped += seconds
