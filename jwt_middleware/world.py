"""Who answers the commands of a decision (the session store, the app's hooks, the keys, a body, a
timer), and the verbs by which it asks the last four."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

from .bodies import Beginning
from .driver import Asks, Command
from .events import Event, EventHook, EventName, advise, heard, tell
from .keys import KeySource
from .request import Request
from .sessions import Session

LoadClaims: TypeAlias = Callable[
    [Session], Mapping[str, Any] | Awaitable[Mapping[str, Any] | None] | None
]
"""Asked at every reissue: fresh claims for the session's subject, or None to end it."""

Port: TypeAlias = Callable[[], Any]


class Hooks:
    """The app's own functions, as one port."""

    inline: frozenset[str] = frozenset(("emit", "advise"))
    """Verbs quick enough to be called straight on an event loop."""

    def __init__(self, load_claims: LoadClaims | None, on_event: EventHook | None) -> None:
        self.load_claims = load_claims
        self._on_event = on_event

    @property
    def needs_event_loop(self) -> bool:
        return _is_async(self.load_claims)

    def emit(self, event: Event) -> None:
        tell(event, self._on_event)

    def advise(self, text: str) -> None:
        advise(text)

    def tell(self, name: EventName, at: float, subject: str, session_id: str) -> None:
        """The same without a command, for what happens often: an event that reaches nobody is
        not even made. It neither waits nor fails."""
        if heard(name, self._on_event):
            tell(Event(name, at, None, subject, session_id), self._on_event)


class _HookVerbs:
    """The verbs a decision asks of the app, as commands."""

    def load_claims(self, session: Session) -> Asks[Mapping[str, Any] | None]:
        answer: Mapping[str, Any] | None = yield Command("hooks", "load_claims", (session,))
        return answer

    def emit(self, event: Event) -> Asks[None]:
        yield Command("hooks", "emit", (event,))

    def advise(self, text: str) -> Asks[None]:
        yield Command("hooks", "advise", (text,))


hooks: _HookVerbs = _HookVerbs()
"""``claims = yield from hooks.load_claims(session)``"""


class KeyRefresher:
    """Whoever looks for newer keys, as one port; that may take a request to somebody else."""

    def refresh(self, keys: KeySource, kid: str | None, now: float) -> None:
        keys.refresh(kid, now)


class AsyncKeyRefresher:
    """The same where there is an event loop. Who waits for somebody else takes no thread, so that
    however many wait, the threads are there for the store."""

    async def refresh(self, keys: KeySource, kid: str | None, now: float) -> None:
        arefresh = getattr(keys, "arefresh", None)
        if arefresh is not None:
            await arefresh(kid, now)
        else:
            from asgiref.sync import sync_to_async

            look = partial(_without_stop_iteration, partial(keys.refresh, kid, now))
            await sync_to_async(look, thread_sensitive=False)()


class _KeyVerbs:
    """What a decision asks about keys, as commands."""

    def refresh(self, keys: KeySource, kid: str | None, *, now: float) -> Asks[None]:
        yield Command("keys", "refresh", (keys, kid, now))

    def look(self, keys: KeySource, *, now: float) -> Asks[None]:
        """Our own keys, before they sign or verify, if it is time to look at their files."""
        if now >= keys.due and keys.stale(None, now):
            yield from self.refresh(keys, None, now=now)


key_sources: _KeyVerbs = _KeyVerbs()
"""``yield from key_sources.refresh(keys, kid, now=now)``"""


class Bodies:
    """The bodies of requests, as one port: only ever looked at."""

    inline: frozenset[str] = frozenset(("peek",))

    def peek(self, request: Request) -> Any:
        assert request.peek is not None  # noqa: S101  # else nobody asks
        return request.peek()


class _BodyVerbs:
    """What a decision asks about a body, as a command."""

    def peek(self, request: Request) -> Asks[Beginning]:
        answer: Beginning = yield Command("bodies", "peek", (request,))
        return answer


bodies: _BodyVerbs = _BodyVerbs()
"""``beginning = yield from bodies.peek(request)``"""


class _TimerVerbs:
    """What the decision about an open connection asks of time, as a command."""

    def wait(self, until: float) -> Asks[float | None]:
        """Until that moment; answers the time, or None once this process has seen the
        session end."""
        now: float | None = yield Command("timer", "wait", (until,))
        return now


timer: _TimerVerbs = _TimerVerbs()
"""``now = yield from timer.wait(until)``"""


class SyncWorld:
    """Answers straight away, in the caller's thread."""

    def __init__(self, **ports: Port) -> None:
        self._ports = ports

    def answer(self, command: Command) -> Any:
        verb = getattr(self._ports[command.port](), command.verb)
        answer = verb(*command.arguments, **command.options)
        if inspect.iscoroutine(answer):
            answer.close()
            raise TypeError(f"{command.verb} is async, and this program is not")
        return answer


class EventLoopWorld:
    """Awaits what is async; runs what blocks in a worker thread, but for the verbs a port
    calls ``inline``: a hop costs more than a primary-key read of an embedded database.

    What is awaited of the store is cancelled after ``store_timeout`` seconds. A thread cannot be
    stopped in the midst of a write: what runs there has to bound itself.
    """

    def __init__(self, store_timeout: float, **ports: Port) -> None:
        # Here, not above: only programs with an event loop pay for the imports.
        from asyncio import timeout

        from asgiref.sync import sync_to_async

        self._timeout = timeout
        self._store_timeout = store_timeout
        self._in_thread: Callable[..., Any] = partial(sync_to_async, thread_sensitive=False)
        self._ports = ports

    async def answer(self, command: Command) -> Any:
        port = self._ports[command.port]()
        verb = getattr(port, command.verb)
        call = partial(verb, *command.arguments, **command.options)
        if _is_async(verb) or command.verb in getattr(port, "inline", ()):
            answer = call()
        else:
            answer = await self._in_thread(partial(_without_stop_iteration, call))()
        if not inspect.isawaitable(answer):
            return answer
        async with self._timeout(self._patience(command, port)):
            return await answer

    def _patience(self, command: Command, port: Any) -> float | None:
        """Seconds; None: as long as it takes."""
        if command.port != "store":
            return None
        # Who lets go by itself walks over everything to purge, and no request waits for that.
        walks = command.verb == "purge" and getattr(port, "expires_by_itself", False)
        return None if walks else self._store_timeout


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  # an object whose call is async
    )


def _without_stop_iteration(call: Callable[[], Any]) -> Any:
    """A future cannot carry StopIteration: whoever awaits it would wait forever."""
    try:
        return call()
    except StopIteration as stop:
        raise RuntimeError("StopIteration raised by a store or hook") from stop
