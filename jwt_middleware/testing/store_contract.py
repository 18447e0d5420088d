"""The contract of :class:`jwt_middleware.sessions.SessionStore`, as tests."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from threading import Barrier
from typing import Any, ClassVar, TypeVar

import pytest

from jwt_middleware.sessions import Rotation, Session, SessionStore

T = TypeVar("T")

NOW = time.time()
"""Close to the real time: a store may let rows go by a clock of its own once they are past."""

RACERS = 16
"""Threads in each race."""

CLAIMS: dict[str, Any] = {
    "name": "Zoë Čapek, 山田太郎 🔐",
    "quote": 'it\'s "so" \\ é\u0301 %s {0} :name',
    "roles": ["admin", "ops"],
    "nested": {"a": [{"b": {"c": [1, [2, [3]]]}}], "": None},
    "numbers": [0, -1, 2**53 + 1, 0.1 + 0.2, 1e-300, 1.7976931348623157e308],
    "yes": True,
    "no": False,
    "nothing": None,
    "empty": [{}, [], ""],
}


def a_session(session_id: str = "s", **changes: Any) -> Session:
    """A session of alice as it is right after she signed in, but for ``changes``."""
    fresh = Session(
        id=session_id,
        subject="alice",
        claims={"roles": ["user"]},
        persistent=True,
        created_at=NOW,
        rotated_at=NOW,
        expires_at=NOW + 1000,
        absolute_expires_at=NOW + 5000,
        refresh_salt="salt",
        last_seen_at=NOW,
    )
    return replace(fresh, **changes)


class SessionStoreContract:
    """What every session store must do. Subclass it in your own tests, and run pytest::

        from jwt_middleware.testing import SessionStoreContract

        class TestMyStore(SessionStoreContract):
            def make_store(self, tmp_path):
                return MyStore(...)

    ``make_store`` answers an empty store; it is called once a test, and the store is closed
    after it. ``tmp_path`` is pytest's: a directory of this one test. A store that others keep
    for you (a database server) has to be emptied there.

    The times that the tests pass are near the real time, and none of the rows is past before
    the test has ended, so that a store may also expire rows by its own clock.
    """

    race_rounds: ClassVar[int] = 10
    """How often each race is run. More finds rarer faults."""

    def make_store(self, tmp_path: Path) -> SessionStore:
        """An empty store: override this."""
        raise NotImplementedError("override make_store(self, tmp_path): it answers an empty store")

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SessionStore]:
        """The store under test."""
        store = self.make_store(tmp_path)
        yield store
        store.close()

    # ── create and load ───────────────────────────────────────────────────────────

    def test_every_field_comes_back_exactly(self, store: SessionStore) -> None:
        """Every field is loaded as it was created: floats to the last bit, types kept."""
        full = a_session(
            subject="Zoë/山田 太郎'\"%_\\🔐",
            claims=CLAIMS,
            persistent=True,
            created_at=NOW + 0.1,
            rotated_at=math.nextafter(NOW, math.inf),
            expires_at=NOW + 1000 + 1 / 3,
            absolute_expires_at=math.nextafter(NOW + 5000, 0),
            generation=2**31 + 7,
            confirmed_generation=2**31 + 6,
            confirmed_at=NOW + 0.2,
            last_seen_at=NOW + 0.3,
            user_agent="Mozilla/5.0 (X11; 日本語) " + "x" * 300,
            address="2001:db8::1%eth0",
        )
        store.create(full, now=NOW)
        self._assert_same(store.load("s", now=NOW), full)

    def test_the_fields_that_may_be_absent_stay_absent(self, store: SessionStore) -> None:
        """None, False, zero and an empty object come back as what they are."""
        bare = a_session(persistent=False, claims={})
        store.create(bare, now=NOW)
        self._assert_same(store.load("s", now=NOW), bare)

    def test_a_session_created_ended_stays_ended(self, store: SessionStore) -> None:
        """A row that is revoked when it is created keeps its own time and reason."""
        ended = a_session(revoked_at=NOW - 1, revoked_reason="imported")
        store.revoke_subject("alice", reason="everywhere", until=NOW + 5000, now=NOW)
        store.create(ended, now=NOW)
        self._assert_same(store.load("s", now=NOW), ended)

    def test_create_answers_the_row_as_stored(self, store: SessionStore) -> None:
        """What create answers is what load answers."""
        session = a_session(claims=CLAIMS)
        self._assert_same(store.create(session, now=NOW), session)

    def test_an_id_is_stored_once(self, store: SessionStore) -> None:
        """Creating an id that is there raises, and changes nothing at all."""
        store.create(a_session(), now=NOW)
        store.create(a_session("other"), now=NOW)
        with pytest.raises(Exception):  # noqa: B017, PT011  # each store has its own
            store.create(a_session(subject="mallory"), ends=["other"], now=NOW)
        assert store.load("s", now=NOW) == a_session()
        assert store.load("other", now=NOW) == a_session("other")

    def test_an_unknown_id_is_no_session(self, store: SessionStore) -> None:
        """Loading an id that was never created answers None."""
        store.create(a_session(), now=NOW)
        assert store.load("unknown", now=NOW) is None

    def test_ids_are_compared_exactly(self, store: SessionStore) -> None:
        """Case, accents and a space at the end make another id."""
        ids = ["s", "S", "s ", "ś"]
        for session_id in ids:
            store.create(a_session(session_id, claims={"mine": session_id}), now=NOW)
        assert store.revoke("S", reason="logout", now=NOW)
        found = [store.load(session_id, now=NOW) for session_id in ids]
        assert [row and row.claims["mine"] for row in found] == ids
        assert [row and row.revoked for row in found] == [False, True, False, False]

    def test_load_shows_what_is_over(self, store: SessionStore) -> None:
        """Load answers a row past its expiry, and an ended one with when and why."""
        store.create(a_session(), now=NOW)
        store.revoke("s", reason="logout", now=NOW + 1)
        ended = a_session(revoked_at=NOW + 1, revoked_reason="logout")
        assert store.load("s", now=NOW + 9000) == ended

    def test_claims_given_are_copied(self, store: SessionStore) -> None:
        """Changing claims after they were given to the store changes no row."""
        claims: dict[str, Any] = {"roles": ["user"]}
        store.create(a_session(claims=claims), now=NOW)
        claims["roles"].append("admin")
        assert self._claims(store) == {"roles": ["user"]}

        claims = {"roles": ["updated"]}
        store.update("s", claims, now=NOW)
        claims["roles"].append("admin")
        assert self._claims(store) == {"roles": ["updated"]}

        claims = {"roles": ["rotated"]}
        self._rotate(store, claims=claims)
        claims["roles"].append("admin")
        assert self._claims(store) == {"roles": ["rotated"]}

    def test_claims_answered_are_copies(self, store: SessionStore) -> None:
        """Changing claims a verb answered changes no row."""
        answers = [
            store.create(a_session(), now=NOW),
            store.load("s", now=NOW),
            store.update("s", {"roles": ["user"]}, now=NOW),
            self._rotate(store).session,
            self._rotate(store).session,  # this one loses
            *store.find("alice", now=NOW),
        ]
        for row in answers:
            assert row is not None
            row.claims["roles"].append("admin")
        assert self._claims(store) == {"roles": ["user"]}

    def test_create_ends_others(self, store: SessionStore) -> None:
        """The sessions in ``ends``, of whatever subject, are revoked as replaced; no others."""
        before = [a_session("a"), a_session("b", subject="bob"), a_session("c")]
        for session in before:
            store.create(session, now=NOW)
        store.create(a_session("new"), ends=["a", "b"], now=NOW + 1)
        assert [store.load(session_id, now=NOW) for session_id in ("a", "b", "c", "new")] == [
            a_session("a", revoked_at=NOW + 1, revoked_reason="replaced"),
            a_session("b", subject="bob", revoked_at=NOW + 1, revoked_reason="replaced"),
            a_session("c"),
            a_session("new"),
        ]

    def test_create_passes_over_what_has_ended(self, store: SessionStore) -> None:
        """In ``ends``, an ended session keeps its time and reason, an unknown id is nothing."""
        store.create(a_session("a"), now=NOW)
        store.revoke("a", reason="logout", now=NOW + 1)
        store.create(a_session("new"), ends=["a", "unknown"], now=NOW + 2)
        ended = a_session("a", revoked_at=NOW + 1, revoked_reason="logout")
        assert store.load("a", now=NOW) == ended
        assert store.load("unknown", now=NOW) is None
        assert store.load("new", now=NOW) == a_session("new")

    # ── rotate ────────────────────────────────────────────────────────────────────

    @pytest.mark.parametrize("start", [float(int(NOW)), NOW + 0.1], ids=["whole", "fraction"])
    def test_rotate_moves_the_row(self, store: SessionStore, start: float) -> None:
        """A swap that wins sets what it is given, and nothing else, and answers the new row."""
        store.create(a_session(claims=CLAIMS), now=NOW)
        row, won = self._rotate(
            store, rotated_at=start, expires_at=start + 1010, confirmed=0, now=start + 20
        )
        moved = a_session(
            claims=CLAIMS,
            generation=1,
            rotated_at=start,
            expires_at=start + 1010,
            last_seen_at=start + 20,
        )
        assert won
        self._assert_same(row, moved)
        self._assert_same(store.load("s", now=NOW), moved)

    def test_rotate_loses_at_another_generation(self, store: SessionStore) -> None:
        """A swap that expects what is not so, older or newer, answers the row as it is."""
        store.create(a_session(generation=5), now=NOW)
        for expected in (4, 6):
            lost = self._rotate(store, expected=expected, generation=7, claims={"new": True})
            assert lost == (a_session(generation=5), False)
        assert store.load("s", now=NOW) == a_session(generation=5)

    def test_rotate_loses_on_an_ended_session(self, store: SessionStore) -> None:
        """A revoked session never moves, and is shown revoked."""
        store.create(a_session(), now=NOW)
        store.revoke("s", reason="logout", now=NOW + 1)
        ended = a_session(revoked_at=NOW + 1, revoked_reason="logout")
        assert self._rotate(store) == (ended, False)
        assert store.load("s", now=NOW) == ended

    def test_rotate_of_an_unknown_session(self, store: SessionStore) -> None:
        """Where there is no row there is nothing to win, and no row comes about."""
        assert self._rotate(store) == (None, False)
        assert store.load("s", now=NOW) is None

    def test_rotate_does_not_judge_expiry(self, store: SessionStore) -> None:
        """Whether an idle session may go on is the caller's business: the swap wins."""
        store.create(a_session(), now=NOW)
        assert self._rotate(store, now=NOW + 2000).won

    def test_rotate_may_replace_the_claims(self, store: SessionStore) -> None:
        """Claims given to a swap that wins replace the row's; empty ones too."""
        store.create(a_session(), now=NOW)
        won = self._rotate(store, claims=CLAIMS)
        assert won.session is not None
        assert won.session.claims == self._claims(store) == CLAIMS
        self._rotate(store, expected=1, generation=2, claims={})
        assert self._claims(store) == {}

    def test_rotate_raises_what_is_confirmed(self, store: SessionStore) -> None:
        """A swap that proves a newer generation confirms it, at its own time."""
        store.create(a_session(generation=3, confirmed_generation=1), now=NOW)
        row = self._rotate(store, expected=3, generation=4, confirmed=3, now=NOW + 7).session
        assert row is not None
        assert (row.confirmed_generation, row.confirmed_at) == (3, NOW + 7)
        assert store.load("s", now=NOW) == row

    @pytest.mark.parametrize("confirmed", [1, 2])
    def test_rotate_never_lowers_what_is_confirmed(
        self, store: SessionStore, confirmed: int
    ) -> None:
        """A swap that proves no more than is known leaves generation and time alone."""
        known = a_session(generation=3, confirmed_generation=2, confirmed_at=NOW + 1)
        store.create(known, now=NOW)
        row = self._rotate(store, expected=3, generation=4, confirmed=confirmed).session
        assert row is not None
        assert (row.confirmed_generation, row.confirmed_at) == (2, NOW + 1)
        assert store.load("s", now=NOW) == row

    def test_rotate_may_jump(self, store: SessionStore) -> None:
        """A row that fell behind its clients is swapped forward over several generations."""
        store.create(a_session(generation=2), now=NOW)
        jump = self._rotate(
            store, expected=2, generation=9, confirmed=9, rotated_at=NOW - 50, now=NOW + 5
        )
        row = a_session(
            generation=9,
            rotated_at=NOW - 50,
            expires_at=NOW + 2000,
            confirmed_generation=9,
            confirmed_at=NOW + 5,
            last_seen_at=NOW + 5,
        )
        assert jump == (row, True)
        assert store.load("s", now=NOW) == row

    def test_rotate_touches_one_row(self, store: SessionStore) -> None:
        """Other sessions of the same subject stay where they are."""
        store.create(a_session(), now=NOW)
        store.create(a_session("other"), now=NOW)
        assert self._rotate(store, claims={"new": True}).won
        assert store.load("other", now=NOW) == a_session("other")

    # ── confirm ───────────────────────────────────────────────────────────────────

    def test_confirm_sets_generation_and_times(self, store: SessionStore) -> None:
        """The current generation, not confirmed yet, is confirmed now."""
        store.create(a_session(generation=2, confirmed_generation=1), now=NOW)
        store.confirm("s", generation=2, now=NOW + 3)
        assert store.load("s", now=NOW) == a_session(
            generation=2, confirmed_generation=2, confirmed_at=NOW + 3, last_seen_at=NOW + 3
        )

    @pytest.mark.parametrize("generation", [1, 3])
    def test_confirm_is_for_the_current_generation(
        self, store: SessionStore, generation: int
    ) -> None:
        """Any other generation, older or newer, changes nothing."""
        store.create(a_session(generation=2), now=NOW)
        store.confirm("s", generation=generation, now=NOW + 3)
        assert store.load("s", now=NOW) == a_session(generation=2)

    def test_confirm_is_done_once(self, store: SessionStore) -> None:
        """A generation confirmed before keeps the time of the first proof."""
        store.create(a_session(generation=1), now=NOW)
        store.confirm("s", generation=1, now=NOW + 1)
        store.confirm("s", generation=1, now=NOW + 2)
        assert store.load("s", now=NOW) == a_session(
            generation=1, confirmed_generation=1, confirmed_at=NOW + 1, last_seen_at=NOW + 1
        )

    def test_generation_zero_needs_no_proof(self, store: SessionStore) -> None:
        """Confirming generation 0 changes nothing: it is confirmed from the start."""
        store.create(a_session(), now=NOW)
        store.confirm("s", generation=0, now=NOW + 1)
        assert store.load("s", now=NOW) == a_session()

    def test_confirm_leaves_ended_sessions_alone(self, store: SessionStore) -> None:
        """An ended session is not confirmed, and an unknown one does not come about."""
        store.create(a_session(generation=1), now=NOW)
        store.revoke("s", reason="logout", now=NOW + 1)
        store.confirm("s", generation=1, now=NOW + 2)
        store.confirm("unknown", generation=1, now=NOW + 2)
        ended = a_session(generation=1, revoked_at=NOW + 1, revoked_reason="logout")
        assert store.load("s", now=NOW) == ended
        assert store.load("unknown", now=NOW) is None

    # ── update ────────────────────────────────────────────────────────────────────

    def test_update_replaces_the_claims_alone(self, store: SessionStore) -> None:
        """New claims take the place of all the old ones; no other field moves."""
        store.create(a_session(), now=NOW)
        store.create(a_session("other"), now=NOW)
        assert store.update("s", CLAIMS, now=NOW + 1) == a_session(claims=CLAIMS)
        assert store.load("s", now=NOW) == a_session(claims=CLAIMS)
        assert store.load("other", now=NOW) == a_session("other")

    def test_update_leaves_ended_sessions_alone(self, store: SessionStore) -> None:
        """An ended session keeps its claims and is answered as it is; an unknown one is None."""
        store.create(a_session(), now=NOW)
        store.revoke("s", reason="logout", now=NOW + 1)
        ended = a_session(revoked_at=NOW + 1, revoked_reason="logout")
        assert store.update("s", {"roles": ["admin"]}, now=NOW + 2) == ended
        assert store.load("s", now=NOW) == ended
        assert store.update("unknown", {}, now=NOW) is None
        assert store.load("unknown", now=NOW) is None

    # ── revoke ────────────────────────────────────────────────────────────────────

    def test_revoke_is_true_once(self, store: SessionStore) -> None:
        """The call that ends the session is told so; later ones change nothing."""
        store.create(a_session(), now=NOW)
        store.create(a_session("other"), now=NOW)
        assert store.revoke("s", reason="logout", now=NOW + 1) is True
        assert store.revoke("s", reason="reuse", now=NOW + 2) is False
        ended = a_session(revoked_at=NOW + 1, revoked_reason="logout")
        assert store.load("s", now=NOW) == ended
        assert store.load("other", now=NOW) == a_session("other")

    def test_revoke_of_an_unknown_session(self, store: SessionStore) -> None:
        """Ending what is not there is no success, and stores nothing."""
        assert store.revoke("unknown", reason="logout", now=NOW) is False
        assert store.load("unknown", now=NOW) is None

    def test_an_expired_session_can_be_ended(self, store: SessionStore) -> None:
        """A session past its expiry is not ended until somebody ends it."""
        store.create(a_session(), now=NOW)
        assert store.revoke("s", reason="reuse", now=NOW + 2000) is True

    # ── revoke_subject ────────────────────────────────────────────────────────────

    def test_revoke_subject_ends_all_but_one(self, store: SessionStore) -> None:
        """Every session of the subject but the kept one ends, and their ids are answered."""
        for session_id in ("a", "b", "kept"):
            store.create(a_session(session_id), now=NOW)
        ended = self._everybody_out(store, NOW + 1, keep="kept")
        assert sorted(ended) == ["a", "b"]
        assert [store.load(session_id, now=NOW) for session_id in ("a", "b", "kept")] == [
            a_session("a", revoked_at=NOW + 1, revoked_reason="everywhere"),
            a_session("b", revoked_at=NOW + 1, revoked_reason="everywhere"),
            a_session("kept"),
        ]

    def test_revoke_subject_answers_what_it_ended(self, store: SessionStore) -> None:
        """A session that had ended before keeps its time and reason and is not answered."""
        store.create(a_session("a"), now=NOW)
        store.create(a_session("b"), now=NOW)
        store.revoke("a", reason="logout", now=NOW + 1)
        assert self._everybody_out(store, NOW + 2) == ["b"]
        assert self._everybody_out(store, NOW + 3) == []
        ended = a_session("a", revoked_at=NOW + 1, revoked_reason="logout")
        assert store.load("a", now=NOW) == ended

    def test_revoke_subject_ends_rows_of_a_clock_ahead(self, store: SessionStore) -> None:
        """A session that is stored ends, though another node's clock dated it later."""
        store.create(a_session(created_at=NOW + 5), now=NOW)
        assert self._everybody_out(store, NOW) == ["s"]

    @pytest.mark.parametrize("other", ["bob", "Alice", "alice ", "alicé", "alic", "alice%"])
    def test_revoke_subject_is_for_one_subject(self, store: SessionStore, other: str) -> None:
        """Subjects are compared exactly: nobody else's sessions end, stored before or after."""
        store.create(a_session("before", subject=other), now=NOW)
        assert self._everybody_out(store, NOW + 1) == []
        store.create(a_session("after", subject=other), now=NOW + 2)
        assert store.load("before", now=NOW) == a_session("before", subject=other)
        assert store.load("after", now=NOW) == a_session("after", subject=other)
        assert len(store.find(other, now=NOW)) == 2
        assert store.find("alice", now=NOW) == []

    def test_a_login_written_late_is_ended(self, store: SessionStore) -> None:
        """A session that began at or before the epoch and is stored after it is ended."""
        self._everybody_out(store, NOW + 1)
        for session_id, created_at in (("before", NOW), ("at", NOW + 1)):
            row = store.create(a_session(session_id, created_at=created_at), now=NOW + 2)
            assert row.revoked
            assert store.load(session_id, now=NOW + 2) == row
        assert store.find("alice", now=NOW + 2) == []

    def test_a_login_after_the_epoch_lives(self, store: SessionStore) -> None:
        """A session that began after the epoch, however little, is not covered."""
        self._everybody_out(store, NOW)
        later = a_session(created_at=math.nextafter(NOW, math.inf))
        assert store.create(later, now=NOW) == later
        assert store.load("s", now=NOW) == later
        assert self._rotate(store).won

    def test_a_kept_session_written_late_lives(self, store: SessionStore) -> None:
        """The epoch does not cover the session it was told to keep."""
        self._everybody_out(store, NOW + 1, keep="s")
        assert store.create(a_session(), now=NOW + 2) == a_session()
        assert store.find("alice", now=NOW + 2) == [a_session()]

    def test_a_late_login_still_ends_others(self, store: SessionStore) -> None:
        """A covered session replaces what it was to replace, though it is ended itself."""
        store.create(a_session("old", subject="bob"), now=NOW)
        self._everybody_out(store, NOW + 1)
        store.create(a_session(), ends=["old"], now=NOW + 2)
        old = store.load("old", now=NOW)
        assert old is not None
        assert (old.revoked_at, old.revoked_reason) == (NOW + 2, "replaced")

    def test_a_covered_session_is_ended_for_every_verb(self, store: SessionStore) -> None:
        """A session stored after its subject's epoch cannot be moved, changed or ended again."""
        self._everybody_out(store, NOW + 1)
        covered = store.create(a_session(generation=1), now=NOW + 2)
        assert self._rotate(store, expected=1, generation=2) == (covered, False)
        store.confirm("s", generation=1, now=NOW + 3)
        assert store.update("s", {"roles": ["admin"]}, now=NOW + 3) == covered
        assert store.revoke("s", reason="logout", now=NOW + 3) is False
        assert self._everybody_out(store, NOW + 4) == []
        assert store.load("s", now=NOW) == covered

    def test_a_session_does_not_move_after_the_epoch(self, store: SessionStore) -> None:
        """A rotation that comes after everybody was sent out loses."""
        store.create(a_session(), now=NOW)
        self._everybody_out(store, NOW + 1)
        row, won = self._rotate(store)
        assert row is not None
        assert row.revoked
        assert not won

    def test_a_later_epoch_takes_the_place_of_an_earlier_one(self, store: SessionStore) -> None:
        """The second log-out-everywhere covers what the first one kept."""
        self._everybody_out(store, NOW + 1, keep="first")
        self._everybody_out(store, NOW + 2, keep="second")
        rows = [
            store.create(a_session("first"), now=NOW + 3),
            store.create(a_session("second"), now=NOW + 3),
            store.create(a_session("between", created_at=NOW + 1.5), now=NOW + 3),
            store.create(a_session("after", created_at=NOW + 2.5), now=NOW + 3),
        ]
        assert [row.revoked for row in rows] == [True, False, True, False]

    def test_an_earlier_epoch_takes_nothing_back(self, store: SessionStore) -> None:
        """An epoch of a clock behind leaves the later one and whom it keeps."""
        self._everybody_out(store, NOW + 2, keep="kept")
        self._everybody_out(store, NOW + 1)
        covered = store.create(a_session(created_at=NOW + 1.5), now=NOW + 3)
        kept = store.create(a_session("kept"), now=NOW + 3)
        assert (covered.revoked, kept.revoked) == (True, False)

    # ── find ──────────────────────────────────────────────────────────────────────

    def test_find_answers_the_newest_first(self, store: SessionStore) -> None:
        """A subject's sessions are answered whole, by when they began."""
        sessions = {
            session_id: a_session(session_id, created_at=NOW + began, claims=CLAIMS)
            for session_id, began in (("b", 2.0), ("d", 4.0), ("a", 1.0), ("c", 3.0))
        }
        for session in sessions.values():
            store.create(session, now=NOW)
        store.create(a_session("other", subject="bob"), now=NOW)
        newest_first = [sessions[session_id] for session_id in "dcba"]
        assert store.find("alice", now=NOW + 5) == newest_first

    def test_find_answers_the_living(self, store: SessionStore) -> None:
        """Neither ended sessions nor those at or past one of their expiries are answered."""
        then = NOW + 100
        store.create(a_session("idle", expires_at=then), now=NOW)
        store.create(a_session("over", absolute_expires_at=then), now=NOW)
        store.create(a_session("ended"), now=NOW)
        store.revoke("ended", reason="logout", now=NOW)
        alive = a_session("alive", expires_at=math.nextafter(then, math.inf))
        store.create(alive, now=NOW)
        assert store.find("alice", now=then) == [alive]
        assert len(store.find("alice", now=NOW)) == 3

    def test_find_of_somebody_unknown(self, store: SessionStore) -> None:
        """A subject without sessions has an empty list of them."""
        store.create(a_session(), now=NOW)
        assert store.find("nobody", now=NOW) == []

    # ── purge ─────────────────────────────────────────────────────────────────────

    def test_purge_deletes_what_is_past(self, store: SessionStore) -> None:
        """Rows at or past their absolute expiry go, ended or not; all others stay."""
        then = NOW + 100
        store.create(a_session("past", absolute_expires_at=then - 1), now=NOW)
        store.create(a_session("just", absolute_expires_at=then), now=NOW)
        store.create(a_session("ended", absolute_expires_at=then), now=NOW)
        store.create(a_session("idle", expires_at=NOW + 1), now=NOW)
        later = math.nextafter(then, math.inf)
        store.create(a_session("later", absolute_expires_at=later), now=NOW)
        store.revoke("ended", reason="logout", now=NOW)
        store.revoke("later", reason="logout", now=NOW)

        assert store.purge(then) == 3
        assert [
            session_id
            for session_id in ("past", "just", "ended", "idle", "later")
            if store.load(session_id, now=NOW) is not None
        ] == ["idle", "later"]
        assert store.purge(then) == 0

    def test_purge_is_bounded(self, store: SessionStore) -> None:
        """One call deletes no more rows than its limit; the next goes on."""
        for number in range(5):
            store.create(a_session(str(number), absolute_expires_at=NOW + 100), now=NOW)
        assert [store.purge(NOW + 200, limit=2) for _ in range(4)] == [2, 2, 1, 0]

    def test_purge_forgets_epochs_in_their_time(self, store: SessionStore) -> None:
        """An epoch covers late logins until a purge at or past its ``until``."""
        until = NOW + 100
        store.revoke_subject("alice", reason="everywhere", until=until, now=NOW + 1)
        assert store.purge(math.nextafter(until, 0)) == 0
        assert store.create(a_session("covered"), now=NOW + 2).revoked
        assert store.purge(until) == 0
        assert not store.create(a_session("late"), now=NOW + 2).revoked

    # ── close ─────────────────────────────────────────────────────────────────────

    def test_a_closed_store_can_be_used_again(self, store: SessionStore) -> None:
        """Closing loses nothing, can be repeated, and the next verb reconnects."""
        store.create(a_session(), now=NOW)
        store.close()
        store.close()
        assert store.load("s", now=NOW) == a_session()
        assert self._rotate(store).won

    # ── many at once ──────────────────────────────────────────────────────────────

    def test_one_rotation_wins(self, store: SessionStore) -> None:
        """Of many swaps from the same generation one wins; all answer the row it made."""
        for number in range(self.race_rounds):
            session_id = str(number)
            store.create(a_session(session_id), now=NOW)
            results = race(
                lambda racer, session_id=session_id: self._rotate(  # type: ignore[misc]
                    store, session_id, claims={"racer": racer}
                )
            )
            assert [won for _, won in results].count(True) == 1
            (winner,) = [racer for racer, (_, won) in enumerate(results) if won]
            assert {row and row.claims["racer"] for row, _ in results} == {winner}
            assert {row and row.generation for row, _ in results} == {1}

    def test_one_revocation_wins(self, store: SessionStore) -> None:
        """Of many calls that end a session one is told it did, and its reason stands."""
        for number in range(self.race_rounds):
            session_id = str(number)
            store.create(a_session(session_id), now=NOW)
            results = race(
                lambda racer, session_id=session_id: store.revoke(  # type: ignore[misc]
                    session_id, reason=str(racer), now=NOW + racer
                )
            )
            assert results.count(True) == 1
            winner = results.index(True)
            ended = a_session(session_id, revoked_at=NOW + winner, revoked_reason=str(winner))
            assert store.load(session_id, now=NOW) == ended

    def test_one_confirmation_stands(self, store: SessionStore) -> None:
        """Of many proofs of a generation one is written, whole."""
        for number in range(self.race_rounds):
            session_id = str(number)
            store.create(a_session(session_id, generation=1), now=NOW)
            race(
                lambda racer, session_id=session_id: store.confirm(  # type: ignore[misc]
                    session_id, generation=1, now=NOW + 1 + racer
                )
            )
            row = store.load(session_id, now=NOW)
            assert row is not None
            assert row.confirmed_generation == 1
            assert row.confirmed_at == row.last_seen_at
            assert row.confirmed_at in {NOW + 1 + racer for racer in range(RACERS)}

    def test_nothing_moves_once_it_has_ended(self, store: SessionStore) -> None:
        """Rotations, proofs and updates against one logout: what it ended stays as it was."""
        for number in range(self.race_rounds):
            session_id = str(number)
            store.create(a_session(session_id), now=NOW)
            ended: list[Session | None] = []

            def step(racer: int, session_id: str = session_id, ended: Any = ended) -> bool:
                if racer == RACERS // 2:
                    assert store.revoke(session_id, reason="logout", now=NOW + 1)
                    ended.append(store.load(session_id, now=NOW + 1))
                    return False
                if racer % 3 == 0:
                    store.confirm(session_id, generation=1, now=NOW + 1)
                elif racer % 3 == 1:
                    store.update(session_id, {"racer": racer}, now=NOW + 1)
                return self._rotate(store, session_id).won

            assert race(step).count(True) <= 1
            assert [store.load(session_id, now=NOW)] == ended

    def test_no_login_slips_past_log_out_everywhere(self, store: SessionStore) -> None:
        """Logins that began before the epoch are over, whichever is written first."""
        for number in range(self.race_rounds):
            subject = f"alice {number}"

            def step(racer: int, subject: str = subject) -> None:
                if racer == RACERS // 2:
                    self._everybody_out(store, NOW, subject=subject)
                else:
                    store.create(a_session(f"{subject}-{racer}", subject=subject), now=NOW)

            race(step)
            assert store.find(subject, now=NOW) == []

    def test_logins_that_replace_one_another(self, store: SessionStore) -> None:
        """Many logins that end the same session: each is stored, and it ends once."""
        store.create(a_session("old"), now=NOW)
        race(lambda racer: store.create(a_session(str(racer)), ends=["old"], now=NOW + racer))
        old = store.load("old", now=NOW)
        assert old is not None
        assert old.revoked_reason == "replaced"
        assert len(store.find("alice", now=NOW)) == RACERS

    # ── what the tests are written with ───────────────────────────────────────────

    @staticmethod
    def _rotate(store: SessionStore, session_id: str = "s", **changes: Any) -> Rotation:
        """One rotation from generation 0, but for ``changes``."""
        swap: dict[str, Any] = {
            "expected": 0,
            "generation": 1,
            "rotated_at": NOW + 10,
            "expires_at": NOW + 2000,
            "confirmed": 0,
            "now": NOW + 10,
        }
        return store.rotate(session_id, **(swap | changes))

    @staticmethod
    def _everybody_out(
        store: SessionStore, now: float, *, subject: str = "alice", keep: str | None = None
    ) -> list[str]:
        return store.revoke_subject(
            subject, reason="everywhere", keep=keep, until=now + 5000, now=now
        )

    @staticmethod
    def _claims(store: SessionStore) -> Any:
        row = store.load("s", now=NOW)
        return row and row.claims

    @staticmethod
    def _assert_same(row: Session | None, expected: Session) -> None:
        """Equal, and of the same types: 1 equals True, and 1.0 equals 1."""
        assert row == expected
        for field in fields(Session):
            kept, given = getattr(row, field.name), getattr(expected, field.name)
            if field.name == "claims":
                assert repr(dict(kept)) == repr(given)
            else:
                assert type(kept) is type(given), field.name


def race(step: Callable[[int], T]) -> list[T]:
    """Run ``step(0)`` … ``step(RACERS - 1)`` at the same moment; their answers, in order."""
    start = Barrier(RACERS, timeout=30)

    def run(racer: int) -> T:
        start.wait()
        return step(racer)

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns as often as they can
    try:
        with ThreadPoolExecutor(RACERS) as threads:
            return list(threads.map(run, range(RACERS)))
    finally:
        sys.setswitchinterval(usual)
