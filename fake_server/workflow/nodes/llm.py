"""A model: its prompts, its reply and its usage. Also the nodes that call one: a classifier, an
extractor of parameters, and an agent.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dify_wire.strict import Field
from fake_server.host_spec import HostSpec
from fake_server.workflow.expressions import (
    ABSENT,
    fill_fake,
    fill_prompt,
    plain,
    prompt_values,
    references,
    text_of,
)
from fake_server.workflow.nodes.kind import NodeCall, NodeOutcome
from fake_server.workflow.placeholders import sample_of_schema, sample_of_type

if TYPE_CHECKING:
    from fake_server.workflow.model import Node

_TOKEN_BYTES = 4
_PIECE_CHARACTERS = 24
"""How many characters of a text come at once, as those of the recorded model [C: llmonly_stream]"""

_MOST_PIECES = 2000
_NO_PROMPT = (
    "No prompt found in the LLM configuration. "
    "Please ensure a prompt is properly configured before proceeding."
)
_GPT2_PIECE = re.compile(r"'(?:[stmd]|re|ve|ll)| ?[^\W_]+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
"""A unit of GPT-2's tokenizer, which does not distinguish letters and digits."""

_BEFORE_CALL = ("Model ", "Provider ")
"""How an error begins that comes before a model is called: there is no prompt to report yet
[C: g_badmodel_stream, g_noprovider_stream].
"""

_CONTEXT = re.compile(r"\{\{#context#\}\}")


_LOG_FIELDS = ("id", "parent_id", "error", "status", "data", "label", "metadata")
"""The fields of a log entry, in the order of the agent's ``json`` [C: agent_block of 1.14.2]."""


def check_llm(data: Field) -> None:
    if (mode := data["model"].get("mode")) and mode.value:
        mode.choice(("chat", "completion"))
    template = data["prompt_template"]
    is_completion = isinstance(template.value, dict)
    for prompt in [template] if is_completion else template.entries():
        if "jinja2_text" not in prompt and prompt["text"].value is not None:
            prompt["text"].text()
    if (context := data.get("context")) and (selector := context.get("variable_selector")):
        selector.texts()


def run_llm(call: NodeCall) -> NodeOutcome:
    error, rules = call.error, call.spec.nodes
    model = call.node.data.get("model") or {}
    known: dict[str, Any] = {
        "model_mode": str(model.get("mode") or "chat"),
        "model_provider": model.get("provider"),
        "model_name": model.get("name"),
    }
    inputs = call.picked("LlmInputs", known)
    missing = call.node.behaviour.missing is not None
    if error is not None and (missing or error.startswith(_BEFORE_CALL)):
        return NodeOutcome(call.seconds, inputs, error=error, error_type="ModelNotExistError")
    try:
        context = _context(call) if call.node.data.get("context") else ""
        if context:
            inputs = {"#context#": context, **inputs}
        prompts = _prompts(call, context)
    except ValueError as not_filled:
        return NodeOutcome(
            call.seconds, inputs, error=str(not_filled), error_type="VariableNotFoundError"
        )
    known["prompts"] = prompts
    reply = prompts[-1]["text"]
    if call.node.behaviour.reply is not None:
        reply = fill_fake(call.node.behaviour.reply, call.pool)
    structured = None
    if call.node.data.get("structured_output_enabled"):
        schema = (call.node.data.get("structured_output") or {}).get("schema")
        structured = sample_of_schema(schema) if isinstance(schema, Mapping) else {}
        if call.node.behaviour.reply is None:
            reply = json.dumps(structured, ensure_ascii=False)
    for text in (prompts[0]["text"], reply):
        if not text.isascii():
            error = error or _token_error(call, text)
    if error is not None:
        fields = call.spec.fields["LlmProcessData"] if rules.failed_prompts else ()
        shown = {name: known[name] for name in fields if name in known}
        return NodeOutcome(
            call.seconds, inputs, shown or None, error=error, error_type="InvokeError"
        )
    spent = used(call, prompts, reply)
    known |= {
        "text": reply,
        "reasoning_content": call.node.behaviour.reasoning or "",
        "files": [],
        "usage": spent,
        "finish_reason": "stop",
    }
    outputs = call.picked("LlmOutputs", known)
    if structured is not None:
        outputs["structured_output"] = structured
    chunks: tuple[tuple[str, tuple[str, ...]], ...] = ()
    if call.spec.stream.text_chunks != "none":
        chunks = (("text", (*pieces(reply), *("",) * rules.model_end_chunks)),)
    return NodeOutcome(
        call.seconds,
        inputs=inputs,
        process_data=call.picked("LlmProcessData", known),
        outputs=outputs,
        execution_metadata=cost(spent),
        total_tokens=spent["total_tokens"],
        chunks=chunks,
    )


