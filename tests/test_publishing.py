"""The JWK Set we publish: every key that verifies, never a secret, and cheap to ask for again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from keychain import ALGORITHMS, jwk, jwk_set, key_for, pem, private_key, public_pem
from stepping import SECRET, House
from through import Ask, Through, bearer, cookie

from jwt_middleware import ConfigurationError, Settings
from jwt_middleware.jwk import read_keys
from jwt_middleware.jws import decode_segment

JWKS_PATH = "/.well-known/jwks.json"
KINDS: list[Any] = ["wsgi", "asgi"]
OLD, NEW = private_key("Ed25519"), private_key("Ed25519", 1)
PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


def house(**settings: Any) -> House:
    given = {"algorithm": "EdDSA", "private_key": pem(OLD), **settings}
    return House(jwks_path=JWKS_PATH, **given)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


def ask(place: House, kind: Any, method: str = "GET", path: str = JWKS_PATH, *fields: Any) -> Any:
    return Through(place).ask(kind, Ask(method=method, path=path, fields=fields))


def kids(answer: Any) -> list[str]:
    return [member["kid"] for member in json.loads(answer.body)["keys"]]


def kid_of(key: Any) -> str:
    (read,) = read_keys(public_pem(key).encode(), ["EdDSA"])
    return read.kid


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_whoever_fetches_the_set_can_verify(kind: Any, algorithm: str) -> None:
    """A process that knows nothing but the published set accepts the tokens."""
    place = house(algorithm=algorithm, private_key=pem(key_for(algorithm)))
    answer = ask(place, kind)
    assert (answer.status, answer.one("Content-Type")) == (200, "application/jwk-set+json")
    (published,) = json.loads(answer.body)["keys"]
    assert (published["use"], published["alg"]) == ("sig", algorithm)
    pair = place.auth.issue("alice")
    service = House(secret_key=None, public_keys=answer.body, session_store="none")
    through = Through(service)
    through.ask(kind, Ask(fields=[bearer(pair.access_token)]))
    assert through.auth.subject == "alice"


@pytest.mark.parametrize("family", ["RSA", "P-256", "Ed25519"])
def test_nothing_private_is_published(kind: Any, family: str) -> None:
    """Neither a private member of a JWK, whichever setting it came by, nor a secret."""  # S53
    algorithm = {"RSA": "RS256", "P-256": "ES256", "Ed25519": "EdDSA"}[family]
    one, other = private_key(family), private_key(family, 1)
    place = house(
        algorithm=algorithm,
        private_key=jwk(one, private=True, kid="one"),
        public_keys=jwk_set(jwk(other, private=True, kid="other")),
    )
    answer = ask(place, kind)
    assert kids(answer) == ["one", "other"]
    for published in json.loads(answer.body)["keys"]:
        assert PRIVATE_MEMBERS.isdisjoint(published)
    for key in (one, other):
        hidden = jwk(key, private=True)["d"]
        assert hidden not in answer.body.decode()
        assert decode_segment(hidden).hex() not in answer.body.decode()
    assert SECRET not in str((answer.body, answer.headers))


def test_a_secret_beside_public_keys_is_not_published(kind: Any) -> None:
    """While HS256 still signs, the set has the next key and no trace of the secret."""
    # S53
    place = House(jwks_path=JWKS_PATH, public_keys=public_pem(NEW))
    assert kids(ask(place, kind)) == [kid_of(NEW)]


def test_a_roll_over_publishes_all_that_verify(kind: Any) -> None:
    """The next key before it signs, and the last one as long as it verifies."""  # S10
    old, new = pem(OLD), pem(NEW)
    steps: list[tuple[Any, list[Any]]] = [
        ({"private_key": old}, [OLD]),
        ({"private_key": old, "public_keys": public_pem(NEW)}, [OLD, NEW]),
        ({"private_key": [new, old]}, [NEW, OLD]),
        ({"private_key": new}, [NEW]),
    ]
    for settings, expected in steps:
        assert kids(ask(house(**settings), kind)) == [kid_of(key) for key in expected]


def test_files_that_change_are_published_anew(kind: Any, tmp_path: Path) -> None:
    """With `keys_reload` a request for the set is enough to have the files looked at."""  # S10
    file = tmp_path / "signing.pem"
    file.write_text(pem(OLD))
    place = house(private_key=file, keys_reload=60)
    first = ask(place, kind)
    file.write_text(pem(NEW) + pem(OLD))
    assert ask(place, kind).body == first.body
    place.now += 60
    second = ask(place, kind, "GET", JWKS_PATH, ("If-None-Match", first.one("ETag")))
    assert kids(second) == [kid_of(NEW), kid_of(OLD)]


def test_it_may_be_kept_for_a_while(kind: Any) -> None:
    """Anybody may, for less than an access token lives: a new key is known before the last
    token of the old one has expired."""
    answer = ask(house(), kind)
    assert answer.one("Cache-Control") == "public, max-age=300"
    assert Settings(secret_key=SECRET).access_token_expires > 300
    page = Path(__file__).parents[1] / "docs" / "endpoints.md"
    assert f"`Cache-Control: {answer.one('Cache-Control')}`" in page.read_text("utf-8")


@pytest.mark.parametrize("form", ["{}", "W/{}", '"another", {}', "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_who_has_it_already_is_told_so(kind: Any, method: str, form: str) -> None:
    """304 without a body, with what a cache needs to go on keeping it."""
    place = house()
    known = ask(place, kind)
    field = ("If-None-Match", form.format(known.one("ETag")))
    answer = ask(place, kind, method, JWKS_PATH, field)
    assert (answer.status, answer.body) == (304, b"")
    for name in ("ETag", "Cache-Control", "Vary"):
        assert answer.one(name) == known.one(name)
    assert answer.all("Content-Type") == answer.all("Content-Length") == []


@pytest.mark.parametrize("tags", ['"another"', "W/", "", '"'])
def test_who_has_another_gets_this_one(kind: Any, tags: str) -> None:
    """Also who sends nonsense for a tag."""
    place = house()
    assert ask(place, kind, "GET", JWKS_PATH, ("If-None-Match", tags)).status == 200


def test_one_set_has_one_tag(kind: Any) -> None:
    """On all machines alike, and another set has another."""
    tag = ask(house(), kind).one("ETag")
    assert ask(house(), kind).one("ETag") == tag
    assert ask(house(private_key=pem(NEW)), kind).one("ETag") != tag


def test_head_is_get_without_a_body(kind: Any) -> None:
    """The same headers, its length among them."""  # S34
    place = house()
    get, head = ask(place, kind), ask(place, kind, "HEAD")
    assert head.headers == get.headers
    assert head.body == b""
    assert get.one("Content-Length") == str(len(get.body))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get"])
def test_other_methods_are_refused(kind: Any, method: str) -> None:
    """405, with those that are answered."""
    answer = ask(house(), kind, method)
    assert (answer.status, answer.one("Allow")) == (405, "GET, HEAD")
    assert json.loads(answer.body)["error_description"] == "Send GET."


@pytest.mark.parametrize("path", [f"{JWKS_PATH}/", f"{JWKS_PATH}/x", "/.well-known", "/"])
def test_other_paths_are_the_apps(kind: Any, path: str) -> None:
    """The set is exactly where the setting puts it, and nowhere unless it is set."""  # S30
    assert ask(house(), kind, "GET", path).body == b"hello"
    nowhere = House(algorithm="EdDSA", private_key=pem(OLD))
    assert ask(nowhere, kind).body == b"hello"


def test_it_is_for_everybody(kind: Any) -> None:
    """Where sign-in is required, too; tokens that came along are not looked at, none leaves, and
    no row is read."""  # S36
    place = house(required=True)
    pair = place.auth.issue("alice")
    place.now += 1000
    field = cookie(access=pair.access_token, refresh=pair.refresh_token)
    answer = ask(place, kind, "GET", JWKS_PATH, field)
    assert answer.status == 200
    assert answer.all("Set-Cookie") == []
    assert place.row(pair.session_id).generation == 0
    assert place.event_names == ["login"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "no public key to publish"),
        ({"issuer": "https://a.example", "jwks_url": "https://a.example/jwks"}, "no public key"),
        ({"public_keys": public_pem(NEW), "refresh_path": JWKS_PATH}, "jwks_path: is refresh_path"),
        ({"public_keys": public_pem(NEW), "logout_path": JWKS_PATH}, "jwks_path: is logout_path"),
        ({"public_keys": public_pem(NEW), "ignore_paths": ["/.well-known"]}, "ignore_paths"),
    ],
    ids=["no keys", "keys of others", "renewing", "signing out", "ignored"],
)
def test_what_could_not_be_answered_is_refused(settings: Any, told: str) -> None:
    """At start-up, with what to change."""
    secret = None if "jwks_url" in settings else SECRET
    with pytest.raises(ConfigurationError, match=told):
        Settings(secret_key=secret, jwks_path=JWKS_PATH, **settings)
