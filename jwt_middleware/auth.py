"""`JWTAuth`: one configuration, assembled; for both doors, and for use outside a request."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from math import inf
from threading import Lock
from typing import Any, Unpack

from .csrf import CsrfPolicy
from .denials import Denials
from .driver import Asks, arun, run
from .errors import ConfigurationError, SessionsNotStored, StoreUnavailable
from .events import Event, EventHook
from .flow import Flow
from .forks import in_each_child
from .handle import Parts
from .issuers import Issuer
from .keys import FetchKeys, KeySource
from .memory import CacheInfo, ProcessMemory
from .neighbours import look_around
from .sessions import JUST_AFTER, AsyncSessionStore, ListedSession, SessionStore, listed, store
from .settings import Settings, SettingsKeywords
from .tokens import TokenPair, Tokens
from .transport import Transport
from .wishes import end_subject, revoke, store_session
from .world import (
    AsyncKeyRefresher,
    Bodies,
    EventLoopWorld,
    Hooks,
    KeyRefresher,
    LoadClaims,
    SyncWorld,
    hooks,
    key_sources,
)

PURGE_BATCH = 1000


class JWTAuth:
    """Settings, keys, store and hooks as one.

    Give it `Settings`, or settings as keywords; both: the keywords win.

    load_claims:
        ``load_claims(session)``, sync or async, is asked at every reissue. It returns the
        subject's claims as they are now, or None to end the session (the account was
        disabled, the password changed). If it raises, the answer is 503 and nothing changes.
    on_event:
        ``on_event(event)`` is told every `Event`; it must be quick.
    clock:
        Seconds since the epoch; ``time.time`` by default.
    fetch_keys:
        Asks issuers for the keys they publish, in place of the standard library: by way of a
        proxy, or with a client certificate (`jwt_middleware.keys.FetchKeys`).

    Raises `ConfigurationError` with every fault found. Nothing connects before it is needed.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        load_claims: LoadClaims | None = None,
        on_event: EventHook | None = None,
        clock: Callable[[], float] | None = None,
        fetch_keys: FetchKeys | None = None,
        **keywords: Unpack[SettingsKeywords],
    ) -> None:
        look_around()
        if settings is None:
            settings = Settings(**keywords)
        elif not isinstance(settings, Settings):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(
                f"expected a JWTAuth or Settings, not {type(settings).__name__}; single settings "
                "are keywords: JWTMiddleware(app, secret_key=...)"
            )
        elif keywords:
            changed: Any = keywords  # replace() asks for parsed values; Settings parses these
            settings = replace(settings, **changed)
        _check_functions(
            load_claims=load_claims, on_event=on_event, clock=clock, fetch_keys=fetch_keys
        )
        self.settings = settings
        self.clock: Callable[[], float] = clock or time.time
        self._hooks = Hooks(load_claims, on_event)
        self._memory = ProcessMemory(settings.token_cache_size)
        tokens = Tokens(settings, partial(published_keys, settings, fetch_keys))
        csrf = CsrfPolicy(settings)
        self._parts = Parts(
            settings=settings,
            tokens=tokens,
            transport=Transport(settings),
            csrf=csrf,
            denials=Denials(settings, csrf, tokens.own_keys),
            memory=self._memory,
            has_load_claims=load_claims is not None,
            tell=self._hooks.tell,
        )
        self.flow: Flow = Flow(self._parts)
        self._begin_again()
        in_each_child(self._begin_again)
        self._stores: dict[str, SessionStore | AsyncSessionStore] = {}
        self._event_loop_world: EventLoopWorld | None = None
        self.world: SyncWorld = SyncWorld(
            store=self._sync_store, hooks=self._port_of_hooks, keys=KeyRefresher, bodies=Bodies
        )

    def _begin_again(self) -> None:
        self._opening = Lock()

    @property
    def cache_info(self) -> CacheInfo:
        """The cache of verified access tokens, in this process since it began. Many misses beside
        few hits say that ``token_cache_size`` is too small for your users."""
        tokens = self._parts.tokens
        return CacheInfo(tokens.hits, tokens.misses, len(tokens.verified))

    @classmethod
    def of(
        cls,
        auth: JWTAuth | Settings | None,
        load_claims: LoadClaims | None,
        on_event: EventHook | None,
        clock: Callable[[], float] | None,
        fetch_keys: FetchKeys | None,
        **keywords: Unpack[SettingsKeywords],
    ) -> JWTAuth:
        """What a door was given, as one `JWTAuth`. Raises `ConfigurationError`."""
        if isinstance(auth, JWTAuth):
            if keywords or load_claims or on_event or clock or fetch_keys:
                raise ConfigurationError(
                    "settings beside a JWTAuth would not be heard: give them to JWTAuth(...)"
                )
            return auth
        return cls(
            auth,
            load_claims=load_claims,
            on_event=on_event,
            clock=clock,
            fetch_keys=fetch_keys,
            **keywords,
        )

    # ── Outside a request ────────────────────────────────────────────────────────

    def issue(
        self,
        subject: str,
        claims: Mapping[str, Any] | None = None,
        *,
        remember: bool = True,
        user_agent: str | None = None,
        address: str | None = None,
    ) -> TokenPair:
        """A new session for the subject, stored at once, and its tokens.

        Raises `StoreUnavailable`, `TokenTooLarge`, `InvalidClaims`.
        """
        return run(self._issue(subject, claims, remember, user_agent, address), self.world)

    async def aissue(
        self,
        subject: str,
        claims: Mapping[str, Any] | None = None,
        *,
        remember: bool = True,
        user_agent: str | None = None,
        address: str | None = None,
    ) -> TokenPair:
        """`issue`, to be awaited."""
        steps = self._issue(subject, claims, remember, user_agent, address)
        return await arun(steps, self.event_loop_world)

    def revoke(self, session_id: str, *, subject: str | None = None) -> bool:
        """End a session; True if this call ended it.

        With ``subject``, only if it is a session of theirs: for an id that came from a form.
        Access tokens it has handed out are refused by this process at once, and elsewhere
        when they expire. Raises `StoreUnavailable`, `SessionsNotStored`.
        """
        return run(self._revoke(session_id, subject), self.world)

    async def arevoke(self, session_id: str, *, subject: str | None = None) -> bool:
        """`revoke`, to be awaited."""
        return await arun(self._revoke(session_id, subject), self.event_loop_world)

    def revoke_subject(self, subject: str, *, keep: str | None = None) -> int:
        """End all sessions of a subject, but for the session id ``keep``; answers how many.

        A login that began before this call does not survive it, even if it is stored later.
        Raises `StoreUnavailable`, `SessionsNotStored`.
        """
        return run(self._revoke_subject(subject, keep), self.world)

    async def arevoke_subject(self, subject: str, *, keep: str | None = None) -> int:
        """`revoke_subject`, to be awaited."""
        return await arun(self._revoke_subject(subject, keep), self.event_loop_world)

    def sessions(self, subject: str, *, current: str | None = None) -> list[ListedSession]:
        """The subject's sessions that are alive, newest first.

        ``current``: the id of the session the list is asked for from, to mark it.
        Raises `StoreUnavailable`, `SessionsNotStored`.
        """
        return run(self._sessions(subject, current), self.world)

    async def asessions(self, subject: str, *, current: str | None = None) -> list[ListedSession]:
        """`sessions`, to be awaited."""
        return await arun(self._sessions(subject, current), self.event_loop_world)

    def purge(self, *, progress: Callable[[int], None] | None = None) -> int:
        """Delete the rows of sessions past their absolute expiry, in bounded batches;
        answers how many. ``progress`` is told after each batch how many are gone so far.
        Raises `StoreUnavailable`, `SessionsNotStored`."""
        return run(self._purge(progress), self.world)

    async def apurge(self, *, progress: Callable[[int], None] | None = None) -> int:
        """`purge`, to be awaited."""
        return await arun(self._purge(progress), self.event_loop_world)

    def close(self) -> None:
        """Let go of the store's connections; whoever needs it next opens it again."""
        run(self._close(), self.world)

    async def aclose(self) -> None:
        """`close`, to be awaited."""
        await arun(self._close(), self.event_loop_world)

    # ── For the doors ────────────────────────────────────────────────────────────

    @property
    def event_loop_world(self) -> EventLoopWorld:
        """What answers commands in an async program."""
        if self._event_loop_world is None:
            self._event_loop_world = EventLoopWorld(
                self.settings.store_timeout,
                store=self._async_store,
                hooks=self._port_of_hooks,
                keys=AsyncKeyRefresher,
                bodies=Bodies,
            )
        return self._event_loop_world

    def check_sync(self) -> None:
        """Refuse, at start-up, what a program without an event loop cannot await."""
        if self._hooks.needs_event_loop:
            raise ConfigurationError(
                "load_claims is async, and the WSGI middleware cannot await it. "
                "Pass a plain function, or use jwt_middleware.asgi."
            )
        if _is_async_store(self.settings.session_store):
            raise ConfigurationError(
                "session_store is an async store, and the WSGI middleware cannot await it. "
                "Pass its sync twin, or a URL: a URL opens the kind that fits."
            )

    # ── Inside ───────────────────────────────────────────────────────────────────

    def _port_of_hooks(self) -> Hooks:
        return self._hooks

    def _sync_store(self) -> SessionStore | AsyncSessionStore:
        return self._store("sync")

    def _async_store(self) -> SessionStore | AsyncSessionStore:
        return self._store("async")

    def _store(self, kind: str) -> SessionStore | AsyncSessionStore:
        """The store, opened on first need: a process that only verifies never creates one."""
        found = self._stores.get(kind)
        if found is None:
            from .stores import open_store  # a plug: imported when asked for

            with self._opening:
                found = self._stores.get(kind) or open_store(
                    self.settings.session_store,
                    timeout=self.settings.store_timeout,
                    prefer_async=kind == "async",
                )
                assert found is not None  # noqa: S101  # a stateless decision never asks
                if not _is_async_store(found):  # it serves both kinds of program
                    found = self._stores.setdefault("sync", found)
                self._stores[kind] = found
                self._memory.store_opened = True
                if getattr(found, "expires_by_itself", False):
                    self._memory.purge_again_at = inf  # nobody's request pays for a purge
        return found

    def _check_stored(self, call: str) -> None:
        if self._parts.stateless:
            raise SessionsNotStored(
                f'{call}() needs stored sessions, and session_store is "none". '
                "Configure a store, for example sqlite:///jwt-sessions.sqlite3."
            )

    def _issue(
        self,
        subject: str,
        claims: Mapping[str, Any] | None,
        remember: bool,
        user_agent: str | None,
        address: str | None,
    ) -> Asks[TokenPair]:
        now = self.clock()
        yield from key_sources.look(self._parts.tokens.own_keys, now=now)
        session = self._parts.tokens.new_session(
            subject,
            claims,
            persistent=remember,
            now=now,
            user_agent=user_agent,
            address=address,
        )
        pair = self._parts.tokens.pair(session, now=now)
        if not self._parts.stateless:
            # It begins now: after whatever was ended in the same instant.
            begun = replace(session, created_at=now + JUST_AFTER)
            stored = yield from store_session(self._parts, begun, now=now)
            if stored.revoked:
                raise StoreUnavailable("the subject was signed out everywhere meanwhile")
        yield from hooks.emit(Event("login", now, None, subject, session.id))
        return pair

    def _revoke(self, session_id: str, subject: str | None) -> Asks[bool]:
        self._check_stored("revoke")
        now = self.clock()
        if subject is not None:
            session = yield from store.load(session_id, now=now)
            if session is None or session.subject != subject:
                return False
        ended = yield from revoke(self._parts, session_id, "revoked", now)
        if ended:
            yield from hooks.emit(Event("revoked", now, "revoked", subject, session_id))
        return ended

    def _revoke_subject(self, subject: str, keep: str | None) -> Asks[int]:
        self._check_stored("revoke_subject")
        now = self.clock()
        ended = yield from end_subject(self._parts, subject, "revoked", keep=keep, now=now)
        yield from hooks.emit(Event("revoked", now, "revoked", subject))
        return len(ended)

    def _close(self) -> Asks[None]:
        if self._memory.store_opened:
            yield from store.close()

    def _sessions(self, subject: str, current: str | None) -> Asks[list[ListedSession]]:
        self._check_stored("sessions")
        found = yield from store.find(subject, now=self.clock())
        return [listed(session, current=session.id == current) for session in found]

    def _purge(self, progress: Callable[[int], None] | None) -> Asks[int]:
        self._check_stored("purge")
        before, gone = self.clock(), 0
        while batch := (yield from store.purge(before, limit=PURGE_BATCH)):
            gone += batch
            if progress is not None:
                progress(gone)
        return gone


