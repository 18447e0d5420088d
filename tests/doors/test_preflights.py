"""A CORS preflight, which anybody can send, at views that answer every method alike."""

from __future__ import annotations

from typing import Any

import pytest
from pyramid.config import Configurator
from pyramid.response import Response
from stepping import House
from through import Ask, Through, ask_asgi, ask_wsgi

from jwt_middleware import Rule, asgi, wsgi

DOORS = pytest.mark.parametrize("door", ["wsgi", "asgi"])
GUARDED = [{"required": True}, {"rules": [Rule("/", methods={"GET"})]}]
PREFLIGHT = Ask(
    method="OPTIONS",
    fields=[("Origin", "https://a.example"), ("Access-Control-Request-Method", "GET")],
)
CORS = [("Access-Control-Allow-Origin", "*"), ("Content-Length", "5"), ("ETag", '"5"')]


@DOORS
@pytest.mark.parametrize("settings", GUARDED, ids=["required", "rules"])
def test_no_content_where_a_sign_in_is_asked_for(door: str, settings: Any) -> None:
    """The app answers as nobody, and of its answer the header alone goes out."""  # S35
    through = Through(House(**settings), headers=CORS)
    answer = through.ask(door, PREFLIGHT)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.one("Access-Control-Allow-Origin") == "*"
    assert answer.one("Content-Length") == "0"
    assert answer.one("ETag") is None
    assert through.auth.reason == "ignored"


@DOORS
def test_elsewhere_it_is_left_alone(door: str) -> None:
    """Where nobody has to sign in, content is for everybody."""  # S35
    answer = Through(House(), headers=CORS).ask(door, PREFLIGHT)
    assert (answer.body, answer.one("Content-Length")) == (b"hello", "5")


@DOORS
def test_an_answer_that_has_no_content(door: str) -> None:
    """As most apps answer a preflight: nothing is said of a length."""  # S35
    answer = Through(House(required=True), status="204 No Content").ask(door, PREFLIGHT)
    assert (answer.status, answer.one("Content-Length")) == (204, None)


def test_a_view_for_every_method() -> None:
    """Pyramid's views are, unless they say otherwise."""  # S35
    config = Configurator()
    config.add_route("page", "/")
    config.add_view(lambda _request: Response("the page"), route_name="page")
    bare = config.make_wsgi_app()
    assert ask_wsgi(bare, PREFLIGHT.environ).body == b"the page"
    app = wsgi.JWTMiddleware(bare, House(required=True).auth)
    assert ask_wsgi(app, PREFLIGHT.environ).body == b""


def test_a_lazy_app() -> None:
    """A generator is run up to its first step, and closed."""  # S35, S48
    ended: list[bool] = []

    def endless(_environ: Any, start_response: Any) -> Any:
        try:
            write = start_response("200 OK", [("Content-Type", "text/plain")])
            write(b"content")
            while True:
                yield b"more"
        finally:
            ended.append(True)

    app = wsgi.JWTMiddleware(endless, House(required=True).auth)
    assert ask_wsgi(app, PREFLIGHT.environ).body == b""
    assert ended == [True]


def test_an_app_that_sends_in_parts() -> None:
    """One empty body goes out, however many the app sends, and no trailers."""  # S35, S49
    parts: list[Any] = [
        {"type": "http.response.start", "status": 200, "trailers": True},
        {"type": "http.response.body", "body": b"content", "more_body": True},
        {"type": "http.response.body", "body": b"more"},
        {"type": "http.response.trailers", "headers": []},
    ]

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for part in parts:
            await send(part)

    answer = ask_asgi(asgi.JWTMiddleware(app, House(required=True).auth), PREFLIGHT.scope())
    assert [message["type"] for message in answer.messages] == [
        "http.response.start",
        "http.response.body",
    ]
    assert answer.body == b""
