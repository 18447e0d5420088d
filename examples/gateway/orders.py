"""Orders, a service: it holds no secret, keeps no sessions, and believes nobody but the keys.

Its settings are an issuer, an audience, and the URL where that issuer publishes its keys. A
request that does not come through the gateway is judged no differently.
"""

from collections import defaultdict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from jwt_middleware import Settings
from jwt_middleware.asgi import JWTMiddleware

ORDERS: defaultdict[str, list[str]] = defaultdict(list)


async def list_orders(request: Request) -> Response:
    return JSONResponse({"you_are": request.user.identity, "orders": ORDERS[request.user.identity]})


async def add_order(request: Request) -> Response:
    ORDERS[request.user.identity].append((await request.json())["item"])
    return Response(status_code=201)


site = Starlette(
    routes=[
        Route("/orders", list_orders),
        Route("/orders", add_order, methods=["POST"]),
    ],
)
app = JWTMiddleware(site, Settings.from_env(token_location=("headers",), required=True))
