"""Tokens that nobody would write, signed *as they are written*.

A lenient reader finds each signature good, so what is behind the signature is reached.
"""

from __future__ import annotations

import json
from random import Random

from forging import CLAIMS, NOW, STRANGE_SECRET, b64, content_of, make_tokens, signed
from verifiers import AUDIENCE, EXPECTATIONS, ISSUER, Expectation

HEADER = '{"alg":"HS256","typ":"JWT"}'
TIMES = f'"exp":{int(NOW) + 600}'
BODY = f'{{"sub":"alice",{TIMES}}}'


def written(header: str | bytes = HEADER, body: str | bytes = BODY) -> str:
    return signed(f"{b64(content_of(header))}.{b64(content_of(body))}")


def with_claim(name: str, value: str) -> str:
    """The usual claims with one more, as JSON text."""
    return written(body=f'{{"sub":"alice",{TIMES},"{name}":{value}}}')


def padded(token: str) -> str:
    signing_input = ".".join(
        segment + "=" * (-len(segment) % 4) for segment in token.split(".")[:2]
    )
    return signed(signing_input)


OWN_KID = json.dumps(make_tokens()._access_keys.signing.kid)
REFRESH_KID = json.dumps(make_tokens()._refresh_keys.signing.kid)

STRICT_JSON = [
    *'null true false 0 1 -1 1.5 -0.0 1e3 [] {} [[]] [1,"x"]'.split(),
    *'"" "x" "\\ud83d\\ude00" "\\u0000"'.split(),
    "9" * 400,
    "[" * 20 + "]" * 20,
]
LOOSE_JSON = [
    *'NaN Infinity -Infinity 1e999 -1e999 "\\ud800" {"a":1,"a":2} {"a":NaN}'.split(),
    "9" * 5000,
    "[" * 40 + "]" * 40,
    '{"a":' * 40 + "1" + "}" * 40,
]

SOON, LONG_AGO = int(NOW) + 600, int(NOW) - 600
MOMENTS = [
    *[str(SOON)] * 4,
    *[f"{int(NOW) + step}" for step in (-61, -31, -30, -29, -1, 0, 1, 59, 60, 61)],
    *[str(LONG_AGO), f"{SOON}.5", f'"{SOON}"', f'"{LONG_AGO}"', f"[{SOON}]", f"-{SOON}"],
    *["253402300799", "253402300800", "1e11", "1e20", "1.9e9"],
]


def texts(*values: str) -> list[str]:
    return [f'"{value}"' for value in values]


HEADER_MEMBERS: dict[str, list[str]] = {
    "alg": texts("HS256", "\\u0048S256", "none", "hs256", "HS384", "RS256", "HS256\\u0000"),
    "typ": texts("JWT", "jwt", "at+jwt", "rt+jwt", "logout+jwt", "application/at+jwt", "JWE"),
    "kid": [OWN_KID, OWN_KID, REFRESH_KID, '"unknown"'],
    "crit": ['["exp"]', '["b64"]'],
    **{name: [] for name in ("b64", "zip", "cty", "jwk", "x5c", "p2c", "other")},
}
CLAIM_MEMBERS: dict[str, list[str]] = {
    **dict.fromkeys(("exp", "nbf", "iat", "rexp"), MOMENTS),
    "sub": texts("alice", "b\\u00fcb"),
    "aud": [
        *texts(AUDIENCE, "ap", f"{AUDIENCE} "),
        *(f'["{AUDIENCE}"]', f'["x","{AUDIENCE}"]', f'["{AUDIENCE}",1]', f'{{"{AUDIENCE}":1}}'),
    ],
    "iss": [*texts(ISSUER, f"{ISSUER}/", "https://us"), f'["{ISSUER}"]'],
    **{name: [] for name in ("jti", "cnf", "sid", "rgen", "roles", "other")},
}

FORMS = ["{}"] * 30 + [" {}\n", "\t{}", "{}x", "[{}]", "\xa0{}", "{}{{}}", "{}\0"]
ENCODINGS = ["utf-8"] * 30 + "utf-8-sig utf-16 utf-16-le utf-16-be utf-32 latin-1".split()
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def member(pen: Random, usual: list[str]) -> str:
    """A value: one that a claim of this name might have, or any other."""
    odd = LOOSE_JSON if pen.random() < 0.1 else STRICT_JSON
    return pen.choice(usual if usual and pen.random() < 0.7 else odd)


def write_object(pen: Random, members: dict[str, list[str]], usual: dict[str, str]) -> bytes:
    """A JSON object in which a few usual members are odd, missing, new or there twice."""
    pairs = dict(usual)
    twice: list[tuple[str, str]] = []
    for _ in range(pen.choice([0, 0, 1, 1, 1, 2])):
        name = pen.choice(list(members))
        match pen.choice(["set"] * 10 + ["drop", "twice"]):
            case "drop":
                pairs.pop(name, None)
            case "twice":
                twice.append((name, member(pen, members[name])))
            case _:
                pairs[name] = member(pen, members[name])
    text = ",".join(f'"{name}":{value}' for name, value in [*pairs.items(), *twice])
    return pen.choice(FORMS).format("{" + text + "}").encode(pen.choice(ENCODINGS), "replace")


def write_segment(pen: Random, content: bytes) -> str:
    """The content in base64url, now and then as somebody careless would write it."""
    segment = b64(content)
    if pen.random() < 0.9:
        return segment
    at = pen.randrange(len(segment))
    careless = [
        segment + "=" * (-len(segment) % 4),
        segment + "=",
        segment + "==",
        segment + "A",
        segment[:-1] + ALPHABET[ALPHABET.index(segment[-1]) ^ 1],
        segment.replace("-", "+").replace("_", "/"),
        segment[:at] + pen.choice(" \n\r\t!.%é\0") + segment[at:],
        " " + segment,
        segment + "\n",
    ]
    return pen.choice(careless)


USUAL_HEADER = {"alg": '"HS256"', "typ": '"JWT"'}
USUAL_CLAIMS = {"sub": '"alice"', "exp": str(SOON), "iat": str(int(CLAIMS["iat"]))}
FOR_US = {**USUAL_CLAIMS, "aud": f'"{AUDIENCE}"', "iss": f'"{ISSUER}"'}


def write_case(pen: Random) -> tuple[Expectation, str]:
    """An expectation, and a token that nearly or fully meets it."""
    expectation = pen.choice(EXPECTATIONS)
    usual = FOR_US if expectation.audience else USUAL_CLAIMS
    if expectation.required:
        usual = {**usual, "roles": "[]"}
    header = write_segment(pen, write_object(pen, HEADER_MEMBERS, USUAL_HEADER))
    payload = write_segment(pen, write_object(pen, CLAIM_MEMBERS, usual))
    return expectation, spoil(pen, signed(f"{header}.{payload}"))


def spoil(pen: Random, token: str) -> str:
    """The token as it is; now and then with something else at its end or somewhere in it."""
    if pen.random() < 0.9:
        return token
    at = pen.randrange(len(token))
    head, _, _ = token.rpartition(".")
    spoilt = [
        *(token + end for end in ("=", "==", "A", " ", "\n", ".", ".AAAA", f".{token}")),
        token[:at],
        token[:at] + token[at + 1 :],
        token[:at] + pen.choice(ALPHABET) + token[at + 1 :],
        token[:at] + pen.choice(ALPHABET + "=+/. ") + token[at:],
        f"{head}.",
        head,
        signed(head, hash_name="sha512"),
        signed(head, secret=STRANGE_SECRET),
        f"{token.swapcase()}",
    ]
    return pen.choice(spoilt)
