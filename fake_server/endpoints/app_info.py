"""Information on the app, and features that no app here has (FACTS 7)."""

from __future__ import annotations

from dify_wire.exchange import AppKind
from fake_server.http import error_pages
from fake_server.http.authorization import authorised_app
from fake_server.http.request import Request, endpoint
from fake_server.http.responses import HTML, Response
from fake_server.workflow.loader import default_features
from fake_server.workflow.nodes import tool_icon

_MEGABYTE = 1 << 20


@endpoint("getIndex")
async def get_index(request: Request) -> Response:
    """``GET /v1/``: a welcome, without a key."""
    return request.json_response(
        {"welcome": "Dify OpenAPI", "api_version": "v1", "server_version": request.spec.version}
    )


@endpoint("getServiceRoot")
@endpoint("getFilesRoot")
@endpoint("getWebRoot")
@endpoint("getConsoleRoot")
async def get_root(request: Request) -> Response:
    """``GET /v1/`` and the like: views that find nothing [C: get_v1s of 1.10.1]."""
    return request.response(404, HTML, error_pages.NOT_FOUND)


@endpoint("getInfo")
async def get_info(request: Request) -> Response:
    """``GET /v1/info``: the app's name and description."""
    app = request.app()
    return request.json_response({"name": app.name, "description": app.description})


@endpoint("getMeta")
async def get_meta(request: Request) -> Response:
    """``GET /v1/meta``: the icon of each tool that the workflow uses."""
    workflow = request.app().workflow
    nodes = workflow.nodes.values() if workflow else ()
    tools = [node for node in nodes if node.type == "tool"]
    return request.json_response(
        {"tool_icons": {node.data["tool_name"]: tool_icon(node) for node in tools}}
    )


@endpoint("getParameters")
async def get_parameters(request: Request) -> Response:
    """``GET /v1/parameters``: the app's features with its start variables in their old form."""
    app = request.app()
    if app.workflow is not None:
        form = [{variable.type: variable.entry} for variable in app.workflow.variables]
        features = {**app.workflow.features, "user_input_form": form}
    elif app.kind is AppKind.CHAT:
        features = dict(default_features("chat"))
    else:
        raise request.spec.errors("app_unavailable")
    limit = request.spec.limits.upload_image_bytes // _MEGABYTE
    return request.json_response(
        {**features, "system_parameters": {"image_file_size_limit": str(limit)}}
    )


@endpoint("audioToText")
async def audio_to_text(request: Request) -> Response:
    """``POST /v1/audio-to-text``: no app here has it switched on."""
    request.app()
    await request.user()
    form = await request.form()
    raise request.spec.errors(
        "speech_to_text_disabled" if "file" in form.files else "audio_without_file"
    )


@endpoint("textToAudio")
async def text_to_audio(request: Request) -> Response:
    """``POST /v1/text-to-audio``: no app here has it switched on."""
    request.app()
    body = await request.json()
    await request.user()
    errors = request.spec.errors
    if "text" not in body:
        raise errors("parameter_missing", field="text")
    for field in ("text", "streaming"):
        if field in body and body[field] is None:
            raise errors("parameter_null", field=field)
    raise errors("tts_disabled")


@endpoint("stopChatMessage")
async def stop_chat_message(request: Request) -> Response:
    """``POST /v1/chat-messages/{task_id}/stop``: a success for a chat app, whatever the task."""
    app = request.app()
    await request.user()
    if app.kind is not AppKind.CHAT:
        raise request.spec.errors("not_chat_app")
    return request.json_response({"result": "success"})


@endpoint("sendFeedback")
async def send_feedback(request: Request) -> Response:
    """``POST /v1/messages/{message_id}/feedbacks``: no app here has a message."""
    request.app()
    body = await request.json()
    await request.user()
    rating = body.get("rating")
    if rating is not None and str(rating) not in ("like", "dislike"):
        raise request.spec.errors("choice_invalid", field="rating", value=rating)
    raise request.spec.errors("message_absent")


async def refuse(request: Request) -> Response:
    """An operation that refuses every app: the spec names the error (``x-refusal``)."""
    refusal = request.operation.refusal
    assert refusal is not None
    if refusal == "token_unknown":  # no key of ours is known
        authorised_app(request.headers.get(b"authorization"), {}, request.spec)
    request.app()
    await request.user()
    raise request.spec.errors(refusal)
