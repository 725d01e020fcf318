"""The order of a stream's events, their ids, and the path of its nodes through the graph."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from contract.check import Level, check
from contract.evidence import blocking, blocking_data
from contract.result import NotRun, Skipped
from contract.shape import COUNT, OBJECT, UUID
from contract.target import Target, files_within
from contract.trace import Event, RunTrace, events_of, shared_trace, trace_check
from dify_wire.profile import Profile, profiles

_BEFORE, _BETWEEN, _IN_NODE, _AFTER = "before the run", "between nodes", "in a node", "after it"

TRANSITIONS: Mapping[str, Mapping[str, str]] = {
    _BEFORE: {"workflow_started": _BETWEEN},
    _BETWEEN: {"node_started": _IN_NODE, "workflow_finished": _AFTER},
    _IN_NODE: {"node_finished": _BETWEEN, "workflow_finished": _AFTER},
    _AFTER: {},
}
"""From a state, by an event, to the next state (FACTS 5.3). A stopped run may end in a node."""

ANYWHERE = frozenset({"text_replace", "tts_message", "tts_message_end"})
"""Legal wherever a run has begun and not ended, where the app moderates its output or speaks (FACTS
5.3 and 9); what a version sends besides the table stands in its schema of events.
"""

_IN_TABLE = frozenset(name for legal in TRANSITIONS.values() for name in legal)

_REPEATED = ("node_id", "node_type", "title", "index", "predecessor_node_id", "created_at")

# Order
# ---------------------------------------------------------------------------------------------


@trace_check(Level.HOST, "FACTS 5.3")
def stream_begins_with_workflow_started(trace: RunTrace) -> None:
    """The first event is workflow_started, and there is one."""
    trace.expect_equal(trace.events[0].name, "workflow_started", "first event")
    trace.expect_equal(len(trace.named("workflow_started")), 1, "number of workflow_started")


@trace_check(Level.HOST, "FACTS 5.3")
def stream_ends_with_one_workflow_finished(trace: RunTrace) -> None:
    """The last event is workflow_finished, and there is one."""
    trace.expect_equal(len(trace.named("workflow_finished")), 1, "number of workflow_finished")
    trace.expect_equal(trace.events[-1].name, "workflow_finished", "last event")


@trace_check(Level.VERSION, "FACTS 5.3 and 9")
def events_are_known_by_name(trace: RunTrace) -> None:
    """Every event is one that the host's version sends."""
    known = events_of(trace.profile) | ANYWHERE
    later = frozenset().union(*map(events_of, profiles().values()))
    for event in trace.events:
        level = Level.VERSION if event.name in later else Level.HOST
        expected = f"one of {', '.join(sorted(known))} as {trace.basis.version} has it"
        trace.expect(event.name in known, expected, event.name, level=level)


@trace_check(Level.HOST, "FACTS 5.3")
def events_come_in_the_order_of_the_table(trace: RunTrace) -> None:
    """Workflow started, then node by node started and finished, then workflow finished."""
    state = _BEFORE
    for at, event in enumerate(trace.events):
        is_running = state in (_BETWEEN, _IN_NODE)
        if is_running and event.name not in _IN_TABLE:
            continue
        following = TRANSITIONS[state].get(event.name)
        if following is None and is_running and trace.may_branch and _is_of_node(event):
            continue
        expected = f"{' or '.join(TRANSITIONS[state]) or 'no event'} as event {at + 1}, {state}"
        trace.expect(following is not None, expected, event.name)
        state = str(following)


def _is_of_node(event: Event) -> bool:
    return event.name.startswith("node_")


@trace_check(Level.HOST, "FACTS 5.3 and 9.1")
def nodes_run_one_after_the_other(trace: RunTrace) -> None:
    """After node_started comes the node_finished of that execution; only a stopped run leaves a
    node open.
    """
    if trace.may_branch:
        raise Skipped("this version runs branches side by side", trace.exchange)
    events = [one for one in trace.events if _is_of_node(one) or one.name == "workflow_finished"]
    for event, following in itertools.pairwise(events):
        ends_open = following.name == "workflow_finished" and not trace.has_succeeded
        if event.name == "node_started" and not ends_open:
            got, execution_id = (following.name, following.data.get("id")), event.data.get("id")
            is_its_end = got == ("node_finished", execution_id)
            trace.expect(is_its_end, f"node_finished of {execution_id}", got)


