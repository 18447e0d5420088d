"""Sessions in Redis, or in a Redis Cluster: for several machines.

Four ideas, from the top down: the two stores, one that waits and one that is awaited; the
verbs, written once for both, as generators that yield scripts to run and do no I/O; the
scripts, each one atomic step inside the server; and the row, as text.

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

import asyncio
import json
import os
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from hashlib import sha1
from typing import Any, ClassVar, NamedTuple, TypeAlias, TypeVar

from jwt_middleware.errors import ConfigurationError
from jwt_middleware.sessions import TAG_LENGTH, Rotation, Session, routing_tag
from jwt_middleware.stores import check_store

try:
    import redis.asyncio
    from redis import Redis, RedisCluster
    from redis.asyncio.retry import Retry as AsyncRetry
    from redis.backoff import NoBackoff
    from redis.exceptions import NoScriptError
    from redis.retry import Retry
except ImportError as missing:
    raise ConfigurationError(
        'sessions in Redis need redis-py: pip install "jwt-session-middleware[redis]"'
    ) from missing

Client: TypeAlias = Redis | RedisCluster
AsyncClient: TypeAlias = redis.asyncio.Redis | redis.asyncio.RedisCluster

_Untyped: TypeAlias = Any
"""A client, to us: half of what redis-py says of its own types is unknown."""

T = TypeVar("T")

SLACK = 3600.0
"""Seconds a key outlives its use: clocks differ, and reuse is to stay visible to the end."""

LONGEST = 3660 * 86400.0
"""Seconds after which Redis forgets whatever it was given: it refuses times without end."""

PAGE = 1000
"""Keys a purge has the server look at in one step."""

_TAG = re.compile(f"[A-Za-z0-9_-]{{{TAG_LENGTH}}}", re.ASCII)
"""What :func:`~jwt_middleware.sessions.routing_tag` makes: never a brace."""


# ── The stores ────────────────────────────────────────────────────────────────────


class RedisSessionStore:
    """Sessions in Redis, for programs without an event loop.

    ``client_or_url`` is ``redis://user:password@host:port/database``, ``rediss://`` for TLS,
    ``redis+cluster://`` or ``rediss+cluster://`` for any one node of a Cluster; or a client
    of redis-py, which is used as it is, and never closed. All keys begin with ``prefix``.

    ``timeout`` is how many seconds each wait may take, for a connection or for an answer.
    Nothing is tried twice: a write whose answer was lost may well have happened, and it is
    the table of :mod:`jwt_middleware.rotation` that knows how to go on from there.

    The first verb connects, anew in each process, so that no connection crosses a fork. A
    replica is never read: scripts run on primaries.
    """

    expires_by_itself: ClassVar[bool] = True
    """Redis lets go of what is past: no request purges on the side."""

    def __init__(
        self, client_or_url: Client | str, *, prefix: str = "jwt:", timeout: float = 2.0
    ) -> None:
        self._verbs = _Verbs(prefix)
        self._source = _source(client_or_url)
        self._timeout = timeout
        self._clients: dict[int, Client] = {}

    def create(self, session: Session, *, ends: Sequence[str] = (), now: float) -> Session:
        return self._run(self._verbs.create(session, ends, now))

    def load(self, session_id: str, *, now: float) -> Session | None:  # noqa: ARG002  # protocol
        return self._run(self._verbs.load(session_id))

    def rotate(
        self,
        session_id: str,
        *,
        expected: int,
        generation: int,
        rotated_at: float,
        expires_at: float,
        confirmed: int,
        claims: Mapping[str, Any] | None = None,
        now: float,
    ) -> Rotation:
        swap = _Swap(expected, generation, rotated_at, expires_at, confirmed, claims, now)
        return self._run(self._verbs.rotate(session_id, swap))

    def confirm(self, session_id: str, *, generation: int, now: float) -> None:
        self._run(self._verbs.confirm(session_id, generation, now))

    def update(
        self,
        session_id: str,
        claims: Mapping[str, Any],
        *,
        now: float,  # noqa: ARG002  # protocol
    ) -> Session | None:
        return self._run(self._verbs.update(session_id, claims))

    def revoke(self, session_id: str, *, reason: str, now: float) -> bool:
        return self._run(self._verbs.revoke(session_id, reason, now))

    def revoke_subject(
        self, subject: str, *, reason: str, keep: str | None = None, until: float, now: float
    ) -> list[str]:
        return self._run(self._verbs.revoke_subject(subject, reason, keep, until, now))

    def find(self, subject: str, *, now: float) -> list[Session]:
        return self._run(self._verbs.find(subject, now))

    def purge(self, before: float, *, limit: int = 1000) -> int:
        """Walk over all keys: rarely worth it, since Redis lets them go by itself."""
        gone = 0
        for key in self._client().scan_iter(match=self._verbs.of_subjects, count=PAGE):
            if gone == limit:
                break
            gone += self._run(self._verbs.purge(key, before, limit - gone))
        return gone

    def close(self) -> None:
        client = self._clients.pop(os.getpid(), None)
        if client is not None:
            _hang_up(client)

    def _run(self, steps: Steps[T]) -> T:
        reply = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as outcome:
                return outcome.value  # type: ignore[no-any-return]  # a generator's return is Any
            reply = self._ask(*step)

    def _ask(self, script: _Script, keys: Sequence[str], arguments: Sequence[str]) -> Any:
        client, wire = self._client(), _wire(keys, arguments)
        try:
            return client.evalsha(script.digest, len(keys), *wire)
        except NoScriptError:  # a server that has just started: it keeps the script from now on
            return client.eval(script.text, len(keys), *wire)

    def _client(self) -> _Untyped:
        if not isinstance(self._source, _Address):
            return self._source
        here = os.getpid()
        client = self._clients.get(here)
        if client is None:
            # No lock: while a server is away, threads would wait for each other's timeouts.
            opened = self._open(self._source)
            client = self._clients.setdefault(here, opened)
            if client is not opened:
                _hang_up(opened)
        return client

    def _open(self, address: _Address) -> Client:
        kind: _Untyped = RedisCluster if address.cluster else Redis
        opened: Client = kind.from_url(
            address.url, retry=Retry(NoBackoff(), 0), **_limits(self._timeout)
        )
        return opened


class AsyncRedisSessionStore:
    """Sessions in Redis, for programs with an event loop: `RedisSessionStore`, to be awaited.

    A connection belongs to the event loop it was made in, so each loop has its own, and
    ``close`` closes those of the loop it is called in.
    """

    expires_by_itself: ClassVar[bool] = True
    """Redis lets go of what is past: no request purges on the side."""

    def __init__(
        self, client_or_url: AsyncClient | str, *, prefix: str = "jwt:", timeout: float = 2.0
    ) -> None:
        self._verbs = _Verbs(prefix)
        self._source = _source(client_or_url)
        self._timeout = timeout
        self._clients: dict[asyncio.AbstractEventLoop, AsyncClient] = {}

    async def create(self, session: Session, *, ends: Sequence[str] = (), now: float) -> Session:
        return await self._run(self._verbs.create(session, ends, now))

    async def load(self, session_id: str, *, now: float) -> Session | None:  # noqa: ARG002  # protocol
        return await self._run(self._verbs.load(session_id))

    async def rotate(
        self,
        session_id: str,
        *,
        expected: int,
        generation: int,
        rotated_at: float,
        expires_at: float,
        confirmed: int,
        claims: Mapping[str, Any] | None = None,
        now: float,
    ) -> Rotation:
        swap = _Swap(expected, generation, rotated_at, expires_at, confirmed, claims, now)
        return await self._run(self._verbs.rotate(session_id, swap))

    async def confirm(self, session_id: str, *, generation: int, now: float) -> None:
        await self._run(self._verbs.confirm(session_id, generation, now))

    async def update(
        self,
        session_id: str,
        claims: Mapping[str, Any],
        *,
        now: float,  # noqa: ARG002  # protocol
    ) -> Session | None:
        return await self._run(self._verbs.update(session_id, claims))

    async def revoke(self, session_id: str, *, reason: str, now: float) -> bool:
        return await self._run(self._verbs.revoke(session_id, reason, now))

    async def revoke_subject(
        self, subject: str, *, reason: str, keep: str | None = None, until: float, now: float
    ) -> list[str]:
        return await self._run(self._verbs.revoke_subject(subject, reason, keep, until, now))

    async def find(self, subject: str, *, now: float) -> list[Session]:
        return await self._run(self._verbs.find(subject, now))

    async def purge(self, before: float, *, limit: int = 1000) -> int:
        """Walk over all keys: rarely worth it, since Redis lets them go by itself."""
        gone = 0
        async for key in self._client().scan_iter(match=self._verbs.of_subjects, count=PAGE):
            if gone == limit:
                break
            gone += await self._run(self._verbs.purge(key, before, limit - gone))
        return gone

    async def close(self) -> None:
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    async def _run(self, steps: Steps[T]) -> T:
        reply = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as outcome:
                return outcome.value  # type: ignore[no-any-return]  # a generator's return is Any
            reply = await self._ask(*step)

    async def _ask(self, script: _Script, keys: Sequence[str], arguments: Sequence[str]) -> Any:
        # A client of a Cluster that has to find its nodes does so while it is used, and then
        # hangs up on its other users: each waits until that is done (redis-py issue 3935).
        client = await self._client().initialize()
        wire = _wire(keys, arguments)
        try:
            return await client.evalsha(script.digest, len(keys), *wire)
        except NoScriptError:
            return await client.eval(script.text, len(keys), *wire)

    def _client(self) -> _Untyped:
        if not isinstance(self._source, _Address):
            return self._source
        here = asyncio.get_running_loop()
        client = self._clients.get(here)
        if client is None:
            for loop in [loop for loop in self._clients if loop.is_closed()]:
                del self._clients[loop]
            client = self._clients[here] = self._open(self._source)
        return client

    def _open(self, address: _Address) -> AsyncClient:
        kind: _Untyped = redis.asyncio.RedisCluster if address.cluster else redis.asyncio.Redis
        opened: AsyncClient = kind.from_url(
            address.url, retry=AsyncRetry(NoBackoff(), 0), **_limits(self._timeout)
        )
        return opened


# ── Where Redis is ────────────────────────────────────────────────────────────────


class _Address(NamedTuple):
    url: str
    """As redis-py reads it."""
    cluster: bool


def _source(client_or_url: T | str) -> T | _Address:
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
    address = _Address(f"{family}://{rest}", kind == "cluster")
    single: _Untyped = Redis
    try:
        single.from_url(address.url)  # connects to nothing, and reads the options
    except ValueError:
        raise ConfigurationError("session_store: an option of the Redis URL is wrong") from None
    return address


def _limits(timeout: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        # With version 3, redis-py expects the server to push news, and so no longer sees
        # that an idle connection has been closed: each would fail once after a restart.
        "protocol": 2,
    }


def _hang_up(client: Client) -> None:
    untyped: _Untyped = client
    if isinstance(client, RedisCluster):
        untyped.disconnect_connection_pools()  # `close` leaves those made from a URL open
    untyped.close()


def _wire(keys: Sequence[str], arguments: Sequence[str]) -> list[bytes]:
    """Keys and arguments as UTF-8, whatever a client given to us would make of a str."""
    return [part.encode() for part in (*keys, *arguments)]


# ── The verbs: what is asked of Redis, and what the answers mean ──────────────────
#
# A session whose id does not carry its subject's tag (an imported one) lies with its subject
# all the same. Where its id points there is then a hash with one field, `home`: the tag under
# which to ask again.


class _Step(NamedTuple):
    """One script to be run."""

    script: _Script
    keys: Sequence[str]
    arguments: Sequence[str]


Steps: TypeAlias = Generator[_Step, Any, T]
"""A generator that yields scripts, is sent their replies, and in the end returns a ``T``."""


class _Swap(NamedTuple):
    expected: int
    generation: int
    rotated_at: float
    expires_at: float
    confirmed: int
    claims: Mapping[str, Any] | None
    now: float


class _Verbs:
    """The verbs of a session store, for keys that begin with ``prefix``."""

    def __init__(self, prefix: str) -> None:
        if set(prefix) & set("{}"):
            raise ConfigurationError("the prefix of the keys in Redis cannot hold a brace")
        self._prefix = prefix
        literal = "".join(f"\\{char}" if char in "*?[]\\" else char for char in prefix)
        self.of_subjects = literal + "{" + "?" * TAG_LENGTH + "}:[ie]:*"
        """The pattern of the keys to purge: everything there is about a subject."""

    def create(self, session: Session, ends: Sequence[str], now: float) -> Steps[Session]:
        home = routing_tag(session.subject)
        lifetime = _milliseconds(session.absolute_expires_at - now)
        if _tag(session.id) != home:
            claim = yield _Step(_CLAIM, [self._row(_tag(session.id), session.id)], [home, lifetime])
            _check_new(claim)
        beside = [ended for ended in ends if _tag(ended) == home]
        keys = [self._row(home, session.id), *self._about(session.subject)]
        keys += [self._row(home, ended) for ended in beside]
        settled, row, ended = yield _Step(
            _CREATE, keys, [self._rows(home), lifetime, _number(now), *_fields(session)]
        )
        _check_new(settled)
        # One session that ends, of the same subject, is the usual case and done by now. Those
        # in other slots cannot be reached by the same script: each is ended by one of its own.
        if ended < len(ends):
            for other in ends:
                yield from self.revoke(other, "replaced", now)
        return _sure(row)

    def load(self, session_id: str) -> Steps[Session | None]:
        _, session = yield from self._of(session_id, _LOAD)
        return session

    def rotate(self, session_id: str, swap: _Swap) -> Steps[Rotation]:
        won, session = yield from self._of(
            session_id,
            _ROTATE,
            str(swap.expected),
            str(swap.generation),
            _number(swap.rotated_at),
            _number(swap.expires_at),
            str(swap.confirmed),
            "" if swap.claims is None else _json(swap.claims),
            _number(swap.now),
        )
        return Rotation(session, won)

    def confirm(self, session_id: str, generation: int, now: float) -> Steps[None]:
        yield from self._of(session_id, _CONFIRM, str(generation), _number(now))

    def update(self, session_id: str, claims: Mapping[str, Any]) -> Steps[Session | None]:
        _, session = yield from self._of(session_id, _UPDATE, _json(claims))
        return session

    def revoke(self, session_id: str, reason: str, now: float) -> Steps[bool]:
        done, _ = yield from self._of(session_id, _REVOKE, reason, _number(now))
        return done

    def revoke_subject(
        self, subject: str, reason: str, keep: str | None, until: float, now: float
    ) -> Steps[list[str]]:
        epoch = [_number(now), keep or "", _number(until), reason]
        rows = self._rows(routing_tag(subject))
        ended = yield _Step(
            _REVOKE_SUBJECT,
            self._about(subject),
            [rows, _milliseconds(until - now), *epoch],
        )
        return [_text(session_id) for session_id in ended]

    def find(self, subject: str, now: float) -> Steps[list[Session]]:
        rows = self._rows(routing_tag(subject))
        found = yield _Step(_FIND, self._about(subject), [rows, _number(now)])
        return sorted(map(_sure, found), key=lambda row: row.created_at, reverse=True)

    def purge(self, key: str | bytes, before: float, limit: int) -> Steps[int]:
        """Purge what one of the keys ``of_subjects`` is about; answers how many rows went.

        The addresses of sessions that lie elsewhere are left to Redis.
        """
        subject = _text(key)[len(self._prefix) + TAG_LENGTH + len("{}:i:") :]
        rows = self._rows(routing_tag(subject))
        gone: int = yield _Step(_PURGE, self._about(subject), [rows, _number(before), str(limit)])
        return gone

    def _of(
        self, session_id: str, script: _Script, *arguments: str
    ) -> Steps[tuple[bool, Session | None]]:
        """Run a script on one row: whether it did what it is for, and the row after it."""
        done, row = yield _Step(script, [self._row(_tag(session_id), session_id)], arguments)
        *_, home = row
        if home is not None:
            done, row = yield _Step(script, [self._row(_text(home), session_id)], arguments)
        return bool(done), _session(row)

    def _row(self, tag: str, session_id: str) -> str:
        return self._rows(tag) + session_id

    def _rows(self, tag: str) -> str:
        return f"{self._prefix}{{{tag}}}:s:"

    def _about(self, subject: str) -> list[str]:
        place = f"{self._prefix}{{{routing_tag(subject)}}}"
        return [f"{place}:i:{subject}", f"{place}:e:{subject}"]


def _tag(session_id: str) -> str:
    """The routing tag in front of an id; an id too odd to have one is given one."""
    tag = session_id[:TAG_LENGTH]
    return tag if _TAG.fullmatch(tag) else routing_tag(session_id)


def _check_new(settled: int) -> None:
    if not settled:
        raise ValueError("a session with this id is stored already")


def _milliseconds(seconds: float) -> str:
    """How long Redis keeps what is in use for so many seconds.

    Counted from now, whatever the caller's clock says, and never from the server's clock.
    """
    return str(int((min(max(seconds, 0.0), LONGEST) + SLACK) * 1000))


# ── The scripts ───────────────────────────────────────────────────────────────────
#
# Numbers travel as text, are compared as numbers, and are stored and answered as the text
# that came: what Lua would print of a time has lost digits.
#
# Where a script reaches rows through the index, their names are put together in Lua, from
# `rows`. They are not announced as KEYS, but lie in the slot of those that are.


class _Script(NamedTuple):
    text: str
    digest: str
    """By which the server knows a script it has run before."""


class _Kind(NamedTuple):
    """How a field is written, and how it is read again."""

    write: Callable[[Any], str]
    read: Callable[[str], Any]


def _number(value: float) -> str:
    """To the last bit: ``float`` reads the same again, and so does Lua."""
    return repr(float(value))


def _flag(value: bool) -> str:
    return str(int(value))


def _is_set(text: str) -> bool:
    return text == "1"


def _json(claims: Mapping[str, Any]) -> str:
    return json.dumps(dict(claims), separators=(",", ":"), allow_nan=False)


_STRING = _Kind(str, str)
_TIME = _Kind(_number, float)
_COUNT = _Kind(str, int)
_FLAG = _Kind(_flag, _is_set)
_CLAIMS = _Kind(_json, json.loads)

_FIELDS = {
    "id": _STRING,
    "subject": _STRING,
    "claims": _CLAIMS,
    "persistent": _FLAG,
    "created_at": _TIME,
    "rotated_at": _TIME,
    "expires_at": _TIME,
    "absolute_expires_at": _TIME,
    "refresh_salt": _STRING,
    "generation": _COUNT,
    "confirmed_generation": _COUNT,
    "confirmed_at": _TIME,
    "last_seen_at": _TIME,
    "revoked_at": _TIME,
    "revoked_reason": _STRING,
    "user_agent": _STRING,
    "address": _STRING,
}
"""The fields of a row, in the order scripts answer them. What is None is not stored."""

_SHARED = f"""
-- A row: every field, and `home`.
local function row(key)
    return redis.call('HMGET', key, {", ".join(map(repr, _FIELDS))}, 'home')
