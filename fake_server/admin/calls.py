"""Each admin call as a function: the server's state, then the journal's requests."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.metadata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from dify_wire.redaction.replacement import REDACTED
from dify_wire.strict import Field
from fake_server.admin.call import (
    Admin,
    AdminError,
    Reply,
    bad_request,
    body_of,
    clock_as_json,
    json_bytes,
    json_of,
    number_of,
    query_of,
)
from fake_server.admin.changes import MOST_CONSOLES
from fake_server.clock import LATEST, unix_seconds
from fake_server.host_state import HostState
from fake_server.journal import Entry
from fake_server.journal.matching import (
    Match,
    await_matching,
    in_turns,
    matching,
    nearest_entry,
    read_match,
)
from fake_server.scenarios.parameters import ScenarioError
from fake_server.scenarios.rules import behaviours as known_behaviours
from fake_server.settings import INSTANT

_MOVES = ("freeze", "set", "advance_s", "resume")


async def health(admin: Admin, request: Request) -> Reply:
    """Whether the server is well, and what it is."""
    host = admin.host
    return Reply(
        {
            "status": _status(host),
            "version": project_version(),
            "host_version": host.spec.version,
            "uptime_s": round(host.counters.uptime_s, 3),
            "clock": clock_as_json(host.clock),
            "runs_running": host.store.runs_running,
        }
    )


def _status(host: HostState) -> str:
    replica = host.store.replica
    if host.journal.closed:
        return "ending"
    return "degraded" if replica is not None and replica.degraded else "ok"


def project_version() -> str:
    """The version that is installed; "unknown" for files that are not."""
    try:
        return importlib.metadata.version("fake-dify")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


async def metrics(admin: Admin, request: Request) -> Response:
    """All metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_HostCollector(admin.host))
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


class _HostCollector(Collector):
    """Makes metrics of what ``host`` has counted; nothing is counted twice."""

    def __init__(self, host: HostState) -> None:
        self._host = host

    def collect(self) -> Iterator[Metric]:
        counters, store, journal = self._host.counters, self._host.store, self._host.journal
        build = {"version": project_version(), "host_version": self._host.spec.version}
        yield InfoMetricFamily("fake_dify_build", "What is running.", build)
        requests = _counter("requests", "Requests that got a response.", "operation", "status")
        seconds = SummaryMetricFamily(
            "fake_dify_request_seconds", "Real time of requests.", labels=["operation"]
        )
        counts: dict[str, int] = {}
        for (operation, status), count in sorted(counters.requests.items()):
            requests.add_metric([operation, str(status)], count)
            counts[operation] = counts.get(operation, 0) + count
        for operation, count in counts.items():
            seconds.add_metric([operation], count, counters.seconds[operation])
        runs = _counter("runs", "Runs that ended.", "mode", "status")
        for labels, count in sorted(store.runs_ended.items()):
            runs.add_metric(labels, count)
        matched = _counter("scenarios_matched", "Requests that a scenario acted on.", "name")
        for name, count in sorted(counters.scenarios.items()):
            matched.add_metric([name], count)
        lost = _counter("log_lines_lost", "Lines of the log that were not read in time.")
        lost.add_metric([], counters.log_lines_lost())
        yield from (requests, seconds, runs, matched, lost)
        for name, text, value in (
            ("runs_running", "Runs in progress.", store.runs_running),
            ("streams_open", "Streams that are being sent.", counters.streams_open),
            ("requests_running", "Requests in progress.", counters.running),
            ("journal_entries", "Entries of the journal.", len(journal)),
            ("journal_bytes", "Size of these entries, roughly.", journal.bytes),
        ):
            yield GaugeMetricFamily(f"fake_dify_{name}", text, value)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"fake_dify_{name}", text, labels=labels)


async def settings(admin: Admin, request: Request) -> Reply:
    """The settings in effect, without keys and secrets."""
    fields = {
        name: _plain(value) for name, value in dataclasses.asdict(admin.host.settings).items()
    }
    fields["speed"] = INSTANT if fields["speed"] is None else fields["speed"]
    fields["api_keys"] = [REDACTED] * len(fields["api_keys"])
    fields["apps"] = [[REDACTED, app] for _, app in fields["apps"]]
    fields["secret_key"] = REDACTED
    fields["admin_token"] = REDACTED if fields["admin_token"] else None
    return Reply(fields)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


