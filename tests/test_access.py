"""What a place asks of claims: the predicates, and what the client is told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from stepping import Browser, House, make_request

from jwt_middleware.access import CLOCK_SKEW, Requirement, roles_in, scopes_in
from jwt_middleware.errors import ConfigurationError
from jwt_middleware.refusals import Refusal, refuse

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("asks", "claims", "unmet"),
    [
        ({}, {}, None),
        ({"roles": {"admin"}}, {"roles": ["admin"]}, None),
        ({"roles": {"admin", "editor"}}, {"roles": ["editor"]}, None),
        ({"roles": {"admin"}}, {"roles": ["reader"]}, "insufficient_role"),
        ({"roles": {"admin"}}, {}, "insufficient_role"),
        ({"roles": {"admin"}}, {"roles": ["ADMIN", "admins"]}, "insufficient_role"),
        ({"roles_all": {"a", "b"}}, {"roles": ["b", "a", "c"]}, None),
        ({"roles_all": {"a", "b"}}, {"roles": ["a"]}, "insufficient_role"),
        ({"scopes": ["a", "b"]}, {"scope": "b a"}, None),
        ({"scopes": ["a", "b"]}, {"scope": "a"}, "insufficient_scope"),
        ({"scopes": ["a"]}, {"scope": "ab"}, "insufficient_scope"),
        ({"scopes_any": {"a", "b"}}, {"scope": "b"}, None),
        ({"scopes_any": {"a", "b"}}, {"scope": "c"}, "insufficient_scope"),
        ({"max_age": 300}, {"auth_time": NOW - 300}, None),
        ({"max_age": "5m"}, {"auth_time": NOW - 301}, "insufficient_user_authentication"),
        ({"max_age": timedelta(minutes=5)}, {}, "insufficient_user_authentication"),
        ({"max_age": 300}, {"auth_time": True}, "insufficient_user_authentication"),
        ({"max_age": 300}, {"auth_time": str(NOW)}, "insufficient_user_authentication"),
        ({"max_age": 300}, {"auth_time": float("nan")}, "insufficient_user_authentication"),
        ({"max_age": 300}, {"auth_time": NOW + CLOCK_SKEW}, None),
        ({"max_age": 300}, {"auth_time": NOW + CLOCK_SKEW + 1}, "insufficient_user_authentication"),
        # What a new sign-in cannot mend comes first.
        ({"roles": {"admin"}, "scopes": {"a"}, "max_age": 1}, {}, "insufficient_role"),
        ({"scopes": {"a"}, "max_age": 1}, {}, "insufficient_scope"),
    ],
)
def test_what_is_unmet(asks: dict[str, Any], claims: dict[str, Any], unmet: str | None) -> None:
    """A requirement is met by claims that show all of it, name for name."""
    assert Requirement(**asks).unmet(claims, NOW) == unmet


@pytest.mark.parametrize(
    ("claims", "name", "roles"),
    [
        ({"roles": ["a", "b"]}, "roles", ["a", "b"]),
        ({"roles": "one role"}, "roles", ["one role"]),
        ({"roles": ["a", 7, None, ["b"]]}, "roles", ["a"]),
        ({"roles": {"a": True}}, "roles", []),
        ({"roles": True}, "roles", []),
        ({"realm_access": {"roles": ["a"]}}, "realm_access.roles", ["a"]),
        ({"realm_access": ["roles"]}, "realm_access.roles", []),
        ({"realm_access": {}}, "realm_access.roles", []),
        ({"https://app.example/roles": ["a"]}, "https://app.example/roles", ["a"]),
        ({"a.b": ["exact"], "a": {"b": ["inner"]}}, "a.b", ["exact"]),
    ],
)
def test_where_roles_are_found(claims: dict[str, Any], name: str, roles: list[str]) -> None:
    """Roles are a list, or one as text, in the claim of that name or where its dots lead."""
    assert roles_in(claims, name) == roles
    assert Requirement(roles={"a"}).unmet(claims, NOW, roles_claim=name) == (
        None if "a" in roles else "insufficient_role"
    )


@pytest.mark.parametrize(
    ("claims", "name", "scopes"),
    [
        ({"scp": "a b"}, "scp", ["a", "b"]),
        ({"scope": ["a b", "c"]}, "scope", ["a b", "c"]),
        ({"scopes": ["a"]}, "scope", ["a"]),
        ({"scope": "", "scopes": ["a"]}, "scope", ["a"]),
        ({"scope": "a"}, "scp", []),
    ],
)
def test_where_scopes_are_found(claims: dict[str, Any], name: str, scopes: list[str]) -> None:
    """Scopes are text with blanks between them, or a list; ``scope`` may be called ``scopes``."""
    assert scopes_in(claims, name) == scopes


@pytest.mark.parametrize(
    ("asks", "message"),
    [
        ({"roles": "admin"}, "roles: is 'admin'; give a set"),
        ({"roles_all": 7}, "roles_all: is 7; give a set"),
        ({"roles": {""}}, "roles: '' is no name"),
        ({"roles": [7]}, "roles: 7 is no name"),
        ({"scopes": {"a b"}}, "scopes: 'a b' is no scope"),
        ({"scopes_any": {'a"'}}, "is no scope"),
        ({"scopes": {"a\r\nX: y"}}, "is no scope"),
        ({"max_age": 0}, "max_age: is 0"),
        ({"max_age": "soon"}, "max_age: is 'soon'"),
    ],
)
def test_a_mistake_is_found_at_start_up(asks: dict[str, Any], message: str) -> None:
    """What cannot be asked for is refused when the app starts, with what to write instead."""
    with pytest.raises(ConfigurationError) as caught:
        Requirement(**asks)
    assert message in str(caught.value)


def test_requirements_are_values() -> None:
    """Two that ask for the same are equal, and nobody changes one."""
    one, other = Requirement(roles=["a", "b"]), Requirement(roles={"b", "a"})
    assert one == other
    assert hash(one) == hash(other)
    with pytest.raises(AttributeError):
        one.roles = frozenset()  # type: ignore[misc]


# ── What the client is told ──────────────────────────────────────────────────────────


def challenge(refusal: Refusal) -> str:
    return dict(refusal.headers)["WWW-Authenticate"]


def test_too_few_privileges() -> None:
    """403 ``insufficient_scope``, with all scopes that are needed (RFC 6750 section 3.1)."""
    # S33
    answer = refuse("insufficient_scope", make_request(), Requirement(scopes={"b", "a"}))
    assert answer.status == 403
    assert challenge(answer).startswith('Bearer error="insufficient_scope", error_description="')
    assert challenge(answer).endswith('", scope="a b"')
    for answer in (
        refuse("insufficient_role", make_request(), Requirement(roles={"admin"})),
        refuse("insufficient_scope", make_request()),
    ):
        assert answer.status == 403
        assert challenge(answer).startswith('Bearer error="insufficient_scope"')
        assert "scope=" not in challenge(answer)
        assert "admin" not in challenge(answer) + answer.body.decode()


def test_signed_in_too_long_ago() -> None:
    """401 ``insufficient_user_authentication`` with the ``max_age`` (RFC 9470 section 3)."""
    reason = "insufficient_user_authentication"
    answer = refuse(reason, make_request(), Requirement(max_age="5m"))
    assert answer.status == 401
    assert challenge(answer).startswith(f'Bearer error="{reason}", error_description="')
    assert challenge(answer).endswith('", max_age="300"')
    assert "max_age" not in challenge(refuse(reason, make_request()))


# ── In a request ─────────────────────────────────────────────────────────────────────


def test_a_request_is_asked() -> None:
    """Anonymous requests give their reason; others what their claims lack, by the settings."""
    house = House(roles_claim="access.roles", scopes_claim="scp")
    browser = Browser(house)
    admins = Requirement(roles={"admin"})
    assert browser.get().unmet(admins) == "missing"
    assert browser.get().roles == []
    browser.login(claims={"access": {"roles": ["admin"]}, "scp": "a", "roles": ["x"]})
    auth = browser.get()
    assert (auth.roles, auth.scopes) == (["admin"], ["authenticated", "a"])
    assert auth.unmet(admins) is auth.unmet(Requirement()) is None
    assert auth.unmet(Requirement(roles={"x"})) == "insufficient_role"
    assert auth.unmet(Requirement(scopes={"b"})) == "insufficient_scope"


def test_a_reissue_is_no_sign_in() -> None:
    """``auth_time`` stays that of the sign-in through reissues and new claims; a new sign-in
    begins anew."""
    house = House()
    browser = Browser(house)
    fresh = Requirement(max_age=300)
    browser.login()
    assert browser.get().unmet(fresh) is None
    for _ in range(3):
        house.wait(1000)
        auth = browser.get()
        assert auth.reissued
        assert auth.unmet(fresh) == "insufficient_user_authentication"
    auth = browser.arrive().auth
    auth.update({"roles": []})
    assert auth.unmet(fresh) == "insufficient_user_authentication"
    browser.receive(browser.respond(auth))
    assert browser.get().unmet(fresh) == "insufficient_user_authentication"
    browser.login()
    assert browser.get().unmet(fresh) is None
