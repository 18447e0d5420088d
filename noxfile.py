"""The tests on every Python, and with the oldest of what the core needs.

    nox                                      all legs, one after the other
    nox -s tests-3.13 -- -k rotation         one of them; what follows goes to pytest
    nox -s lowest

Pythons are looked for on PATH; one that is missing is skipped, and in CI is a failure.
"""

from __future__ import annotations

import nox

PYTHONS = ["3.11", "3.12", "3.13"]

PROJECT = nox.project.load_toml("pyproject.toml")["project"]

LOWEST = [line.replace(">=", "==") for line in PROJECT["dependencies"]]
"""The three distributions of the core, each as old as it may be."""

CORE = [
    "tests/flow/test_four_cases.py",
    "tests/flow/test_handle.py",
    "tests/flow/test_faults.py",
    "tests/flow/test_connections.py",
    "tests/doors/test_wsgi.py",
    "tests/doors/test_asgi.py",
    "tests/doors/test_auth_outside.py",
    "tests/doors/test_double_submit.py",
    "tests/doors/test_open_sockets.py",
    "tests/doors/test_showing.py",
    "tests/test_jwk.py",
    "tests/test_jws.py",
    "tests/test_key_files.py",
    "tests/test_keys.py",
    "tests/test_publishing.py",
    "tests/test_refusals.py",
    "tests/test_tokens.py",
    "tests/test_transport.py",
]
"""Whatever leans on one of the three: algorithms, cookies and headers, worker threads. Frameworks
are left out, as their newest versions need newer ones."""

nox.options.default_venv_backend = "venv"


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests, with the newest of everything."""
    session.install("--editable", ".[bench,demo,docs,test]")
    session.run("python", "-m", "pytest", "-n", "auto", "--dist", "loadfile", *session.posargs)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """The core with the oldest PyJWT, Werkzeug and asgiref that it may be installed with."""
    session.install("--editable", ".[crypto]", *LOWEST)
    session.install("hypothesis", "pytest", "pytest-xdist", "starlette")
    session.run("python", "-m", "pip", "freeze", "--exclude-editable")
    session.run("python", "-m", "pytest", "-n", "2", "-q", *(session.posargs or CORE))
