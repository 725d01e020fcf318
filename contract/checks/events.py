"""The events of a streaming run: their order, their fields, and how they go together.

The order is one table, of states and of what may be told in each; what later versions tell beside
it has its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from contract.check import Level, check
from contract.checks.responses import expect_just_now, expect_times_agree
from contract.checks.streamed_files import ids_of
from contract.evidence import DOCUMENT_MODEL, blocking, blocking_data, told_stream
from contract.result import NotRun, Skipped, expect, expect_equal
from contract.shape import (
    COUNT,
    LIST,
    NULL,
    OBJECT,
    SECONDS,
    TEXT,
    UNIX_S,
    UUID,
    WHOLE,
    WORDS,
    among,
    expect_fields,
    expect_kind,
    expect_kinds,
    fields,
    files_within,
    or_null,
)
from contract.target import USER, Target
from contract.trace import Node, Story, Told, as_object, seconds, shared_story
from dify_wire.exchange import Exchange, loads

TRANSITIONS: Mapping[str, Mapping[str, str]] = {
    "nothing told": {"workflow_started": "between nodes"},
    "between nodes": {"node_started": "in a node", "workflow_finished": "told"},
    "in a node": {"node_finished": "between nodes", "workflow_finished": "told"},
    "told": {},
}
"""From a state, by an event, to the next state (FACTS 5.3). A run that is stopped may end in a
node.
"""

ANYWHERE = frozenset({"text_replace"})
"""Legal wherever a run has begun and not ended: this one where the app moderates its output (FACTS
5.3).
"""

LATER_ANYWHERE = frozenset(
    {
        *("text_chunk", "node_retry", "agent_log", "tts_message", "tts_message_end"),
        *("iteration_started", "iteration_next", "iteration_completed"),
        *("loop_started", "loop_next", "loop_completed"),
        *("parallel_branch_started", "parallel_branch_finished"),
    }
)
"""What versions after 0.6 tell beside it (FACTS 9)."""

_STARTED_FIELDS = fields(
    "id workflow_id sequence_number inputs created_at", dropped="sequence_number"
)
_NODE_STARTED_FIELDS = fields(
    "id node_id node_type title index predecessor_node_id inputs created_at extras",
    added="parallel_id parallel_start_node_id parent_parallel_id parent_parallel_start_node_id iteration_id "
    "parallel_run_id loop_id agent_strategy inputs_truncated",
)
_NODE_FINISHED_FIELDS = fields(
    "id node_id node_type title index predecessor_node_id inputs process_data outputs status error elapsed_time "
    "execution_metadata created_at finished_at files",
    added="parallel_id parallel_start_node_id parent_parallel_id parent_parallel_start_node_id iteration_id loop_id "
    "inputs_truncated process_data_truncated outputs_truncated",
)
_FINISHED_FIELDS = fields(
    "id workflow_id sequence_number status outputs error elapsed_time total_tokens total_steps created_by created_at "
    "finished_at files",
    added="exceptions_count",
    dropped="sequence_number",
)
_LLM_OUTPUTS = fields("text usage", added="finish_reason")
_LLM_PROCESS_DATA = fields("model_mode prompts", added="model_provider model_name")
_TOOL_OUTPUTS = fields("text files", added="json")
_TOKEN_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")

_ROUNDING_S = 0.01


def _told(target: Target, event: str) -> tuple[Exchange, list[Mapping[str, Any]]]:
    """``data`` of each event of that name. Raises ``NotRun`` where there is none."""
    story = shared_story(target)
    found = [one.data for one in story.told if one.event == event]
    if not found:
        raise NotRun(f"the stream tells no {event}", story.exchange)
    return story.exchange, found


# Order
# ---------------------------------------------------------------------------------------------------------------


@check(Level.HOST, "FACTS 5.3")
def stream_begins_with_workflow_started(target: Target) -> None:
    """The first event is workflow_started, and it is told once."""
    story = shared_story(target)
    expect_equal(story.told[0].event, "workflow_started", "first event", story.exchange)
    again = sum(one.event == "workflow_started" for one in story.told)
    expect_equal(again, 1, "number of workflow_started", story.exchange)


@check(Level.HOST, "FACTS 5.3")
def stream_ends_with_one_workflow_finished(target: Target) -> None:
    """The last event is workflow_finished, and it is told once."""
    story = shared_story(target)
    count = sum(one.event == "workflow_finished" for one in story.told)
    expect_equal(count, 1, "number of workflow_finished", story.exchange)
    expect_equal(story.told[-1].event, "workflow_finished", "last event", story.exchange)


@check(Level.VERSION, "FACTS 5.3 and 9")
def events_are_known_by_name(target: Target) -> None:
    """Every event is one that a recorded version tells; those of later versions are a version's
    difference.
    """
    story = shared_story(target)
    known = {event for legal in TRANSITIONS.values() for event in legal} | ANYWHERE
    for one in story.told:
        level = Level.VERSION if one.event in LATER_ANYWHERE else Level.HOST
        expect(
            one.event in known,
            f"one of {', '.join(sorted(known))}",
            one.event,
            story.exchange,
            level=level,
        )


@check(Level.HOST, "FACTS 5.3")
def events_come_in_the_order_of_the_table(target: Target) -> None:
    """Workflow started, then node by node started and finished, then workflow finished."""
    story = shared_story(target)
    state = "nothing told"
    for at, one in enumerate(story.told):
        if state in ("between nodes", "in a node") and one.event in ANYWHERE | LATER_ANYWHERE:
            continue
        following = TRANSITIONS[state].get(one.event)
        if following is None and _is_of_a_branch(story, state, one):
            continue
        expected = f"{' or '.join(TRANSITIONS[state]) or 'no event'} as event {at + 1}, {state}"
        expect(following is not None, expected, one.event, story.exchange)
        state = str(following)


def _is_of_a_branch(story: Story, state: str, one: Told) -> bool:
    """Whether a later version tells of a second node beside the one that runs."""
    return (
        story.is_later and state in ("between nodes", "in a node") and one.event.startswith("node_")
    )


@check(Level.HOST, "FACTS 5.3 and 9.1")
def nodes_run_one_after_the_other(target: Target) -> None:
    """After node_started comes the node_finished of that execution; only a stopped run leaves a
    node open.
    """
    story = shared_story(target)
    told = [
        one
        for one in story.told
        if one.event.startswith("node_") or one.event == "workflow_finished"
    ]
    for one, following in itertools.pairwise(told):
        if one.event == "node_started" and not (
            following.event == "workflow_finished" and not story.has_succeeded
        ):
            got = (following.event, following.data.get("id"))
            expected = f"node_finished of {one.data.get('id')}"
            expect(
                got == ("node_finished", one.data.get("id")),
                expected,
                got,
                story.exchange,
                level=story.level,
            )


@check(Level.HOST, "FACTS 5.3")
def every_started_node_finishes(target: Target) -> None:
    """Each node that started finishes, once, unless the run was stopped."""
    story = shared_story(target)
    if story.end.get("status") == "stopped":
        raise Skipped("the run was stopped", story.exchange)
    started = [one.data.get("id") for one in story.told if one.event == "node_started"]
    finished = [one.data.get("id") for one in story.told if one.event == "node_finished"]
    expect_equal(
        sorted(map(str, finished)), sorted(map(str, started)), "finished executions", story.exchange
    )


# Ids
# -----------------------------------------------------------------------------------------------------------------


@check(Level.HOST, "FACTS 5.2")
def events_have_their_four_fields(target: Target) -> None:
    """An event is event, workflow_run_id, task_id and data, in this order."""
    story = shared_story(target)
    for one in story.told:
        names = ["event", "workflow_run_id", "task_id", "data"]
        expect_equal(list(one.envelope), names, f"fields of {one.event}", story.exchange)
        expect_kind(one.envelope["data"], OBJECT, f"data of {one.event}", story.exchange)


@check(Level.HOST, "FACTS 5.2")
def task_id_is_constant_in_a_stream(target: Target) -> None:
    """Every event names the same task, by a uuid."""
    _expect_constant(shared_story(target), "task_id")


@check(Level.HOST, "FACTS 5.2")
def workflow_run_id_is_constant_in_a_stream(target: Target) -> None:
    """Every event names the same run, by a uuid."""
    _expect_constant(shared_story(target), "workflow_run_id")


def _expect_constant(story: Story, name: str) -> None:
    first = story.told[0].envelope.get(name)
    expect_kind(first, UUID, name, story.exchange)
    for one in story.told:
        expect_equal(one.envelope.get(name), first, f"{name} of {one.event}", story.exchange)


@check(Level.HOST, "FACTS 5.2 and 5.5")
def streamed_task_and_run_have_ids_of_their_own(target: Target) -> None:
    """task_id and workflow_run_id of a stream are two ids."""
    story = shared_story(target)
    told = story.told[0].envelope
    expect(
        told.get("task_id") != told.get("workflow_run_id"),
        "two ids",
        told.get("task_id"),
        story.exchange,
    )


@check(Level.HOST, "FACTS 5.5")
def workflow_events_have_the_run_id(target: Target) -> None:
    """data.id of workflow_started and workflow_finished is the run's id."""
    story = shared_story(target)
    for one in story.told:
        if one.event.startswith("workflow_"):
            expected = one.envelope.get("workflow_run_id")
            expect_equal(one.data.get("id"), expected, f"data.id of {one.event}", story.exchange)


