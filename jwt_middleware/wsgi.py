"""The WSGI door (PEP 3333): environ to `Request`, and a wrapped ``start_response``.

    app.wsgi_app = JWTMiddleware(app.wsgi_app, secret_key=SECRET)

Wrap outermost, so that error pages carry the new cookies, too. Do *not* put it behind a
middleware that answers by itself from a cache: reissued tokens must not be stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeAlias, Unpack

from .auth import JWTAuth
from .bodies import peek_input
from .driver import run
from .environ import EnvironRequest, environ_key, replace_header
from .errors import CrossSiteRequest
from .events import EventHook
from .flow import SERVER_ERROR
from .handle import AUTH_KEY, CLAIMS_KEY, RequestAuth, current
from .keys import FetchKeys
from .preflights import wsgi_header_alone
from .refusals import Refusal
from .settings import Settings, SettingsKeywords
from .showing import credentials
from .transport import NOTHING, Additions, merge_list
from .world import LoadClaims

Environ: TypeAlias = dict[str, Any]
WSGIApp: TypeAlias = Callable[..., Iterable[bytes]]


class JWTMiddleware:
    """Signs requests in for the WSGI app behind it.

    Give it a `JWTAuth`, or what a `JWTAuth` takes: settings as keywords, ``load_claims``,
    ``on_event``, ``clock``, ``fetch_keys``. Raises `ConfigurationError`.
    """

    def __init__(
        self,
        app: WSGIApp,
        auth: JWTAuth | Settings | None = None,
        *,
        load_claims: LoadClaims | None = None,
        on_event: EventHook | None = None,
        clock: Callable[[], float] | None = None,
        fetch_keys: FetchKeys | None = None,
        **settings: Unpack[SettingsKeywords],
    ) -> None:
        auth = JWTAuth.of(auth, load_claims, on_event, clock, fetch_keys, **settings)
        auth.check_sync()
        self.app = app
        self.auth = auth
        self._flow = auth.flow
        self._clock = auth.clock
        self._vary = auth.flow.parts.transport.vary
        self._vary_by_refresh = auth.flow.parts.transport.vary_by_refresh
        self._header_key = environ_key(auth.settings.header_name)
        self._refresh_key = environ_key(auth.settings.refresh_header_name)
        self._reads_forms = auth.settings.csrf == "double-submit"
        self._shows_token = auth.settings.show_access_token
        self._header_alone: WSGIApp = wsgi_header_alone(app)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        now = self._clock()
        request = EnvironRequest(environ, self._header_key, self._refresh_key)
        if self._reads_forms:
            request.peek = partial(peek_input, environ)
        auth = self._flow.glance(request, now)
        if auth is None:
            arrival = run(self._flow.arrive(request, now), self.auth.world)
            if arrival.refusal is not None:
                return self._refuse(arrival.refusal, start_response)
            auth = arrival.auth
        environ[CLAIMS_KEY], environ[AUTH_KEY] = auth.claims, auth
        access = auth.access
        if auth.claims is None:
            environ.pop("REMOTE_USER", None)
            environ.pop("AUTH_TYPE", None)
        else:
            subject = auth.identity if access is None else access.subject
            environ["REMOTE_USER"] = subject if subject.isascii() else _as_native(subject)
            environ["AUTH_TYPE"] = "Bearer"
        if self._shows_token:
            replace_header(environ, self.auth.settings.header_name, credentials(auth))
        return self._serve(auth, environ, start_response)

    def _serve(
        self, auth: RequestAuth, environ: Environ, start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        outcome: Additions | Refusal | None = None
        vary = self._vary if auth.request.refresh is None else self._vary_by_refresh

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal outcome
            plain = auth.intent is None and auth.reissue is None and auth.csrf_cookie is None
            if outcome is None:
                outcome = NOTHING  # even if what follows raises
                if plain:
                    auth.closed = "started"
                else:
                    code = int(status[:3])
                    repeated = self._flow.repeat(auth, code, headers, self._clock())
                    outcome = repeated or self._respond(auth, code, headers)
                    plain = repeated is not None  # then nothing was done that is to be settled
            if outcome is not NOTHING:
                if isinstance(outcome, Refusal):
                    self._refuse(outcome, start_response, exc_info)
                    return _discard
                headers = self._flow.merge(outcome, headers)
            if vary:
                headers = merge_list(headers, "Vary", vary, ",")
            write = (
                start_response(status, headers)
                if exc_info is None
                else start_response(status, headers, exc_info)
            )
            if not plain or auth.unconfirmed is not None:
                self._settle(auth)
            return write

        ignored = auth.closed == "ignored"
        app, begin = (self._left_alone(auth), start_response) if ignored else (self.app, start)
        reset = current.set(auth)
        try:
            body = app(environ, begin)
        except BaseException as error:  # also who gives up waiting: gevent.Timeout, SystemExit
            refusal = self._escaped(error, auth)
            if refusal is None:
                raise
            return self._refuse(refusal, start_response)
        finally:
            current.reset(reset)
        replaced = isinstance(outcome, Refusal)  # pyright: ignore[reportUnnecessaryIsInstance]  # by start()
        if auth.closed is None or replaced:
            return _LateBody(body, auth, lambda: outcome, self._abandon)
        # Lists, tuples and the server's own file wrapper pass as they are, so that
        # Content-Length and sendfile survive.
        if type(body) in _COMPLETE or _is_wrapped_file(body, environ):
            return body
        return _Body(body, auth)

    def _left_alone(self, auth: RequestAuth) -> WSGIApp:
        return self._header_alone if self._flow.silences(auth) else self.app

    def _escaped(self, error: BaseException, auth: RequestAuth) -> Refusal | None:
        """Nobody has caught it: what is answered, as in the place of a 500. None: it goes on."""
        if auth.closed is None and isinstance(error, CrossSiteRequest):
            outcome = self._respond(auth, SERVER_ERROR, [])
            return outcome if isinstance(outcome, Refusal) else None
        self._abandon(auth)
        return None

    def _abandon(self, auth: RequestAuth) -> None:
        """The request ends before its response started: a logout is stored all the same."""
        if auth.closed is None:
            self._respond(auth, None, [])

    def _respond(
        self, auth: RequestAuth, status: int | None, headers: list[tuple[str, str]]
    ) -> Additions | Refusal:
        return run(self._flow.respond(auth, status, headers, self._clock()), self.auth.world)

    def _settle(self, auth: RequestAuth) -> None:
        now = self._clock()
        if self._flow.unsettled(auth, now):
            run(self._flow.settle(auth, now), self.auth.world)

    def _refuse(
        self, refusal: Refusal, start_response: Callable[..., Any], exc_info: Any = None
    ) -> Iterable[bytes]:
        headers = list(refusal.headers)
        if self._vary:
            headers = merge_list(headers, "Vary", self._vary, ",")
        more = () if exc_info is None else (exc_info,)
        start_response(refusal.status_line, headers, *more)
        return [refusal.body]


class _Body:
    """The app's lazy body, each step of it in the context of its request."""

    __slots__ = ("_auth", "_body")

    def __init__(self, body: Iterable[bytes], auth: RequestAuth) -> None:
        self._body = body
        self._auth = auth

    def __iter__(self) -> Iterator[bytes]:
        auth, chunks = self._auth, iter(self._body)
        while True:
            # Step by step, since a server may interleave the bodies of several requests.
            reset = current.set(auth)
            try:
                chunk = next(chunks, _END)
            finally:
                current.reset(reset)
            if chunk is _END:
                return
            yield chunk

    def close(self) -> None:
        # Not `serving`, which is five calls.
        close = getattr(self._body, "close", None)
        if close is not None:
            reset = current.set(self._auth)
            try:
                close()
            finally:
                current.reset(reset)


