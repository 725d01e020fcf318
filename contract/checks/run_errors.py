"""Runs that the host refuses: every row of FACTS 3, one wrong thing at a time, and which of two
wrong things is reported.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

from contract.check import Capability, Level, free_check
from contract.errors import (
    CLIENT_ERRORS,
    Error,
    error,
    expect_error,
    expect_error_order,
    expect_error_style,
)
from contract.evidence import (
    changed_run,
    choice_field,
    choice_variable,
    form_field,
    form_fields,
    parameters,
    text_variable,
)
from contract.pydantic_text import BadField, missing, not_a_list, not_a_mode, not_an_object
from contract.request_checks import MakeRequest, Row, add_rows, run, run_with
from contract.result import Skipped, expect, expect_equal
from contract.target import LEFT_OUT, PROMPT, USER, Target
from dify_wire.exchange import Exchange, Request

_SCHEMAS = "openapi.yaml#/components/schemas"
_GBK = json.dumps(
    {"inputs": {"prompt": PROMPT}, "response_mode": "blocking", "user": USER}, ensure_ascii=False
)


def _run_without_text(**changes: Any) -> MakeRequest:
    """A run without the first text that the app requires: its prompt."""
    return lambda target: target.run_request(inputs=_without_text(target), **changes)


def _run_with_choice(value: object) -> MakeRequest:
    """A run with that value for the app's first list; skipped where it has none."""

    def make(target: Target) -> Request:
        name = choice_variable(target)
        form_field(target, name)
        return target.run_request(inputs={**target.inputs, name: value})

    return make


def _run_with_bad_choice_alone(target: Target) -> Request:
    name = choice_variable(target)
    choice_field(target, name)
    return target.run_request(inputs={**_without_text(target), name: "nope"})


def _model_in_capitals(target: Target) -> Request:
    variable = choice_variable(target)
    name = choice_field(target, variable).options[0].swapcase()
    return target.run_request(inputs={**target.inputs, variable: name})


def _refused_stream(request: MakeRequest) -> MakeRequest:
    """A stream that is refused for its inputs. Raises ``Skipped`` where the version leaves it
    silent for minutes (FACTS 9.2).
    """

    def make(target: Target) -> Request:
        silence_s = target.basis.profile.fact("request.silence_s")
        if silence_s:
            version = target.basis.version
            raise Skipped(f"Dify {version} leaves a refused stream silent for {silence_s:g} s")
        return request(target)

    return make


def _without_text(target: Target) -> dict[str, Any]:
    """The inputs of a run without the first text that the app requires."""
    name = text_variable(target)
    return {key: value for key, value in target.inputs.items() if key != name}


def _run_with_text(text: object) -> MakeRequest:
    """A run with another value of the first text that the app requires: its prompt."""

    def make(target: Target) -> Request:
        return target.run_request(inputs={**target.inputs, text_variable(target): text})

    return make


def _run_with_bad_choice(
    *first: tuple[str, object], choice: str = "nope", **changes: Any
) -> MakeRequest:
    """A run with a choice that is not in the list, which even a host that takes all else refuses;
    skipped where the app has no list.
    """

    def make(target: Target) -> Request:
        name = choice_variable(target)
        choice_field(target, name)
        texts = {text_variable(target) if key == "prompt" else key: value for key, value in first}
        return target.run_request(inputs={**target.inputs, **texts, name: choice}, **changes)

    return make


def _max_length(target: Target) -> int:
    limit = form_field(target, text_variable(target)).max_length
    if not limit:
        raise Skipped("the app sets its prompt no greatest length")
    return limit


def _prompt_too_long(target: Target) -> Request:
    prompt = "猫" * (_max_length(target) + 1)
    inputs = {**target.inputs, text_variable(target): prompt}
    with suppress(Skipped):
        inputs[choice_variable(target)] = "nope"
    return target.run_request(inputs=inputs)


def _kind_of_text(target: Target) -> str:
    return form_field(target, text_variable(target)).kind


def _kind_of_choice(target: Target) -> str:
    return form_field(target, choice_variable(target)).kind


def _bad_inputs(reason: str, value: object) -> Error:
    wrong = not_an_object("inputs", value)
    return error("parameter_invalid", wrong, field="inputs", reason=reason)


