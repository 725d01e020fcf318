"""What a value on the wire may be, and which fields an object has on which version of the host.

A difference between versions is told from a broken host by the company it keeps: a field that only
later versions have (or lack) is a version's difference on a host that is later in other ways too,
and a broken promise on one that is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from contract.check import Level
from contract.evidence import is_uuid
from contract.result import expect
from dify_wire.exchange import Exchange


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value; ``words`` end the sentence "expected ...". A bool is no number."""

    words: str
    accepts: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


UUID = Kind("a lower-case uuid", is_uuid)
TEXT = Kind("a string", lambda value: isinstance(value, str))
WORDS = Kind("a string that is not empty", lambda value: isinstance(value, str) and value != "")
WHOLE = Kind("a whole number of 0 or more", lambda value: type(value) is int and value >= 0)
COUNT = Kind("a whole number of 1 or more", lambda value: type(value) is int and value >= 1)
SECONDS = Kind("a number of seconds, 0 or more", lambda value: _is_number(value) and value >= 0)
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
    """Raise ``Failed`` unless each field that is there is of its kind; what is missing is
    another's affair.
    """
    for name, kind in kinds.items():
        if name in got:
            expect_kind(got[name], kind, f"{name} of {where}", exchange)


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of an object in the host's order, and what later versions add and drop (FACTS
    9).
    """

    names: tuple[str, ...]
    added: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()


def fields(names: str, added: str = "", dropped: str = "") -> Fields:
    """``Fields`` from names between blanks."""
    return Fields(tuple(names.split()), frozenset(added.split()), frozenset(dropped.split()))


def expect_fields(
    got: Mapping[str, Any], known: Fields, later: bool, what: str, exchange: Exchange
) -> None:
    """Raise ``Failed`` unless ``got`` has exactly the fields of ``known``, in their order.

    On a host that is ``later`` what later versions do is a version's difference.
    """
    if tuple(got) == known.names:
        return
    missing = [name for name in known.names if name not in got]
    more = [name for name in got if name not in known.names]
    excused = (
        later
        and known.dropped.issuperset(missing)
        and known.added.issuperset(more)
        and bool(missing or more)
    )
    expected = f"{what} with the fields {', '.join(known.names)}"
    told = (
        f"without {missing}, with {more}" if missing or more else f"in the order {', '.join(got)}"
    )
    expect(False, expected, told, exchange, level=Level.VERSION if excused else Level.HOST)


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
    """Whether the first file object within ``value`` is marked as 0.6 does it (``__variant``, FACTS
    9.1).
    """
    return "__variant" in next(files_within(value), {})
