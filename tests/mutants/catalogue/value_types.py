"""Values of a wrong type or form in the body of a run that a host accepts, one type at a time."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from tests.mutants.edits import replace_requests
from tests.mutants.middleware import Request
from tests.mutants.mutant import Area

AREA = Area("types of values")
_PROMPT = "a man"
_RUN = {"inputs": {"prompt": _PROMPT}, "response_mode": "blocking", "user": "anonymous"}


def _accepted(
    name: str,
    breaks: str,
    killers: str,
    when: Callable[[Request], bool],
    instead: Callable[[Request], Request],
) -> None:
    """A host that gets ``instead`` of a run request that ``when`` picks."""
    AREA.add(
        name,
        breaks,
        killers,
        replace_requests(lambda request: request.is_run and when(request), instead),
    )


def _but(**fields: Any) -> Callable[[Request], Request]:
    return lambda request: request.with_fields(**fields)


def _is(name: str, holds: Callable[[Any], bool]) -> Callable[[Request], bool]:
    """Whether the field is there and its value is one of those."""
    return lambda request: name in request.fields and holds(request.fields[name])


def _input_is(name: str, holds: Callable[[Any], bool]) -> Callable[[Request], bool]:
    """Whether the input is there and its value is one of those."""

    def found(request: Request) -> bool:
        inputs = request.fields.get("inputs")
        return isinstance(inputs, dict) and name in inputs and holds(inputs[name])

    return found


# fmt: off

# The body
for _kind, _type in (("list", list), ("string", str), ("number", int)):
    _accepted(
        f"json_{_kind}_as_empty",
        f"A JSON {_kind} is taken for {{}}.",
        f"{_kind}_body_is_500",
        lambda request, of=_type: isinstance(request.json, of),  # type: ignore[misc]
        lambda request: request.with_json({}),
    )
_accepted("json_in_single_quotes_accepted", "Python's text of a dict is taken for JSON.",
          "json_in_single_quotes_is_400", lambda request: request.body.startswith(b"{'"),
          lambda request: request.with_json(ast.literal_eval(request.body.decode())))
_accepted("bad_utf8_replaced", "Bytes that are not UTF-8 are replaced, and the rest is run.",
          "body_in_bad_utf8_is_400", lambda request: b"\xff\xfe" in request.body,
          lambda request: request.with_json(_RUN))
for _short, _media_type, _killer in (
    ("form", "application/x-www-form-urlencoded", "form_body_is_415"),
    ("text", "text/plain", "json_called_plain_text_is_415"),
    ("bytes", "application/octet-stream", "json_called_bytes_is_415"),
):
    _accepted(
        f"{_short}_accepted",
        f"A body that is called {_media_type} is taken for JSON.",
        _killer,
        lambda request, of=_media_type: request.header("content-type") == of,  # type: ignore[misc]
        lambda request: request.with_json(request.json or _RUN).with_header(
            "content-type", "application/json"
        ),
    )

# The user
_accepted("user_zero_accepted", "The user may be the number 0.", "user_zero_is_400",
          _is("user", lambda value: value == 0), _but(user="0"))
_accepted("user_empty_list_accepted", "The user may be an empty list.", "empty_list_as_user_is_400",
          _is("user", lambda value: value == []), _but(user="[]"))
_accepted("user_nul_removed", "NUL characters are removed from the user.", "nul_in_the_user_is_400",
          _is("user", lambda value: "\0" in str(value)), _but(user="alg123"))

# The inputs and the prompt
for _name, _words, _killer, _holds in (
    ("boolean", "true", "boolean_as_inputs_is_400", lambda value: value is True),
    (
        "empty_list",
        "an empty list",
        "empty_list_as_inputs_is_refused",
        lambda value: value == [],
    ),
    ("pairs", "a list of pairs", "pairs_as_inputs_are_refused", lambda value: value == ["ab"]),
):
    _accepted(
        f"inputs_{_name}_accepted",
        f"inputs may be {_words}.",
        _killer,
        _is("inputs", _holds),
        _but(inputs={"prompt": _PROMPT}),
    )
for _name, _words, _killer, _holds in (
    ("zero", "0", "prompt_zero_is_refused", lambda value: value == 0 and value is not False),
    ("false", "false", "prompt_false_is_refused", lambda value: value is False),
    (
        "empty_list",
        "an empty list",
        "empty_list_as_prompt_is_refused",
        lambda value: value == [],
    ),
    ("whole_number", "a number", "number_as_prompt_is_not_a_string", lambda value: value == 123),
    ("true", "true", "boolean_as_prompt_is_not_a_string", lambda value: value is True),
    (
        "list_of_text",
        "a list of text",
        "list_as_prompt_is_not_a_string",
        lambda value: value == ["a"],
    ),
    (
        "object",
        "an object",
        "object_as_prompt_is_not_a_string",
        lambda value: isinstance(value, dict),
    ),
):
    _accepted(
        f"prompt_{_name}_accepted",
        f"The prompt may be {_words}.",
        _killer,
        _input_is("prompt", _holds),
        _but(inputs={"prompt": _PROMPT}),
    )

# response_mode and files
_accepted("mode_list_accepted", "Of a list of modes the first is taken.", "list_of_modes_is_400",
          _is("response_mode", lambda value: isinstance(value, list)),
          _but(response_mode="blocking"))
_accepted("files_number_ignored", "files that are a number are ignored.",
          "number_as_files_is_refused",
          lambda request: (
              isinstance(request.fields.get("files"), int)
              and request.fields["response_mode"] == "blocking"
          ),
          lambda request: request.with_json(
              {key: value for key, value in request.fields.items() if key != "files"}
          ))
# fmt: on
