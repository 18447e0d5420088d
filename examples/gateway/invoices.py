"""Invoices, another service: for accountants alone, as their tokens say.

It is a WSGI app, where `orders` is an ASGI app: both verify by the same published keys.
"""

from flask import Flask

from jwt_middleware import Rule, Settings, get_auth
from jwt_middleware.wsgi import JWTMiddleware

app = Flask(__name__)
app.wsgi_app = JWTMiddleware(
    app.wsgi_app,
    Settings.from_env(
        token_location=("headers",),
        rules=[Rule("/invoices", roles={"accountant"})],
    ),
)


@app.get("/invoices")
def list_invoices():
    return {"you_are": get_auth().subject, "invoices": ["2026-1", "2026-2"]}
