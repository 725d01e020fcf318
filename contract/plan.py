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
    only, skip = ([renamed_checks().get(name, name) for name in names] for names in (only, skip))
    for pattern in (*only, *skip):
        if not any(fnmatchcase(name, pattern) for name in checks):
            raise UnknownCheckError(_unknown(pattern, checks))
    return [
        check
        for name, check in checks.items()
        if (not only or _matches(name, only)) and not _matches(name, skip)
    ]


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _unknown(pattern: str, names: Iterable[str]) -> str:
    close = closest(pattern, names, cutoff=0.4)
    hint = f"did you mean {close!r}?" if close else "`contract list` names them all"
    return f"no check is called {pattern!r}; {hint}"


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
