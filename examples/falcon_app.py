"""Sign in, see who you are, leave a note, sign out: a Falcon app.

    export JWT_SECRET_KEY=$(python -c 'import secrets; print(secrets.token_urlsafe(48))')
    export JWT_COOKIE_SECURE=false  # plain http, for development; leave it out behind https
    python examples/falcon_app.py

Then open http://127.0.0.1:8000. It takes forms: POST /login with
name=alice and password=wonderland.
"""

import os
from collections import defaultdict
from typing import Any
from wsgiref.simple_server import make_server

import falcon
from werkzeug.security import check_password_hash, generate_password_hash

from jwt_middleware import CrossSiteRequest, Settings, get_auth
from jwt_middleware.wsgi import JWTMiddleware

USERS = {"alice": generate_password_hash("wonderland")}
NOBODY = generate_password_hash("")  # so that an unknown name takes as long as a wrong password
NOTES: defaultdict[str, list[str]] = defaultdict(list)


def knows(name: str, password: str) -> bool:
    return check_password_hash(USERS.get(name, NOBODY), password)


class Index:
    """Who you are, and your notes."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        auth = get_auth(req)
        if auth.subject is None:
            resp.media = {"you_are": "nobody"}
        else:
            resp.media = {"you_are": auth.subject, "notes": NOTES[auth.subject]}


class Login:
    """Signing in: the answer carries the cookies."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        form = req.get_media()
        if not knows(form["name"], form["password"]):
            raise falcon.HTTPUnauthorized(title="Name and password do not match.")
        get_auth(req).login(form["name"])


class Notes:
    """An expired access token does not cost anybody what they wrote: the refresh token signs
    this very request in, and the answer carries new ones."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        auth = get_auth(req)
        if auth.subject is None:
            raise falcon.HTTPUnauthorized(title="Sign in first.")
        NOTES[auth.subject].append(req.get_media()["text"])


class Logout:
    """Signing out."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        get_auth(req).logout()


# Another site's page has sent somebody's browser to /login or /logout.
def refuse_cross_site(req: Any, resp: Any, error: CrossSiteRequest, params: Any) -> None:
    raise falcon.HTTPForbidden(title="This request came from another site.")


site = falcon.App()
site.add_route("/", Index())
site.add_route("/login", Login())
site.add_route("/notes", Notes())
site.add_route("/logout", Logout())
site.add_error_handler(CrossSiteRequest, refuse_cross_site)
app = JWTMiddleware(site, Settings.from_env())

if __name__ == "__main__":
    with make_server("127.0.0.1", int(os.environ.get("PORT", "8000")), app) as server:
        server.serve_forever()
