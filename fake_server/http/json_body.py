"""The JSON object of a request's body, as the host's parser reads it (FACTS 3).

Two parsers are known. The standard library's takes a byte order mark, UTF-16, NaN and lone
surrogates; what is nested too deep for it crashes the request. The strict one of later versions
refuses all of these as malformed [C: body_bom, body_utf16, body_surrogate].
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import Any, NoReturn

from fake_server.host_spec import HostErrors

_NESTING_LIMIT = 950
"""The levels of JSON that the standard library's parser accepts on the host [C: deep_json]."""

_STRICT_NESTING_LIMIT = 1025
"""The same of the strict parser, orjson."""

_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}
_INTEGERS = range(-(1 << 63), 1 << 64)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def json_object(
    body: bytes, content_type: str, errors: HostErrors, strict: bool = False
) -> dict[str, Any]:
    """The JSON object of a body. Raises ``HostError``: 415 (type), 400 (no JSON) or 500."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise errors("content_type_not_json")
    value = _strictly_parsed(body, errors) if strict else _parsed(body, errors)
    if not isinstance(value, dict):
        raise errors("internal_error")
    return value


def _parsed(body: bytes, errors: HostErrors) -> Any:
    try:
        text = body.decode(json.detect_encoding(body), "surrogatepass")
        value = json.loads(text)
    except json.JSONDecodeError as error:
        nested = _deeper(error.doc[: error.pos], _NESTING_LIMIT)
        raise errors("internal_error" if nested else "json_malformed") from None
    except ValueError:
        raise errors("json_malformed") from None
    except RecursionError:
        raise errors("internal_error") from None
    if _deeper(text, _NESTING_LIMIT):
        raise errors("internal_error")
    return value


def _strictly_parsed(body: bytes, errors: HostErrors) -> Any:
    try:
        text = body.decode()
        value = _STRICT.decode(text)
        if _SURROGATE_ESCAPE.search(text):
            json.dumps(value, ensure_ascii=False).encode()  # fails for a surrogate on its own
    except (ValueError, RecursionError):
        raise errors("json_malformed") from None
    if _deeper(text, _STRICT_NESTING_LIMIT):
        raise errors("json_malformed")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _integer(digits: str) -> int | float:
    """Integers beyond 64 bits are floats; so is one of more digits than Python converts."""
    if len(digits) <= 20 and int(digits) in _INTEGERS:
        return int(digits)
    return _finite(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{digits} is too large")
    return value


_STRICT = json.JSONDecoder(
    parse_constant=_no_constant, parse_int=_integer, parse_float=_finite, strict=True
)


def _deeper(text: str, limit: int) -> bool:
    """Whether JSON (or its beginning) is nested in ``limit`` levels or more."""
    if text.count("[") + text.count("{") < limit:
        return False
    outside_strings = "".join(text.replace("\\\\", "").replace('\\"', "").split('"')[::2])
    brackets = re.sub(r"[^\[\]{}]+", "", outside_strings)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) >= limit
