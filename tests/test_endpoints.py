"""The endpoints the middleware answers itself: the same decision, asked for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from keychain import pem, private_key
from stepping import Browser, House, token_claims
from through import AGES, Ask, Through, bearer, cookie

from jwt_middleware import ConfigurationError, Settings

REFRESH_PATH, LOGOUT_PATH = "/auth/refresh", "/auth/logout"
SECRET = "a secret of the tests, 32 bytes and more"
KINDS: list[Any] = ["wsgi", "asgi"]
SAME_SITE = ("Sec-Fetch-Site", "same-origin")


def house(**settings: Any) -> House:
    return House(refresh_path=REFRESH_PATH, logout_path=LOGOUT_PATH, **settings)


def never(_: Any) -> None:
    raise AssertionError("the app was reached")


def said(answer: Any) -> dict[str, Any]:
    return json.loads(answer.body)


class Client:
    """Somebody signed in, at one of the doors, by cookies or by headers."""

    def __init__(self, house: House, kind: Any, channel: str, **issue: Any) -> None:
        self.house, self.kind, self.channel = house, kind, channel
        self.pair = house.auth.issue("alice", **issue)
        self.access: str | None = self.pair.access_token
        self.refresh: str | None = self.pair.refresh_token
        self.through = Through(house, never)

    def post(self, path: str = REFRESH_PATH, method: str = "POST", *more: Any) -> Any:
        fields: list[Any] = [*more]
        if self.channel == "cookie":
            fields += [SAME_SITE, cookie(access=self.access, refresh=self.refresh)]
        else:
            fields += [bearer(self.access)] if self.access else []
            fields += [("X-Refresh-Token", self.refresh)] if self.refresh else []
        return self.through.ask(self.kind, Ask(method=method, path=path, fields=fields))

    @property
    def revoked(self) -> bool:
        return self.house.row(self.pair.session_id).revoked


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=["cookie", "header"])
def channel(request: pytest.FixtureRequest) -> str:
    return request.param


# ── Renewing ahead ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("age", [10, AGES])
def test_tokens_are_renewed_when_asked_for(kind: Any, channel: str, age: float) -> None:
    """However long the access token still lives: a rotation as on any other path."""  # S47
    place = house()
    client = Client(place, kind, channel)
    place.now += age
    answer = client.post()
    assert answer.status == 200
    assert answer.one("Cache-Control") == "no-store"
    assert answer.one("Content-Type") == "application/json"
    body = said(answer)
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 900)
    if channel == "cookie":
        assert body.keys() == {"token_type", "expires_in"}
        names = [place.auth.settings.access_cookie, place.auth.settings.refresh_cookie]
        assert sorted(answer.cookies) == sorted(names)
        access, refresh = (answer.cookies[name] for name in names)
    else:
        assert answer.cookies == {}
        assert answer.all("X-Access-Token") == answer.all("X-Refresh-Token") == []
        access, refresh = body["access_token"], body["refresh_token"]
    assert token_claims(access)["sub"] == "alice"
    assert token_claims(access)["exp"] == int(place.now) + 900
    assert token_claims(refresh)["gen"] == 1
    assert place.row(client.pair.session_id).generation == 1
    assert place.event_names[-1] == "reissued"


def test_an_expired_refresh_token_is_renewed_as_on_any_other_path(kind: Any, channel: str) -> None:
    """Beside a valid access token, from its ``rexp`` on."""  # S47
    place = house(refresh_token_expires=1000, rotation_grace=10)
    browser = Browser(place)
    browser.login()
    place.wait(500)
    browser.late_access()
    client = Client(place, kind, channel)
    client.access, client.refresh = browser.access, browser.refresh
    place.wait(500)
    answer = client.post()
    assert answer.status == 200
    client.access = None
    assert client.post().status == 400


def test_siblings_share_the_successor(kind: Any, channel: str) -> None:
    """Parallel calls, and a call beside a silent reissue, get one and the same."""  # S41
    place = house()
    client = Client(place, kind, channel)
    place.now += AGES
    answers = [client.post() for _ in range(3)]
    assert [answer.status for answer in answers] == [200] * 3
    found = {
        answer.cookies[place.auth.settings.refresh_cookie]
        if channel == "cookie"
        else said(answer)["refresh_token"]
        for answer in answers
    }
    assert len(found) == 1


def test_a_token_that_was_just_rotated_gets_an_access_token_alone(kind: Any) -> None:
    """Within the grace the refresh token stays as it is (KEEP)."""  # S42
    place = house()
    client = Client(place, kind, "header")
    client.refresh = said(client.post())["refresh_token"]
    place.now += 5
    client.access = None
    body = said(client.post())
    assert "refresh_token" not in body
    assert token_claims(body["access_token"])["exp"] == int(place.now) + 900


@pytest.mark.parametrize("more", [[], [("Content-Length", "10")]], ids=["no body", "a body"])
def test_a_theft_is_noticed_there_too(kind: Any, channel: str, more: Any) -> None:
    """A spent token ends the session, as on any other path; a body is no excuse, since nobody
    uploads anything there."""  # S42, S47
    place = house()
    client = Client(place, kind, "header")
    thief = Client(place, kind, channel)
    thief.access, thief.refresh = None, client.refresh
    for _ in range(2):
        client.refresh = said(client.post())["refresh_token"]
        client.access = None
        place.now += 121
    answer = thief.post(REFRESH_PATH, "POST", *more)
    assert (answer.status, said(answer)["error"]) == (400, "invalid_grant")
    assert client.revoked
    assert "reuse" in place.event_names


REFUSED = [
    ("nothing", 400, "invalid_request"),
    ("access alone", 400, "invalid_request"),
    ("broken", 400, "invalid_grant"),
    ("expired", 400, "invalid_grant"),
    ("revoked", 400, "invalid_grant"),
    ("mixed", 400, "invalid_grant"),
    ("disabled", 400, "invalid_grant"),
    ("outage", 503, "temporarily_unavailable"),
    ("outage later", 503, "temporarily_unavailable"),
]


@pytest.mark.parametrize(("what", "status", "error"), REFUSED)
def test_what_is_refused(kind: Any, channel: str, what: str, status: int, error: str) -> None:
    """In the terms of RFC 6749 section 5.2; nothing is set, cleared or handed out."""  # S45, S47
    accounts: dict[str, Any] = {"alice": {}}
    place = House(
        refresh_path=REFRESH_PATH, load_claims=lambda session: accounts.get(session.subject)
    )
    client = Client(place, kind, channel)
    stranger = place.auth.issue("bob")
    if what in ("nothing", "access alone"):
        client.refresh = None
    if what == "nothing":
        client.access = None
    if what == "broken":
        client.refresh = "broken"
    if what == "expired":
        place.now += 31 * 86_400
    if what == "revoked":
        place.other_process().auth.revoke(client.pair.session_id)
    if what == "mixed":
        client.refresh = stranger.refresh_token
    if what == "disabled":
        accounts.clear()
    if what.startswith("outage"):
        verb = "load" if what == "outage" else "rotate"

        def down(*_: Any, **__: Any) -> Any:
            raise OSError

        setattr(place.store, verb, down)
    answer = client.post()
    assert (answer.status, said(answer)["error"]) == (status, error)
    assert answer.cookies == {}
    assert answer.all("Retry-After") == (["2"] if status == 503 else [])
    assert client.refresh is None or client.refresh not in answer.body.decode()


def test_claims_that_cannot_be_had_refuse_nobody(kind: Any, channel: str) -> None:
    """While `load_claims` fails nothing is renewed, and the client is told to come again."""  # S45

    def away(_: Any) -> Any:
        raise OSError

    client = Client(House(refresh_path=REFRESH_PATH, load_claims=away), kind, channel)
    answer = client.post()
    assert (answer.status, said(answer)["error"]) == (503, "temporarily_unavailable")
    assert answer.cookies == {}
    assert not client.revoked


def test_a_late_sibling_is_told_to_come_again(kind: Any, channel: str) -> None:
    """Its client has newer tokens, or will have: nothing is lost, and nothing handed out."""
    # S41
    place = house()
    client = Client(place, kind, channel)
    latest = Client(place, kind, "header")
    latest.refresh = client.refresh
    for wait in (121, 1):
        latest.access = None
        latest.refresh = said(latest.post())["refresh_token"]
        place.now += wait
    client.access = None
    answer = client.post()
    assert (answer.status, said(answer)["error"]) == (503, "temporarily_unavailable")
    assert answer.cookies == {}
    assert not client.revoked


# ── Signing out ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("age", [0, AGES, 40 * 86_400])
def test_signing_out(kind: Any, channel: str, age: float) -> None:
    """204, the session has ended and its cookies are cleared, also with expired tokens; twice."""
    place = house()
    client = Client(place, kind, channel)
    place.now += age
    for _ in range(2):
        answer = client.post(LOGOUT_PATH)
        assert (answer.status, answer.body) == (204, b"")
        assert answer.one("Cache-Control") == "no-store"
        assert set(answer.cookies.values()) == ({""} if channel == "cookie" else set())
    assert client.revoked


def test_signing_out_without_tokens(kind: Any) -> None:
    """Nobody is there to be signed out, and that is what was asked for."""
    client = Client(house(), kind, "header")
    client.access = client.refresh = None
    assert client.post(LOGOUT_PATH).status == 204
    assert not client.revoked


def test_signing_out_in_an_outage(kind: Any, channel: str) -> None:
    """503: nobody is told that a session ended which goes on."""  # S45
    place = house()
    client = Client(place, kind, channel)

    def down(*_: Any, **__: Any) -> Any:
        raise OSError

    place.store.revoke = down  # type: ignore[method-assign]
    answer = client.post(LOGOUT_PATH)
    assert (answer.status, answer.all("Retry-After"), answer.cookies) == (503, ["2"], {})


# ── Both ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", [REFRESH_PATH, LOGOUT_PATH])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "post"])
def test_post_alone_is_answered(kind: Any, channel: str, path: str, method: str) -> None:
    """A link, an image or a prefetch changes nothing."""
    place = house()
    client = Client(place, kind, channel)
    place.now += AGES
    answer = client.post(path, method)
    assert (answer.status, answer.one("Allow")) == (405, "POST")
    assert answer.cookies == {}
    assert not client.revoked
    assert place.row(client.pair.session_id).generation == 0


@pytest.mark.parametrize("path", [REFRESH_PATH, LOGOUT_PATH])
def test_another_site_causes_neither(kind: Any, path: str) -> None:
    """403 for cookies that another site's request carries; nothing rotates and nothing ends."""
    # S40
    place = house()
    client = Client(place, kind, "cookie")
    fields = [cookie(access=client.access, refresh=client.refresh)]
    hostile = [*fields, ("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")]
    answer = client.through.ask(kind, Ask(method="POST", path=path, fields=hostile))
    assert (answer.status, said(answer)["error"]) == (403, "csrf_refused")
    assert answer.cookies == {}
    assert not client.revoked
    assert place.row(client.pair.session_id).generation == 0


