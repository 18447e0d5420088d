"""A key or secret is replaced on several machines, one after the other, while people work.

Nobody is signed out and no request fails, whichever machine a request meets in which step.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any

import jwt
import pytest
from auth_server import AuthServer
from encrypting import KEY, OLD_KEY
from forging import OLD_SECRET
from keychain import key_for, pem, public_pem
from stepping import SECRET, START, Browser, HeaderClient, House, make_request, token_claims
from through import Ask, Through, aask, ask_wsgi, bearer, cookie

from jwt_middleware import JWTAuth, Settings, jwks
from jwt_middleware.driver import run
from jwt_middleware.jwk import read_keys
from jwt_middleware.stores.memory import MemorySessionStore

OLD, NEW = key_for("ES256", 30), key_for("EdDSA", 30)

Step = dict[str, Any]

KEY_STEPS: list[Step] = [
    {"algorithm": "ES256", "private_key": pem(OLD)},
    {"algorithm": "ES256", "private_key": pem(OLD), "public_keys": [public_pem(NEW)]},
    {"algorithm": "EdDSA", "private_key": [pem(NEW), pem(OLD)]},
    {"algorithm": "EdDSA", "private_key": pem(NEW)},
]
SECRET_STEPS: list[Step] = [
    {"secret_key": OLD_SECRET},
    {"secret_key": OLD_SECRET, "previous_secret_keys": [SECRET]},
    {"secret_key": SECRET, "previous_secret_keys": [OLD_SECRET]},
    {"secret_key": SECRET},
]
BOTH_STEPS = [{**one, **other} for one, other in zip(KEY_STEPS, SECRET_STEPS, strict=True)]
ENCRYPTION_ON: list[Step] = [
    {},
    {"previous_encryption_keys": [KEY]},
    {"encryption_key": KEY, "accept_unencrypted": True},
    {"encryption_key": KEY},
]
ENCRYPTION_KEY_STEPS: list[Step] = [
    {"encryption_key": OLD_KEY},
    {"encryption_key": OLD_KEY, "previous_encryption_keys": [KEY]},
    {"encryption_key": KEY, "previous_encryption_keys": [OLD_KEY]},
    {"encryption_key": KEY},
]
ROLL_OVERS = {
    "key": KEY_STEPS,
    "secret": SECRET_STEPS,
    "both at once": BOTH_STEPS,
    "encryption on": ENCRYPTION_ON,
    "encryption key": ENCRYPTION_KEY_STEPS,
    "encryption off": ENCRYPTION_ON[::-1],
}

ACCESS_LIFE = 900.0


class Machines:
    """Three machines with one store and one time, each configured for itself."""

    def __init__(self, step: Step) -> None:
        self.first = House(**step)
        self.houses = [self.first, self.first.other_process(), self.first.other_process()]

    def configure(self, number: int, step: Step) -> None:
        """A machine is restarted with another configuration: its memory is gone."""
        house = self.houses[number]
        settings: Any = {"secret_key": SECRET, "session_store": self.first.store, **step}
        house.auth = JWTAuth(Settings(**settings), clock=lambda: self.first.now)
        house.flow = house.auth.flow


@pytest.mark.parametrize("order", [*permutations(range(3))], ids=str)
@pytest.mark.parametrize("name", ROLL_OVERS)
def test_nobody_notices_a_roll_over(name: str, order: Sequence[int]) -> None:
    """Whatever the order of the machines, every request at each of them, with a token that any
    of them made, is signed in; also by clients that have an access token alone."""  # S10
    steps = ROLL_OVERS[name]
    machines, pen = Machines(steps[0]), Random(f"{name}{order}")
    browsers = [Browser(machines.first) for _ in range(3)]
    for browser in browsers:
        browser.login("alice")

    def everybody_works() -> None:
        made: list[str] = []
        for browser in browsers:
            for house in pen.sample(machines.houses, 3):
                assert browser.get(house=house).subject == "alice"
                made.append(browser.access or "")
        for token in made:
            for house in machines.houses:
                client = HeaderClient(house)
                request = client.request(authorization=f"Bearer {token}")
                assert client.arrive(request).auth.subject == "alice"

    everybody_works()
    for step in steps[1:]:
        for number in order:
            machines.configure(number, step)
            everybody_works()
            machines.first.wait(40)  # not all requests come in one moment
            everybody_works()
        machines.first.wait(ACCESS_LIFE)
        everybody_works()


def test_without_the_first_step_a_request_fails() -> None:
    """These tests would notice: a machine that signs with what another does not know yet."""
    machines = Machines(KEY_STEPS[0])
    machines.configure(0, KEY_STEPS[2])
    pair = machines.houses[0].auth.issue("alice")
    client = HeaderClient(machines.houses[1])
    request = client.request(authorization=f"Bearer {pair.access_token}")
    assert client.arrive(request).auth.reason == "invalid_token"


def test_a_stolen_key_is_thrown_away_at_once() -> None:
    """Straight to the last step: what it signs opens nothing, and whoever has a refresh token is
    signed in within the same request."""  # S10
    machines = Machines(KEY_STEPS[0])
    browser = Browser(machines.first)
    browser.login("alice")
    stolen = browser.access or ""
    machines.configure(0, KEY_STEPS[3])
    client = HeaderClient(machines.houses[0])
    request = client.request(authorization=f"Bearer {stolen}")
    assert client.arrive(request).auth.reason == "invalid_token"
    assert browser.get(house=machines.houses[0]).subject == "alice"


def test_a_leaked_secret_is_thrown_away_at_once() -> None:
    """Straight to the last step: everybody signs in again."""
    machines = Machines(SECRET_STEPS[0])
    browser = Browser(machines.first)
    browser.login("alice")
    machines.configure(0, SECRET_STEPS[3])
    assert browser.get(house=machines.houses[0]).reason == "invalid_token"


# ── Under load, by files ─────────────────────────────────────────────────────────


BEFORE = key_for("EdDSA", 31)
"""Of the same algorithm as the new one: only the files change, and no setting."""

FILES: list[dict[str, str]] = [
    {"private": pem(BEFORE), "public": public_pem(BEFORE)},
    {"private": pem(BEFORE), "public": public_pem(NEW)},
    {"private": pem(NEW) + pem(BEFORE), "public": public_pem(NEW)},
    {"private": pem(NEW), "public": public_pem(NEW)},
]
"""As the steps above, in the files of a machine."""


class Machine:
    """A machine with files of its own, behind a door."""

    def __init__(self, folder: Path, store: MemorySessionStore, time: list[float]) -> None:
        self.folder = folder
        folder.mkdir()
        self.put(0)
        self.house = House.__new__(House)
        self.house.store = store
        self.house.auth = JWTAuth(
            secret_key=SECRET,
            algorithm="EdDSA",
            private_key=folder / "private",
            public_keys=folder / "public",
            keys_reload=30,
            session_store=store,
            clock=lambda: time[0],
        )
        self.through = Through(self.house)

    def put(self, step: int) -> None:
        for name, content in FILES[step].items():
            made = self.folder / f"{name}.new"
            made.write_text(content)
            made.replace(self.folder / name)


class Client:
    """Sends one request after the other, keeps the cookies, and counts who it was taken for."""

    def __init__(self, machines: Sequence[Machine], time: list[float], number: int) -> None:
        self.machines = machines
        self.time = time
        self.pen = Random(number)
        self.jar: dict[str, str] = {}
        self.answered = 0
        self.failed: list[str] = []

    def start(self) -> None:
        pair = self.machines[0].house.auth.issue("alice")
        self.jar = {"access": pair.access_token, "refresh": pair.refresh_token}

    def ask(self) -> tuple[Machine, Ask]:
        # An API call now and then, with the access token alone, while it has some time left.
        left = token_claims(self.jar["access"])["exp"] - self.time[0]
        alone = left > 400 and self.pen.random() < 0.5
        fields = [bearer(self.jar["access"])] if alone else [cookie(**self.jar)]
        return self.pen.choice(self.machines), Ask(fields=fields)

    def take(self, status: int, body: bytes, cookies: dict[str, str]) -> None:
        if (status, body) != (200, b"alice"):
            self.failed.append(f"{status} {body!r}")
        for name in self.jar:
            self.jar[name] = cookies.get(f"__Host-{name}_token", self.jar[name])
        self.answered += 1


def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ.get("REMOTE_USER", "nobody").encode()]


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    body = scope["user"].identity.encode() or b"nobody"
    await send({"type": "http.response.body", "body": body})


@pytest.mark.race
@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_no_request_fails_under_load(door: str, tmp_path: Path) -> None:
    """Files are exchanged one machine after the other while clients never pause; the clock
    passes the reload, the grace and the life of the tokens. Not one answer is wrong."""  # S10
    time, store = [START], MemorySessionStore()
    machines = [Machine(tmp_path / str(number), store, time) for number in range(3)]
    clients = [Client(machines, time, number) for number in range(4)]
    for client in clients:
        client.start()
    over = threading.Event()
    play = _in_threads if door == "wsgi" else _in_a_loop
    stop = play(clients, machines, over)
    try:
        for step in range(1, 4):
            for machine in machines:
                machine.put(step)
                time[0] += 31
                _wait_for(clients, 10)
            # Expiry and reissue, in steps that are never longer than the life of a token.
            for _ in range(4):
                time[0] += 300
                _wait_for(clients, 10)
    finally:
        over.set()
        stop()
    assert [client.failed for client in clients] == [[]] * 4
    new = read_keys(pem(NEW))[0].kid
    assert [jwt.get_unverified_header(client.jar["access"])["kid"] for client in clients] == [
        new
    ] * 4
    for machine in machines:
        keys: Any = machine.house.auth._parts.tokens.own_keys
        assert (keys.version, keys.signing.kid) == (3, new)


def _wait_for(clients: Sequence[Client], answers: int) -> None:
    """Until each client has had so many more answers, or has stopped."""
    goals = [client.answered + answers for client in clients]
    patience = threading.Event()
    for _ in range(6000):
        if all(client.answered >= goal for client, goal in zip(clients, goals, strict=True)):
            return
        patience.wait(0.01)
    pytest.fail("the clients have stopped")


def _in_threads(
    clients: Sequence[Client], machines: Sequence[Machine | Service], over: threading.Event
) -> Callable[[], None]:
    from jwt_middleware.wsgi import JWTMiddleware

    doors = {id(one): JWTMiddleware(wsgi_app, one.house.auth) for one in machines}

    def play(client: Client) -> None:
        while not over.is_set():
            machine, ask = client.ask()
            answer = ask_wsgi(doors[id(machine)], ask.environ)
            client.take(answer.status, answer.body, answer.cookies)

    threads = [threading.Thread(target=play, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()

    def stop() -> None:
        for thread in threads:
            thread.join()

    return stop


def _in_a_loop(
    clients: Sequence[Client], machines: Sequence[Machine | Service], over: threading.Event
) -> Callable[[], None]:
    from jwt_middleware.asgi import JWTMiddleware

    doors = {id(one): JWTMiddleware(asgi_app, one.house.auth) for one in machines}

    async def play(client: Client) -> None:
        while not over.is_set():
            machine, ask = client.ask()
            answer = await aask(doors[id(machine)], ask.scope())
            client.take(answer.status, answer.body, answer.cookies)
            await asyncio.sleep(0)

    async def everybody() -> None:
        await asyncio.gather(*(play(client) for client in clients))

    thread = threading.Thread(target=lambda: asyncio.run(everybody()))
    thread.start()
    return thread.join


# ── Under load, by what an auth server publishes ─────────────────────────────────


class Service:
    """A service that verifies an auth server's tokens by the keys it publishes."""

    def __init__(self, server: AuthServer, time: list[float]) -> None:
        self.house = House.__new__(House)
        self.house.auth = JWTAuth(
            issuer=server.url,
            audience="api",
            jwks_url="discover",
            jwks_loopback_http=True,
            required=True,
            clock=lambda: time[0],
        )

    @property
    def keys(self) -> Any:
        (other,) = self.house.auth._parts.tokens._trusted._others.values()
        return other.keys

    def knows(self, number: int) -> bool:
        return self.keys.find(str(number), "EdDSA") is not None


