"""What an admin call reads, checked key by key, and what it gives back."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.types import ASGIApp

from dify_wire.strict import TOP_LEVEL, Field, described
from fake_server.clock import Clock, iso
from fake_server.commands import Commands
from fake_server.host_state import HostState
from fake_server.journal.reading import JournalReader
from fake_server.scenarios.rules import RuleBook
from fake_server.settings import Settings

if TYPE_CHECKING:
    from fake_server.admin.changes import Changes
    from fake_server.replay import Replay

BODY_BYTES = 1 << 20
"""A larger body of an admin call is refused with 413."""


class AdminError(Exception):
    """An error response; ``place`` is the path to what is wrong in the body or query.

    ``fields`` stand beside the error in the response.
    """

    def __init__(self, status: int, message: str, place: str | None = None, **fields: Any) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.place = place
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Admin:
    """The server that is controlled, and its journal's reader. ``server`` responds to a request as
    the host does; ``replay`` is what it replays, if anything; ``create_app``
    makes another server.
    """

    host: HostState
    rules: RuleBook
    commands: Commands
    server: ASGIApp
    reading: JournalReader
    changes: Changes
    replay: Replay | None
    create_app: Callable[[Settings], ASGIApp]


@dataclass(frozen=True, slots=True)
class Reply:
    """A response in JSON; bytes where a thread has made it, without secrets."""

    value: Any
    status: int = 200


def json_bytes(value: Any, *, ascii_only: bool = False) -> bytes:
    """``value`` in JSON."""
    # backslashreplace: a lone surrogate becomes JSON's own escape
    return json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "backslashreplace")


AdminCall = Callable[[Admin, Request], Awaitable[Reply | ASGIApp]]
"""Responds to a request. Raises ``AdminError``."""


def bad_request(place: str, message: str) -> AdminError:
    return AdminError(400, message, "body" if place == TOP_LEVEL else place)


def field_of(value: Any, path: str = "") -> Field:
    """``value`` to be read; whatever is wrong with it is a bad request."""
    return Field(value, path, error=bad_request)


def query_of(request: Request, *known: str) -> Field:
    """The query parameters; any that is not ``known`` is a bad request."""
    return field_of(dict(request.query_params)).only(*known, what="parameter")


async def body_of(request: Request, *known: str) -> Field:
    """The JSON object of the body; a key that is not ``known`` is a bad request."""
    return field_of(await json_of(request)).only(*known)


async def json_of(request: Request) -> Any:
    """The JSON of the body; an empty object where there is none. Raises ``AdminError``."""
    body, size = bytearray(), 0
    async for chunk in request.stream():  # to its end: a client that still sends reads no error
        size += len(chunk)
        if size <= BODY_BYTES:
            body += chunk
    if size > BODY_BYTES:
        raise AdminError(413, f"the body has {size} bytes; the limit is {BODY_BYTES}")
    try:
        return json.loads(body, parse_int=_whole_number) if body else {}
    except RecursionError:
        raise bad_request("body", "it is nested too deep") from None
    except ValueError as error:
        raise bad_request("body", f"it is not valid JSON: {error}") from None


def number_of(field: Field) -> Field:
    """A number from the query."""
    try:
        value = float(field.text())
    except ValueError:
        field.fail(f"expected a number, not {described(field.value)}")
    return field_of(int(value) if value.is_integer() else value, field.path)


def clock_as_json(clock: Clock) -> dict[str, Any]:
    """``shifted_s`` is how far it is from the machine's time: 0 where it was never moved."""
    now = clock.now()
    shifted_s = round(clock.shift_s, 3) + 0.0  # no -0.0
    return {"unix": now, "iso": iso(now), "frozen": clock.frozen, "shifted_s": shifted_s}


def _whole_number(text: str) -> float:
    """Infinity where the number is larger than any float, as for ``1e999``."""
    value = float(text)
    return int(text) if math.isfinite(value) else value
