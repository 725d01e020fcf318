"""Every behaviour as bytes on a socket: what comes, in which chunks, when by the fake's clock, and
how it ends.
"""

from __future__ import annotations

import itertools
import json
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pytest

from tests.each import each
from tests.scenarios.bench import Bench, Client, Seen, event_name
from tests.scenarios.coverage import missing

pytestmark = pytest.mark.server

STORY = [
    "workflow_started",
    *itertools.chain.from_iterable(["node_started", "node_finished"] for _ in range(5)),
    "workflow_finished",
]
NGINX_502 = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n"
    b"<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    b"<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n"
)


Look = Callable[[Seen], None]


@dataclass(frozen=True, slots=True)
class Case:
    """A request with a scenario, and what has to be true of what is seen.

    ``mode`` is blocking, streaming, "file" (a blocking run with a user's image), "image" (the
    download carries the scenario) or "kept" (the run before it did). ``step_s`` is 0 where nothing
    waits; else the clock is moved by so much, until ``until_s``.
    """

    scenario: str
    mode: str
    look: Look
    step_s: float
    until_s: float

    def __str__(self) -> str:
        return f"{self.scenario} [{self.mode}]"

    def seen(self, bench: Bench) -> Seen:
        bench.reset()
        match self.mode:
            case "file":
                request = bench.run_with_file(self.scenario)
            case "image":
                request = bench.image(self.scenario)
            case "kept":
                request = bench.request("GET", bench.image_url(self.scenario))
            case _:
                request = bench.run(self.mode, self.scenario)
        return bench.see(request, self.step_s, self.until_s)


CASES: list[Case] = []


def case(
    scenario: str, *modes: str, step_s: float = 0.0, until_s: float = 1_000.0
) -> Callable[[Look], Look]:
    """Let the function look at what ``scenario`` does, in each of ``modes``."""

    def enter(look: Look) -> Look:
        CASES.extend(Case(scenario, mode, look, step_s, until_s) for mode in modes)
        return look

    return enter


BOTH = ("blocking", "streaming")


# Nodes
# ---


def _node(seen: Seen, kind: str) -> dict[str, object]:
    return next(data for data in seen.events("node_finished") if data["node_type"] == kind)


def _between(seen: Seen, kind: str) -> float:
    """How long the node of that kind was seen to be at work."""
    at_s = [at_s for at_s, frame in seen.frames if f'"node_type": "{kind}"'.encode() in frame]
    return at_s[1] - at_s[0]


@case("slow", "streaming", step_s=1.0)
def the_slowest_node_takes_a_minute(seen: Seen) -> None:
    assert _node(seen, "tool")["elapsed_time"] == 60.0
    assert _between(seen, "tool") == 60.0
    assert [name for name in seen.event_names if name != "ping"] == STORY
    assert seen.event_names.count("ping") == 6


@case("slow", "blocking", step_s=1.0)
def the_answer_takes_a_minute(seen: Seen) -> None:
    assert 60 < seen.result["elapsed_time"] < 70
    assert seen.result["elapsed_time"] <= seen.came_s < seen.result["elapsed_time"] + 1


@case("slow; node=llm; seconds=7", "streaming", step_s=0.5)
def the_named_node_takes_so_long(seen: Seen) -> None:
    assert _node(seen, "llm")["elapsed_time"] == 7.0
    assert _between(seen, "llm") == 7.0
    assert _between(seen, "tool") < 30


@case("slow; real_seconds=3", "streaming", step_s=0.5)
def the_slowest_node_takes_and_reports_so_long(seen: Seen) -> None:
    assert _node(seen, "tool")["elapsed_time"] == 3.0
    assert _between(seen, "tool") == 3.0


@case("slow; seconds=90; real_seconds=3", "blocking", step_s=0.5)
def the_answer_reports_more_than_it_took(seen: Seen) -> None:
    assert seen.result["elapsed_time"] > 90
    assert seen.came_s < 15


NO_MODEL = "Failed to invoke tool: Failed to set model, please tell user to set model"


@case("node_failed", *BOTH)
def the_tool_fails_and_the_run_with_it(seen: Seen) -> None:
    assert seen.status == 200
    assert (seen.result["status"], seen.result["outputs"]) == ("failed", None)
    assert seen.result["error"] == f"Node Stable Diffusion WebUI 2 run failed: {NO_MODEL}"


@case("node_failed; node=llm", *BOTH)
def a_model_fails_in_words_of_its_own(seen: Seen) -> None:
    assert "[openai_api_compatible] Error: API request failed" in seen.result["error"]


@case("node_failed; node=if-else", *BOTH)
@case("node_failed; node=end", *BOTH)
def no_other_node_speaks_of_a_tool(seen: Seen) -> None:
    assert re.fullmatch(
        r"Node (条件分支|结束) run failed: Invalid (actual value type: string|value selector)",
        seen.result["error"],
    )