end

-- There is a row, and it has not ended.
local function open(key)
    return redis.call('HEXISTS', key, 'id') == 1 and redis.call('HEXISTS', key, 'revoked_at') == 0
end

-- End it: 1 for the one call that did.
local function finish(key, reason, now)
    if not open(key) then return 0 end
    redis.call('HSET', key, 'revoked_at', now, 'revoked_reason', reason)
    return 1
end
"""


def _script(body: str) -> _Script:
    text = _SHARED + body
    return _Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


_CLAIM = _script("""
-- An id that does not carry its subject's tag: leave the address of its row. 1 if it is free.
local key, home, lifetime = KEYS[1], ARGV[1], ARGV[2]
local other = redis.call('HGET', key, 'home')
if redis.call('HEXISTS', key, 'id') == 1 or (other and other ~= home) then return 0 end
redis.call('HSET', key, 'home', home)
redis.call('PEXPIRE', key, lifetime)
return 1
""")

_CREATE = _script("""
local key, index, epoch = KEYS[1], KEYS[2], KEYS[3]
local rows, lifetime, now = ARGV[1], ARGV[2], ARGV[3]
if redis.call('EXISTS', key) == 1 then return {0, {}, 0} end

local ended = 0
for number = 4, #KEYS do
    ended = ended + finish(KEYS[number], 'replaced', now)
