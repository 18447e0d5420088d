"""The ASGI door: the order of messages, WebSockets, blocking stores, and cancellation."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from order_checker import checked
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.responses import JSONResponse
from starlette.routing import Route
from stepping import SECRET, House
from through import AGES, Answer, Ask, Through, aask, ask_asgi, away, bearer, cookie, noting

from jwt_middleware import (
    JWTAuth,
    MiddlewareNotInstalled,
    ResponseStarted,
    StoreUnavailable,
    get_auth,
    get_claims,
)
from jwt_middleware.asgi import JWTMiddleware
from jwt_middleware.handle import AUTH_KEY, CLAIMS_KEY, RequestAuth, current
from jwt_middleware.stores import VERBS
from jwt_middleware.stores.memory import MemorySessionStore

NAMES = ["__Host-access_token", "__Host-refresh_token"]
DENIAL = "websocket.http.response"
START: dict[str, Any] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain")],
}
BODY: dict[str, Any] = {"type": "http.response.body", "body": b"hello"}


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send(BODY)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """A WebSocket app that accepts at once and says who it sees."""
    await receive()
    await send({"type": "websocket.accept", "headers": [(b"x-app", b"1")]})
    await send({"type": "websocket.send", "text": str(scope[AUTH_KEY].subject)})
    await send({"type": "websocket.close"})


def expired(house: House, **more: Any) -> Ask:
    """A request whose access token has expired and whose refresh token is good."""
    pair = house.auth.issue("alice", {"roles": ["admin"]})
    house.now += AGES
    return Ask(fields=[cookie(access=pair.access_token, refresh=pair.refresh_token)], **more)


def door(app: Any, house: House) -> Any:
    """The door with a checker on both sides, as between server and app."""
    return JWTMiddleware(checked(app), house.auth)


# ── Messages ─────────────────────────────────────────────────────────────────────────


def test_servers_see_an_asgi_3_app() -> None:
    """Servers detect ASGI 3 by an async __call__, and WSGI by its absence."""
    assert inspect.iscoroutinefunction(door(hello, House()).__call__)


@pytest.mark.parametrize("kind", ["anonymous", "known", "expired", "login", "refused"])
def test_messages_are_in_order(kind: str) -> None:
    """Between two checkers every kind of request is answered in order, tokens and all."""
    # S49
    house = House(required=kind == "refused")
    ask = expired(house) if kind == "expired" else Ask()
    if kind == "known":
        ask = Ask(fields=[bearer(house.auth.issue("alice").access_token)])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if kind == "login":
            get_auth(scope).login("bob")
        await hello(scope, receive, send)

    answer = ask_asgi(door(app, house), ask.scope())
    assert answer.status == (401 if kind == "refused" else 200)
    assert sorted(answer.cookies) == (NAMES if kind in ("expired", "login") else [])
    assert len(answer.all("set-cookie")) == len(answer.cookies)
    assert answer.one("vary") == "Cookie"


def test_messages_pass_one_by_one() -> None:
    """Each message the app sends has reached the server before the app goes on."""
    # S49
    house = House()
    arrived: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        assert arrived[-1]["type"] == "http.response.start"
        for number in range(3):
            chunk = {"type": "http.response.body", "body": b"%d" % number, "more_body": True}
            await send(chunk)
            assert arrived[-1] is chunk
        await send(BODY)

    async def send(message: Any) -> None:
        arrived.append(message)

    async def receive() -> Any: ...

    asyncio.run(door(app, house)(expired(house).scope(), receive, send))
    assert len(arrived) == 5


@pytest.mark.parametrize(
    "message",
    [
        {"type": "http.response.early_hint", "links": []},
        {"type": "http.response.debug", "info": {}},
    ],
)
def test_messages_of_extensions_pass_before_the_start(message: Any) -> None:
    """What is not a start passes as it is, and the start that follows has the cookies."""
    # S49
    house = House()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(message)
        await hello(scope, receive, send)

    scope = expired(house).scope("http", "http.response.early_hint", "http.response.debug")
    answer = ask_asgi(door(app, house), scope)
    assert answer.messages[0] is message
    assert sorted(answer.cookies) == NAMES


def test_trailers_pass() -> None:
    """Trailers after the body are none of our business."""
    # S49

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "trailers": True})
        await send(BODY)
        await send({"type": "http.response.trailers", "headers": [(b"x", b"y")]})

    answer = ask_asgi(door(app, House()), Ask().scope())
    assert answer.messages[0]["trailers"] is True
    assert answer.messages[2]["headers"] == [(b"x", b"y")]


@pytest.mark.parametrize("more", [{}, {"headers": ()}, {"headers": ((b"x-a", b"b"),)}])
def test_headers_may_be_any_iterable_or_missing(more: Any) -> None:
    """The app's headers may be left out, or be a tuple; the server gets pairs of bytes."""
    # S49
    house = House()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, **more})
        await send(BODY)

    for ask in (Ask(), expired(house)):
        answer = ask_asgi(door(app, house), ask.scope())
        assert answer.one("vary") == "Cookie"
        assert answer.all("x-a") == (["b"] if more.get("headers") else [])


def test_the_apps_own_message_is_left_alone() -> None:
    """A message the app keeps for every response does not grow by our cookies."""
    # S37
    house = House()
    kept = {**START, "headers": list(START["headers"])}
    ask_asgi(door(hello, house), expired(house).scope())
    assert kept == START


def test_an_error_page_after_an_exception_carries_the_cookies() -> None:
    """Wrapped outermost, a 500 the framework makes of an exception has the new tokens."""
    # S54
    house = House()

    def broken(request: Any) -> Any:
        raise ZeroDivisionError

    app = JWTMiddleware(Starlette(routes=[Route("/", broken)]), house.auth)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    with pytest.raises(ZeroDivisionError):  # Starlette raises it again for the server's log
        asyncio.run(app(expired(house).scope(), receive, send))
    assert sent[0]["status"] == 500
    names = [value.partition(b"=")[0] for key, value in sent[0]["headers"] if key == b"set-cookie"]
    assert sorted(names) == [name.encode() for name in NAMES]


