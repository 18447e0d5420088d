"""How reissue works, row by row of the rotation table, drawn as sequences.

What a row decides and why is read from the table itself; what goes to and fro is told here, and a
test asks for a sequence for each row.
"""

from __future__ import annotations

from html import escape
from typing import NamedTuple

from jwt_middleware.rotation import TABLE, Row

BROWSER, HERE, STORE = 0, 1, 2
_NAMES = ("client", "middleware", "store")


class Step(NamedTuple):
    """An arrow, or, from somebody to themselves, a remark."""

    source: int
    target: int
    text: str


def _ask(token: str) -> list[Step]:
    return [
        Step(BROWSER, HERE, f"request, refresh token {token}"),
        Step(HERE, STORE, "load the row"),
    ]


def _refused(answer: str) -> list[Step]:
    return [Step(STORE, HERE, answer), Step(HERE, BROWSER, "anonymous, or 401; no tokens")]


SEQUENCES: dict[str, list[Step]] = {
    "unknown": [*_ask("g 4"), *_refused("no such row")],
    "forged": [*_ask("g 4, another jti"), *_refused("g 4, its own jti")],
    "ended": [*_ask("g 4"), *_refused("g 4, revoked")],
    "expired": [*_ask("g 4"), *_refused("g 4, past its expiry")],
    "current": [
        *_ask("g 4"),
        Step(STORE, HERE, "g 4, rotated long ago"),
        Step(HERE, HERE, "the app runs, signed in"),
        Step(HERE, STORE, "swap 4 for 5, if it is still 4"),
        Step(STORE, HERE, "won"),
        Step(HERE, BROWSER, "response, access token, refresh token g 5"),
    ],
    "fresh": [
        *_ask("g 5"),
        Step(STORE, HERE, "g 5, rotated a moment ago"),
        Step(HERE, BROWSER, "response, access token; g 5 stays"),
    ],
    "slow upload": [
        *_ask("g 4, with a body"),
        Step(STORE, HERE, "g 5, not yet shown, rotated minutes ago"),
        Step(HERE, BROWSER, "response, access token; no g 5"),
    ],
    "predecessor": [
        *_ask("g 4"),
        Step(STORE, HERE, "g 5, just made, or never shown"),
        Step(HERE, HERE, "g 5 is computed again from the row"),
        Step(HERE, BROWSER, "response, access token, the same g 5"),
    ],
    "sibling of a recovery": [
        *_ask("g 3"),
        Step(STORE, HERE, "g 5, just made"),
        Step(HERE, BROWSER, "response, signed in; no tokens"),
    ],
    "unclaimed successor": [*_ask("g 4"), *_refused("g 5, not shown, its time is over")],
    "late upload": [*_ask("g 3, with a body"), *_refused("g 5, in use, rotated minutes ago")],
    "ahead": [
        *_ask("g 5"),
        Step(STORE, HERE, "g 4: a write was lost"),
        Step(HERE, STORE, "swap 4 for 5, if it is still 4"),
        Step(HERE, BROWSER, "response, access token; g 5 stays"),
    ],
    "reuse": [
        *_ask("g 4"),
        Step(STORE, HERE, "g 5, in use"),
        Step(HERE, STORE, "revoke the session, all of its tokens"),
        Step(HERE, BROWSER, "anonymous, or 401; event: reuse"),
    ],
}


INTRODUCTION = """\
An access token is verified without asking anyone. When it has expired, the refresh token beside
it is held against its row in the store, and the first row of this table that applies decides.
*g* is the generation of a refresh token: each rotation makes the next. The table is
`jwt_middleware/rotation.py`, and the sentences here are its own."""


def page() -> str:
    """The page: the four cases, and a drawing for each row."""
    parts = [
        "# How reissue works",
        "",
        INTRODUCTION,
        "",
    ]
    for row in TABLE:
        parts += [
            f"## {row.name.capitalize()}",
            "",
            row.because,
            "",
            f"**{_verdict(row)}**",
            "",
            drawn(row.name),
            "",
        ]
    return "\n".join(parts)


def _verdict(row: Row) -> str:
    reason = f", `reason={row.reason!r}`" if row.reason else ""
    return f"{row.verdict.name}{reason}"


_WIDTH, _STEP, _TOP = 720, 40, 40
_LANES = (70, 360, 650)


def drawn(name: str) -> str:
    """A sequence as SVG, in the colours of the page."""
    steps = SEQUENCES[name]
    height = _TOP + _STEP * (len(steps) + 1)
    parts = [f'<svg class="sequence" viewBox="0 0 {_WIDTH} {height}" role="img">']
    told = "; ".join(f"{_NAMES[s.source]} to {_NAMES[s.target]}: {s.text}" for s in steps)
    parts.append(f"<title>{escape(told)}</title>")
    for lane, title in zip(_LANES, _NAMES, strict=True):
        parts.append(f'<text x="{lane}" y="20" class="who">{title}</text>')
        parts.append(f'<line x1="{lane}" y1="30" x2="{lane}" y2="{height}" class="life"/>')
    for number, step in enumerate(steps):
        parts.append(_arrow(step, _TOP + _STEP * (number + 1)))
    return "".join((*parts, "</svg>"))


def _arrow(step: Step, y: int) -> str:
    start, end = _LANES[step.source], _LANES[step.target]
    text = f'<text x="{(start + end) / 2}" y="{y - 7}">{escape(step.text)}</text>'
    if start == end:
        return text
    back = 8 if end < start else -8
    head = f'<path d="M{end} {y}l{back} -5v10z"/>'
    return f'{text}<line x1="{start}" y1="{y}" x2="{end}" y2="{y}"/>{head}'