@case("node_failed; node=llm; error=out of luck", *BOTH)
def the_named_node_fails_with_those_words(seen: Seen) -> None:
    assert seen.status == 200
    assert seen.result["error"] == "Node LLM run failed: out of luck"


@case("tool_failed_silently", *BOTH)
def the_run_succeeds_without_an_image(seen: Seen) -> None:
    assert (seen.result["status"], seen.result["error"]) == ("succeeded", None)
    assert seen.result["outputs"] == {"files": []}


@case("tool_failed_silently; text=nothing today", "streaming")
def the_tool_says_something_else(seen: Seen) -> None:
    assert _node(seen, "tool")["outputs"] == {"text": "nothing today", "files": []}
    assert seen.result["outputs"] == {"files": []}


# Answers in the host's place
# ---

INTERNAL = b'{"message": "Internal Server Error", "code": "unknown"}\n'


@case("http_error", *BOTH, "image")
def the_host_s_own_json_says_500(seen: Seen) -> None:
    assert (seen.status, seen.headers["content-type"], seen.end) == (
        500,
        "application/json",
        "whole",
    )
    assert json.loads(seen.body)["message"]
    assert seen.headers["x-version"] == "0.6.4"


@case("http_error; status=404", *BOTH)
def the_host_s_own_json_says_404(seen: Seen) -> None:
    assert seen.status == 404
    assert seen.body.startswith(
        b'{"code": "not_found", "message": "The requested URL was not found on the server. If'
    )
    assert seen.body.endswith(b'", "status": 404}\n')


@case("http_error; status=503; body=html", *BOTH, "image")
def the_proxy_s_page_says_503(seen: Seen) -> None:
    assert (seen.status, seen.headers["content-type"]) == (503, "text/html")
    assert seen.body == NGINX_502.replace(
        b"502 Bad Gateway", b"503 Service Temporarily Unavailable"
    )


@case("http_error; status=502; body=empty", *BOTH)
def there_is_no_body(seen: Seen) -> None:
    assert (seen.status, seen.headers["content-length"], seen.body, seen.end) == (
        502,
        "0",
        b"",
        "whole",
    )


@case("http_error; body=malformed", *BOTH)
def the_json_is_broken(seen: Seen) -> None:
    assert (seen.headers["content-type"], seen.end) == ("application/json", "whole")
    with pytest.raises(json.JSONDecodeError):
        json.loads(seen.body)


@case('http_error; status=418; code=teapot; message="short, and stout"', *BOTH)
def code_and_message_are_the_given_ones(seen: Seen) -> None:
    assert seen.status == 418
    assert seen.body == b'{"code": "teapot", "message": "short, and stout", "status": 418}\n'


@case("http_error; status=204", "blocking")
@case("http_error; status=304", "blocking")
@case("http_error; status=204; body=html", *BOTH)
@case("http_error; status=304; body=html", "image")
def an_answer_that_has_no_body_gets_none(seen: Seen) -> None:
    assert (seen.raw.partition(b"\r\n\r\n")[2], seen.end) == (b"", "whole")


@case("gateway_timeout", *BOTH, step_s=1.0)
def nginx_gives_up_after_100_s(seen: Seen) -> None:
    assert (seen.status, seen.headers["content-type"], seen.came_s) == (504, "text/html", 100.0)
    assert seen.body == NGINX_502.replace(b"502 Bad Gateway", b"504 Gateway Time-out")


@case("gateway_timeout; after_s=30; status=524", *BOTH, step_s=1.0)
def cloudflare_gives_up_after_30_s(seen: Seen) -> None:
    assert (seen.status, seen.came_s) == (524, 30.0)
    assert b"<title>524: A timeout occurred</title>" in seen.body
    assert "x-version" not in seen.headers


@case("rate_limited", *BOTH, "image")
def a_later_dify_limits_the_rate(seen: Seen) -> None:
    assert (seen.status, seen.headers["retry-after"]) == (429, "30")
    assert (
        seen.body == b'{"code": "rate_limit_error", "message": "Rate Limit Error", "status": 429}\n'
    )


@case("rate_limited; retry_after_s=7; form=cloudflare", *BOTH)
def cloudflare_limits_the_rate(seen: Seen) -> None:
    assert (seen.status, seen.headers["retry-after"]) == (429, "7")
    assert seen.headers["content-type"] == "text/html; charset=UTF-8"
    assert b"<title>Error 1015</title>" in seen.body


@case("concurrency_limit", *BOTH)
def the_limit_counts_as_reached(seen: Seen) -> None:
    assert seen.status == 429
    assert seen.json["code"] == "too_many_requests"
    assert seen.json["message"].endswith(" is 1.")


