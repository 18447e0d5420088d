"""`jwt_middleware.testing` on the real clients, and its pytest plugin in a pytest of its own."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import django.test
import flask
import httpx
import pytest
import webtest
from django.http import HttpRequest, JsonResponse
from django.test import override_settings
from django.urls import path
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from stepping import SECRET
from werkzeug.test import Client as WerkzeugClient

from jwt_middleware import JWTAuth, asgi, get_auth, wsgi
from jwt_middleware.sessions import Rotation
from jwt_middleware.stores.memory import MemorySessionStore
from jwt_middleware.testing import (
    FakeClock,
    assert_not_reissued,
    assert_reissued,
    expired_token,
    login_as,
    make_token,
    race_tasks,
    race_threads,
)

ROOT = Path(__file__).parents[2]
pytest_plugins = ["pytester"]

PAGE = ROOT / "docs" / "testing.md"
HTTPS = "https://testserver"


def make_auth(**settings: Any) -> JWTAuth:
    settings = {"secret_key": SECRET, "session_store": "memory://", "clock": FakeClock()} | settings
    return JWTAuth(**settings)


def wsgi_app(auth: JWTAuth) -> flask.Flask:
    app = flask.Flask(__name__)

    @app.get("/")
    def index() -> Any:
        return {"you_are": get_auth().subject, "roles": get_auth().roles}

    app.wsgi_app = wsgi.JWTMiddleware(app.wsgi_app, auth)
    return app


def asgi_app(auth: JWTAuth) -> Any:
    def index(request: Request) -> JSONResponse:
        return JSONResponse({"you_are": get_auth().subject, "roles": get_auth().roles})

    return asgi.JWTMiddleware(Starlette(routes=[Route("/", index)]), auth)


class Waiting:
    """httpx's async client, asked from a plain test."""

    def __init__(self, auth: JWTAuth) -> None:
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(asgi_app(auth)), base_url=HTTPS
        )

    def get(self, url: str) -> httpx.Response:
        return asyncio.run(self.client.get(url))


def on_webtest(auth: JWTAuth) -> Any:
    return webtest.TestApp(wsgi_app(auth), extra_environ={"wsgi.url_scheme": "https"})


def on_httpx(auth: JWTAuth) -> httpx.Client:
    return httpx.Client(transport=httpx.WSGITransport(wsgi_app(auth)), base_url=HTTPS)


def django_index(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"you_are": get_auth().subject, "roles": get_auth().roles})


urlpatterns = [path("", django_index)]

CLIENTS: dict[str, Callable[[JWTAuth], Any]] = {
    "flask": lambda auth: wsgi_app(auth).test_client(),
    "werkzeug": lambda auth: WerkzeugClient(wsgi_app(auth).wsgi_app),
    "starlette": lambda auth: TestClient(asgi_app(auth), base_url=HTTPS),
    "httpx": on_httpx,
    "httpx-async": Waiting,
    "webtest": on_webtest,
    "django": lambda _auth: django.test.Client(),
}


def json_of(response: Any) -> Any:
    return response.json() if callable(response.json) else response.json


@pytest.mark.parametrize("kind", CLIENTS)
def test_login_as_signs_in_and_the_session_lives_on(kind: str) -> None:
    """The client is signed in with its claims, and stays so when its access token is reissued."""
    clock = FakeClock()
    auth = make_auth(clock=clock)
    with override_settings(
        ROOT_URLCONF=__name__,
        MIDDLEWARE=["jwt_middleware.frameworks.django.JWTMiddleware"],
        JWT_MIDDLEWARE=auth,
        ALLOWED_HOSTS=["*"],
    ):
        client = CLIENTS[kind](auth)
        held = client.client if isinstance(client, Waiting) else client
        assert json_of(client.get("/"))["you_are"] is None
        login_as(held, "alice", roles=["admin"])
        signed_in = client.get("/")
        assert json_of(signed_in) == {"you_are": "alice", "roles": ["admin"]}
        assert_not_reissued(signed_in)
        clock.move(timedelta(minutes=15))
        for check in (assert_reissued, assert_not_reissued):
            response = client.get("/")
            assert json_of(response)["you_are"] == "alice"
            check(response)
    assert len(auth.sessions("alice")) == 1


def test_login_as_takes_a_pair_and_another_auth() -> None:
    """What was issued by hand is put into the client; an auth that is named is not looked for."""
    auth = make_auth()
    client = httpx.Client(base_url=HTTPS)
    pair = login_as(client, auth.issue("bob", remember=False), auth=auth)
    assert client.cookies[auth.settings.access_cookie] == pair.access_token
    with pytest.raises(TypeError, match="give them to issue"):
        login_as(client, pair, auth=auth, roles=["admin"])


def test_clients_that_would_not_send_the_cookies_are_refused() -> None:
    """Plain http with Secure cookies, another domain, and apps without cookies are told so."""
    auth = make_auth()
    with pytest.raises(ValueError, match="base_url"):
        login_as(TestClient(asgi_app(auth)), "alice")
    with pytest.raises(ValueError, match=r"wsgi\.url_scheme"):
        login_as(webtest.TestApp(wsgi_app(auth)), "alice")
    with pytest.raises(ValueError, match=r"cookie_domain is 'example\.org'"):
        login_as(TestClient(asgi_app(make_auth(cookie_domain="example.org")), HTTPS), "alice")
    with pytest.raises(ValueError, match="Authorization header"):
        login_as(TestClient(asgi_app(make_auth(token_location=["headers"])), HTTPS), "alice")
    plain = make_auth(cookie_secure=False)
    client = TestClient(asgi_app(plain))
    login_as(client, "alice")
    assert client.get("/").json()["you_are"] == "alice"


