"""Settings: every source, every refusal at start-up, and that no secret is ever shown."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import random
import shlex
import subprocess
import sys
import typing
import warnings
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError
from keychain import key_for, public_pem

from jwt_middleware import setting_kinds as kinds
from jwt_middleware import settings as settings_module
from jwt_middleware.errors import ConfigurationError
from jwt_middleware.issuers import Issuer
from jwt_middleware.key_files import MAX_KEY_FILE
from jwt_middleware.settings import (
    RiskyTimesWarning,
    Settings,
    SettingsKeywords,
    UnknownSettingWarning,
)
from jwt_middleware.stores.memory import MemorySessionStore

SECRET = "f3Kq-7Tn0vW_x8LbR2zYc5Hd9JmP4sGa"  # 32 bytes, as HS256 asks
OTHER = "Qw8-eR5tZ_u1IoP6aS9dF3gH7jK2lY4x"
ENCRYPTION_KEY = "q7Jw2nD0cT5xYvB8kLrZ1mGhS4pEaU6oWiFtC9XsNyA"  # 32 bytes
DAY = 86_400
NOTHING: Mapping[str, str] = {}
FIELDS = {field.name: field for field in dataclasses.fields(Settings)}


def make(**settings: Any) -> Settings:
    """Settings with a good secret, of values that type checkers might object to."""
    keywords: dict[str, Any] = {"secret_key": SECRET, **settings}
    return Settings(**keywords)


def faults_of(**settings: Any) -> tuple[str, ...]:
    """The faults of settings that are good but for these."""
    made = attempt(make, **settings)
    assert isinstance(made, ConfigurationError)
    return made.faults


def the_fault_of(**settings: Any) -> str:
    (fault,) = faults_of(**settings)
    return fault


def env_faults(**environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env(environ={"JWT_SECRET_KEY": SECRET, **environ})
    return caught.value.faults


def attempt(maker: Callable[..., Settings], **given: Any) -> Settings | ConfigurationError:
    """Settings, or why there are none; whether their times are risky does not matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RiskyTimesWarning)
        try:
            return maker(**given)
        except ConfigurationError as error:
            return error


# ── The fields ───────────────────────────────────────────────────────────────────


def test_keywords_mirror_the_fields() -> None:
    """Every field can be given as a typed keyword, and nothing else can."""
    assert list(typing.get_type_hints(SettingsKeywords)) == list(FIELDS)


def test_every_field_has_one_line_of_help() -> None:
    """The documentation can be made from the fields alone."""
    for field in FIELDS.values():
        assert field.metadata["help"].endswith("."), field.name
        assert "\n" not in field.metadata["help"], field.name


@pytest.mark.parametrize("name", FIELDS)
def test_defaults_are_values_their_kind_would_return(name: str) -> None:
    """A default is already normalised, so it may be used without being read."""
    default = FIELDS[name].default
    normalised = FIELDS[name].metadata["kind"](default)
    assert normalised == default
    assert type(normalised) is type(default)


def test_only_the_secret_key_has_to_be_given() -> None:
    """One keyword makes working settings with the documented defaults."""
    settings = Settings(secret_key=SECRET)
    assert settings.secret_key == SECRET.encode()
    assert settings.algorithm == "HS256"
    assert settings.token_location == ("headers", "cookies")
    assert settings.access_token_expires == 900
    assert settings.lost_response_window is None
    assert settings.session_store == "sqlite:///jwt-sessions.sqlite3"


def test_settings_cannot_be_changed_in_place() -> None:
    """What was checked together stays as it was checked."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().leeway = 10  # type: ignore[misc]


def test_a_copy_with_a_change_is_checked_like_any_other() -> None:
    """``dataclasses.replace`` takes the same path as a new object."""
    settings = make(
        previous_secret_keys=[OTHER], audience="a, b", access_token_expires=timedelta(hours=1)
    )
    assert dataclasses.replace(settings) == settings
    assert dataclasses.replace(settings, leeway=5).leeway == 5
    with pytest.raises(ConfigurationError, match="leeway"):
        dataclasses.replace(settings, leeway=301)


def test_secrets_are_not_in_the_representation() -> None:
    """Settings can be printed and logged."""  # S53
    shown = repr(make(previous_secret_keys=[OTHER], session_store="sqlite:///hidden.db"))
    assert SECRET not in shown
    assert OTHER not in shown
    assert "hidden" not in shown
    assert "algorithm='HS256'" in shown


def test_all_faults_are_reported_at_once_in_order() -> None:
    """Whoever mends the configuration needs one start, not one a fault."""
    with pytest.raises(ConfigurationError) as caught:
        Settings(leeway=-1, cookie_samesite="None", cookie_secure=False, hedaer_name="X")  # type: ignore[call-arg]
    assert [fault.partition(":")[0] for fault in caught.value.faults] == [
        "hedaer_name",
        "leeway",
        "secret_key",
        "cookie_samesite",
    ]


def test_a_contradiction_is_not_judged_on_a_broken_value() -> None:
    """A wrong value has one fault, not also those its default would have."""
    assert the_fault_of(access_token_expires=60 * DAY, refresh_token_expires="soon") == (
        "refresh_token_expires: is 'soon'; give seconds as a number, a timedelta, or a string "
        'like "900", "15m", "12h" or "30d"'
    )


class Watched:
    """Settings that note which of them are looked at."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.seen: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name in FIELDS:
            self.seen.add(name)
            return getattr(self._settings, name)
        return getattr(Settings, name).__get__(self)


@pytest.mark.parametrize(
    "settings",
    [
        make(),
        make(cookie_secure=False, cookie_domain="a.example", csrf="off", required=True),
        make(token_location="headers", session_store="none"),
        make(token_location="cookies", access_cookie_name="__Host-a", session_cookie_expires=DAY),
    ],
    ids=["defaults", "insecure", "headers", "cookies"],
)
def test_rules_read_only_what_they_declare(settings: Settings) -> None:
    """A rule that is skipped for a broken value would not have worked, and no other is."""
    for rule in settings_module._RULES:
        watched: Any = Watched(settings)
        assert list(rule.check(watched)) == []
        assert watched.seen <= rule.reads


# ── Unknown names ────────────────────────────────────────────────────────────────


def test_an_unknown_keyword_is_a_fault_with_a_guess() -> None:
    """A typing mistake never leaves a setting silently at its default."""
    assert the_fault_of(cookie_same_site="Lax") == (
        "cookie_same_site: there is no such setting; did you mean cookie_samesite?"
    )


def test_an_unknown_keyword_like_no_other_is_a_fault_without_a_guess() -> None:
    """A guess is made only where it is close."""
    assert the_fault_of(xyzzy="hunter2") == (
        "xyzzy: there is no such setting; see the list of settings"
    )


def test_an_unknown_environment_variable_is_a_fault_with_a_guess() -> None:
    """The environment's names with our prefix are ours alone."""
    assert env_faults(JWT_SECERT_KEY=OTHER) == (
        "JWT_SECERT_KEY: there is no such setting; did you mean JWT_SECRET_KEY?",
    )


def test_a_setting_of_another_package_is_answered_by_what_it_is_here() -> None:
    """The nearest name would be that of something else."""
    moved, gone = env_faults(JWT_COOKIE_CSRF_PROTECT="false", JWT_CSRF_METHODS="POST")
    assert moved.endswith("there is no such setting; did you mean JWT_CSRF?")
    assert gone.endswith("what becomes of another package's settings is in docs/migrate")


def test_a_file_variable_of_a_setting_that_is_no_secret_is_unknown() -> None:
    """Only secrets are read from files."""
    (fault,) = env_faults(JWT_ALGORITHM_FILE="/run/algorithm")
    assert fault.startswith("JWT_ALGORITHM_FILE: there is no such setting")


def test_an_unknown_name_in_a_shared_mapping_warns_and_points_here() -> None:
    """``app.config`` may hold the settings of other extensions."""
    with pytest.warns(UnknownSettingWarning, match="did you mean JWT_LEEWAY?") as caught:
        Settings.from_mapping({"JWT_SECRET_KEY": SECRET, "JWT_LEWAY": 5}, environ=NOTHING)
    assert [warning.filename for warning in caught] == [__file__]


def test_an_unknown_attribute_warns_and_points_here() -> None:
    """Django's settings are shared as well."""
    shared = SimpleNamespace(JWT_SECRET_KEY=SECRET, JWT_LEWAY=5)
    with pytest.warns(UnknownSettingWarning, match="did you mean JWT_LEEWAY?") as caught:
        Settings.from_object(shared, environ=NOTHING)
    assert [warning.filename for warning in caught] == [__file__]


