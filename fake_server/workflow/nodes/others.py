"""Nodes that only something real could run: code, a knowledge base, a form for a human. Their
outputs are the file's, or placeholders of the declared types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fake_server.workflow.expressions import convert, text_of
from fake_server.workflow.nodes.kind import NodeCall, NodeOutcome
from fake_server.workflow.placeholders import sample_of_type

_UNIT_S = {"hour": 3600, "day": 86400}


def run_fixed(call: NodeCall) -> NodeOutcome:
    """A node whose outputs stand in the file."""
    return NodeOutcome(call.seconds, outputs={})


def run_code(call: NodeCall) -> NodeOutcome:
    """Never runs the code: its outputs are placeholders of the types that it declares."""
    inputs = call.variables_of_data()
    if call.error is not None:
        return NodeOutcome(call.seconds, inputs, error=call.error, error_type="CodeExecutionError")
    declared = call.data.get("outputs")
    outputs = {
        str(name): sample_of_type(str(one.get("type")), str(name), one.get("children"))
        for name, one in (declared.items() if isinstance(declared, Mapping) else ())
        if isinstance(one, Mapping)
    }
    return NodeOutcome(call.seconds, inputs, outputs={**outputs})


def run_knowledge(call: NodeCall) -> NodeOutcome:
    """Finds one passage in each of the first of its knowledge bases."""
    query = text_of(call.value(call.data.get("query_variable_selector")))
    inputs = {"query": query}
    if call.error is not None:
        return NodeOutcome(
            call.seconds, inputs, error=call.error, error_type="KnowledgeRetrievalNodeError"
        )
    datasets = call.data.get("dataset_ids") or ["knowledge"]
    passages = [
        {
            "metadata": {
                "_source": "knowledge",
                "position": position,
                "dataset_id": str(dataset),
                "dataset_name": "knowledge",
                "document_name": f"document {position}",
                "data_source_type": "upload_file",
                "retriever_from": "workflow",
                "score": 0.5,
            },
            "title": f"document {position}",
            "content": f"What is known about {query}",
        }
        for position, dataset in enumerate(datasets[:3], start=1)
    ]
    return NodeOutcome(call.seconds, inputs, outputs={"result": passages})


def run_human_input(call: NodeCall) -> NodeOutcome:
    """A form that somebody fills in: the run pauses until then [C: human_stream]."""
    data = call.data
    fields, defaults = [], {}
    for field in data.get("inputs") or ():
        name, default = field.get("output_variable_name"), field.get("default")
        shown = {"type": field.get("type"), "output_variable_name": name, "default": default}
        if isinstance(default, Mapping):
            shown["default"] = {
                "type": default.get("type"),
                "selector": default.get("selector") or [],
                "value": default.get("value", ""),
            }
            if default.get("type") == "variable":
                defaults[name] = call.value(default.get("selector"))
        fields.append(call.picked("HumanInputField", shown))
    actions = [
        {key: action.get(key) for key in ("id", "title", "button_style")}
        for action in data.get("user_actions") or ()
    ]
    unit_s = _UNIT_S.get(str(data.get("timeout_unit")), 86400)
    methods = [one for one in data.get("delivery_methods") or () if isinstance(one, Mapping)]
    form: dict[str, Any] = {
        "form_content": convert(str(data.get("form_content") or ""), call.pool),
        "inputs": fields,
        "actions": actions,
        "display_in_ui": any(one.get("enabled") and one.get("type") == "webapp" for one in methods),
        "resolved_default_values": defaults,
        "expires_s": float(data.get("timeout") or 3) * unit_s,
    }
    return NodeOutcome(call.seconds, form=form)
