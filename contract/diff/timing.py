"""Whether two answers took about as long: their first byte, their whole, the longest gap within."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from contract.diff.tree import Found
from dify_wire.exchange import Exchange

DEFAULT_FACTOR = 3.0
_LEAST_S = 0.5
"""Below this a network says more than a host."""


def differences(a: Exchange, b: Exchange, factor: float) -> Iterator[Found]:
    """What takes more than ``factor`` times as long on one side."""
    for place, ours, theirs in zip(_PLACES, _bands(a), _bands(b), strict=True):
        slow, quick = max(ours, theirs), min(ours, theirs)
        if slow >= _LEAST_S and slow > quick * factor:
            yield "timing", place, f"{ours:.2f} s", f"{theirs:.2f} s"


_PLACES = ("first byte", "whole answer", "longest gap")


def _bands(exchange: Exchange) -> tuple[float, float, float]:
    times = [chunk.at_s for chunk in exchange.chunks] or [exchange.seconds]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return times[0], exchange.seconds, max(gaps, default=0.0)