# ── Sources ──────────────────────────────────────────────────────────────────────


def test_strings_from_the_environment_are_read_by_the_kind_of_setting() -> None:
    """Each kind has a spelling as text."""
    settings = Settings.from_env(
        environ={
            "JWT_SECRET_KEY": SECRET,
            "JWT_PREVIOUS_SECRET_KEYS": f"{OTHER}\r\n{OTHER[::-1]}\n",
            "JWT_TOKEN_LOCATION": "cookies, headers",
            "JWT_HEADER_TYPE": "",
            "JWT_COOKIE_HTTPONLY": "off",
            "JWT_COOKIE_DOMAIN": "none",
            "JWT_ACCESS_TOKEN_EXPIRES": "1h",
            "JWT_LOST_RESPONSE_WINDOW": "None",
            "JWT_REQUIRED": "YES",
            "JWT_PUBLIC_PATHS": "/health, /login,",
            "JWT_ISSUER": "",
            "JWT_AUDIENCE": "api",
            "JWT_MAX_TOKEN_LENGTH": "4096",
            "JWT_SESSION_STORE": "memory://",
            "OTHER_THING": "ignored",
        }
    )
    assert settings == make(
        previous_secret_keys=(OTHER, OTHER[::-1]),
        token_location=("cookies", "headers"),
        header_type="",
        cookie_httponly=False,
        access_token_expires=3600,
        required=True,
        public_paths=("/health", "/login"),
        audience=("api",),
        max_token_length=4096,
        session_store="memory://",
    )


def test_the_real_environment_is_used_unless_another_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``os.environ`` is read when the settings are made."""
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.setenv("JWT_LEEWAY", "7")
    assert Settings.from_env().leeway == 7
    assert Settings.from_mapping({}).leeway == 7
    assert Settings.from_object(SimpleNamespace()).leeway == 7


def test_keywords_win_over_the_mapping_and_that_over_the_environment() -> None:
    """The nearer to the code, the stronger."""
    environ = {"JWT_LEEWAY": "1", "JWT_REISSUE_WITHIN": "1", "JWT_STORE_TIMEOUT": "1"}
    mapping = {"JWT_SECRET_KEY": SECRET, "JWT_LEEWAY": 2, "JWT_REISSUE_WITHIN": 2}
    settings = Settings.from_mapping(mapping, environ=environ, leeway=3)
    assert (settings.leeway, settings.reissue_within, settings.store_timeout) == (3, 2, 1)
    assert settings.max_token_length == 8192
    assert Settings.from_env(environ={**environ, "JWT_SECRET_KEY": SECRET}, leeway=3).leeway == 3


def test_unknown_environment_variables_do_not_matter_to_a_mapping() -> None:
    """Falling back to the environment looks for known names alone."""
    environ = {"JWT_NONSENSE": "1"}
    assert Settings.from_mapping({"JWT_SECRET_KEY": SECRET}, environ=environ) == make()


def test_attributes_in_upper_case_are_settings() -> None:
    """A module or class of settings works as a mapping does."""
    shared = SimpleNamespace(JWT_SECRET_KEY=SECRET, JWT_LEEWAY=9, JWT_helper=1, DEBUG=True)
    settings = Settings.from_object(
        shared, environ={"JWT_STORE_TIMEOUT": "4"}, access_token_expires=600
    )
    assert settings == make(leeway=9, store_timeout=4, access_token_expires=600)


def test_another_prefix_can_be_chosen() -> None:
    """Two configurations can live in one environment."""
    environ = {"API_SECRET_KEY": SECRET, "API_LEEWAY": "2", "JWT_LEEWAY": "3"}
    assert Settings.from_env("API_", environ).leeway == 2
    assert Settings.from_mapping({}, "API_", environ).leeway == 2
    assert Settings.from_object(SimpleNamespace(), "API_", environ).leeway == 2


def test_a_fault_names_the_variable_the_value_came_from() -> None:
    """Whoever wrote the value finds the place."""
    (fault,) = env_faults(JWT_LEEWAY="1h")
    assert fault == ("leeway (from JWT_LEEWAY): is '1h'; give a duration from 0 up to 300 seconds")


# ── Secrets in files ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"], ids=["none", "lf", "crlf"])
def test_a_secret_is_read_from_a_file_without_the_newline_at_its_end(
    tmp_path: Path, ending: str
) -> None:
    """Container platforms mount secrets as files, and editors end them with a newline."""
    file = tmp_path / "secret"
    file.write_bytes(f"{SECRET}{ending}".encode())
    assert Settings.from_env(environ={"JWT_SECRET_KEY_FILE": str(file)}) == make()
    assert Settings.from_mapping({"JWT_SECRET_KEY_FILE": file}, environ=NOTHING) == make()


def test_only_one_newline_is_taken_off_a_secret_file(tmp_path: Path) -> None:
    """The rest of a secret is the secret."""
    file = tmp_path / "secret"
    file.write_bytes(SECRET.encode() + b"\n\n")
    settings = Settings.from_env(environ={"JWT_SECRET_KEY_FILE": str(file)})
    assert settings.secret_key == SECRET.encode() + b"\n"


def test_a_secret_file_may_hold_any_bytes(tmp_path: Path) -> None:
    """Secrets need not be text."""
    file = tmp_path / "secret"
    file.write_bytes(key := bytes(range(130, 194)))
    assert Settings.from_env(environ={"JWT_SECRET_KEY_FILE": str(file)}).secret_key == key


def test_previous_secrets_and_the_store_are_read_from_files(tmp_path: Path) -> None:
    """A store's URL may hold a password; previous secrets stand one on a line."""
    (tmp_path / "previous").write_text(f"{OTHER}\n\n{OTHER[::-1]}\n")
    (tmp_path / "store").write_text("memory://\n")
    settings = Settings.from_env(
        environ={
            "JWT_SECRET_KEY": SECRET,
            "JWT_PREVIOUS_SECRET_KEYS_FILE": str(tmp_path / "previous"),
            "JWT_SESSION_STORE_FILE": str(tmp_path / "store"),
        }
    )
    assert settings.previous_secret_keys == (OTHER.encode(), OTHER[::-1].encode())
    assert settings.session_store == "memory://"


def test_a_secret_given_both_ways_is_a_fault(tmp_path: Path) -> None:
    """Nobody has to guess which of two secrets counts."""
    (tmp_path / "secret").write_text(OTHER)
    assert env_faults(JWT_SECRET_KEY_FILE=str(tmp_path / "secret")) == (
        "secret_key (from JWT_SECRET_KEY_FILE): JWT_SECRET_KEY is set as well; keep one of the two",
    )


