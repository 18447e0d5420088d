"""A token in the query of a WebSocket handshake: only if configured, and never in a log."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from order_checker import checked
from stepping import House, make_request, names
from through import Answer, Ask, ask_asgi, bearer, cookie

from jwt_middleware import get_auth
from jwt_middleware.asgi import JWTMiddleware
from jwt_middleware.handle import RequestAuth
from jwt_middleware.queries import redacted, values_in

# ── The query ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("query", "values", "without"),
    [
        ("", [], ""),
        ("token=abc", ["abc"], "token=redacted"),
        ("a=1&token=abc&b", ["abc"], "a=1&token=redacted&b"),
        ("token=a&token=b", ["a", "b"], "token=redacted&token=redacted"),
        ("t%6Fken=a%2Eb", ["a.b"], "t%6Fken=redacted"),
        ("token", [""], "token=redacted"),
        ("token=", [""], "token=redacted"),
        ("token=a=b", ["a=b"], "token=redacted"),
        ("Token=a&tokens=b&a=token", [], "Token=a&tokens=b&a=token"),
        ("&&", [], "&&"),
    ],
)
def test_a_token_in_a_query(query: str, values: list[str], without: str) -> None:
    """Every value of the name is found, and taken out; the rest stays as it is."""
    # S24, S53
    assert list(values_in(query, "token")) == values
    assert redacted(query, "token") == without


@given(st.text(), st.text())
def test_nothing_is_left_of_it(before: str, after: str) -> None:
    """Whatever stands around it, the redacted query has no other value of that name."""
    # S14, S53
    left = redacted(f"{before}&token=secret&{after}", "token")
    assert set(values_in(left, "token")) == {"redacted"}


# ── The handshake ────────────────────────────────────────────────────────────────


def connect(house: House, query: str, *fields: tuple[str, str]) -> tuple[RequestAuth, Any, Any]:
    """A handshake; answers the handle, and the scopes of app and server."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})

    scope = Ask(query=query, fields=fields).scope("websocket")
    ask_asgi(JWTMiddleware(app, house.auth), scope)
    return get_auth(seen[0]), seen[0], scope


def test_it_signs_a_handshake_in() -> None:
    """The connection is the token's, and neither the app nor the server's log sees it."""
    # S24, S53
    house = House(websocket_query_param="token")
    token = house.auth.issue("alice").access_token
    auth, mine, servers = connect(house, f"room=1&token={token}")
    assert auth.subject == "alice"
    assert mine["query_string"] == servers["query_string"] == b"room=1&token=redacted"


def test_it_is_off_by_default() -> None:
    """Unless configured, a token in the query is none, and nothing is changed."""
    # S24
    house = House()
    token = house.auth.issue("alice").access_token
    auth, mine, servers = connect(house, f"token={token}")
    assert (auth.subject, auth.reason) == (None, "missing")
    assert mine["query_string"] == servers["query_string"] == f"token={token}".encode()


def test_it_is_for_websockets_alone() -> None:
    """A request's query is never looked at, and left as it is."""
    # S24
    house = House(websocket_query_param="token")
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    query = f"token={house.auth.issue('alice').access_token}"
    ask_asgi(JWTMiddleware(app, house.auth), Ask(query=query).scope())
    assert get_auth(seen[0]).reason == "missing"
    assert seen[0]["query_string"] == query.encode()


def test_it_comes_last() -> None:
    """A token in a header or cookie is the handshake's, and a bad one is not fallen behind."""
    # S23, S24
    house = House(websocket_query_param="token", csrf="off")
    query = f"token={house.auth.issue('alice').access_token}"
    bob = house.auth.issue("bob").access_token
    for field in (bearer(bob), cookie(access=bob)):
        assert connect(house, query, field)[0].subject == "bob"
    for field in (bearer("forged"), cookie(access="forged")):
        assert connect(house, query, field)[0].reason == "invalid_token"


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("token=", "missing"),
        ("other=1", "missing"),
        ("token=forged", "invalid_token"),
        ("token=forged&token=other", "invalid_request"),
        ("token={token}&token=other", "invalid_request"),
        ("token={token}&token={token}", None),
        ("token={refresh}", "invalid_token"),
        ("token={old}", "expired"),
    ],
)
def test_what_else_may_stand_there(query: str, reason: str | None) -> None:
    """Only one good access token counts; nothing is reissued by a query."""
    # S19, S24
    house = House(websocket_query_param="token")
    old = house.auth.issue("alice").access_token
    house.wait(1000)
    pair = house.auth.issue("alice")
    text = query.format(token=pair.access_token, refresh=pair.refresh_token, old=old)
    assert connect(house, text)[0].reason == reason


def test_a_refused_handshake_is_redacted_too() -> None:
    """The server logs those as well."""
    # S53
    house = House(websocket_query_param="token", required=True)

    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    scope = Ask(query="token=forged").scope("websocket")
    answer: Answer = ask_asgi(checked(JWTMiddleware(app, house.auth)), scope)
    assert answer.messages == [{"type": "websocket.close", "code": 1008}]
    assert scope["query_string"] == b"token=redacted"


def test_another_site_may_use_it() -> None:
    """A page that has the token may connect from wherever it is; nobody else knows the token."""
    # S40
    house = House(websocket_query_param="token")
    query = f"token={house.auth.issue('alice').access_token}"
    assert connect(house, query, ("Origin", "https://page.example"))[0].subject == "alice"


def test_nothing_goes_back() -> None:
    """A login in such a handshake has no channel to be delivered by, unless by cookies."""
    # S24, S38
    house = House(websocket_query_param="token")
    token = house.auth.issue("alice").access_token
    request = make_request(websocket=True, query=f"token={token}")
    auth = house.run(house.flow.arrive(request, house.now)).auth
    auth.login("bob")
    assert names(house.run(house.flow.respond(auth, 101, [], house.now))) == []


@pytest.mark.parametrize("name", ["to ken", "a&b", "a=b", "töken", 7])
def test_names_that_need_encoding_are_refused(name: Any) -> None:
    """A name stands in a URL as it is."""
    with pytest.raises(ValueError, match=r"websocket_query_param: .*give a name of ASCII letters"):
        House(websocket_query_param=name)
