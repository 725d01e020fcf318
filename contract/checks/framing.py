"""A stream as raw bytes: how its frames are written, and that a strict reader gets all of them."""

from __future__ import annotations

import json
import re

from contract.check import Level, check
from contract.errors import expect_status
from contract.evidence import stream, stream_with_events
from contract.result import NotRun, Skipped, expect, expect_equal, expect_version
from contract.target import Stream, Target
from dify_wire.profile import Profile

_CLOSES_WITHIN_S = 3.0


def _framed(target: Target) -> Stream:
    """The stream, whatever its frames hold. Raises ``NotRun`` where not a byte of one came."""
    found = stream(target)
    if found.exchange.status != 200 or not found.exchange.body:
        raise NotRun("there is no stream", found.exchange)
    return found


# The response as a whole
# -------------------------------------------------------------------------------------------------


@check(
    Level.DOCUMENT,
    "document line 19; openapi.yaml#/paths/~1v1~1workflows~1run/post/responses/200",
    settles=True,
    follows_from=("documents_own_request_gets_200",),
)
def streaming_run_is_200(target: Target) -> None:
    """A streaming run without a model gets status 200."""
    expect_status(stream(target).exchange, 200)


@check(Level.DOCUMENT, "document line 19; openapi.yaml#/components/schemas/StreamFrame")
def stream_is_an_event_stream(target: Target) -> None:
    """The media type of a stream is text/event-stream."""
    exchange = stream(target).exchange
    expect_equal(exchange.media_type, "text/event-stream", "media type", exchange)


@check(Level.HOST, "FACTS 1.3")
def stream_content_type_names_utf_8(target: Target) -> None:
    """The content type of a stream is text/event-stream; charset=utf-8."""
    exchange = stream(target).exchange
    expected = "text/event-stream; charset=utf-8"
    expect_equal(exchange.header("content-type"), expected, "content type", exchange)


@check(Level.DEPLOYMENT, "FACTS 1.4")
def stream_has_no_length(target: Target) -> None:
    """A stream has no Content-Length: it is not known when the first frame is sent."""
    exchange = _framed(target).exchange
    length = exchange.header("content-length")
    why = "something between has the whole stream before it passes it on"
    expect(length is None, "no Content-Length", length, exchange, why, level=Level.DEPLOYMENT)


@check(Level.HOST, "FACTS 5.1")
def stream_is_not_broken_off(target: Target) -> None:
    """The body of a stream ends as HTTP says it should."""
    exchange = stream(target).exchange
    expect(exchange.failure is None, "an orderly end", exchange.failure, exchange)


@check(Level.DOCUMENT, "document line 19", settles=True)
def stream_has_events(target: Target) -> None:
    """A stream has events, as one line of data with a JSON object each."""
    found = stream(target)
    got = found.exchange.text[:200] or "an empty body"
    expect(bool(found.data_frames), "events", got, found.exchange)


@check(Level.HOST, "FACTS 5.1")
def stream_ends_with_a_whole_frame(target: Target) -> None:
    """Nothing follows the blank line of the last frame."""
    found = _framed(target)
    expect(found.tail == b"", "no bytes after the last blank line", found.tail, found.exchange)


@check(Level.HOST, "FACTS 5.1")
def stream_ends_with_its_last_event(target: Target) -> None:
    """The last frame is workflow_finished: no [DONE], no ping, no farewell after it."""
    found = _framed(target)
    if found.data_frames:
        stream_with_events(target)  # which skips a run that waits
    last = found.frames[-1] if found.frames else None
    is_end = last is not None and last.event == "workflow_finished"
    expect(is_end, "workflow_finished last", last.raw if last else found.tail, found.exchange)


@check(Level.HOST, "FACTS 5.1")
def stream_closes_after_its_last_event(target: Target) -> None:
    """The body ends right after workflow_finished; it is not held open."""
    found = stream_with_events(target)
    open_s = found.exchange.seconds - found.data_frames[-1][0].at_s
    expected = f"an end within {_CLOSES_WITHIN_S:g} s"
    expect(open_s < _CLOSES_WITHIN_S, expected, f"{open_s:.1f} s", found.exchange)


# The frames
# -------------------------------------------------------------------------------------------------


