"""What a valid token that was seen before costs: counted in Python calls, not in time."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from encrypting import KEY
from keychain import jwk, key_for, pem, sign
from stepping import House
from through import Ask, Fields, Through, bearer, cookie, noting

from jwt_middleware import Issuer, JWTAuth, asgi, wsgi
from jwt_middleware.handle import AUTH_KEY, RequestAuth
from jwt_middleware.request import Request

WSGI_BOUND = 9
ASGI_BOUND = 12
"""As measured (DESIGN asks for ten); a step that makes it longer has to say so here."""

BODY = [b"hello"]
HEADERS = {"none": [], "vary": [("Vary", "Cookie")], "other": [("Vary", "Accept-Encoding")]}


def wsgi_app(headers: list[tuple[str, str]], seen: list[Any]) -> Callable[..., Any]:
    def app(environ: Any, start_response: Any) -> Any:
        seen.append(environ[AUTH_KEY])
        start_response("200 OK", headers)
        return BODY

    return app


def asgi_app(headers: list[tuple[str, str]], seen: list[Any]) -> Callable[..., Any]:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    start = {"type": "http.response.start", "status": 200, "headers": raw}
    body = {"type": "http.response.body", "body": BODY[0]}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope[AUTH_KEY])
        await send(start)
        await send(body)

    return app


def counted(call: Callable[[], Any]) -> list[str]:
    """The Python functions that ran, but for those of this file (server and app), in order."""
    names: list[str] = []

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code.co_filename != __file__:
            names.append(frame.f_code.co_name)

    before = sys.getprofile()
    gc.disable()  # else finalizers of other tests may be counted
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(before)
        gc.enable()
    return names


def drive(coroutine: Any) -> None:
    """Run a coroutine that never has to wait."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    pytest.fail("it waited for something")


async def no_receive() -> Any: ...


def requests(house: House) -> dict[str, Fields]:
    """Requests of a client that has been here before."""
    pair = house.auth.issue("alice")
    return {
        "cookie": [cookie(access=pair.access_token)],
        "both cookies": [
            cookie(theme="dark", access=pair.access_token, refresh=pair.refresh_token)
        ],
        "bearer": [bearer(pair.access_token)],
    }


KINDS = ["cookie", "both cookies", "bearer"]


@pytest.mark.parametrize("headers", HEADERS)
@pytest.mark.parametrize("kind", KINDS)
def test_at_most_nine_calls_through_the_wsgi_door(kind: str, headers: str) -> None:
    """A known token with a list body costs at most nine Python calls, whatever Vary says."""
    house = House()
    house.now = time.time()
    auth = JWTAuth(house.auth.settings)  # by the default clock, which is no Python function
    seen: list[Any] = []
    door = wsgi.JWTMiddleware(wsgi_app([("X-App", "1"), *HEADERS[headers]], seen), auth)
    fields = requests(house)[kind]
    started: list[Any] = []
    bodies: list[Any] = []
    for _ in range(3):
        environ = Ask(fields=fields).environ

        def serve(environ: Any = environ) -> None:
            bodies.append(door(environ, lambda *given: started.append(given)))

        names = counted(serve)
        assert len(names) <= WSGI_BOUND or len(bodies) == 1, names
    assert all(body is BODY for body in bodies)
    assert [one.subject for one in seen] == ["alice"] * 3
    vary = {"none": "Cookie", "vary": "Cookie", "other": "Accept-Encoding,Cookie"}[headers]
    assert started == [("200 OK", [("X-App", "1"), ("Vary", vary)])] * 3


