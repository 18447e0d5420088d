"""Keys in settings and in files: what is refused at start-up, and what a change on disk does."""

from __future__ import annotations

import json
import logging
import os
import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from forging import CLAIMS, NOW, SECRET, forge
from keychain import jwk, jwk_set, key_for, pem, public_pem, sign
from stepping import Browser, HeaderClient, House

from jwt_middleware import ConfigurationError, JWTAuth, SessionsNotStored, Settings
from jwt_middleware.errors import NotAuthenticated
from jwt_middleware.jwk import thumbprint
from jwt_middleware.key_files import MAX_KEY_FILE, FileKeys, KeyText
from jwt_middleware.keys import ASYMMETRIC, KeySet
from jwt_middleware.tokens import Tokens

ONE, TWO, THREE = (key_for("ES256", number) for number in (20, 21, 22))


def kid_of(key: Any) -> str:
    return thumbprint(jwk(key))


def settings_of(**settings: Any) -> Settings:
    settings.setdefault("secret_key", SECRET)
    return Settings(**settings)


def fault_of(**settings: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        settings_of(**settings)
    (fault,) = caught.value.faults
    return fault


def header_kid(token: str) -> str:
    return jwt.get_unverified_header(token)["kid"]


# ── Settings ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("algorithm", ["RS256", "PS384", "ES256", "ES384", "ES512", "EdDSA"])
def test_an_asymmetric_algorithm_signs_access_tokens(algorithm: str) -> None:
    """A process with the public key alone verifies what one with the private key signs."""
    key = key_for(algorithm, 20)
    house = House(algorithm=algorithm, private_key=pem(key))
    pair = house.auth.issue("alice", {"roles": ["admin"]})
    assert header_kid(pair.access_token) == kid_of(key)
    reader = Tokens(Settings(public_keys=public_pem(key), algorithm=algorithm))  # type: ignore[arg-type]
    access = reader.read_access(pair.access_token, now=house.now)
    assert (access.subject, access.claims["roles"]) == ("alice", ["admin"])
    browser = Browser(house)
    browser.login()
    house.wait(900)
    assert browser.get().reissued


def test_keys_come_in_every_form(tmp_path: Path) -> None:
    """As text, bytes, a mapping, a path, or a list of these; a copy of settings is equal."""
    file = tmp_path / "key.pem"
    file.write_text(pem(ONE))
    forms: list[Any] = [
        *(pem(ONE), pem(ONE).encode(), jwk(ONE, private=True), file, [file, pem(TWO)]),
        jwk_set(jwk(ONE, private=True), jwk(TWO, private=True)),
    ]
    for form in forms:
        settings = settings_of(algorithm="ES256", private_key=form)
        assert Tokens(settings)._access_keys.signing.kid == kid_of(ONE)
        again: Any = {name: getattr(settings, name) for name in ("private_key", "algorithm")}
        assert settings_of(**again) == settings
        assert "PRIVATE" not in repr(settings)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"algorithm": "RS256"}, "private_key: RS256 signs with one"),
        ({"private_key": pem(ONE)}, "private_key: has no effect, since algorithm is 'HS256'"),
        (
            {"private_key": pem(ONE), "algorithm": "RS256"},
            "private_key: the first key is one for ES256, and algorithm is 'RS256'",
        ),
        (
            {"private_key": public_pem(ONE), "algorithm": "ES256"},
            "private_key: holds a public key, which cannot sign",
        ),
        ({"private_key": "key.pem", "algorithm": "ES256"}, "private_key: is no key"),
        ({"private_key": 5, "algorithm": "ES256"}, "private_key: is of type int"),
        ({"private_key": {"kty": {1}}, "algorithm": "ES256"}, "private_key: is a mapping"),
        ({"public_keys": [SECRET]}, "public_keys: is no key"),
        ({"public_keys": Path("/nowhere/key.pem")}, "public_keys: cannot read '/nowhere/key.pem'"),
        ({"public_keys": Path("key.pem")}, "public_keys: cannot read the file"),
        ({"keys_reload": 60}, "keys_reload: has no effect"),
        ({"keys_reload": 60, "public_keys": public_pem(ONE)}, "keys_reload: has no effect"),
        ({"keys_reload": 0, "public_keys": public_pem(ONE)}, "keys_reload: is 0"),
        (
            {
                "algorithm": "ES256",
                "private_key": jwk(ONE, private=True, kid="a"),
                "public_keys": jwk(TWO, kid="a"),
            },
            "public_keys: has two keys of one kid",
        ),
        (
            {"algorithm": "ES256", "private_key": "x", "public_keys": jwk(TWO, kid="a")},
            "private_key: is no key",
        ),
        ({"secret_key": None}, "secret_key: is missing; make one with"),
        (
            {"secret_key": None, "private_key": pem(ONE), "algorithm": "ES256"},
            "secret_key: is missing: refresh tokens need one",
        ),
        (
            {"secret_key": None, "previous_secret_keys": [SECRET], "public_keys": public_pem(ONE)},
            "secret_key: is missing",
        ),
        (
            {"secret_key": "x" * 31, "private_key": pem(ONE), "algorithm": "ES256"},
            "secret_key: HS256 needs at least 32 bytes",
        ),
    ],
    ids=range(19),
)
def test_contradictions_about_keys(settings: dict[str, Any], fault: str) -> None:
    """One fault each, at start-up, that says what to change; never anything of a key."""  # S2, S3
    told = fault_of(**settings)
    assert told.startswith(fault)
    assert SECRET not in told
    assert "BEGIN PRIVATE" not in told


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_the_command_that_is_advised(algorithm: str) -> None:
    """Who does as the message says, and runs the command it names, has a key that is accepted."""
    ssh = "-----BEGIN OPENSSH PRIVATE KEY-----\nAA==\n-----END OPENSSH PRIVATE KEY-----"
    wrong: list[dict[str, Any]] = [{}, {"private_key": public_pem(ONE)}, {"private_key": ssh}]
    (command,) = {fault_of(algorithm=algorithm, **one).rpartition(": ")[2] for one in wrong}
    made = subprocess.check_output(shlex.split(command), text=True, stderr=subprocess.DEVNULL)
    assert settings_of(algorithm=algorithm, private_key=made).private_key


