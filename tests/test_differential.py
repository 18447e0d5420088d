"""Beside PyJWT and joserfc: nothing PyJWT rejects is accepted, and each refusal has a reason.

Hypothesis writes tokens, well-formed and not, and signs them *as they are written*, so that
a lenient reader would find the signature good. Each is read by the others and by
`Tokens.read_access`, at the same moment and with the same expectations.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest
from forging import NOW, STRANGE_SECRET, signed
from hypothesis import example, given, settings
from hypothesis import strategies as st
from odd_tokens import BODY, HEADER, TIMES, padded, with_claim, write_case, written
from verifiers import EXPECTATIONS, JOSERFC_REFUSES, REASONS, Expectation, compare, stopped_clocks


@pytest.fixture(autouse=True, scope="module")
def same_moment() -> Iterator[None]:
    """All verifiers look at the same clock."""
    with stopped_clocks():
        yield


# ── Each reason has a witness ────────────────────────────────────────────────────

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
    expected = "both refuse" if claim == "null" else "all accept"
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
def test_all_accept(token: str) -> None:
    """What is well made is accepted by both, with the same claims."""
    assert compare(token, EXPECTATIONS[0]) == "all accept"


# ── Tokens that nobody would write ───────────────────────────────────────────────

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


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (written(header='{"alg":"HS256","other":1}'), "a header member it does not know"),
        (written(header='{"alg":"HS256","jwk":1}'), "a jwk, x5c or the like of another type"),
        (written(header=f'{{"alg":"HS256","jku":"http://{"a" * 500}"}}'), "a header of more than"),
        (with_claim("iss", "[]"), "an iss that is no text, and not expected"),
    ],
)
def test_what_joserfc_alone_refuses(token: str, reason: str) -> None:
    """What joserfc refuses beyond PyJWT and us is listed, and each entry has a witness."""
    assert reason in compare(token, EXPECTATIONS[0])


CASES = int(os.environ.get("DIFFERENTIAL", "4000"))
"""``make differential`` asks for 100,000 and shows how they ended."""


def test_many_tokens(capsys: pytest.CaptureFixture[str]) -> None:
    """Of many odd tokens none is accepted that PyJWT rejects, and each refusal has a reason."""
    # S1, S11, S12, S15, S17, S18, S19
    ends = Counter(compare(token, expectation) for expectation, token in map(write_case, _pens()))
    assert ends.keys() >= {"all accept", "both refuse", *REASONS}
    assert len(ends) >= len(REASONS) + 2 + len(JOSERFC_REFUSES)
    if "DIFFERENTIAL" in os.environ:
        with capsys.disabled():
            sys.stdout.writelines(f"\n{count:>8}  {end}" for end, count in ends.most_common())


def _pens() -> Iterator[Random]:
    return (Random(number) for number in range(CASES))
