"""JWTAuth outside a request, how doors are made from it, and what it opens when."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from naming import plainly
from stepping import SECRET, START, House
from through import AGES, Ask, Through, ask_asgi, ask_wsgi, away, bearer, cookie

from jwt_middleware import (
    ConfigurationError,
    Event,
    InvalidClaims,
    JWTAuth,
    SessionsNotStored,
    Settings,
    StoreUnavailable,
    TokenTooLarge,
    asgi,
    stores,
    wsgi,
)
from jwt_middleware.handle import AUTH_KEY
from jwt_middleware.sessions import Session
from jwt_middleware.stores.memory import MemorySessionStore

NAMES = ["__Host-access_token", "__Host-refresh_token"]


class Calls:
    """The calls of a JWTAuth, sync or by their async twins."""

    def __init__(self, auth: JWTAuth, kind: str) -> None:
        self._auth, self._kind = auth, kind

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if self._kind == "sync":
            return getattr(self._auth, name)
        twin = getattr(self._auth, f"a{name}")
        return lambda *args, **options: asyncio.run(twin(*args, **options))


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(scope[AUTH_KEY].subject).encode()})


def wsgi_app(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    return [str(environ[AUTH_KEY].subject).encode()]


# ── The calls ────────────────────────────────────────────────────────────────────────


def test_an_issued_pair_is_stored_at_once(kind: str) -> None:
    """issue() stores the session and answers a pair that opens the app."""
    house = House()
    pair = Calls(house.auth, kind).issue(
        "alice", {"roles": ["admin"]}, user_agent="curl", address="192.0.2.1"
    )
    row = house.row(pair.session_id)
    assert (row.subject, row.claims, row.persistent) == ("alice", {"roles": ["admin"]}, True)
    assert (row.user_agent, row.address, row.last_seen_at) == ("curl", "192.0.2.1", START)
    assert pair.as_dict() == {
        "access_token": pair.access_token,
        "token_type": "Bearer",
        "expires_in": 900,
        "refresh_token": pair.refresh_token,
    }
    through = Through(house)
    for fields in ([bearer(pair.access_token)], [cookie(refresh=pair.refresh_token)]):
        through.ask("wsgi", Ask(fields=fields))
        assert through.auth.session_id == pair.session_id


def test_a_pair_for_a_browsers_session(kind: str) -> None:
    """remember=False is kept in the row, with the idle limit of a session cookie."""
    house = House()
    pair = Calls(house.auth, kind).issue("alice", remember=False)
    row = house.row(pair.session_id)
    assert (row.persistent, row.expires_at - START) == (False, 12 * 3600)


@pytest.mark.parametrize(
    ("subject", "claims", "error"),
    [
        (7, None, TypeError),
        ("", None, ValueError),
        ("alice", {"sub": "bob"}, InvalidClaims),
        ("alice", {"x": object()}, InvalidClaims),
        ("alice", {"x": float("nan")}, InvalidClaims),
        ("alice", {"x": "y" * 9000}, TokenTooLarge),
    ],
    ids=plainly,
)
def test_what_cannot_be_issued(subject: Any, claims: Any, error: Any, kind: str) -> None:
    """A mistake of the caller's is told before anything is stored."""
    # S39
    house = House()
    with pytest.raises(error):
        Calls(house.auth, kind).issue(subject, claims)
    assert house.store.find("alice", now=START) == []


def test_revoking_ends_a_session_once(kind: str) -> None:
    """revoke() is true for the one call that ended it, and this process stops its tokens."""
    # S46
    house = House()
    calls = Calls(house.auth, kind)
    pair = calls.issue("alice")
    assert calls.revoke(pair.session_id) is True
    assert calls.revoke(pair.session_id) is False
    assert calls.revoke("nobody's") is False
    through = Through(house)
    for fields in ([bearer(pair.access_token)], [cookie(refresh=pair.refresh_token)]):
        through.ask("wsgi", Ask(fields=fields))
        assert (through.auth.subject, through.auth.reason) == (None, "revoked")


