"""Where the browser goes: an app behind one of our doors, and pages of somebody else's.

All is served over https, so that cookies are Secure and have their `__Host-` names. The hosts
are real to the browser, though all of them lead here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, NamedTuple

import uvicorn
from real_http import free_port, wait_until
from stepping import House
from werkzeug.serving import make_server

from jwt_middleware import CrossSiteRequest, asgi, wsgi
from jwt_middleware.handle import AUTH_KEY, RequestAuth

OURS, VISITED = "app.example.com", "www.example.com"
"""Two names of the app: at the second nobody has signed in."""

SIBLING, STRANGER = "shop.example.com", "evil.example"
Certificate = tuple[str, str]
"""The files of a certificate and of its key."""

NO_ICON = '<!doctype html><link rel="icon" href="data:,">'
"""The head of a page for which the browser asks for nothing else, at a moment of its own."""

serial = count()


class Seen(NamedTuple):
    """A request as the app saw it."""

    method: str
    path: str
    subject: str | None
    reason: str | None
    refused: bool
    """Signing in was refused."""
    said: dict[str, str]
    """What the browser said of it: its fields."""


class Ours:
    """An app that notes who it sees; `/login` signs in, `/out` signs out."""

    def __init__(self, house: House, port: int) -> None:
        self.house = house
        self.port = port
        self.seen: list[Seen] = []

    def url(self, path: str, host: str = OURS) -> str:
        return f"https://{host}:{self.port}{path}"

    def fresh(self, path: str = "", host: str = OURS) -> str:
        """A URL nobody has asked for yet."""
        return self.url(f"/{path}{next(serial)}", host)

    def arrival(self, url: str) -> Seen:
        """The request for this URL, waited for."""
        path = "/" + url.split("/", 3)[3]

        def found() -> list[Seen]:
            return [one for one in self.seen if one.path == path]

        wait_until(found, f"a request for {path}")
        return found()[0]

    def page(self, auth: RequestAuth, method: str, path: str, said: dict[str, str]) -> bytes:
        """What the app answers: a page with a token for its forms."""
        refused = False
        try:
            if path.startswith("/login") and method == "POST":
                auth.login("alice")
            elif path.startswith("/out"):
                auth.logout()
        except CrossSiteRequest:
            refused = True
        self.seen.append(Seen(method, path, auth.subject, auth.reason, refused, said))
        return f'{NO_ICON}<body data-token="{auth.csrf_token}">{auth.subject}'.encode()

    def wsgi(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        said = {
            name.removeprefix("HTTP_").lower().replace("_", "-"): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        body = self.page(environ[AUTH_KEY], method, path, said)
        start_response("200 OK", [("Content-Type", "text/html")])
        return [body]

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        said = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = self.page(scope[AUTH_KEY], scope["method"], scope["path"], said)
        headers = [(b"content-type", b"text/html")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@contextmanager
def our_place(door: str, certificate: Certificate, **settings: Any) -> Iterator[Ours]:
    """The app behind a door, as long as the block lasts."""
    house = House(**settings)
    place = Ours(house, free_port())
    if door == "wsgi":
        app = wsgi.JWTMiddleware(place.wsgi, house.auth)
        with _threaded(app, place.port, certificate):
            yield place
        return
    more: dict[str, Any] = {"log_level": "error", "lifespan": "off"}
    server = uvicorn.Server(
        uvicorn.Config(
            asgi.JWTMiddleware(place.asgi, house.auth),
            port=place.port,
            ssl_certfile=certificate[0],
            ssl_keyfile=certificate[1],
            **more,
        )
    )

    def stop() -> None:
        server.should_exit = True

    with _running(server.run, stop):
        wait_until(lambda: server.started, "uvicorn")
        yield place


@contextmanager
def their_place(certificate: Certificate) -> Iterator[int]:
    """The port of empty pages, for scripts of those who mean no good."""

    def empty(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html")])
        return [f"{NO_ICON}<body>".encode()]

    port = free_port()
    with _threaded(empty, port, certificate):
        yield port


@contextmanager
def _threaded(app: Any, port: int, certificate: Certificate) -> Iterator[None]:
    server = make_server("127.0.0.1", port, app, threaded=True, ssl_context=certificate)
    with _running(server.serve_forever, server.shutdown):
        yield
    server.server_close()


@contextmanager
def _running(run: Callable[[], Any], stop: Callable[[], Any]) -> Iterator[None]:
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join(10)
