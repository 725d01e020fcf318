"""Information on the app, and features that no app here has (FACTS 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dify_wire.app_kind import AppKind
from fake_server.host_spec import AppRules
from fake_server.http import error_pages
from fake_server.http.known import authorised_app
from fake_server.http.query import read_query
from fake_server.http.request import Request, endpoint
from fake_server.http.responses import HTML, Response

_MEGABYTE = 1 << 20
_AUTHOR = "Owner"
_ICON, _ICON_BACKGROUND = "\N{ROBOT FACE}", "#FFEAD5"
_ICONS = "/console/api/workspaces/current/tool-provider/builtin"
_API_TOOL_ICON = {"background": "#252525", "content": "\N{GRINNING FACE WITH SMILING EYES}"}
"""Of a tool whose provider the workspace does not have, as the source of Dify says."""


_SCHEMA_ORDER = ("type", "properties", "required", "additionalProperties")


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
    values = {
        "name": app.name,
        "description": app.description,
        "tags": [],
        "mode": "chat" if app.kind is AppKind.CHAT else "workflow",
        "author_name": _AUTHOR,
    }
    return request.json_response({name: values[name] for name in request.spec.fields["Info"]})


@endpoint("getSite")
async def get_site(request: Request) -> Response:
    """``GET /v1/site``: how the app looks as a web page."""
    app = request.app()
    looks = app.workflow.app if app.workflow else {}
    values = {
        "title": app.name,
        "chat_color_theme": None,
        "chat_color_theme_inverted": False,
        "icon_type": looks.get("icon_type") or "emoji",
        "icon": looks.get("icon") or _ICON,
        "icon_background": looks.get("icon_background") or _ICON_BACKGROUND,
        "icon_url": None,
        "description": None,
        "copyright": None,
        "privacy_policy": None,
        "custom_disclaimer": "",
        "default_language": "en-US",
        "show_workflow_steps": True,
        "use_icon_as_answer_icon": bool(looks.get("use_icon_as_answer_icon")),
    }
    return request.json_response({name: values[name] for name in request.spec.fields["Site"]})


@endpoint("getMeta")
async def get_meta(request: Request) -> Response:
    """``GET /v1/meta``: the icon of each tool that the workflow uses."""
    workflow = request.app().workflow
    icons: dict[str, Any] = {}
    for node in workflow.nodes.values() if workflow else ():
        if node.type == "tool":
            kind, name = node.data.get("provider_type"), str(node.data.get("tool_name", ""))
            if kind == "builtin":
                icons[name] = f"{_ICONS}/{node.data.get('provider_id', '')}/icon"
            elif kind == "api":
                icons[name] = dict(_API_TOOL_ICON)
    return request.json_response({"tool_icons": icons})


@endpoint("getParameters")
async def get_parameters(request: Request) -> Response:
    """``GET /v1/parameters``: the app's features with its start variables in their old form."""
    app, rules = request.app(), request.spec.app
    if app.workflow is not None:
        features = {
            name: _in_order(feature, rules.features_order)
            if isinstance(feature, Mapping)
            else feature
            for name, feature in app.workflow.features.items()
        }
        form = [{one.type: _form_entry(one.entry, rules)} for one in app.workflow.variables]
        features["user_input_form"] = form
        if rules.converts_image_upload:
            features["file_upload"] = _converted(features["file_upload"] or {})
    elif app.kind is AppKind.CHAT:
        features = dict(rules.features)
    else:
        raise request.spec.errors("app_unavailable")
    limit = request.spec.limits.upload_image_bytes // _MEGABYTE
    known = rules.system_parameters
    image = type(known["image_file_size_limit"])(limit)  # once a string [C: sib_parameters]
    system = {**known, "image_file_size_limit": image}
    return request.json_response({**features, "system_parameters": system})


def _form_entry(entry: Mapping[str, Any], rules: AppRules) -> Mapping[str, Any]:
    shown = _in_order(entry, rules.form_order)
    if isinstance(schema := shown.get("json_schema"), Mapping):
        shown["json_schema"] = _in_order(schema, _SCHEMA_ORDER)
    return shown


def _in_order(value: Mapping[str, Any], order: Sequence[str]) -> dict[str, Any]:
    """``value`` with its keys as the host has them, known ones first; an export sorts them."""
    if list(value) != sorted(value):
        return dict(value)
    names = [*(name for name in order if name in value), *value]
    return {name: value[name] for name in dict.fromkeys(names)}


def _converted(upload: dict[str, Any]) -> dict[str, Any]:
    """The switch for images of earlier versions as one for files [C: sib_parameters_filesin]."""
    image = upload.get("image") or {}
    if not image.get("enabled"):
        return upload
    files = {
        "enabled": True,
        "number_limits": image.get("number_limits", 3),
        "allowed_file_upload_methods": image.get("transfer_methods", ["remote_url", "local_file"]),
        "allowed_file_types": upload.get("allowed_file_types", ["image"]),
        "allowed_file_extensions": upload.get("allowed_file_extensions", []),
    }
    kept = {name: value for name, value in upload.items() if name != "image"}
    return {**kept, **files}


@endpoint("getFeedbacks")
async def get_feedbacks(request: Request) -> Response:
    """``GET /v1/app/feedbacks``: no app here has any."""
    request.app()
    read_query(request)
    return request.json_response({"data": []})


@endpoint("getDescription")
async def get_description(request: Request) -> Response:
    """``GET /v1/swagger.json``: the operations of the API."""
    if request.spec.app.description_error is not None:
        raise request.spec.errors(request.spec.app.description_error)
    paths: dict[str, dict[str, Any]] = {}
    for operation in request.spec.operations:
        if operation.path.startswith("/v1/"):
            entry = {"operationId": operation.operation_id, "tags": ["service_api"]}
            path = operation.path.removeprefix("/v1")
            paths.setdefault(path, {})[operation.method.lower()] = entry
    info = {"title": "Service API", "version": "1.0"}
    document = {"swagger": "2.0", "basePath": "/v1", "paths": paths, "info": info}
    return request.json_response(document)


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
        authorised_app(request.known.headers.get(b"authorization"), {}, request.spec)
    request.app()
    await request.user()
    raise request.spec.errors(refusal)
