"""Requests without a server: what a server would call, and nothing around it."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

from .pairing import Call

Headers = Mapping[str, str]
NO_HEADERS: Headers = {}


def environ(method: str = "GET", path: str = "/", headers: Headers = NO_HEADERS) -> dict[str, Any]:
    """What a WSGI server hands to an app (PEP 3333)."""
    fields = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "testserver",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(b""),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        **fields,
    }


class Answered:
    """The last answer, kept so that a benchmark can make sure that it was the right one."""

    status = 0
    headers: list[tuple[str, str]]

    def start(self, status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
        self.status, self.headers = int(status[:3]), headers


def wsgi_call(app: Any, template: Mapping[str, Any], expected: int = 200) -> Call:
    """One request through a WSGI app, body and close() included. Raises ``AssertionError`` at
    once if the app answers otherwise than expected."""
    answered = Answered()
    start = answered.start

    def call() -> None:
        body = app({**template}, start)
        for _ in body:
            pass
        close = getattr(body, "close", None)
        if close is not None:
            close()

    call()
    if answered.status != expected:
        raise AssertionError(answered.status, answered.headers)
    return call


def scope(method: str = "GET", path: str = "/", headers: Headers = NO_HEADERS) -> dict[str, Any]:
    """What an ASGI server hands to an app."""
    fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"testserver"), *fields],
        "client": ("127.0.0.1", 50000),
        "server": ("testserver", 443),
    }


def asgi_call(
    app: Any, template: Mapping[str, Any], run: Callable[[Any], object], expected: int = 200
) -> Call:
    """One request through an ASGI app; ``run`` runs a coroutine to its end."""
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses[:] = [message["status"]]

    def call() -> None:
        # Frameworks write into the scope and its state: each request has its own.
        run(app({**template, "state": {}}, receive, send))

    call()
    if statuses != [expected]:
        raise AssertionError(statuses)
    return call


def step(coroutine: Any) -> None:
    """Run a coroutine that never waits: no event loop is measured along with it."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waited for something")
