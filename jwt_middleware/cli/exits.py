"""How a command ends: its exit status, for scripts, and its last sentence, for people."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What an exit status means; docs/command-line.md has the same table."""

    DONE = 0
    NO = 1
    """The question was understood, and the answer is no: a bad token, no such session."""
    USAGE = 2
    """The command itself was wrong; argparse's own number."""
    SETTINGS = 3
    """The settings are refused, or have no place for what was asked."""
    UNAVAILABLE = 4
    """A store or a server did not answer. Later it may."""


class Stop(Exception):
    """Ends a command early. Its text goes to standard error, and never holds a secret."""

    def __init__(self, status: Exit, text: str) -> None:
        super().__init__(text)
        self.status = status
