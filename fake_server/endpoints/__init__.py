"""The endpoints of the host's API: one function for each operation of the spec, under its id."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dify_wire.text_file import SpecError, bundled
from fake_server.endpoints import app_info, files, uploads, workflows
from fake_server.host_spec import HostSpec
from fake_server.http.request import Handler

ENDPOINTS: Mapping[str, Handler] = {
    "runWorkflow": workflows.run_workflow,
    "stopWorkflowTask": workflows.stop_workflow_task,
    "getToolFile": files.get_tool_file,
    "getImagePreview": files.get_image_preview,
    "getIndex": app_info.get_index,
    "getInfo": app_info.get_info,
    "getMeta": app_info.get_meta,
    "getParameters": app_info.get_parameters,
    "uploadFile": uploads.upload_file,
    "audioToText": app_info.audio_to_text,
    "textToAudio": app_info.text_to_audio,
    "stopChatMessage": app_info.stop_chat_message,
    "sendFeedback": app_info.send_feedback,
}


def handlers(spec: HostSpec, path: Path | None) -> dict[str, Handler]:
    """The endpoint of each operation of ``spec``. Raises ``SpecError``, which names the document at
    ``path``, for an operation that has none.
    """
    found = {}
    for operation in spec.operations:
        operation_id = operation.operation_id
        if operation_id in ENDPOINTS:
            found[operation_id] = ENDPOINTS[operation_id]
        elif operation.refusal is not None and operation.refusal in spec.errors.names:
            found[operation_id] = app_info.refuse
        else:
            raise SpecError(
                path or bundled("openapi.yaml"),
                f"paths.{operation.path}.{operation.method.lower()}",
                f"the fake cannot answer {operation_id!r}; remove the operation, or let it refuse "
                "with x-refusal",
            )
    return found
