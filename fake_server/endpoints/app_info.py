"""The small operations beside the run: what the app says of itself (FACTS 7)."""

from __future__ import annotations

from dify_wire.app_kind import AppKind
from fake_server.endpoints.call import Call
from fake_server.http.responses import Answer, json_answer
from fake_server.workflow.loader import default_features
from fake_server.workflow.nodes import tool_icon

_MEGABYTE = 1 << 20


async def get_index(call: Call) -> Answer:
    """``GET /v1/``: a welcome, without a key."""
    return json_answer(
        {"welcome": "Dify OpenAPI", "api_version": "v1", "server_version": call.host.spec.version}
    )


async def get_info(call: Call) -> Answer:
    """``GET /v1/info``: the app's name and description."""
    app = call.app()
    return json_answer({"name": app.name, "description": app.description})


async def get_meta(call: Call) -> Answer:
    """``GET /v1/meta``: the icon of each tool that the workflow uses."""
    workflow = call.app().workflow
    nodes = workflow.nodes.values() if workflow else ()
    tools = [node for node in nodes if node.type == "tool"]
    return json_answer({"tool_icons": {node.data["tool_name"]: tool_icon(node) for node in tools}})


async def get_parameters(call: Call) -> Answer:
    """``GET /v1/parameters``: the app's features with its start variables in their old form."""
    app = call.app()
    if app.workflow is not None:
        form = [{variable.type: variable.entry} for variable in app.workflow.variables]
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
    raise call.host.spec.errors(
        "speech_to_text_disabled" if "file" in form.files else "upload_without_file"
    )


async def text_to_audio(call: Call) -> Answer:
    """``POST /v1/text-to-audio``: no app here has it switched on."""
    call.app()
    body = await call.json()
    await call.user()
    errors = call.host.spec.errors
    if "text" not in body:
        raise errors("parameter_missing", field="text")
    for field in ("text", "streaming"):
        if field in body and body[field] is None:
            raise errors("parameter_null", field=field)
    raise errors("tts_disabled")


async def stop_chat_message(call: Call) -> Answer:
    """``POST /v1/chat-messages/{task_id}/stop``: a success for a chat app, whatever the task."""
    app = call.app()
    await call.user()
    if app.kind is not AppKind.CHAT:
        raise call.host.spec.errors("not_chat_app")
    return json_answer({"result": "success"})


async def send_feedback(call: Call) -> Answer:
    """``POST /v1/messages/{message_id}/feedbacks``: no app here has a message."""
    call.app()
    body = await call.json()
    await call.user()
    rating = body.get("rating")
    if rating is not None and str(rating) not in ("like", "dislike"):
        raise call.host.spec.errors("choice_invalid", field="rating", value=rating)
    raise call.host.spec.errors("message_absent")
