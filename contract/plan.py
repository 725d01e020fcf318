"""Which checks are to be judged, and how many images they cost at most, said before the first is
asked for.

The cost is read off the code: a check costs what the functions within its reach do that are marked
with ``costs``, each counted once, because evidence is shared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from types import CodeType, FunctionType, ModuleType
from typing import Any

from contract.check import Check, Power
from contract.target import Lent
from dify_wire.strict import closest

_Function = Callable[..., Any]


class UnknownCheckError(ValueError):
    """A name or pattern that fits no check; the message names the nearest."""


def select(
    checks: Mapping[str, Check], only: Sequence[str] = (), skip: Sequence[str] = ()
) -> list[Check]:
    """The checks that ``only`` names (all without it) and ``skip`` does not. Both take names and
    globs.
    """
    for pattern in (*only, *skip):
        if not any(fnmatchcase(name, pattern) for name in checks):
            raise UnknownCheckError(_unknown(pattern, checks))
    return [
        check
        for name, check in checks.items()
        if (not only or _fits(name, only)) and not _fits(name, skip)
    ]  # fmt: skip


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _unknown(pattern: str, names: Iterable[str]) -> str:
    close = closest(pattern, names, cutoff=0.4)
    hint = f"did you mean {close!r}?" if close else "`contract list` names them all"
    return f"no check is called {pattern!r}; {hint}"


def cost(checks: Iterable[Check], lent: Lent) -> int:
    """How many images ``checks`` cost at most on a host that keeps the contract, generated runs
    left out.
    """
    asking: set[_Function] = set()
    for check in checks:
        if Power.ALL_MODELS in check.needs and not lent.all_models:
            continue
        asking |= _asked_by(check.judge)
        if Power.FINITE_SPEED in check.needs:  # told by how long the shared stream takes
            asking |= _asked_by(_stream())
    needed: int = sum(function.__dict__["runs"] for function in asking)
    return needed if lent.max_runs is None else min(needed, lent.max_runs)


def _stream() -> _Function:
    from contract.evidence import stream

    return stream


def _asked_by(function: _Function) -> set[_Function]:
    """The functions marked with ``costs`` that ``function`` can reach within this package, itself
    among them.
    """
    seen: set[_Function] = set()
    waiting = [function]
    while waiting:
        reached = waiting.pop()
        if reached not in seen:
            seen.add(reached)
            waiting += _called_by(reached)
    return {reached for reached in seen if "runs" in reached.__dict__}


def _called_by(function: _Function) -> Iterator[_Function]:
    if not isinstance(function, FunctionType):
        return
    names = set(_names(function.__code__))
    values = [function.__globals__.get(name) for name in names]
    modules = [value for value in values if isinstance(value, ModuleType)]
    values += [getattr(module, name, None) for module in modules for name in names]
    for value in values:
        if (
            isinstance(value, FunctionType)
            and value.__module__.partition(".")[0] == function.__module__.partition(".")[0]
        ):
            yield value


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
