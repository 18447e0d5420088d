"""A look at a body, after which the app reads it as if nobody had."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_middleware.bodies import Beginning, ReplayedInput, ReplayedReceive, peek_input
from jwt_middleware.forms import LOOKED_AT

LONG = bytes(range(256)) * (LOOKED_AT // 256 + 9)


class Wire(io.RawIOBase):
    """A server's stream: gives little at a time, and blocks for ever behind the body."""

    def __init__(self, content: bytes, chunk: int = 1000, *, ends: bool = False) -> None:
        self.content = io.BytesIO(content)
        self.left = len(content)
        self.chunk = chunk
        self.ends = ends

    def read(self, size: int | None = -1) -> bytes:
        if not self.ends:
            assert size is not None, "read without a size, with no end in sight"
            assert 0 <= size <= self.left, "read beyond the body: a real stream would block"
        got = self.content.read(self.chunk if size is None or size < 0 else min(size, self.chunk))
        self.left -= len(got)
        return got


def environ_of(content: bytes, **more: Any) -> dict[str, Any]:
    return {"wsgi.input": Wire(content), "CONTENT_LENGTH": str(len(content)), **more}


@pytest.mark.parametrize("length", [1, 1000, LOOKED_AT - 1, LOOKED_AT])
def test_a_short_body_is_seen_whole(length: int) -> None:
    """A body up to the limit is seen to its end, and read again from its beginning."""
    environ = environ_of(LONG[:length])
    assert peek_input(environ) == (LONG[:length], True)
    assert environ["wsgi.input"].read() == LONG[:length]
    assert environ["wsgi.input"].read(5) == b""


def test_a_long_body_is_seen_in_part() -> None:
    """Beyond the limit nothing is read; the app gets all of it, never asked for more."""
    environ = environ_of(LONG)
    wire = environ["wsgi.input"]
    assert peek_input(environ) == (LONG[:LOOKED_AT], False)
    assert wire.left == len(LONG) - LOOKED_AT
    got = b""
    while len(got) < len(LONG):
        got += environ["wsgi.input"].read(min(5000, len(LONG) - len(got)))
    assert got == LONG


@pytest.mark.parametrize("length", [0, 10, LOOKED_AT, len(LONG)])
def test_a_stream_that_knows_its_end(length: int) -> None:
    """A chunked body is read where the server says that the stream ends by itself."""
    stream = Wire(LONG[:length], 3000, ends=True)
    environ: dict[str, Any] = {"wsgi.input": stream, "wsgi.input_terminated": True}
    beginning = peek_input(environ)
    assert beginning.content == LONG[: min(length, LOOKED_AT)]
    assert beginning.whole is (length < LOOKED_AT)
    got = b""
    while more := environ["wsgi.input"].read(4096):
        got += more
    assert got == LONG[:length]


@pytest.mark.parametrize("length", [None, "", "0", "-1", "ten", "٣", "1 0"])
def test_a_stream_without_an_end_is_left_alone(length: str | None) -> None:
    """Where nobody says how long the body is, nothing is read (PEP 3333)."""
    stream = object()
    environ: dict[str, Any] = {"wsgi.input": stream}
    if length is not None:
        environ["CONTENT_LENGTH"] = length
    assert peek_input(environ) == (b"", True)
    assert environ["wsgi.input"] is stream


def test_a_client_that_sends_less_than_it_said() -> None:
    """A body that ends early is whole: nothing comes behind it."""
    environ = {"wsgi.input": Wire(b"abc", ends=True), "CONTENT_LENGTH": "70000"}
    assert peek_input(environ) == (b"abc", True)
    assert environ["wsgi.input"].read() == b"abc"


TEXT = b"one\ntwo\n\nfour, which is longer\nfive without an end"
CALLS = {
    "read": st.builds(lambda n: ("read", n), st.none() | st.integers(-1, 60)),
    "readline": st.builds(lambda n: ("readline", n), st.none() | st.integers(-1, 60)),
    "readlines": st.builds(lambda n: ("readlines", n), st.none() | st.integers(-1, 60)),
}


@given(st.integers(0, len(TEXT)), st.lists(st.one_of(*CALLS.values()), max_size=8))
def test_it_reads_like_a_file(seen: int, calls: list[tuple[str, int | None]]) -> None:
    """Wherever the look ended: lines, lists of lines and pieces are those of the body."""
    again = ReplayedInput(TEXT[:seen], io.BytesIO(TEXT[seen:]))
    file = io.BytesIO(TEXT)
    for name, size in calls:
        assert getattr(again, name)(size) == getattr(file, name)(size)
    assert b"".join(again) == file.read()


def test_a_stream_that_fails_fails_for_the_app_too() -> None:
    """What the server's stream raises is raised, and is still there for the app to meet."""

    class Broken(io.RawIOBase):
        def read(self, size: int | None = -1) -> bytes:
            raise ConnectionResetError

    environ = {"wsgi.input": Broken(), "CONTENT_LENGTH": "10"}
    for read in (lambda: peek_input(environ), lambda: environ["wsgi.input"].read(10)):
        with pytest.raises(ConnectionResetError):
            read()


# ── ASGI ─────────────────────────────────────────────────────────────────────────


def body(content: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": content, "more_body": more}


GONE = {"type": "http.disconnect"}


def messages_of(*messages: dict[str, Any]) -> tuple[Callable[[], Any], list[dict[str, Any]]]:
    left = list(messages)

    async def receive() -> dict[str, Any]:
        return left.pop(0)

    return receive, left


@pytest.mark.parametrize(
    ("messages", "seen", "taken"),
    [
        ([body(b"abc")], (b"abc", True), 1),
        ([body(b"a", True), body(b"", True), body(b"bc"), GONE], (b"abc", True), 3),
        ([{"type": "http.request"}, GONE], (b"", True), 1),
        ([body(b"a", True), GONE], (b"a", True), 2),
        ([body(LONG, True), body(b"more")], (LONG, False), 1),
        ([body(LONG[:LOOKED_AT]), GONE], (LONG[:LOOKED_AT], True), 1),
    ],
    ids=["one", "several", "none", "gone", "long", "just"],
)
def test_messages_are_given_again(
    messages: list[dict[str, Any]], seen: tuple[bytes, bool], taken: int
) -> None:
    """The app receives every message, the very same, in order; no more were taken than needed."""

    async def play() -> None:
        receive, left = messages_of(*messages)
        replayed = ReplayedReceive(receive)
        assert await replayed.peek() == Beginning(*seen)
        assert len(messages) - len(left) == taken
        for message in messages:
            assert await replayed() is message

    asyncio.run(play())


def test_unless_it_was_looked_at_nothing_is_taken() -> None:
    """Without a look, messages pass one by one."""

    async def play() -> None:
        receive, left = messages_of(body(b"a", True), body(b"b"))
        replayed = ReplayedReceive(receive)
        assert (await replayed())["body"] == b"a"
        assert len(left) == 1

    asyncio.run(play())
