"""What a valid token costs behind other packages, each on its own framework, and behind ours on
the same one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from jwt_middleware import asgi, wsgi

from . import asgi_apps, django_apps, wsgi_apps
from .bars import Scale
from .driving import asgi_call, environ, scope, wsgi_call
from .pairing import Call, Ratio, added, measure, ratio
from .wsgi_apps import CLAIMS, our_auth, our_cookies


@dataclass(frozen=True, slots=True)
class Peer:
    """A package beside ours; microseconds added to the bare app."""

    name: str
    framework: str
    ours: float
    theirs: float
    ratio: Ratio


@dataclass(frozen=True, slots=True)
class _Trio:
    """The same request to three apps of one framework."""

    name: str
    framework: str
    bare: Call
    ours: Call
    theirs: Call


def peers(scale: Scale) -> list[Peer]:
    """Each package in turn."""
    logging.disable(logging.INFO)
    with asyncio.Runner() as runner:
        trios = [*_wsgi_trios(), *_asgi_trios(runner.run)]
        return [_measured(trio, scale) for trio in trios]


def _measured(trio: _Trio, scale: Scale) -> Peer:
    calls = {"bare": trio.bare, "ours": trio.ours, "theirs": trio.theirs}
    times = measure(calls, rounds=scale.rounds, calls=scale.calls)
    ours, theirs = added(times, "ours", "bare"), added(times, "theirs", "bare")
    return Peer(trio.name, trio.framework, median(ours), median(theirs), ratio(ours, theirs))


def _wsgi_trios() -> Iterator[_Trio]:
    auth = our_auth()
    ours = environ(headers={"Cookie": our_cookies(auth, auth.issue("alice", CLAIMS))})

    def trio(name: str, framework: str, bare: Any, theirs: Any, asked: dict[str, Any]) -> _Trio:
        wrapped = wsgi.JWTMiddleware(bare, auth)
        calls = (wsgi_call(bare, ours), wsgi_call(wrapped, ours), wsgi_call(theirs, asked))
        return _Trio(name, framework, *calls)

    plain = wsgi_apps.plain_middleware(wsgi_apps.bare)
    cookies = {"Cookie": f"{wsgi_apps.COOKIE}={wsgi_apps.plain_token()}"}
    yield trio("PyJWT, by hand", "none (WSGI)", wsgi_apps.bare, plain, environ(headers=cookies))
    flask, both, _ = wsgi_apps.flask_jwt_extended()
    asked = environ(headers={"Cookie": both})
    yield trio("flask-jwt-extended", "Flask", wsgi_apps.bare_flask(), flask, asked)
    django, field = django_apps.django_app()
    asked = environ(path="/simplejwt", headers={"Authorization": field})
    yield trio("djangorestframework-simplejwt", "Django REST framework", django, django, asked)


def _asgi_trios(run: Any) -> Iterator[_Trio]:
    from . import asgi_peers  # late: who only reads the results needs none of these packages

    auth = our_auth()
    ours = our_cookies(auth, auth.issue("alice", CLAIMS))

    def call(app: Any, cookies: str) -> Call:
        return asgi_call(app, scope(headers={"Cookie": cookies}), run)

    def trio(name: str, framework: str, bare: Any, theirs: Any, cookies: str) -> _Trio:
        wrapped = asgi.JWTMiddleware(bare, auth)
        return _Trio(name, framework, call(bare, ours), call(wrapped, ours), call(theirs, cookies))

    plain = asgi_apps.plain_middleware(asgi_apps.bare)
    cookies = f"{wsgi_apps.COOKIE}={wsgi_apps.plain_token()}"
    yield trio("PyJWT, by hand", "none (ASGI)", asgi_apps.bare, plain, cookies)
    yield trio("AuthX", "FastAPI", asgi_peers.bare_fastapi(), *asgi_peers.authx())
    yield trio("fastapi-users", "FastAPI", asgi_peers.bare_fastapi(), *asgi_peers.fastapi_users())
    starlette = asgi_peers.bare_starlette()
    yield trio("starlette-authlib", "Starlette", starlette, *asgi_peers.starlette_authlib())
    yield trio("Litestar's JWT", "Litestar", asgi_peers.bare_litestar(), *asgi_peers.litestar_jwt())
