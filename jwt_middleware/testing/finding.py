"""Which `JWTAuth` an app, or the test client of one, is signed in by."""

from __future__ import annotations

from ..auth import JWTAuth

_INWARD = (
    "application",  # Flask's client
    "wsgi_app",
    "asgi_app",
    "app",  # a middleware, and the clients of Starlette and WebTest
    "_transport",  # httpx
    "middleware_stack",  # Starlette, once it has started
)
"""Attributes that lead from a client to its app, and from an app's outside to its inside."""

_DEEPEST = 32
"""Layers that are looked through; no app has as many."""


def kinds_of(client: object) -> list[str]:
    """What a client is, most special first: distribution and class, as in ``httpx.Client``.

    By name, so that no framework has to be imported to ask.
    """
    return [f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(client).__mro__]


def auth_of(where: object) -> JWTAuth:
    """The `JWTAuth` of an app, a door, or a test client. Raises `LookupError`."""
    if {"django.Client", "django.AsyncClient"} & set(kinds_of(where)):
        from ..frameworks.django import configured_auth

        return configured_auth()
    layers = [where]
    for layer in layers:
        if isinstance(layer, JWTAuth):
            return layer
        auth = getattr(layer, "auth", None)
        if isinstance(auth, JWTAuth):
            return auth
        inner = (getattr(layer, name, None) for name in _INWARD)
        layers.extend(found for found in inner if found is not None)
        if len(layers) > _DEEPEST:
            break
    raise LookupError(
        f"no JWTMiddleware was found in {type(where).__name__}. Give the wrapped app to the "
        "client, or name the JWTAuth that the app is signed in by: auth=..."
    )
