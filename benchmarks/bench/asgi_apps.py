"""ASGI apps that answer one line: bare, and behind the middleware that people write."""

from __future__ import annotations

from typing import Any

import jwt
from werkzeug.http import parse_cookie

from .wsgi_apps import COOKIE, LINE, SECRET

_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"5")],
}
_BODY = {"type": "http.response.body", "body": LINE}


async def bare(_scope: Any, _receive: Any, send: Any) -> None:
    """An app that does nothing else: what is measured is what is put around it."""
    await send(_START)
    await send(_BODY)


def plain_middleware(app: Any) -> Any:
    """The dozen lines that people write themselves: find the cookie, decode the token."""

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        fields = [value for name, value in scope["headers"] if name == b"cookie"]
        cookie = b"; ".join(fields).decode("latin-1")
        try:
            claims = jwt.decode(parse_cookie(cookie).get(COOKIE, ""), SECRET, algorithms=["HS256"])
        except jwt.InvalidTokenError:
            claims = None
        await app({**scope, "jwt.claims": claims}, receive, send)

    return middleware
