"""Keys as a configuration gives them: written out, or in files that may change.

A `KeyText` is what somebody wrote, and where. `own_keys` makes of it the set of keys a
process signs and verifies with. `FileKeys` is such a set whose files are looked at again now
and then, so that a mounted secret can be rolled over without a restart.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias, cast

from .errors import ConfigurationError
from .forks import in_each_child
from .keys import ASYMMETRIC, Key, KeySet, make_a_key
from .setting_kinds import Unfit

_logger = logging.getLogger("jwt_middleware")

MAX_KEY_FILE = 65_536
"""The longest file a key or a secret is read from, in bytes."""

KeysFrom: TypeAlias = str | bytes | Path | Mapping[str, Any]
Keys: TypeAlias = KeysFrom | Sequence[KeysFrom]
"""PEM, JWK or JWK Set as text, bytes or a mapping, or a file's path; one or several."""


@dataclass(frozen=True)
class KeyText:
    """Keys as they were written, and the file they were read from, if it was one."""

    content: bytes = field(repr=False)
    path: Path | None = None

    def read(self, algorithms: Sequence[str]) -> tuple[Key, ...]:
        """The keys, each for one algorithm. Raises `Unfit`."""
        try:
            from .jwk import read_keys  # a plug: needs cryptography
        except ConfigurationError as missing:
            raise Unfit(*missing.faults) from None
        try:
            return read_keys(self.content, algorithms)
        except Unfit as unfit:
            where = "" if self.path is None else f"the file {str(self.path)!r} "
            raise Unfit(f"{where}{unfit}") from None

    def again(self) -> KeyText:
        """What its file holds now. Raises `Unfit`."""
        return self if self.path is None else KeyText(file_content(self.path), self.path)


def key_texts(value: object) -> tuple[KeyText, ...]:
    """A kind of setting: keys as `Keys`, read from their files, not yet parsed."""
    if isinstance(value, list | tuple):
        return tuple(_key_text(item) for item in cast("Sequence[object]", value))
    return () if value in (None, "", b"") else (_key_text(value),)


def _key_text(value: object) -> KeyText:
    match value:
        case KeyText():
            return value
        case Path():
            return KeyText(file_content(value), value)
        case str():
            return KeyText(value.encode("utf-8", "replace"))
        case bytes():
            return KeyText(value)
        case Mapping():
            try:
                return KeyText(json.dumps(dict(cast("Mapping[str, Any]", value))).encode())
            except (TypeError, ValueError):
                raise Unfit("is a mapping that is no JWK: it does not fit into JSON") from None
        case _:
            raise Unfit(
                f"is of type {type(value).__name__}; give PEM or JWK as text, bytes or a mapping, "
                "or a file as a pathlib.Path"
            )


def is_written_out(text: str) -> bool:
    """Whether it begins as PEM or JSON do, and not, say, as the name of a file with a key."""
    return "-----BEGIN " in text or text.lstrip("\ufeff \t\r\n").startswith("{")


def file_content(path: str | Path) -> bytes:
    """The bytes of a file. Raises `Unfit`.

    A path is quoted in a message only if it is absolute: what is no path at all may be
    the secret itself, written in the wrong variable.
    """
    name = str(path)
    quoted = repr(name) if os.path.isabs(name) else "the file (its path is not absolute)"
    try:
        with open(name, "rb") as opened:
            content = opened.read(MAX_KEY_FILE + 1)
    except OSError as error:
        reason = error.strerror
        raise Unfit(f"cannot read {quoted}: {reason}; name a file that can be read") from None
    except ValueError:  # a NUL, or no Unicode text
        raise Unfit("is no path; name a file that holds the secret") from None
    if len(content) > MAX_KEY_FILE:
        raise Unfit(f"{quoted} has more than {MAX_KEY_FILE} bytes; is it the right file?")
    return content


# ── What they make ───────────────────────────────────────────────────────────────


