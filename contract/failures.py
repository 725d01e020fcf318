"""How a check can end other than well.

Verdict
    ContractBroken   the host does not keep the promise: expected, got, why, and the exchange that shows it
    NotApplicable    the target lacks a power that the check needs; counted apart, never a pass
    NotRun           nothing to judge: the budget is spent, the host has gone silent, shared evidence is missing
"""

from __future__ import annotations

from contract.exchange import Exchange


class Verdict(Exception):
    """Base of the three; ``reason`` is one line for a reader."""

    def __init__(self, reason: str, exchange: Exchange | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.exchange = exchange


class ContractBroken(Verdict, AssertionError):
    """A promise that was not kept. ``expected`` and ``got`` are short and comparable at a glance."""

    def __init__(self, expected: str, got: str, exchange: Exchange | None = None, why: str = "") -> None:
        super().__init__(f"expected {expected}, got {got}" + (f" ({why})" if why else ""), exchange)
        self.expected = expected
        self.got = got
        self.why = why


class NotApplicable(Verdict):
    """The check needs a power that the target does not lend."""


class NotRun(Verdict):
    """The check found nothing to judge."""


def expect(holds: bool, expected: str, got: object, exchange: Exchange | None = None, why: str = "") -> None:
    """Raise ``ContractBroken`` unless ``holds``."""
    if not holds:
        raise ContractBroken(expected, shortened(got), exchange, why)


def expect_equal(got: object, expected: object, what: str, exchange: Exchange | None = None, why: str = "") -> None:
    """Raise ``ContractBroken`` unless ``got`` equals ``expected`` in value and type; ``what`` names the thing."""
    if got != expected or type(got) is not type(expected):
        raise ContractBroken(f"{what} {shortened(expected)}", shortened(got), exchange, why)


def shortened(value: object, limit: int = 300) -> str:
    """``value`` as a person reads it, cut where it gets long."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
