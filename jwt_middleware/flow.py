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

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from .claims import Claims, custom_claims
from .driver import Asks
from .errors import StoreUnavailable, TokenTooLarge
from .handle import Parts, Reissue, RequestAuth
from .memory import PURGE_INTERVAL, PURGE_LIMIT, SETTLE_PAUSE
from .refusals import Refusal, refuse, to_login, unavailable
from .reissue import Reissuer
from .request import PathRules, Request
from .rotation import Verdict
from .sessions import Session, store
from .tokens import AccessToken, RefreshToken, Verified
from .transport import NOTHING, Additions, Channel
from .transport import Presented as PresentedTokens
from .wishes import Wishes, end_session, stored_by_caches
from .world import hooks

Headers = Sequence[tuple[str, str]]


class Arrival(NamedTuple):
    """The end of phase A: the handle for the app, or an answer in its place."""

    auth: RequestAuth
    refusal: Refusal | None = None


class Flow:
    """The decision, made with the parts of one configuration."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._reissuer = Reissuer(parts)
        self._wishes = Wishes(parts, self._reissuer)
        settings = parts.settings
        self._public = PathRules(settings.public_paths)
        self._login_page = re.split("[?#]", settings.login_url or "")[0].rstrip("/")
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
        if access is None or now >= access.fresh_until or now >= access.checked_until:
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
            yield from hooks.emit(auth.event("store_unavailable"))
            if outage.decisive:
                return Arrival(auth, unavailable("store_unavailable", request))
        if auth.reason is None or not self.parts.settings.required:
            return Arrival(auth)
        return Arrival(auth, self._refusal(request, auth.reason))

    def _refusal(self, request: Request, reason: str) -> Refusal | None:
        """Where sign-in is required: why not, in the terms of RFC 6750."""
        if self._public.match(request) or self._is_login_page(request):
            return None
        login_url = self.parts.settings.login_url
        if login_url is not None and request.navigation and reason != "store_unavailable":
            return to_login(login_url, request)
        return refuse(reason, request)

    def _is_login_page(self, request: Request) -> bool:
        """It has to be reached by those who are to sign in there."""
        login_url = self.parts.settings.login_url
        return login_url is not None and (
            (request.mount + request.path).rstrip("/") == self._login_page
        )

    def _identify(self, auth: RequestAuth, presented: PresentedTokens) -> Asks[None]:
        if presented.fault is not None and presented.access is None:
            auth.anonymous(presented.fault.reason)
            yield from hooks.emit(auth.event("token_refused"))
            return
        if presented.channel is None:
            auth.anonymous("missing")
            return
        verified = self.parts.tokens.verify(presented.access, presented.refresh, now=auth.now)
        if presented.channel is Channel.COOKIES and self.parts.origins.refuses(auth.request):
            auth.withheld_sessions = verified.session_ids
            auth.anonymous("csrf")
            yield from hooks.emit(auth.event("csrf_refused"))
            return
        auth.arrived(presented.channel, verified)
        if verified.access_state == "valid":
            yield from self._with_access(auth, verified, presented)
        elif presented.fault is not None:
            auth.anonymous(presented.fault.reason)
            yield from hooks.emit(auth.event("token_refused"))
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
        if auth.now >= access.checked_until and not (yield from self._vouch(auth, access)):
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
            yield from hooks.emit(auth.event("store_unavailable"))
            return
        if auth.reason in ("superseded", "invalid_token"):
            auth.admit(access)  # this refresh token is worth nothing; the session lives
        elif not auth.is_authenticated:
            auth.access = None  # the session has ended, and its access token with it

    def _vouch(self, auth: RequestAuth, access: AccessToken) -> Asks[bool]:
        """The white list (``check_session``): is the session of a valid token still alive?"""
        session_id = access.session_id or ""
        try:
            session = yield from store.load(session_id, now=auth.now)
        except StoreUnavailable as outage:
            raise StoreUnavailable(str(outage), decisive=True) from outage
        if session is None:
            auth.anonymous("unknown_session")
        elif session.revoked:
            self.parts.memory.end(session_id, "revoked")
            auth.anonymous("revoked")
        else:
            lag = self.parts.settings.check_session
            access.checked_until = auth.now + (0.0 if isinstance(lag, str) else lag)
            return True
        yield from hooks.emit(auth.event("token_refused", session_id, access.subject))
        return False

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
            yield from hooks.emit(auth.event("token_refused"))

    def _sign_in(
        self,
        auth: RequestAuth,
        refresh: RefreshToken,
        presented: PresentedTokens,
        *,
        renewal: bool,
    ) -> Asks[None]:
        """Ask the row what the refresh token is worth; sets who the request is."""
        minted = self._reissuer.recall(presented, auth.now)
        if minted is not None:
            auth.signed_in(minted.claims)
            auth.reissue = minted.reissue
            return
        session = yield from self._load(refresh, auth.now)
        row = self._reissuer.judge(auth, refresh, session, auth.now, renewal=renewal)
        if row.verdict is Verdict.REUSE:
            yield from end_session(self.parts, auth, refresh.session_id, "reuse", refresh.subject)
        if not row.verdict.signed_in or session is None:
            if row.reason == "revoked":  # not "unknown": a replica may lag behind
                self.parts.memory.end(refresh.session_id, "revoked")
            auth.anonymous(row.reason or "invalid_token")
            return
        claims = yield from self._fresh_claims(session)
        if claims is None and self.parts.has_load_claims:
            yield from end_session(self.parts, auth, session.id, "refused", session.subject)
            auth.anonymous("revoked")
            return
        fresh = session if claims is None else replace(session, claims=claims)
        members = self.parts.tokens.members(fresh, generation=refresh.generation, now=auth.now)
        if not self.parts.tokens.has_required_claims(members):
            auth.anonymous("invalid_token")  # as its access token would be (S47)
            return
        auth.signed_in(Claims(members))
        auth.reissue = Reissue(row, refresh, session, claims, renewal, presented)
        if row.verdict in (Verdict.ROTATE, Verdict.KEEP) and refresh.generation > 0:
            auth.unconfirmed = (session.id, refresh.generation)

    def _load(self, refresh: RefreshToken, now: float) -> Asks[Session | None]:
        if self.parts.stateless:
            return refresh.session
        return (yield from store.load(refresh.session_id, now=now))

    def _fresh_claims(self, session: Session) -> Asks[Mapping[str, Any] | None]:
        """The account as it is now, if the app told us how to look (S43)."""
        if not self.parts.has_load_claims:
            return None
        loaded = yield from hooks.load_claims(session)
        if loaded is None:
            return None
        try:
            return custom_claims(loaded, self.parts.settings.identity_claim)
        except Exception as error:
            failure = StoreUnavailable("load_claims answered what cannot be claims", decisive=True)
            raise failure from error

    # ── When the response starts ─────────────────────────────────────────────────

    def respond(
        self, auth: RequestAuth, status: int, headers: Headers, now: float
    ) -> Asks[Additions | Refusal]:
        """Phase B, once a request: what is added to the response, or what replaces it."""
        auth.closed = "started"
        intent, muted = auth.intent, self._muted(auth, status, headers)
        stands = self._wishes.stand(intent, auth.request, status)
        try:
            if intent is not None and stands:
                return (yield from self._wishes.carry_out(auth, intent, status, muted, now))
            if auth.reissue is not None and not muted:
                return (yield from self._reissuer.reissue(auth, auth.reissue, now))
        except StoreUnavailable:
            yield from hooks.emit(auth.event("store_unavailable"))
            if stands:
                return unavailable("not_stored", auth.request)
        except TokenTooLarge:
            yield from hooks.emit(auth.event("oversized"))
        return NOTHING  # after an outage, too: the client tries again with what it has

    def _muted(self, auth: RequestAuth, status: int, headers: Headers) -> bool:
        """No token may travel on this response."""
        if stored_by_caches(auth.request, status):
            return True
        return self.parts.transport.sends_tokens(headers)

    # ── Behind the started response ──────────────────────────────────────────────

    def merge(self, additions: Additions, headers: Headers) -> Headers:
        """The headers to send: again at each start, should the app start over (PEP 3333)."""
        if not additions.fields or self.parts.transport.sends_tokens(headers):
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
