"""The face in each framework's idiom, as type checkers see it. Never run."""

from __future__ import annotations

from typing import Annotated, Any, assert_type

import bottle  # type: ignore[import-untyped]
import falcon
import falcon.asgi
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client
from fastapi import Depends, FastAPI, WebSocket
from flask import Flask
from litestar import Litestar
from litestar.connection import ASGIConnection
from pyramid.config import Configurator  # type: ignore[import-untyped]
from quart import Quart
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request

from jwt_middleware import (
    Claims,
    JWTAuth,
    RequestAuth,
    Requirement,
    Settings,
    TokenPair,
    asgi,
    get_auth,
    wsgi,
)
from jwt_middleware.frameworks.django import JWTMiddleware as JWTMiddlewareOfDjango
from jwt_middleware.frameworks.django import configured_auth
from jwt_middleware.frameworks.django import require_auth as require_auth_in_django
from jwt_middleware.frameworks.django.users import UserMiddleware, sign_in
from jwt_middleware.frameworks.fastapi import auth, claims, require
from jwt_middleware.frameworks.flask import current_claims, require_auth
from jwt_middleware.frameworks.paste import filter_app
from jwt_middleware.frameworks.pyramid import JWTSecurityPolicy, principals

# ── Wrapping: every framework's app is an app to the doors ───────────────────────────

wsgi.JWTMiddleware(Flask("app").wsgi_app, Settings.from_env())
asgi.JWTMiddleware(FastAPI(), Settings.from_env())
asgi.JWTMiddleware(Litestar(), Settings.from_env())
asgi.JWTMiddleware(Quart("app").asgi_app, Settings.from_env())
wsgi.JWTMiddleware(bottle.Bottle(), Settings.from_env())
wsgi.JWTMiddleware(falcon.App(), Settings.from_env())
asgi.JWTMiddleware(falcon.asgi.App(), Settings.from_env())
wsgi.JWTMiddleware(Configurator().make_wsgi_app(), Settings.from_env())
Starlette(middleware=[Middleware(asgi.JWTMiddleware, Settings.from_env())])
FastAPI().add_middleware(asgi.JWTMiddleware, secret_key="s")

# ── Flask ────────────────────────────────────────────────────────────────────────────


@require_auth
def plain(number: int) -> str:
    return str(current_claims["sub"])


@require_auth(roles={"admin"}, max_age=300)
async def guarded(number: int) -> str:
    return "yes"


assert_type(plain(1), str)
assert_type(current_claims, Claims)


async def still_typed() -> None:
    assert_type(await guarded(1), str)
    plain("one")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    require_auth(role={"admin"})  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


# ── Django ───────────────────────────────────────────────────────────────────────────


@require_auth_in_django(scopes=["read"])
def view(request: HttpRequest, pk: int) -> HttpResponse:
    assert_type(get_auth(request), RequestAuth)
    return HttpResponse()


assert_type(view(HttpRequest(), 1), HttpResponse)
assert_type(configured_auth(), JWTAuth)
assert_type(JWTMiddlewareOfDjango(lambda request: HttpResponse()).auth, JWTAuth)
UserMiddleware(lambda request: HttpResponse())


def a_test(client: Client, alice: User) -> None:
    assert_type(sign_in(client, alice, {"roles": ["admin"]}), TokenPair)
    sign_in(client, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# ── FastAPI and Starlette ────────────────────────────────────────────────────────────

api = FastAPI()


@api.get("/", dependencies=[Depends(require(roles={"admin"}))])
async def index(
    claims: Annotated[Claims, Depends(claims)], auth: Annotated[RequestAuth, Depends(auth)]
) -> Any:
    assert_type(claims, Claims)
    assert_type(auth.subject, str | None)


@api.websocket("/news")
async def news(
    websocket: WebSocket, claims: Annotated[Claims, Depends(require(scopes={"news"}, max_age="1h"))]
) -> None:
    assert_type(get_auth(websocket).subject, str | None)


require(role={"admin"})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def endpoint(request: Request) -> None:
    assert_type(get_auth(request).roles, list[str])


# ── Litestar, Falcon, Quart and Bottle: `get_auth` is all they need ──────────────────


def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: object) -> None:
    assert_type(get_auth(connection).unmet(Requirement(roles={"admin"})), str | None)


def before(req: falcon.Request, resp: falcon.Response, resource: object, params: object) -> None:
    assert_type(get_auth(req), RequestAuth)


async def in_quart() -> None:
    assert_type(get_auth().login("alice"), TokenPair)


# ── Pyramid and paste ────────────────────────────────────────────────────────────────

assert_type(JWTSecurityPolicy().identity(object()), Claims | None)
assert_type(JWTSecurityPolicy().authenticated_userid(object()), str | None)
assert_type(JWTSecurityPolicy().remember(object(), "alice"), list[tuple[str, str]])
assert_type(principals(get_auth()), list[str])
assert_type(filter_app(Flask("app").wsgi_app, {}, required="true"), wsgi.JWTMiddleware)
