"""The `JWTAuth` that a Django project's settings describe."""

from __future__ import annotations

from functools import cache
from typing import cast

from django.conf import settings as django_settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from ...auth import JWTAuth
from ...settings import Settings


@cache
def configured_auth() -> JWTAuth:
    """The `JWTAuth` of this project, made once: ``JWT_MIDDLEWARE`` names it, or the other
    ``JWT_`` settings say how. Raises `ConfigurationError`."""
    named: object = getattr(django_settings, "JWT_MIDDLEWARE", None)
    if named is None:
        return JWTAuth(Settings.from_object(django_settings))
    return cast(JWTAuth, import_string(named) if isinstance(named, str) else named)


def _forget(*, setting: str, **_more: object) -> None:
    if setting.startswith("JWT_"):
        configured_auth.cache_clear()


setting_changed.connect(_forget)  # override_settings() of a test
