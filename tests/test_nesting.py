"""Encrypted tokens: what is made, what is read, and what is refused before it is decrypted."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joserfc.jwe
import joserfc.jwt
import jwt
import pytest
from encrypting import (
    IV,
    KEY,
    OLD_KEY,
    STRANGE_KEY,
    decrypt,
    encrypt,
    encrypting,
    header_of,
    our_header,
)
from forging import (
    CLAIMS,
    HEADER,
    NOW,
    OLD_SECRET,
    STRANGE_SECRET,
    b64,
    forge,
    make_settings,
    make_tokens,
    refresh_secret,
)
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import OctKey
from keychain import jwk, key_for, public_pem, sign
from stepping import SECRET
from uncovered import environ_without_coverage

from jwt_middleware import Issuer, LegacyTokens
from jwt_middleware.errors import InvalidToken, TokenTooLarge
from jwt_middleware.jwe import Cipher
from jwt_middleware.jwk import read_keys
from jwt_middleware.keys import KeySet
from jwt_middleware.tokens import Tokens

SIGNED = forge(HEADER, CLAIMS)
SEGMENTS = ["header", "encrypted key", "initialization vector", "ciphertext", "tag"]


def pair_of(tokens: Tokens, **claims: Any) -> tuple[str, str]:
    session = tokens.new_session("alice", claims, persistent=True, now=NOW)
    pair = tokens.pair(session, now=NOW)
    return pair.access_token, pair.refresh_token


def state(tokens: Tokens, token: str) -> str:
    return tokens.verify(token, None, now=NOW).access_state


@pytest.fixture
def decrypted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens that are handed to the library from now on."""
    seen: list[str] = []
    real = Cipher.decrypt

    def noting(self: Cipher, token: str) -> bytes:
        seen.append(token)
        return real(self, token)

    monkeypatch.setattr(Cipher, "decrypt", noting)
    return seen


# ── What is made ─────────────────────────────────────────────────────────────────


def test_both_tokens_are_nested() -> None:
    """Five segments: a header that says it all, no encrypted key, 96 bits of initialization
    vector, the signed token encrypted, 128 bits of tag over it and the header (RFC 7516
    section 3.1, RFC 7518 sections 4.5 and 5.3, RFC 7519 section 5.2)."""
    secrets: list[str | bytes] = [SECRET, refresh_secret()]
    for token, secret in zip(pair_of(encrypting(), role="admin"), secrets, strict=True):
        segments = token.split(".")
        assert len(segments) == 5
        header = header_of(token)
        assert header == {"alg": "dir", "enc": "A256GCM", "cty": "JWT", "kid": header["kid"]}
        assert segments[1] == ""
        sizes = [len(base64.urlsafe_b64decode(one + "==")) for one in segments[2:]]
        inside = decrypt(token)
        assert sizes == [12, len(inside), 16]
        assert inside.count(b".") == 2
        members = jwt.decode(
            inside, secret, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False}
        )
        assert members["sub"] == "alice"


@pytest.mark.parametrize("nested", [True, False])
def test_a_signed_token_tells_its_expiry(nested: bool) -> None:
    """The expiry of a token that was just signed is read from it, encrypted or not."""
    tokens = encrypting() if nested else make_tokens()
    assert tokens.expiry(pair_of(tokens)[0]) == int(NOW) + 900


def test_nothing_of_the_claims_can_be_read() -> None:
    """Neither names nor values stand in any segment."""
    for token in pair_of(encrypting(), role="administrator"):
        for segment in token.split("."):
            raw = base64.urlsafe_b64decode(segment + "==")
            assert not any(word in raw for word in (b"alice", b"role", b"admin", b"sub"))


def test_no_two_tokens_have_one_vector() -> None:
    """The same token encrypted again is another text, and is worth the same."""
    tokens = encrypting()
    session = tokens.new_session("alice", {}, persistent=True, now=NOW)
    made = [tokens.refresh(session) for _ in range(50)]
    assert len({token.split(".")[2] for token in made}) == 50
    assert len({tokens.read_refresh(token).jti for token in made}) == 1


