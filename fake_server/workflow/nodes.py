"""The kinds of nodes: how each is checked in a file, and what it does with the values at hand.

Inputs, outputs and metadata have the host's shapes and key orders: FACTS 5.5 and 12,
[C: stream_ok_no_model, stream_llmonly, fail_llm_mode_500_main_stream].
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dify_wire.strict import Field
from fake_server.images import ImageRecord
from fake_server.runs.events import FileRef, Values
from fake_server.runs.random_values import RandomValues
from fake_server.workflow.expressions import (
    OPERATORS,
    Pool,
    fill_fake,
    fill_parameter,
    fill_prompt,
    prompt_values,
    read,
)
from fake_server.workflow.model import Node, StartVariable


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
    """What a node works with. ``inputs`` are the start variables of the run, ``sys.files`` last."""

    node: Node
    variables: Sequence[StartVariable]
    inputs: Values
    pool: Pool
    draw: RandomValues
    seconds: float


def run_node(call: NodeCall) -> NodeOutcome:
    """Run one node. A value that the host cannot handle is a failed outcome, never an exception."""
    kind, error = NODE_KINDS[call.node.type], call.node.behaviour.error
    if error is not None and not kind.reports_more_than_error:
        return NodeOutcome(call.seconds, error=error)
    return kind.run(call)


def check_selector(field: Field) -> None:
    """Fail unless ``field`` is a path of a node and one of its outputs."""
    if len(field.texts()) < 2:
        field.fail("a selector names a node and one of its outputs: [node id, output]")


def _check_nothing(data: Field) -> None:
    """A kind whose data the fake does not read."""


# start


def _run_start(call: NodeCall) -> NodeOutcome:
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


# llm

_FREE = "0.0000000"
_TOKEN_BYTES = 4
_NO_PROMPT = (
    "No prompt found in the LLM configuration. "
    "Please ensure a prompt is properly configured before proceeding."
)
_GPT2_PIECE = re.compile(r"'(?:[stmd]|re|ve|ll)| ?[^\W_]+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
"""A unit of GPT-2's tokenizer, which does not distinguish letters and digits."""

_CALL_ERROR = "["
"""An error of the call itself begins with the provider in brackets, and by then there is a prompt
to report [C: fail_llm_mode_500_main_stream]; an error before the call names no provider and reports
no prompt [C: g_badmodel_stream].
"""


def _check_llm(data: Field) -> None:
    data["model"]["mode"].choice(("chat", "completion"))
    prompts = list(data["prompt_template"].entries())
    if not prompts:
        data["prompt_template"].fail("a model needs at least one prompt; add one: {role, text}")
    for prompt in prompts:
        prompt["role"].text()
        prompt["text"].text()
    if context := data.get("context"):
        if enabled := context.get("enabled"):
            enabled.boolean()
        if selector := context.get("variable_selector"):
            selector.texts()


def _run_llm(call: NodeCall) -> NodeOutcome:
    behaviour, data = call.node.behaviour, call.node.data
    if behaviour.error is not None and not behaviour.error.startswith(_CALL_ERROR):
        return NodeOutcome(call.seconds, error=behaviour.error)
    inputs: dict[str, Any] = {}
    try:
        values = prompt_values(data["prompt_template"], call.pool)
        values["#context#"] = context = _context(data.get("context") or {}, call.pool)
        if context:
            inputs["#context#"] = context
        prompts = _prompts(data["prompt_template"], values)
    except ValueError as error:
        return NodeOutcome(call.seconds, inputs, error=str(error))
    process_data = {"model_mode": data["model"]["mode"], "prompts": prompts}
    reply = prompts[-1]["text"]
    if behaviour.reply is not None:
        reply = fill_fake(behaviour.reply, call.pool)
    failure = behaviour.error or _token_error(prompts[0]["text"]) or _token_error(reply)
    if failure is not None:
        return NodeOutcome(call.seconds, inputs, process_data, error=failure)
    prompt_tokens = _tokens(call, behaviour.prompt_tokens, prompts)
    completion_tokens = _tokens(call, behaviour.completion_tokens, [{"text": reply}])
    usage = _usage(prompt_tokens, completion_tokens, call.seconds)
    total = usage["total_tokens"]
    return NodeOutcome(
        call.seconds,
        inputs=inputs,
        process_data=process_data,
        outputs={"text": reply, "usage": usage},
        execution_metadata={"total_tokens": total, "total_price": _FREE, "currency": "USD"},
        total_tokens=total,
    )


