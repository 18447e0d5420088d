"""How tokens travel: in from a header or a cookie, out on the same channel.

One channel a request. The first location in ``token_location`` that holds any of our
tokens is the request's channel; the other one is invisible to it, for everything. A
broken token in the first never falls through to the second: an attacker who can plant
one kind must not be able to choose which is believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from operator import methodcaller
from typing import AnyStr, NamedTuple

from werkzeug.http import dump_cookie

from .errors import DuplicateCookie, InvalidRequest, TokenError, TokenTooLarge
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
_HOST = re.compile(r"(?:[a-z0-9-]{1,63}\.)+[a-z][a-z0-9-]{0,62}", re.ASCII).fullmatch
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._~-]{1,256}", re.ASCII).fullmatch

_strip = methodcaller("strip")  # of text and bytes, without a Python call for each item

MAX_VARIANTS = 5
"""Domains, and paths, under which a stray cookie of our name is looked for."""


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
    expose: Sequence[str] = ()
    """Names a cross-origin script must be allowed to read, if CORS allows it anything."""

    def apply(self, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """The app's headers with these added. What the app says is kept, but for caching:
        a response that carries tokens is nobody else's (RFC 9111 section 3)."""
        kept = [(name, value) for name, value in headers if not _concerns_caches(name.lower())]
        kept.append(("Cache-Control", "no-store"))
        kept.extend(self.fields)
        cors = any(name.lower() == "access-control-allow-origin" for name, _ in kept)
        for name in self.expose if cors else ():
            kept = merge_list(kept, "Access-Control-Expose-Headers", name, ",")
        return kept


NOTHING = Additions()


