"""Sessions that live through the move: what the real old packages issued, at both doors."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

import pytest
from environments import told_by
from stepping import House
from through import Ask, Through, bearer

from jwt_middleware import LegacyTokens

OLD_SECRET = "the old package's secret, 32 bytes and more"


class Before(NamedTuple):
    """A package people come from."""

    terms: Callable[..., LegacyTokens]
    subject: str = "alice"
    access_cookie: str | None = None
    roles: bool = True
    """Whether it puts the app's claims into its tokens."""


PACKAGES = {
    "flask-jwt-extended": Before(
        LegacyTokens.flask_jwt_extended, access_cookie="access_token_cookie"
    ),
    "simplejwt": Before(LegacyTokens.simplejwt, subject="7"),
    "authx": Before(LegacyTokens.authx, access_cookie="access_token_cookie"),
    "fastapi-users": Before(
        LegacyTokens.fastapi_users, access_cookie="fastapiusersauth", roles=False
    ),
}


@cache
def issued(package: str) -> Any:
    """What the real package has issued: ``access``, ``others`` by kind, ``cookies``."""
    return told_by(package, f"issue_{package.replace('-', '_')}.py", OLD_SECRET)


def house_after(package: str, days: float = 30, **settings: Any) -> House:
    """An app that has moved, at this moment."""
    issued(package)  # first: a token is never from the future
    until = datetime.fromtimestamp(time.time() + days * 86_400, UTC)
    terms = PACKAGES[package].terms(secret=OLD_SECRET, until=until)
    house = House(legacy_tokens=terms, **settings)
    house.now = time.time()
    return house


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["wsgi", "asgi"])
def door(request: pytest.FixtureRequest) -> str:
    return request.param


def test_its_access_tokens_sign_people_in(package: str, door: str) -> None:
    """Nobody is signed out by the move; the app finds who it is and what it may."""
    app = Through(house_after(package, required=True))
    answer = app.ask(door, Ask(fields=[bearer(issued(package)["access"])]))
    assert answer.status == 200
    assert app.auth.subject == PACKAGES[package].subject
    assert app.auth.claims is not None
    assert app.auth.claims.get("roles") == (["admin"] if PACKAGES[package].roles else None)


def test_its_cookies_sign_people_in(package: str, door: str) -> None:
    """With the old cookie's name, which a login then fills with a token of ours."""
    name = PACKAGES[package].access_cookie
    if name is None:
        assert issued(package)["cookies"] == {}
        return
    house = house_after(package, access_cookie_name=name)
    app = Through(house, lambda auth: auth.login("alice") if auth.request.path == "/in" else None)
    jar = ("Cookie", f"{name}={issued(package)['cookies'][name]}")
    app.ask(door, Ask(fields=[jar]))
    assert app.auth.subject == "alice"
    answer = app.ask(door, Ask(method="POST", path="/in", fields=[jar]))
    app.ask(door, Ask(fields=[("Cookie", f"{name}={answer.cookies[name]}")]))
    assert app.auth.session_id is not None


def test_a_cookie_from_another_site_signs_nobody_in(package: str, door: str) -> None:
    """The origin guards old cookies as it guards ours."""  # S40
    name = PACKAGES[package].access_cookie or "access_token_cookie"
    app = Through(house_after(package, access_cookie_name=name))
    jar = ("Cookie", f"{name}={issued(package)['access']}")
    app.ask(door, Ask(method="POST", fields=[jar, ("Origin", "https://evil.example")]))
    assert app.auth.reason == "csrf"


def test_its_other_tokens_open_nothing(package: str, door: str) -> None:
    """Refresh, sliding, reset and verification tokens are under the same key."""  # S19
    app = Through(house_after(package, required=True))
    others = issued(package)["others"]
    assert others
    for token in others.values():
        assert app.ask(door, Ask(fields=[bearer(token)])).status == 401
        assert app.ask(door, Ask(fields=[("X-Refresh-Token", token)])).status == 401


def test_its_other_tokens_open_nothing_under_our_own_secret(package: str) -> None:
    """Not even for whoever has kept the secret, without a word of old tokens."""  # S19
    house = House(secret_key=OLD_SECRET, required=True, identity_claim="sub")
    house.now = time.time()
    for token in issued(package)["others"].values():
        assert Through(house).ask("wsgi", Ask(fields=[bearer(token)])).status == 401


def test_expired_tokens_open_nothing(package: str, door: str) -> None:
    """An old token lives as long as it was made for."""  # S15
    house = house_after(package)
    app = Through(house)
    token = bearer(issued(package)["access"])
    app.ask(door, Ask(fields=[token]))
    assert app.auth.is_authenticated
    house.wait(901)
    app.ask(door, Ask(fields=[token]))
    assert app.auth.reason == "expired"


def test_the_date_ends_them_all(package: str, door: str) -> None:
    """From ``until`` on none counts, however long it would still live."""
    house = house_after(package, days=1 / 1440)
    app = Through(house)
    token = bearer(issued(package)["access"])
    app.ask(door, Ask(fields=[token]))
    assert app.auth.is_authenticated
    house.wait(61)
    app.ask(door, Ask(fields=[token]))
    assert app.auth.reason == "expired"


def test_tampered_tokens_open_nothing(package: str, door: str) -> None:
    """A changed claim, or another's signature, makes it nobody's."""  # S14
    app = Through(house_after(package, required=True))
    header, payload, signature = issued(package)["access"].split(".")
    flipped = payload[:20] + ("A" if payload[20] != "A" else "B") + payload[21:]
    stolen = next(iter(issued(package)["others"].values())).split(".")[2]
    for token in (
        f"{header}.{flipped}.{signature}",
        f"{header}.{payload}.{stolen}",
        f"{header}.{payload}.",
    ):
        assert app.ask(door, Ask(fields=[bearer(token)])).status == 401
