"""What a view can ask of `RequestAuth`, and what becomes of it when the response starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from naming import plainly
from stepping import START, Browser, HeaderClient, House, names, set_cookies, token_claims

from jwt_middleware.errors import (
    ConfigurationError,
    CrossSiteRequest,
    InvalidClaims,
    MiddlewareNotInstalled,
    NotAuthenticated,
    PathIgnored,
    ResponseStarted,
    SessionsNotStored,
    TokenTooLarge,
)
from jwt_middleware.handle import AUTH_KEY, RequestAuth, get_auth, get_claims
from jwt_middleware.refusals import Refusal
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


def sid_of(browser: Browser) -> str:
    return token_claims(browser.refresh)["sid"]


def row_of(browser: Browser) -> Session:
    return browser.house.row(sid_of(browser))


def post(browser: Browser, **request: Any) -> RequestAuth:
    """A POST that has arrived, and whose response has not started."""
    return browser.arrive(browser.request("POST", "/do", **request)).auth


def fields_of(outcome: object) -> list[tuple[str, str]]:
    assert isinstance(outcome, Additions)
    return list(outcome.fields)


def refusal_of(outcome: object) -> Refusal:
    assert isinstance(outcome, Refusal)
    return outcome


def cookies_of(outcome: object) -> list[str]:
    return [value for name, value in fields_of(outcome) if name == "Set-Cookie"]


# ── Who it is ────────────────────────────────────────────────────────────────────


def test_a_signed_in_request() -> None:
    """Everything a view or a framework asks of a user."""
    browser = signed_in(claims={"role": "admin", "scope": "read write"})
    auth = browser.arrive().auth
    assert auth.claims is not None
    assert auth.claims["role"] == "admin"
    assert (auth.subject, auth.session_id) == ("alice", sid_of(browser))
    assert (auth.is_authenticated, auth.reissued, auth.reason) == (True, False, None)
    assert (auth.identity, auth.display_name) == ("alice", "alice")
    assert auth.scopes == ["authenticated", "read", "write"]


def test_an_anonymous_request() -> None:
    """The same, for nobody."""
    auth = Browser(House()).arrive().auth
    assert (auth.claims, auth.subject, auth.session_id) == (None, None, None)
    assert (auth.is_authenticated, auth.reissued, auth.reason) == (False, False, "missing")
    assert (auth.identity, auth.display_name, auth.scopes) == ("", "", [])


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({}, []),
        ({"scope": ""}, []),
        ({"scope": None}, []),
        ({"scope": " a  b "}, ["a", "b"]),
        ({"scopes": ["a", "b"]}, ["a", "b"]),
        ({"scopes": ["a", 7, None]}, ["a"]),
        ({"scope": "a", "scopes": ["b"]}, ["a"]),
        ({"scope": 5}, []),
        ({"scopes": True}, []),
    ],
    ids=repr,
)
def test_scopes_in_any_form(claims: dict[str, Any], scopes: list[str]) -> None:
    """Text or a list; what is neither counts for nothing, and raises nothing."""  # S14
    auth = signed_in(claims=claims).arrive().auth
    assert auth.scopes == ["authenticated", *scopes]


def test_another_identity_claim() -> None:
    """The subject is what the configured claim names, on every way in."""
    browser = signed_in(House(identity_claim="uid"))
    assert browser.arrive().auth.subject == "alice"
    browser.house.wait(EXPIRED)
    assert browser.get().subject == "alice"
    assert token_claims(browser.access)["uid"] == "alice"


def test_claims_belong_to_the_request() -> None:
    """What one request does to a claim is not seen by another."""  # S31
    browser = signed_in(claims={"roles": ["a"]})
    one, other = browser.arrive().auth.claims, browser.arrive().auth.claims
    assert one is not None
    assert other is not None
    one["roles"].append("b")
    assert other["roles"] == one["roles"] == ["a"]


# ── login ────────────────────────────────────────────────────────────────────────


def test_login_signs_in_at_once_and_stores_later() -> None:
    """The handle changes with the call, the store when the response starts."""
    browser = Browser(House())
    auth = post(browser)
    pair = auth.login("alice", {"role": "admin"}, user_agent="UA", address="192.0.2.7")
    assert (auth.subject, auth.reason, auth.session_id) == ("alice", None, pair.session_id)
    assert auth.claims is not None
    assert auth.claims["role"] == "admin"
    assert browser.house.commands == []
    browser.receive(browser.respond(auth))
    row = browser.house.row(pair.session_id)
    assert (row.subject, row.claims, row.persistent) == ("alice", {"role": "admin"}, True)
    assert (row.user_agent, row.address, row.generation) == ("UA", "192.0.2.7", 0)
    assert (browser.access, browser.refresh) == (pair.access_token, pair.refresh_token)
    assert browser.house.event_names == ["login"]


def test_login_hands_json_clients_their_pair() -> None:
    """The body of RFC 6749 section 5.1."""
    pair = post(Browser(House())).login("alice")
    assert pair.as_dict() == {
        "access_token": pair.access_token,
        "token_type": "Bearer",
        "expires_in": 900,
        "refresh_token": pair.refresh_token,
    }


def test_a_session_begins_when_its_login_arrived() -> None:
    """However slow the view: that is what logging out everywhere is measured against."""
    browser = Browser(House())
    auth = post(browser)
    browser.house.wait(30)
    pair = auth.login("alice")
    browser.respond(auth)
    assert browser.house.row(pair.session_id).created_at == START


def test_login_replaces_the_presented_session() -> None:
    """Always a new session, and the former one ends in the same write."""
    browser = signed_in()
    before = sid_of(browser)
    auth = post(browser)
    pair = auth.login("alice")
    browser.receive(browser.respond(auth))
    assert pair.session_id != before
    (create,) = [command for command in browser.house.commands if command.verb == "create"]
    assert create.options["ends"] == (before,)
    assert browser.house.row(before).revoked_reason == "replaced"
    assert browser.house.verbs == ["create"]


@pytest.mark.parametrize("state", ["glanced", "expired", "two"])
def test_login_ends_whatever_was_presented(state: str) -> None:
    """Known or expired, one session or two: no fixed session survives a login."""
    browser = signed_in()
    other = signed_in(browser.house, subject="mallory")
    presented = [sid_of(browser)]
    if state == "expired":
        browser.house.wait(40 * DAY)
    if state == "two":
        presented.append(sid_of(other))
        browser.set_refresh(other.refresh or "")
    method = "GET" if state == "glanced" else "POST"
    auth = browser.arrive(browser.request(method)).auth
    auth.login("bob")
    browser.receive(browser.respond(auth))
    assert [browser.house.row(one).revoked_reason for one in presented] == (
        ["replaced"] * len(presented)
    )
    assert browser.arrive().auth.subject == "bob"


def test_a_replaced_session_is_refused_here_at_once() -> None:
    """Its access token would live on for minutes."""
    browser = signed_in()
    former = browser.copy()
    auth = post(browser)
    auth.login("alice")
    browser.respond(auth)
    assert former.arrive().auth.reason == "revoked"


@pytest.mark.parametrize("remember", [True, False])
def test_remember(remember: bool) -> None:
    """False: cookies without Max-Age, kept so at each rotation, with an idle limit of 12 h."""
    browser = Browser(House())
    auth = post(browser)
    pair = auth.login("alice", remember=remember)
    outcomes = [browser.respond(auth)]
    browser.receive(outcomes[0])
    assert browser.house.row(pair.session_id).persistent is remember
    browser.house.wait(EXPIRED)
    outcomes.append(browser.respond(browser.arrive().auth))
    browser.receive(outcomes[1])
    for outcome in outcomes:
        cookies = set_cookies(outcome)
        assert len(cookies) == 2
        assert all(("max-age" in cookie.attributes) is remember for cookie in cookies)
    idle = 30 * DAY if remember else 12 * HOUR
    assert browser.house.row(pair.session_id).expires_at == browser.house.now + idle
    browser.house.wait(idle)
    assert browser.get().reason == "expired"


def test_cookies_are_kept_to_the_end_of_the_session() -> None:
    """Max-Age is the absolute lifetime, so that an expired token is still presented."""
    browser = Browser(House())
    auth = post(browser)
    auth.login("alice")
    outcome = browser.respond(auth)
    assert all("Max-Age=7776000" in cookie for cookie in cookies_of(outcome))


@pytest.mark.parametrize(
    ("cookies", "by_header", "sent"),
    [
        (None, False, "cookies"),
        (None, True, "headers"),
        (True, False, "cookies"),
        (True, True, "cookies"),
        (False, False, None),
        (False, True, None),
    ],
)
def test_where_the_tokens_of_a_login_go(
    cookies: bool | None, by_header: bool, sent: str | None
) -> None:
    """None: the request's own channel; True: cookies; False: only into the pair."""
    house = House()
    client = HeaderClient(house) if by_header else Browser(house)
    client.login()
    auth = post(client)
    pair = auth.login("bob", cookies=cookies)
    fields = fields_of(client.respond(auth))
    expected = {
        "cookies": ["Set-Cookie", "Set-Cookie"],
        "headers": ["X-Access-Token", "X-Refresh-Token"],
        None: [],
    }
    assert [name for name, _ in fields] == expected[sent]
    assert house.row(pair.session_id).subject == "bob"


