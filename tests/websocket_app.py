"""What the servers of tests/test_websocket_servers.py serve: an app that says who it talks to."""

from __future__ import annotations

from typing import Any

from jwt_middleware import Settings, get_auth
from jwt_middleware.asgi import JWTMiddleware


async def talk(scope: Any, receive: Any, send: Any) -> None:
    """Answers each message with the subject; says at its end why."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            print(f"ended: {get_auth(scope).reason}", flush=True)  # noqa: T201  # for the test
            return
        await send({"type": "websocket.send", "text": str(get_auth(scope).subject)})


app = JWTMiddleware(talk, Settings.from_env())
