"""examples/sso, started as real servers and walked over HTTP by host name."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from hashlib import sha256
from http.client import HTTPConnection
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from urllib.request import Request

import pytest
from real_http import ROOT, free_port, serving

from examples.sso.provider import Client, make_provider

ALICE = {"name": "alice", "password": "wonderland"}


class Visitor:
    """A browser's cookie rules, with every host name on loopback; addresses are themselves."""

    def __init__(self, ports: dict[str, int]) -> None:
        self.jar = CookieJar()
        self._ports = ports
        self.location = ""

    def ask(
        self, method: str, host: str, path: str, form: dict[str, str] | None = None, **headers: str
    ) -> tuple[int, str]:
        request = Request(f"http://{host}{path}", method=method)  # for the jar alone
        self.jar.add_cookie_header(request)
        sent = dict(request.header_items()) | {"Host": f"{host}:{self._ports[host]}"} | headers
        if form is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        address = "127.0.0.1" if host.endswith(".test") else host
        connection = HTTPConnection(address, self._ports[host], timeout=10)
        try:
            connection.request(method, path, urlencode(form or {}), sent)
            answer = connection.getresponse()
            self.jar.extract_cookies(answer, request)
            self.location = answer.getheader("Location") or ""
            return answer.status, answer.read().decode()
        finally:
            connection.close()


SHOP, NEWS = "shop.example.test", "news.example.test"


@pytest.fixture(scope="module")
def siblings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    ports = {SHOP: free_port(), NEWS: free_port()}
    log: Path = tmp_path_factory.mktemp("siblings") / "log"
    numbers = [str(port) for port in ports.values()]
    command = ("-m", "examples.sso.siblings", "--ports", *numbers)
    with serving(*command, port=ports[SHOP], log=log, variables={}):
        yield ports


def test_a_login_at_one_host_counts_at_its_sibling(siblings: dict[str, int]) -> None:
    """Who signs in at the shop is signed in at the news, and was at neither before."""
    visitor = Visitor(siblings)
    assert visitor.ask("GET", NEWS, "/")[0] == 401
    assert visitor.ask("POST", SHOP, "/login", ALICE)[0] == 200
    assert visitor.ask("GET", NEWS, "/") == (200, "news: you are alice.")


def test_a_logout_at_one_host_ends_both(siblings: dict[str, int]) -> None:
    """After a logout at the news both say 401, to a kept copy of the cookies as well."""
    visitor, copy = Visitor(siblings), Visitor(siblings)
    visitor.ask("POST", SHOP, "/login", ALICE)
    for cookie in visitor.jar:
        copy.jar.set_cookie(cookie)
    assert copy.ask("GET", SHOP, "/")[0] == 200
    assert visitor.ask("POST", NEWS, "/logout")[0] == 200
    for who in (visitor, copy):
        assert [who.ask("GET", host, "/")[0] for host in (SHOP, NEWS)] == [401, 401]


def test_a_sibling_cannot_sign_anybody_in(siblings: dict[str, int]) -> None:
    """A form that the news' page posts to the shop is refused: login CSRF from a sibling."""
    visitor = Visitor(siblings)
    headers = {"Sec-Fetch-Site": "same-site", "Origin": f"http://{NEWS}:{siblings[NEWS]}"}
    assert visitor.ask("POST", SHOP, "/login", ALICE, **headers)[0] == 403
    assert not list(visitor.jar)


# ── Unrelated hosts, one provider ───────────────────────────────────────────────

PROVIDER, BOOKS, FILMS = "127.0.0.1", "127.0.0.2", "127.0.0.3"
VERIFIER = "a verifier of the tests, forty-three characters"
BASIC = "Basic Ym9va3M6d3Jvbmc="  # books, and a wrong secret