def test_a_peer_reads_ours() -> None:
    """The library decrypts and verifies what we have made, knowing the two keys and no more."""
    access, refresh = pair_of(encrypting(), role="admin")
    for token, secret in ((access, SECRET.encode()), (refresh, refresh_secret())):
        opened = joserfc.jwe.decrypt_compact(token, OctKey.import_key(KEY), ["dir", "A256GCM"])
        assert opened.headers()["cty"] == "JWT"
        members = joserfc.jwt.decode((opened.plaintext or b"").decode(), OctKey.import_key(secret))
        assert members.claims["sub"] == "alice"


def test_we_read_a_peers() -> None:
    """What joserfc, or a hand, has encrypted by our key counts if our key has signed it."""
    by_joserfc = joserfc.jwe.encrypt_compact(our_header(), SIGNED, OctKey.import_key(KEY))
    turned = dict(reversed(our_header().items()))
    for token in (by_joserfc, encrypt(SIGNED), encrypt(SIGNED, turned)):
        assert dict(encrypting().read_access(token, now=NOW).claims) == CLAIMS


def test_a_verifying_service_reads_them() -> None:
    """It has the public key and the encryption key, and no secret."""
    key = key_for("EdDSA")
    token = encrypt(sign(key, CLAIMS, kid=read_keys(public_pem(key))[0].kid))
    service = encrypting(secret_key=None, public_keys=public_pem(key))
    assert state(service, token) == "valid"


def test_what_is_too_large_is_measured_as_it_travels() -> None:
    """The longest token that can be read is issued, and none longer, by a bit."""  # S39
    members = {**CLAIMS, "filler": "x" * 300}
    size = len(encrypting().sign_access(members))
    exact = encrypting(max_token_length=size)
    assert state(exact, exact.sign_access(members)) == "valid"
    with pytest.raises(TokenTooLarge, match="filler"):
        encrypting(max_token_length=size - 1).sign_access(members)


# ── What is refused unprocessed ──────────────────────────────────────────────────

ODD_HEADERS: dict[str, Any] = {
    "no alg": {"alg": ...},
    "another alg": {"alg": "A256KW"},
    "a public key's alg": {"alg": "RSA-OAEP"},
    "key agreement": {"alg": "ECDH-ES", "epk": {"kty": "EC"}},
    "a password and a huge p2c": {"alg": "PBES2-HS256+A128KW", "p2c": 2**31, "p2s": "c2FsdA"},
    "a huge p2c beside dir": {"p2c": 2**31},
    "alg none": {"alg": "none"},
    "alg in capitals": {"alg": "DIR"},
    "a list of alg": {"alg": ["dir"]},
    "no enc": {"enc": ...},
    "another enc": {"enc": "A128GCM"},
    "CBC": {"enc": "A256CBC-HS512"},
    "enc null": {"enc": None},
    "zip": {"zip": "DEF"},
    "an unknown zip": {"zip": "GZ"},
    "no cty": {"cty": ...},
    "another cty": {"cty": "at+jwt"},
    "cty in small letters": {"cty": "jwt"},
    "crit": {"crit": ["exp"], "exp": 1},
    "b64": {"b64": False},
    "typ": {"typ": "JWT"},
    "a key": {"jwk": {"kty": "oct", "k": "AAAA"}},
    "a key's URL": {"jku": "https://evil.example/keys"},
    "claims": {"iss": "https://us.example"},
    "what nobody knows": {"x": 1},
    "no kid": {"kid": ...},
    "kid null": {"kid": None},
    "a list of kid": {"kid": []},
    "another kid": {"kid": "other"},
    "an empty kid": {"kid": ""},
}


@pytest.mark.parametrize("name", ODD_HEADERS)
def test_a_header_says_what_ours_do(name: str, decrypted: list[str]) -> None:
    """Whatever else it says, or leaves out, nothing is decrypted, unpacked or derived."""
    # S4, S6, S9
    changed = {**our_header(), **ODD_HEADERS[name]}
    header = {name: value for name, value in changed.items() if value is not ...}
    tokens = encrypting(previous_encryption_keys=[OLD_KEY])
    assert tokens.verify(encrypt(SIGNED, header), encrypt(SIGNED, header), now=NOW) == (
        tokens.verify("x", "x", now=NOW)
    )
    assert decrypted == []


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        "null",
        "",
        "{",
        "\ufeff{}",
        json.dumps(our_header())[:-1] + ', "alg": "dir"}',
        json.dumps(our_header())[:-1] + ', "x": NaN}',
        "[" * 1000,
    ],
    ids=range(9),
)
def test_a_header_is_strict_json(text: str, decrypted: list[str]) -> None:
    """As that of a signed token is: one object, each member once."""  # S12
    assert state(encrypting(), encrypt(SIGNED, text)) == "invalid"
    assert decrypted == []