@check(Level.HOST, "FACTS 5.1")
def stream_is_utf_8(target: Target) -> None:
    """A stream is UTF-8 from its first byte to its last, without a byte order mark."""
    found = _framed(target)
    try:
        text = found.exchange.body.decode("utf-8")
    except UnicodeDecodeError as error:
        text = f"{error}"
        expect(False, "UTF-8", text, found.exchange)
    expect(not text.startswith("\ufeff"), "no byte order mark", text[:20], found.exchange)


@check(Level.HOST, "FACTS 5.1")
def stream_lines_end_in_lf(target: Target) -> None:
    """Lines end in a line feed, nowhere in a carriage return."""
    found = _framed(target)
    at = found.exchange.body.find(b"\r")
    expect(at < 0, "line feeds only", found.exchange.body[max(at - 40, 0) : at + 4], found.exchange)


@check(Level.HOST, "FACTS 5.1")
def frames_are_parted_by_one_blank_line(target: Target) -> None:
    """One blank line ends a frame; there are no others, before the first frame neither."""
    found = _framed(target)
    raws = [frame.raw for frame in found.frames]
    odd = [raw for raw in raws if raw.startswith(b"\n") or not raw.strip()]
    expect(not odd, "one blank line after each frame", f"an empty line in {odd}", found.exchange)


@check(Level.HOST, "FACTS 5.1 and 5.4")
def frames_are_one_line_each(target: Target) -> None:
    """A frame is one line."""
    found = _framed(target)
    for frame in found.frames:
        expect(b"\n" not in frame.raw.strip(), "one line", frame.raw, found.exchange)


@check(Level.HOST, "FACTS 5.1 and 5.4")
def frames_hold_data_or_a_ping(target: Target) -> None:
    """A line is data: with a space after it, or a ping; no id, retry, event name or comment."""
    found = _framed(target)
    for line in (line for frame in found.frames for line in frame.raw.strip().split(b"\n")):
        allowed = line.startswith(b"data: ") or line == b"event: ping"
        expect(allowed, "data: … or a ping", line, found.exchange)


@check(Level.HOST, "FACTS 5.1 and 5.4")
def data_lines_hold_json_objects(target: Target) -> None:
    """What is not a ping is a JSON object."""
    found = _framed(target)
    for frame in found.frames:
        if not frame.is_ping and frame.raw.startswith(b"data:"):
            expect(frame.data is not None, "a JSON object", frame.raw, found.exchange)


@check(Level.VERSION, "FACTS 1.7 and 9.2")
def stream_json_is_written_in_the_hosts_style(target: Target) -> None:
    r"""The JSON of each event is the host's to the byte: up to 1.4 ", " and ": " between and
    non-ASCII as \uXXXX, later without spaces and as it is."""
    found = stream_with_events(target)
    for frame, envelope in found.data_frames:
        text = frame.raw[6:].decode("utf-8", "replace")
        compact = json.dumps(envelope, ensure_ascii=False, separators=(",", ":"))
        alike = _same_numbers(text) == _same_numbers(compact)
        styles = {"spaced": json.dumps(envelope), "compact": text if alike else compact}

        def written(profile: Profile) -> str:
            return styles[profile.fact("stream.json")]  # noqa: B023

        expect_version(text, written, "JSON text", target.basis, found.exchange)


def _same_numbers(text: str) -> str:
    """Numbers as Python writes them: the host writes 0.00001 or 1e-5 for 1e-05."""
    number = r"(?<=[:\[,])-?\d{1,20}\.?\d{0,20}(?:e-?\d{1,3})?(?=[,\]}])"
    return re.sub(number, lambda found: repr(float(found[0])), text)


@check(Level.VERSION, "FACTS 5.4")
def pings_are_written_as_on_the_host(target: Target) -> None:
    """A ping is the line "event: ping" alone; up to 0.6.3 it was "data: ping"."""
    found = stream_with_events(target)
    pings = [frame.raw for frame in found.frames if frame.data is None or frame.event == "ping"]
    if not pings:
        raise Skipped("the run ended before a ping was due", found.exchange)

    def frame(profile: Profile) -> bytes:
        return str(profile.fact("ping.frame")).strip().encode()

    for ping in pings:
        expect_version(ping, frame, "ping", target.basis, found.exchange)
