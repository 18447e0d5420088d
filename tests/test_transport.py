"""How tokens travel: found where they count and nowhere else, sent the way they came."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest
from forging import make_settings
from hypothesis import given
from hypothesis import strategies as st
from stepping import make_request
from werkzeug.http import dump_cookie
from werkzeug.sansio.http import parse_cookie

from jwt_middleware.errors import DuplicateCookie, InvalidRequest, TokenTooLarge
from jwt_middleware.request import Request
from jwt_middleware.transport import (
    COOKIE_LIMIT,
    MAX_SIGHTINGS,
    MAX_VARIANTS,
    NOTHING,
    Additions,
    Channel,
    Presented,
    Transport,
    cookie_name,
    find_cookie,
    merge_list,
)

ACCESS, REFRESH = "__Host-access_token", "__Host-refresh_token"


def make_transport(**settings: Any) -> Transport:
    return Transport(make_settings(**settings))


def request_with(cookie: str | None = None, **more: Any) -> Request:
    """A request with this very Cookie field."""
    request = make_request(**more)
    request.cookie = cookie
    return request


def located(cookie: str | None = None, authorization: str | None = None, **more: Any) -> Presented:
    """What is found with the default settings."""
    settings = more.pop("settings", {})
    request = request_with(cookie, authorization=authorization, **more)
    return make_transport(**settings).locate(request)


def attributes(field: str) -> dict[str, str | None]:
    """A Set-Cookie field as its parts; the first is the cookie itself."""
    parts = [part.partition("=") for part in field.split("; ")]
    return {name: value if separator else None for name, separator, value in parts}


def places(fields: Iterable[tuple[str, str]]) -> set[tuple[str, str | None, str | None]]:
    """Name, Domain and Path of every cookie these fields expire."""
    found: set[tuple[str, str | None, str | None]] = set()
    for _, field in fields:
        parts = attributes(field)
        assert parts["Max-Age"] == "0"
        found.add((next(iter(parts)), parts.get("Domain"), parts.get("Path")))
    return found


# ── The Authorization field ──────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "field",
    [
        "Bearer a.b.c",
        "bearer a.b.c",
        "BEARER a.b.c",
        "bEaReR a.b.c",
        "Bearer   a.b.c",
        " Bearer a.b.c",
        "Bearer a.b.c ",
        "\tBearer a.b.c\t",
    ],
)
def test_bearer(field: str) -> None:
    """The scheme counts in any case, with one space or more."""  # S22
    assert located(authorization=field) == Presented(Channel.HEADERS, "a.b.c", None)


@pytest.mark.parametrize("token", ["AZaz09", "-._~+/", "a=", "a==", "a.b.c="])
def test_token68(token: str) -> None:
    """Whatever is token68 is handed on as it is."""  # S22
    assert located(authorization=f"Bearer {token}").access == token


@pytest.mark.parametrize(
    "field",
    [
        "Bearer",
        "Bearer ",
        "bearer",
        "Bearer\ta.b.c",
        "Bearer a b",
        "Bearer a,b",
        "Bearer a, Bearer b",
        "Bearer a,Bearer b",
        "Bearer a, Basic b",
        "Basic b, Bearer a",
        "Basic b,Bearer a",
        "Basic b,\tbearer a",
        "Basic b, Bearer",
        "Bearer,",
        "Bearer, Bearer",
        ", Bearer a",
        "Bearer a,",
        "Bearer =a",
        "Bearer a=b",
        'Bearer "a"',
        "Bearer a;b",
        "Bearer a\0",
        "Bearer a\nb",
        "Bearer é",
        "Bearer \xa0a",
        "Bearer a\xa0",
        'Bearer token="a"',
    ],
)
def test_malformed_or_ambiguous(field: str) -> None:
    """Two fields, a list, or anything but token68 after our scheme is a bad request."""  # S22, S23
    presented = located(f"{ACCESS}=cookie; {REFRESH}=cookie", field, refresh="r")
    assert isinstance(presented.fault, InvalidRequest)
    assert presented == Presented(Channel.HEADERS, fault=presented.fault)
    assert presented.fault.reason == "invalid_request"
    assert field.strip() not in str(presented.fault) or field.strip() == "Bearer"


@pytest.mark.parametrize(
    "field",
    [
        "Basic dXNlcjpwYXNz",
        "Digest username=x, realm=y",
        "Negotiate abc",
        "BearerX a",
        "Bearer\n",
        "Bearer-a.b.c",
        "Bearera.b.c",
        "XBearer a",
        "DPoP a.b.c",
        "a.b.c",
        "",
        " ",
        "Basic a Bearer b",
        "\u212aearer a",
    ],
)
def test_another_scheme_is_not_ours(field: str) -> None:
    """A scheme that is not ours leaves the cookie to count."""  # S23
    assert located(f"{ACCESS}=a; {REFRESH}=r", field) == Presented(Channel.COOKIES, "a", "r")
    assert located(authorization=field) == Presented(None)


def test_another_header_type() -> None:
    """A scheme of one's own is as strict, and Bearer is then not ours."""  # S22
    settings = {"header_type": "J.W+T"}
    assert located(authorization="j.w+t a.b.c", settings=settings).access == "a.b.c"
    assert located(authorization="JxW+T a.b.c", settings=settings).channel is None
    assert located(authorization="Bearer a.b.c", settings=settings).channel is None
    assert located(authorization="J.W+T a,b", settings=settings).fault is not None


@pytest.mark.parametrize("field", ["a.b.c", " a.b.c ", "a.b.c=="])
def test_a_bare_token(field: str) -> None:
    """Without a scheme the field is the token."""  # S22
    presented = located(f"{ACCESS}=x", field, settings={"header_type": ""})
    assert presented == Presented(Channel.HEADERS, field.strip(), None)


@pytest.mark.parametrize("field", ["Basic dXNlcjpwYXNz", "Digest username=x", ""])
def test_another_scheme_than_none(field: str) -> None:
    """Without a scheme of ours, a field that names one is not ours."""  # S23
    presented = located(f"{ACCESS}=x", field, settings={"header_type": ""})
    assert presented == Presented(Channel.COOKIES, "x", None)


@pytest.mark.parametrize(
    "field",
    ["a.b.c,d.e.f", "a.b.c, d.e.f", "a.b.c ,d.e.f", "a.b.c,", ",a.b.c", "a.b!.c", '"a.b.c"'],
)
def test_bare_tokens_are_no_less_strict(field: str) -> None:
    """Two bare tokens, or a broken one, never leave the cookie to count."""  # S22, S23
    presented = located(f"{ACCESS}=x", field, settings={"header_type": ""})
    assert isinstance(presented.fault, InvalidRequest)


