"""Keys, read: what the RFCs show is read as they show it, and whatever is no key is refused."""

from __future__ import annotations

import base64
import importlib
import json
import logging
import shutil
import subprocess
import sys
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa, x25519
from forging import b64
from hypothesis import given
from hypothesis import strategies as st
from keychain import ALGORITHMS, FAMILIES, jwk, jwk_set, key_for, pem, private_key, public_pem

from jwt_middleware import jwk as jwk_module
from jwt_middleware.errors import ConfigurationError
from jwt_middleware.jwk import UnusableKey, read_jwk, read_keys, read_set, thumbprint
from jwt_middleware.jws import split
from jwt_middleware.keys import ASYMMETRIC, KeySet, access_keys

# ── The vectors of the RFCs ──────────────────────────────────────────────────────

RFC7515_PAYLOAD = (
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
)
RFC7515_RSA = {
    "kty": "RSA",
    "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt"
    "0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5"
    "z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aG"
    "hyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    "e": "AQAB",
}
RFC7515_P256 = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
}
RFC7515_P521 = {
    "kty": "EC",
    "crv": "P-521",
    "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
    "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
    "d": "AY5pb7A0UFiB3RELSD64fTLOSV_jazdF7fLYyuTw8lOfRhWg6Y6rUrPAxerEzgdRhajnu0ferB0d53vM9mE15j2C",
}
HOBBIT_PAYLOAD = (
    "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250"
    "byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hl"
    "cmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4"
)
HOBBIT_RSA = {
    "kty": "RSA",
    "kid": "bilbo.baggins@hobbiton.example",
    "use": "sig",
    "n": "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_"
    "AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tp"
    "e-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniU"
    "FAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw",
    "e": "AQAB",
    "d": "bWUC9B-EFRIo8kpGfh0ZuyGPvMNKvYWNtB_ikiH9k20eT-O1q_I78eiZkpXxXQ0UTEs2LsNRS-8uJbvQ-A1irkwM"
    "SMkK1J3XTGgdrhCku9gRldY7sNA_AKZGh-Q661_42rINLRCe8W-nZ34ui_qOfkLnK9QWDDqpaIsA-bMwWWSDFu2MUBYw"
    "kHTMEzLYGqOe04noqeq1hExBTHBOBdkMXiuFhUq1BU6l-DqEiWxqg82sXt2h-LMnT3046AOYJoRioz75tSUQfGCshWTB"
    "nP5uDjd18kKhyv07lhfSJdrPdM5Plyl21hsFf4L_mHCuoFau7gdsPfHPxxjVOcOpBrQzwQ",
}
HOBBIT_P521 = {
    "kty": "EC",
    "kid": "bilbo.baggins@hobbiton.example",
    "use": "sig",
    "crv": "P-521",
    "x": "AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt",
    "y": "AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1",
    "d": "AAhRON2r9cqXX1hg-RoI6R1tX5p2rUAYdmpHZoC1XNM56KtscrX6zbKipQrCW9CGZH3T4ubpnoTKLDYJ_fF3_rJt",
}
RFC8037_OKP = {
    "kty": "OKP",
    "crv": "Ed25519",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
}

