"""Thin helpers in the idiom of each framework. None is needed: `get_auth` works in all of them.

Each module here imports its framework, and nobody imports these modules but you. What they
share: a `Requirement` is held against the request, and what is unmet becomes the `Refusal`
that the middleware itself would give, for the framework to send in its own way.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any, TypedDict

from ..access import Requirement
from ..errors import ConfigurationError
from ..events import advise
from ..handle import RequestAuth
from ..refusals import Refusal


class Needs(TypedDict, total=False):
    """What a helper can be told to ask for: the keywords of `Requirement`."""

    roles: Collection[str]
    roles_all: Collection[str]
    scopes: Collection[str]
    scopes_any: Collection[str]
    max_age: float | timedelta | str | None


def checked_view(view: Any) -> Any:
    """What a decorator stands above. Raises `ConfigurationError` if that is no view."""
    if not callable(view):
        raise ConfigurationError(
            f"@require_auth({view!r}) names nobody: say what is needed, as in "
            '@require_auth(roles={"admin"}) or @require_auth(scopes={"reports:read"})'
        )
    return view


def refusal(auth: RequestAuth, requirement: Requirement) -> Refusal | None:
    """The answer for a request that may not go on; None: it may.

    401, 403 and their ``WWW-Authenticate`` as RFC 6750 section 3 and RFC 9470 section 3 have it;
    with ``login_url``, 303 to that page where a person's browser loads another.
    """
    unmet = auth.unmet(requirement)
    if unmet is None:
        return None
    denials = auth.parts.denials
    hint = denials.hints.look(auth.request, unmet, needed=True)
    if hint is not None and denials.hints.first(hint):
        advise(hint.text)
    return denials.answer(auth.request, unmet, requirement, hint)
