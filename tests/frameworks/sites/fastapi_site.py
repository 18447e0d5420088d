"""FastAPI."""

from __future__ import annotations

from typing import Any

from fastapi import BackgroundTasks, FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse

from jwt_middleware import JWTAuth, get_auth
from jwt_middleware.asgi import JWTMiddleware
from sites import Broken, Site, Work, sign_in, subjects, told


def make(auth: JWTAuth, work: Work) -> Any:
    api = FastAPI()

    @api.get("/who")
    def who(request: Request) -> Any:
        return told(request)  # in a worker thread

    @api.post("/login")
    async def login(request: Request) -> None:
        sign_in(request)

    @api.post("/logout")
    def logout() -> None:
        get_auth().logout()

    @api.get("/broken")
    async def broken() -> None:
        raise Broken

    @api.get("/stream")
    async def stream() -> Any:
        return StreamingResponse(subjects())

    @api.post("/later")
    async def later(tasks: BackgroundTasks) -> None:
        tasks.add_task(work.afterwards)

    @api.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(told(websocket))
        await websocket.close()

    return JWTMiddleware(api, auth)


SITES = [Site("fastapi", "asgi", make, socket=True)]
