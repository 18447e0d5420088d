"""The kept corpora, a line an input, and the words each target's mutants are made of.

An input is written as the inside of a Python bytes literal, so that a diff can be read.
"""

from __future__ import annotations

import ast
from pathlib import Path

FOLDER = Path(__file__).parent / "corpora"

WORDS: dict[str, list[str]] = {
    "tokens": [
        *'{"alg":"HS256","typ":"JWT"} {"alg":"HS256"} "none" "HS384" "at+jwt" "rt+jwt"'.split(),
        *'"application/at+jwt" "kid": "crit": "b64": "zip": "cty": "enc": "jwk": "p2c":'.split(),
        *'"sub": "sub":"alice" "exp": "nbf": "iat": "rexp": "aud": "iss": "jti": "cnf":'.split(),
        *'"sid": "rgen": "gen": "ses": "user_id": "roles": "api" "https://us.example"'.split(),
        *'"https://other.example" "EdDSA" "typ": "token_use": "nonce": "events":'.split(),
        *"1800000000 1800000600 1799999400 253402300800 1e999 NaN -Infinity null true".split(),
        *'"\\ud800" "\\ud83d\\ude00" [[[[[[[[ {"a":{"a": , : {} [] =='.split(),
        *"eyJhbGciOiJIUzI1NiJ9 e30 \x00 \xef\xbb\xbf \xed\xa0\x80".split(" "),
    ],
    "nested": [
        *'{"alg":"dir","enc":"A256GCM","cty":"JWT","kid":" "A256KW" "DEF" "zip": "crit":'.split(),
        *'{"alg":"HS256","typ":"at+jwt"} {"sub":"alice","exp":1800000600} "rt+jwt"'.split(),
        *'"sid": "gen": "ses": "iss": "https://other.example" "EdDSA" "p2c": "epk":'.split(),
        *["\x00", ".", "..", "eyJhbGciOiJkaXIi", "="],
    ],
    "fields": [
        *"Bearer bearer JWT Basic __Host-access_token= __Host-refresh_token= a= aa= r=".split(),
        *["a.b=", "Bearer ", "; ", ";", ", ", ",", "\t", " \t", "=", "==", '"', "\x00", "\xa0"],
    ],
    "doors": [
        *(f"\n{letter}:" for letter in "acrosdhtlenmpqb"),
        *"Bearer Basic __Host-access_token= __Host-refresh_token= access_token=".split(),
        *"refresh_token= same-origin cross-site same-site none navigate null text/html".split(),
        *"https://testserver https://partner.example https://evil.example :443".split(),
        *"GET POST HEAD OPTIONS PUT DELETE TRACE public static hooks/x login app".split(),
        *["c:__Host-access_token=\x01", "c:__Host-refresh_token=\x02", "a:Bearer \x01", "; "],
        *"%2f %2e%2e , \x01 \x02 \x03 \x04 \x05 \x06 \x07 \x08 \x0e \x0f".split(" "),
    ],
    "settings": [
        *(
            f"\x00{name.upper()}="
            for name in """
            secret_key previous_secret_keys algorithm token_location header_name header_type
            access_cookie_name refresh_cookie_name refresh_header_name access_response_header
            cookie_secure cookie_httponly cookie_samesite cookie_domain cookie_path
            cookie_partitioned access_token_expires refresh_token_expires session_lifetime
            session_cookie_expires rotation_grace lost_response_window reissue_on renew_refresh
            reissue_within required public_paths ignore_paths check_session issuer audience leeway
            required_claims max_token_length identity_claim csrf trusted_origins
            csrf_exempt_paths session_store store_timeout token_cache_size login_url
            """.split()
        ),
        *"true false none null headers cookies Lax Strict None HS256 HS384 HS512".split(),
        *"always never origin off expired missing invalid 15m 30d 12h 0 1 900 1e9 NaN -1".split(),
        *"memory:// redis:// sqlite:/// postgresql:// https://a.example /login //".split(),
        *"/public , [ ] { } __Host- -----BEGIN ssh-rsa \\ % \x00 \r\n \xed\xa0\xbd".split(" "),
        '{"kty":"oct"}',
        "a secret of thirty-two bytes and more, of sixty-four and more at that",
    ],
}
"""What a mutant is made of, by target; libFuzzer puts these in here and there."""


def kept(name: str) -> list[bytes]:
    """The inputs that are kept for a target."""
    text = (FOLDER / f"{name}.txt").read_text("ascii")
    return [ast.literal_eval(f"b'{line}'") for line in text.splitlines()]


def keep(name: str, inputs: list[bytes]) -> None:
    """Write the corpus of a target anew."""
    lines = sorted({repr(b'"' + data)[3:-1] for data in inputs}, key=lambda line: (len(line), line))
    (FOLDER / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), "ascii")


def dictionary(name: str) -> list[bytes]:
    """The words of a target, as bytes."""
    return [word.encode("latin-1") for word in WORDS[name] if word]
