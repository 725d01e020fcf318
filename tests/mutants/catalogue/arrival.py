"""When the frames of a stream arrive: held back, in pieces, in a rhythm that is not the run's."""

from __future__ import annotations

import asyncio

from tests.mutants.edits import edit_frames, event_of
from tests.mutants.middleware import Frames, StreamChange
from tests.mutants.mutant import RHYTHM, Area

AREA = Area("stream arrival")


def _in_time(name: str, breaks: str, killers: str, change_frames: StreamChange) -> None:
    """A change of frames that is seen only by a client that reads as they come."""
    AREA.add(name, breaks, killers, edit_frames(change_frames), speed=RHYTHM)


async def _held_back(frames: Frames) -> Frames:
    held = [frame async for frame in frames]
    for frame in held:
        yield frame


async def _in_one_piece(frames: Frames) -> Frames:
    yield b"".join([frame async for frame in frames])


async def _one_late(frames: Frames) -> Frames:
    """Each frame comes when the next one should: what many a buffering proxy does."""
    waiting = b""
    async for frame in frames:
        yield waiting
        waiting = frame
    yield waiting


async def _all_but_first_late(frames: Frames) -> Frames:
    first = True
    held: list[bytes] = []
    async for frame in frames:
        if first:
            yield frame
        else:
            held.append(frame)
        first = False
    yield b"".join(held)


async def _evenly(frames: Frames) -> Frames:
    """The run is over before its stream begins, which then pretends a rhythm of its own."""
    for frame in [frame async for frame in frames]:
        yield frame
        await asyncio.sleep(0.2)


async def _ping_early(frames: Frames) -> Frames:
    """The ping comes when the node that draws the image starts."""
    async for frame in frames:
        if event_of(frame) is None:
            continue
        yield frame
        event = event_of(frame) or {}
        if event.get("event") == "node_started" and event["data"]["node_type"] == "tool":
            yield b"event: ping\n\n"


async def _by_8_kb(frames: Frames) -> Frames:
    held = b""
    async for frame in frames:
        held += frame
        if len(held) >= 8192:
            yield held
            held = b""
    yield held


# fmt: off
_in_time("stream_buffered", "All frames come when the run has ended.",
         "first_frame_comes_at_once node_frames_lie_apart_by_their_elapsed_time", _held_back)
_in_time("stream_in_one_piece", "All frames come in one chunk when the run has ended.",
         "first_frame_comes_at_once node_frames_lie_apart_by_their_elapsed_time", _in_one_piece)
_in_time("stream_buffered_after_first", "All frames but the first come when the run has ended.",
         "node_frames_lie_apart_by_their_elapsed_time", _all_but_first_late)
_in_time("stream_one_frame_late", "Each frame comes when the next one should.",
         "node_frames_lie_apart_by_their_elapsed_time", _one_late)
_in_time("stream_played_back", "The stream begins when the run has ended, and plays it back.",
         "node_frames_lie_apart_by_their_elapsed_time", _evenly)
_in_time("ping_early", "The first ping comes seconds before it is due.",
         "pings_arrive_when_they_are_due", _ping_early)
_in_time("stream_buffered_by_8_kb", "A proxy passes the stream on in pieces of 8 KB.",
         "first_frame_comes_at_once", _by_8_kb)
# fmt: on
