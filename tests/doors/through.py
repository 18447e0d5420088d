"""One request through either door, by a small server that keeps the protocol's rules.

`Ask` is what a client sends. `ask_wsgi` and `ask_asgi` show it to an app the way a server
does, and give back an `Answer`. Both are strict: the WSGI side lets ``start_response`` be
called again only with ``exc_info``, the ASGI side stands behind `order_checker.checked`.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import unquote_to_bytes

from order_checker import checked
from stepping import House

from jwt_middleware import asgi, wsgi
from jwt_middleware.handle import AUTH_KEY, RequestAuth
from jwt_middleware.stores import VERBS

Fields = Sequence[tuple[str, str]]
"""Headers in order; values are text of Latin-1, each character one byte."""

View = Callable[[RequestAuth], Any]


@dataclass(kw_only=True)
class Ask:
    """A request as it stands on the wire; ``path`` is percent-encoded and below ``mount``."""

    method: str = "GET"
    path: str = "/"
    query: str = ""
    mount: str = ""
    fields: Fields = ()
    body: bytes = b""
    scheme: str = "https"
    host: str = "testserver"

    @property
    def environ(self) -> dict[str, Any]:
        joined: dict[str, str] = {}
        for name, value in (("Host", self.host), *self.fields):
            key = name.upper().replace("-", "_")
            key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
            glue = "; " if key == "HTTP_COOKIE" else ","
            joined[key] = f"{joined[key]}{glue}{value}" if key in joined else value
        return {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": unquote_to_bytes(self.mount).decode("latin-1"),
            "PATH_INFO": unquote_to_bytes(self.path).decode("latin-1"),
            "RAW_URI": self.mount + self.path + (f"?{self.query}" if self.query else ""),
            "QUERY_STRING": self.query,
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": self.scheme,
            "wsgi.input": io.BytesIO(self.body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            **joined,
        }

    def scope(self, kind: str = "http", *extensions: str) -> dict[str, Any]:
        fields = [("host", self.host), *self.fields]
        scope = {
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": "2.5"},
            "http_version": "1.1",
            "scheme": self.scheme,
            "path": unquote_to_bytes(self.mount + self.path).decode("utf-8", "replace"),
            "raw_path": (self.mount + self.path).encode("latin-1"),
            "root_path": unquote_to_bytes(self.mount).decode("utf-8", "replace"),
            "query_string": self.query.encode("latin-1"),
            "headers": [
                (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields
            ],
            "client": ("127.0.0.1", 4711),
            "server": ("testserver", 443),
            "extensions": {name: {} for name in extensions},
        }
        return {**scope, "method": self.method} if kind == "http" else scope


@dataclass
class Answer:
    """A response as it stands on the wire."""

    status: int = 0
    reason: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    starts: list[list[tuple[str, str]]] = field(default_factory=list)
    """The headers of each call of ``start_response``."""
    messages: list[Any] = field(default_factory=list)
    """What an ASGI app sent."""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def one(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) <= 1, (name, values)
        return values[0] if values else None

    @property
    def cookies(self) -> dict[str, str]:
        jar: SimpleCookie = SimpleCookie()
        for value in self.all("Set-Cookie"):
            jar.load(value)
        return {name: morsel.value for name, morsel in jar.items()}


def ask_wsgi(app: Callable[..., Iterable[bytes]], environ: dict[str, Any]) -> Answer:
    """Serve one WSGI request to its end, and close the body whatever happens."""
    answer = Answer()
    chunks: list[bytes] = []

    def start_response(status: str, headers: list[Any], exc_info: Any = None) -> Any:
        if exc_info is not None and chunks:
            raise exc_info[1].with_traceback(exc_info[2])
        assert exc_info is not None or not answer.starts, "started twice without exc_info"
        answer.status, answer.reason = int(status[:3]), status[4:]
        answer.headers = list(headers)
        answer.starts.append(list(headers))
        return chunks.append

    body = app(environ, start_response)
    try:
        for chunk in body:
            assert answer.starts, "a body before start_response"
            assert type(chunk) is bytes
            chunks.append(chunk)
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()
    assert answer.starts, "start_response was never called"
    answer.body = b"".join(chunks)
    return answer


def ask_asgi(app: Any, scope: Any, incoming: Iterable[Any] = ()) -> Answer:
    """Serve one ASGI request to its end, in a loop of its own."""
    return asyncio.run(aask(app, scope, incoming))


async def aask(app: Any, scope: Any, incoming: Iterable[Any] = ()) -> Answer:
    """Serve one ASGI request to its end; ``incoming`` is what ``receive`` gives."""
    answer = Answer()
    default: list[Any] = [{"type": "http.request", "body": b"", "more_body": False}]
    if scope["type"] == "websocket":
        default = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1001}]
    waiting = list(incoming) or default

    async def receive() -> Any:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        answer.messages.append(message)

    await checked(app)(scope, receive, send)
    for message in answer.messages:
        if "status" in message:
            answer.status = message["status"]
            answer.reason = HTTPStatus(answer.status).phrase
        if "headers" in message:
            answer.headers = [
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in message["headers"]
            ]
        answer.body += message.get("body", b"")
    return answer


def nothing(auth: RequestAuth) -> None:
    """A view that asks for nothing."""


class Through:
    """An app behind one of the doors: a view, a status and headers, and what it was shown."""

    def __init__(
        self,
        house: House,
        view: View = nothing,
        *,
        status: str = "200 OK",
        headers: Fields = (),
    ) -> None:
        self.house = house
        self.view = view
        self.status = status
        self.headers = [("Content-Type", "text/plain"), *headers]
        self.seen: list[RequestAuth] = []
        self.places: list[Mapping[str, Any]] = []
        """The environ or scope of each request."""

    @cached_property
    def wsgi(self) -> wsgi.JWTMiddleware:
        return wsgi.JWTMiddleware(self._wsgi_app, self.house.auth)

    @cached_property
    def asgi(self) -> asgi.JWTMiddleware:
        return asgi.JWTMiddleware(self._asgi_app, self.house.auth)

    def _look(self, place: Mapping[str, Any]) -> None:
        self.places.append(place)
        self.seen.append(place[AUTH_KEY])
        self.view(place[AUTH_KEY])

    def _wsgi_app(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self._look(environ)
        start_response(self.status, list(self.headers))
        return [b"hello"]

    async def _asgi_app(self, scope: Any, receive: Any, send: Any) -> None:
        self._look(scope)
        headers = [(name.lower().encode(), value.encode()) for name, value in self.headers]
        status = int(self.status[:3])
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"hello"})

    def ask(self, door: str, ask: Ask) -> Answer:
        if door == "wsgi":
            return ask_wsgi(self.wsgi, ask.environ)
        return ask_asgi(self.asgi, ask.scope())

    @property
    def auth(self) -> RequestAuth:
        """What the last request was shown."""
        return self.seen[-1]


def cookie(**values: str | None) -> tuple[str, str]:
    """A Cookie field with our names: ``access=``, ``refresh=``, others as they are."""
    names = {"access": "__Host-access_token", "refresh": "__Host-refresh_token"}
    pairs = (f"{names.get(name, name)}={value}" for name, value in values.items() if value)
    return ("Cookie", "; ".join(pairs))


def bearer(token: str) -> tuple[str, str]:
    return ("Authorization", f"Bearer {token}")


def away(house: House, *verbs: str) -> House:
    """The same house, whose store does not answer these verbs any more."""

    def fail(*args: Any, **options: Any) -> Any:
        raise OSError("the store is away")

    for verb in verbs:
        setattr(house.store, verb, fail)
    return house


def noting(house: House) -> list[str]:
    """The verbs the house's store is asked from now on, in order."""
    verbs: list[str] = []

    def note(verb: str) -> None:
        asked = getattr(house.store, verb)

        def noted(*args: Any, **options: Any) -> Any:
            verbs.append(verb)
            return asked(*args, **options)

        setattr(house.store, verb, noted)

    for verb in VERBS:
        note(verb)
    return verbs


AGES = 1000.0
"""Seconds after which an access token of the defaults has expired, and its session has not."""
