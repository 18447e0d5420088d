"""One field of a form, found in the beginning of a body, or not found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_middleware.forms import form_field, is_form

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=edge"


def part(name: str, value: str, more: str = "") -> bytes:
    return (
        f'--edge\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}\r\n'
    ).encode()


END = b"--edge--\r\n"


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        (URLENCODED, True),
        ("Application/X-WWW-Form-Urlencoded; charset=utf-8", True),
        (MULTIPART, True),
        ("text/plain", False),  # what another site's form may send as if it were JSON
        ("application/json", False),
        ("", False),
        (None, False),
    ],
)
def test_what_browsers_make_of_forms(kind: str | None, form: bool) -> None:
    """Two types of body hold the fields of forms; the third, text/plain, hides them."""
    assert is_form(kind) is form
    if not form:
        assert form_field(kind, b"csrf_token=one", True, "csrf_token") is None


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"csrf_token=one", "one"),
        (b"a=1&csrf_token=one&b=2", "one"),
        (b"csrf%5Ftoken=o%6Ee+two", "one two"),
        (b"csrf_token=one&csrf_token=one", "one"),
        (b"csrf_token=one&csrf_token=two", None),  # nobody knows which one the app would read
        (b"csrf_token", ""),
        (b"xcsrf_token=one", None),
        (b"", None),
        (b"\xff=\xff&csrf_token=%FF", "\ufffd"),
    ],
)
def test_a_field_among_pairs(body: bytes, value: str | None) -> None:
    """The field is found by its exact name, decoded; two different values are none."""  # S40
    assert form_field(URLENCODED, body, True, "csrf_token") == value


def test_a_pair_that_may_go_on_is_not_taken() -> None:
    """The last pair of a body that was not seen whole may be half a pair."""
    body = b"a=1&csrf_token=one"
    assert form_field(URLENCODED, body, False, "csrf_token") is None
    assert form_field(URLENCODED, body + b"&b", False, "csrf_token") == "one"


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (part("csrf_token", "one") + END, "one"),
        (part("a", "1") + part("csrf_token", "one") + part("b", "2") + END, "one"),
        (part("csrf_token", "one") + part("csrf_token", "two") + END, None),
        (part("csrf_token", "one", '; filename="a.txt"') + END, None),  # a file is no field
        (part("file", "x" * 9000, '; filename="a.txt"') + part("csrf_token", "one") + END, "one"),
        (part("csrf_token", "x" * 9000) + END, "x" * 9000),
        (part("other", "one") + END, None),
        (b"--edge\r\nContent-Disposition: nonsense\r\n\r\none\r\n" + END, None),
        (b"--edge\r\n\r\none\r\n" + END, None),
        (b"no boundary in here", None),
        (b"", None),
    ],
)
def test_a_field_among_parts(body: bytes, value: str | None) -> None:
    """The same for a form with files."""  # S40
    assert form_field(MULTIPART, body, True, "csrf_token") == value


def test_a_part_that_may_go_on_is_not_taken() -> None:
    """A part counts once the boundary behind it was seen."""
    body = part("csrf_token", "one")
    assert form_field(MULTIPART, body, False, "csrf_token") is None
    assert form_field(MULTIPART, body + part("f", "x", '; filename="f"'), False, "csrf_token") == (
        "one"
    )


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=é", f"{MULTIPART[:-4]}''"]
)
def test_parts_without_a_boundary(kind: str) -> None:
    """A form that names no boundary, or an impossible one, has no fields."""
    assert form_field(kind, part("csrf_token", "one") + END, True, "csrf_token") is None


def test_a_part_without_a_name_ends_the_reading() -> None:
    """What is no form (RFC 7578 section 4.2) has no fields, not even those after the fault."""
    nameless = b"--edge\r\nX-Other: 1\r\n\r\nx\r\n"
    body = nameless + part("csrf_token", "one") + END
    assert form_field(MULTIPART, body, True, "csrf_token") is None


@given(
    st.sampled_from([URLENCODED, MULTIPART, "multipart/form-data; boundary=("]),
    st.lists(
        st.sampled_from(
            [part("csrf_token", "one"), part("f", "x", '; filename="f"'), END, b"--edge", b"\r\n"]
        )
        | st.binary(max_size=40),
        max_size=6,
    ),
    st.booleans(),
)
def test_no_body_is_an_error(kind: str, pieces: list[bytes], whole: bool) -> None:
    """Whatever a client sends, there is a field in it or there is none."""  # S14
    found = form_field(kind, b"".join(pieces), whole, "csrf_token")
    assert found is None or isinstance(found, str)
