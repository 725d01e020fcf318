"""The clock of a host that offers its admin API (docs/admin.md), to move instead of waiting."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeGuard

from contract.check import CLOCK_MOVED
from contract.client import HttpTransport
from contract.result import NotRun
from dify_wire.exchange import Exchange, Request

CLOCK_PATH = "/__admin/clock"
_TIMEOUT_S = 10.0
_MAX_QUOTED = 300


class AdminError(NotRun):
    """The clock could not be read or moved; the reason names the flag and the address."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the clock showed (unix seconds), and our own monotonic time then."""

    unix: float
    frozen: bool
    at_s: float


class AdminClock:
    """The clock of the host whose admin API is at ``url``; ``token`` is sent if one is needed.

    Every call raises ``AdminError`` if there is no API, or it refuses. Safe to be used from several
    threads.
    """

    def __init__(self, url: str, token: str | None = None, timeout_s: float = _TIMEOUT_S) -> None:
        self.token = token
        self._url = url
        self._transport = HttpTransport(url, timeout_s)
        self._lock = threading.Lock()
        self._before: _Reading | None = None
        self._closed = False

    def now(self) -> float:
        """The host's time in unix seconds."""
        return self._send(None).unix

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass at once, 0 or more; what waits for that time goes on."""
        self._move({"advance_s": seconds})

    def set(self, at: float) -> None:
        """Set the time to ``at`` unix seconds; nothing that waits is released by it."""
        self._move({"set": at})

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Restore the clock at the end, as if it had not been moved.

        Requests in between are marked with ``CLOCK_MOVED``: no recording could repeat them.
        """
        before = self._send(None)
        with self._lock:
            self._before = before
        token = CLOCK_MOVED.set(True)
        try:
            yield
        finally:
            CLOCK_MOVED.reset(token)
            self.restore()

    def restore(self) -> None:
        """Undo what was done to the clock since it was borrowed."""
        with self._lock:
            before = self._before
            if before is None:
                return
            passed_s = 0.0 if before.frozen else time.monotonic() - before.at_s
            try:
                self._send({"set": before.unix + passed_s})
            except AdminError as error:
                message = f"{error.reason}; the host's clock could not be restored"
                raise AdminError(message) from None
            self._before = None

    def close(self) -> None:
        """Restore the clock if a check was interrupted, and move it no more."""
        self._closed = True
        try:
            self.restore()
        finally:
            self._transport.close()

    def _move(self, move: Mapping[str, float]) -> None:
        with self._lock:
            if self._closed:
                raise AdminError(f"--admin-url {self._url}: the run is over")
            self._send(move)

    def _send(self, move: Mapping[str, float] | None) -> _Reading:
        """Make ``move``, if any, and read the clock."""
        headers = () if self.token is None else (("X-Admin-Token", self.token),)
        request = Request("GET", CLOCK_PATH, headers)
        if move is not None:
            headers = (("Content-Type", "application/json"), *headers)
            request = Request("POST", CLOCK_PATH, headers, json.dumps(move).encode())
        sent_s = time.monotonic()
        exchange = self._transport.send(request)
        unix, frozen = (exchange.json_object().get(name) for name in ("unix", "frozen"))
        if exchange.status == 200 and _is_time(unix) and isinstance(frozen, bool):
            return _Reading(float(unix), frozen, (sent_s + time.monotonic()) / 2)
        raise AdminError(f"--admin-url {self._url}: {self._error_in(exchange)}")

    def _error_in(self, exchange: Exchange) -> str:
        if not exchange.connected:
            return f"no connection: {exchange.failure}"
        if exchange.status is None:
            return str(exchange.failure)
        error = exchange.json_object().get("error")
        message = error.get("message") if isinstance(error, dict) else None
        if not isinstance(message, str):
            found = f"{exchange.status} and {exchange.media_type or 'nothing'}"
            cause = f"there is no admin API: {exchange.request.method} {CLOCK_PATH} got {found}"
            return f"{cause}; name the address of a fake that has one"
        line = f"{exchange.status} {' '.join(message.split())[:_MAX_QUOTED]}"
        needs_token = exchange.status == 403 and self.token is None
        return f"{line} (--admin-token sends one)" if needs_token else line


def _is_time(value: Any) -> TypeGuard[float]:
    return type(value) in (int, float) and math.isfinite(value)
