"""Keys: one algorithm each, found by their kid alone, and never shown."""

from __future__ import annotations

import hashlib
import hmac
from math import inf
from typing import Any

import jwt
import pytest
from forging import CLAIMS, NOW, OLD_SECRET, SECRET, make_tokens, refresh_secret
from hypothesis import given
from hypothesis import strategies as st
from keychain import jwk, key_for, public_pem

from jwt_middleware.errors import ConfigurationError
from jwt_middleware.jwk import read_keys
from jwt_middleware.keys import (
    REFRESH_ALGORITHM,
    Key,
    KeySet,
    KeySource,
    access_keys,
    derive,
    refresh_keys,
)

SECRETS = (SECRET.encode(), OLD_SECRET.encode())
LONG = b"x" * 64


@given(
    st.sampled_from(["HS256", "HS384", "HS512"]),
    st.binary(min_size=64, max_size=200),
    st.lists(st.binary(max_size=200), max_size=4),
)
def test_a_prepared_secret_is_the_secret(
    algorithm: str, secret: bytes, messages: list[bytes]
) -> None:
    """Whatever was signed before, a signature is the plain HMAC of its message alone."""
    key = access_keys([secret], algorithm).signing
    for message in messages:
        plain = hmac.digest(secret, message, f"sha{algorithm[2:]}")
        assert key.sign(message) == plain
        assert key.verify(message, plain)
        assert not key.verify(message + b"x", plain)


def test_access_keys_are_the_secrets() -> None:
    """Any JWT library with the secret verifies the access tokens we sign."""
    tokens = make_tokens()
    token = tokens.sign_access(CLAIMS)
    options: Any = {"verify_exp": False, "verify_iat": False}
    assert jwt.decode(token, SECRET, algorithms=["HS256"], options=options) == CLAIMS


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_key_verifies_what_it_signs(algorithm: str) -> None:
    """A signature is the HMAC of the algorithm's hash, and nothing else verifies."""  # S2
    key = access_keys([LONG], algorithm).signing
    signature = key.sign(b"input")
    assert signature == hmac.digest(LONG, b"input", f"sha{algorithm[2:]}")
    assert key.verify(b"input", signature)
    assert not key.verify(b"inpuT", signature)
    for other in (b"", signature[:-1], signature + b"\0", bytes(len(signature))):
        assert not key.verify(b"input", other)


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signature is compared by the comparison that takes the same time for all."""  # S8
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return real(one, other)

    key = access_keys(SECRETS, "HS256").signing
    monkeypatch.setattr("hmac.compare_digest", compare)
    assert not key.verify(b"input", b"wrong")
    assert len(compared) == 1


def test_the_first_key_signs() -> None:
    """The newest secret signs, and all of them can be found."""  # S10
    keys = access_keys(SECRETS, "HS256")
    assert keys.signing is keys.keys[0]
    assert keys.signing.sign(b"x") == hmac.digest(SECRETS[0], b"x", "sha256")
    assert [keys.find(key.kid, "HS256") for key in keys.keys] == list(keys.keys)


@pytest.mark.parametrize(
    "algorithm",
    [
        *("hs256", "HS384", "HS512", "none", "None", "NONE", "", "HS256 ", "RS256"),
        *(None, 0, True, ["HS256"], {"HS256": 1}),
    ],
    ids=repr,
)
def test_the_algorithm_is_exact(algorithm: object) -> None:
    """A key serves its one algorithm, spelled exactly."""  # S1, S2
    keys = access_keys(SECRETS, "HS256")
    assert keys.find(None, algorithm) is None
    assert keys.find(keys.signing.kid, algorithm) is None


def test_the_kid_is_exact() -> None:
    """A kid is looked up as it is: no case folding, no trimming, no prefix."""  # S5
    keys = access_keys(SECRETS, "HS256")
    kid = keys.keys[1].kid
    assert keys.find(kid, "HS256") is keys.keys[1]
    for other in ("", kid.swapcase(), kid + " ", kid[:-1], f"../{kid}", "0", "nobody"):
        assert keys.find(other, "HS256") is None


def test_without_kid_only_the_first_key_is_tried() -> None:
    """A token without kid gets the first key and no other."""  # S5
    keys = access_keys(SECRETS, "HS256")
    assert keys.find(None, "HS256") is keys.keys[0]


def test_each_key_has_a_kid_of_its_own() -> None:
    """Kids differ by secret and by purpose, and are the same in every process."""  # S5
    kids = [key.kid for keys in (access_keys, _refresh) for key in keys(SECRETS, "HS256").keys]
    assert len(set(kids)) == 4
    assert kids == ["CAtKezjM", "u5iOoHvu", "R6vP75I4", "kMhJ4x2C"]


def _refresh(secrets: tuple[bytes, ...], _algorithm: str) -> KeySet:
    return refresh_keys(secrets)


def test_refresh_keys_are_derived() -> None:
    """Refresh tokens are signed by a key derived for this one purpose, with HS256 always."""  # S19
    key = refresh_keys(SECRETS).signing
    assert key.algorithm == REFRESH_ALGORITHM == "HS256"
    signature = hmac.digest(refresh_secret(), b"x", hashlib.sha256)
    assert key.sign(b"x") == signature
    access = access_keys(SECRETS, "HS256").signing
    assert not access.verify(b"x", signature)
    assert not key.verify(b"x", access.sign(b"x"))


def test_purposes_are_apart() -> None:
    """Each purpose and each secret derives 32 bytes of its own."""
    derived = {derive(secret, purpose) for secret in SECRETS for purpose in ("a", "b", "a b")}
    assert len(derived) == 6
    assert {len(one) for one in derived} == {32}
    assert not derived.intersection(SECRETS)


def test_no_key_shows_its_secret() -> None:
    """Neither a key's repr nor that of a set of them holds the secret."""  # S53
    keys = access_keys(SECRETS, "HS256")
    shown = repr(keys) + repr(keys.keys) + str(keys.signing)
    assert keys.signing.kid in shown
    for secret in SECRETS:
        assert secret.decode() not in shown
        assert secret.hex() not in shown