@pytest.mark.parametrize(
    ("location", "name"), [("cookies", "Set-Cookie"), ("headers", "X-Access-Token")]
)
def test_a_login_without_tokens_has_a_channel(location: str, name: str) -> None:
    """Cookies where there are any, headers else."""
    browser = Browser(House(token_location=[location]))
    auth = post(browser)
    auth.login("alice")
    assert fields_of(browser.respond(auth))[0][0] == name


@pytest.mark.parametrize("status", [500, 503, 599])
def test_a_login_on_a_failed_response_is_not_stored(status: int) -> None:
    """5xx takes it back: no session, no cookies, and the presented one lives on."""
    browser = signed_in()
    auth = post(browser)
    pair = auth.login("bob")
    assert fields_of(browser.respond(auth, status)) == []
    assert browser.house.store.load(pair.session_id, now=browser.house.now) is None
    assert not row_of(browser).revoked
    assert browser.arrive().auth.subject == "alice"


@pytest.mark.parametrize("status", [200, 302, 400, 401, 499])
def test_a_login_on_any_other_response_is(status: int) -> None:
    """The app knows what it does."""
    browser = Browser(House())
    auth = post(browser)
    pair = auth.login("alice")
    assert len(fields_of(browser.respond(auth, status))) == 2
    assert browser.house.row(pair.session_id).subject == "alice"


def test_a_failed_login_does_not_lose_the_reissue() -> None:
    """What the request's own refresh token earned goes out all the same."""  # S54
    browser = signed_in()
    browser.house.wait(EXPIRED)
    auth = post(browser)
    auth.login("bob")
    browser.receive(browser.respond(auth, 500))
    assert token_claims(browser.refresh)["gen"] == 1
    assert browser.arrive().auth.subject == "alice"


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304)])
def test_no_login_on_a_response_that_cannot_carry_it(method: str, status: int) -> None:
    """The client could not be told of its session, so there is none."""  # S36
    browser = Browser(House())
    auth = browser.arrive(browser.request(method)).auth
    pair = auth.login("alice")
    assert fields_of(browser.respond(auth, status)) == []
    assert browser.house.store.load(pair.session_id, now=browser.house.now) is None


def test_a_login_beside_a_cookie_of_the_app() -> None:
    """The app's word counts: its cookie stays, none of ours goes out."""  # S37
    browser = Browser(House())
    auth = post(browser)
    auth.login("alice")
    own = [("Set-Cookie", f"{browser.house.auth.settings.access_cookie}=mine")]
    assert fields_of(browser.respond(auth, headers=own)) == []


@pytest.mark.parametrize("by_header", [False, True])
def test_claims_that_are_too_large(by_header: bool) -> None:
    """They are refused at the call, with the names of the largest and no value."""  # S39
    client = HeaderClient(House()) if by_header else Browser(House())
    if by_header:
        client.login()
    auth = post(client)
    size = 9000 if by_header else 3900
    with pytest.raises(TokenTooLarge) as caught:
        auth.login("bob", {"blob": "z" * size})
    assert "zzz" not in str(caught.value)
    with pytest.raises(TokenTooLarge):
        auth.login("bob", {"blob": "z" * 9000}, cookies=False)
    assert auth.intent is None
    assert auth.subject == ("alice" if by_header else None)
    auth.login("bob", {"blob": "z" * 3900}, cookies=False)  # only a cookie is that small


@pytest.mark.parametrize(
    "claims", [{"sub": "x"}, {"exp": 1}, {"sid": "x"}, {"x": object()}, {"x": float("nan")}]
)
def test_claims_that_cannot_be(claims: dict[str, Any]) -> None:
    """Reserved names, and what JSON cannot hold, are the app's mistake."""
    auth = post(signed_in())
    with pytest.raises(InvalidClaims):
        auth.login("bob", claims)
    with pytest.raises(InvalidClaims):
        auth.update(claims)
    assert (auth.subject, auth.intent) == ("alice", None)


@pytest.mark.parametrize(
    ("subject", "error"), [(7, TypeError), (None, TypeError), ("", ValueError)]
)
def test_subjects_that_cannot_be(subject: Any, error: type[Exception]) -> None:
    """A subject is text, and not empty."""
    with pytest.raises(error):
        post(Browser(House())).login(subject)


