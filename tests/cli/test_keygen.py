"""``jwt-middleware keygen``: what it makes is accepted, and what it writes is nobody else's."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from commanding import Command

from jwt_middleware import JWTAuth, Settings
from jwt_middleware.jwk import read_keys

KEYS = {"EdDSA": "EdDSA", "es256": "ES256", "RSA": "RS256", "PS256": "PS256"}
"""What may be asked for, and the algorithm that is meant."""


def signs(algorithm: str, private_key: str | Path) -> bool:
    settings = Settings(
        secret_key="s" * 32,
        algorithm=algorithm,  # type: ignore[arg-type]
        private_key=private_key,
        session_store="memory://",
    )
    return bool(JWTAuth(settings).issue("alice").access_token)


@pytest.mark.parametrize("arguments", [(), ("secret",)], ids=["by default", "by name"])
def test_a_secret(command: Command, arguments: tuple[str, ...]) -> None:
    """A secret is made that every HS algorithm accepts, each time another."""
    one, other = (command("keygen", *arguments) for _ in range(2))
    assert (one.status, one.err) == (0, "")
    assert one.out != other.out
    Settings(secret_key=one.out.strip(), algorithm="HS512")


def test_an_encryption_key(command: Command) -> None:
    """A key that encrypts is made as the setting wants it."""
    made = command("keygen", "encryption").out.strip()
    assert Settings(secret_key="s" * 32, encryption_key=made).encryption_key


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("form", ["pem", "jwk"])
def test_a_key(command: Command, kind: str, form: str) -> None:
    """A private key is made, in PEM or as a JWK, that signs by its algorithm."""
    made = command("keygen", kind, "--format", form)
    assert (made.status, made.err) == (0, "")
    assert signs(KEYS[kind], made.out)
    if form == "jwk":
        assert json.loads(made.out)["alg"] == KEYS[kind]


def test_a_key_in_a_file(command: Command, tmp_path: Path) -> None:
    """The private key goes into a file that only its owner can read, the public one is printed."""
    made = command("keygen", "EdDSA", "--out", "signing.pem")
    written = (tmp_path / "signing.pem").read_text()
    assert "PRIVATE" in written
    assert "PRIVATE" not in made.out + made.err
    (private,), (public,) = read_keys(written), read_keys(made.out)
    assert (private.kid, public.can_sign) == (public.kid, False)
    if os.name != "nt":
        assert stat.S_IMODE((tmp_path / "signing.pem").stat().st_mode) == 0o600


def test_a_secret_in_a_file(command: Command, tmp_path: Path) -> None:
    """A secret that goes into a file is not printed."""
    made = command("keygen", "secret", "--out", "secret")
    assert made.out == ""
    Settings.from_env(environ={"JWT_SECRET_KEY_FILE": str(tmp_path / "secret")})
    assert (tmp_path / "secret").read_text().strip() not in made.err


def test_no_file_is_overwritten(command: Command, tmp_path: Path) -> None:
    """A file that is there stays as it is: a key that is overwritten is lost."""
    (tmp_path / "signing.pem").write_text("precious")
    made = command("keygen", "EdDSA", "--out", "signing.pem")
    assert (made.status, made.out) == (2, "")
    assert "exists already" in made.err
    assert (tmp_path / "signing.pem").read_text() == "precious"


def test_for_programs(command: Command) -> None:
    """With ``--json`` there is one document; the private half is in it unless it is in a file."""
    assert json.loads(command("keygen", "--json").out)["kind"] == "secret"
    made = json.loads(command("keygen", "ES256", "--json").out)
    assert made["private"]["kid"] == made["public"]["kid"]
    assert "d" not in made["public"]
    filed = command("keygen", "ES256", "--json", "--out", "key.jwk", "--format", "jwk")
    assert set(json.loads(filed.out)) == {"kind", "public"}


def test_the_roll_over_of_a_set(command: Command, tmp_path: Path) -> None:
    """The next key comes last, signs after a step of its own, and then stands alone."""
    file = tmp_path / "keys.json"

    def kids(*arguments: str) -> list[str]:
        made = command("keygen", *arguments, "--set", "keys.json")
        assert made.status == 0
        published = json.loads(made.out)["keys"]
        assert not any("d" in key for key in published)
        inside = [key["kid"] for key in json.loads(file.read_text())["keys"]]
        assert inside == [key["kid"] for key in published]
        assert signs("ES256", file)
        return inside

    (first,) = kids("ES256")
    assert kids()[0] == first
    newest = kids("--step", "sign")[0]
    assert newest != first
    assert kids("--step", "retire") == [newest]
    if os.name != "nt":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_set_begins_with_eddsa(command: Command) -> None:
    """The first key of a new set is for EdDSA, unless another kind is named."""
    made = command("keygen", "--set", "keys.json")
    assert [key["alg"] for key in json.loads(made.out)["keys"]] == ["EdDSA"]


@pytest.mark.parametrize("step", ["sign", "retire"])
def test_a_set_of_one_key_has_no_next_step(command: Command, tmp_path: Path, step: str) -> None:
    """The only key is never taken away."""
    command("keygen", "--set", "keys.json")
    before = (tmp_path / "keys.json").read_text()
    made = command("keygen", "--set", "keys.json", "--step", step)
    assert (made.status, made.out) == (1, "")
    assert "no second key" in made.err
    assert (tmp_path / "keys.json").read_text() == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("no json", "is no JWK Set"),
        ('{"kty": "OKP"}', "is no JWK Set"),
        ('{"keys": [{"kty": "OKP", "crv": "Ed25519"}]}', "x is missing"),
        ('{"keys": [PUBLIC]}', "cannot sign"),
    ],
    ids=["text", "one key", "a broken key", "a public key"],
)
def test_files_that_are_no_set(command: Command, tmp_path: Path, content: str, words: str) -> None:
    """A file that is no set of private keys is left alone, and said to be none."""
    public = json.dumps(json.loads(command("keygen", "EdDSA", "--json").out)["public"])
    content = content.replace("PUBLIC", public)
    (tmp_path / "keys.json").write_text(content)
    made = command("keygen", "--set", "keys.json")
    assert (made.status, made.out) == (2, "")
    assert words in made.err
    assert (tmp_path / "keys.json").read_text() == content


def test_a_set_whose_kind_nobody_knows(command: Command, tmp_path: Path) -> None:
    """Where the first key does not say what it is for, neither is the next one guessed."""
    command("keygen", "--set", "keys.json")
    keys = json.loads((tmp_path / "keys.json").read_text())
    del keys["keys"][0]["alg"]
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    assert "say which kind" in command("keygen", "--set", "keys.json").err
    assert command("keygen", "EdDSA", "--set", "keys.json").status == 0


def test_a_write_that_is_under_way(command: Command, tmp_path: Path) -> None:
    """Of two that change a set at once, one is told to wait."""
    (tmp_path / "keys.json.new").touch()
    made = command("keygen", "--set", "keys.json")
    assert made.status == 2
    assert "somebody else is writing" in made.err
    assert not (tmp_path / "keys.json").exists()


@pytest.mark.parametrize(
    "arguments",
    [("--out", "nowhere/key"), ("--set", "nowhere/set"), ("--set", "folder")],
    ids=["a file", "a set", "a folder"],
)
def test_places_that_cannot_be_written(
    command: Command, tmp_path: Path, arguments: tuple[str, str]
) -> None:
    """A place that cannot be read or written is named, with the system's reason."""
    (tmp_path / "folder").mkdir()
    made = command("keygen", "EdDSA", *arguments)
    assert (made.status, made.out) == (2, "")
    assert made.err.startswith("cannot ")
    assert repr(arguments[1])[1:-1] in made.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("DSA",), "expected one of secret, encryption, EdDSA"),
        (("--step", "sign"), "--set FILE"),
        (("secret", "--set", "keys.json"), "a JWK Set holds keys"),
    ],
    ids=["an unknown kind", "a step without a set", "a secret in a set"],
)
def test_what_cannot_be_meant(command: Command, arguments: tuple[str, ...], words: str) -> None:
    """What cannot be meant is refused as a wrong use of the command."""
    made = command("keygen", *arguments)
    assert (made.status, made.out) == (2, "")
    assert words in made.err
