"""The kinds of value a setting can hold: what each accepts, and what it makes of it.

A kind is a function from whatever a source holds (a Python value from code, a string from
the environment, the bytes of a file) to the one normalised value the package works with.
It accepts its own results, so that settings can be copied. A value that
does not fit raises :class:`Unfit`, whose text completes the sentence "<setting>: …": what
was wrong and what to write instead. A secret is never part of that text.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeAlias, TypeVar, cast
from urllib.parse import urlsplit

S = TypeVar("S")
T = TypeVar("T")
Choice = TypeVar("Choice", bound=str)
Kind: TypeAlias = Callable[[object], T]


class Unfit(ValueError):
    """The value cannot be what the setting needs. Becomes part of a ConfigurationError."""


def shown(value: object) -> str:
    """A value as a message may quote it: plain ones, cut to 60 characters; else its type."""
    if value is None or isinstance(value, str | bool | float | timedelta):
        text = repr(value)
        return text if len(text) <= 60 else text[:59] + "…"
    if isinstance(value, int):
        return str(value) if abs(value) < 10**20 else "a huge number"
    return f"of type {type(value).__name__}"


# ── Choices ──────────────────────────────────────────────────────────────────────

_FLAGS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


def flag(value: object) -> bool:
    """A bool, or one of the strings true/false, 1/0, yes/no, on/off in any case."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _FLAGS:
        return _FLAGS[value.strip().lower()]
    raise Unfit(f"is {shown(value)}; allowed are True and False, or {'/'.join(_FLAGS)}")


def one_of(choices: Sequence[Choice]) -> Kind[Choice]:
    """One of a few strings, exactly as they are spelled."""

    def kind(value: object) -> Choice:
        for choice in choices:
            if isinstance(value, str) and value.strip() == choice:
                return choice
        allowed = ", ".join(f'"{choice}"' for choice in choices)
        raise Unfit(f"is {shown(value)}; allowed are the strings {allowed}")

    return kind


def either(words: Kind[S], other: Kind[T]) -> Kind[S | T]:
    """What one kind reads (a few strings), or else another."""

    def kind(value: object) -> S | T:
        try:
            return words(value)
        except Unfit as no_word:
            try:
                return other(value)
            except Unfit as unfit:
                allowed = str(no_word).rpartition("allowed are ")[2]
                raise Unfit(f"{unfit}, or one of {allowed}") from None

    return kind


def optional(kind: Kind[T]) -> Kind[T | None]:
    """None, which is also spelled as an empty string or "none"; or a value of ``kind``."""

    def optional_kind(value: object) -> T | None:
        return None if value is None or _is_nothing(value) else kind(value)

    return optional_kind


def _is_nothing(value: object) -> bool:
    return isinstance(value, str) and value.strip().lower() in {"", "none"}


def several(kind: Kind[T], *, least: int = 0) -> Kind[tuple[T, ...]]:
    """A list, a tuple or a comma-separated string of at least ``least`` different values."""

    def several_kind(value: object) -> tuple[T, ...]:
        values = tuple(kind(item) for item in _items(value))
        if len(values) < least:
            raise Unfit("is empty; name at least one value")
        for position, item in enumerate(values):
            if item in values[:position]:
                raise Unfit(f"names {shown(item)} twice; keep one of them")
        return values

    return several_kind


def _items(value: object) -> Sequence[object]:
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    if isinstance(value, list | tuple):
        return cast(Sequence[object], value)
    raise Unfit(f"is {shown(value)}; give a list, a tuple or a comma-separated string")


def some_of(choices: Sequence[Choice], *, least: int = 0) -> Kind[tuple[Choice, ...]]:
    """Some of a few strings, as :func:`several`."""
    return several(one_of(choices), least=least)


def one_or_several(kind: Kind[T]) -> Kind[tuple[T, ...]]:
    """As :func:`several`, with None (also as a string) for none at all."""

    def one_or_several_kind(value: object) -> tuple[T, ...]:
        return optional(several(kind))(value) or ()

    return one_or_several_kind


# ── Numbers ──────────────────────────────────────────────────────────────────────

CENTURY = 36_525 * 86_400
"""The longest duration, in seconds: far below where clocks and JSON numbers break."""

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([smhd]?)")