def _first_required(target: Target) -> str:
    """The first variable that the app requires."""
    form = parameters(target).json_object().get("user_input_form")
    for _, field in form_fields(form if isinstance(form, list) else []):
        if field.get("required") is True:
            return str(field.get("variable"))
    if target.capabilities.inputs is None:
        return "prompt"
    raise Skipped("the app requires no input")


def _not_pairs(value: object) -> Error:
    return error("input_required", not_an_object("inputs", value), variable=_first_required)


def _bad_mode(value: object) -> Error:
    return error("choice_invalid", not_a_mode(value), field="response_mode", value=str(value))


def _bad_files(value: object, *others: BadField) -> Error:
    reason = "'int' object is not iterable"
    wrong = not_a_list("files", value)
    return error("parameter_invalid", wrong, *others, field="files", reason=reason)


def _no_inputs(mode: str, *others: BadField) -> Error:
    wrong = missing("inputs", {"response_mode": mode, "user": USER})
    return error("parameter_missing", wrong, *others, field="inputs")


_NO_JSON_TYPE = error("content_type_not_json")
_MALFORMED = error("json_malformed")
_HOST_FAILS = error("internal_error")
_NO_USER = error("user_missing")
_NO_PROMPT = error("input_required", variable=text_variable)
_NULL_MODE = replace(_bad_mode(None), model_accepts=True)
_FALSY_PROMPT = error("request.falsy_input_error", variable=text_variable, type=_kind_of_text)
_PROMPT_TYPE = error("input_not_string", variable=text_variable, type=_kind_of_text)
_MODEL_TYPE = error("input_not_string", variable=choice_variable, type=_kind_of_choice)
_NO_SUCH_MODEL = error(
    "input_not_in_options",
    variable=choice_variable,
    options=lambda target: list(choice_field(target, choice_variable(target)).options),
)
_EMPTY_PROMPT = error("request.empty_input_error", or_else=_NO_SUCH_MODEL, variable=text_variable)
_CHAT, _UNPUBLISHED = Capability.CHAT_KEY, Capability.UNPUBLISHED_KEY
_DISABLED, _DELETED = Capability.DISABLED_KEY, Capability.DELETED_KEY
_NO_APP = error("request.app_errors")
_DOCUMENT = Level.DOCUMENT

