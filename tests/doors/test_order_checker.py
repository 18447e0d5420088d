"""The checker of ASGI messages lets every legal order pass, and none that is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from order_checker import OutOfOrder, checked

START = {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]}
BODY = {"type": "http.response.body", "body": b"x"}
MORE = {**BODY, "more_body": True}
TRAILED = {**START, "trailers": True}
TRAILERS = {"type": "http.response.trailers", "headers": [(b"t", b"u")]}
ACCEPT = {"type": "websocket.accept", "headers": [(b"set-cookie", b"a=b")]}
TEXT = {"type": "websocket.send", "text": "x"}
CLOSE = {"type": "websocket.close", "code": 1000}
DENY = {"type": "websocket.http.response.start", "status": 403, "headers": []}
DENIED = {"type": "websocket.http.response.body", "body": b"no"}
DENIED_MORE = {**DENIED, "more_body": True}
UP = {"type": "lifespan.startup.complete"}
DOWN = {"type": "lifespan.shutdown.complete"}
HEAR: dict[str, Any] = {"type": "receive"}
"""A step of these scripts: await receive() instead of sending."""

FIRST = {
    "http": [{"type": "http.request", "body": b""}],
    "websocket": [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "x"},
        {"type": "websocket.disconnect", "code": 1001},
    ],
    "lifespan": [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}],
}


def play(kind: str, steps: list[Any], *extensions: str) -> list[Any]:
    """Run an app that takes these steps; what reached the server."""
    incoming, sent = list(FIRST[kind]), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for step in steps:
            if step is HEAR:
                await receive()
            else:
                await send(step)

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": kind, "extensions": {name: {} for name in extensions}}
    asyncio.run(checked(app)(scope, receive, send))  # type: ignore[arg-type]  # a coroutine
    return sent


@pytest.mark.parametrize(
    ("kind", "steps", "extensions"),
    [
        ("http", [START, BODY], ()),
        ("http", [HEAR, START, MORE, MORE, BODY], ()),
        ("http", [TRAILED, BODY, {**TRAILERS, "more_trailers": True}, TRAILERS], ()),
        ("http", [START, {"type": "http.response.pathsend"}], ("http.response.pathsend",)),
        ("http", [START, {"type": "http.response.zerocopysend"}], ("http.response.zerocopysend",)),
        (
            "http",
            [{"type": "http.response.early_hint"}, START, BODY],
            ("http.response.early_hint",),
        ),
        ("websocket", [HEAR, ACCEPT, TEXT, CLOSE], ()),
        ("websocket", [HEAR, ACCEPT, HEAR, HEAR], ()),
        ("websocket", [HEAR, CLOSE], ()),
        ("websocket", [HEAR, DENY, DENIED_MORE, DENIED], ("websocket.http.response",)),
        ("lifespan", [HEAR, UP, HEAR, DOWN], ()),
        ("lifespan", [HEAR, {"type": "lifespan.startup.failed"}], ()),
    ],
    ids=str,
)
def test_legal_orders_pass(kind: str, steps: list[Any], extensions: tuple[str, ...]) -> None:
    """What the specification allows reaches the server unchanged."""
    # S49
    assert play(kind, steps, *extensions) == [step for step in steps if step is not HEAR]


@pytest.mark.parametrize(
    ("kind", "steps", "fault"),
    [
        ("http", [], "returned while"),
        ("http", [START], "returned while"),
        ("http", [START, MORE], "returned while"),
        ("http", [TRAILED, BODY], "returned while"),
        ("http", [BODY], "before the start"),
        ("http", [START, START], "second"),
        ("http", [START, BODY, BODY], "after the end"),
        ("http", [START, BODY, START], "after the end"),
        ("http", [START, BODY, TRAILERS], "after the end"),
        ("http", [TRAILED, TRAILERS], "before the end of the body"),
        ("http", [ACCEPT], "in an http scope"),
        ("http", [{"type": "http.response.early_hint"}], "without the extension"),
        ("http", [{"type": "http.response.pathsend"}], "before the start"),
        ("http", [START, {"type": "http.response.pathsend"}], "without the extension"),
        ("http", [START, {"type": "http.response.zerocopysend"}], "without the extension"),
        ("http", [{**START, "status": "200"}], "an int"),
        ("http", [{**START, "status": True}], "an int"),
        ("http", [{**START, "status": 100}], "final"),
        ("http", [{"type": "http.response.start"}], "an int"),
        ("http", [{**START, "headers": [("a", "b")]}], "bytes"),
        ("http", [{**START, "headers": [(b"a", "b")]}], "bytes"),
        ("http", [{**START, "headers": [(b"A", b"b")]}], "lower-case"),
        ("http", [{**START, "headers": [(b"", b"b")]}], "lower-case"),
        ("http", [{**START, "headers": [(b"a b", b"b")]}], "lower-case"),
        ("http", [{**START, "headers": [(b"a", b"b\r\nc: d")]}], "one line"),
        ("http", [{**START, "headers": [(b"a", b"b", b"c")]}], "pair"),
        ("http", [{**START, "headers": [(b"connection", b"close")]}], "server"),
        ("http", [START, {**BODY, "body": "x"}], "bytes"),
        ("http", ["http.response.start"], "mapping"),
        ("http", [{"status": 200}], "type"),
        ("websocket", [ACCEPT], "before websocket.connect"),
        ("websocket", [CLOSE], "before websocket.connect"),
        ("websocket", [DENY], "before websocket.connect"),
        ("websocket", [HEAR], "returned while"),
        ("websocket", [HEAR, ACCEPT], "returned while"),
        ("websocket", [HEAR, TEXT], "before websocket.accept"),
        ("websocket", [HEAR, ACCEPT, ACCEPT], "twice"),
        ("websocket", [HEAR, ACCEPT, CLOSE, CLOSE], "after the end"),
        ("websocket", [HEAR, CLOSE, ACCEPT], "after the end"),
        ("websocket", [HEAR, DENY], "without the extension"),
        ("websocket", [HEAR, DENIED], "before its start"),
        ("websocket", [HEAR, ACCEPT, {"type": "websocket.send"}], "either"),
        ("websocket", [HEAR, ACCEPT, {**TEXT, "bytes": b"x"}], "either"),
        ("websocket", [HEAR, ACCEPT, HEAR, HEAR, TEXT], "after the end"),
        ("websocket", [HEAR, {**ACCEPT, "headers": [(b"Set-Cookie", b"a=b")]}], "lower-case"),
        ("websocket", [HEAR, {**CLOSE, "code": "1008"}], "int"),
        ("websocket", [HEAR, START], "in a websocket scope"),
        ("lifespan", [UP], "nobody asked"),
        ("lifespan", [HEAR], "without an answer"),
        ("lifespan", [HEAR, DOWN], "no answer"),
        ("lifespan", [HEAR, UP, UP], "nobody asked"),
    ],
    ids=str,
)
def test_illegal_orders_fail(kind: str, steps: list[Any], fault: str) -> None:
    """What the specification forbids is refused, and the refusal says what was wrong."""
    # S49
    with pytest.raises(OutOfOrder, match=fault):
        play(kind, steps)


@pytest.mark.parametrize(
    ("steps", "fault"),
    [
        ([HEAR, DENY], "returned while"),
        ([HEAR, DENY, DENY], "twice"),
        ([HEAR, DENY, ACCEPT], "after a denial"),
        ([HEAR, DENY, CLOSE], "inside a denial"),
        ([HEAR, DENY, DENIED, DENIED], "after the end"),
        ([HEAR, ACCEPT, DENY], "after websocket.accept"),
        ([HEAR, DENY, {**DENIED, "body": "no"}], "bytes"),
    ],
    ids=str,
)
def test_illegal_denials_fail(steps: list[Any], fault: str) -> None:
    """A WebSocket that is denied by a response is denied in order, too."""
    # S49, S50
    with pytest.raises(OutOfOrder, match=fault):
        play("websocket", steps, "websocket.http.response")


def test_an_exception_passes_and_is_no_disorder() -> None:
    """An app may raise at any moment: the checker does not cover it up."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    async def never() -> Any: ...

    with pytest.raises(ZeroDivisionError):
        asyncio.run(checked(app)({"type": "http"}, never, never))  # type: ignore[arg-type]
