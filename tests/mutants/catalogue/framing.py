"""The stream as bytes and in time: cut, re-framed, buffered, pings."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace

from tests.mutants.edits import edit_frames, event_of
from tests.mutants.middleware import (
    CutOffError,
    Frames,
    Request,
    Response,
    StreamChange,
    change_responses,
)
from tests.mutants.mutant import Area

AREA = Area("stream framing")


def _frames(name: str, breaks: str, killers: str, change_frames: StreamChange) -> None:
    AREA.add(name, breaks, killers, edit_frames(change_frames))


def _each(change: Callable[[bytes], bytes]) -> StreamChange:
    """Each frame, pings included, as ``change`` makes it."""

    async def change_frames(frames: Frames) -> Frames:
        async for frame in frames:
            yield change(frame)

    return change_frames


def _is_ping(frame: bytes) -> bool:
    return event_of(frame) is None


def _is_end(frame: bytes) -> bool:
    return b'"workflow_finished"' in frame


def _first(count: int) -> StreamChange:
    async def change_frames(frames: Frames) -> Frames:
        edit_events = 0
        async for frame in frames:
            if edit_events < count:
                yield frame
            edit_events += 1

    return change_frames


async def _cut_in_the_end(frames: Frames) -> Frames:
    async for frame in frames:
        yield frame[: len(frame) // 2] if _is_end(frame) else frame


async def _without_last_blank_line(frames: Frames) -> Frames:
    async for frame in frames:
        yield frame.rstrip(b"\n") if _is_end(frame) else frame


async def _closed_in_the_middle(frames: Frames) -> Frames:
    edit_events = 0
    async for frame in frames:
        if edit_events == 5:
            raise CutOffError
        edit_events += 1
        yield frame


async def _open_for_ever(frames: Frames) -> Frames:
    async for frame in frames:
        yield frame
    await asyncio.sleep(30)


async def _open_for_a_while(frames: Frames) -> Frames:
    async for frame in frames:
        yield frame
    await asyncio.sleep(3.5)


def _named(frame: bytes) -> bytes:
    event = event_of(frame)
    return frame if event is None else b"event: " + str(event["event"]).encode() + b"\n" + frame


def _indented(frame: bytes) -> bytes:
    event = event_of(frame)
    if event is None:
        return frame
    return (
        b"".join(
            b"data: " + line.encode() + b"\n" for line in json.dumps(event, indent=1).split("\n")
        )
        + b"\n"
    )


async def _numbered(frames: Frames) -> Frames:
    number = 0
    async for frame in frames:
        number += 1
        yield f"id: {number}\n".encode() + frame


def _before(piece: bytes) -> StreamChange:
    async def change_frames(frames: Frames) -> Frames:
        yield piece
        async for frame in frames:
            yield frame

    return change_frames


def _after(piece: bytes) -> StreamChange:
    async def change_frames(frames: Frames) -> Frames:
        async for frame in frames:
            yield frame
        yield piece

    return change_frames


def _unescaped(frame: bytes) -> bytes:
    event = event_of(frame)
    return (
        frame
        if event is None
        else b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n"
    )


def _compact(frame: bytes) -> bytes:
    event = event_of(frame)
    return (
        frame
        if event is None
        else b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"
    )


_STYLE = "stream_json_is_written_in_the_hosts_style"


def _head(
    name: str,
    breaks: str,
    killers: str,
    change: Callable[[Response], Response],
    *,
    strict: bool = False,
) -> None:
    """The stream held back to its end (at once, at this speed) and its head changed."""

    def change_response(request: Request, response: Response) -> Response:
        return (
            change(response)
            if (response.header("content-type") or "").startswith("text/event-stream")
            else response
        )

    AREA.add(
        name,
        breaks,
        killers,
        change_responses(lambda: change_response, streams=True),
        strict=strict,
    )


def _in_one(response: Response) -> Response:
    last = event_of(response.body.split(b"\n\n")[-2] + b"\n\n") or {}
    whole = {name: last[name] for name in ("task_id", "workflow_run_id", "data")}
    return response.with_header("Content-Type", "application/json").with_json(whole)


def _pings(instead: bytes) -> StreamChange:
    """Each ping replaced."""
    return _each(lambda frame: instead if _is_ping(frame) else frame)


# fmt: off

# Cut
_frames("stream_opens_with_a_ping", "A stream opens with a ping, as those of later versions.",
        "stream_opens_with_a_ping_where_the_host_sends_one", _before(b"event: ping\n\n"))
_frames("stream_empty", "The stream ends before its first frame.", "stream_has_events", _first(0))
_frames("stream_cut_after_1", "The stream ends after the first frame.",
        "stream_ends_with_its_last_event", _first(1))
_frames("stream_cut_after_4", "The stream ends after four frames.",
        "stream_ends_with_its_last_event", _first(4))
_frames("stream_cut_before_the_end", "The stream ends before workflow_finished.",
        "stream_ends_with_its_last_event", _each(lambda frame: b"" if _is_end(frame) else frame))
_frames("stream_cut_mid_frame", "The stream ends in the middle of its last frame.",
        "stream_ends_with_a_whole_frame", _cut_in_the_end)
_frames("stream_last_blank_line_missing", "The last frame has no blank line.",
        "stream_ends_with_a_whole_frame", _without_last_blank_line)
_frames("stream_connection_closed", "The connection is closed after five frames.",
        "stream_is_not_broken_off", _closed_in_the_middle)
AREA.add("stream_stays_open", "The stream is not ended after workflow_finished.",
         "stream_is_not_broken_off stream_closes_after_its_last_event", edit_frames(_open_for_ever),
         timeout_s=2.0)
AREA.add("stream_ends_late", "The stream stays open for some seconds after workflow_finished.",
         "stream_closes_after_its_last_event", edit_frames(_open_for_a_while))

# Re-framed
_frames("stream_crlf", "Lines end in CRLF.", "stream_lines_end_in_lf",
        _each(lambda frame: frame.replace(b"\n", b"\r\n")))
_frames("stream_cr", "Lines end in CR.", "stream_lines_end_in_lf",
        _each(lambda frame: frame.replace(b"\n", b"\r")))
_frames("stream_event_lines", "Each frame has an event line.", "frames_are_one_line_each",
        _each(_named))
_frames("stream_id_lines", "Each frame has an id line.", "frames_are_one_line_each", _numbered)
_frames("stream_retry_line", "The stream begins with a retry line.", "frames_hold_data_or_a_ping",
        _before(b"retry: 3000\n\n"))
_frames("stream_comment_first", "The stream begins with a comment.", "frames_hold_data_or_a_ping",
        _before(b": ok\n\n"))
_frames("stream_comments_between", "There is a comment before each frame.",
        "frames_hold_data_or_a_ping", _each(lambda frame: b": \n\n" + frame))
_frames("stream_done_at_the_end", "The stream ends with [DONE].",
        "data_lines_hold_json_objects stream_ends_with_its_last_event", _after(b"data: [DONE]\n\n"))
_frames("stream_newline_at_the_end", "The stream ends with one newline more.",
        "stream_ends_with_a_whole_frame", _after(b"\n"))
_frames("stream_no_blank_after_colon", "There is no blank after data:.",
        "frames_hold_data_or_a_ping", _each(lambda frame: frame.replace(b"data: ", b"data:", 1)))
_frames("stream_json_on_many_lines", "The JSON of a frame is spread over many data lines.",
        "frames_are_one_line_each", _each(_indented))
_frames("stream_as_json_lines", "The stream is JSON Lines, without data:.", "stream_has_events",
        _each(lambda frame: frame.removeprefix(b"data: ").replace(b"\n\n", b"\n")))
_frames("stream_single_newlines", "One newline, and no blank line, follows each frame.",
        "stream_has_events frames_are_one_line_each", _each(lambda frame: frame[:-1]))
_frames("stream_three_newlines", "Two blank lines follow each frame.",
        "frames_are_parted_by_one_blank_line", _each(lambda frame: frame + b"\n"))
_frames("stream_bom", "The stream begins with a byte order mark.", "stream_is_utf_8",
        _before(b"\xef\xbb\xbf"))
_frames(
    "stream_html_in_the_middle", "A proxy's page is in the middle of the stream.",
    "frames_hold_data_or_a_ping",
    _each(lambda frame: b"<html>502</html>\n\n" + frame if b'"node_finished"' in frame else frame))
_frames("stream_json_broken", "The JSON of workflow_finished lacks its last brace.",
        "data_lines_hold_json_objects",
        _each(lambda frame: frame.replace(b"}\n\n", b"\n\n") if _is_end(frame) else frame))
_frames("stream_single_quotes", "Frames are Python's dict text and no JSON.",
        "data_lines_hold_json_objects",
        _each(lambda frame: frame if _is_ping(frame) else f"data: {event_of(frame)}\n\n".encode()))
_frames("stream_json_unescaped", "Chinese in a stream is not escaped.", _STYLE, _each(_unescaped))
_frames("stream_json_compact", "The JSON of a stream has no blanks.", _STYLE, _each(_compact))

# The head
_head("stream_as_text", "The stream says it is text/plain.", "stream_is_an_event_stream",
      lambda response: response.with_header("Content-Type", "text/plain; charset=utf-8"))
_head("stream_as_json", "The stream says it is JSON.", "stream_is_an_event_stream",
      lambda response: response.with_header("Content-Type", "application/json"))
_head("stream_status_201", "The stream has status 201.", "streaming_run_is_200",
      lambda response: replace(response, status=201))
_head("stream_answered_in_one", "A streaming request gets a blocking response.",
      "stream_is_an_event_stream", _in_one)
_head("stream_cors_missing", "Streams may not be read by pages of other origins.",
      "responses_of_runs_are_for_any",
      lambda response: response.without_header("Access-Control-Allow-Origin"))
_head("stream_tells_its_length", "The stream has a length, and so has waited for its end.",
      "stream_has_no_length",
      lambda response: response.with_header("Content-Length", str(len(response.body))), strict=True)

# Pings
_frames("ping_missing", "There are no pings.", "pings_are_as_many_as_are_due", _pings(b""))
_frames("ping_doubled", "Each ping is there twice.", "pings_are_as_many_as_are_due",
        _pings(b"event: ping\n\nevent: ping\n\n"))
_frames("ping_as_comment", "Pings are comments.",
        "pings_are_written_as_on_the_host frames_hold_data_or_a_ping", _pings(b": ping\n\n"))
_frames("ping_as_timed_comment", "Pings are sse-starlette's comments.",
        "pings_are_written_as_on_the_host frames_hold_data_or_a_ping",
        _pings(b": ping - 2026-11-22 18:00:00.000000+00:00\r\n\r\n"))
_frames("ping_in_json", "Pings are JSON.", "pings_are_written_as_on_the_host",
        _pings(b'data: {"event": "ping"}\n\n'))
_frames("ping_with_data", "Pings have an empty data line.", "pings_are_written_as_on_the_host",
        _pings(b"event: ping\ndata: \n\n"))
_frames("ping_upper_case", "Pings are called PING.",
        "pings_are_written_as_on_the_host frames_hold_data_or_a_ping", _pings(b"event: PING\n\n"))
_frames("ping_storm", "There is a ping before each frame.", "pings_are_as_many_as_are_due",
        _each(lambda frame: b"" if _is_ping(frame) else b"event: ping\n\n" + frame))
_frames("ping_first", "The stream begins with a ping.", "pings_stand_where_they_are_due",
        _before(b"event: ping\n\n"))
_frames("ping_last", "The stream ends with a ping.", "stream_ends_with_its_last_event",
        _after(b"event: ping\n\n"))
AREA.add(
    "ping_of_0_6_3",
    "Pings are as in 0.6.3, though the host says that it is a later one.",
    "pings_are_written_as_on_the_host",
    edit_frames(_pings(b"data: ping\n\n")),
)
_head("stream_type_without_charset", "The content type of a stream has no charset.",
      "stream_content_type_names_utf_8",
      lambda response: response.with_header("Content-Type", "text/event-stream"))
# fmt: on
