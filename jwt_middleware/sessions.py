"""The session: one row a sign-in, the protocol every store keeps, and its typed verbs.

No token is stored, and no hash of one. The row holds what is needed to *recompute* the
refresh token it stands at (see :mod:`jwt_middleware.tokens`), so that any node can hand
every racer of a burst the same successor, and a stolen database forges nothing.

All times are seconds since the epoch (float), always passed in by the caller.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Protocol, runtime_checkable

from .driver import Asks, Command

JUST_AFTER = 1e-6
"""Seconds by which what begins in the instant of a log-out-everywhere is later than it."""

TAG_LENGTH = 8
"""Characters of a session id that are its routing tag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A signed-in device, as the store keeps it.

    ``generation`` counts the refresh tokens of this session, from 0: exactly one is
    current. ``confirmed_generation`` is the newest one the client has been seen to hold.
    Generation 0 needs no such proof, since nothing came before it.
    """

    id: str
    subject: str
    claims: Mapping[str, Any]
    persistent: bool
    created_at: float
    """Arrival of the request that signed in: what log-out-everywhere is measured against."""
    rotated_at: float
    expires_at: float
    """Idle expiry: each rotation moves it, up to ``absolute_expires_at``."""
    absolute_expires_at: float
    refresh_salt: str = field(repr=False)
    generation: int = 0
    confirmed_generation: int = 0
    confirmed_at: float = 0.0
    """When the current ``confirmed_generation`` was confirmed; 0.0 for generation 0."""
    last_seen_at: float
    """Moves with ``rotate`` and ``confirm`` only, never on the hot path."""
    revoked_at: float | None = None
    revoked_reason: str | None = None
    user_agent: str | None = None
    address: str | None = None

    @property
    def revoked(self) -> bool:
        return self.revoked_at is not None

    def alive(self, now: float) -> bool:
        """Neither revoked nor past its idle or absolute expiry."""
        return not self.revoked and now < self.expires_at and now < self.absolute_expires_at


def not_alive(session: Session | None, now: float) -> str | None:
    """Why a session does not count, as ``RequestAuth.reason`` has it; None: it does."""
    if session is None:
        return "unknown_session"
    if session.revoked:
        return "revoked"
    return None if session.alive(now) else "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSession(Session):
    """A session in the list that its owner is shown."""

    current: bool = False
    """It is the one the list is asked for from."""


def new_session_id(subject: str) -> str:
    """128 random bits behind the subject's routing tag."""
    return routing_tag(subject) + secrets.token_urlsafe(16)


def listed(session: Session, *, current: bool) -> ListedSession:
    """The session as one of a list."""
    row = {item.name: getattr(session, item.name) for item in fields(session)}
    return ListedSession(**row, current=current)


def routing_tag(subject: str) -> str:
    """The same few characters for every session of a subject.

    In front of a session id it lets a sharded store keep all keys of a subject together
    (one Redis Cluster slot). It is not keyed by the secret: a roll-over of the secret
    must not scatter a subject's sessions.
    """
    digest = hashlib.blake2b(subject.encode(), digest_size=6, person=b"jwt-mw-subject").digest()
    return urlsafe_b64encode(digest).decode()


class Rotation(NamedTuple):
    """The answer to ``rotate``: the row as it stands *after* the call, and who moved it."""

    session: Session | None
    won: bool
    """True for the one caller whose compare-and-swap moved the row."""


class SessionStore(Protocol):
    """What a session store does. Every verb is one atomic step.

    Anything a verb raises counts as "the store is unavailable". Verbs must be safe to call from
    many threads. ``jwt_middleware.testing.SessionStoreContract`` is the test suite a store has
    to pass.

    *Every verb ends in bounded time, and that is the store's own promise.* A request waits for
    it, and nobody can interrupt a call that blocks without leaving half a write behind:
    ``store_timeout`` reaches the stores that are opened by a URL, not a store that is given as
    an object. Give its driver a timeout.

    *Ended* below means: ``revoked_at`` is set, or the session is covered by its subject's
    epoch (see ``revoke_subject``). A covered session is shown with ``revoked_at`` set.
    """

    def create(self, session: Session, *, ends: Sequence[str] = (), now: float) -> Session:
        """Store a new row and, in the same write, revoke (reason ``"replaced"``) the
        sessions in ``ends``. Answers the row as stored: already revoked if its
        ``created_at`` is at or before the epoch of its subject."""
        ...

    def load(self, session_id: str, *, now: float) -> Session | None:
        """The row, ended or not; None if there is none."""
        ...

    def rotate(
        self,
        session_id: str,
        *,
        expected: int,
        generation: int,
        rotated_at: float,
        expires_at: float,
        confirmed: int,
        claims: Mapping[str, Any] | None = None,
        now: float,
    ) -> Rotation:
        """Compare-and-swap: only if the row is not ended and stands at ``expected``, set
        ``generation``, ``rotated_at``, ``expires_at``, ``last_seen_at = now``, the claims
        unless None, and raise ``confirmed_generation`` to at least ``confirmed`` (with
        ``confirmed_at = now`` if that raised it)."""
        ...

    def confirm(self, session_id: str, *, generation: int, now: float) -> None:
        """If the row is not ended, stands at ``generation`` and that is not confirmed yet:
        set ``confirmed_generation``, ``confirmed_at = now``, ``last_seen_at = now``.
        Reads first, so that the common "already confirmed" takes no write lock."""
        ...

    def update(self, session_id: str, claims: Mapping[str, Any], *, now: float) -> Session | None:
        """Replace the claims of a row that is not ended; answers the row as it stands after."""
        ...

    def revoke(self, session_id: str, *, reason: str, now: float) -> bool:
        """End the session. True for the one call that ended it."""
        ...

    def revoke_subject(
        self, subject: str, *, reason: str, keep: str | None = None, until: float, now: float
    ) -> list[str]:
        """End every session of the subject but ``keep``; answers the ids this call ended.

        First stores the subject's epoch, ``now``: any row of the subject with
        ``created_at <= now``, except ``keep``, counts as ended, even if it is written
        later. (A later epoch wins over an earlier one.) The epoch may be forgotten
        after ``until``."""
        ...

    def find(self, subject: str, *, now: float) -> list[Session]:
        """The subject's sessions that are alive at ``now``, newest ``created_at`` first."""
        ...

    def purge(self, before: float, *, limit: int = 1000) -> int:
        """Delete at most ``limit`` rows whose ``absolute_expires_at`` is at or before
        ``before``, and epochs whose ``until`` is; answers how many rows went."""
        ...

    def close(self) -> None:
        """Let go of connections. The store may be used again and then reconnects."""
        ...


