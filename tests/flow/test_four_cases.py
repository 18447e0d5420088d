"""The four cases, and the rules around them: channels, required mode, claims, no store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from naming import plainly
from stepping import START, Browser, HeaderClient, House, generation_of, names, token_claims

from jwt_middleware.errors import NotAuthenticated
from jwt_middleware.flow import Arrival
from jwt_middleware.handle import RequestAuth
from jwt_middleware.refusals import Refusal
from jwt_middleware.rotation import Verdict
from jwt_middleware.sessions import Session
from jwt_middleware.transport import Additions

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
EXPIRED = 15 * MINUTE
"""Seconds after which a default access token is expired."""

CROSS_SITE = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}


def signed_in(house: House | None = None, **login: Any) -> Browser:
    """A browser right after its login, with the login off the record."""
    browser = Browser(house or House())
    browser.login(**login)
    browser.house.forget_commands()
    return browser


def verdict_of(auth: RequestAuth) -> Verdict | None:
    return None if auth.reissue is None else auth.reissue.row.verdict


def sid_of(browser: Browser) -> str:
    return token_claims(browser.refresh)["sid"]


def fields_of(outcome: Additions | Refusal) -> list[tuple[str, str]]:
    assert isinstance(outcome, Additions)
    return list(outcome.fields)


def refusal_of(arrival: Arrival) -> Refusal:
    assert arrival.refusal is not None
    return arrival.refusal


# ── Row 1: a valid access token ──────────────────────────────────────────────────


def test_a_token_seen_before_asks_nothing() -> None:
    """The common case needs no store command, and no generator to ask one with."""
    browser = signed_in()
    auth = browser.house.flow.glance(browser.request(), browser.house.now)
    assert isinstance(auth, RequestAuth)
    assert (auth.subject, auth.reason) == ("alice", None)
    assert (auth.intent, auth.reissue, auth.unconfirmed) == (None, None, None)
    assert browser.house.verbs == []


def test_a_valid_token_reads_no_store() -> None:
    """A token this process has never seen costs a signature check, and no command at all."""
    browser = signed_in()
    there = browser.house.other_process()
    assert there.flow.glance(browser.request(), there.now) is None
    assert browser.arrive(house=there).auth.subject == "alice"
    assert there.verbs == []
    assert there.flow.glance(browser.request(), there.now) is not None


def test_what_else_is_presented_does_not_matter() -> None:
    """Beside a valid access token a broken, foreign or spent refresh token is not looked at."""
    browser = signed_in()
    other = signed_in(browser.house, subject="bob")
    for refresh in ("broken", "a.b.c", other.refresh):
        assert refresh is not None
        browser.set_refresh(refresh)
        fresh = browser.house.other_process()
        assert browser.arrive(house=fresh).auth.subject == "alice"
    assert browser.house.verbs == []


def test_a_valid_token_gets_nothing_back() -> None:
    """No cookie, no rotation."""
    browser = signed_in()
    assert fields_of(browser.respond(browser.arrive().auth)) == []


def test_a_token_ends_at_its_expiry() -> None:
    """Now equal to exp is expired, for the glance as well."""  # S15
    browser = signed_in()
    browser.house.now = token_claims(browser.access)["exp"] - 0.001
    assert browser.house.flow.glance(browser.request(), browser.house.now) is not None
    browser.house.now += 0.001
    assert browser.house.flow.glance(browser.request(), browser.house.now) is None
    assert browser.arrive().auth.reissued


@pytest.mark.parametrize("cookie", ["access_cookie", "refresh_cookie"])
def test_a_glance_sees_what_a_full_look_sees(cookie: str) -> None:
    """Whether a token was seen before changes nothing, also beside a cookie that came twice."""
    browser = signed_in()  # S25
    request = browser.request()
    request.cookie = f"{request.cookie}; {getattr(browser.house.auth.settings, cookie)}=tossed"
    known = browser.arrive(request).auth
    unknown_yet = browser.arrive(request, house=browser.house.other_process()).auth
    assert known.subject == unknown_yet.subject
    assert known.reason == unknown_yet.reason
    assert known.subject == (None if cookie == "access_cookie" else "alice")


# ── Row 2: reissued in the same request ──────────────────────────────────────────


@pytest.mark.parametrize("state", ["missing", "expired", "invalid"])
def test_the_refresh_token_signs_in(state: str) -> None:
    """Access token expired, missing or unverifiable: reissued, and the refresh token rotated."""
    browser = signed_in(claims={"role": "admin"})
    before = browser.refresh
    client = browser.without_access() if state == "missing" else browser
    if state == "invalid":
        client.set_access("forged")
    if state == "expired":
        browser.house.wait(EXPIRED)
    auth = client.get()
    assert (auth.subject, auth.reason, auth.reissued) == ("alice", None, True)
    assert auth.claims is not None
    assert auth.claims["role"] == "admin"
    assert browser.house.verbs[:2] == ["load", "rotate"]
    assert client.refresh != before
    assert client.arrive().auth.subject == "alice"
    assert browser.house.row(auth.session_id or "").generation == 1
    assert browser.house.event_names == ["reissued"]


@pytest.mark.parametrize("state", ["missing", "expired", "invalid"])
@pytest.mark.parametrize("allowed", ["missing", "expired", "invalid"])
def test_reissue_on_narrows_it(state: str, allowed: str) -> None:
    """Only for what is listed does a good refresh token help."""
    browser = signed_in(House(reissue_on=(allowed,)))
    client = browser.without_access() if state == "missing" else browser
    if state == "invalid":
        client.set_access("forged")
    if state == "expired":
        browser.house.wait(EXPIRED)
    auth = client.get()
    assert auth.reissued is (state == allowed)
    if state != allowed:
        assert auth.reason == {"invalid": "invalid_token"}.get(state, state)
        assert browser.house.verbs == []


def test_reissue_on_nothing() -> None:
    """An empty list turns reissuing off."""
    browser = signed_in(House(reissue_on=()))
    browser.house.wait(EXPIRED)
    assert browser.get().reason == "expired"


@pytest.mark.parametrize("other", ["bob", "alice"])
def test_both_tokens_are_of_one_session(other: str) -> None:
    """Two authentic tokens of different subjects, or sessions, sign nobody in."""  # S44
    browser = signed_in()
    stranger = signed_in(browser.house, subject=other)
    assert stranger.refresh is not None
    browser.set_refresh(stranger.refresh)
    browser.house.wait(EXPIRED)
    before = dict(browser.jar)
    auth = browser.get()
    assert (auth.claims, auth.reason) == (None, "invalid_token")
    assert browser.jar == before
    assert browser.house.verbs == []


def test_both_tokens_are_of_one_subject() -> None:
    """Two authentic tokens of one session, but of different subjects, sign nobody in."""  # S44
    browser = signed_in()
    house = browser.house
    row = house.row(token_claims(browser.refresh)["sid"])
    tokens = house.other_process().flow.parts.tokens
    browser.set_access(tokens.access(replace(row, subject="bob"), generation=0, now=house.now))
    house.wait(EXPIRED)
    assert browser.get().reason == "invalid_token"
    assert house.verbs == []


def test_an_expired_refresh_token_reads_no_store() -> None:
    """Without a valid access token beside it there is nothing to ask."""
    browser = signed_in()
    browser.house.wait(30 * DAY)
    assert browser.get().reason == "expired"
    assert browser.house.verbs == []


def test_what_the_app_sees_proves_nothing_new() -> None:
    """The claims carry the generation that was proven; the token sent, the one sent beside it."""
    browser = signed_in()
    for generation in range(3):
        browser.house.wait(EXPIRED)
        auth = browser.get()
        assert generation_of(auth) == generation
        assert token_claims(browser.access)["rgen"] == generation + 1
        assert token_claims(browser.refresh)["gen"] == generation + 1


def test_a_refresh_token_never_opens_the_app() -> None:
    """Presented as an access token it is unverifiable, and the other way round."""  # S19
    browser = signed_in()
    assert browser.access is not None
    assert browser.refresh is not None
    browser.jar = {
        browser.house.auth.settings.access_cookie: browser.refresh,
        browser.house.auth.settings.refresh_cookie: browser.access,
    }
    assert browser.get().reason == "invalid_token"
    assert browser.house.verbs == []


def test_rotation_moves_the_idle_limit() -> None:
    """Each rotation gives another idle period; a session in use lives on."""  # S43
    browser = signed_in()
    for _ in range(8):
        browser.house.wait(9 * DAY)
        assert browser.get().is_authenticated
    browser.house.wait(30 * DAY)
    assert browser.get().reason == "expired"


def test_rotation_never_moves_the_absolute_limit() -> None:
    """However busy, a session ends at its absolute expiry, and its last tokens with it."""  # S43
    house = House(session_lifetime="2d", refresh_token_expires="1d")
    browser = signed_in(house)
    house.wait(DAY - 1)
    browser.get()
    house.wait(DAY - 59)
    assert browser.get().reissued
    end = START + 2 * DAY
    assert token_claims(browser.access)["exp"] == token_claims(browser.refresh)["exp"] == end
    house.now = end
    auth = browser.get()
    assert (auth.reason, auth.is_authenticated) == ("expired", False)


# ── Row 3: renewed beside a valid access token ───────────────────────────────────


def short_lived(**settings: Any) -> House:
    """Refresh tokens that live hardly longer than access tokens: 1000 s and 900 s."""
    return House(refresh_token_expires=1000, rotation_grace=10, **settings)


def outliving(house: House) -> Browser:
    """A browser whose access token outlives its refresh token by 400 s."""
    browser = signed_in(house)
    house.wait(500)
    browser.late_access()
    return browser


def test_an_expired_refresh_token_is_renewed() -> None:
    """From rexp on it is looked at beside a valid access token, and rotated."""
    house = short_lived()
    browser = outliving(house)
    house.wait(499)
    assert browser.get().reissue is None
    assert house.verbs == []
    house.wait(1)
    auth = browser.get()
    assert auth.reissued
    assert token_claims(browser.refresh)["gen"] == 1
    assert token_claims(browser.refresh)["exp"] == house.now + 1000
    assert token_claims(browser.access)["rexp"] == house.now + 1000
    assert "load" in house.verbs
    assert "rotate" in house.verbs


def test_renewal_can_be_turned_off() -> None:
    """renew_refresh=False: the access token is all there is, and it is enough while it lives."""
    house = short_lived(renew_refresh=False)
    browser = outliving(house)
    house.wait(500)
    for process in (house, house.other_process()):
        auth = browser.get(house=process)
        assert (auth.subject, auth.reissue) == ("alice", None)
    assert house.verbs == []
    house.wait(400)
    assert browser.get().reason == "expired"


def test_renewal_asks_for_the_same_session() -> None:
    """The expired refresh token of another session is left alone."""  # S44
    house = short_lived()
    stranger = signed_in(house)
    browser = outliving(house)
    assert stranger.refresh is not None
    house.wait(500)
    mixed = browser.copy()
    mixed.set_refresh(stranger.refresh)
    assert mixed.get().reissue is None
    assert house.verbs == []


def test_renewal_never_extends_the_absolute_limit() -> None:
    """A renewed token ends with the session at the latest, and no session past it is renewed."""
    house = short_lived(session_lifetime=1200)  # S43
    browser = outliving(house)
    house.wait(500)
    assert browser.get().reissued
    assert token_claims(browser.refresh)["exp"] == START + 1200
    assert token_claims(browser.access)["exp"] == START + 1200
    house.wait(200)
    assert browser.get().reason == "expired"


def test_renewal_of_an_ended_session_signs_out() -> None:
    """Whoever reads the row and finds it ended is anonymous, even beside a valid token."""
    house = short_lived()
    browser = outliving(house)
    house.other_process().auth.revoke(token_claims(browser.access)["sid"])
    house.wait(499)
    assert browser.get().is_authenticated  # nobody has looked
    house.wait(1)
    assert browser.get().reason == "revoked"


def test_reuse_beside_a_valid_token_ends_the_session() -> None:
    """Row 3 is a rotation like any other: a spent token is a theft there, too."""  # S42
    house = short_lived()
    browser = outliving(house)
    thief = browser.copy()
    house.wait(500)
    browser.get()
    browser.get()
    house.wait(100)
    assert thief.get().reason == "reuse"
    assert "reuse" in house.event_names


@pytest.mark.parametrize("newer", ["access", "refresh"])
def test_renewal_needs_both_to_be_due(newer: str) -> None:
    """The refresh token's own expiry, and the one that the access token knows of: where tokens of
    two generations are mixed up and only one says so, nothing is due."""
    house = short_lived()
    browser = outliving(house)
    former = browser.copy()
    house.wait(500)
    browser.get()  # renewed
    if newer == "access":
        assert former.refresh is not None
        browser.set_refresh(former.refresh)
    else:
        assert former.access is not None
        browser.set_access(former.access)
    house.forget_commands()
    auth = browser.arrive(house=house.other_process()).auth
    assert (auth.subject, auth.reissue, house.verbs) == ("alice", None, [])


def test_an_access_token_that_knows_of_no_refresh_token_renews_none() -> None:
    """A token of a former version, without ``rexp``, is good for itself."""
    house = short_lived()
    browser = signed_in(house)
    members = {
        name: value for name, value in token_claims(browser.access).items() if name != "rexp"
    }
    house.wait(1000)
    members["exp"] = int(house.now) + 60
    browser.set_access(house.flow.parts.tokens.sign_access(members))
    house.forget_commands()
    auth = browser.arrive().auth
    assert (auth.subject, auth.reissue, house.verbs) == ("alice", None, [])


def test_renewal_in_parallel() -> None:
    """Siblings of a renewal get the same successor."""  # S41
    house = short_lived()
    browser = outliving(house)
    house.wait(500)
    tabs = [browser.copy() for _ in range(3)]
    auths = [tab.arrive(house=house.other_process()).auth for tab in tabs]
    for tab, auth in zip(tabs, auths, strict=True):
        tab.receive(tab.respond(auth, house=house.other_process()))
    assert len({tab.refresh for tab in tabs}) == 1
    assert token_claims(tabs[0].refresh)["gen"] == 1


def test_a_renewal_is_repeated() -> None:
    """A sibling of it is answered from memory, though the refresh token it came with has expired:
    that is why it was renewed."""
    house = short_lived()
    browser = outliving(house)
    house.wait(500)
    sibling = browser.copy()
    browser.get()
    auth = sibling.arrive().auth
    assert auth.reissue is not None
    assert house.now >= auth.reissue.refresh.expires_at
    repeated = house.flow.repeat(auth, 200, [], house.now)
    assert repeated is not None
    assert repeated.refresh == browser.refresh


def test_renewal_with_the_store_down() -> None:
    """The request goes on with its valid token."""  # S45
    house = short_lived(required=True)
    browser = outliving(house)
    house.wait(500)
    before = dict(browser.jar)
    house.down.add("load")
    arrival = browser.arrive()
    assert (arrival.refusal, arrival.auth.subject) == (None, "alice")
    browser.receive(browser.respond(arrival.auth))
    assert browser.jar == before


# ── Reissued before it has to be ─────────────────────────────────────────────────


def test_reissue_within() -> None:
    """With less left than this, the access token is reissued though it is still valid."""
    house = House(reissue_within=300)
    browser = signed_in(house)
    house.wait(EXPIRED - 301)
    assert browser.get().reissue is None
    assert house.verbs == []
    house.wait(1)
    assert browser.get().reissued
    assert token_claims(browser.access)["exp"] == house.now + EXPIRED


def test_reissue_within_needs_one_that_is_good() -> None:
    """An expired refresh token is not used early: the access token alone signs the request in."""
    house = House(reissue_within=300, refresh_token_expires=1000, renew_refresh=False)
    browser = signed_in(house)
    house.wait(500)
    browser.late_access()
    house.wait(EXPIRED - 250)
    house.forget_commands()
    auth = browser.arrive().auth
    assert (auth.subject, auth.reissue, house.verbs) == ("alice", None, [])


def test_reissue_within_needs_a_refresh_token() -> None:
    """Without one, or with one that is broken or another session's, the valid token goes on."""
    house = House(reissue_within=300)
    browser = signed_in(house)
    stranger = signed_in(house, subject="bob")
    house.wait(EXPIRED - 1)
    for refresh in ("", "broken", stranger.refresh):
        assert refresh is not None
        tab = browser.copy()
        tab.set_refresh(refresh)
        auth = tab.get()
        assert (auth.subject, auth.reissue) == ("alice", None)


