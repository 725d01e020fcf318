"""The texts in which later versions of the host name the fields of a request that are wrong: those
of pydantic, all fields in one text [C: file_no_query, logs_limitx].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_LONGEST = 50
_HEAD, _TAIL = 25, 24
"""Of a longer value its first and last bytes are shown, in UTF-8 [C: file_missing_sign]."""


class Invalid(NamedTuple):
    """One field that is wrong: where, why, pydantic's name for that, and the value."""

    location: str
    message: str
    kind: str
    value: object


def missing(name: str, given: object) -> Invalid:
    """A required field that ``given``, the whole object, does not have."""
    return Invalid(name, "Field required", "missing", given)


def validation_text(model: str, problems: Sequence[Invalid], pydantic: str = "2.12") -> str:
    """The text for what is wrong with an object of ``model``, by that version of pydantic."""
    plural = "s" if len(problems) > 1 else ""
    lines = [f"{len(problems)} validation error{plural} for {model}"]
    for location, message, kind, value in problems:
        shown, of = _shown(repr(value)), type(value).__name__
        lines += [
            location,
            f"  {message} [type={kind}, input_value={shown}, input_type={of}]",
            f"    For further information visit https://errors.pydantic.dev/{pydantic}/v/{kind}",
        ]
    return "\n".join(lines)


def _shown(text: str) -> str:
    """``text`` cut to a limit of bytes, never inside of a character."""
    whole = text.encode("utf-8", "backslashreplace")
    if len(whole) <= _LONGEST:
        return text
    return f"{whole[:_HEAD].decode(errors='ignore')}...{whole[-_TAIL:].decode(errors='ignore')}"
