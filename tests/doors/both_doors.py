"""Whole requests of any fields through both doors, beside a store that is the same for each.

The first two bytes choose a configuration, an age of the session, what ``load_claims`` and the
view do, and which verbs of the store fail. Then come lines, ``letter:value``, each a header
field or another part of the request. Bytes from 1 to 8 stand for genuine tokens, 14 and 15 for
forged ones, so that they may stand anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from agreeing import Outcome, outcome
from forging import make_settings
from stepping import START
from through import Ask, ask_asgi, ask_wsgi

from jwt_middleware import asgi, wsgi
from jwt_middleware.auth import JWTAuth
from jwt_middleware.errors import JWTMiddlewareError
from jwt_middleware.events import Event
from jwt_middleware.handle import AUTH_KEY, RequestAuth
from jwt_middleware.sessions import Session
from jwt_middleware.settings import Settings
from jwt_middleware.stores import VERBS
from jwt_middleware.stores.memory import MemorySessionStore
from jwt_middleware.tokens import Tokens

CONFIGURATIONS: list[dict[str, Any]] = [
    {},
    {"required": True, "public_paths": ["/public"], "ignore_paths": ["/static"]},
    {"required": True, "login_url": "/login?a=b", "token_location": ["cookies", "headers"]},
    {"token_location": ["headers"], "reissue_within": 60},
    {"token_location": ["cookies"], "reissue_on": ["expired"], "check_session": "always"},
    {"cookie_domain": "example.com", "cookie_path": "/app", "csrf": "off"},
    {"trusted_origins": ["https://partner.example"], "csrf_exempt_paths": ["/hooks"]},
    {"session_store": "none", "required": True},
]
AGES = [0, 60, 901, 2_000, 86_400, 2_592_001, 7_776_001]
FIELDS = {
    "a": "Authorization",
    "c": "Cookie",
    "r": "X-Refresh-Token",
    "o": "Origin",
    "s": "Sec-Fetch-Site",
    "d": "Sec-Fetch-Mode",
    "h": "Host",
    "t": "Accept",
    "l": "Content-Length",
    "e": "Transfer-Encoding",
    "n": "Access-Control-Request-Method",
}


# ── A world that is the same each time ───────────────────────────────────────────


def _session(subject: str, **more: Any) -> Session:
    """A session with nothing drawn by lot."""
    return Session(
        id=f"{subject}-session",
        subject=subject,
        claims={"roles": ["admin"]},
        persistent=True,
        created_at=START,
        rotated_at=START,
        expires_at=START + 2_592_000,
        absolute_expires_at=START + 7_776_000,
        refresh_salt=f"salt of {subject}",
        last_seen_at=START,
        **more,
    )


ALICE, BOB = _session("alice"), _session("bob", generation=2, confirmed_generation=1)
GONE = _session("gone", revoked_at=START + 1, revoked_reason="logout")
ROWS = {session.id: session for session in (ALICE, BOB, GONE)}


class Door(NamedTuple):
    """One configuration at one door, with a store of its own."""

    settings: Settings
    store: MemorySessionStore
    tokens: dict[str, str]
    """By the letter that stands for them: of Alice, Bob, somebody who has signed out, a forger."""


def _door(configuration: dict[str, Any]) -> Door:
    store = MemorySessionStore()
    settings = make_settings(**{"session_store": store, **configuration})
    tokens = Tokens(settings)

    def access(session: Session, at: float) -> str:
        members = tokens.members(session, generation=session.generation, now=at)
        return tokens.sign_access({**members, "jti": "fixed"})

    genuine = [
        access(ALICE, START),
        tokens.refresh(ALICE),
        access(BOB, START),
        tokens.refresh(BOB),
        tokens.refresh(replace(BOB, generation=1)),  # the predecessor
        tokens.refresh(replace(BOB, generation=0)),  # spent
        tokens.refresh(GONE),
        access(GONE, START),
    ]
    forged = [f"{token[:-1]}{'A' if token[-1] != 'A' else 'Q'}" for token in genuine[:2]]
    letters = "\x01\x02\x03\x04\x05\x06\x07\x08\x0e\x0f"
    return Door(settings, store, dict(zip(letters, [*genuine, *forged], strict=True)))


DOORS = {
    name: [_door(configuration) for configuration in CONFIGURATIONS] for name in ("wsgi", "asgi")
}
SUBJECTS = dict(zip("\x01\x02\x03\x04\x05\x06", ["alice"] * 2 + ["bob"] * 4, strict=True))
"""Whom a letter may sign in."""


def _may_sign_in(lines: list[str], configuration: dict[str, Any], age: float) -> set[str | None]:
    """Everybody whose token came."""
    letters = {letter for line in lines for letter in line}
    came = {SUBJECTS.get(letter) for letter in letters}
    # Who has signed out is unknown without a store, and to an access token that is still good.
    by_refresh = "\x07" in letters and configuration.get("session_store") == "none"
    if by_refresh or ("\x08" in letters and age < 900 and "check_session" not in configuration):
        came.add("gone")
    return came


# ── What goes wrong, and what ``load_claims`` says ────────────────────────────────

OUTAGES: list[tuple[str, ...]] = [
    (),
    ("load",),
    ("rotate", "confirm"),
    ("create", "revoke", "revoke_subject", "update"),
    VERBS,
]


def _away(*arguments: Any, **options: Any) -> Any:
    raise OSError("the store is away")


def _fails(session: Session) -> Any:
    raise OSError("the accounts are away")


LOADERS: list[Callable[[Session], Any] | None] = [
    None,
    lambda session: {"roles": ["buyer"]},
    lambda session: None,  # the account is disabled
    _fails,
    lambda session: {"exp": 1},  # what cannot be claims
]


def _awaited(load: Callable[[Session], Any] | None) -> Any:
    """The same function for an event loop, which runs a plain one in a thread."""
    if load is None:
        return None

    async def loaded(session: Session) -> Any:
        return load(session)

    return loaded


# ── What the view does ───────────────────────────────────────────────────────────


def _set_own_cookie(auth: RequestAuth) -> list[tuple[str, str]]:
    return [("Set-Cookie", "access_token=own"), ("Set-Cookie", "__Host-access_token=own")]


VIEWS: list[Callable[[RequestAuth], Any]] = [
    lambda auth: None,
    lambda auth: None,
    lambda auth: auth.logout(),
    lambda auth: auth.logout_everywhere(),
    lambda auth: auth.update({"roles": []}),
    lambda auth: auth.login("carol", cookies=True, cross_site=True) and None,
    lambda auth: auth.login("carol") and None,
    _set_own_cookie,
]


class View:
    """An app that tries something, and remembers what it was shown."""

    def __init__(self, number: int) -> None:
        self.act = VIEWS[number % len(VIEWS)]
        self.status = [200, 200, 200, 304, 500, 302][number // len(VIEWS) % 6]
        self.seen: RequestAuth | None = None
        self.arrived_as: str | None = None
        self.refused: str | None = None

    def look(self, auth: RequestAuth) -> list[tuple[str, str]]:
        self.seen = auth
        self.arrived_as = auth.subject
        more = []
        try:
            more = self.act(auth) or []
        except JWTMiddlewareError as error:
            self.refused = type(error).__name__
        return [("Content-Type", "text/plain"), ("Expires", "0"), *more]

    def wsgi(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response(f"{self.status} X", self.look(environ[AUTH_KEY]))
        return [b"hello"]

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [
            (name.lower().encode(), value.encode()) for name, value in self.look(scope[AUTH_KEY])
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"hello"})


# ── One request, twice ───────────────────────────────────────────────────────────


def agree(data: bytes) -> Outcome:
    """Ask both doors; fails for a foreign exception, a 5xx of ours, a door that differs, or
    somebody signed in whose token did not come."""
    first, second, rest = (data[0], data[1], data[2:]) if len(data) > 1 else (0, 0, b"")
    number, age = first % len(CONFIGURATIONS), AGES[first // 8 % len(AGES)]
    loader, outage = LOADERS[first // 56], OUTAGES[second // 48 % len(OUTAGES)]
    lines = rest.decode("latin-1").split("\n")
    found = {}
    for name, doors in DOORS.items():
        ask = _read(lines, doors[number].tokens)
        found[name] = _ask(name, doors[number], ask, second, START + age, loader, outage)
    assert found["wsgi"] == found["asgi"], found
    outcome, view = found["wsgi"]
    failing = outage or loader in (_fails, LOADERS[-1])
    assert outcome.status < 500 or outcome.status in (view["status"], 503 if failing else 0), (
        outcome
    )
    if (subject := view["arrived_as"]) is not None:
        came = _may_sign_in(lines, CONFIGURATIONS[number], age)
        assert subject in came, f"{subject} is signed in by {lines}"
    return outcome


def _read(lines: list[str], tokens: dict[str, str]) -> Ask:
    ask, fields = Ask(), []
    for line in lines:
        letter, _, value = line.partition(":")
        value = "".join(tokens.get(one, one) for one in value)
        if letter in FIELDS:
            fields.append((FIELDS[letter], value))
        elif letter == "m":
            ask.method = value
        elif letter == "p":
            ask.path = f"/{value}"
        elif letter == "q":
            ask.query = value
        elif letter == "b":
            ask.mount = f"/{value}"
    ask.fields = fields
    return ask


def _ask(
    name: str,
    door: Door,
    ask: Ask,
    number: int,
    now: float,
    loader: Callable[[Session], Any] | None,
    outage: tuple[str, ...],
) -> tuple[Outcome, Any]:
    door.store.__init__()
    door.store._sessions.update(ROWS)
    door.store.__dict__.update(dict.fromkeys(outage, _away))
    events: list[Event] = []
    view = View(number)
    load = loader if name == "wsgi" else _awaited(loader)
    auth = JWTAuth(door.settings, clock=lambda: now, on_event=events.append, load_claims=load)
    if name == "wsgi":
        answer = ask_wsgi(wsgi.JWTMiddleware(view.wsgi, auth), ask.environ)
    else:
        answer = ask_asgi(asgi.JWTMiddleware(view.asgi, auth), ask.scope())
    for verb in outage:
        del door.store.__dict__[verb]
    found = outcome(answer, view.seen, events=events, rows=door.store._sessions.values())
    told = {"arrived_as": view.arrived_as, "refused": view.refused, "status": view.status}
    return found, told
