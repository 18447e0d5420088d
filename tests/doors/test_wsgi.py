"""The WSGI door: what PEP 3333 asks of a middleware, and what an app is shown."""

from __future__ import annotations

import gc
import io
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest
from stepping import House
from through import AGES, Answer, Ask, Through, ask_wsgi, away, bearer, cookie, noting

from jwt_middleware import MiddlewareNotInstalled, ResponseStarted, get_auth, get_claims
from jwt_middleware.handle import AUTH_KEY, CLAIMS_KEY, RequestAuth, current
from jwt_middleware.wsgi import JWTMiddleware

TEXT = [("Content-Type", "text/plain")]
NAMES = ["__Host-access_token", "__Host-refresh_token"]


def expired(house: House, **more: Any) -> Ask:
    """A request whose access token has expired and whose refresh token is good."""
    pair = house.auth.issue("alice", {"roles": ["admin"]})
    house.now += AGES
    return Ask(fields=[cookie(access=pair.access_token, refresh=pair.refresh_token)], **more)


def through_validators(app: Callable[..., Any], house: House, ask: Ask) -> Answer:
    """The door between two validators, as between server and app."""
    return ask_wsgi(validator(JWTMiddleware(validator(app), house.auth)), ask.environ)


# ── Apps of every shape PEP 3333 knows ───────────────────────────────────────────────


class Closing:
    """An iterator with ``close``, that notes what is asked of it."""

    def __init__(self, chunks: Iterable[bytes], log: list[Any]) -> None:
        self.chunks, self.log = iter(chunks), log

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self.log.append("next")
        return next(self.chunks)

    def close(self) -> None:
        self.log.append("close")


