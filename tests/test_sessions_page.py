"""docs/sessions.md, held to its word: its app is run on two devices, its tables are tried."""

from __future__ import annotations

import dataclasses
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from stepping import SECRET, Browser, House

from jwt_middleware import Event, ListedSession, Session

PAGE = (Path(__file__).parents[1] / "docs" / "sessions.md").read_text("utf-8")
BASE = "https://testserver"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the page's blocks define, put together, and what they printed."""
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.setenv("JWT_SESSION_STORE", "memory://")
    said: list[str] = []
    names: dict[str, Any] = {
        "__name__": "page",
        "said": said,
        "print": lambda value: said.append(str(value)),
    }
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        exec(compile(block, "docs/sessions.md", "exec"), names)  # noqa: S102  # our own page
    return names


def device(page: dict[str, Any], browser: str, name: str = "alice") -> FlaskClient:
    """Somebody signs in there."""
    client: FlaskClient = page["app"].test_client()
    client.post("/sign-in", base_url=BASE, data={"name": name}, headers={"User-Agent": browser})
    return client


def listed(client: FlaskClient) -> list[dict[str, Any]]:
    found = client.get("/sessions", base_url=BASE).json
    assert isinstance(found, list)
    return found


def post(client: FlaskClient, path: str) -> tuple[int, str]:
    answer = client.post(path, base_url=BASE)
    return answer.status_code, answer.text


def test_the_list(page: dict[str, Any]) -> None:
    """The newest first, the own one marked, with what was given at the sign-in."""
    device(page, "phone")
    laptop = device(page, "laptop")
    device(page, "another's", "bob")
    found = [(one["browser"], one["here"], one["address"]) for one in listed(laptop)]
    assert found == [("laptop", True, "127.0.0.1"), ("phone", False, "127.0.0.1")]
    one = listed(laptop)[0]
    assert one["since"] <= one["last_seen"] < one["until"]


def test_one_is_ended(page: dict[str, Any]) -> None:
    """One's own sessions can be ended, once; another's cannot."""
    phone, laptop = device(page, "phone"), device(page, "laptop")
    stranger = device(page, "evil", "mallory")
    there = next(one["id"] for one in listed(laptop) if not one["here"])
    assert post(stranger, f"/sessions/{there}/end")[0] == 404
    assert post(laptop, f"/sessions/{there}/end") == (200, "Ended.")
    assert post(laptop, f"/sessions/{there}/end")[0] == 404
    assert phone.get("/sessions", base_url=BASE).status_code == 401
    assert len(listed(laptop)) == 1


def test_all_others_are_ended(page: dict[str, Any]) -> None:
    """Whoever asks stays; everybody else of that name goes."""
    phone, laptop, tablet = (device(page, name) for name in ("phone", "laptop", "tablet"))
    assert post(laptop, "/sessions/end-others") == (200, "Ended: 2")
    assert [one["here"] for one in listed(laptop)] == [True]
    for gone in (phone, tablet):
        assert gone.get("/sessions", base_url=BASE).status_code == 401


def test_signing_out(page: dict[str, Any]) -> None:
    """Here ends this one, everywhere ends all, and nobody else's."""
    phone, laptop, tablet = (device(page, name) for name in ("phone", "laptop", "tablet"))
    stranger = device(page, "his", "bob")
    assert post(phone, "/sign-out") == (200, "Goodbye.")
    assert [one["browser"] for one in listed(laptop)] == ["tablet", "laptop"]
    assert post(laptop, "/sign-out-everywhere") == (200, "Goodbye, on all devices.")
    assert tablet.get("/sessions", base_url=BASE).status_code == 401
    assert len(listed(stranger)) == 1


@pytest.mark.parametrize(
    "path", ["/sessions/x/end", "/sessions/end-others", "/sign-out-everywhere"]
)
def test_nobody_is_signed_in(page: dict[str, Any], path: str) -> None:
    """Who is not signed in has no sessions to end."""
    assert post(page["app"].test_client(), path)[0] == 401
    assert page["app"].test_client().get("/sessions", base_url=BASE).status_code == 401


def test_not_more_than_so_many(page: dict[str, Any]) -> None:
    """The oldest ends, as the comment says."""
    assert page["said"] == re.findall(r"print\(.*\)  # (.*)", PAGE)