def test_a_session_id_from_a_form_ends_no_strangers_session(kind: str) -> None:
    """revoke(subject=) ends a session only if it is theirs, and does not tell whose it is."""
    # S46
    house = House()
    calls = Calls(house.auth, kind)
    pair = calls.issue("alice")
    assert calls.revoke(pair.session_id, subject="mallory") is False
    assert calls.revoke("nobody's", subject="mallory") is False
    through = Through(house)
    through.ask("wsgi", Ask(fields=[bearer(pair.access_token)]))
    assert through.auth.subject == "alice"
    assert calls.revoke(pair.session_id, subject="alice") is True
    assert calls.revoke(pair.session_id, subject="alice") is False


def test_the_list_marks_the_session_it_is_asked_for_from(kind: str) -> None:
    """sessions(current=) shows its owner which one this is, and what they look like."""
    house = House()
    calls = Calls(house.auth, kind)
    phone = calls.issue("alice", user_agent="a phone", address="192.0.2.1")
    house.now += 1
    laptop = calls.issue("alice", user_agent="a laptop")
    marked = [(one.id, one.current) for one in calls.sessions("alice", current=phone.session_id)]
    assert marked == [(laptop.session_id, False), (phone.session_id, True)]
    assert not any(one.current for one in calls.sessions("alice"))
    seen = calls.sessions("alice")[1]
    assert (seen.user_agent, seen.address) == ("a phone", "192.0.2.1")
    assert int(seen.created_at) == START
    assert "salt" not in repr(seen)


def test_last_seen_moves_with_the_rotation_alone(kind: str) -> None:
    """A request that shows a valid access token writes nothing; one that is reissued does."""
    house = House()
    calls = Calls(house.auth, kind)
    pair = calls.issue("alice")
    through = Through(house)
    fields = [cookie(access=pair.access_token, refresh=pair.refresh_token)]
    house.now += 100
    through.ask("wsgi", Ask(fields=fields))
    assert calls.sessions("alice")[0].last_seen_at == START
    house.now += AGES
    through.ask("wsgi", Ask(fields=fields))
    assert calls.sessions("alice")[0].last_seen_at == house.now


def test_the_oldest_session_makes_room(kind: str) -> None:
    """max_sessions_per_subject: a sign-in beyond it ends the oldest one, and nobody else's."""
    house = House(max_sessions_per_subject=2)
    calls = Calls(house.auth, kind)
    stranger = calls.issue("bob")
    pairs = []
    for _ in range(4):
        house.now += 1
        pairs.append(calls.issue("alice"))
    house.now += 1
    through = Through(house, lambda auth: auth.login("alice"))
    through.ask("asgi" if kind == "async" else "wsgi", Ask(method="POST"))
    latest = through.auth.session_id
    ids = [session.id for session in calls.sessions("alice")]
    assert ids == [latest, pairs[3].session_id]
    assert [session.id for session in calls.sessions("bob")] == [stranger.session_id]
    gone = [event.session_id for event in house.events if event.name == "revoked"]
    assert gone == [pair.session_id for pair in pairs[:3]]
    assert {event.reason for event in house.events if event.name == "revoked"} == {"too_many"}


def test_what_a_sign_in_replaces_makes_room_by_itself(kind: str) -> None:
    """The session that a login replaces does not count: with room for two, the other stays."""
    house = House(max_sessions_per_subject=2)
    calls = Calls(house.auth, kind)
    first = calls.issue("alice")
    house.now += 1
    second = calls.issue("alice")
    house.now += 1
    through = Through(house, lambda auth: auth.login("alice"))
    fields = [cookie(access=second.access_token, refresh=second.refresh_token)]
    through.ask("wsgi", Ask(method="POST", fields=fields))
    ids = [session.id for session in calls.sessions("alice")]
    assert ids == [through.auth.session_id, first.session_id]


def test_a_session_that_cannot_be_ended_in_time_is_ended_by_the_next_sign_in(kind: str) -> None:
    """The sign-in that is stored stands, though the store fails right after it."""
    # S45
    house = House(max_sessions_per_subject=1)
    calls = Calls(house.auth, kind)
    calls.issue("alice")

    class Failing(type(house.store)):  # type: ignore[misc]
        def revoke(self, *args: Any, **options: Any) -> bool:
            raise OSError

    kept, house.store.__class__ = house.store.__class__, Failing
    house.now += 1
    assert calls.issue("alice").session_id
    assert len(calls.sessions("alice")) == 2
    assert [event.name for event in house.events][-2:] == ["store_unavailable", "login"]
    house.store.__class__ = kept
    house.now += 1
    latest = calls.issue("alice")
    assert [session.id for session in calls.sessions("alice")] == [latest.session_id]


