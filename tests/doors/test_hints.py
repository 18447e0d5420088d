"""Everybody's first mistakes, made at both doors: what is logged, and what is answered."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from stepping import House
from through import Answer, Ask, Fields, Through, cookie

from jwt_middleware import Issuer
from jwt_middleware.errors import CrossSiteRequest
from jwt_middleware.handle import RequestAuth

SHOP, BACKEND, SPA = "https://shop.example", "backend:8000", "https://spa.example"
HOST = ("X-Forwarded-Host", "shop.example")
BROWSER = ("Accept", "text/html,*/*")
FOREIGN = [("Origin", SPA), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "cors")]

pytestmark = pytest.mark.parametrize("door", ["wsgi", "asgi"])


def sign_in(auth: RequestAuth) -> None:
    auth.login("alice")


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "jwt_middleware")
    return caplog


def told(log: pytest.LogCaptureFixture) -> list[str]:
    """The warnings of the log, without what they begin with."""
    return [record.getMessage().partition(": ")[2] for record in log.records]


def refused(door: str, ask: Ask, **settings: Any) -> tuple[int, str]:
    """What a request is answered that needs somebody signed in."""
    answer = Through(House(required=True, **settings)).ask(door, ask)
    return answer.status, json.loads(answer.body)["error_description"]


# ── Http, and Secure cookies ─────────────────────────────────────────────────────────


def login(door: str, *fields: tuple[str, str], **more: Any) -> Answer:
    house = House(**more.pop("settings", {}))
    return Through(house, sign_in).ask(door, Ask(method="POST", fields=fields, **more))


def test_cookies_sent_by_plain_http(door: str, log: pytest.LogCaptureFixture) -> None:
    """A sign-in by http brings cookies that no browser keeps, and the log says so, once."""
    through = Through(House(), sign_in)
    for _ in range(3):
        answer = through.ask(door, Ask(method="POST", scheme="http", host="shop.example"))
        assert len(answer.cookies) == 2
    (said,) = told(log)
    assert "by plain http, where browsers neither keep nor send Secure cookies" in said
    assert "cookie_secure=False" in said


NOT_PLAIN: dict[str, tuple[Fields, dict[str, Any]]] = {
    "https": ([], {"scheme": "https"}),
    "this machine": ([], {"host": "localhost:8000"}),
    "this machine, by address": ([], {"host": "127.0.0.1:8000"}),
    "a proxy says https": ([("X-Forwarded-Proto", "https, http")], {}),
    "a browser saw https": ([("Sec-Fetch-Site", "same-origin")], {}),
    "a page by https": ([("Origin", SHOP)], {}),
    "cookies for http": ([], {"settings": {"cookie_secure": False}}),
    "no cookies": ([], {"settings": {"token_location": ["headers"]}}),
}


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_no_plain_http(door: str, name: str, log: pytest.LogCaptureFixture) -> None:
    """Nothing is said where the browser has https for all that can be known, or needs none."""
    fields, more = NOT_PLAIN[name]
    answer = login(door, *fields, **{"scheme": "http", "host": "shop.example", **more})
    assert (answer.status, told(log)) == (200, [])


@pytest.mark.parametrize(
    "fields",
    [
        [BROWSER],
        [("X-Forwarded-Proto", "http")],
        [("Origin", "http://shop.example")],
        [("Referer", "http://shop.example/page")],
        [("Referer", "https://elsewhere.example/")],
    ],
    ids=["browser", "proxy", "origin", "referer", "elsewhere"],
)
def test_refused_by_plain_http(door: str, fields: Fields, log: pytest.LogCaptureFixture) -> None:
    """A browser that is refused over http is told that its cookies do not come that way."""
    ask = Ask(scheme="http", host="shop.example", fields=fields)
    status, text = refused(door, ask)
    assert (status, len(told(log))) == (401, 1)
    assert text == (
        "Sign in to use this resource. This came by plain http, and browsers send the cookies by "
        "https only."
    )


def test_a_program_by_plain_http(door: str, log: pytest.LogCaptureFixture) -> None:
    """A program that is refused is told to sign in, and no more: it may have no cookies at all."""
    assert refused(door, Ask(scheme="http", host="shop.example")) == (
        401,
        "Sign in to use this resource.",
    )
    assert told(log) == []


# ── Cookies of other names ───────────────────────────────────────────────────────────


def a_token(**settings: Any) -> str:
    return House(**settings).auth.issue("alice").access_token


OTHER_NAMES = {
    "another prefix": f"a=b; access_token={'x' * 8}",
    "another prefix, refresh": "__Secure-refresh_token=x",
    "a token of ours": "theme=dark; session={token}",
}


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_a_cookie_of_another_name(door: str, name: str, log: pytest.LogCaptureFixture) -> None:
    """A token in a cookie nobody looks into is noticed, also where nobody has to be signed in."""
    field = OTHER_NAMES[name].format(token=a_token())
    through = Through(House())
    for _ in range(2):
        assert through.ask(door, Ask(fields=[("Cookie", field)])).status == 200
    (said,) = told(log)
    came = field.rpartition("; ")[2].partition("=")[0]
    assert f"a token came in the cookie {came}, and the app looks into __Host-access_token" in said
    assert "eyJ" not in log.text
    status, text = refused(door, Ask(fields=[("Cookie", field)]))
    assert status == 401
    assert text.endswith("another cookie than this app looks into, which is __Host-access_token.")


def test_a_cookie_of_a_believed_issuer(door: str, log: pytest.LogCaptureFixture) -> None:
    """Another issuer's token under another name is noticed, too, by who it says made it."""
    url = "https://login.example"
    token = a_token(secret_key="k" * 40, issuer=url)
    public = json.dumps({"kty": "OKP", "crv": "Ed25519", "x": "A" * 43, "kid": "1"})
    house = House(issuers=[Issuer(url, audience="shop", public_keys=public)], audience="shop")
    Through(house).ask(door, Ask(fields=[("Cookie", f"sso={token}")]))
    assert ["in the cookie sso" in one for one in told(log)] == [True]