@pytest.mark.parametrize("moment", ["before", "after", "late"])
def test_an_exception_passes_unchanged(moment: str) -> None:
    """Whenever the app raises, the same exception reaches the server, and no context stays."""
    # S49, S54
    house = House()
    error = ZeroDivisionError("the app's own")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if moment != "before":
            await send(START)
        if moment == "late":
            await send(BODY)
        raise error

    async def main() -> None:
        with pytest.raises(ZeroDivisionError) as caught:
            await aask(door(app, house), ask.scope())
        assert caught.value is error
        assert current.get() is None

    ask = expired(house)
    asyncio.run(main())
    # S54: the client never got an answer, and can go on with what it has.
    assert sorted(ask_asgi(door(hello, house), ask.scope()).cookies) == NAMES


def test_an_exception_of_the_server_passes_to_the_app() -> None:
    """When the server's send raises (the client is gone), the app is told."""
    # S49
    seen: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send(START)
        except OSError as gone:
            seen.append(gone)
            raise

    async def send(message: Any) -> None:
        raise OSError("gone")

    async def receive() -> Any: ...

    with pytest.raises(OSError, match="gone"):
        asyncio.run(JWTMiddleware(app, House().auth)(Ask().scope(), receive, send))
    assert len(seen) == 1


# ── The scope ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["lifespan", "something.new"])
def test_other_scopes_pass_untouched(kind: str) -> None:
    """A lifespan, or a protocol nobody knows yet, gets the very same three objects."""
    # S49
    given: list[Any] = []

    async def app(*args: Any) -> None:
        given.extend(args)

    async def receive() -> Any: ...

    async def send(message: Any) -> None: ...

    scope = {"type": kind}
    asyncio.run(JWTMiddleware(app, House(required=True).auth)(scope, receive, send))
    assert given[0] is scope
    assert given[1:] == [receive, send]
    assert scope == {"type": kind}


def test_a_lifespan_runs_through_the_door() -> None:
    """Startup and shutdown are answered in order behind the door."""
    # S49
    seen: list[str] = []

    async def lifespan(app: Any) -> AsyncIterator[None]:
        seen.append("up")
        yield
        seen.append("down")

    app = JWTMiddleware(Starlette(lifespan=asynccontextmanager(lifespan)), House().auth)
    incoming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    answer = ask_asgi(app, {"type": "lifespan", "state": {}}, incoming)
    assert [message["type"] for message in answer.messages] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert seen == ["up", "down"]


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_the_scope_is_copied(kind: str) -> None:
    """What the server gave stays as it was; the app's copy has the slots."""
    # S29
    house = House()
    given: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        given.append(scope)
        await (hello if kind == "http" else echo)(scope, receive, send)

    scope = expired(house).scope(kind)
    before = dict(scope)
    ask_asgi(door(app, house), scope)
    assert scope == before
    assert given[0] is not scope
    assert given[0][CLAIMS_KEY]["sub"] == "alice"
    assert {key: given[0][key] for key in before} == before


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("state", ["anonymous", "known", "expired", "ignored", "preflight"])
def test_planted_slots_are_replaced_on_every_path(kind: str, state: str) -> None:
    """Whatever stood in our keys before is gone, on every path."""
    # S29
    house = House(ignore_paths=["/static"])
    ask = Ask()
    if state == "known":
        ask = Ask(fields=[bearer(house.auth.issue("alice").access_token)])
    elif state == "expired":
        ask = expired(house)
    elif state == "ignored":
        ask = Ask(path="/static/x")
    elif state == "preflight":
        fields = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "PUT")]
        ask = Ask(method="OPTIONS", fields=fields)
    given: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        given.append(scope)
        await (hello if kind == "http" else echo)(scope, receive, send)

    scope = ask.scope(kind) | {CLAIMS_KEY: {"sub": "root"}, AUTH_KEY: "root"}
    ask_asgi(door(app, house), scope)
    assert isinstance(given[0][AUTH_KEY], RequestAuth)
    assert given[0][CLAIMS_KEY] is given[0][AUTH_KEY].claims
    assert (given[0][CLAIMS_KEY] is not None) == (state in ("known", "expired"))


def test_user_and_auth_are_set_where_nothing_set_them() -> None:
    """Another middleware's scope["user"] and ["auth"] stay; otherwise they are ours."""
    given: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        given.append(scope)
        await hello(scope, receive, send)

    for more in ({}, {"user": "theirs"}, {"auth": "theirs"}):
        ask_asgi(door(app, House()), Ask().scope() | more)
    ours = [{name: scope[name] is scope[AUTH_KEY] for name in ("user", "auth")} for scope in given]
    assert ours == [
        {"user": True, "auth": True},
        {"user": False, "auth": True},
        {"user": True, "auth": False},
    ]


@pytest.mark.parametrize(
    "headers",
    [
        lambda a, r: [(b"cookie", a), (b"accept", b"*/*"), (b"cookie", b"x=y"), (b"cookie", r)],
        lambda a, r: [(b"COOKIE", a), (b"Cookie", r)],
        lambda a, r: [(b"cookie", b"a=\xff"), (b"cookie", a), (b"cookie", r + b"; \x80=\xfe")],
    ],
    ids=["crumbs", "any case", "bytes"],
)
def test_cookie_crumbs_are_joined(headers: Callable[..., Any]) -> None:
    """HTTP/2 may send each cookie in a field of its own; names compare in any case."""
    # S26, S27
    house = House()
    pair = house.auth.issue("alice")
    house.now += AGES
    access = f"{NAMES[0]}={pair.access_token}".encode()
    refresh = f"{NAMES[1]}={pair.refresh_token}".encode()
    scope = Ask().scope() | {"headers": headers(access, refresh)}
    through = Through(house)
    answer = ask_asgi(through.asgi, scope)
    assert through.auth.subject == "alice"
    assert sorted(answer.cookies) == NAMES


