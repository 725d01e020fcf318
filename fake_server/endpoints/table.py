"""The handler of each operation, by its id in the spec."""

from __future__ import annotations

from fake_server.endpoints.app_info import (
    audio_to_text,
    get_index,
    get_info,
    get_meta,
    get_parameters,
    send_feedback,
    stop_chat_message,
    text_to_audio,
)
from fake_server.endpoints.call import Call, Handler
from fake_server.endpoints.files import get_image_preview, get_tool_file
from fake_server.endpoints.uploads import upload_file
from fake_server.endpoints.workflows import run_workflow, stop_workflow_task
from fake_server.http.auth import authorised_app
from fake_server.http.responses import Answer, ProxyPage


async def refuse(call: Call) -> Answer | ProxyPage:
    """An operation that the host has and that refuses every app of ours: the spec names the words
    (``x-refusal``).
    """
    if call.operation.refusal != "token_unknown":
        call.app()
    else:
        authorised_app(
            call.request_headers.get(b"authorization"), {}, call.host.spec.errors
        )  # no key of ours is known
    await call.user()
    assert call.operation.refusal is not None
    raise call.host.spec.errors(call.operation.refusal)


HANDLERS: dict[str, Handler] = {
    "runWorkflow": run_workflow,
    "stopWorkflowTask": stop_workflow_task,
    "getToolFile": get_tool_file,
    "getImagePreview": get_image_preview,
    "getIndex": get_index,
    "getInfo": get_info,
    "getMeta": get_meta,
    "getParameters": get_parameters,
    "uploadFile": upload_file,
    "audioToText": audio_to_text,
    "textToAudio": text_to_audio,
    "stopChatMessage": stop_chat_message,
    "sendFeedback": send_feedback,
}
