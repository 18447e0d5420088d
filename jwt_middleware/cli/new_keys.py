"""New secrets and keys, of the kinds the middleware signs and encrypts with."""

from __future__ import annotations

import json
import secrets
from typing import Any, TypeAlias

Jwk: TypeAlias = dict[str, Any]

SECRETS = {"secret": 48, "encryption": 32}
"""Random bytes, in text as base64url: enough for each HS algorithm; exactly those of A256GCM."""

ALGORITHMS = ("EdDSA", "ES256", "RS256", "PS256")

RSA_BITS = 3072
"""128 bits of strength, as the other kinds have (NIST SP 800-57 part 1, table 2)."""


def new_secret(kind: str) -> str:
    """One of `SECRETS`, as text."""
    return secrets.token_urlsafe(SECRETS[kind])


class NewKey:
    """A private key for one of `ALGORITHMS`, made now. Raises `ConfigurationError` where
    ``cryptography`` is missing."""

    def __init__(self, algorithm: str) -> None:
        from ..jwk import read_keys  # a plug; with it comes what names the package to install

        self._key: Any = _generated(algorithm)
        (self._known,) = read_keys(self.pem(), [algorithm])

    def pem(self) -> str:
        """The private key in PEM (PKCS #8), unencrypted."""
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        written: bytes = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return written.decode()

    def public_pem(self) -> str:
        """The public half in PEM."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        written: bytes = self._key.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        return written.decode()

    def jwk(self) -> Jwk:
        """The private key as a JWK, named by its thumbprint (RFC 7517, RFC 7638)."""
        members = json.loads(self._known_primitive().to_jwk(self._key))
        members.pop("key_ops", None)  # `use` says it already (RFC 7517 section 4.3)
        return {**members, **self.public_jwk()}

    def public_jwk(self) -> Jwk:
        """The public half, as the middleware publishes it."""
        return dict(self._known.public or {})

    def _known_primitive(self) -> Any:
        from jwt.algorithms import get_default_algorithms

        return get_default_algorithms()[self._known.algorithm]


def _generated(algorithm: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, RSA_BITS)