def test_a_preflight_is_the_apps(kind: Any) -> None:
    """It carries no credentials, and the app knows whom CORS allows."""  # S35
    through = Through(house())
    fields = [("Origin", "https://app.example"), ("Access-Control-Request-Method", "POST")]
    assert through.ask(kind, Ask(method="OPTIONS", path=REFRESH_PATH, fields=fields)).status == 200
    assert len(through.seen) == 1


@pytest.mark.parametrize("path", [f"{REFRESH_PATH}/", f"{REFRESH_PATH}/x", "/auth", "/"])
def test_other_paths_are_the_apps(kind: Any, path: str) -> None:
    """The endpoints are exactly where the settings put them."""  # S30
    through = Through(house())
    assert through.ask(kind, Ask(method="POST", path=path)).status == 200


def test_where_sign_in_is_required_the_endpoints_are_reached(kind: Any, channel: str) -> None:
    """Who is to renew an expired token cannot have a good one."""
    place = house(required=True)
    client = Client(place, kind, channel)
    place.now += AGES
    assert client.post().status == 200
    client.access = client.refresh = None
    assert client.post(LOGOUT_PATH).status == 204


# ── The refresh cookie at its endpoint alone ─────────────────────────────────────


def stricter(**settings: Any) -> House:
    return house(refresh_cookie_path=REFRESH_PATH, **settings)


