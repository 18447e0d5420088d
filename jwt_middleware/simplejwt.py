"""The settings of djangorestframework-simplejwt, key by key: what each is here, or why not.

A key is carried over, or refused, as leaving it out would weaken the site, or noted, as it has
no meaning here. What is left out has the value it had there: no lifetime grows by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

from . import setting_kinds as kinds
from .errors import ConfigurationError
from .legacy import LegacyTokens
from .setting_kinds import Unfit

_CARRIED: Mapping[str, tuple[str, object]] = {
    "ACCESS_TOKEN_LIFETIME": ("access_token_expires", timedelta(minutes=5)),
    "REFRESH_TOKEN_LIFETIME": ("refresh_token_expires", timedelta(days=1)),
    "ALGORITHM": ("algorithm", "HS256"),
    "AUDIENCE": ("audience", None),
    "ISSUER": ("issuer", None),
    "LEEWAY": ("leeway", 0),
    "USER_ID_CLAIM": ("identity_claim", "user_id"),
}
"""Keys that mean the same under another name, with the value simplejwt gives them."""

_CONVERTED = ("AUTH_HEADER_TYPES", "AUTH_HEADER_NAME", "ROTATE_REFRESH_TOKENS")
_OLD_TOKENS = ("SIGNING_KEY", "VERIFYING_KEY", "TOKEN_TYPE_CLAIM")

_REFUSED: Mapping[str, tuple[object, str]] = {
    "JWK_URL": (None, "give keyword issuers=[Issuer(url, jwks_url=...)], and leave it out"),
    "CHECK_REVOKE_TOKEN": (
        False,
        "a new password ends sessions by auth.revoke_subject(user_id); call that, and leave it out",
    ),
    "USER_AUTHENTICATION_RULE": (
        "rest_framework_simplejwt.authentication.default_user_authentication_rule",
        "who may go on is said by load_claims, which answers None; write that, and leave it out",
    ),
    "AUTH_TOKEN_CLASSES": (
        ("rest_framework_simplejwt.tokens.AccessToken",),
        "only access tokens open the app: sliding tokens and classes of your own do not",
    ),
}
"""Keys without which the site would be less safe than it was, unless they are as simplejwt has
them; and what to do instead."""

_MEANINGLESS: Mapping[str, str] = {
    "BLACKLIST_AFTER_ROTATION": "a refresh token that was replaced is always noticed",
    "UPDATE_LAST_LOGIN": "the view that calls login() can do it",
    "JSON_ENCODER": "claims are JSON when login() is given them",
    "USER_ID_FIELD": "login() is given the user's id as text",
    "CHECK_USER_IS_ACTIVE": "load_claims says at each reissue who may go on",
    "REVOKE_TOKEN_CLAIM": "no token holds a hash of a password",
    "JTI_CLAIM": "it is always jti",
    "TOKEN_USER_CLASS": "request.user is Django's own user",
    "SLIDING_TOKEN_LIFETIME": "no token is sliding",
    "SLIDING_TOKEN_REFRESH_LIFETIME": "no token is sliding",
    "SLIDING_TOKEN_REFRESH_EXP_CLAIM": "no token is sliding",
    **dict.fromkeys(
        (
            *("TOKEN_OBTAIN_SERIALIZER", "TOKEN_REFRESH_SERIALIZER", "TOKEN_VERIFY_SERIALIZER"),
            *("TOKEN_BLACKLIST_SERIALIZER", "SLIDING_TOKEN_OBTAIN_SERIALIZER"),
            "SLIDING_TOKEN_REFRESH_SERIALIZER",
        ),
        "a view of yours signs people in, and nobody has to refresh",
    ),
}

KNOWN = frozenset((*_CARRIED, *_CONVERTED, *_OLD_TOKENS, *_REFUSED, *_MEANINGLESS))
"""Every key of simplejwt 5.5."""


class Moved(NamedTuple):
    """What became of somebody's ``SIMPLE_JWT``."""

    settings: dict[str, tuple[object, str]]
    """Our settings: the value, and the key it was written under."""
    faults: list[str]
    notes: list[str]
    """Keys that were given and mean nothing here, and why."""


