"""Runs the suite against mutants: whether it kills each of them, and for the right reason."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from multiprocessing import get_context

from contract.check import Check
from contract.checks import CHECKS
from contract.preflight import PREFLIGHT, CouldNotRunError, preflight
from contract.result import Result
from contract.runner import run_checks
from tests.mutants.catalogue import MUTANTS
from tests.mutants.middleware import CRASHES
from tests.mutants.mutant import RHYTHM, Mutant
from tests.mutants.serving import serving_target, untouched

PROCESSES = 2

UNTOUCHED = {
    name: Mutant("untouched", name, "Nothing.", (), untouched, speed)
    for name, speed in (("untouched", None), ("untouched_in_rhythm", RHYTHM))
}
"""The hosts that must pass."""


class Status(StrEnum):
    KILLED = "killed"
    WRONG_REASON = "killed for the wrong reason"
    SURVIVED = "survived"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class MutantResult:
    """``killers`` are the named checks that failed, ``others`` what else did, ``error`` what the
    mutant's own code raised.
    """

    name: str
    area: str
    status: Status
    killers: tuple[str, ...]
    others: tuple[str, ...]
    seconds: float
    error: str = ""

    @property
    def is_untouched(self) -> bool:
        return self.name in UNTOUCHED

    @property
    def is_as_expected(self) -> bool:
        return self.status is (Status.SURVIVED if self.is_untouched else Status.KILLED)


def run_mutants(
    names: Sequence[str], every_check: bool = False, processes: int = PROCESSES
) -> Iterator[MutantResult]:
    """The result of each mutant of that name, in order, as soon as it is there."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_run_named, names, [every_check] * len(names))


def _run_named(name: str, every_check: bool) -> MutantResult:
    """Mutants are functions and do not travel between processes; their names do."""
    return run_mutant(UNTOUCHED.get(name) or MUTANTS[name], every_check)


def run_mutant(mutant: Mutant, every_check: bool = False) -> MutantResult:
    """Run the suite against ``mutant``.

    The checks that it names run first, alone: where one of them fails, the mutant is killed and the
    other checks do not run, unless ``every_check`` asks for them. Checks that use schemathesis run
    only where the others see nothing.
    """
    began = time.monotonic()
    CRASHES.clear()
    try:
        failed = _failed(mutant, every_check)
    except CouldNotRunError as error:
        is_expected = bool(mutant.refused) and mutant.refused in str(error)
        status = Status.KILLED if is_expected else Status.WRONG_REASON
        killers, others = ([PREFLIGHT.name], []) if is_expected else ([], [str(error)])
    else:
        killers = [
            result.check.name
            for result in failed
            if result.expected and mutant.is_killed_by(result.check.name)
        ]
        others = [_described(result) for result in failed if result.check.name not in killers]
        too_harsh = mutant.strict and any(result.expected and result.fails() for result in failed)
        if not failed:
            status = Status.SURVIVED
        elif too_harsh or not killers or mutant.refused:
            status = Status.WRONG_REASON
        else:
            status = Status.KILLED
    if CRASHES:
        status = Status.CRASHED
    seconds = time.monotonic() - began
    crash = CRASHES[0] if CRASHES else ""
    return MutantResult(
        mutant.name, mutant.area, status, tuple(killers), tuple(others), seconds, crash
    )


def _failed(mutant: Mutant, every_check: bool) -> list[Result]:
    named = [check for check in quick_checks() if mutant.is_killed_by(check.name)]
    if named and not (every_check or mutant.strict or mutant.refused):
        failed = failures_of(mutant, named)
        if any(result.expected for result in failed):
            return failed
    failed = failures_of(mutant, quick_checks())
    slow = [check for check in CHECKS.values() if check.slow]
    names_slow = any(mutant.is_killed_by(check.name) for check in slow)
    if not failed and (mutant.name in UNTOUCHED or names_slow):
        failed = failures_of(mutant, slow)
    return failed


def quick_checks() -> list[Check]:
    """The checks that need no schemathesis."""
    return [check for check in CHECKS.values() if not check.slow]


def failures_of(mutant: Mutant, checks: Sequence[Check]) -> list[Result]:
    """The results of ``checks`` that fail a run of the suite against ``mutant``. Raises
    ``CouldNotRunError``.
    """
    with serving_target(mutant) as target:
        preflight(target)
        return [result for result in run_checks(target, checks) if result.fails(mutant.strict)]


def _described(result: Result) -> str:
    name = result.check.name
    return name if result.expected else f"{name} ({result.status})"


def unknown_killers(mutant: Mutant) -> list[str]:
    """The killers of ``mutant`` that fit no check."""
    names = (*CHECKS, PREFLIGHT.name)
    return [one for one in mutant.killers if not any(fnmatchcase(name, one) for name in names)]


def checks_without_a_mutant(mutants: Iterable[Mutant]) -> list[str]:
    """The checks that no mutant names alone, in the order of ``CHECKS``.

    A mutant that names one check and no other is killed only where this check fails with a finding
    of its own; so while ``make mutants`` is green, each check outside this list was seen to fail
    for its own reason.
    """
    named = ([name for name in CHECKS if mutant.is_killed_by(name)] for mutant in mutants)
    named_alone = {names[0] for names in named if len(names) == 1}
    return [name for name in CHECKS if name not in named_alone]