VECTORS: dict[str, tuple[dict[str, Any], str]] = {
    "RFC 7515 A.2, RS256": (
        RFC7515_RSA,
        (
            f"eyJhbGciOiJSUzI1NiJ9.{RFC7515_PAYLOAD}."
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2F"
            "p5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQB"
            "MHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeY"
            "I2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
        ),
    ),
    "RFC 7515 A.3, ES256": (
        RFC7515_P256,
        (
            f"eyJhbGciOiJFUzI1NiJ9.{RFC7515_PAYLOAD}."
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
        ),
    ),
    "RFC 7515 A.4, ES512": (
        RFC7515_P521,
        (
            "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA."
            "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG"
            "8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"
        ),
    ),
    "RFC 7520 4.1, RS256": (
        HOBBIT_RSA,
        (
            "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9."
            f"{HOBBIT_PAYLOAD}."
            "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xu"
            "glII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5a"
            "AE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0"
            "KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg"
        ),
    ),
    "RFC 7520 4.2, PS384": (
        {**HOBBIT_RSA, "alg": "PS384"},
        (
            "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9."
            f"{HOBBIT_PAYLOAD}."
            "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8"
            "TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRm"
            "BqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQT"
            "lqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw"
        ),
    ),
    "RFC 7520 4.3, ES512": (
        HOBBIT_P521,
        (
            "eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9."
            f"{HOBBIT_PAYLOAD}."
            "AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQ"
            "y3mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2"
        ),
    ),
    "RFC 8037 A.4, EdDSA": (
        RFC8037_OKP,
        (
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        ),
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_the_signatures_of_the_rfcs_hold(name: str) -> None:
    """A published signature holds for its key and input, and for nothing near them."""
    members, token = VECTORS[name]
    parts = split(token, 8192)
    key = read_jwk(members)
    assert key.algorithm == name.rpartition(" ")[2]
    assert key.verify(parts.signing_input, parts.signature)
    assert not key.verify(parts.signing_input + b"x", parts.signature)
    for at in (0, len(parts.signature) // 2, len(parts.signature) - 1):
        bent = bytearray(parts.signature)
        bent[at] ^= 1
        assert not key.verify(parts.signing_input, bytes(bent))


@pytest.mark.parametrize("name", ["RFC 7520 4.1, RS256", "RFC 8037 A.4, EdDSA"])
def test_what_is_deterministic_is_signed_as_the_rfcs_show(name: str) -> None:
    """PKCS #1 v1.5 and Ed25519 know no chance: our signature is the published one."""
    members, token = VECTORS[name]
    parts = split(token, 8192)
    assert read_jwk(members).sign(parts.signing_input) == parts.signature


def test_the_hmac_vector_of_rfc_7515() -> None:
    """Appendix A.1: the HMAC of a published key."""
    secret = base64.urlsafe_b64decode(
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow=="
    )
    token = f"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{RFC7515_PAYLOAD}."
    parts = split(token + "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", 8192)
    assert access_keys([secret], "HS256").signing.verify(parts.signing_input, parts.signature)


def test_the_thumbprint_of_rfc_7638() -> None:
    """Section 3.1, and RFC 8037 appendix A.3: members that are not required do not count."""
    example = {
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tS"
        "oc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_F"
        "DW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vM"
        "QFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
        "alg": "RS256",
    }
    assert thumbprint({**example, "kid": "2011-04-29"}) == (
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    )
    assert read_jwk(example).kid == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert read_jwk(RFC8037_OKP).kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


# ── The same key in every form ───────────────────────────────────────────────────

FORMS = {
    "PEM": pem,
    "PEM bytes": lambda key: pem(key).encode(),
    "PEM among words": lambda key: f"\ufeffThe key of the shop\n\n{pem(key)}\nKeep it safe.\n",
    "PEM on one line": lambda key: pem(key).replace("\n", "\\n"),
    "JWK": lambda key: jwk(key, private=True),
    "JWK text": lambda key: json.dumps(jwk(key, private=True)),
    "JWK bytes": lambda key: b"\xef\xbb\xbf \n" + json.dumps(jwk(key, private=True)).encode(),
    "JWK Set": lambda key: {"keys": [jwk(key, private=True)]},
    "JWK Set text": lambda key: jwk_set(jwk(key, private=True)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_is_the_same_in_every_form(algorithm: str, form: str) -> None:
    """PEM, JWK and JWK Set give the same kid and key, and PyJWT agrees about its signatures."""
    private = key_for(algorithm)
    (key,) = read_keys(FORMS[form](private), [algorithm])
    assert (key.algorithm, key.can_sign) == (algorithm, True)
    assert key.kid == thumbprint(jwk(private))
    token = f"{b64(json.dumps({'alg': algorithm}).encode())}.{b64(b'{}')}"
    signed = f"{token}.{b64(key.sign(token.encode()))}"
    assert jwt.decode(signed, public_pem(private), algorithms=[algorithm]) == {}
    theirs = jwt.encode({}, private, algorithm=algorithm)
    parts = split(theirs, 8192)
    assert key.verify(parts.signing_input, parts.signature)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_public_key_verifies_only(algorithm: str) -> None:
    """A public key, and the public half of a private one, have the same kid and cannot sign."""
    private = key_for(algorithm)
    (own,) = read_keys(pem(private), [algorithm])
    for public in (
        *read_keys(public_pem(private), [algorithm]),
        *read_keys(jwk(private), [algorithm]),
        own.public_half(),
    ):
        assert (public.kid, public.can_sign) == (own.kid, False)
        assert public.verify(b"input", own.sign(b"input"))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_published_of_a_key(algorithm: str) -> None:
    """The public JWK names the key's use, algorithm and kid, and has no private member."""
    private = key_for(algorithm)
    (key,) = read_keys(pem(private), [algorithm])
    expected = {**jwk(private), "use": "sig", "alg": algorithm, "kid": key.kid}
    assert key.public == expected
    assert read_set(json.dumps({"keys": [key.public]}))[0].kid == key.kid


def test_several_keys_in_one_document() -> None:
    """PEM blocks and the keys of a set keep their order, whatever their kinds."""
    keys = [key_for(one) for one in ("ES256", "EdDSA", "RS256")]
    from_pem = read_keys("\n".join(map(pem, keys)))
    from_set = read_keys({"keys": [jwk(key, private=True) for key in keys]})
    assert [key.algorithm for key in from_pem] == ["ES256", "EdDSA", "RS256"]
    assert [key.kid for key in from_pem] == [key.kid for key in from_set]


def test_ed448_signs_by_the_same_name() -> None:
    """EdDSA is also the name of Ed448's signatures (RFC 8037 section 3.1)."""
    private = private_key("Ed448")
    for form in (pem(private), jwk(private, private=True)):
        (key,) = read_keys(form)
        assert key.algorithm == "EdDSA"
        assert key.verify(b"x", key.sign(b"x"))
        assert not key.verify(b"y", key.sign(b"x"))


OPENSSL = shutil.which("openssl") or "openssl"


def test_the_files_of_openssl() -> None:
    """What openssl writes by its older commands is read, too."""
    for command, algorithm in (
        ("ecparam -name prime256v1 -genkey", "ES256"),  # with EC PARAMETERS in front
        ("genrsa -traditional 2048", "RS256"),
    ):
        made = subprocess.run([OPENSSL, *command.split()], check=True, capture_output=True)
        (key,) = read_keys(made.stdout)
        assert (key.algorithm, key.can_sign) == (algorithm, True)
        public = subprocess.run(
            [OPENSSL, "pkey", "-pubout"],
            check=True,
            capture_output=True,
            input=made.stdout,
        )
        assert read_keys(public.stdout)[0].kid == key.kid


# ── One key, one algorithm ───────────────────────────────────────────────────────


def test_an_rsa_key_is_for_one_algorithm() -> None:
    """Its alg says which, else the first of those expected that it fits."""  # S2
    key = key_for("RS256")
    assert read_keys(pem(key))[0].algorithm == "RS256"
    assert read_keys(pem(key), ["ES256", "PS384", "RS256"])[0].algorithm == "PS384"
    assert read_keys(jwk(key, alg="RS512"), ["PS384", "RS512"])[0].algorithm == "RS512"


@pytest.mark.parametrize("other", [one for one in ALGORITHMS if FAMILIES[one] == "RSA"][1:])
def test_an_rsa_key_does_not_verify_by_another_algorithm(other: str) -> None:
    """A signature of the same key by another algorithm is none."""  # S2
    (key,) = read_keys(pem(key_for("RS256")), ["RS256"])
    (same,) = read_keys(pem(key_for("RS256")), [other])
    assert not key.verify(b"input", same.sign(b"input"))
    assert KeySet([key]).find(key.kid, other) is None


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        (jwk(key_for("RS256"), alg="ES256"), "alg does not fit"),
        (jwk(key_for("RS256"), alg="RSA-OAEP"), "alg does not fit"),
        (jwk(key_for("RS256"), alg="HS256"), "alg does not fit"),
        (jwk(key_for("RS256"), alg="none"), "alg does not fit"),
        (jwk(key_for("RS256"), alg=["RS256"]), "alg does not fit"),
        (jwk(key_for("ES256"), alg="ES384"), "alg does not fit"),
        (jwk(key_for("ES256"), alg="ES256"), "not among those expected"),
        (jwk(key_for("RS256"), alg="PS256"), "key for PS256, which is not among those expected"),
        (pem(key_for("ES384")), "key for ES384, which is not among those expected"),
        (jwk(key_for("RS256"), use="enc"), "another use"),
        (jwk(key_for("RS256"), use=None), "another use"),
        (jwk(key_for("RS256"), key_ops=["encrypt", "wrapKey"]), "other operations"),
        (jwk(key_for("RS256"), key_ops="verify"), "other operations"),
        (jwk(key_for("RS256"), key_ops=[["verify"]]), "other operations"),
        (jwk(key_for("RS256"), kid=5), "kid is not text"),
        (jwk(key_for("RS256"), kid=""), "kid is not text"),
        ({"kty": "oct", "k": b64(b"x" * 32)}, "belongs into secret_key"),
        ({"kty": "AKP", "alg": "ML-DSA-44"}, "unknown kind"),
        ({"kty": ["RSA"]}, "unknown kind"),
        ({}, "unknown kind"),
        ({"keys": {}}, "must be a list"),
        ({"keys": []}, "without a key"),
        ({"keys": ["x"]}, "must be a JSON object"),
        ({"keys": [jwk(key_for("RS256"), kid="a"), jwk(key_for("RS256", 1), kid="a")]}, "one kid"),
        ("{", "not a JSON object"),
        ('{"kty":"RSA","kty":"RSA"}', "not a JSON object"),
        ("[]", "is no key"),
        ("", "is no key"),
        ("/etc/keys/signing.pem", "pathlib.Path"),
        ("\ud800", "is no key"),
    ],
    ids=range(30),
)
def test_what_is_no_key_for_this_is_refused(document: Any, fault: str) -> None:
    """The error says what is the matter, and nothing of the key."""
    with pytest.raises(UnusableKey, match=fault):
        read_keys(document, ["RS256"])


def rsa_of(bits: int) -> Any:
    return rsa.generate_private_key(65537, bits)


@pytest.mark.parametrize(
    "changed", [{"x": "AQ"}, {"d": b64(b"\1" * 32)}], ids=["another x", "another d"]
)
def test_both_halves_are_of_one_key(
    changed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A private JWK whose public half is another key's is refused, also where PyJWT, as up to
    2.14, looks at the private half alone."""  # S3

    def by_d_alone(jwk: Any) -> Any:
        octets = base64.urlsafe_b64decode(jwk["d"] + "=")
        return ed25519.Ed25519PrivateKey.from_private_bytes(octets)

    monkeypatch.setattr("jwt.algorithms.OKPAlgorithm.from_jwk", by_d_alone)
    assert read_keys(RFC8037_OKP, ["EdDSA"])
    with pytest.raises(UnusableKey, match="make no key"):
        read_keys({**RFC8037_OKP, **changed}, ["EdDSA"])


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        (public_pem(rsa_of(1024)), "RSA key of 1024 bits"),
        (public_pem(rsa_of(2040)), "RSA key of 2040 bits"),
        (jwk(rsa_of(1024), private=True), "RSA key of 1024 bits"),
        (pem(ec.generate_private_key(ec.SECP256K1())), "curve secp256k1"),
        (pem(ec.generate_private_key(ec.BrainpoolP256R1())), "curve which no algorithm"),
        (pem(x25519.X25519PrivateKey.generate()), "signs no tokens"),
        (public_pem(dsa.generate_private_key(2048)), "signs no tokens"),
        ("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----", "openssl x509"),
        (
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----",
            "openssl pkey -in",
        ),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nAA==\n-----END OPENSSH PRIVATE KEY-----",
            "openssl genpkey",
        ),
        ("-----BEGIN X509 CRL-----\nAA==\n-----END X509 CRL-----", "neither a private nor"),
        ("-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----", "cut off"),
        ("-----BEGIN PRIVATE KEY-----\n%%\n-----END PRIVATE KEY-----", "cut off"),
        (pem(key_for("ES256"))[:-40], "is no key"),
        ({**RFC7515_RSA, "n": "AQAB"}, "make no key"),
        ({**RFC7515_RSA, "e": b64(b"\1" + bytes(8))}, "(huge public exponent|make no key)"),
        ({**RFC7515_RSA, "e": b64(b"\1" + bytes(7) + b"\1")}, "huge public exponent"),
        ({**RFC7515_RSA, "e": "AQ"}, "make no key"),
        ({**RFC7515_RSA, "n": RFC7515_RSA["n"] + "=="}, "n is missing, or is no base64url"),
        ({**RFC7515_RSA, "e": "AQAR"[:-2] + "F"}, "e is no canonical base64url"),
        ({**RFC7515_RSA, "e": 65537}, "e is missing"),
        ({**RFC7515_RSA, "e": ""}, "e is missing"),
        ({"kty": "RSA", "e": "AQAB"}, "n is missing"),
        ({**HOBBIT_RSA, "d": HOBBIT_RSA["e"]}, "make no key"),
        ({**HOBBIT_RSA, "p": "AQ"}, "make no key"),
        ({**HOBBIT_RSA, "oth": [{"r": "AQ"}]}, "make no key"),
        ({**RFC7515_P256, "x": RFC7515_P256["y"]}, "make no key"),
        ({**RFC7515_P256, "crv": "P-384"}, "make no key"),
        ({**RFC7515_P256, "crv": 5}, "make no key"),
        ({**RFC7515_P256, "d": b64(b"\1" * 32)}, "make no key"),
        ({**RFC8037_OKP, "x": "AQ"}, "make no key"),
        ({**RFC8037_OKP, "crv": "X25519"}, "make no key"),
        ({**RFC8037_OKP, "d": b64(b"\1" * 32)}, "make no key"),
    ],
    ids=range(33),
)
def test_a_key_that_is_weak_or_broken_is_refused(document: Any, fault: str) -> None:
    """Weak RSA, unknown curves, keys that fit no numbers: refused, with what to do."""  # S3
    with pytest.raises(UnusableKey, match=fault) as caught:
        read_keys(document)
    if isinstance(document, dict):
        secrets = [value for name, value in document.items() if name in ("d", "p") and value]
        assert [one for one in secrets if len(one) > 10 and one in str(caught.value)] == []


# ── What issuers publish ─────────────────────────────────────────────────────────


def test_a_published_set_is_read_leniently() -> None:
    """Keys of other kinds, uses and algorithms are passed over, the others are found."""
    good, other = key_for("ES256"), key_for("RS256")
    found = read_set(
        jwk_set(
            {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
            {"kty": "oct", "k": b64(b"x" * 32), "kid": "secret"},
            jwk(other, use="enc", kid="encryption"),
            jwk(other, alg="RSA-OAEP-256", kid="wrapping"),
            jwk(rsa_of(1024), kid="weak"),
            jwk(good, kid="first", x5c=["AA=="], color="red"),
            jwk(key_for("ES256", 1), kid="first"),
            jwk(other, kid="first"),
            jwk(key_for("EdDSA"), kid="not expected"),
        ),
        ["ES256", "RS256"],
    )
    assert [(key.kid, key.algorithm) for key in found] == [("first", "ES256"), ("first", "RS256")]
    assert found[0].verify(b"x", read_keys(pem(good))[0].sign(b"x"))


def test_a_published_private_key_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever publishes a private key has none; nothing of it is logged."""  # S53
    published = jwk(key_for("ES256"), private=True, kid="oops")
    with caplog.at_level(logging.DEBUG, "jwt_middleware"):
        assert read_set({"keys": [published, jwk(key_for("RS256"))]})[0].algorithm == "RS256"
    assert "private key" in caplog.text
    assert published["d"] not in caplog.text


@pytest.mark.parametrize("document", ["", "[]", "{}", b"\xff", '{"keys":{}}', {"keys": None}])
def test_what_is_no_set_is_refused(document: Any) -> None:
    """Only an object with a list of keys is one; an empty list is an empty set."""
    with pytest.raises(UnusableKey):
        read_set(document)
    assert read_set('{"keys":[]}') == ()


# ── Signatures have one form ─────────────────────────────────────────────────────

ORDERS = {
    "ES256": (32, 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551),
    "ES384": (48, int("F" * 48 + "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16)),
    "ES512": (
        66,
        int(
            "1" + "F" * 65 + "A51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409",
            16,
        ),
    ),
}


@pytest.mark.parametrize("algorithm", ORDERS)
def test_ecdsa_signatures_have_one_form(algorithm: str) -> None:
    """Raw, of the exact length, both halves above 0 and below the order; never DER."""  # S7
    size, order = ORDERS[algorithm]
    (key,) = read_keys(pem(key_for(algorithm)))
    signature = key.sign(b"x")
    assert len(signature) == 2 * size
    r, s = signature[:size], signature[size:]
    zero, top = bytes(size), order.to_bytes(size, "big")
    again = (int.from_bytes(s, "big") + order).to_bytes(size + 1, "big")[-size:]
    for wrong in (
        *(b"", r, signature[:-1], signature + b"\0", b"\0" + signature, b"\0" + r + b"\0" + s),
        *(zero + s, r + zero, zero + zero, top + s, r + top, r + again),
        private_key(FAMILIES[algorithm]).sign(b"x", ec.ECDSA(_hash(algorithm))),
    ):
        assert not key.verify(b"x", wrong)
    well_formed: Any = key._well_formed
    assert well_formed((order - 1).to_bytes(size, "big") * 2)
    for half in (zero, top):
        assert not well_formed(half + s)
        assert not well_formed(r + half)


def _hash(algorithm: str) -> Any:
    from cryptography.hazmat.primitives import hashes

    return {"ES256": hashes.SHA256, "ES384": hashes.SHA384, "ES512": hashes.SHA512}[algorithm]()


@pytest.mark.parametrize(
    ("family", "size", "order"),
    [
        ("Ed25519", 32, 2**252 + 27742317777372353535851937790883648493),
        (
            "Ed448",
            57,
            2**446 - 13818066809895115352007386748515426880336692474882178609894547503885,
        ),
    ],
)
def test_eddsa_signatures_have_one_form(family: str, size: int, order: int) -> None:
    """S plus the order would verify as well where nobody looks: it is no signature."""  # S7
    (key,) = read_keys(pem(private_key(family)))
    signature = key.sign(b"x")
    s = int.from_bytes(signature[size:], "little")
    again = signature[:size] + (s + order).to_bytes(size, "little")
    for wrong in (b"", signature[:-1], signature + b"\0", again, bytes(2 * size)):
        assert not key.verify(b"x", wrong)
    well_formed: Any = key._well_formed
    assert well_formed(signature)
    assert well_formed(signature[:size] + (order - 1).to_bytes(size, "little"))
    assert not well_formed(signature[:size] + order.to_bytes(size, "little"))


@given(st.binary(max_size=600))
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_bytes_make_verification_raise(algorithm: str, signature: bytes) -> None:
    """Whatever a client sends as a signature is refused, and nothing is raised."""  # S14
    (key,) = read_keys(public_pem(key_for(algorithm)), [algorithm])
    assert key.verify(b"input", signature) is False


# ── Whatever else there is ───────────────────────────────────────────────────────

JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(ASYMMETRIC),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)
MEMBERS = st.sampled_from("kty n e d p q dp dq qi oth crv x y k use alg kid key_ops x5c".split())
WHOLE = [
    {**RFC7515_RSA},
    {**HOBBIT_RSA},
    {**RFC7515_P256},
    {**RFC7515_P521},
    {**RFC8037_OKP},
    {},
]


@given(st.sampled_from(WHOLE), st.dictionaries(MEMBERS, JSON, max_size=4), st.sets(MEMBERS))
def test_a_malformed_jwk_is_refused_and_nothing_else(
    whole: dict[str, Any], changes: dict[str, Any], dropped: set[str]
) -> None:
    """Whatever stands in a JWK, it is a key, or it is refused as unusable."""  # S14
    document = {name: value for name, value in (whole | changes).items() if name not in dropped}
    try:
        algorithms = {read_jwk(document).algorithm}
    except UnusableKey:
        algorithms = set[str]()
    assert algorithms <= {*ASYMMETRIC}
    assert len(read_set({"keys": [document]})) <= len(algorithms)


@given(
    st.sampled_from([pem, public_pem]),
    st.sampled_from(["RS256", "ES256", "EdDSA"]),
    st.integers(0, 400),
    st.binary(max_size=5),
)
def test_malformed_pem_is_refused_and_nothing_else(
    form: Any, algorithm: str, at: int, junk: bytes
) -> None:
    """A damaged file is a key, or it is refused as unusable."""  # S14
    content = form(key_for(algorithm)).encode()
    damaged = content[:at] + junk + content[at + len(junk) :]
    try:
        said = repr(read_keys(damaged))
    except UnusableKey as refused:
        said = str(refused)
    assert content[30:60].decode() not in said


def test_no_key_shows_its_material() -> None:
    """Neither a key's repr nor that of its set holds a private number."""  # S53
    (key,) = read_keys(jwk(key_for("ES256"), private=True))
    shown = repr(key) + repr(KeySet([key]).keys)
    assert key.kid in shown
    assert "PrivateKey" not in shown
    assert jwk(key_for("ES256"), private=True)["d"] not in shown


def test_without_cryptography_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading keys without it fails at start-up and says what to install."""
    for name in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "jwt_middleware.jwk")
    with pytest.raises(ConfigurationError, match=r"jwt-session-middleware\[crypto\]"):
        importlib.import_module("jwt_middleware.jwk")
    assert jwk_module.__name__ not in sys.modules
