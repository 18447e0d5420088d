"""CSRF tokens: of one session, under keys that are good for nothing else."""

from __future__ import annotations

import re

import pytest
from forging import OLD_SECRET, STRANGE_SECRET
from hypothesis import given
from hypothesis import strategies as st
from stepping import SECRET

from jwt_middleware.csrf_tokens import VISITOR, CsrfTokens

NEW, OLD, STRANGE = SECRET.encode(), OLD_SECRET.encode(), STRANGE_SECRET.encode()


@pytest.mark.parametrize("session_id", ["a-session", VISITOR])
def test_a_token_is_of_its_session_alone(session_id: str) -> None:
    """A token counts for the session it was made for, and for no other, nor for nobody's."""  # S40
    tokens = CsrfTokens([NEW])
    token = tokens.make(session_id)
    assert re.fullmatch("[A-Za-z0-9_-]{65}", token)
    assert tokens.holds(token, session_id)
    assert not any(tokens.holds(token, other) for other in ("another", "a-sessio", "-session"))
    assert tokens.holds(token, VISITOR) is (session_id == VISITOR)


def test_no_two_tokens_look_alike() -> None:
    """Each has a salt of its own, so that compressing a page tells nothing about it (BREACH)."""
    # S40
    tokens = CsrfTokens([NEW])
    made = {tokens.make("a-session") for _ in range(50)}
    assert len({token[:22] for token in made}) == len({token[22:] for token in made}) == 50


def test_tokens_survive_a_roll_over_of_the_secret() -> None:
    """What an old secret made counts while it is listed; the new one makes; nobody else's do."""
    # S10
    before, during, after = CsrfTokens([OLD]), CsrfTokens([NEW, OLD]), CsrfTokens([NEW])
    old, new = before.make("a-session"), during.make("a-session")
    assert during.holds(old, "a-session")
    assert after.holds(new, "a-session")
    assert not after.holds(old, "a-session")
    assert not before.holds(new, "a-session")
    assert not during.holds(CsrfTokens([STRANGE]).make("a-session"), "a-session")


@given(st.text() | st.text(st.characters(codec="ascii")))
def test_whatever_comes_is_judged_without_a_word(text: str) -> None:
    """No text is an error, and none is a token by chance."""  # S14
    tokens = CsrfTokens([NEW])
    assert not tokens.holds(text, "a-session")
    assert not tokens.holds(text, VISITOR)


def test_a_token_has_one_spelling() -> None:
    """One that is cut, padded, or has anything in front or behind is none."""  # S40
    tokens = CsrfTokens([NEW])
    token = tokens.make("a-session")
    changed = "A" if token[30] != "A" else "B"
    for bad in (
        *(token[:-1], token[1:], token + "=", f" {token}", f"{token},{token}", token.swapcase()),
        *(token[:30] + changed + token[31:], "é" + token[1:]),
    ):
        assert not tokens.holds(bad, "a-session"), bad
