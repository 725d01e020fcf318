"""Which checks run, and how many images they cost at most."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from contract.check import Capability, Check, Evidence
from contract.target import Capabilities
from dify_wire.strict import closest

_RENAMED = Path(__file__).with_name("renamed_checks.toml")


class UnknownCheckError(ValueError):
    """A name or pattern that fits no check; the message names the nearest."""


@cache
def renamed_checks() -> Mapping[str, str]:
    """The present name of each check that had another one, by the old name."""
    return {old: str(new) for old, new in tomllib.loads(_RENAMED.read_text()).items()}


def select(
    checks: Mapping[str, Check], only: Sequence[str] = (), skip: Sequence[str] = ()
) -> list[Check]:
    """The checks that ``only`` names (all without it) and ``skip`` does not. Both take names, old
    names and globs.
    """
    kept = _matching(checks, only) if only else checks.keys()
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
        found |= names
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
