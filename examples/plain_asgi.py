"""Sign in, see who you are, leave a note, sign out: ASGI without a framework.

    export JWT_SECRET_KEY=$(python -c 'import secrets; print(secrets.token_urlsafe(48))')
    export JWT_COOKIE_SECURE=false  # plain http, for development; leave it out behind https
    uvicorn examples.plain_asgi:app

Then, as curl has no form to fill in:

    curl -c jar -d 'name=alice&password=wonderland' http://127.0.0.1:8000/login
    curl -b jar -c jar -d 'text=Be on time' http://127.0.0.1:8000/notes
    curl -b jar -c jar http://127.0.0.1:8000/
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from werkzeug.security import check_password_hash, generate_password_hash

from jwt_middleware import CrossSiteRequest, RequestAuth, Settings, get_auth
from jwt_middleware.asgi import JWTMiddleware

USERS = {"alice": generate_password_hash("wonderland")}
NOBODY = generate_password_hash("")  # so that an unknown name takes as long as a wrong password
NOTES: defaultdict[str | None, list[str]] = defaultdict(list)

Form = dict[str, str]
Result = tuple[HTTPStatus, str]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def index(auth: RequestAuth, _form: Form) -> Result:
    lines = [f"You are {auth.subject or 'nobody'}.", *NOTES[auth.subject]]
    return HTTPStatus.OK, "\n".join(lines)


async def login(auth: RequestAuth, form: Form) -> Result:
    name, password = form.get("name", ""), form.get("password", "")
    # Slow on purpose, so not on the event loop.
    hashed = USERS.get(name, NOBODY)
    if not await asyncio.to_thread(check_password_hash, hashed, password):
        return HTTPStatus.UNAUTHORIZED, "Name and password do not match."
    # Nothing to await here: what is to be stored is stored when the answer starts.
    auth.login(name)
    return HTTPStatus.OK, f"You are {auth.subject}."


# Only ever called for somebody who is signed in: with required=True the middleware answers
# everybody else, except on the public paths.
async def add_note(auth: RequestAuth, form: Form) -> Result:
    NOTES[auth.subject].append(form.get("text", ""))
    return HTTPStatus.CREATED, "Noted."


async def logout(auth: RequestAuth, _form: Form) -> Result:
    auth.logout()
    return HTTPStatus.OK, f"You are {auth.subject or 'nobody'}."


ROUTES: dict[tuple[str, str], Callable[[RequestAuth, Form], Awaitable[Result]]] = {
    ("GET", "/"): index,
    ("POST", "/login"): login,
    ("POST", "/notes"): add_note,
    ("POST", "/logout"): logout,
}


async def notes_app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    # The middleware hands on what is no request. Here nothing is to be done at start and
    # end of the server, and servers take this refusal for an answer.
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    view = ROUTES.get((scope["method"], scope["path"]))
    form = parse_qs((await whole_body(receive)).decode(errors="replace"))
    first = {name: values[0] for name, values in form.items()}
    status, text = HTTPStatus.NOT_FOUND, ""
    try:
        if view is not None:
            status, text = await view(get_auth(scope), first)
    except CrossSiteRequest:
        status, text = HTTPStatus.FORBIDDEN, "This request came from another site."
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{text}\n".encode()})


async def whole_body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


# "/" as a rule is that one page, not everything below it.
app = JWTMiddleware(
    notes_app, Settings.from_env(required=True, public_paths=("/", "/login", "/logout"))
)