def test_the_refresh_cookie_has_a_path_of_its_own(kind: Any) -> None:
    """A browser sends it to refresh_path and nowhere else, so nothing is reissued elsewhere."""
    place = stricter()
    through = Through(place, lambda auth: auth.login("alice"))
    answer = through.ask(kind, Ask(method="POST", path="/login", fields=[SAME_SITE]))
    access, refresh = answer.all("Set-Cookie")[-2:]
    assert access.startswith("__Host-access_token=")
    assert "Path=/;" in f"{access};"
    assert refresh.startswith("refresh_token=")
    assert f"Path={REFRESH_PATH};" in f"{refresh};"
    through.view = lambda auth: auth.logout()
    answer = through.ask(
        kind,
        Ask(method="POST", path="/out", fields=[SAME_SITE, cookie(access=through.auth.reason)]),
    )
    cleared = [line for line in answer.all("Set-Cookie") if line.startswith("refresh_token=")]
    assert any(f"Path={REFRESH_PATH};" in f"{line};" for line in cleared)


def test_the_silent_reissue_is_given_up(kind: Any) -> None:
    """Elsewhere an expired access token is expired; the endpoint renews it."""
    place = stricter(required=True)
    pair = place.auth.issue("alice")
    place.now += AGES
    through = Through(place)
    alone = [cookie(access=pair.access_token)]
    assert through.ask(kind, Ask(path="/orders", fields=alone)).status == 401
    names = place.auth.settings
    field = (
        f"{names.access_cookie}={pair.access_token}; {names.refresh_cookie}={pair.refresh_token}"
    )
    answer = through.ask(
        kind, Ask(method="POST", path=REFRESH_PATH, fields=[SAME_SITE, ("Cookie", field)])
    )
    assert answer.status == 200
    assert sorted(answer.cookies) == sorted((names.access_cookie, names.refresh_cookie))


