"""What the host tells about the app, and uploads that are refused (FACTS 7)."""

from __future__ import annotations

import functools

from contract.check import Level, free_check
from contract.error_body import (
    FILE_TYPE,
    NO_BEARER,
    NO_FILE,
    NO_METHOD,
    expect_error_style,
    expect_refused,
)
from contract.form import choice_field, documented_models, form_field, parameters, told_fields
from contract.result import NotRun, expect, expect_equal, expect_version
from contract.target import Target
from dify_wire.exchange import Exchange, Request

_UPLOAD = "/v1/files/upload"
_SWITCHES = (
    "opening_statement",
    "suggested_questions",
    "suggested_questions_after_answer",
    "speech_to_text",
    "text_to_speech",
    "retriever_resource",
    "annotation_reply",
    "more_like_this",
    "user_input_form",
    "sensitive_word_avoidance",
    "file_upload",
    "system_parameters",
)

_host_check = functools.partial(free_check, Level.HOST)


def _get(target: Target, path: str) -> Exchange:
    found: Exchange = target.shared(f"GET {path}", lambda: target.send(target.get_request(path)))
    return found


def _expect_json(answer: Exchange) -> None:
    expect_equal(answer.status, 200, "status", answer)
    expect_equal(answer.media_type, "application/json", "content type", answer)


def _expect_post_is_refused(target: Target, path: str) -> None:
    answer = target.send(target.json_request("POST", path, {}))
    expect_refused(answer, NO_METHOD)
    allowed = {word.strip() for word in (answer.header("Allow") or "").split(",")}
    expect("GET" in allowed, "GET among the words of Allow", answer.header("Allow"), answer)


def _parts(*parts: str) -> bytes:
    """A form of these parts, byte for byte as the host was sent it."""
    ends = (part.replace("\n", "\r\n") for part in parts)
    return (
        "".join(f"------ref\r\nContent-Disposition: form-data; {end}\r\n" for end in ends)
        + "------ref--\r\n"
    ).encode()


def _upload(target: Target, *parts: str, with_key: bool = True) -> Exchange:
    key = (("Authorization", f"Bearer {target.capabilities.api_key}"),) if with_key else ()
    headers = (*key, ("Content-Type", "multipart/form-data; boundary=----ref"))
    return target.send(Request("POST", _UPLOAD, headers, _parts(*parts)))


# The form
# ------------------------------------------------------------------------------------------------------------


@_host_check("FACTS 7 (recorded: sib_parameters_noauth)")
def parameters_need_the_key(target: Target) -> None:
    """The form is not for everybody."""
    expect_refused(target.send(Request("GET", "/v1/parameters")), NO_BEARER)


@_host_check("FACTS 7 (recorded: sib_parameters)")
def parameters_tell_form_and_switches(target: Target) -> None:
    """The app's parameters have every member that the host was seen to tell."""
    answer = parameters(target)
    _expect_json(answer)
    missing = [name for name in _SWITCHES if name not in answer.json_object()]
    expect(not missing, f"members {', '.join(_SWITCHES)}", f"none of {', '.join(missing)}", answer)


@_host_check("FACTS 7 (recorded: sib_parameters)")
def form_is_a_list_of_named_fields(target: Target) -> None:
    """Each entry of the form is one kind of field, with variable, label, type and whether it is
    required.
    """
    answer = parameters(target)
    form = answer.json_object().get("user_input_form")
    expect(
        isinstance(form, list) and len(form) > 0,
        "a list of fields in user_input_form",
        form,
        answer,
    )
    for entry in form or ():
        expect(
            isinstance(entry, dict) and len(entry) == 1,
            "an object of one kind of field",
            entry,
            answer,
        )
        ((kind, field),) = entry.items()
        named = (
            isinstance(field, dict) and {"variable", "label", "type", "required"} <= field.keys()
        )
        expect(named, "variable, label, type, required", field, answer)
        expect_equal(field["type"], kind, "type", answer)


@free_check(Level.DOCUMENT, "openapi.yaml#/components/schemas/Inputs (document lines 29-31)")
def form_has_the_documented_inputs(target: Target) -> None:
    """The app has the two inputs of the document."""
    answer = parameters(target)
    form = answer.json_object().get("user_input_form")
    if not isinstance(form, list):
        raise NotRun("there is no form to judge", answer)
    told = {field.get("variable") for _, field in told_fields(form)}
    missing = {"prompt", "model_name"} - told
    expect(
        not missing,
        "prompt and model_name in the form",
        f"no {' and no '.join(sorted(missing))}",
        answer,
    )


@free_check(Level.DOCUMENT, "openapi.yaml#/components/schemas/Inputs (document line 30)")
def form_requires_the_prompt(target: Target) -> None:
    """The app asks for a prompt, as text, and requires it."""
    answer = parameters(target)
    field = form_field(target, "prompt")
    expect(field.kind in ("paragraph", "text-input"), "a field of text", field.kind, answer)
    expect_equal(field.required, True, "required of prompt", answer)


