"""A check: a named claim about a host, and where it is written that the claim holds."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum
from typing import Any

Claim = Callable[[Any], None]
"""A function of a ``contract.target.Target``."""


class Level(IntEnum):
    """On whose authority a claim stands. The first two fail a run; a version's differences are
    reported.
    """

    DOCUMENT = 1
    HOST = 2
    VERSION = 3


class Capability(StrEnum):
    """What a target offers a check beyond its address and key."""

    SECRET = "its SECRET_KEY (--secret-key)"  # noqa: S105  # a description
    CHAT_KEY = "the key of a chat app (--app KEY=chat)"
    UNPUBLISHED_KEY = "the key of an unpublished app (--app KEY=unpublished)"
    DISABLED_KEY = "the key of a disabled app (--app KEY=disabled)"
    DELETED_KEY = "the key of a deleted app (--app KEY=deleted)"
    FINITE_SPEED = "a streaming run that takes at least 1.5 s"
    ALL_MODELS = "runs for every model (--all-models)"
    FREE_RUNS = "runs that cost nothing (--free-runs)"
    CLOCK = "its clock (--admin-url)"


class Evidence(Enum):
    """Runs that checks share (``contract.evidence``); ``runs`` counts the images that one costs."""

    SHARED_RUNS = "a blocking run and a stream", 2
    STOPPED_RUN = "a run that is stopped", 1
    RUN_WITHOUT_MODE = "a run of the third model without response_mode", 1
    FOURTH_MODEL = "a run of the fourth model", 1
    FIFTH_MODEL = "a run of the fifth model", 1

    @property
    def runs(self) -> int:
        return self.value[1]


class Phase(IntEnum):
    """When a check runs. Errors cost a real host nothing, so they come before a budget is spent.

    Checks that move the host's clock come last and one by one: it changes what every other request
    gets meanwhile.
    """

    ERRORS = 1
    RUNS = 2
    GENERATED_RUNS = 3
    EXCHANGES = 4
    CLOCK = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One claim. ``source`` points into openapi.yaml, the facts or the document; ``run`` raises a
    ``NotPassed``; ``area`` is the module that it is written in.

    A ``slow`` check imports schemathesis and can be left out. Where a check that ``settles`` its
    exchange fails, other failures on that exchange follow from it; ``follows_from`` names other
    causes (``contract.consequences``).
    """

    name: str
    claim: str
    level: Level
    source: str
    run: Claim
    area: str
    needs: tuple[Capability, ...] = ()
    uses: tuple[Evidence, ...] = (Evidence.SHARED_RUNS,)
    phase: Phase = Phase.RUNS
    slow: bool = False
    settles: bool = False
    follows_from: tuple[str, ...] = ()


CHECKS: dict[str, Check] = {}
"""Every check by its name, in the order of their files."""


def add_check(
    name: str, claim: str, level: Level, source: str, run: Claim, *, area: str = "", **options: Any
) -> None:
    """Add a check to ``CHECKS``; its area is the module of ``run``, and ``options`` are the other
    fields of ``Check``.
    """
    assert claim, f"{name} needs a sentence"
    assert name not in CHECKS, f"{name} is there twice"
    area = area or run.__module__.rpartition(".")[2]
    CHECKS[name] = Check(name, claim, level, source, run, area, **options)


def check(
    level: Level, source: str, *needs: Capability, **options: Any
) -> Callable[[Claim], Claim]:
    """Register a function of a ``Target`` as a check: its name is the claim, its docstring one
    sentence. ``options`` are other fields of ``Check``.
    """

    def decorate(run: Claim) -> Claim:
        claim = inspect.getdoc(run) or ""
        add_check(run.__name__, claim, level, source, run, needs=needs, **options)
        return run

    return decorate


def free_check(
    level: Level, source: str, *needs: Capability, **options: Any
) -> Callable[[Claim], Claim]:
    """As ``check``, for what starts no run on a real host."""
    return check(level, source, *needs, uses=(), phase=Phase.ERRORS, **options)
