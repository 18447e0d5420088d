"""The answers given in the app's place: fixed text, and never a way to another site."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, unquote, urljoin, urlsplit

import pytest
from forging import make_settings
from hypothesis import given
from hypothesis import strategies as st
from stepping import make_request

from jwt_middleware.refusals import RETRY_AFTER, Refusal, refuse, to_login, unavailable
from jwt_middleware.request import Request

REASONS = (
    "missing",
    "expired",
    "invalid_token",
    "invalid_request",
    "duplicate_cookie",
    "unknown_session",
    "revoked",
    "reuse",
    "superseded",
    "csrf",
    "csrf_token_missing",
    "csrf_token_invalid",
    "store_unavailable",
    "logged_out",
)
EVIL = "<script>evil.example\r\nX: y"


def evil_request(method: str = "GET") -> Request:
    """A request whose every part would be worth echoing to an attacker."""
    return make_request(
        method,
        "/" + EVIL,
        cookies={"evil": EVIL},
        authorization=EVIL,
        refresh=EVIL,
        headers={"host": EVIL, "origin": EVIL, "accept": EVIL},
        mount=EVIL,
        query=EVIL,
    )


def fields(refusal: Refusal) -> dict[str, str]:
    found = dict(refusal.headers)
    assert len(found) == len(refusal.headers)
    return found


def members(refusal: Refusal) -> dict[str, Any]:
    return json.loads(refusal.body)


# ── 400, 401, 403, 503 ───────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("reason", "status", "error", "challenge"),
    [
        ("missing", 401, "unauthorized", "Bearer"),
        ("expired", 401, "invalid_token", 'Bearer error="invalid_token"'),
        ("invalid_token", 401, "invalid_token", 'Bearer error="invalid_token"'),
        ("duplicate_cookie", 401, "invalid_token", 'Bearer error="invalid_token"'),
        ("unknown_session", 401, "invalid_token", 'Bearer error="invalid_token"'),
        ("revoked", 401, "invalid_token", 'Bearer error="invalid_token"'),
        ("reuse", 401, "invalid_token", 'Bearer error="invalid_token"'),
        ("superseded", 401, "invalid_token", 'Bearer error="invalid_token"'),
        ("logged_out", 401, "invalid_token", 'Bearer error="invalid_token"'),
        ("invalid_request", 400, "invalid_request", 'Bearer error="invalid_request"'),
        ("csrf", 403, "csrf_refused", None),
        ("csrf_token_missing", 403, "csrf_refused", None),
        ("csrf_token_invalid", 403, "csrf_refused", None),
        ("store_unavailable", 503, "temporarily_unavailable", None),
    ],
)
def test_each_reason_has_its_answer(
    reason: str, status: int, error: str, challenge: str | None
) -> None:
    """Each reason is answered in the terms of RFC 6750, and in JSON."""  # S33
    refusal = refuse(reason, make_request())
    assert refusal.status == status
    assert members(refusal)["error"] == error
    field = fields(refusal).get("WWW-Authenticate")
    if challenge is None or challenge == "Bearer":
        assert field == challenge
    else:
        assert field == f'{challenge}, error_description="{members(refusal)["error_description"]}"'


def test_nothing_presented_names_no_error() -> None:
    """Who presented nothing has made no error that could be named."""  # S33
    assert fields(refuse("missing", make_request()))["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("reason", ["store_unavailable", "not_stored"])
def test_unavailable(reason: str) -> None:
    """An outage says when to come back, and that nothing is lost."""  # S45
    refusal = unavailable(reason, make_request("POST"))
    assert (refusal.status, refusal.status_line) == (503, "503 Service Unavailable")
    assert fields(refusal)["Retry-After"] == str(RETRY_AFTER) == "2"
    assert "WWW-Authenticate" not in fields(refusal)
    assert "try again" in members(refusal)["error_description"].lower()


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("missing", "401 Unauthorized"),
        ("invalid_request", "400 Bad Request"),
        ("csrf", "403 Forbidden"),
    ],
)
def test_status_lines(reason: str, line: str) -> None:
    """A status comes with its phrase."""
    assert refuse(reason, make_request()).status_line == line


@pytest.mark.parametrize("reason", [*REASONS, "not_stored", EVIL])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_fixed_text(reason: str, method: str) -> None:
    """An answer is the same fixed ASCII whatever the request said, and cannot be stored."""  # S34
    given_, plain = evil_request(method), make_request(method)
    for refusal in (refuse(reason, given_), unavailable(reason, given_)):
        said = [text for field in refusal.headers for text in field]
        assert all(text.isascii() and text.isprintable() for text in said)
        assert refusal.body.isascii()
        assert b"evil" not in refusal.body
        assert "evil" not in str(refusal.headers)
        assert fields(refusal)["Cache-Control"] == "no-store"
        assert fields(refusal)["Content-Type"] == "application/json"
    assert refuse(reason, given_) == refuse(reason, plain)
    assert unavailable(reason, given_) == unavailable(reason, plain)


@pytest.mark.parametrize("reason", [*REASONS, "unheard of"])
def test_challenges_can_be_parsed(reason: str) -> None:
    """No description breaks out of the quotes it stands in (RFC 6750 section 3)."""  # S34
    challenge = fields(refuse(reason, make_request())).get("WWW-Authenticate", "Bearer")
    assert challenge.count('"') in (0, 4)
    assert "\\" not in challenge


@pytest.mark.parametrize("reason", REASONS)
def test_head_has_no_body(reason: str) -> None:
    """HEAD is answered like GET, without the body, whose length is told all the same."""  # S34
    head, get = (refuse(reason, make_request(method)) for method in ("HEAD", "GET"))
    assert head.body == b""
    assert head.headers == get.headers
    assert fields(get)["Content-Length"] == str(len(get.body))


# ── 303 to the login page ────────────────────────────────────────────────────────


def destination(refusal: Refusal) -> str:
    """Where the login page would send people back to."""
    found = dict(parse_qsl(urlsplit(fields(refusal)["Location"]).query))
    return found["next"]


def login_from(path: str, query: str = "", mount: str = "", login_url: str = "/login") -> Refusal:
    return to_login(login_url, make_request("GET", path, mount=mount, query=query))


def test_a_redirect_to_sign_in() -> None:
    """A browser is sent to the login page, which learns where to go back to."""
    refusal = login_from("/orders", "page=2&sort=a b", mount="/shop")
    assert refusal.status_line == "303 See Other"
    assert fields(refusal)["Location"].startswith("/login?next=")
    assert destination(refusal) == "/shop/orders?page=2&sort=a b"
    assert fields(refusal)["Cache-Control"] == "no-store"
    assert fields(refusal)["Content-Length"] == str(len(refusal.body))
    assert refusal.body.isascii()


@pytest.mark.parametrize(
    ("login_url", "start"),
    [
        ("/login", "/login?next=%2Fx"),
        ("/login?tenant=a", "/login?tenant=a&next=%2Fx"),
        ("https://id.example/sign-in", "https://id.example/sign-in?next=%2Fx"),
        ("https://id.example/?a=b", "https://id.example/?a=b&next=%2Fx"),
    ],
)
def test_login_urls(login_url: str, start: str) -> None:
    """The way back joins whatever query the login page's address has."""
    assert make_settings(required=True, login_url=login_url).login_url == login_url
    assert fields(login_from("/x", login_url=login_url))["Location"] == start


