"""docs/handle.md, held to its word: its app is run, and its tables name what there is."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from starlette.testclient import TestClient
from stepping import SECRET

import jwt_middleware
from jwt_middleware import InvalidClaims, RequestAuth, get_auth, get_claims

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "handle.md").read_text("utf-8")
BASE = "https://testserver"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the page's blocks define, put together."""
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.setenv("JWT_SESSION_STORE", "memory://")
    names: dict[str, Any] = {"__name__": "page"}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        exec(compile(block, "docs/handle.md", "exec"), names)  # noqa: S102  # our own page
    return names


@pytest.fixture
def client(page: dict[str, Any]) -> FlaskClient:
    return page["app"].test_client()


def ask(client: FlaskClient, path: str, **form: str) -> str:
    """What a path answers to a form, or without one."""
    method = client.post if form or path not in ("/me", "/report") else client.get
    return method(path, base_url=BASE, data=form or None).text


def table(before: str) -> list[str]:
    """The names in the first column of the table with this head."""
    rows = PAGE.partition(before)[2].partition("\n\n")[0].splitlines()[2:]
    return [name for row in rows for name in re.findall(r"`(\w+)[^`]*`", row.split("|")[1])]


def test_signing_in_and_out(client: FlaskClient) -> None:
    """Its views sign in, show who is there, change claims, and sign out."""
    assert ask(client, "/me") == "Sign in first (missing)."
    assert ask(client, "/theme", theme="dark") == "Sign in first."
    assert ask(client, "/language", language="de") == "Sign in first."
    assert ask(client, "/sign-in", name="alice", remember="on") == "Welcome, alice."
    assert ask(client, "/theme", theme="dark") == "Now dark."
    you = client.get("/me", base_url=BASE).json
    assert you is not None
    assert {**you, "session": None} == {
        "subject": "alice",
        "session": None,
        "issuer": None,
        "reissued": False,
        "roles": ["reader"],
        "scopes": ["authenticated"],
        "theme": "dark",
    }
    claims = client.get("/claims", base_url=BASE).json
    assert claims is not None
    assert (claims["sub"], claims["roles"], claims["theme"]) == ("alice", ["reader"], "dark")
    assert ask(client, "/publish") == "No: insufficient_role."
    assert ask(client, "/sign-out") == "Goodbye."
    assert ask(client, "/me") == "Sign in first (missing)."
    assert ask(client, "/publish") == "No: missing."


def test_what_a_view_cannot_answer(page: dict[str, Any], client: FlaskClient) -> None:
    """Flask takes no mapping but a dict; and without double-submit there is no CSRF token."""
    tokens: list[str] = []

    @page["app"].post("/mapping")
    def mapping() -> Any:
        tokens.append(get_auth().csrf_token)
        return get_claims()

    ask(client, "/sign-in", name="alice")
    assert client.post("/mapping", base_url=BASE).status_code == 500
    assert tokens == [""]


def test_an_update_replaces_all_claims(page: dict[str, Any], client: FlaskClient) -> None:
    """The recipes keep what they name, what they do not name is gone, and the claims of the
    middleware cannot be given back."""

    @page["app"].post("/all")
    def everything() -> None:
        auth = get_auth()
        auth.update({**(auth.claims or {}), "theme": "light"})

    page["app"].testing = True  # what a view raises is raised here
    ask(client, "/sign-in", name="alice")

    def stored() -> Any:
        (session,) = page["auth"].sessions("alice")
        return session.claims

    assert ask(client, "/language", language="de") == "Now de."
    assert stored() == {"roles": ["reader"], "theme": "light", "language": "de"}
    assert ask(client, "/theme", theme="dark") == "Now dark."
    assert stored() == {"roles": ["reader"], "theme": "dark"}

    with pytest.raises(InvalidClaims, match=r"exp, iat, .*sid"):
        ask(client, "/all")


def test_a_session_that_is_needed_in_the_store(page: dict[str, Any], client: FlaskClient) -> None:
    """What was issued and sent signs in like a login; signing out everywhere ends it."""
    assert ask(client, "/register", name="alice") == "Welcome."
    (session,) = page["auth"].sessions("alice")
    you = client.get("/me", base_url=BASE).json
    assert you is not None
    assert you["session"] == session.id
    assert ask(client, "/sign-out-everywhere") == "Goodbye, on all devices."
    assert page["auth"].sessions("alice") == []
    assert ask(client, "/sign-out-everywhere") == "Sign in first."


def test_a_program_has_its_tokens_in_the_body(client: FlaskClient) -> None:
    """The pair as RFC 6749 has it, and no cookie; the access token signs in."""
    answer = client.post("/token", base_url=BASE, data={"name": "alice"})
    assert answer.json is not None
    assert "Set-Cookie" not in answer.headers
    bearer = {"Authorization": f"Bearer {answer.json['access_token']}"}
    assert client.get("/me", base_url=BASE, headers=bearer).json["subject"] == "alice"  # type: ignore[index]


def test_a_response_that_has_started(page: dict[str, Any], client: FlaskClient) -> None:
    """The stream is told what to call instead, and that call ends the session."""
    assert "use JWTAuth.revoke() here" in ask(client, "/report")
    ask(client, "/sign-in", name="alice")
    assert "use JWTAuth.revoke() here" in ask(client, "/report")
    assert ask(client, "/me") == "Sign in first (revoked)."


def test_the_async_view(page: dict[str, Any]) -> None:
    """The same handle behind the other door."""
    client = TestClient(page["asgi_app"], base_url=BASE)
    assert client.get("/").text == "You are None."
    assert client.post("/").text == "You are alice."
    assert client.get("/").text == "You are alice."


def test_its_tables_are_complete() -> None:
    """All arguments of `login`, all reasons of the README, and errors that exist."""
    arguments = [*inspect.signature(RequestAuth.login).parameters]
    assert {"self", *table("| argument |")} == set(arguments)
    readme = (ROOT / "README.md").read_text("utf-8")
    reasons = re.sub(r"\([^)]*\)", "", readme.partition("The reasons: ")[2].partition("\n\n")[0])
    listed = table("| `reason` |")
    assert listed == re.findall(r"`(\w+)`", reasons)
    for error in table("| error |"):
        assert issubclass(getattr(jwt_middleware, error), jwt_middleware.JWTMiddlewareError)
