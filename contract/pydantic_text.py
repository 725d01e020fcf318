"""The words in which later versions refuse a body or a query: those of pydantic 2, the library that
validates it, written anew here so that one mistake cannot hide another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_LONGEST_VALUE = 50
_URL = "https://errors.pydantic.dev/2.12/v"


@dataclass(frozen=True, slots=True)
class BadField:
    """One wrong field: its name, the words, their kind, and the value that was sent."""

    name: str
    words: str
    kind: str
    value: Any


def missing(name: str, among: object) -> BadField:
    """A field that is missing among the members of ``among``."""
    return BadField(name, "Field required", "missing", among)


def not_an_object(name: str, value: object) -> BadField:
    return BadField(name, "Input should be a valid dictionary", "dict_type", value)


def not_a_list(name: str, value: object) -> BadField:
    return BadField(name, "Input should be a valid list", "list_type", value)


def not_a_mode(value: object) -> BadField:
    words = "Input should be 'blocking' or 'streaming'"
    return BadField("response_mode", words, "literal_error", value)


def pydantic_text(model: str, fields: Sequence[BadField]) -> str:
    """The message that reports all of ``fields``."""
    lines = [f"{len(fields)} validation error{'s' if len(fields) > 1 else ''} for {model}"]
    for field in fields:
        value, kind = _shown(field.value), type(field.value).__name__
        details = f"[type={field.kind}, input_value={value}, input_type={kind}]"
        link = f"    For further information visit {_URL}/{field.kind}"
        lines += [field.name, f"  {field.words} {details}", link]
    return "\n".join(lines)


def _shown(value: object) -> str:
    """``value`` as Python writes it; of a long one the first 25 and the last 24 bytes, or fewer
    where that would cut a character.
    """
    data = repr(value).encode()
    if len(data) <= _LONGEST_VALUE:
        return data.decode()
    first, last = (data[:25], data[-24:])
    return f"{first.decode(errors='ignore')}...{last.decode(errors='ignore')}"
