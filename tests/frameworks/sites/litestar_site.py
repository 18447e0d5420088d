"""Litestar."""

from __future__ import annotations

from typing import Any

import litestar
from litestar.background_tasks import BackgroundTask
from litestar.response import Response, Stream

from jwt_middleware import JWTAuth, get_auth
from jwt_middleware.asgi import JWTMiddleware
from sites import Broken, Site, Work, sign_in, subjects, told


def make(auth: JWTAuth, work: Work) -> Any:
    @litestar.get("/who")
    async def who(request: litestar.Request[Any, Any, Any]) -> dict[str, Any]:
        return told(request)

    @litestar.post("/login")
    async def login(request: litestar.Request[Any, Any, Any]) -> None:
        sign_in(request)

    @litestar.post("/logout")
    async def logout() -> None:
        get_auth().logout()

    @litestar.get("/broken")
    async def broken() -> None:
        raise Broken

    @litestar.get("/stream")
    async def stream() -> Stream:
        return Stream(subjects())

    @litestar.post("/later")
    async def later() -> Response[str]:
        return Response("soon", background=BackgroundTask(work.afterwards_async))

    @litestar.websocket("/socket")
    async def socket(socket: litestar.WebSocket[Any, Any, Any]) -> None:
        await socket.accept()
        await socket.send_json(told(socket))
        await socket.close()

    app = litestar.Litestar([who, login, logout, broken, stream, later, socket])
    return JWTMiddleware(app, auth)


SITES = [Site("litestar", "asgi", make, socket=True)]