@trace_check(Level.HOST, "FACTS 5.3")
def every_started_node_finishes(trace: RunTrace) -> None:
    """Each node that started finishes, once, unless the run was stopped."""
    if trace.end.get("status") == "stopped":
        raise Skipped("the run was stopped", trace.exchange)
    started, finished = (
        sorted(str(event.data.get("id")) for event in trace.named(name))
        for name in ("node_started", "node_finished")
    )
    trace.expect_equal(finished, started, "finished executions")


# Ids
# ---------------------------------------------------------------------------------------------


@trace_check(Level.HOST, "FACTS 5.2")
def events_have_their_four_fields(trace: RunTrace) -> None:
    """An event is event, workflow_run_id, task_id and data, in this order."""
    names = ["event", "workflow_run_id", "task_id", "data"]
    for event in trace.events:
        trace.expect_equal(list(event.envelope), names, f"fields of {event.name}")
        trace.expect_kind(event.envelope["data"], OBJECT, f"data of {event.name}")


@trace_check(Level.HOST, "FACTS 5.2")
def task_id_is_constant_in_a_stream(trace: RunTrace) -> None:
    """Every event names the same task, by a uuid."""
    _expect_constant(trace, "task_id")


@trace_check(Level.HOST, "FACTS 5.2")
def workflow_run_id_is_constant_in_a_stream(trace: RunTrace) -> None:
    """Every event names the same run, by a uuid."""
    _expect_constant(trace, "workflow_run_id")


def _expect_constant(trace: RunTrace, name: str) -> None:
    first = trace.events[0].envelope.get(name)
    trace.expect_kind(first, UUID, name)
    for event in trace.events:
        trace.expect_equal(event.envelope.get(name), first, f"{name} of {event.name}")


@trace_check(Level.HOST, "FACTS 5.2 and 5.5")
def streamed_task_and_run_have_ids_of_their_own(trace: RunTrace) -> None:
    """task_id and workflow_run_id of a stream are two ids."""
    envelope = trace.events[0].envelope
    task_id = envelope.get("task_id")
    trace.expect(task_id != envelope.get("workflow_run_id"), "two ids", task_id)


@trace_check(Level.HOST, "FACTS 5.5")
def workflow_events_have_the_run_id(trace: RunTrace) -> None:
    """data.id of workflow_started and workflow_finished is the run's id."""
    for event in trace.events:
        if event.name.startswith("workflow_"):
            run_id = event.envelope.get("workflow_run_id")
            trace.expect_equal(event.data.get("id"), run_id, f"data.id of {event.name}")


@check(Level.HOST, "FACTS 4 and 5.5")
def workflow_id_is_the_same_in_both_modes(target: Target) -> None:
    """workflow_started, workflow_finished and the blocking response name the same workflow."""
    trace = shared_trace(target)
    expected = blocking_data(target).get("workflow_id")
    for data in (trace.start, trace.end):
        trace.expect_equal(data.get("workflow_id"), expected, "workflow_id")


@trace_check(Level.HOST, "FACTS 5.5")
def sequence_number_is_counted_from_one(trace: RunTrace) -> None:
    """sequence_number is a whole number from 1, the same at the end as at the beginning."""
    if "sequence_number" not in trace.profile.fields("WorkflowStartedData"):
        raise Skipped("this version has no sequence_number", trace.exchange)
    number = trace.start.get("sequence_number")
    trace.expect_kind(number, COUNT, "sequence_number")
    trace.expect_equal(trace.end.get("sequence_number"), number, "sequence_number at the end")


