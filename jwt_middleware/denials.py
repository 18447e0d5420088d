"""What a request is told that may not go on, in the terms of one configuration.

The middleware says it in the app's place, and the helpers of a framework say the same for a view.
"""

from __future__ import annotations

import re

from .access import Requirement
from .csrf import CsrfPolicy
from .hints import Hint, Hints
from .keys import KeySource
from .refusals import SIGN_IN, Refusal, refuse, to_login
from .request import Request
from .settings import Settings

_NO_SIGN_IN_HELPS = frozenset(
    ("store_unavailable", "insufficient_role", "insufficient_scope", "ignored")
)


class Denials:
    """The way to the login page, or an answer of RFC 6750 with what is probably wrong.

    ``own_keys``: those of our access tokens.
    """

    def __init__(self, settings: Settings, csrf: CsrfPolicy, own_keys: KeySource) -> None:
        self.hints: Hints = Hints(settings, own_keys)
        self._csrf = csrf
        self._login_url = settings.login_url
        self._login_page = re.split("[?#]", settings.login_url or "")[0].rstrip("/")

    def is_login_page(self, request: Request) -> bool:
        """It has to be reached by those who are to sign in there."""
        return self._login_url is not None and (
            (request.mount + request.path).rstrip("/") == self._login_page
        )

    def answer(
        self, request: Request, reason: str, requirement: Requirement | None, hint: Hint | None
    ) -> Refusal:
        """``reason`` and ``requirement``: as `jwt_middleware.refusals.refuse` has them."""
        helps = reason not in _NO_SIGN_IN_HELPS and not self.is_login_page(request)
        if self._login_url is not None and helps and request.navigation:
            return to_login(self._login_url, request)
        explanation = self._csrf.explain(reason, request)
        if explanation is None and hint is not None:
            explanation = f"{SIGN_IN} {hint.answer}"
        return refuse(reason, request, requirement, explanation=explanation)
