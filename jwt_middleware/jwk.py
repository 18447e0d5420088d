"""Keys, read from PEM (RFC 7468), JWK and JWK Sets (RFC 7517, RFC 7518 section 6, RFC 8037).

Whatever form a key comes in, it ends as a `Key`: bound to one algorithm, with a ``kid``, and
prepared, since parsing an RSA key at each signature would cost a thousand times the
signature's check. A key has its ``kid`` from the JWK, else its thumbprint (RFC 7638), so that
everybody who reads the same key finds it under the same name.

`read_keys` is for one's own configuration, where every key must be usable. `read_set` is for
what an issuer publishes, where a key that is of no use here is passed over (RFC 7517
section 5). No error or log line holds anything of a key.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, TypeAlias, cast

from .errors import ConfigurationError, InvalidToken
from .jws import decode_segment, encode_segment, is_array, is_object, read_object
from .keys import ASYMMETRIC, Key, make_a_key
from .setting_kinds import Unfit

try:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import (
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )
    from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey, Ed448PublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
    from cryptography.hazmat.primitives.serialization import (
        load_pem_private_key,
        load_pem_public_key,
    )
    from jwt.algorithms import (
        ECAlgorithm,
        OKPAlgorithm,
        RSAAlgorithm,
        get_default_algorithms,
    )
except ImportError as _missing:
    raise ConfigurationError(
        "asymmetric keys need the package cryptography: "
        'pip install "jwt-session-middleware[crypto]"'
    ) from _missing

from jwt.exceptions import PyJWTError

_logger = logging.getLogger("jwt_middleware")

PrivateKey: TypeAlias = (
    RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey | Ed448PrivateKey
)

RSA_BITS = range(2048, 16_385)
"""RFC 7518 section 3.3 asks for 2048 bits; beyond 16384 a single check is an attack."""

RSA_EXPONENT_BITS = 64
"""A longer public exponent has no use but to make each check slow."""


class UnusableKey(Unfit):
    """Not a key that could verify tokens. Its text completes the sentence "<where>: …"."""


class _Family(NamedTuple):
    """Keys of one kind and curve: what they sign by, and what their signatures look like."""

    algorithms: tuple[str, ...]
    well_formed: Callable[[bytes], bool] | None
    """None: the length is all there is to see, and OpenSSL sees it."""


def _ecdsa(octets: int, order: int) -> Callable[[bytes], bool]:
    """``r || s``, each of ``octets`` bytes, above 0 and below the curve's order (RFC 7518
    section 3.4, FIPS 186-5 section 6.4.2)."""

    def well_formed(signature: bytes) -> bool:
        if len(signature) != 2 * octets:
            return False
        r, s = signature[:octets], signature[octets:]
        return all(0 < int.from_bytes(half, "big") < order for half in (r, s))

    return well_formed


def _eddsa(octets: int, order: int) -> Callable[[bytes], bool]:
    """``R || S``, each of ``octets`` bytes, S below the group's order: else one signature
    would have several spellings (RFC 8032 sections 5.1.7 and 5.2.7)."""

    def well_formed(signature: bytes) -> bool:
        return len(signature) == 2 * octets and int.from_bytes(signature[octets:], "little") < order

    return well_formed


_FAMILIES: Mapping[str, _Family] = {
    "RSA": _Family(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), None),
    "P-256": _Family(
        ("ES256",),
        _ecdsa(32, 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551),
    ),
    "P-384": _Family(
        ("ES384",),
        _ecdsa(48, (1 << 384) - 0x389CB27E0BC8D220A7E5F24DB74F58851313E695333AD68D),
    ),
    "P-521": _Family(
        ("ES512",),
        _ecdsa(
            66, (1 << 521) - 0x5AE79787C40D069948033FEB708F65A2FC44A36477663B851449048E16EC79BF7
        ),
    ),
    "Ed25519": _Family(("EdDSA",), _eddsa(32, (1 << 252) + 0x14DEF9DEA2F79CD65812631A5CF5D3ED)),
    "Ed448": _Family(
        ("EdDSA",),
        _eddsa(57, (1 << 446) - 0x8335DC163BB124B65129C96FDE933D8D723A70AADC873D6D54A7BB0D),
    ),
}
"""By ``crv`` (RFC 7518 section 6.2.1.1, RFC 8037 section 2), or "RSA"."""

_REQUIRED = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}
"""The members that make a public key of each kind (RFC 7638 section 3.2, RFC 8037 section 2)."""

_PRIVATE_MEMBERS = frozenset("d p q dp dq qi oth k".split())


# ── From a configuration, or from an issuer ──────────────────────────────────────


def read_keys(
    content: str | bytes | Mapping[str, Any], algorithms: Sequence[str] = ASYMMETRIC
) -> tuple[Key, ...]:
    """All keys of a document: PEM blocks, a JWK or a JWK Set, as text, bytes or a mapping.

    ``algorithms``: those a key may be for; one that fits several is for the first of them.
    Raises `UnusableKey` if one of the keys cannot be used, or there is none.
    """
    if isinstance(content, str):
        content = content.encode("utf-8", "replace")
    if isinstance(content, bytes):
        content = content.removeprefix(b"\xef\xbb\xbf").strip()
        if not content.startswith(b"{"):
            return tuple(_read_pem(content, algorithms))
        content = _object(content)
    if "keys" not in content:
        return (read_jwk(content, algorithms),)
    keys = tuple(read_jwk(member, algorithms) for member in _members_of(content))
    if not keys:
        raise UnusableKey("is a JWK Set without a key")
    if len({(key.kid, key.algorithm) for key in keys}) < len(keys):
        raise UnusableKey("has two keys of one kid; give each its own, or leave kid out")
    return keys


def read_set(
    content: str | bytes | Mapping[str, Any], algorithms: Sequence[str] = ASYMMETRIC
) -> tuple[Key, ...]:
    """The keys of a published JWK Set that can verify tokens here; never one that can sign.

    What is for other uses or algorithms, too weak or malformed is passed over, so that an
    issuer can add keys of new kinds. A key that is published with its private members has no
    secret any more: it is not used either. Of two keys with the same ``kid`` and algorithm the
    first counts. Raises `UnusableKey` if this is no JWK Set at all.
    """
    if isinstance(content, str):
        content = content.encode("utf-8", "replace")
    document = _object(content) if isinstance(content, bytes) else content
    keys: dict[tuple[str, str], Key] = {}
    for member in _members_of(document):
        if is_object(member) and member.get("kty") != "oct" and _PRIVATE_MEMBERS & member.keys():
            _logger.warning("a published JWK Set holds a private key, which is not used")
            continue
        try:
            key = read_jwk(member, algorithms)
        except UnusableKey as unusable:
            _logger.debug("a key of a published JWK Set is passed over: it %s", unusable)
        else:
            keys.setdefault((key.kid, key.algorithm), key)
    return tuple(keys.values())


def _object(content: bytes) -> dict[str, Any]:
    try:
        return read_object(content, "the key")
    except InvalidToken:
        raise UnusableKey("is not a JSON object in UTF-8") from None


def _members_of(document: Mapping[str, Any]) -> list[Any]:
    """RFC 7517 section 5.1."""
    members: Any = document.get("keys")
    if not is_array(members):
        raise UnusableKey('is no JWK Set: its "keys" must be a list')
    return members


# ── JWK ──────────────────────────────────────────────────────────────────────────


def read_jwk(jwk: object, algorithms: Sequence[str] = ASYMMETRIC) -> Key:
    """One JWK, with its private half if it has one. Raises `UnusableKey`."""
    if not isinstance(jwk, Mapping):
        raise UnusableKey("is no JWK: a key must be a JSON object")
    members = cast("Mapping[str, Any]", jwk)
    kty = members.get("kty")
    if kty == "oct":
        raise UnusableKey("is a symmetric JWK (kty oct); a secret belongs into secret_key")
    if not isinstance(kty, str) or kty not in _REQUIRED:
        raise UnusableKey('is a JWK of an unknown kind: kty must be "RSA", "EC" or "OKP"')
    _check_purpose(members)
    for name in (*_REQUIRED[kty], *_PRIVATE_MEMBERS & members.keys()):
        if name not in ("kty", "crv", "oth"):
            _check_octets(members, name)
    try:
        material = _MAKE[kty](dict(members))
    except _FAULTS:
        raise UnusableKey(f"is a JWK ({kty}) whose members make no key") from None
    kid, alg = members.get("kid"), members.get("alg")
    if kid is not None and (not isinstance(kid, str) or not kid):
        raise UnusableKey("is a JWK whose kid is not text")
    return _bound(material, algorithms, kid=kid, alg=alg)


def _made_of_okp(jwk: dict[str, Any]) -> Any:
    """PyJWT before 2.15 makes a private key of ``d`` alone, whatever ``x`` says."""
    made: Any = OKPAlgorithm.from_jwk(jwk)
    public = made.public_key() if "d" in jwk else made
    if encode_segment(public.public_bytes_raw()) != jwk["x"]:
        raise ValueError("x is not of d")
    return made


_MAKE: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "RSA": RSAAlgorithm.from_jwk,
    "EC": ECAlgorithm.from_jwk,
    "OKP": _made_of_okp,
}

_FAULTS = (PyJWTError, ValueError, TypeError, ArithmeticError, UnsupportedAlgorithm)
"""What PyJWT and cryptography raise for material that makes no key."""


def _check_purpose(jwk: Mapping[str, Any]) -> None:
    """RFC 7517 sections 4.2 and 4.3: a key for something else is not for this."""
    if jwk.get("use", "sig") != "sig":
        raise UnusableKey('is a JWK for another use: use must be "sig", or left out')
    operations: Any = jwk.get("key_ops", ["verify"])
    if not is_array(operations) or not {"sign", "verify"} & {*map(str, operations)}:
        raise UnusableKey('is a JWK for other operations: key_ops must have "verify" or "sign"')


def _check_octets(jwk: Mapping[str, Any], name: str) -> None:
    """A member in canonical unpadded base64url (RFC 7518 section 2)."""
    value = jwk.get(name)
    try:
        if not isinstance(value, str) or not _BASE64URL(value):
            raise UnusableKey(f"is a JWK whose {name} is missing, or is no base64url text")
        decode_segment(value)
    except InvalidToken:
        raise UnusableKey(f"is a JWK whose {name} is no canonical base64url") from None


_BASE64URL = re.compile(r"[A-Za-z0-9_-]+", re.ASCII).fullmatch


def thumbprint(public: Mapping[str, str]) -> str:
    """The SHA-256 thumbprint of a public JWK, in base64url (RFC 7638)."""
    members = {name: public[name] for name in _REQUIRED[public["kty"]]}
    text = json.dumps(members, separators=(",", ":"), sort_keys=True)
    return encode_segment(sha256(text.encode()).digest())


# ── PEM ──────────────────────────────────────────────────────────────────────────

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_PRIVATE_LABELS = {b"PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY"}
_PUBLIC_LABELS = {b"PUBLIC KEY", b"RSA PUBLIC KEY"}
_WHAT_TO_DO = {
    b"CERTIFICATE": "is a certificate; give its public key: openssl x509 -in FILE -pubkey -noout",
    b"ENCRYPTED PRIVATE KEY": "is an encrypted private key; give it without a passphrase: "
    "openssl pkey -in FILE",
    b"OPENSSH PRIVATE KEY": "is an SSH key; make one for tokens: {make}",
}


def _read_pem(content: bytes, algorithms: Sequence[str]) -> Iterator[Key]:
    """Every block; text around them is a comment (RFC 7468 section 5.2)."""
    # In a variable of the environment, line breaks are often written as two characters.
    content = content.replace(b"\\n", b"\n")
    # "EC PARAMETERS" is what openssl writes in front of an EC key; the key has them, too.
    blocks = [block for block in _BLOCK.finditer(content) if block[1] != b"EC PARAMETERS"]
    if not blocks:
        raise UnusableKey(
            'is no key: give PEM text ("-----BEGIN …"), a JWK or a JWK Set, or the path of a '
            "file that holds one as a pathlib.Path"
        )
    for block in blocks:
        if block[1] in _WHAT_TO_DO:
            raise UnusableKey(_WHAT_TO_DO[block[1]].format(make=make_a_key(algorithms[0])))
        yield _bound(_load(block[1], block[0]), algorithms)


def _load(label: bytes, block: bytes) -> Any:
    if label not in _PRIVATE_LABELS | _PUBLIC_LABELS:
        raise UnusableKey("holds a PEM block that is neither a private nor a public key")
    try:
        if label in _PRIVATE_LABELS:
            return load_pem_private_key(block, password=None)
        return load_pem_public_key(block)
    except _FAULTS:
        raise UnusableKey("is PEM, but no key that can be read (cut off, or encrypted?)") from None


# ── Both ─────────────────────────────────────────────────────────────────────────


def _bound(
    material: Any, algorithms: Sequence[str], *, kid: str | None = None, alg: object = None
) -> Key:
    """The key, for the one algorithm it will ever be used with (S2)."""
    private: PrivateKey | None = material if isinstance(material, PrivateKey) else None
    public: Any = material if private is None else private.public_key()
    members = _public_members(public)
    family = _FAMILIES.get(members.get("crv", "RSA"))
    if family is None:
        raise UnusableKey(f"is on the curve {members['crv']}, which no algorithm here uses")
    algorithm = _algorithm(family, algorithms, alg)
    kid = kid or thumbprint(members)
    primitive = get_default_algorithms()[algorithm]
    published = {**members, "use": "sig", "alg": algorithm, "kid": kid}
    return Key(kid, algorithm, public, primitive, private, published, family.well_formed)


def _public_members(public: object) -> dict[str, str]:
    """The members of RFC 7638. Raises `UnusableKey` for what is too weak or too strange."""
    jwk: Mapping[str, Any]
    try:
        if isinstance(public, RSAPublicKey):
            _check_rsa(public)
            jwk = RSAAlgorithm.to_jwk(public, as_dict=True)
        elif isinstance(public, EllipticCurvePublicKey):
            jwk = ECAlgorithm.to_jwk(public, as_dict=True)
        elif isinstance(public, Ed25519PublicKey | Ed448PublicKey):
            jwk = OKPAlgorithm.to_jwk(public, as_dict=True)
        else:
            raise UnusableKey("is a key of a kind that signs no tokens; use RSA, EC or Ed25519")
    except PyJWTError:
        raise UnusableKey("is on a curve which no algorithm here uses; use P-256") from None
    return {name: jwk[name] for name in _REQUIRED[jwk["kty"]]}


def _check_rsa(public: RSAPublicKey) -> None:
    if public.key_size not in RSA_BITS:
        raise UnusableKey(
            f"is an RSA key of {public.key_size} bits; it must have {RSA_BITS[0]} to "
            f"{RSA_BITS[-1]} (RFC 7518 section 3.3)"
        )
    if public.public_numbers().e.bit_length() > RSA_EXPONENT_BITS:
        raise UnusableKey("is an RSA key with a huge public exponent; use 65537")


def _algorithm(family: _Family, algorithms: Iterable[str], alg: object) -> str:
    """What the JWK says it is for, else the first that it fits."""
    fitting = [one for one in algorithms if one in family.algorithms]
    if alg is not None and alg not in family.algorithms:
        raise UnusableKey("is a JWK whose alg does not fit its kind of key")
    if alg is not None:
        fitting = [one for one in fitting if one == alg]
    if not fitting:
        kinds = ", ".join(family.algorithms)
        raise UnusableKey(f"is a key for {alg or kinds}, which is not among those expected")
    return fitting[0]
