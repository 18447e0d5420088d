"""``jwt-middleware sessions``: who is signed in where, and the end of it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from ..auth import JWTAuth
from ..sessions import Session
from .asked_store import check_file, place
from .configuration import auth_of
from .exits import Exit, Stop
from .options import json_option, name, settings_options
from .output import distance, moment, printable, say, show_json, table, warn

SHOWN = ("id", "created_at", "last_seen_at", "expires_at", "user_agent", "address")
"""What programs are told of a session. Its claims are the app's, its salt is nobody's."""

REPORT_EVERY = 1.0
"""Seconds between two reports of a purge that takes long."""


def add(commands: Any) -> None:
    """The command's own parser, and those of its four parts."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "sessions",
        help="list sessions, end them, delete what is left of old ones",
        description="Work on the sessions in the store that the settings name.",
    )
    parts: Any = parser.add_subparsers(title="what to do", metavar="PART", required=True)
    shared = [settings_options(), json_option()]

    listing = parts.add_parser(
        "list", parents=shared, help="the sessions of somebody, newest first"
    )
    listing.add_argument("subject", type=name, metavar="SUBJECT")
    listing.set_defaults(command=_list)

    ending = parts.add_parser("revoke", parents=shared, help="end one session")
    ending.add_argument("session_id", type=name, metavar="SESSION")
    ending.add_argument(
        "--subject", type=name, metavar="SUBJECT", help="only if it is a session of this one"
    )
    ending.set_defaults(command=_revoke)

    ending_all = parts.add_parser("revoke-all", parents=shared, help="end all sessions of somebody")
    ending_all.add_argument("subject", type=name, metavar="SUBJECT")
    ending_all.add_argument("--keep", type=name, metavar="SESSION", help="all but this one")
    ending_all.set_defaults(command=_revoke_all)

    purging = parts.add_parser(
        "purge", parents=shared, help="delete the rows of sessions past their absolute lifetime"
    )
    purging.set_defaults(command=_purge)


def _list(options: argparse.Namespace) -> int:
    with _opened(options) as auth:
        sessions = auth.sessions(options.subject)
    if options.json:
        shown = [{member: getattr(one, member) for member in SHOWN} for one in sessions]
        show_json({"sessions": shown})
    elif sessions:
        head = ("session", "signed in", "last seen", "ends unless used", "with", "from")
        say(table([_row(one, time.time()) for one in sessions], head))
    else:
        say("There are none.")
    return Exit.DONE


def _revoke(options: argparse.Namespace) -> int:
    with _opened(options) as auth:
        ended = auth.revoke(options.session_id, subject=options.subject)
        _say_ended(auth, int(ended), options)
    return Exit.DONE if ended else Exit.NO


def _revoke_all(options: argparse.Namespace) -> int:
    with _opened(options) as auth:
        _say_ended(auth, auth.revoke_subject(options.subject, keep=options.keep), options)
    return Exit.DONE


def _purge(options: argparse.Namespace) -> int:
    with _opened(options) as auth:
        gone = auth.purge(progress=_reporter())
    if options.json:
        show_json({"deleted": gone})
    else:
        say(f"Deleted: {gone}")
    return Exit.DONE


@contextmanager
def _opened(options: argparse.Namespace) -> Generator[JWTAuth]:
    auth = auth_of(options)
    url = str(auth.settings.session_store)  # the environment holds no objects
    if url == "memory://":
        raise Stop(
            Exit.SETTINGS,
            "session_store is memory://: its sessions are in the app's own process, and cannot be "
            "seen from here; name another, such as sqlite:///jwt-sessions.sqlite3",
        )
    check_file(url, options.prefix)
    if not (auth.settings.stateless or options.json):
        warn(f"Store: {printable(place(url))}")
    try:
        yield auth
    finally:
        auth.close()


def _reporter() -> Callable[[int], None]:
    """Tells a person now and then how far a purge has come."""
    due = time.monotonic() + REPORT_EVERY

    def report(gone: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            warn(f"Deleted so far: {gone}")
            due = time.monotonic() + REPORT_EVERY

    return report


def _row(one: Session, now: float) -> tuple[str, ...]:
    times = (distance(when - now) for when in (one.last_seen_at, one.expires_at))
    return (one.id, moment(one.created_at), *times, one.user_agent or "-", one.address or "-")


def _say_ended(auth: JWTAuth, ended: int, options: argparse.Namespace) -> None:
    if options.json:
        show_json({"ended": ended})
        return
    say(f"Ended: {ended}")
    if ended and auth.settings.check_session == "never":
        # The truth about tokens that nobody asks the store about (README, Limits).
        latest = distance(auth.settings.access_token_expires)
        warn(f"Access tokens that are out stay good until they expire, {latest} at the latest.")
