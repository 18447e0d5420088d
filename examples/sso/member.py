"""An app that has no passwords: its people sign in at an OpenID provider, and it then has sessions
of its own.

Authlib is the client: it makes state, nonce and PKCE verifier, keeps them in the browser's Flask
session, and refuses an answer that does not fit them. The ID token is read once. From then on the
app's tokens are the middleware's, reissued as everywhere, without asking the provider.
"""

import secrets
from functools import cache

import jwt
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.flask_client import OAuth
from flask import Flask, redirect, request, url_for
from joserfc.errors import JoseError

from jwt_middleware import CrossSiteRequest, JWTAuth, get_auth
from jwt_middleware.wsgi import JWTMiddleware

LOGOUT = "http://schemas.openid.net/event/backchannel-logout"


def make_member(name: str, issuer: str, client_id: str, client_secret: str) -> Flask:
    app = Flask(name)
    app.secret_key = secrets.token_bytes(32)  # Flask's own session: for the time of a sign-in
    app.config["SESSION_COOKIE_NAME"] = "sign_in"
    auth = JWTAuth(
        secret_key=secrets.token_urlsafe(48),
        session_store="memory://",
        check_session="always",  # a logout at the provider counts at once
        csrf_exempt_paths=("/backchannel-logout",),  # the provider calls it, not a browser
        cookie_secure=False,  # plain http, for development
    )
    app.wsgi_app = JWTMiddleware(app.wsgi_app, auth)
    provider = OAuth(app).register(
        "provider",
        server_metadata_url=f"{issuer}/.well-known/openid-configuration",
        client_id=client_id,
        client_secret=client_secret,
        client_kwargs={"scope": "openid", "code_challenge_method": "S256"},
    )

    @cache
    def provider_keys() -> jwt.PyJWKClient:
        return jwt.PyJWKClient(provider.load_server_metadata()["jwks_uri"])

    @app.get("/")
    def index():
        if not get_auth().is_authenticated:
            return f'{name}: <a href="/login">sign in</a> first.', 401
        return f"{name}: you are {get_auth().subject}."

    @app.get("/login")
    def login():
        return provider.authorize_redirect(url_for("callback", _external=True))

    @app.get("/callback")
    def callback():
        try:
            answer = provider.authorize_access_token()
        except (OAuthError, JoseError) as error:
            app.logger.warning("a sign-in was refused (%s)", type(error).__name__)
            return "That sign-in did not begin here, or is over. Try again.", 400
        get_auth().login(answer["userinfo"]["sub"])
        return redirect("/", 303)

    @app.post("/logout")
    def logout():
        get_auth().logout()
        return f"{name}: goodbye. At the provider you are still signed in."

    @app.post("/backchannel-logout")
    def backchannel_logout():
        """OpenID Connect Back-Channel Logout 1.0 section 2.6."""
        token = request.form.get("logout_token", "")
        try:
            key = provider_keys().get_signing_key_from_jwt(token)
            told = jwt.decode(token, key, ["ES256", "RS256"], audience=client_id, issuer=issuer)
        except (jwt.PyJWTError, ValueError):
            return "This is no logout token of ours.", 400
        if LOGOUT not in told.get("events", {}) or "nonce" in told or "sub" not in told:
            return "This is another kind of token.", 400
        auth.revoke_subject(told["sub"])
        return "", 204

    @app.errorhandler(CrossSiteRequest)
    def refuse_cross_site(error: CrossSiteRequest):
        return "This request came from another site.", error.status

    return app
