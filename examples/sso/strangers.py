"""Two apps on unrelated hosts, and the provider both sign in at.

    python -m examples.sso.strangers

Three addresses of this machine stand for three domains: no cookie of one ever reaches another.
"""

import argparse
import secrets
import threading

from flask import Flask
from werkzeug.serving import make_server

from examples.sso.member import make_member
from examples.sso.provider import Client, make_provider

PROVIDER, BOOKS, FILMS = "127.0.0.1", "127.0.0.2", "127.0.0.3"


def registered(name: str, address: str) -> Client:
    """As an app's owner would register it: its id, its secret, and its two addresses."""
    return Client(
        name, secrets.token_urlsafe(32), f"{address}/callback", f"{address}/backchannel-logout"
    )


def serve(host: str, port: int, app: Flask) -> None:
    server = make_server(host, port, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def run(port: int) -> None:
    issuer = f"http://{PROVIDER}:{port}"
    clients = {
        name: registered(name, f"http://{host}:{port}")
        for name, host in (("books", BOOKS), ("films", FILMS))
    }
    for name, host in (("books", BOOKS), ("films", FILMS)):
        serve(host, port, make_member(name, issuer, name, clients[name].secret))
    print(f"http://{BOOKS}:{port} and http://{FILMS}:{port}, signed in at {issuer}", flush=True)
    # The provider last: once it answers, all do.
    make_server(PROVIDER, port, make_provider(issuer, clients), threaded=True).serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.sso.strangers")
    parser.add_argument("--port", type=int, default=8000)
    run(parser.parse_args().port)
