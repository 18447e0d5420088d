"""Makes tokens of djangorestframework-simplejwt for user 7; prints them and its settings."""
# pyright: reportMissingImports=false

import json
import sys

import django
from django.conf import settings

settings.configure(
    SECRET_KEY=sys.argv[1],
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402  # Django has to be set up first
from rest_framework_simplejwt.settings import DEFAULTS  # noqa: E402
from rest_framework_simplejwt.tokens import RefreshToken, SlidingToken  # noqa: E402

user = User(pk=7, username="alice")
refresh = RefreshToken.for_user(user)
refresh["roles"] = ["admin"]
told = {
    "access": str(refresh.access_token),
    "others": {"refresh": str(refresh), "sliding": str(SlidingToken.for_user(user))},
    "cookies": {},
    "settings": sorted(DEFAULTS),
}
print(json.dumps(told))  # noqa: T201
