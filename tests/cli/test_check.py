"""``jwt-middleware check``: every fault and risk has a name, and stores and servers are tried."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from auth_server import AuthServer
from commanding import SECRET, Answer, Command
from stores.services import redis_url

from jwt_middleware import JWTAuth, Settings
from jwt_middleware.cli import trials
from jwt_middleware.cli.risks import _PRICES
from jwt_middleware.keys import Fetched
from jwt_middleware.stores.sqlite import SQLiteSessionStore

GOOD_SECRET = "9mVZ0hZyQv4r1bX7cTtKpLs2dWfGjNuEoAiR5xY8k3B6"
SOUND = {
    "JWT_SECRET_KEY": GOOD_SECRET,
    "JWT_REQUIRED": "true",
    "JWT_TOKEN_LOCATION": "headers",
    "JWT_SESSION_STORE": "sqlite:////{tmp}/sessions.sqlite3",
}
"""Settings of which there is nothing to say."""

ONLY_VERIFIES = {"JWT_SECRET_KEY": None, "JWT_SESSION_STORE": None}


@pytest.fixture
def check(command: Command, tmp_path: Path) -> Command:
    """Runs ``check --json`` with sound settings, but for those given."""

    def run(*arguments: str, **environ: str | None) -> Answer:
        given: dict[str, str | None] = {**SOUND, **environ}
        given = {
            name: value and value.replace("/{tmp}", str(tmp_path)) for name, value in given.items()
        }
        left_out = {name for name, value in given.items() if value is None} - {"JWT_SECRET_KEY"}
        given = {name: value for name, value in given.items() if name not in left_out}
        return command("check", "--json", *arguments, **given)

    return run


def findings(answer: Answer) -> list[tuple[str, str, str]]:
    return [tuple(one.values()) for one in json.loads(answer.out)["findings"]]


def about(answer: Answer, level: str) -> list[str]:
    return [about for found, about, _ in findings(answer) if found == level]


def test_sound_settings(check: Command) -> None:
    """Of sound settings there is nothing to say but that the store answers."""
    answer = check("--strict")
    assert (answer.status, answer.err) == (0, "")
    ((level, what, text),) = findings(answer)
    assert (level, what) == ("good", "session store")
    assert text.startswith("written, read and ended in ")


RISKS: list[tuple[str, dict[str, str | None]]] = [
    ("secret_key", {"JWT_SECRET_KEY": SECRET}),
    ("secret_key", {"JWT_SECRET_KEY": "abcabcab" * 5}),
    ("cookie_secure", {"JWT_TOKEN_LOCATION": "cookies", "JWT_COOKIE_SECURE": "false"}),
    ("cookie_httponly", {"JWT_TOKEN_LOCATION": "cookies", "JWT_COOKIE_HTTPONLY": "false"}),
    ("cookie_domain", {"JWT_TOKEN_LOCATION": "cookies", "JWT_COOKIE_DOMAIN": "example.com"}),
    ("cookie_samesite", {"JWT_TOKEN_LOCATION": "cookies", "JWT_COOKIE_SAMESITE": "None"}),
    ("csrf", {"JWT_TOKEN_LOCATION": "cookies", "JWT_CSRF": "off"}),
    (
        "trusted_origins",
        {"JWT_TOKEN_LOCATION": "cookies", "JWT_TRUSTED_ORIGINS": "http://shop.example.com"},
    ),
    ("session_store", {"JWT_SESSION_STORE": "none"}),
    ("session_store", {"JWT_SESSION_STORE": "memory://"}),
    ("access_token_expires", {"JWT_ACCESS_TOKEN_EXPIRES": "2h"}),
    ("access_token_expires", {"JWT_ACCESS_TOKEN_EXPIRES": "5m"}),
    ("rotation_grace", {"JWT_ROTATION_GRACE": "5"}),
    ("leeway", {"JWT_LEEWAY": "4m"}),
    (
        "accept_unencrypted",
        {"JWT_ENCRYPTION_KEY": "A" * 42 + "E", "JWT_ACCEPT_UNENCRYPTED": "true"},
    ),
    ("websocket_query_param", {"JWT_WEBSOCKET_QUERY_PARAM": "token"}),
    ("jwks_loopback_http", {"JWT_JWKS_LOOPBACK_HTTP": "true"}),
    ("identity_claim", {"JWT_IDENTITY_CLAIM": "email"}),
    ("required_claims", {"JWT_REQUIRED_CLAIMS": "phone_number"}),
]

NOTES: list[tuple[str, dict[str, str | None]]] = [
    ("previous_secret_keys", {"JWT_PREVIOUS_SECRET_KEYS": GOOD_SECRET[::-1]}),
    ("cookie_secure", {"JWT_TOKEN_LOCATION": "cookies"}),
    ("access_cookie_name", {"JWT_TOKEN_LOCATION": "cookies", "JWT_ACCESS_COOKIE_NAME": "token"}),
    ("session_store", {"JWT_SESSION_STORE": "sqlite:///sessions.sqlite3"}),
    ("session_lifetime", {"JWT_SESSION_LIFETIME": "400d"}),
    ("refresh_token_expires", {"JWT_REFRESH_TOKEN_EXPIRES": "100d"}),
    ("lost_response_window", {"JWT_LOST_RESPONSE_WINDOW": "0"}),
    ("required", {"JWT_REQUIRED": "false"}),
]


def named(rows: list[tuple[str, dict[str, str | None]]]) -> list[Any]:
    return [
        pytest.param(*row, id=" ".join(f"{name}={value}" for name, value in row[1].items()))
        for row in rows
    ]


@pytest.mark.parametrize(("setting", "environ"), named(RISKS))
def test_risks(check: Command, setting: str, environ: dict[str, str]) -> None:
    """Each risk is named with its setting, alone, and a failure with ``--strict``."""
    answer = check("--offline", "--strict", **environ)
    assert answer.status == 1
    assert about(answer, "risk") == [setting]
    for secret in (environ.get("JWT_SECRET_KEY"), GOOD_SECRET):
        assert secret is None or secret not in answer.out


@pytest.mark.parametrize(("setting", "environ"), named(NOTES))
def test_notes(check: Command, setting: str, environ: dict[str, str]) -> None:
    """What is worth knowing is named, and is no failure even with ``--strict``."""
    answer = check("--offline", "--strict", **environ)
    assert answer.status == 0
    assert setting in about(answer, "note")
    assert about(answer, "risk") == []


def test_the_network_to_redis(check: Command) -> None:
    """Redis across a network without TLS is a risk, on this machine or with TLS it is none; and
    no finding holds the URL's password."""
    for url, expected in (
        ("redis://:hunter2@10.0.0.1", ["session_store"]),
        ("rediss://:hunter2@10.0.0.1", []),
        ("redis://:hunter2@localhost", []),
    ):
        answer = check("--offline", JWT_SESSION_STORE=url)
        assert about(answer, "risk") == expected
        assert "hunter2" not in answer.out


