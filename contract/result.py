"""The result of a check, and the exceptions with which a check ends early.

NotPassed
    Failed     the host behaves otherwise: expected, got, why, and the exchange that shows it
    Skipped    the target lacks a capability that the check needs
    NotRun     nothing to evaluate: the budget is spent, the host is gone, evidence is missing
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from contract.check import Check, Level
from dify_wire.exchange import Exchange
from dify_wire.profile import Basis, Profile, profiles


class Status(StrEnum):
    """How a check ended, the most important first.

    ``follows`` is a failure (or a check not run) whose cause is reported with another check;
    ``differs`` is a failure that only shows another version, on a host whose own was not recorded,
    or another deployment.
    """

    FAILED = "failed"
    NOT_RUN = "not run"
    FOLLOWS = "follows"
    DIFFERS = "differs"
    SKIPPED = "skipped"
    PASSED = "passed"


@dataclass(frozen=True, slots=True)
class ShownExchange:
    """A request and its response as text; ``number`` is its place in a report."""

    number: int
    title: str
    request: str
    response: str


@dataclass(frozen=True, slots=True)
class Result:
    """One check's result. A failure has ``expected`` and ``got``, unless the check crashed.

    ``level`` is the authority of the failure where it is not the check's own. ``follows`` names the
    check whose failure this one follows from. Reports fill ``shown`` and ``verified``, which says
    where the check was seen to pass.
    """

    check: Check
    status: Status
    seconds: float = 0.0
    reason: str = ""
    expected: str = ""
    got: str = ""
    why: str = ""
    exchange: Exchange | None = None
    level: Level | None = None
    follows: str = ""
    shown: ShownExchange | None = None
    verified: str = ""

    def fails(self, strict: bool = False) -> bool:
        """Whether this fails a run; a difference between versions does so only if ``strict``."""
        return self.status in (Status.FAILED, Status.NOT_RUN) or (
            strict and self.status is Status.DIFFERS
        )

    @property
    def name(self) -> str:
        return self.check.name

    @property
    def sentence(self) -> str:
        return self.name.replace("_", " ")

    @property
    def level_name(self) -> str:
        return (self.level or self.check.level).name.lower()


class NotPassed(Exception):
    """Base of the three; ``reason`` is one line for a reader."""

    def __init__(self, reason: str, exchange: Exchange | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.exchange = exchange


class Failed(NotPassed, AssertionError):
    """A claim that does not hold. ``expected`` and ``got`` are short and easy to compare.

    ``level`` is given where the host behaves as another recorded version, or as a deployment may.
    Without it the check's own level counts, but at least ``HOST``: a value that no version had is
    more than a difference.
    """

    def __init__(
        self,
        expected: str,
        got: str,
        exchange: Exchange | None = None,
        why: str = "",
        level: Level | None = None,
    ) -> None:
        super().__init__(f"expected {expected}, got {got}" + (f" ({why})" if why else ""), exchange)
        self.expected = expected
        self.got = got
        self.why = why
        self.level = level


class Skipped(NotPassed):
    """The check needs a capability that the target lacks."""


class NotRun(NotPassed):
    """The check found nothing to evaluate."""


def expect(
    holds: bool,
    expected: str,
    got: object,
    exchange: Exchange | None = None,
    why: str = "",
    *,
    level: Level | None = None,
) -> None:
    """Raise ``Failed`` unless ``holds``; ``level`` is given where it is not the check's
    own.
    """
    if not holds:
        raise Failed(expected, shortened(got), exchange, why, level)


def expect_equal(
    got: object, expected: object, what: str, exchange: Exchange | None = None, why: str = ""
) -> None:
    """Raise ``Failed`` unless ``got`` equals ``expected`` in value and type; ``what`` names
    the thing.
    """
    if got != expected or type(got) is not type(expected):
        raise Failed(f"{what} {shortened(expected)}", shortened(got), exchange, why)


def expect_version(
    got: object,
    read: Callable[[Profile], object],
    what: str,
    basis: Basis,
    exchange: Exchange | None = None,
) -> None:
    """Raise ``Failed`` unless ``got`` is what ``read`` finds in the profile of ``basis``.

    What it finds in another one is a difference between versions; what it finds in none is more.
    """
    expected = read(basis.profile)
    if got == expected:
        return
    alike = [version for version, profile in profiles().items() if got == read(profile)]
    why = f"as {alike[-1]} has it" if alike else "no recorded version has this"
    wanted = f"{what} {shortened(expected)} as {basis.version} has it"
    level = Level.VERSION if alike else None
    raise Failed(wanted, shortened(got), exchange, why, level)


def shortened(value: object, limit: int = 300) -> str:
    """``value`` as a person reads it, cut where it gets long."""
    text = value if isinstance(value, str) and value else repr(value)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
