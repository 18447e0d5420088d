"""What helps to test an app, or a part written for it: a store of your own, for one.

Needs pytest; of the frameworks, only the one whose client is handed in.
"""

from __future__ import annotations

import pytest

# Before the import: so that a failing contract shows both sides of its assert.
pytest.register_assert_rewrite("jwt_middleware.testing.store_contract")

from jwt_middleware.testing.clients import login_as  # noqa: E402
from jwt_middleware.testing.clock import FakeClock  # noqa: E402
from jwt_middleware.testing.made_tokens import expired_token, make_token  # noqa: E402
from jwt_middleware.testing.races import race_tasks, race_threads  # noqa: E402
from jwt_middleware.testing.reissued import assert_not_reissued, assert_reissued  # noqa: E402
from jwt_middleware.testing.store_contract import SessionStoreContract  # noqa: E402

__all__ = [
    "FakeClock",
    "SessionStoreContract",
    "assert_not_reissued",
    "assert_reissued",
    "expired_token",
    "login_as",
    "make_token",
    "race_tasks",
    "race_threads",
]
