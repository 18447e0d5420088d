"""The ASGI door: scope to `Request`, and a wrapped ``send``.

    app = JWTMiddleware(app, secret_key=SECRET)

Wrap outermost: a framework's own ``add_middleware`` sits inside its error handling (and
sometimes inside its routing), so an error page there would not carry the new cookies.
HTTP and WebSocket handshakes are handled; lifespan and whatever else pass untouched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, TypeAlias, Unpack

from .auth import JWTAuth
from .driver import arun
from .events import EventHook
from .handle import AUTH_KEY, CLAIMS_KEY, RequestAuth, current
from .refusals import Refusal
from .request import Request
from .settings import Settings, SettingsKeywords
from .transport import NOTHING, Additions, merge_list
from .world import LoadClaims

# Wide on purpose: asgiref's own types fail the checks of apps typed by other frameworks.
Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]
ASGIApp: TypeAlias = Callable[..., Awaitable[None]]

_Headers: TypeAlias = list[tuple[bytes, bytes]]

_STARTS = frozenset(
    (
        "http.response.start",
        "websocket.accept",
        "websocket.http.response.start",
        "websocket.close",  # before an accept: the answer of a refused handshake
    )
)
_POLICY_VIOLATION = 1008  # RFC 6455 section 7.4.1


class JWTMiddleware:
    """Signs requests in for the ASGI app behind it.

    Give it a `JWTAuth`, or what a `JWTAuth` takes: settings as keywords, ``load_claims``,
    ``on_event``, ``clock``. Raises `ConfigurationError`.
    """

    def __init__(
        self,
        app: ASGIApp,
        auth: JWTAuth | Settings | None = None,
        *,
        load_claims: LoadClaims | None = None,
        on_event: EventHook | None = None,
        clock: Callable[[], float] | None = None,
        **settings: Unpack[SettingsKeywords],
    ) -> None:
        auth = JWTAuth.of(auth, load_claims, on_event, clock, **settings)
        self.app = app
        self.auth = auth
        self._flow = auth.flow
        self._clock = auth.clock
        self._world = auth.event_loop_world
        self._varies = "cookies" in auth.settings.token_location
        self._header_name = auth.settings.header_name.lower().encode()
        self._refresh_name = auth.settings.refresh_header_name.lower().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        now = self._clock()
        request = self._request(scope)
        auth = self._flow.glance(request, now)
        if auth is None:
            arrival = await arun(self._flow.arrive(request, now), self._world)
            if arrival.refusal is not None:
                await self._refuse(arrival.refusal, scope, receive, send)
                return
            auth = arrival.auth
        # A copy: what stands in the caller's scope is not ours to change.
        scope = {**scope, CLAIMS_KEY: auth.claims, AUTH_KEY: auth}
        scope.setdefault("user", auth)
        scope.setdefault("auth", auth)
        previous = current.get()
        current.set(auth)
        try:
            if auth.closed == "ignored":
                await self.app(scope, receive, send)
            else:
                await self.app(scope, receive, self._sender(auth, scope, send))
        except Exception:
            if auth.closed is None:
                await self._respond(auth, {"type": "websocket.close"})
            raise
        finally:
            # Not reset(): a request may be torn down from another context than its own.
            current.set(previous)

    def _request(self, scope: Scope) -> Request:
        authorization: list[bytes] = []
        refresh: list[bytes] = []
        cookie: list[bytes] = []
        for field, value in scope["headers"]:
            name = field.lower()
            if name == b"cookie":
                cookie.append(value)
            elif name == self._header_name:
                authorization.append(value)
            elif name == self._refresh_name:
                refresh.append(value)
        path, mount = scope["path"], scope.get("root_path", "")
        raw_path = scope.get("raw_path")
        return Request(
            scope.get("method", "GET"),
            _below(mount, path) if mount else path,
            raw_path=raw_path.decode("latin-1") if raw_path else None,
            authorization=b",".join(authorization).decode("latin-1") if authorization else None,
            refresh=b",".join(refresh).decode("latin-1") if refresh else None,
            # HTTP/2 may send one field as several crumbs (RFC 9113 section 8.2.3).
            cookie=b"; ".join(cookie).decode("latin-1") if cookie else None,
            header=partial(_header, scope["headers"]),
            mount=mount,
            query=scope.get("query_string", b"").decode("latin-1"),
            websocket=scope["type"] == "websocket",
        )

    def _sender(self, auth: RequestAuth, scope: Scope, send: Send) -> Send:
        additions: Additions | None = None
        refused = False

        async def send_or_replace(message: Message) -> None:
            nonlocal additions, refused
            if refused:
                return  # the rest of a response that was replaced
            kind = message["type"]
            if kind not in _STARTS or (kind == "websocket.close" and additions is not None):
                await send(message)
                return
            plain = auth.intent is None and auth.reissue is None
            if additions is None:
                additions = NOTHING
                if plain:
                    auth.closed = "started"
                else:
                    outcome = await self._respond(auth, message)
                    if isinstance(outcome, Refusal):
                        refused = True
                        await self._send_refusal(outcome, scope, send)
                        return
                    additions = outcome
            await send(message if kind == "websocket.close" else self._with(additions, message))
            if not plain or auth.unconfirmed is not None:
                await arun(self._flow.settle(auth, self._clock()), self._world)

        return send_or_replace

    async def _respond(self, auth: RequestAuth, message: Message) -> Additions | Refusal:
        # A handshake that is closed instead of accepted, and an app that raises, can carry no
        # token, like a 304: then no login stands, but a logout is stored.
        closing = message["type"] == "websocket.close"
        status = 304 if closing else message.get("status", 101)
        headers = _decoded(message.get("headers", ()))
        return await arun(self._flow.respond(auth, status, headers, self._clock()), self._world)

    def _with(self, additions: Additions, message: Message) -> Message:
        headers: Any = message.get("headers", ())
        if additions.fields:
            headers = _encoded(self._flow.merge(additions, _decoded(headers)))
        if self._varies and message["type"] != "websocket.accept":
            headers = merge_list(headers, b"vary", b"Cookie", b",")
        return {**message, "headers": headers}

    async def _refuse(self, refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()  # websocket.connect: an answer before it is out of order
        await self._send_refusal(refusal, scope, send)

    async def _send_refusal(self, refusal: Refusal, scope: Scope, send: Send) -> None:
        kind = "http.response"
        if scope["type"] == "websocket":
            kind = "websocket.http.response"
            if kind not in (scope.get("extensions") or {}):
                # The server makes a 403 of it.
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
                return
        headers = _encoded(refusal.headers)
        if self._varies:
            headers = merge_list(headers, b"vary", b"Cookie", b",")
        await send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
        await send({"type": f"{kind}.body", "body": refusal.body})


def _below(mount: str, path: str) -> str:
    """The path inside the app: since ASGI 2.3 the scope's path begins with ``root_path``."""
    return path.removeprefix(mount) if f"{path}/".startswith(f"{mount}/") else path


def _header(headers: Any, name: str) -> str | None:
    """A request header; several fields of one name are one list (RFC 9110 section 5.3)."""
    wanted = name.encode()
    values = [value for field, value in headers if field.lower() == wanted]
    return b",".join(values).decode("latin-1") if values else None


def _decoded(headers: Any) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _encoded(headers: Any) -> _Headers:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
