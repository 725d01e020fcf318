"""The app's form, name and icons, and uploads that are refused (FACTS 7)."""

from __future__ import annotations

from contract.check import Capability, Level, free_check
from contract.errors import error, expect_error_style, expect_json
from contract.evidence import (
    choice_field,
    documented_models,
    form_field,
    form_fields,
    get_once,
    parameters,
    send_once,
)
from contract.request_checks import MakeRequest, Row, add_rows, request
from contract.result import NotRun, Skipped, expect, expect_equal, expect_version
from contract.target import Target
from dify_wire.exchange import Request
from dify_wire.profile import Profile, profiles

_INPUTS = "openapi.yaml#/components/schemas/Inputs"
_UPLOAD = "/v1/files/upload"
_PARAMETERS = [
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
]
_USER_PART = 'name="user"\n\nalg123'
_EXE_PART = 'name="file"; filename="x.exe"\nContent-Type: application/octet-stream\n\nMZ'
_NO_BEARER, _NO_METHOD = error("auth_header_missing"), error("method_not_allowed")
_NO_FILE = error("upload_without_file")
_READ_ONLY = {"Allow": "GET HEAD OPTIONS"}


def _post(path: str, body: object) -> MakeRequest:
    return lambda target: target.json_request("POST", path, body)


def _upload(*parts: str, with_key: bool = True) -> MakeRequest:
    """A form of these parts, byte for byte as it was recorded."""
    ends = (part.replace("\n", "\r\n") for part in parts)
    form = (f"------ref\r\nContent-Disposition: form-data; {end}\r\n" for end in ends)
    body = ("".join(form) + "------ref--\r\n").encode()

    def make(target: Target) -> Request:
        key = (("Authorization", f"Bearer {target.capabilities.api_key}"),) if with_key else ()
        headers = (*key, ("Content-Type", "multipart/form-data; boundary=----ref"))
        return Request("POST", _UPLOAD, headers, body)

    return make


# fmt: off
add_rows(__name__, [
    Row("parameters_need_the_key", "The form is not for everybody.",
        "FACTS 7 (recorded: sib_parameters_noauth)",
        request("GET", "/v1/parameters"), _NO_BEARER),
    Row("info_needs_the_key", "The app's name is not for everybody.",
        "FACTS 7 (recorded: sib_info_noauth)", request("GET", "/v1/info"), _NO_BEARER),
    Row("meta_needs_the_key", "The icons are not for everybody.",
        "FACTS 7 (recorded: sib_meta_noauth)", request("GET", "/v1/meta"), _NO_BEARER),
    Row("post_to_parameters_is_405", "The parameters can only be read.",
        "FACTS 7 (recorded: sib_parameters_post)",
        _post("/v1/parameters", {}), _NO_METHOD, lists=_READ_ONLY),
    Row("post_to_info_is_405", "The app's information can only be read.",
        "FACTS 7 (recorded: sib_info_post)", _post("/v1/info", {}), _NO_METHOD, lists=_READ_ONLY),
    Row("post_to_meta_is_405", "The icons can only be read.",
        "FACTS 7", _post("/v1/meta", {}), _NO_METHOD, lists=_READ_ONLY),
    Row("upload_without_a_file_is_400", "A form without a file is refused.",
        "FACTS 7 (recorded: upload_nofile)", _upload(_USER_PART), _NO_FILE),
    Row("upload_of_json_is_400", "JSON is not a form, and therefore has no file.",
        "FACTS 7 (recorded: upload_json)", _post(_UPLOAD, {"user": "a"}), _NO_FILE),
    Row("upload_needs_the_key", "An upload needs the key.",
        "FACTS 7 (recorded: upload_noauth)", _upload(_USER_PART, with_key=False), _NO_BEARER),
])
# fmt: on


@free_check(Level.VERSION, "FACTS 7 and 9.1 (recorded: upload_exe)")
def upload_of_a_program_is_as_on_the_host(target: Target) -> None:
    """A file whose extension is not that of an image or document is refused up to 0.6, and accepted
    later.
    """
    response = send_once(target, _upload(_USER_PART, _EXE_PART)(target))
    got = (response.status, response.json_object().get("code"))
    refused = error("files.program_error")

    def status_and_code(profile: Profile) -> tuple[int, object]:
        bodies = refused.bodies(profile)
        return next(((status, body["code"]) for status, body in bodies), (201, None))

    expect_version(got, status_and_code, "status and code", target.basis, response)


# The form
# -------------------------------------------------------------------------------------------------


@free_check(Level.HOST, "FACTS 7 (recorded: sib_parameters)")
def parameters_have_form_and_switches(target: Target) -> None:
    """The app's parameters have every member that the host was seen to send."""
    response = parameters(target)
    expect_json(response)
    missing = [name for name in _PARAMETERS if name not in response.json_object()]
    expected = f"members {', '.join(_PARAMETERS)}"
    expect(not missing, expected, f"none of {', '.join(missing)}", response)


