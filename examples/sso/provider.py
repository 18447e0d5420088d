"""A small OpenID provider: it knows who people are, and tells the apps that are registered.

Authorization code flow with PKCE (OpenID Connect Core 1.0 section 3.1, RFC 7636), ID tokens by
ES256, and logout over the back channel. People's own session here is the middleware's, like any
app's.
"""

import hashlib
import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from flask import Flask, redirect, render_template_string, request
from jwt.algorithms import ECAlgorithm
from werkzeug.security import check_password_hash, generate_password_hash

from jwt_middleware import CrossSiteRequest, Settings, get_auth
from jwt_middleware.wsgi import JWTMiddleware

USERS = {"alice": generate_password_hash("wonderland"), "bob": generate_password_hash("builder")}
NOBODY = generate_password_hash("")  # so that an unknown name takes as long as a wrong password
CODE_LIFE = 60  # seconds: a code is exchanged at once, or never
LOGOUT = "http://schemas.openid.net/event/backchannel-logout"

PAGE = """\
<!doctype html><title>Sign in</title>
<form method="post">
  <input name="name" autofocus> <input name="password" type="password"> <button>Sign in</button>
</form>
"""


@dataclass(frozen=True)
class Client:
    """A registered app. Codes go to its one address, compared character by character."""

    id: str
    secret: str
    redirect_uri: str
    logout_uri: str


STRANGER = Client("", "", "", "")
"""Whoever is not registered."""


@dataclass(frozen=True)
class Grant:
    """What a code stands for, until it is exchanged."""

    subject: str
    client: Client
    challenge: str
    nonce: str
    expires_at: float

    def fits(self, client: Client, redirect_uri: str, verifier: str) -> bool:
        """It is for this app at this address, which began the sign-in itself (RFC 6749 section
        4.1.3, RFC 7636 section 4.6)."""
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = urlsafe_b64encode(digest).rstrip(b"=").decode()
        its_own = (self.client, self.challenge) == (client, challenge)
        return its_own and redirect_uri == client.redirect_uri and time.time() <= self.expires_at


def fault_in(asked: Mapping[str, str], client: Client) -> str | None:
    """Why a question is not answered. It is told on the spot: nobody is sent anywhere."""
    if client is STRANGER or asked.get("redirect_uri") != client.redirect_uri:
        return "This app is not registered here."
    if asked.get("code_challenge_method") != "S256" or not asked.get("nonce"):
        return "This app must ask with PKCE (S256) and a nonce."
    return None


def app_that_asks(clients: Mapping[str, Client]) -> Client | None:
    """The app itself, by its id and secret (RFC 6749 section 2.3.1)."""
    basic = request.authorization
    if basic is None or basic.username is None or basic.password is None:
        return None
    client = clients.get(basic.username)
    # As bytes: text that is not ASCII cannot be compared.
    known = client and hmac.compare_digest(client.secret.encode(), basic.password.encode())
    return client if known else None


def check_password(name: str, password: str) -> bool:
    return check_password_hash(USERS.get(name, NOBODY), password)


# Its views are inside it, and their paths are counted as its own.
def make_provider(issuer: str, clients: dict[str, Client]) -> Flask:  # noqa: C901
    app = Flask("provider")
    settings = Settings(
        secret_key=secrets.token_urlsafe(48),
        session_store="memory://",
        cookie_secure=False,  # plain http, for development
    )
    app.wsgi_app = JWTMiddleware(app.wsgi_app, settings)
    key = ec.generate_private_key(ec.SECP256R1())
    grants: dict[str, Grant] = {}

    def signed(claims: dict, typ: str = "JWT") -> str:
        now = int(time.time())
        claims = {"iss": issuer, "iat": now, "exp": now + 120, **claims}
        return jwt.encode(claims, key, "ES256", headers={"kid": "1", "typ": typ})

    @app.get("/.well-known/openid-configuration")
    def configuration():
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "code_challenge_methods_supported": ["S256"],
        }

    @app.get("/jwks")
    def jwks():
        public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": "1", "use": "sig", "alg": "ES256"}]}

    @app.route("/authorize", methods=["GET", "POST"])
    def authorize():
        asked = request.args
        client = clients.get(asked.get("client_id", ""), STRANGER)
        if fault := fault_in(asked, client):
            return fault, 400
        if request.method == "POST":
            if not check_password(request.form["name"], request.form["password"]):
                return "Name and password do not match.", 401
            get_auth().login(request.form["name"])
        subject = get_auth().subject
        if subject is None:
            return render_template_string(PAGE)
        code = secrets.token_urlsafe(32)
        until = time.time() + CODE_LIFE
        grants[code] = Grant(subject, client, asked["code_challenge"], asked["nonce"], until)
        back = urlencode({"code": code, "state": asked.get("state", "")})
        return redirect(f"{client.redirect_uri}?{back}", 303)

    @app.post("/token")
    def token():
        client = app_that_asks(clients)
        if client is None:
            return {"error": "invalid_client"}, 401
        grant = grants.pop(request.form.get("code", ""), None)  # whatever follows, it is spent
        form = request.form
        presented = client, form.get("redirect_uri", ""), form.get("code_verifier", "")
        if grant is None or not grant.fits(*presented):
            return {"error": "invalid_grant"}, 400
        claims = {"sub": grant.subject, "aud": client.id, "nonce": grant.nonce}
        return {
            "token_type": "Bearer",
            "access_token": secrets.token_urlsafe(32),  # opens nothing: there is no API here
            "expires_in": 120,
            "id_token": signed(claims),
        }

    @app.post("/logout")
    def logout():
        subject = get_auth().subject
        if subject is None:
            return "Sign in first.", 401
        get_auth().logout_everywhere()
        for code, grant in list(grants.items()):
            if grant.subject == subject:
                grants.pop(code, None)  # a sign-in under way ends, too
        for client in clients.values():
            claims = {"aud": client.id, "sub": subject, "jti": secrets.token_urlsafe(16)}
            told = signed({**claims, "events": {LOGOUT: {}}}, "logout+jwt")
            try:
                requests.post(client.logout_uri, {"logout_token": told}, timeout=5)
            except requests.RequestException:
                # It keeps its sessions until they end. A provider for real users tries again.
                app.logger.warning("%s was not told of a logout", client.id)
        return "Goodbye, everywhere."

    @app.errorhandler(CrossSiteRequest)
    def refuse_cross_site(error: CrossSiteRequest):
        return "This request came from another site.", error.status

    return app