def test_header_names_in_any_case() -> None:
    """A server that does not lower header names is understood all the same."""
    # S27
    house = House(required=True)
    pair = house.auth.issue("alice")
    house.now += AGES
    headers = [
        (b"AUTHORIZATION", f"bearer {pair.access_token}".encode()),
        (b"x-REFRESH-token", pair.refresh_token.encode()),
    ]
    answer = ask_asgi(door(hello, house), Ask().scope() | {"headers": headers})
    assert answer.status == 200
    assert answer.one("x-access-token")
    assert answer.one("x-refresh-token")


@pytest.mark.parametrize("name", [b"origin", b"Origin", b"ORIGIN"])
def test_an_origin_in_any_case_is_seen(name: bytes) -> None:
    """A header the verdict on a cross-site request rests on is found however it is written."""
    # S27, S40
    house = House()
    token = house.auth.issue("alice").access_token
    headers = [
        (b"cookie", f"{NAMES[0]}={token}".encode()),
        (b"host", b"testserver"),
        (name, b"https://evil.example"),
    ]
    through = Through(house)
    ask_asgi(through.asgi, Ask(method="POST").scope() | {"headers": headers})
    assert through.auth.reason == "csrf"


@pytest.mark.parametrize("name", [b"x_refresh_token", b"x-refresh_token", b"xrefresh-token"])
def test_look_alikes_with_underscores_are_not_ours(name: bytes) -> None:
    """A header whose name merely looks like ours carries nothing."""
    # S28
    house = House()
    headers = [(name, house.auth.issue("alice").refresh_token.encode())]
    through = Through(house)
    ask_asgi(through.asgi, Ask().scope() | {"headers": headers})
    assert through.auth.reason == "missing"


@pytest.mark.parametrize("missing", ["root_path", "raw_path", "query_string", "extensions"])
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_what_a_scope_may_leave_out_is_not_needed(kind: str, missing: str) -> None:
    """Optional keys of the scope may be missing, or None where the specification says so."""
    house = House(required=True)
    scope = Ask().scope(kind)
    del scope[missing]
    answer = ask_asgi(door(hello, house), scope)
    assert answer.status == 401 or answer.messages == [{"type": "websocket.close", "code": 1008}]
    if missing in ("raw_path", "extensions"):
        assert ask_asgi(door(hello, house), scope | {missing: None}).messages == answer.messages


def test_a_look_alike_of_the_mount_is_not_cut_off() -> None:
    """Only a whole segment can be the mount: what merely begins like it is another path."""
    # S30
    through = Through(House())
    scope = Ask().scope() | {"root_path": "/app", "path": "/apple/x", "raw_path": b"/apple/x"}
    ask_asgi(through.asgi, scope)
    assert through.auth.request.path == "/apple/x"


# ── WebSockets ───────────────────────────────────────────────────────────────────────


def upgrade(house: House, ask: Ask, *extensions: str, app: Any = echo, **more: Any) -> Answer:
    return ask_asgi(door(app, house), ask.scope("websocket", *extensions) | more)


def test_a_websocket_is_signed_in_before_accept() -> None:
    """A valid token opens the socket, and the app knows who it is before it accepts."""
    # S50
    house = House(required=True)
    token = house.auth.issue("alice").access_token
    for fields in ([cookie(access=token)], [bearer(token)]):
        answer = upgrade(house, Ask(fields=fields))
        assert answer.messages[0] == {
            "type": "websocket.accept",
            "headers": [(b"x-app", b"1")],
        }
        assert answer.messages[1]["text"] == "alice"


def test_new_cookies_ride_on_accept() -> None:
    """An expired token is reissued in the handshake: the cookies are on websocket.accept."""
    # S50
    house = House(required=True)
    answer = upgrade(house, expired(house))
    accept = answer.messages[0]
    assert accept["type"] == "websocket.accept"
    assert sorted(answer.cookies) == NAMES
    assert (b"x-app", b"1") in accept["headers"]
    assert answer.messages[1]["text"] == "alice"
    assert house.store.find("alice", now=house.now)[0].generation == 1


def test_an_accept_without_headers_takes_cookies() -> None:
    """websocket.accept may leave its headers out; the cookies are then all there is."""
    # S50

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "v1"})
        await send({"type": "websocket.close"})

    house = House()
    answer = upgrade(house, expired(house), app=app)
    assert answer.messages[0]["subprotocol"] == "v1"
    assert sorted(answer.cookies) == NAMES


def test_no_token_by_header_on_a_websocket() -> None:
    """A script cannot read the headers of a handshake: no token is put there, none rotates."""
    # S50
    house = House()
    pair = house.auth.issue("alice")
    house.now += AGES
    fields = [bearer(pair.access_token), ("X-Refresh-Token", pair.refresh_token)]
    answer = upgrade(house, Ask(fields=fields))
    assert answer.messages[0]["headers"] == [(b"x-app", b"1")]
    assert answer.messages[1]["text"] == "alice"
    assert house.store.find("alice", now=house.now)[0].generation == 0


