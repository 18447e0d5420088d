"""Which claims are taken for what a readable token should not hold."""

from __future__ import annotations

from typing import Any

import pytest

from jwt_middleware.cli.private_matters import suspicions

FOUND: list[tuple[dict[str, Any], str]] = [
    ({"password": "x"}, "password looks like a password or its hash"),
    ({"passwordHash": "x"}, ""),
    ({"pw": "$2b$12$abcdefghijklmnopqrstuv"}, "pw looks like a password or its hash"),
    ({"pw": "pbkdf2_sha256$600000$x"}, "pw looks like a password or its hash"),
    ({"apiKey": "x"}, "apiKey looks like a secret or a key"),
    ({"note": "-----BEGIN PRIVATE KEY-----"}, "note looks like a secret or a key"),
    ({"refresh_token": "x"}, "refresh_token looks like another token"),
    ({"inner": "eyJhbGciOiJub25lIn0.e30."}, "inner looks like another token"),
    ({"email": "x"}, "email looks like an e-mail address"),
    ({"https://example.com/claims/email": "x"}, "email looks like an e-mail address"),
    ({"contact": "alice@example.com"}, "contact looks like an e-mail address"),
    ({"phoneNumber": "x"}, "phoneNumber looks like a phone number"),
    ({"contact": "+49 30 1234567"}, "contact looks like a phone number"),
    ({"address": {"locality": "Berlin"}}, "address looks like a postal address"),
    ({"user": {"street": "x"}}, "user.street looks like a postal address"),
    ({"home": "12 Main Street"}, "home looks like a postal address"),
    ({"home": "Hauptstr. 5"}, "home looks like a postal address"),
    ({"people": [{"dob": "2000-01-01"}]}, "people.dob looks like a date of birth"),
    ({"ssn": "x"}, "ssn looks like an identity number"),
    ({"account": "DE89 3704 0044 0532 0130 00"}, "account looks like a payment number"),
    ({"pay": "4111 1111 1111 1111"}, "pay looks like a payment number"),
    ({"religion": "x"}, "religion looks like data on health or belief"),
]

HARMLESS: list[dict[str, Any]] = [
    {"sub": "alice", "roles": ["admin"], "scope": "read write", "iss": "https://a.example/x"},
    {"email_verified": True, "password": None, "phone": "", "address": {}, "email": False},
    {"account": "DE89 3704 0044 0532 0130 01", "pay": "4111 1111 1111 1112", "n": 4111111111111111},
    {"order": "1234567890123456", "at": "2026-01-01T00:00:00Z", "version": "1.2.3"},
    {"tenant": "weather-street", "path": "/users/1", "n": 5, "f": 0.5},
]


@pytest.mark.parametrize(("claims", "words"), [row for row in FOUND if row[1]], ids=str)
def test_what_is_found(claims: dict[str, Any], words: str) -> None:
    """By its name or its form, wherever it stands, and never with its value."""
    (found,) = suspicions(claims)
    assert str(found).endswith(words)
    assert "alice@" not in str(found)


@pytest.mark.parametrize("claims", HARMLESS, ids=str)
def test_what_is_not(claims: dict[str, Any]) -> None:
    """What tokens usually hold is no cause for a warning."""
    assert suspicions(claims) == []
