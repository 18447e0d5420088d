"""Mutants that a byte at a time would hardly become: claims set, dropped, doubled or retyped."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TypeAlias

from encrypting import our_header
from odd_tokens import CLAIM_MEMBERS, FOR_US, HEADER_MEMBERS, USUAL_HEADER, write_object

OUTER_HEADER = {name: f'"{value}"' for name, value in our_header().items()}
OUTER_MEMBERS = {
    "alg": '"dir" "A256KW" "RSA-OAEP" "PBES2-HS256+A128KW" "none" "HS256" ["dir"]'.split(),
    "enc": '"A256GCM" "A128GCM" "A128CBC-HS256" "none" null'.split(),
    "kid": [OUTER_HEADER["kid"], '""', "1"],
    "cty": ['"JWT"', '"jwt"', '"JSON"'],
    "zip": ['"DEF"'],
    "crit": ['["exp"]', "[]"],
    "p2c": ["1e9"],
    "epk": ["{}"],
    "typ": ['"JWT"'],
}
"""Of an encrypted token; unlike ours in one or two members, mostly."""

Bytewise: TypeAlias = Callable[[bytes, int], bytes]
"""libFuzzer's own mutation: an input, and the most bytes it may become."""

OURS = {
    **FOR_US,
    "sid": '"s"',
    "gen": "1",
    "jti": '"x"',
    "ses": '{"claims":{},"persistent":true,"created_at":1,"absolute_expires_at":2e9,'
    '"refresh_salt":"x"}',
}
MEMBERS = {**CLAIM_MEMBERS, "gen": ["0", "1", "-1"], "ses": ["{}", OURS["ses"]], "user_id": ["7"]}
MEMBERS |= {name: [] for name in "typ token_use nonce at_hash events auth_time".split()}


def mutate_token(bytewise: Bytewise, data: bytes, limit: int, seed: int) -> bytes:
    """One half or both of a token written anew, or, every other time, some bytes changed."""
    pen = Random(seed)
    if pen.random() < 0.5 or len(data) < 3:
        return bytewise(data, limit)
    header, _, payload = data[2:].partition(b"\0")
    if pen.random() < 0.4:
        algorithm = pen.choice(['"HS256"', '"HS256"', '"EdDSA"'])
        header = write_object(pen, HEADER_MEMBERS, {**USUAL_HEADER, "alg": algorithm})
    if pen.random() < 0.8:
        usual = pen.choice([FOR_US, OURS, {**FOR_US, "iss": '"https://other.example"'}])
        payload = write_object(pen, MEMBERS, usual)
    return (data[:2] + header + b"\0" + payload)[:limit]


def mutate_nested(bytewise: Bytewise, data: bytes, limit: int, seed: int) -> bytes:
    """The same for what is inside an encrypted token, or for its outer header."""
    pen = Random(seed)
    if pen.random() < 0.3 or len(data) < 4:
        return bytewise(data, limit)
    outer, _, inner = data[3:].partition(b"\0")
    if pen.random() < 0.4:
        outer = write_object(pen, OUTER_MEMBERS, OUTER_HEADER)
    if pen.random() < 0.7:
        inner = mutate_token(bytewise, data[:2] + inner, limit, seed)[2:]
    return (data[:3] + outer + b"\0" + inner)[:limit]


MUTATORS = {"tokens": mutate_token, "nested": mutate_nested}
"""By target; the others are mutated by libFuzzer alone."""
