"""An auth server on this machine: it signs tokens, and publishes its keys and its configuration."""

from __future__ import annotations

import json
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self

from keychain import jwk, jwk_set, key_for, sign


class AuthServer:
    """Its keys are numbers: a test says which are published, and which one signs."""

    def __init__(self, *published: int) -> None:
        self.published = published
        self.signs = published[0]
        self.asked = 0
        """How often the keys were asked for."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://localhost:{self._server.server_port}"
        self.jwks_url = f"{self.url}/jwks"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def token(self, now: float, kid: object = None, **claims: Any) -> str:
        """For ``alice`` at ``api``, for 15 minutes; ``kid``: what it says of its key."""
        base = {"iss": self.url, "aud": "api", "sub": "alice", "iat": now, "exp": now + 900}
        named = str(self.signs if kid is None else kid)
        return sign(key_for("EdDSA", self.signs), {**base, **claims}, kid=named)

    def document(self, path: str) -> str:
        if path == "/.well-known/openid-configuration":
            return json.dumps({"issuer": self.url, "jwks_uri": self.jwks_url})
        self.asked += 1
        return jwk_set(*(jwk(key_for("EdDSA", one), kid=str(one)) for one in self.published))


def _handler(auth_server: AuthServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = auth_server.document(self.path).encode()
            tag = f'"{sha256(content).hexdigest()}"'
            unchanged = self.headers["If-None-Match"] == tag
            self.send_response(304 if unchanged else 200)
            self.send_header("ETag", tag)
            self.send_header("Cache-Control", "max-age=600")
            self.end_headers()
            if not unchanged:
                self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
            """Nothing."""

    return Handler
