"""Database servers that tests need: found, or started for the test and stopped after it."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import DBAPIError
from stores.services import free_port, missing

USUAL = {
    "postgresql": "postgresql+psycopg://root@127.0.0.1:5432/test",
    "mariadb": "mariadb+pymysql://root@127.0.0.1:3306/test",
}
"""Where a server is looked for that the environment does not name."""

VARIABLES = {"postgresql": "JWT_TEST_POSTGRES_URL", "mariadb": "JWT_TEST_MARIADB_URL"}

PATIENCE = 20.0
"""Seconds in which a server has to be up."""

_found: dict[str, str | None] = {}


def database_url(kind: str) -> str:
    """The URL of a ``"postgresql"`` or ``"mariadb"`` with a database to make tables in.

    It may be somebody's: take table names of your own, and drop them.
    """
    if kind not in _found:
        url = os.environ.get(VARIABLES[kind]) or USUAL[kind]
        _found[kind] = url if answers(url) else None
    url = _found[kind]
    return url or missing(f"needs {kind}: start one, and set {VARIABLES[kind]} to its URL")


def answers(url: str) -> bool:
    """Somebody is there, and lets us in."""
    engine = create_engine(url, connect_args={"connect_timeout": 2})
    try:
        engine.connect().close()
    except DBAPIError:
        return False
    finally:
        engine.dispose()
    return True


# ── A line that breaks ────────────────────────────────────────────────────────────


class Proxy:
    """Stands between a client and the server at ``url``, and cuts their line when told to.

    After ``cut_after(b"UPDATE")`` the next client that sends these bytes is cut off: once the
    server has answered them, which nobody gets to see; or, with ``done=False``, before the
    server has seen them. While it is ``frozen`` it takes everything and passes no answer on.
    """

    def __init__(self, url: str) -> None:
        target = make_url(url)
        self._server = (target.host or "127.0.0.1", target.port)
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = target.set(host="127.0.0.1", port=self._door.getsockname()[1])
        self._words = b""
        self._done = True
        self.cuts = 0
        self.delay = 0.0
        """Seconds that each answer takes longer."""
        self._forgotten = 0
        self._flowing = threading.Event()
        self._flowing.set()
        self._lines: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, words: bytes, *, done: bool = True) -> None:
        self._words, self._done = words, done

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self._flowing.clear()
        try:
            yield
        finally:
            self._flowing.set()

    def forget(self) -> None:
        """The lines there are deliver nothing any more; new ones do."""
        self._forgotten = len(self._lines)

    def close(self) -> None:
        for line in [self._door, *self._lines]:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._door.accept()
                server = socket.create_connection(self._server)
                self._lines += [client, server]
                cut = threading.Event()
                for pump in (self._to_server, self._to_client):
                    threading.Thread(target=pump, args=(client, server, cut), daemon=True).start()

    def _to_server(
        self, client: socket.socket, server: socket.socket, cut: threading.Event
    ) -> None:
        with suppress(OSError):
            while sent := client.recv(65536):
                if self._words and self._words in sent:
                    self._words = b""
                    self.cuts += 1
                    cut.set()
                    if not self._done:
                        break
                server.sendall(sent)
        _hang_up(server if not cut.is_set() or self._done else client)

    def _to_client(
        self, client: socket.socket, server: socket.socket, cut: threading.Event
    ) -> None:
        with suppress(OSError):
            while (answer := server.recv(65536)) and not cut.is_set():
                self._flowing.wait(PATIENCE)
                time.sleep(self.delay)
                if self._lines.index(client) >= self._forgotten:
                    client.sendall(answer)
        _hang_up(client)


def _hang_up(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


# ── A PostgreSQL of one's own ─────────────────────────────────────────────────────


class PostgresServer:
    """A private server in ``directory``. Since it refuses to be root, root runs it as ``user``."""

    def __init__(self, directory: Path, user: str | None) -> None:
        self.directory = directory
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._as_whom: dict[str, Any] = {"user": user, "cwd": "/"}
        initdb = [_program("initdb"), "-D", directory, "-U", "tester", "-A", "trust", "--no-sync"]
        subprocess.run(initdb, check=True, timeout=60, stdout=subprocess.DEVNULL, **self._as_whom)

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://tester@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        server = [_program("postgres"), "-D", str(self.directory), "-p", str(self.port)]
        settings = ["-h", "127.0.0.1", "-k", str(self.directory), "-c", "fsync=off"]
        with (self.directory.parent / "postgres.log").open("ab") as log:
            process: Any = subprocess.Popen([*server, *settings], stderr=log, **self._as_whom)
        self.process = process
        until(lambda: answers(self.url))

    def signal(self, number: signal.Signals) -> None:
        """To the server and all its processes, at once."""
        assert self.process is not None
        master = self.process.pid
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        for process in (master, *map(int, children)):
            with suppress(ProcessLookupError):  # one that has just ended by itself
                os.kill(process, number)

    def kill(self) -> None:
        """As a machine that fails: no farewell."""
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait(timeout=PATIENCE)
            self.process = None


def _program(name: str) -> str:
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = str(versions[-1]) if versions else shutil.which(name)
    return found or missing(f"needs {name}: apt install postgresql")


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A private server, as long as the block lasts."""
    user = "postgres" if os.getuid() == 0 else None
    # Not pytest's directory, which nobody else may enter.
    with TemporaryDirectory(prefix="jwt-postgres-", ignore_cleanup_errors=True) as above:
        Path(above).chmod(0o755)
        directory = Path(above, "data")
        directory.mkdir(0o700)
        try:
            if user:
                shutil.chown(directory, user)
        except LookupError:
            missing("PostgreSQL does not run as root, and there is no user postgres to run it")
        server = PostgresServer(directory, user)
        try:
            server.start()
            yield server
        finally:
            server.kill()


def until(condition: Callable[[], object]) -> None:
    """Wait for it to be true."""
    give_up_at = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > give_up_at:
            pytest.fail("it did not happen in time")
        time.sleep(0.02)
