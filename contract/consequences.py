"""One cause is reported once, with the checks below it that cannot pass because of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from contract.check import Check
from contract.result import Result, Status


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
