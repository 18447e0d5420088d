"""Parallel requests, lost answers, late arrivals and thieves, stepped through the flow."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from stepping import Browser, HeaderClient, House, generation_of, token_claims

from jwt_middleware.driver import Command
from jwt_middleware.handle import RequestAuth
from jwt_middleware.memory import SETTLE_PAUSE
from jwt_middleware.rotation import Verdict
from jwt_middleware.sessions import Session
from jwt_middleware.transport import Additions

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
EXPIRED = 15 * MINUTE
"""Seconds after which a default access token is expired."""
GRACE = 2 * MINUTE


def signed_in(house: House | None = None) -> Browser:
    """A browser right after its login, with the login off the record."""
    browser = Browser(house or House())
    browser.login()
    browser.house.forget_commands()
    return browser


def in_use(rotations: int = 1, house: House | None = None) -> Browser:
    """A browser some rotations later, whose access token has just expired."""
    browser = signed_in(house)
    for _ in range(rotations):
        browser.house.wait(EXPIRED)
        browser.get()
    browser.get()  # confirms the newest generation
    browser.house.wait(EXPIRED)
    browser.house.forget_commands()
    return browser


def sid_of(browser: Browser) -> str:
    return token_claims(browser.refresh)["sid"]


def row_of(browser: Browser) -> Session:
    return browser.house.row(sid_of(browser))


def verdict_of(auth: RequestAuth) -> Verdict | None:
    return None if auth.reissue is None else auth.reissue.row.verdict


def generation(browser: Browser) -> int:
    return token_claims(browser.refresh)["gen"]


def fields_of(outcome: object) -> Sequence[tuple[str, str]]:
    assert isinstance(outcome, Additions)
    return outcome.fields


def processes(house: House, count: int, *, shared: bool) -> list[House]:
    return [house if shared else house.other_process() for _ in range(count)]


def ask(browser: Browser, *, house: House | None = None, **request: Any) -> RequestAuth:
    """A request whose answer is lost."""
    auth = browser.arrive(browser.request(**request), house=house).auth
    browser.respond(auth, house=house)
    return auth


# ── Racers ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shared", [True, False], ids=["one process", "many processes"])
@pytest.mark.parametrize("racers", [2, 3, 6])
@pytest.mark.parametrize("rotations", [0, 1, 5])
def test_one_of_many_rotates(shared: bool, racers: int, rotations: int) -> None:
    """All are signed in, exactly one rotates, and all leave with the same successor."""  # S41
    browser = in_use(rotations)
    before = row_of(browser).generation
    tabs = [browser.copy() for _ in range(racers)]
    there = processes(browser.house, racers, shared=shared)
    auths = [tab.arrive(house=house).auth for tab, house in zip(tabs, there, strict=True)]
    assert [auth.subject for auth in auths] == ["alice"] * racers
    for tab, auth, house in zip(tabs, auths, there, strict=True):
        tab.receive(tab.respond(auth, house=house))
    assert len({tab.refresh for tab in tabs}) == 1
    assert row_of(browser).generation == generation(tabs[0]) == before + 1
    assert {generation_of(auth) for auth in auths} == {before}
    assert [token_claims(tab.access)["rgen"] for tab in tabs] == [before + 1] * racers
    assert browser.house.event_names.count("reissued") == 1
    assert all(tab.get().is_authenticated for tab in tabs)


@pytest.mark.parametrize("shared", [True, False], ids=["one process", "many processes"])
def test_one_after_the_other_is_no_different(shared: bool) -> None:
    """A sibling that arrives after the rotation gets the same successor, until the grace ends."""
    browser = in_use()  # S41
    tabs = [browser.copy() for _ in range(4)]
    for tab, house in zip(tabs, processes(browser.house, 4, shared=shared), strict=True):
        tab.get(house=house)
        browser.house.wait(GRACE / 3)
    assert len({tab.refresh for tab in tabs}) == 1


def test_siblings_do_not_extend_each_others_grace() -> None:
    """The windows are measured from the rotation, so no chain of replays slides them."""  # S42
    browser = in_use()
    tabs = [browser.copy() for _ in range(3)]
    tabs[0].get()
    tabs[0].get()
    browser.house.wait(GRACE)
    tabs[1].get(house=browser.house.other_process())
    browser.house.wait(1)
    assert tabs[2].get(house=browser.house.other_process()).reason == "reuse"


def test_a_loser_clears_nothing() -> None:
    """However a race ends, no answer expires a cookie."""  # S41
    browser = in_use()
    tabs = [browser.copy() for _ in range(3)]
    there = processes(browser.house, 3, shared=False)
    auths = [tab.arrive(house=house).auth for tab, house in zip(tabs, there, strict=True)]
    outcomes = [
        tab.respond(auth, house=house) for tab, auth, house in zip(tabs, auths, there, strict=True)
    ]
    assert not any("Max-Age=0" in value for one in outcomes for _, value in fields_of(one))


def test_answers_in_any_order_leave_the_same_jar() -> None:
    """A jar that receives all answers of a burst, last one first, can go on."""
    browser = in_use()
    there = processes(browser.house, 3, shared=False)
    auths = [browser.arrive(house=house).auth for house in there]
    outcomes = [
        browser.respond(auth, house=house) for auth, house in zip(auths, there, strict=True)
    ]
    for outcome in reversed(outcomes):
        browser.receive(outcome)
    browser.house.wait(EXPIRED)
    assert browser.get().reissued


def test_racers_with_different_claims_share_the_refresh_token() -> None:
    """Each sees the account as it was read for it; the successor is one all the same."""
    asked = iter(range(100))
    browser = in_use(house=House(load_claims=lambda session: {"read": next(asked)}))
    tabs = [browser.copy() for _ in range(2)]
    there = processes(browser.house, 2, shared=False)
    auths = [tab.arrive(house=house).auth for tab, house in zip(tabs, there, strict=True)]
    for tab, auth, house in zip(tabs, auths, there, strict=True):
        tab.receive(tab.respond(auth, house=house))
    assert tabs[0].refresh == tabs[1].refresh
    read = [token_claims(tab.access)["read"] for tab in tabs]
    assert read == [auth.claims["read"] for auth in auths if auth.claims is not None]


# ── KEEP ─────────────────────────────────────────────────────────────────────────


def test_a_fresh_refresh_token_is_kept() -> None:
    """Just rotated: only an access token goes out, so that one predecessor is enough."""
    browser = in_use()
    browser.get()
    before = browser.refresh
    bare = browser.without_access()
    browser.house.wait(GRACE - 1)
    auth = bare.arrive().auth
    assert (verdict_of(auth), auth.reissued) == (Verdict.KEEP, True)
    outcome = bare.respond(auth)
    assert len(fields_of(outcome)) == 1
    bare.receive(outcome)
    assert bare.refresh == before
    assert token_claims(bare.access)["rgen"] == generation(bare) == generation_of(auth)
    browser.house.wait(1)
    assert verdict_of(bare.without_access().arrive().auth) is Verdict.ROTATE


def test_a_kept_token_confirms_its_generation() -> None:
    """Whoever shows the refresh token of a generation has received it."""
    browser = in_use()
    browser.get()
    assert row_of(browser).confirmed_generation == 1
    browser.without_access().get()
    assert row_of(browser).confirmed_generation == 2


def test_a_slow_kept_request_gets_an_access_token_alone() -> None:
    """Its sibling has rotated meanwhile: what it was to get does not grow."""
    browser = in_use()
    browser.get()
    browser.house.wait(GRACE - 1)
    slow = browser.without_access()
    auth = slow.arrive(house=browser.house.other_process()).auth
    assert verdict_of(auth) is Verdict.KEEP
    browser.house.wait(1)
    browser.without_access().get()
    outcome = slow.respond(auth, house=browser.house.other_process())
    assert len(fields_of(outcome)) == 1
    slow.receive(outcome)
    assert token_claims(slow.access)["rgen"] == generation(slow)


# ── LATE ─────────────────────────────────────────────────────────────────────────


def recovered() -> tuple[Browser, Browser]:
    """A burst of a client whose last answer was lost: it recovers, and rotates at once.

    Answers the client, and a sibling of the recovering request, now two generations behind.
    """
    browser = in_use()
    ask(browser)
    browser.house.wait(HOUR)
    sibling = browser.copy()
    browser.get(house=browser.house.other_process())
    browser.without_access().get(house=browser.house.other_process())
    return browser, sibling


def test_a_late_sibling_is_signed_in() -> None:
    """Two behind within the grace: signed in, and nothing goes out."""
    browser, sibling = recovered()
    assert row_of(browser).generation - generation(sibling) == 2
    browser.house.wait(GRACE)
    auth = sibling.arrive(house=browser.house.other_process()).auth
    assert (auth.subject, verdict_of(auth), auth.reissued) == ("alice", Verdict.LATE, False)
    browser.house.forget_commands()
    assert fields_of(sibling.respond(auth)) == ()
    assert browser.house.verbs == []
    assert not row_of(browser).revoked


def test_a_late_sibling_is_a_thief_after_the_grace() -> None:
    """Past the grace two behind is reuse."""
    browser, sibling = recovered()
    browser.house.wait(GRACE + 1)
    assert sibling.get(house=browser.house.other_process()).reason == "reuse"
    assert row_of(browser).revoked


# ── AHEAD ────────────────────────────────────────────────────────────────────────


def fall_back(browser: Browser, backup: Session) -> None:
    """The store loses what was written since: a failover, or a restored backup."""
    browser.house.store._sessions[backup.id] = backup


@pytest.mark.parametrize("lost", [1, 3])
def test_a_store_that_fell_behind_is_swapped_forward(lost: int) -> None:
    """Signed in; the row moves to the token and is confirmed; an access token goes out."""
    browser = in_use()
    backup = row_of(browser)
    for _ in range(lost):
        browser.get()
        browser.house.wait(EXPIRED)
    fall_back(browser, backup)
    browser.house.forget_commands()
    before = browser.refresh
    there = browser.house.other_process()
    auth = browser.arrive(house=there).auth
    assert (verdict_of(auth), auth.subject, auth.reissued) == (Verdict.AHEAD, "alice", True)
    assert row_of(browser) == backup  # phase A moves nothing
    browser.receive(browser.respond(auth, house=there))
    row = row_of(browser)
    assert row.generation == row.confirmed_generation == generation(browser)
    assert row.rotated_at == token_claims(browser.refresh)["iat"]
    assert row.expires_at == token_claims(browser.refresh)["exp"]
    assert browser.refresh == before
    assert token_claims(browser.access)["rgen"] == row.generation
    assert browser.house.event_names.count("store_behind") == 1
    browser.house.wait(EXPIRED)
    assert browser.get(house=there).reissued
    assert generation(browser) == row.generation + 1


def test_racers_ahead_swap_once() -> None:
    """All get an access token; one tells that the store had fallen behind."""  # S41
    browser = in_use()
    backup = row_of(browser)
    browser.get()
    browser.house.wait(EXPIRED)
    fall_back(browser, backup)
    browser.house.forget_commands()
    tabs = [browser.copy() for _ in range(3)]
    there = processes(browser.house, 3, shared=False)
    auths = [tab.arrive(house=house).auth for tab, house in zip(tabs, there, strict=True)]
    for tab, auth, house in zip(tabs, auths, there, strict=True):
        outcome = tab.respond(auth, house=house)
        assert len(fields_of(outcome)) == 1
        tab.receive(outcome)
    assert {tab.refresh for tab in tabs} == {browser.refresh}
    assert browser.house.event_names.count("store_behind") == 1
    assert all(tab.get().is_authenticated for tab in tabs)


def test_an_older_token_than_the_restored_one_is_still_reuse() -> None:
    """After the swap forward the table applies as ever."""
    browser = in_use()
    thief = browser.copy()
    backup = row_of(browser)
    browser.get()
    browser.house.wait(EXPIRED)
    fall_back(browser, backup)
    browser.get(house=browser.house.other_process())
    browser.house.wait(GRACE + 1)
    assert thief.get(house=browser.house.other_process()).reason == "reuse"


# ── REUSE ────────────────────────────────────────────────────────────────────────


def stolen() -> tuple[Browser, Browser]:
    """A victim that has moved on, and a thief with its former cookies, past every window."""
    victim = in_use()
    thief = victim.copy()
    victim.get()
    victim.get()
    victim.house.wait(GRACE + 1)
    victim.house.forget_commands()
    return victim, thief


def test_reuse_ends_the_session_for_both() -> None:
    """Nobody can tell which of the two is the thief."""  # S42
    victim, thief = stolen()
    auth = thief.arrive(house=victim.house.other_process()).auth
    assert (auth.claims, auth.reason) == (None, "reuse")
    assert fields_of(thief.respond(auth)) == ()
    row = row_of(victim)
    assert (row.revoked, row.revoked_reason) == (True, "reuse")
    victim.house.wait(EXPIRED)
    assert victim.get(house=victim.house.other_process()).reason == "revoked"
    assert thief.get(house=victim.house.other_process()).reason == "revoked"


def test_reuse_is_told_exactly_once() -> None:
    """Of many that present a spent token, the one that ended the session tells."""  # S42
    victim, thief = stolen()
    racers = processes(victim.house, 4, shared=False)
    waiting = [house.flow.arrive(thief.request(), house.now) for house in racers]
    loads = [next(steps) for steps in waiting]  # all have asked for the row before any ends it
    rows = [victim.house.answer(load) for load in loads]
    for steps, row in zip(waiting, rows, strict=True):
        finish(victim.house, steps, row)
    assert victim.house.event_names.count("reuse") == 1
    (event,) = [event for event in victim.house.events if event.name == "reuse"]
    assert event.session_id == sid_of(victim)


def finish(house: House, steps: Any, answer: Any) -> Any:
    """Run a decision that has been stepped by hand to its end."""
    while True:
        try:
            command: Command = steps.send(answer)
        except StopIteration as outcome:
            return outcome.value
        answer = house.answer(command)


def test_reuse_tells_whose_session_it_was() -> None:
    """The one event a security team waits for names its subject."""  # S42
    victim, thief = stolen()
    thief.get(house=victim.house.other_process())
    (event,) = [event for event in victim.house.events if event.name == "reuse"]
    assert event.subject == "alice"


def test_a_thief_that_rotates_is_noticed_by_its_victim() -> None:
    """The victim comes back with the spent token: the session ends."""  # S42
    victim = in_use()
    thief = victim.copy()
    there = victim.house.other_process()
    thief.get(house=there)
    thief.get(house=there)
    victim.house.wait(GRACE + 1)
    assert victim.get().reason == "reuse"
    assert thief.without_access().get().reason == "revoked"


def test_a_forged_token_ends_nothing() -> None:
    """A refresh token whose signature does not hold never reaches the store."""
    victim, thief = stolen()
    assert thief.refresh is not None
    thief.set_refresh(thief.refresh[:-4] + "AAAA")
    assert thief.get(house=victim.house.other_process()).reason == "invalid_token"
    assert victim.house.verbs == []


def test_a_token_whose_row_was_replaced_ends_nothing() -> None:
    """Signed by our key, but the row's salt is another: it proves nothing about the session."""
    victim, thief = stolen()
    row = row_of(victim)
    victim.house.store._sessions[row.id] = replace(row, refresh_salt="another")
    assert thief.get(house=victim.house.other_process()).reason == "invalid_token"
    assert not row_of(victim).revoked


