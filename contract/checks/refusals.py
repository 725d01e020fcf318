"""Refusals of a run: every row of FACTS 3 that costs nothing, one wrong thing at a time, and which
of two comes first.

Each asks for what a true host does not run; a host that runs it all the same is found out by that.
"""

from __future__ import annotations

import functools
import json

from contract.check import Capability, Level, free_check
from contract.error_body import (
    HOST_FAILED,
    INTERNAL_ERROR,
    MALFORMED,
    NO_APP,
    NO_USER,
    NOT_JSON,
    NOT_WORKFLOW,
    NUL_IN_TEXT,
    UNPUBLISHED,
    Refusal,
    expect_error_style,
    expect_refused,
    expect_refused_as,
    expect_some_refusal,
    invalid,
    invalid_field,
    no_choice,
    refusal,
    required,
)
from contract.evidence import changed_run
from contract.form import choice_field, form_field
from contract.result import Skipped, expect, expect_equal
from contract.target import LEFT_OUT, PROMPT, RUN_PATH, USER, Target
from dify_wire.exchange import Exchange, Request

_REQUEST = "openapi.yaml#/components/schemas/RunRequest"
_GBK = json.dumps(
    {"inputs": {"prompt": PROMPT}, "response_mode": "blocking", "user": USER}, ensure_ascii=False
)
_NOT_ITERABLE = "'int' object is not iterable"
_FILES_NUMBER = {"0.6.4": invalid_field("files", _NOT_ITERABLE), "0.15.3": INTERNAL_ERROR}

_host_check = functools.partial(free_check, Level.HOST)
_version_check = functools.partial(free_check, Level.VERSION)


def _body(target: Target, body: bytes, key: str | None = None) -> Exchange:
    """The answer to a body of any bytes that says it is JSON."""
    return target.send(target.raw_request("POST", RUN_PATH, body, key))


def _typed(target: Target, content_type: str | None, body: bytes | None = None) -> Exchange:
    """The answer to a run under another Content-Type, or none."""
    run = target.run_request()
    headers = run.headers[:1] + ((("Content-Type", content_type),) if content_type else ())
    return target.send(Request(run.method, run.path, headers, run.body if body is None else body))


# What the document says is required
# ----------------------------------------------------------------------------------


@free_check(Level.DOCUMENT, f"{_REQUEST}/required (document lines 17, 24)")
def run_without_inputs_is_refused(target: Target) -> None:
    """``inputs`` is required."""
    expect_some_refusal(changed_run(target, inputs=LEFT_OUT))


@free_check(Level.DOCUMENT, f"{_REQUEST}/required (document lines 21, 26)")
def run_without_a_user_is_refused(target: Target) -> None:
    """``user`` is required."""
    expect_some_refusal(changed_run(target, user=LEFT_OUT))


@free_check(Level.DOCUMENT, "openapi.yaml#/components/schemas/Inputs/required (document line 30)")
def run_without_a_prompt_is_refused(target: Target) -> None:
    """``prompt`` is required among the inputs."""
    expect_some_refusal(changed_run(target, inputs={}))


@free_check(Level.DOCUMENT, "openapi.yaml#/components/schemas/ResponseMode (document lines 18-20)")
def run_in_an_unknown_mode_is_refused(target: Target) -> None:
    """``response_mode`` is one of the document's two words."""
    expect_some_refusal(changed_run(target, response_mode="foo"))


@free_check(Level.DOCUMENT, "openapi.yaml#/components/schemas/ModelName (document line 31)")
def run_with_an_unknown_model_is_refused(target: Target) -> None:
    """``model_name`` is one of the models that the document names."""
    choice_field(target, "model_name")
    expect_some_refusal(changed_run(target, inputs={"prompt": PROMPT, "model_name": "nope"}))


# The content type and the JSON
# ---------------------------------------------------------------------------------------


@_host_check("FACTS 3, row 4 (recorded: ct_form)")
def form_body_is_415(target: Target) -> None:
    """A form is no JSON."""
    body = b"inputs=%7B%7D&response_mode=blocking&user=u"
    expect_refused(_typed(target, "application/x-www-form-urlencoded", body), NOT_JSON)


