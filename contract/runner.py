"""Runs checks against a target; an error in one check never hides another's result."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace

from contract.check import Capability, Check, Level, Phase
from contract.current_check import CURRENT_CHECK
from contract.evidence import stream
from contract.result import Failed, NotRun, Result, Skipped, Status
from contract.target import FINITE_SPEED_S, Target

_THREADS = 4
_FAILED = (Status.FAILED, Status.DIFFERS)


def run_checks(target: Target, checks: Sequence[Check]) -> list[Result]:
    """The results of ``checks``, in their order."""
    return complete(run_each(target, checks), checks, target)


def run_each(target: Target, checks: Sequence[Check]) -> Generator[Result, None, None]:
    """The results of ``checks`` as they come.

    Checks that share evidence wait for it together; the rest runs in parallel.
    """
    pool = ThreadPoolExecutor(_THREADS)
    try:
        for phase in Phase:
            in_phase = [check for check in checks if check.phase is phase]
            for batch in [[check] for check in in_phase] if phase is Phase.CLOCK else [in_phase]:
                for future in as_completed([pool.submit(run_check, one, target) for one in batch]):
                    yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def complete(
    results: Iterable[Result], checks: Sequence[Check], target: Target, reason: str = ""
) -> list[Result]:
    """One result for each of ``checks``: those without one were not run, for ``reason``.

    A failure on the last responses of a host that went away says nothing about its contract.
    """
    found = {result.name: result for result in results}
    completed = []
    for check in checks:
        result = found.get(check.name) or Result(check, Status.NOT_RUN, reason=reason)
        if result.status in _FAILED and target.ended_by(result.exchange):
            seconds, exchange = result.seconds, result.exchange
            result = Result(
                check, Status.NOT_RUN, seconds, reason=str(target.gone), exchange=exchange
            )
        completed.append(result)
    return completed


def run_check(check: Check, target: Target) -> Result:
    """One check's result; no exception gets out."""
    token = CURRENT_CHECK.set(check.name)
    began = time.monotonic()
    try:
        result = _evaluate(check, target)
    finally:
        CURRENT_CHECK.reset(token)
    return replace(result, seconds=time.monotonic() - began)


def _evaluate(check: Check, target: Target) -> Result:
    try:
        for capability in check.needs:
            if capability is not Capability.FINITE_SPEED:
                target.require(capability)
            elif stream(target).exchange.seconds < FINITE_SPEED_S:
                raise Skipped(f"needs {capability}")
        check.run(target)
    except Failed as error:
        level = error.level or min(check.level, Level.HOST)
        return Result(
            check,
            Status.DIFFERS if level is Level.VERSION else Status.FAILED,
            reason=error.reason,
            expected=error.expected,
            got=error.got,
            why=error.why,
            exchange=error.exchange,
            level=level,
        )
    except Skipped as error:
        return Result(check, Status.SKIPPED, reason=error.reason)
    except NotRun as error:
        return Result(check, Status.NOT_RUN, reason=error.reason, exchange=error.exchange)
    except Exception as error:  # a host may send what no check foresaw: a finding, no traceback
        reason = f"the check crashed: {type(error).__name__}: {error}"
        return Result(check, Status.FAILED, reason=reason)
    return Result(check, Status.PASSED)
