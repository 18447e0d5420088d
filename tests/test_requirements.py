"""The security requirements: each has tests, and the page that shows them is true."""

from __future__ import annotations

import re

import pytest
import requirements
from requirements import PAGE, REQUIREMENTS, ROOT

NUMBERS = [number for section in REQUIREMENTS.values() for number in section]


def test_every_number_is_there_once() -> None:
    """S1 to S54, each in one section."""
    assert set(NUMBERS) == set(range(1, 55))
    assert len(NUMBERS) == 54


@pytest.mark.parametrize("number", NUMBERS, ids=[f"S{number}" for number in NUMBERS])
def test_every_requirement_has_a_test(number: int) -> None:
    """Somewhere a test names it, and says in a sentence what holds."""
    tests = requirements.evidence().get(number, [])
    assert tests
    assert all(test.sentence for test in tests)


def test_no_test_names_a_requirement_that_is_not_there() -> None:
    """A number that nobody has written down is a slip."""
    assert set(requirements.evidence()) <= set(NUMBERS)


def test_the_page_shows_what_the_tests_say() -> None:
    """The table in docs/security.md is the one made from the tests: `make requirements`."""
    page = PAGE.read_text(encoding="utf-8")
    assert page == requirements.rewritten(page), "run: make requirements"


def test_the_links_of_the_page_lead_somewhere() -> None:
    """Every file the page links to exists."""
    links = set(re.findall(r"\]\((?!https?:)([^)#]+)", PAGE.read_text(encoding="utf-8")))
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
