"""What both doors make of a request: the little that the decision looks at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from posixpath import normpath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

SAFE_METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
"""RFC 9110 section 9.2.1."""


class Request:
    """A request as the core sees it; made anew by a door for each one.

    What a known token needs is looked up at once. The rest are properties, so that a door may
    look it up when somebody asks.
    """

    __slots__ = (
        "_header",
        "_mount",
        "_path",
        "_query",
        "_raw_path",
        "_scheme",
        "_websocket",
        "authorization",
        "brief",
        "cookie",
        "csrf_field",
        "method",
        "peek",
        "refresh",
        "unsafe",
    )

    def __init__(
        self,
        method: str,
        path: str,
        raw_path: str | None,
        authorization: str | None,
        refresh: str | None,
        cookie: str | None,
        header: Callable[[str], str | None],
        mount: str = "",
        query: str = "",
        websocket: bool = False,
        *,
        scheme: str = "",
    ) -> None:
        self._path = path
        self._raw_path = raw_path
        self._header = header
        self._mount = mount
        self._query = query
        self._websocket = websocket
        self._scheme = scheme
        self.method: str = method
        self.authorization: str | None = authorization
        """The field named by ``header_name``; several are joined by commas (RFC 9110 5.3)."""
        self.refresh: str | None = refresh
        """The field named by ``refresh_header_name``."""
        self.cookie: str | None = cookie
        """The Cookie field, decoded as Latin-1; HTTP/2 crumbs are joined by ``; ``."""
        self.unsafe: bool = websocket or method not in SAFE_METHODS
        """May change something, so that another site must not be able to cause it."""
        self.peek: Callable[[], Any] | None = None
        """Looks at the beginning of the body, which stays the app's; to be awaited under ASGI.
        None: this request's is none of our business."""
        self.csrf_field: str | None = None
        """The CSRF token in the form that was posted, once somebody has looked for it."""
        self.brief: bool = False
        """No body of it matters, so that none can have been under way for long."""

    @property
    def path(self) -> str:
        """The decoded path inside the app, as the app routes on it."""
        return self._path

    @property
    def elsewhere(self) -> str | None:
        """The path as an app may have it that looks for its mount in the midst of it (ASGI), or
        below what a header says (Pyramid)."""
        return None

    @property
    def raw_path(self) -> str | None:
        """The path as it was sent, perhaps with its query, where the server tells."""
        return self._raw_path

    @property
    def mount(self) -> str:
        """Where the app is mounted: what stands before ``path`` in the browser's address."""
        return self._mount

    @property
    def query(self) -> str:
        """What stands behind the path."""
        return self._query

    @property
    def scheme(self) -> str:
        """How it came, as the server has it; "" where nobody says."""
        return self._scheme

    @property
    def websocket(self) -> bool:
        """The handshake of a WebSocket."""
        return self._websocket

    def header(self, name: str) -> str | None:
        """Any other request header by its lower-case name."""
        return self._header(name)

    @property
    def has_body(self) -> bool:
        if self.brief:
            return False
        length = self.header("content-length")  # empty is absent (PEP 3333)
        if length or self.header("transfer-encoding"):
            return length != "0"
        # HTTP/2 needs neither field to send a body.
        return self.method in ("POST", "PUT", "PATCH")

    @property
    def ambiguous(self) -> bool:
        """An app might read the path in another way than it is spelled."""
        raw = (self.raw_path or "").partition("?")[0]
        return (
            _resolvable(self.path) is not None
            or _hides_separators(raw) is not None
            or self.elsewhere is not None
        )

    @property
    def readings(self) -> tuple[str, ...]:
        """The path as apps may read it: one, unless there is something in it to be resolved."""
        if ";" not in self.path and not self.ambiguous:
            return (self.path,)
        return tuple(dict.fromkeys((self.path, *map(_resolved, self._spellings()))))

    def _spellings(self) -> Iterator[str]:
        """What the path may come down to, before dots and slashes are resolved."""
        for path in (self.path, self.elsewhere):
            for decoded in () if path is None else (path, unquote(path)):
                local = _local(decoded)
                yield from (decoded, local, _parameters("", local))

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
    (``%2f``, ``..``), or is none (``admin``), matches no rule: the app behind may read it
    differently.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = tuple(paths)

    def match(self, request: Request) -> bool:
        if not self._paths or request.ambiguous:
            return False
        return any(below(rule, request.path) for rule in self._paths)


def below(rule: str, path: str) -> bool:
    """Whether a path is one of settings, or lies below it: in whole segments, and ``/`` is that
    page alone."""
    rule, plain = rule.rstrip("/"), path.rstrip("/")
    return plain == rule or (rule != "" and plain.startswith(f"{rule}/"))


_resolvable = re.compile(
    r"""  [^/]                     # no path: "admin", "http://host/admin", "*"
      | .* (?:
            //  | \\             # segments that one app merges, and another does not
          | /\.\.? (?:[/;]|\Z)    # "." and "..", with a parameter, too
          | /@@                   # the name of a view, to apps that traverse
          | [\x00-\x1f\x7f\ufffd]  # "$" of a pattern forgives a newline; what is no UTF-8 is
        )                         # replaced by one app, and left out by another
    """,
    re.VERBOSE | re.DOTALL,
).match
_hides_separators = re.compile(r"%(?:2[ef5]|5c|00)", re.IGNORECASE).search
_parameters = re.compile(r";[^/]*").sub
_unseen = re.compile(r"[\x00-\x1f\x7f\ufffd]").sub


def _local(path: str) -> str:
    """Without scheme and host, which some apps take off by themselves."""
    if path.startswith("/"):
        return path
    try:
        return urlsplit(path).path
    except ValueError:
        return path


def _resolved(path: str) -> str:
    """Without dot segments, empty segments, backslashes, and what cannot be seen."""
    plain = "/" + _unseen("", path).replace("\\", "/")
    return "/" + normpath(plain.replace("/@@", "/")).lstrip("/")
