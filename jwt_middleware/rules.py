"""Access rules: what is asked on which path, said once and before any app is reached.

    rules=[
        Rule("/admin", roles={"admin"}),
        Rule("/reports", scopes={"reports:write"}, methods={"POST", "PUT", "DELETE"}),
        Rule("/pay", max_age=300),
        Rule("/account"),
    ]

A rule covers its path and everything below it, in whole segments. Of the rules and the
``public_paths`` that cover a request the most specific one counts, and it alone: the longest
path; of two rules with one path the one that names the method.

An exemption must never cover too much, and a rule never too little. A path that an app might
read in more than one way (``/x/../admin``, ``/x%2f..%2fadmin``, ``admin``) is exempt by
nothing, and is held to the rules of every reading.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from .access import Requirement
from .errors import ConfigurationError
from .request import Request, below
from .setting_kinds import Unfit, method, rule_path, shown


@dataclass(frozen=True, slots=True, init=False)
class Rule:
    """What is asked on a path and everything below it; at least that somebody is signed in.

    methods:
        Those it is for; all of them unless given. ``"GET"`` stands for ``"HEAD"``, too.
    roles, roles_all, scopes, scopes_any, max_age:
        As `Requirement` has them.

    Raises `ConfigurationError`.
    """

    path: str
    methods: frozenset[str] | None
    requirement: Requirement

    def __init__(
        self,
        path: str,
        *,
        methods: Collection[str] | None = None,
        roles: Collection[str] = (),
        roles_all: Collection[str] = (),
        scopes: Collection[str] = (),
        scopes_any: Collection[str] = (),
        max_age: float | timedelta | str | None = None,
    ) -> None:
        give = object.__setattr__  # the way into a frozen dataclass
        try:
            give(self, "path", rule_path(path).rstrip("/") or "/")
            give(self, "methods", None if methods is None else frozenset(_methods(methods)))
        except Unfit as unfit:
            raise ConfigurationError(f"Rule({shown(path)}): {unfit}") from None
        requirement = Requirement(
            roles=roles,
            roles_all=roles_all,
            scopes=scopes,
            scopes_any=scopes_any,
            max_age=max_age,
        )
        give(self, "requirement", requirement)

    def overlaps(self, other: Rule) -> bool:
        """Both are as specific as each other for some request: nobody could tell which counts."""
        if self.path != other.path or (self.methods is None) is not (other.methods is None):
            return False
        return self.methods is None or not self.methods.isdisjoint(other.methods or ())

    def covers(self, path: str, method: str) -> bool:
        """Whether it is about this path (as an app would read it) and method."""
        return below(self.path, path) and (self.methods is None or method in self.methods)


def _methods(given: Collection[str]) -> Iterator[str]:
    if isinstance(given, str) or not given:
        raise Unfit(f'methods is {shown(given)}; give a set: methods={{"POST"}}')
    for name in given:
        yield method(name)


class RuleBook:
    """The rules of a configuration, and what is exempt from them."""

    def __init__(self, rules: Iterable[Rule], public_paths: Iterable[str]) -> None:
        # The most specific first; where paths are one, those that name methods.
        self._rules = tuple(
            sorted(rules, key=lambda rule: (-_depth(rule.path), rule.methods is None))
        )
        self._public = tuple(path.rstrip("/") or "/" for path in public_paths)

    def asked(self, request: Request) -> Sequence[Requirement]:
        """What the request has to meet, all of it; nothing where no rule covers it."""
        # Frameworks compare methods in upper case, and answer HEAD with what GET would say.
        method = request.method.upper()
        method = "GET" if method == "HEAD" else method
        ambiguous = request.ambiguous
        found: list[Requirement] = []
        for path in request.readings:
            rule = next((rule for rule in self._rules if rule.covers(path, method)), None)
            if rule is not None and (ambiguous or not self._exempt(path, rule)):
                found.append(rule.requirement)
        return found

    def _exempt(self, path: str, rule: Rule) -> bool:
        """A public path lies deeper than the rule."""
        return any(
            below(public, path) and _depth(public) > _depth(rule.path) for public in self._public
        )


def _depth(path: str) -> int:
    """Segments of a path."""
    return path.rstrip("/").count("/")
