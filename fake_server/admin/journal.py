"""The journal: listed, cleared, awaited, verified."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from dify_wire.strict import Field, described
from fake_server.admin.call import (
    Admin,
    AdminError,
    Reply,
    bad_request,
    body_of,
    field_of,
    query_of,
)
from fake_server.journal import Entry
from fake_server.journal.matching import Match, await_matching, matching, nearest_entry, read_match
from fake_server.timestamps import LATEST

LONGEST_WAIT_S = 600.0
"""The longest `timeout_s` of a wait; a longer one is refused with 400."""

_MATCHED = ("path", "method", "operation")
_OLDEST_UNIX = 1_000_000_000
"""``since`` below this is the number of an entry, else unix seconds."""


async def requests(admin: Admin, request: Request) -> Reply:
    """The entries of the journal that the query selects, oldest first."""
    query = query_of(request, *_MATCHED, "status", "since", "scenario", "warnings", "limit")
    entries = await run_in_threadpool(_selected, admin, query)
    journal = admin.host.journal
    fields = {"last_id": journal.last_number, "forgotten": journal.forgotten}
    return Reply({"requests": await _as_json(admin, entries), **fields}, redacted=True)


def _selected(admin: Admin, query: Field) -> list[Entry]:
    """The entries, oldest first; of too many the newest."""
    match = read_match({one: query[one].value for one in _MATCHED if one in query})
    since = _number(query["since"]).number(0, LATEST) if "since" in query else 0
    status = _number(query["status"]).whole(0) if "status" in query else None
    limit = _number(query["limit"]).whole(0) if "limit" in query else None
    scenario = query["scenario"].text() if "scenario" in query else None
    warned = "warnings" in query and query["warnings"].choice(("true", "false")) == "true"
    by_time = since >= _OLDEST_UNIX
    found = [
        entry
        for entry in admin.host.journal.entries(0 if by_time else int(since))
        if (not by_time or entry.received_at >= since)
        and not match.differences(entry)
        and status in (None, entry.status)
        and (scenario is None or scenario in entry.scenarios)
        and (not warned or admin.reading.warnings(entry))
    ]
    return found if limit is None else found[max(len(found) - limit, 0) :]


def _number(field: Field) -> Field:
    """A number from the query."""
    try:
        value = float(field.text())
    except ValueError:
        field.fail(f"expected a number, not {described(field.value)}")
    return field_of(int(value) if value.is_integer() else value, field.path)


async def forget_requests(admin: Admin, request: Request) -> Reply:
    """Clear the journal."""
    query_of(request)
    forgotten = len(admin.host.journal)
    admin.host.journal.clear()
    return Reply({"forgotten": forgotten})


async def wait(admin: Admin, request: Request) -> Reply:
    """Respond as soon as enough requests match; 408 with the nearest where they do not in time."""
    body = await body_of(request, "match", "count", "since", "timeout_s")
    match, since = _match_and_since(body)
    count = body["count"].whole(1, 1_000) if "count" in body else 1
    timeout_s = body["timeout_s"].number(0, LONGEST_WAIT_S) if "timeout_s" in body else 5
    journal = admin.host.journal
    waiting = asyncio.ensure_future(await_matching(journal, match, count, since, timeout_s))
    leaving = asyncio.ensure_future(_client_left(request))
    try:
        await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        found = waiting.result() if waiting.done() else []
    finally:
        waiting.cancel()
        leaving.cancel()
    if len(found) >= count:
        return Reply({"requests": await _as_json(admin, found)}, redacted=True)
    if journal.closed:
        raise AdminError(503, "the server is going down")
    message = f"{_requests(len(found))} matched within {timeout_s:g} s; expected: {count}"
    raise AdminError(408, message, matched=len(found), **await _nearest(admin, match, since))


async def _client_left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def verify(admin: Admin, request: Request) -> Reply:
    """Whether as many requests match as should; 409 with the nearest where they do not."""
    body = await body_of(request, "match", "count", "since")
    match, since = _match_and_since(body)
    least, most = _bounds(body["count"]) if "count" in body else (1, None)
    found = len(await run_in_threadpool(matching, admin.host.journal, match, since))
    if least <= found and (most is None or found <= most):
        return Reply({"matched": found})
    expected = f"at least {least}" if most is None else f"{least} to {most}"
    if most == least:
        expected = str(least)
    near: dict[str, Any] = {"nearest": None, "differences": []}
    if found < least:
        near = await _nearest(admin, match, since)
    message = f"{_requests(found)} matched; expected: {expected}"
    raise AdminError(409, message, matched=found, **near)


def _match_and_since(body: Field) -> tuple[Match, int]:
    match = read_match(body.mapping().get("match", {}), bad_request)
    return match, body["since"].whole(0) if "since" in body else 0


def _bounds(count: Field) -> tuple[int, int | None]:
    """The least and the most that ``count`` allows."""
    if not isinstance(count.value, dict):
        exactly = count.whole(0)
        return exactly, exactly
    if not count.only("at_least", "at_most").value:
        count.fail("a number is needed, or at_least or at_most")
    least = count["at_least"].whole(0) if "at_least" in count else 0
    return least, count["at_most"].whole(least) if "at_most" in count else None


def _requests(count: int) -> str:
    return f"{count or 'no'} request{'' if count == 1 else 's'}"


async def _as_json(admin: Admin, entries: list[Entry]) -> list[dict[str, Any]]:
    """In a thread: a full journal takes long enough to make streams late."""
    return await run_in_threadpool(lambda: [admin.reading.to_json(entry) for entry in entries])


async def _nearest(admin: Admin, match: Match, since: int) -> dict[str, Any]:
    found = await run_in_threadpool(nearest_entry, admin.host.journal, match, since)
    if found is None:
        return {"nearest": None, "differences": []}
    return {
        "nearest": admin.reading.to_json(found.entry),
        "differences": admin.reading.differences(found.differences),
    }