def test_what_is_unknown_is_named() -> None:
    """An unknown client is told which are known; an app without us, how to name the auth."""
    with pytest.raises(
        TypeError, match=r"builtins\.dict\. It knows .*webtest\.TestApp.*make_token"
    ):
        login_as({}, "alice")
    nobody: Any = 5
    with pytest.raises(TypeError, match=r"subject .* not int"):
        login_as(wsgi_app(make_auth()).test_client(), nobody)
    with pytest.raises(LookupError, match="auth="):
        login_as(flask.Flask(__name__).test_client(), "alice")

    class Endless:
        @property
        def app(self) -> Endless:
            return Endless()

    with pytest.raises(LookupError, match="Endless"):
        make_token(Endless())


def test_tokens_for_headers() -> None:
    """A made token opens the app with its claims; an expired one does not, and stores nothing."""
    auth = make_auth(leeway=30)
    client = wsgi_app(auth).test_client()

    def answer(token: str) -> Any:
        return client.get("/", headers={"Authorization": f"Bearer {token}"}).json

    token = make_token(client, "alice", {"roles": ["ops"]})
    assert answer(token) == {"you_are": "alice", "roles": ["ops"]}
    assert [session.subject for session in auth.sessions("alice")] == ["alice"]
    old = expired_token(auth, "bob", roles=["ops"])
    assert answer(old)["you_are"] is None
    assert auth.flow.parts.tokens.read_access(old, now=auth.clock()).subject == "bob"
    assert auth.sessions("bob") == []


def test_the_clock_goes_forward_only() -> None:
    """It moves by seconds and timedeltas, and refuses what is no number, not finite or negative."""
    clock = FakeClock(1000)
    clock.move(1.5)
    clock.move(timedelta(minutes=1))
    assert clock() == clock.now == 1061.5
    wrong: list[Any] = ["1", True, None]
    for given in wrong:
        with pytest.raises(TypeError, match="number of seconds"):
            clock.move(given)
    for given in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="finite"):
            clock.move(given)
    with pytest.raises(ValueError, match="forward"):
        clock.move(-1)


def test_assertions_say_what_was_seen() -> None:
    """Headers count as cookies do; names are in the messages, and tokens never are."""
    auth = make_auth()
    token = make_token(auth)
    in_header = httpx.Response(200, headers={"X-Access-Token": token})
    assert_reissued(in_header)
    with pytest.raises(AssertionError, match="x-access-token") as caught:
        assert_not_reissued(in_header)
    assert token not in str(caught.value)
    with pytest.raises(AssertionError, match=r"status 401.*cookies set: theirs"):
        assert_reissued(httpx.Response(401, headers={"Set-Cookie": "theirs=1; Path=/"}))
    for wrong in ("text", object()):
        with pytest.raises(TypeError, match="response"):
            assert_reissued(wrong)


class Hasty(MemorySessionStore):
    """A store that moves a row twice where it was asked to once."""

    def rotate(self, session_id: str, **changes: Any) -> Rotation:
        moved = super().rotate(session_id, **changes)
        if moved.won:
            again = {"expected": changes["generation"], "generation": changes["generation"] + 1}
            return super().rotate(session_id, **changes | again)
        return moved


@pytest.mark.parametrize("location", ["cookies", "headers"])
def test_races_are_won(location: str) -> None:
    """Over threads and over tasks, in cookies and in headers, a good store keeps order."""
    auth = make_auth(token_location=[location])
    race_threads(auth, 8)
    asyncio.run(race_tasks(auth, 8))


def test_a_race_that_is_lost_says_how() -> None:
    """A store that rotates more than once is found out, and the figures are told."""
    with pytest.raises(AssertionError, match=r"of 4 presenters .* rotated \[2\] times"):
        race_threads(make_auth(session_store=Hasty()), 4)


def test_a_race_in_which_nothing_is_handed_out_is_lost() -> None:
    """Presenters that are signed in and get no new token at all are told of as well."""

    class Away(MemorySessionStore):
        def rotate(self, *args: Any, **named: Any) -> Any:
            raise OSError

    with pytest.raises(AssertionError, match="0 different successors"):
        race_threads(make_auth(session_store=Away()), 2)


def test_races_that_cannot_be_run_are_refused() -> None:
    """One presenter is no race, a thousand are a load test, and a stateless app rotates nothing."""
    wrong: list[Any] = [1, 1000, True, "8"]
    for presenters in wrong:
        with pytest.raises(ValueError, match="presenters"):
            race_threads(make_auth(), presenters)
    with pytest.raises(ValueError, match="nothing is rotated"):
        asyncio.run(race_tasks(make_auth(session_store="none")))


def test_the_plugin_is_light() -> None:
    """Where it is installed, pytest loads one small file, and neither us nor a framework."""
    code = "import pytest, sys, jwt_middleware_pytest; print(*sys.modules)"
    run = [sys.executable, "-c", code]
    loaded = subprocess.run(run, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60)
    tops = {name.partition(".")[0] for name in loaded.stdout.split()}
    assert "jwt_middleware_pytest" in tops
    assert tops & {"jwt_middleware", "jwt", "werkzeug", "django", "flask", "starlette"} == set()


def test_the_page_runs_with_the_installed_plugin(pytester: pytest.Pytester) -> None:
    """docs/testing.md is one test file, and pytest finds the fixture by the entry point."""
    blocks = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    pytester.makepyfile("\n".join(blocks))
    result = pytester.runpytest_subprocess("-p", "no:hypothesispytest")
    result.assert_outcomes(passed=5)
