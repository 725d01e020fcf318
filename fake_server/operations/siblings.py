"""The small operations beside the run: what the app says of itself (FACTS 7)."""

from __future__ import annotations

from fake_server.apps import AppKind
from fake_server.edge.answers import Answer, json_answer
from fake_server.operations.call import Call
from fake_server.workflow.load import default_features
from fake_server.workflow.nodes import tool_icon

_MEGABYTE = 1 << 20


async def get_index(call: Call) -> Answer:
    """``GET /v1/``: a welcome, without a key."""
    return json_answer({"welcome": "Dify OpenAPI", "api_version": "v1", "server_version": call.host.spec.version})


async def get_info(call: Call) -> Answer:
    """``GET /v1/info``: the app's name and description."""
    app = call.app()
    return json_answer({"name": app.name, "description": app.description})


async def get_meta(call: Call) -> Answer:
    """``GET /v1/meta``: the icon of each tool that the workflow uses."""
    workflow = call.app().workflow
    nodes = (workflow.nodes or {}).values() if workflow else ()
    tools = [node for node in nodes if node.type == "tool"]
    return json_answer({"tool_icons": {node.data["tool_name"]: tool_icon(node) for node in tools}})


async def get_parameters(call: Call) -> Answer:
    """``GET /v1/parameters``: the app's features with its start variables in their old form."""
    app = call.app()
    if app.workflow is not None:
        form = [{variable.type: variable.shown} for variable in app.workflow.variables]
        features = {**app.workflow.features, "user_input_form": form}
    elif app.kind is AppKind.CHAT:
        features = dict(default_features("chat"))
    else:
        raise call.host.spec.errors("app_unavailable")
    limit = call.host.spec.limits.upload_image_bytes // _MEGABYTE
    return json_answer({**features, "system_parameters": {"image_file_size_limit": str(limit)}})


async def audio_to_text(call: Call) -> Answer:
    """``POST /v1/audio-to-text``: no app here has it switched on."""
    call.app()
    await call.user()
    form = await call.form()
    raise call.host.spec.errors("speech_to_text_disabled" if "file" in form.files else "upload_without_file")
