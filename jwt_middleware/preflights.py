"""Where a sign-in is asked for, only the header of the answer to a CORS preflight goes out.

A preflight carries no credentials, and what it asks the app knows: so it is let through, signed in
as nobody. But anybody can send one, and many views answer every method alike (Django's functions,
Pyramid's). What such a view says is not for strangers, and browsers look at the header alone
(Fetch standard, CORS-preflight fetch).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .fields import decoded, encoded

_OF_CONTENT = frozenset(
    ("content-length", "content-encoding", "etag", "trailer", "transfer-encoding")
)


def header_alone(status: int, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The header fields of an answer that has lost its content."""
    kept = [(name, value) for name, value in headers if name.lower() not in _OF_CONTENT]
    return kept if status in (204, 304) else [*kept, ("Content-Length", "0")]


def wsgi_header_alone(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """The app, of whose answers no content goes out."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            start_response(status, header_alone(int(status[:3]), headers), *exc_info)
            return _discard

        body = app(environ, start)
        try:
            next(iter(body), None)  # a generator starts its response with its first step
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()
        return []

    return answer


def asgi_header_alone(app: Callable[..., Any]) -> Callable[..., Any]:
    """The app, of whose answers no content goes out."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        async def send_header(message: Any) -> None:
            if message["type"] != "http.response.start":
                return
            given = decoded(message.get("headers", ()))
            headers = encoded(header_alone(message["status"], given))
            await send({**message, "headers": headers, "trailers": False})
            await send({"type": "http.response.body", "body": b""})

        await app(scope, receive, send_header)

    return answer


def _discard(data: bytes) -> None:
    """``write()`` of an answer without content."""
