"""Step the decision by hand: no server, no loop, no sleeping, and the time is an argument.

`House` holds one configuration with a memory store; `Browser` keeps cookies the way a
browser does and takes a request through the flow in as many steps as a test wants.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Generator, Mapping
from typing import Any, NamedTuple, TypeVar

from jwt_middleware.auth import JWTAuth
from jwt_middleware.driver import Command, run
from jwt_middleware.events import Event
from jwt_middleware.flow import Arrival
from jwt_middleware.handle import RequestAuth
from jwt_middleware.refusals import Refusal
from jwt_middleware.request import Request
from jwt_middleware.sessions import Session
from jwt_middleware.stores.memory import MemorySessionStore
from jwt_middleware.transport import Additions

SECRET = "a secret of the tests, 32 bytes and more"
START = 1_800_000_000.0

T = TypeVar("T")


def make_request(
    method: str = "GET",
    path: str = "/",
    *,
    cookies: Mapping[str, str] | None = None,
    authorization: str | None = None,
    refresh: str | None = None,
    websocket: bool = False,
    headers: Mapping[str, str] | None = None,
    raw_path: str | None = None,
    mount: str = "",
    query: str = "",
) -> Request:
    """A `Request` as a door would make it; ``headers`` by lower-case name."""
    cookie = "; ".join(f"{name}={value}" for name, value in (cookies or {}).items())
    return Request(
        method,
        path,
        raw_path=raw_path,
        authorization=authorization,
        refresh=refresh,
        cookie=cookie or None,
        header=dict(headers or {}).get,
        mount=mount,
        query=query,
        websocket=websocket,
    )


class House:
    """A `JWTAuth` over a memory store, with every command and event on record."""

    def __init__(self, *, load_claims: Any = None, **settings: Any) -> None:
        self.store = MemorySessionStore()
        self.events: list[Event] = []
        self.commands: list[Command] = []
        self.down: set[str] = set()
        """Verbs that fail for now: an outage of the store, or of a hook."""
        self._time = [START]
        settings.setdefault("secret_key", SECRET)
        settings.setdefault("session_store", self.store)
        self.auth = JWTAuth(
            clock=lambda: self.now,
            load_claims=load_claims,
            on_event=self.events.append,
            **settings,
        )
        self.flow = self.auth.flow

    @property
    def now(self) -> float:
        """Seconds since the epoch, here and in every `other_process`."""
        return self._time[0]

    @now.setter
    def now(self, moment: float) -> None:
        self._time[0] = moment

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def answer(self, command: Command) -> Any:
        """The world, as the flow sees it. Override to inject faults."""
        self.commands.append(command)
        if command.verb in self.down:
            raise OSError(f"{command.verb} is down")
        return self.auth.world.answer(command)

    def run(self, steps: Generator[Command, Any, T]) -> T:
        return run(steps, self)

    @property
    def store_commands(self) -> list[str]:
        """The verbs the store was asked, in order."""
        return [command.verb for command in self.commands if command.port == "store"]

    @property
    def verbs(self) -> list[str]:
        """The verbs the store was asked, but for the purge that comes along now and then."""
        return [verb for verb in self.store_commands if verb != "purge"]

    def forget_commands(self) -> None:
        """Start the record of commands and events anew."""
        self.commands.clear()
        self.events.clear()

    @property
    def event_names(self) -> list[str]:
        return [event.name for event in self.events]

    def row(self, session_id: str) -> Session:
        row = self.store.load(session_id, now=self.now)
        assert row is not None
        return row

    def other_process(self) -> House:
        """The same secret and store, and none of this process's memory."""
        twin = House.__new__(House)
        twin.__dict__.update(self.__dict__)
        settings = self.auth.settings
        twin.auth = JWTAuth(
            settings,
            clock=lambda: self.now,
            load_claims=self.auth._hooks.load_claims,
            on_event=self.events.append,
        )
        twin.flow = twin.auth.flow
        return twin