@free_check(Level.HOST, "FACTS 7 (recorded: sib_parameters)")
def form_is_a_list_of_named_fields(target: Target) -> None:
    """Each entry of the form is one kind of field, with variable, label, type and required."""
    response = parameters(target)
    form = response.json_object().get("user_input_form")
    is_list = isinstance(form, list) and len(form) > 0
    expect(is_list, "a list of fields in user_input_form", form, response)
    for entry in form or ():
        is_entry = isinstance(entry, dict) and len(entry) == 1
        expect(is_entry, "an object of one kind of field", entry, response)
        ((kind, field),) = entry.items()
        named = (
            isinstance(field, dict) and {"variable", "label", "type", "required"} <= field.keys()
        )
        expect(named, "variable, label, type, required", field, response)
        expect_equal(field["type"], kind, "type", response)


@free_check(Level.DOCUMENT, f"{_INPUTS} (document lines 29-31)", Capability.DOCUMENT_APP)
def form_has_the_documented_inputs(target: Target) -> None:
    """The app has the two inputs of the document."""
    response = parameters(target)
    form = response.json_object().get("user_input_form")
    if not isinstance(form, list):
        raise NotRun("there is no form to check", response)
    got = {field.get("variable") for _, field in form_fields(form)}
    missing = " and no ".join(sorted({"prompt", "model_name"} - got))
    expect(not missing, "prompt and model_name in the form", f"no {missing}", response)


@free_check(Level.DOCUMENT, f"{_INPUTS} (document line 30)", Capability.DOCUMENT_APP)
def form_requires_the_prompt(target: Target) -> None:
    """The app's prompt is a text, and required."""
    field = form_field(target, "prompt")
    is_text = field.kind in ("paragraph", "text-input")
    expect(is_text, "a field of text", field.kind, parameters(target))
    expect_equal(field.required, True, "required of prompt", parameters(target))


@free_check(
    Level.DOCUMENT,
    "openapi.yaml#/components/schemas/ModelName (document line 31)",
    Capability.DOCUMENT_APP,
)
def form_offers_the_documented_models(target: Target) -> None:
    """Where the app has a list of models, every model of the document is in it."""
    offered = choice_field(target, "model_name").options
    missing = [model for model in documented_models() if model not in offered]
    expected = f"{', '.join(documented_models())} among the options"
    expect(not missing, expected, f"no {missing}", parameters(target))


@free_check(Level.DOCUMENT, f"{_INPUTS}/required (document line 31)", Capability.DOCUMENT_APP)
def form_leaves_the_model_open(target: Target) -> None:
    """The model need not be chosen."""
    required = form_field(target, "model_name").required
    expect_equal(required, False, "required of model_name", parameters(target))


@free_check(Level.VERSION, "FACTS 1.1, 1.8 and 9.1 (recorded: sib_parameters)")
def response_has_the_headers_of_the_version(target: Target) -> None:
    """A response of the app has the headers that its version adds: up to 0.6 Set-Cookie, since 1.11
    Vary: Cookie and those that a browser may read.
    """
    response = parameters(target)
    expect_json(response)
    if response.header("X-Version") is None:
        raise Skipped("something before the host takes the headers of the app away")
    known = {name for profile in profiles().values() for name in _headers(profile)}
    vary = "Cookie" in (response.header("Vary") or "")
    got = {name for name in known if response.header(name) is not None}
    got = (got - {"Vary"}) | ({"Vary"} if vary else set())
    expect_version(got, _headers, "headers", target.basis, response)


def _headers(profile: Profile) -> set[str]:
    exposed = {"Access-Control-Expose-Headers"} if profile.fact("cors.exposed") else set()
    return {name for name, _ in profile.fact("headers")} | exposed


# Name and icons
# -------------------------------------------------------------------------------------------------


@free_check(Level.HOST, "FACTS 7 (recorded: sib_info)")
def info_has_name_and_description(target: Target) -> None:
    """The app's information is its name, a string, and its description."""
    response = get_once(target, "/v1/info")
    expect_json(response)
    info = response.json_object()
    expect(isinstance(info.get("name"), str), "a name", info, response)
    expect("description" in info, "a description", info, response)


@free_check(Level.VERSION, "FACTS 7 and 9 (recorded: sib_info)")
def info_has_no_other_members(target: Target) -> None:
    """The app's information has no other members."""
    response = get_once(target, "/v1/info")

    def members(profile: Profile) -> set[str]:
        return set(profile.fields("Info"))

    expect_version(set(response.json_object()), members, "members", target.basis, response)


@free_check(Level.HOST, "FACTS 7 (recorded: sib_meta)")
def meta_has_the_icons_of_the_tools(target: Target) -> None:
    """The app's meta information is an object of icons by tool."""
    response = get_once(target, "/v1/meta")
    expect_json(response)
    expect_equal(list(response.json_object()), ["tool_icons"], "members", response)
    icons = response.json_object()["tool_icons"]
    plain = isinstance(icons, dict) and all(isinstance(icon, str | dict) for icon in icons.values())
    expect(plain, "an icon by tool, an address or an object", icons, response)


@free_check(Level.HOST, "FACTS 1.7 (recorded: sib_info, sib_meta, sib_parameters)")
def app_info_is_written_as_errors_are(target: Target) -> None:
    """The JSON of these responses is one line with spaces, and ends with a newline."""
    for response in (
        get_once(target, "/v1/info"),
        get_once(target, "/v1/meta"),
        parameters(target),
    ):
        expect_error_style(response, target.basis)
