"""A Flask app from login to logout, as its users and its developer see it."""

from __future__ import annotations

import warnings
from typing import Any

import flask
import pytest
from stepping import SECRET, House
from through import AGES, bearer

from jwt_middleware import (
    CrossSiteRequest,
    MiddlewareNotInstalled,
    Settings,
    get_auth,
    get_claims,
)
from jwt_middleware.wsgi import JWTMiddleware

ACCESS, REFRESH = "__Host-access_token", "__Host-refresh_token"
HTTPS = "https://localhost"


shop = flask.Blueprint("shop", __name__)


@shop.get("/")
def who() -> Any:
    auth = get_auth()
    return {"who": auth.subject, "why": auth.reason, "reissued": auth.reissued}


@shop.post("/login")
def login() -> Any:
    return get_auth().login(flask.request.form["name"], {"roles": ["buyer"]}).as_dict()


@shop.get("/login")
def login_page() -> Any:
    return "please sign in"


@shop.post("/buy")
def buy() -> Any:
    claims = get_claims(flask.request)
    if claims is None:
        flask.abort(401)
    return {"who": claims["sub"], "roles": claims["roles"], "what": flask.request.data.decode()}


@shop.post("/promote")
def promote() -> Any:
    get_auth().update({"roles": ["admin"]})
    return "", 204


@shop.get("/broken")
def broken() -> Any:
    raise ZeroDivisionError


@shop.get("/stream")
def stream() -> Any:
    def lines() -> Any:
        for _ in range(3):
            yield f"{get_auth().subject}\n"

    return flask.Response(lines(), mimetype="text/plain")


@shop.post("/logout")
def logout() -> Any:
    get_auth().logout()
    return "bye"


@shop.post("/logout-everywhere")
def logout_everywhere() -> Any:
    get_auth().logout_everywhere()
    return "", 204


@shop.get("/four-ways")
def four_ways() -> Any:
    request: Any = flask.request
    found = [
        get_auth(),
        get_auth(request),
        get_auth(request.environ),
        get_auth(request._get_current_object()),
    ]
    assert all(one is found[0] for one in found)
    assert get_claims() is get_claims(request) is found[0].claims
    return str(request.remote_user)


@shop.get("/public/page")
def page() -> Any:
    return "for everybody"


@shop.app_errorhandler(CrossSiteRequest)
def cross_site(error: CrossSiteRequest) -> Any:
    return str(error), error.status


class Site:
    """A Flask app behind the door, and a house to look behind it."""

    def __init__(self, **settings: Any) -> None:
        self.house = House(**settings)
        self.app = flask.Flask("shop")
        self.app.config["PROPAGATE_EXCEPTIONS"] = False
        self.app.register_blueprint(shop)
        self.wrap(self.house)

    def wrap(self, house: House) -> None:
        inner: Any = self.app.wsgi_app
        self.app.wsgi_app = JWTMiddleware(inner, house.auth)  # type: ignore[method-assign]

    def browser(self) -> Any:
        return self.app.test_client()

    def signed_in(self, name: str = "alice") -> Any:
        browser = self.browser()
        assert browser.post("/login", data={"name": name}, base_url=HTTPS).status_code == 200
        return browser

    def who(self, browser: Any) -> Any:
        return browser.get("/", base_url=HTTPS).json["who"]


def token(browser: Any, name: str) -> str | None:
    cookie = browser.get_cookie(name)
    return None if cookie is None else cookie.value


def test_a_whole_life() -> None:
    """Login, use, expiry, reissue inside a POST, update, logout: nobody is ever sent away."""
    # S36, S41, S43
    site = Site()
    browser = site.browser()
    assert browser.get("/", base_url=HTTPS).json == {
        "who": None,
        "why": "missing",
        "reissued": False,
    }
    answer = browser.post("/login", data={"name": "alice"}, base_url=HTTPS)
    assert answer.json["access_token"] == token(browser, ACCESS)
    assert answer.headers["Cache-Control"] == "no-store"
    first = token(browser, ACCESS), token(browser, REFRESH)
    assert site.who(browser) == "alice"
    site.house.now += AGES
    answer = browser.post("/buy", data=b"a kettle", base_url=HTTPS)
    assert answer.json == {"who": "alice", "roles": ["buyer"], "what": "a kettle"}
    second = token(browser, ACCESS), token(browser, REFRESH)
    assert len({*first, *second, None}) == 5
    assert browser.post("/promote", base_url=HTTPS).status_code == 204
    answer = browser.post("/buy", data=b"the shop", base_url=HTTPS)
    assert answer.json["roles"] == ["admin"]
    assert browser.post("/logout", base_url=HTTPS).status_code == 200
    assert token(browser, ACCESS) is token(browser, REFRESH) is None
    assert site.who(browser) is None
    assert site.house.event_names == ["login", "reissued", "revoked"]


