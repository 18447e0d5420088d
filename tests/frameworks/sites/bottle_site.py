"""Bottle."""

from __future__ import annotations

from typing import Any

import bottle

from jwt_middleware import JWTAuth, get_auth
from jwt_middleware.wsgi import JWTMiddleware
from sites import Broken, Site, Work, sign_in, subjects, told


def make(auth: JWTAuth, work: Work) -> Any:
    app: Any = bottle.Bottle()  # its decorators carry no types

    @app.get("/who")
    def who() -> Any:
        return told(bottle.request)

    @app.post("/login")
    def login() -> Any:
        sign_in(bottle.request)
        return "welcome"

    @app.post("/logout")
    def logout() -> Any:
        get_auth().logout()
        return "bye"

    @app.get("/broken")
    def broken() -> Any:
        raise Broken

    @app.get("/stream")
    def stream() -> Any:
        return subjects()

    @app.post("/later")
    def later() -> Any:
        work.enqueue()
        return "soon"

    return JWTMiddleware(app, auth)


SITES = [Site("bottle", "wsgi", make)]
