"""A tool, which draws images or gives a text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dify_wire.strict import Field
from fake_server.host_spec import HostSpec
from fake_server.runs.random_values import TENANT_ID
from fake_server.runs.values import FileRef, Values
from fake_server.workflow.behaviour import FakeFile
from fake_server.workflow.expressions import ABSENT, fill_fake, plain, selectors, text_of
from fake_server.workflow.model import Node
from fake_server.workflow.nodes.kind import IMAGE_NUMBERS, MAX_IMAGE_NUMBER, NodeCall, NodeOutcome

IMAGE_TOOLS = frozenset(
    name
    for names in (
        "stable_diffusion text_to_image text2image txt2img image_generation generate_image",
        "dalle dalle2 dalle3 gpt_image gpt_image_1 flux flux_1 siliconflow_flux sd3 sdxl kolors",
        "cogview cogview3 cogview_3 wanx jimeng seedream imagen ideogram recraft midjourney",
        "comfyui comfyui_workflow comfyui_stable_diffusion novita_ai_txt2img spark_img_generation",
        "image_to_image img2img vectorizer qrcode_generator bar_chart line_chart linear_chart",
        "pie_chart column_chart wordcloud",
    )
    for name in names.split()
)
"""The tools that draw an image even where the graph does not ask for their ``files``, by name."""

_OWN_OUTPUTS = frozenset({"text", "files", "json", "usage", "error_message", "error_type"})
"""Outputs that tools and agents have anyway, the last two after a fail branch."""

_NO_RUNTIME = "Failed to get tool runtime"
"""The start of an error that leaves the tool without its parameters [C: g_badtool_stream]."""

_STABLE_DIFFUSION = ("builtin", "stablediffusion", "stable_diffusion")
_IMAGE_DEFAULTS: Mapping[str, Any] = {
    "lora": "",
    **IMAGE_NUMBERS,
    "negative_prompt": "bad art, ugly, deformed, watermark, duplicated, discontinuous lines",
}
_IMAGE_STRINGS = ("prompt", "model", "lora", "negative_prompt")
_IMAGE_ORDER = ("prompt", "negative_prompt", "model", "lora", *IMAGE_NUMBERS)
"""The parameters of Stable Diffusion as a plugin, in its order [C: stream_simple of 1.14.2]."""

_DEFAULT_ICON = {"background": "#252525", "content": "\U0001f601"}
"""The icon of a tool that is a workflow or an API."""


def check_tool(data: Field) -> None:
    for key in ("provider_id", "provider_type", "tool_name"):
        data[key].text()
    settings, parameters = data.get("tool_configurations"), data.get("tool_parameters")
    for name, setting in settings.items() if settings else ():
        if name in IMAGE_NUMBERS and is_stable_diffusion(data.mapping()):
            _check_image_number(setting)
    for _, parameter in parameters.items() if parameters else ():
        kind = parameter.get("type")
        if kind and kind.choice(("mixed", "variable", "constant"), "type") == "variable":
            parameter["value"].texts()


def _check_image_number(field: Field) -> None:
    """A number or its digits; anything else is the tool's default, or fails when the tool runs."""
    text = field.value if isinstance(field.value, str) else ""
    if text.isascii() and text.isdigit():
        field = Field(int(text), field.path, error=field.error)
    if field.value and isinstance(field.value, int):
        field.whole(1, MAX_IMAGE_NUMBER)


def is_stable_diffusion(data: Mapping[str, Any]) -> bool:
    """Whether a tool node is the built-in one of 0.6, whose settings the host completes."""
    names = (data.get("provider_type"), data.get("provider_id"), data.get("tool_name"))
    return names == _STABLE_DIFFUSION


