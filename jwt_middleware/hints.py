"""Why a request is not signed in: the mistakes that everybody makes once.

The decision sees but that no token came, or that another site seems to have caused the request.
The request's head tells more: cookies of other names, a page of another origin, a way without
https, a proxy that replaced the host. This looks at it, for both doors and for the command line;
never at a request that is signed in, so that it costs those nothing.

What is found is a guess about the configuration. It goes to the log, once for each cause and
process, and to the client where it was refused. It decides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, TypeAlias

from .csrf import host_replaced, names_host
from .errors import InvalidToken
from .jws import decode_object, split
from .keys import KeySource
from .request import Request
from .settings import Settings

Cause: TypeAlias = Literal[
    "cookie_name",
    "token_location",
    "authorization",
    "no_credentials",
    "plain_http",
    "host_replaced",
    "other_origin",
]


class Hint(NamedTuple):
    """What is probably wrong, and what to do about it."""

    cause: Cause
    text: str
    """For whoever runs the app. Quotes names and origins, never a value."""
    answer: str
    """For the client that is refused: fixed ASCII, nothing that came is echoed."""


MAX_COOKIES = 50
"""Cookies of a request that are looked at: each may cost a look at a token's header."""

_PREFIX = re.compile(r"__(host-http|host|http|secure)-", re.IGNORECASE)
_NAME = re.compile(r"[\w.-]{1,64}", re.ASCII).fullmatch
_ORIGIN = re.compile(r"https?://[\w.:\[\]-]{1,255}", re.ASCII).fullmatch
_LOOPBACK = re.compile(
    r"(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])(:\d+)?", re.IGNORECASE
).fullmatch
"""Where browsers keep Secure cookies without https (Secure Contexts section 3.1)."""

_PLAIN_HTTP = (
    "it came by plain http, where browsers neither keep nor send Secure cookies; use https, or, "
    "for development on your own machine, set cookie_secure=False. (If a proxy in front speaks "
    "https, let it say so: X-Forwarded-Proto: https.)"
)


