"""The demo's app: its views, and two faces for them, one WSGI and one ASGI.

What to look at: no view touches a cookie, a token or a store. A view asks the request's
`RequestAuth` who is there, and tells it what is to happen; and no view can tell whether it
stands behind the WSGI or the ASGI door.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from jwt_middleware import CrossSiteRequest, JWTAuth, RequestAuth, Session, asgi, get_auth, wsgi

from . import pages

BODY_LIMIT = 4096
"""Bytes of a form that are read: more than a name needs."""

NAME_LIMIT = 64
"""Characters of a user name."""

MOODS = ("curious", "amused", "convinced")

_SAFE = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", pages.POLICY),
    ("X-Content-Type-Options", "nosniff"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request, as a view sees it."""

    auth: RequestAuth
    sessions: Sequence[Session]
    """Where this user is signed in, as the request found it."""
    fields: Mapping[str, str]
    """Of the query, or of the form that was sent."""
    user_agent: str
    address: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a view answers."""

    status: int
    body: bytes = b""
    kind: str = "text/plain; charset=utf-8"
    location: str | None = None

    @property
    def headers(self) -> list[tuple[str, str]]:
        own = [("Content-Type", self.kind), ("Content-Length", str(len(self.body))), *_SAFE]
        return own if self.location is None else [*own, ("Location", self.location)]


# ── Views ─────────────────────────────────────────────────────────────────────────


def home(visit: Visit) -> Answer:
    """Who you are, and what became of your tokens."""
    page = pages.home(visit.auth, visit.sessions, reloads="reload" in visit.fields)
    return _page(page)


def login_page(visit: Visit) -> Answer:
    """Asks for a name, and says why."""
    if visit.auth.is_authenticated:
        return _go_to(pages.ACCOUNT)
    return _page(pages.login(visit.auth.reason))


def login(visit: Visit) -> Answer:
    """Signs in whoever gives a name; an app of your own would ask for a password."""
    name = _name(visit)
    if name is None:
        return _page(pages.login("no_name"), 400)
    visit.auth.login(
        name,
        {"mood": MOODS[0]},
        remember="remember" in visit.fields,
        user_agent=visit.user_agent,
        address=visit.address,
    )
    return _go_to(pages.ACCOUNT)


def token(visit: Visit) -> Answer:
    """Signs in a client that keeps its tokens itself and sends them as headers."""
    name = _name(visit)
    if name is None:
        return _json({"error": "invalid_request"}, 400)
    pair = visit.auth.login(name, cookies=False, user_agent=visit.user_agent)
    return _json(pair.as_dict())


def change_claims(visit: Visit) -> Answer:
    """Changes a claim of the session; the answer carries a new access token."""
    if visit.auth.claims is not None:
        mood = visit.auth.claims.get("mood", MOODS[-1])
        visit.auth.update({"mood": MOODS[(MOODS.index(mood) + 1) % len(MOODS)]})
    return _go_to(pages.ACCOUNT)


def logout(visit: Visit) -> Answer:
    """Ends this session."""
    visit.auth.logout()
    return _go_to("/login")


def logout_everywhere(visit: Visit) -> Answer:
    """Ends every session of this user."""
    visit.auth.logout_everywhere()
    return _go_to("/login")


def me(visit: Visit) -> Answer:
    """The home page, for programs."""
    auth = visit.auth
    own = pages.own_session(auth, visit.sessions)
    return _json(
        {
            "user": auth.subject,
            "reissued": auth.reissued,
            "generation": None if own is None else own.generation,
            "claims": dict(auth.claims or {}),
        }
    )


VIEWS: Mapping[tuple[str, str], Callable[[Visit], Answer]] = {
    ("GET", "/"): lambda _visit: _go_to(pages.ACCOUNT),
    ("GET", pages.ACCOUNT): home,
    ("GET", "/me"): me,
    ("GET", "/login"): login_page,
    ("POST", "/login"): login,
    ("POST", "/token"): token,
    ("POST", "/claims"): change_claims,
    ("POST", "/logout"): logout,
    ("POST", "/logout-everywhere"): logout_everywhere,
}


def answer(method: str, path: str, visit: Visit) -> Answer:
    """The view for a path, and its answer."""
    view = VIEWS.get((method, path))
    if view is None:
        return Answer(404, b"There is nothing here. Try /\n")
    try:
        return view(visit)
    except CrossSiteRequest as refused:
        return Answer(refused.status, f"{refused}\n".encode())


def _name(visit: Visit) -> str | None:
    name = visit.fields.get("user", "").strip()
    return name if 0 < len(name) <= NAME_LIMIT else None


def _page(html: str, status: int = 200) -> Answer:
    return Answer(status, html.encode(), "text/html; charset=utf-8")


def _json(members: Mapping[str, Any], status: int = 200) -> Answer:
    return Answer(status, json.dumps(members).encode(), "application/json")


def _go_to(path: str) -> Answer:
    return Answer(303, location=path)


def _fields(encoded: bytes) -> dict[str, str]:
    return dict(parse_qsl(encoded[:BODY_LIMIT].decode("ascii", "replace")))


# ── The WSGI face ─────────────────────────────────────────────────────────────────


def wsgi_app(auth: JWTAuth) -> wsgi.JWTMiddleware:
    """The app behind the WSGI door."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        you = get_auth(environ)
        posted = environ["REQUEST_METHOD"] == "POST"
        visit = Visit(
            auth=you,
            sessions=auth.sessions(you.subject) if you.subject else (),
            fields=_fields(_form(environ) if posted else environ["QUERY_STRING"].encode("latin-1")),
            user_agent=environ.get("HTTP_USER_AGENT", ""),
            address=environ.get("REMOTE_ADDR", ""),
        )
        found = answer(environ["REQUEST_METHOD"], environ["PATH_INFO"], visit)
        start_response(f"{found.status} {HTTPStatus(found.status).phrase}", found.headers)
        return [found.body]

    return wsgi.JWTMiddleware(app, auth)


def _form(environ: Mapping[str, Any]) -> bytes:
    length = environ.get("CONTENT_LENGTH", "")
    form: bytes = (
        environ["wsgi.input"].read(min(int(length), BODY_LIMIT)) if length.isdecimal() else b""
    )
    return form


# ── The ASGI face ─────────────────────────────────────────────────────────────────


def asgi_app(auth: JWTAuth) -> asgi.JWTMiddleware:
    """The app behind the ASGI door."""

    async def app(
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        you = get_auth(scope)
        posted = scope["method"] == "POST"
        headers = dict(scope["headers"])
        visit = Visit(
            auth=you,
            sessions=await auth.asessions(you.subject) if you.subject else (),
            fields=_fields(await _received_form(receive) if posted else scope["query_string"]),
            user_agent=headers.get(b"user-agent", b"").decode("latin-1"),
            address=(scope.get("client") or ("",))[0],
        )
        found = answer(scope["method"], scope["path"], visit)
        fields = [(name.encode(), value.encode()) for name, value in found.headers]
        await send({"type": "http.response.start", "status": found.status, "headers": fields})
        await send({"type": "http.response.body", "body": found.body})

    return asgi.JWTMiddleware(app, auth)


async def _received_form(receive: Callable[[], Awaitable[Any]]) -> bytes:
    form, more = b"", True
    while more and len(form) < BODY_LIMIT:
        message = await receive()
        form += message.get("body", b"")
        more = message.get("more_body", False)
    return form
