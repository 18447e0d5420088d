"""Other distributions that write into the folder of this package.

An import name is nobody's: two distributions may bring the same one, and whichever was installed
last has overwritten files of the other. What runs then is neither. An app notices that when it
starts. It looks at the list of files that installers keep (PEP 376), which takes less than a
millisecond; only where that does not agree are all other distributions looked at.
"""

from __future__ import annotations

import logging
import re
from functools import cache
from pathlib import Path

from .errors import ConfigurationError

OURS = "jwt-session-middleware"
IMPORT_NAME = "jwt_middleware"
FOLDER = Path(__file__).parent

_logger = logging.getLogger("jwt_middleware")
_IN_OUR_FOLDER = re.compile(rf"^{IMPORT_NAME}[/.]", re.MULTILINE).search
_LISTED = re.compile(rf"^{IMPORT_NAME}/([^/,]+)(?:,[^,]*,(\d+)$|/)", re.MULTILINE).finditer


@cache
def look_around(folder: Path = FOLDER) -> None:
    """Once a process: is ``folder`` all ours?

    Raises `ConfigurationError` where files of ours were replaced. Files beside ours are a warning.
    """
    listed = _listed(folder)
    if not listed:
        return  # not put here by an installer: a checkout, a zip, a vendored copy
    beside = {path.name for path in folder.iterdir()} - listed.keys() - {"__pycache__"}
    replaced = [name for name, size in listed.items() if _differs(folder / name, size)]
    if not beside and not replaced:
        return
    for other in neighbours():  # else somebody has patched us, and may
        text = advice(other)
        if replaced:
            raise ConfigurationError(text)
        _logger.warning("%s", text)


def neighbours() -> list[str]:
    """The names of other distributions with our import name."""
    # Here, not above: it takes longer to load than all of this package.
    from importlib.metadata import distributions

    found: set[str] = set()
    for one in distributions():
        files, tops = one.read_text("RECORD") or "", one.read_text("top_level.txt") or ""
        if _IN_OUR_FOLDER(files) or IMPORT_NAME in tops.split():
            # As PyPI compares names (PEP 503).
            found.add(re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower())
    return sorted(found - {OURS})


def advice(other: str) -> str:
    """What to do about a neighbour."""
    return (
        f"{other} has the import name {IMPORT_NAME}, too, and one has overwritten files of the "
        f"other; pip uninstall {other}, then pip install --force-reinstall {OURS}"
    )


def _listed(folder: Path) -> dict[str, int | None]:
    """By name, what our installer has put right into the folder, and the size of files."""
    listed: dict[str, int | None] = {}
    for record in folder.parent.glob(f"{OURS.replace('-', '_')}-*.dist-info/RECORD"):
        for line in _LISTED(record.read_text("utf-8")):
            listed[line[1]] = int(line[2]) if line[2] else None
    return listed


def _differs(path: Path, size: int | None) -> bool:
    """It is another file; one that was taken away is not."""
    return size is not None and path.exists() and path.stat().st_size != size
