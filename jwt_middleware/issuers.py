"""`Issuer`: somebody else whose tokens open the app, and on what terms.

An issuer is known by its URL, character by character, and each key belongs to one issuer
(RFC 8725 section 3.8): whoever holds the keys of one can never speak for another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from . import setting_kinds as kinds
from .errors import ConfigurationError
from .key_files import Keys, KeyText, key_texts, public_keys
from .keys import ASYMMETRIC, KeySource
from .setting_kinds import Unfit

MapClaims: TypeAlias = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Is given the verified claims of a token; answers what the app shall see instead."""

ACCESS_TYPE = "at+jwt"
UNTYPED = frozenset(("jwt", ""))
"""``typ`` values that an issuer's ID tokens may have as well ("" for a header without one)."""

NEVER = frozenset(("rt+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt"))
"""``typ`` values of tokens that are made for something else."""


@dataclass(frozen=True, init=False)
class Issuer:
    """An issuer whose access tokens are accepted (OIDC provider, auth server).

    url:
        Its ``iss``, exactly as it stands in its tokens.
    audience:
        ``aud`` values that mean us; a token must have one of them.
    jwks_url, public_keys, keys:
        Where its keys are; one of the three at most. A URL of its JWK Set (https), the keys
        themselves, or an object that keeps them (a `jwt_middleware.keys.KeySource`). With none
        of them the URL is looked up in the issuer's configuration, by its ``url`` (OpenID
        Connect Discovery 1.0 section 4, RFC 8414).
    algorithms:
        Those its keys may be for; all asymmetric ones unless given.
    token_types:
        Header types (``typ``) it may send: access tokens of RFC 9068 unless given. ``"JWT"``
        admits providers that send that, ``""`` those that send none; their ID tokens stay out.
    claims:
        A function from verified claims to those the app sees. What it raises refuses the token.

    Raises `ConfigurationError` with every fault found.
    """

    url: str
    audience: tuple[str, ...]
    jwks_url: str | None
    public_keys: tuple[KeyText, ...]
    keys: KeySource | None = field(repr=False, compare=False)
    algorithms: tuple[str, ...]
    token_types: tuple[str, ...]
    claims: MapClaims | None = field(repr=False)

    def __init__(
        self,
        url: str,
        *,
        audience: Sequence[str] | str | None = None,
        jwks_url: str | None = None,
        public_keys: Keys = (),
        keys: KeySource | None = None,
        algorithms: Sequence[str] | str = ASYMMETRIC,
        token_types: Sequence[str] | str = (ACCESS_TYPE,),
        claims: MapClaims | None = None,
    ) -> None:
        faults: list[str] = []
        given: dict[str, tuple[kinds.Kind[object], object]] = {
            "url": (kinds.text, url),
            "audience": (kinds.one_or_several(kinds.text), audience),
            "jwks_url": (kinds.optional(kinds.key_url), jwks_url),
            "public_keys": (key_texts, public_keys),
            "keys": (_key_source, keys),
            "algorithms": (kinds.some_of(ASYMMETRIC, least=1), algorithms),
            "token_types": (_token_types, token_types),
            "claims": (claims_function, claims),
        }
        for name, (kind, value) in given.items():
            try:
                object.__setattr__(self, name, kind(value))
            except Unfit as unfit:
                faults.append(f"{name}: {unfit}")
        if not faults:
            faults.extend(self._contradictions())
        if faults:
            shown = kinds.shown(url)
            raise ConfigurationError([f"Issuer({shown}): {fault}" for fault in faults])

    @property
    def asks(self) -> str | None:
        """Whom to ask for its keys: its ``jwks_url``, or else its ``url``; None: nobody."""
        if self.public_keys or self.keys is not None:
            return None
        return self.jwks_url or self.url

    def _contradictions(self) -> list[str]:
        sources = (self.jwks_url is not None, bool(self.public_keys), self.keys is not None)
        faults: list[str] = []
        if sum(sources) > 1:
            faults.append("its keys: give one of jwks_url, public_keys and keys")
        if not any(sources):
            try:
                discoverable(self.url)
            except Unfit as unfit:
                faults.append(f"url: {unfit}")
        if UNTYPED.intersection(self.token_types) and not (self.audience or self.claims):
            faults.append(
                'token_types: an ID token may be of type "JWT", too, and is told apart by its '
                "audience; set audience to your API's, or give claims a function that looks"
            )
        try:
            public_keys(self.public_keys, self.algorithms)
        except Unfit as unfit:
            faults.append(f"public_keys: {unfit}")
        return faults


def discoverable(url: str) -> str:
    """An issuer whose configuration can be asked for: no query either (OpenID Connect Discovery
    1.0 section 2, RFC 8414 section 2). Raises `Unfit`."""
    try:
        fitting = kinds.key_url(url)
    except Unfit:
        fitting = "?"
    if "?" in fitting:
        raise Unfit(
            'its keys would be looked up there, and it is no URL that begins with "https://", '
            "without query and fragment; say where the keys are"
        )
    return fitting


def header_type(typ: str) -> str:
    """A ``typ`` as it is compared: media types have no case, and may leave out their first
    part (RFC 7515 section 4.1.9)."""
    return typ.lower().removeprefix("application/")


def _token_types(value: object) -> tuple[str, ...]:
    listed: object = [value] if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or not listed:
        raise Unfit(f"is {kinds.shown(value)}; give a list of typ values")
    types: list[str] = []
    for item in cast("Sequence[object]", listed):
        typ = header_type(item) if isinstance(item, str) else None
        if typ is None or (typ and not typ.isprintable()):
            raise Unfit(f"holds {kinds.shown(item)}; a typ is text")
        if typ in NEVER:
            raise Unfit(f"holds {kinds.shown(item)}, a token that is made for something else")
        types.append(typ)
    return tuple(dict.fromkeys(types))


def _key_source(value: object) -> KeySource | None:
    if value is None or callable(getattr(value, "find", None)):
        return cast("KeySource | None", value)
    raise Unfit(f"is of type {type(value).__name__}; give an object with the verbs of a KeySource")


def claims_function(value: object) -> MapClaims | None:
    """A kind of setting: a function of claims, or None."""
    if value is None or callable(value):
        return cast("MapClaims | None", value)
    raise Unfit(f"is of type {type(value).__name__}; give a function")
