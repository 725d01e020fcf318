"""The blocking response: each field dropped, retyped, null; fields that contradict each other; its
JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.mutants.edits import (
    Edit,
    change,
    combined,
    drop,
    edit_responses,
    edit_run_bodies,
    edit_run_json,
    put,
    rename,
    reverse,
)
from tests.mutants.middleware import Request, Response, cut_off
from tests.mutants.mutant import Area

AREA = Area("blocking response")
_NAMES = "blocking_response_has_task_run_and_data"
_FIELDS: dict[str, tuple[Edit, str]] = {
    "task_id": (lambda _: 17, "task_id_is_a_uuid"),
    "workflow_run_id": (lambda value: {"id": value}, "workflow_run_id_is_a_uuid"),
    "data": (lambda value: [value], _NAMES),
    "data.id": (lambda _: 17, "data_id_is_the_run_id"),
    "data.workflow_id": (lambda _: 17, "workflow_id_is_a_uuid"),
    "data.status": (lambda _: True, "status_is_succeeded_failed_or_stopped"),
    "data.outputs": (json.dumps, "outputs_are_empty_unless_succeeded outputs_have_an_image"),
    "data.error": (lambda _: {"message": ""}, "error_is_null_exactly_when_succeeded"),
    "data.elapsed_time": (str, "elapsed_time_is_a_duration"),
    "data.total_tokens": (str, "total_tokens_is_a_whole_number"),
    "data.total_steps": (float, "total_steps_is_a_whole_number"),
    "data.created_at": (str, "created_at_is_in_unix_seconds"),
    "data.finished_at": (float, "finished_at_is_in_unix_seconds"),
}
"""Each field by its path: how it becomes one of another type, and who should see that."""


def _changed(name: str, breaks: str, killers: str, edit: Edit) -> None:
    AREA.add(name, breaks, killers, edit_run_json(edit))


def _text(name: str, breaks: str, killers: str, change_body: Callable[[bytes], bytes]) -> None:
    AREA.add(name, breaks, killers, edit_run_bodies(change_body))


def _swapped(response: Any) -> Any:
    data = response["data"]
    data["created_at"], data["finished_at"] = data["finished_at"], data["created_at"]
    return response


def _upper(value: Any) -> Any:
    return value.upper()


def _compact(body: bytes) -> bytes:
    return json.dumps(json.loads(body), separators=(",", ":")).encode()


def _indented(body: bytes) -> bytes:
    return json.dumps(json.loads(body), indent=2).encode()


def _run_head(**changes: Any) -> Any:
    def change_response(request: Request, response: Response) -> Response:
        if not (request.is_run and response.status == 200):
            return response
        if "status" in changes:
            response = Response(changes["status"], response.headers, response.body)
        return (
            response.with_header("Content-Type", changes["content_type"])
            if "content_type" in changes
            else response
        )

    return edit_responses(change_response)


def _two_shapes_of_files(request: Request, response: Response) -> Response:
    """outputs.files as one object where the run names another model than the shared one."""
    if (
        not request.is_run
        or response.status != 200
        or "ghostmix" not in str(request.fields.get("inputs"))
    ):
        return response
    return response.with_json(change("data.outputs.files", lambda files: files[0])(response.json))


# fmt: off
for _path, (_retyped, _killers) in _FIELDS.items():
    _field = _path.replace(".", "_")
    AREA.add(
        f"blocking_{_field}_dropped",
        f"The blocking response has no {_path}.",
        "data_has_every_documented_field" if "." in _path else _NAMES,
        edit_run_json(drop(_path)),
    )
    AREA.add(
        f"blocking_{_field}_retyped",
        f"{_path} of the blocking response is of another type.",
        _killers,
        edit_run_json(change(_path, _retyped)),
    )
    if _path != "data.error":
        AREA.add(
            f"blocking_{_field}_null",
            f"{_path} of the blocking response is null.",
            _killers,
            edit_run_json(put(_path, None)),
        )
_changed("blocking_task_id_camel_case", "task_id is called taskId.",
           "blocking_response_has_task_run_and_data", rename("task_id", "taskId"))
_changed("blocking_status_renamed", "data.status is called state.",
           "data_has_every_documented_field", rename("data.status", "state"))
_changed("blocking_outputs_renamed", "data.outputs is called output.",
           "data_has_every_documented_field", rename("data.outputs", "output"))
_changed("blocking_files_renamed", "outputs.files is called images.", "outputs_have_an_image",
           rename("data.outputs.files", "images"))
_changed("blocking_status_success", "data.status is success, no word of the host.",
           "status_is_succeeded_failed_or_stopped", put("data.status", "success"))
_changed("blocking_status_running", "data.status says that the run has not ended.",
           "status_is_succeeded_failed_or_stopped", put("data.status", "running"))
_changed("blocking_id_is_another", "data.id is not workflow_run_id.", "data_id_is_the_run_id",
           change("data.id", lambda v: v[::-1]))
_changed("blocking_ids_no_uuids", "task_id is not a UUID.", "task_id_is_a_uuid",
           put("task_id", "task-1"))
_changed("blocking_run_id_no_uuid", "The run's id is a number in text.",
           "workflow_run_id_is_a_uuid",
           combined(put("workflow_run_id", "4711"), put("data.id", "4711")))
_changed("blocking_workflow_id_no_uuid", "workflow_id is a name.", "workflow_id_is_a_uuid",
           put("data.workflow_id", "text-to-image"))
_changed(
    "blocking_ids_upper_case",
    "The ids are UUIDs in upper case.",
    "task_id_is_a_uuid workflow_run_id_is_a_uuid",
    combined(
        change("task_id", _upper), change("workflow_run_id", _upper), change("data.id", _upper)
    ),
)
_changed("blocking_task_id_is_run_id", "task_id and workflow_run_id are the same.",
           "task_and_run_have_ids_of_their_own",
           lambda event: {**event, "task_id": event["workflow_run_id"]})
_changed("blocking_succeeded_without_outputs", "A run that succeeded has no outputs.",
           "outputs_have_an_image", put("data.outputs", None))
_changed("blocking_succeeded_with_error", "A run that succeeded has an error.",
           "error_is_null_exactly_when_succeeded", put("data.error", "CUDA out of memory"))
_changed("blocking_failed_with_outputs", "A run that failed has outputs.",
           "outputs_are_empty_unless_succeeded", put("data.status", "failed"))
_changed("blocking_error_empty_text", "No error is empty text, and not null.",
           "error_is_null_exactly_when_succeeded", put("data.error", ""))
_changed("blocking_elapsed_negative", "elapsed_time is negative.", "elapsed_time_is_a_duration",
           change("data.elapsed_time", lambda v: -v))
_changed("blocking_elapsed_milliseconds", "elapsed_time is in milliseconds.",
           "times_of_the_run_agree", change("data.elapsed_time", lambda v: v * 1000))
_changed("blocking_elapsed_zero", "elapsed_time is 0.0 whatever the run took.",
           "elapsed_time_is_a_duration times_of_the_run_agree", put("data.elapsed_time", 0.0))
_changed("blocking_elapsed_whole", "elapsed_time is a whole number of seconds, without a point.",
           "elapsed_time_is_a_float", change("data.elapsed_time", lambda v: int(v) + 1))
_changed("blocking_created_at_milliseconds", "created_at is in milliseconds.",
           "created_at_is_in_unix_seconds", change("data.created_at", lambda v: v * 1000))
_changed("blocking_created_at_off", "created_at is an hour early.", "times_of_the_run_agree",
           change("data.created_at", lambda v: v - 3600))
_changed("blocking_finished_at_off", "finished_at is 5 s late.", "times_of_the_run_agree",
           change("data.finished_at", lambda v: v + 5))
_changed("blocking_both_times_off", "Both times are in local time, 8 h ahead.",
           "run_finished_just_now",
           combined(
               change("data.created_at", lambda v: v + 28800),
               change("data.finished_at", lambda v: v + 28800),
           ))
_changed("blocking_finished_before_created", "created_at and finished_at are swapped.",
           "times_of_the_run_agree", _swapped)
_changed("blocking_tokens_negative", "total_tokens is negative.",
           "total_tokens_is_a_whole_number", put("data.total_tokens", -1))
_changed("blocking_steps_zero", "A run that succeeded took no step.",
           "total_steps_is_a_whole_number", put("data.total_steps", 0))
_changed("blocking_steps_negative", "total_steps is negative.", "total_steps_is_a_whole_number",
           put("data.total_steps", -5))
_changed("blocking_extra_sequence_number",
           "The blocking response has sequence_number, which only streams have.",
           "data_has_no_other_fields", put("data.sequence_number", 1))
_changed("blocking_extra_created_by",
           "The blocking response has created_by, which only streams have.",
           "data_has_no_other_fields", put("data.created_by", {"id": "x", "user": "y"}))
_changed("blocking_extra_files",
           "The blocking response has files beside outputs, as only streams have.",
           "data_has_no_other_fields", put("data.files", []))
_changed("blocking_extra_at_top", "The blocking response has a code at its top.",
           "blocking_response_has_no_other_fields", put("code", 0))
_changed("blocking_wrapped", "The blocking response is wrapped in an envelope.",
           "blocking_response_has_task_run_and_data",
           lambda response: {"code": 0, "data": response})
_changed("blocking_unwrapped", "The fields of data stand at the top.",
           "blocking_response_has_task_run_and_data",
           lambda event: {**{k: v for k, v in event.items() if k != "data"}, **event["data"]})
_changed("blocking_keys_reversed", "The keys of the blocking response are in reverse order.",
           "blocking_response_has_no_other_fields", reverse(""))
_changed("blocking_data_keys_reversed", "The keys of data are in reverse order.",
           "data_fields_come_in_the_hosts_order", reverse("data"))
_changed("blocking_in_a_list", "The blocking response is a list of one.",
           "blocking_response_is_a_json_object", lambda response: [response])

# Its text
_text("blocking_json_compact", "The JSON has no blanks.",
      "blocking_json_is_written_in_the_hosts_style", _compact)
_text("blocking_json_indented", "The JSON is indented, on many lines.",
      "blocking_json_is_written_in_the_hosts_style", _indented)
_text("blocking_json_with_newline", "The blocking response ends with a newline.",
      "blocking_json_ends_without_newline", lambda body: body + b"\n")
_text("blocking_json_with_bom", "The blocking response begins with a byte order mark.",
      "blocking_json_is_written_in_the_hosts_style", lambda body: b"\xef\xbb\xbf" + body)
_text("blocking_json_cut", "The blocking response ends in the middle of its JSON.",
      "blocking_response_is_a_json_object", lambda body: body[:-40])
_text("blocking_json_twice", "The blocking response is there twice.",
      "blocking_response_is_a_json_object", lambda body: body + body)
_text("blocking_json_padded", "Blanks keep the connection alive before the blocking response.",
      "blocking_json_ends_without_newline blocking_json_is_written_in_the_hosts_style",
      lambda body: b"   " + body)
_text("blocking_empty", "The blocking response is empty.", "blocking_response_is_a_json_object",
      lambda _: b"")
_text("blocking_html", "The blocking response is a page that says it is JSON.",
      "blocking_response_is_a_json_object", lambda _: b"<!doctype html><p>done")
AREA.add("blocking_status_201", "An accepted run gets 201.",
         "documents_own_request_gets_200", _run_head(status=201))
AREA.add("blocking_status_202", "An accepted run gets 202.",
         "documents_own_request_gets_200", _run_head(status=202))
AREA.add("blocking_as_text", "The blocking response says it is text/plain.",
         "blocking_content_type_is_json", _run_head(content_type="text/plain"))
AREA.add("blocking_as_html", "The blocking response says it is HTML.",
         "blocking_content_type_is_json", _run_head(content_type="text/html; charset=utf-8"))
AREA.add("blocking_with_charset", "The blocking response's content type has a charset.",
         "blocking_content_type_is_the_hosts",
         _run_head(content_type="application/json; charset=utf-8"))
AREA.add("blocking_cut_off", "The connection is closed in the middle of the blocking response.",
         "blocking_response_is_complete",
         cut_off(
             lambda request: (
                 request.fields.get("response_mode") == "blocking"
                 and "model_name" in str(request.fields.get("inputs"))
             )
         ))
_changed("blocking_run_fails",
           "Every blocking run fails, and its response says so as the host does.",
           "documents_own_request_succeeds",
           combined(
               put("data.status", "failed"),
               put("data.outputs", None),
               put("data.error", "CUDA out of memory"),
           ))
AREA.add("blocking_files_of_one_model_no_list",
         "With one of the models, outputs.files is one file and no list.",
         "every_run_is_described_as_in_the_document", edit_responses(_two_shapes_of_files))
# fmt: on
