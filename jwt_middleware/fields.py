"""Header fields as the core has them, and as ASGI does: text, and bytes (Latin-1, as PEP 3333)."""

from __future__ import annotations

from collections.abc import Iterable


def decoded(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Fields of an ASGI message, as text."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]


def encoded(fields: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Fields for an ASGI message, which wants names in lower case."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields]