def test_reissue_within_beside_a_superseded_token() -> None:
    """A refresh token that is worth nothing takes nothing from the valid token beside it."""
    house = House(reissue_within=400, lost_response_window=60)
    browser = signed_in(house)
    house.wait(500)
    browser.respond(browser.arrive().auth)  # and the answer is lost
    house.wait(121)
    auth = browser.arrive(house=house.other_process()).auth
    assert (auth.subject, auth.reason, auth.reissue) == ("alice", None, None)


def test_reissue_within_beside_a_token_of_another_row() -> None:
    """Nor does one that is authentic, and not what its row would give."""
    house = House(reissue_within=300)
    browser = signed_in(house)
    row = house.row(token_claims(browser.access)["sid"])
    house.store._sessions[row.id] = replace(row, refresh_salt="of a restored backup")
    house.wait(EXPIRED - 1)
    auth = browser.arrive(house=house.other_process()).auth
    assert (auth.subject, auth.reason, auth.reissue) == ("alice", None, None)


def test_reissue_within_finds_an_ended_session() -> None:
    """The row was read, so the valid token beside it counts no more."""
    house = House(reissue_within=300)
    browser = signed_in(house)
    house.other_process().auth.revoke(token_claims(browser.access)["sid"])
    house.wait(EXPIRED - 1)
    assert browser.get().reason == "revoked"


