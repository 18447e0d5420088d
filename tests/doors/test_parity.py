"""One corpus of requests through both doors: what a client and a view can tell agrees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import pytest
from agreeing import Outcome, outcome
from both_doors import AGES as ALL_AGES
from both_doors import CONFIGURATIONS, FIELDS, OUTAGES, VIEWS, agree
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stepping import SECRET, House
from through import AGES, Ask, Fields, Through, bearer, cookie, noting

from jwt_middleware.auth import JWTAuth
from jwt_middleware.handle import RequestAuth
from jwt_middleware.tokens import TokenPair

Tokens = Callable[[House, TokenPair], Fields]


def forged(token: str) -> str:
    """The same token with another signature."""
    head, _, signature = token.rpartition(".")
    return f"{head}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


def foreign(house: House) -> TokenPair:
    """A pair somebody else's secret has signed."""
    other = JWTAuth(secret_key=SECRET[::-1], session_store="memory://", clock=lambda: house.now)
    return other.issue("mallory")


def old(token: Callable[[TokenPair], str]) -> Tokens:
    """A cookie whose neighbour is missing."""
    return lambda house, pair: [cookie(access=token(pair))]


TOKENS: dict[str, Tokens] = {
    # Nothing of ours
    "nothing": lambda house, pair: [],
    "empty cookie field": lambda house, pair: [("Cookie", "")],
    "empty cookies": lambda house, pair: [
        ("Cookie", "__Host-access_token=; __Host-refresh_token=")
    ],
    "other cookies": lambda house, pair: [cookie(theme="dark", lang="en")],
    "look-alike cookie": lambda house, pair: [
        ("Cookie", f"x__Host-access_token={pair.access_token}")
    ],
    "percent-encoded name": lambda house, pair: [
        ("Cookie", f"%5F%5FHost-access_token={pair.access_token}")
    ],
    "non-UTF-8 cookie": lambda house, pair: [("Cookie", "a=\xff\xfe; \x80=\xe9")],
    "huge cookie": lambda house, pair: [("Cookie", "a=" + "x" * 60_000)],
    "nameless cookie": lambda house, pair: [("Cookie", f"={pair.access_token}; ;;=;")],
    "basic": lambda house, pair: [("Authorization", "Basic dXNlcjpwYXNz")],
    "empty authorization": lambda house, pair: [("Authorization", "")],
    # Cookies
    "both cookies": lambda house, pair: [
        cookie(access=pair.access_token, refresh=pair.refresh_token)
    ],
    "access cookie": lambda house, pair: [cookie(access=pair.access_token)],
    "refresh cookie": lambda house, pair: [cookie(refresh=pair.refresh_token)],
    "crumbs": lambda house, pair: [
        cookie(access=pair.access_token),
        cookie(theme="dark"),
        cookie(refresh=pair.refresh_token),
    ],
    "non-UTF-8 beside ours": lambda house, pair: [
        ("Cookie", f"a=\xff; __Host-access_token={pair.access_token}; \xe9=\xe9")
    ],
    "spaces and tabs": lambda house, pair: [
        ("Cookie", f"\t __Host-access_token \t= {pair.access_token}\t;a=b")
    ],
    "no-break space": lambda house, pair: [
        ("Cookie", f"__Host-access_token=\xa0{pair.access_token}")
    ],
    "quoted": lambda house, pair: [("Cookie", f'__Host-access_token="{pair.access_token}"')],
    "twice the same": lambda house, pair: [
        cookie(access=pair.access_token),
        cookie(access=pair.access_token),
    ],
    "twice different": lambda house, pair: [
        cookie(access=pair.access_token),
        cookie(access=forged(pair.access_token), refresh=pair.refresh_token),
    ],
    "refresh twice different": lambda house, pair: [
        cookie(refresh=pair.refresh_token),
        cookie(refresh=forged(pair.refresh_token)),
    ],
    "forged access": lambda house, pair: [cookie(access=forged(pair.access_token))],
    "forged access, good refresh": lambda house, pair: [
        cookie(access=forged(pair.access_token), refresh=pair.refresh_token)
    ],
    "forged both": lambda house, pair: [
        cookie(access=forged(pair.access_token), refresh=forged(pair.refresh_token))
    ],
    "refresh as access": old(lambda pair: pair.refresh_token),
    "access as refresh": lambda house, pair: [cookie(refresh=pair.access_token)],
    "swapped": lambda house, pair: [cookie(access=pair.refresh_token, refresh=pair.access_token)],
    "foreign": lambda house, pair: [
        cookie(access=foreign(house).access_token, refresh=foreign(house).refresh_token)
    ],
    "another's refresh": lambda house, pair: [
        cookie(access=pair.access_token, refresh=house.auth.issue("bob").refresh_token)
    ],
    "garbage": lambda house, pair: [cookie(access="a.b.c", refresh="..")],
    "huge token": lambda house, pair: [cookie(access="x" * 60_000)],
    "revoked": lambda house, pair: (
        house.auth.revoke(pair.session_id),
        [cookie(refresh=pair.refresh_token)],
    )[1],
    "revoked, access too": lambda house, pair: (
        house.auth.revoke(pair.session_id),
        [cookie(access=pair.access_token, refresh=pair.refresh_token)],
    )[1],
    # Headers
    "bearer": lambda house, pair: [bearer(pair.access_token)],
    "bearer, any case": lambda house, pair: [("aUTHORIZATION", f"bEARER    {pair.access_token}")],
    "bearer, outer space": lambda house, pair: [
        ("Authorization", f" \tBearer {pair.access_token} ")
    ],
    "bearer by tab": lambda house, pair: [("Authorization", f"Bearer\t{pair.access_token}")],
    "bearer and refresh": lambda house, pair: [
        bearer(pair.access_token),
        ("X-Refresh-Token", pair.refresh_token),
    ],
    "refresh header": lambda house, pair: [("x-refresh-token", pair.refresh_token)],
    "refresh header twice": lambda house, pair: [
        ("X-Refresh-Token", pair.refresh_token),
        ("X-Refresh-Token", pair.refresh_token),
    ],
    "refresh header, spaced": lambda house, pair: [("X-Refresh-Token", f" {pair.refresh_token} ")],
    "empty refresh header": lambda house, pair: [
        bearer(pair.access_token),
        ("X-Refresh-Token", ""),
    ],
    "bearer twice": lambda house, pair: [bearer(pair.access_token), bearer(pair.access_token)],
    "bearer list": lambda house, pair: [
        ("Authorization", f"Bearer {pair.access_token}, Bearer {pair.access_token}")
    ],
    "basic and bearer": lambda house, pair: [
        ("Authorization", "Basic dXNlcjpwYXNz"),
        bearer(pair.access_token),
    ],
    "bearer alone": lambda house, pair: [("Authorization", "Bearer")],
    "bearer with two tokens": lambda house, pair: [("Authorization", "Bearer a b")],
    "bearer not token68": lambda house, pair: [("Authorization", "Bearer a\xe9b")],
    "bearer huge": lambda house, pair: [bearer("x" * 60_000)],
    "bearer forged": lambda house, pair: [bearer(forged(pair.access_token))],
    "bearer garbage": lambda house, pair: [bearer("nonsense")],
    "bearer foreign": lambda house, pair: [bearer(foreign(house).access_token)],
    "bearer is a refresh token": lambda house, pair: [bearer(pair.refresh_token)],
    # Both channels
    "basic, good cookie": lambda house, pair: [
        ("Authorization", "Basic dXNlcjpwYXNz"),
        cookie(access=pair.access_token),
    ],
    "broken bearer, good cookie": lambda house, pair: [
        bearer("broken"),
        cookie(access=pair.access_token, refresh=pair.refresh_token),
    ],
    "ambiguous bearer, good cookie": lambda house, pair: [
        ("Authorization", "Bearer a, Bearer b"),
        cookie(access=pair.access_token),
    ],
    "good bearer, broken cookie": lambda house, pair: [
        bearer(pair.access_token),
        cookie(access="broken"),
        cookie(access="other"),
    ],
    "refresh header, good cookie": lambda house, pair: [
        ("X-Refresh-Token", forged(pair.refresh_token)),
        cookie(access=pair.access_token),
    ],
    "empty authorization, good cookie": lambda house, pair: [
        ("Authorization", ""),
        cookie(access=pair.access_token),
    ],
    # Not ours to trust
    "look-alikes": lambda house, pair: [
        ("X-User", "admin"),
        ("X-Forwarded-User", "admin"),
        ("Remote-User", "admin"),
        ("jwt-middleware.claims", "admin"),
    ],
}
"""What a request brings, from the pair of a session that was issued before it."""

