"""What a forked child begins anew: nobody there lets go of a lock that another thread has held."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from weakref import ReferenceType, WeakMethod

_methods: dict[int, WeakMethod[Callable[[], None]]] = {}


def in_each_child(begin_again: Callable[[], None]) -> None:
    """Have a method called in every process that is forked, for as long as its object lives."""
    method = WeakMethod(begin_again, _forget)
    _methods[id(method)] = method


def _forget(method: ReferenceType[Callable[[], None]]) -> None:
    _methods.pop(id(method), None)


def after_fork() -> None:
    """In the child, where no other thread is."""
    for method in list(_methods.values()):
        begin_again = method()
        if begin_again is not None:
            begin_again()


# Before the interpreter takes itself apart, and with it what a weak reference calls back.
atexit.register(_methods.clear)
if sys.platform != "win32":  # pragma: no branch
    os.register_at_fork(after_in_child=after_fork)
