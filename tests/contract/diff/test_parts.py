"""The parts of a comparison, each without a host: trees, streams, styles, times, headers, groups,
rules.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contract.diff import response
from contract.diff.difference import Difference, RuleError, grouped, parse_ignored, without
from dify_wire.exchange import Chunk, Exchange, Request, Shortened

URL = "/files/tools/{id}.png?timestamp=1795329866&nonce={nonce}&sign={sign}="
IDS = [f"{digit * 8}-1111-4111-8111-{digit * 12}" for digit in "abcdef"]
HEADERS = (
    ("Content-Type", "application/json"),
    ("Content-Length", "1"),
    ("X-Version", "0.6.4"),
    ("X-Env", "PRODUCTION"),
)


def exchange(
    body: bytes, headers: tuple[tuple[str, str], ...] = HEADERS, status: int = 200, **more: Any
) -> Exchange:
    request = Request("POST", "/v1/workflows/run", (("Host", more.pop("host", "127.0.0.1:6060")),))
    return Exchange(request, status, headers, (Chunk(0.1, body),), seconds=0.1, **more)


def json_exchange(value: Any) -> Exchange:
    return exchange(json.dumps(value).encode())


def found(
    a: Exchange, b: Exchange, user: tuple[str, str] = ("", "")
) -> list[tuple[str, str, str, str]]:
    a, b = (_from(one, name) if name else one for one, name in zip((a, b), user, strict=True))
    differences = response.differences("one", a, b)
    return [(one.kind, one.place, one.a, one.b) for one in differences]


def _from(one: Exchange, user: str) -> Exchange:
    headers = (*one.request.headers, ("Content-Type", "application/json"))
    body = json.dumps({"user": user}).encode()
    return replace(one, request=replace(one.request, headers=headers, body=body))


def run(at: int = 0, **changes: Any) -> dict[str, Any]:
    """A blocking answer; ``at`` makes it another run's."""
    file_id, run_id, task_id = IDS[at], IDS[at + 1], IDS[at + 2]
    url = URL.format(id=file_id, nonce="0123456789abcdef"[at] * 32, sign="xyz"[at] * 43)
    data = {
        "id": run_id,
        "status": "succeeded",
        "outputs": {"files": [{"url": url, "related_id": file_id}]},
        "error": None,
        "elapsed_time": 0.5 + at,
        "total_tokens": 70 + at,
        "total_steps": 5,
        "created_at": 1795329866 + at,
    }
    return {"task_id": task_id, "workflow_run_id": run_id, "data": {**data, **changes}}


# Bodies


def test_two_runs_are_no_difference() -> None:
    """Ids, times, nonces, signatures, durations and counts are a run's own."""
    assert found(json_exchange(run(0)), json_exchange(run(3 - 1))) == []


def test_two_files_of_later_versions_are_no_difference() -> None:
    """Names, sizes and references of images are a run's own, and so is what a text shows of it."""

    def file(at: int) -> dict[str, Any]:
        name = "0123456789abcdef"[at] * 32
        reference = base64.b64encode(IDS[at].encode()).decode()
        file = {"filename": f"{name}.png", "size": 24213 + at}
        return {**file, "reference": f"dify-file-ref:{reference}"}

    def message(user: str) -> str:
        value = f"{{'response_mode': 'blocking', 'user': '{user}'}}"
        return f"inputs\n  Field required [type=missing, input_value={value}, input_type=dict]"

    one, other = (json_exchange(run(0, outputs={"files": [file(at)]})) for at in (0, 1))
    assert found(one, other) == []
    one, other = (json_exchange({"message": message(user)}) for user in ("a", "a longer name"))
    assert found(one, other) == []


