"""Access rules: which request is asked what, and what it is answered."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepping import START, Browser, House, make_request
from through import AGES, Ask, Through, bearer, cookie

from jwt_middleware import ConfigurationError, Rule, Settings
from jwt_middleware.rules import RuleBook

SECRET = "a secret of the tests, 32 bytes and more"

RULES = [
    Rule("/admin", roles={"admin"}),
    Rule("/admin/help"),
    Rule("/reports", scopes={"reports:read"}),
    Rule("/reports", scopes={"reports:write"}, methods={"POST", "delete"}),
    Rule("/pay", max_age=300),
    Rule("/both", roles={"a", "b"}, roles_all={"c", "d"}),
    Rule("/"),
]
PUBLIC = ["/admin/login", "/reports"]


def asked(path: str, method: str = "GET", raw: str | None = None) -> list[str]:
    """The paths' rules that cover a request, told by what they ask."""
    request = make_request(method, path, raw_path=raw)
    found = RuleBook(RULES, PUBLIC).asked(request)
    return [next(rule.path for rule in RULES if rule.requirement == one) for one in found]


# ── Which rule ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("/admin", "/admin"),
        ("/admin/", "/admin"),
        ("/admin/users/7", "/admin"),
        ("/admin/help", "/admin/help"),
        ("/admin/help/x", "/admin/help"),
        ("/admin/helper", "/admin"),
        ("/administration", None),
        ("/Admin", None),
        ("/", "/"),
        ("/anything", None),
        ("", "/"),
    ],
)
def test_the_most_specific_rule_counts(path: str, rule: str | None) -> None:
    """Whole segments; the longest path that covers the request, and it alone."""  # S30
    # Rule("/admin/help") and Rule("/") ask the same: a sign-in.
    same = {"/": "/admin/help", "/admin/help": "/admin/help"}
    assert asked(path) == ([] if rule is None else [same.get(rule, rule)])


def test_a_public_path_below_a_rule_is_exempt() -> None:
    """The deeper one counts; a rule wins where both are equally deep."""  # S30
    assert asked("/admin/login") == asked("/admin/login/reset") == []
    assert asked("/reports") == asked("/reports/1") == ["/reports"]


@pytest.mark.parametrize("method", ["POST", "post", "DELETE", "delete"])
def test_a_rule_for_a_method_beats_one_for_all(method: str) -> None:
    """Names are compared as frameworks do: in upper case."""
    request = make_request(method, "/reports/1")
    (found,) = RuleBook(RULES, ()).asked(request)
    assert found.scopes == {"reports:write"}
    (found,) = RuleBook(RULES, ()).asked(make_request("PUT", "/reports/1"))
    assert found.scopes == {"reports:read"}


def test_head_is_asked_what_get_is() -> None:
    """It would show of a page that it is there, and how large."""
    book = RuleBook([Rule("/x", roles={"r"}, methods={"GET"})], ())
    assert len(book.asked(make_request("HEAD", "/x"))) == 1
    assert book.asked(make_request("POST", "/x")) == []


@pytest.mark.parametrize(
    ("path", "raw"),
    [
        ("/x/../admin", "/x/%2e%2e/admin"),
        ("/x/../admin", "/x/../admin"),
        ("//admin", "//admin"),
        ("/./admin/users", "/./admin/users"),
        ("/x\\..\\admin", "/x%5c..%5cadmin"),
        ("/x/%2e%2e/admin", "/x/%252e%252e/admin"),
        ("/%61dmin", "/%2561dmin"),
        ("/admin/login/../users", "/admin/login/../users"),
        ("/admin/login/..%2fusers", "/admin/login/..%252fusers"),
        ("/admin\n", "/admin%0a"),
        ("/ad\ufffdmin", "/ad%ffmin"),
        ("/@@admin", "/@@admin"),
        ("@@admin", "@@admin"),
        ("/admin;x=1", "/admin;x=1"),
        ("/x/..;/admin", "/x/..;/admin"),
        ("/x/..;/admin/login/..;/users", "/x/..;/admin/login/..;/users"),
        ("admin", "admin"),
        ("http://host/admin", "http://host/admin"),
        ("http:admin?x", "http:admin%3fx"),
        ("[/../admin", "[/../admin"),
        ("http://[/../../admin", "http://[/../../admin"),
    ],
)
def test_no_way_around_a_rule(path: str, raw: str) -> None:
    """Whatever an app behind might make of a path: every reading of it is asked for."""  # S30
    assert "/admin" in asked(path, raw=raw)


