"""What the tests of the command line share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from commanding import SECRET, Answer, Command, Piped

from jwt_middleware.cli.main import main


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    """Runs a command in a folder of its own: with its arguments, what is piped in, and the
    environment as keywords."""
    for name in list(os.environ):
        if name.startswith("JWT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, piped: str = "", **environ: str | None) -> Answer:
        monkeypatch.setattr(sys, "stdin", Piped(piped))
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environ.items():
                if value is None:
                    patch.delenv(name)
                else:
                    patch.setenv(name, value)
            capsys.readouterr()
            try:
                status = main(list(arguments))
            except SystemExit as ended:  # argparse's
                status = int(str(ended.code))
        out, err = capsys.readouterr()
        return Answer(status, str(out), str(err))

    return run
