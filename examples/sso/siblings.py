"""Two apps under one parent domain, one session: sign in at the shop, and the news knows you.

    python -m examples.sso.siblings

The cookies are for example.test and every host below it, so a browser sends them to both. The apps
have the same secret and the same sessions; nothing else ties them together.
"""

import argparse
import secrets
import tempfile
import threading
from pathlib import Path

from flask import Flask, request
from werkzeug.security import check_password_hash, generate_password_hash
from werkzeug.serving import make_server

from jwt_middleware import CrossSiteRequest, Settings, get_auth
from jwt_middleware.wsgi import JWTMiddleware

DOMAIN = "example.test"
USERS = {"alice": generate_password_hash("wonderland")}
NOBODY = generate_password_hash("")  # so that an unknown name takes as long as a wrong password


def make_app(name: str, settings: Settings) -> Flask:
    app = Flask(name)
    app.wsgi_app = JWTMiddleware(app.wsgi_app, settings)

    @app.get("/")
    def index():
        auth = get_auth()
        if not auth.is_authenticated:
            return f"{name}: sign in first.", 401
        return f"{name}: you are {auth.subject}."

    @app.post("/login")
    def login():
        user, password = request.form["name"], request.form["password"]
        if not check_password_hash(USERS.get(user, NOBODY), password):
            return "Name and password do not match.", 401
        get_auth().login(user)
        return f"{name}: welcome."

    @app.post("/logout")
    def logout():
        get_auth().logout()
        return f"{name}: goodbye."

    # The other host is same-site, but not same-origin: it may not sign anybody in or out here.
    @app.errorhandler(CrossSiteRequest)
    def refuse_cross_site(error: CrossSiteRequest):
        return "This request came from another site.", error.status

    return app


def run(folder: Path, ports: list[int]) -> None:
    settings = Settings(
        secret_key=secrets.token_urlsafe(48),
        session_store=f"sqlite:///{folder / 'sessions.sqlite3'}",
        cookie_domain=DOMAIN,
        cookie_secure=False,  # plain http, for development
        check_session="always",  # a copy of an access token ends with its session, at both
    )
    # The shop last: once it answers, both do.
    news = make_server("127.0.0.1", ports[1], make_app("news", settings), threaded=True)
    shop = make_server("127.0.0.1", ports[0], make_app("shop", settings), threaded=True)
    print(f"http://shop.{DOMAIN}:{ports[0]} and http://news.{DOMAIN}:{ports[1]}", flush=True)
    threading.Thread(target=news.serve_forever, daemon=True).start()
    shop.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.sso.siblings")
    parser.add_argument("--ports", nargs=2, type=int, default=[8000, 8001], help="shop and news")
    with tempfile.TemporaryDirectory() as made:
        run(Path(made), parser.parse_args().ports)
