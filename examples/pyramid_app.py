"""Sign in, see who you are, leave a note, sign out: a Pyramid app.

    export JWT_SECRET_KEY=$(python -c 'import secrets; print(secrets.token_urlsafe(48))')
    export JWT_COOKIE_SECURE=false  # plain http, for development; leave it out behind https
    python examples/pyramid_app.py

Then open http://127.0.0.1:8000. It takes forms: POST /login with
name=alice and password=wonderland.
"""

import os
from collections import defaultdict
from typing import Any
from wsgiref.simple_server import make_server

from pyramid.config import Configurator
from pyramid.response import Response
from pyramid.security import forget, remember
from werkzeug.security import check_password_hash, generate_password_hash

from jwt_middleware import CrossSiteRequest, Settings
from jwt_middleware.frameworks.pyramid import JWTSecurityPolicy
from jwt_middleware.wsgi import JWTMiddleware

USERS = {"alice": generate_password_hash("wonderland")}
NOBODY = generate_password_hash("")  # so that an unknown name takes as long as a wrong password
NOTES: defaultdict[str, list[str]] = defaultdict(list)


def knows(name: str, password: str) -> bool:
    return check_password_hash(USERS.get(name, NOBODY), password)


def index(request: Any) -> Any:
    name = request.authenticated_userid
    if name is None:
        return Response(json_body={"you_are": "nobody"})
    return Response(json_body={"you_are": name, "notes": NOTES[name]})


def login(request: Any) -> Any:
    name = request.POST["name"]
    if not knows(name, request.POST["password"]):
        return Response("Name and password do not match.", status=401)
    return Response("Welcome.", headers=remember(request, name))


# An expired access token does not cost anybody what they wrote: the refresh token signs this
# very request in, and the answer carries new ones.
def add_note(request: Any) -> Any:
    if not request.is_authenticated:
        return Response("Sign in first.", status=401)
    NOTES[request.authenticated_userid].append(request.POST["text"])
    return Response("Noted.")


def logout(request: Any) -> Any:
    return Response("Goodbye.", headers=forget(request))


# Another site's page has sent somebody's browser to /login or /logout.
def refuse_cross_site(error: CrossSiteRequest, request: Any) -> Any:
    return Response("This request came from another site.", status=error.status)


with Configurator() as config:
    config.set_security_policy(JWTSecurityPolicy())
    for path, method, view in (
        ("/", "GET", index),
        ("/login", "POST", login),
        ("/notes", "POST", add_note),
        ("/logout", "POST", logout),
    ):
        config.add_route(path, path)
        config.add_view(view, route_name=path, request_method=method)
    config.add_exception_view(refuse_cross_site, context=CrossSiteRequest)

app = JWTMiddleware(config.make_wsgi_app(), Settings.from_env())

if __name__ == "__main__":
    with make_server("127.0.0.1", int(os.environ.get("PORT", "8000")), app) as server:
        server.serve_forever()
