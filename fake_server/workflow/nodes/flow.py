"""Where a run begins and ends: the start and the end node."""

from __future__ import annotations

from typing import Any

from dify_wire.strict import Field
from fake_server.workflow.expressions import read
from fake_server.workflow.model import StartVariable
from fake_server.workflow.nodes.kind import NodeCall, NodeOutcome, check_selector


def run_start(call: NodeCall) -> NodeOutcome:
    """The host cleans the variables again here: NUL may have left nothing of one (FACTS 12.8)."""
    inputs = dict(call.inputs)
    try:
        for variable in call.variables:
            inputs[variable.name] = _cleaned(variable, inputs[variable.name])
    except ValueError as error:
        return NodeOutcome(call.seconds, error=str(error))
    return NodeOutcome(call.seconds, inputs=inputs, outputs=inputs)


def _cleaned(variable: StartVariable, value: str) -> str:
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
    elif limit is not None and len(value) > limit:
        raise ValueError(f"{name} in input form must be less than {limit} characters")
    return value


def check_end(data: Field) -> None:
    if outputs := data.get("outputs"):
        for output in outputs.entries():
            output["variable"].text()
            check_selector(output["value_selector"])


def run_end(call: NodeCall) -> NodeOutcome:
    values: dict[str, Any] = {}
    for output in call.node.data.get("outputs") or ():
        values[output["variable"]] = read(call.pool, tuple(output["value_selector"]))
    return NodeOutcome(call.seconds, inputs=values or None, outputs=values or None)
