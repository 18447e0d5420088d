"""Asking a server for its keys, and servers that are slow, wrong, huge, redirecting or down.

The servers are real: sockets of this machine, with TLS and without.
"""

from __future__ import annotations

import datetime
import gzip
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from keychain import jwk, jwk_set, key_for, pem

from jwt_middleware import jwks_http
from jwt_middleware.errors import KeysNotFetched
from jwt_middleware.jwks_http import LARGEST, HttpFetch
from jwt_middleware.keys import Fetched

BODY = jwk_set(jwk(key_for("ES256", 40), kid="1")).encode()
LIMIT = 0.4
"""Seconds, where a test waits for it to pass."""

Serve = Callable[["Connection"], None]


class Connection:
    """One client, as a server that misbehaves sees it."""

    def __init__(self, sock: socket.socket, over: threading.Event) -> None:
        self.sock = sock
        self.over = over

    def head(self) -> str:
        """What was asked."""
        found = b""
        while b"\r\n\r\n" not in found:
            found += self.sock.recv(65536) or b"\r\n\r\n"
        return found.decode("latin-1")

    def send(self, content: bytes) -> None:
        self.sock.sendall(content)

    def drip(self, content: bytes) -> None:
        """A byte now and then: each comes long before any time limit of a single read."""
        for number in range(len(content)):
            self.send(content[number : number + 1])
            if self.over.wait(0.02):
                return


class Server:
    """Listens on this machine and serves each connection by a function, in a thread."""

    def __init__(self, serve: Serve, context: ssl.SSLContext | None = None) -> None:
        self.serve = serve
        self.heads: list[str] = []
        self.over = threading.Event()
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        with self._listener:
            while True:
                sock, _ = self._listener.accept()
                if self.over.is_set():
                    sock.close()
                    break
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        # Clients hang up on us, which is what these tests are about.
        with suppress(OSError):
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
            with sock:
                self.serve(Connection(sock, self.over))

    def url(self, path: str = "/jwks", *, scheme: str = "http", host: str = "localhost") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def close(self) -> None:
        self.over.set()
        with socket.create_connection(("127.0.0.1", self.port)):
            self._thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*arguments: Any) -> Server:
        servers.append(Server(*arguments))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
    assert let_go()


def let_go() -> bool:
    """Whether whoever asked does so no more."""
    asking = [thread for thread in threading.enumerate() if thread.name == "jwks-http"]
    for thread in asking:
        thread.join(20)
    return not any(thread.is_alive() for thread in asking)


def answering(body: bytes = BODY, status: str = "200 OK", **headers: str) -> Serve:
    def serve(connection: Connection) -> None:
        connection.head()
        named = {"Content-Length": str(len(body)), **headers}
        lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items()]
        connection.send(f"HTTP/1.1 {status}\r\n{''.join(lines)}\r\n".encode() + body)

    return serve


def fetch_of(**options: Any) -> HttpFetch:
    return HttpFetch(**{"loopback_http": True, "timeout": 20.0, **options})


def failure(url: str, fetch: HttpFetch | None = None) -> str:
    with pytest.raises(KeysNotFetched) as caught:
        (fetch or fetch_of())(url, None)
    return str(caught.value)


# ── What is asked, and what an answer says ───────────────────────────────────────


def test_keys_are_asked_for(serve: Any) -> None:
    """With the path and query of the URL, and in no compressed form."""
    heads: list[str] = []

    def note(connection: Connection) -> None:
        heads.append(connection.head())
        connection.send(b'HTTP/1.1 200 OK\r\nETag: W/"1"\r\n\r\n' + BODY)

    server = serve(note)
    assert fetch_of()(server.url("/jwks?a=b"), None) == Fetched(BODY, 'W/"1"', None)
    assert fetch_of()(server.url(""), '"0"').content == BODY
    assert heads[0].startswith("GET /jwks?a=b HTTP/1.1\r\n")
    assert f"Host: localhost:{server.port}\r\n" in heads[0]
    assert "Accept-Encoding: identity\r\n" in heads[0]
    assert "If-None-Match" not in heads[0]
    assert heads[1].startswith("GET / HTTP/1.1\r\n")
    assert 'If-None-Match: "0"\r\n' in heads[1]


def test_what_has_not_changed(serve: Any) -> None:
    """A 304 brings no content, and a new time."""
    server = serve(answering(b"", "304 Not Modified", ETag='"1"', Cache_Control="max-age=5"))
    assert fetch_of()(server.url(), '"1"') == Fetched(None, '"1"', 5.0)


