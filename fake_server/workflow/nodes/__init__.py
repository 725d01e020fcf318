"""The kinds of nodes: how each is checked in a file, and what it does with the values at hand.

Inputs, outputs and metadata have the host's shapes and key orders: FACTS 5.5 and 12,
[C: stream_ok_no_model, stream_llmonly, fail_llm_mode_500_main_stream].
"""

from __future__ import annotations

from collections.abc import Mapping

from fake_server.workflow.nodes.conditions import check_if_else, conditions_hold, run_if_else
from fake_server.workflow.nodes.flow import check_end, run_end, run_start
from fake_server.workflow.nodes.kind import NodeCall, NodeKind, NodeOutcome, check_selector
from fake_server.workflow.nodes.llm import check_llm, run_llm
from fake_server.workflow.nodes.tool import (
    NO_IMAGE,
    check_tool,
    complete_settings,
    is_stable_diffusion,
    run_tool,
    tool_icon,
)

__all__ = [
    "NODE_KINDS",
    "NO_IMAGE",
    "UNKNOWN_KIND",
    "NodeCall",
    "NodeKind",
    "NodeOutcome",
    "check_selector",
    "complete_settings",
    "conditions_hold",
    "is_stable_diffusion",
    "run_node",
    "tool_icon",
]


def run_node(call: NodeCall) -> NodeOutcome:
    """Run one node. A value that the host cannot handle is a failed outcome, never an exception."""
    kind, error = NODE_KINDS[call.node.type], call.node.behaviour.error
    if error is not None and not kind.reports_more_than_error:
        return NodeOutcome(call.seconds, error=error)
    return kind.run(call)


# [C: fail_llm_mode_500_main_block]
_LLM_FAILURE = (
    "[openai_api_compatible] Error: API request failed with status code 500: "
    '{"error": {"message": "upstream exploded", "type": "server_error"}}'
)
# the image server does not take the model [C: fail_options_mode_500_main_block]
_TOOL_FAILURE = "Failed to invoke tool: Failed to set model, please tell user to set model"
UNKNOWN_KIND = NodeKind()

NODE_KINDS: Mapping[str, NodeKind] = {
    "start": NodeKind(run_start, seconds=0.004),
    "llm": NodeKind(run_llm, check_llm, 3.2, _LLM_FAILURE, reports_more_than_error=True),
    "if-else": NodeKind(run_if_else, check_if_else, 0.003, "Invalid actual value type: string"),
    "tool": NodeKind(run_tool, check_tool, 15.3, _TOOL_FAILURE, reports_more_than_error=True),
    "end": NodeKind(run_end, check_end, seconds=0.004),
    "answer": NodeKind(),
    "knowledge-retrieval": NodeKind(),
    "code": NodeKind(),
    "template-transform": NodeKind(),
    "question-classifier": NodeKind(),
    "http-request": NodeKind(),
    "variable-assigner": NodeKind(),
}
"""The node types of Dify 0.6.4."""
