"""Fuzzing, for a bounded number of executions; ``make fuzz`` goes on for as long as you like.

The kept corpora are played on every Python. The mutants need atheris, which has wheels for
some of them: where it cannot be had they are skipped, and ``REQUIRE_SERVICES=1`` makes such a
skip a failure.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from corpus import keep, kept
from targets import PREPARED, TARGETS
from uncovered import environ_without_coverage

from jwt_middleware import (
    csrf,
    jwe,
    keys,
    nesting,
    setting_kinds,
    settings,
    tokens,
    transport,
    trust,
)
from jwt_middleware.jws import decode_segment

RUN = Path(__file__).parent / "run.py"

EXECUTIONS = {
    "tokens": 40_000,
    "nested": 25_000,
    "fields": 60_000,
    "doors": 5_000,
    "settings": 5_000,
}
"""About ten seconds each on an idle core; the same ones each time, since the seed is fixed."""


def play(name: str) -> None:
    """Show a target all its kept inputs."""
    with PREPARED[name]():
        for data in kept(name):
            TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_stays_found(name: str) -> None:
    """No kept input raises what it must not, or gets a verdict the reference does not share."""
    # S14: the kept inputs reach what random ones took millions of executions to find
    assert len(kept(name)) >= 40
    play(name)


@pytest.mark.parametrize("name", TARGETS)
def test_mutants_find_nothing(name: str, tmp_path: Path) -> None:
    """Mutants of the corpus raise nothing foreign, and none is accepted without a signature."""
    # S1, S7, S11, S12, S14, S15, S17, S18, S19, S22, S25, S26, S53
    if importlib.util.find_spec("atheris") is None:
        _missing("needs atheris: pip install '.[fuzz]' (wheels for Linux, CPython 3.11 to 3.14)")
    # Without coverage, which would count what atheris has rewritten.
    environ = environ_without_coverage()
    done = subprocess.run(
        [
            *(sys.executable, str(RUN), name, f"--folder={tmp_path}", "-seed=1"),
            *(f"-runs={EXECUTIONS[name]}", "-max_total_time=90"),
        ],
        check=False,
        env=environ,
        capture_output=True,
        text=True,
        timeout=115,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "stat::number_of_executed_units" in done.stderr


def _missing(what: str) -> NoReturn:
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(what)
    pytest.skip(what)


# ── The targets notice ───────────────────────────────────────────────────────────


def _always(answer: Any) -> Callable[..., Any]:
    return lambda *arguments, **options: answer


BREAKS: list[tuple[str, object, str, Any]] = [
    ("tokens", keys.Key, "verify", _always(True)),
    ("tokens", trust, "_check_audience", _always(None)),
    ("tokens", trust, "moment", lambda members, name: float(members[name])),
    ("tokens", tokens, "text", lambda members, name: members.get(name)),
    ("nested", keys.Key, "verify", _always(True)),
    ("nested", nesting.Nesting, "check", _always(None)),
    ("nested", jwe.Cipher, "decrypt", lambda self, token: decode_segment(token.split(".")[3])),
    ("nested", nesting, "InvalidToken", KeyError),
    ("fields", transport, "find_cookie", lambda field, name: field.partition(name)[2] or None),
    ("fields", transport.Transport, "_bearer", lambda self, field: field),
    ("doors", keys.Key, "verify", _always(True)),
    ("doors", csrf, "names_host", lambda origin, host: 1 / (host == "testserver")),
    ("settings", setting_kinds, "_shape", _always(None)),
    ("settings", setting_kinds, "key_file_shape", bytes.decode),
    ("settings", settings, "_too_short", _always(())),
]


@pytest.mark.parametrize(("name", "place", "part", "broken"), BREAKS)
def test_a_target_notices(
    name: str, place: object, part: str, broken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that is broken on purpose is found by the kept inputs alone."""
    monkeypatch.setattr(place, part, broken)
    with pytest.raises(Exception):  # noqa: B017, PT011  # whatever it is that was let out
        play(name)


def test_inputs_are_kept_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any bytes can be kept, one input a line, and come back the same."""
    monkeypatch.setattr("corpus.FOLDER", tmp_path)
    inputs = [b"", b"a", b"'\"\\\n\r\x00\xff", bytes(range(256)), b"\\", b"'", b'"']
    keep("any", inputs)
    assert sorted(kept("any")) == sorted(inputs)
