"""Plans a run: from a request, an app and random values to the timeline of what happens, and when.

Pure: nothing here waits, reads a clock or does I/O. A timeline is a list of (seconds, event), the
seconds counted from the start of the run. Both renderers render the same list, a stream with pings
in it; only ``clock.Wait`` waits.

Order of events, which ``cut`` keeps too: ``WorkflowStarted`` first, then a ``NodeStarted`` before
its ``NodeFinished`` and other events of the node between them, one end last. Nodes of parallel
branches overlap. A node that fails without an error strategy finishes as failed and ends the run;
a node that is running when the run ends never finishes. A graph that cannot be built is one
``RunError`` and nothing else.
"""

from __future__ import annotations

from operator import itemgetter

from fake_server.host_spec import HostSpec, PingRule
from fake_server.runs.containers import CONTAINERS
from fake_server.runs.events import Event, Ping, RunError, Timeline, WorkflowStarted
from fake_server.runs.random_values import RandomValues
from fake_server.runs.scope import Scope
from fake_server.runs.values import Values
from fake_server.runs.walk import Run
from fake_server.workflow.expressions import Pool
from fake_server.workflow.model import Workflow
from fake_server.workflow.nodes import missing_report

MOST_PINGS = 100_000
"""The most pings of one run: at the host's own pace they go on for eleven days."""


def plan(workflow: Workflow, inputs: Values, random: RandomValues, spec: HostSpec) -> Timeline:
    """The timeline of a run of ``workflow`` without pings, ended by the host's own limit if it
    would take longer.

    ``inputs`` are the cleaned start variables and the system variables of the version.
    """
    problem = graph_error(workflow, spec)
    if isinstance(problem, RunError):
        return ((0.0, problem),)
    run = Run(workflow, inputs, random, spec, CONTAINERS)
    pool: Pool = {
        "sys": {name[4:]: value for name, value in inputs.items() if name.startswith("sys.")},
        "env": workflow.environment,
        "conversation": dict(workflow.conversation),
    }
    run.root = Scope(run, pool, run.timeline, on_end=run.ended)
    run.timeline.append((0.0, WorkflowStarted(run.shown_inputs)))
    if problem is not None:
        run.ended(problem)
    else:
        run.root.begin(workflow.start, spec.graph.gap_s)
    return run.play()


def graph_error(workflow: Workflow, spec: HostSpec) -> RunError | str | None:
    """Why the graph cannot be built: before there is a run, or as the error of a failed one."""
    errors, text, report = spec.graph.graph_errors, None, "build"
    if not workflow.complete or not workflow.nodes or workflow.start is None:
        name = "no_start" if workflow.nodes else "empty"
        rule = errors[name if workflow.complete else "no_nodes"]
        first = next((one for one, edges in workflow.incoming.items() if not edges), None)
        text, report = rule["text"].format(node=first), rule["report"]
    types_checked = errors["unknown_type"]["report"] == "build"
    for node in () if text else workflow.nodes.values():
        if types_checked and node.type not in spec.graph.node_types:
            text = errors["unknown_type"]["text"].format(type=node.type)
        elif node.behaviour.missing is not None:
            missing = missing_report(node, spec)
            text = missing.text if missing.when == "build" else None
        if text is not None:
            break
    return text if text is None or report == "run" else RunError("invalid_param", 400, text)


def with_pings(timeline: Timeline, ping: PingRule) -> Timeline:
    """The timeline with the pings before its end (FACTS 5.4), at most ``MOST_PINGS``."""
    if ping.at_once:
        timeline = ((0.0, Ping()), *timeline)
    entries: list[tuple[float, Event]] = list(timeline)
    ends_s, number, due_s = timeline[-1][0], 0, ping.first_s
    while due_s < ends_s and number < MOST_PINGS:
        entries.append((due_s, Ping()))
        number += 1
        due_s = ping.first_s + ping.every_s * number
    if number:
        entries.sort(key=itemgetter(0))
    return tuple(entries)
