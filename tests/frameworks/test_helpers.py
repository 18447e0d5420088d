"""The helpers in each framework's idiom: who may, who may not, and what those are told."""

from __future__ import annotations

from typing import Annotated, Any

import flask
import pytest
from fastapi import Depends, FastAPI, WebSocket
from pyramid.authorization import Allow, Authenticated, Everyone
from pyramid.config import Configurator
from pyramid.response import Response
from pyramid.security import forget, remember
from starlette.testclient import TestClient
from stepping import House
from through import AGES, Ask, ask_asgi, ask_wsgi, bearer, cookie

from jwt_middleware import Claims, ConfigurationError, RequestAuth, asgi, get_auth, wsgi
from jwt_middleware.frameworks import fastapi as for_fastapi
from jwt_middleware.frameworks.flask import current_claims, require_auth
from jwt_middleware.frameworks.paste import filter_app
from jwt_middleware.frameworks.pyramid import JWTSecurityPolicy

ADMIN = {"roles": ["admin"], "scope": "reports:read"}

# ── What is the same everywhere ──────────────────────────────────────────────────────


def flask_app(house: House) -> Any:
    app = flask.Flask("helpers")

    @app.get("/me")
    @require_auth
    def me() -> Any:
        return {"who": current_claims["sub"]}

    @app.get("/admin")
    @require_auth(roles={"admin"})
    async def admin() -> Any:
        return {"who": current_claims["sub"]}

    @app.get("/reports")
    @require_auth(scopes={"reports:read"})
    def reports() -> Any:
        return {"who": current_claims["sub"]}

    @app.get("/pay")
    @require_auth(max_age="5m")
    def pay() -> Any:
        return {"who": current_claims["sub"]}

    @app.post("/login")
    def login() -> Any:
        get_auth().login("mallory")
        return {}

    @app.get("/open")
    def opened() -> Any:
        return {"signed_in": bool(current_claims)}

    app.wsgi_app = wsgi.JWTMiddleware(app.wsgi_app, house.auth)  # type: ignore[method-assign]
    return app


