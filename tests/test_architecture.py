"""The house, as a test: which file stands on which floor, and who may look at whom.

Imports go down only. A file that is on no floor is a failure, so whoever adds one says
here where it stands and why. docs/architecture.md shows the same house to people.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from uncovered import environ_without_coverage

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "jwt_middleware"

FLOORS: list[dict[str, str]] = [
    {
        "errors": "The tree of everything that can go wrong; it knows nobody.",
        "forks": "What a forked child begins anew.",
        "fields": "Header fields as text, and as bytes.",
    },
    {
        "driver": "Commands, and the two loops that run a decision against the world.",
        "jws": "A compact JWS, read strictly; what it says is not yet believed.",
        "request": "What both doors make of a request.",
        "forms": "One field of a form, in the beginning of a body.",
        "preflights": "What goes out of the answer to a CORS preflight.",
        "queries": "A token in the query of a handshake, and the query without it.",
        "memory": "What one process remembers, within bounds.",
        "neighbours": "Other distributions that write into our folder.",
        "events": "Security events, told to a hook and to the log.",
        "setting_kinds": "The kinds of value a setting can hold.",
    },
    {
        "environ": "A request in a WSGI environ, and its headers there.",
        "scope": "A request in an ASGI scope.",
        "bodies": "A look at the beginning of a body, which the app then reads whole.",
        "access": "What a place asks of the claims of whoever is signed in, as predicates.",
        "claims": "What a token says of its subject, read-only.",
        "keys": "Keys, prepared once, and sets of them.",
        "sessions": "The row, the store protocols, and their verbs as typed commands.",
    },
    {
        "key_files": "Keys as a configuration gives them: written out, or in files.",
    },
    {
        "issuers": "Somebody else whose tokens open the app, and on what terms.",
    },
    {
        "rules": "What is asked on which path.",
        "legacy": "Tokens of the package used before, and on what terms they count.",
    },
    {
        "simplejwt": "What the settings of simplejwt are here, key by key.",
    },
    {
        "world": "Who answers the commands of a decision: the store and the app's hooks.",
        "settings": "All settings, checked together, all faults at once.",
    },
    {
        "nesting": "Our own tokens, signed and then encrypted.",
        "trust": "Whose tokens open the app, and what they must say.",
    },
    {
        "rotation": "The rotation table, as a pure function.",
        "transport": "Where tokens travel: found in a request, put on a response.",
        "tokens": "Tokens, issued and verified.",
        "refusals": "The answers a request gets that may not go on.",
        "csrf_tokens": "CSRF tokens, made for one session.",
    },
    {
        "csrf": "Whether another site caused the request.",
        "publishing": "Our public keys as a JWK Set, and the answer to whoever asks for it.",
    },
    {
        "hints": "Why nobody is signed in: what is probably wrong with the configuration.",
    },
    {
        "denials": "What a request is told that may not go on.",
    },
    {
        "handle": "RequestAuth: what a view sees and asks for, recorded.",
    },
    {
        "reissue": "What a refresh token is worth in tokens, when the response starts.",
        "showing": "The access token that the app is shown, for a service behind it.",
    },
    {
        "wishes": "What the app asked of its handle, carried out.",
    },
    {
        "endpoints": "The paths that the middleware answers in the app's place.",
    },
    {
        "flow": "The four cases, as generators that do no I/O and read no clock.",
        "connections": "How long an open connection may stay open, as a generator of that kind.",
    },
    {
        "auth": "JWTAuth: settings, keys, store and hooks, put together.",
    },
    {
        "sockets": "An open WebSocket: its messages pass, one task watches.",
    },
    {
        "wsgi": "The WSGI door.",
        "asgi": "The ASGI door.",
    },
    {
        "__init__": "The face: it hands names on.",
    },
]
"""The core, from the ground up. A file sees the floors below its own, and nothing else."""

NEIGHBOURS: dict[tuple[str, str], str] = {}
"""Imports allowed on one floor, ``(importer, imported)``, each with its reason."""


class Plug(NamedTuple):
    """What is plugged into the core from outside, and what it sees of the house."""

    sees_up_to: str
    """The floor of this file, and all below it."""
    plugs: frozenset[str]
    """The other plugs it may import."""
    purpose: str


PLUGS: dict[str, Plug] = {
    "jwk": Plug("keys", frozenset(), "Keys from PEM and JWK; needs cryptography."),
    "jwks": Plug("keys", frozenset({"jwk"}), "Keys that an issuer publishes, kept at hand."),
    "jwks_http": Plug("keys", frozenset(), "Asks a server for them, within limits."),
    "discovery": Plug("keys", frozenset(), "Finds where an issuer publishes them."),
    "jwe": Plug("errors", frozenset(), "Encryption; needs joserfc."),
    "otel": Plug("auth", frozenset(), "Counts, and what spans are told; needs OpenTelemetry."),
    "stores": Plug("sessions", frozenset(), "Where sessions are kept."),
    "frameworks": Plug("wsgi", frozenset(), "Helpers in the idiom of each framework."),
    "testing": Plug("wsgi", frozenset({"frameworks"}), "What users test apps with."),
    "demo": Plug("__init__", frozenset({"stores"}), "An app to look at it with."),
    "cli": Plug("__init__", frozenset({"demo", "jwk"}), "The command line."),
    "__main__": Plug("__init__", frozenset({"cli"}), "The command line, as a module."),
}

ON_DEMAND: dict[tuple[str, str], str] = {
    ("auth", "stores"): "A store is opened by its URL, on first need.",
    ("auth", "jwks"): "Keys are fetched for who has to verify by them; that needs cryptography.",
    ("auth", "jwks_http"): "Likewise; the user may have another way to ask.",
    ("auth", "discovery"): "Likewise; where an issuer says no more than who it is.",
    ("settings", "stores"): "A store's URL is checked at start-up.",
    ("nesting", "jwe"): "Tokens are encrypted where there is a key for it; that needs joserfc.",
    ("key_files", "jwk"): "Keys are parsed where there are any; that needs cryptography.",
}
"""The plugs that a core file may import, and only inside a function."""

THIRD_PARTY = {"jwt", "werkzeug", "asgiref"}
"""The three distributions the core stands on."""

FORBIDDEN_NAMES = {"utils.py", "types.py", "helpers.py"}
"""Names that say nothing about what belongs into a file, so that everything does."""

FLOOR_OF = {name: number for number, floor in enumerate(FLOORS) for name in floor}
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = {path.name.removesuffix(".py") for path in PACKAGE.iterdir()}
CORE_FILES = sorted(PACKAGE.glob("*.py"))
TEST_FILES = sorted((ROOT / "tests").rglob("test_*.py"))


def name_of(path: Path) -> str:
    """The name of a file as pytest shows it."""
    return path.relative_to(ROOT).as_posix()


def room_of(path: Path) -> str:
    """The core file or plug that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


