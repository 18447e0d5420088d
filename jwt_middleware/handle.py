"""`RequestAuth`: what a view sees of the middleware, and what it asks it to do.

It is synchronous and pure in both worlds. It signs, and it *records*: nothing is stored or
sent before the response starts, when :mod:`jwt_middleware.flow` carries out what stands
here. So a view never touches a cookie, never waits for a store, and the last word wins.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, cast

from .access import Requirement, roles_in, scopes_in
from .claims import RESERVED, Claims, custom_claims
from .csrf import CsrfPolicy
from .csrf_tokens import VISITOR, CsrfTokens
from .denials import Denials
from .errors import (
    ConfigurationError,
    CrossSiteRequest,
    MiddlewareNotInstalled,
    NotAuthenticated,
    PathIgnored,
    ResponseStarted,
    SessionsNotStored,
)
from .events import Event, EventName
from .memory import ProcessMemory
from .request import Request
from .rotation import Row
from .sessions import Session
from .settings import Settings
from .tokens import AccessToken, RefreshToken, TokenPair, Tokens, Verified
from .transport import Additions, Channel, Presented, Transport

CLAIMS_KEY = "jwt_middleware.claims"
AUTH_KEY = "jwt_middleware.auth"


@dataclass(frozen=True, slots=True)
class Parts:
    """What decisions are made with, assembled once from one configuration."""

    settings: Settings
    tokens: Tokens
    transport: Transport
    csrf: CsrfPolicy
    denials: Denials
    memory: ProcessMemory
    has_load_claims: bool
    tell: Callable[[EventName, float, str, str], None]
    """Of an event at a time, with its subject and session id, where a command is not worth it."""

    @property
    def stateless(self) -> bool:
        return self.settings.stateless


@dataclass(frozen=True, slots=True)
class Login:
    """A sign-in to be sent, and unless ``stored`` already, to be stored first."""

    pair: TokenPair
    channel: Channel | None
    """Where its tokens go; None: only to the app, in the pair."""
    stored: bool = False


@dataclass(slots=True)
class Intent:
    """What the app asked for during the request."""

    login: Login | None = None
    logout: bool = False
    everywhere: tuple[str, ...] = ()
    """The subjects to sign out everywhere; two, if somebody else signed in between."""
    claims: Mapping[str, Any] | None = None
    """New claims for the session the request came with."""
    refused: str | None = None
    """Why the last call was refused: another site may have caused it."""

    @property
    def is_wish(self) -> bool:
        """Something is to be done about it."""
        return self.login is not None or self.logout or self.claims is not None


@dataclass(frozen=True, slots=True)
class Answer:
    """What this process has minted for the two tokens of a request, and may give again."""

    additions: Additions
    made_at: float
    until: float
    """Seconds since the epoch. From that moment on another process may rotate again."""


@dataclass(frozen=True, slots=True)
class Reissue:
    """A refresh token that signed the request in: what may go out is judged again later."""

    row: Row
    refresh: RefreshToken
    session: Session
    claims: Mapping[str, Any] | None
    """Fresh from ``load_claims``; None: those of the session."""
    renewal: bool
    presented: Presented
    """The tokens as they came."""
    expired: AccessToken | None = None
    """The access token among them, if it is authentic and just too old."""
    answer: Answer | None = None
    """What it got, if another request came with the same tokens before."""


class RequestAuth:
    """Who the request is, and how to sign in, out, or change its claims.

    Also serves as ``scope["user"]`` and ``scope["auth"]`` of Starlette and its relatives.
    """

    __slots__ = (
        "access",
        "carried",
        "channel",
        "claims",
        "closed",
        "csrf_cookie",
        "csrf_session",
        "intent",
        "now",
        "parts",
        "presented_sessions",
        "reason",
        "reissue",
        "request",
        "unconfirmed",
        "withheld_sessions",
    )

    def __init__(
        self, parts: Parts, request: Request, now: float, access: AccessToken | None = None
    ) -> None:
        # This runs for every request: what a glance does not need is looked up in _complete.
        self.parts: Parts = parts
        self.request: Request = request
        self.now: float = now
        """Arrival of the request, seconds since the epoch."""
        self.claims: Claims | None = None if access is None else access.claims
        """The claims as they stand now; None when anonymous. To change them: `update`."""
        self.reason: str | None = None
        """Why the request is anonymous; None when somebody is signed in."""
        self.channel: Channel | None = None
        self.access = access
        """The valid access token the request came with."""
        self.carried: Session | None = None
        """The session inside a valid stateless refresh token."""
        self.presented_sessions: tuple[str, ...] = ()
        """Sessions of the authentic tokens that came along, even expired ones."""
        self.withheld_sessions: tuple[str, ...] = ()
        """The same for tokens that do not count because another site caused the request."""
        self.csrf_session: str = VISITOR
        """The session that a CSRF token of this request has to be of; of an expired one, too."""
        self.csrf_cookie: tuple[str, float | None] | None = None
        """A CSRF token that the client's cookie is to hold from now on, and its Max-Age."""
        self.intent: Intent | None = None
        self.reissue: Reissue | None = None
        self.unconfirmed: tuple[str, int] | None = None
        """Session and generation this request has proven the client to hold."""
        self.closed: str | None = None
        """Why nothing can be recorded any more: ``"started"`` or ``"ignored"``."""

    # ── Who it is ────────────────────────────────────────────────────────────────

    @property
    def subject(self) -> str | None:
        """Whom the claims name; None when anonymous."""
        return None if self.claims is None else self.identity

    @property
    def session_id(self) -> str | None:
        """None when anonymous, and for another issuer's token: its ``sid`` is none of ours."""
        return None if self.claims is None or self._foreign else self.claims.get("sid")

    @property
    def issuer(self) -> str | None:
        """Whose token it is, where that is another issuer's; None for our own. Two issuers may
        use one subject for two people: who somebody is, is issuer and subject together."""
        return None if self.claims is None or not self._foreign else self.claims["iss"]

    @property
    def _foreign(self) -> bool:
        """Another issuer's token signs the request in, and no login has replaced it."""
        access = self.access
        return access is not None and access.foreign and self.claims is access.claims

    @property
    def is_authenticated(self) -> bool:
        return self.claims is not None

    @property
    def signs_out(self) -> bool:
        """The app has asked for a logout, and whatever becomes of the response, it counts."""
        return self.intent is not None and self.intent.logout

    @property
    def reissued(self) -> bool:
        """The request was signed in by its refresh token; new tokens are on their way."""
        return self.reissue is not None and self.reissue.row.verdict.reissues

    # What Starlette, FastAPI and Litestar expect of request.user and request.auth:

    @property
    def identity(self) -> str:
        claims = self.claims
        return "" if claims is None else str(claims[self.parts.settings.identity_claim])

    @property
    def display_name(self) -> str:
        return self.subject or ""

    @property
    def scopes(self) -> list[str]:
        """``authenticated``, and the scopes of the token (``scopes_claim``)."""
        if self.claims is None:
            return []
        return ["authenticated", *scopes_in(self.claims, self.parts.settings.scopes_claim)]

    # ── May they ─────────────────────────────────────────────────────────────────

    @property
    def roles(self) -> list[str]:
        """The roles of the token (``roles_claim``)."""
        if self.claims is None:
            return []
        return roles_in(self.claims, self.parts.settings.roles_claim)

    def unmet(self, requirement: Requirement) -> str | None:
        """Why the request may not have what asks for this; None: it may.

        Either ``reason``, as nobody is signed in, or what `Requirement.unmet` says.
        """
        if self.claims is None:
            return self.reason
        settings = self.parts.settings
        return requirement.unmet(
            self.claims,
            self.now,
            roles_claim=settings.roles_claim,
            scopes_claim=settings.scopes_claim,
        )

    @property
    def csrf_token(self) -> str:
        """With ``csrf="double-submit"``, what the forms of this page have to send in the field
        ``csrf_field_name``, and scripts in the header ``csrf_header_name``; else "".

        If the client has no such cookie yet, the response brings it. For that a visitor's token
        has to be asked for before the response starts: raises `ResponseStarted`, `PathIgnored`.
        """
        csrf = self.parts.csrf
        if csrf.tokens is None:
            return ""
        if self.csrf_cookie is not None:
            return self.csrf_cookie[0]
        if self.channel is None and self.access is not None:
            self._complete()
        intent = self.intent
        if intent is not None and intent.login is not None:
            if intent.login.channel is Channel.COOKIES:
                return csrf.tokens.make(intent.login.pair.session_id)  # its cookie goes along
        elif (intent is None or not intent.logout) and self.csrf_session != VISITOR:
            return self._csrf_of_session(csrf.tokens)
        return self._csrf_of_visitor(csrf.tokens)

    def _csrf_of_session(self, tokens: CsrfTokens) -> str:
        token = tokens.make(self.csrf_session)
        if self.closed is None and not self.parts.csrf.holds_cookie(
            self.request, self.csrf_session
        ):
            self.csrf_cookie = (token, self.parts.settings.session_lifetime)
        return token

    def _csrf_of_visitor(self, tokens: CsrfTokens) -> str:
        known = self.parts.csrf.visitor_token(self.request)
        if known is not None:
            return known
        self._check_open("csrf_token", "in a view that answers all at once")
        token = tokens.make(VISITOR)
        self.csrf_cookie = (token, None)
        return token

    # ── What to do about it ──────────────────────────────────────────────────────

    def login(
        self,
        subject: str,
        claims: Mapping[str, Any] | None = None,
        *,
        remember: bool = True,
        cookies: bool | None = None,
        cross_site: bool = False,
        user_agent: str | None = None,
        address: str | None = None,
    ) -> TokenPair:
        """Sign somebody in: a new session, always, that replaces the presented one.

        The tokens go out with this response. ``remember=False``: a cookie that ends with the
        browser. ``cookies``: True, cookies; False, only in the pair that is returned; None,
        the way the request's own tokens came. ``cross_site=True`` allows a request that
        another site caused (the form post of an identity provider). ``user_agent`` and
        ``address`` are kept in the session for its owner to recognise it.

        Raises `ResponseStarted`, `CrossSiteRequest`, `TokenTooLarge`, `InvalidClaims`.
        """
        self._check_open("login", "use JWTAuth.issue() here")
        channel = self._delivery(cookies)
        self._check_same_site("login", channel, cross_site)
        tokens = self.parts.tokens
        session = tokens.new_session(
            subject,
            claims,
            persistent=remember,
            now=self.now,
            user_agent=user_agent,
            address=address,
        )
        return self._sign_in(Login(self._fitting_pair(session, channel), channel))

    def send(
        self, pair: TokenPair, *, cookies: bool | None = None, cross_site: bool = False
    ) -> None:
        """Send a pair that `JWTAuth.issue` has stored, as if `login` had made it.

        Raises `ResponseStarted`, `CrossSiteRequest`, `TokenTooLarge`.
        """
        self._check_open("send", "use JWTAuth.issue() here")
        channel = self._delivery(cookies)
        self._check_same_site("send", channel, cross_site)
        self._check_fits(pair, channel)
        self._sign_in(Login(pair, channel, stored=True))

    def update(self, claims: Mapping[str, Any]) -> None:
        """Replace the claims of the session; this response carries a new access token.

        Raises `ResponseStarted`, `NotAuthenticated`, `TokenTooLarge`, `InvalidClaims`.
        """
        self._check_open("update", "in another request")
        if self.claims is None or self.session_id is None:
            raise NotAuthenticated(
                "update() changes the claims of a signed-in session, and this request has none. "
                "Check is_authenticated first."
            )
        own = custom_claims(claims, self.parts.settings.identity_claim)
        login = self.intent.login if self.intent is not None else None
        if login is not None:
            session = replace(login.pair.session, claims=own)
            pair = self._fitting_pair(session, login.channel)
            self._intent().login = replace(login, pair=pair)
        elif self.parts.stateless:
            if self.carried is None:
                raise NotAuthenticated(
                    'with session_store "none" the claims live in the refresh token, and this '
                    "request came without a valid one."
                )
            self._check_refresh_fits(replace(self.carried, claims=own))
        issued = {name: self.claims[name] for name in self.claims if name in self._issued}
        members = {**own, **issued}
        self._check_access_fits(members, own)
        self._intent().claims = own
        self.claims = Claims(members)

    @property
    def _issued(self) -> frozenset[str]:
        """Names of the claims that are ours, not the app's."""
        return RESERVED | {self.parts.settings.identity_claim}

    def logout(self, *, cross_site: bool = False) -> None:
        """End the session of every authentic token that came along, even an expired one, and
        clear the cookies. With ``session_store="none"`` only the cookies go: tokens that
        were copied elsewhere live on until they expire.

        Raises `ResponseStarted`, `CrossSiteRequest`.
        """
        self._check_open("logout", "use JWTAuth.revoke() here")
        self._check_same_site("logout", self._delivery(None), cross_site)
        self._sign_out()

    def logout_everywhere(self, *, cross_site: bool = False) -> None:
        """`logout`, and end every other session of the subject, too.

        The request has to be signed in, or to have been when it arrived: an old token that
        somebody found must not end sessions that are not its own.
        Raises `ResponseStarted`, `CrossSiteRequest`, `SessionsNotStored`, `NotAuthenticated`.
        """
        self._check_open("logout_everywhere", "use JWTAuth.revoke_subject() here")
        if self.parts.stateless:
            raise SessionsNotStored(
                'logout_everywhere() needs stored sessions, and session_store is "none". '
                "Configure a store."
            )
        self._check_same_site("logout", self._delivery(None), cross_site)
        # A subject of another issuer may have a namesake here, who is somebody else.
        subject = None if self._foreign else self.subject
        subject = subject or self._subject_at_arrival
        if subject is None:
            raise NotAuthenticated(
                "logout_everywhere() ends the sessions of who is signed in, and this request is "
                "anonymous, or that of another issuer. Call logout() to end what it came with, or "
                "ask to sign in first."
            )
        self._sign_out()
        intent = self._intent()
        intent.everywhere = tuple(dict.fromkeys((*intent.everywhere, subject)))

    # ── For the flow ───────────────────────────────────────────────────────────────────

    def arrived(self, channel: Channel | None, verified: Verified) -> None:
        """What came along, as far as it is authentic."""
        self.channel = channel
        if channel is Channel.COOKIES:
            self.cookies_of(verified)
        self.presented_sessions = verified.session_ids
        ours = verified.access is None or verified.same_session
        if verified.refresh is not None and verified.refresh_state == "valid" and ours:
            self.carried = verified.refresh.session

    def recall(self, reissue: Reissue, claims: Claims) -> None:
        """Signed in as another request was that came with the same two tokens."""
        session_id = reissue.refresh.session_id
        self.channel = reissue.presented.channel
        if self.channel is Channel.COOKIES:
            self.csrf_session = session_id
        self.presented_sessions = (session_id,)
        self.claims, self.reissue = claims, reissue

    def cookies_of(self, verified: Verified) -> None:
        """Whose cookies these are, for CSRF tokens."""
        leading = verified.leading
        self.csrf_session = (leading.session_id if leading is not None else None) or VISITOR

    def admit(self, access: AccessToken) -> None:
        """Signed in by a valid access token."""
        self.access = access
        self.signed_in(access.claims)

    def event(
        self,
        name: EventName,
        session_id: str | None = None,
        subject: str | None = None,
        *,
        reason: str | None = None,
    ) -> Event:
        """What happened to this request, as it stands now."""
        who, session = subject or self.subject, session_id or self.session_id
        return Event(name, self.now, reason or self.reason, who, session)

    def signed_in(self, claims: Claims) -> None:
        self.claims = claims
        self.reason = None

    def anonymous(self, reason: str) -> None:
        self.claims = None
        self.reason = reason

    def _check_open(self, call: str, instead: str) -> None:
        if self.closed == "ignored":
            raise PathIgnored(
                f"{call}() on a path listed in ignore_paths, or in a CORS preflight: the "
                "middleware adds nothing to its response. Take the path off that list."
            )
        if self.closed is not None:
            raise ResponseStarted(
                f"{call}() came after the response had started, so its headers are gone. "
                f"Call it earlier, or {instead}."
            )
        if self.channel is None and self.access is not None:
            self._complete()

    def _complete(self) -> None:
        """Look up what a glance left out: it saw a valid access token and looked no further."""
        presented = self.parts.transport.locate(self.request)
        verified = self.parts.tokens.verify(presented.access, presented.refresh, now=self.now)
        self.arrived(presented.channel, verified)

    def _check_same_site(self, call: str, channel: Channel | None, cross_site: bool) -> None:
        if cross_site:
            self.presented_sessions += self.withheld_sessions
            self.withheld_sessions = ()
            return
        if channel is not Channel.COOKIES:
            return
        fault = self._cross_site_fault()
        if fault is not None:
            explanation = self.parts.csrf.explain(fault, self.request)
            self._intent().refused = fault
            raise CrossSiteRequest(
                f"{call}() on a request that another site may have caused. {explanation} "
                "For a form post by an identity provider pass cross_site=True."
            )

    def _cross_site_fault(self) -> str | None:
        """The verdict of arrival again, or for a request without cookies the first one."""
        if self.channel is Channel.HEADERS:  # no other site could have given it these
            return "csrf" if self.parts.csrf.origin_refuses(self.request) else None
        return self.parts.csrf.fault(self.request, self.csrf_session)

    @property
    def _subject_at_arrival(self) -> str | None:
        """Whom the request was signed in as, whatever the app has done about it since."""
        if self.access is not None:
            return None if self.access.foreign else self.access.subject
        return self.reissue.refresh.subject if self.reissue is not None else None

    def _delivery(self, cookies: bool | None) -> Channel | None:
        if cookies is None:
            return self.channel or self.parts.transport.default_channel
        if cookies and not self.parts.transport.uses_cookies:
            raise ConfigurationError(
                'cookies=True, but token_location has no "cookies": nobody would read them'
            )
        return Channel.COOKIES if cookies else None

    def _fitting_pair(self, session: Session, channel: Channel | None) -> TokenPair:
        pair = self.parts.tokens.pair(session, now=self.now)
        self._check_fits(pair, channel)
        return pair

    def _check_fits(self, pair: TokenPair, channel: Channel | None) -> None:
        if channel is Channel.COOKIES:
            transport = self.parts.transport
            claims = pair.session.claims
            transport.check_size(transport.access_cookie, pair.access_token, claims)
            transport.check_size(transport.refresh_cookie, pair.refresh_token, claims)

    def _check_access_fits(self, members: Mapping[str, Any], own: Mapping[str, Any]) -> None:
        token = self.parts.tokens.sign_access(members)
        if self._delivery(None) is Channel.COOKIES:
            self.parts.transport.check_size(self.parts.transport.access_cookie, token, own)

    def _check_refresh_fits(self, session: Session) -> None:
        token = self.parts.tokens.refresh(session)
        if self._delivery(None) is Channel.COOKIES:
            transport = self.parts.transport
            transport.check_size(transport.refresh_cookie, token, session.claims)

    def _intent(self) -> Intent:
        if self.intent is None:
            self.intent = Intent()
        return self.intent

    def _sign_in(self, login: Login) -> TokenPair:
        intent = self._intent()
        self._take_back_stored(intent)
        intent.login, intent.claims, intent.refused = login, None, None  # the last word wins
        session = login.pair.session
        members = self.parts.tokens.members(session, generation=session.generation, now=self.now)
        self.signed_in(Claims(members))
        self.csrf_cookie = None
        return login.pair

    def _sign_out(self) -> None:
        intent = self._intent()
        self._take_back_stored(intent)
        intent.login, intent.claims, intent.logout, intent.refused = None, None, True, None
        self.anonymous("logged_out")
        self.csrf_cookie = None

    def _take_back_stored(self, intent: Intent) -> None:
        """A stored pair that is not sent after all leaves no session behind."""
        if intent.login is not None and intent.login.stored:
            self.presented_sessions += (intent.login.pair.session_id,)


