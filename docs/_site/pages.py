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
