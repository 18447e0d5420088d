"""Authorization, refresh and Cookie fields of any bytes: which tokens are found in them.

The first byte says how the middleware is configured; the three fields follow, with a NUL
between them. A reader written from the RFCs in the plainest way says what is there.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from forging import make_settings

from jwt_middleware.request import Request
from jwt_middleware.transport import MAX_SIGHTINGS, Channel, Transport

SETTINGS = [
    make_settings(),
    make_settings(token_location=["cookies", "headers"]),
    make_settings(token_location=["cookies"]),
    make_settings(token_location=["headers"]),
    make_settings(header_name="X-Token", header_type=""),
    make_settings(header_type="JWT"),
    make_settings(access_cookie_name="a", refresh_cookie_name="aa"),
    make_settings(access_cookie_name="a.b", refresh_cookie_name="r", cookie_path="/app"),
]
TRANSPORTS = [Transport(settings) for settings in SETTINGS]


class Found(NamedTuple):
    """What a request holds, by the reference."""

    channel: Channel | None = None
    access: str | None = None
    refresh: str | None = None
    faulty: bool = False


def fuzz(data: bytes) -> None:
    """Look for tokens; fails for a foreign exception, or where the reference sees others."""
    number = data[0] if data else 0
    parts = [part.decode("latin-1") for part in data[1:].split(b"\0", 2)]
    authorization, refresh, cookie = (*parts, "", "", "")[:3]
    transport = TRANSPORTS[number % len(TRANSPORTS)]
    method = "POST" if number & 0x40 else "GET"
    request = Request(
        method,
        "/",
        raw_path=None,
        # A field that is there may be empty; both kinds of absence are tried.
        authorization=authorization or (None if number & 0x80 else ""),
        refresh=refresh or None,
        cookie=cookie or None,
        header=lambda name: None,
    )
    glanced = transport.glance(request)
    found = transport.locate(request)
    there = Found(found.channel, found.access, found.refresh, found.fault is not None)
    reference = _reference(number, authorization, refresh, cookie)
    if _is_crowded(transport, cookie) and there.channel is Channel.COOKIES:
        # Such a field may be refused unread, but nothing else may be found in it.
        assert there.faulty or there == reference
        assert there.access in (None, reference.access)
    else:
        assert there == reference, f"{there}, but the reference sees {reference}"
    if glanced is not None:
        assert glanced == found.access, "the short way finds another token than the long one"


def _is_crowded(transport: Transport, cookie: str) -> bool:
    """One of our names occurs oftener than in any honest field."""
    names = (transport.access_cookie, transport.refresh_cookie)
    return any(cookie.count(name) > MAX_SIGHTINGS for name in names)


def _reference(number: int, authorization: str, refresh: str, cookie: str) -> Found:
    settings = SETTINGS[number % len(SETTINGS)]
    for location in settings.token_location:
        if location == "headers":
            found = _in_headers(authorization, refresh, settings.header_type)
        else:
            found = _in_cookies(cookie, settings.access_cookie, settings.refresh_cookie)
        if found is not None:
            return found
    return Found()


def _in_headers(authorization: str, refresh: str, scheme: str) -> Found | None:
    token = _credentials(authorization.strip(" \t"), scheme)
    if token is None and _is_meant_for_us(authorization, scheme):
        return Found(Channel.HEADERS, faulty=True)
    if token is None and not refresh:
        return None
    return Found(Channel.HEADERS, token, refresh or None)


def _credentials(field: str, scheme: str) -> str | None:
    """RFC 6750 section 2.1: the scheme, spaces, token68."""
    token = field
    if scheme:
        word, space, token = field.partition(" ")
        if not space or _lower(word) != _lower(scheme):
            return None
        token = token.lstrip(" ")
    return token if re.fullmatch(r"[-A-Za-z0-9._~+/]+=*", token) else None


def _is_meant_for_us(field: str, scheme: str) -> bool:
    """A field, or a member of a list, that begins with our scheme, whatever follows."""
    if not field:
        return False
    if not scheme:
        word, space, _ = field.partition(" ")
        named = re.fullmatch("[A-Za-z][A-Za-z0-9-]*", word)
        return not (space and named)
    words = [re.split("[ \t]", member.lstrip(" \t"))[0] for member in field.split(",")]
    return any(_lower(word) == _lower(scheme) for word in words)


def _lower(word: str) -> str:
    """In lower case as far as it is ASCII: no letter beyond it is one of a scheme's."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in word)


def _in_cookies(field: str, access: str, refresh: str) -> Found | None:
    """RFC 6265 section 5.4, by splitting; nothing is unquoted or decoded."""
    values: dict[str, list[str]] = {access: [], refresh: []}
    for pair in field.split(";"):
        name, equals, value = pair.partition("=")
        if equals and name.strip(" \t") in values:
            values[name.strip(" \t")].append(value.strip(" \t"))
    different = {name: set(found) for name, found in values.items()}
    if len(different[access]) > 1:
        return Found(Channel.COOKIES, faulty=True)
    token = next(iter(different[access]), "") or None
    if len(different[refresh]) > 1:
        return Found(Channel.COOKIES, token, faulty=True)
    successor = next(iter(different[refresh]), "") or None
    if token is None and successor is None:
        return None
    return Found(Channel.COOKIES, token, successor)
