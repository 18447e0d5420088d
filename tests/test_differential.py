"""Beside PyJWT: nothing it rejects is accepted, and what is refused beyond it has a reason.

Hypothesis writes tokens, well-formed and not, and signs them *as they are written*, so that
a lenient reader would find the signature good. Each is read by PyJWT and by
`Tokens.read_access`, at the same moment and with the same expectations.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any, NamedTuple

import jwt
import pytest
from forging import (
    CLAIMS,
    NOW,
    SECRET,
    STRANGE_SECRET,
    b64,
    content_of,
    make_settings,
    make_tokens,
    signed,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jwt_middleware.errors import InvalidToken
from jwt_middleware.tokens import CLOCK_SKEW, Tokens

AUDIENCE, ISSUER, LEEWAY = "api", "https://us.example", 30


@pytest.fixture(autouse=True, scope="module")
def same_moment() -> Iterator[None]:
    """Stop PyJWT's clock at the tests' time."""

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

    def ours(self, token: str) -> dict[str, Any]:
        access = self.tokens().read_access(token, now=NOW)
        if access.expired(NOW):
            raise InvalidToken("expired")
        return dict(access.claims)


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


def compare(token: str, expectation: Expectation) -> str:
    """Read a token twice; answers how it ended. Fails if we are the more lenient."""
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
    return "both accept"


def attempt(read: Callable[[str], dict[str, Any]], token: str) -> dict[str, Any] | Exception:
    """The claims, or whatever was raised: any exception of PyJWT is a rejection."""
    try:
        return read(token)
    except Exception as error:  # noqa: BLE001  # PyJWT raises what it likes
        return error


# ── Each reason has a witness ────────────────────────────────────────────────────

HEADER = '{"alg":"HS256","typ":"JWT"}'
TIMES = f'"exp":{int(NOW) + 600}'
BODY = f'{{"sub":"alice",{TIMES}}}'


def written(header: str | bytes = HEADER, body: str | bytes = BODY) -> str:
    return signed(f"{b64(content_of(header))}.{b64(content_of(body))}")


def with_claim(name: str, value: str) -> str:
    """The usual claims with one more, as JSON text."""
    return written(body=f'{{"sub":"alice",{TIMES},"{name}":{value}}}')


def padded(token: str) -> str:
    signing_input = ".".join(
        segment + "=" * (-len(segment) % 4) for segment in token.split(".")[:2]
    )
    return signed(signing_input)


SPELLING, STRICT, UNPROCESSED, KIND, KID, TIME, AUD, NOBODY, BOUND, OWN = REASONS

WITNESSES = [
    (SPELLING, padded(written())),
    (STRICT, written(body='{"sub":"mallory",' + BODY[1:])),
    (STRICT, written(header='{"alg":"none",' + HEADER[1:])),
    (STRICT, with_claim("a", "NaN")),
    (STRICT, with_claim("a", "-Infinity")),
    (STRICT, with_claim("a", "1e999")),
    (STRICT, with_claim("a", '"\\ud800"')),
    (STRICT, with_claim("a", "[" * 40 + "]" * 40)),
    (STRICT, written(body=BODY.encode("utf-16"))),
    (STRICT, written(body=BODY.encode("utf-32-le"))),
    (STRICT, written(body=BODY.encode("utf-8-sig"))),
    (STRICT, written(header=HEADER.encode("utf-8-sig"))),
    (STRICT, written(body=b'{"a":"\xed\xa0\x80",' + BODY[1:].encode())),
    (UNPROCESSED, written(header='{"alg":"HS256","zip":"DEF"}')),
    (UNPROCESSED, written(header='{"alg":"HS256","cty":"JWT"}')),
    (UNPROCESSED, written(header='{"alg":"HS256","b64":true}')),
    (KIND, written(header='{"alg":"HS256","typ":"logout+jwt"}')),
    (KID, written(header='{"alg":"HS256","typ":null}')),
    (KID, written(header='{"alg":"HS256","kid":"somebody"}')),
    (TIME, with_claim("iat", '"1700000000"')),
    (TIME, with_claim("nbf", "true")),
    (TIME, with_claim("iat", "-1")),
    (TIME, written(body=f'{{"sub":"alice","exp":"{int(NOW) + 600}"}}')),
    (TIME, written(body='{"sub":"alice","exp":1e20}')),
    (TIME, with_claim("rexp", '"soon"')),
    (AUD, with_claim("aud", "[]")),
    (AUD, with_claim("aud", '""')),
    (AUD, with_claim("aud", "0")),
    (NOBODY, written(body=f"{{{TIMES}}}")),
    (NOBODY, written(body=f'{{"sub":"",{TIMES}}}')),
    (BOUND, with_claim("cnf", '{"jkt":"x"}')),
    (OWN, with_claim("sid", "1")),
    (OWN, with_claim("rgen", "-1")),
]


@pytest.mark.parametrize(("reason", "token"), WITNESSES, ids=range(len(WITNESSES)))
def test_each_reason_has_a_witness(reason: str, token: str) -> None:
    """What we refuse beyond PyJWT is refused for the listed reason, which is therefore needed."""
    assert compare(token, EXPECTATIONS[0]) == reason


def test_every_reason_is_witnessed() -> None:
    """No reason stands in the list that nothing is refused for."""
    assert {reason for reason, _ in WITNESSES} == set(REASONS)


@pytest.mark.parametrize(
    "token",
    [
        written(header='{"alg":"HS256","kid":null}'),
        written(header='{"alg":"HS256","kid":1}'),
        written(header='{"alg":"none"}'),
        written(header='{"alg":["HS256"]}'),
        written(header='{"alg":"HS256","crit":["x"],"x":1}'),
        written(header='{"alg":"HS256","crit":[]}'),
        written(header="[]"),
        written(body="[]"),
        with_claim("jti", "1"),
        with_claim("jti", "null"),
        with_claim("aud", '["api"]'),
        with_claim("iat", "null"),
        with_claim("iat", '"soon"'),
        with_claim("iat", str(int(NOW) + 61)),
        with_claim("nbf", str(int(NOW) + 61)),
        written(body='{"sub":1,"exp":1900000000}'),
        written(body='{"sub":null,"exp":1900000000}'),
        written(body=f'{{"sub":"alice","exp":{int(NOW)}}}'),
        written(body='{"sub":"alice","exp":null}'),
        written(body='{"sub":"alice"}'),
        signed(written().rpartition(".")[0], secret=STRANGE_SECRET),
    ],
    ids=range(21),
)
def test_both_refuse(token: str) -> None:
    """What PyJWT rejects is refused."""
    assert compare(token, EXPECTATIONS[0]) == "both refuse"


@pytest.mark.parametrize("claim", ["null", "[]", "0"])
def test_both_require(claim: str) -> None:
    """What counts as a missing claim is the same for both."""
    expected = "both refuse" if claim == "null" else "both accept"
    assert compare(with_claim("roles", claim), EXPECTATIONS[2]) == expected


@pytest.mark.parametrize(
    "token",
    [
        written(),
        with_claim("iat", str(int(NOW) + 60)),
        with_claim("nbf", str(NOW - 0.5)),
        with_claim("iss", '"anybody"'),
        with_claim("jti", '""'),
        with_claim("a", '"\\ud83d\\ude00"'),
        with_claim("a", "[" * 20 + "]" * 20),
        with_claim("a", "1" * 4000),
        written(header='{"alg":"HS256"}'),
        written(header='{"alg":"HS256","jku":"https://evil.example","jwk":{}}'),
        written(body=f" {BODY}\n"),
    ],
    ids=range(11),
)
def test_both_accept(token: str) -> None:
    """What is well made is accepted by both, with the same claims."""
    assert compare(token, EXPECTATIONS[0]) == "both accept"


# ── Tokens that nobody would write ───────────────────────────────────────────────

OWN_KID = json.dumps(make_tokens()._access_keys.signing.kid)
REFRESH_KID = json.dumps(make_tokens()._refresh_keys.signing.kid)

STRICT_JSON = [
    *'null true false 0 1 -1 1.5 -0.0 1e3 [] {} [[]] [1,"x"]'.split(),
    *'"" "x" "\\ud83d\\ude00" "\\u0000"'.split(),
    "9" * 400,
    "[" * 20 + "]" * 20,
]
LOOSE_JSON = [
    *'NaN Infinity -Infinity 1e999 -1e999 "\\ud800" {"a":1,"a":2} {"a":NaN}'.split(),
    "9" * 5000,
    "[" * 40 + "]" * 40,
    '{"a":' * 40 + "1" + "}" * 40,
]

SOON, LONG_AGO = int(NOW) + 600, int(NOW) - 600
MOMENTS = [
    *[str(SOON)] * 4,
    *[f"{int(NOW) + step}" for step in (-61, -31, -30, -29, -1, 0, 1, 59, 60, 61)],
    *[str(LONG_AGO), f"{SOON}.5", f'"{SOON}"', f'"{LONG_AGO}"', f"[{SOON}]", f"-{SOON}"],
    *["253402300799", "253402300800", "1e11", "1e20", "1.9e9"],
]


def texts(*values: str) -> list[str]:
    return [f'"{value}"' for value in values]


HEADER_MEMBERS: dict[str, list[str]] = {
    "alg": texts("HS256", "\\u0048S256", "none", "hs256", "HS384", "RS256", "HS256\\u0000"),
    "typ": texts("JWT", "jwt", "at+jwt", "rt+jwt", "logout+jwt", "application/at+jwt", "JWE"),
    "kid": [OWN_KID, OWN_KID, REFRESH_KID, '"unknown"'],
    "crit": ['["exp"]', '["b64"]'],
    **{name: [] for name in ("b64", "zip", "cty", "jwk", "x5c", "p2c", "other")},
}
CLAIM_MEMBERS: dict[str, list[str]] = {
    **dict.fromkeys(("exp", "nbf", "iat", "rexp"), MOMENTS),
    "sub": texts("alice", "b\\u00fcb"),
    "aud": [
        *texts(AUDIENCE, "ap", f"{AUDIENCE} "),
        *(f'["{AUDIENCE}"]', f'["x","{AUDIENCE}"]', f'["{AUDIENCE}",1]', f'{{"{AUDIENCE}":1}}'),
    ],
    "iss": [*texts(ISSUER, f"{ISSUER}/", "https://us"), f'["{ISSUER}"]'],
    **{name: [] for name in ("jti", "cnf", "sid", "rgen", "roles", "other")},
}

FORMS = ["{}"] * 30 + [" {}\n", "\t{}", "{}x", "[{}]", "\xa0{}", "{}{{}}", "{}\0"]
ENCODINGS = ["utf-8"] * 30 + "utf-8-sig utf-16 utf-16-le utf-16-be utf-32 latin-1".split()
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def member(pen: Random, usual: list[str]) -> str:
    """A value: one that a claim of this name might have, or any other."""
    odd = LOOSE_JSON if pen.random() < 0.1 else STRICT_JSON
    return pen.choice(usual if usual and pen.random() < 0.7 else odd)


def write_object(pen: Random, members: dict[str, list[str]], usual: dict[str, str]) -> bytes:
    """A JSON object in which a few usual members are odd, missing, new or there twice."""
    pairs = dict(usual)
    twice: list[tuple[str, str]] = []
    for _ in range(pen.choice([0, 0, 1, 1, 1, 2])):
        name = pen.choice(list(members))
        match pen.choice(["set"] * 10 + ["drop", "twice"]):
            case "drop":
                pairs.pop(name, None)
            case "twice":
                twice.append((name, member(pen, members[name])))
            case _:
                pairs[name] = member(pen, members[name])
    text = ",".join(f'"{name}":{value}' for name, value in [*pairs.items(), *twice])
    return pen.choice(FORMS).format("{" + text + "}").encode(pen.choice(ENCODINGS), "replace")


def write_segment(pen: Random, content: bytes) -> str:
    """The content in base64url, now and then as somebody careless would write it."""
    segment = b64(content)
    if pen.random() < 0.9:
        return segment
    at = pen.randrange(len(segment))
    careless = [
        segment + "=" * (-len(segment) % 4),
        segment + "=",
        segment + "==",
        segment + "A",
        segment[:-1] + ALPHABET[ALPHABET.index(segment[-1]) ^ 1],
        segment.replace("-", "+").replace("_", "/"),
        segment[:at] + pen.choice(" \n\r\t!.%é\0") + segment[at:],
        " " + segment,
        segment + "\n",
    ]
    return pen.choice(careless)


USUAL_HEADER = {"alg": '"HS256"', "typ": '"JWT"'}
USUAL_CLAIMS = {"sub": '"alice"', "exp": str(SOON), "iat": str(int(CLAIMS["iat"]))}
FOR_US = {**USUAL_CLAIMS, "aud": f'"{AUDIENCE}"', "iss": f'"{ISSUER}"'}


def write_case(pen: Random) -> tuple[Expectation, str]:
    """An expectation, and a token that nearly or fully meets it."""
    expectation = pen.choice(EXPECTATIONS)
    usual = FOR_US if expectation.audience else USUAL_CLAIMS
    if expectation.required:
        usual = {**usual, "roles": "[]"}
    header = write_segment(pen, write_object(pen, HEADER_MEMBERS, USUAL_HEADER))
    payload = write_segment(pen, write_object(pen, CLAIM_MEMBERS, usual))
    end = pen.choice([""] * 60 + ["=", "==", "A", " ", "\n", ".", ".AAAA"])
    return expectation, signed(f"{header}.{payload}") + end


# Choices as even as dice: what Hypothesis draws by itself comes in clusters of likes.
cases = st.randoms(use_true_random=True).map(write_case)


@settings(max_examples=600)
@given(cases)
@example((EXPECTATIONS[0], written()))
@example((EXPECTATIONS[0], written(header='{"alg":"HS256","kid":null}')))
@example((EXPECTATIONS[2], with_claim("roles", "null")))
def test_nothing_that_pyjwt_rejects_is_accepted(case: tuple[Expectation, str]) -> None:
    """Whatever a signed token looks like: if PyJWT rejects it, it is refused."""
    expectation, token = case
    compare(token, expectation)


@settings(max_examples=150)
@given(cases)
def test_a_known_token_is_judged_like_a_new_one(case: tuple[Expectation, str]) -> None:
    """Reading a token a second time, with its header trusted and itself known, changes nothing."""
    expectation, token = case
    tokens = expectation.tokens()
    states = [tokens.verify(token, token, now=NOW) for _ in range(3)]
    assert len({(state.access_state, state.refresh_state) for state in states}) == 1
    assert states[0].refresh_state == "invalid"


def test_the_cases_are_worth_it() -> None:
    """Many of the cases are accepted by both, many refused by both, and most reasons come up."""
    seen = {compare(token, expectation) for expectation, token in map(write_case, _pens(1000))}
    assert len(seen & set(REASONS)) >= 8
    assert {"both accept", "both refuse"} <= seen


def _pens(count: int) -> Iterator[Random]:
    return (Random(number) for number in range(count))