def test_who_finds_a_session_ended_already_does_not_tell_of_it(kind: str) -> None:
    """Two sign-ins at once make room by the same session: one of them tells."""
    house = House(max_sessions_per_subject=1)
    calls = Calls(house.auth, kind)
    oldest = calls.issue("alice")

    class Racing(type(house.store)):  # type: ignore[misc]
        def find(self, *args: Any, **options: Any) -> Any:
            found = super().find(*args, **options)
            super().revoke(oldest.session_id, reason="too_many", now=house.now)
            return found

    house.store.__class__ = Racing
    house.now += 1
    calls.issue("alice")
    assert house.row(oldest.session_id).revoked
    assert [event for event in house.events if event.name == "revoked"] == []


def test_revoking_a_subject_keeps_one_session(kind: str) -> None:
    """revoke_subject(keep=) ends all the others; nobody else is touched."""
    # S46
    house = House()
    calls = Calls(house.auth, kind)
    pairs = [calls.issue("alice") for _ in range(3)]
    other = calls.issue("bob")
    house.now += 1
    assert calls.revoke_subject("alice", keep=pairs[1].session_id) == 2
    assert [session.id for session in calls.sessions("alice")] == [pairs[1].session_id]
    assert [session.id for session in calls.sessions("bob")] == [other.session_id]
    house.now += AGES
    through = Through(house)
    for pair, subject in zip(pairs, (None, "alice", None), strict=True):
        through.ask("wsgi", Ask(fields=[cookie(refresh=pair.refresh_token)]))
        assert through.auth.subject == subject
    assert calls.revoke_subject("alice") == 1
    assert calls.revoke_subject("alice") == calls.revoke_subject("nobody") == 0


def test_a_new_session_right_after_all_were_ended(kind: str) -> None:
    """After a change of password: end every session, then issue one, in the same instant."""
    # S46
    house = House()
    calls = Calls(house.auth, kind)
    calls.issue("alice")
    assert calls.revoke_subject("alice") == 1
    pair = calls.issue("alice")
    assert [session.id for session in calls.sessions("alice")] == [pair.session_id]


def test_a_login_overtaken_by_another_nodes_logout(kind: str) -> None:
    """If another node, whose clock is ahead, has ended everything, no dead pair is handed out."""
    # S46
    house = House()
    house.store.revoke_subject("alice", reason="revoked", until=START + 9, now=START + 5)
    with pytest.raises(StoreUnavailable, match="signed out everywhere"):
        Calls(house.auth, kind).issue("alice")


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_a_reset_password(door: str) -> None:
    """From an anonymous request: end every session, issue a new one, and send that."""
    # S46
    house = House()
    thief = house.auth.issue("alice")

    def view(auth: Any) -> None:
        house.auth.revoke_subject("alice")
        auth.send(house.auth.issue("alice"))

    answer = Through(house, view).ask(door, Ask(method="POST"))
    assert sorted(answer.cookies) == NAMES
    through = Through(house)
    through.ask(door, Ask(fields=[cookie(refresh=answer.cookies[NAMES[1]])]))
    assert through.auth.subject == "alice"
    through.ask(door, Ask(fields=[cookie(refresh=thief.refresh_token)]))
    assert through.auth.subject is None


def test_sessions_are_listed_newest_first(kind: str) -> None:
    """sessions() shows those alive, newest first; ended and expired ones are not among them."""
    house = House()
    calls = Calls(house.auth, kind)
    ids = []
    for _ in range(3):
        ids.append(calls.issue("alice").session_id)
        house.now += 1
    calls.revoke(ids[1])
    assert [session.id for session in calls.sessions("alice")] == [ids[2], ids[0]]
    assert all(isinstance(session, Session) for session in calls.sessions("alice"))
    house.now += 31 * 86_400
    assert calls.sessions("alice") == []