# ── send ─────────────────────────────────────────────────────────────────────────


def test_send_attaches_what_was_issued() -> None:
    """The row was stored at once; the cookies and the end of the former session follow."""
    browser = signed_in()
    before = sid_of(browser)
    pair = browser.house.auth.issue("bob", {"role": "admin"})
    auth = post(browser)
    auth.send(pair)
    assert auth.subject == "bob"
    browser.receive(browser.respond(auth))
    assert (browser.access, browser.refresh) == (pair.access_token, pair.refresh_token)
    assert browser.house.row(before).revoked_reason == "replaced"
    assert browser.arrive().auth.session_id == pair.session_id


@pytest.mark.parametrize("cookies", [None, True, False])
def test_where_a_sent_pair_goes(cookies: bool | None) -> None:
    """As for a login."""
    browser = Browser(House())
    auth = post(browser)
    auth.send(browser.house.auth.issue("alice"), cookies=cookies)
    assert len(fields_of(browser.respond(auth))) == (0 if cookies is False else 2)


def test_a_pair_that_is_too_large_for_a_cookie() -> None:
    """It is refused at the call."""  # S39
    browser = Browser(House())
    pair = browser.house.auth.issue("alice", {"blob": "z" * 3900})
    auth = post(browser)
    with pytest.raises(TokenTooLarge):
        auth.send(pair)
    auth.send(pair, cookies=False)


def test_tokens_in_the_body_are_kept_by_no_cache() -> None:
    """login(cookies=False): the app writes them into its response (RFC 6749 section 5.1)."""
    browser = Browser(House())  # S36
    for act in (
        lambda auth: auth.login("alice", cookies=False),
        lambda auth: auth.send(browser.house.auth.issue("alice"), cookies=False),
    ):
        auth = post(browser)
        act(auth)
        outcome = browser.respond(auth)
        assert isinstance(outcome, Additions)
        headers = browser.house.flow.merge(outcome, [("Cache-Control", "public")])
        assert headers == [("Cache-Control", "no-store")]


def test_sending_what_the_client_has_ends_nothing() -> None:
    """The session of the pair is not the one it replaces, even if it was presented."""
    browser = Browser(House())
    pair = browser.house.auth.issue("alice")
    for _ in range(2):
        auth = post(browser)
        auth.send(pair)
        browser.receive(browser.respond(auth))
        assert not browser.house.row(pair.session_id).revoked
        assert browser.arrive().auth.subject == "alice"


@pytest.mark.parametrize("with_session", [False, True])
def test_send_sends_nothing_of_an_ended_session(with_session: bool) -> None:
    """Ended since it was issued: 503, and the session that was presented lives on."""  # S44
    browser = signed_in(subject="bob") if with_session else Browser(House())
    before = dict(browser.jar)
    pair = browser.house.auth.issue("alice")
    browser.house.other_process().auth.revoke(pair.session_id)
    auth = post(browser)
    auth.send(pair)
    refusal = refusal_of(browser.respond(auth))
    browser.receive(refusal)
    assert (refusal.status, browser.jar) == (503, before)
    browser.house.wait(EXPIRED)
    assert browser.get().reissued is with_session


def test_new_claims_for_a_sent_pair() -> None:
    """update() after send(): the row and the tokens that go out have them."""
    browser = Browser(House())
    pair = browser.house.auth.issue("alice", {"role": "guest"})
    auth = post(browser)
    auth.send(pair)
    auth.update({"role": "admin"})
    browser.receive(browser.respond(auth))
    assert token_claims(browser.access)["role"] == "admin"
    assert browser.house.row(pair.session_id).claims == {"role": "admin"}


# ── update ───────────────────────────────────────────────────────────────────────


def test_update_rewrites_the_claims() -> None:
    """At once for the view, in the row and in a new access token when the response starts."""
    browser = signed_in(claims={"role": "guest", "old": 1})
    before = browser.refresh
    auth = post(browser)
    auth.update({"role": "admin"})
    assert auth.claims is not None
    assert auth.claims["role"] == "admin"
    assert "old" not in auth.claims
    assert (auth.subject, auth.session_id) == ("alice", sid_of(browser))
    assert browser.house.commands == []
    outcome = browser.respond(auth)
    assert names(outcome) == [browser.house.auth.settings.access_cookie]
    browser.receive(outcome)
    assert browser.refresh == before
    assert row_of(browser).claims == {"role": "admin"}
    claims = token_claims(browser.access)
    assert (claims["role"], claims["rgen"]) == ("admin", 0)


def test_update_after_a_glance() -> None:
    """A known token is enough."""
    browser = signed_in()
    auth = browser.arrive().auth
    auth.update({"role": "admin"})
    browser.receive(browser.respond(auth))
    assert token_claims(browser.access)["role"] == "admin"


def test_update_on_a_reissued_request() -> None:
    """One answer: rotated, and with the new claims."""
    browser = signed_in()
    browser.house.wait(EXPIRED)
    auth = post(browser)
    auth.update({"role": "admin"})
    browser.receive(browser.respond(auth))
    assert token_claims(browser.refresh)["gen"] == 1
    assert token_claims(browser.access)["role"] == "admin"
    assert row_of(browser).claims == {"role": "admin"}


def test_update_wins_over_load_claims() -> None:
    """What the view says in the request is newer than what was read for it."""
    browser = signed_in(House(load_claims=lambda session: {"role": "guest"}))
    browser.house.wait(EXPIRED)
    auth = post(browser)
    auth.update({"role": "admin"})
    browser.receive(browser.respond(auth))
    assert token_claims(browser.access)["role"] == "admin"
    assert row_of(browser).claims == {"role": "admin"}


def test_update_of_an_ended_session_sends_nothing() -> None:
    """Ended elsewhere meanwhile: no token, and it is refused here from now on."""  # S44
    browser = signed_in()
    browser.house.other_process().auth.revoke(sid_of(browser))
    auth = post(browser)
    auth.update({"role": "admin"})
    assert fields_of(browser.respond(auth)) == []
    assert browser.arrive().auth.reason == "revoked"


def test_update_in_a_renewal_keeps_the_session() -> None:
    """Past its idle limit, beside a valid access token: renewed, with the new claims."""
    house = House(refresh_token_expires=1000, rotation_grace=10)
    browser = signed_in(house)
    house.wait(500)
    browser.late_access()
    house.wait(500)
    auth = post(browser)
    assert auth.reissued
    auth.update({"step": 2})
    browser.receive(browser.respond(auth))
    assert browser.arrive().auth.is_authenticated
    assert token_claims(browser.refresh)["gen"] == 1
    assert token_claims(browser.access)["step"] == 2