CHANGED: dict[str, tuple[Callable[[dict[str, Any]], Any], tuple[str, str, str, str]]] = {
    "a key is gone": (lambda one: one["data"].pop("error"), ("keys", "body.data", "error", "-")),
    "a key is new": (lambda one: one.update(code="x"), ("keys", "body", "-", "code")),
    "another order": (
        lambda one: one.update(task_id=one.pop("task_id")),
        ("key order", "body", "task_id, workflow_run_id, data", "workflow_run_id, data, task_id"),
    ),
    "null": (lambda one: one["data"].update(error=""), ("type", "body.data.error", "null", "text")),
    "a whole number": (
        lambda one: one["data"].update(elapsed_time=1),
        ("type", "body.data.elapsed_time", "number", "integer"),
    ),
    "true is no number": (
        lambda one: one["data"].update(total_steps=True),
        ("type", "body.data.total_steps", "integer", "boolean"),
    ),
    "another word": (
        lambda one: one["data"].update(status="success"),
        ("value", "body.data.status", "'succeeded'", "'success'"),
    ),
    "another number": (
        lambda one: one["data"].update(total_steps=6),
        ("value", "body.data.total_steps", "5", "6"),
    ),
    "no tokens": (
        lambda one: one["data"].update(total_tokens=0),
        ("value", "body.data.total_tokens", "a count above 0", "a count of 0"),
    ),
    "milliseconds": (
        lambda one: one["data"].update(created_at=1795329866000),
        ("value", "body.data.created_at", "unix seconds", "unix milliseconds"),
    ),
    "one file more": (
        lambda one: one["data"]["outputs"]["files"].append({}),
        ("length", "body.data.outputs.files", "1", "2"),
    ),
    "another id for the same": (
        lambda one: one["data"].update(id=IDS[5]),
        ("identity", "body.data.id", "the uuid of body.workflow_run_id", "another uuid"),
    ),
    "the same id for another": (
        lambda one: one.update(task_id=one["workflow_run_id"]),
        ("identity", "body.workflow_run_id", "another uuid", "the uuid of body.task_id"),
    ),
}


@pytest.mark.parametrize(("change", "expected"), CHANGED.values(), ids=CHANGED)
def test_one_change_is_one_difference(
    change: Callable[[Any], Any], expected: tuple[str, str, str, str]
) -> None:
    other = run(1)
    change(other)
    assert expected in found(json_exchange(run()), json_exchange(other))
    assert {one[:2] for one in found(json_exchange(run()), json_exchange(other))} <= {
        expected[:2],
        ("identity", "body.data.id"),
    }


def test_unpadded_signature_is_a_difference() -> None:
    other = json.loads(json.dumps(run(1)).replace('="', '"'))
    assert [one[:2] for one in found(json_exchange(run()), json_exchange(other))] == [
        ("value", "body.data.outputs.files[].url")
    ]


def test_error_texts_are_compared_and_callers_are_not() -> None:
    a, b = {"message": "no alice-1 at 0x7fa9dcafb490"}, {"message": "no bob-22 at 0x7fffffffffff"}
    assert found(json_exchange(a), json_exchange(b), ("alice-1", "bob-22")) == []
    assert [one[:2] for one in found(json_exchange(a), json_exchange(b))] == [
        ("value", "body.message")
    ]


def test_own_address_is_no_difference() -> None:
    a = exchange(b"see http://127.0.0.1:6060/v1/", host="127.0.0.1:6060")
    b = exchange(b"see http://dify.example/v1/", host="dify.example")
    assert found(a, b) == []
    assert [
        one[0] for one in found(a, exchange(b"see http://else.example/v1/", host="dify.example"))
    ] == ["text"]


STYLES = {
    "compact": (
        lambda value: json.dumps(value, separators=(",", ":")),
        "a space after comma and colon",
        "no spaces",
    ),
    "indented": (
        lambda value: json.dumps(value, indent=2),
        "a space after comma and colon",
        "many lines, 2 deep",
    ),
    "unescaped": (lambda value: json.dumps(value, ensure_ascii=False), "escapes", "no escapes"),
    "newline": (lambda value: json.dumps(value) + "\n", "ends with ''", "ends with '\\n'"),
    "own": (
        lambda value: json.dumps(value).replace(": ", " :"),
        "a space after comma and colon, escapes",
        "a style of its own, ",
    ),
}


@pytest.mark.parametrize(("write", "ours", "theirs"), STYLES.values(), ids=STYLES)
def test_style_is_described_by_what_differs(
    write: Callable[[Any], str], ours: str, theirs: str
) -> None:
    value = {"message": "画", "code": "x"}
    assert found(json_exchange(value), exchange(write(value).encode())) == [
        ("style", "body", ours, theirs)
    ]


def test_text_that_only_one_has_as_json() -> None:
    assert [one[0] for one in found(json_exchange({"a": 1}), exchange(b"<p>gone"))] == ["text"]
    assert [one[0] for one in found(json_exchange({"a": 1}), exchange(b""))] == ["length"]


