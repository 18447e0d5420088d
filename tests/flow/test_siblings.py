"""A sibling at a glance: the tokens of a request that this process has just been reissued for.

What the short way decides has to be what the long way would have decided. Worlds are generated,
and both ways walked in each; and every condition is tried at its edge.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from random import Random
from typing import Any

import pytest
from exploring import seen_of
from stepping import Browser, HeaderClient, House, make_request, names, set_cookies, token_claims

from jwt_middleware import Rule
from jwt_middleware.driver import Command
from jwt_middleware.handle import RequestAuth
from jwt_middleware.reissue import LONGEST_FIELD, Minted
from jwt_middleware.request import Request
from jwt_middleware.transport import Additions

GRACE = 10
WORLDS = 1200
LIFE = 300


def reissued(client: type[Browser] = Browser, **settings: Any) -> tuple[Browser, Browser]:
    """A browser that was just reissued, and one that still has the cookies of before."""
    browser = client(House(rotation_grace=GRACE, access_token_expires=LIFE, **settings))
    browser.login(claims={"roles": ["cook"]}, cross_site=True)
    browser.house.wait(LIFE)
    sibling = browser.copy()
    browser.get()
    return browser, sibling


def minted(house: House) -> Minted:
    """The one answer that the process remembers."""
    (found,) = house.flow.parts.memory.siblings._young.values()
    assert isinstance(found, Minted)
    return found


def glanced(sibling: Browser, method: str = "GET", path: str = "/", **more: Any) -> bool:
    """Whether a glance is enough."""
    house = sibling.house
    return house.flow.glance(sibling.request(method, path, **more), house.now) is not None


# ── Both ways, in many worlds ────────────────────────────────────────────────────────


def some_settings(chance: Random) -> dict[str, Any]:
    """A configuration in which siblings may be treated otherwise."""
    usual: dict[str, Any] = {
        "access_token_expires": LIFE,
        "rotation_grace": GRACE,
        "token_location": chance.choice(["cookies", "cookies,headers", "headers,cookies"]),
    }
    unusual: dict[str, Any] = {
        "rotation_grace": chance.choice([1, 60]),
        "csrf": chance.choice(["double-submit", "off"]),
        "reissue_on": chance.choice(["expired", "missing"]),
        "reissue_within": 30,
        "check_session": chance.choice(["always", "60"]),
        "leeway": 30,
        "required": True,
        "refresh_token_expires": LIFE + 5,
        "refresh_path": "/refresh",
        "ignore_paths": ["/static"],
        "rules": [Rule("/kitchen", roles={"cook"}), Rule("/", roles={"boss"})],
        "token_cache_size": 0,
    }
    odd = chance.sample(sorted(unusual), chance.choice([0, 1, 2, 3]))
    return {**usual, **{name: unusual[name] for name in odd}}


def some_request(chance: Random, browser: Browser) -> Request:
    """The tokens as they are, or the same field in another order, or in other company."""
    method = chance.choice([*["GET"] * 6, "HEAD", "POST", "OPTIONS"])
    path = chance.choice([*["/"] * 4, "/kitchen", "/refresh", "/static/logo.png"])
    jar = dict(browser.jar)
    change = chance.choice([*[None] * 6, "more", "less", "turned"])
    if change == "more":
        jar["theme"] = "dark"
    elif change == "less":
        del jar[chance.choice(list(jar))]
    elif change == "turned":
        jar = dict(reversed(jar.items()))
    headers = {} if chance.random() < 0.8 else {"sec-fetch-site": "cross-site"}
    if isinstance(browser, HeaderClient):
        token = jar.get(browser.house.auth.settings.access_cookie)
        refresh = jar.get(browser.house.auth.settings.refresh_cookie)
        bearer = f"Bearer {token}" if token else None
        return make_request(method, path, authorization=bearer, refresh=refresh, headers=headers)
    return make_request(method, path, cookies=jar, headers=headers)


MEANWHILE: dict[str, Callable[[House, str], object]] = {
    "nothing": lambda house, session_id: None,
    "ended here": lambda house, session_id: house.auth.revoke(session_id),
    "ended elsewhere": lambda house, session_id: house.store.revoke(
        session_id, reason="logout", now=house.now
    ),
    "new claims": lambda house, session_id: house.flow.parts.memory.overturn(session_id),
    "new keys": lambda house, session_id: setattr(house.flow.parts.tokens.own_keys, "version", 1),
    "keys due": lambda house, session_id: setattr(
        house.flow.parts.tokens.own_keys, "due", house.now
    ),
    "clock set back": lambda house, session_id: house.wait(-2 * GRACE),
}

RESPONSES: list[tuple[int, list[tuple[str, str]]]] = [
    (200, []),
    (200, [("Cache-Control", "public"), ("X-CDN-Cache-Control", "max-age=9"), ("Vary", "Accept")]),
    (200, [("Access-Control-Allow-Origin", "*")]),
    (200, [("Set-Cookie", "__Host-access=mine")]),
    (304, []),
    (500, [("Set-Cookie", "theme=dark")]),
]


def answered(house: House, auth: RequestAuth, response: int, wait: float) -> object:
    """All that leaves with the response, and what is left to be confirmed.

    Of an answer that had to be made anew, but for what is random in it.
    """
    status, headers = RESPONSES[response]
    now = house.now + wait
    outcome = house.run(house.flow.respond(auth, status, headers, now))
    assert isinstance(outcome, Additions)
    sent = list(house.flow.merge(outcome, headers))
    access: dict[str, Any] | None = None
    if outcome.access is not None and now >= minted(house).answer.until:
        access = {**token_claims(outcome.access), "jti": "random"}
        csrf = house.auth.settings.csrf_cookie
        sent = [field for field in sent if outcome.access not in field[1]]
        sent = [field for field in sent if not field[1].startswith(f"{csrf}=")]
    return sent, access, auth.closed, auth.unconfirmed


def test_the_short_way_decides_as_the_long_way() -> None:
    """In many worlds: if a glance is enough, a look finds the same, to the last field."""
    # S47
    seen: Counter[str] = Counter()
    for seed in range(WORLDS):
        chance = Random(seed)
        settings = some_settings(chance)
        by_header = "headers" in settings["token_location"] and chance.random() < 0.5
        browser = (HeaderClient if by_header else Browser)(House(**settings))
        house = browser.house
        claims = {"roles": chance.choice([["cook"], ["boss"]])}
        session_id = browser.login(claims=claims, cross_site=True)
        house.wait(chance.choice([LIFE - 10, LIFE, LIFE, LIFE, LIFE + 30]))
        sibling = browser.copy()
        first = chance.choice([("GET", "/"), ("GET", "/"), ("POST", "/"), ("POST", "/refresh")])
        browser.get(method=first[0], path=first[1])
        house.wait(chance.choice([0, 0, 0, 1, 5, GRACE, 60]))
        meanwhile = chance.choice([*["nothing"] * len(MEANWHILE), *MEANWHILE])
        MEANWHILE[meanwhile](house, session_id)
        request = some_request(chance, sibling)
        short = house.flow.glance(request, house.now)
        if short is None:
            continue
        house.forget_commands()
        arrival = house.run(house.flow.arrive(request, house.now))
        assert arrival.refusal is None
        if short.reissue is None:
            short._complete()  # what it leaves out until somebody asks
        assert seen_of(short) == seen_of(arrival.auth), seed
        told = house.events[:]
        if chance.random() < 0.2:  # a form is rendered
            assert bool(short.csrf_token) is (settings.get("csrf") == "double-submit")
            arrival.auth.csrf_cookie = short.csrf_cookie  # each one is masked anew
        response, wait = chance.randrange(len(RESPONSES)), chance.choice([0, 0, 0, 2, GRACE])
        sent = answered(house, short, response, wait)
        by_now = house.events[len(told) :]
        assert answered(house, arrival.auth, response, wait) == sent, seed
        assert house.events[len(told) + len(by_now) :] == by_now, seed
        seen[meanwhile if short.reissue is not None else "known"] += 1
        seen["by header"] += by_header and short.reissue is not None
    assert seen["known"] > 50, seen
    assert seen["nothing"] > 50, seen
    assert seen["by header"] > 10, seen
    assert seen["ended elsewhere"], seen  # noticed when the access token ends, as everywhere
    gone = {"ended here", "new claims", "new keys", "keys due"}
    assert not gone.intersection(seen), seen


# ── At the edges ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("client", [Browser, HeaderClient])
def test_the_same_tokens_pass(client: type[Browser]) -> None:
    """In cookies and in headers, on any path; nobody is asked, and the answer is the same one."""
    browser, sibling = reissued(client)
    house = browser.house
    house.forget_commands()
    assert glanced(sibling)
    assert glanced(sibling, "HEAD", "/any/where")
    auth = sibling.get()
    assert auth.subject == "alice"
    assert auth.reissued
    assert sibling.jar == browser.jar
    assert house.store_commands == []
    (event,) = house.events
    assert (event.name, event.subject, event.session_id) == ("replayed", "alice", auth.session_id)
    assert event.at == house.now
    assert event.reason is None


def test_it_counts_as_known() -> None:
    """Nothing was verified: `JWTAuth.cache_info` counts a token that was seen before."""
    browser, sibling = reissued()
    before = browser.house.auth.cache_info
    assert glanced(sibling)
    assert browser.house.auth.cache_info == before._replace(hits=before.hits + 1)


@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
def test_other_methods_are_looked_at(method: str) -> None:
    """Another site may have caused a POST, unless the tokens are in headers, where no other site
    could have put them; OPTIONS may be a preflight."""
    # S40
    _, sibling = reissued()
    assert not glanced(sibling, method)
    _, by_header = reissued(HeaderClient)
    assert glanced(by_header, method) is (method == "POST")


def test_another_field_is_looked_at() -> None:
    """The field is the same, or it is looked at: one more cookie may be one of ours, twice."""
    # S25
    _, sibling = reissued()
    twin = f"{sibling.house.auth.settings.refresh_cookie}=another"
    request = sibling.request()
    request.cookie = f"{request.cookie}; {twin}"
    assert sibling.house.flow.glance(request, sibling.house.now) is None
    assert sibling.arrive(request).auth.reason == "duplicate_cookie"


def test_another_refresh_token_is_looked_at() -> None:
    """Beside the same access token, in cookies and in headers."""
    # S44
    for client in (Browser, HeaderClient):
        _, sibling = reissued(client)
        sibling.set_refresh("another")
        assert not glanced(sibling)
        assert not sibling.arrive().auth.is_authenticated


def test_another_header_is_looked_at() -> None:
    """Tokens in cookies do not count beside one in a header."""
    # S23
    _, sibling = reissued(token_location="headers,cookies")
    assert glanced(sibling)
    assert not glanced(sibling, refresh="another")
    assert not glanced(sibling, authorization="Basic YTpi")


@pytest.mark.parametrize("longer", [0, 1])
def test_a_long_field_is_not_kept(longer: int) -> None:
    """A sibling whose Cookie field is very long is looked at, and gets the same answer."""
    browser = Browser(House(rotation_grace=GRACE, access_token_expires=LIFE))
    browser.login()
    browser.house.wait(LIFE)
    length = len(browser.request().cookie or "") + len("; theme=")
    browser.jar["theme"] = "x" * (LONGEST_FIELD + longer - length)
    sibling = browser.copy()
    browser.get()
    assert glanced(sibling) is not bool(longer)
    sibling.get()
    assert sibling.jar == browser.jar


def test_websockets_are_looked_at() -> None:
    """A handshake is like a POST: another site may cause it."""
    # S50
    _, sibling = reissued()
    assert not glanced(sibling, websocket=True)


def test_a_repeated_answer_needs_a_way_back() -> None:
    """A handshake with tokens in headers has none, though the row would allow them."""
    browser, sibling = reissued(HeaderClient)
    auth = sibling.arrive(sibling.request(websocket=True)).auth
    assert auth.reissue is not None
    assert auth.reissue.answer
    outcome = sibling.respond(auth)
    assert isinstance(outcome, Additions)
    assert outcome.access is None
    assert browser.house.flow.repeat(auth, 101, [], browser.house.now) is None


def test_only_where_expired_tokens_are_reissued() -> None:
    """``reissue_on`` counts for siblings, too, even after a refresh that was asked for."""
    browser = Browser(
        House(
            rotation_grace=GRACE,
            access_token_expires=LIFE,
            reissue_on="missing",
            refresh_path="/refresh",
        )
    )
    browser.login()
    browser.house.wait(LIFE)
    sibling = browser.copy()
    browser.arrive(browser.request("POST", "/refresh"))
    assert minted(browser.house)
    assert not glanced(sibling)
    assert sibling.arrive().auth.reason == "expired"


def test_beside_a_token_that_is_no_expired_one() -> None:
    """Reissued for want of an access token, or for a bad one: such a sibling is looked at."""
    for access in (None, "a.bad.one"):
        browser = Browser(House(rotation_grace=GRACE, access_token_expires=LIFE))
        browser.login()
        browser.house.wait(LIFE)
        browser = browser.without_access()
        if access is not None:
            browser.set_access(access)
        sibling = browser.copy()
        browser.get()
        assert not glanced(sibling)
        assert not len(browser.house.flow.parts.memory.siblings)


EDGES: dict[str, tuple[Callable[[House, float], object], bool]] = {
    "grace over": (lambda house, at: object.__setattr__(minted(house).answer, "until", at), False),
    "not expired": (lambda house, at: setattr(expired(house), "expires_at", at), True),
    "keys due": (lambda house, at: setattr(house.flow.parts.tokens.own_keys, "due", at), False),
}


def expired(house: House) -> Any:
    """The access token that was too old."""
    return minted(house).reissue.expired


@pytest.mark.parametrize("edge", EDGES)
def test_moments_that_are_over(edge: str) -> None:
    """At the very moment, not only after it; and an access token is expired at its very end."""
    # S15, S10
    browser, sibling = reissued()
    set_to, enough_at = EDGES[edge]
    change = object.__setattr__
    if edge == "grace over":
        for at, enough in ((0.001, True), (0.0, False)):
            change(minted(browser.house).answer, "until", browser.house.now + at)
            assert glanced(sibling) is enough
        return
    for at, enough in ((0.0, enough_at), (0.001, not enough_at)):
        set_to(browser.house, browser.house.now + at)
        assert glanced(sibling) is enough


def test_the_refresh_token_expires_at_its_moment() -> None:
    """Its own expiry counts for a sibling, within the grace, too."""
    browser, sibling = reissued(refresh_token_expires=LIFE + 5)
    refresh = minted(browser.house).reissue.refresh
    browser.house.now = refresh.expires_at - 0.001
    assert glanced(sibling)
    browser.house.now = refresh.expires_at
    assert not glanced(sibling)
    assert sibling.arrive().auth.reason == "expired"


def test_keys_that_changed_are_looked_at() -> None:
    """What was verified by keys that are no longer the same is verified again."""
    # S10, S21
    browser, sibling = reissued()
    expired(browser.house).version -= 1
    assert not glanced(sibling)
    expired(browser.house).version += 1
    assert glanced(sibling)
    expired(browser.house).keys = object()
    assert not glanced(sibling)


def test_an_end_is_seen() -> None:
    """A session that this process has seen end is looked at, and its sibling stays out."""
    # S46
    browser, sibling = reissued()
    browser.house.auth.revoke(minted(browser.house).reissue.session.id)
    assert not glanced(sibling)
    assert sibling.arrive().auth.reason == "revoked"


def test_new_claims_are_seen() -> None:
    """After an update the answer of before is stale."""
    browser, sibling = reissued()
    auth = browser.arrive().auth
    auth.update({"roles": ["boss"]})
    browser.respond(auth)
    assert not glanced(sibling)


def test_rules_are_asked() -> None:
    """The rules of the path decide whether a glance may let it pass."""
    _, sibling = reissued(rules=[Rule("/admin", roles={"admin"})])
    assert glanced(sibling, path="/")
    assert not glanced(sibling, path="/admin")


# ── When the response starts ─────────────────────────────────────────────────────────


def test_the_answer_is_repeated_once_it_starts() -> None:
    """Nothing can be recorded any more; what the app asked for meanwhile comes first."""
    browser, sibling = reissued()
    house = browser.house
    auth = sibling.arrive().auth
    asked = sibling.arrive().auth
    asked.update({"roles": ["boss"]})
    assert house.flow.repeat(asked, 200, [], house.now) is None
    assert asked.closed is None
    outcome = house.flow.repeat(auth, 200, [], house.now)
    assert outcome is minted(house).answer.additions
    assert auth.closed == "started"


def test_only_who_came_after_the_answer_is_given_it_again() -> None:
    """Who came before it was made, to rotate as well, is held against the row, as at any process:
    it may have ended elsewhere meanwhile."""
    # S44
    house = House(rotation_grace=GRACE, access_token_expires=LIFE)
    browser = Browser(house)
    session_id = browser.login()
    house.wait(LIFE)
    first, second = browser.arrive().auth, browser.arrive().auth
    browser.respond(first)
    house.store.revoke(session_id, reason="logout", now=house.now)
    assert house.flow.repeat(second, 200, [], house.now) is None
    outcome = browser.respond(second)
    assert isinstance(outcome, Additions)
    assert outcome.access is None


def test_a_response_that_can_carry_no_token_repeats_none() -> None:
    """HEAD, 304, no response at all, and one on which the app sets our cookie itself."""
    # S36, S37
    browser, sibling = reissued()
    flow, now = browser.house.flow, browser.house.now
    auth = sibling.arrive().auth
    ours = browser.house.auth.settings.access_cookie
    assert flow.repeat(auth, 304, [], now) is None
    assert flow.repeat(auth, None, [], now) is None
    assert flow.repeat(auth, 200, [("Set-Cookie", f"{ours}=mine")], now) is None
    assert flow.repeat(sibling.arrive(sibling.request("HEAD")).auth, 200, [], now) is None
    assert auth.closed is None


def test_an_answer_past_the_grace_is_not_repeated() -> None:
    """From then on another process may have rotated: the row is asked."""
    # S44
    browser, sibling = reissued()
    auth = sibling.arrive().auth
    until = minted(browser.house).answer.until
    assert browser.house.flow.repeat(auth, 200, [], until) is None
    assert browser.house.flow.repeat(auth, 200, [], until - 0.001) is not None


@pytest.mark.parametrize("past", [0.0, 0.001])
def test_who_runs_past_its_own_refresh_token_gets_nothing(past: float) -> None:
    """As at any other process: when the response starts, the token's own expiry counts."""
    # S44
    browser, sibling = reissued(refresh_token_expires=LIFE + 5)
    flow = browser.house.flow
    auth = sibling.arrive().auth
    ends_at = minted(browser.house).reissue.refresh.expires_at
    assert ends_at < minted(browser.house).answer.until
    assert flow.repeat(auth, 200, [], ends_at + past) is None
    assert names(browser.house.run(flow.respond(auth, 200, [], ends_at + past))) == []
    again = sibling.arrive().auth
    assert flow.repeat(again, 200, [], ends_at - 0.001) is not None


