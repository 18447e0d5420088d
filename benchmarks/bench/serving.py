"""Requests a second behind real servers, as ``wrk`` counts them: ours beside the bare app.

Both servers of a pair are up all the time, and ``wrk`` asks one and then the other, in random
order, for a second or so: what a busy machine does to one it does to the other. Everything is on
the loopback, and bounded in connections and time.

    python -m benchmarks.bench.serving            # 15 pairs a server, four minutes
    python -m benchmarks.bench.serving --quick    # 3 short ones, and nothing is written
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Any
from urllib.request import urlopen

from .asgi_apps import bare as bare_asgi
from .pairing import Ratio, ratio
from .report import rewritten
from .wsgi_apps import CLAIMS, our_auth, our_cookies
from .wsgi_apps import bare as bare_wsgi

ROOT = Path(__file__).parents[2]
BAR = 0.93
"""Of the bare app's requests a second, at least."""

BEGIN, END = "<!-- served: begin -->", "<!-- served: end -->"

PATIENCE = 20.0
"""Seconds in which a server has to be up."""

SERVERS = {
    "gunicorn": ["gunicorn", "--workers", "1", "--worker-class", "gthread", "--threads", "2"],
    "uvicorn": ["uvicorn", "--workers", "1", "--log-level", "warning"],
}


@dataclass(frozen=True, slots=True)
class Served:
    """One server's row."""

    server: str
    bare: float
    ours: float
    """Requests a second, the median."""
    ratio: Ratio
    pairs: int

    @property
    def held(self) -> bool:
        """The bar is a least, unlike the others."""
        return self.ratio.value >= BAR


def apps() -> tuple[Any, Any, str]:
    """Our middleware in front of the bare apps, and the Cookie field of who is signed in.

    The servers import this module and know nothing of this process: all of them take the same
    secret, and the token lives long enough.
    """
    from jwt_middleware import asgi, wsgi

    auth = our_auth(access_token_expires=3600)
    cookies = our_cookies(auth, auth.issue("alice", CLAIMS))
    return wsgi.JWTMiddleware(bare_wsgi, auth), asgi.JWTMiddleware(bare_asgi, auth), cookies


ours_wsgi, ours_asgi, _COOKIES = apps()

TARGETS = {
    "gunicorn": ("bare_wsgi", "ours_wsgi"),
    "uvicorn": ("bare_asgi", "ours_asgi"),
}


def _free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


@contextmanager
def _serving(server: str, name: str) -> Iterator[int]:
    """One server with one app, by its port."""
    port = _free_port()
    where = (
        ["--bind", f"127.0.0.1:{port}"]
        if server == "gunicorn"
        else ["--host", "127.0.0.1", "--port", str(port)]
    )
    command = [sys.executable, "-m", *SERVERS[server], *where, f"{__spec__.name}:{name}"]
    process = subprocess.Popen(command, cwd=ROOT)  # noqa: S603  # our own
    try:
        _await(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until it answers: it listens before its workers are up."""
    give_up_at = time.monotonic() + PATIENCE
    while True:
        try:
            with urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE):  # our own
                return
        except OSError:
            if time.monotonic() > give_up_at or process.poll() is not None:
                raise SystemExit("a server did not come up") from None
            time.sleep(0.05)


def _count(port: int, cookies: str, seconds: float) -> float:
    """Requests a second that were answered with 200."""
    command = [
        *(_wrk(), "--threads", "1", "--connections", "16", "--duration", f"{seconds:.0f}s"),
        *("--header", f"Cookie: {cookies}", f"http://127.0.0.1:{port}/"),
    ]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"wrk was answered otherwise than by 200:\n{said}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if found is None:
        raise SystemExit(f"wrk said something else:\n{said}")
    return float(found[1])


def _wrk() -> str:
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("needs wrk: apt install wrk")
    return program


def measure(server: str, pairs: int, seconds: float) -> Served:
    """So many pairs, in random order within each."""
    random = Random(1)  # noqa: S311  # an order
    bare_name, ours_name = TARGETS[server]
    counts: dict[str, list[float]] = {"bare": [], "ours": []}
    with _serving(server, bare_name) as bare, _serving(server, ours_name) as ours:
        order = [("bare", bare), ("ours", ours)]
        for _, port in order:
            _count(port, _COOKIES, seconds)
        for _ in range(pairs):
            random.shuffle(order)
            for name, port in order:
                counts[name].append(_count(port, _COOKIES, seconds))
    found = ratio(counts["ours"], counts["bare"])
    return Served(server, median(counts["bare"]), median(counts["ours"]), found, pairs)


def line(served: Served) -> str:
    """A row, for a terminal."""
    found = served.ratio
    verdict = "held" if served.held else "MISSED"
    return (
        f"{served.server:9} bare {served.bare:8.0f}/s  ours {served.ours:8.0f}/s  "
        f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}], at least {BAR}  {verdict}"
    )


def markdown(rows: Sequence[Served]) -> str:
    """The table, for docs/performance.md."""
    lines = [
        f"| 10 | {row.server} | {row.bare:,.0f}/s | {row.ours:,.0f}/s | {BAR} × | "
        f"{row.ratio.value:.3f} × | {row.ratio.low:.3f} – {row.ratio.high:.3f} | "
        f"{'held' if row.held else '**missed**'} |"
        for row in rows
    ]
    return "\n".join(
        (
            "| # | behind | bare app | with ours | bar, at least | measured | 95 % | |",
            "|---|---|---|---|---|---|---|---|",
            *lines,
        )
    )


def write(folder: Path, rows: Sequence[Served]) -> None:
    """The rows beside the benchmarks, and the table in the docs."""
    page = folder / "docs" / "performance.md"
    text = rewritten(page.read_text("utf-8"), markdown(rows), BEGIN, END)
    content = json.dumps([asdict(row) for row in rows], indent=1) + "\n"
    (folder / "benchmarks" / "served.json").write_text(content, "utf-8")
    page.write_text(text, "utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write ``benchmarks/served.json`` and its table."""
    parser = argparse.ArgumentParser(prog="benchmarks.bench.serving", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 short pairs; writes nothing")
    options = parser.parse_args(arguments)
    pairs, seconds = (3, 1.0) if options.quick else (15, 3.0)
    rows: list[Served] = []
    for server in SERVERS:
        rows.append(measure(server, pairs, seconds))
        sys.stdout.write(line(rows[-1]) + "\n")
        sys.stdout.flush()
    if not options.quick:
        write(ROOT, rows)


if __name__ == "__main__":
    main()
