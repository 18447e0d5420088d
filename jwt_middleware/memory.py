"""What one process remembers between requests, and may forget at any time.

Nothing here is needed for a right answer: forgetting costs a signature check, a row read
or a write that changes nothing. So all of it is bounded, and shared with nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import RLock
from typing import Any, Generic, NamedTuple, TypeVar

from .forks import in_each_child

K = TypeVar("K")
V = TypeVar("V")

ENDED_SIZE = 4096
"""Sessions ended by this process that it remembers, so that their access tokens stop here
at once. A forgotten one stops when it expires, as on every other node."""

SETTLE_PAUSE = 5.0
"""Seconds without a new attempt to confirm or purge after one that failed."""

PURGE_INTERVAL = 600.0
"""Seconds between two opportunistic purges of a process."""

PURGE_LIMIT = 500
"""Rows one opportunistic purge deletes at most."""


class Bounded(Generic[K, V]):
    """A mapping of at most ``size`` entries that forgets the oldest half at a time.

    Two dicts, young and old: a lookup is one or two dict reads and takes no lock, an entry
    is dropped without a search for the oldest. An entry in steady use is put in again once
    it has been forgotten.
    """

    __slots__ = ("__weakref__", "_half", "_lock", "_old", "_young")

    def __init__(self, size: int) -> None:
        self._half = size // 2
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._begin_again()
        in_each_child(self._begin_again)

    def _begin_again(self) -> None:
        # Reentrant: whoever is collected while its thread holds this may come here at its end.
        self._lock = RLock()

    def get(self, key: K) -> V | None:
        value = self._young.get(key)
        return value if value is not None else self._old.get(key)

    def put(self, key: K, value: V) -> None:
        with self._lock:
            if len(self._young) >= self._half:
                self._old, self._young = self._young, {}
            if self._half:
                self._young[key] = value

    def drop(self, key: K) -> None:
        with self._lock:
            self._young.pop(key, None)
            self._old.pop(key, None)

    def __len__(self) -> int:
        return len(self._young) + len(self._old)


class CacheInfo(NamedTuple):
    """How well the cache of verified access tokens serves this process."""

    hits: int
    """Requests with a token that had been verified before."""
    misses: int
    """Tokens that had to be verified, whatever came of it."""
    size: int
    """Tokens that are remembered now."""


@dataclass(slots=True, weakref_slot=True)
class ProcessMemory:
    """The memory of one `JWTAuth` in one process."""

    size: int
    ended: dict[str | None, None] = field(init=False, default_factory=dict[str | None, None])
    """The ids of sessions that this process has seen end, in that order; see `end`."""
    confirmed: Bounded[str, int] = field(init=False)
    """Session id to the newest generation this process has confirmed."""
    minted: Bounded[Any, Any] = field(init=False)
    """The tokens as presented to the answer this process made after its own swap."""
    siblings: Bounded[str, Any] = field(init=False)
    """The same answers by the access token as presented, for a glance."""
    standing: Bounded[str, Any] = field(init=False)
    """Session id to the one answer of `minted` that still stands; see `overturn`."""
    overturned: int = 0
    """How often an answer was, of whatever session: who samples it first can tell whether that
    happened meanwhile."""
    store_opened: bool = False
    """A process that only verifies never opens a store, not even to confirm."""
    pause_until: float = 0.0
    purge_again_at: float = 0.0
    _watchers: dict[str, set[Callable[[], None]]] = field(
        init=False, default_factory=dict[str, set[Callable[[], None]]]
    )
    """By session id: those who want to be told when it ends. As many as are connected."""
    _lock: Any = field(init=False, default_factory=RLock)

    def __post_init__(self) -> None:
        self.confirmed = Bounded(max(self.size, 2))
        self.minted = Bounded(max(self.size, 2))
        self.siblings = Bounded(max(self.size, 2))
        self.standing = Bounded(max(self.size, 2))
        in_each_child(self._begin_again)

    def _begin_again(self) -> None:
        self._lock = RLock()

    def end(self, session_id: str) -> None:
        """Remember an end. A plain dict, since every request with a known token looks here."""
        self._remember_end(session_id)
        with self._lock:
            told = tuple(self._watchers.get(session_id, ()))
        for tell in told:
            tell()

    def watch(self, session_id: str, tell: Callable[[], None]) -> Callable[[], None]:
        """Have ``tell`` called, in whichever thread, when the session is seen to end; answers
        what takes that back."""
        with self._lock:
            self._watchers.setdefault(session_id, set()).add(tell)

        def forget() -> None:
            with self._lock:
                watchers = self._watchers[session_id]
                watchers.discard(tell)
                if not watchers:
                    del self._watchers[session_id]

        return forget

    def _remember_end(self, session_id: str) -> None:
        if len(self.ended) >= ENDED_SIZE:
            for oldest in list(self.ended)[: ENDED_SIZE // 2]:
                self.ended.pop(oldest, None)
        self.ended[session_id] = None

    def overturn(self, session_id: str) -> None:
        """The session changes now: what was minted for it before may not be given again.

        To be said before the store is told and once more after it: of what is minted in between,
        nobody knows on which side of the change it was read.
        """
        with self._lock:
            self.overturned += 1
            self.standing.drop(session_id)

    def stand(self, session_id: str, answer: Any, *, since: int) -> bool:
        """Whether the answer may be given again: nothing was overturned since that sample."""
        with self._lock:
            if self.overturned != since:
                return False
            self.standing.put(session_id, answer)
            return True

    def has_confirmed(self, session_id: str, generation: int) -> bool:
        known = self.confirmed.get(session_id)
        return known is not None and known >= generation
