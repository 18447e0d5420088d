"""Beside PyJWT, algorithm by algorithm: a bent signature or header is judged alike.

Each token is read by PyJWT with the public key and the one algorithm, and by `Tokens` of a
process that only verifies. Nothing PyJWT rejects is accepted; what PyJWT accepts and we do
not is a second spelling of one signature, and only that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from forging import CLAIMS, NOW, b64
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import get_default_algorithms
from jwt.utils import base64url_decode
from keychain import ALGORITHMS, FAMILIES, jwk, key_for, public_pem, sign
from test_jwk import ORDERS

from jwt_middleware import Settings
from jwt_middleware.tokens import Tokens

OPTIONS: Any = {"verify_exp": False, "verify_iat": False}


def reader(algorithm: str) -> Tokens:
    settings: Any = {"algorithm": algorithm, "public_keys": jwk(key_for(algorithm), kid="1")}
    return Tokens(Settings(**settings))


READERS = {algorithm: reader(algorithm) for algorithm in ALGORITHMS}
PUBLIC = {algorithm: public_pem(key_for(algorithm)) for algorithm in ALGORITHMS}


def ours(algorithm: str, token: str) -> bool:
    return READERS[algorithm].verify(token, None, now=NOW).access_state == "valid"


def theirs(algorithm: str, token: str) -> bool:
    try:
        jwt.decode(token, PUBLIC[algorithm], algorithms=[algorithm], options=OPTIONS)
    except jwt.InvalidTokenError:
        return False
    return True


def as_der(signature: bytes) -> bytes:
    half = len(signature) // 2
    r, s = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
    return encode_dss_signature(r, s)


def bend(signature: bytes, at: int, how: int) -> bytes:
    """A signature that is not quite the one that was made."""
    at %= len(signature)
    half = len(signature) // 2
    ways: list[Callable[[], bytes]] = [
        lambda: signature,
        lambda: signature[:at] + bytes([signature[at] ^ (1 << at % 8)]) + signature[at + 1 :],
        lambda: signature[:at],
        lambda: signature + bytes(at % 9),
        lambda: bytes(at % 9) + signature,
        lambda: signature[half:] + signature[:half],
        lambda: bytes(half) + signature[half:],
        lambda: signature[:half] + bytes(half),
        lambda: b"\xff" * len(signature),
        lambda: as_der(signature),
    ]
    return ways[how % len(ways)]()


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from([*ALGORITHMS, "HS256", "none", "es256", "EDDSA", "Ed25519"]),
        "kid": st.sampled_from(["1", "2", ""]),
        "typ": st.sampled_from(["JWT", "at+jwt"]),
    },
)


@settings(max_examples=150)
@given(HEADERS, st.integers(0, 300), st.integers(0, 9))
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_bent_tokens_are_judged_alike(
    algorithm: str, changes: dict[str, str], at: int, how: int
) -> None:
    """A signature and a header that may have been bent: if PyJWT rejects the token, it is
    refused, and if PyJWT accepts it under a kid of ours, it is accepted."""  # S1, S5, S7
    header = {"alg": algorithm, "kid": "1", "typ": "at+jwt", **changes}
    text = ".".join(b64(json.dumps(part).encode()) for part in (header, CLAIMS))
    signature = get_default_algorithms()[algorithm].sign(text.encode(), key_for(algorithm))
    token = f"{text}.{b64(bend(signature, at, how))}"
    assert ours(algorithm, token) == (theirs(algorithm, token) and header["kid"] == "1")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_other_algorithm_of_the_same_key(algorithm: str) -> None:
    """A good signature by another algorithm that the same key could make opens nothing."""  # S2
    same = [one for one in ALGORITHMS if FAMILIES[one] == FAMILIES[algorithm]]
    for other in same:
        token = sign(key_for(algorithm), CLAIMS, algorithm=other, kid="1")
        assert ours(algorithm, token) == theirs(algorithm, token) == (other == algorithm)


@pytest.mark.parametrize("algorithm", ORDERS)
def test_both_halves_of_an_ecdsa_signature_have_one_spelling(algorithm: str) -> None:
    """``s`` and the order less ``s`` are both good (RFC 7518 asks for neither); more is not."""
    size, order = ORDERS[algorithm]
    token = sign(key_for(algorithm), CLAIMS, kid="1")
    text, _, segment = token.rpartition(".")
    signature = base64url_decode(segment)
    s = int.from_bytes(signature[size:], "big")
    mirrored = signature[:size] + (order - s).to_bytes(size, "big")
    again = f"{text}.{b64(mirrored)}"
    assert ours(algorithm, again) == theirs(algorithm, again) is True
