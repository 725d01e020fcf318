"""What a value on the wire may be, and which fields an object has on which version of the host.

A field that another version has (or lacks) is a difference between versions, and any other field a
failure of more than that.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from contract.check import Level
from contract.result import NotRun, expect
from dify_wire.exchange import Exchange
from dify_wire.profile import Basis, Profile, profiles

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


def expect_fields(
    got: Mapping[str, Any], name: str, what: str, basis: Basis, exchange: Exchange
) -> None:
    """Raise ``Failed`` unless ``got`` has the fields that the schema ``name`` requires, in their
    order, and no other than those that it allows besides.

    What some other version adds or drops is a difference between versions.
    """
    schema = basis.profile.schemas.get(name, {})
    expected = basis.profile.fields(name)
    allowed = set(schema.get("properties", ())) - set(expected)
    found = tuple(field for field in got if field not in allowed)
    if found == expected:
        return
    missing = [field for field in expected if field not in got]
    more = [field for field in found if field not in expected]
    known = [set(profile.fields(name)) for profile in profiles().values()]
    is_of_versions = set().union(*known).issuperset(more) and not any(
        all(field in fields for fields in known) for field in missing
    )
    level = Level.VERSION if is_of_versions and (missing or more) else Level.HOST
    if missing or more:
        parts = (("without", missing), ("with", more))
        words = ", ".join(f"{word} {', '.join(names)}" for word, names in parts if names)
    else:
        words = f"in the order {', '.join(got)}"
    wanted = f"{what} with the fields {', '.join(expected)} as {basis.version} has it"
    expect(False, wanted, words, exchange, level=level)


def no_error(profile: Profile) -> str | None:
    """The error of a run that has none."""
    error: str | None = profile.fact("run.no_error")
    return error


def empty_outputs(profile: Profile) -> dict[str, Any] | None:
    """The outputs of a run that has none."""
    return {} if profile.fact("run.empty_outputs") == "object" else None


def statuses(profile: Profile, schema: str) -> Kind:
    """What ``status`` may be in the objects of ``schema``."""
    return among(*profile.schemas[schema]["properties"]["status"]["enum"])


def is_of_0_6(profile: Profile) -> bool:
    """Whether the version is of the 0.6 line, by its files: its runs have no parallel branches, its
    database rounds times, and its URLs live for 300 s whatever a deployment wants (FACTS 9.1).
    """
    return "__variant" in profile.fact("files.mark")


def expect_times_agree(
    data: Mapping[str, Any], what: str, basis: Basis, exchange: Exchange
) -> None:
    """Raise ``Failed`` unless created_at, finished_at and elapsed_time fit."""
    times = [data.get(name) for name in ("finished_at", "created_at", "elapsed_time")]
    numbers = [float(value) for value in times if isinstance(value, int | float)]
    if len(numbers) < len(times):
        raise NotRun(f"{what} has no times to compare", exchange)
    off = numbers[0] - numbers[1] - numbers[2]
    latest_s = _STORED_EARLY_S if is_of_0_6(basis.profile) else _BOTH_CUT_S
    limits = f"between {_STORED_LATE_S} and {latest_s}"
    expected = f"finished_at - created_at - elapsed_time of {what} {limits}"
    level = Level.VERSION if _STORED_EARLY_S <= off < _BOTH_CUT_S else Level.HOST
    expect(_STORED_LATE_S < off < latest_s, expected, f"{off:.3f}", exchange, level=level)


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
