"""The texts in which later versions of the host name the fields of a request that are wrong: those
of pydantic, all fields in one text [C: file_no_query, logs_limitx].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_LONGEST = 50
_HEAD, _TAIL = 25, 24
"""Of a longer value its first and last characters are shown [C: file_missing_sign]."""


class Invalid(NamedTuple):
    """One field that is wrong: where, why, pydantic's name for that, and the value."""

    location: str
    message: str
    kind: str
    value: object


def missing(name: str, given: object) -> Invalid:
    """A required field that ``given``, the whole object, does not have."""
    return Invalid(name, "Field required", "missing", given)


def validation_text(model: str, problems: Sequence[Invalid]) -> str:
    """The text for what is wrong with an object of ``model``."""
    plural = "s" if len(problems) > 1 else ""
    lines = [f"{len(problems)} validation error{plural} for {model}"]
    for problem in problems:
        value = repr(problem.value)
        if len(value) > _LONGEST:
            value = f"{value[:_HEAD]}...{value[-_TAIL:]}"
        kind = type(problem.value).__name__
        lines += [
            problem.location,
            f"  {problem.message} [type={problem.kind}, input_value={value}, input_type={kind}]",
            f"    For further information visit https://errors.pydantic.dev/2.12/v/{problem.kind}",
        ]
    return "\n".join(lines)