ACCESS_ALONE = [
    name
    for name in TOKENS
    if not {"refresh", "forged", "revoked", "both", "crumbs"} & {*name.replace(",", "").split()}
]
"""Those whose verdict no store has a part in."""

OPTIONAL: dict[str, Any] = {}
REQUIRED: dict[str, Any] = {
    "required": True,
    "public_paths": ["/", "/public"],
    "ignore_paths": ["/static"],
}
COOKIES_FIRST: dict[str, Any] = {**REQUIRED, "token_location": ["cookies", "headers"]}
HEADERS_ONLY: dict[str, Any] = {**REQUIRED, "token_location": ["headers"]}
LOGIN_PAGE: dict[str, Any] = {**REQUIRED, "login_url": "/login?from=x"}
PICKY: dict[str, Any] = {**REQUIRED, "reissue_on": ["expired"]}
STATELESS: dict[str, Any] = {**REQUIRED, "session_store": "none"}

HTML = [("Accept", "text/html,*/*;q=0.8")]
ORIGINS: dict[str, Fields] = {
    "no browser": [],
    "same origin": [("Sec-Fetch-Site", "same-origin")],
    "typed in": [("Sec-Fetch-Site", "none")],
    "same site": [("Sec-Fetch-Site", "same-site")],
    "cross site": [("Sec-Fetch-Site", "cross-site"), ("Origin", "https://testserver")],
    "fetch-site twice": [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "same-origin")],
    "own origin": [("Origin", "https://testserver")],
    "own origin, port": [("Origin", "https://testserver:443")],
    "own origin, other port": [("Origin", "https://testserver:8443")],
    "other origin": [("Origin", "https://evil.example")],
    "null origin": [("Origin", "null")],
    "empty origin": [("Origin", "")],
    "trusted": [("Origin", "https://Partner.example"), ("Sec-Fetch-Site", "cross-site")],
    "origin twice": [("Origin", "https://testserver"), ("Origin", "https://testserver")],
}
METHODS = "GET HEAD POST PUT PATCH DELETE OPTIONS TRACE CONNECT PROPFIND get".split()
PATHS = [
    *("/", "/private", "/public", "/public/", "/public/page", "/publicity", "/PUBLIC"),
    *("/public/../private", "/public/%2e%2e/private", "/public%2fpage", "/public//page"),
    *("/public/%00", "/public/%5cx", "/public/100%25", "/caf%C3%A9", "/caf%E9", "/%ff%fe"),
    *("/static/app.js", "/static", "/statics", "//public", "/./public", "/public/x;y=z"),
]


