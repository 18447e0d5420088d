"""Distributions that are installed beside ours and write into the same folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions

from .findings import Finding, Level

OURS = "jwt-session-middleware"
IMPORT_NAME = "jwt_middleware"


def neighbours() -> Iterator[Finding]:
    """Others with our import name: whichever was installed last has overwritten the other."""
    named = {_normal(one.metadata["Name"]) for one in distributions() if _brings_it(one)}
    for other in sorted(named - {OURS}):
        yield Finding(
            Level.RISK,
            "installed packages",
            f"{other} has the import name {IMPORT_NAME}, too, and one has overwritten files of "
            f"the other; pip uninstall {other}, then pip install --force-reinstall {OURS}",
        )


def _brings_it(distribution: Distribution) -> bool:
    """By its list of files (PEP 376), or what setuptools writes beside that."""
    files = distribution.read_text("RECORD") or ""
    names = distribution.read_text("top_level.txt") or ""
    return bool(_IN_OUR_FOLDER(files)) or IMPORT_NAME in names.split()


_IN_OUR_FOLDER = re.compile(rf"^{IMPORT_NAME}[/.]", re.MULTILINE).search


def _normal(name: str) -> str:
    """As PyPI compares names (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
