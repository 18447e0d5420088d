"""`JWTAuth`: one configuration, assembled; for both doors, and for use outside a request."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from threading import Lock
from typing import Any, Unpack

from .claims import custom_claims
from .csrf import OriginPolicy
from .driver import Asks, arun, run
from .errors import ConfigurationError, SessionsNotStored, StoreUnavailable
from .events import Event, EventHook
from .flow import Flow
from .handle import Parts, checked_subject
from .memory import ProcessMemory
from .sessions import JUST_AFTER, AsyncSessionStore, Session, SessionStore, store
from .settings import Settings, SettingsKeywords
from .tokens import TokenPair, Tokens
from .transport import Transport
from .world import EventLoopWorld, Hooks, LoadClaims, SyncWorld, hooks

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

    Raises `ConfigurationError` with every fault found. Nothing connects before it is needed.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        load_claims: LoadClaims | None = None,
        on_event: EventHook | None = None,
        clock: Callable[[], float] | None = None,
        **keywords: Unpack[SettingsKeywords],
    ) -> None:
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
        self.settings = settings
        self.clock = clock or time.time
        self._hooks = Hooks(load_claims, on_event)
        self._memory = ProcessMemory(settings.token_cache_size)
        self._parts = Parts(
            settings=settings,
            tokens=Tokens(settings),
            transport=Transport(settings),
            origins=OriginPolicy(settings),
            memory=self._memory,
            has_load_claims=load_claims is not None,
        )
        self.flow = Flow(self._parts)
        self._opening = Lock()
        self._stores: dict[str, SessionStore | AsyncSessionStore] = {}
        self._event_loop_world: EventLoopWorld | None = None
        self.world = SyncWorld(store=self._sync_store, hooks=self._port_of_hooks)

    @classmethod
    def of(
        cls,
        auth: JWTAuth | Settings | None,
        load_claims: LoadClaims | None,
        on_event: EventHook | None,
        clock: Callable[[], float] | None,
        **keywords: Unpack[SettingsKeywords],
    ) -> JWTAuth:
        """What a door was given, as one `JWTAuth`. Raises `ConfigurationError`."""
        if isinstance(auth, JWTAuth):
            if keywords or load_claims or on_event or clock:
                raise ConfigurationError(
                    "settings beside a JWTAuth would not be heard: give them to JWTAuth(...)"
                )
            return auth
        return cls(auth, load_claims=load_claims, on_event=on_event, clock=clock, **keywords)

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

    def revoke(self, session_id: str) -> bool:
        """End a session; True if this call ended it.

        Access tokens it has handed out are refused by this process at once, and elsewhere
        when they expire. Raises `StoreUnavailable`, `SessionsNotStored`.
        """
        return run(self._revoke(session_id), self.world)

    async def arevoke(self, session_id: str) -> bool:
        """`revoke`, to be awaited."""
        return await arun(self._revoke(session_id), self.event_loop_world)

    def revoke_subject(self, subject: str, *, keep: str | None = None) -> int:
        """End all sessions of a subject, but for the session id ``keep``; answers how many.

        A login that began before this call does not survive it, even if it is stored later.
        Raises `StoreUnavailable`, `SessionsNotStored`.
        """
        return run(self._revoke_subject(subject, keep), self.world)

    async def arevoke_subject(self, subject: str, *, keep: str | None = None) -> int:
        """`revoke_subject`, to be awaited."""
        return await arun(self._revoke_subject(subject, keep), self.event_loop_world)

    def sessions(self, subject: str) -> list[Session]:
        """The subject's sessions that are alive, newest first.

        Raises `StoreUnavailable`, `SessionsNotStored`.
        """
        return run(self._sessions(subject), self.world)

    async def asessions(self, subject: str) -> list[Session]:
        """`sessions`, to be awaited."""
        return await arun(self._sessions(subject), self.event_loop_world)

    def purge(self) -> int:
        """Delete the rows of sessions past their absolute expiry, in bounded batches;
        answers how many. Raises `StoreUnavailable`, `SessionsNotStored`."""
        return run(self._purge(), self.world)

    async def apurge(self) -> int:
        """`purge`, to be awaited."""
        return await arun(self._purge(), self.event_loop_world)

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
            ports = {"store": self._async_store, "hooks": self._port_of_hooks}
            self._event_loop_world = EventLoopWorld(**ports)
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
        session = self._parts.tokens.new_session(
            checked_subject(subject),
            custom_claims(claims, self.settings.identity_claim),
            persistent=remember,
            now=now,
            user_agent=user_agent,
            address=address,
        )
        pair = self._parts.tokens.pair(session, now=now)
        if not self._parts.stateless:
            # It begins now: after whatever was ended in the same instant.
            begun = replace(session, created_at=now + JUST_AFTER)
            stored = yield from store.create(begun, ends=(), now=now)
            if stored.revoked:
                raise StoreUnavailable("the subject was signed out everywhere meanwhile")
        yield from hooks.emit(Event("login", now, None, subject, session.id))
        return pair

    def _revoke(self, session_id: str) -> Asks[bool]:
        self._check_stored("revoke")
        now = self.clock()
        ended = yield from store.revoke(session_id, reason="revoked", now=now)
        self._memory.end(session_id, "revoked")
        if ended:
            yield from hooks.emit(Event("revoked", now, None, None, session_id))
        return ended

    def _revoke_subject(self, subject: str, keep: str | None) -> Asks[int]:
        self._check_stored("revoke_subject")
        now = self.clock()
        ended = yield from store.revoke_subject(
            subject,
            reason="revoked",
            keep=keep,
            until=now + self.settings.session_lifetime,
            now=now,
        )
        for session_id in ended:
            self._memory.end(session_id, "revoked")
        yield from hooks.emit(Event("revoked", now, None, subject))
        return len(ended)

    def _close(self) -> Asks[None]:
        if self._memory.store_opened:
            yield from store.close()

    def _sessions(self, subject: str) -> Asks[list[Session]]:
        self._check_stored("sessions")
        return (yield from store.find(subject, now=self.clock()))

    def _purge(self) -> Asks[int]:
        self._check_stored("purge")
        before, gone = self.clock(), 0
        while batch := (yield from store.purge(before, limit=PURGE_BATCH)):
            gone += batch
        return gone


def _is_async_store(candidate: object) -> bool:
    return inspect.iscoroutinefunction(getattr(candidate, "load", None))
