"""Warnings about a graph that can be read: what the host accepts silently, and is hardly meant."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from dify_wire.strict import Field, did_you_mean
from fake_server.workflow.expressions import is_replaced, references
from fake_server.workflow.model import START_TYPES, Selector, Workflow
from fake_server.workflow.nodes import NODE_KINDS
from fake_server.workflow.problems import Problems

_OUTSIDE_THE_GRAPH = ("sys", "env", "conversation", "rag")
"""What a selector can begin with beside the id of a node."""

_CLOSED = re.compile(r"\{\{#(?!\$)[^#{}\n]{1,200}#\}\}")
_UNCLOSED = re.compile(r"\{\{#(?![^{}]{1,200}#\}\})[^{}\n]{0,40}")
_SHOWN_NODES = 8
_OF_ERRORS = ("fail-branch", "success-branch")
_WAYS: Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "if-else": ("cases", ("case_id", "id"), ("true", "false")),
    "question-classifier": ("classes", ("id",), ()),
    "human-input": ("user_actions", ("id",), ("__timeout",)),
}
"""The handles of nodes that choose: a list in their data, its keys, and handles that each has."""


def check_graph(
    workflow: Workflow,
    graph: Field,
    data: Mapping[str, Field],
    beside: Iterable[Field],
    problems: Problems,
) -> None:
    """Warn of what is wrong in ``graph``; ``data`` are the data of each node, and ``beside`` what
    the file beside says of nodes.
    """
    if not workflow.complete:
        return
    _check_nodes(workflow, graph, data, problems)
    _check_ways(workflow, graph, data, problems)
    _check_handles(workflow, data, problems)
    for cycle in _cycles(workflow):
        way = " -> ".join(cycle[:_SHOWN_NODES]) + (" -> …" if len(cycle) > _SHOWN_NODES else "")
        problems.warn(
            graph["edges"], f"the edges go in a circle, {way} -> {cycle[0]}; take one of them out"
        )
    for field in (*data.values(), *beside):
        if not problems.full:
            _check_references(field, workflow, problems)


def _check_nodes(
    workflow: Workflow, graph: Field, data: Mapping[str, Field], problems: Problems
) -> None:
    starts = [node for node in workflow.nodes.values() if node.type in START_TYPES]
    if len(starts) != 1:
        problems.warn(
            graph["nodes"],
            f"a graph needs exactly one node of type start, and this one has {len(starts)}",
        )
    for node in workflow.nodes.values():
        field = data[node.node_id]
        if node.type not in NODE_KINDS and not problems.full:
            problems.warn(
                field["type"],
                f"{node.type!r} is not a known node type{did_you_mean(node.type, NODE_KINDS)}, so "
                f"a run that comes to it fails; known: {', '.join(NODE_KINDS)}",
            )


def _check_ways(
    workflow: Workflow, graph: Field, data: Mapping[str, Field], problems: Problems
) -> None:
    """Warn of ends that no run comes to."""
    if workflow.start is None:
        return
    reached = {workflow.start.node_id}
    pending = [workflow.start.node_id]
    while pending:
        node_id = pending.pop()
        inside = [child.node_id for child in workflow.children.get(node_id, ())]
        for following in (*(edge.target for edge in workflow.outgoing[node_id]), *inside):
            if following not in reached:
                reached.add(following)
                pending.append(following)
    ends = [node for node in workflow.nodes.values() if node.type == "end"]
    if not ends:
        problems.warn(graph["nodes"], "there is no node of type end, so a run has no outputs")
    for node in ends:
        if node.node_id not in reached:
            problems.warn(
                data[node.node_id],
                f"no edge leads from the start to the end {node.node_id!r}, so no run has its "
                "outputs; connect it or take it out",
            )


def _check_handles(workflow: Workflow, data: Mapping[str, Field], problems: Problems) -> None:
    """Warn of edges that leave a node by a way that it never goes."""
    for node_id, edges in workflow.outgoing.items():
        node = workflow.nodes[node_id]
        if node.type not in _WAYS:
            continue
        listed, keys, always = _WAYS[node.type]
        entries = node.data.get(listed)
        known = {*always, *_OF_ERRORS}
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, Mapping):
                known |= {str(entry[key]) for key in keys if key in entry}
        for edge in edges:
            if edge.handle not in known and not problems.full:
                problems.warn(
                    data[node_id],
                    f"an edge leaves this node by {edge.handle!r}{did_you_mean(edge.handle, known)}"
                    f", but no run takes it; known: {', '.join(sorted(known - {*_OF_ERRORS}))}",
                )


def _cycles(workflow: Workflow) -> Iterator[list[str]]:
    """The cycles that a walk through the graph finds: at least one where there are any."""
    finished: set[str] = set()
    for root in workflow.nodes:
        if root in finished:
            continue
        way, ways = [root], [iter(workflow.outgoing[root])]
        on_way = {root: 0}
        while way:
            edge = next(ways[-1], None)
            if edge is None:
                ways.pop()
                finished.add(way[-1])
                del on_way[way.pop()]
            elif edge.target in on_way:
                yield way[on_way[edge.target] :]
            elif edge.target not in finished:
                on_way[edge.target] = len(way)
                way.append(edge.target)
                ways.append(iter(workflow.outgoing[edge.target]))


def _check_references(data: Field, workflow: Workflow, problems: Problems) -> None:
    """Warn of a selector or ``{{#node.output#}}`` that leads nowhere."""
    nodes = workflow.nodes
    known: dict[str, Collection[str]] = {
        "env": workflow.environment,
        "conversation": workflow.conversation,
    }
    if workflow.start is not None:
        known[workflow.start.node_id] = [variable.name for variable in workflow.variables]
    for place, (head, name, *_) in _references(data, problems):
        if problems.full:
            return
        if head not in nodes and head not in _OUTSIDE_THE_GRAPH:
            problems.warn(
                place, f"the node {head!r} is not in this graph{did_you_mean(head, nodes)}"
            )
        elif head in known and name not in known[head] and not name.startswith("sys."):
            owner = f"there is no {head} variable" if head not in nodes else "the start node has no"
            what = "" if head not in nodes else " variable"
            problems.warn(place, f"{owner}{what} {name!r}{did_you_mean(name, known[head])}")


def _references(field: Field, problems: Problems) -> Iterator[tuple[Field, Selector]]:
    """Every reference below ``field``, with its place."""
    value = field.value
    if isinstance(value, dict):
        for key in value:
            child = field.get(key)
            if child is None:
                continue
            is_parameter = key == "value" and value.get("type") == "variable"
            if key.endswith("selector") or is_parameter:
                path = child.value if isinstance(child.value, list) else ()
                if len(path) > 1 and all(isinstance(one, str) for one in path):
                    yield child, tuple(path)
            else:
                yield from _references(child, problems)
    elif isinstance(value, list):
        for entry in field.entries():
            yield from _references(entry, problems)
    elif isinstance(value, str) and "{{#" in value:
        for _, selector in references(value):
            yield field, selector
        _check_spelling(field, value, problems)


def _check_spelling(field: Field, text: str, problems: Problems) -> None:
    """Warn of what looks like a reference in ``text``, and stays as it is on the host."""
    for found in _UNCLOSED.finditer(text):
        problems.warn(
            field, f"the reference {found[0]!r} is not closed; write {{{{#node.output#}}}}"
        )
    for found in _CLOSED.finditer(text):
        if not is_replaced(found[0]):
            what = "stays as it is: the host reads names of ASCII letters, digits and _ only"
            problems.warn(field, f"the reference {found[0]!r} {what}")