@pytest.mark.parametrize("what", ["load", "load_claims"])
def test_reissue_within_during_an_outage(what: str) -> None:
    """The request goes on with its valid token, and keeps its cookies."""  # S45
    house = House(reissue_within=300, required=True, load_claims=lambda session: {})
    browser = signed_in(house)
    house.wait(EXPIRED - 1)
    house.down.add(what)
    before = dict(browser.jar)
    arrival = browser.arrive()
    assert (arrival.refusal, arrival.auth.subject) == (None, "alice")
    assert fields_of(browser.respond(arrival.auth)) == []
    assert browser.jar == before


def test_an_idle_session_is_renewed_within_the_leeway() -> None:
    """Between the refresh token's exp and the end of the leeway a valid access token counts."""
    house = House(refresh_token_expires=1000, rotation_grace=10, reissue_within=450, leeway=60)
    browser = signed_in(house)
    house.wait(490)
    browser.late_access()
    house.now = START + 1001
    assert house.now < token_claims(browser.access)["exp"]
    assert browser.get().is_authenticated
    house.now = START + 1061
    assert browser.get().is_authenticated


# ── Row 4: anonymous, or refused ─────────────────────────────────────────────────


@pytest.mark.parametrize("required", [False, True])
def test_nothing_presented(required: bool) -> None:
    """Anonymous, or 401 without an error code."""  # S33
    browser = Browser(House(required=required))
    arrival = browser.arrive()
    assert (arrival.auth.claims, arrival.auth.reason) == (None, "missing")
    if required:
        refusal = refusal_of(arrival)
        assert refusal.status == 401
        assert dict(refusal.headers)["WWW-Authenticate"] == "Bearer"
    else:
        assert arrival.refusal is None
        assert fields_of(browser.respond(arrival.auth)) == []


