"""Cross-site requests that a real browser makes: what it sends is real, the app's view is asserted.

A page of a stranger's (another site) and one of a sibling's (another host of the same site) try
what pages can. With `SameSite=Lax` the browser withholds the cookies from the stranger, never from
the sibling; with `None` it withholds them from nobody, and our verdict is the only fence.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from browser.chromium import chromium
from browser.places import (
    OURS,
    SIBLING,
    STRANGER,
    VISITED,
    Certificate,
    Ours,
    our_place,
    their_place,
)
from selenium.webdriver import Chrome
from through import AGES
from werkzeug.serving import make_ssl_devcert

FORM = """
    const form = document.createElement("form")
    form.method = "post"
    form.action = arguments[0]
    form.innerHTML = '<input name="csrf_token" value="guessed">'
    document.body.append(form)
    form.submit()
"""
POSTS = {
    "form in a frame": """
        const frame = document.createElement("iframe")
        frame.name = "inner"
        document.body.append(frame)
        const form = document.createElement("form")
        Object.assign(form, {method: "post", action: arguments[0], target: "inner"})
        document.body.append(form)
        form.submit()
    """,
    "form of a sandbox, whose origin is null": """
        const frame = document.createElement("iframe")
        frame.sandbox = "allow-forms allow-scripts"
        frame.srcdoc = `<form method="post" action="${arguments[0]}"></form>
            <script>document.forms[0].submit()</script>`
        document.body.append(frame)
    """,
    "fetch": """
        fetch(arguments[0], {method: "POST", mode: "no-cors", credentials: "include"})
    """,
    "fetch of a form": """
        const body = new URLSearchParams({csrf_token: "guessed"})
        fetch(arguments[0], {method: "POST", mode: "no-cors", credentials: "include", body})
    """,
    "beacon": "navigator.sendBeacon(arguments[0], 'x')",
}
"""Ways of a page to have the browser send a POST, with cookies if it has its way, and to stay."""

GETS = {
    "image": "new Image().src = arguments[0]",
    "script": """
        const script = document.createElement("script")
        script.src = arguments[0]
        document.body.append(script)
    """,
    "fetch": "fetch(arguments[0], {mode: 'no-cors', credentials: 'include'})",
    "fetch without credentials": "fetch(arguments[0], {mode: 'no-cors', credentials: 'omit'})",
}
"""Ways to have it send a GET from within a page."""

PLACES = {
    "-".join(settings): settings
    for settings in (
        ("wsgi", "origin", "Lax"),
        ("asgi", "origin", "None"),
        ("wsgi", "double-submit", "None"),
        ("asgi", "double-submit", "Lax"),
    )
}
"""Every two of door, `csrf` and `cookie_samesite` meet."""

OWN_FETCH = """
    const [url, headers, done] = arguments
    fetch(url, {method: "POST", headers}).then(answer => answer.text()).then(done)
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_ssl_devcert(str(tmp_path_factory.mktemp("tls") / "any"), "example.com")


@pytest.fixture(scope="module")
def their_port(certificate: Certificate) -> Iterator[int]:
    with their_place(certificate) as port:
        yield port


@pytest.fixture(scope="module")
def places(certificate: Certificate) -> Iterator[dict[str, Ours]]:
    """All of our places at once: a server ends promptly only after the browser has."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                our_place(door, certificate, csrf=csrf, cookie_samesite=samesite)
            )
            for name, (door, csrf, samesite) in PLACES.items()
        }


@pytest.fixture(scope="module")
def browser(
    places: dict[str, Ours], their_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="module", params=PLACES)
def place(request: pytest.FixtureRequest, places: dict[str, Ours]) -> Ours:
    return places[request.param]


@pytest.fixture(scope="module")
def signed_in(place: Ours, browser: Chrome) -> Ours:
    """Alice has signed in by a page of ours, and no test signs her out."""
    browser.execute_cdp_cmd("Network.clearBrowserCookies", {})
    browser.get(place.url("/"))
    url = place.fresh("login")
    browser.execute_async_script(OWN_FETCH, url, {"X-CSRF-Token": page_token(browser)})
    assert place.arrival(url).subject == "alice"
    return place


def page_token(browser: Chrome) -> str:
    """The CSRF token in the page that is open."""
    return browser.execute_script("return document.body.dataset.token")


def still_alice(place: Ours, browser: Chrome) -> bool:
    """Whether a page of ours, opened by the user, finds Alice signed in."""
    url = place.fresh()
    browser.get(url)
    return place.arrival(url).subject == "alice"


def withheld(place: Ours, host: str) -> bool:
    """Whether the browser itself keeps the cookies from what a page of this host causes."""
    return host == STRANGER and place.house.auth.settings.cookie_samesite == "Lax"


# ── What others try ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize("host", [STRANGER, SIBLING])
def test_no_other_page_acts_in_the_users_name(
    signed_in: Ours, browser: Chrome, their_port: int, host: str
) -> None:
    """Every POST that another page causes is nobody's, and the user stays signed in."""
    # S40
    browser.get(f"https://{host}:{their_port}/")
    for attack, script in {**POSTS, "form": FORM}.items():
        url = signed_in.fresh()
        browser.execute_script(script, url)
        seen = signed_in.arrival(url)
        # A sandboxed frame is of no site: to Lax it is a stranger, whoever has made it.
        kept_back = withheld(signed_in, STRANGER if "sandbox" in attack else host)
        assert ("cookie" not in seen.said) is kept_back, attack
        expected = ("POST", None, "missing" if kept_back else "csrf")
        assert (seen.method, seen.subject, seen.reason) == expected, attack
    assert still_alice(signed_in, browser)


