"""Programs that the tests start without coverage's instruments."""

from __future__ import annotations

import os


def environ_without_coverage() -> dict[str, str]:
    """This process's environment, but for what starts coverage in every Python below it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}
