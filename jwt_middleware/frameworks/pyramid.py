"""Pyramid: a security policy, so that ``request.identity`` and ``permission=`` know our claims.

    config.set_security_policy(JWTSecurityPolicy())
    app = JWTMiddleware(config.make_wsgi_app(), Settings.from_env())

Permissions are decided by the ``__acl__`` of the context. Its principals are the subject,
``role:<name>``, ``scope:<name>``, and Pyramid's own ``Authenticated`` and ``Everyone``.
Where a permission is missing, Pyramid answers 403; a ``forbidden_view`` may say 401.
"""

from __future__ import annotations

from typing import Any

from pyramid.authorization import (  # type: ignore[import-untyped]
    ACLHelper,
    Authenticated,
    Everyone,
)

from ..claims import Claims
from ..handle import RequestAuth, get_auth


class JWTSecurityPolicy:
    """``pyramid.interfaces.ISecurityPolicy``, by the request's `RequestAuth`."""

    def identity(self, request: Any) -> Claims | None:
        """``request.identity``: the claims."""
        return get_auth(request).claims

    def authenticated_userid(self, request: Any) -> str | None:
        """``request.authenticated_userid``: the subject."""
        return get_auth(request).subject

    def permits(self, request: Any, context: Any, permission: str) -> Any:
        """What the access control lists say of `principals`."""
        helper: Any = ACLHelper()  # it carries no types
        return helper.permits(context, principals(get_auth(request)), permission)

    def remember(self, request: Any, userid: str, **login: Any) -> list[tuple[str, str]]:
        """Signs in: ``remember(request, "alice", claims={"roles": ["admin"]})``, with the keywords
        of `RequestAuth.login`. The middleware sends the headers, so there are none to add."""
        get_auth(request).login(userid, **login)
        return []

    def forget(self, request: Any, **logout: Any) -> list[tuple[str, str]]:
        """Signs out, with the keywords of `RequestAuth.logout`."""
        get_auth(request).logout(**logout)
        return []


def principals(auth: RequestAuth) -> list[str]:
    """Everybody a request stands for, as access control lists name them."""
    if auth.subject is None:
        return [Everyone]
    roles = [f"role:{name}" for name in auth.roles]
    scopes = [f"scope:{name}" for name in auth.scopes if name != "authenticated"]
    return [Everyone, Authenticated, auth.subject, *roles, *scopes]