@check(Level.HOST, "FACTS 4 and 5.5")
def workflow_id_is_the_same_in_both_modes(target: Target) -> None:
    """workflow_started, workflow_finished and the blocking answer name the same workflow."""
    story = shared_story(target)
    expected = blocking_data(target).get("workflow_id")
    for data in (story.beginning, story.end):
        expect_equal(data.get("workflow_id"), expected, "workflow_id", story.exchange)


@check(Level.HOST, "FACTS 5.5")
def sequence_number_is_counted_from_one(target: Target) -> None:
    """sequence_number is a whole number from 1, the same at the end as at the beginning."""
    story = shared_story(target)
    if story.is_later and "sequence_number" not in story.beginning:
        raise Skipped("this version tells no sequence_number", story.exchange)
    number = story.beginning.get("sequence_number")
    expect_kind(number, COUNT, "sequence_number", story.exchange)
    expect_equal(
        story.end.get("sequence_number"), number, "sequence_number at the end", story.exchange
    )


@check(Level.HOST, "FACTS 5.5")
def elapsed_times_of_a_stream_are_written_with_a_point(target: Target) -> None:
    """elapsed_time of the run and of its nodes is a float, never a whole number."""
    stream = told_stream(target)
    for said in (*stream.events("node_finished"), *stream.events("workflow_finished")):
        elapsed = said.get("elapsed_time")
        expect(
            isinstance(elapsed, float), "a float as elapsed_time", repr(elapsed), stream.exchange
        )