def test_deep_nesting_is_text() -> None:
    deep = b"[" * 100_000
    assert found(exchange(deep), exchange(deep)) == []


# Head


HEADS: dict[str, tuple[tuple[tuple[str, str], ...], tuple[str, str, str, str]]] = {
    "gone": (HEADERS[:3], ("header", "x-env", "PRODUCTION", "-")),
    "order": (
        (*HEADERS[:2], *reversed(HEADERS[2:])),
        ("header order", "headers", "x-version, x-env", "x-env, x-version"),
    ),
    "value": (
        (*HEADERS[:2], ("X-Version", "0.6.5"), HEADERS[3]),
        ("header", "x-version", "0.6.4", "0.6.5"),
    ),
    "framing": (
        (HEADERS[0], ("Transfer-Encoding", "chunked"), *HEADERS[2:]),
        ("framing", "application/json", "Content-Length", "chunked"),
    ),
    "type": (
        (("Content-Type", "application/json; charset=utf-8"), *HEADERS[1:]),
        ("header", "content-type", "application/json", "application/json; charset=utf-8"),
    ),
}


@pytest.mark.parametrize(("headers", "expected"), HEADS.values(), ids=HEADS)
def test_header_difference(
    headers: tuple[tuple[str, str], ...], expected: tuple[str, str, str, str]
) -> None:
    assert found(exchange(b"{}"), exchange(b"{}", headers)) == [expected]


def test_what_a_server_makes_itself_is_free() -> None:
    a = exchange(
        b"{}",
        (
            *HEADERS,
            ("Date", "Sun, 22 Nov 2026 06:44:26 GMT"),
            ("Server", "nginx"),
            ("Allow", "GET, HEAD"),
        ),
    )
    b = exchange(b"{}", (*HEADERS, ("Server", "uvicorn"), ("allow", "HEAD, GET")))
    assert found(a, b) == []


def test_another_status_is_one_difference_with_its_code() -> None:
    refused = exchange(b'{"code": "invalid_param", "message": "no"}', status=400)
    assert found(refused, exchange(b"<p>", status=502)) == [
        ("status", "POST /v1/workflows/run", "400 invalid_param", "502")
    ]


def test_broken_answer_is_a_difference() -> None:
    assert found(json_exchange({}), exchange(b"{", ended="cut", error="cut")) == [
        ("end", "response", "whole", "cut")
    ]


def test_times_are_notes_beyond_a_factor() -> None:
    quick, slow = (
        json_exchange({}),
        replace(json_exchange({}), chunks=(Chunk(2.0, b"{}"),), seconds=2.0),
    )
    assert [one[:2] for one in found(quick, slow)] == [
        ("timing", "first byte"),
        ("timing", "whole response"),
    ]
    assert found(slow, replace(slow, seconds=5.9)) == []


# Streams


def frame(event: str, **data: Any) -> bytes:
    return b"data: " + json.dumps({"event": event, "task_id": IDS[0], "data": data}).encode()


FRAMES = [
    frame("workflow_started", sequence_number=3),
    frame("node_started", node_type="llm"),
    frame("node_finished", node_type="llm", outputs={"text": "a tree"}, elapsed_time=12.0),
    frame("node_finished", node_type="tool", inputs={"prompt": "draw a tree"}),
    frame("workflow_finished", sequence_number=3, elapsed_time=12.5),
]


def stream(*frames: bytes, end: bytes = b"\n\n", tail: bytes = b"") -> Exchange:
    return exchange(
        end.join(frames) + end + tail,
        (("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")),
    )


def stopped_run(nodes: int) -> Exchange:
    """A run that was stopped while its last node ran."""
    kinds = ("start", "llm", "if-else", "tool")[:nodes]
    frames = [frame("workflow_started", id=IDS[0])]
    for kind in kinds:
        frames.append(frame("node_started", node_type=kind))
        frames += [frame("node_finished", node_type=kind)] if kind != kinds[-1] else []
    end = frame(
        "workflow_finished",
        status="stopped",
        total_steps=nodes,
        total_tokens=nodes - 1,
        error="Stopped",
    )
    return stream(*frames, end)