def _segment(number: int, change: Callable[[str], str]) -> Callable[[str], str]:
    def changed(token: str) -> str:
        segments = token.split(".")
        segments[number] = change(segments[number])
        return ".".join(segments)

    return changed


ODD_FORMS: dict[str, Callable[[str], str]] = {
    "an encrypted key": _segment(1, lambda _: "AAAA"),
    "a vector too short": _segment(2, lambda iv: iv[:-4]),
    "a vector too long": _segment(2, lambda iv: iv + "AAAA"),
    "no vector": _segment(2, lambda _: ""),
    "no content": _segment(3, lambda _: ""),
    "a tag too short": _segment(4, lambda _: b64(bytes(12))),
    "a tag too long": _segment(4, lambda _: b64(bytes(17))),
    "no tag": _segment(4, lambda _: ""),
    "no header": _segment(0, lambda _: ""),
    "a padded tag": _segment(4, lambda tag: tag + "=="),
    "a padded vector": _segment(2, lambda iv: iv + "="),
    "another spelling of the tag": _segment(4, lambda tag: tag[:-1] + _next(tag[-1])),
    "another spelling of the content": _segment(3, lambda text: text[:-1] + _next(text[-1])),
    "white space": lambda token: token + " ",
    "a line end": lambda token: token + "\n",
    "a sixth segment": lambda token: token + ".AAAA",
    "four segments": lambda token: token.rpartition(".")[0],
    "another alphabet": _segment(2, lambda iv: "+" + iv[1:]),
    "digits of another script": _segment(2, lambda iv: "٣" + iv[1:]),
    "JSON": lambda token: json.dumps(dict(zip(SEGMENTS, token.split("."), strict=True))),
}


def _next(character: str) -> str:
    """A base64url character that differs in its lowest bit."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return letters[letters.index(character) ^ 1]


@pytest.mark.parametrize("name", ODD_FORMS)
def test_a_token_has_one_form(name: str, decrypted: list[str]) -> None:
    """One spelling, of exactly the segments that ``dir`` and A256GCM have."""  # S9, S11
    tokens = encrypting()
    good = encrypt(SIGNED + "A" * (-len(SIGNED) % 3 == 0))  # so that the content has spare bits
    odd = ODD_FORMS[name](good)
    assert odd != good
    assert state(tokens, odd) == "invalid"
    assert decrypted == []


def test_length_comes_first(decrypted: list[str]) -> None:
    """What is longer than any token of ours is not looked into."""  # S13
    token = encrypt(SIGNED)
    assert state(encrypting(max_token_length=len(token)), token) == "valid"
    del decrypted[:]
    assert state(encrypting(max_token_length=len(token) - 1), token) == "invalid"
    assert decrypted == []


def test_five_segments_are_no_token_without_a_key() -> None:
    """Where no key is configured, nested tokens are refused unprocessed."""  # S9
    access, refresh = pair_of(encrypting())
    found = make_tokens().verify(access, refresh, now=NOW)
    assert (found.access_state, found.refresh_state) == ("invalid", "invalid")


# ── What is inside ───────────────────────────────────────────────────────────────

ODD_CONTENTS: dict[str, str | bytes] = {
    "nothing": "",
    "claims": json.dumps(CLAIMS),
    "a token that is not signed": ".".join(
        (b64(b'{"alg":"none"}'), b64(json.dumps(CLAIMS).encode()), "")
    ),
    "a stranger's token": forge(HEADER, CLAIMS, secret=STRANGE_SECRET),
    "a refresh token's key": forge({**HEADER, "typ": "rt+jwt"}, CLAIMS, secret=refresh_secret()),
    "bytes": bytes(range(256)),
    "text that is not ASCII": "é" + SIGNED,
    "a token and a line end": SIGNED + "\n",
    "an encrypted token": encrypt(SIGNED),
    "one that says it is nested": forge({**HEADER, "cty": "JWT"}, CLAIMS),
    "one without expiry": forge(HEADER, {"sub": "alice"}),
}


@pytest.mark.parametrize("name", ODD_CONTENTS)
def test_decrypting_proves_nothing(name: str) -> None:
    """Who holds the encryption key alone can make nobody believe anything."""  # S1, S9, S19
    assert state(encrypting(), encrypt(ODD_CONTENTS[name])) == "invalid"


def test_a_key_belongs_to_its_kid() -> None:
    """Only the key that is named is tried, and a stranger's opens nothing."""  # S5
    tokens = encrypting(previous_encryption_keys=[OLD_KEY])
    assert state(tokens, encrypt(SIGNED, key=OLD_KEY)) == "valid"
    assert state(tokens, encrypt(SIGNED, our_header(KEY), key=OLD_KEY)) == "invalid"
    assert state(tokens, encrypt(SIGNED, our_header(OLD_KEY), key=KEY)) == "invalid"
    assert state(tokens, encrypt(SIGNED, key=STRANGE_KEY)) == "invalid"


