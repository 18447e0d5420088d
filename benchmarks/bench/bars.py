"""The bars: what the middleware may cost at most, each beside something that others know.

A bar is a row: what is compared, how much is allowed, and the function that measures it. Those
that need servers (requests a second) are in `serving`; the number of Python calls is a test,
since it is exact.
"""

from __future__ import annotations

import base64
import gc
import hmac
import json
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from jwt_middleware import JWTAuth, Settings, asgi, wsgi
from jwt_middleware.stores.sqlite import SQLiteSessionStore

from ..store_sizes import Client, FilledSQLite, fill
from . import asgi_apps, wsgi_apps
from .driving import asgi_call, environ, scope, step, wsgi_call
from .pairing import Call, Ratio, Subject, added, measure, ratio
from .wsgi_apps import CLAIMS, COOKIE, SECRET, our_auth, our_cookies


@dataclass(frozen=True, slots=True)
class Scale:
    """How long to measure."""

    rounds: int
    calls: int
    sessions: int
    """In the larger of the two stores that are compared."""


FULL = Scale(rounds=60, calls=60, sessions=1_000_000)
QUICK = Scale(rounds=8, calls=10, sessions=20_000)


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of the table."""

    number: str
    what: str
    most: float
    unit: str
    """``"×"``: a ratio; else what is measured."""
    measure: Callable[[Scale], Ratio]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row, measured."""

    bar: Bar
    found: Ratio

    @property
    def held(self) -> bool:
        return self.found.value <= self.bar.most


# ── A valid token that was seen before ───────────────────────────────────────────


def cached_on_flask(scale: Scale) -> Ratio:
    """Ours in front of a Flask app, beside a view of flask-jwt-extended."""
    auth, flask = our_auth(), wsgi_apps.bare_flask()
    ours = environ(headers={"Cookie": our_cookies(auth, auth.issue("alice", CLAIMS))})
    theirs, cookies, _ = wsgi_apps.flask_jwt_extended()
    times = measure(
        {
            "bare": wsgi_call(flask, ours),
            "ours": wsgi_call(wsgi.JWTMiddleware(flask, auth), ours),
            "theirs": wsgi_call(theirs, environ(headers={"Cookie": cookies})),
        },
        rounds=scale.rounds,
        calls=scale.calls,
    )
    return ratio(added(times, "ours", "bare"), added(times, "theirs", "bare"))


def cached_at_wsgi(scale: Scale) -> Ratio:
    """Ours in front of an app that does nothing, beside a plain middleware with PyJWT."""
    auth = our_auth()
    ours = environ(headers={"Cookie": our_cookies(auth, auth.issue("alice", CLAIMS))})
    theirs = environ(headers={"Cookie": _plain_cookies()})
    times = measure(
        {
            "bare": wsgi_call(wsgi_apps.bare, ours),
            "ours": wsgi_call(wsgi.JWTMiddleware(wsgi_apps.bare, auth), ours),
            "theirs": wsgi_call(wsgi_apps.plain_middleware(wsgi_apps.bare), theirs),
        },
        rounds=scale.rounds,
        calls=scale.calls,
    )
    return ratio(added(times, "ours", "bare"), added(times, "theirs", "bare"))


def cached_at_asgi(scale: Scale) -> Ratio:
    """The same at the other door."""
    auth = our_auth()
    ours = scope(headers={"Cookie": our_cookies(auth, auth.issue("alice", CLAIMS))})
    theirs = scope(headers={"Cookie": _plain_cookies()})
    bare = asgi_apps.bare
    times = measure(
        {
            "bare": asgi_call(bare, ours, step),
            "ours": asgi_call(asgi.JWTMiddleware(bare, auth), ours, step),
            "theirs": asgi_call(asgi_apps.plain_middleware(bare), theirs, step),
        },
        rounds=scale.rounds,
        calls=scale.calls,
    )
    return ratio(added(times, "ours", "bare"), added(times, "theirs", "bare"))


def _plain_cookies() -> str:
    token = wsgi_apps.plain_token()
    return f"{COOKIE}={token}; refresh_token={token}"


# ── The first sight of a token ───────────────────────────────────────────────────


def _once_each(tokens: Sequence[str], read: Callable[[str], object]) -> Call:
    """Reads another token at each call; there are enough, so that none comes twice."""
    following = iter(tokens).__next__
    return lambda: read(following())


