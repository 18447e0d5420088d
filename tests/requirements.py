"""The security requirements, and the tests that name them.

A test names a requirement by a comment with its number in its body or its decorators:
``# S17``. ``python tests/requirements.py`` writes the table in ``docs/security.md`` anew;
``tests/test_requirements.py`` fails while it is not what the tests say.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "security.md"
BEGIN, END = "<!-- requirements: begin -->", "<!-- requirements: end -->"

SHOWN = 3
"""Tests a row shows; of others it only says that there are some."""

REQUIREMENTS: dict[str, dict[int, str]] = {
    "Signature and header": {
        1: "`alg` is an exact member of the configured list; `none`, in any spelling, never is.",
        2: "One key has one algorithm; a PEM-, X.509- or JWK-shaped secret is refused at start-up.",
        3: "A secret shorter than its hash is refused at start-up.",
        4: "`jwk`, `jku`, `x5u` and `x5c` in a header are never used and never fetched.",
        5: "A key is found by its exact `kid`; no token gets to try several.",
        6: "Any `crit` or `b64` is refused.",
        7: "ECDSA signatures have their exact length, and r and s in range; EdDSA's S is canonical.",
        8: "Secrets are compared in constant time.",
        9: "JSON serialisation, `zip`, a huge `p2c`, and encryption without a key are refused unprocessed.",
        10: "Several keys verify, the newest signs; a removed key stops at once, in caches too.",
    },
    "Parsing": {
        11: "A token has exactly three segments of canonical base64url, so one spelling.",
        12: "Strict UTF-8 and JSON: no NaN, no duplicate members, no lone surrogates, bounded depth.",
        13: "Length is capped before anything is decoded; work is linear in the input.",
        14: "No foreign exception escapes, whatever comes in.",
    },
    "Claims": {
        15: "`exp` is required and a finite number; at that moment the token is expired.",
        16: "Leeway is finite and for `exp`; `nbf` and `iat` may lie 60 s ahead, not more.",
        17: "`aud` has to name us, and must not be there if none is configured; `iss` is compared whole.",
        18: "`sub` and `jti` are text, `sub` is not empty; identity is issuer and subject.",
        19: "Token kinds are an allow-list: a refresh token opens nothing, an access token renews nothing.",
        20: "A token bound to a key (`cnf`) does not pass as a plain bearer token.",
        21: "The cache of verified tokens is bounded, keyed by the whole token, and judged anew at each hit.",
    },
    "Where tokens are taken from": {
        22: "`Bearer` in any case and token68 only; two Authorization fields, or a list, are an error.",
        23: "One channel a request; a broken token in it never falls through to the next.",
        24: "Never from a query or a body, unless configured for WebSockets.",
        25: "Our cookie twice with different values: neither counts, and sign-in or sign-out clears it up.",
        26: "Bytes that are no UTF-8 raise nothing; names are exact, nothing is unquoted.",
        27: "HTTP/2's crumbs of a Cookie field are joined.",
        28: "`X-Forwarded-*`, `X-User` and look-alikes with underscores are never trusted.",
    },
    "What the app sees": {
        29: "Our slots cannot be set from outside, on any path.",
        30: "Path rules compare whole segments of the raw path.",
        31: "Claims belong to one request: what it does to them no other sees.",
        32: "The app can be shown a fresh access token in place of an expired one; off by default.",
    },
    "Responses": {
        33: "401 with `WWW-Authenticate` as RFC 6750 has it; 403 for a scope that is missing.",
        34: "Error texts are fixed ASCII; nothing of the request is echoed.",
        35: "A CORS preflight passes untouched, with the slots cleared; where a sign-in is asked for, "
        "the header alone of its answer goes out.",
        36: "No cache ever hands one user's token to another.",
        37: "The app's own cookies are kept; if it sets ours, its word counts.",
        38: "New tokens travel the way the old ones came, never both ways.",
        39: "Contradictory cookie settings are refused at start-up; a cookie too large is a clear error.",
    },
    "Requests that another site caused": {
        40: "They are found before anything is rotated, on unsafe methods and WebSocket handshakes.",
    },
    "Refreshing": {
        41: "Of many racers exactly one rotates; all are signed in, none clears a cookie.",
        42: "A refresh token has one successor; reuse outside the windows ends the session, told once.",
        43: "Idle and absolute limits hold; the account is looked at again at every reissue.",
        44: "Both tokens are of one session; none leaves without a look at the row at that moment.",
        45: "An outage: 503 where sign-in is required, anonymous elsewhere, nothing minted, cookies kept.",
        46: "Signing out everywhere beats a login that began before; the lag is bounded and stated.",
        47: "The silent way applies every check of the explicit one.",
    },
    "At run time": {
        48: "WSGI is kept to the letter: `exc_info`, `write()`, `close()`, laziness, file wrappers.",
        49: "ASGI is kept to the letter: nothing buffered, exceptions and cancellations pass.",
        50: "A WebSocket is judged before it is accepted, and closed when its token ends.",
        51: "Threads, tasks and forked workers never see each other's identity.",
        52: "A sync store never blocks the event loop for longer than an inline SQLite read.",
        53: "Logs and events hold no token, cookie or secret.",
        54: "After an exception in the app the client can go on with what it has.",
    },
}
"""Number and behaviour, by section."""

_NUMBER = re.compile(r"\bS([0-9]{1,2})\b")


class Evidence(NamedTuple):
    """A test that names a requirement."""

    path: str
    name: str
    sentence: str


@cache
def evidence() -> dict[int, list[Evidence]]:
    """Every test that names a requirement, in the order of files and lines."""
    found: dict[int, list[Evidence]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for number, test in _named_in(path):
            tests = found.setdefault(number, [])
            if test not in tests:
                tests.append(test)
    return found


def _named_in(path: Path) -> Iterator[tuple[int, Evidence]]:
    source = path.read_text(encoding="utf-8")
    tests = [
        (min([node.lineno, *(item.lineno for item in node.decorator_list)]), node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    ]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line = token.start[0]
        for first, node in tests:
            if first <= line <= (node.end_lineno or first):
                sentence = " ".join((ast.get_docstring(node) or "").split())
                where = path.relative_to(ROOT).as_posix()
                for number in _NUMBER.findall(token.string):
                    yield int(number), Evidence(where, node.name, sentence)


def table() -> str:
    """The table as it belongs on the page."""
    found = evidence()
    lines: list[str] = []
    for section, requirements in REQUIREMENTS.items():
        lines += [f"### {section}", "", "| | what holds | tests |", "|---|---|---|"]
        for number, behaviour in requirements.items():
            tests = found.get(number, [])
            shown = [f"[`{test.name}`](../{test.path})" for test in tests[:SHOWN]]
            cell = ", ".join(shown) + (" and more" if len(tests) > SHOWN else "")
            lines.append(f"| S{number} | {behaviour} | {cell} |")
        lines.append("")
    return "\n".join(lines)


def rewritten(page: str) -> str:
    """The page with the table as it is now. Raises ``ValueError`` if it has no place for it."""
    before, after = page.index(BEGIN) + len(BEGIN), page.index(END)
    return f"{page[:before]}\n\n{table()}\n{page[after:]}"


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(rewritten(page), encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} is written\n")
