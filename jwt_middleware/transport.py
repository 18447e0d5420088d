"""How tokens travel: in from a header or a cookie, out on the same channel.

One channel a request. The first location in ``token_location`` that holds any of our
tokens is the request's channel; the other one is invisible to it, for everything. A
broken token in the first never falls through to the second: an attacker who can plant
one kind must not be able to choose which is believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from operator import methodcaller
from typing import Any, AnyStr, NamedTuple

from .claims import largest
from .errors import DuplicateCookie, InvalidRequest, TokenError, TokenTooLarge
from .queries import values_in
from .request import Request
from .settings import Settings

COOKIE_LIMIT = 4096
"""Bytes of name and value a browser keeps (RFC 6265bis section 5.6)."""

_CACHING = frozenset(
    (
        "cache-control",
        "expires",
        "edge-control",
        "surrogate-control",
        "x-accel-expires",
    )
)
_CDN_CACHING = "cdn-cache-control"
"""Each CDN has a ``…-CDN-Cache-Control`` of its own beside the common one (RFC 9213)."""
_ALLOWED_ORIGIN = "access-control-allow-origin"
_HOST = re.compile(r"(?:[a-z0-9-]{1,63}\.)+[a-z][a-z0-9-]{0,62}", re.ASCII).fullmatch
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._~-]{1,256}", re.ASCII).fullmatch

_strip = methodcaller("strip")  # of text and bytes, without a Python call for each item

MAX_VARIANTS = 5
"""Domains, and paths, under which a stray cookie of our name is looked for."""

MAX_SIGHTINGS = 100
"""How often our cookie's name may occur in a Cookie field, as a part of other names and values
too. No browser keeps as many cookies; each one costs a look (S13)."""


class Channel(Enum):
    """Where the tokens of a request travel."""

    HEADERS = "headers"
    COOKIES = "cookies"


class Presented(NamedTuple):
    """The tokens of a request as they came; nothing is verified yet."""

    channel: Channel | None
    access: str | None = None
    refresh: str | None = None
    fault: TokenError | None = None
    """What was wrong with the way they came: no refresh token counts, and only an access
    token that came in good order."""

    def __repr__(self) -> str:
        return f"<Presented by {self.channel}>"  # no token gets into a traceback


@dataclass(slots=True)
class Additions:
    """What phase B adds to the headers of a response."""

    fields: Sequence[tuple[str, str]] = field(default=(), repr=False)
    access: str | None = field(default=None, repr=False)
    refresh: str | None = field(default=None, repr=False)
    """The tokens that the fields carry."""
    expose: Sequence[str] = ()
    """Names a cross-origin script must be allowed to read, if CORS allows it anything."""

    @property
    def sets_cookies(self) -> bool:
        """The tokens travel in cookies."""
        return self.access is not None and any(name == "Set-Cookie" for name, _ in self.fields)

    def apply(self, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """The app's headers with these added. What the app says is kept, but for caching:
        a response that carries tokens is nobody else's (RFC 9111 section 3)."""
        kept: list[tuple[str, str]] = []
        for header in headers:
            name = header[0].lower()
            if name not in _CACHING and not name.endswith(_CDN_CACHING):
                kept.append(header)
        kept.append(("Cache-Control", "no-store"))
        kept.extend(self.fields)
        if self.expose and any(name.lower() == _ALLOWED_ORIGIN for name, _ in kept):
            kept = merge_list(kept, "Access-Control-Expose-Headers", self.expose, ",")
        return kept


NOTHING = Additions()
"""Leaves the response as it is."""

IN_BODY = Additions()
"""The app hands out tokens in its body: nothing is added, and no cache may keep it."""


