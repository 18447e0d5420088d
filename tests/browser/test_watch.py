"""The demo's page, through every button of it, in a real browser, on both doors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from browser.chromium import chromium
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from jwt_middleware.demo.client import Browser
from jwt_middleware.demo.config import demo_auth
from jwt_middleware.demo.server import DOORS, serving
from jwt_middleware.demo.watch.actions import Watch

SHOTS = os.environ.get("SHOTS")
"""A directory for pictures of the page: how those in docs/images are made."""


@pytest.fixture
def urls() -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        found: dict[str, str] = {}
        for door in DOORS:
            watch = Watch(lambda event: None)
            auth = stack.enter_context(demo_auth(on_event=watch.hear, clock=watch.clock))
            found[door] = stack.enter_context(serving(door, auth, watch=watch))
        yield found


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        driver.set_window_size(1100, 1150)
        yield driver


@pytest.fixture(params=DOORS)
def page(request: pytest.FixtureRequest, urls: dict[str, str], browser: Chrome) -> Page:
    browser.execute_cdp_cmd("Network.clearBrowserCookies", {})
    browser.get(urls[request.param] + "/")
    return Page(browser)


class Page:
    """The page, as a person uses it."""

    def __init__(self, browser: Chrome) -> None:
        self.browser = browser

    def lines(self) -> list[str]:
        """The log, the latest first."""
        script = "return [...document.querySelectorAll('#log li')].map(item => item.innerText)"
        return self.browser.execute_script(script)

    def press(self, button: str, new: int = 1) -> list[str]:
        """Press a button by the keyboard; the new lines of the log, the latest first."""
        before = len(self.lines())
        self.browser.find_element("id", button).send_keys(Keys.ENTER)
        WebDriverWait(self.browser, 10, 0.02).until(lambda _: len(self.lines()) >= before + new)
        return self.lines()[: len(self.lines()) - before]

    def text(self, name: str) -> str:
        return self.browser.find_element("id", name).text

    def count(self, selector: str) -> int:
        return len(self.browser.find_elements("css selector", selector))

    def picture(self, name: str) -> None:
        if SHOTS:
            Path(SHOTS, f"{name}.png").write_bytes(self.browser.get_screenshot_as_png())


def test_tokens_are_seen_from_sign_in_to_sign_out(page: Page) -> None:
    """Issued, used, expired, reissued once for twenty, lost and asked for again, signed out."""
    assert "303" in page.press("sign-in")[0]
    assert page.text("state") == "Signed in as alice."
    assert '"sub": "alice"' in page.text("access-claims")
    assert '"gen": 0' in page.text("refresh-claims")
    assert "The access token is valid" in page.press("call")[0]
    assert "The clock moved on by 11 seconds." in page.press("expire")[0]
    lines = page.press("call-20", 20)
    assert len(lines) == 20
    assert all("→ 200" in line for line in lines)
    assert sum("Reissued" in line for line in lines) == 1
    assert '"gen": 1' in page.text("refresh-claims")
    page.press("call")
    page.press("expire")
    page.press("lose")
    assert "lost on its way" in page.press("call")[0]
    assert '"gen": 1' in page.text("refresh-claims")
    page.press("expire")
    assert "An answer was lost: the same successor again." in page.press("call")[0]
    assert '"gen": 2' in page.text("refresh-claims")
    WebDriverWait(page.browser, 5, 0.05).until(lambda _: page.count("svg .bar") > 4)
    assert page.count("svg circle.reissued") > 0
    assert "session has ended" in page.press("sign-out")[0]
    assert page.text("state") == "Nobody is signed in: the session has ended."
    assert page.text("access-claims") == "none"
    assert "→ 401" in page.press("call")[0]


def test_attacks_are_seen(page: Page) -> None:
    """A forged token is replaced, a rolled key signs nobody out, a spent token ends the session."""
    page.press("sign-in")
    page.press("tamper")
    (line,) = page.press("call")
    assert "→ 200" in line
    assert "Reissued inside this very request." in line
    assert "A new key signs" in page.press("roll")[0]
    assert "The access token is valid" in page.press("call")[0]
    assert "was copied to another machine" in page.press("steal")[0]
    page.press("expire")
    assert "Reissued" in page.press("call")[0]
    page.press("call")
    page.press("expire")
    (line,) = page.press("elsewhere")
    assert line.startswith("Elsewhere: GET /me → 401")
    assert "A spent refresh token was used: the session has ended." in line
    WebDriverWait(page.browser, 5, 0.05).until(lambda _: page.count("svg circle.revoked") > 0)
    assert page.text("state") == "Nobody is signed in: the session has ended."
    page.picture("theft")
    assert "→ 401" in page.press("call")[0]


def test_a_thief_who_is_first_gets_tokens_of_his_own(page: Page) -> None:
    """What a thief is given stays with him, until everybody is signed out everywhere."""
    page.press("sign-in")
    claims = page.text("refresh-claims")
    page.press("steal")
    assert "→ 200" in page.press("elsewhere")[0]
    assert page.text("refresh-claims") == claims
    assert "session has ended" in page.press("sign-out-everywhere")[0]
    page.press("expire")
    assert "→ 401" in page.press("elsewhere")[0]


def test_a_first_visit(page: Page) -> None:
    """What to press first is said until something was pressed, and names buttons that exist."""
    assert "To begin, press" in page.text("begin")
    buttons = {one.text for one in page.browser.find_elements("tag name", "button")}
    steps = [one.text for one in page.browser.find_elements("css selector", "#begin li")]
    assert len(steps) == 3
    assert set(steps) <= buttons
    page.press("sign-in")
    assert page.text("begin") == ""


def test_all_of_it_by_the_keyboard(page: Page) -> None:
    """Tab reaches the link, each button in its order, then the log, and shows where it is."""
    order = [
        "a",
        *(one.get_attribute("id") for one in page.browser.find_elements("tag name", "button")),
    ]
    reached = []
    for _ in (*order, "log"):
        ActionChains(page.browser).send_keys(Keys.TAB).perform()
        script = """const at = document.activeElement;
          return [at.id || at.localName, getComputedStyle(at).outlineStyle]"""
        reached.append(page.browser.execute_script(script))
    assert reached == [[one, "solid"] for one in (*order, "log")]


def test_without_tokens_there_is_nothing_to_attack(page: Page) -> None:
    """Who is not signed in has nothing to tamper with, and nothing to steal."""
    assert "There is no access token" in page.press("tamper")[0]
    assert "to steal is not there" in page.press("steal")[0]


def test_the_script_sees_no_token(page: Page) -> None:
    """Neither the script's cookies nor the page hold anything that signs somebody in."""
    page.press("sign-in")
    assert page.browser.execute_script("return document.cookie") == ""
    assert "eyJ" not in page.browser.page_source


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_the_page_fits(page: Page, look: str) -> None:
    """In the dark the page is dark; on a phone nothing is wider than the screen."""
    width = 390 if look == "phone" else 1100
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": look == "phone"}
    scheme = {"name": "prefers-color-scheme", "value": "dark" if look == "dark" else "light"}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    page.press("sign-in")
    page.press("expire")
    page.press("call-20", 20)
    script = "return [document.documentElement.scrollWidth, getComputedStyle(document.body).color]"
    found, ink = page.browser.execute_script(script)
    latest = page.browser.find_element("id", "latest").rect
    page.picture(look)
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert found <= width
    # Where the log may be out of sight, its latest line is not.
    assert (latest["height"] > 20) is (look == "phone")
    assert ink == ("rgb(230, 234, 242)" if look == "dark" else "rgb(26, 33, 48)")


@pytest.mark.parametrize("door", DOORS)
def test_buttons_are_for_the_page_alone(urls: dict[str, str], door: str) -> None:
    """Without the page's own header, which no other site can send, an action is a 404."""
    assert Browser(urls[door]).send("POST", "/watch/roll").status == 404
    assert Browser(urls[door]).send("GET", "/watch/nothing").status == 404


@pytest.mark.parametrize("door", DOORS)
def test_its_former_place_leads_to_it(urls: dict[str, str], door: str) -> None:
    """`/` is the page, `/watch` leads there, and the app that is watched is at `/account`."""
    browser = Browser(urls[door])
    assert "Watch the tokens" in browser.send("GET", "/").text
    assert browser.send("GET", "/watch").status == 303
    browser.login("alice")
    assert "Access token valid" in browser.get("/account").text
