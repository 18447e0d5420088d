"""Pages that are made from the code, so that they cannot say anything else."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from jwt_middleware import Settings

INTRODUCTION = """\
All of them, as `Settings` has them. Each can be given as a keyword to `Settings`, `JWTAuth` or
`JWTMiddleware`, and by `Settings.from_env()` as `JWT_` and its name in capitals. Durations are
seconds, or a `timedelta`. [The README](index.md#settings) has them by topic."""

REFERENCE = """\
# API reference

What is public, from its docstrings. Settings have [a page of their own](settings.md).

## jwt_middleware

::: jwt_middleware
    options:
      members_order: alphabetical
      show_root_heading: false
      filters: ["!^_", "!^Settings$"]

## jwt_middleware.wsgi

::: jwt_middleware.wsgi.JWTMiddleware

## jwt_middleware.asgi

::: jwt_middleware.asgi.JWTMiddleware

## jwt_middleware.testing

::: jwt_middleware.testing
    options:
      show_root_heading: false
"""
"""For mkdocstrings. Nobody could read it as it stands, so it is no page of the repository."""


def from_above(path: Path) -> str:
    """The README is the site's first page: what it links to in docs/ lies beside it there."""
    text = path.read_text("utf-8")
    text = re.sub(r"<!--.*?-->\n", "", text)
    return re.sub(r"\]\(docs/", "](", re.sub(r"\]\((?!docs/|https?:|#)", "](../", text))


def settings() -> str:
    """Every field of `Settings`: what it is when left alone, and what it means."""
    lines = [
        "# Settings",
        "",
        INTRODUCTION,
        "",
    ]
    for field in dataclasses.fields(Settings):
        metadata = field.metadata
        variable = f"JWT_{field.name.upper()}"
        file = f", or a file: `{variable}_FILE`. Never shown" if metadata["secret"] else ""
        lines += [
            f"### `{field.name}`",
            "",
            metadata["help"],
            "",
            f"Default: `{field.default!r}` · environment: `{variable}`{file}",
            "",
        ]
    return "\n".join(lines)
