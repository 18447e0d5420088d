"""Other issuers: whose token it is decides everything, and nothing a token says decides that."""

from __future__ import annotations

import base64
import logging
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from forging import CLAIMS, NOW, SECRET, b64, content_of, forge, make_settings, signed
from keychain import jwk, key_for, public_pem, sign
from stepping import Browser, HeaderClient, House
from through import Ask, Through, bearer

from jwt_middleware import ConfigurationError, Issuer, NotAuthenticated, Settings
from jwt_middleware.errors import InvalidToken
from jwt_middleware.jwk import read_keys
from jwt_middleware.keys import Key, KeySet
from jwt_middleware.tokens import Tokens

A, B = "https://a.example", "https://b.example"
KEY_A, KEY_B = key_for("ES256", 10), key_for("ES256", 11)
FOREIGN: dict[str, Any] = {**CLAIMS, "iss": A, "aud": "api", "sub": "alice"}


def issuer(url: str = A, key: Any = KEY_A, **more: Any) -> Issuer:
    more.setdefault("public_keys", [jwk(key, kid="1")])
    more.setdefault("audience", "api")
    return Issuer(url, **more)


def tokens_of(*issuers: Issuer, **settings: Any) -> Tokens:
    return Tokens(make_settings(issuers=issuers or (issuer(), issuer(B, KEY_B)), **settings))


def opens(tokens: Tokens, token: str) -> bool:
    return tokens.verify(token, None, now=NOW).access_state == "valid"


def changed(**claims: Any) -> dict[str, Any]:
    """The claims of a good token of A, but for these; None leaves one out."""
    return {name: value for name, value in {**FOREIGN, **claims}.items() if value is not None}


# ── Whose it is ──────────────────────────────────────────────────────────────────


def test_each_issuers_tokens_open_the_app() -> None:
    """Ours, A's and B's, each verified by its own key, though A and B use the same kid."""  # S17
    tokens = tokens_of()
    for token in (
        sign(KEY_A, FOREIGN, kid="1"),
        sign(KEY_B, changed(iss=B), kid="1"),
        forge({"alg": "HS256"}, CLAIMS),
    ):
        assert opens(tokens, token)
        assert opens(tokens, token)  # a second time, from the cache


@pytest.mark.parametrize(
    "token",
    [
        sign(KEY_B, FOREIGN, kid="1"),  # B speaks for A
        sign(KEY_A, changed(iss=B), kid="1"),
        sign(KEY_A, FOREIGN, kid="2"),
        sign(KEY_A, FOREIGN, kid=""),
        sign(KEY_A, changed(iss=None), kid="1"),  # no issuer: ours, or nobody's
        sign(KEY_A, changed(iss=[A]), kid="1"),
        sign(KEY_A, changed(iss=[A, B]), kid="1"),
        sign(KEY_A, changed(iss={A: 1}), kid="1"),
        sign(KEY_A, changed(iss=A + "/"), kid="1"),
        sign(KEY_A, changed(iss=A[:-1]), kid="1"),
        sign(KEY_A, changed(iss=A.upper()), kid="1"),
        sign(KEY_A, changed(iss=f" {A}"), kid="1"),
        sign(KEY_A, changed(iss=f"{A}\0"), kid="1"),
        sign(KEY_A, changed(iss="https://c.example"), kid="1"),
        forge({"alg": "HS256"}, FOREIGN),  # our own key speaks for A
        forge({"alg": "HS256", "kid": "1"}, FOREIGN),
        forge({"alg": "none"}, FOREIGN),
        forge({"alg": "HS256", "kid": "1"}, FOREIGN, secret=public_pem(KEY_A)),
        forge({"alg": "ES256", "kid": "1"}, FOREIGN, secret=public_pem(KEY_A)),
        sign(KEY_A, {name: CLAIMS[name] for name in CLAIMS}, kid="1"),
    ],
    ids=range(20),
)
def test_no_key_speaks_for_another_issuer(token: str) -> None:
    """A token counts for the issuer whose key signed it, or not at all."""  # S17, S18
    tokens = tokens_of()
    for _ in range(2):
        assert tokens.verify(token, None, now=NOW).access_state == "invalid"


def test_headers_are_trusted_for_their_issuer_alone() -> None:
    """Two issuers' tokens may have the same header; what is remembered of one is not the
    other's."""  # S21
    tokens = tokens_of()
    good, bad = sign(KEY_A, FOREIGN, kid="1"), sign(KEY_A, changed(iss=B), kid="1")
    assert good.split(".")[0] == bad.split(".")[0]
    assert opens(tokens, good)
    assert not opens(tokens, bad)
    assert opens(tokens, sign(KEY_B, changed(iss=B), kid="1"))
    assert not opens(tokens, bad)