@case("concurrency_limit; limit=1", *BOTH)
def below_the_limit_nothing_happens(seen: Seen) -> None:
    assert seen.result["status"] == "succeeded"


# Outcomes
# ---


@case("run_failed", *BOTH)
def the_run_fails_without_a_failed_node(seen: Seen) -> None:
    assert (seen.result["status"], seen.result["outputs"]) == ("failed", None)
    assert seen.result["error"] == "Max steps 30 reached."
    assert b'"status": "failed"' in seen.body
    assert seen.body.count(b'"status": "failed"') == 1


@case("run_failed; error=磁盘已满", *BOTH)
def the_run_fails_with_those_words(seen: Seen) -> None:
    assert seen.result["error"] == "磁盘已满"
    assert b"\\u78c1\\u76d8\\u5df2\\u6ee1" in seen.body


@case("stopped", "streaming", step_s=0.5)
def the_run_is_stopped_half_way(seen: Seen) -> None:
    assert (seen.result["status"], seen.result["error"]) == ("stopped", "Workflow stopped.")
    assert seen.event_names.count("node_started") == seen.event_names.count("node_finished") + 1
    assert 5 < seen.result["elapsed_time"] <= seen.ended_s < 15


@case("stopped; after_s=1", "blocking", step_s=0.5)
def the_run_is_stopped_after_the_given_time(seen: Seen) -> None:
    assert (seen.status, seen.came_s) == (200, 1.0)
    assert (seen.result["status"], seen.result["elapsed_time"], seen.result["outputs"]) == (
        "stopped",
        1.0,
        None,
    )


@case("stopped; after_s=0", "streaming")
def a_run_that_is_stopped_at_once_has_begun(seen: Seen) -> None:
    assert seen.event_names == ["workflow_started", "workflow_finished"]
    assert seen.result["status"] == "stopped"


@case("stopped; after_s=1000", *BOTH)
def a_run_that_ends_before_is_not_stopped(seen: Seen) -> None:
    assert seen.result["status"] == "succeeded"


@case("run_limit_600s", *BOTH, step_s=10.0)
def the_host_stops_a_run_after_600_s(seen: Seen) -> None:
    assert (seen.result["status"], seen.result["elapsed_time"]) == (
        "stopped",
        600.7,
    )  # as recorded: FACTS 4
    assert 600.7 < seen.ended_s <= 610.0
    assert _node_still_at_work(seen)


def _node_still_at_work(seen: Seen) -> bool:
    return not seen.frames or seen.event_names.count("node_started") > seen.event_names.count(
        "node_finished"
    )


@case("unknown_status", *BOTH)
def the_status_is_of_a_later_version(seen: Seen) -> None:
    assert seen.result["status"] == "partial-succeeded"
    assert len(seen.result["outputs"]["files"]) == 1


@case("unknown_status; status=paused", *BOTH)
def the_status_is_the_given_one(seen: Seen) -> None:
    assert seen.result["status"] == "paused"


# Events
# ---


def _apart_from_pings(seen: Seen) -> list[str]:
    return [name for name in seen.event_names if name != "ping"]


@case("no_terminal_event", "streaming")
def the_stream_ends_in_good_order_but_untold(seen: Seen) -> None:
    assert seen.end == "whole"
    assert _apart_from_pings(seen) == STORY[:-1]


@case("no_terminal_event", "blocking")
@case("double_terminal_event", "blocking")
@case("reordered_events", "blocking")
@case("unknown_event", "blocking")
@case("error_event", "blocking")
@case("ping_storm", "blocking")
@case("no_ping", "blocking")
@case("data_ping", "blocking")
@case("buffered_stream", "blocking")
@case("coalesced_frames", "blocking")
@case("malformed_event", "blocking")
def a_blocking_answer_is_not_concerned(seen: Seen) -> None:
    assert (seen.result["status"], seen.end, len(seen.chunks)) == ("succeeded", "whole", 1)


@case("double_terminal_event", "streaming")
def the_end_comes_twice(seen: Seen) -> None:
    assert _apart_from_pings(seen) == [*STORY, "workflow_finished"]
    assert seen.frames[-1][1] == seen.frames[-2][1]
    assert seen.end == "whole"


@case("endless_stream", "streaming", step_s=1.0, until_s=120)
def pings_go_on_and_on(seen: Seen) -> None:
    assert seen.end == "open"
    assert _apart_from_pings(seen) == STORY[:-1]
    pings = [at_s for at_s, frame in seen.frames if event_name(frame) == "ping"]
    assert len(pings) == 11
    assert {later - earlier for earlier, later in itertools.pairwise(pings)} <= {10.0, 11.0}