def unknown(browser: Browser) -> None:
    browser.house.store._sessions.clear()


def revoked(browser: Browser) -> None:
    browser.house.other_process().auth.revoke(token_claims(browser.refresh)["sid"])


def idle(browser: Browser) -> None:
    browser.house.wait(30 * DAY)


def no_refresh(browser: Browser) -> None:
    browser.jar.pop(browser.house.auth.settings.refresh_cookie)


def broken_refresh(browser: Browser) -> None:
    browser.set_refresh("broken")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (unknown, "unknown_session"),
        (revoked, "revoked"),
        (idle, "expired"),
        (no_refresh, "expired"),
        (broken_refresh, "invalid_token"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
@pytest.mark.parametrize("required", [False, True])
def test_a_refresh_token_that_does_not_count(change: Any, reason: str, required: bool) -> None:
    """Anonymous with its reason, or 401; no cookie is set and none cleared."""
    browser = signed_in(House(required=required, public_paths=["/login"] if required else []))
    browser.house.wait(EXPIRED)
    change(browser)
    arrival = browser.arrive()
    assert (arrival.auth.claims, arrival.auth.reason) == (None, reason)
    if required:
        refusal = refusal_of(arrival)
        assert refusal.status == 401
        assert 'error="invalid_token"' in dict(refusal.headers)["WWW-Authenticate"]
        assert names(refusal) == []
    else:
        assert arrival.refusal is None
        assert fields_of(browser.respond(arrival.auth)) == []
    assert "rotate" not in browser.house.verbs


def test_public_paths_need_no_sign_in() -> None:
    """Where required=True does not apply, anonymous requests go on."""
    browser = Browser(House(required=True, public_paths=["/about"]))
    assert browser.arrive(browser.request(path="/about")).refusal is None
    assert browser.arrive(browser.request(path="/about/us")).refusal is None
    assert refusal_of(browser.arrive(browser.request(path="/aboutus"))).status == 401


def test_a_person_is_sent_to_the_login_page() -> None:
    """An HTML navigation gets 303 with a local way back; the page itself is public."""
    browser = Browser(House(required=True, login_url="/login"))
    html = {"accept": "text/html"}
    refusal = refusal_of(browser.arrive(browser.request(path="//evil.example", headers=html)))
    location = dict(refusal.headers)["Location"]
    assert (refusal.status, location) == (303, "/login?next=%2Fevil.example")
    assert browser.arrive(browser.request(path="/login", headers=html)).refusal is None
    assert refusal_of(browser.arrive(browser.request(path="/x"))).status == 401


def test_a_required_mode_reissues_all_the_same() -> None:
    """Nobody is sent away to refresh and retry."""
    browser = signed_in(House(required=True, public_paths=["/login"]))
    browser.house.wait(EXPIRED)
    arrival = browser.arrive()
    assert (arrival.refusal, arrival.auth.reissued) == (None, True)


@pytest.mark.parametrize("required", [False, True])
def test_the_store_is_down_on_arrival(required: bool) -> None:
    """503 with Retry-After where sign-in is required, anonymous elsewhere; cookies are kept."""
    browser = signed_in(House(required=required, public_paths=["/login"] if required else []))
    browser.house.wait(EXPIRED)  # S45
    browser.house.down.add("load")
    before = dict(browser.jar)
    arrival = browser.arrive()
    assert (arrival.auth.claims, arrival.auth.reason) == (None, "store_unavailable")
    if required:
        refusal = refusal_of(arrival)
        assert refusal.status == 503
        assert int(dict(refusal.headers)["Retry-After"]) > 0
        public = browser.arrive(browser.request(path="/login"))
        assert (public.refusal, public.auth.reason) == (None, "store_unavailable")
    else:
        assert arrival.refusal is None
        browser.receive(browser.respond(arrival.auth))
    assert browser.jar == before
    assert "store_unavailable" in browser.house.event_names
    browser.house.down.clear()
    assert browser.get().reissued


def test_a_session_that_was_missing_for_a_moment_goes_on() -> None:
    """A replica that has not caught up does not shut a session out of this process for good."""
    browser = signed_in()
    browser.house.wait(EXPIRED)
    store = browser.house.store
    away, store._sessions = store._sessions, {}
    assert browser.get().reason == "unknown_session"
    store._sessions = away
    assert browser.get().reissued
    assert browser.get().is_authenticated


# ── One channel a request ────────────────────────────────────────────────────────


def test_headers_in_headers_out() -> None:
    """Tokens leave on the channel the old ones came by, and on no other."""  # S38
    client = HeaderClient(House())
    client.login()
    client.house.wait(EXPIRED)
    auth = client.arrive().auth
    fields = fields_of(client.respond(auth))
    assert [name for name, _ in fields] == ["X-Access-Token", "X-Refresh-Token"]


def test_cookies_in_cookies_out() -> None:
    """A browser's tokens never appear in a header a script could read."""  # S38
    browser = signed_in()
    browser.house.wait(EXPIRED)
    fields = fields_of(browser.respond(browser.arrive().auth))
    assert [name for name, _ in fields] == ["Set-Cookie", "Set-Cookie"]
    for _, value in fields:
        assert "HttpOnly" in value
        assert "Secure" in value


def test_a_header_client_may_send_both_after_a_401() -> None:
    """It sends its access token alone until that is refused, and then the refresh token too."""
    client = HeaderClient(House(required=True, public_paths=["/login"]))
    client.login()
    client.house.wait(EXPIRED)
    alone = client.request(refresh=None)
    refusal = refusal_of(client.arrive(alone))
    assert refusal.status == 401
    assert b"refresh token" in refusal.body
    arrival = client.arrive()
    assert (arrival.refusal, arrival.auth.reissued) == (None, True)
    client.receive(client.respond(arrival.auth))
    assert client.arrive(client.request(refresh=None)).auth.subject == "alice"


def test_a_refresh_token_alone_in_its_header() -> None:
    """It makes the headers the channel of the request."""
    client = HeaderClient(House())
    client.login()
    auth = client.arrive(client.request(authorization=None)).auth
    assert auth.reissued
    assert dict(fields_of(client.respond(auth))).keys() == {"X-Access-Token", "X-Refresh-Token"}


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        ("Bearer broken", "invalid_token"),
        ("Bearer", "invalid_request"),
        ("Bearer a b", "invalid_request"),
        ("Bearer a.b.c, Bearer d.e.f", "invalid_request"),
        ("Basic eDp5, Bearer a.b.c", "invalid_request"),
    ],
)
def test_a_broken_header_never_falls_through(authorization: str, reason: str) -> None:
    """The first location that holds a token counts, and cookies beside it are invisible."""
    browser = signed_in()  # S22 S23
    auth = browser.get(authorization=authorization)
    assert (auth.claims, auth.reason) == (None, reason)
    browser.house.wait(EXPIRED)
    assert browser.get(authorization=authorization).reason == reason
    assert browser.house.verbs == []