@pytest.mark.parametrize("name", ["PRIVATE_KEY", "PUBLIC_KEYS"])
def test_a_file_where_the_key_belongs(name: str) -> None:
    """A file's name in a variable, or a mapping, is told which one is for it, with its prefix."""
    written = {"SHOP_SECRET_KEY": SECRET, "SHOP_ALGORITHM": "EdDSA", "SHOP_PRIVATE_KEY": ""}
    written |= {f"SHOP_{name}": "keys/ed.pem"}
    readers: list[Callable[[], Settings]] = [
        lambda: Settings.from_env("SHOP_", written),
        lambda: Settings.from_mapping(written, "SHOP_", {}),
    ]
    for read in readers:
        with pytest.raises(ConfigurationError) as caught:
            read()
        (fault,) = (one for one in caught.value.faults if "is no key" in one)
        assert fault.startswith(f"{name.lower()} (from SHOP_{name}): is no key")
        assert fault.endswith(f"name a file that holds one in SHOP_{name}_FILE")
        assert "ed.pem" not in fault


@pytest.mark.parametrize("form", ["{}", "\ufeff{}", " # a comment\n{}"])
def test_a_key_in_a_variable(form: str) -> None:
    """PEM counts as it is copied, also with text before it; so does a JWK."""
    written = {"JWT_SECRET_KEY": SECRET, "JWT_ALGORITHM": "ES256"}
    pem_text = form.format(pem(ONE))
    for key in (pem_text, pem_text.replace("\n", "\\n"), "\n" + json.dumps(jwk(ONE, private=True))):
        settings = Settings.from_env(environ={**written, "JWT_PRIVATE_KEY": key})
        assert Tokens(settings)._access_keys.signing.kid == kid_of(ONE)


def test_a_public_key_is_no_secret() -> None:
    """It is refused as one, though the algorithm is asymmetric."""  # S2
    told = fault_of(secret_key=public_pem(ONE), algorithm="ES256", private_key=pem(ONE))
    assert told.startswith("secret_key: looks like a PEM")


def test_a_huge_key_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    """A path to a device or a log cannot eat the memory, and a broken file is named."""
    file = tmp_path / "key"
    file.write_bytes(b"x" * (MAX_KEY_FILE + 1))
    assert "has more than 65536 bytes" in fault_of(public_keys=file)
    file.write_text("nothing")
    assert fault_of(public_keys=file).startswith(f"public_keys: the file '{file}' is no key")


