"""One small site per framework, each with the same routes, so that one suite fits all.

GET  /who         `told(request)` as JSON
POST /login       signs alice in, with the role "admin" and the scope "read"
POST /logout      signs out
GET  /broken      raises `Broken`: the framework's own page for a 500
GET  /stream      `subjects()`, line by line
POST /later       hands `afterwards()` to what the framework has for background work
WS   /socket      accepts, sends ``told(socket)``, closes
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from jwt_middleware import JWTAuth, ResponseStarted, get_auth


class Broken(Exception):
    """A mistake in a view."""


@dataclass
class Work:
    """What is done behind a response."""

    noted: list[str | None] = field(default_factory=list)
    queue: list[Callable[[], None]] = field(default_factory=list)
    """For frameworks that leave it to a thread or a queue of yours."""

    def afterwards(self) -> None:
        """Knows whose work it is, and can sign nobody in any more."""
        auth = get_auth()
        try:
            auth.login("mallory")
        except ResponseStarted:
            self.noted.append(auth.subject)

    async def afterwards_async(self) -> None:
        self.afterwards()

    def enqueue(self) -> None:
        """As one hands work to a thread: with the context of the request."""
        self.queue.append(partial(contextvars.copy_context().run, self.afterwards))


@dataclass(frozen=True)
class Site:
    """A framework, and how an app of it is made and wrapped."""

    name: str
    door: str
    make: Callable[[JWTAuth, Work], Any]
    socket: bool = False

    def __str__(self) -> str:
        return self.name


def told(request: Any) -> dict[str, Any]:
    """What a view is told about its request, and whether the context variable agrees."""
    auth = get_auth(request)
    return {
        "who": auth.subject,
        "why": auth.reason,
        "reissued": auth.reissued,
        "context": get_auth() is auth,
    }


def sign_in(request: Any = None) -> None:
    get_auth(request).login("alice", {"roles": ["admin"], "scope": "read"})


def subjects() -> Iterator[bytes]:
    """The lines of a stream, each of which looks anew whom it is for."""
    for _ in range(3):
        yield f"{get_auth().subject}\n".encode()
