"""How long one verb of a store may still take: asked by whoever has to wait for a server."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

MOMENT = 0.01
"""Seconds that a wait is given at least: to a socket, none at all would mean something else."""


class Deadline(threading.local):
    """The end of the verb that runs in this thread, ``timeout`` seconds after it began.

    A verb may wait several times: for a free connection, for a new one, for an answer. Each
    wait is given what is left, and so all of them together take ``timeout``, or ``MOMENT``
    more for each. ``share`` is the part of it that one wait may take, where others are to
    have their turn if it was for nothing.
    """

    def __init__(self, timeout: float, share: float = 1.0) -> None:
        self._timeout = timeout
        self._share = share
        self._end: float | None = None

    def left(self) -> float:
        """Seconds the next wait may take; the whole timeout where no verb is running."""
        left = self._timeout if self._end is None else self._end - time.monotonic()
        return max(left * self._share, MOMENT)

    @contextmanager
    def running(self) -> Generator[None, None, None]:
        """One verb, and whatever it calls."""
        if self._end is not None:
            yield
            return
        self._end = time.monotonic() + self._timeout
        try:
            yield
        finally:
            self._end = None

    @contextmanager
    def sharing(self, share: float) -> Generator[None, None, None]:
        """Waits that may turn out to be for nothing."""
        before, self._share = self._share, share
        try:
            yield
        finally:
            self._share = before
