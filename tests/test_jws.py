"""The strict reader of compact JWS: one token has one spelling, and nothing else passes."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
from forging import b64, content_of
from hypothesis import given
from hypothesis import strategies as st

from jwt_middleware.errors import InvalidToken
from jwt_middleware.jws import (
    MAX_DEPTH,
    decode_object,
    decode_segment,
    encode_object,
    encode_segment,
    split,
)

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def segment(content: str | bytes) -> str:
    return b64(content_of(content))


def nested(depth: int, *, inner: str = "[]") -> str:
    """A JSON object that nests ``depth`` containers, itself and the innermost counted."""
    lists = depth - 2
    return '{"a":' + "[" * lists + inner + "]" * lists + "}"


def calls_of(action: Callable[[], object]) -> int:
    """How many calls, of Python and of C, an action makes."""
    calls = 0

    def count(_frame: Any, event: str, _arg: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    previous = sys.getprofile()
    sys.setprofile(count)
    try:
        action()
    except InvalidToken:
        pass
    finally:
        sys.setprofile(previous)
    return calls


# ── Three segments ───────────────────────────────────────────────────────────────


def test_the_parts() -> None:
    """A token comes apart into its three segments, the signature as bytes."""
    parts = split("AAA.BBA.QUJD", 100)
    assert (parts.header, parts.payload, parts.signature) == ("AAA", "BBA", b"ABC")
    assert parts.signing_input == b"AAA.BBA"


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "AAAA",
        "AAAA.BBBB",
        "AAAA.BBBB.",
        ".BBBB.CCCC",
        "AAAA..CCCC",
        "AAAA.BBBB.CCCC.DDDD",
        "AAAA.BBBB.CCCC.DDDD.EEEE",  # a JWE (S9)
        "AAAA.BBBB.CCCC.",
        ".AAAA.BBBB.CCCC",
        " AAAA.BBBB.CCCC",
        "AAAA.BBBB.CCCC ",
        "AAAA.BBBB.CCCC\n",
        "AAAA.BBBB.CCCC\r\n",
        "AA AA.BBBB.CCCC",
        "AA\nAA.BBBB.CCCC",
        "AAAA.BBBB.CCC=",
        "AAA=.BBBB.CCCC",
        "AA+A.BBBB.CCCC",
        "AAAA.BB/B.CCCC",
        "AAAA.BBBB.CC%41",
        "AAAA,BBBB,CCCC",
        "ＡAAA.BBBB.CCCC",
        "AAAA.BBBB.CCC\u0663",
        "AAAA.BBBB.CCC\u017f",
        "AAAA.BBBB.CCC\udc80",
        "AAAA.BBBB.\0CCC",
        '{"payload":"AAAA","protected":"BBBB","signature":"CCCC"}',  # S9
    ],
)
def test_nothing_but_three_segments(token: str) -> None:
    """Anything but three anchored base64url segments is refused."""  # S9, S11
    with pytest.raises(InvalidToken, match="three base64url segments"):
        split(token, 1000)


_THREE = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)
"""What the reader says in a quicker way."""


@given(
    st.text(st.sampled_from("AZaz09-_.=+/ \n\0é\u0663\udc80"), max_size=12)
    | st.from_regex(_THREE, fullmatch=True)
)
def test_what_three_segments_are(token: str) -> None:
    """Exactly what the plain regular expression takes for three segments is cut in three."""  # S11
    plain = _THREE.fullmatch(token)
    if plain is None:
        with pytest.raises(InvalidToken, match="three base64url segments"):
            split(token, 1000)
    elif len(plain[3]) % 4 == 0:  # else its tail has to be canonical, too
        assert split(token, 1000) == (plain[1], plain[2], decode_segment(plain[3]))


def test_length_limit_is_exact() -> None:
    """A token of the longest length passes, and one character more does not."""  # S13
    token = "AAAA.BBBB.CCCC"
    assert split(token, len(token)).signature
    with pytest.raises(InvalidToken, match="max_token_length"):
        split(token, len(token) - 1)


def test_length_comes_first() -> None:
    """What is too long is refused as such, however broken it is."""  # S13
    with pytest.raises(InvalidToken, match="max_token_length"):
        split("\0" * 65_536, 8192)


# ── base64url ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("head", ["", "A", "AA", "AAA", "AAAA", "AAAAA"])
def test_tails_are_canonical(head: str) -> None:
    """Of all last characters exactly those are read that the bytes would be written with."""  # S11
    for tail in ALPHABET:
        written = head + tail
        if len(written) % 4 == 1:
            with pytest.raises(InvalidToken):
                decode_segment(written)
            continue
        meant = base64.urlsafe_b64decode(written + "==")
        if b64(meant) == written:
            assert decode_segment(written) == meant
        else:
            with pytest.raises(InvalidToken, match="canonical"):
                decode_segment(written)


@given(st.text(ALPHABET, min_size=1, max_size=60))
def test_one_spelling(written: str) -> None:
    """A segment is refused, or is the only spelling of its bytes."""  # S11
    try:
        content = decode_segment(written)
    except InvalidToken:
        return
    assert encode_segment(content) == written


@given(st.binary(min_size=1, max_size=60))
def test_bytes_are_those_of_the_library(content: bytes) -> None:
    """What is read is what the standard library's decoder makes of it."""
    written = b64(content)
    assert decode_segment(written) == base64.urlsafe_b64decode(written + "==")


