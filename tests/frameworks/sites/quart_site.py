"""Quart."""

from __future__ import annotations

from typing import Any

import quart

from jwt_middleware import JWTAuth, get_auth
from jwt_middleware.asgi import JWTMiddleware
from sites import Broken, Site, Work, sign_in, subjects, told


def make(auth: JWTAuth, work: Work) -> Any:
    app = quart.Quart("site")

    @app.get("/who")
    async def who() -> Any:
        return told(quart.request)

    @app.post("/login")
    async def login() -> Any:
        sign_in(quart.request)
        return "welcome"

    @app.post("/logout")
    async def logout() -> Any:
        get_auth().logout()
        return "bye"

    @app.get("/broken")
    async def broken() -> Any:
        raise Broken

    @app.get("/stream")
    async def stream() -> Any:
        async def lines() -> Any:
            for line in subjects():
                yield line

        return lines()

    @app.post("/later")
    async def later() -> Any:
        work.enqueue()
        return "soon"

    @app.websocket("/socket")
    async def socket() -> None:
        await quart.websocket.accept()
        await quart.websocket.send_json(told(quart.websocket))

    return JWTMiddleware(app.asgi_app, auth)


SITES = [Site("quart", "asgi", make, socket=True)]
