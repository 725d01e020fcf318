"""Whether the suite kills a mutant, and for the right reason."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import contract.checks  # noqa: F401  # fills CHECKS
from contract.check import CHECKS, Check
from contract.preflight import PREFLIGHT, CouldNotRunError, preflight
from contract.runner import Outcome, Result, run_checks
from tests.mutants.mutant import RHYTHM, Mutant
from tests.mutants.serving import target_of, untouched

UNTOUCHED = (
    Mutant("untouched", "untouched", "Nothing: the host that must pass, at once.", (), untouched),
    Mutant(
        "untouched",
        "untouched_in_rhythm",
        "Nothing: the host that must pass, in time.",
        (),
        untouched,
        RHYTHM,
    ),
)


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    WRONG_REASON = "killed for the wrong reason"
    SURVIVED = "survived"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A mutant's fate; ``killers`` are the named checks that failed, ``others`` what else did."""

    name: str
    area: str
    breaks: str
    fate: Fate
    killers: tuple[str, ...]
    others: tuple[str, ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def own_checks() -> list[Check]:
    """The checks that are quick, for they need no schemathesis."""
    return [check for check in CHECKS.values() if not check.slow]


def generated_checks() -> list[Check]:
    """The checks that schemathesis judges; asked only where the others see nothing."""
    return [check for check in CHECKS.values() if check.slow]


def judge_mutant(mutant: Mutant) -> Judgement:
    """Let the suite judge ``mutant``: its own checks, and schemathesis only where they see nothing.

    One that cannot be judged at all is killed where the line that says why has the words that the
    mutant declares.
    """
    began = time.monotonic()
    try:
        failed = failures_of(mutant, own_checks())
    except CouldNotRunError as error:
        fate = Fate.KILLED if mutant.refused and mutant.refused in str(error) else Fate.WRONG_REASON
        named, other = ((PREFLIGHT.name,), ()) if fate is Fate.KILLED else ((), (str(error),))
        return Judgement(
            mutant.name, mutant.area, mutant.breaks, fate, named, other, time.monotonic() - began
        )
    if not failed and (
        mutant in UNTOUCHED or any(map(mutant.may_be_killed_by, _names(generated_checks())))
    ):
        failed = failures_of(mutant, generated_checks())
    broken = [result for result in failed if result.outcome is Outcome.FAILED]
    killers = [result.check.name for result in broken if mutant.may_be_killed_by(result.check.name)]
    others = [_shown(result) for result in failed if result.check.name not in killers]
    too_harsh = mutant.strict and any(result.fails() for result in broken)
    wrong = too_harsh or not killers or mutant.refused  # which should not have got this far
    fate = Fate.SURVIVED if not failed else Fate.WRONG_REASON if wrong else Fate.KILLED
    seconds = time.monotonic() - began
    return Judgement(
        mutant.name, mutant.area, mutant.breaks, fate, tuple(killers), tuple(others), seconds
    )


def _names(checks: Sequence[Check]) -> list[str]:
    return [check.name for check in checks]


def failures_of(mutant: Mutant, checks: Sequence[Check]) -> list[Result]:
    """The results of ``checks`` that fail a run of the suite against ``mutant``. Raises
    ``CouldNotRunError``.
    """
    with target_of(mutant) as target:
        preflight(target)
        return [result for result in run_checks(target, checks) if result.fails(mutant.strict)]


def _shown(result: Result) -> str:
    return (
        result.check.name
        if result.outcome is Outcome.FAILED
        else f"{result.check.name} ({result.outcome})"
    )