def test_the_public_key_is_no_secret() -> None:
    """A token with an HMAC made of the issuer's public key is refused, in any spelling."""  # S2
    rsa = key_for("RS256", 10)
    tokens = tokens_of(issuer(key=rsa))
    pem_text = public_pem(rsa)
    der = base64.b64decode("".join(pem_text.splitlines()[1:-1]))
    assert opens(tokens, sign(rsa, FOREIGN, kid="1"))
    for secret in (pem_text, pem_text.strip(), der, jwk(rsa)["n"]):
        for alg in ("HS256", "RS256", "PS256"):
            header = {"alg": alg, "kid": "1", "typ": "at+jwt"}
            text = f"{b64(content_of(header))}.{b64(content_of(FOREIGN))}"
            assert not opens(tokens, signed(text, secret=secret))


def test_a_key_in_the_header_is_not_looked_at() -> None:
    """Nobody brings the key along that verifies the token."""  # S4
    tokens, stranger = tokens_of(), key_for("ES256", 12)
    extra: dict[str, Any]
    for extra in ({"jwk": jwk(stranger)}, {"jku": f"{A}/jwks"}, {"x5u": A}, {"x5c": ["AA=="]}):
        assert not opens(tokens, sign(stranger, FOREIGN, kid="1", **extra))
        assert opens(tokens, sign(KEY_A, FOREIGN, kid="1", **extra))


def test_only_listed_algorithms_count() -> None:
    """A key of another algorithm is none of the issuer's keys."""  # S1
    rsa = key_for("RS256", 10)
    narrow = tokens_of(issuer(key=rsa, algorithms=("PS256",)))
    assert not opens(narrow, sign(rsa, FOREIGN, algorithm="RS256", kid="1"))
    assert opens(narrow, sign(rsa, FOREIGN, algorithm="PS256", kid="1"))


def test_without_kid_the_first_key_of_the_algorithm_is_tried() -> None:
    """And no other: a second one of the same algorithm is found by its kid alone."""  # S5
    keys = [jwk(KEY_A, kid="1"), jwk(KEY_B, kid="2")]
    tokens = tokens_of(issuer(public_keys={"keys": keys}))
    assert opens(tokens, sign(KEY_A, FOREIGN))
    assert not opens(tokens, sign(KEY_B, FOREIGN))
    assert opens(tokens, sign(KEY_B, FOREIGN, kid="2"))


# ── What it must say ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "claims",
    [
        *({"aud": aud} for aud in ("ap", "api ", ["x"], [], "", 5, ["api", 5], None)),
        *({"exp": exp} for exp in (str(int(NOW) + 9), True, 1e20, None)),
        *({name: NOW + 61} for name in ("iat", "nbf")),
        *({"sub": sub} for sub in ("", 5, ["alice"], None)),
        *({"cnf": {"jkt": "x"}}, {"jti": 5}, {"roles": None}),
    ],
    ids=repr,
)
def test_a_foreign_token_is_held_to_everything(claims: dict[str, Any]) -> None:
    """Audience, times, subject, jti, cnf and required claims count for it as well."""  # S15, S20
    tokens = tokens_of(required_claims=["roles"])
    good: dict[str, Any] = {"roles": []}
    assert opens(tokens, sign(KEY_A, changed(**good), kid="1"))
    assert not opens(tokens, sign(KEY_A, changed(**good | claims), kid="1"))


@pytest.mark.parametrize(
    ("types", "typ", "accepted"),
    [
        (("at+jwt",), "at+jwt", True),
        (("at+jwt",), "AT+JWT", True),
        (("at+jwt",), "application/at+jwt", True),
        (("at+jwt",), "JWT", False),
        (("at+jwt",), None, False),
        (("at+jwt",), "", False),
        (("JWT",), "JWT", True),
        (("JWT",), "at+jwt", False),
        (("JWT",), None, False),
        (("",), None, True),
        (("",), "", False),
        (("", "JWT", "at+jwt"), "rt+jwt", False),
        (("", "JWT", "at+jwt"), "logout+jwt", False),
        (("application/Own",), "own", True),
        ("JWT", "jwt", True),
    ],
)
def test_token_types_are_an_allow_list(types: Any, typ: str | None, accepted: bool) -> None:
    """Only what the issuer was allowed to send counts."""  # S19
    tokens = tokens_of(issuer(token_types=types))
    assert opens(tokens, sign(KEY_A, FOREIGN, kid="1", typ=typ)) is accepted


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "n"},
        {"at_hash": "x"},
        {"c_hash": "x"},
        {"s_hash": "x"},
        {"typ": "Offline"},
        {"typ": "Logout"},
        {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
        {"typ": "ID"},
        {"typ": "Refresh"},
        {"token_use": "id"},
        {"typ": []},
        {"token_use": {"a": ["id"]}},
        {"aud": "client-7"},
    ],
    ids=repr,
)
def test_id_and_logout_tokens_stay_out(claims: dict[str, Any]) -> None:
    """Also where the provider's access tokens are of type JWT, as its ID tokens are."""  # S14, S19
    tokens = tokens_of(issuer(token_types=("JWT",)))
    assert opens(tokens, sign(KEY_A, changed(typ="Bearer", token_use="access"), kid="1", typ="JWT"))
    assert not opens(tokens, sign(KEY_A, changed(**claims), kid="1", typ="JWT"))


