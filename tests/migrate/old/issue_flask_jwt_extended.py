"""Signs alice in as an app on flask-jwt-extended does; prints what the client gets."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

import json
import sys

from flask import Flask, jsonify
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    set_access_cookies,
    set_refresh_cookies,
)

app = Flask(__name__)
app.config["JWT_SECRET_KEY"] = sys.argv[1]
app.config["JWT_TOKEN_LOCATION"] = ["headers", "cookies"]
JWTManager(app)


@app.post("/login")
def login():
    access = create_access_token("alice", additional_claims={"roles": ["admin"]})
    refresh = create_refresh_token("alice")
    response = jsonify(access=access, others={"refresh": refresh})
    set_access_cookies(response, access)
    set_refresh_cookies(response, refresh)
    return response


client = app.test_client()
body = client.post("/login").get_json()
cookie = client.get_cookie("access_token_cookie")
assert cookie is not None
print(json.dumps({**body, "cookies": {"access_token_cookie": cookie.value}}))  # noqa: T201
