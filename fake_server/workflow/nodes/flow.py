"""Where a run begins, waits and ends: start, form for a human, end, and the answer of a chat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dify_wire.strict import Field
from fake_server.workflow.expressions import check_size, convert, text_of
from fake_server.workflow.json_objects import schema_error
from fake_server.workflow.model import StartVariable
from fake_server.workflow.nodes.kind import NodeCall, NodeOutcome

_CHECKED_VALUES = 10
"""More values than these can be too large together where none of them is."""

_UNIT_S = {"hour": 3600, "day": 86400}


def run_start(call: NodeCall) -> NodeOutcome:
    """Hosts before 0.15 clean the variables again here: NUL may have left nothing of one
    (FACTS 12.8).
    """
    names = [name for name in call.inputs if not name.startswith("sys.")]
    inputs = {name: call.inputs[name] for name in names}
    if call.spec.nodes.start_cleans:
        try:
            for variable in call.variables:
                inputs[variable.name] = _cleaned(variable, inputs[variable.name])
        except ValueError as error:
            return NodeOutcome(call.seconds, error=str(error))
    for variable in call.variables:
        value = inputs.get(variable.name)
        if variable.type == "json_object" and variable.json_schema and value:
            problem = schema_error(variable.json_schema, value)
            if problem is not None:
                refusal = f"JSON object for '{variable.name}' does not match schema: {problem}"
                return NodeOutcome(call.seconds, error=refusal, error_type="ValueError")
    for key in call.spec.nodes.start_values:
        if f"sys.{key}" in call.inputs:
            inputs[f"sys.{key}"] = call.inputs[f"sys.{key}"]
    return NodeOutcome(call.seconds, inputs=inputs, outputs=inputs)


def _cleaned(variable: StartVariable, value: Any) -> Any:
    """Raises ``ValueError`` with the host's text; a default is returned unchecked."""
    name, limit = variable.name, variable.max_length
    if not value:
        if variable.required:
            raise ValueError(f"Input form variable {name} is required")
        return variable.default or ""
    if variable.options is not None:
        if value not in variable.options:
            options = list(variable.options)
            raise ValueError(f"{name} in input form must be one of the following: {options}")
    elif limit is not None and isinstance(value, str) and len(value) > limit:
        raise ValueError(f"{name} in input form must be less than {limit} characters")
    return value


def check_end(data: Field) -> None:
    if outputs := data.get("outputs"):
        for output in outputs.entries():
            output["variable"].text()
            output["value_selector"].texts()


def run_end(call: NodeCall) -> NodeOutcome:
    values = {
        output["variable"]: call.value(output.get("value_selector"))
        for output in call.node.data.get("outputs") or ()
    }
    if len(values) > _CHECKED_VALUES:
        check_size(list(values.values()))
    return NodeOutcome(call.seconds, inputs=values, outputs=values)


def run_answer(call: NodeCall) -> NodeOutcome:
    answer = text_of(call.text(call.node.data.get("answer") or ""))
    return NodeOutcome(call.seconds, outputs={"answer": answer})


def run_nothing(call: NodeCall) -> NodeOutcome:
    """A node that only marks a place: the start of an iteration, the end of a loop."""
    return NodeOutcome(call.seconds, outputs={})


def run_fixed(call: NodeCall) -> NodeOutcome:
    """A node whose outputs stand in the file."""
    return NodeOutcome(call.seconds, outputs={})


def run_human_input(call: NodeCall) -> NodeOutcome:
    """A form that somebody fills in: the run pauses until then [C: human_stream]."""
    data = call.node.data
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
