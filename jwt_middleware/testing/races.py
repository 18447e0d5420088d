"""One refresh token, presented by many at the same moment: over threads, and over tasks.

They go through the doors, with the settings, hooks and store of the `JWTAuth` under test. What
has to come of it is said once, in `_Race.check`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, NamedTuple
from uuid import uuid4

from .. import asgi, wsgi
from ..auth import JWTAuth
from ..environ import environ_key
from ..fields import decoded
from ..handle import get_auth
from ..sessions import ListedSession
from ..tokens import TokenPair
from ..transport import cookie_name
from .finding import auth_of

MOST = 256
"""Presenters of one race."""

_PATIENCE = 30.0
"""Seconds after which a presenter that does not start is a fault."""


class _Presented(NamedTuple):
    """What came of one presenter."""

    subject: str | None
    successor: str | None


def race_threads(where: object, presenters: int = 16) -> None:
    """``presenters`` threads present one refresh token through the WSGI door, at once.

    Exactly one rotates, all are signed in, and whoever is sent a refresh token is sent the same.
    ``where``: a `JWTAuth`, or an app or client it is found in; its store must keep sessions.
    Raises `AssertionError`, which says what came of it, `ValueError`, `LookupError`.
    """
    auth = _runner(where, presenters)
    subject = _racer()
    race = _Race(auth, subject, auth.issue(subject))
    door = wsgi.JWTMiddleware(_answer, auth)
    lined_up = Barrier(presenters, timeout=_PATIENCE)

    def present(_number: int) -> _Presented:
        sent: list[tuple[str, str]] = []

        def start(_status: str, headers: Iterable[tuple[str, str]], _exc: Any = None) -> None:
            sent.extend(headers)

        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": race.path, **race.environ}
        lined_up.wait()
        body = b"".join(door(environ, start)).decode()
        return _Presented(body or None, race.successor(sent))

    with ThreadPoolExecutor(presenters) as threads:
        results = list(threads.map(present, range(presenters)))
    race.check(results, auth.sessions(subject))


async def race_tasks(where: object, presenters: int = 16) -> None:
    """The same with tasks of one event loop, through the ASGI door."""
    auth = _runner(where, presenters)
    subject = _racer()
    race = _Race(auth, subject, await auth.aissue(subject))
    door = asgi.JWTMiddleware(_answer_async, auth)

    async def present() -> _Presented:
        sent: list[tuple[str, str]] = []
        body = b""

        async def send(message: MutableMapping[str, Any]) -> None:
            nonlocal body
            sent.extend(decoded(message.get("headers", ())))
            body += message.get("body", b"")

        scope = {"type": "http", "method": "GET", "path": race.path, "headers": race.headers}
        await door(scope, asyncio.Event().wait, send)
        return _Presented(body.decode() or None, race.successor(sent))

    results = await asyncio.gather(*(present() for _ in range(presenters)))
    race.check(results, await auth.asessions(subject))


class _Race:
    """One pair, whose refresh token alone is presented."""

    path = "/"

    def __init__(self, auth: JWTAuth, subject: str, pair: TokenPair) -> None:
        settings = auth.settings
        self._subject = subject
        if auth.flow.parts.transport.uses_cookies:
            name, self._carrier = "cookie", settings.refresh_cookie
            value = f"{settings.refresh_cookie}={pair.refresh_token}"
        else:
            name = self._carrier = settings.refresh_header_name.lower()
            value = pair.refresh_token
        self.environ = {environ_key(name): value}
        self.headers = [(name.encode(), value.encode())]

    def successor(self, sent: Iterable[tuple[str, str]]) -> str | None:
        """The refresh token among the fields of a response."""
        for field in sent:
            if field[0].lower() == self._carrier:
                return field[1]
            if cookie_name(field) == self._carrier:
                return field[1].partition("=")[2].partition(";")[0]
        return None

    def check(self, results: list[_Presented], sessions: list[ListedSession]) -> None:
        """One rotation, one successor, nobody out."""
        out = sum(result.subject != self._subject for result in results)
        successors = {result.successor for result in results} - {None}
        rotations = [session.generation for session in sessions]
        if (out, len(successors), rotations) != (0, 1, [1]):
            raise AssertionError(
                f"of {len(results)} presenters of one refresh token, {out} were not signed in; "
                f"{len(successors)} different successors were sent (1 is right); the store has "
                f"{len(sessions)} sessions of theirs (1), rotated {rotations} times ([1]). "
                "Is every verb of the store one atomic step?"
            )


def _racer() -> str:
    """Somebody whose sessions are of this race alone."""
    return f"racer-{uuid4()}"


def _runner(where: object, presenters: object) -> JWTAuth:
    if not isinstance(presenters, int) or not 2 <= presenters <= MOST:
        raise ValueError(f"a race takes 2 to {MOST} presenters, not {presenters!r}")
    auth = auth_of(where)
    if auth.flow.parts.stateless:
        raise ValueError('session_store is "none": nothing is rotated, so there is no race')
    return auth


def _answer(environ: MutableMapping[str, Any], start: Callable[..., Any]) -> list[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    return [(get_auth(environ).subject or "").encode()]


async def _answer_async(scope: MutableMapping[str, Any], _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": (get_auth(scope).subject or "").encode()})
