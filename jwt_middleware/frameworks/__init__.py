"""Thin helpers in the idiom of each framework. None is needed: `get_auth` works in all of them.

Each module here imports its framework, and nobody imports these modules but you. What they
share: a `Requirement` is held against the request, and what is unmet becomes the `Refusal`
that the middleware itself would give, for the framework to send in its own way.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import TypedDict

from ..access import Requirement
from ..handle import RequestAuth
from ..refusals import Refusal, refuse


class Needs(TypedDict, total=False):
    """What a helper can be told to ask for: the keywords of `Requirement`."""

    roles: Collection[str]
    roles_all: Collection[str]
    scopes: Collection[str]
    scopes_any: Collection[str]
    max_age: float | timedelta | str | None


def refusal(auth: RequestAuth, requirement: Requirement) -> Refusal | None:
    """The answer for a request that may not go on; None: it may.

    401, 403 and their ``WWW-Authenticate`` as RFC 6750 section 3 and RFC 9470 section 3 have it.
    """
    unmet = auth.unmet(requirement)
    if unmet is None:
        return None
    explanation = auth.parts.csrf.explain(unmet, auth.request)
    return refuse(unmet, auth.request, requirement, explanation=explanation)
