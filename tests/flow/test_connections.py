"""How long a connection may stay open, stepped by hand: each step is a moment to wait for."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime
from math import inf
from typing import Any

import pytest
from forging import NOW, OLD_SECRET, forge
from keychain import key_for, public_pem, sign
from stepping import START, Browser, House, make_request

from jwt_middleware import Issuer, LegacyTokens
from jwt_middleware.connections import CHECK_EVERY, Ending, watch, watched
from jwt_middleware.driver import Command
from jwt_middleware.errors import StoreUnavailable
from jwt_middleware.handle import RequestAuth

LIFE = 900
EXPIRED = Ending(1008, "The access token expired. Connect again.")
ENDED = Ending(1008, "The session has ended. Sign in again.")
UNAVAILABLE = Ending(1013, "Sessions cannot be checked right now. Try again shortly.")


class Watched:
    """A connection that somebody watches; the test is the world."""

    def __init__(self, house: House, auth: RequestAuth) -> None:
        self.house = house
        self.auth = auth
        self.steps: Generator[Command, Any, Ending] = watch(auth)
        self.ending: Ending | None = None
        self.until = self.step(None)

    def step(self, answer: Any) -> float | None:
        """Until the next wait; answers the moment it waits for, None once it has ended."""
        send: Any = self.steps.send
        while True:
            try:
                command = send(answer)
            except StopIteration as outcome:
                self.ending = outcome.value
                return None
            if command.port == "timer":
                return command.arguments[0]
            send = self.steps.send
            try:
                answer = self.house.answer(command)
            except OSError:
                send, answer = self.steps.throw, StoreUnavailable("the store is away")

    def sleep(self) -> float | None:
        """Let time pass until the moment it waits for; answers the next one."""
        assert self.until is not None
        self.house.now = self.until
        self.until = self.step(self.house.now)
        return self.until


def connected(house: House, browser: Browser | None = None, age: float = 0) -> Watched:
    """A handshake of somebody who has been signed in for so long."""
    if browser is None:
        browser = Browser(house)
        browser.login()
    house.wait(age)
    auth = browser.get(websocket=True)
    assert watched(auth)
    return Watched(house, auth)


# ── The access token ends ────────────────────────────────────────────────────────


@pytest.mark.parametrize("leeway", [0, 60])
def test_it_ends_with_the_access_token(leeway: float) -> None:
    """The connection is closed at the moment from which the token would be refused."""
    # S50
    watched = connected(House(leeway=leeway), age=100)
    assert watched.until == START + LIFE + leeway
    assert watched.sleep() is None
    assert watched.ending == EXPIRED
    assert (watched.auth.claims, watched.auth.reason) == (None, "expired")


def test_a_reissue_on_the_handshake_counts_from_there() -> None:
    """It is the new token that ends, not the one the handshake came with."""
    # S50
    watched = connected(House(), age=LIFE + 100)
    assert watched.auth.reissued
    assert watched.until == START + 2 * LIFE + 100


def test_an_early_end_is_no_end() -> None:
    """A clock that lags behind the sleep is waited for."""
    watched = connected(House())
    assert watched.step(START + LIFE - 0.5) == START + LIFE
    assert watched.ending is None


def test_it_may_outlive_the_token() -> None:
    """Unless configured: then only what this process sees ends it, and nothing is polled."""
    # S50
    watched = connected(House(websocket_close_on_expiry=False))
    assert watched.until == inf
    watched.step(None)
    assert watched.ending == ENDED


# ── The session ends ─────────────────────────────────────────────────────────────


def test_this_process_has_seen_it_end() -> None:
    """Whoever knows that the session has ended asks nobody."""
    # S50
    watched = connected(House())
    watched.house.forget_commands()
    watched.step(None)
    assert watched.ending == ENDED
    assert watched.auth.reason == "revoked"
    assert watched.house.commands == []


def test_nobody_asks_the_store_unless_told_to() -> None:
    """Without check_session the store is not asked, however long it takes."""
    watched = connected(House())
    watched.house.other_process().auth.revoke(watched.auth.session_id or "")
    watched.house.forget_commands()
    watched.sleep()
    assert watched.ending == EXPIRED
    assert watched.house.commands == []


@pytest.mark.parametrize(
    ("settings", "every"),
    [
        ({"check_session": "always"}, CHECK_EVERY),
        ({"check_session": "always", "websocket_check_every": 5}, 5),
        ({"check_session": 60}, 60),
        ({"check_session": 60, "websocket_check_every": 7}, 7),
        ({"check_session": 5, "websocket_check_every": "1m"}, 60),
    ],
    ids=str,
)
def test_the_store_is_asked_in_its_lag(settings: dict[str, Any], every: float) -> None:
    """The row is read once an interval, and a revocation elsewhere is noticed by the next."""
    # S46, S50
    house = House(**settings)
    watched = connected(house)
    house.forget_commands()
    looks = []
    for _ in range(3):
        looks.append(watched.until)
        watched.sleep()
    assert looks[1:] == [looks[0] + every, looks[0] + 2 * every]
    assert house.verbs == ["load"] * 3
    session_id = watched.auth.session_id or ""
    house.other_process().auth.revoke(session_id)
    house.forget_commands()
    assert watched.sleep() is None
    assert watched.ending == ENDED
    assert (watched.auth.claims, watched.auth.reason) == (None, "revoked")
    (event,) = house.events
    assert (event.name, event.reason) == ("token_refused", "revoked")
    assert (event.subject, event.session_id) == ("alice", session_id)


def test_the_lag_is_counted_from_the_last_look() -> None:
    """A handshake that needed no look, since another request had asked, asks the sooner."""
    # S46
    house = House(check_session=60)
    browser = Browser(house)
    browser.login()
    browser.get()
    watched = connected(house, browser, age=45)
    assert watched.until == START + 60


def test_a_reissue_has_asked_the_store() -> None:
    """The row was read when the handshake arrived, so the lag begins there."""
    house = House(check_session=60)
    watched = connected(house, age=LIFE)
    assert watched.until == START + LIFE + 60


def test_what_is_found_is_remembered() -> None:
    """The other connections and requests of the session in this process are told, too."""
    # S46
    house = House(check_session=60)
    watched = connected(house)
    session_id = watched.auth.session_id
    house.other_process().auth.revoke(session_id or "")
    watched.sleep()
    assert session_id in house.flow.parts.memory.ended


@pytest.mark.parametrize(
    ("found", "reason", "ending"),
    [
        ("no row", "unknown_session", ENDED),
        ("idle", "expired", EXPIRED),
        ("outage", "store_unavailable", UNAVAILABLE),
    ],
)
def test_what_else_a_look_may_find(found: str, reason: str, ending: Ending) -> None:
    """A row that is gone or idle ends it; a store that is away, as it refuses requests then."""
    # S45, S50
    house = House(check_session=60)
    watched = connected(house)
    if found == "no row":
        house.store.purge(inf)
    elif found == "idle":
        row = house.row(watched.auth.session_id or "")
        house.store.rotate(
            row.id,
            expected=row.generation,
            generation=row.generation + 1,
            rotated_at=house.now,
            expires_at=house.now + 10,
            confirmed=0,
            now=house.now,
        )
    else:
        house.down.add("load")
    house.forget_commands()
    assert watched.sleep() is None
    assert (watched.ending, watched.auth.reason) == (ending, reason)
    assert house.event_names == [
        "store_unavailable" if found == "outage" else "token_refused",
    ]


# ── Who is watched ───────────────────────────────────────────────────────────────


def test_nobody_is_watched_who_is_nobody() -> None:
    """An anonymous connection has nothing that could end."""
    house = House()
    assert not watched(Browser(house).get(websocket=True))


def test_a_token_of_another_issuer() -> None:
    """Its end counts; its session is none of ours, so nobody is asked about it."""
    # S50
    key = key_for("ES256")
    issuer = Issuer("https://issuer.example", audience="api", public_keys=public_pem(key))
    claims = {
        "iss": "https://issuer.example",
        "aud": "api",
        "sub": "alice",
        "sid": "theirs",
        "iat": NOW,
        "exp": NOW + 600,
    }
    token = sign(key, claims)
    for closes in (True, False):
        house = House(
            issuers=[issuer], check_session=5, websocket_close_on_expiry=closes, csrf="off"
        )
        request = make_request(authorization=f"Bearer {token}", websocket=True)
        auth = house.run(house.flow.arrive(request, house.now)).auth
        assert auth.subject == "alice"
        assert watched(auth) is closes
        if closes:
            assert Watched(house, auth).until == NOW + 600


def test_a_token_of_former_times() -> None:
    """The connection ends on the date after which none of them counts, however long it would
    live."""
    # S50
    until = datetime.fromtimestamp(NOW + 300, UTC)
    terms = LegacyTokens.flask_jwt_extended(secret=OLD_SECRET, until=until)
    members = {"sub": "alice", "type": "access", "exp": NOW + 600}
    token = forge({"alg": "HS256", "typ": "JWT"}, members, secret=OLD_SECRET)
    house = House(legacy_tokens=terms, leeway=60)
    request = make_request(authorization=f"Bearer {token}", websocket=True)
    auth = house.run(house.flow.arrive(request, house.now)).auth
    assert Watched(house, auth).until == NOW + 300