def test_update_past_the_idle_limit_ends_nothing() -> None:
    """Who shows a valid access token alone may change its claims; renewal is still to come."""
    house = House(refresh_token_expires=1000, rotation_grace=10)
    browser = signed_in(house)
    house.wait(500)
    browser.late_access()
    house.wait(500)
    alone = browser.copy()
    alone.set_refresh("")
    auth = post(alone)
    auth.update({"step": 1})
    alone.receive(alone.respond(auth))
    assert alone.arrive().auth.is_authenticated
    assert browser.arrive().auth.reissued


def test_update_gives_an_access_token_no_new_life() -> None:
    """Without its refresh token no access token can be kept alive: what replaces it expires
    when it would have."""
    house = House(leeway=30)
    client = HeaderClient(house)
    client.login()
    expiry = house.now + EXPIRED
    for step in range(8):
        house.wait(100)
        auth = client.arrive(client.request("POST", refresh=None)).auth
        auth.update({"step": step})
        client.receive(client.respond(auth))
        assert token_claims(client.access)["exp"] == expiry
        assert token_claims(client.access)["step"] == step
    house.wait(130)
    assert client.arrive(client.request("POST", refresh=None)).auth.reason == "expired"


@pytest.mark.parametrize("status", [500, 503])
def test_update_on_a_failed_response_is_taken_back(status: int) -> None:
    """Nothing is stored, nothing sent."""
    browser = signed_in(claims={"role": "guest"})
    auth = post(browser)
    auth.update({"role": "admin"})
    assert fields_of(browser.respond(auth, status)) == []
    assert row_of(browser).claims == {"role": "guest"}


def test_update_that_does_not_fit() -> None:
    """It is refused at the call, and what stood before stands."""  # S39
    browser = signed_in()
    auth = post(browser)
    with pytest.raises(TokenTooLarge):
        auth.update({"blob": "z" * 3900})
    assert auth.claims is not None
    assert "blob" not in auth.claims
    assert auth.intent is None


@pytest.mark.parametrize("anonymous", [True, False])
def test_update_needs_somebody(anonymous: bool) -> None:
    """Anonymous, or just signed out: there is nothing to change."""
    browser = Browser(House()) if anonymous else signed_in()
    auth = post(browser)
    if not anonymous:
        auth.logout()
    with pytest.raises(NotAuthenticated, match="is_authenticated"):
        auth.update({})


# ── logout ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", ["fresh", "glanced", "expired", "idle", "access", "refresh"])
def test_logout_ends_the_session(state: str) -> None:
    """Of any authentic token presented, even an expired one; and the cookies are cleared."""
    browser = signed_in()
    session_id = sid_of(browser)
    house = browser.house if state == "glanced" else browser.house.other_process()
    if state == "expired":
        house.wait(EXPIRED)
    if state == "idle":
        house.wait(40 * DAY)
    if state == "access":
        browser.jar.pop(house.auth.settings.refresh_cookie)
    client = browser.without_access() if state == "refresh" else browser
    method = "GET" if state == "glanced" else "POST"
    if state == "glanced":
        assert house.flow.glance(client.request(), house.now) is not None
    auth = client.arrive(client.request(method), house=house).auth
    auth.logout()
    assert (auth.claims, auth.reason, auth.is_authenticated) == (None, "logged_out", False)
    assert not house.row(session_id).revoked
    client.receive(client.respond(auth, house=house))
    assert house.row(session_id).revoked_reason == "logout"
    assert client.jar == {}
    assert house.event_names.count("revoked") == 1


def test_logout_of_a_glanced_request_with_a_tossed_cookie() -> None:
    """The session that is signed in ends, whatever else a sibling host has planted."""  # S25
    browser = signed_in()
    request = browser.request()
    request.cookie = f"{request.cookie}; {browser.house.auth.settings.refresh_cookie}=tossed"
    auth = browser.arrive(request).auth
    was_signed_in = auth.is_authenticated
    auth.logout()
    browser.respond(auth)
    assert row_of(browser).revoked is was_signed_in


def test_logout_ends_both_sessions_that_came_along() -> None:
    """Tokens of two sessions: both end."""
    browser = signed_in()
    other = signed_in(browser.house, subject="bob")
    sessions = [sid_of(browser), sid_of(other)]
    browser.set_refresh(other.refresh or "")
    auth = post(browser)
    auth.logout()
    browser.respond(auth)
    assert all(browser.house.row(one).revoked for one in sessions)


def test_logout_of_a_forged_token_ends_nothing() -> None:
    """Only authentic tokens name a session."""
    browser = signed_in()
    assert browser.access is not None
    stranger = Browser(browser.house)
    stranger.set_access(browser.access[:-4] + "AAAA")
    auth = post(stranger)
    auth.logout()
    assert len(fields_of(stranger.respond(auth))) == 2
    assert not row_of(browser).revoked


def test_logout_of_nobody_clears_cookies() -> None:
    """There is nothing to end, and no harm."""
    browser = Browser(House())
    auth = post(browser)
    auth.logout()
    outcome = browser.respond(auth)
    settings = browser.house.auth.settings
    assert names(outcome) == [settings.access_cookie, settings.refresh_cookie]
    assert browser.house.event_names == []


@pytest.mark.parametrize("status", [200, 302, 404, 500, 503])
def test_a_logout_is_always_stored(status: int) -> None:
    """Whatever became of the response."""
    browser = signed_in()
    auth = post(browser)
    auth.logout()
    browser.respond(auth, status)
    assert row_of(browser).revoked


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304)])
def test_a_logout_is_stored_where_no_cookie_can_go(method: str, status: int) -> None:
    """The session ends; the cookies stay, worth nothing."""  # S36
    browser = signed_in()
    auth = browser.arrive(browser.request(method)).auth
    auth.logout()
    assert fields_of(browser.respond(auth, status)) == []
    assert row_of(browser).revoked
    assert browser.arrive().auth.reason == "revoked"


def test_a_logout_beside_a_cookie_of_the_app() -> None:
    """The session ends; the app's cookie is not cleared."""  # S37
    browser = signed_in()
    auth = post(browser)
    auth.logout()
    own = [("Set-Cookie", f"{browser.house.auth.settings.access_cookie}=mine")]
    assert fields_of(browser.respond(auth, headers=own)) == []
    assert row_of(browser).revoked


def test_a_logout_by_header_touches_no_cookie() -> None:
    """The other channel is invisible, for clearing as well."""  # S38
    client = HeaderClient(House())
    session_id = client.login()
    auth = post(client)
    auth.logout()
    assert fields_of(client.respond(auth)) == []
    assert client.house.row(session_id).revoked


