"""A third door: HttpRequest to `Request`, and the additions put on an HttpResponse.

Wrapping the whole application (`jwt_middleware.wsgi`, `jwt_middleware.asgi`) works as well, and
is faster. But Django's test client goes past what is wrapped, and through this one.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

from ...auth import JWTAuth
from ...driver import Asks, arun, arun_through, run
from ...environ import environ_header, replace_header
from ...flow import Arrival
from ...handle import AUTH_KEY, CLAIMS_KEY, RequestAuth, serving
from ...refusals import Refusal
from ...request import Request
from ...showing import credentials
from ...transport import NOTHING
from .bodies import peek
from .configured import configured_auth
from .responses import answer, fields_of, keep_context, put, without_content


class JWTMiddleware:
    """Signs requests in for whatever comes after it in ``MIDDLEWARE``: put it first."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.auth: JWTAuth = configured_auth()
        # Python 3.11's own does not see what Django has marked.
        self._is_async = iscoroutinefunction(get_response)  # pyright: ignore[reportDeprecated]
        if self._is_async:
            markcoroutinefunction(self)
        else:
            self.auth.check_sync()

    def __call__(self, request: HttpRequest) -> Any:
        if self._is_async:
            return self._acall(request)
        world = self.auth.world
        auth, refused = run(self._arrive(request), world)
        if refused is not None:
            return self._varied(auth, answer(refused))
        with serving(auth):
            try:
                response = self.get_response(request)
            except BaseException:  # Django is told to let it pass, or who waits has given up
                run(self._leave(auth, None, []), world)
                raise
        return run(self._respond(auth, response), world)

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        world = self.auth.event_loop_world
        auth, refused = await arun(self._arrive(request), world)
        if refused is not None:
            return self._varied(auth, answer(refused))
        with serving(auth):
            try:
                response = await self.get_response(request)
            except (Exception, CancelledError):
                await arun_through(self._leave(auth, None, []), world)
                raise
        finish = arun_through if auth.signs_out else arun
        return await finish(self._respond(auth, response), world)

    def _arrive(self, request: HttpRequest) -> Asks[Arrival]:
        """Phase A; the slots are where `get_auth` looks for them."""
        seen, now, flow = self._seen(request), self.auth.clock(), self.auth.flow
        auth = flow.glance(seen, now)
        arrival = (yield from flow.arrive(seen, now)) if auth is None else Arrival(auth)
        auth = arrival.auth
        request.META |= {CLAIMS_KEY: auth.claims, AUTH_KEY: auth}
        for inherited in ("REMOTE_USER", "AUTH_TYPE"):
            request.META.pop(inherited, None)
        if auth.subject is not None:
            request.META |= {"REMOTE_USER": auth.subject, "AUTH_TYPE": "Bearer"}
        if self.auth.settings.show_access_token:
            replace_header(request.META, self.auth.settings.header_name, credentials(auth))
        return arrival

    def _seen(self, request: HttpRequest) -> Request:
        meta, settings = request.META, self.auth.settings
        header = partial(environ_header, meta.copy())  # META is going to hold the handle
        raw: Any = getattr(request, "scope", {}).get("raw_path")  # under ASGI
        asked = Request(
            request.method or "GET",
            request.path_info,
            raw_path=raw.decode("latin-1") if raw else meta.get("RAW_URI", meta.get("REQUEST_URI")),
            authorization=header(settings.header_name),
            refresh=header(settings.refresh_header_name),
            cookie=header("cookie"),
            header=header,
            mount=request.path.removesuffix(request.path_info),
            query=meta.get("QUERY_STRING", ""),
            scheme=request.scheme or "",
        )
        if settings.csrf == "double-submit":
            asked.peek = partial(peek, request)
        return asked

    def _leave(
        self, auth: RequestAuth, status: int | None, fields: Sequence[tuple[str, str]]
    ) -> Asks[Any]:
        return self.auth.flow.respond(auth, status, fields, self.auth.clock())

    def _respond(self, auth: RequestAuth, response: HttpResponseBase) -> Asks[HttpResponseBase]:
        """Phase B, for error pages as well: Django has made responses of its exceptions."""
        keep_context(response, auth)
        if auth.closed == "ignored":
            return without_content(response) if self.auth.flow.silences(auth) else response
        fields = fields_of(response)
        additions = yield from self._leave(auth, response.status_code, fields)
        if isinstance(additions, Refusal):
            response.close()
            return self._varied(auth, answer(additions))
        if additions is not NOTHING:
            put(response, self.auth.flow.merge(additions, fields))
        yield from self.auth.flow.settle(auth, self.auth.clock())
        return self._varied(auth, response)

    def _varied(self, auth: RequestAuth, response: HttpResponseBase) -> HttpResponseBase:
        transport = self.auth.flow.parts.transport
        if vary := transport.vary if auth.request.refresh is None else transport.vary_by_refresh:
            patch_vary_headers(response, vary)
        return response