class Import(NamedTuple):
    """One import statement's view of one module."""

    module: str
    lazy: bool
    """Inside a function."""
    line: int


def imports_of(path: Path) -> Iterator[Import]:
    """Every import of a file, wherever it stands, with absolute names."""
    inside = path.relative_to(ROOT).with_suffix("").parts[:-1]
    trees: list[tuple[ast.AST, bool]] = [(ast.parse(path.read_text("utf-8")), False)]
    while trees:
        node, lazy = trees.pop()
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, lazy, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(inside[: len(inside) + 1 - node.level]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            if module == "jwt_middleware":  # from . import errors: each name may be a room
                for alias in node.names:
                    room = f".{alias.name}" if alias.name in ROOMS else ""
                    yield Import(module + room, lazy, node.lineno)
            else:
                yield Import(module, lazy, node.lineno)
        lazy = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        trees.extend((child, lazy) for child in ast.iter_child_nodes(node))


def arrows_of(path: Path) -> Iterator[tuple[str, Import]]:
    """The imports that lead from a file to another room of the house."""
    for found in imports_of(path):
        top, _, rest = found.module.partition(".")
        room = rest.partition(".")[0] or "__init__"
        if top == "jwt_middleware" and room != room_of(path):
            yield room, found


def may_import(importer: str, imported: str, *, lazy: bool) -> bool:
    """The rule: down only, plugs on demand only, and neighbours only for a stated reason."""
    if not {importer, imported} <= FLOOR_OF.keys() | PLUGS.keys():
        return False
    if importer in PLUGS:
        plug = PLUGS[importer]
        if imported in PLUGS:
            return imported in plug.plugs
        return FLOOR_OF[imported] <= FLOOR_OF[plug.sees_up_to]
    if imported in PLUGS:
        return lazy and (importer, imported) in ON_DEMAND
    return FLOOR_OF[imported] < FLOOR_OF[importer] or (importer, imported) in NEIGHBOURS


def loaded_by(module: str) -> set[str]:
    """What a fresh interpreter has loaded for this module, beyond what it starts with."""
    code = (
        "import importlib, sys; before = set(sys.modules); "
        f"importlib.import_module({module!r}); print(*(set(sys.modules) - before))"
    )
    # Without coverage, which would load modules of its own.
    environ = environ_without_coverage()
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environ,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return set(answer.stdout.split())


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_file_has_its_place(path: Path) -> None:
    """Every file of the package is on a floor or in a plug."""
    assert room_of(path) in FLOOR_OF.keys() | PLUGS.keys(), "say in FLOORS where it stands"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_down_only(path: Path) -> None:
    """No file imports one on its own floor or above, at the top or inside a function."""
    upward = [
        f"line {found.line}: {room_of(path)} imports {room}"
        for room, found in arrows_of(path)
        if not may_import(room_of(path), room, lazy=found.lazy)
    ]
    assert upward == []


def test_the_doors_do_not_know_each_other() -> None:
    """Neither door imports the other, and no exception may be made for them."""
    doors = {"wsgi", "asgi"}
    assert FLOOR_OF["wsgi"] == FLOOR_OF["asgi"]
    assert not any(set(pair) == doors for pair in NEIGHBOURS)


@pytest.mark.parametrize("path", CORE_FILES, ids=name_of)
def test_the_core_stands_on_three_distributions(path: Path) -> None:
    """Outside the standard library a core file imports PyJWT, Werkzeug and asgiref at most."""
    tops = {found.module.partition(".")[0] for found in imports_of(path)}
    if room_of(path) in FLOOR_OF:
        assert tops - sys.stdlib_module_names - {"jwt_middleware"} <= THIRD_PARTY


@pytest.mark.parametrize(
    "module",
    [
        "jwt_middleware",
        "jwt_middleware.wsgi",
        "jwt_middleware.asgi",
    ],
)
def test_nothing_optional_is_loaded(module: str) -> None:
    """Importing the face or a door loads no store, no framework and no other distribution."""
    loaded = loaded_by(module)
    tops = {name.partition(".")[0] for name in loaded}
    assert tops - sys.stdlib_module_names <= {"jwt_middleware", "asgiref"}
    assert "sqlite3" not in tops
    assert {f"jwt_middleware.{plug}" for plug in PLUGS} & loaded == set()
    assert "argparse" not in tops
    assert tops & {"jwt", "werkzeug", "cryptography"} == set()
    if module.endswith(".wsgi"):
        assert tops & {"asyncio", "asgiref"} == set()


@pytest.mark.parametrize(
    ("settings", "loaded"),
    [
        ("token_location='headers'", set[str]()),
        ("token_location='cookies'", {"werkzeug"}),
    ],
)
def test_what_is_loaded_is_needed(settings: str, loaded: set[str]) -> None:
    """A configuration loads what it needs at once, before a server forks; by secrets alone that
    is no PyJWT, and without cookies no Werkzeug."""
    code = (
        "import sys; from jwt_middleware.wsgi import JWTMiddleware; "
        f"JWTMiddleware(None, secret_key='x' * 32, session_store='memory://', {settings}); "
        "print(*{'jwt', 'werkzeug', 'cryptography'} & set(sys.modules))"
    )
    environ = environ_without_coverage()
    answer = subprocess.check_output(
        [sys.executable, "-c", code], cwd=ROOT, env=environ, text=True, timeout=60
    )
    assert set(answer.split()) == loaded


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_file_says_what_it_is_for(path: Path) -> None:
    """Every file begins with a docstring, and none has a name that says nothing."""
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))
    assert path.name not in FORBIDDEN_NAMES