@pytest.mark.parametrize("settings", [{}, {"token_location": ["headers"]}], ids=str)
@pytest.mark.parametrize("kind", ["accept", "deny"])
def test_a_login_on_a_websocket_sends_no_token_by_header(settings: Any, kind: str) -> None:
    """Nor do the tokens of a login leave by header, whichever channels are configured."""
    # S50
    house = House(**settings)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        get_auth(scope).login("alice")
        if kind == "accept":
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close"})
        else:
            await send({"type": f"{DENIAL}.start", "status": 403, "headers": []})
            await send({"type": f"{DENIAL}.body"})

    answer = upgrade(house, Ask(), DENIAL, app=app)
    assert answer.all("x-access-token") == answer.all("x-refresh-token") == []


def test_a_login_asked_for_by_cookie_is_sent_by_cookie_on_a_websocket() -> None:
    """login(cookies=True) is the app's word, on the handshake of a header client, too."""
    # S50
    house = House()
    token = house.auth.issue("alice").access_token

    async def app(scope: Any, receive: Any, send: Any) -> None:
        get_auth(scope).login("alice", cookies=True)
        await echo(scope, receive, send)

    answer = upgrade(house, Ask(fields=[bearer(token)]), app=app)
    assert sorted(answer.cookies) == NAMES


REFUSED: dict[str, Any] = {
    "missing": ([], 401),
    "broken": ([("Cookie", f"{NAMES[0]}=x")], 401),
    "malformed": ([("Authorization", "Bearer")], 400),
    "cross-site": ([("Cookie", f"{NAMES[0]}=x"), ("Origin", "https://evil.example")], 403),
}


@pytest.mark.parametrize("reason", REFUSED)
@pytest.mark.parametrize("extensions", [(), (DENIAL,)], ids=str)
def test_a_websocket_is_refused_before_accept(reason: str, extensions: tuple[str, ...]) -> None:
    """Without sign-in the handshake ends: by a response where the server can, else by 1008."""
    # S33, S40, S50
    fields, status = REFUSED[reason]
    answer = upgrade(House(required=True), Ask(fields=fields), *extensions)
    if extensions:
        assert answer.status == status
        assert [message["type"] for message in answer.messages] == [
            f"{DENIAL}.start",
            f"{DENIAL}.body",
        ]
        assert answer.one("content-length") == str(len(answer.body)) != "0"
    else:
        assert answer.messages == [{"type": "websocket.close", "code": 1008}]


def test_a_cross_site_handshake_is_anonymous() -> None:
    """Where sign-in is optional, another site's handshake is let in as nobody."""
    # S40, S50
    house = House()
    ask = expired(house)
    ask.fields = [*ask.fields, ("Origin", "https://evil.example")]
    answer = upgrade(house, ask)
    assert answer.messages[1]["text"] == "None"
    assert answer.cookies == {}
    assert house.store.find("alice", now=house.now)[0].generation == 0


@pytest.mark.parametrize("extensions", [(), (DENIAL,)], ids=str)
@pytest.mark.parametrize("act", [RequestAuth.logout, lambda auth: auth.login("bob")])
def test_a_handshake_is_refused_if_a_login_cannot_be_stored(
    act: Callable[[RequestAuth], Any], extensions: tuple[str, ...]
) -> None:
    """Instead of accepting, the server is told 503; nothing the app says afterwards passes."""
    # S45, S50
    house = House()
    pair = house.auth.issue("alice")
    away(house, "create", "revoke")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        act(get_auth(scope))
        await echo(scope, receive, send)

    ask = Ask(fields=[cookie(access=pair.access_token)])
    scope = ask.scope("websocket", *extensions)
    answer = ask_asgi(JWTMiddleware(app, house.auth), scope)
    if extensions:
        assert answer.status == 503
        assert answer.one("retry-after")
    else:
        assert answer.messages == [{"type": "websocket.close", "code": 1008}]


def test_an_app_may_deny_a_handshake_with_cookies() -> None:
    """A denial of the app's own is a response like any other: it varies and carries tokens."""
    # S36, S50

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": f"{DENIAL}.start", "status": 403, "headers": []})
        await send({"type": f"{DENIAL}.body", "body": b"no"})

    house = House()
    answer = upgrade(house, expired(house), DENIAL, app=app)
    assert sorted(answer.cookies) == NAMES
    assert answer.one("vary") == "Cookie"
    assert answer.one("cache-control") == "no-store"


@pytest.mark.parametrize("act", [RequestAuth.logout, RequestAuth.logout_everywhere])
def test_a_logout_before_a_refused_handshake_is_stored(act: Callable[..., Any]) -> None:
    """A logout always is stored: also if the app then closes instead of accepting."""
    # S45, S50
    house = House()
    pair = house.auth.issue("alice")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        act(get_auth(scope))
        await send({"type": "websocket.close", "code": 1008})

    upgrade(house, Ask(fields=[cookie(access=pair.access_token)]), app=app)
    assert house.row(pair.session_id).revoked


@pytest.mark.parametrize("settings", [{}, {"lost_response_window": 0}], ids=str)
def test_a_closed_handshake_rotates_nothing(settings: Any) -> None:
    """websocket.close carries no header: where no cookie can go, no refresh token is spent."""
    # S36, S50

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 4000})

    house = House(**settings)
    ask = expired(house)
    assert upgrade(house, ask, app=app).messages == [{"type": "websocket.close", "code": 4000}]
    assert house.store.find("alice", now=house.now)[0].generation == 0
    assert house.event_names == ["login"]
    house.now += AGES
    through = Through(house)
    through.ask("asgi", ask)
    assert through.auth.subject == "alice"


@pytest.mark.parametrize("extensions", [(), (DENIAL,)], ids=str)
def test_a_logout_before_a_refused_handshake_may_fail(extensions: tuple[str, ...]) -> None:
    """If that logout cannot be stored, the client is told by 503 or by 1008, as for any other."""
    # S45, S50
    house = House()
    pair = house.auth.issue("alice")
    away(house, "revoke")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        get_auth(scope).logout()
        await send({"type": "websocket.close", "code": 4000})

    answer = upgrade(house, Ask(fields=[cookie(access=pair.access_token)]), *extensions, app=app)
    if extensions:
        assert answer.status == 503
    else:
        assert answer.messages == [{"type": "websocket.close", "code": 1008}]