# ── What the app sees ────────────────────────────────────────────────────────────


def test_claims_are_mapped() -> None:
    """The app sees what the function makes of them; what was verified cannot be changed."""

    def mapped(claims: Mapping[str, Any]) -> Mapping[str, Any]:
        return {
            "sub": f"a:{claims['sub']}",
            "roles": claims["realm"]["roles"],
            **dict.fromkeys(("iss", "exp", "aud", "iat", "nbf", "jti"), "changed"),
        }

    tokens = tokens_of(issuer(claims=mapped))
    verified = {"nbf": FOREIGN["iat"], "jti": "one"}
    token = sign(KEY_A, changed(realm={"roles": ["admin"]}, **verified), kid="1")
    access = tokens.read_access(token, now=NOW)
    assert access.subject == "a:alice"
    times = {name: FOREIGN[name] for name in ("exp", "iat", "iss", "aud")}
    assert dict(access.claims) == {**times, **verified, "sub": "a:alice", "roles": ["admin"]}


@pytest.mark.parametrize(
    "mapped",
    [
        lambda claims: claims["missing"],
        lambda claims: None,
        lambda claims: 5,
        lambda claims: {1: 2, "sub": "alice"},
        lambda claims: {"sub": "alice", "x": {1, 2}},
        lambda claims: {"sub": "alice", "x": float("nan")},
        lambda claims: {"sub": "alice", "x": "\ud800"},
        lambda claims: {"sub": ""},
        lambda claims: {"roles": []},
        lambda claims: {"sub": 7},
        lambda claims: {"sub": "alice", "x": _deep(40)},
        lambda claims: (_ for _ in ()).throw(StopIteration),
        lambda claims: claims.clear(),
    ],
    ids=range(13),
)
def test_a_mapping_that_fails_refuses_the_token(
    mapped: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake of the function is no error of the request, and nothing of a claim is logged."""
    house = House(issuers=[issuer(claims=mapped)])
    claims = changed(secret="a claim nobody should log")
    request = HeaderClient(house).request(authorization=f"Bearer {sign(KEY_A, claims, kid='1')}")
    with caplog.at_level(logging.INFO, "jwt_middleware"):
        auth = HeaderClient(house).arrive(request).auth
    assert (auth.is_authenticated, auth.reason) == (False, "invalid_token")
    assert house.event_names == ["token_refused"]
    assert "nobody should log" not in caplog.text


def _deep(levels: int) -> Any:
    nested: Any = 1
    for _ in range(levels):
        nested = [nested]
    return nested


def test_a_function_cannot_change_what_others_see() -> None:
    """What the function does to its argument, or keeps, changes no token."""  # S31
    kept: list[Any] = []

    def mapped(claims: Any) -> Any:
        kept.append(claims)
        return claims

    tokens = tokens_of(issuer(claims=mapped))
    access = tokens.read_access(sign(KEY_A, changed(roles=["a"]), kid="1"), now=NOW)
    kept[0]["roles"].append("admin")
    assert access.claims["roles"] == ["a"]


def test_another_identity_claim_of_ours() -> None:
    """Where our own tokens name the subject otherwise, a foreign ``sub`` is shown there."""
    tokens = tokens_of(identity_claim="user_id")
    access = tokens.read_access(sign(KEY_A, FOREIGN, kid="1"), now=NOW)
    assert (access.subject, access.claims["user_id"]) == ("alice", "alice")


# ── What it means for sessions: nothing ──────────────────────────────────────────


@pytest.fixture
def house() -> House:
    return House(issuers=[issuer()], check_session="always")


def test_a_foreign_session_id_is_none_of_ours(house: House) -> None:
    """Its ``sid``, ``rgen`` and ``rexp`` open no row, are confirmed by nobody, end nothing."""
    ours = Browser(house)
    sid = ours.login()
    house.forget_commands()
    claims = changed(sid=sid, rgen=7, rexp=0)
    client = HeaderClient(house)
    for _ in range(2):
        request = client.request(authorization=f"Bearer {sign(KEY_A, claims, kid='1')}")
        auth = client.arrive(request).auth
        assert (auth.subject, auth.issuer, auth.session_id) == ("alice", A, None)
        assert auth.claims is not None
        assert auth.claims["sid"] == sid
        assert auth.presented_sessions == ()
        assert auth.unconfirmed is None
        auth.logout()
        client.receive(client.respond(auth))
    assert house.verbs == []
    assert house.row(sid).revoked_at is None


@pytest.mark.parametrize("claims", [{"sid": 5}, {"rgen": "x"}, {"rexp": True}], ids=repr)
def test_their_types_do_not_matter(claims: dict[str, Any], house: House) -> None:
    """What means nothing to us may look as its issuer likes."""
    token = sign(KEY_A, changed(**claims), kid="1")
    client = HeaderClient(house)
    assert client.arrive(client.request(authorization=f"Bearer {token}")).auth.is_authenticated


def test_a_namesake_is_somebody_else(house: House) -> None:
    """Signed in as another issuer's alice, nobody signs our alice out everywhere."""  # S18
    ours = Browser(house)
    sid = ours.login("alice")
    client = HeaderClient(house)
    request = client.request(authorization=f"Bearer {sign(KEY_A, FOREIGN, kid='1')}")
    auth = client.arrive(request).auth
    with pytest.raises(NotAuthenticated, match="of another issuer"):
        auth.logout_everywhere()
    auth.logout()
    client.respond(auth)
    assert house.row(sid).revoked_at is None
    assert ours.get().subject == "alice"


def test_a_login_in_such_a_request_is_ours(house: House) -> None:
    """Who comes with a provider's token and is signed in has a session of ours from then on."""
    client = HeaderClient(house)
    request = client.request(
        "POST", authorization=f"Bearer {sign(KEY_A, changed(sid='theirs'), kid='1')}"
    )
    auth = client.arrive(request).auth
    with pytest.raises(RuntimeError, match="signed-in session"):
        auth.update({"roles": []})
    pair = auth.login("bob")
    assert (auth.subject, auth.issuer, auth.session_id) == ("bob", None, pair.session_id)
    auth.update({"roles": ["x"]})
    client.respond(auth)
    assert house.row(pair.session_id).claims == {"roles": ["x"]}


def test_our_refresh_token_does_not_renew_a_foreign_token(house: House) -> None:
    """Beside another issuer's access token our refresh token is not looked at."""  # S44
    browser = Browser(house)
    browser.login()
    house.forget_commands()
    browser.set_access(sign(KEY_A, changed(rexp=0), kid="1"))
    auth = browser.arrive().auth
    assert (auth.subject, auth.issuer, auth.reissued) == ("alice", A, False)
    assert house.verbs == []


# ── Sources of keys that change ──────────────────────────────────────────────────


class Changing:
    """A `KeySource` that a test turns."""

    def __init__(self, *keys: Key) -> None:
        self.version = 1
        self.due = float("inf")
        self.usable = True
        self.set = KeySet(keys)
        self.next: KeySet | None = None
        self.always_stale = False
        self.asked: list[tuple[str, str | None]] = []

    def find(self, kid: str | None, algorithm: object, /) -> Key | None:
        return self.set.find(kid, algorithm)

    def stale(self, kid: str | None, now: float, /) -> bool:
        self.asked.append(("stale", kid))
        return self.next is not None or self.always_stale

    def refresh(self, kid: str | None, now: float, /) -> None:
        self.asked.append(("refresh", kid))
        if self.next is not None:
            self.set, self.next = self.next, None
            self.version += 1

    def refresh_ahead(self, now: float, /) -> None:
        self.asked.append(("ahead", None))
        self.due = now + 60


def source_of(key: Any, kid: str = "1") -> tuple[Key, ...]:
    return read_keys(jwk(key, kid=kid))


def arrive(house: House, token: str) -> Any:
    client = HeaderClient(house)
    return client.arrive(client.request(authorization=f"Bearer {token}")).auth


def test_an_unknown_key_is_waited_for_once() -> None:
    """The request waits for one look, and is then judged with what there is."""
    source = Changing()
    house = House(issuers=[issuer(public_keys=(), keys=source)])
    token = sign(KEY_A, FOREIGN, kid="1")
    source.next = KeySet(source_of(KEY_A))
    assert arrive(house, token).subject == "alice"
    assert source.asked == [("stale", "1"), ("refresh", "1")]
    source.asked.clear()
    assert arrive(house, token).subject == "alice"
    assert arrive(house, sign(KEY_A, changed(n=1), kid="1")).subject == "alice"
    assert source.asked == []
    source.always_stale = True
    assert arrive(house, sign(KEY_A, FOREIGN, kid="9")).reason == "invalid_token"
    assert source.asked == [("stale", "9"), ("refresh", "9")]


def test_an_unknown_key_that_is_not_stale_is_refused_at_once() -> None:
    """The source says when there is no point in waiting."""
    source = Changing(*source_of(KEY_A))
    house = House(issuers=[issuer(public_keys=(), keys=source)])
    assert arrive(house, sign(KEY_A, FOREIGN, kid="9")).reason == "invalid_token"
    assert source.asked == [("stale", "9")]


def test_a_removed_key_stops_at_once() -> None:
    """What was verified with it, and is remembered, is worth nothing from then on."""  # S10, S21
    source = Changing(*source_of(KEY_A))
    house = House(issuers=[issuer(public_keys=(), keys=source)])
    tokens = [sign(KEY_A, changed(n=n), kid="1") for n in range(2)]
    for token in tokens * 2:
        assert arrive(house, token).is_authenticated
    source.set, source.version = KeySet(source_of(KEY_B, "2")), 2
    for token in tokens:
        assert not arrive(house, token).is_authenticated
    source.set, source.version = KeySet(source_of(KEY_B, "1")), 3  # the same kid, another key
    for token in tokens:
        assert not arrive(house, token).is_authenticated
    assert arrive(house, sign(KEY_B, FOREIGN, kid="1")).is_authenticated


def test_keys_that_age_are_refreshed_ahead() -> None:
    """A request whose token is known long since sees to it, and does not wait."""
    source = Changing(*source_of(KEY_A))
    house = House(issuers=[issuer(public_keys=(), keys=source)])
    token = sign(KEY_A, FOREIGN, kid="1")
    assert arrive(house, token).is_authenticated
    source.due = house.now
    for _ in range(3):
        assert arrive(house, token).is_authenticated
    assert source.asked == [("stale", "1"), ("ahead", None)]
    source.asked.clear()
    house.wait(60)
    assert arrive(house, sign(KEY_A, changed(n=1), kid="1")).is_authenticated
    assert source.asked == [("stale", "1"), ("ahead", None)]


def test_keys_that_are_too_old_are_waited_for() -> None:
    """Where the source says so, even a known token waits for one look."""
    source = Changing(*source_of(KEY_A))
    house = House(issuers=[issuer(public_keys=(), keys=source)])
    token = sign(KEY_A, FOREIGN, kid="1")
    assert arrive(house, token).is_authenticated
    source.due, source.next = house.now, KeySet(())
    assert arrive(house, token).reason == "invalid_token"
    assert source.asked == [("stale", "1"), ("refresh", "1")]


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_who_waits_for_keys_holds_nobody_up(door: str) -> None:
    """Both doors look for keys that are awaited; an event loop lets a thread do it."""  # S52
    source = Changing()
    house = House(issuers=[issuer(public_keys=(), keys=source)])
    threads: list[int] = []
    refresh = source.refresh

    def noting(kid: str | None, now: float, /) -> None:
        threads.append(threading.get_ident())
        refresh(kid, now)

    source.refresh = noting  # type: ignore[method-assign]
    source.next = KeySet(source_of(KEY_A))
    through = Through(house)
    answer = through.ask(door, Ask(fields=[bearer(sign(KEY_A, FOREIGN, kid="1"))]))
    assert (answer.status, through.auth.subject) == (200, "alice")
    assert [thread == threading.get_ident() for thread in threads] == [door == "wsgi"]


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_without_any_keys_nobody_can_say(door: str) -> None:
    """An issuer that cannot be reached makes no token a bad one: 503 where sign-in is required,
    anonymous elsewhere, and another issuer's tokens go on."""  # S45
    source = Changing()
    source.usable = False
    others = [issuer(public_keys=(), keys=source), issuer(B, KEY_B)]
    token = sign(KEY_A, FOREIGN, kid="1")
    for required, status in ((False, 200), (True, 503)):
        through = Through(House(issuers=others, required=required))
        answer = through.ask(door, Ask(fields=[bearer(token)]))
        assert answer.status == status
        assert bool(answer.one("Retry-After")) is required
        assert through.house.event_names == ["store_unavailable"]
        good = through.ask(door, Ask(fields=[bearer(sign(KEY_B, changed(iss=B), kid="1"))]))
        assert (good.status, through.auth.subject) == (200, "alice")
    source.usable, source.set = True, KeySet(source_of(KEY_A))
    assert through.ask(door, Ask(fields=[bearer(token)])).status == 200


def test_a_refresh_that_fails_is_an_outage() -> None:
    """A source that raises, though it must not: nothing is decided about the token."""  # S14
    source = Changing()
    source.always_stale = True
    house = House(issuers=[issuer(public_keys=(), keys=source)])
    house.down.add("refresh")
    auth = arrive(house, sign(KEY_A, FOREIGN, kid="1"))
    assert (auth.is_authenticated, auth.reason) == (False, "store_unavailable")


# ── Configurations ───────────────────────────────────────────────────────────────


def faults_of(*arguments: Any, **options: Any) -> str:
    options.setdefault("audience", "api")
    with pytest.raises(ConfigurationError) as caught:
        Issuer(*arguments, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (
            {"keys": Changing(), "public_keys": public_pem(KEY_A)},
            "give one of jwks_url, public_keys and keys",
        ),
        (
            {"jwks_url": f"{A}/jwks", "public_keys": public_pem(KEY_A)},
            "give one of jwks_url, public_keys and keys",
        ),
        ({"jwks_url": "http://a.example/jwks"}, 'begins with "https://"'),
        ({"jwks_url": "https://user@a.example/jwks"}, "a URL with a user name"),
        ({"jwks_url": "https://a.example/jwks#x"}, 'begins with "https://"'),
        ({"jwks_url": 5}, 'begins with "https://"'),
        ({"public_keys": "nothing"}, "is no key"),
        ({"public_keys": public_pem(KEY_A), "algorithms": "RS256"}, "not among those expected"),
        ({"public_keys": public_pem(KEY_A), "algorithms": ()}, "name at least one"),
        ({"public_keys": public_pem(KEY_A), "algorithms": "HS256"}, "allowed are"),
        ({"public_keys": public_pem(KEY_A), "token_types": ()}, "give a list of typ values"),
        ({"public_keys": public_pem(KEY_A), "token_types": 5}, "give a list of typ values"),
        ({"public_keys": public_pem(KEY_A), "token_types": [5]}, "a typ is text"),
        ({"public_keys": public_pem(KEY_A), "token_types": ["a\n"]}, "a typ is text"),
        ({"public_keys": public_pem(KEY_A), "token_types": ["logout+jwt"]}, "something else"),
        (
            {"public_keys": public_pem(KEY_A), "token_types": ["JWT"], "audience": None},
            "set audience",
        ),
        ({"public_keys": public_pem(KEY_A), "claims": 5}, "give a function"),
        ({"keys": 5}, "verbs of a KeySource"),
    ],
    ids=range(18),
)
def test_an_issuer_that_cannot_work_is_refused(options: dict[str, Any], fault: str) -> None:
    """At start-up, naming the issuer and what to change."""
    told = faults_of(A, **options)
    assert fault in told
    assert f"Issuer('{A}')" in told


