"""The four cases, written once.

A request goes through three steps, none of which does I/O or reads a clock:

* `Flow.glance`, a plain function: a valid token that this process has seen before. It
  provably asks nothing, because it is no generator.
* `Flow.arrive` (phase A): who signs this request? One row is read if the refresh token is
  needed. The verdict is final for the app: a slow endpoint does not make its own user a
  thief.
* `Flow.respond` (phase B), when the response starts: what may leave? What the app asked
  for is stored; else, if the refresh token signed the request, the row is swapped or read
  *now*, and only what the presented token would still get now goes out.

and, behind the started response, `Flow.settle`: confirming and purging, which nobody waits
for. The steps ask the world for what they need as commands (see `driver`); an outage
arrives as `StoreUnavailable`, so what it does is written here and nowhere else.

    access token             refresh token                     outcome
    valid                    (not looked at)                   go on
    expired/missing/invalid  valid, matches the row            reissue access, rotate refresh
    valid, past its rexp     authentic, expired, same session  renew refresh
    otherwise                otherwise                         anonymous, or refused
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from .claims import Claims, custom_claims
from .driver import Asks, Command
from .errors import StoreUnavailable, TokenTooLarge
from .events import Event, EventName
from .handle import Intent, Login, Parts, Reissue, RequestAuth
from .memory import PURGE_INTERVAL, PURGE_LIMIT, SETTLE_PAUSE
from .refusals import Refusal, refuse, to_login, unavailable
from .request import PathRules, Request
from .rotation import TABLE, Presented, Row, Verdict, judge, swap_forward, swap_to_successor
from .sessions import Session, store
from .tokens import AccessToken, RefreshToken, Verified
from .transport import Additions, Channel
from .transport import Presented as PresentedTokens

Headers = Sequence[tuple[str, str]]

NOTHING = Additions()

JUST_AFTER = 1e-6
"""Seconds by which a login in the same request is later than its log-out-everywhere."""


class Arrival(NamedTuple):
    """The end of phase A: the handle for the app, or an answer in its place."""

    auth: RequestAuth
    refusal: Refusal | None = None


class Flow:
    """The decision, made with the parts of one configuration."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        settings = parts.settings
        login_page = (settings.login_url or "").partition("?")[0]
        public = (*settings.public_paths, *([login_page] if login_page.startswith("/") else []))
        self._public = PathRules(public)
        self._ignored = PathRules(settings.ignore_paths)
        self._ignores_paths = bool(settings.ignore_paths)

    # ── Before the app ───────────────────────────────────────────────────────────

    def _ignores(self, request: Request) -> bool:
        """Whether the middleware leaves this request and its response alone."""
        return self._ignored.match(request) or request.preflight

    def glance(self, request: Request, now: float) -> RequestAuth | None:
        """The common case, at next to no cost; None: `arrive` has to look."""
        parts = self.parts
        if request.method == "OPTIONS" or self._ignores_paths:
            return None
        token = parts.transport.glance(request)
        if token is None:
            return None
        access = parts.tokens.verified.get(token)
        if access is None or now >= access.fresh_until:
            return None
        memory = parts.memory
        if not access.settled and memory.store_opened:
            return None
        if access.session_id in memory.ended:
            return None
        return RequestAuth(parts, request, now, access)

    def arrive(self, request: Request, now: float) -> Asks[Arrival]:
        """Phase A."""
        auth = RequestAuth(self.parts, request, now)
        if self._ignores(request):
            auth.anonymous("ignored")
            auth.closed = "ignored"  # its response is not ours to add to
            return Arrival(auth)
        presented = self.parts.transport.locate(request)
        auth.channel = presented.channel
        try:
            yield from self._identify(auth, presented)
        except StoreUnavailable as outage:
            auth.anonymous("store_unavailable")
            yield from _emit(auth, "store_unavailable")
            if outage.of_hook:
                return Arrival(auth, unavailable("store_unavailable", request))
        if auth.reason is None or not self.parts.settings.required:
            return Arrival(auth)
        return Arrival(auth, self._refusal(request, auth.reason))

    def _refusal(self, request: Request, reason: str) -> Refusal | None:
        """Where sign-in is required: why not, in the terms of RFC 6750."""
        if self._public.match(request):
            return None
        login_url = self.parts.settings.login_url
        if login_url is not None and request.navigation and reason != "store_unavailable":
            return to_login(login_url, request)
        return refuse(reason, request)

    def _identify(self, auth: RequestAuth, presented: PresentedTokens) -> Asks[None]:
        if presented.fault is not None:
            auth.anonymous(presented.fault.reason)
            yield from _emit(auth, "token_refused")
            return
        if presented.channel is None:
            auth.anonymous("missing")
            return
        verified = self.parts.tokens.verify(presented.access, presented.refresh, now=auth.now)
        if presented.channel is Channel.COOKIES and self.parts.origins.refuses(auth.request):
            auth.withheld_sessions = verified.session_ids
            auth.anonymous("csrf")
            yield from _emit(auth, "csrf_refused")
            return
        auth.arrived(presented.channel, verified)
        if verified.access_state == "valid":
            yield from self._with_access(auth, verified, presented)
        else:
            yield from self._without_access(auth, verified, presented)

    # ── Rows 1 and 3: the access token is valid ──────────────────────────────────

    def _with_access(
        self, auth: RequestAuth, verified: Verified, presented: PresentedTokens
    ) -> Asks[None]:
        access, refresh = verified.access, verified.refresh
        assert access is not None  # noqa: S101  # its state is "valid"
        if access.session_id in self.parts.memory.ended:
            auth.anonymous("revoked")
            return
        auth.admit(access)
        self._note_proof(auth, access)
        early = (
            verified.refresh_state == "valid"
            and auth.now >= access.expires_at - self.parts.settings.reissue_within
        )
        renewal = self._renews(verified, auth.now)
        if refresh is None or not verified.same_session or not (early or renewal):
            return
        try:
            yield from self._sign_in(auth, refresh, presented, renewal=renewal)
        except StoreUnavailable:
            # The valid token needs nobody's word: the request goes on with it.
            yield from _emit(auth, "store_unavailable")
        else:
            if auth.reason in ("superseded", "invalid_token"):
                auth.admit(access)  # this refresh token is worth nothing; the session lives

    def _note_proof(self, auth: RequestAuth, access: AccessToken) -> None:
        """A token that came back from a client proves what the client holds."""
        if access.settled or access.session_id is None:
            return
        if self.parts.memory.has_confirmed(access.session_id, access.generation):
            access.settled = True
        else:
            auth.unconfirmed = (access.session_id, access.generation)

    def _renews(self, verified: Verified, now: float) -> bool:
        """Row 3: the refresh token has expired before its access token."""
        access = verified.access
        return (
            self.parts.settings.renew_refresh
            and not self.parts.stateless
            and verified.refresh_state == "expired"
            and access is not None
            and access.refresh_expires_at is not None
            and now >= access.refresh_expires_at
        )

    # ── Rows 2 and 4: it is not ──────────────────────────────────────────────────

    def _without_access(
        self, auth: RequestAuth, verified: Verified, presented: PresentedTokens
    ) -> Asks[None]:
        state, refresh = verified.access_state, verified.refresh
        reason = "invalid_token" if state == "invalid" else state
        if state not in self.parts.settings.reissue_on:
            auth.anonymous(reason)
        elif refresh is None:
            auth.anonymous("invalid_token" if verified.refresh_state == "invalid" else reason)
        elif verified.refresh_state == "expired":
            auth.anonymous("expired")
        elif verified.access is not None and not verified.same_session:
            auth.anonymous("invalid_token")
        else:
            yield from self._sign_in(auth, refresh, presented, renewal=False)
        if auth.reason not in (None, "missing"):
            yield from _emit(auth, "token_refused")

    def _sign_in(
        self,
        auth: RequestAuth,
        refresh: RefreshToken,
        presented: PresentedTokens,
        *,
        renewal: bool,
    ) -> Asks[None]:
        """Ask the row what the refresh token is worth; sets who the request is."""
        minted = self._recall(presented, auth.now)
        if minted is not None:
            auth.signed_in(minted.claims)
            auth.reissue = minted.reissue
            return
        session = yield from self._load(refresh, auth.now)
        row = self._judge(auth, refresh, session, auth.now, renewal=renewal)
        if row.verdict is Verdict.REUSE:
            yield from self._end(auth, refresh.session_id, "reuse")
        if not row.verdict.signed_in or session is None:
            if row.reason in ("revoked", "unknown_session"):
                self.parts.memory.end(refresh.session_id, "revoked")
            auth.anonymous(row.reason or "invalid_token")
            return
        claims = yield from self._fresh_claims(session)
        if claims is None and self.parts.has_load_claims:
            yield from self._end(auth, session.id, "refused")
            auth.anonymous("revoked")
            return
        fresh = session if claims is None else replace(session, claims=claims)
        members = self.parts.tokens.members(fresh, generation=refresh.generation, now=auth.now)
        auth.signed_in(Claims(members))
        auth.reissue = Reissue(row, refresh, session, claims, renewal, presented)
        if row.verdict is Verdict.KEEP and refresh.generation > 0:
            auth.unconfirmed = (session.id, refresh.generation)

    def _load(self, refresh: RefreshToken, now: float) -> Asks[Session | None]:
        if self.parts.stateless:
            return refresh.session
        return (yield from store.load(refresh.session_id, now=now))

    def _judge(
        self,
        auth: RequestAuth,
        refresh: RefreshToken,
        session: Session | None,
        now: float,
        *,
        renewal: bool,
    ) -> Row:
        settings = self.parts.settings
        return judge(
            Presented(
                session=session,
                generation=refresh.generation,
                authentic=session is not None and self.parts.tokens.matches(refresh, session),
                now=now,
                grace=settings.rotation_grace,
                lost_response_window=settings.lost_response_window,
                has_body=auth.request.has_body,
                renewal=renewal,
            )
        )

    def _fresh_claims(self, session: Session) -> Asks[Mapping[str, Any] | None]:
        """The account as it is now, if the app told us how to look (S43)."""
        if not self.parts.has_load_claims:
            return None
        loaded = yield Command("hooks", "load_claims", (session,))
        if loaded is None:
            return None
        try:
            return custom_claims(loaded, self.parts.settings.identity_claim)
        except Exception as error:
            failure = StoreUnavailable("load_claims answered what cannot be claims", of_hook=True)
            raise failure from error

    def _end(self, auth: RequestAuth, session_id: str, reason: str) -> Asks[None]:
        """End the session; the one caller that ended it tells."""
        if self.parts.stateless:
            return
        ended = yield from store.revoke(session_id, reason=reason, now=auth.now)
        if ended:
            yield from _emit(auth, "reuse" if reason == "reuse" else "revoked", session_id)
        self.parts.memory.end(session_id, reason)

    # ── When the response starts ─────────────────────────────────────────────────

    def respond(
        self, auth: RequestAuth, status: int, headers: Headers, now: float
    ) -> Asks[Additions | Refusal]:
        """Phase B, once a request: what is added to the response, or what replaces it."""
        auth.closed = "started"
        intent = auth.intent
        try:
            if intent is not None and _stands(intent, auth.request, status):
                return (yield from self._carry_out(auth, intent, status, headers, now))
            if auth.reissue is None or self._muted(auth, status, headers):
                return NOTHING
            return (yield from self._reissue(auth, auth.reissue, now))
        except StoreUnavailable:
            yield from _emit(auth, "store_unavailable")
            if intent is not None and _stands(intent, auth.request, status):
                # Nobody is told that something happened which did not.
                return unavailable("not_stored", auth.request)
        except TokenTooLarge:
            yield from _emit(auth, "oversized")
        # No tokens: the client tries again with what it has.
        return NOTHING

    def _muted(self, auth: RequestAuth, status: int, headers: Headers) -> bool:
        """No token may travel on this response."""
        if _stored_by_caches(auth.request, status):
            return True
        if auth.channel is Channel.HEADERS and auth.request.websocket:
            return True
        return self.parts.transport.names_our_cookie(headers)

    def _carry_out(
        self, auth: RequestAuth, intent: Intent, status: int, headers: Headers, now: float
    ) -> Asks[Additions | Refusal]:
        """Store what the app asked for, then tell the client."""
        muted = self._muted(auth, status, headers)
        login = intent.login if _keeps_logins(auth.request, status) else None
        if intent.everywhere is not None:
            yield from self._end_subject(auth, intent.everywhere, now)
        if login is not None:
            stored = yield from self._store_login(auth, intent, login, now)
            if not stored:
                return unavailable("not_stored", auth.request)
            return NOTHING if muted else self._deliver_login(auth, login)
        if intent.logout:
            for session_id in auth.presented_sessions:
                yield from self._end(auth, session_id, "logout")
            return NOTHING if muted else self._clear(auth)
        return (yield from self._update(auth, intent.claims or {}, muted, now))

    def _end_subject(self, auth: RequestAuth, subject: str, now: float) -> Asks[None]:
        until = now + self.parts.settings.session_lifetime
        ended = yield from store.revoke_subject(
            subject, reason="logout_everywhere", until=until, now=now
        )
        for session_id in ended:
            self.parts.memory.end(session_id, "logout_everywhere")
        yield from _emit(auth, "revoked")

    def _store_login(
        self, auth: RequestAuth, intent: Intent, login: Login, now: float
    ) -> Asks[bool]:
        """The new row, and the end of the one it replaces, in one write (fixation)."""
        session, replaced = login.pair.session, auth.presented_sessions
        if self.parts.stateless:
            return True
        if login.stored:
            for session_id in replaced:
                yield from store.revoke(session_id, reason="replaced", now=now)
            if intent.claims is not None:
                yield from store.update(session.id, intent.claims, now=now)
        else:
            if intent.everywhere is not None:
                session = replace(session, created_at=now + JUST_AFTER)
            row = yield from store.create(session, ends=replaced, now=now)
            if row.revoked:
                return False  # overtaken by a log-out-everywhere that came after it began
        for session_id in replaced:
            self.parts.memory.end(session_id, "replaced")
        yield from _emit(auth, "login", session.id)
        return True

    def _deliver_login(self, auth: RequestAuth, login: Login) -> Additions:
        if login.channel is None:
            return NOTHING
        transport, pair = self.parts.transport, login.pair
        additions = transport.deliver(
            login.channel,
            access=pair.access_token,
            refresh=pair.refresh_token,
            max_age=_max_age(pair.session, auth.now),
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
        session_id = reissue.session.id if reissue else access.session_id if access else None
        session = yield from store.update(session_id or "", claims, now=now)
        if session is None or not session.alive(now):
            self.parts.memory.end(session_id or "", "revoked")
            return NOTHING
        if muted:
            return NOTHING
        if reissue is not None:
            fresh = replace(reissue, session=session, claims=claims)
            return (yield from self._reissue(auth, fresh, now))
        return self._deliver(auth, session, access.generation if access else 0, now)

    def _update_carried(
        self, auth: RequestAuth, claims: Mapping[str, Any], now: float
    ) -> Additions:
        """Stateless: the refresh token carries the claims, so both go out again."""
        assert auth.carried is not None  # noqa: S101  # RequestAuth.update() saw to it
        session = replace(auth.carried, claims=claims)
        return self._deliver(auth, session, session.generation, now, with_refresh=True)

    # ── Reissue ──────────────────────────────────────────────────────────────────

    def _reissue(self, auth: RequestAuth, reissue: Reissue, now: float) -> Asks[Additions]:
        """What the refresh token that signed this request in is worth now, in tokens."""
        if not reissue.row.verdict.reissues:
            return NOTHING  # LATE: its client has, or will ask with, a newer token
        minted = self._recall(reissue.presented, now)
        if minted is not None and minted.reissue is reissue:
            return minted.additions
        if reissue.row.verdict is Verdict.ROTATE:
            return (yield from self._rotate(auth, reissue, now))
        session: Session | None
        if self.parts.stateless:
            session = reissue.session
        elif reissue.row.verdict is Verdict.AHEAD:
            session = yield from self._swap_forward(auth, reissue, now)
        else:
            session = yield from store.load(reissue.session.id, now=now)
        return (yield from self._hand_out(auth, reissue, session, now))

    def _rotate(self, auth: RequestAuth, reissue: Reissue, now: float) -> Asks[Additions]:
        session = reissue.session
        idle = self.parts.tokens.idle(session.persistent)
        swap = swap_to_successor(session, idle=idle, now=now)
        successor = _swapped(session, swap, reissue.claims)
        # Signed before the swap: tokens that do not fit must not cost the client its old ones.
        additions = self._deliver(auth, successor, successor.generation, now, with_refresh=True)
        if self.parts.stateless:
            yield from _emit(auth, "reissued", session.id)
            return additions
        rotation = yield from store.rotate(session.id, **swap, claims=reissue.claims, now=now)
        if not rotation.won:
            return (yield from self._hand_out(auth, reissue, rotation.session, now))
        self._remember(reissue, successor, additions, now)
        yield from _emit(auth, "reissued", session.id)
        return additions

    def _swap_forward(
        self, auth: RequestAuth, reissue: Reissue, now: float
    ) -> Asks[Session | None]:
        refresh = reissue.refresh
        swap = swap_forward(
            reissue.session,
            generation=refresh.generation,
            issued_at=refresh.issued_at,
            expires_at=refresh.expires_at,
        )
        rotation = yield from store.rotate(
            reissue.session.id, **swap, claims=reissue.claims, now=now
        )
        if rotation.won:
            yield from _emit(auth, "store_behind", reissue.session.id)
        return rotation.session

    def _hand_out(
        self, auth: RequestAuth, reissue: Reissue, session: Session | None, now: float
    ) -> Asks[Additions]:
        """Tokens for a request that moved nothing: only what its own token would get now.

        Else a slow thief would be handed the live token. Nothing is revoked here: the
        verdict on the request was passed when it arrived.
        """
        refresh = reissue.refresh
        row = self._judge(auth, refresh, session, now, renewal=reissue.renewal)
        if session is None or not row.verdict.reissues:
            if row.reason in ("revoked", "unknown_session"):
                self.parts.memory.end(refresh.session_id, "revoked")
            return NOTHING
        if reissue.claims is not None:
            session = replace(session, claims=reissue.claims)
        asked_for_access_only = reissue.row.verdict in (Verdict.KEEP, Verdict.AHEAD)
        if row.verdict is not Verdict.REPLAY or asked_for_access_only:
            yield from _emit(auth, "reissued", session.id)
            return self._deliver(auth, session, refresh.generation, now)
        settled_at = max(session.rotated_at, session.confirmed_at)
        late = now > settled_at + self.parts.settings.rotation_grace
        yield from _emit(auth, "lost_response" if late else "replayed", session.id)
        return self._deliver(auth, session, session.generation, now, with_refresh=True)

    def _deliver(
        self,
        auth: RequestAuth,
        session: Session,
        generation: int,
        now: float,
        *,
        with_refresh: bool = False,
    ) -> Additions:
        """``generation``: of the refresh token the client holds once it has this response."""
        if auth.channel is None or now >= session.absolute_expires_at:
            return NOTHING
        tokens = self.parts.tokens
        return self.parts.transport.deliver(
            auth.channel,
            access=tokens.access(session, generation=generation, now=now),
            refresh=tokens.refresh(session) if with_refresh else None,
            max_age=_max_age(session, now),
        )

    # ── What this process has just made ──────────────────────────────────────────

    def _remember(
        self, reissue: Reissue, successor: Session, additions: Additions, now: float
    ) -> None:
        """Siblings with the same two tokens may be served from here for a grace."""
        proven = reissue.refresh.generation
        members = self.parts.tokens.members(successor, generation=proven, now=now)
        until = now + self.parts.settings.rotation_grace
        minted = Minted(replace(reissue, row=REPLAY), Claims(members), additions, until)
        self.parts.memory.minted.put(reissue.presented, minted)

    def _recall(self, presented: PresentedTokens, now: float) -> Minted | None:
        minted: Minted | None = self.parts.memory.minted.get(presented)
        if minted is None or now > minted.until:
            return None
        if minted.reissue.session.id in self.parts.memory.ended:
            return None
        return minted

    # ── Behind the started response ──────────────────────────────────────────────

    def merge(self, additions: Additions, headers: Headers) -> Headers:
        """The headers to send: again at each start, should the app start over (PEP 3333)."""
        if not additions.fields or self.parts.transport.names_our_cookie(headers):
            return headers
        return additions.apply(headers)

    def settle(self, auth: RequestAuth, now: float) -> Asks[None]:
        """Confirm what the client has shown to hold, and purge now and then.

        Nobody waits for this and nobody is told when it fails: it will be tried again.
        """
        memory = self.parts.memory
        if not memory.store_opened or now < memory.pause_until:
            return
        try:
            yield from self._confirm(auth, now)
            if now >= memory.purge_again_at:
                memory.purge_again_at = now + PURGE_INTERVAL
                yield from store.purge(now, limit=PURGE_LIMIT)
        except StoreUnavailable:
            memory.pause_until = now + SETTLE_PAUSE

    def _confirm(self, auth: RequestAuth, now: float) -> Asks[None]:
        if auth.unconfirmed is None:
            return
        session_id, generation = auth.unconfirmed
        memory = self.parts.memory
        if not memory.has_confirmed(session_id, generation):
            yield from store.confirm(session_id, generation=generation, now=now)
            memory.confirmed.put(session_id, generation)
        if auth.access is not None:
            auth.access.settled = True


@dataclass(frozen=True, slots=True)
class Minted:
    """An answer this process made after its own swap."""

    reissue: Reissue
    claims: Claims
    additions: Additions
    until: float


REPLAY = next(row for row in TABLE if row.verdict is Verdict.REPLAY)


def _stands(intent: Intent, request: Request, status: int) -> bool:
    """Whether the app's wish outlives this response; a logout always does."""
    return intent.logout or _keeps_logins(request, status)


def _keeps_logins(request: Request, status: int) -> bool:
    """A failed response takes a login and new claims back; one that can carry no token
    could not tell its client about them."""
    return status < 500 and not _stored_by_caches(request, status)


def _stored_by_caches(request: Request, status: int) -> bool:
    """A cache merges the headers of these into a response it has stored already
    (RFC 9111 sections 3.2 and 4.3.5): no cookie may be among them."""
    return request.method == "HEAD" or status == 304


def _swapped(
    session: Session, swap: Mapping[str, Any], claims: Mapping[str, Any] | None
) -> Session:
    """The row as it will stand after the swap, as far as its tokens show it."""
    return replace(
        session,
        generation=swap["generation"],
        rotated_at=swap["rotated_at"],
        expires_at=swap["expires_at"],
        claims=session.claims if claims is None else claims,
    )


def _max_age(session: Session, now: float) -> float | None:
    """Seconds a cookie is kept: to the end of the session's life, so that an expired token
    is still presented. None: a session cookie."""
    return session.absolute_expires_at - now if session.persistent else None


def _emit(auth: RequestAuth, name: EventName, session_id: str | None = None) -> Asks[None]:
    event = Event(name, auth.now, auth.reason, auth.subject, session_id or auth.session_id)
    yield Command("hooks", "emit", (event,))
