"""Falcon, as a WSGI and as an ASGI app."""

from __future__ import annotations

from typing import Any

import falcon
import falcon.asgi

from jwt_middleware import JWTAuth, asgi, get_auth, wsgi
from sites import Broken, Site, Work, sign_in, subjects, told


class Views:
    """Every route of the WSGI site, by suffix."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def on_get_who(self, req: Any, resp: Any) -> None:
        resp.media = told(req)

    def on_post_login(self, req: Any, resp: Any) -> None:
        sign_in(req)

    def on_post_logout(self, req: Any, resp: Any) -> None:
        get_auth(req).logout()

    def on_get_broken(self, req: Any, resp: Any) -> None:
        raise Broken

    def on_get_stream(self, req: Any, resp: Any) -> None:
        resp.stream = subjects()

    def on_post_later(self, req: Any, resp: Any) -> None:
        self.work.enqueue()


class AsyncViews:
    """The same for ASGI."""

    def __init__(self, work: Work) -> None:
        self.work = work

    async def on_get_who(self, req: Any, resp: Any) -> None:
        resp.media = told(req)

    async def on_post_login(self, req: Any, resp: Any) -> None:
        sign_in(req)

    async def on_post_logout(self, req: Any, resp: Any) -> None:
        get_auth(req).logout()

    async def on_get_broken(self, req: Any, resp: Any) -> None:
        raise Broken

    async def on_get_stream(self, req: Any, resp: Any) -> None:
        async def lines() -> Any:
            for line in subjects():
                yield line

        resp.stream = lines()

    async def on_post_later(self, req: Any, resp: Any) -> None:
        resp.schedule(self.work.afterwards_async)

    async def on_websocket_socket(self, req: Any, ws: Any) -> None:
        await ws.accept()
        await ws.send_media(told(req))
        await ws.close()


ROUTES = ("who", "login", "logout", "broken", "stream", "later")


def make_wsgi(auth: JWTAuth, work: Work) -> Any:
    app = falcon.App()
    for route in ROUTES:
        app.add_route(f"/{route}", Views(work), suffix=route)
    return wsgi.JWTMiddleware(app, auth)


def make_asgi(auth: JWTAuth, work: Work) -> Any:
    app = falcon.asgi.App()
    for route in (*ROUTES, "socket"):
        app.add_route(f"/{route}", AsyncViews(work), suffix=route)
    return asgi.JWTMiddleware(app, auth)


SITES = [
    Site("falcon-wsgi", "wsgi", make_wsgi),
    Site("falcon-asgi", "asgi", make_asgi, socket=True),
]
