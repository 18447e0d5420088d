"""`LegacyTokens`: access tokens of the package an app used before, until they have expired.

Such packages put access and refresh tokens under one key and one header, and tell them apart by
a claim. Here that claim is part of the terms: a token counts only with the one value that access
tokens have (RFC 8725 section 3.11). It has no session of ours, and nothing replaces it: whoever
holds one is signed in until it expires, and no longer than ``until``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict, Unpack

from . import setting_kinds as kinds
from .errors import ConfigurationError
from .issuers import MapClaims, claims_function
from .key_files import Keys, KeyText, key_texts, public_keys
from .keys import ASYMMETRIC, HASH_BYTES, KeySet, access_keys
from .setting_kinds import Unfit

_ALGORITHMS = (*HASH_BYTES, *ASYMMETRIC)


class LegacyTerms(TypedDict, total=False):
    """What `LegacyTokens` takes from every package; each is explained there."""

    secret: str | bytes | None
    public_key: Keys
    algorithm: str
    audience: Sequence[str] | str | None
    issuer: str | None
    identity_claim: str
    claims: MapClaims | None


@dataclass(frozen=True, init=False)
class LegacyTokens:
    """Access tokens that another package has issued to this app's users.

    Use the constructor named after the package: `flask_jwt_extended`, `simplejwt`, `authx` or
    `fastapi_users`.

    kind:
        The claim that tells its access tokens from its others, and its value there, exactly.
    until:
        From this moment on none counts: an aware datetime. The last issue plus the life of an
        access token is late enough.
    secret, public_key:
        What verifies them; one of the two, by ``algorithm``. It is never one of our own keys.
    algorithm:
        The one they were signed by; ``"HS256"`` unless given.
    audience, issuer:
        What their ``aud`` and ``iss`` must say, where the package was told to write them.
    identity_claim:
        The claim that names the user. The app finds it as our own ``identity_claim``.
    claims:
        A function from verified claims to those the app sees. What it raises refuses the token.

    Raises `ConfigurationError` with every fault found.
    """

    kind: tuple[str, object]
    until: float
    secret: bytes | None = field(repr=False)
    public_key: tuple[KeyText, ...]
    algorithm: str
    audience: tuple[str, ...]
    issuer: str | None
    identity_claim: str
    claims: MapClaims | None = field(repr=False)

    def __init__(
        self, *, kind: tuple[str, object], until: datetime, **terms: Unpack[LegacyTerms]
    ) -> None:
        object.__setattr__(self, "kind", kind)
        given: dict[str, tuple[kinds.Kind[object], object]] = {
            "until": (_moment, until),
            "secret": (_secret, terms.get("secret")),
            "public_key": (key_texts, terms.get("public_key")),
            "algorithm": (kinds.one_of(_ALGORITHMS), terms.get("algorithm", "HS256")),
            "audience": (kinds.one_or_several(kinds.text), terms.get("audience")),
            "issuer": (kinds.optional(kinds.text), terms.get("issuer")),
            "identity_claim": (kinds.text, terms.get("identity_claim", "sub")),
            "claims": (claims_function, terms.get("claims")),
        }
        faults = [f"{name}: there is no such term" for name in terms if name not in given]
        for name, (read, value) in given.items():
            try:
                object.__setattr__(self, name, read(value))
            except Unfit as unfit:
                faults.append(f"{name}: {unfit}")
        if not faults:
            try:
                self.keys()
            except Unfit as unfit:
                faults.append(str(unfit))
        if faults:
            raise ConfigurationError([f"LegacyTokens: {fault}" for fault in faults])

    @classmethod
    def flask_jwt_extended(cls, *, until: datetime, **terms: Unpack[LegacyTerms]) -> LegacyTokens:
        """Those of flask-jwt-extended, whose ``type`` is ``"access"``."""
        return cls(kind=("type", "access"), until=until, **terms)

    @classmethod
    def authx(cls, *, until: datetime, **terms: Unpack[LegacyTerms]) -> LegacyTokens:
        """Those of AuthX, whose ``type`` is ``"access"``."""
        return cls(kind=("type", "access"), until=until, **terms)

    @classmethod
    def simplejwt(
        cls, *, until: datetime, type_claim: str = "token_type", **terms: Unpack[LegacyTerms]
    ) -> LegacyTokens:
        """Those of djangorestframework-simplejwt, whose ``token_type`` is ``"access"``.

        ``type_claim`` is its ``TOKEN_TYPE_CLAIM``. Sliding tokens are none of them.
        """
        terms.setdefault("identity_claim", "user_id")
        return cls(kind=(type_claim, "access"), until=until, **terms)

    @classmethod
    def fastapi_users(cls, *, until: datetime, **terms: Unpack[LegacyTerms]) -> LegacyTokens:
        """Those of fastapi-users, which have no type: its tokens are told apart by ``aud``.

        ``audience`` is the whole ``token_audience`` of the ``JWTStrategy``, if it was given one.
        """
        audience = terms.setdefault("audience", ("fastapi-users:auth",))
        whole = [audience] if isinstance(audience, str) else list(audience or ())
        return cls(kind=("aud", whole), until=until, **terms)

    def wrote(self, header: Mapping[str, Any], members: Mapping[str, Any]) -> bool:
        """Whether a token says that it is one of these; its signature is still to be verified.

        Its header is as PyJWT writes it: no ``kid``, which all tokens of ours have.
        """
        name, value = self.kind
        return dict(header) == {"alg": self.algorithm, "typ": "JWT"} and (
            name in members and members[name] == value
        )

    def keys(self) -> KeySet:
        """The one key that verifies them. Raises `Unfit`."""
        if (self.secret is None) == (not self.public_key):
            raise Unfit("its key: give one of secret and public_key")
        if self.secret is not None:
            least = HASH_BYTES.get(self.algorithm)
            if least is None:
                raise Unfit(f"secret: {self.algorithm} verifies by a public_key; give that")
            if len(self.secret) < least:
                raise Unfit(
                    f"secret: {self.algorithm} needs at least {least} bytes (RFC 7518 section "
                    f"3.2), not {len(self.secret)}: such tokens can be forged, so leave "
                    "legacy_tokens out and let people sign in again"
                )
            return access_keys((self.secret,), self.algorithm)
        if self.algorithm in HASH_BYTES:
            raise Unfit(f"public_key: {self.algorithm} verifies by a secret; set algorithm")
        try:
            return KeySet(public_keys(self.public_key, (self.algorithm,)))
        except Unfit as unfit:
            raise Unfit(f"public_key: {unfit}") from None


def _moment(value: object) -> float:
    if isinstance(value, datetime) and value.utcoffset() is not None:
        return value.timestamp()
    raise Unfit(
        f"is {kinds.shown(value)}; give the moment after which no old token counts, as a datetime "
        "with a time zone: datetime(2027, 1, 31, tzinfo=UTC)"
    )


def _secret(value: object) -> bytes | None:
    return None if value is None else kinds.secret(value)
