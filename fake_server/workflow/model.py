"""An app as frozen data: what the loader makes of a file and the engine walks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dify_wire.exchange import AppKind

Selector = tuple[str, ...]
"""The path of a value: node id, name of an output, and names inside that output."""


@dataclass(frozen=True, slots=True)
class StartVariable:
    """An input of the app; ``entry`` is its JSON in ``GET /v1/parameters``."""

    name: str
    type: str
    required: bool
    max_length: int | None
    options: tuple[str, ...] | None
    default: str | None
    entry: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NodeBehaviour:
    """How a node behaves without anything real behind it (``x-fake`` of the file).

    ``spread`` is the fraction by which the durations of runs differ, ``error`` makes the node fail,
    ``reply`` is a template of a model's text. Tokens that are not given are counted. ``outputs``
    are those of a node that the fake cannot run, or of a tool that makes no image.
    """

    seconds: float
    spread: float
    error: str | None = None
    reply: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    outputs: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One node; ``data`` is its mapping in the export."""

    node_id: str
    type: str
    title: str
    data: Mapping[str, Any]
    behaviour: NodeBehaviour


@dataclass(frozen=True, slots=True)
class Workflow:
    """The published workflow of an app. ``edges`` leads from (node id, handle) to a node id.

    A graph without nodes or edges (``x-fake.unchecked``) is not ``complete``. ``image_upload`` is
    the image part of ``features.file_upload`` where it is enabled.
    """

    name: str
    description: str
    workflow_id: str
    features: Mapping[str, Any]
    variables: tuple[StartVariable, ...]
    nodes: Mapping[str, Node]
    edges: Mapping[tuple[str, str], str] = field(default_factory=dict)
    complete: bool = True
    start: Node | None = field(init=False)
    image_upload: Mapping[str, Any] | None = field(init=False)

    def __post_init__(self) -> None:
        start = next((node for node in self.nodes.values() if node.type == "start"), None)
        image = (self.features.get("file_upload") or {}).get("image") or {}
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "image_upload", image if image.get("enabled") else None)

    def select(self, node: str | None) -> list[Node]:
        """The nodes of that id, title or type; for None, of the type that takes the longest."""
        nodes = list(self.nodes.values())
        if node is None and nodes:
            node = max(nodes, key=lambda one: one.behaviour.seconds).type
        return [one for one in nodes if node in (one.node_id, one.title, one.type)]


@dataclass(frozen=True, slots=True)
class App:
    """One app of the host. ``workflow`` is None where nothing is published or the mode is
    another.
    """

    app_id: str
    kind: AppKind
    name: str
    description: str
    workflow: Workflow | None
