"""What gunicorn and uvicorn serve in tests/test_many_servers.py: Flask and Starlette, one store.

Below ``/{store}/{mode}`` stands the same small app, each time behind a middleware of its own.
Time comes from a file and events go to one, so that the test and all workers share both.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask
from real_http import SECRET, wait_until
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from jwt_middleware import Event, JWTAuth, asgi, get_auth, wsgi
from jwt_middleware.stores.redis import AsyncRedisSessionStore, RedisSessionStore
from jwt_middleware.stores.sqlalchemy import SQLAlchemySessionStore

PLACE = Path(os.environ["SERVERS_PLACE"])
"""The folder that test and workers share."""

NAME = os.environ["SERVERS_NAME"]
"""What this run's keys and tables begin with."""

LAG = 1.0
"""Seconds of ``check_session`` in the mode ``lag``."""

MODES: dict[str, dict[str, Any]] = {
    "plain": {},
    "always": {"check_session": "always"},
    "lag": {"check_session": LAG},
    "short": {"refresh_token_expires": 901},
}


def now() -> float:
    """The time all workers agree on, which the test moves: ``+60`` is the real time and a
    minute, ``=1800000000`` stands still."""
    written = (PLACE / "time").read_text("ascii")
    return float(written[1:]) + (time.time() if written[0] == "+" else 0.0)


def told(event: Event) -> None:
    """One line an event. A worker that is marked to die gets no further than its swap."""
    line = {"name": event.name, "session": event.session_id, "worker": os.getpid()}
    with (PLACE / "events").open("ab", buffering=0) as file:
        file.write(json.dumps(line).encode() + b"\n")
    if event.name == "reissued" and (PLACE / f"{event.subject}.mortal").exists():
        (PLACE / f"{event.subject}.mortal").unlink()
        arrived(f"{event.subject}.swapped")
        time.sleep(60)  # until it is killed


def arrived(mark: str) -> None:
    """Say which worker got here, whole or not at all."""
    written = PLACE / f"{mark}.new"
    written.write_text(str(os.getpid()), "ascii")
    written.replace(PLACE / mark)


def store_of(kind: str, *, for_event_loop: bool) -> Any:
    url = os.environ[f"SERVERS_{kind.upper()}"]
    if kind == "redis":
        store = AsyncRedisSessionStore if for_event_loop else RedisSessionStore
        return store(url, prefix=f"{NAME}:", timeout=20)
    # Eight workers: the server has a hundred connections, and other tests keep some open, too.
    engine = sa.create_engine(url, pool_size=2, max_overflow=2, pool_timeout=20, pool_pre_ping=True)
    return SQLAlchemySessionStore(engine, sessions=f"{NAME}_sessions", epochs=f"{NAME}_epochs")


def auths(*, for_event_loop: bool) -> dict[str, JWTAuth]:
    """One for each store and mode, by where it stands."""
    found: dict[str, JWTAuth] = {}
    for kind in ("redis", "postgresql"):
        store = store_of(kind, for_event_loop=for_event_loop)
        for mode, settings in MODES.items():
            found[f"/{kind}/{mode}"] = JWTAuth(
                secret_key=SECRET,
                session_store=store,
                cookie_secure=False,
                clock=now,
                on_event=told,
                **settings,
            )
    return found


def who() -> dict[str, Any]:
    """Whom the request is signed in as, and who answers."""
    found = get_auth()
    return {
        "subject": found.subject,
        "session": found.session_id,
        "reason": found.reason,
        "reissued": found.reissued,
        "worker": os.getpid(),
    }


# ── WSGI ────────────────────────────────────────────────────────────────────────

flask = Flask(__name__)


@flask.post("/login/<name>")
def _login(name: str) -> dict[str, Any]:
    get_auth().login(name)
    return who()


@flask.post("/logout")
def _logout() -> dict[str, Any]:
    get_auth().logout()
    return who()


@flask.post("/everywhere")
def _everywhere() -> dict[str, Any]:
    get_auth().logout_everywhere()
    return who()


@flask.get("/")
def _who() -> dict[str, Any]:
    return who()


@flask.get("/slow/<name>")
def _slow(name: str) -> dict[str, Any]:
    arrived(f"{name}.arrived")
    wait_until((PLACE / f"{name}.released").exists, f"the release of {name}")
    return who()


# ── ASGI ────────────────────────────────────────────────────────────────────────


async def login(request: Request) -> JSONResponse:
    get_auth().login(request.path_params["name"])
    return JSONResponse(who())


async def logout(request: Request) -> JSONResponse:
    get_auth().logout()
    return JSONResponse(who())


async def everywhere(request: Request) -> JSONResponse:
    get_auth().logout_everywhere()
    return JSONResponse(who())


async def root(request: Request) -> JSONResponse:
    return JSONResponse(who())


async def slow(request: Request) -> JSONResponse:
    name = request.path_params["name"]
    arrived(f"{name}.arrived")
    released = PLACE / f"{name}.released"
    await asyncio.to_thread(wait_until, released.exists, f"the release of {name}")
    return JSONResponse(who())


starlette = Starlette(
    routes=[
        Route("/login/{name}", login, methods=["POST"]),
        Route("/logout", logout, methods=["POST"]),
        Route("/everywhere", everywhere, methods=["POST"]),
        Route("/", root),
        Route("/slow/{name}", slow),
    ]
)

# ── Both ────────────────────────────────────────────────────────────────────────

if os.environ["SERVERS_DOOR"] == "wsgi":
    app: Any = DispatcherMiddleware(
        Flask("nothing"),
        {
            where: wsgi.JWTMiddleware(flask.wsgi_app, auth)
            for where, auth in auths(for_event_loop=False).items()
        },
    )
else:
    app = Starlette(
        routes=[
            Mount(where, asgi.JWTMiddleware(starlette, auth))
            for where, auth in auths(for_event_loop=True).items()
        ]
    )
