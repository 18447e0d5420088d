"""Whatever spelling of a path leads a framework to a view, the rule for the view is asked.

Each framework routes in its own way. What a server hands on for ``GET admin``, for
``GET http://host/admin`` and for bytes that are no UTF-8 is as the servers do it that were tried:
gunicorn, waitress, hypercorn, uvicorn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pyramid.config import Configurator
from pyramid.response import Response
from sites import Site, Work
from staying import staying
from stepping import House
from test_behaviour import SITES
from through import Answer, Ask, ask_asgi, ask_wsgi

from jwt_middleware import Rule
from jwt_middleware.wsgi import JWTMiddleware

SPELLINGS = [
    "/who",
    "/who/",
    "/wh%6f",
    "//who",
    "/./who",
    "/x/../who",
    "/public/../who",
    "/public/%2e%2e/who",
    "/public/..%2fwho",
    "/public/..;/who",
    "/who;x=1",
    "/%5cwho",
    "/who%0a",
    "/who%00",
    "/w%ffho",
    "/who%c0",
    "/%ef%bf%bdwho",
    "/@@who",
    "who",
    "%20/who",
    "who;x",
    "http://host/who",
    "http:who",
    "http://host/who%3fx",
    "http://host/who%23x",
    "x:/w%0aho",
    "*",
]


def asked(app: Any, door: str, path: str, **scope: Any) -> Answer:
    if door == "wsgi":
        return ask_wsgi(app, Ask(path=path).environ)
    return ask_asgi(staying(app), Ask(path=path).scope() | scope)


def reached(answer: Answer) -> bool:
    return answer.status == 200 and b'"who"' in answer.body.replace(b" ", b"")


MODES: dict[str, Mapping[str, Any]] = {
    "optional": {},
    "required": {"required": True, "public_paths": ["/public", "/"]},
}


@pytest.mark.parametrize("site", SITES, ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_no_spelling_goes_past_a_rule(site: Site, mode: str) -> None:
    """A visitor does not see the page, however its path is written."""  # S30
    app = site.make(House(rules=[Rule("/who")], **MODES[mode]).auth, Work())
    assert [path for path in SPELLINGS if reached(asked(app, site.door, path))] == []


@pytest.mark.parametrize("site", [site for site in SITES if site.door == "asgi"], ids=str)
@pytest.mark.parametrize(
    "path", ["/who", "/x/mount/who", "/mountwho", "/public/mount/who", "http://h/mount/who"]
)
def test_a_mount_that_is_not_in_front(site: Site, path: str) -> None:
    """A server may name a ``root_path`` and hand on a path without it. Some frameworks then look
    for it in the whole path."""  # S30
    house = House(rules=[Rule("/who")], required=True, public_paths=["/public"])
    answer = asked(site.make(house.auth, Work()), site.door, path, root_path="/mount")
    assert not reached(answer)


def test_a_view_that_is_found_by_traversal() -> None:
    """Pyramid takes ``@@`` for the name of a view."""  # S30
    config = Configurator()
    config.add_view(lambda _context, _request: Response("the page"), name="who")
    bare = config.make_wsgi_app()
    app = JWTMiddleware(bare, House(rules=[Rule("/who")]).auth)
    for path in ("/who", "/@@who", "/x/../@@who", "who", "@@who"):
        assert asked(bare, "wsgi", path).body == b"the page"
        assert asked(app, "wsgi", path).status == 401
    virtual = {"HTTP_X_VHM_ROOT": "/who"}  # any client may send this header
    assert ask_wsgi(bare, Ask(path="/").environ | virtual).body == b"the page"
    assert ask_wsgi(app, Ask(path="/").environ | virtual).status == 401


@pytest.mark.filterwarnings("ignore:The `root_path` parameter is deprecated")
@pytest.mark.parametrize("path", ["/who", "/api/who"])
def test_an_apps_own_root_path(path: str) -> None:
    """FastAPI takes its ``root_path`` off, though no server has said so."""  # S30
    from fastapi import FastAPI

    from jwt_middleware import asgi

    bare = FastAPI(root_path="/api")
    bare.add_api_route("/who", lambda: "the page")
    house = House(rules=[Rule("/who")], public_paths=["/static"], required=True)
    app = asgi.JWTMiddleware(bare, house.auth)
    assert asked(staying(bare), "asgi", path).body == b'"the page"'
    assert asked(app, "asgi", path).status == 401
    assert asked(app, "asgi", "/static/api.js").status == 404  # the proxy took it off
