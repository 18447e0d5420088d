"""Encrypted tokens through both doors: a session's whole life, and what counts beside it."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from encrypting import KEY, OLD_KEY, STRANGE_KEY, decrypt, encrypt, our_header
from stepping import SECRET, House, token_claims
from through import AGES, Answer, Ask, Through, bearer, cookie

from jwt_middleware import JWTAuth, TokenTooLarge
from jwt_middleware.handle import RequestAuth
from jwt_middleware.jwe import Cipher

SAME_SITE = ("Sec-Fetch-Site", "same-origin")


@pytest.fixture(params=["wsgi", "asgi"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=["cookie", "header"])
def channel(request: pytest.FixtureRequest) -> str:
    return request.param


class Client:
    """Keeps the two tokens, on one of the channels."""

    def __init__(self, house: House, kind: str, channel: str = "cookie") -> None:
        self.house = house
        self.through = Through(house)
        self.kind = kind
        self.channel = channel
        self.access: str | None = None
        self.refresh: str | None = None

    def ask(self, *, view: Any = None, method: str = "GET", house: House | None = None) -> Answer:
        through = Through(house or self.house, view or (lambda auth: None))
        fields: list[tuple[str, str]] = [SAME_SITE]
        if self.channel == "cookie":
            fields.append(cookie(access=self.access, refresh=self.refresh))
        elif self.access:
            fields += [bearer(self.access), ("X-Refresh-Token", self.refresh or "")]
        answer = through.ask(self.kind, Ask(method=method, fields=fields))
        sent = answer.cookies
        self.access = sent.get("__Host-access_token") or answer.one("X-Access-Token") or self.access
        self.refresh = (
            sent.get("__Host-refresh_token") or answer.one("X-Refresh-Token") or self.refresh
        )
        self.through = through
        return answer

    @property
    def auth(self) -> RequestAuth:
        return self.through.auth

    def start(self) -> None:
        """Signed in; a header client has its first tokens from a body."""
        if self.channel == "cookie":
            self.ask(view=lambda auth: auth.login("alice", {"roles": ["admin"]}), method="POST")
            return
        pair = self.house.auth.issue("alice", {"roles": ["admin"]})
        self.access, self.refresh = pair.access_token, pair.refresh_token


def other(house: House, **settings: Any) -> House:
    """Another configuration beside the same store, at the same time."""
    twin = house.other_process()
    twin.auth = JWTAuth(
        secret_key=SECRET, session_store=house.store, clock=lambda: house.now, **settings
    )
    twin.flow = twin.auth.flow
    return twin


def claims_in(token: str | None) -> dict[str, Any]:
    return token_claims(decrypt(token or "").decode())


@pytest.mark.parametrize("store", [{}, {"session_store": "none"}], ids=["stored", "stateless"])
def test_the_life_of_a_session(kind: str, channel: str, store: Any) -> None:
    """Sign-in, a visit, a reissue, new claims, a sign-out: as with plain tokens, and each token
    that travels is nested and says what it should."""
    house = House(encryption_key=KEY, **store)
    client = Client(house, kind, channel)
    client.start()
    first = claims_in(client.access)
    assert first["roles"] == ["admin"]
    client.ask()
    assert client.auth.subject == "alice"
    house.now += AGES
    client.ask()
    assert client.auth.reissued
    second = claims_in(client.access)
    assert second["iat"] == first["iat"] + AGES
    assert second["sid"] == first["sid"] == claims_in(client.refresh)["sid"]
    client.ask(view=lambda auth: auth.update({"roles": []}), method="POST")
    assert claims_in(client.access)["roles"] == []
    client.ask()
    assert client.auth.roles == []
    answer = client.ask(view=lambda auth: auth.logout(), method="POST")
    assert not client.auth.is_authenticated
    assert len([one for one in answer.all("Set-Cookie") if "Max-Age=0" in one]) == (
        2 if channel == "cookie" else 0
    )
    if not store:
        assert house.row(first["sid"]).revoked_reason == "logout"


def test_plain_tokens_do_not_count(kind: str, channel: str) -> None:
    """Of the same secret and session, signed before encryption was on, or by whoever stole the
    secret alone: neither signs in, required mode answers 401, and the session goes on."""  # S9
    house = House(required=True)
    client = Client(house, kind, channel)
    pair = house.auth.issue("alice")
    client.access, client.refresh = pair.access_token, pair.refresh_token
    assert client.ask().status == 200
    answer = client.ask(house=other(house, required=True, encryption_key=KEY))
    assert answer.status == 401
    assert "invalid_token" in (answer.one("WWW-Authenticate") or "")
    assert house.row(pair.session_id).revoked_at is None
    assert client.ask().status == 200


def test_nested_tokens_do_not_count_where_it_is_off(kind: str, channel: str) -> None:
    """Refused like any other text that is no token; nobody's session ends by it."""  # S9
    house = House(encryption_key=KEY)
    client = Client(house, kind, channel)
    client.start()
    off = other(house)
    client.ask(house=off)
    assert client.auth.reason == "invalid_token"
    assert house.row(claims_in(client.access)["sid"]).revoked_at is None


