"""Plans a run: from a request, an app and random values to the timeline of what happens, and when.

Pure: nothing here waits, reads a clock or does I/O. A timeline is a list of (seconds, event), the
seconds counted from the start of the run. Both renderers render the same list, a stream with pings
in it; only ``clock.Wait`` waits.

Order of events, which ``cut`` keeps too: ``WorkflowStarted`` first, then a ``NodeStarted`` before
its ``NodeFinished`` and whatever a node tells between them, one end last. Nodes of parallel
branches overlap. A node that fails, and has no strategy for that, finishes as failed and ends the
run; a node that is running when the run ends never finishes. A graph that cannot be built is one
``RunError`` and nothing else.
"""

from __future__ import annotations

from functools import partial

from fake_server.host_spec import HostSpec, PingRule
from fake_server.runs.containers import CONTAINERS
from fake_server.runs.events import (
    Event,
    HumanInputFilled,
    NodeStarted,
    Ping,
    RunError,
    Timeline,
    Values,
    WorkflowPaused,
    WorkflowStarted,
)
from fake_server.runs.human_input import answered
from fake_server.runs.random_values import RandomValues
from fake_server.runs.walk import Run
from fake_server.workflow.model import Workflow
from fake_server.workflow.nodes import missing_report

MOST_PINGS = 100_000
"""The most pings of one run: at the host's own pace they go on for eleven days."""


def plan(workflow: Workflow, inputs: Values, random: RandomValues, spec: HostSpec) -> Timeline:
    """The timeline of a run of ``workflow`` without pings, ended by the host's own limit if it
    would take longer.

    ``inputs`` are the cleaned start variables and the values of ``sys``, ``sys.files`` first.
    """
    problem = graph_error(workflow, spec)
    if isinstance(problem, RunError):
        return ((0.0, problem),)
    run = Run(workflow, inputs, random, spec, CONTAINERS)
    run.timeline.append((0.0, WorkflowStarted(_told(inputs))))
    if workflow.start is None:
        run.finish("failed", None, problem)
    else:
        run.root.begin(workflow.start, spec.graph.gap_s)
    return _played(run)


def _told(inputs: Values) -> Values:
    """The inputs as the start of the run tells them: without its time."""
    return {name: value for name, value in inputs.items() if name != "sys.timestamp"}


def graph_error(workflow: Workflow, spec: HostSpec) -> RunError | str | None:
    """Why the graph cannot be built: before there is a run, or as the error of a failed one."""
    name, values = None, {}
    if not workflow.complete:
        name = "no_nodes"
    elif not workflow.nodes:
        name = "empty"
    elif workflow.start is None:
        first = next((one for one, edges in workflow.incoming.items() if not edges), "None")
        name, values = "no_start", {"node": first}
    if name is None:
        return _node_error(workflow, spec)
    rule = spec.graph.graph_errors[name]
    text = rule["text"].format(**values)
    return text if rule["report"] == "run" else RunError("invalid_param", 400, text)


def _node_error(workflow: Workflow, spec: HostSpec) -> RunError | None:
    """What the version finds out about nodes before it runs any of them."""
    unknown = spec.graph.graph_errors["unknown_type"]
    for node in workflow.nodes.values() if unknown["report"] == "build" else ():
        if node.type not in spec.graph.node_types:
            return RunError("invalid_param", 400, unknown["text"].format(type=node.type))
    for node in workflow.nodes.values():
        if node.behaviour.missing is not None:
            report = missing_report(node, spec)
            if report.when == "build":
                return RunError("invalid_param", 400, report.text)
    return None


def _played(run: Run) -> Timeline:
    """What follows until the run ends, or waits for human input."""
    run.play()
    if run.end is None:
        forms = [{**form, "node_id": one.node.node_id, "node_title": one.node.title}
                 for one, form in run.forms]  # fmt: skip
        run.end = WorkflowPaused(
            None,
            [form["node_id"] for form in forms],
            forms,
            run.now_s + run.rules.gap_s,
            run.root.tokens,
            run.steps,
            partial(_resumed, run),
        )
    return run.planned()


def _resumed(run: Run, filled: HumanInputFilled, values: Values) -> Timeline:
    """What follows the form that is ``filled`` in, in seconds from then on."""
    gap_s = run.rules.gap_s
    run.timeline.clear()
    run.end, run.now_s, run.started_s = None, 0.0, 0.0
    run.timeline.append((0.0, WorkflowStarted(_told(run.inputs), resumed=True)))
    waiting, run.forms = run.forms, []
    for running, form in waiting:
        run.steps += 1
        started = running.first
        running.first = NodeStarted(
            started.execution_id, started.node_id, started.node_type, started.title,
            started.index, started.predecessor_node_id, started.extras, gap_s, started.place,
            step=run.steps,
        )  # fmt: skip
        run.timeline.append((gap_s, running.first))
        if running.node.node_id == filled.node_id:
            running.outcome = answered(filled, values)
            run.timeline.append((gap_s, filled))
            run.at(gap_s, running.scope.finish, running)
        else:
            run.at(gap_s, partial(run.ask, form=form), running)
    run.release()
    return _played(run)


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
