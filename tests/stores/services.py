"""Servers that tests need: found, or started for the test and stopped after it.

A private server is one process on a free port of the loopback, told apart by its process
id. ``REQUIRE_SERVICES=1`` makes a service that cannot be had a failure instead of a skip.
"""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
import redis

USUAL_REDIS = "redis://127.0.0.1:6379/15"
"""The last of the databases a server has unless told otherwise: nobody's, most likely."""

PATIENCE = 20.0
"""Seconds in which a server has to be up."""


def missing(service: str) -> NoReturn:
    """Skip the test, with a line that says how to have the service; or fail it."""
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(service)
    pytest.skip(service)


@contextmanager
def one_crowd_at_a_time() -> Iterator[None]:
    """For tests that open dozens of connections: a database has a hundred, and the workers of a
    run, each in a process of its own, use the same ones."""
    with Path(tempfile.gettempdir(), "jwt-tests-crowd.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


class RedisServer:
    """A `redis-server` of our own, in ``directory``, where it keeps its log of commands."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> "RedisServer":
        program = shutil.which("redis-server")
        if program is None:
            missing("needs redis-server: apt install redis-server")
        self.directory.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [
                program,
                *("--bind", "127.0.0.1", "--port", str(self.port), "--save", ""),
                *("--dir", str(self.directory), "--logfile", "redis.log"),
                *self.options,
            ],
            stdout=subprocess.DEVNULL,
        )
        self._await()
        return self

    def _await(self) -> None:
        give_up_at = time.monotonic() + PATIENCE
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as line:
                    line.sendall(b"PING\r\n")
                    if line.recv(100)[:5] in {b"+PONG", b"-NOAU"}:
                        return
            except OSError:
                pass
            if time.monotonic() > give_up_at or (self.process and self.process.poll() is not None):
                log = (self.directory / "redis.log").read_text()
                raise RuntimeError(f"redis-server did not come up:\n{log}")
            time.sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> None:
        """Kill it; nothing it holds is worth a farewell."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=PATIENCE)
            self.process = None


@contextmanager
def redis_server(directory: Path, *options: str) -> Iterator[RedisServer]:
    """A private server, as long as the block lasts."""
    server = RedisServer(directory, *options)
    try:
        yield server.start()
    finally:
        server.stop()


@contextmanager
def redis_url(directory: Path) -> Iterator[str]:
    """A Redis to use: JWT_TEST_REDIS_URL, else the one at the usual port, else a private one.

    It may be somebody's: use keys with a prefix of your own.
    """
    given = os.environ.get("JWT_TEST_REDIS_URL")
    if given or answers(USUAL_REDIS):
        yield given or USUAL_REDIS
    else:
        with redis_server(directory) as server:
            yield server.url


def answers(url: str) -> bool:
    with redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


@contextmanager
def redis_cluster(directory: Path) -> Iterator[str]:
    """The URL of a Cluster of three masters, as long as the block lasts."""
    with redis_nodes(directory) as nodes:
        yield cluster_url(nodes)


@contextmanager
def redis_nodes(directory: Path) -> Iterator[list[RedisServer]]:
    """The nodes of a Cluster of three masters, as long as the block lasts."""
    buses = [str(free_port()) for _ in range(3)]
    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                redis_server(directory / bus, "--cluster-enabled", "yes", "--cluster-port", bus)
            )
            for bus in buses
        ]
        clients = [stack.enter_context(redis.Redis(port=server.port)) for server in servers]
        share = 16384 // 3 + 1
        for number, client in enumerate(clients):
            first, last = number * share, min((number + 1) * share, 16384) - 1
            client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for server, bus in zip(servers[1:], buses[1:], strict=True):
            clients[0].execute_command("CLUSTER MEET", "127.0.0.1", server.port, bus)
        give_up_at = time.monotonic() + PATIENCE
        while not all(agrees(client) for client in clients):
            if time.monotonic() > give_up_at:
                raise RuntimeError("the Cluster did not come together")
            time.sleep(0.02)
        yield servers


def cluster_url(servers: list[RedisServer]) -> str:
    """One node is named, the others are found by it."""
    return servers[0].url.replace("redis://", "redis+cluster://")


def agrees(client: redis.Redis) -> bool:
    """This node knows all three, and who has which slots."""
    state: Any = client.execute_command("CLUSTER INFO")
    slots: Any = client.execute_command("CLUSTER SLOTS")
    return state["cluster_state"] == "ok" and len(slots) == 3
