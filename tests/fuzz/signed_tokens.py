"""Tokens whose parts are anything at all: signed after that, badly signed, or not signed.

The first byte says how the parts become a token, the second which configuration reads it;
header and payload follow, with a NUL between them. Since they are signed *after* they were
mutated, the parser behind the signature is reached.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from zlib import crc32

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from forging import NOW, OLD_SECRET, SECRET, STRANGE_SECRET, b64, make_settings, refresh_secret
from forging import signed as sign
from keychain import pem, public_pem
from verifiers import AUDIENCE, EXPECTATIONS, ISSUER, LEEWAY, SETTINGS, compare

from jwt_middleware.issuers import Issuer
from jwt_middleware.memory import Bounded
from jwt_middleware.settings import Settings
from jwt_middleware.tokens import Tokens, Verified

OURS, THEIRS, OTHERS = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))
"""Keys that are the same in each run: our own, and those of two issuers."""

OTHER_ISSUER = "https://other.example"
ISSUERS = [
    Issuer(ISSUER, audience=AUDIENCE, public_keys=[public_pem(THEIRS)], token_types=["JWT", ""]),
    Issuer(OTHER_ISSUER, public_keys=[public_pem(OTHERS)], claims=lambda claims: claims),
]


class Signer(NamedTuple):
    """Who may have signed an access token that is accepted."""

    key: Any
    algorithm: str = "HS256"
    issuer: str | None = None


NEW, OLD = Signer(SECRET.encode()), Signer(OLD_SECRET.encode())
ABROAD = [
    Signer(THEIRS.public_key(), "EdDSA", ISSUER),
    Signer(OTHERS.public_key(), "EdDSA", OTHER_ISSUER),
]

READERS: list[tuple[Settings, list[Signer]]] = [
    *((SETTINGS[expectation], [NEW]) for expectation in EXPECTATIONS),
    (make_settings(session_store="none"), [NEW]),
    (
        make_settings(previous_secret_keys=[OLD_SECRET], audience=AUDIENCE, issuer=ISSUER),
        [NEW, OLD],
    ),
    (make_settings(identity_claim="user_id", leeway=LEEWAY, max_token_length=600), [NEW]),
    (
        make_settings(algorithm="EdDSA", private_key=pem(OURS)),
        [Signer(OURS.public_key(), "EdDSA")],
    ),
    (make_settings(issuers=ISSUERS), [NEW, *ABROAD]),
]
TOKENS = [Tokens(settings) for settings, _ in READERS]

REFRESH_SIGNERS = [Signer(refresh_secret()), Signer(refresh_secret(OLD_SECRET))]


def write(mode: int, header: bytes, payload: bytes) -> str:
    """The two parts as one token."""
    encoded = f"{b64(header)}.{b64(payload)}"
    raw = f"{header.decode('latin-1')}.{payload.decode('latin-1')}"
    match mode % 14:
        case 0 | 1 | 2:
            return sign(encoded)
        case 3:
            return sign(encoded, secret=OLD_SECRET)
        case 4:
            return sign(encoded, secret=refresh_secret())
        case 5:
            return sign(raw)  # the base64 itself is odd
        case 6:
            return sign(raw, secret=refresh_secret())
        case 7:
            return sign(encoded, secret=STRANGE_SECRET)
        case 8:
            return f"{encoded}."
        case 10 | 11 | 12:
            key = (OURS, THEIRS, OTHERS)[mode % 14 - 10]
            return f"{encoded}.{b64(key.sign(encoded.encode()))}"
        case 13:
            return sign(encoded, secret=public_pem(THEIRS))  # CVE-2022-29217
        case _:
            return raw  # whatever it is: dots may stand anywhere in it


def fuzz(data: bytes) -> None:
    """Read the token, PyJWT's clock being stopped; fails for a foreign exception, and for a
    verdict that the reference does not share."""
    mode, reader, rest = (data[0], data[1], data[2:]) if len(data) > 1 else (0, 0, b"")
    header, _, payload = rest.partition(b"\0")
    token = write(mode, header, payload)
    number = reader % len(READERS)
    tokens = TOKENS[number]
    tokens.verified = Bounded(4)
    for trust in (tokens._trusted._own, *tokens._trusted._others.values()):
        trust._headers.clear()
    new = tokens.verify(token, token, now=NOW)
    known = tokens.verify(token, token, now=NOW)  # its header trusted, itself remembered
    assert told(new) == told(known), f"{token} is judged otherwise the second time"
    assert new.access is None or new.refresh is None, f"{token} is of both kinds"
    if new.access is not None:
        claims = authentic(token, READERS[number][1])
        assert dict(new.access.claims) == claims, f"{token} is shown as {new.access.claims}"
    if new.refresh is not None:
        claims = authentic(token, REFRESH_SIGNERS)
        assert new.refresh.subject == claims["sub"]
        assert new.refresh.session_id == claims["sid"]
    # PyJWT is slow: of what is refused, one in sixteen is shown to it.
    shown = new.access_state == "valid" or crc32(data) % 16 == 0
    if shown and number < len(EXPECTATIONS):
        compare(token, EXPECTATIONS[number])


def told(found: Verified) -> Any:
    subject = None if found.access is None else found.access.subject
    return found.access_state, subject, found.refresh_state, found.refresh


def authentic(token: str, signers: list[Signer]) -> dict[str, Any]:
    """The claims as PyJWT reads them with one of the keys; fails if none of them signed it."""
    for key, algorithm, issuer in signers:
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=issuer,
                options={f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud")},  # pyright: ignore[reportArgumentType]
            )
        except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
            continue
    raise AssertionError(f"{token} is accepted, and nobody we trust has signed it")
