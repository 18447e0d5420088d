"""The rotation table: each row, its boundaries, their order, and what holds for all of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jwt_middleware.rotation import (
    TABLE,
    UPLOAD_WINDOW,
    Presented,
    Row,
    Verdict,
    judge,
    swap_forward,
    swap_to_successor,
)
from jwt_middleware.sessions import Session

NOW = 1_800_000_000.0
GRACE = 120.0
DAY = 86_400.0

ROWS = {row.name: row for row in TABLE}


def a_row(**changes: Any) -> Session:
    """A row at generation 5, rotated a day ago, and known to have reached its client."""
    session = Session(
        id="sid",
        subject="alice",
        claims={},
        persistent=True,
        created_at=NOW - 30 * DAY,
        rotated_at=NOW - DAY,
        expires_at=NOW + 29 * DAY,
        absolute_expires_at=NOW + 60 * DAY,
        refresh_salt="salt",
        generation=5,
        confirmed_generation=5,
        confirmed_at=NOW - DAY + 1,
        last_seen_at=NOW - DAY,
    )
    return replace(session, **changes)


def a_fresh_row(age: float = 0.0, **changes: Any) -> Session:
    """A row that was rotated ``age`` seconds ago, and whose answer may have been lost."""
    rotated_at = NOW - age
    unconfirmed = {"confirmed_generation": 4, "confirmed_at": rotated_at}
    return a_row(**{"rotated_at": rotated_at, **unconfirmed, **changes})


def see(session: Session | None, generation: int = 5, **changes: Any) -> Row:
    """The row of the table for a token of ``generation`` beside ``session``."""
    presented: dict[str, Any] = {
        "authentic": True,
        "now": NOW,
        "grace": GRACE,
        "lost_response_window": None,
    }
    return judge(
        Presented(session=session, generation=generation, **{**presented, **changes}),
    )


REACHED: dict[str, Row] = {
    "unknown": see(None),
    "forged": see(a_row(), authentic=False),
    "ended": see(a_row(revoked_at=NOW - 1)),
    "expired": see(a_row(expires_at=NOW)),
    "current": see(a_row()),
    "fresh": see(a_fresh_row()),
    "slow upload": see(a_fresh_row(GRACE + 1), 4, has_body=True),
    "predecessor": see(a_fresh_row(), 4),
    "sibling of a recovery": see(a_fresh_row(), 3),
    "unclaimed successor": see(a_fresh_row(DAY), 4, lost_response_window=60.0),
    "late upload": see(a_row(rotated_at=NOW - 600, confirmed_at=NOW - 500), 4, has_body=True),
    "ahead": see(a_row(), 6),
    "reuse": see(a_row(), 4),
}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_every_row_can_be_reached(row: Row) -> None:
    """No row is dead: something that can be presented is decided by it."""
    assert REACHED[row.name] is row


def test_the_table_says_why() -> None:
    """Rows have names of their own, a reason for people, and one for apps where it matters."""
    assert len(ROWS) == len(TABLE)
    for row in TABLE:
        assert row.because
        assert (row.reason is None) is row.verdict.signed_in


def test_what_the_verdicts_mean() -> None:
    """Two verdicts leave a request anonymous; one more signs in but sends nothing."""
    refused = {Verdict.ANONYMOUS, Verdict.REUSE}
    assert {verdict for verdict in Verdict if not verdict.signed_in} == refused
    assert {verdict for verdict in Verdict if not verdict.reissues} == {*refused, Verdict.LATE}


# ── Rows that no good token passes ───────────────────────────────────────────────


def test_no_row_is_an_unknown_session() -> None:
    """A session that is not in the store: anonymous, whatever else holds."""
    row = see(None, authentic=False, has_body=True, renewal=True)
    assert (row.verdict, row.reason) == (Verdict.ANONYMOUS, "unknown_session")


@pytest.mark.parametrize(
    "session",
    [
        a_row(revoked_at=NOW - 1),
        a_row(expires_at=NOW - 1),
        a_row(absolute_expires_at=NOW - 1),
        a_row(),
        a_fresh_row(),
    ],
    ids=["ended", "idle", "absolute", "settled", "fresh"],
)
@pytest.mark.parametrize("generation", [0, 3, 4, 5, 6])
def test_the_jti_is_looked_at_first(session: Session, generation: int) -> None:
    """Whoever does not know the jti learns nothing of the session, and cannot end it."""
    row = see(session, generation, authentic=False)
    assert (row.verdict, row.reason) == (Verdict.ANONYMOUS, "invalid_token")


@pytest.mark.parametrize("generation", [3, 4, 5, 6])
def test_an_ended_session_is_ended_for_every_token(generation: int) -> None:
    """Revoked is said before expired, and before any generation is looked at."""
    session = a_fresh_row(revoked_at=NOW - 1, expires_at=NOW - 1)
    assert see(session, generation).reason == "revoked"


@pytest.mark.parametrize("generation", [3, 4, 5, 6])
@pytest.mark.parametrize("limit", ["expires_at", "absolute_expires_at"])
def test_an_expired_session_is_expired_for_every_token(generation: int, limit: str) -> None:
    """Past either limit nobody is signed in and nothing is reuse; now equal to it is past."""
    for past in (NOW, NOW - 1):
        row = see(a_row(**{limit: past}), generation)
        assert (row.verdict, row.reason) == (Verdict.ANONYMOUS, "expired")
    assert see(a_row(**{limit: NOW + 0.001}), 5).verdict is Verdict.ROTATE


def test_a_renewal_waives_the_idle_limit_alone() -> None:
    """Row 3 of the four cases: idle for too long is forgiven, the absolute limit never."""
    idle = a_row(expires_at=NOW - DAY)
    assert see(idle, renewal=True).verdict is Verdict.ROTATE
    over = a_row(expires_at=NOW - DAY, absolute_expires_at=NOW)
    assert see(over, renewal=True).reason == "expired"  # S43


def test_a_renewal_is_judged_like_any_rotation() -> None:
    """A spent token is not excused by being renewed beside a valid access token."""
    idle = a_row(expires_at=NOW - DAY)
    assert see(idle, 4, renewal=True).verdict is Verdict.REUSE
    assert see(replace(idle, revoked_at=NOW), renewal=True).reason == "revoked"
    assert see(a_fresh_row(), 5, renewal=True).verdict is Verdict.KEEP


# ── The current token ────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("age", "verdict"),
    [
        (-5.0, Verdict.KEEP),  # this node's clock is a little behind the one that rotated
        (0.0, Verdict.KEEP),
        (GRACE - 0.001, Verdict.KEEP),
        (GRACE, Verdict.ROTATE),
        (GRACE + 0.001, Verdict.ROTATE),
    ],
)
def test_the_current_token_rotates_at_or_after_the_grace(age: float, verdict: Verdict) -> None:
    """Sooner it is kept, so that one predecessor is enough."""
    assert see(a_fresh_row(age)).verdict is verdict


@pytest.mark.parametrize("age", [-5.0, 0.0, GRACE, DAY])
def test_the_first_token_rotates_at_once(age: float) -> None:
    """Generation 0 has no predecessor whose siblings might be on their way."""
    first = a_fresh_row(age, generation=0, confirmed_generation=0, confirmed_at=0.0)
    assert see(first, 0).verdict is Verdict.ROTATE


# ── Its predecessor ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rotated", "confirmed", "verdict"),
    [
        (-5.0, -5.0, Verdict.REPLAY),
        (GRACE, GRACE, Verdict.REPLAY),
        (GRACE + 0.001, GRACE + 0.001, Verdict.REUSE),
        (DAY, GRACE, Verdict.REPLAY),
        (DAY, GRACE + 0.001, Verdict.REUSE),
        (GRACE, DAY, Verdict.REPLAY),  # whichever was later
    ],
)
def test_a_predecessor_is_welcome_for_a_grace(
    rotated: float, confirmed: float, verdict: Verdict
) -> None:
    """Once confirmed: for a grace, inclusive, after the rotation or its confirmation."""
    session = a_row(rotated_at=NOW - rotated, confirmed_at=NOW - confirmed)
    assert see(session, 4).verdict is verdict


@pytest.mark.parametrize("age", [0.0, GRACE + 1, DAY, 20 * DAY])
def test_a_lost_answer_can_be_asked_for_again(age: float) -> None:
    """Unconfirmed and with no window: as long as the token itself lives."""  # S42
    assert see(a_fresh_row(age), 4).verdict is Verdict.REPLAY


@pytest.mark.parametrize(
    ("age", "verdict", "reason"),
    [
        (3600.0, Verdict.REPLAY, None),
        (3600.001, Verdict.ANONYMOUS, "superseded"),
        (-5.0, Verdict.REPLAY, None),
    ],
)
def test_a_lost_answer_has_a_window(age: float, verdict: Verdict, reason: str | None) -> None:
    """A finite window is inclusive; past it nobody is a thief, since nobody used the successor."""
    row = see(a_fresh_row(age), 4, lost_response_window=3600.0)
    assert (row.verdict, row.reason) == (verdict, reason)


def test_the_grace_holds_beside_a_shorter_window() -> None:
    """The lost-response window can only add to the grace."""
    row = see(a_fresh_row(GRACE), 4, lost_response_window=1.0)
    assert row.verdict is Verdict.REPLAY
    row = see(a_fresh_row(GRACE + 0.001), 4, lost_response_window=1.0)
    assert row.reason == "superseded"


def test_a_renewal_knows_no_lost_response_window() -> None:
    """It comes after the idle limit, so the window would be over for everyone."""
    idle = a_fresh_row(40 * DAY, expires_at=NOW - 10 * DAY)
    late = {"lost_response_window": 3600.0}
    assert see(idle, 4, renewal=True, **late).verdict is Verdict.REPLAY
    assert see(replace(idle, expires_at=NOW + 1), 4, **late).reason == "superseded"


@pytest.mark.parametrize("renewal", [False, True])
def test_a_window_of_nothing_is_strict(renewal: bool) -> None:
    """0: an unconfirmed generation counts as confirmed, so only the grace is left."""
    strict = {"lost_response_window": 0.0, "renewal": renewal}
    assert see(a_fresh_row(GRACE), 4, **strict).verdict is Verdict.REPLAY
    assert see(a_fresh_row(GRACE + 0.001), 4, **strict).verdict is Verdict.REUSE


def test_what_counts_is_the_current_generation() -> None:
    """An older confirmation does not confirm the generation the row stands at."""
    assert see(a_fresh_row(DAY, confirmed_generation=4), 4).verdict is Verdict.REPLAY
    assert see(a_fresh_row(DAY, confirmed_generation=5), 4).verdict is Verdict.REUSE


# ── Older ones ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("age", "verdict"),
    [
        (-5.0, Verdict.LATE),
        (0.0, Verdict.LATE),
        (GRACE, Verdict.LATE),
        (GRACE + 0.001, Verdict.REUSE),
    ],
)
@pytest.mark.parametrize("confirmed", [4, 5])
def test_a_late_sibling_is_signed_in_for_a_grace(
    age: float, verdict: Verdict, confirmed: int
) -> None:
    """Two behind, and the row has just moved: no tokens, and no theft."""
    assert see(a_fresh_row(age, confirmed_generation=confirmed), 3).verdict is verdict


def test_a_late_confirmation_does_not_make_siblings_later() -> None:
    """For two behind only the rotation counts, not when it was confirmed."""
    assert see(a_row(confirmed_at=NOW), 3).verdict is Verdict.REUSE
    assert see(a_row(confirmed_at=NOW), 4).verdict is Verdict.REPLAY


def test_three_behind_is_always_reuse() -> None:
    """Nobody honest is three generations late without a body."""
    assert see(a_fresh_row(), 2).verdict is Verdict.REUSE


@pytest.mark.parametrize("generation", [0, 2, 3, 4])
def test_a_late_upload_ends_nothing(generation: int) -> None:
    """A body may have spent up to an hour in a proxy; a minute more, and it is reuse."""
    settled = a_row(rotated_at=NOW - UPLOAD_WINDOW, confirmed_at=NOW - UPLOAD_WINDOW)
    row = see(settled, generation, has_body=True)
    assert (row.verdict, row.reason) == (Verdict.ANONYMOUS, "superseded")
    assert see(settled, generation).verdict is Verdict.REUSE
    older = replace(settled, rotated_at=NOW - UPLOAD_WINDOW - 0.001)
    assert see(older, generation, has_body=True).verdict is Verdict.REUSE


@pytest.mark.parametrize(
    ("age", "verdict"),
    [
        (GRACE, Verdict.REPLAY),  # a sibling of the burst that rotated
        (GRACE + 0.001, Verdict.KEEP),
        (UPLOAD_WINDOW, Verdict.KEEP),
        (UPLOAD_WINDOW + 0.001, Verdict.REPLAY),  # nothing is under way for so long
    ],
)
def test_a_slow_upload_brings_no_successor(age: float, verdict: Verdict) -> None:
    """For an hour after the grace a lost answer is not made good to a request with a body: it
    is signed in, and its client keeps the refresh token it has."""  # S41
    assert see(a_fresh_row(age), 4, has_body=True).verdict is verdict
    assert see(a_fresh_row(age), 4).verdict is Verdict.REPLAY


def test_a_renewal_is_no_slow_upload() -> None:
    """Its refresh token is past its expiry, so there is nothing to keep."""
    idle = a_fresh_row(600, expires_at=NOW - 1)
    assert see(idle, 4, has_body=True, renewal=True).verdict is Verdict.REPLAY


def test_a_slow_upload_is_nobody_elses() -> None:
    """It is for lost answers alone: a confirmed successor, a window that is over and older
    generations are judged as ever."""
    body = {"has_body": True}
    assert see(a_fresh_row(600, confirmed_generation=5), 4, **body).reason == "superseded"
    assert see(a_fresh_row(600), 4, lost_response_window=60.0, **body).reason == "superseded"
    assert see(a_fresh_row(600), 3, **body).reason == "superseded"


def test_a_body_takes_nothing_away() -> None:
    """What is accepted without a body is accepted with one."""
    assert see(a_row(), has_body=True).verdict is Verdict.ROTATE
    assert see(a_fresh_row(), has_body=True).verdict is Verdict.KEEP
    assert see(a_fresh_row(), 4, has_body=True).verdict is Verdict.REPLAY
    assert see(a_fresh_row(), 3, has_body=True).verdict is Verdict.LATE
    assert see(a_fresh_row(), 6, has_body=True).verdict is Verdict.AHEAD


@pytest.mark.parametrize("generation", [6, 7, 60])
@pytest.mark.parametrize("session", [a_row(), a_fresh_row()], ids=["settled", "fresh"])
def test_a_token_from_the_future_is_believed(session: Session, generation: int) -> None:
    """Its jti proves the row once stood there: it is the store that has forgotten."""
    assert see(session, generation).verdict is Verdict.AHEAD


def test_reuse_is_reuse() -> None:
    """Spent, with its successor in use."""
    row = see(a_row(), 4)
    assert (row.verdict, row.reason) == (Verdict.REUSE, "reuse")


# ── What holds for all of it ─────────────────────────────────────────────────────

moments = st.floats(-200 * DAY, 200 * DAY).map(lambda distance: NOW + distance) | st.sampled_from(
    [NOW, NOW - GRACE, NOW + GRACE, NOW - UPLOAD_WINDOW]
)
generations = st.integers(0, 8)
sessions = st.builds(
    a_row,
    rotated_at=moments,
    confirmed_at=moments,
    expires_at=moments,
    absolute_expires_at=moments,
    generation=generations,
    confirmed_generation=generations,
    revoked_at=st.none() | moments,
)
anything = st.builds(
    Presented,
    session=st.none() | sessions,
    generation=generations,
    authentic=st.booleans(),
    now=st.just(NOW),
    grace=st.sampled_from([0.0, GRACE, DAY]),
    lost_response_window=st.sampled_from([None, 0.0, 60.0, 30 * DAY]),
    has_body=st.booleans(),
    renewal=st.booleans(),
)


def applies_safely(row: Row, presented: Presented) -> bool:
    return presented.session is not None and row.applies(presented)


@given(anything)
def test_one_row_decides(presented: Presented) -> None:
    """Whatever is presented, one row of the table decides it, and it is the first to apply."""
    decided = judge(presented)
    (index,) = [index for index, row in enumerate(TABLE) if row is decided]
    assert not any(applies_safely(row, presented) for row in TABLE[:index])


@given(anything)
def test_only_an_authentic_token_can_do_anything(presented: Presented) -> None:
    """A token that is not authentic neither signs in nor ends a session."""
    verdict = judge(replace(presented, authentic=False)).verdict
    assert verdict is Verdict.ANONYMOUS


@given(anything)
def test_an_ended_session_stays_ended(presented: Presented) -> None:
    """Nothing signs in to a session that is revoked or past its absolute limit."""
    session = presented.session
    if session is not None and (session.revoked or session.absolute_expires_at <= NOW):
        assert judge(presented).verdict is Verdict.ANONYMOUS


@given(anything)
@example(
    Presented(
        session=a_fresh_row(DAY),
        generation=4,
        authentic=True,
        now=NOW,
        grace=GRACE,
        lost_response_window=None,
    )
)
def test_only_a_successor_in_use_is_reuse(presented: Presented) -> None:
    """One behind an unconfirmed generation is nobody's theft, unless the window is strict."""
    session = presented.session
    if session is None or presented.lost_response_window == 0:
        return
    unconfirmed = session.confirmed_generation < session.generation
    if session.generation - presented.generation == 1 and unconfirmed:
        assert judge(presented).verdict is not Verdict.REUSE


