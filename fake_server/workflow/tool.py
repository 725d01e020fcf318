"""The tool node: what it is given, and the picture that Stable Diffusion makes of it (FACTS 12.5,
12.6 and 12.9).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fake_server.images import ImageRecord
from fake_server.runs.events import FileRef, Values
from fake_server.runs.random_values import Draw
from fake_server.workflow.template import VariablePool, fill_parameter

GREATEST_NUMBER = 4096
"""The most pixels a side, and steps, that a picture may have."""

NO_RUNTIME = "Failed to get tool runtime"
"""How an error begins that leaves the tool without its settings [C: g_badtool_stream]."""

NUMBERS = {"steps": 10, "width": 1024, "height": 1024}
"""The settings that are numbers, with the defaults of Stable Diffusion's tool."""

_STABLE_DIFFUSION = ("builtin", "stablediffusion", "stable_diffusion")
_DEFAULTS: Mapping[str, Any] = {
    "lora": "",
    **NUMBERS,
    "negative_prompt": "bad art, ugly, deformed, watermark, duplicated, discontinuous lines",
}
_TEXTS = ("prompt", "model", "lora", "negative_prompt")
_DRAWN_CHARACTERS = 6000
"""More of a text than this has no place on a picture, and is not kept for it."""


def is_stable_diffusion(data: Mapping[str, Any]) -> bool:
    """Whether a tool node is the one whose settings and pictures the fake knows."""
    return tuple(map(data.get, ("provider_type", "provider_id", "tool_name"))) == _STABLE_DIFFUSION


def complete_settings(data: Mapping[str, Any], models: Sequence[str]) -> Mapping[str, Any]:
    """A tool's settings as the host completes them: in the tool's order, its defaults for empty or
    missing ones.

    ``models`` are those that the picture server has; the first is the default. Settings that Stable
    Diffusion does not know are dropped; those of any other tool stay as they are. A number may be a
    text that stands for one.
    """
    stored = data.get("tool_configurations") or {}
    if not is_stable_diffusion(data):
        return stored
    defaults = {"model": models[0] if models else "", **_DEFAULTS}
    settings = {name: stored.get(name) or default for name, default in defaults.items()}
    return {name: int(value) if name in NUMBERS else str(value) for name, value in settings.items()}


def tool_parameters(data: Mapping[str, Any], pool: VariablePool) -> dict[str, Any]:
    """The parameters with a value of this run. Raises ``ValueError`` with the host's text."""
    parameters = data.get("tool_parameters") or {}
    return {name: _parameter(parameter, pool) for name, parameter in parameters.items()}


def _parameter(parameter: Mapping[str, Any], pool: VariablePool) -> Any:
    if parameter["type"] == "variable":
        return pool.get(tuple(parameter["value"]))
    if parameter["type"] == "mixed":
        return fill_parameter(parameter["value"], pool)
    return parameter.get("value")


def tool_inputs(data: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """``parameters``, then the settings: a setting wins over a parameter of its name, and stands in
    its place.
    """
    inputs = {**parameters, **(data.get("tool_configurations") or {})}
    if is_stable_diffusion(data):
        inputs.update({name: str(inputs[name]) for name in _TEXTS if name in inputs})
    return inputs


def draw_picture(inputs: Values, draw: Draw) -> Values:
    """The outputs of Stable Diffusion for ``inputs``."""
    if not inputs.get("prompt"):
        return {"text": "Please input prompt\n", "files": []}
    try:
        numbers = {name: _side(inputs.get(name) or usual) for name, usual in NUMBERS.items()}
    except (ValueError, TypeError, OverflowError):
        return {
            "text": "Failed to generate image\n",
            "files": [],
        }  # what a 422 of Stable Diffusion comes to
    picture = ImageRecord(
        prompt=str(inputs["prompt"])[:_DRAWN_CHARACTERS],
        model=str(inputs.get("model") or "")[:_DRAWN_CHARACTERS],
        seed=draw.number(32),
        negative_prompt=str(inputs.get("negative_prompt") or "")[:_DRAWN_CHARACTERS],
        **numbers,
    )
    return {"text": "", "files": [FileRef(draw.uuid(), picture)]}


def _side(value: Any) -> int:
    """A size or a count as Stable Diffusion takes it, text allowed; raises for what it would not
    take.
    """
    number = int(value)
    if not 1 <= number <= GREATEST_NUMBER:
        raise ValueError(f"{number} is not from 1 to {GREATEST_NUMBER}")
    return number
