"""The checks that judge accepted runs: they hold where they should, each can fail, and none cries
wolf.

A broken host is the fake's own answers with one thing changed; a host of another version is made
from them by what the facts say of it; the recorded host is judged as it was.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any

import pytest

from contract.check import Capability, Level
from contract.checks import CHECKS
from contract.client import HttpTransport
from contract.evidence import Pair
from contract.offline import RecordedTransport, load_exchanges
from contract.result import Result, Status
from contract.runner import run_check, run_checks
from contract.target import Capabilities, Stream, Target, is_accepted_run, may_run
from dify_wire.exchange import Chunk, Exchange, Request
from tests.contract import changed_host
from tests.contract.changed_host import (
    SECRET,
    Break,
    Good,
    Item,
    body,
    cut_off,
    data,
    drawn,
    event,
    events,
    file,
    frames,
    header,
    image,
    is_file,
    named,
    on_blocking,
    on_files,
    on_stream,
    response_json,
    serves_the_good_file,
    status,
    strict_files,
    with_body,
    with_header,
    with_items,
)
from tests.each import each
from tests.serving import ROOT, running_server

pytestmark = pytest.mark.server

RECORDING = ROOT / "recordings" / "dify-0.6.4"
STREAM_AREAS = (
    *("framing", "event_order", "event_fields", "event_values"),
    *("streamed_files", "arrival"),
)
AREAS = ("responses", *STREAM_AREAS, "files", "file_errors", "images")
OURS = {name: check for name, check in CHECKS.items() if check.area in AREAS}
NO_SPEED = {name for name, check in OURS.items() if Capability.FINITE_SPEED in check.needs}
OTHER_ID = str(uuid.UUID(int=0x2A))
ANY_URL_SERVES = Break(change_request=serves_the_good_file)


@pytest.fixture(scope="module")
def good() -> Iterator[Good]:
    with running_server("--speed=instant", f"--secret-key={SECRET}") as server:
        live = HttpTransport(server.url)
        yield changed_host.fetch_good(live, server.api_key)
        live.close()


# They hold
# ---------------------------------------------------------------------------------------------


def reasons(results: list[Result]) -> dict[str, str]:
    """What is to be said of each check that does not hold."""
    return {
        result.check.name: result.reason for result in results if result.status is not Status.PASSED
    }


@pytest.mark.parametrize(("speed", "left_out"), [("instant", NO_SPEED), ("10", set())])
def test_all_hold_on_the_fake(speed: str, left_out: set[str]) -> None:
    """At `instant` only what needs time is not applicable; at speed 10 nothing is. Two runs are
    enough for all.
    """
    with running_server(f"--speed={speed}", f"--secret-key={SECRET}") as server:
        live = HttpTransport(server.url)
        target = Target(live, Capabilities(server.api_key, SECRET))
        results = run_checks(target, list(OURS.values()))
        live.close()
    assert set(reasons(results)) == left_out, reasons(results)
    assert target.accepted_runs == 2


def test_what_is_changed_in_memory_is_whole_without_a_change(good: Good) -> None:
    """The good host of the broken examples is one that all checks hold on."""
    assert reasons(run_checks(good.target(Break()), list(OURS.values()))) == {}


def test_without_the_secret_only_what_signs_is_left_out(good: Good) -> None:
    """A host that lends nothing is judged by all the rest."""
    target = Target(changed_host.ChangedHost(good, Break()), Capabilities(good.api_key))
    left_out = {name for name, check in OURS.items() if Capability.SECRET in check.needs}
    assert (
        set(reasons(run_checks(target, list(OURS.values()))))
        - {"sign_in_the_other_alphabet_is_403"}
        == left_out
    )


# Each can fail
# ---------------------------------------------------------------------------------------------


def reversed_keys(value: Mapping[str, Any]) -> dict[str, Any]:
    return dict(reversed(list(value.items())))


def all_events(change: Callable[[dict[str, Any]], Any]) -> Break:
    """The stream with every event changed."""
    return frames(
        lambda items: [change(item) for _, item in items if isinstance(item, dict)] and None
    )


def without(event_name: str, node_type: str | None = None) -> Break:
    """The stream without the last event of that name."""

    def change(items: list[Item]) -> list[Item]:
        gone = named(items, event_name, node_type)[-1]
        return [(at_s, item) for at_s, item in items if item is not gone]

    return frames(change)


def doubled(event_name: str) -> Break:
    def change(items: list[Item]) -> list[Item]:
        again = named(items, event_name)[-1]
        return [one for at_s, item in items for one in [(at_s, item)] * (2 if item is again else 1)]

    return frames(change)


def swapped(items: list[Item], first: int, second: int) -> None:
    """The frames at two places exchanged, their times left where they are."""
    (one_s, one), (other_s, other) = items[first], items[second]
    items[first], items[second] = (one_s, other), (other_s, one)


def more_events(*values: Any) -> Break:
    """The stream with frames inserted after the first."""
    return frames(
        lambda items: items.__setitem__(slice(1, 1), [(items[0][0], value) for value in values])
    )


def raw_stream(change: Callable[[bytes], bytes]) -> Break:
    """The stream with its bytes changed, all of them in one chunk."""
    return on_stream(lambda exchange: with_body(exchange, change(exchange.body)))


def first_frame(change: Callable[[bytes], bytes]) -> Break:
    """The stream with the bytes of its first frame changed, the other chunks left alone."""

    def changed(exchange: Exchange) -> Exchange:
        first, *rest = exchange.chunks
        return replace(exchange, chunks=(Chunk(first.at_s, change(first.data)), *rest))

    return on_stream(changed)


def without_pings(items: list[Item]) -> list[Item]:
    return [item for item in items if not isinstance(item[1], bytes)]


def buffered(exchange: Exchange) -> Exchange:
    """A proxy keeps all frames until the end."""
    return replace(
        exchange, chunks=tuple(Chunk(exchange.seconds, chunk.data) for chunk in exchange.chunks)
    )


def pings_at(at_s: float) -> Break:
    def changed(items: list[Item]) -> list[Item]:
        return [(at_s if isinstance(item, bytes) else own_s, item) for own_s, item in items]

    return frames(changed)


def pings_first(items: list[Item]) -> list[Item]:
    return [*(one for one in items if isinstance(one[1], bytes)), *without_pings(items)]


def node_frames_together(items: list[Item]) -> list[Item]:
    """The frames of a node come together when it is finished."""
    arrived_s = {item["data"]["id"]: at_s for at_s, item in items if isinstance(item, dict)}
    return [
        (arrived_s[item["data"]["id"]] if isinstance(item, dict) else at_s, item)
        for at_s, item in items
    ]


def signed_alike(one: dict[str, Any]) -> None:
    """The end node's inputs with the signatures of its outputs."""
    one["inputs"] = one["outputs"]