# ── Lost answers ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("later", [0.0, GRACE, HOUR, 7 * DAY, 29 * DAY])
def test_a_lost_answer_is_made_good(later: float) -> None:
    """Also days later, and on another node: the same successor goes out again."""  # S42
    browser = in_use()
    lost = browser.respond(browser.arrive().auth)
    browser.house.forget_commands()
    browser.house.wait(later)
    auth = browser.get(house=browser.house.other_process())
    assert (auth.subject, verdict_of(auth)) == ("alice", Verdict.REPLAY)
    meant = Browser(browser.house)
    meant.receive(lost)
    assert browser.refresh == meant.refresh
    assert browser.house.event_names == ["lost_response" if later > GRACE else "replayed"]
    browser.house.wait(EXPIRED)
    assert browser.get().reissued


def test_a_client_may_lose_many_answers() -> None:
    """The successor is one, however often it has to be sent."""  # S42
    browser = in_use()
    for _ in range(5):
        ask(browser, house=browser.house.other_process())
        browser.house.wait(HOUR)
    assert row_of(browser).generation == generation(browser) + 1
    browser.get()
    assert row_of(browser).generation == generation(browser)


def test_a_lost_answer_has_a_window() -> None:
    """Past a finite one: anonymous, and nothing is revoked, since nobody used the successor."""
    browser = in_use(house=House(lost_response_window=HOUR))
    ask(browser)
    browser.house.wait(HOUR)
    assert browser.copy().arrive(house=browser.house.other_process()).auth.reissued
    browser.house.wait(1)
    auth = browser.get(house=browser.house.other_process())
    assert (auth.claims, auth.reason) == (None, "superseded")
    assert not row_of(browser).revoked