# fmt: off
add_rows(__name__, [
    # what the document says is required
    Row("run_without_inputs_is_refused", "``inputs`` is required.",
        f"{_SCHEMAS}/RunRequest/required (document lines 17, 24)",
        run(inputs=LEFT_OUT), status=CLIENT_ERRORS, level=_DOCUMENT),
    Row("run_without_a_user_is_refused", "``user`` is required.",
        f"{_SCHEMAS}/RunRequest/required (document lines 21, 26)",
        run(user=LEFT_OUT), status=CLIENT_ERRORS, level=_DOCUMENT),
    Row("run_without_a_prompt_is_refused", "``prompt`` is required among the inputs.",
        f"{_SCHEMAS}/Inputs/required (document line 30)",
        _run_without_text(), status=CLIENT_ERRORS, level=_DOCUMENT),
    Row("run_in_an_unknown_mode_is_refused",
        "``response_mode`` is one of the document's two words.",
        f"{_SCHEMAS}/ResponseMode (document lines 18-20)",
        run(response_mode="foo"), status=CLIENT_ERRORS, level=_DOCUMENT),
    Row("run_with_an_unknown_model_is_refused",
        "``model_name`` is one of the models that the document names.",
        f"{_SCHEMAS}/ModelName (document line 31)",
        _run_with_bad_choice(), status=CLIENT_ERRORS, level=_DOCUMENT),

    # the content type and the JSON
    Row("form_body_is_415", "A form is not JSON.", "FACTS 3, row 4 (recorded: ct_form)",
        run_with(content_type="application/x-www-form-urlencoded",
                 body=b"inputs=%7B%7D&response_mode=blocking&user=u"), _NO_JSON_TYPE),
    Row("json_called_plain_text_is_415", "JSON that is called plain text is not read.",
        "FACTS 3, row 4 (recorded: ct_text)", run_with(content_type="text/plain"), _NO_JSON_TYPE),
    Row("json_called_bytes_is_415", "JSON that is called a stream of bytes is not read.",
        "FACTS 3, row 4 (recorded: ct_octet)",
        run_with(content_type="application/octet-stream"), _NO_JSON_TYPE),
    Row("body_without_content_type_is_415", "JSON without a Content-Type is not read.",
        "FACTS 3, row 4 (recorded: ct_json_empty_ct)", run_with(content_type=None), _NO_JSON_TYPE),
    Row("cut_json_is_400", "JSON that breaks off is refused.",
        "FACTS 3, row 4 (recorded: body_malformed)",
        run_with(body=b'{"inputs": {"prompt": "x"'), _MALFORMED),
    Row("json_in_single_quotes_is_400", "JSON in single quotes is refused.",
        "FACTS 3, row 4 (recorded: body_singlequote)", run_with(body=b"{'inputs':{}}"), _MALFORMED),
    Row("empty_body_is_400", "An empty body is refused.",
        "FACTS 3, row 4 (recorded: body_empty)", run_with(body=b""), _MALFORMED),
    Row("body_in_bad_utf8_is_400", "Bytes that are not UTF-8 are refused.",
        "FACTS 3, row 4 (recorded: body_badutf8)",
        run_with(body=b'{"inputs":{"prompt":"\xff\xfe"},"response_mode":"blocking","user":"u"}'),
        _MALFORMED),
    Row("body_in_gbk_is_400", "Chinese in GBK is refused.",
        "FACTS 3, row 4 (recorded: body_gbk)", run_with(body=_GBK.encode("gbk")), _MALFORMED),
    Row("null_body_is_500", "The host fails over JSON null.",
        "FACTS 3, row 4 (recorded: body_null)", run_with(body=b"null"), _HOST_FAILS),
    Row("list_body_is_500", "The host fails over a JSON list.",
        "FACTS 3, row 4 (recorded: body_list)", run_with(body=b"[]"), _HOST_FAILS),
    Row("string_body_is_500", "The host fails over a JSON string.",
        "FACTS 3, row 4 (recorded: body_string)", run_with(body=b'"abc"'), _HOST_FAILS),
    Row("number_body_is_500", "The host fails over a JSON number.",
        "FACTS 3, row 4 (recorded: body_number)", run_with(body=b"5"), _HOST_FAILS),

    # the user
    Row("missing_user_is_400", "Without a user the host says that it must be provided.",
        "FACTS 3, row 5 (recorded: user_missing)", run(user=LEFT_OUT), _NO_USER),
    Row("empty_user_is_400", "An empty user counts as none.",
        "FACTS 3, row 5 (recorded: user_empty)", run(user=""), _NO_USER),
    Row("null_user_is_400", "A null user counts as none.", "FACTS 3, row 5",
        run(user=None), _NO_USER),
    Row("user_zero_is_400", "The number 0 counts as no user.",
        "FACTS 3, row 5 (recorded: user_zero)", run(user=0), _NO_USER),
    Row("empty_list_as_user_is_400", "An empty list counts as no user.",
        "FACTS 3, row 5 (recorded: user_emptylist)", run(user=[]), _NO_USER),
    Row("user_of_256_characters_is_500", "The host fails over a user too long for its database.",
        "FACTS 3, row 6 (recorded: user_long256)", run(user="u" * 256), _HOST_FAILS),
    Row("nul_in_the_user_is_400", "The database's error about a NUL character gets through.",
        "FACTS 3, row 6", run(user="alg\x00123"), error("user_nul")),

    # the inputs
    Row("missing_inputs_is_400", "Without inputs the host names them as the missing parameter.",
        "FACTS 3, row 8 (recorded: block_inputs_missing)",
        run(inputs=LEFT_OUT), _no_inputs("blocking")),
    Row("null_inputs_is_400", "Inputs must not be null.",
        "FACTS 3, row 8 (recorded: block_inputs_null)",
        run(inputs=None),
        error("parameter_null", not_an_object("inputs", None), field="inputs")),
    Row("number_as_inputs_is_400", "A number as inputs gets the error text of Python's dict().",
        "FACTS 3, row 8 (recorded: block_inputs_number)",
        run(inputs=5), _bad_inputs("'int' object is not iterable", 5)),
    Row("boolean_as_inputs_is_400", "A boolean as inputs gets the error text of Python's dict().",
        "FACTS 3, row 8 (recorded: block_inputs_true)",
        run(inputs=True), _bad_inputs("'bool' object is not iterable", True)),
    Row("string_as_inputs_is_400", "A string as inputs gets the error text of Python's dict().",
        "FACTS 3, row 8 (recorded: block_inputs_string)", run(inputs="abc"),
        _bad_inputs("dictionary update sequence element #0 has length 1; 2 is required", "abc")),
    Row("empty_list_as_inputs_is_refused",
        "An empty list counts as empty inputs, so the prompt is missing.",
        "FACTS 3, row 8 (recorded: block_inputs_list)", run(inputs=[]), _not_pairs([])),
    Row("pairs_as_inputs_are_refused",
        "Two-letter strings are pairs of name and value, as Python's dict() takes them.",
        "FACTS 3, row 8 (recorded: block_inputs_listofstr)",
        run(inputs=["ab"]), _not_pairs(["ab"])),

    # response_mode and files
    Row("unknown_mode_is_400", "Another word than the two is not a valid choice.",
        "FACTS 3, row 8 (recorded: mode_invalid)", run(response_mode="foo"), _bad_mode("foo")),
    Row("null_mode_is_400", "Null is not a valid choice, though the field may be left out.",
        "FACTS 3, row 8 (recorded: mode_null)", run(response_mode=None), _NULL_MODE),
    Row("empty_mode_is_400", "An empty mode is not a valid choice.",
        "FACTS 3, row 8 (recorded: mode_empty)", run(response_mode=""), _bad_mode("")),
    Row("mode_in_capitals_is_400", "The two words are case sensitive.",
        "FACTS 3, row 8 (recorded: mode_upper)",
        run(response_mode="BLOCKING"), _bad_mode("BLOCKING")),
    Row("number_1_as_mode_is_400",
        "The number 1 is refused, though the document's table says \"1:streaming\".",
        "FACTS 10: the document's table numbers the modes (document line 25)",
        run(response_mode=1), _bad_mode(1)),
    Row("string_2_as_mode_is_400",
        "The string \"2\" is refused, though the document's table says \"2:blocking\".",
        "FACTS 10: the document's table numbers the modes (document line 25)",
        run(response_mode="2"), _bad_mode("2")),
    Row("list_of_modes_is_400", "A list of modes is refused, written as Python writes it.",
        "FACTS 3, row 8 (recorded: mode_listmix)",
        run(response_mode=["blocking", "streaming"]), _bad_mode(["blocking", "streaming"])),
    Row("object_as_mode_is_400", "An object as mode is refused, written as Python writes it.",
        "FACTS 3, row 8",
        run(response_mode={"mode": "blocking"}), _bad_mode({"mode": "blocking"})),
    Row("boolean_as_mode_is_400", "A boolean as mode is refused, written as Python writes it.",
        "FACTS 3, row 8 (recorded: mode_true)", run(response_mode=True), _bad_mode(True)),
    # with an unknown model, so that a host which accepts the files runs nothing
    Row("number_as_files_is_refused", "A number is not a list of files.",
        "FACTS 3, row 8 and 9.1 (recorded: files_disabled_number)",
        _run_with_bad_choice(files=3), _bad_files(3)),

    # the prompt
    Row("missing_prompt_is_400", "Without a prompt the host says that the form requires it.",
        "FACTS 3, row 11 (recorded: block_prompt_missing)",
        _run_without_text(), _NO_PROMPT),
    Row("null_prompt_is_400", "A null prompt counts as missing.", "FACTS 3, row 11",
        _run_with_text(None), _NO_PROMPT),
    # with an unknown model, so that a version which accepts an empty prompt runs nothing
    Row("empty_prompt_counts_as_missing", "An empty prompt counts as missing.",
        "FACTS 3, row 11 and 9.1", _run_with_bad_choice(("prompt", "")), _EMPTY_PROMPT),
    Row("prompt_zero_is_refused", "The number 0 counts as no prompt.",
        "FACTS 3, row 11, 9.0 and 9.1 (recorded: block_prompt_zero)",
        _run_with_text(0), _FALSY_PROMPT),
    Row("prompt_false_is_refused", "False counts as no prompt.",
        "FACTS 3, row 11, 9.0 and 9.1 (recorded: block_prompt_false)",
        _run_with_text(False), _FALSY_PROMPT),
    Row("empty_list_as_prompt_is_refused", "An empty list counts as no prompt.",
        "FACTS 3, row 11, 9.0 and 9.1 (recorded: block_prompt_emptylist)",
        _run_with_text([]), _FALSY_PROMPT),
    Row("number_as_prompt_is_not_a_string", "A number is not a prompt.",
        "FACTS 3, row 11 and 9.1 (recorded: block_prompt_number)",
        _run_with_text(123), _PROMPT_TYPE),
    Row("boolean_as_prompt_is_not_a_string", "A boolean is not a prompt.",
        "FACTS 3, row 11 and 9.1 (recorded: block_prompt_true)",
        _run_with_text(True), _PROMPT_TYPE),
    Row("list_as_prompt_is_not_a_string", "A list is not a prompt.",
        "FACTS 3, row 11 and 9.1 (recorded: block_prompt_list)",
        _run_with_text(["a"]), _PROMPT_TYPE),
    Row("object_as_prompt_is_not_a_string", "An object is not a prompt.",
        "FACTS 3, row 11 and 9.1 (recorded: block_prompt_dict)",
        _run_with_text({"a": 1}), _PROMPT_TYPE),
    Row("prompt_beyond_the_form_is_400",
        "A prompt one character longer than the form allows is refused; Chinese counts too.",
        "FACTS 3, row 11 (recorded: block_prompt_len1001, block_model_bad_prompt_long)",
        _prompt_too_long, error("input_too_long", variable=text_variable, max_length=_max_length)),

    # the model
    Row("unknown_model_is_400_and_names_the_models",
        "An unknown model is refused with the list of those that the app has, in Python's style.",
        "FACTS 3, row 11 (recorded: block_unknown_model)",
        _run_with_bad_choice(), _NO_SUCH_MODEL),
    Row("model_in_capitals_is_400", "A model's name is case sensitive.",
        "FACTS 3, row 11: case sensitive", _model_in_capitals, _NO_SUCH_MODEL),
    Row("number_as_model_is_not_a_string", "A number is not a model.", "FACTS 3, row 11 and 9.1",
        _run_with_choice(123), _MODEL_TYPE),

    # which of two errors is reported
    Row("user_is_checked_before_the_fields",
        "A missing user is reported before missing inputs and a wrong mode.",
        "FACTS 3, order (recorded: order_user_inputs)",
        run(inputs=LEFT_OUT, response_mode="foo", user=LEFT_OUT), _NO_USER),
    Row("inputs_are_checked_before_the_mode", "Missing inputs are reported before a wrong mode.",
        "FACTS 3, order (recorded: order_inputs_and_mode)",
        run(inputs=LEFT_OUT, response_mode="foo"), _no_inputs("foo", not_a_mode("foo"))),
    Row("files_are_checked_before_the_mode", "Wrong files are reported before a wrong mode.",
        "FACTS 3, order and 9.1 (recorded: order_files_and_mode)",
        run(response_mode="foo", files=5), _bad_files(5, not_a_mode("foo"))),
    Row("mode_is_checked_before_the_prompt", "A wrong mode is reported before a missing prompt.",
        "FACTS 3, order", _run_without_text(response_mode="foo"), _bad_mode("foo")),
    Row("prompt_is_checked_before_the_model",
        "A missing prompt is reported before an unknown model: the form's order counts.",
        "FACTS 3, order (recorded: block_two_errors)",
        _run_with_bad_choice_alone, _NO_PROMPT),

    # streams
    Row("refused_stream_is_plain_json", "A streaming request that is refused gets the same JSON.",
        "FACTS 3: identical for streaming (recorded: stream_unknown_model)",
        _refused_stream(_run_with_bad_choice(choice="x", response_mode="streaming")),
        _NO_SUCH_MODEL),
    Row("refused_stream_without_prompt_is_plain_json",
        "A streaming request without a prompt gets the same JSON as a blocking one.",
        "FACTS 3: identical for streaming",
        _refused_stream(_run_without_text(response_mode="streaming")), _NO_PROMPT),

    # other apps
    Row("key_of_a_chat_app_is_400", "A chat app's key does not run workflows.",
        "FACTS 3, row 7 (recorded: chat_app_key)",
        run(_CHAT), error("not_workflow_app"), needs=(_CHAT,)),
    Row("json_is_checked_before_the_kind_of_app",
        "With a chat app's key, JSON that breaks off is reported before the kind of app.",
        "FACTS 3, order (recorded: order_chat_malformed)",
        run_with(body=b"{", app=_CHAT), _MALFORMED, needs=(_CHAT,)),
    Row("unpublished_workflow_is_400", "A workflow that was never published does not run.",
        "FACTS 3, row 9 (recorded: unpublished)",
        run(_UNPUBLISHED), error("workflow_unpublished"), needs=(_UNPUBLISHED,)),
    Row("publishing_is_checked_before_the_prompt",
        "With an unpublished app's key, that is reported before a missing prompt.",
        "FACTS 3, order (recorded: order_unpublished_prompt)",
        run(_UNPUBLISHED, inputs={}), error("workflow_unpublished"), needs=(_UNPUBLISHED,)),
    Row("disabled_app_is_refused", "The key of an app whose API is switched off finds nothing.",
        "FACTS 3, row 3 and 9.1 (recorded: api_disabled)",
        run(_DISABLED), _NO_APP, needs=(_DISABLED,)),
    Row("deleted_app_is_refused", "The key of a deleted app finds nothing.",
        "FACTS 3, row 3 and 9.1", run(_DELETED), _NO_APP, needs=(_DELETED,)),
    Row("app_is_checked_before_the_json",
        "With a disabled app's key, JSON that breaks off is not even read.",
        "FACTS 3, order and 9.1 (recorded: api_disabled_malformed)",
        run_with(body=b"{", app=_DISABLED), _NO_APP, needs=(_DISABLED,)),
])
# fmt: on


