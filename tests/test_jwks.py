"""The published keys of an issuer, kept at hand: when it is asked, who waits, what is believed.

The time is an argument, and the server a function that a test turns.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from auth_server import AuthServer
from keychain import jwk, jwk_set, key_for, sign
from stepping import START, HeaderClient, House
from through import Ask, Through, aask, ask_wsgi, bearer

from jwt_middleware import Issuer, forks, jwks
from jwt_middleware.errors import KeysNotFetched
from jwt_middleware.jwks import AHEAD, COOL_DOWN, JITTER, LIFE, LOST, PATIENCE, RETRY, RemoteKeySet
from jwt_middleware.keys import Fetched

A = "https://a.example"
FIRST, SECOND = key_for("ES256", 40), key_for("ES256", 41)
NOW = START
MAX_STALE = 3600.0

THREADS = "jwks"


def published(*kids: str, key: Any = FIRST) -> bytes:
    return jwk_set(*(jwk(key, kid=kid) for kid in kids)).encode()


class Publisher:
    """An issuer's server, as a function, with what it was asked on record."""

    def __init__(self, *kids: str) -> None:
        self.answer: Any = Fetched(published(*kids or ("1",)), '"one"')
        self.asked: list[tuple[str, str | None]] = []
        self.open = threading.Event()
        """Cleared: whoever asks has to wait."""
        self.open.set()

    def __call__(self, url: str, etag: str | None) -> Fetched:
        self.asked.append((url, etag))
        assert self.open.wait(30)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def publish(self, *kids: str, **more: Any) -> None:
        self.answer = Fetched(published(*kids), **more)


def keys_of(publisher: Publisher, **options: Any) -> RemoteKeySet:
    options = {"jitter": lambda: 0.0, "max_stale": MAX_STALE, **options}
    return RemoteKeySet(f"{A}/jwks", publisher, **options)


def settle() -> None:
    """Until no thread looks for keys any more."""
    for thread in threading.enumerate():
        if thread.name == THREADS:
            thread.join(30)


def fetched_keys(publisher: Publisher | None = None, **options: Any) -> RemoteKeySet:
    keys = keys_of(publisher or Publisher(), **options)
    keys.refresh("1", NOW)
    assert keys.usable
    return keys


def ahead(keys: RemoteKeySet, now: float) -> None:
    keys.refresh_ahead(now)
    settle()


# ── The life of a set ────────────────────────────────────────────────────────────


def test_nothing_is_asked_before_it_is_needed() -> None:
    """A process that starts, or is about to fork, connects to nobody."""  # S51
    publisher = Publisher()
    keys = keys_of(publisher)
    assert (publisher.asked, keys.usable, keys.find("1", "ES256")) == ([], False, None)


def test_the_first_request_waits_for_the_keys() -> None:
    """It finds them where they are published."""
    publisher = Publisher("1", "2")
    keys = fetched_keys(publisher)
    found = keys.find("2", "ES256")
    assert found is not None
    assert found.kid == "2"
    assert keys.find("2", "RS256") is None
    assert publisher.asked == [(f"{A}/jwks", None)]
    assert keys.version == 1


@pytest.mark.parametrize(
    ("max_age", "life"),
    [(None, LIFE), (300.0, 300.0), (0.0, 60.0), (59.0, 60.0), (1e9, 3600.0)],
    ids=["says nothing", "says", "nothing", "too short", "too long"],
)
def test_a_server_says_how_long_its_set_lives(max_age: float | None, life: float) -> None:
    """Within limits: one that lies makes us neither ask all the time nor never again."""
    publisher = Publisher()
    publisher.publish("1", max_age=max_age)
    keys = fetched_keys(publisher)
    assert keys.due == NOW + life * AHEAD
    publisher.answer = OSError()
    ahead(keys, NOW + life + MAX_STALE - 1)
    assert keys.usable
    ahead(keys, NOW + life + MAX_STALE)
    assert not keys.usable


def test_processes_ask_apart() -> None:
    """The moment is a little earlier for each, by chance, and never later."""
    dues = [fetched_keys(jitter=lambda j=j: j).due - NOW for j in (0.0, 0.5, 1.0)]
    assert dues == pytest.approx([480, 480 * (1 - JITTER / 2), 480 * (1 - JITTER)])
    assert RemoteKeySet(A, Publisher())._jitter() != RemoteKeySet(A, Publisher())._jitter()