def other_file(value: dict[str, Any]) -> None:
    for name in ("outputs", "inputs"):
        for one in (value.get(name) or {}).get("files", []):
            one.update(related_id=OTHER_ID, url=one["url"].replace(one["related_id"], OTHER_ID))


def on_methods(change: Callable[[Exchange], Exchange], *methods: str) -> Break:
    return Break(
        lambda request, one: change(one) if is_file(request) and request.method in methods else one
    )


def fresh_bytes() -> Break:
    """A picture that is drawn anew at each request."""
    return image(lambda _: drawn(64 + uuid.uuid4().int % 1000, 64))


def refuses_keys(request: Request, one: Exchange) -> Exchange:
    return replace(one, status=401) if is_file(request) and request.headers else one


def last_parameter_counts(good: Good, request: Request) -> Request:
    """A host to which the last of two parameters counts."""
    path, _, query = request.target.partition("?")
    pairs = dict(pair.split("=", 1) for pair in query.split("&") if "=" in pair)
    if not is_file(request) or not pairs:
        return request
    return replace(
        request, target=f"{path}?{'&'.join(f'{name}={value}' for name, value in pairs.items())}"
    )


def any_signature_counts(good: Good, request: Request) -> Request:
    """A host that takes any signature of anything, and still expects all three parameters."""
    has_all = all(f"{name}=" in request.target for name in ("timestamp", "nonce", "sign"))
    return serves_the_good_file(good, request) if has_all else request


def same_image_for_all(good: Good, request: Request) -> Request:
    return Request("GET", good.file_path) if is_file(request) else request


def mixed_up(items: list[Item], good: Good) -> None:
    """One frame of the stream is of the other run."""
    theirs = good.blocking.json()
    items[3][1].update(task_id=theirs["task_id"], workflow_run_id=theirs["workflow_run_id"])


def with_the_other_runs(*names: str) -> Break:
    """The blocking answer with ids of the stream: made by a host that mixes them up."""
    shared = {name: str(uuid.UUID(int=at)) for at, name in enumerate(names, start=7)}

    def changed(request: Request, one: Exchange) -> Exchange:
        if changed_host.is_stream(request):
            items = changed_host.items_of(one)
            for _, item in items:
                if isinstance(item, dict):
                    item.update(shared)
            return with_items(one, items)
        return (
            with_body(one, json.dumps({**one.json(), **shared}).encode())
            if may_run(request)
            else one
        )

    return Break(changed)


def later(value: dict[str, Any], seconds: int) -> None:
    value.update(
        created_at=value["created_at"] + seconds, finished_at=value["finished_at"] + seconds
    )


def same_id(value: dict[str, Any]) -> dict[str, Any]:
    return {**value, "workflow_id": value["id"]}


def edit_url(one: dict[str, Any], change: Callable[[str], str]) -> None:
    """The blocking answer's picture with another URL."""
    found = one["data"]["outputs"]["files"][0]
    found["url"] = change(found["url"])


def is_ping(item: Item) -> bool:
    return isinstance(item[1], bytes)


def has_header(request: Request, name: str) -> bool:
    return is_file(request) and any(key == name for key, _ in request.headers)


def part_of(exchange: Exchange) -> Exchange:
    return replace(with_body(exchange, exchange.body[:100]), status=206)


def timestamps_within(seconds: int) -> Break:
    """A host to which a URL is good for some seconds before and after its time."""

    def refuses(request: Request, one: Exchange) -> Exchange:
        at = re.search(r"timestamp=(\d+)", request.target) if is_file(request) else None
        return replace(one, status=403) if at and abs(int(at[1]) - time.time()) > seconds else one

    return Break(refuses)


FORBIDDEN = on_files(lambda one: replace(one, status=403))
REFUSED_IN_HTML = Break(
    lambda request, one: (
        with_header(with_body(one, b"<html>"), "content-type", "text/html")
        if is_file(request) and one.status in (400, 403, 405, 415)
        else one
    )
)

