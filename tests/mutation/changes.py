"""Small changes to a file, one at a time, each of which some test ought to notice.

Everything that decides is changed: functions, tables and constants of modules, properties.
Left alone is what decides nothing: docstrings, annotations, decorators, asserts (they tell
type checkers what holds), the texts of exceptions, and sentences.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

Path = tuple[tuple[str, int | None], ...]
"""The way from the module to a node: names of fields, and indexes where they are lists."""

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Add,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
TWINS = {"min": "max", "max": "min", "any": "all", "all": "any"}
NORMALISING = frozenset("lower upper strip lstrip rstrip removeprefix removesuffix".split())
"""Methods whose call may be forgotten without an error."""


@dataclass(frozen=True)
class Change:
    """One change to a file."""

    name: str
    """``where: before → after``, unique in its file and independent of line numbers."""
    line: int
    function: str | None
    """The outermost function around it, as ``__qualname__``; None: it happens at import."""
    source: str
    path: Path
    """The way to the node that is changed, and which of its variants takes its place."""
    variant: int

    def code(self, filename: str) -> CodeType:
        """The whole file, changed and compiled."""
        tree = ast.parse(self.source)
        variants = list(_variants(_at(tree, self.path)))
        _put(tree, self.path, variants[self.variant])
        return compile(ast.fix_missing_locations(tree), filename, "exec")


def changes_of(source: str) -> list[Change]:
    """All changes to a file, in the order of its lines."""
    found: list[Change] = []
    names: Counter[str] = Counter()
    for node, path, where, function in _places(ast.parse(source)):
        for index, variant in enumerate(_variants(node)):
            name = f"{where}: {_shown(node)} → {_shown(variant)}"
            names[name] += 1
            if names[name] > 1:
                name += f" ({names[name]})"
            line = getattr(node, "lineno", 0)
            found.append(Change(name, line, function, source, path, index))
    return found


# ── Where ────────────────────────────────────────────────────────────────────────


def _places(module: ast.Module) -> Iterator[tuple[ast.AST, Path, str, str | None]]:
    """Every node that may be changed, the way to it, where that is, and in which function."""
    waiting: list[tuple[ast.AST, Path, tuple[str, ...], str | None]] = [(module, (), (), None)]
    while waiting:
        node, path, scope, function = waiting.pop()
        if path:
            yield node, path, ".".join(scope) or "module", function
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            scope = (*scope, node.name)
            if function is None and not isinstance(node, ast.ClassDef):
                function = ".".join(scope)
        elif isinstance(node, ast.Lambda) and function is None:
            function = ".".join((*scope, "<lambda>"))
        below = [
            (child, (*path, step), scope, _around(node, step[0], function))
            for step, child in _children(node)
        ]
        waiting.extend(reversed(below))


def _around(node: ast.AST, field: str, function: str | None) -> str | None:
    """The defaults of a function's arguments are made at import, not when it is called."""
    return None if isinstance(node, Function) and field == "args" else function


def _children(node: ast.AST) -> Iterator[tuple[tuple[str, int | None], ast.AST]]:
    for field, value in ast.iter_fields(node):
        if _is_left_alone(node, field):
            continue
        if isinstance(value, ast.AST):
            yield (field, None), value
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, ast.AST) and not _is_docstring(node, field, item):
                    yield (field, index), item


def _is_left_alone(node: ast.AST, field: str) -> bool:
    if field in {"annotation", "returns", "decorator_list", "bases", "ctx"}:
        return True
    if isinstance(node, ast.Assert | ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.AnnAssign):
        return ast.unparse(node.annotation) == "TypeAlias"
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0]) == "__slots__"
    if isinstance(node, ast.Raise):
        return True  # that it is raised is changed, what it says is not
    return isinstance(node, ast.FormattedValue) and field == "format_spec"


def _is_docstring(node: ast.AST, field: str, item: ast.AST) -> bool:
    """Also the sentence under an attribute."""
    return (
        field == "body"
        and isinstance(item, ast.Expr)
        and isinstance(item.value, ast.Constant)
        and isinstance(item.value.value, str)
    )


def _at(tree: ast.AST, path: Path) -> ast.AST:
    for field, index in path:
        value = getattr(tree, field)
        tree = value if index is None else value[index]
    return tree


def _put(tree: ast.AST, path: Path, node: ast.AST) -> None:
    *way, (field, index) = path
    parent = _at(tree, tuple(way))
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _shown(node: ast.AST) -> str:
    """A node in one line; of a statement with a body only its head."""
    return ast.unparse(node).partition("\n")[0]


# ── What ─────────────────────────────────────────────────────────────────────────


def _variants(node: ast.AST) -> Iterator[ast.AST]:
    """What a node may become."""
    if isinstance(node, ast.stmt):
        yield from _statements(node)
    else:
        yield from _expressions(node)


def _statements(node: ast.stmt) -> Iterator[ast.AST]:
    match node:
        case ast.AugAssign() if type(node.op) in ARITHMETIC:
            yield _with(node, op=ARITHMETIC[type(node.op)]())
        case ast.If() | ast.While():
            yield from _conditions(node)
        case ast.Return():
            if not _is_falsy(node.value):  # nobody tells one falsy value from another
                yield _with(node, value=ast.Constant(None))
        case ast.Expr() | ast.Raise() | ast.Delete():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()
        case ast.Continue():
            yield ast.Break()
        case ast.Break():
            yield ast.Continue()


def _expressions(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare():
            yield from _comparisons(node)
        case ast.BoolOp():
            yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
            for index in range(len(node.values)):
                rest = [value for at, value in enumerate(node.values) if at != index]
                yield rest[0] if len(rest) == 1 else _with(node, values=rest)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.BinOp() if type(node.op) in ARITHMETIC:
            yield _with(node, op=ARITHMETIC[type(node.op)]())
        case ast.IfExp():
            yield from _conditions(node)
        case ast.Constant():
            yield from _constants(node)
        case ast.Call():
            yield from _calls(node)


def _conditions(node: ast.If | ast.While | ast.IfExp) -> Iterator[ast.AST]:
    """The condition turned round, where its parts are not changed on their own."""
    if not isinstance(node.test, ast.Compare | ast.BoolOp | ast.UnaryOp):
        yield _with(node, test=ast.UnaryOp(ast.Not(), node.test))


def _comparisons(node: ast.Compare) -> Iterator[ast.AST]:
    for index, op in enumerate(node.ops):
        for other in COMPARISONS[type(op)]:
            yield _with(node, ops=[*node.ops[:index], other(), *node.ops[index + 1 :]])


def _constants(node: ast.Constant) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
    elif isinstance(value, str) and len(value.split()) < 3:  # not a sentence
        yield ast.Constant(f"XX{value}")
    elif isinstance(value, bytes):
        yield ast.Constant(b"XX" + value)


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    match node.func:
        case ast.Name(id=name) if name in TWINS:
            yield _with(node, func=ast.Name(TWINS[name], ast.Load()))
        case ast.Attribute(attr=name, value=value) if name in NORMALISING:
            yield value


def _is_falsy(node: ast.AST | None) -> bool:
    return node is None or (isinstance(node, ast.Constant) and not node.value)


def _with(node: ast.AST, **fields: object) -> ast.AST:
    """A copy of a node in which some fields are others."""
    twin = copy.copy(node)
    for name, value in fields.items():
        setattr(twin, name, value)
    return twin
