"""Tokens of the package used before: which count, until when, and what they cannot become."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from forging import CLAIMS, NOW, OLD_SECRET, STRANGE_SECRET, forge, make_settings
from keychain import jwk, key_for, pem, public_pem, sign
from stepping import SECRET, House
from test_settings import faults_of
from through import Ask, Through, bearer

from jwt_middleware import ConfigurationError, Issuer, LegacyTokens
from jwt_middleware.tokens import Tokens

UNTIL = datetime.fromtimestamp(NOW + 300, UTC)
HEADER = {"alg": "HS256", "typ": "JWT"}
OLD: dict[str, Any] = {**CLAIMS, "type": "access"}


def legacy(**terms: Any) -> LegacyTokens:
    given: dict[str, Any] = {"secret": OLD_SECRET, "until": UNTIL, **terms}
    return LegacyTokens.flask_jwt_extended(**given)


def old(secret: str = OLD_SECRET, header: Any = HEADER, **claims: Any) -> str:
    """An old access token, but for these claims; None leaves one out."""
    members = {name: value for name, value in {**OLD, **claims}.items() if value is not None}
    return forge(header, members, secret=secret)


def state(token: str, *, settings: Any = None, now: float = NOW, **terms: Any) -> str:
    """What a token is worth beside a secret of our own."""
    made = make_settings(legacy_tokens=legacy(**terms), **(settings or {}))
    return Tokens(made).verify(token, None, now=now).access_state


# ── Which count ──────────────────────────────────────────────────────────────────


def test_an_old_token_counts_until_it_expires_or_its_date_comes() -> None:
    """Whichever is first, and from the cache as from the beginning."""  # S21
    tokens = Tokens(make_settings(legacy_tokens=legacy(), leeway=60))
    for token, end in ((old(), NOW + 300), (old(exp=int(NOW) + 100), NOW + 160)):
        for now, worth in ((NOW, "valid"), (end - 1, "valid"), (end, "expired")):
            assert tokens.verify(token, None, now=now).access_state == worth
        assert Tokens(tokens._settings).verify(token, None, now=end).access_state == "expired"


@pytest.mark.parametrize(
    "token",
    [
        old(type="refresh"),
        old(type=None),
        old(type="Access"),
        old(type=["access"]),
        old(type="sliding"),
        old(secret=STRANGE_SECRET),
        old(secret=SECRET),
        old(header={"alg": "HS256"}),
        old(header={"alg": "HS256", "typ": "at+jwt"}),
        old(header={"alg": "HS256", "typ": "rt+jwt"}),
        old(header={**HEADER, "kid": "1"}),
        old(header={**HEADER, "crit": []}),
        old(header={"alg": "none", "typ": "JWT"}),
        old(header={"alg": "HS512", "typ": "JWT"}),
        old(exp=None),
        old(nbf=int(NOW) + 61),
        old(aud="somebody"),
        old(cnf={"jkt": "x"}),
        old(sub=7),
        old(sub=None),
    ],
)
def test_no_other_token_counts(token: str) -> None:
    """Of another kind, key, algorithm or form, or without what every token has to say."""  # S19
    assert state(old()) == "valid"
    assert state(token) == "invalid"


def test_a_token_of_ours_may_have_the_same_claim() -> None:
    """Whoever signs in with us is known by our header, whatever the claims are called."""
    house = House(legacy_tokens=legacy())
    app = Through(house)
    pair = house.auth.issue("bob", {"type": "access"})
    app.ask("wsgi", Ask(fields=[bearer(pair.access_token)]))
    assert app.auth.subject == "bob"
    assert app.auth.session_id == pair.session_id


def test_audience_and_issuer_are_those_of_the_old_package() -> None:
    """What they were told to write is asked for, whatever ours are."""  # S17
    ours = {"audience": "new", "issuer": "https://new.example"}
    assert state(old(), settings=ours) == "valid"
    terms: dict[str, Any] = {"audience": ["api", "web"], "issuer": "old"}
    assert state(old(aud="web", iss="old"), settings=ours, **terms) == "valid"
    assert state(old(aud="new", iss="old"), settings=ours, **terms) == "invalid"
    assert state(old(aud="web", iss="https://new.example"), settings=ours, **terms) == "invalid"
    assert state(old(aud="web"), settings=ours, **terms) == "invalid"


def test_another_issuers_token_is_judged_by_its_own_keys() -> None:
    """An issuer that is named comes before the marks of an old package."""  # S17
    key = key_for("ES256")
    other = Issuer("https://a.example", public_keys=[jwk(key, kid="1")], audience="api")
    settings = {"issuers": [other]}
    named = {"iss": "https://a.example", "aud": "api"}
    assert state(sign(key, {**OLD, **named}, kid="1"), settings=settings) == "valid"
    assert state(old(**named), settings=settings, audience="api") == "invalid"
    assert state(old(), settings=settings) == "valid"


def test_a_process_without_keys_of_its_own_takes_old_tokens() -> None:
    """One that only verifies may need to, as long as old tokens live."""
    other = Issuer("https://a.example", public_keys=[jwk(key_for("ES256"))], audience="api")
    assert state(old(), settings={"secret_key": None, "issuers": [other]}) == "valid"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_old_tokens_of_a_key_pair(algorithm: str) -> None:
    """The old public key verifies, and only by its one algorithm."""  # S1, S2
    key = key_for(algorithm, 3)
    terms: dict[str, Any] = {
        "secret": None,
        "public_key": public_pem(key),
        "algorithm": algorithm,
    }
    token = sign(key, OLD, algorithm=algorithm, typ="JWT")
    assert state(token, **terms) == "valid"
    assert state(sign(key_for(algorithm, 4), OLD, typ="JWT"), **terms) == "invalid"
    assert state(old(secret=public_pem(key)), **terms) == "invalid"


# ── What the app sees ────────────────────────────────────────────────────────────


def test_an_old_token_has_no_session() -> None:
    """It cannot end, confirm or renew one, whatever it says; its subject is one of ours."""
    house = House(legacy_tokens=legacy())
    session = house.auth.issue("alice").session_id
    app = Through(house, lambda auth: auth.logout() if auth.request.path == "/out" else None)
    token = bearer(old(sid=session, rgen=5, rexp=int(NOW)))
    app.ask("wsgi", Ask(fields=[token]))
    assert app.auth.subject == "alice"
    assert app.auth.session_id is app.auth.issuer is None
    assert app.auth.claims is not None
    assert {"sid", "rgen", "rexp"}.isdisjoint(app.auth.claims)
    app.ask("wsgi", Ask(method="POST", path="/out", fields=[token]))
    assert len(house.auth.sessions("alice")) == 1


def test_an_old_token_is_not_replaced() -> None:
    """Nobody who found one gets more out of it than what is left of its life."""
    house = House(legacy_tokens=legacy(), reissue_within=500)
    answer = Through(house).ask("wsgi", Ask(fields=[bearer(old())]))
    assert answer.one("X-Access-Token") is None
    assert house.store_commands == []


def test_the_user_is_found_under_our_name() -> None:
    """Their claim is read, a number as text, and ours is shown."""
    made = make_settings(
        legacy_tokens=LegacyTokens.simplejwt(secret=OLD_SECRET, until=UNTIL),
        identity_claim="uid",
    )
    token = old(sub=None, type=None, token_type="access", user_id=7, roles=["admin"])
    access = Tokens(made).read_access(token, now=NOW)
    assert access.subject == access.claims["uid"] == "7"
    assert access.claims["roles"] == ["admin"]


def test_claims_can_be_renamed_and_refused() -> None:
    """The app's function sees verified claims; what was verified stays as it was."""

    def claims(members: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"roles": members["groups"], "exp": 0, "sub": "mallory"}

    made = make_settings(legacy_tokens=legacy(claims=claims))
    access = Tokens(made).read_access(old(groups=["a"]), now=NOW)
    assert access.claims["roles"] == ["a"]
    assert access.claims["exp"] == CLAIMS["exp"]
    assert access.subject == "alice"
    assert state(old(), claims=claims) == "invalid"


