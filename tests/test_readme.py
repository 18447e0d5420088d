"""The README, held to its word: its code is run, its tables compared, its claims tried.

A Python block belongs to the story named in the comment above it. The blocks of a story are
run in order and share one namespace, as if somebody typed them into one file.
"""

from __future__ import annotations

import ast
import logging
import os
import re
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from keychain import key_for, pem, public_pem
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

import jwt_middleware
from jwt_middleware import (
    ConfigurationError,
    Event,
    JWTAuth,
    ResponseStarted,
    Session,
    SessionsNotStored,
    Settings,
    TokenPair,
    asgi,
    get_auth,
    wsgi,
)
from jwt_middleware.events import EventName
from jwt_middleware.rotation import TABLE
from jwt_middleware.settings import RiskyTimesWarning, UnknownSettingWarning
from jwt_middleware.stores.memory import MemorySessionStore

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
SECRET = "a secret of the tests, 32 bytes and more"
ACCESS, REFRESH = "__Host-access_token", "__Host-refresh_token"
ACCESS_LIFE, GRACE = 900, 120
"""The defaults of ``access_token_expires`` and ``rotation_grace``, in seconds."""


# ── Reading it ──────────────────────────────────────────────────────────────────


class Block(NamedTuple):
    """A fenced block of Python."""

    story: str | None
    line: int
    code: str


def blocks() -> list[Block]:
    marked = r"(?:^<!-- story: ([\w-]+) -->\n)?^```python\n(.*?)^```$"
    return [
        Block(found[1], README.count("\n", 0, found.start(2)), found[2])
        for found in re.finditer(marked, README, re.MULTILINE | re.DOTALL)
    ]


def table(*head: str) -> list[list[str]]:
    """The body of the table with this head, as cells."""
    lines = README.splitlines()
    start = lines.index(f"| {' | '.join(head)} |") + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def code_in(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def shell_lines() -> list[str]:
    found = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    lines = [line.partition("#")[0].strip() for block in found for line in block.splitlines()]
    return [*filter(None, lines), *(code for code in code_in(README) if code.startswith("make "))]


# ── Running it ──────────────────────────────────────────────────────────────────

STORIES = sorted({block.story for block in blocks() if block.story})

Story = Callable[[str], dict[str, Any]]


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Story:
    """Runs the blocks of a story in a folder of its own; answers the names they define."""
    for name in list(os.environ):
        if name.startswith("JWT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.chdir(tmp_path)

    def run(name: str) -> dict[str, Any]:
        namespace: dict[str, Any] = {"__name__": "readme"}
        for block in blocks():
            if block.story == name:
                # Behind as many empty lines as precede it, so that a traceback finds it.
                code = compile("\n" * block.line + block.code, str(ROOT / "README.md"), "exec")
                exec(code, namespace)  # noqa: S102  # our own README
        return namespace

    return run


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Shop(NamedTuple):
    """The README's Flask app with all its views, behind a door of the test's making."""

    app: Flask
    auth: JWTAuth
    clock: Clock
    events: list[Event]

    def client(self, cookies: Mapping[str, str] | None = None) -> FlaskClient:
        client = self.app.test_client()
        for name, value in (cookies or {}).items():
            client.set_cookie(name, value, secure=True)
        return client

    def visitor(self, name: str = "alice") -> FlaskClient:
        """A client that is signed in."""
        client = self.client()
        client.post("/sign-in", data={"name": name, "remember": "on"})
        return client


@pytest.fixture
def shop(story: Story) -> Callable[..., Shop]:
    """Opens a `Shop`, with settings."""

    def open_shop(**settings: Any) -> Shop:
        app: Flask = story("flask")["app"]
        app.testing = True  # what a view raises is raised here
        clock, events = Clock(), list[Event]()
        settings = {"secret_key": SECRET, "session_store": "memory://", **settings}
        auth = JWTAuth(clock=clock, on_event=events.append, **settings)
        views: Any = app.wsgi_app
        app.wsgi_app = wsgi.JWTMiddleware(views.app, auth)
        return Shop(app, auth, clock, events)

    return open_shop


def tokens_of(client: FlaskClient) -> dict[str, str]:
    found = {name: client.get_cookie(name) for name in (ACCESS, REFRESH)}
    return {name: cookie.value for name, cookie in found.items() if cookie is not None}


# ── Its code and its words ──────────────────────────────────────────────────────


def test_every_block_belongs_to_a_story() -> None:
    """No Python block is left out of these tests."""
    assert [block.line for block in blocks() if block.story is None] == []
    assert README.count("```python") == len(blocks())


@pytest.mark.parametrize("name", STORIES)
def test_every_story_runs(story: Story, name: str) -> None:
    """Every block runs as it stands, behind those it continues, and so do the tests in it."""
    for defined, value in story(name).items():
        if defined.startswith("test_"):
            value()


def test_its_first_screen_says_what_there_is_to_know() -> None:
    """Before the first section: what it is, how to install it, two quick starts of no more
    than a dozen lines of code, the four cases, and two commands."""
    top = README.partition("\n## ")[0]
    quick_starts = [block for block in blocks() if block.code in top]
    assert [block.story for block in quick_starts] == ["flask", "asgi"]
    for block in quick_starts:
        assert len([line for line in block.code.splitlines() if line.strip()]) <= 12
    for text in ("pip install", "make demo", "make test", "| access token | refresh token |"):
        assert text in top


def test_the_four_cases_are_those_of_the_design() -> None:
    """The table of the four cases has a row for each, in this order, in these terms."""
    rows = table("access token", "refresh token", "what happens")
    assert [row[0].partition(",")[0] for row in rows] == ["valid", "expired", "valid", "expired"]
    for row, words in zip(
        rows,
        (
            "goes on; nothing is read",
            "matching; reissued; rotated",
            "has expired; authentic; same session; renewed; absolute lifetime",
            "anything else; anonymous; 401",
        ),
        strict=True,
    ):
        assert [word for word in words.split("; ") if word not in " ".join(row)] == []


def test_every_setting_is_listed_with_its_default() -> None:
    """The table of settings has every setting, in order, with the default it really has."""
    listed = {code_in(name)[0]: default for name, default, _ in table("setting", "default", "what")}
    actual = {item.name: item.default for item in fields(Settings)}
    assert list(listed) == list(actual)
    assert {name: read_default(text) for name, text in listed.items()} == actual


def test_short_lives_that_the_readme_advises() -> None:
    """Each life it names warns beside the default grace, and not beside the one named with it."""
    (passage,) = re.findall(r"^\*\*Short access tokens.*?\n\n", README, re.MULTILINE | re.DOTALL)
    written = re.findall(r"`(JWT_[A-Z_]+)=(\w+)`", passage)
    assert len(written) == 4
    for life, grace in zip(written[::2], written[1::2], strict=True):
        source = {"JWT_SECRET_KEY": SECRET, life[0]: life[1]}
        with pytest.warns(RiskyTimesWarning):
            Settings.from_env(environ=source)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Settings.from_env(environ={**source, grace[0]: grace[1]})


def read_default(cell: str) -> object:
    """A value in code, a duration in words, or nothing."""
    if cell == "required":
        return MISSING
    if cell.startswith("`"):
        return ast.literal_eval(cell.strip("`"))
    amount, unit = cell.split()
    seconds = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
    return int(amount) * seconds[unit.rstrip("s")]


def test_the_rotation_table_is_the_one_that_decides() -> None:
    """Row by row the README names what the package decides by, with the same verdict."""
    rows = table("row", "the refresh token", "verdict", "which means")
    assert [(row[0], row[2]) for row in rows] == [(row.name, row.verdict.value) for row in TABLE]


def test_every_event_is_listed() -> None:
    """The table of events has them all, in order."""
    listed = tuple(code_in(name)[0] for name, _ in table("event", "when"))
    assert listed == get_args(EventName)


def test_every_reason_is_one_that_is_given() -> None:
    """The list of reasons has all of the rotation table's, and none that nothing gives."""
    listed = set(code_in(README.partition("The reasons:")[2].partition("Also set:")[0]))
    listed -= {"Authorization", "ignore_paths"}
    assert {row.reason for row in TABLE if row.reason} <= listed
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "jwt_middleware").glob("*.py"))
    assert [reason for reason in listed if f'"{reason}"' not in sources] == []


