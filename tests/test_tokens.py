"""Tokens: what is made, what is believed, and what stops counting when."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
import sys
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from forging import (
    CLAIMS,
    HEADER,
    NOW,
    OLD_SECRET,
    SECRET,
    STRANGE_SECRET,
    Part,
    b64,
    forge,
    make_settings,
    make_tokens,
    part_of,
    refresh_secret,
    signed,
)
from hypothesis import given
from hypothesis import strategies as st

from jwt_middleware.access import CLOCK_SKEW
from jwt_middleware.claims import Claims, custom_claims
from jwt_middleware.errors import InvalidClaims, TokenTooLarge
from jwt_middleware.sessions import Session
from jwt_middleware.tokens import (
    ACCESS_TYPE,
    REFRESH_TYPE,
    AccessToken,
    RefreshToken,
    TokenPair,
    Tokens,
    Verified,
)
from jwt_middleware.trust import LATEST

ROW = Session(
    id="c2FtcGxlLQ-a-session",
    subject="alice",
    claims={"roles": ["admin"]},
    persistent=True,
    created_at=NOW - 100.5,
    rotated_at=NOW - 0.125,
    expires_at=NOW + 1000.75,
    absolute_expires_at=NOW + 5000.25,
    refresh_salt="some-salt",
    generation=3,
    last_seen_at=NOW,
)


def new_session(tokens: Tokens, *, now: float = NOW, **claims: Any) -> Session:
    return tokens.new_session("alice", claims, persistent=True, now=now)


def header_of(tokens: Tokens, kind: str = "access") -> dict[str, Any]:
    """The header our own tokens of a kind have."""
    pair = tokens.pair(new_session(tokens), now=NOW)
    return part_of(pair.access_token if kind == "access" else pair.refresh_token, 0)


def accepts(tokens: Tokens, token: str, *, now: float = NOW) -> bool:
    """Whether a token opens the app at ``now``."""
    return tokens.verify(token, None, now=now).access_state == "valid"


def refuses(tokens: Tokens, token: str, *, now: float = NOW) -> bool:
    """Whether a token is not even authentic."""
    return tokens.verify(token, None, now=now).access_state == "invalid"


SETTINGS = make_settings()
READER = make_tokens(token_cache_size=0)
"""A process with the same secret, which knows no token."""
KID = header_of(READER)["kid"]

# ── Access tokens, made ──────────────────────────────────────────────────────────


def test_an_access_token() -> None:
    """An access token names its type, its key, its session and its times."""  # S19
    tokens = make_tokens()
    token = tokens.access(ROW, generation=2, now=NOW + 0.75)
    header = part_of(token, 0)
    assert header == {"alg": "HS256", "typ": "at+jwt", "kid": header["kid"]}
    members = part_of(token, 1)
    assert len(members.pop("jti")) == 12
    assert members == {
        "roles": ["admin"],
        "sub": "alice",
        "iat": int(NOW),
        "exp": int(NOW) + 900,
        "sid": ROW.id,
        "rgen": 2,
        "rexp": int(NOW) + 1000,
        "auth_time": int(ROW.created_at),
    }


def test_other_libraries_read_it() -> None:
    """Any JWT library with the secret verifies an access token."""
    tokens = make_tokens(issuer="https://us", audience=("api", "other"))
    token = tokens.pair(new_session(tokens), now=NOW).access_token
    members = jwt.decode(
        token,
        SECRET,
        algorithms=["HS256"],
        audience="api",
        issuer="https://us",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert (members["iss"], members["aud"]) == ("https://us", "api")


def test_two_access_tokens_differ() -> None:
    """No two access tokens are the same, even of one moment."""
    tokens = make_tokens()
    pair = [tokens.access(ROW, generation=3, now=NOW) for _ in range(2)]
    assert pair[0] != pair[1]


def test_an_access_token_ends_with_its_session() -> None:
    """No access token lives past the absolute end of its session."""  # S43
    tokens = make_tokens()
    late = ROW.absolute_expires_at - 10
    assert part_of(tokens.access(ROW, generation=3, now=late), 1)["exp"] == int(late + 10)
    assert tokens.pair(ROW, now=late).expires_in == 10


@pytest.mark.parametrize("name", ["sub", "iat", "exp", "jti", "sid", "rgen", "rexp", "iss", "aud"])
def test_claims_of_the_app_never_win(name: str) -> None:
    """What the middleware says of itself cannot be said otherwise by a stored row."""
    tokens = make_tokens(issuer="us", audience="api")
    row = dataclasses.replace(ROW, claims={name: "theirs"})
    assert part_of(tokens.access(row, generation=3, now=NOW), 1)[name] != "theirs"


def test_another_identity_claim() -> None:
    """The subject can travel under another name."""
    tokens = make_tokens(identity_claim="user_id")
    token = tokens.access(ROW, generation=3, now=NOW)
    assert part_of(token, 1)["user_id"] == "alice"
    assert "sub" not in part_of(token, 1)
    assert make_tokens(identity_claim="user_id").read_access(token, now=NOW).subject == "alice"


@pytest.mark.parametrize(
    ("subject", "error"), [(5, TypeError), (None, TypeError), ("", ValueError)]
)
def test_a_subject_is_text(subject: Any, error: type[Exception]) -> None:
    """A number is no subject, nor is nothing: a token for it would be nobody's."""
    with pytest.raises(error, match="the subject must"):
        make_tokens().new_session(subject, {}, persistent=True, now=NOW)


def test_a_new_session() -> None:
    """A session begins now, at generation 0, with limits from the settings."""
    tokens = make_tokens(refresh_token_expires=1000, session_lifetime=5000)
    session = tokens.new_session(
        "alice", {"a": 1}, persistent=True, now=NOW, user_agent="ua", address="addr"
    )
    assert (session.generation, session.confirmed_generation) == (0, 0)
    assert session.created_at == session.rotated_at == session.last_seen_at == NOW
    assert (session.expires_at, session.absolute_expires_at) == (NOW + 1000, NOW + 5000)
    assert (session.subject, session.claims, session.persistent) == ("alice", {"a": 1}, True)
    assert (session.user_agent, session.address) == ("ua", "addr")
    other = tokens.new_session("alice", {}, persistent=True, now=NOW)
    assert session.id != other.id
    assert session.refresh_salt != other.refresh_salt
    assert len(base64.urlsafe_b64decode(session.refresh_salt + "==")) == 16


def test_the_idle_limit_is_capped() -> None:
    """No idle limit is longer than the session's life, and a session cookie has its own."""  # S43
    tokens = make_tokens(session_lifetime=5000, session_cookie_expires=4000)
    session = new_session(tokens)
    assert session.expires_at == session.absolute_expires_at == NOW + 5000
    brief = tokens.new_session("alice", {}, persistent=False, now=NOW)
    assert (brief.expires_at, brief.persistent) == (NOW + 4000, False)


# ── Access tokens, read ──────────────────────────────────────────────────────────


def test_a_plain_token_is_read() -> None:
    """A token of any library with the secret opens the app."""
    tokens = make_tokens()
    access = tokens.read_access(jwt.encode(CLAIMS, SECRET), now=NOW)
    assert access.claims == CLAIMS
    assert (access.subject, access.session_id, access.generation) == ("alice", None, 0)
    assert access.refresh_expires_at is None
    assert access.settled


