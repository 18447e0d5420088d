"""An open WebSocket behind the ASGI door: what the app and the client see when it has to end.

Time is the test's: the door's `pause` waits until the test has moved its clock far enough.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import pytest
from keychain import key_for, public_pem, sign
from order_checker import checked
from stepping import House
from through import AGES, Ask, away, cookie

from jwt_middleware import Issuer, get_auth
from jwt_middleware.asgi import JWTMiddleware
from jwt_middleware.sockets import SocketClosed, pause

LIFE = 900
CONNECT = {"type": "websocket.connect"}
GONE = {"type": "websocket.disconnect", "code": 1001}
ACCEPT = {"type": "websocket.accept"}
EXPIRED = {
    "type": "websocket.close",
    "code": 1008,
    "reason": "The access token expired. Connect again.",
}
ENDED = {**EXPIRED, "reason": "The session has ended. Sign in again."}


def bearer_field(token: str) -> tuple[bytes, bytes]:
    return (b"authorization", f"Bearer {token}".encode())


class Wire:
    """A server and its client, the app between them, and the clock."""

    def __init__(self, house: House, app: Any, **more: Any) -> None:
        self.house = house
        self.session_id = ""
        self.incoming: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: list[Any] = []
        self.stuck: asyncio.Event | None = None
        """Where given, a send of the server's waits for it."""
        self.sleepers: list[tuple[float, asyncio.Event]] = []
        self.door = JWTMiddleware(app, house.auth)
        self.door._pause = self._pause
        self.scope = {**Ask().scope("websocket"), **more}
        self.task: asyncio.Task[None] | None = None

    def sign_in(self) -> None:
        pair = self.house.auth.issue("alice")
        self.session_id = pair.session_id
        field = cookie(access=pair.access_token, refresh=pair.refresh_token)
        self.scope["headers"].append((b"cookie", field[1].encode()))

    async def _pause(self, woken: asyncio.Event, seconds: float) -> None:
        due = asyncio.Event()
        self.sleepers.append((self.house.now + seconds, due))
        waits = [asyncio.ensure_future(one.wait()) for one in (woken, due)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    async def pass_time(self, seconds: float) -> None:
        self.house.wait(seconds)
        for due, event in self.sleepers:
            if due <= self.house.now:
                event.set()
        await settled()

    async def receive(self) -> Any:
        return await self.incoming.get()

    async def send(self, message: Any) -> None:
        if self.stuck is not None and message["type"] != "websocket.accept":
            await self.stuck.wait()
        self.sent.append(message)

    async def open(self) -> None:
        self.incoming.put_nowait(CONNECT)
        self.task = asyncio.ensure_future(checked(self.door)(self.scope, self.receive, self.send))
        await settled()

    @property
    def kinds(self) -> list[str]:
        return [message["type"].removeprefix("websocket.") for message in self.sent]


async def settled() -> None:
    """Everything that can go on has gone on."""
    for _ in range(30):
        await asyncio.sleep(0)


async def until(happened: Callable[[], bool]) -> None:
    """The same for what needs another thread, or a real clock."""
    for _ in range(20_000):
        if happened():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not happen")


@asynccontextmanager
async def connection(
    house: House, app: Any, *, signed_in: bool = True, **more: Any
) -> AsyncIterator[Wire]:
    """An open connection; in the end nothing is left of it, whatever the test did."""
    wire = Wire(house, app, **more)
    if signed_in:
        wire.sign_in()
    before = asyncio.all_tasks()
    await wire.open()
    yield wire
    assert wire.task is not None
    if not wire.task.done():
        wire.incoming.put_nowait(GONE)
    await asyncio.wait_for(asyncio.wait([wire.task]), 10)
    await settled()
    assert asyncio.all_tasks() <= before
    assert house.flow.parts.memory._watchers == {}


def play(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


class Echo:
    """An app that answers each message until it is told that the connection is closed."""

    def __init__(self) -> None:
        self.received: list[Any] = []
        self.reasons: list[str | None] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert await receive() == CONNECT
        await send(ACCEPT)
        while True:
            message = await receive()
            self.received.append(message)
            self.reasons.append(get_auth(scope).reason)
            if message["type"] == "websocket.disconnect":
                return
            await send({"type": "websocket.send", "text": message["text"]})


def say(text: str) -> dict[str, Any]:
    return {"type": "websocket.receive", "text": text}


# ── It ends ──────────────────────────────────────────────────────────────────────


def test_it_is_closed_when_the_token_ends() -> None:
    """Messages pass until then; the client gets 1008 once, the app a disconnect, and an end."""

    # S50
    async def test() -> None:
        app = Echo()
        async with connection(House(), app) as wire:
            wire.incoming.put_nowait(say("hello"))
            await wire.pass_time(LIFE - 1)
            assert wire.sent[1:] == [{"type": "websocket.send", "text": "hello"}]
            await wire.pass_time(1)
            assert wire.sent[2:] == [EXPIRED]
            assert app.received[1:] == [{**EXPIRED, "type": "websocket.disconnect"}]
            assert app.reasons == [None, "expired"]
            assert wire.task is not None
            assert wire.task.done()

    play(test)


def test_it_is_closed_as_soon_as_this_process_knows() -> None:
    """A logout in another request of this process ends the session's connections at once."""

    # S50
    async def test() -> None:
        app = Echo()
        house = House(websocket_close_on_expiry=False)
        async with connection(house, app) as wire:
            await asyncio.to_thread(house.auth.revoke, wire.session_id)
            await until(lambda: len(wire.sent) == 2)
            await settled()
            assert wire.sent[1:] == [ENDED]
            assert app.reasons == ["revoked"]

    play(test)


def test_several_connections_of_a_session() -> None:
    """Each is closed, and none of another session."""

    # S50
    async def test() -> None:
        house = House()
        async with connection(house, Echo()) as one, connection(house, Echo()) as other:
            twin = Wire(house, Echo())
            twin.scope = one.scope
            await twin.open()
            house.auth.revoke(one.session_id)
            await settled()
            assert (one.kinds, twin.kinds) == (["accept", "close"], ["accept", "close"])
            assert other.kinds == ["accept"]

    play(test)


def test_a_session_that_ends_during_the_handshake() -> None:
    """What happens between the verdict and the accept is not missed."""

    # S50
    async def test() -> None:
        house = House()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            house.auth.revoke(get_auth(scope).session_id or "")
            await Echo()(scope, receive, send)

        async with connection(house, app) as wire:
            assert wire.sent[1:] == [ENDED]

    play(test)


def test_a_revocation_elsewhere_is_noticed_within_the_lag() -> None:
    """With check_session the store is asked once a lag, and one timer waits for it."""

    # S46, S50
    async def test() -> None:
        house = House(check_session=60)
        async with connection(house, Echo()) as wire:
            house.other_process().auth.revoke(wire.session_id)
            await wire.pass_time(59)
            assert wire.kinds == ["accept"]
            await wire.pass_time(1)
            assert wire.sent[1:] == [ENDED]
            assert len(wire.sleepers) == 1

    play(test)


def test_an_outage_ends_it_for_now() -> None:
    """Where the store has to vouch and cannot: 1013, try again later, as a request gets 503."""

    # S45, S50
    async def test() -> None:
        house = House(check_session=60)
        async with connection(house, Echo()) as wire:
            away(house, "load")
            await wire.pass_time(60)
            assert wire.sent[1]["code"] == 1013

    play(test)


def test_a_login_in_the_handshake_is_what_counts() -> None:
    """Who signs in before the accept is watched for what they have then."""

    # S50
    async def test() -> None:
        house = House()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            get_auth(scope).login("bob")
            await Echo()(scope, receive, send)

        async with connection(house, app, signed_in=False) as wire:
            house.auth.revoke_subject("bob")
            await settled()
            assert wire.sent[1:] == [ENDED]

    play(test)


def test_a_reissue_in_the_handshake_is_what_counts() -> None:
    """The cookies ride on the accept, and the connection lives as long as they do."""

    # S50
    async def test() -> None:
        house = House()
        wire = Wire(house, Echo())
        wire.sign_in()
        house.wait(AGES)
        await wire.open()
        (accept,) = wire.sent
        assert [name for name, _ in accept["headers"]].count(b"set-cookie") == 2
        await wire.pass_time(LIFE - 1)
        assert wire.kinds == ["accept"]
        await wire.pass_time(1)
        assert wire.sent[1:] == [EXPIRED]

    play(test)


def test_a_connection_of_another_issuers_token() -> None:
    """Its session is none of ours, so nobody tells us of it; its token ends all the same."""

    # S50
    async def test() -> None:
        key = key_for("ES256")
        issuer = Issuer("https://issuer.example", audience="api", public_keys=public_pem(key))
        house = House(issuers=[issuer])
        claims = {"sub": "alice", "aud": "api", "iat": house.now, "exp": house.now + 60}
        token = sign(key, {"iss": "https://issuer.example", **claims})
        app = Echo()
        async with connection(house, app, signed_in=False, headers=[bearer_field(token)]) as wire:
            assert house.flow.parts.memory._watchers == {}
            await wire.pass_time(60)
            assert wire.sent[1:] == [EXPIRED]

    play(test)


# ── Nothing happens ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize("signed_in", [True, False])
def test_it_may_be_left_open(signed_in: bool) -> None:
    """If configured so, and for who is anonymous: no timer at all for the latter."""

    # S50
    async def test() -> None:
        house = House(websocket_close_on_expiry=not signed_in)
        async with connection(house, Echo(), signed_in=signed_in) as wire:
            await wire.pass_time(100 * LIFE)
            assert wire.kinds == ["accept"]
            assert [due for due, _ in wire.sleepers] == ([inf] if signed_in else [])

    play(test)


def test_an_app_that_has_closed_is_left_alone() -> None:
    """Its close is the only one, though it goes on with something else."""

    # S50
    async def test() -> None:
        done = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(ACCEPT)
            await send({"type": "websocket.close", "code": 4000})
            await done.wait()

        async with connection(House(), app) as wire:
            await wire.pass_time(LIFE)
            assert [message.get("code") for message in wire.sent] == [None, 4000]
            done.set()

    play(test)


def test_a_client_that_has_gone_is_left_alone() -> None:
    """Once the client has closed, nothing is sent, though the app takes its time."""

    # S50
    async def test() -> None:
        done = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await Echo()(scope, receive, send)
            await done.wait()

        async with connection(House(), app) as wire:
            wire.incoming.put_nowait(GONE)
            await wire.pass_time(LIFE)
            assert wire.kinds == ["accept"]
            done.set()

    play(test)


def test_a_client_that_goes_during_the_accept() -> None:
    """There is nothing to watch then."""

    async def test() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()

            async def accept() -> None:
                await asyncio.sleep(0)
                await send(ACCEPT)

            await asyncio.gather(receive(), accept())

        wire = Wire(House(), app)
        wire.sign_in()
        wire.incoming.put_nowait(CONNECT)
        wire.incoming.put_nowait(GONE)
        await wire.door(wire.scope, wire.receive, wire.send)
        assert wire.sleepers == []

    play(test)


def test_ignored_paths_are_left_alone() -> None:
    """Where the middleware does nothing, it closes nothing either."""

    async def test() -> None:
        async with connection(House(ignore_paths=["/"]), Echo()) as wire:
            await wire.pass_time(LIFE)
            assert wire.kinds == ["accept"]

    play(test)


# ── The app at its end ───────────────────────────────────────────────────────────


def test_what_the_app_still_sends_is_refused() -> None:
    """An app that only ever sends is ended by an OSError, which the server never sees."""

    # S49, S50
    async def test() -> None:
        ticks = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(ACCEPT)
            await ticks.wait()
            with pytest.raises(OSError, match="The access token expired"):
                await send({"type": "websocket.send", "text": "tick"})
            await send({"type": "websocket.close"})  # it need not know
            assert (await receive())["type"] == "websocket.disconnect"
            assert (await receive())["type"] == "websocket.disconnect"
            await send({"type": "websocket.send", "text": "tock"})

        async with connection(House(), app) as wire:
            await wire.pass_time(LIFE)
            ticks.set()
            await settled()
            assert wire.sent[1:] == [EXPIRED]
            assert wire.task is not None
            assert wire.task.exception() is None

    play(test)


@pytest.mark.parametrize(
    "error", [ValueError("mine"), TimeoutError("mine"), SocketClosed("another's")], ids=repr
)
def test_exceptions_of_the_app_pass_unchanged(error: Exception) -> None:
    """Also those that look like ours, and none leaves a task behind."""

    # S49
    async def test() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(ACCEPT)
            raise error

        async with connection(House(), app) as wire:
            assert wire.task is not None
            assert wire.task.exception() is error

    play(test)


def test_exceptions_of_the_server_pass_unchanged() -> None:
    """A server's own TimeoutError is not taken for a close of ours."""

    # S49
    async def test() -> None:
        error = TimeoutError("the server's")
        seen: list[BaseException] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(ACCEPT)
            try:
                await receive()
            except TimeoutError as raised:
                seen.append(raised)

        wire = Wire(House(), app)
        wire.sign_in()
        messages = iter([CONNECT])

        async def receive() -> Any:
            message = next(messages, None)
            if message is None:
                raise error
            return message

        await wire.door(wire.scope, receive, wire.send)
        assert seen == [error]

    play(test)


def test_a_cancelled_app_leaves_nothing_behind() -> None:
    """The server cancels: the timer goes, and nothing is sent."""

    # S49
    async def test() -> None:
        async with connection(House(), Echo()) as wire:
            assert wire.task is not None
            wire.task.cancel()
            await settled()
            assert wire.task.cancelled()
            assert wire.kinds == ["accept"]

    play(test)


def test_an_app_that_cancels_its_receive_loses_nothing() -> None:
    """``wait_for(receive(), …)`` works as without the middleware."""

    async def test() -> None:
        texts: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(ACCEPT)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(receive(), 0.001)
            await send({"type": "websocket.send", "text": "ready"})
            texts.append((await receive())["text"])
            await receive()

        async with connection(House(), app) as wire:
            await until(lambda: wire.kinds == ["accept", "send"])
            wire.incoming.put_nowait(say("hello"))
            await settled()
            assert texts == ["hello"]

    play(test)


def test_a_close_under_way_is_let_out() -> None:
    """The app is told at once, and may end; the client still gets its close."""

    # S50
    async def test() -> None:
        app = Echo()
        async with connection(House(), app) as wire:
            wire.stuck = asyncio.Event()
            await wire.pass_time(LIFE)
            assert app.received[-1]["type"] == "websocket.disconnect"
            assert wire.task is not None
            assert (wire.task.done(), wire.kinds) == (False, ["accept"])
            wire.stuck.set()
            await settled()
            assert wire.kinds == ["accept", "close"]

    play(test)


@pytest.mark.parametrize("error", [ConnectionResetError("gone"), RuntimeError("a fault")], ids=repr)
def test_a_close_that_fails(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """A client that has gone meanwhile is no finding; anything else is logged, not raised."""

    # S49
    async def test() -> None:
        wire = Wire(House(), Echo())
        wire.sign_in()
        sent: list[str] = []

        async def send(message: Any) -> None:
            sent.append(message["type"])
            if message["type"] == "websocket.close":
                raise error

        wire.incoming.put_nowait(CONNECT)
        task = asyncio.ensure_future(wire.door(wire.scope, wire.receive, send))
        await settled()
        await wire.pass_time(LIFE)
        await task
        assert sent == ["websocket.accept", "websocket.close"]

    with caplog.at_level(logging.ERROR, "jwt_middleware"):
        play(test)
    expected = [] if isinstance(error, OSError) else ["watching over a WebSocket failed"]
    assert caplog.messages == expected


def test_an_end_told_after_the_loop_has_gone() -> None:
    """Somebody else's revoke() is not disturbed by connections of a loop that was torn down."""
    house = House()

    async def test() -> Any:
        async with connection(house, Echo()):
            ((wake,),) = house.flow.parts.memory._watchers.values()
        return asyncio.get_running_loop(), wake

    loop, wake = asyncio.run(test())
    assert loop.is_closed()
    assert wake() is None


# ── The clock's own wait ─────────────────────────────────────────────────────────


def test_the_real_pause() -> None:
    """It ends after its time, or when it is woken, from another thread too."""

    async def test() -> None:
        woken = asyncio.Event()
        await pause(woken, 0.001)
        loop = asyncio.get_running_loop()
        threading.Timer(0.01, loop.call_soon_threadsafe, [woken.set]).start()
        await asyncio.wait_for(pause(woken, inf), 10)
        assert woken.is_set()

    play(test)
