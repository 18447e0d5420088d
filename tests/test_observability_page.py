"""docs/observability.md, held to its word: its snippets run, and count what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from stepping import SECRET

from jwt_middleware.otel import Telemetry

PAGE = (Path(__file__).parents[1] / "docs" / "observability.md").read_text("utf-8")
OPENTELEMETRY, PROMETHEUS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the settings of the page are read from."""
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.setenv("JWT_SESSION_STORE", "memory://")


def run(snippet: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(snippet, "docs/observability.md", "exec"), names)  # noqa: S102  # our own page
    return names


def test_opentelemetry_is_set_up() -> None:
    """Its `JWTAuth` is watched, and signs people in as before."""
    names = run(OPENTELEMETRY)
    assert isinstance(names["telemetry"], Telemetry)
    assert names["auth"].issue("alice").session_id
    assert type(names["auth"].flow).__name__ == "_WatchedFlow"


def test_prometheus_counts() -> None:
    """A login is an event in the registry, and the cache is asked when it is scraped."""
    names = run(PROMETHEUS)
    names["auth"].issue("alice")
    value = REGISTRY.get_sample_value
    assert value("jwt_events_total", {"event": "login", "reason": ""}) == 1
    for result in ("hit", "miss"):
        assert value("jwt_token_cache_total", {"result": result}) == 0
