"""``python -m tests.mutants``: runs the suite against every mutant and two unchanged hosts.

With ``--only`` it runs the chosen mutants alone. The names of mutants that are not killed as they
should be stand at the very end.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path

from tests.mutants.catalogue import MUTANTS
from tests.mutants.evaluate import (
    PROCESSES,
    UNTOUCHED,
    MutantResult,
    Status,
    checks_without_a_mutant,
    run_mutants,
    unknown_killers,
)
from tests.mutants.table import schemathesis_score


def main(argv: Sequence[str] | None = None) -> int:
    """0 where every mutant is killed for the right reason and the untouched hosts pass, 1
    otherwise.
    """
    arguments = _arguments(argv)
    if arguments.unnamed:
        print("\n".join(checks_without_a_mutant(MUTANTS.values())))
        return 0
    globs = arguments.only or ["*"]
    chosen = [name for name in MUTANTS if any(fnmatchcase(name, glob) for glob in globs)]
    for name in chosen:
        for killer in unknown_killers(MUTANTS[name]):
            sys.exit(f"{name}: no check is called {killer}")
    hosts = chosen if arguments.only else [*UNTOUCHED, *chosen]
    began = time.monotonic()
    results = []
    for result in run_mutants(hosts, arguments.all_checks, arguments.processes):
        results.append(result)
        print(_line(result), flush=True)
    if arguments.json:
        text = json.dumps([asdict(result) for result in results], indent=1, ensure_ascii=False)
        arguments.json.write_text(text + "\n", encoding="utf-8")
    print(_summary(results, time.monotonic() - began))
    return 0 if all(result.is_as_expected for result in results) else 1


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument(
        "--only", action="append", metavar="GLOB", help="only mutants of such names"
    )
    parser.add_argument(
        "--all-checks", action="store_true", help="run every check, not only those a mutant names"
    )
    parser.add_argument(
        "--unnamed", action="store_true", help="list the checks that no mutant names alone, and end"
    )
    parser.add_argument("--json", type=Path, metavar="F", help="write every result as JSON")
    parser.add_argument("--processes", type=int, default=PROCESSES, metavar="N")
    arguments = parser.parse_args(argv)
    for glob in arguments.only or ():
        if not any(fnmatchcase(name, glob) for name in MUTANTS):
            parser.error(f"no mutant is called {glob}")
    return arguments


def _line(result: MutantResult) -> str:
    mark = " " if result.is_as_expected else "!"
    names = ", ".join(result.killers[:3]) or ", ".join(result.others[:3]) or "nothing failed"
    seen = result.error or names
    return f"{mark} {result.name:<44} {result.status:<27} {result.seconds:5.1f} s  {seen}"


def _summary(results: Sequence[MutantResult], seconds: float) -> str:
    mutants = [result for result in results if not result.is_untouched]
    lines = ["", f"{len(mutants)} mutants in {seconds:.0f} s:"]
    counts = Counter((result.area, result.status) for result in mutants)
    for area in dict.fromkeys(result.area for result in mutants):
        of_area = (f"{counts[area, status]} {status}" for status in Status if counts[area, status])
        lines.append(f"  {area:<20} {', '.join(of_area)}")
    killed = sum(result.status is Status.KILLED for result in mutants)
    lines.append(f"killed by this suite: {killed} of {len(mutants)}; {schemathesis_score()}")
    unexpected = [_line(result) for result in results if not result.is_as_expected]
    if unexpected:
        lines += ["", f"{len(unexpected)} not as expected:", *unexpected]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