@pytest.mark.parametrize("host", [STRANGER, SIBLING])
def test_a_refusal_rotates_nothing(
    signed_in: Ours, browser: Chrome, their_port: int, host: str
) -> None:
    """With an expired access token, too: the verdict comes before the refresh token is used."""
    # S40
    signed_in.house.now += AGES
    (before,) = signed_in.house.auth.sessions("alice")[-1:]
    browser.get(f"https://{host}:{their_port}/")
    url = signed_in.fresh()
    browser.execute_script(POSTS["fetch"], url)
    assert signed_in.arrival(url).subject is None
    (after,) = signed_in.house.auth.sessions("alice")[-1:]
    assert after == before
    assert still_alice(signed_in, browser)


@pytest.mark.parametrize("host", [STRANGER, SIBLING])
def test_nobody_is_signed_out(signed_in: Ours, browser: Chrome, their_port: int, host: str) -> None:
    """A form of another page's that posts to the logout ends no session."""
    # S40
    browser.get(f"https://{host}:{their_port}/")
    url = signed_in.fresh("out")
    browser.execute_script(FORM, url)
    signed_in.arrival(url)
    assert still_alice(signed_in, browser)


@pytest.mark.parametrize("host", [STRANGER, SIBLING])
def test_nobody_is_signed_in(place: Ours, browser: Chrome, their_port: int, host: str) -> None:
    """Another page cannot sign a visitor in to an account of its own (login CSRF)."""
    # S40
    browser.get(place.url("/", VISITED))  # a visitor's CSRF cookie, where there is one
    browser.get(f"https://{host}:{their_port}/")
    url = place.fresh("login", VISITED)
    browser.execute_script(FORM, url)
    seen = place.arrival(url)
    assert (seen.subject, seen.refused) == (None, True)
    url = place.fresh("", VISITED)
    browser.get(url)
    assert place.arrival(url).subject is None


@pytest.mark.parametrize("host", [STRANGER, SIBLING])
def test_a_header_of_ours_is_asked_for_first(
    signed_in: Ours, browser: Chrome, their_port: int, host: str
) -> None:
    """A script that would send our CSRF header has to ask by a preflight, and is not let."""
    # S35, S40
    browser.get(f"https://{host}:{their_port}/")
    url = signed_in.fresh()
    answer = browser.execute_async_script(
        """
        const [url, done] = arguments
        const headers = {"X-CSRF-Token": "guessed"}
        fetch(url, {method: "POST", credentials: "include", headers}).then(
            () => done("sent"), () => done("refused"))
        """,
        url,
    )
    assert answer == "refused"
    path = signed_in.arrival(url).path
    asked = {(one.method, one.subject) for one in signed_in.seen if one.path == path}
    assert asked == {("OPTIONS", None)}


@pytest.mark.parametrize("host", [STRANGER, SIBLING])
def test_reading_is_not_acting(
    signed_in: Ours, browser: Chrome, their_port: int, host: str
) -> None:
    """A GET from within another page is whose cookies come: it must change nothing."""
    # S40
    browser.get(f"https://{host}:{their_port}/")
    for attack, script in GETS.items():
        url = signed_in.fresh()
        browser.execute_script(script, url)
        seen = signed_in.arrival(url)
        without = withheld(signed_in, host) or "without" in attack
        expected = ("GET", None if without else "alice")
        assert (seen.method, seen.subject) == expected, attack
    assert still_alice(signed_in, browser)