# ── One channel a request ────────────────────────────────────────────────────────

BOTH = {"cookie": f"{ACCESS}=ca; {REFRESH}=cr"}


@pytest.mark.parametrize(
    ("order", "authorization", "refresh", "cookie", "expected"),
    [
        ("headers,cookies", "Bearer h", "hr", "both", (Channel.HEADERS, "h", "hr")),
        ("headers,cookies", "Bearer h", None, "both", (Channel.HEADERS, "h", None)),
        ("headers,cookies", None, "hr", "both", (Channel.HEADERS, None, "hr")),
        ("headers,cookies", "Basic x", "hr", "both", (Channel.HEADERS, None, "hr")),
        ("headers,cookies", None, None, "both", (Channel.COOKIES, "ca", "cr")),
        ("headers,cookies", None, "", "both", (Channel.COOKIES, "ca", "cr")),
        ("cookies,headers", "Bearer h", "hr", "both", (Channel.COOKIES, "ca", "cr")),
        ("cookies,headers", "Bearer h", "hr", f"{REFRESH}=cr", (Channel.COOKIES, None, "cr")),
        ("cookies,headers", "Bearer h", "hr", f"{ACCESS}=ca", (Channel.COOKIES, "ca", None)),
        ("cookies,headers", "Bearer h", "hr", f"{ACCESS}=; x=y", (Channel.HEADERS, "h", "hr")),
        ("cookies,headers", "Bearer h", "hr", None, (Channel.HEADERS, "h", "hr")),
        ("cookies,headers", "Bearer h", "hr", "", (Channel.HEADERS, "h", "hr")),
        ("headers", None, None, "both", (None, None, None)),
        ("headers", "Bearer h", None, "both", (Channel.HEADERS, "h", None)),
        ("cookies", "Bearer h", "hr", None, (None, None, None)),
        ("cookies", "Bearer h", "hr", "both", (Channel.COOKIES, "ca", "cr")),
        ("headers,cookies", None, None, None, (None, None, None)),
    ],
)
def test_the_first_location_that_holds_any(
    order: str, authorization: str | None, refresh: str | None, cookie: str | None, expected: Any
) -> None:
    """The first location with a token of ours is the channel, and the other is not seen."""  # S23
    field = BOTH["cookie"] if cookie == "both" else cookie
    settings = {"token_location": order.split(",")}
    presented = located(field, authorization, refresh=refresh, settings=settings)
    assert presented == Presented(*expected)


def test_a_broken_token_does_not_fall_through() -> None:
    """A token that will not verify is still the one that counts."""  # S23
    presented = located(f"{ACCESS}=good", "Bearer broken")
    assert presented == Presented(Channel.HEADERS, "broken", None)


def test_never_from_the_query() -> None:
    """A token in the query is none."""  # S24
    for websocket in (False, True):
        request = make_request(query="access_token=a.b.c&token=a.b.c", websocket=websocket)
        assert make_transport().locate(request) == Presented(None)


def test_a_login_without_tokens() -> None:
    """A login that came without tokens is answered with cookies, where there are any."""
    assert make_transport().default_channel is Channel.COOKIES
    assert make_transport(token_location=["headers"]).default_channel is Channel.HEADERS
    assert make_transport().uses_cookies
    assert not make_transport(token_location=["headers"]).uses_cookies


# ── Cookies ──────────────────────────────────────────────────────────────────────


def reference(field: str, name: str) -> str | None:
    """RFC 6265 section 5.4 read backwards, as plainly as it can be written."""
    values: set[str] = set()
    for pair in field.split(";"):
        before, equals, after = pair.partition("=")
        if equals and before.strip(" \t") == name:
            values.add(after.strip(" \t"))
    if len(values) > 1:
        raise DuplicateCookie
    return values.pop() or None if values else None


def outcome(field: str, name: str, find: Any) -> object:
    try:
        return find(field, name)
    except DuplicateCookie:
        return DuplicateCookie


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("t=v", "v"),
        ("t=v;", "v"),
        ("a=b; t=v; c=d", "v"),
        ("a=b;t=v;c=d", "v"),
        (" \t t=v \t ", "v"),
        ("a=b; \t t \t = \t v \t ;c=d", "v"),
        (";;;t=v;;;", "v"),
        ("t=v=w==", "v=w=="),
        ('t="v"', '"v"'),
        ('t="v;w"', '"v'),
        ("t=%76", "%76"),
        ('t="\\166"', '"\\166"'),
        ("t=v\xa0", "v\xa0"),
        ("t=\x85v\x0b", "\x85v\x0b"),
        ("t=\xff\xfe", "\xff\xfe"),
        ("\xff\xfe=\x80; t=v", "v"),
        ("t=v w", "v w"),
        ("t=", None),
        ("t", None),
        ("t;t", None),
        ("t ;t=v", "v"),
        ("", None),
        ("T=v", None),
        ("xt=v", None),
        ("tx=v", None),
        ("t x=v", None),
        ("x t=v", None),
        ("\xa0t=v", None),
        ("\x0bt=v", None),
        ("\nt=v", None),
        ("t\xa0=v", None),
        ("=t=v", None),  # CVE-2023-23934
        ("==t=v", None),
        (" =t=v", None),
        ("=;t=v", "v"),
        ("a=t=v", None),
        ("a=t", None),
        ("a=b t=v", None),
        ("a=b,t=v", None),
        ("$Version=1; t=v; $Path=/", "v"),
        ("a=t=x; t=v", "v"),
        ("tt=x; t=v", "v"),
        ("ttt=x", None),
        ("t=v; t=v", "v"),
        ("t=v; a=b;t = v", "v"),
    ],
)
def test_a_cookie(field: str, value: str | None) -> None:
    """A cookie is found by its exact name, and its value is taken as it is."""  # S26
    assert find_cookie(field, "t") == value == reference(field, "t")


@pytest.mark.parametrize(
    "field",
    ["t=v; t=w", "t=v;t=", "t=; t=v", 't=v; t="v"', "t=v; t=V", "t=v; t=v; t=w", "t=v;t=v\xa0"],
)
def test_a_cookie_twice(field: str) -> None:
    """A cookie that came with two different values has none."""  # S25
    with pytest.raises(DuplicateCookie):
        find_cookie(field, "t")
    assert outcome(field, "t", reference) is DuplicateCookie


COOKIES = st.lists(
    st.sampled_from(
        ["t", "tt", "T", "x", "=", "=", ";", ";", "; ", " ", "\t", '"', "v", "\xa0", ","]
    ),
    max_size=30,
).map("".join)