@pytest.mark.parametrize(("path", "status"), [("/broken", 500), ("/nowhere", 404)])
def test_error_pages_keep_the_client_signed_in(path: str, status: int) -> None:
    """Wrapped outermost, error pages of the framework carry the new cookies, too."""
    # S54
    site = Site()
    browser = site.signed_in()
    before = token(browser, REFRESH)
    site.house.now += AGES
    assert browser.get(path, base_url=HTTPS).status_code == status
    assert token(browser, REFRESH) != before
    assert site.who(browser) == "alice"


def test_a_stream_carries_the_cookies_and_knows_who_it_is_for() -> None:
    """A generator's response is reissued at its start and finds its request to the end."""
    # S48
    site = Site()
    browser = site.signed_in()
    site.house.now += AGES
    before = token(browser, ACCESS)
    answer = browser.get("/stream", base_url=HTTPS)
    assert answer.data == b"alice\nalice\nalice\n"
    assert token(browser, ACCESS) != before
    with pytest.raises(MiddlewareNotInstalled):
        get_auth()


def test_logging_out_everywhere() -> None:
    """The other device is out as soon as it needs its refresh token; a third person stays."""
    # S46
    site = Site()
    phone, laptop, other = site.signed_in(), site.signed_in(), site.signed_in("bob")
    site.house.now += 1
    assert phone.post("/logout-everywhere", base_url=HTTPS).status_code == 204
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
    answer = browser.get("/stream?a=b&c=d", headers=html, base_url=HTTPS)
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/login?next=%2Fstream%3Fa%3Db%26c%3Dd"
    assert browser.get("/login", headers=html, base_url=HTTPS).data == b"please sign in"
    assert browser.get("/public/page", base_url=HTTPS).data == b"for everybody"
    answer = browser.get("/stream", base_url=HTTPS)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert answer.json["error"] == "unauthorized"
    assert browser.post("/login", data={"name": "alice"}, base_url=HTTPS).status_code == 200
    assert browser.get("/stream", base_url=HTTPS).data.startswith(b"alice")


@pytest.mark.parametrize(
    "planted",
    [
        f"{ACCESS}=stale; {REFRESH}=stale",
        f"{ACCESS}=a; {ACCESS}=b",
        f"{REFRESH}=a; {REFRESH}=b",
        f"{ACCESS}=\xff\xfe; \x80",
        f"{ACCESS}=eyJhbGciOiJub25lIn0.e30.; x=y",
        f"{REFRESH}={'x' * 9000}",
    ],
)
def test_a_stale_or_foreign_cookie_locks_nobody_out(planted: str) -> None:
    """Whatever lies in the jar, public pages open, and signing in again works."""
    # S25
    site = Site(required=True, public_paths=["/public", "/login"])
    browser = site.app.test_client(use_cookies=False)
    headers = {"Cookie": planted}
    assert browser.get("/public/page", headers=headers, base_url=HTTPS).status_code == 200
    assert browser.get("/", headers=headers, base_url=HTTPS).status_code == 401
    answer = browser.post("/login", headers=headers, data={"name": "alice"}, base_url=HTTPS)
    assert answer.status_code == 200
    assert len(answer.headers.getlist("Set-Cookie")) == 2


def test_another_site_can_neither_act_nor_sign_anybody_in() -> None:
    """A form on another site is anonymous here, and cannot log a victim in or out."""
    # S40
    site = Site()
    browser = site.signed_in()
    evil = {"Origin": "https://evil.example"}
    assert browser.post("/buy", headers=evil, base_url=HTTPS).status_code == 401
    for path in ("/login", "/logout"):
        answer = browser.post(path, headers=evil, data={"name": "mallory"}, base_url=HTTPS)
        assert answer.status_code == 403
        assert answer.headers.getlist("Set-Cookie") == []
    assert site.who(browser) == "alice"


def test_get_auth_takes_what_flask_has() -> None:
    """The proxy, the request behind it, its environ, or nothing: it is the same handle."""
    site = Site()
    assert site.signed_in().get("/four-ways", base_url=HTTPS).data == b"alice"


def test_without_the_middleware_get_auth_says_how_to_install_it() -> None:
    """In an app that is not wrapped, and in test_request_context, the message names the line."""
    app = flask.Flask("bare")

    @app.get("/")
    def view() -> Any:
        for argument in (None, flask.request, flask.request.environ):
            with pytest.raises(MiddlewareNotInstalled, match=r"app\.wsgi_app = JWTMiddleware"):
                get_auth(argument)
        with pytest.raises(MiddlewareNotInstalled):
            get_claims()
        return "told"

    assert app.test_client().get("/").data == b"told"
    with Site().app.test_request_context("/"), pytest.raises(MiddlewareNotInstalled):
        get_auth(flask.request)


def test_the_context_of_one_client_is_not_left_to_the_next() -> None:
    """A stream the test client never reads to its end leaves nobody behind in this thread."""
    # S51
    site = Site()
    browser = site.signed_in()
    answer = browser.get("/stream", base_url=HTTPS, buffered=False)
    try:
        with pytest.raises(MiddlewareNotInstalled):
            get_auth()
    finally:
        answer.close()