@pytest.mark.parametrize(
    ("headers", "max_age"),
    [
        ({}, None),
        ({"Cache_Control": "public, max-age=300"}, 300.0),
        ({"Cache_Control": 'MAX-AGE="300"'}, 300.0),
        ({"Cache_Control": "max-age=300", "Age": "100"}, 200.0),
        ({"Cache_Control": "max-age=300", "Age": "1000"}, 0.0),
        ({"Cache_Control": "max-age=300", "Age": "-5"}, 300.0),
        ({"Cache_Control": "s-maxage=300"}, None),
        ({"Cache_Control": "max-age=soon"}, None),
        ({"Cache_Control": f"max-age={'9' * 400}"}, float(2**31)),
        ({"Cache_Control": f"max-age={'9' * 400}", "Age": "5"}, float(2**31 - 5)),
        ({"Cache_Control": "max-age=300", "Age": "9" * 5000}, 0.0),
        ({"Cache_Control": "no-cache, max-age=300"}, 0.0),
        ({"Cache_Control": "no-store"}, 0.0),
        ({"Age": "5"}, None),
    ],
    ids=range(14),
)
def test_how_long_an_answer_is_fresh(
    serve: Any, headers: dict[str, str], max_age: float | None
) -> None:
    """As RFC 9111 has it for a cache that serves one client; what makes no sense says nothing."""
    assert fetch_of()(serve(answering(BODY, **headers)).url(), None).max_age == max_age


def test_an_endless_tag_is_not_remembered(serve: Any) -> None:
    """It would be sent with every request."""
    assert fetch_of()(serve(answering(ETag='"' + "x" * 2000 + '"')).url(), None).etag is None


# ── Answers that are none ────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "300 Many"])
def test_no_redirect_is_followed(serve: Any, status: str) -> None:
    """Not even to the same server: who configured the address has to say where the keys are."""
    asked: list[str] = []

    def redirect(connection: Connection) -> None:
        asked.append(connection.head().split(" ", 2)[1])
        head = f"HTTP/1.1 {status}\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
        connection.send(head.encode())

    assert "no redirect is followed" in failure(serve(redirect).url())
    assert asked == ["/jwks"]


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oh", "204 No Content", "206 Partial"])
def test_only_200_counts(serve: Any, status: str) -> None:
    """Whatever comes with another status is no key set."""
    assert f"answered {status[:3]}" in failure(serve(answering(status=status)).url())


def test_an_answer_of_a_mebibyte_is_the_largest(serve: Any) -> None:
    """Announced or not; no more than that is read."""
    exact = b"x" * LARGEST
    assert fetch_of()(serve(answering(exact)).url(), None).content == exact
    assert "more than 1048576 bytes" in failure(serve(answering(exact + b"x")).url())

    def endless(connection: Connection) -> None:
        connection.head()
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while not connection.over.is_set():
            connection.send(exact)

    assert "more than 1048576 bytes" in failure(serve(endless).url())


def test_nothing_compressed_is_read(serve: Any) -> None:
    """A few bytes could unfold to gigabytes."""
    packed = answering(gzip.compress(BODY), Content_Encoding="gzip")
    assert "compressed" in failure(serve(packed).url())


BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a long line": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 200 + b"\r\n",
    "no number": b"HTTP/1.1 abc OK\r\n\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_http(serve: Any, name: str) -> None:
    """Is a failure like others, and no exception of somebody else's."""  # S14

    def broken(connection: Connection) -> None:
        connection.head()
        connection.send(BROKEN[name])

    assert "cannot be asked" in failure(serve(broken).url())


