"""JSON of a run as the host writes it: the standard library's, or orjson's in streams of later
versions [C: stream_ok].
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_EXPONENT = re.compile(r'"(?:[^"\\]|\\.)*"|(?<![\w.+-])(-?)(\d)(?:\.(\d+))?e([+-]\d+)')
"""A string, or a number with an exponent and the parts of that."""

_FIRST_EXPONENT, _LAST_EXPONENT = -5, 15
"""Numbers between these exponents are written without one."""


def spaced(message: Mapping[str, Any]) -> bytes:
    """``", "`` and ``": "``, and only ASCII (FACTS 1.7)."""
    return json.dumps(message).encode("ascii")


def compact(message: Mapping[str, Any]) -> bytes:
    """No blanks, and UTF-8; a lone surrogate, which UTF-8 has not, is a question mark."""
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    if "e-" in text or "e+" in text:
        text = _EXPONENT.sub(_number, text)
    return text.encode("utf-8", "replace")


def _number(found: re.Match[str]) -> str:
    """A number with Python's exponent as orjson has it: ``1e-5`` as 0.00001, ``1e+16`` as 1e16."""
    if found[4] is None:
        return found[0]
    sign, first, rest, exponent = found[1], found[2], found[3] or "", int(found[4])
    if _FIRST_EXPONENT <= exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{first}{rest}"
    return f"{sign}{first}{'.' + rest if rest else ''}e{exponent}"


WRITERS = {"spaced": spaced, "compact": compact}
"""By the style's name in ``x-host.stream.json``."""
