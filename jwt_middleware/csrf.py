"""Did another site cause this request? (the ``"origin"`` policy)

Browsers attach cookies to requests that other sites cause. They also say where a request
comes from, in ``Origin`` and ``Sec-Fetch-Site``, which scripts cannot set. That is enough
for a verdict without any token in forms, and it is reached before anything is rotated.

A client that sends neither header is no browser: nobody can ride on its cookies.
"""

from __future__ import annotations

from .request import PathRules, Request
from .settings import Settings

_DEFAULT_PORTS = {"https": ":443", "http": ":80"}


class OriginPolicy:
    """Judges unsafe methods and WebSocket handshakes by their origin."""

    def __init__(self, settings: Settings) -> None:
        self._enabled = settings.csrf != "off"
        self._trusted = frozenset(origin.lower() for origin in settings.trusted_origins)
        self._exempt = PathRules(settings.csrf_exempt_paths)

    def refuses(self, request: Request) -> bool:
        """True if another site may have caused it, and it may change something."""
        if not self._enabled or not request.unsafe or self._exempt.match(request):
            return False
        origin = request.header("origin")
        if origin is not None and origin.lower() in self._trusted:
            return False
        site = request.header("sec-fetch-site")
        if site is not None:
            # The browser has compared the origins itself; "none": typed in by the user.
            return site not in ("same-origin", "none")
        if origin is not None:
            return not _names_host(origin, request.header("host"))
        return False


def _names_host(origin: str, host: str | None) -> bool:
    """Host and port are equal. The scheme may differ: TLS often ends at a proxy."""
    scheme, separator, netloc = origin.lower().partition("://")
    port = _DEFAULT_PORTS.get(scheme)
    if not separator or port is None or not host:
        return False
    name = netloc.removesuffix(port)
    return name != "" and name == host.lower().removesuffix(port)
