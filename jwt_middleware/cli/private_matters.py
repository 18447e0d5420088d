"""Claims that look like what a readable token should not hold.

A signed token is no secret to who holds it: to its user, to scripts if it travels in a header, to
every log that it ends up in. So passwords, contact data and the like do not belong there. Names
and forms are guesses. A finding is a question to the person who knows, and never quotes the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ..jws import is_array, is_object


class Suspicion(NamedTuple):
    """A claim, and what it looks like."""

    claim: str
    """Its name; of one inside another the path, as in ``user.address``."""
    looks_like: str

    def __str__(self) -> str:
        return f"{self.claim} looks like {self.looks_like}"


_NAMED: tuple[tuple[str, str], ...] = (
    ("a password or its hash", r"pass_?(word|wd|phrase|code)?|pwd|pin"),
    (
        "a secret or a key",
        r"secret|.*_secret|api_?key|private_?key|access_?key|otp|totp|mfa_secret",
    ),
    ("another token", r"(access|refresh|id|session|reset)_?token"),
    ("an e-mail address", r"e_?mail(_address)?"),
    ("a phone number", r"phone(_number)?|mobile|telephone|tel"),
    (
        "a postal address",
        r"(postal|street|home|billing|shipping)?_?address|street|zip(_?code)?|post(al)?_?code",
    ),
    ("a date of birth", r"birth_?(date|day)|date_of_birth|dob"),
    ("an identity number", r"ssn|social_security(_number)?|passport(_number)?|tax_id|national_id"),
    ("a payment number", r"iban|(credit_?)?card(_number)?|cvv|cvc|account_number"),
    (
        "data on health or belief",
        r"religion|ethnicity|diagnos[ie]s|health|gender|sexual_orientation",
    ),
)
"""What a claim of such a name holds; the first that fits."""

_NAMES = [(what, re.compile(names, re.IGNORECASE).fullmatch) for what, names in _NAMED]

_STREETS = (
    "street|st|road|rd|avenue|ave|lane|drive|square|straße|strasse|str|weg|platz|rue|via|calle"
)


def _iban(text: str) -> bool:
    """ISO 13616: letters become numbers, and the remainder of a division by 97 is 1."""
    packed = text.replace(" ", "")
    if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", packed):
        return False
    return int("".join(str(int(one, 36)) for one in packed[4:] + packed[:4])) % 97 == 1


def _card(text: str) -> bool:
    """The length and beginning of the usual cards, and their check digit (ISO/IEC 7812-1)."""
    digits = re.sub(r"[ -]", "", text)
    if not re.fullmatch(r"4\d{15}|(5[1-5]|2[2-7])\d{14}|3[47]\d{13}", digits, re.ASCII):
        return False
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(sum(divmod(number, 10)) for number in doubled) % 10 == 0


_FORMS: tuple[tuple[str, Callable[[str], object]], ...] = (
    ("a password or its hash", re.compile(r"\$(2[aby]|argon2\w*|6|scrypt)\$|pbkdf2_").match),
    ("a secret or a key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|(sk|pk)_live_|AKIA").match),
    ("another token", re.compile(r"eyJ[\w-]+\.[\w-]*\.[\w-]*").match),
    ("an e-mail address", re.compile(r"[^@\s/]+@[^@\s/]+\.[a-zA-Z]{2,}").fullmatch),
    ("a phone number", re.compile(r"(\+|00)\d[\d ()./-]{6,17}\d").fullmatch),
    (
        "a postal address",
        re.compile(rf"(?i)\d+\w?,? [^\d]*\b({_STREETS})\b|.*({_STREETS})\.? \d+\w?\b").match,
    ),
    ("a payment number", _iban),
    ("a payment number", _card),
)
"""What a text of such a form is, whatever its name."""

# RFC 7519 and RFC 9068: what they hold is known, and none of it is private.
_REGISTERED = frozenset("iss aud exp nbf iat jti sid rgen rexp auth_time client_id gen".split())


def suspicions(claims: Mapping[str, Any]) -> list[Suspicion]:
    """All of them, in the order of the claims."""
    own = {name: value for name, value in claims.items() if name not in _REGISTERED}
    return list(dict.fromkeys(_in_object(own, "")))


def named_suspiciously(claim: str) -> str | None:
    """What a claim of this name looks like it holds."""
    return next((what for what, fits in _NAMES if fits(_snake(claim))), None)


def _in_object(members: Mapping[str, Any], path: str) -> Iterator[Suspicion]:
    for name, value in members.items():
        claim = f"{path}{name}"
        what = named_suspiciously(name) if _says_something(value) else None
        if what is not None:
            yield Suspicion(claim, what)
        else:
            yield from _in_value(value, claim)


def _in_value(value: Any, claim: str) -> Iterator[Suspicion]:
    if is_object(value):
        yield from _in_object(value, f"{claim}.")
    elif is_array(value):
        for item in value:
            yield from _in_value(item, claim)
    elif isinstance(value, str):
        yield from (Suspicion(claim, what) for what, fits in _FORMS if fits(value))


def _says_something(value: object) -> bool:
    """A flag such as ``mfa: true`` or an empty member gives nothing away."""
    return value not in (None, "", [], {}) and not isinstance(value, bool)


def _snake(name: str) -> str:
    """``phoneNumber``, ``phone-number`` and a namespaced claim as ``phone_number``."""
    name = re.split(r"[/:#]", name)[-1]
    return re.sub(r"(?<=[a-z])(?=[A-Z])|-", "_", name).lower()
