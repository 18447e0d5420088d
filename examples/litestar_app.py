"""Sign in, see who you are, leave a note, sign out: a JSON API with Litestar.

    export JWT_SECRET_KEY=$(python -c 'import secrets; print(secrets.token_urlsafe(48))')
    export JWT_COOKIE_SECURE=false  # plain http, for development; leave it out behind https
    uvicorn examples.litestar_app:app

It speaks JSON: POST /login with {"name": "alice", "password": "wonderland"}.
"""

from collections import defaultdict
from typing import Any

from litestar import Litestar, Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from werkzeug.security import check_password_hash, generate_password_hash

from jwt_middleware import CrossSiteRequest, Settings, get_auth
from jwt_middleware.asgi import JWTMiddleware

USERS = {"alice": generate_password_hash("wonderland")}
NOBODY = generate_password_hash("")  # so that an unknown name takes as long as a wrong password
NOTES: defaultdict[str, list[str]] = defaultdict(list)


def knows(name: str, password: str) -> bool:
    return check_password_hash(USERS.get(name, NOBODY), password)


def signed_in(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    if not get_auth(connection).is_authenticated:
        raise NotAuthorizedException("Sign in first.")


@get("/")
async def index(request: Request[Any, Any, Any]) -> dict[str, Any]:
    auth = get_auth(request)
    if auth.subject is None:
        return {"you_are": "nobody"}
    return {"you_are": auth.subject, "notes": NOTES[auth.subject]}


@post("/login")
async def login(request: Request[Any, Any, Any]) -> None:
    data = await request.json()
    if not knows(data["name"], data["password"]):
        raise NotAuthorizedException("Name and password do not match.")
    get_auth(request).login(data["name"])  # the answer carries the cookies


# An expired access token does not cost anybody what they wrote: the refresh token signs this
# very request in, and the answer carries new ones.
@post("/notes", guards=[signed_in])
async def add_note(request: Request[Any, Any, Any]) -> None:
    NOTES[request.user.identity].append((await request.json())["text"])


@post("/logout")
async def logout(request: Request[Any, Any, Any]) -> None:
    get_auth(request).logout()


# Another site's page has sent somebody's browser to /login or /logout.
def refuse_cross_site(_: Request[Any, Any, Any], error: CrossSiteRequest) -> Response[str]:
    return Response("This request came from another site.", status_code=error.status)


site = Litestar(
    [index, login, add_note, logout], exception_handlers={CrossSiteRequest: refuse_cross_site}
)
app = JWTMiddleware(site, Settings.from_env())
