"""``jwt-middleware issue``: a session that the app knows, and its tokens."""

from __future__ import annotations

import json

import pytest
from commanding import Command

from jwt_middleware import JWTAuth, Settings

STORE = "sqlite:///sessions.sqlite3"


def test_the_app_knows_the_session(command: Command) -> None:
    """The tokens are those of a session in the app's own store, with the claims asked for."""
    made = command(
        "issue", "alice", "--claims", '{"roles": ["admin"]}', "--json", JWT_SESSION_STORE=STORE
    )
    assert (made.status, made.err) == (0, "")
    answer = json.loads(made.out)
    assert answer["token_type"] == "Bearer"
    auth = JWTAuth(Settings.from_env(session_store=STORE))
    (session,) = auth.sessions("alice")
    assert (session.id, session.claims["roles"]) == (answer["session_id"], ["admin"])
    assert session.user_agent == "jwt-middleware issue"
    auth.close()


def test_it_can_be_piped(command: Command) -> None:
    """``--access-only`` prints a token that ``inspect`` takes as it is."""
    made = command("issue", "alice", "--access-only")
    assert made.out.count("\n") == 1
    assert command("inspect", "--verify", piped=made.out).status == 0


def test_for_people(command: Command) -> None:
    """Without an option there is a line for each thing."""
    out = command("issue", "alice").out
    names = [line.split()[0] for line in out.splitlines()]
    assert names == ["access_token", "token_type", "expires_in", "refresh_token", "session_id"]


def test_what_readable_tokens_should_not_hold(command: Command) -> None:
    """Claims that look private are warned of, unless tokens are encrypted."""
    arguments = ("issue", "alice@example.com", "--claims", '{"password": "hunter2"}')
    err = command(*arguments).err
    assert "sub looks like an e-mail address" in err
    assert "password looks like a password" in err
    assert "hunter2" not in err
    assert command(*arguments, JWT_ENCRYPTION_KEY="A" * 43).err == ""


def test_a_session_that_nobody_will_find(command: Command) -> None:
    """With ``memory://`` the session ends with the command, which says so."""
    made = command("issue", "alice", JWT_SESSION_STORE="memory://")
    assert (made.status, "the session has ended with it" in made.err) == (0, True)


def test_a_store_that_is_away(command: Command) -> None:
    """A store that does not answer is an outage, told with its cause and without its password."""
    made = command(
        "issue", "alice", JWT_SESSION_STORE="redis://:hunter2@127.0.0.1:1", JWT_STORE_TIMEOUT="0.5"
    )
    assert (made.status, made.out) == (4, "")
    assert "ConnectionError" in made.err
    assert "hunter2" not in made.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "SUBJECT"),
        (("",), "must not be empty"),
        (("alice", "--claims", "{"), "expected JSON, such as"),
        (("alice", "--claims", "[]"), "expected a JSON object"),
        (("alice", "--claims", '{"exp": 1}'), "exp"),
    ],
    ids=["nobody", "no name", "no JSON", "no object", "a reserved claim"],
)
def test_what_cannot_be_issued(command: Command, arguments: tuple[str, ...], words: str) -> None:
    """What makes no token is a wrong use of the command."""
    made = command("issue", *arguments)
    assert (made.status, made.out) == (2, "")
    assert words in made.err
