"""Settings that work, at a price: each named, with what to do if it is not meant.

What cannot work or would have no effect is refused by `Settings` itself. Here is what somebody may
want, in development, for a roll-out or for good, and should have chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..keys import ASYMMETRIC
from ..settings import DAY, HOUR, MINUTE, Settings
from .findings import Finding, Level
from .private_matters import named_suspiciously


@dataclass(frozen=True, slots=True)
class _Price:
    """While ``when`` holds, the setting costs what ``text`` says."""

    level: Level
    setting: str
    when: Callable[[Settings], bool]
    text: str


def _by_cookie(settings: Settings) -> bool:
    return "cookies" in settings.token_location


def _issues(settings: Settings) -> bool:
    return settings.secret_key is not None


def _stores(settings: Settings) -> bool:
    return not settings.stateless


def _store_url(settings: Settings) -> str:
    return settings.session_store if isinstance(settings.session_store, str) else ""


_LOOPBACK = ("", "localhost", "127.0.0.1", "::1")
_WITHOUT_TLS = ("redis", "redis+cluster")


def _crosses_a_network_openly(settings: Settings) -> bool:
    parts = urlsplit(_store_url(settings))
    return parts.scheme in _WITHOUT_TLS and (parts.hostname or "") not in _LOOPBACK


_PRICES: tuple[_Price, ...] = (
    _Price(
        Level.RISK,
        "secret_key",
        lambda settings: any(map(_guessable, settings.secret_keys)),
        "looks like a word or a pattern, which is found by trying, and whoever has it is every "
        "user; make another: jwt-middleware keygen",
    ),
    _Price(
        Level.NOTE,
        "previous_secret_keys",
        lambda settings: bool(settings.previous_secret_keys),
        "still verify; take them out when refresh_token_expires has passed since the change",
    ),
    _Price(
        Level.RISK,
        "cookie_secure",
        lambda settings: _by_cookie(settings) and not settings.cookie_secure,
        "cookies travel by plain http, too, where whoever is on the way can take them; for "
        "development only: leave it out elsewhere",
    ),
    _Price(
        Level.NOTE,
        "cookie_secure",
        lambda settings: _by_cookie(settings) and settings.cookie_secure,
        "over plain http browsers forget a sign-in at once (on localhost Safari does, Chromium and "
        "Firefox do not); for development on your own machine set it to false",
    ),
    _Price(
        Level.RISK,
        "cookie_httponly",
        lambda settings: _by_cookie(settings) and not settings.cookie_httponly,
        "every script on your pages can read the tokens and carry them off; leave it out",
    ),
    _Price(
        Level.RISK,
        "cookie_domain",
        lambda settings: _by_cookie(settings) and settings.cookie_domain is not None,
        "all hosts below it get the tokens, and each can plant its own; leave it out unless they "
        "have to share a sign-in",
    ),
    _Price(
        Level.RISK,
        "cookie_samesite",
        lambda settings: _by_cookie(settings) and settings.cookie_samesite == "None",
        'requests that other sites cause carry the cookies; leave it out ("Lax") unless your '
        "pages are embedded in theirs",
    ),
    _Price(
        Level.NOTE,
        "access_cookie_name",
        lambda settings: _by_cookie(settings) and any(map(_can_be_planted, _given_names(settings))),
        "a neighbour host can plant a cookie of this name; leave it out, or begin it with __Host-",
    ),
    _Price(
        Level.RISK,
        "csrf",
        lambda settings: _by_cookie(settings) and settings.csrf == "off",
        "other sites can act for your users, unless the app itself sees to it; leave it out",
    ),
    _Price(
        Level.RISK,
        "trusted_origins",
        lambda settings: any(one.startswith("http://") for one in settings.trusted_origins),
        "whoever is on the way can pose as an origin without https; give https:// ones",
    ),
    _Price(
        Level.RISK,
        "session_store",
        lambda settings: _issues(settings) and not _stores(settings),
        "without one nobody can be signed out, and a stolen refresh token is good until it "
        "expires, unnoticed; name a store, such as sqlite:////srv/app/sessions.sqlite3",
    ),
    _Price(
        Level.RISK,
        "session_store",
        lambda settings: _store_url(settings) == "memory://",
        "sessions end with the process, and each worker has its own, so that with two of them "
        "people are signed out at random; name another, such as sqlite:///jwt-sessions.sqlite3",
    ),
    _Price(
        Level.NOTE,
        "session_store",
        lambda settings: (
            _store_url(settings).startswith("sqlite:///")
            and not _store_url(settings).startswith("sqlite:////")
        ),
        "its file is looked for in the folder that a process was started in, so this command may "
        "see another one than the app; give an absolute path, with four slashes",
    ),
    _Price(
        Level.RISK,
        "session_store",
        _crosses_a_network_openly,
        "sessions and the password cross the network in plain text; use rediss://",
    ),
    _Price(
        Level.RISK,
        "access_token_expires",
        lambda settings: (
            _issues(settings)
            and settings.check_session == "never"
            and settings.access_token_expires > HOUR
        ),
        "who was signed out, or has lost a role, keeps access for so long; shorten it (15 minutes "
        "is the default), or set check_session",
    ),
    _Price(
        Level.NOTE,
        "session_lifetime",
        lambda settings: _issues(settings) and settings.session_lifetime > 366 * DAY,
        "a device that was lost, and never missed, stays signed in for more than a year",
    ),
    _Price(
        Level.NOTE,
        "refresh_token_expires",
        lambda settings: (
            _issues(settings) and settings.refresh_token_expires > settings.session_lifetime
        ),
        "is cut at session_lifetime, which is shorter",
    ),
    _Price(
        Level.RISK,
        "rotation_grace",
        lambda settings: _issues(settings) and _stores(settings) and settings.rotation_grace < 10,
        "requests that were under way while another one rotated their session count as theft, and "
        "people are signed out; 120 seconds is the default",
    ),
    _Price(
        Level.NOTE,
        "lost_response_window",
        lambda settings: _issues(settings) and settings.lost_response_window == 0,
        "whose response is lost on the way is signed out",
    ),
    _Price(
        Level.RISK,
        "leeway",
        lambda settings: settings.leeway > MINUTE,
        "expired tokens count for longer than clocks differ; synchronise the clocks",
    ),
    _Price(
        Level.NOTE,
        "required",
        lambda settings: not settings.required and not settings.rules,
        "nothing asks for a sign-in by itself: each view has to look whether somebody is there, "
        "unless the app gives rules in code",
    ),
    _Price(
        Level.RISK,
        "accept_unencrypted",
        lambda settings: settings.accept_unencrypted,
        "tokens count that whoever holds them can read and, with the secret alone, make; take it "
        "out when all machines encrypt",
    ),
    _Price(
        Level.RISK,
        "websocket_query_param",
        lambda settings: settings.websocket_query_param is not None,
        "tokens in an address end up in the logs of every server on the way",
    ),
    _Price(
        Level.RISK,
        "jwks_loopback_http",
        lambda settings: settings.jwks_loopback_http,
        "whoever else runs on this machine may answer for the issuer; for development only",
    ),
    _Price(
        Level.RISK,
        "audience",
        lambda settings: bool(
            not settings.audience
            and (settings.algorithm in ASYMMETRIC or settings.public_keys or settings.jwks_url)
        ),
        "is not set, so that a token for one of the services that share a key is good for all of "
        "them; set it to a name of this one (RFC 8725 section 3.9)",
    ),
)


def risks(settings: Settings) -> Iterator[Finding]:
    """All of them, in the order of the settings' table."""
    for price in _PRICES:
        if price.when(settings):
            yield Finding(price.level, price.setting, price.text)
    yield from _readable_claims(settings)