def duration(*, most: float = CENTURY, zero: bool = False) -> Kind[float]:
    """Seconds: a number, a timedelta, or a string like "900", "15m", "12h", "30d".

    The result is an int when it is whole. ``most`` (seconds) is inclusive; ``zero`` says
    whether 0 has a meaning.
    """

    def kind(value: object) -> float:
        seconds = _seconds(value)
        if not (0 < seconds <= most or (zero and seconds == 0)):
            low = "from 0" if zero else "above 0"
            high = f"up to {most} seconds" if most < CENTURY else "up to 100 years"
            raise Unfit(f"is {shown(value)}; give a duration {low} {high}")
        return int(seconds) if seconds == int(seconds) else seconds

    return kind


def _seconds(value: object) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return float(match[1]) * _SECONDS[match[2]]
    raise Unfit(
        f"is {shown(value)}; give seconds as a number, a timedelta, "
        'or a string like "900", "15m", "12h" or "30d"'
    )


def spelled(seconds: float) -> str:
    """A duration as :func:`duration` reads it, in the longest unit that it fills: "40d", "90m"."""
    for unit in "dhm":
        amount, rest = divmod(seconds, _SECONDS[unit])
        if seconds and not rest:
            return f"{int(amount)}{unit}"
    return f"{seconds}s"


def whole_number(least: int, most: int) -> Kind[int]:
    """An int, or a string of decimal digits, from ``least`` to ``most`` inclusive."""

    def kind(value: object) -> int:
        number = value
        if isinstance(value, str) and re.fullmatch("[0-9]{1,12}", value.strip()):
            number = int(value)
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
            raise Unfit(f"is {shown(value)}; give a whole number from {least} to {most}")
        return number

    return kind


# ── Names ────────────────────────────────────────────────────────────────────────

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""``token`` of RFC 9110 section 5.6.2; RFC 6265 section 4.1.1 names cookies by the same rule."""

_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]+")

_FORBIDDEN_HEADERS = frozenset(
    """
    accept cache-control connection content-encoding content-length content-type cookie date
    expires host keep-alive location origin referer server set-cookie te trailer
    transfer-encoding upgrade user-agent vary www-authenticate
    """.split()
)
"""Fields that servers, browsers or this package give a meaning of their own."""


def text(value: object) -> str:
    """A string of printable characters, not empty and without blanks around it."""
    if isinstance(value, str) and value and value.isprintable() and value == value.strip():
        return value
    raise Unfit(f"is {shown(value)}; give a string of printable characters, not empty or padded")


def token(value: object) -> str:
    """A name of RFC 9110's ``token`` characters: no spaces, no separators, ASCII only."""
    if isinstance(value, str) and _TOKEN.fullmatch(value):
        return value
    raise Unfit(f"is {shown(value)}; give a name of ASCII letters, digits and !#$%&'*+-.^_`|~")


def query_name(value: object) -> str:
    """A name in a query that needs no encoding (RFC 3986 section 2.3)."""
    if isinstance(value, str) and _UNRESERVED.fullmatch(value):
        return value
    raise Unfit(f"is {shown(value)}; give a name of ASCII letters, digits and -._~")


def scheme(value: object) -> str:
    """An authentication scheme (RFC 9110 section 11.1), or "" for a bare token."""
    return "" if value == "" else token(value)


def header_name(value: object) -> str:
    """A field name (RFC 9110 section 5.1) that no one else gives a meaning to."""
    name = token(value)
    if name.lower() in _FORBIDDEN_HEADERS:
        raise Unfit(f"is {shown(name)}, which has another purpose; choose one like X-Access-Token")
    if "_" in name:
        raise Unfit(
            f"is {shown(name)}, and under WSGI no one can tell _ from -, so that another header "
            f"could pose as it; write {name.replace('_', '-')}"
        )
    return name


def claim_name(*, reserved: frozenset[str]) -> Kind[str]:
    """The name of a claim that is not one of those with a fixed meaning."""

    def kind(value: object) -> str:
        name = text(value)
        if name in reserved:
            raise Unfit(f"is {shown(name)}, a claim with a meaning of its own; choose another")
        return name

    return kind


# ── Places ───────────────────────────────────────────────────────────────────────

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)
_COOKIE_PATH = re.compile(r"/[\x20-\x3a\x3c-\x7e]*")
"""``path-value`` of RFC 6265 section 4.1.1: no control characters, no semicolon."""

_RULE_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()+,;=:@/-]*")
"""``path`` of RFC 3986 section 3.3 without percent-encoding, and without ``*``."""