def test_a_strict_window_means_reuse() -> None:
    """0: past the grace a lost answer cannot be told from a theft."""
    browser = in_use(house=House(lost_response_window=0))
    ask(browser)
    browser.house.wait(GRACE)
    assert browser.copy().arrive(house=browser.house.other_process()).auth.reissued
    browser.house.wait(1)
    assert browser.get(house=browser.house.other_process()).reason == "reuse"


@pytest.mark.parametrize("shared", [True, False], ids=["one process", "many processes"])
def test_a_burst_after_a_lost_answer(shared: bool) -> None:
    """All of the burst are signed in, before and after its first member rotates again."""
    browser = in_use()
    ask(browser)
    browser.house.wait(DAY)
    tabs = [browser.copy() for _ in range(5)]
    there = processes(browser.house, 5, shared=shared)
    auths = [tab.arrive(house=house).auth for tab, house in zip(tabs, there, strict=True)]
    tabs[0].receive(tabs[0].respond(auths[0], house=there[0]))
    eager = tabs[0].without_access()
    assert eager.get(house=there[0]).reissued  # rotates at once: the successor is a day old
    for tab, auth, house in list(zip(tabs, auths, there, strict=True))[1:]:
        tab.receive(tab.respond(auth, house=house))
    assert all(auth.subject == "alice" for auth in auths)
    assert not row_of(browser).revoked
    late = browser.copy()
    assert late.get(house=browser.house.other_process()).subject == "alice"
    for tab in tabs[1:]:
        browser.jar.update(tab.jar)
    browser.jar.update(eager.jar)
    browser.house.wait(EXPIRED)
    assert browser.get().reissued