@pytest.mark.parametrize("url", ["", 5, None, f"{A} ", "a\nb"], ids=repr)
def test_an_issuers_name_is_text(url: Any) -> None:
    """Exactly as it stands in the tokens."""
    assert "url: is" in faults_of(url, public_keys=public_pem(KEY_A))


def test_all_faults_of_an_issuer_are_told_at_once() -> None:
    """One start, not one a fault."""
    with pytest.raises(ConfigurationError) as caught:
        Issuer(A, jwks_url="ftp://x", algorithms="none", token_types=())
    assert len(caught.value.faults) == 3


def test_an_issuer_is_read_like_settings() -> None:
    """Text stands for one value, and a copy is equal."""
    one = issuer(token_types="JWT", algorithms="ES256", claims=None)
    assert (one.audience, one.algorithms, one.token_types) == (("api",), ("ES256",), ("jwt",))
    assert one == issuer(token_types=["jwt"], algorithms=["ES256"])
    assert Issuer(A, jwks_url="http://127.0.0.1:1/x", token_types=[""], claims=dict).audience == ()
    assert (Issuer(A).asks, issuer(public_keys=(), keys=Changing()).asks) == (A, None)
    assert Issuer(A, jwks_url=f"{A}/jwks").asks == f"{A}/jwks"
    assert jwk(KEY_A)["x"] not in repr(one)


