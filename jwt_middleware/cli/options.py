"""Options and arguments that several commands have."""

from __future__ import annotations

import argparse
from pathlib import Path


def settings_options() -> argparse.ArgumentParser:
    """Of every command that reads settings."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--prefix",
        default="JWT_",
        help="what the names of the settings begin with in the environment (%(default)s)",
    )
    return options


def json_option() -> argparse.ArgumentParser:
    """Of every command that programs may read, too."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--json", action="store_true", help="one JSON document, for programs")
    return options


def token_option() -> argparse.ArgumentParser:
    """Of every command that reads a token; none takes it as an argument."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--file", type=Path, metavar="FILE", help="read the token from here, not standard input"
    )
    return options


def name(text: str) -> str:
    """Somebody's name, or a session's."""
    if not text:
        raise argparse.ArgumentTypeError("it must not be empty")
    return text
