"""Behaviours of nodes: they change how a node of the workflow fares, and the engine does the
rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from fake_server.scenarios.behaviour import behaviour
from fake_server.scenarios.effects import Effects, RealWait
from fake_server.scenarios.parameters import Seconds
from fake_server.workflow.model import Node, Workflow
from fake_server.workflow.model import NodeBehaviour as Fate

NO_PICTURE: Mapping[str, Any] = {"text": "Failed to generate image\n", "files": []}
"""What the tool makes of a picture server that gave it none [C:
fail_sd_mode_500_textmodel_block].
"""

_SLOW_S = 60.0
_UNWAITED = (
    "slow: the host is instant and does not wait for seconds; real_seconds=2 waits 2 s at any speed"
)

NO_MODEL = "Failed to invoke tool: Failed to set model, please tell user to set model"
"""Why the tool fails when the picture server does not take the model [C:
fail_options_mode_500_main_block].
"""


LLM_500 = (
    "[openai_api_compatible] Error: API request failed with status code 500: "
    '{"error": {"message": "upstream exploded", "type": "server_error"}}'
)
"""Why a model fails when its server does [C: fail_llm_mode_500_main_block]."""

_ERRORS = {"tool": NO_MODEL, "llm": LLM_500, "if-else": "Invalid actual value type: string"}
_ANY_NODES_ERROR = "Invalid value selector"
"""What any node says that is to read a value without a name."""


@behaviour(excludes="slow {node}")
def slow(
    node: str | None = None, seconds: Seconds | None = None, real_seconds: Seconds | None = None
) -> Effects:
    """A node takes ``seconds``: the ``node`` of that id, title or type, by default those that take
    the longest anyway.

    ``seconds`` (60, or ``real_seconds`` where that is given) are what the run reports; the host
    waits for them by its speed, and at ``instant`` not at all. With ``real_seconds`` it waits for
    so many seconds of its clock at any speed. Complaint: a picture that usually takes 18 s takes
    minutes when the GPU is busy, and clients give up at 30 s. Survive: use streaming, take pings as
    signs of life, and let the deadline be for silence and not for the whole run.
    """
    told_s = next((given for given in (seconds, real_seconds) if given is not None), _SLOW_S)
    workflow = (with_fate(node, lambda fate: replace(fate, seconds=told_s, spread=0.0)),)
    if real_seconds is None:
        return Effects(workflow=workflow, unwaited=(_UNWAITED,))
    return Effects(workflow=workflow, real_waits=(RealWait(node, real_seconds),))


@behaviour(excludes="fate")
def node_failed(node: str | None = None, error: str | None = None) -> Effects:
    """A node fails with ``error``; the run ends as failed, and the HTTP status is 200 all the same.

    ``node`` is an id, title or type, by default that of the nodes that take the longest. ``error``
    is by default what the host says when what stands behind a node of that type fails.

    Complaint: the client looks at the status code alone and shows an empty picture for a failed
    run. Survive: read data.status of the answer or of workflow_finished before data.outputs, and
    show data.error.
    """

    def fail(one: Node) -> Node:
        words = error if error is not None else _ERRORS.get(one.type, _ANY_NODES_ERROR)
        return replace(one, behaviour=replace(one.behaviour, error=words))

    return Effects(workflow=(_with_nodes(node, fail),))


@behaviour(excludes="fate")
def tool_failed_silently(text: str = str(NO_PICTURE["text"])) -> Effects:
    """The tool makes no picture and says so only in its ``text``: the run has succeeded, its files
    are empty.

    Complaint: "succeeded", and outputs.files is []: the first element of it is an error in the
    client. Survive: take no files for a failure of its own kind, and offer to try again.
    """
    outputs = {**NO_PICTURE, "text": text}
    return Effects(workflow=(with_fate("tool", lambda fate: replace(fate, outputs=outputs)),))


def with_fate(node: str | None, change: Callable[[Fate], Fate]) -> Callable[[Workflow], Workflow]:
    """A workflow in which the nodes that ``node`` means fare as ``change`` says."""
    return _with_nodes(node, lambda one: replace(one, behaviour=change(one.behaviour)))


def _with_nodes(node: str | None, change: Callable[[Node], Node]) -> Callable[[Workflow], Workflow]:
    def apply(workflow: Workflow) -> Workflow:
        changed = {one.node_id: change(one) for one in meant(workflow, node)}
        return replace(workflow, nodes={**workflow.nodes, **changed})

    return apply


def meant(workflow: Workflow, node: str | None) -> list[Node]:
    """The nodes of that id, title or type; without one, those of the type that takes the
    longest.
    """
    nodes = list(workflow.nodes.values())
    if node is None and nodes:
        node = max(nodes, key=lambda one: one.behaviour.seconds).type
    return [one for one in nodes if node in (one.node_id, one.title, one.type)]
