"""When the frames of a stream arrive: pings in time, and the nodes' as far apart as their work
took.
"""

from __future__ import annotations

import math

from contract.check import Capability, Level
from contract.result import NotRun, Skipped, expect
from contract.trace import RunTrace, as_object, seconds, trace_check
from dify_wire.profile import Profile

_PING_EVERY_S, _PING_LATE_S = 10.0, 1.5
"""A ping is due when the listening has crossed 10 s, and each 10 s after (FACTS 5.4); the host
looks once a second, and a little time passes until it is sent."""
_LISTENS_EARLIER_S = 0.5
"""The host listens before it sends workflow_started, from where elapsed_time counts."""

_APART_S = 0.3
"""A node that takes this long on the wall has its two frames apart."""

_TOGETHER_S = 0.02
_LATE_S = 0.1
"""By so much a frame may be late on a busy machine."""

_AT_NODES = ("workflow_started", "node_started", "node_finished")


@trace_check(Level.VERSION, "FACTS 5.4 and 9.2")
def stream_opens_with_a_ping_where_the_host_sends_one(trace: RunTrace) -> None:
    """The first frame is a ping since 1.12, and the first event before."""

    def opens(profile: Profile) -> bool:
        return bool(profile.fact("ping.at_once"))

    trace.expect_version(trace.opening_ping, opens, "a ping as the first frame")


@trace_check(Level.HOST, "FACTS 5.4")
def pings_are_as_many_as_are_due(trace: RunTrace) -> None:
    """A ping for each 10 s that the run's own elapsed_time has crossed, and none more."""
    least, most = _pings_due(trace, trace.elapsed_s, trace.elapsed_s)
    expected = f"{least} to {most} pings in {trace.elapsed_s:.1f} s"
    expect(least <= len(trace.pings) <= most, expected, f"{len(trace.pings)} pings", trace.exchange)


def _pings_due(trace: RunTrace, from_s: float, to_s: float) -> tuple[int, int]:
    """The least and the most pings that a host has sent some time between two times of the run.

    The most counts from where the host began to listen, which is before the first frame arrived.
    """
    early_s = _LISTENS_EARLIER_S + min(trace.events[0].at_s, 2.0)
    return max(0, math.floor((from_s - _PING_LATE_S) / _PING_EVERY_S)), math.floor(
        (to_s + early_s) / _PING_EVERY_S
    )


@trace_check(Level.HOST, "FACTS 5.4")
def pings_stand_where_they_are_due(trace: RunTrace) -> None:
    """Before each event stand the pings that were due by then, going by the nodes' elapsed
    times.
    """
    total_s, nodes_s, pings = trace.elapsed_s, sum(node.elapsed_s for node in trace.nodes), 0
    if trace.may_branch and nodes_s > total_s:
        raise Skipped("nodes ran at the same time", trace.exchange)
    idle_s, passed_s = max(total_s - nodes_s, 0.0), 0.0
    counted = {id(ping) for ping in trace.pings}
    for frame in trace.stream.frames:
        pings += id(frame) in counted
        if frame.event == "node_finished" and frame.data is not None:
            passed_s += seconds(as_object(frame.data.get("data")).get("elapsed_time"))
        if frame.data is not None and frame.event in _AT_NODES:
            least, most = _pings_due(trace, passed_s, passed_s + idle_s)
            expected = f"{least} to {most} pings before {frame.event} at {passed_s:.1f} s"
            trace.expect(least <= pings <= most, expected, f"{pings} pings")


@trace_check(
    Level.HOST, "FACTS 5.4", Capability.FINITE_SPEED, follows_from=("first_frame_comes_at_once",)
)
def pings_arrive_when_they_are_due(trace: RunTrace) -> None:
    """Pings arrive in time, at 10 s of the run and each 10 s after, as the wall goes."""
    if not trace.elapsed_s:
        raise NotRun("the run has no elapsed_time", trace.exchange)
    scale = trace.wall_s / trace.elapsed_s
    first_s = trace.events[0].at_s
    for count, ping in enumerate(trace.pings, start=1):
        due_s = count * _PING_EVERY_S * scale
        early_s, late_s = _LISTENS_EARLIER_S * scale + 0.2, _PING_LATE_S * scale + 0.5
        expected = f"ping {count} at {due_s:.2f} s of the wall"
        in_time = due_s - early_s <= ping.at_s <= first_s + due_s + late_s
        expect(in_time, expected, f"{ping.at_s:.2f} s", trace.exchange)


@trace_check(Level.HOST, "document line 19; FACTS 5.3", Capability.FINITE_SPEED)
def first_frame_comes_at_once(trace: RunTrace) -> None:
    """The first frame arrives when the run begins, and not when it has ended."""
    first_s, whole_s = trace.stream.frames[0].at_s, trace.exchange.seconds
    expected = f"the first frame before half of {whole_s:.1f} s"
    expect(first_s < whole_s / 2, expected, f"{first_s:.1f} s", trace.exchange, trace.buffering)


@trace_check(
    Level.HOST,
    "document line 19; FACTS 5.3 and 5.7",
    Capability.FINITE_SPEED,
    follows_from=("first_frame_comes_at_once",),
)
def node_frames_lie_apart_by_their_elapsed_time(trace: RunTrace) -> None:
    """The two frames of a node arrive as far apart as it took, scaled by the run's time on the
    wall; where a version opens with a ping, frames of the first second come together.
    """
    opens_with_a_ping = trace.profile.fact("ping.at_once")
    whole_s = trace.wall_s - (trace.events[0].at_s if opens_with_a_ping else 0.0)
    held_s = float(trace.profile.fact("stream.closing_s"))
    for node in trace.nodes:
        due_s = node.elapsed_s * whole_s / (trace.elapsed_s or math.inf)
        if node.finished and due_s >= _APART_S:
            apart_s = node.finished.at_s - node.started.at_s
            expected = f"frames of {node.result.get('node_type')} about {due_s:.2f} s apart"
            together = apart_s < _TOGETHER_S
            why = "they came together: something buffers the stream" if together else ""
            in_time = due_s / 2 - held_s - _LATE_S <= apart_s <= due_s * 1.5 + 0.5
            expect(in_time, expected, f"{apart_s:.2f} s", trace.exchange, why)
