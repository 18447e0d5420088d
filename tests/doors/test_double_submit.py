"""``csrf="double-submit"``, through both doors: what has to come along, and how one gets it."""

from __future__ import annotations

import io
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from forging import OLD_SECRET, make_settings
from stepping import SECRET, House, make_request
from through import AGES, Answer, Ask, Through, ask_asgi, ask_wsgi, bearer, cookie, nothing, noting

from jwt_middleware import PathIgnored, ResponseStarted, asgi, wsgi
from jwt_middleware.csrf import CsrfPolicy
from jwt_middleware.handle import AUTH_KEY, RequestAuth

DOORS = pytest.mark.parametrize("door", ["wsgi", "asgi"])
ACCESS, REFRESH, CSRF = "__Host-access_token", "__Host-refresh_token", "__Host-csrf_token"
HEADER = "X-CSRF-Token"
FORM = "application/x-www-form-urlencoded"
EXPECTED = (
    "Expected header X-CSRF-Token with the value of cookie __Host-csrf_token, "
    "or form field csrf_token."
)


class Tab:
    """A browser at an app behind one of the doors."""

    def __init__(self, door: str, house: House | None = None, **settings: Any) -> None:
        self.door = door
        self.house = house or House(**{"csrf": "double-submit", **settings})
        self.through = Through(self.house)
        self.jar: dict[str, str] = {}

    def send(
        self,
        method: str = "GET",
        path: str = "/",
        view: Any = None,
        *,
        body: bytes = b"",
        **more: str,
    ) -> Answer:
        """A request with the jar's cookies; ``more`` are fields, with ``_`` for ``-``."""
        self.through.view = view or nothing
        fields = [(name.replace("_", "-"), value) for name, value in more.items()]
        if self.jar:
            fields.append(cookie(**self.jar))
        if body:
            fields.append(("Content-Length", str(len(body))))
        ask = Ask(method=method, path=path, fields=fields, body=body)
        if self.door == "wsgi":
            answer = ask_wsgi(self.through.wsgi, ask.environ)
        else:
            answer = ask_asgi(self.through.asgi, ask.scope(), [message(body)])
        for name, value in answer.cookies.items():
            self.jar.pop(name, None)
            if value:
                self.jar[name] = value
        return answer

    def token_of_page(self) -> str:
        """What a page shows in its form."""
        shown: list[str] = []
        self.send(view=lambda auth: shown.append(auth.csrf_token))
        return shown[0]

    def login(self, subject: str = "alice") -> Answer:
        token = self.token_of_page()
        return self.send("POST", view=lambda auth: auth.login(subject), X_CSRF_Token=token)

    @property
    def auth(self) -> RequestAuth:
        return self.through.auth