FAILING: dict[str, list[Break]] = {
    # the blocking answer
    "documents_own_request_gets_200": [on_blocking(status(201)), on_blocking(status(None))],
    "blocking_response_is_complete": [on_blocking(cut_off)],
    "blocking_response_is_a_json_object": [
        on_blocking(body(lambda _: b"<html>")),
        on_blocking(body(lambda _: b"[1]")),
    ],
    "blocking_content_type_is_json": [on_blocking(header("content-type", "text/html"))],
    "blocking_content_type_is_the_hosts": [
        on_blocking(header("content-type", "application/json; charset=utf-8"))
    ],
    "blocking_json_is_written_in_the_hosts_style": [
        on_blocking(body(lambda text: text.replace(b'": ', b'":'))),
        on_blocking(
            body(lambda text: text.replace(b'"error": null', b'"error": 1, "error": null'))
        ),
    ],
    "blocking_json_ends_without_newline": [on_blocking(body(lambda text: text + b"\n"))],
    "blocking_response_has_task_run_and_data": [
        response_json(lambda one: {"data": one["data"], "task_id": one["task_id"]}),
        response_json(lambda one: one.update(data=None)),
    ],
    "blocking_response_has_no_other_fields": [
        response_json(lambda one: one.update(message_id=1)),
        response_json(reversed_keys),
    ],
    "task_id_is_a_uuid": [
        response_json(lambda one: one.update(task_id=17)),
        response_json(lambda one: one.update(task_id="A" * 36)),
    ],
    "workflow_run_id_is_a_uuid": [response_json(lambda one: one.update(workflow_run_id=None))],
    "data_id_is_the_run_id": [data(id=OTHER_ID)],
    "task_and_run_have_ids_of_their_own": [
        response_json(lambda one: one.update(task_id=one["workflow_run_id"]))
    ],
    "data_has_every_documented_field": [
        response_json(lambda one: one["data"].pop("total_steps") and None)
    ],
    "data_has_no_other_fields": [data(sequence_number=1)],
    "data_fields_come_in_the_hosts_order": [
        response_json(lambda one: {**one, "data": reversed_keys(one["data"])})
    ],
    "workflow_id_is_a_uuid": [
        data(workflow_id="workflow"),
        response_json(lambda one: {**one, "data": same_id(one["data"])}),
    ],
    "status_is_succeeded_failed_or_stopped": [
        data(status="success"),
        data(status=True),
        data(status=None),
    ],
    "documents_own_request_succeeds": [
        data(status="failed", outputs=None, error="no picture today")
    ],
    "error_is_null_exactly_when_succeeded": [data(error=""), data(status="failed", error=None)],
    "outputs_are_empty_unless_succeeded": [
        data(outputs=[]),
        data(status="failed", error="for no reason"),
    ],
    "elapsed_time_is_a_duration": [
        data(elapsed_time="18.6"),
        data(elapsed_time=True),
        data(elapsed_time=-1.0),
    ],
    "elapsed_time_is_a_float": [data(elapsed_time=19), data(elapsed_time="18.6")],
    "total_tokens_is_a_whole_number": [
        data(total_tokens=1.5),
        data(total_tokens=True),
        data(total_tokens=-1),
    ],
    "total_steps_is_a_whole_number": [data(total_steps=0), data(total_steps="5")],
    "created_at_is_in_unix_seconds": [
        data(created_at="2024-04-24"),
        data(created_at=1713938954000),
    ],
    "finished_at_is_in_unix_seconds": [data(finished_at=1713938972.5), data(finished_at=None)],
    "times_of_the_run_agree": [
        response_json(
            lambda one: one["data"].update(elapsed_time=one["data"]["elapsed_time"] * 1000)
        ),
        response_json(lambda one: one["data"].update(finished_at=one["data"]["created_at"])),
        response_json(lambda one: one["data"].update(finished_at=one["data"]["finished_at"] + 2)),
    ],
    "run_finished_just_now": [
        data(finished_at=1713938972),
        response_json(lambda one: later(one["data"], 120)),
    ],
    "outputs_have_an_image": [
        data(outputs={"files": []}),
        data(outputs={"files": [None]}),
        data(outputs={}),
        data(outputs=None),
    ],
    "run_makes_one_image": [response_json(lambda one: one["data"]["outputs"]["files"].append({}))],
    "file_has_the_fields_of_the_host": [
        file(size=1),
        response_json(lambda one: one["data"]["outputs"]["files"][0].pop("mime_type") and None),
        response_json(
            lambda one: one["data"]["outputs"].update(
                files=[reversed_keys(one["data"]["outputs"]["files"][0])]
            )
        ),
    ],
    "file_is_marked_as_a_file": [file(__variant="Image")],
    "tenant_id_is_a_uuid": [file(tenant_id="tenant")],
    "file_type_is_image": [file(type="file")],
    "transfer_method_is_tool_file": [file(transfer_method="remote_url")],
    "related_id_is_the_id_in_the_url": [file(related_id=OTHER_ID)],
    "extension_is_the_one_in_the_url": [file(extension="png"), file(extension=".jpg")],
    "mime_type_belongs_to_the_extension": [file(mime_type="image/jpeg")],
    "filename_is_the_hosts": [file(filename=f"{'a' * 32}.png"), file(filename=None)],
    "file_fields_are_of_their_kinds": [file(filename=1), file(size=0)],
    # the stream as bytes
    "streaming_run_is_200": [on_stream(status(500)), on_stream(status(None))],
    "stream_is_an_event_stream": [on_stream(header("content-type", "application/json"))],
    "stream_content_type_names_utf_8": [on_stream(header("content-type", "text/event-stream"))],
    "stream_is_not_broken_off": [
        on_stream(lambda one: replace(one, ended="cut", error="ReadTimeout"))
    ],
    "stream_has_events": [
        on_stream(body(lambda _: b"")),
        on_stream(body(lambda _: b"event: ping\n\n")),
    ],
    "stream_ends_with_a_whole_frame": [
        raw_stream(lambda raw: raw[:-1]),
        raw_stream(lambda raw: raw + b"data: "),
    ],
    "stream_ends_with_its_last_event": [
        raw_stream(lambda raw: raw + b"data: [DONE]\n\n"),
        raw_stream(lambda raw: raw + b"event: ping\n\n"),
        without("workflow_finished"),
    ],
    "stream_closes_after_its_last_event": [
        on_stream(lambda one: replace(one, seconds=one.seconds + 30))
    ],
    "stream_is_utf_8": [
        raw_stream(lambda raw: raw[:40] + b"\xff" + raw[40:]),
        raw_stream(lambda raw: b"\xef\xbb\xbf" + raw),
    ],
    "stream_lines_end_in_lf": [raw_stream(lambda raw: raw.replace(b"\n", b"\r\n"))],
    "frames_are_parted_by_one_blank_line": [
        raw_stream(lambda raw: raw.replace(b"\n\n", b"\n\n\n")),
        raw_stream(lambda raw: b"\n\n" + raw),
    ],
    "frames_are_one_line_each": [first_frame(lambda raw: b"event: message\n" + raw)],
    "frames_hold_data_or_a_ping": [
        first_frame(lambda raw: b"id: 1\n" + raw),
        first_frame(lambda raw: b"retry: 3000\n\n" + raw),
        first_frame(lambda raw: b": hello\n\n" + raw),
        first_frame(lambda raw: raw.replace(b"data: ", b"data:")),
    ],
    "data_lines_hold_json_objects": [
        more_events(b"data: [DONE]"),
        more_events(b"data: {"),
        more_events(b"data: 'ping'"),
    ],
    "stream_json_is_written_in_the_hosts_style": [
        first_frame(lambda raw: raw.replace(b'": ', b'":')),
        raw_stream(lambda raw: raw.replace(b'": ', b'":').replace(b', "', b',"')),
        first_frame(lambda raw: raw.decode().encode().replace(b"\\u4e00", "一".encode())),
    ],
    "pings_are_written_as_on_the_host": [
        more_events(b": ping"),
        more_events(b"event: ping\ndata: {}"),
        more_events({"event": "ping"}),
    ],
    # the order of events
    "stream_begins_with_workflow_started": [
        frames(lambda items: items.pop(0) and None),
        doubled("workflow_started"),
    ],
    "stream_ends_with_one_workflow_finished": [
        doubled("workflow_finished"),
        without("workflow_finished"),
    ],
    "events_are_known_by_name": [
        all_events(lambda one: one.update(event=one["event"].replace("node_", "step_"))),
        all_events(lambda one: one.update(event=one["event"].title())),
    ],
    "events_come_in_the_order_of_the_table": [
        frames(lambda items: swapped(items, 1, 2)),
        frames(lambda items: swapped(items, 0, 1)),
        doubled("node_finished"),
        doubled("node_started"),
    ],
    "nodes_run_one_after_the_other": [
        frames(lambda items: swapped(items, 2, 3)),
        without("node_finished", "llm"),
        without("node_finished", "end"),
    ],
    "every_started_node_finishes": [without("node_finished", "end"), doubled("node_finished")],
    # ids
    "events_have_their_four_fields": [
        frames(lambda items: items[2][1].pop("task_id") and None),
        frames(lambda items: items[2][1].update(conversation_id=OTHER_ID)),
        frames(lambda items: items[2][1].update(data=None)),
    ],
    "task_id_is_constant_in_a_stream": [
        frames(lambda items: items[-1][1].update(task_id=OTHER_ID))
    ],
    "workflow_run_id_is_constant_in_a_stream": [
        frames(lambda items: items[4][1].update(workflow_run_id=OTHER_ID))
    ],
    "streamed_task_and_run_have_ids_of_their_own": [
        all_events(lambda one: one.update(task_id=one["workflow_run_id"]))
    ],
    "workflow_events_have_the_run_id": [
        event("workflow_finished", id=OTHER_ID),
        event("workflow_started", id=OTHER_ID),
    ],
    "workflow_id_is_the_same_in_both_modes": [
        event("workflow_started", workflow_id=OTHER_ID),
        data(workflow_id=OTHER_ID),
    ],
    "elapsed_times_of_a_stream_are_written_with_a_point": [
        event("workflow_finished", elapsed_time=19),
        event("node_finished", "llm", elapsed_time=1),
    ],
    "sequence_number_is_counted_from_one": [
        event("workflow_started", sequence_number=0),
        event("workflow_finished", sequence_number=10**6),
        events("workflow_started", lambda one: one.pop("sequence_number")),
    ],
    "execution_ids_are_uuids_of_their_own": [
        frames(lambda items: items[3][1]["data"].update(id=items[1][1]["data"]["id"])),
        frames(lambda items: items[3][1]["data"].update(id=items[0][1]["task_id"])),
        event("node_started", "llm", id="node"),
    ],
    "node_finished_repeats_its_node_started": [
        event("node_finished", "llm", title="another"),
        event("node_finished", "tool", created_at=1713938954),
    ],
    "nodes_are_numbered_from_one": [
        event("node_started", "start", index=0),
        event("node_started", "end", index=9),
    ],
    "nodes_name_their_predecessor": [
        event("node_started", "start", predecessor_node_id="0"),
        event("node_started", "end", predecessor_node_id=None),
    ],
    "run_begins_at_its_start_node": [event("node_started", "start", node_type="code")],
    # fields and kinds
    "workflow_started_has_the_hosts_fields": [
        events("workflow_started", lambda one: one.pop("sequence_number")),
        event("workflow_started", status="running"),
    ],
    "node_started_has_the_hosts_fields": [
        events("node_started", lambda one: one.pop("extras")),
        event("node_started", "llm", provider="openai"),
    ],
    "node_finished_has_the_hosts_fields": [
        events("node_finished", lambda one: one.pop("files")),
        event("node_finished", "llm", exceptions_count=0),
    ],
    "workflow_finished_has_the_hosts_fields": [
        events("workflow_finished", lambda one: one.pop("created_by")),
        event("workflow_finished", exceptions_count=0),
        frames(lambda items: items[-1][1].update(data=reversed_keys(items[-1][1]["data"]))),
    ],
    "workflow_started_is_of_the_hosts_kinds": [
        event("workflow_started", created_at="now"),
        event("workflow_started", inputs=[]),
    ],
    "node_started_is_of_the_hosts_kinds": [
        event("node_started", "llm", inputs={}),
        event("node_started", "llm", index="2"),
        event("node_started", "llm", node_type=""),
    ],
    "node_finished_is_of_the_hosts_kinds": [
        event("node_finished", "llm", elapsed_time="0.2"),
        event("node_finished", "llm", status="stopped"),
        event("node_finished", "end", files=None),
    ],
    "workflow_finished_is_of_the_hosts_kinds": [
        event("workflow_finished", total_steps=True),
        event("workflow_finished", created_by="alg123"),
        event("workflow_finished", status="done"),
    ],
    "extras_hold_at_most_an_icon": [
        event("node_started", "llm", extras={"icon": "x"}),
        event("node_started", "tool", extras={}),
        event("node_started", "tool", extras={"icon": None}),
    ],
    # what goes in
    "prompt_comes_back_character_for_character": [
        events("workflow_started", lambda one: one["inputs"].update(prompt="??????????")),
        events(
            "node_finished",
            lambda one: one["outputs"].update(prompt="一个胸有成竹的男人 "),
            "start",
        ),
    ],
    "inputs_name_no_files": [
        events("workflow_started", lambda one: one["inputs"].pop("sys.files")),
        events("workflow_started", lambda one: one["inputs"].update({"sys.files": [{}]})),
    ],
    "inputs_name_the_hosts_system_variables": [
        events("workflow_started", lambda one: one["inputs"].update({"sys.mood": "good"}))
    ],
    "start_node_passes_the_inputs_on": [
        event("node_finished", "start", inputs=None),
        events("node_finished", lambda one: one["outputs"].update(model_name="dosmix_"), "start"),
    ],
    "created_by_is_the_user_of_the_request": [
        events("workflow_finished", lambda one: one["created_by"].update(user="DEFAULT-USER")),
        events("workflow_finished", lambda one: one["created_by"].update(id="alg123")),
    ],
    "model_left_out_is_not_another_runs_model": [
        events(
            "workflow_started",
            lambda one: one["inputs"].update(model_name="chilloutmix_NiPrunedFp32Fix"),
        )
    ],
    # what comes out
    "streaming_run_succeeds": [event("workflow_finished", status="failed")],
    "streamed_error_and_outputs_fit_the_status": [
        event("workflow_finished", error="late"),
        event("workflow_finished", status="failed", error=None),
        event("workflow_finished", status="stopped", error="Workflow stopped."),
    ],
    "node_results_fit_their_status": [
        event("node_finished", "llm", error=""),
        event("node_finished", "end", status="failed", error="why"),
        event(
            "node_finished",
            "llm",
            status="failed",
            error="why",
            outputs=None,
            execution_metadata=None,
            files=[],
        ),
    ],
    "node_tokens_add_up": [
        event("workflow_finished", total_tokens=1),
        event("node_finished", "llm", execution_metadata=None),
    ],
    "steps_are_the_nodes_started": [event("workflow_finished", total_steps=4)],
    "nodes_take_no_longer_than_the_run": [event("workflow_finished", elapsed_time=1.0)],
    "times_of_each_node_agree": [
        event("node_finished", "tool", elapsed_time=1.0),
        events(
            "node_finished", lambda one: one.update(finished_at=one["finished_at"] + 2), "start"
        ),
    ],
    "times_of_a_streamed_run_agree": [
        event("workflow_finished", elapsed_time=1.0),
        events("workflow_started", lambda one: one.update(created_at=one["created_at"] + 1)),
    ],
    "nodes_start_within_the_run": [
        events("node_started", lambda one: one.update(created_at=one["created_at"] + 9), "end"),
        events("node_started", lambda one: one.update(created_at=one["created_at"] - 9), "llm"),
    ],
    "streamed_run_finished_just_now": [event("workflow_finished", finished_at=1713938972)],
    # nodes of each type
    "language_model_reports_text_and_usage": [
        events("node_finished", lambda one: one["outputs"].update(text=None), "llm"),
        events("node_finished", lambda one: one["outputs"].pop("usage"), "llm"),
        event("node_finished", "llm", process_data=None),
    ],
    "language_model_counts_its_tokens": [
        events("node_finished", lambda one: one["outputs"]["usage"].update(prompt_tokens=1), "llm"),
        events(
            "node_finished", lambda one: one["execution_metadata"].update(total_tokens=1), "llm"
        ),
        events(
            "node_finished", lambda one: one["outputs"]["usage"].update(total_tokens="71"), "llm"
        ),
    ],
    "condition_reports_its_result": [
        event("node_finished", "if-else", outputs={"result": "true"}),
        event("node_finished", "if-else", process_data=None),
    ],
    "image_tool_reports_text_and_files": [
        events("node_finished", lambda one: one["outputs"].update(text=None), "tool"),
        events("node_finished", lambda one: one["outputs"].update(json=[]), "tool"),
        event("node_finished", "tool", execution_metadata=None),
    ],
    "end_node_selects_the_runs_outputs": [
        event("node_finished", "end", inputs=None),
        events("node_finished", lambda one: one["outputs"].update(text=""), "end"),
    ],
    # files in the stream
    "streaming_run_has_an_image": [event("workflow_finished", outputs={"files": []})],
    "files_are_those_of_the_outputs": [
        event("node_finished", "tool", files=[]),
        event("workflow_finished", files=[]),
    ],
    "files_repeat_the_outputs_byte_for_byte": [
        events(
            "node_finished",
            lambda one: one["files"][0].update(url=one["files"][0]["url"] + "x"),
            "tool",
        )
    ],
    "end_repeats_the_run_byte_for_byte": [
        events(
            "workflow_finished",
            lambda one: one["outputs"]["files"][0].update(url="/files/tools/x.png"),
        )
    ],
    "each_serialisation_signs_anew": [events("node_finished", signed_alike, "end")],
    "end_takes_its_file_from_the_tool": [events("workflow_finished", other_file)],
    "streamed_files_have_the_hosts_fields": [
        events("workflow_finished", lambda one: one["files"][0].pop("__variant")),
        events("node_finished", lambda one: one["files"][0].update(size=7), "tool"),
    ],
    "streamed_urls_have_the_documents_form": [
        events(
            "node_finished", lambda one: one["files"][0].update(url="/files/tools/a.png"), "tool"
        ),
        events("workflow_finished", lambda one: one["outputs"]["files"][0].update(url=None)),
    ],
    "both_modes_describe_a_file_alike": [file(tenant_id=OTHER_ID), file(size=1)],
    # two runs at once
    "runs_at_once_have_ids_of_their_own": [
        with_the_other_runs("task_id"),
        with_the_other_runs("workflow_run_id"),
    ],
    "each_frame_belongs_to_its_run": [
        with_the_other_runs("task_id"),
        with_the_other_runs("workflow_run_id"),
    ],
    # pings and arrival
    "pings_are_as_many_as_are_due": [
        frames(without_pings),
        frames(
            lambda items: [
                one for item in items for one in [item] * (1 + isinstance(item[1], bytes))
            ]
        ),
        more_events(*[b"event: ping"] * 20),
    ],
    "pings_stand_where_they_are_due": [
        frames(pings_first),
        frames(lambda items: items.sort(key=is_ping)),
    ],
    "pings_arrive_when_they_are_due": [pings_at(0.0), pings_at(1.85)],
    "first_frame_comes_at_once": [on_stream(buffered)],
    "node_frames_lie_apart_by_their_elapsed_time": [
        on_stream(buffered),
        frames(node_frames_together),
    ],
    # the URL
    "url_leads_to_the_host_itself": [
        response_json(lambda one: edit_url(one, lambda url: f"https://files.example{url}")),
        event(
            "workflow_finished",
            outputs={"files": [{"transfer_method": 0, "related_id": 0, "url": "//h/files/"}]},
        ),
        file(url=7),
    ],
    "url_has_the_documents_form": [
        file(url="http://127.0.0.1/picture.png"),
        file(url=None),
        response_json(lambda one: edit_url(one, lambda url: url.replace("&sign=", "&signature="))),
        response_json(lambda one: edit_url(one, lambda url: url.removesuffix("="))),
    ],
    "url_is_signed_when_the_run_ends": [
        response_json(
            lambda one: edit_url(one, lambda url: url.replace("timestamp=1", "timestamp=2"))
        ),
        response_json(lambda one: later(one["data"], -10)),
    ],
    "url_serves_the_image_without_a_key": [
        on_files(status(401)),
        on_files(status(None)),
        on_files(body(lambda _: b"")),
    ],
    "url_serves_the_same_bytes_again": [fresh_bytes()],
    "key_does_no_harm_to_a_url": [Break(refuses_keys)],
    "every_url_of_a_stream_serves_one_image": [FORBIDDEN, fresh_bytes()],
    "order_of_parameters_is_free": [strict_files()],
    "other_parameters_are_ignored": [strict_files()],
    "first_of_two_parameters_counts": [
        strict_files(),
        Break(change_request=last_parameter_counts),
        ANY_URL_SERVES,
    ],
    "sign_may_be_percent_encoded": [strict_files()],
    "file_id_may_be_in_upper_case": [strict_files()],
    "extension_is_not_signed": [
        strict_files(),
        Break(
            lambda request, one: (
                with_header(one, "content-type", "image/jpeg") if ".jpg" in request.path else one
            )
        ),
    ],
    "range_is_ignored": [
        Break(lambda request, one: part_of(one) if has_header(request, "Range") else one)
    ],
    "conditions_are_ignored": [
        Break(
            lambda request, one: (
                replace(one, status=304) if has_header(request, "If-None-Match") else one
            )
        )
    ],
    "as_attachment_names_the_file_as_the_host_does": [
        strict_files(),
        on_files(header("content-disposition", "inline")),
    ],
    "changed_sign_is_403": [ANY_URL_SERVES, on_files(lambda one: with_body(one, b"no"))],
    "sign_in_another_case_is_403": [ANY_URL_SERVES],
    "empty_sign_is_403": [ANY_URL_SERVES, on_files(status(401))],
    "unpadded_sign_is_403": [ANY_URL_SERVES, REFUSED_IN_HTML],
    "sign_in_the_other_alphabet_is_403": [ANY_URL_SERVES],
    "changed_nonce_is_403": [ANY_URL_SERVES],
    "empty_nonce_is_403": [ANY_URL_SERVES],
    "changed_timestamp_is_403": [ANY_URL_SERVES],
    "unsigned_text_as_timestamp_is_403": [ANY_URL_SERVES, on_files(status(400))],
    "sign_of_another_file_is_403": [ANY_URL_SERVES, on_files(status(404))],
    "missing_timestamp_is_400": [ANY_URL_SERVES, REFUSED_IN_HTML],
    "missing_nonce_is_400": [ANY_URL_SERVES, on_files(status(403))],
    "missing_sign_is_400": [ANY_URL_SERVES, on_files(status(403))],
    "missing_parameters_are_named_in_their_order": [
        ANY_URL_SERVES,
        on_files(body(lambda text: text.replace(b'"timestamp"', b'"sign"'))),
    ],
    "file_id_that_is_no_uuid_is_404": [ANY_URL_SERVES, on_files(status(400))],
    "file_without_extension_is_404": [ANY_URL_SERVES],
    "files_are_not_under_v1": [ANY_URL_SERVES],
    "file_url_is_read_only": [
        Break(
            change_request=lambda good, request: (
                replace(request, method="GET") if is_file(request) else request
            )
        ),
        on_methods(header("allow", "GET"), "PUT"),
        on_methods(status(404), "DELETE"),
    ],
    "head_of_a_url_is_its_get_without_a_body": [
        on_methods(status(405), "HEAD"),
        on_methods(header("content-type", "text/html"), "HEAD"),
        Break(change_request=any_signature_counts),
    ],
    "options_of_a_url_name_its_methods": [
        on_methods(header("allow", None), "OPTIONS"),
        on_methods(status(405), "OPTIONS"),
        on_methods(lambda one: with_body(one, b"{}"), "OPTIONS"),
    ],
    "image_has_a_length_where_the_host_sends_one": [on_files(header("content-length", "1"))],
    # with the secret
    "urls_are_signed_by_the_recipe": [
        response_json(
            lambda one: edit_url(
                one, lambda url: url[:-44] + ("B" if url[-44] == "A" else "A") + url[-43:]
            )
        )
    ],
    "url_of_last_year_is_403": [Break(change_request=any_signature_counts)],
    "url_expires_after_300_seconds": [Break(change_request=any_signature_counts)],
    "url_is_valid_for_290_seconds": [timestamps_within(60)],
    "url_of_the_future_is_valid": [timestamps_within(60)],
    "signed_text_as_timestamp_is_400": [
        Break(change_request=any_signature_counts),
        on_files(status(403)),
    ],
    "signed_unknown_file_is_415": [
        Break(change_request=any_signature_counts),
        on_files(status(404)),
    ],
    # the picture
    "image_content_type_is_png": [on_files(header("content-type", "application/octet-stream"))],
    "image_has_the_files_mime_type": [on_files(header("content-type", "image/png; charset=utf-8"))],
    "image_comes_whole": [on_files(cut_off)],
    "image_decodes": [
        image(lambda raw: raw[: len(raw) // 2]),
        image(lambda _: b"<html>no picture</html>"),
        image(lambda raw: raw[:200] + b"\0\0\0\0" + raw[204:]),
        image(lambda raw: raw[:16] + b"\x00\xff\xff\xff\x00\xff\xff\xff" + raw[24:]),
        image(lambda raw: raw[:20]),
    ],
    "image_of_a_stream_decodes": [image(lambda raw: raw[: len(raw) // 2])],
    "image_is_what_its_content_type_says": [image(lambda _: drawn(64, 64, "JPEG"))],
    "image_ends_where_its_format_ends": [
        image(lambda raw: raw + b"\n"),
        image(lambda raw: raw[:-12]),
    ],
    "image_is_large_enough_to_be_seen": [
        image(lambda _: drawn(1, 1)),
        image(lambda _: drawn(512, 8)),
    ],
    "image_is_not_of_one_colour": [image(lambda _: drawn(512, 512, colour="white"))],
    "each_run_has_an_image_of_its_own": [Break(change_request=same_image_for_all)],
}
"""For each check hosts that break its promise, at the document's or the host's level."""

_MISSING_SIGN_OF_1_10 = json.dumps(
    {
        "errors": {"sign": "Missing required parameter in the query string"},
        "message": "Input payload validation failed",
    }
).encode()


DEPLOYMENTS: dict[str, list[Break]] = {
    "stream_has_no_length": [on_stream(header("content-length", "10308"))],
    "image_has_no_caching_headers": [
        on_files(header("etag", '"1"')),
        on_files(header("cache-control", "no-store")),
    ],
}
"""Hosts that do as a proxy before a host may: reported, and no failure."""

OTHER_VERSIONS: dict[str, list[Break]] = {
    "stream_opens_with_a_ping_where_the_host_sends_one": [
        frames(lambda items: [(items[0][0], b"event: ping"), *items])
    ],
    "inputs_name_the_hosts_system_variables": [
        events("workflow_started", lambda one: one["inputs"].update({"sys.user_id": "alg123"}))
    ],
    "pings_are_written_as_on_the_host": [
        frames(
            lambda items: [
                (at_s, b"data: ping" if isinstance(item, bytes) else item) for at_s, item in items
            ]
        )
    ],
    "as_attachment_names_the_file_as_the_host_does": [
        on_files(header("content-disposition", "attachment; filename=a.png"))
    ],
    "missing_sign_is_400": [on_files(body(lambda _: _MISSING_SIGN_OF_1_10))],
}
"""Hosts that do as another version does."""


def unrecorded(one: Break) -> Break:
    """The host as one of a version that was not recorded."""
    return Break(
        lambda request, found: header("x-version", "0.6.5")(one.change_response(request, found)),
        one.change_request,
    )


def cases(table: Mapping[str, list[Break]]) -> list[Any]:
    return [
        pytest.param(name, one, id=f"{name}-{at}" if at else name)
        for name, breaks in table.items()
        for at, one in enumerate(breaks)
    ]


@each(("name", "one"), cases(FAILING))
def test_check_fails_for_its_changed_host(good: Good, name: str, one: Break) -> None:
    """The check says so, with what was expected and what came, and the run fails."""
    result = run_check(OURS[name], good.target(one))
    assert result.status is Status.FAILED, result.reason
    assert result.fails()
    assert result.expected
    assert result.exchange is not None


@each(("name", "one"), cases(OTHER_VERSIONS))
def test_another_versions_value_fails_unless_the_hosts_was_not_recorded(
    good: Good, name: str, one: Break
) -> None:
    result, lenient = (run_check(OURS[name], good.target(way)) for way in (one, unrecorded(one)))
    assert (result.status, result.level) == (Status.FAILED, Level.VERSION), result.reason
    assert result.why.endswith("has it") or result.why == ""
    assert lenient.status is Status.DIFFERS, lenient.reason
    assert not lenient.fails()
    assert lenient.fails(strict=True)


@each(("name", "one"), cases(DEPLOYMENTS))
def test_what_a_deployment_may_choose_fails_nothing(good: Good, name: str, one: Break) -> None:
    result = run_check(OURS[name], good.target(one))
    assert (result.status, result.level) == (Status.DIFFERS, Level.DEPLOYMENT)
    assert not result.fails()


def test_every_check_has_an_example() -> None:
    """A check that no broken host makes fail is worth nothing."""
    assert FAILING.keys() | OTHER_VERSIONS.keys() | DEPLOYMENTS.keys() == OURS.keys()


def test_only_what_a_deployment_may_choose_is_of_that_level() -> None:
    levels = {OURS[name].level for name in DEPLOYMENTS}
    assert levels == {Level.DEPLOYMENT}
    assert Level.DEPLOYMENT not in {OURS[name].level for name in OURS.keys() - DEPLOYMENTS.keys()}


# None cries wolf
# ---------------------------------------------------------------------------------------------


def test_host_with_an_address_before_its_urls_passes(good: Good) -> None:
    """A deployment may configure FILES_URL: its URLs are absolute, which the target says, and
    nothing else changes.
    """

    def absolute(request: Request, one: Exchange) -> Exchange:
        if not may_run(request):
            return one
        text = b'"url": "/files'
        chunks = [
            Chunk(chunk.at_s, chunk.data.replace(text, b'"url": "https://dify.example/files'))
            for chunk in one.chunks
        ]
        return replace(one, chunks=tuple(chunks))

    target = good.target(Break(absolute))
    capabilities = replace(target.capabilities, files_url="https://dify.example/")
    assert (
        reasons(
            run_checks(
                Target(changed_host.ChangedHost(good, Break(absolute)), capabilities),
                list(OURS.values()),
            )
        )
        == {}
    )
    assert set(reasons(run_checks(target, list(OURS.values())))) == {"url_leads_to_the_host_itself"}


@cache
def recorded_runs() -> dict[str, Exchange]:
    return {one.name: one for one in load_exchanges(RECORDING) if is_accepted_run(one) and one.body}


def _is_stream(exchange: Exchange) -> bool:
    return exchange.media_type == "text/event-stream"


def _key(exchange: Exchange) -> str | None:
    return next(
        (value for name, value in exchange.request.headers if name.lower() == "authorization"), None
    )


def _results_of(blocking: Exchange, stream: Exchange, *areas: str) -> list[Result]:
    target = Target(RecordedTransport([]), Capabilities("unused"))
    target.shared("shared runs", lambda: Pair(blocking, Stream.of(stream)))
    return [run_check(check, target) for check in OURS.values() if check.area in areas]


def _failures(results: list[Result]) -> dict[str, str]:
    return {
        one.check.name: one.reason
        for one in results
        if one.status in (Status.FAILED, Status.DIFFERS)
    }


def _has_image(exchange: Exchange) -> bool:
    """Whether the run ended as the document promises."""
    ends = (
        Stream.of(exchange).events("workflow_finished")
        if _is_stream(exchange)
        else [exchange.json()["data"]]
    )
    outputs = ends[-1]["outputs"]
    return bool(outputs and outputs.get("files"))


@each("name", [name for name, one in recorded_runs().items() if not _is_stream(one)])
def test_recorded_blocking_run_raises_no_false_alarm(name: str) -> None:
    """Whatever the real host answered holds; a run without a picture fails for that alone."""
    run = recorded_runs()[name]
    found = _failures(_results_of(run, recorded_runs()["stream_ok_no_model"], "responses"))
    allowed = (
        set() if _has_image(run) else {"documents_own_request_succeeds", "outputs_have_an_image"}
    )
    assert found.keys() <= allowed, found
    assert bool(found) == bool(allowed)


@pytest.mark.parametrize("name", [name for name, one in recorded_runs().items() if _is_stream(one)])
def test_recorded_stream_raises_no_false_alarm(name: str) -> None:
    """Whatever the real host told holds, if the run failed or was stopped too; without a picture it
    fails for that.
    """
    run = recorded_runs()[name]
    blocking = next(
        one for one in recorded_runs().values() if not _is_stream(one) and _key(one) == _key(run)
    )
    found = _failures(_results_of(blocking, run, *STREAM_AREAS))
    allowed = set() if _has_image(run) else {"streaming_run_succeeds", "streaming_run_has_an_image"}
    assert found.keys() <= allowed, found


@pytest.mark.parametrize(
    "change", [lambda _: b"", lambda _: b"<html>", lambda _: b"null", lambda _: b"[[]]"]
)
def test_any_response_crashes_no_check(good: Good, change: Callable[[bytes], bytes]) -> None:
    """Bodies of any kind, for every request, end in verdicts."""
    target = good.target(Break(lambda _, one: body(change)(one)))
    results = run_checks(target, list(OURS.values()))
    assert [one for one in results if "crashed" in one.reason] == []


@pytest.mark.parametrize("value", [None, 1, "text", [], {}, {"files": [{}]}, [1], True, 1e999])
def test_any_value_crashes_no_check(good: Good, value: Any) -> None:
    """Each field in turn holds something else: what a check does not foresee is a verdict all the
    same.
    """
    quick = [check for check in OURS.values() if check.area in AREAS[:5]]
    for name in (
        "id",
        "status",
        "outputs",
        "files",
        "inputs",
        "elapsed_time",
        "created_at",
        "execution_metadata",
    ):
        wrong, answered = all_events(_putting(name, value)), data(**{name: value})
        both = Break(partial(_one_after_the_other, wrong, answered))
        results = run_checks(good.target(both), quick)
        assert [one.reason for one in results if "crashed" in one.reason] == []


def _putting(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda one: one["data"].update({name: value})


def _one_after_the_other(first: Break, second: Break, request: Request, one: Exchange) -> Exchange:
    return second.change_response(request, first.change_response(request, one))
