"""Real HTTP for tests: a server in a process of its own, and a client that keeps cookies."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64decode
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

ROOT = Path(__file__).parents[1]
SECRET = "a secret of the tests, 32 bytes and more"
ACCESS, REFRESH = "access_token", "refresh_token"
"""The cookies' names where they are not Secure, as over plain http."""

PATIENCE = 30.0
"""Seconds a server may take to come up, and an answer to arrive."""


# ── Server ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Server:
    """A server that answers on a port of this machine."""

    process: subprocess.Popen[bytes]
    port: int


@contextmanager
def serving(
    *arguments: str, port: int, log: Path, variables: Mapping[str, str]
) -> Generator[Server, None, None]:
    """Python run with ``arguments``, from when it answers on ``port`` until the block ends.

    What the server writes goes to ``log``, which pytest shows if the test fails. Of our own
    settings it sees only ``variables``.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith("JWT_")}
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**environ, "JWT_SECRET_KEY": SECRET, **variables},
            stdout=written,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: process.poll() is not None or _answers(port), f"port {port}")
        assert process.poll() is None, "the server ended before it answered"
        yield Server(process, port)
    finally:
        _end(process)
        sys.stderr.write(log.read_text("utf-8", "replace"))


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as candidate:
        candidate.bind(("127.0.0.1", 0))
        return candidate.getsockname()[1]


def wait_until(happened: Any, what: str) -> None:
    """Return as soon as ``happened()`` is true."""
    give_up_at = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < give_up_at, f"waited {PATIENCE:g} s in vain for {what}"
        time.sleep(0.005)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


# ── Client ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        """The values of every header field of this name."""
        return [value for field_name, value in self.headers if field_name.lower() == name.lower()]

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies this answer sets; one that it clears is empty."""
        morsels = SimpleCookie()
        for line in self.all("set-cookie"):
            morsels.load(line)
        return {name: morsel.value for name, morsel in morsels.items()}


@dataclass
class Browser:
    """Keeps the cookies of one server, as a browser does."""

    port: int
    jar: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.send("GET", path, headers=headers)

    def post(
        self,
        path: str,
        form: Mapping[str, str] | None = None,
        *,
        as_json: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """``form`` is sent as a page's form would be, or as JSON."""
        kind = "application/json" if as_json else "application/x-www-form-urlencoded"
        body = json.dumps(form or {}) if as_json else urlencode(form or {})
        return self.send("POST", path, body, {"Content-Type": kind, **(headers or {})})

    def send(
        self, method: str, path: str, body: str = "", headers: Mapping[str, str] | None = None
    ) -> Answer:
        answer = call(self.port, method, path, body, headers, self.jar)
        self.take(answer.cookies)
        return answer

    def take(self, cookies: Mapping[str, str]) -> None:
        """Keep what was set, drop what was cleared."""
        self.jar = {name: value for name, value in {**self.jar, **cookies}.items() if value}


def call(
    port: int,
    method: str,
    path: str,
    body: str = "",
    headers: Mapping[str, str] | None = None,
    cookies: Mapping[str, str] | None = None,
) -> Answer:
    """One request on a connection of its own."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(
            method, path, body or None, {**cookie_header(cookies), **(headers or {})}
        )
        response = connection.getresponse()
        return Answer(response.status, response.getheaders(), response.read())
    finally:
        connection.close()


def cookie_header(cookies: Mapping[str, str] | None) -> dict[str, str]:
    if not cookies:
        return {}
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}


def successors(answers: Iterable[Answer]) -> set[str]:
    """The distinct refresh tokens that these answers set."""
    return {answer.cookies[REFRESH] for answer in answers if REFRESH in answer.cookies}


def members_of(token: str) -> dict[str, Any]:
    """What a token says. Whether it is true, the server knows."""
    payload = token.split(".")[1]
    return json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