def test_a_login_before_a_refused_handshake_is_taken_back() -> None:
    """A login whose tokens nobody can be sent is not stored."""
    # S50
    house = House()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        get_auth(scope).login("alice")
        await send({"type": "websocket.close", "code": 4000})

    assert upgrade(house, Ask(), app=app).messages == [{"type": "websocket.close", "code": 4000}]
    assert house.store.find("alice", now=house.now) == []


def test_an_open_websocket_is_past_its_start() -> None:
    """Once accepted, login() says what to use instead."""
    # S50

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        with pytest.raises(ResponseStarted, match=r"JWTAuth\.issue"):
            get_auth(scope).login("alice")
        await send({"type": "websocket.close"})

    assert len(upgrade(House(), Ask(), app=app).messages) == 2


# ── A response that is replaced ──────────────────────────────────────────────────────


@pytest.mark.parametrize("act", [RequestAuth.logout, lambda auth: auth.login("bob")])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_a_login_or_logout_that_cannot_be_stored_becomes_503(
    method: str, act: Callable[[RequestAuth], Any]
) -> None:
    """Nobody is told that something happened which did not; the app's body is swallowed."""
    # S45, S49
    house = House()
    pair = house.auth.issue("alice")
    away(house, "create", "revoke")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        act(get_auth(scope))
        await send(START)
        await send({**BODY, "more_body": True})
        await send(BODY)

    ask = Ask(method=method, fields=[cookie(access=pair.access_token)])
    answer = ask_asgi(door(app, house), ask.scope())
    if method == "HEAD" and act is not RequestAuth.logout:
        assert answer.status == 200  # a login on HEAD could tell nobody, and is not tried
        return
    assert answer.status == 503
    assert answer.one("retry-after")
    assert answer.all("set-cookie") == []
    assert b"hello" not in answer.body
    assert (answer.body == b"") == (method == "HEAD")


def test_the_store_away_at_arrival() -> None:
    """Where sign-in is required the answer is 503, elsewhere the request is anonymous."""
    # S45
    for required, status in ((True, 503), (False, 200)):
        house = House(required=required)
        ask = expired(house)
        through = Through(away(house, "load"))
        answer = through.ask("asgi", ask)
        assert answer.status == status
        assert answer.all("set-cookie") == []
        if not required:
            assert through.auth.reason == "store_unavailable"


def test_the_store_away_when_the_response_starts() -> None:
    """A reissue that cannot be stored sends nothing; the request was signed in all the same."""
    # S45
    house = House(required=True)
    ask = expired(house)
    through = Through(away(house, "rotate"))
    answer = through.ask("asgi", ask)
    assert (answer.status, through.auth.subject, answer.cookies) == (200, "alice", {})
    assert answer.one("vary") == "Cookie"


# ── Stores and hooks of both colours ─────────────────────────────────────────────────


class AsyncStore:
    """An async store over the memory one; each verb lets others run first."""

    def __init__(self) -> None:
        self.inner = MemorySessionStore()
        self.asked: list[str] = []


def _async_verb(verb: str) -> Any:
    async def ask(self: AsyncStore, *args: Any, **options: Any) -> Any:
        self.asked.append(verb)
        await asyncio.sleep(0)
        return getattr(self.inner, verb)(*args, **options)

    return ask


for _verb in VERBS:
    setattr(AsyncStore, _verb, _async_verb(_verb))


class SlowStore(MemorySessionStore):
    """A sync store that is not inline; once ``slow``, its verbs wait to be let through."""

    inline = frozenset()  # type: ignore[misc]  # as any store of somebody else's

    def __init__(self) -> None:
        super().__init__()
        self.slow = False
        self.entered = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.threads: set[int] = set()

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in VERBS or not self.slow:
            return found

        def slowly(*args: Any, **options: Any) -> Any:
            self.threads.add(threading.get_ident())
            self.entered.release()
            assert self.gate.acquire(timeout=10)
            return found(*args, **options)

        return slowly


def test_a_confirmation_is_written_behind_the_start() -> None:
    """A token that came back confirms its generation once the response is on its way."""
    # S42
    house = House()
    fresh = ask_asgi(door(hello, house), expired(house).scope()).cookies
    order: list[str] = []
    confirm = house.store.confirm

    def noted(*args: Any, **options: Any) -> None:
        order.append("confirm")
        confirm(*args, **options)

    async def receive() -> Any: ...

    async def send(message: Any) -> None:
        order.append(message["type"].removeprefix("http.response."))

    house.store.confirm = noted  # type: ignore[method-assign]
    scope = Ask(fields=[("Cookie", f"{NAMES[0]}={fresh[NAMES[0]]}")]).scope()
    for _ in range(2):
        asyncio.run(door(hello, house)(scope, receive, send))
    assert order == ["start", "confirm", "body", "start", "body"]
    assert house.store.find("alice", now=house.now)[0].confirmed_generation == 1


def test_an_async_store_is_awaited() -> None:
    """A store of coroutines works behind the ASGI door, verb by verb."""
    store = AsyncStore()
    house = House(session_store=store)

    async def main() -> None:
        pair = await house.auth.aissue("alice")
        house.now += AGES
        ask = Ask(fields=[cookie(refresh=pair.refresh_token)])
        answer = await aask(door(hello, house), ask.scope())
        assert sorted(answer.cookies) == NAMES

    asyncio.run(main())
    assert store.asked == ["create", "load", "rotate", "purge"]


