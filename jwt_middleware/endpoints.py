"""The endpoints the middleware answers itself: renew ahead of time, sign out, our public keys.

The first two are for clients that would rather ask than be served along the way. Everything is
decided as on any other path (S47): the same identification, the same rotation, the same storing
and sending; only the answer is written here, in the terms of RFC 6749 sections 5.1 and 5.2.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from .driver import Asks
from .errors import CrossSiteRequest
from .handle import Parts, RequestAuth
from .publishing import published
from .refusals import Refusal, refuse, refuse_grant, refuse_method, unavailable
from .request import Request
from .transport import Additions, Channel
from .world import key_sources

Endpoint: TypeAlias = Callable[[RequestAuth], Asks[Refusal]]


class Decision(Protocol):
    """What the endpoints need of :mod:`jwt_middleware.flow`."""

    def identify(self, auth: RequestAuth, *, ahead: bool = False) -> Asks[Refusal | None]:
        """Who signs the request; ``ahead``: by its refresh token, whatever else there is."""
        ...

    def respond(
        self,
        auth: RequestAuth,
        status: int | None,
        headers: Sequence[tuple[str, str]],
        now: float,
    ) -> Asks[Additions | Refusal]:
        """What goes out with a response."""
        ...


class Endpoints:
    """The paths of one configuration that no app is asked about."""

    def __init__(self, parts: Parts, decision: Decision) -> None:
        self._decision = decision
        self._csrf = parts.csrf
        self._keys = parts.tokens.own_keys
        settings = parts.settings
        places = (
            (settings.refresh_path, self._refresh),
            (settings.logout_path, self._logout),
            (settings.jwks_path, self._jwks),
        )
        self._places: dict[str, Endpoint] = {path: place for path, place in places if path}
        self.paths: frozenset[str] = frozenset(self._places)

    def at(self, request: Request) -> Endpoint | None:
        """Who answers the request in the app's place; None: the app."""
        return None if request.websocket else self._places.get(request.path)

    def _refresh(self, auth: RequestAuth) -> Asks[Refusal]:
        """New tokens for a good refresh token, however long the access token still lives."""
        request = auth.request
        if request.method != "POST":
            return refuse_method(request, "POST")
        request.brief = True
        refusal = yield from self._decision.identify(auth, ahead=True)
        if refusal is not None:
            return refusal
        if auth.reason is not None:
            return refuse_grant(auth.reason, request, self._csrf.explain(auth.reason, request))
        outcome = yield from self._decision.respond(auth, 200, (), auth.now)
        if isinstance(outcome, Refusal) or outcome.access is None:
            # An outage, or the token of a sibling that is newer: nothing is lost by asking again.
            return unavailable("not_renewed", request)
        return _granted(outcome, auth)

    def _logout(self, auth: RequestAuth) -> Asks[Refusal]:
        """The end of the session of every authentic token that came along, even expired."""
        request = auth.request
        if request.method != "POST":
            return refuse_method(request, "POST")
        yield from self._decision.identify(auth)
        try:
            auth.logout()
        except CrossSiteRequest:
            fault = self._csrf.fault(request, auth.csrf_session) or "csrf"
            return refuse(fault, request, explanation=self._csrf.explain(fault, request))
        outcome = yield from self._decision.respond(auth, 204, (), auth.now)
        if isinstance(outcome, Refusal):
            return outcome
        return Refusal(204, (*outcome.fields, ("Cache-Control", "no-store")), b"")

    def _jwks(self, auth: RequestAuth) -> Asks[Refusal]:
        """The keys our access tokens are verified by; whoever asks."""
        if auth.request.method not in ("GET", "HEAD"):
            return refuse_method(auth.request, "GET", "HEAD")
        yield from key_sources.look(self._keys, now=auth.now)
        return published(self._keys.keys, auth.request)


def _granted(additions: Additions, auth: RequestAuth) -> Refusal:
    """RFC 6749 section 5.1. Where cookies carry the tokens, the body holds none: a script that
    could read one there is what HttpOnly keeps them from."""
    expires_at = auth.parts.tokens.expiry(additions.access or "")
    members: dict[str, Any] = {"token_type": "Bearer", "expires_in": int(expires_at - auth.now)}
    fields: Sequence[tuple[str, str]] = additions.fields
    if auth.channel is not Channel.COOKIES:
        members["access_token"] = additions.access
        if additions.refresh is not None:
            members["refresh_token"] = additions.refresh
        fields = ()
    body = json.dumps(members).encode("ascii")
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        *fields,
    ]
    return Refusal(200, tuple(headers), body)