@pytest.mark.parametrize(
    "field",
    [
        "__Host-access_token=; theme=access_token",
        "session=eyJhbGciOiJIUzI1NiJ9.e30.AAAA",
        "session=eyJhbGciOiJub25lIiwia2lkIjoieCJ9.eyJpc3MiOjF9.AAAA",
        "session=eyJ.x.y",
    ],
    ids=["emptied", "another's", "of nobody", "none"],
)
def test_cookies_of_others(door: str, field: str, log: pytest.LogCaptureFixture) -> None:
    """What others keep in cookies, and what a sign-out left, is no mistake."""
    Through(House()).ask(door, Ask(fields=[("Cookie", field)]))
    assert told(log) == []


def test_many_cookies(door: str, log: pytest.LogCaptureFixture) -> None:
    """The first fifty cookies are looked at, and no more: a request must not cost what it likes."""
    # S13
    for before, warnings in ((49, 1), (50, 0)):
        log.clear()
        field = "; ".join([f"c{number}=eyJ" for number in range(before)] + ["access_token=x"])
        Through(House()).ask(door, Ask(fields=[("Cookie", field)]))
        assert len(told(log)) == warnings


def test_a_name_that_cannot_be_shown(door: str, log: pytest.LogCaptureFixture) -> None:
    """A cookie's name is shown only if it is a plain one, and no token."""  # S53
    for name in ("a\x1b[31m", "eyJhbGciOi", "n" * 65):
        Through(House()).ask(door, Ask(fields=[("Cookie", f"{name}={a_token()}")]))
    assert ["the cookie (a name that is not shown)" in one for one in told(log)] == [True] * 3


# ── Where nobody looks ───────────────────────────────────────────────────────────────