def _context(context: Mapping[str, Any], pool: Pool) -> str:
    """The text of a model's context, or of its entries; empty where it is off or names nothing."""
    selector = tuple(context.get("variable_selector") or ()) if context.get("enabled") else ()
    value = read(pool, selector) if selector else None
    if not value or isinstance(value, str):
        return value or ""
    lines = []
    for entry in value if isinstance(value, list) else []:
        line = entry.get("content", entry) if isinstance(entry, Mapping) else entry
        if line is entry and not isinstance(entry, str):
            raise ValueError(f"Invalid context structure: {entry}")
        lines.append(line)
    return "\n".join(lines).strip()


def _prompts(
    template: Sequence[Mapping[str, str]], values: Mapping[str, Any]
) -> list[dict[str, Any]]:
    prompts: list[dict[str, Any]] = []
    for part in template:
        text = fill_prompt(part["text"], values)
        if text:
            prompts.append({"role": part["role"], "text": text, "files": []})
    if not prompts:
        raise ValueError(_NO_PROMPT)
    return prompts


def _tokens(call: NodeCall, count: int | None, messages: Sequence[Mapping[str, Any]]) -> int:
    """About ``count`` where the file gives it, else one token for four bytes of UTF-8."""
    if count is not None:
        return round(call.draw.vary(count, call.node.behaviour.spread))
    total = 0
    for message in messages:
        size = len(message["text"].encode("utf-8", "surrogatepass"))
        total += math.ceil(size / _TOKEN_BYTES)
    return total


def _usage(prompt_tokens: int, completion_tokens: int, latency_s: float) -> dict[str, Any]:
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


def _token_error(text: str) -> str | None:
    """The error of a model's client that counts the tokens of a lone surrogate.

    GPT-2's tokenizer encodes piece by piece, so positions count from the start of a piece
    (FACTS 12.10).
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        for piece in _GPT2_PIECE.finditer(text):
            try:
                piece[0].encode()
            except UnicodeEncodeError as error:
                return f"[openai_api_compatible] Error: {error}"
    return None


# if-else


def _check_if_else(data: Field) -> None:
    if operator := data.get("logical_operator"):
        operator.choice(("and", "or"), "logical operator")
    for condition in data["conditions"].entries():
        condition["comparison_operator"].choice(OPERATORS, "comparison")
        if value := condition.get("value"):
            value.text()
        check_selector(condition["variable_selector"])


def _run_if_else(call: NodeCall) -> NodeOutcome:
    conditions: list[dict[str, Any]] = []
    for condition in call.node.data["conditions"]:
        actual = read(call.pool, tuple(condition["variable_selector"]))
        conditions.append(
            {
                "actual_value": actual,
                "expected_value": condition.get("value"),
                "comparison_operator": condition["comparison_operator"],
            }
        )
    inputs = {"conditions": conditions}
    results: list[dict[str, Any]] = []
    passed: list[bool] = []
    process_data = {"condition_results": results}
    try:
        for condition in conditions:
            compare = OPERATORS[condition["comparison_operator"]]
            holds = compare(condition["actual_value"], condition["expected_value"])
            results.append({**condition, "result": holds})
            passed.append(holds)
    except (ValueError, TypeError) as error:
        return NodeOutcome(call.seconds, inputs, process_data, error=str(error))
    is_and = call.node.data.get("logical_operator", "and") == "and"
    result = all(passed) if is_and else any(passed)
    handle = "true" if result else "false"
    return NodeOutcome(call.seconds, inputs, process_data, {"result": result}, handle=handle)


# tool

NO_IMAGE: Mapping[str, Any] = {"text": "Failed to generate image\n", "files": []}
"""The outputs when the image server gave no image [C: fail_sd_mode_500_textmodel_block]."""

MAX_IMAGE_NUMBER = 4096
"""The most pixels a side, and steps, of an image."""

_NO_RUNTIME = "Failed to get tool runtime"
"""The start of an error that leaves the tool without its settings [C: g_badtool_stream]."""

_IMAGE_NUMBERS = {"steps": 10, "width": 1024, "height": 1024}
"""The numeric settings with the defaults of the Stable Diffusion tool."""

_STABLE_DIFFUSION = ("builtin", "stablediffusion", "stable_diffusion")
_IMAGE_DEFAULTS: Mapping[str, Any] = {
    "lora": "",
    **_IMAGE_NUMBERS,
    "negative_prompt": "bad art, ugly, deformed, watermark, duplicated, discontinuous lines",
}
_IMAGE_STRINGS = ("prompt", "model", "lora", "negative_prompt")
_RECORD_CHARACTERS = 6000
"""The part of a text that an image can show; no more of it is stored."""


def _check_tool(data: Field) -> None:
    for key in ("provider_id", "provider_type", "tool_name"):
        data[key].text()
    if settings := data.get("tool_configurations"):
        for name, setting in settings.items():
            if name in _IMAGE_NUMBERS and setting.value:
                _check_image_number(setting)
    if parameters := data.get("tool_parameters"):
        for name in parameters.mapping():
            parameter = parameters[name]
            kind = parameter["type"].choice(("mixed", "variable", "constant"), "type")
            if kind == "variable":
                check_selector(parameter["value"])
            elif kind == "mixed":
                parameter["value"].text()


def _check_image_number(field: Field) -> None:
    """A number, or a string of digits; empty ones are the tool's default (FACTS 12.6)."""
    text = field.value if isinstance(field.value, str) else ""
    if text.isascii() and text.isdigit():
        field = Field(int(text), field.path, error=field.error)
    field.whole(1, MAX_IMAGE_NUMBER)