LOCAL = "http://localhost:1"


@pytest.mark.parametrize(
    "url", ["urn:a", "http://a.example", "https://a.example?x", "https://a.example/#x"]
)
def test_where_keys_are_looked_up(url: str) -> None:
    """An issuer without keys has a URL that can be asked, as discovery has it."""
    assert "its keys would be looked up there" in faults_of(url)


def test_issuers_as_text() -> None:
    """In the environment they are JSON, which says the same as code; keys too are found there."""
    text = f'[{{"url": "{A}", "audience": ["api"], "algorithms": "ES256"}}]'
    settings = Settings.from_env(environ={"JWT_ISSUERS": text})
    assert settings.issuers == (Issuer(A, audience="api", algorithms="ES256"),)
    assert Settings.from_env(environ={"JWT_ISSUERS": "", "JWT_SECRET_KEY": SECRET}).issuers == ()
    environ = {"JWT_ISSUER": A, "JWT_JWKS_URL": "discover", "JWT_JWKS_MAX_STALE": "2h"}
    settings = Settings.from_env(environ=environ)
    assert (settings.session_store, settings.jwks_max_stale) == ("none", 7200)
    environ = {"JWT_ISSUER": A, "JWT_JWKS_URL": LOCAL, "JWT_JWKS_LOOPBACK_HTTP": "true"}
    assert Settings.from_env(environ=environ).jwks_url == LOCAL


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"issuers": [issuer(), issuer()]}, "issuers: names an issuer twice"),
        ({"issuers": [A]}, "give Issuer(...) objects"),
        ({"issuers": 5}, "give a list of Issuer(...), in code"),
        ({"issuers": [issuer()], "issuer": A}, "which is ourselves"),
        ({"jwks_url": f"{A}/jwks"}, "set issuer to the iss"),
        ({"jwks_url": f"{A}/jwks", "issuer": A, "secret_key": SECRET}, "beside secret_key"),
        ({"jwks_url": f"{A}/jwks", "issuer": A, "public_keys": public_pem(KEY_A)}, "beside"),
        ({"jwks_url": "http://a.example"}, 'begins with "https://"'),
        ({"jwks_url": "discover"}, "set issuer to the iss"),
        ({"jwks_url": "discover", "issuer": "a.example"}, "issuer: its keys would be looked up"),
        ({"jwks_url": LOCAL, "issuer": A}, "jwks_url: 'http://localhost:1' is no https"),
        ({"jwks_url": "discover", "issuer": LOCAL}, "jwks_url: 'http://localhost:1' is no https"),
        ({"issuers": [Issuer(LOCAL)]}, "set jwks_loopback_http=true"),
        ({"issuers": [Issuer(A, jwks_url=LOCAL)]}, "set jwks_loopback_http=true"),
        ({"issuers": "https://a.example"}, "is no list of Issuer parameters"),
        ({"issuers": "5"}, "is no list of Issuer parameters"),
        ({"issuers": '[{"uri": "x"}]'}, "is no list of Issuer parameters"),
        ({"issuers": '["x"]'}, "is no list of Issuer parameters"),
        ({"issuers": '[{"url": "x"}]'}, "issuers: Issuer('x'): url: its keys would be looked up"),
        ({"issuers": "[" * 100_000}, "is no list of Issuer parameters"),
    ],
    ids=range(20),
)
def test_contradictions_about_issuers(settings: dict[str, Any], fault: str) -> None:
    """What cannot be meant is refused at start-up."""
    with pytest.raises(ConfigurationError) as caught:
        Settings(**settings)
    assert fault.lower() in str(caught.value).lower()