@pytest.mark.parametrize("name", ["t", "tt", "ttxt"])
@given(field=COOKIES | st.text(st.characters(codec="latin-1"), max_size=40))
def test_cookies_as_the_reference_reads_them(name: str, field: str) -> None:
    """Whatever the field, the scan finds what splitting it would find."""  # S26
    assert outcome(field, name, find_cookie) == outcome(field, name, reference)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["t", "tt", "T", "__Host-t", "x.t"]),
            st.text("abct%=\\+~\xe9", max_size=5),
        ),
        max_size=6,
    ),
    st.sampled_from([";", "; ", " ; ", ";\t"]),
)
def test_cookies_as_werkzeug_reads_them(cookies: list[tuple[str, str]], separator: str) -> None:
    """Where no quotes are involved, the scan finds what the app's own parser will find."""  # S26
    field = separator.join(f"{name}={value}" for name, value in cookies)
    values = parse_cookie(field).getlist("t")
    expected = DuplicateCookie if len(set(values)) > 1 else (values or [""])[0] or None
    assert outcome(field, "t", find_cookie) == expected


class Watched(str):
    """Text that counts the characters it is asked to look at."""

    looked_at = 0

    def find(self, name: Any, start: Any = 0, *end_: Any) -> int:
        found = super().find(name, start, *end_)
        end = len(self) if found == -1 else found + len(name)
        Watched.looked_at += max(end - start, 0) + 1
        return found

    def __getitem__(self, index: Any) -> str:
        part = super().__getitem__(index)
        # A slice is copied, and each end of it may be trimmed.
        Watched.looked_at += 3 * len(part) if isinstance(index, slice) else 1
        return part


def characters_looked_at(field: str) -> int:
    Watched.looked_at = 0
    found = outcome(Watched(field), "token", find_cookie)
    if found is not DuplicateCookie or field.count("token") <= MAX_SIGHTINGS:
        assert found == outcome(field, "token", reference)
    return Watched.looked_at


@pytest.mark.parametrize(
    "piece",
    [
        "x=y; ",
        "token; ",
        "token=v; ",
        "token=; ",
        ";",
        " ",
        "=",
        "token",
        " token",
        "        token",
        "x token",
        "=token=v;",
        "tokentoken=v;",
        "toke",
        "toke;",
        "token=v",
        "; token ",
        ";        token        ",
    ],
)
def test_the_scan_is_linear(piece: str) -> None:
    """However a field is built, each of its characters is looked at a few times at most."""  # S13
    for size in (1_000, 65_536):
        field = (piece * size)[:size]
        assert characters_looked_at(field) <= 8 * size


def test_ten_thousand_cookies() -> None:
    """One cookie among ten thousand is found without parsing the others."""  # S13, S26
    field = "; ".join(f"name{number}=value{number}" for number in range(10_000)) + "; token=v"
    assert find_cookie(field, "token") == "v"
    assert characters_looked_at(field) <= 2 * len(field)


def test_a_name_all_over_the_field_is_a_duplicate() -> None:
    """No browser keeps that many cookies, and each look costs time."""  # S13, S25
    for piece in ("x{}token=v; ", "token; ", "token=v; "):
        field = "".join(piece.format(number) for number in range(MAX_SIGHTINGS))
        find_cookie(field, "token")
        with pytest.raises(DuplicateCookie):
            find_cookie(field + field, "token")


def test_a_hundred_sightings_are_bearable() -> None:
    """A name may occur a hundred times in a field, and not once more."""  # S13
    assert find_cookie("xtoken=a; " * 99 + "token=v", "token") == "v"
    with pytest.raises(DuplicateCookie):
        find_cookie("xtoken=a; " * 100 + "token=v", "token")


def test_only_blanks_are_blanks() -> None:
    """No other character is trimmed from a name or a value."""  # S26
    assert find_cookie("Xtoken=a", "token") is None
    assert find_cookie("token=XaX", "token") == "XaX"
    assert find_cookie("tokenX=a", "token") is None


def test_non_utf8_bytes_raise_nothing() -> None:
    """Bytes that are no UTF-8 are carried as Latin-1, and are no token."""  # S26
    field = bytes(range(256)).decode("latin-1") + f"; {ACCESS}=\xff\xfe; x=\x80"
    assert located(field) == Presented(Channel.COOKIES, "\xff\xfe", None)


@pytest.mark.parametrize(
    "other",
    ["__host-access_token", "access_token", "__Host-access_tokenX", "__Secure-access_token"],
)
def test_only_the_exact_name(other: str) -> None:
    """A cookie with a name like ours is none of ours."""  # S26
    assert located(f"{other}=x") == Presented(None)
    assert located(f"{other}=x; {ACCESS}=a") == Presented(Channel.COOKIES, "a", None)


def test_names_of_ones_own() -> None:
    """A name that is given is used exactly as it is."""
    settings = {"access_cookie_name": "a", "refresh_cookie_name": "r"}
    assert located("a=1; r=2", settings=settings) == Presented(Channel.COOKIES, "1", "2")
    assert located(BOTH["cookie"], settings=settings) == Presented(None)


def test_a_tossed_access_cookie() -> None:
    """Two different access cookies are final: neither counts, and nothing is reissued."""  # S25
    presented = located(f"{ACCESS}=a; {REFRESH}=r; {ACCESS}=b")
    assert isinstance(presented.fault, DuplicateCookie)
    assert presented == Presented(Channel.COOKIES, fault=presented.fault)


def test_a_tossed_refresh_cookie() -> None:
    """Two different refresh cookies are worth nothing; an access cookie stands by itself."""  # S25
    presented = located(f"{ACCESS}=a; {REFRESH}=r; {REFRESH}=s")
    assert isinstance(presented.fault, DuplicateCookie)
    assert presented == Presented(Channel.COOKIES, "a", fault=presented.fault)


def test_a_tossed_cookie_does_not_fall_through() -> None:
    """Cookies first: a tossed one does not leave the header to count."""  # S23, S25
    settings = {"token_location": ["cookies", "headers"]}
    presented = located(f"{ACCESS}=a; {ACCESS}=b", "Bearer h", settings=settings)
    assert presented.channel is Channel.COOKIES
    assert presented.access is None


def test_identical_cookies_are_fine() -> None:
    """The same cookie twice is one cookie."""  # S25
    assert located(f"{ACCESS}=a; {ACCESS}=a; {REFRESH}=r;{REFRESH}=r") == Presented(
        Channel.COOKIES, "a", "r"
    )


# ── At a glance ──────────────────────────────────────────────────────────────────