def test_a_nearer_source_wins_over_a_file_in_a_farther_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file that is not needed is not even read."""
    monkeypatch.setattr("builtins.open", None)
    environ = {"JWT_SECRET_KEY_FILE": "/nowhere/at/all"}
    assert Settings.from_mapping({"JWT_SECRET_KEY": SECRET}, environ=environ) == make()
    assert Settings.from_env(environ=environ, secret_key=SECRET) == make()


def test_a_file_that_cannot_be_read_is_a_fault_with_setting_and_path(tmp_path: Path) -> None:
    """The fault says which file, and what the system said."""
    missing = str(tmp_path / "missing")
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env(environ={"JWT_SECRET_KEY_FILE": missing, "JWT_LEEWAY": "x"})
    assert caught.value.faults[0] == (
        f"secret_key (from JWT_SECRET_KEY_FILE): cannot read {missing!r}: "
        "No such file or directory; name a file that can be read"
    )
    assert len(caught.value.faults) == 2


def test_a_secret_written_where_its_path_belongs_is_not_shown() -> None:
    """What is no absolute path may be the secret itself."""  # S53
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env(environ={"JWT_SECRET_KEY_FILE": SECRET})
    assert "cannot read the file (its path is not absolute)" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("path", [None, 0, b"/secret", "/a\0b", "/\ud800"], ids=repr)
def test_what_is_no_path_is_a_fault(path: object) -> None:
    """Neither a file descriptor nor a NUL gets through to the system."""
    with pytest.raises(ConfigurationError, match="is no path"):
        Settings.from_mapping({"JWT_SECRET_KEY_FILE": path}, environ=NOTHING)


def test_a_huge_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    """A path to a device or a log cannot eat the memory."""
    file = tmp_path / "log"
    file.write_bytes(b"x" * MAX_KEY_FILE)
    read = Settings.from_env(environ={"JWT_SECRET_KEY_FILE": str(file)})
    assert read.secret_keys == (b"x" * 65_536,)
    file.write_bytes(b"x" * (MAX_KEY_FILE + 1))
    with pytest.raises(ConfigurationError, match="more than 65536 bytes"):
        Settings.from_env(environ={"JWT_SECRET_KEY_FILE": str(file)})


# ── Secrets ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("given", [{}, {"secret_key": None}], ids=["left out", "None"])
def test_a_missing_secret_says_how_to_make_one(given: dict[str, Any]) -> None:
    """A secret is never generated silently."""
    with pytest.raises(ConfigurationError) as caught:
        Settings(**given)
    (fault,) = caught.value.faults
    assert fault == (
        "secret_key: is missing; make one with: "
        'python -c "import secrets; print(secrets.token_urlsafe(48))"'
    )


@pytest.mark.parametrize("empty", ["", b""], ids=["str", "bytes"])
def test_an_empty_secret_is_refused(empty: str | bytes) -> None:
    """Anybody could sign with it."""  # S3
    assert the_fault_of(secret_key=empty).startswith("secret_key: is empty; make one with")
    assert "is empty" in the_fault_of(previous_secret_keys=[empty])
    assert "is missing" in the_fault_of(previous_secret_keys=[None])


@pytest.mark.parametrize(("algorithm", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_shorter_than_its_hash_is_refused(algorithm: str, least: int) -> None:
    """RFC 7518 section 3.2, for the current and for previous secrets."""  # S3
    key = (SECRET + OTHER)[:least]
    assert make(algorithm=algorithm, secret_key=key).algorithm == algorithm
    short = the_fault_of(algorithm=algorithm, secret_key=key[1:])
    assert short.startswith(f"secret_key: {algorithm} needs at least {least} bytes")
    previous = the_fault_of(
        algorithm=algorithm, secret_key=key, previous_secret_keys=[key[::-1], key[1:]]
    )
    assert previous.startswith(f"previous_secret_keys: {algorithm} needs at least {least} bytes")


def test_the_length_of_a_secret_counts_in_bytes() -> None:
    """A secret of few characters can be long enough in UTF-8."""  # S3
    assert make(secret_key="é" * 16).secret_key == "é".encode() * 16


@pytest.mark.parametrize(
    "previous", [[SECRET], [OTHER, OTHER], [OTHER, SECRET.encode()]], ids=["one", "twice", "both"]
)
def test_a_previous_secret_differs_from_all_others(previous: list[str | bytes]) -> None:
    """A roll-over to the same secret is none."""
    assert the_fault_of(previous_secret_keys=previous).startswith(
        "previous_secret_keys: repeats secret_key or itself"
    )


@pytest.mark.parametrize("key", [12, True, ["x"], bytearray(b"x" * 32)], ids=repr)
def test_a_secret_is_str_or_bytes(key: object) -> None:
    """Nothing else is turned into a secret by accident."""
    assert "give str or bytes" in the_fault_of(secret_key=key)
    assert "give str or bytes" in the_fault_of(previous_secret_keys=[key])


def test_previous_secrets_are_a_list_or_text() -> None:
    """A single value that is neither is a fault."""
    assert the_fault_of(previous_secret_keys=5).startswith(
        "previous_secret_keys: is of type int; give a list"
    )
    assert make(previous_secret_keys="").previous_secret_keys == ()


def test_a_secret_that_is_no_unicode_text_is_refused() -> None:
    """The environment can hold bytes that decode to nothing; they cannot be a str secret."""
    assert "no valid Unicode" in the_fault_of(secret_key="x" * 40 + "\udc80")


def der(*content: bytes, tag: int = 0x30) -> bytes:
    """A DER value of X.690 section 8.1."""
    body = b"".join(content)
    size = len(body)
    if size < 0x80:
        return bytes([tag, size]) + body
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + body


RSA_OID = bytes.fromhex("06092a864886f70d0101010500")
ED25519_KEY = bytes.fromhex("302a300506032b6570032100") + bytes(range(7, 39))
RSA_NUMBERS = der(der(bytes(range(256)), tag=2), der(b"\1\0\1", tag=2))
RSA_KEY = der(der(RSA_OID), der(b"\0", RSA_NUMBERS, tag=3))
CERTIFICATE = der(der(der(b"\2\1\2", tag=0xA0)), der(RSA_OID), der(b"\0" * 257, tag=3))
PKCS8_KEY = der(der(b"\0", tag=2), der(RSA_OID), der(RSA_NUMBERS, tag=4))
PKCS7 = der(bytes.fromhex("06092a864886f70d010702"), der(b"\0" * 200, tag=0xA0))
JWK = {"kty": "oct", "k": base64.urlsafe_b64encode(b"k" * 32).decode()}


def pem(label: str, *, dashes: str = "-----") -> str:
    body = base64.encodebytes(RSA_KEY).decode()
    return f"{dashes}BEGIN {label}{dashes}\n{body}{dashes}END {label}{dashes}\n"


KEY_FILES: dict[str, str | bytes] = {
    "PEM public": pem("PUBLIC KEY"),
    "PEM RSA public": pem("RSA PUBLIC KEY"),
    "PEM certificate": pem("CERTIFICATE"),
    "PEM private": pem("PRIVATE KEY"),
    "PEM of a kind unknown": pem("SOMETHING NEW"),
    "PEM after text": "my public key is\n" + pem("PUBLIC KEY"),
    "PEM after blanks": " \t\r\n" + pem("PUBLIC KEY"),
    "PEM after a BOM": "\ufeff" + pem("PUBLIC KEY"),
    "PEM in UTF-16": pem("PUBLIC KEY").encode("utf-16"),
    "PEM on one line": pem("PUBLIC KEY").replace("\n", "\\n"),
    "PEM in lower case": pem("PUBLIC KEY").lower(),
    "PEM cut off": pem("PUBLIC KEY")[:60],
    "PEM end only": pem("PUBLIC KEY")[-60:],
    "PEM in base64": base64.b64encode(pem("PUBLIC KEY").encode()),
    "PEM in base64 lines": base64.encodebytes(pem("PUBLIC KEY").encode()),
    "SSH2 public": pem("SSH2 PUBLIC KEY", dashes="---- ").replace("KEY---- ", "KEY ----"),
    "PuTTY": "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n",
    "SSH RSA": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7 me@host",
    "SSH Ed25519": b"\n ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGk3 me@host",
    "SSH ECDSA": "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAI me@host",
    "SSH token": "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2gu",
    "SSH body": base64.b64encode(b"\0\0\0\x07ssh-rsa\0\0\0\3\1\0\1" + b"n" * 40),
    "SSH binary": b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(range(32)),
    "SSH private body": b"openssh-key-v1\0\0\0\0\4none" + bytes(range(32)),
    "DER Ed25519": ED25519_KEY,
    "DER RSA": RSA_KEY,
    "DER RSA PKCS#1": RSA_NUMBERS,
    "DER PKCS#8": PKCS8_KEY,
    "DER certificate": CERTIFICATE,
    "DER PKCS#7": PKCS7,
    "DER in base64": base64.b64encode(RSA_KEY),
    "DER in base64url": base64.urlsafe_b64encode(RSA_KEY).rstrip(b"="),
    "JWK": json.dumps(JWK),
    "JWK after blanks": "\n \t" + json.dumps(JWK, indent=2) + "\n",
    "JWK after a BOM": b"\xef\xbb\xbf" + json.dumps(JWK).encode(),
    "JWK after blanks and a BOM": "\n\ufeff " + json.dumps(JWK),
    "JWK in UTF-16": json.dumps(JWK).encode("utf-16"),
    "JWK in UTF-16 without BOM": json.dumps(JWK).encode("utf-16-le"),
    "JWK in UTF-32": json.dumps(JWK).encode("utf-32-be"),
    "JWK in base64": base64.b64encode(json.dumps(JWK).encode()),
    "JWK with escapes": json.dumps(JWK).replace("kty", "\\u006bty"),
    "JWK with a huge number": '{"kty": "RSA", "n": ' + "9" * 5000 + "}",
    "JWK set": json.dumps({"keys": [JWK]}),
    "JWK in a list": json.dumps([JWK]),
    "JWK in an object": json.dumps({"data": {"key": [JWK]}}),
    "JWK too deep to parse": '{"kty": "oct", "x": ' + "[" * 200_000,
}


@pytest.mark.parametrize("key", KEY_FILES.values(), ids=KEY_FILES)
@pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
def test_a_key_file_is_refused_as_a_secret(key: str | bytes, algorithm: str) -> None:
    """Everybody who has the public key could sign with it (CVE-2022-29217)."""  # S2
    faults = faults_of(secret_key=key, algorithm=algorithm)
    assert faults[0].startswith("secret_key: looks like a")
    assert "make one with" in faults[0]


@pytest.mark.parametrize("key", KEY_FILES.values(), ids=KEY_FILES)
def test_a_key_file_is_refused_as_a_previous_secret(key: str | bytes) -> None:
    """It still verifies, so it is as dangerous."""  # S2
    (fault,) = faults_of(previous_secret_keys=[OTHER, key])
    assert fault.startswith("previous_secret_keys: looks like a")


@pytest.mark.parametrize(
    "key",
    [
        "{not json at all, but long enough}",
        "[1, 2, 3 and so on, up to 32 bytes",
        "correct horse battery staple ssh-rsa",
        b"0" * 64,
        b"\x30\x82" + b"\xff" * 62,
        b"\x30\x84" + b"\x01" * 40,
        b"\x30\x3e\x0c" + b"a" * 61,
        ED25519_KEY[:-1],
        ED25519_KEY + b"\n!",
        "----- 5 dashes and then nothing -----",
    ],
    ids=range(10),
)
def test_a_secret_that_only_resembles_a_key_file_is_accepted(key: str | bytes) -> None:
    """The shape is refused, not its first character."""  # S2
    assert make(secret_key=key)


def test_random_secrets_are_accepted() -> None:
    """Whatever a good generator makes, as bytes, hex, base64 or base64url, is a secret."""  # S2
    chance = random.Random(20220524)
    for _ in range(3000):
        key = chance.randbytes(chance.choice([32, 48, 64, 200]))
        for spelling in (key, key.hex().encode(), base64.b64encode(key)):
            assert kinds.key_file_shape(spelling) is None


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kty", "keys", "k"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    JSON,
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-le"]),
    st.text(" \t\r\n", max_size=3),
)
def test_what_pyjwt_refuses_as_json_is_refused(value: object, codec: str, blanks: str) -> None:
    """We are at least as strict as the library beneath."""  # S2
    assert_as_strict_as_pyjwt((blanks + json.dumps(value) + blanks).encode(codec))


@given(
    st.lists(
        st.sampled_from(
            ["-----", "---- ", " ----", "BEGIN ", "END ", "PUBLIC KEY", "CERTIFICATE", "\n", "x"]
        )
    )
)
def test_what_pyjwt_refuses_as_pem_is_refused(parts: list[str]) -> None:
    """We are at least as strict as the library beneath."""  # S2
    assert_as_strict_as_pyjwt("".join(parts).encode())


@pytest.mark.parametrize("key", KEY_FILES.values(), ids=KEY_FILES)
def test_what_pyjwt_refuses_of_the_samples_is_refused(key: str | bytes) -> None:
    """We are at least as strict as the library beneath."""  # S2
    assert_as_strict_as_pyjwt(key.encode() if isinstance(key, str) else key)


def assert_as_strict_as_pyjwt(key: bytes) -> None:
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(key)
    except InvalidKeyError:
        with pytest.raises(kinds.Unfit):
            kinds.secret(key)


@given(st.binary() | st.binary().map(lambda data: b"0" + bytes([len(data) % 256]) + data))
def test_any_bytes_are_judged_without_an_error(key: bytes) -> None:
    """No secret, however odd, breaks the check itself."""  # S14
    assert kinds.key_file_shape(key) is None or isinstance(kinds.key_file_shape(key), str)


# ── One value ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "flag"),
    [(word, True) for word in ("true", "TRUE", "1", "yes", "on", " On ", True)]
    + [(word, False) for word in ("false", "FALSE", "0", "no", "off", False)],
)
def test_booleans_are_bools_or_plain_words(given: object, flag: bool) -> None:
    """The environment can say yes and no."""
    assert make(required=given).required is flag


@pytest.mark.parametrize("given", ["", "y", "2", "none", 1, 0, None, [], 1.0], ids=repr)
def test_anything_else_is_no_boolean(given: object) -> None:
    """A fault says what is allowed."""
    fault = the_fault_of(required=given)
    assert fault.endswith("; allowed are True and False, or true/1/yes/on/false/0/no/off")


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (600, 600),
        (600.5, 600.5),
        (600.0, 600),
        ("600", 600),
        ("600s", 600),
        (" 15m ", 900),
        ("12h", 43_200),
        ("1.5h", 5400),
        ("2 d", 172_800),
        (timedelta(minutes=20), 1200),
        (timedelta(seconds=500, milliseconds=250), 500.25),
    ],
    ids=repr,
)
def test_durations_become_seconds(given: object, seconds: float) -> None:
    """An int where they are whole, since headers and tokens carry them."""
    settings = make(access_token_expires=given)
    assert settings.access_token_expires == seconds
    assert isinstance(settings.access_token_expires, int) is (seconds == int(seconds))


@pytest.mark.parametrize(
    "given",
    ["", "soon", "-1", "+1", "1e3", "nan", "inf", "1w", "15 min", "٣", None, True, b"9", [900]],
    ids=repr,
)
def test_what_is_no_duration_is_refused(given: object) -> None:
    """A bool is no number, and text has one spelling."""
    assert "give seconds as a number, a timedelta" in the_fault_of(store_timeout=given)


@pytest.mark.parametrize(
    "given",
    [0, 0.0, -1, -0.5, math.nan, math.inf, -math.inf, 10**400, "999999999d", timedelta(-1)],
    ids=range(10),
)
def test_durations_that_cannot_be_are_refused(given: object) -> None:
    """Not negative, finite, and within a century."""
    assert the_fault_of(store_timeout=given).endswith("give a duration above 0 up to 100 years")


@pytest.mark.parametrize("name", ["rotation_grace", "lost_response_window", "reissue_within"])
def test_some_durations_may_be_zero(name: str) -> None:
    """Where nought has a meaning."""
    assert getattr(make(**{name: 0}), name) == 0
    assert "from 0 up to 100 years" in the_fault_of(**{name: -1})


@pytest.mark.parametrize("given", [0, 300, "5m", timedelta(minutes=5)], ids=repr)
def test_a_leeway_up_to_five_minutes_is_accepted(given: Any) -> None:
    """For exp alone."""  # S16
    assert 0 <= make(leeway=given).leeway <= 300


@pytest.mark.parametrize("given", [-1, 300.1, 301, math.inf, math.nan, "1h"], ids=repr)
def test_a_leeway_beyond_is_refused(given: Any) -> None:
    """An endless leeway would accept any expired token."""  # S16
    assert the_fault_of(leeway=given).endswith("give a duration from 0 up to 300 seconds")


@given(st.integers() | st.floats() | st.timedeltas() | st.text() | st.from_regex(r"\d+[smhd]?"))
def test_a_duration_reads_its_own_results(value: object) -> None:
    """A copy of settings never changes what it copies."""
    try:
        seconds = kinds.duration(zero=True)(value)
    except kinds.Unfit:
        return
    assert 0 <= seconds <= kinds.CENTURY
    assert kinds.duration(zero=True)(seconds) == seconds


@pytest.mark.parametrize("given", [256, 65_536, "300", " 300 "], ids=repr)
def test_a_maximal_token_length_within_bounds_is_accepted(given: object) -> None:
    """Characters, as an int or as digits."""  # S13
    assert make(max_token_length=given).max_token_length == int(str(given))


@pytest.mark.parametrize(
    "given", [255, 65_537, "255", 300.0, True, "", "-300", "3e2", None, "٣٠٠", "9" * 5000], ids=repr
)
def test_a_maximal_token_length_out_of_bounds_is_refused(given: object) -> None:
    """Too small for any token, or so large that it protects nothing."""  # S13
    fault = the_fault_of(max_token_length=given)
    assert fault.endswith("give a whole number from 256 to 65536")


def test_the_token_cache_can_be_switched_off() -> None:
    """Zero tokens, and no negative number."""
    assert make(token_cache_size=0).token_cache_size == 0
    assert "from 0 to 1000000" in the_fault_of(token_cache_size=-1)
    assert "from 0 to 1000000" in the_fault_of(token_cache_size=True)


ALGORITHMS = (
    '"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", '
    '"ES256", "ES384", "ES512", "EdDSA"'
)


@pytest.mark.parametrize(
    ("name", "given", "allowed"),
    [
        ("algorithm", "none", ALGORITHMS),  # S1
        ("algorithm", "hs256", ALGORITHMS),  # S1
        ("algorithm", "ES256K", ALGORITHMS),  # S1
        ("algorithm", ["HS256"], ALGORITHMS),  # S1
        ("algorithm", None, ALGORITHMS),  # S1
        ("cookie_samesite", None, '"Lax", "Strict", "None"'),
        ("cookie_samesite", "lax", '"Lax", "Strict", "None"'),
        ("csrf", False, '"origin", "double-submit", "off"'),
        ("csrf", "double_submit", '"origin", "double-submit", "off"'),
        ("token_location", "query", '"headers", "cookies"'),  # S24
        ("reissue_on", ["revoked"], '"missing", "expired", "invalid"'),
    ],
)
def test_choices_are_spelled_exactly(name: str, given: object, allowed: str) -> None:
    """A fault lists what is allowed."""
    assert the_fault_of(**{name: given}).endswith(f"; allowed are the strings {allowed}")


@pytest.mark.parametrize("given", ["", [], "headers, headers", 5, {"headers"}], ids=repr)
def test_token_locations_are_a_list_in_order_without_doubles(given: object) -> None:
    """The order is the precedence, so that a set will not do."""  # S23
    assert the_fault_of(token_location=given).startswith("token_location: ")
    assert make(token_location=["cookies"]).token_location == ("cookies",)


def test_reissue_can_be_narrowed_to_nothing() -> None:
    """A process may leave reissuing to others."""
    assert make(reissue_on=()).reissue_on == ()
    assert make(reissue_on="expired").reissue_on == ("expired",)


def test_lists_stay_as_they_were_when_settings_were_made() -> None:
    """A list that is changed later changes no checked settings."""
    paths = ["/a"]
    settings = make(ignore_paths=paths)
    paths.append("not a path")
    assert settings.ignore_paths == ("/a",)


@pytest.mark.parametrize(
    ("given", "normal"), [(None, ()), ("", ()), ("none", ()), ("a, b", ("a", "b")), (["a"], ("a",))]
)
def test_audiences_are_a_tuple(given: object, normal: tuple[str, ...]) -> None:
    """One string, several or none."""
    assert make(audience=given).audience == normal


@pytest.mark.parametrize("name", ["issuer", "audience", "required_claims", "identity_claim"])
@pytest.mark.parametrize("given", [5, "a\nb", "\ud800", "a\0", True, b"a"], ids=repr)
def test_names_in_tokens_are_printable_strings(name: str, given: object) -> None:
    """What could never be in a token, or not be seen, is refused."""
    several = name in {"audience", "required_claims"}
    fault = the_fault_of(**{name: [given] if several else given})
    assert fault.startswith(f"{name}: is {kinds.shown(given)}; give a string of printable")


@pytest.mark.parametrize("given", ["", " a", "a ", None], ids=repr)
def test_names_in_tokens_are_not_empty_or_padded(given: object) -> None:
    """Blanks are easily overlooked, and they are compared too."""
    assert "not empty or padded" in the_fault_of(identity_claim=given)
    assert "not empty or padded" in the_fault_of(required_claims=[given])


@pytest.mark.parametrize("given", [None, "", "none", "None"], ids=repr)
def test_no_issuer_can_be_said_in_text(given: str | None) -> None:
    """The environment has no None."""
    assert make(issuer=given).issuer is None
    assert make(issuer="https://a.example").issuer == "https://a.example"


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf", "jti", "sid", "rgen", "rexp", "iss", "aud"])
def test_the_identity_claim_is_none_with_another_meaning(claim: str) -> None:
    """A subject must not overwrite what the token stands on."""
    assert "meaning of its own" in the_fault_of(identity_claim=claim)
    assert make(identity_claim="user_id").identity_claim == "user_id"


# ── Headers and cookies ──────────────────────────────────────────────────────────

HEADERS = ["header_name", "refresh_header_name", "access_response_header"]
COOKIES = ["access_cookie_name", "refresh_cookie_name"]
NO_TOKENS = ["a b", "a:b", "a;b", "a=b", "a\r\nX: y", "a\n", "é", "(a)", " a", "\0"]


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("given", [*NO_TOKENS, "", None, 5, b"X"], ids=repr)
def test_header_names_are_tokens(name: str, given: object) -> None:
    """RFC 9110 section 5.6.2, so that nothing else can ride on the name."""  # S39
    assert "give a name of ASCII letters" in the_fault_of(**{name: given})


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("given", ["Cookie", "set-cookie", "HOST", "Content-Length", "Vary"])
def test_header_names_with_another_purpose_are_refused(name: str, given: str) -> None:
    """A token in them would break the server, or leak."""  # S39
    assert "which has another purpose" in the_fault_of(**{name: given})


@pytest.mark.parametrize("name", HEADERS)
def test_header_names_with_an_underscore_are_refused(name: str) -> None:
    """Under WSGI the header with a hyphen would pass for it."""  # S28
    assert the_fault_of(**{name: "X_Token"}).endswith("write X-Token")


def test_header_names_differ() -> None:
    """One header cannot carry two tokens, in whatever case it is written."""  # S39
    assert the_fault_of(refresh_header_name="AUTHORIZATION") == (
        "refresh_header_name: is header_name too; choose another"
    )
    assert the_fault_of(refresh_header_name="x-access-token") == (
        "refresh_header_name: is access_response_header too; choose another"
    )


def test_the_access_token_may_use_one_header_both_ways() -> None:
    """A request's header and a response's do not meet."""
    settings = make(header_name="X-Access-Token", header_type="")
    assert settings.header_name == settings.access_response_header
    assert settings.header_type == ""


@pytest.mark.parametrize("given", [*NO_TOKENS, None, " ", 5], ids=repr)
def test_a_header_scheme_is_a_token_or_empty(given: object) -> None:
    """RFC 9110 section 11.1."""  # S22
    assert the_fault_of(header_type=given).startswith("header_type: is ")


@pytest.mark.parametrize("name", COOKIES)
@pytest.mark.parametrize("given", [*NO_TOKENS, 5, b"a"], ids=repr)
def test_cookie_names_are_tokens(name: str, given: object) -> None:
    """RFC 6265 section 4.1.1: nothing can be smuggled into a Set-Cookie."""  # S39
    assert "give a name of ASCII letters" in the_fault_of(**{name: given})


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ("__Host-access_token", "__Host-refresh_token")),
        ({"cookie_secure": False}, ("access_token", "refresh_token")),
        ({"cookie_path": "/app"}, ("access_token", "refresh_token")),
        ({"cookie_domain": "a.example"}, ("access_token", "refresh_token")),
        ({"access_cookie_name": "jwt"}, ("jwt", "__Host-refresh_token")),
        ({"refresh_cookie_name": "jwt"}, ("__Host-access_token", "jwt")),
        ({"access_cookie_name": "", "refresh_cookie_name": "r"}, ("__Host-access_token", "r")),
    ],
)
def test_cookie_names_left_alone_are_as_strong_as_they_can_be(
    given: dict[str, Any], names: tuple[str, str]
) -> None:
    """A name that is given is used exactly as it is."""  # S25
    settings = make(**given)
    assert (settings.access_cookie, settings.refresh_cookie) == names


@pytest.mark.parametrize(
    "given",
    [
        {"access_cookie_name": "jwt", "refresh_cookie_name": "JWT"},
        {"access_cookie_name": "__host-Refresh_Token"},
        {"refresh_cookie_name": "access_token", "cookie_secure": False},
    ],
    ids=["both given", "the access one", "the refresh one"],
)
def test_cookie_names_differ(given: dict[str, Any]) -> None:
    """Not in case alone, since some servers and people ignore it."""  # S39
    assert the_fault_of(**given) == (
        "refresh_cookie_name: is the access cookie's name too; choose another"
    )


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "__Host-csrf_token"),
        ({"cookie_secure": False}, "csrf_token"),
        ({"cookie_domain": "a.example"}, "csrf_token"),
        ({"csrf_cookie_name": "page"}, "page"),
    ],
)
def test_the_csrf_cookie_is_named_like_the_others(given: dict[str, Any], name: str) -> None:
    """As strong as it can be, or as it is given."""  # S39, S40
    assert make(csrf="double-submit", **given).csrf_cookie == name


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (
            {"csrf_cookie_name": "__Host-a", "cookie_domain": "a.example"},
            (
                "csrf_cookie_name: browsers drop __Host-a unless cookie_domain=None; set that, or "
                "choose a name without __Host-"
            ),
        ),
        (
            {"csrf_cookie_name": "__Http-a"},
            (
                "csrf_cookie_name: scripts have to read it, and browsers keep __Http-a from them; "
                "choose a name that begins with __Host-, or plainly"
            ),
        ),
        (
            {"csrf_cookie_name": "__HOST-HTTP-a"},
            (
                "csrf_cookie_name: scripts have to read it, and browsers keep __HOST-HTTP-a from "
                "them; choose a name that begins with __Host-, or plainly"
            ),
        ),
        (
            {"csrf_cookie_name": "JWT", "access_cookie_name": "jwt"},
            "csrf_cookie_name: is a token cookie's name too; choose another",
        ),
        (
            {"csrf_cookie_name": "__Host-Refresh_Token"},
            "csrf_cookie_name: is a token cookie's name too; choose another",
        ),
        (
            {"csrf_header_name": "x-refresh-token"},
            "csrf_header_name: is a token header's name too; choose another",
        ),
        (
            {"csrf_header_name": "Authorization"},
            "csrf_header_name: is a token header's name too; choose another",
        ),
    ],
)
def test_csrf_names_that_cannot_work_are_refused(given: dict[str, Any], fault: str) -> None:
    """Where a browser drops the cookie, hides it, or one name has two meanings."""  # S39, S40
    assert the_fault_of(csrf="double-submit", **given) == fault


def test_csrf_tokens_need_a_secret() -> None:
    """A process that only verifies has nothing to sign them with."""  # S40
    with pytest.raises(ConfigurationError, match='csrf: "double-submit" signs its tokens'):
        Settings(public_keys=[public_pem(key_for("ES256"))], csrf="double-submit")


INSECURE = {"cookie_secure": False}
FOREIGN = {"cookie_domain": "a.example"}
BELOW = {"cookie_path": "/app"}
READABLE = {"cookie_httponly": False}


@pytest.mark.parametrize("name", COOKIES)
@pytest.mark.parametrize(
    ("cookie", "broken"),
    [
        *[
            (cookie, bad)
            for cookie in ("__Host-a", "__hOST-a")
            for bad in (INSECURE, FOREIGN, BELOW)
        ],
        *[("__Host-Http-a", bad) for bad in (INSECURE, FOREIGN, BELOW, READABLE)],
        *[("__Http-a", bad) for bad in (INSECURE, READABLE)],
        *[(cookie, INSECURE) for cookie in ("__Secure-a", "__SECURE-a")],
    ],
)
def test_a_cookie_prefix_is_kept_or_refused(name: str, cookie: str, broken: dict[str, Any]) -> None:
    """Browsers drop a cookie whose name promises more than it keeps."""  # S39
    assert make(**{name: cookie})
    (demand,) = broken
    fault = the_fault_of(**{name: cookie, **broken})
    assert fault.startswith(f"{name}: browsers drop {cookie} unless {demand}=")


@pytest.mark.parametrize(
    ("cookie", "given"),
    [("__Host-a", READABLE), ("__Http-a", FOREIGN), ("__Http-a", BELOW), ("__Secure-a", FOREIGN)],
)
def test_a_cookie_prefix_asks_for_no_more_than_it_says(cookie: str, given: dict[str, Any]) -> None:
    """RFC 6265bis section 4.1.3."""  # S39
    assert make(access_cookie_name=cookie, **given).access_cookie == cookie


@pytest.mark.parametrize(
    "given", [{"cookie_samesite": "None"}, {"cookie_partitioned": True}], ids=str
)
def test_cookies_that_need_secure_are_refused_without(given: dict[str, Any]) -> None:
    """SameSite=None and Partitioned; browsers would drop the cookies."""  # S39
    assert make(**given)
    (name,) = given
    fault = the_fault_of(**given, cookie_secure=False)
    assert fault.startswith(f"{name}: browsers drop ")
    assert "cookie_secure=True" in fault


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("example.com", "example.com"),
        (".Example.COM", "example.com"),
        ("localhost", "localhost"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("none", None),
        ("", None),
    ],
)
def test_a_cookie_domain_is_a_host_name(given: str, normal: str | None) -> None:
    """Without the dot of old, in lower case."""  # S39
    assert make(cookie_domain=given).cookie_domain == normal


@pytest.mark.parametrize(
    "given",
    [
        "..example.com",
        "example.com.",
        "-a.example",
        "a-.example",
        "a..b",
        ".",
        "a b",
        "example.com; Secure",
        "example.com\r\nX: y",
        "example.com\n",
        "bücher.example",
        "https://example.com",
        "example.com:443",
        "example.com/",
        "a_b.example",
        "*.example",
        "a" * 64 + ".example",
        ".".join(["a" * 60] * 5),
        5,
    ],
    ids=range(19),
)
def test_a_cookie_domain_that_is_no_host_name_is_refused(given: object) -> None:
    """Nothing can be smuggled into a Set-Cookie."""  # S39
    assert "give a host name like" in the_fault_of(cookie_domain=given)


@pytest.mark.parametrize(
    "given", ["", "app", "/a;b", "/a\r\nX: y", "/a\n", "/\0", "/\x7f", "/é", None, 5], ids=repr
)
def test_a_cookie_path_that_is_none_is_refused(given: object) -> None:
    """Nothing can be smuggled into a Set-Cookie."""  # S39
    assert "give an ASCII path" in the_fault_of(cookie_path=given)
    assert make(cookie_path="/my app/").cookie_path == "/my app/"


# ── Paths, origins, URLs ─────────────────────────────────────────────────────────

PATHS = ["public_paths", "ignore_paths", "csrf_exempt_paths"]


@pytest.mark.parametrize("name", PATHS)
def test_path_rules_are_plain_absolute_paths(name: str) -> None:
    """From a list or from text."""  # S30
    paths = ("/", "/static", "/a/b/", "/.well-known/jwks.json", "/~me/x@y;v=1")
    assert getattr(make(required=True, **{name: list(paths)}), name) == paths
    assert getattr(make(required=True, **{name: ", ".join(paths)}), name) == paths


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize(
    "path",
    [
        "static",
        "",
        "/a?b",
        "/a#b",
        "/a%2fb",
        "/a/../b",
        "/..",
        "/a/.",
        "/./a",
        "/a b",
        "/a*",
        "/é",
        "/a\n",
        "/a\\b",
        "https://a.example/",
        5,
        None,
    ],
    ids=repr,
)
def test_path_rules_with_anything_to_interpret_are_refused(name: str, path: object) -> None:
    """A rule that means one thing here and another to a server opens doors."""  # S30
    fault = the_fault_of(required=True, **{name: [path]})
    assert fault.startswith(f"{name}: holds {path!r}; a path ")


def test_a_list_that_is_none_is_refused() -> None:
    """A single number is no list of paths."""
    assert the_fault_of(ignore_paths=5) == (
        "ignore_paths: is 5; give a list, a tuple or a comma-separated string"
    )


def test_a_value_listed_twice_is_refused() -> None:
    """One of them was meant to be another."""
    assert the_fault_of(ignore_paths=["/a", "/b", "/a"]) == (
        "ignore_paths: names '/a' twice; keep one of them"
    )


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("https://a.example", "https://a.example"),
        ("HTTPS://A.Example", "https://a.example"),
        ("https://a.example:443", "https://a.example"),
        ("http://a.example:80", "http://a.example"),
        ("http://a.example:443", "http://a.example:443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
    ],
)
def test_trusted_origins_are_as_browsers_send_them(given: str, normal: str) -> None:
    """RFC 6454 section 6.2: lower case, no default port."""  # S40
    assert make(trusted_origins=[given]).trusted_origins == (normal,)
    assert make(trusted_origins=[normal]).trusted_origins == (normal,)


@pytest.mark.parametrize(
    "given",
    [
        "a.example",
        "//a.example",
        "https://",
        "https://a.example/",
        "https://a.example/x",
        "https://a.example?x",
        "https://*.example",
        "https://a.example:",
        "https://a.example:0",
        "https://a.example:65536",
        "https://a.example:x",
        "https://a.example\r\n",
        "https://a example",
        "https://bücher.example",
        5,
        None,
    ],
    ids=repr,
)
def test_what_is_no_origin_is_refused(given: object) -> None:
    """Scheme, host and port, and nothing else, since they are compared as text."""  # S40
    fault = the_fault_of(trusted_origins=[given])
    assert fault == (
        f'trusted_origins: holds {given!r}; write "https://host[:port]", without a path'
    )


@pytest.mark.parametrize(
    ("given", "reason"),
    [("null", "any page can send"), ("NULL", "any page can send"), ("*", "trust every page")],
)
def test_origins_that_are_everybodys_are_refused_with_the_reason(given: str, reason: str) -> None:
    """``Origin: null`` comes from any sandboxed frame."""  # S40
    assert reason in the_fault_of(trusted_origins=given)


@pytest.mark.parametrize(
    "given",
    [
        "/login",
        "/",
        "/login?from=app&x=%2F",
        "/#/login",
        "https://id.example/login",
        "HTTP://localhost:8080/login?x=y",
        "https://[::1]/",
    ],
)
def test_a_login_url_is_local_or_on_the_web(given: str) -> None:
    """It is used exactly as it is."""
    assert make(required=True, login_url=given).login_url == given


@pytest.mark.parametrize(
    "given",
    [
        "login",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/login\r\nX: y",
        "/login\n",
        "/\tlogin",
        "/a b",
        "/é",
        "javascript:alert(1)",
        "ftp://a.example",
        "https:/a.example",
        "https://",
        "https://?x",
        "https://:80/",
        "https://a.example:0/",
        "https://a.example:99999/",
        "https://[::1/",
        "https://a\\b",
        5,
    ],
    ids=repr,
)
def test_a_login_url_that_could_lead_elsewhere_is_refused(given: object) -> None:
    """Neither another host nor another header."""  # S34
    assert the_fault_of(required=True, login_url=given).startswith(f"login_url: is {given!r}; ")


def test_a_password_in_a_url_is_not_shown() -> None:
    """People paste URLs with everything in them."""  # S53
    faults = faults_of(
        required=True,
        login_url="https://me:hunter2@id.example/",
        trusted_origins="https://me:hunter2@a.example",
    )
    assert len(faults) == 2
    assert all("a URL with a user name" in fault for fault in faults)
    assert "hunter2" not in str(faults)


def test_quoted_values_are_short_and_harmless() -> None:
    """A message shows plain values only, and not all of a long one."""
    assert kinds.shown("x" * 100) == "'" + "x" * 58 + "…"
    assert kinds.shown("a\r\nb") == r"'a\r\nb'"
    assert kinds.shown(10**5000) == "a huge number"
    assert kinds.shown({"password": "hunter2"}) == "of type dict"


# ── The session store ────────────────────────────────────────────────────────────


def test_a_store_is_a_url_an_object_or_none() -> None:
    """The object is kept as it is."""
    store = MemorySessionStore()
    assert make(session_store=store).session_store is store
    assert make(session_store=" memory:// ").session_store == "memory://"
    assert make(session_store="None").session_store == "none"


@pytest.mark.parametrize("given", ["hunter2", "", "mongodb://me:hunter2@host", None, 5, object])
def test_a_store_that_is_none_is_a_fault_that_shows_no_url(given: object) -> None:
    """The stores know what is wrong; a URL may hold a password."""
    fault = the_fault_of(session_store=given)
    assert fault.startswith("session_store: ")
    assert fault.count("session_store") <= 1 + ("jwt_middleware" in fault)
    assert "hunter2" not in fault


def test_a_store_file_that_is_no_text_is_a_fault(tmp_path: Path) -> None:
    """Bytes that decode to nothing are no URL."""
    (tmp_path / "store").write_bytes(b"memory://\xff")
    (fault,) = env_faults(JWT_SESSION_STORE_FILE=str(tmp_path / "store"))
    assert fault.startswith("session_store (from JWT_SESSION_STORE_FILE): ")


# ── Contradictions ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "limit", "given"),
    [
        ("access_token_expires", "refresh_token_expires", "30d"),
        ("access_token_expires", "session_lifetime", 900),
        ("access_token_expires", "session_cookie_expires", 600),
        ("reissue_within", "access_token_expires", 900),
    ],
)
def test_durations_that_contradict_each_other_are_refused(
    name: str, limit: str, given: float | str
) -> None:
    """The longer one leaves nothing for the shorter to do."""
    shorter = (
        {name: given} if limit == "refresh_token_expires" or name[0] == "r" else {limit: given}
    )
    fault = the_fault_of(**shorter)
    assert fault.startswith(f"{name}: is ")
    assert f"must be shorter than {limit}" in fault


def test_durations_are_told_as_they_are_written() -> None:
    """Nobody writes the days of a month in seconds, or has to read them so."""
    fault = the_fault_of(access_token_expires="40d", session_lifetime="90d")
    assert fault == (
        "access_token_expires: is 40d, but must be shorter than refresh_token_expires, which is 30d"
    )
    with pytest.warns(RiskyTimesWarning) as caught:
        make(access_token_expires="5m", reissue_within=0.5, rotation_grace="1h")
    assert "replaced after 299.5s" in str(caught[0].message)
    assert "rotation_grace (1h)" in str(caught[0].message)


@given(st.integers(0, kinds.CENTURY) | st.integers(1, 36_525).map(lambda days: days * DAY))
def test_what_is_told_of_a_duration_is_the_duration(seconds: int) -> None:
    """Whoever copies a duration from a message into a setting changes nothing."""
    assert kinds.duration(zero=True)(kinds.spelled(seconds)) == seconds


def test_a_session_may_be_shorter_than_its_idle_limits() -> None:
    """The absolute limit caps the others, so that their defaults never contradict it."""
    assert make(session_lifetime="1h").session_lifetime == 3600
    assert make(access_token_expires="1d").access_token_expires == DAY


ASKED_FOR: dict[str, dict[str, Any]] = {
    "csrf_cookie_name": {"csrf": "double-submit"},
    "csrf_header_name": {"csrf": "double-submit"},
    "csrf_field_name": {"csrf": "double-submit"},
    "websocket_check_every": {"check_session": "always"},
    "accept_unencrypted": {"encryption_key": ENCRYPTION_KEY},
}
"""What a setting needs that has no effect beside the defaults."""


@pytest.mark.parametrize(
    ("unless", "given"),
    [
        ({}, {"public_paths": "/a"}),
        ({"token_location": "headers"}, {"access_cookie_name": "a"}),
        ({"token_location": "headers"}, {"refresh_cookie_name": "r"}),
        ({"token_location": "headers"}, {"cookie_secure": False}),
        ({"token_location": "headers"}, {"cookie_httponly": False}),
        ({"token_location": "headers"}, {"cookie_samesite": "Strict"}),
        ({"token_location": "headers"}, {"cookie_domain": "a.example"}),
        ({"token_location": "headers"}, {"cookie_path": "/app"}),
        ({"token_location": "headers"}, {"cookie_partitioned": True}),
        ({"token_location": "headers"}, {"csrf": "off"}),
        ({"token_location": "headers"}, {"trusted_origins": "https://a.example"}),
        ({"token_location": "headers"}, {"csrf_exempt_paths": "/a"}),
        ({"token_location": "cookies"}, {"header_name": "X-Token"}),
        ({"token_location": "cookies"}, {"header_type": "JWT"}),
        ({"token_location": "cookies"}, {"refresh_header_name": "X-R"}),
        ({"token_location": "cookies"}, {"access_response_header": "X-A"}),
        ({"csrf": "off"}, {"trusted_origins": "https://a.example"}),
        ({"csrf": "off"}, {"csrf_exempt_paths": "/a"}),
        ({"csrf": "origin"}, {"csrf_cookie_name": "page"}),
        ({"csrf": "origin"}, {"csrf_header_name": "X-Page"}),
        ({"csrf": "off"}, {"csrf_field_name": "page"}),
        ({}, {"websocket_check_every": 5}),
        ({}, {"accept_unencrypted": True}),
        ({"token_location": "headers"}, {"csrf": "double-submit"}),
        ({"session_store": "none"}, {"rotation_grace": 60}),
        ({"session_store": "none"}, {"lost_response_window": 0}),
        ({"session_store": "none"}, {"renew_refresh": False}),
        ({"session_store": "none"}, {"check_session": "always"}),
    ],
    ids=str,
)
def test_a_setting_without_effect_is_refused(unless: dict[str, Any], given: dict[str, Any]) -> None:
    """Whoever set it believes that it does something."""
    (name,) = given
    fault = the_fault_of(**unless, **given)
    assert fault.startswith(f"{name}: has no effect, since ")
    assert fault.endswith(f", or leave {name} out")
    asked = ASKED_FOR.get(name, {})
    assert make(**{**asked, **given}, required=True)
    default = FIELDS[name].default
    assert make(**unless, **{name: default})


# ── Encryption ───────────────────────────────────────────────────────────────────

RAW_KEY = base64.urlsafe_b64decode(ENCRYPTION_KEY + "=")


@pytest.mark.parametrize(
    "spelt",
    [
        ENCRYPTION_KEY,
        ENCRYPTION_KEY + "=",
        ENCRYPTION_KEY.encode(),
        base64.b64encode(RAW_KEY).decode(),
        f" {ENCRYPTION_KEY}\n",
        RAW_KEY,
    ],
    ids=range(6),
)
def test_an_encryption_key_is_32_bytes(spelt: str | bytes) -> None:
    """As they are, or as text in base64, of either alphabet."""
    settings = make(encryption_key=spelt)
    assert settings.encryption_key == RAW_KEY
    assert make(previous_encryption_keys=[spelt]).previous_encryption_keys == (RAW_KEY,)
    assert settings.encryption_keys == (RAW_KEY,)
    assert dataclasses.replace(settings) == settings


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        b"",
        "none",
        "x" * 32,
        "a passphrase that is long enough, but no key",
        ENCRYPTION_KEY[:-1],
        ENCRYPTION_KEY + "AAAA",
        RAW_KEY[:16],
        RAW_KEY[:31],
        RAW_KEY + b"x",
        RAW_KEY.hex(),
        5,
        ["x"],
        "\ud800",
    ],
    ids=range(14),
)
@pytest.mark.parametrize("name", ["encryption_key", "previous_encryption_keys"])
def test_what_is_no_encryption_key_is_refused(name: str, wrong: Any) -> None:
    """Another length, words, nothing: it says what is needed, and quotes nothing."""  # S53
    fault = the_fault_of(**{name: [wrong] if name.startswith("previous") else wrong})
    assert fault.startswith(f"{name}: ")
    assert str(wrong) not in fault or str(wrong) == ""
    if isinstance(wrong, str | bytes) and wrong != "\ud800":
        assert "32 random bytes" in fault
        assert kinds.MAKE_AN_ENCRYPTION_KEY in fault


def test_the_command_makes_an_encryption_key() -> None:
    """What a fault says to run makes a key that is accepted."""
    code = shlex.split(kinds.MAKE_AN_ENCRYPTION_KEY)[2]
    made = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert make(encryption_key=made.stdout).encryption_key


def test_an_empty_variable_does_not_turn_encryption_off() -> None:
    """Where a key was meant to be, its absence is a fault."""
    (fault,) = env_faults(JWT_ENCRYPTION_KEY="")
    assert fault.startswith("encryption_key (from JWT_ENCRYPTION_KEY): A256GCM needs")


def test_encryption_keys_come_from_files(tmp_path: Path) -> None:
    """As secrets do: one a line where there are several."""
    other = base64.urlsafe_b64encode(bytes(range(32))).decode()
    (tmp_path / "key").write_text(ENCRYPTION_KEY + "\n")
    (tmp_path / "former").write_text(f"{other}\n{other[::-1][1:]}\n")
    environ = {
        "JWT_SECRET_KEY": SECRET,
        "JWT_ENCRYPTION_KEY_FILE": str(tmp_path / "key"),
        "JWT_PREVIOUS_ENCRYPTION_KEYS_FILE": str(tmp_path / "former"),
    }
    settings = Settings.from_env(environ=environ)
    assert settings.encryption_keys[:2] == (RAW_KEY, bytes(range(32)))
    assert len(settings.encryption_keys) == 3
    assert ENCRYPTION_KEY not in repr(settings)
    assert repr(RAW_KEY) not in repr(settings)


@pytest.mark.parametrize("name", ["encryption_key", "previous_encryption_keys"])
@pytest.mark.parametrize("secret", ["secret_key", "previous_secret_keys"])
@pytest.mark.parametrize("raw", [True, False])
def test_an_encryption_key_signs_nothing(name: str, secret: str, raw: bool) -> None:
    """It is no secret that signs, neither its text nor its bytes."""  # S2
    given: dict[str, Any] = {name: ENCRYPTION_KEY, secret: RAW_KEY if raw else ENCRYPTION_KEY}
    for listed in (name, secret):
        if listed.startswith("previous"):
            given[listed] = [given[listed]]
    assert the_fault_of(**given).startswith("encryption_key: is a secret key, too")


def test_an_encryption_key_is_listed_once() -> None:
    """However it is spelt."""
    fault = the_fault_of(encryption_key=ENCRYPTION_KEY, previous_encryption_keys=[RAW_KEY])
    assert fault.startswith("previous_encryption_keys: repeats encryption_key or itself")


@pytest.mark.parametrize("name", ["encryption_key", "previous_encryption_keys"])
def test_encryption_asks_for_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without joserfc the fault says what to install; without a key nothing asks for it."""
    monkeypatch.setattr(settings_module, "find_spec", lambda module: None)
    assert the_fault_of(**{name: [ENCRYPTION_KEY] if name[0] == "p" else ENCRYPTION_KEY}) == (
        'encryption_key: encrypted tokens need joserfc: pip install "jwt-session-middleware[jwe]"'
    )
    assert make()


