"""The page in front of either door. Both do the same; nothing is decided here.

Its script says in a header, `X-Demo`, who asks: ``page``, for a button that is none of the app's
business, or ``elsewhere``, for whoever holds the stolen token.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from . import stream
from .actions import Watch
from .recorder import current

STREAM = "/watch/events"


def watched_wsgi(watch: Watch) -> Callable[..., Iterable[bytes]]:
    """The page in front of the WSGI door."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        cookie, caller = environ.get("HTTP_COOKIE", ""), environ.get("HTTP_X_DEMO", "")
        if path == STREAM:
            start_response("200 OK", stream.HEADERS)
            last = stream.position(environ.get("HTTP_LAST_EVENT_ID"))
            return stream.told(watch.recorder, last)
        shown = watch.answer(method, path, cookie, own=caller == "page")
        if shown is not None:
            start_response(_line(shown.status), shown.headers)
            return [shown.body]
        passage = watch.enter(method, path, cookie, elsewhere=caller == "elsewhere")
        environ["HTTP_COOKIE"] = passage.cookie

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            code, headers = watch.leave(passage, int(status[:3]), headers)
            return start_response(_line(code), headers, *exc_info)

        reset = current.set(passage)
        try:
            body: Iterable[bytes] = watch.app(environ, start)
        finally:
            current.reset(reset)
        return body

    return app


def _line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"


def watched_asgi(watch: Watch) -> Callable[..., Awaitable[None]]:
    """The page in front of the ASGI door."""

    async def app(
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        async def begin(status: int, headers: Iterable[tuple[str, str]]) -> None:
            fields = [(name.encode(), value.encode()) for name, value in headers]
            await send({"type": "http.response.start", "status": status, "headers": fields})

        method, path = scope["method"], scope["path"]
        found = {name: value.decode("latin-1") for name, value in scope["headers"]}
        cookie, caller = found.get(b"cookie", ""), found.get(b"x-demo", "")
        if path == STREAM:
            await begin(200, stream.HEADERS)
            last = stream.position(found.get(b"last-event-id"))
            async for part in stream.atold(watch.recorder, last):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body"})
            return
        shown = watch.answer(method, path, cookie, own=caller == "page")
        if shown is not None:
            await begin(shown.status, shown.headers)
            await send({"type": "http.response.body", "body": shown.body})
            return
        passage = watch.enter(method, path, cookie, elsewhere=caller == "elsewhere")
        others = [field for field in scope["headers"] if field[0] != b"cookie"]
        inner = {**scope, "headers": [*others, (b"cookie", passage.cookie.encode("latin-1"))]}

        async def leave(message: Any) -> None:
            if message["type"] != "http.response.start":
                await send(message)
                return
            fields = [
                (name.decode(), value.decode("latin-1")) for name, value in message["headers"]
            ]
            await begin(*watch.leave(passage, message["status"], fields))

        reset = current.set(passage)
        try:
            await watch.app(inner, receive, leave)
        finally:
            current.reset(reset)

    return app
