"""The access token that the app is shown, so that a service behind it can verify it, too.

The token that came may have expired: then the refresh token signs the request in, and the
client's new tokens are only made when the response starts. A service behind the app needs one
now. It says what the app's claims say, and that the client holds the refresh token it has just
sent. Nothing is stored for it, and nothing is confirmed by it (S32).
"""

from __future__ import annotations

from .errors import TokenTooLarge
from .handle import RequestAuth


def credentials(auth: RequestAuth) -> str | None:
    """The field named by ``header_name`` as the app shall see it; None: it shall see none.

    To be asked before the app runs, which may change its claims.
    """
    if auth.claims is None:
        return None
    parts = auth.parts
    if auth.reissue is None:
        token = parts.transport.locate(auth.request).access or ""
    else:
        try:
            token = parts.tokens.sign_access(dict(auth.claims))
        except TokenTooLarge:
            return None  # the event comes with the response, which cannot carry one either
    return f"{parts.settings.header_type} {token}".strip()