def test_the_issuer_of_a_process_that_only_verifies() -> None:
    """With ``jwks_url`` alone its tokens are another's: they open the app, sessions are theirs."""
    source = Changing(*source_of(KEY_A))
    made: list[Issuer] = []

    def remote_keys(issuer: Issuer) -> Changing:
        made.append(issuer)
        return source

    keywords: Any = {"issuer": A, "audience": "api", "jwks_url": f"{A}/jwks"}
    tokens = Tokens(Settings(**keywords), remote_keys)
    access = tokens.read_access(sign(KEY_A, changed(sid="x"), kid="1"), now=NOW)
    assert (access.subject, access.session_id) == ("alice", None)
    assert not opens(tokens, sign(KEY_A, changed(iss=B), kid="1"))
    assert (made[0].url, made[0].audience) == (A, ("api",))
    assert "RS256" in made[0].algorithms
    Tokens(Settings(algorithm="ES256", **keywords), remote_keys)
    assert made[1].algorithms == ("ES256",)
    keywords["jwks_url"] = "discover"
    Tokens(Settings(**keywords), remote_keys)
    assert (made[2].jwks_url, made[2].asks) == (None, A)


def test_remote_keys_need_somebody_who_fetches_them() -> None:
    """Without, it is said at start-up."""
    with pytest.raises(ConfigurationError, match="cannot be fetched"):
        Tokens(Settings(issuers=[Issuer(A, jwks_url=f"{A}/jwks")]))


