"""How a check can end other than well.

Verdict
    Failed   the host does not keep the promise: expected, got, why, and the exchange that
    shows it Skipped    the target lacks a power that the check needs; counted apart, never a
    pass NotRun           nothing to judge: the budget is spent, the host has gone silent, shared
    evidence is missing
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from contract.check import Level
from dify_wire.exchange import Exchange
from dify_wire.profile import REFERENCE_VERSION, Profile, profiles


class NotPassed(Exception):
    """Base of the three; ``reason`` is one line for a reader."""

    def __init__(self, reason: str, exchange: Exchange | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.exchange = exchange


class Failed(NotPassed, AssertionError):
    """A promise that was not kept. ``expected`` and ``got`` are short and comparable at a glance.

    ``level`` is given where the host does as another recorded version. Without it the check's own
    level counts, and for a check of a version's difference the host's: a value that no version had
    breaks more than that.
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
    """The check needs a power that the target does not lend."""


class NotRun(NotPassed):
    """The check found nothing to judge."""


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


def by_version(read: Callable[[Profile], Any]) -> dict[str, Any]:
    """What ``read`` finds in the profile of each version, the reference first."""
    versions = [REFERENCE_VERSION, *profiles()]
    return {version: read(profiles()[version]) for version in versions}


def expect_version(
    got: object, of_versions: Mapping[str, object], what: str, exchange: Exchange | None = None
) -> None:
    """Raise ``Failed`` unless ``got`` is what the first of ``of_versions`` had.

    What another of them had is a difference between versions, and no more; what none had breaks the
    contract.
    """
    (reference, expected), *_ = of_versions.items()
    if got == expected:
        return
    alike = [version for version, value in of_versions.items() if got == value]
    why = f"as {alike[0]} has it" if alike else "no recorded version has this"
    level = Level.VERSION if alike else None
    raise Failed(
        f"{what} {shortened(expected)} as {reference} has it", shortened(got), exchange, why, level
    )


def shortened(value: object, limit: int = 300) -> str:
    """``value`` as a person reads it, cut where it gets long."""
    text = value if isinstance(value, str) and value else repr(value)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
