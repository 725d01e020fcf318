"""What each kind of node does with the values at hand: its inputs, outputs and metadata as the host reports them.

Shapes and key orders: FACTS 5.5, [C: stream_ok_no_model, stream_llmonly, fail_llm_mode_500_main_stream].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fake_server.draw import Draw
from fake_server.events import FileRef, Values
from fake_server.images import Picture
from fake_server.workflow.conditions import OPERATORS
from fake_server.workflow.graph import Node
from fake_server.workflow.template import VariablePool, fill, references

_FREE = "0.0000000"
_DRAWN_CHARACTERS = 6000
"""More of a text than this has no place on a picture, and is not kept for it."""

_USUAL_NUMBERS = {"width": 512, "height": 512, "steps": 20}
GREATEST_NUMBER = 4096
"""The most pixels a side, and steps, that a picture may have."""

_CALL_ERROR = "["
"""A model's client begins with the provider in brackets when the call failed, and by then there was a prompt to show
[C: fail_llm_mode_500_main_stream]; what fails before the call names none and shows none [C: g_badmodel_stream].
"""


@dataclass(frozen=True, slots=True)
class NodeOutcome:
    """How a node ended. ``handle`` names the edge by which the run goes on."""

    seconds: float
    inputs: Values | None = None
    process_data: Values | None = None
    outputs: Values | None = None
    error: str | None = None
    execution_metadata: Values | None = None
    total_tokens: int = 0
    handle: str = "source"


@dataclass(frozen=True, slots=True)
class NodeCall:
    """What a node has to work with. ``inputs`` are the cleaned start variables of the run, ``sys.files`` last."""

    node: Node
    inputs: Values
    pool: VariablePool
    draw: Draw
    seconds: float


def run_node(call: NodeCall) -> NodeOutcome:
    """Run one node. Never raises for a value: what the host would have choked on is a failed outcome."""
    if call.node.behaviour.error is not None and call.node.type != "llm":
        inputs = _tool_inputs(call) if call.node.type == "tool" else None
        return NodeOutcome(call.seconds, inputs, error=call.node.behaviour.error)
    return _RUNNERS.get(call.node.type, _canned)(call)


def _start(call: NodeCall) -> NodeOutcome:
    return NodeOutcome(call.seconds, inputs=call.inputs, outputs=call.inputs)


def _llm(call: NodeCall) -> NodeOutcome:
    behaviour = call.node.behaviour
    if behaviour.error is not None and not behaviour.error.startswith(_CALL_ERROR):
        return NodeOutcome(call.seconds, error=behaviour.error)
    prompts = [
        {"role": part["role"], "text": fill(part["text"], call.pool), "files": []}
        for part in call.node.data["prompt_template"]
    ]
    process_data = {"model_mode": call.node.data["model"]["mode"], "prompts": prompts}
    error = behaviour.error or _unsendable(call)
    if error is not None:
        return NodeOutcome(call.seconds, process_data=process_data, error=error)
    said = prompts[-1]["text"] if behaviour.reply is None else fill(behaviour.reply, call.pool)
    prompt_tokens = round(call.draw.around(behaviour.prompt_tokens, behaviour.spread))
    completion_tokens = round(call.draw.around(behaviour.completion_tokens, behaviour.spread))
    total = prompt_tokens + completion_tokens
    return NodeOutcome(
        call.seconds,
        process_data=process_data,
        outputs={"text": said, "usage": _usage(prompt_tokens, completion_tokens, call.seconds)},
        execution_metadata={"total_tokens": total, "total_price": _FREE, "currency": "USD"},
        total_tokens=total,
    )


def _usage(prompt_tokens: int, completion_tokens: int, latency_s: float) -> Values:
    return {
        "prompt_tokens": prompt_tokens,
        "prompt_unit_price": "0",
        "prompt_price_unit": "0",
        "prompt_price": _FREE,
        "completion_tokens": completion_tokens,
        "completion_unit_price": "0",
        "completion_price_unit": "0",
        "completion_price": _FREE,
        "total_tokens": prompt_tokens + completion_tokens,
        "total_price": _FREE,
        "currency": "USD",
        "latency": latency_s,
    }


def _unsendable(call: NodeCall) -> str | None:
    """The error of a model's client that cannot encode a value of the prompt: a lone surrogate [C: body_surrogate]."""
    for part in call.node.data["prompt_template"]:
        for selector in references(part["text"]):
            try:
                str(call.pool.get(selector)).encode()
            except UnicodeEncodeError as error:
                return f"[openai_api_compatible] Error: {error}"
    return None