# ── One key, one purpose ─────────────────────────────────────────────────────────


@pytest.mark.parametrize("claim", ["type", "token_type", "typ", "token_use"])
def test_a_refresh_token_under_our_own_secret_opens_nothing(claim: str) -> None:
    """Whoever keeps the old package's secret must not turn its refresh tokens into ours."""  # S19
    tokens = Tokens(make_settings())
    for header in (HEADER, {"alg": "HS256"}):
        for kind, worth in (("refresh", "invalid"), ("Refresh", "invalid"), (5, "valid")):
            token = forge(header, {**CLAIMS, claim: kind})
            assert tokens.verify(token, None, now=NOW).access_state == worth
    ours = forge({"alg": "HS256", "typ": "at+jwt"}, {**CLAIMS, claim: "refresh"})
    assert tokens.verify(ours, None, now=NOW).access_state == "valid"


def test_the_old_secret_is_none_of_ours() -> None:
    """Under a secret of ours old tokens would outlive their date."""  # S2
    for settings in ({"secret_key": OLD_SECRET}, {"previous_secret_keys": [OLD_SECRET]}):
        (fault,) = faults_of(legacy_tokens=legacy(), **settings)
        assert fault.startswith(f"{next(iter(settings))}: is that of legacy_tokens, too; make one")
        assert OLD_SECRET not in fault