async def description(admin: Admin, request: Request) -> Response:
    """The OpenAPI description of the admin API."""
    text = await run_in_threadpool((Path(__file__).parent / "admin.yaml").read_bytes)
    return Response(text, media_type="application/yaml")


async def behaviours(admin: Admin, request: Request) -> Reply:
    """Every behaviour, with the parameters that a scenario can give it."""
    from fake_server.scenarios.describe import to_json

    operations = [one.operation_id for one in admin.host.spec.operations]
    found = [
        {**to_json(one), "operations": list(filter(one.acts_on, operations))}
        for one in known_behaviours().values()
    ]
    return Reply({"behaviours": found})


async def scenarios(admin: Admin, request: Request) -> Reply:
    """Every rule, and how often it matched."""
    return Reply({"scenarios": admin.rules.to_json()})


async def add_scenarios(admin: Admin, request: Request) -> Reply:
    """Add one rule or a list of them, all or none."""
    rules = await json_of(request)
    try:
        added = await admin.commands.everywhere("add_scenarios", rules)
    except ScenarioError as error:
        raise AdminError(400, error.message, error.path or None) from None
    return Reply({"scenarios": [rule.to_json() for rule in added]}, 201)


async def remove_scenarios(admin: Admin, request: Request) -> Reply:
    """Remove the rule of an id, or all that were added while the server ran."""
    query = query_of(request, "id")
    rules = admin.rules
    before = len(rules.to_json())
    if "id" not in query:
        await admin.commands.everywhere("clear_scenarios")
    elif not await admin.commands.everywhere("remove_scenario", query["id"].text()):
        raise AdminError(404, f"no rule that was added has the id {query['id'].value!r}", "id")
    return Reply({"removed": before - len(rules.to_json())})


async def clock(admin: Admin, request: Request) -> Reply:
    """The time of the fake."""
    return Reply(clock_as_json(admin.host.clock))


async def move_clock(admin: Admin, request: Request) -> Reply:
    """Freeze, set, advance or resume: one of them."""
    clock, everywhere = admin.host.clock, admin.commands.everywhere
    body = await body_of(request, *_MOVES)
    if len(body.mapping()) != 1:
        body.fail(f"exactly one of these keys is needed: {', '.join(_MOVES)}")
    [(move, value)] = body.items()
    try:
        if move == "set":
            await everywhere("set", value.number(0, LATEST))
        elif move == "advance_s":
            await everywhere("advance", value.number(0, LATEST))
        elif move == "freeze" and isinstance(value.value, str):
            await everywhere("freeze", unix_seconds(value.value))
        elif value.value is not True:
            time = ", or a time such as 2024-05-01T12:00:00Z; resume ends it"
            value.fail(f"true is needed{time if move == 'freeze' else ''}")
        elif move == "freeze":
            await everywhere("freeze", clock.now())
        else:
            await everywhere("resume")
    except ValueError as error:  # not a time, or later than the latest
        value.fail(str(error))
    return Reply(clock_as_json(clock))


async def changes(admin: Admin, request: Request) -> ASGIApp:
    """A stream of events, one whenever something has changed."""
    query_of(request)
    response = admin.changes.response()
    if response is None:
        raise AdminError(503, f"{MOST_CONSOLES} consoles are open already; close one of them")
    return response


async def reset(admin: Admin, request: Request) -> Reply:
    """Be as at the start."""
    seed = (await body_of(request, "seed")).get("seed")
    new = admin.host.settings.seed if seed is None else seed.whole()
    await admin.commands.everywhere("reset", new)
    return Reply({"reset": True, "seed": new})


LONGEST_WAIT_S = 600.0
"""The longest `timeout_s` of a wait; a longer one is refused with 400."""

_MATCHED = ("path", "method", "operation")
_SELECTED = ("status", "since", "before", "scenario", "warnings", "text")
_OLDEST_UNIX = 1_000_000_000
"""``since`` below this is the number of an entry, else unix seconds."""