def list_app(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", list(TEXT))
    return [b"hel", b"lo"]


def tuple_app(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", list(TEXT))
    return (b"hel", b"lo")


def generator_app(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", list(TEXT))
    yield b"hel"
    yield b"lo"


def lazy_app(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", list(TEXT))
    return (chunk for chunk in (b"hel", b"lo"))


def closing_app(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", list(TEXT))
    return Closing([b"hel", b"lo"], [])


def file_app(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", list(TEXT))
    return environ.get("wsgi.file_wrapper", FileWrapper)(io.BytesIO(b"hello"), 3)


def write_app(environ: Any, start_response: Any) -> Any:
    write = start_response("200 OK", list(TEXT))
    write(b"hel")
    return [b"lo"]


def restart_app(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [*TEXT, ("X-First", "1")])
    try:
        int("half way")
    except ValueError:
        start_response("500 Internal Server Error", list(TEXT), sys.exc_info())
    return [b"hello"]


SHAPES = [
    *(list_app, tuple_app, generator_app, lazy_app),
    *(closing_app, file_app, write_app, restart_app),
]


@pytest.mark.parametrize("app", SHAPES)
@pytest.mark.parametrize("kind", ["anonymous", "known", "expired", "refused", "login"])
def test_every_shape_of_app_is_clean_under_the_validator(app: Any, kind: str) -> None:
    """Between two validators each shape of body passes whole, with and without new tokens."""
    # S48
    house = House(required=kind == "refused")
    ask = Ask()
    if kind == "known":
        ask = Ask(fields=[cookie(access=house.auth.issue("alice").access_token)])
    elif kind == "expired":
        ask = expired(house)

    def signing_in(environ: Any, start_response: Any) -> Any:
        get_auth(environ).login("bob")
        return app(environ, start_response)

    answer = through_validators(signing_in if kind == "login" else app, house, ask)
    if kind == "refused":
        assert answer.status == 401
        return
    assert answer.body == b"hello"
    assert sorted(answer.cookies) == (NAMES if kind in ("expired", "login") else [])
    assert len(answer.all("Set-Cookie")) == len(answer.cookies)
    assert answer.one("Vary") == "Cookie"
    hop_by_hop = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer"}
    assert hop_by_hop.isdisjoint(name.lower() for name, _ in answer.headers)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
@pytest.mark.parametrize("kind", ["401", "400", "403", "503", "303"])
def test_every_answer_of_our_own_is_clean_under_the_validator(method: str, kind: str) -> None:
    """What the middleware answers in the app's place obeys the protocol, too."""
    # S34, S45, S48
    house = House(required=True, login_url="/login" if kind == "303" else None)
    fields = [("Accept", "text/html")]
    if kind == "400":
        fields = [("Authorization", "Bearer")]
    elif kind == "403":
        fields = [("Cookie", "__Host-access_token=x"), ("Sec-Fetch-Site", "cross-site")]
    elif kind == "503":
        pair = house.auth.issue("alice")
        house.now += AGES
        fields = [cookie(refresh=pair.refresh_token)]
        away(house, "load")
    answer = through_validators(list_app, house, Ask(method=method, fields=fields))
    cannot = {"403": {"GET", "HEAD", "OPTIONS"}, "303": {"HEAD", "POST", "OPTIONS"}}
    assert answer.status == (401 if method in cannot.get(kind, ()) else int(kind))
    assert answer.one("Vary") == "Cookie"
    assert answer.one("Cache-Control") == "no-store"
    assert (answer.one("Retry-After") is not None) == (kind == "503")


# ── start_response ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("restarts", [0, 1, 2])
def test_new_tokens_ride_on_every_start(restarts: int) -> None:
    """Each call of start_response carries the same new cookies, each exactly once."""
    # S48
    house = House()

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [*TEXT, ("X-Try", "0")])
        for number in range(restarts):
            error = ValueError(number)
            start_response("500 Oh no", [*TEXT], (ValueError, error, None))
        return [b"hello"]

    ask = expired(house)
    verbs = noting(house)
    answer = ask_wsgi(JWTMiddleware(app, house.auth), ask.environ)
    assert len(answer.starts) == restarts + 1
    set_cookies = [
        sorted(value for name, value in headers if name == "Set-Cookie")
        for headers in answer.starts
    ]
    assert [value.partition("=")[0] for value in set_cookies[0]] == NAMES
    assert set_cookies == [set_cookies[0]] * (restarts + 1)
    assert verbs.count("load") == verbs.count("rotate") == 1


def test_a_rotation_happens_once_however_often_the_app_starts() -> None:
    """A second start_response neither rotates again nor fires another event."""
    # S41, S48
    house = House()
    through_validators(restart_app, house, expired(house))
    assert house.event_names == ["login", "reissued"]
    (session,) = house.store.find("alice", now=house.now)
    assert session.generation == 1


def test_the_apps_own_headers_list_is_left_alone() -> None:
    """A headers list the app keeps for every response does not grow by our cookies."""
    # S37
    house = House()
    headers = [*TEXT, ("Set-Cookie", "theme=dark"), ("Cache-Control", "public")]
    kept = list(headers)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", headers)
        return [b"hello"]

    answer = ask_wsgi(JWTMiddleware(app, house.auth), expired(house).environ)
    assert headers == kept
    assert "theme" in answer.cookies
    assert answer.one("Cache-Control") == "no-store"


def test_exc_info_reaches_the_server() -> None:
    """The server is given the app's exc_info, so that it can raise it when it is too late."""
    # S48
    house = House()

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", list(TEXT))(b"hello")
        error = ValueError("too late")
        start_response("500 Oh no", list(TEXT), exc_info=(ValueError, error, None))
        return []

    with pytest.raises(ValueError, match="too late"):
        ask_wsgi(JWTMiddleware(app, house.auth), Ask().environ)
    assert current.get() is None


def test_a_second_start_without_exc_info_is_the_apps_mistake() -> None:
    """What a server forbids stays forbidden behind the door."""
    # S48
    house = House()

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", list(TEXT))
        start_response("200 OK", list(TEXT))
        return []

    with pytest.raises(AssertionError, match="without exc_info"):
        ask_wsgi(JWTMiddleware(app, house.auth), Ask().environ)


def test_write_is_the_servers_own() -> None:
    """The write() an app gets is what the server's start_response returned."""
    # S48

    def write(data: bytes) -> None:
        """Never called."""

    given: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        given.append(start_response("200 OK", list(TEXT)))
        return []

    JWTMiddleware(app, House().auth)(Ask().environ, lambda *args: write)
    assert given == [write]


# ── A response that is replaced ──────────────────────────────────────────────────────


@pytest.mark.parametrize("app", SHAPES)
@pytest.mark.parametrize("act", [RequestAuth.logout, lambda auth: auth.login("bob")])
def test_a_login_or_logout_that_cannot_be_stored_becomes_503(
    app: Any, act: Callable[[RequestAuth], Any]
) -> None:
    """Whatever shape the body has, nobody is told that something happened which did not."""
    # S45, S48
    house = House()
    pair = house.auth.issue("alice")
    fields = [cookie(access=pair.access_token, refresh=pair.refresh_token)]
    away(house, "create", "revoke")

    def acting(environ: Any, start_response: Any) -> Any:
        act(get_auth(environ))
        return app(environ, start_response)

    answer = through_validators(acting, house, Ask(fields=fields))
    assert (answer.status, answer.reason) == (503, "Service Unavailable")
    assert b"hel" not in answer.body
    assert b"temporarily_unavailable" in answer.body
    assert answer.one("Retry-After")
    assert answer.one("Content-Length") == str(len(answer.body))
    assert answer.all("Set-Cookie") == []
    assert answer.one("Vary") == "Cookie"


@pytest.mark.parametrize("app", SHAPES)
def test_a_complete_body_is_replaced_as_well(app: Any) -> None:
    """A list, which otherwise passes as it is, gives way to the refusal like any other body."""
    # S45, S48

    def acting(environ: Any, start_response: Any) -> Any:
        get_auth(environ).login("bob")
        return app(environ, start_response)

    environ = {**Ask().environ, "wsgi.file_wrapper": FileWrapper}
    answer = ask_wsgi(JWTMiddleware(acting, away(House(), "create").auth), environ)
    assert answer.status == 503
    assert b"hel" not in answer.body
    assert answer.one("Content-Length") == str(len(answer.body)) != "0"


def test_a_replaced_body_is_not_even_begun() -> None:
    """A body whose response was refused before it is asked for is closed unread."""
    # S45, S48
    log: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        get_auth(environ).login("alice")
        start_response("200 OK", list(TEXT))
        return Closing([b"one", b"two"], log)

    assert ask_wsgi(JWTMiddleware(app, away(House(), "create").auth), Ask().environ).status == 503
    assert log == ["close"]


def test_a_late_generator_is_closed_when_its_body_is_replaced() -> None:
    """A generator whose start_response became a 503 is not run on, and is closed once."""
    # S45, S48
    log: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        get_auth(environ).login("alice")
        try:
            log.append("started")
            start_response("200 OK", list(TEXT))
            yield b"one"
            log.append("went on")
            yield b"two"
        finally:
            log.append("closed")

    answer = ask_wsgi(JWTMiddleware(app, away(House(), "create", "revoke").auth), Ask().environ)
    assert answer.status == 503
    assert b"one" not in answer.body
    assert log == ["started", "closed"]


def test_a_late_generator_without_a_body_is_replaced_too() -> None:
    """An app that yields nothing at all still answers with the whole refusal."""
    # S45

    def app(environ: Any, start_response: Any) -> Any:
        get_auth(environ).login("alice")
        start_response("204 No Content", [])
        yield from ()

    answer = ask_wsgi(JWTMiddleware(app, away(House(), "create", "revoke").auth), Ask().environ)
    assert answer.status == 503
    assert answer.one("Content-Length") == str(len(answer.body)) != "0"


def test_restarting_a_replaced_response_keeps_it_replaced() -> None:
    """After a refusal took the place of a response, an error page does not undo that."""
    # S45, S48
    house = away(House(), "create", "revoke")

    def app(environ: Any, start_response: Any) -> Any:
        get_auth(environ).login("alice")
        return restart_app(environ, start_response)

    answer = through_validators(app, house, Ask())
    assert answer.status == 503
    assert len(answer.starts) == 2
    assert b"hello" not in answer.body


# ── Bodies: their identity, laziness and end ─────────────────────────────────────────


@pytest.mark.parametrize("body", [[b"x"], (b"x",), []], ids=["list", "tuple", "empty"])
@pytest.mark.parametrize("signed_in", [False, True])
def test_complete_bodies_pass_as_they_are(body: Any, signed_in: bool) -> None:
    """A list or tuple reaches the server itself, so that it can work out Content-Length."""
    # S48
    house = House()
    ask = expired(house) if signed_in else Ask()

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", list(TEXT))
        return body

    assert JWTMiddleware(app, house.auth)(ask.environ, lambda *args: None) is body
    assert current.get() is None


def test_the_servers_file_wrapper_passes_as_it_is() -> None:
    """A body made by wsgi.file_wrapper reaches the server itself, so that sendfile works."""
    # S48
    made: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", list(TEXT))
        made.append(environ["wsgi.file_wrapper"](io.BytesIO(b"hello")))
        return made[0]

    environ = {**Ask().environ, "wsgi.file_wrapper": FileWrapper}
    body = JWTMiddleware(app, House().auth)(environ, lambda *args: None)
    assert body is made[0]
    assert current.get() is None


def test_a_file_wrapper_that_is_a_function_is_served_all_the_same() -> None:
    """Where wsgi.file_wrapper is a function its result cannot be recognised, and is wrapped."""
    # S48
    environ = {**Ask().environ, "wsgi.file_wrapper": partial(FileWrapper)}
    answer = ask_wsgi(JWTMiddleware(file_app, House().auth), environ)
    assert answer.body == b"hello"


@pytest.mark.parametrize("seen", [0, 1, 2, 3])
def test_a_lazy_body_is_read_as_the_server_reads_it(seen: int) -> None:
    """Nothing is fetched before it is asked for, and nothing ahead."""
    # S48
    log: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", list(TEXT))
        return Closing([b"a", b"b", b"c"], log)

    body = JWTMiddleware(app, House().auth)(Ask().environ, lambda *args: None)
    steps = iter(body)
    assert log == []
    assert [next(steps) for _ in range(seen)] == [b"a", b"b", b"c"][:seen]
    assert log == ["next"] * seen
    body.close()  # type: ignore[attr-defined]
    assert log == ["next"] * seen + ["close"]


def test_a_body_without_close_needs_none() -> None:
    """An iterator that has no close() is iterated and let go."""
    # S48

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", list(TEXT))
        return iter([b"hello"])

    assert ask_wsgi(JWTMiddleware(app, House().auth), Ask().environ).body == b"hello"


def test_close_that_raises_is_not_covered_up() -> None:
    """An exception in the app's close() passes, and the context is clean all the same."""
    # S48

    class Broken(Closing):
        def close(self) -> None:
            raise ZeroDivisionError

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", list(TEXT))
        return Broken([], [])

    with pytest.raises(ZeroDivisionError):
        ask_wsgi(JWTMiddleware(app, House().auth), Ask().environ)
    assert current.get() is None


# ── The context variable ─────────────────────────────────────────────────────────────


def test_get_auth_works_while_the_body_is_made() -> None:
    """Without an argument get_auth() finds the request in the app and in its lazy body."""
    house = House()
    token = house.auth.issue("alice").access_token
    seen: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", list(TEXT))
        for _ in range(2):
            seen.append(get_auth() is environ[AUTH_KEY])
            yield str(get_claims()["sub"]).encode()  # type: ignore[index]

    answer = ask_wsgi(JWTMiddleware(app, house.auth), Ask(fields=[cookie(access=token)]).environ)
    assert (answer.body, seen) == (b"alicealice", [True, True])
    with pytest.raises(MiddlewareNotInstalled):
        get_auth()


def test_get_auth_works_in_the_apps_close() -> None:
    """close() is still the app's: what runs there (teardown, call_on_close) finds the request."""
    seen: list[Any] = []

    class Body(Closing):
        def close(self) -> None:
            seen.append(current.get())

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", list(TEXT))
        seen.append(environ[AUTH_KEY])
        return Body([b"x"], [])

    ask_wsgi(JWTMiddleware(app, House().auth), Ask().environ)
    assert seen == [seen[0], seen[0]]
    assert current.get() is None


@pytest.mark.parametrize("moment", ["before the start", "after the start", "in the body"])
def test_an_exception_leaves_the_context_clean(moment: str) -> None:
    """However the app fails, the next request of this thread starts with nobody in it."""
    # S51, S54
    house = House()

    def body() -> Iterator[bytes]:
        yield b"hello"
        raise ZeroDivisionError

    def app(environ: Any, start_response: Any) -> Any:
        if moment == "before the start":
            raise ZeroDivisionError
        start_response("200 OK", list(TEXT))
        if moment == "after the start":
            raise ZeroDivisionError
        return body()

    ask = expired(house)
    with pytest.raises(ZeroDivisionError):
        ask_wsgi(JWTMiddleware(app, house.auth), ask.environ)
    assert current.get() is None
    # The client did not get an answer, and goes on with what it has.
    answer = ask_wsgi(JWTMiddleware(list_app, house.auth), ask.environ)
    assert sorted(answer.cookies) == NAMES


def test_a_nested_request_gives_the_context_back() -> None:
    """An app that calls another wrapped app is itself again afterwards."""
    # S51
    house = House()
    inner = Through(house)
    token = house.auth.issue("alice").access_token

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", list(TEXT))
        inner.ask("wsgi", Ask(fields=[bearer(token)]))
        return [b"alice" if get_claims() else b"nobody"]

    assert ask_wsgi(JWTMiddleware(app, house.auth), Ask().environ).body == b"nobody"
    assert inner.auth.subject == "alice"


def test_two_bodies_in_one_thread_do_not_mix() -> None:
    """A server that takes turns between two streams shows each its own request."""
    # S51
    house = House()

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", list(TEXT))
        for _ in range(2):
            yield (get_auth().subject or "nobody").encode()

    door = JWTMiddleware(app, house.auth)
    environs = [
        Ask(fields=[bearer(house.auth.issue(name).access_token)]).environ
        for name in ("alice", "bob")
    ]
    bodies = [door(environ, lambda *args: None) for environ in environs]
    turns = [iter(body) for body in bodies]
    said = [next(turn) for turn in (*turns, *turns)]
    for body in bodies:
        body.close()  # type: ignore[attr-defined]
    assert said == [b"alice", b"bob", b"alice", b"bob"]
    assert current.get() is None


def test_a_stream_nobody_closes_is_not_seen_by_the_next_request() -> None:
    """A body that is never closed does not leave its request behind for the thread's next."""
    # S51
    house = House(ignore_paths=["/static"])

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", list(TEXT))
        yield (get_auth(environ).subject or "nobody").encode()

    token = house.auth.issue("alice").access_token
    body = JWTMiddleware(app, house.auth)(Ask(fields=[bearer(token)]).environ, lambda *args: None)
    assert list(body) == [b"alice"]
    left = current.get()
    current.set(None)
    assert left is None


# ── What the app is shown ────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "kind", ["anonymous", "known", "expired", "broken", "ignored", "preflight", "OPTIONS", "HEAD"]
)
def test_planted_slots_are_replaced_on_every_path(kind: str) -> None:
    """Whatever stood in our keys, REMOTE_USER and AUTH_TYPE before is gone, on every path."""
    # S29
    house = House(ignore_paths=["/static"])
    ask = Ask()
    if kind == "known":
        ask.fields = [cookie(access=house.auth.issue("alice").access_token)]
    elif kind == "expired":
        ask = expired(house)
    elif kind == "broken":
        ask.fields = [bearer("broken")]
    elif kind == "ignored":
        ask.path = "/static/app.js"
    elif kind == "preflight":
        ask.method = "OPTIONS"
        ask.fields = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "PUT")]
    elif kind in ("OPTIONS", "HEAD"):
        ask.method = kind
    planted = {
        CLAIMS_KEY: {"sub": "root"},
        AUTH_KEY: "root",
        "REMOTE_USER": "root",
        "AUTH_TYPE": "Basic",
    }
    through = Through(house)
    ask_wsgi(through.wsgi, ask.environ | planted)
    environ = through.places[0]
    signed_in = kind in ("known", "expired")
    assert isinstance(environ[AUTH_KEY], RequestAuth)
    assert environ[CLAIMS_KEY] is environ[AUTH_KEY].claims
    assert environ.get("REMOTE_USER") == ("alice" if signed_in else None)
    assert environ.get("AUTH_TYPE") == ("Bearer" if signed_in else None)
    assert (environ[CLAIMS_KEY] is not None) == signed_in


@pytest.mark.parametrize("later", [0.0, AGES])
@pytest.mark.parametrize("subject", ["alice", "Zoë", "王", "a\r\nb", "🦉"])
def test_remote_user_is_native_text(subject: str, later: float) -> None:
    """REMOTE_USER holds the subject's UTF-8 bytes, each as one character (PEP 3333)."""
    house = House()
    pair = house.auth.issue(subject)
    house.now += later
    through = Through(house)
    fields = [cookie(access=pair.access_token, refresh=pair.refresh_token)]
    through.ask("wsgi", Ask(fields=fields))
    assert through.places[0]["REMOTE_USER"].encode("latin-1").decode() == subject
    assert through.auth.subject == subject


def test_remote_user_is_the_identity_claim() -> None:
    """With another identity_claim it is that claim that names the user."""
    house = House(identity_claim="uid")
    pair = house.auth.issue("7")
    through = Through(house)
    for later in (0.0, AGES):
        house.now += later
        through.ask(
            "wsgi", Ask(fields=[cookie(access=pair.access_token, refresh=pair.refresh_token)])
        )
        assert through.places[-1]["REMOTE_USER"] == "7"


def test_bytes_that_are_no_utf8_do_not_disturb() -> None:
    """Cookies and paths of arbitrary bytes reach the app as they came."""
    # S26
    house = House()
    token = house.auth.issue("alice").access_token
    through = Through(house)
    field = ("Cookie", f"\xff=\xfe; __Host-access_token={token}; \x80")
    answer = through.ask("wsgi", Ask(path="/%ff%fe/%C3%A9", fields=[field]))
    assert answer.status == 200
    assert through.auth.subject == "alice"
    assert through.places[0]["PATH_INFO"] == "/\xff\xfe/\xc3\xa9"
    assert through.auth.request.path == "/\ufffd\ufffd/é"


@pytest.mark.parametrize("missing", ["PATH_INFO", "SCRIPT_NAME", "QUERY_STRING", "RAW_URI"])
def test_what_an_environ_may_leave_out_is_not_needed(missing: str) -> None:
    """PEP 3333 lets a server leave out what is empty."""
    environ = Ask().environ
    del environ[missing]
    assert ask_wsgi(Through(House(required=True, public_paths=["/"])).wsgi, environ).status == 200


@pytest.mark.parametrize(("path", "status"), [("/public/x", 200), ("/private", 401)])
def test_path_rules_look_below_the_mount(path: str, status: int) -> None:
    """public_paths are the app's own paths, wherever it is mounted."""
    # S30
    through = Through(House(required=True, public_paths=["/public"]))
    assert through.ask("wsgi", Ask(mount="/app", path=path)).status == status
    assert through.ask("wsgi", Ask(mount="/public", path=path)).status == status


@pytest.mark.parametrize("key", ["RAW_URI", "REQUEST_URI"])
def test_a_hidden_slash_is_seen_where_the_server_tells(key: str) -> None:
    """Servers show the path as it was sent under one of two names: a rule trusts neither %2f."""
    # S30
    door = Through(House(required=True, public_paths=["/public"])).wsgi
    environ = Ask(path="/public/x").environ
    del environ["RAW_URI"]
    assert ask_wsgi(door, environ | {key: "/public/x?next=%2f"}).status == 200
    assert ask_wsgi(door, environ | {key: "/public%2fx"}).status == 401


def test_a_mount_that_is_not_ascii_is_named_rightly() -> None:
    """SCRIPT_NAME is bytes in text like PATH_INFO: the way back leads to the same page."""
    house = House(required=True, login_url="/login")
    ask = Ask(mount="/m%C3%BC", path="/%C3%BC", fields=[("Accept", "text/html")])
    location = Through(house).ask("wsgi", ask).one("Location")
    assert location == "/login?next=%2Fm%25C3%25BC%2F%25C3%25BC"


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_a_login_page_below_the_mount_is_reached(door: str) -> None:
    """Where the app is mounted, the address browsers are sent to is not itself refused."""
    house = House(required=True, login_url="/app/login")
    ask = Ask(mount="/app", path="/login", fields=[("Accept", "text/html")])
    assert Through(house).ask(door, ask).status == 200


def test_ignored_paths_are_left_alone() -> None:
    """On an ignored path nothing is read, varied or reissued, and acting says why not."""
    # S29, S35
    house = House(ignore_paths=["/static"])
    through = Through(house)
    ask = expired(house, path="/static/app.js")
    verbs = noting(house)
    answer = through.ask("wsgi", ask)
    assert answer.headers == TEXT
    assert verbs == []
    assert through.auth.reason == "ignored"


@pytest.mark.parametrize("kind", ["ignored", "preflight"])
@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_get_auth_finds_an_ignored_request(door: str, kind: str) -> None:
    """The middleware is installed on ignored paths, too: get_auth() does not deny it."""
    # S29
    found: list[Any] = []
    through = Through(
        House(ignore_paths=["/static"]), lambda auth: found.append(current.get() is auth)
    )
    ask = Ask(path="/static")
    if kind == "preflight":
        fields = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "PUT")]
        ask = Ask(method="OPTIONS", fields=fields)
    through.ask(door, ask)
    assert found == [True]
    assert current.get() is None