class Case(NamedTuple):
    name: str
    settings: dict[str, Any]
    tokens: str
    later: float = 0.0
    method: str = "GET"
    path: str = "/private"
    more: Fields = ()
    mount: str = ""
    query: str = ""


def of_tokens() -> Iterator[Case]:
    """Every kind of token, under every kind of settings."""
    for tokens, later in product(TOKENS, (0.0, AGES)):
        yield Case(f"required, {later:g} s later", REQUIRED, tokens, later)
    for tokens in TOKENS:
        yield Case("optional, POST", OPTIONAL, tokens, AGES, "POST")
        yield Case("cookies first", COOKIES_FIRST, tokens, AGES)
        yield Case("headers only", HEADERS_ONLY, tokens, AGES)
        yield Case("picky", PICKY, tokens)
        if "revoked" not in tokens:
            yield Case("stateless", STATELESS, tokens, AGES)
    for later in (31 * 86_400.0, 100 * 86_400.0):
        for tokens in ("both cookies", "refresh cookie", "bearer and refresh"):
            yield Case(f"{later:g} s later", REQUIRED, tokens, later)


def of_methods_and_paths() -> Iterator[Case]:
    """Every method, and paths that try to be taken for others."""
    for tokens in ("both cookies", "bearer and refresh", "nothing"):
        for method in METHODS:
            yield Case(method, REQUIRED, tokens, AGES, method)
        for path in PATHS:
            yield Case(path, REQUIRED, tokens, AGES, path=path)
            yield Case(f"mounted {path}", REQUIRED, tokens, AGES, path=path, mount="/m%C3%BC")


