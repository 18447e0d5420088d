"""``jwt-middleware demo``: the mechanism in a browser, or a check of itself."""

from __future__ import annotations

import argparse
from typing import Any

from .exits import Exit
from .output import warn


def add(commands: Any) -> None:
    """The command's own parser."""
    demo: argparse.ArgumentParser = commands.add_parser(
        "demo",
        help="try it in a browser, or let it check itself",
        description="Serve a page to watch tokens, requests and decisions on, and to play the "
        "network and the thief. At /account is the app that is watched.",
    )
    demo.add_argument("--host", default="127.0.0.1", help="where to listen (%(default)s)")
    demo.add_argument("--port", type=_port, default=8000, help="where to listen (%(default)s)")
    demo.add_argument(
        "--door",
        choices=("wsgi", "asgi"),
        default="wsgi",
        help="which of the two middlewares to serve behind (%(default)s)",
    )
    demo.add_argument(
        "--check",
        action="store_true",
        help="play the whole story through both doors without a person; exit status 1 if "
        "anything differs from what is expected",
    )
    demo.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Serve until somebody ends it."""
    # Here, not above: what other commands do should not load servers and stores.
    from ..demo.check import check
    from ..demo.server import CannotServe, serve

    try:
        if options.check:
            return check()
        serve(options.door, options.host, options.port)
    except CannotServe as reason:
        warn(str(reason))
        return Exit.NO
    return Exit.DONE


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r}")
    return int(text)
