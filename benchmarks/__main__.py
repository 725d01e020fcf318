"""``python -m benchmarks [NAME …]``: run every benchmark of this package, or those named, print a
table and write the figures as JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import pkgutil
import platform
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import benchmarks
from benchmarks.measure import Figure, Size, SkippedError, table
from benchmarks.servers import ROOT
from dify_wire.strict import unknown

Figures = Callable[[Size], list[Figure]]


def main() -> None:
    """Measure and print. Exit 2 for a name that is not a benchmark."""
    found = declared()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of: {', '.join(found)}; all by default"
    )
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", action="store_const", dest="size", const=Size.QUICK, help=_QUICK)
    sizes.add_argument("--smoke", action="store_const", dest="size", const=Size.SMOKE, help=_SMOKE)
    parser.add_argument(
        "--json",
        type=Path,
        default=ROOT / ".benchmarks" / "figures.json",
        metavar="FILE",
        help="where to write the figures (default: %(default)s)",
    )
    parser.set_defaults(size=Size.FULL)
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in found:
            parser.error(unknown("benchmark", name, found))
    about = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": platform.platform(terse=True),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "size": arguments.size.value,
    }
    print(", ".join(f"{name} {value}" for name, value in about.items()), flush=True)
    parts = {
        name: [
            dataclasses.asdict(figure) for figure in _measured(name, found[name], arguments.size)
        ]
        for name in arguments.names or found
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**about, "parts": parts}, indent=1, ensure_ascii=False)
    arguments.json.write_text(text)


_QUICK = "the whole in two minutes, less exact"
_SMOKE = "only prove that each part runs"


def declared() -> Mapping[str, Figures]:
    """The benchmarks of this package by name: its modules that have ``figures``."""
    names = [
        module.name
        for module in pkgutil.iter_modules(benchmarks.__path__)
        if not module.name.startswith("_")
    ]
    modules = {name: importlib.import_module(f"benchmarks.{name}") for name in names}
    return {name: module.figures for name, module in modules.items() if hasattr(module, "figures")}


def _measured(name: str, figures: Figures, size: Size) -> list[Figure]:
    print(f"measuring {name} …", file=sys.stderr)
    try:
        measured = figures(size)
    except SkippedError as skipped:
        measured = [Figure(name, "skipped", note=str(skipped))]
    print(f"\n{table(measured)}", flush=True)
    return measured


if __name__ == "__main__":
    main()
