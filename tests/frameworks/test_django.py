"""Django's door, view by view: what the table of behaviour does not show."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import types
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.handlers.asgi import ASGIRequest
from django.core.management import call_command
from django.http import FileResponse, HttpResponse, JsonResponse
from django.test import RequestFactory, override_settings
from django.test.client import AsyncClient, AsyncRequestFactory, Client
from django.urls import path
from keychain import jwk, key_for, private_key, public_pem, sign
from sites.django_site import DOOR
from stepping import SECRET, House
from through import AGES, Ask, away, bearer

from jwt_middleware import ConfigurationError, Issuer, JWTAuth, get_auth
from jwt_middleware.frameworks.django import JWTMiddleware, configured_auth, require_auth
from jwt_middleware.frameworks.django.users import sign_in

USERS = "jwt_middleware.frameworks.django.users.UserMiddleware"
ACCESS, REFRESH = "__Host-access_token", "__Host-refresh_token"


@require_auth
def me(request: Any) -> Any:
    return JsonResponse({"who": get_auth().subject})


@require_auth(roles={"admin"})
async def admin(request: Any) -> Any:
    return JsonResponse({"who": get_auth(request).subject})


@login_required
def account(request: Any) -> Any:
    return JsonResponse(
        {"user": request.user.get_username(), "remote": request.META["REMOTE_USER"]}
    )


async def account_async(request: Any) -> Any:
    user = await request.auser()
    return JsonResponse({"user": user.get_username(), "same": user is await request.auser()})


def authorization(request: Any) -> Any:
    return JsonResponse({"field": request.headers.get("Authorization")})


def login(request: Any) -> Any:
    get_auth(request).login("1", {"roles": ["admin"]})
    return HttpResponse("welcome", headers={"Cache-Control": "public", "Expires": "0"})


def own_cookie(request: Any) -> Any:
    response = HttpResponse("mine")
    response.set_cookie(ACCESS, "mine")
    return response


def other_cookie(request: Any) -> Any:
    get_auth(request).logout()
    response = HttpResponse("yours, too")
    response.set_cookie("theme", "dark")
    return response


def logout_and_fail(request: Any) -> Any:
    get_auth(request).logout()
    raise ZeroDivisionError


async def logout_and_hang(request: Any) -> Any:
    get_auth(request).logout()
    raise asyncio.CancelledError


def logout_and_exit(request: Any) -> Any:
    get_auth(request).logout()
    raise SystemExit


def download(request: Any) -> Any:
    return FileResponse(io.BytesIO(b"a file"))


def form(request: Any) -> Any:
    """What a form says, however a view gets hold of it."""
    way = request.headers["X-Way"]
    if way == "POST":
        said = request.POST["name"]
    elif way == "upload":
        said = request.FILES["name"].read().decode()
    elif way == "body":
        said = request.body.decode().partition("name=")[2]
    else:
        said = b"".join(request.readlines()).decode().partition("name=")[2]
    found = get_auth(request)
    return JsonResponse({"who": found.subject, "why": found.reason, "said": said.strip("x")})


VIEWS = (
    form,
    me,
    admin,
    account,
    account_async,
    authorization,
    login,
    own_cookie,
    other_cookie,
    logout_and_fail,
    logout_and_hang,
    logout_and_exit,
    download,
)
URLS = types.ModuleType("urls_of_test_django")
URLS.__dict__["urlpatterns"] = [path(view.__name__, view) for view in VIEWS]
sys.modules[URLS.__name__] = URLS


@pytest.fixture
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    """A project whose MIDDLEWARE has both of ours; the parameter is settings of the house."""
    house = House(**getattr(request, "param", {}))
    with override_settings(
        ROOT_URLCONF=URLS.__name__,
        MIDDLEWARE=[DOOR, USERS],
        JWT_MIDDLEWARE=house.auth,
        LOGIN_URL="/sign-in",
    ):
        yield house


@pytest.fixture(scope="module")
def alice() -> User:
    """A row in a database in memory, with the primary key 1."""
    call_command("migrate", verbosity=0)
    return User.objects.create_user("alice", password="wonderland", pk=1)


def fetch(client: Any, path: str, **more: Any) -> Any:
    """A GET by either kind of test client."""
    if isinstance(client, AsyncClient):
        return asyncio.run(client.get(path, **more))
    return client.get(path, **more)


# ── Views ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_who_may(house: House, kind: Any) -> None:
    """``require_auth`` guards sync and async views, under both kinds of server."""  # S33
    client = kind()

    def get(path: str) -> Any:
        return fetch(client, path)

    assert get("/me").status_code == get("/admin").status_code == 401
    assert get("/me").headers["WWW-Authenticate"] == "Bearer"
    sign_in(client, "alice")
    assert get("/me").json() == {"who": "alice"}
    assert 'error="insufficient_scope"' in get("/admin").headers["WWW-Authenticate"]
    sign_in(client, "alice", {"roles": ["admin"]})
    assert get("/admin").json() == {"who": "alice"}
    house.wait(AGES)
    assert get("/me").json() == {"who": "alice"}
    assert house.event_names[-1] == "reissued"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("house", [{"show_access_token": True}], indirect=True, ids=["shown"])
def test_the_token_a_view_is_shown(house: House, kind: Any) -> None:
    """A good one stands in the header, a fresh one where it has to be, and never a spoof."""
    # S28, S32
    client = kind()
    spoof = {"authorization": "Bearer forged"}
    assert fetch(client, "/authorization", headers=spoof).json() == {"field": None}
    pair = sign_in(client, "alice")
    field = fetch(client, "/authorization").json()["field"]
    assert field == f"Bearer {pair.access_token}"
    house.wait(AGES)
    fresh = fetch(client, "/authorization").json()["field"]
    assert fresh.startswith("Bearer ")
    assert fresh != field


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_first_mistakes_are_noticed_here_as_well(
    house: House, kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Cookies that go out by plain http are warned of, and by https they are not."""
    fetch(kind(), "/login", headers={"host": "testserver"}, secure=True)
    assert "plain http" not in caplog.text
    fetch(kind(), "/login", headers={"host": "testserver"})
    assert "it came by plain http" in caplog.text