FIELDS = st.none() | st.sampled_from(
    ["", " ", "Bearer a", "bearer  b", "Bearer a ", "Bearer", "Bearer a,b", "Basic x", "a.b", "a,b"]
)
JARS = st.none() | st.lists(
    st.sampled_from(["t=1", "t=2", "r=1", "r=2", "t=", "=t=3", "x=t=4", "t", " t = 1 ", "T=9", ""])
).map(";".join)


@given(
    order=st.sampled_from(
        [["headers"], ["cookies"], ["headers", "cookies"], ["cookies", "headers"]]
    ),
    header_type=st.sampled_from(["Bearer", "", "JWT"]),
    authorization=FIELDS,
    refresh=FIELDS,
    cookie=JARS,
    method=st.sampled_from(["GET", "POST", "HEAD", "OPTIONS"]),
    websocket=st.booleans(),
)
def test_a_glance_never_finds_another_token(
    order: list[str], header_type: str, cookie: str | None, **request: Any
) -> None:
    """What is plain to see is what looking properly finds, or nothing is."""
    settings: dict[str, Any] = {"token_location": order}
    if "cookies" in order:
        settings |= {"access_cookie_name": "t", "refresh_cookie_name": "r"}
    if "headers" in order:
        settings["header_type"] = header_type
    transport = make_transport(**settings)
    asked = request_with(cookie, **request)
    glanced, found = transport.glance(asked), transport.locate(asked)
    if glanced is not None:
        assert glanced == found.access
        # Nothing is decided about a cookie before the request's origin has been judged (S40).
        assert found.channel is Channel.HEADERS or not asked.unsafe


@pytest.mark.parametrize(
    ("request_", "token"),
    [
        (request_with(f"{ACCESS}=a"), "a"),
        (request_with(f"x=y; {ACCESS}=a; {REFRESH}=r", method="HEAD"), "a"),
        (request_with(f"{ACCESS}=a", authorization="Bearer h"), "h"),
        (request_with(None, authorization="Bearer h", method="POST"), "h"),
        (request_with(f"{ACCESS}=a", method="POST"), None),
        (request_with(f"{ACCESS}=a", websocket=True), None),
        (request_with(f"{ACCESS}=a; {ACCESS}=b"), None),
        (request_with(f"{ACCESS}=a", refresh="r"), None),
        (request_with(f"{ACCESS}=a", authorization="Basic x"), None),
        (request_with(None), None),
        (request_with(""), None),
    ],
    ids=range(11),
)
def test_the_common_answers_are_plain_to_see(request_: Request, token: str | None) -> None:
    """The common ways a token comes need no second look."""
    assert make_transport().glance(request_) == token


AT_A_GLANCE: list[tuple[str, str | None]] = [
    ("name=a", "a"),
    ("name=XaX", "XaX"),
    ("x=b; name=a", "a"),
    ("x=b; name=a; y=c", "a"),
    ("name= \ta\t ; y=c", "a"),
    ("name=", None),
    ("name= ; y=c", None),
    ("xname=a", None),
    ("x=b;name=a", None),
    ("x=b, name=a", None),
    ("x=name; name=a", None),
    ("name=a; x=name", None),
    ("name=a; name=a", None),
]


@pytest.mark.parametrize(("cookie", "token"), AT_A_GLANCE, ids=repr)
def test_what_is_plain_to_see_in_a_cookie_field(cookie: str, token: str | None) -> None:
    """One cookie of our name, after "; " or first of all, is plain to see; all else is not."""
    transport = make_transport(access_cookie_name="name", refresh_cookie_name="other")
    assert transport.glance(request_with(cookie)) == token


def test_a_glance_in_another_order() -> None:
    """Where cookies come first, a header is not seen at a glance."""
    transport = make_transport(token_location=["cookies", "headers"])
    assert transport.glance(request_with(f"{ACCESS}=a", authorization="Bearer h")) == "a"
    assert transport.glance(request_with(None, authorization="Bearer h")) is None
    headers = make_transport(token_location=["headers"])
    assert headers.glance(request_with(f"{ACCESS}=a")) is None


# ── Out: cookies ─────────────────────────────────────────────────────────────────


def delivered(*, max_age: float | None = 1000.9, refresh: str | None = "R", **settings: Any) -> Any:
    transport = make_transport(**settings)
    additions = transport.deliver(
        Channel.COOKIES, access="A", refresh=refresh, max_age=max_age, claims={}
    )
    assert additions.expose == ()
    assert all(name == "Set-Cookie" for name, _ in additions.fields)
    return [attributes(value) for _, value in additions.fields]


PLACES: list[dict[str, Any]] = [
    {},
    {"cookie_secure": False},
    {"cookie_httponly": False},
    {"cookie_samesite": "Strict"},
    {"cookie_samesite": "None"},
    {"cookie_domain": "example.com"},
    {"cookie_path": "/app"},
    {"cookie_partitioned": True},
    {"access_cookie_name": "a", "refresh_cookie_name": "r"},
    {"cookie_domain": "example.com", "cookie_path": "/app", "cookie_samesite": "None"},
]


def test_cookies_as_they_are_set() -> None:
    """Cookies are Secure, HttpOnly, of this host alone and SameSite by default."""  # S39
    for parts in delivered():
        parts.pop("Expires", None)
        name = next(iter(parts))
        assert parts.pop(name) == {ACCESS: "A", REFRESH: "R"}[name]
        assert parts == {
            "Max-Age": "1000",
            "Secure": None,
            "HttpOnly": None,
            "Path": "/",
            "SameSite": "Lax",
        }


@pytest.mark.parametrize("settings", PLACES, ids=range(len(PLACES)))
def test_attributes_follow_the_settings(settings: dict[str, Any]) -> None:
    """Every attribute is what the settings say, and no other is there."""  # S39
    made = make_settings(**settings)
    for parts in delivered(**settings):
        assert ("Secure" in parts) is made.cookie_secure
        assert ("HttpOnly" in parts) is made.cookie_httponly
        assert ("Partitioned" in parts) is made.cookie_partitioned
        assert parts["SameSite"] == made.cookie_samesite
        assert parts.get("Domain") == made.cookie_domain
        assert parts["Path"] == made.cookie_path


def test_a_session_cookie() -> None:
    """A login that is not to be remembered sets cookies that end with the browser."""
    for parts in delivered(max_age=None):
        assert "Max-Age" not in parts
        assert "Expires" not in parts


def test_an_access_cookie_alone() -> None:
    """Where there is no new refresh token, its cookie is left alone."""
    assert [next(iter(parts)) for parts in delivered(refresh=None)] == [ACCESS]