def message(body: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def form(token: str, **more: str) -> bytes:
    return urlencode({"csrf_token": token, **more}).encode()


# ── Signed in ────────────────────────────────────────────────────────────────────


@DOORS
def test_a_login_sends_the_cookie(door: str) -> None:
    """The cookie is like those of the tokens, but scripts can read it; a logout clears it."""
    # S39, S40
    tab = Tab(door)
    answer = tab.login()
    (access,) = (one for one in answer.all("Set-Cookie") if one.startswith(ACCESS))
    (mine,) = (one for one in answer.all("Set-Cookie") if one.startswith(CSRF))
    assert "HttpOnly" in access
    attributes = [part for part in access.split("; ")[1:] if part != "HttpOnly"]
    assert mine.split("; ")[1:] == attributes
    assert answer.one("Cache-Control") == "no-store"

    token = tab.jar[CSRF]
    answer = tab.send("POST", view=lambda auth: auth.logout(), X_CSRF_Token=token)
    assert tab.jar == {}
    assert sum(one.startswith(f"{CSRF}=;") for one in answer.all("Set-Cookie")) == 1


@DOORS
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_an_unsafe_method_needs_a_token(door: str, method: str) -> None:
    """With the cookie's value in the header it passes; with the cookie alone it is anonymous."""
    # S40
    tab = Tab(door)
    tab.login()
    tab.send(method, X_CSRF_Token=tab.jar[CSRF])
    assert (tab.auth.subject, tab.auth.reason) == ("alice", None)
    tab.house.events.clear()
    tab.send(method)
    assert (tab.auth.subject, tab.auth.reason) == (None, "csrf_token_missing")
    tab.send(method, X_CSRF_Token="x" * 65)
    assert (tab.auth.subject, tab.auth.reason) == (None, "csrf_token_invalid")
    assert [(event.name, event.reason) for event in tab.house.events] == [
        ("csrf_refused", "csrf_token_missing"),
        ("csrf_refused", "csrf_token_invalid"),
    ]


@DOORS
def test_safe_methods_need_none(door: str) -> None:
    """What changes nothing needs no token, and a known token asks the store nothing."""  # S40
    tab = Tab(door)
    tab.login()
    verbs = noting(tab.house)
    for method in ("GET", "HEAD", "OPTIONS"):
        tab.send(method)
        assert tab.auth.subject == "alice"
    assert [verb for verb in verbs if verb != "purge"] == []


@DOORS
def test_a_token_of_another_session_is_none(door: str) -> None:
    """Planting one's own cookie and token in somebody's browser is of no use."""  # S40
    house = House(csrf="double-submit")
    alice, mallory = Tab(door, house), Tab(door, house)
    alice.login("alice")
    mallory.login("mallory")
    alice.jar[CSRF] = mallory.jar[CSRF]
    alice.send("POST", X_CSRF_Token=mallory.jar[CSRF])
    assert alice.auth.reason == "csrf_token_invalid"
    alice.jar[REFRESH] = mallory.jar[REFRESH]  # nor together with the refresh token it is of
    alice.send("POST", X_CSRF_Token=mallory.jar[CSRF])
    assert alice.auth.reason == "csrf_token_invalid"


@DOORS
def test_a_visitors_token_is_none_of_a_session(door: str) -> None:
    """What everybody can get does not count for somebody who is signed in."""  # S40
    tab, visitor = Tab(door), Tab(door)
    tab.login()
    tab.jar[CSRF] = visitor.token_of_page()
    tab.send("POST", X_CSRF_Token=tab.jar[CSRF])
    assert tab.auth.reason == "csrf_token_invalid"


@DOORS
def test_the_origin_counts_as_well(door: str) -> None:
    """Another site that has got hold of a token is still another site."""  # S40
    tab = Tab(door)
    tab.login()
    tab.send("POST", X_CSRF_Token=tab.jar[CSRF], Origin="https://evil.example")
    assert tab.auth.reason == "csrf"


@DOORS
def test_the_header_alone_counts(door: str) -> None:
    """A tossed cookie of that name, or none, changes nothing: the token names its session."""
    # S25
    tab = Tab(door)
    tab.login()
    token = tab.jar.pop(CSRF)
    tab.send("POST", X_CSRF_Token=token)
    assert tab.auth.subject == "alice"
    tab.jar[CSRF] = "tossed; " + CSRF + "=twice"
    tab.send("POST", X_CSRF_Token=token)
    assert tab.auth.subject == "alice"


@DOORS
def test_header_clients_need_none(door: str) -> None:
    """No other site can make a browser send an Authorization field."""  # S40
    house = House(csrf="double-submit")
    through = Through(house, lambda auth: auth.logout())
    through.ask(door, Ask(method="POST", fields=[bearer(house.auth.issue("alice").access_token)]))
    assert house.event_names == ["login", "revoked"]


@DOORS
def test_a_header_client_may_change_to_cookies(door: str) -> None:
    """It cannot be another site; but one that says it is, is refused all the same."""  # S40
    house = House(csrf="double-submit")
    through = Through(house, lambda auth: auth.login("alice", cookies=True))
    fields = [bearer(house.auth.issue("alice").access_token)]
    assert CSRF in through.ask(door, Ask(method="POST", fields=fields)).cookies
    evil = ("Origin", "https://evil.example")
    assert through.ask(door, Ask(method="POST", fields=[*fields, evil])).status == 403


@DOORS
@pytest.mark.parametrize("fresh", [True, False])
def test_it_is_decided_before_any_rotation(door: str, fresh: bool) -> None:
    """A refusal reads no row, rotates nothing and clears nothing."""  # S40
    tab = Tab(door)
    tab.login()
    if not fresh:
        tab.house.wait(AGES)
    verbs = noting(tab.house)
    answer = tab.send("POST")
    assert tab.auth.reason == "csrf_token_missing"
    assert verbs == []
    assert answer.all("Set-Cookie") == []


@DOORS
def test_it_travels_with_every_reissue(door: str) -> None:
    """Old and new tokens of a session are all good, before and after a rotation."""  # S40
    tab = Tab(door)
    tab.login()
    old = tab.jar.pop(CSRF)
    tab.house.wait(AGES)
    tab.send()
    assert tab.auth.reissued
    assert tab.jar[CSRF] != old
    for token in (old, tab.jar[CSRF]):
        tab.send("POST", X_CSRF_Token=token)
        assert tab.auth.subject == "alice"


@DOORS
def test_an_expired_access_token_is_reissued_by_a_post_with_a_token(door: str) -> None:
    """The token is of the session, so the reissue of its tokens does not concern it."""  # S40
    tab = Tab(door)
    tab.login()
    tab.house.wait(AGES)
    tab.send("POST", X_CSRF_Token=tab.jar[CSRF])
    assert (tab.auth.subject, tab.auth.reissued) == ("alice", True)


@DOORS
def test_it_survives_a_roll_over_of_the_secret(door: str) -> None:
    """Pages that were open when the secret changed still work."""  # S10
    store: Any = House().store
    old = Tab(door, secret_key=OLD_SECRET, session_store=store)
    old.login()
    new = Tab(door, secret_key=SECRET, previous_secret_keys=[OLD_SECRET], session_store=store)
    new.jar = old.jar
    new.send("POST", X_CSRF_Token=old.jar[CSRF])
    assert new.auth.subject == "alice"


@DOORS
def test_without_a_store(door: str) -> None:
    """Stateless sessions have an id, too, and it outlives their tokens."""  # S40
    tab = Tab(door, session_store="none")
    tab.login()
    old = tab.jar[CSRF]
    tab.house.wait(AGES)
    tab.send()
    tab.send("POST", X_CSRF_Token=old)
    assert tab.auth.subject == "alice"


# ── What a refusal says ──────────────────────────────────────────────────────────


@DOORS
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, f"Refused: no CSRF token came. {EXPECTED}"),
        (
            {"X_CSRF_Token": "<evil>"},
            f"Refused: the CSRF token is of another session, or none. {EXPECTED}",
        ),
    ],
    ids=["missing", "invalid"],
)
def test_a_refusal_says_what_was_expected(door: str, fields: dict[str, Any], said: str) -> None:
    """Where sign-in is required: 403, with the names to look for, and nothing that came."""  # S34
    tab = Tab(door, required=True, public_paths=["/"])
    tab.login()
    answer = tab.send("POST", "/orders", **fields)
    assert (answer.status, answer.one("WWW-Authenticate")) == (403, None)
    assert json.loads(answer.body) == {"error": "csrf_refused", "error_description": said}
    assert answer.all("Set-Cookie") == []