@pytest.mark.parametrize("required", [False, True])
def test_a_preflight_passes_untouched(required: bool) -> None:
    """A CORS preflight reaches the app with cleared slots and its answer is left alone; where a
    sign-in is required, without content."""
    # S35
    house = House(required=required)
    ask = expired(house, method="OPTIONS")
    ask.fields = [
        *ask.fields,
        ("Origin", "https://a.example"),
        ("Access-Control-Request-Method", "POST"),
    ]
    through = Through(house)
    answer = through.ask("wsgi", ask)
    length = [("Content-Length", "0")] if required else []
    assert (answer.status, answer.headers) == (200, [*TEXT, *length])
    assert answer.body == (b"" if required else b"hello")
    assert through.auth.claims is None
    assert house.event_names == ["login"]


@pytest.mark.parametrize(("method", "status"), [("HEAD", "200 OK"), ("GET", "304 Not Modified")])
def test_no_token_on_head_or_304(method: str, status: str) -> None:
    """A response that caches merge into stored ones carries no token, and nothing rotates."""
    # S36
    house = House()
    through = Through(house, status=status)
    answer = through.ask("wsgi", expired(house, method=method))
    assert through.auth.subject == "alice"
    assert answer.all("Set-Cookie") == []
    assert answer.one("Vary") == "Cookie"
    assert house.store.find("alice", now=house.now)[0].generation == 0


