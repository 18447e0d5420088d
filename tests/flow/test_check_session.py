"""The white list: ``check_session`` makes the store vouch for valid access tokens, too."""

from __future__ import annotations

from typing import Any

import pytest
from stepping import Browser, House

from jwt_middleware import ConfigurationError, Settings

LAG = 30


def signed_in(**settings: Any) -> Browser:
    browser = Browser(House(**settings))
    browser.login()
    browser.house.forget_commands()
    return browser


def end_elsewhere(browser: Browser) -> None:
    """Another process ends the session; this one is not told."""
    auth = browser.arrive().auth
    assert browser.house.other_process().auth.revoke(auth.session_id or "")


def test_never_asks_nobody() -> None:
    """By default a valid token goes on until it expires, whatever happened elsewhere."""  # S46
    browser = signed_in()
    end_elsewhere(browser)
    browser.house.forget_commands()
    assert browser.get().is_authenticated
    assert browser.house.verbs == []


def test_always_asks_at_every_request() -> None:
    """A session that was ended elsewhere is refused at its next request."""  # S46
    browser = signed_in(check_session="always")
    assert [browser.get().is_authenticated for _ in range(3)] == [True] * 3
    assert browser.house.verbs.count("load") == 3
    end_elsewhere(browser)
    assert browser.get().reason == "revoked"
    assert browser.house.event_names[-1] == "token_refused"


@pytest.mark.parametrize("check", ["always", LAG])
def test_an_idle_session_is_not_alive(check: Any) -> None:
    """A valid access token of a session past its idle limit counts only beside the refresh
    token that renews it."""  # S43
    browser = signed_in(check_session=check, refresh_token_expires=1000, rotation_grace=10)
    stranger = Browser(browser.house)
    stranger.login()
    browser.house.wait(500)
    browser.late_access()
    browser.house.wait(500)
    alone, mixed = browser.copy(), browser.copy()
    alone.set_refresh("")
    mixed.set_refresh(stranger.refresh or "")
    for tab in (alone, mixed):
        assert tab.get(house=browser.house.other_process()).reason == "expired"
    assert browser.get().reissued


def test_a_lag_asks_once_in_a_while() -> None:
    """Within the lag a request asks nobody; a sign-out elsewhere counts when it is over."""  # S46
    browser = signed_in(check_session=LAG)
    browser.get()
    browser.house.forget_commands()
    end_elsewhere(browser)
    browser.house.wait(LAG - 1)
    browser.house.forget_commands()
    assert browser.get().is_authenticated
    assert browser.house.verbs == []
    browser.house.wait(1)
    assert browser.get().reason == "revoked"


@pytest.mark.parametrize("ended", ["revoked", "unknown_session"])
def test_what_is_to_be_renewed_has_to_be_alive(ended: str) -> None:
    """A session may have idled too long for a look, where the refresh token beside it mends that;
    one that has ended may not."""
    # S46
    house = House(check_session="always", refresh_token_expires=1000, rotation_grace=10)
    browser = Browser(house)
    browser.login()
    house.wait(500)
    browser.late_access()
    house.wait(500)
    assert browser.arrive().auth.subject == "alice"
    if ended == "revoked":
        end_elsewhere(browser)
    else:
        house.store._sessions.clear()
    assert browser.arrive().auth.reason == ended


def test_what_a_look_has_found_ended_is_remembered() -> None:
    """From then on this process needs nobody to tell it."""
    browser = signed_in(check_session=LAG)
    browser.get()
    end_elsewhere(browser)
    browser.house.wait(LAG)
    assert browser.get().reason == "revoked"
    browser.house.forget_commands()
    assert browser.get().reason == "revoked"
    assert browser.house.verbs == []


def test_the_lag_begins_anew_with_each_look() -> None:
    """An alive session is looked at once a lag, not at every request after the first."""
    browser = signed_in(check_session=LAG)
    for _ in range(5):
        browser.house.wait(LAG)
        assert browser.get().is_authenticated
        assert browser.get().is_authenticated
    assert browser.house.verbs.count("load") == 5


def test_an_unknown_session_is_refused() -> None:
    """A row the store does not have vouches for nobody."""
    browser = signed_in(check_session="always")
    browser.house.store._sessions.clear()
    assert browser.get().reason == "unknown_session"


@pytest.mark.parametrize("required", [False, True])
def test_an_outage_is_a_503(required: bool) -> None:
    """Where the store has to vouch and is silent, nobody is let in and nobody signed out."""  # S45
    browser = signed_in(check_session="always", required=required)
    browser.house.down = {"load"}
    refusal = browser.arrive().refusal
    assert refusal is not None
    assert refusal.status == 503
    assert "Set-Cookie" not in dict(refusal.headers)


def test_tokens_of_others_have_no_session_to_ask_for() -> None:
    """A token without a session id is judged by itself."""
    house = House(check_session="always")
    token = house.auth._parts.tokens.sign_access({"sub": "alice", "exp": house.now + 60})
    browser = Browser(house)
    browser.jar[house.auth.settings.access_cookie] = token
    assert browser.get().subject == "alice"
    assert "load" not in house.verbs


@pytest.mark.parametrize("value", ["sometimes", -1, 0, True, None])
def test_what_it_can_be(value: Any) -> None:
    """Never, always, or a duration; anything else is refused with all three named."""
    with pytest.raises(ConfigurationError, match=r'check_session.*"never", "always"'):
        Settings(secret_key="x" * 32, check_session=value)


@pytest.mark.parametrize(("given", "read"), [("30s", 30), (12.5, 12.5), (" always ", "always")])
def test_how_it_is_read(given: Any, read: Any) -> None:
    """Durations are written as everywhere else."""
    assert Settings(secret_key="x" * 32, check_session=given).check_session == read
