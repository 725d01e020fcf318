"""A check: a named claim about a host, and where it is written that the claim holds."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from contract.target import Target

Claim = Callable[["Target"], None]
_Asks = TypeVar("_Asks", bound=Callable[..., Any])


class Level(IntEnum):
    """On whose authority a claim stands. The first two fail a run; a version's differences are
    reported.
    """

    DOCUMENT = 1
    HOST = 2
    VERSION = 3


class Power(StrEnum):
    """What a target can lend beyond its address and key."""

    SECRET = "its SECRET_KEY (--secret-key)"  # noqa: S105  # a description
    CHAT_KEY = "the key of a chat app (--app KEY=chat)"
    UNPUBLISHED_KEY = "the key of an unpublished app (--app KEY=unpublished)"
    DISABLED_KEY = "the key of a disabled app (--app KEY=disabled)"
    DELETED_KEY = "the key of a deleted app (--app KEY=deleted)"
    FINITE_SPEED = "a streaming run of 1.5 s or more on the wall"
    ALL_MODELS = "runs for every model (--all-models)"
    FREE_RUNS = "runs that cost nothing (--free-runs)"
    CLOCK = "its clock (--admin-url)"


class Turn(IntEnum):
    """When a check is judged: refusals cost nothing on a true host, so that they come before a
    budget is spent.

    What moves the host's clock comes last and one by one: it is another time for whatever else is
    asked meanwhile.
    """

    REFUSALS = 1
    RUNS = 2
    GENERATED_RUNS = 3
    EXCHANGES = 4
    CLOCK = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One claim. ``source`` points into openapi.yaml, the facts or the document; ``judge`` raises a
    ``Verdict``.

    A ``slow`` check imports schemathesis and can be left out. Where a check that ``settles`` its
    exchange fails, what else fails on that exchange follows from it; ``follows_from`` names other
    causes (``contract.consequences``).
    """

    name: str
    claim: str
    level: Level
    source: str
    needs: tuple[Power, ...]
    judge: Claim
    turn: Turn = Turn.RUNS
    slow: bool = False
    settles: bool = False
    follows_from: tuple[str, ...] = ()


CHECKS: dict[str, Check] = {}
"""Every check by its name, in the order of their files."""


def check(
    level: Level,
    source: str,
    *needs: Power,
    turn: Turn = Turn.RUNS,
    slow: bool = False,
    settles: bool = False,
    follows_from: tuple[str, ...] = (),
) -> Callable[[Claim], Claim]:
    """Register a function of a ``Target`` as a check: its name is the claim, its docstring one
    sentence.
    """

    def register(judge: Claim) -> Claim:
        name = judge.__name__
        claim = inspect.getdoc(judge)
        assert claim, f"{name} needs a sentence"
        assert name not in CHECKS, f"{name} is there twice"
        CHECKS[name] = Check(
            name, claim, level, source, needs, judge, turn, slow, settles, follows_from
        )
        return judge

    return register


def costs(runs: int) -> Callable[[_Asks], _Asks]:
    """Mark what asks a host for ``runs`` pictures, so that they can be counted beforehand
    (``contract.plan``).
    """

    def mark(asks: _Asks) -> _Asks:
        asks.__dict__["runs"] = runs
        return asks

    return mark


def refusal_check(
    level: Level, source: str, *needs: Power, **more: Any
) -> Callable[[Claim], Claim]:
    """As ``check``, for what asks for nothing that a true host would run."""
    return check(level, source, *needs, turn=Turn.REFUSALS, **more)
