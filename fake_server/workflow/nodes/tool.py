"""A tool: Stable Diffusion, which draws an image, and any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dify_wire.strict import Field
from fake_server.images import ImageRecord
from fake_server.runs.events import FileRef, Values
from fake_server.runs.random_values import RandomValues
from fake_server.workflow.expressions import fill_parameter, read
from fake_server.workflow.model import Node
from fake_server.workflow.nodes.kind import NodeCall, NodeOutcome, check_selector, fixed_outputs

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


def check_tool(data: Field) -> None:
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


def run_tool(call: NodeCall) -> NodeOutcome:
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
        outputs: Values = fixed_outputs(call)
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
