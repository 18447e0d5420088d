"""Flask (and Blueprints): ``current_claims``, and ``@require_auth`` for views.

app.wsgi_app = JWTMiddleware(app.wsgi_app, Settings.from_env())

@app.get("/reports")
@require_auth(scopes={"reports:read"})
def reports(): ...
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar, Unpack, cast, overload

from flask import Response, current_app
from werkzeug.exceptions import HTTPException, default_exceptions
from werkzeug.local import LocalProxy

from ..access import Requirement
from ..claims import Claims
from ..handle import get_auth, get_claims
from . import Needs, checked_view, refusal

View = TypeVar("View", bound=Callable[..., Any])

current_claims: Claims = cast(Claims, LocalProxy(get_claims, unbound_message="no claims"))
"""The claims of the request being served; false when nobody is signed in."""


@overload
def require_auth(view: View, /) -> View: ...
@overload
def require_auth(**needs: Unpack[Needs]) -> Callable[[View], View]: ...
def require_auth(view: Any = None, /, **needs: Unpack[Needs]) -> Any:
    """A view for those who are signed in: ``@require_auth``, or who may more than that:
    ``@require_auth(roles={"admin"})``. Stands beneath ``@app.route``; for sync and async views.

    Others get 401 or 403 as an ``HTTPException``: ``@app.errorhandler(401)`` may show a page. With
    ``login_url`` a browser that loads one is sent there, past that.
    """
    requirement = Requirement(**needs)
    if view is None:
        return partial(_guarded, requirement)
    return _guarded(requirement, checked_view(view))


def _guarded(requirement: Requirement, view: View) -> View:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        refused = refusal(get_auth(), requirement)
        if refused is not None:
            answer = Response(refused.body, refused.status, headers=list(refused.headers))
            error = default_exceptions.get(refused.status, HTTPException)
            raise error(response=answer)
        return current_app.ensure_sync(view)(*args, **kwargs)

    return cast(View, guarded)
