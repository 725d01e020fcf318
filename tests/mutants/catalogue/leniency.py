"""Hosts that accept what must be refused: each gets, instead of the wrong request, a right one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.mutants.edits import replace_responses
from tests.mutants.middleware import Request, Response, Wrap, change_requests
from tests.mutants.mutant import Area

AREA = Area("leniency")
_PROMPT = "a man"
_NOTHING = object()
_RUN = {"inputs": {"prompt": _PROMPT}, "response_mode": "blocking", "user": "anonymous"}


def _lenient(
    name: str,
    breaks: str,
    killers: str,
    when: Callable[[Request], bool],
    instead: Callable[[Request], Request],
    *,
    strict: bool = False,
) -> None:
    """The host gets ``instead`` of a run request that ``when`` picks."""

    def change(request: Request) -> Request:
        return instead(request) if request.is_run and when(request) else request

    AREA.add(name, breaks, killers, change_requests(lambda: change), strict=strict)


def _field(request: Request, name: str) -> Any:
    return request.fields.get(name, _NOTHING)


def _input(request: Request, name: str) -> Any:
    inputs = _field(request, "inputs")
    return inputs.get(name, _NOTHING) if isinstance(inputs, dict) else inputs


def _but(**changes: Any) -> Callable[[Request], Request]:
    """The request with other fields."""
    return lambda request: request.with_fields(**changes)


def _but_input(**changes: Any) -> Callable[[Request], Request]:
    """The request with other inputs."""
    return lambda request: request.with_fields(inputs={**request.fields["inputs"], **changes})


def _has_inputs(request: Request) -> bool:
    return isinstance(_field(request, "inputs"), dict)


_as_prompt = _but_input(prompt=_PROMPT)
_MODELS = (
    "chilloutmix_NiPrunedFp32Fix",
    "dosmix_",
    "ghostmix_v20Bakedvae",
    "rundiffusionFX_v10",
    "v1-5-pruned-emaonly",
)


def _is_unknown_model(request: Request) -> bool:
    model = _input(request, "model_name") if _has_inputs(request) else _NOTHING
    return isinstance(model, str) and bool(model) and model not in _MODELS


_default_model = _but_input(model_name=_MODELS[-1])


def _in_gbk(request: Request) -> bytes | None:
    try:
        return request.body.decode("gbk").encode()
    except UnicodeDecodeError:
        return None


def _as_event(reason: str) -> Wrap:
    """A streaming request that is refused for that reason gets 200 and an error event."""

    def picks(request: Request, response: Response) -> bool:
        is_stream = request.is_run and request.fields.get("response_mode") == "streaming"
        return is_stream and response.status >= 400 and reason in response.body.decode()

    def event(response: Response) -> Response:
        body = b'data: {"event": "error", "status": 400, "message": "no"}\n\n'
        return (
            replace(response, status=200)
            .with_header("Content-Type", "text/event-stream")
            .with_body(body)
        )

    return replace_responses(picks, event)


# fmt: off

# The body
_lenient("prompt_missing_accepted", "A run needs no prompt.", "run_without_a_prompt_is_refused",
         lambda request: _has_inputs(request) and _input(request, "prompt") is _NOTHING, _as_prompt)
_lenient("prompt_empty_accepted", "The prompt may be empty.", "empty_prompt_counts_as_missing",
         lambda request: _has_inputs(request) and _input(request, "prompt") == "", _as_prompt)
_lenient("prompt_null_accepted", "The prompt may be null.", "null_prompt_is_400",
         lambda request: _has_inputs(request) and _input(request, "prompt") is None, _as_prompt)
_lenient("prompt_number_accepted", "The prompt may be a number.",
         "number_as_prompt_is_not_a_string prompt_zero_is_refused",
         lambda request: _has_inputs(request) and isinstance(_input(request, "prompt"), int),
         _as_prompt)
_lenient("prompt_list_accepted", "The prompt may be a list.",
         "list_as_prompt_is_not_a_string empty_list_as_prompt_is_refused",
         lambda request: _has_inputs(request) and isinstance(_input(request, "prompt"), list),
         _as_prompt)
_lenient(
    "prompt_not_string_accepted",
    "The prompt may be of any type.",
    "number_as_prompt_is_not_a_string list_as_prompt_is_not_a_string "
    "object_as_prompt_is_not_a_string",
    lambda request: (
        _has_inputs(request)
        and not isinstance(_input(request, "prompt"), str)
        and _input(request, "prompt") not in (_NOTHING, None)
    ),
    _as_prompt,
)
_lenient("prompt_too_long_accepted", "The prompt may be of any length.",
         "prompt_beyond_the_form_is_400",
         lambda request: (
             _has_inputs(request)
             and isinstance(_input(request, "prompt"), str)
             and len(_input(request, "prompt")) > 1000
         ), _as_prompt)
_lenient("inputs_missing_accepted", "A run needs no inputs.", "run_without_inputs_is_refused",
         lambda request: isinstance(request.json, dict) and _field(request, "inputs") is _NOTHING,
         _but(inputs={"prompt": _PROMPT}))
_lenient("inputs_null_accepted", "inputs may be null.", "null_inputs_is_400",
         lambda request: _field(request, "inputs") is None, _but(inputs={"prompt": _PROMPT}))
_lenient("inputs_empty_accepted", "inputs may be empty.",
         "run_without_a_prompt_is_refused missing_prompt_is_400",
         lambda request: _field(request, "inputs") == {}, _but(inputs={"prompt": _PROMPT}))
_lenient("inputs_string_accepted", "inputs may be text.", "string_as_inputs_is_400",
         lambda request: isinstance(_field(request, "inputs"), str),
         _but(inputs={"prompt": _PROMPT}))
_lenient("inputs_number_accepted", "inputs may be a number.", "number_as_inputs_is_400",
         lambda request: isinstance(_field(request, "inputs"), int),
         _but(inputs={"prompt": _PROMPT}))
_lenient("user_missing_accepted", "A run needs no user.", "run_without_a_user_is_refused",
         lambda request: isinstance(request.json, dict) and _field(request, "user") is _NOTHING,
         _but(user="anonymous"))
_lenient("user_empty_accepted", "The user may be empty.", "empty_user_is_400",
         lambda request: _field(request, "user") == "", _but(user="anonymous"))
_lenient("user_null_accepted", "The user may be null.", "null_user_is_400",
         lambda request: _field(request, "user") is None, _but(user="anonymous"))
_lenient("user_long_accepted", "The user may be of any length.", "user_of_256_characters_is_500",
         lambda request: len(str(_field(request, "user"))) > 255, _but(user="anonymous"))
_lenient("model_unknown_accepted", "An unknown model is drawn with the default one.",
         "run_with_an_unknown_model_is_refused", _is_unknown_model, _default_model)
_lenient("model_any_case_accepted", "A model's case does not matter.", "model_in_capitals_is_400",
         lambda request: (
             _is_unknown_model(request)
             and _input(request, "model_name").lower() in {model.lower() for model in _MODELS}
         ), _default_model)
_lenient("model_number_accepted", "The model may be a number.", "number_as_model_is_not_a_string",
         lambda request: (
             _has_inputs(request)
             and isinstance(_input(request, "model_name"), int)
             and bool(_input(request, "model_name"))
         ), _default_model)
_lenient("mode_unknown_accepted", "An unknown response_mode is taken for blocking.",
         "run_in_an_unknown_mode_is_refused",
         lambda request: (
             isinstance(_field(request, "response_mode"), str)
             and _field(request, "response_mode") not in ("blocking", "streaming")
         ), _but(response_mode="blocking"))
_lenient("mode_number_accepted",
         "response_mode may be 1 or 2, as the document's table can be read.",
         "number_1_as_mode_is_400", lambda request: _field(request, "response_mode") in (1, 2),
         _but(response_mode="blocking"))
_lenient("mode_numeral_accepted", 'response_mode may be "1" or "2".', "string_2_as_mode_is_400",
         lambda request: _field(request, "response_mode") in ("1", "2"),
         _but(response_mode="blocking"))
_lenient("mode_null_accepted", "response_mode may be null.", "null_mode_is_400",
         lambda request: _field(request, "response_mode") is None, _but(response_mode="blocking"))
_lenient("mode_empty_accepted", "response_mode may be empty.", "empty_mode_is_400",
         lambda request: _field(request, "response_mode") == "", _but(response_mode="blocking"))
_lenient(
    "mode_any_case_accepted",
    "A mode's case does not matter.",
    "mode_in_capitals_is_400",
    lambda request: (
        _field(request, "response_mode") in ("Blocking", "BLOCKING", "STREAMING", "Streaming")
    ),
    lambda request: request.with_fields(response_mode=_field(request, "response_mode").lower()),
)
_lenient("json_malformed_accepted", "A body that is not JSON is taken for a run.",
         "cut_json_is_400 json_in_single_quotes_is_400",
         lambda request: request.json is None and request.body.strip() not in (b"", b"null"),
         lambda request: request.with_json(_RUN))
_lenient("json_malformed_as_empty", "A body that is not JSON is taken for {}.",
         "cut_json_is_400 json_in_single_quotes_is_400",
         lambda request: request.json is None and request.body.strip() != b"null",
         lambda request: request.with_json({}))
_lenient("json_empty_as_object", "An empty body is taken for {}.", "empty_body_is_400",
         lambda request: not request.body, lambda request: request.with_json({}))
_lenient("json_no_object_as_empty", "JSON that is not an object is taken for {}.",
         "list_body_is_500 string_body_is_500 number_body_is_500",
         lambda request: not isinstance(request.json, dict) and request.json is not None,
         lambda request: request.with_json({}))
_lenient("json_null_as_empty", "null is taken for {}.", "null_body_is_500",
         lambda request: request.body.strip() == b"null", lambda request: request.with_json({}))
_lenient("json_in_gbk_accepted", "JSON may be in GBK.", "body_in_gbk_is_400",
         lambda request: request.json is None and _in_gbk(request) is not None,
         lambda request: replace(request, body=_in_gbk(request) or b"").with_header(
             "content-length", str(len(_in_gbk(request) or b""))
         ))
_lenient("content_type_wrong_accepted", "JSON may call itself anything.", "json_called_*_is_415",
         lambda request: "json" not in (request.header("content-type") or "json"),
         lambda request: request.with_header("content-type", "application/json"))
_lenient("content_type_missing_accepted", "JSON need not say that it is JSON.",
         "body_without_content_type_is_415", lambda request: not request.header("content-type"),
         lambda request: request.with_header("content-type", "application/json"))

# A refused stream
AREA.add("refused_stream_tells_event",
         "A streaming request with an unknown model gets an SSE error and 200.",
         "refused_stream_is_plain_json", _as_event("must be one of the following"))
AREA.add("refused_stream_without_prompt_tells_event",
         "A streaming request without a prompt gets an SSE error and 200.",
         "refused_stream_without_prompt_is_plain_json", _as_event("prompt is required"))
_lenient("mode_left_out_streams", "A run without response_mode gets a stream.",
         "mode_may_be_left_out",
         lambda request: bool(request.fields) and "response_mode" not in request.fields,
         _but(response_mode="streaming"))
_lenient("mode_object_accepted", "An object as response_mode is taken for blocking.",
         "object_as_mode_is_400",
         lambda request: isinstance(_field(request, "response_mode"), dict),
         _but(response_mode="blocking"))
_lenient("mode_boolean_accepted", "true as response_mode is taken for blocking.",
         "boolean_as_mode_is_400",
         lambda request: isinstance(_field(request, "response_mode"), bool),
         _but(response_mode="blocking"))
_lenient("prompt_missing_among_others_accepted",
         "A run needs no prompt where it has inputs that the form does not have.",
         "generated_wrong_bodies_are_refused",
         lambda request: (
             _has_inputs(request)
             and bool(request.fields["inputs"].keys() - {"prompt", "model_name"})
             and "prompt" not in request.fields["inputs"]
         ), _as_prompt)
# fmt: on
