"""docs/keys.md, held to its word: its commands make keys, its steps are taken, its code is run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from stepping import SECRET, House

from jwt_middleware import Issuer, Settings
from jwt_middleware.jwk import read_keys

PAGE = (Path(__file__).parents[1] / "docs" / "keys.md").read_text("utf-8")
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
OPENSSL = shutil.which("openssl") or "openssl"


@pytest.mark.parametrize("number", range(3))
def test_its_commands_make_keys(number: int, tmp_path: Path) -> None:
    """Each command makes a key of the algorithms in its comment, the last its public half."""
    command, _, comment = COMMANDS[number].partition("#")
    for line in (command, COMMANDS[3]):
        arguments = [OPENSSL, *shlex.split(line)[1:]]
        subprocess.run(arguments, cwd=tmp_path, check=True, capture_output=True)
    for algorithm in comment.strip().split(", "):
        house: Any = House(
            algorithm=algorithm,
            private_key=tmp_path / "signing.pem",
            public_keys=tmp_path / "public.pem",
        )
        assert house.auth.issue("alice").access_token
        (public,) = read_keys((tmp_path / "public.pem").read_bytes(), [algorithm])
        (private,) = read_keys((tmp_path / "signing.pem").read_bytes(), [algorithm])
        assert public.kid == private.kid


def test_its_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block of Python works as it stands, one after the other."""
    monkeypatch.chdir(tmp_path)
    for command in (COMMANDS[0], COMMANDS[3]):
        arguments = [OPENSSL, *shlex.split(command, comments=True)[1:]]
        subprocess.run(arguments, check=True, capture_output=True)
    names: dict[str, Any] = {"SECRET": SECRET}
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, "docs/keys.md", "exec"), names)  # noqa: S102  # our own page
    assert names["Settings"] is Settings


def test_it_lists_what_an_issuer_has() -> None:
    """Its table names every parameter of an Issuer, in order, and nothing else."""
    table = PAGE.partition("| parameter | default | what |\n")[2].partition("\n\n")[0]
    cells = [row.split("|")[1] for row in table.splitlines()[1:]]
    listed = [name for cell in cells for name in re.findall("[a-z_]+", cell)]
    assert listed == list(Issuer.__dataclass_fields__)
