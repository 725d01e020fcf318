"""Forms: what a run sends, with holes for what differs from run to run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from json.encoder import encode_basestring_ascii
from operator import itemgetter
from typing import Any, NamedTuple

from fake_server.compiled.marks import BEGIN, END, MARK, Marked, NotCompilableError

_NUMBER = "#"
"""Stands in the mark of a number, which is written without quotes."""

_IN_JSON = re.compile(r'(\\*)(?:"\\u0002(\d+)#\\u0003"|\\u0002(\d+).*?\\u0003)')
"""A mark in JSON, as a number or in a text; backslashes before it show that it is JSON in JSON."""

_RESIDUE = re.compile(rf"[{BEGIN}{END}]|u000[23]|x0[23]")
"""What is left of a mark that has been changed."""


class Template(NamedTuple):
    """A text with holes; ``slots`` are those of the values that fill them."""

    text: str
    slots: tuple[int, ...]

    def writer(self) -> Callable[[Sequence[Any]], str]:
        """What fills the holes from the values of a run."""
        text, slots = self.text, self.slots
        if len(slots) > 1:
            values_of = itemgetter(*slots)
            return lambda values: text % values_of(values)
        if slots:
            return lambda values: text % (values[slots[0]],)
        constant = text % ()
        return lambda _: constant


def template(text: str, pattern: re.Pattern[str] = MARK) -> Template:
    """``text`` with its marks as holes. Raises ``NotCompilableError``."""
    literals, slots, end = [], [], 0
    for found in pattern.finditer(text):
        if pattern is _IN_JSON and len(found[1]) % 2:
            raise NotCompilableError("a marked value is inside of JSON in a text")
        literals.append(text[end : found.start()] + (found[1] if pattern is _IN_JSON else ""))
        slots.append(int(found[found.lastindex or 1]))
        end = found.end()
    literals.append(text[end:])
    if any(_RESIDUE.search(literal) for literal in literals):
        raise NotCompilableError("a marked value was changed")
    return Template("%s".join(one.replace("%", "%%") for one in literals), tuple(slots))


def json_text(text: str) -> str:
    """``text`` as it stands inside of the quotes of JSON."""
    return encode_basestring_ascii(text)[1:-1]


def json_template(data: bytes) -> Template:
    """Rendered JSON, from a message of ``with_number_marks``, as a template."""
    return template(data.decode(), _IN_JSON)


def with_number_marks(value: Any) -> Any:
    """``value`` with its marked numbers as marks, which JSON shows."""
    if isinstance(value, Marked):
        return f"{BEGIN}{value.slot}{_NUMBER}{END}"
    if isinstance(value, Mapping):
        return {name: with_number_marks(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [with_number_marks(one) for one in value]
    return value