def test_an_ambiguous_header_is_a_bad_request() -> None:
    """Where sign-in is required: 400 invalid_request."""  # S22
    browser = Browser(House(required=True))
    refusal = refusal_of(browser.arrive(browser.request(authorization="Bearer a, Bearer b")))
    assert refusal.status == 400
    assert 'error="invalid_request"' in dict(refusal.headers)["WWW-Authenticate"]


@pytest.mark.parametrize("authorization", ["Basic eDp5", "Digest a=b", "Bearerish x", ""])
def test_another_scheme_is_not_ours(authorization: str) -> None:
    """Basic in front of the whole site: the cookie counts."""  # S23
    browser = signed_in()
    assert browser.get(authorization=authorization).subject == "alice"
    browser.house.wait(EXPIRED)
    assert browser.get(authorization=authorization).reissued


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER    "])
def test_the_scheme_in_any_case(scheme: str) -> None:
    """Bearer in any case, one or more spaces."""  # S22
    client = HeaderClient(House())
    client.login()
    assert client.get(authorization=f"{scheme}{client.access}").subject == "alice"


def test_the_order_of_locations_is_precedence() -> None:
    """With cookies first a header beside them is invisible."""
    house = House(token_location=("cookies", "headers"))
    browser = signed_in(house)
    assert browser.get(authorization="Bearer broken").subject == "alice"
    client = HeaderClient(house)
    client.login("bob")
    assert client.get().subject == "bob"


@pytest.mark.parametrize("cookie", ["access_cookie", "refresh_cookie"])
def test_a_cookie_that_came_twice_counts_for_nothing(cookie: str) -> None:
    """Different values: neither is used nor reissued from; identical values are fine."""  # S25
    browser = signed_in()
    browser.house.wait(EXPIRED)
    name = getattr(browser.house.auth.settings, cookie)
    request = browser.request()
    same, tossed = browser.request(), browser.request()
    same.cookie = f"{request.cookie}; {name}={browser.jar[name]}"
    tossed.cookie = f"{request.cookie}; {name}=tossed"
    assert browser.arrive(tossed).auth.reason == "duplicate_cookie"
    assert browser.house.verbs == []
    assert browser.arrive(same).auth.reissued


# ── Responses that carry nothing ─────────────────────────────────────────────────


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304)])
def test_nothing_for_a_response_that_caches_merge(method: str, status: int) -> None:
    """HEAD and 304: signed in, no token, no rotation; the next request gets them."""  # S36
    browser = signed_in()
    browser.house.wait(EXPIRED)
    auth = browser.arrive(browser.request(method)).auth
    assert auth.subject == "alice"
    assert fields_of(browser.respond(auth, status)) == []
    assert "rotate" not in browser.house.verbs
    assert browser.get().reissued


def test_a_head_request_proves_that_the_answer_arrived() -> None:
    """The first sight of a refresh token of the current generation confirms it."""
    browser = signed_in()
    browser.house.wait(EXPIRED)
    auth = browser.get()
    browser.house.wait(EXPIRED)
    shown = browser.without_access()
    shown.get(method="HEAD")
    assert browser.house.row(auth.session_id or "").confirmed_generation == 1


@pytest.mark.parametrize("cookie", ["access_cookie", "refresh_cookie"])
@pytest.mark.parametrize("value", ["{}=mine; Path=/", "{} = mine", " {}=mine"])
def test_the_app_sets_our_cookie_itself(cookie: str, value: str) -> None:
    """The app wins: none of ours is sent, and nothing is rotated."""  # S37
    browser = signed_in()
    browser.house.wait(EXPIRED)
    name = getattr(browser.house.auth.settings, cookie)
    auth = browser.arrive().auth
    outcome = browser.respond(auth, headers=[("set-cookie", value.format(name))])
    assert fields_of(outcome) == []
    assert "rotate" not in browser.house.verbs


def test_the_apps_other_cookies_are_kept() -> None:
    """A cookie that only begins like ours does not count as ours."""  # S37
    browser = signed_in()
    browser.house.wait(EXPIRED)
    own = [("Set-Cookie", f"{browser.house.auth.settings.access_cookie}2=x")]
    outcome = browser.respond(browser.arrive().auth, headers=own)
    assert len(fields_of(outcome)) == 2
    assert isinstance(outcome, Additions)
    merged = browser.house.flow.merge(outcome, own)
    assert [name for name, _ in merged].count("Set-Cookie") == 3
    assert own[0] in list(merged)
    assert ("Cache-Control", "no-store") in list(merged)


def test_a_response_that_starts_over_is_decided_again() -> None:
    """Should the app set our cookie on its error page, the tokens stay behind."""  # S48
    browser = signed_in()
    browser.house.wait(EXPIRED)
    outcome = browser.respond(browser.arrive().auth)
    assert isinstance(outcome, Additions)
    own = [("Set-Cookie", f"{browser.house.auth.settings.access_cookie}=x")]
    assert list(browser.house.flow.merge(outcome, own)) == own


def test_no_header_tokens_on_a_websocket() -> None:
    """A script could not read them there: nothing is sent and nothing rotated."""
    client = HeaderClient(House())
    client.login()
    client.house.wait(EXPIRED)
    client.house.forget_commands()
    auth = client.arrive(client.request(websocket=True)).auth
    assert auth.reissued
    assert fields_of(client.respond(auth, 101)) == []
    assert "rotate" not in client.house.verbs


def test_cookies_ride_on_a_websocket() -> None:
    """Browsers keep cookies of a handshake."""  # S50
    browser = signed_in()
    browser.house.wait(EXPIRED)
    auth = browser.arrive(browser.request(websocket=True)).auth
    assert len(fields_of(browser.respond(auth, 101))) == 2


@pytest.mark.parametrize("status", [200, 404, 500])
def test_an_error_page_carries_tokens_too(status: int) -> None:
    """The rotation belongs to the session, not to what the app made of the request."""  # S54
    browser = signed_in()
    browser.house.wait(EXPIRED)
    assert len(fields_of(browser.respond(browser.arrive().auth, status))) == 2


# ── The account, read again at every reissue ─────────────────────────────────────