def test_a_set_is_fetched_again_before_it_is_too_old() -> None:
    """By a thread, at the first request from then on, that has nothing to wait for."""
    publisher = Publisher()
    keys = fetched_keys(publisher)
    publisher.open.clear()
    for _ in range(100):
        assert not keys.stale("1", keys.due)
        keys.refresh_ahead(NOW + 480)
    assert keys.find("1", "ES256") is not None
    assert len(publisher.asked) == 2
    assert keys.due == NOW + 480 + COOL_DOWN
    publisher.open.set()
    settle()
    assert keys.due == NOW + 480 + 480


def test_who_comes_early_asks_nobody() -> None:
    """Before its time a set is not fetched, however it is asked for."""
    publisher = Publisher()
    keys = fetched_keys(publisher)
    keys.refresh_ahead(NOW + 479)
    keys.refresh("1", NOW + 479)
    keys.refresh(None, NOW + 479)
    assert len(publisher.asked) == 1


def test_what_has_not_changed_is_not_sent_again() -> None:
    """The entity tag is shown; the set lives on, and what was verified stays so."""
    publisher = Publisher()
    keys = fetched_keys(publisher)
    publisher.answer = Fetched(None, None, 120.0)
    ahead(keys, NOW + 500)
    assert publisher.asked[1] == (f"{A}/jwks", '"one"')
    assert (keys.version, keys.due) == (1, NOW + 500 + 120 * AHEAD)
    ahead(keys, NOW + 600)
    assert publisher.asked[2] == (f"{A}/jwks", '"one"')
    publisher.publish("1")
    ahead(keys, NOW + 800)
    assert keys.version == 1, "the same keys again"
    ahead(keys, NOW + 1400)
    assert publisher.asked[4] == (f"{A}/jwks", None), "this answer had no tag"


def test_a_removed_key_stops_with_the_next_set() -> None:
    """The version changes, and with it what this process remembers."""  # S10, S21
    publisher = Publisher("1", "2")
    keys = fetched_keys(publisher)
    publisher.publish("2")
    ahead(keys, NOW + 500)
    assert keys.find("1", "ES256") is None
    assert keys.find("2", "ES256") is not None
    assert keys.version == 2
    publisher.answer = Fetched(published("2", key=SECOND))
    ahead(keys, NOW + 1000)
    assert keys.version == 3, "the same kid, another key"


# ── Key ids nobody knows ─────────────────────────────────────────────────────────


def test_a_thousand_unknown_keys_a_second_cause_one_look() -> None:
    """One in a cool-down, counted from the last attempt, whether it failed or not; and a known
    key meets no command, no wait and no other state meanwhile."""  # S5
    publisher = Publisher()
    keys = fetched_keys(publisher)
    known = keys.find("1", "ES256")
    for second in range(1, 91):
        if second == 45:
            publisher.answer = OSError("down")
        now = NOW + second
        for number in range(1000):
            kid = f"{second}-{number}"
            assert keys.find(kid, "ES256") is None
            if keys.stale(kid, now):
                keys.refresh(kid, now)
        assert keys.find("1", "ES256") is known
        assert not keys.stale("1", now)
    assert len(publisher.asked) == 1 + 3
    assert sorted(keys._kids) == ["1"], "nothing is remembered of them"


def test_a_new_key_is_found_by_the_request_that_needs_it() -> None:
    """Its kid is unknown, so the request waits for one look."""  # S10
    publisher = Publisher()
    keys = fetched_keys(publisher)
    publisher.publish("1", "2")
    assert not keys.stale("2", NOW + COOL_DOWN - 1)
    assert keys.stale("2", NOW + COOL_DOWN)
    keys.refresh("2", NOW + COOL_DOWN)
    assert keys.find("2", "ES256") is not None


def test_a_token_without_kid_sends_nobody_looking() -> None:
    """There is nothing to look for."""  # S5
    keys = fetched_keys()
    assert not keys.stale(None, NOW + 400)


def test_who_arrived_earlier_and_asks_later_asks_nobody() -> None:
    """Requests know the time of their arrival; only a clock that is set back counts anew."""
    publisher = Publisher()
    keys = fetched_keys(publisher)
    keys.refresh("2", NOW - 1)
    assert len(publisher.asked) == 1
    keys.refresh("2", NOW - 3600)
    assert len(publisher.asked) == 2


