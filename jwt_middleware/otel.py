"""OpenTelemetry: requests, reissues and refusals counted, and the current span told.

    telemetry = Telemetry()
    auth = telemetry.watch(JWTAuth(Settings.from_env(), on_event=telemetry.on_event))
    app = JWTMiddleware(app, auth)

Needs the extra ``otel``, which is OpenTelemetry's API alone: where numbers go is the app's affair.
What is counted is read off the decision, which both doors share. Nobody is named unless asked for.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping

from .auth import JWTAuth
from .driver import Asks
from .errors import ConfigurationError
from .events import Event, EventHook
from .flow import Arrival, Flow
from .handle import Parts, RequestAuth
from .keys import Fetched, FetchKeys
from .request import Request

try:
    from opentelemetry import metrics, trace
except ModuleNotFoundError as _missing:
    raise ConfigurationError(
        "jwt_middleware.otel needs OpenTelemetry: pip install 'jwt-session-middleware[otel]'"
    ) from _missing

_TOKENS_SENT = frozenset(("reissued", "replayed", "lost_response"))


class Telemetry:
    """Counters of one meter, and attributes for the span that is current when a request arrives.

    on_event:
        The app's own hook, which is told every `Event`, too.
    session_id:
        Whether spans carry the session's id, as ``session.id``.
    subject_key:
        At least 16 bytes; spans then carry a keyed hash of the issuer and subject, as
        ``enduser.pseudo.id``.
    meter_provider:
        OpenTelemetry's global one by default.

    Raises `ConfigurationError` for a key that is too short to hide anybody.
    """

    def __init__(
        self,
        *,
        on_event: EventHook | None = None,
        session_id: bool = False,
        subject_key: bytes | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        if subject_key is not None and len(subject_key) < 16:
            raise ConfigurationError(
                "subject_key needs at least 16 bytes: subjects could be guessed from their hashes. "
                "Take secrets.token_bytes(32), and keep it where your secrets are"
            )
        self._on_event = on_event
        self._session_id = session_id
        self._subject_key = subject_key
        self._watched: list[JWTAuth] = []
        meter = metrics.get_meter("jwt_middleware", meter_provider=meter_provider)
        self._requests = meter.create_counter(
            "jwt_middleware.requests", "{request}", "Requests, by what was decided at arrival"
        )
        self._refusals = meter.create_counter(
            "jwt_middleware.refusals", "{request}", "Requests that did not reach the app, by reason"
        )
        self._reissues = meter.create_counter(
            "jwt_middleware.reissues", "{response}", "Responses with new tokens, by cause"
        )
        self._events = meter.create_counter(
            "jwt_middleware.events", "{event}", "Security events, by name and reason"
        )
        self._closings = meter.create_counter(
            "jwt_middleware.closings", "{connection}", "Open WebSockets that were closed, by reason"
        )
        self._key_fetches = meter.create_counter(
            "jwt_middleware.key_fetches", "{fetch}", "Times an issuer was asked for its keys"
        )
        meter.create_observable_counter(
            "jwt_middleware.token_cache",
            [self._look_at_caches],
            "{lookup}",
            "Access tokens that were known already (hit), or had to be verified (miss)",
        )

    def watch(self, auth: JWTAuth) -> JWTAuth:
        """The same ``auth``, its requests counted from now on; do this before an app is wrapped
        with it. Raises `ConfigurationError` if it is watched already."""
        if isinstance(auth.flow, _WatchedFlow):
            raise ConfigurationError("this JWTAuth is watched already: it would be counted twice")
        auth.flow = _WatchedFlow(auth.flow.parts, self)
        self._watched.append(auth)
        return auth

    def on_event(self, event: Event) -> None:
        """Count an event, then hand it on; to be given to `JWTAuth` as its ``on_event``."""
        reason = {} if event.reason is None else {"reason": event.reason}
        self._events.add(1, {"event": event.name, **reason})
        if event.name in _TOKENS_SENT:
            self._reissues.add(1, {"cause": event.name})
        if self._on_event is not None:
            self._on_event(event)

    def counting(self, fetch: FetchKeys) -> FetchKeys:
        """The same ``fetch``, its calls counted; to be given to `JWTAuth` as its ``fetch_keys``."""

        def counted(url: str, etag: str | None) -> Fetched:
            outcome = "failed"
            try:
                fetched = fetch(url, etag)
                outcome = "unchanged" if fetched.content is None else "fetched"
            finally:
                self._key_fetches.add(1, {"outcome": outcome})
            return fetched

        return counted

    def decided(self, auth: RequestAuth, verdict: str, reason: str | None) -> None:
        """Count a request, and tell the current span what was decided about it."""
        self._requests.add(1, {"verdict": verdict})
        if verdict == "refused":
            self._refusals.add(1, {"reason": reason or "unknown"})
        span = trace.get_current_span()
        if not span.is_recording():
            return
        span.set_attribute("jwt_middleware.verdict", verdict)
        if reason is not None:
            span.set_attribute("jwt_middleware.reason", reason)
        if auth.reissue is not None:
            span.set_attribute("jwt_middleware.rotation", auth.reissue.row.name)
        span.set_attributes(self._identity(auth))

    def closed(self, reason: str | None) -> None:
        """Count an open connection that had to end, and tell its span."""
        self._closings.add(1, {"reason": reason or "unknown"})
        trace.get_current_span().set_attribute("jwt_middleware.closed", reason or "unknown")

    def _identity(self, auth: RequestAuth) -> Mapping[str, str]:
        """Who it is, as far as the app has asked for it."""
        attributes: dict[str, str] = {}
        if self._session_id and auth.session_id is not None:
            attributes["session.id"] = auth.session_id
        if self._subject_key is not None and auth.subject is not None:
            # A subject is one person only together with its issuer.
            who = f"{auth.issuer or ''}\n{auth.subject}".encode("utf-8", "surrogatepass")
            attributes["enduser.pseudo.id"] = hmac.digest(self._subject_key, who, "sha256").hex()
        return attributes

    def _look_at_caches(self, _options: metrics.CallbackOptions) -> Iterator[metrics.Observation]:
        known = [auth.cache_info for auth in self._watched]
        yield metrics.Observation(sum(info.hits for info in known), {"result": "hit"})
        yield metrics.Observation(sum(info.misses for info in known), {"result": "miss"})


class _WatchedFlow(Flow):
    """The same decision, which says at the end of phase A what it was."""

    def __init__(self, parts: Parts, telemetry: Telemetry) -> None:
        super().__init__(parts)
        self._telemetry = telemetry

    def glance(self, request: Request, now: float) -> RequestAuth | None:
        auth = super().glance(request, now)
        if auth is not None:
            self._telemetry.decided(auth, _verdict(auth), None)
        return auth

    def arrive(self, request: Request, now: float) -> Asks[Arrival]:
        arrival = yield from super().arrive(request, now)
        auth = arrival.auth
        verdict, reason = _verdict(auth), auth.reason
        if arrival.refusal is not None:
            if self._endpoints.at(request) is not None:
                verdict = "answered"
            else:
                verdict, unmet = "refused", self._unmet(auth)
                reason = reason if unmet is None else unmet.reason
        self._telemetry.decided(auth, verdict, reason)
        return arrival

    def closed(self, auth: RequestAuth) -> None:
        self._telemetry.closed(auth.reason)


def _verdict(auth: RequestAuth) -> str:
    """What was decided about a request that goes on to the app."""
    if auth.closed == "ignored":
        return "ignored"
    if auth.claims is None:
        return "anonymous"
    return "valid" if auth.reissue is None else "refresh"