def moved(simple_jwt: Mapping[str, Any], until: datetime | None) -> Moved:
    """Each key of ``SIMPLE_JWT``, carried over, refused or noted."""
    faults = [_unknown(name) for name in simple_jwt if name not in KNOWN]
    faults += [
        f"{name}: has no counterpart: {instead}"
        for name, (harmless, instead) in _REFUSED.items()
        if not _is(simple_jwt.get(name, harmless), harmless)
    ]
    if not simple_jwt.get("TOKEN_TYPE_CLAIM", "token_type"):
        faults.append(
            "TOKEN_TYPE_CLAIM: without it nothing tells refresh from access tokens; leave it "
            "out, give no until, and let people sign in again"
        )
    notes = [f"{name}: {why}" for name, why in _MEANINGLESS.items() if name in simple_jwt]
    notes += [
        f"{name}: new tokens have a key of their own; with until=... it verifies the old ones, "
        "if it is the one that can"
        for name in ("SIGNING_KEY", "VERIFYING_KEY")
        if simple_jwt.get(name) and (until is None or name != _verifier(simple_jwt))
    ]
    settings = {
        ours: (simple_jwt.get(name, default), name) for name, (ours, default) in _CARRIED.items()
    }
    if not simple_jwt.get("ROTATE_REFRESH_TOKENS", False):
        # There a session ended with its first refresh token, and nothing moved that.
        settings["session_lifetime"] = settings["refresh_token_expires"]
    for name, ours, read in (
        ("AUTH_HEADER_TYPES", "header_type", _scheme),
        ("AUTH_HEADER_NAME", "header_name", _field),
    ):
        if name in simple_jwt:
            try:
                settings[ours] = (read(simple_jwt[name]), name)
            except Unfit as unfit:
                faults.append(f"{name}: {unfit}")
    if until is not None and not faults:
        try:
            settings["legacy_tokens"] = (_old_tokens(simple_jwt, until), "SIMPLE_JWT")
        except ConfigurationError as error:
            faults += error.faults
    return Moved(settings, faults, notes)


def _is(value: object, harmless: object) -> bool:
    if isinstance(harmless, tuple):
        return isinstance(value, list | tuple) and tuple(cast("list[object]", value)) == harmless
    return value == harmless or (not value and not harmless)


def _unknown(name: str) -> str:
    import difflib  # only for whoever made a mistake

    near = difflib.get_close_matches(name, sorted(KNOWN), n=1)
    return f"{name}: simplejwt has no such setting" + (f"; did you mean {near[0]}?" if near else "")


def _scheme(value: object) -> object:
    """The one scheme; whether it is one is judged as ``header_type``."""
    if not isinstance(value, list | tuple):
        return value
    listed = cast("list[object]", value)
    if len(listed) != 1:
        raise Unfit(f"is {kinds.shown(listed)}; one scheme is read, so give the one in use")
    return listed[0]


def _field(value: object) -> str:
    """As Django's ``META`` writes a header, as everybody else does."""
    if isinstance(value, str) and value.startswith("HTTP_"):
        return value.removeprefix("HTTP_").replace("_", "-").title()
    raise Unfit(f'is {kinds.shown(value)}; give a name like "HTTP_AUTHORIZATION"')


def _verifier(simple_jwt: Mapping[str, Any]) -> str:
    """The key under which its tokens are verified."""
    by_secret = str(simple_jwt.get("ALGORITHM", "HS256")).startswith("HS")
    return "SIGNING_KEY" if by_secret else "VERIFYING_KEY"


def _old_tokens(simple_jwt: Mapping[str, Any], until: datetime) -> LegacyTokens:
    """The terms of the tokens it has issued. Raises `ConfigurationError`."""
    verifier = _verifier(simple_jwt)
    if verifier == "SIGNING_KEY" and verifier not in simple_jwt:
        raise ConfigurationError(
            "SIGNING_KEY: is left out, so it was Django's SECRET_KEY; say so: "
            'from_simplejwt({**SIMPLE_JWT, "SIGNING_KEY": SECRET_KEY}, until=...)'
        )
    key: Any = simple_jwt.get(verifier)
    return LegacyTokens.simplejwt(
        until=until,
        type_claim=simple_jwt.get("TOKEN_TYPE_CLAIM", "token_type"),
        secret=key if verifier == "SIGNING_KEY" else None,
        public_key=key if verifier == "VERIFYING_KEY" else (),
        algorithm=simple_jwt.get("ALGORITHM", "HS256"),
        audience=simple_jwt.get("AUDIENCE"),
        issuer=simple_jwt.get("ISSUER"),
        identity_claim=simple_jwt.get("USER_ID_CLAIM", "user_id"),
    )
