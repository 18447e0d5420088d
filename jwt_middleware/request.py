"""What both doors make of a request: the little that the decision looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

SAFE_METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
"""RFC 9110 section 9.2.1."""


class Request:
    """A request as the core sees it; made anew by a door for each one."""

    __slots__ = (
        "authorization",
        "cookie",
        "header",
        "method",
        "mount",
        "path",
        "query",
        "raw_path",
        "refresh",
        "unsafe",
        "websocket",
    )

    def __init__(
        self,
        method: str,
        path: str,
        *,
        raw_path: str | None,
        authorization: str | None,
        refresh: str | None,
        cookie: str | None,
        header: Callable[[str], str | None],
        mount: str = "",
        query: str = "",
        websocket: bool = False,
    ) -> None:
        self.method = method
        self.path = path
        """The decoded path inside the app, as the app routes on it."""
        self.raw_path = raw_path
        """The path as it was sent, perhaps with its query, where the server tells."""
        self.authorization = authorization
        """The field named by ``header_name``; several are joined by commas (RFC 9110 5.3)."""
        self.refresh = refresh
        """The field named by ``refresh_header_name``."""
        self.cookie = cookie
        """The Cookie field, decoded as Latin-1; HTTP/2 crumbs are joined by ``; ``."""
        self.header = header
        """Any other request header by its lower-case name."""
        self.mount = mount
        """Where the app is mounted: what stands before ``path`` in the browser's address."""
        self.query = query
        self.websocket = websocket
        self.unsafe = websocket or method not in SAFE_METHODS
        """May change something, so that another site must not be able to cause it."""

    @property
    def has_body(self) -> bool:
        length = self.header("content-length")  # empty is absent (PEP 3333)
        if length or self.header("transfer-encoding"):
            return length != "0"
        # HTTP/2 needs neither field to send a body.
        return self.method in ("POST", "PUT", "PATCH")

    @property
    def preflight(self) -> bool:
        """A CORS preflight (Fetch standard): it never carries credentials."""
        return (
            self.method == "OPTIONS"
            and self.header("origin") is not None
            and self.header("access-control-request-method") is not None
        )

    @property
    def navigation(self) -> bool:
        """A person's browser loads a page: to be shown one, not a status code."""
        mode = self.header("sec-fetch-mode")
        wants_html = "text/html" in (self.header("accept") or "")
        return self.method == "GET" and wants_html and mode in (None, "navigate")


class PathRules:
    """Paths named in the settings: each matches itself and whatever is below it.

    Whole segments, no patterns: ``/public`` matches ``/public`` and ``/public/x``, never
    ``/publicity``; ``/`` matches only itself. A path that hides a separator or a dot segment
    (``%2f``, ``..``) matches no rule: the app behind may read it differently.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = tuple(path.rstrip("/") for path in paths)

    def match(self, request: Request) -> bool:
        if not self._paths:
            return False
        path = request.path
        raw = (request.raw_path or "").partition("?")[0]
        if _ambiguous(path) or _hides_separators(raw):
            return False
        return any(
            path.rstrip("/") == rule or (rule and path.startswith(rule + "/"))
            for rule in self._paths
        )


def _ambiguous(path: str) -> bool:
    """The path has segments that some app would resolve and another would not."""
    if "\\" in path or "//" in path or "\x00" in path:
        return True
    return not {".", ".."}.isdisjoint(path.split("/"))


def _hides_separators(raw_path: str) -> bool:
    lowered = raw_path.lower()
    return any(code in lowered for code in ("%2f", "%5c", "%2e", "%00", "%25"))
