"""What only a real server shows: pages of docs/frameworks, served and asked from outside."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from real_http import ACCESS, PATIENCE, Browser, call, free_port, serving
from test_pages import ROOT, code_of
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

PAGES = ROOT / "docs" / "frameworks"
PLAIN = {"JWT_COOKIE_SECURE": "false", "JWT_SESSION_STORE": "memory://"}


@pytest.mark.parametrize("protocol", ["websockets", "wsproto"])
def test_a_fastapi_websocket(protocol: str, tmp_path: Path) -> None:
    """Who is not signed in is told by the handshake's answer; who is gets the news."""  # S33, S50
    (tmp_path / "page.py").write_text("".join(code_of(PAGES / "fastapi.md")), "utf-8")
    port = free_port()
    arguments = ["-m", "uvicorn", "--app-dir", str(tmp_path), "--ws", protocol, "page:app"]
    news = f"ws://127.0.0.1:{port}/news"
    with serving(*arguments, "--port", str(port), port=port, log=tmp_path / "log", variables=PLAIN):
        with pytest.raises(InvalidStatus) as refused:
            connect(news, open_timeout=PATIENCE, proxy=None)
        assert refused.value.response.status_code == 401
        assert refused.value.response.headers["WWW-Authenticate"] == "Bearer"
        browser = Browser(port)
        browser.post("/login")
        fields = {"Cookie": f"{ACCESS}={browser.jar[ACCESS]}"}
        with connect(news, additional_headers=fields, proxy=None) as socket:
            assert socket.recv(PATIENCE) == "Good morning, alice."


def test_an_ini_file(tmp_path: Path) -> None:
    """A server that reads paste's files serves the pipeline as the page has it, and the
    section's options are the settings."""
    (tmp_path / "page.py").write_text("".join(code_of(PAGES / "pyramid.md")), "utf-8")
    page = (PAGES / "pyramid.md").read_text("utf-8")
    (ini,) = re.findall(r"^```ini\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    app = "[app:myapp]\nuse = call:page:made\n"
    made = "\ndef made(global_conf):\n    return config.make_wsgi_app()\n"
    with (tmp_path / "page.py").open("a") as code:
        code.write(made)
    file = tmp_path / "site.ini"
    file.write_text(f"{ini}\n{app}", "utf-8")
    port = free_port()
    arguments = ["-m", "gunicorn", "--paste", str(file), "--pythonpath", str(tmp_path)]
    variables = {"JWT_COOKIE_SECURE": "false"}
    with serving(
        *arguments,
        *("--bind", f"127.0.0.1:{port}"),
        port=port,
        log=tmp_path / "log",
        variables=variables,
    ):
        assert call(port, "GET", "/").status == 401
        browser = Browser(port)
        browser.post("/login")
        assert browser.get("/").status == 200
        assert browser.get("/admin").status == 403
    assert (tmp_path / "sessions.sqlite3").is_file()
