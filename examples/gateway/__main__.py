"""Start all four servers, each a process of its own, with a new key and a new secret.

    python -m examples.gateway

What is made up here at every start is, in production, the configuration of four deployments: look
at who is given what. Ctrl-C ends them all.
"""

import argparse
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from examples.gateway import roll_over


class Server(NamedTuple):
    """One deployment: what is run, and the variables that it alone is given."""

    name: str
    command: str
    variables: dict[str, str]


def servers(folder: Path, ports: list[int]) -> list[Server]:
    gateway, auth, orders, invoices = (f"http://127.0.0.1:{port}" for port in ports)
    issuer = {"JWT_ISSUER": gateway, "JWT_AUDIENCE": "shop", "JWT_ALGORITHM": "EdDSA"}
    # Who signs has the private key, the secret (for refresh tokens) and the sessions.
    signing = {
        **issuer,
        "JWT_PRIVATE_KEY_FILE": str(folder / "signing.pem"),
        "JWT_KEYS_RELOAD": "10s",
        "JWT_SECRET_KEY": secrets.token_urlsafe(48),
        "JWT_SESSION_STORE": f"sqlite:///{folder / 'sessions.sqlite3'}",
        "JWT_COOKIE_SECURE": "false",  # plain http, for development
    }
    # Who verifies knows where the public keys are, and that is all.
    verifying = {
        **issuer,
        "JWT_JWKS_URL": f"{auth}/.well-known/jwks.json",
        "JWT_JWKS_LOOPBACK_HTTP": "true",  # as above
    }
    upstreams = {"AUTH_URL": auth, "ORDERS_URL": orders, "INVOICES_URL": invoices}
    asgi, wsgi = "uvicorn --port {} {}", "gunicorn --threads 8 --bind 127.0.0.1:{} {}"
    return [
        Server(
            "gateway", asgi.format(ports[0], "examples.gateway.gateway:app"), signing | upstreams
        ),
        Server("auth server", wsgi.format(ports[1], "examples.gateway.auth_server:app"), signing),
        Server("orders", asgi.format(ports[2], "examples.gateway.orders:app"), verifying),
        Server("invoices", wsgi.format(ports[3], "examples.gateway.invoices:app"), verifying),
    ]


def start(server: Server) -> subprocess.Popen[bytes]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("JWT_")}
    process = subprocess.Popen(
        [sys.executable, "-m", *server.command.split()], env=inherited | server.variables
    )
    print(f"{server.name}: process {process.pid}", flush=True)
    return process


def run(folder: Path, ports: list[int]) -> None:
    """Until somebody ends it; if one of the servers does, the others go on."""
    key_file = folder / "signing.pem"
    roll_over.write(key_file, roll_over.new_key())
    processes = [start(server) for server in servers(folder, ports)]
    print(f"the signing key: {key_file}")
    print(f"open http://127.0.0.1:{ports[0]} and sign in as alice, password wonderland", flush=True)
    try:
        for process in processes:
            process.wait()
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.gateway")
    parser.add_argument(
        "--ports",
        nargs=4,
        type=int,
        default=[8000, 8001, 8002, 8003],
        help="of the gateway, the auth server, orders and invoices",
    )
    ports = parser.parse_args().ports
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    with tempfile.TemporaryDirectory() as made:
        try:
            run(Path(made), ports)
        except KeyboardInterrupt:
            print("all have ended")
