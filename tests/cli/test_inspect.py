"""``jwt-middleware inspect``: loud about what is not verified, right about what is."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from auth_server import AuthServer
from commanding import SECRET, Command, Piped
from forging import b64

from jwt_middleware import JWTAuth, Settings, TokenPair

ENCRYPTION_KEY = "A" * 43


def pair(*, ago: float = 0, claims: dict[str, Any] | None = None, **settings: Any) -> TokenPair:
    """The tokens of a session that began so many seconds ago."""
    settings = {"secret_key": SECRET, "session_store": "memory://", **settings}
    now = time.time() - ago
    return JWTAuth(Settings(**settings), clock=lambda: now).issue("alice", claims)


def forged(claims: dict[str, Any]) -> str:
    parts = ('{"alg": "HS256"}', json.dumps(claims), "no signature")
    return ".".join(b64(part.encode()) for part in parts)


def test_it_says_loudly_that_nothing_is_verified(command: Command) -> None:
    """Without ``--verify`` the first words are that nothing below is to be believed."""
    shown = command("inspect", piped=pair(claims={"roles": ["admin"]}).access_token)
    assert (shown.status, shown.err) == (0, "")
    assert shown.out.startswith("NOT VERIFIED. Anybody can write such a token: believe nothing")
    for words in ("at+jwt", "alice", '["admin"]', "UTC, in 15 min", " s ago"):
        assert words in shown.out


def test_a_forged_token_is_decoded_and_refused(command: Command) -> None:
    """What anybody wrote is shown without ``--verify``, and refused with it, with the reason."""
    token = forged({"sub": "root", "exp": time.time() + 60})
    assert "root" in command("inspect", piped=token).out
    shown = command("inspect", "--verify", piped=token)
    assert shown.status == 1
    assert shown.out.startswith("REFUSED: the signature does not hold")
    assert "Believe nothing below." in shown.out


def test_a_good_token_is_verified(command: Command) -> None:
    """Access and refresh tokens of the settings in the environment are valid."""
    tokens = pair()
    for token in (tokens.access_token, tokens.refresh_token):
        shown = command("inspect", "--verify", piped=token)
        assert shown.status == 0
        assert shown.out.startswith("VALID.")


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
def test_an_expired_token(command: Command, kind: str) -> None:
    """An expired token is authentic, and does not count."""
    token = getattr(pair(ago=40 * 86_400), kind)
    shown = command("inspect", "--verify", piped=token)
    assert shown.status == 1
    assert shown.out.startswith("EXPIRED.")
    assert "days ago" in shown.out


def test_another_audience(command: Command) -> None:
    """A token for somebody else is refused, and the reason is the app's own."""
    token = pair(audience="other").access_token
    shown = command("inspect", "--verify", piped=token, JWT_AUDIENCE="api")
    assert (shown.status, "meant for another audience" in shown.out) == (1, True)


def test_settings_by_another_prefix(command: Command) -> None:
    """``--prefix`` names the settings, as the app's own call of ``from_env`` does."""
    token = pair(secret_key="x" * 32).access_token
    assert command("inspect", "--verify", piped=token).status == 1
    other = {"SHOP_SECRET_KEY": "x" * 32}
    assert command("inspect", "--verify", "--prefix", "SHOP_", piped=token, **other).status == 0


def test_an_encrypted_token(command: Command) -> None:
    """An encrypted token is closed without its key, and open and verified with it."""
    token = pair(claims={"email": "alice@example.com"}, encryption_key=ENCRYPTION_KEY).access_token
    closed = command("inspect", piped=token)
    assert (closed.status, "alice" in closed.out) == (0, False)
    assert "The claims are encrypted" in closed.out
    opened = command("inspect", "--verify", piped=token, JWT_ENCRYPTION_KEY=ENCRYPTION_KEY)
    assert (opened.status, "alice@example.com" in opened.out) == (0, True)
    assert "WARNING" not in opened.out  # nobody can read it
    for environ in ({}, {"JWT_ENCRYPTION_KEY": "B" * 43}):
        assert command("inspect", "--verify", piped=token, **environ).status == 1