def test_a_login_url_with_a_fragment() -> None:
    """A fragment stays at the end, where the server's part of the address is over."""
    location = fields(login_from("/x", login_url="/login#form"))["Location"]
    assert urlsplit(location).query == "next=%2Fx"


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "\\\\evil.example",
        "/\\/evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "\t//evil.example",
        "/ /evil.example",
        "//evil.example\\@x",
        "/%2f/evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "",
        "/",
        "evil.example",
        "@evil.example",
        ":80",
        "/a\r\nLocation: https://evil.example",
        "/a\r\n\r\n<script>",
        "/ü/€/😀",
        "/\x00",
        "/?next=//evil.example",
        "/#//evil.example",
        "/a?b#c",
    ],
)
@pytest.mark.parametrize("mount", ["", "/", "//evil.example", "/\\evil.example", "/shop"])
def test_never_to_another_host(path: str, mount: str) -> None:
    """Whatever path is asked for, the way back is a path on this host, in plain ASCII."""  # S34
    refusal = login_from(path, "q=1", mount=mount)
    check_local(refusal)


def check_local(refusal: Refusal) -> None:
    """The next parameter stays on this host, as browsers read it and as servers do."""
    location = fields(refusal)["Location"]
    assert location.isascii()
    assert location.isprintable()
    assert location.startswith("/login?next=%2F")
    back = destination(refusal)
    assert back.startswith("/")
    # Browsers drop tabs and newlines, and read a backslash as a slash.
    as_read = back.translate({9: None, 10: None, 13: None}).replace("\\", "/").strip()
    assert not as_read.startswith("//")
    assert urlsplit(urljoin("https://here.example/x", as_read)).netloc == "here.example"


@given(
    path=st.text(st.sampled_from("/\\.:@?#%\t\r\n aé") | st.characters(), max_size=12),
    query=st.text(st.characters(codec="latin-1"), max_size=12),
    mount=st.sampled_from(["", "/", "/a", "/\\", "//x"]),
)
def test_any_path_stays_here(path: str, query: str, mount: str) -> None:
    """No path, query and mount together lead elsewhere, or break the header."""  # S34
    check_local(login_from(path, query, mount))


@given(st.text(st.characters(codec="utf-8"), max_size=12), st.text(max_size=12))
def test_the_way_back_is_where_they_were(path: str, query: str) -> None:
    """After signing in people are back where they were, with their query."""
    back = destination(login_from("/x" + path, query))
    came, _, asked = back.partition("?")
    assert unquote(came) == "/x" + path
    assert asked == query


def test_half_a_surrogate_pair_in_a_path() -> None:
    """A path that was decoded with surrogateescape is redirected without an exception."""  # S14
    check_local(login_from("/caf\udce9"))
