"""Who answers the commands of a decision: the session store and the app's hooks."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

from .driver import Asks, Command
from .events import Event, EventHook, tell
from .sessions import Session

LoadClaims: TypeAlias = Callable[
    [Session], Mapping[str, Any] | Awaitable[Mapping[str, Any] | None] | None
]
"""Asked at every reissue: fresh claims for the session's subject, or None to end it."""

Port: TypeAlias = Callable[[], Any]


class Hooks:
    """The app's own functions, as one port."""

    inline = frozenset(("emit",))
    """Verbs quick enough to be called straight on an event loop."""

    def __init__(self, load_claims: LoadClaims | None, on_event: EventHook | None) -> None:
        self.load_claims = load_claims
        self._on_event = on_event

    @property
    def needs_event_loop(self) -> bool:
        return _is_async(self.load_claims)

    def emit(self, event: Event) -> None:
        tell(event, self._on_event)


class _HookVerbs:
    """The verbs a decision asks of the app, as commands."""

    def load_claims(self, session: Session) -> Asks[Mapping[str, Any] | None]:
        answer: Mapping[str, Any] | None = yield Command("hooks", "load_claims", (session,))
        return answer

    def emit(self, event: Event) -> Asks[None]:
        yield Command("hooks", "emit", (event,))


hooks = _HookVerbs()
"""``claims = yield from hooks.load_claims(session)``"""


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
    calls ``inline``: a hop costs more than a primary-key read of an embedded database."""

    def __init__(self, **ports: Port) -> None:
        # Here, not above: only programs with an event loop pay for the import.
        from asgiref.sync import sync_to_async

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
        return await answer if inspect.isawaitable(answer) else answer


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