def llm_passes_on(node: Node, spec: HostSpec) -> bool:
    """Whether its tokens are given, and no piece of its reply depends on how long that is."""
    behaviour, data = node.behaviour, node.data
    counts = behaviour.prompt_tokens is not None and behaviour.completion_tokens is not None
    plain = not data.get("context") and not data.get("structured_output_enabled")
    templates = data["prompt_template"]
    parts = [templates] if isinstance(templates, Mapping) else templates
    plain = plain and all(one.get("edition_type") != "jinja2" for one in parts)
    whole = spec.stream.text_chunks == "none" or (
        behaviour.reply is not None and "{{" not in behaviour.reply
    )
    return counts and plain and whole


def pieces(text: str) -> tuple[str, ...]:
    """``text`` in the pieces in which a model streams it."""
    size = max(_PIECE_CHARACTERS, math.ceil(len(text) / _MOST_PIECES))
    return tuple(text[start : start + size] for start in range(0, len(text), size))


def _context(call: NodeCall) -> str:
    """The text of a model's context, or of its entries; empty where it is off or names nothing."""
    context = call.node.data.get("context") or {}
    value = call.value(context.get("variable_selector")) if context.get("enabled") else None
    if not value or isinstance(value, str):
        return value or ""
    lines = []
    for entry in value if isinstance(value, list) else []:
        line = entry.get("content", entry) if isinstance(entry, Mapping) else entry
        if line is entry and not isinstance(entry, str):
            raise ValueError(f"Invalid context structure: {entry}")
        lines.append(line)
    return "\n".join(lines).strip()


def _prompts(call: NodeCall, context: str) -> list[dict[str, Any]]:
    """The prompts that the model gets; raises ``ValueError`` with the host's text."""
    template = call.node.data["prompt_template"]
    parts = [template] if isinstance(template, Mapping) else list(template)
    is_old = call.spec.nodes.references == "strings"
    if is_old:
        values = prompt_values(parts, call.pool)
        values["#context#"] = context
    prompts: list[dict[str, Any]] = []
    for part in parts:
        text = fill_prompt(part["text"], values) if is_old else _filled(call, part, context)
        if text:
            prompts.append({"role": part.get("role") or "user", "text": text, "files": []})
    if not prompts:
        raise ValueError(_NO_PROMPT)
    return prompts


def _filled(call: NodeCall, part: Mapping[str, Any], context: str) -> str:
    if part.get("edition_type") == "jinja2":
        from fake_server.workflow.jinja import render

        config = call.node.data.get("prompt_config") or {}
        variables = {
            str(one.get("variable")): plain(call.value(one.get("value_selector")))
            for one in config.get("jinja2_variables") or ()
        }
        return render(str(part.get("jinja2_text") or part.get("text") or ""), variables, call.steps)
    text = str(part.get("text") or "")
    for key, selector in references(text):
        if call.find(selector) is ABSENT:
            raise ValueError(f"Variable {key} not found")
    return call.text(_CONTEXT.sub(lambda _: context, text))


