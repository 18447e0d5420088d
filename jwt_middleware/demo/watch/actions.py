"""What the buttons do: to cookies, to the clock, to the keys, and to an answer on its way.

All of it stands in front of the middleware, where a browser, a thief and a network are.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from http.cookies import SimpleCookie
from importlib import resources
from typing import Any, NamedTuple

from jwt_middleware import Event, JWTAuth
from jwt_middleware.events import EventHook

from ..config import ACCESS_LIFE, COOKIES
from .clock import MovableClock
from .recorder import Passage, Recorder

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:"
)

FILES: Mapping[str, tuple[str, str]] = {
    "/": ("page.html", "text/html"),
    "/watch/page.css": ("page.css", "text/css"),
    "/watch/page.js": ("page.js", "text/javascript"),
}

FORMER = "/watch"
"""Where the page was before it was the first thing to be seen."""

Headers = list[tuple[str, str]]


class Shown(NamedTuple):
    """An answer that is not the app's."""

    status: int
    headers: Headers
    body: bytes


class Watch:
    """One run of the demo, watched. ``on_event`` is told what the middleware tells."""

    def __init__(self, on_event: EventHook) -> None:
        self.clock: MovableClock = MovableClock()
        self.recorder: Recorder = Recorder(self.clock)
        self._on_event = on_event
        self._loot: dict[str, str] = {}
        self._loses_next = False
        self._actions: Mapping[str, Callable[[Mapping[str, str]], Headers]] = {
            "/watch/expire": self._expire,
            "/watch/tamper": self._tamper,
            "/watch/lose": self._lose,
            "/watch/steal": self._steal,
            "/watch/roll": self._roll,
        }

    def hear(self, event: Event) -> None:
        """For the ``on_event`` of whatever is watched."""
        self._on_event(event)
        self.recorder.hear(event)

    def begin(self, auth: JWTAuth, face: Callable[[JWTAuth], Any]) -> None:
        """Watch this configuration behind that door."""
        self.auth: JWTAuth = auth
        self._face = face
        self.app: Any = face(auth)

    # ── The page and its buttons ──────────────────────────────────────────────────

    def answer(self, method: str, path: str, cookie: str, *, own: bool) -> Shown | None:
        """The answer to a path of the page's; None for a path of the app's.

        ``own``: the page's script asks. No other site's can, as its header needs our leave.
        """
        if method == "GET" and path in FILES:
            name, kind = FILES[path]
            body = resources.files("jwt_middleware.demo.watch").joinpath(name).read_bytes()
            return _shown(200, body, ("Content-Type", f"{kind}; charset=utf-8"))
        if method == "GET" and path == FORMER:
            return _shown(303, b"", ("Location", "/"))
        if not path.startswith("/watch"):
            return None
        action = self._actions.get(path) if method == "POST" and own else None
        if action is None:
            return _shown(404, b"There is nothing here. Try /\n")
        return _shown(204, b"", *action(held(cookie)))

    def _expire(self, _held: Mapping[str, str]) -> Headers:
        self.clock.move(ACCESS_LIFE + 1)
        self.recorder.did(f"The clock moved on by {ACCESS_LIFE + 1} seconds.")
        return []

    def _tamper(self, held: Mapping[str, str]) -> Headers:
        if "access" not in held:
            self.recorder.did("There is no access token to tamper with.")
            return []
        head, _, signature = held["access"].rpartition(".")
        forged = f"{head}.{signature[::-1]}"
        self.recorder.did("The access token's signature was changed.")
        return [("Set-Cookie", f"{COOKIES['access']}={forged}; Path=/; HttpOnly; SameSite=Lax")]

    def _lose(self, _held: Mapping[str, str]) -> Headers:
        self._loses_next = True
        self.recorder.did("The next response will be lost on its way.")
        return []

    def _steal(self, held: Mapping[str, str]) -> Headers:
        self._loot = {"refresh": held["refresh"]} if "refresh" in held else {}
        done = "was copied to another machine." if self._loot else "to steal is not there."
        self.recorder.did(f"The refresh token {done}")
        return []

    def _roll(self, _held: Mapping[str, str]) -> Headers:
        former = self.auth.settings.secret_key
        self.auth = JWTAuth(
            self.auth.settings,
            on_event=self.hear,
            clock=self.clock,
            secret_key=secrets.token_bytes(32),
            previous_secret_keys=() if former is None else (former,),
        )
        self.app = self._face(self.auth)
        self.recorder.did("A new key signs; the former one still verifies.")
        return []

    # ── Requests on their way to the app, and answers on their way back ───────────

    def enter(self, method: str, path: str, cookie: str, *, elsewhere: bool) -> Passage:
        """A request arrives; one from elsewhere brings what was stolen, and nothing else."""
        if elsewhere:
            cookie = "; ".join(f"{COOKIES[kind]}={token}" for kind, token in self._loot.items())
        who = "elsewhere" if elsewhere else "you"
        return Passage(who, f"{method} {path}", held(cookie), cookie)

    def leave(self, passage: Passage, status: int, headers: Headers) -> tuple[int, Headers]:
        """An answer leaves; what it carries may be lost, or be the thief's."""
        delivered = _delivered(headers)
        lost = self._loses_next and passage.who == "you"
        self.recorder.answered(passage, status, delivered, lost=lost)
        if lost:
            self._loses_next = False
            status = 504
        if passage.who == "elsewhere":
            kept = {**self._loot, **delivered}
            self._loot = {kind: token for kind, token in kept.items() if token}
        if lost or passage.who == "elsewhere":
            headers = [field for field in headers if field[0].lower() != "set-cookie"]
        return status, headers


def held(cookie: str) -> dict[str, str]:
    """The tokens in a Cookie header, by kind."""
    pairs = [pair.strip().partition("=") for pair in cookie.split(";")]
    values = {name: value for name, _, value in pairs}
    return {kind: values[name] for kind, name in COOKIES.items() if name in values}


def _delivered(headers: Headers) -> dict[str, str]:
    """The tokens in an answer, by kind; empty text: to be forgotten."""
    jar: dict[str, str] = {}
    for name, value in headers:
        if name.lower() == "set-cookie":
            # Those of other paths are others: they are expired, should there be any.
            cookies = SimpleCookie(value).items()
            jar |= {one: cookie.value for one, cookie in cookies if cookie["path"] == "/"}
    return {kind: jar[name] for kind, name in COOKIES.items() if name in jar}


def _shown(status: int, body: bytes, *headers: tuple[str, str]) -> Shown:
    safe = [("Cache-Control", "no-store"), ("Content-Security-Policy", POLICY)]
    length = [] if status == 204 else [("Content-Length", str(len(body)))]
    return Shown(status, [*headers, *length, *safe, ("X-Content-Type-Options", "nosniff")], body)
