"""A request in a WSGI environ, and its headers there. (Django's ``META`` is one as well, under
either kind of server.)"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from .request import SAFE_METHODS, Request


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


class EnvironRequest(Request):
    """What a WSGI server says of a request."""

    __slots__ = ("_environ",)

    def __init__(self, environ: dict[str, Any], authorization_key: str, refresh_key: str) -> None:
        # This runs for every request: by position, and without super().__init__(), which would
        # want to know the rest.
        method: str = environ["REQUEST_METHOD"]
        self.method: str = method
        self.authorization: str | None = environ.get(authorization_key)
        self.refresh: str | None = environ.get(refresh_key)
        self.cookie: str | None = environ.get("HTTP_COOKIE")
        self.unsafe: bool = method not in SAFE_METHODS
        self.peek: Callable[[], Any] | None = None
        self.csrf_field: str | None = None
        self.brief: bool = False
        # A copy: the environ is going to hold the handle, which holds this, and a ring of
        # objects is freed late.
        self._environ = environ.copy()

    @property
    def path(self) -> str:
        return _as_text(self._environ.get("PATH_INFO", ""))

    @property
    def elsewhere(self) -> str | None:
        # A client may tell Pyramid where to look for the path.
        root = self._environ.get("HTTP_X_VHM_ROOT")
        return None if root is None else _as_text(root + self._environ.get("PATH_INFO", ""))

    @property
    def raw_path(self) -> str | None:
        return self._environ.get("RAW_URI") or self._environ.get("REQUEST_URI")

    @property
    def mount(self) -> str:
        return _as_text(self._environ.get("SCRIPT_NAME", ""))

    @property
    def query(self) -> str:
        query: str = self._environ.get("QUERY_STRING", "")
        return query

    @property
    def scheme(self) -> str:
        scheme: str = self._environ.get("wsgi.url_scheme", "")
        return scheme

    @property
    def websocket(self) -> bool:
        return False

    def header(self, name: str) -> str | None:
        return environ_header(self._environ, name)


def _as_text(native: str) -> str:
    """What WSGI has as bytes, each as one character (PEP 3333)."""
    return native if native.isascii() else native.encode("latin-1").decode("utf-8", "replace")
