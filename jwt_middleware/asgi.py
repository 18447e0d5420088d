"""The ASGI door: scope to `Request`, and a wrapped ``send``.

    app = JWTMiddleware(app, secret_key=SECRET)

Wrap outermost: a framework's own ``add_middleware`` sits inside its error handling (and
sometimes inside its routing), so an error page there would not carry the new cookies.
HTTP and WebSocket handshakes are handled; lifespan and whatever else pass untouched.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias, Unpack

from .auth import JWTAuth
from .bodies import ReplayedReceive
from .connections import POLICY_VIOLATION
from .driver import arun, arun_through
from .errors import CrossSiteRequest
from .events import EventHook
from .fields import decoded, encoded
from .flow import SERVER_ERROR
from .handle import AUTH_KEY, CLAIMS_KEY, RequestAuth, current
from .keys import FetchKeys
from .preflights import asgi_header_alone
from .queries import redacted
from .refusals import Refusal
from .request import Request
from .scope import ScopeRequest
from .settings import Settings, SettingsKeywords
from .showing import credentials
from .sockets import Socket, SocketClosed, pause
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
_SWITCHING_PROTOCOLS = 101  # what an accepted handshake answers


class JWTMiddleware:
    """Signs requests in for the ASGI app behind it.

    Give it a `JWTAuth`, or what a `JWTAuth` takes: settings as keywords, ``load_claims``,
    ``on_event``, ``clock``, ``fetch_keys``. Raises `ConfigurationError`.
    """

    def __init__(
        self,
        app: ASGIApp,
        auth: JWTAuth | Settings | None = None,
        *,
        load_claims: LoadClaims | None = None,
        on_event: EventHook | None = None,
        clock: Callable[[], float] | None = None,
        fetch_keys: FetchKeys | None = None,
        **settings: Unpack[SettingsKeywords],
    ) -> None:
        auth = JWTAuth.of(auth, load_claims, on_event, clock, fetch_keys, **settings)
        self.app = app
        self.auth = auth
        self._flow = auth.flow
        self._clock = auth.clock
        self._world = auth.event_loop_world
        transport = auth.flow.parts.transport
        self._vary = [name.encode() for name in transport.vary]
        self._vary_by_refresh = [name.encode() for name in transport.vary_by_refresh]
        self._header_name = auth.settings.header_name.lower().encode()
        self._refresh_name = auth.settings.refresh_header_name.lower().encode()
        self._names = frozenset((b"cookie", self._header_name, self._refresh_name))
        self._query_param = auth.settings.websocket_query_param
        self._pause = pause
        self._reads_forms = auth.settings.csrf == "double-submit"
        self._shows_token = auth.settings.show_access_token
        self._header_alone: ASGIApp = asgi_header_alone(app)
        # FastAPI's `root_path` counts in the place of the server's. (Flask's is a folder.)
        self._own_mount: str = (
            getattr(app, "root_path", "") if hasattr(app, "root_path_in_servers") else ""
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        now = self._clock()
        handshake = kind == "websocket"
        request = self._request(scope, handshake)
        if self._reads_forms and request.unsafe and not handshake:
            receive = replayed = ReplayedReceive(receive)
            request.peek = replayed.peek
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
        if self._shows_token:
            scope["headers"] = _replaced(scope["headers"], self._header_name, credentials(auth))
        previous = current.get()
        current.set(auth)
        try:
            if auth.closed == "ignored":
                app = self._header_alone if self._flow.silences(auth) else self.app
                await app(scope, receive, send)
            elif handshake:
                await self._connect(auth, scope, receive, send)
            else:
                await self.app(scope, receive, self._sender(auth, scope, send))
            if auth.closed is None:  # a client that went away is not always told by an exception
                await self._abandon(auth)
        except (Exception, CancelledError) as error:
            refusal = await self._escaped(error, auth)
            if refusal is None:
                raise
            await self._send_refusal(refusal, scope, send)
        finally:
            # Not reset(): a request may be torn down from another context than its own.
            current.set(previous)

    async def _connect(self, auth: RequestAuth, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection that may be closed before the app is done with it."""
        world, clock = self._world, self._clock
        pause, closed = self._pause, self._flow.closed
        socket = Socket(auth, receive, send, world=world, clock=clock, pause=pause, closed=closed)
        try:
            await self.app(scope, socket.receive, self._sender(auth, scope, socket.send))
        except SocketClosed as closed:
            if not socket.raised(closed):
                raise
        finally:
            await socket.finish()

    async def _escaped(self, error: BaseException, auth: RequestAuth) -> Refusal | None:
        """Nobody has caught it: what is answered, as in the place of a 500. None: it goes on."""
        if auth.closed is None and isinstance(error, CrossSiteRequest):
            outcome = await self._respond(auth, SERVER_ERROR, [])
            return outcome if isinstance(outcome, Refusal) else None
        await self._abandon(auth)
        return None

    async def _abandon(self, auth: RequestAuth) -> None:
        """The request ends before its response started: a logout is stored all the same."""
        if auth.closed is None:
            steps = self._flow.respond(auth, None, [], self._clock())
            await arun_through(steps, self._world)

    def _request(self, scope: Scope, handshake: bool) -> Request:
        authorization: list[bytes] = []
        refresh: list[bytes] = []
        cookie: list[bytes] = []
        for field, value in scope["headers"]:
            name = field.lower()
            if name in self._names:  # most are not
                if name == b"cookie":
                    cookie.append(value)
                elif name == self._header_name:
                    authorization.append(value)
                else:
                    refresh.append(value)
        seen = scope
        if handshake and self._query_param is not None:
            seen = {**scope}
            # The one thing that is changed in the caller's scope, since servers log it (S53).
            query = redacted(scope.get("query_string", b"").decode("latin-1"), self._query_param)
            scope["query_string"] = query.encode("latin-1")
        return ScopeRequest(
            seen,
            handshake,
            self._own_mount,
            b",".join(authorization).decode("latin-1") if authorization else None,
            b",".join(refresh).decode("latin-1") if refresh else None,
            # HTTP/2 may send one field as several crumbs (RFC 9113 section 8.2.3).
            b"; ".join(cookie).decode("latin-1") if cookie else None,
        )

    def _sender(self, auth: RequestAuth, scope: Scope, send: Send) -> Send:
        vary = self._vary if auth.request.refresh is None else self._vary_by_refresh
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
            plain = auth.intent is None and auth.reissue is None and auth.csrf_cookie is None
            if additions is None:
                additions = NOTHING
                if plain:
                    auth.closed = "started"
                else:
                    closing = kind == "websocket.close"
                    status = None if closing else message.get("status", _SWITCHING_PROTOCOLS)
                    headers = decoded(message.get("headers", ()))
                    repeated = self._flow.repeat(auth, status, headers, self._clock())
                    outcome = repeated or await self._respond(auth, status, headers)
                    if isinstance(outcome, Refusal):
                        refused = True
                        await self._send_refusal(outcome, scope, send)
                        return
                    additions = outcome
                    plain = repeated is not None  # then nothing was done that is to be settled
            if kind != "websocket.close":
                message = self._with(additions, message, vary)
            await send(message)
            if not plain or auth.unconfirmed is not None:
                await self._settle(auth)

        return send_or_replace

    async def _respond(
        self, auth: RequestAuth, status: int | None, headers: list[tuple[str, str]]
    ) -> Additions | Refusal:
        steps = self._flow.respond(auth, status, headers, self._clock())
        return await (arun_through if auth.signs_out else arun)(steps, self._world)

    async def _settle(self, auth: RequestAuth) -> None:
        now = self._clock()
        if self._flow.unsettled(auth, now):
            await arun(self._flow.settle(auth, now), self._world)

    def _with(self, additions: Additions, message: Message, vary: list[bytes]) -> Message:
        headers: Any = message.get("headers", ())
        if additions is not NOTHING:
            headers = encoded(self._flow.merge(additions, decoded(headers)))
        if vary and message["type"] != "websocket.accept":
            headers = merge_list(headers, b"vary", vary, b",")
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
                await send({"type": "websocket.close", "code": POLICY_VIOLATION})
                return
        headers = encoded(refusal.headers)
        if self._vary:
            headers = merge_list(headers, b"vary", self._vary, b",")
        await send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
        await send({"type": f"{kind}.body", "body": refusal.body})


def _replaced(headers: Any, wanted: bytes, value: str | None) -> _Headers:
    """Request headers with this one as the app shall see it; None: not at all."""
    others = [(name, other) for name, other in headers if name.lower() != wanted]
    return others if value is None else [*others, (wanted, value.encode("latin-1"))]
