"""Fuzz one target with atheris (libFuzzer): ``python tests/fuzz/run.py TARGET``.

It begins with the kept corpus and writes what it finds into ``.fuzz/TARGET``, which the next
run continues; ``--folder=`` names another folder than ``.fuzz``. An input that breaks a target
is left there as ``crash-…``. Further options are libFuzzer's: ``-runs=100000
-max_total_time=60 -seed=1``. With ``--keep`` the smallest inputs found that reach what no
kept one does are added to the kept corpus.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "doors"), str(ROOT)]

atheris: Any = importlib.import_module("atheris")  # an extra of its own

with atheris.instrument_imports(include=["jwt_middleware"]):
    from corpus import dictionary, keep, kept
    from mutants import MUTATORS
    from targets import PREPARED, TARGETS

MAX_LENGTH = 2048
"""Bytes of an input: what is longer than all limits is in the kept corpus already."""


def main() -> None:
    """Read the command line, and fuzz; libFuzzer ends the process."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--folder", type=Path, default=ROOT / ".fuzz")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--bare", action="store_true", help="all that libFuzzer needs is given")
    arguments, options = parser.parse_known_args()
    # Here, and not where the targets are: other tests read what is logged.
    logging.getLogger("jwt_middleware").setLevel(logging.CRITICAL)
    name: str = arguments.target
    if arguments.keep:
        _keep(name, arguments.folder)
    else:
        folders = [] if arguments.bare else _folders(name, arguments.folder)
        _fuzz(name, [*folders, *options])


def _fuzz(name: str, options: list[str]) -> None:
    mutate = MUTATORS.get(name)
    # Looked up late: atheris puts the true one there when it begins.
    bytewise = lambda data, limit: atheris.Mutate(data, limit)  # noqa: E731, PLW0108
    custom = {} if mutate is None else {"custom_mutator": partial(mutate, bytewise)}
    myself = f"'{sys.executable}' '{__file__}' {name} --bare"  # how libFuzzer is to call itself
    with PREPARED[name]():
        atheris.Setup([myself, *options], TARGETS[name], **custom)
        atheris.Fuzz()


def _keep(name: str, folder: Path) -> None:
    """Add the smallest of the inputs found that reach what no kept one does."""
    *_, found, seeds = _folders(name, folder)
    merge = ["--bare", "-merge=1", "-use_counters=0", seeds, found]
    subprocess.run([sys.executable, __file__, name, *merge], check=True)
    keep(name, [path.read_bytes() for path in Path(seeds).iterdir()])


def _folders(name: str, folder: Path) -> list[str]:
    """The corpus unpacked, as libFuzzer wants it: what it finds goes into the first folder."""
    found, seeds, words = folder / name, folder / f"{name}-kept", folder / f"{name}.dict"
    found.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(seeds, ignore_errors=True)
    seeds.mkdir()
    for number, data in enumerate(kept(name)):
        (seeds / f"{number:04}").write_bytes(data)
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in dictionary(name)), "ascii")
    return [
        f"-dict={words}",
        f"-max_len={MAX_LENGTH}",
        f"-artifact_prefix={found}/",
        "-print_final_stats=1",
        "-timeout=60",
        str(found),
        str(seeds),
    ]


def _escaped(word: bytes) -> str:
    return "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in word
    )


if __name__ == "__main__":
    main()
