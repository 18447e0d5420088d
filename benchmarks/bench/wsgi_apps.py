"""WSGI apps that answer one line: bare, behind our middleware, and as others do it."""

from __future__ import annotations

import time
from typing import Any

import jwt
from flask import Flask, jsonify
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    get_jwt_identity,
    jwt_required,
    set_access_cookies,
)
from werkzeug.http import parse_cookie

from jwt_middleware import JWTAuth, Settings, TokenPair

SECRET = "a secret of the benchmark, 32 bytes and more"  # noqa: S105  # guards nothing
LINE = b"hello"
CLAIMS = {"roles": ["admin"], "email": "alice@example.com"}
"""What an app usually puts into a token: about 400 characters in all."""

COOKIE = "access_token"


def bare(_: Any, start_response: Any) -> list[bytes]:
    """An app that does nothing else: what is measured is what is put around it."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [LINE]


def our_auth(**settings: Any) -> JWTAuth:
    """Defaults, but for a store of this process."""
    ours: dict[str, Any] = {"secret_key": SECRET, "session_store": "memory://", **settings}
    return JWTAuth(Settings(**ours))


def our_cookies(auth: JWTAuth, pair: TokenPair) -> str:
    """The Cookie field of a browser that has just signed in."""
    names = auth.settings.access_cookie, auth.settings.refresh_cookie
    return f"{names[0]}={pair.access_token}; {names[1]}={pair.refresh_token}"


def plain_token() -> str:
    """What a plain middleware would have issued."""
    now = int(time.time())
    claims = {"sub": "alice", "iat": now, "exp": now + 900, "jti": "x" * 12, **CLAIMS}
    return jwt.encode(claims, SECRET)


def plain_middleware(app: Any) -> Any:
    """The dozen lines that people write themselves: parse the cookie, decode the token."""

    def middleware(environ: Any, start_response: Any) -> Any:
        token = parse_cookie(environ.get("HTTP_COOKIE", "")).get(COOKIE, "")
        try:
            environ["jwt.claims"] = jwt.decode(token, SECRET, algorithms=["HS256"])
        except jwt.InvalidTokenError:
            environ["jwt.claims"] = None
        return app(environ, start_response)

    return middleware


def _hello() -> str:
    return "hello"


def bare_flask() -> Flask:
    """Flask with one view."""
    app = Flask("bare")
    app.add_url_rule("/", view_func=_hello)
    return app


def flask_jwt_extended(algorithm: str = "HS256", **keys: Any) -> tuple[Flask, str, str]:
    """flask-jwt-extended as its documentation has it, with cookies; and the Cookie field of a
    browser that has signed in, and that of one about to ask for new tokens."""
    app = Flask("flask_jwt_extended")
    app.config.update(
        JWT_SECRET_KEY=SECRET,
        JWT_ALGORITHM=algorithm,
        JWT_TOKEN_LOCATION=["cookies"],
        # Its check of a header and a claim; ours has one, too, which a GET never meets.
        JWT_COOKIE_CSRF_PROTECT=False,
        **keys,
    )
    JWTManager(app)
    app.add_url_rule("/", view_func=jwt_required()(_hello))

    @jwt_required(refresh=True)
    def refresh() -> Any:
        answer = jsonify(refreshed=True)
        set_access_cookies(
            answer, create_access_token(get_jwt_identity(), additional_claims=CLAIMS)
        )
        return answer

    app.add_url_rule("/refresh", view_func=refresh, methods=["POST"])
    with app.app_context():
        access = create_access_token("alice", additional_claims=CLAIMS)
        refresh_token = create_refresh_token("alice")
    both = f"access_token_cookie={access}; refresh_token_cookie={refresh_token}"
    return app, both, f"refresh_token_cookie={refresh_token}"
