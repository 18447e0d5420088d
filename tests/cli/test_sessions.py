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
from jwt_middleware.cli.asked_store import place


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
    assert answer.status == 0
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
    auth.revoke_subject(ALICE)  # the store is there
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
    assert answer.err.splitlines()[1:] == [f"Deleted so far: {gone}" for gone in (2, 4, 5)]
    assert len(now.sessions(ALICE)) == 1
    assert json.loads(at(command, now, "purge", "--json").out) == {"deleted": 0}
    now.close()


def test_a_short_purge_is_silent(command: Command, tmp_path: Path) -> None:
    """A purge that takes no second reports nothing but its end."""
    url = f"sqlite:///{tmp_path}/sessions.sqlite3"
    old = JWTAuth(Settings(secret_key=SECRET, session_store=url), clock=lambda: 1e9)
    old.issue(ALICE)
    old.close()
    answer = at(command, old, "purge")
    assert answer.out == "Deleted: 1\n"
    assert answer.err.splitlines() == [f"Store: {tmp_path / 'sessions.sqlite3'}"]


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


def test_tokens_that_the_store_vouches_for(command: Command, auth: JWTAuth) -> None:
    """With ``check_session`` no token outlives its session, and nothing else is said."""
    made = auth.issue(ALICE).session_id
    store = str(auth.settings.session_store)
    environ = {"JWT_SESSION_STORE": store, "JWT_CHECK_SESSION": "always"}
    assert "Access tokens" not in command("sessions", "revoke", made, **environ).err


@pytest.mark.parametrize("part", [("list", "alice"), ("revoke-all", "alice"), ("purge",)])
@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+pysqlite"])
def test_a_file_that_is_missing(
    command: Command, tmp_path: Path, part: tuple[str, ...], scheme: str
) -> None:
    """Where no file is, the answer is where it was looked for and what to do, and none is made."""
    answer = command("sessions", *part, JWT_SESSION_STORE=f"{scheme}:///x")
    assert (answer.status, answer.out) == (3, "")
    assert f"there is no file {str(tmp_path / 'x')!r}" in answer.err
    assert "in the folder of the app" in answer.err
    assert "JWT_SESSION_STORE=sqlite:////" in answer.err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_missing_by_another_prefix(command: Command) -> None:
    """The variable that is advised is the one that is read; the default file is looked for, too."""
    answer = command("sessions", "list", "alice", "--prefix", "SHOP_", SHOP_SECRET_KEY=SECRET)
    assert answer.status == 3
    assert "jwt-sessions.sqlite3', so" in answer.err
    assert " SHOP_SESSION_STORE=sqlite:////" in answer.err


def test_a_file_that_cannot_be_looked_at(command: Command) -> None:
    """A path that the system refuses is no missing file, but a store that does not answer."""
    answer = command("sessions", "purge", JWT_SESSION_STORE=f"sqlite:///{'x' * 300}")
    assert (answer.status, "there is no file" in answer.err) == (4, False)


def test_the_store_is_named(command: Command, auth: JWTAuth) -> None:
    """A person reads which store was asked; a program gets its document alone."""
    auth.issue(ALICE)
    url = str(auth.settings.session_store)
    assert at(command, auth, "list", ALICE).err == f"Store: {place(url)}\n"
    assert at(command, auth, "list", ALICE, "--json").err == ""


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("redis://10.0.0.1:6379/3", "redis://10.0.0.1:6379/3"),
        ("rediss://app:hunter2@[::1]:6379", "rediss://…@[::1]:6379"),
        ("redis://cache?password=hunter2", "redis://cache"),
        ("postgresql://app:hunter2@db/app?sslmode=require", "postgresql://…@db/app"),
        ("postgresql://app:1/hunter2@db/app", "postgresql://…"),
        ("postgresql://app:1?hunter2@db/app", "postgresql://…"),
        ("postgresql://db/app?password=p@hunter2", "postgresql://…"),
        ("sqlite+pysqlite:///file:hunter2?uri=true", "sqlite+pysqlite://…"),
        ("sqlite+pysqlite:////srv/app?timeout=1", "/srv/app"),
    ],
)
def test_how_a_store_is_named(url: str, named: str) -> None:
    """What may be a password in a URL is never shown, wherever it stands."""
    assert place(url) == named
