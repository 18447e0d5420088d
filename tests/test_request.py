"""What both doors make of a request, and the paths that rules are about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepping import make_request

from jwt_middleware.request import SAFE_METHODS, PathRules, Request


def at(path: str, raw_path: str | None = None) -> Request:
    return make_request(path=path, raw_path=raw_path)


# ── Path rules ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("rule", ["/public", "/public/"])
@pytest.mark.parametrize(
    ("path", "matches"),
    [
        ("/public", True),
        ("/public/", True),
        ("/public/x", True),
        ("/public/x/y/", True),
        ("/public/..x", True),
        ("/public/...", True),
        ("/public/x.y", True),
        ("/public/ü", True),
        ("/publicity", False),
        ("/public.html", False),
        ("/public;x", False),
        ("/public\0", False),
        ("/public/\0", False),
        ("/public ", False),
        ("/PUBLIC", False),
        ("/", False),
        ("", False),
        ("public", False),
        ("/x/public", False),
        ("//public", False),
        ("/public//", False),
        ("/public//x", False),
        ("/public/../admin", False),
        ("/public/..", False),
        ("/public/.", False),
        ("/public/./x", False),
        ("/x/../public", False),
        ("/./public", False),
        ("/public\\x", False),
        ("/public/\\..\\admin", False),
        ("\\public", False),
        ("/public/a;b", True),
        ("/public/..;/admin", False),
        ("/public/.;b", False),
        ("/public/@@admin", False),
        ("/public\n", False),
        ("/public/\x7f", False),
        ("/public/\ufffd", False),
        ("/x/@public", False),
    ],
)
def test_a_rule(rule: str, path: str, matches: bool) -> None:
    """A rule is a path and what is below it, in whole segments that mean what they say."""  # S30
    assert PathRules([rule]).match(at(path)) is matches


@pytest.mark.parametrize(
    ("path", "matches"), [("/", True), ("", True), ("/x", False), ("//", False), ("/.", False)]
)
def test_the_rule_for_the_root(path: str, matches: bool) -> None:
    """A rule for the root is about the root alone, not about everything."""  # S30
    assert PathRules(["/"]).match(at(path)) is matches


def test_one_of_several_rules() -> None:
    """One rule that matches is enough, and no rule matches nothing."""
    rules = PathRules(["/a", "/b/c"])
    matching = [path for path in ("/a", "/b", "/b/c", "/b/c/d", "/c") if rules.match(at(path))]
    assert matching == ["/a", "/b/c", "/b/c/d"]
    assert not PathRules([]).match(at("/"))


@pytest.mark.parametrize(
    "raw",
    [
        "/public%2fx",
        "/public%2Fx",
        "/public/%2e%2e/admin",
        "/public/%2E./admin",
        "/admin/%2e%2e/public/x",
        "/public%5cx",
        "/public%5C..%5cadmin",
        "/public/%00",
        "/public/%252e",
        "/public/x%252Fy",
        "/public%2fx?a=b",
    ],
)
def test_what_hides_a_separator_matches_nothing(raw: str) -> None:
    """A path sent with an encoded separator, dot, NUL or percent sign matches no rule."""  # S30
    assert not PathRules(["/public"]).match(at("/public/x", raw))


@pytest.mark.parametrize("raw", ["/public/x", "/%70ublic/x", "/public/x?next=%2F..%2F", None, ""])
def test_other_encodings_are_harmless(raw: str | None) -> None:
    """Letters may be encoded, and the query may hold what it likes."""  # S30
    assert PathRules(["/public"]).match(at("/public/x", raw))


@given(st.text(st.sampled_from("/.\\ab%"), max_size=12))
def test_no_path_that_could_be_resolved_elsewhere(path: str) -> None:
    """A path that matches stays below its rule, however dots and slashes are resolved."""  # S30
    if not PathRules(["/a"]).match(at(path)):
        return
    resolved: list[str] = []
    for segment in path.replace("\\", "/").split("/"):
        if segment == "..":
            resolved = resolved[:-1]
        elif segment not in ("", "."):
            resolved.append(segment)
    assert resolved[0] == "a"
    assert path.rstrip("/") == "/" + "/".join(resolved)


# ── What a request says of itself ────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
def test_safe_methods(method: str) -> None:
    """The safe methods of RFC 9110 change nothing, unless they open a WebSocket."""  # S40
    assert not make_request(method).unsafe
    assert make_request(method, websocket=True).unsafe
    assert method in SAFE_METHODS


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "get", "QUERY", ""]
)
def test_unsafe_methods(method: str) -> None:
    """Every other method may change something."""  # S40
    assert make_request(method).unsafe


@pytest.mark.parametrize(
    ("method", "headers", "has_body"),
    [
        ("POST", {"content-length": "5"}, True),
        ("GET", {"content-length": "5"}, True),
        ("POST", {"content-length": "0"}, False),
        ("POST", {"transfer-encoding": "chunked"}, True),
        ("GET", {"transfer-encoding": "chunked"}, True),
        ("POST", {}, True),
        ("PUT", {}, True),
        ("PATCH", {}, True),
        ("GET", {}, False),
        ("DELETE", {}, False),
        ("GET", {"content-length": ""}, False),
        ("GET", {"content-length": "", "transfer-encoding": ""}, False),
    ],
)
def test_bodies(method: str, headers: dict[str, str], has_body: bool) -> None:
    """A body is announced by its length or its coding; HTTP/2 need not announce it at all."""
    assert make_request(method, headers=headers).has_body is has_body


@pytest.mark.parametrize("extra", [{}, {"transfer-encoding": "chunked"}], ids=["plain", "chunked"])
def test_an_empty_length_is_none(extra: dict[str, str]) -> None:
    """A server may leave the length empty (PEP 3333); that says as much as leaving it out."""
    assert make_request("POST", headers={"content-length": "", **extra}).has_body


@pytest.mark.parametrize(
    ("method", "headers", "preflight"),
    [
        ("OPTIONS", {"origin": "x", "access-control-request-method": "PUT"}, True),
        ("OPTIONS", {"origin": "", "access-control-request-method": ""}, True),
        ("OPTIONS", {"origin": "x"}, False),
        ("OPTIONS", {"access-control-request-method": "PUT"}, False),
        ("OPTIONS", {}, False),
        ("GET", {"origin": "x", "access-control-request-method": "PUT"}, False),
        ("POST", {"origin": "x", "access-control-request-method": "PUT"}, False),
    ],
)
def test_preflights(method: str, headers: dict[str, str], preflight: bool) -> None:
    """A CORS preflight is an OPTIONS that names an origin and a method."""  # S35
    assert make_request(method, headers=headers).preflight is preflight


HTML = "text/html,application/xhtml+xml;q=0.9"


@pytest.mark.parametrize(
    ("method", "headers", "navigation"),
    [
        ("GET", {"accept": HTML, "sec-fetch-mode": "navigate"}, True),
        ("GET", {"accept": HTML}, True),
        ("GET", {"accept": HTML, "sec-fetch-mode": "cors"}, False),
        ("GET", {"accept": HTML, "sec-fetch-mode": "no-cors"}, False),
        ("GET", {"accept": "application/json", "sec-fetch-mode": "navigate"}, False),
        ("GET", {"accept": "*/*"}, False),
        ("GET", {}, False),
        ("HEAD", {"accept": HTML}, False),
        ("POST", {"accept": HTML, "sec-fetch-mode": "navigate"}, False),
    ],
)
def test_navigations(method: str, headers: dict[str, str], navigation: bool) -> None:
    """A navigation is a GET of a browser that loads a page."""
    assert make_request(method, headers=headers).navigation is navigation
