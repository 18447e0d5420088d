"""Every security event, provoked for real through both doors: its reason, its ids, and no token."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple, get_args

import pytest
from stepping import SECRET, House
from through import AGES, Ask, Through, View, away, nothing

from jwt_middleware.events import Event, EventName
from jwt_middleware.handle import RequestAuth

ACCESS, REFRESH, CSRF = "__Host-access_token", "__Host-refresh_token", "__Host-csrf_token"


class Client:
    """A browser at one of the doors; every token and cookie that goes by is remembered."""

    def __init__(self, door: str, **settings: Any) -> None:
        self.house = House(**settings)
        self.door = door
        self.jar: dict[str, str] = {}
        self.gone_by: set[str] = set()

    def ask(self, view: View = nothing, *, method: str = "GET", **fields: str) -> None:
        """A request with the jar's cookies, and the answer to it."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        sent = {"Cookie": cookies, **{key.replace("_", "-"): fields[key] for key in fields}}
        ask = Ask(method=method, fields=[(name, value) for name, value in sent.items() if value])
        answer = Through(self.house, view).ask(self.door, ask)
        self.jar |= answer.cookies
        self.gone_by |= {*self.jar.values(), *fields.values()}

    def login(self) -> None:
        """Sign Alice in; what was told of it is forgotten."""
        self.ask(sign_in, method="POST")
        self.house.events.clear()

    def later(self) -> None:
        """Access tokens have expired, and the grace is over."""
        self.house.now += AGES

    def copy_jar(self) -> dict[str, str]:
        return dict(self.jar)

    @property
    def session_id(self) -> str:
        """Alice's oldest session."""
        return next(iter(self.house.store._sessions))


def sign_in(auth: RequestAuth) -> None:
    auth.login("alice")


# ── How each comes about ─────────────────────────────────────────────────────────


def login(client: Client) -> None:
    client.ask(sign_in)


def reissued(client: Client) -> None:
    client.login()
    client.later()
    client.ask()


def replayed(client: Client) -> None:
    client.login()
    client.later()
    sibling = client.copy_jar()
    client.ask()
    client.house.events.clear()
    client.jar = sibling
    client.ask()


def replayed_elsewhere(client: Client) -> None:
    client.login()
    client.later()
    sibling = client.copy_jar()
    client.ask()
    client.house.events.clear()
    client.jar, client.house = sibling, client.house.other_process()
    client.ask()


def lost_response(client: Client) -> None:
    client.login()
    client.later()
    before = client.copy_jar()
    client.ask()
    client.later()
    client.house.events.clear()
    client.jar = before
    client.ask()


def reuse(client: Client) -> None:
    client.login()
    client.later()
    thief = client.copy_jar()
    for _ in range(2):
        client.ask()
        client.later()
    client.house.events.clear()
    client.jar = thief
    client.ask()


def logout(client: Client) -> None:
    client.login()
    client.ask(lambda auth: auth.logout())


def logout_everywhere(client: Client) -> None:
    client.login()
    client.ask(lambda auth: auth.logout_everywhere())


def revoked_outside(client: Client) -> None:
    client.login()
    client.house.auth.revoke(client.session_id)


def all_revoked_outside(client: Client) -> None:
    client.login()
    client.house.auth.revoke_subject("alice")


def too_many(client: Client) -> None:
    client.login()
    client.jar.clear()
    client.later()
    client.ask(sign_in)


def another_site(client: Client) -> None:
    client.login()
    client.ask(method="POST", Sec_Fetch_Site="cross-site")


def no_csrf_token(client: Client) -> None:
    client.ask(lambda auth: auth.login("alice", cross_site=True) and None, method="POST")
    client.house.events.clear()
    client.ask(method="POST")


def wrong_csrf_token(client: Client) -> None:
    client.ask(lambda auth: auth.login("alice", cross_site=True) and None, method="POST")
    client.house.events.clear()
    client.ask(method="POST", X_CSRF_Token=f"{client.jar[CSRF]}x")


def expired(client: Client) -> None:
    client.login()
    client.house.now += 31 * 86400
    client.ask()


def forged(client: Client) -> None:
    client.login()
    client.jar = {ACCESS: f"{client.jar[ACCESS][:-9]}forgedxyz"}
    client.ask()


def malformed(client: Client) -> None:
    client.login()
    token = client.jar.pop(ACCESS)
    client.ask(Authorization=f"Bearer {token}, Bearer {token}")


def duplicate(client: Client) -> None:
    client.login()
    client.jar[f" {ACCESS}"] = "tossed-by-a-neighbour"
    client.ask()


def duplicate_beside_an_expired_token(client: Client) -> None:
    client.login()
    client.later()
    client.jar[f" {REFRESH}"] = "tossed-by-a-neighbour"
    client.ask()


def unknown(client: Client) -> None:
    client.login()
    client.later()
    client.house.store.__init__()
    client.ask()


def after_a_sign_out_elsewhere(client: Client) -> None:
    client.login()
    client.house.auth.revoke(client.session_id)
    client.house.events.clear()
    client.ask()


def after_a_sign_out_in_the_store(client: Client) -> None:
    client.login()
    client.house.store.revoke(client.session_id, reason="logout", now=client.house.now)
    client.later()
    client.ask()


