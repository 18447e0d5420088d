"""Claims: read-only for everybody, and what an app may put into them."""

from __future__ import annotations

import collections
import copy
import enum
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_middleware.claims import RESERVED, Claims, custom_claims
from jwt_middleware.errors import InvalidClaims

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def scramble(value: Any) -> None:
    """Change everything in a tree that can be changed."""
    if isinstance(value, dict):
        for member in value.values():
            scramble(member)
        value.clear()
        value["scrambled"] = True
    elif isinstance(value, list):
        for item in value:
            scramble(item)
        value.clear()
        value.append("scrambled")


# ── The mapping ──────────────────────────────────────────────────────────────────


def test_claims_are_a_mapping() -> None:
    """Claims behave like the dict they were made of."""
    claims = Claims({"sub": "alice", "n": 1})
    assert isinstance(claims, Mapping)
    assert claims["sub"] == "alice"
    assert list(claims) == ["sub", "n"]
    assert len(claims) == 2
    assert claims == {"sub": "alice", "n": 1}
    assert claims.get("other", "default") == "default"
    assert "n" in claims
    with pytest.raises(KeyError):
        claims["other"]


def test_claims_cannot_be_written() -> None:
    """Nothing can be set, deleted or hung onto claims."""  # S31
    claims: Any = Claims({"sub": "alice"})
    with pytest.raises(TypeError):
        claims["sub"] = "mallory"
    with pytest.raises(TypeError):
        del claims["sub"]
    with pytest.raises(AttributeError):
        claims.extra = 1
    for name in ("pop", "update", "clear", "setdefault", "popitem", "__setitem__", "__ior__"):
        assert not hasattr(claims, name)
    assert claims == {"sub": "alice"}


@given(st.dictionaries(st.text(), TREES, max_size=4))
def test_what_is_handed_out_is_a_copy(members: dict[str, Any]) -> None:
    """Whatever a request does to what it was handed, the next one sees nothing of it."""  # S31
    claims = Claims(members)
    before = copy.deepcopy(members)
    for name in claims:
        scramble(claims[name])
        scramble(claims.get(name))
    for value in claims.values():
        scramble(value)
    scramble([value for _name, value in list(claims.items())])
    scramble({**claims})
    scramble(dict(claims))
    assert claims == before


def test_the_outermost_mapping_is_copied() -> None:
    """Names added to or taken from the mapping they were made of do not show."""  # S31
    members = {"sub": "alice"}
    claims = Claims(members)
    members["sub"] = "mallory"
    members["admin"] = "yes"
    assert claims == {"sub": "alice"}


def test_a_repr_has_names_only() -> None:
    """What claims say does not end up in a log."""  # S53
    shown = repr(Claims({"sub": "alice", "email": "alice@example.com"}))
    assert shown == "<Claims sub, email>"
    assert str(Claims({})) == "<Claims >"


# ── What an app may put into them ────────────────────────────────────────────────


@pytest.mark.parametrize("nothing", [None, {}])
def test_no_claims(nothing: dict[str, Any] | None) -> None:
    """No claims are none."""
    assert custom_claims(nothing, "sub") == {}


@given(st.dictionaries(st.text().filter(lambda name: name not in RESERVED), TREES, max_size=4))
def test_json_passes(claims: dict[str, Any]) -> None:
    """Whatever JSON can hold comes back equal."""
    assert custom_claims(claims, "sub") == claims


def test_they_are_copied() -> None:
    """What the app does to its own claims afterwards changes nothing."""  # S31
    roles = ["user"]
    own = custom_claims({"roles": roles}, "sub")
    roles.append("admin")
    assert own == {"roles": ["user"]}


def test_they_are_as_json_will_carry_them() -> None:
    """What JSON writes in another form is seen in that form at once."""

    class Role(enum.StrEnum):
        ADMIN = "admin"

    class Level(enum.IntEnum):
        HIGH = 3

    given_: dict[str, Any] = {"t": (1, (2,)), "r": Role.ADMIN, "l": Level.HIGH, "d": {1: "one"}}
    own = custom_claims(collections.OrderedDict(given_), "sub")
    assert own == {"t": [1, [2]], "r": "admin", "l": 3, "d": {"1": "one"}}
    assert (type(own["r"]), type(own["l"])) == (str, int)


@pytest.mark.parametrize("name", sorted(RESERVED | {"user_id"}))
def test_reserved_names_are_refused(name: str) -> None:
    """No app can set what the middleware says of a token itself."""
    with pytest.raises(InvalidClaims, match=name):
        custom_claims({"fine": 1, name: "secret value"}, "user_id")


def test_the_reserved_names() -> None:
    """Reserved: the registered claims, a token's key, when its owner signed in, our own three."""
    assert set("iss sub aud exp nbf iat jti cnf auth_time sid rgen rexp".split()) == RESERVED


def test_all_reserved_names_are_named() -> None:
    """Every reserved name is reported at once, and none of the values."""  # S53
    with pytest.raises(InvalidClaims) as caught:
        custom_claims({"exp": "secret", "sub": "secret", "fine": "secret"}, "sub")
    assert "exp, sub:" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "fine" not in str(caught.value)


def _circle() -> dict[str, Any]:
    circle: dict[str, Any] = {}
    circle["self"] = circle
    return circle


def _deep() -> list[Any]:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    return deep


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({1, 2}, id="a set"),
        pytest.param(b"bytes", id="bytes"),
        pytest.param(object(), id="an object"),
        pytest.param(float("nan"), id="NaN"),
        pytest.param([float("inf")], id="inf"),
        pytest.param("\ud800", id="half a pair"),
        pytest.param({"\udfff": 1}, id="half a pair in a name"),
        pytest.param({(1, 2): 1}, id="a tuple as a name"),
        pytest.param(10**5000, id="a huge number"),
        pytest.param(_circle(), id="a circle"),
        pytest.param(_deep(), id="a well"),
        pytest.param(1j, id="a complex number"),
    ],
)
def test_what_json_cannot_hold_is_refused(value: object) -> None:
    """What JSON cannot hold is refused where it is set."""
    with pytest.raises(InvalidClaims, match="JSON"):
        custom_claims({"value": value}, "sub")


@pytest.mark.parametrize("claims", [[], ["a"], "roles", 5, 0, "", False, [("a", 1)]], ids=repr)
def test_claims_are_a_mapping_of_names(claims: Any) -> None:
    """Anything but a mapping is a mistake, and is told so."""
    with pytest.raises(InvalidClaims, match="mapping"):
        custom_claims(claims, "sub")


def test_names_that_json_would_change_are_refused() -> None:
    """JSON makes text of a number in a name, and two claims could become one."""
    with pytest.raises(InvalidClaims, match="names"):
        custom_claims({1: "a", "1": "b"}, "sub")  # type: ignore[dict-item]


def test_a_scalar_of_another_type_stays_as_it_is() -> None:
    """An app's own kinds of number and text go through claims unchanged."""

    class Level(IntEnum):
        HIGH = 3

    assert Claims({"levels": [Level.HIGH]})["levels"][0] is Level.HIGH