def test_a_parameter_of_a_segment_is_no_other_path() -> None:
    """``;`` makes nothing of a public path, unless it hides where the path leads."""  # S30
    assert asked("/admin/login/a;b") == []
    assert asked("/admin/login/..;b") == ["/admin", "/admin"]


@given(st.text(alphabet="/.\\%2efadmin", max_size=20), st.sampled_from(["/admin", "/admin/x"]))
def test_what_leads_to_a_rule_is_under_it(detour: str, target: str) -> None:
    """However many detours a path makes, if it resolves to a rule's path it is asked."""  # S30
    path = f"/{detour}/{'../' * (detour.count('/') + detour.count(chr(92)) + 1)}{target.strip('/')}"
    assert "/admin" in asked(path, raw=path)


# ── What it is answered ──────────────────────────────────────────────────────────


def house(**settings: Any) -> House:
    return House(rules=RULES, **settings)


def fields(house: House, claims: dict[str, Any], channel: str) -> list[tuple[str, str]]:
    pair = house.auth.issue("alice", claims)
    if channel == "bearer":
        return [bearer(pair.access_token)]
    return [cookie(access=pair.access_token, refresh=pair.refresh_token)]


ANSWERS = [
    ("/admin", {"roles": ["admin"]}, 200, ""),
    ("/admin", {"roles": ["user"]}, 403, 'error="insufficient_scope"'),
    ("/admin", {}, 403, 'error="insufficient_scope"'),
    ("/admin/help", {}, 200, ""),
    ("/reports", {"scope": "x reports:read"}, 200, ""),
    ("/reports", {"scope": "x"}, 403, 'scope="reports:read"'),
    ("/both", {"roles": ["a", "c", "d"]}, 200, ""),
    ("/both", {"roles": ["a", "c"]}, 403, 'error="insufficient_scope"'),
    ("/both", {"roles": ["c", "d"]}, 403, 'error="insufficient_scope"'),
    ("/open", {}, 200, ""),
]


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
@pytest.mark.parametrize("channel", ["bearer", "cookie"])
@pytest.mark.parametrize(("path", "claims", "status", "challenge"), ANSWERS)
@pytest.mark.parametrize("state", ["first sight", "seen before", "reissued"])
def test_a_rule_is_answered(
    kind: Any, channel: str, path: str, claims: Any, status: int, challenge: str, state: str
) -> None:
    """403 with the scope that is missing; the same for a token seen before, and a reissue."""
    # S33
    place = house()
    through = Through(place)
    presented = fields(place, claims, channel)
    if state == "seen before":
        through.ask(kind, Ask(path="/open", fields=presented))
    if state == "reissued":
        if channel == "bearer":
            return
        place.now += AGES
    answer = through.ask(kind, Ask(path=path, fields=presented))
    assert answer.status == status
    if challenge:
        assert challenge in (answer.one("WWW-Authenticate") or "")
        assert answer.one("Cache-Control") == "no-store"


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
@pytest.mark.parametrize("required", [False, True])
def test_a_rule_asks_for_a_sign_in(kind: Any, required: bool) -> None:
    """Anonymous requests get 401 where a rule covers them, in optional mode too."""  # S33
    through = Through(house(required=required))
    answer = through.ask(kind, Ask(path="/admin/help"))
    assert (answer.status, answer.one("WWW-Authenticate")) == (401, "Bearer")
    answer = through.ask(kind, Ask(path="/open"))
    assert answer.status == (401 if required else 200)


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_recent_sign_in(kind: Any) -> None:
    """max_age looks at the sign-in, which no reissue makes younger; a new login does."""
    # S33
    place = house()
    through = Through(place)
    pair = place.auth.issue("alice")
    presented = [cookie(access=pair.access_token, refresh=pair.refresh_token)]
    place.now += 299
    assert through.ask(kind, Ask(path="/pay", fields=presented)).status == 200
    place.now += AGES
    answer = through.ask(kind, Ask(path="/pay", fields=presented))
    assert answer.status == 401
    challenge = answer.one("WWW-Authenticate") or ""
    assert 'error="insufficient_user_authentication"' in challenge
    assert 'max_age="300"' in challenge


def test_a_browser_is_sent_to_sign_in_where_that_helps() -> None:
    """Nobody signed in, or too long ago: the login page. A role that is missing: 403."""
    place = house(login_url="/login")
    browser = Browser(place)
    page = {"accept": "text/html", "sec-fetch-mode": "navigate"}

    def status(path: str) -> int | None:
        refusal = browser.arrive(browser.request("GET", path, headers=page)).refusal
        return None if refusal is None else refusal.status

    assert status("/pay") == 303
    browser.login()
    assert status("/pay") is None
    assert status("/admin") == 403
    place.wait(301)
    assert status("/pay") == 303


