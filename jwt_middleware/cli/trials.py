"""What can only be known by trying: the session store, and servers that publish keys."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ..auth import JWTAuth, fetcher
from ..driver import Asks, run
from ..errors import KeysNotFetched, StoreUnavailable
from ..issuers import Issuer
from ..sessions import Session, new_session_id, store
from ..setting_kinds import Unfit
from ..settings import Settings
from ..trust import main_issuer
from .findings import Finding, Level
from .outages import what_failed
from .private_matters import suspicions

SUBJECT = "jwt-middleware check"
"""Whose session is written for a moment, and then ended."""

LIFE = 60.0
"""Seconds after which its row may be purged."""


def try_store(auth: JWTAuth) -> Finding:
    """Write a session of nobody's, read it, and end it."""
    if auth.settings.session_store in ("none", "memory://"):
        return Finding(Level.NOTE, "session store", "there is none outside of the app to be tried")
    began = time.perf_counter()
    try:
        found = run(_one_session(time.time()), auth.world)
    except StoreUnavailable as outage:
        return Finding(Level.OUTAGE, "session store", what_failed(outage))
    if not found:
        text = "a session that was just written is not there; do reads go to a replica?"
        return Finding(Level.OUTAGE, "session store", text)
    took = (time.perf_counter() - began) * 1000
    return Finding(Level.GOOD, "session store", f"written, read and ended in {took:.0f} ms")


def _one_session(now: float) -> Asks[bool]:
    session = Session(
        id=new_session_id(SUBJECT),
        subject=SUBJECT,
        claims={},
        persistent=False,
        created_at=now,
        rotated_at=now,
        last_seen_at=now,
        expires_at=now + LIFE,
        absolute_expires_at=now + LIFE,
        refresh_salt="",
    )
    yield from store.create(session, ends=(), now=now)
    found = yield from store.load(session.id, now=now)
    ended = yield from store.revoke(session.id, reason="check", now=now)
    return found is not None and ended


def try_keys(settings: Settings) -> Iterator[Finding]:
    """Ask every issuer for its keys that publishes them."""
    for issuer in (*settings.issuers, *main_issuer(settings)):
        if issuer.asks is not None:
            yield _tried(issuer, settings)


def _tried(issuer: Issuer, settings: Settings) -> Finding:
    from ..jwk import read_set  # a plug: needs cryptography

    about = f"keys of {issuer.url}"
    try:
        fetched = fetcher(settings, None, issuer)(issuer.jwks_url or issuer.url, None)
        keys = read_set(fetched.content or b"", issuer.algorithms)
    except (KeysNotFetched, Unfit) as fault:
        return Finding(Level.OUTAGE, about, str(fault))
    if not keys:
        return Finding(Level.OUTAGE, about, "none of them could be used here")
    kinds = ", ".join(sorted({key.algorithm for key in keys}))
    return Finding(Level.GOOD, about, f"{len(keys)} fetched, for {kinds}")


def look_at_claims(auth: JWTAuth, subject: str) -> Iterator[Finding]:
    """What somebody's tokens hold, as the sessions say. Raises `StoreUnavailable`."""
    if auth.settings.encryption_key is not None:
        return
    found = {one for session in auth.sessions(subject) for one in suspicions(session.claims)}
    for one in sorted(found):
        text = f"{one}, and whoever holds a token can read it; leave it out, or set encryption_key"
        yield Finding(Level.RISK, "claims", text)