@_host_check("FACTS 3, row 4 (recorded: ct_text)")
def json_called_plain_text_is_415(target: Target) -> None:
    """JSON that is called plain text is not read."""
    expect_refused(_typed(target, "text/plain"), NOT_JSON)


@_host_check("FACTS 3, row 4 (recorded: ct_octet)")
def json_called_bytes_is_415(target: Target) -> None:
    """JSON that is called a stream of bytes is not read."""
    expect_refused(_typed(target, "application/octet-stream"), NOT_JSON)


@_host_check("FACTS 3, row 4 (recorded: ct_json_empty_ct)")
def body_without_content_type_is_415(target: Target) -> None:
    """JSON without a Content-Type is not read."""
    expect_refused(_typed(target, None), NOT_JSON)


@_host_check("FACTS 3, row 4 (recorded: body_malformed)")
def cut_json_is_400(target: Target) -> None:
    """JSON that breaks off is not understood."""
    expect_refused(_body(target, b'{"inputs": {"prompt": "x"'), MALFORMED)


@_host_check("FACTS 3, row 4 (recorded: body_singlequote)")
def json_in_single_quotes_is_400(target: Target) -> None:
    """JSON in single quotes is not understood."""
    expect_refused(_body(target, b"{'inputs':{}}"), MALFORMED)


@_host_check("FACTS 3, row 4 (recorded: body_empty)")
def empty_body_is_400(target: Target) -> None:
    """An empty body is not understood."""
    expect_refused(_body(target, b""), MALFORMED)


@_host_check("FACTS 3, row 4 (recorded: body_badutf8)")
def body_in_bad_utf8_is_400(target: Target) -> None:
    """Bytes that are no UTF-8 are not understood."""
    body = b'{"inputs":{"prompt":"\xff\xfe"},"response_mode":"blocking","user":"u"}'
    expect_refused(_body(target, body), MALFORMED)


@_host_check("FACTS 3, row 4 (recorded: body_gbk)")
def body_in_gbk_is_400(target: Target) -> None:
    """Chinese in GBK is not understood."""
    expect_refused(_body(target, _GBK.encode("gbk")), MALFORMED)


@_host_check("FACTS 3, row 4 (recorded: body_null)")
def null_body_is_500(target: Target) -> None:
    """The host fails over JSON null."""
    expect_refused(_body(target, b"null"), HOST_FAILED)


@_host_check("FACTS 3, row 4 (recorded: body_list)")
def list_body_is_500(target: Target) -> None:
    """The host fails over a JSON list."""
    expect_refused(_body(target, b"[]"), HOST_FAILED)


@_host_check("FACTS 3, row 4 (recorded: body_string)")
def string_body_is_500(target: Target) -> None:
    """The host fails over a JSON string."""
    expect_refused(_body(target, b'"abc"'), HOST_FAILED)


@_host_check("FACTS 3, row 4 (recorded: body_number)")
def number_body_is_500(target: Target) -> None:
    """The host fails over a JSON number."""
    expect_refused(_body(target, b"5"), HOST_FAILED)


# The user
# ------------------------------------------------------------------------------------------------------------


@_host_check("FACTS 3, row 5 (recorded: user_missing)")
def missing_user_is_400(target: Target) -> None:
    """Without a user the host says that it must be provided."""
    expect_refused(changed_run(target, user=LEFT_OUT), NO_USER)


@_host_check("FACTS 3, row 5 (recorded: user_empty)")
def empty_user_is_400(target: Target) -> None:
    """An empty user counts as none."""
    expect_refused(changed_run(target, user=""), NO_USER)


@_host_check("FACTS 3, row 5")
def null_user_is_400(target: Target) -> None:
    """A null user counts as none."""
    expect_refused(changed_run(target, user=None), NO_USER)


@_host_check("FACTS 3, row 5 (recorded: user_zero)")
def user_zero_is_400(target: Target) -> None:
    """The number 0 counts as no user."""
    expect_refused(changed_run(target, user=0), NO_USER)


