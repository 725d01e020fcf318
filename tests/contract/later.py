"""Hosts of later versions, made from the change of the fake by what the facts say of them (FACTS
9).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from contract.target import may_run
from dify_wire.exchange import Chunk, Exchange, Request
from tests.contract.changed_host import (
    Break,
    Item,
    is_file,
    is_stream,
    items_of,
    with_body,
    with_header,
    with_items,
)

_NODE_STARTED = (
    "parallel_id",
    "parallel_start_node_id",
    "parent_parallel_id",
    "parent_parallel_start_node_id",
    "iteration_id",
    "parallel_run_id",
)
_SYSTEM = ("sys.user_id", "sys.app_id", "sys.workflow_id", "sys.workflow_run_id")


def as_version(version: str) -> Break:
    """The good host as one of ``version``: 0.6.9, 0.15.3 or 1.10.1."""
    if version == "0.6.9":
        return Break(_with_the_user_among_the_inputs)
    newest = version == "1.10.1"

    def change(request: Request, one: Exchange) -> Exchange:
        if is_file(request):
            return _file_response(one, newest)
        if not may_run(request):
            return one
        if is_stream(request):
            return _stream(one, newest)
        return with_body(one, json.dumps(_with_files(one.json())).encode())

    return Break(change)


def _with_the_user_among_the_inputs(request: Request, one: Exchange) -> Exchange:
    """As the versions of the 0.6 line since 0.6.6 (FACTS 9.0)."""
    if not is_stream(request):
        return one
    items = items_of(one)
    for _, envelope in items:
        data = envelope["data"] if isinstance(envelope, dict) else {}
        is_start = data.get("node_type") == "start"
        if is_start or (isinstance(envelope, dict) and envelope["event"] == "workflow_started"):
            for name in ("inputs", "outputs"):
                if data.get(name):
                    data[name]["sys.user_id"] = json.loads(request.body)["user"]
    return with_items(one, items)


def _file_response(exchange: Exchange, newest: bool) -> Exchange:
    if exchange.media_type == "image/png" and exchange.body:
        return with_header(exchange, "content-length", str(len(exchange.body)))
    if newest and exchange.status == 400 and "params" in exchange.json_object():
        error = exchange.json()
        newer = {error["params"]: error["message"]}
        text = {"errors": newer, "message": "Input payload validation failed"}
        return with_body(exchange, json.dumps(text).encode())
    return exchange


def _stream(exchange: Exchange, newest: bool) -> Exchange:
    items = [later for item in items_of(exchange) for later in _later_items(item, newest)]
    return replace(exchange, chunks=tuple(_chunk(item, newest) for item in items))


def _chunk(item: Item, newest: bool) -> Chunk:
    at_s, envelope = item
    if isinstance(envelope, bytes):
        return Chunk(at_s, envelope + b"\n\n")
    text = (
        json.dumps(envelope, ensure_ascii=False, separators=(",", ":"))
        if newest
        else json.dumps(envelope)
    )
    return Chunk(at_s, b"data: " + text.encode() + b"\n\n")


def _later_items(item: Item, newest: bool) -> Iterator[Item]:
    """The frame as the later host tells it, and what it tells beside it."""
    at_s, envelope = item
    if isinstance(envelope, bytes):
        yield item
        return
    envelope = _with_files(envelope)
    _later_data(envelope["event"], envelope["data"], newest)
    yield at_s, envelope
    if envelope["event"] == "node_started" and envelope["data"]["node_type"] == "llm":
        yield (
            at_s,
            {
                **envelope,
                "event": "text_chunk",
                "data": {"text": "A", "from_variable_selector": ["1", "text"]},
            },
        )


def _later_data(event: str, data: dict[str, Any], newest: bool) -> None:
    if event == "workflow_started":
        _later_inputs(data["inputs"])
    if event == "node_started":
        data.update(dict.fromkeys(("loop_id", "agent_strategy") if newest else _NODE_STARTED))
    if event == "node_finished":
        _later_node(data, newest)
    if event == "workflow_finished":
        data.update(exceptions_count=0)
    if newest:
        data.pop("sequence_number", None)


def _later_inputs(inputs: dict[str, Any]) -> None:
    inputs.update(dict.fromkeys(_SYSTEM, "8b8fb015-590b-4646-88c1-60f9dcbb5c06"))
    inputs.update(model_name=inputs["model_name"] or None)


def _later_node(data: dict[str, Any], newest: bool) -> None:
    data.update(
        {"inputs_truncated": False, "loop_id": None} if newest else dict.fromkeys(_NODE_STARTED[:5])
    )
    data["elapsed_time"] = round(data["elapsed_time"], 6)
    match data["node_type"]:
        case "start":
            _later_inputs(data["inputs"])
            _later_inputs(data["outputs"])
        case "llm":
            data["process_data"].update(model_provider="openai_api_compatible", model_name="m")
            data["outputs"].update(finish_reason="stop")
        case "tool":
            data["outputs"].update(json=[])
        case "if-else":
            data["outputs"].update(selected_case_id="true")


def _with_files(value: Any) -> Any:
    """``value`` with every file object as later versions write it."""
    if isinstance(value, list):
        return [_with_files(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "__variant" in value:
        return _file(value)
    return {name: _with_files(one) for name, one in value.items()}


def _file(file: dict[str, Any]) -> dict[str, Any]:
    return {
        "dify_model_identity": "__dify__file__",
        "id": None,
        "tenant_id": file["tenant_id"],
        "type": "image",
        "transfer_method": "tool_file",
        "remote_url": None,
        "related_id": file["related_id"],
        "filename": f"{'0a' * 16}.png",
        "extension": ".png",
        "mime_type": "image/png",
        "size": 11219,
        "url": file["url"],
    }
