"""What a value on the wire may be, and which fields an object has on which version of the host.

A field that only later versions have (or lack) is a version's difference on a host that is later in
other ways too, and a failure on one that is not.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from contract.check import Level
from contract.result import expect
from dify_wire.exchange import Exchange
from dify_wire.profile import REFERENCE_VERSION, by_version


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value; ``words`` end the sentence "expected ...". A bool is no number."""

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
        found = f"without {missing}, with {more}"
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
