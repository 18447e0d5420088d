from __future__ import annotations

import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from http.client import HTTPConnection, HTTPMessage
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import pytest

from jwt_middleware import Event, asgi
from jwt_middleware.demo import app, check, config, pages, server
from jwt_middleware.demo.check import SCENARIOS, SimulatedClock, Stage, Step
from jwt_middleware.demo.client import Browser, Program, Reply
from jwt_middleware.demo.watch import recorder
from jwt_middleware.demo.watch.actions import Watch

HOSTILE = "<script>alert(1)</script>\"'&{user}"


@pytest.fixture(params=server.DOORS)
def door(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def stage(door: str) -> Iterator[Stage]:
    with check._staged(door) as stage:
        yield stage


class Raw(NamedTuple):
    status: int
    headers: HTTPMessage


def raw(stage: Stage, method: str, path: str, body: Any = None, **headers: str) -> Raw:
    """A request that nothing is added to."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = HTTPConnection(urlsplit(stage.url).netloc, timeout=20)
    try:
        connection.request(method, path, body, fields)
        response = connection.getresponse()
        response.read()
        return Raw(response.status, response.headers)
    finally:
        connection.close()


# ── The check ─────────────────────────────────────────────────────────────────────


def test_the_check_passes_as_a_program() -> None:
    """``demo --check`` names every step on both doors, says time is simulated, and exits 0."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "jwt_middleware", "demo", "--check"],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "time is simulated" in done.stdout
    lines = done.stdout.splitlines()
    for door in ("wsgi", "asgi"):
        table = [line for line in lines if line.startswith(door)]
        for step in (
            "1. access token valid",
            "2. access token expired",
            "3. refresh token expired",
            "4. both expired",
            "32 parallel requests: signed in",
            "32 parallel requests: rotations",
            "32 parallel requests: successors",
            "lost response: refresh token",
            "theft: thief, spent token",
            "theft: victim, valid token",
            "theft: reuse events",
            "logout: copied refresh token",
            "logout everywhere: elsewhere",
            "headers: access token expired",
        ):
            assert any(step in line and line.endswith("ok") for line in table), (door, step)
    assert re.fullmatch(r"(\d+) steps: \1 ok, 0 different", lines[-1])


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_every_scenario_finds_what_it_expects(door: str, scenario: check.Scenario) -> None:
    """Each scenario, alone on a stage, finds what it expects, and has a sentence."""
    assert scenario.__doc__
    with check._staged(door) as stage:
        findings = list(check._played(door, scenario, stage))
    assert findings != []
    assert [finding for finding in findings if finding.verdict != "ok"] == []


def _disappointing(stage: Stage) -> Iterator[Step]:
    yield Step("a hope", "200 bob, no new tokens", stage.signed_in().get())


def _unreachable(stage: Stage) -> Iterator[Step]:
    yield Step("still here", "True", True)
    yield Step("a hope", "an answer", Browser("http://127.0.0.1:1").get())


@pytest.mark.parametrize("scenario", [_disappointing, _unreachable])
def test_any_difference_fails_the_check(
    door: str, scenario: check.Scenario, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was not expected, or not answered at all, is DIFFERENT, and the status is 1."""
    assert check.check([door], [scenario]) == 1
    out = capsys.readouterr().out
    assert "DIFFERENT" in out
    assert ", 1 different" in out


class _NeverReissues(asgi.JWTMiddleware):
    """A door that does what others do: an expired access token is a 401."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        kept = [(name, value) for name, value in scope["headers"] if name != b"x-refresh-token"]
        kept = [
            (name, re.sub(rb"demo_refresh_token=[^;]*", b"", value) if name == b"cookie" else value)
            for name, value in kept
        ]
        await super().__call__({**scope, "headers": kept}, receive, send)


def test_a_broken_door_fails_the_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A door that never reissues is found out by every scenario that needs it."""
    monkeypatch.setattr(asgi, "JWTMiddleware", _NeverReissues)
    assert check.check(["asgi"]) == 1
    different = [line for line in capsys.readouterr().out.splitlines() if "DIFFERENT" in line]
    for step in ("2. ", "3. ", "32 parallel", "lost response", "theft", "headers"):
        assert any(line.startswith(f"asgi  {step}") for line in different), step


def test_a_wrong_setting_fails_the_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A setting that turns a case off is found out, by the scenario of that case alone."""
    genuine = config.demo_settings
    monkeypatch.setattr(
        config, "demo_settings", lambda store: replace(genuine(store), renew_refresh=False)
    )
    assert check.check(["wsgi"], [check.both_valid, check.refresh_expired]) == 1
    (different,) = [line for line in capsys.readouterr().out.splitlines() if "DIFFERENT" in line]
    assert different.startswith("wsgi  3. ")


def test_a_clock_moves_when_told() -> None:
    """Simulated time stands still until it is moved."""
    clock = SimulatedClock(100.0)
    clock.move(2.5)
    assert (clock(), clock()) == (102.5, 102.5)


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (Reply(200, '{"user": "a", "reissued": true}', {"access": "x"}), "new access token"),
        (Reply(200, "<html>", {"access": "x", "refresh": "y"}), "new pair"),
        (Reply(303, "", {"access": "", "refresh": ""}), "cookies cleared"),
        (Reply(401, "{}", {}), "no new tokens"),
    ],
    ids=["access", "pair", "cleared", "none"],
)
def test_a_reply_is_a_sentence_without_secrets(reply: Reply, sentence: str) -> None:
    """A reply says what became of the tokens, and never shows one."""
    assert str(reply).endswith(sentence)
    assert "tokens" not in repr(reply)


