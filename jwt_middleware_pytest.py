"""The pytest plugin: what pytest loads by itself where this distribution is installed.

It stands outside the package on purpose. pytest loads it before anything else, in every project;
importing the package here would cost each run its time, and would hide its lines from coverage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from jwt_middleware.testing import FakeClock


@pytest.fixture
def jwt_clock() -> FakeClock:
    """A clock for ``JWTAuth(clock=jwt_clock)``; ``jwt_clock.move(seconds)`` lets time pass."""
    from jwt_middleware.testing import FakeClock

    return FakeClock()