@pytest.mark.parametrize("headers", HEADERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_bounded_number_of_calls_through_the_asgi_door(kind: str, headers: str) -> None:
    """The ASGI door's count for a known token is on record, and it never waits."""
    house = House()
    house.now = time.time()
    seen: list[Any] = []
    sent: list[Any] = []
    door = asgi.JWTMiddleware(
        asgi_app([("x-app", "1"), *HEADERS[headers]], seen), JWTAuth(house.auth.settings)
    )
    fields = requests(house)[kind]

    async def send(message: Any) -> None:
        sent.append(message)

    for number in range(3):
        scope = Ask(fields=fields).scope()

        def serve(scope: Any = scope) -> None:
            drive(door(scope, no_receive, send))

        names = counted(serve)
        assert len(names) <= ASGI_BOUND or number == 0, names
    assert [one.subject for one in seen] == ["alice"] * 3
    vary = {"none": b"Cookie", "vary": b"Cookie", "other": b"Accept-Encoding,Cookie"}[headers]
    assert [message.get("headers") for message in sent] == [
        [(b"x-app", b"1"), (b"vary", vary)],
        None,
    ] * 3


OTHERS: dict[str, dict[str, Any]] = {
    "encrypted": {"encryption_key": KEY},
    "our key": {"algorithm": "ES256", "private_key": pem(key_for("ES256"))},
    "another issuer": {
        "issuers": [Issuer("https://a.example", public_keys=jwk(key_for("ES256"), kid="1"))]
    },
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_keys_cost_a_known_token_nothing(name: str) -> None:
    """Whoever signed it, a known token costs the same bounded number of calls at both doors."""
    house = House(**OTHERS[name])
    house.now = time.time()
    auth = JWTAuth(house.auth.settings)
    token = house.auth.issue("alice").access_token
    if name == "another issuer":
        claims = {"iss": "https://a.example", "sub": "alice", "exp": house.now + 600}
        token = sign(key_for("ES256"), claims, kid="1")
    seen: list[Any] = []
    through_wsgi = wsgi.JWTMiddleware(wsgi_app([], seen), auth)
    through_asgi = asgi.JWTMiddleware(asgi_app([], seen), auth)

    async def send(message: Any) -> None: ...

    for number in range(3):
        ask = Ask(fields=[bearer(token)])
        environ, scope = ask.environ, ask.scope()
        by_wsgi = counted(lambda at=environ: through_wsgi(at, lambda *given: None))
        by_asgi = counted(lambda at=scope: drive(through_asgi(at, no_receive, send)))
        assert number == 0 or len(by_wsgi) <= WSGI_BOUND, by_wsgi
        assert number == 0 or len(by_asgi) <= ASGI_BOUND, by_asgi
    assert [one.subject for one in seen] == ["alice"] * 6


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_known_token_asks_the_store_nothing(kind: str, door: str) -> None:
    """Not one command, though the store is open: neither before the response nor behind it."""
    house = House()
    fields = requests(house)[kind]
    verbs = noting(house)
    through = Through(house)
    for _ in range(3):
        through.ask(door, Ask(fields=fields))
    assert [auth.subject for auth in through.seen] == ["alice"] * 3
    assert verbs == []


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_hits_and_misses_are_counted(door: str) -> None:
    """A token counts as a miss when it is verified, and as a hit each time it comes again."""
    house = House()
    token = house.auth.issue("alice").access_token
    afresh = house.other_process()
    through = Through(afresh)
    for _ in range(4):
        through.ask(door, Ask(fields=[bearer(token)]))
    through.ask(door, Ask(fields=[bearer("no.token.atall")]))
    info = afresh.auth.cache_info
    assert (info.hits, info.misses, info.size) == (3, 2, 1)


@pytest.mark.parametrize("channel", ["cookie", "bearer", "nothing"])
def test_a_request_leaves_no_ring_of_objects_behind(channel: str) -> None:
    """What a WSGI request was made of is freed when it ends, not when the garbage collector comes
    by: the handle is in the environ, and nothing of it holds that environ."""
    house = House()
    house.now = time.time()
    fields = requests(house)[channel] if channel != "nothing" else []
    seen: list[Any] = []
    door = wsgi.JWTMiddleware(wsgi_app([], seen), JWTAuth(house.auth.settings))

    def serve() -> None:
        door(Ask(fields=fields).environ, lambda *given: None)
        seen.clear()

    serve()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)  # what other threads of the tests leave behind is not counted
    try:
        for _ in range(20):
            serve()
        gc.collect()
        assert not [one for one in gc.garbage if isinstance(one, (RequestAuth, Request))]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
