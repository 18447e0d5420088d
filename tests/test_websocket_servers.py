"""WebSockets on uvicorn and hypercorn, with a real client, over real time and one SQLite file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from real_http import ACCESS, PATIENCE, REFRESH, SECRET, free_port, serving, wait_until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from jwt_middleware import JWTAuth, TokenPair

LIFE = 900
LAG = 1.0
SERVERS = {
    "uvicorn": ["-m", "uvicorn", "--app-dir", "tests", "--ws", "websockets", "--port"],
    "uvicorn with wsproto": ["-m", "uvicorn", "--app-dir", "tests", "--ws", "wsproto", "--port"],
    "hypercorn": [
        *("-m", "hypercorn", "--access-logfile", "-"),
        *("--access-logformat", "%(U)s?%(q)s", "--bind"),
    ],
}


@dataclass
class Place:
    """A server, its log, and another process (this one) that shares its sessions."""

    port: int
    log: Path
    auth: JWTAuth
    ago: float = 0.0

    def issue(self, *, ago: float = 0.0) -> TokenPair:
        """Tokens as they were handed out so many seconds ago."""
        self.ago = ago
        try:
            return self.auth.issue("alice")
        finally:
            self.ago = 0.0

    @contextmanager
    def connected(
        self,
        pair: TokenPair | None = None,
        *,
        origin: str | None = None,
        query: str = "",
    ) -> Iterator[ClientConnection]:
        cookies = f"{ACCESS}={pair.access_token}; {REFRESH}={pair.refresh_token}" if pair else ""
        with connect(
            f"ws://127.0.0.1:{self.port}/talk{query}",
            origin=origin or f"http://127.0.0.1:{self.port}",  # type: ignore[arg-type]
            additional_headers={"Cookie": cookies} if pair else None,
            open_timeout=PATIENCE,
            proxy=None,
        ) as socket:
            yield socket


@pytest.fixture(scope="module", params=SERVERS)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """Each of the servers in turn, in a process of its own."""
    directory = tmp_path_factory.mktemp("sockets")
    store = f"sqlite:///{directory / 'sessions.sqlite3'}"
    port, log = free_port(), directory / "log"
    arguments = SERVERS[request.param]
    last = [str(port)] if "uvicorn" in arguments else [f"127.0.0.1:{port}"]
    app = "websocket_app:app" if "uvicorn" in arguments else "tests/websocket_app.py:app"
    variables = {
        "JWT_COOKIE_SECURE": "false",
        "JWT_REQUIRED": "true",
        "JWT_CHECK_SESSION": f"{LAG:g}",
        "JWT_WEBSOCKET_QUERY_PARAM": "token",
        "JWT_SESSION_STORE": store,
    }
    with serving(*arguments, *last, app, port=port, log=log, variables=variables):
        found = Place(port, log, None)  # type: ignore[arg-type]
        found.auth = JWTAuth(
            secret_key=SECRET, session_store=store, clock=lambda: time.time() - found.ago
        )
        yield found


def ask(socket: ClientConnection) -> str | bytes:
    socket.send("who am I?")
    return socket.recv(PATIENCE)


def closing(socket: ClientConnection) -> tuple[int, str]:
    """The server's close, waited for."""
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv(PATIENCE)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def test_origin_is_judged_before_the_accept(place: Place) -> None:
    """Another site's page with our cookies gets a 403 instead of a connection; ours is let in."""
    # S40, S50
    pair = place.issue()
    with (
        pytest.raises(InvalidStatus) as refused,
        place.connected(pair, origin="https://evil.example"),
    ):
        pass
    assert refused.value.response.status_code == 403
    with place.connected(pair) as socket:
        assert ask(socket) == "alice"
    with pytest.raises(InvalidStatus), place.connected():
        pass


def test_it_is_closed_when_the_token_ends(place: Place) -> None:
    """A connection whose token has two seconds left is closed by 1008 after them."""
    # S50
    pair = place.issue(ago=LIFE - 2)
    with place.connected(pair) as socket:
        assert ask(socket) == "alice"
        assert closing(socket) == (1008, "The access token expired. Connect again.")
    wait_until(lambda: "ended: expired" in place.log.read_text(), "the app's end")


def test_it_is_reissued_on_the_handshake(place: Place) -> None:
    """An expired token comes back new with the accept, and the connection lives on it."""
    # S50
    old = place.issue(ago=LIFE + 1)
    with place.connected(old) as socket:
        assert socket.response is not None
        cookies = dict(
            field.partition(";")[0].split("=", 1)
            for field in socket.response.headers.get_all("Set-Cookie")
        )
        assert set(cookies) == {ACCESS, REFRESH}
        assert cookies[ACCESS] != old.access_token
        assert ask(socket) == "alice"
    (session,) = (one for one in place.auth.sessions("alice") if one.id == old.session_id)
    assert session.generation == 1


def test_a_revocation_is_noticed_within_the_lag(place: Place) -> None:
    """Another process ends the session: long before its token ends the connection is closed."""
    # S46, S50
    pair = place.issue()
    with place.connected(pair) as socket:
        assert ask(socket) == "alice"
        place.auth.revoke(pair.session_id)
        assert closing(socket) == (1008, "The session has ended. Sign in again.")
    wait_until(lambda: "ended: revoked" in place.log.read_text(), "the app's end")


def test_a_token_in_the_query_is_in_no_log(place: Place) -> None:
    """It opens the connection, and the server's own access log has another word for it."""
    # S24, S53
    pair = place.issue()
    with place.connected(query=f"?room=1&token={pair.access_token}") as socket:
        assert ask(socket) == "alice"
    with pytest.raises(InvalidStatus), place.connected(query="?token=forged-in-the-query"):
        pass
    wait_until(lambda: place.log.read_text().count("/talk?") > 1, "the access log")
    written = place.log.read_text()
    assert "/talk?room=1&token=redacted" in written
    assert pair.access_token not in written
    assert "forged-in-the-query" not in written


def test_the_servers_have_nothing_to_complain_about(place: Place) -> None:
    """After all that, no error and no traceback is in the server's log."""
    # S49
    written = place.log.read_text()
    assert "ended: " in written
    for word in ("Traceback", "ERROR", "was never retrieved", "Error"):
        assert word not in written
