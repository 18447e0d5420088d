"""What OpenTelemetry is told, by its own SDK: counts and span attributes, through both doors and
for open WebSockets. (Of Django's door: tests/frameworks/test_django_otel.py.)"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from stepping import House
from test_open_sockets import LIFE, Echo, Wire, connection, until
from through import AGES, Ask, Fields, Through, away, bearer, cookie

from jwt_middleware import ConfigurationError, Rule
from jwt_middleware.events import Event
from jwt_middleware.keys import Fetched
from jwt_middleware.otel import Telemetry

DOORS = ["wsgi", "asgi"]
KEY = b"a key for subjects, of 32 bytes."


class Watched:
    """An app at one of the doors, watched, with all that leaves for OpenTelemetry kept here."""

    def __init__(self, door: str, house: House, **options: Any) -> None:
        self.door = door
        self.house = house
        self._reader = InMemoryMetricReader()
        self._spans = InMemorySpanExporter()
        tracing = TracerProvider()
        tracing.add_span_processor(SimpleSpanProcessor(self._spans))
        self._tracer = tracing.get_tracer("server")
        options["meter_provider"] = MeterProvider([self._reader])
        self.telemetry = Telemetry(**options)
        assert self.telemetry.watch(house.auth) is house.auth
        self._through = Through(house)

    def ask(self, *fields: tuple[str, str], traced: bool = True, **more: Any) -> dict[str, Any]:
        """One request inside a server's span; the attributes of that span."""
        ask = Ask(fields=fields, **more)
        if not traced:
            self._through.ask(self.door, ask)
            return {}
        self._spans.clear()
        with self._tracer.start_as_current_span("GET /"):
            self._through.ask(self.door, ask)
        (span,) = self._spans.get_finished_spans()
        return dict(span.attributes or {})

    def counted(self, name: str) -> dict[tuple[Any, ...], float]:
        """A counter's numbers, by the values of its attributes."""
        data: Any = self._reader.get_metrics_data()
        return {
            tuple(dict(sorted(point.attributes.items())).values()): point.value
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == f"jwt_middleware.{name}"
            for point in metric.data.data_points
        }

    async def connected(
        self, *, signed_in: bool = True, ends: Callable[[Wire], Awaitable[None]] | None = None
    ) -> dict[str, Any]:
        """A WebSocket inside a server's span, until it is ended; the attributes of that span."""
        self._spans.clear()
        with self._tracer.start_as_current_span("GET /"):
            async with connection(self.house, Echo(), signed_in=signed_in) as wire:
                if ends is not None:
                    await ends(wire)
                    await until(lambda: wire.task is not None and wire.task.done())
        (span,) = self._spans.get_finished_spans()
        return dict(span.attributes or {})


def signed_in(house: House) -> tuple[Fields, Fields]:
    """Alice as a header client, and as a browser."""
    pair = house.auth.issue("alice")
    return [bearer(pair.access_token)], [
        cookie(access=pair.access_token, refresh=pair.refresh_token)
    ]


@pytest.mark.parametrize("door", DOORS)
def test_requests_are_counted_by_verdict(door: str) -> None:
    """Each request counts once, under what was decided about it, and its span says so."""
    house = House(
        rules=[Rule("/admin", roles={"admin"}), Rule("/mine")],
        ignore_paths=["/static"],
        refresh_path="/refresh",
    )
    by_header, by_cookie = signed_in(house)
    watched = Watched(door, house)
    verdict, reason = "jwt_middleware.verdict", "jwt_middleware.reason"
    assert watched.ask(*by_header) == {verdict: "valid"}
    assert watched.ask(*by_header) == {verdict: "valid"}
    assert watched.ask() == {verdict: "anonymous", reason: "missing"}
    assert watched.ask(path="/mine") == {verdict: "refused", reason: "missing"}
    assert watched.ask(*by_header, path="/admin") == {
        verdict: "refused",
        reason: "insufficient_role",
    }
    assert watched.ask(path="/static/a.css")[verdict] == "ignored"
    assert watched.ask(path="/refresh", method="POST")[verdict] == "answered"
    house.now += AGES
    told = watched.ask(*by_cookie)
    assert told[verdict] == "refresh"
    assert "jwt_middleware.rotation" in told
    told = watched.ask(*by_cookie)  # a sibling, at a glance
    assert told == {verdict: "refresh", "jwt_middleware.rotation": "predecessor"}
    assert watched.counted("requests") == {
        ("valid",): 2,
        ("anonymous",): 1,
        ("refused",): 2,
        ("ignored",): 1,
        ("answered",): 1,
        ("refresh",): 2,
    }
    assert watched.counted("refusals") == {("missing",): 1, ("insufficient_role",): 1}


