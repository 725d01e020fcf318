"""The figures themselves, each with the places that it counts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.structure.graph import largest_knot, longest_chain
from tests.structure.source import (
    PRODUCT,
    ROOT,
    Module,
    imports,
    long_lines,
    modules,
    old_words,
    private_attributes,
    small_private_functions,
)

SMALL = 4
"""A private function of so many lines with one caller says little that its body does not."""


LIMITS = {
    "modules that one other imports": 59,
    "private functions, one caller, at most 4 lines": 54,
    "longest import chain": 12,
    "largest import cycle, for types and lazy imports": 2,
    "identifiers with old words, product": 0,
    "identifiers with old words, tests": 0,
    "lines over 100 columns": 20,
    "private attributes that tests use": 8,
    "POST /v1/workflows/run, functions": 184,
    "POST /v1/workflows/run, files": 30,
    "POST /v1/workflows/run, file changes": 136,
}
"""The most that each figure may be; totals of lines and modules have no limit."""


@dataclass(frozen=True)
class Figure:
    """A number, and the places that it counts where they can be named."""

    name: str
    value: int
    rows: tuple[str, ...] = ()

    @property
    def limit(self) -> int | None:
        return LIMITS.get(self.name)


def all_figures() -> Iterator[Figure]:
    """Every figure, from source and from one traced request."""
    yield from source_figures()
    yield from trace_figures()


def source_figures() -> Iterator[Figure]:
    """What can be read off the source."""
    product = modules(*PRODUCT)
    tests = modules("tests", "benchmarks")
    every_import = _graph(product, lazy=True, typing=True)
    importers = Counter(name for targets in every_import.values() for name in targets)
    yield Figure("product code, lines", sum(one.text.count("\n") for one in product.values()))
    yield Figure("product code, modules", len(product))
    yield _counted(
        "modules that one other imports",
        (
            name
            for name in product
            if importers[name] == 1
            and not name.endswith(("__init__", "__main__"))
            and ".cli." not in name  # a group of commands names each of its files once
        ),
    )
    yield _counted(
        f"private functions, one caller, at most {SMALL} lines",
        (row for one in product.values() for row in small_private_functions(one, SMALL)),
    )
    chain = longest_chain(_graph(product, lazy=False, typing=False))
    yield _counted("longest import chain", chain)
    yield _counted("largest import cycle, for types and lazy imports", largest_knot(every_import))
    for name, group in (("product", product), ("tests", tests)):
        yield _counted(
            f"identifiers with old words, {name}",
            (row for one in group.values() for row in old_words(one)),
        )
    yield _counted(
        "lines over 100 columns",
        (row for one in {**product, **tests}.values() for row in long_lines(one)),
    )
    yield _counted(
        "private attributes that tests use",
        (row for one in tests.values() for row in private_attributes(one)),
    )


def trace_figures() -> Iterator[Figure]:
    """What one blocking run passes through."""
    command = [sys.executable, "-m", "tests.structure.trace"]
    traced = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    for name, value in json.loads(traced.stdout).items():
        yield Figure(f"POST /v1/workflows/run, {name}", value)


def _counted(name: str, rows: Iterable[str]) -> Figure:
    found = tuple(rows)
    return Figure(name, len(found), found)


def _graph(known: dict[str, Module], *, lazy: bool, typing: bool) -> dict[str, set[str]]:
    return {
        name: imports(module, known, lazy=lazy, typing=typing) for name, module in known.items()
    }
