"""Sign in, see who you are, leave a note, sign out: a Quart app.

    export JWT_SECRET_KEY=$(python -c 'import secrets; print(secrets.token_urlsafe(48))')
    export JWT_COOKIE_SECURE=false  # plain http, for development; leave it out behind https
    uvicorn examples.quart_app:app

Then open http://127.0.0.1:8000. It takes forms: POST /login with
name=alice and password=wonderland.
"""

from collections import defaultdict
from typing import Any

from quart import Quart, abort, redirect, request
from werkzeug.security import check_password_hash, generate_password_hash

from jwt_middleware import CrossSiteRequest, Settings, get_auth
from jwt_middleware.asgi import JWTMiddleware

USERS = {"alice": generate_password_hash("wonderland")}
NOBODY = generate_password_hash("")  # so that an unknown name takes as long as a wrong password
NOTES: defaultdict[str, list[str]] = defaultdict(list)


def knows(name: str, password: str) -> bool:
    return check_password_hash(USERS.get(name, NOBODY), password)


app = Quart(__name__)


@app.get("/")
async def index() -> dict[str, object]:
    auth = get_auth()
    if auth.subject is None:
        return {"you_are": "nobody"}
    return {"you_are": auth.subject, "notes": NOTES[auth.subject]}


@app.post("/login")
async def login() -> Any:
    form = await request.form
    if not knows(form["name"], form["password"]):
        abort(401)
    get_auth().login(form["name"])  # the answer carries the cookies
    return redirect("/")


# An expired access token does not cost anybody what they wrote: the refresh token signs this
# very request in, and the answer carries new ones.
@app.post("/notes")
async def add_note() -> Any:
    auth = get_auth()
    if auth.subject is None:
        abort(401)
    NOTES[auth.subject].append((await request.form)["text"])
    return redirect("/")


@app.post("/logout")
async def logout() -> Any:
    get_auth().logout()
    return redirect("/")


# Another site's page has sent somebody's browser to /login or /logout.
@app.errorhandler(CrossSiteRequest)
async def refuse_cross_site(error: CrossSiteRequest) -> tuple[str, int]:
    return "This request came from another site.", error.status


wrapped: Any = JWTMiddleware(app.asgi_app, Settings.from_env())
app.asgi_app = wrapped
