"""The keys an issuer publishes, kept at hand (RFC 7517 section 5, RFC 8725 section 3.10).

A `RemoteKeySet` is a `KeySource` that asks somebody else, and sees to it that as few requests as
possible notice:

    the set is                        a token whose key it has     one whose key it has not
    younger than 80 % of its life     goes on                      waits for one look, if none
    older                             goes on; a thread looks      was made within `COOL_DOWN`;
    ``max_stale`` past its life       waits, as the set is gone    else it is refused
    not there                         (there is none)              waits; else 503

Whoever looks is a thread of its own, one at a time, so that a server that is slow holds up
nobody for longer than `PATIENCE`, and after the first time nobody at all. What it brings is
taken over as a whole or not at all: a failure leaves the last good set.

No clock is read here: a set counts from the moment the request came that had it fetched.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from math import inf
from threading import Lock, Thread

from .errors import KeysNotFetched
from .forks import in_each_child
from .jwk import read_set
from .keys import ASYMMETRIC, Fetched, FetchKeys, Key, KeySet
from .setting_kinds import Unfit

_logger = logging.getLogger("jwt_middleware")

LIFE = 600.0
"""Seconds a set lives whose server does not say."""

SHORTEST_LIFE, LONGEST_LIFE = 60.0, 3600.0
"""What a server may say (``max-age``): no server makes us ask all the time, or never."""

AHEAD = 0.8
"""The part of a set's life after which it is fetched again, before anybody has to wait."""

JITTER = 0.1
"""The part of that by which it may come earlier: processes started together ask apart."""

COOL_DOWN = 30.0
"""Seconds from one attempt to the next, whatever tokens ask for: whoever sends tokens with
made-up key ids must not turn us against the issuer."""

RETRY = 5.0
"""The same while there is no set at all."""

PATIENCE = 2.0
"""The longest that a request waits for keys, in seconds."""

LOST = 60.0
"""Seconds after which a look that does not end is given up, and another may begin."""


