"""What commands print: tables that line up, and times that people can read."""

from __future__ import annotations

import pytest

from jwt_middleware.cli.output import distance, moment, table


def test_a_table_lines_up() -> None:
    """Columns begin below each other and below their heads, and no line ends in blanks."""
    assert table([("alice", 1), ("bob", 20)], head=("name", "count")) == (
        "name   count\n-----  -----\nalice  1\nbob    20"
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s ago"), (59, "in 59 s"), (-180, "3 min ago"), (7200, "in 2 h"), (9e5, "in 10 days")],
    ids=str,
)
def test_how_far_a_moment_is(seconds: float, words: str) -> None:
    """How far a moment is away is said in the unit that fits."""
    assert distance(seconds) == words


def test_a_moment() -> None:
    """A moment is told in UTC."""
    assert moment(1_800_000_000) == "2027-01-15 08:00:00 UTC"