@pytest.mark.parametrize("path", TEST_FILES, ids=name_of)
def test_every_test_says_what_holds(path: Path) -> None:
    """Every test has a docstring that says in a sentence what is promised."""
    silent = [
        f"line {node.lineno}: {node.name}"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


ARROWS = {(room_of(path), room) for path in FILES for room, _ in arrows_of(path)}


def test_every_permission_is_used() -> None:
    """What may import a neighbour or a plug stands here only as long as somebody does."""
    between_plugs = {(name, other) for name, plug in PLUGS.items() for other in plug.plugs}
    assert NEIGHBOURS.keys() | ON_DEMAND.keys() | between_plugs <= ARROWS


@pytest.mark.parametrize("name", PLUGS)
def test_no_plug_sees_further_than_it_looks(name: str) -> None:
    """The floor up to which a plug may see is the highest that it looks at."""
    seen = {FLOOR_OF[room] for plug, room in ARROWS if plug == name and room in FLOOR_OF}
    assert max(seen, default=FLOOR_OF[PLUGS[name].sees_up_to]) == FLOOR_OF[PLUGS[name].sees_up_to]


@pytest.mark.parametrize(
    ("importer", "imported", "lazy", "allowed"),
    [
        ("flow", "errors", False, True),
        ("errors", "flow", True, False),
        ("tokens", "transport", True, False),
        ("wsgi", "asgi", True, False),
        ("auth", "__init__", True, False),
        ("auth", "stores", True, True),
        ("auth", "stores", False, False),
        ("flow", "stores", True, False),
        ("auth", "testing", True, False),
        ("stores", "sessions", False, True),
        ("stores", "auth", True, False),
        ("stores", "demo", True, False),
        ("demo", "wsgi", False, True),
        ("demo", "testing", True, False),
        ("demo", "stores", False, True),
        ("auth", "nowhere", False, False),
    ],
)
def test_the_rule_itself(importer: str, imported: str, lazy: bool, allowed: bool) -> None:
    """The rule these tests apply forbids what it should, and nothing else."""
    assert may_import(importer, imported, lazy=lazy) is allowed
