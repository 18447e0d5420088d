"""The WSGI door as a filter of PasteDeploy: Pyramid's ``.ini`` files, and whoever else reads them.

    [filter:jwt]
    use = egg:jwt-session-middleware
    session_store = sqlite:///%(here)s/sessions.sqlite3

    [pipeline:main]
    pipeline = jwt myapp

Each setting is an option, in lower case; what the section leaves out is looked for in the
environment (``JWT_SECRET_KEY``), where a secret belongs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..settings import Settings
from ..wsgi import JWTMiddleware, WSGIApp


def filter_app(app: WSGIApp, global_conf: Mapping[str, str], **options: str) -> JWTMiddleware:
    """The app, wrapped (``paste.filter_app_factory``). Raises `ConfigurationError`."""
    del global_conf  # shared with other sections: nothing in it is meant for us
    given = {f"JWT_{name.upper()}": value for name, value in options.items()}
    return JWTMiddleware(app, Settings.from_env(environ={**os.environ, **given}))
