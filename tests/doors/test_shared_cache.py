"""A real nginx with ``proxy_cache`` in front of both doors: it hands no user another's token."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uvicorn
from real_http import ACCESS, REFRESH, Answer, call, free_port, members_of, wait_until
from stepping import START, House
from stores.services import missing
from through import AGES
from werkzeug.serving import make_server

from jwt_middleware import asgi, get_auth, wsgi

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

CONFIGURATION = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache keys_zone=shared:1m;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{app};
            proxy_http_version 1.1;
            proxy_cache shared;
            proxy_cache_revalidate on;
            proxy_cache_valid any 10m;
            add_header X-Cache-Status $upstream_cache_status always;
            {more}
        }}
    }}
}}
"""

MANNERS = {
    "as it comes": "",
    "stores cookies": "proxy_ignore_headers Set-Cookie;",
    "knows no Vary": "proxy_ignore_headers Set-Cookie Vary;",
    "heads apart": "proxy_ignore_headers Set-Cookie; proxy_cache_convert_head off; "
    "proxy_cache_key $request_method$uri;",
}
"""nginx leaves alone whatever sets a cookie, and minds Vary; many caches do neither."""

PAGES: dict[str, tuple[int, dict[str, str]]] = {
    "/public": (200, {"Cache-Control": "public, max-age=600, s-maxage=600"}),
    "/plain": (200, {}),
    "/accel": (200, {"X-Accel-Expires": "600", "Expires": "Thu, 01 Jan 2099 00:00:00 GMT"}),
    "/varies": (200, {"Cache-Control": "public, max-age=600", "Vary": "Accept-Encoding"}),
    "/missing": (404, {"Cache-Control": "public, max-age=600"}),
    "/broken": (500, {"Cache-Control": "public, max-age=600"}),
    "/tagged": (200, {"Cache-Control": "public, max-age=1", "ETag": '"1"'}),
}


class Site(NamedTuple):
    """The app behind the cache, and where the cache listens."""

    house: House
    port: int
    minds_vary: bool

    def ask(self, method: str, path: str, headers: dict[str, str]) -> Answer:
        return call(self.port, method, path, headers=headers)


def page(path: str, condition: str | None) -> tuple[int, list[tuple[str, str]], bytes]:
    """What the app answers: whom it sees, with headers that invite caches to keep it."""
    status, headers = PAGES[path]
    if condition == headers.get("ETag", ""):
        return 304, [*headers.items()], b""
    return status, [*headers.items()], f"{get_auth().subject}".encode()


