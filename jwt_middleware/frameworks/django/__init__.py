"""Django: the middleware as an entry of ``MIDDLEWARE``, and ``@require_auth`` for views.

    MIDDLEWARE = ["jwt_middleware.frameworks.django.JWTMiddleware", ...]  # first
    JWT_SECRET_KEY = os.environ["JWT_SECRET_KEY"]

``jwt_middleware.frameworks.django.users.UserMiddleware`` makes ``request.user`` of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar, Unpack, cast, overload

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest

from ...access import Requirement
from ...handle import get_auth
from .. import Needs, checked_view, refusal
from .configured import configured_auth
from .door import JWTMiddleware
from .responses import answer

__all__ = ["JWTMiddleware", "configured_auth", "require_auth"]

View = TypeVar("View", bound=Callable[..., Any])


@overload
def require_auth(view: View, /) -> View: ...
@overload
def require_auth(**needs: Unpack[Needs]) -> Callable[[View], View]: ...
def require_auth(view: Any = None, /, **needs: Unpack[Needs]) -> Any:
    """A view for those who are signed in: ``@require_auth``, or who may more than that:
    ``@require_auth(roles={"admin"})``. Sync and async; others get 401 or 403."""
    requirement = Requirement(**needs)
    if view is None:
        return partial(_guarded, requirement)
    return _guarded(requirement, checked_view(view))


def _guarded(requirement: Requirement, view: View) -> View:
    # Python 3.11's own does not see what Django has marked.
    if iscoroutinefunction(view):  # pyright: ignore[reportDeprecated]

        @wraps(view)
        async def guarded_async(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            refused = refusal(get_auth(request), requirement)
            return answer(refused) if refused else await view(request, *args, **kwargs)

        return cast(View, guarded_async)

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        refused = refusal(get_auth(request), requirement)
        return answer(refused) if refused else view(request, *args, **kwargs)

    return cast(View, guarded)