# ── Finding it ───────────────────────────────────────────────────────────────────────

current: ContextVar[RequestAuth | None] = ContextVar("jwt_middleware.current", default=None)
"""The handle of the request this context serves; set and reset by the doors."""


@contextmanager
def serving(auth: RequestAuth) -> Generator[None]:
    """Inside, this context serves that request: for doors that cannot stay in one context."""
    reset = current.set(auth)
    try:
        yield
    finally:
        current.reset(reset)


def get_auth(request: Any = None) -> RequestAuth:
    """The `RequestAuth` of a request.

    ``request``: any framework's request, a WSGI environ or an ASGI scope; without it, the
    request this thread or task is serving. Raises `MiddlewareNotInstalled`.
    """
    found = current.get() if request is None else _slots(request).get(AUTH_KEY)
    if not isinstance(found, RequestAuth):
        raise MiddlewareNotInstalled(
            "this request has not passed jwt_middleware. Wrap the whole app: "
            "app.wsgi_app = JWTMiddleware(app.wsgi_app, secret_key=...) for Flask, "
            "app = JWTMiddleware(app, secret_key=...) for ASGI. Test clients that bypass the "
            "wrapped app (Flask's test_request_context, Django's test client) bypass it, too."
        )
    return found


def get_claims(request: Any = None) -> Claims | None:
    """The claims of a request as they stand now; None when anonymous. See `get_auth`."""
    return get_auth(request).claims


def _slots(request: Any) -> Mapping[str, Any]:
    """The environ or scope behind a request object of whichever framework."""
    for name in (None, "environ", "scope", "META", "env"):
        behind: Any = request if name is None else getattr(request, name, None)
        if isinstance(behind, Mapping) and AUTH_KEY in behind:
            return cast("Mapping[str, Any]", behind)
    return {}
