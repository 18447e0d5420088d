"""examples/gateway, started by its one command and used over real HTTP.

Its processes live in a time that the tests move, so nobody waits for anything to expire.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from keychain import private_key, sign
from real_http import (
    ACCESS,
    REFRESH,
    ROOT,
    Answer,
    Browser,
    call,
    free_port,
    members_of,
    serving,
    successors,
    wait_until,
)
from through import Ask, aask

from examples.gateway import roll_over, users
from examples.gateway.proxy import Upstream
from jwt_middleware.jws import decode_object
from jwt_middleware.publishing import MAX_AGE

README = (ROOT / "examples" / "gateway" / "README.md").read_text("utf-8")
SAME_SITE = {"Sec-Fetch-Site": "same-origin"}
PASSWORDS = {"alice": "wonderland", "bob": "builder"}
ACCESS_LIFE = 900
RELOAD = 10
"""Seconds: the default of access_token_expires, and the example's keys_reload."""
STRIDE = 25
"""Seconds by which time moves under requests that are on their way: less than the gateway's
reissue_within, as no real service is slower."""


class Gateway:
    """The running example."""

    def __init__(self, ports: list[int], log: Path, ahead: Path) -> None:
        self.port, self.auth, self.orders, self.invoices = ports
        self.ports = ports
        self._log = log
        self._ahead = ahead
        self._moved = 0.0

    def advance(self, seconds: float) -> None:
        """Move the time of all its processes, in one step."""
        self._moved += seconds
        written = self._ahead.with_suffix(".new")
        written.write_text(str(self._moved), "ascii")
        written.replace(self._ahead)

    def now(self) -> float:
        return time.time() + self._moved

    def said(self, pattern: str) -> str:
        """What it has told whoever started it."""
        found = re.search(pattern, self._log.read_text("utf-8", "replace"))
        return found[1] if found else ""

    def sign_in(self, name: str) -> Browser:
        browser = Browser(self.port)
        answer = log_in(browser, name, PASSWORDS[name])
        assert (answer.status, set(browser.jar)) == (303, {ACCESS, REFRESH})
        return browser


def log_in(browser: Browser, name: str, password: str) -> Answer:
    return browser.post("/login", {"name": name, "password": password}, headers=SAME_SITE)


def order(browser: Browser, item: str) -> Answer:
    return browser.post("/orders", {"item": item}, as_json=True, headers=SAME_SITE)


@contextmanager
def running(place: Path) -> Iterator[Gateway]:
    """The example, started as its README says, until the block ends."""
    ports = [free_port() for _ in range(4)]
    ahead, log = place / "ahead", place / "log"
    ahead.write_text("0", "ascii")
    (command,) = re.findall(r"^    (python -m examples\.gateway)$", README, re.MULTILINE)
    folder = str(ROOT / "tests" / "moved_time")
    variables = {"TIME_AHEAD": str(ahead), "PYTHONPATH": folder, "TMPDIR": str(place)}
    arguments = [*command.split()[1:], "--ports", *map(str, ports)]
    with serving(*arguments, port=ports[0], log=log, variables=variables):
        for port in ports:
            wait_until(lambda port=port: answers(port), f"port {port}")
        yield Gateway(ports, log, ahead)
    assert "all have ended" in log.read_text("utf-8", "replace")
    assert not any(map(answers, ports))


def answers(port: int) -> bool:
    try:
        return call(port, "GET", "/").status > 0
    except OSError:
        return False


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway, None, None]:
    with running(tmp_path_factory.mktemp("gateway")) as started:
        yield started


# ── Signing in and calling ───────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["alice", "nobody", ""])
def test_a_wrong_password_signs_nobody_in(gateway: Gateway, name: str) -> None:
    """Neither a user nor an unknown name, and both are told the same."""
    browser = Browser(gateway.port)
    answer = log_in(browser, name, "looking-glass")
    assert (answer.status, answer.text) == (401, "Name and password do not match.")
    assert browser.jar == {}


def test_passwords_are_not_kept() -> None:
    """The table holds salts and slow hashes, each user's own."""
    assert users.find("alice", "wonderland") == users.ALICE
    assert len({user.salt for user in users.USERS.values()}) == len(users.USERS)
    table = Path(users.__file__).read_text("utf-8")
    assert not any(password in table for password in PASSWORDS.values())


