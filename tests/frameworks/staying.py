"""A client that waits for its answer before it hangs up, in front of an ASGI app."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from sites import Broken


def staying(app: Any) -> Any:
    """The app, whose ``receive`` says that the client has gone only after the last message.

    It may accept a connection in one task while it asks for the first message in another, as
    Quart does and servers allow: what it sends waits until it has asked.
    What an app raises behind its own error page is left out: a server logs it.
    """

    async def patient(scope: Any, receive: Any, send: Any) -> None:
        asked, answered = asyncio.Event(), asyncio.Event()

        async def receive_in_time() -> Any:
            if asked.is_set():
                await answered.wait()
            message = await receive()
            asked.set()
            return message

        async def send_and_note(message: Any) -> None:
            if scope["type"] == "websocket":
                await asked.wait()
            await send(message)
            if message["type"] == "websocket.close" or (
                message["type"] == "http.response.body" and not message.get("more_body")
            ):
                answered.set()

        with suppress(Broken):
            await app(scope, receive_in_time, send_and_note)

    return patient