def test_purging_deletes_what_is_past(kind: str) -> None:
    """purge() deletes the rows past their absolute expiry, batch by batch, and counts them."""
    house = House()
    calls = Calls(house.auth, kind)
    for _ in range(3):
        calls.issue("alice")
    house.now += 50 * 86_400
    calls.issue("bob")
    assert calls.purge() == 0
    house.now += 41 * 86_400
    limits: list[int] = []
    purge = house.store.purge

    def two_at_most(before: float, *, limit: int = 1000) -> int:
        limits.append(limit)
        return purge(before, limit=2)

    house.store.purge = two_at_most  # type: ignore[method-assign]
    assert calls.purge() == 3
    assert limits == [1000, 1000, 1000]
    assert calls.purge() == 0


@pytest.mark.parametrize("call", ["issue", "revoke", "revoke_subject", "sessions", "purge"])
def test_an_outage_is_told(call: str, kind: str) -> None:
    """With the store away each call raises StoreUnavailable, its cause chained, not quoted."""
    # S45, S53
    house = away(House(), "create", "revoke", "revoke_subject", "find", "purge")
    arguments = [] if call == "purge" else ["alice"]
    with pytest.raises(StoreUnavailable) as caught:
        getattr(Calls(house.auth, kind), call)(*arguments)
    assert isinstance(caught.value.__cause__, OSError)
    assert "away" not in str(caught.value)


@pytest.mark.parametrize("call", ["revoke", "revoke_subject", "sessions", "purge"])
def test_without_a_store_nothing_can_be_ended(call: str, kind: str) -> None:
    """session_store="none" says so, and what to configure; issuing works."""
    auth = JWTAuth(secret_key=SECRET, session_store="none")
    calls = Calls(auth, kind)
    pair = calls.issue("alice")
    with pytest.raises(SessionsNotStored, match=rf"{call}\(\).*sqlite:///"):
        getattr(calls, call)(*([] if call == "purge" else [pair.session_id]))
    answer = ask_wsgi(
        wsgi.JWTMiddleware(wsgi_app, auth), Ask(fields=[bearer(pair.access_token)]).environ
    )
    assert answer.body == b"alice"


# ── a.send(pair) ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_an_issued_pair_can_be_sent(door: str) -> None:
    """send() attaches a stored pair to the response and ends the session it replaces."""
    # S37, S46
    house = House()
    before = house.auth.issue("alice")
    pair = house.auth.issue("alice")
    through = Through(house, lambda auth: auth.send(pair))
    ask = Ask(method="POST", fields=[cookie(access=before.access_token)])
    answer = through.ask(door, ask)
    assert answer.cookies == {NAMES[0]: pair.access_token, NAMES[1]: pair.refresh_token}
    assert through.auth.session_id == pair.session_id
    assert house.row(before.session_id).revoked_reason == "replaced"
    assert not house.row(pair.session_id).revoked


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_a_pair_sent_twice_ends_nothing(door: str) -> None:
    """Sending a pair to the client that already has it does not sign that client out."""
    house = House()
    pair = house.auth.issue("alice")
    through = Through(house, lambda auth: auth.send(pair))
    ask = Ask(fields=[cookie(access=pair.access_token, refresh=pair.refresh_token)])
    assert through.ask(door, ask).cookies[NAMES[0]] == pair.access_token
    assert not house.row(pair.session_id).revoked


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_a_sent_pair_can_be_updated(door: str) -> None:
    """update() after send() changes the stored row and the tokens that go out."""
    house = House()
    pair = house.auth.issue("alice")

    def view(auth: Any) -> None:
        auth.send(pair)
        auth.update({"roles": ["admin"]})

    through = Through(house, view)
    answer = through.ask(door, Ask(method="POST"))
    assert house.row(pair.session_id).claims == {"roles": ["admin"]}
    shown = Through(house)
    shown.ask(door, Ask(fields=[cookie(access=answer.cookies[NAMES[0]])]))
    assert shown.auth.claims is not None
    assert shown.auth.claims["roles"] == ["admin"]


# ── Making a door ────────────────────────────────────────────────────────────────────

