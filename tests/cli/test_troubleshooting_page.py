"""docs/troubleshooting.md, held to its word: each mistake is made, and noticed as it says."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from commanding import SECRET, Command

from jwt_middleware import ConfigurationError, JWTAuth, MiddlewareNotInstalled, Settings, get_auth
from jwt_middleware.cli.given_request import read_request
from jwt_middleware.driver import run

PAGE = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text("utf-8")
TABLE = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| mistake ")
]
ROWS = {mistake: seen.strip("`") for mistake, _, seen, _ in TABLE}
"""By mistake: the words that are seen."""

AT_START = {mistake for mistake, who, *_ in TABLE if who.startswith("the app, at its start")}

IN_THE_LOG = {mistake for mistake, who, *_ in TABLE if who.startswith("the app, in its log")}


def plainly(text: str) -> str:
    """Without its line breaks and indentations."""
    return " ".join(text.split())


def token(secret: str = SECRET, *, ago: float = 0, kind: str = "access_token") -> str:
    settings = Settings(secret_key=secret, session_store="memory://")
    now = time.time() - ago
    made: str = getattr(JWTAuth(settings, clock=lambda: now).issue("alice"), kind)
    return made


def head(*lines: str, first: str = "GET / HTTP/1.1", host: str = "shop.example") -> str:
    return "\n".join((first, f"Host: {host}", *lines))


SETTINGS: dict[str, dict[str, str | None]] = {
    "No secret": {"JWT_SECRET_KEY": None},
    "A short secret": {"JWT_SECRET_KEY": "short"},
    "A secret that can be guessed": {"JWT_SECRET_KEY": "password" * 5},
    "A setting with a typo": {"JWT_SECRET_KEYS": "x"},
    "A store that does not answer": {"JWT_SESSION_STORE": "redis://127.0.0.1:1"},
    "`memory://` with several workers": {"JWT_SESSION_STORE": "memory://"},
}

COOKIES_ONLY = {"JWT_TOKEN_LOCATION": "cookies"}
HEADERS_ONLY = {"JWT_TOKEN_LOCATION": "headers"}
POST = "POST /orders HTTP/2"
COOKIE = "Cookie: __Host-access_token=x"

REQUESTS: list[tuple[str, str, dict[str, str]]] = [
    ("http, and `Secure` cookies", head("Origin: http://shop.example"), {}),
    ("http, and `Secure` cookies", head("X-Forwarded-Proto: http"), {}),
    ("A wrong cookie name", head("Cookie: a=b; access_token=x"), {}),
    ("A wrong cookie name", head(f"Cookie: session={token()}; flag"), {}),
    ("Another scheme in `Authorization`", head("Authorization: Token abc"), {}),
    ("The place of tokens left out", head("Authorization: Bearer abc"), COOKIES_ONLY),
    ("The place of tokens left out", head("Cookie: __Host-access_token=abc"), HEADERS_ONLY),
    (
        "`fetch` from another origin, without credentials",
        head("Origin: https://spa.example", "Sec-Fetch-Site: cross-site"),
        {},
    ),
    (
        "Another site's `POST`",
        head("Origin: https://evil.example", "Sec-Fetch-Site: cross-site", COOKIE, first=POST),
        {},
    ),
    (
        "A proxy that replaces `Host`",
        head("Origin: https://shop.example", COOKIE, first=POST, host="backend:8000"),
        {},
    ),
    (
        "A token of another secret",
        head(f"Cookie: __Host-access_token={token('x' * 32)}"),
        {},
    ),
]

IN_CODE = {"`get_auth` without the middleware", "A second package of our import name"}


def test_every_mistake_is_made() -> None:
    """No row of the table is without a test; test_neighbours.py installs the second package."""
    assert ROWS.keys() == SETTINGS.keys() | {name for name, *_ in REQUESTS} | IN_CODE


@pytest.mark.parametrize("mistake", SETTINGS)
def test_mistakes_in_settings(command: Command, mistake: str) -> None:
    """``check`` finds it, and says what the table says; so does the app, where it says so."""
    answer = command("check", **SETTINGS[mistake])
    assert plainly(ROWS[mistake]) in plainly(answer.out)
    assert (answer.status == 3) is (mistake in AT_START)
    if mistake in AT_START:
        environ = {"JWT_SECRET_KEY": SECRET, **SETTINGS[mistake]}
        given = {name: value for name, value in environ.items() if value is not None}
        with pytest.raises(ConfigurationError, match=re.escape(ROWS[mistake])):
            Settings.from_env(environ=given)


@pytest.mark.parametrize("number", range(len(REQUESTS)))
def test_mistakes_in_requests(command: Command, number: int) -> None:
    """``check --request`` says what the table says, exits with 1, and quotes no token."""
    mistake, text, environ = REQUESTS[number]
    answer = command("check", "--offline", "--request", piped=text, **environ)
    assert answer.status == 1
    assert ROWS[mistake] in plainly(answer.out)
    assert "eyJ" not in answer.out


NOTICED = [number for number, (mistake, *_) in enumerate(REQUESTS) if mistake in IN_THE_LOG]


@pytest.mark.parametrize("number", NOTICED)
def test_mistakes_that_the_app_notices(number: int, caplog: pytest.LogCaptureFixture) -> None:
    """Where the table says that the app's log has it, a refused request brings those words."""
    mistake, text, environ = REQUESTS[number]
    settings = Settings.from_env(
        environ={"JWT_SECRET_KEY": SECRET, "JWT_REQUIRED": "true", **environ}
    )
    auth = JWTAuth(settings)
    arrival = run(auth.flow.arrive(read_request(text).as_request(settings), 0.0), auth.world)
    assert arrival.refusal is not None
    (record,) = (one for one in caplog.records if one.levelname == "WARNING")
    assert ROWS[mistake] in record.getMessage()
    assert "eyJ" not in caplog.text