# ── Slow requests ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_slow_thief_gets_nothing(method: str) -> None:
    """His answer comes after the victim has moved on: no tokens, and nothing is revoked."""
    victim = in_use()  # S42 S44
    thief = victim.copy()
    there = victim.house.other_process()
    auth = thief.arrive(thief.request(method), house=there).auth
    assert auth.subject == "alice"
    victim.get()
    victim.get()
    victim.house.wait(GRACE + 1)
    victim.house.forget_commands()
    assert fields_of(thief.respond(auth, house=there)) == ()
    assert not row_of(victim).revoked
    assert "reuse" not in victim.house.event_names
    victim.house.wait(EXPIRED)
    assert victim.get().reissued


def test_a_slow_thief_gets_nothing_for_new_claims() -> None:
    """Nor if the endpoint changes the claims: what was read to store them moves no row."""
    victim = in_use()  # S42 S44
    thief = victim.copy()
    there = victim.house.other_process()
    auth = thief.arrive(house=there).auth
    victim.get()
    victim.get()
    victim.house.wait(HOUR)
    before = row_of(victim)
    auth.update({"theme": "dark"})
    assert fields_of(thief.respond(auth, house=there)) == ()
    assert row_of(victim).generation == before.generation
    victim.house.wait(EXPIRED)
    assert victim.get().reissued