def test_who_is_signed_in_reaches_the_services(gateway: Gateway) -> None:
    """Each service knows who it is, and what they may do, by the token alone."""
    alice, bob = gateway.sign_in("alice"), gateway.sign_in("bob")
    assert alice.get("/orders").json["you_are"] == "alice"
    assert alice.get("/invoices").status == 403
    assert bob.get("/invoices").json["you_are"] == "bob"
    assert order(bob, "a hat").status == 201
    assert bob.get("/orders").json["orders"] == ["a hat"]
    assert "You are bob." in bob.get("/").text


def test_nobody_else_does(gateway: Gateway) -> None:
    """Programs are told so, and people are shown where to sign in."""
    assert call(gateway.port, "GET", "/orders").status == 401
    answer = call(gateway.port, "GET", "/orders", headers={"Accept": "text/html"})
    assert (answer.status, answer.all("location")) == (303, ["/?next=%2Forders"])


def test_browsers_stay_apart(gateway: Gateway) -> None:
    """What passes through the gateway for one browser stays with none of the others."""  # S51
    for name in PASSWORDS:
        gateway.sign_in(name)
        assert 'action="/login"' in call(gateway.port, "GET", "/").text
        assert call(gateway.port, "GET", "/orders").status == 401


def test_another_site_causes_nothing(gateway: Gateway) -> None:
    """Neither a call with the browser's cookies, nor a sign-in as somebody else."""  # S40
    alice = gateway.sign_in("alice")
    hostile = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    assert alice.post("/orders", {"item": "poison"}, as_json=True, headers=hostile).status == 403
    form = {"name": "bob", "password": PASSWORDS["bob"]}
    assert Browser(gateway.port).post("/login", form, headers=hostile).status == 403
    assert alice.post("/logout", headers=hostile).status == 403
    assert alice.get("/orders").status == 200


# ── Expiry and reissue ───────────────────────────────────────────────────────────


def test_an_expired_token_costs_nobody_a_call(gateway: Gateway) -> None:
    """The call is carried out, under a fresh token, and its answer renews the cookies."""  # S32
    alice = gateway.sign_in("alice")
    before = dict(alice.jar)
    gateway.advance(ACCESS_LIFE + 1)
    answer = order(alice, "a watch")
    assert (answer.status, answer.all("cache-control")) == (201, ["no-store"])
    assert alice.jar[ACCESS] != before[ACCESS]
    assert alice.jar[REFRESH] != before[REFRESH]
    assert "a watch" in alice.get("/orders").json["orders"]
    assert call(gateway.port, "GET", "/orders", cookies={ACCESS: before[ACCESS]}).status == 401


def test_parallel_calls_share_one_successor(gateway: Gateway) -> None:
    """A page that asks both services at once, with an expired token, signs nobody out."""  # S41
    bob = gateway.sign_in("bob")
    gateway.advance(ACCESS_LIFE + 1)
    paths = ["/orders", "/invoices", "/"] * 3
    with ThreadPoolExecutor(len(paths)) as threads:
        got = list(
            threads.map(lambda path: call(gateway.port, "GET", path, cookies=bob.jar), paths)
        )
    assert [answer.status for answer in got] == [200] * len(paths)
    assert len(successors(got)) == 1


# ── Nobody's word but the token's ────────────────────────────────────────────────


def test_what_a_client_makes_up_is_not_believed(gateway: Gateway) -> None:
    """Neither by the gateway nor by a service that is reached past it."""  # S28
    made_up = {
        "X-User": "bob",
        "X-Forwarded-User": "bob",
        "Remote-User": "bob",
        "X-Forwarded-For": "127.0.0.1",
    }
    for port in (gateway.port, gateway.orders, gateway.invoices):
        path = "/orders" if port != gateway.invoices else "/invoices"
        assert call(port, "GET", path, headers=made_up).status == 401
    alice = gateway.sign_in("alice")
    for more in ({}, {"Authorization": "Basic Ym9iOmJ1aWxkZXI="}):
        assert alice.get("/orders", headers={**made_up, **more}).json["you_are"] == "alice"