def test_a_foreign_token_is_fresh_until_it_expires() -> None:
    """What it says of refreshing and of sessions means nothing here."""
    settings = {"reissue_within": 300, "check_session": "always"}
    foreign = changed(sid="s", rgen=3, rexp=FOREIGN["exp"] - 500)
    access = tokens_of(issuer(), **settings).read_access(sign(KEY_A, foreign, kid="1"), now=NOW)
    assert access.fresh_until == access.expires_at == FOREIGN["exp"]
    assert (access.session_id, access.generation, access.settled) == (None, 0, True)


def test_a_foreign_subject_is_looked_at_before_it_is_mapped() -> None:
    """A token that names nobody is refused, whatever the function makes of it."""  # S18
    tokens = tokens_of(issuer(claims=lambda claims: {"sub": "alice"}))
    assert opens(tokens, sign(KEY_A, FOREIGN, kid="1"))
    for sub in ("", 7, None):
        assert not opens(tokens, sign(KEY_A, changed(sub=sub), kid="1"))


def test_a_foreign_token_may_have_our_identity_claim() -> None:
    """Who has the claim that names subjects here is named by it, and else by sub."""
    tokens = tokens_of(issuer(), identity_claim="user_id")
    for claims, subject in (({"user_id": "u7"}, "u7"), ({}, "alice")):
        token = sign(KEY_A, changed(**claims), kid="1")
        assert tokens.read_access(token, now=NOW).subject == subject