@trace_check(Level.HOST, "FACTS 5.5")
def execution_ids_are_uuids_of_their_own(trace: RunTrace) -> None:
    """Each execution of a node has a uuid that no other has, nor the run or its task."""
    taken = [trace.events[0].envelope.get(name) for name in ("task_id", "workflow_run_id")]
    for node in trace.nodes:
        execution_id = node.started.data.get("id")
        trace.expect_kind(execution_id, UUID, "id of node_started")
        trace.expect(execution_id not in taken, "an id of its own", execution_id)
        taken.append(execution_id)


# The path through the graph
# ---------------------------------------------------------------------------------------------


@trace_check(Level.HOST, "FACTS 5.5")
def node_finished_repeats_its_node_started(trace: RunTrace) -> None:
    """node_finished names its node as node_started did."""
    for node in trace.nodes:
        for name in _REPEATED if node.finished else ():
            expected = node.started.data.get(name)
            trace.expect_equal(node.result.get(name), expected, f"{name} of node_finished")


@trace_check(Level.HOST, "FACTS 5.5")
def nodes_are_numbered_from_one(trace: RunTrace) -> None:
    """index counts the nodes: 1, 2, 3 and on; later versions number each with 1."""
    got = [node.started.data.get("index") for node in trace.nodes]

    def numbers(profile: Profile) -> list[int]:
        return [1] * len(got) if _is_unnumbered(profile) else list(range(1, len(got) + 1))

    trace.expect_version(got, numbers, "indexes")


@trace_check(Level.HOST, "FACTS 5.5")
def nodes_name_their_predecessor(trace: RunTrace) -> None:
    """The first node has no predecessor, each other names the node before it; in later versions
    none does.
    """
    nodes = [node.started.data for node in trace.nodes]
    got = [data.get("predecessor_node_id") for data in nodes]
    before = [None, *(data.get("node_id") for data in nodes)][: len(nodes)]

    def named(profile: Profile) -> list[object]:
        return [None] * len(nodes) if _is_unnumbered(profile) else before

    trace.expect_version(got, named, "predecessors")


def _is_unnumbered(profile: Profile) -> bool:
    """Whether the nodes of a run have neither number nor predecessor."""
    return profile.fact("graph.indexed") is False


@trace_check(Level.HOST, "FACTS 5.3")
def run_begins_at_its_start_node(trace: RunTrace) -> None:
    """The first node is of type start, and no other is."""
    if not trace.nodes:
        raise NotRun("the run went through no node", trace.exchange)
    types = [node.started.data.get("node_type") for node in trace.nodes]
    starts = [at for at, node_type in enumerate(types) if node_type == "start"]
    trace.expect(starts == [0], "start first and nowhere else", types)


# Two runs at once
# ---------------------------------------------------------------------------------------------


@check(Level.HOST, "FACTS 8")
def runs_at_once_have_ids_of_their_own(target: Target) -> None:
    """Two runs at once share neither task, run nor file."""
    trace = shared_trace(target)
    other = blocking(target).json_object()
    for name in ("task_id", "workflow_run_id"):
        got = trace.events[0].envelope.get(name)
        trace.expect(got != other.get(name), f"a {name} of its own", got)
    streamed = {file_id for event in trace.events for file_id in _made(event.data)}
    common = streamed.intersection(_made(other))
    trace.expect(not common, "files of its own", sorted(common))


def _made(value: Any) -> set[str]:
    """The ids of the files that a run has made; a user may send the same file to several."""
    sent = ("local_file", "remote_url")
    files = (file for file in files_within(value) if file.get("transfer_method") not in sent)
    return {str(file.get("related_id")) for file in files}


@check(Level.HOST, "FACTS 8")
def each_frame_belongs_to_its_run(target: Target) -> None:
    """No frame of the stream names the run that was started at the same time."""
    trace = shared_trace(target)
    other = blocking(target).json_object()
    names = ("task_id", "workflow_run_id")
    foreign = {str(other.get(name)) for name in names}
    for event in trace.events[1:]:
        ids = [*(event.envelope.get(name) for name in names), event.data.get("id")]
        trace.expect(not foreign.intersection(map(str, ids)), "ids of this run", ids)