@check(Level.HOST, "FACTS 5.5")
def execution_ids_are_uuids_of_their_own(target: Target) -> None:
    """Each execution of a node has a uuid that no other has, nor the run or its task."""
    story = shared_story(target)
    taken = [story.told[0].envelope.get(name) for name in ("task_id", "workflow_run_id")]
    for node in story.nodes:
        execution_id = node.started.data.get("id")
        expect_kind(execution_id, UUID, "id of node_started", story.exchange)
        expect(execution_id not in taken, "an id of its own", execution_id, story.exchange)
        taken.append(execution_id)


@check(Level.HOST, "FACTS 5.5")
def node_finished_repeats_its_node_started(target: Target) -> None:
    """node_finished names its node as node_started did."""
    story = shared_story(target)
    for node in story.nodes:
        for name in ("node_id", "node_type", "title", "index", "predecessor_node_id", "created_at"):
            if node.finished is not None:
                expected = node.started.data.get(name)
                expect_equal(
                    node.outcome.get(name), expected, f"{name} of node_finished", story.exchange
                )


@check(Level.HOST, "FACTS 5.5")
def nodes_are_numbered_from_one(target: Target) -> None:
    """index counts the nodes: 1, 2, 3 and on."""
    story = shared_story(target)
    got = [node.started.data.get("index") for node in story.nodes]
    expected = list(range(1, len(got) + 1))
    expect(got == expected, f"indexes {expected}", got, story.exchange, level=story.level)


