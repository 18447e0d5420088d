"""Finding where an issuer publishes its keys: what it says of itself has to be true."""

from __future__ import annotations

import json
from typing import Any

import pytest
from keychain import jwk, jwk_set, key_for, sign
from stepping import START, HeaderClient, House, make_request

from jwt_middleware import ConfigurationError, Issuer, JWTAuth
from jwt_middleware.asgi import JWTMiddleware as AsgiMiddleware
from jwt_middleware.discovery import Discovery, oauth_address, openid_address
from jwt_middleware.driver import run
from jwt_middleware.errors import KeysNotFetched
from jwt_middleware.jwks import RemoteKeySet
from jwt_middleware.jwks_http import HttpFetch
from jwt_middleware.keys import Fetched
from jwt_middleware.wsgi import JWTMiddleware

A = "https://a.example"
KEY = key_for("EdDSA", 40)
KEYS = Fetched(jwk_set(jwk(KEY, kid="1")).encode(), '"1"', 300.0)
OPENID, OAUTH = (
    f"{A}/.well-known/openid-configuration",
    f"{A}/.well-known/oauth-authorization-server",
)


class Web:
    """Documents by address, and what was asked for."""

    def __init__(self, **documents: Any) -> None:
        self.documents: dict[str, Any] = {f"{A}/jwks": KEYS}
        self.asked: list[tuple[str, str | None]] = []

    def put(self, address: str, document: Any) -> None:
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.documents[address] = Fetched(content, '"configuration"')

    def __call__(self, url: str, etag: str | None) -> Fetched:
        self.asked.append((url, etag))
        if url not in self.documents:
            raise KeysNotFetched(f"nothing at {url}")
        return self.documents[url]


def web(**changes: Any) -> Web:
    found = Web()
    found.put(OPENID, {"issuer": A, "jwks_uri": f"{A}/jwks", **changes})
    return found


@pytest.mark.parametrize(
    ("issuer", "openid", "oauth"),
    [
        (A, OPENID, OAUTH),
        (f"{A}/", OPENID, OAUTH),
        (
            f"{A}/realms/x",
            f"{A}/realms/x/.well-known/openid-configuration",
            f"{A}/.well-known/oauth-authorization-server/realms/x",
        ),
        (
            f"{A}:8443/x/",
            f"{A}:8443/x/.well-known/openid-configuration",
            f"{A}:8443/.well-known/oauth-authorization-server/x",
        ),
    ],
    ids=["host", "slash", "path", "port"],
)
def test_where_a_configuration_is(issuer: str, openid: str, oauth: str) -> None:
    """OpenID Connect puts it below the issuer's path, RFC 8414 in front of it."""
    assert (openid_address(issuer), oauth_address(issuer)) == (openid, oauth)


def test_the_configuration_leads_to_the_keys() -> None:
    """Each time anew; the keys' tag is shown to where it came from."""
    found = web()
    discovery = Discovery(found)
    tag = discovery(A, None).etag
    assert discovery(A, tag).content is KEYS.content
    assert found.asked == [
        (OPENID, None),
        (f"{A}/jwks", None),
        (OPENID, None),
        (f"{A}/jwks", '"1"'),
    ]
    found.documents[f"{A}/new"] = KEYS
    found.put(OPENID, {"issuer": A, "jwks_uri": f"{A}/new"})
    discovery(A, tag)
    assert found.asked[-1] == (f"{A}/new", None)


def test_a_tag_stays_with_its_document_through_failures() -> None:
    """Keys that have moved are never taken for unchanged: not after their new address failed
    once, and two documents may have the same tag."""  # S10
    found = web()
    discovery = Discovery(found)
    tag = discovery(A, None).etag
    found.put(OPENID, {"issuer": A, "jwks_uri": f"{A}/new"})
    with pytest.raises(KeysNotFetched):
        discovery(A, tag)
    found.documents[f"{A}/new"] = KEYS
    discovery(A, tag)
    assert found.asked[-1] == (f"{A}/new", None)


