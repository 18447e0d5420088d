"""The command line, as tests run it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import NamedTuple

SECRET = "a secret of the tests, 32 bytes and more"


class Answer(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


class Piped(io.StringIO):
    """Standard input."""

    terminal = False

    def isatty(self) -> bool:
        return self.terminal


Command = Callable[..., Answer]
"""Runs a command: with its arguments, what is piped in, and the environment as keywords."""
