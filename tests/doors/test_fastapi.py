"""FastAPI and Starlette apps from login to logout, as their users and developers see them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import StreamingResponse
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient, WebSocketDenialResponse
from stepping import House
from through import AGES, bearer

from jwt_middleware import (
    CrossSiteRequest,
    MiddlewareNotInstalled,
    RequestAuth,
    ResponseStarted,
    get_auth,
    get_claims,
)
from jwt_middleware.asgi import JWTMiddleware

ACCESS, REFRESH = "__Host-access_token", "__Host-refresh_token"
HTTPS = "https://testserver"


def get_auth_of(request: Request) -> RequestAuth:
    """As a FastAPI app writes its dependency."""
    return get_auth(request)


def after(late: list[str]) -> None:
    with pytest.raises(ResponseStarted):
        get_auth().logout()
    late.append(str(get_auth().subject))


router = APIRouter()


@router.get("/")
async def who(auth: Annotated[RequestAuth, Depends(get_auth_of)]) -> Any:
    return {"who": auth.subject, "why": auth.reason, "reissued": auth.reissued}


@router.get("/sync")
def sync() -> Any:
    return {"who": get_auth().subject}


@router.post("/login/{name}")
async def login(name: str) -> Any:
    return get_auth().login(name, {"roles": ["buyer"]}).as_dict()


@router.get("/login")
async def login_page() -> Any:
    return "please sign in"


@router.post("/buy")
async def buy(request: Request) -> Any:
    claims = get_claims(request)
    if claims is None:
        raise HTTPException(401)
    return {"who": claims["sub"], "what": (await request.body()).decode()}


@router.get("/broken")
async def broken() -> Any:
    raise ZeroDivisionError


@router.get("/stream")
async def stream(request: Request) -> Any:
    async def lines() -> AsyncIterator[str]:
        for _ in range(3):
            yield f"{get_auth().subject}\n"

    return StreamingResponse(lines(), background=BackgroundTask(after, request.app.state.late))


@router.post("/logout")
async def logout() -> Any:
    get_auth().logout()


@router.post("/logout-everywhere")
def logout_everywhere() -> Any:
    get_auth().logout_everywhere()


async def cross_site(request: Request, error: Exception) -> Any:
    return PlainTextResponse(str(error), CrossSiteRequest.status)


@router.get("/public/page")
async def page() -> Any:
    return "for everybody"


@router.websocket("/chat")
async def chat(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(str(get_auth(socket).subject))
    await socket.close()


class Site:
    """A FastAPI app behind the door, and a house to look behind it."""

    def __init__(self, *, cors: bool = False, **settings: Any) -> None:
        self.house = House(**settings)
        self.late: list[str] = []
        app = FastAPI()
        if cors:
            app.add_middleware(
                CORSMiddleware,
                allow_origins=["https://app.example"],
                expose_headers=["X-Total"],
            )
        app.include_router(router)
        app.add_exception_handler(CrossSiteRequest, cross_site)
        app.state.late = self.late
        self.bare = app
        self.app: Any = JWTMiddleware(app, self.house.auth)

    def browser(self) -> TestClient:
        return TestClient(self.app, base_url=HTTPS, raise_server_exceptions=False)

    def signed_in(self, name: str = "alice") -> TestClient:
        browser = self.browser()
        assert browser.post(f"/login/{name}").status_code == 200
        return browser

    def who(self, browser: TestClient) -> Any:
        return browser.get("/").json()["who"]


def test_a_whole_life() -> None:
    """Login, use, expiry, reissue inside a POST, logout: nobody is ever sent away."""
    # S36, S41, S43
    site = Site()
    browser = site.browser()
    assert browser.get("/").json() == {"who": None, "why": "missing", "reissued": False}
    answer = browser.post("/login/alice")
    assert answer.json()["access_token"] == browser.cookies[ACCESS]
    assert answer.headers["cache-control"] == "no-store"
    first = browser.cookies[ACCESS], browser.cookies[REFRESH]
    assert site.who(browser) == "alice"
    assert browser.get("/sync").json() == {"who": "alice"}
    site.house.now += AGES
    assert browser.post("/buy", content="a kettle").json() == {"who": "alice", "what": "a kettle"}
    second = browser.cookies[ACCESS], browser.cookies[REFRESH]
    assert len({*first, *second}) == 4
    assert browser.post("/logout").status_code == 200
    assert dict(browser.cookies) == {}
    assert site.who(browser) is None
    assert site.house.event_names == ["login", "reissued", "revoked"]


@pytest.mark.parametrize(("path", "status"), [("/broken", 500), ("/nowhere", 404), ("/buy", 405)])
def test_error_pages_keep_the_client_signed_in(path: str, status: int) -> None:
    """Wrapped outermost, error pages of the framework carry the new cookies, too."""
    # S54
    site = Site()
    browser = site.signed_in()
    before = browser.cookies[REFRESH]
    site.house.now += AGES
    assert browser.get(path).status_code == status
    assert browser.cookies[REFRESH] != before
    assert site.who(browser) == "alice"


def test_inside_add_middleware_a_500_loses_nothing() -> None:
    """By add_middleware a 500 outside carries no cookies; phase B never ran, so none is lost."""
    # S54
    site = Site()
    site.bare.add_middleware(JWTMiddleware, site.house.auth)
    site.app = site.bare
    browser = site.signed_in()
    before = browser.cookies[REFRESH]
    site.house.now += AGES
    assert browser.get("/broken").status_code == 500
    assert browser.cookies[REFRESH] == before
    assert site.who(browser) == "alice"
    assert browser.cookies[REFRESH] != before


def test_a_stream_and_its_background_task() -> None:
    """A stream finds its request to the end, and so does what runs after the response."""
    # S49
    site = Site()
    browser = site.signed_in()
    site.house.now += AGES
    before = browser.cookies[ACCESS]
    assert browser.get("/stream").text == "alice\nalice\nalice\n"
    assert browser.cookies[ACCESS] != before
    assert site.late == ["alice"]


def test_logging_out_everywhere() -> None:
    """The other device is out as soon as it needs its refresh token; a third person stays."""
    # S46
    site = Site()
    phone, laptop, other = site.signed_in(), site.signed_in(), site.signed_in("bob")
    site.house.now += 1
    assert phone.post("/logout-everywhere").status_code == 200
    assert site.who(phone) is None
    site.house.now += AGES
    assert site.who(laptop) is None
    assert site.who(other) == "bob"
    assert site.who(site.signed_in()) == "alice"


def test_required_mode_with_public_paths_and_a_login_page() -> None:
    """A browser is shown the login page and knows the way back; an API client gets 401."""
    # S30, S33
    site = Site(required=True, public_paths=["/public"], login_url="/login")
    browser = site.browser()
    html = {"Accept": "text/html,application/xhtml+xml"}
    answer = browser.get("/stream?a=b&c=d", headers=html, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2Fstream%3Fa%3Db%26c%3Dd"
    assert browser.get("/stream", headers=html).text == '"please sign in"'
    assert browser.get("/public/page").json() == "for everybody"
    answer = browser.get("/stream", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["error"] == "unauthorized"
    assert browser.post("/login/alice", headers=html).status_code == 401  # below /login is not it


@pytest.mark.parametrize(
    "planted",
    [
        f"{ACCESS}=stale; {REFRESH}=stale".encode(),
        f"{ACCESS}=a; {ACCESS}=b".encode(),
        f"{REFRESH}=a; {REFRESH}=b".encode(),
        f"{ACCESS}=".encode() + b"\xff\xfe; \x80",
        f"{REFRESH}={'x' * 9000}".encode(),
    ],
)
def test_a_stale_or_foreign_cookie_locks_nobody_out(planted: bytes) -> None:
    """Whatever lies in the jar, public pages open, and signing in again works."""
    # S25, S26
    site = Site(required=True, public_paths=["/public", "/login"])
    browser = site.browser()
    headers = [(b"cookie", planted)]
    assert browser.get("/public/page", headers=headers).status_code == 200
    assert browser.get("/", headers=headers).status_code == 401
    answer = browser.post("/login/alice", headers=headers)
    assert answer.status_code == 200
    assert len(answer.headers.get_list("set-cookie")) == 2


def test_another_site_can_neither_act_nor_sign_anybody_in() -> None:
    """A form on another site is anonymous here, and cannot log a victim in or out."""
    # S40
    site = Site()
    browser = site.signed_in()
    evil = {"Origin": "https://evil.example"}
    assert browser.post("/buy", headers=evil).status_code == 401
    for path in ("/login/mallory", "/logout"):
        answer = browser.post(path, headers=evil)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
    assert site.who(browser) == "alice"


def test_a_websocket_in_a_framework() -> None:
    """A handshake is signed in by the browser's cookies, and its new cookies reach it."""
    # S50
    site = Site(required=True, public_paths=["/login"])
    browser = site.signed_in()
    for later in (0, AGES):
        site.house.now += later
        with browser.websocket_connect("wss://testserver/chat") as socket:
            assert socket.receive_text() == "alice"
    assert site.house.event_names == ["login", "reissued"]
    with (
        pytest.raises(WebSocketDenialResponse) as denied,
        site.browser().websocket_connect("wss://testserver/chat"),
    ):
        pass
    assert denied.value.status_code == 401


