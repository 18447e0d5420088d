"""An open WebSocket: its messages pass, and beside them one task watches whether it may stay open.

The app is told of a close of ours as of any other end: its `receive` gives a
``websocket.disconnect``, and what it still sends is refused by an ``OSError``, as servers do.
"""

from __future__ import annotations

import logging
from asyncio import Event, Task, Timeout, create_task, get_running_loop, timeout, wait
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from functools import partial
from math import isinf
from typing import Any, TypeAlias

from .connections import Ending, watch, watched
from .driver import AsyncWorld, Command, arun
from .handle import RequestAuth

_logger = logging.getLogger("jwt_middleware")

Pause: TypeAlias = Callable[[Event, float], Awaitable[None]]


class SocketClosed(ConnectionError):
    """The middleware has closed the connection, and the app wanted to send something."""


async def pause(woken: Event, seconds: float) -> None:
    """Until so many seconds have passed, or until somebody wakes it."""
    with suppress(TimeoutError):
        async with timeout(None if isinf(seconds) else seconds):
            await woken.wait()


class Socket:
    """``receive`` and ``send`` of one connection."""

    def __init__(
        self,
        auth: RequestAuth,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
        *,
        world: AsyncWorld,
        clock: Callable[[], float],
        pause: Pause,
        closed: Callable[[RequestAuth], None],
    ) -> None:
        self._auth = auth
        self._receive = receive
        self._send = send
        self._world = world
        self._clock = clock
        self._pause = pause
        self._closed = closed
        """Told when we have closed the connection."""
        self._woken = Event()
        """Set when this process has seen the session end."""
        self._watcher: Task[None] | None = None
        self._receiving: set[Timeout] = set()
        self._ending: Ending | None = None
        """Why we have closed the connection."""
        self._raised: SocketClosed | None = None
        self._over = False
        """Somebody else has closed it: there is nothing to watch any more."""

    # ── For the app ──────────────────────────────────────────────────────────────

    async def receive(self) -> Any:
        """The next message; once we have closed the connection, that it is closed."""
        if self._ending is not None:
            return self._disconnect()
        # No task of its own for each message: a close of ours ends the wait.
        waiting = timeout(None)
        try:
            async with waiting:
                self._receiving.add(waiting)
                message = await self._receive()
        except TimeoutError:
            if not waiting.expired():
                raise  # the server's own
            return self._disconnect()
        finally:
            self._receiving.discard(waiting)
        if message["type"] == "websocket.disconnect":
            self._end()
        return message

    def _disconnect(self) -> dict[str, Any]:
        assert self._ending is not None  # noqa: S101  # nothing else ends the wait
        code, text = self._ending
        return {"type": "websocket.disconnect", "code": code, "reason": text}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Raises `SocketClosed` once we have closed the connection."""
        kind = message["type"]
        if self._ending is not None:
            if kind == "websocket.close":
                return  # it is closed, and once is enough
            self._raised = SocketClosed(f"the connection was closed: {self._ending.text}")
            raise self._raised
        if kind == "websocket.close":
            self._end()
        await self._send(message)
        if kind == "websocket.accept" and not self._over and watched(self._auth):
            self._watcher = create_task(self._watch())

    def _end(self) -> None:
        """Somebody else ends the connection."""
        self._over = True
        if self._watcher is not None and self._ending is None:
            self._watcher.cancel()

    def raised(self, error: SocketClosed) -> bool:
        """Whether the error is this connection's own, and so tells nobody anything new."""
        return error is self._raised

    async def finish(self) -> None:
        """The app is done. Leaves no task behind."""
        if self._watcher is None:
            return
        if self._ending is None:
            self._watcher.cancel()
        await wait((self._watcher,))  # a close that is under way is let out

    # ── Beside it ────────────────────────────────────────────────────────────────

    async def _watch(self) -> None:
        session_id = self._auth.session_id
        wake = partial(_set_threadsafe, get_running_loop(), self._woken)
        memory = self._auth.parts.memory
        forget = memory.watch(session_id, wake) if session_id is not None else None
        if session_id in memory.ended:
            self._woken.set()  # between the handshake and now
        try:
            ending = await arun(watch(self._auth), self)
            await self._close(ending)
        except Exception:
            _logger.exception("watching over a WebSocket failed")
        finally:
            if forget is not None:
                forget()

    async def _close(self, ending: Ending) -> None:
        self._ending = ending
        for waiting in self._receiving:
            waiting.reschedule(0)
        close = {"type": "websocket.close", "code": ending.code, "reason": ending.text}
        with suppress(OSError):  # the client has gone meanwhile
            await self._send(close)
        self._closed(self._auth)

    # The world of the decision: time is ours to tell, the rest is as for any request.

    async def answer(self, command: Command) -> Any:
        """See `AsyncWorld`."""
        if command.port != "timer":
            return await self._world.answer(command)
        (until,) = command.arguments
        now = self._clock()
        while now < until and not self._woken.is_set():
            await self._pause(self._woken, until - now)
            now = self._clock()
        return None if self._woken.is_set() else now


def _set_threadsafe(loop: Any, woken: Event) -> None:
    with suppress(RuntimeError):  # the loop is closed, and its connections with it
        loop.call_soon_threadsafe(woken.set)
