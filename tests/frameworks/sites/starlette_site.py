"""Starlette, wrapped and by its own list of middleware."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from jwt_middleware import JWTAuth, get_auth
from jwt_middleware.asgi import JWTMiddleware
from sites import Broken, Site, Work, sign_in, subjects, told


def site(work: Work) -> Starlette:
    async def who(request: Request) -> Any:
        return JSONResponse(told(request))

    async def login(request: Request) -> Any:
        sign_in(request)
        return PlainTextResponse("welcome")

    async def logout(request: Request) -> Any:
        get_auth(request).logout()
        return PlainTextResponse("bye")

    async def broken(request: Request) -> Any:
        raise Broken

    async def stream(request: Request) -> Any:
        async def lines() -> AsyncIterator[bytes]:
            for line in subjects():
                yield line

        return StreamingResponse(lines())

    async def later(request: Request) -> Any:
        return PlainTextResponse("soon", background=BackgroundTask(work.afterwards))

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(told(websocket))
        await websocket.close()

    return Starlette(
        routes=[
            Route("/who", who),
            Route("/login", login, methods=["POST"]),
            Route("/logout", logout, methods=["POST"]),
            Route("/broken", broken),
            Route("/stream", stream),
            Route("/later", later, methods=["POST"]),
            WebSocketRoute("/socket", socket),
        ]
    )


def make(auth: JWTAuth, work: Work) -> Any:
    return JWTMiddleware(site(work), auth)


SITES = [Site("starlette", "asgi", make, socket=True)]