def test_a_logout_sends_no_token() -> None:
    """A request that its refresh token signed in: the row ends, and is not rotated before."""
    browser = signed_in()
    browser.house.wait(EXPIRED)
    auth = post(browser)
    assert auth.reissued
    auth.logout()
    outcome = browser.respond(auth)
    assert all("Max-Age=0" in cookie for cookie in cookies_of(outcome))
    assert "rotate" not in browser.house.verbs


def test_stateless_logout_is_local() -> None:
    """Without a store only the cookies go; logging out everywhere is refused."""
    browser = signed_in(House(session_store="none"))
    copied = browser.copy()
    auth = post(browser)
    with pytest.raises(SessionsNotStored, match="Configure a store"):
        auth.logout_everywhere()
    auth.logout()
    browser.receive(browser.respond(auth))
    assert browser.jar == {}
    assert copied.arrive().auth.is_authenticated


# ── Clearing ─────────────────────────────────────────────────────────────────────


def places(outcome: Additions | Refusal) -> list[tuple[str, str, str]]:
    """Name, Domain and Path of the cookies that are expired, in order."""
    return [
        (cookie.name, cookie.attributes.get("domain", ""), cookie.attributes["path"])
        for cookie in set_cookies(outcome)
        if cookie.attributes.get("max-age") == "0"
    ]


def test_clearing_uses_the_attributes_of_setting() -> None:
    """Else a browser would take it for another cookie."""  # S39
    house = House(
        access_cookie_name="a",
        refresh_cookie_name="r",
        cookie_domain="example.com",
        cookie_path="/app",
        cookie_samesite="None",
        cookie_partitioned=True,
    )
    browser = Browser(house)
    auth = post(browser)
    auth.login("alice")
    made = set_cookies(browser.respond(auth))[-2:]
    auth = post(browser)
    auth.logout()
    gone = set_cookies(browser.respond(auth))[-2:]
    ends = {"max-age": "0", "expires": "Thu, 01 Jan 1970 00:00:00 GMT"}
    for before, after in zip(made, gone, strict=True):
        assert "partitioned" in before.attributes
        assert (after.name, after.value) == (before.name, "")
        assert after.attributes == {**before.attributes, **ends}


@pytest.mark.parametrize("what", ["login", "send", "logout"])
def test_variants_of_our_names_are_cleared(what: str) -> None:
    """Cookies of our names under another Domain or Path lock nobody out."""  # S25
    house = House(access_cookie_name="a", refresh_cookie_name="r")
    browser = Browser(house)
    request = browser.request("POST", "/shop/cart", headers={"host": "www.shop.example.com:8443"})
    request.cookie = "a=one; a=two"
    auth = browser.arrive(request).auth
    if what == "login":
        auth.login("alice")
    elif what == "send":
        auth.send(house.auth.issue("alice"))
    else:
        auth.logout()
    outcome = browser.respond(auth)
    domains = ["", "www.shop.example.com", "shop.example.com", "example.com"]
    wanted = {(n, d, p) for n in "ar" for d in domains for p in ("/", "/shop", "/shop/cart")}
    own = {("a", "", "/"), ("r", "", "/")}
    assert set(places(outcome)) == (wanted if what == "logout" else wanted - own)
    last = set_cookies(outcome)[-2:]
    assert [(cookie.name, cookie.attributes["path"]) for cookie in last] == [("a", "/"), ("r", "/")]
    assert not any("domain" in cookie.attributes for cookie in last)
    assert all(bool(cookie.value) is (what != "logout") for cookie in last)


@pytest.mark.parametrize("what", ["login", "logout"])
def test_host_cookies_have_no_variants(what: str) -> None:
    """Of a __Host- cookie a browser keeps one at most."""  # S39
    browser = Browser(House())
    auth = post(browser, headers={"host": "www.example.com"})
    if what == "login":
        auth.login("alice")
    else:
        auth.logout()
    settings = browser.house.auth.settings
    assert settings.access_cookie.startswith("__Host-")
    assert names(browser.respond(auth)) == [settings.access_cookie, settings.refresh_cookie]


@pytest.mark.parametrize("host", ["localhost", "192.0.2.7:80", "[::1]:80", "a b", "", "x;y.z"])
def test_a_host_that_is_no_domain(host: str) -> None:
    """Nothing of it gets into a cookie."""  # S39
    browser = Browser(House(access_cookie_name="a", refresh_cookie_name="r"))
    auth = post(browser, headers={"host": host})
    auth.logout()
    assert {domain for _, domain, _ in places(browser.respond(auth))} == {""}


@pytest.mark.parametrize("path", ["/a;b", "/a\r\nx", "/ä/b", "/" + "/".join("abcdefghij")])
def test_a_path_that_is_no_cookie_path(path: str) -> None:
    """Nothing odd of it gets into a cookie, and there are never many."""  # S39
    browser = Browser(House(access_cookie_name="a", refresh_cookie_name="r"))
    auth = browser.arrive(browser.request("POST", path)).auth
    auth.logout()
    fields = fields_of(browser.respond(auth))
    assert len(fields) <= 10
    assert all(value.isascii() and "\r" not in value and "\n" not in value for _, value in fields)
    assert not any("a;b" in value for _, value in fields)


def test_only_logout_ever_clears() -> None:
    """No other answer expires a cookie, however bad the tokens were."""
    browser = signed_in()
    for jar in (
        dict.fromkeys(browser.jar, "broken"),
        {name: value[:-4] + "AAAA" for name, value in browser.jar.items()},
    ):
        tab = browser.copy()
        tab.jar = jar
        assert fields_of(tab.respond(tab.arrive().auth)) == []
    browser.house.wait(100 * DAY)
    assert fields_of(browser.respond(browser.arrive().auth)) == []


# ── logout_everywhere ────────────────────────────────────────────────────────────


def test_logout_everywhere() -> None:
    """Every session of the subject ends, and nobody else's; cookies are cleared here."""
    browser = signed_in()
    elsewhere = signed_in(browser.house)
    bob = signed_in(browser.house, subject="bob")
    auth = post(browser)
    auth.logout_everywhere()
    assert (auth.claims, auth.reason) == (None, "logged_out")
    sessions = [sid_of(browser), sid_of(elsewhere)]
    browser.receive(browser.respond(auth))
    assert all(browser.house.row(one).revoked for one in sessions)
    assert not row_of(bob).revoked
    assert browser.jar == {}
    assert elsewhere.arrive().auth.reason == "revoked"


