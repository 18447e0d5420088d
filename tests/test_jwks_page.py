"""docs/jwks.md, held to its word: its code is run, its figures compared."""

from __future__ import annotations

import inspect
import re
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from stepping import SECRET

from jwt_middleware import Settings, jwks, jwks_http
from jwt_middleware.keys import Fetched
from jwt_middleware.wsgi import JWTMiddleware

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "jwks.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


class Proxy(BaseHTTPRequestHandler):
    """Answers with the address that was asked for."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
        """Nothing."""


def test_its_code_runs() -> None:
    """Every block of Python works as it stands, and its own function asks by way of the proxy."""
    with HTTPServer(("127.0.0.1", 0), Proxy) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        proxy = f"http://127.0.0.1:{server.server_port}"
        names: dict[str, Any] = {"SECRET": SECRET, "PROXY": proxy, "app": lambda *_: []}
        for block in blocks("python"):
            exec(compile(block, "docs/jwks.md", "exec"), names)  # noqa: S102  # our own page
        assert names["fetch_keys"]("http://x.example/y", None) == Fetched(b"http://x.example/y")
        server.shutdown()
    assert isinstance(names["app"], JWTMiddleware)
    assert len(blocks("python")) == 3


@pytest.mark.parametrize("number", range(2))
def test_its_environments_are_sound(number: int, tmp_path: Path) -> None:
    """Each block of variables is a configuration."""
    secret = tmp_path / "jwt"
    secret.write_text(SECRET)
    text = blocks("ini")[number].replace("/run/secrets/jwt", str(secret))
    environ = dict(line.split("=", 1) for line in text.splitlines())
    settings = Settings.from_env(environ=environ)
    assert settings.jwks_url == "discover" or settings.issuers[0].token_types == ("jwt",)


def test_its_figures_are_those_of_the_code() -> None:
    """Times, sizes and parts."""
    settings = Settings(secret_key=SECRET)
    for figure in (
        f"past {jwks.AHEAD:.0%} of their life".replace("%", " %"),
        f"if the last attempt is {jwks.COOL_DOWN:g} s ago; else 401",
        f"if the last attempt is {jwks.RETRY:g} s ago; else 503",
        f"at least {jwks.SHORTEST_LIFE:g} s\n  and at most {jwks.LONGEST_LIFE:g} s",
        f"{jwks.LIFE:g} s if it says nothing",
        f"up to {jwks.JITTER:.0%} earlier".replace("%", " %"),
        f"never for longer than {jwks.PATIENCE:g} s",
        f"every {jwks.COOL_DOWN:g} s",
        f"{jwks_http.LARGEST / 2**20:g} MiB",
        f"`jwks_timeout` ({settings.jwks_timeout} s)",
    ):
        assert figure in PAGE
    assert settings.jwks_max_stale == 3600
    for limit in ("timeout", "max_stale"):
        makers = (jwks_http.HttpFetch, jwks.RemoteKeySet)
        defaults = [inspect.signature(maker).parameters.get(limit) for maker in makers]
        (default,) = [found.default for found in defaults if found is not None]
        assert default == getattr(settings, f"jwks_{limit}")


def test_it_is_linked() -> None:
    """From the page about keys and from the README."""
    assert "(jwks.md)" in (ROOT / "docs" / "keys.md").read_text("utf-8")
    assert "(docs/jwks.md)" in (ROOT / "README.md").read_text("utf-8")