@runtime_checkable
class AsyncSessionStore(Protocol):
    """The same verbs as :class:`SessionStore`, to be awaited.

    A verb that takes longer than ``store_timeout`` is cancelled, and counts as failed; so does
    one whose client has gone. Either may come at any ``await``: what a verb had written by then
    has to be all or nothing, and a connection that still owes an answer is not used again.
    """

    async def create(
        self, session: Session, *, ends: Sequence[str] = (), now: float
    ) -> Session: ...

    async def load(self, session_id: str, *, now: float) -> Session | None: ...

    async def rotate(
        self,
        session_id: str,
        *,
        expected: int,
        generation: int,
        rotated_at: float,
        expires_at: float,
        confirmed: int,
        claims: Mapping[str, Any] | None = None,
        now: float,
    ) -> Rotation: ...

    async def confirm(self, session_id: str, *, generation: int, now: float) -> None: ...

    async def update(
        self, session_id: str, claims: Mapping[str, Any], *, now: float
    ) -> Session | None: ...

    async def revoke(self, session_id: str, *, reason: str, now: float) -> bool: ...

    async def revoke_subject(
        self, subject: str, *, reason: str, keep: str | None = None, until: float, now: float
    ) -> list[str]: ...

    async def find(self, subject: str, *, now: float) -> list[Session]: ...

    async def purge(self, before: float, *, limit: int = 1000) -> int: ...

    async def close(self) -> None: ...


class _StoreVerbs:
    """The verbs a decision asks, as commands; the signatures are the protocol's."""

    def create(self, session: Session, *, ends: Sequence[str], now: float) -> Asks[Session]:
        answer: Session = yield Command("store", "create", (session,), {"ends": ends, "now": now})
        return answer

    def load(self, session_id: str, *, now: float) -> Asks[Session | None]:
        answer: Session | None = yield Command("store", "load", (session_id,), {"now": now})
        return answer

    def rotate(self, session_id: str, **swap: Any) -> Asks[Rotation]:
        answer: Rotation = yield Command("store", "rotate", (session_id,), swap)
        return answer

    def confirm(self, session_id: str, *, generation: int, now: float) -> Asks[None]:
        yield Command("store", "confirm", (session_id,), {"generation": generation, "now": now})

    def update(
        self, session_id: str, claims: Mapping[str, Any], *, now: float
    ) -> Asks[Session | None]:
        answer: Session | None = yield Command(
            "store", "update", (session_id, claims), {"now": now}
        )
        return answer

    def revoke(self, session_id: str, *, reason: str, now: float) -> Asks[bool]:
        answer: bool = yield Command(
            "store", "revoke", (session_id,), {"reason": reason, "now": now}
        )
        return answer

    def revoke_subject(
        self, subject: str, *, reason: str, keep: str | None = None, until: float, now: float
    ) -> Asks[list[str]]:
        options = {"reason": reason, "keep": keep, "until": until, "now": now}
        answer: list[str] = yield Command("store", "revoke_subject", (subject,), options)
        return answer

    def find(self, subject: str, *, now: float) -> Asks[list[Session]]:
        answer: list[Session] = yield Command("store", "find", (subject,), {"now": now})
        return answer

    def purge(self, before: float, *, limit: int) -> Asks[int]:
        answer: int = yield Command("store", "purge", (before,), {"limit": limit})
        return answer

    def close(self) -> Asks[None]:
        yield Command("store", "close")


store: _StoreVerbs = _StoreVerbs()
"""``row = yield from store.load(session_id, now=now)``"""