# ── Secrets and names ────────────────────────────────────────────────────────────

_WORDS = (b"secret", b"changeme", b"change-me", b"change_me", b"password", b"example", b"insecure")
_FEWEST = 12
"""Different bytes in a secret. Of 43 random characters of base64url far more differ."""


def _guessable(secret: bytes) -> bool:
    lower = secret.lower()
    return len(set(secret)) < _FEWEST or any(word in lower for word in _WORDS)


def _given_names(settings: Settings) -> list[str]:
    names = (settings.access_cookie_name, settings.refresh_cookie_name)
    return [name for name in names if name is not None]


def _can_be_planted(cookie: str) -> bool:
    return not cookie.lower().startswith("__host-")


# ── Claims ───────────────────────────────────────────────────────────────────────


def _readable_claims(settings: Settings) -> Iterator[Finding]:
    """Claims that the settings ask for, by their names."""
    if settings.encryption_key is not None:
        return
    asked = dict.fromkeys(settings.required_claims, "required_claims")
    for setting in ("identity_claim", "roles_claim", "scopes_claim"):
        asked[getattr(settings, setting)] = setting
    for claim, setting in asked.items():
        what = named_suspiciously(claim)
        if what is not None:
            text = (
                f"{claim} looks like {what}, and whoever holds a token can read it; use an "
                "opaque id, or set encryption_key"
            )
            yield Finding(Level.RISK, setting, text)
