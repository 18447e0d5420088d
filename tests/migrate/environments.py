"""The packages people come from, each in an environment of its own.

An environment is made when a test first asks for it, and kept in ``.migrate/`` under a name that
changes with what is pinned here. Ours is imported there from its source.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import venv
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import pytest
from uncovered import environ_without_coverage

ROOT = next(path for path in Path(__file__).parents if (path / "pyproject.toml").exists())
OLD = Path(__file__).with_name("old")
OURS = ("pyjwt==2.15.1", "werkzeug==3.1.9", "asgiref==3.13.0")

PINNED: dict[str, tuple[str, ...]] = {
    "flask-jwt-extended": ("flask-jwt-extended==4.7.4", "flask==3.1.3"),
    "simplejwt": ("djangorestframework-simplejwt==5.5.1", "django==5.2.19"),
    "authx": ("authx==1.7.1", "fastapi==0.165.0"),
    "fastapi-users": ("fastapi-users==15.0.5", "fastapi==0.165.0"),
}


def python_of(package: str) -> Path:
    """The interpreter of a package's environment; skips, or fails, where it cannot be made."""
    python, fault = _made(package)
    if fault is not None:
        _missing(f"needs {package}, which pip cannot install: {fault}")
    return python


@cache  # without a network nobody tries again
def _made(package: str) -> tuple[Path, str | None]:
    """An environment's interpreter, and what was wrong if there is none."""
    wanted = (*PINNED[package], *OURS)
    stamp = sha256(repr((wanted, sys.version)).encode()).hexdigest()[:8]
    place = ROOT / ".migrate" / f"{package}-{stamp}"
    python, made = place / "bin" / "python", place / "made"
    place.parent.mkdir(exist_ok=True)
    with open(place.parent / f"{package}.lock", "w") as lock:  # tests run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists():
            return python, None
        venv.create(place, symlinks=True, clear=True)
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
        try:
            done = subprocess.run(
                [*pip, "--disable-pip-version-check", "--retries", "1", *wanted],
                capture_output=True,
                check=False,
                text=True,
                timeout=90,
            )
        except subprocess.TimeoutExpired:
            return python, "it took too long"
        if done.returncode:
            return python, " ".join(done.stderr.strip().splitlines()[-1:])
        made.touch()
    return python, None


def _missing(reason: str) -> NoReturn:
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def told_by(package: str, script: str, *arguments: str, cwd: Path = OLD) -> Any:
    """What a script of ``old/`` prints, as JSON, run beside that package."""
    paths = (ROOT, ROOT / "tests", ROOT / "tests" / "doors")
    done = subprocess.run(
        [str(python_of(package)), str(OLD / script), *arguments],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        cwd=cwd,
        # Without coverage, which is not installed there.
        env={
            **environ_without_coverage(),
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