def test_django_s_own_test_client_is_not_warned(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """It sends no Host, and keeps Secure cookies over http."""
    fetch(Client(), "/login")
    assert "plain http" not in caplog.text


# ── Users ────────────────────────────────────────────────────────────────────────────


def test_request_user(house: House, alice: User) -> None:
    """``request.user`` is the subject's row, for ``@login_required`` and whoever else asks."""
    client = Client()
    assert client.get("/account").headers["Location"] == "/sign-in?next=/account"
    client.post("/login")
    assert client.get("/account").json() == {"user": "alice", "remote": "1"}
    sign_in(client, alice)
    assert client.get("/account").json() == {"user": "alice", "remote": "1"}


@pytest.mark.parametrize("subject", ["2", "no number"])
def test_a_subject_without_a_row(house: House, alice: User, subject: str) -> None:
    """Whom no backend knows is Django's AnonymousUser, however odd the subject."""
    client = Client()
    sign_in(client, subject)
    assert client.get("/account").status_code == 302


def test_a_user_who_is_not_active(house: House, alice: User) -> None:
    """The backend's rules hold: whoever was switched off is anonymous to Django at once."""
    client = Client()
    sign_in(client, alice)
    User.objects.update(is_active=False)
    try:
        assert client.get("/account").status_code == 302
    finally:
        User.objects.update(is_active=True)


IDP = key_for("ES256", 30)
TERMS: Any = {"public_keys": [jwk(IDP, kid="1")], "audience": "us"}
ISSUERS = [
    Issuer("https://idp.example", **TERMS),
    Issuer("https://crm.example", claims=dict, **TERMS),
]


@pytest.mark.parametrize("house", [{"issuers": ISSUERS}], indirect=True, ids=["issuers"])
@pytest.mark.parametrize(
    ("issuer", "status"), [("https://idp.example", 302), ("https://crm.example", 200)]
)
def test_a_namesake_of_another_issuer(house: House, alice: User, issuer: str, status: int) -> None:
    """Its subject is nobody's primary key, unless a function of the app has said so."""  # S18
    members = {"iss": issuer, "aud": "us", "sub": "1", "exp": house.now + 60}
    token = sign(IDP, members, kid="1")
    answer = Client().get("/account", headers=dict([bearer(token)]))
    assert answer.status_code == status
    assert Client().get("/me", headers=dict([bearer(token)])).json() == {"who": "1"}


def test_request_auser(house: House) -> None:
    """``await request.auser()`` answers the same user each time."""
    answer: Any = async_to_sync(AsyncClient().get)("/account_async")
    assert answer.json() == {"user": "", "same": True}


def test_nothing_is_loaded_unasked(house: House) -> None:
    """A view that does not look at the user costs no query."""
    client = Client()
    sign_in(client, "1")
    with override_settings(AUTHENTICATION_BACKENDS=["no.such.Backend"]):
        assert client.get("/me").status_code == 200


# ── CSRF ─────────────────────────────────────────────────────────────────────────────


DOUBLE = pytest.mark.parametrize(
    "house", [{"csrf": "double-submit"}], indirect=True, ids=["double-submit"]
)
WAYS = [
    ("POST", "urlencoded"),
    ("POST", "multipart"),
    ("upload", "multipart"),
    ("body", "urlencoded"),
    ("lines", "urlencoded"),
]


@DOUBLE
def test_a_long_body_is_a_stream_like_djangos(house: House) -> None:
    """What was looked into and goes on answers what Django asks of a stream, as Django's own does:
    from 6.1 on, whether it can be read again."""
    form_: Any = {
        "data": "name=" + "x" * 200_000,
        "content_type": "application/x-www-form-urlencoded",
    }
    asked: Any = RequestFactory().post("/form", **form_)
    pair = sign_in(Client(), "alice")
    looked_into: Any = RequestFactory().post("/form", **form_)
    looked_into.META["HTTP_COOKIE"] = f"{ACCESS}={pair.access_token}"
    JWTMiddleware(lambda request: HttpResponse())(looked_into)
    assert type(looked_into._stream) is not type(asked._stream)
    assert looked_into._stream.seekable() is asked._stream.seekable() is False


@DOUBLE
@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("size", [1, 200_000])
@pytest.mark.parametrize(("way", "encoding"), WAYS)
def test_a_form_may_carry_the_csrf_token(
    house: House, kind: Any, size: int, way: str, encoding: str
) -> None:
    """The field signs the request in, and the view reads its form as if nobody had."""  # S40
    client = kind()
    pair = sign_in(client, "alice")
    token = house.flow.parts.csrf.make(pair.session_id)
    value: Any = "x" * size + "dinah"
    if way == "upload":
        value = ContentFile(value.encode(), "cat.txt")

    def post(csrf_token: str | None) -> Any:
        fields: dict[str, Any] = {"csrf_token": csrf_token} if csrf_token is not None else {}
        fields["name"] = value
        more: dict[str, Any] = {"headers": {"x-way": way}}
        if encoding == "urlencoded":
            more["content_type"] = "application/x-www-form-urlencoded"
            more["data"] = urlencode(fields)
        else:
            more["data"] = fields
        answer = client.post("/form", **more)
        return (asyncio.run(answer) if kind is AsyncClient else answer).json()

    assert post(token) == {"who": "alice", "why": None, "said": "dinah"}
    assert post("no")["why"] == "csrf_token_invalid"
    assert post(None)["why"] == "csrf_token_missing"


@DOUBLE
@pytest.mark.parametrize("size", [1, 200_000])
def test_a_form_in_a_file(house: House, size: int) -> None:
    """Under an ASGI server the body has come already, and stands in a file."""  # S40
    pair = sign_in(Client(), "alice")
    fields = {"csrf_token": house.flow.parts.csrf.make(pair.session_id), "name": "x" * size}
    body = urlencode(fields).encode()
    sent = [
        ("Cookie", f"{ACCESS}={pair.access_token}"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("X-Way", "POST"),
    ]
    scope = Ask(method="POST", path="/form", fields=sent).scope()
    request = ASGIRequest(scope, io.BytesIO(body))
    answer: Any = JWTMiddleware(form)(request)
    assert json.loads(answer.content) == {"who": "alice", "why": None, "said": ""}


@DOUBLE
@pytest.mark.parametrize(
    ("taken", "why"), [("body", None), ("POST", None), ("read", "csrf_token_missing")]
)
def test_a_middleware_in_front_has_taken_the_body(house: House, taken: str, why: Any) -> None:
    """What Django has kept of it is looked at; else no token came."""  # S40
    pair = sign_in(Client(), "alice")
    token = house.flow.parts.csrf.make(pair.session_id)
    cookies = f"{ACCESS}={pair.access_token}"
    request: Any = RequestFactory().post(
        "/form",
        urlencode({"csrf_token": token}),
        content_type="application/x-www-form-urlencoded",
        headers={"cookie": cookies},
    )
    look = getattr(request, taken)
    if taken == "read":
        look()
    JWTMiddleware(lambda _request: HttpResponse())(request)
    assert get_auth(request).reason == why


# ── Responses ────────────────────────────────────────────────────────────────────────


def test_a_login_through_the_test_client(house: House) -> None:
    """Tokens ride on the response, which is not to be stored whatever the view said."""  # S36
    client = Client()
    answer = client.post("/login")
    assert {ACCESS, REFRESH} == client.cookies.keys()
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Expires" not in answer.headers
    assert answer.headers["Vary"] == "Cookie"
    assert "HttpOnly" in str(answer.cookies[ACCESS])


def test_what_the_app_says_wins(house: House) -> None:
    """A view that sets our cookie itself is left alone; its other cookies are kept."""  # S37
    client = Client()
    sign_in(client, "1")
    house.wait(AGES)
    assert client.get("/own_cookie").cookies.keys() == {ACCESS}
    assert "reissued" not in house.event_names
    sign_in(client, "1")
    answer = client.post("/other_cookie")
    assert answer.cookies["theme"].value == "dark"
    assert answer.cookies[ACCESS].value == answer.cookies[REFRESH].value == ""


@pytest.mark.parametrize(
    "house",
    [{"cookie_path": "/login", "cookie_domain": "testserver.example"}],
    indirect=True,
    ids=["wide"],
)
def test_a_name_is_set_and_expired_elsewhere(house: House) -> None:
    """A cookie tossed under another path is expired beside the one that is set."""  # S25
    answer = Client().post("/login", headers={"cookie": "access_token=a; access_token=b"})
    lines = [morsel.OutputString() for morsel in answer.cookies.values()]
    assert len([line for line in lines if line.startswith("access_token=")]) > 1


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("house", [{"required": True}], indirect=True, ids=["required"])
def test_where_sign_in_is_required(house: House, kind: Any) -> None:
    """The door answers in the app's place, and says what its answer depends on."""  # S33
    answer = fetch(kind(), "/download")
    assert (answer.status_code, answer.headers["Vary"]) == (401, "Cookie")


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_preflight(required: bool, kind: Any) -> None:
    """Django's functions answer every method alike; to a stranger only by the header, where a
    sign-in is required."""  # S35
    asks = {"origin": "https://a.example", "access-control-request-method": "GET"}
    house = House(required=required)
    changed = {"ROOT_URLCONF": URLS.__name__, "MIDDLEWARE": [DOOR], "JWT_MIDDLEWARE": house.auth}
    with override_settings(**changed):
        answer = kind().options("/authorization", headers=asks)
        answer = asyncio.run(answer) if kind is AsyncClient else answer
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.content == (b"" if required else b'{"field": null}')


@pytest.mark.parametrize("house", [{"ignore_paths": ["/login"]}], indirect=True, ids=["ignored"])
def test_ignored_paths(house: House) -> None:
    """Nothing is read and nothing is added where the middleware is told to stay out."""
    answer = Client(raise_request_exception=False).post("/login")
    assert answer.status_code == 500
    assert "Vary" not in answer.headers


@pytest.mark.parametrize(
    "house", [{"token_location": ["headers"], "header_name": "X-Token"}], indirect=True, ids=["h"]
)
def test_header_clients(house: House) -> None:
    """Without cookies, a response varies on nothing but the refresh token's header."""
    pair = house.auth.issue("alice")
    house.wait(AGES)
    answer = Client().get("/me", headers={"x-refresh-token": pair.refresh_token})
    assert answer.json() == {"who": "alice"}
    assert "X-Access-Token" in answer.headers
    assert answer.headers["Vary"] == "X-Token, X-Refresh-Token"
    assert answer.cookies == {}


@pytest.mark.parametrize("house", [{"token_location": ["headers"]}], indirect=True, ids=["bearer"])
def test_bearer_clients(house: House) -> None:
    """Caches know of Authorization by themselves (RFC 9111 section 3.5): nothing varies on it."""
    answer = Client().get("/me", headers=dict([bearer(house.auth.issue("alice").access_token)]))
    assert answer.json() == {"who": "alice"}
    assert "Vary" not in answer.headers


ENDPOINTS = {
    "refresh_path": "/auth/refresh",
    "logout_path": "/auth/logout",
    "jwks_path": "/.well-known/jwks.json",
    "public_keys": public_pem(private_key("Ed25519")),
}


@pytest.mark.parametrize("house", [ENDPOINTS], indirect=True, ids=["endpoints"])
def test_endpoints(house: House) -> None:
    """What the middleware answers itself goes out whole: every cookie, and no content type where
    there is no content."""  # S37
    client = Client()
    sign_in(client, "alice")
    renewed = client.post("/auth/refresh")
    assert (renewed.status_code, renewed.headers["Content-Type"]) == (200, "application/json")
    assert {cookie.key for cookie in renewed.cookies.values()} == {ACCESS, REFRESH}
    keys = client.get("/.well-known/jwks.json")
    assert (keys.status_code, len(json.loads(keys.content)["keys"])) == (200, 1)
    unchanged = client.get("/.well-known/jwks.json", headers={"If-None-Match": keys["ETag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    gone = client.post("/auth/logout")
    assert gone.status_code == 204
    cleared = [cookie.OutputString() for cookie in gone.cookies.values()]
    for name in (ACCESS, REFRESH):
        assert any(line.startswith(f"{name}=;") and "Max-Age=0" in line for line in cleared)
    for empty in (unchanged, gone):
        assert "Content-Type" not in empty.headers


def test_a_login_that_cannot_be_stored(house: House) -> None:
    """503 takes the place of the response: nobody is told what did not happen."""  # S45
    away(house, "create")
    answer = Client().post("/login")
    assert (answer.status_code, answer.content != b"welcome") == (503, True)
    assert answer.cookies == {}


def test_a_logout_counts_whatever_comes(house: House) -> None:
    """It is stored also when Django lets an exception pass, or the request is given up."""
    for path_, kind in (
        ("/logout_and_fail", Client),
        ("/logout_and_exit", Client),
        ("/logout_and_hang", AsyncClient),
    ):
        client: Any = kind()
        pair = sign_in(client, "1")
        with (
            override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True),
            pytest.raises((ZeroDivisionError, SystemExit, asyncio.CancelledError)),
        ):
            fetch(client, path_)
        assert house.row(pair.session_id).revoked_at is not None


def test_a_logout_counts_while_it_is_stored(house: House) -> None:
    """The request is cancelled when the store has been asked and has not answered: no matter."""
    asked, go_on, done = (asyncio.Event() for _ in range(3))

    async def respond(request: Any) -> HttpResponse:
        get_auth(request).logout()
        return HttpResponse("bye")

    async def main() -> None:
        pair = await house.auth.aissue("1")
        door = JWTMiddleware(respond)
        answer_ = door.auth.event_loop_world.answer

        async def slowly(command: Any) -> Any:
            if command.verb != "revoke":
                return await answer_(command)
            asked.set()
            await go_on.wait()
            answered = await answer_(command)
            done.set()
            return answered

        request = AsyncRequestFactory().get(
            "/", headers={"Authorization": f"Bearer {pair.access_token}"}
        )
        with patch.object(door.auth.event_loop_world, "answer", slowly):
            task = asyncio.create_task(door(request))
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            go_on.set()
            await done.wait()
        assert await house.auth.asessions("1") == []

    asyncio.run(asyncio.wait_for(main(), 15))


def test_a_file_is_left_to_the_server(house: House) -> None:
    """What the server can send from disk by itself is not made a stream of ours."""  # S48
    from django.core.handlers.wsgi import WSGIHandler

    class Wrapper:
        def __init__(self, file: Any, size: int = 0) -> None:
            self.file = file

        def __iter__(self) -> Iterator[bytes]:
            yield self.file.read()

    environ = Ask(path="/download").environ | {"wsgi.file_wrapper": Wrapper}
    handler: Any = WSGIHandler()
    body = handler(environ, lambda *_: None)
    assert isinstance(body, Wrapper)


def test_a_mount_and_a_raw_path(house: House) -> None:
    """The request is seen as the doors see it: below its mount, and as it was sent."""  # S30
    from django.core.handlers.wsgi import WSGIHandler

    pair = house.auth.issue("alice")
    ask = Ask(path="/me", mount="/shop", query="a=b", fields=[bearer(pair.access_token)])
    seen: list[Any] = []
    door = JWTMiddleware(lambda request: seen.append(get_auth(request).request) or HttpResponse())
    with override_settings(MIDDLEWARE=[]):
        from django.core.handlers.wsgi import WSGIRequest

        door(WSGIRequest(ask.environ))
        assert WSGIHandler()
    assert (seen[0].path, seen[0].mount) == ("/me", "/shop")
    assert (seen[0].raw_path, seen[0].query) == ("/shop/me?a=b", "a=b")


# ── Configuration ────────────────────────────────────────────────────────────────────


def test_configured_by_settings() -> None:
    """Django's settings configure it, as they are, by a dotted path or with an object."""
    with override_settings(JWT_SECRET_KEY=SECRET, JWT_SESSION_STORE="memory://"):
        assert configured_auth() is configured_auth()
        assert configured_auth().settings.session_store == "memory://"
    URLS.__dict__["auth"] = auth = JWTAuth(secret_key=SECRET, session_store="memory://")
    with override_settings(JWT_MIDDLEWARE=f"{URLS.__name__}.auth"):
        assert configured_auth() is auth
    with override_settings(JWT_SECRET_KEY="short"), pytest.raises(ConfigurationError):
        configured_auth()
    assert not hasattr(settings, "JWT_SECRET_KEY")


def test_an_async_hook_needs_an_async_app() -> None:
    """What a WSGI server cannot await is refused at start-up."""

    async def load_claims(session: Any) -> Any:
        return {}

    house = House(load_claims=load_claims)
    with override_settings(JWT_MIDDLEWARE=house.auth), pytest.raises(ConfigurationError):
        JWTMiddleware(lambda request: None)
