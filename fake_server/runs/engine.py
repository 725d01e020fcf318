"""Plans a run: from a request, an app and random values to the timeline of what happens, and when.

Pure: nothing here waits, reads a clock or does I/O. A timeline is a list of (seconds, event), the
seconds counted from the start of the run. Both renderers render the same list, a stream with pings
in it; only ``clock.Wait`` waits.

Order of events (FACTS 5.3), which ``cut`` keeps too:

    WorkflowStarted (NodeStarted NodeFinished)* [NodeStarted] WorkflowFinished

with a Ping anywhere between. A node that fails finishes as failed and ends the run; a node that is
running when the run is stopped never finishes.
"""

from __future__ import annotations

from fake_server.host_spec import HostSpec, PingRule
from fake_server.runs.events import (
    Event,
    NodeFinished,
    NodeStarted,
    Ping,
    Timeline,
    Values,
    WorkflowFinished,
    WorkflowStarted,
    cut,
)
from fake_server.runs.random_values import RandomValues
from fake_server.workflow.expressions import Pool
from fake_server.workflow.model import Workflow
from fake_server.workflow.nodes import NODE_KINDS, NodeCall, run_node, tool_icon

GAP_S = 0.008
"""From one frame to the next where nothing takes time, as recorded [C: stream_simple]."""

MOST_PINGS = 100_000
"""The most pings of one run: at the host's own pace they go on for eleven days."""


def plan(workflow: Workflow, inputs: Values, random: RandomValues, spec: HostSpec) -> Timeline:
    """The timeline of a run of ``workflow`` without pings, ended by the host's own limit if it
    would take longer.

    ``inputs`` are the cleaned start variables, ``sys.files`` last.
    """
    limits = spec.limits
    timeline: list[tuple[float, Event]] = [(0.0, WorkflowStarted(inputs))]
    pool: Pool = {"sys": {"files": inputs.get("sys.files")}}
    now_s, steps, tokens = 0.0, 0, 0
    status, outputs = "failed", None
    node, previous = workflow.start, None
    error = "Start node not found in workflow graph." if node is None else None
    while node is not None:  # what the engine of the host does not start: FACTS 4.1 and 5.9
        if node.type not in NODE_KINDS:
            error = f"invalid node type value {node.type}"
            break
        if steps >= limits.run_steps:
            error = f"Max steps {limits.run_steps} reached."
            break
        steps += 1
        now_s += GAP_S
        started = NodeStarted(
            execution_id=random.uuid(),
            node_id=node.node_id,
            node_type=node.type,
            title=node.title,
            index=steps,
            step=steps,
            predecessor_node_id=previous,
            extras={"icon": tool_icon(node)} if node.type == "tool" else {},
            started_s=now_s,
        )
        timeline.append((now_s, started))
        seconds = random.vary(node.behaviour.seconds, node.behaviour.spread)
        outcome = run_node(NodeCall(node, workflow.variables, inputs, pool, random, seconds, spec))
        now_s += outcome.seconds
        failed = outcome.error is not None
        finished = NodeFinished(
            started=started,
            finished_s=now_s,
            status="failed" if failed else "succeeded",
            error=outcome.error,
            inputs=outcome.inputs or None,
            process_data=outcome.process_data or None,
            outputs=None if failed else outcome.outputs or None,
            execution_metadata=None if failed else outcome.execution_metadata,
            handle=None if failed else outcome.handle,
        )
        timeline.append((now_s, finished))
        tokens += outcome.total_tokens
        if outcome.error is not None:
            error = f"Node {node.title} run failed: {outcome.error}"
            break
        pool[node.node_id] = outcome.outputs or {}
        edges = workflow.outgoing[node.node_id]
        if outcome.handle != "source":
            edges = tuple(edge for edge in edges if edge.handle == outcome.handle)
        if node.type == "end" or not edges:
            status, outputs = "succeeded", outcome.outputs
            break
        previous, node = node.node_id, workflow.nodes[edges[0].target]
    now_s += GAP_S
    timeline.append((now_s, WorkflowFinished(status, outputs, error, now_s, tokens, steps)))
    late = now_s > limits.run_s
    return cut(timeline, limits.run_s, spec.run.stop_error) if late else tuple(timeline)


def with_pings(timeline: Timeline, ping: PingRule) -> Timeline:
    """The timeline with the pings before its end (FACTS 5.4), at most ``MOST_PINGS``."""
    pings: list[tuple[float, Event]] = []
    if ping.at_once:
        timeline = ((0.0, Ping()), *timeline)
    while (due_s := ping.first_s + ping.every_s * len(pings)) < timeline[-1][0]:
        if len(pings) == MOST_PINGS:
            break
        pings.append((due_s, Ping()))
    return tuple(sorted((*timeline, *pings), key=lambda entry: entry[0])) if pings else timeline
