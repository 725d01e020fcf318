"""Graphs as data for tests of runs: nodes that give what the test says, and edges as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

from fake_server.host_spec import HostSpec
from fake_server.runs.engine import plan
from fake_server.runs.events import NodeFinished, NodeStarted, Timeline, WorkflowFinished
from fake_server.runs.random_values import RandomSource
from fake_server.spec import load_host
from fake_server.workflow.behaviour import NodeBehaviour
from fake_server.workflow.model import Node, Workflow

CHAIN, BRANCHES, QUEUE = "0.6.9", "1.4.3", "1.14.2"
"""A version of each way to go from node to node."""

ALL = ("0.6.4", "0.6.9", "0.15.3", "1.4.3", "1.10.1", "1.13.3", "1.14.2")
PARALLEL = ALL[2:]
QUEUES = ALL[4:]

INPUTS = {"prompt": "a cat", "sys.files": []}


@cache
def host(version: str) -> HostSpec:
    return load_host(version)


def code(
    node_id: str,
    seconds: float = 1.0,
    *,
    outputs: Mapping[str, Any] | None = None,
    inside: str | None = None,
    kind: str = "code",
    data: Mapping[str, Any] | None = None,
    **behaviour: Any,
) -> Node:
    """A node that takes ``seconds`` and gives ``outputs``; ``inside`` is its container."""
    known = NodeBehaviour(seconds, 0, outputs=outputs or {"x": node_id}, **behaviour)
    return Node(node_id, kind, node_id.upper(), data or {}, known, inside)


def end(node_id: str = "end", *outputs: tuple[str, ...]) -> Node:
    """An End node that gives out the values at ``outputs``, each by its last name."""
    shown = [{"variable": "_".join(one), "value_selector": list(one)} for one in outputs]
    return Node(node_id, "end", node_id, {"outputs": shown}, NodeBehaviour(0.0, 0))


def graph(edges: str, *nodes: Node) -> Workflow:
    """``edges`` is a list such as ``start > a, a.false > b``; a start node is added."""
    start = Node("start", "start", "START", {}, NodeBehaviour(0.0, 0))
    targets: dict[tuple[str, str], tuple[str, ...]] = {}
    for edge in edges.split(","):
        source, target = (one.strip() for one in edge.split(">"))
        node_id, _, handle = source.partition(".")
        way = node_id, handle or "source"
        targets[way] = (*targets.get(way, ()), target)
    return Workflow("t", "", "id", {}, (), {one.node_id: one for one in (start, *nodes)}, targets)


def planned(workflow: Workflow, version: str = QUEUE, **limits: Any) -> Timeline:
    spec = host(version)
    spec = replace(spec, limits=spec.limits._replace(**limits))
    return plan(workflow, INPUTS, RandomSource(1).for_request("t"), spec)


def events(timeline: Timeline, *kinds: type[Any]) -> list[Any]:
    return [event for _, event in timeline if isinstance(event, kinds)]


def end_of(timeline: Timeline) -> WorkflowFinished:
    last = timeline[-1][1]
    assert isinstance(last, WorkflowFinished)
    return last


def order(timeline: Timeline) -> str:
    """The nodes in the order in which they start (``+``) and end (``-``), ``!`` for a failure."""
    shown = []
    for event in events(timeline, NodeStarted, NodeFinished):
        if isinstance(event, NodeStarted):
            shown.append(f"+{event.node_id}")
        else:
            mark = {"failed": "!", "exception": "?"}.get(event.status, "")
            shown.append(f"-{event.started.node_id}{mark}")
    return " ".join(shown)


def if_else(node_id: str, value: str, inside: str | None = None) -> Node:
    """A node that is left by ``true`` where the prompt contains ``value``, else by ``false``."""
    condition = {
        "id": "1",
        "variable_selector": ["sys", "nothing"] if not value else ["start", "prompt"],
        "comparison_operator": "contains",
        "value": value,
        "varType": "string",
    }
    case = {"case_id": "true", "logical_operator": "and", "conditions": [condition]}
    data = {"cases": [case], "conditions": [condition], "logical_operator": "and"}
    return code(node_id, 0.0, kind="if-else", data=data, inside=inside)


def in_a_row(names: Sequence[str]) -> str:
    return ", ".join(f"{one} > {other}" for one, other in pairwise(names))
