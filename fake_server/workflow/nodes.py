"""What each kind of node does with the values at hand: its inputs, outputs and metadata as the host
reports them.

Shapes and key orders: FACTS 5.5, [C: stream_ok_no_model, stream_llmonly,
fail_llm_mode_500_main_stream].
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fake_server.runs.events import Values
from fake_server.runs.random_values import Draw
from fake_server.workflow.conditions import OPERATORS
from fake_server.workflow.graph import Node, StartVariable
from fake_server.workflow.template import VariablePool, fill_answer, fill_prompt, prompt_values
from fake_server.workflow.tool import NO_RUNTIME, draw_picture, tool_inputs, tool_parameters

_FREE = "0.0000000"
_TOKEN_BYTES = 4
_NO_PROMPT = "No prompt found in the LLM configuration. Please ensure a prompt is properly configured before proceeding."
_GPT2_PIECE = re.compile(r"'(?:[stmd]|re|ve|ll)| ?[^\W_]+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
"""What GPT-2's tokenizer takes in one piece, letters and digits not told apart."""

_CALL_ERROR = "["
"""A model's client begins with the provider in brackets when the call failed, and by then there was
a prompt to show [C: fail_llm_mode_500_main_stream]; what fails before the call names none and shows
none [C: g_badmodel_stream].
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
    """What a node has to work with. ``inputs`` are the cleaned start variables of the run,
    ``sys.files`` last.
    """

    node: Node
    variables: Sequence[StartVariable]
    inputs: Values
    pool: VariablePool
    draw: Draw
    seconds: float


def run_node(call: NodeCall) -> NodeOutcome:
    """Run one node. Never raises for a value: what the host would have choked on is a failed
    outcome.
    """
    if call.node.behaviour.error is not None and call.node.type not in ("llm", "tool"):
        return NodeOutcome(call.seconds, error=call.node.behaviour.error)
    return _RUNNERS.get(call.node.type, _canned)(call)


def _start(call: NodeCall) -> NodeOutcome:
    """The host cleans the variables again here, as the request left them: NUL may have left none
    (FACTS 12.8).
    """
    try:
        values = {
            variable.name: _cleaned(variable, call.inputs[variable.name])
            for variable in call.variables
        }
    except ValueError as error:
        return NodeOutcome(call.seconds, error=str(error))
    inputs = {**call.inputs, **values}
    return NodeOutcome(call.seconds, inputs=inputs, outputs=inputs)


def _cleaned(variable: StartVariable, value: str) -> str:
    """Raises ``ValueError`` with the host's text: also a default is judged here, and only here."""
    if not value:
        if variable.required:
            raise ValueError(f"Input form variable {variable.name} is required")
        return variable.default or ""
    if variable.options is not None:
        if value not in variable.options:
            options = list(variable.options)
            raise ValueError(
                f"{variable.name} in input form must be one of the following: {options}"
            )
    elif variable.max_length is not None and len(value) > variable.max_length:
        raise ValueError(
            f"{variable.name} in input form must be less than {variable.max_length} characters"
        )
    return value


def _llm(call: NodeCall) -> NodeOutcome:
    behaviour, data = call.node.behaviour, call.node.data
    if behaviour.error is not None and not behaviour.error.startswith(_CALL_ERROR):
        return NodeOutcome(call.seconds, error=behaviour.error)
    inputs: dict[str, Any] = {}
    try:
        values = prompt_values((part["text"] for part in data["prompt_template"]), call.pool)
        values["#context#"] = context = _context(data.get("context") or {}, call.pool)
        if context:
            inputs["#context#"] = context
        prompts = _prompts(data["prompt_template"], values)
    except ValueError as error:
        return NodeOutcome(call.seconds, inputs, error=str(error))
    process_data = {"model_mode": data["model"]["mode"], "prompts": prompts}
    reply = (
        prompts[-1]["text"] if behaviour.reply is None else fill_answer(behaviour.reply, call.pool)
    )
    failed = behaviour.error or _uncountable(prompts[0]["text"]) or _uncountable(reply)
    if failed is not None:
        return NodeOutcome(call.seconds, inputs, process_data, error=failed)
    prompt_tokens = _tokens(call, behaviour.prompt_tokens, *(prompt["text"] for prompt in prompts))
    completion_tokens = _tokens(call, behaviour.completion_tokens, reply)
    total = prompt_tokens + completion_tokens
    return NodeOutcome(
        call.seconds,
        inputs=inputs,
        process_data=process_data,
        outputs={"text": reply, "usage": _usage(prompt_tokens, completion_tokens, call.seconds)},
        execution_metadata={"total_tokens": total, "total_price": _FREE, "currency": "USD"},
        total_tokens=total,
    )