def test_our_own_token_is_read() -> None:
    """What we sign is read by another process with the same secret."""
    token = make_tokens().access(ROW, generation=2, now=NOW)
    access = make_tokens().read_access(token, now=NOW)
    assert (access.subject, access.session_id, access.generation) == ("alice", ROW.id, 2)
    assert access.expires_at == NOW + 900
    assert access.refresh_expires_at == int(NOW) + 1000
    assert access.claims["roles"] == ["admin"]
    assert not access.settled


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"alg": "none"}, id="none"),
        pytest.param({"alg": "None"}, id="None"),
        pytest.param({"alg": "nOnE"}, id="nOnE"),
        pytest.param({"alg": "NONE"}, id="NONE"),
        pytest.param({"alg": ""}, id="empty"),
        pytest.param({"alg": None}, id="null"),
        pytest.param({"alg": ["HS256"]}, id="a list"),
        pytest.param({"alg": {"HS256": 1}}, id="an object"),
        pytest.param({"alg": True}, id="a bool"),
        pytest.param({"alg": 256}, id="a number"),
        pytest.param({"alg": "hs256"}, id="lower case"),
        pytest.param({"alg": "HS256 "}, id="a blank"),
        pytest.param({"alg": "HS384"}, id="another of the family"),
        pytest.param({"alg": "RS256"}, id="another family"),
        pytest.param({"ALG": "HS256"}, id="another name"),
        pytest.param({}, id="missing"),
    ],
)
def test_the_algorithm_is_ours(header: dict[str, Any]) -> None:
    """Only the configured algorithm counts, signed or not."""  # S1
    tokens = make_tokens()
    token = forge(header, CLAIMS)
    assert refuses(tokens, token)
    unsigned = token.rpartition(".")[0]
    for signature in ("", ".", ".A", ".AA"):
        assert refuses(tokens, unsigned + signature)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_one_key_has_one_algorithm(algorithm: str) -> None:
    """A good signature with the right secret but another hash is refused."""  # S2
    long = SECRET * 2
    other = make_tokens(secret_key=long, algorithm=algorithm)
    ours = make_tokens(secret_key=long)
    token = jwt.encode(CLAIMS, long, algorithm=algorithm)
    assert accepts(other, token)
    assert refuses(ours, token)
    assert refuses(other, jwt.encode(CLAIMS, long, algorithm="HS256"))
    # Even if the header is that of a token which was trusted before.
    assert accepts(ours, forge(HEADER, CLAIMS, secret=long))
    unsigned = f"{b64(json.dumps(HEADER).encode())}.{b64(json.dumps(CLAIMS).encode())}"
    assert refuses(ours, signed(unsigned, secret=long, hash_name=f"sha{algorithm[2:]}"))


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c", "x5t"])
def test_keys_in_a_header_are_not_looked_at(name: str) -> None:
    """A key that a token brings along, or points to, changes nothing."""  # S4
    key = {"kty": "oct", "k": b64(STRANGE_SECRET.encode())}
    for value in (key, "https://evil.example/keys", [b64(b"x")], None):
        tokens = make_tokens()
        assert refuses(tokens, forge({**HEADER, name: value}, CLAIMS, secret=STRANGE_SECRET))
        assert accepts(tokens, forge({**HEADER, name: value}, CLAIMS))


@pytest.mark.parametrize("kid", [0, 1.5, True, [], ["a"], {}, {"a": 1}], ids=repr)
def test_the_kid_is_text(kid: object) -> None:
    """A kid that is no text is refused, though the signature holds."""  # S5
    assert refuses(make_tokens(), forge({**HEADER, "kid": kid}, CLAIMS))


def test_a_null_kid_is_no_kid_left_out() -> None:
    """A kid of null is refused, too, and not read as if there were none."""  # S5
    assert refuses(make_tokens(), forge({**HEADER, "kid": None}, CLAIMS))


def test_the_kid_chooses_the_key() -> None:
    """A kid is looked up exactly, and its key alone decides."""  # S5
    new, old = make_tokens(), make_tokens(secret_key=OLD_SECRET)
    both = make_tokens(previous_secret_keys=[OLD_SECRET])
    new_kid, old_kid = header_of(new)["kid"], header_of(old)["kid"]
    cases = [
        (new_kid, SECRET, True),
        (old_kid, OLD_SECRET, True),
        (new_kid, OLD_SECRET, False),
        (old_kid, SECRET, False),
        (header_of(new, "refresh")["kid"], SECRET, False),
        ("", SECRET, False),
        (new_kid.swapcase(), SECRET, False),
        ("../../dev/null", SECRET, False),
    ]
    for kid, secret, good in cases:
        assert accepts(both, forge({**HEADER, "kid": kid}, CLAIMS, secret=secret)) is good


def test_without_kid_the_newest_key_decides() -> None:
    """A token without kid is checked with the newest secret, and with no other."""  # S5
    both = make_tokens(previous_secret_keys=[OLD_SECRET])
    assert accepts(both, forge(HEADER, CLAIMS))
    assert refuses(both, forge(HEADER, CLAIMS, secret=OLD_SECRET))


@pytest.mark.parametrize(
    "member",
    [
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": None},
        {"crit": ["b64"], "b64": True},
        {"b64": True},
        {"b64": False},
        {"b64": None},
        {"zip": "DEF"},
        {"zip": None},
        {"enc": "A256GCM"},
        {"p2c": 2**40},
        {"cty": "JWT"},
        {"cty": "jwt"},
    ],
    ids=repr,
)
def test_what_is_not_processed_is_refused(member: dict[str, Any]) -> None:
    """A header that announces another form is refused, whatever it says."""  # S6, S9
    assert refuses(make_tokens(), forge({**HEADER, **member}, CLAIMS))


@pytest.mark.parametrize(
    "typ",
    ["at+jwt", "AT+JWT", "JWT", "jwt", "Jwt", "application/at+jwt", "application/JWT"],
)
def test_types_that_open_the_app(typ: str) -> None:
    """Access tokens and plain JWTs open the app, in any case."""  # S19
    assert accepts(make_tokens(), forge({**HEADER, "typ": typ}, CLAIMS))


def test_no_type_opens_the_app() -> None:
    """A token need not say its type."""  # S19
    assert accepts(make_tokens(), forge({"alg": "HS256"}, CLAIMS))


@pytest.mark.parametrize(
    "typ",
    [
        "rt+jwt",
        "logout+jwt",
        "secevent+jwt",
        "dpop+jwt",
        "id+jwt",
        "JWE",
        "JOSE",
        "JOSE+JSON",
        "jwt ",
        " jwt",
        "jwt;",
        "at+jwt\0",
        "application/application/jwt",
        "text/jwt",
        "application/",
        "",
        None,
        1,
        True,
        ["JWT"],
        {"JWT": 1},
    ],
    ids=repr,
)
def test_types_that_do_not(typ: object) -> None:
    """The types are an allow-list: whatever else is well signed opens nothing."""  # S19
    assert refuses(make_tokens(), forge({**HEADER, "typ": typ}, CLAIMS))


