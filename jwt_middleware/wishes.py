"""What the app asked of its `RequestAuth`, carried out when the response starts.

First it is stored, then the client is told. If storing fails, nobody is told that something
happened which did not: the outage leaves this file as it came, and the flow answers 503.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .driver import Asks
from .errors import StoreUnavailable
from .events import Event, EventName
from .handle import Intent, Login, Parts, RequestAuth
from .refusals import Refusal, unavailable
from .reissue import Reissuer, max_age, undeliverable
from .request import Request
from .sessions import JUST_AFTER, Session, store
from .transport import IN_BODY, NOTHING, Additions, Channel
from .world import hooks


class Wishes:
    """Carries out an `Intent`."""

    def __init__(self, parts: Parts, reissuer: Reissuer) -> None:
        self.parts = parts
        self._reissuer = reissuer

    def stand(self, intent: Intent | None, request: Request, status: int | None) -> bool:
        """Whether what the app asked for outlives this response; a logout always does."""
        if intent is None or not intent.is_wish:
            return False
        return intent.logout or _keeps_logins(request, status)

    def carry_out(
        self, auth: RequestAuth, intent: Intent, status: int | None, muted: bool, now: float
    ) -> Asks[Additions | Refusal]:
        """Store what the app asked for, then tell the client."""
        login = intent.login if _keeps_logins(auth.request, status) else None
        keep = login.pair.session_id if login is not None and login.stored else None
        for subject in intent.everywhere:
            reason = "logout_everywhere"
            yield from end_subject(self.parts, subject, reason, keep=keep, now=now)
            yield from hooks.emit(auth.event("revoked", subject=subject, reason=reason))
        if login is not None:
            stored = yield from self._store_login(auth, intent, login, now)
            if not stored:
                return unavailable("not_stored", auth.request)
            return NOTHING if muted else self._deliver_login(auth, login)
        if intent.logout:
            for session_id in auth.presented_sessions:
                yield from end_session(self.parts, auth, session_id, "logout")
            return NOTHING if muted else self._clear(auth)
        return (yield from self._update(auth, intent.claims or {}, muted, now))

    def _store_login(
        self, auth: RequestAuth, intent: Intent, login: Login, now: float
    ) -> Asks[bool]:
        """The new row, and the end of the one it replaces, in one write (fixation)."""
        session = login.pair.session
        replaced = tuple(one for one in auth.presented_sessions if one != session.id)
        if self.parts.stateless:
            yield from hooks.emit(auth.event("login", session.id))
            return True
        if login.stored:
            row = yield from self._replace_with_stored(session, intent.claims, replaced, now)
        else:
            if intent.everywhere:
                session = replace(session, created_at=now + JUST_AFTER)
            row = yield from store_session(self.parts, session, ends=replaced, now=now)
        if row is None or row.revoked:
            return False  # overtaken by a log-out-everywhere that came after it began
        for session_id in replaced:
            self.parts.memory.end(session_id)
        if not login.stored:  # else JWTAuth.issue() has told
            yield from hooks.emit(auth.event("login", session.id))
        return True

    def _replace_with_stored(
        self,
        session: Session,
        claims: Mapping[str, Any] | None,
        replaced: tuple[str, ...],
        now: float,
    ) -> Asks[Session | None]:
        """The same for a session that is stored already; looked at first, changed last."""
        row = yield from store.load(session.id, now=now)
        if row is not None and claims is not None:
            row = yield from change_claims(self.parts, session.id, claims, now)
        if row is None or row.revoked:
            return row
        for session_id in replaced:
            yield from store.revoke(session_id, reason="replaced", now=now)
        return row

    def _deliver_login(self, auth: RequestAuth, login: Login) -> Additions:
        if login.channel is None:
            return IN_BODY
        if undeliverable(auth.request, login.channel):
            return NOTHING
        transport, pair = self.parts.transport, login.pair
        additions = transport.deliver(
            login.channel,
            access=pair.access_token,
            refresh=pair.refresh_token,
            max_age=max_age(pair.session, auth.now),
            claims=pair.session.claims,
            csrf=self.parts.csrf.make(pair.session_id),
        )
        if login.channel is Channel.COOKIES:
            # Variants first: a browser applies Set-Cookie in order.
            return replace(
                additions, fields=[*transport.clear_variants(auth.request), *additions.fields]
            )
        return additions

    def _clear(self, auth: RequestAuth) -> Additions:
        transport = self.parts.transport
        if not transport.uses_cookies or auth.channel is Channel.HEADERS:
            return NOTHING
        return Additions([*transport.clear_variants(auth.request), *transport.clear()])

    def _update(
        self, auth: RequestAuth, claims: Mapping[str, Any], muted: bool, now: float
    ) -> Asks[Additions]:
        """New claims for the session, and an access token that has them."""
        reissue, access = auth.reissue, auth.access
        if self.parts.stateless:
            return NOTHING if muted else self._update_carried(auth, claims, now)
        signed_in_by = reissue.session.id if reissue else access.session_id if access else None
        session_id = signed_in_by or ""
        session = yield from change_claims(self.parts, session_id, claims, now)
        if session is not None and session.revoked:
            self.parts.memory.end(session.id)
        if session is None or session.revoked or muted:
            return NOTHING
        if reissue is not None:
            # The swap starts where the row stood at arrival: storing claims moved nothing.
            fresh = replace(reissue, claims=claims, answer=None)
            return (yield from self._reissuer.reissue(auth, fresh, now))
        # No refresh token has signed this request: the new token lives no longer than the one
        # it replaces, or one of them could be kept alive for ever, past the idle limit.
        assert access is not None  # noqa: S101  # nothing else signs a request in
        until = access.claims["exp"]
        return self._reissuer.deliver(auth, session, access.generation, now, until=until)

    def _update_carried(
        self, auth: RequestAuth, claims: Mapping[str, Any], now: float
    ) -> Additions:
        """Stateless: the refresh token carries the claims, so both go out again."""
        assert auth.carried is not None  # noqa: S101  # RequestAuth.update() saw to it
        session = replace(auth.carried, claims=claims)
        return self._reissuer.deliver(auth, session, session.generation, now, with_refresh=True)


def store_session(
    parts: Parts, session: Session, *, ends: Sequence[str] = (), now: float
) -> Asks[Session]:
    """Store a new session and end those it replaces; beyond ``max_sessions_per_subject`` the
    oldest end, too. Answers the row as stored, as `SessionStore.create` does."""
    row = yield from store.create(session, ends=ends, now=now)
    most = parts.settings.max_sessions_per_subject
    if most is not None and not row.revoked:
        try:
            yield from _end_oldest(parts, row, most, now)
        except StoreUnavailable:
            # The sign-in is stored. The next one ends what is too many now.
            yield from hooks.emit(Event("store_unavailable", now, None, row.subject, row.id))
    return row


def _end_oldest(parts: Parts, newest: Session, most: int, now: float) -> Asks[None]:
    alive = yield from store.find(newest.subject, now=now)
    # Of two sign-ins at once each may find the other: the older never ends the newer, or nobody
    # would be left. (Of one and the same instant, each takes itself for the newer.)
    ranked = sorted(alive, key=lambda one: (one.created_at, one.id == newest.id), reverse=True)
    for session in ranked[most:]:
        if session.id == newest.id:
            continue  # overtaken: it stays until the next one
        if (yield from revoke(parts, session.id, "too_many", now)):
            yield from hooks.emit(Event("revoked", now, "too_many", session.subject, session.id))


def change_claims(
    parts: Parts, session_id: str, claims: Mapping[str, Any], now: float
) -> Asks[Session | None]:
    """Replace the claims of a session; answers the row as it stands then."""
    parts.memory.overturn(session_id)
    try:
        return (yield from store.update(session_id, claims, now=now))
    finally:  # whether it was stored or not, which after a cancellation nobody knows
        parts.memory.overturn(session_id)


def revoke(parts: Parts, session_id: str, reason: str, now: float) -> Asks[bool]:
    """End a session, here at once; answers whether this call ended it in the store."""
    ended = yield from store.revoke(session_id, reason=reason, now=now)
    parts.memory.end(session_id)
    return ended


def end_subject(
    parts: Parts, subject: str, reason: str, *, keep: str | None, now: float
) -> Asks[list[str]]:
    """End all sessions of a subject but one, and those that are beginning; answers which."""
    until = now + parts.settings.session_lifetime
    ended = yield from store.revoke_subject(subject, reason=reason, keep=keep, until=until, now=now)
    for session_id in ended:
        parts.memory.end(session_id)
    return ended


def end_session(
    parts: Parts, auth: RequestAuth, session_id: str, reason: str, subject: str | None = None
) -> Asks[None]:
    """End a session; the one caller that ended it tells."""
    if parts.stateless:
        return
    if (yield from revoke(parts, session_id, reason, auth.now)):
        name: EventName = "reuse" if reason == "reuse" else "revoked"
        yield from hooks.emit(auth.event(name, session_id, subject, reason=reason))


def carries_tokens(request: Request, status: int | None) -> bool:
    """Whether the response can carry a token; ``status`` None: there is no response.

    A cache merges the headers of a HEAD response and of a 304 into one it has stored already
    (RFC 9111 sections 3.2 and 4.3.5): no cookie may be among them.
    """
    return status not in (None, 304) and request.method != "HEAD"


def _keeps_logins(request: Request, status: int | None) -> bool:
    """A failed response takes a login and new claims back; one that can carry no token
    could not tell its client about them."""
    return status is not None and status < 500 and carries_tokens(request, status)