ELSEWHERE: dict[str, tuple[tuple[str, str], dict[str, Any], str, str]] = {
    "cookies are not read": (
        cookie(access="x"),
        {"token_location": ["headers"]},
        'a token came in the cookie __Host-access_token; add "cookies" to token_location',
        "A token came in a cookie, where this app does not look.",
    ),
    "headers are not read": (
        ("Authorization", "Bearer x"),
        {"token_location": ["cookies"]},
        'a token came by Authorization; add "headers" to token_location',
        "A token came by Authorization, where this app does not look.",
    ),
    "another header": (
        ("Authorization", "Bearer x"),
        {"header_name": "X-Auth"},
        "Authorization came, and the app looks into X-Auth (header_name)",
        "Authorization came, and this app looks into X-Auth.",
    ),
    "another scheme": (
        ("Authorization", "Token x"),
        {},
        (
            "Authorization came, and the app expects Bearer and a token in it; set header_type, or "
            "let the client write that"
        ),
        "Authorization came, and this app expects Bearer and a token in it.",
    ),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_where_nobody_looks(door: str, name: str, log: pytest.LogCaptureFixture) -> None:
    """A token in a place that is not read is named to who is refused; a visitor may send it."""
    field, settings, said, answered = ELSEWHERE[name]
    Through(House(**settings)).ask(door, Ask(fields=[field]))
    assert told(log) == []
    assert refused(door, Ask(fields=[field]), **settings) == (
        401,
        f"Sign in to use this resource. {answered}",
    )
    assert told(log) == [said]


# ── A script of another origin ───────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "fields",
    [FOREIGN, [("Origin", SPA)], [("Sec-Fetch-Site", "same-site")]],
    ids=["cross-site", "an old browser", "same-site"],
)
def test_fetch_without_credentials(
    door: str, fields: Fields, log: pytest.LogCaptureFixture
) -> None:
    """A script of another origin that sends no cookies is told how to."""
    status, text = refused(door, Ask(fields=fields))
    assert status == 401
    assert 'fetch sends them with credentials: "include", and CORS has to allow it.' in text
    (said,) = told(log)
    origin = dict(fields).get("Origin", "its origin")
    strict = " and cookie_samesite to None" if fields is FOREIGN else ""
    assert said.endswith(f"set trusted_origins to {origin}{strict}")


def test_only_once_there_are_cookies(door: str, log: pytest.LogCaptureFixture) -> None:
    """Where nobody has to be signed in, that is said only after somebody was given cookies."""
    signs_in = [False]
    through = Through(House(), lambda auth: sign_in(auth) if signs_in[0] else None)
    through.ask(door, Ask(fields=FOREIGN))
    assert told(log) == []
    signs_in[0] = True
    through.ask(door, Ask(method="POST"))
    signs_in[0] = False
    through.ask(door, Ask(fields=FOREIGN))
    assert ['credentials: "include"' in one for one in told(log)] == [True]


@pytest.mark.parametrize(
    "fields",
    [
        [("Origin", "https://testserver")],
        [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")],
        [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "cors")],
        [*FOREIGN, ("Cookie", "theme=dark")],
    ],
    ids=["own", "a link", "a page of ours", "with cookies"],
)
def test_no_script_of_another_origin(
    door: str, fields: Fields, log: pytest.LogCaptureFixture
) -> None:
    """Who is no script of another origin, or sends cookies, is told to sign in."""
    assert refused(door, Ask(fields=fields))[1] == "Sign in to use this resource."
    assert told(log) == []


def test_a_header_is_no_cookie(door: str, log: pytest.LogCaptureFixture) -> None:
    """An app that reads no cookies does not miss them."""
    settings = {"token_location": ["headers"]}
    assert refused(door, Ask(fields=FOREIGN), **settings)[1] == "Sign in to use this resource."


# ── Behind a proxy, and other sites ──────────────────────────────────────────────────

PROXIED = Ask(method="POST", host=BACKEND, fields=[("Origin", SHOP), HOST, cookie(access="x")])


def test_a_proxy_that_replaces_the_host(door: str, log: pytest.LogCaptureFixture) -> None:
    """Where the proxy says what Host it replaced, the refusal and the log say that it must not."""
    status, text = refused(door, PROXIED)
    assert status == 403
    assert text.endswith("replaced Host: let it pass Host on, as the browser sent it.")
    (said,) = told(log)
    assert said.startswith(f"its Origin is {SHOP}, and Host is {BACKEND}: if a proxy stands")
    assert "proxy_set_header Host $host;" in said