# ── Signatures and spelling ──────────────────────────────────────────────────────


@given(st.data())
def test_one_changed_character_is_enough(data: st.DataObject) -> None:
    """Whatever character of a token changes, it is no longer authentic."""  # S11
    token = forge({**HEADER, "kid": KID}, CLAIMS)
    assert accepts(READER, token)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="latin-1").filter(lambda one: one != token[at]))
    assert refuses(READER, token[:at] + other + token[at + 1 :])


@given(st.text(), st.text())
def test_no_text_raises(access: str, refresh: str) -> None:
    """Whatever text comes as a token is refused without an exception."""  # S14
    found = READER.verify(access, refresh, now=NOW)
    assert (found.access_state, found.refresh_state) == ("invalid", "invalid")


def test_deep_json_raises_nothing() -> None:
    """A header nested as deep as the stack just bears is refused without an exception."""  # S14
    tokens = make_tokens()
    for depth in range(600, 1020):
        header = '{"a":"\\u0041","b":' + "[" * depth + "]" * depth + "}"
        found = tokens.verify(forge(header, CLAIMS), forge(header, CLAIMS), now=NOW)
        assert (found.access_state, found.refresh_state) == ("invalid", "invalid")


def test_the_payload_is_not_decoded_before_the_signature_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What nobody signed is never parsed beyond its header."""  # S13
    seen: list[str] = []
    real = sys.modules["jwt_middleware.tokens"].__dict__["decode_object"]
    for module in ("tokens", "trust"):
        monkeypatch.setattr(
            f"jwt_middleware.{module}.decode_object",
            lambda part: (seen.append(part), real(part))[1],
        )
    tokens = make_tokens()
    forged = forge(HEADER, CLAIMS, secret=STRANGE_SECRET)
    assert refuses(tokens, forged)
    assert seen == [forged.split(".")[0]]
    seen.clear()
    # A header that came with a good signature is not parsed again, with either outcome.
    good, other = forge(HEADER, CLAIMS), forge(HEADER, {**CLAIMS, "sub": "bob"})
    assert accepts(tokens, good)
    assert accepts(tokens, other)
    assert refuses(tokens, forged)
    assert seen == [*good.split(".")[:2], other.split(".")[1]]


def test_the_length_limit_is_exact() -> None:
    """A token of exactly the longest length is read, and one character more is not."""  # S13
    token = forge(HEADER, CLAIMS | {"filler": "x" * 300})
    assert accepts(make_tokens(max_token_length=len(token)), token)
    assert refuses(make_tokens(max_token_length=len(token) - 1), token)


@pytest.mark.parametrize(
    "payload",
    [
        b"\xef\xbb\xbf" + json.dumps(CLAIMS).encode(),
        json.dumps(CLAIMS).encode("utf-16"),
        '{"sub":"alice","exp":NaN}',
        '{"sub":"alice","exp":Infinity}',
        '{"sub":"alice","exp":1e999}',
        '{"sub":"mallory","exp":1900000000,"sub":"alice"}',
        '{"sub":"\\ud800","exp":1900000000}',
        '"alice"',
        "[]",
        "null",
    ],
    ids=range(10),
)
def test_loose_payloads_are_refused(payload: Part) -> None:
    """A signature does not make loose JSON acceptable."""  # S12
    assert refuses(make_tokens(), forge(HEADER, payload))


# ── Claims ───────────────────────────────────────────────────────────────────────

NO_TIMES: list[Any] = [
    None,
    True,
    False,
    "1900000000",
    "",
    [],
    [1_900_000_000],
    {},
    -1,
    -0.5,
    LATEST,
    10**40,
    10**400,
]


@pytest.mark.parametrize("value", NO_TIMES, ids=range(len(NO_TIMES)))
@pytest.mark.parametrize("name", ["exp", "nbf", "iat", "rexp"])
def test_times_are_sane_numbers(name: str, value: object) -> None:
    """A time is a finite JSON number within bounds: no bool, no text, no null."""  # S15, S16
    assert refuses(make_tokens(), forge(HEADER, {**CLAIMS, name: value}))


def test_exp_is_required() -> None:
    """A token without exp is refused."""  # S15
    assert refuses(make_tokens(), forge(HEADER, {"sub": "alice"}))


@pytest.mark.parametrize("leeway", [0, 30, 300])
@pytest.mark.parametrize("fraction", [0, 0.5])
def test_now_equal_to_exp_is_expired(leeway: float, fraction: float) -> None:
    """A token counts until just before exp and leeway, and is then expired."""  # S15, S16
    exp = NOW + 100 + fraction
    token = forge(HEADER, {**CLAIMS, "exp": exp})
    for tokens in (make_tokens(leeway=leeway), make_tokens(leeway=leeway, token_cache_size=0)):
        for _ in range(2):  # the second time it is known
            assert accepts(tokens, token, now=exp + leeway - 0.001)
            found = tokens.verify(token, None, now=exp + leeway)
            assert found.access_state == "expired"
            assert found.access is not None
            assert found.access.expired(exp + leeway)


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_the_future_is_a_minute_away(name: str) -> None:
    """Nodes may differ by a minute; what begins later than that is refused."""  # S16
    for leeway in (0, 300):
        tokens = make_tokens(leeway=leeway)
        assert accepts(tokens, forge(HEADER, {**CLAIMS, name: NOW + CLOCK_SKEW}))
        assert refuses(tokens, forge(HEADER, {**CLAIMS, name: NOW + CLOCK_SKEW + 0.5}))
    assert CLOCK_SKEW == 60


def test_the_earliest_and_latest_times() -> None:
    """The epoch itself and the last second of the year 9999 are times."""  # S15
    tokens = make_tokens()
    assert accepts(tokens, forge(HEADER, {**CLAIMS, "iat": 0, "nbf": 0.0, "exp": LATEST - 1}))
    assert tokens.verify(forge(HEADER, {**CLAIMS, "exp": 0}), None, now=NOW).access_state == (
        "expired"
    )


ABSENT = object()


@pytest.mark.parametrize(
    ("expected", "given_", "good"),
    [
        (None, ABSENT, True),
        (None, "api", False),
        (None, ["api"], False),
        (None, [], False),
        (None, "", False),
        (None, None, False),
        (None, 0, False),
        ("api", "api", True),
        ("api", ["other", "api"], True),
        ("api", ABSENT, False),
        ("api", "other", False),
        ("api", "API", False),
        ("api", "api ", False),
        ("api", "apiary", False),
        ("api", ["a", "p", "i"], False),
        ("api", [], False),
        ("api", "", False),
        ("api", None, False),
        ("api", 1, False),
        ("api", {"api": 1}, False),
        ("api", [["api"]], False),
        ("api", ["api", 1], False),
        ("api", ["api", None], False),
        (("api", "web"), "web", True),
        (("api", "web"), ["x", "web"], True),
        (("api", "web"), "api,web", False),
    ],
    ids=range(26),
)
def test_the_audience(expected: Any, given_: object, good: bool) -> None:
    """Who is not named refuses, and so does who has no name where somebody is named."""  # S17
    claims = CLAIMS if given_ is ABSENT else {**CLAIMS, "aud": given_}
    assert accepts(make_tokens(audience=expected), forge(HEADER, claims)) is good


@pytest.mark.parametrize(
    "issuer",
    [
        ABSENT,
        None,
        "",
        "https://us.example/",
        "https://us",
        "HTTPS://us.example",
        "https://us.example\0",
        1,
        True,
        ["https://us.example"],
        {"https://us.example": 1},
    ],
    ids=range(11),
)
def test_the_issuer_is_compared_whole(issuer: object) -> None:
    """Only the very issuer counts: no prefix, no list, no other case."""  # S17
    claims = CLAIMS if issuer is ABSENT else {**CLAIMS, "iss": issuer}
    tokens = make_tokens(issuer="https://us.example")
    assert refuses(tokens, forge(HEADER, claims))
    assert accepts(tokens, forge(HEADER, {**CLAIMS, "iss": "https://us.example"}))


@pytest.mark.parametrize("subject", [ABSENT, None, "", 0, 7, 1.5, True, [], ["alice"], {}])
def test_the_subject_is_text(subject: object) -> None:
    """A subject is text and not empty."""  # S18
    claims = {name: value for name, value in CLAIMS.items() if name != "sub"}
    if subject is not ABSENT:
        claims["sub"] = subject
    assert refuses(make_tokens(), forge(HEADER, claims))


@pytest.mark.parametrize(
    ("members", "subject"),
    [
        ({"user_id": "bob"}, "bob"),
        ({"user_id": 7}, "7"),
        ({"user_id": 0}, "0"),
        ({"user_id": "bob", "sub": "alice"}, "bob"),
        ({"user_id": True}, None),
        ({"user_id": 1.5}, None),
        ({"user_id": ""}, None),
        ({"user_id": None}, None),
        ({"user_id": ["bob"]}, None),
        ({"user_id": "bob", "sub": ""}, None),
        ({"user_id": "bob", "sub": 7}, None),
        ({"user_id": "bob", "sub": None}, None),
        ({"sub": "alice"}, None),
        ({}, None),
    ],
    ids=range(14),
)
def test_an_identity_claim_may_be_a_row_number(
    members: dict[str, Any], subject: str | None
) -> None:
    """An identity claim is text or a whole number, and sub is held to its own rule."""  # S18
    tokens = make_tokens(identity_claim="user_id")
    token = forge(HEADER, {"exp": CLAIMS["exp"], **members})
    if subject is None:
        assert refuses(tokens, token)
    else:
        assert tokens.read_access(token, now=NOW).subject == subject


@pytest.mark.parametrize("jti", [None, 0, 7, True, [], {}])
def test_jti_is_text(jti: object) -> None:
    """A jti that is no text is refused."""  # S18
    assert refuses(make_tokens(), forge(HEADER, {**CLAIMS, "jti": jti}))


@pytest.mark.parametrize("cnf", [{"jkt": "x"}, {}, None, "x"])
def test_bound_tokens_are_no_bearer_tokens(cnf: object) -> None:
    """A token bound to a key is not accepted without proof of it."""  # S20
    assert refuses(make_tokens(), forge(HEADER, {**CLAIMS, "cnf": cnf}))


@pytest.mark.parametrize(
    "members",
    [
        {"sid": None},
        {"sid": 1},
        {"sid": ["x"]},
        {"rgen": None},
        {"rgen": True},
        {"rgen": -1},
        {"rgen": 1.0},
        {"rgen": "1"},
        {"rgen": []},
    ],
    ids=repr,
)
def test_our_own_claims_have_their_types(members: dict[str, Any]) -> None:
    """A session id is text and a generation a natural number."""  # S14
    assert refuses(make_tokens(), forge(HEADER, {**CLAIMS, **members}))


def test_required_claims() -> None:
    """Every required claim must be there, whatever it says."""
    tokens = make_tokens(required_claims=["roles", "org"])
    assert accepts(tokens, forge(HEADER, {**CLAIMS, "roles": [], "org": ""}))
    assert refuses(tokens, forge(HEADER, {**CLAIMS, "roles": []}))
    assert refuses(tokens, forge(HEADER, CLAIMS))


def test_a_required_claim_is_not_null() -> None:
    """A required claim of null is one that is missing."""
    tokens = make_tokens(required_claims=["roles"])
    assert refuses(tokens, forge(HEADER, {**CLAIMS, "roles": None}))


# ── When nothing else needs to be looked at ──────────────────────────────────────


@pytest.mark.parametrize(
    ("settings", "rexp", "until"),
    [
        ({}, None, 600),
        ({"leeway": 30}, None, 630),
        ({"reissue_within": 100}, None, 500),
        ({"reissue_within": 100, "leeway": 30}, None, 530),
        ({}, 50, 50),
        ({}, 700, 600),
        ({"renew_refresh": False}, 50, 600),
        ({"reissue_within": 100}, 50, 50),
    ],
    ids=range(8),
)
def test_fresh_until(settings: dict[str, Any], rexp: float | None, until: float) -> None:
    """Until it expires, may be reissued, or its refresh token may be renewed, a token suffices."""
    claims = CLAIMS if rexp is None else {**CLAIMS, "rexp": NOW + rexp}
    access = make_tokens(**settings).read_access(forge(HEADER, claims), now=NOW)
    assert access.fresh_until == NOW + until


@pytest.mark.parametrize(
    ("members", "settled"),
    [
        ({}, True),
        ({"sid": "s"}, True),
        ({"rgen": 1}, True),
        ({"sid": "s", "rgen": 0}, True),
        ({"sid": "s", "rgen": 1}, False),
    ],
    ids=range(5),
)
def test_what_there_is_to_confirm(members: dict[str, Any], settled: bool) -> None:
    """Only a session past its first generation has something to confirm."""
    access = make_tokens().read_access(forge(HEADER, {**CLAIMS, **members}), now=NOW)
    assert access.settled is settled


# ── The cache of verified tokens ─────────────────────────────────────────────────


def test_a_known_token_is_not_verified_again() -> None:
    """The second time, a token is known by its whole text."""  # S21
    tokens = make_tokens()
    token = forge(HEADER, CLAIMS)
    first = tokens.read_access(token, now=NOW)
    assert tokens.read_access(token, now=NOW) is first
    assert tokens.verified.get(token) is first
    for other in (token[:-1], token + "A", token.lower(), token + "=", " " + token):
        assert refuses(tokens, other)


def test_hits_and_misses_are_counted() -> None:
    """Each token that had to be verified is a miss, good or bad; each that was known, a hit."""
    tokens = make_tokens()
    assert (tokens.hits, tokens.misses) == (0, 0)
    token = forge(HEADER, CLAIMS)
    accepts(tokens, token)
    refuses(tokens, token + "A")
    assert (tokens.hits, tokens.misses) == (0, 2)
    for _ in range(3):
        accepts(tokens, token)
    assert (tokens.hits, tokens.misses) == (3, 2)


def test_a_known_token_expires() -> None:
    """The expiry of a known token is judged at every look."""  # S21
    tokens = make_tokens()
    token = forge(HEADER, CLAIMS)
    assert accepts(tokens, token)
    assert tokens.verify(token, None, now=NOW + 600).access_state == "expired"
    assert accepts(tokens, token, now=NOW + 599)


def test_only_good_tokens_are_known() -> None:
    """Neither refused nor expired tokens take a place in the cache."""  # S21
    tokens = make_tokens()
    tokens.verify(forge(HEADER, CLAIMS, secret=STRANGE_SECRET), None, now=NOW)
    tokens.verify(forge(HEADER, {**CLAIMS, "sub": ""}), None, now=NOW)
    tokens.verify(forge(HEADER, CLAIMS), None, now=NOW + 600)
    tokens.verify(None, tokens.refresh(ROW), now=NOW)
    assert len(tokens.verified) == 0


def test_the_cache_is_bounded() -> None:
    """However many tokens come, only so many are known."""  # S21
    tokens = make_tokens(token_cache_size=10)
    for number in range(100):
        assert accepts(tokens, forge(HEADER, {**CLAIMS, "sub": str(number)}))
        assert len(tokens.verified) <= 10


def test_no_cache() -> None:
    """A cache of size 0 knows nothing, and everything still works."""  # S21
    tokens = make_tokens(token_cache_size=0)
    token = tokens.access(ROW, generation=3, now=NOW)
    assert accepts(tokens, token)
    assert len(tokens.verified) == 0


def test_a_minted_token_is_known() -> None:
    """A token this process has made is known to it, and not yet proven to have arrived."""
    tokens = make_tokens()
    token = tokens.access(ROW, generation=3, now=NOW)
    known = tokens.verified.get(token)
    assert known is not None
    assert not known.settled
    read = make_tokens().read_access(token, now=NOW)
    told = [name for name in AccessToken.__slots__ if name != "keys"]  # each has its own
    assert all(getattr(known, name) == getattr(read, name) for name in told)


@pytest.mark.parametrize(
    ("check_session", "until"), [("never", float("inf")), ("always", 0.0), (30, 0.0)]
)
def test_until_when_the_store_has_vouched(check_session: Any, until: float) -> None:
    """A token fresh from its client has been vouched for by nobody, at no moment at all."""  # S46
    settings = {"check_session": check_session, "session_store": "memory://"}
    access = make_tokens(**settings).read_access(forge(HEADER, {**CLAIMS, "sid": "s"}), now=NOW)
    assert access.checked_until == until


def test_signing_alone_makes_nothing_known() -> None:
    """A token that is only signed, to see whether it fits, is not in the cache."""
    tokens = make_tokens()
    tokens.sign_access(tokens.members(ROW, generation=3, now=NOW))
    assert len(tokens.verified) == 0


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
            max_leaves=8,
        ),
        max_size=4,
    )
)
def test_what_is_issued_is_read_everywhere(claims: dict[str, Any]) -> None:
    """Claims an app may set come back as they were set, in a process that never saw them."""
    try:
        own = custom_claims(claims, "sub")
    except InvalidClaims:
        return
    tokens = Tokens(SETTINGS)
    session = tokens.new_session("älice \U0001f600", own, persistent=True, now=NOW)
    token = tokens.pair(session, now=NOW).access_token
    read = READER.read_access(token, now=NOW)
    assert {name: read.claims[name] for name in own} == own
    assert tokens.read_access(token, now=NOW).claims == read.claims


@pytest.mark.parametrize("depth", [10, 20, 29, 30, 31, 32, 33, 40, 200])
@pytest.mark.parametrize("settings", [{}, {"session_store": "none"}], ids=["stored", "stateless"])
def test_deep_claims_are_read_everywhere_or_not_issued(
    depth: int, settings: dict[str, Any]
) -> None:
    """Claims that nest too deep for other nodes are refused where they are set."""  # S12
    deep: list[Any] = []
    for _ in range(depth - 1):
        deep = [deep]
    try:
        own = custom_claims({"deep": deep}, "sub")
    except InvalidClaims:
        assert depth > 29
        return
    assert depth <= 29
    tokens = make_tokens(**settings)
    access, refresh = _both_kinds(tokens, new_session(tokens, **own))
    found = make_tokens(**settings).verify(access, refresh, now=NOW)
    assert (found.access_state, found.refresh_state) == ("valid", "valid")


def test_required_claims_are_asked_of_our_own_tokens() -> None:
    """A token without a required claim opens no process, not even the one that made it."""
    tokens = make_tokens(required_claims=["roles"])
    token = tokens.access(dataclasses.replace(ROW, claims={}), generation=3, now=NOW)
    there, here = (accepts(one, token) for one in (make_tokens(required_claims=["roles"]), tokens))
    assert there is here


def test_nobody_changes_what_is_known() -> None:
    """The claims of a known token do not change with the session they came from."""  # S31
    tokens = make_tokens()
    pair = tokens.pair(new_session(tokens, roles=["user"], org={"id": 1}), now=NOW)
    pair.session.claims["roles"].append("admin")
    pair.session.claims["org"]["id"] = 2
    access = tokens.read_access(pair.access_token, now=NOW)
    assert (access.claims["roles"], access.claims["org"]) == (["user"], {"id": 1})


# ── Headers that have been trusted ───────────────────────────────────────────────


def test_a_forged_token_does_not_become_trusted() -> None:
    """A header is trusted only after it came with a good signature, and never vouches for one."""
    tokens = make_tokens(token_cache_size=0)
    good, bad = forge(HEADER, CLAIMS), forge(HEADER, CLAIMS, secret=STRANGE_SECRET)
    assert refuses(tokens, bad)
    assert not tokens._trusted._own._headers
    assert accepts(tokens, good)
    assert len(tokens._trusted._own._headers) == 1
    assert refuses(tokens, bad)
    assert accepts(tokens, good)


def test_a_trusted_header_is_trusted_for_its_kind() -> None:
    """A header trusted in one kind of token opens nothing as the other kind."""  # S19
    tokens = make_tokens()
    access, refresh = (part for part in _both_kinds(tokens, ROW))
    assert tokens.verify(access, refresh, now=NOW).same_session
    # Swapped, with both headers trusted:
    swapped = tokens.verify(refresh, access, now=NOW)
    assert (swapped.access_state, swapped.refresh_state) == ("invalid", "invalid")
    # With the other kind's header before one's own payload, signed by either key:
    headers = [token.split(".")[0] for token in (access, refresh)]
    payloads = [token.split(".")[1] for token in (access, refresh)]
    for header in headers:
        for payload in payloads:
            for secret in (SECRET, refresh_secret()):
                token = signed(f"{header}.{payload}", secret=secret)
                found = tokens.verify(token, token, now=NOW)
                own = token == access, token == refresh
                assert (found.access_state == "valid") is (
                    own[0] or (header == headers[0] and secret == SECRET)
                )
                assert (found.refresh_state == "valid") is own[1]


def _both_kinds(tokens: Tokens, row: Session) -> tuple[str, str]:
    pair = tokens.pair(row, now=NOW)
    return pair.access_token, pair.refresh_token


def test_trusted_headers_are_bounded() -> None:
    """However many headers come, only so many are remembered, and all are judged."""
    tokens = make_tokens()
    for number in range(200):
        assert accepts(tokens, forge({**HEADER, "x": number}, CLAIMS))
    assert len(tokens._trusted._own._headers) <= 64
    assert refuses(tokens, forge({**HEADER, "typ": "other"}, CLAIMS))


def test_many_headers_do_not_lock_refresh_tokens_out() -> None:
    """Access tokens of many headers leave room to read refresh tokens."""
    tokens = make_tokens()
    for number in range(100):
        assert accepts(tokens, forge({**HEADER, "x": number}, CLAIMS))
    assert tokens.read_refresh(make_tokens().refresh(ROW)).session_id == ROW.id


# ── Refresh tokens ───────────────────────────────────────────────────────────────


def test_a_refresh_token() -> None:
    """A refresh token names a generation of a session, and nothing of its claims."""
    token = make_tokens().refresh(ROW)
    header = part_of(token, 0)
    assert header == {"alg": "HS256", "typ": "rt+jwt", "kid": header["kid"]}
    members = part_of(token, 1)
    assert members == {
        "sub": "alice",
        "sid": ROW.id,
        "gen": 3,
        "jti": members["jti"],
        "iat": NOW - 0.125,
        "exp": NOW + 1000.75,
    }
    read = make_tokens().read_refresh(token)
    assert read == RefreshToken(
        session_id=ROW.id,
        subject="alice",
        generation=3,
        issued_at=NOW - 0.125,
        expires_at=NOW + 1000.75,
        jti=members["jti"],
        kid=header["kid"],
        session=None,
    )


@pytest.mark.parametrize("row", [ROW, dataclasses.replace(ROW, generation=0, rotated_at=NOW)])
def test_a_refresh_token_is_known_to_who_made_it(row: Session) -> None:
    """It need not be verified when it comes back; what is known is what would have been read. One
    that carries its session is read each time, as what it carries is one request's own."""
    tokens = make_tokens()
    token = tokens.refresh(row)
    known = tokens._read.get(token)
    assert known is not None
    assert known == make_tokens().read_refresh(token) == tokens.read_refresh(token)
    other = make_tokens()
    assert other.read_refresh(token) is other.read_refresh(token)
    stateless = make_tokens(session_store="none")
    assert stateless._read.get(stateless.refresh(row)) is None


