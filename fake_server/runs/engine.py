"""Plans a run: from a request, an app and its accidental values to the whole timeline of what
happens, and when.

Pure: nothing here waits, reads a clock or does I/O. The timeline is a list of (seconds, event), the
seconds counted from the start of the run; both renderers tell the same list, a stream with pings in
it, and only ``waiting`` waits.

Order of events (FACTS 5.3), which ``cut`` keeps too:

    WorkflowStarted (NodeStarted NodeFinished)* [NodeStarted] WorkflowFinished

with a Ping anywhere between. A node that fails finishes as failed and ends the run; a node that is
running when the run is stopped never finishes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fake_server.runs.events import (
    Event,
    NodeFinished,
    NodeStarted,
    Ping,
    Values,
    WorkflowFinished,
    WorkflowStarted,
)
from fake_server.runs.random_values import Draw
from fake_server.spec import Limits, PingRule
from fake_server.workflow.expressions import Pool
from fake_server.workflow.model import Node, Workflow
from fake_server.workflow.nodes import NODE_KINDS, NodeCall, NodeOutcome, run_node, tool_icon

GAP_S = 0.008
"""From one frame to the next where nothing takes time, as recorded [C: stream_simple]."""

STOPPED = "Workflow stopped."

Timeline = tuple[tuple[float, Event], ...]


def plan(workflow: Workflow, inputs: Values, draw: Draw, limits: Limits) -> Timeline:
    """The timeline of a run of ``workflow`` without pings, ended by the host's own limit if it
    would take longer.

    ``inputs`` are the cleaned start variables, ``sys.files`` last.
    """
    walk = _Walk(workflow, inputs, draw, limits)
    walk.run()
    timeline = walk.timeline
    ended_s = timeline[-1][0]
    return cut(timeline, limits.run_s) if ended_s > limits.run_s else timeline


def cut(timeline: Sequence[tuple[float, Event]], at_s: float) -> Timeline:
    """The timeline of the same run stopped at ``at_s``: what was before, then the end as
    "stopped".
    """
    before = [
        (offset, event)
        for offset, event in timeline
        if offset < at_s and not isinstance(event, WorkflowFinished)
    ]
    finished = [event for _, event in before if isinstance(event, NodeFinished)]
    end = WorkflowFinished(
        status="stopped",
        outputs=None,
        error=STOPPED,
        elapsed_s=at_s,
        total_tokens=sum(_tokens(event) for event in finished),
        total_steps=sum(isinstance(event, NodeStarted) for _, event in before),
    )
    return (*before, (at_s, end))


MOST_PINGS = 100_000
"""The most pings of one run: at the host's own pace they go on for eleven days."""


def with_pings(timeline: Timeline, ping: PingRule) -> Timeline:
    """The timeline with the signs of life that fall due before its end (FACTS 5.4), at most
    ``MOST_PINGS``.
    """
    pings: list[tuple[float, Event]] = []
    while (due_s := ping.first_s + ping.every_s * len(pings)) < timeline[-1][0]:
        if len(pings) == MOST_PINGS:
            break
        pings.append((due_s, Ping()))
    return tuple(sorted((*timeline, *pings), key=lambda entry: entry[0])) if pings else timeline


def _tokens(event: NodeFinished) -> int:
    return int((event.execution_metadata or {}).get("total_tokens", 0))


class _Walk:
    """One walk through a graph: keeps the time, the values so far and the timeline."""

    def __init__(self, workflow: Workflow, inputs: Values, draw: Draw, limits: Limits) -> None:
        self._workflow = workflow
        self._inputs = inputs
        self._draw = draw
        self._limits = limits
        self._pool: Pool = {"sys": {"files": inputs.get("sys.files")}}
        self._now_s = 0.0
        self._steps = 0
        self._tokens = 0
        self._events: list[tuple[float, Event]] = []

    @property
    def timeline(self) -> Timeline:
        return tuple(self._events)

    def run(self) -> None:
        self._tell(WorkflowStarted(self._inputs))
        node = self._workflow.start
        if node is None:
            self._end("failed", None, "Start node not found in workflow graph.")
            return
        previous: str | None = None
        while True:
            refusal = self._refusal(node)
            if refusal is not None:
                self._end("failed", None, refusal)
                return
            outcome = self._step(node, previous)
            if outcome.error is not None:
                self._end("failed", None, f"Node {node.title} run failed: {outcome.error}")
                return
            following = self._workflow.edges.get((node.node_id, outcome.handle))
            if node.type == "end" or following is None:
                self._end("succeeded", outcome.outputs, None)
                return
            previous, node = node.node_id, self._workflow.nodes[following]

    def _refusal(self, node: Node) -> str | None:
        """Why the engine of the host does not start ``node`` (FACTS 4.1 and 5.9)."""
        if node.type not in NODE_KINDS:
            return f"invalid node type value {node.type}"
        if self._steps >= self._limits.run_steps:
            return f"Max steps {self._limits.run_steps} reached."
        return None

    def _step(self, node: Node, previous: str | None) -> NodeOutcome:
        self._steps += 1
        started = NodeStarted(
            execution_id=self._draw.uuid(),
            node_id=node.node_id,
            node_type=node.type,
            title=node.title,
            index=self._steps,
            predecessor_node_id=previous,
            extras=_extras(node),
            started_s=self._now_s + GAP_S,
        )
        self._tell_after(GAP_S, started)
        seconds = self._draw.around(node.behaviour.seconds, node.behaviour.spread)
        outcome = run_node(
            NodeCall(node, self._workflow.variables, self._inputs, self._pool, self._draw, seconds)
        )
        self._tell_after(outcome.seconds, _finished(started, outcome))
        self._tokens += outcome.total_tokens
        self._pool[node.node_id] = outcome.outputs or {}
        return outcome

    def _end(self, status: str, outputs: Values | None, error: str | None) -> None:
        self._now_s += GAP_S
        self._tell(WorkflowFinished(status, outputs, error, self._now_s, self._tokens, self._steps))

    def _tell_after(self, seconds: float, event: Any) -> None:
        self._now_s += seconds
        self._tell(event)

    def _tell(self, event: Event) -> None:
        self._events.append((self._now_s, event))


def _finished(started: NodeStarted, outcome: NodeOutcome) -> NodeFinished:
    failed = outcome.error is not None
    return NodeFinished(
        started=started,
        finished_s=started.started_s + outcome.seconds,
        status="failed" if failed else "succeeded",
        error=outcome.error,
        inputs=outcome.inputs or None,
        process_data=outcome.process_data or None,
        outputs=None if failed else outcome.outputs or None,
        execution_metadata=None if failed else outcome.execution_metadata,
    )


def _extras(node: Node) -> Values:
    """A tool node shows its icon, every other node nothing."""
    return {"icon": tool_icon(node)} if node.type == "tool" else {}