def fastapi_app(house: House) -> Any:
    api = FastAPI()

    @api.get("/me")
    async def me(claims: Annotated[Claims, Depends(for_fastapi.claims)]) -> Any:
        return {"who": claims["sub"]}

    @api.get("/admin", dependencies=[Depends(for_fastapi.require(roles={"admin"}))])
    async def admin(auth: Annotated[RequestAuth, Depends(for_fastapi.auth)]) -> Any:
        return {"who": auth.subject}

    reports_claims = for_fastapi.require(scopes={"reports:read"})

    @api.get("/reports", dependencies=[Depends(reports_claims)])
    async def reports() -> Any:
        return {"who": "alice"}

    @api.get("/pay", dependencies=[Depends(for_fastapi.require(max_age=300))])
    async def pay() -> Any:
        return {"who": "alice"}

    @api.post("/login")
    def login() -> Any:
        get_auth().login("mallory")
        return {}

    @api.websocket("/socket")
    async def socket(
        websocket: WebSocket, auth: Annotated[RequestAuth, Depends(for_fastapi.auth)]
    ) -> None:
        await websocket.accept()
        await websocket.send_text(str(auth.subject))
        await websocket.close()

    @api.websocket("/news")
    async def news(
        websocket: WebSocket, claims: Annotated[Claims, Depends(for_fastapi.claims)]
    ) -> None:
        await websocket.accept()
        await websocket.send_text(claims["sub"])
        await websocket.close()

    @api.websocket("/control", dependencies=[Depends(for_fastapi.require(roles={"admin"}))])
    async def control(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    return asgi.JWTMiddleware(api, house.auth)


def client_of(framework: str, house: House) -> Any:
    if framework == "flask":
        return flask_app(house).test_client(use_cookies=False)
    return TestClient(
        fastapi_app(house), base_url="https://testserver", raise_server_exceptions=False
    )


def authorization(house: House, claims: dict[str, Any] | None = None) -> dict[str, str]:
    return dict([bearer(house.auth.issue("alice", claims).access_token)])


@pytest.mark.parametrize("framework", ["flask", "fastapi"])
@pytest.mark.parametrize(
    ("path", "anonymous", "plain", "admin"),
    [
        ("/me", 401, 200, 200),
        ("/admin", 401, 403, 200),
        ("/reports", 401, 403, 200),
        ("/pay", 401, 200, 200),
    ],
)
def test_who_may(framework: str, path: str, anonymous: int, plain: int, admin: int) -> None:
    """Nobody gets 401, who may not gets 403, and who may gets in."""  # S33
    house = House()
    client = client_of(framework, house)
    assert client.get(path).status_code == anonymous
    assert client.get(path, headers=authorization(house)).status_code == plain
    answer = client.get(path, headers=authorization(house, ADMIN))
    assert answer.status_code == admin
    assert '"who":"alice"' in answer.text.replace(" ", "")


@pytest.mark.parametrize("framework", ["flask", "fastapi"])
def test_what_they_are_told(framework: str) -> None:
    """The challenges are those of RFC 6750 and RFC 9470, and the answer is not stored."""  # S33
    house = House(access_token_expires=3600)
    client = client_of(framework, house)
    assert client.get("/me").headers["WWW-Authenticate"] == "Bearer"
    assert client.head("/me").status_code in (401, 405)
    broken = client.get("/me", headers={"Authorization": "Bearer broken"})
    assert 'error="invalid_token"' in broken.headers["WWW-Authenticate"]
    signed_in = authorization(house)
    refused = client.get("/reports", headers=signed_in)
    assert refused.headers["WWW-Authenticate"].startswith('Bearer error="insufficient_scope"')
    assert refused.headers["WWW-Authenticate"].endswith('scope="reports:read"')
    assert refused.headers["Cache-Control"] == "no-store"
    house.wait(301)
    stale = client.get("/pay", headers=signed_in)
    assert stale.status_code == 401
    assert 'error="insufficient_user_authentication"' in stale.headers["WWW-Authenticate"]
    assert stale.headers["WWW-Authenticate"].endswith('max_age="300"')


@pytest.mark.parametrize("framework", ["flask", "fastapi"])
def test_a_refusal_carries_new_tokens(framework: str) -> None:
    """Who is refused stays signed in: the expired access token is replaced on the 403, too."""
    # S54
    house = House()
    pair = house.auth.issue("alice")
    house.wait(AGES)
    client = client_of(framework, house)
    name, value = cookie(access=pair.access_token, refresh=pair.refresh_token)
    answer = client.get("/admin", headers={name: value})
    assert answer.status_code == 403
    assert "__Host-access_token=" in str(answer.headers)


@pytest.mark.parametrize("framework", ["flask", "fastapi"])
def test_the_first_mistake_is_explained(framework: str, caplog: pytest.LogCaptureFixture) -> None:
    """As where the middleware itself refuses: the client is told, and once the log is."""
    client = client_of(framework, House())
    for _ in range(2):
        answer = client.get("/me", headers={"Authorization": "JWT a.b.c"})
        assert (answer.status_code, "expects Bearer" in answer.text) == (401, True)
    (told,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "the app expects Bearer and a token" in told.getMessage()


PAGE = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}


@pytest.mark.parametrize("framework", ["flask", "fastapi"])
def test_a_browser_is_sent_to_sign_in(framework: str) -> None:
    """With ``login_url`` a person is shown the login page, and a script is told 401."""
    client = client_of(framework, House(login_url="/login"))
    page = client.get("/me?a=b", headers=PAGE, follow_redirects=False)
    assert (page.status_code, page.headers["Location"]) == (303, "/login?next=%2Fme%3Fa%3Db")
    assert (
        client.get("/me", headers={"Accept": "text/html"} | {"Sec-Fetch-Mode": "cors"}).status_code
        == 401
    )


@pytest.mark.parametrize("framework", ["flask", "fastapi"])
def test_nobody_is_sent_to_sign_in_in_vain(framework: str) -> None:
    """On an ignored path nobody ever is: a way to the login page would lead in circles."""
    client = client_of(framework, House(login_url="/login", ignore_paths=["/me"]))
    assert client.get("/me", headers=PAGE, follow_redirects=False).status_code == 401


@pytest.mark.parametrize("framework", ["flask", "fastapi"])
def test_a_login_caused_by_another_site_is_refused(framework: str) -> None:
    """Where the app has not thought of it, 403 takes the place of its server error."""  # S40
    house = House()
    answer = client_of(framework, house).post("/login", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert '"csrf_refused"' in answer.text
    assert ("csrf_refused", None) in [(event.name, event.subject) for event in house.events]


# ── Flask ────────────────────────────────────────────────────────────────────────────


def test_flask_shows_its_own_error_page() -> None:
    """An ``errorhandler`` of the app is asked, as for any ``abort(401)``."""
    app = flask_app(House())

    @app.errorhandler(401)
    def sign_in_first(error: Any) -> Any:
        return "Sign in first.", 401, {"WWW-Authenticate": error.get_response().www_authenticate}

    answer = app.test_client().get("/me")
    assert (answer.status_code, answer.text) == (401, "Sign in first.")


def test_flask_claims_of_nobody() -> None:
    """``current_claims`` is false when nobody is signed in."""
    house = House()
    client = flask_app(house).test_client()
    assert client.get("/open").json == {"signed_in": False}
    assert client.get("/open", headers=authorization(house)).json == {"signed_in": True}


def test_a_mistake_is_found_where_it_is_written() -> None:
    """A decorator that cannot work fails when the module is imported, not at a request."""
    with pytest.raises(ConfigurationError, match="roles: is 'admin'"):
        require_auth(roles="admin")
    with pytest.raises(ConfigurationError, match=r"@require_auth\('admin'\) names nobody"):
        require_auth("admin")  # type: ignore[type-var]


# ── FastAPI ──────────────────────────────────────────────────────────────────────────


def test_openapi_shows_cookie_or_bearer() -> None:
    """Either of two schemes will do, with the scopes that are needed."""
    client = client_of("fastapi", House())
    document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"] == {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "cookie": {"type": "apiKey", "in": "cookie", "name": "__Host-access_token"},
    }
    paths = document["paths"]
    either = paths["/me"]["get"]["security"]
    assert sorted(either, key=str) == [{"bearer": []}, {"cookie": []}]
    scopes = paths["/reports"]["get"]["security"]
    assert sorted(scopes, key=str) == [{"bearer": ["reports:read"]}, {"cookie": ["reports:read"]}]
    assert paths["/me"]["get"].get("parameters") is None


def test_openapi_shows_the_cookie_of_the_settings() -> None:
    """Told the name in effect, a dependency documents the cookie that there is."""
    settings = House(cookie_secure=False).auth.settings
    api = FastAPI()
    guard = Depends(for_fastapi.require(cookie=settings.access_cookie))
    api.add_api_route("/me", lambda: None, dependencies=[guard])
    schemes = api.openapi()["components"]["securitySchemes"]
    assert schemes["cookie"] == {"type": "apiKey", "in": "cookie", "name": "access_token"}


def test_a_websocket_has_its_handle() -> None:
    """The dependency ``auth`` serves WebSockets, too."""
    house = House()
    client = client_of("fastapi", house)
    with client.websocket_connect("/socket", headers=authorization(house)) as socket:
        assert socket.receive_text() == "alice"


@pytest.mark.parametrize("path", ["/news", "/control"])
def test_a_websocket_for_those_who_may(path: str) -> None:
    """``claims`` and ``require`` open a WebSocket to whom they would open a page."""  # S33, S50
    house = House()
    client = client_of("fastapi", house)
    with client.websocket_connect(path, headers=authorization(house, ADMIN)) as socket:
        if path == "/news":
            assert socket.receive_text() == "alice"
        assert socket.receive()["type"] == "websocket.close"


@pytest.mark.parametrize(
    ("path", "signed_in", "status", "challenge"),
    [
        ("/news", False, 401, "Bearer"),
        ("/control", False, 401, "Bearer"),
        ("/control", True, 403, 'Bearer error="insufficient_scope"'),
    ],
)
def test_a_websocket_is_refused(path: str, signed_in: bool, status: int, challenge: str) -> None:
    """Others are told why instead of an accept, where the server can, and else let down by
    1008, of which it makes a 403."""  # S33, S50
    house = House()
    app = fastapi_app(house)
    fields = list(authorization(house).items()) if signed_in else []
    told = ask_asgi(
        app, Ask(path=path, fields=fields).scope("websocket", "websocket.http.response")
    )
    first, *_ = told.messages
    assert (first["type"], first["status"]) == ("websocket.http.response.start", status)
    assert dict(first["headers"])[b"www-authenticate"].decode().startswith(challenge)
    (closed,) = ask_asgi(app, Ask(path=path, fields=fields).scope("websocket")).messages
    assert (closed["type"], closed["code"]) == ("websocket.close", 1008)


# ── Pyramid ──────────────────────────────────────────────────────────────────────────


class Site:
    """Who may do what."""

    __acl__ = (
        (Allow, Everyone, "look"),
        (Allow, Authenticated, "write"),
        (Allow, "role:admin", "manage"),
        (Allow, "scope:reports:read", "report"),
        (Allow, "bob", "be bob"),
    )

    def __init__(self, request: Any) -> None:
        self.request = request


def pyramid_app(house: House) -> Any:
    def what(request: Any) -> Any:
        permissions = ("look", "write", "manage", "report", "be bob")
        allowed = [name for name in permissions if request.has_permission(name)]
        identity = request.identity and request.identity["sub"]
        return Response(
            json_body=[request.authenticated_userid, identity, request.is_authenticated, allowed]
        )

    def login(request: Any) -> Any:
        headers = remember(request, "alice", claims=ADMIN)
        return Response("welcome", headers=headers)

    def logout(request: Any) -> Any:
        return Response("bye", headers=forget(request))

    with Configurator(root_factory=Site) as config:
        config.set_security_policy(JWTSecurityPolicy())
        for view in (what, login, logout):
            config.add_route(view.__name__, f"/{view.__name__}")
            config.add_view(view, route_name=view.__name__)
        config.add_route("manage", "/manage")
        config.add_view(what, route_name="manage", permission="manage")
    return wsgi.JWTMiddleware(config.make_wsgi_app(), house.auth)


def test_pyramid_permissions() -> None:
    """Access control lists name subjects, roles and scopes; ``remember`` and ``forget`` sign in
    and out."""
    house = House()
    app = pyramid_app(house)

    def ask(path: str, *fields: tuple[str, str], method: str = "GET") -> Any:
        return ask_wsgi(app, Ask(method=method, path=path, fields=fields).environ)

    assert ask("/what").body == b'[null,null,false,["look"]]'
    assert ask("/manage").status == 403
    jar = ask("/login", method="POST").cookies
    known = ("Cookie", "; ".join(f"{name}={value}" for name, value in jar.items()))
    allowed = b'["look","write","manage","report"]'
    assert ask("/manage", known).body == b'["alice","alice",true,' + allowed + b"]"
    plain = bearer(house.auth.issue("bob").access_token)
    assert ask("/what", plain).body == b'["bob","bob",true,["look","write","be bob"]]'
    assert set(ask("/logout", known, method="POST").cookies.values()) == {""}
    assert ask("/what", known).body.startswith(b"[null")


def test_paste_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """A section's options are settings, over those of the environment; a wrong one is named."""
    monkeypatch.setenv("JWT_SECRET_KEY", "s" * 32)
    app = filter_app(lambda environ, start: [], {"here": "/"}, cookie_secure="false")
    assert app.auth.settings.cookie_secure is False
    with pytest.raises(ConfigurationError, match="did you mean JWT_COOKIE_SECURE"):
        filter_app(lambda environ, start: [], {}, cookie_secur="false")
