"""What `check` finds: how grave, about what, and what to do."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How grave a finding is, the gravest first."""

    FAULT = "fault"
    """The app would not start."""
    OUTAGE = "outage"
    """Something that the app needs does not answer."""
    LOST = "lost"
    """The request that was shown is not signed in."""
    RISK = "risk"
    """It works, at a price that should be meant."""
    NOTE = "note"
    """Worth knowing."""
    GOOD = "good"
    """Tried, and it works."""


class Finding(NamedTuple):
    """One thing that was found. Its text never holds a secret."""

    level: Level
    about: str
    """A setting, or what was tried."""
    text: str
