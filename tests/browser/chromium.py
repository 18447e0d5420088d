"""A real browser without a screen: Debian's chromium, driven by chromedriver.

Every host name leads to this machine, so pages on `app.example.com` and `evil.example` are what
they claim to be, and nothing leaves it. Certificates are not asked for: what is tried is what a
browser sends, not whom it trusts.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from stores.services import missing

PATIENCE = 20.0
"""Seconds a page or a script may take."""

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # its sandbox does not run as root, as CI does
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * 127.0.0.1",
    "--ignore-certificate-errors",
)


@contextmanager
def chromium(directory: Path) -> Iterator[Chrome]:
    """A browser with a profile of its own in ``directory``, as long as the block lasts."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        missing("needs chromium and chromedriver: apt install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = program
    for argument in (*ARGUMENTS, f"--user-data-dir={directory}"):
        options.add_argument(argument)
    # What SameSite=None allows is tried, too: as in browsers that still send such cookies.
    options.add_experimental_option("prefs", {"profile.cookie_controls_mode": 0})
    browser = Chrome(options, Service(driver))
    try:
        browser.set_page_load_timeout(PATIENCE)
        browser.set_script_timeout(PATIENCE)
        yield browser
    finally:
        browser.quit()