def test_delivering_reads_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a cookie lives is said in seconds, not by a clock that nobody passed in."""
    monkeypatch.setattr("werkzeug.http.datetime", None)
    assert delivered()


@pytest.mark.parametrize("settings", PLACES, ids=range(len(PLACES)))
def test_clearing_uses_identical_attributes(settings: dict[str, Any]) -> None:
    """A cookie is cleared under the very attributes it was set with."""  # S39
    cleared = [attributes(value) for _, value in make_transport(**settings).clear()]
    for parts in cleared:
        assert parts["Max-Age"] == "0"
        assert parts["Expires"] == "Thu, 01 Jan 1970 00:00:00 GMT"
        assert parts[next(iter(parts))] == ""
    moving = {"Max-Age", "Expires"}
    assert [
        {name: value for name, value in list(parts.items())[1:] if name not in moving}
        for parts in cleared
    ] == [
        {name: value for name, value in list(parts.items())[1:] if name not in moving}
        for parts in delivered(**settings)
    ]
    assert [next(iter(parts)) for parts in cleared] == [
        next(iter(parts)) for parts in delivered(**settings)
    ]


def test_the_size_limit_is_exact() -> None:
    """Name and value may have 4096 bytes together, and not one more."""  # S39
    transport = make_transport()
    fits = "x" * (COOKIE_LIMIT - len(ACCESS))
    transport.check_size(ACCESS, fits, {})
    transport.deliver(Channel.COOKIES, access=fits, refresh=None, max_age=1, claims={})
    with pytest.raises(TokenTooLarge, match=ACCESS) as caught:
        transport.deliver(Channel.COOKIES, access=fits + "x", refresh=None, max_age=1, claims={})
    assert "4097" in str(caught.value)
    assert "xxx" not in str(caught.value)
    fits = "x" * (COOKIE_LIMIT - len(REFRESH))
    transport.deliver(Channel.COOKIES, access="a", refresh=fits, max_age=1, claims={})
    with pytest.raises(TokenTooLarge, match=REFRESH):
        transport.deliver(Channel.COOKIES, access="a", refresh=fits + "x", max_age=1, claims={})
    assert COOKIE_LIMIT == 4096


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("Bearer " + "x" * 65_000, Presented(Channel.HEADERS, "a bad token")),
        ("bearer   " + "a." * 30_000, Presented(Channel.HEADERS, "a bad token")),
        ("Negotiate " + "x" * 65_000, Presented(None)),
        ("Bearer, " * 8_000, InvalidRequest),
        ("Negotiate " + "x" * 65_000 + ", Bearer x", InvalidRequest),
    ],
)
def test_an_overlong_field_is_not_read_to_its_end(field: str, found: object) -> None:
    """What is longer than any token of ours is a bad one, or not ours, or no request."""  # S13
    transport = make_transport()
    request = make_request(authorization=field)
    assert transport.glance(request) is None
    presented = transport.locate(request)
    if found is InvalidRequest:
        assert isinstance(presented.fault, InvalidRequest)
    else:
        assert presented.channel is found.channel  # type: ignore[attr-defined]
        assert (presented.access is None) is (found.access is None)  # type: ignore[attr-defined]
        assert len(presented.access or "") < 9000


@pytest.mark.parametrize("scheme", ["Bearer", "", "X"])
def test_the_longest_token_is_not_overlong(scheme: str) -> None:
    """A token of max_token_length is found, with some room for spaces."""  # S13
    transport = make_transport(header_type=scheme)
    field = f"{scheme} {'x' * 8192}".strip()
    assert transport.glance(make_request(authorization=field)) == "x" * 8192
    assert transport.locate(make_request(authorization=field)).access == "x" * 8192


# ── Out: headers ─────────────────────────────────────────────────────────────────


def test_tokens_in_headers() -> None:
    """Header clients get headers, whatever their size, and no cookie."""  # S38
    transport = make_transport()
    long = "x" * 5000
    additions = transport.deliver(Channel.HEADERS, access=long, refresh="R", max_age=1, claims={})
    assert list(additions.fields) == [("X-Access-Token", long), ("X-Refresh-Token", "R")]
    assert list(additions.expose) == ["X-Access-Token", "X-Refresh-Token"]
    additions = transport.deliver(
        Channel.HEADERS, access="A", refresh=None, max_age=None, claims={}
    )
    assert list(additions.fields) == [("X-Access-Token", "A")]
    assert list(additions.expose) == ["X-Access-Token"]


def test_headers_of_ones_own() -> None:
    """The response headers have the names the settings give them."""
    settings = {"access_response_header": "X-A", "refresh_header_name": "X-R"}
    additions = make_transport(**settings).deliver(
        Channel.HEADERS, access="A", refresh="R", max_age=1, claims={}
    )
    assert list(additions.fields) == [("X-A", "A"), ("X-R", "R")]


@pytest.mark.parametrize("length", [256 + len("Bearer") + 64, 256 + len("Bearer") + 65])
def test_a_field_longer_than_any_token(length: int) -> None:
    """An Authorization field may have 64 blanks beside the scheme and the longest token."""  # S13
    transport = make_transport(max_token_length=256)
    request = make_request(authorization="Bearer " + "a".rjust(length - 7))
    bearable = length == 256 + len("Bearer") + 64
    assert transport.glance(request) == ("a" if bearable else None)
    assert (transport.locate(request).access == "a") is bearable


@pytest.mark.parametrize(
    ("settings", "vary", "more"),
    [
        ({}, ("Cookie",), ("X-Refresh-Token",)),
        ({"token_location": ["cookies"]}, ("Cookie",), ()),
        ({"token_location": ["headers"]}, (), ("X-Refresh-Token",)),
        ({"header_name": "X-Token"}, ("Cookie", "X-Token"), ("X-Refresh-Token",)),
        ({"header_name": "AUTHORIZATION"}, ("Cookie",), ("X-Refresh-Token",)),
        ({"refresh_header_name": "X-R"}, ("Cookie",), ("X-R",)),
    ],
    ids=str,
)
def test_what_responses_vary_on(
    settings: dict[str, Any], vary: tuple[str, ...], more: tuple[str, ...]
) -> None:
    """Responses vary on wherever tokens come from, but for Authorization, which caches know."""
    # S36
    transport = make_transport(**settings)
    assert transport.vary == vary
    assert transport.vary_by_refresh == vary + more


# ── Variants of our cookies ──────────────────────────────────────────────────────

PLAIN = {"access_cookie_name": "a", "refresh_cookie_name": "r"}


def variants(
    host: str | None = "www.app.example.com",
    path: str = "/",
    mount: str = "",
    cookie: str | None = "a=one; a=two; r=one; r=two",
    **settings: Any,
) -> list[tuple[str, str]]:
    headers = {} if host is None else {"host": host}
    request = make_request("POST", path, headers=headers, mount=mount)
    request.cookie = cookie
    return make_transport(**(PLAIN | settings)).clear_variants(request)


def test_host_cookies_have_no_variants() -> None:
    """Of a __Host- cookie browsers keep one only, so that there is nothing to clear."""  # S25
    settings: dict[str, Any] = {"access_cookie_name": None, "refresh_cookie_name": None}
    assert variants(**settings) == []
    assert places(variants(access_cookie_name=None, path="/x")) == {
        ("r", None, "/x"),
        *(
            ("r", domain, path)
            for domain in ("www.app.example.com", "app.example.com", "example.com")
            for path in ("/", "/x")
        ),
    }


def test_every_other_place_is_cleared() -> None:
    """Every Domain above the host and Path above the page is cleared, but for our own."""  # S25
    domains = [None, "www.app.example.com", "app.example.com", "example.com"]
    paths = ["/", "/shop", "/shop/login"]
    expected = {(name, domain, path) for name in "ar" for domain in domains for path in paths}
    for settings in (
        {},
        {"cookie_domain": "example.com"},
        {"cookie_path": "/shop"},
        {"cookie_domain": "app.example.com", "cookie_path": "/shop"},
    ):
        made = make_settings(**PLAIN, **settings)
        ours = {(name, made.cookie_domain, made.cookie_path) for name in "ar"}
        assert places(variants(path="/shop/login", **settings)) == expected - ours


@pytest.mark.parametrize("cookie", [None, "a=one; r=two"])
def test_without_a_duplicate_only_likely_places_are_cleared(cookie: str | None) -> None:
    """The root and our own path, under every Domain: each variant costs the response a field."""
    cleared = places(variants(path="/shop/login/form", cookie=cookie, cookie_path="/shop"))
    assert {path for _, _, path in cleared} == {"/", "/shop"}
    assert {domain for _, domain, _ in cleared} == {
        None,
        *("www.app.example.com", "app.example.com", "example.com"),
    }


def test_a_mounted_app() -> None:
    """Paths are those of the browser, whatever the app is mounted under."""  # S25
    cleared = {path for _, _, path in places(variants(path="/login", mount="/app"))}
    assert {"/", "/app", "/app/login"} <= cleared


@pytest.mark.parametrize(
    ("host", "domains"),
    [
        ("app.example", {"app.example"}),
        ("app.example:8000", {"app.example"}),
        ("APP.Example", {"app.example"}),
        ("xn--bcher-kva.example", {"xn--bcher-kva.example"}),
        ("localhost", set()),
        ("localhost:8000", set()),
        ("127.0.0.1", set()),
        ("127.0.0.1:8000", set()),
        ("[::1]", set()),
        ("[::1]:8000", set()),
        ("", set()),
        (None, set()),
        ("a..b", set()),
        (".example.com", set()),
        ("example.com.", set()),
        ("evil.example; Path=/", set()),
        ("evil.example\r\nX: y", set()),
        ("bücher.example", set()),
        ("a_b.example", set()),
        ("user@app.example", set()),
        ("app.example/path", set()),
    ],
)
def test_domains_come_from_a_plain_host_alone(host: str | None, domains: set[str]) -> None:
    """Only a Host that is a plain name has domains, and nothing of it gets into a header."""  # S39
    assert {domain for _, domain, _ in places(variants(host, path="/x"))} == {None, *domains}


@pytest.mark.parametrize(
    "host",
    [
        "a" * 64 + ".example.com",
        ("a" * 63 + ".") * 4 + "example.com",
        "-.example.com",
        "xn--.example.com",
        "xn--0.example.com",
        "a.b" * 500 + ".com",
    ],
    ids=range(6),
)
def test_no_host_raises(host: str) -> None:
    """Whatever a client sends as Host, clearing raises nothing."""  # S14
    assert places(variants(host, path="/x")) >= {("a", None, "/x"), ("r", None, "/x")}


@pytest.mark.parametrize("labels", [10, 100, 2000])
def test_a_long_host_is_not_answered_at_length(labels: int) -> None:
    """However many labels a Host has, the answer stays small."""  # S13
    fields = variants("a." * labels + "com", path="/b/c/d/e")
    assert len({domain for _, domain, _ in places(fields) if domain}) <= MAX_VARIANTS
    assert sum(len(value) for _, value in fields) < 65_536


def test_a_long_path_is_not_answered_at_length() -> None:
    """However deep the page, few paths are cleared, the root and our own among them."""  # S13
    cleared = places(variants(path="/x" * 3000, cookie_path="/own"))
    paths = {path for _, _, path in cleared}
    assert {"/", "/own", "/x"} <= paths
    assert len(paths) <= 5


def test_paths_are_not_built_to_be_thrown_away() -> None:
    """The room a long path takes while it is looked at is a small multiple of its length."""  # S13
    path = "/x" * 3000
    variants(path="/warm/up")
    tracemalloc.start()
    try:
        variants(path=path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50 * len(path)


@pytest.mark.parametrize(
    "path", ["/ü", "/a b", "/a;b", "/a\r\nSet-Cookie: x", "/a,b", "/a%20b", '/"', "/a\0"]
)
def test_odd_paths_are_left_out(path: str) -> None:
    """A path with characters that could be read as something else is not cleared."""  # S39
    assert {path for _, _, path in places(variants(path=path))} == {"/"}


def test_variants_keep_the_attributes() -> None:
    """A variant is expired with the attributes a browser asks for before it drops a cookie."""
    settings: dict[str, Any] = {"cookie_samesite": "None", "cookie_partitioned": True}
    for _, field in variants(path="/x", **settings)[2:]:
        assert {"Secure", "HttpOnly", "Partitioned", "SameSite"} <= attributes(field).keys()


def test_partitioned_cookies_have_a_variant_that_is_not() -> None:
    """The cookies of the time before ``cookie_partitioned`` go, too."""  # S25
    settings: dict[str, Any] = {
        "access_cookie_name": None,
        "refresh_cookie_name": None,
        "cookie_partitioned": True,
    }
    cleared = [attributes(field) for _, field in variants(**settings)]
    assert [next(iter(parts)) for parts in cleared] == [ACCESS, REFRESH]
    assert not any("Partitioned" in parts for parts in cleared)


def test_variants_are_emptied() -> None:
    """Whatever is cleared is expired at once, and holds nothing any more."""  # S25
    settings: dict[str, Any] = {"cookie_partitioned": True}
    cleared = [attributes(field) for _, field in variants(path="/x", **settings)]
    assert all(parts["Max-Age"] == "0" for parts in cleared)
    assert {parts[name] for parts in cleared for name in ("a", "r") if name in parts} == {""}


@pytest.mark.parametrize(
    ("host", "domains"),
    [
        ("a.b.c.d.e.f.example.com", 5),
        (f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 57}.com", 4),
        (f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 58}.com", 0),
    ],
    ids=["deep", "253 characters", "254 characters"],
)
def test_as_many_domains_as_a_host_can_have(host: str, domains: int) -> None:
    """Of a deep host the nearest five domains are looked into; one that is too long has none."""
    found = {domain for _, domain, _ in places(variants(host)) if domain is not None}
    assert len(found) == domains
    assert all(f".{host}".endswith(f".{domain}") for domain in found)


@pytest.mark.parametrize(
    ("path", "deepest"), [("/a//b//c//d/x", "/a/b/c/d"), (f"{'/' * 10}a/b", "/a/b")]
)
def test_slashes_are_counted(path: str, deepest: str) -> None:
    """Empty segments make no folder, and a path of nothing but slashes is not looked through."""
    found = {folder for _, _, folder in places(variants(None, path))}
    assert deepest in found
    assert "/a/b/c/d/x" not in found
    assert ("/a" in found) is (path[1] == "a")


# ── What the app says ────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("headers", "names"),
    [
        ([("Set-Cookie", f"{ACCESS}=x; Path=/")], True),
        ([("set-cookie", f"{REFRESH}=; Max-Age=0")], True),
        ([("SET-COOKIE", f" {ACCESS} =x")], True),
        ([("X", "y"), ("Set-Cookie", "other=1"), ("Set-Cookie", f"{REFRESH}=x")], True),
        ([("Set-Cookie", f"other={ACCESS}=x")], False),
        ([("Set-Cookie", f"{ACCESS}x=x")], False),
        ([("Set-Cookie", ACCESS.lower() + "=x")], False),
        ([("Cookie", f"{ACCESS}=x")], False),
        ([("X-Set-Cookie", f"{ACCESS}=x")], False),
        ([("X", "y"), ("x-access-token", "x")], True),
        ([("X-REFRESH-TOKEN", "x")], True),
        ([("X-Access-Token-Age", "x"), ("Authorization", "x")], False),
        ([], False),
    ],
    ids=range(13),
)
def test_the_app_sends_tokens(headers: list[tuple[str, str]], names: bool) -> None:
    """It is noticed when the app sets one of our cookies or token headers itself."""  # S37
    assert make_transport().sends_tokens(headers) is names


@pytest.mark.parametrize(
    ("additions", "sets"),
    [
        (Additions([("X-Access-Token", "a"), ("Set-Cookie", "t=a")], access="a"), True),
        (Additions([("X-Access-Token", "a")], access="a"), False),
        (Additions([("Set-Cookie", "t=; Max-Age=0")]), False),
        (NOTHING, False),
    ],
    ids=["cookies", "headers", "a logout", "nothing"],
)
def test_tokens_that_go_out_in_cookies(additions: Additions, sets: bool) -> None:
    """A response sets cookies with tokens where they are among what it is given; a logout, which
    expires cookies, does not."""
    assert additions.sets_cookies is sets


CSRF = "__Host-csrf_token"


@pytest.mark.parametrize(
    ("fields", "kept", "added"),
    [
        ([], [], True),
        ([f"{ACCESS}=a"], [f"{ACCESS}=a"], True),
        ([f"{ACCESS}=a", f"{CSRF}=old"], [f"{ACCESS}=a", f"{CSRF}=old"], False),
        # A logout expires it; so does a login for each stray variant, which stays in front.
        (["cleared"], [], True),
        ([f"{CSRF}=; Path=/x; Max-Age=0"], [f"{CSRF}=; Path=/x; Max-Age=0"], True),
    ],
    ids=["alone", "tokens", "one is there", "expired", "a variant expired"],
)
def test_a_csrf_cookie_is_set_once(fields: list[str], kept: list[str], added: bool) -> None:
    """The CSRF token joins what goes out, once, and in the place of its expiry."""  # S40
    transport = make_transport(csrf="double-submit")
    cleared = next(field for field in transport.clear() if field[1].startswith(CSRF))
    given = [cleared if value == "cleared" else ("Set-Cookie", value) for value in fields]
    found = list(transport.with_csrf(Additions(given, "a"), "token", 60).fields)
    assert [value for _, value in found[: len(kept)]] == kept
    new = found[len(kept) :]
    assert [value.partition(";")[0] for _, value in new] == [f"{CSRF}=token"] * added


@pytest.mark.parametrize("value", ["name=x; Path=/", " name =x", "name", "name=a=b"])
def test_a_cookies_name(value: str) -> None:
    """Of a Set-Cookie field: what stands before the first equals sign, without blanks."""
    assert cookie_name(("Set-Cookie", value)) == "name"


def applied(headers: list[tuple[str, str]], additions: Additions | None = None) -> Any:
    return (additions or Additions([("Set-Cookie", "ours=1")])).apply(headers)


def test_a_response_with_tokens_is_nobody_elses() -> None:
    """Whatever the app said of caching, a response with tokens is not stored."""  # S36
    said = [
        ("Cache-Control", "public, max-age=600, s-maxage=600"),
        ("cache-control", "immutable"),
        ("Expires", "Thu, 01 Dec 2094 16:00:00 GMT"),
        ("EXPIRES", "0"),
        ("CDN-Cache-Control", "max-age=600"),
        ("Cloudflare-CDN-Cache-Control", "max-age=600"),
        ("Surrogate-Control", "max-age=600"),
        ("x-accel-expires", "600"),
        ("Edge-Control", "max-age=600"),
        ("Content-Type", "text/html"),
        ("ETag", '"x"'),
    ]
    assert applied(said) == [
        ("Content-Type", "text/html"),
        ("ETag", '"x"'),
        ("Cache-Control", "no-store"),
        ("Set-Cookie", "ours=1"),
    ]


def test_headers_of_the_app_are_kept() -> None:
    """All other headers are kept in their order, the app's own cookies among them."""  # S37
    said = [("Set-Cookie", "a=1"), ("X", "1"), ("Set-Cookie", "b=2"), ("X", "2"), ("Vary", "X")]
    kept = list(said)
    assert applied(said)[:5] == said == kept
    assert applied(iter(said))[:5] == said  # pyright: ignore[reportArgumentType]


