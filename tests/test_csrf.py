"""Whether another site caused a request: every row of the origin policy."""

from __future__ import annotations

from typing import Any

import pytest
from forging import make_settings
from stepping import make_request

from jwt_middleware.csrf import CsrfPolicy, OriginPolicy, host_replaced
from jwt_middleware.csrf_tokens import VISITOR

HOST = "app.example"
OURS = f"https://{HOST}"
EVIL = "https://evil.example"
UNSAFE = ("POST", "PUT", "PATCH", "DELETE", "PROPFIND", "post", "get", "")
SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")


def refuses(
    method: str = "POST",
    path: str = "/",
    *,
    origin: str | None = None,
    site: str | None = None,
    host: str | None = HOST,
    websocket: bool = False,
    **settings: Any,
) -> bool:
    """The verdict on a request with these headers."""
    named = {"origin": origin, "sec-fetch-site": site, "host": host}
    headers = {name: value for name, value in named.items() if value is not None}
    request = make_request(method, path, headers=headers, websocket=websocket)
    return OriginPolicy(make_settings(**settings)).refuses(request)


# ── Who is judged ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", SAFE)
def test_safe_methods_pass(method: str) -> None:
    """A method that changes nothing passes, wherever it comes from."""  # S40
    assert not refuses(method, origin=EVIL, site="cross-site")


@pytest.mark.parametrize("method", UNSAFE)
def test_other_methods_are_judged(method: str) -> None:
    """Any other method is judged, and methods are case-sensitive."""  # S40
    assert refuses(method, origin=EVIL, site="cross-site")
    assert not refuses(method, origin=OURS, site="same-origin")


def test_websocket_handshakes_are_judged() -> None:
    """A WebSocket handshake is a GET, but it is judged like a POST."""  # S40
    assert refuses("GET", websocket=True, origin=EVIL)
    assert refuses("GET", websocket=True, site="cross-site")
    assert not refuses("GET", websocket=True, origin=OURS)
    assert not refuses("GET", websocket=True)


def test_the_policy_can_be_switched_off() -> None:
    """Where the app has its own protection, nothing is refused."""
    assert not refuses(origin=EVIL, site="cross-site", csrf="off")


# ── The rows, in their order ─────────────────────────────────────────────────────


@pytest.mark.parametrize("site", ["cross-site", "same-site", None])
def test_a_trusted_origin_passes(site: str | None) -> None:
    """A trusted origin passes, whatever else the browser says."""  # S40
    trusted = ["https://partner.example", "http://dev.example:3000"]
    for origin in (*trusted, "HTTPS://Partner.Example"):
        assert not refuses(origin=origin, site=site, trusted_origins=trusted)


@pytest.mark.parametrize(
    "origin",
    [
        "https://partner.example.evil.example",
        "https://evil-partner.example",
        "https://partner.example:8443",
        "http://partner.example",
        "https://partner.example/",
        "https://sub.partner.example",
        "https://partner.exampl",
        " https://partner.example",
        "https://partner.example https://evil.example",
        "https://user@partner.example",
        "partner.example",
        "null",
        "",
    ],
)
def test_a_trusted_origin_is_exact(origin: str) -> None:
    """Another scheme, port or host than the trusted one is another origin."""  # S40
    assert refuses(origin=origin, site="cross-site", trusted_origins=["https://partner.example"])
    assert refuses(origin=origin, trusted_origins=["https://partner.example"])


@pytest.mark.parametrize("site", ["same-origin", "none"])
@pytest.mark.parametrize("origin", [OURS, EVIL, "null", None])
def test_the_browser_says_same_origin(site: str, origin: str | None) -> None:
    """A browser that has compared the origins itself is believed."""  # S40
    assert not refuses(site=site, origin=origin)


@pytest.mark.parametrize(
    "site", ["cross-site", "same-site", "", "unknown", "Same-Origin", "same-origin, none", "null"]
)
@pytest.mark.parametrize("origin", [OURS, None])
def test_the_browser_says_otherwise(site: str, origin: str | None) -> None:
    """Any other word of the browser refuses, even beside an Origin of this host."""  # S40
    assert refuses(site=site, origin=origin)


@pytest.mark.parametrize(
    ("origin", "host", "refused"),
    [
        (OURS, HOST, False),
        ("https://APP.example", "app.EXAMPLE", False),
        ("http://app.example", HOST, False),  # TLS ends at a proxy
        ("https://app.example", "app.example:443", False),
        ("https://app.example:443", "app.example", False),
        ("http://app.example:80", "app.example", False),
        ("http://app.example", "app.example:80", False),
        ("https://app.example:8443", "app.example:8443", False),
        ("http://localhost:8000", "localhost:8000", False),
        ("http://[::1]:8000", "[::1]:8000", False),
        ("https://[::1]", "[::1]:443", False),
        (EVIL, HOST, True),
        ("https://app.example", "app.example:80", True),
        ("http://app.example", "app.example:443", True),
        ("https://app.example:80", "app.example", True),
        ("https://app.example:8443", "app.example", True),
        ("https://app.example", "app.example:8443", True),
        ("https://app.example:8443", "app.example:8444", True),
        ("https://app.example.evil.example", HOST, True),
        ("https://evilapp.example", HOST, True),
        ("https://sub.app.example", HOST, True),
        ("https://app.example/", HOST, True),
        ("https://app.example?", HOST, True),
        ("https://evil.example@app.example", HOST, True),
        ("https://app.example, https://evil.example", HOST, True),
        ("ftp://app.example", HOST, True),
        ("chrome-extension://app.example", HOST, True),
        ("file://", HOST, True),
        ("https://", HOST, True),
        ("https:app.example", HOST, True),
        ("//app.example", HOST, True),
        ("app.example", HOST, True),
        ("null", HOST, True),
        ("null", "null", True),
        ("NULL", HOST, True),
        ("", HOST, True),
        ("", "", True),
        ("https://", "", True),
        ("https://:443", "", True),
        ("https://:443", ":443", True),
    ],
)
def test_an_old_browser_names_an_origin(origin: str, host: str, refused: bool) -> None:
    """Without Sec-Fetch-Site, host and port of the Origin are held against Host."""  # S40
    assert refuses(origin=origin, host=host) is refused


