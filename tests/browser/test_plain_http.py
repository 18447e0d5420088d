"""What a real browser makes of `Secure` cookies without https, as the README says it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from browser.chromium import chromium
from selenium.webdriver import Chrome
from stepping import SECRET
from werkzeug.serving import make_server

from jwt_middleware.handle import AUTH_KEY, RequestAuth
from jwt_middleware.wsgi import JWTMiddleware


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Says who is there; `/login` signs in."""
    auth: RequestAuth = environ[AUTH_KEY]
    if environ["PATH_INFO"] == "/login":
        auth.login("alice")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"You are {auth.subject or 'nobody'}.".encode()]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where the app, with the cookies it has by default, is served by plain http."""
    wrapped = JWTMiddleware(app, secret_key=SECRET, session_store="memory://")
    server = make_server("127.0.0.1", 0, wrapped, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.port
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture(scope="module")
def browser(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


def read(browser: Chrome, url: str) -> str:
    browser.get(url)
    return browser.find_element("css selector", "body").text


@pytest.mark.parametrize(
    ("host", "there"),
    [("localhost", "alice"), ("127.0.0.1", "alice"), ("app.example.com", "nobody")],
)
def test_secure_cookies_over_plain_http(browser: Chrome, port: int, host: str, there: str) -> None:
    """Chromium keeps cookies named `__Host-` for this machine, and for no other host name."""
    assert read(browser, f"http://{host}:{port}/login") == "You are alice."
    assert {one["name"] for one in browser.get_cookies()} == (
        {"__Host-access_token", "__Host-refresh_token"} if there == "alice" else set()
    )
    assert read(browser, f"http://{host}:{port}/") == f"You are {there}."