def test_without_cryptography_the_settings_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault is one of those that are told at start-up, and names the extra."""
    monkeypatch.setattr("builtins.__import__", _without_crypto(__import__))
    assert "jwt-session-middleware[crypto]" in fault_of(public_keys=public_pem(ONE))


def _without_crypto(real: Any) -> Any:
    def find(name: str, *more: Any, **options: Any) -> Any:
        if name == "jwk":
            raise ConfigurationError('pip install "jwt-session-middleware[crypto]"')
        return real(name, *more, **options)

    return find


# ── A process that only verifies ─────────────────────────────────────────────────


def test_a_process_that_only_verifies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs no secret, opens no store, ignores refresh tokens and says why it cannot issue."""
    monkeypatch.chdir(tmp_path)
    issuing = House(algorithm="ES256", private_key=pem(ONE))
    browser = Browser(issuing)
    browser.login()
    auth = JWTAuth(Settings(public_keys=public_pem(ONE)), clock=lambda: issuing.now)
    assert auth.settings.session_store == "none"
    reading = House.__new__(House)
    reading.__dict__.update({**issuing.__dict__, "auth": auth, "flow": auth.flow})
    reading.commands = []
    arrived = browser.arrive(house=reading).auth
    assert arrived.subject == "alice"
    with pytest.raises(ConfigurationError, match="only verifies tokens"):
        arrived.login("bob")
    with pytest.raises(NotAuthenticated):
        arrived.update({})
    with pytest.raises(SessionsNotStored):
        arrived.logout_everywhere()
    arrived.logout()
    browser.respond(arrived, house=reading)
    with pytest.raises(ConfigurationError, match="only verifies tokens"):
        auth.issue("bob")
    with pytest.raises(SessionsNotStored):
        auth.revoke("x")
    issuing.wait(900)
    assert browser.arrive(house=reading).auth.reason == "expired"
    assert browser.without_access().arrive(house=reading).auth.reason == "missing"
    assert reading.store_commands == []
    assert list(tmp_path.iterdir()) == []


def test_it_may_share_the_store_of_the_issuer() -> None:
    """With a store that it names, the sessions of its tokens are checked there."""
    issuing = House(algorithm="ES256", private_key=pem(ONE))
    browser = Browser(issuing)
    sid = browser.login()
    auth = JWTAuth(
        Settings(public_keys=public_pem(ONE), session_store=issuing.store, check_session="always"),
        clock=lambda: issuing.now,
    )
    reading = House.__new__(House)
    reading.__dict__.update({**issuing.__dict__, "auth": auth, "flow": auth.flow})
    assert browser.arrive(house=reading).auth.subject == "alice"
    issuing.auth.revoke(sid)
    assert browser.arrive(house=reading).auth.reason == "revoked"


# ── Roll-over by configuration ───────────────────────────────────────────────────


def test_the_first_private_key_signs_and_all_verify() -> None:
    """Newest first; a public key beside it may be the same or another one."""  # S10
    tokens = Tokens(
        settings_of(
            algorithm="ES256",
            private_key=[pem(TWO), pem(ONE)],
            public_keys=[public_pem(TWO), public_pem(THREE)],
        )
    )
    assert header_kid(tokens.sign_access(CLAIMS)) == kid_of(TWO)
    for key in (ONE, TWO, THREE):
        token = sign(key, CLAIMS, kid=kid_of(key))
        assert tokens.verify(token, None, now=NOW).access_state == "valid"


def test_from_secrets_to_keys() -> None:
    """While one still signs by a secret, the coming key verifies; afterwards the secret opens
    nothing, and signs refresh tokens on."""  # S2
    before = House(public_keys=public_pem(ONE))
    after = before.other_process()
    after.auth = JWTAuth(
        before.auth.settings,
        public_keys=(),
        algorithm="ES256",
        private_key=pem(ONE),
        clock=lambda: before.now,
    )
    after.flow = after.auth.flow
    browser = Browser(before)
    browser.login()
    assert browser.get(house=after).subject == "alice"  # by its refresh token
    assert header_kid(browser.access or "") == kid_of(ONE)
    assert browser.get(house=before).subject == "alice"
    token = forge({"alg": "HS256"}, CLAIMS)
    client = HeaderClient(after)
    assert not client.arrive(client.request(authorization=f"Bearer {token}")).auth.is_authenticated


# ── Files that change ────────────────────────────────────────────────────────────