class Accounts:
    """A ``load_claims`` that answers what the test says, and counts."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[Session] = []

    def __call__(self, session: Session) -> Any:
        self.asked.append(session)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_fresh_claims_at_every_reissue() -> None:
    """They reach the app, the new token and the row; a valid token is not asked about."""  # S43
    accounts = Accounts({"role": "admin"})
    browser = signed_in(House(load_claims=accounts), claims={"role": "guest"})
    assert browser.get().claims is not None
    assert accounts.asked == []
    browser.house.wait(EXPIRED)
    auth = browser.get()
    assert [session.subject for session in accounts.asked] == ["alice"]
    assert auth.claims is not None
    assert auth.claims["role"] == "admin"
    assert token_claims(browser.access)["role"] == "admin"
    assert browser.house.row(auth.session_id or "").claims == {"role": "admin"}


def test_fresh_claims_reach_a_loser_and_a_kept_token() -> None:
    """Whoever is reissued a token is asked about, also where nothing is rotated."""  # S43
    accounts = Accounts({"role": "guest"})
    browser = signed_in(House(load_claims=accounts))
    browser.house.wait(EXPIRED)
    sibling = browser.copy()
    browser.get()
    accounts.answer = {"role": "admin"}
    sibling.get(house=browser.house.other_process())
    assert token_claims(sibling.access)["role"] == "admin"
    kept = browser.without_access()
    kept.get()
    assert token_claims(kept.access)["role"] == "admin"


def test_a_disabled_account_ends_its_session() -> None:
    """None ends the session: anonymous, and no token of it is good again."""  # S43
    accounts = Accounts(None)
    browser = signed_in(House(load_claims=accounts))
    browser.house.wait(EXPIRED)
    auth = browser.get()
    assert (auth.claims, auth.reason) == (None, "revoked")
    row = browser.house.row(token_claims(browser.refresh)["sid"])
    assert (row.revoked, row.revoked_reason) == (True, "refused")
    assert browser.house.event_names[0] == "revoked"
    accounts.answer = {}
    assert browser.get().reason == "revoked"


def test_no_claims_are_not_none() -> None:
    """An empty mapping is an account without claims of its own."""
    browser = signed_in(House(load_claims=Accounts({})), claims={"role": "guest"})
    browser.house.wait(EXPIRED)
    auth = browser.get()
    assert auth.claims is not None
    assert "role" not in auth.claims


WRONG: list[Any] = [
    RuntimeError("the directory is away"),
    StopIteration(),
    "alice",
    7,
    True,
    False,
    0,
    "",
    [],
    {"sub": "bob"},
    {"exp": 99_999_999_999},
    {"sid": "another"},
    {"rgen": 9},
    {"role": object()},
    {"limit": float("nan")},
    {"name": "\ud800"},
]


@pytest.mark.parametrize("answer", WRONG, ids=plainly)
@pytest.mark.parametrize("required", [False, True])
def test_load_claims_fails(answer: Any, required: bool) -> None:
    """It raises, or answers what cannot be claims: 503 everywhere, and the session is kept."""
    accounts = Accounts(answer)  # S43
    browser = signed_in(
        House(load_claims=accounts, required=required, public_paths=["/login"] if required else [])
    )
    browser.house.wait(EXPIRED)
    arrival = browser.arrive()
    refusal = refusal_of(arrival)
    assert (arrival.auth.claims, refusal.status) == (None, 503)
    assert dict(refusal.headers)["Retry-After"]
    assert names(refusal) == []
    accounts.answer = {"role": "admin"}
    assert browser.get().reissued


def test_claims_that_do_not_fit_a_cookie() -> None:
    """An event, no cookies, no error, no rotation: the client keeps what it has."""
    accounts = Accounts({"blob": "x" * 4000})
    browser = signed_in(House(load_claims=accounts))
    browser.house.wait(EXPIRED)
    before = dict(browser.jar)
    auth = browser.get()
    assert auth.subject == "alice"
    assert browser.jar == before
    assert "rotate" not in browser.house.verbs
    assert "oversized" in browser.house.event_names
    accounts.answer = {}
    assert browser.get().reissued
    assert browser.jar != before


def test_claims_that_do_not_fit_a_token() -> None:
    """The same for a header client, where max_token_length is the limit."""
    accounts = Accounts({"blob": "x" * 9000})
    client = HeaderClient(House(load_claims=accounts))
    client.login()
    client.house.wait(EXPIRED)
    client.house.forget_commands()
    auth = client.arrive().auth
    assert fields_of(client.respond(auth)) == []
    assert client.house.event_names == ["oversized"]
    assert "rotate" not in client.house.verbs


# ── CSRF comes before any rotation ───────────────────────────────────────────────


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("expired", [False, True])
def test_csrf_is_decided_first(required: bool, expired: bool) -> None:
    """A cross-site POST: its cookies count as absent, nothing is read, nothing cleared."""  # S40
    browser = signed_in(House(required=required, public_paths=["/login"] if required else []))
    if expired:
        browser.house.wait(EXPIRED)
    arrival = browser.arrive(browser.request("POST", headers=CROSS_SITE))
    assert (arrival.auth.claims, arrival.auth.reason) == (None, "csrf")
    if required:
        refusal = refusal_of(arrival)
        assert (refusal.status, names(refusal)) == (403, [])
    else:
        assert arrival.refusal is None
        assert fields_of(browser.respond(arrival.auth)) == []
    assert browser.house.verbs == []
    assert browser.house.event_names == ["csrf_refused"]


def test_csrf_covers_websockets() -> None:
    """A handshake counts as unsafe, though it is a GET."""  # S40
    browser = signed_in()
    request = browser.request(websocket=True, headers={"origin": "https://evil.example"})
    assert browser.arrive(request).auth.reason == "csrf"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"origin": "https://app.example", "host": "app.example"},
        {"origin": "https://friend.example", "sec-fetch-site": "cross-site"},
    ],
)
def test_csrf_lets_our_own_pages_pass(headers: dict[str, str]) -> None:
    """Trusted and same origins, and clients that are no browsers."""  # S40
    browser = signed_in(House(trusted_origins=["https://friend.example"]))
    assert browser.get(method="POST", headers=headers).subject == "alice"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "null", "host": "null"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": "https://app.example", "host": "app.example"},
        {"origin": "https://app.example:8443", "host": "app.example"},
        {"origin": "https://app.example"},
    ],
)
def test_csrf_refuses_the_rest(headers: dict[str, str]) -> None:
    """Origin null, siblings, other ports, and whatever cannot be compared."""  # S40
    browser = signed_in()
    assert browser.get(method="POST", headers=headers).reason == "csrf"


def test_csrf_is_about_cookies() -> None:
    """Requests that carry their token in a header are exempt, and safe methods are."""  # S40
    client = HeaderClient(House())
    client.login()
    assert client.get(method="POST", headers=CROSS_SITE).subject == "alice"
    browser = signed_in(client.house)
    assert browser.get(headers=CROSS_SITE).subject == "alice"


# ── Paths and requests that are left alone ───────────────────────────────────────


def test_ignored_paths_read_nothing() -> None:
    """No token is looked at, nothing is reissued."""
    browser = signed_in(House(ignore_paths=["/static"]))
    browser.house.wait(EXPIRED)
    auth = browser.get(path="/static/app.js")
    assert (auth.claims, auth.reason, auth.closed) == (None, "ignored", "started")
    assert browser.house.verbs == []
    assert browser.get(path="/").reissued


def test_a_preflight_passes_untouched() -> None:
    """It carries no credentials, and gets through where sign-in is required."""  # S35
    browser = Browser(House(required=True))
    headers = {"origin": "https://a.example", "access-control-request-method": "POST"}
    arrival = browser.arrive(browser.request("OPTIONS", headers=headers))
    assert (arrival.refusal, arrival.auth.reason) == (None, "ignored")
    assert refusal_of(browser.arrive(browser.request("OPTIONS"))).status == 401


# ── Without a store ──────────────────────────────────────────────────────────────


def stateless(**settings: Any) -> House:
    return House(session_store="none", **settings)


def test_stateless_reissues_from_the_token_alone() -> None:
    """Claims, persistence and the absolute limit ride in the refresh token."""
    browser = signed_in(stateless(), claims={"role": "admin"})
    for _ in range(3):
        browser.house.wait(20 * DAY)
        auth = browser.get()
        assert auth.reissued
        assert auth.claims is not None
        assert auth.claims["role"] == "admin"
        assert token_claims(browser.access)["role"] == "admin"
    assert browser.house.verbs == []
    browser.house.wait(30 * DAY - 1)
    assert browser.get().reissued
    assert token_claims(browser.refresh)["exp"] == START + 90 * DAY  # S43
    browser.house.now = START + 90 * DAY
    assert browser.get().reason == "expired"


def test_stateless_claims_are_per_request() -> None:
    """What load_claims does to the session it is shown, no later request sees."""  # S31

    def promoted(session: Session) -> dict[str, Any]:
        assert "roles" not in session.claims
        session.claims["roles"] = ["admin"]  # type: ignore[index]  # its claims are a dict
        return {}

    browser = signed_in(stateless(load_claims=promoted))
    browser.house.wait(EXPIRED)
    twin = browser.copy()
    assert browser.get().reissued
    assert twin.get().reissued


def test_stateless_keeps_session_cookies() -> None:
    """remember=False survives a reissue, though there is no row to say so."""
    browser = signed_in(stateless(), remember=False)
    browser.house.wait(EXPIRED)
    fields = fields_of(browser.respond(browser.arrive().auth))
    assert len(fields) == 2
    assert all("Max-Age" not in value for _, value in fields)
    browser.house.wait(12 * HOUR - EXPIRED)
    assert browser.get().reason == "expired"


def test_stateless_racers_are_all_signed_in() -> None:
    """Nothing is spent, so nobody is late."""
    browser = signed_in(stateless())
    browser.house.wait(EXPIRED)
    old = browser.copy()
    browser.get()
    browser.house.wait(HOUR)
    assert old.get().reissued
    assert browser.get().reissued


def test_stateless_never_renews() -> None:
    """Row 3 is off: an expired refresh token stays expired."""
    browser = signed_in(stateless(refresh_token_expires=1000))
    browser.house.wait(899)
    auth = browser.arrive().auth
    auth.update({"role": "admin"})
    browser.receive(browser.respond(auth))
    browser.house.wait(101)
    assert browser.get().reissue is None
    browser.house.wait(800)
    assert browser.get().reason == "expired"


def test_stateless_update_needs_the_refresh_token() -> None:
    """The claims live in it: without a valid one there is nothing to change."""
    browser = signed_in(stateless(refresh_token_expires=1000))
    browser.house.wait(899)
    auth = browser.arrive().auth
    auth.update({"role": "admin"})
    browser.receive(browser.respond(auth))
    assert token_claims(browser.access)["role"] == "admin"
    browser.house.wait(101)
    auth = browser.arrive().auth
    assert auth.is_authenticated
    with pytest.raises(NotAuthenticated, match="refresh token"):
        auth.update({"role": "guest"})


def test_stateless_asks_for_fresh_claims() -> None:
    """load_claims is asked as ever; None signs this client out."""  # S43
    accounts = Accounts({"role": "admin"})
    browser = signed_in(stateless(load_claims=accounts))
    browser.house.wait(EXPIRED)
    assert browser.get().reissued
    assert token_claims(browser.access)["role"] == "admin"
    accounts.answer = None
    browser.house.wait(EXPIRED)
    before = dict(browser.jar)
    assert browser.get().reason == "revoked"
    assert browser.jar == before


def test_a_stateless_token_means_nothing_beside_a_store() -> None:
    """Whose session no store knows is signed out when a store is configured, and no error."""
    browser = signed_in(stateless())
    browser.house.wait(EXPIRED)
    stored = Browser(House())
    stored.house.now = browser.house.now
    stored.jar = dict(browser.jar)
    assert stored.get().reason == "unknown_session"


def test_a_stored_token_means_nothing_without_a_store() -> None:
    """Its session does not ride in it, so it is a token of another configuration."""
    browser = signed_in()
    browser.house.wait(EXPIRED)
    other = Browser(stateless())
    other.house.now = browser.house.now
    other.jar = dict(browser.jar)
    assert other.get().reason == "invalid_token"


# ── At the edges ─────────────────────────────────────────────────────────────────


def test_the_silent_path_asks_for_the_required_claims() -> None:
    """A refresh token does not open what its access token would not."""  # S47
    browser = Browser(House())
    browser.login()
    strict = House(session_store=browser.house.store, required_claims=["roles"])
    strict.wait(EXPIRED)
    auth = browser.arrive(house=strict).auth
    assert (auth.reason, auth.is_authenticated) == ("invalid_token", False)


def test_a_stateless_token_just_made_is_kept() -> None:
    """Within the grace of its own issue only an access token goes out."""
    house = House(session_store="none")
    browser = Browser(house)
    browser.login()
    house.wait(EXPIRED)
    browser.get()
    refresh = browser.refresh
    twin = browser.without_access()
    twin.get()
    assert twin.access is not None
    assert twin.refresh == refresh


def test_no_token_outlives_its_session() -> None:
    """A request that ends after its session's absolute expiry sends nothing."""  # S43
    lifetime = 2000
    house = House(session_lifetime=lifetime, refresh_token_expires=lifetime)
    browser = Browser(house)
    browser.login()
    house.wait(EXPIRED)
    auth = browser.arrive().auth
    assert auth.reissued
    house.wait(lifetime)
    before = dict(browser.jar)
    browser.receive(browser.respond(auth))
    assert browser.jar == before


