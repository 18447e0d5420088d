"""``jwt-middleware inspect``: what a token says, and whether that is to be believed."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..auth import published_keys
from ..errors import InvalidToken
from ..jws import decode_object, split
from ..nesting import Nesting, is_encrypted
from ..settings import Settings
from ..tokens import REFRESH_TYPE, AccessToken, RefreshToken, Tokens
from ..trust import KeysAwaited
from .configuration import settings_of
from .exits import Exit, Stop
from .given_token import LARGEST, given_token
from .options import json_option, settings_options, token_option
from .output import distance, moment, say, show_json, table
from .private_matters import Suspicion, suspicions

UNVERIFIED = (
    "NOT VERIFIED. Anybody can write such a token: believe nothing below.\n"
    "To hold it against the settings of your app: jwt-middleware inspect --verify"
)

_MOMENTS = ("exp", "nbf", "iat", "rexp", "auth_time")
"""Claims that are seconds since the epoch."""


@dataclass(frozen=True)
class Inspected:
    """A token, taken apart."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any] | None
    """None: they are encrypted, and no key was asked for."""
    encrypted: bool = False
    state: str = "unverified"
    """Or "valid", "expired", "refused"; the last with a reason."""
    reason: str | None = None

    @property
    def verified(self) -> bool:
        """Authentic, though perhaps expired."""
        return self.state in ("valid", "expired")

    @property
    def suspicions(self) -> list[Suspicion]:
        """Claims that whoever holds the token should not be able to read."""
        return [] if self.encrypted else suspicions(self.claims or {})


def add(commands: Any) -> None:
    """The command's own parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "inspect",
        parents=[token_option(), settings_options(), json_option()],
        help="decode a token, or verify it",
        description="Show what the token on standard input says. Without --verify nothing is "
        "checked. The exit status is 1 for a token that does not count.",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="with the settings in the environment: signature, times, issuer, audience",
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Show the token. Raises `Stop`, and `ConfigurationError` with ``--verify``."""
    token, now = given_token(options), time.time()
    inspected = verified(token, settings_of(options), now) if options.verify else decoded(token)
    if options.json:
        _show_for_programs(inspected)
    else:
        _show(inspected, now)
    return Exit.DONE if inspected.state in ("unverified", "valid") else Exit.NO


# ── Reading ──────────────────────────────────────────────────────────────────────


def decoded(token: str) -> Inspected:
    """What it says; nothing is checked. Raises `Stop` for what is no token."""
    try:
        if is_encrypted(token):
            return Inspected(decode_object(token.partition(".")[0]), None, encrypted=True)
        parts = split(token, LARGEST)
        return Inspected(decode_object(parts.header), decode_object(parts.payload))
    except InvalidToken as fault:
        raise Stop(Exit.NO, f"this is no JWT: {fault}") from None


def verified(token: str, settings: Settings, now: float) -> Inspected:
    """What it says, and what an app with these settings thinks of it. Raises `Stop`."""
    found = _readable(token, settings)
    tokens = Tokens(settings, partial(published_keys, settings, None))
    try:
        judged = _judged(tokens, token, found, now)
    except InvalidToken as fault:
        return replace(found, state="refused", reason=str(fault))
    expired = now >= judged.expires_at
    return replace(found, state="expired" if expired else "valid")


def _readable(token: str, settings: Settings) -> Inspected:
    """Decrypted, if there is a key for it; not yet verified."""
    if not is_encrypted(token) or not settings.encryption_keys:
        return decoded(token)
    try:
        inside = Nesting(settings).decrypt(token, settings.max_token_length)
    except InvalidToken as fault:
        return replace(decoded(token), state="refused", reason=str(fault))
    return replace(decoded(inside), encrypted=True)


def _judged(tokens: Tokens, token: str, found: Inspected, now: float) -> AccessToken | RefreshToken:
    if found.header.get("typ") == REFRESH_TYPE:
        return tokens.read_refresh(token)
    try:
        return tokens.read_access(token, now=now, may_wait=True)
    except KeysAwaited as awaited:
        awaited.keys.refresh(awaited.kid, now)
    try:
        return tokens.read_access(token, now=now)
    except KeysAwaited:
        text = "nobody can say: the keys of its issuer could not be fetched; jwt-middleware check"
        raise Stop(Exit.UNAVAILABLE, text) from None


# ── Showing ──────────────────────────────────────────────────────────────────────


def _show_for_programs(inspected: Inspected) -> None:
    show_json(
        {
            "verified": inspected.verified,
            "state": inspected.state,
            "reason": inspected.reason,
            "encrypted": inspected.encrypted,
            "header": inspected.header,
            "claims": inspected.claims,
            "warnings": [str(one) for one in inspected.suspicions],
        }
    )


def _show(inspected: Inspected, now: float) -> None:
    say(_verdict(inspected))
    say("\nHeader")
    say(table([(f"  {name}", _written(value)) for name, value in inspected.header.items()]))
    if inspected.claims is None:
        say("\nThe claims are encrypted: only --verify, with encryption_key, can show them.")
        return
    say("\nClaims")
    say(
        table([_row(name, value, now) for name, value in inspected.claims.items()] or [("  none",)])
    )
    for one in inspected.suspicions:
        say(f"\nWARNING: {one}. Whoever holds the token can read it.")


def _verdict(inspected: Inspected) -> str:
    texts = {
        "unverified": UNVERIFIED,
        "valid": "VALID. The signature and all claims hold.",
        "expired": "EXPIRED. The signature holds, and the time is over.",
    }
    return texts.get(inspected.state, f"REFUSED: {inspected.reason}. Believe nothing below.")


def _row(name: str, value: Any, now: float) -> tuple[str, str, str]:
    is_moment = name in _MOMENTS and isinstance(value, int | float) and not isinstance(value, bool)
    note = f"{moment(value)}, {distance(value - now)}" if is_moment else ""
    return f"  {name}", _written(value), note


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