class Mounted:
    """A folder with keys, exchanged as Kubernetes does it: by one symbolic link."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.turn = 0

    def put(self, **files: str) -> None:
        self.turn += 1
        inner = self.folder / f"..{self.turn}"
        inner.mkdir()
        for name, content in files.items():
            (inner / name).write_text(content)
            link = self.folder / name
            if not link.is_symlink():
                link.symlink_to(Path("..data") / name)
        swap = self.folder / "..tmp"
        swap.symlink_to(inner.name)
        os.replace(swap, self.folder / "..data")


@pytest.fixture
def mounted(tmp_path: Path) -> Mounted:
    return Mounted(tmp_path)


def house_of(mounted: Mounted, **settings: Any) -> House:
    return House(
        algorithm="ES256",
        private_key=mounted.folder / "private",
        public_keys=mounted.folder / "public",
        keys_reload=60,
        **settings,
    )


def test_a_changed_file_is_taken_over(mounted: Mounted) -> None:
    """The new key signs and the removed one opens nothing any more, the cache included; nobody
    with a refresh token is signed out."""  # S10, S21
    mounted.put(private=pem(ONE), public=public_pem(ONE))
    house = house_of(mounted)
    browser = Browser(house)
    browser.login()
    old = browser.access or ""
    assert browser.get().subject == "alice"
    mounted.put(private=pem(TWO), public=public_pem(TWO))
    house.wait(59)
    assert browser.get().subject == "alice"
    house.wait(1)
    client = HeaderClient(house)
    stale = client.arrive(client.request(authorization=f"Bearer {old}")).auth
    assert stale.reason == "invalid_token"
    assert browser.get().subject == "alice"
    assert header_kid(browser.access or "") == kid_of(TWO)


def test_files_are_looked_at_once_in_a_while(mounted: Mounted) -> None:
    """One look for all requests of a minute; with a known token, too."""
    mounted.put(private=pem(ONE), public=public_pem(ONE))
    house = house_of(mounted)
    browser = Browser(house)
    browser.login()
    for _ in range(3):
        house.wait(60)
        house.forget_commands()
        for _ in range(4):
            assert browser.get().subject == "alice"
        assert [one.verb for one in house.commands if one.port == "keys"] == ["refresh"]


def test_who_only_signs_in_uses_the_new_key(mounted: Mounted) -> None:
    """Sign-ins come without a token; they, and what is issued outside of a request, look, too."""
    mounted.put(private=pem(ONE), public=public_pem(ONE))
    house = house_of(mounted)
    mounted.put(private=pem(TWO), public=public_pem(TWO))
    browser = Browser(house)
    browser.login()
    assert header_kid(browser.access or "") == kid_of(TWO)
    mounted.put(private=pem(THREE), public=public_pem(THREE))
    house.wait(60)
    assert header_kid(house.auth.issue("alice").access_token) == kid_of(THREE)


@pytest.mark.parametrize(
    "broken",
    [
        {"private": "", "public": ""},
        {"private": "nothing", "public": public_pem(TWO)},
        {"private": public_pem(TWO), "public": public_pem(TWO)},
        {"private": pem(key_for("RS256")), "public": public_pem(TWO)},
        {"private": pem(TWO)[:100], "public": public_pem(TWO)},
        {"private": json.dumps(jwk(TWO, kid="a")), "public": public_pem(TWO)},
    ],
    ids=range(6),
)
def test_a_broken_file_changes_nothing(
    mounted: Mounted, broken: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """The last good keys stay, the log says so once, and the next good file is taken over."""
    mounted.put(private=pem(ONE), public=public_pem(ONE))
    house = house_of(mounted)
    browser = Browser(house)
    browser.login()
    mounted.put(**broken)
    with caplog.at_level(logging.INFO, "jwt_middleware"):
        for _ in range(3):
            house.wait(60)
            assert browser.get().subject == "alice"
            assert header_kid(house.auth.issue("bob").access_token) == kid_of(ONE)
        mounted.put(private=pem(THREE), public=public_pem(THREE))
        house.wait(60)
        assert browser.get().subject == "alice"
    assert header_kid(house.auth.issue("bob").access_token) == kid_of(THREE)
    assert caplog.text.count("the last good ones stay") == 1
    assert caplog.text.count("keys reloaded") == 1
    assert "BEGIN PRIVATE" not in caplog.text
    mounted.put(private="gone again", public="")
    house.wait(60)
    with caplog.at_level(logging.INFO, "jwt_middleware"):
        browser.get()
    assert caplog.text.count("the last good ones stay") == 2


def test_a_file_that_is_gone_changes_nothing(mounted: Mounted) -> None:
    """Neither does a moment in which there is none."""
    mounted.put(private=pem(ONE), public=public_pem(ONE))
    house = house_of(mounted)
    (mounted.folder / "private").unlink()
    house.wait(60)
    assert Browser(house).get().reason == "missing"
    assert header_kid(house.auth.issue("bob").access_token) == kid_of(ONE)


def test_many_threads_cause_one_look(tmp_path: Path) -> None:
    """Whoever comes while another looks waits for it, and does not look again."""
    file = tmp_path / "key"
    file.write_text(pem(ONE))
    made: list[int] = []

    def make(texts: Any) -> KeySet:
        made.append(len(texts))
        return KeySet(texts[0].read(["ES256"]))

    keys = FileKeys([KeyText(file.read_bytes(), file)], make, every=60)
    file.write_text(pem(TWO))
    ready = threading.Barrier(8)

    def look() -> None:
        ready.wait()
        keys.refresh(None, NOW)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1, 1]
    assert (keys.version, keys.due) == (1, NOW + 60)
    assert keys.find(kid_of(TWO), "ES256") is keys.signing
    assert not keys.stale(None, NOW + 59)
    keys.refresh_ahead(NOW + 60)
    assert keys.stale(None, NOW + 60)
