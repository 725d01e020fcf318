"""One test over many cases, where a pytest item for each would cost more than the case itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

Ids = Iterable[str] | Callable[[Any], str] | None
_PARAM = type(pytest.param())
_SHOWN = 5
"""Failures that are reported with their traceback; the others are named only."""


def each(
    names: str | Sequence[str], cases: Iterable[Any], ids: Ids = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Like ``pytest.mark.parametrize``, but as one item: every case runs, and each failure is
    reported with the id of its case.

    Use it for hundreds of quick cases that need no function-scoped fixture of their own.
    """
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    listed = [_values(case, len(names)) for case in cases]
    assert listed, "there is nothing to test"
    case_ids = _ids(listed, ids)

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        def run_all(**fixtures: Any) -> None:
            failures: list[BaseException] = []
            failed: list[str] = []
            for values, case_id in zip(listed, case_ids, strict=True):
                try:
                    test(**fixtures, **dict(zip(names, values, strict=True)))
                except (Exception, pytest.fail.Exception) as error:
                    error.add_note(f"case: {case_id}")
                    failures.append(error)
                    failed.append(case_id)
            if failures:
                message = f"{len(failures)} of {len(listed)} cases failed: {', '.join(failed)}"
                raise BaseExceptionGroup(message, failures[:_SHOWN])

        parameters = inspect.signature(test).parameters
        fixtures = [one for name, one in parameters.items() if name not in names]
        run_all.__signature__ = inspect.Signature(fixtures)  # type: ignore[attr-defined]
        run_all.__name__, run_all.__doc__ = test.__name__, test.__doc__
        run_all.__module__, run_all.__qualname__ = test.__module__, test.__qualname__
        return run_all

    return decorate


def _values(case: Any, count: int) -> tuple[Any, ...]:
    if isinstance(case, _PARAM):
        return tuple(case.values)
    return (case,) if count == 1 else tuple(case)


def _ids(cases: Sequence[tuple[Any, ...]], ids: Ids) -> list[str]:
    if ids is None or callable(ids):
        name = ids or (lambda value: str(value)[:80])
        return ["-".join(map(name, case)) for case in cases]
    return list(ids)