def test_how_far_a_stopped_run_had_come_is_no_difference() -> None:
    """A slower host is stopped at another node; what the end says besides is compared."""
    assert found(stopped_run(4), stopped_run(1)) == []
    succeeded = stream(
        frame("workflow_started", id=IDS[0]), frame("workflow_finished", status="succeeded")
    )
    assert found(stopped_run(1), succeeded) != []


def test_prompt_that_a_model_repeats_is_no_difference() -> None:
    """The model of one side gives its prompt back: what both were asked is the same all the
    same.
    """

    def llm(reply: str) -> Exchange:
        process = {"prompts": [{"text": "a cat"}]}
        ended = frame(
            "node_finished", node_type="llm", process_data=process, outputs={"text": reply}
        )
        return stream(ended, frame("node_started", node_type="tool", inputs={"prompt": reply}))

    assert found(llm("a cat"), llm("a black cat in the rain")) == []
    assert found(llm("a black cat in the rain"), llm("a cat")) == []


def test_what_a_model_wrote_is_no_difference_wherever_it_went() -> None:
    other = [one.replace(b"a tree", b"two birds") for one in FRAMES]
    assert found(stream(*FRAMES), stream(*other)) == []
    lost = [one.replace(b"draw a tree", b"draw") for one in FRAMES]
    assert [one[:2] for one in found(stream(*FRAMES), stream(*lost))] == [
        ("value", "node_finished (tool).data.inputs.prompt")
    ]


PING = b"event: ping"
STREAMS: dict[str, tuple[Exchange, Exchange, tuple[str, str, str, str]]] = {
    "lost event": (
        stream(*FRAMES),
        stream(*FRAMES[:1], *FRAMES[2:]),
        ("events", "after workflow_started", "node_started (llm)", "-"),
    ),
    "new frame": (
        stream(*FRAMES),
        stream(*FRAMES, b"data: [DONE]"),
        ("events", "after workflow_finished", "-", "data: [DONE]"),
    ),
    "CRLF": (
        stream(*FRAMES),
        stream(*FRAMES, end=b"\r\n\r\n"),
        ("frame", "end of a frame", "\\n\\n", "\\r\\n\\r\\n"),
    ),
    "no blank": (
        stream(*FRAMES),
        stream(*(one.replace(b"data: ", b"data:", 1) for one in FRAMES)),
        ("frame", "frames", "data: JSON", "data:JSON"),
    ),
    "tail": (
        stream(*FRAMES),
        stream(*FRAMES, tail=b"data"),
        ("frame", "after the last frame", "''", "'data'"),
    ),
    "ping form": (
        stream(FRAMES[0], PING, *FRAMES[1:]),
        stream(FRAMES[0], b": ping", *FRAMES[1:]),
        ("ping", "stream", "event: ping", ": ping"),
    ),
    "no ping where one was due": (
        stream(FRAMES[0], PING, *FRAMES[1:]),
        stream(*FRAMES),
        ("ping", "stream", "event: ping", "-"),
    ),
    "ping at the end": (
        stream(FRAMES[0], PING, *FRAMES[1:]),
        stream(FRAMES[0], PING, *FRAMES[1:], PING),
        ("ping", "place", "between events", "last"),
    ),
    "counted anew at the end": (
        stream(*FRAMES),
        stream(*FRAMES[:-1], FRAMES[-1].replace(b'"sequence_number": 3', b'"sequence_number": 4')),
        (
            "identity",
            "workflow_finished.data.sequence_number",
            "the sequence_number of workflow_started.data.sequence_number",
            "another sequence_number",
        ),
    ),
}


@pytest.mark.parametrize(("a", "b", "expected"), STREAMS.values(), ids=STREAMS)
def test_stream_difference(a: Exchange, b: Exchange, expected: tuple[str, str, str, str]) -> None:
    assert found(a, a) == found(b, b) == []
    assert set(found(a, b)) == {expected}


def test_pings_of_a_slower_run_are_no_difference() -> None:
    quick = [one.replace(b"12.", b"2.") for one in FRAMES]
    assert found(stream(FRAMES[0], PING, *FRAMES[1:]), stream(*quick)) == []


# Pictures


def png(width: int = 512, end: bytes = b"IEND\xaeB`\x82") -> Exchange:
    head = (
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
        + width.to_bytes(4, "big") * 2
        + b"\x08\x02\x00\x00\x00"
    )
    return exchange(head + b"pixels" + end, (("Content-Type", "image/png"),))


