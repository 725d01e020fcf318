"""The kinds of nodes: how each is checked in a file, and what it does with the values at hand.

Inputs, outputs and metadata have the shapes and key orders of the version: schemas, and facts in
``x-host.nodes`` (FACTS 5.5 and 12, [C: stream_ok_no_model, stream_llmonly, http404_stream,
toolall_stream, iter_json_stream]).
"""

from __future__ import annotations

from collections.abc import Mapping

from fake_server.workflow.nodes.flow import (
    check_end,
    check_if_else,
    check_iteration,
    check_loop,
    conditions_hold,
    if_else_passes_on,
    run_answer,
    run_end,
    run_fixed,
    run_human_input,
    run_if_else,
    run_nothing,
    run_start,
)
from fake_server.workflow.nodes.kind import NodeCall, NodeKind, NodeOutcome, always, missing_report
from fake_server.workflow.nodes.llm import (
    check_llm,
    llm_passes_on,
    run_agent,
    run_classifier,
    run_extractor,
    run_llm,
)
from fake_server.workflow.nodes.outside import (
    check_http,
    run_code,
    run_document_extractor,
    run_http,
    run_knowledge,
)
from fake_server.workflow.nodes.tool import (
    check_tool,
    complete_settings,
    is_stable_diffusion,
    run_tool,
    started_icon,
    tool_icon,
    tool_passes_on,
    with_used_outputs,
)
from fake_server.workflow.nodes.variables import (
    run_aggregator,
    run_assigner,
    run_list_operator,
    run_template,
)

__all__ = [
    "NODE_KINDS",
    "UNKNOWN_KIND",
    "NodeCall",
    "NodeKind",
    "NodeOutcome",
    "complete_settings",
    "conditions_hold",
    "is_stable_diffusion",
    "missing_report",
    "started_icon",
    "tool_icon",
    "with_used_outputs",
]


UNKNOWN_KIND = NodeKind(run_fixed, runs=False)

_PLACE = NodeKind(run_nothing, seconds=0.0)
"""What the engine walks through, or into, without running anything."""

NODE_KINDS: Mapping[str, NodeKind] = {
    "start": NodeKind(run_start, seconds=0.004, passes_on=always),
    "end": NodeKind(run_end, check_end, seconds=0.004, passes_on=always),
    "answer": NodeKind(run_answer, seconds=0.004),
    "llm": NodeKind(
        run_llm,
        check_llm,
        3.2,
        "model",
        "InvokeError",
        reports_more_than_error=True,
        runs=False,
        passes_on=llm_passes_on,
    ),
    "knowledge-retrieval": NodeKind(
        run_knowledge, seconds=0.4, reports_more_than_error=True, runs=False
    ),
    "if-else": NodeKind(
        run_if_else, check_if_else, 0.003, "comparison", passes_on=if_else_passes_on
    ),
    "code": NodeKind(run_code, seconds=0.2, reports_more_than_error=True, runs=False),
    "template-transform": NodeKind(run_template, seconds=0.02),
    "question-classifier": NodeKind(
        run_classifier, seconds=1.2, fault="model", reports_more_than_error=True, runs=False
    ),
    "http-request": NodeKind(
        run_http,
        check_http,
        0.3,
        "http",
        "HttpRequestNodeError",
        reports_more_than_error=True,
        runs=False,
    ),
    "tool": NodeKind(
        run_tool,
        check_tool,
        15.3,
        "tool",
        "ToolInvokeError",
        reports_more_than_error=True,
        runs=False,
        passes_on=tool_passes_on,
    ),
    "variable-assigner": NodeKind(run_aggregator, seconds=0.003),
    "variable-aggregator": NodeKind(run_aggregator, seconds=0.003),
    "assigner": NodeKind(run_assigner, seconds=0.003),
    "parameter-extractor": NodeKind(
        run_extractor, seconds=1.2, fault="model", reports_more_than_error=True, runs=False
    ),
    "document-extractor": NodeKind(run_document_extractor, seconds=0.2, runs=False),
    "list-operator": NodeKind(run_list_operator, seconds=0.003),
    "agent": NodeKind(
        run_agent, seconds=4.0, fault="model", reports_more_than_error=True, runs=False
    ),
    "human-input": NodeKind(run_human_input, seconds=0.01),
    "iteration": NodeKind(run_nothing, check_iteration, seconds=0.0),
    "iteration-start": _PLACE,
    "loop": NodeKind(run_nothing, check_loop, seconds=0.0),
    "loop-start": _PLACE,
    "loop-end": _PLACE,
    "datasource": UNKNOWN_KIND,
    "datasource-empty": UNKNOWN_KIND,
    "knowledge-index": UNKNOWN_KIND,
    "trigger-webhook": UNKNOWN_KIND,
    "trigger-schedule": UNKNOWN_KIND,
    "trigger-plugin": UNKNOWN_KIND,
}
"""The node types of every version; which of them a version knows is a fact of ``x-host.nodes``."""
