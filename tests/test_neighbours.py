"""A second distribution in our folder: what an app says when it starts."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from uncovered import environ_without_coverage

from jwt_middleware import neighbours
from jwt_middleware.errors import ConfigurationError
from jwt_middleware.neighbours import FOLDER, look_around


def installed(site: Path, name: str, files: dict[str, str]) -> None:
    """A distribution as an installer leaves it: its files, and their list."""
    info = site / f"{name}-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    lines = []
    for path, content in files.items():
        file = site / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        lines.append(f"{path},sha256=abc,{len(content)}\n")
    (info / "RECORD").write_text("".join([*lines, f"{info.name}/RECORD,,\n"]))


OURS = {
    "jwt_middleware/__init__.py": "# ours",
    "jwt_middleware/flow.py": "# ours, too",
    "jwt_middleware/stores/memory.py": "# a folder",
    "jwt_middleware/__pycache__/flow.cpython-311.pyc": "-",
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    installed(tmp_path, "jwt_session_middleware", OURS)
    monkeypatch.syspath_prepend(tmp_path)
    look_around.cache_clear()
    return tmp_path


def look(site: Path) -> None:
    look_around(site / "jwt_middleware")


def test_nobody_else(
    site: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where all files are ours, no other distribution is looked at."""
    monkeypatch.delattr(neighbours, "neighbours")
    look(site)
    assert caplog.records == []


def test_files_that_were_replaced(site: Path) -> None:
    """An app whose files are another's does not start, and says how to be rid of it."""
    installed(site, "another", {"jwt_middleware/__init__.py": "# theirs, installed last"})
    with pytest.raises(ConfigurationError, match="pip uninstall another, then pip install"):
        look(site)


def test_files_beside_ours(site: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Files that lie beside ours are a warning, once a process."""
    installed(site, "Another_One", {"jwt_middleware/extra.py": "# theirs"})
    for _ in range(2):
        look(site)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "another-one has the import name jwt_middleware, too" in record.getMessage()


def test_files_that_somebody_changed(site: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who patches our files, adds to them or takes some away is no other distribution."""
    (site / "jwt_middleware/flow.py").write_text("# ours, with a print in it")
    (site / "jwt_middleware/notes.txt").write_text("remember")
    (site / "jwt_middleware/__init__.py").unlink()
    look(site)
    assert caplog.records == []


def test_a_checkout(tmp_path: Path) -> None:
    """What no installer has put there is taken as it is."""
    look_around.cache_clear()
    (tmp_path / "jwt_middleware").mkdir()
    look(tmp_path)


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_an_app_at_its_start(tmp_path: Path, door: str) -> None:
    """The real package, with one file of another's over it: neither door opens."""
    own = {
        path.relative_to(FOLDER.parent).as_posix(): path.read_text("utf-8")
        for path in FOLDER.rglob("*.py")
    }
    installed(tmp_path, "jwt_session_middleware", own)
    shutil.rmtree(tmp_path / "jwt_middleware" / "demo")
    installed(tmp_path, "jwt_middleware", {"jwt_middleware/__init__.py": "middleware = None\n"})
    # Without coverage: what runs is a copy.
    environ = environ_without_coverage()
    code = f"from jwt_middleware.{door} import JWTMiddleware as M; M(None, secret_key='x' * 40)"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 1
    assert "jwt_middleware cannot start: jwt-middleware has the import name" in answer.stderr
