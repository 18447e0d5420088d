"""What failed, told from an exception that was made by somebody else."""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(r"//[^/\s]*@")
"""User and password in a URL (RFC 3986 section 3.2.1)."""


def what_failed(error: BaseException) -> str:
    """One line: what is unavailable, and, where that is known, why."""
    text = _first_line(error)
    cause = error.__cause__
    return text if cause is None else f"{text} ({type(cause).__name__}: {_first_line(cause)})"


def _first_line(error: BaseException) -> str:
    """Drivers append statements and their parameters; those stand on lines of their own."""
    line = str(error).strip().partition("\n")[0]
    return _CREDENTIALS.sub("//…@", line)