def wsgi_app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    status, headers, body = page(environ["PATH_INFO"], environ.get("HTTP_IF_NONE_MATCH"))
    start_response(f"{status} Whatever", headers)
    return [body]


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    condition = dict(scope["headers"]).get(b"if-none-match")
    status, headers, body = page(scope["path"], condition and condition.decode())
    fields = [(name.lower().encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def serving(door: str, house: House) -> Iterator[int]:
    """The app behind a door, on a port of its own, in a thread of this process."""
    if door == "wsgi":
        app = wsgi.JWTMiddleware(wsgi_app, house.auth)
        server = make_server("127.0.0.1", 0, app, threaded=True)
        port, start, stop = server.server_port, server.serve_forever, server.shutdown
    else:
        port = free_port()
        settings: dict[str, Any] = {"log_level": "error", "lifespan": "off"}
        uvicorn_server = uvicorn.Server(
            uvicorn.Config(asgi.JWTMiddleware(asgi_app, house.auth), port=port, **settings)
        )
        start = uvicorn_server.run

        def stop() -> None:
            uvicorn_server.should_exit = True

    thread = threading.Thread(target=start, daemon=True)
    thread.start()
    try:
        wait_until(lambda: _listens(port), "the app")
        yield port
    finally:
        stop()
        thread.join(10)


@contextmanager
def caching(folder: Path, app: int, more: str) -> Iterator[int]:
    """An nginx of our own in front of ``app``."""
    if NGINX is None:
        missing("needs nginx: apt-get install nginx-light")
    port = free_port()
    file = folder / "nginx.conf"
    # Started by root, its worker would become somebody who may not write here.
    user = "user root;" if os.getuid() == 0 else ""
    settings = {"folder": folder, "port": port, "app": app, "more": more, "user": user}
    file.write_text(CONFIGURATION.format_map(settings))
    log = folder / "error.log"
    process = subprocess.Popen(
        [NGINX, "-p", str(folder), "-e", str(log), "-c", str(file)], stderr=subprocess.STDOUT
    )
    try:
        wait_until(lambda: process.poll() is not None or _listens(port), "nginx")
        assert process.poll() is None, log.read_text()
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    try:
        call(port, "OPTIONS", "/plain")
    except ConnectionError:
        return False
    return True


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def behind(request: pytest.FixtureRequest) -> Iterator[tuple[House, int]]:
    house = House(cookie_secure=False)
    with serving(request.param, house) as port:
        yield house, port


@pytest.fixture(params=MANNERS, ids=lambda name: name.replace(" ", "-"))
def site(
    behind: tuple[House, int], request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Site]:
    house, app = behind
    with caching(tmp_path, app, MANNERS[request.param]) as port:
        yield Site(house, port, request.param != "knows no Vary")


serial = count()


class Visitor:
    """Somebody with tokens of their own, in cookies or in headers; or nobody."""

    def __init__(self, site: Site, channel: str) -> None:
        self.site = site
        self.channel = channel
        self.name = "None"
        self.tokens: dict[str, str] = {}
        if channel != "none":
            self.name = f"user{next(serial)}"
            pair = site.house.auth.issue(self.name)
            self.tokens = {ACCESS: pair.access_token, REFRESH: pair.refresh_token}

    def ask(self, method: str, path: str) -> Answer:
        access, refresh = self.tokens.get(ACCESS, ""), self.tokens.get(REFRESH, "")
        headers = {
            "none": {},
            "cookies": {"Cookie": f"{ACCESS}={access}; {REFRESH}={refresh}"},
            "bearer": {"Authorization": f"Bearer {access}", "X-Refresh-Token": refresh},
            "refresh alone": {"X-Refresh-Token": refresh},
        }[self.channel]
        answer = self.site.ask(method, path, headers)
        received = dict(answer.cookies)
        for name, field in ((ACCESS, "X-Access-Token"), (REFRESH, "X-Refresh-Token")):
            received.update(dict.fromkeys([name] * len(answer.all(field)), *answer.all(field)))
        for token in received.values():
            assert members_of(token)["sub"] == self.name, "somebody else's token"
        self.tokens.update(received)
        return answer


CHANNELS = ("cookies", "bearer", "refresh alone", "none")


@pytest.mark.parametrize("path", PAGES)
def test_nobody_gets_anothers_token(site: Site, path: str) -> None:
    """Whatever the app says of caching, whoever comes first, and however they carry tokens."""
    # S36
    statuses: list[str] = []
    received = 0
    for method in ("GET", "HEAD", "GET"):
        site.house.now += AGES  # access tokens have expired, so that new ones go out
        visitors = [Visitor(site, channel) for channel in (*CHANNELS, *CHANNELS)]
        site.house.now += AGES
        for visitor in [*visitors, *reversed(visitors)]:
            before = dict(visitor.tokens)
            answer = visitor.ask(method, path)
            received += visitor.tokens != before
            statuses += answer.all("X-Cache-Status")
            assert answer.status == PAGES[path][0]
            if method == "GET" and visitor.channel != "bearer" and site.minds_vary:
                # Of Authorization nginx knows nothing: what the app calls public is public.
                strangers = {"None"} if visitor.channel == "refresh alone" else set[str]()
                assert answer.text in {visitor.name, *strangers}
    assert "HIT" in statuses, "it caches nothing: the test shows nothing"
    # Those with cookies, each round; whom a stored page keeps from the app, it cannot reissue.
    assert received >= (6 if site.minds_vary else 1)


@pytest.mark.parametrize("site", ["stores cookies"], indirect=True)
def test_what_was_revalidated_carries_no_token(site: Site) -> None:
    """The headers of a 304 would be kept with the stored response: no token is among them."""
    # S36
    anonymous = Visitor(site, "none")
    assert anonymous.ask("GET", "/tagged").all("X-Cache-Status") in (["MISS"], ["EXPIRED"])
    visitors = {channel: Visitor(site, channel) for channel in CHANNELS}
    for visitor in visitors.values():
        visitor.ask("GET", "/tagged")
    time.sleep(2.1)  # nginx reads its own clock: one second of freshness, rounded up
    site.house.now += AGES
    statuses = [
        visitor.ask("GET", "/tagged").all("X-Cache-Status") for visitor in visitors.values()
    ]
    assert ["REVALIDATED"] in statuses
    for channel in CHANNELS:
        Visitor(site, channel).ask("GET", "/tagged")
    assert site.house.now > START
