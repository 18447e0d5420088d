"""The verbs: what is asked of Redis, and what the answers mean; no I/O is done here.

A session whose id does not carry its subject's tag (an imported one) lies with its subject
all the same. Where its id points there is then a hash with one field, `home`: the tag under
which to ask again.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

from jwt_middleware.errors import ConfigurationError
from jwt_middleware.sessions import TAG_LENGTH, Rotation, Session, routing_tag
from jwt_middleware.stores.columns import as_json
from jwt_middleware.stores.redis.row import (
    fields_of,
    number,
    session_in,
    session_or_none,
    text_of,
)
from jwt_middleware.stores.redis.scripts import (
    CLAIM,
    CONFIRM,
    CREATE,
    FIND,
    LOAD,
    PURGE,
    REVOKE,
    REVOKE_SUBJECT,
    ROTATE,
    UPDATE,
    Script,
)

T = TypeVar("T")

SLACK = 3600.0
"""Seconds a key outlives its use: clocks differ, and reuse is to stay visible to the end."""

LONGEST = 3660 * 86400.0
"""Seconds after which Redis forgets whatever it was given: it refuses times without end."""

PAGE = 1000
"""Keys a purge has the server look at in one step."""

_TAG = re.compile(f"[A-Za-z0-9_-]{{{TAG_LENGTH}}}", re.ASCII)
"""What :func:`~jwt_middleware.sessions.routing_tag` makes: never a brace."""


class Step(NamedTuple):
    """One script to be run."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[str]


Steps: TypeAlias = Generator[Step, Any, T]
"""A generator that yields scripts, is sent their replies, and in the end returns a ``T``."""


class Swap(NamedTuple):
    """What a rotation asks for."""

    expected: int
    generation: int
    rotated_at: float
    expires_at: float
    confirmed: int
    claims: Mapping[str, Any] | None
    now: float


class Verbs:
    """The verbs of a session store, for keys that begin with ``prefix``."""

    def __init__(self, prefix: str) -> None:
        if set(prefix) & set("{}"):
            raise ConfigurationError("the prefix of the keys in Redis cannot hold a brace")
        self._prefix = prefix
        literal = "".join(f"\\{char}" if char in "*?[]\\" else char for char in prefix)
        self.of_subjects: str = literal + "{" + "?" * TAG_LENGTH + "}:[ie]:*"
        """The pattern of the keys to purge: everything there is about a subject."""

    def create(self, session: Session, ends: Sequence[str], now: float) -> Steps[Session]:
        home = routing_tag(session.subject)
        lifetime = _milliseconds(session.absolute_expires_at - now)
        if _tag(session.id) != home:
            claim = yield Step(CLAIM, [self._row(_tag(session.id), session.id)], [home, lifetime])
            _check_new(claim)
        beside = [ended for ended in ends if _tag(ended) == home]
        keys = [self._row(home, session.id), *self._about(session.subject)]
        keys += [self._row(home, ended) for ended in beside]
        settled, row, ended = yield Step(
            CREATE, keys, [self._rows(home), lifetime, number(now), *fields_of(session)]
        )
        _check_new(settled)
        # One session that ends, of the same subject, is the usual case and done by now. Those
        # in other slots cannot be reached by the same script: each is ended by one of its own.
        if ended < len(ends):
            for other in ends:
                yield from self.revoke(other, "replaced", now)
        return session_in(row)

    def load(self, session_id: str) -> Steps[Session | None]:
        _, session = yield from self._of(session_id, LOAD)
        return session

    def rotate(self, session_id: str, swap: Swap) -> Steps[Rotation]:
        won, session = yield from self._of(
            session_id,
            ROTATE,
            str(swap.expected),
            str(swap.generation),
            number(swap.rotated_at),
            number(swap.expires_at),
            str(swap.confirmed),
            "" if swap.claims is None else as_json(swap.claims),
            number(swap.now),
        )
        return Rotation(session, won)

    def confirm(self, session_id: str, generation: int, now: float) -> Steps[None]:
        yield from self._of(session_id, CONFIRM, str(generation), number(now))

    def update(self, session_id: str, claims: Mapping[str, Any]) -> Steps[Session | None]:
        _, session = yield from self._of(session_id, UPDATE, as_json(claims))
        return session

    def revoke(self, session_id: str, reason: str, now: float) -> Steps[bool]:
        done, _ = yield from self._of(session_id, REVOKE, reason, number(now))
        return done

    def revoke_subject(
        self, subject: str, reason: str, keep: str | None, until: float, now: float
    ) -> Steps[list[str]]:
        epoch = [number(now), keep or "", number(until), reason]
        rows = self._rows(routing_tag(subject))
        ended = yield Step(
            REVOKE_SUBJECT,
            self._about(subject),
            [rows, _milliseconds(until - now), *epoch],
        )
        return [text_of(session_id) for session_id in ended]

    def find(self, subject: str, now: float) -> Steps[list[Session]]:
        rows = self._rows(routing_tag(subject))
        found = yield Step(FIND, self._about(subject), [rows, number(now)])
        return sorted(map(session_in, found), key=lambda row: row.created_at, reverse=True)

    def purge(self, key: str | bytes, before: float, limit: int) -> Steps[int]:
        """Purge what one of the keys ``of_subjects`` is about; answers how many rows went.

        The addresses of sessions that lie elsewhere are left to Redis.
        """
        subject = text_of(key)[len(self._prefix) + TAG_LENGTH + len("{}:i:") :]
        rows = self._rows(routing_tag(subject))
        gone: int = yield Step(PURGE, self._about(subject), [rows, number(before), str(limit)])
        return gone

    def _of(
        self, session_id: str, script: Script, *arguments: str
    ) -> Steps[tuple[bool, Session | None]]:
        """Run a script on one row: whether it did what it is for, and the row after it."""
        done, row = yield Step(script, [self._row(_tag(session_id), session_id)], arguments)
        *_, home = row
        if home is not None:
            done, row = yield Step(script, [self._row(text_of(home), session_id)], arguments)
        return bool(done), session_or_none(row)

    def _row(self, tag: str, session_id: str) -> str:
        return self._rows(tag) + session_id

    def _rows(self, tag: str) -> str:
        return f"{self._prefix}{{{tag}}}:s:"

    def _about(self, subject: str) -> list[str]:
        place = f"{self._prefix}{{{routing_tag(subject)}}}"
        return [f"{place}:i:{subject}", f"{place}:e:{subject}"]


def _tag(session_id: str) -> str:
    """The routing tag in front of an id; an id too odd to have one is given one."""
    tag = session_id[:TAG_LENGTH]
    return tag if _TAG.fullmatch(tag) else routing_tag(session_id)


def _check_new(settled: int) -> None:
    if not settled:
        raise ValueError("a session with this id is stored already")


def _milliseconds(seconds: float) -> str:
    """How long Redis keeps what is in use for so many seconds.

    Counted from now, whatever the caller's clock says, and never from the server's clock.
    """
    return str(int((min(max(seconds, 0.0), LONGEST) + SLACK) * 1000))