def test_a_blocking_store_never_blocks_the_loop() -> None:
    """While a sync store waits for its server, the loop goes on with everything else."""
    # S52
    store = SlowStore()
    house = House(session_store=store)
    ask = expired(house)
    store.slow = True

    async def main() -> Answer:
        task = asyncio.create_task(aask(door(hello, house), ask.scope()))
        for _verb in ("load", "rotate", "purge"):
            assert await asyncio.to_thread(store.entered.acquire, timeout=5)
            for _ in range(100):
                await asyncio.sleep(0)
            assert not task.done()
            store.gate.release()
        return await asyncio.wait_for(task, 5)

    answer = asyncio.run(main())
    assert sorted(answer.cookies) == NAMES
    assert store.threads
    assert threading.get_ident() not in store.threads


def test_blocking_calls_run_side_by_side() -> None:
    """Requests that wait for a sync store wait together, not one after the other."""
    # S52
    store = SlowStore()
    house = House(session_store=store)
    pairs = [house.auth.issue(f"user{number}") for number in range(4)]
    house.now += AGES
    store.slow = True

    async def main() -> list[Answer]:
        asks = [Ask(fields=[cookie(refresh=pair.refresh_token)]) for pair in pairs]
        tasks = [asyncio.create_task(aask(door(hello, house), ask.scope())) for ask in asks]
        for _ in tasks:  # all four are in the store, and none of them is through
            assert await asyncio.to_thread(store.entered.acquire, timeout=5)
        store.gate.release(100)
        return await asyncio.gather(*tasks)

    assert [sorted(answer.cookies) for answer in asyncio.run(main())] == [NAMES] * 4


@pytest.mark.parametrize("kind", ["sync", "async", "promise", "object", "none", "raises"])
def test_load_claims_of_either_colour(kind: str) -> None:
    """A sync load_claims runs in a thread, an async one on the loop; both are heard."""
    # S43, S52
    seen: list[int] = []

    def sync(session: Any) -> Any:
        seen.append(threading.get_ident())
        if kind == "raises":
            raise OSError("the database is away")
        return None if kind == "none" else {"roles": ["fresh"]}

    async def coroutine(session: Any) -> Any:
        await asyncio.sleep(0)
        return sync(session)

    class Loader:
        async def __call__(self, session: Any) -> Any:
            return sync(session)

    def promise(session: Any) -> Any:
        return coroutine(session)

    hook = {"async": coroutine, "promise": promise, "object": Loader()}
    house = House(load_claims=hook.get(kind, sync))
    through = Through(house)
    answer = through.ask("asgi", expired(house))
    here = threading.get_ident()
    if kind == "raises":
        assert (answer.status, through.seen) == (503, [])
    elif kind == "none":
        assert through.auth.reason == "revoked"
        assert house.store.find("alice", now=house.now) == []
    else:
        assert through.auth.claims is not None
        assert through.auth.claims["roles"] == ["fresh"]
        assert (seen == [here]) == (kind in ("async", "promise", "object"))
        assert sorted(answer.cookies) == NAMES


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration, KeyError, RuntimeError])
def test_whatever_a_store_raises_is_an_outage(error: type[Exception], inline: bool) -> None:
    """Even a StopIteration from a sync store becomes 503: nothing hangs, nothing passes."""
    # S45, S52

    class Broken(MemorySessionStore):
        def load(self, *args: Any, **options: Any) -> Any:
            raise error

    store = Broken()
    if not inline:
        store.inline = frozenset()  # type: ignore[misc]
    house = House(session_store=store, required=True)
    ask = expired(house)

    async def main() -> Answer:
        return await asyncio.wait_for(aask(door(hello, house), ask.scope()), 5)

    assert asyncio.run(main()).status == 503


@pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration])
def test_whatever_load_claims_raises_is_an_outage(error: type[Exception]) -> None:
    """The same holds for a hook, sync or async."""
    # S45, S52

    def sync(session: Any) -> Any:
        raise error

    async def coroutine(session: Any) -> Any:
        raise error

    async def main(house: House, ask: Ask) -> Answer:
        return await asyncio.wait_for(aask(door(hello, house), ask.scope()), 5)

    for hook in (sync, coroutine):
        house = House(load_claims=hook)
        assert asyncio.run(main(house, expired(house))).status == 503


# ── Cancellation ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("verb", ["load", "rotate"])
def test_a_cancelled_request_leaves_a_consistent_store(verb: str) -> None:
    """A client that goes away while the store is asked can come back and go on."""
    # S42, S49, S54
    store = SlowStore()
    house = House(session_store=store)
    pair = house.auth.issue("alice")
    house.now += AGES
    ask = Ask(fields=[cookie(access=pair.access_token, refresh=pair.refresh_token)])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        store.slow = verb == "rotate"
        await hello(scope, receive, send)

    async def main() -> Answer:
        store.slow = verb == "load"
        task = asyncio.create_task(aask(door(app, house), ask.scope()))
        assert await asyncio.to_thread(store.entered.acquire, timeout=5)
        task.cancel()
        await asyncio.sleep(0)
        store.slow = False
        store.gate.release()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert current.get() is None
        while verb == "rotate" and house.auth.sessions("alice")[0].generation == 0:
            await asyncio.to_thread(time.sleep, 0.01)  # the thread's write outlives its task
        return await asyncio.wait_for(aask(door(hello, house), ask.scope()), 5)

    again = asyncio.run(asyncio.wait_for(main(), 15))
    (session,) = house.auth.sessions("alice")
    assert sorted(again.cookies) == NAMES  # S42: rotated, or handed the successor that exists
    assert session.generation == 1
    through = Through(house)
    house.now += AGES
    through.ask("asgi", Ask(fields=[cookie(refresh=again.cookies[NAMES[1]])]))
    assert through.auth.subject == "alice"
    assert "reuse" not in house.event_names


