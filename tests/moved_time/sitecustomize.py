"""Lets the processes a test starts live in a time the test moves: no sleeping, and no clock in
the programs themselves.

Python imports a module of this name when it starts. A test puts this folder on PYTHONPATH, and
writes the seconds by which all of them are ahead into the file that ``TIME_AHEAD`` names.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

ahead = Path(os.environ["TIME_AHEAD"])
real_time = time.time


def moved_time() -> float:
    return real_time() + float(ahead.read_text("ascii"))


time.time = moved_time