def complete_settings(data: Mapping[str, Any], models: Sequence[str]) -> Mapping[str, Any]:
    """The settings of a tool as the host completes them, in the tool's order.

    The first of ``models`` is the default model. Settings that Stable Diffusion does not know are
    dropped, and empty ones are its defaults (FACTS 12.6); those of any other tool stay as they are.
    """
    stored = data.get("tool_configurations") or {}
    if not is_stable_diffusion(data):
        return stored
    defaults = {"model": models[0] if models else "", **_IMAGE_DEFAULTS}
    return {name: stored.get(name) or default for name, default in defaults.items()}


def with_used_outputs(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """``nodes``, the tools and agents among them with what the graph uses of them and no export
    declares: an image for ``files``, and variables.
    """
    used: dict[str, set[str]] = {}
    iterated = set()
    for node in nodes.values():
        for selector in selectors(node.data):
            used.setdefault(selector[0], set()).add(selector[1])
        path = node.data.get("iterator_selector")
        if isinstance(path, list):
            iterated.add(tuple(map(str, path[:2])))
    completed = {}
    for node_id in used.keys() & nodes.keys():
        node, names = nodes[node_id], sorted(used[node_id] - _OWN_OUTPUTS)
        behaviour = node.behaviour
        if node.type not in ("tool", "agent") or behaviour.outputs is not None:
            continue
        if node.type == "tool" and behaviour.files is None and "files" in used[node_id]:
            behaviour = behaviour._replace(files=(FakeFile(),))
        if names and behaviour.variables is None:
            values = {name: [name] if (node_id, name) in iterated else name for name in names}
            behaviour = behaviour._replace(variables=values)
        completed[node_id] = node._replace(behaviour=behaviour)
    return {node_id: completed.get(node_id, node) for node_id, node in nodes.items()}


def draws_always(node: Node) -> bool:
    """Whether a tool draws an image whatever the graph uses of it."""
    return str(node.data.get("tool_name")).lower() in IMAGE_TOOLS


def run_tool(call: NodeCall) -> NodeOutcome:
    data, behaviour, rules = call.node.data, call.node.behaviour, call.spec.nodes
    error, error_type = call.error, behaviour.error_type or "ToolInvokeError"
    no_runtime = error is not None and (behaviour.missing or error.startswith(_NO_RUNTIME))
    if no_runtime and not rules.runtime_error_inputs:
        known = {"tool_info": call.picked("ToolInfo", data)}
        info = known if rules.runtime_error_info else None
        return NodeOutcome(
            call.seconds, {}, error=error, execution_metadata=info, error_type=error_type
        )
    if error == "":  # the plugin dropped the call [C of 1.10.1: fail_sd_mode_close_main_stream]
        return NodeOutcome(call.seconds, {}, {}, error=error, error_type=error_type)
    try:
        inputs, settings = _given(call, "tool_parameters"), _given(call, "tool_configurations")
    except ValueError as not_filled:
        return NodeOutcome(call.seconds, error=str(not_filled), error_type="ToolParameterError")
    if no_runtime:
        return NodeOutcome(call.seconds, inputs, error=error, error_type=error_type)
    if rules.tool_inputs == "settings":  # a setting wins over a parameter, and stands in its place
        shown = {**inputs, **settings}
        if is_stable_diffusion(data):
            error = _cast(shown, settings) or error
        # the image is labelled with the requested model
        values = {**shown, "model": inputs.get("model") or shown.get("model")}
    else:
        values = {**settings, **inputs}
        shown = _in_order(inputs)
        if rules.tool_inputs == "all":
            shown = {name: text_of(value) for name, value in _in_order(values).items()}
    tool_info = call.picked("ToolInfo", data)
    metadata = call.picked("ToolMetadata", {"tool_info": tool_info, "agent_log": []})
    if error is not None:
        failed = {"tool_info": tool_info} if rules.failed_tool_info else None
        return NodeOutcome(
            call.seconds, shown, error=error, execution_metadata=failed, error_type=error_type
        )
    outputs, chunks = _outputs(call, values)
    return NodeOutcome(
        call.seconds, shown, outputs=outputs, execution_metadata=metadata, chunks=chunks
    )


def tool_passes_on(node: Node, _: HostSpec) -> bool:
    """Whether what it is given becomes text, and no number."""
    given = [node.data.get(key) or {} for key in ("tool_parameters", "tool_configurations")]
    return not any(
        any(selectors(values[name])) for values in given for name in IMAGE_NUMBERS if name in values
    )


def _cast(shown: dict[str, Any], settings: Values) -> str | None:
    """Make texts and numbers of what the built-in Stable Diffusion gets; returns the host's error
    for a setting that should be a number and is not.
    """
    for name in _IMAGE_STRINGS:
        if name in shown:
            shown[name] = str(shown[name])
    try:
        for name in IMAGE_NUMBERS:
            if name in settings:
                shown[name] = int(settings[name])
    except (ValueError, TypeError) as error:
        return str(error)
    return None


def _given(call: NodeCall, key: str) -> dict[str, Any]:
    """The values of the parameters or settings of the node. Raises ``ValueError`` with the host's
    text.
    """
    values: dict[str, Any] = {}
    for name, given in (call.node.data.get(key) or {}).items():
        value = call.parameter(given) if type(given) is dict else given
        if value is not ABSENT:
            values[str(name)] = value
    return values


def _in_order(values: Mapping[str, Any]) -> dict[str, Any]:
    """``values``, those of Stable Diffusion first in its order; an export sorts them by name."""
    if "prompt" not in values:
        return dict(values)
    return {name: values[name] for name in (*_IMAGE_ORDER, *values) if name in values}


def _outputs(
    call: NodeCall, values: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[tuple[str, tuple[str, ...]], ...]]:
    """The outputs of a tool that got ``values``, and how they came."""
    behaviour, texts = call.node.behaviour, call.spec.nodes.tool_texts
    messages: tuple[str, ...] = ()
    if behaviour.text:
        messages = tuple(fill_fake(one, call.pool) for one in behaviour.text)
    files: list[FileRef] = []
    is_given = behaviour.outputs is not None
    wanted = behaviour.files
    if wanted is None:
        wanted = (FakeFile(),) if not is_given and draws_always(call.node) else ()
    if wanted and "prompt" in values and not values["prompt"]:
        messages = messages or (texts["no_prompt"],)
    elif wanted or behaviour.no_image:
        for one in () if behaviour.no_image else wanted:
            file = call.drawn_file(values, one)
            if file is not None:
                files.append(file)
        if not files and not behaviour.text:
            messages = (texts["no_image"],)
    elif behaviour.text is None and not is_given:
        shown = json.dumps(plain(dict(values)), ensure_ascii=False, default=str)
        label = (
            call.node.data.get("tool_label") or call.node.data.get("tool_name") or call.node.title
        )
        messages = (f"{label}: {shown}",)
    given = {
        "text": "".join(messages),
        "files": files,
        "json": list(behaviour.json or call.spec.nodes.no_json),
    }
    outputs = call.picked("ToolOutputs", given)
    chunks: tuple[tuple[str, tuple[str, ...]], ...] = (("text", (*messages, "")),)
    for name, value in (behaviour.variables or {}).items():
        outputs[name] = fill_fake(value, call.pool) if isinstance(value, str) else value
        chunks += ((name, ("",)),)
    return outputs, chunks


def tool_icon(node: Node) -> str:
    """The path of the icon of a tool node's provider in the console."""
    kind, provider = node.data.get("provider_type"), node.data.get("provider_id")
    return f"/console/api/workspaces/current/tool-provider/{kind}/{provider}/icon"


def started_icon(node: Node, spec: HostSpec) -> Any:
    """The icon in node_started of a tool node: the path of an image, or an emoji."""
    if node.data.get("provider_type") in ("workflow", "api"):
        return dict(_DEFAULT_ICON)
    if spec.nodes.plugins and "/" in str(node.data.get("provider_id")):
        query = f"tenant_id={TENANT_ID}&filename=icon.png"
        return f"/console/api/workspaces/current/plugin/icon?{query}"
    return tool_icon(node)
