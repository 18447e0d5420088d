"""docs/csrf.md, held to its word: its app is run, its script's cookie and header are ours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from forging import make_settings
from stepping import SECRET

from jwt_middleware.csrf import CsrfPolicy
from jwt_middleware.forms import LOOKED_AT

PAGE = (Path(__file__).parents[1] / "docs" / "csrf.md").read_text("utf-8")
BASE = "https://testserver"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """The page's own app."""
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.setenv("JWT_SESSION_STORE", "memory://")
    names: dict[str, Any] = {"__name__": "page"}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        exec(compile(block, "docs/csrf.md", "exec"), names)  # noqa: S102  # our own page
    return names["app"].test_client()


def field_in(html: str) -> str:
    (token,) = re.findall('name="csrf_token" value="([^"]+)"', html)
    return token


def test_its_forms_work(client: FlaskClient) -> None:
    """Its login form signs in, its next form is served, and neither works without its field."""
    token = field_in(client.get("/login", base_url=BASE).text)
    page = client.post("/login", base_url=BASE, data={"csrf_token": token})
    assert page.status_code == 200
    data = {"csrf_token": field_in(page.text)}
    assert client.post("/orders", base_url=BASE, data=data).text == "Thank you, alice."
    refused = client.post("/orders", base_url=BASE, data={})
    assert (refused.status_code, refused.text) == (403, "Sign in first (csrf_token_missing).")
    refused = client.post("/orders", base_url=BASE, data={"csrf_token": token})
    assert refused.text == "Sign in first (csrf_token_invalid)."


def test_its_script_works(client: FlaskClient) -> None:
    """The cookie it reads and the header it sends are those that count."""
    (name,) = re.findall(r"\(\?:\^\|; \)([\w-]+)=", PAGE)
    (header,) = re.findall(r'headers: {"([\w-]+)": token}', PAGE)
    token = client.get("/csrf", base_url=BASE).json["csrf_token"]  # type: ignore[index]
    client.post("/login", base_url=BASE, headers={header: token})
    cookie = client.get_cookie(name, domain="testserver")
    assert cookie is not None
    assert not cookie.http_only
    answer = client.post("/orders", base_url=BASE, headers={header: cookie.value})
    assert answer.text == "Thank you, alice."


def test_its_reasons_are_ours() -> None:
    """The table lists every reason the verdict can have, and the limit is the code's."""
    table = PAGE.partition("| reason |")[2].partition("\n\n")[0]
    listed = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    policy = CsrfPolicy(make_settings(csrf="double-submit"))
    assert listed == [*policy._texts]
    assert f"first {LOOKED_AT // 1024} KB" in PAGE


def test_its_tests_are_there() -> None:
    """Every test it names is among those that a real browser makes."""
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    tried = (Path(__file__).parent / "browser" / "test_cross_site.py").read_text("utf-8")
    assert named
    assert named <= set(re.findall(r"^def (test_\w+)\(", tried, re.MULTILINE))