@DOORS
def test_a_refusal_knows_other_names(door: str) -> None:
    """The text has the names as they are configured."""
    names: Any = {
        "csrf_cookie_name": "page",
        "csrf_header_name": "X-Page",
        "csrf_field_name": "page_token",
    }
    tab = Tab(door, required=True, public_paths=["/"], **names)
    assert tab.token_of_page() == tab.jar["page"]
    tab.send("POST", view=lambda auth: auth.login("alice"), X_Page=tab.jar["page"])
    answer = tab.send("POST", "/orders")
    assert (
        b"Expected header X-Page with the value of cookie page, or form field page_token."
        in answer.body
    )
    tab.send("POST", "/orders", X_Page=tab.jar["page"])
    assert tab.auth.subject == "alice"
    body = urlencode({"page_token": tab.jar["page"]}).encode()
    tab.send("POST", "/orders", body=body, Content_Type=FORM)
    assert tab.auth.subject == "alice"


@DOORS
@pytest.mark.parametrize("mode", ["origin", "double-submit"])
def test_exempt_paths(door: str, mode: str) -> None:
    """Where the app has a protection of its own, neither origin nor token is asked for."""
    # S30, S40
    tab = Tab(door, csrf=mode, csrf_exempt_paths=["/hooks"])
    tab.login()
    tab.send("POST", "/hooks/github", Origin="https://evil.example")
    assert tab.auth.subject == "alice"
    tab.send("POST", "/hooksy", Origin="https://evil.example")
    assert tab.auth.reason == "csrf"