def test_the_kinds_stay_apart() -> None:
    """Encrypted or not, a refresh token opens nothing and an access token renews nothing."""  # S19
    tokens = encrypting()
    access, refresh = pair_of(tokens)
    found = encrypting().verify(refresh, access, now=NOW)
    assert (found.access_state, found.refresh_state) == ("invalid", "invalid")
    found = encrypting().verify(access, refresh, now=NOW)
    assert (found.access_state, found.refresh_state) == ("valid", "valid")


# ── Plain tokens ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("settings", "plain", "nested"),
    [
        ({"encryption_key": KEY}, False, True),
        ({"encryption_key": KEY, "accept_unencrypted": True}, True, True),
        ({"previous_encryption_keys": [KEY]}, True, True),
        ({}, True, False),
    ],
    ids=["on", "rolling out", "prepared", "off"],
)
def test_whether_plain_tokens_count(settings: Any, plain: bool, nested: bool) -> None:
    """Not beside an encryption key, unless it is asked for; for both kinds alike."""
    for maker, counts in ((make_tokens(), plain), (encrypting(), nested)):
        access, refresh = pair_of(maker)
        found = make_tokens(**settings).verify(access, refresh, now=NOW)
        expected = "valid" if counts else "invalid"
        assert (found.access_state, found.refresh_state) == (expected, expected)


@pytest.mark.parametrize("settings", [{"previous_encryption_keys": [KEY]}, {}], ids=str)
def test_without_a_key_that_encrypts_plain_tokens_are_made(settings: Any) -> None:
    """A key that is known already, or still, encrypts nothing."""
    assert [token.count(".") for token in pair_of(make_tokens(**settings))] == [2, 2]


OTHERS = "https://a.example"
OTHERS_KEY = key_for("ES256")


def test_other_issuers_send_plain_tokens() -> None:
    """On their own terms, as before; encrypted by our key they are refused."""
    issuer = Issuer(OTHERS, public_keys=jwk(OTHERS_KEY, kid="1"))
    tokens = encrypting(issuers=[issuer])
    theirs = sign(OTHERS_KEY, {**CLAIMS, "iss": OTHERS}, kid="1")
    assert state(tokens, theirs) == "valid"
    assert state(tokens, encrypt(theirs)) == "invalid"
    assert state(tokens, encrypt(SIGNED)) == "valid"
    assert state(tokens, SIGNED) == "invalid"


def test_tokens_of_the_package_before_stay_plain() -> None:
    """They count until their date as they came, and never inside our encryption."""
    until = datetime.fromtimestamp(NOW + 3600, UTC)
    before = LegacyTokens.flask_jwt_extended(secret=OLD_SECRET, until=until)
    tokens = encrypting(legacy_tokens=before)
    old = forge(HEADER, {**CLAIMS, "type": "access", "fresh": False, "jti": "1"}, secret=OLD_SECRET)
    assert state(tokens, old) == "valid"
    assert state(tokens, encrypt(old)) == "invalid"
    assert state(tokens, SIGNED) == "invalid"