def is_stable_diffusion(data: Mapping[str, Any]) -> bool:
    """Whether a tool node is the one whose settings and images the fake knows."""
    names = (data.get("provider_type"), data.get("provider_id"), data.get("tool_name"))
    return names == _STABLE_DIFFUSION


def complete_settings(data: Mapping[str, Any], models: Sequence[str]) -> Mapping[str, Any]:
    """The settings of a tool as the host completes them, in the tool's order.

    The first of ``models`` is the default model. Settings that Stable Diffusion does not know are
    dropped; those of any other tool stay as they are.
    """
    stored = data.get("tool_configurations") or {}
    if not is_stable_diffusion(data):
        return stored
    defaults = {"model": models[0] if models else "", **_IMAGE_DEFAULTS}
    settings = {name: stored.get(name) or default for name, default in defaults.items()}
    return {
        name: int(value) if name in _IMAGE_NUMBERS else str(value)
        for name, value in settings.items()
    }


def _run_tool(call: NodeCall) -> NodeOutcome:
    data, behaviour, error = call.node.data, call.node.behaviour, call.node.behaviour.error
    parameters: dict[str, Any] = {}
    try:
        for name, parameter in (data.get("tool_parameters") or {}).items():
            value = parameter.get("value")
            if parameter["type"] == "variable":
                value = read(call.pool, tuple(value))
            elif parameter["type"] == "mixed":
                value = fill_parameter(value, call.pool)
            parameters[name] = value
    except ValueError as not_filled:
        return NodeOutcome(call.seconds, error=str(not_filled))
    if error is not None and error.startswith(_NO_RUNTIME):
        return NodeOutcome(call.seconds, parameters, error=error)
    # a setting wins over a parameter of its name, and stands in its place
    inputs = {**parameters, **(data.get("tool_configurations") or {})}
    if is_stable_diffusion(data):
        for name in _IMAGE_STRINGS:
            if name in inputs:
                inputs[name] = str(inputs[name])
    if error is not None:
        return NodeOutcome(call.seconds, inputs, error=error)
    if behaviour.outputs is not None:
        outputs: Values = _fixed_outputs(call)
    else:
        # the image is labelled with the requested model
        model = parameters.get("model") or inputs.get("model")
        outputs = _image_outputs({**inputs, "model": model}, call.draw)
    tool = {"provider_type": data["provider_type"], "provider_id": data["provider_id"]}
    return NodeOutcome(
        call.seconds, inputs, outputs=outputs, execution_metadata={"tool_info": tool}
    )


