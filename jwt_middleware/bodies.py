"""A look at the beginning of a request body, which the app then reads as if nobody had.

For one purpose: a form posted without a script can carry its CSRF token nowhere else. At most
`LOOKED_AT` bytes are held, only while they have not been handed on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from io import BytesIO
from typing import IO, Any, NamedTuple

from .forms import LOOKED_AT


class Beginning(NamedTuple):
    """What was seen of a body."""

    content: bytes
    whole: bool
    """There is nothing behind it."""


# ── WSGI ─────────────────────────────────────────────────────────────────────────────


def peek_input(environ: dict[str, Any]) -> Beginning:
    """The beginning of ``wsgi.input``, which is put back in front of the rest.

    Raises what the server's stream raises; the app then meets the same.
    """
    stream = environ["wsgi.input"]
    length = _length(environ)
    if length == 0:
        return Beginning(b"", whole=True)
    content = read_up_to(stream, min(length, LOOKED_AT))
    whole = len(content) < LOOKED_AT or length == LOOKED_AT
    environ["wsgi.input"] = BytesIO(content) if whole else ReplayedInput(content, stream)
    return Beginning(content, whole)


def _length(environ: dict[str, Any]) -> int:
    """Bytes that may be read; a stream whose end nobody told is left alone (PEP 3333)."""
    stated = environ.get("CONTENT_LENGTH") or ""
    if stated.isdecimal() and stated.isascii():
        return int(stated[:20])
    return LOOKED_AT + 1 if environ.get("wsgi.input_terminated") else 0


def read_up_to(stream: Any, size: int) -> bytes:
    """As many bytes of a stream, or all there are."""
    content = b""
    while len(content) < size:
        more = stream.read(size - len(content))
        if not more:
            break  # the client has sent less than it said
        content += more
    return content


class ReplayedInput:
    """``wsgi.input`` again from its beginning (PEP 3333): never reads further than it is asked."""

    def __init__(self, beginning: bytes, rest: IO[bytes]) -> None:
        self._beginning = BytesIO(beginning)
        self._rest = rest

    def read(self, size: int | None = -1) -> bytes:
        """As a file's: None and negative numbers mean all."""
        content = self._beginning.read(size)
        if size is None or size < 0:
            return content + self._rest.read()
        # Apps count on as much as they have asked for (Django, for one).
        return content + self._rest.read(size - len(content)) if len(content) < size else content

    def readline(self, size: int | None = -1) -> bytes:
        """As a file's."""
        line = self._beginning.readline(size)
        if line.endswith(b"\n") or (size is not None and 0 <= size <= len(line)):
            return line
        if size is None or size < 0:
            return line + self._rest.readline()
        return line + self._rest.readline(size - len(line))

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """As a file's: with ``hint``, about as many bytes of lines."""
        lines: list[bytes] = []
        size = 0
        for line in self:
            lines.append(line)
            size += len(line)
            if hint is not None and 0 < hint <= size:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")


# ── ASGI ─────────────────────────────────────────────────────────────────────────────


class ReplayedReceive:
    """``receive`` of an ASGI app that gives the messages again which `peek` has taken."""

    def __init__(self, receive: Callable[[], Awaitable[MutableMapping[str, Any]]]) -> None:
        self._receive = receive
        self._taken: list[MutableMapping[str, Any]] = []

    async def peek(self) -> Beginning:
        """The beginning of the body."""
        content = b""
        while len(content) < LOOKED_AT:
            message = await self._receive()
            self._taken.append(message)
            content += message.get("body", b"")
            if not message.get("more_body", False):  # a disconnect ends it, too
                return Beginning(content, whole=True)
        return Beginning(content, whole=False)

    async def __call__(self) -> MutableMapping[str, Any]:
        if self._taken:
            return self._taken.pop(0)
        return await self._receive()