class Transport:
    """Finds and delivers tokens as one configuration says."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._locations = tuple(Channel(location) for location in settings.token_location)
        self.uses_cookies = Channel.COOKIES in self._locations
        self.access_cookie = settings.access_cookie
        self.refresh_cookie = settings.refresh_cookie
        self._token_headers = frozenset(
            (settings.access_response_header.lower(), settings.refresh_header_name.lower())
        )
        scheme = re.escape(settings.header_type)
        space = " +" if scheme else ""
        token68 = r"([A-Za-z0-9._~+/-]+=*)"  # RFC 7235 section 2.1
        flags = re.IGNORECASE | re.ASCII
        self._credentials = re.compile(scheme + space + token68, flags).fullmatch
        claims_to_be_ours = rf"(?:^|,)[ \t]*{scheme}(?:[ \t,]|$)"
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
        if self._locations[0] is Channel.HEADERS and (request.authorization or request.refresh):
            credentials = self._credentials(request.authorization or "")
            return credentials[1] if credentials is not None else None
        if self.uses_cookies and request.cookie and not request.unsafe:
            try:
                return find_cookie(request.cookie, self.access_cookie)
            except DuplicateCookie:
                return None
        return None

    def locate(self, request: Request) -> Presented:
        """The tokens of the first location that holds any."""
        for channel in self._locations:
            by_header = channel is Channel.HEADERS
            presented = self._in_headers(request) if by_header else self._in_cookies(request)
            if presented is not None:
                return presented
        return Presented(None)

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
        credentials = self._credentials(field.strip(" \t"))
        if credentials is not None:
            return credentials[1]
        if self._our_scheme(field):
            raise InvalidRequest("malformed or ambiguous Authorization")
        return None

    # ── Out ──────────────────────────────────────────────────────────────────────

    def check_size(self, name: str, token: str) -> None:
        """Raises `TokenTooLarge` if a browser would drop the cookie without a word."""
        size = len(name) + len(token)
        if size > COOKIE_LIMIT:
            raise TokenTooLarge(
                f"the cookie {name} would be {size} bytes, and browsers drop those over "
                f"{COOKIE_LIMIT}. Put ids into the claims and look the rest up."
            )

    def deliver(
        self,
        channel: Channel,
        *,
        access: str,
        refresh: str | None,
        max_age: float | None,
    ) -> Additions:
        """Tokens on their way out. ``max_age``: seconds, None for a session cookie.

        Raises `TokenTooLarge`.
        """
        if channel is Channel.HEADERS:
            settings = self._settings
            fields = [(settings.access_response_header, access)]
            if refresh is not None:
                fields.append((settings.refresh_header_name, refresh))
            return Additions(fields, [name for name, _ in fields])
        self.check_size(self.access_cookie, access)
        fields = [self._set_cookie(self.access_cookie, access, max_age)]
        if refresh is not None:
            self.check_size(self.refresh_cookie, refresh)
            fields.append(self._set_cookie(self.refresh_cookie, refresh, max_age))
        return Additions(fields)

    def clear(self) -> list[tuple[str, str]]:
        """Expire our cookies, with the attributes they were set with."""
        return [self._set_cookie(name, "", 0) for name in (self.access_cookie, self.refresh_cookie)]

    def clear_variants(self, request: Request) -> list[tuple[str, str]]:
        """Expire cookies of our names under another Domain or Path.

        Such a cookie was set by a sibling host or by an older configuration. It comes along
        with every request as a duplicate, and would lock its owner out for good.
        """
        settings = self._settings
        ours = (settings.cookie_domain, settings.cookie_path)
        return [
            self._set_cookie(name, "", 0, domain=domain, path=path)
            for name in (self.access_cookie, self.refresh_cookie)
            if not name.startswith("__Host-")  # of these a browser keeps only one
            for domain in (None, *_parent_domains(request.header("host")))
            for path in _path_variants(request.mount + request.path, settings.cookie_path)
            if (domain, path) != ours
        ]

    def sends_tokens(self, headers: Iterable[tuple[str, str]]) -> bool:
        """Whether the app itself sets one of our cookies or token headers: then its word
        counts, not ours. (The "app" may be this middleware, wrapped twice.)"""
        for name, value in headers:
            field_name = name.lower()
            if field_name in self._token_headers:
                return True
            cookie = value.partition("=")[0].strip() if field_name == "set-cookie" else ""
            if cookie in (self.access_cookie, self.refresh_cookie):
                return True
        return False

    def _set_cookie(
        self,
        name: str,
        value: str,
        max_age: float | None,
        **place: str | None,
    ) -> tuple[str, str]:
        settings = self._settings
        text = dump_cookie(
            name,
            value,
            max_age=None if max_age is None else int(max_age),
            expires=0 if max_age == 0 else None,
            path=place.get("path", settings.cookie_path),
            domain=place.get("domain", settings.cookie_domain),
            secure=settings.cookie_secure,
            httponly=settings.cookie_httponly,
            samesite=settings.cookie_samesite,
            partitioned=settings.cookie_partitioned,
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
    at = field.find(name)
    while at != -1:
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


def merge_list(
    headers: Iterable[tuple[AnyStr, AnyStr]], name: AnyStr, value: AnyStr, comma: AnyStr
) -> list[tuple[AnyStr, AnyStr]]:
    """Headers in which the list field ``name`` (RFC 9110 section 5.6.1) also holds ``value``.

    For text (WSGI) and bytes (ASGI) alike; ``comma`` is "," in the same type. ``Vary: *``
    already says more than any name.
    """
    merged = list(headers)
    wanted = name.lower()
    for index, (present, content) in enumerate(merged):
        if present.lower() == wanted:
            items = map(_strip, content.lower().split(comma))
            if value.lower() not in items and content.strip() not in ("*", b"*"):
                merged[index] = (present, content + comma + value if content else value)
            return merged
    merged.append((name, value))
    return merged


def _concerns_caches(name: str) -> bool:
    """Each CDN has a ``…CDN-Cache-Control`` of its own beside the common one (RFC 9213)."""
    return name in _CACHING or name.endswith("cdn-cache-control")


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
