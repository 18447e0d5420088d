"""What a response says of tokens: `assert_reissued`, and its opposite.

A token is known by its type (RFC 9068 section 2.1), wherever the response carries it; so no
settings have to be given. Messages name cookies and headers, never what is in them.
"""

from __future__ import annotations

from collections.abc import Iterable
from http.cookies import SimpleCookie
from typing import Any, NamedTuple, cast

from ..errors import InvalidToken
from ..issuers import ACCESS_TYPE
from ..jws import decode_object


class _Seen(NamedTuple):
    """A response, as far as it is about tokens."""

    status: int
    carriers: list[str]
    """The cookies and headers in which there is an access token."""
    cookies: list[str]
    """The names of all cookies it sets or expires."""

    def __str__(self) -> str:
        cookies = ", ".join(self.cookies) or "none"
        return f"status {self.status}, access tokens in {self.carriers}, cookies set: {cookies}"


def assert_reissued(response: object) -> None:
    """The response carries a new access token, in a cookie or a header.

    ``response``: of any test client. Raises `AssertionError`, which says what was seen, and
    `TypeError` for what is no response. (A sign-in carries new tokens, too.)
    """
    seen = _seen(response)
    if not seen.carriers:
        raise AssertionError(
            f"no access token was reissued: {seen}. Tokens are reissued when the access token is "
            "expired or missing, and the refresh token came along and counts."
        )


def assert_not_reissued(response: object) -> None:
    """The response carries no access token. Parameters and errors as for `assert_reissued`."""
    seen = _seen(response)
    if seen.carriers:
        raise AssertionError(f"an access token was reissued: {seen}")


def _seen(response: object) -> _Seen:
    status = getattr(response, "status_code", None)
    fields = list(_fields(response))
    if not isinstance(status, int) or not (fields or hasattr(response, "headers")):
        raise TypeError(
            f"expected a test client's response, with status_code and headers, not "
            f"{type(response).__name__}"
        )
    cookies = [value for name, value in fields if name == "set-cookie"]
    carriers = [name for name, value in fields if name != "set-cookie" and _is_access(value)]
    carriers += [_name(cookie) for cookie in cookies if _is_access(_value(cookie))]
    return _Seen(status, carriers, [_name(cookie) for cookie in cookies])


def _fields(response: Any) -> Iterable[tuple[str, str]]:
    """All header fields, each cookie as one of its own; names in lower case."""
    headers = getattr(response, "headers", None)
    # httpx joins fields of one name, unless asked for all.
    pairs = getattr(headers, "multi_items", None) or getattr(headers, "items", None)
    for name, value in cast(Iterable[tuple[str, str]], pairs() if pairs else ()):
        yield name.lower(), value
    # Django's cookies stand beside its headers. (httpx makes its own of the headers, when asked.)
    cookies = None if hasattr(headers, "multi_items") else getattr(response, "cookies", None)
    if isinstance(cookies, SimpleCookie):
        for morsel in cookies.values():
            yield "set-cookie", morsel.OutputString()


def _name(cookie: str) -> str:
    return cookie.partition("=")[0].strip()


def _value(cookie: str) -> str:
    return cookie.partition("=")[2].partition(";")[0].strip()


def _is_access(value: str) -> bool:
    try:
        return decode_object(value.partition(".")[0]).get("typ") == ACCESS_TYPE
    except InvalidToken:
        return False
