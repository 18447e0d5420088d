"""`jwt-middleware` for a shell, started once: most of a command's time is that of its start.

A script named `jwt-middleware` stands first in the shell's PATH. It leaves its arguments in a file,
tells its process id, and waits for the exit status. This program, which has loaded everything,
takes the caller's own standard files, its folder and its variables, as a new process would.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from jwt_middleware.cli.main import main

SCRIPT = """#!/bin/sh
printf '%s\\0' "$@" > "$CALLS/$$.arguments"
mkfifo "$CALLS/$$.status"
echo "$$" > "$CALLS/calls"
read -r status < "$CALLS/$$.status"
exit "$status"
"""


def keep(folder: Path) -> None:
    """Answer calls until somebody ends it."""
    while True:
        caller = (folder / "calls").read_text("ascii").strip()
        status = called(Path("/proc", caller), (folder / f"{caller}.arguments").read_text("utf-8"))
        (folder / f"{caller}.status").write_text(f"{status}\n")


def called(caller: Path, arguments: str) -> int:
    """Run the command in the place of the process in ``/proc``."""
    os.environ.clear()
    variables = (caller / "environ").read_text("utf-8").split("\0")
    pairs = (variable.partition("=") for variable in variables)
    os.environ.update({name: value for name, _, value in pairs if name})
    os.chdir(caller / "cwd")
    kept = sys.stdin, sys.stdout, sys.stderr
    try:
        with (
            (caller / "fd" / "0").open(encoding="utf-8") as sys.stdin,
            (caller / "fd" / "1").open("a", encoding="utf-8") as sys.stdout,
            (caller / "fd" / "2").open("a", encoding="utf-8") as sys.stderr,
        ):
            return main(arguments.split("\0")[:-1])
    except SystemExit as ended:  # argparse's
        return int(str(ended.code))
    finally:
        sys.stdin, sys.stdout, sys.stderr = kept


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