def test_new_claims_in_a_race_fork_nothing() -> None:
    """Of two racers that both change the claims one rotates, and both leave with its token."""
    browser = in_use()  # S41 S42
    tabs = [browser.copy() for _ in range(2)]
    there = processes(browser.house, 2, shared=False)
    auths = [tab.arrive(house=house).auth for tab, house in zip(tabs, there, strict=True)]
    before = row_of(browser).generation
    for tab, auth, house in zip(tabs, auths, there, strict=True):
        auth.update({"theme": "dark"})
        tab.receive(tab.respond(auth, house=house))
    assert row_of(browser).generation == before + 1
    assert tabs[0].refresh == tabs[1].refresh
    assert [token_claims(tab.access)["theme"] for tab in tabs] == ["dark", "dark"]


def test_a_winner_shows_the_row_as_it_is_now() -> None:
    """Claims that were changed elsewhere since the request arrived are in its new token."""
    browser = in_use()
    auth = browser.arrive().auth
    browser.house.store.update(sid_of(browser), {"role": "admin"}, now=browser.house.now)
    browser.receive(browser.respond(auth))
    assert token_claims(browser.access)["role"] == "admin"
    assert row_of(browser).claims == {"role": "admin"}


def test_a_replay_that_has_become_late_gets_nothing() -> None:
    """A sibling has recovered the lost answer and rotated on: two generations behind now."""
    browser = in_use()
    ask(browser)
    browser.house.wait(HOUR)
    slow = browser.copy()
    there = browser.house.other_process()
    auth = slow.arrive(house=there).auth
    assert verdict_of(auth) is Verdict.REPLAY
    browser.get(house=browser.house.other_process())
    browser.without_access().get(house=browser.house.other_process())
    assert fields_of(slow.respond(auth, house=there)) == ()


@pytest.mark.parametrize("slow", [True, False])
def test_nothing_leaves_after_the_absolute_limit(slow: bool) -> None:
    """The request arrived in time, and its response starts at the end of the session."""  # S43
    browser = signed_in(House(session_lifetime=2000, refresh_token_expires=1900))
    sibling = browser.copy()
    browser.house.wait(1899)
    auth = sibling.arrive(house=browser.house.other_process()).auth
    assert auth.reissued
    if not slow:
        browser.get()
    browser.house.wait(101)
    assert fields_of(sibling.respond(auth, house=browser.house.other_process())) == ()


def test_a_slow_endpoint_does_not_make_its_user_a_thief() -> None:
    """The verdict is the one at arrival; its own sibling has rotated, so nothing goes out."""
    browser = in_use()
    slow = browser.copy()
    auth = slow.arrive(house=browser.house.other_process()).auth
    browser.get()
    browser.get()
    browser.house.wait(10 * MINUTE)
    assert auth.is_authenticated
    assert fields_of(slow.respond(auth, house=browser.house.other_process())) == ()
    assert browser.get().is_authenticated