def test_the_old_key_is_none_of_ours() -> None:
    """Nor is a key pair, however it is written and whatever it is called."""  # S2
    key, other = key_for("ES256", 3), key_for("ES256", 4)
    terms = legacy(secret=None, public_key=public_pem(key), algorithm="ES256")
    (fault,) = faults_of(legacy_tokens=terms, algorithm="ES256", private_key=pem(key))
    assert fault.startswith("private_key: is the key of legacy_tokens, too")
    (fault,) = faults_of(legacy_tokens=terms, public_keys=[jwk(key, kid="new name")])
    assert fault.startswith("public_keys: is the key of legacy_tokens, too")
    make_settings(legacy_tokens=terms, algorithm="ES256", private_key=pem(other))
    make_settings(legacy_tokens=legacy(), public_keys=[jwk(key)])
    (fault,) = faults_of(legacy_tokens=terms, public_keys="no key")
    assert fault.startswith("public_keys: ")


@pytest.mark.parametrize(
    ("terms", "fault"),
    [
        ({"until": datetime(2027, 1, 31)}, "until: is of type datetime"),  # noqa: DTZ001
        ({"until": 1_800_000_000}, "until: is 1800000000; give the moment"),
        ({"secret": None}, "its key: give one of secret and public_key"),
        ({"public_key": public_pem(key_for("ES256"))}, "its key: give one"),
        ({"secret": "short"}, "secret: HS256 needs at least 32 bytes"),
        ({"algorithm": "ES256"}, "secret: ES256 verifies by a public_key"),
        ({"secret": None, "public_key": "x"}, "public_key: HS256 verifies by a secret"),
        ({"secret": None, "public_key": "x", "algorithm": "ES256"}, "public_key: is no key"),
        ({"secret": public_pem(key_for("ES256"))}, "secret: looks like"),
        ({"algorithm": "none"}, "algorithm: is 'none'"),
        ({"claims": 5}, "claims: is of type int; give a function"),
        ({"secrets": "x"}, "secrets: there is no such term"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_meant_is_refused(terms: dict[str, Any], fault: str) -> None:
    """Each fault says what to write instead, and never holds the secret."""  # S3
    with pytest.raises(ConfigurationError) as caught:
        legacy(**terms)
    assert caught.value.faults[0].startswith(f"LegacyTokens: {fault}")


def test_all_faults_come_at_once() -> None:
    """Whoever mends the terms needs one start."""
    with pytest.raises(ConfigurationError) as caught:
        legacy(until=None, algorithm="none", identity_claim="")
    assert len(caught.value.faults) == 3


def test_only_terms_are_a_setting() -> None:
    """A secret alone would not say whose tokens these are."""
    assert faults_of(legacy_tokens="x")[0].startswith("legacy_tokens: is 'x'; give LegacyTokens.")


def test_the_secret_is_not_shown() -> None:
    """Terms can be printed and logged, in settings too."""  # S53
    assert OLD_SECRET not in repr(legacy())
    assert OLD_SECRET not in repr(make_settings(legacy_tokens=legacy()))


def test_fastapi_users_tokens_are_told_by_their_whole_audience() -> None:
    """It has no type claim: another aud means another kind of token."""  # S19
    terms: dict[str, Any] = {"secret": OLD_SECRET, "until": UNTIL}
    for audience in (None, "mine", ["mine", "yours"]):
        more: dict[str, Any] = {} if audience is None else {"audience": audience}
        whole = [audience] if isinstance(audience, str) else audience or ["fastapi-users:auth"]
        made = make_settings(legacy_tokens=LegacyTokens.fastapi_users(**terms, **more))
        for aud, worth in (
            (whole, "valid"),
            (whole[0], "invalid"),
            ([*whole, "fastapi-users:reset"], "invalid"),
            ("fastapi-users:reset", "invalid"),
        ):
            token = old(type=None, aud=aud)
            assert Tokens(made).verify(token, None, now=NOW).access_state == worth


def test_authx_writes_what_flask_jwt_extended_writes() -> None:
    """One took its claims from the other, so their terms are the same."""
    terms: dict[str, Any] = {"secret": OLD_SECRET, "until": UNTIL}
    assert LegacyTokens.authx(**terms) == LegacyTokens.flask_jwt_extended(**terms)