DOORS: dict[str, Any] = {
    "wsgi": wsgi.JWTMiddleware,
    "asgi": asgi.JWTMiddleware,
}
APPS: dict[str, Any] = {"wsgi": wsgi_app, "asgi": asgi_app}


def status(kind: str, app: Any, ask: Ask | None = None) -> int:
    ask = ask or Ask()
    if kind == "wsgi":
        return ask_wsgi(app, ask.environ).status
    return ask_asgi(app, ask.scope()).status


@pytest.fixture(params=["wsgi", "asgi"])
def door(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_door_takes_an_auth_settings_or_keywords(door: str) -> None:
    """The app comes first, the auth second, both also by keyword; Settings do as well."""
    settings = Settings(secret_key=SECRET, session_store="memory://", required=True)
    auth = JWTAuth(settings)
    make, app = DOORS[door], APPS[door]
    doors = [
        make(app, auth),
        make(app=app, auth=auth),
        make(app, settings),
        make(app, auth=settings),
        make(app=app, secret_key=SECRET, session_store="memory://", required=True),
    ]
    assert [status(door, one) for one in doors] == [401] * 5
    assert doors[0].auth is auth
    assert doors[0].app is app


def test_keywords_win_over_settings(door: str) -> None:
    """Settings and keywords together: the keywords win, and are checked like all others."""
    settings = Settings(secret_key=SECRET, session_store="memory://", required=True)
    make, app = DOORS[door], APPS[door]
    assert status(door, make(app, settings, required=False)) == 200
    with pytest.raises(ConfigurationError, match="did you mean required"):
        make(app, settings, requird=False)
    with pytest.raises(ConfigurationError, match="secret_key"):
        make(app)


@pytest.mark.parametrize("name", ["load_claims", "on_event", "clock", "fetch_keys"])
@pytest.mark.parametrize("value", [3, "", {"roles": []}], ids=plainly)
def test_what_cannot_be_called_is_refused(door: str, name: str, value: object) -> None:
    """A hook that is no function is a fault at start-up, not at somebody's first reissue."""
    with pytest.raises(ConfigurationError) as caught:
        DOORS[door](APPS[door], secret_key=SECRET, session_store="memory://", **{name: value})
    kind = type(value).__name__
    expected = f"{name}: is of type {kind}; give a function, or leave {name} out"
    assert caught.value.faults == (expected,)


@pytest.mark.parametrize(
    "more",
    [
        {"required": True},
        {"load_claims": lambda session: None},
        {"on_event": print},
        {"clock": lambda: 0.0},
        {"nonsense": 1},
    ],
    ids=plainly,
)
def test_settings_beside_an_auth_are_not_dropped(door: str, more: dict[str, Any]) -> None:
    """What stands beside a finished JWTAuth is either heard or refused, never ignored."""
    auth = JWTAuth(secret_key=SECRET, session_store="memory://")
    try:
        made = DOORS[door](APPS[door], auth, **more)
    except (TypeError, ConfigurationError):
        return
    assert "required" in more
    assert status(door, made) == 401


@pytest.mark.parametrize("wrong", [SECRET, {"secret_key": SECRET}, object()], ids=["a", "b", "c"])
def test_what_is_no_auth_is_refused_with_a_reason(door: str, wrong: Any) -> None:
    """A secret or a dict in place of the auth is a mistake whose message says so."""
    with pytest.raises((ConfigurationError, TypeError), match=r"(?i)settings|JWTAuth"):
        DOORS[door](APPS[door], wrong)


@pytest.mark.parametrize("wrong", [SECRET, {"secret_key": SECRET}, object()], ids=["a", "b", "c"])
def test_what_is_no_settings_is_refused_with_a_reason(wrong: Any) -> None:
    """The same mistake made with JWTAuth itself is told in the same way."""
    with pytest.raises((ConfigurationError, TypeError), match=r"(?i)settings|JWTAuth"):
        JWTAuth(wrong)


def test_hooks_and_clock_of_a_door_are_heard(door: str) -> None:
    """load_claims, on_event and clock given to a door are those of its auth."""
    # S43
    times = [START]
    events: list[Event] = []
    store = MemorySessionStore()
    made = DOORS[door](
        APPS[door],
        secret_key=SECRET,
        session_store=store,
        load_claims=lambda session: {"fresh": True},
        on_event=events.append,
        clock=lambda: times[-1],
    )
    pair = made.auth.issue("alice")
    assert store.load(pair.session_id, now=START).last_seen_at == START  # type: ignore[union-attr]
    ask = Ask(fields=[cookie(access=pair.access_token, refresh=pair.refresh_token)])
    for later in (0, 899, 900):
        times.append(START + later)
        assert status(door, made, ask) == 200
    assert [event.name for event in events] == ["login", "reissued"]
    assert [event.at for event in events] == [START, START + 900]
    assert store.load(pair.session_id, now=START).claims == {"fresh": True}  # type: ignore[union-attr]


# ── What cannot work without an event loop ───────────────────────────────────────────


class Coroutines(MemorySessionStore):
    async def load(self, *args: Any, **options: Any) -> Any:  # type: ignore[override]
        """As an async store has it."""


class Caller:
    async def __call__(self, session: Session) -> Any: ...


async def load(session: Session) -> Any: ...


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"session_store": Coroutines()}, "async store"),
        ({"load_claims": load}, "load_claims is async"),
        ({"load_claims": Caller()}, "load_claims is async"),
    ],
    ids=plainly,
)
def test_the_wsgi_door_refuses_what_it_cannot_await(more: Any, what: str) -> None:
    """An async store or load_claims behind the WSGI door is refused at start-up."""
    more = {"session_store": "memory://", **more}
    with pytest.raises(ConfigurationError, match=what):
        wsgi.JWTMiddleware(wsgi_app, secret_key=SECRET, **more)
    auth = JWTAuth(secret_key=SECRET, **more)
    with pytest.raises(ConfigurationError, match=what):
        wsgi.JWTMiddleware(wsgi_app, auth)
    with pytest.raises(ConfigurationError, match=what):
        auth.check_sync()
    assert status("asgi", asgi.JWTMiddleware(asgi_app, auth)) == 200