# ── The pages ─────────────────────────────────────────────────────────────────────


def test_the_page_flow(stage: Stage) -> None:
    """Sign in, see a valid token, see the reissue happen, see the generation move, log out."""
    browser = Browser(stage.url)
    page = browser.get("/login")
    assert page.status == 200
    assert '<form method="post" action="/login">' in page.text
    assert browser.login("alice").status == 303
    page = browser.get("/account")
    assert "<h1>You are alice</h1>" in page.text
    assert "Access token valid" in page.text
    assert page.tokens == {}
    assert "<b data-left>10</b> s left" in page.text
    assert "<b data-left>60</b> s left" in page.text
    stage.clock.move(8)
    page = browser.get("/account")
    assert "<b data-left>2</b> s left" in page.text
    assert "<b data-left>52</b> s left" in page.text
    stage.clock.move(3)
    page = browser.get("/account")
    assert "Reissued in this request" in page.text
    assert "You are alice" in page.text
    assert set(page.tokens) == {"access", "refresh"}
    assert "<b data-left>60</b> s left" in page.text
    page = browser.get("/account")
    assert "Access token valid" in page.text
    assert "<dt>Generation</dt><dd>1 " in page.text
    assert browser.post("/logout").status == 303
    assert browser.tokens == {}
    assert browser.get("/account").status == 401


def test_a_renewed_refresh_token_is_visible(stage: Stage) -> None:
    """The page tells a renewed refresh token from a reissued access token."""
    browser = stage.signed_in()
    assert "Renewed in this request" not in browser.get("/account").text
    check.late_access(browser, stage.clock)
    stage.clock.move(2)
    assert "Renewed in this request" in browser.get("/account").text


def test_a_person_is_shown_the_login_page(stage: Stage) -> None:
    """Who navigates without tokens is led to the login page; who is signed in, past it."""
    answer = raw(stage, "GET", "/account", Accept="text/html")
    assert answer.status == 303
    assert answer.headers["Location"].startswith("/login?")
    browser = stage.signed_in()
    answer = raw(stage, "GET", "/login", **browser._headers())
    assert (answer.status, answer.headers["Location"]) == (303, "/account")


def test_the_login_page_says_why(stage: Stage) -> None:
    """The login page tells an expired session from an ended one, and from no session."""
    browser = stage.signed_in()
    assert pages.WHY_SIGNED_OUT["missing"] in Browser(stage.url).get("/login").text
    copy = Browser(stage.url, browser.tokens)
    browser.post("/logout")
    assert pages.WHY_SIGNED_OUT["revoked"] in copy.get("/login").text
    stage.clock.move(61)
    assert pages.WHY_SIGNED_OUT["expired"] in copy.get("/login").text
    assert "You are not signed in." in pages.login("something new")


@pytest.mark.parametrize("name", ["", "   ", "x" * 65])
def test_names_that_are_none(stage: Stage, name: str) -> None:
    """A name that is missing or too long signs nobody in, by page or by program."""
    browser = Browser(stage.url)
    reply = browser.login(name)
    assert (reply.status, reply.tokens) == (400, {})
    assert "A name of 1 to 64 characters, please." in reply.text
    assert Program(stage.url).post("/token", user=name).status == 400


def test_a_hostile_name_is_escaped(stage: Stage) -> None:
    """Names and browsers that look like HTML are shown as they are, never obeyed."""
    browser = Browser(stage.url)
    form = urlencode({"user": HOSTILE, "remember": "on"})
    headers = {"User_Agent": f"Evil/{HOSTILE}", "Content_Type": "application/x-www-form-urlencoded"}
    answer = raw(stage, "POST", "/login", form, **headers)
    for field in answer.headers.get_all("Set-Cookie", []):
        name, _, rest = field.partition("=")
        kinds = {cookie: kind for kind, cookie in config.COOKIES.items()}
        browser.tokens[kinds[name]] = rest.partition(";")[0]
    page = browser.get("/account").text
    assert page.count("<script>") == 1  # ours
    escaped = "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;{user}"
    assert f"<h1>You are {escaped}</h1>" in page
    assert f"Evil/{escaped}" in page


def test_the_policy_names_the_one_script(stage: Stage) -> None:
    """The page's own script is the only one a browser may run."""
    page = stage.signed_in().get("/account").text
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    policy = raw(stage, "GET", "/login").headers["Content-Security-Policy"]
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_nothing_is_fetched_from_elsewhere(stage: Stage) -> None:
    """A page names no other host and no file."""
    browser = stage.signed_in()
    for page in (browser.get("/account").text, Browser(stage.url).get("/login").text):
        assert "//" not in page
        assert "src=" not in page


