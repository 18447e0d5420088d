"""Sign in, see who you are, leave a note, sign out: WSGI without a framework.

    export JWT_SECRET_KEY=$(python -c 'import secrets; print(secrets.token_urlsafe(48))')
    export JWT_COOKIE_SECURE=false  # plain http, for development; leave it out behind https
    python examples/plain_wsgi.py

Then, as curl has no form to fill in:

    curl -c jar -d 'name=alice&password=wonderland' http://127.0.0.1:8000/login
    curl -b jar -c jar -d 'text=Be on time' http://127.0.0.1:8000/notes
    curl -b jar -c jar http://127.0.0.1:8000/
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import make_server

from werkzeug.security import check_password_hash, generate_password_hash

from jwt_middleware import CrossSiteRequest, RequestAuth, Settings, get_auth
from jwt_middleware.wsgi import JWTMiddleware

USERS = {"alice": generate_password_hash("wonderland")}
NOBODY = generate_password_hash("")  # so that an unknown name takes as long as a wrong password
NOTES: defaultdict[str | None, list[str]] = defaultdict(list)

Form = dict[str, str]
Result = tuple[HTTPStatus, str]


def index(auth: RequestAuth, _form: Form) -> Result:
    lines = [f"You are {auth.subject or 'nobody'}.", *NOTES[auth.subject]]
    return HTTPStatus.OK, "\n".join(lines)


def login(auth: RequestAuth, form: Form) -> Result:
    name, password = form.get("name", ""), form.get("password", "")
    if not check_password_hash(USERS.get(name, NOBODY), password):
        return HTTPStatus.UNAUTHORIZED, "Name and password do not match."
    auth.login(name)
    return HTTPStatus.OK, f"You are {auth.subject}."


# Only ever called for somebody who is signed in: with required=True the middleware answers
# everybody else, except on the public paths.
def add_note(auth: RequestAuth, form: Form) -> Result:
    NOTES[auth.subject].append(form.get("text", ""))
    return HTTPStatus.CREATED, "Noted."


def logout(auth: RequestAuth, _form: Form) -> Result:
    auth.logout()
    return HTTPStatus.OK, f"You are {auth.subject or 'nobody'}."


ROUTES: dict[tuple[str, str], Callable[[RequestAuth, Form], Result]] = {
    ("GET", "/"): index,
    ("POST", "/login"): login,
    ("POST", "/notes"): add_note,
    ("POST", "/logout"): logout,
}


def notes_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    view = ROUTES.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    form = {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
    try:
        status, text = view(get_auth(environ), form) if view else (HTTPStatus.NOT_FOUND, "")
    except CrossSiteRequest:
        status, text = HTTPStatus.FORBIDDEN, "This request came from another site."
    answer = f"{text}\n".encode()
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(answer))),
    ]
    start_response(f"{status} {status.phrase}", headers)
    return [answer]


# "/" as a rule is that one page, not everything below it.
app = JWTMiddleware(
    notes_app, Settings.from_env(required=True, public_paths=("/", "/login", "/logout"))
)

if __name__ == "__main__":
    make_server("127.0.0.1", int(os.environ.get("PORT", "8000")), app).serve_forever()