@pytest.mark.parametrize("store", ["memory://", "none", MemorySessionStore()], ids=plainly)
def test_the_wsgi_door_takes_what_is_sync(store: Any) -> None:
    """A sync store or a URL is fine, and so is a plain function."""
    auth = JWTAuth(secret_key=SECRET, session_store=store, load_claims=lambda session: {})
    auth.check_sync()
    assert status("wsgi", wsgi.JWTMiddleware(wsgi_app, auth)) == 200


def test_a_coroutine_in_disguise_is_an_outage_at_the_wsgi_door() -> None:
    """A plain function that hands on a coroutine is found out at its first answer: 503."""
    # S45

    def disguised(session: Session) -> Any:
        return load(session)

    house = House(load_claims=disguised, required=True)
    pair = house.auth.issue("alice")
    house.now += AGES
    ask = Ask(fields=[cookie(refresh=pair.refresh_token)])
    assert Through(house).ask("wsgi", ask).status == 503


# ── What is opened when ──────────────────────────────────────────────────────────────


def test_verifying_never_opens_the_store(door: str, tmp_path: Path) -> None:
    """A process that only verifies, or only refuses, creates no file."""
    # S51
    path = tmp_path / "sessions.sqlite3"
    made = DOORS[door](APPS[door], secret_key=SECRET, session_store=f"sqlite:///{path}")
    pair = JWTAuth(secret_key=SECRET, session_store="memory://").issue("alice")
    for fields in (
        [],
        [bearer(pair.access_token)],
        [bearer(pair.access_token)],
        [cookie(access=pair.access_token)],
        [cookie(access=pair.access_token, refresh=pair.refresh_token)],
        [bearer("broken")],
        [bearer(pair.refresh_token)],
    ):
        assert status(door, made, Ask(fields=fields)) == 200
    assert list(tmp_path.iterdir()) == []
    status(door, made, Ask(fields=[cookie(refresh=pair.refresh_token)]))
    assert path.exists()


