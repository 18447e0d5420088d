"""The scripts, each one atomic step inside the server.

Numbers travel as text, are compared as numbers, and are stored and answered as the text
that came: what Lua would print of a time has lost digits.

Where a script reaches rows through the index, their names are put together in Lua, from
`rows`. They are not announced as KEYS, but lie in the slot of those that are.
"""

from __future__ import annotations

from hashlib import sha1
from typing import NamedTuple

from jwt_middleware.stores.redis.row import FIELDS


class Script(NamedTuple):
    """What the server runs."""

    text: str
    digest: str
    """By which the server knows a script it has run before."""


_SHARED = f"""
-- A row: every field, and `home`.
local function row(key)
    return redis.call('HMGET', key, {", ".join(map(repr, FIELDS))}, 'home')
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


def _script(body: str) -> Script:
    text = _SHARED + body
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


CLAIM = _script("""
-- An id that does not carry its subject's tag: leave the address of its row. 1 if it is free.
local key, home, lifetime = KEYS[1], ARGV[1], ARGV[2]
local other = redis.call('HGET', key, 'home')
if redis.call('HEXISTS', key, 'id') == 1 or (other and other ~= home) then return 0 end
redis.call('HSET', key, 'home', home)
redis.call('PEXPIRE', key, lifetime)
return 1
""")

CREATE = _script("""
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

LOAD = _script("""
return {1, row(KEYS[1])}
""")

ROTATE = _script("""
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

CONFIRM = _script("""
local key, generation, now = KEYS[1], ARGV[1], ARGV[2]
if open(key) and redis.call('HGET', key, 'generation') == generation
    and tonumber(redis.call('HGET', key, 'confirmed_generation')) < tonumber(generation)
then
    redis.call('HSET', key, 'confirmed_generation', generation, 'confirmed_at', now,
        'last_seen_at', now)
end
return {1, row(key)}
""")

UPDATE = _script("""
local key, claims = KEYS[1], ARGV[1]
if open(key) then
    redis.call('HSET', key, 'claims', claims)
end
return {1, row(key)}
""")

REVOKE = _script("""
local key, reason, now = KEYS[1], ARGV[1], ARGV[2]
return {finish(key, reason, now), row(key)}
""")

REVOKE_SUBJECT = _script("""
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

FIND = _script("""
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

PURGE = _script("""
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