def test_a_server_that_is_down() -> None:
    """The reason is told."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert "Connection refused" in failure(f"http://127.0.0.1:{port}/")


# ── Servers that take their time ─────────────────────────────────────────────────


def silent(connection: Connection) -> None:
    connection.head()
    connection.over.wait(30)


def dripping_head(connection: Connection) -> None:
    connection.drip(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 60_000)


def dripping_body(connection: Connection) -> None:
    connection.head()
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    connection.drip(b"x" * 100_000)


SLOW: dict[str, Serve] = {"silent": silent, "head": dripping_head, "body": dripping_body}


def held_up(url: str, **options: Any) -> float:
    began = time.monotonic()
    assert f"within {LIMIT:g} seconds" in failure(url, fetch_of(timeout=LIMIT, **options))
    return time.monotonic() - began


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_limit_is_for_the_whole(serve: Any, tls: Any, name: str, scheme: str) -> None:
    """A byte now and then does not stretch it, and the connection is let go."""
    server = serve(SLOW[name], tls.server if scheme == "https" else None)
    # Whatever the machine is busy with: a drip would take minutes.
    assert held_up(server.url(scheme=scheme), context=tls.client) < 20
    assert let_go()


def test_a_slow_handshake_is_within_the_limit(serve: Any, tls: Any) -> None:
    """A server that begins TLS and sends its part in single bytes."""

    def handshake(connection: Connection) -> None:
        connection.sock.recv(65536)
        connection.drip(b"\x16\x03\x03\x40\x00" + b"\x02" * 16_000)

    assert held_up(serve(handshake).url(scheme="https"), context=tls.client) < 20
    assert let_go()


def test_a_single_wait_may_be_the_whole_limit(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket and whoever waits for the whole may give up in either order."""
    monkeypatch.setattr(threading.Event, "wait", _late_wait)
    assert held_up(serve(silent).url()) < 20


_wait = threading.Event.wait


def _late_wait(event: threading.Event, seconds: float | None = None) -> bool:
    return _wait(event, 20.0 if seconds == LIMIT else seconds)


def test_a_slow_name_server_is_within_the_limit(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can stop a look-up, so it is left to itself; what it finds too late is not used."""
    asked: list[str] = []

    def note(connection: Connection) -> None:
        asked.append(connection.head())

    server, found = serve(note), threading.Event()
    look_up = socket.getaddrinfo

    def slow(*arguments: Any, **options: Any) -> Any:
        assert found.wait(30)
        return look_up(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    assert held_up(server.url()) < 20
    found.set()
    assert let_go()
    assert asked in ([], ["\r\n\r\n"]), "nothing was asked"


# ── Only https ───────────────────────────────────────────────────────────────────


class Tls:
    """A server's certificate, and clients that trust it."""

    def __init__(self, folder: Path) -> None:
        key, now = key_for("ES256", 50), datetime.datetime.now(datetime.UTC)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.2"))]
                ),
                critical=False,
            )
            .sign(key, hashes.SHA256())
        )
        text = certificate.public_bytes(Encoding.PEM).decode()
        file = folder / "server.pem"
        file.write_text(text + pem(key))
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(file)
        self.client = ssl.create_default_context(cadata=text)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return Tls(tmp_path_factory.mktemp("tls"))


def test_keys_come_by_https(serve: Any, tls: Tls) -> None:
    """From whoever can show a certificate for that name, which somebody trusted has signed."""
    server = serve(answering(), tls.server)
    asks = fetch_of(context=tls.client, loopback_http=False)
    assert asks(server.url(scheme="https"), None).content == BODY
    assert "cannot be asked" in failure(server.url(scheme="https", host="127.0.0.1"), asks)
    assert "cannot be asked" in failure(server.url(scheme="https"), HttpFetch())


@pytest.mark.parametrize("url", ["http://localhost:1/", "ftp://localhost:1/", "file:///etc/passwd"])
def test_nothing_else_is_asked(url: str) -> None:
    """Unless http on this machine is allowed by name."""
    assert "only https" in failure(url, HttpFetch())


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://[2001:db8::5:8080]/jwks", ("2001:db8::5:8080", 443)),
        ("https://[2001:db8::5]:8443/jwks", ("2001:db8::5", 8443)),
        ("http://[::1]/jwks", ("::1", 80)),
        ("http://localhost:0/jwks", ("localhost", 0)),
        ("https://keys.example/jwks", ("keys.example", 443)),
    ],
)
def test_an_address_is_asked_as_a_whole(
    url: str, asked: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of an IPv6 address is no port: nobody else is asked than who is named."""
    looked_up: list[Any] = []

    def nobody(*arguments: Any, **_options: Any) -> Any:
        looked_up.append(arguments[:2])
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    failure(url, HttpFetch(loopback_http=True))
    assert looked_up == [asked]


def test_http_never_leaves_this_machine() -> None:
    """Where a name leads is looked at after connecting."""

    class Elsewhere:
        def getpeername(self) -> tuple[str, int]:
            return ("192.0.2.1", 80)

    sock: Any = Elsewhere()
    with pytest.raises(KeysNotFetched, match="led elsewhere"):
        jwks_http._check_loopback(sock)


def test_a_connection_that_never_was_is_let_go() -> None:
    """There is nobody to hang up on."""
    jwks_http._hang_up(None)
    with socket.socket() as unconnected:
        jwks_http._hang_up(unconnected)
    assert unconnected.fileno() == -1
