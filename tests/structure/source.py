"""The project's own source as syntax trees: modules, imports, functions, identifiers."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("dify_wire", "fake_server", "contract")
LONGEST_LINE = 100
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

OLD_WORDS = frozenset(
    [
        "said",
        "told",
        "retold",
        "retelling",
        "befall",
        "befalls",
        "befallen",
        "asked",
        "afresh",
        "lent",
        "lend",
        "knock",
        "mend",
        "mends",
        "mended",
        "tonight",
        "heard",
        "stumble",
        "stumbles",
        "stumbled",
        "judge",
        "judges",
        "judged",
        "moment",
        "moments",
        "trouble",
        "troubled",
        "fate",
    ]
)
"""Words of an earlier vocabulary. The glossary in docs/ARCHITECTURE.md has those that replace
them.
"""


@dataclass(frozen=True)
class Module:
    """A module of the project with its source."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the tree, walked once for all figures."""
        return tuple(ast.walk(self.tree))


@cache
def modules(*packages: str) -> dict[str, Module]:
    """Every module of ``packages`` by its full name."""
    found = {}
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            relative = path.relative_to(ROOT).with_suffix("")
            name = ".".join(relative.parts).removesuffix(".__init__")
            text = path.read_text("utf-8")
            found[name] = Module(name, path, text, ast.parse(text))
    return found


def imports(module: Module, known: dict[str, Module], *, lazy: bool, typing: bool) -> set[str]:
    """The modules among ``known`` that ``module`` imports.

    ``lazy`` includes imports inside functions, ``typing`` those behind ``TYPE_CHECKING``.
    """
    found = set()
    for name in _imported_names(module.tree, lazy, typing):
        own = name if name in known else name.rpartition(".")[0]
        if own in known and own != module.name:
            found.add(own)
    return found


def _imported_names(tree: ast.AST, lazy: bool, typing: bool) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, FunctionNode) and not lazy:
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not typing:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from _imported_names(node, lazy, typing)


def small_private_functions(module: Module, most_lines: int) -> Iterator[str]:
    """Private functions and methods of few lines that one place calls.

    Decorated functions are left out, since their decorator may register them.
    """
    uses = Counter(_used_names(module))
    for node in module.nodes:
        if not isinstance(node, FunctionNode) or node.decorator_list:
            continue
        if not node.name.startswith("_") or node.name.startswith("__"):
            continue
        assert node.end_lineno is not None
        if node.end_lineno - node.lineno + 1 <= most_lines and uses[node.name] == 1:
            yield f"{module.path.relative_to(ROOT)}:{node.lineno} {node.name}"


def _used_names(module: Module) -> Iterator[str]:
    for node in module.nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node.attr


def old_words(module: Module) -> Iterator[str]:
    """Identifiers of ``module`` that have a word of ``OLD_WORDS`` in them."""
    seen = set()
    for node in module.nodes:
        name = getattr(node, "name", None) or getattr(node, "arg", None)
        if isinstance(node, ast.Name):
            name = node.id
        elif isinstance(node, ast.Attribute):
            name = node.attr
        if isinstance(name, str) and name not in seen and OLD_WORDS & set(words(name)):
            seen.add(name)
            yield f"{module.path.relative_to(ROOT)} {name}"


def words(identifier: str) -> list[str]:
    """The words of an identifier in snake_case or CamelCase, in lower case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", identifier).lower().split("_")


def long_lines(module: Module) -> Iterator[str]:
    """Lines of more than 100 columns, as ruff counts them for E501."""
    for number, line in enumerate(module.text.splitlines(), 1):
        if len(line) > LONGEST_LINE and "noqa: E501" not in line:
            yield f"{module.path.relative_to(ROOT)}:{number}"


def private_attributes(module: Module) -> Iterator[str]:
    """Accesses to a private attribute of something else than ``self`` or ``cls``; those of named
    tuples are public.
    """
    private = re.compile(r"_(?!_|asdict$|fields$|make$|replace$)")
    for node in module.nodes:
        if isinstance(node, ast.Attribute) and private.match(node.attr):
            owner = getattr(node.value, "id", "")
            if owner not in ("self", "cls"):
                yield f"{module.path.relative_to(ROOT)}:{node.lineno} {node.attr}"
