"""How ``fake-server request`` ends; the fixture ``request_`` runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str


Request = Callable[..., Ended]