end

redis.call('HSET', key, unpack(ARGV, 4))
redis.call('PEXPIRE', key, lifetime)

local fields = redis.call('HMGET', key, 'id', 'created_at', 'absolute_expires_at')
local id, began, over = unpack(fields)
local at, keep, reason = unpack(redis.call('HMGET', epoch, 'at', 'keep', 'reason'))
if at and keep ~= id and tonumber(began) <= tonumber(at) then
    finish(key, reason, at)
end

-- Rows end by themselves, their ids in the index do not: each login clears some away.
for _, oldest in ipairs(redis.call('ZRANGE', index, 0, 9)) do
    if redis.call('EXISTS', rows .. oldest) == 0 then redis.call('ZREM', index, oldest) end
end
redis.call('ZADD', index, over, id)
if redis.call('PTTL', index) < tonumber(lifetime) then
    redis.call('PEXPIRE', index, lifetime)
end
return {1, row(key), ended}
""")

_LOAD = _script("""
return {1, row(KEYS[1])}
""")

_ROTATE = _script("""
local key = KEYS[1]
local expected, generation, rotated_at, expires_at, confirmed, claims, now = unpack(ARGV)
if not open(key) or redis.call('HGET', key, 'generation') ~= expected then
    return {0, row(key)}
end
redis.call('HSET', key, 'generation', generation, 'rotated_at', rotated_at,
    'expires_at', expires_at, 'last_seen_at', now)
