"""Sign in, see who you are, leave a note, sign out: a Django project in one file.

    export JWT_SECRET_KEY=$(python -c 'import secrets; print(secrets.token_urlsafe(48))')
    export JWT_COOKIE_SECURE=false  # plain http, for development; leave it out behind https
    uvicorn examples.django_app:app

Then open http://127.0.0.1:8000. It takes forms: POST /login with
name=alice and password=wonderland.
"""

from collections import defaultdict

from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    MIDDLEWARE=["jwt_middleware.frameworks.django.JWTMiddleware"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
)

from django.core.asgi import get_asgi_application  # noqa: E402  # the settings come first
from django.http import HttpRequest, HttpResponse, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402
from werkzeug.security import check_password_hash, generate_password_hash  # noqa: E402

from jwt_middleware import CrossSiteRequest, get_auth  # noqa: E402
from jwt_middleware.frameworks.django import require_auth  # noqa: E402

USERS = {"alice": generate_password_hash("wonderland")}
NOBODY = generate_password_hash("")  # so that an unknown name takes as long as a wrong password
NOTES: defaultdict[str, list[str]] = defaultdict(list)


def knows(name: str, password: str) -> bool:
    return check_password_hash(USERS.get(name, NOBODY), password)


def index(request: HttpRequest) -> HttpResponse:
    auth = get_auth(request)
    if auth.subject is None:
        return JsonResponse({"you_are": "nobody"})
    return JsonResponse({"you_are": auth.subject, "notes": NOTES[auth.subject]})


def login(request: HttpRequest) -> HttpResponse:
    if not knows(request.POST["name"], request.POST["password"]):
        return HttpResponse("Name and password do not match.", status=401)
    get_auth(request).login(request.POST["name"])  # the answer carries the cookies
    return HttpResponse("Welcome.")


# An expired access token does not cost anybody what they wrote: the refresh token signs this
# very request in, and the answer carries new ones.
@require_auth
def add_note(request: HttpRequest) -> HttpResponse:
    NOTES[str(get_auth(request).subject)].append(request.POST["text"])
    return HttpResponse("Noted.")


def logout(request: HttpRequest) -> HttpResponse:
    try:
        get_auth(request).logout()
    except CrossSiteRequest as error:  # another site's page has sent somebody's browser here
        return HttpResponse("This request came from another site.", status=error.status)
    return HttpResponse("Goodbye.")


urlpatterns = [
    path("", index),
    path("login", login),
    path("notes", add_note),
    path("logout", logout),
]
app = get_asgi_application()