def test_after_the_start_a_handle_is_closed() -> None:
    """In a stream, login() names what to use instead; who is signed in stays readable."""
    # S48

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", list(TEXT))
        with pytest.raises(ResponseStarted, match=r"JWTAuth\.issue"):
            get_auth().login("alice")
        yield b"hello"

    house = House()
    token = house.auth.issue("alice").access_token
    for fields in ([], [bearer(token)]):
        environ = Ask(fields=fields).environ
        assert ask_wsgi(JWTMiddleware(app, house.auth), environ).body == b"hello"


def test_a_confirmation_is_written_behind_the_start() -> None:
    """A token that came back confirms its generation once the response is on its way."""
    # S42
    house = House()
    order: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", list(TEXT))
        return [b"hello"]

    door = JWTMiddleware(app, house.auth)
    fresh = ask_wsgi(door, expired(house).environ).cookies
    confirm = house.store.confirm

    def noted(*args: Any, **options: Any) -> None:
        order.append("confirm")
        confirm(*args, **options)

    house.store.confirm = noted  # type: ignore[method-assign]
    environ = Ask(fields=[("Cookie", f"{NAMES[0]}={fresh[NAMES[0]]}")]).environ
    for _ in range(3):
        list(door(environ, lambda *args: order.append("start")))
    assert order == ["start", "confirm", "start", "start"]
    assert house.store.find("alice", now=house.now)[0].confirmed_generation == 1