@pytest.mark.parametrize("twice", [False, True])
def test_a_logout_survives_a_cancellation(twice: bool) -> None:
    """The view has signed the user out, and the client goes away before its answer."""  # S49
    house = House(session_store=(store := SlowStore()))
    pair = house.auth.issue("alice")
    recorded = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        get_auth(scope).logout()
        recorded.set()
        await asyncio.sleep(30)

    async def main() -> None:
        ask = Ask(fields=[cookie(access=pair.access_token, refresh=pair.refresh_token)])
        task = asyncio.create_task(aask(door(app, house), ask.scope()))
        await recorded.wait()
        store.slow = True
        task.cancel()
        assert await asyncio.to_thread(store.entered.acquire, timeout=5)
        if twice:
            task.cancel()
        await asyncio.sleep(0)
        store.slow = False
        store.gate.release()
        with pytest.raises(asyncio.CancelledError):
            await task
        while house.auth.sessions("alice"):  # cancelled twice, the task does not wait for it
            await asyncio.to_thread(time.sleep, 0.01)

    asyncio.run(asyncio.wait_for(main(), 15))
    assert house.auth.sessions("alice") == []


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_logout_survives_an_app_that_answers_nothing(kind: str) -> None:
    """The client has gone, the framework swallows that, and the app returns as if all were well."""
    # S49, S54
    house = House()
    pair = house.auth.issue("alice")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        get_auth(scope).logout()

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = Ask(fields=[bearer(pair.access_token)]).scope() | {"type": kind}
    asyncio.run(JWTMiddleware(app, house.auth)(scope, receive, send))
    assert sent == []
    assert house.auth.sessions("alice") == []
    assert current.get() is None


def test_a_logout_survives_a_cancellation_while_it_is_stored() -> None:
    """The store has been asked, and has not answered yet, when the client goes away."""  # S49
    store = AsyncStore()
    house = House(session_store=store)
    asked, go_on, done = (asyncio.Event() for _ in range(3))
    revoke = AsyncStore.revoke  # type: ignore[attr-defined]

    async def slow_revoke(*args: Any, **options: Any) -> Any:
        asked.set()
        await go_on.wait()
        answer = await revoke(store, *args, **options)
        done.set()
        return answer

    async def app(scope: Any, receive: Any, send: Any) -> None:
        get_auth(scope).logout()
        await send(START)

    async def main() -> None:
        pair = await house.auth.aissue("alice")
        store.revoke = slow_revoke  # type: ignore[attr-defined]
        ask = Ask(fields=[bearer(pair.access_token)])
        task = asyncio.create_task(aask(JWTMiddleware(app, house.auth), ask.scope()))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        await done.wait()  # the task itself has not waited for it
        assert await house.auth.asessions("alice") == []

    asyncio.run(asyncio.wait_for(main(), 15))


def test_a_cancelled_async_store_leaves_the_client_able_to_go_on() -> None:
    """The same with an async store that is cancelled after it has swapped the row."""
    # S49
    store = AsyncStore()
    house = House(session_store=store)
    swapped = asyncio.Event()
    rotate = AsyncStore.rotate  # type: ignore[attr-defined]

    async def slow_rotate(*args: Any, **options: Any) -> Any:
        answer = await rotate(store, *args, **options)
        swapped.set()
        await asyncio.sleep(30)
        return answer

    async def main() -> None:
        pair = await house.auth.aissue("alice")
        house.now += AGES
        ask = Ask(fields=[cookie(refresh=pair.refresh_token)])
        store.rotate = slow_rotate  # type: ignore[attr-defined]
        task = asyncio.create_task(aask(door(hello, house), ask.scope()))
        await swapped.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del store.rotate  # type: ignore[attr-defined]
        answer = await aask(door(hello, house), ask.scope())
        assert sorted(answer.cookies) == NAMES
        (session,) = await house.auth.asessions("alice")
        assert session.generation == 1

    asyncio.run(main())


def test_an_app_that_answers_after_a_cancellation_still_varies() -> None:
    """If the start was interrupted and the app sends another, caches are still warned."""
    # S36, S49
    store = AsyncStore()
    house = House(session_store=store)

    async def never(*args: Any, **options: Any) -> Any:
        raise asyncio.CancelledError

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send(START)
        except asyncio.CancelledError:
            await send({**START, "status": 504})
            await send(BODY)

    async def main() -> Answer:
        pair = await house.auth.aissue("alice")
        house.now += AGES
        store.rotate = never  # type: ignore[attr-defined]
        ask = Ask(fields=[cookie(refresh=pair.refresh_token)])
        return await aask(JWTMiddleware(app, house.auth), ask.scope())

    answer = asyncio.run(main())
    assert answer.status == 504
    assert answer.one("vary") == "Cookie"


# ── The context variable ─────────────────────────────────────────────────────────────


def test_get_auth_is_the_tasks_own() -> None:
    """Without an argument get_auth() finds the request of the running task, and of its own."""
    # S51
    house = House()
    token = house.auth.issue("alice").access_token
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(get_auth() is scope[AUTH_KEY] is get_auth(scope))
        seen.append(await asyncio.create_task(asyncio.to_thread(lambda: get_claims()["sub"])))  # type: ignore[index]
        await hello(scope, receive, send)
        seen.append(get_auth().subject)

    async def main() -> None:
        await aask(door(app, house), Ask(fields=[bearer(token)]).scope())
        with pytest.raises(MiddlewareNotInstalled):
            get_auth()

    asyncio.run(main())
    assert seen == [True, "alice", "alice"]


def test_a_request_closed_from_elsewhere_raises_nothing() -> None:
    """A request that is torn down from another context (a loop that ends) ends quietly."""
    # S54

    class Forever:
        def __await__(self) -> Any:
            yield

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Forever()

    async def receive() -> Any: ...

    async def send(message: Any) -> None: ...

    request = JWTMiddleware(app, House().auth)(Ask().scope(), receive, send)
    contextvars.copy_context().run(request.send, None)
    request.close()