_ORIGIN = re.compile(
    rf"([a-z][a-z0-9+.-]*)://({_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])(?::([0-9]{{1,5}}))?"
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOCAL_URL = re.compile(r"/(?!/)[!-\[\]-~]*")
_WEB_URL = re.compile(r"https?://[!-\[\]-~]+", re.IGNORECASE)


def cookie_domain(value: object) -> str:
    """A host name, in lower case; one leading dot is dropped (RFC 6265 section 5.2.3)."""
    if isinstance(value, str) and _HOST.fullmatch(value.removeprefix(".")):
        return value.removeprefix(".").lower()
    raise Unfit(f'is {shown(value)}; give a host name like "example.com" (IDNs as xn--…)')


def cookie_path(value: object) -> str:
    """A path for a cookie: starts with "/", without semicolon or control characters."""
    if isinstance(value, str) and _COOKIE_PATH.fullmatch(value):
        return value
    raise Unfit(f'is {shown(value)}; give an ASCII path that starts with "/" and has no ";"')


def rule_path(value: object) -> str:
    """A path to compare with raw request paths: plain, absolute, nothing to resolve in it."""
    if not isinstance(value, str) or not value.startswith("/"):
        raise Unfit(f'holds {shown(value)}; a path starts with "/"')
    if not _RULE_PATH.fullmatch(value):
        raise Unfit(
            f"holds {shown(value)}; a path has no query, fragment, percent-encoding, pattern, "
            "space or non-ASCII character (it covers itself and everything below it)"
        )
    if not {".", ".."}.isdisjoint(value.split("/")):
        raise Unfit(f'holds {shown(value)}; a path has no "." or ".." segments')
    return value


def method(value: object) -> str:
    """A request method (RFC 9110 section 9.1), in upper case as frameworks compare it."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise Unfit(f'holds {shown(value)}; a method is a word such as "POST"')
    return value.upper()


def origin(value: object) -> str:
    """An origin as browsers send it (RFC 6454 section 6.2): ``scheme://host[:port]``.

    In lower case and without the scheme's own port, since that is what arrives.
    """
    written = value.lower() if isinstance(value, str) else ""
    if written == "null":
        raise Unfit('holds "null", which any page can send from a sandboxed frame; leave it out')
    if written == "*":
        raise Unfit('holds "*", which would trust every page; name each origin that you trust')
    match = _ORIGIN.fullmatch(written)
    if match is None or int(match[3] or 1) not in range(1, 65_536):
        raise Unfit(f'holds {_shown_url(value)}; write "https://host[:port]", without a path')
    name, host, port = match[1], match[2], int(match[3] or 0)
    return f"{name}://{host}" + (f":{port}" if port and port != _DEFAULT_PORTS.get(name) else "")


def sign_in_url(value: object) -> str:
    """Where to send people to sign in: a local path, or an absolute http(s) URL.

    Never something a browser reads as another host: no "//host", no backslash.
    """
    if isinstance(value, str) and (_LOCAL_URL.fullmatch(value) or _is_web_url(value)):
        return value
    raise Unfit(
        f'is {_shown_url(value)}; give a local path like "/login" (not "//", no backslash, space '
        "or control character) or an absolute http(s) URL without a user name"
    )


def _is_web_url(value: str) -> bool:
    if not _WEB_URL.fullmatch(value):
        return False
    try:
        parts = urlsplit(value)
        return bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        return False


def key_url(value: object) -> str:
    """Where keys are fetched: https, or http to this machine alone; no user, no fragment.

    Whoever can change keys on their way here can sign tokens (RFC 8725 section 3.8).
    """
    if isinstance(value, str) and _is_web_url(value) and "#" not in value:
        parts = urlsplit(value)
        if parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1"):
            return value
    raise Unfit(f'is {_shown_url(value)}; give a URL that begins with "https://"')


def is_plain_http(url: str) -> bool:
    """Whether what travels there can be changed on its way."""
    return urlsplit(url).scheme == "http"


def _shown_url(value: object) -> str:
    """As :func:`shown`, but what may hold a password is not quoted."""
    has_user = isinstance(value, str) and "@" in value
    return "a URL with a user name" if has_user else shown(value)


# ── Secrets ──────────────────────────────────────────────────────────────────────

MAKE_ONE = 'python -c "import secrets; print(secrets.token_urlsafe(48))"'
"""A command that prints a good secret: 64 characters, enough for every HS algorithm."""

MAKE_AN_ENCRYPTION_KEY = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'
"""A command that prints a good ``encryption_key``."""


def secret(value: object) -> bytes:
    """An HMAC secret: str (encoded as UTF-8) or bytes; refused if it looks like a key file.

    Its length is judged with the algorithm, by the settings as a whole.
    """
    if value is None:
        raise Unfit(f"is missing; make one with: {MAKE_ONE}")
    key = _key_bytes(value)
    if not key:
        raise Unfit(f"is empty; make one with: {MAKE_ONE}")
    if shape := key_file_shape(key):
        raise Unfit(
            f"looks like {shape}. A secret must be random and known to nobody else, "
            f"which a key file is not meant to be; make one with: {MAKE_ONE}"
        )
    return key


def _key_bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise Unfit(f"is of type {type(value).__name__}; give str or bytes")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise Unfit("is no valid Unicode text; give the secret as bytes or in a file") from None


def by_line(kind: Kind[bytes]) -> Kind[tuple[bytes, ...]]:
    """Several secrets: a list or tuple, or text with one on each line that is not empty."""

    def by_line_kind(value: object) -> tuple[bytes, ...]:
        if isinstance(value, str | bytes):
            lines = _key_bytes(value).replace(b"\r\n", b"\n").split(b"\n")
            return tuple(kind(line) for line in lines if line)
        if isinstance(value, list | tuple):
            return tuple(kind(item) for item in cast(Sequence[object], value))
        raise Unfit(
            f"is of type {type(value).__name__}; give a list, or text with one secret a line"
        )

    return by_line_kind


ENCRYPTION_KEY_BYTES = 32
"""What A256GCM needs (RFC 7518 section 5.3)."""


def encryption_key(value: object) -> bytes:
    """A key for A256GCM: 32 bytes, as they are or as base64url text; never words."""
    key = _key_bytes(value)
    if not isinstance(value, bytes) or len(key) != ENCRYPTION_KEY_BYTES:
        key = from_base64(key)
    if len(key) != ENCRYPTION_KEY_BYTES:
        raise Unfit(
            f"A256GCM needs {ENCRYPTION_KEY_BYTES} random bytes (RFC 7518 section 5.3), in text as "
            f"base64url of 43 characters; make them with: {MAKE_AN_ENCRYPTION_KEY}"
        )
    return key


_KEY_MARKER = re.compile(rb"----[- ]?\s*(?:BEGIN|END)\b|PuTTY-User-Key-File", re.IGNORECASE)
"""RFC 7468 section 2 and RFC 4716 section 3.2, anywhere in the text."""

_SSH_KEY = re.compile(rb"(?:\0{3}.)?(?:(?:sk-)?(?:ssh-|ecdsa-sha2-)|openssh-key-v1\0)", re.DOTALL)
"""A public key's line, or its binary form with the length in front (RFC 4253 section 6.6)."""


def key_file_shape(key: bytes) -> str | None:
    """What the bytes look like, if like a published key; None if they may be a secret.

    Whoever knows a public key could forge tokens if it also served as an HMAC secret
    (CVE-2022-29217). At least as strict as PyJWT, and without ``cryptography``.
    """
    return _shape(key) or _shape(from_base64(key))


def _shape(key: bytes) -> str | None:
    readable = _readable(key)
    spellings = (key, readable.encode("utf-8", "ignore"))
    if any(_KEY_MARKER.search(spelling) for spelling in spellings):
        return "a PEM or X.509 block"
    if any(_SSH_KEY.match(spelling) for spelling in spellings):
        return "an SSH key"
    if _is_der(key):
        return "a DER-encoded key or X.509 certificate"
    if _is_json(readable):
        return "a JSON document, such as a JWK or a key set"
    return None


def _readable(key: bytes) -> str:
    """The bytes as text (UTF-8, -16 or -32, as JSON readers guess), without BOM and blanks."""
    return key.decode(json.detect_encoding(key), "ignore").strip("\ufeff\0 \t\r\n\v\f")


def _is_json(readable: str) -> bool:
    """A JSON object or array, whatever is in it: a random secret never is one."""
    if not readable.startswith(("{", "[")):
        return False
    try:
        json.loads(readable, parse_int=lambda _: 0)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True


def _is_der(key: bytes) -> bool:
    """A SEQUENCE of exactly this length that begins as keys and certificates do.

    Those begin with a SEQUENCE, an INTEGER or an OBJECT IDENTIFIER (X.690 section 8).
    """
    if len(key) < 3 or key[0] != 0x30:
        return False
    size, start = key[1], 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(key[2:start], "big")
    return start + size == len(key) and key[start : start + 1] in {b"\x30", b"\x02", b"\x06"}


def from_base64(key: bytes) -> bytes:
    """The bytes inside base64 or base64url text; empty if it is none."""
    packed = b"".join(key.split()).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        return base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except binascii.Error:
        return b""
