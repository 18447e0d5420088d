"""A process forked while another of its threads is in the midst of something."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forging import SECRET
from keychain import key_for, pem

from jwt_middleware import JWTAuth, forks
from jwt_middleware.memory import Bounded

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


def in_child(works: Callable[[], object]) -> bool:
    """Whether it ends, and without an exception, in a forked child."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)  # who waits for ever is ended
        verdict = 1
        try:
            works()
            verdict = 0
        finally:
            os._exit(verdict)
    return os.waitpid(pid, 0)[1] == 0


def locks_of(auth: JWTAuth) -> list[Any]:
    parts = auth.flow.parts
    remembering: list[Any] = [parts.tokens.verified, parts.tokens._read, parts.memory.confirmed]
    store: Any = auth._sync_store()
    keys: Any = parts.tokens.own_keys
    return [
        *(bounded._lock for bounded in remembering),
        parts.memory._lock,
        store._lock,
        auth._opening,
        keys._looking,
    ]


def test_no_lock_is_inherited(tmp_path: Path) -> None:
    """A child signs in, verifies, signs out and opens stores, though all locks were held."""  # S51
    file = tmp_path / "key.pem"
    file.write_text(pem(key_for("ES256")), "ascii")
    auth = JWTAuth(
        secret_key=SECRET,
        algorithm="ES256",
        private_key=file,
        keys_reload=60,
        session_store="memory://",
    )
    pair = auth.issue("alice")
    locks = locks_of(auth)

    def works() -> None:
        tokens = auth.flow.parts.tokens
        again = auth.issue("bob")
        for one in (pair, again):
            found = tokens.verify(one.access_token, one.refresh_token, now=auth.clock())
            assert found.access_state == found.refresh_state == "valid"
        tokens.own_keys.refresh(None, auth.clock() + 100)
        auth._stores.clear()
        auth.issue("carol")
        auth.flow.parts.memory.end(again.session_id)
        auth.flow.parts.memory.confirmed.put(again.session_id, 1)

    for lock in locks:
        lock.acquire()
    try:
        assert in_child(works)
    finally:
        for lock in locks:
            lock.release()
    assert all(one is other for one, other in zip(locks, locks_of(auth), strict=True))


def test_a_child_follows_its_key_files(tmp_path: Path) -> None:
    """What its parent verified it verifies again, and a changed file is read."""  # S51
    file = tmp_path / "key.pem"
    file.write_text(pem(key_for("ES256")), "ascii")
    auth = JWTAuth(secret_key=SECRET, algorithm="ES256", private_key=file, keys_reload=60)
    keys: Any = auth.flow.parts.tokens.own_keys
    version, before = keys.version, keys.signing.kid
    keys._begin_again()
    assert keys.version == version + 1
    file.write_text(pem(key_for("ES256", 1)), "ascii")
    keys.refresh(None, auth.clock() + 100)
    assert keys.signing.kid != before


def test_what_is_gone_is_forgotten() -> None:
    """Forks are no reason to keep anything for ever, and what goes meanwhile is passed over."""
    gc.collect()
    before = len(forks._methods)
    kept: Any = [Bounded[str, int](4)]
    method = next(reversed(forks._methods.values()))
    assert len(forks._methods) == before + 1
    kept.clear()
    gc.collect()
    assert len(forks._methods) == before
    forks._methods[0] = method
    try:
        forks.after_fork()
    finally:
        del forks._methods[0]


def test_a_process_ends_without_a_word() -> None:
    """Whoever holds a `JWTAuth` until the end of the process is told nothing by it."""
    code = (
        "from jwt_middleware import JWTAuth; "
        "auth = JWTAuth(secret_key='x' * 40, session_store='memory://')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
