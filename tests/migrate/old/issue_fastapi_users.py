"""Makes the tokens that fastapi-users makes for alice, and prints them."""
# pyright: reportMissingImports=false

import asyncio
import json
import sys
from http.cookies import SimpleCookie
from types import SimpleNamespace

from fastapi_users.authentication import CookieTransport, JWTStrategy
from fastapi_users.jwt import generate_jwt
from fastapi_users.manager import RESET_PASSWORD_TOKEN_AUDIENCE, VERIFY_USER_TOKEN_AUDIENCE

secret = sys.argv[1]


async def main():
    access = await JWTStrategy(secret, lifetime_seconds=900).write_token(
        SimpleNamespace(id="alice")
    )
    response = await CookieTransport().get_login_response(access)
    others = {
        name: generate_jwt({"sub": "alice", "aud": audience}, secret, 900)
        for name, audience in (
            ("reset", RESET_PASSWORD_TOKEN_AUDIENCE),
            ("verify", VERIFY_USER_TOKEN_AUDIENCE),
        )
    }
    jar = SimpleCookie(response.headers["set-cookie"])
    cookies = {name: morsel.value for name, morsel in jar.items()}
    print(json.dumps({"access": access, "others": others, "cookies": cookies}))  # noqa: T201


asyncio.run(main())
