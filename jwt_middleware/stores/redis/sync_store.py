"""The store that waits for Redis."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from redis.exceptions import NoScriptError

from jwt_middleware.sessions import Rotation, Session
from jwt_middleware.stores.deadline import Deadline
from jwt_middleware.stores.redis.client import (
    SHARE,
    Address,
    Client,
    Untyped,
    connect,
    hang_up,
    on_the_wire,
    source_of,
)
from jwt_middleware.stores.redis.scripts import Script
from jwt_middleware.stores.redis.verbs import PAGE, Steps, Swap, Verbs

T = TypeVar("T")


class RedisSessionStore:
    """Sessions in Redis, for programs without an event loop.

    ``client_or_url`` is ``redis://user:password@host:port/database``, ``rediss://`` for TLS,
    ``redis+cluster://`` or ``rediss+cluster://`` for any one node of a Cluster; or a client
    of redis-py, which is used as it is, and never closed. All keys begin with ``prefix``.

    ``timeout`` is how many seconds a verb may take, all its waits together, for connections
    and for answers; `purge` as many for each step of its walk. In a Cluster each wait may take
    half of what is left, so that another node can be asked. A client that was passed in has
    only the limits it was made with. Nothing is tried twice: a write whose answer was lost may
    well have happened, and it is the table of :mod:`jwt_middleware.rotation` that knows how to
    go on from there.

    The first verb connects, anew in each process, so that no connection crosses a fork. A
    replica is never read: scripts run on primaries.
    """

    expires_by_itself: ClassVar[bool] = True
    """Redis lets go of what is past: no request purges on the side."""

    def __init__(
        self, client_or_url: Client | str, *, prefix: str = "jwt:", timeout: float = 2.0
    ) -> None:
        self._verbs = Verbs(prefix)
        self._source = source_of(client_or_url)
        cluster = isinstance(self._source, Address) and self._source.cluster
        self._deadline = Deadline(timeout, SHARE if cluster else 1.0)
        self._clients: dict[int, Client] = {}

    def create(self, session: Session, *, ends: Sequence[str] = (), now: float) -> Session:
        return self._run(self._verbs.create(session, ends, now))

    def load(self, session_id: str, *, now: float) -> Session | None:  # noqa: ARG002  # protocol
        return self._run(self._verbs.load(session_id))

    def rotate(
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
        return self._run(self._verbs.rotate(session_id, swap))

    def confirm(self, session_id: str, *, generation: int, now: float) -> None:
        self._run(self._verbs.confirm(session_id, generation, now))

    def update(
        self,
        session_id: str,
        claims: Mapping[str, Any],
        *,
        now: float,  # noqa: ARG002  # protocol
    ) -> Session | None:
        return self._run(self._verbs.update(session_id, claims))

    def revoke(self, session_id: str, *, reason: str, now: float) -> bool:
        return self._run(self._verbs.revoke(session_id, reason, now))

    def revoke_subject(
        self, subject: str, *, reason: str, keep: str | None = None, until: float, now: float
    ) -> list[str]:
        return self._run(self._verbs.revoke_subject(subject, reason, keep, until, now))

    def find(self, subject: str, *, now: float) -> list[Session]:
        return self._run(self._verbs.find(subject, now))

    def purge(self, before: float, *, limit: int = 1000) -> int:
        """Walk over all keys: rarely worth it, since Redis lets them go by itself."""
        gone = 0
        for key in self._client().scan_iter(match=self._verbs.of_subjects, count=PAGE):
            if gone == limit:
                break
            gone += self._run(self._verbs.purge(key, before, limit - gone))
        return gone

    def close(self) -> None:
        client = self._clients.pop(os.getpid(), None)
        if client is not None:
            hang_up(client)

    def _run(self, steps: Steps[T]) -> T:
        reply = None
        with self._deadline.running():
            while True:
                try:
                    step = steps.send(reply)
                except StopIteration as outcome:
                    return outcome.value  # type: ignore[no-any-return]  # a generator's is Any
                reply = self._ask(*step)

    def _ask(self, script: Script, keys: Sequence[str], arguments: Sequence[str]) -> Any:
        client, wire = self._client(), on_the_wire(keys, arguments)
        try:
            return client.evalsha(script.digest, len(keys), *wire)
        except NoScriptError:  # a server that has just started: it keeps the script from now on
            return client.eval(script.text, len(keys), *wire)

    def _client(self) -> Untyped:
        if not isinstance(self._source, Address):
            return self._source
        here = os.getpid()
        client = self._clients.get(here)
        if client is None:
            # No lock: while a server is away, threads would wait for each other's timeouts.
            opened = connect(self._source, self._deadline)
            client = self._clients.setdefault(here, opened)
            if client is not opened:
                hang_up(opened)
        return client
