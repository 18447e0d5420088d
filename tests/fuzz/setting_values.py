"""Settings of any names and values, from the environment and from a mapping.

The first byte says which source; ``name=value`` lines follow, with a NUL between them. In a
mapping a value that is JSON is what the JSON says, so that types are wrong, too.
"""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace
from typing import Any

import jwt
from forging import NOW, SECRET, make_settings
from jwt.algorithms import HMACAlgorithm

from jwt_middleware.errors import ConfigurationError, TokenTooLarge
from jwt_middleware.settings import HASH_BYTES, Settings
from jwt_middleware.tokens import Tokens
from jwt_middleware.transport import Transport

ALONE = {"JWT_SECRET_KEY": SECRET}
PLAIN = make_settings()
SECRETS = (
    *("JWT_SECRET_KEY", "JWT_PREVIOUS_SECRET_KEYS"),
    *("JWT_ENCRYPTION_KEY", "JWT_PREVIOUS_ENCRYPTION_KEYS"),
)


def fuzz(data: bytes) -> None:
    """Read settings; fails for a foreign exception, for settings that are unsound, and for a
    message that quotes a secret."""
    source = data[0] if data else 0
    given = dict(_lines(data[1:].decode("utf-8", "surrogateescape")))
    if source & 1:
        given = {**ALONE, **given}  # most values are of interest only beside a good secret
    mapping = {name: _value(value) for name, value in given.items()} if source & 2 else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if source & 2:
                settings = Settings.from_mapping(mapping, environ={})
            else:
                settings = Settings.from_env(environ=given)
            again = replace(settings)
    except ConfigurationError as error:
        _quotes_no_secret(str(error), given)
        return
    assert again == settings, "settings do not accept their own values"
    _quotes_no_secret(repr(settings), given)
    _is_sound(settings)


def _lines(text: str) -> list[tuple[str, str]]:
    pairs = (line.partition("=")[::2] for line in text.split("\0"))
    # No path of a mutant's choosing is opened: a device may never end.
    return [(f"JWT_{name}", value) for name, value in pairs if not name.endswith("_FILE")]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _quotes_no_secret(text: str, given: dict[str, str]) -> None:
    """S53: what is wrong with a secret is told without the secret."""
    for name in SECRETS:
        elsewhere = "".join(f"{key}={value}" for key, value in given.items() if key != name)
        for secret in given.get(name, "").split("\n"):
            # A short one may be a word of the message, and one named elsewhere is no secret.
            if len(secret) > 8 and secret not in elsewhere:
                assert secret not in text, f"{name} is quoted"


def _is_sound(settings: Settings) -> None:
    """What holds for all settings that exist; a token made with them is good for all readers."""
    for key in settings.secret_keys:
        assert len(key) >= HASH_BYTES.get(settings.algorithm, 32)
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(key)  # refuses what looks like a public key
    assert 0 <= settings.leeway <= 300
    assert 0 < settings.access_token_expires < settings.refresh_token_expires
    assert settings.access_cookie != settings.refresh_cookie
    if not settings.secret_keys:
        return  # it issues nothing
    tokens, transport = Tokens(settings), Transport(settings)
    session = tokens.new_session("alice", {}, persistent=True, now=NOW)
    try:
        pair = tokens.pair(session, now=NOW)
    except TokenTooLarge:
        return
    for name, value in transport.clear() if transport.uses_cookies else ():
        assert re.fullmatch(r"[!-~]+", name), name
        assert re.fullmatch(r"[ -~]+", value), value
    if tokens.has_required_claims(tokens.members(session, generation=0, now=NOW)):
        assert tokens.verify(pair.access_token, None, now=NOW).access_state == "valid"
        assert Tokens(settings).verify(pair.access_token, None, now=NOW).access_state == "valid"
    if settings.encryption_key is not None:
        return  # PyJWT does not decrypt
    members = jwt.decode(
        pair.access_token,
        settings.secret_keys[0],
        algorithms=[settings.algorithm],
        audience=settings.audience or None,
        issuer=settings.issuer,
        options={"verify_exp": False, "verify_iat": False},
    )
    assert members[settings.identity_claim] == "alice"
