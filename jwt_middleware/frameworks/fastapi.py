"""FastAPI: who it is and what they may, as dependencies that show up in OpenAPI.

    app = JWTMiddleware(api, Settings.from_env())

    @api.get("/me")
    async def me(claims: Annotated[Claims, Depends(claims)]): ...

    @api.get("/reports", dependencies=[Depends(require(scopes={"reports:read"}))])
    async def reports(): ...

The cookie and the bearer token are documented as alternatives. They are for reading: the
middleware has verified either before the dependency is asked.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import NoReturn, Unpack

from fastapi import Depends, HTTPException, Security, WebSocket, WebSocketException
from fastapi.openapi.models import APIKey, APIKeyIn, HTTPBearer, SecurityBase
from fastapi.security.base import SecurityBase as Scheme
from starlette.requests import HTTPConnection
from starlette.status import WS_1008_POLICY_VIOLATION

from ..access import Requirement
from ..claims import Claims
from ..handle import RequestAuth, get_auth
from ..refusals import Refusal
from . import Needs, refusal


class _Documented(Scheme):
    """A way to sign in, for OpenAPI to show. The middleware has done it already."""

    def __init__(self, scheme_name: str, model: SecurityBase) -> None:
        self.scheme_name, self.model = scheme_name, model

    async def __call__(self) -> None:
        """Nothing is left to do."""


async def auth(connection: HTTPConnection) -> RequestAuth:
    """The `RequestAuth` of a request or WebSocket, signed in or not."""
    return get_auth(connection)


def require(
    *, cookie: str = "__Host-access_token", **needs: Unpack[Needs]
) -> Callable[..., Awaitable[Claims]]:
    """A dependency that answers the claims of those who may, and raises 401 or 403 for others.
    The handshake of a WebSocket is refused in the same way, or by 403 alone where the server
    cannot answer it otherwise (it has no ``websocket.http.response``).

    ``cookie``: what OpenAPI calls the access cookie, if you have given it a name of your own.
    """
    requirement = Requirement(**needs)
    place = {"in": APIKeyIn.cookie, "name": cookie}
    bearer = _Documented("bearer", HTTPBearer(bearerFormat="JWT"))
    jar = _Documented("cookie", APIKey.model_validate(place))
    scopes = sorted(requirement.scopes)

    async def permitted(
        connection: HTTPConnection,
        auth: RequestAuth = Depends(auth),  # noqa: B008  # that is how FastAPI is told
        _bearer: None = Security(bearer, scopes=scopes),
        _cookie: None = Security(jar, scopes=scopes),
    ) -> Claims:
        refused = refusal(auth, requirement)
        if refused is not None:
            await _turn_away(connection, refused)
        assert auth.claims is not None  # noqa: S101  # or it would have been refused
        return auth.claims

    return permitted


async def _turn_away(connection: HTTPConnection, refused: Refusal) -> NoReturn:
    if isinstance(connection, WebSocket):
        await connection.receive()  # websocket.connect: an answer before it is out of order
        if "websocket.http.response" not in (connection.scope.get("extensions") or {}):
            raise WebSocketException(WS_1008_POLICY_VIOLATION)
    told = None  # to a HEAD, and on the way to the login page
    if refused.body and refused.status != HTTPStatus.SEE_OTHER:
        told = json.loads(refused.body)["error_description"]
    kept = {name: value for name, value in refused.headers if not name.startswith("Content-")}
    raise HTTPException(refused.status, told, kept)


claims: Callable[..., Awaitable[Claims]] = require()
"""A dependency: the claims of whoever is signed in; 401 for others."""
