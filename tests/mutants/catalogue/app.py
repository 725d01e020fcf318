"""What the app says of itself: parameters, info, meta, index."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fake_server.settings import DEFAULT_API_KEY
from tests.mutants.edits import (
    Edit,
    change,
    drop,
    edit_json,
    put,
    replace_requests,
    replace_responses,
)
from tests.mutants.middleware import Request, Response, Wrap, change_requests
from tests.mutants.mutant import Area

AREA = Area("app endpoints")


def _at(path: str, edit: Edit) -> Wrap:
    """What a GET of ``path`` tells, changed."""
    return edit_json(
        lambda request, response: (
            request.method == "GET" and request.path == path and response.status == 200
        ),
        edit,
    )


def _of(path: str, name: str, breaks: str, killers: str, edit: Edit) -> None:
    AREA.add(name, breaks, killers, _at(path, edit))


def _field(variable: str, edit: Edit) -> Edit:
    """An edit of one entry of the form."""

    def edit_form(form: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {
                kind: edit(shown) if shown["variable"] == variable else shown
                for kind, shown in entry.items()
            }
            for entry in form
        ]

    return change("user_input_form", edit_form)


def _without_variable(variable: str) -> Edit:
    return change(
        "user_input_form",
        lambda form: [one for one in form if next(iter(one.values()))["variable"] != variable],
    )


_PARAMETERS = "/v1/parameters"
_of(
    _PARAMETERS,
    "parameters_without_form",
    "The app has no form.",
    "parameters_have_form_and_switches",
    drop("user_input_form"),
)
_of(
    _PARAMETERS,
    "parameters_form_empty",
    "The app's form is empty.",
    "form_*",
    put("user_input_form", []),
)
_of(
    _PARAMETERS,
    "parameters_without_prompt",
    "The app's form has no prompt.",
    "form_has_the_documented_inputs",
    _without_variable("prompt"),
)
_of(
    _PARAMETERS,
    "parameters_without_model",
    "The app's form has no model_name.",
    "form_has_the_documented_inputs",
    _without_variable("model_name"),
)
_of(
    _PARAMETERS,
    "parameters_prompt_optional",
    "The form says that the prompt is optional.",
    "form_requires_the_prompt",
    _field("prompt", put("required", False)),
)
_of(
    _PARAMETERS,
    "parameters_model_required",
    "The form says that the model is required.",
    "form_leaves_the_model_open",
    _field("model_name", put("required", True)),
)
_of(
    _PARAMETERS,
    "parameters_options_short",
    "The form leaves a model out.",
    "form_offers_the_documented_models",
    _field("model_name", change("options", lambda options: options[1:])),
)
_of(
    _PARAMETERS,
    "parameters_options_more",
    "The form offers a model that is refused.",
    "unknown_model_is_400_and_names_the_models",
    _field("model_name", change("options", lambda options: [*options, "sdxl"])),
)
_of(
    _PARAMETERS,
    "parameters_without_features",
    "The app has nothing but its form.",
    "parameters_have_form_and_switches",
    lambda edit_events: {"user_input_form": edit_events["user_input_form"]},
)
_of(
    _PARAMETERS,
    "parameters_without_file_upload",
    "The app does not say whether it takes files.",
    "parameters_have_form_and_switches",
    drop("file_upload"),
)
_of(
    _PARAMETERS,
    "parameters_wrapped",
    "The app's parameters stand under data.",
    "parameters_have_form_and_switches",
    lambda edit_events: {"data": edit_events},
)


def _open(path: str) -> Wrap:
    def change_one(request: Request) -> Request:
        is_unlocked = request.path == path and request.method == "GET"
        return (
            request.with_header("authorization", f"Bearer {DEFAULT_API_KEY}")
            if is_unlocked
            else request
        )

    return change_requests(lambda: change_one)


def _missing(path: str) -> Wrap:
    return change_requests(
        lambda: (
            lambda request: (
                replace(request, path="/v1/nothing") if request.path == path else request
            )
        )
    )


_NEEDS_KEY = {
    "parameters": "parameters_need_the_key",
    "info": "info_needs_the_key",
    "meta": "meta_needs_the_key",
}
_of(
    _PARAMETERS,
    "parameters_field_without_label",
    "A field of the form has no label.",
    "form_is_a_list_of_named_fields",
    _field("prompt", drop("label")),
)
_of(
    _PARAMETERS,
    "parameters_switch_in_text",
    "A switch of the app is text.",
    "every_body_is_as_its_schema",
    put("speech_to_text.enabled", "false"),
)
_UPLOAD = "/v1/files/upload"
_NO_FILE = {"code": "no_file_uploaded", "message": "Please upload your file.", "status": 400}


def _is_form(request: Request) -> bool:
    return (request.header("content-type") or "").startswith("multipart/form-data")


def _upload(
    name: str,
    breaks: str,
    killers: str,
    picks: Callable[[Request, Response], bool],
    instead: Callable[[Response], Response],
    *,
    strict: bool = False,
) -> None:
    """``instead`` of the refusals of uploads that ``picks`` chooses."""
    AREA.add(
        name,
        breaks,
        killers,
        replace_responses(lambda *both: both[0].path == _UPLOAD and picks(*both), instead),
        strict=strict,
    )


# fmt: off
_of("/v1/info", "info_without_name", "The app has no name.", "info_has_name_and_description",
    drop("name"))
_of("/v1/info", "info_without_description", "The app has no description.",
    "info_has_name_and_description", drop("description"))
_of("/v1/info", "info_name_a_number", "The app's name is a number.",
    "info_has_name_and_description", put("name", 1))
_of("/v1/meta", "meta_without_icons", "The app has no tool_icons.",
    "meta_has_the_icons_of_the_tools", drop("tool_icons"))
_of("/v1/meta", "meta_icons_a_list", "tool_icons is a list.", "meta_has_the_icons_of_the_tools",
    change("tool_icons", list))
for _path in (_PARAMETERS, "/v1/info", "/v1/meta"):
    _short = _path.rpartition("/")[2]
    AREA.add(f"{_short}_without_key", f"{_path} needs no key.", _NEEDS_KEY[_short], _open(_path))
    AREA.add(f"{_short}_path_missing", f"There is no {_path}.", f"{_short}_ha*", _missing(_path))
_of("/v1/", "greeting_without_version", "The root has no version.", "root_*",
    drop("server_version"))
_of("/v1/", "greeting_of_v2", "The greeting names the API v2.", "root_is_as_on_the_host",
    put("api_version", "v2"))
_of("/v1/", "greeting_of_another_version",
    "The greeting names another version than the header X-Version.",
    "root_and_header_name_one_version", put("server_version", "0.6.5"))
_of("/v1/info", "info_with_mode", "The app's info has its mode.", "info_has_no_other_members",
    put("mode", "workflow"))
for _path in (_PARAMETERS, "/v1/info", "/v1/meta"):
    _short = _path.rpartition("/")[2]
    AREA.add(
        f"{_short}_can_be_posted",
        f"POST on {_path} is as good as GET.",
        f"post_to_{_short}_is_405",
        replace_requests(
            lambda request, path=_path: request.path == path and request.method == "POST",  # type: ignore[misc]
            lambda request: replace(request, method="GET", body=b""),
        ),
    )
AREA.add("app_json_compact",
         "A proxy writes the JSON of info, meta and parameters again, without blanks.",
         "app_info_is_written_as_errors_are",
         replace_responses(
             lambda request, response: (
                 request.path in (_PARAMETERS, "/v1/info", "/v1/meta") and response.status == 200
             ),
             lambda response: response.with_body(
                 json.dumps(response.json, separators=(",", ":")).encode()
             ),
         ))

# Uploads
_upload("upload_without_a_file_has_own_code",
        "A form without a file is refused with a code of its own, as later versions do.",
        "upload_without_a_file_is_400",
        lambda request, response: _is_form(request) and response.status == 400,
        lambda response: response.with_json(_NO_FILE))
_upload("upload_of_json_is_a_415", "An upload that is JSON is refused with 415.",
        "upload_of_json_is_400",
        lambda request, response: not _is_form(request) and response.status == 400,
        lambda response: replace(response, status=415))
_upload("upload_of_a_program_is_a_400", "A file of a type that is not allowed is refused with 400.",
        "upload_of_a_program_is_as_on_the_host",
        lambda request, response: _is_form(request) and response.status == 415,
        lambda response: replace(response, status=400))
AREA.add("upload_without_key", "An upload needs no key.", "upload_needs_the_key",
         replace_requests(
             lambda request: request.path == _UPLOAD and request.header("authorization") is None,
             lambda request: request.with_header("authorization", f"Bearer {DEFAULT_API_KEY}"),
         ))
# fmt: on
