import os
from pathlib import Path

import pytest

from jwt_middleware.stores import VERBS
from jwt_middleware.stores.memory import MemorySessionStore
from jwt_middleware.testing import SessionStoreContract
from jwt_middleware.testing.store_contract import NOW, a_session


class TestMemorySessionStore(SessionStoreContract):
    race_rounds = int(os.environ.get("RACE_ROUNDS", "10"))

    def make_store(self, tmp_path: Path) -> MemorySessionStore:
        return MemorySessionStore()


def test_the_contract_needs_a_store(tmp_path):
    """A subclass that forgot make_store is told so."""
    with pytest.raises(NotImplementedError, match="override make_store"):
        SessionStoreContract().make_store(tmp_path)


def test_every_verb_is_quick_enough_for_an_event_loop():
    """Nothing in it waits, so no verb needs a worker thread."""
    assert frozenset(VERBS) == MemorySessionStore.inline


def test_a_login_written_late_carries_the_reason_of_the_epoch():
    """It shows when and why everybody was sent out, as the sessions stored before do."""
    store = MemorySessionStore()
    store.revoke_subject("alice", reason="password", until=NOW + 9, now=NOW + 1)
    row = store.create(a_session(), now=NOW + 2)
    assert (row.revoked_at, row.revoked_reason) == (NOW + 1, "password")


def test_two_stores_share_nothing():
    """Each store is a world of its own."""
    MemorySessionStore().create(a_session(), now=NOW)
    assert MemorySessionStore().load("s", now=NOW) is None


def test_what_is_purged_leaves_nothing():
    """However many people have come and gone, nothing of them is left in memory."""
    store = MemorySessionStore()
    for number in range(3):
        subject = str(number)
        store.create(a_session(subject, subject=subject), now=NOW)
        store.create(a_session(subject + "b", subject=subject), now=NOW)
        store.revoke_subject(subject, reason="x", until=NOW + 9, now=NOW)
        store.revoke_subject(subject, reason="x", until=NOW + 8, now=NOW + 1)
    assert store.purge(NOW + 8.5) == 0
    assert len(store._epochs) == 0
    assert store.purge(NOW + 9000) == 6
    kept = (store._sessions, store._ids, store._ends, store._epochs, store._epoch_ends)
    assert not any(kept)
