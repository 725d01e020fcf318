"""A model: its prompts, its answer and what it cost."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from dify_wire.strict import Field
from fake_server.workflow.expressions import Pool, fill_fake, fill_prompt, prompt_values, read
from fake_server.workflow.nodes.kind import NodeCall, NodeOutcome

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


def check_llm(data: Field) -> None:
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


def run_llm(call: NodeCall) -> NodeOutcome:
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