class Caller(Client):
    """Sends tokens that the auth server has just signed, and the same one again."""

    server: AuthServer
    token = ""

    def ask(self) -> tuple[Any, Ask]:
        if not self.token or self.pen.random() < 0.5:
            self.token = self.server.token(self.time[0], n=self.pen.random())
        return self.pen.choice(self.machines), Ask(fields=[bearer(self.token)])


@pytest.mark.race
@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_no_request_fails_where_keys_are_published(
    door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The auth server adds a key, signs with it, and takes the old one out; at last it signs with
    one that no service can have seen. Clients never pause, and not one answer is wrong."""  # S10
    monkeypatch.setattr(jwks, "PATIENCE", 60.0)  # however busy the machine is
    time = [START]
    with AuthServer(60) as server:
        services: list[Any] = [Service(server, time) for _ in range(3)]
        clients: list[Any] = [Caller(services, time, number) for number in range(4)]
        for client in clients:
            client.server = server
        over = threading.Event()
        stop = (_in_threads if door == "wsgi" else _in_a_loop)(clients, services, over)

        def live(seconds: float) -> None:
            for _ in range(int(seconds / 30)):
                time[0] += 30
                _wait_for(clients, 3)
                for thread in threading.enumerate():
                    if thread.name == "jwks":  # real time is no part of this
                        thread.join()

        try:
            _wait_for(clients, 10)
            old = server.token(time[0], exp=time[0] + 10_000)
            server.published = (60, 61)
            live(jwks.LIFE)
            assert all(service.knows(61) for service in services)
            server.signs = 61
            _wait_for(clients, 10)
            server.published = (61,)
            live(jwks.LIFE)
            assert not any(service.knows(60) for service in services)
            while any(time[0] - one.keys._attempted_at < jwks.COOL_DOWN for one in services):
                live(30)
            server.published, server.signs = (61, 62), 62
            _wait_for(clients, 10)
        finally:
            over.set()
            stop()
        assert [client.failed for client in clients] == [[]] * 4
        assert all(service.knows(62) for service in services)
        # The first, about every 480 s one ahead, and the one for the last key.
        assert server.asked <= 3 * (2 + (time[0] - START) / (jwks.LIFE * 0.7))
        for auth in (service.house.auth for service in services):
            request = make_request(authorization=f"Bearer {old}")
            arrival = run(auth.flow.arrive(request, time[0]), auth.world)
            assert arrival.auth.reason == "invalid_token"