def test_two_subjects_can_be_signed_out_everywhere() -> None:
    """Who signs in between two calls is signed out as well, and the first one is not forgotten."""
    # S49
    house = House()
    browsers = [Browser(house) for _ in range(2)]
    for browser, subject in zip(browsers, ("alice", "bob"), strict=True):
        browser.login(subject)
    here = browsers[0].copy()
    house.wait(1)
    auth = here.arrive().auth
    auth.logout_everywhere()
    auth.login("bob")
    auth.logout_everywhere()
    here.receive(here.respond(auth))
    assert [house.auth.sessions(subject) for subject in ("alice", "bob")] == [[], []]
    ended = [event.subject for event in house.events if event.reason == "logout_everywhere"]
    assert ended == ["alice", "bob"]


def test_logout_everywhere_tells_whose_sessions_ended() -> None:
    """The event names the subject, though the request is anonymous by then."""
    browser = signed_in()
    auth = post(browser)
    auth.logout_everywhere()
    auth.login("bob")
    browser.respond(auth)
    (event,) = [event for event in browser.house.events if event.name == "revoked"]
    assert event.subject == "alice"


@pytest.mark.parametrize("ended", ["revoke", "reuse"])
def test_an_ended_session_signs_nobody_else_out(ended: str) -> None:
    """Who turns out to be anonymous beside a valid access token speaks for nobody."""
    browser = signed_in(House(reissue_within=800, rotation_grace=20))
    elsewhere = signed_in(browser.house)
    thief = browser.copy()
    browser.house.wait(200)
    if ended == "revoke":
        browser.house.other_process().auth.revoke(sid_of(browser))
    else:
        for _ in range(2):
            browser.get()
        browser.house.wait(121)
    auth = thief.arrive(thief.request("DELETE"), house=browser.house.other_process()).auth
    assert auth.reason == ("revoked" if ended == "revoke" else "reuse")
    with pytest.raises(NotAuthenticated, match="sign in first"):
        auth.logout_everywhere()
    thief.respond(auth)
    assert not row_of(elsewhere).revoked


@pytest.mark.parametrize("status", [200, 500])
def test_logout_everywhere_is_always_stored(status: int) -> None:
    """Like every logout."""
    browser = signed_in()
    elsewhere = signed_in(browser.house)
    auth = post(browser)
    auth.logout_everywhere()
    browser.respond(auth, status)
    assert row_of(elsewhere).revoked


def test_a_login_that_began_before_does_not_survive() -> None:
    """It arrived before, and is written after: 503, no cookies, and no session."""  # S46
    browser = signed_in()
    late = Browser(browser.house)
    began = post(late)
    pair = began.login("alice")
    browser.house.wait(1)
    auth = post(browser)
    auth.logout_everywhere()
    browser.respond(auth)
    refusal = refusal_of(late.respond(began))
    assert refusal.status == 503
    assert names(refusal) == []
    assert browser.house.row(pair.session_id).revoked
    late.house.wait(1)
    again = post(late)
    again.login("alice")
    late.receive(late.respond(again))
    assert late.arrive().auth.is_authenticated
    late.house.wait(EXPIRED)
    assert late.get(house=late.house.other_process()).reissued


def test_a_login_that_arrived_at_the_same_moment_does_not_survive() -> None:
    """At or before the epoch is before."""  # S46
    browser = signed_in()
    late = Browser(browser.house)
    began = post(late)
    auth = post(browser)
    auth.logout_everywhere()
    browser.respond(auth)
    pair = began.login("alice")
    assert refusal_of(late.respond(began)).status == 503
    assert browser.house.row(pair.session_id).revoked


def test_a_login_later_in_the_same_request_survives() -> None:
    """Change of password: all other sessions end, and this browser stays signed in."""  # S46
    browser = signed_in()
    elsewhere = signed_in(browser.house)
    before = sid_of(browser)
    browser.house.wait(1)
    auth = post(browser)
    auth.logout_everywhere()
    pair = auth.login("alice")
    browser.receive(browser.respond(auth))
    assert browser.house.row(before).revoked
    assert row_of(elsewhere).revoked
    assert not browser.house.row(pair.session_id).revoked
    assert browser.arrive().auth.session_id == pair.session_id
    browser.house.wait(EXPIRED)
    assert browser.get(house=browser.house.other_process()).reissued


def test_a_pair_sent_later_in_the_same_request_survives() -> None:
    """The same for code that needs the row at once."""  # S46
    browser = signed_in()
    elsewhere = signed_in(browser.house)
    auth = post(browser)
    auth.logout_everywhere()
    pair = browser.house.auth.issue("alice")
    auth.send(pair)
    browser.receive(browser.respond(auth))
    assert row_of(elsewhere).revoked
    assert not browser.house.row(pair.session_id).revoked
    assert browser.arrive().auth.session_id == pair.session_id


def test_a_session_may_be_kept() -> None:
    """Outside a request: revoke_subject(keep=) ends all others."""  # S46
    browser = signed_in()
    elsewhere = signed_in(browser.house)
    assert browser.house.auth.revoke_subject("alice", keep=sid_of(browser)) == 1
    assert row_of(elsewhere).revoked
    browser.house.wait(EXPIRED)
    assert browser.get().reissued


# ── The last word wins ───────────────────────────────────────────────────────────

Call = Callable[[RequestAuth], Any]

CALLS: dict[str, Call] = {
    "login": lambda auth: auth.login("bob", {"by": "login"}),
    "update": lambda auth: auth.update({"by": "update"}),
    "logout": lambda auth: auth.logout(),
    "everywhere": lambda auth: auth.logout_everywhere(),
}


@pytest.mark.parametrize("expired", [False, True], ids=["valid", "reissued"])
@pytest.mark.parametrize(
    ("calls", "subject", "by"),
    [
        ("login", "bob", "login"),
        ("update", "alice", "update"),
        ("logout", None, None),
        ("everywhere", None, None),
        ("login login", "bob", "login"),
        ("login update", "bob", "update"),
        ("login logout", None, None),
        ("login everywhere", None, None),
        ("update login", "bob", "login"),
        ("update logout", None, None),
        ("update everywhere", None, None),
        ("logout login", "bob", "login"),
        ("everywhere login", "bob", "login"),
        ("everywhere login update", "bob", "update"),
        ("logout logout", None, None),
        ("login logout login", "bob", "login"),
        ("login update logout login", "bob", "login"),
        ("update login update", "bob", "update"),
        ("everywhere login logout", None, None),
        ("logout login update login", "bob", "login"),
    ],
)
def test_the_last_word_wins(calls: str, subject: str | None, by: str | None, expired: bool) -> None:
    """In every order: the handle says so at once, and the client and the store in the end."""
    browser = signed_in()
    former = sid_of(browser)
    if expired:
        browser.house.wait(EXPIRED)
    auth = post(browser)
    for call in calls.split():
        CALLS[call](auth)
    assert auth.subject == subject
    assert (auth.claims or {}).get("by") == by
    browser.receive(browser.respond(auth))
    after = browser.arrive().auth
    assert after.subject == subject
    assert (after.claims or {}).get("by") == by
    assert browser.house.row(former).revoked is (calls != "update")
    alive = [one for name in ("alice", "bob") for one in browser.house.auth.sessions(name)]
    assert [one.subject for one in alive] == ([subject] if subject else [])
    if subject:
        assert [one.claims for one in alive] == [{"by": by}]


