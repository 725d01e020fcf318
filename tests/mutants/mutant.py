"""A mutant: the fake, broken in exactly one way, and the checks of which at least one must say
so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.mutants.middleware import Wrap

RHYTHM = 10.0
"""The speed for what instant streams cannot show: arrival and stopping. A run takes 1.9 s."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """``breaks`` says in one sentence what is broken; ``killers`` are names or globs of checks that
    may say so.

    A mutant that another check fails, and none of its killers, was killed for the wrong reason.
    ``speed`` None is instant; ``timeout_s`` bounds each request of the suite. ``strict`` is for a
    host that does as a deployment may: only a run with ``--strict-observed`` calls it broken.
    ``refused`` is for a host that cannot be checked at all: words of the line
    that says why.
    """

    area: str
    name: str
    breaks: str
    killers: tuple[str, ...]
    wrap: Wrap
    speed: float | None = None
    timeout_s: float = 10.0
    strict: bool = False
    refused: str = ""

    def is_killed_by(self, check_name: str) -> bool:
        return any(fnmatchcase(check_name, killer) for killer in self.killers)


class Area:
    """Collects the mutants of one part of the contract, in the order in which they are written."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.mutants: list[Mutant] = []

    def add(
        self,
        name: str,
        breaks: str,
        killers: str | Iterable[str],
        wrap: Wrap,
        *,
        speed: float | None = None,
        timeout_s: float = 10.0,
        strict: bool = False,
        refused: str = "",
    ) -> None:
        """Add a mutant; ``killers`` are names or globs, one string separating them by blanks."""
        names = tuple(killers.split() if isinstance(killers, str) else killers)
        self.mutants.append(
            Mutant(self.name, name, breaks, names, wrap, speed, timeout_s, strict, refused)
        )