def test_every_name_it_imports_is_public() -> None:
    """What the README imports from the package is in its ``__all__``."""
    imported = re.findall(r"^from jwt_middleware import (.*)$", README, re.MULTILINE)
    names = {name for line in imported for name in line.split(", ")}
    assert names <= set(jwt_middleware.__all__)


def test_every_command_exists() -> None:
    """Each command names a make target, an example or the distribution that there is."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    settings = {f"JWT_{item.name.upper()}" for item in fields(Settings)}
    assert len(shell_lines()) > 6
    for line in shell_lines():
        match line.split():
            case ["make", target]:
                assert target in targets
            case ["pip", "install", name]:
                assert name == project["name"]
                oldest = project["requires-python"].removeprefix(">=")
                assert f"needs Python {oldest} or newer" in README
            case ["python", file]:
                assert (ROOT / file).is_file()
            case ["uvicorn", app]:
                module, _, name = app.partition(":")
                example = ROOT / f"{module.replace('.', '/')}.py"
                assert f"\n{name} = " in example.read_text("utf-8")
            case ["export", variable, *_]:
                assert variable.partition("=")[0] in settings
            case _:
                pytest.fail(f"nobody knows this command: {line}")


def test_the_secret_it_makes_is_long_enough() -> None:
    """The command that makes a secret makes one that is accepted."""
    commands = re.findall(r"""python -c (["'])(.+?)\1""", README)
    assert len(commands) == 2
    for _, code in commands:
        made = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        Settings(secret_key=made.stdout.strip())


def test_every_link_leads_somewhere() -> None:
    """Each link names a section or a file that there is, and each section is linked."""
    headings = re.findall(r"^## (.+)$", README, re.MULTILINE)
    anchors = {"#" + heading.lower().replace(" ", "-") for heading in headings}
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert anchors <= set(links)
    for link in links:
        assert link in anchors or (ROOT / link.partition("#")[0]).is_file()


# ── The quick starts ────────────────────────────────────────────────────────────


def move(door: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a door of the README's own under the test's clock."""
    monkeypatch.setattr(door, "_clock", clock)


def test_the_flask_quick_start(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """It signs in, and a POST with an expired access token is signed in and answered with
    new cookies."""
    app: Flask = story("flask")["app"]
    clock = Clock()
    move(app.wsgi_app, clock, monkeypatch)
    client = app.test_client()
    assert client.get("/").text == "You are nobody."
    assert client.post("/login").text == "Welcome."
    assert client.get("/").text == "You are alice."
    before = tokens_of(client)

    clock.now += ACCESS_LIFE
    answer = client.post("/")

    assert answer.text == "You are alice."
    assert before.items().isdisjoint(tokens_of(client).items())
    assert answer.headers["Cache-Control"] == "no-store"
    assert Path("jwt-sessions.sqlite3").is_file()


def test_the_asgi_quick_start(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does the same behind the ASGI door."""
    app = story("asgi")["app"]
    clock = Clock()
    move(app, clock, monkeypatch)
    client = TestClient(app, base_url="https://testserver")
    assert client.get("/").json() == {"you_are": None}
    client.post("/login")
    assert client.get("/").json() == {"you_are": "alice"}
    before = dict(client.cookies)

    clock.now += ACCESS_LIFE
    answer = client.post("/")

    assert answer.json() == {"you_are": "alice"}
    assert before.keys() == {ACCESS, REFRESH}
    assert before.items().isdisjoint(dict(client.cookies).items())
    assert answer.headers["Cache-Control"] == "no-store"


# ── The four cases ──────────────────────────────────────────────────────────────


class CountingStore(MemorySessionStore):
    """Counts how often a row is read."""

    loads = 0

    def load(self, session_id: str, *, now: float) -> Session | None:
        self.loads += 1
        return super().load(session_id, now=now)


def test_a_known_token_reads_no_row(shop: Callable[..., Shop]) -> None:
    """Case 1: a valid access token that was seen before costs no look at the store."""
    store = CountingStore()
    client = shop(session_store=store).visitor()
    client.get("/")
    before = store.loads
    assert client.get("/").text == "You are alice."
    assert store.loads == before


@pytest.mark.parametrize("spoilt", ["expired", "missing", "unverifiable"])
def test_a_good_refresh_token_reissues(shop: Callable[..., Shop], spoilt: str) -> None:
    """Case 2: it replaces an access token that has expired, is missing or is no token."""
    place = shop()
    client = place.visitor()
    before = tokens_of(client)
    if spoilt == "expired":
        place.clock.now += ACCESS_LIFE
    elif spoilt == "missing":
        client.delete_cookie(ACCESS)
    else:
        client.set_cookie(ACCESS, "gibberish", secure=True)
    assert client.get("/").text == "You are alice."
    assert tokens_of(client).keys() == before.keys()
    assert before.items().isdisjoint(tokens_of(client).items())


def test_an_expired_refresh_token_is_renewed(shop: Callable[..., Shop]) -> None:
    """Case 3: beside a valid access token, as long as the session may live."""
    place = shop(refresh_token_expires=1200)
    client = place.visitor()
    spent = tokens_of(client)[REFRESH]
    client.delete_cookie(ACCESS)
    client.get("/")
    client.delete_cookie(ACCESS)  # as if the answer had been lost; ten minutes later it is
    client.set_cookie(REFRESH, spent, secure=True)  # repeated, so that the new access token
    place.clock.now += 600  # outlives the refresh token beside it
    client.get("/")
    before = tokens_of(client)
    place.clock.now += 601
    assert client.get("/").text == "You are alice."
    assert before[REFRESH] != tokens_of(client)[REFRESH]
    place.clock.now += 600
    assert client.get("/").text == "You are alice."


def test_everybody_else_is_anonymous(shop: Callable[..., Shop]) -> None:
    """Case 4: anonymous, or 401 where sign-in is required."""
    place = shop()
    client = place.visitor()
    place.clock.now += 31 * 86_400
    assert client.get("/").text == "You are nobody."
    assert shop(required=True).client().get("/").status_code == 401


# ── Settings ────────────────────────────────────────────────────────────────────


def test_the_upper_source_wins(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keywords win over a mapping or an object, these over the environment, and that over
    the default."""
    run = story("sources")
    assert run["settings"].session_lifetime == 60 * 86_400

    class Config:
        JWT_LEEWAY = 3

    sources: list[tuple[Settings, float]] = []
    mapping = {"JWT_LEEWAY": 3}
    sources.append((Settings.from_env(), 0))
    monkeypatch.setenv("JWT_LEEWAY", "2")
    sources.append((Settings.from_env(), 2))
    sources.append((Settings.from_mapping({}), 2))
    sources.append((Settings.from_mapping(mapping), 3))
    sources.append((Settings.from_object(Config), 3))
    sources.append((Settings.from_mapping(mapping, leeway=4), 4))
    sources.append((Settings(secret_key=SECRET), 0))  # the environment was not asked for
    assert [settings.leeway for settings, _ in sources] == [leeway for _, leeway in sources]


@pytest.mark.usefixtures("story")
def test_names_that_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a name is an error as a keyword and in the environment, a warning where the
    configuration is shared, and left alone in the environment beneath that."""
    with pytest.raises(ConfigurationError, match="secret_key"):
        wsgi.JWTMiddleware(lambda environ, start_response: [])
    monkeypatch.setenv("JWT_LEEWAI", "2")
    with pytest.raises(ConfigurationError, match="JWT_LEEWAY"):
        Settings.from_env()
    Settings.from_mapping({})
    with pytest.warns(UnknownSettingWarning, match="JWT_LEEWAY"):
        Settings.from_mapping({"JWT_LEEWAI": 2})
    unknown: Any = {"leewai": 2}
    with pytest.raises(ConfigurationError, match="leeway"):
        Settings(secret_key=SECRET, **unknown)


@pytest.mark.usefixtures("story")
def test_secrets_are_read_from_files(tmp_path: Path) -> None:
    """The ``_FILE`` names that the README lists are read, and there is no other."""
    (tmp_path / "key").write_text(SECRET + "\n")
    (tmp_path / "former").write_text("k" * 32 + "\n" + "j" * 32)
    (tmp_path / "private").write_text(pem(key_for("EdDSA")))
    (tmp_path / "public").write_text(public_pem(key_for("EdDSA", 1)))
    (tmp_path / "encryption").write_text("A" * 43)
    (tmp_path / "decryption").write_text("B" * 42 + "A\n" + "C" * 42 + "A")
    (tmp_path / "store").write_text("memory://")
    listed = re.findall(r"`(JWT_\w+_FILE)`", README)
    secret = [item.name for item in fields(Settings) if item.metadata["secret"]]
    assert sorted(listed) == sorted(f"JWT_{name.upper()}_FILE" for name in secret)

    names = ("key", "former", "private", "public", "encryption", "decryption", "store")
    paths = [str(tmp_path / name) for name in names]
    environ = {**dict(zip(listed, paths, strict=True)), "JWT_ALGORITHM": "EdDSA"}
    settings = Settings.from_env(environ=environ)

    assert settings.secret_key == SECRET.encode()
    assert settings.previous_secret_keys == (b"k" * 32, b"j" * 32)
    assert [text.path for text in settings.private_key] == [tmp_path / "private"]
    assert [text.path for text in settings.public_keys] == [tmp_path / "public"]
    assert settings.encryption_key == bytes(32)
    assert len(settings.previous_encryption_keys) == 2
    assert settings.session_store == "memory://"


def test_all_faults_are_reported_at_once() -> None:
    """A value that does not fit, a contradiction, a setting without effect: one error."""
    with pytest.raises(ConfigurationError) as raised:
        Settings(
            secret_key=SECRET,
            algorithm="HS999",  # pyright: ignore[reportArgumentType]  # the fault
            cookie_secure=False,
            cookie_samesite="None",
            public_paths=["/login"],
        )
    named = {fault.partition(":")[0] for fault in raised.value.faults}
    assert named == {"algorithm", "cookie_samesite", "public_paths"}


def test_where_the_middleware_acts(shop: Callable[..., Shop]) -> None:
    """``public_paths`` and what is below them are open, "/" alone is one page, a browser is
    sent to ``login_url``, and on ``ignore_paths`` nothing is read or sent."""
    place = shop(
        required=True,
        public_paths=("/", "/open"),
        ignore_paths=("/assets",),
        login_url="/sign-in",
    )

    @place.app.get("/<path:page>")
    def page(page: str) -> str:
        return f"{page}: {get_auth().reason}"

    client = place.client()
    assert client.get("/").status_code == 200
    assert client.get("/open/door").text == "open/door: missing"
    assert client.get("/opened").status_code == 401
    browser = client.get("/inside?x=1", headers={"Accept": "text/html"})
    assert browser.status_code == 303
    assert browser.headers["Location"] == "/sign-in?next=%2Finside%3Fx%3D1"
    ignored = place.visitor().get("/assets/logo")
    assert ignored.text == "assets/logo: ignored"
    assert "Vary" not in ignored.headers


def test_without_a_store(shop: Callable[..., Shop]) -> None:
    """With ``session_store="none"`` nothing can be revoked: a copied refresh token survives
    the logout."""
    place = shop(session_store="none")
    client = place.visitor()
    copied = tokens_of(client)
    client.post("/logout")
    with pytest.raises(SessionsNotStored):
        place.auth.revoke("any")
    place.clock.now += ACCESS_LIFE
    assert place.client(copied).get("/").text == "You are alice."


def test_a_list_of_middleware_will_do(story: Story) -> None:
    """Added by FastAPI's ``add_middleware`` it signs in and reissues as well, but an error
    page made outside of it carries no tokens."""
    api = story("asgi")["api"]
    clock = Clock()
    api.add_middleware(asgi.JWTMiddleware, secret_key=SECRET, clock=clock)

    @api.get("/broken")
    async def broken() -> None:
        raise RuntimeError("broken")

    client = TestClient(api, base_url="https://testserver", raise_server_exceptions=False)
    client.post("/login")
    clock.now += ACCESS_LIFE
    answer = client.get("/broken")
    assert answer.status_code == 500
    assert "set-cookie" not in answer.headers
    answer = client.get("/")
    assert answer.json() == {"you_are": "alice"}
    assert "set-cookie" in answer.headers


# ── The handle ──────────────────────────────────────────────────────────────────


def test_the_views_of_the_handle(shop: Callable[..., Shop]) -> None:
    """Sign in with roles, change them, sign out here, sign out everywhere."""
    place = shop()
    client = place.client()
    assert client.get("/roles").text == "Sign in first (missing)."
    assert client.post("/sign-in", data={"name": "bob"}).text == "Welcome, bob."
    assert client.get("/roles").json == ["reader"]
    assert client.post("/promote").text == "You may write."
    assert client.get("/roles").json == ["reader", "editor"]

    kept = place.visitor("bob")
    assert client.post("/logout").text == "Goodbye."
    assert tokens_of(client) == {}
    assert client.get("/").text == "You are nobody."
    assert kept.get("/").text == "You are bob."

    place.clock.now += 1
    place.visitor("bob").post("/logout-everywhere")
    assert kept.get("/").text == "You are nobody."
    assert place.auth.sessions("bob") == []


@pytest.mark.parametrize("path", ["/promote", "/logout-everywhere"])
def test_visitors_are_asked_to_sign_in_first(shop: Callable[..., Shop], path: str) -> None:
    """What needs somebody to be signed in is refused to others, and fails for nobody."""
    answer = shop().client().post(path)
    assert (answer.status_code, answer.text) == (401, "Sign in first.")


def test_a_login_is_remembered_as_asked(shop: Callable[..., Shop]) -> None:
    """With ``remember`` the cookies outlive the browser, without it they do not; user agent
    and address are kept in the session."""
    place = shop()
    client = place.client()
    client.post("/sign-in", data={"name": "bob", "remember": "on"})
    lasting = client.get_cookie(REFRESH)
    assert lasting is not None
    assert lasting.max_age == 90 * 86_400
    client.post("/sign-in", data={"name": "bob"}, headers={"User-Agent": "a phone"})
    passing = client.get_cookie(REFRESH)
    assert passing is not None
    assert passing.max_age is None
    (session,) = place.auth.sessions("bob")  # a new one, and the old one ended
    assert (session.user_agent, session.address) == ("a phone", "127.0.0.1")


def test_what_the_server_sees(shop: Callable[..., Shop]) -> None:
    """Claims and handle are in the environ, with ``REMOTE_USER`` and ``AUTH_TYPE``."""
    place = shop()
    client = place.visitor()
    with client:
        client.get("/")
        environ = request.environ
    assert environ["jwt_middleware.claims"]["sub"] == "alice"
    assert environ["jwt_middleware.auth"].subject == "alice"
    assert (environ["REMOTE_USER"], environ["AUTH_TYPE"]) == ("alice", "Bearer")


def test_starlette_knows_the_user(story: Story) -> None:
    """``request.user`` and ``@requires`` work behind the ASGI door."""
    from starlette.authentication import requires
    from starlette.requests import Request as StarletteRequest
    from starlette.responses import PlainTextResponse

    run = story("asgi")

    @requires("authenticated")
    async def inside(request: StarletteRequest) -> PlainTextResponse:
        return PlainTextResponse(request.user.display_name)

    run["api"].add_route("/inside", inside)
    client = TestClient(run["app"], base_url="https://testserver")
    assert client.get("/inside").status_code == 403
    client.post("/login")
    assert client.get("/inside").text == "alice"


def test_too_late_is_said(shop: Callable[..., Shop]) -> None:
    """Once the response has started, ``login`` and ``logout`` raise, and name what to call."""
    place = shop()

    @place.app.get("/stream")
    def stream() -> Any:
        auth = get_auth()

        def chunks() -> Any:
            yield "first"
            with pytest.raises(ResponseStarted, match=r"JWTAuth\.issue"):
                auth.login("alice")
            with pytest.raises(ResponseStarted, match=r"JWTAuth\.revoke"):
                auth.logout()
            yield " second"

        return chunks()

    assert place.client().get("/stream").text == "first second"


class FailingStore(MemorySessionStore):
    """Fails as soon as it is told to."""

    failing = False

    def create(self, *args: Any, **options: Any) -> Session:
        self._check()
        return super().create(*args, **options)

    def load(self, *args: Any, **options: Any) -> Session | None:
        self._check()
        return super().load(*args, **options)

    def revoke(self, *args: Any, **options: Any) -> bool:
        self._check()
        return super().revoke(*args, **options)

    def _check(self) -> None:
        if self.failing:
            raise OSError("out of order")


def test_what_cannot_be_stored_did_not_happen(shop: Callable[..., Shop]) -> None:
    """While the store fails, login and logout are answered with 503, and no cookie changes."""
    store = FailingStore()
    place = shop(session_store=store)
    client = place.visitor()
    before = tokens_of(client)
    store.failing = True
    assert client.post("/logout").status_code == 503
    assert place.client().post("/sign-in", data={"name": "bob"}).status_code == 503
    assert tokens_of(client) == before
    store.failing = False
    assert client.get("/").text == "You are alice."


@pytest.mark.parametrize("required", [False, True])
def test_when_the_store_fails(shop: Callable[..., Shop], required: bool) -> None:
    """A valid access token goes on; what needs the store is anonymous, or 503 where sign-in
    is required; no cookie is lost, and afterwards all is well."""
    store = FailingStore()
    place = shop(session_store=store, required=required, **PUBLIC if required else {})
    client = place.visitor()
    store.failing = True
    assert client.get("/").text == "You are alice."

    place.clock.now += ACCESS_LIFE
    answer = client.get("/roles")
    assert answer.status_code == (503 if required else 401)
    assert ("Retry-After" in answer.headers) is required
    assert required or answer.text == "Sign in first (store_unavailable)."
    assert "Set-Cookie" not in answer.headers

    store.failing = False
    assert client.get("/").text == "You are alice."


PUBLIC = {"public_paths": ("/sign-in",)}


def test_an_error_takes_a_login_back_but_no_logout(shop: Callable[..., Shop]) -> None:
    """With a status of 500 a login is not stored; a logout is."""
    place = shop()

    @place.app.post("/broken/<what>")
    def broken(what: str) -> Any:
        if what == "login":
            get_auth().login("bob")
        else:
            get_auth().logout()
        return "Broken.", 500

    place.client().post("/broken/login")
    assert place.auth.sessions("bob") == []
    client = place.visitor("bob")
    client.post("/broken/logout")
    assert place.auth.sessions("bob") == []
    assert tokens_of(client) == {}


def test_a_cookie_the_app_sets_itself_counts(shop: Callable[..., Shop]) -> None:
    """If the app sets one of our cookies, none of ours is sent and nothing rotates."""
    place = shop()

    @place.app.get("/own")
    def own() -> Any:
        return "Mine.", {"Set-Cookie": f"{ACCESS}=mine; Path=/; Secure"}

    client = place.visitor()
    before = tokens_of(client)
    place.clock.now += ACCESS_LIFE
    answer = client.get("/own")
    assert len(answer.headers.getlist("Set-Cookie")) == 1
    assert tokens_of(client) == {ACCESS: "mine", REFRESH: before[REFRESH]}
    (session,) = place.auth.sessions("alice")
    assert session.generation == 0


# ── How reissue works ───────────────────────────────────────────────────────────


def generation(place: Shop) -> int:
    (session,) = place.auth.sessions("alice")
    return session.generation


def test_siblings_share_the_successor(shop: Callable[..., Shop]) -> None:
    """Several requests with the same tokens are all signed in, and one of them rotates."""
    place = shop()
    before = tokens_of(place.visitor())
    place.clock.now += ACCESS_LIFE
    siblings = [place.client(before) for _ in range(3)]
    for sibling in siblings:
        assert sibling.get("/").text == "You are alice."
    assert len({tokens_of(sibling)[REFRESH] for sibling in siblings}) == 1
    assert generation(place) == 1


def test_a_lost_response_is_made_good(shop: Callable[..., Shop]) -> None:
    """As long as nobody has used the successor, its predecessor is worth it again, however
    late; once it was used and the grace is over, the predecessor ends the session."""
    place = shop()
    before = tokens_of(place.visitor())
    place.clock.now += ACCESS_LIFE
    lost = place.client(before)
    lost.get("/")
    place.clock.now += 86_400
    found = place.client(before)
    assert found.get("/").text == "You are alice."
    assert tokens_of(found)[REFRESH] == tokens_of(lost)[REFRESH]

    found.get("/")  # shows the successor
    place.clock.now += GRACE
    assert place.client(before).get("/").text == "You are alice."
    place.clock.now += 1
    assert place.client(before).get("/roles").text == "Sign in first (reuse)."
    assert found.get("/roles").text == "Sign in first (revoked)."
    names = [event.name for event in place.events]
    assert names.count("lost_response") == 1
    assert names.count("reuse") == 1


@pytest.mark.parametrize("status", [200, 304])
def test_what_caches_store_carries_no_tokens(shop: Callable[..., Shop], status: int) -> None:
    """HEAD and 304 rotate nothing and set no cookie."""
    place = shop()

    @place.app.get("/page")
    def page() -> Any:
        return "", status

    client = place.visitor()
    place.clock.now += ACCESS_LIFE
    answer = client.head("/page") if status == 200 else client.get("/page")
    assert "Set-Cookie" not in answer.headers
    assert generation(place) == 0


# ── Security ────────────────────────────────────────────────────────────────────


def test_the_cookies_are_what_it_says(shop: Callable[..., Shop]) -> None:
    """Secure, HttpOnly, SameSite=Lax, for the whole host; one that comes twice is neither."""
    place = shop()
    client = place.visitor()
    for name in (ACCESS, REFRESH):
        cookie = client.get_cookie(name)
        assert cookie is not None
        assert (cookie.secure, cookie.http_only, cookie.same_site) == (True, True, "Lax")
        assert (cookie.path, cookie.origin_only) == ("/", True)
    twice = f"{ACCESS}={tokens_of(client)[ACCESS]}; {ACCESS}=another"
    by_hand = place.app.test_client(use_cookies=False)
    answer = by_hand.get("/roles", headers={"Cookie": twice})
    assert answer.text == "Sign in first (duplicate_cookie)."


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"Origin": "https://www.example.com"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, False),
        ({"Origin": "http://localhost"}, True),
        ({"Origin": "https://elsewhere.example"}, False),
        ({"Origin": "null"}, False),
    ],
    ids=str,
)
def test_cross_site_requests(
    shop: Callable[..., Shop], headers: dict[str, str], passes: bool
) -> None:
    """A request passes by the rules the README gives; one that does not is anonymous, or 403
    where sign-in is required, and neither signs in nor out."""
    trusted = {"trusted_origins": ("https://www.example.com",)}
    place = shop(**trusted)
    client = place.visitor()
    answer = client.post("/", headers=headers)
    assert answer.text == ("You are alice." if passes else "You are nobody.")
    if not passes:
        for path in ("/logout", "/login"):
            assert client.post(path, headers=headers).status_code == 403
    assert client.get("/", headers=headers).text == "You are alice."  # a safe method

    strict = shop(required=True, **PUBLIC, **trusted).visitor()
    assert strict.post("/", headers=headers).status_code == (200 if passes else 403)


