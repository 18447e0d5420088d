"""A token in the query of a WebSocket handshake, for browsers that can send it nowhere else.

Queries are written to logs, by servers and proxies alike: whoever reads the token takes it out.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote_plus

REDACTED = "redacted"


def values_in(query: str, name: str) -> Iterator[str]:
    """Every value the query gives to the name."""
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if unquote_plus(key) == name:
            yield unquote_plus(value)


def redacted(query: str, name: str) -> str:
    """The query with `REDACTED` in the place of each of them."""
    pairs = (pair.partition("=") for pair in query.split("&"))
    return "&".join(
        f"{key}={REDACTED}" if unquote_plus(key) == name else key + separator + value
        for key, separator, value in pairs
    )
