"""Iterations and loops, by the version."""

from __future__ import annotations

from typing import Any

from fake_server.runs.events import (
    ContainerCompleted,
    ContainerNext,
    ContainerStarted,
    NodeFinished,
    NodeStarted,
)
from fake_server.runs.walk import MOST_NODES, TOO_MANY
from fake_server.workflow.model import Node, Workflow
from tests.each import each
from tests.graphs import (
    BRANCHES,
    PARALLEL,
    QUEUE,
    QUEUES,
    code,
    end,
    end_of,
    events,
    graph,
    host,
    if_else,
    order,
    planned,
)

# Iterations


def iteration(*inner: Node, items: Any = ("p", "q", "r"), **data: Any) -> Workflow:
    """``list > each > end``, with ``inner`` inside of ``each``."""
    known = {
        "iterator_selector": ["list", "x"],
        "output_selector": [inner[-1].node_id, "x"],
        "start_node_id": "begin",
        **data,
    }
    return graph(
        "start > list, list > each, each > end, begin > one",
        code("list", 0.0, outputs={"x": list(items) if isinstance(items, tuple) else items}),
        code("each", 0.0, kind="iteration", data=known),
        code("begin", 0.0, kind="iteration-start", inside="each"),
        *inner,
        end("end", ("each", "output")),
    )


ITEM = code("one", outputs={"x": "{{#each.item#}}{{#each.index#}}"}, inside="each")
TURNS = ["p0", "q1", "r2"]


@each("version", ["0.6.9", *PARALLEL])
def test_an_iteration_has_a_turn_for_each_entry(version: str) -> None:
    timeline = planned(iteration(ITEM), version)
    finish = end_of(timeline)
    assert finish.outputs == {"each_output": TURNS}
    assert order(timeline) == (
        "+start -start +list -list +each +one -one +one -one +one -one -each +end -end"
    )
    (begun,), (done,) = events(timeline, ContainerStarted), events(timeline, ContainerCompleted)
    assert (begun.length, begun.inputs) == (3, {"iterator_selector": ["p", "q", "r"]})
    assert (done.steps, done.finished.outputs) == (3, {"output": TURNS})
    after = host(version).graph.next_after_turn
    turns = [(one.turn, one.output) for one in events(timeline, ContainerNext)]
    assert turns == (
        [(0, None), (1, "p0"), (2, "q1"), (3, "r2")] if after else [(0, None), (1, None), (2, None)]
    )
    assert finish.total_steps == (7 if host(version).graph.inner_steps else 4)
    places = [one.place for one in events(timeline, NodeStarted) if one.node_id == "one"]
    assert [(place.iteration_id, place.turn) for place in places] == [("each", n) for n in range(3)]
    inner = [one for one in events(timeline, NodeFinished) if one.started.node_id == "one"]
    assert [one.execution_metadata for one in inner] == [
        {"iteration_id": "each", "iteration_index": number} for number in range(3)
    ]


@each("version", PARALLEL)
def test_parallel_turns_take_as_long_as_the_longest(version: str) -> None:
    """No more than ``parallel_nums`` at once."""
    for at_once, seconds in ((10, 1), (2, 2), (1, 3)):
        graph_of = iteration(ITEM, is_parallel=True, parallel_nums=at_once)
        finish = end_of(planned(graph_of, version))
        assert finish.outputs == {"each_output": TURNS}
        assert seconds < finish.elapsed_s < seconds + 0.6


def test_parallel_turns_are_sent_whole_or_with_an_id() -> None:
    """[C: iter_par_stream]; the older way by the source of 1.4.3."""
    graph_of = iteration(ITEM, is_parallel=True)
    assert order(planned(graph_of, QUEUE)).count("+one -one") == 3
    older = planned(graph_of, BRANCHES)
    assert "+one +one +one -one -one -one" in order(older)
    ids = {one.place.parallel_run_id for one in events(older, NodeStarted)} - {None}
    assert len(ids) == 3
    assert {one.parallel_run_id for one in events(older, ContainerNext)} - {None} == ids


@each("version", ["0.6.9", *PARALLEL])
def test_an_iteration_over_nothing_has_no_turns(version: str) -> None:
    """[C: iter_stream of 1.4.3]"""
    timeline = planned(iteration(ITEM, items=[]), version)
    assert events(timeline, ContainerStarted, ContainerNext, ContainerCompleted) == []
    assert (end_of(timeline).outputs, end_of(timeline).total_steps) == ({"each_output": []}, 4)