@check(Level.HOST, "FACTS 5.5")
def nodes_name_their_predecessor(target: Target) -> None:
    """The first node has no predecessor, each other names the node before it."""
    story = shared_story(target)
    nodes = [node.started.data for node in story.nodes]
    got = [data.get("predecessor_node_id") for data in nodes]
    expected = [None, *(data.get("node_id") for data in nodes)][: len(nodes)]
    expect(got == expected, f"predecessors {expected}", got, story.exchange, level=story.level)


@check(Level.HOST, "FACTS 5.3")
def run_begins_at_its_start_node(target: Target) -> None:
    """The first node is of type start, and no other is."""
    story = shared_story(target)
    if not story.nodes:
        raise NotRun("the run went through no node", story.exchange)
    types = [node.started.data.get("node_type") for node in story.nodes]
    starts = [at for at, node_type in enumerate(types) if node_type == "start"]
    expect(starts == [0], "start first and nowhere else", types, story.exchange)


# Fields
# --------------------------------------------------------------------------------------------------------------


@check(Level.HOST, "FACTS 5.5, 9.1 and 9.2")
def workflow_started_has_the_hosts_fields(target: Target) -> None:
    """data of workflow_started has the host's fields in its order, and no other."""
    exchange, (data, *_) = _told(target, "workflow_started")
    expect_fields(
        data, _STARTED_FIELDS, shared_story(target).is_later, "workflow_started", exchange
    )


@check(Level.HOST, "FACTS 5.5, 9.1 and 9.2")
def node_started_has_the_hosts_fields(target: Target) -> None:
    """data of node_started has the host's fields in its order, and no other."""
    exchange, told = _told(target, "node_started")
    for data in told:
        expect_fields(
            data, _NODE_STARTED_FIELDS, shared_story(target).is_later, "node_started", exchange
        )


@check(Level.HOST, "FACTS 5.5, 9.1 and 9.2")
def node_finished_has_the_hosts_fields(target: Target) -> None:
    """data of node_finished has the host's fields in its order, and no other."""
    exchange, told = _told(target, "node_finished")
    for data in told:
        expect_fields(
            data, _NODE_FINISHED_FIELDS, shared_story(target).is_later, "node_finished", exchange
        )


@check(Level.HOST, "FACTS 5.5, 9.1 and 9.2")
def workflow_finished_has_the_hosts_fields(target: Target) -> None:
    """data of workflow_finished has the host's fields in its order, and no other."""
    exchange, (data, *_) = _told(target, "workflow_finished")
    expect_fields(
        data, _FINISHED_FIELDS, shared_story(target).is_later, "workflow_finished", exchange
    )


@check(Level.HOST, "FACTS 5.5")
def workflow_started_is_of_the_hosts_kinds(target: Target) -> None:
    """The values of workflow_started are of the host's kinds."""
    exchange, (data, *_) = _told(target, "workflow_started")
    kinds = {
        "id": UUID,
        "workflow_id": UUID,
        "sequence_number": COUNT,
        "inputs": OBJECT,
        "created_at": UNIX_S,
    }
    expect_kinds(data, kinds, "workflow_started", exchange)


@check(Level.HOST, "FACTS 5.5")
def node_started_is_of_the_hosts_kinds(target: Target) -> None:
    """The values of node_started are of the host's kinds; inputs are always null."""
    exchange, told = _told(target, "node_started")
    kinds = {
        "id": UUID, "node_id": WORDS, "node_type": WORDS, "title": TEXT, "index": COUNT,
        "predecessor_node_id": or_null(WORDS), "inputs": NULL, "created_at": UNIX_S, "extras": OBJECT,
    }  # fmt: skip
    for data in told:
        expect_kinds(data, kinds, "node_started", exchange)