@pytest.mark.race
def test_thirty_two_tasks_do_not_see_each_other() -> None:
    """Tasks with mixed identities each see their own claims, however they take turns."""
    # S51
    store = AsyncStore()
    house = House(session_store=store)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        said = [get_auth().subject]
        await asyncio.sleep(0)
        await send(START)
        for _ in range(3):
            await asyncio.sleep(0)
            said += [get_auth().subject, get_auth(scope).subject, scope["user"].subject]
        said.append(await asyncio.to_thread(lambda: get_auth().subject))
        await send({**BODY, "body": " ".join(map(str, sorted(set(said), key=str))).encode()})

    async def one(number: int) -> None:
        pair = await house.auth.aissue(f"user{number}")
        house.now += AGES if number == 0 else 0
        fields = [
            [cookie(access=pair.access_token)],
            [cookie(refresh=pair.refresh_token)],
            [bearer(pair.access_token)],
            [],
        ][number % 4]
        for _ in range(3):
            answer = await aask(door(app, house), Ask(fields=fields).scope())
            expected = {b"None"} if number % 4 == 3 else {b"user%d" % number}
            assert answer.body in expected

    async def main() -> None:
        await asyncio.gather(*(one(number) for number in range(1, 33)))
        assert current.get() is None

    asyncio.run(main())


# ── What frameworks expect ───────────────────────────────────────────────────────────


@requires("authenticated")
async def members(request: Any) -> Any:
    return JSONResponse({"user": request.user.display_name, "id": request.user.identity})


@requires(["authenticated", "admin"])
async def admins(request: Any) -> Any:
    return JSONResponse({"scopes": request.auth.scopes})


async def anybody(request: Any) -> Any:
    same = get_auth(request) is get_auth() is request.user
    return JSONResponse(
        {
            "authenticated": request.user.is_authenticated,
            "name": request.user.display_name,
            "id": request.user.identity,
            "scopes": request.auth.scopes,
            "same": same,
        }
    )


STARLETTE = Starlette(
    routes=[Route("/members", members), Route("/admins", admins), Route("/", anybody)]
)


@pytest.mark.parametrize(
    ("claims", "admin"),
    [
        ({}, False),
        ({"scope": "read admin"}, True),
        ({"scope": "administrator"}, False),
        ({"scopes": ["admin", 7]}, True),
        ({"scope": "", "scopes": ["admin"]}, True),
    ],
    ids=str,
)
def test_starlettes_requires_understands_us(claims: Any, admin: bool) -> None:
    """@requires("authenticated") wants a signed-in request, another name a scope of the token."""
    # S33
    house = House()
    token = house.auth.issue("alice", claims).access_token
    app = JWTMiddleware(STARLETTE, house.auth)

    def get(path: str, *fields: tuple[str, str]) -> Answer:
        return ask_asgi(app, Ask(path=path, fields=fields).scope())

    assert get("/members").status == get("/admins").status == 403
    assert get("/members", bearer(token)).body == b'{"user":"alice","id":"alice"}'
    assert get("/admins", bearer(token)).status == (200 if admin else 403)
    assert b'"authenticated":true' in get("/", bearer(token)).body
    nobody = b'{"authenticated":false,"name":"","id":"","scopes":[],"same":true}'
    assert get("/").body == nobody


@pytest.mark.parametrize("scope", [7, True, {"admin": 1}, None], ids=str)
def test_a_strange_scope_claim_is_no_error(scope: Any) -> None:
    """Whatever another issuer put into scope, a request is never an error and never an admin."""
    # S14, S33
    house = House()
    token = house.auth.issue("alice", {"scope": scope}).access_token
    app = JWTMiddleware(STARLETTE, house.auth)
    answer = ask_asgi(app, Ask(path="/admins", fields=[bearer(token)]).scope())
    assert answer.status == 403


# ── By keyword, and both doors in one process ────────────────────────────────────────


def test_it_is_made_like_a_framework_makes_it() -> None:
    """Litestar passes app by keyword; add_middleware passes settings as keywords."""
    one = JWTMiddleware(app=hello, secret_key=SECRET, session_store="memory://")
    assert ask_asgi(one, Ask().scope()).status == 200
    app = Starlette(routes=[Route("/", anybody)])
    app.add_middleware(JWTMiddleware, secret_key=SECRET, session_store="memory://", required=True)
    assert ask_asgi(app, Ask().scope()).status == 401


def test_nothing_is_asked_for_a_known_token() -> None:
    """A valid token seen before asks the store nothing, here as at the other door."""
    house = House()
    token = house.auth.issue("alice").access_token
    verbs = noting(house)
    through = Through(house)
    for _ in range(3):
        through.ask("asgi", Ask(fields=[cookie(access=token)]))
    assert [auth.subject for auth in through.seen] == ["alice"] * 3
    assert verbs == []


def test_a_store_for_both_doors_is_one_store() -> None:
    """What a program stores by the sync calls is known to the async door, and the reverse."""
    auth = JWTAuth(secret_key=SECRET, session_store="memory://")
    pair = auth.issue("alice")
    assert [session.id for session in asyncio.run(auth.asessions("alice"))] == [pair.session_id]
    other = asyncio.run(auth.aissue("bob"))
    assert [session.id for session in auth.sessions("bob")] == [other.session_id]


def test_an_async_store_is_refused_politely_by_sync_calls() -> None:
    """A sync call on an async store raises StoreUnavailable and leaves no coroutine behind."""
    auth = JWTAuth(secret_key=SECRET, session_store=AsyncStore())  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable):
        auth.issue("alice")