@each(
    "mode, outputs",
    [
        ("terminated", None),
        (None, None),
        ("continue-on-error", ["p0", None, "r2"]),
        ("remove-abnormal-output", ["p0", "r2"]),
    ],
)
def test_what_a_failed_turn_does(mode: str | None, outputs: list[Any] | None) -> None:
    failing = graph(
        "start > list, list > each, each > end, "
        "begin > choice, choice.true > bad, choice.false > one",
        code("list", 0.0, outputs={"x": ["p", "q", "r"]}),
        code("each", 0.0, kind="iteration", data={
            "iterator_selector": ["list", "x"], "output_selector": ["one", "x"],
            "start_node_id": "begin", "error_handle_mode": mode,
        }),
        code("begin", 0.0, kind="iteration-start", inside="each"),
        code("choice", 0.0, kind="if-else", inside="each", data={"cases": [{
            "case_id": "true", "logical_operator": "and", "conditions": [{
                "variable_selector": ["each", "item"], "comparison_operator": "is", "value": "q",
                "varType": "string",
            }],
        }]}),
        code("bad", error="it broke", inside="each"),
        ITEM,
        end("end", ("each", "output")),
    )  # fmt: skip
    for version in QUEUES:
        timeline = planned(failing, version)
        finish, (done,) = end_of(timeline), events(timeline, ContainerCompleted)
        if outputs is None:
            assert (finish.status, finish.error) == ("failed", "it broke")
            assert (finish.exceptions, done.finished.status) == (1, "failed")
            assert done.finished.outputs == {"output": ["p0"]}
        else:
            assert (finish.status, finish.exceptions) == ("succeeded", 0)
            assert finish.outputs == {"each_output": outputs}


def test_lists_of_lists_become_one_list_unless_the_node_says_no() -> None:
    pair = code("one", outputs={"x": [1, 2]}, inside="each")
    assert end_of(planned(iteration(pair))).outputs == {"each_output": [1, 2] * 3}
    kept = iteration(pair, flatten_output=False)
    assert end_of(planned(kept)).outputs == {"each_output": [[1, 2]] * 3}


@each(
    "selector, items, error",
    [
        (["nowhere", "x"], [], "iterator variable ['nowhere', 'x'] not found"),
        (["list", "x"], "text", "invalid iterator value: text, please provide a list."),
        (["list", "x"], [0] * (MOST_NODES + 1), TOO_MANY),
    ],
)  # fmt: skip
def test_what_cannot_be_iterated_fails(selector: list[str], items: Any, error: str) -> None:
    timeline = planned(iteration(ITEM, iterator_selector=selector, items=items))
    assert (end_of(timeline).status, end_of(timeline).error) == ("failed", error)
    assert events(timeline, ContainerStarted) == []


@each(
    "data",
    [
        {"kind": "iteration", "iterator_selector": [["list"], {}]},
        {"kind": "iteration", "iterator_selector": "list.x", "parallel_nums": "x"},
        {"kind": "loop", "loop_count": 2, "break_conditions": ["odd", 3]},
        {"kind": "loop", "loop_count": "2", "loop_variables": ["odd"]},
        {"kind": "loop", "loop_variables": 7, "logical_operator": []},
    ],
)
def test_data_that_no_editor_writes_is_no_accident(data: dict[str, Any]) -> None:
    """Such a container ends, well or as failed."""
    node = code("odd", 0.0, kind=data["kind"], data=data)
    one = code("one", inside="odd")
    for version in ("1.4.3", *QUEUES):
        assert end_of(planned(graph("start > odd, odd > end", node, one, end()), version))


def test_a_container_without_nodes_still_ends() -> None:
    empty = graph(
        "start > list, list > each, each > end",
        code("list", outputs={"x": [1, 2]}),
        code("each", 0.0, kind="iteration", data={"iterator_selector": ["list", "x"]}),
        end("end", ("each", "output")),
    )
    assert end_of(planned(empty)).outputs == {"each_output": [None, None]}


def test_iterations_inside_of_iterations_are_bounded() -> None:
    def inside(name: str, around: str | None) -> tuple[Node, Node]:
        data = {"iterator_selector": ["list", "x"], "output_selector": [name, "x"]}
        start = code(f"{name}s", 0.0, kind="iteration-start", inside=name)
        return code(name, 0.0, kind="iteration", data=data, inside=around), start

    graph_of = graph(
        "start > list, list > i, i > end, is > j, js > k, ks > one",
        code("list", outputs={"x": list(range(100))}),
        *inside("i", None), *inside("j", "i"), *inside("k", "j"),
        code("one", 0.0, inside="k"), end(),
    )  # fmt: skip
    error = end_of(planned(graph_of, run_s=1e9)).error
    assert error == TOO_MANY