def test_others_tokens_are_not_encrypted_by_us() -> None:
    """Where all tokens are those of other issuers, an encryption key does nothing."""
    others: Any = {
        "secret_key": None,
        "issuers": [Issuer("https://a.example", public_keys=public_pem(key_for("EdDSA")))],
    }
    assert make(**others)
    fault = the_fault_of(**others, encryption_key=ENCRYPTION_KEY)
    assert fault.startswith("encryption_key: has no effect, since all tokens are those of other")
    ours = {**others, "public_keys": public_pem(key_for("EdDSA", 1))}
    assert make(**ours, encryption_key=ENCRYPTION_KEY)


# ── Risky times ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "given",
    [
        {"access_token_expires": 360},
        {"reissue_within": 540},
        {"rotation_grace": 300},
    ],
    ids=str,
)
def test_a_token_life_near_the_grace_warns_and_points_here(given: dict[str, Any]) -> None:
    """Overlapping answers could put an older token over a newer one."""
    source = {"JWT_SECRET_KEY": SECRET}
    makers: list[Callable[[], Settings]] = [
        lambda: Settings(secret_key=SECRET, **given),
        lambda: Settings.from_env(environ=source, **given),
        lambda: Settings.from_mapping(source, environ=NOTHING, **given),
        lambda: Settings.from_object(SimpleNamespace(**source), environ=NOTHING, **given),
    ]
    for maker in makers:
        with pytest.warns(RiskyTimesWarning, match="overtake each other") as caught:
            maker()
        assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize(
    "given",
    [
        {"access_token_expires": 361},
        {"reissue_within": 539},
        {"rotation_grace": 299},
        {"access_token_expires": 360, "session_store": "none"},
        {"access_token_expires": 1, "rotation_grace": 0},
    ],
    ids=str,
)
def test_other_times_do_not_warn(given: dict[str, Any]) -> None:
    """Neither above three times the grace, nor where nothing rotates."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Settings(secret_key=SECRET, **given)


# ── Whatever comes ───────────────────────────────────────────────────────────────

NAMES = st.sampled_from([f"JWT_{name.upper()}" for name in FIELDS])
WORDS = st.sampled_from(
    ["", "none", "0", "1", "off", "15m", "30d", "/a", "cookies", "headers", "None", SECRET, OTHER]
)
ANY_TEXT = st.text(st.characters())  # lone surrogates included
ANYTHING: st.SearchStrategy[object] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.binary(),
    ANY_TEXT,
    WORDS,
    st.timedeltas(),
    st.lists(ANY_TEXT | st.integers() | WORDS),
    st.just(object()),
    st.just(int),
)


def assert_sound(made: Settings | ConfigurationError) -> None:
    """Settings that a copy of them equals, or an error that leads to nothing else."""
    if isinstance(made, ConfigurationError):
        assert made.faults
        assert made.__context__ is None
    else:
        assert attempt(lambda: dataclasses.replace(made)) == made


@given(st.dictionaries(NAMES | st.text().map(lambda name: f"JWT_{name}"), WORDS | ANY_TEXT))
def test_an_environment_makes_settings_or_a_configuration_error(environ: dict[str, str]) -> None:
    """Nothing in an environment breaks the reading of it."""  # S14
    environ = {"JWT_SECRET_KEY": SECRET, **environ}
    assert_sound(attempt(Settings.from_env, environ=environ))


@given(st.dictionaries(st.sampled_from(list(FIELDS)), ANYTHING))
def test_keywords_make_settings_or_a_configuration_error(values: dict[str, Any]) -> None:
    """Nothing in code breaks the reading of it."""  # S14
    assert_sound(attempt(make, **values))


@pytest.mark.parametrize(
    "name",
    [
        *("secret_key", "previous_secret_keys", "session_store"),
        *("encryption_key", "previous_encryption_keys"),
    ],
)
@pytest.mark.parametrize(
    "secret",
    [
        "hunter2",
        "hunter2\nhunter2",
        "-----BEGIN hunter2",
        "\ud800hunter2",
        '{"kty": "hunter2"}',
        "a://hunter2@b",
        "sqlite://hunter2",
    ],
    ids=range(7),
)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda secret: secret,
        lambda secret: secret.encode("utf-8", "ignore"),
        lambda secret: [secret],
        lambda secret: {secret: secret},
    ],
    ids=["str", "bytes", "list", "dict"],
)
def test_a_secret_is_in_no_message(name: str, secret: str, wrap: Callable[[str], object]) -> None:
    """Whatever is wrong with it."""  # S53
    assert "hunter2" not in str(faults_of(**{name: wrap(secret)}))
