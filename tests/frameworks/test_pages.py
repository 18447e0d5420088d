"""The pages of docs/frameworks, held to their word: the code of each is run and used."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings
from staying import staying
from stepping import SECRET
from through import Ask, ask_asgi, ask_wsgi

ROOT = next(path for path in Path(__file__).parents if (path / "pyproject.toml").exists())
PAGES = sorted((ROOT / "docs" / "frameworks").glob("[!R]*.md"))
WSGI = {"bottle", "django", "falcon", "flask", "pyramid"}


def code_of(page: Path) -> list[str]:
    """The Python on a page, each block behind as many empty lines as precede it."""
    text = page.read_text("utf-8")
    blocks = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return ["\n" * text.count("\n", 0, block.start(1)) + block[1] for block in blocks]


def run(page: Path) -> dict[str, Any]:
    """What a page defines, when its code stands in one module."""
    module = types.ModuleType(f"page_{page.stem}")
    sys.modules[module.__name__] = module  # where frameworks look annotations up
    for code in code_of(page):
        exec(compile(code, str(page), "exec"), module.__dict__)  # noqa: S102  # our own page
    return module.__dict__


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody gets 401, who has signed in is greeted, and what is for admins is refused."""
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.chdir(tmp_path)
    defined = run(page)
    if page.stem == "django":
        own = {name: value for name, value in defined.items() if name.isupper()}
        monkeypatch.setattr("sites.django_site.urlpatterns", defined["urlpatterns"], raising=False)
        with override_settings(**own):
            story(WSGIHandler(), "wsgi")
    else:
        story(defined["app"], "wsgi" if page.stem in WSGI else "asgi")


def story(app: Any, door: str) -> None:
    def ask(method: str, path: str, **cookies: str) -> Any:
        jar = "; ".join(f"{name}={value}" for name, value in cookies.items())
        ask = Ask(method=method, path=path, fields=[("Cookie", jar)] if jar else [])
        return ask_wsgi(app, ask.environ) if door == "wsgi" else ask_asgi(staying(app), ask.scope())

    assert ask("GET", "/").status == 401
    jar = ask("POST", "/login").cookies
    greeting = ask("GET", "/", **jar)
    assert greeting.status == 200
    assert b"alice" in greeting.body
    assert ask("GET", "/admin", **jar).status == 403


def test_every_page_is_linked() -> None:
    """The overview links each page, and the README the overview."""
    overview = (ROOT / "docs" / "frameworks" / "README.md").read_text("utf-8")
    assert {f"{page.stem}.md" for page in PAGES} == set(re.findall(r"\]\((\w+\.md)\)", overview))
    assert "docs/frameworks/README.md" in (ROOT / "README.md").read_text("utf-8")