def issued(auth: JWTAuth, number: int, claims: Mapping[str, Any] = CLAIMS) -> list[str]:
    """Distinct tokens of which this process has not seen one."""
    tokens = auth.flow.parts.tokens
    now = auth.clock()
    session = tokens.new_session("alice", claims, persistent=True, now=now)
    members = [tokens.members(session, generation=0, now=now) for _ in range(number)]
    return [tokens.sign_access(one) for one in members]


def reader(auth: JWTAuth, tokens: Sequence[str]) -> Call:
    """Reads one of these tokens at each call."""
    read, now = auth.flow.parts.tokens.read_access, auth.clock()
    return _once_each(tokens, lambda token: read(token, now=now))


def _by_hand(token: str) -> Any:
    """The least that has to be done: one HMAC, three times base64, twice JSON."""
    signing_input, _, signature = token.rpartition(".")
    header, _, payload = signing_input.partition(".")
    expected = hmac.digest(SECRET.encode(), signing_input.encode(), "sha256")
    if not hmac.compare_digest(expected, base64.urlsafe_b64decode(signature + "==")):
        raise ValueError(token)
    json.loads(base64.urlsafe_b64decode(header + "=="))
    return json.loads(base64.urlsafe_b64decode(payload + "=="))


def _first_sight(theirs: Callable[[str], object]) -> Callable[[Scale], Ratio]:
    def measured(scale: Scale) -> Ratio:
        auth = our_auth()
        number = (scale.rounds + 2) * scale.calls
        times = measure(
            {
                "ours": reader(auth, issued(auth, number)),
                "theirs": _once_each(_foreign(number), theirs),
            },
            rounds=scale.rounds,
            calls=scale.calls,
        )
        return ratio(times["ours"], times["theirs"])

    return measured


def _foreign(number: int) -> list[str]:
    """Tokens as ours, signed by the secret itself."""
    auth = our_auth()
    bodies = [jwt.decode(token, options={"verify_signature": False}) for token in issued(auth, 1)]
    return [jwt.encode({**bodies[0], "jti": f"{one:012}"}, SECRET) for one in range(number)]


def _decode(token: str) -> Any:
    return jwt.decode(token, SECRET, algorithms=["HS256"])


