"""The demo's settings: tokens so short-lived that a person can watch them expire."""

from __future__ import annotations

import logging
import secrets
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path

from jwt_middleware import JWTAuth, SessionStore, Settings
from jwt_middleware.events import EventHook
from jwt_middleware.stores.sqlite import SQLiteSessionStore

ACCESS_LIFE = 10
REFRESH_LIFE = 60
GRACE = 3
"""All in seconds. For an app of your own the defaults (15 minutes, 30 days, 2 minutes) fit."""

COOKIES = {"access": "demo_access_token", "refresh": "demo_refresh_token"}
"""Names of the demo's own: browsers share cookies between the ports of a host."""

_SILENT = logging.NullHandler()


def demo_settings(store: SessionStore) -> Settings:
    """What an app would read from its environment, with `Settings.from_env`."""
    return Settings(
        # Made for this run alone. An app reads one that stays: whoever restarts with another
        # secret signs everybody out.
        secret_key=secrets.token_bytes(32),
        access_token_expires=ACCESS_LIFE,
        refresh_token_expires=REFRESH_LIFE,
        session_cookie_expires=REFRESH_LIFE,
        rotation_grace=GRACE,
        session_store=store,
        # The demo speaks plain http to this machine. Never in production.
        cookie_secure=False,
        access_cookie_name=COOKIES["access"],
        refresh_cookie_name=COOKIES["refresh"],
        # Who is not signed in gets to these and to the login page. Everything else asks to
        # sign in first, so no view has to check.
        required=True,
        login_url="/login",
        public_paths=("/token", "/claims", "/logout", "/logout-everywhere"),
    )


@contextmanager
def demo_auth(
    *, on_event: EventHook | None = None, clock: Callable[[], float] = time.time
) -> Generator[JWTAuth, None, None]:
    """The demo's configuration over a SQLite file, which is gone in the end."""
    # Events are told by on_event. Logged as well, they would be told twice.
    logging.getLogger("jwt_middleware").addHandler(_SILENT)
    with tempfile.TemporaryDirectory(prefix="jwt-demo-", ignore_cleanup_errors=True) as folder:
        store = SQLiteSessionStore(Path(folder, "sessions.sqlite3"))
        with closing(store):
            yield JWTAuth(demo_settings(store), on_event=on_event, clock=clock)