def test_new_claims_never_enter_another_session() -> None:
    """Stateless: beside another's access token a refresh token carries nothing."""  # S44
    house = House(session_store="none")
    admin, user, mixed = (Browser(house) for _ in range(3))
    admin.login("admin")
    user.login("mallory", claims={"roles": ["user"]})
    names = house.auth.settings
    mixed.jar = {names.access_cookie: admin.access or "", names.refresh_cookie: user.refresh or ""}
    auth = mixed.arrive().auth
    assert auth.subject == "admin"
    with pytest.raises(NotAuthenticated):
        auth.update({"roles": ["admin"]})


def test_what_was_minted_before_new_claims_is_stale() -> None:
    """A late sibling gets the claims of the row, not those this process remembers."""  # S44
    browser = Browser(House())
    browser.login(claims={"roles": ["admin"]})
    browser.house.wait(EXPIRED)
    sibling = browser.copy()
    browser.get()
    browser.house.wait(5)
    auth = browser.arrive().auth
    auth.update({"roles": []})
    browser.receive(browser.respond(auth))
    late = sibling.arrive().auth
    sibling.receive(sibling.respond(late))
    assert late.claims is not None
    assert late.claims["roles"] == token_claims(sibling.access)["roles"] == []


def test_memory_does_not_vouch() -> None:
    """With check_session a sibling's session is looked at, not remembered."""  # S46
    browser = Browser(House(check_session="always"))
    session_id = browser.login()
    browser.house.wait(EXPIRED)
    sibling = browser.copy()
    browser.get()
    browser.house.other_process().auth.revoke(session_id)
    assert sibling.arrive().auth.reason == "revoked"