@given(anything)
def test_tokens_of_the_row_are_never_reuse(presented: Presented) -> None:
    """The token a row stands at, or one beyond, never ends the session."""
    session = presented.session
    if session is not None and presented.generation >= session.generation:
        assert judge(presented).verdict is not Verdict.REUSE


@given(anything)
@example(
    Presented(
        session=a_fresh_row(600),
        generation=4,
        authentic=True,
        now=NOW,
        grace=GRACE,
        lost_response_window=None,
    )
)
def test_a_body_signs_nobody_out(presented: Presented) -> None:
    """With a body a verdict is the same, or an anonymous one in place of a reuse, or signed in
    without the successor, which is not asked for."""
    without = judge(replace(presented, has_body=False))
    with_body = judge(replace(presented, has_body=True))
    if with_body is not without:
        assert (without.verdict, with_body.verdict) in {
            (Verdict.REUSE, Verdict.ANONYMOUS),
            (Verdict.REPLAY, Verdict.KEEP),
        }


# ── The two swaps ────────────────────────────────────────────────────────────────


def test_a_rotation_moves_the_row_by_one() -> None:
    """It expects what was read, and proves that the client holds that."""
    session = a_fresh_row(DAY)
    assert swap_to_successor(session, idle=30 * DAY, now=NOW) == {
        "expected": 5,
        "generation": 6,
        "rotated_at": NOW,
        "expires_at": NOW + 30 * DAY,
        "confirmed": 5,
    }


