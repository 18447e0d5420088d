"""Flask."""

from __future__ import annotations

from typing import Any

import flask

from jwt_middleware import JWTAuth, get_auth
from jwt_middleware.wsgi import JWTMiddleware
from sites import Broken, Site, Work, sign_in, subjects, told


def make(auth: JWTAuth, work: Work) -> Any:
    app = flask.Flask("site")

    @app.get("/who")
    def who() -> Any:
        return told(flask.request)

    @app.post("/login")
    def login() -> Any:
        sign_in(flask.request)
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
        return flask.Response(subjects())

    @app.post("/later")
    def later() -> Any:
        work.enqueue()
        return "soon"

    return JWTMiddleware(app.wsgi_app, auth)


SITES = [Site("flask", "wsgi", make)]