@pytest.mark.parametrize("door", DOORS)
def test_an_outage_is_a_refusal(door: str) -> None:
    """A request that cannot be judged is counted as refused for want of the store."""
    house = House(required=True)
    _, by_cookie = signed_in(house)
    house.now += AGES
    watched = Watched(door, away(house, "load"))
    watched.ask(*by_cookie)
    assert watched.counted("refusals") == {("store_unavailable",): 1}


@pytest.mark.parametrize("door", DOORS)
def test_the_cache_is_shown(door: str) -> None:
    """Hits and misses are those of `cache_info`, and a request without a span counts, too."""
    house = House()
    watched = Watched(door, house)
    by_header, _ = signed_in(house)
    for _ in range(3):
        watched.ask(*by_header, traced=False)
    info = house.auth.cache_info
    assert watched.counted("token_cache") == {("hit",): info.hits, ("miss",): info.misses}
    assert info.hits >= 2
    assert watched.counted("requests") == {("valid",): 3}


@pytest.mark.parametrize("door", DOORS)
def test_spans_name_nobody_by_themselves(door: str) -> None:
    """Neither the subject, nor the session, nor a token is in an attribute."""  # S53
    house = House()
    pair = house.auth.issue("alice")
    watched = Watched(door, house)
    told = str(watched.ask(bearer(pair.access_token)))
    for secret in ("alice", pair.session_id, pair.access_token):
        assert secret not in told


@pytest.mark.parametrize("door", DOORS)
def test_spans_name_whom_they_are_asked_to(door: str) -> None:
    """The session by its id, the subject by a hash that is the same in each of its sessions, and
    differs under another key."""
    house = House()
    first, second = house.auth.issue("alice"), house.auth.issue("alice")
    watched = Watched(door, house, session_id=True, subject_key=KEY)
    told, again = (watched.ask(bearer(pair.access_token)) for pair in (first, second))
    assert (told["session.id"], again["session.id"]) == (first.session_id, second.session_id)
    assert told["enduser.pseudo.id"] == again["enduser.pseudo.id"]
    assert "alice" not in str(told)
    afresh = House(session_store=house.store)
    other = Watched(door, afresh, subject_key=KEY[::-1])
    elsewhere = other.ask(bearer(first.access_token))
    assert elsewhere["enduser.pseudo.id"] != told["enduser.pseudo.id"]
    assert "session.id" not in elsewhere
    assert watched.ask().keys() == {"jwt_middleware.verdict", "jwt_middleware.reason"}


def test_events_are_counted_and_handed_on() -> None:
    """By name and reason, without ids; what sends tokens counts as a reissue; the app's own hook
    is told the same."""
    seen: list[Event] = []
    watched = Watched("wsgi", House(), on_event=seen.append)
    events = [
        Event("reissued", 0.0, None, "alice", "s"),
        Event("lost_response", 0.0, None, "alice", "s"),
        Event("revoked", 0.0, "logout", "alice", "s"),
    ]
    for event in events:
        watched.telemetry.on_event(event)
    assert seen == events
    assert watched.counted("events") == {
        ("reissued",): 1,
        ("lost_response",): 1,
        ("revoked", "logout"): 1,
    }
    assert watched.counted("reissues") == {("reissued",): 1, ("lost_response",): 1}


