"""Signs alice in as an app on AuthX does; prints what the client gets."""
# pyright: reportMissingImports=false

import json
import sys
from http.cookies import SimpleCookie

from authx import AuthX, AuthXConfig
from starlette.responses import Response

auth = AuthX(AuthXConfig(JWT_SECRET_KEY=sys.argv[1], JWT_TOKEN_LOCATION=["headers", "cookies"]))
access = auth.create_access_token("alice", data={"roles": ["admin"]})
response = Response()
auth.set_access_cookies(access, response)
jar = SimpleCookie()
for name, value in response.headers.items():
    if name == "set-cookie":
        jar.load(value)
told = {
    "access": access,
    "others": {"refresh": auth.create_refresh_token("alice")},
    "cookies": {"access_token_cookie": jar["access_token_cookie"].value},
}
print(json.dumps(told))  # noqa: T201