@_host_check("FACTS 3, row 5 (recorded: user_emptylist)")
def empty_list_as_user_is_400(target: Target) -> None:
    """An empty list counts as no user."""
    expect_refused(changed_run(target, user=[]), NO_USER)


@_host_check("FACTS 3, row 6 (recorded: user_long256)")
def user_of_256_characters_is_500(target: Target) -> None:
    """The host fails over a user that its database has no room for."""
    expect_refused(changed_run(target, user="u" * 256), HOST_FAILED)


@_host_check("FACTS 3, row 6")
def nul_in_the_user_is_400(target: Target) -> None:
    """The database's complaint about a NUL character gets through."""
    expect_refused(changed_run(target, user="alg\x00123"), NUL_IN_TEXT)


# The inputs
# ----------------------------------------------------------------------------------------------------------


@_host_check("FACTS 3, row 8 (recorded: block_inputs_missing)")
def missing_inputs_is_400(target: Target) -> None:
    """Without inputs the host names them as the missing parameter."""
    expected = invalid_field("inputs", "Missing required parameter in the JSON body")
    expect_refused(changed_run(target, inputs=LEFT_OUT), expected)


@_host_check("FACTS 3, row 8 (recorded: block_inputs_null)")
def null_inputs_is_400(target: Target) -> None:
    """Inputs must not be null."""
    expect_refused(changed_run(target, inputs=None), invalid_field("inputs", "Must not be null!"))


@_host_check("FACTS 3, row 8 (recorded: block_inputs_number)")
def number_as_inputs_is_400(target: Target) -> None:
    """A number is no inputs, as Python's dict() says it."""
    expect_refused(changed_run(target, inputs=5), invalid_field("inputs", _NOT_ITERABLE))


@_host_check("FACTS 3, row 8 (recorded: block_inputs_true)")
def boolean_as_inputs_is_400(target: Target) -> None:
    """A boolean is no inputs, as Python's dict() says it."""
    expect_refused(
        changed_run(target, inputs=True), invalid_field("inputs", "'bool' object is not iterable")
    )


@_host_check("FACTS 3, row 8 (recorded: block_inputs_string)")
def string_as_inputs_is_400(target: Target) -> None:
    """A string is no inputs, as Python's dict() says it."""
    message = "dictionary update sequence element #0 has length 1; 2 is required"
    expect_refused(changed_run(target, inputs="abc"), invalid_field("inputs", message))


@_host_check("FACTS 3, row 8 (recorded: block_inputs_list)")
def empty_list_as_inputs_lacks_the_prompt(target: Target) -> None:
    """An empty list is taken for no inputs at all, so that the prompt is missing."""
    expect_refused(changed_run(target, inputs=[]), required("prompt"))


@_host_check("FACTS 3, row 8 (recorded: block_inputs_listofstr)")
def pairs_as_inputs_lack_the_prompt(target: Target) -> None:
    """A list of two-letter strings is taken for pairs of name and value, as Python's dict() takes
    it.
    """
    expect_refused(changed_run(target, inputs=["ab"]), required("prompt"))


# response_mode and files
# ---------------------------------------------------------------------------------------------


@_host_check("FACTS 3, row 8 (recorded: mode_invalid)")
def unknown_mode_is_400(target: Target) -> None:
    """Another word than the two is not a valid choice."""
    expect_refused(changed_run(target, response_mode="foo"), no_choice("foo"))


@_host_check("FACTS 3, row 8 (recorded: mode_null)")
def null_mode_is_400(target: Target) -> None:
    """Null is not a valid choice, though the field may be left out."""
    expect_refused(changed_run(target, response_mode=None), no_choice("None"))


@_host_check("FACTS 3, row 8 (recorded: mode_empty)")
def empty_mode_is_400(target: Target) -> None:
    """An empty mode is not a valid choice."""
    expect_refused(changed_run(target, response_mode=""), no_choice(""))


@_host_check("FACTS 3, row 8 (recorded: mode_upper)")
def mode_in_capitals_is_400(target: Target) -> None:
    """The two words are told from others by their case."""
    expect_refused(changed_run(target, response_mode="BLOCKING"), no_choice("BLOCKING"))


