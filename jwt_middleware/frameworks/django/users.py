"""``request.user`` from the claims, loaded when somebody looks.

    MIDDLEWARE = [
        "jwt_middleware.frameworks.django.JWTMiddleware",
        ...,
        "jwt_middleware.frameworks.django.users.UserMiddleware",  # for AuthenticationMiddleware
    ]

Log in with ``get_auth(request).login(str(user.pk))``. What Django says of a user (``is_active``,
permissions, ``@login_required``) holds as ever, by the backends of ``AUTHENTICATION_BACKENDS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_backends
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.test.client import AsyncClient, Client
from django.utils.functional import SimpleLazyObject

from ...handle import RequestAuth, get_auth
from ...tokens import TokenPair
from .configured import configured_auth


class UserMiddleware(AuthenticationMiddleware):
    """Django's own, with our claims in the place of its session. Needs the middleware before it,
    or around the application."""

    def process_request(self, request: HttpRequest) -> None:
        """``request.user``, and ``await request.auser()``."""
        known: list[AbstractBaseUser | AnonymousUser] = []

        def load() -> AbstractBaseUser | AnonymousUser:
            if not known:
                known.append(_user(_primary_key(get_auth(request))))
            return known[0]

        asked: Any = request  # its types know the session's user alone
        asked.user = SimpleLazyObject(load)
        asked.auser = sync_to_async(load)


def _primary_key(auth: RequestAuth) -> str | None:
    """The subject, of which another issuer may have one that is somebody else here: its own
    counts if the app's function has made it one of ours (`Issuer.claims`)."""
    issuers = auth.parts.settings.issuers
    mapped = any(issuer.url == auth.issuer and issuer.claims is not None for issuer in issuers)
    return auth.subject if auth.issuer is None or mapped else None


def _user(subject: str | None) -> AbstractBaseUser | AnonymousUser:
    """The user whose primary key the subject is, if a backend knows one who is active."""
    for backend in get_backends() if subject is not None else ():
        try:
            user: AbstractBaseUser | None = backend.get_user(subject)
        except (ValueError, ValidationError):  # no primary key at all
            continue
        if user is not None:
            return user
    return AnonymousUser()


def sign_in(
    client: Client | AsyncClient,
    user: AbstractBaseUser | str,
    claims: Mapping[str, Any] | None = None,
) -> TokenPair:
    """Give Django's test client the cookies of a new session, as ``force_login`` does for its
    own. ``user``: one of yours, or the subject."""
    auth = configured_auth()
    pair = auth.issue(user if isinstance(user, str) else str(user.pk), claims)
    client.cookies[auth.settings.access_cookie] = pair.access_token
    client.cookies[auth.settings.refresh_cookie] = pair.refresh_token
    return pair