def test_a_service_believes_the_keys_alone(gateway: Gateway) -> None:
    """A good access token opens it, past the gateway, too; nothing else does."""  # S17, S19
    alice = gateway.sign_in("alice")
    members = members_of(alice.jar[ACCESS])
    (published,) = call(gateway.auth, "GET", "/.well-known/jwks.json").json["keys"]
    stranger = private_key("Ed25519", 7)
    forged = sign(stranger, members, kid=published["kid"])
    for token, status in (
        (alice.jar[ACCESS], 200),
        (alice.jar[REFRESH], 401),
        (forged, 401),
    ):
        field = {"Authorization": f"Bearer {token}"}
        assert call(gateway.orders, "GET", "/orders", headers=field).status == status
    assert call(gateway.orders, "GET", "/orders", cookies=alice.jar).status == 401


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked, and with headers that no service should send."""

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        seen = {name.lower(): value for name, value in self.headers.items()}
        content = self.rfile.read(length).decode()
        body = json.dumps({"path": self.path, "headers": seen, "content": content}).encode()
        self.send_response(201)
        for name in ("Set-Cookie", "X-Access-Token", "X-Refresh-Token", "Cache-Control"):
            self.send_header(name, "said by the service")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any, **__: Any) -> None: ...


@pytest.fixture
def echo() -> Generator[str, None, None]:
    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_only_what_is_named_passes(echo: str) -> None:
    """To a service go the token and what describes the content; from it no cookie and no token
    comes back. The path stays as it was written."""  # S28
    passing = [("Authorization", "Bearer x"), ("Content-Type", "text/plain")]
    others = ["Cookie", "X-Refresh-Token", "X-User", "Forwarded", "X-Forwarded-For", "Connection"]
    fields = [*passing, *((name, "x") for name in others), ("Content-Length", "5")]
    ask = Ask(method="POST", path="/a%20b/%2e/c", query="d=%26&e", fields=fields)
    incoming = [{"type": "http.request", "body": b"hello"}]
    answer = asyncio.run(aask(Upstream(echo), ask.scope(), incoming))
    told = json.loads(answer.body)
    assert told["content"] == "hello"
    assert told["path"] == "/a%20b/%2e/c?d=%26&e"
    assert told["headers"].items() >= {(name.lower(), value) for name, value in passing}
    assert not {name.lower() for name in others} - {"connection"} & told["headers"].keys()
    assert answer.status == 201
    assert {name for name, _ in answer.headers} == {"cache-control", "content-length"}


@pytest.mark.parametrize("path", ["@{}/x", "0/x"], ids=["host", "port"])
def test_no_path_leads_elsewhere(echo: str, path: str) -> None:
    """What begins without a slash would be read as a part of the service's address."""
    elsewhere = Upstream("http://127.0.0.1")
    ask = Ask(path=path.format(echo.removeprefix("http://")))
    assert asyncio.run(aask(elsewhere, ask.scope(), [])).status == 400


# ── Rolling the key over ─────────────────────────────────────────────────────────


class Traffic:
    """Browsers that never stop calling, and what was answered."""

    CALLS = (("alice", "/orders"), ("bob", "/invoices"), ("bob", "/orders"))

    def __init__(self, gateway: Gateway) -> None:
        self._browsers = [(gateway.sign_in(name), path) for name, path in self.CALLS]
        self._statuses: list[list[int]] = [[] for _ in self.CALLS]
        self._ended = threading.Event()

    def __enter__(self) -> Traffic:
        self._threads = ThreadPoolExecutor(len(self.CALLS))
        self._running = [
            self._threads.submit(self._call, *one, statuses)
            for one, statuses in zip(self._browsers, self._statuses, strict=True)
        ]
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._threads.shutdown()
        for one in self._running:
            one.result()

    def _call(self, browser: Browser, path: str, statuses: list[int]) -> None:
        while not self._ended.wait(0.01):
            statuses.append(browser.get(path).status)

    def goes_on(self) -> None:
        """Wait until everybody has asked and been answered once more."""
        counts = [len(statuses) for statuses in self._statuses]
        wait_until(
            lambda: all(
                len(statuses) >= count + 2  # the first may have been asked before
                for statuses, count in zip(self._statuses, counts, strict=True)
            ),
            "answers",
        )

    @property
    def statuses(self) -> set[int]:
        return {status for statuses in self._statuses for status in statuses}

    @property
    def kids(self) -> set[str]:
        """The keys that have signed what the browsers hold now."""
        return {kid_of(browser.jar[ACCESS]) for browser, _ in self._browsers}


