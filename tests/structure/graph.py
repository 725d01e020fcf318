"""Questions about a graph of imports."""

from __future__ import annotations

from collections.abc import Mapping, Set
from graphlib import TopologicalSorter

Graph = Mapping[str, Set[str]]


def longest_chain(graph: Graph) -> list[str]:
    """The longest way from module to module. Raises ``graphlib.CycleError`` where there is a
    cycle.
    """
    best: dict[str, list[str]] = {}
    for name in TopologicalSorter(graph).static_order():
        longest = max((best[target] for target in graph.get(name, ())), key=len, default=[])
        best[name] = [name, *longest]
    return max(best.values(), key=len, default=[])


def largest_knot(graph: Graph) -> list[str]:
    """The largest set of modules that import each other, directly or through others (Tarjan
    1972).
    """
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    largest: list[str] = []

    def visit(name: str) -> None:
        nonlocal largest
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in graph.get(name, ()):
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            knot = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            largest = max(largest, sorted(knot), key=len)

    for name in graph:
        if name not in index:
            visit(name)
    return largest