# ── Settings ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"refresh_path": "refresh"}, "refresh_path"),
        ({"refresh_path": "/a", "logout_path": "/a"}, "logout_path: is refresh_path"),
        ({"refresh_path": "/static/r", "ignore_paths": ["/static"]}, "ignore_paths"),
        ({"refresh_cookie_path": "/auth"}, "set refresh_path"),
        ({"refresh_cookie_path": "/auth", "refresh_path": "/renew"}, "would not send it"),
        (
            {
                "refresh_cookie_path": "/auth",
                "refresh_path": "/auth/r",
                "refresh_cookie_name": "__Host-r",
            },
            "__Host-",
        ),
        (
            {
                "refresh_cookie_path": "/a",
                "refresh_path": "/a/r",
                "token_location": ["headers"],
            },
            "no effect",
        ),
    ],
    ids=range(7),
)
def test_contradictions_are_refused(settings: Any, told: str) -> None:
    """At start-up, with what to change."""  # S39
    with pytest.raises(ConfigurationError, match=told):
        Settings(secret_key=SECRET, **settings)


def test_a_folder_may_hold_both(kind: Any) -> None:
    """refresh_cookie_path may be a folder above refresh_path, or the root."""
    for path in ("/", "/auth", "/auth/"):
        settings = Settings(secret_key=SECRET, refresh_path=REFRESH_PATH, refresh_cookie_path=path)
        assert settings.refresh_cookie.startswith("__Host-") is (path == "/")


def test_the_page_says_what_runs() -> None:
    """The snippet of docs/endpoints.md makes settings that answer at all three paths."""
    page = (Path(__file__).parents[1] / "docs" / "endpoints.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {"signing_key": pem(private_key("Ed25519"))}
    exec(compile(snippet, "docs/endpoints.md", "exec"), names)  # noqa: S102  # our own page
    assert names["settings"].refresh_path == REFRESH_PATH
    assert names["settings"].logout_path == LOGOUT_PATH
    assert names["settings"].jwks_path == "/.well-known/jwks.json"