def test_the_store_is_opened_as_configured(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """store_timeout reaches the store, and each kind of program asks for the kind it can use."""
    # S45
    asked: list[Any] = []

    def open_store(url: str, **options: Any) -> MemorySessionStore:
        asked.append((url, options))
        return MemorySessionStore()

    monkeypatch.setattr(stores, "open_store", open_store)
    auth = JWTAuth(secret_key=SECRET, session_store="memory://", store_timeout=0.5)
    for _ in range(2):
        Calls(auth, kind).sessions("alice")
    assert asked == [("memory://", {"timeout": 0.5, "prefer_async": kind == "async"})]


def test_closing_lets_go_and_opens_nothing(kind: str, tmp_path: Path) -> None:
    """close() never opens a store, and whoever needs the store after it has it again."""
    path = tmp_path / "sessions.sqlite3"
    auth = JWTAuth(secret_key=SECRET, session_store=f"sqlite:///{path}")
    calls = Calls(auth, kind)
    calls.close()
    assert list(tmp_path.iterdir()) == []
    pair = calls.issue("alice")
    calls.close()
    assert [session.id for session in calls.sessions("alice")] == [pair.session_id]
    calls.close()


@pytest.mark.parametrize("threads", [1, 8])
def test_the_store_is_opened_once(threads: int, tmp_path: Path, kind: str) -> None:
    """However many calls come at once, one store is opened."""
    # S51
    path = tmp_path / "sessions.sqlite3"
    auth = JWTAuth(secret_key=SECRET, session_store=f"sqlite:///{path}")
    assert not path.exists()
    calls = Calls(auth, kind)
    with ThreadPoolExecutor(threads) as pool:
        pairs = list(pool.map(calls.issue, map(str, range(threads))))
    assert path.exists()
    assert len({id(store) for store in auth._stores.values()}) == 1
    for pair in pairs:
        assert [one.id for one in calls.sessions(pair.session.subject)] == [pair.session_id]


# ── Events ───────────────────────────────────────────────────────────────────────────


def test_a_broken_event_hook_disturbs_nobody(door: str, caplog: pytest.LogCaptureFixture) -> None:
    """on_event may raise: it is logged, and every request goes on as if it had not."""
    # S53

    def broken(event: Event) -> None:
        raise ZeroDivisionError

    made = DOORS[door](
        APPS[door], secret_key=SECRET, session_store="memory://", on_event=broken, required=True
    )
    with caplog.at_level(logging.INFO, "jwt_middleware"):
        assert status(door, made, Ask(fields=[bearer("broken")])) == 401
    assert "on_event failed for token_refused" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_logs_and_events_hold_no_token(door: str, caplog: pytest.LogCaptureFixture) -> None:
    """Through login, reissue, outage and refusal no token and no secret is logged or told."""
    # S53
    house = House(required=True, public_paths=["/login"])
    with caplog.at_level(logging.DEBUG):
        pair = house.auth.issue("alice")
        house.now += AGES
        ask = Ask(fields=[cookie(access=pair.access_token, refresh=pair.refresh_token)])
        answer = Through(house).ask(door, ask)
        Through(house).ask(door, Ask(fields=[bearer(f"{pair.access_token}x")]))
        Through(house, lambda auth: auth.login("bob")).ask(door, Ask(path="/login"))
        away(house, "load")
        house.now += AGES
        Through(house).ask(door, ask)
    said = caplog.text + repr(house.events) + repr(pair) + repr(house.auth.settings)
    assert "store_unavailable" in said
    for secret in (pair.access_token, pair.refresh_token, *answer.cookies.values(), SECRET):
        assert secret not in said
        assert secret.rpartition(".")[2] not in said


@pytest.mark.parametrize("by_itself", [False, True])
def test_nobody_purges_what_goes_by_itself(by_itself: bool) -> None:
    """A store that lets go of old rows by itself is not purged at anybody's request."""

    class Store(MemorySessionStore):
        expires_by_itself = by_itself
        purges = 0

        def purge(self, before: float, *, limit: int = 1000) -> int:
            self.purges += 1
            return super().purge(before, limit=limit)

    store = Store()
    house = House(session_store=store)
    pair = house.auth.issue("alice")
    house.now += AGES
    Through(house).ask("wsgi", Ask(fields=[cookie(refresh=pair.refresh_token)]))
    assert store.purges == (0 if by_itself else 1)
