"""The settings a command works with: those the app would read from the same environment."""

from __future__ import annotations

import argparse
import warnings

from ..auth import JWTAuth
from ..settings import RiskyTimesWarning, Settings


def settings_of(options: argparse.Namespace) -> Settings:
    """As the app would read them. Raises `ConfigurationError`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RiskyTimesWarning)  # `check` is there to say so
        return Settings.from_env(options.prefix)


def auth_of(options: argparse.Namespace) -> JWTAuth:
    """The configuration, put together. Raises `ConfigurationError`."""
    return JWTAuth(settings_of(options))
