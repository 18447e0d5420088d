"""A real server for either door, in a thread of this process."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any, NamedTuple
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from jwt_middleware import Event, JWTAuth

from .app import asgi_app, wsgi_app
from .config import ACCESS_LIFE, demo_auth
from .watch.actions import Watch
from .watch.doors import watched_asgi, watched_wsgi

LOOPBACK = "127.0.0.1"

QUEUE = 128
"""Connections that may wait to be accepted: a browser opens many at once."""

WELCOME = """\
Open {url} and press "Sign in", then "Let the access token expire now", then "Call it
20 times at once": each of those requests is signed in, and the tokens are renewed once. The other
buttons lose an answer, steal a token, roll the key.

{url}/account is the app itself, without the page that watches it: sign in under any
name, wait {life} seconds, press "Call again".

The secret and the sessions are made for this run alone. Ctrl-C ends it.
"""


class CannotServe(Exception):
    """Why there is no server, and what to do about it."""


def serve(door: str, host: str, port: int) -> None:
    """Serve the demo until Ctrl-C. Raises `CannotServe`."""
    watch = Watch(_tell)
    with (
        suppress(KeyboardInterrupt),
        _stopped_like_ctrl_c(),
        demo_auth(on_event=watch.hear, clock=watch.clock) as auth,
        serving(door, auth, host, port, watch) as url,
    ):
        print(WELCOME.format(url=url, life=ACCESS_LIFE), flush=True)
        while True:
            time.sleep(60)


@contextmanager
def serving(
    door: str, auth: JWTAuth, host: str = LOOPBACK, port: int = 0, watch: Watch | None = None
) -> Generator[str, None, None]:
    """A server for the demo's app behind that door; port 0 takes a free one.

    With a `Watch` in front of it, if there is one. Answers its URL. Raises `CannotServe`.
    """
    kind = _DOORS[door]
    if watch is None:
        app = kind.face(auth)
    else:
        watch.begin(auth, kind.face)
        app = kind.watched(watch)
    try:
        server = kind.open(app, host, port)
    except OSError as error:
        raise CannotServe(
            f"Cannot listen on {host}, port {port}: {error.strerror}. Choose another port: "
            "make demo PORT=8001, or: python -m jwt_middleware demo --port 8001"
        ) from error
    thread = Thread(target=server.run, name=f"demo-{door}")
    thread.start()
    try:
        yield f"http://{host}:{server.port}"
    finally:
        if watch is not None:
            watch.recorder.close()
        server.stop()
        thread.join()


class _Opened(NamedTuple):
    """A server that listens already; ``run`` answers, until ``stop`` is called."""

    port: int
    run: Callable[[], None]
    stop: Callable[[], None]


# ── WSGI: the standard library ────────────────────────────────────────────────────


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True  # a connection a browser keeps in reserve must not hold us up
    allow_reuse_port = False  # newer Pythons would share the port with whoever has it
    request_queue_size = QUEUE


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name there
        """Nothing: what happens to tokens is told by `_tell`."""


def _open_wsgi(app: Any, host: str, port: int) -> _Opened:
    server = make_server(
        host, port, app, server_class=_ThreadingServer, handler_class=_QuietHandler
    )

    def run() -> None:
        with server:
            server.serve_forever(poll_interval=0.05)

    return _Opened(server.server_port, run, server.shutdown)


# ── ASGI: uvicorn ─────────────────────────────────────────────────────────────────


def _open_asgi(app: Any, host: str, port: int) -> _Opened:
    try:
        import uvicorn
    except ImportError:
        raise CannotServe(
            "The ASGI door is served by uvicorn, which is not installed. "
            'Install it: pip install "jwt-session-middleware[demo]"'
        ) from None
    listener = socket.create_server((host, port), backlog=QUEUE)
    config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None)
    server = uvicorn.Server(config)

    def run() -> None:
        with listener:
            server.run(sockets=[listener])

    def stop() -> None:
        server.should_exit = True

    return _Opened(listener.getsockname()[1], run, stop)


class _Door(NamedTuple):
    """The app behind a door, with and without the page to watch it on, and its server."""

    face: Callable[[JWTAuth], Any]
    watched: Callable[[Watch], Any]
    open: Callable[[Any, str, int], _Opened]


_DOORS: Mapping[str, _Door] = {
    "wsgi": _Door(wsgi_app, watched_wsgi, _open_wsgi),
    "asgi": _Door(asgi_app, watched_asgi, _open_asgi),
}
DOORS = tuple(_DOORS)


# ── At the terminal ───────────────────────────────────────────────────────────────


def _tell(event: Event) -> None:
    # With repr(): a name is what a stranger typed, and terminals obey control characters.
    who = "" if event.subject is None else f" {event.subject!r}"
    why = "" if event.reason is None else f" ({event.reason})"
    print(f"  {event.name}{who}{why}", flush=True)


@contextmanager
def _stopped_like_ctrl_c() -> Generator[None]:
    """A polite kill ends the demo as Ctrl-C does: the temporary files go."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
