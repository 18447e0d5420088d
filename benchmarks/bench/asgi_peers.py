"""ASGI apps that answer one line: bare ones of each framework, and as other packages do it."""

from __future__ import annotations

import time
import uuid
from typing import Any

import jwt
from authx import AuthX, AuthXConfig
from fastapi import Depends, FastAPI
from fastapi.responses import PlainTextResponse
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin
from fastapi_users.authentication import AuthenticationBackend, CookieTransport, JWTStrategy
from litestar import Litestar, get
from litestar.security.jwt import JWTCookieAuth
from litestar.types import ControllerRouterHandler
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette_authlib.middleware import AuthlibMiddleware

from .wsgi_apps import CLAIMS, COOKIE, SECRET

# ── FastAPI: AuthX, fastapi-users ────────────────────────────────────────────────


async def _hello() -> Any:
    return PlainTextResponse("hello")


def bare_fastapi() -> FastAPI:
    """FastAPI with one route."""
    app = FastAPI()
    app.add_api_route("/", _hello)
    return app


def authx() -> tuple[FastAPI, str]:
    """AuthX as its documentation has it, with cookies; and the Cookie field."""
    security = AuthX(
        config=AuthXConfig(
            JWT_SECRET_KEY=SECRET, JWT_TOKEN_LOCATION=["cookies"], JWT_COOKIE_CSRF_PROTECT=False
        )
    )
    app = FastAPI()
    security.handle_errors(app)
    app.add_api_route("/", _hello, dependencies=[Depends(security.access_token_required)])
    token = security.create_access_token("alice", data=CLAIMS)
    return app, f"access_token_cookie={token}"


class _User:
    """A user as fastapi-users knows them, kept in memory: no database is measured."""

    id = uuid.UUID(int=1)
    is_active = is_verified = True
    is_superuser = False


class _Users(UUIDIDMixin, BaseUserManager[Any, uuid.UUID]):
    async def get(self, id: uuid.UUID) -> Any:  # noqa: A002, ARG002  # its base class says so
        return _User()


def fastapi_users() -> tuple[FastAPI, str]:
    """fastapi-users with a JWT in a cookie; its look for the user finds one in memory."""

    def strategy() -> JWTStrategy[Any, uuid.UUID]:
        return JWTStrategy(secret=SECRET, lifetime_seconds=900)

    backend = AuthenticationBackend("jwt", CookieTransport(cookie_name=COOKIE), strategy)

    async def manager() -> Any:
        yield _Users(None)  # pyright: ignore[reportArgumentType]  # nothing asks for a database

    users = FastAPIUsers[Any, uuid.UUID](manager, [backend])
    app = FastAPI()
    app.add_api_route("/", _hello, dependencies=[Depends(users.current_user())])
    claims = {"sub": str(_User.id), "aud": ["fastapi-users:auth"], "exp": time.time() + 900}
    return app, f"{COOKIE}={jwt.encode(claims, SECRET)}"


# ── Starlette: starlette-authlib ─────────────────────────────────────────────────


async def _hello_starlette(_: Any) -> Any:
    return PlainTextResponse("hello")


def bare_starlette() -> Starlette:
    """Starlette with one route."""
    return Starlette(routes=[Route("/", _hello_starlette)])


def starlette_authlib() -> tuple[Starlette, str]:
    """A session in a JWT cookie; it signs a new one for each response."""
    middleware = [Middleware(AuthlibMiddleware, secret_key=SECRET)]
    app = Starlette(routes=[Route("/", _hello_starlette)], middleware=middleware)
    claims = {"sub": "alice", "exp": int(time.time()) + 900, **CLAIMS}
    return app, f"session={jwt.encode(claims, SECRET)}"


# ── Litestar: its own JWT ────────────────────────────────────────────────────────


def _handler() -> ControllerRouterHandler:
    # Annotated for Litestar to read, which looks names up in this module.
    @get("/", media_type="text/plain")
    async def hello() -> str:
        return "hello"

    return hello


def bare_litestar() -> Litestar:
    """Litestar with one route."""
    return Litestar([_handler()], openapi_config=None)


def litestar_jwt() -> tuple[Litestar, str]:
    """Litestar's JWTCookieAuth; its look for the user finds one in memory."""

    def retrieve(token: Any, _connection: Any) -> Any:
        return token.sub

    security = JWTCookieAuth[Any](
        token_secret=SECRET, retrieve_user_handler=retrieve, key=COOKIE, secure=False
    )
    app = Litestar([_handler()], on_app_init=[security.on_app_init], openapi_config=None)
    return app, f"{COOKIE}={security.create_token('alice', token_extras=CLAIMS)}"