class Surfer(Visitor):
    """A browser that follows redirects from host to host."""

    def follow(
        self, method: str, host: str, path: str, form: dict[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Status and text of the last answer, and where it came from."""
        for _ in range(9):
            status, text = self.ask(method, host, path, form)
            if status not in (302, 303):
                return status, text, f"{host}{path}"
            there = urlsplit(self.location)
            host = there.hostname or host
            path = f"{there.path}?{there.query}" if there.query else there.path
            method, form = "GET", None
        raise AssertionError("they send one another round in circles")

    def sign_in(self, host: str, **user: str) -> tuple[int, str, str]:
        """To the provider and back; the password is asked for where it has to be."""
        status, text, place = self.follow("GET", host, "/login")
        if "password" in text:
            path = place.removeprefix(PROVIDER)
            return self.follow("POST", PROVIDER, path, {**ALICE, **user})
        return status, text, place


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    port = free_port()
    log: Path = tmp_path_factory.mktemp("strangers") / "log"
    command = ("-m", "examples.sso.strangers", "--port", str(port))
    with serving(*command, port=port, log=log, variables={}):
        yield dict.fromkeys((PROVIDER, BOOKS, FILMS), port)


def asked_with(surfer: Surfer) -> dict[str, str]:
    """What the books ask the provider with, at the beginning of a sign-in."""
    assert surfer.ask("GET", BOOKS, "/login")[0] == 302
    return dict(parse_qsl(urlsplit(surfer.location).query))


def code_for(surfer: Surfer, asked: dict[str, str]) -> str:
    """The code that the provider gives to somebody who is signed in there."""
    assert surfer.ask("GET", PROVIDER, f"/authorize?{urlencode(asked)}")[0] == 303
    return dict(parse_qsl(urlsplit(surfer.location).query))["code"]


def test_a_password_is_asked_for_once(strangers: dict[str, int]) -> None:
    """Who has signed in for the books is known to the films, which never see a password."""
    surfer = Surfer(strangers)
    assert surfer.ask("GET", BOOKS, "/")[0] == 401
    assert surfer.sign_in(BOOKS) == (200, "books: you are alice.", f"{BOOKS}/")
    assert surfer.ask("GET", FILMS, "/")[0] == 401
    assert surfer.follow("GET", FILMS, "/login")[:2] == (200, "films: you are alice.")


def test_the_app_lives_by_its_own_session(strangers: dict[str, int]) -> None:
    """A logout at one app leaves the other and the provider alone."""
    surfer = Surfer(strangers)
    surfer.sign_in(BOOKS)
    surfer.sign_in(FILMS)
    assert surfer.ask("POST", BOOKS, "/logout")[0] == 200
    assert [surfer.ask("GET", host, "/")[0] for host in (BOOKS, FILMS)] == [401, 200]


def test_a_logout_at_the_provider_ends_everything(strangers: dict[str, int]) -> None:
    """Both apps say 401 at once, to a copy of the cookies as well; nobody else is signed out."""
    surfer, copy, bob = Surfer(strangers), Surfer(strangers), Surfer(strangers)
    bob.sign_in(BOOKS, name="bob", password="builder")
    surfer.sign_in(BOOKS)
    surfer.sign_in(FILMS)
    for cookie in surfer.jar:
        copy.jar.set_cookie(cookie)
    assert surfer.ask("POST", PROVIDER, "/logout") == (200, "Goodbye, everywhere.")
    for who in (surfer, copy):
        assert [who.ask("GET", host, "/")[0] for host in (BOOKS, FILMS)] == [401, 401]
        assert "password" in who.follow("GET", BOOKS, "/login")[1]
    assert bob.ask("GET", BOOKS, "/")[0] == 200


@pytest.mark.parametrize("state", ["", "&state=", "&state=another"], ids=["none", "empty", "other"])
def test_a_sign_in_that_began_elsewhere_is_refused(strangers: dict[str, int], state: str) -> None:
    """Login CSRF: a link with the attacker's code signs nobody in as the attacker."""
    attacker, victim = Surfer(strangers), Surfer(strangers)
    attacker.sign_in(FILMS, name="bob", password="builder")
    code = code_for(attacker, asked_with(attacker))
    asked_with(victim)  # even in the middle of a sign-in of their own
    assert victim.ask("GET", BOOKS, f"/callback?code={code}{state}")[0] == 400
    assert victim.ask("GET", BOOKS, "/")[0] == 401


def test_a_code_for_another_nonce_is_refused(strangers: dict[str, int]) -> None:
    """An ID token that was made for another sign-in does not fit this one's state."""
    surfer = Surfer(strangers)
    surfer.sign_in(FILMS)
    asked = asked_with(surfer)
    code = code_for(surfer, {**asked, "nonce": "another"})
    answer = surfer.ask("GET", BOOKS, f"/callback?code={code}&state={asked['state']}")
    assert answer[0] == 400
    assert surfer.ask("GET", BOOKS, "/")[0] == 401


def test_a_callback_works_once(strangers: dict[str, int]) -> None:
    """The address that signed somebody in is worth nothing a second time."""
    surfer = Surfer(strangers)
    surfer.sign_in(FILMS)
    asked = asked_with(surfer)
    path = f"/callback?code={code_for(surfer, asked)}&state={asked['state']}"
    assert surfer.ask("GET", BOOKS, path)[0] == 303
    assert surfer.ask("GET", BOOKS, path)[0] == 400
    assert Surfer(strangers).ask("GET", BOOKS, path)[0] == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "http://127.0.0.9/callback"},
        {"redirect_uri": f"http://{BOOKS}/callback@evil.example"},
        {"client_id": "nobody"},
        {"client_id": "films"},
        {"code_challenge_method": "plain"},
        {"nonce": ""},
    ],
    ids=["host", "userinfo", "nobody", "another app", "plain PKCE", "no nonce"],
)
def test_nobody_is_sent_where_nobody_is_registered(
    strangers: dict[str, int], changes: dict[str, str]
) -> None:
    """No open redirect: what does not fit the registration is told to the person, on the spot."""
    surfer = Surfer(strangers)
    surfer.sign_in(FILMS)
    asked = {**asked_with(surfer), **changes}
    assert surfer.ask("GET", PROVIDER, f"/authorize?{urlencode(asked)}")[0] == 400
    assert surfer.location == ""