def test_its_table_of_a_session() -> None:
    """What it names is what the list has."""
    rows = PAGE.partition("| of a session |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in rows.splitlines()[2:])))
    assert named <= {field.name for field in dataclasses.fields(ListedSession)}


# ── Look at the account again: the table of answers, row by row ──────────────────────


def test_the_account_of_the_page(page: dict[str, Any]) -> None:
    """A role that was given counts at the next reissue; an account that is disabled ends there."""
    house = House(load_claims=page["load_claims"])
    dora = Browser(house)
    dora.login("dora", claims={"roles": ["reader"]})
    page["accounts"]["dora"]["roles"] = ["editor"]
    assert dora.get().roles == ["reader"]
    house.wait(1000)
    assert dora.get().roles == ["editor"]
    page["accounts"]["dora"]["disabled"] = True
    assert next_reason(house, dora) == "revoked"


def test_its_answers_are_all_tried() -> None:
    """The table has as many rows as these tests."""
    assert len(PAGE.partition("| what it answers |")[2].partition("\n\n")[0].splitlines()) == 2 + 5


def answered(answer: Any, waited: float = 1000, **settings: Any) -> tuple[House, Browser]:
    """Somebody has signed in, and their account then looks like this; or else this raises."""

    def load_claims(session: Session) -> Any:
        return answer() if callable(answer) else answer

    house, browser = signed_in(load_claims=load_claims, **settings)
    browser.login("alice", claims={"roles": ["reader"]})
    house.wait(waited)
    return house, browser


@pytest.mark.parametrize("claims", [{"theme": "dark"}, {}], ids=str)
def test_claims_replace_all_of_the_session(claims: dict[str, Any]) -> None:
    """In the request, in the token, and in the store."""
    house, browser = answered(claims)
    reissued, again = browser.get(), browser.get()
    assert (reissued.reissued, again.reissued) == (True, False)
    for seen in (reissued.claims, again.claims):
        assert seen is not None
        assert {name: seen[name] for name in ("roles", "theme") if name in seen} == claims
    assert house.row(again.session_id or "").claims == claims


def test_none_ends_the_session() -> None:
    """With the reason and the event that the table names."""
    house, browser = answered(None)
    assert browser.get().reason == "revoked"
    assert ("revoked", "refused") in told(house.events)


def away() -> Any:
    raise OSError("the database is away")


@pytest.mark.parametrize(
    "answer",
    [["reader"], {"sub": "bob"}, {"exp": 1}, {"sid": "s"}, {"since": {1}}, away],
    ids=["a list", "sub", "exp", "sid", "a set", "raises"],
)
def test_who_may_go_on_cannot_be_said(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """503 and Retry-After, though nobody has to be signed in; nothing is lost, and a request that
    needs no answer goes on."""
    caplog.set_level(logging.WARNING, "jwt_middleware")
    house, browser = answered(answer)
    before, row = dict(browser.jar), house.store.find("alice", now=house.now)
    refusal = browser.arrive().refusal
    assert refusal is not None
    fields = dict(refusal.headers)
    assert (refusal.status, "Retry-After" in fields, "Set-Cookie" in fields) == (503, True, False)
    assert (browser.jar, house.store.find("alice", now=house.now)) == (before, row)
    assert "load_claims" in caplog.text

    _, early = answered(answer, waited=800, reissue_within=300)
    assert early.get().subject == "alice"


@pytest.mark.parametrize(("size", "sent"), [(2700, True), (2900, False)])
def test_claims_that_do_not_fit(size: int, sent: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Signed in by them, and no token goes out that a browser would drop; the limit is as said."""
    house, browser = answered({"blob": "x" * (size - len('{"blob":""}'))})
    before = dict(browser.jar)
    assert browser.get().subject == "alice"
    assert (browser.jar != before) is sent
    assert ("oversized" in house.event_names) is not sent
    assert ("Largest claims: blob" in caplog.text) is not sent


# ── What ends a session by itself: the last table, row by row ────────────────────────


def endings() -> list[str]:
    """The reason that the next request has, by the table."""
    rows = PAGE.partition("| what | `reason` of")[2].partition("\n\n")[0].splitlines()[2:]
    return [re.findall(r"`(\w+)`", row.split("|")[2])[0] for row in rows]


def next_reason(house: House, browser: Browser) -> str | None:
    house.wait(1000)  # past the access token's expiry: the session is looked at
    return browser.get().reason


def signed_in(**settings: Any) -> tuple[House, Browser]:
    house = House(**settings)
    browser = Browser(house)
    browser.login("alice")
    return house, browser


def not_used() -> str | None:
    house, browser = signed_in()
    house.wait(30 * 86_400)
    return next_reason(house, browser)


def too_old() -> str | None:
    house, browser = signed_in()
    for _ in range(9):
        house.wait(10 * 86_400 - 1)
        browser.get()
    return next_reason(house, browser)


def signs_in_again() -> str | None:
    house, browser = signed_in()
    former = dict(browser.jar)
    browser.login("alice")
    browser.jar = former
    return next_reason(house, browser)


def too_many() -> str | None:
    house, browser = signed_in(max_sessions_per_subject=1)
    house.auth.issue("alice")
    assert ("revoked", "too_many") in told(house.events)
    return next_reason(house, browser)


def stolen() -> str | None:
    house, browser = signed_in()
    thief = Browser(house)
    thief.jar = dict(browser.jar)
    for _ in range(2):
        house.wait(1000)
        browser.get()
    reason = next_reason(house, thief)
    assert next_reason(house, browser) == "revoked"
    return reason


def account_disabled() -> str | None:
    house, browser = signed_in(load_claims=lambda session: None)
    reason = next_reason(house, browser)
    assert ("revoked", "refused") in told(house.events)
    return reason


def told(events: list[Event]) -> set[tuple[str, str | None]]:
    return {(event.name, event.reason) for event in events}


ENDINGS = [not_used, too_old, signs_in_again, too_many, stolen, account_disabled]


@pytest.mark.parametrize("number", range(len(ENDINGS)))
def test_what_ends_a_session_by_itself(number: int) -> None:
    """Each row of the table, made to happen."""
    assert len(endings()) == len(ENDINGS)
    assert ENDINGS[number]() == endings()[number]
