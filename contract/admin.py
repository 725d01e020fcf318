"""The clock of a host that lends its admin API (docs/admin.md): moved instead of waited for, and
put back.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeGuard

from contract.client import HttpTransport
from contract.current_check import CLOCK_MOVED
from contract.result import NotRun
from dify_wire.exchange import Exchange, Request

CLOCK_PATH = "/__admin/clock"
_TIMEOUT_S = 10.0
_QUOTED = 300
"""How much of what the other side says is repeated."""


class AdminError(NotRun):
    """The clock could not be asked or moved; the reason is one line that names the flag and the
    address.
    """


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the clock showed (unix seconds), and our own monotonic time then."""

    unix: float
    frozen: bool
    at_s: float


class AdminClock:
    """The clock of the host whose admin API is at ``url``; ``token`` is sent where one is needed.

    Every call raises ``AdminError`` where the API is not there, refuses, or is none. Safe to be
    used from several threads.
    """

    def __init__(self, url: str, token: str | None = None, timeout_s: float = _TIMEOUT_S) -> None:
        self.token = token
        self._url = url
        self._transport = HttpTransport(url, timeout_s)
        self._lock = threading.Lock()
        self._before: _Shown | None = None
        self._closed = False

    def now(self) -> float:
        """What time it is for the host, in unix seconds."""
        return self._shown().unix

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass at once, 0 or more; what waits for that time goes on."""
        self._move({"advance_s": seconds})

    def set(self, at: float) -> None:
        """Let it be ``at``, in unix seconds; nobody who waits is released by it."""
        self._move({"set": at})

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """For whoever moves the clock: in the end it shows what it would have shown if nobody had
        touched it.

        What is asked meanwhile is asked at a time that no recording could tell
        (``CLOCK_MOVED``).
        """
        before = self._shown()
        with self._lock:
            self._before = before
        token = CLOCK_MOVED.set(True)
        try:
            yield
        finally:
            CLOCK_MOVED.reset(token)
            self.put_back()

    def put_back(self) -> None:
        """Have the clock show what it would if it had not been borrowed; nothing where it is
        not.
        """
        with self._lock:
            before = self._before
            if before is None:
                return
            passed_s = 0.0 if before.frozen else time.monotonic() - before.at_s
            try:
                self._ask({"set": before.unix + passed_s})
            except AdminError as error:
                raise AdminError(
                    f"{error.reason}; the host's clock could not be put back"
                ) from None
            self._before = None

    def close(self) -> None:
        """Put the clock back if a check was interrupted, and move it no more."""
        self._closed = True
        try:
            self.put_back()
        finally:
            self._transport.close()

    def _shown(self) -> _Shown:
        return self._ask(None)

    def _move(self, move: Mapping[str, float]) -> None:
        with self._lock:
            if self._closed:
                raise AdminError(self._told("the run is over"))
            self._ask(move)

    def _ask(self, move: Mapping[str, float] | None) -> _Shown:
        asked_s = time.monotonic()
        exchange = self._transport.send(self._request(move))
        unix, frozen = (exchange.json_object().get(name) for name in ("unix", "frozen"))
        if exchange.status == 200 and _is_time(unix) and isinstance(frozen, bool):
            return _Shown(float(unix), frozen, (asked_s + time.monotonic()) / 2)
        raise AdminError(self._told(_complaint(exchange, self.token is not None)))

    def _request(self, move: Mapping[str, float] | None) -> Request:
        headers = () if self.token is None else (("X-Admin-Token", self.token),)
        if move is None:
            return Request("GET", CLOCK_PATH, headers)
        headers = (("Content-Type", "application/json"), *headers)
        return Request("POST", CLOCK_PATH, headers, json.dumps(move).encode())

    def _told(self, what: str) -> str:
        return f"--admin-url {self._url}: {what}"


def _is_time(value: Any) -> TypeGuard[float]:
    return type(value) in (int, float) and math.isfinite(value)


def _complaint(exchange: Exchange, with_token: bool) -> str:
    """What is wrong with an answer that tells no time, and what to do."""
    if not exchange.connected:
        return f"no connection: {exchange.failure}"
    if exchange.status is None:
        return f"{exchange.failure}"
    error = exchange.json_object().get("error")
    said = error.get("message") if isinstance(error, dict) else None
    if not isinstance(said, str):
        kind = exchange.media_type or "nothing"
        answered = (
            f"{exchange.request.method} {CLOCK_PATH} was answered with {exchange.status} and {kind}"
        )
        return f"there is no admin API: {answered}; name the address of a fake that lends it"
    said = f"{exchange.status} {' '.join(said.split())[:_QUOTED]}"
    return (
        f"{said} (--admin-token sends one)" if exchange.status == 403 and not with_token else said
    )
