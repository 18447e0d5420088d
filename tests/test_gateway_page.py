"""docs/gateway.md, held to its word: its three parts are put together as it says, and used."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from keychain import pem, private_key
from stepping import SECRET, START
from through import AGES, Answer, Ask, aask, ask_wsgi

from jwt_middleware import asgi, get_auth, wsgi
from jwt_middleware.keys import Fetched
from jwt_middleware.publishing import MAX_AGE
from jwt_middleware.stores.memory import MemorySessionStore

PAGE = (Path(__file__).parents[1] / "docs" / "gateway.md").read_text("utf-8")
SAME_SITE = ("Sec-Fetch-Site", "same-origin")


class Page:
    """What the page builds: the auth server, the gateway in front, a service behind."""

    def __init__(self) -> None:
        self.now = START
        self.fetches = 0
        names: dict[str, Any] = {
            "SECRET": SECRET,
            "STORE": MemorySessionStore(),
            "login_pages": _login_pages,
            "reverse_proxy": self._forward,
            "orders": _orders,
        }
        for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
            exec(compile(block, "docs/gateway.md", "exec"), names)  # noqa: S102  # our own page
        settings = {name: names[name].auth.settings for name in ("gateway", "service")}
        self.jwks_path = names["auth_server"].auth.settings.jwks_path
        self.jwks_url = settings["service"].jwks_url
        # The same, with a clock and a network that are ours.
        self.auth_server = wsgi.JWTMiddleware(
            _login_pages, names["auth_server"].auth.settings, clock=lambda: self.now
        )
        self.gateway = asgi.JWTMiddleware(
            self._forward, settings["gateway"], clock=lambda: self.now
        )
        self.service = asgi.JWTMiddleware(
            _orders, settings["service"], clock=lambda: self.now, fetch_keys=self._fetch
        )
        self.jar: dict[str, str] = {}

    def sign_in(self) -> None:
        fields = [SAME_SITE]
        answer = ask_wsgi(
            self.auth_server, Ask(method="POST", path="/login", fields=fields).environ
        )
        self._take(answer)

    def get(self, *fields: tuple[str, str], at: Any = None, method: str = "GET", path: str = "/x"):
        """One request of the browser's, to the gateway unless said otherwise."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        ask = Ask(method=method, path=path, fields=[SAME_SITE, ("Cookie", cookies), *fields])
        answer = asyncio.run(aask(at or self.gateway, ask.scope()))
        self._take(answer)
        return answer

    def _take(self, answer: Answer) -> None:
        changed = {**self.jar, **answer.cookies}
        self.jar = {name: value for name, value in changed.items() if value}

    async def _forward(self, scope: Any, receive: Any, send: Any) -> None:
        """A proxy that does what the page says: the token passes, cookies do not."""
        passing = [field for field in scope["headers"] if field[0] == b"authorization"]
        await self.service({**scope, "headers": passing}, receive, send)

    def _fetch(self, url: str, etag: str | None) -> Fetched:
        assert url == self.jwks_url
        self.fetches += 1
        answer = ask_wsgi(self.auth_server, Ask(path=self.jwks_path).environ)
        return Fetched(answer.body, answer.one("ETag"), MAX_AGE)


def _login_pages(environ: Any, start_response: Any) -> list[bytes]:
    get_auth(environ).login("alice")
    start_response("204 No Content", [])
    return []


async def _orders(scope: Any, receive: Any, send: Any) -> None:
    told = json.dumps({"you_are": get_auth(scope).subject}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": told})


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.chdir(tmp_path)
    write(0)
    return Page()


def write(*numbers: int) -> None:
    """Put these keys into the page's file, the one that signs first."""
    keys = "".join(pem(private_key("Ed25519", number)) for number in numbers)
    Path("signing.pem").write_text(keys, "ascii")


def you_are(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return json.loads(answer.body)["you_are"]


def test_its_parts_work_together(page: Page) -> None:
    """Signed in at the auth server, known at the gateway, believed by the service: also with an
    expired token, and until signed out."""  # S32
    assert page.get().status == 401
    page.sign_in()
    assert you_are(page.get()) == "alice"
    page.now += AGES
    assert you_are(page.get()) == "alice"
    assert page.get(method="POST", path="/logout").status == 204
    assert page.jar == {}
    assert page.get().status == 401


def test_a_service_takes_nothing_but_the_token(page: Page) -> None:
    """Cookies open it as little as a header that names somebody."""  # S28
    page.sign_in()
    assert page.get(("X-User", "alice"), at=page.service).status == 401
    assert page.service.auth.settings.secret_keys == ()


def test_its_steps_replace_the_key(page: Page) -> None:
    """With the waits of its table nobody is refused at any step, and few fetches are made."""
    # S10
    page.sign_in()
    table = PAGE.partition("| step | `signing.pem` | wait for |")[2].partition("\n\n")[0]
    assert re.findall(r"\| (\d)\. [^|]+\| ([^|]+) \|", table) == [
        ("1", "the old one, the new one"),
        ("2", "the new one, the old one"),
        ("3", "the new one"),
    ]
    assert MAX_AGE == 5 * 60
    settings = page.gateway.auth.settings
    life, reload = settings.access_token_expires, settings.keys_reload or 0
    for numbers, waiting in (((0, 1), MAX_AGE), ((1, 0), life), ((1,), MAX_AGE)):
        write(*numbers)
        for _ in range(10):
            assert you_are(page.get()) == "alice"
            page.now += (reload + waiting) / 10
    assert page.fetches < 20


def test_its_links_lead_somewhere() -> None:
    """Every file it names is there."""
    links = re.findall(r"\]\(([^)#]+)", PAGE)
    assert links
    folder = Path(__file__).parents[1] / "docs"
    assert [link for link in links if not (folder / unquote(link)).exists()] == []
