"""``jwt-middleware issue``: a session for somebody, and its tokens."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any, cast

from .configuration import auth_of
from .exits import Exit
from .options import json_option, name, settings_options
from .output import say, show_json, table, warn
from .private_matters import suspicions

USER_AGENT = "jwt-middleware issue"
"""What the list of sessions shows for one that was begun here."""


def add(commands: Any) -> None:
    """The command's own parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "issue",
        parents=[settings_options(), json_option()],
        help="sign somebody in, and print the tokens",
        description="Begin a session with the settings in the environment, as the app's login "
        "would, and print its tokens. Whoever reads them is that user.",
    )
    parser.add_argument("subject", type=name, metavar="SUBJECT", help="who is signed in")
    parser.add_argument(
        "--claims",
        type=_object,
        default={},
        metavar="JSON",
        help="""what else the access token says: '{"roles": ["admin"]}'""",
    )
    parser.add_argument(
        "--access-only",
        action="store_true",
        help="print the access token and nothing else, for a header or a variable",
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Issue. Raises what `JWTAuth.issue` raises."""
    auth = auth_of(options)
    try:
        pair = auth.issue(options.subject, options.claims, user_agent=USER_AGENT)
    finally:
        auth.close()
    if not auth.settings.encryption_keys:
        claims = {auth.settings.identity_claim: options.subject, **options.claims}
        for one in suspicions(claims):
            warn(f"WARNING: {one}. Whoever holds the token can read it.")
    if auth.settings.session_store == "memory://":
        warn("WARNING: memory:// is this process's memory: the session has ended with it.")
    if options.access_only:
        say(pair.access_token)
    elif options.json:
        show_json({**pair.as_dict(), "session_id": pair.session_id})
    else:
        say(table([*pair.as_dict().items(), ("session_id", pair.session_id)]))
    return Exit.DONE


def _object(text: str) -> Mapping[str, Any]:
    try:
        claims: object = json.loads(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            'expected JSON, such as \'{"roles": ["admin"]}\''
        ) from None
    if not isinstance(claims, dict):
        raise argparse.ArgumentTypeError("expected a JSON object, in braces")
    return cast("Mapping[str, Any]", claims)
