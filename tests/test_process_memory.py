"""What one process remembers: within bounds, and never wrong for having forgotten."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_middleware.forks import after_fork
from jwt_middleware.memory import ENDED_SIZE, Bounded, ProcessMemory

# ── A bounded mapping ────────────────────────────────────────────────────────────


def test_what_was_put_is_there() -> None:
    """An entry is found by its key, and its last value counts."""
    known: Bounded[str, int] = Bounded(10)
    assert known.get("a") is None
    known.put("a", 1)
    known.put("a", 2)
    assert known.get("a") == 2
    assert len(known) == 1


@pytest.mark.parametrize("size", range(8))
def test_the_size_is_never_passed(size: int) -> None:
    """There are never more entries than the size allows."""  # S21
    known: Bounded[int, int] = Bounded(size)
    for number in range(50):
        known.put(number, number)
        assert len(known) <= size
        if size >= 2:
            assert known.get(number) == number


def test_the_oldest_half_is_forgotten() -> None:
    """Of the entries the older half goes at once, and the newer half stays."""
    known: Bounded[int, int] = Bounded(10)
    for number in range(10):
        known.put(number, number)
    assert [number for number in range(10) if known.get(number) is not None] == list(range(10))
    known.put(10, 10)
    assert [number for number in range(11) if known.get(number) is not None] == list(range(5, 11))


def test_the_newer_half_is_always_there() -> None:
    """The last entries put, half as many as the size, are never forgotten."""
    known: Bounded[int, int] = Bounded(20)
    for number in range(100):
        known.put(number, number)
        assert all(known.get(recent) == recent for recent in range(max(0, number - 9), number + 1))


@given(
    st.integers(0, 12),
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 99)), max_size=60),
)
def test_never_an_old_value(size: int, puts: list[tuple[int, int]]) -> None:
    """What is found is the last value put, or nothing."""
    known: Bounded[int, int] = Bounded(size)
    last: dict[int, int] = {}
    for key, value in puts:
        known.put(key, value)
        last[key] = value
        assert len(known) <= size
        for one in range(9):
            assert known.get(one) in (None, last.get(one))


def test_threads_lose_nothing_recent() -> None:
    """Threads that put at the same time leave it within its bounds."""  # S51
    known: Bounded[tuple[int, int], int] = Bounded(64)

    def put(thread: int) -> None:
        for number in range(500):
            known.put((thread, number), number)
            found = known.get((thread, number))
            assert found in (None, number)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(known) <= 64


# ── The memory of a process ──────────────────────────────────────────────────────


def test_it_begins_empty() -> None:
    """A process begins knowing nothing, and has opened no store."""
    memory = ProcessMemory(16)
    assert not memory.ended
    assert not memory.store_opened
    assert (memory.pause_until, memory.purge_again_at) == (0.0, 0.0)
    assert not memory.has_confirmed("s", 0)
    assert None not in memory.ended


def test_two_memories_share_nothing() -> None:
    """What one memory learns, another does not know."""
    one, other = ProcessMemory(16), ProcessMemory(16)
    one.end("s")
    one.confirmed.put("s", 3)
    one.minted.put("s", object())
    assert "s" not in other.ended
    assert not other.has_confirmed("s", 1)
    assert other.minted.get("s") is None


@pytest.mark.parametrize("size", [0, 1, 2, 16])
def test_generations_that_are_confirmed(size: int) -> None:
    """A confirmed generation confirms all before it, and none after, however small the memory."""
    memory = ProcessMemory(size)
    memory.confirmed.put("s", 3)
    assert [memory.has_confirmed("s", generation) for generation in range(5)] == [
        True,
        True,
        True,
        True,
        False,
    ]
    assert not memory.has_confirmed("other", 0)


def test_ended_sessions_are_bounded() -> None:
    """However many sessions end, the newest ones are remembered, and not many more."""
    memory = ProcessMemory(16)
    for number in range(3 * ENDED_SIZE):
        memory.end(str(number))
        assert len(memory.ended) <= ENDED_SIZE
        assert str(number) in memory.ended
    newest = range(3 * ENDED_SIZE - ENDED_SIZE // 2, 3 * ENDED_SIZE)
    assert all(str(number) in memory.ended for number in newest)
    assert "0" not in memory.ended


def test_a_session_ends_once_or_twice() -> None:
    """A session that ends again takes no second place."""
    memory = ProcessMemory(16)
    for _ in range(3):
        memory.end("s")
    assert list(memory.ended) == ["s"]


def test_what_stands() -> None:
    """An answer stands until its session changes, and none does that was made while one changed."""
    # S44
    memory = ProcessMemory(16)
    one, other = object(), object()
    before = memory.overturned
    assert memory.stand("a", one, since=before)
    assert memory.stand("b", other, since=before)
    memory.overturn("a")
    assert (memory.standing.get("a"), memory.standing.get("b")) == (None, other)
    assert not memory.stand("a", one, since=before)
    assert memory.standing.get("a") is None
    assert memory.stand("a", one, since=memory.overturned)


@pytest.mark.parametrize("forked", [False, True])
def test_whoever_is_collected_in_the_midst_waits_for_nobody(forked: bool) -> None:
    """A generator that is thrown away may say that a session changes while its own thread is at the
    memory: no thread waits for itself."""
    memory = ProcessMemory(16)
    if forked:
        after_fork()
    with memory._lock, memory.standing._lock:
        memory.overturn("a")
        memory.standing.put("a", 1)
    assert memory.standing.get("a") == 1