class Transport:
    """Finds and delivers tokens as one configuration says."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._locations = tuple(Channel(location) for location in settings.token_location)
        self._headers_first = self._locations[0] is Channel.HEADERS
        self.uses_cookies: bool = Channel.COOKIES in self._locations
        self.access_cookie: str = settings.access_cookie
        self._access_pair = f"{self.access_cookie}="
        self.refresh_cookie: str = settings.refresh_cookie
        by_token = settings.csrf == "double-submit"
        self.csrf_cookie: str | None = settings.csrf_cookie if by_token else None
        own = (self.access_cookie, self.refresh_cookie, self.csrf_cookie)
        self._names = tuple(name for name in own if name is not None)
        sent = self._names if self.uses_cookies else ()
        self._around = {name: self._attributes(name) for name in sent}
        by_header = Channel.HEADERS in self._locations
        named = by_header and settings.header_name.lower() != "authorization"
        headers = (settings.header_name,) * named
        self.vary: tuple[str, ...] = ("Cookie",) * self.uses_cookies + headers
        """What every response varies on. (Of Authorization caches know: RFC 9111 section 3.5.)"""
        refresh = (settings.refresh_header_name,) * by_header
        self.vary_by_refresh: tuple[str, ...] = self.vary + refresh
        """The same for a request that came with a refresh token in its header."""
        self._query_param = settings.websocket_query_param
        own_headers = settings.access_response_header, settings.refresh_header_name
        self._carriers = frozenset(("set-cookie", *(name.lower() for name in own_headers)))
        self._longest_field = settings.max_token_length + len(settings.header_type) + 64
        scheme = re.escape(settings.header_type)
        space = " +" if scheme else ""
        token68 = r"([A-Za-z0-9._~+/-]+=*)"  # RFC 7235 section 2.1
        flags = re.IGNORECASE | re.ASCII
        self._credentials = re.compile(scheme + space + token68, flags).fullmatch
        claims_to_be_ours = rf"(?:^|,)[ \t]*{scheme}(?:[ \t,]|\Z)"
        if not scheme:  # then whatever has no scheme of its own in front
            claims_to_be_ours = "^(?![A-Za-z][A-Za-z0-9-]* )"
        self._our_scheme = re.compile(claims_to_be_ours, flags).search

    @property
    def default_channel(self) -> Channel:
        """For a login on a request that came without tokens."""
        return Channel.COOKIES if self.uses_cookies else Channel.HEADERS

    # ── In ───────────────────────────────────────────────────────────────────────

    def glance(self, request: Request) -> str | None:
        """The access token, where it is plain to see; None: look properly, with `locate`.

        Never another token than `locate` finds: this is the short way to the common answer.
        """
        if self._headers_first and (request.authorization or request.refresh):
            field = request.authorization or ""
            credentials = self._credentials(field) if len(field) <= self._longest_field else None
            return credentials[1] if credentials is not None else None
        if self.uses_cookies and request.cookie and not request.unsafe:
            # One cookie of our name, plainly written: most of what a known token costs.
            name = self.access_cookie
            before, _, rest = request.cookie.partition(self._access_pair)
            if (not before or (before[-2:] == "; " and name not in before)) and name not in rest:
                return rest.partition(";")[0].strip(" \t") or None
        return None

    def locate(self, request: Request) -> Presented:
        """The tokens of the first location that holds any."""
        for channel in self._locations:
            by_header = channel is Channel.HEADERS
            presented = self._in_headers(request) if by_header else self._in_cookies(request)
            if presented is not None:
                return presented
        if request.websocket and self._query_param is not None:
            return self._in_query(request.query, self._query_param)
        return Presented(None)

    def _in_query(self, query: str, name: str) -> Presented:
        """Last of all, and nothing goes back by it: as by a header no script can read (S24)."""
        values = set(values_in(query, name))
        if len(values) > 1:
            fault = InvalidRequest("two access tokens in one query")
            return Presented(Channel.HEADERS, fault=fault)
        token = values.pop() if values else ""
        return Presented(Channel.HEADERS, token) if token else Presented(None)

    def _in_headers(self, request: Request) -> Presented | None:
        try:
            access = self._bearer(request.authorization)
        except InvalidRequest as fault:
            return Presented(Channel.HEADERS, fault=fault)
        refresh = request.refresh or None
        if access is None and refresh is None:
            return None
        return Presented(Channel.HEADERS, access, refresh)

    def _in_cookies(self, request: Request) -> Presented | None:
        if request.cookie is None:
            return None
        access = None
        try:
            access = find_cookie(request.cookie, self.access_cookie)
            refresh = find_cookie(request.cookie, self.refresh_cookie)
        except DuplicateCookie as fault:
            # A good access token is not looked beyond; a tossed refresh cookie is its own loss.
            return Presented(Channel.COOKIES, access, fault=fault)
        if access is None and refresh is None:
            return None
        return Presented(Channel.COOKIES, access, refresh)

    def _bearer(self, field: str | None) -> str | None:
        """The token of an Authorization field (RFC 6750 section 2.1); None: not ours."""
        if not field:
            return None
        if len(field) > self._longest_field:
            return self._overlong(field)
        credentials = self._credentials(field.strip(" \t"))
        if credentials is not None:
            return credentials[1]
        if self._our_scheme(field):
            raise InvalidRequest("malformed or ambiguous Authorization")
        return None

    def _overlong(self, field: str) -> str | None:
        """What is longer than any token of ours, at a glance: reading it all is not worth it."""
        if "," in field:
            raise InvalidRequest("an Authorization field that long is no list of ours")
        start = field[: self._longest_field]
        return start if self._our_scheme(start) else None

    # ── Out ──────────────────────────────────────────────────────────────────────

    def check_size(self, name: str, token: str, claims: Mapping[str, Any]) -> None:
        """Raises `TokenTooLarge` if a browser would drop the cookie without a word.

        ``claims``: what the app put into the token, to say what makes it so large.
        """
        size = len(name) + len(token)
        if size > COOKIE_LIMIT:
            raise TokenTooLarge(
                f"the cookie {name} would be {size} bytes, and browsers drop those over "
                f"{COOKIE_LIMIT}. {largest(claims)}"
            )

    def deliver(
        self,
        channel: Channel,
        *,
        access: str,
        refresh: str | None,
        max_age: float | None,
        claims: Mapping[str, Any],
        csrf: str | None = None,
    ) -> Additions:
        """Tokens on their way out. ``max_age``: seconds, None for a session cookie.
        ``claims``: those of the session, for `check_size`. ``csrf``: a token that goes along
        with cookies.

        Raises `TokenTooLarge`.
        """
        if channel is Channel.HEADERS:
            settings = self._settings
            fields = [(settings.access_response_header, access)]
            if refresh is not None:
                fields.append((settings.refresh_header_name, refresh))
            return Additions(fields, access, refresh, [name for name, _ in fields])
        self.check_size(self.access_cookie, access, claims)
        fields = [self._token_cookie(self.access_cookie, access, max_age)]
        if refresh is not None:
            self.check_size(self.refresh_cookie, refresh, claims)
            fields.append(self._token_cookie(self.refresh_cookie, refresh, max_age))
        if csrf is not None:
            fields.append(self._token_cookie(self.csrf_cookie or "", csrf, max_age))
        return Additions(fields, access, refresh)

    def with_csrf(self, additions: Additions, token: str, max_age: float | None) -> Additions:
        """The same, and a cookie with a CSRF token, unless there is one among them."""
        name = self.csrf_cookie or ""
        cleared = self._set_cookie(name, "", 0)
        kept = [field for field in additions.fields if field != cleared]
        if any(cookie_name(field) == name and "Max-Age=0" not in field[1] for field in kept):
            return additions
        return replace(additions, fields=[*kept, self._token_cookie(name, token, max_age)])

    def clear(self) -> list[tuple[str, str]]:
        """Expire our cookies, with the attributes they were set with."""
        return [self._set_cookie(name, "", 0) for name in self._names]

    def clear_variants(self, request: Request) -> list[tuple[str, str]]:
        """Expire cookies of our names under another Domain or Path.

        Such a cookie was set by a sibling host or by an older configuration. It comes along
        with every request as a duplicate, and would lock its owner out for good. The folders
        above the page are looked into only if a duplicate did come along, since each variant
        costs the response a field.
        """
        settings, names = self._settings, self._names
        paths = list(dict.fromkeys(("/", *map(self._path_of, names))))
        if self._duplicated(request):
            paths = _path_variants(request.mount + request.path, settings.cookie_path)
        # A browser keeps partitioned cookies apart from those set before the setting was on.
        before = [self._set_cookie(name, "", 0, partitioned=False) for name in names]
        return (before if settings.cookie_partitioned else []) + [
            self._set_cookie(name, "", 0, domain=domain, path=path)
            for name in names
            if not name.startswith("__Host-")  # of these a browser keeps only one
            for domain in (None, *_parent_domains(request.header("host")))
            for path in paths
            if (domain, path) != (settings.cookie_domain, self._path_of(name))
        ]

    def _path_of(self, name: str) -> str:
        """Where a cookie of ours is sent; the refresh cookie may have a Path of its own."""
        own = self._settings.refresh_cookie_path if name == self.refresh_cookie else None
        return own or self._settings.cookie_path

    def _duplicated(self, request: Request) -> bool:
        try:
            for name in self._names:
                find_cookie(request.cookie or "", name)
        except DuplicateCookie:
            return True
        return False

    def sends_tokens(self, headers: Iterable[tuple[str, str]]) -> bool:
        """Whether the app itself sets one of our cookies or token headers: then its word
        counts, not ours. (The "app" may be this middleware, wrapped twice.)"""
        for header in headers:
            name = header[0].lower()
            if name in self._carriers and (
                name != "set-cookie" or cookie_name(header) in self._names
            ):
                return True
        return False

    def _token_cookie(self, name: str, token: str, max_age: float | None) -> tuple[str, str]:
        """As `_set_cookie`, in a tenth of the time: of our own cookies only the token changes, in
        which nothing has to be quoted, and the Max-Age."""
        before, after = self._around[name]
        age = "" if max_age is None else f"; Max-Age={int(max_age)}"
        return ("Set-Cookie", f"{name}={token}{before}{age}{after}")

    def _attributes(self, name: str) -> tuple[str, str]:
        """Those of a cookie of ours, before and after the Max-Age."""
        _, text = self._set_cookie(name, "", 1)
        before, _, after = text.removeprefix(f"{name}=").partition("; Max-Age=1")
        return before, after

    def _set_cookie(
        self,
        name: str,
        value: str,
        max_age: float | None,
        *,
        partitioned: bool | None = None,
        **place: str | None,
    ) -> tuple[str, str]:
        # Here, not above: it brings all of Werkzeug along, its server and its test client, too,
        # and who only reads tokens from headers needs none of that.
        from werkzeug.http import dump_cookie

        settings = self._settings
        text = dump_cookie(
            name,
            value,
            max_age=None if max_age is None else int(max_age),
            expires=0 if max_age == 0 else None,
            path=place.get("path", self._path_of(name)),
            domain=place.get("domain", settings.cookie_domain),
            secure=settings.cookie_secure,
            httponly=settings.cookie_httponly and name != self.csrf_cookie,
            samesite=settings.cookie_samesite,
            partitioned=settings.cookie_partitioned if partitioned is None else partitioned,
            max_size=0,
            sync_expires=False,  # Max-Age says it, without a clock
        )
        return ("Set-Cookie", text)


def find_cookie(field: str, name: str) -> str | None:
    """The value of a cookie by its exact name; None if absent or empty.

    Scanned by hand, since this is most of what a request with a known token costs: it looks
    for the name and then at its surroundings, so other cookies are never parsed. Each
    character is looked at a bounded number of times. Only SP and HTAB are trimmed; nothing is
    unquoted or decoded. Raises `DuplicateCookie` if it came twice with different values.
    """
    found: str | None = None
    sightings = 0
    at = field.find(name)
    while at != -1:
        sightings += 1
        if sightings > MAX_SIGHTINGS:
            raise DuplicateCookie("the name of a token cookie is all over the Cookie field")
        after = at + len(name)
        before = at - 1
        while before >= 0 and field[before] in " \t":
            before -= 1
        if before < 0 or field[before] == ";":
            end = field.find(";", after)
            end = len(field) if end == -1 else end
            rest = field[after:end].lstrip(" \t")
            if rest.startswith("="):
                value = rest[1:].strip(" \t")
                if found is not None and value != found:
                    raise DuplicateCookie("a token cookie came twice with different values")
                found = value
            after = end
        at = field.find(name, after)
    return found or None


def cookie_name(field: tuple[str, str]) -> str:
    """Of a Set-Cookie field."""
    return field[1].partition("=")[0].strip()


def merge_list(
    headers: Iterable[tuple[AnyStr, AnyStr]],
    name: AnyStr,
    values: Sequence[AnyStr],
    comma: AnyStr,
) -> list[tuple[AnyStr, AnyStr]]:
    """Headers in which the list field ``name`` (RFC 9110 section 5.6.1) also holds ``values``.

    For text (WSGI) and bytes (ASGI) alike; ``comma`` is "," in the same type. ``Vary: *``
    already says more than any name.
    """
    merged = list(headers)
    length = len(name)
    for index, (present, listed) in enumerate(merged):
        # Few names are as long: the others need not be compared, at every response.
        if len(present) == length and present.lower() == name.lower():
            if listed.strip() in ("*", b"*"):
                return merged
            items = tuple(map(_strip, listed.lower().split(comma)))
            more: AnyStr = listed
            for value in values:
                if value.lower() not in items:
                    more = more + comma + value if more else value
            merged[index] = (present, more)
            return merged
    merged.append((name, comma.join(values)))
    return merged


def _parent_domains(host: str | None) -> list[str]:
    """The domains a cookie for this host may have been set on, but for the topmost."""
    name = (host or "").lower()
    name = name.rpartition(":")[0] or name
    if len(name) > 253 or not _HOST(name):
        return []
    labels = name.split(".")[-MAX_VARIANTS - 1 :]
    return [".".join(labels[start:]) for start in range(len(labels) - 1)]


def _path_variants(path: str, own: str) -> list[str]:
    """The root, our own path, and the folders above the request's page."""
    segments = [segment for segment in path.split("/", 2 * MAX_VARIANTS) if segment]
    folders = ["/" + "/".join(segments[:depth]) for depth in range(1, MAX_VARIANTS)]
    plain = [folder for folder in folders if _PLAIN_PATH(folder)]
    return list(dict.fromkeys(["/", own, *plain]))[:MAX_VARIANTS]
