"""What a thousand times as many sessions cost: load and rotate over 10³ to 10⁶, store by store.

Each store is filled four times, and the four are asked in turn, so that a busy moment of the
machine meets all of them. Writes ``benchmarks/sessions.json``, two drawings for
docs/performance.md and the table of docs/deploy.md.

    python -m benchmarks.store_growth --store sqlite redis

The servers are those of `store_sizes`, and what is put into them is removed at the end. Stores that
are not asked for keep the figures they had.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from statistics import median

from .bench import report
from .store_sizes import KINDS, Client, fill, timed

SIZES = (1000, 10_000, 100_000, 1_000_000)
VERBS = ("load", "rotate")
NAMES = {
    "memory": "memory",
    "sqlite": "SQLite",
    "redis": "Redis",
    "postgresql": "PostgreSQL",
    "mariadb": "MariaDB",
}
BEGIN, END = "<!-- sessions: begin -->", "<!-- sessions: end -->"

Point = dict[str, float]
"""``sessions``, ``bytes_each``, and for each verb microseconds (median) and calls a second."""


def measure(kind: str, sizes: Sequence[int], calls: int, fill_seconds: float) -> list[Point]:
    """One store, once for each size."""
    chance = Random(1)  # noqa: S311  # which session is asked for next
    with ExitStack() as stack:
        points: list[Point] = []
        clients: list[Client] = []
        for size in sizes:
            filled = stack.enter_context(KINDS[kind](f"jwt_sizes_{os.getpid()}_{size}", 2.0))
            filling = fill(filled, size, fill_seconds, chance)
            bytes_each = round(filling.bytes_each)
            points.append({"sessions": filling.count, "bytes_each": bytes_each})
            clients.append(Client(filled.store, filling.sample, chance))
        for verb in VERBS:
            for point, times in zip(points, _in_turn(clients, verb, calls), strict=True):
                point[f"{verb}_us"] = round(median(times) * 1e6, 1)
                point[f"{verb}_per_second"] = round(len(times) / sum(times))
        return points


def _in_turn(clients: Sequence[Client], verb: str, calls: int) -> list[list[float]]:
    """Seconds of each call, for each client."""
    ask = [getattr(client, verb) for client in clients]
    for _ in range(50):  # warm up: connections, statements
        for call in ask:
            call()
    rounds = [[timed(call) for call in ask] for _ in range(calls)]
    return [list(times) for times in zip(*rounds, strict=True)]


def table(stores: dict[str, list[Point]]) -> str:
    """For docs/deploy.md: the largest filling of each store, beside the smallest."""
    rows = [
        (
            "| store | sessions | bytes a session | `load` | ratio | `rotate` | ratio "
            "| calls a second: `load` | `rotate` |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for kind, points in stores.items():
        least, most = points[0], points[-1]
        times = " | ".join(
            f"{most[f'{verb}_us'] / 1000:.3g} ms | {most[f'{verb}_us'] / least[f'{verb}_us']:.2f}"
            for verb in VERBS
        )
        rates = " | ".join(f"{most[f'{verb}_per_second']:,}" for verb in VERBS)
        rows.append(
            f"| {NAMES[kind]} | {most['sessions']:,} | {most['bytes_each']:,} | {times} | {rates} |"
        )
    return "\n".join(rows)


def write(folder: Path, stores: dict[str, list[Point]]) -> list[Path]:
    """Results, drawings and the table; answers what was written."""
    deploy = folder / "docs" / "deploy.md"
    shown = report.rewritten(deploy.read_text("utf-8"), table(stores), BEGIN, END)
    texts = {
        folder / "benchmarks" / "sessions.json": json.dumps({"stores": stores}, indent=1) + "\n",
        deploy: shown,
    }
    for verb in VERBS:
        lines = {
            NAMES[kind]: [(point["sessions"], point[f"{verb}_us"]) for point in points]
            for kind, points in stores.items()
        }
        drawing = report.lines_drawn(f"{verb}, microseconds over sessions", lines)
        texts[folder / "docs" / "performance" / f"sessions-{verb}.svg"] = drawing
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return list(texts)


def main(arguments: Sequence[str] | None = None) -> None:
    """One store after the other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--store", choices=list(KINDS), nargs="+", default=list(KINDS))
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--calls", type=int, default=2000, help="of load and of rotate, each")
    parser.add_argument("--fill-seconds", type=float, default=240.0, help="at most, for one size")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[1])
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("store_growth: stopped"))  # cleans up, too
    known: Path = options.folder / "benchmarks" / "sessions.json"
    before = json.loads(known.read_text("utf-8"))["stores"] if known.exists() else {}
    kinds: Iterable[str] = options.store
    for kind in kinds:
        before[kind] = measure(kind, options.sizes, options.calls, options.fill_seconds)
        stores = {name: before[name] for name in KINDS if name in before}
        sys.stdout.write(f"{kind}\n" + "".join(f"  {point}\n" for point in before[kind]))
        sys.stdout.flush()
        write(options.folder, stores)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("store_growth: stopped")
