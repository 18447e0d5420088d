"""What a command that was used wrongly is told: what was wrong with it, and no token again."""

from __future__ import annotations

import pytest
from commanding import SECRET, Command

from jwt_middleware import JWTAuth, Settings


@pytest.fixture
def token() -> str:
    settings = Settings(secret_key=SECRET, session_store="memory://")
    return JWTAuth(settings).issue("alice").access_token


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sessions"], "the following arguments are required: PART"),
        (["sessions", "lsit"], "argument PART: invalid choice: 'lsit'"),
        (["chekc"], "argument COMMAND: invalid choice: 'chekc'"),
        (["--prefix", "SHOP_", "check"], "COMMAND [options of the command]"),
        (["keygen", "HS256"], "HS256 signs with a secret; make one: jwt-middleware keygen secret"),
        (["keygen", "dsa"], "PS256, RSA, got 'dsa'"),
    ],
    ids=" ".join,
)
def test_what_was_wrong(command: Command, arguments: list[str], words: str) -> None:
    """Each part of a command has a name in the message, which says what would be right."""
    answer = command(*arguments)
    assert (answer.status, answer.out) == (2, "")
    assert words in answer.err


@pytest.mark.parametrize(
    "before",
    [[], ["inspect"], ["inspect", "--file"], ["check"], ["keygen"], ["sessions"]],
    ids=" ".join,
)
@pytest.mark.parametrize("form", ["{}", "Bearer {}", "__Host-access_token={};"])
def test_a_token_as_an_argument(command: Command, token: str, before: list[str], form: str) -> None:
    """A token in a command is not said again, wherever it stands, but where it belongs."""
    answer = command(*before, form.format(token))
    assert (answer.status, answer.out) == (2, "")
    assert "pipe it in: jwt-middleware inspect < token.txt" in answer.err
    assert not any(part in answer.err for part in token.split("."))


def test_the_beginning_of_a_token(command: Command, token: str) -> None:
    """A token that a line break has cut in two is not said again either."""
    answer = command("inspect", token[:30])
    assert (answer.status, token[:30] in answer.err) == (2, False)
    assert "pipe it in" in answer.err