def test_an_auth_server_without_openid() -> None:
    """RFC 8414's address is asked where there is nothing at OpenID's."""
    found = web()
    found.documents[OAUTH] = found.documents.pop(OPENID)
    assert Discovery(found)(A, None).content is KEYS.content
    found.documents.pop(OAUTH)
    with pytest.raises(KeysNotFetched, match=f"nothing at {OPENID}"):
        Discovery(found)(A, None)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"issuer": f"{A}/"}, "names another issuer"),
        ({"issuer": "https://A.example"}, "names another issuer"),
        ({"issuer": None}, "names another issuer"),
        ({"issuer": [A]}, "names another issuer"),
        ({"jwks_uri": None}, "its jwks_uri is None"),
        ({"jwks_uri": "http://a.example/jwks"}, "its jwks_uri is"),
        ({"jwks_uri": "http://localhost/jwks"}, "its jwks_uri is no https"),
        ({"jwks_uri": "https://user@a.example/jwks"}, "its jwks_uri is a URL with a user name"),
        ({"jwks_uri": "file:///etc/passwd"}, "its jwks_uri is"),
    ],
    ids=range(9),
)
def test_a_configuration_that_is_not_the_issuers(changes: dict[str, Any], fault: str) -> None:
    """It names the issuer, character by character, and an https address of keys."""  # S17
    found = web(**changes)
    with pytest.raises(KeysNotFetched, match=fault):
        Discovery(found)(A, None)
    assert found.asked == [(OPENID, None)], "and nobody else is asked"


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"<html>", b'{"issuer":1,"issuer":2}'], ids=range(4)
)
def test_a_configuration_that_is_none(content: bytes) -> None:
    """What is no JSON object says nothing."""
    found = Web()
    found.put(OPENID, content)
    with pytest.raises(KeysNotFetched, match="not a JSON object"):
        Discovery(found)(A, None)
    found.documents[OPENID] = Fetched(None)
    with pytest.raises(KeysNotFetched, match="not a JSON object"):
        Discovery(found)(A, None)


def test_on_this_machine_http_will_do() -> None:
    """Where that is allowed by name."""
    found = Web()
    local = "http://localhost:1"
    found.put(openid_address(local), {"issuer": local, "jwks_uri": f"{local}/jwks"})
    found.documents[f"{local}/jwks"] = KEYS
    assert Discovery(found, loopback_http=True)(local, None).content is KEYS.content


# ── In a configuration ───────────────────────────────────────────────────────────


def token(iss: str = A, **changes: Any) -> str:
    claims = {"iss": iss, "aud": "api", "sub": "alice", "exp": int(START) + 3600, **changes}
    return sign(KEY, claims, kid="1")


def test_an_issuer_that_is_no_more_than_a_url() -> None:
    """Its tokens open the app, and no other's."""  # S17
    house = House(issuers=[Issuer(A, audience="api")], fetch_keys=web())
    for presented, subject in ((token(), "alice"), (token("https://b.example"), None)):
        client = HeaderClient(house)
        request = client.request(authorization=f"Bearer {presented}")
        assert client.arrive(request).auth.subject == subject


@pytest.mark.parametrize("jwks_url", ["discover", f"{A}/jwks"])
@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_a_process_that_only_verifies(door: str, jwks_url: str) -> None:
    """Both doors take the function that asks."""
    found, options = web(), {"issuer": A, "audience": "api", "jwks_url": jwks_url}
    middleware: Any = {"wsgi": JWTMiddleware, "asgi": AsgiMiddleware}[door]
    auth = middleware(None, fetch_keys=found, clock=lambda: START, **options).auth
    request = make_request(authorization=f"Bearer {token()}")
    assert run(auth.flow.arrive(request, START), auth.world).auth.subject == "alice"
    assert len(found.asked) == (2 if jwks_url == "discover" else 1)
    with pytest.raises(ConfigurationError, match="beside a JWTAuth"):
        middleware(None, auth, fetch_keys=found)


def test_without_a_function_of_ones_own_https_is_asked() -> None:
    """By the settings: within which time, and whether http will do on this machine."""
    options: Any = {"issuers": [Issuer("http://localhost:1")], "jwks_loopback_http": True}
    auth = JWTAuth(jwks_timeout=2, jwks_max_stale=0, **options)
    (other,) = auth._parts.tokens._trusted._others.values()
    keys: Any = other.keys
    assert isinstance(keys, RemoteKeySet)
    assert isinstance(keys._fetch, Discovery)
    fetch: Any = keys._fetch._fetch
    assert isinstance(fetch, HttpFetch)
    assert (fetch._timeout, fetch._loopback_http, keys._fetch._loopback_http) == (2, True, True)
    assert keys._max_stale == 0