def test_a_slow_sibling_within_the_grace_gets_the_successor() -> None:
    """What its own token would get now, it gets."""
    browser = in_use()
    slow = browser.copy()
    auth = slow.arrive(house=browser.house.other_process()).auth
    browser.get()
    browser.house.wait(GRACE)
    slow.receive(slow.respond(auth, house=browser.house.other_process()))
    assert slow.refresh == browser.refresh


@pytest.mark.parametrize("rotations", [0, 1])
def test_an_end_between_the_phases_stops_the_answer(rotations: int) -> None:
    """Revoked after the request arrived: signed in as judged, but no token leaves."""  # S44
    browser = in_use(rotations)
    there = browser.house.other_process()
    auth = browser.arrive(house=there).auth
    browser.house.other_process().auth.revoke(sid_of(browser))
    assert fields_of(browser.respond(auth, house=there)) == ()
    assert row_of(browser).generation == rotations
    assert browser.get(house=there).reason == "revoked"


def test_a_row_gone_between_the_phases_stops_the_answer() -> None:
    """Purged meanwhile: no tokens, and no error."""  # S44
    browser = in_use()
    auth = browser.arrive().auth
    browser.house.store._sessions.clear()
    assert fields_of(browser.respond(auth)) == ()


def test_the_store_falls_silent_between_the_phases() -> None:
    """No cookies, the response goes out, and the client goes on with what it has."""  # S45
    browser = in_use()
    auth = browser.arrive().auth
    browser.house.down.add("rotate")
    before = dict(browser.jar)
    outcome = browser.respond(auth)
    assert fields_of(outcome) == ()
    browser.receive(outcome)
    assert browser.jar == before
    browser.house.down.clear()
    assert browser.get().reissued


# ── Uploads ──────────────────────────────────────────────────────────────────────

UPLOAD = {"content-length": "1000000"}


@pytest.mark.parametrize("behind", [1, 2])
def test_a_late_upload_is_anonymous(behind: int) -> None:
    """It spent minutes in a proxy while its browser rotated: no theft within the hour."""
    browser = in_use()
    upload = browser.copy()
    for _ in range(behind):
        browser.house.wait(EXPIRED)
        browser.get()
        browser.get()
    browser.house.wait(HOUR)
    there = browser.house.other_process()
    auth = upload.get(method="PUT", headers=UPLOAD, house=there)
    assert (auth.claims, auth.reason) == (None, "superseded")
    assert not row_of(browser).revoked
    browser.house.wait(1)
    assert upload.get(method="PUT", headers=UPLOAD, house=there).reason == "reuse"


@pytest.mark.parametrize(
    ("method", "headers", "reason"),
    [
        ("POST", {"content-length": "1"}, "superseded"),
        ("POST", {}, "superseded"),
        ("DELETE", {"transfer-encoding": "chunked"}, "superseded"),
        ("POST", {"content-length": "0"}, "reuse"),
        ("DELETE", {}, "reuse"),
        ("GET", {}, "reuse"),
    ],
)
def test_only_a_body_can_be_late(method: str, headers: dict[str, str], reason: str) -> None:
    """Without one nothing has been on its way for long."""
    _, thief = stolen()
    assert thief.get(method=method, headers=headers).reason == reason


# ── Confirming ───────────────────────────────────────────────────────────────────


def test_a_minted_token_is_unconfirmed_until_it_comes_back() -> None:
    """That the token was made says nothing about whether it arrived."""
    browser = in_use()
    browser.get()
    assert row_of(browser).confirmed_generation == 1
    browser.get()
    row = row_of(browser)
    assert (row.confirmed_generation, row.confirmed_at) == (2, browser.house.now)


def test_a_rotation_confirms_the_generation_it_started_from() -> None:
    """The presented token proves it."""
    browser = signed_in()
    for proven in range(3):
        browser.house.wait(EXPIRED)
        browser.house.forget_commands()
        browser.get()
        row = row_of(browser)
        assert (row.generation, row.confirmed_generation) == (proven + 1, proven)
        assert browser.house.verbs == ["load", "rotate"]


def test_a_process_confirms_a_generation_once() -> None:
    """The first sight is written; what comes later needs no generator."""
    browser = in_use()
    browser.get()
    browser.house.forget_commands()
    browser.get()
    assert browser.house.verbs == ["confirm"]
    first = row_of(browser).confirmed_at
    for _ in range(3):
        browser.house.wait(1)
        assert browser.house.flow.glance(browser.request(), browser.house.now) is not None
        browser.get()
        browser.without_access().get()
    assert browser.house.verbs.count("confirm") == 1
    assert row_of(browser).confirmed_at == first