def test_an_app_that_sets_our_cookie_wins() -> None:
    """If the app sets one of our cookies, none of ours goes out and nothing is rotated."""
    # S37
    house = House()
    through = Through(house, headers=[("set-cookie", f"{NAMES[0]} =mine; Path=/")])
    answer = through.ask("wsgi", expired(house))
    assert answer.all("Set-Cookie") == [f"{NAMES[0]} =mine; Path=/"]
    assert house.store.find("alice", now=house.now)[0].generation == 0


def test_a_restart_that_sets_our_cookie_wins() -> None:
    """An error page that sets one of our cookies is not given ours beside it."""
    # S37, S48
    house = House()

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", list(TEXT))
        own = [*TEXT, ("Set-Cookie", f"{NAMES[0]}=mine")]
        start_response("500 Oh no", own, (ValueError, ValueError(), None))
        return []

    answer = ask_wsgi(JWTMiddleware(app, house.auth), expired(house).environ)
    assert answer.all("Set-Cookie") == [f"{NAMES[0]}=mine"]


# ── Threads ──────────────────────────────────────────────────────────────────────────


@pytest.mark.race
def test_thirty_two_threads_do_not_see_each_other() -> None:
    """Threads with mixed identities each see their own claims, in the app and in its body."""
    # S51
    house = House()
    barrier = threading.Barrier(32)
    jars = []
    for number in range(32):
        pair = house.auth.issue(f"user{number}")
        kind = number % 4
        jars.append(
            [
                [cookie(access=pair.access_token)],
                [cookie(refresh=pair.refresh_token)],
                [bearer(pair.access_token)],
                [],
            ][kind]
        )

    def app(environ: Any, start_response: Any) -> Any:
        barrier.wait(10)
        first = get_auth().subject
        start_response("200 OK", list(TEXT))
        barrier.wait(10)
        yield str(first).encode()
        barrier.wait(10)
        yield f"={get_auth().subject}={get_auth(environ).subject}".encode()

    door = JWTMiddleware(app, house.auth)

    def one(number: int) -> None:
        for _ in range(3):
            answer = ask_wsgi(door, Ask(fields=jars[number]).environ)
            name = None if number % 4 == 3 else f"user{number}"
            assert answer.body == f"{name}={name}={name}".encode()
            barrier.wait(10)
            assert current.get() is None

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(one, range(32)))


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_a_logout_outlives_the_exception_that_follows_it(door: str) -> None:
    """What escapes the app takes a login back, and never a logout."""
    # S45, S54
    house = House()
    pair = house.auth.issue("alice")

    def act(auth: Any) -> None:
        auth.logout()
        raise ZeroDivisionError

    through = Through(house, act)
    with pytest.raises(ZeroDivisionError):
        through.ask(door, Ask(fields=[cookie(access=pair.access_token)]))
    assert house.row(pair.session_id).revoked


