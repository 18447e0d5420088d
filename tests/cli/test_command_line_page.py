"""docs/command-line.md, held to its word: its commands are run, its tables compared."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest
from commanding import SECRET

from jwt_middleware.cli.exits import Exit
from jwt_middleware.cli.main import COMMANDS

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text("utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(os.name == "nt", reason="the page is written for a POSIX shell")
def test_its_commands_run(tmp_path: Path) -> None:
    """Every command of the page works as it stands, one after the other, as it is installed."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("JWT_")}
    path = os.pathsep.join((sysconfig.get_path("scripts"), environ.get("PATH", "")))
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", "\n".join(BLOCKS)],
        cwd=tmp_path,
        env={**environ, "PATH": path, "JWT_SECRET_KEY": SECRET},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "NOT VERIFIED" in done.stdout
    assert "VALID." in done.stdout


def test_every_command_is_on_it() -> None:
    """The table has every command, in the order of the help."""
    listed = re.findall(r"^\| \[?`(\w[\w ]*)`", PAGE, re.MULTILINE)
    assert listed == [command.__name__.rpartition(".")[2] for command in COMMANDS]


def test_every_exit_status_is_on_it() -> None:
    """The table has every exit status, and no other."""
    listed = re.findall(r"^\| (\d) \|", PAGE, re.MULTILINE)
    assert [int(number) for number in listed] == list(Exit)
