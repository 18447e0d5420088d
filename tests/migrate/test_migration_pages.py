"""The pages of docs/migrate, held to their word beside the real old packages."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from environments import PINNED, ROOT, told_by

from jwt_middleware import ConfigurationError
from jwt_middleware.settings import Settings

PAGES = ROOT / "docs" / "migrate"
OLD_SECRET = "the old package's secret, 32 bytes and more"


def played(package: str, monkeypatch: pytest.MonkeyPatch, place: Path) -> Any:
    """What came of the page's code, in the package's own environment."""
    until = datetime.fromtimestamp(time.time() + 86_400, UTC)
    for name, value in {
        "SESSION_SECRET_KEY": "a new secret for our own tokens, 32 bytes and more",
        "JWT_SECRET_KEY": OLD_SECRET,
        "OLD_SECRET": OLD_SECRET,
        "OLD_TOKENS_UNTIL": until.isoformat(),
    }.items():
        monkeypatch.setenv(name, value)
    page = PAGES / f"{package}.md"
    return told_by(package, "play.py", package.replace("-", "_"), str(page), cwd=place)


@pytest.mark.parametrize("package", PINNED)
def test_the_code_of_a_page(package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Old access tokens open the app, old refresh tokens do not, and each of them is worth one
    session of ours, where the old package has any."""  # S19
    who = "1" if package == "simplejwt" else "alice"
    told = played(package, monkeypatch, tmp_path)
    assert "nobody" in told.pop("nobody")
    assert f"Hello {who}" in told.pop("old")
    if package == "fastapi-users":
        assert told == {}
        return
    assert "nobody" in told.pop("refresh")
    assert f"Hello {who}" in told.pop("new")
    assert told.pop("by access token") in {401, 422}
    assert told == {"exchanged": 200, "again": 401, "type": "Bearer"}


def test_every_page_is_linked() -> None:
    """The overview links each page, and the README the overview."""
    pages = {page.name for page in PAGES.glob("[!R]*.md")}
    assert pages == {f"{package}.md" for package in PINNED}
    overview = (PAGES / "README.md").read_text("utf-8")
    assert pages == set(re.findall(r"^\|.*\]\((\S+\.md)\)", overview, re.MULTILINE))
    assert "docs/migrate/README.md" in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("package", PINNED)
def test_what_a_page_calls_ours_is_ours(package: str) -> None:
    """The right-hand column of each table of settings names settings that exist."""
    text = (PAGES / f"{package}.md").read_text("utf-8")
    table = text.split("## Settings")[1].split("\n\n")[1]
    named = {
        name
        for row in table.splitlines()[2:]
        for name in re.findall(r"`([a-z][a-z_]+)`", row.split(" | ")[1])
    }
    known = {*Settings.__dataclass_fields__, "until", "secret", "load_claims"}
    assert named - known == set()


@pytest.mark.parametrize("package", ["flask-jwt-extended", "authx"])
def test_what_their_names_are_answered(package: str) -> None:
    """Who keeps a variable of the old package is told the setting that its page names, or, where
    there is none, of the page; never of a setting that is for something else."""
    text = (PAGES / f"{package}.md").read_text("utf-8").split("## Settings")[1]
    rows = re.findall(r"^\| (`JWT_.*?) \| (.*) \|$", text, re.MULTILINE)
    theirs = [(name, ours) for row, ours in rows for name in re.findall(r"`(JWT_[A-Z_]+)`", row)]
    assert len(theirs) > 15
    for name, ours in theirs:
        same = {name.removeprefix("JWT_").lower(), f"{name.removeprefix('JWT_').lower()}s"}
        if same.isdisjoint(Settings.__dataclass_fields__):
            fault = answered(name)
            meant = re.findall(r"did you mean JWT_(\w+)\?", fault)
            assert all(f"`{one.lower()}`" in ours for one in meant), fault
            assert meant or "docs/migrate" in fault


def answered(name: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env(environ={"JWT_SECRET_KEY": OLD_SECRET, name: "1"})
    (fault,) = caught.value.faults
    return fault


def test_simplejwts_page_has_every_key() -> None:
    """Whoever looks for a setting of theirs finds what becomes of it."""
    text = (PAGES / "simplejwt.md").read_text("utf-8").split("## Settings")[1]
    keys = told_by("simplejwt", "issue_simplejwt.py", OLD_SECRET)["settings"]
    assert [key for key in keys if f"`{key}`" not in text] == []