class Browser:
    """A cookie jar, and the steps of a request."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.jar: dict[str, str] = {}

    def late_access(self) -> None:
        """An access token handed out now, late in its refresh token's life: as by an answer
        that is repeated. It may outlive the refresh token."""
        row = self.house.row(token_claims(self.refresh)["sid"])
        tokens = self.house.auth.flow.parts.tokens
        self.set_access(tokens.access(row, generation=row.generation, now=self.house.now))

    def copy(self) -> Browser:
        """The same cookies elsewhere: another tab, or a thief."""
        twin = Browser(self.house)
        twin.jar = dict(self.jar)
        return twin

    @property
    def access(self) -> str | None:
        return self.jar.get(self.house.auth.settings.access_cookie)

    @property
    def refresh(self) -> str | None:
        return self.jar.get(self.house.auth.settings.refresh_cookie)

    def without_access(self) -> Browser:
        """The same browser after its access cookie is gone."""
        twin = self.copy()
        twin.jar.pop(self.house.auth.settings.access_cookie, None)
        return twin

    def set_access(self, token: str) -> None:
        self.jar[self.house.auth.settings.access_cookie] = token

    def set_refresh(self, token: str) -> None:
        self.jar[self.house.auth.settings.refresh_cookie] = token

    def request(self, method: str = "GET", path: str = "/", **more: Any) -> Request:
        return make_request(method, path, cookies=self.jar, **more)

    # ── One request, in steps ────────────────────────────────────────────────────

    def arrive(self, request: Request | None = None, *, house: House | None = None) -> Arrival:
        """Phase A at the house's time, through the glance if that is enough."""
        house = house or self.house
        request = request or self.request()
        glanced = house.flow.glance(request, house.now)
        if glanced is not None:
            return Arrival(glanced)
        return house.run(house.flow.arrive(request, house.now))

    def respond(
        self,
        auth: RequestAuth,
        status: int = 200,
        headers: list[tuple[str, str]] | None = None,
        *,
        house: House | None = None,
    ) -> Additions | Refusal:
        """Phase B and what comes after it; the answer is on its way, not yet received."""
        house = house or self.house
        outcome = house.run(house.flow.respond(auth, status, headers or [], house.now))
        house.run(house.flow.settle(auth, house.now))
        return outcome

    def receive(self, outcome: Additions | Refusal) -> None:
        """The answer arrives: keep its cookies. Not calling this is a lost response."""
        for cookie in set_cookies(outcome):
            if cookie.attributes.get("max-age") == "0":
                self.jar.pop(cookie.name, None)
            else:
                self.jar[cookie.name] = cookie.value

    # ── One request, whole ───────────────────────────────────────────────────────

    def get(self, *, house: House | None = None, **request: Any) -> RequestAuth:
        """A request whose answer arrives; the handle as the app saw it."""
        arrival = self.arrive(self.request(**request), house=house)
        self.receive(self.respond(arrival.auth, house=house))
        return arrival.auth

    def login(self, subject: str = "alice", **login: Any) -> str:
        """Sign in, and answer the session id."""
        auth = self.arrive(self.request("POST", "/login")).auth
        pair = auth.login(subject, **login)
        self.receive(self.respond(auth))
        return pair.session_id


class HeaderClient(Browser):
    """A client that sends its tokens in headers, and keeps those it is sent there.

    The jar is its memory, under the names of the cookies it does not use.
    """

    def copy(self) -> HeaderClient:
        twin = HeaderClient(self.house)
        twin.jar = dict(self.jar)
        return twin

    def request(self, method: str = "GET", path: str = "/", **more: Any) -> Request:
        more.setdefault("authorization", f"Bearer {self.access}" if self.access else None)
        more.setdefault("refresh", self.refresh)
        return make_request(method, path, **more)

    def receive(self, outcome: Additions | Refusal) -> None:
        fields = dict(outcome.headers if isinstance(outcome, Refusal) else outcome.fields)
        settings = self.house.auth.settings
        if settings.access_response_header in fields:
            self.set_access(fields[settings.access_response_header])
        if settings.refresh_header_name in fields:
            self.set_refresh(fields[settings.refresh_header_name])

    def login(self, subject: str = "alice", **login: Any) -> str:
        """Sign in by the pair in the body of the answer."""
        auth = self.arrive(self.request("POST", "/login")).auth
        pair = auth.login(subject, cookies=False, **login)
        self.respond(auth)
        self.set_access(pair.access_token)
        self.set_refresh(pair.refresh_token)
        return pair.session_id


def generation_of(auth: RequestAuth) -> int:
    """What the app was shown as ``rgen``."""
    assert auth.claims is not None
    return auth.claims["rgen"]


def token_claims(token: str | None) -> dict[str, Any]:
    """The claims set of a token, unverified."""
    assert token is not None
    payload = token.split(".")[1]
    return json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


class SetCookie(NamedTuple):
    """A Set-Cookie field in its parts; attributes by lower-case name."""

    name: str
    value: str
    attributes: dict[str, str]


def set_cookies(outcome: Additions | Refusal) -> list[SetCookie]:
    """The cookies an answer sets or expires, in order."""
    fields = outcome.headers if isinstance(outcome, Refusal) else outcome.fields
    found = []
    for field, text in fields:
        if field == "Set-Cookie":
            (name, value), *rest = (part.strip().partition("=")[::2] for part in text.split(";"))
            found.append(SetCookie(name, value, {key.lower(): more for key, more in rest}))
    return found


def names(outcome: Additions | Refusal) -> list[str]:
    """The names of those cookies, in order."""
    return [cookie.name for cookie in set_cookies(outcome)]