def of_origins() -> Iterator[Case]:
    """Every combination of the headers that tell where a request comes from."""
    trusting = {**REQUIRED, "trusted_origins": ["https://partner.example"]}
    exempt = {**REQUIRED, "csrf_exempt_paths": ["/hooks"]}
    for (name, more), tokens in product(ORIGINS.items(), ("both cookies", "bearer and refresh")):
        for later, method in product((0.0, AGES), ("POST", "GET")):
            yield Case(name, trusting, tokens, later, method, more=more)
        yield Case(f"optional, {name}", OPTIONAL, tokens, AGES, "POST", more=more)
        yield Case(f"exempt, {name}", exempt, tokens, 0, "POST", "/hooks/x", more)
        yield Case(f"csrf off, {name}", {"csrf": "off"}, tokens, 0, "POST", more=more)
    preflight = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "POST")]
    for tokens in ("nothing", "both cookies", "bearer and refresh"):
        yield Case("preflight", REQUIRED, tokens, AGES, "OPTIONS", more=preflight)


def of_login_pages() -> Iterator[Case]:
    """Where a browser is sent to sign in."""
    page = LOGIN_PAGE
    cors = [*HTML, ("Sec-Fetch-Mode", "cors")]
    for tokens in ("nothing", "both cookies", "bearer and refresh"):
        for more in (HTML, cors, [("Accept", "*/*")]):
            yield Case("page", page, tokens, 0, "GET", "/x%20y", more, query="a=b&c=%2f")
            yield Case("page, POST", page, tokens, more=more, method="POST")
            yield Case("the page itself", page, tokens, more=more, path="/login")
            yield Case("page, mounted", page, tokens, 0, "GET", "//evil.example", more, "/app")
            yield Case("page, mounted", page, tokens, 0, "GET", "/%C3%BC", more, "/m%C3%BC")


CORPUS = [*of_tokens(), *of_methods_and_paths(), *of_origins(), *of_login_pages()]


NAMES = [f"{number} {case.name}: {case.tokens}" for number, case in enumerate(CORPUS)]


def play(case: Case, door: str, times: int = 1) -> list[Outcome]:
    """The case in a world of its own, asked ``times`` times."""
    house = House(**case.settings)
    pair = house.auth.issue("alice", {"roles": ["admin"]})
    fields = [*TOKENS[case.tokens](house, pair), *case.more]
    house.now += case.later
    verbs = noting(house)
    through = Through(house, headers=[("Vary", "Accept"), ("Expires", "0")])
    ask = Ask(method=case.method, path=case.path, query=case.query, mount=case.mount, fields=fields)
    found = []
    for _ in range(times):
        through.seen.clear()
        house.events.clear()
        verbs.clear()
        answer = through.ask(door, ask)
        found.append(
            outcome(
                answer,
                through.seen[-1] if through.seen else None,
                events=house.events,
                rows=house.store._sessions.values(),
                verbs=verbs,
            )
        )
    return found