PRIVATE_KEYS: dict[str, Callable[[], Any]] = {
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


def _pem(key: Any) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _asymmetric(algorithm: str) -> Callable[[Scale], Ratio]:
    def measured(scale: Scale) -> Ratio:
        key = PRIVATE_KEYS[algorithm]()
        auth = our_auth(algorithm=algorithm, private_key=_pem(key))
        verify, public = get_default_algorithms()[algorithm].verify, key.public_key()
        calls, number = max(scale.calls // 4, 5), (scale.rounds + 2) * max(scale.calls // 4, 5)
        tokens = issued(auth, number)

        def theirs(token: str) -> None:
            signing_input, _, signature = token.rpartition(".")
            decoded = base64.urlsafe_b64decode(signature + "==")
            if not verify(signing_input.encode(), public, decoded):
                raise ValueError(token)

        times = measure(
            {"ours": reader(auth, tokens), "theirs": _once_each(tokens, theirs)},
            rounds=scale.rounds,
            calls=calls,
        )
        return ratio(times["ours"], times["theirs"])

    return measured


# ── The reissue ──────────────────────────────────────────────────────────────────


class _Expiring:
    """A browser whose access token has expired, again and again: its clock is ours."""

    def __init__(self, auth: JWTAuth, now: list[float]) -> None:
        self.auth, self.now = auth, now
        pair = auth.issue("alice", CLAIMS)
        self.names = {auth.settings.access_cookie, auth.settings.refresh_cookie}
        self.jar = {
            auth.settings.access_cookie: pair.access_token,
            auth.settings.refresh_cookie: pair.refresh_token,
        }
        self.template = environ()
        self.expire()

    def expire(self) -> None:
        self.now[0] += self.auth.settings.access_token_expires + 1
        cookies = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        self.template["HTTP_COOKIE"] = cookies

    def start(self, status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
        if not status.startswith("200"):
            raise AssertionError(status)
        for name, value in headers:
            if name == "Set-Cookie":
                key, _, rest = value.partition("=")
                self.jar[key] = rest.partition(";")[0]

    def calling(self, app: Any) -> Call:
        def call() -> None:
            body = app({**self.template}, self.start)
            for _ in body:
                pass
            close = getattr(body, "close", None)
            if close is not None:
                close()

        return call


def _reissue(algorithm: str) -> Callable[[Scale], Ratio]:
    def measured(scale: Scale) -> Ratio:
        keys: dict[str, Any] = {}
        theirs_keys: dict[str, Any] = {}
        if algorithm != "HS256":
            pem = _pem(PRIVATE_KEYS[algorithm]())
            public = serialization.load_pem_private_key(pem.encode(), None).public_key()
            public_pem = public.public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            ).decode()
            keys = {"algorithm": algorithm, "private_key": pem}
            theirs_keys = {"JWT_PRIVATE_KEY": pem, "JWT_PUBLIC_KEY": public_pem}
        now = [time.time()]
        calls = scale.calls if algorithm == "HS256" else max(scale.calls // 10, 2)
        flask = wsgi_apps.bare_flask()
        with tempfile.TemporaryDirectory() as folder:
            store = SQLiteSessionStore(Path(folder, "sessions.sqlite3"))
            # So short that most of the requests, each one as much later, do not purge (every ten
            # minutes), and long enough that each of them rotates.
            settings = Settings(
                secret_key=SECRET, session_store=store, access_token_expires=150, **keys
            )
            auth = JWTAuth(settings, clock=lambda: now[0])
            browser = _Expiring(auth, now)
            theirs, _, refresh = wsgi_apps.flask_jwt_extended(algorithm, **theirs_keys)
            asked = environ("POST", "/refresh", {"Cookie": refresh})
            times = measure(
                {
                    "bare": wsgi_call(flask, environ()),
                    "ours": Subject(
                        browser.calling(wsgi.JWTMiddleware(flask, auth)), browser.expire
                    ),
                    "theirs": wsgi_call(theirs, asked),
                },
                rounds=scale.rounds,
                calls=calls,
            )
            store.close()
        return ratio(added(times, "ours", "bare"), added(times, "theirs", "bare"))

    return measured


def siblings(scale: Scale) -> Ratio:
    """A request with an expired token that another request has just been reissued for, beside
    one with a valid token."""
    now = [time.time()]
    auth = JWTAuth(Settings(secret_key=SECRET, session_store="memory://"), clock=lambda: now[0])
    door = wsgi.JWTMiddleware(wsgi_apps.bare, auth)
    browser = _Expiring(auth, now)
    browser.calling(door)()  # is reissued; what follows comes with the same expired cookies
    valid = environ(headers={"Cookie": our_cookies(auth, auth.issue("bob", CLAIMS))})
    times = measure(
        {
            "bare": wsgi_call(wsgi_apps.bare, valid),
            "sibling": wsgi_call(door, browser.template),
            "hit": wsgi_call(door, valid),
        },
        rounds=scale.rounds,
        calls=scale.calls,
    )
    return ratio(added(times, "sibling", "bare"), added(times, "hit", "bare"))


# ── What grows ───────────────────────────────────────────────────────────────────


def many_cookies(scale: Scale) -> Ratio:
    """Fifty cookies beside ours, against one."""
    auth = our_auth()
    door = wsgi.JWTMiddleware(wsgi_apps.bare, auth)
    ours = our_cookies(auth, auth.issue("alice", CLAIMS))
    others = "; ".join(f"theme{number}=0123456789abcdef" for number in range(48))
    few = environ(headers={"Cookie": ours})
    many = environ(headers={"Cookie": f"{others}; {ours}"})
    times = measure(
        {
            "bare": wsgi_call(wsgi_apps.bare, few),
            "few": wsgi_call(door, few),
            "many": wsgi_call(door, many),
        },
        rounds=scale.rounds,
        calls=scale.calls,
    )
    return ratio(added(times, "many", "bare"), added(times, "few", "bare"))


def many_keys(scale: Scale) -> Ratio:
    """The first sight of a token where a hundred secrets verify, against one."""
    number = (scale.rounds + 2) * scale.calls
    alone = our_auth()
    previous = [f"{one:03} a secret of the benchmark, 32 bytes" for one in range(99)]
    among = our_auth(previous_secret_keys=previous)
    times = measure(
        {
            "one": reader(alone, issued(alone, number)),
            "hundred": reader(among, issued(among, number)),
        },
        rounds=scale.rounds,
        calls=scale.calls,
    )
    return ratio(times["hundred"], times["one"])


def many_sessions(scale: Scale) -> Ratio:
    """A row read from SQLite and swapped, among a million and among a thousand."""
    chance = Random(1)  # noqa: S311  # which session is asked for next
    with ExitStack() as stack:

        def client(number: int) -> Client:
            filled = stack.enter_context(FilledSQLite(f"jwt_bench_{number}_", 2.0))
            return Client(filled.store, fill(filled, number, 300, chance).sample, chance)

        few, many = client(1000), client(scale.sessions)
        times = measure(
            {"few": lambda: _load_and_rotate(few), "many": lambda: _load_and_rotate(many)},
            rounds=scale.rounds,
            calls=scale.calls,
        )
    return ratio(times["many"], times["few"])


def _load_and_rotate(client: Client) -> None:
    client.load()
    client.rotate()


# ── Memory, and the start of a process ───────────────────────────────────────────


def memory_of_a_token(scale: Scale) -> Ratio:
    """Kilobytes for each token of 300 characters in the cache, by what Python has allocated."""
    number = scale.rounds * scale.calls
    auth = our_auth(token_cache_size=4 * number)
    tokens = auth.flow.parts.tokens
    now = auth.clock()
    session = tokens.new_session("alice", {}, persistent=True, now=now)
    members = [tokens.members(session, generation=0, now=now) for _ in range(number)]
    signed = [tokens.sign_access(one) for one in members]
    length = len(signed[0])
    del members
    # Each token comes as a server makes it: a string of its own.
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for token in signed:
        tokens.read_access(str(token.encode(), "ascii"), now=now)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    each = (after - before) / number / 1024 * 300 / length
    return Ratio(each, each, each)


_IMPORTING = """
import time
started = time.perf_counter()
import {}
print(time.perf_counter() - started)
"""


def importing(scale: Scale) -> Ratio:
    """`jwt_middleware.wsgi` in a new process, beside PyJWT and Werkzeug alone."""
    names = {"ours": "jwt_middleware.wsgi", "theirs": "jwt, werkzeug"}
    times: dict[str, list[float]] = {name: [] for name in names}
    order = list(names)
    random = Random(1)  # noqa: S311  # an order
    with tempfile.TemporaryDirectory() as folder:
        # Installed packages are compiled already; a working copy perhaps not.
        compiled = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        compiled.pop("PYTHONDONTWRITEBYTECODE", None)

        def started(name: str) -> float:
            program = [sys.executable, "-c", _IMPORTING.format(names[name])]
            return float(subprocess.check_output(program, env=compiled, text=True))  # noqa: S603  # ourselves

        for name in order:
            started(name)
        for _ in range(max(scale.rounds // 3, 5)):
            random.shuffle(order)
            for name in order:
                times[name].append(started(name))
    return ratio(times["ours"], times["theirs"])


BARS: tuple[Bar, ...] = (
    Bar("1", "known token, beside flask-jwt-extended on Flask", 0.03, "×", cached_on_flask),
    Bar("2w", "known token, beside parse_cookie and jwt.decode, WSGI", 0.06, "×", cached_at_wsgi),
    Bar("2a", "known token, beside parse_cookie and jwt.decode, ASGI", 0.08, "×", cached_at_asgi),
    Bar(
        "3",
        "first sight of a token, beside hmac, base64 and json",
        1.3,
        "×",
        _first_sight(_by_hand),
    ),
    Bar("4", "first sight of a token, beside jwt.decode", 0.2, "×", _first_sight(_decode)),
    *(
        Bar(
            f"5 {name}",
            f"first sight, {name}, beside PyJWT's verify() alone",
            1.4,
            "×",
            _asymmetric(name),
        )
        for name in PRIVATE_KEYS
    ),
    Bar(
        "6",
        "reissue with SQLite, beside flask-jwt-extended's /refresh",
        0.2,
        "×",
        _reissue("HS256"),
    ),
    Bar("7", "the same, RS256", 0.04, "×", _reissue("RS256")),
    Bar("8", "a sibling of a reissued request, beside a known token", 2.0, "×", siblings),
    Bar("9 cookies", "50 cookies, beside 2", 1.3, "×", many_cookies),
    Bar("9 keys", "100 keys, beside 1", 1.1, "×", many_keys),
    Bar("9 sessions", "1,000,000 sessions in SQLite, beside 1,000", 1.6, "×", many_sessions),
    Bar("11", "memory of a cached token of 300 characters", 2.0, "KB", memory_of_a_token),
    Bar("13", "import of jwt_middleware.wsgi, beside jwt and werkzeug", 1.2, "×", importing),
)
