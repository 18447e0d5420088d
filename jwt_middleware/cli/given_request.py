"""A request's head as it was copied: from a browser's tools, from ``curl -v``, from a log."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..request import Request
from ..settings import Settings
from .exits import Exit, Stop

_LINE = re.compile(r"(?:> ?)?(:?[\w!#$%&'*+.^`|~-]+): ?(.*)").fullmatch
_REQUEST_LINE = re.compile(r"(?:> ?)?([A-Z]+) (\S+)(?: HTTP/[\d.]+)?").fullmatch


@dataclass
class GivenRequest:
    """What a client sent, but for the body."""

    method: str = "GET"
    target: str = "/"
    headers: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    """By lower-case name; several of one name are joined."""

    @property
    def host(self) -> str:
        return self.headers.get("host", "")

    def as_request(self, settings: Settings) -> Request:
        """As a door would show it to the decision."""
        return Request(
            self.method,
            self.target.partition("?")[0],
            self.target,
            self.headers.get(settings.header_name.lower()),
            self.headers.get(settings.refresh_header_name.lower()),
            self.headers.get("cookie"),
            self.headers.get,
            query=self.target.partition("?")[2],
            websocket=self.headers.get("upgrade", "").lower() == "websocket",
            scheme=self.headers.get(":scheme", ""),
        )


def read_request(text: str) -> GivenRequest:
    """Raises `Stop` for what is none."""
    given = GivenRequest()
    for line in filter(None, map(str.strip, text.splitlines())):
        if request_line := _REQUEST_LINE(line):
            given.method, given.target = request_line.groups()
        elif header := _LINE(line):
            _add(given.headers, header[1].lower(), header[2].strip())
    given.method = given.headers.get(":method", given.method)
    given.target = given.headers.get(":path", given.target)
    given.headers.setdefault("host", given.headers.get(":authority", ""))
    if not given.host:
        raise Stop(Exit.USAGE, "this is no request: give its first line and headers, with Host")
    return given


def _add(headers: dict[str, str], name: str, value: str) -> None:
    """Several fields are one list (RFC 9110 section 5.3), cookies by semicolons (RFC 9113
    section 8.2.3)."""
    before = headers.get(name)
    glue = "; " if name == "cookie" else ", "
    headers[name] = value if before is None else f"{before}{glue}{value}"