# How errors are written
# -------------------------------------------------------------------------------------------------


def _errors_of_both_shapes(target: Target) -> tuple[Exchange, Exchange]:
    return changed_run(target, user=LEFT_OUT), changed_run(target, response_mode="foo")


@free_check(Level.HOST, "FACTS 3: two error shapes (recorded: user_missing)")
def error_has_its_members_in_order(target: Target) -> None:
    """Most errors are a JSON object of code, message, status, in this order."""
    expect_error_order(changed_run(target, user=LEFT_OUT), _NO_USER, target.basis)


@free_check(Level.HOST, "FACTS 3: two error shapes (recorded: mode_invalid)")
def field_error_has_its_members_in_order(target: Target) -> None:
    """A refused field's error is code, message, params, in this order, and has no status."""
    expect_error_order(changed_run(target, response_mode="foo"), _bad_mode("foo"), target.basis)


@free_check(Level.HOST, "FACTS 3, row 4: note the order (recorded: user_long256)")
def host_failure_has_its_members_in_order(target: Target) -> None:
    """The host's own failure is message, code, in this order, and has no status."""
    expect_error_order(changed_run(target, user="u" * 256), _HOST_FAILS, target.basis)


@free_check(Level.HOST, "FACTS 3 (recorded: user_missing, block_prompt_missing)")
def status_in_the_error_is_the_http_status(target: Target) -> None:
    """Where an error has a status, it is the response's own."""
    without_text = changed_run(target, inputs=_without_text(target))
    for response in (changed_run(target, user=LEFT_OUT), without_text):
        got = response.json_object().get("status")
        expect_equal(got, response.status, "status in the body", response)


