"""Chooses checks, runs them against a target, and finds which failures follow from which.

An error in one check never hides another's result.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from contract.check import CURRENT_CHECK, Capability, Check, Evidence, Level, Phase
from contract.evidence import makes_images, stream
from contract.result import Failed, NotRun, Result, Skipped, Status
from contract.target import FINITE_SPEED_S, Capabilities, Target
from dify_wire.strict import closest

_THREADS = 4
_FAILED = (Status.FAILED, Status.DIFFERS)
_RENAMED = Path(__file__).with_name("renamed_checks.toml")


class UnknownCheckError(ValueError):
    """A name or pattern that fits no check; the message names the nearest."""


def missing_extra(checks: Iterable[Check]) -> str | None:
    """What to install where some of ``checks`` generate requests and the libraries for it are not
    installed; None if they can run.
    """
    names = [check.name for check in checks if check.slow]
    if not names or all(find_spec(library) for library in ("hypothesis", "schemathesis")):
        return None
    which = "a check generates" if len(names) == 1 else f"{len(names)} checks generate"
    without = " ".join(f"--skip {name}" for name in names)
    return (
        f"{which} requests, and what does that is not installed; contract needs its extra: "
        f"pip install 'fake-dify[contract]' (or leave out: {without})"
    )


@cache
def renamed_checks() -> Mapping[str, str]:
    """The present name of each check that had another one, by the old name; none for one that was
    removed.
    """
    return {old: str(new) for old, new in tomllib.loads(_RENAMED.read_text("utf-8")).items()}


def select(
    checks: Mapping[str, Check], only: Sequence[str] = (), skip: Sequence[str] = ()
) -> list[Check]:
    """The checks that ``only`` names (all without it) and ``skip`` does not. Both take names, old
    names and globs.
    """
    kept = _matching(checks, only) if only else checks.keys()
    if not kept:
        raise UnknownCheckError("these checks were removed; `contract list` names those there are")
    skipped = _matching(checks, skip)
    return [check for name, check in checks.items() if name in kept and name not in skipped]


def _matching(checks: Mapping[str, Check], patterns: Iterable[str]) -> set[str]:
    """The names that each pattern fits, itself or by their old names."""
    found: set[str] = set()
    for pattern in patterns:
        names = {name for name in checks if fnmatchcase(name, pattern)}
        names = names or {new for old, new in renamed_checks().items() if fnmatchcase(old, pattern)}
        if not names:
            close = closest(pattern, checks, cutoff=0.4)
            hint = f"did you mean {close!r}?" if close else "`contract list` names them all"
            raise UnknownCheckError(f"no check is called {pattern!r}; {hint}")
        found |= names & checks.keys()
    return found


def cost(checks: Iterable[Check], capabilities: Capabilities) -> int:
    """How many images ``checks`` cost at most, each shared run counted once, generated runs left
    out.
    """
    uses: set[Evidence] = set()
    for check in checks:
        if Capability.ALL_MODELS not in check.needs or capabilities.all_models:
            uses.update(check.uses)
    runs = sum(evidence.runs for evidence in uses)
    return runs if capabilities.max_runs is None else min(runs, capabilities.max_runs)


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
            if capability is Capability.FINITE_SPEED:
                lacks = stream(target).exchange.seconds < FINITE_SPEED_S
            elif capability is Capability.IMAGE:
                lacks = not makes_images(target)
            else:
                lacks = not target.capabilities.has(capability)
            if lacks:
                raise Skipped(f"needs {capability}")
        check.run(target)
    except Failed as error:
        level = error.level or min(check.level, Level.HOST)
        may_differ = level is Level.DEPLOYMENT or (
            level is Level.VERSION and not target.basis.is_exact
        )
        return Result(
            check,
            Status.DIFFERS if may_differ else Status.FAILED,
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


def with_causes(results: Sequence[Result]) -> list[Result]:
    """``results``; each that follows from another names it and has the status ``FOLLOWS``.

    A failing check follows from a failed one that it names in ``follows_from``, else from the first
    failed one that settles the exchange which shows its failure. A check that could not be run for
    lack of evidence follows from any failure on that evidence.
    """
    failed = {one.name: one for one in results if one.status is Status.FAILED}
    settling = _first_by_exchange(one for one in failed.values() if one.check.settles)
    failing = _first_by_exchange(failed.values())

    def cause(result: Result) -> str:
        declared = next((name for name in result.check.follows_from if name in failed), "")
        shown = id(result.exchange) if result.exchange is not None else 0
        evidence = failing.get(shown, "") if result.status is Status.NOT_RUN else ""
        return declared or settling.get(shown, "") or evidence

    causes = {one.name: cause(one) for one in results if one.fails()}
    roots = {one.name: _root(one.name, causes) for one in results}
    return [
        replace(one, follows=roots[one.name], status=Status.FOLLOWS) if roots[one.name] else one
        for one in results
    ]


def possible_causes(check: Check, checks: Mapping[str, Check]) -> list[Check]:
    """The checks that a failure of ``check`` may follow from."""
    return [
        one
        for one in checks.values()
        if one is not check and (one.settles or one.name in check.follows_from)
    ]


def _first_by_exchange(results: Iterable[Result]) -> dict[int, str]:
    first: dict[int, str] = {}
    for result in results:
        if result.exchange is not None:
            first.setdefault(id(result.exchange), result.name)
    return first


def _root(name: str, causes: Mapping[str, str]) -> str:
    """The end of the chain of causes that begins at ``name``; empty if it is a cause itself."""
    seen = [name]
    while (cause := causes.get(seen[-1], "")) and cause not in seen:
        seen.append(cause)
    return seen[-1] if len(seen) > 1 else ""