def test_a_service_that_verifies_by_published_keys_asks_for_encryption() -> None:
    """Where our own auth server's keys come from a URL, its tokens are ours."""
    published = KeySet(read_keys(jwk(OTHERS_KEY, kid="1")))
    settings: Any = {
        "secret_key": None,
        "issuer": OTHERS,
        "jwks_url": "https://a.example/keys",
        "encryption_key": KEY,
    }
    theirs = sign(OTHERS_KEY, {**CLAIMS, "iss": OTHERS}, kid="1")
    tokens = Tokens(make_settings(**settings), lambda issuer: published)
    assert state(tokens, encrypt(theirs)) == "valid"
    assert state(tokens, theirs) == "invalid"


# ── What it costs ────────────────────────────────────────────────────────────────


def test_a_known_token_is_not_decrypted_again(decrypted: list[str]) -> None:
    """Neither one that was read before nor one that this process has made."""  # S21
    tokens, access = encrypting(), encrypt(SIGNED)
    made = pair_of(tokens)[0]
    for token in (access, access, access, made, made):
        assert state(tokens, token) == "valid"
    assert decrypted == [access]
    assert tokens.verified.get(made) is not None


@pytest.mark.parametrize("key", [None, KEY.hex()], ids=["off", "on"])
def test_the_library_is_loaded_on_demand(key: str | None) -> None:
    """It is imported where a key is configured, and nowhere else."""
    code = (
        "import sys; from jwt_middleware import JWTAuth; "
        f"key = {key and f'bytes.fromhex({key!r})'}; "
        f"JWTAuth(secret_key={SECRET!r}, encryption_key=key).flow; "
        "print('joserfc' in sys.modules, 'jwt_middleware.jwe' in sys.modules)"
    )
    environ = environ_without_coverage()
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        env=environ,
        check=True,
        capture_output=True,
        text=True,
    )
    assert answer.stdout.split() == [str(key is not None)] * 2


# ── Whatever comes ───────────────────────────────────────────────────────────────

PARTS = st.text("ABCxyz019-_", max_size=40) | st.text(max_size=20) | st.binary(max_size=40).map(b64)


@given(number=st.integers(0, 4), part=PARTS, cut=st.integers(0, 200), flip=st.integers(0, 2000))
def test_no_change_to_a_token_goes_unnoticed(number: int, part: str, cut: int, flip: int) -> None:
    """Each segment exchanged, cut, or with a character changed: it is refused, by no other
    exception than ours."""  # S9, S11, S14
    tokens, good = encrypting(), encrypt(SIGNED)
    segments = good.split(".")
    segment = segments[number]
    place = flip % max(len(segment), 1)
    for changed in (
        part,
        segment[:cut],
        segment + part,
        segment[:place] + part[:1] + segment[place + 1 :],
    ):
        odd = ".".join((*segments[:number], changed, *segments[number + 1 :]))
        if odd == good:
            continue
        with pytest.raises(InvalidToken):
            tokens.read_access(odd, now=NOW)
        with pytest.raises(InvalidToken):
            tokens.read_refresh(odd)


@given(st.lists(PARTS, min_size=5, max_size=5))
def test_whatever_has_five_segments(segments: list[str]) -> None:
    """It is refused like any other text that is no token."""  # S14
    assert state(encrypting(), ".".join(segments)) == "invalid"


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_whatever_is_inside(content: bytes) -> None:
    """What our own key has encrypted, if it is no signed token."""  # S14
    assert state(encrypting(), encrypt(content)) == "invalid"


@given(st.dictionaries(st.text(max_size=5), st.none() | st.text(max_size=5) | st.integers()))
def test_whatever_a_header_adds(extra: dict[str, Any]) -> None:
    """A header with anything more than ours have, or other than that, is refused."""  # S9
    header = {**our_header(), **extra}
    expected = "valid" if header == our_header() else "invalid"
    assert state(encrypting(), encrypt(SIGNED, header, iv=IV)) == expected
