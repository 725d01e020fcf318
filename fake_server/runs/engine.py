"""Plans a run: from a request, an app and random values to the timeline of what happens, and when.

Pure: nothing here waits, reads a clock or does I/O. A timeline is a list of (seconds, event), the
seconds counted from the start of the run. Both renderers render the same list, a stream with pings
in it; only ``waiting`` waits.

Order of events (FACTS 5.3), which ``cut`` keeps too:

    WorkflowStarted (NodeStarted NodeFinished)* [NodeStarted] WorkflowFinished

with a Ping anywhere between. A node that fails finishes as failed and ends the run; a node that is
running when the run is stopped never finishes.
"""

from __future__ import annotations

from collections.abc import Sequence

from fake_server.runs.events import (
    Event,
    NodeFinished,
    NodeStarted,
    Ping,
    Values,
    WorkflowFinished,
    WorkflowStarted,
)
from fake_server.runs.random_values import RandomValues
from fake_server.spec import Limits, PingRule
from fake_server.workflow.expressions import Pool
from fake_server.workflow.model import Workflow
from fake_server.workflow.nodes import NODE_KINDS, NodeCall, run_node, tool_icon

GAP_S = 0.008
"""From one frame to the next where nothing takes time, as recorded [C: stream_simple]."""

STOPPED = "Workflow stopped."

MOST_PINGS = 100_000
"""The most pings of one run: at the host's own pace they go on for eleven days."""

Timeline = tuple[tuple[float, Event], ...]


def plan(workflow: Workflow, inputs: Values, random: RandomValues, limits: Limits) -> Timeline:
    """The timeline of a run of ``workflow`` without pings, ended by the host's own limit if it
    would take longer.

    ``inputs`` are the cleaned start variables, ``sys.files`` last.
    """
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
            predecessor_node_id=previous,
            extras={"icon": tool_icon(node)} if node.type == "tool" else {},
            started_s=now_s,
        )
        timeline.append((now_s, started))
        seconds = random.vary(node.behaviour.seconds, node.behaviour.spread)
        outcome = run_node(NodeCall(node, workflow.variables, inputs, pool, random, seconds))
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
        )
        timeline.append((now_s, finished))
        tokens += outcome.total_tokens
        if outcome.error is not None:
            error = f"Node {node.title} run failed: {outcome.error}"
            break
        pool[node.node_id] = outcome.outputs or {}
        following = workflow.edges.get((node.node_id, outcome.handle))
        if node.type == "end" or following is None:
            status, outputs = "succeeded", outcome.outputs
            break
        previous, node = node.node_id, workflow.nodes[following]
    now_s += GAP_S
    timeline.append((now_s, WorkflowFinished(status, outputs, error, now_s, tokens, steps)))
    return cut(timeline, limits.run_s) if now_s > limits.run_s else tuple(timeline)


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
    tokens = [int((event.execution_metadata or {}).get("total_tokens", 0)) for event in finished]
    end = WorkflowFinished(
        status="stopped",
        outputs=None,
        error=STOPPED,
        elapsed_s=at_s,
        total_tokens=sum(tokens),
        total_steps=sum(isinstance(event, NodeStarted) for _, event in before),
    )
    return (*before, (at_s, end))


def with_pings(timeline: Timeline, ping: PingRule) -> Timeline:
    """The timeline with the pings that are due before its end (FACTS 5.4), at most
    ``MOST_PINGS``.
    """
    pings: list[tuple[float, Event]] = []
    while (due_s := ping.first_s + ping.every_s * len(pings)) < timeline[-1][0]:
        if len(pings) == MOST_PINGS:
            break
        pings.append((due_s, Ping()))
    return tuple(sorted((*timeline, *pings), key=lambda entry: entry[0])) if pings else timeline
