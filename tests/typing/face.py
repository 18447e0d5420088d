"""What type checkers are to see of the public face. Never run: mypy and pyright read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_type

from jwt_middleware import (
    AsyncSessionStore,
    Claims,
    Event,
    Issuer,
    JWTAuth,
    ListedSession,
    RequestAuth,
    Requirement,
    Rule,
    Session,
    SessionStore,
    Settings,
    TokenPair,
    asgi,
    get_auth,
    get_claims,
    wsgi,
)
from jwt_middleware.stores.memory import MemorySessionStore
from jwt_middleware.stores.redis import AsyncRedisSessionStore, RedisSessionStore
from jwt_middleware.stores.sqlalchemy import SQLAlchemySessionStore
from jwt_middleware.stores.sqlite import SQLiteSessionStore
from jwt_middleware.testing import SessionStoreContract


def outside_a_request(auth: JWTAuth) -> None:
    assert_type(auth.issue("alice", {"roles": ["admin"]}), TokenPair)
    assert_type(auth.revoke("sid"), bool)
    assert_type(auth.revoke_subject("alice", keep="sid"), int)
    assert_type(auth.sessions("alice"), list[ListedSession])
    assert_type(auth.purge(), int)


async def outside_a_request_async(auth: JWTAuth) -> None:
    assert_type(await auth.aissue("alice"), TokenPair)
    assert_type(await auth.arevoke("sid"), bool)
    assert_type(await auth.arevoke_subject("alice", keep="sid"), int)
    assert_type(await auth.apurge(), int)
    await auth.aclose()
    assert_type(await auth.asessions("alice"), list[ListedSession])


def in_a_request(request: object) -> None:
    auth = get_auth(request)
    assert_type(auth, RequestAuth)
    assert_type(auth.claims, Claims | None)
    assert_type(auth.subject, str | None)
    assert_type(auth.is_authenticated, bool)
    assert_type(auth.reason, str | None)
    assert_type(auth.login("alice", remember=False), TokenPair)
    assert_type(auth.session_id, str | None)
    assert_type(auth.issuer, str | None)
    assert_type(auth.reissued, bool)
    assert_type(auth.roles, list[str])
    assert_type(auth.scopes, list[str])
    assert_type(auth.csrf_token, str)
    auth.send(auth.login("alice", {"roles": ["admin"]}, cookies=False))
    auth.update({"roles": []})
    auth.logout(cross_site=True)
    auth.logout_everywhere()
    auth.subject = "bob"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    assert_type(auth.unmet(Requirement(roles={"admin"}, max_age="5m")), str | None)
    assert_type(get_claims(), Claims | None)
    claims = get_claims()
    if claims is not None:
        assert_type(claims["roles"], Any)
        assert_type(len(claims), int)
        claims["roles"] = []  # type: ignore[index]  # pyright: ignore[reportIndexIssue]


def configured() -> None:
    assert_type(Settings.from_env(), Settings)
    assert_type(Settings.from_mapping({}, required=True), Settings)
    assert_type(Settings(secret_key="s").access_token_expires, float)
    JWTAuth(secret_key="s", required="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    JWTAuth(secret_ky="s")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def doors(environ: dict[str, Any], start_response: Any) -> None:
    inside = wsgi.JWTMiddleware(lambda environ, start: [b""], secret_key="s")
    assert_type(inside.auth, JWTAuth)
    wsgi.JWTMiddleware(inside, Settings.from_env())  # a door is an app

    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    asgi.JWTMiddleware(asgi.JWTMiddleware(app, JWTAuth(secret_key="s")))


def told(event: Event) -> None:
    assert_type(event.at, float)
    assert_type(event.subject, str | None)


def fresh(session: Session) -> Mapping[str, Any] | None:
    assert_type(session.subject, str)
    return {**session.claims, "roles": []}


async def fresh_async(session: Session) -> Mapping[str, Any] | None:
    return fresh(session)


def hooks() -> None:
    JWTAuth(Settings.from_env(), load_claims=fresh, on_event=told, clock=lambda: 0.0)
    asgi.JWTMiddleware(object, load_claims=fresh_async, on_event=told)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    JWTAuth(on_event=fresh)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def rules_and_issuers() -> None:
    rules = [
        Rule("/admin", roles={"admin"}),
        Rule("/reports", scopes={"reports:read"}, methods={"POST"}),
        Rule("/pay", max_age=300),
    ]
    issuers = [Issuer("https://id.example", audience="api", public_keys="-----BEGIN ...")]
    assert_type(Settings(rules=rules, issuers=issuers), Settings)
    Rule("/admin", role={"admin"})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Issuer()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def stores(own: SessionStore, own_async: AsyncSessionStore) -> None:
    """Each of ours is what a store of your own has to be."""
    sync: list[SessionStore] = [own, MemorySessionStore(), SQLiteSessionStore("file")]
    for store in sync:
        assert_type(store.load("sid", now=0.0), Session | None)
        assert_type(store.find("alice", now=0.0), list[Session])
        JWTAuth(secret_key="s", session_store=store)
    JWTAuth(secret_key="s", session_store=own_async)
    JWTAuth(secret_key="s", session_store="memory://")


def stores_of_servers(
    redis: RedisSessionStore, async_redis: AsyncRedisSessionStore, database: SQLAlchemySessionStore
) -> tuple[SessionStore, AsyncSessionStore, SessionStore]:
    return redis, async_redis, database


class TestOwnStore(SessionStoreContract):
    """The contract is run by deriving from it."""