@_host_check("FACTS 10: the document's table numbers the modes (document line 25)")
def number_1_as_mode_is_400(target: Target) -> None:
    """The document's "1:streaming" is no value: the number 1 is refused."""
    expect_refused(changed_run(target, response_mode=1), no_choice("1"))


@_host_check("FACTS 10: the document's table numbers the modes (document line 25)")
def string_2_as_mode_is_400(target: Target) -> None:
    """The document's "2:blocking" is no value: the string "2" is refused."""
    expect_refused(changed_run(target, response_mode="2"), no_choice("2"))


@_host_check("FACTS 3, row 8 (recorded: mode_listmix)")
def list_of_modes_is_400(target: Target) -> None:
    """A list of modes is refused, written as Python writes it."""
    expected = no_choice("['blocking', 'streaming']")
    expect_refused(changed_run(target, response_mode=["blocking", "streaming"]), expected)


@_host_check("FACTS 3, row 8")
def object_as_mode_is_400(target: Target) -> None:
    """An object as ``response_mode``, or a truth value, is refused with Python's text of it."""
    expect_refused(
        changed_run(target, response_mode={"mode": "blocking"}), no_choice("{'mode': 'blocking'}")
    )
    expect_refused(changed_run(target, response_mode=True), no_choice("True"))


@_version_check("FACTS 3, row 8 and 9.1 (recorded: files_disabled_number)")
def number_as_files_is_refused(target: Target) -> None:
    """A number is no list of files."""
    # With a model that is none, so that a later version which lets the files pass runs nothing for
    # it.
    choice_field(target, "model_name")
    answer = changed_run(target, inputs={"prompt": PROMPT, "model_name": "nope"}, files=3)
    expect_refused_as(answer, _FILES_NUMBER)


# The prompt
# ----------------------------------------------------------------------------------------------------------


def _of_type(target: Target, variable: str) -> dict[str, Refusal]:
    """How the versions say that ``variable`` is no string (FACTS 9.1)."""
    message = f"{variable} in input form must be a string"
    kind = form_field(target, variable).kind
    return {"0.6.4": invalid(message), "0.15.3": invalid(f"(type '{kind}') {message}")}


def _falsy(target: Target) -> dict[str, Refusal]:
    """How the versions take 0, false and an empty list: as missing, and later as no string."""
    later = _of_type(target, "prompt")
    return {"0.6.4": required("prompt"), "0.6.9": later["0.6.4"], "0.15.3": later["0.15.3"]}


def _not_among(target: Target) -> Refusal:
    """How the host says that a model is none of the app's, in the order in which the app has
    them.
    """
    options = list(choice_field(target, "model_name").options)
    return invalid(f"model_name in input form must be one of the following: {options}")


@_host_check("FACTS 3, row 11 (recorded: block_prompt_missing)")
def missing_prompt_is_400(target: Target) -> None:
    """Without a prompt the host says that the form requires it."""
    expect_refused(changed_run(target, inputs={}), required("prompt"))


@_host_check("FACTS 3, row 11")
def null_prompt_is_400(target: Target) -> None:
    """A null prompt counts as missing."""
    expect_refused(changed_run(target, inputs={"prompt": None}), required("prompt"))


@_version_check("FACTS 3, row 11 and 9.1")
def empty_prompt_counts_as_missing(target: Target) -> None:
    """An empty prompt counts as missing."""
    # A model that is none comes second, so that a version which takes an empty prompt runs nothing
    # for it.
    of_versions = {"0.6.4": required("prompt"), "0.15.3": _not_among(target)}
    expect_refused_as(changed_run(target, inputs={"prompt": "", "model_name": "nope"}), of_versions)


@_version_check("FACTS 3, row 11, 9.0 and 9.1 (recorded: block_prompt_zero)")
def prompt_zero_counts_as_missing(target: Target) -> None:
    """The number 0 counts as no prompt."""
    expect_refused_as(changed_run(target, inputs={"prompt": 0}), _falsy(target))


@_version_check("FACTS 3, row 11, 9.0 and 9.1 (recorded: block_prompt_false)")
def prompt_false_counts_as_missing(target: Target) -> None:
    """False counts as no prompt."""
    expect_refused_as(changed_run(target, inputs={"prompt": False}), _falsy(target))