def test_the_middleware_is_missing() -> None:
    """A view that nothing is wrapped around is told so, and how to wrap it."""
    with pytest.raises(MiddlewareNotInstalled, match="JWTMiddleware"):
        get_auth({"REQUEST_METHOD": "GET"})
    assert ROWS["`get_auth` without the middleware"] == "MiddlewareNotInstalled"


def test_its_command_runs(command: Command, tmp_path: Path) -> None:
    """The command of the page reads a request from a browser's tools."""
    (line,) = re.findall(r"^jwt-middleware (.*) < request.txt", PAGE, re.MULTILINE)
    (tmp_path / "request.txt").write_text(head())
    answer = command(*line.split(), "--file", "request.txt")
    assert (answer.status, "no token came: sign in first" in answer.out) == (1, True)


# ── Requests that are in order, and what is none ───────────────────────────────────


def test_a_request_that_is_signed_in(command: Command) -> None:
    """Tokens that count are named as such, whichever way they come."""
    for line in (f"Authorization: Bearer {token()}", f"Cookie: __Host-access_token={token()}"):
        answer = command("check", "--offline", "--request", piped=head(line))
        assert answer.status == 0
        assert "GOOD    access token\n        valid" in answer.out


def test_a_request_that_is_reissued(command: Command) -> None:
    """An expired access token is no loss beside a good refresh token, and is one alone."""
    access, refresh = token(ago=3600), token(kind="refresh_token")
    cookies = f"Cookie: __Host-access_token={access}"
    both = command(
        "check", "--offline", "--request", piped=head(f"{cookies}; __Host-refresh_token={refresh}")
    )
    assert (both.status, "NOTE    access token\n        expired" in both.out) == (0, True)
    alone = command("check", "--offline", "--request", piped=head(cookies))
    assert (alone.status, "LOST    access token\n        expired" in alone.out) == (1, True)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Cookie: __Host-access_token=a; __Host-access_token=b", "its tokens do not count"),
        ("Cookie: __Host-access_token=nonsense", "this is no JWT"),
    ],
    ids=["twice", "nonsense"],
)
def test_tokens_that_do_not_count(command: Command, line: str, words: str) -> None:
    """What is wrong with them is said."""
    answer = command("check", "--offline", "--request", piped=head(line))
    assert (answer.status, words in answer.out) == (1, True)


def test_another_header(command: Command) -> None:
    """A token in Authorization is not seen where another header is meant."""
    piped = head(f"Authorization: Bearer {token()}")
    answer = command("check", "--offline", "--request", piped=piped, JWT_HEADER_NAME="X-Auth")
    assert "the app looks into X-Auth (header_name)" in answer.out


def test_forms_of_a_request() -> None:
    """HTTP/1.1 as a browser shows it, HTTP/2, and curl's lines are read alike."""
    curl = "> POST /a?b=c HTTP/1.1\n> Host: shop.example\n> Cookie: a=1\n> Cookie: b=2\n>\n"
    http2 = ":method: POST\n:path: /a?b=c\n:authority: shop.example\n:scheme: https\ncookie: a=1"
    one, other = read_request(curl), read_request(http2)
    for given in (one, other):
        assert (given.method, given.target, given.host) == ("POST", "/a?b=c", "shop.example")
    settings = Settings(secret_key=SECRET)
    assert one.as_request(settings).cookie == "a=1; b=2"
    assert (one.as_request(settings).scheme, other.as_request(settings).scheme) == ("", "https")


def test_what_is_no_request(command: Command) -> None:
    """Any other text is a wrong use."""
    answer = command("check", "--offline", "--request", piped="hello\n")
    assert (answer.status, answer.out) == (2, "")
    assert "this is no request" in answer.err