@pytest.mark.parametrize("host", [STRANGER, SIBLING])
def test_a_link_from_elsewhere_finds_the_user(
    signed_in: Ours, browser: Chrome, their_port: int, host: str
) -> None:
    """Whoever follows a link to us is signed in: also by an access token that has expired."""
    # S40
    signed_in.house.now += AGES
    browser.get(f"https://{host}:{their_port}/")
    url = signed_in.fresh()
    browser.execute_script("location = arguments[0]", url)
    assert signed_in.arrival(url).subject == "alice"


def test_a_sibling_plants_no_cookie_of_ours(
    signed_in: Ours, browser: Chrome, their_port: int
) -> None:
    """The browser keeps no `__Host-` cookie that another host sets for the whole domain."""
    # S25, S40
    browser.get(f"https://{SIBLING}:{their_port}/")
    kept = browser.execute_script(
        """
        const rest = "_token=planted; Domain=example.com; Path=/; Secure"
        for (const prefix of ["__Host-", ""])
            for (const name of ["access", "refresh", "csrf"])
                document.cookie = prefix + name + rest
        return document.cookie
        """
    )
    assert "access_token=planted" in kept  # the plain names: nobody reads them
    url = signed_in.fresh()
    browser.get(url)
    seen = signed_in.arrival(url)
    assert seen.subject == "alice"
    assert "; access_token=planted" in "; " + seen.said["cookie"]
    assert "__Host-access_token=planted" not in seen.said["cookie"]
    browser.execute_async_script(OWN_FETCH, signed_in.fresh(), {"X-CSRF-Token": "planted"})
    assert still_alice(signed_in, browser)


# ── What our own pages do ────────────────────────────────────────────────────────


def own_post(place: Ours, browser: Chrome, **headers: str) -> tuple[str | None, str | None]:
    """Whom the app sees when a script of its own page posts, and the reason for nobody."""
    url = place.fresh()
    browser.execute_async_script(OWN_FETCH, url, headers)
    seen = place.arrival(url)
    assert seen.said["sec-fetch-site"] == "same-origin"
    return seen.subject, seen.reason


def asks_for_token(place: Ours) -> bool:
    return place.house.auth.settings.csrf == "double-submit"


def test_a_script_of_ours_acts(signed_in: Ours, browser: Chrome) -> None:
    """With the value that it finds in the cookie, where a token is asked for."""
    # S40
    browser.get(signed_in.url("/"))
    cookies: str = browser.execute_script("return document.cookie")
    assert ("__Host-csrf_token=" in cookies) is asks_for_token(signed_in)
    assert "__Host-access_token" not in cookies
    token = cookies.partition("__Host-csrf_token=")[2].partition(";")[0]
    assert own_post(signed_in, browser, **{"X-CSRF-Token": token}) == ("alice", None)
    without = own_post(signed_in, browser)
    guessed = own_post(signed_in, browser, **{"X-CSRF-Token": "guessed"})
    if asks_for_token(signed_in):
        assert (without, guessed) == ((None, "csrf_token_missing"), (None, "csrf_token_invalid"))
    else:
        assert (without, guessed) == (("alice", None), ("alice", None))


@pytest.mark.parametrize("policy", ["", "no-referrer"])
def test_a_form_of_ours_acts(signed_in: Ours, browser: Chrome, policy: str) -> None:
    """With its hidden field; also on a page that hides its origin, whose `Origin` is null."""
    # S40
    browser.get(signed_in.url("/"))
    url = signed_in.fresh()
    browser.execute_script(
        """
        const [url, policy] = arguments
        if (policy) {
            const meta = document.createElement("meta")
            Object.assign(meta, {name: "referrer", content: policy})
            document.head.append(meta)
        }
        const form = document.createElement("form")
        Object.assign(form, {method: "post", action: url})
        const field = document.createElement("input")
        Object.assign(field, {name: "csrf_token", value: document.body.dataset.token})
        form.append(field)
        document.body.append(form)
        form.submit()
        """,
        url,
        policy,
    )
    seen = signed_in.arrival(url)
    assert seen.said["origin"] == ("null" if policy else f"https://{OURS}:{signed_in.port}")
    assert seen.subject == "alice"