def test_teardown_still_knows_the_request() -> None:
    """What Flask runs when the response is closed (call_on_close) is part of the request."""
    # S48
    site = Site()
    seen: list[Any] = []

    @site.app.after_request
    def later(response: Any) -> Any:
        response.call_on_close(lambda: seen.append(get_auth().subject))
        return response

    site.signed_in().get("/", base_url=HTTPS).close()
    assert seen == ["alice"]


# ── Clients without cookies ──────────────────────────────────────────────────────────


def test_a_header_client_gets_headers() -> None:
    """A client that sends headers is answered by headers, which CORS lets its script read."""
    # S38
    site = Site()

    @site.app.after_request
    def cors(response: Any) -> Any:
        response.headers["Access-Control-Allow-Origin"] = "https://app.example"
        response.headers["Access-Control-Expose-Headers"] = "X-Total"
        return response

    client = site.app.test_client(use_cookies=False)
    pair: Any = client.post("/login", data={"name": "alice"}, base_url=HTTPS).json
    site.house.now += AGES
    headers = dict([bearer(pair["access_token"])]) | {"X-Refresh-Token": pair["refresh_token"]}
    answer = client.get("/", headers=headers, base_url=HTTPS)
    assert answer.json == {"who": "alice", "why": None, "reissued": True}
    assert answer.headers.getlist("Set-Cookie") == []
    exposed = answer.headers["Access-Control-Expose-Headers"]
    assert exposed == "X-Total,X-Access-Token,X-Refresh-Token"
    headers = dict([bearer(answer.headers["X-Access-Token"])])
    answer = client.get("/", headers=headers, base_url=HTTPS)
    assert answer.json == {"who": "alice", "why": None, "reissued": False}
    assert "X-Access-Token" not in answer.headers
    assert answer.headers["Access-Control-Expose-Headers"] == "X-Total"


# ── Mistakes ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("same", [True, False], ids=["one auth", "two auths"])
def test_wrapping_twice_by_mistake_does_no_harm(same: bool) -> None:
    """Wrapped twice, everything works on, and each cookie still comes exactly once."""
    # S41, S48
    site = Site()
    site.wrap(site.house if same else site.house.other_process())
    browser = site.signed_in()
    site.house.now += AGES
    answer = browser.post("/buy", data=b"tea", base_url=HTTPS)
    assert answer.json["who"] == "alice"
    names = [value.partition("=")[0] for value in answer.headers.getlist("Set-Cookie")]
    assert sorted(names) == [ACCESS, REFRESH]
    assert answer.headers["Vary"] == "Cookie"
    site.house.now += AGES
    assert site.who(browser) == "alice"
    assert browser.post("/logout", base_url=HTTPS).status_code == 200
    assert site.who(browser) is None
    assert "reuse" not in site.house.event_names


@pytest.mark.parametrize("same", [True, False], ids=["one auth", "two auths"])
def test_wrapping_twice_sends_each_header_once(same: bool) -> None:
    """A header client is not sent two access tokens in one response, either."""
    # S38
    site = Site()
    site.wrap(site.house if same else site.house.other_process())
    pair = site.house.auth.issue("alice")
    site.house.now += AGES
    headers = dict([bearer(pair.access_token)]) | {"X-Refresh-Token": pair.refresh_token}
    answer = site.browser().get("/", headers=headers, base_url=HTTPS)
    assert answer.json["who"] == "alice"
    assert len(answer.headers.getlist("X-Access-Token")) == 1
    assert len(answer.headers.getlist("X-Refresh-Token")) == 1


def test_webtest_under_its_lint_has_no_complaint() -> None:
    """WebTest, whose lint is stricter than the standard library's, goes through a life, too."""
    # S48
    with warnings.catch_warnings(action="ignore"):  # WebOb, beneath it, imports cgi
        from webtest import TestApp

    site = Site()
    client = TestApp(site.app, extra_environ={"wsgi.url_scheme": "https", "HTTP_HOST": "localhost"})
    client.post("/login", {"name": "alice"})
    assert client.get("/").json["who"] == "alice"
    site.house.now += AGES
    assert client.get("/").json == {"who": "alice", "why": None, "reissued": True}
    assert client.get("/stream").text == "alice\nalice\nalice\n"
    client.post("/logout")
    assert client.get("/").json["who"] is None


def test_settings_come_from_the_apps_config() -> None:
    """One configuration for a Flask app: app.config, through Settings.from_mapping."""
    app = flask.Flask("configured")
    app.config |= {"JWT_SECRET_KEY": SECRET, "JWT_SESSION_STORE": "memory://", "JWT_REQUIRED": True}
    settings = Settings.from_mapping(app.config)
    app.wsgi_app = JWTMiddleware(app.wsgi_app, settings)  # type: ignore[method-assign]
    assert app.test_client().get("/", base_url=HTTPS).status_code == 401
