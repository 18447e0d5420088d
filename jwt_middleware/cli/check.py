"""``jwt-middleware check``: the settings as the app reads them, and the world they name."""

from __future__ import annotations

import argparse
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..auth import JWTAuth
from ..errors import ConfigurationError
from ..neighbours import advice, neighbours
from ..settings import RiskyTimesWarning, Settings
from .exits import Exit
from .findings import Finding, Level
from .given_request import read_request
from .given_token import text_of
from .lost_tokens import look_at_request
from .options import json_option, name, settings_options
from .output import printable, say, show_json
from .risks import risks
from .trials import look_at_claims, try_keys, try_store

_LEVELS = list(Level)
_WIDTH = 96


def add(commands: Any) -> None:
    """The command's own parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "check",
        parents=[settings_options(), json_option()],
        help="find what is wrong or risky in the settings, and try the store and the key URLs",
        description="Read the settings as the app would, name every fault, contradiction and risk, "
        "write a session to the store and end it, and fetch the keys of issuers.",
    )
    parser.add_argument(
        "--subject",
        type=name,
        metavar="SUBJECT",
        help="look at the claims in the sessions of this one, too",
    )
    parser.add_argument(
        "--request",
        action="store_true",
        help="say why the request on standard input is not signed in: its first line and headers, "
        "as a browser's tools or curl -v show them",
    )
    parser.add_argument("--file", type=Path, metavar="FILE", help="read the request from here")
    parser.add_argument("--offline", action="store_true", help="try no store and no server")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if there is a risk")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Find everything, and say it, the gravest first."""
    found = sorted(_findings(options), key=lambda one: _LEVELS.index(one.level))
    if options.json:
        show_json({"findings": [one._asdict() for one in found]})
    else:
        for one in found:
            say(_shown(one))
        say(_summary(found))
    return _status(found, strict=options.strict)


def _findings(options: argparse.Namespace) -> Iterator[Finding]:
    for other in neighbours():
        yield Finding(Level.RISK, "installed packages", advice(other))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", RiskyTimesWarning)
        try:
            auth = JWTAuth(Settings.from_env(options.prefix))
        except ConfigurationError as refused:
            yield from (_fault(text) for text in refused.faults)
            return
    for warning in warned:
        yield Finding(Level.RISK, "access_token_expires", str(warning.message))
    yield from risks(auth.settings)
    if options.request or options.file is not None:
        yield from look_at_request(read_request(text_of(options.file)), auth)
    if not options.offline:
        yield from _tried(auth, options.subject)


def _tried(auth: JWTAuth, subject: str | None) -> Iterator[Finding]:
    try:
        yield (stored := try_store(auth))
        yield from try_keys(auth.settings)
        if subject is not None and stored.level is Level.GOOD:
            yield from look_at_claims(auth, subject)
    finally:
        auth.close()


def _fault(text: str) -> Finding:
    """Faults begin with the setting they are about."""
    about, colon, rest = text.partition(": ")
    return Finding(Level.FAULT, about, rest) if colon else Finding(Level.FAULT, "settings", text)


# ── Showing ──────────────────────────────────────────────────────────────────────


def _shown(one: Finding) -> str:
    text = textwrap.fill(
        printable(one.text), _WIDTH, initial_indent="        ", subsequent_indent="        "
    )
    return f"{one.level.upper():<7} {printable(one.about)}\n{text}"


def _summary(found: list[Finding]) -> str:
    said = [
        f"{level}: {count}"
        for level in _LEVELS
        if (count := sum(one.level is level for one in found))
    ]
    return f"\n{', '.join(said)}"


def _status(found: list[Finding], *, strict: bool) -> Exit:
    levels = {one.level for one in found}
    if Level.FAULT in levels:
        return Exit.SETTINGS
    if Level.OUTAGE in levels:
        return Exit.UNAVAILABLE
    if Level.LOST in levels:
        return Exit.NO
    return Exit.NO if strict and Level.RISK in levels else Exit.DONE
