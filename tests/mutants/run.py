"""``python -m tests.mutants``: every mutant judged, in two processes, and what became of them."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from fnmatch import fnmatchcase
from multiprocessing import get_context
from pathlib import Path

from tests.mutants.catalogue import MUTANTS
from tests.mutants.coverage import checks_without_a_mutant
from tests.mutants.judging import UNTOUCHED, Fate, Judgement, judge_mutant
from tests.mutants.mutant import Mutant
from tests.mutants.table import schemathesis_score

_PROCESSES = 2


def main(argv: Sequence[str] | None = None) -> int:
    """0 where every mutant is killed for the right reason and the untouched host passes, 1
    otherwise.
    """
    arguments = _arguments(argv)
    if arguments.unnamed:
        print("\n".join(checks_without_a_mutant(MUTANTS.values())))
        return 0
    chosen = [name for name in MUTANTS if not arguments.only or _fits(name, arguments.only)]
    began = time.monotonic()
    judged = []
    for judgement in judge_all([mutant.name for mutant in UNTOUCHED] + chosen, arguments.processes):
        judged.append(judgement)
        print(_line(judgement), flush=True)
    print(_summary(judged, time.monotonic() - began))
    if arguments.json:
        told = [judgement.as_dict() for judgement in judged]
        arguments.json.write_text(
            json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return 0 if all(map(_is_well, judged)) else 1


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument(
        "--only", action="append", metavar="GLOB", help="only mutants of such names"
    )
    parser.add_argument(
        "--unnamed", action="store_true", help="list the checks that no mutant names alone, and end"
    )
    parser.add_argument("--json", type=Path, metavar="F", help="write every judgement as JSON")
    parser.add_argument("--processes", type=int, default=_PROCESSES, metavar="N")
    arguments = parser.parse_args(argv)
    if arguments.only and not any(_fits(name, arguments.only) for name in MUTANTS):
        parser.error(f"no mutant is called {', '.join(arguments.only)}")
    return arguments


def _fits(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def judge_all(names: Sequence[str], processes: int = _PROCESSES) -> Iterator[Judgement]:
    """The judgement of each mutant of that name, in order, as soon as it is there."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(judge_named, names)


def judge_named(name: str) -> Judgement:
    """Mutants are functions and do not travel between processes; their names do."""
    return judge_mutant(_named(name))


def _named(name: str) -> Mutant:
    return next((mutant for mutant in UNTOUCHED if mutant.name == name), None) or MUTANTS[name]


def _is_well(judgement: Judgement) -> bool:
    untouched = judgement.area == UNTOUCHED[0].area
    return judgement.fate is (Fate.SURVIVED if untouched else Fate.KILLED)


def _line(judgement: Judgement) -> str:
    mark = " " if _is_well(judgement) else "!"
    said = ", ".join(judgement.killers[:3]) or ", ".join(judgement.others[:3]) or "nothing failed"
    return f"{mark} {judgement.name:<44} {judgement.fate:<27} {judgement.seconds:5.1f} s  {said}"


def _summary(judged: Sequence[Judgement], seconds: float) -> str:
    mutants = [judgement for judgement in judged if judgement.area != UNTOUCHED[0].area]
    lines = ["", f"{len(mutants)} mutants in {seconds:.0f} s:"]
    fates = Counter((judgement.area, judgement.fate) for judgement in mutants)
    for area in dict.fromkeys(judgement.area for judgement in mutants):
        told = ", ".join(f"{fates[area, fate]} {fate}" for fate in Fate if fates[area, fate])
        lines.append(f"  {area:<20} {told}")
    failed = [
        judgement for judgement in judged if judgement not in mutants and not _is_well(judgement)
    ]
    lines += [
        f"  the {judgement.name} host does not pass: {', '.join(judgement.others)}"
        for judgement in failed
    ]
    total = Counter(judgement.fate for judgement in mutants)
    lines.append(
        f"killed by this suite: {total[Fate.KILLED]} of {len(mutants)}; {schemathesis_score()}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
