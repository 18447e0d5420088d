"""What is shipped, and under which name."""

import re
import tomllib
from pathlib import Path

import pytest

import jwt_middleware

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

NAMED_WRONGLY = re.compile(
    r"(?:\bpip3?|\buv|\bpoetry|\bpdm|\bpipx)\b[^\n`#&|;]*\b(?:install|add)\b[^\n`#&|;]*"
    r"(?<![\w./-])jwt[-_]middleware(?![\w/-])",
    re.IGNORECASE,
)
"""An installation of the distribution that has our import name, and is somebody else's."""


def test_the_version_is_the_same_everywhere() -> None:
    """What the distribution says and what the package says is one version."""
    assert PROJECT["version"] == jwt_middleware.__version__


def test_the_distribution_has_a_name_of_its_own() -> None:
    """The distribution is called jwt-session-middleware: jwt-middleware is somebody else's."""
    assert PROJECT["name"] == "jwt-session-middleware"


def test_the_core_needs_three_distributions() -> None:
    """Whoever installs the middleware gets PyJWT, Werkzeug and asgiref, with lower bounds only."""
    requirements = [re.fullmatch(r"([\w-]+)>=[\d.]+", line) for line in PROJECT["dependencies"]]
    assert [found and found[1] for found in requirements] == ["pyjwt", "werkzeug", "asgiref"]


def test_type_checkers_may_read_the_package() -> None:
    """py.typed stands in the package (PEP 561)."""
    assert (ROOT / "jwt_middleware" / "py.typed").is_file()


@pytest.mark.parametrize(
    "path",
    [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("jwt_middleware/**/*.py")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_nobody_is_told_to_install_the_wrong_distribution(path: Path) -> None:
    """No document and no message says to install jwt-middleware."""
    assert NAMED_WRONGLY.findall(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("pip install jwt-middleware", True),
        ("python -m pip install -U 'jwt_middleware[demo]'", True),
        ("uv add flask jwt-middleware", True),
        ("pip install jwt-session-middleware", False),
        ("pip install jwt-session-middleware  # then: import jwt_middleware", False),
        ("pip install jwt-session-middleware && python -m jwt_middleware demo", False),
    ],
)
def test_the_wrong_name_is_recognised(line: str, wrong: bool) -> None:
    """The search for the wrong name finds it, and only it."""
    assert bool(NAMED_WRONGLY.search(line)) is wrong