TOKENS = Additions(
    [("X-Access-Token", "A"), ("X-Refresh-Token", "R")],
    expose=["X-Access-Token", "X-Refresh-Token"],
)
EXPOSE = "Access-Control-Expose-Headers"


def exposed(headers: list[tuple[str, str]], additions: Additions = TOKENS) -> list[str]:
    return [value for name, value in applied(headers, additions) if name.lower() == EXPOSE.lower()]


def test_exposed_only_to_cors() -> None:
    """Headers are exposed to other origins only where the app allows other origins anything."""
    assert exposed([("Content-Type", "text/html")]) == []
    assert exposed([("access-control-allow-origin", "https://x")]) == [
        "X-Access-Token,X-Refresh-Token"
    ]
    allowed = ("Access-Control-Allow-Origin", "https://x")
    assert exposed([allowed, (EXPOSE.lower(), "ETag")]) == ["ETag,X-Access-Token,X-Refresh-Token"]
    assert exposed([allowed, (EXPOSE, "*")]) == ["*"]
    assert exposed([allowed], Additions([("Set-Cookie", "ours=1")])) == []


@pytest.mark.parametrize(
    "said",
    ["X-Access-Token, X-Refresh-Token", "x-refresh-token,ETag,x-access-token", "X-Access-Token"],
)
def test_nothing_is_exposed_twice(said: str) -> None:
    """A name the app exposes already is not named again."""
    (value,) = exposed([("Access-Control-Allow-Origin", "*"), (EXPOSE, said)])
    names = [name.strip().lower() for name in value.split(",")]
    assert sorted(set(names)) == sorted(names)
    assert {"x-access-token", "x-refresh-token"} <= set(names)