def test_a_sign_in_behind_a_proxy(door: str, log: pytest.LogCaptureFixture) -> None:
    """The first request to fail is the sign-in, and its refusal says the same."""
    through = Through(House(), sign_in)
    answer = through.ask(door, Ask(method="POST", host=BACKEND, fields=[("Origin", SHOP), HOST]))
    assert (answer.status, b"let it pass Host on" in answer.body) == (403, True)
    (said,) = told(log)
    assert said.startswith(f"its Origin is {SHOP}, and Host is {BACKEND}: if a proxy stands")


def test_a_forwarded_host_decides_nothing(door: str, log: pytest.LogCaptureFixture) -> None:
    """Another site that claims such a proxy is refused as before, and nothing of it is quoted."""
    fields = [("Origin", 'https://evil.example"\x1b'), ("Sec-Fetch-Site", "cross-site")]
    status, text = refused(door, Ask(method="POST", fields=[*fields, HOST, cookie(access="x")]))
    assert status == 403
    assert text.endswith("Sec-Fetch-Site: same-origin.")
    assert told(log) == ["another site caused it; if its origin is yours, set trusted_origins"]


def test_another_site(door: str, log: pytest.LogCaptureFixture) -> None:
    """Another site's request is named once: it may be one of ours that is not listed."""
    through = Through(House())
    for _ in range(2):
        through.ask(door, Ask(method="POST", fields=[*FOREIGN, cookie(access="x")]))
    assert told(log) == [f"another site caused it; if {SPA} is yours, set trusted_origins"]


@pytest.mark.parametrize("path", ["/refresh", "/logout"])
def test_the_endpoints(door: str, path: str, log: pytest.LogCaptureFixture) -> None:
    """The endpoints of the middleware's own find the same."""
    house = House(refresh_path="/refresh", logout_path="/logout")
    fields = [("Origin", SHOP), HOST, cookie(access="x")]
    answer = Through(house).ask(door, Ask(method="POST", path=path, host=BACKEND, fields=fields))
    assert answer.status == 403
    assert b"let it pass Host on" in answer.body
    assert len(told(log)) == 1


def test_a_refusal_that_escapes_the_app(door: str) -> None:
    """No framework makes a response of it: the door does, and it is the 403 it should be."""
    # S40
    house = House()
    answer = Through(house, sign_in).ask(door, Ask(method="POST", fields=FOREIGN))
    assert (answer.status, json.loads(answer.body)["error"]) == (403, "csrf_refused")
    assert answer.cookies == {}
    assert house.event_names == ["csrf_refused"]


def test_a_refusal_after_a_logout_escapes(door: str) -> None:
    """After a logout, which counts, no refusal takes the place of what the app does."""
    # S40
    house = House()
    pair = house.auth.issue("alice")

    def sign_out_and_in(auth: RequestAuth) -> None:
        auth.logout(cross_site=True)
        auth.login("mallory")

    fields = [cookie(access=pair.access_token), *FOREIGN]
    with pytest.raises(CrossSiteRequest):
        Through(house, sign_out_and_in).ask(door, Ask(method="POST", fields=fields))
    assert house.row(pair.session_id).revoked


# ── What it costs ────────────────────────────────────────────────────────────────────


def test_who_is_signed_in_is_not_looked_at(door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that is signed in, by a known token or a new one, is never looked at."""
    house = House()
    token = a_token()
    through = Through(house)
    monkeypatch.delattr(house.flow.parts.denials, "hints")
    for _ in range(2):
        fields = [cookie(access=token), ("Origin", "http://elsewhere.example")]
        through.ask(door, Ask(scheme="http", fields=fields))
    assert [auth.subject for auth in through.seen] == ["alice"] * 2


def test_other_processes_tell_for_themselves(door: str, log: pytest.LogCaptureFixture) -> None:
    """One warning for each cause in one process; another one begins anew."""
    house = House()
    for one in (house, house, house.other_process()):
        Through(one).ask(door, Ask(fields=[("Cookie", "access_token=x")]))
    assert len(told(log)) == 2


def test_a_login_page_is_shown_all_the_same(door: str, log: pytest.LogCaptureFixture) -> None:
    """Who is sent to the login page again and again has the reason in the log."""
    house = House(required=True, login_url="/login")
    ask = Ask(scheme="http", host="shop.example", fields=[BROWSER])
    assert Through(house).ask(door, ask).status == 303
    assert len(told(log)) == 1
