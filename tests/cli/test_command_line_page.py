"""docs/command-line.md, held to its word: its commands are run, its tables compared."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import kept
import pytest
from commanding import SECRET

from jwt_middleware.cli.exits import Exit
from jwt_middleware.cli.main import COMMANDS

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text("utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Callable[[str], subprocess.CompletedProcess[str]]]:
    """Runs a script in a folder of its own, where `jwt-middleware` is loaded already."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("JWT_")}
    calls, folder = tmp_path / "calls", tmp_path / "folder"
    calls.mkdir()
    folder.mkdir()
    (calls / "jwt-middleware").write_text(kept.SCRIPT)
    (calls / "jwt-middleware").chmod(0o755)
    os.mkfifo(calls / "calls")
    path = os.pathsep.join((str(calls), sysconfig.get_path("scripts"), environ.get("PATH", "")))

    def run(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-e", "-c", script],
            cwd=folder,
            env={**environ, "PATH": path, "CALLS": str(calls), "JWT_SECRET_KEY": SECRET},
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )

    with subprocess.Popen([sys.executable, kept.__file__, str(calls)]) as process:
        yield run
        process.terminate()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs a shell, and Linux's /proc")
def test_its_commands_run(shell: Callable[[str], subprocess.CompletedProcess[str]]) -> None:
    """Every command of the page works as it stands, one after the other."""
    done = shell("\n".join(BLOCKS))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "NOT VERIFIED" in done.stdout
    assert "VALID." in done.stdout


def test_it_is_installed() -> None:
    """The installer has put the command where programs are."""
    program = shutil.which("jwt-middleware", path=sysconfig.get_path("scripts"))
    assert program is not None
    done = subprocess.run([program, "keygen"], check=True, capture_output=True, timeout=60)
    assert len(done.stdout.strip()) >= 43


def test_every_command_is_on_it() -> None:
    """The table has every command, in the order of the help."""
    listed = re.findall(r"^\| \[?`(\w[\w ]*)`", PAGE, re.MULTILINE)
    assert listed == [command.__name__.rpartition(".")[2] for command in COMMANDS]


def test_every_exit_status_is_on_it() -> None:
    """The table has every exit status, and no other."""
    listed = re.findall(r"^\| (\d) \|", PAGE, re.MULTILINE)
    assert [int(number) for number in listed] == list(Exit)
