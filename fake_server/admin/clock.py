"""The clock of the fake, asked and moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request

from fake_server.admin.call import Admin, Said
from fake_server.admin.fields import number, object_of, wrong
from fake_server.clock import Clock
from fake_server.timestamps import LATEST, iso, unix_seconds


async def clock(admin: Admin, request: Request) -> Said:
    """What time it is for the fake."""
    return Said(shown_clock(admin.host.clock))


async def move_clock(admin: Admin, request: Request) -> Said:
    """Freeze, set, advance or resume: one of them."""
    said = await object_of(request, tuple(_MOVES))
    if len(said) != 1:
        raise wrong("body", f"one of these is needed, and one alone: {', '.join(_MOVES)}")
    [(name, value)] = said.items()
    _MOVES[name](admin.host.clock, value)
    return Said(shown_clock(admin.host.clock))


def _freeze(clock: Clock, value: Any) -> None:
    if value is True:
        clock.freeze()
    elif isinstance(value, str):
        try:
            at = unix_seconds(value)
        except ValueError as error:
            raise wrong("freeze", str(error)) from None
        clock.freeze(at)
    else:
        raise wrong(
            "freeze", "true is needed, or a moment such as 2024-05-01T12:00:00Z; resume ends it"
        )


def _set(clock: Clock, value: Any) -> None:
    clock.set(number(value, "set", 0, LATEST))


def _advance(clock: Clock, value: Any) -> None:
    seconds = number(value, "advance_s", 0, LATEST)
    try:
        clock.advance(seconds)
    except ValueError as error:  # it would lead beyond the latest moment
        raise wrong("advance_s", f"{seconds:g} is out of bounds: {error}") from None


def _resume(clock: Clock, value: Any) -> None:
    if value is not True:
        raise wrong("resume", "true is needed")
    clock.resume()


_MOVES: Mapping[str, Callable[[Clock, Any], None]] = {
    "freeze": _freeze,
    "set": _set,
    "advance_s": _advance,
    "resume": _resume,
}


def shown_clock(clock: Clock) -> dict[str, Any]:
    """What the clock shows, as JSON."""
    now = clock.now()
    return {"unix": now, "iso": iso(now), "frozen": clock.frozen}
