"""Did another site cause this request?

Browsers attach cookies to requests that other sites cause. They also say where a request
comes from, in ``Origin`` and ``Sec-Fetch-Site``, which scripts cannot set. That is enough
for a verdict without any token in forms, and it is reached before anything is rotated
(``csrf="origin"``). A client that sends neither header is no browser: nobody can ride on its
cookies.

``csrf="double-submit"`` asks for the same, and for a token beside it, which only a page of
this site can have read: in a header, or in a field of a form. It does not take a browser's
word, nor the absence of it. A token counts for one session (see
:mod:`jwt_middleware.csrf_tokens`), so whoever can plant cookies in a jar, from a neighbouring
host, gains nothing by planting this one. It is therefore not compared with the cookie, which is
only how scripts get hold of it. A visitor has no session to bind a token to: what they send has
to be the cookie's very value, and that signs nobody in but lets them try.
"""

from __future__ import annotations

import hmac

from .csrf_tokens import VISITOR, CsrfTokens
from .errors import DuplicateCookie
from .forms import is_form
from .request import PathRules, Request
from .settings import Settings
from .transport import find_cookie

_REPLACED_HOST = " A proxy in front has replaced Host: let it pass Host on, as the browser sent it."
_DEFAULT_PORTS = {"https": ":443", "http": ":80"}


class CsrfPolicy:
    """The verdict on a request, and its reason."""

    def __init__(self, settings: Settings) -> None:
        self._origins = OriginPolicy(settings)
        self._exempt = PathRules(settings.csrf_exempt_paths)
        double = settings.csrf == "double-submit"
        self.tokens: CsrfTokens | None = CsrfTokens(settings.secret_keys) if double else None
        """None: no tokens are asked for."""
        self._header = settings.csrf_header_name.lower()
        self._cookie = settings.csrf_cookie
        expected = (
            f"Expected header {settings.csrf_header_name} with the value of cookie "
            f"{self._cookie}, or form field {settings.csrf_field_name}."
        )
        self._texts = {
            "csrf": "Refused: another site caused this request. Expected an Origin of this host, "
            "one listed in trusted_origins, or Sec-Fetch-Site: same-origin.",
            "csrf_token_missing": f"Refused: no CSRF token came. {expected}",
            "csrf_token_invalid": "Refused: the CSRF token is of another session, or none. "
            f"{expected}",
        }

    def fault(self, request: Request, session_id: str) -> str | None:
        """Why the request is refused, as ``RequestAuth.reason`` has it; None: it is not.

        ``session_id``: of the cookie that would sign it in, or `VISITOR`.
        """
        if self._origins.refuses(request):
            return "csrf"
        if not self._asks_for_token(request):
            return None
        token = self._submitted(request)
        if not token:
            return "csrf_token_missing"
        return None if self._counts(token, request, session_id) else "csrf_token_invalid"

    def origin_refuses(self, request: Request) -> bool:
        """The first half of the verdict: what the browser says of where it comes from."""
        return self._origins.refuses(request)

    def explain(self, reason: str, request: Request) -> str | None:
        """What was expected, in fixed ASCII text; None for other reasons than ours."""
        text = self._texts.get(reason)
        return f"{text}{_REPLACED_HOST}" if reason == "csrf" and host_replaced(request) else text

    def awaits_form(self, request: Request, session_id: str) -> bool:
        """Whether the verdict hangs on a field of the request's body, not looked at yet."""
        return (
            self._asks_for_token(request)
            and request.peek is not None
            and not self._submitted(request)
            and not self._origins.refuses(request)
            and is_form(request.header("content-type"))
            and (session_id != VISITOR or self.visitor_token(request) is not None)
        )

    def visitor_token(self, request: Request) -> str | None:
        """The token in the request's cookie, if it is a visitor's."""
        return self._token_in_cookie(request, VISITOR)

    def holds_cookie(self, request: Request, session_id: str) -> bool:
        """Whether scripts find a good token in the cookie."""
        return self._token_in_cookie(request, session_id) is not None

    def make(self, session_id: str) -> str | None:
        """A token for the session; None where none is asked for."""
        return None if self.tokens is None else self.tokens.make(session_id)

    def _asks_for_token(self, request: Request) -> bool:
        # The handshake of a WebSocket cannot carry one: there the origin alone decides.
        return (
            self.tokens is not None
            and request.unsafe
            and not request.websocket
            and not self._exempt.match(request)
        )

    def _submitted(self, request: Request) -> str | None:
        return request.header(self._header) or request.csrf_field

    def _counts(self, token: str, request: Request, session_id: str) -> bool:
        if session_id == VISITOR:
            expected = self.visitor_token(request)
            return expected is not None and _same(expected, token)
        return self.tokens is not None and self.tokens.holds(token, session_id)

    def _token_in_cookie(self, request: Request, session_id: str) -> str | None:
        try:
            token = find_cookie(request.cookie or "", self._cookie)
        except DuplicateCookie:
            return None
        if token is None or self.tokens is None or not self.tokens.holds(token, session_id):
            return None
        return token


class OriginPolicy:
    """Judges unsafe methods and WebSocket handshakes by their origin."""

    def __init__(self, settings: Settings) -> None:
        self._enabled = settings.csrf != "off"
        self._trusted = frozenset(origin.lower() for origin in settings.trusted_origins)
        self._exempt = PathRules(settings.csrf_exempt_paths)

    def refuses(self, request: Request) -> bool:
        """True if another site may have caused it, and it may change something."""
        if not self._enabled or not request.unsafe or self._exempt.match(request):
            return False
        origin = request.header("origin")
        if origin is not None and origin.lower() in self._trusted:
            return False
        site = request.header("sec-fetch-site")
        if site is not None:
            # The browser has compared the origins itself; "none": typed in by the user.
            return site not in ("same-origin", "none")
        if origin is not None:
            return not names_host(origin, request.header("host"))
        return False


def host_replaced(request: Request) -> bool:
    """A proxy says that the browser asked for another Host, of which this origin is. Anybody could
    say so: it explains a verdict, and never changes one."""
    origin, asked = request.header("origin"), request.header("x-forwarded-host")
    return (
        origin is not None
        and asked is not None
        and names_host(origin, asked.partition(",")[0].strip())
    )


def names_host(origin: str, host: str | None) -> bool:
    """Host and port are equal. The scheme may differ: TLS often ends at a proxy."""
    scheme, separator, netloc = origin.lower().partition("://")
    port = _DEFAULT_PORTS.get(scheme)
    if not separator or port is None or not host:
        return False
    name = netloc.removesuffix(port)
    return name != "" and name == host.lower().removesuffix(port)


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "surrogatepass"))
