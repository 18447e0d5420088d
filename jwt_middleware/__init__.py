"""Authentication middleware for WSGI and ASGI that reissues tokens inside the request.

    from jwt_middleware.wsgi import JWTMiddleware     # Flask, Django, Pyramid, Bottle, Falcon
    from jwt_middleware.asgi import JWTMiddleware     # Starlette, FastAPI, Litestar, Quart

The doors are modules of their own, so that a program imports only the one it uses.
"""

from .access import Requirement
from .auth import JWTAuth
from .claims import Claims
from .errors import (
    ConfigurationError,
    CrossSiteRequest,
    InvalidClaims,
    JWTMiddlewareError,
    MiddlewareNotInstalled,
    NotAuthenticated,
    PathIgnored,
    ResponseStarted,
    SessionsNotStored,
    StoreUnavailable,
    TokenTooLarge,
)
from .events import Event
from .handle import RequestAuth, get_auth, get_claims
from .issuers import Issuer
from .legacy import LegacyTokens
from .rules import Rule
from .sessions import AsyncSessionStore, ListedSession, Rotation, Session, SessionStore
from .settings import Settings
from .tokens import TokenPair

__version__ = "0.1.0"

__all__ = [
    "AsyncSessionStore",
    "Claims",
    "ConfigurationError",
    "CrossSiteRequest",
    "Event",
    "InvalidClaims",
    "Issuer",
    "JWTAuth",
    "JWTMiddlewareError",
    "LegacyTokens",
    "ListedSession",
    "MiddlewareNotInstalled",
    "NotAuthenticated",
    "PathIgnored",
    "RequestAuth",
    "Requirement",
    "ResponseStarted",
    "Rotation",
    "Rule",
    "Session",
    "SessionStore",
    "SessionsNotStored",
    "Settings",
    "StoreUnavailable",
    "TokenPair",
    "TokenTooLarge",
    "get_auth",
    "get_claims",
]
