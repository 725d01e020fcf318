"""What a value on the wire may be, and which fields an object has on which version of the host.

A field that only later versions have (or lack) is a version's difference on a host that is later in
other ways too, and a failure on one that is not.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

from contract.check import Level
from contract.result import NotRun, expect
from dify_wire.exchange import Exchange
from dify_wire.profile import REFERENCE_VERSION, by_version

_CLOCK_TOLERANCE_S = 60.0
"""Enough for two clocks that are not synchronized; frozen responses are off by days."""

_STORED_LATE_S, _STORED_EARLY_S, _BOTH_CUT_S = -1.5, 0.5, 1.05
"""Between which limits finished_at - created_at - elapsed_time lies (FACTS 4): the database rounds
created_at, the host cuts finished_at. Versions that cut both (FACTS 9.1) can have up to a
second."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value; ``words`` end the sentence "expected ...". A bool is not a number."""

    words: str
    accepts: Callable[[Any], bool]


def is_uuid(value: object) -> bool:
    """Whether ``value`` is a UUID in its usual lower-case form."""
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    except ValueError:
        return False


UUID = Kind("a lower-case uuid", is_uuid)
TEXT = Kind("a string", lambda value: isinstance(value, str))
WORDS = Kind("a string that is not empty", lambda value: isinstance(value, str) and value != "")
WHOLE = Kind("a whole number of 0 or more", lambda value: type(value) is int and value >= 0)
COUNT = Kind("a whole number of 1 or more", lambda value: type(value) is int and value >= 1)
SECONDS = Kind(
    "a number of seconds, 0 or more",
    lambda value: type(value) in (int, float) and 0 <= value < math.inf,
)
UNIX_S = Kind(
    "a whole number of unix seconds",
    lambda value: type(value) is int and 1_000_000_000 < value < 1e10,
)
OBJECT = Kind("an object", lambda value: isinstance(value, dict))
LIST = Kind("an array", lambda value: isinstance(value, list))
NULL = Kind("null", lambda value: value is None)


def or_null(kind: Kind) -> Kind:
    return Kind(f"{kind.words} or null", lambda value: value is None or kind.accepts(value))


def among(*values: str) -> Kind:
    return Kind(
        f"one of {', '.join(values)}", lambda value: isinstance(value, str) and value in values
    )


def expect_kind(value: object, kind: Kind, what: str, exchange: Exchange | None = None) -> None:
    """Raise ``Failed`` unless ``value`` is of that kind."""
    expect(kind.accepts(value), f"{what}: {kind.words}", value, exchange)


def expect_kinds(
    got: Mapping[str, Any], kinds: Mapping[str, Kind], where: str, exchange: Exchange
) -> None:
    """Raise ``Failed`` unless each field that is there is of its kind."""
    for name, kind in kinds.items():
        if name in got:
            expect_kind(got[name], kind, f"{name} of {where}", exchange)


@cache
def later_fields(name: str) -> frozenset[str]:
    """The fields of the object ``name`` that only versions other than the reference have."""
    known = by_version(lambda profile: profile.fields(name))
    return frozenset().union(*known.values()) - set(known[REFERENCE_VERSION])


def expect_fields(
    got: Mapping[str, Any], name: str, later: bool, what: str, exchange: Exchange
) -> None:
    """Raise ``Failed`` unless ``got`` has exactly the fields that the object ``name`` of the
    profiles has, in their order.

    On a host that is ``later``, what any later version adds or drops is a version's difference.
    """
    known = by_version(lambda profile: profile.fields(name))
    expected = known[REFERENCE_VERSION]
    if tuple(got) == expected:
        return
    missing = [field for field in expected if field not in got]
    more = [field for field in got if field not in expected]
    always = set(expected).intersection(*known.values())
    excused = later and later_fields(name).issuperset(more) and always.isdisjoint(missing)
    level = Level.VERSION if excused and (missing or more) else Level.HOST
    if missing or more:
        parts = (("without", missing), ("with", more))
        found = ", ".join(f"{word} {', '.join(names)}" for word, names in parts if names)
    else:
        found = f"in the order {', '.join(got)}"
    expect(False, f"{what} with the fields {', '.join(expected)}", found, exchange, level=level)


def files_within(value: Any) -> Iterator[Mapping[str, Any]]:
    """The file objects anywhere within ``value``, in their order."""
    if isinstance(value, dict):
        if "transfer_method" in value and "related_id" in value:
            yield value
            return
        value = list(value.values())
    for part in value if isinstance(value, list) else ():
        yield from files_within(part)


def has_files_of_0_6(value: Any) -> bool:
    """Whether the first file object within ``value`` has the mark of 0.6 (``__variant``)."""
    return "__variant" in next(files_within(value), {})


def expect_times_agree(
    data: Mapping[str, Any], what: str, exchange: Exchange, level: Level
) -> None:
    """Raise ``Failed`` unless created_at, finished_at and elapsed_time fit.

    ``level`` is that of a host which cuts created_at where the reference rounds it.
    """
    times = [data.get(name) for name in ("finished_at", "created_at", "elapsed_time")]
    numbers = [float(value) for value in times if isinstance(value, int | float)]
    if len(numbers) < len(times):
        raise NotRun(f"{what} has no times to compare", exchange)
    off = numbers[0] - numbers[1] - numbers[2]
    limits = f"between {_STORED_LATE_S} and {_STORED_EARLY_S}"
    expected = f"finished_at - created_at - elapsed_time of {what} {limits}"
    level = level if _STORED_EARLY_S <= off < _BOTH_CUT_S else Level.HOST
    expect(_STORED_LATE_S < off < _STORED_EARLY_S, expected, f"{off:.3f}", exchange, level=level)


def expect_just_now(finished_at: object, exchange: Exchange) -> None:
    """Raise ``Failed`` unless the run ended when its response did."""
    if type(finished_at) is not int:
        raise NotRun("the run has no finished_at", exchange)
    ends = [exchange.sent_at + exchange.seconds]
    date = exchange.header("date")
    if date:
        try:  # the Date is of the response's first byte
            first_s = exchange.chunks[0].at_s if exchange.chunks else 0.0
            ends.append(parsedate_to_datetime(date).timestamp() + exchange.seconds - first_s)
        except ValueError:
            pass
    off_s = min(abs(finished_at - end) for end in ends)
    expected = f"finished_at within {_CLOCK_TOLERANCE_S:g} s of the response"
    expect(off_s <= _CLOCK_TOLERANCE_S, expected, f"{off_s:.0f} s away", exchange)
