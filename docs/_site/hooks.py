"""Pages that are made from the code, and links as the site needs them (MkDocs hooks).

The pages in this folder are read on their own, too, so their links are those of the repository,
where what is made here is not. A link to a page becomes one to its place in the site, and one
that leaves the documentation (a test, an example) becomes the name of the file.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from docs._site import pages, sequences  # noqa: E402  # MkDocs runs this file by its path

MADE = {
    "index.md": lambda: pages.from_above(ROOT / "README.md"),
    "settings.md": pages.settings,
    "reissue.md": sequences.page,
    "reference.md": lambda: pages.REFERENCE,
    "changelog.md": lambda: pages.from_above(ROOT / "CHANGELOG.md"),
}
"""Pages by their address; each is made when the site is."""

SECTIONS = {"settings": "settings.md", "how-reissue-works": "reissue.md"}
"""Sections of the README of which the site has a page of its own, which says more."""

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_FOREIGN = re.compile(
    r"""<(?:link|script|img|iframe|source)\b[^>]*?(?:href|src)=["']?(?:https?:)?//"""
)


def on_files(files: Files, config: Any) -> Files:
    """Add what is made."""
    for address, make in MADE.items():
        files.append(File.generated(config, address, content=make()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links of the repository, as links of the site."""
    folder = (ROOT / "docs" / page.file.src_uri).parent
    return _LINK.sub(lambda link: _placed(link, folder), markdown)


def _placed(link: re.Match[str], folder: Path) -> str:
    image, text, target = link.groups()
    path, _, anchor = target.partition("#")
    if not path or "://" in path:
        return link[0]
    file = (folder / path).resolve()
    if file == ROOT / "README.md":
        file = ROOT / "docs" / SECTIONS.get(anchor, "index.md")
        anchor = "" if anchor in SECTIONS else anchor
    elif file == ROOT / "CHANGELOG.md":
        file = ROOT / "docs" / "changelog.md"
    if not file.is_relative_to(ROOT / "docs"):
        return f"{text} (`{file.relative_to(ROOT)}`)"
    up = [".."] * len(folder.relative_to(ROOT / "docs").parts)
    place = "/".join((*up, file.relative_to(ROOT / "docs").as_posix()))
    return f"{image}[{text}]({place}{'#' + anchor if anchor else ''})"


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """The site is whole by itself: nothing is fetched from elsewhere."""
    foreign = _FOREIGN.search(output)
    if foreign is not None:
        raise PluginError(f"{page.file.src_uri} would fetch from elsewhere: {foreign[0]}")
    return output
