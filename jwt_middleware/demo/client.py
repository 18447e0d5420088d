"""Two HTTP clients that keep tokens: one in cookies, as browsers do, one in headers."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.cookies import SimpleCookie
from typing import Any, ClassVar, Self
from urllib.parse import urlencode, urlsplit

from .config import COOKIES

TIMEOUT = 20.0
"""Seconds after which a server that does not answer is a fault."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, as far as the story is about it; as text, a short sentence."""

    status: int
    text: str = field(repr=False)
    tokens: Mapping[str, str] = field(repr=False)
    """New tokens by kind, ``"access"`` or ``"refresh"``; empty text: to be forgotten."""

    @property
    def members(self) -> dict[str, Any]:
        """The body, if it is a JSON object."""
        members: dict[str, Any] = json.loads(self.text) if self.text.startswith("{") else {}
        return members

    @property
    def signed_in(self) -> bool:
        return self.status == 200

    def __str__(self) -> str:
        members = self.members
        parts = [f"{self.status} {members.get('user', '')}".rstrip()]
        if members.get("reissued"):
            parts.append("reissued")
        parts.append(self._tokens_as_text())
        return ", ".join(parts)

    def _tokens_as_text(self) -> str:
        if not self.tokens:
            return "no new tokens"
        if not any(self.tokens.values()):
            return "cookies cleared"
        return "new pair" if len(self.tokens) == 2 else f"new {min(self.tokens)} token"


class Client(ABC):
    """Somebody who calls the app with the tokens they hold."""

    def __init__(self, url: str, tokens: Mapping[str, str] | None = None) -> None:
        self.url = url
        self.tokens: dict[str, str] = {} if tokens is None else {**tokens}

    def get(self, path: str = "/me") -> Reply:
        return self._keep(self.send("GET", path))

    def post(self, path: str, **form: str) -> Reply:
        return self._keep(self.send("POST", path, form))

    def send(self, method: str, path: str, form: Mapping[str, str] | None = None) -> Reply:
        """One exchange of which nothing is kept, as if the answer had been lost."""
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=TIMEOUT)
        headers = {"Content-Type": "application/x-www-form-urlencoded", **self._headers()}
        try:
            connection.request(method, path, urlencode(form) if form else None, headers)
            response = connection.getresponse()
            text = response.read().decode()
            return Reply(response.status, text, self._delivered(response))
        finally:
            connection.close()

    def with_only(self, kind: str) -> Self:
        """Somebody who holds a copy of one of the tokens."""
        return type(self)(self.url, {kind: self.tokens[kind]})

    def _keep(self, reply: Reply) -> Reply:
        held = {**self.tokens, **reply.tokens}
        self.tokens = {kind: token for kind, token in held.items() if token}
        return reply

    @abstractmethod
    def _headers(self) -> dict[str, str]:
        """The tokens, on their way to the server."""

    @abstractmethod
    def _delivered(self, response: HTTPResponse) -> dict[str, str]:
        """The tokens in an answer."""


class Browser(Client):
    """Keeps tokens in cookies."""

    def login(self, user: str) -> Reply:
        return self.post("/login", user=user, remember="on")

    def _headers(self) -> dict[str, str]:
        pairs = [f"{COOKIES[kind]}={token}" for kind, token in self.tokens.items()]
        return {"Cookie": "; ".join(pairs)} if pairs else {}

    def _delivered(self, response: HTTPResponse) -> dict[str, str]:
        jar: dict[str, str] = {}
        for line in response.headers.get_all("Set-Cookie", []):
            cookies = SimpleCookie(line).items()
            # Those of other paths are others: they are expired, should there be any.
            jar |= {name: cookie.value for name, cookie in cookies if cookie["path"] == "/"}
        return {kind: jar[name] for kind, name in COOKIES.items() if name in jar}


class Program(Client):
    """Keeps tokens itself: the access token travels as a bearer token (RFC 6750)."""

    REQUEST: ClassVar = {"access": "Authorization", "refresh": "X-Refresh-Token"}
    RESPONSE: ClassVar = {"access": "X-Access-Token", "refresh": "X-Refresh-Token"}

    def login(self, user: str) -> Reply:
        reply = self.post("/token", user=user)
        self.tokens.update((kind, reply.members.get(f"{kind}_token", "")) for kind in self.REQUEST)
        return reply

    def _headers(self) -> dict[str, str]:
        headers = {self.REQUEST[kind]: token for kind, token in self.tokens.items()}
        if "Authorization" in headers:
            headers["Authorization"] = f"Bearer {headers['Authorization']}"
        return headers

    def _delivered(self, response: HTTPResponse) -> dict[str, str]:
        found = {kind: response.getheader(name) for kind, name in self.RESPONSE.items()}
        return {kind: token for kind, token in found.items() if token is not None}
