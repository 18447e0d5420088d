"""Asks a server for the keys it publishes: https, one address, one answer, within limits.

Whoever can change keys on their way can sign tokens, and whoever answers decides how long and
how much. So there is no redirect, no proxy, no more than `LARGEST`, and a limit for the whole,
which looking up a name, a handshake or an answer in single bytes cannot stretch.

It is for callers that may block. To ask in another way (a proxy, a client certificate), give
`JWTAuth` a function of your own (`jwt_middleware.keys.FetchKeys`).
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ipaddress import ip_address
from socket import SHUT_RDWR, socket
from threading import Event, Thread
from urllib.parse import urlsplit

from werkzeug.datastructures import ResponseCacheControl
from werkzeug.http import parse_cache_control_header

from .errors import KeysNotFetched
from .keys import Fetched

LARGEST = 1_048_576
"""The longest answer that is read, in bytes."""

LONGEST_ETAG = 1024
"""A longer entity tag is not remembered."""

LONGEST_AGE = 2**31
"""Seconds: what any larger number stands for (RFC 9111 section 1.2.2)."""

_HEADERS = {
    "Accept": "application/jwk-set+json, application/json",
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": "jwt-session-middleware",
}


class HttpFetch:
    """A `FetchKeys` by the standard library.

    timeout:
        Seconds for the whole, from the name's look-up to the last byte.
    loopback_http:
        Whether http will do for this machine itself; to be turned on for development alone.
    context:
        Whom to believe that they are who they say; the system's certificate authorities,
        or those of ``SSL_CERT_FILE``, unless given.
    """

    def __init__(
        self,
        *,
        timeout: float = 5.0,
        loopback_http: bool = False,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._timeout = timeout
        self._loopback_http = loopback_http
        self._context = context

    def __call__(self, url: str, etag: str | None) -> Fetched:
        """Raises `KeysNotFetched`."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        connection: HTTPConnection | None = None
        # Never None: the end of an IPv6 address would be taken for the port.
        port = {"https": 443, "http": 80}.get(parts.scheme, 0) if parts.port is None else parts.port
        if parts.scheme == "https":
            context = self._context or ssl.create_default_context()
            connection = HTTPSConnection(host, port, timeout=self._timeout, context=context)
        elif parts.scheme == "http" and self._loopback_http:
            connection = HTTPConnection(host, port, timeout=self._timeout)
        if connection is None:
            raise KeysNotFetched("only https is asked for keys")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = _HEADERS if etag is None else {**_HEADERS, "If-None-Match": etag}
        return _Exchange(connection, target, headers).within(self._timeout)


class _Exchange:
    """One question and its answer, in a thread, as nothing else can give up on a name server."""

    def __init__(self, connection: HTTPConnection, target: str, headers: dict[str, str]) -> None:
        self._connection = connection
        self._target = target
        self._headers = headers
        self._answer: Fetched | None = None
        self._failure: KeysNotFetched | None = None
        self._ended = Event()
        self._given_up = False

    def within(self, seconds: float) -> Fetched:
        """The answer. Raises `KeysNotFetched`."""
        Thread(target=self._run, name="jwks-http", daemon=True).start()
        late = KeysNotFetched(f"the server has not answered in full within {seconds:g} seconds")
        if not self._ended.wait(seconds):
            self._given_up = True
            _hang_up(self._connection.sock)
            raise late
        if self._answer is None:
            raise self._failure or late
        return self._answer

    def _run(self) -> None:
        try:
            self._answer = self._ask()
        except KeysNotFetched as failure:
            self._failure = failure
        except TimeoutError:
            pass  # a single wait took as long as the whole may
        except (OSError, HTTPException, ValueError) as failure:
            reason = getattr(failure, "strerror", None) or type(failure).__name__
            self._failure = KeysNotFetched(f"the server cannot be asked: {reason}")
        finally:
            self._connection.close()
            self._ended.set()

    def _ask(self) -> Fetched:
        connection = self._connection
        connection.connect()
        if self._given_up:
            raise KeysNotFetched("the connection came too late")
        if not isinstance(connection, HTTPSConnection):
            _check_loopback(connection.sock)
        connection.request("GET", self._target, headers=self._headers)
        with connection.getresponse() as response:
            return _read(response)


def _hang_up(sock: socket | None) -> None:
    """Wake up whoever waits for the other side; what it has not sent by now is not wanted."""
    if sock is not None:
        # Not SSLSocket's own, which would take the cipher away from under the reader.
        with suppress(OSError):  # it is closed already
            socket.shutdown(sock, SHUT_RDWR)


def _check_loopback(sock: socket) -> None:
    """A name may lead anywhere, "localhost" too. Raises `KeysNotFetched`."""
    if not ip_address(sock.getpeername()[0]).is_loopback:
        raise KeysNotFetched("http is for this machine alone, and the name led elsewhere")


def _read(response: HTTPResponse) -> Fetched:
    if 300 <= response.status < 400 and response.status != 304:
        raise KeysNotFetched(
            f"the server answered {response.status}, and no redirect is followed; "
            "configure the address where the keys are"
        )
    if response.status not in (200, 304):
        raise KeysNotFetched(f"the server answered {response.status}")
    etag = response.getheader("ETag")
    if etag is not None and len(etag) > LONGEST_ETAG:
        etag = None
    content = None if response.status == 304 else _content(response)
    return Fetched(content, etag, _max_age(response))


def _content(response: HTTPResponse) -> bytes:
    if response.getheader("Content-Encoding", "identity").lower() != "identity":
        raise KeysNotFetched("the answer is compressed, which was not asked for")
    content = response.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise KeysNotFetched(f"the answer has more than {LARGEST} bytes")
    return content


def _max_age(response: HTTPResponse) -> float | None:
    """How much longer the answer is fresh (RFC 9111 section 4.2), for a cache of our own."""
    directives = response.getheader("Cache-Control", "").lower()  # they have no case
    control = parse_cache_control_header(directives, cls=ResponseCacheControl)
    if control.no_store or control.no_cache:
        return 0.0
    if control.max_age is None:
        return None
    age = response.getheader("Age", "0")
    passed = min(int(age[:20]), LONGEST_AGE) if age.isdecimal() else 0
    return float(max(0, min(control.max_age, LONGEST_AGE) - passed))