@given(st.binary(min_size=1, max_size=60))
def test_bytes_come_back(content: bytes) -> None:
    """What is encoded is read back, and others would write it alike."""
    assert decode_segment(encode_segment(content)) == content
    assert encode_segment(content) == b64(content)


def test_broken_signature_segment() -> None:
    """The signature is held to canonical base64url like the rest."""  # S11
    with pytest.raises(InvalidToken, match="canonical"):
        split("AAAA.BBBB.CB", 100)


# ── JSON ─────────────────────────────────────────────────────────────────────────


def test_an_object_is_read() -> None:
    """Plain JSON is what any JSON reader would make of it."""
    text = ' {"a": [1, -2.5e3, true, null, {"b": "ü€😀"}], "": {}} '
    assert decode_object(segment(text)) == json.loads(text)


def test_an_object_is_written_compactly() -> None:
    """Objects are written as compact UTF-8."""
    assert (
        base64.urlsafe_b64decode(encode_object({"a": [1, "ü"]}) + "==") == b'{"a":[1,"\xc3\xbc"]}'
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), {1}, b"x", "\ud800"])
def test_what_is_no_json_is_not_written(value: Any) -> None:
    """What strict JSON cannot hold raises where it is written."""  # S12
    with pytest.raises((ValueError, TypeError)):
        encode_object({"a": value})


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff{}", id="no UTF-8"),
        pytest.param(b'{"a":"\xe9"}', id="Latin-1"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', id="a surrogate in UTF-8"),
        pytest.param(b'{"a":"\xc0\xaf"}', id="overlong UTF-8"),
        pytest.param(b"\xef\xbb\xbf{}", id="a BOM"),
        pytest.param('{"a":1}'.encode("utf-16"), id="UTF-16"),
        pytest.param('{"a":1}'.encode("utf-16-le"), id="UTF-16-LE"),
        pytest.param('{"a":1}'.encode("utf-16-be"), id="UTF-16-BE"),
        pytest.param('{"a":1}'.encode("utf-32"), id="UTF-32"),
        pytest.param(b'{"a":NaN}', id="NaN"),
        pytest.param(b'{"a":[Infinity]}', id="Infinity"),
        pytest.param(b'{"a":{"b":-Infinity}}', id="-Infinity"),
        pytest.param(b'{"a":1e999}', id="1e999"),
        pytest.param(b'{"a":-1e999}', id="-1e999"),
        pytest.param(b'{"a":' + b"9" * 5000 + b"}", id="5000 digits"),
        pytest.param(b'{"a":1,"a":1}', id="a name twice"),
        pytest.param(b'{"a":1,"\\u0061":2}', id="a name twice, once escaped"),
        pytest.param(b'{"a":[{"b":1,"b":2}]}', id="a name twice, deep inside"),
        pytest.param(b'{"a":"\\ud800"}', id="half a pair"),
        pytest.param(b'{"a":"\\uDFFF"}', id="the other half"),
        pytest.param(b'{"\\ud800":1}', id="half a pair in a name"),
        pytest.param(b'{"a":[["\\udc00\\ud800"]]}', id="a pair the wrong way round"),
        pytest.param(b'{"a":1}x', id="something after it"),
        pytest.param(b'{"a":1}{}', id="two objects"),
        pytest.param(b'{"a":1}\0', id="a NUL after it"),
        pytest.param(b'{"a":"\n"}', id="a raw newline in a string"),
        pytest.param(b'{"a":1,}', id="a comma too many"),
        pytest.param(b"{'a':1}", id="single quotes"),
        pytest.param(b"{a:1}", id="no quotes"),
        pytest.param(b'{"a":01}', id="octal"),
        pytest.param(b'{"a":0x1}', id="hexadecimal"),
        pytest.param(b'{"a":+1}', id="plus"),
        pytest.param(b'{"a":.5}', id="no digit before the point"),
        pytest.param('{"a":\u0661}'.encode(), id="Arabic digits"),
        pytest.param(b'{"a":1}/**/', id="a comment"),
        pytest.param(b'\xc2\xa0{"a":1}', id="a no-break space"),
        pytest.param(b'{"a":1', id="unfinished"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'"a"', id="text"),
        pytest.param(b"null", id="null"),
        pytest.param(b"1", id="a number"),
        pytest.param(b"true", id="a bool"),
    ],
)
def test_loose_json_is_refused(content: bytes) -> None:
    """Whatever is looser than one strict JSON object in UTF-8 is refused."""  # S12
    with pytest.raises(InvalidToken):
        decode_object(segment(content))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"a":"\\ud83d\\ude00"}', id="a pair"),
        pytest.param('{"a":"\\\\ud800"}', id="a backslash, then letters"),
        pytest.param('{"a":"\\u0000\\uffff"}', id="odd code points"),
        pytest.param('{"a":1e308,"b":-0.0,"c":5e-324,"d":1e-999}', id="extreme numbers"),
        pytest.param('{"a":{"x":1},"b":{"x":1}}', id="a name twice in two objects"),
    ],
)
def test_unusual_json_is_read(text: str) -> None:
    """What is unusual but strict is read."""  # S12
    assert decode_object(segment(text)) == json.loads(text)