def test_a_logout_outlives_the_exception_of_a_lazy_body() -> None:
    """A generator app raises on its first step, and its logout is stored all the same."""
    # S54
    house = House()
    pair = house.auth.issue("alice")

    def app(environ: Any, start_response: Any) -> Any:
        get_auth(environ).logout()
        raise ZeroDivisionError
        yield b""

    body = JWTMiddleware(app, house.auth)(
        Ask(fields=[cookie(access=pair.access_token)]).environ, lambda *_: None
    )
    with pytest.raises(ZeroDivisionError):
        list(body)
    assert house.row(pair.session_id).revoked


@pytest.mark.parametrize("moment", ["called", "stepped", "closed", "never stepped"])
def test_a_logout_outlives_who_gives_up(moment: str) -> None:
    """What is no ``Exception`` (a timeout of gevent, an exit), and a server that closes a body
    which has not started: the logout is stored all the same."""
    # S54
    house = House()
    pair = house.auth.issue("alice")

    def lazy(auth: Any) -> Iterator[bytes]:
        auth.logout()
        yield b""  # nothing yet, and no start
        raise SystemExit

    def app(environ: Any, start_response: Any) -> Any:
        if moment == "called":
            get_auth(environ).logout()
            raise SystemExit
        if moment == "never stepped":
            get_auth(environ).logout()
        return lazy(get_auth(environ))

    def serve() -> None:
        environ = Ask(fields=[cookie(access=pair.access_token)]).environ
        body: Any = JWTMiddleware(app, house.auth)(environ, lambda *_: None)
        if moment == "never stepped":
            body.close()
            return
        steps = iter(body)
        next(steps)
        if moment == "stepped":
            next(steps)
        steps.close()
        body.close()

    with pytest.raises(SystemExit) if moment in ("called", "stepped") else nullcontext():
        serve()
    assert house.row(pair.session_id).revoked


def test_a_logout_outlives_an_app_that_never_starts() -> None:
    """An app that forgets ``start_response`` breaks its own response, not the logout."""
    # S54
    house = House()
    pair = house.auth.issue("alice")

    def app(environ: Any, start_response: Any) -> Any:
        get_auth(environ).logout()
        return []

    environ = Ask(fields=[cookie(access=pair.access_token)]).environ
    assert list(JWTMiddleware(app, house.auth)(environ, lambda *_: None)) == []
    assert house.row(pair.session_id).revoked


def test_an_exception_that_escapes_is_kept_by_nobody() -> None:
    """With its traceback go all the locals of the request, at once, without a collector."""

    # S54
    class Lost(Exception):
        """One that can be watched."""

    def app(environ: Any, start_response: Any) -> Any:
        raise Lost

    def serve() -> Any:
        try:
            JWTMiddleware(app, House().auth)(Ask().environ, lambda *_: None)
        except Lost as error:
            return weakref.ref(error)

    gc.disable()
    try:
        assert serve()() is None
    finally:
        gc.enable()
