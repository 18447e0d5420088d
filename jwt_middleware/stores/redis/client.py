"""Where Redis is: an address that connections are made for, or the client of somebody else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

import redis.asyncio
from redis import Connection, ConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from jwt_middleware.errors import ConfigurationError
from jwt_middleware.stores import check_store
from jwt_middleware.stores.deadline import Deadline

Client: TypeAlias = Redis | RedisCluster
AsyncClient: TypeAlias = redis.asyncio.Redis | redis.asyncio.RedisCluster

Untyped: TypeAlias = Any
"""A client, to us: half of what redis-py says of its own types is unknown."""

SHARE = 0.5
"""Of what is left, how much one wait for a node of a Cluster may take: another is to be asked then,
where the slots are now."""

T = TypeVar("T")


class Address(NamedTuple):
    """What connections are made for."""

    url: str
    """As redis-py reads it."""
    cluster: bool


def source_of(client_or_url: T | str) -> T | Address:
    """Where connections come from: the client given, or the address to make one for.

    Raises `ConfigurationError`, which never quotes the URL: it may hold a password.
    """
    if not isinstance(client_or_url, str):
        return client_or_url
    scheme, _, rest = client_or_url.partition("://")
    family, _, kind = scheme.lower().partition("+")
    fault = check_store(client_or_url)
    if fault is None and family not in {"redis", "rediss"}:
        fault = "the store for Redis needs a URL that begins with redis: or rediss:"
    if fault is not None:
        raise ConfigurationError(fault)
    address = Address(f"{family}://{rest}", kind == "cluster")
    single: Untyped = Redis
    try:
        single.from_url(address.url)  # connects to nothing, and reads the options
    except ValueError:
        raise ConfigurationError("session_store: an option of the Redis URL is wrong") from None
    return address


def connect(address: Address, deadline: Deadline) -> Client:
    """A client for programs without an event loop. No wait of it is longer than is left."""
    options = _options(deadline.left())
    pool: Untyped = _pool_that_heeds(deadline)
    redis_client, cluster_client = cast(Any, Redis), cast(Any, RedisCluster)
    retry = Retry(NoBackoff(), 0)
    opened: Client = (
        cluster_client.from_url(address.url, connection_pool_class=pool, retry=retry, **options)
        if address.cluster
        else redis_client.from_pool(pool.from_url(address.url, retry=retry, **options))
    )
    return opened


def connect_async(address: Address, timeout: float) -> AsyncClient:
    """A client for programs with an event loop, whose verbs end after ``timeout`` seconds."""
    timeout *= SHARE if address.cluster else 1.0
    kind: Untyped = redis.asyncio.RedisCluster if address.cluster else redis.asyncio.Redis
    opened: AsyncClient = kind.from_url(
        address.url, retry=AsyncRetry(NoBackoff(), 0), **_options(timeout)
    )
    return opened


def _options(timeout: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        # With version 3, redis-py expects the server to push news, and so no longer sees
        # that an idle connection has been closed: each would fail once after a restart.
        "protocol": 2,
    }


def _pool_that_heeds(deadline: Deadline) -> type[ConnectionPool]:
    """A pool, whatever the kind of its connections, whose waits end with the verb."""

    class Pool(ConnectionPool):
        def __init__(self, connection_class: Untyped = Connection, **options: Any) -> None:
            heeding = _connection_that_heeds(connection_class, deadline)
            parent: Untyped = super()
            parent.__init__(connection_class=heeding, **options)

    return Pool


def _connection_that_heeds(kind: Untyped, deadline: Deadline) -> type:
    """redis-py sets a socket's timeout once. Here it is what is left, before each command."""

    class Heeding(kind):  # type: ignore[misc]  # a class that is known when it runs
        @property
        def socket_timeout(self) -> float:
            return deadline.left()

        @socket_timeout.setter
        def socket_timeout(self, value: object) -> None:
            pass

        @property
        def socket_connect_timeout(self) -> float:
            return deadline.left()

        @socket_connect_timeout.setter
        def socket_connect_timeout(self, value: object) -> None:
            pass

        def send_packed_command(self, *arguments: Any, **options: Any) -> None:
            if self._sock is not None:
                self._sock.settimeout(deadline.left())
            parent: Untyped = super()
            parent.send_packed_command(*arguments, **options)

    return Heeding


def hang_up(client: Client) -> None:
    """Close a client that was made here, and all its connections."""
    untyped: Untyped = client
    if isinstance(client, RedisCluster):
        untyped.disconnect_connection_pools()  # `close` leaves those made from a URL open
    untyped.close()


def on_the_wire(keys: Sequence[str], arguments: Sequence[str]) -> list[bytes]:
    """Keys and arguments as UTF-8, whatever a client given to us would make of a str."""
    return [part.encode() for part in (*keys, *arguments)]