@_version_check("FACTS 3, row 11, 9.0 and 9.1 (recorded: block_prompt_emptylist)")
def empty_list_as_prompt_counts_as_missing(target: Target) -> None:
    """An empty list counts as no prompt."""
    expect_refused_as(changed_run(target, inputs={"prompt": []}), _falsy(target))


@_version_check("FACTS 3, row 11 and 9.1 (recorded: block_prompt_number)")
def number_as_prompt_is_no_string(target: Target) -> None:
    """A number is no prompt."""
    expect_refused_as(changed_run(target, inputs={"prompt": 123}), _of_type(target, "prompt"))


@_version_check("FACTS 3, row 11 and 9.1 (recorded: block_prompt_true)")
def boolean_as_prompt_is_no_string(target: Target) -> None:
    """A boolean is no prompt."""
    expect_refused_as(changed_run(target, inputs={"prompt": True}), _of_type(target, "prompt"))


@_version_check("FACTS 3, row 11 and 9.1 (recorded: block_prompt_list)")
def list_as_prompt_is_no_string(target: Target) -> None:
    """A list is no prompt."""
    expect_refused_as(changed_run(target, inputs={"prompt": ["a"]}), _of_type(target, "prompt"))


@_version_check("FACTS 3, row 11 and 9.1 (recorded: block_prompt_dict)")
def object_as_prompt_is_no_string(target: Target) -> None:
    """An object is no prompt."""
    expect_refused_as(changed_run(target, inputs={"prompt": {"a": 1}}), _of_type(target, "prompt"))


@_host_check("FACTS 3, row 11 (recorded: block_prompt_len1001, block_model_bad_prompt_long)")
def prompt_beyond_the_form_is_400(target: Target) -> None:
    """A prompt that is one character longer than the app's form allows is refused; Chinese counts
    by characters.
    """
    limit = form_field(target, "prompt").max_length
    if not limit:
        raise Skipped("the app sets its prompt no greatest length")
    inputs = {"model_name": "nope", "prompt": "猫" * (limit + 1)}
    message = f"prompt in input form must be less than {limit} characters"
    expect_refused(changed_run(target, inputs=inputs), invalid(message))


# The model
# -----------------------------------------------------------------------------------------------------------


@_host_check("FACTS 3, row 11 (recorded: block_unknown_model)")
def unknown_model_is_400_and_names_the_models(target: Target) -> None:
    """A model that the app does not have is refused with the list of those it has, as Python writes
    it.
    """
    expected = _not_among(target)
    expect_refused(changed_run(target, inputs={"prompt": PROMPT, "model_name": "nope"}), expected)


@_host_check("FACTS 3, row 11: case sensitive")
def model_in_capitals_is_400(target: Target) -> None:
    """A model's name is told from others by its case."""
    name = choice_field(target, "model_name").options[0].swapcase()
    expect_refused(
        changed_run(target, inputs={"prompt": PROMPT, "model_name": name}), _not_among(target)
    )


@_version_check("FACTS 3, row 11 and 9.1")
def number_as_model_is_no_string(target: Target) -> None:
    """A number is no model."""
    of_versions = _of_type(target, "model_name")
    expect_refused_as(
        changed_run(target, inputs={"prompt": PROMPT, "model_name": 123}), of_versions
    )


# The order
# -----------------------------------------------------------------------------------------------------------


@_host_check("FACTS 3, order (recorded: order_user_inputs)")
def user_is_judged_before_the_fields(target: Target) -> None:
    """A missing user is told before missing inputs and a wrong mode."""
    expect_refused(
        changed_run(target, inputs=LEFT_OUT, response_mode="foo", user=LEFT_OUT), NO_USER
    )


@_host_check("FACTS 3, order (recorded: order_inputs_and_mode)")
def inputs_are_judged_before_the_mode(target: Target) -> None:
    """Missing inputs are told before a wrong mode."""
    expected = invalid_field("inputs", "Missing required parameter in the JSON body")
    expect_refused(changed_run(target, inputs=LEFT_OUT, response_mode="foo"), expected)