@check(Level.HOST, "FACTS 5.5")
def node_finished_is_of_the_hosts_kinds(target: Target) -> None:
    """The values of node_finished are of the host's kinds."""
    exchange, told = _told(target, "node_finished")
    kinds = {
        "inputs": or_null(OBJECT), "process_data": or_null(OBJECT), "outputs": or_null(OBJECT),
        "status": among("succeeded", "failed"), "error": or_null(TEXT), "elapsed_time": SECONDS,
        "execution_metadata": or_null(OBJECT), "created_at": UNIX_S, "finished_at": UNIX_S, "files": LIST,
    }  # fmt: skip
    for data in told:
        expect_kinds(data, kinds, "node_finished", exchange)


@check(Level.HOST, "FACTS 5.5")
def workflow_finished_is_of_the_hosts_kinds(target: Target) -> None:
    """The values of workflow_finished are of the host's kinds."""
    exchange, (data, *_) = _told(target, "workflow_finished")
    kinds = {
        "id": UUID, "workflow_id": UUID, "status": among("succeeded", "failed", "stopped"), "outputs": or_null(OBJECT),
        "error": or_null(TEXT), "elapsed_time": SECONDS, "total_tokens": WHOLE, "total_steps": WHOLE,
        "created_by": OBJECT, "created_at": UNIX_S, "finished_at": UNIX_S, "files": LIST, "exceptions_count": WHOLE,
    }  # fmt: skip
    expect_kinds(data, kinds, "workflow_finished", exchange)


@check(Level.HOST, "FACTS 5.5")
def extras_hold_at_most_an_icon(target: Target) -> None:
    """extras is empty but for a tool's icon, which is a string and stands in each tool's."""
    exchange, told = _told(target, "node_started")
    for data in told:
        names = ["icon"] if data.get("node_type") == "tool" else []
        extras = data.get("extras")
        expect(
            isinstance(extras, dict) and list(extras) == names,
            f"extras with {names}",
            extras,
            exchange,
        )
        expect(
            all(isinstance(icon, str) for icon in dict(extras or {}).values()),
            "a string",
            extras,
            exchange,
        )


# What goes in
# --------------------------------------------------------------------------------------------------------


@check(Level.DOCUMENT, "document lines 30 and 38; FACTS 5.5")
def prompt_comes_back_character_for_character(target: Target) -> None:
    """workflow_started and the start node tell the Chinese prompt exactly as it was sent."""
    story = shared_story(target)
    if not story.nodes and not story.has_succeeded:
        raise Skipped("the run failed before its start node", story.exchange)
    told = [story.beginning.get("inputs")]
    told += [
        node.outcome.get(name) for node in _start_nodes(story) for name in ("inputs", "outputs")
    ]
    for inputs in told:
        got = inputs.get("prompt") if isinstance(inputs, dict) else inputs
        expect_equal(
            got, as_object(_sent(story).get("inputs")).get("prompt"), "prompt", story.exchange
        )


def _sent(story: Story) -> Mapping[str, Any]:
    """The body of the run's request."""
    return as_object(loads(story.exchange.request.body))


def _start_nodes(story: Story) -> list[Node]:
    return [
        node for node in story.nodes if node.finished and node.outcome.get("node_type") == "start"
    ]


@check(Level.HOST, "FACTS 5.5, 9.0 and 9.1")
def inputs_tell_of_no_files(target: Target) -> None:
    """The inputs of a run without files have sys.files, an empty array; of sys.* 0.6.4 has nothing
    else.
    """
    story = shared_story(target)
    inputs = story.beginning.get("inputs")
    of_host = {name: value for name, value in as_object(inputs).items() if name.startswith("sys.")}
    expect_equal(of_host.get("sys.files"), [], "sys.files", story.exchange)
    more = {name: value for name, value in of_host.items() if name != "sys.files"}
    level = Level.VERSION if more == {"sys.user_id": USER} else story.level  # since 0.6.6
    expect(not more, "no other sys. input", ", ".join(more), story.exchange, level=level)