@pytest.mark.parametrize(
    "calls", ["logout everywhere", "everywhere logout", "everywhere everywhere"]
)
def test_everywhere_is_everywhere(calls: str) -> None:
    """Whether a plain logout was said before or after."""
    browser = signed_in()
    elsewhere = signed_in(browser.house)
    auth = post(browser)
    for call in calls.split():
        CALLS[call](auth)
    browser.respond(auth)
    assert row_of(browser).revoked
    assert row_of(elsewhere).revoked


@pytest.mark.parametrize("between", [[], ["logout"]], ids=["update send", "update logout send"])
def test_claims_of_the_former_session_are_not_those_of_the_next(between: list[str]) -> None:
    """send() after update(): the pair's own claims stand."""
    browser = signed_in()
    pair = browser.house.auth.issue("bob", {"by": "issue"})
    auth = post(browser)
    for call in ("update", *between):
        CALLS[call](auth)
    auth.send(pair)
    browser.receive(browser.respond(auth))
    assert browser.house.row(pair.session_id).claims == {"by": "issue"}
    assert token_claims(browser.access)["by"] == "issue"


@pytest.mark.parametrize("calls", ["logout login", "everywhere login", "update logout login"])
def test_a_failed_login_leaves_the_logout(calls: str) -> None:
    """On a 5xx the login is not stored, and the logout before it is."""
    browser = signed_in()
    former = sid_of(browser)
    auth = post(browser)
    for call in calls.split():
        CALLS[call](auth)
    browser.receive(browser.respond(auth, 500))
    assert browser.house.row(former).revoked
    assert browser.jar == {}
    assert browser.house.auth.sessions("bob") == []


def test_a_login_taken_back_leaves_no_session() -> None:
    """Two logins store one session, and the tokens sent are its own."""
    browser = Browser(House())
    auth = post(browser)
    first, second = auth.login("alice"), auth.login("bob")
    browser.receive(browser.respond(auth))
    assert browser.house.store.load(first.session_id, now=browser.house.now) is None
    assert (browser.access, browser.refresh) == (second.access_token, second.refresh_token)


# ── After the response has started ───────────────────────────────────────────────


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (CALLS["login"], "JWTAuth.issue"),
        (lambda auth: auth.send(auth.parts), "JWTAuth.issue"),
        (CALLS["update"], "in another request"),
        (CALLS["logout"], "JWTAuth.revoke()"),
        (CALLS["everywhere"], "JWTAuth.revoke_subject()"),
    ],
    ids=["login", "send", "update", "logout", "everywhere"],
)
def test_too_late(call: Call, instead: str) -> None:
    """Once the headers are gone each call raises, and names the one to use instead."""
    browser = signed_in()
    auth = post(browser)
    browser.respond(auth)
    with pytest.raises(ResponseStarted, match="after the response had started") as caught:
        call(auth)
    assert instead in str(caught.value)
    assert (auth.subject, auth.intent) == ("alice", None)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_ignored_path_can_do_nothing(call: Call) -> None:
    """On a path of ignore_paths nothing is added to the response, so nothing is promised."""
    browser = signed_in(House(ignore_paths=["/static"]))
    auth = browser.arrive(browser.request("POST", "/static/x")).auth
    with pytest.raises(PathIgnored, match="ignore_paths"):
        call(auth)


def test_a_form_beside_a_logout_that_cannot_be_stored() -> None:
    """The refusal goes out as it is, without the cookie that the form would have had."""
    # S45
    browser = Browser(House(csrf="double-submit"))
    browser.login(cross_site=True)
    auth = browser.arrive().auth
    auth.logout()
    assert auth.csrf_token
    browser.house.down.add("revoke")
    outcome = browser.respond(auth)
    assert isinstance(outcome, Refusal)
    assert outcome.status == 503
    assert "Set-Cookie" not in dict(outcome.headers)


# ── Other sites ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("call", ["login", "logout", "send"])
@pytest.mark.parametrize("with_cookies", [True, False])
def test_another_site_can_cause_neither(call: str, with_cookies: bool) -> None:
    """Also where no cookie came along: a login from elsewhere is an attack, too."""  # S40
    browser = signed_in() if with_cookies else Browser(House())
    auth = post(browser, headers=CROSS_SITE)
    pair = browser.house.auth.issue("mallory")
    make = CALLS.get(call, lambda auth: auth.send(pair))
    with pytest.raises(CrossSiteRequest, match="cross_site=True"):
        make(auth)
    assert auth.intent is not None
    assert not auth.intent.is_wish
    assert fields_of(browser.respond(auth)) == []


def test_another_site_cannot_sign_out_everywhere() -> None:
    """Neither as a whole nor in part."""  # S40
    auth = post(signed_in(), headers=CROSS_SITE)
    with pytest.raises(CrossSiteRequest):
        auth.logout_everywhere()
    assert auth.intent is not None
    assert not auth.intent.is_wish


@pytest.mark.parametrize(
    ("status", "answered"), [(500, 403), (200, None), (404, None), (503, None), (None, None)]
)
def test_an_app_that_has_not_thought_of_another_site(status: Any, answered: object) -> None:
    """Where nobody catches the refusal of a login, the server error that follows becomes the 403 it
    is; an answer that the app has chosen stays."""
    # S40
    browser = Browser(House())
    auth = post(browser, headers=CROSS_SITE)
    with pytest.raises(CrossSiteRequest):
        auth.login("mallory")
    outcome = browser.respond(auth, status)
    assert (outcome.status if isinstance(outcome, Refusal) else None) == answered
    told = [(event.name, event.reason) for event in browser.house.events]
    assert told == ([("csrf_refused", "csrf")] if answered else [])


def test_a_logout_counts_beside_a_refused_login() -> None:
    """What was asked for before the refusal is done, as beside any other server error."""
    # S40
    browser = signed_in()
    session_id = sid_of(browser)
    auth = post(browser, headers=CROSS_SITE)
    auth.logout(cross_site=True)
    with pytest.raises(CrossSiteRequest):
        auth.login("mallory")
    assert isinstance(browser.respond(auth, 500), Additions)
    assert browser.house.row(session_id).revoked


def test_what_was_told_at_arrival_is_not_told_again() -> None:
    """A cross-site request with good cookies is one event, though its login is refused as well."""
    browser = signed_in()
    auth = post(browser, headers=CROSS_SITE)
    with pytest.raises(CrossSiteRequest):
        auth.login("mallory")
    assert isinstance(browser.respond(auth, 500), Refusal)
    assert browser.house.event_names.count("csrf_refused") == 1


