"""The four cases, written once.

A request goes through three steps, none of which does I/O or reads a clock:

* `Flow.glance`, a plain function: a valid token that this process has seen before, or the
  tokens of a request that it has just reissued. It provably asks nothing, because it is no
  generator.
* `Flow.arrive` (phase A): who signs this request? One row is read if the refresh token is
  needed. The verdict is final for the app: a slow endpoint does not make its own user a
  thief.
* `Flow.respond` (phase B), when the response starts: what may leave? What the app asked
  for is stored; else, if the refresh token signed the request, the row is swapped or read
  *now*, and only what the presented token would still get now goes out. (`Flow.repeat`, plain
  again, repeats an answer that this process has made.)

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
from dataclasses import replace
from typing import Any, NamedTuple

from .access import Requirement
from .claims import Claims, custom_claims
from .driver import Asks
from .endpoints import Endpoints
from .errors import InvalidClaims, StoreUnavailable, TokenTooLarge
from .events import EventName
from .forms import form_field
from .handle import Parts, Reissue, RequestAuth
from .hints import Hint
from .memory import PURGE_INTERVAL, PURGE_LIMIT, SETTLE_PAUSE
from .refusals import Refusal, unavailable
from .reissue import Reissuer
from .request import PathRules, Request
from .rotation import Verdict
from .rules import RuleBook
from .sessions import Session, not_alive, store
from .tokens import AccessToken, RefreshToken, Verified
from .transport import NOTHING, Additions, Channel
from .transport import Presented as PresentedTokens
from .wishes import Wishes, carries_tokens, end_session
from .world import bodies, hooks, key_sources

Headers = Sequence[tuple[str, str]]


SERVER_ERROR = 500
"""What becomes of an exception that an app does not catch."""

_TOKEN_ALONE = frozenset(("superseded", "invalid_token"))
"""Why a refresh token is worth nothing, while its session, and an access token of it, lives."""


class Arrival(NamedTuple):
    """The end of phase A: the handle for the app, or an answer in its place."""

    auth: RequestAuth
    refusal: Refusal | None = None


class Obstacle(NamedTuple):
    """Why a request may not go on: nobody is signed in, or what a rule asks is not met."""

    reason: str
    requirement: Requirement | None = None


class Flow:
    """The decision, made with the parts of one configuration."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._denials = parts.denials
        self._reissuer = Reissuer(parts)
        self._wishes = Wishes(parts, self._reissuer)
        settings = parts.settings
        self._public = PathRules(settings.public_paths)
        # None rather than an empty book: the hot path asks at every request.
        book = RuleBook(settings.rules, settings.public_paths)
        self._rules = book if settings.rules else None
        self._asks_for_sign_in = settings.required or bool(settings.rules)
        self._endpoints = Endpoints(parts, self)
        self._has_endpoints = bool(self._endpoints.paths)
        self._ignored = PathRules(settings.ignore_paths)
        self._ignores_paths = bool(settings.ignore_paths)
        self._reissues_expired = "expired" in settings.reissue_on

    # ── Before the app ───────────────────────────────────────────────────────────

    def _ignores(self, request: Request) -> bool:
        """Whether the middleware leaves this request and its response alone."""
        return self._ignored.match(request) or request.preflight

    def silences(self, auth: RequestAuth) -> bool:
        """Whether only the header of the app's answer may go out, to a request that the middleware
        leaves alone."""
        return self._asks_for_sign_in and auth.request.preflight

    def glance(self, request: Request, now: float) -> RequestAuth | None:
        """The common case, at next to no cost; None: `arrive` has to look."""
        parts = self.parts
        if request.method == "OPTIONS" or self._ignores_paths:
            return None
        token = parts.transport.glance(request)
        if token is None:
            return None
        if self._has_endpoints and request.path in self._endpoints.paths:
            return None
        access = parts.tokens.verified.get(token)
        if access is None or now >= access.expires_at:
            return self._sibling(token, request, now)
        if now >= access.fresh_until or now >= access.checked_until:
            return None
        keys = access.keys
        if keys.version != access.version or now >= keys.due:
            return None
        memory = parts.memory
        if not access.settled and memory.store_opened:
            return None
        if access.session_id in memory.ended:
            return None
        auth = RequestAuth(parts, request, now, access)
        if self._rules is not None and self._unmet(auth) is not None:
            return None
        parts.tokens.hits += 1
        return auth

    def _sibling(self, token: str, request: Request, now: float) -> RequestAuth | None:
        """The same for a request with the very tokens that another has just been reissued for:
        all that `arrive` would look at still stands as it stood for that one."""
        parts = self.parts
        if not self._reissues_expired:
            return None
        minted = self._reissuer.sibling(token, request, now)
        if minted is None:
            return None
        reissue, keys = minted.reissue, parts.tokens.own_keys
        access = reissue.expired
        assert access is not None  # noqa: S101  # beside no other token siblings are remembered
        if now < access.expires_at or now >= reissue.refresh.expires_at:
            return None
        if access.keys is not keys or access.version != keys.version or now >= keys.due:
            return None
        auth = RequestAuth(parts, request, now)
        auth.recall(reissue, self._reissuer.claims_of(minted))
        if self._rules is not None and self._unmet(auth) is not None:
            return None
        parts.tokens.hits += 1
        return auth

    def arrive(self, request: Request, now: float) -> Asks[Arrival]:
        """Phase A."""
        auth = RequestAuth(self.parts, request, now)
        if self._ignores(request):
            auth.anonymous("ignored")
            auth.closed = "ignored"  # its response is not ours to add to
            return Arrival(auth)
        endpoint = self._endpoints.at(request)
        if endpoint is not None:
            answer = yield from endpoint(auth)
            yield from self._explain(auth, needed=True)
            return Arrival(auth, answer)
        refusal = yield from self.identify(auth)
        if refusal is not None:
            return Arrival(auth, refusal)
        unmet = self._unmet(auth)
        hint = yield from self._explain(auth, needed=unmet is not None)
        if unmet is None:
            return Arrival(auth)
        return Arrival(auth, self._denials.answer(request, unmet.reason, unmet.requirement, hint))

    def identify(self, auth: RequestAuth, *, ahead: bool = False) -> Asks[Refusal | None]:
        """Who signs the request; ``ahead``: by its refresh token, whatever else there is.

        Answers a refusal if the app must not run at all, as nobody can say who it is.
        """
        presented = self.parts.transport.locate(auth.request)
        auth.channel = presented.channel
        try:
            yield from self._identify(auth, presented, ahead=ahead)
        except StoreUnavailable as outage:
            auth.anonymous("store_unavailable")
            yield from hooks.emit(auth.event("store_unavailable"))
            if outage.decisive:
                return unavailable("store_unavailable", auth.request)
        return None

    def _unmet(self, auth: RequestAuth) -> Obstacle | None:
        """Why the request may not go on; None: it may."""
        request = auth.request
        asked = self._rules.asked(request) if self._rules is not None else ()
        for requirement in asked:
            reason = auth.unmet(requirement)
            if reason is not None and not self._denials.is_login_page(request):
                return Obstacle(reason, requirement)
        if auth.reason is None or asked or not self.parts.settings.required:
            return None
        if self._public.match(request) or self._denials.is_login_page(request):
            return None
        return Obstacle(auth.reason)

    def _explain(self, auth: RequestAuth, *, needed: bool) -> Asks[Hint | None]:
        """What is probably wrong, if nobody is signed in; the first time the log is told."""
        if auth.reason is None:
            return None
        hint = self._denials.hints.look(auth.request, auth.reason, needed=needed)
        yield from self._advise(hint)
        return hint

    def _advise(self, hint: Hint | None) -> Asks[None]:
        if hint is not None and self._denials.hints.first(hint):
            yield from hooks.advise(hint.text)

    def _identify(
        self, auth: RequestAuth, presented: PresentedTokens, *, ahead: bool
    ) -> Asks[None]:
        # Also for those who come without a token: they may sign in.
        yield from key_sources.look(self.parts.tokens.own_keys, now=auth.now)
        if presented.fault is not None and (presented.access is None or ahead):
            yield from self._look_into_form(auth)
            auth.anonymous(presented.fault.reason)
            yield from hooks.emit(auth.event("token_refused"))
            return
        if presented.channel is None:
            yield from self._look_into_form(auth)
            auth.anonymous("missing")
            return
        verified = yield from self._verify(auth, presented)
        if presented.channel is Channel.COOKIES:
            auth.cookies_of(verified)
            yield from self._look_into_form(auth)
            cross_site = self.parts.csrf.fault(auth.request, auth.csrf_session)
            if cross_site is not None:
                auth.withheld_sessions = verified.session_ids
                auth.anonymous(cross_site)
                yield from _tell_refused(auth, verified, "csrf_refused")
                return
        auth.arrived(presented.channel, verified)
        if ahead:
            yield from self._renew_ahead(auth, verified, presented)
        elif verified.access_state == "valid":
            yield from self._with_access(auth, verified, presented)
        elif presented.fault is not None:
            auth.anonymous(presented.fault.reason)
            yield from _tell_refused(auth, verified)
        else:
            yield from self._without_access(auth, verified, presented)

    def _look_into_form(self, auth: RequestAuth) -> Asks[None]:
        """A form that no script sends has its CSRF token in the body, and nowhere else."""
        request = auth.request
        if not self.parts.csrf.awaits_form(request, auth.csrf_session):
            return
        try:
            content, whole = yield from bodies.peek(request)
        except StoreUnavailable:
            return  # the client went away: no token came
        name = self.parts.settings.csrf_field_name
        request.csrf_field = form_field(request.header("content-type"), content, whole, name)

    def _verify(self, auth: RequestAuth, presented: PresentedTokens) -> Asks[Verified]:
        """Both tokens; if their keys may be outdated, newer ones are looked for, once."""
        verify, now = self.parts.tokens.verify, auth.now
        verified = verify(presented.access, presented.refresh, now=now, may_wait=True)
        if verified.awaits is None:
            return verified
        yield from key_sources.refresh(verified.awaits.keys, verified.awaits.kid, now=now)
        verified = verify(presented.access, presented.refresh, now=now)
        if verified.awaits is not None:
            raise StoreUnavailable("the keys of an issuer cannot be had, and none are known")
        return verified

    # ── Rows 1 and 3: the access token is valid ──────────────────────────────────

    def _with_access(
        self, auth: RequestAuth, verified: Verified, presented: PresentedTokens
    ) -> Asks[None]:
        access, refresh = verified.access, verified.refresh
        assert access is not None  # noqa: S101  # its state is "valid"
        if access.session_id in self.parts.memory.ended:
            auth.anonymous("revoked")
            yield from _tell_refused(auth, verified)
            return
        renewal = self._renews(verified, auth.now)
        if auth.now >= access.checked_until and not (
            yield from self._vouch(auth, access, renewal=renewal)
        ):
            return
        auth.admit(access)
        self._note_proof(auth, access)
        early = (
            verified.refresh_state == "valid"
            and verified.same_session
            and auth.now >= access.expires_at - self.parts.settings.reissue_within
        )
        if refresh is None or not (early or renewal):
            return
        try:
            refused = yield from self._sign_in(auth, refresh, presented, None, renewal=renewal)
        except StoreUnavailable:
            # The valid token needs nobody's word: the request goes on with it.
            yield from hooks.emit(auth.event("store_unavailable"))
            return
        if refused is not None and refused not in _TOKEN_ALONE:
            auth.access = None  # the session has ended, and its access token with it
            auth.anonymous(refused)
            yield from _tell_refused(auth, verified)

    def _vouch(self, auth: RequestAuth, access: AccessToken, *, renewal: bool) -> Asks[bool]:
        """The white list (``check_session``): is the session of a valid token still alive?
        With ``renewal`` it may have idled too long: the refresh token beside it is to mend that."""
        session_id = access.session_id or ""
        try:
            session = yield from store.load(session_id, now=auth.now)
        except StoreUnavailable as outage:
            raise StoreUnavailable(str(outage), decisive=True) from outage
        reason = not_alive(session, auth.now)
        if reason is None or (reason == "expired" and renewal):
            lag = self.parts.settings.check_session
            access.checked_until = auth.now + (0.0 if isinstance(lag, str) else lag)
            return True
        if reason == "revoked":
            self.parts.memory.end(session_id)
        auth.anonymous(reason)
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
            and verified.same_session
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
        else:
            yield from self._by_refresh(auth, verified, refresh, presented, renewal=False)
        if auth.reason not in (None, "missing"):
            yield from _tell_refused(auth, verified)

    def _renew_ahead(
        self, auth: RequestAuth, verified: Verified, presented: PresentedTokens
    ) -> Asks[None]:
        """The client asks for new tokens: what its access token is worth does not matter."""
        refresh = verified.refresh
        renewal = verified.access_state == "valid" and self._renews(verified, auth.now)
        if refresh is None:
            auth.anonymous("missing" if verified.refresh_state == "missing" else "invalid_token")
        else:
            yield from self._by_refresh(auth, verified, refresh, presented, renewal=renewal)
        if auth.reason not in (None, "missing"):
            yield from _tell_refused(auth, verified)

    def _by_refresh(
        self,
        auth: RequestAuth,
        verified: Verified,
        refresh: RefreshToken,
        presented: PresentedTokens,
        *,
        renewal: bool,
    ) -> Asks[None]:
        """Signed in by the refresh token, or anonymous."""
        refused: str | None
        if verified.refresh_state == "expired" and not renewal:
            refused = "expired"
        elif verified.access is not None and not verified.same_session:
            refused = "invalid_token"
        else:
            expired = verified.access if verified.access_state == "expired" else None
            refused = yield from self._sign_in(auth, refresh, presented, expired, renewal=renewal)
        if refused is not None:
            auth.anonymous(refused)

    def _sign_in(
        self,
        auth: RequestAuth,
        refresh: RefreshToken,
        presented: PresentedTokens,
        expired: AccessToken | None,
        *,
        renewal: bool,
    ) -> Asks[str | None]:
        """Ask the row what the refresh token is worth. Signs the request in, or answers the
        reason why not."""
        minted = self._reissuer.recall(presented, auth.now)
        if minted is not None:
            auth.signed_in(self._reissuer.claims_of(minted))
            auth.reissue = minted.reissue
            return None
        session = yield from self._load(refresh, auth.now)
        row = self._reissuer.judge(auth, refresh, session, auth.now, renewal=renewal)
        if row.verdict is Verdict.REUSE:
            yield from end_session(self.parts, auth, refresh.session_id, "reuse", refresh.subject)
        if not row.verdict.signed_in or session is None:
            if row.reason == "revoked":  # not "unknown": a replica may lag behind
                self.parts.memory.end(refresh.session_id)
            return row.reason or "invalid_token"
        claims = yield from self._fresh_claims(session)
        if claims is None and self.parts.has_load_claims:
            yield from end_session(self.parts, auth, session.id, "refused", session.subject)
            return "revoked"
        fresh = session if claims is None else replace(session, claims=claims)
        members = self.parts.tokens.members(fresh, generation=refresh.generation, now=auth.now)
        if not self.parts.tokens.has_required_claims(members):
            return "invalid_token"  # as its access token would be (S47)
        auth.signed_in(Claims(members))
        auth.reissue = Reissue(row, refresh, session, claims, renewal, presented, expired)
        if row.verdict in (Verdict.ROTATE, Verdict.KEEP) and refresh.generation > 0:
            auth.unconfirmed = (session.id, refresh.generation)
        return None

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
            # Ours is without values; of another kind only the name is told.
            fault = error if isinstance(error, InvalidClaims) else type(error).__name__
            text = f"load_claims answered what cannot be claims: {fault}"
            yield from hooks.advise(text)
            raise StoreUnavailable(text, decisive=True) from error

    # ── When the response starts ─────────────────────────────────────────────────

    def repeat(
        self, auth: RequestAuth, status: int | None, headers: Headers, now: float
    ) -> Additions | None:
        """Phase B at a glance, for a sibling that gets what another was given; None: `respond`
        has to look. A plain function, too: of the event it tells, nobody waits for an answer."""
        reissue = auth.reissue
        if reissue is None or reissue.answer is None or auth.intent is not None:
            return None
        if self._muted(auth, status, headers):
            return None
        additions = self._reissuer.repeat(auth, reissue, reissue.answer, now)
        if additions is None:
            return None
        auth.closed = "started"
        if auth.csrf_cookie is not None:
            return self.parts.transport.with_csrf(additions, *auth.csrf_cookie)
        return additions

    def respond(
        self, auth: RequestAuth, status: int | None, headers: Headers, now: float
    ) -> Asks[Additions | Refusal]:
        """Phase B, once a request: what is added to the response, or what replaces it.

        ``status`` None: no response leaves that could carry anything (an exception, a
        cancellation, a handshake that is closed). Then no login stands, but a logout does.
        """
        repeated = self.repeat(auth, status, headers, now)
        if repeated is not None:
            return repeated
        auth.closed = "started"
        muted = self._muted(auth, status, headers)
        outcome = yield from self._outcome(auth, status, muted, now)
        if isinstance(outcome, Additions) and outcome.sets_cookies:
            yield from self._advise(self._denials.hints.sent(auth.request))
        if auth.csrf_cookie is None or muted or isinstance(outcome, Refusal):
            return outcome
        return self.parts.transport.with_csrf(outcome, *auth.csrf_cookie)

    def _outcome(
        self, auth: RequestAuth, status: int | None, muted: bool, now: float
    ) -> Asks[Additions | Refusal]:
        """What follows from what the app asked for, else from the refresh token."""
        intent = auth.intent
        if intent is not None and intent.refused and status == SERVER_ERROR and not intent.is_wish:
            return (yield from self._refuse_cross_site(auth, intent.refused))
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
        except TokenTooLarge as fault:
            yield from hooks.advise(str(fault))
            yield from hooks.emit(auth.event("oversized"))
        return NOTHING  # after an outage, too: the client tries again with what it has

    def _refuse_cross_site(self, auth: RequestAuth, reason: str) -> Asks[Refusal]:
        """What an app makes of a `CrossSiteRequest` that it has not thought of is no error of
        the server's."""
        hint = self._denials.hints.look(auth.request, reason, needed=True)
        yield from self._advise(hint)
        if auth.reason != reason:  # else it was told when the request arrived
            yield from hooks.emit(auth.event("csrf_refused", reason=reason))
        return self._denials.answer(auth.request, reason, None, hint)

    def _muted(self, auth: RequestAuth, status: int | None, headers: Headers) -> bool:
        """No token may travel on this response."""
        if not carries_tokens(auth.request, status):
            return True
        return self.parts.transport.sends_tokens(headers)

    def closed(self, auth: RequestAuth) -> None:
        """An open connection was closed in the app's place; ``auth.reason`` says why. Nothing is
        left to decide: this is for those who count (`jwt_middleware.otel`)."""

    # ── Behind the started response ──────────────────────────────────────────────

    def merge(self, additions: Additions, headers: Headers) -> list[tuple[str, str]]:
        """The headers to send: again at each start, should the app start over (PEP 3333)."""
        if self.parts.transport.sends_tokens(headers):
            return list(headers)
        return additions.apply(headers)

    def unsettled(self, auth: RequestAuth, now: float) -> bool:
        """Whether `settle` has anything to do."""
        memory = self.parts.memory
        if not memory.store_opened or now < memory.pause_until:
            return False
        return auth.unconfirmed is not None or now >= memory.purge_again_at

    def settle(self, auth: RequestAuth, now: float) -> Asks[None]:
        """Confirm what the client has shown to hold, and purge now and then.

        Nobody waits for this and nobody is told when it fails: it will be tried again.
        """
        if not self.unsettled(auth, now):
            return
        memory = self.parts.memory
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


def _tell_refused(
    auth: RequestAuth, verified: Verified, name: EventName = "token_refused"
) -> Asks[None]:
    """With the ids of the token that came, if it is authentic: a forged one names nobody."""
    token = verified.leading
    if token is None:
        yield from hooks.emit(auth.event(name))
    else:
        yield from hooks.emit(auth.event(name, token.session_id, token.subject))