def kid_of(token: str) -> str:
    return decode_object(token.partition(".")[0])["kid"]


def test_a_key_is_replaced_in_mid_traffic(gateway: Gateway) -> None:
    """In the three steps, with the waits that stand in the README, no call fails; in the end the
    old key opens nothing any more."""  # S10
    file = Path(gateway.said(r"the signing key: (.+)"))
    (old_key,) = roll_over.read(file)
    alice = gateway.sign_in("alice")
    old_kid = kid_of(alice.jar[ACCESS])

    def by_the_old_key(port: int) -> int:
        """What a token is worth that the old key signs now."""
        now = gateway.now()
        members = {**members_of(alice.jar[ACCESS]), "iat": int(now), "exp": int(now) + 60}
        key = load_pem_private_key(old_key.encode(), None)
        field = {"Authorization": f"Bearer {sign(key, members, kid=old_kid)}"}
        return call(port, "GET", "/orders", headers=field).status

    def wait(seconds: int) -> None:
        for _ in range(0, seconds, STRIDE):
            gateway.advance(STRIDE)
            traffic.goes_on()

    with Traffic(gateway) as traffic:
        assert traffic.kids == {old_kid}
        for step, waiting in (
            (roll_over.add, RELOAD + MAX_AGE),
            (roll_over.promote, RELOAD + ACCESS_LIFE),
            (roll_over.retire, RELOAD + MAX_AGE),
        ):
            traffic.goes_on()
            assert by_the_old_key(gateway.orders) == by_the_old_key(gateway.port) == 200
            step(file)
            wait(waiting)
    assert traffic.statuses == {200}
    (new_kid,) = traffic.kids
    assert new_kid != old_kid
    published = call(gateway.auth, "GET", "/.well-known/jwks.json").json["keys"]
    assert [key["kid"] for key in published] == [new_kid]
    assert by_the_old_key(gateway.orders) == by_the_old_key(gateway.port) == 401


def test_the_readme_names_the_steps() -> None:
    """Each command it has for a roll-over is one that there is, in order."""
    steps = re.findall(
        r"^    python -m examples\.gateway\.roll_over \S+ (\w+)", README, re.MULTILINE
    )
    assert steps == list(roll_over.STEPS)


def test_the_steps_are_commands(tmp_path: Path) -> None:
    """They change the file as a whole, and leave it for its owner alone."""
    file = tmp_path / "signing.pem"
    roll_over.write(file, roll_over.new_key())
    (old,) = roll_over.read(file)
    counts: list[int] = []
    for step in roll_over.STEPS:
        command = [sys.executable, "-m", "examples.gateway.roll_over", str(file), step]
        subprocess.run(command, cwd=ROOT, check=True)
        counts.append(len(roll_over.read(file)))
    assert counts == [2, 2, 1]
    assert old not in file.read_text("ascii")
    assert file.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == [file.name]


# ── Signing out, and an outage ───────────────────────────────────────────────────


def test_signing_out(gateway: Gateway) -> None:
    """The cookies go, and copies of them are worth nothing at the gateway."""
    alice = gateway.sign_in("alice")
    copied = dict(alice.jar)
    assert alice.post("/logout", headers=SAME_SITE).status == 204
    assert alice.jar == {}
    assert alice.get("/orders").status == 401
    for jar in (copied, {REFRESH: copied[REFRESH]}):
        assert call(gateway.port, "GET", "/orders", cookies=jar).status == 401


def test_the_services_go_on_without_the_auth_server(gateway: Gateway) -> None:
    """Whoever is signed in stays so, past the expiry of token and published keys; signing out
    works, and signing in is told to come again."""  # S45
    alice = gateway.sign_in("alice")
    assert alice.get("/orders").status == 200
    os.kill(int(gateway.said(r"auth server: process (\d+)")), signal.SIGTERM)
    wait_until(lambda: not answers(gateway.auth), "the auth server to end")
    refused = log_in(Browser(gateway.port), "bob", PASSWORDS["bob"])
    assert (refused.status, refused.all("retry-after")) == (503, ["2"])
    assert alice.get("/orders").status == 200
    gateway.advance(ACCESS_LIFE + 1)
    assert order(alice, "a lamp").status == 201
    assert "a lamp" in alice.get("/orders").json["orders"]
    assert alice.post("/logout", headers=SAME_SITE).status == 204
    assert alice.get("/orders").status == 401