# ── New claims meanwhile ─────────────────────────────────────────────────────────────


def change_roles(browser: Browser) -> Generator[Command, Any, Any]:
    """A request that takes the roles away, about to answer."""
    auth = browser.arrive().auth
    auth.update({"roles": []})
    return browser.house.flow.respond(auth, 200, [], browser.house.now)


@pytest.mark.parametrize("order", ["inside the change", "around the change", "cut off"])
def test_claims_that_change_while_another_request_rotates(order: str) -> None:
    """However the two interleave, siblings are shown the claims of the row, not older ones that
    this process would remember; nor when nobody heard whether the change was stored."""
    # S44
    house = House(rotation_grace=GRACE, access_token_expires=LIFE, refresh_token_expires="1d")
    first = Browser(house)
    first.login(claims={"roles": ["admin"]})
    with_access = first.copy()
    house.wait(LIFE)
    sibling = first.copy()
    house.wait(-1)
    changing = change_roles(with_access)  # by a token that has a second left
    house.wait(1)
    rotating = house.flow.respond(first.arrive().auth, 200, [], house.now)
    if order == "around the change":
        rotation = house.answer(next(rotating))
        house.run(changing)
        finish(rotating, rotation, house)
    else:
        update = next(changing)
        assert update.verb == "update"
        house.run(rotating)
        stored = house.answer(update)
        if order == "cut off":
            changing.close()
        else:
            finish(changing, stored, house)
    late = sibling.arrive().auth
    assert late.claims is not None
    assert late.claims["roles"] == []
    outcome = sibling.respond(late)
    assert isinstance(outcome, Additions)
    assert token_claims(outcome.access or "")["roles"] == []


