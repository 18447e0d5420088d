"""A client that waits for its answer before it hangs up, in front of an ASGI app."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from sites import Broken


def staying(app: Any) -> Any:
    """The app, whose ``receive`` says that the client has gone only after the last message.

    What an app raises behind its own error page is left out: a server logs it.
    """

    async def patient(scope: Any, receive: Any, send: Any) -> None:
        asked, answered = False, asyncio.Event()

        async def receive_in_time() -> Any:
            nonlocal asked
            if asked:
                await answered.wait()
            asked = True
            return await receive()

        async def send_and_note(message: Any) -> None:
            await send(message)
            if message["type"] == "websocket.close" or (
                message["type"] == "http.response.body" and not message.get("more_body")
            ):
                answered.set()

        with suppress(Broken):
            await app(scope, receive_in_time, send_and_note)

    return patient
