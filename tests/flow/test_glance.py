"""The glance: when a request with a token seen before needs no second look, and when it does.

Whatever it lets pass has to be what `arrive` would have let pass. So each condition is tried at
its edge: a moment before, and at the moment itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from stepping import Browser, House, make_request

from jwt_middleware import Rule
from jwt_middleware.tokens import AccessToken


def known(**settings: Any) -> tuple[Browser, AccessToken]:
    """A browser whose access token this process has verified, and that token."""
    browser = Browser(House(**settings))
    browser.login()
    browser.get()
    (access,) = [browser.house.flow.parts.tokens.verified.get(browser.access or "")]
    assert access is not None
    return browser, access


def passes(browser: Browser, method: str = "GET", path: str = "/") -> bool:
    """Whether a glance is enough."""
    house = browser.house
    return house.flow.glance(browser.request(method, path), house.now) is not None


def test_a_known_token_passes() -> None:
    """By any method that a browser sends itself, on any path."""
    browser, _ = known()
    assert passes(browser)
    assert passes(browser, "HEAD", "/any/where")
    assert not passes(Browser(browser.house))  # no token


def test_a_glance_is_a_hit() -> None:
    """Each one is counted once."""
    browser, _ = known()
    before = browser.house.auth.cache_info
    for _ in range(3):
        assert passes(browser)
    assert browser.house.auth.cache_info == before._replace(hits=before.hits + 3)


def test_options_are_looked_at() -> None:
    """It may be a preflight, whose slots stay empty."""
    # S35
    browser, _ = known()
    assert not passes(browser, "OPTIONS")


def test_ignored_paths_are_looked_at() -> None:
    """Where some paths are ignored, each path is compared."""
    browser, _ = known(ignore_paths=["/static"])
    assert not passes(browser)
    assert not passes(browser, path="/static/logo.png")


def test_endpoints_are_looked_at() -> None:
    """A path that the middleware answers itself is no request to the app."""
    browser, _ = known(refresh_path="/refresh", logout_path="/logout")
    assert not passes(browser, path="/refresh")
    assert not passes(browser, path="/logout")
    assert passes(browser, path="/other")


class Keys:
    """A key source that has changed, or that has to look for changes."""

    def __init__(self, version: int, due: float) -> None:
        self.version = version
        self.due = due


@pytest.mark.parametrize(
    ("more", "wait", "enough"),
    [(0, 1.0, True), (1, 1.0, False), (0, 0.0, False), (0, -1.0, False)],
    ids=["as they were", "replaced", "due now", "overdue"],
)
def test_keys_that_changed_are_looked_at(more: int, wait: float, enough: bool) -> None:
    """A token counts while the keys that verified it stand as they stood."""
    # S10, S21
    browser, access = known()
    access.keys = Keys(access.version + more, browser.house.now + wait)  # type: ignore[assignment]
    assert passes(browser) is enough


EDGES: dict[str, Callable[[AccessToken, float], None]] = {
    "not fresh": lambda access, now: setattr(access, "fresh_until", now),
    "not checked": lambda access, now: setattr(access, "checked_until", now),
}


@pytest.mark.parametrize("edge", EDGES)
def test_moments_that_are_over(edge: str) -> None:
    """At the very moment it is over, not only after it."""
    # S15, S21
    browser, access = known()
    EDGES[edge](access, browser.house.now + 0.001)
    assert passes(browser)
    EDGES[edge](access, browser.house.now)
    assert not passes(browser)


def test_what_is_to_be_confirmed_is_looked_at() -> None:
    """A token that proves what its client holds is looked at, once a store is in use."""
    browser, access = known()
    access.settled = False
    assert browser.house.flow.parts.memory.store_opened
    assert not passes(browser)
    browser.house.flow.parts.memory.store_opened = False
    assert passes(browser)


def test_what_was_confirmed_by_another_request_is_settled() -> None:
    """One look finds that nothing is left to confirm; from then on a glance is enough."""
    browser, access = known()
    access.settled = False
    browser.house.flow.parts.memory.confirmed.put(access.session_id or "", access.generation)
    browser.get()
    assert passes(browser)


def test_a_session_that_ended_is_looked_at() -> None:
    """An end this process has seen counts at once."""
    # S46
    browser, access = known()
    browser.house.flow.parts.memory.end(access.session_id or "")
    assert not passes(browser)


def test_an_unmet_rule_is_looked_at() -> None:
    """The rules of the path decide whether the glance may let it pass."""
    browser, _ = known(rules=[Rule("/admin", roles={"admin"})])
    assert passes(browser, path="/")
    assert not passes(browser, path="/admin")


@pytest.mark.parametrize(
    "login_url", ["/login", "/login/", "/login?next=1", "/login#top", "/login/?next=1#top"]
)
def test_the_login_page_is_public(login_url: str) -> None:
    """By its path, with or without a slash at the end, whatever follows in the setting."""
    house = House(required=True, login_url=login_url)

    def refused(path: str) -> bool:
        return (
            house.run(house.flow.arrive(make_request("GET", path), house.now)).refusal is not None
        )

    assert not refused("/login")
    assert not refused("/login/")
    assert refused("/")
    assert refused("/login/more")
    assert refused("/XX")


def test_without_a_login_page_nothing_is_public() -> None:
    """No setting, no way past a required sign-in: neither the root nor any other path."""
    house = House(required=True)
    for path in ("/", "", "/XX", "XX", "//"):
        navigation = make_request("GET", path, headers={"sec-fetch-mode": "navigate"})
        arrival = house.run(house.flow.arrive(navigation, house.now))
        assert arrival.refusal is not None
        assert arrival.refusal.status == 401


def test_a_login_page_of_an_odd_name() -> None:
    """Of its name nothing is cut off but slashes at the end."""
    house = House(required=True, login_url="/loginX/")
    for path, refused in (("/loginX", False), ("/loginX/", False), ("/login", True)):
        arrival = house.run(house.flow.arrive(make_request("GET", path), house.now))
        assert (arrival.refusal is not None) is refused, path