@pytest.mark.parametrize("inner", ["[]", "{}", "[1]", '{"b":"c"}'])
def test_depth_limit_is_exact(inner: str) -> None:
    """The deepest JSON allowed is read, and one level more is refused."""  # S12
    assert decode_object(segment(nested(MAX_DEPTH, inner=inner)))
    with pytest.raises(InvalidToken, match="nested deeper"):
        decode_object(segment(nested(MAX_DEPTH + 1, inner=inner)))


def test_depth_of_objects() -> None:
    """Objects inside objects count like lists."""  # S12
    for depth in (MAX_DEPTH, MAX_DEPTH + 1):
        text = '{"a":' * (depth - 1) + "{}" + "}" * (depth - 1)
        if depth == MAX_DEPTH:
            assert decode_object(segment(text))
        else:
            with pytest.raises(InvalidToken, match="nested deeper"):
                decode_object(segment(text))


def test_breadth_is_not_depth() -> None:
    """Many containers beside each other are no nesting, nor are brackets in text."""
    text = json.dumps(
        {"a": [[] for _ in range(200)], "b": [{} for _ in range(200)], "c": "[{" * 99}
    )
    assert decode_object(segment(text)) == json.loads(text)


@pytest.mark.parametrize("escape", ["\\u0041", "A"])
@pytest.mark.parametrize("pair", [("[", "]"), ('{"b":', "}")], ids=["lists", "objects"])
def test_no_depth_escapes(escape: str, pair: tuple[str, str]) -> None:
    """JSON nested as deep as a stack just bears is refused like any other."""  # S12, S14
    opening, closing = pair
    for depth in range(600, 1020):  # one of these ends at the interpreter's own limit
        text = f'{{"a":"{escape}","b":{opening * depth}1{closing * depth}}}'
        with pytest.raises(InvalidToken):
            decode_object(segment(text))


def test_deepest_token_that_fits() -> None:
    """Not even the deepest JSON of the longest token configurable ends in another error."""  # S14
    for depth in (5_000, 10_000, 24_000):
        with pytest.raises(InvalidToken):
            decode_object(segment('{"a":"\\u0041","b":' + "[" * depth + "]" * depth + "}"))


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    """No bytes raise anything but InvalidToken."""  # S14
    with contextlib.suppress(InvalidToken):
        assert isinstance(decode_object(segment(content) or "AA"), dict)


@given(st.text(st.sampled_from('{}[]":,\\u0d8 1eN-aA'), max_size=40))
def test_any_near_json_is_read_or_refused(text: str) -> None:
    """Whatever is read is what a JSON reader reads, and can be written again."""  # S14
    try:
        members = decode_object(segment(text) or "AA")
    except InvalidToken:
        return
    assert members == json.loads(text)
    json.dumps(members, allow_nan=False, ensure_ascii=False).encode()


def test_the_error_holds_nothing_of_the_token() -> None:
    """Neither the error nor what caused it quotes the token."""  # S53
    with pytest.raises(InvalidToken) as caught:
        decode_object(segment('{"a": "private" oops}'))
    assert "private" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None


# ── Work ─────────────────────────────────────────────────────────────────────────

SIZE = 2_000
"""Small enough for the walk to be quick, large enough for a square to show."""

WIDE = [
    pytest.param(lambda n: "a" * n, id="one segment"),
    pytest.param(lambda n: "a." * n, id="many segments"),
    pytest.param(lambda n: segment("{" * n), id="openings"),
    pytest.param(lambda n: segment("[" * n + "]" * n), id="a deep list"),
    pytest.param(lambda n: segment('{"a":' + ",".join(["1"] * n)), id="broken at the end"),
    pytest.param(lambda n: segment(json.dumps({"a": [[]] * n})), id="wide"),
    pytest.param(lambda n: segment(json.dumps({str(i): {} for i in range(n)})), id="objects"),
    pytest.param(lambda n: segment('{"a":"' + "\\u0041" * n + '"}'), id="escapes"),
    pytest.param(lambda n: segment('{"a":"' + "\\\\" * n + '"}'), id="backslashes"),
]


@pytest.mark.parametrize("make", WIDE)
def test_work_is_linear(make: Callable[[int], str]) -> None:
    """Twice the input is at most twice the work, whatever it holds."""  # S13

    def work(size: int) -> int:
        written = make(size)
        whole = calls_of(lambda: split(f"{written}.{written}.{written}", 10**9))
        return whole + calls_of(lambda: decode_object(written.replace(".", "")))

    work(8)  # what is done once is done
    assert work(2 * SIZE) <= 2 * work(SIZE) + 50
