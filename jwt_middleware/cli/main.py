"""The program: its commands, and what becomes of what they raise."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from .. import __version__
from ..errors import (
    ConfigurationError,
    InvalidClaims,
    JWTMiddlewareError,
    SessionsNotStored,
    StoreUnavailable,
    TokenTooLarge,
)
from . import check, demo, inspect, issue, keygen, sessions
from .exits import Exit, Stop
from .outages import what_failed
from .output import warn
from .usage import Parser, without_tokens

PROGRAM = "jwt-middleware"

COMMANDS = (keygen, inspect, check, issue, sessions, demo)
"""In the order of the help. Each has ``add``, which names its function as ``command``."""

_STATUS: Mapping[type[JWTMiddlewareError], Exit] = {
    ConfigurationError: Exit.SETTINGS,
    SessionsNotStored: Exit.SETTINGS,
    InvalidClaims: Exit.USAGE,
    TokenTooLarge: Exit.USAGE,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; answers the exit status (`Exit`)."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return Exit.DONE
    try:
        status: int = options.command(options)
    except Stop as stop:
        warn(without_tokens(str(stop)))
        return stop.status
    except StoreUnavailable as outage:
        warn(what_failed(outage))
        return Exit.UNAVAILABLE
    except tuple(_STATUS) as mistake:
        warn(str(mistake).removeprefix("jwt_middleware cannot start: "))
        return _STATUS[type(mistake)]
    return status


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [-h] [--version] COMMAND [options of the command]",
        description="Authentication middleware that reissues tokens inside the request.",
    )
    parser.add_argument("--version", action="version", version=f"jwt_middleware {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", prog=PROGRAM)
    for command in COMMANDS:
        command.add(commands)
    return parser
