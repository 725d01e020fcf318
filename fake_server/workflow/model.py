"""An app as frozen data: what the loader makes of a file and the engine walks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dify_wire.app_kind import AppKind
from dify_wire.text_file import SpecError

if TYPE_CHECKING:
    from fake_server.workflow.behaviour import NodeBehaviour

Selector = tuple[str, ...]
"""The path of a value: node id, name of an output, and names inside that output."""


class Problem(NamedTuple):
    """Something in an app file that keeps no app from loading, and what to do about it."""

    path: Path
    place: str
    message: str

    def __str__(self) -> str:
        return str(SpecError(self.path, self.place, self.message))


class StartVariable(NamedTuple):
    """An input of the app; ``entry`` is its JSON in ``GET /v1/parameters``.

    ``options`` are those of a select, ``json_schema`` that of a json_object. ``file_types``,
    ``file_extensions`` and ``upload_methods`` are what a file and a file-list allow.
    """

    name: str
    type: str
    required: bool
    max_length: int | None
    options: tuple[str, ...] | None
    default: Any
    entry: Mapping[str, Any]
    label: str = ""
    json_schema: Mapping[str, Any] | None = None
    file_types: tuple[str, ...] = ()
    file_extensions: tuple[str, ...] = ()
    upload_methods: tuple[str, ...] = ()


class Node(NamedTuple):
    """One node; ``data`` is its mapping in the export. ``parent`` is the id of the iteration or
    loop that it is inside of.
    """

    node_id: str
    type: str
    title: str
    data: Mapping[str, Any]
    behaviour: NodeBehaviour
    parent: str | None = None


class Edge(NamedTuple):
    """From a node, by one of its handles, to another."""

    source: str
    handle: str
    target: str


START_TYPES = ("start", "trigger-webhook", "trigger-schedule", "trigger-plugin", "datasource")
"""The types of the nodes at which a run begins."""

CONTAINERS = ("iteration", "loop")
"""The types of the nodes that have nodes inside."""

CONTAINER_STARTS = ("iteration-start", "loop-start")
"""The types of the nodes at which a container begins; exports before DSL 0.1.2 have none."""


class RemoteFile(NamedTuple):
    """What a URL that a user sends would give the host; without a size it gets one of its own.

    ``absent``: an error page; ``unreachable``: no response at all.
    """

    filename: str | None = None
    mime_type: str | None = None
    size: int | None = None
    absent: bool = False
    unreachable: bool = False


@dataclass(frozen=True)
class Workflow:
    """The published workflow of an app.

    ``edges`` leads from (node id, handle) to node ids, in the order of the file; ``outgoing`` and
    ``incoming`` have the edges of a node. ``children`` are the nodes inside each iteration and
    loop. ``environment`` and ``conversation`` are the values behind ``env`` and ``conversation``.

    A graph without nodes or edges is not ``complete``, and ``start`` is None in a graph without a
    start node.
    ``dsl_version`` is empty for exports from before 0.6.13; ``app`` is the section of that name,
    and ``path`` the file. ``older`` are earlier published versions by their workflow id.
    ``max_active_requests`` is the app's limit of concurrent runs (0: none);
    ``remote_files`` are what URLs of users would give.
    """

    name: str
    description: str
    workflow_id: str
    features: Mapping[str, Any]
    variables: tuple[StartVariable, ...]
    nodes: Mapping[str, Node]
    edges: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    complete: bool = True
    environment: Mapping[str, Any] = field(default_factory=dict)
    conversation: Mapping[str, Any] = field(default_factory=dict)
    dsl_version: str = ""
    app: Mapping[str, Any] = field(default_factory=dict)
    path: Path = field(default=Path(), compare=False)
    warnings: tuple[Problem, ...] = ()
    older: Mapping[str, Workflow] = field(default_factory=dict)
    max_active_requests: int = 0
    remote_files: Mapping[str, RemoteFile] = field(default_factory=dict)
    start: Node | None = field(init=False)
    outgoing: Mapping[str, tuple[Edge, ...]] = field(init=False)
    incoming: Mapping[str, tuple[Edge, ...]] = field(init=False)
    children: Mapping[str, tuple[Node, ...]] = field(init=False)

    def __post_init__(self) -> None:
        outgoing: dict[str, list[Edge]] = {node_id: [] for node_id in self.nodes}
        incoming: dict[str, list[Edge]] = {node_id: [] for node_id in self.nodes}
        children: dict[str, list[Node]] = {}
        for (source, handle), targets in self.edges.items():
            for target in targets:
                edge = Edge(source, handle, target)
                outgoing[source].append(edge)
                incoming[target].append(edge)
        for node in self.nodes.values():
            if node.parent is not None:
                children.setdefault(node.parent, []).append(node)
        derived = {
            "start": next((one for one in self.nodes.values() if one.type in START_TYPES), None),
            "outgoing": {node_id: tuple(edges) for node_id, edges in outgoing.items()},
            "incoming": {node_id: tuple(edges) for node_id, edges in incoming.items()},
            "children": {container: tuple(inside) for container, inside in children.items()},
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def entry(self, container: str) -> Node | None:
        """The node at which a turn of the iteration or loop ``container`` begins."""
        inside = self.children.get(container, ())
        named = str(self.nodes[container].data.get("start_node_id") or "")
        starts = [node for node in inside if node.node_id == named]
        starts += [node for node in inside if node.type in CONTAINER_STARTS]
        starts += [node for node in inside if not self.incoming[node.node_id]]
        return starts[0] if starts else None

    @cached_property
    def awaited(self) -> Mapping[str, int]:
        """How many edges have to be decided before each node can start: those from nodes to which
        edges lead from the start; others decide nothing.
        """
        reachable = set[str]()
        pending = [] if self.start is None else [self.start.node_id]
        while pending:
            node_id = pending.pop()
            if node_id not in reachable:
                reachable.add(node_id)
                pending += [edge.target for edge in self.outgoing[node_id]]
                if node_id in self.children and (entry := self.entry(node_id)):
                    pending.append(entry.node_id)
        return {
            node_id: sum(edge.source in reachable for edge in edges)
            for node_id, edges in self.incoming.items()
        }

    @property
    def longest_way(self) -> int:
        """The most nodes that a run can come to one after the other; 0 where edges go in a circle.

        Nodes inside of a container are not counted.
        """
        waiting = {node_id: len(edges) for node_id, edges in self.incoming.items()}
        ready = [node_id for node_id, edges in waiting.items() if not edges]
        ways = dict.fromkeys(self.nodes, 0)
        if self.start is not None:
            ways[self.start.node_id] = 1
        for node_id in ready:  # which grows
            for edge in self.outgoing[node_id]:
                if ways[node_id]:
                    ways[edge.target] = max(ways[edge.target], ways[node_id] + 1)
                waiting[edge.target] -= 1
                if not waiting[edge.target]:
                    ready.append(edge.target)
        return max(ways.values(), default=0) if len(ready) == len(self.nodes) else 0

    def select(self, node: str | None) -> list[Node]:
        """The nodes of that id, title or type; for None, of the type that takes the longest."""
        nodes = list(self.nodes.values())
        if node is None and nodes:
            node = max(nodes, key=lambda one: one.behaviour.seconds).type
        return [one for one in nodes if node in (one.node_id, one.title, one.type)]


class App(NamedTuple):
    """One app of the host. ``workflow`` is None where nothing is published or the mode is
    another. ``warnings`` are what its file may have wrong.
    """

    app_id: str
    kind: AppKind
    name: str
    description: str
    workflow: Workflow | None
    warnings: tuple[Problem, ...] = ()

    @property
    def versions(self) -> Mapping[str, Workflow]:
        """Every published version of the workflow by its id."""
        current = self.workflow
        return {} if current is None else {current.workflow_id: current, **current.older}
