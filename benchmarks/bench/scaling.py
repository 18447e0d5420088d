"""How costs grow with what a client or an operator may choose."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from jwt_middleware import wsgi

from . import wsgi_apps
from .bars import Scale, issued, reader
from .driving import environ, wsgi_call
from .pairing import Call, added, measure
from .wsgi_apps import CLAIMS, our_auth, our_cookies


@dataclass(frozen=True, slots=True)
class Curve:
    """One cost over one size."""

    name: str
    size: str
    """What grows, and its unit."""
    points: tuple[tuple[float, float], ...]
    """Size and microseconds."""


def curves(scale: Scale) -> list[Curve]:
    """All of them. (Sessions: `store_sizes.py` has every store.)"""
    return [_known_by_cookies(scale), _first_by_claims(scale), _first_by_keys(scale)]


def _curve(
    name: str, size: str, calls: dict[float, Call], bare: Call | None, scale: Scale
) -> Curve:
    subjects = {str(number): call for number, call in calls.items()}
    if bare is not None:
        subjects["bare"] = bare
    times = measure(subjects, rounds=scale.rounds, calls=scale.calls)
    under = None if bare is None else "bare"
    points = tuple((number, median(added(times, str(number), under))) for number in calls)
    return Curve(name, size, points)


def _known_by_cookies(scale: Scale) -> Curve:
    auth = our_auth()
    door = wsgi.JWTMiddleware(wsgi_apps.bare, auth)
    ours = our_cookies(auth, auth.issue("alice", CLAIMS))

    def call(number: int) -> Call:
        others = "".join(f"theme{one}=0123456789abcdef; " for one in range(number))
        return wsgi_call(door, environ(headers={"Cookie": others + ours}))

    calls: dict[float, Call] = {number: call(number) for number in (0, 5, 10, 25, 50)}
    bare = wsgi_call(wsgi_apps.bare, environ())
    return _curve("a known token", "other cookies", calls, bare, scale)


def _first_by_claims(scale: Scale) -> Curve:
    number = (scale.rounds + 2) * scale.calls

    def call(size: int) -> Call:
        auth = our_auth()
        return reader(auth, issued(auth, number, {"pad": "x" * size}))

    sizes = (200, 1000, 2000, 4000, 5500)
    calls: dict[float, Call] = {size / 1000: call(size) for size in sizes}
    return _curve("the first sight of a token", "claims, KB", calls, None, scale)


def _first_by_keys(scale: Scale) -> Curve:
    number = (scale.rounds + 2) * scale.calls

    def call(keys: int) -> Call:
        previous = [f"{one:03} a secret of the benchmark, 32 bytes" for one in range(keys - 1)]
        auth = our_auth(previous_secret_keys=previous)
        return reader(auth, issued(auth, number))

    calls: dict[float, Call] = {keys: call(keys) for keys in (1, 10, 30, 100)}
    return _curve("the first sight of a token", "keys", calls, None, scale)
