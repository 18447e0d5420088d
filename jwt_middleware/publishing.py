"""Our public keys as a JWK Set (RFC 7517 section 5), for services that verify by them alone.

What is published is every key that verifies, not only the one that signs: services have to know
the next key before its first token, and the last one until its last token has expired. A secret
has no public half, so it cannot be in the set.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256

from .jws import encode_segment
from .keys import Key
from .refusals import Refusal
from .request import Request

MAX_AGE = 300
"""Seconds anybody may keep the set before asking again. So long a new key should be published
before it signs, and so long at most a removed one goes on opening other services."""

JWK_SET = "application/jwk-set+json"
"""RFC 7517 section 8.5.2."""


def published(keys: Iterable[Key], request: Request) -> Refusal:
    """The answer to whoever asks for the keys; 304 if they are known already (RFC 9110
    section 13.1.2)."""
    # Here, not above: only who publishes keys needs it.
    from werkzeug.http import parse_etags

    body = json.dumps({"keys": [dict(key.public) for key in keys if key.public]}).encode("ascii")
    tag = encode_segment(sha256(body).digest()[:16])
    validators = (("ETag", f'"{tag}"'), ("Cache-Control", f"public, max-age={MAX_AGE}"))
    if parse_etags(request.header("if-none-match")).contains_weak(tag):
        return Refusal(304, validators, b"")
    content = (("Content-Type", JWK_SET), ("Content-Length", str(len(body))))
    return Refusal(200, content + validators, b"" if request.method == "HEAD" else body)