def test_a_refresh_token_is_recomputed_byte_for_byte() -> None:
    """Every node makes the same refresh token of the same row, today and tomorrow."""
    expected = make_tokens().refresh(ROW)
    for settings in ({}, {"token_cache_size": 0}, {"previous_secret_keys": [OLD_SECRET]}):
        assert make_tokens(**settings).refresh(ROW) == expected
    digest = hashlib.sha256(expected.encode()).hexdigest()
    assert (
        digest[:16] == "e21d8f4bea176b38"
    )  # another value signs every user out at the next release


def test_the_jti_needs_the_key_and_the_salt() -> None:
    """Neither a database without the key nor a key without the row gives a jti."""
    tokens = make_tokens()
    refresh = tokens.read_refresh(tokens.refresh(ROW))
    assert tokens.matches(refresh, ROW)
    changes: list[dict[str, Any]] = [
        {"refresh_salt": "another"},
        {"id": "another"},
        {"subject": "bob"},
    ]
    for change in changes:
        assert not tokens.matches(refresh, dataclasses.replace(ROW, **change))
    # The row may have moved on: it is the token's generation that counts.
    assert tokens.matches(refresh, dataclasses.replace(ROW, generation=9))
    assert not tokens.matches(dataclasses.replace(refresh, generation=4), ROW)
    # All fields right, but for the jti: what somebody without the row could make.
    key = hmac.digest(STRANGE_SECRET.encode(), b"jwt_middleware refresh token jti", "sha256")
    message = f"{ROW.refresh_salt}.{ROW.id}.3".encode()
    wrong = b64(hmac.digest(key, message, "sha256")[:16])
    assert not tokens.matches(dataclasses.replace(refresh, jti=wrong), ROW)
    right = hmac.digest(SECRET.encode(), b"jwt_middleware refresh token jti", "sha256")
    jti = b64(hmac.digest(right, message, "sha256")[:16])
    assert refresh.jti == jti


