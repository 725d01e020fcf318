"""A stream read as the story of one run: what was told when, and node by node."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract.check import Level
from contract.evidence import told_stream
from contract.result import NotRun, Skipped
from contract.sse import Frame
from contract.target import Stream, Target
from dify_wire.exchange import Exchange

LATER_NODE_FIELDS = frozenset(
    {
        *(
            "parallel_id",
            "parallel_start_node_id",
            "parent_parallel_id",
            "parent_parallel_start_node_id",
        ),
        *("parallel_run_id", "iteration_id", "loop_id", "agent_strategy"),
        *("inputs_truncated", "process_data_truncated", "outputs_truncated"),
    }
)
"""What node frames have since the versions after 0.6 (FACTS 9.1, 9.2)."""


@dataclass(frozen=True, slots=True)
class Told:
    """One event: ``data`` is empty where the frame has no object there."""

    event: str
    data: Mapping[str, Any]
    envelope: Mapping[str, Any]
    at_s: float


@dataclass(frozen=True, slots=True)
class Node:
    """One executed node; ``finished`` is None where no event with its execution id said so."""

    started: Told
    finished: Told | None

    @property
    def outcome(self) -> Mapping[str, Any]:
        """``data`` of its node_finished, empty without one."""
        return self.finished.data if self.finished else {}

    @property
    def elapsed_s(self) -> float:
        return seconds(self.outcome.get("elapsed_time"))


@dataclass(frozen=True, slots=True)
class Story:
    """The events of a stream in their order, pings left out, and its nodes in the order of their
    start.
    """

    stream: Stream
    told: tuple[Told, ...]
    nodes: tuple[Node, ...]

    @property
    def exchange(self) -> Exchange:
        return self.stream.exchange

    @property
    def pings(self) -> list[Frame]:
        return [frame for frame in self.stream.frames if frame.is_ping]

    @property
    def is_later(self) -> bool:
        """Whether the host is of a version after 0.6: its node frames say so."""
        return any(
            LATER_NODE_FIELDS & one.data.keys()
            for one in self.told
            if one.event.startswith("node_")
        )

    @property
    def level(self) -> Level:
        """On whose authority a promise stands that is known of 0.6 only."""
        return Level.VERSION if self.is_later else Level.HOST

    @property
    def beginning(self) -> Mapping[str, Any]:
        """``data`` of workflow_started. Raises ``NotRun`` without one."""
        return self._first("workflow_started").data

    @property
    def end(self) -> Mapping[str, Any]:
        """``data`` of workflow_finished. Raises ``NotRun`` without one."""
        return self._first("workflow_finished").data

    @property
    def has_succeeded(self) -> bool:
        return bool(self.end.get("status") == "succeeded")

    @property
    def elapsed_s(self) -> float:
        return seconds(self.end.get("elapsed_time"))

    @property
    def buffered(self) -> str:
        """Why it looks as if something between holds the stream back, with the times; empty where
        it does not.
        """
        first_s, last_s = self.told[0].at_s, self.told[-1].at_s
        if first_s < self.exchange.seconds / 2 or last_s - first_s >= self.elapsed_s / 2:
            return ""
        came = f"{len(self.told)} events of a run of {self.elapsed_s:.1f} s came within {last_s - first_s:.2f} s"
        fix = "switch that off in the proxy (nginx: proxy_buffering off)"
        return f"something buffers the stream: {came}, {first_s:.1f} s after the request; {fix}"

    def _first(self, event: str) -> Told:
        for one in self.told:
            if one.event == event:
                return one
        raise NotRun(f"the stream tells no {event}", self.exchange)

    def of_type(self, node_type: str) -> list[Node]:
        """The succeeded nodes of that type. Raises ``Skipped`` where the graph ran none."""
        found = [one for one in self.nodes if one.outcome.get("node_type") == node_type]
        found = [one for one in found if one.outcome.get("status") == "succeeded"]
        if not found:
            raise Skipped(f"the run went through no node of type {node_type}", self.exchange)
        return found


def shared_story(target: Target) -> Story:
    """The shared stream as the story of its run. Raises ``NotRun`` where it tells no event."""
    return story_of(told_stream(target))


def seconds(value: object) -> float:
    """A duration as a number, 0 where it is none: what it should be is judged elsewhere."""
    is_number = (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    )
    return float(value) if is_number else 0.0  # type: ignore[arg-type]  # the condition above is the proof


def as_object(value: Any) -> Mapping[str, Any]:
    """``value`` where it is an object, an empty one where it is none."""
    return value if isinstance(value, dict) else {}


def story_of(stream: Stream) -> Story:
    told = tuple(_told(frame, said) for frame, said in stream.said)
    finished = [one for one in told if one.event == "node_finished"]
    nodes = tuple(
        Node(one, _finish_of(one, finished)) for one in told if one.event == "node_started"
    )
    return Story(stream, told, nodes)


def _told(frame: Frame, said: Mapping[str, Any]) -> Told:
    data = said.get("data")
    return Told(str(said.get("event")), data if isinstance(data, dict) else {}, said, frame.at_s)


def _finish_of(started: Told, finished: Sequence[Told]) -> Told | None:
    return next((one for one in finished if one.data.get("id") == started.data.get("id")), None)