@_version_check("FACTS 3, order and 9.1 (recorded: order_files_and_mode)")
def files_are_judged_before_the_mode(target: Target) -> None:
    """Wrong files are told before a wrong mode."""
    expect_refused_as(changed_run(target, response_mode="foo", files=5), _FILES_NUMBER)


@_host_check("FACTS 3, order")
def mode_is_judged_before_the_prompt(target: Target) -> None:
    """A wrong mode is told before a missing prompt."""
    expect_refused(changed_run(target, inputs={}, response_mode="foo"), no_choice("foo"))


@_host_check("FACTS 3, order (recorded: block_two_errors)")
def prompt_is_judged_before_the_model(target: Target) -> None:
    """A missing prompt is told before an unknown model: the form's variables are judged in their
    order.
    """
    choice_field(target, "model_name")
    expect_refused(changed_run(target, inputs={"model_name": "nope"}), required("prompt"))


# Streams
# -------------------------------------------------------------------------------------------------------------


@_host_check("FACTS 3: identical for streaming (recorded: stream_unknown_model)")
def refused_stream_is_plain_json(target: Target) -> None:
    """A streaming request that is refused gets the same JSON, and no stream."""
    expected = _not_among(target)
    inputs = {"prompt": PROMPT, "model_name": "x"}
    expect_refused(changed_run(target, inputs=inputs, response_mode="streaming"), expected)


@_host_check("FACTS 3: identical for streaming")
def refused_stream_without_prompt_is_plain_json(target: Target) -> None:
    """A streaming request without a prompt gets the same JSON as a blocking one, and no stream."""
    expect_refused(changed_run(target, inputs={}, response_mode="streaming"), required("prompt"))


# The envelopes
# -------------------------------------------------------------------------------------------------------


@_host_check("FACTS 3: two error shapes (recorded: user_missing)")
def error_tells_code_message_status_in_order(target: Target) -> None:
    """Most errors are a JSON object of code, message, status, in this order."""
    answer = changed_run(target, user=LEFT_OUT)
    expect_equal(list(answer.json_object()), ["code", "message", "status"], "members", answer)


@_host_check("FACTS 3: two error shapes (recorded: mode_invalid)")
def field_error_tells_code_message_params_in_order(target: Target) -> None:
    """A refused field's error is code, message, params, in this order, and has no status."""
    answer = changed_run(target, response_mode="foo")
    expect_equal(list(answer.json_object()), ["code", "message", "params"], "members", answer)


@_host_check("FACTS 3, row 4: note the order (recorded: user_long256)")
def host_failure_tells_message_code_in_order(target: Target) -> None:
    """The host's own failure is message, code, in this order, and has no status."""
    answer = changed_run(target, user="u" * 256)
    expect_equal(list(answer.json_object()), ["message", "code"], "members", answer)


@_host_check("FACTS 3 (recorded: user_missing, block_prompt_missing)")
def status_in_the_error_is_the_http_status(target: Target) -> None:
    """Where an error tells a status, it is the answer's own."""
    for answer in (changed_run(target, user=LEFT_OUT), changed_run(target, inputs={})):
        expect_equal(
            answer.json_object().get("status"), answer.status, "status in the body", answer
        )


@_host_check("FACTS 1.3 (recorded: user_missing, mode_invalid)")
def errors_are_json_without_charset(target: Target) -> None:
    """The Content-Type of an error is application/json and nothing more."""
    for answer in (changed_run(target, user=LEFT_OUT), changed_run(target, response_mode="foo")):
        expect_equal(answer.header("Content-Type"), "application/json", "Content-Type", answer)


@_host_check("FACTS 1.7 (recorded: user_missing, mode_invalid)")
def errors_end_with_one_newline(target: Target) -> None:
    """The JSON of an error is one line and ends with a newline, which Content-Length counts."""
    for answer in (changed_run(target, user=LEFT_OUT), changed_run(target, response_mode="foo")):
        expect(
            answer.body.endswith(b"}\n"),
            "a closing brace and one newline at the end",
            answer.body[-20:],
            answer,
        )
        expect_equal(answer.body.count(b"\n"), 1, "number of newlines", answer)
        expect_equal(
            answer.header("Content-Length"), str(len(answer.body)), "Content-Length", answer
        )


