"""What gunicorn serves in tests/test_gunicorn.py: Flask, SQLite, and time from a file."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from flask import Flask, request
from real_http import SECRET, wait_until

from jwt_middleware import JWTAuth, get_auth
from jwt_middleware.wsgi import JWTMiddleware

PLACE = Path(os.environ["RACE_PLACE"])
"""The folder that test and workers share."""


def now() -> float:
    """The time all workers agree on: the test moves it by writing to a file."""
    return time.time() + float((PLACE / "offset").read_text("ascii"))


app = Flask(__name__)
auth = JWTAuth(
    secret_key=SECRET,
    session_store=f"sqlite:///{PLACE / 'sessions.sqlite3'}",
    cookie_secure=False,
    store_timeout=20,  # 32 writers may queue for one file on a slow machine
    clock=now,
)
app.wsgi_app = JWTMiddleware(app.wsgi_app, auth)


@app.post("/login/<name>")
def login(name: str) -> dict[str, Any]:
    get_auth().login(name)
    return who()


@app.get("/")
def who() -> dict[str, Any]:
    """Whom the request is signed in as, as three sources have it, and by which worker."""
    found = get_auth()
    return {
        "subject": found.subject,
        "environ": request.environ.get("REMOTE_USER"),
        "handle": get_auth(request).subject,
        "session": found.session_id,
        "reason": found.reason,
        "worker": os.getpid(),
    }


@app.get("/slow/<name>")
def slow(name: str) -> dict[str, Any]:
    """Says that it has arrived, and answers when it is told to."""
    (PLACE / f"{name}.arrived").touch()
    wait_until((PLACE / f"{name}.released").exists, f"the release of {name}")
    return who()
