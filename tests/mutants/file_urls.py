"""A request for a file taken apart: its id, its parameters, and whether its sign is right."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode

from fake_server.runs.signing import FileSigner
from tests.mutants.middleware import Request
from tests.mutants.serving import SECRET

BAD_SIGN = "A" * 43 + "="
"""A sign of the right form that nothing has."""

_SIGNER = FileSigner(SECRET, 300)
_PATH = re.compile(r"(/files/tools/)([0-9a-fA-F-]{36})(\..+)")


def file_id(request: Request) -> str:
    """The id in the path, in lower case; empty where the path is not a file's."""
    match = _PATH.fullmatch(request.path)
    return match[2].lower() if match else ""


def parameters_of(request: Request) -> dict[str, str]:
    """The parameters, the first of each name."""
    return dict(reversed(parse_qsl(request.query, keep_blank_values=True)))


def with_parameters(request: Request, **parts: str) -> Request:
    """With other parameters, the signature left as it is."""
    return replace(request, query=urlencode({**parameters_of(request), **parts}))


def signed(request: Request, **parts: str) -> Request:
    """With other parameters, and a good signature."""
    query = {"timestamp": "0", "nonce": "0" * 32, **parameters_of(request), **parts}
    sign = _SIGNER.sign(file_id(request), query["timestamp"], query["nonce"])
    return replace(request, query=urlencode({**query, "sign": sign}))


def has_good_sign(request: Request) -> bool:
    """Whether the signature is right, whatever its age."""
    query = parameters_of(request)
    return query.get("sign") == _SIGNER.sign(
        file_id(request), query.get("timestamp", ""), query.get("nonce", "")
    )


def age_s(request: Request) -> float:
    """Seconds since the timestamp, 0 where it is not a number."""
    timestamp = parameters_of(request).get("timestamp", "")
    return time.time() - int(timestamp) if timestamp.lstrip("-").isdigit() else 0.0


def now() -> str:
    """The time as a timestamp."""
    return str(int(time.time()))
