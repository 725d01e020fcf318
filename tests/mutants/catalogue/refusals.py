"""How the host refuses: status, envelope, code, text, type and form of each refusal."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tests.mutants.edits import edit_responses
from tests.mutants.middleware import Request, Response
from tests.mutants.mutant import Area

AREA = Area("refusals")
_Change = Callable[[Response], Response]


def _where(text: str, change: _Change) -> Any:
    """``change`` for the refusals in whose JSON ``text`` stands; a blank text means each refusal in
    JSON.
    """

    def change_response(_: Request, response: Response) -> Response:
        refused = (
            response.status >= 400
            and isinstance(response.json, dict)
            and text in response.body.decode()
        )
        return change(response) if refused else response

    return edit_responses(change_response)


def _status(status: int) -> _Change:
    """Another status, in the head and in the envelope."""

    def change(response: Response) -> Response:
        body = {**response.json, "status": status} if "status" in response.json else response.json
        return Response(status, response.headers, response.body).with_json(body)

    return change


def _fields(**changes: Any) -> _Change:
    return lambda response: response.with_json({**response.json, **changes})


def _without(name: str) -> _Change:
    return lambda response: response.with_json(
        {key: value for key, value in response.json.items() if key != name}
    )


REFUSALS: Mapping[str, tuple[str, int, str]] = {
    "no_key": ("Authorization header must be provided", 403, "missing_authorization_is_401"),
    "wrong_scheme": ("Authorization scheme must be", 403, "other_scheme_is_401"),
    "unknown_key": ("Access token is invalid", 403, "unknown_key_is_401"),
    "prompt_missing": ("prompt is required in input form", 422, "missing_prompt_is_400"),
    "prompt_not_string": (
        "prompt in input form must be a string",
        422,
        "*_as_prompt_is_not_a_string",
    ),
    "unknown_model": (
        "must be one of the following",
        422,
        "unknown_model_is_400_and_names_the_models",
    ),
    "user_missing": ("Arg user must be provided", 422, "missing_user_is_400"),
    "inputs_missing": ("Missing required parameter in the JSON body", 422, "missing_inputs_is_400"),
    "inputs_null": ("Must not be null!", 422, "null_inputs_is_400"),
    "response_mode": ("is not a valid choice", 422, "unknown_mode_is_400"),
    "malformed_json": ('"bad_request"', 422, "cut_json_is_400"),
    "content_type": ("unsupported_media_type", 400, "json_called_*_is_415"),
    "no_object": ("Internal Server Error", 400, "*_body_is_500"),
    "chat_app": ("not_workflow_app", 404, "key_of_a_chat_app_is_400"),
    "unpublished_app": ("Workflow not published", 404, "unpublished_workflow_is_400"),
    "app_gone": ('"not_found"', 400, "disabled_app_is_refused deleted_app_is_refused"),
    "method": ("method_not_allowed", 404, "*_on_the_run_path_is_405"),
    "forbidden": ('"forbidden"', 401, "changed_sign_is_403"),
    "file_unknown": ("unsupported_file_type", 404, "signed_unknown_file_is_415"),
    "signature_missing": (
        "Missing required parameter in the query string",
        403,
        "missing_timestamp_is_400 missing_nonce_is_400",
    ),
}
"""Each refusal by words in its body, the wrong status that its mutant gives it, and who should see
that.
"""


def _each(
    name: str, breaks: str, killers: str, change: _Change, words: str = "", *, strict: bool = False
) -> None:
    AREA.add(name, breaks, killers, _where(words, change), strict=strict)


def _html(response: Response) -> Response:
    body = f"<!doctype html>\n<title>{response.status}</title>\n".encode()
    return response.with_header("Content-Type", "text/html; charset=utf-8").with_body(body)


# fmt: off
for _name, (_words, _wrong, _killers) in REFUSALS.items():
    AREA.add(
        f"refusal_{_name}_status_{_wrong}",
        f"The refusal {_words!r} has status {_wrong}.",
        _killers,
        _where(_words, _status(_wrong)),
    )
for _name in (
    "prompt_missing",
    "unknown_model",
    "user_missing",
    "no_key",
    "unknown_key",
    "response_mode",
):
    _words, _, _killers = REFUSALS[_name]
    AREA.add(
        f"refusal_{_name}_status_200",
        f"The refusal {_words!r} comes with status 200.",
        _killers,
        _where(_words, _status(200)),
    )
    AREA.add(
        f"refusal_{_name}_code_changed",
        f"The refusal {_words!r} has another code.",
        _killers,
        _where(_words, _fields(code="error")),
    )
    AREA.add(
        f"refusal_{_name}_text_changed",
        f"The refusal {_words!r} has another text.",
        _killers,
        _where(_words, _fields(message="Bad.")),
    )

# Every refusal at once
_each("envelope_without_code", "No refusal has a code.", "error_has_its_members_in_order",
      _without("code"))
_each("envelope_without_message", "No refusal has a message.",
      "error_has_its_members_in_order", _without("message"))
_each("envelope_without_status", "No refusal has a status in its envelope.",
      "error_has_its_members_in_order", _without("status"))
_each("envelope_without_params", "No refusal names the field it means.",
      "field_error_has_its_members_in_order", _without("params"))
_each("envelope_status_in_text", "The envelope's status is text.",
      "status_in_the_error_is_the_http_status",
      lambda response: response.with_json({**response.json, "status": str(response.status)}))
_each("envelope_status_wrong", "The envelope's status is not the response's.",
      "status_in_the_error_is_the_http_status", _fields(status=500))
_each("envelope_params_wrong", "The envelope names another field than the wrong one.",
      "missing_inputs_is_400 unknown_mode_is_400", _fields(params="prompt"), '"params"')
_each("envelope_nested", "The envelope stands under error.",
      "error_has_its_members_in_order",
      lambda response: response.with_json({"error": response.json}))
_each("envelope_code_a_number", "The envelope's code is the status.",
      "missing_user_is_400 missing_authorization_is_401",
      lambda response: response.with_json({**response.json, "code": response.status}))
_each("envelope_message_null", "The envelope's message is null.",
      "missing_user_is_400 missing_authorization_is_401", _fields(message=None))
_each("envelope_extra_field", "The envelope has a trace id.",
      "error_has_its_members_in_order", _fields(trace_id="4711"))
_each("envelope_keys_reversed", "The envelope's keys are in reverse order.",
      "error_has_its_members_in_order",
      lambda response: response.with_json(dict(reversed(response.json.items()))))
_each("refusals_in_html", "Every refusal is an HTML page.", "errors_are_json_without_charset",
      _html)
_each("refusals_html_as_json", "Every refusal is a page that says it is JSON.",
      "error_has_its_members_in_order", lambda response: response.with_body(b"<p>no</p>"))
_each("refusals_as_text", "JSON refusals say they are text.", "errors_are_json_without_charset",
      lambda response: response.with_header("Content-Type", "text/plain"))
_each("refusals_with_charset", "JSON refusals have a charset in their type.",
      "errors_are_json_without_charset",
      lambda response: response.with_header("Content-Type", "application/json; charset=utf-8"))
_each("refusals_without_newline", "JSON refusals end without the newline.",
      "errors_end_with_one_newline",
      lambda response: response.with_body(response.body.rstrip(b"\n")))
_each("refusals_compact", "The JSON of refusals has no blanks, as later versions write it.",
      "errors_are_written_in_the_hosts_style",
      lambda response: response.with_body(
          json.dumps(response.json, separators=(",", ":")).encode() + b"\n"
      ))
_each("refusals_empty", "Refusals have no body.", "error_has_its_members_in_order",
      lambda response: response.with_body(b""))
_each("refusals_as_problem", "Refusals are RFC 9457 problems.",
      "error_has_its_members_in_order",
      lambda response: response.with_json(
          {"type": "about:blank", "title": response.json.get("message"), "status": response.status}
      ).with_header("Content-Type", "application/problem+json"))
_each("refusals_all_400", "Whatever is refused is refused with 400.",
      "missing_authorization_is_401", _status(400))
_each("refusals_all_500", "Whatever is refused is refused with 500.",
      "missing_authorization_is_401 missing_user_is_400", _status(500))
_each("refusals_unescaped", "Chinese in refusals is not escaped.", "errors_escape_chinese",
      lambda response: response.with_body(
          json.dumps(response.json, ensure_ascii=False).encode() + b"\n"
      ))
_each("host_failure_keys_reversed",
      "A failure of the host has its code before its message, as other errors do.",
      "host_failure_has_its_members_in_order",
      lambda response: response.with_json(dict(reversed(response.json.items()))),
      "Internal Server Error")
# fmt: on
