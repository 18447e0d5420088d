"""The measure of the tests, measured: which changes are made, and that they are noticed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from changes import changes_of
from measure import BAR, ROOT, TESTS, Score, changes_in, equivalent
from uncovered import environ_without_coverage


def names_of(source: str) -> list[str]:
    return [change.name for change in changes_of(source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a = b < c", ["b < c → b <= c", "b < c → b >= c"]),
        ("a = b is None", ["b is None → b is not None"]),
        ("a = b and not c", ["b and (not c) → b or not c", "b and (not c) → not c"]),
        ("a = b + 1", ["b + 1 → b - 1", "1 → 2"]),
        ("a = True", ["True → False"]),
        ("a = 'x'", ["'x' → 'XXx'"]),
        ("a = min(b)", ["min(b) → max(b)"]),
        ("a = b.lower()", ["b.lower() → b"]),
        ("if a: pass", ["if a: → if not a:"]),
        ("a.b = c", ["a.b = c → pass"]),
        ("a += b", ["a += b → a -= b"]),
        ("f(a)", ["f(a) → pass"]),
        ("raise A", ["raise A → pass"]),
    ],
)
def test_what_is_changed(source: str, expected: list[str]) -> None:
    """Comparisons, conditions, numbers, texts, calls and statements become others."""
    names = [name.removeprefix("module: ") for name in names_of(source)]
    assert set(expected) <= set(names)


@pytest.mark.parametrize(
    "source",
    [
        '"""What it is for."""',
        "a: int | None",
        "A: TypeAlias = Literal['a']",
        "__slots__ = ('a',)",
        "assert a == 1",
        "a = 'a sentence of several words'",
        "import a.b as c",
    ],
)
def test_what_is_left_alone(source: str) -> None:
    """What decides nothing is not changed."""
    assert names_of(source) == []


def test_a_change_knows_its_place() -> None:
    """A change is named after where it is, and counted where it could be meant twice."""
    source = "class A:\n    def b(self, c=1):\n        return [1, 1, lambda: 1]\n"
    assert [(change.name, change.function) for change in changes_of(source)] == [
        ("A.b: 1 → 2", None),
        ("A.b: return [1, 1, lambda: 1] → return None", "A.b"),
        ("A.b: 1 → 2 (2)", "A.b"),
        ("A.b: 1 → 2 (3)", "A.b"),
        ("A.b: 1 → 2 (4)", "A.b"),
    ]


def test_a_change_is_made() -> None:
    """The code of a change is that of the file with this one thing changed."""
    before: dict[str, object] = {}
    after: dict[str, object] = {}
    source = "a, b = 1, 1\n"
    exec(source, before)  # noqa: S102  # a line of our own
    exec(changes_of(source)[1].code("some.py"), after)  # noqa: S102
    assert (before["a"], before["b"], after["a"], after["b"]) == (1, 1, 1, 2)


@pytest.mark.parametrize("name", TESTS)
def test_what_is_listed_exists(name: str) -> None:
    """Each change that is listed as making no difference is one that is made, with a reason."""
    known = {change.name for change in changes_in(name)}
    for change, reason in equivalent()[name].items():
        assert change in known, f"equivalent.toml: no such change of {name}.py"
        assert len(reason) > 20
    for path in TESTS[name].split():
        assert (ROOT / path).exists()


def test_the_share() -> None:
    """Changes that make no difference count neither way."""
    some = changes_of("a = 1")
    assert Score("x", 21, 1, some, 0.0).share == BAR
    assert Score("x", 21, 1, some * 2, 0.0).share < BAR


NOTICED = "swap_to_successor: session.generation + 1 → session.generation - 1"
UNSEEN = "Verdict: 'late' → 'XXlate'"

BOTH_WAYS = """
import json, sys
from pathlib import Path
sys.path.insert(0, "tests/mutation")
from measure import changes_in
from trials import quick, thorough
file = Path("jwt_middleware/rotation.py").resolve()
tests = ["tests/test_rotation.py"]
changes = {change.name: change for change in changes_in("rotation")}
noticed, unseen = (changes[name] for name in sys.argv[2:])
alive = quick(file, [noticed], tests, Path(sys.argv[1]))
codes = [change.code(str(file)) for change in (noticed, unseen)]
print(json.dumps([*alive, [thorough(file, code, tests) for code in codes]]))
"""


def test_both_ways_notice(tmp_path: Path) -> None:
    """A change that a test contradicts is noticed, and one that none looks at is not."""
    # In an interpreter that has not imported the package, and without coverage's instruments.
    environ = environ_without_coverage()
    done = subprocess.run(
        [sys.executable, "-c", BOTH_WAYS, str(tmp_path / "notes.json"), NOTICED, UNSEEN],
        cwd=ROOT,
        env=environ,
        check=True,
        capture_output=True,
        text=True,
        timeout=115,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [[False, True]]