@pytest.mark.parametrize("case", CORPUS, ids=NAMES)
def test_the_doors_agree(case: Case) -> None:
    """Status, reason, subject, tokens and the headers caches look at agree, asked twice."""
    # S14, S22, S23, S25, S26, S27, S28, S30, S33, S34, S36, S38, S40, S47
    found = play(case, "wsgi", 2)
    assert found == play(case, "asgi", 2)
    assert all(one.status < 500 for one in found)
    assert all(one.authenticated == (one.reason is None) for one in found if one.reached)


@pytest.mark.parametrize("tokens", ACCESS_ALONE)
@pytest.mark.parametrize("settings", [OPTIONAL, REQUIRED, COOKIES_FIRST, HEADERS_ONLY], ids=str)
@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_a_token_seen_before_changes_no_verdict(
    tokens: str, settings: dict[str, Any], door: str
) -> None:
    """A process that has seen the access token judges as one that never has."""
    # S21, S23, S25: the short way for known tokens must not see less than the long one
    house = House(**settings)
    fields = TOKENS[tokens](house, house.auth.issue("alice"))
    stranger = House(**settings)
    through = [Through(house), Through(stranger), Through(house)]
    answers = [one.ask(door, Ask(path="/private", fields=fields)) for one in through]
    seen = [[(auth.reason, auth.subject) for auth in one.seen] for one in through]
    assert [answer.status for answer in answers] == [answers[0].status] * 3
    assert seen == [seen[0]] * 3


# ── What nobody would write down ─────────────────────────────────────────────────

LETTERS = st.characters(codec="latin-1", exclude_characters="\n")
PIECES = st.sampled_from(
    [
        *'\x01 \x02 \x03 \x04 \x05 \x06 \x07 \x08 \x0e \x0f Bearer Basic = ; , \t " \xff'.split(
            " "
        ),
        *("__Host-access_token=", "__Host-refresh_token=", "access_token=", "refresh_token="),
        *("; ", ", ", "Bearer ", " ", "x" * 9000, "null", "https://testserver", "cross-site"),
        *("same-origin", "POST", "HEAD", "OPTIONS", "public", "static/x", "%2e%2e/", "hooks"),
    ]
)
VALUES = st.lists(PIECES | st.text(LETTERS, max_size=3), max_size=6).map("".join)
USUAL = st.sampled_from(
    [
        "c:__Host-access_token=\x01; __Host-refresh_token=\x02",
        "c:__Host-access_token=\x03\nc:__Host-refresh_token=\x04",
        "c:access_token=\x01; refresh_token=\x02",
        "a:Bearer \x01\nr:\x02",
        *(f"c:__Host-refresh_token={letter}" for letter in "\x02\x04\x05\x06\x07\x0f"),
    ]
)
LINES = st.lists(
    st.builds("{}:{}".format, st.sampled_from([*FIELDS, *"mpqb"]), VALUES), max_size=5
).map("\n".join)
BYTES = st.integers(0, 255)


@settings(max_examples=400)
@given(BYTES, BYTES, USUAL | st.just(""), LINES)
@example(16, 0, "c:__Host-access_token=\x01; __Host-refresh_token=\x02", "m:POST\no:null")
@example(16, 2, "c:__Host-access_token=\x01; __Host-refresh_token=\x02", "")
@example(16, 5 + 3 * 48, "c:__Host-refresh_token=\x04", "m:POST")
@example(16 + 2 * 56, 0, "c:__Host-refresh_token=\x04", "")
@example(0, 7, "c:__Host-refresh_token=\x05", "p:\xe9?\x00")
def test_the_doors_agree_on_anything(first: int, second: int, usual: str, lines: str) -> None:
    """Whatever is sent, whatever the view does, and whatever fails: one verdict, one response,
    the same events, and the same rows afterwards."""
    # S14, S37, S38, S45, S47
    agree(bytes([first, second]) + f"{usual}\n{lines}".encode("latin-1"))