def test_the_jti_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A jti is compared by the comparison that takes the same time for all."""  # S8
    tokens = make_tokens()
    refresh = tokens.read_refresh(tokens.refresh(ROW))
    compared: list[Any] = []
    monkeypatch.setattr("hmac.compare_digest", lambda *two: compared.append(two))
    assert not tokens.matches(refresh, ROW)
    assert compared == [(refresh.jti, refresh.jti)]


def test_each_kind_is_read_as_itself() -> None:
    """A refresh token never opens the app, and an access token never refreshes."""  # S19
    tokens = make_tokens()
    access, refresh = _both_kinds(tokens, ROW)
    found = make_tokens().verify(refresh, access, now=NOW)
    assert (found.access_state, found.refresh_state) == ("invalid", "invalid")


@pytest.mark.parametrize("typ", ["at+jwt", "JWT", "", "rt", "refresh", None, "RT+JWT "])
def test_only_refresh_tokens_refresh(typ: str | None) -> None:
    """Even signed with the key of refresh tokens, only their own type refreshes."""  # S19
    tokens = make_tokens()
    token = tokens.refresh(ROW)
    header = {**part_of(token, 0), "typ": typ}
    forged = forge(header, part_of(token, 1), secret=refresh_secret())
    assert tokens.verify(forged, forged, now=NOW).refresh_state == "invalid"
    assert tokens.verify(forged, forged, now=NOW).access_state == "invalid"


def test_the_secret_itself_signs_no_refresh_token() -> None:
    """A refresh token signed with the secret, as an access token would be, is refused."""  # S19
    tokens = make_tokens()
    token = tokens.refresh(ROW)
    for kid in (part_of(token, 0)["kid"], header_of(tokens)["kid"]):
        header = {"alg": "HS256", "typ": REFRESH_TYPE, "kid": kid}
        forged = forge(header, part_of(token, 1))
        assert tokens.verify(None, forged, now=NOW).refresh_state == "invalid"
        header["typ"] = ACCESS_TYPE
        assert tokens.verify(None, forge(header, part_of(token, 1)), now=NOW).refresh is None


@pytest.mark.parametrize("leeway", [0, 30])
def test_an_expired_refresh_token_is_still_authentic(leeway: float) -> None:
    """An expired refresh token tells whose session it was, and no leeway prolongs it."""
    tokens = make_tokens(leeway=leeway)
    token = tokens.refresh(ROW)
    end = ROW.expires_at
    assert tokens.verify(None, token, now=end - 0.01).refresh_state == "valid"
    found = tokens.verify(None, token, now=end)
    assert found.refresh_state == "expired"
    assert found.session_ids == (ROW.id,)


@pytest.mark.parametrize("name", ["sid", "sub", "gen", "jti", "iat", "exp"])
def test_a_refresh_token_of_another_version(name: str) -> None:
    """A refresh token of ours that lacks a member is refused like a forged one."""  # S14
    tokens = make_tokens()
    token = tokens.refresh(ROW)
    members = {key: value for key, value in part_of(token, 1).items() if key != name}
    forged = forge(part_of(token, 0), members, secret=refresh_secret())
    assert tokens.verify(None, forged, now=NOW).refresh_state == "invalid"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("sid", value) for value in ("", None, 1, ["s"], {})),
        *(("sub", value) for value in ("", None, 1, [[]], {})),
        *(("gen", value) for value in (-1, True, 1.0, "3", None)),
        *(("jti", value) for value in ("", None, 1)),
        *(("iat", value) for value in ("1", True, -1, None)),
        *(("exp", value) for value in ("1", True, -1, None, 1e20)),
    ],
)
def test_a_refresh_token_of_another_form(name: str, value: object) -> None:
    """A refresh token of ours whose members have other types is refused like a forged one."""
    # S14, S15, S18
    tokens = make_tokens()
    token = tokens.refresh(ROW)
    members = {**part_of(token, 1), name: value}
    forged = forge(part_of(token, 0), members, secret=refresh_secret())
    assert tokens.verify(None, forged, now=NOW).refresh_state == "invalid"


def test_the_first_generation_has_a_refresh_token() -> None:
    """Generation 0 counts like all others."""
    first = dataclasses.replace(ROW, generation=0)
    assert make_tokens().read_refresh(make_tokens().refresh(first)).generation == 0


# ── Roll-over ────────────────────────────────────────────────────────────────────


def test_roll_over_of_access_tokens() -> None:
    """Tokens of the previous secret are read while it is listed, and the new one signs."""  # S10
    before = make_tokens(secret_key=OLD_SECRET)
    during = make_tokens(previous_secret_keys=[OLD_SECRET])
    after = make_tokens()
    old, new = (one.access(ROW, generation=3, now=NOW) for one in (before, during))
    assert accepts(during, old)
    assert accepts(during, new)
    assert refuses(before, new)
    assert accepts(after, new)


def test_a_removed_key_stops_at_once() -> None:
    """Without the secret, neither cache nor trusted header lets its tokens live on."""  # S10, S21
    during = make_tokens(previous_secret_keys=[OLD_SECRET])
    access, refresh = _both_kinds(make_tokens(secret_key=OLD_SECRET), ROW)
    for _ in range(2):
        found = during.verify(access, refresh, now=NOW)
        assert (found.access_state, found.refresh_state) == ("valid", "valid")
    found = make_tokens().verify(access, refresh, now=NOW)
    assert (found.access_state, found.refresh_state) == ("invalid", "invalid")


def test_roll_over_of_refresh_tokens() -> None:
    """A jti is judged with the key that verified its signature."""  # S10
    before = make_tokens(secret_key=OLD_SECRET)
    during = make_tokens(previous_secret_keys=[OLD_SECRET])
    old, new = before.refresh(ROW), during.refresh(ROW)
    assert old != new
    for token in (old, new):
        assert during.matches(during.read_refresh(token), ROW)
    # A jti of one key under the signature of the other is worth nothing.
    mixed = {**part_of(old, 1), "jti": part_of(new, 1)["jti"]}
    forged = forge(part_of(old, 0), mixed, secret=refresh_secret(OLD_SECRET))
    assert not during.matches(during.read_refresh(forged), ROW)


def test_previous_secrets_do_not_sign() -> None:
    """However many secrets still verify, the current one signs."""  # S10
    tokens = make_tokens(previous_secret_keys=[OLD_SECRET, STRANGE_SECRET])
    access, refresh = _both_kinds(tokens, ROW)
    assert accepts(make_tokens(), access)
    assert make_tokens().matches(make_tokens().read_refresh(refresh), ROW)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_refresh_tokens_do_not_depend_on_the_algorithm(algorithm: str) -> None:
    """Another algorithm of access tokens leaves refresh tokens valid."""
    long = SECRET * 2
    token = make_tokens(secret_key=long).refresh(ROW)
    other = make_tokens(secret_key=long, algorithm=algorithm)
    assert other.refresh(ROW) == token
    assert part_of(other.access(ROW, generation=3, now=NOW), 0)["alg"] == algorithm


# ── Without a store ──────────────────────────────────────────────────────────────


def test_a_stateless_refresh_token_carries_its_session() -> None:
    """Without a store the refresh token holds what a row would."""
    tokens = make_tokens(session_store="none")
    session = dataclasses.replace(ROW, last_seen_at=ROW.rotated_at, persistent=False)
    refresh = make_tokens(session_store="none").read_refresh(tokens.refresh(session))
    assert refresh.session == session
    assert tokens.matches(refresh, session)


def test_stateless_or_not_is_no_matter_of_the_token() -> None:
    """A stored session's token does not pass where nothing is stored."""
    stateless, stored = make_tokens(session_store="none"), make_tokens()
    assert stateless.verify(None, stored.refresh(ROW), now=NOW).refresh_state == "invalid"
    read = stored.read_refresh(stateless.refresh(ROW))
    assert read.session is None


