"""Sign in, see who you are, leave a note, sign out: a Bottle app.

    export JWT_SECRET_KEY=$(python -c 'import secrets; print(secrets.token_urlsafe(48))')
    export JWT_COOKIE_SECURE=false  # plain http, for development; leave it out behind https
    python examples/bottle_app.py

Then open http://127.0.0.1:8000. It takes forms: POST /login with
name=alice and password=wonderland.
"""

import os
from collections import defaultdict
from typing import Any
from wsgiref.simple_server import make_server

import bottle
from werkzeug.security import check_password_hash, generate_password_hash

from jwt_middleware import CrossSiteRequest, Settings, get_auth
from jwt_middleware.wsgi import JWTMiddleware

USERS = {"alice": generate_password_hash("wonderland")}
NOBODY = generate_password_hash("")  # so that an unknown name takes as long as a wrong password
NOTES: defaultdict[str, list[str]] = defaultdict(list)


def knows(name: str, password: str) -> bool:
    return check_password_hash(USERS.get(name, NOBODY), password)


site: Any = bottle.Bottle()


@site.get("/")
def index() -> dict[str, object]:
    auth = get_auth()
    if auth.subject is None:
        return {"you_are": "nobody"}
    return {"you_are": auth.subject, "notes": NOTES[auth.subject]}


@site.post("/login")
def login() -> None:
    form: Any = bottle.request.forms
    if not knows(form["name"], form["password"]):
        bottle.abort(401, "Name and password do not match.")
    get_auth().login(form["name"])  # the answer carries the cookies


# An expired access token does not cost anybody what they wrote: the refresh token signs this
# very request in, and the answer carries new ones.
@site.post("/notes")
def add_note() -> None:
    auth = get_auth()
    if auth.subject is None:
        bottle.abort(401, "Sign in first.")
    form: Any = bottle.request.forms
    NOTES[str(auth.subject)].append(form["text"])


@site.post("/logout")
def logout() -> None:
    try:
        get_auth().logout()
    except CrossSiteRequest as error:  # another site's page has sent somebody's browser here
        bottle.abort(error.status, "This request came from another site.")


app = JWTMiddleware(site, Settings.from_env())

if __name__ == "__main__":
    with make_server("127.0.0.1", int(os.environ.get("PORT", "8000")), app) as server:
        server.serve_forever()
