"""What a store of the user's own may take of a request's time."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from stepping import SECRET

from jwt_middleware import JWTAuth
from jwt_middleware.asgi import JWTMiddleware
from jwt_middleware.errors import StoreUnavailable
from jwt_middleware.stores import VERBS
from jwt_middleware.stores.deadline import MOMENT, Deadline
from jwt_middleware.stores.memory import MemorySessionStore

LIMIT = 0.25


class Awaited:
    """A store to be awaited, whose verbs take ``pause`` seconds first."""

    def __init__(self) -> None:
        self.pause = 0.0
        self.cancelled: list[str] = []
        self.within = MemorySessionStore()


def _verb(name: str) -> Callable[..., Any]:
    async def verb(self: Awaited, *arguments: Any, **options: Any) -> Any:
        try:
            await asyncio.sleep(self.pause)
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        return getattr(self.within, name)(*arguments, **options)

    return verb


for _name in VERBS:
    setattr(Awaited, _name, _verb(_name))


def an_auth(store: Any) -> JWTAuth:
    return JWTAuth(secret_key=SECRET, session_store=store, store_timeout=LIMIT)


async def status_of(app: Any, *cookies: str) -> int:
    """The status of one request with these cookies."""
    sent: list[Any] = []
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "headers": [(b"cookie", "; ".join(cookies).encode())],
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"]


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def test_an_async_store_that_hangs():
    """A verb that takes too long is cancelled: the request is told in time that the store is
    away, and goes on as before once it is back."""
    # S45
    store: Any = Awaited()
    auth = an_auth(store)
    app = JWTMiddleware(hello, auth)

    async def story() -> None:
        pair = await auth.aissue("alice")
        cookie = f"__Host-refresh_token={pair.refresh_token}"
        store.pause = 30
        begun = time.monotonic()
        assert await status_of(app, cookie) == 200
        with pytest.raises(StoreUnavailable, match=r"store\.find failed \(TimeoutError\)"):
            await auth.asessions("alice")
        assert time.monotonic() - begun < 10
        assert store.cancelled == ["load", "find"]
        store.pause = 0
        assert [row.id for row in await auth.asessions("alice")] == [pair.session_id]

    asyncio.run(story())


def test_a_request_that_is_cancelled_is_no_timeout():
    """A client that goes away while a store is slow ends the request, and no outage is told."""
    # S49
    store: Any = Awaited()
    auth = an_auth(store)
    store.pause = 30

    async def story() -> None:
        asking = asyncio.create_task(auth.asessions("alice"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(story())


def test_a_sync_store_is_not_interrupted():
    """A store that blocks runs in a thread to its end, since half a write would be worse: how
    long that takes is its own promise."""
    # S45, S52
    store: Any = MemorySessionStore()
    store.inline = frozenset()
    usual, done = store.find, threading.Event()

    def find(*arguments: Any, **options: Any) -> Any:
        time.sleep(2 * LIMIT)
        done.set()
        return usual(*arguments, **options)

    store.find = find
    assert asyncio.run(an_auth(store).asessions("alice")) == []
    assert done.is_set()


@pytest.mark.parametrize("by_itself", [False, True])
def test_a_purge_that_walks_over_everything(by_itself):
    """A purge in batches is a verb as any other; one that walks over all keys, for which no
    request waits, takes as long as it takes."""
    # S45
    store: Any = Awaited()
    store.expires_by_itself = by_itself
    auth = an_auth(store)
    store.pause = 2 * LIMIT
    if by_itself:
        assert asyncio.run(auth.apurge()) == 0
    else:
        with pytest.raises(StoreUnavailable):
            asyncio.run(auth.apurge())


def test_a_hook_is_not_limited_by_the_store():
    """``load_claims`` is the app's own, and ``store_timeout`` is none of its business."""

    async def load_claims(session: Any) -> dict[str, Any]:
        await asyncio.sleep(2 * LIMIT)
        return {"fresh": True}

    store: Any = Awaited()
    auth = JWTAuth(
        secret_key=SECRET, session_store=store, store_timeout=LIMIT, load_claims=load_claims
    )
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["jwt_middleware.claims"])
        await hello(scope, receive, send)

    async def story() -> None:
        pair = await auth.aissue("alice")
        await status_of(JWTMiddleware(app, auth), f"__Host-refresh_token={pair.refresh_token}")

    asyncio.run(story())
    assert seen[0]["fresh"] is True


# ── The deadline of one verb ──────────────────────────────────────────────────────


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time, to be set."""
    now = [1000.0]
    monkeypatch.setattr("jwt_middleware.stores.deadline.time.monotonic", lambda: now[0])
    return now


def test_waits_share_the_time_of_their_verb(clock):
    """What one wait takes the next one lacks; a verb within a verb has no time of its own."""
    deadline = Deadline(2.0)
    assert deadline.left() == 2.0
    with deadline.running():
        clock[0] += 0.5
        with deadline.running():
            assert deadline.left() == 1.5
        clock[0] += 1.0
        assert deadline.left() == 0.5
        clock[0] += 1.0
        assert deadline.left() == MOMENT
    assert deadline.left() == 2.0


def test_a_wait_that_may_be_in_vain_takes_a_share(clock):
    """Half of what is left, and half of that, so that there is always some left."""
    deadline = Deadline(2.0)
    with deadline.running(), deadline.sharing(0.5):
        assert deadline.left() == 1.0
        clock[0] += 1.0
        assert deadline.left() == 0.5
    assert deadline.left() == 2.0


def test_each_thread_has_its_own_deadline(clock):
    """A verb that began long ago in one thread takes nothing from one in another."""
    deadline = Deadline(2.0)
    left: list[float] = []
    with deadline.running():
        clock[0] += 1.5
        thread = threading.Thread(target=lambda: left.append(deadline.left()))
        thread.start()
        thread.join()
        assert [*left, deadline.left()] == [2.0, 0.5]