def test_an_app_needs_no_hook_of_its_own() -> None:
    """Events are counted without one."""
    watched = Watched("wsgi", House())
    watched.telemetry.on_event(Event("login", 0.0))
    assert watched.counted("events") == {("login",): 1}
    assert watched.counted("reissues") == {}


def test_fetches_of_keys_are_counted() -> None:
    """By how they end; what they raise goes on."""
    watched = Watched("wsgi", House())
    answers: list[Any] = [Fetched(b"{}"), Fetched(None), OSError("away")]

    def fetch(url: str, etag: str | None) -> Fetched:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    counted = watched.telemetry.counting(fetch)
    assert counted("https://a.example", None).content == b"{}"
    assert counted("https://a.example", "1").content is None
    with pytest.raises(OSError, match="away"):
        counted("https://a.example", "1")
    assert watched.counted("key_fetches") == {("fetched",): 1, ("unchanged",): 1, ("failed",): 1}


# ── WebSockets ───────────────────────────────────────────────────────────────────


async def token_ends(wire: Wire) -> None:
    await wire.pass_time(LIFE)


async def session_ends(wire: Wire) -> None:
    await asyncio.to_thread(wire.house.auth.revoke, wire.session_id)


async def store_is_away(wire: Wire) -> None:
    away(wire.house, "load")
    await wire.pass_time(60)


CLOSED: dict[str, tuple[Callable[[Wire], Awaitable[None]], dict[str, Any]]] = {
    "expired": (token_ends, {}),
    "revoked": (session_ends, {}),
    "store_unavailable": (store_is_away, {"check_session": 60}),
}


@pytest.mark.parametrize("reason", CLOSED)
def test_an_open_connection_that_has_to_end(reason: str) -> None:
    """It was one request; that it was closed is counted, with the reason, and on its span."""
    ends, settings = CLOSED[reason]
    watched = Watched("asgi", House(**settings))
    told = asyncio.run(watched.connected(ends=ends))
    assert told == {"jwt_middleware.verdict": "valid", "jwt_middleware.closed": reason}
    assert watched.counted("requests") == {("valid",): 1}
    assert watched.counted("closings") == {(reason,): 1}


def test_a_connection_that_ends_by_itself() -> None:
    """One that its client leaves was not closed, whoever it was."""
    watched = Watched("asgi", House())
    assert asyncio.run(watched.connected()) == {"jwt_middleware.verdict": "valid"}
    assert asyncio.run(watched.connected(signed_in=False)) == {
        "jwt_middleware.verdict": "anonymous",
        "jwt_middleware.reason": "missing",
    }
    assert watched.counted("requests") == {("valid",): 1, ("anonymous",): 1}
    assert watched.counted("closings") == {}


def test_a_handshake_that_is_refused() -> None:
    """It counts like any request that does not reach the app."""
    house = House(required=True)
    watched = Watched("asgi", house)

    async def test() -> None:
        with watched._tracer.start_as_current_span("GET /"):
            wire = Wire(house, Echo())
            await wire.open()
            assert wire.kinds == ["close"]

    asyncio.run(test())
    assert watched.counted("refusals") == {("missing",): 1}
    assert watched.counted("closings") == {}


def test_nothing_is_counted_twice() -> None:
    """A `JWTAuth` that is watched already is refused."""
    watched = Watched("wsgi", House())
    with pytest.raises(ConfigurationError, match="watched already"):
        watched.telemetry.watch(watched.house.auth)


def test_a_short_key_is_refused() -> None:
    """A key under which subjects could be guessed is an error that says what to take."""
    with pytest.raises(ConfigurationError, match="at least 16 bytes"):
        Telemetry(subject_key=b"short")


def test_it_says_what_to_install() -> None:
    """Without OpenTelemetry the import fails with the name of the extra."""
    code = "import sys; sys.modules['opentelemetry'] = None; import jwt_middleware.otel"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert "ConfigurationError" in done.stderr
    assert "jwt-session-middleware[otel]" in done.stderr