@pytest.mark.parametrize(
    ("headers", "merged"),
    [
        ([], [("Vary", "Cookie")]),
        ([("X", "y")], [("X", "y"), ("Vary", "Cookie")]),
        ([("Vary", "Accept")], [("Vary", "Accept,Cookie")]),
        ([("vary", "Accept"), ("X", "y")], [("vary", "Accept,Cookie"), ("X", "y")]),
        ([("VARY", "")], [("VARY", "Cookie")]),
        ([("Vary", "*")], [("Vary", "*")]),
        ([("Vary", " * ")], [("Vary", " * ")]),
        ([("Vary", "Cookie")], [("Vary", "Cookie")]),
        ([("Vary", "cookie")], [("Vary", "cookie")]),
        ([("Vary", "Accept, COOKIE")], [("Vary", "Accept, COOKIE")]),
        ([("Vary", "Accept ,\tCookie , X")], [("Vary", "Accept ,\tCookie , X")]),
        ([("Vary", "Accept,Cookie")], [("Vary", "Accept,Cookie")]),
        ([("Vary", "X-Cookie")], [("Vary", "X-Cookie,Cookie")]),
        ([("Vary", "Cookie2")], [("Vary", "Cookie2,Cookie")]),
        ([("Varying", "x")], [("Varying", "x"), ("Vary", "Cookie")]),
        ([("ETag", "x"), ("vary", "y")], [("ETag", "x"), ("vary", "y,Cookie")]),
    ],
    ids=range(16),
)
def test_lists_are_merged(headers: list[tuple[str, str]], merged: list[tuple[str, str]]) -> None:
    """A name joins the list that is there, once; text and bytes alike."""  # S36
    before = list(headers)
    assert merge_list(headers, "Vary", ["Cookie"], ",") == merged
    assert merge_list(merged, "Vary", ["Cookie"], ",") == merged
    assert headers == before
    in_bytes = [(name.encode(), value.encode()) for name, value in headers]
    assert merge_list(in_bytes, b"Vary", [b"Cookie"], b",") == [
        (name.encode(), value.encode()) for name, value in merged
    ]