class RemoteKeySet:
    """A `KeySource` of a published JWK Set.

    url:
        Where it is published.
    fetch:
        What asks for it there; see `FetchKeys`. Whatever it raises counts as a failure.
    algorithms:
        Those its keys may be for.
    max_stale:
        Seconds a set stays in use beyond its life while newer ones cannot be had.
    jitter, timer:
        A random number from 0 to 1, and a clock that only measures how long a look took.
    """

    def __init__(
        self,
        url: str,
        fetch: FetchKeys,
        *,
        algorithms: Sequence[str] = ASYMMETRIC,
        max_stale: float = 3600.0,
        jitter: Callable[[], float] = random.random,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.version: int = 0
        self.due: float = inf
        self.usable: bool = False
        self._url = url
        self._name = url.partition("?")[0]  # in the log: what follows may be a credential
        self._fetch = fetch
        self._algorithms = tuple(algorithms)
        self._max_stale = max_stale
        self._jitter = jitter
        self._timer = timer
        self._keys = KeySet(())
        self._kids: frozenset[str] = frozenset()
        self._etag: str | None = None
        self._expires_at = -inf
        self._attempted_at = -inf
        self._flight: Future[None] | None = None
        """The look that is under way."""
        self._prompt = True
        """Whether the last look ended within anybody's patience; else nobody waits again."""
        self._failing = False
        self._lock = Lock()
        in_each_child(self.begin_again)

    def find(self, kid: str | None, algorithm: object, /) -> Key | None:
        return self._keys.find(kid, algorithm)

    def stale(self, kid: str | None, now: float, /) -> bool:
        """Whether to wait: always for a set that is gone, never for a key that is there."""
        if now >= self._expires_at:
            return True
        return not self._knows(kid) and (self._flight is not None or self._may_look(now))

    def refresh(self, kid: str | None, now: float, /) -> None:
        """Look for newer keys, unless that was just done, and wait, but not for ever."""
        flight = self._look(kid, now)
        if flight is not None:
            self._waited(flight, wait((flight,), PATIENCE).done)

    async def arefresh(self, kid: str | None, now: float, /) -> None:
        """`refresh`, to be awaited: who waits takes up no thread."""
        flight = self._look(kid, now)
        if flight is not None:
            waiter = asyncio.wrap_future(flight)
            try:
                done, _ = await asyncio.wait((waiter,), timeout=PATIENCE)
            finally:
                waiter.cancel()  # who waits lets go; the look itself goes on
            self._waited(flight, done)

    def refresh_ahead(self, now: float, /) -> None:
        self._look(None, now)

    # ── When to look ─────────────────────────────────────────────────────────────

    def _knows(self, kid: str | None) -> bool:
        """A token without ``kid`` never sends us looking: there is nothing to look for."""
        return kid is None or kid in self._kids

    def _may_look(self, now: float) -> bool:
        """Counted from the last attempt, whatever came of it. Requests know the time of their
        arrival, so a later one may have an earlier time; a clock set back is another matter."""
        return abs(now - self._attempted_at) >= (COOL_DOWN if self.usable else RETRY)

    def _look(self, kid: str | None, now: float) -> Future[None] | None:
        """Begin to look, if it is time to; what to wait for, if there is a point in waiting."""
        with self._lock:
            if self.usable and now >= self._expires_at:
                self._forget()
            if self._flight is not None and abs(now - self._attempted_at) >= LOST:
                self._flight = None
            if self._flight is None:
                wanted = not self.usable or now >= self.due or not self._knows(kid)
                if not wanted or not self._may_look(now):
                    return None
                self._begin(now)
            return self._flight if self._prompt else None

    def _begin(self, now: float) -> None:
        self._attempted_at = now
        self.due = min(now + COOL_DOWN, self._expires_at) if self.usable else inf
        self._flight = flight = Future[None]()
        flight.set_running_or_notify_cancel()  # from here on nobody can cancel it
        try:
            Thread(target=self._fly, args=(flight, now), name="jwks", daemon=True).start()
        except RuntimeError as failure:  # no more threads to be had
            self._flight = None
            self._complain(failure)

    def _waited(self, flight: Future[None], done: object) -> None:
        if not done:
            with self._lock:
                self._prompt = self._prompt and self._flight is not flight

    # ── In the thread ────────────────────────────────────────────────────────────

    def _fly(self, flight: Future[None], now: float) -> None:
        began = self._timer()
        failure: Exception | None = None
        fetched = Fetched(None)
        keys: tuple[Key, ...] = ()
        try:
            fetched = self._fetch(self._url, self._etag)
            keys = self._read(fetched)
        except Exception as caught:  # noqa: BLE001  # the user's fetcher may raise anything
            failure = caught
        with self._lock:
            if self._flight is flight:  # else it was given up
                self._flight = None
                self._prompt = self._timer() - began < PATIENCE
                if failure is None:
                    self._take(fetched, keys, now)
                else:
                    self._complain(failure)
        flight.set_result(None)

    def _read(self, fetched: Fetched) -> tuple[Key, ...]:
        """The keys that were fetched, or those there are. Raises `Unfit`."""
        if fetched.content is None:
            if self._etag is None:
                raise Unfit("says that nothing has changed, though nothing was there")
            return self._keys.keys
        keys = read_set(fetched.content, self._algorithms)
        if not keys:
            # Taken for a fault: an issuer that starts has been seen to publish this.
            raise Unfit("is a JWK Set without a key that could be used here")
        return keys

    def _take(self, fetched: Fetched, keys: tuple[Key, ...], now: float) -> None:
        changed = _known_by(keys) != _known_by(self._keys.keys)
        life = LIFE if fetched.max_age is None else fetched.max_age
        life = min(max(life, SHORTEST_LIFE), LONGEST_LIFE)
        if changed:
            self._keys = KeySet(keys)
            self._kids = frozenset(key.kid for key in keys)
        if fetched.content is not None:
            self._etag = fetched.etag
        self._expires_at = now + life + self._max_stale
        self.due = now + life * AHEAD * (1 - JITTER * self._jitter())
        self.usable = True
        if changed:
            self.version += 1  # last: who reads the new version finds the new keys
        if self._failing:
            _logger.info("keys of %s are fetched again", self._name)
        self._failing = False

    def _complain(self, failure: Exception) -> None:
        """In the log, once an outage. What others raise may quote anything: only its type."""
        if not self._failing:
            ours = isinstance(failure, KeysNotFetched | Unfit)
            text = str(failure) if ours else type(failure).__name__
            _logger.warning("keys of %s are not fetched, the last ones stay: %s", self._name, text)
        _logger.debug("keys are not fetched", exc_info=failure)
        self._failing = True

    def _forget(self) -> None:
        """The set is too old to believe (fail closed)."""
        _logger.error("keys of %s are too old to be used", self._name)
        self._keys, self._kids, self._etag = KeySet(()), frozenset(), None
        self._expires_at = -inf
        self.usable = False
        self.due = inf
        self.version += 1

    # ── Processes that fork ──────────────────────────────────────────────────────

    def begin_again(self) -> None:
        """In a forked child: the thread that was looking is the parent's. It may have been
        stopped in the midst of anything, so what was verified is verified again, and the next
        look fetches the whole set."""
        self._lock = Lock()
        self._flight = None
        self._etag = None
        self._attempted_at = -inf
        self.version += 1


def _known_by(keys: Sequence[Key]) -> list[object]:
    """What makes one set equal to another."""
    return [(key.kid, key.algorithm, key.public) for key in keys]
