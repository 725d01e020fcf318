"""``python -m benchmarks [NAME …]``: run every benchmark of this package, or those named, and print
the figures.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import pkgutil
import sys
from collections.abc import Callable, Mapping

import benchmarks
from benchmarks.measure import Figure, SkippedError, table
from dify_wire.strict import unknown

Figures = Callable[[], list[Figure]]


def main() -> None:
    """Measure and print. Exit 2 for a name that is not a benchmark."""
    found = declared()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of: {', '.join(found)}; all by default"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in found:
            parser.error(unknown("benchmark", name, found))
    results = {name: _measured(name, found[name]) for name in arguments.names or found}
    if arguments.json:
        shown = {
            name: [dataclasses.asdict(figure) for figure in figures]
            for name, figures in results.items()
        }
        print(json.dumps(shown, indent=2))
    else:
        print(
            "\n\n".join(f"{name}\n{table(figures)}" for name, figures in results.items() if figures)
        )


def declared() -> Mapping[str, Figures]:
    """The benchmarks of this package by name: its modules that have ``figures``."""
    names = [
        module.name
        for module in pkgutil.iter_modules(benchmarks.__path__)
        if not module.name.startswith("_")
    ]
    modules = {name: importlib.import_module(f"benchmarks.{name}") for name in names}
    return {name: module.figures for name, module in modules.items() if hasattr(module, "figures")}


def _measured(name: str, figures: Figures) -> list[Figure]:
    print(f"measuring {name} …", file=sys.stderr)
    try:
        return figures()
    except SkippedError as skipped:
        print(f"{name} is skipped: {skipped}", file=sys.stderr)
        return []


if __name__ == "__main__":
    main()
