"""The same behaviour in every framework: one table of sites, one suite, the strict servers of
the doors' own tests in front.
"""

from __future__ import annotations

import importlib
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from sites import Site, Work
from staying import staying
from stepping import House
from through import AGES, Answer, Ask, ask_asgi, ask_wsgi

SITES = [
    site
    for path in sorted((Path(__file__).parent / "sites").glob("*_site.py"))
    for site in importlib.import_module(f"sites.{path.stem}").SITES
]
NAMES = ("flask", "django", "fastapi", "starlette", "litestar", "quart", "falcon", "pyramid")
ACCESS, REFRESH = "__Host-access_token", "__Host-refresh_token"


class Visitor:
    """Somebody with a cookie jar in front of one site."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.house = House()
        self.work = Work()
        self.app = site.make(self.house.auth, self.work)
        self.jar: dict[str, str] = {}

    def ask(self, method: str, path: str, kind: str = "http") -> Answer:
        cookies = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        fields = [("Cookie", cookies)] if cookies else []
        ask = Ask(method=method, path=path, fields=fields)
        if self.site.door == "wsgi":
            answer = ask_wsgi(self.app, ask.environ)
        else:
            scheme = {"scheme": "wss" if kind == "websocket" else "https"}
            answer = ask_asgi(staying(self.app), ask.scope(kind) | scheme)
        self.jar = {k: v for k, v in {**self.jar, **answer.cookies}.items() if v}
        return answer

    def who(self) -> Any:
        return json.loads(self.ask("GET", "/who").body)


@pytest.fixture(params=SITES, ids=str)
def visitor(request: pytest.FixtureRequest) -> Visitor:
    """Somebody who has not signed in."""
    return Visitor(request.param)


@pytest.fixture
def alice(visitor: Visitor) -> Visitor:
    """Somebody who has."""
    assert visitor.ask("POST", "/login").status in (200, 201)
    assert visitor.jar.keys() == {ACCESS, REFRESH}
    return visitor


def test_every_framework_is_there() -> None:
    """There is a site for each of the nine frameworks."""
    assert {site.name.partition("-")[0] for site in SITES} == {*NAMES, "bottle"}


def test_anonymous(visitor: Visitor) -> None:
    """Who brings nothing is anonymous, is told so, and is given nothing."""
    told = {"who": None, "why": "missing", "reissued": False, "context": True}
    assert visitor.who() == told
    answer = visitor.ask("GET", "/who")
    assert answer.all("Set-Cookie") == []
    assert "Cookie" in str(answer.all("Vary"))


def test_signed_in(alice: Visitor) -> None:
    """Who has signed in is known, by the request and by the context variable, at no cost."""
    before = dict(alice.jar)
    assert alice.who() == {"who": "alice", "why": None, "reissued": False, "context": True}
    assert alice.jar == before


def test_a_login_is_not_cached(visitor: Visitor) -> None:
    """The answer that carries tokens is not to be stored."""  # S36
    answer = visitor.ask("POST", "/login")
    assert answer.all("Cache-Control") == ["no-store"]


def test_reissued(alice: Visitor) -> None:
    """An expired access token is replaced inside the request that brought it."""
    before = dict(alice.jar)
    alice.house.wait(AGES)
    assert alice.who() == {"who": "alice", "why": None, "reissued": True, "context": True}
    assert before.items().isdisjoint(alice.jar.items())
    assert alice.who()["reissued"] is False


def test_logout_wins(alice: Visitor) -> None:
    """A logout whose own request came with an expired token is not undone by a reissue."""
    copied = dict(alice.jar)
    alice.house.wait(AGES)
    assert alice.ask("POST", "/logout").status in (200, 201)
    assert alice.jar == {}
    alice.jar = copied
    assert alice.who()["why"] == "revoked"
    assert "reissued" not in alice.house.event_names


@pytest.mark.parametrize(("path", "status"), [("/broken", 500), ("/nowhere", 404)])
def test_error_pages_keep_the_client_signed_in(alice: Visitor, path: str, status: int) -> None:
    """The framework's own error pages carry the new cookies, too."""  # S54
    before = dict(alice.jar)
    alice.house.wait(AGES)
    assert alice.ask("GET", path).status == status
    assert before.items().isdisjoint(alice.jar.items())
    assert alice.who() == {"who": "alice", "why": None, "reissued": False, "context": True}


def test_streaming(alice: Visitor) -> None:
    """A stream begins with the new cookies, and knows to its end whom it is for."""  # S48, S49
    before = dict(alice.jar)
    alice.house.wait(AGES)
    assert alice.ask("GET", "/stream").body == b"alice\nalice\nalice\n"
    assert before.items().isdisjoint(alice.jar.items())


def test_background_work(alice: Visitor) -> None:
    """Work behind a response knows whose it is, and is told that cookies are gone for good."""
    assert alice.ask("POST", "/later").status in (200, 201)
    for work in alice.work.queue:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert alice.work.noted == ["alice"]


def test_websocket(alice: Visitor) -> None:
    """A handshake is signed in, and reissued on its acceptance."""  # S50
    if not alice.site.socket:
        assert alice.site.door == "wsgi" or alice.site.name.startswith("django")
        return
    before = dict(alice.jar)
    alice.house.wait(AGES)
    messages = alice.ask("GET", "/socket", "websocket").messages
    (sent,) = [message for message in messages if message["type"] == "websocket.send"]
    said = sent.get("text") or sent.get("bytes")
    assert json.loads(said) == {"who": "alice", "why": None, "reissued": True, "context": True}
    assert before.items().isdisjoint(alice.jar.items())
