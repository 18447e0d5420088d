"""Compact JWS, read strictly (RFC 7515 section 7.1, RFC 8725).

One token has one spelling: unpadded canonical base64url, UTF-8 JSON without duplicate
members, NaN or Infinity. What is looser than that has no honest sender and has been the
way in of past attacks, so it is refused here, before any claim is looked at.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, NamedTuple, TypeGuard

from .errors import InvalidToken

MAX_DEPTH = 32
"""How deep JSON may nest: more than any claims set needs, less than any stack bears."""

_BASE64URL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

# The last character of a segment whose length is 2 or 3 (mod 4) has unused low bits. They
# must be zero, or one token would have several spellings (RFC 4648 section 3.5).
# A surplus of 1 is no whole byte.
_CANONICAL_TAIL = ("", "", "AQgw", "AEIMQUYcgkosw048")


class CompactJWS(NamedTuple):
    """The three parts; nothing is verified yet."""

    header: str
    payload: str
    signature: bytes

    @property
    def signing_input(self) -> bytes:
        """The bytes the signature is over (RFC 7515 section 5.1)."""
        return f"{self.header}.{self.payload}".encode("ascii")


def split(token: str, max_length: int) -> CompactJWS:
    """Cut a token in three. ``max_length``: characters. Raises `InvalidToken`."""
    if len(token) > max_length:
        raise InvalidToken(f"longer than max_token_length ({max_length} characters)")
    # All of the alphabet taken away, what is left of three segments is two dots: a little quicker
    # than the regular expression that says so (tests/test_jws.py has it).
    if not token.isascii() or token.encode().translate(None, _BASE64URL) != b"..":
        raise InvalidToken("not three base64url segments")
    header, payload, signature = token.split(".")
    if not header or not payload or not signature:
        raise InvalidToken("not three base64url segments")
    return CompactJWS(header, payload, decode_segment(signature))


def decode_segment(segment: str) -> bytes:
    """Canonical unpadded base64url (RFC 7515 section 2). Raises `InvalidToken`."""
    surplus = len(segment) % 4
    if surplus and segment[-1] not in _CANONICAL_TAIL[surplus]:
        raise InvalidToken("not canonical base64url")
    # As `urlsafe_b64decode`, without its three calls: this is done for every segment. Base64 of
    # JSON in ASCII hardly ever has these two characters.
    if "-" in segment or "_" in segment:
        segment = segment.replace("-", "+").replace("_", "/")
    return a2b_base64(segment.encode() + b"==")


def encode_segment(content: bytes) -> str:
    """Unpadded base64url."""
    return urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


_encode: Callable[[Any], str] = json.JSONEncoder(
    separators=(",", ":"), allow_nan=False, ensure_ascii=False
).encode
"""Made once: `json.dumps` would make one for each call."""


def encode_object(members: Mapping[str, Any]) -> str:
    """A segment that holds a JSON object. Raises ``ValueError`` or ``TypeError`` like `json`."""
    return encode_segment(_encode(members).encode())


def decode_object(segment: str) -> dict[str, Any]:
    """The JSON object a segment holds, read strictly. Raises `InvalidToken`."""
    return read_object(decode_segment(segment), "a segment")


def read_object(content: bytes, what: str) -> dict[str, Any]:
    """A JSON object in UTF-8, read strictly: ``what`` names it in an error.

    Raises `InvalidToken`.
    """
    try:
        text = content.decode("utf-8")
        # An object with no blanks around it, as it is always written: nothing to look for there.
        members, end = _decoder.raw_decode(text) if text.startswith("{") else (None, 0)
        if end != len(text):
            members = _decoder.decode(text)
    except (ValueError, RecursionError):
        # Also UnicodeDecodeError, JSONDecodeError and an integer of thousands of digits.
        # "from None": the cause quotes the token.
        raise InvalidToken(f"{what} is not strict JSON in UTF-8") from None
    if not is_object(members):
        raise InvalidToken(f"{what} is not a JSON object")
    # Few openings cannot nest deep: only an unusual token pays for the walk.
    if text.count("{") + text.count("[") > MAX_DEPTH and nests_deeper(members, MAX_DEPTH):
        raise InvalidToken(f"JSON nested deeper than {MAX_DEPTH}")
    if "\\" in text and "\\u" in text:  # one character is found much quicker than two
        _refuse_lone_surrogates(members)
    return members


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member name stands twice")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError("a number beyond all bounds")
    return number


def _refuse_constant(_name: str) -> None:
    raise ValueError("NaN and Infinity are not JSON")


_decoder = json.JSONDecoder(
    object_pairs_hook=_unique_members, parse_float=_finite, parse_constant=_refuse_constant
)


def _refuse_lone_surrogates(members: dict[str, Any]) -> None:
    # Raw ones cannot pass the UTF-8 decoder; only an escape can smuggle one in.
    try:
        json.dumps(members, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidToken("a string holds half a surrogate pair") from None


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """A JSON object, decoded."""
    return isinstance(value, dict)


def is_array(value: Any) -> TypeGuard[list[Any]]:
    """A JSON array, decoded."""
    return isinstance(value, list)


def nests_deeper(members: Mapping[str, Any], limit: int) -> bool:
    """Whether objects and lists nest deeper than ``limit``, found without recursion."""
    level: list[Any] = [members]
    for _ in range(limit):
        children: list[Any] = []
        for parent in level:
            children.extend(parent.values() if is_object(parent) else parent)
        level = [child for child in children if isinstance(child, (dict, list))]
    return bool(level)