def used(call: NodeCall, prompts: Iterable[Mapping[str, Any]], reply: str) -> dict[str, Any]:
    """The usage of a call with ``prompts`` that gave ``reply``."""
    behaviour, vary = call.node.behaviour, call.random.vary
    prompt, completion = behaviour.prompt_tokens, behaviour.completion_tokens
    if prompt is None:
        prompt = sum(_tokens(one["text"]) for one in prompts)
    else:
        prompt = round(vary(prompt, behaviour.spread))
    counted = _tokens(reply) if completion is None else round(vary(completion, behaviour.spread))
    return usage(call, prompt, counted)


def cost(spent: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a node that spent so much on a model."""
    return {
        "total_tokens": spent["total_tokens"],
        "total_price": spent["total_price"],
        "currency": spent["currency"],
    }


def usage(call: NodeCall, prompt: int, completion: int) -> dict[str, Any]:
    """The usage of so many tokens of a prompt and of its reply: tokens, money and time."""
    free = call.spec.nodes.price
    values: dict[str, Any] = {
        "prompt_tokens": prompt,
        "prompt_unit_price": "0",
        "prompt_price_unit": "0",
        "prompt_price": free,
        "completion_tokens": completion,
        "completion_unit_price": "0",
        "completion_price_unit": "0",
        "completion_price": free,
        "total_tokens": prompt + completion,
        "total_price": free,
        "currency": "USD",
        "latency": round(call.seconds, 3),
    }
    if "time_to_first_token" in call.spec.fields["LlmUsage"]:
        values["time_to_first_token"] = round(call.seconds / 3, 3)
        values["time_to_generate"] = round(call.seconds * 2 / 3, 3)
    return values


def _tokens(text: str) -> int:
    """One token for four bytes of UTF-8."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return math.ceil(size / _TOKEN_BYTES)


def _token_error(call: NodeCall, text: str) -> str | None:
    """The error of a model's client that counts the tokens of a lone surrogate, or cannot send it.

    GPT-2's tokenizer encodes piece by piece, so positions count from the start of a piece
    (FACTS 12.10).
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        if call.spec.nodes.surrogate_fault is not None:
            return call.spec.nodes.faults[call.spec.nodes.surrogate_fault]
        for piece in _GPT2_PIECE.finditer(text):
            try:
                piece[0].encode()
            except UnicodeEncodeError as error:
                return f"[openai_api_compatible] Error: {error}"
    return None


def run_classifier(call: NodeCall) -> NodeOutcome:
    """Finds the class that ``x-fake.branch`` names, else the first, and leaves by its id."""
    error, classes = call.error, [one for one in call.node.data.get("classes") or () if one]
    wanted = call.node.behaviour.branch
    chosen: Mapping[str, Any] = next(
        (one for one in classes if wanted in (str(one.get("id")), one.get("name"))),
        classes[0] if classes else {"id": "source", "name": ""},
    )
    query = text_of(call.value(call.node.data.get("query_variable_selector")))
    inputs = {"query": query}
    if error is not None:
        return NodeOutcome(call.seconds, inputs, error=error, error_type="InvokeError")
    reply = json.dumps({"category_name": chosen.get("name")}, ensure_ascii=False)
    process_data, spent, cost = _called(call, query, reply)
    class_id = str(chosen.get("id"))
    outputs = {"class_name": chosen.get("name"), "class_id": class_id, "usage": spent}
    return NodeOutcome(
        call.seconds,
        inputs,
        process_data,
        call.picked("ClassifierOutputs", outputs),
        execution_metadata=cost,
        total_tokens=spent["total_tokens"],
        handle=class_id,
    )


def run_extractor(call: NodeCall) -> NodeOutcome:
    """Extracts a placeholder of its type for each declared parameter."""
    query = text_of(call.value(call.node.data.get("query")))
    declared = call.node.data.get("parameters") or ()
    parameters = [one for one in declared if isinstance(one, Mapping) and one.get("name")]
    inputs = {
        "query": query,
        "files": [],
        "parameters": parameters,
        "instruction": call.text(call.node.data.get("instruction") or ""),
    }
    error = call.error
    if error is not None:
        outputs = {"__is_success": 0, "__reason": error}
        return NodeOutcome(
            call.seconds, inputs, outputs=outputs, error=error, error_type="InvokeError"
        )
    extracted = {}
    for one in parameters:
        kind, options = str(one.get("type") or "string"), one.get("options") or ()
        name = str(one["name"])
        extracted[name] = options[0] if options else sample_of_type(kind, name)
    reply = json.dumps(extracted, ensure_ascii=False)
    process_data, spent, cost = _called(call, query, reply)
    known = call.picked("ExtractorOutputs", {"__is_success": 1, "__usage": spent})
    return NodeOutcome(
        call.seconds,
        inputs,
        process_data,
        known | extracted,
        execution_metadata=cost,
        total_tokens=spent["total_tokens"],
    )


def _called(
    call: NodeCall, query: str, reply: str
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Process data, usage and metadata of a node that calls a model with ``query``."""
    model = call.node.data.get("model") or {}
    prompts = [{"role": "user", "text": query, "files": []}]
    spent = used(call, prompts, reply)
    values = {
        "model_mode": str(model.get("mode") or "chat"),
        "prompts": prompts,
        "usage": spent,
        "finish_reason": "stop",
        "model_provider": model.get("provider"),
        "model_name": model.get("name"),
    }
    return call.picked("LlmProcessData", values), spent, cost(spent)


def run_agent(call: NodeCall) -> NodeOutcome:
    """Gives a text in pieces, and writes what it does into its log."""
    behaviour, rules = call.node.behaviour, call.spec.nodes
    inputs: dict[str, Any] = {}
    for name, given in (call.node.data.get("agent_parameters") or {}).items():
        value = call.parameter(given)
        if value is not ABSENT and not isinstance(value, Mapping | list):
            inputs[str(name)] = call.text(value) if isinstance(value, str) else value
    if call.error is not None:
        error_type = behaviour.error_type or "AgentInvocationError"
        return NodeOutcome(call.seconds, inputs, error=call.error, error_type=error_type)
    messages: Sequence[str] = [fill_fake(one, call.pool) for one in behaviour.text or ()]
    messages = messages or pieces(text_of(inputs.get("query"))) or ("",)
    text = "".join(messages)
    logs: list[dict[str, Any]] = []
    for given in behaviour.logs or _steps(call, text):
        log = {name: given.get(name) for name in _LOG_FIELDS}
        logs.append({**log, "status": log["status"] or "success", "data": log["data"] or {}})
    entries = {log["id"]: {**log, "node_id": call.node.node_id} for log in logs}
    tokens = sum(
        int((log["metadata"] or {}).get("total_tokens") or 0)
        for log in entries.values()
        if log["parent_id"] is None
    )
    found = rules.agent_json if behaviour.json is None else behaviour.json
    spent = usage(call, 0, tokens)
    values = {
        "text": text,
        "usage": spent,
        "files": [call.drawn_file(inputs, one) for one in behaviour.files or ()],
        "json": [*(entries.values() if rules.agent_logs_in_json else ()), *found],
    }
    strategy = {"agent_strategy": call.node.data.get("agent_strategy_name"), "icon": None}
    step_s = call.seconds / (len(logs) + 1)
    return NodeOutcome(
        call.seconds,
        inputs,
        outputs={**call.picked("AgentOutputs", values), **(behaviour.variables or {})},
        execution_metadata={
            **cost(spent),
            "tool_info": strategy,
            "agent_log": list(entries.values()),
        },
        total_tokens=tokens,
        chunks=(("text", (*messages, "")),),
        logs=tuple((step_s * number, log) for number, log in enumerate(logs, start=1)),
    )


def _steps(call: NodeCall, text: str) -> list[Mapping[str, Any]]:
    """One round of an agent: it begins, and it has a reply."""
    tokens = len(text) // 4 + 1
    begun = {"id": call.random.uuid(), "label": "ROUND 1", "status": "start", "metadata": {}}
    metadata = {"elapsed_time": round(call.seconds, 3), "total_tokens": tokens}
    output = {"output": {"llm_response": text}}
    return [begun, {**begun, "status": "success", "data": output, "metadata": metadata}]