def test_a_rotation_never_extends_the_absolute_limit() -> None:
    """Idle time is given up to the absolute expiry, never beyond."""  # S43
    session = a_row(absolute_expires_at=NOW + DAY)
    assert swap_to_successor(session, idle=30 * DAY, now=NOW)["expires_at"] == NOW + DAY


def test_a_swap_forward_restores_the_row_of_the_token() -> None:
    """Generation, time and expiry are the token's; the client holds it, so it is confirmed."""
    swap = swap_forward(a_row(), generation=9, issued_at=NOW - 7, expires_at=NOW + DAY)
    assert swap == {
        "expected": 5,
        "generation": 9,
        "rotated_at": NOW - 7,
        "expires_at": NOW + DAY,
        "confirmed": 9,
    }


def test_a_swap_forward_never_extends_the_absolute_limit() -> None:
    """The row's absolute limit counts, whatever the token says."""  # S43
    session = a_row(absolute_expires_at=NOW + DAY)
    swap = swap_forward(session, generation=9, issued_at=NOW, expires_at=NOW + 30 * DAY)
    assert swap["expires_at"] == NOW + DAY


def test_a_slow_upload_may_take_an_hour() -> None:
    """For an hour after a rotation a body may have been on its way, and not a second longer."""
    for age, name in ((3600.0, "late upload"), (3600.5, "reuse")):
        row = a_row(rotated_at=NOW - age, confirmed_at=NOW - age)
        assert see(row, 4, has_body=True).name == name
