"""The access token the app is shown: good, the client's own or a fresh one, and never a spoof."""

from __future__ import annotations

from typing import Any

import pytest
from keychain import pem, private_key, public_pem
from stepping import House, token_claims
from through import AGES, Ask, Through, ask_asgi, bearer, cookie, noting

KINDS: list[Any] = ["wsgi", "asgi"]
KEY = private_key("Ed25519")
PREFLIGHT = [("Origin", "https://app.example"), ("Access-Control-Request-Method", "POST")]


def house(**settings: Any) -> House:
    given = {"algorithm": "EdDSA", "private_key": pem(KEY), **settings}
    return House(show_access_token=True, **given)


def shown(through: Through, name: str = "Authorization") -> str | None:
    """The field as the app found it in the last request."""
    place = through.places[-1]
    if "REQUEST_METHOD" in place:
        return place.get(f"HTTP_{name.upper().replace('-', '_')}")
    fields = [value for field, value in place["headers"] if field == name.lower().encode()]
    assert len(fields) <= 1
    return fields[0].decode() if fields else None


def opens(token: str, at: House, kind: Any) -> bool:
    """Whether a service that has our public key alone lets this token in."""
    service = House(secret_key=None, public_keys=public_pem(KEY), session_store="none")
    service.now = at.now
    through = Through(service)
    through.ask(kind, Ask(fields=[("Authorization", token)]))
    return through.auth.is_authenticated


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=["cookie", "header"])
def channel(request: pytest.FixtureRequest) -> str:
    return request.param


def sent(channel: str, access: str | None, refresh: str | None = None) -> list[tuple[str, str]]:
    if channel == "cookie":
        return [cookie(access=access, refresh=refresh)]
    fields = [] if access is None else [bearer(access)]
    return fields if refresh is None else [*fields, ("X-Refresh-Token", refresh)]


def test_a_good_token_is_shown_as_it_came(kind: Any, channel: str) -> None:
    """In the header, also from a cookie; also when this process has seen it before."""  # S32
    place = house()
    pair = place.auth.issue("alice")
    through = Through(place)
    for _ in range(3):
        through.ask(kind, Ask(fields=sent(channel, pair.access_token)))
        assert shown(through) == f"Bearer {pair.access_token}"


@pytest.mark.parametrize("access", ["expired", "missing", "broken"])
def test_a_fresh_one_is_shown_in_place_of_one_that_is_not(
    kind: Any, channel: str, access: str
) -> None:
    """It says what the app's claims say, and opens the services behind the app."""  # S32
    place = house()
    pair = place.auth.issue("alice", {"roles": ["admin"]})
    place.now += AGES
    token = {"expired": pair.access_token, "missing": None, "broken": "a.b.c"}[access]
    through = Through(place)
    answer = through.ask(kind, Ask(fields=sent(channel, token, pair.refresh_token)))
    field = shown(through) or ""
    assert opens(field, place, kind)
    assert token_claims(field.removeprefix("Bearer ")) == dict(through.auth.claims or {})
    assert field.removeprefix("Bearer ") not in str(answer.headers)  # its client has its own


def test_it_says_what_is_proven(kind: Any) -> None:
    """The generation is that of the refresh token that came, not of the one on its way; whoever
    shows it at a node with the store confirms nothing by it."""  # S32
    place = house(check_session="always")
    pair = place.auth.issue("alice")
    place.now += AGES
    through = Through(place)
    answer = through.ask(kind, Ask(fields=sent("header", None, pair.refresh_token)))
    successor = answer.one("X-Refresh-Token")
    assert token_claims(successor)["gen"] == 1
    first = shown(through) or ""
    assert token_claims(first)["rgen"] == 0
    place.now += AGES
    through.ask(kind, Ask(fields=sent("header", None, successor)))
    second = shown(through) or ""
    assert token_claims(second)["rgen"] == 1
    again = Through(place.other_process())
    for token in (first, second):
        again.ask(kind, Ask(fields=[("Authorization", token)]))
    assert again.auth.subject == "alice"
    row = place.row(pair.session_id)
    assert (row.generation, row.confirmed_generation) == (2, 1)


def test_the_store_is_asked_no_more_than_else(kind: Any) -> None:
    """The token is signed from what the request has read already."""  # S32
    asked: list[list[str]] = []
    for place in (house(), House(algorithm="EdDSA", private_key=pem(KEY))):
        pair = place.auth.issue("alice")
        place.now += AGES
        verbs = noting(place)
        Through(place).ask(kind, Ask(fields=sent("header", None, pair.refresh_token)))
        asked.append(verbs)
    assert asked[0] == asked[1]