def test_keys_cannot_be_changed() -> None:
    """A key is what it was made as."""
    key = access_keys(SECRETS, "HS256").signing
    with pytest.raises(AttributeError):
        key.algorithm = "none"  # pyright: ignore[reportAttributeAccessIssue]
    assert isinstance(key, Key)


def test_now_is_not_asked() -> None:
    """Signing the same claims twice gives the same token: no clock and no chance in it."""
    assert make_tokens().sign_access({"exp": NOW}) == make_tokens().sign_access({"exp": NOW})


# ── Sets, whatever their keys ────────────────────────────────────────────────────


def test_one_kid_can_be_two_keys_of_different_algorithms() -> None:
    """What is looked up is the kid and the algorithm, together."""  # S2, S5
    one = read_keys(jwk(key_for("ES256"), kid="same"))[0]
    other = read_keys(jwk(key_for("RS256"), kid="same"))[0]
    keys = KeySet([one, other])
    assert keys.find("same", "ES256") is one
    assert keys.find("same", "RS256") is other
    assert keys.find("same", "PS256") is None
    assert keys.find(None, "RS256") is other


def test_a_set_that_only_verifies_says_so() -> None:
    """Asked for its signing key, it tells what is missing."""
    for keys in (KeySet([]), KeySet(read_keys(public_pem(key_for("ES256"))))):
        with pytest.raises(ConfigurationError, match="only verifies tokens"):
            _ = keys.signing


def test_a_fixed_set_never_asks_to_be_refreshed() -> None:
    """It is a source of keys that is never due and never stale."""
    keys: KeySource = access_keys(SECRETS, "HS256")
    assert (keys.version, keys.due) == (0, inf)
    assert not keys.stale("unknown", NOW)
    keys.refresh("unknown", NOW)
    keys.refresh_ahead(NOW)
    assert keys.version == 0
