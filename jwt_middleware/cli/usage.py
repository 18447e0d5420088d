"""A command that was used wrongly is told so, and no token is said again.

Somebody gave it as an argument, where it does not belong; what is printed reaches logs, too.
"""

from __future__ import annotations

import argparse
import re
from typing import NoReturn

_TOKENS = re.compile(r"\be[wy][\w-]{14,}[\w.-]*")
"""A JSON object in base64url, and what follows it: whole tokens, and the beginnings of some."""

_HINT = (
    "a token is no argument, since every process of the machine can read those; pipe it in: "
    "jwt-middleware inspect < token.txt"
)


class Parser(argparse.ArgumentParser):
    """Of the program, and by `add_subparsers` of all its commands."""

    def error(self, message: str) -> NoReturn:
        super().error(without_tokens(message))


def without_tokens(message: str) -> str:
    """What may be printed of a message that quotes arguments."""
    safe, found = _TOKENS.subn("…", message)
    return f"{safe}; {_HINT}" if found else message
