"""``jwt-middleware keygen``: secrets and keys, and the next key of a set."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..keys import HASH_BYTES
from .exits import Exit, Stop
from .new_keys import ALGORITHMS, SECRETS, Jwk, NewKey, new_secret
from .options import json_option
from .output import as_json, say, show_json, warn

KINDS = (*SECRETS, *ALGORITHMS, "RSA")
_WRITTEN = {kind.lower(): kind for kind in KINDS} | {"rsa": "RS256"}


def add(commands: Any) -> None:
    """The command's own parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "keygen",
        parents=[json_option()],
        help="make a secret or a key",
        description="Print a new secret or private key, or keep one in a file that only its owner "
        "can read, and print its public half.",
    )
    parser.add_argument(
        "kind",
        type=_kind,
        nargs="?",
        metavar="KIND",
        help=f"one of {', '.join(KINDS)}; secret if left out, and in a set what its first key is. "
        "RSA is RS256",
    )
    parser.add_argument(
        "--format",
        choices=("pem", "jwk"),
        default="pem",
        help="how a key is written (%(default)s)",
    )
    places = parser.add_mutually_exclusive_group()
    places.add_argument(
        "--out", type=Path, metavar="FILE", help="write the secret or private key into a new file"
    )
    places.add_argument(
        "--set",
        type=Path,
        metavar="FILE",
        help="change a JWK Set of private keys, and print its public half",
    )
    parser.add_argument(
        "--step",
        choices=tuple(_STEPS),
        default="add",
        help="of the roll-over of a set: add the next key, which only verifies; let the newest "
        "sign; retire all but the one that signs (%(default)s)",
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Make what is asked for. Raises `Stop`, and `ConfigurationError` without cryptography."""
    if options.set is not None:
        _change_set(options)
    elif options.step != "add":
        raise Stop(Exit.USAGE, f"--step {options.step} is for a set: name it with --set FILE")
    elif options.kind in (None, *SECRETS):
        _make_secret(options.kind or "secret", options)
    else:
        _make_key(options)
    return Exit.DONE


def _kind(text: str) -> str:
    if text.upper() in HASH_BYTES:
        raise argparse.ArgumentTypeError(
            f"{text} signs with a secret; make one: jwt-middleware keygen secret"
        )
    if text.lower() not in _WRITTEN:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(KINDS)}, got {text!r}")
    return _WRITTEN[text.lower()]


def _make_secret(kind: str, options: argparse.Namespace) -> None:
    made = new_secret(kind)
    if options.out is not None:
        from .key_files import write_new

        write_new(options.out, made + "\n")
        warn(f"Written into {str(options.out)!r}.")
    elif options.json:
        show_json({"kind": kind, "secret": made})
    else:
        say(made)


def _make_key(options: argparse.Namespace) -> None:
    from .key_files import write_new

    key = NewKey(options.kind)
    written = as_json(key.jwk()) + "\n" if options.format == "jwk" else key.pem()
    public = as_json(key.public_jwk()) + "\n" if options.format == "jwk" else key.public_pem()
    if options.out is not None:
        write_new(options.out, written)
        warn(f"The private key is in {str(options.out)!r}; this is the public one:")
        written = public
    if options.json:
        private = {} if options.out is not None else {"private": key.jwk()}
        show_json({"kind": options.kind, **private, "public": key.public_jwk()})
    else:
        say(written.rstrip("\n"))


# ── A set ────────────────────────────────────────────────────────────────────────


def _change_set(options: argparse.Namespace) -> None:
    from .key_files import public_set, read_private_set, write_set

    if options.kind in SECRETS:
        raise Stop(Exit.USAGE, f"a JWK Set holds keys, no {options.kind}; leave --set out")
    keys = _STEPS[options.step](read_private_set(options.set), options)
    write_set(options.set, keys)
    warn(_NEXT[options.step])
    show_json(public_set(keys))


def _with_another(keys: list[Jwk], options: argparse.Namespace) -> list[Jwk]:
    """The new key comes last: it signs nothing before everybody knows it."""
    kind = options.kind or (_algorithm(keys[0]) if keys else ALGORITHMS[0])
    return [*keys, NewKey(kind).jwk()]


def _algorithm(jwk: Jwk) -> str:
    named = _WRITTEN.get(str(jwk.get("alg")).lower())
    if named is None:
        raise Stop(Exit.USAGE, "the first key of the set has no alg; say which kind to make")
    return named


def _newest_first(keys: list[Jwk], _options: argparse.Namespace) -> list[Jwk]:
    _check_several(keys)
    return [keys[-1], *keys[:-1]]


def _first_alone(keys: list[Jwk], _options: argparse.Namespace) -> list[Jwk]:
    _check_several(keys)
    return keys[:1]


def _check_several(keys: list[Jwk]) -> None:
    if len(keys) < 2:
        raise Stop(Exit.NO, "the set has no second key; begin with --step add")


_STEPS: Mapping[str, Callable[[list[Jwk], argparse.Namespace], list[Jwk]]] = {
    "add": _with_another,
    "sign": _newest_first,
    "retire": _first_alone,
}

_NEXT = {
    "add": "The first key signs. Of several, the last one does after --step sign, once every "
    "machine has read this set.",
    "sign": "The newest key signs. When the last machine has read this set, and the life of an "
    "access token has passed: --step retire.",
    "retire": "One key is left. Tokens that others have signed open nothing any more.",
}
