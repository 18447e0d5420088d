"""``jwt-middleware sessions``: what it lists and ends is what the app knows, on real stores."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commanding import SECRET, Answer, Command
from stores.services import redis_url

from jwt_middleware import JWTAuth, Settings
from jwt_middleware.cli import sessions


@pytest.fixture(params=["sqlite", "redis"])
def auth(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JWTAuth]:
    """The app's side of the store."""
    if request.param == "sqlite":
        yield from opened(f"sqlite:///{tmp_path}/sessions.sqlite3")
    else:
        with redis_url(tmp_path) as url:
            yield from opened(url)


def opened(url: str) -> Iterator[JWTAuth]:
    auth = JWTAuth(Settings(secret_key=SECRET, session_store=url))
    yield auth
    auth.revoke_subject(ALICE)
    auth.close()


ALICE = f"alice at {time.time()}"
"""Nobody else's, as the Redis may be shared."""


def at(command: Command, auth: JWTAuth, *arguments: str) -> Answer:
    return command("sessions", *arguments, JWT_SESSION_STORE=str(auth.settings.session_store))


def test_a_list_for_people(command: Command, auth: JWTAuth) -> None:
    """There is a line for each session, newest first, with times and devices."""
    auth.issue(ALICE, user_agent="a phone", address="192.0.2.1")
    newest = auth.issue(ALICE, {"email": "alice@example.com"}).session_id
    answer = at(command, auth, "list", ALICE)
    assert (answer.status, answer.err) == (0, "")
    head, _, first, second = answer.out.splitlines()
    assert head.split()[0] == "session"
    assert first.startswith(newest)
    assert "in 30 days" in second
    assert second.endswith("a phone  192.0.2.1")
    assert "example.com" not in answer.out


def test_a_list_for_programs(command: Command, auth: JWTAuth) -> None:
    """With ``--json`` times are seconds, and neither claims nor salt are told."""
    made = auth.issue(ALICE)
    (listed,) = json.loads(at(command, auth, "list", ALICE, "--json").out)["sessions"]
    assert tuple(listed) == sessions.SHOWN
    assert listed["id"] == made.session_id
    assert listed["expires_at"] > time.time()


def test_nobody_is_signed_in(command: Command, auth: JWTAuth) -> None:
    """An empty list says that it is empty."""
    assert at(command, auth, "list", ALICE).out == "There are none.\n"


def test_one_session_is_ended(command: Command, auth: JWTAuth) -> None:
    """It ends once, only for its owner if one is named, and the rest of its life is told."""
    made = auth.issue(ALICE).session_id
    assert at(command, auth, "revoke", made, "--subject", "mallory").status == 1
    answer = at(command, auth, "revoke", made, "--subject", ALICE)
    assert (answer.status, answer.out) == (0, "Ended: 1\n")
    assert "stay good until they expire, in 15 min at the latest" in answer.err
    assert auth.sessions(ALICE) == []
    again = at(command, auth, "revoke", made, "--json")
    assert (again.status, json.loads(again.out), again.err) == (1, {"ended": 0}, "")


def test_all_sessions_but_one(command: Command, auth: JWTAuth) -> None:
    """All end but the one that is kept, then that one, too."""
    kept, *_ = (auth.issue(ALICE).session_id for _ in range(3))
    answer = at(command, auth, "revoke-all", ALICE, "--keep", kept)
    assert (answer.status, answer.out) == (0, "Ended: 2\n")
    assert [one.id for one in auth.sessions(ALICE)] == [kept]
    assert at(command, auth, "revoke-all", ALICE).out == "Ended: 1\n"


def test_a_purge(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is past its lifetime is deleted, the living stay, and a long purge says where it is."""
    url = f"sqlite:///{tmp_path}/sessions.sqlite3"
    old = JWTAuth(Settings(secret_key=SECRET, session_store=url), clock=lambda: 1e9)
    for _ in range(5):
        old.issue(ALICE)
    old.close()
    now = JWTAuth(Settings(secret_key=SECRET, session_store=url))
    now.issue(ALICE)
    monkeypatch.setattr("jwt_middleware.auth.PURGE_BATCH", 2)
    monkeypatch.setattr(sessions, "REPORT_EVERY", 0)
    answer = at(command, now, "purge")
    assert (answer.status, answer.out) == (0, "Deleted: 5\n")
    assert answer.err.splitlines() == [f"Deleted so far: {gone}" for gone in (2, 4, 5)]
    assert len(now.sessions(ALICE)) == 1
    assert json.loads(at(command, now, "purge", "--json").out) == {"deleted": 0}
    now.close()


def test_a_short_purge_is_silent(command: Command, tmp_path: Path) -> None:
    """A purge that takes no second reports nothing but its end."""
    url = f"sqlite:///{tmp_path}/sessions.sqlite3"
    old = JWTAuth(Settings(secret_key=SECRET, session_store=url), clock=lambda: 1e9)
    old.issue(ALICE)
    old.close()
    assert at(command, old, "purge")[1:] == ("Deleted: 1\n", "")


@pytest.mark.parametrize("url", ["memory://", "none"])
def test_stores_that_cannot_be_seen(command: Command, url: str) -> None:
    """Where there is nothing to work on, the settings are what is wrong."""
    answer = command("sessions", "list", "alice", JWT_SESSION_STORE=url)
    assert (answer.status, answer.out) == (3, "")
    assert "sqlite:///jwt-sessions.sqlite3" in answer.err


def test_a_store_that_is_away(command: Command) -> None:
    """An outage is told as one."""
    answer = command("sessions", "purge", JWT_SESSION_STORE="redis://127.0.0.1:1")
    assert (answer.status, answer.out) == (4, "")


def test_a_part_has_to_be_named(command: Command) -> None:
    """``sessions`` alone is a wrong use."""
    assert command("sessions").status == 2


def test_tokens_that_the_store_vouches_for(command: Command, auth: JWTAuth) -> None:
    """With ``check_session`` no token outlives its session, and nothing else is said."""
    made = auth.issue(ALICE).session_id
    store = str(auth.settings.session_store)
    environ = {"JWT_SESSION_STORE": store, "JWT_CHECK_SESSION": "always"}
    assert command("sessions", "revoke", made, **environ).err == ""