def test_a_function_that_fails_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """The log names the issuer and the kind of mistake; what was raised is for debugging."""
    caplog.set_level("DEBUG", "jwt_middleware")
    tokens = tokens_of(issuer(claims=lambda claims: claims["missing"]))
    assert not opens(tokens, sign(KEY_A, FOREIGN, kid="1"))
    warning, detail = caplog.records
    assert (warning.name, warning.levelname) == ("jwt_middleware", "WARNING")
    assert A in warning.getMessage()
    assert "KeyError" in warning.getMessage()
    assert detail.exc_info is not None


def test_own_public_keys_count_beside_issuers() -> None:
    """A process without a secret reads tokens of its own public keys and of others."""
    settings = make_settings(
        secret_key=None, algorithm="ES256", public_keys=[jwk(KEY_B, kid="own")], issuers=[issuer()]
    )
    tokens = Tokens(settings)
    assert opens(tokens, sign(KEY_A, FOREIGN, kid="1"))
    assert opens(tokens, sign(KEY_B, dict(CLAIMS), kid="own"))
    assert not opens(tokens, sign(KEY_B, FOREIGN, kid="own"))


@pytest.mark.parametrize("may_wait", [True, False])
def test_who_must_not_wait_does_not(may_wait: bool) -> None:
    """Keys too old are waited for where that is possible, and else used as they are."""
    source = Changing(*source_of(KEY_A))
    source.always_stale, source.due = True, NOW
    tokens = tokens_of(issuer(public_keys=(), keys=source))
    found = tokens.verify(sign(KEY_A, FOREIGN, kid="1"), None, now=NOW, may_wait=may_wait)
    assert (found.awaits is not None) is may_wait
    assert (found.access_state == "valid") is not may_wait
    assert source.asked == [("stale", "1") if may_wait else ("ahead", None)]


def test_without_keys_the_refresh_token_is_read_at_last() -> None:
    """Where keys are to be looked for first, nothing else is judged; where they cannot be had, the
    refresh token beside is. Who reads one token alone does not wait."""
    source = Changing(*source_of(KEY_A))
    source.always_stale, source.usable = True, False
    tokens = tokens_of(issuer(public_keys=(), keys=source))
    pair = tokens.pair(
        tokens.new_session("alice", {}, persistent=True, now=NOW), now=NOW
    ).refresh_token
    token = sign(KEY_A, FOREIGN, kid="unknown")
    waiting = tokens.verify(token, pair, now=NOW, may_wait=True)
    assert (waiting.awaits is None, waiting.refresh_state) == (False, "missing")
    judged = tokens.verify(token, pair, now=NOW)
    assert (judged.awaits is None, judged.refresh_state) == (False, "valid")
    source.usable = True
    with pytest.raises(InvalidToken):
        tokens.read_access(token, now=NOW)