@pytest.mark.parametrize("call", ["login", "logout"])
def test_a_call_that_was_allowed_afterwards_counts(call: str) -> None:
    """The last word wins: a server error is the app's own then."""
    browser = signed_in()
    auth = post(browser, headers=CROSS_SITE)
    with pytest.raises(CrossSiteRequest):
        auth.login("mallory")
    if call == "login":
        auth.login("bob", cross_site=True)
    else:
        auth.logout(cross_site=True)
    outcome = browser.respond(auth, 500)
    assert isinstance(outcome, Additions)
    assert row_of(browser).revoked is (call == "logout")


@pytest.mark.parametrize("call", ["login", "logout", "send"])
def test_a_provider_may_post(call: str) -> None:
    """cross_site=True: the session that came along ends, as for any login or logout."""  # S40
    browser = signed_in()
    former = sid_of(browser)
    auth = post(browser, headers=CROSS_SITE)
    assert auth.reason == "csrf"
    if call == "login":
        auth.login("bob", cross_site=True)
    elif call == "send":
        auth.send(browser.house.auth.issue("bob"), cross_site=True)
    else:
        auth.logout(cross_site=True)
    browser.receive(browser.respond(auth))
    assert browser.house.row(former).revoked
    assert browser.arrive().auth.subject == (None if call == "logout" else "bob")


def test_a_header_client_knows_no_other_site() -> None:
    """Nobody can ride on a token that is sent by hand."""  # S40
    client = HeaderClient(House())
    session_id = client.login()
    auth = post(client, headers=CROSS_SITE)
    auth.logout()
    client.respond(auth)
    assert client.house.row(session_id).revoked


def test_cookies_for_a_cross_site_header_client() -> None:
    """cookies=True makes it a matter of cookies, and cookies=False takes it out."""  # S40
    auth = post(Browser(House()), headers=CROSS_SITE)
    with pytest.raises(CrossSiteRequest):
        auth.login("alice", cookies=True)
    assert auth.login("alice", cookies=False).session.subject == "alice"


# ── When it cannot be stored ─────────────────────────────────────────────────────


@pytest.mark.parametrize("call", CALLS)
def test_a_wish_that_cannot_be_stored(call: str) -> None:
    """503 with Retry-After: nobody is told that something happened which did not."""  # S45
    browser = signed_in()
    auth = post(browser)
    CALLS[call](auth)
    browser.house.down.update(("create", "revoke", "revoke_subject", "update"))
    before = dict(browser.jar)
    refusal = refusal_of(browser.respond(auth))
    assert refusal.status == 503
    assert int(dict(refusal.headers)["Retry-After"]) > 0
    assert names(refusal) == []
    browser.receive(refusal)
    assert browser.jar == before
    browser.house.down.clear()
    assert not row_of(browser).revoked
    assert browser.arrive().auth.subject == "alice"


def test_a_login_taken_back_needs_no_store() -> None:
    """On a 5xx the app's own answer goes out."""
    browser = Browser(House())
    auth = post(browser)
    auth.login("alice")
    browser.house.down.add("create")
    assert fields_of(browser.respond(auth, 500)) == []


# ── Finding it ───────────────────────────────────────────────────────────────────


def test_get_auth_takes_whatever_holds_it() -> None:
    """An environ, a scope, or an object with one behind it."""
    auth = signed_in().arrive().auth
    slots = {AUTH_KEY: auth}
    for name in ("environ", "scope", "META", "env"):
        request = type("Request", (), {name: slots})()
        assert get_auth(request) is auth
    assert get_auth(slots) is auth
    assert get_claims(slots) == auth.claims


@pytest.mark.parametrize("request_", [None, {}, object(), {AUTH_KEY: "planted"}], ids=plainly)
def test_get_auth_says_how_to_install(request_: Any) -> None:
    """Where the middleware did not see the request, it says what to do."""
    with pytest.raises(MiddlewareNotInstalled, match="Wrap the whole app"):
        get_auth(request_)


def test_a_request_like_a_mapping() -> None:
    """Some frameworks' requests are mappings of their own; the scope is behind them."""
    auth = signed_in().arrive().auth

    class Request(dict[str, Any]):
        scope = {AUTH_KEY: auth}  # noqa: RUF012  # as on an instance

    assert get_auth(Request()) is auth


def test_cookies_nobody_reads_are_refused() -> None:
    """login(cookies=True) without cookies among the token locations is a mistake, and says so."""
    auth = HeaderClient(House(token_location=["headers"])).arrive().auth
    with pytest.raises(ConfigurationError, match="token_location"):
        auth.login("alice", cookies=True)


def test_a_logout_ends_what_was_to_be_sent() -> None:
    """send(), then logout(): the last word wins, over the stored session, too."""
    browser = Browser(House())
    pair = browser.house.auth.issue("alice")
    auth = post(browser)
    auth.send(pair)
    auth.logout()
    browser.receive(browser.respond(auth))
    assert browser.house.row(pair.session_id).revoked


def test_new_claims_on_a_websocket_send_no_token_by_header() -> None:
    """They are stored; no header of the handshake would reach the script that opened it."""  # S50
    client = HeaderClient(House())
    client.login()
    auth = client.arrive(client.request(websocket=True)).auth
    auth.update({"theme": "dark"})
    outcome = client.respond(auth)
    assert isinstance(outcome, Additions)
    assert outcome.fields == ()
    assert client.house.row(auth.session_id or "").claims == {"theme": "dark"}


def test_a_login_takes_back_what_was_to_be_sent() -> None:
    """send(), then login(): the stored session that is not sent does not stay behind."""
    browser = Browser(House())
    pair = browser.house.auth.issue("alice")
    auth = post(browser)
    auth.send(pair)
    auth.login("bob")
    browser.receive(browser.respond(auth))
    assert browser.house.row(pair.session_id).revoked
    assert browser.arrive().auth.subject == "bob"


def test_a_login_answers_on_the_channel_of_a_token_that_was_refused() -> None:
    """A header client whose token nobody can read, or whose store is away, gets headers back."""
    house = House()
    for down in (set[str](), {"load"}):
        house.down = down
        client = HeaderClient(house)
        client.login()
        house.wait(EXPIRED)
        broken = None if down else "Bearer not a token"
        more = {} if broken is None else {"authorization": broken}
        auth = client.arrive(client.request("POST", "/login", **more)).auth
        assert auth.claims is None
        auth.login("alice")
        house.down = set()
        outcome = client.respond(auth)
        assert names(outcome) == []
        assert {name for name, _ in fields_of(outcome)} >= {"X-Access-Token", "X-Refresh-Token"}