def _if_else(call: NodeCall) -> NodeOutcome:
    conditions = [_condition(condition, call.pool) for condition in call.node.data["conditions"]]
    inputs = {"conditions": conditions}
    results: list[bool] = []
    try:
        for condition in conditions:
            compare = OPERATORS[condition["comparison_operator"]]
            results.append(compare(condition["actual_value"], condition["expected_value"]))
    except ValueError as error:
        return NodeOutcome(call.seconds, inputs, _condition_results(conditions, results), error=str(error))
    result = all(results) if call.node.data.get("logical_operator", "and") == "and" else any(results)
    return NodeOutcome(
        call.seconds,
        inputs,
        _condition_results(conditions, results),
        outputs={"result": result},
        handle="true" if result else "false",
    )


def _condition(condition: Mapping[str, Any], pool: VariablePool) -> dict[str, Any]:
    return {
        "actual_value": pool.get(tuple(condition["variable_selector"])),
        "expected_value": fill(condition.get("value") or "", pool),
        "comparison_operator": condition["comparison_operator"],
    }


def _condition_results(conditions: list[dict[str, Any]], results: list[bool]) -> Values:
    return {
        "condition_results": [
            {**condition, "result": result} for condition, result in zip(conditions, results, strict=False)
        ]
    }


def _tool(call: NodeCall) -> NodeOutcome:
    inputs = _tool_inputs(call)
    return NodeOutcome(
        call.seconds,
        inputs=inputs,
        outputs=_tool_outputs(call, inputs),
        execution_metadata={
            "tool_info": {
                "provider_type": call.node.data["provider_type"],
                "provider_id": call.node.data["provider_id"],
            }
        },
    )


def _tool_inputs(call: NodeCall) -> dict[str, Any]:
    """The tool's parameters, those with a value of this run first, as the host lists them."""
    parameters = call.node.data.get("tool_parameters") or {}
    filled = {name: _parameter(parameter, call.pool) for name, parameter in parameters.items()}
    return {**filled, **(call.node.data.get("tool_configurations") or {})}


def _parameter(parameter: Mapping[str, Any], pool: VariablePool) -> Any:
    if parameter["type"] == "variable":
        return pool.get(tuple(parameter["value"]))
    if parameter["type"] == "mixed":
        return fill(parameter["value"], pool)
    return parameter.get("value")


def _tool_outputs(call: NodeCall, inputs: Values) -> Values:
    if call.node.behaviour.outputs is not None:
        return _canned_outputs(call)
    if not inputs.get("prompt"):
        return {"text": "Please input prompt\n", "files": []}
    try:
        numbers = {name: _number(inputs.get(name), usual) for name, usual in _USUAL_NUMBERS.items()}
    except (ValueError, TypeError, OverflowError):
        return {"text": "Failed to generate image\n", "files": []}  # what a 422 of Stable Diffusion comes to
    picture = Picture(
        prompt=str(inputs["prompt"])[:_DRAWN_CHARACTERS],
        model=str(inputs.get("model") or "")[:_DRAWN_CHARACTERS],
        seed=call.draw.number(32),
        negative_prompt=str(inputs.get("negative_prompt") or "")[:_DRAWN_CHARACTERS],
        **numbers,
    )
    return {"text": "", "files": [FileRef(call.draw.uuid(), picture)]}


def _number(value: Any, usual: int) -> int:
    """A size or a count as Stable Diffusion takes it, text allowed; raises for what it would not take."""
    number = int(value or usual)
    if not 1 <= number <= GREATEST_NUMBER:
        raise ValueError(f"{number} is not from 1 to {GREATEST_NUMBER}")
    return number


def _end(call: NodeCall) -> NodeOutcome:
    chosen = {
        output["variable"]: call.pool.get(tuple(output["value_selector"]))
        for output in call.node.data.get("outputs") or ()
    }
    return NodeOutcome(call.seconds, inputs=chosen or None, outputs=chosen or None)


def _canned(call: NodeCall) -> NodeOutcome:
    """A node that only something real could run: it answers what its file says it answers."""
    return NodeOutcome(call.seconds, outputs=_canned_outputs(call) or None)


def _canned_outputs(call: NodeCall) -> Values:
    return {name: _filled(value, call.pool) for name, value in (call.node.behaviour.outputs or {}).items()}


def _filled(value: Any, pool: VariablePool) -> Any:
    return fill(value, pool) if isinstance(value, str) else value


_RUNNERS: dict[str, Callable[[NodeCall], NodeOutcome]] = {
    "start": _start,
    "llm": _llm,
    "if-else": _if_else,
    "tool": _tool,
    "end": _end,
}
RUN_BY_THE_FAKE = frozenset(_RUNNERS)

NODE_TYPES = frozenset(
    {
        *RUN_BY_THE_FAKE,
        "answer",
        "knowledge-retrieval",
        "code",
        "template-transform",
        "question-classifier",
        "http-request",
        "variable-assigner",
    }
)
"""The node types of Dify 0.6.4."""


def tool_icon(node: Node) -> str:
    """Where the console keeps the icon of a tool node's provider."""
    kind, provider = node.data["provider_type"], node.data["provider_id"]
    return f"/console/api/workspaces/current/tool-provider/{kind}/{provider}/icon"