def test_the_doors_agree_on_every_combination() -> None:
    """Each configuration, age, view and outage, with each of the usual tokens, ends the same."""
    # S36, S37, S41, S42, S45
    seen = set()
    tokens = ["c:__Host-access_token=\x01; __Host-refresh_token=\x02", "a:Bearer \x03\nr:\x04", ""]
    combinations = product(
        range(len(CONFIGURATIONS)), range(len(ALL_AGES)), range(len(VIEWS)), range(len(OUTAGES))
    )
    for number, (configuration, age, view, outage) in enumerate(combinations):
        first, second = configuration + 8 * age, view + 48 * outage
        lines = tokens[number % 3] + ("\nm:POST" if number % 2 else "")
        found = agree(bytes([first, second]) + lines.encode())
        seen.add((found.status, found.reason, found.reissued))
    assert len(seen) >= 12


def test_the_corpus_is_broad() -> None:
    """Every kind of outcome occurs in it, so that agreement says something."""
    found = [play(case, "wsgi")[0] for case in CORPUS]
    assert len(CORPUS) >= 150
    assert {outcome.status for outcome in found} == {200, 303, 400, 401, 403}
    assert {outcome.reason for outcome in found} >= {
        *(None, "missing", "expired", "invalid_token", "revoked"),
        *("csrf", "ignored", "duplicate_cookie", "invalid_request"),
    }
    assert sum(outcome.reissued for outcome in found) > 30
    assert any(outcome.cookies for outcome in found)
    assert any(outcome.fields["x-refresh-token"] for outcome in found)


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_a_known_token_beside_two_refresh_cookies(door: str) -> None:
    """Two different refresh cookies get the same verdict whether or not the token is known."""
    # S25
    house = House()
    pair = house.auth.issue("alice")
    other = JWTAuth(house.auth.settings, clock=lambda: house.now)  # has not seen the token
    fields = [
        cookie(access=pair.access_token, refresh=pair.refresh_token),
        cookie(refresh="tossed"),
    ]
    known = Through(house)
    known.ask(door, Ask(fields=fields))
    house.auth = other
    unknown = Through(house)
    unknown.ask(door, Ask(fields=fields))
    assert (known.auth.reason, known.auth.subject) == (unknown.auth.reason, unknown.auth.subject)


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
@pytest.mark.parametrize("method", METHODS)
def test_head_and_others_carry_no_body_they_should_not(door: str, method: str) -> None:
    """A refused HEAD has no body; every other refusal has one, of the length it names."""
    # S34
    answer = Through(House(required=True)).ask(door, Ask(method=method))
    assert answer.status == 401
    assert (answer.body == b"") == (method == "HEAD")
    if method != "HEAD":
        assert answer.one("Content-Length") == str(len(answer.body))


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_login_and_logout_agree(door: str) -> None:
    """Both doors deliver a login and clear a logout by the same cookies and headers."""
    # S36, S38
    house = House()
    signing_in = Through(house, lambda auth: auth.login("alice"))
    answer = signing_in.ask(door, Ask(method="POST", path="/a/b"))
    assert set(answer.cookies) == {"__Host-access_token", "__Host-refresh_token"}
    assert answer.one("Cache-Control") == "no-store"
    assert answer.one("Vary") == "Cookie"
    fields = [("Cookie", "; ".join(f"{name}={value}" for name, value in answer.cookies.items()))]
    answer = Through(house, RequestAuth.logout).ask(door, Ask(method="POST", fields=fields))
    assert answer.cookies == {"__Host-access_token": "", "__Host-refresh_token": ""}
    assert house.event_names == ["login", "revoked"]


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
@pytest.mark.parametrize(
    ("name", "value"),
    [("Content-Length", "5"), ("Content-Type", "a/b"), ("Host", None), ("X-Nothing", None)],
)
def test_other_headers_are_found_by_name(name: str, value: str | None, door: str) -> None:
    """The two fields an environ names without HTTP_ are found like all others."""
    through = Through(House())
    through.ask(door, Ask(fields=[(name, value)] if value else []))
    found = through.auth.request.header(name.lower())
    assert found == (value or {"Host": "testserver"}.get(name))


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_tokens_in_query_and_body_are_not_read(door: str) -> None:
    """A token in an address ends up in logs: it opens nothing, nor does one in a body."""
    # S24
    house = House()
    pair = house.auth.issue("alice")
    text = f"access_token={pair.access_token}&{'__Host-access_token'}={pair.access_token}"
    form = [("Content-Type", "application/x-www-form-urlencoded")]
    for ask in (
        Ask(query=text),
        Ask(path=f"/{pair.access_token}"),
        Ask(method="POST", body=text.encode(), fields=form),
    ):
        through = Through(house)
        through.ask(door, ask)
        assert through.auth.reason == "missing"


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_what_a_view_does_to_its_claims_stays_with_it(door: str) -> None:
    """Claims of a known token serve many requests: none can change them for another."""
    # S31
    house = House()
    token = house.auth.issue("alice", {"roles": ["buyer"], "deep": {"a": [1]}}).access_token

    def meddle(auth: RequestAuth) -> None:
        assert auth.claims is not None
        auth.claims["roles"].append("admin")
        auth.claims["deep"]["a"].append(2)
        with pytest.raises(TypeError):
            auth.claims["roles"] = ["admin"]  # type: ignore[index]  # read-only

    through = Through(house, meddle)
    for _ in range(3):
        through.ask(door, Ask(fields=[cookie(access=token)]))
        assert through.auth.claims is not None
        assert through.auth.claims["roles"] == ["buyer"]
        assert through.auth.claims["deep"] == {"a": [1]}


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
@pytest.mark.parametrize(("login_url", "path"), [("/login", "/login/"), ("/login/", "/login")])
def test_a_slash_at_the_end_of_the_login_page_makes_no_circle(
    login_url: str, path: str, door: str
) -> None:
    """Frameworks add or drop that slash by a redirect: it must not lead back to where it began."""
    # S30
    through = Through(House(required=True, login_url=login_url))
    assert through.ask(door, Ask(path=path, fields=HTML)).status == 200


@pytest.mark.parametrize(
    ("settings", "fields", "varies"),
    [
        ({}, {}, "Cookie"),
        ({}, {"X-Refresh-Token": "x"}, "Cookie,X-Refresh-Token"),
        ({"header_name": "X-Token"}, {}, "Cookie,X-Token"),
        ({"header_name": "X-Token"}, {"X-Refresh-Token": "x"}, "Cookie,X-Token,X-Refresh-Token"),
        ({"token_location": ["cookies"]}, {"X-Refresh-Token": "x"}, "Cookie"),
        ({"token_location": ["headers"]}, {"X-Refresh-Token": "x"}, "X-Refresh-Token"),
        ({"token_location": ["headers"], "header_name": "X-Token"}, {}, "X-Token"),
    ],
)
@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_response_varies_on_what_may_sign_in(
    kind: Any, settings: dict[str, Any], fields: dict[str, str], varies: str
) -> None:
    """On cookies always, and on headers of ours that caches know nothing of."""  # S36
    answer = Through(House(**settings)).ask(kind, Ask(fields=[*fields.items()]))
    assert answer.one("Vary") == varies
