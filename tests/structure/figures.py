"""The figures themselves, each with the places that it counts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tests.structure.graph import largest_knot, longest_chain
from tests.structure.source import (
    PRODUCT,
    ROOT,
    Module,
    imports,
    modules,
    old_words,
    small_private_functions,
)

SMALL = 4
"""A private function of so many lines with one caller says little that its body does not."""


@dataclass(frozen=True)
class Figure:
    """A number, and the places that it counts where they can be named."""

    name: str
    value: int
    rows: tuple[str, ...] = ()


def all_figures() -> Iterator[Figure]:
    """Every figure, from source and from one traced request."""
    yield from source_figures()
    yield from trace_figures()


def source_figures() -> Iterator[Figure]:
    """What can be read off the source."""
    product = modules(*PRODUCT)
    graph = _graph(product, lazy=False, typing=False)
    importers = Counter(
        name for targets in _graph(product, lazy=True, typing=True).values() for name in targets
    )
    once = [
        name
        for name in product
        if importers[name] == 1 and not name.endswith(("__init__", "__main__"))
    ]
    small = [row for module in product.values() for row in small_private_functions(module, SMALL)]
    chain, knot = longest_chain(graph), largest_knot(_graph(product, lazy=True, typing=True))
    old = [
        row
        for module in modules(*PRODUCT, "tests", "benchmarks").values()
        for row in old_words(module)
    ]
    yield Figure("product code, lines", sum(one.text.count("\n") for one in product.values()))
    yield Figure("product code, modules", len(product))
    yield Figure("modules that one other imports", len(once), tuple(once))
    yield Figure(f"private functions, one caller, at most {SMALL} lines", len(small), tuple(small))
    yield Figure("longest import chain", len(chain), tuple(chain))
    yield Figure("largest import cycle, for types and lazy imports", len(knot), tuple(knot))
    yield Figure("identifiers with words of the old vocabulary", len(old), tuple(old))


def trace_figures() -> Iterator[Figure]:
    """What one blocking run passes through."""
    command = [sys.executable, "-m", "tests.structure.trace"]
    traced = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    for name, value in json.loads(traced.stdout).items():
        yield Figure(f"POST /v1/workflows/run, {name}", value)


def _graph(known: dict[str, Module], *, lazy: bool, typing: bool) -> dict[str, set[str]]:
    return {
        name: imports(module, known, lazy=lazy, typing=typing) for name, module in known.items()
    }
