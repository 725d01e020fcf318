"""What follows from what: one cause is reported once, with the checks below it that cannot pass
because of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from contract.check import Check
from contract.runner import Outcome, Result

_FAILED = (Outcome.FAILED, Outcome.ERROR)


def with_causes(results: Sequence[Result]) -> list[Result]:
    """``results``, each that follows from another with the name of that one.

    A failing check follows from a failed one that it names in ``follows_from``, else from the first
    failed one that settles the exchange which shows its failure. What could not be run for want of
    evidence follows from whatever failed on that evidence.
    """
    failed = {one.check.name: one for one in results if one.outcome in _FAILED and one.fails()}
    settling = _first_by_exchange(one for one in failed.values() if one.check.settles)
    failing = _first_by_exchange(failed.values())
    causes = {
        one.check.name: _cause(one, failed, settling, failing) for one in results if one.fails()
    }
    return [replace(one, follows=_root(one.check.name, causes)) for one in results]


def causes_to_look_for(check: Check, checks: Mapping[str, Check]) -> list[Check]:
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
            first.setdefault(id(result.exchange), result.check.name)
    return first


def _cause(
    result: Result,
    failed: Mapping[str, Result],
    settling: Mapping[int, str],
    failing: Mapping[int, str],
) -> str:
    declared = next((name for name in result.check.follows_from if name in failed), "")
    shown = id(result.exchange) if result.exchange is not None else 0
    evidence = failing.get(shown, "") if result.outcome is Outcome.NOT_RUN else ""
    return declared or settling.get(shown, "") or evidence


def _root(name: str, causes: Mapping[str, str]) -> str:
    """The end of the chain of causes that begins at ``name``; empty where it is one itself."""
    seen = [name]
    while (cause := causes.get(seen[-1], "")) and cause not in seen:
        seen.append(cause)
    return seen[-1] if len(seen) > 1 else ""
