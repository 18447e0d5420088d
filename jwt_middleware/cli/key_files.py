"""Files with private keys: for their owner alone, and whole at every moment.

A set is a JWK Set in the order that ``private_key`` has: the first signs, all verify. The three
steps by which docs/keys.md replaces a key are three changes of that order.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..jwk import read_keys
from ..setting_kinds import Unfit
from .exits import Exit, Stop
from .new_keys import Jwk


def write_new(path: Path, content: str) -> None:
    """A file that did not exist. Raises `Stop` if it does: a key that is overwritten is lost."""
    try:
        _write(path, content)
    except FileExistsError:
        raise Stop(Exit.USAGE, f"{str(path)!r} exists already; choose another file") from None
    except OSError as error:
        raise _cannot("write", path, error) from None


def replace(path: Path, content: str) -> None:
    """Exchanged in one step, so that whoever reads it meanwhile reads the old or the new one."""
    beside = path.with_name(f"{path.name}.new")
    try:
        _write(beside, content)
        os.replace(beside, path)
    except FileExistsError:
        raise Stop(
            Exit.USAGE, f"somebody else is writing {str(beside)!r}; if not, delete it"
        ) from None
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise _cannot("write", path, error) from None


def _write(path: Path, content: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def _cannot(do: str, path: Path, error: OSError) -> Stop:
    return Stop(Exit.USAGE, f"cannot {do} {str(path)!r}: {error.strerror}")


# ── Sets ─────────────────────────────────────────────────────────────────────────


def read_private_set(path: Path) -> list[Jwk]:
    """Its keys, in order; none if there is no such file. Raises `Stop`."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _cannot("read", path, error) from None
    try:
        members: Any = json.loads(content)["keys"]
        if not all(key.can_sign for key in read_keys(content)):
            raise Stop(Exit.USAGE, f"{str(path)!r} holds a public key, which cannot sign")
    except Unfit as unfit:  # is a ValueError, too
        raise Stop(Exit.USAGE, f"{str(path)!r} {unfit}") from None
    except (ValueError, TypeError, KeyError):
        raise Stop(Exit.USAGE, f"{str(path)!r} is no JWK Set; name one, or a new file") from None
    keys: list[Jwk] = members
    return keys


def write_set(path: Path, keys: list[Jwk]) -> None:
    """In the place of the one there was. Raises `Stop`."""
    replace(path, json.dumps({"keys": keys}, indent=2) + "\n")


def public_set(keys: list[Jwk]) -> Jwk:
    """What may be published of it (RFC 7517 section 5)."""
    published = [dict(key.public or {}) for key in read_keys({"keys": keys})]
    return {"keys": published}
