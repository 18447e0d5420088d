"""May they? What a place asks of the claims of whoever is signed in, as pure predicates.

    ADMINS = Requirement(roles={"admin"})
    REPORTS = Requirement(scopes={"reports:read"})
    PAYMENT = Requirement(max_age=300)  # signed in at most five minutes ago

One vocabulary for path rules, for the helpers of each framework and for code of your own. It
knows neither requests nor responses: it says what is missing, and `refusals` says it to the
client, with RFC 6750 section 3.1 (not enough privileges) and RFC 9470 section 3 (signed in too
long ago).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from math import isfinite
from typing import Any, Literal, TypeAlias, cast

from .errors import ConfigurationError
from .jws import is_array, is_object
from .setting_kinds import Unfit, duration, shown

Unmet: TypeAlias = Literal[
    "insufficient_role", "insufficient_scope", "insufficient_user_authentication"
]
"""Why somebody who is signed in may not go on."""

CLOCK_SKEW = 60.0
"""Seconds that ``nbf``, ``iat`` and ``auth_time`` may lie ahead: small skew between nodes, or of an
issuer's clock, must not refuse fresh tokens."""

_SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")
"""``scope-token`` of RFC 6749 section 3.3: it can be quoted in a header as it is."""


@dataclass(frozen=True, slots=True, init=False)
class Requirement:
    """What the claims must show; all of it together. An empty one asks only for a sign-in.

    roles, scopes_any:
        At least one of these.
    roles_all, scopes:
        Every one of these. Scopes are all needed unless said otherwise, as everywhere in OAuth.
    max_age:
        The sign-in itself (``auth_time``, not its last token) is at most this old: seconds, a
        timedelta, or text like ``"5m"``.

    Raises `ConfigurationError`, so that a mistake is found when the app starts.
    """

    roles: frozenset[str]
    roles_all: frozenset[str]
    scopes: frozenset[str]
    scopes_any: frozenset[str]
    max_age: float | None

    def __init__(
        self,
        *,
        roles: Collection[str] = (),
        roles_all: Collection[str] = (),
        scopes: Collection[str] = (),
        scopes_any: Collection[str] = (),
        max_age: float | timedelta | str | None = None,
    ) -> None:
        give = object.__setattr__  # the way into a frozen dataclass
        give(self, "roles", _names("roles", roles))
        give(self, "roles_all", _names("roles_all", roles_all))
        give(self, "scopes", _scopes("scopes", scopes))
        give(self, "scopes_any", _scopes("scopes_any", scopes_any))
        give(self, "max_age", None if max_age is None else _age(max_age))

    def unmet(
        self,
        claims: Mapping[str, Any],
        now: float,
        *,
        roles_claim: str = "roles",
        scopes_claim: str = "scope",
    ) -> Unmet | None:
        """What these claims do not show at ``now`` (seconds since the epoch); None: all is met.

        What a new sign-in cannot mend comes first: nobody is asked for a password in vain.
        """
        if self.roles or self.roles_all:
            held = {*roles_in(claims, roles_claim)}
            if not self.roles_all <= held or (self.roles and self.roles.isdisjoint(held)):
                return "insufficient_role"
        if self.scopes or self.scopes_any:
            held = {*scopes_in(claims, scopes_claim)}
            if not self.scopes <= held or (self.scopes_any and self.scopes_any.isdisjoint(held)):
                return "insufficient_scope"
        if self.max_age is not None and not _is_recent(claims.get("auth_time"), self.max_age, now):
            return "insufficient_user_authentication"
        return None


# ── What claims say ──────────────────────────────────────────────────────────────────


def roles_in(claims: Mapping[str, Any], name: str) -> list[str]:
    """The roles in a claim: a list of them, or one as text (it may hold blanks)."""
    found = _claim(claims, name)
    return [found] if isinstance(found, str) else _texts(found)


def scopes_in(claims: Mapping[str, Any], name: str) -> list[str]:
    """The scopes in a claim: text with blanks between them (RFC 8693 section 4.2), or a list."""
    found = _claim(claims, name)
    if not found and name == "scope":
        found = claims.get("scopes")  # a spelling so common that nobody should have to configure it
    return found.split() if isinstance(found, str) else _texts(found)


def _claim(claims: Mapping[str, Any], name: str) -> object:
    """The claim of that name or, where there is none, what the dots in it lead to.

    ``https://app.example/roles`` is one name; ``realm_access.roles`` is a member of an object.
    """
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        if found is not claims and not is_object(found):
            return None
        found = cast(Mapping[str, object], found).get(part)
    return found


def _texts(found: object) -> list[str]:
    """What is text in a list; anything else is nothing, as another issuer may send it."""
    return [item for item in found if isinstance(item, str)] if is_array(found) else []


def _is_recent(auth_time: object, max_age: float, now: float) -> bool:
    if not isinstance(auth_time, int | float) or isinstance(auth_time, bool):
        return False
    return isfinite(auth_time) and now - max_age <= auth_time <= now + CLOCK_SKEW


# ── What a requirement is made of ────────────────────────────────────────────────────


def _names(what: str, given: object) -> frozenset[str]:
    if isinstance(given, str) or not isinstance(given, Collection):
        raise ConfigurationError(
            f'{what}: is {shown(given)}; give a set or list of names: {what}={{"admin"}}'
        )
    names: set[str] = set()
    for name in cast(Collection[object], given):
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"{what}: {shown(name)} is no name; give text, not empty")
        names.add(name)
    return frozenset(names)


def _scopes(what: str, given: object) -> frozenset[str]:
    names = _names(what, given)
    for name in sorted(names):
        if not _SCOPE.fullmatch(name):
            raise ConfigurationError(
                f"{what}: {shown(name)} is no scope (RFC 6749 section 3.3): one word of ASCII "
                "without quotes or backslashes; several scopes are several members"
            )
    return names


def _age(given: object) -> float:
    try:
        return duration()(given)
    except Unfit as unfit:
        raise ConfigurationError(f"max_age: {unfit}") from None