# ── What is wrong with a token is said before what is wrong with its origin ──────


@pytest.mark.parametrize("cookie", ["access_token", "refresh_token"])
@pytest.mark.parametrize("ahead", [False, True])
def test_a_tossed_cookie_is_a_fault_of_its_own(cookie: str, ahead: bool) -> None:
    """An access cookie that came twice is the reason, also across sites; where new tokens are
    asked for, either cookie is."""  # S25
    browser = signed_in()
    browser.jar[f" __Host-{cookie}"] = "tossed"
    across = {"sec-fetch-site": "same-origin" if cookie == "refresh_token" else "cross-site"}
    auth = RequestAuth(
        browser.house.flow.parts, browser.request("POST", headers=across), browser.house.now
    )
    browser.house.run(browser.house.flow.identify(auth, ahead=ahead))
    beside_a_good_token = cookie == "refresh_token" and not ahead
    assert auth.reason == (None if beside_a_good_token else "duplicate_cookie")


def test_an_outage_that_decides_says_so() -> None:
    """Where the store has to vouch and is away, the answer says that sessions cannot be checked."""
    house = House(check_session="always")
    browser = signed_in(house)
    house.down = {"load"}
    refusal = refusal_of(browser.arrive())
    assert refusal.status == 503
    assert b"Sessions cannot be checked right now." in refusal.body


def test_an_outage_at_the_response_says_that_nothing_changed() -> None:
    """A login that cannot be stored is told so, in the words for it."""
    house = House()
    browser = Browser(house)
    auth = browser.arrive(browser.request("POST")).auth
    auth.login("alice")
    house.down = {"create"}
    outcome = browser.respond(auth)
    assert isinstance(outcome, Refusal)
    assert b"Nothing was changed" in outcome.body


# ── Behind the response ──────────────────────────────────────────────────────────


def test_after_a_failure_behind_the_response_there_is_a_pause() -> None:
    """What nobody waits for is tried again, but not at every request of an outage."""
    house = House()
    browser = signed_in(house)
    house.wait(EXPIRED)
    browser.get()
    house.wait(2 * HOUR)  # a purge is due
    house.down = {"purge"}
    house.forget_commands()
    memory = house.flow.parts.memory
    browser.get()
    assert house.store_commands.count("purge") == 1
    assert memory.pause_until > house.now
    pause = memory.pause_until - house.now
    browser.get()
    assert house.store_commands.count("purge") == 1
    house.down = set()
    house.wait(pause)
    memory.purge_again_at = house.now  # due at this very moment
    browser.get()
    assert house.store_commands.count("purge") == 2
    assert memory.purge_again_at > house.now
    browser.get()
    assert house.store_commands.count("purge") == 2


# ── What is told, asked and remembered on the way ────────────────────────────────


def test_a_token_that_may_not_be_missing_is_no_event() -> None:
    """Where a missing access token is not replaced, its lack is the reason, and is not told."""
    browser = signed_in(House(reissue_on=("expired",)))
    auth = browser.without_access().arrive().auth
    assert (auth.reason, browser.house.event_names) == ("missing", [])


def test_a_refusal_of_new_tokens_is_told() -> None:
    """A client that asks for them with a refresh token that has ended; not one without any."""
    browser = signed_in()
    house, session = browser.house, sid_of(browser)
    house.store.revoke(session, reason="logout", now=house.now)
    for name in ("__Host-access_token", "__Host-refresh_token"):
        auth = RequestAuth(house.flow.parts, browser.request("POST"), house.now)
        house.run(house.flow.identify(auth, ahead=True))
        browser.jar.pop("__Host-refresh_token", None)
        assert auth.claims is None, name
    (event,) = house.events
    assert (event.name, event.reason) == ("token_refused", "revoked")
    assert (event.subject, event.session_id) == ("alice", session)


def test_an_ended_row_shuts_out_access_tokens_here() -> None:
    """A refresh token that finds its session ended ends its access tokens in this process."""
    # S46
    browser = signed_in()
    browser.house.store.revoke(sid_of(browser), reason="logout", now=browser.house.now)
    assert browser.arrive().auth.subject == "alice"  # nobody has looked yet
    assert browser.without_access().arrive().auth.reason == "revoked"
    assert browser.arrive().auth.reason == "revoked"


def test_the_first_generation_is_not_confirmed() -> None:
    """It has no predecessor whose grace a confirmation could end."""
    browser = signed_in()
    browser.house.wait(EXPIRED)
    auth = browser.arrive(browser.request("HEAD")).auth
    browser.respond(auth)
    assert "confirm" not in browser.house.verbs
