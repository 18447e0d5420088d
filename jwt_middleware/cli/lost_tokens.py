"""Why a request is not signed in: the mistakes that everybody makes once.

The app sees but that no token came. The request's own head tells more: cookies of other names, a
page of another origin, a way without https, a proxy that replaced the host.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from ..csrf import CsrfPolicy
from ..settings import Settings
from ..transport import Channel, Presented, Transport
from .exits import Stop
from .findings import Finding, Level
from .given_request import GivenRequest
from .inspect import Inspected, verified

_PREFIX = re.compile(r"^__(host-http|host|http|secure)-", re.IGNORECASE)
_TOKEN = re.compile(r"eyJ[\w-]+(\.[\w-]*){2,4}").fullmatch
ABOUT = "request"


def look_at_request(given: GivenRequest, settings: Settings) -> Iterator[Finding]:
    """What becomes of it, and why."""
    presented = Transport(settings).locate(given.as_request(settings))
    if presented.channel is None:
        yield from _nothing_came(given, settings)
    elif presented.fault is not None:
        yield Finding(Level.LOST, ABOUT, f"its tokens do not count: {presented.fault}")
    else:
        yield from _judged(presented, settings)
    if presented.channel is not Channel.HEADERS:
        yield from _cross_site(given, settings)


# ── Tokens came ──────────────────────────────────────────────────────────────────


def _judged(presented: Presented, settings: Settings) -> Iterator[Finding]:
    came = {"access token": presented.access, "refresh token": presented.refresh}
    states = {kind: _state(token, settings) for kind, token in came.items() if token is not None}
    signed_in = "valid" in states.values()
    for kind, state in states.items():
        level = Level.GOOD if state == "valid" else Level.NOTE if signed_in else Level.LOST
        yield Finding(level, kind, state)


def _state(token: str, settings: Settings) -> str:
    try:
        found: Inspected = verified(token, settings, time.time())
    except Stop as stop:
        return str(stop)
    return found.state if found.reason is None else f"{found.state}: {found.reason}"


# ── None came ────────────────────────────────────────────────────────────────────


def _nothing_came(given: GivenRequest, settings: Settings) -> Iterator[Finding]:
    reasons = [
        *_other_cookies(given, settings),
        *_other_scheme(given, settings),
        *_without_credentials(given, settings),
        *_plain_http(given, settings),
    ]
    reasons = reasons or ["no token came: sign in first, and see that the client keeps cookies"]
    for reason in reasons:
        yield Finding(Level.LOST, ABOUT, reason)


def _other_cookies(given: GivenRequest, settings: Settings) -> Iterator[str]:
    """Tokens in cookies that nobody looks into."""
    own = {_bare(settings.access_cookie), _bare(settings.refresh_cookie)}
    names = [name for name, value in given.cookies if _bare(name) in own or _TOKEN(value)]
    if names and "cookies" not in settings.token_location:
        yield f'a token came in the cookie {names[0]}; add "cookies" to token_location'
    elif names:
        yield (
            f"a token came in the cookie {names[0]}, and the app looks into "
            f"{settings.access_cookie}; set access_cookie_name and refresh_cookie_name to the "
            "names there are, or sign in again: the names have __Host- in front or not, as "
            "cookie_secure, cookie_domain and cookie_path have it"
        )


def _bare(cookie: str) -> str:
    return _PREFIX.sub("", cookie).lower()


def _other_scheme(given: GivenRequest, settings: Settings) -> Iterator[str]:
    field = given.headers.get("authorization")
    if field is None:
        return
    if "headers" not in settings.token_location:
        yield 'a token came by Authorization; add "headers" to token_location'
    elif settings.header_name.lower() != "authorization":
        yield f"Authorization came, and the app looks into {settings.header_name} (header_name)"
    else:
        yield (
            f"Authorization came, and the app expects {settings.header_type} and a token in it; "
            "set header_type, or let the client write that"
        )


def _without_credentials(given: GivenRequest, settings: Settings) -> Iterator[str]:
    """Scripts of other origins send no cookies unless they are told to (Fetch standard)."""
    site = given.headers.get("sec-fetch-site")
    by_cookie = "cookies" in settings.token_location
    if by_cookie and "cookie" not in given.headers and site in ("same-site", "cross-site"):
        origin = given.headers.get("origin", "its origin")
        strict = " and cookie_samesite to None" if site == "cross-site" else ""
        yield (
            "a script of another origin asked without cookies; let it call fetch with "
            'credentials: "include", answer with Access-Control-Allow-Credentials: true and '
            "its origin in Access-Control-Allow-Origin, and set trusted_origins to "
            f"{origin}{strict}"
        )


def _plain_http(given: GivenRequest, settings: Settings) -> Iterator[str]:
    if given.scheme == "http" and settings.cookie_secure and "cookies" in settings.token_location:
        yield (
            "it came by plain http, where browsers neither keep nor send Secure cookies; use "
            "https, or, for development on your own machine, set cookie_secure=False"
        )


# ── Cross-site ───────────────────────────────────────────────────────────────────


def _cross_site(given: GivenRequest, settings: Settings) -> Iterator[Finding]:
    """The verdict is the app's own; why it fell so, the proxy's headers may tell."""
    policy = CsrfPolicy(settings)
    if not policy.origin_refuses(given.as_request(settings)):
        return
    origin = given.headers.get("origin", "")
    if "sec-fetch-site" not in given.headers:
        text = (
            f"its Origin is {origin}, and Host is {given.host}: if a proxy stands between, let it "
            "pass Host on (nginx: proxy_set_header Host $host;), else set trusted_origins"
        )
    else:
        text = f"another site caused it; if {origin or 'that site'} is yours, set trusted_origins"
    yield Finding(Level.LOST, "csrf", text)