@case("endless_stream", "blocking", step_s=1.0, until_s=120)
def a_blocking_call_hangs(seen: Seen) -> None:
    assert (seen.raw, seen.end) == (b"", "open")


@case("unknown_event", "streaming")
def an_event_of_a_later_version_comes_between(seen: Seen) -> None:
    assert _apart_from_pings(seen) == [STORY[0], "text_chunk", *STORY[1:]]
    assert seen.end == "whole"


@case("unknown_event; event=agent_log; after=4", "streaming")
def an_event_of_another_name_comes_later(seen: Seen) -> None:
    assert _apart_from_pings(seen) == [*STORY[:4], "agent_log", *STORY[4:]]


@case("error_event", "streaming")
def an_error_ends_the_stream(seen: Seen) -> None:
    assert _apart_from_pings(seen) == [*STORY[:3], "error"]
    assert seen.end == "whole"
    error = json.loads(seen.frames[-1][1].removeprefix(b"data: "))
    assert (error["code"], error["status"]) == ("completion_request_error", 400)


@case("error_event; code=c; message=m; status=500; after=100", "streaming")
def an_error_comes_instead_of_the_end(seen: Seen) -> None:
    assert _apart_from_pings(seen) == [*STORY[:-1], "error"]
    error = json.loads(seen.frames[-1][1].removeprefix(b"data: "))
    assert (error["code"], error["message"], error["status"]) == ("c", "m", 500)


@case("reordered_events", "streaming")
def a_node_finishes_before_it_starts(seen: Seen) -> None:
    assert _apart_from_pings(seen) == [STORY[0], "node_finished", "node_started", *STORY[3:]]


@case("reordered_events; after=2", "streaming")
def a_node_starts_before_the_one_before_it_has_finished(seen: Seen) -> None:
    assert _apart_from_pings(seen) == [
        STORY[0],
        "node_started",
        "node_started",
        "node_finished",
        *STORY[4:],
    ]
    assert b'"node_type": "llm"' in seen.frames[2][1]


@case("ping_storm", "streaming", step_s=0.1)
def a_ping_every_tenth_of_a_second(seen: Seen) -> None:
    pings = [at_s for at_s, frame in seen.frames if event_name(frame) == "ping"]
    assert len(pings) == int(seen.result["elapsed_time"] / 0.1)
    assert pings[:3] == [0.1, 0.2, 0.3]


@case("ping_storm; every_s=3", "streaming", step_s=1.0)
def pings_as_often_as_given(seen: Seen) -> None:
    pings = [at_s for at_s, frame in seen.frames if event_name(frame) == "ping"]
    assert pings == [3.0 * number for number in range(1, len(pings) + 1)]


@case("no_ping", "streaming", step_s=1.0)
def no_ping_ever(seen: Seen) -> None:
    assert seen.event_names == STORY
    assert seen.ended_s > 12


@case("data_ping", "streaming", step_s=1.0)
def pings_come_as_data(seen: Seen) -> None:
    pings = [at_s for at_s, frame in seen.frames if frame == b"data: ping\n\n"]
    assert pings == [2.0 * number for number in range(1, len(pings) + 1)]
    assert len(pings) > 5
    assert b"event: ping" not in seen.body


@case('data_ping; frame=":ok"; every_s=4', "streaming", step_s=1.0)
def pings_have_the_given_form(seen: Seen) -> None:
    assert [at_s for at_s, data in seen.chunks if data == b":ok\n\n"] == [4.0, 8.0, 12.0, 16.0]


@case("extra_fields", *BOTH)
def every_object_has_a_field_more(seen: Seen) -> None:
    frames = [
        frame.removeprefix(b"data: ") for _, frame in seen.frames if event_name(frame) != "ping"
    ]
    objects = list(
        itertools.chain.from_iterable(_objects(json.loads(text)) for text in frames or [seen.body])
    )
    assert len(objects) > 3
    assert all(one["x_added_later"] == "a later version says more" for one in objects)


def _objects(value: object) -> Iterator[dict[str, object]]:
    inner: Iterable[object] = ()
    if isinstance(value, dict):
        yield value
        inner = value.values()
    elif isinstance(value, list):
        inner = value
    for one in inner:
        yield from _objects(one)


@case("extra_fields; name=trace_id", "blocking")
def the_field_has_the_given_name(seen: Seen) -> None:
    assert seen.json["trace_id"] == seen.json["data"]["trace_id"] == "a later version says more"
    assert "trace_id" in seen.result["outputs"]["files"][0]


# URLs and images
# ---


def _urls(seen: Seen) -> set[str | None]:
    return {json.loads(text) for text in re.findall(rb'"url": ("[^"]*"|null)', seen.body)}


def _url(seen: Seen) -> str:
    [url] = _urls(seen)
    assert url is not None
    return url