def test_every_process_confirms_but_no_window_slides() -> None:
    """Each reads for itself, and the moment of the first sight stays."""
    browser = in_use()
    browser.get()
    browser.get()
    first = row_of(browser).confirmed_at
    browser.house.wait(60)
    there = browser.house.other_process()
    browser.without_access().get(house=there)
    browser.house.forget_commands()
    browser.get(house=there)
    assert row_of(browser).confirmed_at == first


def test_confirming_opens_no_store() -> None:
    """A process that only verifies never asks, however often it sees the token."""
    browser = in_use()
    browser.get()
    there = browser.house.other_process()
    browser.house.forget_commands()
    for _ in range(3):
        auth = browser.get(house=there)
        assert auth.subject == "alice"
    assert browser.house.commands == []
    assert there.flow.glance(browser.request(), there.now) is not None
    assert there.flow.parts.memory.store_opened is False
    assert row_of(browser).confirmed_generation == 1


def test_a_process_that_opens_its_store_later_confirms_then() -> None:
    """What it had seen without asking is confirmed at the next sight."""
    browser = in_use()
    browser.get()
    there = browser.house.other_process()
    browser.get(house=there)
    there.auth.sessions("alice")
    browser.get(house=there)
    assert row_of(browser).confirmed_generation == 2


def test_an_outage_while_confirming_is_nobodys() -> None:
    """It is swallowed, not tried again for a moment, and then made good."""  # S45
    browser = in_use()
    browser.get()
    browser.house.down.add("confirm")
    auth = browser.get()
    assert auth.subject == "alice"
    assert "store_unavailable" not in browser.house.event_names
    browser.house.forget_commands()
    browser.house.wait(SETTLE_PAUSE - 1)
    browser.get()
    assert browser.house.commands == []
    browser.house.down.clear()
    browser.house.wait(1)
    browser.get()
    assert row_of(browser).confirmed_generation == 2
    browser.house.forget_commands()
    browser.get()
    assert browser.house.commands == []


def test_what_is_shown_inside_the_request_confirms_nothing() -> None:
    """The app sees the proven generation, so that a service behind it cannot confirm more."""
    browser = in_use()
    auth = browser.arrive().auth
    assert generation_of(auth) == generation(browser) == 1
    outcome = browser.respond(auth)
    browser.receive(outcome)
    assert token_claims(browser.access)["rgen"] == generation(browser) == 2


def test_an_ended_session_is_not_confirmed() -> None:
    """A late sight of its token moves nothing."""
    browser = in_use()
    browser.get()
    before = row_of(browser)
    browser.house.other_process().auth.revoke(before.id)
    browser.get()
    assert row_of(browser).confirmed_generation == before.confirmed_generation


def test_a_confirmed_successor_ends_the_lost_response_window() -> None:
    """From then on the predecessor has the grace, and no more."""  # S42
    browser = in_use()
    old = browser.copy()
    browser.get()
    browser.house.wait(10 * MINUTE)
    assert old.copy().arrive(house=browser.house.other_process()).auth.reissued
    browser.get()
    browser.house.wait(GRACE)
    assert old.copy().arrive(house=browser.house.other_process()).auth.reissued
    browser.house.wait(1)
    assert old.get(house=browser.house.other_process()).reason == "reuse"


# ── What this process has just made ──────────────────────────────────────────────


def test_siblings_are_served_from_memory() -> None:
    """The same two tokens within the grace: the same answer, and no store command."""
    browser = in_use()
    sibling = browser.copy()
    browser.get()
    browser.house.forget_commands()
    browser.house.wait(GRACE - 1)
    auth = sibling.get()
    assert sibling.jar == browser.jar
    assert auth.reissued
    assert generation_of(auth) == 1
    assert browser.house.verbs == []


def test_memory_ends_with_the_grace() -> None:
    """Then another process may rotate again, so the row is asked."""
    browser = in_use()
    sibling = browser.copy()
    browser.get()
    browser.house.forget_commands()
    browser.house.wait(GRACE)
    assert sibling.get().reissued
    assert browser.house.verbs == ["load", "load"]


def test_memory_that_ends_between_the_phases() -> None:
    """Signed in from memory, answered by the row."""  # S44
    browser = in_use()
    sibling = browser.copy()
    browser.get()
    browser.get()
    browser.house.wait(GRACE - 1)
    browser.house.forget_commands()
    auth = sibling.arrive().auth
    assert browser.house.verbs == []
    browser.house.wait(2)
    assert auth.is_authenticated
    assert fields_of(sibling.respond(auth)) == ()


def test_memory_knows_the_pair_not_the_session() -> None:
    """The refresh token beside another access token is judged by the row."""
    browser = in_use()
    sibling = browser.without_access()
    browser.get()
    browser.house.forget_commands()
    sibling.get()
    assert browser.house.verbs == ["load", "load"]
    assert sibling.refresh == browser.refresh
    assert sibling.access != browser.access