@pytest.mark.parametrize("second", ["Cookie", "X"])
def test_a_list_in_two_fields(second: str) -> None:
    """A list that comes in two fields holds the name in one of them at least."""  # S36
    merged = merge_list([("Vary", "Accept"), ("Vary", second)], "Vary", ["Cookie"], ",")
    assert any("Cookie" in value.split(",") for _, value in merged)
    assert [value.split(",")[0] for _, value in merged] == ["Accept", second]


# ── What is shown of it ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "value",
    [
        Presented(Channel.COOKIES, "secret-access", "secret-refresh"),
        Additions([("Set-Cookie", "a=secret-token")]),
        make_transport().deliver(
            Channel.HEADERS, access="secret-a", refresh="secret-r", max_age=1, claims={}
        ),
        request_with("a=secret", authorization="Bearer secret", refresh="secret"),
        make_transport(),
    ],
    ids=["presented", "additions", "delivered", "request", "transport"],
)
def test_nothing_shows_a_token(value: object) -> None:
    """No repr of what carries tokens shows one: reprs end up in logs and error reports."""  # S53
    assert "secret" not in repr(value)


@pytest.mark.parametrize("max_age", [None, 1, 86_399.9, 0.5])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"cookie_secure": False, "cookie_samesite": "Strict", "csrf": "double-submit"},
        {"cookie_domain": "example.com", "cookie_path": "/a path"},
        {"cookie_httponly": False, "cookie_samesite": "None", "cookie_partitioned": True},
        {"refresh_cookie_path": "/refresh", "refresh_path": "/refresh", "csrf": "double-submit"},
    ],
)
def test_cookies_are_written_as_werkzeug_writes_them(
    settings: dict[str, Any], max_age: float | None
) -> None:
    """To the letter, whatever the attributes, for each of our cookies."""
    configured = make_settings(**settings)
    transport = Transport(configured)
    csrf = "t0k_en-" if configured.csrf == "double-submit" else None
    additions = transport.deliver(
        Channel.COOKIES, access="a.b-c_d.e", refresh="r.s.t", max_age=max_age, claims={}, csrf=csrf
    )
    sent = {
        configured.access_cookie: "a.b-c_d.e",
        configured.refresh_cookie: "r.s.t",
        **({configured.csrf_cookie: csrf} if csrf else {}),
    }
    own_path = {configured.refresh_cookie: configured.refresh_cookie_path}
    assert additions.fields == [
        (
            "Set-Cookie",
            dump_cookie(
                name,
                value,
                max_age=None if max_age is None else int(max_age),
                path=own_path.get(name) or configured.cookie_path,
                domain=configured.cookie_domain,
                secure=configured.cookie_secure,
                httponly=configured.cookie_httponly and value != csrf,
                samesite=configured.cookie_samesite,
                partitioned=configured.cookie_partitioned,
                sync_expires=False,
            ),
        )
        for name, value in sent.items()
    ]