@pytest.mark.parametrize("carried", [None, [], {}, "x", 1, {"unknown": 1}], ids=repr)
def test_a_carried_session_of_another_version(carried: object) -> None:
    """A carried session that does not fit is refused like a forged token."""  # S14
    tokens = make_tokens(session_store="none")
    token = tokens.refresh(ROW)
    members = {**part_of(token, 1), "ses": carried}
    if isinstance(carried, dict):
        members["ses"] = {**part_of(token, 1)["ses"], **carried}
        if not carried:
            del members["ses"]["claims"]
    forged = forge(part_of(token, 0), members, secret=refresh_secret())
    assert tokens.verify(None, forged, now=NOW).refresh_state == "invalid"


# ── What is too large ────────────────────────────────────────────────────────────


def test_too_large_says_what_to_shorten() -> None:
    """What is too large is named with its size, never with its value."""  # S39, S53
    tokens = make_tokens(max_token_length=500)
    private: dict[str, Any] = {
        "roles": "Rr" * 300,
        "teams": "Tt" * 250,
        "notes": "Nn" * 200,
        "tiny": "Zz",
    }
    with pytest.raises(TokenTooLarge) as caught:
        tokens.access(new_session(tokens, **private), generation=0, now=NOW)
    text = str(caught.value)
    assert "500" in text
    assert text.index("roles") < text.index("teams") < text.index("notes")
    assert "tiny" not in text
    assert not any(value[:4] in text for value in private.values())
    assert len(tokens.verified) == 0


