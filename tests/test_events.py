"""Security events: told to the log and to a hook, holding ids and reasons alone."""

from __future__ import annotations

import logging
from typing import get_args

import pytest

from jwt_middleware.events import Event, EventName, tell
from jwt_middleware.world import Hooks

NAMES = get_args(EventName)
LOUD = {"reuse", "store_unavailable", "store_behind", "oversized"}


def test_the_names() -> None:
    """The names are a promise to whoever counts them."""
    assert set(NAMES) == {
        *("login", "reissued", "replayed", "lost_response", "reuse", "revoked"),
        *("csrf_refused", "token_refused", "store_unavailable", "store_behind", "oversized"),
    }


@pytest.mark.parametrize("name", NAMES)
def test_an_event_is_logged(name: EventName, caplog: pytest.LogCaptureFixture) -> None:
    """Every event is logged once, and what somebody has to look into is a warning."""
    event = Event(name, 1.5, "why", "alice", "the-session")
    with caplog.at_level(logging.INFO, "jwt_middleware"):
        tell(event, None)
    (record,) = caplog.records
    assert record.name == "jwt_middleware"
    assert record.levelno == (logging.WARNING if name in LOUD else logging.INFO)
    assert record.getMessage() == f"{name} (reason=why, session='the-session')"
    assert record.__dict__["jwt_event"] is event


def test_an_event_of_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """An event need not be about a session."""
    with caplog.at_level(logging.INFO, "jwt_middleware"):
        tell(Event("csrf_refused", 1.5), None)
    assert caplog.messages == ["csrf_refused (reason=None, session=None)"]


def test_the_hook_is_told() -> None:
    """The hook gets the event itself."""
    told: list[Event] = []
    event = Event("login", 1.5)
    tell(event, told.append)
    assert told == [event]


def test_a_failing_hook_reaches_no_request(caplog: pytest.LogCaptureFixture) -> None:
    """What a hook raises is logged with its traceback, and goes no further."""

    def fail(event: Event) -> None:
        raise RuntimeError(f"no room for {event.name}")

    tell(Event("login", 1.5), fail)
    (record,) = (record for record in caplog.records if record.exc_info)
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "on_event failed for login"
    assert record.exc_info is not None
    assert "no room for login" in str(record.exc_info[1])


def test_leaving_is_not_held_up() -> None:
    """A hook may still end the process: only exceptions are kept from requests."""

    def leave(event: Event) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        tell(Event("login", 1.5), leave)


def test_the_log_says_no_name(caplog: pytest.LogCaptureFixture) -> None:
    """The text of the log does not say who it was: that is for the hook to keep or not."""  # S53
    with caplog.at_level(logging.INFO, "jwt_middleware"):
        tell(Event("login", 1.5, None, "alice@example.com", "s"), None)
    assert "alice" not in caplog.text


def test_an_event_has_room_for_ids_and_reasons_alone() -> None:
    """An event has no place for a token, a cookie or a request."""  # S53
    assert Event.__slots__ == ("name", "at", "reason", "subject", "session_id")
    with pytest.raises(AttributeError):
        Event("login", 1.5).name = "reuse"  # pyright: ignore[reportAttributeAccessIssue]


def test_what_happens_often_is_told_to_whoever_hears(caplog: pytest.LogCaptureFixture) -> None:
    """A repeated answer is told to the hook and to the log; where neither listens, to nobody."""
    heard: list[Event] = []
    caplog.set_level(logging.WARNING, "jwt_middleware")
    Hooks(None, None).tell("replayed", 1.0, "alice", "sid")
    assert caplog.records == []
    Hooks(None, heard.append).tell("replayed", 1.0, "alice", "sid")
    assert heard == [Event("replayed", 1.0, None, "alice", "sid")]
    caplog.set_level(logging.INFO, "jwt_middleware")
    Hooks(None, None).tell("replayed", 2.0, "alice", "sid")
    (record,) = caplog.records
    assert "replayed" in record.getMessage()
