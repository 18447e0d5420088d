"""Sign in, see who you are, leave a note, sign out: a JSON API with Starlette.

    export JWT_SECRET_KEY=$(python -c 'import secrets; print(secrets.token_urlsafe(48))')
    export JWT_COOKIE_SECURE=false  # plain http, for development; leave it out behind https
    uvicorn examples.starlette_app:app

It speaks JSON: POST /login with {"name": "alice", "password": "wonderland"}.
"""

from collections import defaultdict

from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from werkzeug.security import check_password_hash, generate_password_hash

from jwt_middleware import CrossSiteRequest, Settings, get_auth
from jwt_middleware.asgi import JWTMiddleware

USERS = {"alice": generate_password_hash("wonderland")}
NOBODY = generate_password_hash("")  # so that an unknown name takes as long as a wrong password
NOTES: defaultdict[str, list[str]] = defaultdict(list)


def knows(name: str, password: str) -> bool:
    return check_password_hash(USERS.get(name, NOBODY), password)


async def index(request: Request) -> Response:
    auth = get_auth(request)
    if auth.subject is None:
        return JSONResponse({"you_are": "nobody"})
    return JSONResponse({"you_are": auth.subject, "notes": NOTES[auth.subject]})


async def login(request: Request) -> Response:
    form = await request.json()
    if not knows(form["name"], form["password"]):
        return JSONResponse({"error": "Name and password do not match."}, 401)
    get_auth(request).login(form["name"])  # the answer carries the cookies
    return Response(status_code=204)


# An expired access token does not cost anybody what they wrote: the refresh token signs this
# very request in, and the answer carries new ones.
@requires("authenticated", status_code=401)
async def add_note(request: Request) -> Response:
    NOTES[request.user.identity].append((await request.json())["text"])
    return Response(status_code=204)


async def logout(request: Request) -> Response:
    get_auth(request).logout()
    return Response(status_code=204)


# Another site's page has sent somebody's browser to /login or /logout.
async def refuse_cross_site(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "This request came from another site."}, 403)


site = Starlette(
    routes=[
        Route("/", index),
        Route("/login", login, methods=["POST"]),
        Route("/notes", add_note, methods=["POST"]),
        Route("/logout", logout, methods=["POST"]),
    ],
    exception_handlers={CrossSiteRequest: refuse_cross_site},
)
app = JWTMiddleware(site, Settings.from_env())
