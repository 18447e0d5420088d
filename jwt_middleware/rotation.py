"""What a presented refresh token is worth, as one table.

A browser fires six requests with the same expired access token; a response is lost; a
proxy retries; four workers on three machines answer. Nobody may be signed out by that,
and a stolen refresh token must still be noticed. Strict single use signs honest people
out; a leeway in which every racer gets a token of its own forks the session and blinds
it to theft. This table does neither.

The row of a session stands at a *generation* ``G``. Each refresh token names the
generation ``g`` it is for. A rotation moves the row from ``G`` to ``G + 1`` by
compare-and-swap, so of N racers exactly one moves it; and since the token of a
generation can be recomputed from the row, the others are handed *the same* successor.

Two facts keep a thief from hiding behind that kindness:

*Confirmation.* A client that shows anything of generation ``G`` has received it. Until
then the answer may have been lost, and the predecessor is worth its successor again,
however late. After that, only for ``grace`` seconds: long enough for siblings of the
same burst and for retries of proxies, too short to live on.

*Reuse.* A predecessor outside those windows means that two parties hold the session.
Nobody can tell which is the thief, so the session ends for both.

The table is read from top to bottom; the first row that applies decides. It knows no
clock and does no I/O. It is asked twice per request: when the request arrives (this
decides who is signed in) and, for what may be handed out, again when the response
starts. Windows are inclusive for REPLAY and LATE; ROTATE begins at or after the grace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .sessions import Session

UPLOAD_WINDOW = 3600.0
"""Seconds after a rotation in which a predecessor that comes with a body may be a slow upload."""


class Verdict(Enum):
    """What the request gets."""

    ROTATE = "rotate"
    """Signed in; the row moves on, and new tokens of both kinds go out."""
    KEEP = "keep"
    """Signed in; the refresh token is still fresh, so only an access token goes out."""
    REPLAY = "replay"
    """Signed in; the successor that was already made goes out again."""
    LATE = "late"
    """Signed in; no token goes out."""
    AHEAD = "ahead"
    """Signed in; the row is swapped forward to the token, and an access token goes out."""
    ANONYMOUS = "anonymous"
    """Not signed in; nothing is revoked."""
    REUSE = "reuse"
    """Not signed in; the session ends."""

    @property
    def signed_in(self) -> bool:
        return self not in (Verdict.ANONYMOUS, Verdict.REUSE)

    @property
    def reissues(self) -> bool:
        return self.signed_in and self is not Verdict.LATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """A refresh token beside the row it names: all the table looks at."""

    session: Session | None
    generation: int
    """``g``: the generation of the presented token."""
    authentic: bool
    """The token's ``jti`` is the one the row gives for ``g``."""
    now: float
    grace: float
    """``rotation_grace``, seconds."""
    lost_response_window: float | None
    """Seconds after a rotation in which its answer may still have been lost; None: no end."""
    has_body: bool = False
    renewal: bool = False
    """The token is expired and renewed beside a valid access token: idle expiry is waived."""

    @property
    def row(self) -> Session:
        """The session, for the table's rows below the one that found it missing."""
        assert self.session is not None  # noqa: S101  # the first row of TABLE settled it
        return self.session

    @property
    def behind(self) -> int:
        """How many generations the token is behind the row."""
        return self.row.generation - self.generation

    @property
    def age(self) -> float:
        """Seconds since the row was rotated."""
        return self.now - self.row.rotated_at

    @property
    def confirmed(self) -> bool:
        """The client is known to hold the current generation (or has to be taken at it)."""
        strict = self.lost_response_window == 0
        return strict or self.row.confirmed_generation >= self.row.generation

    @property
    def maybe_lost(self) -> bool:
        """The answer that carried the current generation may never have arrived."""
        window = self.lost_response_window
        return not self.confirmed and (self.renewal or window is None or self.age <= window)

    @property
    def within_grace(self) -> bool:
        settled_at = max(self.row.rotated_at, self.row.confirmed_at)
        return self.now <= settled_at + self.grace

    @property
    def has_slow_body(self) -> bool:
        """The request has a body, which may be under way since before the row was rotated."""
        return self.has_body and self.age <= UPLOAD_WINDOW

    @property
    def past_expiry(self) -> bool:
        idle = self.now >= self.row.expires_at and not self.renewal
        return idle or self.now >= self.row.absolute_expires_at


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: if ``applies``, then ``verdict``, ``because``."""

    name: str
    applies: Callable[[Presented], bool]
    verdict: Verdict
    because: str
    reason: str | None = None
    """What ``RequestAuth.reason`` shows when the verdict leaves the request anonymous."""


TABLE: tuple[Row, ...] = (
    Row(
        "unknown",
        lambda p: p.session is None,
        Verdict.ANONYMOUS,
        "No such session: it was purged, or the store is not the one it was made in.",
        "unknown_session",
    ),
    Row(
        "forged",
        lambda p: not p.authentic,
        Verdict.ANONYMOUS,
        "A jti the row does not give: whoever made this token never saw the row, so it "
        "proves nothing about the session and must not be able to end it.",
        "invalid_token",
    ),
    Row(
        "ended",
        lambda p: p.row.revoked,
        Verdict.ANONYMOUS,
        "Signed out, here or everywhere, or ended by a reuse.",
        "revoked",
    ),
    Row(
        "expired",
        lambda p: p.past_expiry,
        Verdict.ANONYMOUS,
        "Idle for too long, or at the end of its absolute lifetime, which nothing extends.",
        "expired",
    ),
    Row(
        "current",
        lambda p: p.behind == 0 and (p.generation == 0 or p.age >= p.grace),
        Verdict.ROTATE,
        "The current token, old enough that the burst which made it is over.",
    ),
    Row(
        "fresh",
        lambda p: p.behind == 0,
        Verdict.KEEP,
        "The current token, just made: rotating again would leave slow siblings two "
        "generations behind, and one predecessor has to be enough.",
    ),
    Row(
        "slow upload",
        lambda p: (
            p.behind == 1 and p.has_slow_body and p.age > p.grace and p.maybe_lost and not p.renewal
        ),
        Verdict.KEEP,
        "A client whose answer was lost, or a body that was under way while its own browser went "
        "on: then an answer with the successor could overtake, in the jar, the token after that.",
    ),
    Row(
        "predecessor",
        lambda p: p.behind == 1 and (p.maybe_lost or p.within_grace),
        Verdict.REPLAY,
        "A sibling of the request that rotated, a retry, or a client whose answer was lost: "
        "it gets the successor that exists, never another one.",
    ),
    Row(
        "sibling of a recovery",
        lambda p: p.behind == 2 and p.age <= p.grace,
        Verdict.LATE,
        "A late sibling of a request whose lost answer has just been made good.",
    ),
    Row(
        "unclaimed successor",
        lambda p: p.behind == 1 and not p.confirmed,
        Verdict.ANONYMOUS,
        "Too late to be handed the successor, but nobody has used it either: no theft.",
        "superseded",
    ),
    Row(
        "late upload",
        lambda p: p.behind > 0 and p.has_slow_body,
        Verdict.ANONYMOUS,
        "A body may have spent minutes in a buffering proxy while its own browser rotated.",
        "superseded",
    ),
    Row(
        "ahead",
        lambda p: p.behind < 0,
        Verdict.AHEAD,
        "The jti proves that the row once stood there: the store has lost a write "
        "(failover, restored backup), not the client its token.",
    ),
    Row(
        "reuse",
        lambda p: True,
        Verdict.REUSE,
        "Spent, and its successor is in use: two parties hold this session.",
        "reuse",
    ),
)


def judge(presented: Presented) -> Row:
    """The first row of :data:`TABLE` that applies. The last one always does."""
    return next(row for row in TABLE if row.applies(presented))


def swap_to_successor(session: Session, *, idle: float, now: float) -> dict[str, Any]:
    """ROTATE, as arguments of ``store.rotate``. ``idle``: seconds a session may rest.

    The presented token proves that the client holds the generation it comes from.
    """
    return {
        "expected": session.generation,
        "generation": session.generation + 1,
        "rotated_at": now,
        "expires_at": min(now + idle, session.absolute_expires_at),
        "confirmed": session.generation,
    }


def swap_forward(
    session: Session, *, generation: int, issued_at: float, expires_at: float
) -> dict[str, Any]:
    """AHEAD, as arguments of ``store.rotate``: the row as it stood when the token was made."""
    return {
        "expected": session.generation,
        "generation": generation,
        "rotated_at": issued_at,
        "expires_at": min(expires_at, session.absolute_expires_at),
        "confirmed": generation,
    }
