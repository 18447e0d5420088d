"""A session as the columns of a table: what the stores that speak SQL have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from jwt_middleware.sessions import Session

COLUMNS = tuple(field.name for field in fields(Session))
"""Session's fields, in Session's order."""

TIMES = tuple(name for name in COLUMNS if name.endswith("_at"))


def columns_of(session: Session) -> dict[str, Any]:
    """What is to be stored, by the names of the columns."""
    values = {name: getattr(session, name) for name in COLUMNS}
    values["claims"] = as_json(session.claims)
    return values


def session_of(columns: Sequence[Any]) -> Session:
    """The session in a row that was read, whose columns stand in Session's order."""
    values = dict(zip(COLUMNS, columns, strict=True))
    values["claims"] = json.loads(values["claims"])
    values["persistent"] = bool(values["persistent"])
    for name in TIMES:
        if values[name] is not None:
            values[name] = float(values[name])  # SQLite may answer 1.0 as 1
    return Session(**values)


def as_json(claims: Mapping[str, Any]) -> str:
    """Claims as text, in ASCII: what PostgreSQL stores in no text (U+0000) is escaped."""
    return json.dumps(dict(claims), separators=(",", ":"), allow_nan=False)