@free_check(Level.HOST, "FACTS 1.3 (recorded: user_missing, mode_invalid)")
def errors_are_json_without_charset(target: Target) -> None:
    """The Content-Type of an error is application/json and nothing more."""
    for response in _errors_of_both_shapes(target):
        expect_equal(response.header("Content-Type"), "application/json", "Content-Type", response)


@free_check(Level.HOST, "FACTS 1.7 (recorded: user_missing, mode_invalid)")
def errors_end_with_one_newline(target: Target) -> None:
    """The JSON of an error is one line and ends with a newline, which Content-Length counts."""
    for response in _errors_of_both_shapes(target):
        expected = "a closing brace and one newline at the end"
        expect(response.body.endswith(b"}\n"), expected, response.body[-20:], response)
        expect_equal(response.body.count(b"\n"), 1, "number of newlines", response)
        length = response.header("Content-Length")
        expect_equal(length, str(len(response.body)), "Content-Length", response)


@free_check(Level.HOST, "FACTS 1.7 (recorded: user_missing, mode_invalid)")
def errors_are_written_in_the_hosts_style(target: Target) -> None:
    """The JSON of an error has a space after each colon and comma, and no other."""
    for response in _errors_of_both_shapes(target):
        expect_error_style(response, target.basis)


@free_check(Level.HOST, "FACTS 1.7 (captured on 0.6.4: mode_chinese)")
def errors_escape_chinese(target: Target) -> None:
    r"""Chinese in an error is written as ``\uXXXX``, in lower-case hexadecimal."""
    response = changed_run(target, response_mode="流式")
    expect_error(response, _bad_mode("流式"), target.basis)
    expected = rb"\u6d41\u5f0f"
    expect(expected in response.body, f"{expected.decode()} in the body", response.text, response)
