"""What OpenTelemetry is told by Django's door, under both kinds of server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import test_django
from asgiref.sync import iscoroutinefunction
from django.test import override_settings
from django.test.client import AsyncClient, Client
from django.utils.decorators import sync_and_async_middleware
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sites.django_site import DOOR
from stepping import House
from through import AGES, bearer

from jwt_middleware.frameworks.django.users import sign_in
from jwt_middleware.otel import Telemetry

VERDICT, REASON = "jwt_middleware.verdict", "jwt_middleware.reason"
SPANS = InMemorySpanExporter()
TRACING = TracerProvider()
TRACING.add_span_processor(SimpleSpanProcessor(SPANS))


@sync_and_async_middleware
def traced(get_response: Any) -> Any:
    """A span around each request, as OpenTelemetry's instrumentation puts one in front."""
    tracer = TRACING.get_tracer("django")
    if not iscoroutinefunction(get_response):

        def respond(request: Any) -> Any:
            with tracer.start_as_current_span(request.path):
                return get_response(request)

        return respond

    async def arespond(request: Any) -> Any:
        with tracer.start_as_current_span(request.path):
            return await get_response(request)

    return arespond


class Counts:
    """A project that is watched, and what was counted of it."""

    def __init__(self) -> None:
        self.house = House()
        self._reader = InMemoryMetricReader()
        self.telemetry = Telemetry(session_id=True, meter_provider=MeterProvider([self._reader]))
        self.auth = self.telemetry.watch(self.house.auth)

    def of(self, name: str) -> dict[str, float]:
        data: Any = self._reader.get_metrics_data()
        return {
            "/".join(str(value) for _, value in sorted(point.attributes.items())): point.value
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == f"jwt_middleware.{name}"
            for point in metric.data.data_points
        }


@pytest.fixture
def counts() -> Iterator[Counts]:
    counts = Counts()
    with override_settings(
        ROOT_URLCONF=test_django.URLS.__name__,
        MIDDLEWARE=[f"{__name__}.traced", DOOR],
        JWT_MIDDLEWARE=counts.auth,
    ):
        yield counts


def ask(client: Any, path: str, **more: Any) -> dict[str, Any]:
    """A request; the attributes of its span."""
    SPANS.clear()
    test_django.fetch(client, path, **more)
    (span,) = SPANS.get_finished_spans()
    assert span.name == path
    return dict(span.attributes or {})


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_requests_are_counted_and_told_to_their_span(counts: Counts, kind: Any) -> None:
    """By what was decided, for sync views and async ones, known tokens and reissued ones."""
    client = kind()
    house = counts.house
    for path in ("/authorization", "/admin"):
        assert ask(client, path) == {VERDICT: "anonymous", REASON: "missing"}
    pair = sign_in(client, "alice", {"roles": ["admin"]})
    told = {VERDICT: "valid", "session.id": pair.session_id}
    for path in ("/authorization", "/admin", "/authorization"):
        assert ask(client, path) == told
    house.wait(AGES)
    rotation = {VERDICT: "refresh", "jwt_middleware.rotation": "current"}
    assert ask(client, "/admin") == {**told, **rotation}
    assert counts.of("requests") == {"anonymous": 2, "valid": 3, "refresh": 1}
    assert trace.get_current_span() is trace.INVALID_SPAN


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_refusal_does_not_reach_the_views(counts: Counts, kind: Any) -> None:
    """What the door answers itself is refused, with the reason."""
    counts.auth = counts.telemetry.watch(House(required=True).auth)
    with override_settings(JWT_MIDDLEWARE=counts.auth):
        field = bearer("no.token.atall")[1]
        told = ask(kind(), "/authorization", headers={"authorization": field})
    assert told == {VERDICT: "refused", REASON: "invalid_token"}
    assert counts.of("refusals") == {"invalid_token": 1}