def test_keys_that_are_published(command: Command) -> None:
    """With ``jwks_url`` the issuer's keys are fetched; where they cannot be, nobody can say."""
    environ: dict[str, Any] = {
        "JWT_SECRET_KEY": None,
        "JWT_AUDIENCE": "api",
        "JWT_JWKS_LOOPBACK_HTTP": "true",
    }
    with AuthServer(1) as server:
        environ |= {"JWT_ISSUER": server.url, "JWT_JWKS_URL": server.jwks_url}
        token = server.token(int(time.time()))
        assert command("inspect", "--verify", piped=token, **environ).out.startswith("VALID.")
    gone = command("inspect", "--verify", piped=token, **environ)
    assert (gone.status, gone.out) == (4, "")
    assert "nobody can say" in gone.err


def test_for_programs(command: Command) -> None:
    """With ``--json`` there is one document, with the verdict beside the claims."""
    token = pair(claims={"password": "hunter2"}).access_token
    shown = json.loads(command("inspect", "--json", piped=token).out)
    assert (shown["verified"], shown["state"], shown["reason"]) == (False, "unverified", None)
    assert shown["claims"]["sub"] == "alice"
    assert shown["warnings"] == ["password looks like a password or its hash"]
    verified = json.loads(command("inspect", "--verify", "--json", piped=token).out)
    assert (verified["verified"], verified["state"]) == (True, "valid")


def test_claims_that_anybody_can_read(command: Command) -> None:
    """Claims that a readable token should not hold are warned of, by name."""
    token = pair(claims={"user": {"mail_address": 1, "email": "a@example.com"}}).access_token
    out = command("inspect", piped=token).out
    assert "WARNING: user.email looks like an e-mail address." in out


@pytest.mark.parametrize(
    "form",
    ["{}\n", "Bearer {}", "Authorization: Bearer {}", "__Host-access_token={};", '"{}"'],
)
def test_tokens_as_they_are_copied(command: Command, form: str) -> None:
    """A token counts with what stands around it where people copy it from."""
    token = pair().access_token
    half = len(token) // 2
    wrapped = f"{token[:half]}\n{token[half:]}"
    assert command("inspect", "--verify", piped=form.format(wrapped)).status == 0


def test_a_token_in_a_file(command: Command, tmp_path: Path) -> None:
    """``--file`` reads it from there; a file that cannot be read is named."""
    (tmp_path / "token").write_text(pair().access_token)
    assert command("inspect", "--verify", "--file", "token").status == 0
    missing = command("inspect", "--file", "gone")
    assert (missing.status, "cannot read 'gone': No such file" in missing.err) == (2, True)


def test_a_person_is_told_what_to_do(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a terminal the command says that it waits, and for what."""
    monkeypatch.setattr(Piped, "terminal", True)
    assert "Paste it, then press Enter" in command("inspect", piped=pair().access_token).err


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("", 2, "no token came"),
        ("hello", 1, "this is no JWT: not three base64url segments"),
        ("a.b.c.d.e", 1, "this is no JWT"),
        (f"{b64(b'[]')}.e30.e30", 1, "not a JSON object"),
    ],
    ids=["nothing", "a word", "no encrypted token", "no object"],
)
def test_what_is_no_token(command: Command, text: str, status: int, words: str) -> None:
    """What is no token is said to be none, and is not quoted."""
    shown = command("inspect", piped=text)
    assert (shown.status, shown.out) == (status, "")
    assert words in shown.err


def test_a_token_does_not_command_the_terminal(command: Command) -> None:
    """Control characters in a stranger's token are shown, not obeyed."""
    evil = "\x1b]0;owned\x07\x9b2J\u202e"
    out = command("inspect", piped=forged({"sub": evil, evil: 1, "list": [evil]})).out
    assert all(one.isprintable() or one == "\n" for one in out)
    assert "\\x1b]0;owned" in out


def test_strange_times(command: Command) -> None:
    """Times that no calendar has, and those that are no numbers, are shown as they are."""
    out = command("inspect", piped=forged({"exp": 1e300, "iat": True, "nbf": "soon"})).out
    assert "1e+300" in out
    assert "soon" in out


def test_a_token_without_claims(command: Command) -> None:
    """An empty claims set is shown as one."""
    assert "\nClaims\n  none\n" in command("inspect", piped=forged({})).out


def test_faults_of_the_settings(command: Command) -> None:
    """Settings that the app would refuse are refused, with all faults, and no token is judged."""
    shown = command("inspect", "--verify", piped=forged({}), JWT_SECRET_KEY="short")
    assert (shown.status, shown.out) == (3, "")
    assert "secret_key: HS256 needs at least 32 bytes" in shown.err
    assert "short" not in shown.err