@check(Level.HOST, "FACTS 5.5")
def start_node_passes_the_inputs_on(target: Target) -> None:
    """inputs and outputs of the start node are the run's inputs."""
    story = shared_story(target)
    if not _start_nodes(story):
        raise NotRun("no start node finished", story.exchange)
    for node in _start_nodes(story):
        for name in ("inputs", "outputs"):
            expect_equal(
                node.outcome.get(name),
                story.beginning.get("inputs"),
                f"{name} of start",
                story.exchange,
            )


@check(Level.DOCUMENT, "document lines 21 and 26; FACTS 5.5")
def created_by_is_the_user_of_the_request(target: Target) -> None:
    """created_by is the user that was sent, with the uuid that the host has given them."""
    story = shared_story(target)
    created_by = as_object(story.end.get("created_by"))
    expect_equal(list(created_by), ["id", "user"], "fields of created_by", story.exchange)
    expect_equal(created_by.get("user"), str(_sent(story).get("user")), "user", story.exchange)
    expect_kind(created_by.get("id"), UUID, "id of the user", story.exchange)


@check(Level.HOST, "document line 31; FACTS 3, row 11")
def model_left_out_is_not_another_runs_model(target: Target) -> None:
    """A run without a model does not run with the model of the run that was asked for at the same
    time.
    """
    story = shared_story(target)
    if as_object(_sent(story).get("inputs")).get("model_name"):
        raise Skipped("this run was given a model", story.exchange)
    model = as_object(story.beginning.get("inputs")).get("model_name")
    expect(model != DOCUMENT_MODEL, "no model, or the app's default", model, story.exchange)


# What comes out
# ------------------------------------------------------------------------------------------------------


@check(Level.DOCUMENT, "document lines 19 and 51")
def streaming_run_succeeds(target: Target) -> None:
    """The streaming run ends as succeeded."""
    story = shared_story(target)
    expect_equal(
        story.end.get("status"),
        "succeeded",
        "status",
        story.exchange,
        f"error: {story.end.get('error')}",
    )


@check(Level.HOST, "FACTS 4 and 5.5")
def streamed_error_and_outputs_fit_the_status(target: Target) -> None:
    """A succeeded run has the error null; any other tells why, and has no outputs and no files."""
    story = shared_story(target)
    end = story.end
    if story.has_succeeded:
        expect(end.get("error", "") is None, "error null", end.get("error"), story.exchange)
    else:
        expect_kind(end.get("error"), WORDS, "error", story.exchange)
        expect(end.get("outputs", "") is None, "outputs null", end.get("outputs"), story.exchange)
        expect_equal(end.get("files"), [], "files", story.exchange)


@check(Level.HOST, "FACTS 5.3 and 5.5")
def node_results_fit_their_status(target: Target) -> None:
    """A succeeded node has the error null; a failed one tells why, has no results, and is the last
    of a failed run.
    """
    story = shared_story(target)
    for node in story.nodes:
        got = [
            node.outcome.get(name) for name in ("error", "outputs", "execution_metadata", "files")
        ]
        if node.outcome.get("status") == "succeeded":
            expect(got[0] is None, "error null", got[0], story.exchange)
        elif node.finished:
            expect_kind(got[0], WORDS, "error of a failed node", story.exchange)
            empty, ends = (
                got[1:] == [None, None, []],
                node is story.nodes[-1] and not story.has_succeeded,
            )
            expect(
                empty and ends,
                "no results, and the end of a failed run",
                got,
                story.exchange,
                level=story.level,
            )


