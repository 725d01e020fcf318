"""Finds references of an app file that lead nowhere: the commonest slip, and one that the host lets
pass in silence.
"""

from __future__ import annotations

from collections.abc import Iterator

from dify_wire.strict import did_you_mean
from fake_server.workflow.graph import Selector
from fake_server.workflow.part import Part
from fake_server.workflow.template import references

_SYSTEM = "sys"
_SELECTORS = ("variable_selector", "value_selector")


def check_references(graph: Part, node_ids: frozenset[str], variables: frozenset[str]) -> None:
    """Raise ``WorkflowError`` for a selector or ``{{#node.output#}}`` to no node, or to no variable
    of the start.
    """
    starts = {
        str(part.child("id").value) for part in graph.child("nodes").items() if _is_start(part)
    }
    for part in graph.child("nodes").items():
        for place, (node_id, name, *_) in _references(part.child("data")):
            if node_id != _SYSTEM and node_id not in node_ids:
                place.wrong(
                    f"the node {node_id!r} is not in this graph{did_you_mean(node_id, node_ids)}"
                )
            if node_id in starts and name not in variables:
                place.wrong(
                    f"the start node has no variable {name!r}{did_you_mean(name, variables)}"
                )


def _is_start(part: Part) -> bool:
    return bool(part.child("data").child("type").value == "start")


def _references(part: Part) -> Iterator[tuple[Part, Selector]]:
    """Every reference below ``part``, with the place where it stands."""
    if isinstance(part.value, dict):
        for key in part.value:
            child = part.get(str(key))
            if child is not None:
                yield from (
                    _selector(child)
                    if key in _SELECTORS or _is_variable(part, key)
                    else _references(child)
                )
    elif isinstance(part.value, list):
        for entry in part.items():
            yield from _references(entry)
    elif isinstance(part.value, str):
        yield from ((part, selector) for selector in references(part.value))


def _is_variable(part: Part, key: str) -> bool:
    """Whether ``key`` holds the selector of a tool's parameter."""
    return key == "value" and part.value.get("type") == "variable"


def _selector(part: Part) -> Iterator[tuple[Part, Selector]]:
    """A selector; an empty one names nothing, as that of a context that is switched off (FACTS
    12.1).
    """
    if names := tuple(entry.as_a(str) for entry in part.items()):
        if len(names) < 2:
            part.wrong("a selector names a node and one of its outputs: [node id, output]")
        yield part, names