def test_the_login_page_is_reached_through_any_rule() -> None:
    """Who is to sign in there cannot have done so."""
    place = House(rules=[Rule("/account")], login_url="/account/sign-in")
    browser = Browser(place)
    assert browser.arrive(browser.request("GET", "/account/sign-in")).refusal is None
    assert browser.arrive(browser.request("GET", "/account/other")).refusal is not None


def test_an_outage_under_a_rule() -> None:
    """Where a rule covers the path a sign-in is required: 503, not anonymous."""  # S45
    place = house()
    browser = Browser(place)
    browser.login()
    place.wait(AGES)
    place.down.add("load")
    refusal = browser.arrive(browser.request("GET", "/admin")).refusal
    assert refusal is not None
    assert refusal.status == 503
    assert browser.arrive(browser.request("GET", "/open")).refusal is None
    assert place.now > START


text: Any = "/admin"


# ── What is refused at start-up ──────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Rule("admin"), 'starts with "/"'),
        (lambda: Rule("/a/../b"), "segments"),
        (lambda: Rule("/a*"), "pattern"),
        (lambda: Rule("/a", methods="POST"), "methods"),
        (lambda: Rule("/a", methods=[]), "methods is"),
        (lambda: Rule("/a", methods={"PO ST"}), "method"),
        (lambda: Rule("/a", roles="admin"), "roles"),
        (lambda: Rule("/a", max_age="soon"), "max_age"),
        (lambda: Settings(secret_key=SECRET, rules=text), "no list of rules"),
        (lambda: Settings(secret_key=SECRET, rules=[text]), "no Rule"),
        (lambda: Settings(secret_key=SECRET, rules=[Rule("/a"), Rule("/a/")]), "two rules for /a"),
        (
            lambda: Settings(
                secret_key=SECRET,
                rules=[Rule("/a", methods={"GET", "PUT"}), Rule("/a", methods={"put"})],
            ),
            "the same methods",
        ),
        (
            lambda: Settings(
                secret_key=SECRET, rules=[Rule("/static/secret")], ignore_paths=["/static"]
            ),
            "ignore_paths",
        ),
    ],
)
def test_rules_that_cannot_be_meant(make: Any, told: str) -> None:
    """A slip is told when the app starts, not when somebody comes in by it."""
    with pytest.raises(ConfigurationError, match=told):
        make()


def test_rules_that_do_not_contradict() -> None:
    """One path may have a rule for each method, and one for the rest."""
    rules = [Rule("/a", methods={"GET"}), Rule("/a", methods={"POST"}), Rule("/a"), Rule("/a/b")]
    settings = Settings(
        secret_key=SECRET, rules=rules, public_paths=["/a/login"], ignore_paths=["/a/static"]
    )
    assert settings.rules == tuple(rules)


# ── The page ─────────────────────────────────────────────────────────────────────


def test_the_page_says_what_runs() -> None:
    """The snippets of docs/authorization.md, run one after the other, do what is said there."""
    page = (Path(__file__).parents[1] / "docs" / "authorization.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for snippet in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(snippet, "docs/authorization.md", "exec"), names)  # noqa: S102  # our own page
    place = House(rules=names["settings"].rules, public_paths=names["settings"].public_paths)
    verdicts: list[bool] = []
    through = Through(place, lambda _: verdicts.append(names["may_see_the_keys"](None)))

    def status(path: str, claims: dict[str, Any], method: str = "GET") -> int:
        presented = fields(place, claims, "bearer")
        return through.ask("wsgi", Ask(method=method, path=path, fields=presented)).status

    assert status("/account", {}) == 200
    assert status("/admin", {"roles": ["owner"]}) == 200
    assert status("/admin/keys", {"roles": ["owner", "admin"]}) == 403
    assert status("/admin/keys", {"roles": ["security", "admin"]}) == 200
    assert status("/reports", {"scope": "reports:read"}) == 200
    assert status("/reports", {"scope": "reports:read"}, "POST") == 403
    assert status("/reports", {"scope": "reports:write"}, "POST") == 200
    assert status("/pay", {}) == 200
    assert through.ask("wsgi", Ask(path="/admin/help")).status == 200
    assert verdicts == [False, False, True, False, False, False, False]
