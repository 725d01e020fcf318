"""An agent: it gives a text in pieces, and writes what it does into its log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fake_server.workflow.expressions import ABSENT, fill_fake, text_of
from fake_server.workflow.nodes.kind import NodeCall, NodeOutcome
from fake_server.workflow.nodes.llm import pieces, usage
from fake_server.workflow.nodes.tool import drawn_file, parameter_value

_LOG_FIELDS = ("id", "parent_id", "error", "status", "data", "label", "metadata")
"""The fields of a log entry, in the order of the agent's ``json`` [C: agent_block of 1.14.2]."""


def run_agent(call: NodeCall) -> NodeOutcome:
    behaviour, rules = call.node.behaviour, call.spec.nodes
    inputs: dict[str, Any] = {}
    for name, given in (call.data.get("agent_parameters") or {}).items():
        value = parameter_value(call, given)
        if value is not ABSENT and not isinstance(value, Mapping | list):
            inputs[str(name)] = call.text(value) if isinstance(value, str) else value
    if call.error is not None:
        error_type = behaviour.error_type or "AgentInvocationError"
        return NodeOutcome(call.seconds, inputs, error=call.error, error_type=error_type)
    messages: Sequence[str] = [fill_fake(one, call.pool) for one in behaviour.text or ()]
    messages = messages or pieces(text_of(inputs.get("query"))) or ("",)
    text = "".join(messages)
    logs = [_log(one) for one in behaviour.logs or _steps(call, text)]
    entries = {log["id"]: {**log, "node_id": call.node.node_id} for log in logs}
    tokens = sum(
        int((log["metadata"] or {}).get("total_tokens") or 0)
        for log in entries.values()
        if log["parent_id"] is None
    )
    given = rules.agent_json if behaviour.json is None else behaviour.json
    spent = usage(call, 0, tokens)
    values = {
        "text": text,
        "usage": spent,
        "files": [drawn_file(call, inputs, one) for one in behaviour.files or ()],
        "json": [*(entries.values() if rules.agent_logs_in_json else ()), *given],
    }
    strategy = {"agent_strategy": call.data.get("agent_strategy_name"), "icon": None}
    step_s = call.seconds / (len(logs) + 1)
    return NodeOutcome(
        call.seconds,
        inputs,
        outputs={**call.picked("AgentOutputs", values), **(behaviour.variables or {})},
        execution_metadata={
            **call.picked("LlmMetadata", spent),
            "tool_info": strategy,
            "agent_log": list(entries.values()),
        },
        total_tokens=tokens,
        chunks=(("text", (*messages, "")),),
        logs=tuple((step_s * number, log) for number, log in enumerate(logs, start=1)),
    )


def _log(given: Mapping[str, Any]) -> dict[str, Any]:
    log = {name: given.get(name) for name in _LOG_FIELDS}
    return {**log, "status": log["status"] or "success", "data": log["data"] or {}}


def _steps(call: NodeCall, text: str) -> list[Mapping[str, Any]]:
    """One round of an agent: it begins, and it has an answer."""
    tokens = len(text) // 4 + 1
    begun = {"id": call.draw.uuid(), "label": "ROUND 1", "status": "start", "metadata": {}}
    metadata = {"elapsed_time": round(call.seconds, 3), "total_tokens": tokens}
    output = {"output": {"llm_response": text}}
    return [begun, {**begun, "status": "success", "data": output, "metadata": metadata}]