@check(Level.HOST, "FACTS 4")
def node_tokens_add_up(target: Target) -> None:
    """total_tokens is the sum of what the succeeded nodes report."""
    story = shared_story(target)
    metadata = [as_object(node.outcome.get("execution_metadata")) for node in story.nodes]
    tokens = sum(int(seconds(one.get("total_tokens"))) for one in metadata)
    expect_equal(story.end.get("total_tokens"), tokens, "total_tokens", story.exchange)


@check(Level.HOST, "FACTS 4")
def steps_are_the_nodes_started(target: Target) -> None:
    """total_steps is the number of nodes that started."""
    story = shared_story(target)
    got, count = story.end.get("total_steps"), len(story.nodes)
    expect(got == count, f"total_steps {count}", got, story.exchange, level=story.level)


@check(Level.HOST, "FACTS 4 and 5.7")
def nodes_take_no_longer_than_the_run(target: Target) -> None:
    """The nodes' elapsed times add up to no more than the run's."""
    story = shared_story(target)
    total = sum(node.elapsed_s for node in story.nodes)
    expected = f"no more than {story.elapsed_s:.3f} s"
    expect(
        total <= story.elapsed_s + _ROUNDING_S,
        expected,
        f"{total:.3f} s",
        story.exchange,
        level=story.level,
    )


@check(Level.HOST, "FACTS 4 and 5.7")
def times_of_each_node_agree(target: Target) -> None:
    """finished_at - created_at of a node is its elapsed_time, within what the host's rounding makes
    of it.
    """
    story = shared_story(target)
    for node in story.nodes:
        if node.finished:
            expect_times_agree(
                node.outcome, f"node {node.outcome.get('index')}", story.exchange, story.level
            )


@check(Level.HOST, "FACTS 4 and 5.5")
def times_of_a_streamed_run_agree(target: Target) -> None:
    """The run's times agree, and created_at is the same at the end as at the beginning."""
    story = shared_story(target)
    expect_equal(
        story.end.get("created_at"), story.beginning.get("created_at"), "created_at", story.exchange
    )
    expect_times_agree(story.end, "the run", story.exchange, story.level)


@check(Level.HOST, "FACTS 4 and 5.5")
def nodes_start_within_the_run(target: Target) -> None:
    """Nodes start one after the other, none before its run or after its end (a second for the
    host's rounding).
    """
    story = shared_story(target)
    told = [
        story.beginning.get("created_at"),
        *(node.started.data.get("created_at") for node in story.nodes),
    ]
    told.append(story.end.get("finished_at"))
    *starts, finished_at = [at for at in told if type(at) is int] or [0]
    if len(starts) + 1 < len(told):
        raise NotRun("the run has no times to compare", story.exchange)
    in_order = starts == sorted(starts) and starts[-1] <= finished_at + 1
    expect(in_order, "times in order", told, story.exchange)


@check(Level.HOST, "FACTS 4")
def streamed_run_finished_just_now(target: Target) -> None:
    """finished_at is the time at which the stream ended, by the host's own clock or by ours."""
    story = shared_story(target)
    expect_just_now(story.end.get("finished_at"), story.exchange)


# Nodes of each type
# --------------------------------------------------------------------------------------------------


@check(Level.HOST, "FACTS 5.5 and 9.1")
def language_model_tells_text_and_usage(target: Target) -> None:
    """A language model's node tells its text and usage, and the prompts it was given."""
    story = shared_story(target)
    for node in story.of_type("llm"):
        outputs, process_data = (
            as_object(node.outcome.get(name)) for name in ("outputs", "process_data")
        )
        expect_fields(outputs, _LLM_OUTPUTS, story.is_later, "outputs of llm", story.exchange)
        expect_fields(
            process_data, _LLM_PROCESS_DATA, story.is_later, "process_data of llm", story.exchange
        )
        expect_kinds(outputs, {"text": TEXT, "usage": OBJECT}, "llm", story.exchange)
        expect_kinds(
            process_data,
            {"model_mode": among("chat", "completion"), "prompts": LIST},
            "llm",
            story.exchange,
        )