@pytest.mark.parametrize("origin", [OURS, EVIL, "null", ""])
def test_an_origin_without_host(origin: str) -> None:
    """An HTTP/1.0 request with an Origin and no Host names nobody it could agree with."""  # S40
    assert refuses(origin=origin, host=None)


@pytest.mark.parametrize("name", ["x-forwarded-host", "x-forwarded-server", "forwarded", "x-host"])
def test_no_other_header_names_the_host(name: str) -> None:
    """What a proxy may or may not have said of the host is not asked."""  # S28
    headers = {"origin": EVIL, "host": HOST, name: "evil.example"}
    assert OriginPolicy(make_settings()).refuses(make_request("POST", headers=headers))


@pytest.mark.parametrize("host", [HOST, None])
def test_neither_header(host: str | None) -> None:
    """A client that sends neither header is no browser."""  # S40
    assert not refuses(host=host)


# ── Exempt paths ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        ("/hooks", False),
        ("/hooks/", False),
        ("/hooks/github", False),
        ("/hooksy", True),
        ("/Hooks", True),
        ("/", True),
        ("/api/hooks", True),
        ("/hooks/../api", True),
        ("/hooks//api", True),
    ],
)
def test_exempt_paths(path: str, refused: bool) -> None:
    """Exempt paths are whole segments, and nothing that could be read otherwise."""  # S30, S40
    settings: dict[str, Any] = {"csrf_exempt_paths": ["/hooks"]}
    assert refuses(path=path, origin=EVIL, site="cross-site", **settings) is refused


# ── The policy of both halves ────────────────────────────────────────────────────


def test_each_reason_is_explained() -> None:
    """Every reason of a fault has its text, and no other reason has one."""
    policy = CsrfPolicy(make_settings())
    assert policy.explain("csrf", make_request()) is not None
    assert policy.explain("csrf_token_missing", make_request()) is not None
    assert policy.explain("csrf_token_invalid", make_request()) is not None
    assert policy.explain("expired", make_request()) is None


@pytest.mark.parametrize(
    ("origin", "asked", "replaced"),
    [
        (OURS, HOST, True),
        (OURS, f" {HOST} , inner.example", True),
        (OURS, f"inner.example, {HOST}", False),
        (EVIL, HOST, False),
        (OURS, None, False),
        (None, HOST, False),
        (None, None, False),
    ],
)
def test_a_replaced_host_is_told(origin: str | None, asked: str | None, replaced: bool) -> None:
    """Where a proxy says that the browser asked for the very Host its origin names, the refusal
    tells that Host was replaced on the way; for another reason it does not."""  # S40
    named = {"origin": origin, "x-forwarded-host": asked, "host": "inner:8000"}
    headers = {name: value for name, value in named.items() if value is not None}
    request = make_request("POST", headers=headers)
    policy = CsrfPolicy(make_settings(csrf="double-submit"))
    assert host_replaced(request) is replaced
    plain = policy.explain("csrf", make_request("POST"))
    assert (policy.explain("csrf", request) != plain) is replaced
    missing = policy.explain("csrf_token_missing", make_request("POST"))
    assert policy.explain("csrf_token_missing", request) == missing


def test_a_form_is_awaited_where_there_is_a_body_to_look_at() -> None:
    """A body nobody can look at is not waited for, and none is where no token is asked for."""
    # S40
    form = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
    request = make_request("POST", headers=form)
    policy = CsrfPolicy(make_settings(csrf="double-submit"))
    assert not policy.awaits_form(request, "a-session")
    request.peek = lambda: (b"", True)
    assert policy.awaits_form(request, "a-session")
    assert not policy.awaits_form(request, VISITOR)  # whose token would be in a cookie
    assert not CsrfPolicy(make_settings()).awaits_form(request, "a-session")


def test_a_token_of_no_text_is_no_visitors() -> None:
    """A lone surrogate in a token is compared as all else is, and raises nothing."""  # S8, S14
    policy = CsrfPolicy(make_settings(csrf="double-submit"))
    cookies = {"__Host-csrf_token": policy.make(VISITOR) or ""}
    headers = {"sec-fetch-site": "same-origin", "x-csrf-token": "\udcff"}
    request = make_request("POST", cookies=cookies, headers=headers)
    assert policy.fault(request, VISITOR) == "csrf_token_invalid"
