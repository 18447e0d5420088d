"""Request headers in a WSGI environ, which Django calls ``META``, under either kind of server."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any


def environ_key(name: str) -> str:
    """A request header's key in the environ (RFC 3875 section 4.1.18)."""
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


def environ_header(environ: Mapping[str, Any], name: str) -> str | None:
    """A request header; None: it did not come."""
    value = environ.get(environ_key(name))
    return value if isinstance(value, str) else None


def replace_header(environ: MutableMapping[str, Any], name: str, value: str | None) -> None:
    """A request header as the app shall see it; None: not at all."""
    environ.pop(environ_key(name), None)
    if value is not None:
        environ[environ_key(name)] = value
