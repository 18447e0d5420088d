"""A reverse proxy, as small as one can be: what is not named here does not pass.

Of a request only the headers in `ASKS` reach a service, of its answer only those in `ANSWERS`
come back. So nothing that a client makes up (`X-User`, `X-Forwarded-For`, somebody's cookie) can be
taken for the gateway's word, and no service can set a cookie of the gateway's.
"""

from collections.abc import Collection

import httpx2
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

ASKS = frozenset(
    "accept accept-encoding accept-language authorization content-encoding content-length "
    "content-type if-match if-modified-since if-none-match if-unmodified-since range "
    "user-agent".split()
)
ANSWERS = frozenset(
    "accept-ranges cache-control content-disposition content-encoding content-language "
    "content-length content-range content-type etag expires last-modified location retry-after "
    "vary www-authenticate".split()
)

# Not a client, which would keep the cookies of one browser and send them for the next. And a
# connection for each request: one that is kept might just have been closed at the other end.
transport = httpx2.AsyncHTTPTransport(limits=httpx2.Limits(max_keepalive_connections=0))
PATIENCE = dict.fromkeys(("connect", "read", "write", "pool"), 10.0)
"""Seconds."""


class Upstream:
    """A server behind the gateway, as an ASGI app; `also` names headers that pass both ways."""

    def __init__(self, url: str, also: Collection[str] = ()) -> None:
        self.url = url
        self.asks = ASKS.union(also)
        self.answers = ANSWERS.union(also)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self.forward(Request(scope, receive))
        await response(scope, receive, send)

    async def forward(self, request: Request) -> Response:
        path, query = request.scope["raw_path"], request.scope["query_string"]
        if not path.startswith(b"/"):  # it would change the host or the port in front of it
            return PlainTextResponse("A path begins with a slash.", 400)
        has_body = not {"content-length", "transfer-encoding"}.isdisjoint(request.headers)
        asked = httpx2.Request(
            request.method,
            self.url + b"?".join(filter(None, (path, query))).decode("latin-1"),
            headers=[field for field in request.headers.items() if field[0] in self.asks],
            content=request.stream() if has_body else None,
            extensions={"timeout": PATIENCE},
        )
        try:
            answer = await transport.handle_async_request(asked)
        except httpx2.TransportError:
            return PlainTextResponse("Try again shortly.", 503, {"Retry-After": "2"})
        response = StreamingResponse(
            answer.aiter_raw(), answer.status_code, background=BackgroundTask(answer.aclose)
        )
        response.raw_headers = [
            (name.lower(), value)
            for name, value in answer.headers.raw
            if name.lower().decode() in self.answers
        ]
        return response
