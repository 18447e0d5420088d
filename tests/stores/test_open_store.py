import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jwt_middleware import stores
from jwt_middleware.errors import ConfigurationError
from jwt_middleware.stores import VERBS, check_store, open_store
from jwt_middleware.stores.memory import MemorySessionStore
from jwt_middleware.stores.sqlite import SQLiteSessionStore


def test_the_verbs_are_those_of_the_protocol():
    """What an object needs is what SessionStore asks for."""
    assert set(VERBS) == {
        "create",
        "load",
        "rotate",
        "confirm",
        "update",
        "revoke",
        "revoke_subject",
        "find",
        "purge",
        "close",
    }


def test_memory():
    """memory:// opens a new store each time."""
    first, second = (open_store("memory://", timeout=2) for _ in range(2))
    assert isinstance(first, MemorySessionStore)
    assert first is not second


def test_sqlite_relative(tmp_path, monkeypatch):
    """Three slashes: a path below the working directory; nothing is opened yet."""
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///some.sqlite3", timeout=2)
    assert isinstance(store, SQLiteSessionStore)
    assert store.path == tmp_path / "some.sqlite3"
    assert list(tmp_path.iterdir()) == []


def test_sqlite_absolute():
    """Four slashes: an absolute path."""
    store = open_store("sqlite:////srv/some%20/jwt.sqlite3", timeout=2)
    assert isinstance(store, SQLiteSessionStore)
    assert store.path == Path("/srv/some%20/jwt.sqlite3")


def test_the_timeout_reaches_the_store(tmp_path):
    """SQLite waits for other writers as long as the settings say."""
    store = open_store(f"sqlite:///{tmp_path}/s.sqlite3", timeout=0.25)
    assert isinstance(store, SQLiteSessionStore)
    with store._line() as connection:
        assert connection.execute("PRAGMA busy_timeout").fetchone() == (250,)
    store.close()


@pytest.mark.parametrize("none", ["none", "NONE"])
def test_none(none):
    """Stateless: no store at all."""
    assert check_store(none) is None
    assert open_store(none, timeout=2) is None


def test_the_case_of_a_scheme_does_not_matter():
    """Schemes are case-insensitive (RFC 3986 section 3.1)."""
    assert isinstance(open_store("Memory://", timeout=2), MemorySessionStore)


def test_an_object_is_the_store():
    """An object with all the verbs is answered as it is, whatever its class."""
    duck: Any = type("Duck", (), dict.fromkeys(VERBS, lambda self: None))()
    assert check_store(duck) is None
    assert open_store(duck, timeout=2) is duck


def test_an_object_that_lacks_verbs():
    """All that is missing is listed; an attribute that cannot be called counts as missing."""
    verbs: dict[str, Any] = dict.fromkeys(VERBS, lambda self: None)
    del verbs["purge"]
    verbs["find"] = None
    half: Any = type("Half", (), verbs)()
    with pytest.raises(ConfigurationError, match="Half has no find, purge "):
        open_store(half, timeout=2)


@pytest.mark.parametrize("value", [None, 5, Path("jwt.sqlite3"), b"memory://"])
def test_what_is_neither_url_nor_store(value):
    """Anything else is named by its type."""
    fault = check_store(value)
    assert fault is not None
    assert type(value).__name__ in fault


def test_a_class_is_no_store():
    """The class in place of an instance is the likely slip, and said so."""
    fault = check_store(MemorySessionStore)
    assert fault is not None
    assert "the class MemorySessionStore: give an instance" in fault


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("sqllite:///s.sqlite3", "did you mean sqlite://?"),
        ("memry://", "did you mean memory://?"),
        ("sqlite+aiosqlite:///s.sqlite3", "did you mean sqlite://?"),
        ("oracle://host", "unknown scheme oracle://. Known"),
        ("mongodb://localhost", "unknown scheme mongodb://. Known"),
        ("jwt.sqlite3", "no URL (a file is sqlite:///path)"),
        ("/srv/jwt.sqlite3", "no URL"),
        ("", "no URL"),
        ("sqlite:s.sqlite3", "no URL"),
        ("memory://x", "takes nothing"),
        ("sqlite://s.sqlite3", "three slashes"),
        ("sqlite://user@host/s.sqlite3", "three slashes"),
        ("sqlite://", "use memory://"),
        ("sqlite:///", "use memory://"),
        ("sqlite:///:memory:", "use memory://"),
        ("sqlite:///s.sqlite3?synchronous=FULL", "takes no options"),
        ("sqlite+pysqlite://", "use memory://"),
        ("sqlite+pysqlite:///:memory:", "use memory://"),
    ],
)
def test_a_url_that_opens_nothing(url, hint):
    """What is wrong and what to write instead, by check_store and by open_store alike."""
    fault = check_store(url)
    assert fault is not None
    assert hint in fault
    with pytest.raises(ConfigurationError) as raised:
        open_store(url, timeout=2)
    assert raised.value.faults == (fault,)


def test_an_unknown_scheme_is_told_the_known_ones():
    """The message lists what there is."""
    fault = check_store("ftp://somewhere")
    assert fault is not None
    assert fault.endswith(
        "Known: memory://, sqlite://, redis://, rediss://, redis+cluster://, "
        "rediss+cluster://, postgresql://, postgres://, mariadb://, mysql://, and none."
    )


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:hunter2@host/no-number",
        "mongodb://user:hunter2@host",
        "sqlite://user:hunter2@host/path",
        "memory://user:hunter2@host",
        "sqlite:////path?password=hunter2",
        "user:hunter2@host",
        "user:hunter2@redis://host",
        "hunter2 ://host",
    ],
)
def test_no_message_holds_a_password(url):
    """Errors end up in logs: nothing but a well-formed scheme is ever quoted."""
    fault = check_store(url)
    assert fault is not None
    assert "hunter2" not in fault
    with pytest.raises(ConfigurationError) as raised:
        open_store(url, timeout=2)
    assert "hunter2" not in str(raised.value)


def test_a_scheme_with_an_async_twin(monkeypatch):
    """An async program gets the async store where there is one, anybody else the sync one."""
    opened = {name: MemorySessionStore() for name in ("sync", "async")}
    row = stores._Scheme(
        lambda rest: None, lambda rest, timeout: opened["sync"], lambda *_: opened["async"]
    )
    monkeypatch.setitem(stores._SCHEMES, "twin", row)
    assert open_store("twin://", timeout=2) is opened["sync"]
    assert open_store("twin://", timeout=2, prefer_async=True) is opened["async"]
    assert isinstance(open_store("memory://", timeout=2, prefer_async=True), MemorySessionStore)


def test_a_plug_is_imported_on_demand():
    """Checking any URL, and opening one store, imports no other."""
    program = """if True:
    import sys
    from jwt_middleware.stores import check_store, open_store
    check_store("sqlite:///s.sqlite3"), check_store("memory://")
    assert not {"jwt_middleware.stores.sqlite", "jwt_middleware.stores.memory"} & set(sys.modules)
    open_store("memory://", timeout=2)
    assert "jwt_middleware.stores.sqlite" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
