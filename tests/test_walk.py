"""How a run goes through a graph, by the version: branches, joins, and any graph at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server.runs.events import BranchFinished, BranchStarted, NodeFinished, NodeStarted, cut
from fake_server.workflow.model import Workflow
from tests.each import each
from tests.graphs import (
    ALL,
    BRANCHES,
    CHAIN,
    PARALLEL,
    QUEUE,
    QUEUES,
    code,
    end,
    end_of,
    events,
    graph,
    if_else,
    in_a_row,
    order,
    planned,
)

# Branches and joins


FORK = graph(
    "start > a, start > b, a > a2, a2 > end, b > end", code("a"), code("a2"), code("b", 5), end()
)


@each("version", PARALLEL)
def test_branches_run_at_the_same_time_and_what_joins_them_waits(version: str) -> None:
    timeline = planned(FORK, version)
    assert order(timeline) == "+start -start +a +b -a +a2 -a2 -b +end -end"
    finish = end_of(timeline)
    assert (finish.status, finish.total_steps) == ("succeeded", 5)
    assert 5 < finish.elapsed_s < 5.5


@each("version", ALL[:2])
def test_the_first_versions_follow_the_first_edge_alone(version: str) -> None:
    assert order(planned(FORK, version)) == "+start -start +a -a +a2 -a2 +end -end"


def test_a_branch_has_events_where_the_version_has_them() -> None:
    """Its nodes name it, the first has no predecessor, and what joins them follows the fork
    [C: parallel_nodes_stream].
    """
    timeline = planned(FORK, BRANCHES)
    begun, ended = events(timeline, BranchStarted), events(timeline, BranchFinished)
    assert [one.place.parallel_start_node_id for one in begun] == ["a", "b"]
    assert [(one.place.parallel_start_node_id, one.status) for one in ended] == [
        ("a", "succeeded"),
        ("b", "succeeded"),
    ]
    assert len({one.place.parallel_id for one in (*begun, *ended)}) == 1
    nodes = {one.node_id: one for one in events(timeline, NodeStarted)}
    assert {name: one.predecessor_node_id for name, one in nodes.items()} == {
        "start": None, "a": None, "b": None, "a2": "a", "end": "start",
    }  # fmt: skip
    assert [one.index for one in nodes.values()] == [1, 2, 3, 4, 5]
    assert nodes["a2"].place == begun[0].place
    assert nodes["end"].place.parallel_id is None
    (metadata,) = [
        one.execution_metadata
        for one in events(timeline, NodeFinished)
        if one.started.node_id == "a2"
    ]
    assert metadata == {"parallel_id": begun[0].place.parallel_id, "parallel_start_node_id": "a"}
    assert events(planned(FORK, QUEUE), BranchStarted) == []
    assert {one.index for one in events(planned(FORK, QUEUE), NodeStarted)} == {1}


def test_a_branch_in_a_branch_names_both() -> None:
    inner = graph(
        "start > a, start > b, a > c, a > d, c > e, d > e, e > end, b > end",
        *(code(name) for name in "abcde"), end(),
    )  # fmt: skip
    timeline = planned(inner, BRANCHES)
    nodes = {one.node_id: one for one in events(timeline, NodeStarted)}
    outer = nodes["a"].place
    inner_place = nodes["c"].place
    assert inner_place.parent_parallel_id == outer.parallel_id
    assert inner_place.parent_parallel_start_node_id == "a"
    assert nodes["e"].place == outer
    assert nodes["e"].predecessor_node_id == "a"
    assert nodes["end"].predecessor_node_id == "start"
    assert [one.place.parallel_start_node_id for one in events(timeline, BranchFinished)] == [
        "b", "c", "d", "a",
    ]  # fmt: skip


@each("version", PARALLEL)
def test_what_an_untaken_branch_leads_to_is_not_waited_for(version: str) -> None:
    """Also across several nodes that only it leads to."""
    graph_of = graph(
        "start > a, start > choice, choice.true > b, choice.false > c, c > d, "
        "a > end, b > end, d > end",
        code("a"), if_else("choice", "cat"), code("b", 3), code("c"), code("d"), end(),
    )  # fmt: skip
    assert order(planned(graph_of, version)) == (
        "+start -start +a +choice -choice +b -a -b +end -end"
    )


@each("version", PARALLEL)
def test_a_join_that_loses_its_last_edge_starts(version: str) -> None:
    graph_of = graph(
        "start > a, start > b, b > choice, choice.true > c, choice.false > join, "
        "a > join, join > end",
        code("a"), code("b", 2), if_else("choice", "cat"), code("c"), code("join"), end(),
    )  # fmt: skip
    assert order(planned(graph_of, version)).endswith("-choice +c +join -c -join +end -end") or (
        order(planned(graph_of, version)).endswith("-choice +join +c -join -c +end -end")
    )


def test_edges_from_nodes_that_nothing_reaches_decide_nothing() -> None:
    graph_of = graph("start > a, a > end, orphan > end", code("a"), code("orphan"), end())
    assert order(planned(graph_of)) == "+start -start +a -a +end -end"


def test_a_node_on_a_circle_never_starts() -> None:
    """The host waits for its own edge for ever, and then has nothing left to do."""
    graph_of = graph("start > a, a > b, b > a, b > end", code("a"), code("b"), end())
    timeline = planned(graph_of)
    assert order(timeline) == "+start -start"
    assert (end_of(timeline).status, end_of(timeline).outputs) == ("succeeded", None)


def test_the_outputs_of_several_ends_are_one() -> None:
    graph_of = graph(
        "start > a, start > b, a > end, b > end2",
        code("a"), code("b", 2), end("end", ("a", "x")), end("end2", ("b", "x")),
    )  # fmt: skip
    assert end_of(planned(graph_of, QUEUE)).outputs == {"a_x": "a", "b_x": "b"}
    assert end_of(planned(graph_of, BRANCHES)).outputs == {"b_x": "b"}


@each("version", PARALLEL)
def test_a_failure_in_one_branch_ends_the_run(version: str) -> None:
    """The others never finish."""
    failing = graph(
        "start > a, start > b, a > end, b > end", code("a", error="it broke"), code("b", 9), end()
    )
    timeline = planned(failing, version)
    assert order(timeline) == "+start -start +a +b -a!"
    finish = end_of(timeline)
    assert (finish.status, finish.error, finish.total_steps) == ("failed", "it broke", 3)
    assert finish.exceptions == (1 if version in QUEUES else 0)
    branches = events(timeline, BranchFinished)
    assert [(one.status, one.error) for one in branches] == (
        [("failed", "it broke")] if version in ("0.15.3", "1.4.3") else []
    )


# Whatever the graph


@st.composite
def acyclic(draw: st.DrawFn) -> Workflow:
    """Up to eight nodes with any edges forward, failing and choosing ones among them."""
    nodes = []
    for number in range(draw(st.integers(1, 7))):
        name, kind = f"n{number}", draw(st.sampled_from(["code", "code", "if-else", "end"]))
        if kind == "if-else":
            nodes.append(if_else(name, draw(st.sampled_from(["cat", "dog"]))))
        elif kind == "end":
            nodes.append(end(name, ("n0", "x")))
        else:
            strategy = draw(st.sampled_from([None, None, "default-value", "fail-branch"]))
            error = draw(st.sampled_from([None, None, "it broke"]))
            data = {"error_strategy": strategy} if strategy else {}
            nodes.append(code(name, draw(st.floats(0, 300)), data=data, error=error))
    names = ["start", *(node.node_id for node in nodes)]
    kinds = {node.node_id: node.type for node in nodes}
    edges = ["start > n0"]
    for position, source in enumerate(names[:-1]):
        for target in draw(st.sets(st.sampled_from(names[position + 1 :]), max_size=3)):
            handle = (
                draw(st.sampled_from([".true", ".false"])) if kinds.get(source) == "if-else" else ""
            )
            if f"{source}{handle} > {target}" not in edges:
                edges.append(f"{source}{handle} > {target}")
    return graph(", ".join(edges), *nodes)  # fmt: skip


def assert_legal(timeline: Any) -> None:
    offsets = [offset for offset, _ in timeline]
    assert offsets == sorted(offsets)
    open_nodes: dict[str, NodeStarted] = {}
    ended: set[str] = set()
    for _, event in timeline[1:-1]:
        if isinstance(event, NodeStarted):
            assert event.node_id not in open_nodes
            assert event.node_id not in ended
            open_nodes[event.node_id] = event
        elif isinstance(event, NodeFinished):
            assert open_nodes.pop(event.started.node_id) is event.started
            ended.add(event.started.node_id)
    finish = end_of(timeline)
    assert finish.total_steps == len(open_nodes) + len(ended)
    assert finish.elapsed_s == offsets[-1]
    if finish.status in ("succeeded", "partial-succeeded"):
        assert open_nodes == {}
    branches = [one.place for one in events(timeline, BranchStarted)]
    closed = [one.place for one in events(timeline, BranchFinished)]
    assert len(closed) == len(set(closed)) <= len(branches)
    if finish.error is None:
        assert set(closed) == set(branches)


@given(acyclic(), st.sampled_from(PARALLEL), st.floats(0, 1, exclude_min=True))
def test_any_graph_gives_a_legal_timeline_whole_or_cut(
    graph_of: Workflow, version: str, share: float
) -> None:
    whole = planned(graph_of, version)
    assert_legal(whole)
    stopped = cut(whole, max(whole[-1][0] * share, 0.001), "Stopped by user.")
    assert_legal(stopped)
    assert (end_of(stopped).status, end_of(stopped).error) == ("stopped", "Stopped by user.")


@given(acyclic(), st.sampled_from(ALL))
def test_the_same_run_is_planned_the_same(graph_of: Workflow, version: str) -> None:
    assert planned(graph_of, version) == planned(graph_of, version)


def test_a_chain_of_ten_thousand_nodes_is_planned() -> None:
    names = ["start", *(f"n{number}" for number in range(10_000))]
    graph_of = graph(f"{in_a_row(names)}, start > n9999", *(code(name, 0) for name in names[1:]))
    for version in (CHAIN, BRANCHES, QUEUE):
        assert end_of(planned(graph_of, version)).status == "failed"


@pytest.mark.parametrize("version", [BRANCHES, QUEUE])
def test_thousands_of_edges_are_decided_one_by_one(version: str) -> None:
    names = [f"n{number}" for number in range(3_000)]
    edges = ", ".join(f"choice.false > {name}, {name} > end" for name in names)
    nodes = (code(name) for name in names)
    graph_of = graph(
        f"start > choice, {edges}, choice.true > a, a > end",
        if_else("choice", "cat"), code("a"), end(), *nodes,
    )  # fmt: skip
    assert order(planned(graph_of, version)) == "+start -start +choice -choice +a -a +end -end"


@pytest.mark.parametrize("version", [BRANCHES, QUEUE])
def test_ten_thousand_skipped_nodes_do_not_nest(version: str) -> None:
    names = ["choice", *(f"n{number}" for number in range(10_000))]
    graph_of = graph(
        "start > choice, choice.false > n0, choice.true > a, a > end, n9999 > end, "
        + in_a_row(names[1:]),
        if_else("choice", "cat"), code("a"), end(), *(code(name) for name in names[1:]),
    )  # fmt: skip
    assert end_of(planned(graph_of, version)).status == "succeeded"