@pytest.mark.race
@pytest.mark.parametrize("waits", ["thread", "event loop"])
def test_many_who_wait_cause_one_look(waits: str) -> None:
    """All of them wait for the same, and find the key; in an event loop without a thread
    of their own."""  # S10, S52
    publisher = Publisher()
    keys = fetched_keys(publisher)
    publisher.publish("1", "2")
    publisher.open.clear()
    now, number, found = NOW + COOL_DOWN, 30, list[object]()

    def ask() -> None:
        assert keys.stale("2", now)
        keys.refresh("2", now)
        found.append(keys.find("2", "ES256"))

    async def aask() -> None:
        assert keys.stale("2", now)
        await keys.arefresh("2", now)
        found.append(keys.find("2", "ES256"))

    async def aask_all() -> None:
        tasks = [asyncio.create_task(aask()) for _ in range(number)]
        await asyncio.sleep(0)
        assert threading.active_count() <= before + 1
        publisher.open.set()
        await asyncio.gather(*tasks)

    before = threading.active_count()
    if waits == "event loop":
        asyncio.run(aask_all())
    else:
        threads = [threading.Thread(target=ask) for _ in range(number)]
        for thread in threads:
            thread.start()
        publisher.open.set()
        for thread in threads:
            thread.join()
    assert len(found) == number
    assert None not in found
    assert len(publisher.asked) == 2


# ── A server that fails, lies or takes its time ──────────────────────────────────


