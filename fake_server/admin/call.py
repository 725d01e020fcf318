"""What every admin call is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from fake_server.endpoints import Host
from fake_server.journal.reading import Reading


@dataclass(frozen=True, slots=True)
class Admin:
    """The server that is steered, and its journal's reader."""

    host: Host
    reading: Reading


@dataclass(frozen=True, slots=True)
class Said:
    """An answer in JSON."""

    value: Any
    status: int = 200
    redacted: bool = False
    """Whether that has been done: of a whole journal it takes its time."""


AdminCall = Callable[[Admin, Request], Awaitable[Said | Response]]
"""Answers a call. Raises ``RefusedError``."""
