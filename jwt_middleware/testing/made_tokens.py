"""Access tokens as an app would have handed them out, good and expired."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .finding import auth_of


def make_token(
    where: object, subject: str = "alice", claims: Mapping[str, Any] | None = None, **more: Any
) -> str:
    """An access token of a new session, which is stored as by a sign-in.

    ``where``: the `JWTAuth`, or an app or client it is found in. Claims are given as a mapping
    or by keyword: ``make_token(app, "alice", roles=["admin"])``.
    Raises `LookupError`, `InvalidClaims`, `StoreUnavailable`, `TokenTooLarge`.
    """
    return auth_of(where).issue(subject, {**(claims or {}), **more}).access_token


def expired_token(
    where: object, subject: str = "alice", claims: Mapping[str, Any] | None = None, **more: Any
) -> str:
    """An authentic access token that has just expired, leeway included. Nothing is stored.

    Parameters and errors are those of `make_token`.
    """
    auth = auth_of(where)
    settings, tokens = auth.settings, auth.flow.parts.tokens
    # A whole second more: claims are whole seconds.
    issued_at = auth.clock() - settings.access_token_expires - settings.leeway - 1
    own = {**(claims or {}), **more}
    session = tokens.new_session(subject, own, persistent=True, now=issued_at)
    return tokens.access(session, generation=0, now=issued_at)
