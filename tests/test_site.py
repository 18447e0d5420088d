"""The documentation site says what the code says, and fetches nothing from elsewhere.

``make docs`` builds it whole, with warnings as errors; here are its parts.
"""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs._site import hooks, pages, sequences
from jwt_middleware import Settings
from jwt_middleware.rotation import TABLE

ROOT = Path(__file__).parents[1]


def test_every_setting_is_on_the_page() -> None:
    """Each field has a heading, its sentence, its default and its variable."""
    page = pages.settings()
    for field in dataclasses.fields(Settings):
        part = page.split(f"### `{field.name}`\n")[1].split("###")[0]
        assert field.metadata["help"] in part
        assert f"`{field.default!r}`" in part
        assert f"`JWT_{field.name.upper()}`" in part


def test_no_secret_is_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment of the builder holds is not what the page shows."""  # S53
    monkeypatch.setenv("JWT_SECRET_KEY", "a secret of the builder, 32 bytes and more")
    assert "secret of the builder" not in pages.settings()


def test_every_row_of_the_table_has_a_drawing() -> None:
    """In the table's order, with the sentence that the table has."""
    assert list(sequences.SEQUENCES) == [row.name for row in TABLE]
    page = sequences.page()
    for row in TABLE:
        assert row.because in page
        assert row.verdict.name in page
        drawing = ET.fromstring(sequences.drawn(row.name))  # noqa: S314  # ours
        assert len(drawing.findall("line")) >= 3


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_drawings_show_what_rows_decide(row: Any) -> None:
    """Who is not signed in gets no tokens, who rotates gets both, and a reuse ends the session."""
    steps = [step.text for step in sequences.SEQUENCES[row.name]]
    answer = steps[-1]
    assert answer.startswith("anonymous") is not row.verdict.signed_in
    assert ("access token" in answer) is row.verdict.reissues
    assert any(step.startswith("revoke") for step in steps) is (row.verdict.name == "REUSE")
    assert any("swap" in step for step in steps) is (row.verdict.name in {"ROTATE", "AHEAD"})


@pytest.mark.parametrize(
    ("link", "placed"),
    [
        ("[keys](keys.md)", "[keys](keys.md)"),
        ("[keys](keys.md#roll-over)", "[keys](keys.md#roll-over)"),
        ("[start](../README.md)", "[start](index.md)"),
        ("[start](../README.md#the-handle)", "[start](index.md#the-handle)"),
        ("[all](../README.md#settings)", "[all](settings.md)"),
        ("[how](../README.md#how-reissue-works)", "[how](reissue.md)"),
        ("[a test](../tests/test_jws.py)", "a test (`tests/test_jws.py`)"),
        ("[RFC](https://www.rfc-editor.org/rfc/rfc7519)",) * 2,
        ("[below](#below)",) * 2,
        ("![plot](performance/peers.svg)",) * 2,
    ],
)
def test_links_of_the_repository_become_links_of_the_site(link: str, placed: str) -> None:
    """Pages keep their links, the README is the start, and files outside are named."""
    page: Any = type("Page", (), {"file": type("File", (), {"src_uri": "deploy.md"})})
    assert hooks.on_page_markdown(link, page) == placed


@pytest.mark.parametrize(
    "tag",
    ['<script src="https://cdn.example/x.js">', '<link rel="x" href="//fonts.example/a.css">'],
)
def test_a_page_that_would_fetch_from_elsewhere_is_no_page(tag: str) -> None:
    """The build stops and names the page; a link to read on is none of that."""
    page: Any = type("Page", (), {"file": type("File", (), {"src_uri": "deploy.md"})})
    with pytest.raises(hooks.PluginError, match=r"deploy\.md"):
        hooks.on_post_page(f"<p>{tag}</p>", page)
    assert hooks.on_post_page('<a href="https://example.com/">', page)


READ_IN_A_CLONE = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
)


@pytest.mark.parametrize("path", READ_IN_A_CLONE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_link_is_dead_in_a_clone(path: Path) -> None:
    """Each relative link names a file that there is, and, of a page, a heading that it has."""
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", prose(path))):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not anchor or target.suffix != ".md" or anchor in anchors(target), link


def prose(path: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """The headings of a page as links name them, by a code host's rules."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-") for name in headings}


def test_no_page_of_a_clone_is_for_the_site_alone() -> None:
    """What only a tool of the site could show (``:::`` of mkdocstrings) is in none of them."""
    assert [path for path in READ_IN_A_CLONE if "\n:::" in prose(path)] == []


def test_every_page_has_a_place() -> None:
    """No page of the folder is left out of the navigation."""
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    nav = set(re.findall(r"[\w/-]+\.md", text.split("\nnav:")[1]))
    there = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert nav == there | set(hooks.MADE)
    assert yaml.safe_load(text)["strict"] is True
