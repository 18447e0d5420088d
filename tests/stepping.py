"""Step the decision by hand: no server, no loop, no sleeping, and the time is an argument.

`House` holds one configuration with a memory store; `Browser` keeps cookies the way a
browser does and takes a request through the flow in as many steps as a test wants.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from http.cookies import SimpleCookie
from typing import Any, TypeVar

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
) -> Request:
    """A `Request` as a door would make it; ``headers`` by lower-case name."""
    cookie = "; ".join(f"{name}={value}" for name, value in (cookies or {}).items())
    return Request(
        method,
        path,
        raw_path=None,
        authorization=authorization,
        refresh=refresh,
        cookie=cookie or None,
        header=dict(headers or {}).get,
        websocket=websocket,
    )


class House:
    """A `JWTAuth` over a memory store, with every command and event on record."""

    def __init__(self, *, load_claims: Any = None, **settings: Any) -> None:
        self.store = MemorySessionStore()
        self.events: list[Event] = []
        self.commands: list[Command] = []
        self.now = START
        settings.setdefault("secret_key", SECRET)
        settings.setdefault("session_store", self.store)
        self.auth = JWTAuth(
            clock=lambda: self.now,
            load_claims=load_claims,
            on_event=self.events.append,
            **settings,
        )
        self.flow = self.auth.flow

    def answer(self, command: Command) -> Any:
        """The world, as the flow sees it. Override to inject faults."""
        self.commands.append(command)
        return self.auth.world.answer(command)

    def run(self, steps: Generator[Command, Any, T]) -> T:
        return run(steps, self)

    @property
    def store_commands(self) -> list[str]:
        """The verbs the store was asked, in order."""
        return [command.verb for command in self.commands if command.port == "store"]

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
        fields = outcome.headers if isinstance(outcome, Refusal) else outcome.fields
        for name, value in fields:
            if name == "Set-Cookie":
                for cookie, morsel in SimpleCookie(value).items():
                    if morsel["max-age"] == "0":
                        self.jar.pop(cookie, None)
                    else:
                        self.jar[cookie] = morsel.value

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
