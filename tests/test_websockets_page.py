"""docs/websockets.md, held to its word: its app is run, and ends as it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from stepping import SECRET

from jwt_middleware.connections import CHECK_EVERY
from jwt_middleware.settings import Settings

PAGE = (Path(__file__).parents[1] / "docs" / "websockets.md").read_text("utf-8")


def test_its_app_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """It talks to who is signed in until the session ends, and to nobody else."""
    # S50
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.setenv("JWT_SESSION_STORE", "memory://")
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        exec(compile(block, "docs/websockets.md", "exec"), names)  # noqa: S102  # our own page
    app = names["app"]
    client = TestClient(app, base_url="https://testserver")
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/chat"):
        pass
    pair = app.auth.issue("alice")
    client.cookies.set("__Host-access_token", pair.access_token)
    with client.websocket_connect("/chat") as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "alice: hello"
        app.auth.revoke(pair.session_id)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert (closed.value.code, closed.value.reason) == (
        1008,
        "The session has ended. Sign in again.",
    )


def test_its_figures_are_ours() -> None:
    """Settings it names exist, and the interval is the code's."""
    named = set(re.findall(r"`(websocket_\w+)", PAGE))
    assert named == {name for name in vars(Settings)["__annotations__"] if "websocket" in name}
    assert f"every {CHECK_EVERY:g} seconds" in PAGE