class Hints:
    """Looks at requests by one configuration. ``own_keys``: those of our access tokens."""

    def __init__(self, settings: Settings, own_keys: KeySource) -> None:
        self._settings = settings
        self._own_keys = own_keys
        self._issuers = frozenset(
            url for url in (settings.issuer, *(one.url for one in settings.issuers)) if url
        )
        names = (settings.access_cookie, settings.refresh_cookie)
        self._names = frozenset(names)
        self._bare_names = frozenset(map(_bare, names))
        worth_a_look = "|".join(("eyJ", *map(re.escape, sorted(self._bare_names))))
        found = re.compile(worth_a_look, re.IGNORECASE).search
        self._worth_a_look: Callable[[str], object] = found
        self._by_cookie = "cookies" in settings.token_location
        self._told: set[Cause] = set()
        self._cookies_sent = False

    # ── When a request is anonymous, and when a response brings cookies ──────────────────

    def look(self, request: Request, reason: str | None, *, needed: bool) -> Hint | None:
        """The first thing that explains why nobody is signed in.

        ``reason``: as ``RequestAuth.reason`` has it. ``needed``: the request is refused for it;
        else it may well be a visitor's, and only what no visitor sends counts.
        """
        if reason == "missing":
            return next(self.without_token(request, needed=needed), None)
        return self.cross_site(request) if reason == "csrf" else None

    def sent(self, request: Request) -> Hint | None:
        """The response to this request brings tokens in cookies: will they be kept?"""
        self._cookies_sent = True
        return self._plain_http(request, by_browser=True)

    def first(self, hint: Hint | None) -> bool:
        """Whether there is something to tell that was not told yet; asking makes it told."""
        if hint is None or hint.cause in self._told:
            return False
        self._told.add(hint.cause)
        return True

    # ── No token came ────────────────────────────────────────────────────────────────

    def without_token(self, request: Request, *, needed: bool = True) -> Iterator[Hint]:
        """All that may be wrong with a request that came without one."""
        yield from self._other_cookies(request, needed)
        if needed:
            yield from self._other_header(request)
        if needed or self._cookies_sent:
            yield from self._without_credentials(request)
        if needed and (hint := self._plain_http(request, by_browser=_by_browser(request))):
            yield hint

    def _other_cookies(self, request: Request, needed: bool) -> Iterator[Hint]:
        """Tokens in cookies that nobody looks into."""
        field = request.cookie
        if field is None or not (needed or self._by_cookie) or not self._worth_a_look(field):
            return
        pairs = (one.strip(" \t").partition("=") for one in field.split(";")[:MAX_COOKIES])
        name = next((name for name, _, value in pairs if self._is_token(name, value)), None)
        if name is None:
            return
        if not self._by_cookie:
            yield Hint(
                "token_location",
                f'a token came in the cookie {_quoted(name)}; add "cookies" to token_location',
                "A token came in a cookie, where this app does not look.",
            )
            return
        expected = self._settings.access_cookie
        yield Hint(
            "cookie_name",
            f"a token came in the cookie {_quoted(name)}, and the app looks into {expected}; set "
            "access_cookie_name and refresh_cookie_name to the names there are, or sign in again: "
            "the names have __Host- in front or not, as cookie_secure, cookie_domain and "
            "cookie_path have it",
            f"A token came in another cookie than this app looks into, which is {expected}.",
        )

    def _is_token(self, name: str, value: str) -> bool:
        other = not self._by_cookie or name not in self._names
        return other and (_bare(name) in self._bare_names or self._is_ours(value))

    def _is_ours(self, value: str) -> bool:
        """It names a key of ours, or an issuer we believe. Nothing is verified: it decides
        nothing."""
        try:
            parts = split(value, self._settings.max_token_length)
            header = decode_object(parts.header)
            kid = header.get("kid")
            if isinstance(kid, str) and self._own_keys.find(kid, header.get("alg")) is not None:
                return True
            issuer = decode_object(parts.payload).get("iss")
        except InvalidToken:
            return False
        return isinstance(issuer, str) and issuer in self._issuers

    def _other_header(self, request: Request) -> Iterator[Hint]:
        if request.header("authorization") is None:
            return
        settings = self._settings
        if "headers" not in settings.token_location:
            yield Hint(
                "token_location",
                'a token came by Authorization; add "headers" to token_location',
                "A token came by Authorization, where this app does not look.",
            )
        elif settings.header_name.lower() != "authorization":
            yield Hint(
                "authorization",
                f"Authorization came, and the app looks into {settings.header_name} (header_name)",
                f"Authorization came, and this app looks into {settings.header_name}.",
            )
        else:
            expected = f"{settings.header_type} and a token"
            yield Hint(
                "authorization",
                f"Authorization came, and the app expects {expected} in it; set header_type, or "
                "let the client write that",
                f"Authorization came, and this app expects {expected} in it.",
            )

    def _without_credentials(self, request: Request) -> Iterator[Hint]:
        """Scripts of other origins send no cookies unless they are told to (Fetch standard)."""
        if not self._by_cookie or request.cookie is not None:
            return
        origin, site = request.header("origin"), request.header("sec-fetch-site")
        if site is not None:
            by_script = request.header("sec-fetch-mode") in (None, "cors", "websocket")
            elsewhere = by_script and site in ("same-site", "cross-site")
        else:
            elsewhere = origin is not None and not names_host(origin, request.header("host"))
        if elsewhere and not request.header("authorization"):
            strict = " and cookie_samesite to None" if site == "cross-site" else ""
            yield Hint(
                "no_credentials",
                "a script of another origin asked without cookies; let it call fetch with "
                'credentials: "include", and only if that origin is yours, answer with '
                "Access-Control-Allow-Credentials: true and the origin in "
                "Access-Control-Allow-Origin, and set trusted_origins to "
                f"{_origin(origin)}{strict}",
                "No cookie came with this request from another origin: fetch sends them with "
                'credentials: "include", and CORS has to allow it.',
            )

    def _plain_http(self, request: Request, *, by_browser: bool) -> Hint | None:
        secure = self._by_cookie and self._settings.cookie_secure
        if secure and _came_by_plain_http(request, by_browser):
            answer = "This came by plain http, and browsers send the cookies by https only."
            return Hint("plain_http", _PLAIN_HTTP, answer)
        return None

    # ── Another site caused it, or so it seems ────────────────────────────────────────

    def cross_site(self, request: Request) -> Hint:
        """Why the origin of a request was taken for another site's."""
        origin = request.header("origin")
        replaced = host_replaced(request)
        if replaced or request.header("sec-fetch-site") is None:
            host = request.header("host") or ""
            text = (
                f"its Origin is {_origin(origin)}, and Host is {_quoted(host, _HOST)}: if a proxy "
                "stands between, let it pass Host on (nginx: proxy_set_header Host $host;), else "
                "set trusted_origins"
            )
            return Hint("host_replaced", text, "")
        text = f"another site caused it; if {_origin(origin)} is yours, set trusted_origins"
        return Hint("other_origin", text, "")


_HOST = re.compile(r"[\w.:\[\]-]{1,255}", re.ASCII).fullmatch


def _by_browser(request: Request) -> bool:
    """It asks for a page, or comes from one. Others have their own ideas of cookies."""
    page = request.header("origin") or request.header("referer")
    return page is not None or "text/html" in (request.header("accept") or "")


def _came_by_plain_http(request: Request, by_browser: bool) -> bool:
    """As far as the request tells. Browsers tell nothing of Sec-Fetch to where there is no https,
    and treat this machine as if there were. Who sends no Host is no browser, but a test."""
    host = request.header("host")
    if not host or request.scheme in ("https", "wss") or _LOOPBACK(host):
        return False
    forwarded = request.header("x-forwarded-proto")  # the client's own hop stands first
    if forwarded is not None:
        return forwarded.partition(",")[0].strip().lower() == "http"
    if request.header("sec-fetch-site") is not None:
        return False
    page = request.header("origin") or request.header("referer") or ""
    scheme, separator, rest = page.partition("://")
    if separator and rest.partition("/")[0] == host:
        return scheme == "http"
    return by_browser and request.scheme in ("http", "ws")


def _bare(cookie: str) -> str:
    """A cookie's name without what browsers make promises by (RFC 6265bis section 4.1.3)."""
    prefix = _PREFIX.match(cookie)
    return cookie[prefix.end() :].lower() if prefix else cookie.lower()


def _quoted(text: str, harmless: Callable[[str], object] = _NAME) -> str:
    """What a client sent, if it can be shown in a log, and is no token."""
    return text if harmless(text) and "eyJ" not in text else "(a name that is not shown)"


def _origin(origin: str | None) -> str:
    return origin if origin is not None and _ORIGIN(origin) else "its origin"
