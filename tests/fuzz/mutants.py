"""Mutants that a byte at a time would hardly become: claims set, dropped, doubled or retyped."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TypeAlias

from odd_tokens import CLAIM_MEMBERS, FOR_US, HEADER_MEMBERS, USUAL_HEADER, write_object

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


MUTATORS = {"tokens": mutate_token}
"""By target; the others are mutated by libFuzzer alone."""
