"""A stream as the trace of one run: its events with their times, and its nodes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from contract.check import Capability, Claim, Level, check
from contract.evidence import stream_with_events
from contract.result import NotRun, Skipped, expect, expect_equal, expect_version
from contract.shape import Kind, expect_fields, expect_kind, is_of_0_6
from contract.sse import Frame
from contract.target import Stream, Target, files_within
from dify_wire.exchange import Exchange
from dify_wire.profile import Basis, Profile


@dataclass(frozen=True, slots=True)
class Event:
    """One event; ``data`` is empty where the frame has no object there."""

    name: str
    data: Mapping[str, Any]
    envelope: Mapping[str, Any]
    at_s: float


@dataclass(frozen=True, slots=True)
class Node:
    """One executed node; ``finished`` is None without a node_finished of its execution id."""

    started: Event
    finished: Event | None

    @property
    def result(self) -> Mapping[str, Any]:
        """``data`` of its node_finished, empty without one."""
        return self.finished.data if self.finished else {}

    @property
    def elapsed_s(self) -> float:
        return seconds(self.result.get("elapsed_time"))

    def object(self, name: str) -> Mapping[str, Any]:
        """The object ``name`` of its result, empty where it is not one."""
        return as_object(self.result.get(name))


@dataclass(frozen=True, slots=True)
class RunTrace:
    """The events of a stream in their order, pings left out, and its nodes in the order of their
    start.
    """

    stream: Stream
    events: tuple[Event, ...]
    nodes: tuple[Node, ...]
    basis: Basis

    @property
    def exchange(self) -> Exchange:
        return self.stream.exchange

    @property
    def opening_ping(self) -> bool:
        """Whether the first frame is a ping, before anything was waited for."""
        return bool(self.stream.frames) and self.stream.frames[0].is_ping

    @property
    def pings(self) -> list[Frame]:
        """The pings that come as time passes: where the version opens with one, not that one."""
        opens = self.opening_ping and bool(self.profile.fact("ping.at_once"))
        return [frame for frame in self.stream.frames[opens:] if frame.is_ping]

    @property
    def wall_s(self) -> float:
        """Until the last event, by our clock: a version may keep the stream open after it."""
        return self.events[-1].at_s

    @property
    def profile(self) -> Profile:
        return self.basis.profile

    @property
    def may_branch(self) -> bool:
        """Whether this version runs branches side by side, and nodes within nodes."""
        return not is_of_0_6(self.profile)

    def named(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == name]

    def data_of(self, name: str) -> list[Mapping[str, Any]]:
        """``data`` of each event of that name. Raises ``NotRun`` without one."""
        found = [event.data for event in self.named(name)]
        if not found:
            raise NotRun(f"the stream has no {name}", self.exchange)
        return found

    @property
    def start(self) -> Mapping[str, Any]:
        """``data`` of workflow_started. Raises ``NotRun`` without one."""
        return self.data_of("workflow_started")[0]

    @property
    def end(self) -> Mapping[str, Any]:
        """``data`` of workflow_finished. Raises ``NotRun`` without one."""
        return self.data_of("workflow_finished")[0]

    @property
    def has_succeeded(self) -> bool:
        return bool(self.end.get("status") == "succeeded")

    @property
    def elapsed_s(self) -> float:
        return seconds(self.end.get("elapsed_time"))

    @property
    def buffering(self) -> str:
        """A sentence with times where something between seems to hold the stream back, else
        empty.
        """
        first_s, last_s = self.stream.frames[0].at_s, self.events[-1].at_s
        if first_s < self.exchange.seconds / 2 or last_s - first_s >= self.elapsed_s / 2:
            return ""
        return (
            f"something buffers the stream: {len(self.events)} events of a run of "
            f"{self.elapsed_s:.1f} s came within {last_s - first_s:.2f} s, {first_s:.1f} s after "
            "the request; switch that off in the proxy (nginx: proxy_buffering off)"
        )

    def of_type(self, node_type: str) -> list[Node]:
        """The succeeded nodes of that type. Raises ``Skipped`` where the graph ran none."""
        found = [node for node in self.nodes if node.result.get("node_type") == node_type]
        found = [node for node in found if node.result.get("status") == "succeeded"]
        if not found:
            raise Skipped(f"the run went through no node of type {node_type}", self.exchange)
        return found

    def files(self) -> Iterator[Mapping[str, Any]]:
        """The file objects in all events."""
        return (file for event in self.events for file in files_within(event.data))

    # Shorter forms of the functions in contract.result and contract.shape, on this exchange
    # ------------------------------------------------------------------------------------------

    def expect(
        self, holds: bool, expected: str, got: object, *, level: Level | None = None
    ) -> None:
        expect(holds, expected, got, self.exchange, level=level)

    def expect_equal(self, got: object, expected: object, what: str, why: str = "") -> None:
        expect_equal(got, expected, what, self.exchange, why)

    def expect_version(self, got: object, read: Callable[[Profile], object], what: str) -> None:
        expect_version(got, read, what, self.basis, self.exchange)

    def expect_fields(self, got: Mapping[str, Any], schema: str, what: str) -> None:
        expect_fields(got, schema, what, self.basis, self.exchange)

    def expect_kind(self, value: object, kind: Kind, what: str) -> None:
        expect_kind(value, kind, what, self.exchange)


def trace_of(stream: Stream, basis: Basis) -> RunTrace:
    events = tuple(
        Event(str(envelope.get("event")), as_object(envelope.get("data")), envelope, frame.at_s)
        for frame, envelope in stream.data_frames
    )
    finished = {str(one.data.get("id")): one for one in events[::-1] if one.name == "node_finished"}
    nodes = (
        Node(event, finished.get(str(event.data.get("id"))))
        for event in events
        if event.name == "node_started"
    )
    return RunTrace(stream, events, tuple(nodes), basis)


def shared_trace(target: Target) -> RunTrace:
    """The trace of the shared stream. Raises ``NotRun`` where it has no event."""
    trace: RunTrace = target.shared(
        "trace", lambda: trace_of(stream_with_events(target), target.basis)
    )
    return trace


def events_of(profile: Profile) -> frozenset[str]:
    """The names of the events that a version sends."""
    choice = profile.schemas.get("StreamEvent", {}).get("discriminator", {})
    return frozenset(choice.get("mapping", ()))


def trace_check(
    level: Level, source: str, *needs: Capability, **options: Any
) -> Callable[[Callable[[RunTrace], None]], Claim]:
    """As ``check``, for a claim about the shared stream alone: a function of its ``RunTrace``."""

    def decorate(claim: Callable[[RunTrace], None]) -> Claim:
        @functools.wraps(claim)
        def run(target: Target) -> None:
            claim(shared_trace(target))

        return check(level, source, *needs, **options)(run)

    return decorate


def seconds(value: object) -> float:
    """A duration as a number, 0 where it is none: another check says what it must be."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else 0.0  # type: ignore[arg-type]


def as_object(value: Any) -> Mapping[str, Any]:
    """``value`` where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}