@check(Level.HOST, "FACTS 5.5")
def language_model_counts_its_tokens(target: Target) -> None:
    """Tokens of the prompt and of the completion are the total, which execution_metadata
    repeats.
    """
    story = shared_story(target)
    for node in story.of_type("llm"):
        usage = as_object(as_object(node.outcome.get("outputs")).get("usage"))
        for name in _TOKEN_COUNTS:
            expect_kind(usage.get(name), WHOLE, name, story.exchange)
        prompt, completion, total = (usage[name] for name in _TOKEN_COUNTS)
        expect_equal(total, prompt + completion, "total_tokens of usage", story.exchange)
        metadata = as_object(node.outcome.get("execution_metadata"))
        expect_equal(
            metadata.get("total_tokens"),
            total,
            "total_tokens of execution_metadata",
            story.exchange,
        )


@check(Level.HOST, "FACTS 5.5 and 9.1")
def condition_tells_its_result(target: Target) -> None:
    """An if-else node tells a result that is true or false, and one for each of its conditions."""
    story = shared_story(target)
    for node in story.of_type("if-else"):
        result = as_object(node.outcome.get("outputs")).get("result")
        expect(isinstance(result, bool), "a result true or false", result, story.exchange)
        process_data = as_object(node.outcome.get("process_data"))
        told = process_data.get("condition_results")
        holds = isinstance(told, list) and all(
            isinstance(as_object(one).get("result"), bool) for one in told
        )
        expect(holds, "condition_results with a result each", told, story.exchange)


@check(Level.HOST, "FACTS 5.5 and 9.1")
def picture_tool_tells_text_and_files(target: Target) -> None:
    """A tool's node tells a text and an array of files, and which tool it is."""
    story = shared_story(target)
    for node in story.of_type("tool"):
        outputs = as_object(node.outcome.get("outputs"))
        expect_fields(outputs, _TOOL_OUTPUTS, story.is_later, "outputs of tool", story.exchange)
        expect_kinds(outputs, {"text": TEXT, "files": LIST}, "tool", story.exchange)
        info = as_object(as_object(node.outcome.get("execution_metadata")).get("tool_info"))
        for name in ("provider_type", "provider_id"):
            expect_kind(info.get(name), WORDS, f"{name} of tool_info", story.exchange)


@check(Level.HOST, "FACTS 5.5")
def end_node_selects_the_runs_outputs(target: Target) -> None:
    """inputs and outputs of the end node have the names of the run's outputs, in the same order."""
    story = shared_story(target)
    for node in story.of_type("end"):
        for name in ("inputs", "outputs"):
            got = list(as_object(node.outcome.get(name)))
            expect_equal(
                got,
                list(as_object(story.end.get("outputs"))),
                f"names in {name} of end",
                story.exchange,
            )


# Two runs at once
# ----------------------------------------------------------------------------------------------------


@check(Level.HOST, "FACTS 8")
def runs_at_once_have_ids_of_their_own(target: Target) -> None:
    """Two runs at once share neither task, run nor file."""
    story = shared_story(target)
    theirs = blocking(target).json_object()
    for name in ("task_id", "workflow_run_id"):
        got = story.told[0].envelope.get(name)
        expect(got != theirs.get(name), f"a {name} of its own", got, story.exchange)
    made = set(map(str, ids_of(list(files_within(theirs)))))
    shared = made & {
        str(identity) for one in story.told for identity in ids_of(list(files_within(one.data)))
    }
    expect(not shared, "files of its own", sorted(shared), story.exchange)


@check(Level.HOST, "FACTS 8")
def each_frame_belongs_to_its_run(target: Target) -> None:
    """No frame of the stream speaks of the run that was asked for at the same time."""
    story = shared_story(target)
    theirs = blocking(target).json_object()
    strange = {str(theirs.get(name)) for name in ("task_id", "workflow_run_id")}
    for one in story.told[1:]:
        told = [
            one.envelope.get("task_id"),
            one.envelope.get("workflow_run_id"),
            one.data.get("id"),
        ]
        expect(not strange.intersection(map(str, told)), "ids of this run", told, story.exchange)
