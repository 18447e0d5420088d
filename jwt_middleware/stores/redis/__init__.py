"""Sessions in Redis, or in a Redis Cluster: for several machines.

From the top down: `sync_store` and `async_store`, one that waits and one that is awaited, with
what `client` knows of addresses and limits; `verbs`, written once for both, as generators that
yield scripts to run and do no I/O; `scripts`, each one atomic step inside the server; and
`row`, as text.

A session id begins with the routing tag of its subject, and Redis Cluster places a key by
what stands in its braces. So all keys of a subject lie together, and one script may change
them all::

    jwt:{tag}:s:<session id>   hash: the row
    jwt:{tag}:i:<subject>      sorted set: the ids of its sessions, by absolute expiry
    jwt:{tag}:e:<subject>      hash: its epoch, what log-out-everywhere leaves behind

Redis forgets by itself what is long past. It must forget nothing else: have it run with
``maxmemory-policy noeviction`` and ``appendonly yes``. Replicas follow behind, so a failover
may lose the last writes: a client then shows a refresh token ahead of its row, which is
accepted, or a logout is forgotten. ``min-replicas-to-write`` narrows that.
"""

from __future__ import annotations

from importlib.util import find_spec

from jwt_middleware.errors import ConfigurationError

if find_spec("redis") is None:
    raise ConfigurationError(
        'sessions in Redis need redis-py: pip install "jwt-session-middleware[redis]"'
    )

from jwt_middleware.stores.redis.async_store import AsyncRedisSessionStore
from jwt_middleware.stores.redis.sync_store import RedisSessionStore

__all__ = ["AsyncRedisSessionStore", "RedisSessionStore"]
