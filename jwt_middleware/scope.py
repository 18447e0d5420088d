"""A request in an ASGI scope."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .request import SAFE_METHODS, Request


class ScopeRequest(Request):
    """What an ASGI server says of a request.

    Nothing is copied: the app gets a scope of its own, and what it does to that is not seen here.
    """

    __slots__ = ("_own_mount", "_scope")

    def __init__(
        self,
        scope: Mapping[str, Any],
        handshake: bool,
        own_mount: str,
        authorization: str | None,
        refresh: str | None,
        cookie: str | None,
    ) -> None:
        # As `EnvironRequest`. ``own_mount``: what the app says itself, in the place of the server.
        method: str = scope.get("method", "GET")
        self.method: str = method
        self.authorization: str | None = authorization
        self.refresh: str | None = refresh
        self.cookie: str | None = cookie
        self.unsafe: bool = handshake or method not in SAFE_METHODS
        self.peek: Callable[[], Any] | None = None
        self.csrf_field: str | None = None
        self.brief: bool = False
        self._scope = scope
        self._own_mount = own_mount

    @property
    def path(self) -> str:
        """Since ASGI 2.3 the scope's path begins with ``root_path``."""
        path: str = self._scope["path"]
        return path.removeprefix(self.mount) if self._is_below else path

    @property
    def _is_below(self) -> bool:
        mount = self.mount
        return mount != "" and f"{self._scope['path']}/".startswith(f"{mount}/")

    @property
    def elsewhere(self) -> str | None:
        """What is behind the first mention of ``root_path`` in a path that does not begin with it.
        Some apps route on that (Litestar, Quart), wherever they find it."""
        path: str = self._scope["path"]
        if not self.mount or self._own_mount or self._is_below:
            return None
        _, found, rest = path.partition(self.mount)
        return rest if found and path != f"/{rest}" else None

    @property
    def raw_path(self) -> str | None:
        raw: bytes | None = self._scope.get("raw_path")
        return raw.decode("latin-1") if raw else None

    @property
    def mount(self) -> str:
        return self._own_mount or self._scope.get("root_path", "")

    @property
    def query(self) -> str:
        query: bytes = self._scope.get("query_string", b"")
        return query.decode("latin-1")

    @property
    def scheme(self) -> str:
        scheme: str = self._scope.get("scheme", "")
        return scheme

    @property
    def websocket(self) -> bool:
        return self._scope["type"] == "websocket"  # type: ignore[no-any-return]

    def header(self, name: str) -> str | None:
        """Several fields of one name are one list (RFC 9110 section 5.3)."""
        wanted = name.encode()
        values = [value for field, value in self._scope["headers"] if field.lower() == wanted]
        return b",".join(values).decode("latin-1") if values else None