@free_check(Level.DOCUMENT, "openapi.yaml#/components/schemas/ModelName (document line 31)")
def form_offers_the_documented_models(target: Target) -> None:
    """Where the app has a list of models, every model of the document is in it."""
    offered = choice_field(target, "model_name").options
    missing = [model for model in documented_models() if model not in offered]
    expect(
        not missing,
        f"{', '.join(documented_models())} among the options",
        f"no {missing}",
        parameters(target),
    )


@free_check(Level.DOCUMENT, "openapi.yaml#/components/schemas/Inputs/required (document line 31)")
def form_leaves_the_model_open(target: Target) -> None:
    """The model need not be chosen."""
    expect_equal(
        form_field(target, "model_name").required,
        False,
        "required of model_name",
        parameters(target),
    )


# Name and icons
# ------------------------------------------------------------------------------------------------------


@_host_check("FACTS 7 (recorded: sib_info_noauth)")
def info_needs_the_key(target: Target) -> None:
    """The app's name is not for everybody."""
    expect_refused(target.send(Request("GET", "/v1/info")), NO_BEARER)


@_host_check("FACTS 7 (recorded: sib_info)")
def info_tells_name_and_description(target: Target) -> None:
    """The app's information is its name, a text, and its description."""
    answer = _get(target, "/v1/info")
    _expect_json(answer)
    told = answer.json_object()
    expect(isinstance(told.get("name"), str), "a name", told, answer)
    expect("description" in told, "a description", told, answer)


@free_check(Level.VERSION, "FACTS 7 and 9 (recorded: sib_info)")
def info_tells_nothing_else(target: Target) -> None:
    """The app's information has no other members."""
    answer = _get(target, "/v1/info")
    first = {"name", "description"}
    tags = first | {"tags"}
    of_versions = {"0.6.4": first, "0.15.3": tags, "1.10.1": tags | {"mode", "author_name"}}
    expect_version(set(answer.json_object()), of_versions, "members", answer)


@_host_check("FACTS 7 (recorded: sib_meta_noauth)")
def meta_needs_the_key(target: Target) -> None:
    """The icons are not for everybody."""
    expect_refused(target.send(Request("GET", "/v1/meta")), NO_BEARER)


@_host_check("FACTS 7 (recorded: sib_meta)")
def meta_tells_the_icons_of_the_tools(target: Target) -> None:
    """The app's meta information is an object of icons by tool."""
    answer = _get(target, "/v1/meta")
    _expect_json(answer)
    expect_equal(list(answer.json_object()), ["tool_icons"], "members", answer)
    icons = answer.json_object()["tool_icons"]
    plain = isinstance(icons, dict) and all(isinstance(icon, str | dict) for icon in icons.values())
    expect(plain, "an icon by tool, an address or an object", icons, answer)


@_host_check("FACTS 7 (recorded: sib_parameters_post)")
def post_to_parameters_is_405(target: Target) -> None:
    """The parameters can only be got."""
    _expect_post_is_refused(target, "/v1/parameters")


@_host_check("FACTS 7 (recorded: sib_info_post)")
def post_to_info_is_405(target: Target) -> None:
    """The app's information can only be got."""
    _expect_post_is_refused(target, "/v1/info")


@_host_check("FACTS 7")
def post_to_meta_is_405(target: Target) -> None:
    """The icons can only be got."""
    _expect_post_is_refused(target, "/v1/meta")


@_host_check("FACTS 1.7 (recorded: sib_info, sib_meta, sib_parameters)")
def what_the_app_tells_is_written_as_errors_are(target: Target) -> None:
    """The JSON of these answers is one line with blanks, and ends with a newline."""
    for answer in (_get(target, "/v1/info"), _get(target, "/v1/meta"), parameters(target)):
        expect_error_style(answer)


# Uploads that keep nothing
# -------------------------------------------------------------------------------------------

_USER_PART = 'name="user"\n\nalg123'
_EXE_PART = 'name="file"; filename="x.exe"\nContent-Type: application/octet-stream\n\nMZ'


@_host_check("FACTS 7 (recorded: upload_nofile)")
def upload_without_a_file_is_400(target: Target) -> None:
    """A form without a file is refused."""
    expect_refused(_upload(target, _USER_PART), NO_FILE)


@_host_check("FACTS 7 (recorded: upload_json)")
def upload_of_json_is_400(target: Target) -> None:
    """JSON is no form, and therefore without a file."""
    expect_refused(target.send(target.json_request("POST", _UPLOAD, {"user": "a"})), NO_FILE)


@_host_check("FACTS 7 (recorded: upload_noauth)")
def upload_needs_the_key(target: Target) -> None:
    """Nobody uploads without a key."""
    expect_refused(_upload(target, _USER_PART, with_key=False), NO_BEARER)


@free_check(Level.VERSION, "FACTS 7 and 9.1 (recorded: upload_exe)")
def upload_of_a_program_is_415(target: Target) -> None:
    """A file whose name ends as no picture's or document's does is refused."""
    answer = _upload(target, _USER_PART, _EXE_PART)
    told = answer.json_object()
    got = (answer.status, told.get("code"))
    expect_version(
        got,
        {"0.6.4": (415, FILE_TYPE.body["code"]), "0.15.3": (201, None)},
        "status and code",
        answer,
    )
