"""docs/events.md, held to its word: its hook is run, its table has every event, at its level."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from stepping import SECRET, Browser, House

from jwt_middleware import Event
from jwt_middleware.events import EventName, tell

PAGE = (Path(__file__).parents[1] / "docs" / "events.md").read_text("utf-8")
ROWS = [
    [cell.strip().strip("`") for cell in line.strip("|").split("|")]
    for line in PAGE.partition("| event |")[2].partition("\n\n")[0].splitlines()[2:]
]


def test_its_hook_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts a login, and raises the alarm for a reuse."""
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.setenv("JWT_SESSION_STORE", "memory://")
    monkeypatch.setattr(logging.getLogger("jwt_middleware"), "level", logging.NOTSET)
    names: dict[str, Any] = {"__name__": "page"}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        exec(compile(block, "docs/events.md", "exec"), names)  # noqa: S102  # our own page
    names["auth"].issue("alice")
    assert names["counted"] == {("login", None): 1}
    names["on_event"](Event("reuse", 0.0, "reuse", "alice", "s"))
    assert names["alarms"] == ["alice: a refresh token was used by two"]


def test_its_table_has_every_event() -> None:
    """Each once, in the order of their type."""
    assert [row[0] for row in ROWS] == [*get_args(EventName)]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_its_levels_are_those_of_the_log(row: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """What is said to be a warning is one."""
    name: Any = row[0]
    with caplog.at_level(logging.INFO, "jwt_middleware"):
        tell(Event(name, 0.0), None)
    assert [record.levelname for record in caplog.records] == [row[1]]


def test_failing_hooks_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A failing ``load_claims`` is a warning with its name and the exception's type, and only at
    DEBUG its text and trace; what ``on_event`` raises has its trace at once."""

    def load_claims(session: Any) -> Any:
        raise LookupError("postgresql://scott:tiger@db")

    house = House(load_claims=load_claims)
    browser = Browser(house)
    browser.login()
    house.wait(1000)
    with caplog.at_level(logging.DEBUG, "jwt_middleware"):
        browser.arrive()
        tell(Event("login", 0.0), load_claims)
    failures = [record for record in caplog.records if "failed" in record.getMessage()]
    assert [(one.levelname, one.exc_info is not None) for one in failures] == [
        ("WARNING", False),
        ("DEBUG", True),
        ("ERROR", True),
    ]
    warned = failures[0].getMessage()
    assert ("load_claims" in warned, "LookupError" in warned, "tiger" in warned) == (
        True,
        True,
        False,
    )


def test_its_fields_are_those_of_an_event() -> None:
    """The table of fields is complete."""
    table = PAGE.partition("| field of")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [*Event.__slots__]