def test_pictures_differ_in_kind_and_size_alone() -> None:
    jpeg = exchange(b"\xff\xd8\xff\xe0\x00", (("Content-Type", "image/png"),))
    reported = "PNG 512x512, 8 bits, colour type 2"
    assert found(png(), png()) == []
    assert found(png(), png(1)) == [("image", "body", reported, "PNG 1x1, 8 bits, colour type 2")]
    assert found(png(), png(end=b"")) == [
        ("image", "body", reported, f"{reported}, its end missing")
    ]
    assert found(png(), jpeg) == [("image", "body", reported, "JPEG")]
    kept = response.differences("one", replace(png(end=b""), shortened=Shortened(9)), png())
    assert kept == []


# Groups and rules


def one(
    request: str, place: str = "body", *, a: str = "x", kind: str = "value", form: str = ""
) -> Difference:
    return Difference(request, kind, place, a, "y", form)


def test_one_cause_is_one_group() -> None:
    groups = grouped([one("r1"), one("r2"), one("r2"), one("r3", "head")])
    assert [(group.place, group.count, group.examples) for group in groups] == [
        ("body", 2, ("r1", "r2")),
        ("head", 1, ("r3",)),
    ]


def test_many_values_at_one_place_are_one_group() -> None:
    groups = grouped([one(f"r{number}", a=str(number)) for number in range(10)])
    assert [(group.count, group.forms, len(group.examples)) for group in groups] == [(10, 10, 5)]
    assert groups[0].identity == ("value", "body")


def test_what_all_events_share_is_one_group() -> None:
    places = [f"node_started ({kind}).data.id" for kind in ("llm", "tool", "end")] + [
        "body.data.id"
    ]
    groups = grouped([one("r1", place) for place in places])
    assert [set(group.places) for group in groups] == [{"body.data.id", "every event.data.id"}]


def test_added_field_is_one_group_wherever_the_object_stands() -> None:
    """A file has it in the answer and in many frames: one card with the places, and its requests
    counted once.
    """
    places = [
        "body.data.outputs.files[]",
        "node_finished (tool).data.outputs.files[]",
        "workflow_finished.data.files[]",
    ]
    differences = [
        Difference(f"r{number % 2}", "keys", place, "-", "size")
        for number, place in enumerate(places * 2)
    ]
    (group,) = grouped(differences)
    assert (group.count, set(group.places), group.a, group.b) == (2, set(places), "-", "size")
    (alone,) = grouped(differences[:1])
    assert group.identity == alone.identity, (
        "tonight's is last night's, though it was seen in fewer places"
    )


def test_one_value_in_two_fields_is_two_groups() -> None:
    groups = grouped([one("r", "body.status", kind="type"), one("r", "body.error", kind="type")])
    assert [group.place for group in groups] == ["body.error", "body.status"]


def test_times_group_by_who_is_slower() -> None:
    groups = grouped(
        [one(f"r{number}", a=str(number), kind="timing", form="slower") for number in range(9)]
    )
    assert [group.count for group in groups] == [9]
    assert groups[0].is_note


def test_rules_leave_out() -> None:
    all_three = [one("r", "body.data.id"), one("r", "body.data"), one("r", "x-env", kind="header")]
    deep = one("r", "body.a[].b[].c")
    assert without([deep], [parse_ignored("value:body.a[].b[].c")]) == []
    event = one("r", "node_started (llm).data.id")
    assert without([event], [parse_ignored("value:every event.data.id")]) == []
    for rule, left in (
        ("value", 1),
        ("value:body.data.*", 2),
        ("*:x-*", 2),
        ("header:x-version", 3),
        ("*:*", 0),
    ):
        assert len(without(all_three, [parse_ignored(rule)])) == left, rule


@pytest.mark.parametrize(
    ("rule", "reported"),
    [
        ("hedaer:x", "did you mean 'header'?"),
        ("value:", "names no place"),
        ("*", "nothing to compare"),
        ("?", "write one of"),
    ],
)
def test_bad_rule_says_what_is_wrong(rule: str, reported: str) -> None:
    with pytest.raises(RuleError, match=reported.replace("?", r"\?")):
        parse_ignored(rule)