WRONG: dict[str, Any] = {
    "down": OSError("refused"),
    "said": KeysNotFetched("the server answered 500"),
    "html": Fetched(b"<html>"),
    "no set": Fetched(b'{"issuer": "x"}'),
    "empty set": Fetched(b'{"keys": []}'),
    "of no use": Fetched(jwk_set({"kty": "oct", "k": "AAAA"}).encode()),
    "too deep": Fetched(b"[" * 100_000),
    "not changed": Fetched(None),
    "no answer": None,
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_leaves_the_last_good_set(name: str) -> None:
    """For a bounded time; then nobody is believed, as nobody can say whose keys hold."""  # S14
    publisher = Publisher()
    publisher.publish("1")
    keys = fetched_keys(publisher)
    publisher.answer = WRONG[name]
    over = NOW + LIFE + MAX_STALE
    ahead(keys, NOW + 500)
    assert keys.find("1", "ES256") is not None
    assert keys.due == NOW + 500 + COOL_DOWN
    assert not keys.stale("1", over - 1)
    assert keys.stale("1", over)
    keys.refresh("1", over)
    assert (keys.usable, keys.find("1", "ES256"), keys.version) == (False, None, 2)
    publisher.publish("1")
    keys.refresh("1", over + RETRY - 1)
    assert not keys.usable
    keys.refresh("1", over + RETRY)
    assert (keys.usable, keys.version) == (True, 3)
    assert keys.find("1", "ES256") is not None


@pytest.mark.parametrize("name", WRONG)
def test_a_server_that_is_wrong_from_the_start(name: str) -> None:
    """There is no set, which is no verdict; it is asked again soon, and not at each request."""
    publisher = Publisher()
    publisher.answer = WRONG[name]
    keys = keys_of(publisher)
    for now in (NOW, NOW + 1, NOW + RETRY - 0.1, NOW + RETRY):
        keys.refresh("1", now)
    assert (keys.usable, len(publisher.asked)) == (False, 2)


def test_an_outage_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Why, where that is known, never what a stranger's error quotes, nor the URL's query; and
    when it is over."""  # S53
    caplog.set_level(logging.INFO)
    publisher = Publisher()
    keys = RemoteKeySet(f"{A}/jwks?code=hush", publisher)
    keys.refresh("1", NOW)
    publisher.answer = KeysNotFetched("the server answered 500")
    for minute in range(10, 14):
        ahead(keys, NOW + minute * 60)
    publisher.answer = OSError("hush, a password")
    ahead(keys, NOW + 900)
    ahead(keys, NOW + LIFE + MAX_STALE)
    publisher.publish("1")
    keys.refresh("1", NOW + 90_000)
    assert [record.getMessage() for record in caplog.records] == [
        f"keys of {A}/jwks are not fetched, the last ones stay: the server answered 500",
        f"keys of {A}/jwks are too old to be used",
        f"keys of {A}/jwks are fetched again",
    ]
    publisher.answer = OSError("hush, a password")
    ahead(keys, NOW + 91_000)
    assert caplog.records[-1].getMessage().endswith("the last ones stay: OSError")


def test_a_slow_server_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not for long: the next requests with unknown keys are refused at once, until it
    answers as quickly as it should."""  # S5
    monkeypatch.setattr(jwks, "PATIENCE", 0.05)
    publisher, clock = Publisher(), [0.0]
    keys = fetched_keys(publisher, timer=lambda: clock[0])
    publisher.open.clear()
    publisher.publish("1", "2")
    now = NOW + COOL_DOWN
    keys.refresh("2", now)
    assert keys.find("2", "ES256") is None
    assert keys._look("2", now + 1) is None
    clock[0] = PATIENCE + 1
    publisher.open.set()
    settle()
    assert keys.find("2", "ES256") is not None, "it came late, but it came"
    assert keys._look("3", now + COOL_DOWN) is None, "a look is under way, and nobody waits"
    settle()
    assert len(publisher.asked) == 3
    keys.refresh("3", now + 2 * COOL_DOWN)
    assert keys._prompt


def test_a_slow_server_holds_up_no_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who awaits it has the same patience."""
    monkeypatch.setattr(jwks, "PATIENCE", 0.05)
    publisher = Publisher()
    keys = keys_of(publisher)
    publisher.open.clear()
    asyncio.run(keys.arefresh("1", NOW))
    assert not keys._prompt
    asyncio.run(keys.arefresh("1", NOW))
    publisher.open.set()
    settle()
    assert keys.usable


def test_who_loses_patience_as_the_answer_comes_spoils_nothing() -> None:
    """What has ended by then was quick enough."""
    keys = fetched_keys()
    flight: Any = object()
    keys._waited(flight, done=False)
    assert keys._prompt


def test_a_look_that_never_ends_is_given_up() -> None:
    """A fetcher that hangs costs a thread, and not the keys; what it brings after all is late."""
    publisher = Publisher()
    keys = keys_of(publisher)
    keys._prompt = False  # nobody waits
    publisher.open.clear()
    hanging = publisher.open
    keys.refresh("1", NOW)
    keys.refresh("1", NOW + LOST - 1)
    assert len(publisher.asked) == 1
    publisher.open = threading.Event()
    publisher.open.set()
    keys.refresh("1", NOW + LOST)
    while len(publisher.asked) < 2 or not keys.usable:
        threading.Event().wait(0.005)
    publisher.publish("9")
    hanging.set()
    settle()
    assert keys.find("1", "ES256") is not None
    assert keys.find("9", "ES256") is None


def test_without_a_thread_to_be_had_the_keys_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process at its limits goes on with what it has."""
    keys = fetched_keys()

    def start(_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    keys.refresh("2", NOW + COOL_DOWN)
    assert keys.find("1", "ES256") is not None
    assert not keys.stale("2", NOW + COOL_DOWN + 1)


# ── Processes that fork ──────────────────────────────────────────────────────────


def in_child(look: Callable[[], bool]) -> bool:
    """Whether something holds in a forked child."""
    pid = os.fork()
    if pid == 0:
        verdict = 1
        try:
            verdict = 0 if look() else 1
        finally:
            os._exit(verdict)
    return os.waitpid(pid, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("locked", [False, True], ids=["looking", "locked"])
def test_a_child_looks_for_itself(locked: bool) -> None:
    """Forked while its parent's thread is looking, or holds the lock: it waits for nothing that
    will not come, keeps the keys, and verifies anew."""  # S51
    publisher = Publisher()
    keys = fetched_keys(publisher)
    publisher.open.clear()
    ahead_at = NOW + 500
    keys.refresh_ahead(ahead_at)
    if locked:
        keys._lock.acquire()

    def look() -> bool:
        publisher.open = threading.Event()
        publisher.open.set()
        known = keys.find("1", "ES256") is not None and keys.version == 2
        publisher.publish("1", "2")
        keys.refresh("2", ahead_at)
        shown = publisher.asked[-1][1]
        return known and keys.find("2", "ES256") is not None and shown is None

    try:
        assert in_child(look)
    finally:
        if locked:
            keys._lock.release()
        publisher.open.set()
        settle()
    assert keys.version == 1, "in the parent nothing has happened"


def test_a_child_begins_again() -> None:
    """With the keys there are, and nothing of what its parent was about."""
    publisher = Publisher()
    keys = fetched_keys(publisher)
    forks.after_fork()
    assert keys.find("1", "ES256") is not None
    assert keys.version == 2
    keys.refresh("2", NOW + 1)
    assert publisher.asked[-1] == (f"{A}/jwks", None)


def test_what_nobody_uses_is_forgotten() -> None:
    """Forks are no reason to keep a set for ever."""
    keys = fetched_keys()
    gc.collect()
    count = len(forks._methods)
    del keys
    gc.collect()
    assert len(forks._methods) < count


# ── Through the decision ─────────────────────────────────────────────────────────


def house_of(publisher: Publisher, **settings: Any) -> House:
    issuer = Issuer(A, audience="api", keys=keys_of(publisher))
    return House(issuers=[issuer], **settings)


def token(kid: str = "1", key: Any = FIRST, **changes: Any) -> str:
    claims = {"iss": A, "aud": "api", "sub": "alice", "exp": int(NOW) + 1_000_000}
    return sign(key, {**claims, **changes}, kid=kid)


def arrive(house: House, presented: str) -> Any:
    client = HeaderClient(house)
    return client.arrive(client.request(authorization=f"Bearer {presented}")).auth


def test_a_known_key_meets_no_command() -> None:
    """Neither a token seen before nor a new one ever has a request wait, also while others come
    with keys that nobody knows, and while the set is fetched anew."""  # S5, S17
    publisher = Publisher()
    house = house_of(publisher)
    assert arrive(house, token()).subject == "alice"
    house.forget_commands()
    publisher.open.clear()
    for number in range(200):
        house.wait(5)
        if number == 100:
            publisher.open.set()
            settle()
            publisher.answer = OSError("down")
        assert arrive(house, token(n=number)).subject == "alice"
        assert arrive(house, token()).subject == "alice"
        assert [one for one in house.commands if one.port == "keys"] == []
    settle()


def test_unknown_keys_are_refused() -> None:
    """Also one that another issuer's set has: a key is bound to its issuer."""  # S5, S17
    publisher, other = Publisher(), Publisher("2")
    b = Issuer("https://b.example", audience="api", keys=keys_of(other))
    house = House(issuers=[Issuer(A, audience="api", keys=keys_of(publisher)), b])
    assert arrive(house, token("2")).reason == "invalid_token"
    assert arrive(house, token("2", iss=b.url)).subject == "alice"
    assert arrive(house, token("1")).subject == "alice"


def test_a_remembered_token_dies_with_its_key() -> None:
    """Once a set has come without it, and at the latest when the set is too old."""  # S10, S21
    publisher = Publisher("1", "2")
    house = house_of(publisher)
    assert arrive(house, token()).is_authenticated
    publisher.publish("2")
    house.wait(480)
    arrive(house, token())
    settle()
    assert arrive(house, token()).reason == "invalid_token"
    assert arrive(house, token("2")).is_authenticated
    publisher.answer = OSError("down")
    house.wait(LIFE + MAX_STALE)
    assert arrive(house, token("2")).reason == "store_unavailable"


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_both_doors_wait_for_the_first_keys(door: str) -> None:
    """And answer 503 where there are none, 401 where there is no such key."""  # S45
    publisher = Publisher()
    publisher.answer = OSError("down")
    through = Through(house_of(publisher, required=True))
    assert through.ask(door, Ask(fields=[bearer(token())])).status == 503
    publisher.publish("1")
    through.house.wait(RETRY)
    assert through.ask(door, Ask(fields=[bearer(token())])).status == 200
    assert through.ask(door, Ask(fields=[bearer(token("2"))])).status == 401
    publisher.publish("1", "2")
    through.house.wait(COOL_DOWN)
    assert through.ask(door, Ask(fields=[bearer(token("2"))])).status == 200


def test_published_private_keys_are_not_used() -> None:
    """What everybody can sign with, nobody is believed by."""
    publisher = Publisher()
    private = jwk(SECOND, private=True, kid="2")
    publisher.answer = Fetched(json.dumps({"keys": [jwk(FIRST, kid="1"), private]}).encode())
    assert fetched_keys(publisher).find("2", "ES256") is None


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_a_flood_of_unknown_keys(door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand a second, each another, over a real connection: the server is asked once in a
    cool-down, and no request with a known key looks for anything or sees another set."""  # S5
    looks, look = [0], RemoteKeySet._look

    def counted(self: RemoteKeySet, kid: str | None, now: float) -> Any:
        looks[0] += 1
        return look(self, kid, now)

    monkeypatch.setattr(RemoteKeySet, "_look", counted)
    with AuthServer(60) as server:
        other = Issuer(server.url, audience="api", jwks_url=server.jwks_url)
        house = House(issuers=[other], jwks_loopback_http=True, required=True)
        through = Through(house)
        seen = server.token(NOW)

        async def status(token: str) -> int:
            ask = Ask(fields=[bearer(token)])
            if door == "wsgi":
                return ask_wsgi(through.wsgi, ask.environ).status
            return (await aask(through.asgi, ask.scope())).status

        async def everybody() -> None:
            assert await status(seen) == 200
            for second in range(2):
                house.wait(COOL_DOWN / 2)
                for number in range(1000):
                    assert await status(server.token(NOW, f"{second}-{number}")) == 401
                    if number % 10 == 0:
                        before = looks[0]
                        assert await status(seen) == 200
                        assert await status(server.token(NOW, n=number)) == 200
                        assert looks[0] == before

        asyncio.run(everybody())
        assert server.asked == 2
        assert looks[0] == 2