def _context(data: Mapping[str, Any], pool: VariablePool) -> str:
    """The text of a model's context, or of its entries; none where it is switched off or names
    nothing.
    """
    selector = tuple(data.get("variable_selector") or ()) if data.get("enabled") else ()
    value = pool.get(selector) if selector else None
    if not value or isinstance(value, str):
        return value or ""
    entries = value if isinstance(value, list) else []
    lines = []
    for entry in entries:
        if not isinstance(entry, str | Mapping) or (
            isinstance(entry, Mapping) and "content" not in entry
        ):
            raise ValueError(f"Invalid context structure: {entry}")
        lines.append(entry if isinstance(entry, str) else entry["content"])
    return "\n".join(lines).strip()


def _prompts(
    template: Sequence[Mapping[str, str]], values: Mapping[str, Any]
) -> list[dict[str, Any]]:
    filled = [
        {"role": part["role"], "text": fill_prompt(part["text"], values), "files": []}
        for part in template
    ]
    prompts = [prompt for prompt in filled if prompt["text"]]
    if not prompts:
        raise ValueError(_NO_PROMPT)
    return prompts


def _tokens(call: NodeCall, count: int | None, *texts: str) -> int:
    """The tokens of ``texts``: about ``count`` where the file says so, else one for four bytes of
    UTF-8.
    """
    if count is not None:
        return round(call.draw.around(count, call.node.behaviour.spread))
    return sum(
        math.ceil(len(text.encode("utf-8", "surrogatepass")) / _TOKEN_BYTES) for text in texts
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


def _uncountable(text: str) -> str | None:
    """The error of a model's client that counts the tokens of a lone surrogate: GPT-2's tokenizer
    encodes piece by piece, so the position counts from the start of its piece (FACTS 12.10)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        for piece in _GPT2_PIECE.finditer(text):
            try:
                piece[0].encode()
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
    except (ValueError, TypeError) as error:
        return NodeOutcome(
            call.seconds, inputs, _condition_results(conditions, results), error=str(error)
        )
    result = (
        all(results) if call.node.data.get("logical_operator", "and") == "and" else any(results)
    )
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
        "expected_value": condition.get("value"),
        "comparison_operator": condition["comparison_operator"],
    }


def _condition_results(conditions: list[dict[str, Any]], results: list[bool]) -> Values:
    return {
        "condition_results": [
            {**condition, "result": result}
            for condition, result in zip(conditions, results, strict=False)
        ]
    }


def _tool(call: NodeCall) -> NodeOutcome:
    data, error = call.node.data, call.node.behaviour.error
    try:
        parameters = tool_parameters(data, call.pool)
    except ValueError as wrong:
        return NodeOutcome(call.seconds, error=str(wrong))
    if error is not None and error.startswith(NO_RUNTIME):
        return NodeOutcome(call.seconds, parameters, error=error)
    inputs = tool_inputs(data, parameters)
    if error is not None:
        return NodeOutcome(call.seconds, inputs, error=error)
    drawn = {
        **inputs,
        "model": parameters.get("model") or inputs.get("model"),
    }  # a picture tells what was asked for
    has_outputs = call.node.behaviour.outputs is not None
    return NodeOutcome(
        call.seconds,
        inputs=inputs,
        outputs=_canned_outputs(call) if has_outputs else draw_picture(drawn, call.draw),
        execution_metadata={
            "tool_info": {
                "provider_type": data["provider_type"],
                "provider_id": data["provider_id"],
            }
        },
    )


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
    return {
        name: _filled(value, call.pool)
        for name, value in (call.node.behaviour.outputs or {}).items()
    }


def _filled(value: Any, pool: VariablePool) -> Any:
    return fill_answer(value, pool) if isinstance(value, str) else value


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
