"""The journal: listed, cleared, awaited, verified."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from fake_server.admin.call import Admin, Said
from fake_server.admin.fields import (
    RefusedError,
    check_keys,
    number,
    object_of,
    query_of,
    whole,
    wrong,
)
from fake_server.admin.listing import FIELDS, read_listing
from fake_server.journal import Entry
from fake_server.journal.matching import Match, MatchError, read_match
from fake_server.journal.searching import await_matching, matching, nearest

LONGEST_WAIT_S = 600.0
"""The longest `timeout_s` of a wait; a longer one is refused with 400."""


async def requests(admin: Admin, request: Request) -> Said:
    """The entries of the journal that the query asks for, oldest first."""
    listing = read_listing(query_of(request, FIELDS))
    journal = admin.host.journal
    entries = await run_in_threadpool(listing.of, journal, admin.reading)
    shown = await _shown(admin, entries)
    said = {"requests": shown, "last_id": journal.last_number, "forgotten": journal.forgotten}
    return Said(said, redacted=True)


async def forget_requests(admin: Admin, request: Request) -> Said:
    """Clear the journal."""
    query_of(request, ())
    forgotten = len(admin.host.journal)
    admin.host.journal.clear()
    return Said({"forgotten": forgotten})


async def wait(admin: Admin, request: Request) -> Said:
    """Answer as soon as enough requests match; 408 with the nearest where they do not in time."""
    said = await object_of(request, ("match", "count", "since", "timeout_s"))
    match = _match(said.get("match", {}))
    count = whole(said.get("count", 1), "count", 1, 1_000)
    since = whole(said.get("since", 0), "since")
    timeout_s = number(said.get("timeout_s", 5), "timeout_s", 0, LONGEST_WAIT_S)
    journal = admin.host.journal
    waiting = asyncio.ensure_future(await_matching(journal, match, count, since, timeout_s))
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        found = waiting.result() if waiting.done() else []
    finally:
        waiting.cancel()
        leaving.cancel()
    if len(found) >= count:
        return Said({"requests": await _shown(admin, found)}, redacted=True)
    if journal.closed:
        raise RefusedError(503, "the server is going down")
    message = f"{_requests(len(found))} matched within {timeout_s:g} s; {count} were waited for"
    raise RefusedError(408, message, matched=len(found), **await _nearest(admin, match, since))


async def _shown(admin: Admin, entries: list[Entry]) -> list[dict[str, Any]]:
    """In a thread: a full journal takes long enough to make streams late."""
    return await run_in_threadpool(lambda: [admin.reading.shown(entry) for entry in entries])


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def verify(admin: Admin, request: Request) -> Said:
    """Whether as many requests match as should; 409 with the nearest where they do not."""
    said = await object_of(request, ("match", "count", "since"))
    match = _match(said.get("match", {}))
    least, most = _bounds(said.get("count", {"at_least": 1}))
    since = whole(said.get("since", 0), "since")
    found = len(await run_in_threadpool(matching, admin.host.journal, match, since))
    if found >= least and (most is None or found <= most):
        return Said({"matched": found})
    wanted = (
        f"at least {least}"
        if most is None
        else f"{least}"
        if most == least
        else f"{least} to {most}"
    )
    hint = (
        await _nearest(admin, match, since)
        if found < least
        else {"nearest": None, "differences": []}
    )
    raise RefusedError(409, f"{_requests(found)} matched; wanted: {wanted}", matched=found, **hint)


def _bounds(said: Any) -> tuple[int, int | None]:
    """The least and the most that ``count`` says."""
    if not isinstance(said, dict):
        exactly = whole(said, "count")
        return exactly, exactly
    check_keys(said, ("at_least", "at_most"), "key")
    if not said:
        raise wrong("count", "a number is needed, or at_least or at_most")
    least = whole(said.get("at_least", 0), "count.at_least")
    most = whole(said["at_most"], "count.at_most", least) if "at_most" in said else None
    return least, most


def _requests(count: int) -> str:
    return f"{count or 'no'} request{'' if count == 1 else 's'}"


async def _nearest(admin: Admin, match: Match, since: int) -> dict[str, Any]:
    found = await run_in_threadpool(nearest, admin.host.journal, match, since)
    if found is None:
        return {"nearest": None, "differences": []}
    return {
        "nearest": admin.reading.shown(found.entry),
        "differences": admin.reading.differences(found.differences),
    }


def _match(said: Any) -> Match:
    try:
        return read_match(said)
    except MatchError as error:
        raise wrong(error.place, error.message) from None