STEPS: dict[str, list[dict[str, Any]]] = {
    "on": [
        {},
        {"previous_encryption_keys": [KEY]},
        {"encryption_key": KEY, "accept_unencrypted": True},
        {"encryption_key": KEY},
    ],
    "to another key": [
        {"encryption_key": OLD_KEY},
        {"encryption_key": OLD_KEY, "previous_encryption_keys": [KEY]},
        {"encryption_key": KEY, "previous_encryption_keys": [OLD_KEY]},
        {"encryption_key": KEY},
    ],
}


@pytest.mark.parametrize("name", STEPS)
def test_a_roll_over_in_steps(kind: str, channel: str, name: str) -> None:
    """Between any two machines that are one step apart a client never notices, whichever of
    its tokens is looked at."""  # S10
    house = House(**STEPS[name][0])
    machines = [other(house, **step) for step in STEPS[name]]
    client = Client(machines[0], kind, channel)
    client.start()
    for before, after in pairwise(machines):
        for machine in (before, after, before, after):
            client.ask(house=machine)
            assert client.auth.subject == "alice"
            house.now += AGES
    assert claims_in(client.access)["sub"] == "alice"


def test_a_removed_key_opens_nothing(kind: str, channel: str) -> None:
    """As soon as it is listed no more, its tokens are worth nothing."""  # S10
    house = House(encryption_key=OLD_KEY)
    client = Client(house, kind, channel)
    client.start()
    client.ask(house=other(house, encryption_key=KEY))
    assert client.auth.reason == "invalid_token"
    client.ask(house=other(house, encryption_key=KEY, previous_encryption_keys=[OLD_KEY]))
    assert client.auth.subject == "alice"


ODD: dict[str, Any] = {
    "another key's": lambda inside: encrypt(inside, key=STRANGE_KEY),
    "zip": lambda inside: encrypt(inside, {**our_header(), "zip": "DEF"}),
    "a huge p2c": lambda inside: encrypt(
        inside, {**our_header(), "alg": "PBES2-HS256+A128KW", "p2c": 2**31, "p2s": "c2FsdA"}
    ),
    "no cty": lambda inside: encrypt(
        inside, {name: value for name, value in our_header().items() if name != "cty"}
    ),
    "claims alone": lambda inside: encrypt(b'{"sub":"alice","exp":9999999999}'),
    "nested twice": lambda inside: encrypt(encrypt(inside)),
    "six segments": lambda inside: encrypt(inside) + ".x",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_tokens_are_refused(
    kind: str, channel: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is signed in, nothing is cleared, no error: what a forgery is met with."""
    # S9, S14
    house = House(encryption_key=KEY)
    pair = house.auth.issue("alice")
    client = Client(house, kind, channel)
    client.access, client.refresh = (
        ODD[name](decrypt(token).decode()) for token in (pair.access_token, pair.refresh_token)
    )
    opened: list[str] = []
    if name in ("zip", "a huge p2c", "no cty", "six segments"):
        monkeypatch.setattr(Cipher, "decrypt", lambda self, token: opened.append(token))
    answer = client.ask()
    assert (answer.status, client.auth.reason) == (200, "invalid_token")
    assert answer.all("Set-Cookie") == []
    assert opened == []


def test_the_app_is_shown_an_encrypted_token(kind: str) -> None:
    """What goes on to a service behind the app is as unreadable as what came."""  # S32
    house = House(encryption_key=KEY, show_access_token=True)
    client = Client(house, kind)
    client.start()
    house.now += AGES
    client.ask()
    place = client.through.places[-1]
    shown = place.get("HTTP_AUTHORIZATION") or dict(place["headers"])[b"authorization"].decode()
    assert claims_in(shown.removeprefix("Bearer "))["exp"] > house.now


def test_the_cookie_limit_counts_what_travels(kind: str) -> None:
    """Encrypted, a token is longer by a third: the call says so, and names the claims."""  # S39
    claims = {"roles": "r" * 2100, "teams": "t" * 100}
    raised: list[str] = []

    def view(auth: RequestAuth) -> None:
        try:
            auth.login("alice", claims)
        except TokenTooLarge as error:
            raised.append(str(error))

    Client(House(), kind).ask(view=view, method="POST")
    assert raised == []
    Client(House(encryption_key=KEY), kind).ask(view=view, method="POST")
    assert len(raised) == 1
    assert raised[0].index("roles (") < raised[0].index("teams (")


def test_the_refresh_endpoint_renews_encrypted_tokens(kind: Any, channel: str) -> None:
    """It says how long a token lives that only we can read."""  # S14, S47
    house = House(encryption_key=KEY, refresh_path="/refresh")
    pair = house.auth.issue("alice")
    house.wait(200)
    fields = [SAME_SITE, cookie(access=pair.access_token, refresh=pair.refresh_token)]
    if channel == "header":
        fields = [bearer(pair.access_token), ("X-Refresh-Token", pair.refresh_token)]
    answer = Through(house).ask(kind, Ask(path="/refresh", method="POST", fields=fields))
    assert answer.status == 200
    said = json.loads(answer.body)
    assert said["expires_in"] == 900
    renewed = answer.cookies.get("__Host-access_token") or said["access_token"]
    assert token_claims(decrypt(renewed).decode())["sub"] == "alice"