_PATH = r"/files/tools/[0-9a-f-]{36}\.png"
_QUERY = r"\?timestamp=(\d{10})&nonce=[0-9a-f]{32}&sign=[\w-]{43}="


@case("null_url", *BOTH)
def no_file_has_a_url(seen: Seen) -> None:
    assert _urls(seen) == {None}


@case("absolute_url", *BOTH)
def the_url_has_an_address(seen: Seen) -> None:
    assert all(re.fullmatch(r"http://localhost" + _PATH + _QUERY, str(url)) for url in _urls(seen))


@case("absolute_url; base=https://images.test/x", "blocking")
def the_url_has_the_given_address(seen: Seen) -> None:
    assert re.fullmatch(r"https://images\.test/x" + _PATH + _QUERY, _url(seen))


@case("wrong_host", "blocking")
def the_url_leads_nowhere(seen: Seen) -> None:
    assert re.fullmatch(r"http://files\.invalid" + _PATH + _QUERY, _url(seen))


@case("wrong_host; base=http://api:5001", *BOTH)
def the_url_leads_into_the_container(seen: Seen) -> None:
    assert all(str(url).startswith("http://api:5001/files/") for url in _urls(seen))


def _age_s(seen: Seen) -> int:
    match = re.fullmatch(_PATH + _QUERY, _url(seen))
    assert match
    return int(seen.result["finished_at"]) - int(match[1])


@case("expired_url", "blocking")
def the_url_was_signed_long_ago(seen: Seen) -> None:
    assert 301 <= _age_s(seen) <= 302


@case("expired_url; age_s=100", "blocking")
def the_url_was_signed_so_long_ago(seen: Seen) -> None:
    assert 100 <= _age_s(seen) <= 101


@case("expired_url", "image", "kept")
def the_image_is_refused(seen: Seen) -> None:
    assert seen.status == 403
    assert seen.body == b'{"code": "forbidden", "message": "Invalid request.", "status": 403}\n'


@case("unsigned_url", *BOTH)
def the_url_has_no_query(seen: Seen) -> None:
    assert all(re.fullmatch(_PATH, str(url)) for url in _urls(seen))


@case("unsigned_url", "kept")
def what_is_unsigned_is_refused(seen: Seen) -> None:
    assert seen.status == 400
    assert seen.json["params"] == "timestamp"


@case("missing_blob", "image", "kept")
def the_proxy_says_that_the_image_is_gone(seen: Seen) -> None:
    assert (seen.status, seen.body) == (502, NGINX_502)


@case("missing_blob", "blocking")
@case("corrupt_png", "streaming")
@case("huge_png", "blocking")
def the_run_itself_shows_nothing_of_it(seen: Seen) -> None:
    assert seen.result["status"] == "succeeded"
    assert re.fullmatch(_PATH + _QUERY, str(seen.result["outputs"]["files"][0]["url"]))


PNG = b"\x89PNG\r\n\x1a\n"


@case("corrupt_png", "image", "kept")
def the_png_breaks_off(seen: Seen) -> None:
    assert (seen.status, seen.headers["content-type"], seen.end) == (200, "image/png", "whole")
    assert seen.body.startswith(PNG)
    assert b"IEND" not in seen.body


@case("corrupt_png; how=flipped", "image", "kept")
def the_png_has_flipped_bits(seen: Seen) -> None:
    assert (seen.status, seen.headers["content-type"], seen.end) == (200, "image/png", "whole")
    assert seen.body.endswith(b"IEND\xaeB`\x82")
    assert not all(zlib.crc32(kind + data) == crc for kind, data, crc in _png_chunks(seen.body))


@case("corrupt_png; how=html", "image", "kept")
def the_png_is_a_page(seen: Seen) -> None:
    assert (seen.status, seen.headers["content-type"]) == (200, "image/png")
    assert seen.body.startswith(b"<!doctype html>")


def _png_chunks(png: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    at = len(PNG)
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        data = png[at + 8 : at + 8 + length]
        yield (
            png[at + 4 : at + 8],
            data,
            struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0],
        )
        at += 12 + length


@case("huge_png", "image")
def the_png_has_256_million_pixels(seen: Seen) -> None:
    assert struct.unpack(">II", seen.body[16:24]) == (16_000, 16_000)
    assert len(seen.body) < 1_000_000
    assert all(zlib.crc32(kind + data) == crc for kind, data, crc in _png_chunks(seen.body))


@case("huge_png; side=64; megabytes=2", "image", "kept")
def the_png_has_the_given_size(seen: Seen) -> None:
    assert struct.unpack(">II", seen.body[16:24]) == (64, 64)
    assert 2_000_000 < len(seen.body) < 2_001_000
    chunks = list(_png_chunks(seen.body))
    assert [kind for kind, _, _ in chunks] == [b"IHDR", b"fkPd", b"IDAT", b"IEND"]
    assert len(zlib.decompress(chunks[2][1])) == 64 * (1 + 8)