def test_a_code_needs_the_apps_secret(strangers: dict[str, int]) -> None:
    """Who has seen a code in an address bar can do nothing with it."""
    surfer = Surfer(strangers)
    surfer.sign_in(FILMS)
    code = code_for(surfer, asked_with(surfer))
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER}
    assert surfer.ask("POST", PROVIDER, "/token", form)[0] == 401
    assert surfer.ask("POST", PROVIDER, "/token", form, Authorization=BASIC)[0] == 401


CHALLENGE = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
GOOD = {
    "grant_type": "authorization_code",
    "redirect_uri": "https://books.example/callback",
    "code_verifier": VERIFIER,
}


class Exchange:
    """A provider whose apps' secrets the test knows, and a code of alice's for the books."""

    def __init__(self) -> None:
        clients = {
            name: Client(name, f"secret of {name}", f"https://{name}.example/callback", "")
            for name in ("books", "films")
        }
        self.browser = make_provider("https://login.example", clients).test_client()
        asked = {
            "client_id": "books",
            "redirect_uri": clients["books"].redirect_uri,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "nonce": "a nonce",
        }
        answer = self.browser.post("/authorize", query_string=asked, data=ALICE)
        self.code = dict(parse_qsl(urlsplit(answer.location).query))["code"]

    def take(self, client: str = "books", **changes: str) -> int:
        """The status of an exchange with the right secret of ``client``."""
        form = {**GOOD, "code": self.code, **changes}
        return self.browser.post(
            "/token", data=form, auth=(client, f"secret of {client}")
        ).status_code


def test_a_code_is_exchanged_once() -> None:
    """Even the app it is for gets nothing for a code that was exchanged before."""
    exchange = Exchange()
    assert [exchange.take(), exchange.take()] == [200, 400]


@pytest.mark.parametrize(
    "changes",
    [
        {"client": "films", "redirect_uri": "https://films.example/callback"},
        {"redirect_uri": "https://films.example/callback"},
        {"code_verifier": "another"},
        {"code_verifier": ""},
    ],
    ids=["another app", "another address", "another verifier", "no verifier"],
)
def test_a_code_is_for_one_app_and_one_sign_in(changes: dict[str, str]) -> None:
    """What does not fit gets nothing, and spends the code: who guesses has one try."""
    exchange = Exchange()
    assert exchange.take(**changes) == 400
    assert exchange.take() == 400


def test_a_code_is_short_lived(monkeypatch: pytest.MonkeyPatch) -> None:
    """A code past its life is refused, though it was never used."""
    monkeypatch.setattr("examples.sso.provider.CODE_LIFE", -1)
    assert Exchange().take() == 400


def test_a_logout_ends_a_sign_in_under_way() -> None:
    """A code from before a logout is worth nothing, and an app that is down does not stop it."""
    exchange = Exchange()
    assert exchange.browser.post("/logout").status_code == 200
    assert exchange.take() == 400


@pytest.mark.parametrize("token", ["", "no token", "a.b.c"])
def test_nobody_else_can_sign_people_out(strangers: dict[str, int], token: str) -> None:
    """A logout token that the provider has not signed ends nothing."""
    surfer = Surfer(strangers)
    surfer.sign_in(BOOKS)
    assert surfer.ask("POST", BOOKS, "/backchannel-logout", {"logout_token": token})[0] == 400
    assert surfer.ask("GET", BOOKS, "/")[0] == 200


def test_the_guide_starts_what_there_is() -> None:
    """The commands in examples/sso/README.md and docs/sso.md name modules that exist."""
    for page in ("examples/sso/README.md", "docs/sso.md"):
        named = re.findall(r"python -m (examples[\w.]+)", (ROOT / page).read_text("utf-8"))
        assert named
        for name in named:
            assert (ROOT / f"{name.replace('.', '/')}.py").is_file(), name


def test_the_page_says_what_runs() -> None:
    """The settings in docs/sso.md are good ones."""
    page = (ROOT / "docs" / "sso.md").read_text("utf-8")
    names: dict[str, Any] = {}
    for code in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        exec(code, names)  # noqa: S102  # our own page
    assert names["settings"].cookie_domain == "example.com"