def test_a_page_that_calls_again_by_itself(stage: Stage) -> None:
    """The reload is asked for by a link, and can be stopped by one."""
    browser = stage.signed_in()
    refresh = '<meta http-equiv="refresh" content="3">'
    page = browser.get("/account").text
    assert refresh not in page
    assert '<a href="/account?reload=on">' in page
    page = browser.get("/account?reload=on").text
    assert refresh in page
    assert "Stop calling" in page


def test_changing_a_claim(stage: Stage) -> None:
    """A changed claim is in the next request, and comes round; without a session nothing is."""
    browser = stage.signed_in()
    moods = [browser.get().members["claims"]["mood"]]
    for _ in app.MOODS:
        assert str(browser.post("/claims")) == "303, new access token"
        moods.append(browser.get().members["claims"]["mood"])
    assert moods == [*app.MOODS, app.MOODS[0]]
    assert str(Browser(stage.url).post("/claims")) == "303, no new tokens"


def test_all_sessions_are_listed(stage: Stage) -> None:
    """The page lists where a user is signed in, and marks the browser it is shown to."""
    stage.signed_in()
    stage.clock.move(5)
    page = stage.signed_in().get("/account").text
    assert page.count('<tr class="other"><td>5 s</td>') == 1
    assert page.count('<tr class="own"><td>0 s</td>') == 1


def test_not_remembered(stage: Stage) -> None:
    """Without "remember me" the cookies end with the browser."""
    for form, kept in (("user=alice&remember=on", True), ("user=alice", False)):
        answer = raw(stage, "POST", "/login", form)
        cookies = [line for line in answer.headers.get_all("Set-Cookie", []) if "Path=/;" in line]
        assert ["Max-Age" in cookie for cookie in cookies] == [kept, kept]


@pytest.mark.parametrize("path", ["/login", "/logout", "/logout-everywhere"])
def test_other_sites_are_refused(stage: Stage, path: str) -> None:
    """A form on another site can neither sign in nor out."""
    browser = stage.signed_in()
    headers = {**browser._headers(), "Origin": "http://evil.example"}
    assert raw(stage, "POST", path, "user=mallory", **headers).status == 403
    assert browser.get().members["user"] == "alice"


def test_pages_that_do_not_exist(stage: Stage) -> None:
    """Any other path or method is a 404 for who is signed in, and a 401 for who is not."""
    browser = stage.signed_in()
    assert browser.get("/nowhere").status == 404
    assert browser.get("/logout").status == 404
    assert Browser(stage.url).get("/nowhere").status == 401


def test_a_form_is_read_to_its_limit(stage: Stage) -> None:
    """What is far longer than a name needs is not read to its end."""
    huge = b"user=alice&rest=" + b"x" * app.BODY_LIMIT
    assert raw(stage, "POST", "/login", huge).status == 303


def test_a_form_may_come_in_pieces() -> None:
    """Behind the ASGI door a form may come in chunks, without a length."""
    with check._staged("asgi") as stage:
        assert raw(stage, "POST", "/login", iter([b"user=al", b"ice"])).status == 303


def test_the_terminal_is_told_safely(capsys: pytest.CaptureFixture[str]) -> None:
    """An event is a line, in which a name cannot command the terminal."""
    server._tell(Event("reissued", 0.0, subject="a\x1b[2Jb"))
    server._tell(Event("token_refused", 0.0, reason="expired"))
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["  reissued 'a\\x1b[2Jb'", "  token_refused (expired)"]


def test_every_run_has_its_own_secret() -> None:
    """The secret of one run is not that of another."""
    with config.demo_auth() as one, config.demo_auth() as other:
        assert one.settings.secret_key != other.settings.secret_key


# ── The page to watch it on (its buttons: tests/browser/test_watch.py) ────────────


def test_an_event_outside_a_request_is_told_and_not_recorded() -> None:
    """What no request has caused reaches the terminal, and no record."""
    told: list[Event] = []
    watch = Watch(told.append)
    event = Event("revoked", 0.0)
    watch.hear(event)
    assert told == [event]
    assert watch.recorder.after(0, 0) == []


def test_a_record_holds_no_token() -> None:
    """Of a token its claims are recorded, without its own id; of anything else, that it is none."""
    watch = Watch(lambda event: None)
    token = "head." + b64encode(b'{"sub": "alice", "jti": "own"}').decode() + ".signature"
    passage = watch.enter("GET", "/me", "demo_access_token=broken", elsewhere=False)
    watch.recorder.answered(passage, 200, {"access": token}, lost=False)
    (record,) = watch.recorder.after(0, 0)
    assert record["presented"] == {"access": "unreadable"}
    assert record["delivered"] == {"access": {"sub": "alice"}}


def test_of_a_long_run_the_end_is_kept() -> None:
    """The record is bounded, and a page that is opened late is shown the latest."""
    watch = Watch(lambda event: None)
    for number in range(recorder.KEPT + 5):
        watch.recorder.did(str(number))
    kept = watch.recorder.after(0, 0)
    assert (len(kept), kept[-1]["text"]) == (recorder.KEPT, str(recorder.KEPT + 4))
