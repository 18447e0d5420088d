"""Django: WSGI and ASGI, wrapped and as an entry of MIDDLEWARE."""

from __future__ import annotations

import sys
import types
from collections.abc import AsyncIterator
from typing import Any

import django
from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from jwt_middleware import JWTAuth, asgi, get_auth, wsgi
from sites import Broken, Site, Work, sign_in, subjects, told

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["testserver"],
        AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.ModelBackend"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
        LOGGING_CONFIG=None,
        ROOT_URLCONF="sites.django_site",
        SECRET_KEY="a secret of Django's own",
        USE_TZ=True,
    )
    django.setup()

DOOR = "jwt_middleware.frameworks.django.JWTMiddleware"


def _urls(work: Work) -> list[Any]:
    def who(request: Any) -> Any:
        return JsonResponse(told(request))

    def login(request: Any) -> Any:
        sign_in(request)
        return HttpResponse("welcome")

    def logout(request: Any) -> Any:
        get_auth(request).logout()
        return HttpResponse("bye")

    def broken(request: Any) -> Any:
        raise Broken

    def stream(request: Any) -> Any:
        return StreamingHttpResponse(subjects())

    def later(request: Any) -> Any:
        work.enqueue()
        return HttpResponse("soon")

    views = (who, login, logout, broken, stream, later)
    return [path(view.__name__, view) for view in views]


def _async_urls(work: Work) -> list[Any]:
    async def stream(request: Any) -> Any:
        async def lines() -> AsyncIterator[bytes]:
            for line in subjects():
                yield line

        return StreamingHttpResponse(lines())

    async def who(request: Any) -> Any:
        return JsonResponse(told(request))

    return [path("who", who), path("stream", stream), *_urls(work)]


def _wsgi(auth: JWTAuth, work: Work, **more: Any) -> Any:
    from django.core.handlers.wsgi import WSGIHandler

    changed = override_settings(ROOT_URLCONF=_module(_urls(work)), **more)
    with changed:
        handler = WSGIHandler()

    def app(environ: Any, start_response: Any) -> Any:
        with changed:
            return handler(environ, start_response)

    return app


def _asgi(auth: JWTAuth, work: Work, **more: Any) -> Any:
    from django.core.handlers.asgi import ASGIHandler

    changed = override_settings(ROOT_URLCONF=_module(_async_urls(work)), **more)
    with changed:
        handler = ASGIHandler()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def send_as_specified(message: Any) -> None:
            if "headers" in message:  # ASGI wants lower-case names, Django writes Content-Type
                lowered = [(name.lower(), value) for name, value in message["headers"]]
                message = {**message, "headers": lowered}
            await send(message)

        await sync_to_async(changed.enable)()
        try:
            await handler(scope, receive, send_as_specified)
        finally:
            await sync_to_async(changed.disable)()

    return app


def _module(urls: list[Any]) -> str:
    name = f"urls_{id(urls)}"
    module = types.ModuleType(name)
    module.__dict__["urlpatterns"] = urls
    sys.modules[name] = module
    return name


def wsgi_wrapped(auth: JWTAuth, work: Work) -> Any:
    return wsgi.JWTMiddleware(_wsgi(auth, work), auth)


def asgi_wrapped(auth: JWTAuth, work: Work) -> Any:
    return asgi.JWTMiddleware(_asgi(auth, work), auth)


def wsgi_inside(auth: JWTAuth, work: Work) -> Any:
    return _wsgi(auth, work, MIDDLEWARE=[DOOR], JWT_MIDDLEWARE=auth)


def asgi_inside(auth: JWTAuth, work: Work) -> Any:
    return _asgi(auth, work, MIDDLEWARE=[DOOR], JWT_MIDDLEWARE=auth)


SITES = [
    Site("django-wsgi", "wsgi", wsgi_wrapped),
    Site("django-asgi", "asgi", asgi_wrapped),
    Site("django-wsgi-middleware", "wsgi", wsgi_inside),
    Site("django-asgi-middleware", "asgi", asgi_inside),
]
