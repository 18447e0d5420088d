"""The verifiers that are held against each other, asked the same at the same moment.

`Expectation` is one configuration, said to each: to `Tokens.read_access`, to PyJWT and to
joserfc. `compare` fails where ours is the more lenient, or stricter for no listed reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import joserfc.jwt
import jwt
import pytest
from forging import NOW, SECRET, make_settings
from joserfc.errors import (
    ExceededSizeError,
    InvalidClaimError,
    InvalidHeaderValueError,
    JoseError,
    UnsupportedHeaderError,
)
from joserfc.jwk import OctKey

from jwt_middleware.access import CLOCK_SKEW
from jwt_middleware.errors import InvalidToken
from jwt_middleware.tokens import Tokens

AUDIENCE, ISSUER, LEEWAY = "api", "https://us.example", 30


@contextmanager
def stopped_clocks() -> Iterator[None]:
    """Stop PyJWT's clock at the tests' time; joserfc is told the time."""

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.fromtimestamp(NOW, tz or UTC)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jwt.api_jwt.datetime", Stopped)
        yield


class Expectation(NamedTuple):
    """One configuration, said to both."""

    audience: str | None
    issuer: str | None
    required: tuple[str, ...]
    leeway: int

    def tokens(self) -> Tokens:
        """A process that has seen nothing yet."""
        return Tokens(SETTINGS[self])

    def theirs(self, token: str) -> dict[str, Any]:
        """PyJWT's verdict. Twice, since it has one leeway and we have two: for ``exp`` as it
        is configured, for ``nbf`` and ``iat`` a minute."""
        for leeway, options in (
            (self.leeway, {"verify_nbf": False, "verify_iat": False}),
            (CLOCK_SKEW, {"verify_exp": False}),
        ):
            members = jwt.decode(
                token,
                SECRET,
                algorithms=["HS256"],
                audience=self.audience,
                issuer=self.issuer,
                leeway=leeway,
                options={**options, "require": ["exp", *self.required]},  # pyright: ignore[reportArgumentType]
            )
        return members  # pyright: ignore[reportPossiblyUnboundVariable]

    def joserfcs(self, token: str) -> dict[str, Any]:
        """The verdict of joserfc, with the two leeways, too."""
        members = joserfc.jwt.decode(token, JOSERFC_KEY, algorithms=["HS256"]).claims
        asked: Any = {
            name: {"essential": True, "allow_blank": True} for name in ("exp", *self.required)
        }
        if self.audience is not None:
            asked["aud"] = {"essential": True, "value": self.audience}
        if self.issuer is not None:
            asked["iss"] = {"essential": True, "value": self.issuer}
        begin = {name: members[name] for name in ("nbf", "iat") if name in members}
        rest = {name: members[name] for name in members if name not in begin}
        registry = joserfc.jwt.JWTClaimsRegistry
        registry(now=int(NOW), leeway=int(CLOCK_SKEW)).validate(begin)
        registry(now=int(NOW), leeway=self.leeway, **asked).validate(rest)
        return members

    def ours(self, token: str) -> dict[str, Any]:
        access = self.tokens().read_access(token, now=NOW)
        if access.expired(NOW):
            raise InvalidToken("expired")
        return dict(access.claims)


JOSERFC_KEY = OctKey.import_key(SECRET)

EXPECTATIONS = [
    Expectation(None, None, (), 0),
    Expectation(AUDIENCE, ISSUER, (), LEEWAY),
    Expectation(None, None, ("roles",), 0),
]

SETTINGS = {
    one: make_settings(
        audience=one.audience,
        issuer=one.issuer,
        required_claims=one.required,
        leeway=one.leeway,
    )
    for one in EXPECTATIONS
}

# ── Why more is refused than PyJWT refuses ───────────────────────────────────────

REASONS: dict[str, tuple[str, ...]] = {
    "one token has one spelling (S11)": (
        "not three base64url segments",
        "not canonical base64url",
    ),
    "JSON is strict (S12)": (
        "a segment is not strict JSON in UTF-8",
        "half a surrogate pair",
        "JSON nested deeper",
    ),
    "a header announces what is not processed (S6, S9)": ("a header member that is not processed",),
    "another kind of token (S19)": ("or this is another kind of token",),
    "kid or typ is no text, or the kid names no key of ours (S5, S19)": (
        "kid or typ is not text",
        "no key has this kid and alg",
    ),
    "a time is no sane number (S15, S16)": (
        "is not a number",
        "is beyond all bounds",
    ),
    "an audience is named though nobody is expected, or is no text (S17)": (
        "aud is neither text nor a list",
        "meant for another audience",
    ),
    "nobody is named (S18)": ("sub is not text", "nobody is named"),
    "bound to a key (S20)": ("bound to a key (cnf)",),
    "our own claims have types": ("sid is not text", "rgen is not a generation"),
}
"""By what the errors say: a refusal of another kind would be a decision nobody took."""


def reason_of(refusal: InvalidToken) -> str | None:
    return next(
        (
            reason
            for reason, texts in REASONS.items()
            if any(text in str(refusal) for text in texts)
        ),
        None,
    )


class JoserfcRefuses(NamedTuple):
    """Why joserfc refuses what PyJWT and we accept."""

    error: type[JoseError]
    text: str
    reason: str


JOSERFC_REFUSES = (
    JoserfcRefuses(UnsupportedHeaderError, "", "a header member it does not know"),
    JoserfcRefuses(InvalidHeaderValueError, "", "a jwk, x5c or the like of another type"),
    JoserfcRefuses(ExceededSizeError, "Header size", "a header of more than 512 bytes"),
    JoserfcRefuses(InvalidClaimError, "'iss' must be", "an iss that is no text, and not expected"),
)
"""We never look at those header members, cap the whole token, and compare iss if one is
expected."""


def compare(token: str, expectation: Expectation) -> str:
    """Read a token; answers how it ended. Fails if we are more lenient than PyJWT, or than
    joserfc beyond its listed refusals, or stricter than PyJWT for no listed reason."""
    theirs, ours = attempt(expectation.theirs, token), attempt(expectation.ours, token)
    if isinstance(theirs, Exception):
        assert isinstance(ours, InvalidToken), f"{token} is accepted; PyJWT: {theirs!r}"
        return "both refuse"
    if isinstance(ours, Exception):
        assert isinstance(ours, InvalidToken)
        reason = reason_of(ours)
        assert reason is not None, f"refused for no listed reason: {ours}"
        return reason
    assert ours == theirs
    third = attempt(expectation.joserfcs, token)
    if isinstance(third, Exception):
        extra = [
            f"joserfc alone refuses {row.reason}"
            for row in JOSERFC_REFUSES
            if type(third) is row.error and row.text in str(third)
        ]
        assert extra, f"{token} is accepted; joserfc: {third!r}"
        return extra[0]
    assert ours == third
    return "all accept"


def attempt(read: Callable[[str], dict[str, Any]], token: str) -> dict[str, Any] | Exception:
    """The claims, or whatever was raised: any exception of PyJWT is a rejection."""
    try:
        return read(token)
    except Exception as error:  # noqa: BLE001  # PyJWT raises what it likes
        return error