def test_cross_site_can_be_allowed(shop: Callable[..., Shop]) -> None:
    """``cross_site=True`` accepts the form post of an identity provider."""
    place = shop()

    @place.app.post("/callback")
    def callback() -> str:
        get_auth().login("alice", cross_site=True)
        return "Welcome."

    client = place.client()
    client.post("/callback", headers={"Origin": "https://provider.example"})
    assert client.get("/").text == "You are alice."


def test_no_cache_mixes_people_up(shop: Callable[..., Shop]) -> None:
    """Every response varies on Cookie; one with tokens is not to be stored, whatever the app
    has said."""
    place = shop()

    @place.app.get("/public")
    def public() -> Any:
        return "Hello.", {"Cache-Control": "public, max-age=60", "Vary": "Accept"}

    client = place.visitor()
    anonymous, known = place.client().get("/public"), client.get("/public")
    place.clock.now += ACCESS_LIFE
    reissued = client.get("/public")
    for answer in (anonymous, known, reissued):
        assert answer.headers["Vary"] == "Accept,Cookie"
    assert anonymous.headers["Cache-Control"] == "public, max-age=60"
    assert reissued.headers.getlist("Cache-Control") == ["no-store"]


def test_no_token_is_stored_or_told(
    shop: Callable[..., Shop], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the file of the store, nor the log, nor an event holds a token, its signature
    or its id."""
    caplog.set_level(logging.DEBUG, "jwt_middleware")
    place = shop(session_store=f"sqlite:///{tmp_path / 'sessions.sqlite3'}")
    client = place.visitor()
    made = [*tokens_of(client).values()]
    place.clock.now += ACCESS_LIFE
    client.get("/")
    place.client({ACCESS: "gibberish"}).get("/")
    made += tokens_of(client).values()
    assert len(made) == 4

    files = b"".join(path.read_bytes() for path in tmp_path.glob("sessions.sqlite3*"))
    told = repr(place.events) + caplog.text + repr([record.args for record in caplog.records])
    assert b"alice" in files
    assert "reissued" in told
    for token in made:
        for part in token.split(".")[1:]:
            assert part.encode() not in files
            assert part not in told


def test_accounts_are_looked_up_at_each_reissue(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``load_claims`` brings fresh claims, or ends the session; ``on_event`` is told."""
    run = story("hooks")
    app, auth, accounts = run["app"], run["auth"], run["accounts"]
    clock = Clock()
    monkeypatch.setattr(auth, "clock", clock)
    move(app.wsgi_app, clock, monkeypatch)

    @app.get("/roles")
    def roles() -> Any:
        claims = get_auth().claims
        return get_auth().reason or "" if claims is None else claims["roles"]

    pair: TokenPair = auth.issue("alice", {"roles": ["reader"]})
    client: FlaskClient = app.test_client()
    client.set_cookie(ACCESS, pair.access_token, secure=True)
    client.set_cookie(REFRESH, pair.refresh_token, secure=True)

    accounts["alice"]["roles"] = ["editor"]
    assert client.get("/roles").json == ["reader"]
    clock.now += ACCESS_LIFE
    assert client.get("/roles").json == ["editor"]

    accounts["alice"]["disabled"] = True
    clock.now += ACCESS_LIFE
    assert client.get("/roles").text == "revoked"
    assert auth.sessions("alice") == []
    assert ("reissued", "alice") in run["seen"]


# ── Outside a request ───────────────────────────────────────────────────────────


def test_sessions_outside_a_request(story: Story) -> None:
    """What the story issues is listed, revoked one by one and all but one."""
    run = story("outside")
    auth, pair = run["auth"], run["pair"]
    assert run["answer"]["token_type"] == "Bearer"
    assert [session.id for session in auth.sessions("alice")] == [pair.session_id]
    twins = {"issue", "revoke", "revoke_subject", "sessions", "purge"}
    assert all(f"a{name}" in README and hasattr(JWTAuth, f"a{name}") for name in twins)


def test_an_issued_pair_is_sent(shop: Callable[..., Shop]) -> None:
    """``send`` sends what ``issue`` has stored."""
    place = shop()

    @place.app.post("/issue")
    def issue() -> str:
        get_auth().send(place.auth.issue("alice"))
        return get_auth().subject or ""

    client = place.client()
    assert client.post("/issue").text == "alice"
    assert client.get("/").text == "You are alice."
    assert len(place.auth.sessions("alice")) == 1


def test_old_rows_are_purged_along_the_way(shop: Callable[..., Shop]) -> None:
    """A row past its absolute lifetime is deleted by a later request."""
    store = MemorySessionStore()
    place = shop(session_store=store)
    place.visitor()
    (old,) = place.auth.sessions("alice")
    place.clock.now += 91 * 86_400
    place.visitor()
    assert store.load(old.id, now=place.clock.now) is None


# ── Header clients ──────────────────────────────────────────────────────────────


def test_a_header_client(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's client is signed in by its headers, and keeps what it is given."""
    run = story("asgi")
    clock = Clock()
    move(run["app"], clock, monkeypatch)
    client = TestClient(run["app"], base_url="https://testserver")
    tokens = client.post("/token").json()
    assert "set-cookie" not in client.post("/token").headers
    before = dict(tokens)

    clock.now += ACCESS_LIFE
    answer = run["call"](client, tokens, "POST", "/")

    assert answer.json() == {"you_are": "alice"}
    assert "set-cookie" not in answer.headers
    assert tokens["access_token"] != before["access_token"]
    assert tokens["refresh_token"] != before["refresh_token"]
    assert "X-Access-Token" not in run["call"](client, tokens, "GET", "/").headers


def test_another_origin_may_read_the_headers(shop: Callable[..., Shop]) -> None:
    """Where CORS lets another origin in, it may read the new tokens, and CSRF is no matter."""
    place = shop(token_location=("headers",))

    @place.app.post("/cors")
    def cors() -> Any:
        return get_auth().subject or "", {"Access-Control-Allow-Origin": "https://app.example"}

    pair = place.auth.issue("alice")
    place.clock.now += ACCESS_LIFE
    headers = {
        "Authorization": f"Bearer {pair.access_token}",
        "X-Refresh-Token": pair.refresh_token,
        "Origin": "https://app.example",
    }
    answer = place.client().post("/cors", headers=headers)
    assert answer.text == "alice"
    exposed = answer.headers["Access-Control-Expose-Headers"]
    assert set(exposed.split(",")) == {"X-Access-Token", "X-Refresh-Token"}
    assert answer.headers["Vary"] == "X-Refresh-Token"


# ── Limits ──────────────────────────────────────────────────────────────────────


def test_a_copy_of_an_access_token_outlives_the_logout_elsewhere() -> None:
    """In another process it is good until it expires, and then it gets nothing new."""
    clock, store = Clock(), MemorySessionStore()
    here, there = (JWTAuth(secret_key=SECRET, session_store=store, clock=clock) for _ in range(2))
    pair = here.issue("alice")
    here.revoke(pair.session_id)
    cookies = {ACCESS: pair.access_token, REFRESH: pair.refresh_token}
    assert subject_at(here, cookies) == (None, "revoked")
    assert subject_at(there, cookies) == ("alice", None)
    clock.now += ACCESS_LIFE
    assert subject_at(there, cookies) == (None, "revoked")


def subject_at(auth: JWTAuth, cookies: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Whom a process takes these cookies for, and why not."""
    app = Flask("process")

    @app.get("/")
    def who() -> Any:
        return [get_auth().subject, get_auth().reason]

    app.wsgi_app = wsgi.JWTMiddleware(app.wsgi_app, auth)
    client = app.test_client()
    for name, value in cookies.items():
        client.set_cookie(name, value, secure=True)
    subject, reason = client.get("/").json or (None, None)
    return subject, reason


def test_a_thief_who_keeps_to_the_grace_is_not_noticed(shop: Callable[..., Shop]) -> None:
    """He follows his victim within the grace period, again and again, until the session has
    lived its absolute life."""
    place = shop()
    client = place.visitor()
    for _ in range(5):
        place.clock.now += ACCESS_LIFE
        stolen = tokens_of(client)
        client.get("/")
        client.get("/")
        place.clock.now += GRACE
        assert place.client(stolen).get("/").text == "You are alice."
    assert "reuse" not in [event.name for event in place.events]
    (session,) = place.auth.sessions("alice")
    assert session.absolute_expires_at == session.created_at + 90 * 86_400


def test_an_upload_that_comes_too_late(shop: Callable[..., Shop]) -> None:
    """After its browser has moved on and the grace is over it is anonymous, and the session
    goes on."""
    place = shop()
    client = place.visitor()
    before = tokens_of(client)
    place.clock.now += ACCESS_LIFE
    client.get("/")
    client.get("/")
    place.clock.now += GRACE + 1
    assert place.client(before).post("/", data="x" * 1000).text == "You are nobody."
    assert client.get("/").text == "You are alice."


def test_websockets() -> None:
    """A handshake is signed in and reissued like a request; the open connection ends with the
    session."""
    clock = Clock()
    auth = JWTAuth(secret_key=SECRET, session_store="memory://", clock=clock)

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        async for _ in socket.iter_text():
            await socket.send_text(str(get_auth(scope).subject))

    pair = auth.issue("alice")
    clock.now += ACCESS_LIFE
    cookies = {ACCESS: pair.access_token, REFRESH: pair.refresh_token}
    client = TestClient(
        asgi.JWTMiddleware(echo, auth), base_url="https://testserver", cookies=cookies
    )
    with client.websocket_connect("/") as socket:
        names = {value.partition(b"=")[0].decode() for _, value in socket.extra_headers or ()}
        assert {ACCESS, REFRESH} <= names
        socket.send_text("who?")
        assert socket.receive_text() == "alice"
        auth.revoke(pair.session_id)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
        assert closed.value.code == 1008
