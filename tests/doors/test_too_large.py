"""Claims too large for a cookie: a clear error where they are issued, and nothing else happens."""

from __future__ import annotations

from collections.abc import Callable
from operator import methodcaller
from typing import Any

import pytest
from stepping import House
from through import Ask, Through, cookie

from jwt_middleware import TokenTooLarge
from jwt_middleware.handle import RequestAuth
from jwt_middleware.tokens import TokenPair

LARGE: dict[str, Any] = {"tiny": "t", "roles": "r" * 900, "teams": "t" * 1400, "notes": "n" * 600}
CALLS: dict[str, Callable[[RequestAuth], object]] = {
    "login": lambda auth: auth.login("alice", LARGE),
    "update": lambda auth: auth.update(LARGE),
    "update after login": lambda auth: (auth.login("alice"), auth.update(LARGE)),
    "send": lambda auth: auth.send(large_pair(auth)),
}
STORES = {"stored": {}, "stateless": {"session_store": "none"}}


def large_pair(auth: RequestAuth) -> TokenPair:
    tokens = auth.parts.tokens
    return tokens.pair(
        tokens.new_session("alice", LARGE, persistent=True, now=auth.now), now=auth.now
    )


def asking(house: House, kind: str, call: Callable[[RequestAuth], object]) -> tuple[Any, ...]:
    """The answer to a signed-in client's request whose view makes the call, and what it raised."""
    raised: list[TokenTooLarge] = []

    def view(auth: RequestAuth) -> None:
        try:
            call(auth)
        except TokenTooLarge as error:
            raised.append(error)

    pair = house.auth.issue("alice", {"step": 0})
    through = Through(house, view)
    fields = [cookie(access=pair.access_token, refresh=pair.refresh_token)]
    answer = through.ask(kind, Ask(fields=[*fields, ("Sec-Fetch-Site", "same-origin")]))
    return answer, raised, through.auth


@pytest.fixture(params=["wsgi", "asgi"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("call", CALLS)
def test_the_largest_claims_are_named(kind: str, call: str, store: str) -> None:
    """The call raises and says which cookie, how large, the limit, and what to shorten: the
    largest claims first, none of their values. What stood before stands."""  # S39, S53
    answer, raised, auth = asking(House(**STORES[store]), kind, CALLS[call])
    (error,) = raised
    text = str(error)
    assert "the cookie __Host-" in text
    assert "4096" in text
    assert text.index("teams (") < text.index("roles (") < text.index("notes (")
    assert "tiny" not in text
    assert "ttt" not in text
    assert auth.claims is not None
    assert "teams" not in auth.claims
    assert answer.status == 200
    if call != "update after login":  # whose login still counts
        assert answer.all("Set-Cookie") == []


def test_what_a_stateless_refresh_token_carries_has_to_fit(kind: str) -> None:
    """It wraps the claims once more, so it is the first to be too large: update() says so."""
    # S39
    house = House(session_store="none")
    for size in range(2000, 4000, 5):
        update = methodcaller("update", {"blob": "z" * size})
        answer, raised = asking(house, kind, update)[:2]
        if raised:
            break
        assert len(answer.all("Set-Cookie")) == 2
    else:
        pytest.fail("nothing was too large")
    assert "__Host-refresh_token" in str(raised[0])
    assert "blob (about" in str(raised[0])
    assert answer.all("Set-Cookie") == []
    assert "oversized" not in house.event_names
