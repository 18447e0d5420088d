"""Whether tests notice a change: a fork for each, in which the file is the changed one.

Starting Python and collecting tests costs more than most tests. So there are two ways:

* `Quick`, a pytest plugin, collects once. For each change to a function it forks, gives the
  functions that live their changed code, and runs the tests that are known to call them, the
  quickest first, until one fails.
* `thorough` forks before anything of the package is imported and runs all the tests given
  with the changed file. It is for changes that happen at import, and for what the quick way
  has left alive: tests may have prepared things while they were collected.

A change that makes tests run for ever is noticed by the processor time they use.
"""

from __future__ import annotations

import gc
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from changes import Change

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0
"""Seconds of processor time after which the tests of a change count as failed."""

OPTIONS = ["-q", "-x", "--no-cov", "--no-header", "-p", "no:cacheprovider"]


def in_fork(work: Callable[[], bool], patience: float = PATIENCE) -> bool:
    """Whether ``work``, done by a silent fork of this process, says True; a crash says False."""
    child = os.fork()
    if child == 0:
        good = False
        try:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            signal.setitimer(signal.ITIMER_PROF, patience)
            good = work()
        finally:
            os._exit(0 if good else 1)
    return os.waitpid(child, 0)[1] == 0


# ── The thorough way ─────────────────────────────────────────────────────────────


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module of the package, and runs the changed code for it."""

    def __init__(self, file: Path, code: CodeType) -> None:
        self._name = f"jwt_middleware.{file.stem}"
        self._file = file
        self._code = code

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != self._name:
            return None
        spec = importlib.machinery.ModuleSpec(name, self, origin=str(self._file))
        spec.has_location = True
        return spec

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)  # noqa: S102  # that is what a loader does


def thorough(file: Path, code: CodeType, tests: Sequence[str]) -> bool:
    """Whether all tests pass with this code in the place of the file's."""

    def work() -> bool:
        assert "jwt_middleware" not in sys.modules
        sys.meta_path.insert(0, _Changed(file, code))
        return pytest.main([*OPTIONS, *tests]) == 0

    return in_fork(work, patience=180)  # for all of them, one after the other


# ── The quick way ────────────────────────────────────────────────────────────────


def quick(file: Path, changes: Sequence[Change], tests: Sequence[str], notes: Path) -> set[str]:
    """The names of the changes to functions that no test notices."""

    def work() -> bool:
        plugin = Quick(file, changes, notes)
        return pytest.main([*OPTIONS, "-s", *tests], plugins=[plugin]) == 0

    if not in_fork(work, patience=36_000):
        raise SystemExit(f"the tests of {file.name} could not be collected: {' '.join(tests)}")
    return set(json.loads(notes.read_text()))


class Quick:
    """Takes the place of pytest's loop over the tests it has collected."""

    def __init__(self, file: Path, changes: Sequence[Change], notes: Path) -> None:
        self._file = file
        self._changes = changes
        self._notes = notes

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try every change in a fork of its own."""
        callers = self._callers(session.items)
        source = self._file.read_text()
        before = list(_functions(compile(source, str(self._file), "exec")))
        alive = []
        for change in self._changes:
            after = list(_functions(change.code(str(self._file))))
            pairs = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
            tests = [
                session.items[number] for old, _ in pairs for number in callers.get(_key(old), ())
            ]
            if in_fork(lambda: _swap(pairs) and _pass(tests)):  # noqa: B023  # called at once
                alive.append(change.name)
        self._notes.write_text(json.dumps(alive))
        return True

    def _callers(self, items: list[pytest.Item]) -> dict[str, list[int]]:
        """By function, the numbers of the tests that call it, quickest first."""

        def work() -> bool:
            seen = [_calls(item, str(self._file)) for item in items]
            self._notes.write_text(json.dumps(seen))
            return True

        if not in_fork(work, patience=36_000):
            raise SystemExit("the tests could not be run")
        found: dict[str, list[tuple[float, int]]] = {}
        for number, (seconds, keys) in enumerate(json.loads(self._notes.read_text())):
            for key in keys:
                found.setdefault(key, []).append((seconds, number))
        return {key: [number for _, number in sorted(tests)] for key, tests in found.items()}


def _calls(item: pytest.Item, file: str) -> tuple[float, list[str]]:
    """How long a test takes, and which functions of the file it calls; none if it fails."""
    called: set[CodeType] = set()

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename == file:
            called.add(frame.f_code)

    begin = time.perf_counter()
    sys.setprofile(note)
    try:
        good = _pass([item])
    finally:
        sys.setprofile(None)
    return time.perf_counter() - begin, [_key(code) for code in called if good]


def _pass(items: Sequence[pytest.Item]) -> bool:
    """Whether the tests pass; stops at the first that does not."""
    return not any(
        report.failed
        for item in items
        for report in runtestprotocol(item, log=False, nextitem=None)
    )


def _key(code: CodeType) -> str:
    return f"{code.co_firstlineno} {code.co_qualname}"


def _functions(code: CodeType) -> Iterator[CodeType]:
    """The functions of a module and of its classes, in order, but none inside of others."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            is_class = "__qualname__" in constant.co_names and "__module__" in constant.co_names
            if is_class:
                yield from _functions(constant)
            else:
                yield constant


def _swap(pairs: Sequence[tuple[CodeType, CodeType]]) -> bool:
    """Give the functions that live their changed code."""
    for old, new in pairs:
        for function in gc.get_objects():
            if type(function) is FunctionType and function.__code__ == old:
                function.__code__ = new
    return True