def _image_outputs(inputs: Values, draw: RandomValues) -> Values:
    """The outputs of Stable Diffusion for ``inputs``."""
    if not inputs.get("prompt"):
        return {"text": "Please input prompt\n", "files": []}
    numbers: dict[str, int] = {}
    try:
        for name, default in _IMAGE_NUMBERS.items():
            numbers[name] = int(inputs.get(name) or default)
        if not 1 <= min(numbers.values()) <= max(numbers.values()) <= MAX_IMAGE_NUMBER:
            raise ValueError
    except (ValueError, TypeError, OverflowError):  # a 422 of Stable Diffusion
        return NO_IMAGE
    record = ImageRecord(
        prompt=str(inputs["prompt"])[:_RECORD_CHARACTERS],
        model=str(inputs.get("model") or "")[:_RECORD_CHARACTERS],
        seed=draw.getrandbits(32),
        negative_prompt=str(inputs.get("negative_prompt") or "")[:_RECORD_CHARACTERS],
        **numbers,
    )
    return {"text": "", "files": [FileRef(draw.uuid(), record)]}


def tool_icon(node: Node) -> str:
    """The path of the icon of a tool node's provider in the console."""
    kind, provider = node.data["provider_type"], node.data["provider_id"]
    return f"/console/api/workspaces/current/tool-provider/{kind}/{provider}/icon"


# end, and the kinds that the fake does not run


def _check_end(data: Field) -> None:
    if outputs := data.get("outputs"):
        for output in outputs.entries():
            output["variable"].text()
            check_selector(output["value_selector"])


def _run_end(call: NodeCall) -> NodeOutcome:
    values: dict[str, Any] = {}
    for output in call.node.data.get("outputs") or ():
        values[output["variable"]] = read(call.pool, tuple(output["value_selector"]))
    return NodeOutcome(call.seconds, inputs=values or None, outputs=values or None)


def _run_fixed(call: NodeCall) -> NodeOutcome:
    """A node that only something real could run: its outputs stand in the file."""
    return NodeOutcome(call.seconds, outputs=_fixed_outputs(call) or None)


def _fixed_outputs(call: NodeCall) -> Values:
    return {
        name: fill_fake(value, call.pool) if isinstance(value, str) else value
        for name, value in (call.node.behaviour.outputs or {}).items()
    }


@dataclass(frozen=True, slots=True)
class NodeKind:
    """A type of nodes: ``check`` fails for data that ``run`` cannot use; ``seconds`` is the usual
    duration, ``failure`` the host's error when what stands behind a node fails. A kind that
    ``reports_more_than_error`` also runs for ``x-fake.error``.
    """

    run: Callable[[NodeCall], NodeOutcome] = _run_fixed
    check: Callable[[Field], None] = _check_nothing
    seconds: float = 0.05
    failure: str = "Invalid value selector"
    reports_more_than_error: bool = False


# [C: fail_llm_mode_500_main_block]
_LLM_FAILURE = (
    "[openai_api_compatible] Error: API request failed with status code 500: "
    '{"error": {"message": "upstream exploded", "type": "server_error"}}'
)
# the image server does not take the model [C: fail_options_mode_500_main_block]
_TOOL_FAILURE = "Failed to invoke tool: Failed to set model, please tell user to set model"
UNKNOWN_KIND = NodeKind()

NODE_KINDS: Mapping[str, NodeKind] = {
    "start": NodeKind(_run_start, seconds=0.004),
    "llm": NodeKind(_run_llm, _check_llm, 3.2, _LLM_FAILURE, reports_more_than_error=True),
    "if-else": NodeKind(_run_if_else, _check_if_else, 0.003, "Invalid actual value type: string"),
    "tool": NodeKind(_run_tool, _check_tool, 15.3, _TOOL_FAILURE, reports_more_than_error=True),
    "end": NodeKind(_run_end, _check_end, seconds=0.004),
    "answer": NodeKind(),
    "knowledge-retrieval": NodeKind(),
    "code": NodeKind(),
    "template-transform": NodeKind(),
    "question-classifier": NodeKind(),
    "http-request": NodeKind(),
    "variable-assigner": NodeKind(),
}
"""The node types of Dify 0.6.4."""
