"""SIMPLE_JWT, read by us: every key is carried over, refused or named as meaning nothing."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from forging import OLD_SECRET
from keychain import key_for, pem, public_pem
from stepping import SECRET

from jwt_middleware import ConfigurationError, Settings, simplejwt
from jwt_middleware.settings import UnknownSettingWarning

UNTIL = datetime(2027, 1, 31, tzinfo=UTC)


def read(simple_jwt: dict[str, Any], **keywords: Any) -> Settings:
    given = {"secret_key": SECRET, "rotation_grace": 60, "environ": {}, **keywords}
    return Settings.from_simplejwt(simple_jwt, **given)


def faults_of(simple_jwt: dict[str, Any], **keywords: Any) -> tuple[str, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownSettingWarning)
        with pytest.raises(ConfigurationError) as caught:
            read(simple_jwt, **keywords)
    return caught.value.faults


def test_each_key_is_carried_over() -> None:
    """Under our names, with their values."""
    settings = read(
        {
            "ACCESS_TOKEN_LIFETIME": timedelta(minutes=10),
            "REFRESH_TOKEN_LIFETIME": timedelta(days=7),
            "ROTATE_REFRESH_TOKENS": True,
            "ALGORITHM": "HS384",
            "AUDIENCE": ["api", "web"],
            "ISSUER": "https://a.example",
            "LEEWAY": timedelta(seconds=5),
            "AUTH_HEADER_TYPES": ("JWT",),
            "AUTH_HEADER_NAME": "HTTP_X_ACCESS_TOKEN",
            "USER_ID_CLAIM": "uid",
        },
        secret_key=SECRET * 2,
    )
    assert settings.access_token_expires == 600
    assert settings.refresh_token_expires == 7 * 86_400
    assert settings.session_lifetime == 90 * 86_400
    assert settings.algorithm == "HS384"
    assert settings.audience == ("api", "web")
    assert settings.issuer == "https://a.example"
    assert settings.leeway == 5
    assert settings.header_type == "JWT"
    assert settings.header_name == "X-Access-Token"
    assert settings.identity_claim == "uid"
    assert settings.legacy_tokens is None


def test_what_is_left_out_is_as_it_was_there() -> None:
    """No token lives longer for the move, and none of theirs counts unasked."""
    settings = read({})
    assert settings.access_token_expires == 300
    assert settings.refresh_token_expires == settings.session_lifetime == 86_400
    assert settings.identity_claim == "user_id"
    assert settings.legacy_tokens is None


def test_keywords_win_and_the_environment_fills_up() -> None:
    """As with every other source."""
    environ = {"JWT_SECRET_KEY": SECRET, "JWT_LEEWAY": "9", "JWT_REQUIRED": "yes"}
    settings = Settings.from_simplejwt(
        {"LEEWAY": 5}, environ=environ, rotation_grace=60, identity_claim="sub"
    )
    assert settings.leeway == 5
    assert settings.required
    assert settings.identity_claim == "sub"


def test_old_tokens_have_the_terms_of_simple_jwt() -> None:
    """The key, the algorithm and the claims that it has used."""
    before = {"SIGNING_KEY": OLD_SECRET, "ISSUER": "a", "AUDIENCE": "b", "TOKEN_TYPE_CLAIM": "t"}
    legacy = read(before, until=UNTIL).legacy_tokens
    assert legacy is not None
    assert legacy.secret == OLD_SECRET.encode()
    assert (legacy.issuer, legacy.audience, legacy.identity_claim) == ("a", ("b",), "user_id")
    assert legacy.kind == ("t", "access")
    assert legacy.until == UNTIL.timestamp()
    key, new = key_for("ES256", 3), key_for("ES256", 4)
    pair = {"ALGORITHM": "ES256", "SIGNING_KEY": pem(key), "VERIFYING_KEY": public_pem(key)}
    with pytest.warns(UnknownSettingWarning, match="SIGNING_KEY: new tokens have a key"):
        legacy = read(pair, until=UNTIL, private_key=pem(new)).legacy_tokens
    assert legacy is not None
    assert legacy.secret is None
    assert legacy.algorithm == "ES256"


@pytest.mark.parametrize(
    ("simple_jwt", "fault"),
    [
        ({"JWK_URL": "https://a.example/jwks"}, "JWK_URL: has no counterpart"),
        ({"CHECK_REVOKE_TOKEN": True}, "CHECK_REVOKE_TOKEN: has no counterpart"),
        ({"USER_AUTHENTICATION_RULE": "a.b"}, "USER_AUTHENTICATION_RULE: has no counterpart"),
        ({"AUTH_TOKEN_CLASSES": ("a.SlidingToken",)}, "AUTH_TOKEN_CLASSES: has no counterpart"),
        ({"AUTH_TOKEN_CLASSES": "a"}, "AUTH_TOKEN_CLASSES: has no counterpart"),
        ({"TOKEN_TYPE_CLAIM": None}, "TOKEN_TYPE_CLAIM: without it"),
        ({"AUTH_HEADER_TYPES": ("Bearer", "JWT")}, "AUTH_HEADER_TYPES: is of type tuple"),
        ({"AUTH_HEADER_NAME": "X-Token"}, "AUTH_HEADER_NAME: is 'X-Token'; give a name like"),
        ({"ACCESS_TOKEN_LIFETIM": 5}, "ACCESS_TOKEN_LIFETIM: simplejwt has no such setting; did"),
        ({"Q": 5}, "Q: simplejwt has no such setting"),
        ({"LEEWAY": 301}, "leeway (from LEEWAY): is 301"),
        ({"ALGORITHM": "none"}, "algorithm (from ALGORITHM): is 'none'"),
        ({"ALGORITHM": "RS256"}, "private_key: RS256 signs with one"),
        ({"USER_ID_CLAIM": "exp"}, "identity_claim (from USER_ID_CLAIM): is 'exp'"),
    ],
    ids=str,
)
def test_what_would_weaken_the_site_is_refused(simple_jwt: dict[str, Any], fault: str) -> None:
    """With the key it stands under, and what to do instead."""
    assert any(one.startswith(fault) for one in faults_of(simple_jwt))


def test_all_faults_come_at_once() -> None:
    """Theirs and ours, in one start."""
    faults = faults_of({"JWK_URL": "x", "LEEWAY": -1, "TYPO": 1}, secret_key="short")
    assert [fault.split(":")[0].split()[0] for fault in faults] == [
        "TYPO",
        "JWK_URL",
        "leeway",
        "secret_key",
    ]


@pytest.mark.parametrize(
    ("simple_jwt", "fault"),
    [
        ({}, "SIGNING_KEY: is left out, so it was Django's SECRET_KEY"),
        ({"SIGNING_KEY": "short"}, "LegacyTokens: secret: HS256 needs at least 32 bytes"),
        ({"SIGNING_KEY": SECRET}, "secret_key: is that of legacy_tokens, too"),
        ({"ALGORITHM": "RS256", "SIGNING_KEY": "x"}, "LegacyTokens: its key: give one"),
    ],
    ids=("left out", "short", "ours", "no public key"),
)
def test_old_tokens_need_a_key_that_is_not_ours(simple_jwt: dict[str, Any], fault: str) -> None:
    """The secret of the old tokens is asked for, and never becomes that of the new ones."""  # S2
    assert any(one.startswith(fault) for one in faults_of(simple_jwt, until=UNTIL))


def test_keys_that_mean_nothing_here_are_named() -> None:
    """In one warning, which says why; keys at simplejwt's own values are no fault."""
    given = {
        "UPDATE_LAST_LOGIN": True,
        "JTI_CLAIM": "jti",
        "SIGNING_KEY": OLD_SECRET,
        "JWK_URL": "",
        "AUTH_TOKEN_CLASSES": ["rest_framework_simplejwt.tokens.AccessToken"],
        "AUTH_HEADER_TYPES": "Bearer",
    }
    with pytest.warns(UnknownSettingWarning) as caught:
        read(given)
    (warning,) = caught
    text = str(warning.message)
    assert warning.filename == __file__
    for name in ("UPDATE_LAST_LOGIN", "JTI_CLAIM", "SIGNING_KEY"):
        assert f"{name}: " in text
    assert "JWK_URL" not in text
    assert OLD_SECRET not in text


def test_every_key_has_one_place() -> None:
    """Nothing is both carried over and said to mean nothing."""
    tables = (simplejwt._CARRIED, simplejwt._CONVERTED, simplejwt._MEANINGLESS)
    names = [name for table in tables for name in table]
    assert len(names) == len(set(names))
    assert set(names) & set(simplejwt._REFUSED) == set()
    assert len(simplejwt.KNOWN) == 34
