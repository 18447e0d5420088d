"""A token from standard input or a file: what stands in a command is read by every process of
the machine, and kept in the shell's history."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .exits import Exit, Stop
from .output import warn

LARGEST = 1_048_576
"""In characters. A longer text is no token, and some other file by mistake."""


def given_token(options: argparse.Namespace) -> str:
    """The token, as it may have been copied: with its scheme, or cookie name, and line breaks.

    Raises `Stop`.
    """
    text = "".join(text_of(options.file).split())
    text = text.removeprefix("Authorization:").removeprefix("Bearer")
    # No token has an equals sign: what stands before one is a cookie's name.
    text = text.rpartition("=")[2].strip("\"';,")
    if not text:
        raise Stop(Exit.USAGE, "no token came: pipe it in, or name a file with --file")
    return text


def text_of(file: Path | None) -> str:
    """What a file or, without one, standard input holds. Raises `Stop`."""
    try:
        if file is not None:
            with file.open(encoding="utf-8", errors="replace") as opened:
                return opened.read(LARGEST)
    except OSError as error:
        raise Stop(Exit.USAGE, f"cannot read {str(file)!r}: {error.strerror}") from None
    if sys.stdin.isatty():
        warn("Paste it, then press Enter and Ctrl-D.")
    return sys.stdin.read(LARGEST)
