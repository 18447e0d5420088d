"""The examples, each as a server of its own, used over real HTTP.

Access tokens live two seconds here, and the grace period is short to match: this is the one
place that waits for a token to expire.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from real_http import (
    ACCESS,
    REFRESH,
    ROOT,
    Answer,
    Browser,
    call,
    free_port,
    members_of,
    serving,
    wait_until,
)

ALICE = {"name": "alice", "password": "wonderland"}


class Example(NamedTuple):
    """An example, and how its docstring says it is started."""

    file: str
    command: str
    speaks_json: bool = False


EXAMPLES = [
    Example("flask_app.py", "python examples/flask_app.py"),
    Example("fastapi_app.py", "uvicorn examples.fastapi_app:app", speaks_json=True),
    Example("starlette_app.py", "uvicorn examples.starlette_app:app", speaks_json=True),
    Example("litestar_app.py", "uvicorn examples.litestar_app:app", speaks_json=True),
    Example("quart_app.py", "uvicorn examples.quart_app:app"),
    Example("django_app.py", "uvicorn examples.django_app:app"),
    Example("falcon_app.py", "python examples/falcon_app.py"),
    Example("pyramid_app.py", "python examples/pyramid_app.py"),
    Example("bottle_app.py", "python examples/bottle_app.py"),
    Example("plain_wsgi.py", "python examples/plain_wsgi.py"),
    Example("plain_asgi.py", "uvicorn examples.plain_asgi:app"),
]


class Visitor(Browser):
    """A browser that fills in the forms of an example."""

    speaks_json = False

    def sign_in(self, password: str = ALICE["password"]) -> Answer:
        return self.post("/login", {**ALICE, "password": password}, as_json=self.speaks_json)

    def note(self, text: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.post("/notes", {"text": text}, as_json=self.speaks_json, headers=headers)


@contextmanager
def visiting(example: Example, place: Path) -> Generator[Visitor, None, None]:
    """The example, started as its docstring says, until the block ends."""
    port = free_port()
    variables = {
        "PORT": str(port),
        "JWT_COOKIE_SECURE": "false",
        "JWT_ACCESS_TOKEN_EXPIRES": "2",
        "JWT_ROTATION_GRACE": "0.1",
        "JWT_SESSION_STORE": f"sqlite:///{place / 'sessions.sqlite3'}",
    }
    program, *arguments = example.command.split()
    if program == "uvicorn":
        arguments = ["-m", "uvicorn", "--port", str(port), *arguments]
    # What Pyramid imports, and WebOb beneath it.
    silent = (
        "'cgi' is deprecated:DeprecationWarning",
        "pkg_resources is deprecated:UserWarning",
        "Deprecated call to `pkg_resources.declare_namespace('paste')`:DeprecationWarning",
    )
    warnings = ("-W", "error", *(f"-Wignore:{warning}" for warning in silent))
    with serving(*warnings, *arguments, port=port, log=place / "log", variables=variables):
        visitor = Visitor(port)
        visitor.speaks_json = example.speaks_json
        yield visitor


@pytest.fixture(params=EXAMPLES, ids=lambda example: example.file)
def visitor(tmp_path: Path, request: pytest.FixtureRequest) -> Generator[Visitor, None, None]:
    """Somebody in front of a running example."""
    with visiting(request.param, tmp_path) as somebody:
        yield somebody


def wait_for_expiry(access_token: str) -> None:
    expires_at = members_of(access_token)["exp"]
    wait_until(lambda: time.time() >= expires_at, "the access token to expire")


def test_every_example_is_tried() -> None:
    """There is no example that these tests leave out, and each says how it is started."""
    files = {path.name: path.read_text("utf-8") for path in (ROOT / "examples").glob("*.py")}
    assert {example.file for example in EXAMPLES} == files.keys()
    for example in EXAMPLES:
        assert f"\n    {example.command}\n" in files[example.file]


def test_the_whole_story(visitor: Visitor) -> None:
    """Sign in, leave a note, leave another one with an expired access token, sign out."""
    assert "nobody" in visitor.get("/").text
    assert visitor.note("too early").status == 401
    assert visitor.sign_in("looking-glass").status == 401
    assert visitor.jar == {}

    assert visitor.sign_in().status < 400
    assert "alice" in visitor.get("/").text
    assert visitor.note("be on time").status < 400

    before = dict(visitor.jar)
    wait_for_expiry(before[ACCESS])
    answer = visitor.note("mind the gap")
    assert answer.status < 400
    assert answer.all("cache-control") == ["no-store"]
    assert answer.cookies.keys() == {ACCESS, REFRESH}
    assert before.items().isdisjoint(answer.cookies.items())
    page = visitor.get("/").text
    assert all(text in page for text in ("alice", "be on time", "mind the gap"))

    copied = dict(visitor.jar)
    assert visitor.post("/logout").status < 400
    assert visitor.jar == {}
    assert "nobody" in call(visitor.port, "GET", "/", cookies=copied).text


def test_other_sites_cannot_act_for_the_visitor(visitor: Visitor) -> None:
    """A form on another site can neither leave a note nor sign anybody out."""  # S40
    elsewhere = {"Origin": "https://elsewhere.example"}
    visitor.sign_in()

    assert visitor.note("not mine", elsewhere).status in (401, 403)
    assert visitor.post("/logout", headers=elsewhere).status == 403

    page = visitor.get("/").text
    assert "alice" in page
    assert "not mine" not in page


def test_programs_send_their_tokens_as_headers(tmp_path: Path) -> None:
    """The FastAPI example gives a program its tokens as JSON, takes them as headers, and
    answers an expired access token with new ones in headers."""
    api = next(example for example in EXAMPLES if example.file == "fastapi_app.py")
    with visiting(api, tmp_path) as program:
        pair = program.post("/token", ALICE, as_json=True).json
        assert pair["token_type"] == "Bearer"
        headers = headers_with(pair["access_token"], pair["refresh_token"])
        assert program.get("/", headers).json["you_are"] == "alice"

        wait_for_expiry(pair["access_token"])
        answer = program.note("from a program", headers)
        assert answer.status == 201
        assert answer.cookies == {}

        fresh = headers_with(*answer.all("x-access-token"), *answer.all("x-refresh-token"))
        assert fresh != headers
        assert program.get("/", fresh).json["notes"] == ["from a program"]
        assert program.post("/logout", headers=fresh).status == 204
        assert program.get("/", fresh).json == {"you_are": "nobody"}


def headers_with(access_token: str, refresh_token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {access_token}", "X-Refresh-Token": refresh_token}
