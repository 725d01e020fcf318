"""Runs checks against a target and collects their verdicts; one check's trouble never hides
another's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from enum import StrEnum

from contract.check import Check, Level, Phase
from contract.current_check import CURRENT_CHECK
from contract.result import Failed, NotRun, Skipped
from contract.target import Target
from dify_wire.exchange import Exchange

_AT_ONCE = 4


class Outcome(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_RUN = "not run"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Result:
    """One check's verdict. ``expected`` and ``got`` are empty but for a broken promise.

    ``level`` is the authority of a broken promise. ``follows`` names the check whose failure this
    one follows from.
    """

    check: Check
    outcome: Outcome
    seconds: float = 0.0
    reason: str = ""
    expected: str = ""
    got: str = ""
    why: str = ""
    exchange: Exchange | None = None
    level: Level | None = None
    follows: str = ""

    def fails(self, strict_observed: bool = False) -> bool:
        """Whether this result fails a run: a version's difference does so only on request."""
        if self.outcome in (Outcome.NOT_RUN, Outcome.ERROR):
            return True
        return self.outcome is Outcome.FAILED and (
            not self.is_version_difference or strict_observed
        )

    @property
    def is_version_difference(self) -> bool:
        """Whether the host only does as another recorded version than the reference does."""
        return self.outcome is Outcome.FAILED and (self.level or self.check.level) is Level.VERSION


def run_checks(
    target: Target,
    checks: Sequence[Check],
    on_result: Callable[[Result], None] = lambda _: None,
    fail_fast: bool = False,
    strict_observed: bool = False,
) -> list[Result]:
    """The results of ``checks`` in their order. ``on_result`` hears of each as it comes, for a
    progress bar.

    Checks that share evidence wait for it together; the rest runs side by side. After a failure
    with ``fail_fast`` what has not begun is not run. On KeyboardInterrupt the results so far are in
    the exception's ``results``.
    """
    results: dict[str, Result] = {}

    def record(result: Result) -> None:
        results[result.check.name] = result
        on_result(result)

    def all_of_them(reason: str) -> list[Result]:
        complete = (
            results.get(check.name) or Result(check, Outcome.NOT_RUN, reason=reason)
            for check in checks
        )
        return [_unless_the_host_had_gone(result, target) for result in complete]

    try:
        for result in _in_parallel(target, checks):
            record(result)
            if fail_fast and result.fails(strict_observed):
                break
    except KeyboardInterrupt as interrupt:
        interrupt.results = all_of_them("interrupted")  # type: ignore[attr-defined]
        raise
    return all_of_them("an earlier check failed (--fail-fast)")


def _in_parallel(target: Target, checks: Sequence[Check]) -> Iterator[Result]:
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        for phase in Phase:
            of_phase = [check for check in checks if check.phase is phase]
            for together in [[check] for check in of_phase] if phase is Phase.CLOCK else [of_phase]:
                waiting: list[Future[Result]] = [
                    pool.submit(run_check, check, target) for check in together
                ]
                for future in as_completed(waiting):
                    yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _unless_the_host_had_gone(result: Result, target: Target) -> Result:
    """What failed on the last answers of a host that went away says that it went, and nothing of
    its contract.
    """
    if result.outcome is not Outcome.FAILED or not target.ended_by(result.exchange):
        return result
    reason = str(target.gone)
    return Result(result.check, Outcome.NOT_RUN, result.seconds, reason, exchange=result.exchange)


def run_check(check: Check, target: Target) -> Result:
    """One check's result; nothing it raises gets out."""
    before = CURRENT_CHECK.set(check.name)
    try:
        return _evaluate(check, target)
    finally:
        CURRENT_CHECK.reset(before)


def _evaluate(check: Check, target: Target) -> Result:
    began = time.monotonic()
    try:
        for capability in check.needs:
            target.require(capability)
        check.run(target)
    except Failed as broken:
        seconds = time.monotonic() - began
        level = broken.level or min(check.level, Level.HOST)
        told = (broken.reason, broken.expected, broken.got, broken.why, broken.exchange, level)
        return Result(check, Outcome.FAILED, seconds, *told)
    except Skipped as verdict:
        return Result(check, Outcome.SKIPPED, time.monotonic() - began, verdict.reason)
    except NotRun as verdict:
        return Result(
            check,
            Outcome.NOT_RUN,
            time.monotonic() - began,
            verdict.reason,
            exchange=verdict.exchange,
        )
    except (
        Exception
    ) as error:  # a host may send what no check foresaw; that is a finding, not a traceback
        reason = f"the check itself stumbled: {type(error).__name__}: {error}"
        return Result(check, Outcome.ERROR, time.monotonic() - began, reason)
    return Result(check, Outcome.PASSED, time.monotonic() - began)
