"""How many small changes to the files that decide go unnoticed: ``make mutants``.

Prints what nobody noticed and the share that was, file by file. It fails below 95 %, and
where ``equivalent.toml`` no longer says the truth: a change that is listed there as making no
difference must still exist, and must not be noticed.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import NamedTuple

os.environ["CI"] = "true"  # Hypothesis draws the same examples each time
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE)]

from changes import Change, changes_of  # noqa: E402
from trials import quick, thorough  # noqa: E402

BAR = 0.95
"""The share of changes, of those that make a difference, that tests have to notice."""

FLOW_TESTS = """
    tests/flow/test_four_cases.py tests/flow/test_handle.py tests/flow/test_faults.py
    tests/flow/test_check_session.py tests/flow/test_concurrency.py tests/test_process_memory.py
    tests/test_events.py tests/test_refusals.py tests/flow/test_glance.py
    tests/flow/test_siblings.py tests/test_rules.py tests/test_endpoints.py tests/test_issuers.py
    tests/test_key_files.py tests/doors/test_double_submit.py tests/doors/test_every_event.py
    tests/doors/test_preflights.py tests/doors/test_hints.py
"""
TESTS = {
    "rotation": "tests/test_rotation.py tests/flow/test_four_cases.py",
    "csrf": "tests/test_csrf.py tests/test_csrf_tokens.py tests/doors/test_double_submit.py",
    "transport": """
        tests/test_transport.py tests/test_queries.py tests/test_endpoints.py
        tests/flow/test_four_cases.py tests/flow/test_handle.py tests/doors/test_double_submit.py
    """,
    "tokens": """
        tests/test_tokens.py tests/test_nesting.py tests/test_issuers.py tests/test_key_files.py
        tests/flow/test_check_session.py tests/flow/test_four_cases.py
    """,
    "trust": """
        tests/test_tokens.py tests/test_nesting.py tests/test_issuers.py tests/test_legacy.py
        tests/test_key_files.py tests/test_roll_over.py
    """,
    "flow": FLOW_TESTS,
}
"""By file, the tests that know it best and are quick. The whole suite notices more."""


class Score(NamedTuple):
    """What became of the changes to a file."""

    file: str
    changes: int
    equivalent: int
    alive: list[Change]
    seconds: float

    @property
    def share(self) -> float:
        """Noticed, of those that make a difference."""
        counted = self.changes - self.equivalent
        return (counted - len(self.alive)) / counted


def equivalent() -> dict[str, dict[str, str]]:
    """By file, the changes that make no difference, each with the reason."""
    listed: dict[str, dict[str, str]] = {name: {} for name in TESTS}
    for entry in tomllib.loads((HERE / "equivalent.toml").read_text())["change"]:
        listed[entry["file"]][entry["name"]] = entry["reason"]
    return listed


def changes_in(name: str) -> list[Change]:
    """All changes to a file of the package."""
    return changes_of((ROOT / "jwt_middleware" / f"{name}.py").read_text())


def measure(name: str) -> Score:
    """Try all changes to a file."""
    begin = time.perf_counter()
    file = ROOT / "jwt_middleware" / f"{name}.py"
    tests = TESTS[name].split()
    listed = equivalent()[name]
    changes = changes_in(name)
    if strange := listed.keys() - {change.name for change in changes}:
        sys.exit(f"equivalent.toml: {name}.py has no such change: {sorted(strange)}")
    if not thorough(file, compile(file.read_text(), str(file), "exec"), tests):
        sys.exit(f"the tests of {name}.py fail without any change: {' '.join(tests)}")
    in_functions = [change for change in changes if change.function is not None]
    with tempfile.TemporaryDirectory() as folder:
        alive = quick(file, in_functions, tests, Path(folder) / "notes.json")
    sys.stderr.write(f"{name}.py: {len(in_functions)} tried, {len(alive)} to be looked into\n")
    at_import = [change for change in changes if change.function is None]
    if noticed := {change.name for change in in_functions if change.name in listed} - alive:
        sys.exit(f"equivalent.toml: in {name}.py these are noticed: {sorted(noticed)}")
    doubtful = [
        change
        for change in [*at_import, *in_functions]
        if change.name not in listed and (change.function is None or change.name in alive)
    ]
    alive_still = [change for change in doubtful if thorough(file, change.code(str(file)), tests)]
    return Score(name, len(changes), len(listed), alive_still, time.perf_counter() - begin)


def main(names: list[str]) -> None:
    """Measure these files, or all; the exit status says whether that was good enough."""
    os.chdir(ROOT)
    scores = []
    for name in names or list(TESTS):
        score = measure(name)
        scores.append(score)
        print(f"\n{name}.py: {score.share:.1%} of {score.changes - score.equivalent}", flush=True)  # noqa: T201
        for change in sorted(score.alive, key=lambda change: change.line):
            print(f"  line {change.line}: {change.name}", flush=True)  # noqa: T201
    print("\n| file | changes | make no difference | noticed | left | share | seconds |")  # noqa: T201
    print("|---|---|---|---|---|---|---|")  # noqa: T201
    for score in scores:
        noticed = score.changes - score.equivalent - len(score.alive)
        print(  # noqa: T201
            f"| `{score.file}.py` | {score.changes} | {score.equivalent} | {noticed} "
            f"| {len(score.alive)} | {score.share:.1%} | {score.seconds:.0f} |"
        )
    if any(score.share < BAR for score in scores):
        sys.exit(f"less than {BAR:.0%} noticed")


if __name__ == "__main__":
    main(sys.argv[1:])
