"""Django apps that answer one line: bare, behind our middleware, and with simplejwt."""

from __future__ import annotations

import sys
import types
from typing import Any

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import path

from .wsgi_apps import CLAIMS, SECRET


def django_app() -> tuple[Any, str]:
    """One Django app with two routes, ``/`` without and ``/simplejwt`` with a check of the
    token; and the Authorization field for the second. (A process has one Django.)"""
    settings.configure(
        SECRET_KEY=SECRET,
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="benchmark_urls",
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"],
        DATABASES={},
        REST_FRAMEWORK={
            "DEFAULT_AUTHENTICATION_CLASSES": [
                # The one that asks no database, as ours asks none.
                "rest_framework_simplejwt.authentication.JWTStatelessUserAuthentication"
            ],
            "UNAUTHENTICATED_USER": None,
        },
    )
    django.setup()
    from django.http import HttpResponse
    from rest_framework.decorators import api_view, authentication_classes, permission_classes
    from rest_framework.permissions import IsAuthenticated
    from rest_framework_simplejwt.authentication import JWTStatelessUserAuthentication
    from rest_framework_simplejwt.tokens import AccessToken

    @api_view(["GET"])
    @authentication_classes([])
    @permission_classes([])
    def unchecked(_: Any) -> Any:
        return HttpResponse("hello")

    @api_view(["GET"])
    @authentication_classes([JWTStatelessUserAuthentication])
    @permission_classes([IsAuthenticated])
    def checked(_: Any) -> Any:
        return HttpResponse("hello")

    urls: Any = types.ModuleType("benchmark_urls")
    urls.urlpatterns = [
        path("", unchecked),
        path("simplejwt", checked),
    ]
    sys.modules["benchmark_urls"] = urls
    token = AccessToken()
    token["user_id"] = "alice"
    for name, value in CLAIMS.items():
        token[name] = value
    return get_wsgi_application(), f"Bearer {token}"