def test_a_container_has_an_error_strategy_too() -> None:
    failing = iteration(
        code("one", error="it broke", inside="each"),
        error_strategy="default-value",
        default_value=[{"key": "output", "type": "array[string]", "value": '["none"]'}],
    )
    finish = end_of(planned(failing))
    assert (finish.status, finish.outputs) == ("partial-succeeded", {"each_output": ["none"]})


# Loops


def loop(count: int = 3, **data: Any) -> Workflow:
    known = {
        "loop_count": count,
        "start_node_id": "begin",
        "loop_variables": [
            {"label": "acc", "var_type": "string", "value_type": "constant", "value": "zero"},
            {"label": "n", "var_type": "number", "value_type": "constant", "value": "7"},
            {"label": "p", "value_type": "variable", "value": ["start", "prompt"]},
        ],
        **data,
    }  # fmt: skip
    return graph(
        "start > round, round > end, begin > one",
        code("round", 0.0, kind="loop", data=known),
        code("begin", 0.0, kind="loop-start", inside="round"),
        code("one", outputs={"x": "turn {{#round.acc#}}"}, inside="round"),
        end("end", ("round", "acc"), ("round", "loop_round")),
    )


@each("version", ["1.4.3", *QUEUES])
def test_a_loop_has_as_many_turns_as_it_says(version: str) -> None:
    """[C: loop_stream]"""
    timeline = planned(loop(), version)
    assert end_of(timeline).outputs == {"round_acc": "zero", "round_loop_round": 3}
    (begun,), (done,) = events(timeline, ContainerStarted), events(timeline, ContainerCompleted)
    assert begun.inputs == {"loop_count": 3, "acc": "zero", "n": 7, "p": "a cat"}
    assert [one.turn for one in events(timeline, ContainerNext)] == [1, 2, 3]
    metadata = done.finished.execution_metadata
    assert list(metadata) == list(host(version).graph.container_metadata["loop"])
    assert metadata["completed_reason"] == "loop_completed"
    assert list(metadata["loop_variable_map"]) == list(metadata["loop_duration_map"]) == list("012")


@each("version", ["1.4.3", *QUEUES])
def test_a_loop_ends_where_its_condition_holds(version: str) -> None:
    """[C: loop_break_stream]"""
    condition = {
        "id": "b", "varType": "string", "variable_selector": ["one", "x"],
        "comparison_operator": "contains", "value": "turn",
    }  # fmt: skip
    timeline = planned(loop(5, break_conditions=[condition], logical_operator="and"), version)
    assert end_of(timeline).outputs == {"round_acc": "zero", "round_loop_round": 1}
    assert events(timeline, ContainerNext) == []
    (done,) = events(timeline, ContainerCompleted)
    assert (done.steps, done.finished.execution_metadata["completed_reason"]) == (5, "loop_break")


def test_a_loop_ends_at_its_end_node() -> None:
    graph_of = graph(
        "start > round, round > end, begin > choice, choice.true > out, choice.false > one",
        code("round", 0.0, kind="loop", data={"loop_count": 9, "start_node_id": "begin"}),
        code("begin", 0.0, kind="loop-start", inside="round"),
        if_else("choice", "cat", inside="round"),
        code("out", 0.0, kind="loop-end", inside="round"),
        code("one", inside="round"),
        end("end", ("round", "loop_round")),
    )
    assert end_of(planned(graph_of)).outputs == {"round_loop_round": 1}


@each("version", ["1.4.3", *QUEUES])
def test_a_failure_in_a_loop_ends_the_run(version: str) -> None:
    failing = graph(
        "start > round, round > end, begin > bad",
        code("round", 0.0, kind="loop", data={"loop_count": 3, "start_node_id": "begin"}),
        code("begin", 0.0, kind="loop-start", inside="round"),
        code("bad", error="it broke", inside="round"),
        end(),
    )
    timeline = planned(failing, version)
    assert (end_of(timeline).status, end_of(timeline).error) == ("failed", "it broke")
    (done,) = events(timeline, ContainerCompleted)
    assert done.finished.status == "failed"