def test_too_large_names_what_the_app_can_shorten() -> None:
    """Claims of the middleware's own are none that the app could shorten."""
    tokens = make_tokens(max_token_length=256)
    with pytest.raises(TokenTooLarge) as caught:
        tokens.access(new_session(tokens), generation=0, now=NOW)
    assert not any(f"{name} (" in str(caught.value) for name in ("sid", "jti", "rexp", "exp"))
    assert "none of your own" in str(caught.value)


def test_the_size_limit_is_exact() -> None:
    """A token of exactly the longest length is issued, and none that is longer."""  # S39
    members = {**CLAIMS, "filler": "x" * 300}
    size = len(make_tokens().sign_access(members))
    assert make_tokens(max_token_length=size).sign_access(members)
    with pytest.raises(TokenTooLarge):
        make_tokens(max_token_length=size - 1).sign_access(members)


@pytest.mark.parametrize("filler", [0, 6, 60])
def test_no_refresh_token_is_issued_that_is_too_long_to_be_read(filler: int) -> None:
    """Both tokens of a pair can be read again, or none is issued."""  # S39
    reader = make_tokens(session_store="none")
    session = reader.new_session("alice", {"x": "x" * (5780 + filler)}, persistent=True, now=NOW)
    try:
        pair = reader.pair(session, now=NOW)
    except TokenTooLarge:
        return
    assert reader.read_refresh(pair.refresh_token)