@pytest.mark.parametrize("how", ["revoke", "revoke_subject", "logout"])
def test_a_local_end_drops_what_was_made(how: str) -> None:
    """Nothing of an ended session leaves this process."""
    browser = in_use()
    sibling = browser.copy()
    browser.get()
    waiting = sibling.copy()
    auth = waiting.arrive().auth
    if how == "revoke":
        browser.house.auth.revoke(sid_of(browser))
    elif how == "revoke_subject":
        browser.house.auth.revoke_subject("alice")
    else:
        leaving = browser.copy().arrive().auth
        leaving.logout()
        browser.respond(leaving)
    assert sibling.get().reason == "revoked"
    assert fields_of(waiting.respond(auth)) == ()


def test_memory_never_crosses_channels() -> None:
    """The same tokens in headers get an answer of their own, in headers."""  # S38
    browser = in_use()
    client = HeaderClient(browser.house)
    client.jar = dict(browser.jar)
    browser.get()
    browser.house.forget_commands()
    auth = client.arrive().auth
    fields = fields_of(client.respond(auth))
    assert [name for name, _ in fields] == ["X-Access-Token", "X-Refresh-Token"]
    assert browser.house.verbs == ["load", "load"]
    client.receive(client.respond(auth))
    assert client.refresh == browser.refresh


def test_memory_is_filled_by_a_swap_of_its_own_alone() -> None:
    """A loser, a replay and a kept token leave nothing behind: it never mints."""
    browser = in_use()
    loser = browser.copy()
    there = browser.house.other_process()
    auth = loser.arrive(house=there).auth
    browser.get()
    loser.receive(loser.respond(auth, house=there))
    browser.without_access().get(house=there)
    assert len(there.flow.parts.memory.minted) == 0
    assert len(browser.house.flow.parts.memory.minted) > 0


def test_memory_of_a_cross_site_request() -> None:
    """CSRF is decided before anything is recalled."""  # S40
    browser = in_use()
    sibling = browser.copy()
    browser.get()
    auth = sibling.get(method="POST", headers={"sec-fetch-site": "cross-site"})
    assert (auth.claims, auth.reason) == (None, "csrf")


# ── Revocation elsewhere ─────────────────────────────────────────────────────────


def test_an_ended_session_stops_here_at_once_and_there_when_its_token_ends() -> None:
    """The lag elsewhere is at most the access token's life."""  # S46
    browser = signed_in()
    there = browser.house.other_process()
    browser.get(house=there)
    browser.house.auth.revoke(sid_of(browser))
    assert browser.get().reason == "revoked"
    browser.house.wait(EXPIRED - 1)
    assert browser.get(house=there).is_authenticated
    browser.house.wait(1)
    assert browser.get(house=there).reason == "revoked"


# ── Sign-ins at the same time ────────────────────────────────────────────────────────


def side_by_side(house: House, *flows: Generator[Command, Any, Any]) -> None:
    """Each asks its next command before any of them is answered."""
    answers: dict[Generator[Command, Any, Any], Any] = dict.fromkeys(flows)
    while answers:
        asked: dict[Generator[Command, Any, Any], Command] = {}
        for flow, answer in answers.items():
            with suppress(StopIteration):
                asked[flow] = flow.send(answer)
        answers = {flow: house.answer(command) for flow, command in asked.items()}


@pytest.mark.parametrize("most", [1, 2])
@pytest.mark.parametrize("stored_first", ["older", "newer"])
def test_sign_ins_at_once_do_not_end_each_other(most: int, stored_first: str) -> None:
    """With a limit the newest sessions stay, however sign-ins at the same time interleave."""
    house = House(max_sessions_per_subject=most)
    handles: list[RequestAuth] = []
    for _ in range(most + 1):
        house.wait(0.01)
        handles.append(Browser(house).arrive().auth)
        handles[-1].login("alice")
    flows = [house.flow.respond(auth, 200, [], house.now) for auth in handles]
    side_by_side(house, *(flows if stored_first == "older" else reversed(flows)))
    alive = [session.id for session in house.auth.sessions("alice")]
    assert alive == [auth.session_id for auth in reversed(handles[1:])]


def test_who_is_overtaken_makes_no_room() -> None:
    """A sign-in that is stored after newer ones ends none of them, nor itself."""
    house = House(max_sessions_per_subject=1)
    slow = Browser(house).arrive().auth
    slow.login("alice")
    house.wait(1)
    quick = Browser(house)
    quick.login("alice")
    house.run(house.flow.respond(slow, 200, [], house.now))
    assert [session.id for session in house.auth.sessions("alice")] == [
        token_claims(quick.access)["sid"],
        slow.session_id,
    ]
