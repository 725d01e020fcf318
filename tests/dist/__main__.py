"""``make dist``: build the package, and try it in empty environments of every Python there is.

``--smoke`` builds once and tries it with this Python only; ``PYTHONS`` names others.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.dist import pythons
from tests.dist.building import DistError, build
from tests.dist.trial import Environment, try_base, try_extra, try_tests
from tests.serving import ROOT


def main(args: Sequence[str] | None = None) -> int:
    """Build and try; 0 if all is well."""
    parser = argparse.ArgumentParser(prog="make dist", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="once, with this Python only")
    smoke = parser.parse_args(args).smoke
    named = os.environ.get("PYTHONS", sys.executable if smoke else "")
    try:
        wheel, sdist = build(twice=not smoke)
        for path in (wheel, sdist):
            print(f"{path.relative_to(ROOT)}  {path.stat().st_size:,} bytes")
        print("the same bytes from the sdist" + ("" if smoke else " and in a second build"))
        found = pythons.found(named)
        if not found:
            raise DistError(f"no Python 3.11 or newer with venv among {named or 'those on PATH'}")
        for version, program in found.items():
            _try(version, program, wheel)
    except DistError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    if not smoke and (missing := pythons.missing(found)):
        print(f"not tried, because not here: Python {', '.join(missing)}")
    return 0


def _try(version: str, program: str, wheel: Path) -> None:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="fake-dify-dist-") as folder:
        environment = Environment(Path(folder), program)
        seconds = environment.install(str(wheel))
        try_base(environment)
        environment.install("pytest", "mypy")
        try_tests(environment)
        environment.install(f"{wheel}[contract]")
        try_extra(environment)
    total = time.perf_counter() - began
    print(f"Python {version}: well, {total:.0f} s; pip installed the base in {seconds:.1f} s")


if __name__ == "__main__":
    sys.exit(main())
