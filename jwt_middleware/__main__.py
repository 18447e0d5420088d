"""The command line: ``python -m jwt_middleware``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; answers the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    status: int = options.command(options)
    return status


def _parser() -> argparse.ArgumentParser:
    """Every command is a parser that names its function as ``command``."""
    parser = argparse.ArgumentParser(
        prog="python -m jwt_middleware",
        description="Authentication middleware that reissues tokens inside the request.",
    )
    parser.add_argument("--version", action="version", version=f"jwt_middleware {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="")

    demo = commands.add_parser(
        "demo",
        help="try it in a browser, or let it check itself",
        description="Serve a page on which tokens are reissued before your eyes.",
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
    demo.set_defaults(command=_demo)
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r}")
    return int(text)


def _demo(options: argparse.Namespace) -> int:
    # Here, not above: what other commands do should not load servers and stores.
    from .demo.check import check
    from .demo.server import CannotServe, serve

    try:
        if options.check:
            return check()
        serve(options.door, options.host, options.port)
    except CannotServe as reason:
        print(reason, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