def early_renewal_of_an_ended_session(client: Client) -> None:
    """The valid access token falls with the row that a look at its refresh token finds ended."""
    client.login()
    client.house.store.revoke(client.session_id, reason="logout", now=client.house.now)
    client.house.now += 500
    client.ask()


def superseded(client: Client) -> None:
    client.login()
    client.later()
    before = client.copy_jar()
    client.ask()
    client.later()
    client.house.events.clear()
    client.jar = before
    client.ask()


def store_away_at_arrival(client: Client) -> None:
    client.login()
    client.later()
    away(client.house, "load")
    client.ask()


def store_away_at_the_response(client: Client) -> None:
    client.login()
    client.later()
    away(client.house, "rotate")
    client.ask()


def store_away_beside_a_good_token(client: Client) -> None:
    client.login()
    client.house.now += 500
    away(client.house, "load")
    client.ask()


def store_behind(client: Client) -> None:
    client.login()
    client.later()
    rows = client.house.store._sessions
    backup = dict(rows)
    client.ask()
    client.later()
    rows.update(backup)
    client.house = client.house.other_process()
    client.house.events.clear()
    client.ask()


def oversized(client: Client) -> None:
    client.login()
    client.later()
    client.ask()


class Way(NamedTuple):
    """How an event comes about, what it says, and whose ids are in it."""

    provoke: Callable[[Client], None]
    name: EventName
    reason: str | None = None
    subject: bool = True
    session: bool = True
    settings: dict[str, Any] = {}  # noqa: RUF012  # nobody writes to it


DOUBLE = {"csrf": "double-submit"}
WAYS = [
    Way(login, "login"),
    Way(reissued, "reissued"),
    Way(replayed, "replayed"),
    Way(replayed_elsewhere, "replayed"),
    Way(lost_response, "lost_response"),
    Way(reuse, "reuse", "reuse"),
    Way(reuse, "token_refused", "reuse"),
    Way(logout, "revoked", "logout", subject=False),
    Way(logout_everywhere, "revoked", "logout_everywhere", session=False),
    Way(revoked_outside, "revoked", "revoked", subject=False),
    Way(all_revoked_outside, "revoked", "revoked", session=False),
    Way(reissued, "revoked", "refused", settings={"load_claims": lambda session: None}),
    Way(too_many, "revoked", "too_many", settings={"max_sessions_per_subject": 1}),
    Way(another_site, "csrf_refused", "csrf"),
    Way(no_csrf_token, "csrf_refused", "csrf_token_missing", settings=DOUBLE),
    Way(wrong_csrf_token, "csrf_refused", "csrf_token_invalid", settings=DOUBLE),
    Way(expired, "token_refused", "expired"),
    Way(forged, "token_refused", "invalid_token", subject=False, session=False),
    Way(malformed, "token_refused", "invalid_request", subject=False, session=False),
    Way(duplicate, "token_refused", "duplicate_cookie", subject=False, session=False),
    Way(duplicate_beside_an_expired_token, "token_refused", "duplicate_cookie"),
    Way(unknown, "token_refused", "unknown_session"),
    Way(after_a_sign_out_elsewhere, "token_refused", "revoked"),
    Way(after_a_sign_out_in_the_store, "token_refused", "revoked"),
    Way(
        early_renewal_of_an_ended_session,
        "token_refused",
        "revoked",
        settings={"reissue_within": 500},
    ),
    Way(superseded, "token_refused", "superseded", settings={"lost_response_window": 500}),
    Way(store_away_at_arrival, "store_unavailable", "store_unavailable", False, False),
    Way(store_away_at_the_response, "store_unavailable"),
    Way(store_away_beside_a_good_token, "store_unavailable", settings={"reissue_within": 500}),
    Way(store_behind, "store_behind"),
    Way(oversized, "oversized", settings={"load_claims": lambda session: {"blob": "x" * 4000}}),
]


def test_every_event_is_provoked() -> None:
    """The table leaves none out."""
    assert {way.name for way in WAYS} == {*get_args(EventName)}


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.name}-{way.provoke.__name__}")
def test_it_is_told_with_ids_and_reasons_and_no_token(
    way: Way, door: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, to hook and log alike; whatever else is logged, no token, cookie or secret is in it."""
    # S53
    client = Client(door, **way.settings)
    with caplog.at_level(logging.DEBUG):
        way.provoke(client)
    session = next(iter(client.house.store._sessions.values()), None)
    (event,) = (event for event in client.house.events if event.name == way.name)
    assert event.reason == way.reason
    assert event.subject == ("alice" if way.subject else None)
    if session is not None:
        assert event.session_id == (session.id if way.session else None)
    logged = [record.__dict__["jwt_event"] for record in caplog.records if _is_event(record)]
    assert [one for one in logged if one is event] == [event]
    assert f"{way.name} (reason={way.reason}, session={event.session_id!r})" in caplog.messages
    _holds_no_secret(client, caplog)


def _is_event(record: logging.LogRecord) -> bool:
    return record.name == "jwt_middleware" and isinstance(record.__dict__.get("jwt_event"), Event)


def _holds_no_secret(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    said = caplog.text + repr(client.house.events) + repr([vars(one) for one in caplog.records])
    rows = client.house.store._sessions.values()
    secrets = {SECRET, *(row.refresh_salt for row in rows), *client.gone_by}
    for secret in secrets - {"", "cross-site"}:
        assert secret not in said
        assert secret.rpartition(".")[2] not in said, "a signature"
