"""What does it cost to refuse what nobody should send?

Three questions, each answered with numbers of this machine:

* **Our own time** for hostile requests, at both doors: the middleware's share alone, as CPU time of
  the thread (another program on the machine does not count), in its median and its 99th percentile.
* **A thousand connections** to a real server, each with a 64 KB Cookie field and a body that
  trickles in: the same share, measured inside the server.
* **Memory**, after a million distinct bad tokens and a million distinct good ones.

    python benchmarks/load.py            # all of it, a few minutes
    python benchmarks/load.py --quick    # a tenth

Nothing is sent beyond this machine's loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from statistics import median, quantiles
from time import thread_time
from typing import Any, NamedTuple

import uvicorn

from jwt_middleware import JWTAuth, Settings, asgi, wsgi
from jwt_middleware.sessions import Session

SECRET = "a secret of the benchmark, 32 bytes and more"  # noqa: S105  # guards nothing
NOW = 1_800_000_000.0
KILOBYTE = 1024
CONNECTIONS = 1000
BAR = 1000.0
"""Microseconds of our own that the 99th percentile of a refusal may take."""

Fields = list[tuple[str, str]]


class Timed(NamedTuple):
    """Microseconds of our own time for one kind of request."""

    kind: str
    door: str
    median: float
    p99: float


# ── What is sent ─────────────────────────────────────────────────────────────────


def make_auth(**settings: Any) -> JWTAuth:
    """A configuration that refuses whoever is not signed in."""
    return JWTAuth(
        Settings(secret_key=SECRET, session_store="memory://", required=True, **settings),
        clock=lambda: NOW,
    )


def good_token(auth: JWTAuth, subject: str = "alice", claims: dict[str, Any] | None = None) -> str:
    """A token that counts, of a session that nobody has stored."""
    session: Session = auth.flow.parts.tokens.new_session(
        subject, claims or {}, persistent=True, now=NOW
    )
    return auth.flow.parts.tokens.sign_access(
        auth.flow.parts.tokens.members(session, generation=0, now=NOW)
    )


def hostile(auth: JWTAuth) -> dict[str, Callable[[Random], Fields]]:
    """Kinds of requests; each is made anew for every try, so that no cache helps."""
    access, refresh = auth.settings.access_cookie, auth.settings.refresh_cookie
    signed = good_token(auth, claims={"pad": "x" * 5000})
    head, payload, signature = signed.split(".")

    def junk(random: Random, size: int) -> str:
        return "".join(random.choices("abcdefghijklmnopqrstuvwxyz0123456789-_", k=size))

    def bearer(token: str) -> Fields:
        return [("Authorization", f"Bearer {token}")]

    def forged(random: Random) -> Fields:
        return bearer(f"{head}.{payload}.{junk(random, len(signature) - 1)}A")

    return {
        "nothing at all": lambda _: [],
        "a short bad token": lambda random: bearer(junk(random, 40)),
        "a forged signature, 7 KB": forged,
        "a 64 KB Authorization field": lambda random: bearer(junk(random, 64 * KILOBYTE)),
        "64 KB of dots": lambda _: bearer("a." * (32 * KILOBYTE)),
        "64 KB of another scheme": lambda random: [
            ("Authorization", f"Negotiate {junk(random, 64 * KILOBYTE)}")
        ],
        "64 KB of schemes": lambda _: [("Authorization", "Bearer, " * (8 * KILOBYTE))],
        "a 64 KB Cookie field": lambda random: [("Cookie", f"x={junk(random, 64 * KILOBYTE)}")],
        "64 KB of our cookie's name": lambda _: [
            ("Cookie", f"{access} ; " * (64 * KILOBYTE // 22))
        ],
        "64 KB of semicolons": lambda _: [("Cookie", ";" * (64 * KILOBYTE))],
        "10,000 cookies, and ours bad": lambda random: [
            (
                "Cookie",
                "; ".join(f"c{n}=v" for n in range(10_000)) + f"; {access}={junk(random, 40)}",
            )
        ],
        "both cookies bad": lambda random: [
            ("Cookie", f"{access}={junk(random, 300)}; {refresh}={junk(random, 300)}")
        ],
        "10,000 levels of JSON": lambda _: bearer(f"{head}.{'W1tb' * 1900}.{signature}"),
    }


# ── Our own time ─────────────────────────────────────────────────────────────────


def at_wsgi(auth: JWTAuth, fields: Fields) -> float:
    """Microseconds of one refusal."""
    app = wsgi.JWTMiddleware(_never, auth)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "wsgi.url_scheme": "https",
    }
    for name, value in fields:
        environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
    started = thread_time()
    app(environ, _ignore)
    return (thread_time() - started) * 1e6


def _never(*_: Any) -> list[bytes]:
    raise AssertionError("a hostile request has reached the app")


def _ignore(*_: Any) -> None:
    pass


def at_asgi(auth: JWTAuth, fields: Fields) -> float:
    """The same at the other door."""
    app = asgi.JWTMiddleware(_never_asgi, auth)
    headers = [(name.lower().encode(), value.encode()) for name, value in fields]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}

    async def send(_: Any) -> None:
        pass

    async def receive() -> Any:
        raise AssertionError("a refusal has waited for the body")

    steps = app(scope, receive, send)
    started = thread_time()
    try:
        steps.send(None)
    except StopIteration:
        return (thread_time() - started) * 1e6
    raise AssertionError("a refusal has waited for something")


async def _never_asgi(*_: Any) -> None:
    raise AssertionError("a hostile request has reached the app")


def own_time(tries: int) -> Iterator[Timed]:
    """Each kind of request at each door, so many times."""
    random = Random(1)  # noqa: S311  # it guards nothing
    auth = make_auth()
    for kind, make in hostile(auth).items():
        for door, measure in (("WSGI", at_wsgi), ("ASGI", at_asgi)):
            times = [measure(auth, make(random)) for _ in range(tries)]
            yield Timed(kind, door, median(times), quantiles(times, n=100)[98])


# ── A thousand connections ───────────────────────────────────────────────────────


class Watched:
    """The ASGI door, with its own time for each request noted."""

    def __init__(self, auth: JWTAuth) -> None:
        self.times: list[float] = []
        self._door = asgi.JWTMiddleware(_never_asgi, auth)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        spent_sending = 0.0

        async def send_untimed(message: Any) -> None:
            nonlocal spent_sending
            began = thread_time()
            await send(message)
            spent_sending += thread_time() - began

        started = thread_time()
        await self._door(scope, receive, send_untimed)
        self.times.append((thread_time() - started - spent_sending) * 1e6)


def thousand_connections(connections: int) -> Timed:
    """All are open at once, and each sends a body that is never finished."""
    watched = Watched(make_auth())
    settings: dict[str, Any] = {
        "log_level": "critical",
        "lifespan": "off",
        "h11_max_incomplete_event_size": 1 << 20,
    }
    server = uvicorn.Server(uvicorn.Config(watched, port=0, backlog=connections, **settings))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    asyncio.run(_besiege(port, connections))
    server.should_exit = True
    thread.join(20)
    times = watched.times
    kind = f"{connections} connections, 64 KB of cookies, slow bodies"
    return Timed(kind, "ASGI", median(times), quantiles(times, n=100)[98])


async def _besiege(port: int, connections: int) -> None:
    random = Random(2)  # noqa: S311  # it guards nothing
    cookie = ";".join(f"c{n}={random.random()}" for n in range(64 * KILOBYTE // 26))
    head = (
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
        f"Sec-Fetch-Site: same-origin\r\nCookie: {cookie}\r\n\r\n"
    ).encode()
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(connections)]

    async def siege(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        writer.write(b"a slow body")
        await writer.drain()
        status = await asyncio.wait_for(reader.readline(), 60)
        if b" 401 " not in status:
            raise AssertionError(f"answered {status!r} instead of 401")
        writer.close()

    await asyncio.gather(*(siege(*streams) for streams in opened))


# ── Memory ───────────────────────────────────────────────────────────────────────


class Memory(NamedTuple):
    """Megabytes the process has grown to, at most, after so many distinct tokens."""

    kind: str
    tokens: int
    megabytes: float


def memory(tokens: int) -> Iterator[Memory]:
    """A first ten thousand fill the caches; what comes then should add nothing."""
    auth = make_auth()
    random = Random(3)  # noqa: S311  # it guards nothing
    bad = lambda n: f"{random.randbytes(24).hex()}.{n}.x"  # noqa: E731
    good = lambda n: good_token(auth, f"user{n}")  # noqa: E731
    app = wsgi.JWTMiddleware(_greets, auth)
    for kind, make in (("bad tokens", bad), ("good tokens", good)):
        for reached in (tokens // 100, tokens):
            for number in range(reached):
                app(
                    {
                        "REQUEST_METHOD": "GET",
                        "PATH_INFO": "/",
                        "HTTP_AUTHORIZATION": f"Bearer {make(number)}",
                    },
                    _ignore,
                )
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            yield Memory(kind, reached, peak)


def _greets(_: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"hello"]


# ── Showing it ───────────────────────────────────────────────────────────────────


def say(text: str) -> None:
    """Onto the screen, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, show, and answer 1 if the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--json", type=Path, help="write the numbers there, too")
    options = parser.parse_args(arguments)
    scale = 10 if options.quick else 1
    # Memory comes first: a process never forgets the most it has ever used.
    say("| distinct tokens | of them | process at most, MB |\n|---|---|---|")
    grown: list[Memory] = []
    for grown_to in memory(1_000_000 // scale):
        grown.append(grown_to)
        say(f"| {grown_to.kind} | {grown_to.tokens:,} | {grown_to.megabytes:.1f} |")
    timed: list[Timed] = []
    say("\n| request | door | median, µs | 99th percentile, µs |\n|---|---|---|---|")
    for row in [*own_time(2000 // scale), thousand_connections(CONNECTIONS // scale)]:
        timed.append(row)
        say(f"| {row.kind} | {row.door} | {row.median:.0f} | {row.p99:.0f} |")
    if options.json is not None:
        record = {"timed": [row._asdict() for row in timed], "memory": [m._asdict() for m in grown]}
        options.json.write_text(json.dumps(record, indent=1))
    slow = [row for row in timed if row.p99 > BAR]
    for row in slow:
        say(f"MISSED: {row.kind} at {row.door} takes {row.p99:.0f} µs, the bar is {BAR:.0f}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