if claims ~= '' then
    redis.call('HSET', key, 'claims', claims)
end
if tonumber(confirmed) > tonumber(redis.call('HGET', key, 'confirmed_generation')) then
    redis.call('HSET', key, 'confirmed_generation', confirmed, 'confirmed_at', now)
end
return {1, row(key)}
""")

_CONFIRM = _script("""
local key, generation, now = KEYS[1], ARGV[1], ARGV[2]
if open(key) and redis.call('HGET', key, 'generation') == generation
    and tonumber(redis.call('HGET', key, 'confirmed_generation')) < tonumber(generation)
then
    redis.call('HSET', key, 'confirmed_generation', generation, 'confirmed_at', now,
        'last_seen_at', now)
end
return {1, row(key)}
""")

_UPDATE = _script("""
local key, claims = KEYS[1], ARGV[1]
if open(key) then
    redis.call('HSET', key, 'claims', claims)
end
return {1, row(key)}
""")

_REVOKE = _script("""
local key, reason, now = KEYS[1], ARGV[1], ARGV[2]
return {finish(key, reason, now), row(key)}
""")

_REVOKE_SUBJECT = _script("""
local index, epoch = KEYS[1], KEYS[2]
local rows, lifetime, now, keep, till, reason = unpack(ARGV)
local known = redis.call('HGET', epoch, 'at')
if not known or tonumber(now) >= tonumber(known) then
    redis.call('HSET', epoch, 'at', now, 'keep', keep, 'until', till, 'reason', reason)
    redis.call('PEXPIRE', epoch, lifetime)
