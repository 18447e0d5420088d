"""What a command says: tables for people, JSON for programs, warnings beside both.

What is shown may come from a stranger's token. A terminal obeys control characters, so none of
them is printed as it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

GAP = "  "


def say(text: str) -> None:
    """To standard output."""
    print(text)


def warn(text: str) -> None:
    """To standard error, where it reaches a person though the output goes to a program."""
    print(text, file=sys.stderr)


def show_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON document, for programs."""
    print(as_json(value))


def as_json(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """In ASCII, which is safe in any terminal."""
    return json.dumps(value, indent=2)


def table(rows: Sequence[Sequence[object]], head: Sequence[str] = ()) -> str:
    """Columns that line up; the last one may be as long as it likes."""
    cells = [[printable(str(cell)) for cell in row] for row in ([head] if head else [])]
    cells += [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    if head:
        cells.insert(1, ["-" * width for width in widths])
    return "\n".join(
        GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def printable(text: str) -> str:
    """The text with an escape in place of each character that would not simply be seen."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def moment(seconds: float) -> str:
    """A time in UTC, to the second; what is beyond the calendar, as its number."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return f"{seconds:g}"


def distance(seconds: float) -> str:
    """How far a moment lies ahead (positive) or back, in the unit that fits."""
    size = abs(seconds)
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if size >= 2 * length:
            amount = f"{size / length:.0f} {unit}"
            break
    else:
        amount = f"{size:.0f} s"
    return f"in {amount}" if seconds > 0 else f"{amount} ago"