# Bytes on their way
# ---


@case("buffered_stream", "streaming", step_s=1.0)
def head_and_stream_come_at_once_at_the_end(seen: Seen) -> None:
    assert len(seen.chunks) == 1
    assert _apart_from_pings(seen) == STORY
    assert seen.came_s == seen.ended_s > 12


@case("coalesced_frames", "streaming", step_s=1.0)
def three_frames_come_in_a_chunk(seen: Seen) -> None:
    counts = [data.count(b"\n\n") for _, data in seen.chunks]
    assert set(counts[:-1]) == {3}
    assert sum(counts) == len(seen.event_names)
    assert all(data.endswith(b"\n\n") for _, data in seen.chunks)
    assert seen.came_s > 0


@case("coalesced_frames; count=5", "streaming")
def so_many_frames_come_in_a_chunk(seen: Seen) -> None:
    assert [data.count(b"\n\n") for _, data in seen.chunks][:2] == [5, 5]
    assert _apart_from_pings(seen) == STORY


@case("split_frames", "streaming")
def a_frame_comes_in_chunks_of_seven_bytes(seen: Seen) -> None:
    assert {len(data) for _, data in seen.chunks} <= set(range(1, 8))
    assert [len(data) for _, data in seen.chunks][:3] == [7, 7, 7]
    assert seen.result["status"] == "succeeded"


@case("split_frames; every=100", "streaming")
def a_frame_comes_in_chunks_of_the_given_size(seen: Seen) -> None:
    assert [len(data) for _, data in seen.chunks][:3] == [100, 100, 100]
    assert seen.result["status"] == "succeeded"


@case("split_frames; where=escape", "streaming")
def chunks_end_inside_of_escapes(seen: Seen) -> None:
    inside = [data for _, data in seen.chunks if re.search(rb"\\u[0-9a-f]$", data)]
    assert len(inside) == len(re.findall(rb"\\u[0-9a-f]{4}", seen.body)) > 0
    assert seen.result["status"] == "succeeded"


@case("split_frames; where=utf8", "streaming")
def chunks_end_inside_of_characters(seen: Seen) -> None:
    assert b"\\u" not in seen.body
    inside = [data for _, data in seen.chunks if data[-1] >= 0xC0]
    assert len(inside) == sum(byte >= 0xC0 for byte in seen.body) > 0
    assert (seen.result["status"], seen.end) == ("succeeded", "whole")


@case("split_frames; every=100; pause_s=0.5", *BOTH, step_s=0.5)
def between_the_pieces_lies_the_pause(seen: Seen) -> None:
    pieces = seen.pieces if "content-length" in seen.headers else seen.pieces[1:4]  # of one frame
    assert len(pieces) > 2
    assert {later - earlier for (earlier, _), (later, _) in itertools.pairwise(pieces)} == {0.5}
    assert seen.result["status"] == "succeeded"


@case("split_frames", "blocking", step_s=0.1)
def a_body_comes_in_pieces_of_seven_bytes(seen: Seen) -> None:
    sizes = {len(data) for _, data in seen.pieces[1:-1]}  # five of them in a tenth of a second
    assert sizes <= {28, 35, 42}
    assert 35 in sizes
    assert seen.result["status"] == "succeeded"


@case("run_failed; error=磁盘, split_frames; where=escape; pause_s=1", "blocking", step_s=1.0)
def pieces_end_inside_of_escapes(seen: Seen) -> None:
    assert [data[-3:] for _, data in seen.pieces[:-1]] == [b"\\u7", b"\\u7"]
    assert seen.result["error"] == "磁盘"


@case("run_failed; error=磁盘, split_frames; where=utf8; pause_s=1", "blocking", step_s=1.0)
def pieces_end_inside_of_characters(seen: Seen) -> None:
    assert [data[-1:] for _, data in seen.pieces[:-1]] == ["磁".encode()[:1], "盘".encode()[:1]]
    assert (seen.result["error"], seen.end) == ("磁盘", "whole")


@case("cut_stream", "streaming")
def the_connection_ends_after_three_events(seen: Seen) -> None:
    assert (seen.event_names, seen.end) == (STORY[:3], "closed")
    assert not seen.raw.endswith(b"0\r\n\r\n")


@case("cut_stream; after=0", "streaming")
def the_connection_ends_before_any_event(seen: Seen) -> None:
    assert (seen.body, seen.end) == (b"", "closed")


@case("cut_stream; after=1; mid_frame=true", "streaming")
def the_connection_ends_inside_the_next_event(seen: Seen) -> None:
    assert (seen.event_names, seen.end) == (STORY[:1], "closed")
    assert seen.chunks[-1][1].startswith(b'data: {"event": "node_started"')
    assert len(seen.chunks) == 2


