from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import jwt_middleware
from jwt_middleware.cli.main import main

DOORS = ("wsgi", "asgi")


@pytest.fixture
def taken_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


@pytest.fixture
def without_uvicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """``--version`` prints the version of the package."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"jwt_middleware {jwt_middleware.__version__}\n"


def test_no_command_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command the help is printed, which names every command."""
    assert main([]) == 0
    out = capsys.readouterr().out
    assert "usage: jwt-middleware" in out
    for command in ("keygen", "inspect", "check", "issue", "sessions", "demo"):
        assert f"\n    {command} " in out


def test_demo_help(capsys: pytest.CaptureFixture[str]) -> None:
    """``demo --help`` names every option and its default."""
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    for expected in (
        "--check",
        "--host",
        "127.0.0.1",
        "--port",
        "8000",
        "--door",
        "{wsgi,asgi}",
        "a page to watch tokens",
        "/account",
    ):
        assert expected in out


@pytest.mark.parametrize("port", ["65536", "-1", "http", "8000.0", ""])
def test_impossible_ports(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A port that cannot be is refused with a sentence."""
    with pytest.raises(SystemExit) as ended:
        main(["demo", f"--port={port}"])
    assert ended.value.code == 2
    assert f"expected a port from 0 to 65535, got {port!r}" in capsys.readouterr().err


@pytest.mark.parametrize("door", DOORS)
def test_port_in_use(door: str, taken_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A port somebody else has: one sentence that names a way out, and exit status 1."""
    assert main(["demo", "--door", door, "--port", str(taken_port)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert f"Cannot listen on 127.0.0.1, port {taken_port}: " in err
    assert "make demo PORT=8001" in err


@pytest.mark.usefixtures("without_uvicorn")
@pytest.mark.parametrize("arguments", [["--door", "asgi"], ["--check"]], ids=" ".join)
def test_without_uvicorn(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Where uvicorn is missing, the message says what to install, under our own name."""
    assert main(["demo", *arguments, "--port", "0"]) == 1
    assert 'pip install "jwt-session-middleware[demo]"' in capsys.readouterr().err


@pytest.mark.usefixtures("without_uvicorn")
def test_the_wsgi_demo_needs_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The demo behind the WSGI door runs without uvicorn, and Ctrl-C is a good end."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(time, "sleep", _ctrl_c)
    assert main(["demo", "--port", "0"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Open http://127.0.0.1:")
    assert 'press "Sign in", then' in out
    assert "/account is the app itself" in out
    assert err == ""
    assert signal.getsignal(signal.SIGTERM) is before


def _ctrl_c(seconds: float) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def ctrl_c_is_heeded() -> Iterator[None]:
    """Whoever runs the tests in the background may ignore it, and programs inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name == "nt", reason="signals of this kind are POSIX's")
@pytest.mark.usefixtures("ctrl_c_is_heeded")
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda one: one.name)
def test_the_demo_ends_quietly(door: str, number: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C and a polite kill end the real program without a word, and its files are gone."""
    program = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "jwt_middleware", "demo", "--port=0", "--door", door],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        text=True,
    )
    with program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline().startswith("Open http://127.0.0.1:")
            assert [path.name for path in tmp_path.glob("jwt-demo-*")] != []
            program.send_signal(number)
            _, err = program.communicate(timeout=30)
        finally:
            program.kill()
    assert (program.returncode, err) == (0, "")
    assert list(tmp_path.glob("jwt-demo-*")) == []


def test_the_module_runs_as_a_program_only() -> None:
    """To import ``jwt_middleware.__main__`` runs nothing."""
    from jwt_middleware import __main__

    assert __main__.main is main


def test_a_command_loads_only_its_own() -> None:
    """Help and version load neither servers nor stores."""
    code = (
        "import runpy, sys; sys.argv = ['jwt_middleware']; "
        "sys.modules['jwt_middleware.demo'] = None; sys.modules['sqlite3'] = None; "
        "runpy.run_module('jwt_middleware', run_name='__main__', alter_sys=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")
