"""A session as Redis keeps it: a hash of texts, the same to the last bit when read again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from jwt_middleware.sessions import Session
from jwt_middleware.stores.columns import as_json


class Kind(NamedTuple):
    """How a field is written, and how it is read again."""

    write: Callable[[Any], str]
    read: Callable[[str], Any]


def number(value: float) -> str:
    """To the last bit: ``float`` reads the same again, and so does Lua."""
    return repr(float(value))


def _flag(value: bool) -> str:
    return str(int(value))


def _is_set(text: str) -> bool:
    return text == "1"


_STRING = Kind(str, str)
_TIME = Kind(number, float)
_COUNT = Kind(str, int)
_FLAG = Kind(_flag, _is_set)
_CLAIMS = Kind(as_json, json.loads)

FIELDS = {
    "id": _STRING,
    "subject": _STRING,
    "claims": _CLAIMS,
    "persistent": _FLAG,
    "created_at": _TIME,
    "rotated_at": _TIME,
    "expires_at": _TIME,
    "absolute_expires_at": _TIME,
    "refresh_salt": _STRING,
    "generation": _COUNT,
    "confirmed_generation": _COUNT,
    "confirmed_at": _TIME,
    "last_seen_at": _TIME,
    "revoked_at": _TIME,
    "revoked_reason": _STRING,
    "user_agent": _STRING,
    "address": _STRING,
}
"""The fields of a row, in the order scripts answer them. What is None is not stored."""

Reply: TypeAlias = Sequence[str | bytes | None]
"""What ``row`` answers in Lua. A client given to us may have been told to decode."""


def fields_of(session: Session) -> list[str]:
    """The names and values of what is to be stored."""
    written: list[str] = []
    for name, kind in FIELDS.items():
        value = getattr(session, name)
        if value is not None:
            written += name, kind.write(value)
    return written


def session_or_none(reply: Reply) -> Session | None:
    """The row in a reply; None where there is none."""
    return None if reply[0] is None else session_in(reply)


def session_in(reply: Reply) -> Session:
    """The row in a reply that has one."""
    texts = [None if value is None else text_of(value) for value in reply]
    values: dict[str, Any] = {
        name: None if text is None else kind.read(text)
        for (name, kind), text in zip(FIELDS.items(), texts, strict=False)  # `home` is over
    }
    return Session(**values)


def text_of(value: str | bytes) -> str:
    """What Redis answered, as text."""
    return value.decode() if isinstance(value, bytes) else value