# ── Both tokens of a request ─────────────────────────────────────────────────────


def test_nothing_presented() -> None:
    """Without tokens there is nothing to be verified, and nothing is wrong."""
    found = make_tokens().verify(None, None, now=NOW)
    assert found == Verified(None, "missing", None, "missing")
    assert found.session_ids == ()
    assert found.leading is None
    assert not found.same_session


def test_each_token_is_judged_by_itself() -> None:
    """One token's fault does not spoil the other."""
    tokens = make_tokens()
    access, refresh = _both_kinds(tokens, ROW)
    found = tokens.verify("x", refresh, now=NOW)
    assert (found.access_state, found.refresh_state) == ("invalid", "valid")
    assert not found.same_session
    assert found.leading is found.refresh is not None
    found = tokens.verify(access, "x", now=NOW)
    assert (found.access_state, found.refresh_state) == ("valid", "invalid")
    assert not found.same_session


@pytest.mark.parametrize("change", [{"id": "another"}, {"subject": "bob"}], ids=repr)
def test_tokens_of_two_sessions(change: Mapping[str, Any]) -> None:
    """Tokens belong together only if both session and subject are the same."""  # S44
    tokens = make_tokens()
    access, _ = _both_kinds(tokens, ROW)
    _, refresh = _both_kinds(tokens, dataclasses.replace(ROW, **change))
    found = tokens.verify(access, refresh, now=NOW)
    assert (found.access_state, found.refresh_state) == ("valid", "valid")
    assert not found.same_session
    assert found.leading is found.access is not None
    expected = (ROW.id, "another") if "id" in change else (ROW.id,)
    assert found.session_ids == expected


def test_tokens_of_one_session() -> None:
    """Both tokens of a pair belong to one session, expired or not."""  # S44
    tokens = make_tokens()
    found = tokens.verify(*_both_kinds(tokens, ROW), now=ROW.absolute_expires_at + 1)
    assert (found.access_state, found.refresh_state) == ("expired", "expired")
    assert found.same_session
    assert found.session_ids == (ROW.id,)


def test_a_token_without_session() -> None:
    """A token of no session belongs to no session."""
    found = make_tokens().verify(forge(HEADER, CLAIMS), None, now=NOW)
    assert found.access_state == "valid"
    assert found.session_ids == ()


# ── The pair ─────────────────────────────────────────────────────────────────────


def test_a_pair_as_a_response() -> None:
    """A pair is the response of RFC 6749, and knows its session."""
    pair = make_tokens().pair(ROW, now=NOW)
    assert pair.session_id == ROW.id
    assert pair.as_dict() == {
        "access_token": pair.access_token,
        "token_type": "Bearer",
        "expires_in": 900,
        "refresh_token": pair.refresh_token,
    }


def _shown() -> dict[str, tuple[object, list[str]]]:
    """What might end up in a log, and the secrets that it must not show there."""
    tokens = make_tokens(session_store="none")
    pair: TokenPair = tokens.pair(ROW, now=NOW)
    secrets = [pair.access_token, pair.refresh_token, ROW.refresh_salt]
    secrets += [token.rpartition(".")[2] for token in (pair.access_token, pair.refresh_token)]
    found = tokens.verify(pair.access_token, pair.refresh_token, now=NOW)
    assert found.refresh is not None
    secrets += [found.refresh.jti, SECRET]
    stored = make_tokens()
    shown: dict[str, object] = {
        "pair": pair,
        "verified": found,
        "access": found.access,
        "tokens": tokens,
        "settings": make_settings(),
        "key": tokens._access_keys.signing,
        "trusted": tokens._trusted._own._headers,
        "refresh": stored.read_refresh(stored.refresh(ROW)),
        "stateless refresh": found.refresh,
        "session": ROW,
        "claims": Claims({"jti": found.refresh.jti}),
    }
    return {name: (value, secrets) for name, value in shown.items()}


@pytest.mark.parametrize("name", list(_shown()))
def test_nothing_shows_a_token(name: str) -> None:
    """No repr of what holds tokens shows one, nor a salt or a secret."""  # S53
    value, secrets = _shown()[name]
    assert not [secret for secret in secrets if secret in repr(value) + str(value)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("claims", value) for value in ([], None, "x")),
        *(("persistent", value) for value in (1, None, "true")),
        *(("created_at", value) for value in ("1", True, -1, None)),
        *(("absolute_expires_at", value) for value in ("1", True, -1, None)),
        *(("refresh_salt", value) for value in ("", 1, None)),
    ],
)
def test_a_carried_session_of_another_form(name: str, value: object) -> None:
    """A carried session whose members have other types is refused like a forged token."""
    # S14
    tokens = make_tokens(session_store="none")
    token = tokens.refresh(ROW)
    members = part_of(token, 1)
    members["ses"][name] = value
    forged = forge(part_of(token, 0), members, secret=refresh_secret())
    assert tokens.verify(None, forged, now=NOW).refresh_state == "invalid"


def test_a_refresh_token_shows_nothing_of_its_session() -> None:
    """Neither a refresh token nor a pair shows a session, a token or a jti where it is printed."""
    # S53
    tokens = make_tokens(session_store="none")
    session = dataclasses.replace(ROW, claims={"diagnosis": "flu"})
    pair = tokens.pair(session, now=NOW)
    shown = repr(pair) + repr(tokens.read_refresh(pair.refresh_token))
    for hidden in ("flu", session.refresh_salt, pair.access_token, pair.refresh_token, "Session("):
        assert hidden not in shown


def test_a_token_of_no_generation_proves_none() -> None:
    """A token of ours that says nothing of generations counts as the first, to be confirmed."""
    access = make_tokens().read_access(forge(HEADER, {**CLAIMS, "sid": "s"}), now=NOW)
    assert (access.session_id, access.generation, access.settled) == ("s", 0, True)


def test_whose_iss_is_not_expected_may_have_any() -> None:
    """Without a configured issuer, iss is the app's own business."""  # S17
    for iss in ("anybody", None):
        assert accepts(make_tokens(), forge(HEADER, {**CLAIMS, "iss": iss}))


def test_honest_times_end_with_the_year_9999() -> None:
    """A time from the year 10000 on is no time."""  # S15
    for exp, good in ((253402300799.5, True), (253402300800, False)):
        assert accepts(make_tokens(), forge(HEADER, {**CLAIMS, "exp": exp})) is good


def test_as_many_headers_are_remembered_as_honest_ones_need() -> None:
    """Of 64 headers each is remembered; one more, and they are forgotten all at once."""  # S21
    tokens = make_tokens()
    for number in range(65):
        assert accepts(tokens, forge({**HEADER, "x": number}, CLAIMS))
        remembered = len(tokens._trusted._own._headers)
        assert remembered == (number + 1 if number < 64 else 1)
