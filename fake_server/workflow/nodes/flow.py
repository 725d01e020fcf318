"""Where a run begins and ends: the start and the end node, and the answer of a chat."""

from __future__ import annotations

from typing import Any

from dify_wire.strict import Field
from fake_server.workflow.expressions import text_of
from fake_server.workflow.json_objects import schema_error
from fake_server.workflow.model import StartVariable
from fake_server.workflow.nodes.kind import NodeCall, NodeOutcome


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
        for output in call.data.get("outputs") or ()
    }
    return NodeOutcome(call.seconds, inputs=values, outputs=values)


def run_answer(call: NodeCall) -> NodeOutcome:
    answer = text_of(call.text(call.data.get("answer") or ""))
    return NodeOutcome(call.seconds, outputs={"answer": answer})


def run_nothing(call: NodeCall) -> NodeOutcome:
    """A node that only marks a place: the start of an iteration, the end of a loop."""
    return NodeOutcome(call.seconds, outputs={})