@_host_check("FACTS 1.7 (recorded: user_missing, mode_invalid)")
def errors_are_written_with_blanks(target: Target) -> None:
    """The JSON of an error has a blank after each colon and comma, and no other."""
    for answer in (changed_run(target, user=LEFT_OUT), changed_run(target, response_mode="foo")):
        expect_error_style(answer)


@_host_check("FACTS 1.7 (captured on 0.6.4: mode_chinese)")
def errors_escape_chinese(target: Target) -> None:
    r"""Chinese in an error is written as ``\uXXXX``, in lower-case hexadecimal."""
    answer = changed_run(target, response_mode="流式")
    expect_refused(answer, no_choice("流式"))
    expect(rb"\u6d41\u5f0f" in answer.body, r"\u6d41\u5f0f in the body", answer.text, answer)


# Other apps' keys
# ----------------------------------------------------------------------------------------------------

_GONE = {
    "0.6.4": NO_APP,
    "0.15.3": refusal(403, "forbidden", "The app's API service has been disabled."),
    "0.15.3 (status)": refusal(403, "forbidden", "The app's status is abnormal."),
    "0.15.3 (deleted)": refusal(403, "forbidden", "The app no longer exists."),
}
"""How the versions refuse an app that is switched off, abnormal or gone (FACTS 9.1)."""


@_host_check("FACTS 3, row 7 (recorded: chat_app_key)", Capability.CHAT_KEY)
def key_of_a_chat_app_is_400(target: Target) -> None:
    """A chat app's key does not run workflows."""
    expect_refused(
        target.send(target.run_request(target.app_key(Capability.CHAT_KEY))), NOT_WORKFLOW
    )


@_host_check("FACTS 3, order (recorded: order_chat_malformed)", Capability.CHAT_KEY)
def json_is_judged_before_the_kind_of_app(target: Target) -> None:
    """With a chat app's key, JSON that breaks off is told before the kind of app."""
    expect_refused(_body(target, b"{", target.app_key(Capability.CHAT_KEY)), MALFORMED)


@_host_check("FACTS 3, row 9 (recorded: unpublished)", Capability.UNPUBLISHED_KEY)
def unpublished_workflow_is_400(target: Target) -> None:
    """A workflow that was never published does not run."""
    expect_refused(
        target.send(target.run_request(target.app_key(Capability.UNPUBLISHED_KEY))), UNPUBLISHED
    )


@_host_check("FACTS 3, order (recorded: order_unpublished_prompt)", Capability.UNPUBLISHED_KEY)
def publishing_is_judged_before_the_prompt(target: Target) -> None:
    """With an unpublished app's key, that is told before a missing prompt."""
    key = target.app_key(Capability.UNPUBLISHED_KEY)
    expect_refused(target.send(target.run_request(key, inputs={})), UNPUBLISHED)


@_version_check("FACTS 3, row 3 and 9.1 (recorded: api_disabled)", Capability.DISABLED_KEY)
def disabled_app_is_not_found(target: Target) -> None:
    """The key of an app whose API is switched off finds nothing."""
    expect_refused_as(
        target.send(target.run_request(target.app_key(Capability.DISABLED_KEY))), _GONE
    )


@_version_check("FACTS 3, row 3 and 9.1", Capability.DELETED_KEY)
def deleted_app_is_not_found(target: Target) -> None:
    """The key of an app that is gone finds nothing."""
    expect_refused_as(
        target.send(target.run_request(target.app_key(Capability.DELETED_KEY))), _GONE
    )


@_version_check(
    "FACTS 3, order and 9.1 (recorded: api_disabled_malformed)", Capability.DISABLED_KEY
)
def app_is_judged_before_the_json(target: Target) -> None:
    """With a disabled app's key, JSON that breaks off is not even looked at."""
    expect_refused_as(_body(target, b"{", target.app_key(Capability.DISABLED_KEY)), _GONE)
