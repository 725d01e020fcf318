"""The frozen shape of an app: what the loader makes of a file and what the engine walks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Selector = tuple[str, ...]
"""Where a value comes from: (node id, name of its output), and names inside that output."""


@dataclass(frozen=True, slots=True)
class StartVariable:
    """An input of the app; ``shown`` is its entry in ``GET /v1/parameters``, keys in the file's
    order.
    """

    name: str
    type: str
    required: bool
    max_length: int | None
    options: tuple[str, ...] | None
    default: str | None
    shown: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the fake adds to a node (``x-fake``): how it fares when nothing real stands behind it.

    ``seconds`` is the node's usual duration and ``spread`` the fraction by which runs differ;
    ``error`` makes it fail with that text; ``reply`` is a template of what a model says; tokens
    that are not given are counted; ``outputs`` are those of a node that the fake cannot run itself,
    or of a tool that makes no picture.
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
    """One node; ``data`` is what the export says of it beyond id, type and title."""

    node_id: str
    type: str
    title: str
    data: Mapping[str, Any]
    behaviour: Behaviour


@dataclass(frozen=True, slots=True)
class Workflow:
    """The published workflow of an app. ``edges`` leads from (node id, handle) to the next node id.

    ``nodes`` is None where a graph without nodes or edges was asked for on purpose
    (``x-fake.unchecked``).
    """

    name: str
    description: str
    workflow_id: str
    features: Mapping[str, Any]
    variables: tuple[StartVariable, ...]
    nodes: Mapping[str, Node] | None
    edges: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def start(self) -> Node | None:
        return next((node for node in (self.nodes or {}).values() if node.type == "start"), None)

    @property
    def image_upload(self) -> Mapping[str, Any] | None:
        """The image part of ``features.file_upload`` where it is switched on."""
        image: Mapping[str, Any] = (self.features.get("file_upload") or {}).get("image") or {}
        return image if image.get("enabled") else None

    def after(self, node_id: str, handle: str) -> str | None:
        """The node that follows ``node_id`` when it leaves by ``handle``."""
        return self.edges.get((node_id, handle))