class _LateBody(_Body):
    """The body of a response that has not started yet, or that was replaced.

    A generator app calls ``start_response`` on its first step: if that found that a login or
    logout could not be stored, the refusal takes the place of what it yields.
    """

    __slots__ = ("_abandon", "_outcome")

    def __init__(
        self,
        body: Iterable[bytes],
        auth: RequestAuth,
        outcome: Callable[[], Additions | Refusal | None],
        abandon: Callable[[RequestAuth], None],
    ) -> None:
        super().__init__(body, auth)
        self._outcome = outcome
        self._abandon = abandon

    def __iter__(self) -> Iterator[bytes]:
        outcome = self._outcome
        try:
            if not isinstance(outcome(), Refusal):
                for chunk in super().__iter__():
                    if isinstance(outcome(), Refusal):
                        break
                    yield chunk
        finally:
            self._abandon(self._auth)
        refusal = outcome()
        if isinstance(refusal, Refusal):
            yield refusal.body

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._abandon(self._auth)  # of a body that nobody has stepped


_END: Any = object()
"""Instead of ``StopIteration``, which costs more to raise and to catch."""

_COMPLETE = frozenset((list, tuple))


def _is_wrapped_file(body: object, environ: Environ) -> bool:
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)


def _discard(data: bytes) -> None:
    """``write()`` of a response that was replaced."""


def _as_native(text: str) -> str:
    """Each byte as one character (PEP 3333)."""
    return text.encode().decode("latin-1")
