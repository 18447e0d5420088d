"""`login_as`: a test client that holds the cookies of somebody who has signed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from email.message import Message
from http.cookiejar import CookieJar
from typing import Any, NamedTuple, cast
from urllib.request import Request

from ..auth import JWTAuth
from ..reissue import max_age
from ..settings import Settings
from ..tokens import TokenPair
from ..transport import Channel
from .finding import auth_of, kinds_of


class _Cookie(NamedTuple):
    """A Set-Cookie field that a sign-in would have sent."""

    name: str
    value: str
    path: str
    field: str


def login_as(
    client: object,
    who: str | TokenPair,
    claims: Mapping[str, Any] | None = None,
    *,
    auth: JWTAuth | None = None,
    **more: Any,
) -> TokenPair:
    """Sign a test client in, without the app's sign-in page; answers the pair it now holds.

        login_as(client, "alice", roles=["admin"])

    ``client``: of Flask, Werkzeug, Django, Starlette, FastAPI, httpx or WebTest. ``who``: a
    subject, for whom a session is stored, or what `JWTAuth.issue` or ``await auth.aissue(...)``
    has answered. ``auth``: the `JWTAuth`, where it is not found through the client.

    Raises `TypeError` for another client, `LookupError` where no `JWTAuth` is found,
    `ValueError` where the client would not send the cookies, and what `JWTAuth.issue` raises.
    """
    put = next((_CLIENTS[kind] for kind in kinds_of(client) if kind in _CLIENTS), None)
    if put is None:
        raise TypeError(
            f"login_as() does not know {type(client).__module__}.{type(client).__name__}. It knows "
            f"{', '.join(sorted(_CLIENTS))}, and what is derived from them. For another client, "
            "put make_token(auth, ...) into the Authorization header."
        )
    if not isinstance(who, str | TokenPair):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"who is a subject (str) or a TokenPair, not {type(who).__name__}")
    auth = auth_of(client if auth is None else auth)
    if not auth.flow.parts.transport.uses_cookies:
        raise ValueError(
            "token_location is without cookies: put make_token(auth, ...) into the "
            f"{auth.settings.header_name} header of the client"
        )
    if isinstance(who, str):
        pair = auth.issue(who, {**(claims or {}), **more})
    elif claims or more:
        raise TypeError("claims beside a TokenPair would not be heard: give them to issue()")
    else:
        pair = who
    put(client, _cookies(auth, pair), auth.settings)
    return pair


def _cookies(auth: JWTAuth, pair: TokenPair) -> list[_Cookie]:
    session = pair.session
    additions = auth.flow.parts.transport.deliver(
        Channel.COOKIES,
        access=pair.access_token,
        refresh=pair.refresh_token,
        max_age=max_age(session, auth.clock()),
        claims=session.claims,
    )
    return [_cookie(text) for _, text in additions.fields]


def _cookie(field: str) -> _Cookie:
    first, *rest = (part.strip().partition("=") for part in field.split(";"))
    attributes = {name.lower(): value for name, _, value in rest}
    return _Cookie(first[0], first[2], attributes["path"], field)


# ── What each client keeps its cookies in ────────────────────────────────────────


def _into_werkzeug(client: Any, cookies: Sequence[_Cookie], settings: Settings) -> None:
    config = getattr(client.application, "config", {})  # of Flask
    host = (config.get("SERVER_NAME") or "localhost").partition(":")[0]
    domain, exact = settings.cookie_domain or host, settings.cookie_domain is None
    for cookie in cookies:
        client.set_cookie(
            cookie.name, cookie.value, domain=domain, origin_only=exact, path=cookie.path
        )


def _into_django(client: Any, cookies: Sequence[_Cookie], _settings: Settings) -> None:
    for cookie in cookies:
        client.cookies[cookie.name] = cookie.value


def _into_httpx(client: Any, cookies: Sequence[_Cookie], settings: Settings) -> None:
    url = str(client.base_url)
    _into_jar(client.cookies.jar, url, cookies, settings, 'base_url="https://testserver"')


def _into_webtest(client: Any, cookies: Sequence[_Cookie], settings: Settings) -> None:
    environ = client.extra_environ
    scheme = environ.get("wsgi.url_scheme", "http")
    url = f"{scheme}://{environ.get('HTTP_HOST', 'localhost')}/"
    remedy = 'extra_environ={"wsgi.url_scheme": "https"}'
    _into_jar(client.cookiejar, url, cookies, settings, remedy)


class _Answer:
    """As much of a response as a `CookieJar` reads."""

    def __init__(self, cookies: Sequence[_Cookie]) -> None:
        self._headers = Message()
        for cookie in cookies:
            self._headers["Set-Cookie"] = cookie.field

    def info(self) -> Message:
        return self._headers


def _into_jar(
    jar: CookieJar, url: str, cookies: Sequence[_Cookie], settings: Settings, remedy: str
) -> None:
    """As if the app had set them, so that those it sets later take their place."""
    if not url.startswith("https:" if settings.cookie_secure else "http"):
        raise ValueError(
            f"the cookies are Secure, and this client would not send them: make it with {remedy}"
        )
    jar.extract_cookies(cast(Any, _Answer(cookies)), Request(url))  # noqa: S310  # is not opened
    if not {cookie.name for cookie in cookies} <= {kept.name for kept in jar}:
        raise ValueError(
            f"cookie_domain is {settings.cookie_domain!r}, and this client calls {url}: it would "
            "not send the cookies. Let it call a host of that domain."
        )


_CLIENTS: dict[str, Callable[[Any, Sequence[_Cookie], Settings], None]] = {
    "werkzeug.Client": _into_werkzeug,
    "flask.FlaskClient": _into_werkzeug,
    "django.Client": _into_django,
    "django.AsyncClient": _into_django,
    "starlette.TestClient": _into_httpx,
    "httpx.Client": _into_httpx,
    "httpx.AsyncClient": _into_httpx,
    "httpx2.Client": _into_httpx,
    "httpx2.AsyncClient": _into_httpx,
    "webtest.TestApp": _into_webtest,
}
