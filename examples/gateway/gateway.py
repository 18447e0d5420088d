"""The gateway: the one server that browsers talk to.

The middleware in front of it finds out who asks, reissues what has expired, and refuses who is not
signed in. What it forwards is the verified access token: with `show_access_token` the request has
it in `Authorization`, a fresh one if need be, and nothing else there.
"""

import os

from starlette.types import Receive, Scope, Send

from examples.gateway.proxy import Upstream
from jwt_middleware import Settings
from jwt_middleware.asgi import JWTMiddleware

# The auth server alone has to do with the browser's cookies, and has to know by itself whether
# another site caused a sign-in.
auth_server = Upstream(
    os.environ["AUTH_URL"], also=("cookie", "set-cookie", "host", "origin", "sec-fetch-site")
)
services = {
    "orders": Upstream(os.environ["ORDERS_URL"]),
    "invoices": Upstream(os.environ["INVOICES_URL"]),
}


async def route(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":  # the server's start and end, where nothing is to be done
        raise NotImplementedError(scope["type"])
    first_segment = scope["path"].lstrip("/").partition("/")[0]
    upstream = services.get(first_segment, auth_server)
    await upstream(scope, receive, send)


app = JWTMiddleware(
    route,
    Settings.from_env(
        show_access_token=True,
        reissue_within=30,  # no token expires on its way to a service
        required=True,
        public_paths=("/login",),
        login_url="/",
        logout_path="/logout",  # it needs no auth server to sign somebody out
    ),
)