def test_a_websocket_is_judged_by_its_origin() -> None:
    """A script cannot add a header to a handshake: there the origin alone decides."""  # S40, S50
    tab = Tab("asgi")
    tab.login()
    for origin, subject in (("https://testserver", "alice"), ("https://evil.example", None)):
        request = make_request(
            cookies=tab.jar, headers={"origin": origin, "host": "testserver"}, websocket=True
        )
        arrival = tab.house.run(tab.house.flow.arrive(request, tab.house.now))
        assert arrival.auth.subject == subject


# ── Forms ────────────────────────────────────────────────────────────────────────

KINDS = {
    FORM: form,
    "multipart/form-data; boundary=edge": lambda token, **more: (
        "".join(
            f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in [("csrf_token", token), *more.items()]
        ).encode()
        + b"--edge--\r\n"
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [10, 200_000])
@DOORS
def test_a_form_may_carry_it(door: str, kind: str, size: int) -> None:
    """A page without scripts sends it in a hidden field, and the app reads its whole body."""
    # S40
    house = House(csrf="double-submit")
    tab = Tab(door, house)
    tab.login()
    bodies: list[bytes] = []
    seen: list[RequestAuth] = []

    def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(environ[AUTH_KEY])
        bodies.append(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        start_response("204 No Content", [])
        return []

    async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope[AUTH_KEY])
        content, more = b"", True
        while more:
            got = await receive()
            content, more = content + got["body"], got["more_body"]
        bodies.append(content)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    for token, reason in (
        (tab.token_of_page(), None),
        (tab.jar[CSRF], None),
        ("no", "csrf_token_invalid"),
        ("", "csrf_token_missing"),
    ):
        body = form("") + b"&" if not token and kind == FORM else b""
        body = (
            KINDS[kind](token, filler="x" * size) if not body else body + b"filler=" + b"x" * size
        )
        fields = [cookie(**tab.jar), ("Content-Type", kind), ("Content-Length", str(len(body)))]
        ask = Ask(method="POST", fields=fields, body=body)
        if door == "wsgi":
            ask_wsgi(wsgi.JWTMiddleware(wsgi_app, house.auth), ask.environ)
        else:
            half = len(body) // 2
            parts = [message(body[:half], True), message(body[half:])]
            ask_asgi(asgi.JWTMiddleware(asgi_app, house.auth), ask.scope(), parts)
        assert bodies.pop() == body
        assert (seen[-1].reason, seen[-1].subject) == (reason, None if reason else "alice")


@DOORS
def test_the_body_is_looked_at_only_if_it_decides(door: str) -> None:
    """Not beside a header, not for another type, not from another site, not without our cookies."""
    tab = Tab(door)
    tab.login()
    token = tab.jar[CSRF]
    body = form(token)
    looks: list[None] = []
    policy: Any = tab.house.flow.parts.csrf
    awaits = policy.awaits_form
    policy.awaits_form = lambda *given: awaits(*given) and (looks.append(None) or True)
    tab.send("POST", body=body, Content_Type=FORM, X_CSRF_Token=token)
    tab.send("POST", body=body, Content_Type="application/json")
    tab.send("POST", body=body, Content_Type=FORM, Sec_Fetch_Site="cross-site")
    tab.send("GET", body=body, Content_Type=FORM)
    tab.jar = {"theme": "dark"}
    tab.send("POST", body=body, Content_Type=FORM)
    assert looks == []
    tab.jar = {CSRF: tab.token_of_page()}
    tab.send("POST", body=body, Content_Type=FORM)
    assert looks == [None]


def test_a_body_that_cannot_be_read_has_no_token() -> None:
    """A client that goes away in the midst of its form is refused, and is no outage."""  # S14
    tab = Tab("wsgi")
    tab.login()

    class Broken(io.RawIOBase):
        def read(self, size: int | None = -1) -> bytes:
            raise ConnectionResetError

    environ = Ask(
        method="POST",
        fields=[cookie(**tab.jar), ("Content-Type", FORM), ("Content-Length", "9")],
    ).environ
    tab.through.view = nothing
    ask_wsgi(tab.through.wsgi, {**environ, "wsgi.input": Broken()})
    assert tab.auth.reason == "csrf_token_missing"


def test_a_client_that_goes_away_has_sent_no_token() -> None:
    """The same at the ASGI door, where the app is told."""
    tab = Tab("asgi")
    tab.login()
    tab.through.view = nothing
    fields = [cookie(**tab.jar), ("Content-Type", FORM)]
    scope = Ask(method="POST", fields=fields).scope()
    ask_asgi(tab.through.asgi, scope, [message(b"a=1&", True), {"type": "http.disconnect"}])
    assert tab.auth.reason == "csrf_token_missing"


# ── Before there is a session ────────────────────────────────────────────────────


@DOORS
def test_a_login_needs_a_visitors_token(door: str) -> None:
    """Another site cannot sign somebody in as somebody else: it cannot read our cookie."""  # S40
    tab = Tab(door)

    def view(auth: RequestAuth) -> None:
        auth.login("alice")

    assert b"no CSRF token came" in tab.send("POST", view=view).body
    token = tab.token_of_page()
    assert tab.jar == {CSRF: token}
    assert tab.token_of_page() == token  # it stays, for other tabs
    for other in ("no", Tab(door).token_of_page()):
        answer = tab.send("POST", view=view, X_CSRF_Token=other)
        assert (answer.status, b"of another session, or none" in answer.body) == (403, True)
    tab.send("POST", view=view, body=form(token, name="alice"), Content_Type=FORM)
    assert tab.auth.subject == "alice"
    tab.send("POST", X_CSRF_Token=token)
    assert tab.auth.reason == "csrf_token_invalid"  # it was a visitor's


@DOORS
def test_a_visitors_token_is_the_cookies_very_value(door: str) -> None:
    """One without the cookie, or with two of them, says nothing of who sends it."""  # S25, S40
    tab = Tab(door)
    token = tab.token_of_page()
    for jar in ({}, {CSRF: f"{token}; {CSRF}=tossed"}, {CSRF: "forged"}):
        tab.jar = jar
        answer = tab.send("POST", view=lambda auth: auth.login("alice"), X_CSRF_Token=token)
        assert (answer.status, tab.auth.subject) == (403, None)
    answer = tab.send("POST", view=lambda auth: auth.login("alice"), X_CSRF_Token="forged")
    assert (answer.status, tab.auth.subject) == (403, None)


@DOORS
def test_a_login_can_be_let_through(door: str) -> None:
    """The form post of an identity provider, and a login whose tokens are no cookies."""  # S40
    tab = Tab(door)
    tab.send("POST", view=lambda auth: auth.login("alice", cross_site=True))
    assert CSRF in tab.jar
    other = Tab(door)
    other.send("POST", view=lambda auth: auth.login("alice", cookies=False))
    assert (other.auth.subject, other.jar) == ("alice", {})


@DOORS
def test_who_was_signed_in_can_sign_in_again(door: str) -> None:
    """Where the old cookies still come along, the page's token is of their session."""  # S40
    tab = Tab(door)
    tab.login()
    first = tab.auth.session_id
    assert first is not None
    tab.house.auth.revoke(first)
    token = tab.token_of_page()
    assert (tab.auth.subject, tab.auth.reason) == (None, "revoked")
    tab.send(
        "POST",
        view=lambda auth: auth.login("alice"),
        body=form(token),
        Content_Type=FORM,
    )
    assert tab.auth.session_id not in (None, first)


@DOORS
def test_who_was_tossed_a_token_cookie_can_sign_in_again(door: str) -> None:
    """Somebody with two access cookies is a visitor, and not locked out."""  # S25
    tab = Tab(door, access_cookie_name="at")
    tab.login()
    tab.jar["at"] += "; at=tossed"
    token = tab.token_of_page()
    assert tab.auth.reason == "duplicate_cookie"
    tab.send("POST", view=lambda auth: auth.login("bob"), body=form(token), Content_Type=FORM)
    assert tab.auth.subject == "bob"


@DOORS
def test_the_last_word_wins_for_the_cookie_too(door: str) -> None:
    """A page shows the token that will count for what comes next."""
    shown: list[str] = []
    tab = Tab(door)
    token = tab.token_of_page()

    def login(auth: RequestAuth) -> None:
        assert auth.csrf_token == token
        auth.login("alice")
        shown.append(auth.csrf_token)

    answer = tab.send("POST", view=login, X_CSRF_Token=token)
    assert sum(one.startswith(CSRF) for one in answer.all("Set-Cookie")) == 1
    tab.send("POST", X_CSRF_Token=shown[-1])
    assert tab.auth.subject == "alice"

    def leave(auth: RequestAuth) -> None:
        auth.logout()
        shown.append(auth.csrf_token)
        assert auth.csrf_token == shown[-1]

    answer = tab.send("POST", view=leave, X_CSRF_Token=tab.jar[CSRF])
    assert sum(one.startswith(CSRF) for one in answer.all("Set-Cookie")) == 1
    assert tab.jar == {CSRF: shown[-1]}
    tab.send("POST", view=lambda auth: auth.login("bob"), X_CSRF_Token=shown[-1])
    assert tab.auth.subject == "bob"


@DOORS
def test_a_login_and_a_logout_in_one_request(door: str) -> None:
    """What arrived is judged as it arrived, whatever has become of the request since."""
    tab = Tab(door)
    token = tab.token_of_page()

    def view(auth: RequestAuth) -> None:
        auth.login("alice")
        auth.logout()
        auth.login("bob")
        auth.login("carol", cookies=False)
        assert auth.csrf_token == token

    tab.send("POST", view=view, X_CSRF_Token=token)
    assert tab.auth.subject == "carol"


# ── For templates ────────────────────────────────────────────────────────────────


@DOORS
def test_a_page_brings_the_cookie_where_it_is_missing(door: str) -> None:
    """Sessions from before the setting, or a jar that lost it: whoever shows a token sends it."""
    tab = Tab(door)
    tab.login()
    del tab.jar[CSRF]
    answer = tab.send()
    assert answer.all("Set-Cookie") == []  # nobody has asked
    token = tab.token_of_page()
    assert tab.jar[CSRF] == token
    assert tab.token_of_page() != token  # each page shows another one,
    assert tab.jar[CSRF] == token  # and the cookie stays
    tab.send("POST", X_CSRF_Token=token)
    assert tab.auth.subject == "alice"


@DOORS
def test_a_page_with_a_reissue_brings_one_cookie(door: str) -> None:
    """A reissue has the cookie along already."""
    tab = Tab(door)
    tab.login()
    del tab.jar[CSRF]
    tab.house.wait(AGES)
    answer = tab.send(view=lambda auth: auth.csrf_token)
    assert sum(one.startswith(CSRF) for one in answer.all("Set-Cookie")) == 1


@DOORS
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_cookie_for_a_visitor_is_in_no_cache(door: str, method: str) -> None:
    """A page that brings the cookie is no-store; one that cannot carry it sends none."""  # S36
    tab = Tab(door)
    answer = tab.send(method, view=lambda auth: auth.csrf_token)
    carries = method == "GET"
    assert (answer.one("Cache-Control"), bool(tab.jar)) == (
        ("no-store", True) if carries else (None, False)
    )


@DOORS
def test_the_app_sets_the_cookie_itself(door: str) -> None:
    """Its word counts, as for the cookies of the tokens."""  # S37
    tab = Tab(door)
    tab.through.headers.append(("Set-Cookie", f"{CSRF}=mine"))
    answer = tab.send(view=lambda auth: auth.csrf_token)
    assert answer.all("Set-Cookie") == [f"{CSRF}=mine"]


@DOORS
def test_too_late_to_ask(door: str) -> None:
    """A visitor's token needs a cookie, so it cannot be had once the headers are gone."""
    tab = Tab(door)
    tab.send()
    with pytest.raises(ResponseStarted, match="csrf_token"):
        _ = tab.auth.csrf_token
    tab.login()
    assert tab.auth.csrf_token  # one of a session can
    ignoring = Tab(door, ignore_paths=["/static"])
    ignoring.send("GET", "/static/page.css")
    with pytest.raises(PathIgnored):
        _ = ignoring.auth.csrf_token


@DOORS
@pytest.mark.parametrize("mode", ["origin", "off"])
def test_where_no_token_is_asked_for(door: str, mode: str) -> None:
    """Templates can show the token in every mode; there is none, and no cookie, in the others."""
    tab = Tab(door, csrf=mode)
    assert tab.token_of_page() == ""
    tab.login()
    assert set(tab.jar) == {ACCESS, REFRESH}
    assert tab.token_of_page() == ""


def test_texts_are_for_its_own_reasons() -> None:
    """Other reasons are explained elsewhere; what is fixed is plain ASCII."""  # S34
    policy = CsrfPolicy(make_settings(csrf="double-submit"))
    assert policy.explain("expired", make_request()) is None
    for reason in ("csrf", "csrf_token_missing", "csrf_token_invalid"):
        assert (policy.explain(reason, make_request()) or "").isascii()
    assert policy.fault(make_request("POST"), "") == "csrf_token_missing"