def test_keys_that_several_services_trust(check: Command) -> None:
    """A key that others verify by asks for an audience."""
    environ = ONLY_VERIFIES | {
        "JWT_ISSUER": "https://login.example.com",
        "JWT_JWKS_URL": "https://login.example.com/jwks",
    }
    assert about(check("--offline", **environ), "risk") == ["audience"]
    assert about(check("--offline", **environ, JWT_AUDIENCE="api"), "risk") == []


def test_every_price_is_tried() -> None:
    """No row of the table of risks is without a test above."""
    tried = {setting for setting, _ in (*RISKS, *NOTES)} | {"audience"}
    assert {price.setting for price in _PRICES} <= tried


def test_an_encrypted_token_may_hold_more(check: Command) -> None:
    """Claims that nobody can read are no risk."""
    answer = check("--offline", JWT_IDENTITY_CLAIM="email", JWT_ENCRYPTION_KEY="A" * 42 + "E")
    assert about(answer, "risk") == []


def test_faults(check: Command) -> None:
    """Settings that the app would refuse: all faults at once, and nothing is tried."""
    answer = check(JWT_SECRET_KEY="short", JWT_COOKIE_SECRE="x", JWT_ALGORITHM="RS1")
    assert answer.status == 3
    texts = {what: text for _, what, text in findings(answer)}
    assert set(about(answer, "fault")) == {"algorithm (from JWT_ALGORITHM)", "JWT_COOKIE_SECRE"}
    assert "did you mean JWT_COOKIE_SECURE?" in texts["JWT_COOKIE_SECRE"]
    short = check(JWT_SECRET_KEY="short")
    assert "needs at least 32 bytes" in short.out
    assert '"short"' not in short.out


def test_no_secret_at_all(command: Command) -> None:
    """Without a secret the command that makes one is named."""
    answer = command("check", JWT_SECRET_KEY=None)
    assert answer.status == 3
    assert answer.out.startswith("FAULT   secret_key\n        is missing; make one with: python")


def test_for_people(command: Command) -> None:
    """The gravest comes first, then what to do, and in the end a count of each kind."""
    out = command("check", "--offline").out
    assert out.startswith("RISK    secret_key\n        looks like a word or a pattern")
    assert out.endswith("\nrisk: 1, note: 3\n")
    assert max(map(len, out.splitlines())) <= 100


# ── The store ───────────────────────────────────────────────────────────────────


def test_a_store_of_sqlite(check: Command, tmp_path: Path) -> None:
    """The store is written to and read, and what is left can be purged after a minute."""
    assert about(check(), "good") == ["session store"]
    store = SQLiteSessionStore(tmp_path / "sessions.sqlite3")
    assert store.find(trials.SUBJECT, now=0) == []
    assert store.purge(4e9) == 1
    store.close()


def test_a_store_of_redis(check: Command, tmp_path: Path) -> None:
    """A real Redis is tried likewise."""
    with redis_url(tmp_path) as url:
        assert about(check(JWT_SESSION_STORE=url), "good") == ["session store"]


