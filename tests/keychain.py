"""Asymmetric keys to test with, made once a run, and tokens signed by them.

Tokens are written by hand and signed by PyJWT's algorithms, not by the package: what it reads
is judged against another pen.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from forging import b64
from jwt.algorithms import get_default_algorithms

FAMILIES = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
    "EdDSA": "Ed25519",
}
ALGORITHMS = tuple(FAMILIES)


@cache
def private_key(family: str, number: int = 0) -> Any:
    """A new key of this kind; the same one for the same number."""
    match family:
        case "RSA":
            return rsa.generate_private_key(65537, 2048)
        case "P-256":
            return ec.generate_private_key(ec.SECP256R1())
        case "P-384":
            return ec.generate_private_key(ec.SECP384R1())
        case "P-521":
            return ec.generate_private_key(ec.SECP521R1())
        case "Ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            return ed448.Ed448PrivateKey.generate()


def key_for(algorithm: str, number: int = 0) -> Any:
    return private_key(FAMILIES[algorithm], number)


def pem(key: Any) -> str:
    """A private key as ``openssl genpkey`` writes it."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def public_pem(key: Any) -> str:
    """The public half as ``openssl pkey -pubout`` writes it."""
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def jwk(key: Any, *, private: bool = False, **members: Any) -> dict[str, Any]:
    """A key as a JWK, without ``alg`` and ``kid`` unless given."""
    algorithm = get_default_algorithms()[_any_algorithm(key)]
    written: Any = algorithm.to_jwk(key if private else key.public_key(), as_dict=True)
    written.pop("key_ops", None)
    return {**written, **members}


def jwk_set(*jwks: dict[str, Any]) -> str:
    return json.dumps({"keys": jwks})


def sign(
    key: Any,
    claims: dict[str, Any],
    *,
    algorithm: str | None = None,
    kid: str | None = None,
    typ: str | None = "at+jwt",
    **header: Any,
) -> str:
    """A token with a good signature, whatever it says; ``typ=None`` leaves it out."""
    alg = algorithm or _any_algorithm(key)
    names = {"alg": alg, "kid": kid, "typ": typ}
    head = {**header, **{name: value for name, value in names.items() if value is not None}}
    text = ".".join(b64(json.dumps(part).encode()) for part in (head, claims))
    return f"{text}.{b64(get_default_algorithms()[alg].sign(text.encode(), key))}"


def _any_algorithm(key: Any) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256"
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}[key.curve.name]
    return "EdDSA"
