"""Two short loops that run a decision against the world, one sync and one async.

A decision (see :mod:`jwt_middleware.flow`) is a generator. It does no I/O: it yields a
:class:`Command` for whatever it needs to know or to have done, and is sent the answer.
The loops know no verb; a :class:`World` does. So the decision is written once, and the
sync and the async door cannot drift apart.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping
from contextlib import closing
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from .errors import JWTMiddlewareError, StoreUnavailable

_logger = logging.getLogger("jwt_middleware")

T = TypeVar("T")


_NO_OPTIONS: Mapping[str, Any] = {}


class Command(NamedTuple):
    """One question to the world outside: ``port`` is whom to ask, ``verb`` what."""

    port: str
    verb: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = _NO_OPTIONS


Asks: TypeAlias = Generator[Command, Any, T]
"""A generator that asks commands and, in the end, returns a ``T``."""


class World(Protocol):
    """What answers commands in a sync program."""

    def answer(self, command: Command, /) -> Any: ...


class AsyncWorld(Protocol):
    """What answers commands in an async program."""

    async def answer(self, command: Command, /) -> Any: ...


def run(steps: Asks[T], world: World) -> T:
    """Run ``steps`` to their end. What the world raises arrives in them as `StoreUnavailable`."""
    # Two try blocks, apart: an answer that raises StopIteration must not pass for an outcome.
    answer: Any = None
    failure: StoreUnavailable | None = None
    with closing(steps):  # given up in its midst, it ends here and now, not when it is collected
        while True:
            try:
                command = steps.send(answer) if failure is None else steps.throw(failure)
            except StopIteration as outcome:
                return outcome.value  # type: ignore[no-any-return]  # typed Any by Generator
            try:
                answer, failure = world.answer(command), None
            except Exception as cause:
                failure = _unavailable(command, cause)


async def arun(steps: Asks[T], world: AsyncWorld) -> T:
    """The same loop as :func:`run`, for a world that must be awaited."""
    answer: Any = None
    failure: StoreUnavailable | None = None
    with closing(steps):
        while True:
            try:
                command = steps.send(answer) if failure is None else steps.throw(failure)
            except StopIteration as outcome:
                return outcome.value  # type: ignore[no-any-return]  # typed Any by Generator
            try:
                answer, failure = await world.answer(command), None
            except Exception as cause:
                failure = _unavailable(command, cause)


async def arun_through(steps: Asks[T], world: AsyncWorld) -> T:
    """`arun`, to the end even if whoever waits for it is cancelled: in a task of its own."""
    from asyncio import ensure_future, shield  # a program without an event loop loads none of it

    return await shield(ensure_future(arun(steps, world)))


def _unavailable(command: Command, failure: Exception) -> StoreUnavailable:
    """One kind of failure for the decision, whatever a driver or a user's hook raised."""
    text = f"{command.port}.{command.verb} failed ({type(failure).__name__})"
    if isinstance(failure, JWTMiddlewareError):
        text += f": {failure}"  # ours; others may quote a connection URL or a row
    error = StoreUnavailable(text, decisive=command.port == "hooks")
    error.__cause__ = failure
    _logger.warning("%s", error)
    _logger.debug("%s", error, exc_info=failure)
    return error