async def requests(admin: Admin, request: Request) -> Reply:
    """The entries of the journal that the query selects, oldest first."""
    query = query_of(request, *_MATCHED, *_SELECTED, "limit", "brief")
    brief = "brief" in query and query["brief"].choice(("true", "false")) == "true"
    entries = await run_in_threadpool(_selected, admin, query)
    journal = admin.host.journal
    fields = {"last_id": journal.last_number, "forgotten": journal.forgotten}
    return Reply(await run_in_threadpool(_as_json, admin, entries, fields, brief=brief))


async def one_request(admin: Admin, request: Request) -> Reply:
    """One entry of the journal."""
    query_of(request)
    number, entries = request.path_params["id"], admin.host.journal.entries()
    found = next((entry for entry in entries if str(entry.number) == number), None)
    if found is None:
        raise AdminError(404, f"the journal has no request {number!r}, or no longer")
    return Reply(json_bytes(await run_in_threadpool(admin.reading.to_json, found)))


def _selected(admin: Admin, query: Field) -> list[Entry]:
    """The entries, oldest first; of too many the newest."""
    match = read_match({one: query[one].value for one in _MATCHED if one in query})
    since = number_of(query["since"]).number(0, LATEST) if "since" in query else 0
    status = number_of(query["status"]).whole(0) if "status" in query else None
    limit = number_of(query["limit"]).whole(0) if "limit" in query else None
    before = number_of(query["before"]).whole(0) if "before" in query else None
    text = query["text"].text().encode().lower() if "text" in query else b""
    scenario = query["scenario"].text() if "scenario" in query else None
    warned = "warnings" in query and query["warnings"].choice(("true", "false")) == "true"
    by_time = since >= _OLDEST_UNIX
    found = [
        entry
        for entry in in_turns(admin.host.journal.entries(0 if by_time else int(since)))
        if (not by_time or entry.received_at >= since)
        and (before is None or entry.number < before)
        and match.fits(entry)
        and (not text or _has(entry, text))
        and status in (None, entry.status)
        and (scenario is None or scenario in entry.scenarios)
        and (not warned or admin.reading.warnings(entry))
    ]
    return found if limit is None else found[max(len(found) - limit, 0) :]


def _has(entry: Entry, text: bytes) -> bool:
    """Whether ``text`` stands in the target or the body of the request, or in the response."""
    target = entry.scope["path"].encode("utf-8", "replace") + entry.scope["query_string"]
    parts = (target, entry.body, *(data for _, data in entry.chunks))
    escaped = json_bytes(text.decode(), ascii_only=True)[1:-1].lower()
    return any(one in part.lower() for part in parts for one in (text, escaped))


async def forget_requests(admin: Admin, request: Request) -> Reply:
    """Clear the journal."""
    query_of(request)
    forgotten = len(admin.host.journal)
    await admin.commands.everywhere("clear_journal")
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
        return Reply(await run_in_threadpool(_as_json, admin, found, {}))
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


def _as_json(
    admin: Admin, entries: list[Entry], fields: Mapping[str, Any], *, brief: bool = False
) -> bytes:
    """The entries, and ``fields`` beside them: one by one, so that no stream is late."""
    write = admin.reading.brief if brief else admin.reading.to_json
    found = [json_bytes(write(entry)) for entry in in_turns(entries)]
    rest = b"".join(b', "%b": %b' % (name.encode(), json_bytes(fields[name])) for name in fields)
    return b'{"requests": [%b]%b}' % (b", ".join(found), rest)


async def _nearest(admin: Admin, match: Match, since: int) -> dict[str, Any]:
    return await run_in_threadpool(_nearest_as_json, admin, match, since)


def _nearest_as_json(admin: Admin, match: Match, since: int) -> dict[str, Any]:
    found = nearest_entry(admin.host.journal, match, since)
    if found is None:
        return {"nearest": None, "differences": []}
    return {
        "nearest": admin.reading.to_json(found.entry),
        "differences": admin.reading.differences(found.differences),
    }
