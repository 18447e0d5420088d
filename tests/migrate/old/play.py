"""Plays the move on a page of docs/migrate, beside the real old package; prints what came of it.

The Python blocks of the page are one module, which defines the app.
"""
# pyright: reportMissingImports=false

import asyncio
import json
import os
import re
import sys
import types
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlencode

from through import Ask, ask_asgi, ask_wsgi, bearer

OLD_SECRET = os.environ["JWT_SECRET_KEY"]


def page_of(path):
    """The page's code, run as a module."""
    page = types.ModuleType("page")
    sys.modules["page"] = page
    text = Path(path).read_text("utf-8")
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        exec(compile(block, path, "exec"), page.__dict__)  # noqa: S102  # our own page
    return page


def flask_jwt_extended(path):
    from flask_jwt_extended import create_access_token, create_refresh_token

    page = page_of(path)
    with page.app.app_context():
        tokens = create_access_token("alice"), create_refresh_token("alice")
    return page.app, *tokens


def simplejwt(path):
    import django
    from django.conf import settings

    settings.configure(
        SECRET_KEY=OLD_SECRET,
        SIMPLE_JWT={"ACCESS_TOKEN_LIFETIME": timedelta(minutes=5)},
        ROOT_URLCONF="page",
        ALLOWED_HOSTS=["testserver"],
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "rest_framework_simplejwt.token_blacklist",
        ],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "old.sqlite3"}},
    )
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from django.contrib.auth.models import User
    from rest_framework_simplejwt.tokens import RefreshToken

    page = page_of(path)
    refresh = RefreshToken.for_user(User.objects.create(username="alice"))
    return page.application, str(refresh.access_token), str(refresh)


def authx(path):
    page = page_of(path)
    old = page.old_package
    return page.app, old.create_access_token("alice"), old.create_refresh_token("alice")


def fastapi_users(path):
    from fastapi_users.authentication import JWTStrategy

    strategy = JWTStrategy(OLD_SECRET, lifetime_seconds=900)
    access = asyncio.run(strategy.write_token(SimpleNamespace(id="alice")))
    return page_of(path).app, access, None


package, path = sys.argv[1:]
app, access, refresh = globals()[package](path)


def ask(method="GET", place="/", token=None, **form):
    """Status and body of an answer."""
    fields = [bearer(token)] if token else []
    if form:
        fields.append(("Content-Type", "application/x-www-form-urlencoded"))
    body = urlencode(form).encode()
    fields.append(("Content-Length", str(len(body))))
    question = Ask(method=method, path=place, fields=fields, body=body)
    if package in ("flask_jwt_extended", "simplejwt"):
        answer = ask_wsgi(app, question.environ)
    else:
        answer = ask_asgi(app, question.scope())
    return answer.status, answer.body.decode()


told: dict[str, object] = {"nobody": ask()[1], "old": ask(token=access)[1]}
if refresh is not None:
    told["refresh"] = ask(token=refresh)[1]
    if package == "simplejwt":
        exchange = {"method": "POST", "place": "/token/refresh/", "refresh": refresh}
        wrong = {**exchange, "refresh": access}
    else:
        exchange = {"method": "POST", "place": "/refresh", "token": refresh}
        wrong = {**exchange, "token": access}
    told["by access token"] = ask(**wrong)[0]
    status, body = ask(**exchange)
    told["exchanged"] = status
    pair = json.loads(body)
    told["new"] = ask(token=pair["access_token"])[1]
    told["again"] = ask(**exchange)[0]
    told["type"] = pair["token_type"]
print(json.dumps(told))  # noqa: T201
