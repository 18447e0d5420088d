"""Finds where an issuer publishes its keys (OpenID Connect Discovery 1.0 section 4, RFC 8414).

An issuer's URL leads to its configuration, which names the address of its keys. The
configuration has to name the issuer itself, character by character: else one that is allowed
to publish below the other's URL could pose as it (RFC 8414 section 6.2).
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from . import setting_kinds as kinds
from .errors import InvalidToken, KeysNotFetched
from .jws import read_object
from .keys import Fetched, FetchKeys
from .setting_kinds import Unfit


class Discovery:
    """A `FetchKeys` that is given an issuer's URL.

    It asks for the configuration each time, as keys are asked for rarely, and their address may
    change. ``fetch`` asks for both; ``loopback_http``: whether the address may be http on this
    machine.
    """

    def __init__(self, fetch: FetchKeys, *, loopback_http: bool = False) -> None:
        self._fetch = fetch
        self._loopback_http = loopback_http

    def __call__(self, issuer: str, etag: str | None) -> Fetched:
        """Raises `KeysNotFetched`, and what ``fetch`` raises."""
        address = self._address_of_keys(issuer)
        # A tag says nothing of another document, so it is kept together with its address.
        tagged, _, tag = (etag or "").partition(" ")
        fetched = self._fetch(address, tag if tagged == address else None)
        return replace(fetched, etag=fetched.etag and f"{address} {fetched.etag}")

    def _address_of_keys(self, issuer: str) -> str:
        content = self._configuration(issuer).content
        try:
            configuration = read_object(content or b"", "the configuration")
        except InvalidToken:
            raise KeysNotFetched("the issuer's configuration is not a JSON object") from None
        if configuration.get("issuer") != issuer:
            raise KeysNotFetched("the configuration found there names another issuer")
        try:
            address = kinds.key_url(configuration.get("jwks_uri"))
        except Unfit as unfit:
            raise KeysNotFetched(f"its jwks_uri {unfit}") from None
        if not self._loopback_http and kinds.is_plain_http(address):
            raise KeysNotFetched("its jwks_uri is no https")
        return address

    def _configuration(self, issuer: str) -> Fetched:
        """At OpenID's address, else at OAuth's."""
        try:
            return self._fetch(openid_address(issuer), None)
        except Exception as failure:  # noqa: BLE001  # the user's fetcher may raise anything
            try:
                return self._fetch(oauth_address(issuer), None)
            except Exception:  # noqa: BLE001  # likewise
                raise failure from None


def openid_address(issuer: str) -> str:
    """OpenID Connect Discovery 1.0 section 4: below the issuer's path."""
    return issuer.removesuffix("/") + "/.well-known/openid-configuration"


def oauth_address(issuer: str) -> str:
    """RFC 8414 section 3.1: between host and path."""
    parts = urlsplit(issuer)
    path = "/.well-known/oauth-authorization-server" + parts.path.removesuffix("/")
    return parts._replace(path=path).geturl()
