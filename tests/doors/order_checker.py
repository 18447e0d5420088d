"""A checker of the order and shape of ASGI messages, as wsgiref.validate is for WSGI.

``checked(app)`` is the same app between an inspected ``receive`` and an inspected ``send``.
Whatever the ASGI specification (version 3, spec 2.5) forbids raises `OutOfOrder`: an answer
before the question, a second start, anything after the end, an end that never comes, text
where bytes are due, header names that are not lower case. Put one around the door to judge
the door, and one between door and app to judge what the door passes on.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[..., Awaitable[None]]

_name = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+").fullmatch  # RFC 9110 token, lower case


class OutOfOrder(AssertionError):
    """A message that the specification does not allow here."""


def demand(holds: object, what: str) -> None:
    """Raise `OutOfOrder` unless it holds."""
    if not holds:
        raise OutOfOrder(what)


def check_headers(message: Mapping[str, Any]) -> None:
    """Pairs of bytes, names in lower case, nothing that could end a header line."""
    for pair in message.get("headers", ()):
        demand(len(pair) == 2, f"a header is a pair, not {pair!r}")
        name, value = pair
        demand(type(name) is bytes and type(value) is bytes, f"{name!r}: headers are bytes")
        demand(_name(name), f"{name!r}: a header's name is a lower-case token")
        demand(not re.search(rb"[\r\n\0]", value), f"{name!r}: a header's value is one line")
        hop = name in (b"connection", b"keep-alive", b"upgrade", b"te", b"trailer")
        demand(not hop, f"{name!r} is for the server to say")


def check_start(message: Mapping[str, Any]) -> None:
    demand(type(message.get("status")) is int, "the status is an int")
    demand(200 <= message["status"] <= 599, "the status is a final one")
    check_headers(message)


class HTTPOrder:
    """``http.response.start``, bodies while ``more_body``, trailers if they were announced."""

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self.extensions = scope.get("extensions") or {}
        self.state = "waiting"
        self.trailers = False

    def received(self, message: Mapping[str, Any]) -> None:
        demand(message["type"] in ("http.request", "http.disconnect"), "a server's mistake")

    def sending(self, message: Mapping[str, Any]) -> None:
        kind = message["type"]
        demand(self.state != "ended", f"{kind} after the end")
        if kind in ("http.response.early_hint", "http.response.push", "http.response.debug"):
            demand(kind in self.extensions, f"{kind} without the extension")
        elif kind == "http.response.start":
            demand(self.state == "waiting", "a second http.response.start")
            check_start(message)
            self.trailers = message.get("trailers", False)
            self.state = "started"
        elif kind in ("http.response.body", "http.response.zerocopysend"):
            demand(self.state == "started", f"{kind} before the start")
            if kind == "http.response.body":
                demand(type(message.get("body", b"")) is bytes, "a body is bytes")
            else:
                demand(kind in self.extensions, f"{kind} without the extension")
            if not message.get("more_body", False):
                self.state = "trailers" if self.trailers else "ended"
        elif kind == "http.response.pathsend":
            demand(self.state == "started", f"{kind} before the start")
            demand(kind in self.extensions, f"{kind} without the extension")
            self.state = "ended"
        elif kind == "http.response.trailers":
            demand(self.state == "trailers", "trailers before the end of the body")
            check_headers(message)
            if not message.get("more_trailers", False):
                self.state = "ended"
        else:
            raise OutOfOrder(f"{kind} in an http scope")

    def returned(self) -> None:
        demand(self.state == "ended", f"returned while the response was {self.state}")


class WebSocketOrder:
    """``websocket.connect`` comes first; then accepted, closed, or denied by a response."""

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self.extensions = scope.get("extensions") or {}
        self.state = "unconnected"

    def received(self, message: Mapping[str, Any]) -> None:
        kind = message["type"]
        if kind == "websocket.connect":
            demand(self.state == "unconnected", "a server's mistake")
            self.state = "connecting"
        elif kind == "websocket.disconnect":
            self.state = "ended" if self.state == "open" else self.state

    def sending(self, message: Mapping[str, Any]) -> None:
        kind = message["type"]
        demand(self.state != "unconnected", f"{kind} before websocket.connect was received")
        demand(self.state != "ended", f"{kind} after the end")
        if kind == "websocket.accept":
            demand(self.state == "connecting", "websocket.accept twice, or after a denial")
            check_headers(message)
            self.state = "open"
        elif kind == "websocket.send":
            demand(self.state == "open", "websocket.send before websocket.accept")
            given = [message.get(name) is not None for name in ("bytes", "text")]
            demand(given.count(True) == 1, "websocket.send has either bytes or text")
        elif kind == "websocket.close":
            demand(self.state in ("connecting", "open"), "websocket.close inside a denial")
            demand(type(message.get("code", 1000)) is int, "a close code is an int")
            self.state = "ended"
        elif kind == "websocket.http.response.start":
            demand("websocket.http.response" in self.extensions, f"{kind} without the extension")
            demand(self.state == "connecting", f"{kind} after websocket.accept, or twice")
            check_start(message)
            self.state = "denying"
        elif kind == "websocket.http.response.body":
            demand(self.state == "denying", f"{kind} before its start")
            demand(type(message.get("body", b"")) is bytes, "a body is bytes")
            if not message.get("more_body", False):
                self.state = "ended"
        else:
            raise OutOfOrder(f"{kind} in a websocket scope")

    def returned(self) -> None:
        demand(self.state == "ended", f"returned while the connection was {self.state}")


class LifespanOrder:
    """One answer to ``startup``, then one to ``shutdown``."""

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self.asked: str | None = None

    def received(self, message: Mapping[str, Any]) -> None:
        demand(self.asked is None, "a server's mistake")
        self.asked = message["type"]

    def sending(self, message: Mapping[str, Any]) -> None:
        kind = message["type"]
        demand(self.asked is not None, f"{kind}, and nobody asked")
        answers = (f"{self.asked}.complete", f"{self.asked}.failed")
        demand(kind in answers, f"{kind} is no answer to {self.asked}")
        self.asked = None

    def returned(self) -> None:
        demand(self.asked is None, f"returned without an answer to {self.asked}")


ORDERS = {"http": HTTPOrder, "websocket": WebSocketOrder, "lifespan": LifespanOrder}


def checked(app: App) -> App:
    """The same app, whose every message is inspected."""

    async def inspected(scope: Any, receive: Receive, send: Send) -> None:
        order = ORDERS[scope["type"]](scope)

        async def receive_checked() -> Any:
            message = await receive()
            order.received(message)
            return message

        async def send_checked(message: Any) -> None:
            demand(isinstance(message, Mapping), "a message is a mapping")
            demand(type(message.get("type")) is str, "a message says its type")
            order.sending(message)
            await send(message)

        await app(scope, receive_checked, send_checked)
        order.returned()

    return inspected
