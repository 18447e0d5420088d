"""Pyramid, wrapped by hand and as a filter in paste's configuration."""

from __future__ import annotations

from tempfile import NamedTemporaryFile
from typing import Any

from paste.deploy import loadapp
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from jwt_middleware import JWTAuth, get_auth
from jwt_middleware.wsgi import JWTMiddleware
from sites import Broken, Site, Work, sign_in, subjects, told


def site(work: Work) -> Any:
    def who(request: Request) -> Any:
        return Response(json_body=told(request))

    def login(request: Request) -> Any:
        sign_in(request)
        return Response("welcome")

    def logout(request: Request) -> Any:
        get_auth(request).logout()
        return Response("bye")

    def broken(request: Request) -> Any:
        raise Broken

    def stream(request: Request) -> Any:
        return Response(app_iter=subjects())

    def later(request: Request) -> Any:
        work.enqueue()
        return Response("soon")

    def sorry(error: Exception, request: Request) -> Any:
        return Response("sorry", status=500)

    with Configurator() as config:
        for view in (who, login, logout, broken, stream, later):
            config.add_route(view.__name__, f"/{view.__name__}")
            config.add_view(view, route_name=view.__name__)
        config.add_exception_view(sorry, context=Broken)
    return config.make_wsgi_app()


def wrapped(auth: JWTAuth, work: Work) -> Any:
    return JWTMiddleware(site(work), auth)


PIPELINE = """
[filter:jwt]
use = egg:jwt-session-middleware
secret_key = the secret of an .ini file, 32 bytes and more
session_store = memory://

[app:site]
use = call:sites.pyramid_site:from_a_section

[pipeline:main]
pipeline = jwt site
"""


def from_a_section(global_conf: dict[str, str]) -> Any:
    """What ``paste.app_factory`` asks for; the work is that of the next pipeline."""
    return site(awaited.pop())


awaited: list[Work] = []


def in_a_pipeline(auth: JWTAuth, work: Work) -> Any:
    awaited.append(work)
    with NamedTemporaryFile("w", suffix=".ini", encoding="utf-8") as file:
        file.write(PIPELINE)
        file.flush()
        loaded = loadapp(f"config:{file.name}")
    assert isinstance(loaded, JWTMiddleware)
    # What paste cannot give: the clock and the store of the test.
    return JWTMiddleware(loaded.app, auth)


SITES = [Site("pyramid", "wsgi", wrapped), Site("pyramid-paste", "wsgi", in_a_pipeline)]