@case("cut_stream; after=1; at_byte=9", "streaming")
def the_connection_ends_at_that_byte_of_the_next_event(seen: Seen) -> None:
    assert (seen.chunks[-1][1], seen.end) == (b'data: {"e', "closed")


@case("cut_stream; after=5", "streaming", step_s=1.0)
def the_connection_ends_when_its_event_comes(seen: Seen) -> None:
    assert (_apart_from_pings(seen), seen.end) == (STORY[:5], "closed")
    assert seen.ended_s > 1


@case("cut_stream", "blocking")
def a_blocking_answer_is_cut_in_its_middle(seen: Seen) -> None:
    length = int(seen.headers["content-length"])
    assert (len(seen.body), seen.end) == (length // 2, "closed")


@case("connection_reset", *BOTH, "image")
def the_connection_is_reset_instead_of_an_answer(seen: Seen) -> None:
    assert (seen.raw, seen.end) == (b"", "reset")


@case("connection_reset; after=2", "streaming")
def the_connection_is_reset_after_two_events(seen: Seen) -> None:
    assert (seen.event_names, seen.end) == (STORY[:2], "reset")


@case("slow_body", "blocking", step_s=0.1)
def the_body_trickles(seen: Seen) -> None:
    pieces = [(at_s, len(data)) for at_s, data in seen.pieces[1:]]
    assert {size for _, size in pieces[:-1]} == {100}
    assert all(
        round(later - earlier, 6) == 0.1 for (earlier, _), (later, _) in itertools.pairwise(pieces)
    )
    assert seen.result["status"] == "succeeded"


@case("slow_body; bytes_per_second=5000", "image", step_s=0.1)
def an_image_trickles_at_the_given_rate(seen: Seen) -> None:
    assert seen.body.endswith(b"IEND\xaeB`\x82")
    assert {len(data) for _, data in seen.chunks} <= {500, 4096 % 500, len(seen.body) % 4096 % 500}
    took_s = seen.ended_s - seen.came_s
    assert len(seen.body) / 5000 - 0.2 <= took_s


@case("slow_body", "streaming", step_s=0.1)
def each_frame_trickles(seen: Seen) -> None:
    assert max(len(data) for _, data in seen.chunks) == 100
    assert _apart_from_pings(seen) == STORY


@case("malformed_event", "streaming")
def the_third_event_breaks_off(seen: Seen) -> None:
    assert seen.event_names[:4] == ["workflow_started", "node_started", "?", "node_started"]
    assert seen.frames[2][1].startswith(b'data: {"event": "node_finished"')
    assert seen.result["status"] == "succeeded"


@case("malformed_event; after=0; how=not_json", "streaming")
def the_first_event_is_a_page(seen: Seen) -> None:
    assert seen.frames[0][1] == b"data: <html>Bad Gateway</html>\n\n"
    assert _apart_from_pings(seen)[1:] == STORY[1:]


@case("malformed_event; after=1; how=no_data", "streaming")
def the_second_event_is_empty(seen: Seen) -> None:
    assert seen.frames[1][1] == b"data:\n\n"
    assert _apart_from_pings(seen)[2:] == STORY[2:]


@case("malformed_event; how=invalid_utf8", "streaming")
def the_third_event_is_no_utf8(seen: Seen) -> None:
    assert seen.frames[2][1].startswith(b'data: {"event": "\xff\xfenode_finished"')
    assert seen.result["status"] == "succeeded"


# What stands behind the host
# ---


@case("upstream_down", *BOTH)
@case("sd_options_failed", *BOTH)
@case("sd_options_failed; how=close", *BOTH)
def without_the_image_server_the_run_fails(seen: Seen) -> None:
    assert (seen.status, seen.result["status"]) == (200, "failed")
    assert seen.result["error"].endswith(NO_MODEL)


@case("upstream_down; service=llm", *BOTH)
def without_the_model_s_server_the_run_fails(seen: Seen) -> None:
    assert (seen.status, seen.result["status"]) == (200, "failed")
    assert seen.result["error"].endswith(
        "Failed to establish a new connection: [Errno 111] Connection refused'))"
    )


@case("upstream_down; service=redis", *BOTH, "image")
def without_redis_the_host_answers_500(seen: Seen) -> None:
    assert seen.status == 500
    assert seen.body.startswith(
        b'{"code": "internal_server_error", "message": "The server encountered an internal'
    )


@case("upstream_down; service=postgres", *BOTH)
def without_postgres_the_host_answers_500_in_another_form(seen: Seen) -> None:
    assert (seen.status, seen.body) == (500, INTERNAL)


@case("upstream_down; service=api", *BOTH, "image")
def without_the_app_the_proxy_answers(seen: Seen) -> None:
    assert (seen.status, seen.body) == (502, NGINX_502)


@case("sd_failed", *BOTH)
@case("sd_failed; how=404", *BOTH)
@case("sd_failed; how=badjson", "blocking")
@case("sd_failed; how=noimages", "streaming")
@case("sd_failed; how=emptyimages", "blocking")
@case("sd_failed; how=badbase64", "streaming")
@case("sd_failed; how=close", "blocking")
def the_tool_swallows_the_failure(seen: Seen) -> None:
    assert (seen.result["status"], seen.result["outputs"]) == ("succeeded", {"files": []})


@case("sd_failed; how=timeout", *BOTH, step_s=1.0)
def the_tool_waits_for_two_minutes(seen: Seen) -> None:
    assert (seen.result["status"], seen.result["outputs"]) == ("succeeded", {"files": []})
    assert 120.2 < seen.result["elapsed_time"] <= seen.ended_s < 140


@case("llm_failed", *BOTH)
def the_model_s_server_says_500(seen: Seen) -> None:
    assert (seen.status, seen.result["status"]) == (200, "failed")
    assert "status code 500" in seen.result["error"]


@case("llm_failed; how=close", *BOTH)
def the_model_s_server_hangs_up(seen: Seen) -> None:
    assert "Remote end closed connection without response" in seen.result["error"]


@case("llm_failed; how=empty", *BOTH)
def the_model_says_nothing(seen: Seen) -> None:
    assert (seen.result["status"], seen.result["outputs"]) == ("succeeded", {"files": []})


_NO_CONNECTION = (
    "Error checking URL: HTTPSConnectionPool(host='images.test', port=443): "
    "Max retries exceeded with url: /cat.png?size=2 (Caused by NewConnectionError("
    "'<urllib3.connection.HTTPSConnection object at 0x7fa9dcafb490>: "
    "Failed to establish a new connection: {}'))"
)


@case("remote_file_unreachable", "file")
def nobody_listens_where_the_users_image_is(seen: Seen) -> None:
    message = _NO_CONNECTION.format("[Errno 111] Connection refused")
    assert (seen.status, seen.json) == (
        400,
        {"code": "invalid_param", "message": message, "status": 400},
    )


@case("remote_file_unreachable; how=unknown_host", "file")
def nobody_knows_the_host_of_the_users_image(seen: Seen) -> None:
    assert seen.json["message"] == _NO_CONNECTION.format("[Errno -2] Name or service not known")


@case("remote_file_unreachable; how=timeout", "file")
def nothing_comes_from_where_the_users_image_is(seen: Seen) -> None:
    assert seen.json["message"] == _NO_CONNECTION.format("[Errno 110] Connection timed out")


@case("remote_file_unreachable; how=absent", "file")
def the_users_image_is_gone(seen: Seen) -> None:
    assert (seen.status, seen.json["message"]) == (400, "URL does not exist.")


@case("remote_file_unreachable", *BOTH)
def a_run_without_a_file_does_not_mind(seen: Seen) -> None:
    assert seen.result["status"] == "succeeded"


@case("slow", "file")
def a_users_image_is_taken(seen: Seen) -> None:
    assert seen.result["status"] == "succeeded"


# ---


@each("one", CASES, ids=str)
def test_the_bytes_are(instant: Bench, frozen: Bench, one: Case) -> None:
    """What a client sees of a scenario is what its behaviour promises; and nothing of it stays
    behind.
    """
    bench = frozen if one.step_s else instant
    one.look(one.seen(bench))
    bench.until(lambda: bench.left_behind == (0, 0, 0) or "gateway_timeout" in one.scenario)


def test_every_behaviour_is_looked_at() -> None:
    """Bare, and with each parameter and each choice of it."""
    assert missing(one.scenario for one in CASES) == []


def test_a_scenario_that_nobody_looks_at_is_found_out() -> None:
    assert missing(one.scenario for one in CASES if one.look is not the_second_event_is_empty) == [
        "malformed_event; how=no_data"
    ]


def test_a_limit_of_concurrency_counts_what_runs(frozen: Bench) -> None:
    """As many runs as the limit are let in, the next is refused, and let in once one of them has
    ended.
    """
    frozen.reset()
    scenario = "concurrency_limit; limit=2"
    with Client(frozen) as one, Client(frozen) as two:
        one.send(frozen.run("streaming", scenario))
        two.send(frozen.run("blocking", scenario))
        assert frozen.see(frozen.run("streaming", scenario)).status == 429
    frozen.until(lambda: frozen.left_behind == (0, 0, 0))
    assert frozen.see(frozen.run("blocking", scenario)).status == 200
