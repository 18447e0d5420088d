"""The claims of a request: a mapping nobody can change under somebody else's feet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from .errors import InvalidClaims
from .jws import MAX_DEPTH, encode_object, is_array, is_object, nests_deeper

RESERVED = frozenset(
    ("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "rgen", "rexp", "cnf", "auth_time")
)
"""Members the middleware sets or judges itself (RFC 7519 section 4.1, RFC 7800, RFC 9068 section
2.2.1): an app cannot put them into a token."""


MAX_CLAIMS_DEPTH = MAX_DEPTH - 2
"""A refresh token that carries its session wraps the claims in two more objects."""


class Claims(Mapping[str, Any]):
    """A read-only view of a verified token's claims set (RFC 7519 section 4).

    One instance may serve many requests, so lists and objects are handed out as copies:
    changing one changes nothing but the copy.
    """

    __slots__ = ("_members",)

    def __init__(self, members: Mapping[str, Any]) -> None:
        self._members = dict(members)

    def __getitem__(self, name: str) -> Any:
        return copy_json(self._members[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        # The names only: values may be personal, and reprs end up in logs.
        return f"<Claims {', '.join(self._members)}>"


_NOT_NESTED = frozenset((str, int, float, bool, type(None)))


def copy_json(value: Any) -> Any:
    """A deep copy of what JSON can hold."""
    if type(value) in _NOT_NESTED:  # most are
        return value
    if is_object(value):
        return {name: copy_json(member) for name, member in value.items()}
    if is_array(value):
        return [copy_json(item) for item in value]
    return value


def custom_claims(claims: Mapping[str, Any] | None, identity_claim: str) -> dict[str, Any]:
    """The app's own claims as JSON will carry them (a tuple becomes a list), copied.

    Raises `InvalidClaims` if one of them is reserved or cannot be written as JSON.
    """
    if claims is None:
        return {}
    given: Any = claims  # callers may be untyped
    if not isinstance(given, Mapping):
        raise InvalidClaims(f"claims must be a mapping of names, not {type(claims).__name__}")
    if {type(name) for name in claims} - {str}:  # JSON would make text of them
        raise InvalidClaims("the names of claims must be text")
    reserved = sorted((RESERVED | {identity_claim}).intersection(claims))
    if reserved:
        raise InvalidClaims(
            f"claims may not set {', '.join(reserved)}: the middleware sets these itself. "
            "Leave them out, or give yours other names."
        )
    try:
        text = json.dumps(dict(claims), allow_nan=False, ensure_ascii=False)
        text.encode()  # half a surrogate pair has no UTF-8
        own: dict[str, Any] = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidClaims(
            "claims must be what JSON can hold: text, finite numbers, booleans, None, and lists "
            "and string-keyed mappings of those"
        ) from error
    if nests_deeper(own, MAX_CLAIMS_DEPTH):
        raise InvalidClaims(f"claims nest deeper than {MAX_CLAIMS_DEPTH}: flatten them")
    return own


def largest(claims: Mapping[str, Any]) -> str:
    """What to shorten: the names and sizes of the largest claims, never their values."""
    sizes = {name: len(encode_object({name: value})) for name, value in claims.items()}
    names = sorted(sizes, key=sizes.__getitem__, reverse=True)[:3]
    named = ", ".join(f"{name} (about {sizes[name]})" for name in names) or "none of your own"
    return f"Largest claims: {named}. Keep ids in the token and look the rest up."
