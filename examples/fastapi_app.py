"""Sign in, see who you are, leave a note, sign out: a JSON API with FastAPI.

    export JWT_SECRET_KEY=$(python -c 'import secrets; print(secrets.token_urlsafe(48))')
    export JWT_COOKIE_SECURE=false  # plain http, for development; leave it out behind https
    uvicorn examples.fastapi_app:app

Then open http://127.0.0.1:8000/docs and sign in as alice, password "wonderland".

Browsers use /login and are given cookies. Programs use /token, are given the tokens as
JSON, and send them as headers: Authorization: Bearer ... and X-Refresh-Token: ...
"""

from collections import defaultdict
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from werkzeug.security import check_password_hash, generate_password_hash

from jwt_middleware import CrossSiteRequest, RequestAuth, Settings, get_auth
from jwt_middleware.asgi import JWTMiddleware

USERS = {"alice": generate_password_hash("wonderland")}
NOBODY = generate_password_hash("")  # so that an unknown name takes as long as a wrong password
NOTES: defaultdict[str, list[str]] = defaultdict(list)

api = FastAPI(title="Notes")


class Credentials(BaseModel):
    """What somebody signs in with."""

    name: str
    password: str


class Note(BaseModel):
    """What somebody wants to remember."""

    text: str


# ── Dependencies ────────────────────────────────────────────────────────────────


def auth_of(request: Request) -> RequestAuth:
    return get_auth(request)


Auth = Annotated[RequestAuth, Depends(auth_of)]


def signed_in(auth: Auth) -> str:
    if auth.subject is None:
        raise HTTPException(401, f"Sign in first ({auth.reason}).")
    return auth.subject


def checked(credentials: Credentials) -> str:
    if not check_password_hash(USERS.get(credentials.name, NOBODY), credentials.password):
        raise HTTPException(401, "Name and password do not match.")
    return credentials.name


User = Annotated[str, Depends(signed_in)]
Newcomer = Annotated[str, Depends(checked)]


# ── Routes ──────────────────────────────────────────────────────────────────────


@api.get("/")
def index(auth: Auth) -> dict[str, object]:
    if auth.subject is None:
        return {"you_are": "nobody"}
    return {"you_are": auth.subject, "notes": NOTES[auth.subject]}


@api.post("/login", status_code=204)
def login(name: Newcomer, auth: Auth) -> None:
    auth.login(name)  # the answer carries the cookies


@api.post("/token")
def token(name: Newcomer, auth: Auth) -> dict[str, str | int]:
    return auth.login(name, cookies=False).as_dict()


# An expired access token does not cost anybody what they wrote: the refresh token signs
# this very request in, and the answer carries new ones.
@api.post("/notes", status_code=201)
def add_note(note: Note, name: User) -> list[str]:
    NOTES[name].append(note.text)
    return NOTES[name]


@api.post("/logout", status_code=204)
def logout(auth: Auth) -> None:
    auth.logout()


# Another site's page has sent somebody's browser to /login or /logout.
@api.exception_handler(CrossSiteRequest)
def refuse_cross_site(_request: Request, error: CrossSiteRequest) -> JSONResponse:
    return JSONResponse({"detail": "This request came from another site."}, error.status)


# Around the whole app, and not by add_middleware(): so error pages carry new tokens, too.
app = JWTMiddleware(api, Settings.from_env())