def test_a_header_client_gets_headers() -> None:
    """A client that sends headers is answered by headers, which CORS lets its script read."""
    # S38
    site = Site(cors=True)
    pair = site.house.auth.issue("alice")
    site.house.now += AGES
    headers = dict([bearer(pair.access_token), ("X-Refresh-Token", pair.refresh_token)])
    headers["Origin"] = "https://app.example"
    answer = site.browser().get("/", headers=headers)
    assert answer.json() == {"who": "alice", "why": None, "reissued": True}
    assert "set-cookie" not in answer.headers
    exposed = answer.headers["access-control-expose-headers"]
    assert exposed == "X-Total,X-Access-Token,X-Refresh-Token"
    headers = dict([bearer(answer.headers["x-access-token"])])
    answer = site.browser().get("/", headers=headers)
    assert answer.json() == {"who": "alice", "why": None, "reissued": False}
    assert "x-access-token" not in answer.headers


def test_a_preflight_is_answered_by_the_app() -> None:
    """CORS works behind the door in required mode: a preflight never needs a token."""
    # S35
    site = Site(cors=True, required=True)
    headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
    answer = site.browser().options("/", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://app.example"


def test_get_auth_takes_what_starlette_has() -> None:
    """A request, a scope, or nothing: it is the same handle, and request.user is it, too."""

    async def view(request: Any) -> Any:
        found = [get_auth(request), get_auth(), get_auth(request.scope), request.user, request.auth]
        return JSONResponse(all(one is found[0] for one in found))

    app = JWTMiddleware(Starlette(routes=[Route("/", view)]), House().auth)
    assert TestClient(app, base_url=HTTPS).get("/").json() is True


def test_without_the_middleware_get_auth_says_how_to_install_it() -> None:
    """In an app that is not wrapped the message names the line to add."""

    async def view(request: Any) -> Any:
        for argument in (None, request, request.scope, {}, object()):
            with pytest.raises(MiddlewareNotInstalled, match=r"app = JWTMiddleware\(app"):
                get_auth(argument)
        with pytest.raises(MiddlewareNotInstalled):
            get_claims(request)
        return PlainTextResponse("told")

    app = Starlette(routes=[Route("/", view)])
    assert TestClient(app, base_url=HTTPS).get("/").text == "told"


def test_a_planted_slot_is_no_handle() -> None:
    """Something else under our key is not taken for the middleware's word."""
    # S29
    with pytest.raises(MiddlewareNotInstalled):
        get_auth({"jwt_middleware.auth": "root"})


@pytest.mark.parametrize("same", [True, False], ids=["one auth", "two auths"])
def test_wrapping_twice_by_mistake_does_no_harm(same: bool) -> None:
    """Wrapped twice, everything works on, and each cookie still comes exactly once."""
    # S41, S49
    site = Site()
    outer = site.house.auth if same else site.house.other_process().auth
    site.app = JWTMiddleware(site.app, outer)
    browser = site.signed_in()
    site.house.now += AGES
    answer = browser.post("/buy", content="tea")
    assert answer.json()["who"] == "alice"
    names = [value.partition("=")[0] for value in answer.headers.get_list("set-cookie")]
    assert sorted(names) == [ACCESS, REFRESH]
    assert answer.headers.get_list("vary") == ["Cookie"]
    site.house.now += AGES
    assert site.who(browser) == "alice"
    assert browser.post("/logout").status_code == 200
    assert site.who(browser) is None
    assert "reuse" not in site.house.event_names


@pytest.mark.parametrize("same", [True, False], ids=["one auth", "two auths"])
def test_wrapping_twice_sends_each_header_once(same: bool) -> None:
    """A header client is not sent two access tokens in one response, either."""
    # S38
    site = Site()
    outer = site.house.auth if same else site.house.other_process().auth
    site.app = JWTMiddleware(site.app, outer)
    pair = site.house.auth.issue("alice")
    site.house.now += AGES
    headers = dict([bearer(pair.access_token), ("X-Refresh-Token", pair.refresh_token)])
    answer = site.browser().get("/", headers=headers)
    assert answer.json()["who"] == "alice"
    assert len(answer.headers.get_list("x-access-token")) == 1
    assert len(answer.headers.get_list("x-refresh-token")) == 1