def private_keys(texts: Sequence[KeyText], algorithm: str) -> tuple[Key, ...]:
    """Keys that sign, the one in use first. Raises `Unfit`.

    ``algorithm`` is the first one's; those before it may have been for another.
    """
    found = [key for text in texts for key in text.read(_preferring(algorithm))]
    if not all(key.can_sign for key in found):
        made_by = make_a_key(algorithm)
        raise Unfit(f"holds a public key, which cannot sign; make a private one: {made_by}")
    if found and found[0].algorithm != algorithm:
        raise Unfit(
            f"the first key is one for {found[0].algorithm}, and algorithm is {algorithm!r}; "
            f"set algorithm={found[0].algorithm!r}, or put a key for {algorithm} first"
        )
    return tuple(found)


def public_keys(texts: Sequence[KeyText], algorithms: Sequence[str]) -> tuple[Key, ...]:
    """Keys that verify; of a private one its public half. Raises `Unfit`."""
    return tuple(key.public_half() for text in texts for key in text.read(algorithms))


def own_keys(private: Sequence[KeyText], public: Sequence[KeyText], algorithm: str) -> KeySet:
    """All keys of a configuration; the first private one signs. Raises `Unfit`."""
    every = (*private_keys(private, algorithm), *public_keys(public, _preferring(algorithm)))
    found: dict[tuple[str, str], Key] = {}
    for key in every:
        known = found.setdefault((key.kid, key.algorithm), key)
        if known.public != key.public:
            raise Unfit("has two keys of one kid; give each its own, or leave kid out")
    return KeySet(found.values())


def _preferring(algorithm: str) -> tuple[str, ...]:
    """An RSA key fits several algorithms: the one in use comes first."""
    return (algorithm, *ASYMMETRIC) if algorithm in ASYMMETRIC else ASYMMETRIC


class FileKeys:
    """A `KeySource` of files that are read again every so many seconds.

    What is broken is not taken over: the last good set stays, and the log says so once. The
    set is exchanged as a whole, so nobody ever sees half of it.
    """

    usable = True

    def __init__(
        self,
        texts: Sequence[KeyText],
        make: Callable[[Sequence[KeyText]], KeySet],
        *,
        every: float,
    ) -> None:
        self.version: int = 0
        self.due: float = 0.0
        self._texts: Sequence[KeyText] = tuple(texts)
        self._make = make
        self._every = every
        self._keys = make(texts)
        self._broken = False
        self._looking = Lock()
        in_each_child(self._begin_again)

    def _begin_again(self) -> None:
        """In a forked child: the parent may have been stopped in the midst of a look."""
        self._looking = Lock()
        self.version += 1  # it may have stopped just before this

    @property
    def keys(self) -> tuple[Key, ...]:
        """All of them, as they stand now."""
        return self._keys.keys

    @property
    def signing(self) -> Key:
        return self._keys.signing

    def find(self, kid: str | None, algorithm: object, /) -> Key | None:
        return self._keys.find(kid, algorithm)

    def stale(self, _kid: str | None, now: float, /) -> bool:
        """Time for a look: it costs less than a store's row, and what it finds counts at once."""
        return now >= self.due

    def refresh(self, _kid: str | None, now: float, /) -> None:
        with self._looking:
            if now < self.due:
                return  # somebody has just looked
            try:
                self._look()
            except Unfit as unfit:
                if not self._broken:
                    _logger.error(  # noqa: TRY400  # its text says all; a trace would not help
                        "keys are not reloaded, the last good ones stay: %s", unfit
                    )
                self._broken = True
            else:
                self._broken = False
            self.due = now + self._every

    def refresh_ahead(self, _now: float, /) -> None:
        """The next request that may wait will look."""

    def _look(self) -> None:
        texts = tuple(text.again() for text in self._texts)
        if texts == self._texts:
            return
        self._keys = self._make(texts)
        self._texts = texts
        self.version += 1  # last: who reads the new version finds the new keys
        _logger.info("keys reloaded from their files")
