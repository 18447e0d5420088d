"""The store that awaits Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from redis.exceptions import NoScriptError
from redis.exceptions import TimeoutError as RedisTimeoutError

from jwt_middleware.sessions import Rotation, Session
from jwt_middleware.stores.redis.client import (
    Address,
    AsyncClient,
    Untyped,
    connect_async,
    on_the_wire,
    source_of,
)
from jwt_middleware.stores.redis.scripts import Script
from jwt_middleware.stores.redis.verbs import PAGE, Steps, Swap, Verbs

T = TypeVar("T")


class AsyncRedisSessionStore:
    """Sessions in Redis, for programs with an event loop: `RedisSessionStore`, to be awaited.

    ``timeout`` holds for a client that was passed in, too: what takes longer is cancelled.

    A connection belongs to the event loop it was made in, so each loop has its own, and
    ``close`` closes those of the loop it is called in.
    """

    expires_by_itself: ClassVar[bool] = True
    """Redis lets go of what is past: no request purges on the side."""

    def __init__(
        self, client_or_url: AsyncClient | str, *, prefix: str = "jwt:", timeout: float = 2.0
    ) -> None:
        self._verbs = Verbs(prefix)
        self._source = source_of(client_or_url)
        self._timeout = timeout
        self._clients: dict[asyncio.AbstractEventLoop, AsyncClient] = {}

    async def create(self, session: Session, *, ends: Sequence[str] = (), now: float) -> Session:
        return await self._run(self._verbs.create(session, ends, now))

    async def load(self, session_id: str, *, now: float) -> Session | None:  # noqa: ARG002  # protocol
        return await self._run(self._verbs.load(session_id))

    async def rotate(
        self,
        session_id: str,
        *,
        expected: int,
        generation: int,
        rotated_at: float,
        expires_at: float,
        confirmed: int,
        claims: Mapping[str, Any] | None = None,
        now: float,
    ) -> Rotation:
        swap = Swap(expected, generation, rotated_at, expires_at, confirmed, claims, now)
        return await self._run(self._verbs.rotate(session_id, swap))

    async def confirm(self, session_id: str, *, generation: int, now: float) -> None:
        await self._run(self._verbs.confirm(session_id, generation, now))

    async def update(
        self,
        session_id: str,
        claims: Mapping[str, Any],
        *,
        now: float,  # noqa: ARG002  # protocol
    ) -> Session | None:
        return await self._run(self._verbs.update(session_id, claims))

    async def revoke(self, session_id: str, *, reason: str, now: float) -> bool:
        return await self._run(self._verbs.revoke(session_id, reason, now))

    async def revoke_subject(
        self, subject: str, *, reason: str, keep: str | None = None, until: float, now: float
    ) -> list[str]:
        return await self._run(self._verbs.revoke_subject(subject, reason, keep, until, now))

    async def find(self, subject: str, *, now: float) -> list[Session]:
        return await self._run(self._verbs.find(subject, now))

    async def purge(self, before: float, *, limit: int = 1000) -> int:
        """Walk over all keys: rarely worth it, since Redis lets them go by itself."""
        gone = 0
        async for key in self._client().scan_iter(match=self._verbs.of_subjects, count=PAGE):
            if gone == limit:
                break
            gone += await self._run(self._verbs.purge(key, before, limit - gone))
        return gone

    async def close(self) -> None:
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    async def _run(self, steps: Steps[T]) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._all(steps)
        except TimeoutError:
            raise RedisTimeoutError(f"no answer within {self._timeout} seconds") from None

    async def _all(self, steps: Steps[T]) -> T:
        reply = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as outcome:
                return outcome.value  # type: ignore[no-any-return]  # a generator's return is Any
            reply = await self._ask(*step)

    async def _ask(self, script: Script, keys: Sequence[str], arguments: Sequence[str]) -> Any:
        # A client of a Cluster that has to find its nodes does so while it is used, and then
        # hangs up on its other users: each waits until that is done (redis-py issue 3935).
        client = await self._client().initialize()
        wire = on_the_wire(keys, arguments)
        try:
            return await client.evalsha(script.digest, len(keys), *wire)
        except NoScriptError:
            return await client.eval(script.text, len(keys), *wire)

    def _client(self) -> Untyped:
        if not isinstance(self._source, Address):
            return self._source
        here = asyncio.get_running_loop()
        client = self._clients.get(here)
        if client is None:
            for loop in [loop for loop in self._clients if loop.is_closed()]:
                del self._clients[loop]
            client = self._clients[here] = connect_async(self._source, self._timeout)
        return client