def finish(steps: Generator[Command, Any, Any], answer: Any, house: House) -> None:
    """Go on after a command that was answered."""
    while True:
        try:
            answer = house.answer(steps.send(answer))
        except StopIteration:
            return


def test_another_sessions_claims_are_its_own() -> None:
    """New claims of one session leave the siblings of another as quick as they were."""
    browser, sibling = reissued()
    other = Browser(browser.house)
    other.login("bob")
    changed = other.arrive().auth
    changed.update({"roles": ["boss"]})
    other.respond(changed)
    assert glanced(sibling)


def test_a_form_gets_its_cookie() -> None:
    """A sibling that renders a form is handed the one CSRF cookie, not two."""
    _, sibling = reissued(csrf="double-submit")
    name = sibling.house.auth.settings.csrf_cookie
    del sibling.jar[name]
    auth = sibling.arrive().auth
    assert auth.csrf_token
    outcome = sibling.respond(auth)
    assert names(outcome).count(name) == 1
    sibling.receive(outcome)
    tokens = sibling.house.flow.parts.csrf.tokens
    assert tokens is not None
    assert tokens.holds(sibling.jar[name], auth.session_id or "")


def test_a_visitors_form_gets_its_cookie() -> None:
    """Beside tokens in headers, a cookie that a form needs goes along with the answer."""
    _, sibling = reissued(HeaderClient, csrf="double-submit", token_location="cookies,headers")
    auth = sibling.arrive().auth
    token = auth.csrf_token
    sibling.house.forget_commands()
    (cookie,) = set_cookies(sibling.respond(auth))
    assert sibling.house.store_commands == []
    assert sibling.house.event_names == ["replayed"]
    assert (cookie.name, cookie.value) == (sibling.house.auth.settings.csrf_cookie, token)


def test_nothing_is_left_to_settle() -> None:
    """A repeated answer confirms nothing, and purges only when that is due."""
    browser, sibling = reissued()
    house = browser.house
    auth = sibling.arrive().auth
    memory = house.flow.parts.memory
    assert not house.flow.unsettled(auth, house.now)
    assert house.flow.unsettled(auth, memory.purge_again_at)
    memory.pause_until = memory.purge_again_at + 1
    assert not house.flow.unsettled(auth, memory.purge_again_at)
    assert house.flow.unsettled(auth, memory.pause_until)
    memory.store_opened = False
    assert not house.flow.unsettled(auth, memory.pause_until)