def _check_functions(**given: object) -> None:
    """What is called by and by is refused at once if it cannot be: `ConfigurationError`."""
    faults = [
        f"{name}: is of type {type(value).__name__}; give a function, or leave {name} out"
        for name, value in given.items()
        if value is not None and not callable(value)
    ]
    if faults:
        raise ConfigurationError(faults)


def published_keys(settings: Settings, fetch: FetchKeys | None, issuer: Issuer) -> KeySource:
    """Where the keys of an issuer come from that publishes them."""
    from .jwks import RemoteKeySet  # a plug: imported where keys are to be fetched

    return RemoteKeySet(
        issuer.jwks_url or issuer.url,
        fetcher(settings, fetch, issuer),
        algorithms=issuer.algorithms,
        max_stale=settings.jwks_max_stale,
    )


def fetcher(settings: Settings, fetch: FetchKeys | None, issuer: Issuer) -> FetchKeys:
    """What asks an issuer for its keys, by the URL of the keys or, if that is not known, its own.

    ``fetch``: the app's own way to ask, if it has one.
    """
    from .discovery import Discovery  # plugs: imported where keys are to be fetched
    from .jwks_http import HttpFetch

    loopback_http = settings.jwks_loopback_http
    fetch = fetch or HttpFetch(timeout=settings.jwks_timeout, loopback_http=loopback_http)
    return fetch if issuer.jwks_url else Discovery(fetch, loopback_http=loopback_http)


def _is_async_store(candidate: object) -> bool:
    return inspect.iscoroutinefunction(getattr(candidate, "load", None))
