"""What was measured: as JSON for machines, as a table and a drawing for people."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from importlib.metadata import version
from math import ceil, floor, log10
from pathlib import Path
from typing import Any

from .bars import Outcome
from .peers import Peer
from .scaling import Curve

PACKAGES = (
    *("pyjwt", "werkzeug", "asgiref", "cryptography", "flask", "flask-jwt-extended", "django"),
    *("djangorestframework", "djangorestframework-simplejwt", "fastapi", "authx"),
    *("fastapi-users", "starlette", "starlette-authlib", "litestar"),
)

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def as_json(outcomes: Sequence[Outcome], peers: Sequence[Peer], curves: Sequence[Curve]) -> str:
    """Everything, with the versions it is true of."""
    content: dict[str, Any] = {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "bars": [
            {
                "bar": outcome.bar.number,
                "what": outcome.bar.what,
                "most": outcome.bar.most,
                "unit": outcome.bar.unit,
                "held": outcome.held,
                **asdict(outcome.found),
            }
            for outcome in outcomes
        ],
        "peers": [asdict(peer) for peer in peers],
        "curves": [asdict(curve) for curve in curves],
    }
    return json.dumps(content, indent=1) + "\n"


def line(outcome: Outcome) -> str:
    """A row, for a terminal."""
    bar, found = outcome.bar, outcome.found
    verdict = "held" if outcome.held else "MISSED"
    figures = f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}] {bar.unit}"
    return f"{bar.number:10} {bar.what:58} {figures:27} at most {bar.most:<5} {verdict}"


def markdown(outcomes: Sequence[Outcome], peers: Sequence[Peer]) -> str:
    """The two tables, for docs/performance.md."""
    rows = [
        f"| {o.bar.number} | {o.bar.what} | {o.bar.most:g} {o.bar.unit} | "
        f"{o.found.value:.3g} {o.bar.unit} | {o.found.low:.3g} – {o.found.high:.3g} | "
        f"{'held' if o.held else '**missed**'} |"
        for o in outcomes
    ]
    beside = [
        f"| {p.name} | {p.framework} | {p.theirs:.1f} µs | {p.ours:.1f} µs | "
        f"{p.ratio.value:.3f} × |"
        for p in peers
    ]
    return "\n".join(
        (
            "| # | what | bar | measured | 95 % | |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            "| package | on | adds | ours adds there | ratio |",
            "|---|---|---|---|---|",
            *beside,
        )
    )


def rewritten(page: str, tables: str, begin: str = BEGIN, end: str = END) -> str:
    """A page with its tables as they are now. Raises ``ValueError`` if it has no place for them."""
    before, after = page.index(begin) + len(begin), page.index(end)
    return f"{page[:before]}\n\n{tables}\n\n{page[after:]}"


# ── Drawings ─────────────────────────────────────────────────────────────────────

_ROW, _LEFT, _WIDTH = 26, 260, 420
_STYLE = (
    "<style>text{font:13px system-ui,sans-serif;fill:#444}.o{fill:#2a7d5f}.t{fill:#b9b9b9}"
    "line{stroke:#ccc}polyline{fill:none;stroke:#2a7d5f;stroke-width:2}"
    "@media(prefers-color-scheme:dark){text{fill:#ccc}.t{fill:#666}line{stroke:#555}}</style>"
)


def bars_drawn(peers: Sequence[Peer]) -> str:
    """Two bars a package: what it adds to a request, and what ours adds on its framework."""
    longest = max(peer.theirs for peer in peers)
    parts: list[str] = []
    for number, peer in enumerate(peers):
        top = number * 2 * _ROW + 10
        name = escape(f"{peer.name} on {peer.framework}")
        for offset, value, kind in ((0, peer.theirs, "t"), (1, peer.ours, "o")):
            y, width = top + offset * _ROW * 0.7, max(value / longest * _WIDTH, 1)
            parts.append(
                f'<rect class="{kind}" x="{_LEFT}" y="{y:.0f}" width="{width:.0f}" height="15"/>'
            )
            parts.append(
                f'<text x="{_LEFT + width + 6:.0f}" y="{y + 12:.0f}">{value:.0f} µs</text>'
            )
        parts.append(f'<text x="{_LEFT - 8}" y="{top + 20}" text-anchor="end">{name}</text>')
    height = len(peers) * 2 * _ROW + 20
    return _svg(_LEFT + _WIDTH + 80, height, "Microseconds added to a request", parts)


def curve_drawn(curve: Curve) -> str:
    """One cost over one size, from zero."""
    width, height, edge = 420, 220, 50
    most_x = max(x for x, _ in curve.points)
    most_y = max(y for _, y in curve.points) * 1.15
    placed = [
        (edge + x / most_x * (width - 2 * edge), height - edge - y / most_y * (height - 2 * edge))
        for x, y in curve.points
    ]
    bottom = height - edge
    parts = [
        f'<line x1="{edge}" y1="{bottom}" x2="{width - edge}" y2="{bottom}"/>',
        f'<line x1="{edge}" y1="{edge}" x2="{edge}" y2="{bottom}"/>',
        f'<polyline points="{" ".join(f"{x:.0f},{y:.0f}" for x, y in placed)}"/>',
        f'<text x="{width / 2}" y="{height - 8}" text-anchor="middle">{escape(curve.size)}</text>',
        f'<text x="8" y="20">{escape(curve.name)}, µs</text>',
    ]
    for (x, y), (size, cost) in zip(placed, curve.points, strict=True):
        parts.append(f'<circle class="o" cx="{x:.0f}" cy="{y:.0f}" r="3"/>')
        parts.append(f'<text x="{x:.0f}" y="{y - 8:.0f}" text-anchor="middle">{cost:.1f}</text>')
        parts.append(f'<text x="{x:.0f}" y="{bottom + 16}" text-anchor="middle">{size:g}</text>')
    return _svg(width, height, f"{curve.name} over {curve.size}", parts)


def lines_drawn(title: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Several costs over one size; both axes are logarithmic, as both go over powers of ten."""
    width, height, left, right, edge = 560, 300, 60, 110, 40
    all_points = [point for points in lines.values() for point in points]
    x_from, x_to = _decades([x for x, _ in all_points])
    y_from, y_to = _decades([y for _, y in all_points])

    def across(x: float) -> float:
        return left + (log10(x) - x_from) / (x_to - x_from) * (width - left - right)

    def up(y: float) -> float:
        return height - edge - (log10(y) - y_from) / (y_to - y_from) * (height - 2 * edge)

    parts = [f'<text x="8" y="20">{escape(title)}</text>']
    for power in range(y_from, y_to + 1):
        y = up(10.0**power)
        parts.append(f'<line x1="{left}" y1="{y:.0f}" x2="{width - right}" y2="{y:.0f}"/>')
        parts.append(
            f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{10.0**power:g}</text>'
        )
    for power in range(x_from, x_to + 1):
        label = f"{10**power:,}"
        x = across(10.0**power)
        parts.append(f'<text x="{x:.0f}" y="{height - 16}" text-anchor="middle">{label}</text>')
    for name, points in lines.items():
        placed = [(across(x), up(y)) for x, y in points]
        drawn = " ".join(f"{x:.0f},{y:.0f}" for x, y in placed)
        parts.append(f'<polyline points="{drawn}"/>')
        parts.extend(f'<circle class="o" cx="{x:.0f}" cy="{y:.0f}" r="3"/>' for x, y in placed)
        end_x, end_y = placed[-1]
        parts.append(f'<text x="{end_x + 10:.0f}" y="{end_y + 4:.0f}">{escape(name)}</text>')
    return _svg(width, height, title, parts)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten around them."""
    least, most = floor(log10(min(values))), ceil(log10(max(values)))
    return least, max(most, least + 1)


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'role="img"><title>{escape(title)}</title>{_STYLE}{"".join(parts)}</svg>\n'
    )


def write(
    folder: Path, outcomes: Sequence[Outcome], peers: Sequence[Peer], curves: Sequence[Curve]
) -> list[Path]:
    """Results beside the benchmarks, tables and drawings in the docs; answers what was written."""
    docs = folder / "docs"
    drawings = docs / "performance"
    drawings.mkdir(exist_ok=True)
    page = docs / "performance.md"
    texts = {
        folder / "benchmarks" / "results.json": as_json(outcomes, peers, curves),
        page: rewritten(page.read_text("utf-8"), markdown(outcomes, peers)),
        drawings / "peers.svg": bars_drawn(peers),
    }
    for curve in curves:
        name = f"{curve.name} {curve.size}".replace(", ", " ").replace(" ", "-").lower()
        texts[drawings / f"{name}.svg"] = curve_drawn(curve)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return list(texts)