def test_siblings_are_shown_good_ones(kind: Any, channel: str) -> None:
    """Also those whose answer this process has made already."""  # S32, S41
    place = house()
    pair = place.auth.issue("alice")
    place.now += AGES
    through = Through(place)
    for _ in range(3):
        through.ask(kind, Ask(fields=sent(channel, pair.access_token, pair.refresh_token)))
        assert opens(shown(through) or "", place, kind)


def test_a_token_that_is_reissued_early_is_shown_fresh(kind: Any) -> None:
    """What is about to expire might do so on its way to a slow service."""  # S32
    place = house(reissue_within=60)
    pair = place.auth.issue("alice")
    through = Through(place)
    place.now += 860
    through.ask(kind, Ask(fields=sent("header", pair.access_token, pair.refresh_token)))
    assert token_claims(shown(through))["exp"] == int(place.now) + 900
    through.ask(kind, Ask(fields=sent("header", pair.access_token)))
    assert shown(through) == f"Bearer {pair.access_token}"


SPOOFS = [
    ("a forgery", Ask(fields=[bearer("a.b.c")])),
    ("another scheme", Ask(fields=[("Authorization", "Basic YWxpY2U6cGFzcw==")])),
    ("two of them", Ask(fields=[bearer("a.b.c"), bearer("a.b.c")])),
    ("on an ignored path", Ask(path="/static/x", fields=[bearer("a.b.c")])),
    ("in a preflight", Ask(method="OPTIONS", fields=[*PREFLIGHT, bearer("a.b.c")])),
]


@pytest.mark.parametrize("ask", [ask for _, ask in SPOOFS], ids=[name for name, _ in SPOOFS])
def test_what_did_not_sign_in_is_not_shown(kind: Any, ask: Ask) -> None:
    """Where nobody is signed in the app finds no such header, on any path."""  # S28, S29, S32
    through = Through(house(ignore_paths=["/static"]))
    through.ask(kind, ask)
    assert not through.auth.is_authenticated
    assert shown(through) is None


def test_another_scheme_is_replaced(kind: Any) -> None:
    """Who is signed in by a cookie is what the app sees, whatever else the client says."""
    # S32
    place = house()
    pair = place.auth.issue("alice")
    through = Through(place)
    fields = [cookie(access=pair.access_token), ("Authorization", "Basic YWxpY2U6cGFzcw==")]
    through.ask(kind, Ask(fields=fields))
    assert shown(through) == f"Bearer {pair.access_token}"


def test_off_by_default(kind: Any, channel: str) -> None:
    """The app sees the header as it came."""  # S32
    place = House()
    pair = place.auth.issue("alice")
    through = Through(place)
    through.ask(kind, Ask(fields=sent(channel, pair.access_token)))
    assert shown(through) == (f"Bearer {pair.access_token}" if channel == "header" else None)
    through.ask(kind, Ask(fields=[("Authorization", "Basic YWxpY2U6cGFzcw==")]))
    assert shown(through) == "Basic YWxpY2U6cGFzcw=="


@pytest.mark.parametrize(("scheme", "before"), [("Token", "Token "), ("", "")])
def test_the_header_is_the_configured_one(kind: Any, scheme: str, before: str) -> None:
    """A service with the same settings reads it."""  # S32
    place = house(header_name="X-Token", header_type=scheme)
    pair = place.auth.issue("alice")
    through = Through(place)
    through.ask(kind, Ask(fields=[cookie(access=pair.access_token)]))
    assert shown(through, "X-Token") == before + pair.access_token


def test_one_too_large_to_be_read_is_not_shown(kind: Any) -> None:
    """Claims that grew too large for a token cost the service behind its token, not the app its
    request."""  # S14, S32
    claims = {"roles": "x" * 200}
    place = house(load_claims=lambda session: claims, max_token_length=800)
    pair = place.auth.issue("alice")
    claims["roles"] *= 10
    place.now += AGES
    through = Through(place)
    through.ask(kind, Ask(fields=sent("header", None, pair.refresh_token)))
    assert through.auth.subject == "alice"
    assert shown(through) is None
    assert "oversized" in place.event_names


def test_a_handshake_is_shown_one_too() -> None:
    """What an app hands on for a WebSocket is as good as for a request."""  # S32, S50
    place = house()
    pair = place.auth.issue("alice")
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope["headers"])[b"authorization"])
        await receive()
        await send({"type": "websocket.close", "code": 1000})

    through = Through(place)
    through.asgi.app = app
    field = cookie(access=pair.access_token)
    scope = Ask(fields=[field, ("Sec-Fetch-Site", "same-origin")]).scope("websocket")
    ask_asgi(through.asgi, scope)
    assert seen == [f"Bearer {pair.access_token}".encode()]
