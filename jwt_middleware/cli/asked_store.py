"""Which store a command asks: as a person may read it, and whether there is one at all."""

from __future__ import annotations

import re
from pathlib import Path

from .exits import Exit, Stop

_SQLITE = re.compile(r"sqlite(?:\+pysqlite)?:///(?!file:)([^?]+)", re.IGNORECASE).match

_HOST = r"(?:[\w.-]*|\[[0-9a-f:.]+\])(?::\d+)?"
_HARMLESS = re.compile(
    rf"(?P<scheme>[\w+.-]+://)(?P<user>[^@/?#]*@)?(?P<place>{_HOST}(?:/[\w./-]*)?)(?:\?[^@]*)?",
    re.IGNORECASE,
).fullmatch
"""A URL whose parts are certain. In any other one a password may stand anywhere."""


def place(url: str) -> str:
    """A file's absolute path, or the URL without what may be a password."""
    if file := _file(url):
        return str(file)
    if parts := _HARMLESS(url):
        return f"{parts['scheme']}{'…@' if parts['user'] else ''}{parts['place']}"
    return f"{url.partition('://')[0]}://…"


def check_file(url: str, prefix: str) -> None:
    """Raises `Stop` where a SQLite file is missing: to open it would make an empty one, and what
    is said of that would be true of no app."""
    file = _file(url)
    if file is not None and not _exists(file):
        raise Stop(
            Exit.SETTINGS,
            f"there is no file {str(file)!r}, so there are no sessions to work on; run the command "
            "in the folder of the app, or give the absolute path of the app's file, with four "
            f"slashes: {prefix}SESSION_STORE=sqlite:////srv/app/jwt-sessions.sqlite3",
        )


def _file(url: str) -> Path | None:
    named = _SQLITE(url)
    return Path(named[1]).absolute() if named else None


def _exists(file: Path) -> bool:
    """A file that cannot be looked at is left to the store, which says why."""
    try:
        file.stat()
    except OSError as error:
        return not isinstance(error, FileNotFoundError | NotADirectoryError)
    return True
