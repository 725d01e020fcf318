"""What an admin call says, checked key by key; what is wrong with it is one sentence that names the
place.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from typing import Any

from starlette.requests import Request

from dify_wire.strict import did_you_mean

BODY_BYTES = 1 << 20
"""A larger body of an admin call is refused with 413."""

_SHOWN = 100


class RefusedError(Exception):
    """A call that is refused with ``status``; ``place`` is the way to what is wrong in its body or
    query.
    """

    def __init__(self, status: int, message: str, place: str | None = None, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.place = place
        self.more = more
        """What the answer says beside the error."""


def wrong(place: str, message: str) -> RefusedError:
    """A body or query that cannot be used."""
    return RefusedError(400, message, place)


async def body_of(request: Request) -> Any:
    """The JSON of the body; an empty object where there is none. Raises ``RefusedError``."""
    kept, size = bytearray(), 0
    async for chunk in request.stream():  # to its end: who still sends would not read the refusal
        size += len(chunk)
        if size <= BODY_BYTES:
            kept += chunk
    if size > BODY_BYTES:
        raise RefusedError(413, f"the body has {size} bytes; at most {BODY_BYTES} are taken")
    if not kept:
        return {}
    try:
        return json.loads(kept, parse_int=_whole_number)
    except RecursionError:
        raise wrong("body", "it is nested too deep") from None
    except ValueError as error:
        raise wrong("body", f"it is no JSON: {error}") from None


def _whole_number(text: str) -> float:
    """A number without a fraction; infinity where it is larger than any float, as JSON's ``1e999``
    is read.
    """
    value = float(text)
    return int(text) if math.isfinite(value) else value


async def object_of(request: Request, known: Collection[str]) -> dict[str, Any]:
    """The JSON object of the body, with no key that is not ``known``. Raises ``RefusedError``."""
    said = await body_of(request)
    if not isinstance(said, dict):
        raise wrong("body", f"an object is needed, not {_shown(said)}")
    check_keys(said, known, "key")
    return said


def check_keys(said: Mapping[str, Any], known: Collection[str], what: str) -> None:
    """Raise ``RefusedError`` for the first key that is not ``known``."""
    for key in said:
        if key not in known:
            there = f"there are: {', '.join(known)}" if known else "this call takes none"
            raise wrong(key, f"this is no {what} of this call{did_you_mean(key, known)}; {there}")


def query_of(request: Request, known: Collection[str]) -> dict[str, str]:
    """The parameters of the query, none that is not ``known``. Raises ``RefusedError``."""
    asked = dict(request.query_params)
    check_keys(asked, known, "query parameter")
    return asked


def number(said: Any, place: str, least: float, most: float) -> float:
    """``said`` as a number from ``least`` to ``most``. Raises ``RefusedError``."""
    if isinstance(said, bool) or not isinstance(said, int | float) or math.isnan(said):
        raise wrong(place, f"a number is needed, not {_shown(said)}")
    if not least <= said <= most:
        raise wrong(place, f"{_shown(said)} is out of bounds; {least:g} to {most:g} will do")
    return said


def whole(said: Any, place: str, least: int = 0, most: int = 1 << 53) -> int:
    """``said`` as a whole number. Raises ``RefusedError``."""
    if isinstance(said, bool) or not isinstance(said, int):
        raise wrong(place, f"a whole number is needed, not {_shown(said)}")
    if not least <= said <= most:
        raise wrong(place, f"{_shown(said)} is out of bounds; {least} to {most} will do")
    return said


def _shown(said: Any) -> str:
    """The beginning of ``said`` as JSON."""
    return json.dumps(said)[:_SHOWN]
