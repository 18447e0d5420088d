"""What helps to test an app, or a part written for it: a store of your own, for one.

Needs pytest.
"""

from __future__ import annotations

import pytest

# Before the import: so that a failing contract shows both sides of its assert.
pytest.register_assert_rewrite("jwt_middleware.testing.store_contract")

from jwt_middleware.testing.store_contract import SessionStoreContract  # noqa: E402

__all__ = ["SessionStoreContract"]