@pytest.mark.parametrize(
    "url",
    ["sqlite:////nowhere/sessions.sqlite3", "redis://:hunter2@127.0.0.1:1"],
    ids=["no folder", "no server"],
)
def test_a_store_that_does_not_answer(check: Command, url: str) -> None:
    """A store that cannot be used is an outage, with its cause and without its password."""
    answer = check(JWT_SESSION_STORE=url, JWT_STORE_TIMEOUT="0.5")
    assert answer.status == 4
    ((_, what, text),) = [one for one in findings(answer) if one[0] == "outage"]
    assert (what, "Error: " in text) == ("session store", True)
    assert "hunter2" not in answer.out


def test_a_store_that_forgets(check: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not show what was just written is one that cannot be relied on."""
    monkeypatch.setattr(SQLiteSessionStore, "load", lambda self, session_id, *, now: None)
    answer = check()
    assert answer.status == 4
    assert "do reads go to a replica?" in answer.out


@pytest.mark.parametrize("url", ["none", "memory://"])
def test_stores_that_are_not_there(check: Command, url: str) -> None:
    """What lives in the app's own process cannot be tried from here, and it says so."""
    answer = check(JWT_SESSION_STORE=url)
    assert answer.status == 0
    assert "session store" in about(answer, "note")


def test_the_claims_of_a_session(check: Command, tmp_path: Path) -> None:
    """``--subject`` looks at what somebody's tokens hold, by the names of the claims."""
    store = f"sqlite:///{tmp_path}/sessions.sqlite3"
    auth = JWTAuth(Settings(secret_key=GOOD_SECRET, session_store=store))
    auth.issue("alice", {"email": "alice@example.com", "roles": []})
    auth.close()
    assert about(check(), "risk") == []
    answer = check("--subject", "alice")
    assert about(answer, "risk") == ["claims"]
    assert "email looks like an e-mail address" in answer.out
    assert "alice@example.com" not in answer.out
    encrypted = check("--subject", "alice", JWT_ENCRYPTION_KEY="A" * 42 + "E")
    assert about(encrypted, "risk") == []


# ── Keys ────────────────────────────────────────────────────────────────────────


def verifying(server: AuthServer, **environ: str) -> dict[str, Any]:
    return {
        **ONLY_VERIFIES,
        "JWT_AUDIENCE": "api",
        "JWT_ISSUER": server.url,
        "JWT_JWKS_LOOPBACK_HTTP": "true",
        **environ,
    }


@pytest.mark.parametrize("url", ["discover", "named"])
def test_keys_that_are_published(check: Command, url: str) -> None:
    """The keys of an issuer are fetched, by their URL or by way of its configuration."""
    with AuthServer(1, 2) as server:
        where = server.jwks_url if url == "named" else url
        answer = check(**verifying(server, JWT_JWKS_URL=where))
        assert ("good", f"keys of {server.url}", "2 fetched, for EdDSA") in findings(answer)
    gone = check(**verifying(server, JWT_JWKS_URL=where))
    assert gone.status == 4
    assert about(gone, "outage") == [f"keys of {server.url}"]


def test_keys_of_other_issuers(check: Command) -> None:
    """Every issuer is asked that publishes its keys, and no other."""
    with AuthServer(1) as server:
        listed = json.dumps([{"url": server.url, "audience": "api", "jwks_url": server.jwks_url}])
        answer = check(JWT_ISSUERS=listed, JWT_JWKS_LOOPBACK_HTTP="true")
        assert f"keys of {server.url}" in about(answer, "good")


def test_keys_of_no_use(check: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A set without a key that could be used here is as good as none."""
    monkeypatch.setattr(trials, "fetcher", lambda *_: lambda url, etag: Fetched(b'{"keys": []}'))
    with AuthServer(1) as server:
        answer = check(**verifying(server, JWT_JWKS_URL=server.jwks_url))
    assert "none of them could be used here" in answer.out


def test_an_issuer_whose_keys_are_known(check: Command, command: Command) -> None:
    """An issuer whose keys are in the settings is not asked."""
    public = json.loads(command("keygen", "ES256", "--json").out)["public"]
    listed = json.dumps([{"url": "https://a.example", "audience": "x", "public_keys": public}])
    assert about(check(JWT_ISSUERS=listed), "good") == ["session store"]


# ── The neighbourhood ───────────────────────────────────────────────────────────


def test_another_package_of_the_same_name(
    check: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second distribution with our import name is noticed, and how to be rid of it is said."""
    for name, file, content in (
        ("jwt_middleware", "top_level.txt", "jwt_middleware\n"),
        ("another", "RECORD", "jwt_middleware/__init__.py,,\n"),
        ("jwt_session_middleware", "RECORD", "jwt_middleware/__init__.py,,\n"),
        ("unrelated", "RECORD", "unrelated.py,,\nmy/jwt_middleware/__init__.py,,\n"),
    ):
        folder = tmp_path / "site" / f"{name}-9.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9\n")
        (folder / file).write_text(content)
    monkeypatch.syspath_prepend(tmp_path / "site")
    answer = check("--offline")
    assert answer.status == 0
    assert about(answer, "risk") == ["installed packages"] * 2
    assert "pip uninstall another, then" in answer.out
    assert "pip uninstall jwt-middleware, then pip install" in answer.out