end
local ended = {}
for _, id in ipairs(redis.call('ZRANGE', index, 0, -1)) do
    if id ~= keep and finish(rows .. id, reason, now) == 1 then
        ended[#ended + 1] = id
    end
end
return ended
""")

_FIND = _script("""
local index, rows, now = KEYS[1], ARGV[1], ARGV[2]
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', index, '(' .. now, '+inf')) do
    local key = rows .. id
    if open(key) and tonumber(redis.call('HGET', key, 'expires_at')) > tonumber(now) then
        found[#found + 1] = row(key)
    end
end
return found
""")

_PURGE = _script("""
local index, epoch = KEYS[1], KEYS[2]
local rows, before, limit = unpack(ARGV)
local till = redis.call('HGET', epoch, 'until')
if till and tonumber(till) <= tonumber(before) then
    redis.call('DEL', epoch)
end
local gone = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', before, 'LIMIT', 0, limit)) do
    gone = gone + redis.call('DEL', rows .. id)
    redis.call('ZREM', index, id)
end
return gone
""")


# ── The row, as text ──────────────────────────────────────────────────────────────

_Reply: TypeAlias = Sequence[str | bytes | None]
"""What ``row`` answers in Lua. A client given to us may have been told to decode."""


def _fields(session: Session) -> list[str]:
    """The names and values of what is to be stored."""
    written: list[str] = []
    for name, kind in _FIELDS.items():
        value = getattr(session, name)
        if value is not None:
            written += name, kind.write(value)
    return written


def _session(reply: _Reply) -> Session | None:
    """The row in a reply; None where there is none."""
    return None if reply[0] is None else _sure(reply)


def _sure(reply: _Reply) -> Session:
    """The row in a reply that has one."""
    texts = [None if value is None else _text(value) for value in reply]
    values: dict[str, Any] = {
        name: None if text is None else kind.read(text)
        for (name, kind), text in zip(_FIELDS.items(), texts, strict=False)  # `home` is over
    }
    return Session(**values)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
