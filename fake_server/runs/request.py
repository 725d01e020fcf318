"""From the body of ``POST /v1/workflows/run`` to a checked, frozen ``RunRequest``, in the host's
order (FACTS 3).

    JSON -> user -> (end user is written) -> app mode -> inputs, files, response_mode -> published
    -> files -> variables

The first thing that is wrong wins, and the words are the host's. Where the host shows the text of a
Python exception, the same conversion is made here and its exception shown: that is the rule behind
every recorded text of that kind.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from dify_wire.app_kind import AppKind
from fake_server.apps import App
from fake_server.http.errors import HostErrors
from fake_server.runs.events import InputFile
from fake_server.spec import HostSpec
from fake_server.workflow.model import StartVariable, Workflow

STREAMING = "streaming"
_NESTING_LIMIT = 950
"""Levels of JSON that the host's parser bears: Python's recursion limit less its own stack [C:
deep_json].
"""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A request that the host would run: its workflow, cleaned inputs (``sys.files`` last) and user
    as text.
    """

    workflow: Workflow
    inputs: Mapping[str, Any]
    user: str
    streaming: bool


_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}

FileCheck = Callable[[str, Sequence[Any], Mapping[str, Any]], list[InputFile]]
"""Turns a user's ``files`` into ``sys.files``, given the image part of the app's upload feature."""


def json_object(body: bytes, content_type: str, errors: HostErrors) -> dict[str, Any]:
    """The JSON object of a body. Raises ``HostError``: 415 for another type, 400 for no JSON, 500
    for no object.
    """
    if not _is_json(content_type):
        raise errors("content_type_not_json")
    try:
        text = body.decode(json.detect_encoding(body), "surrogatepass")
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise errors(
            "internal_error" if _nested_too_deep(error.doc[: error.pos]) else "json_malformed"
        ) from None
    except ValueError:
        raise errors("json_malformed") from None
    except RecursionError:
        raise errors("internal_error") from None
    if not isinstance(value, dict) or _nested_too_deep(text):
        raise errors("internal_error")
    return value


def _is_json(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )


def _nested_too_deep(text: str) -> bool:
    """Whether JSON (or its beginning) is nested beyond what the host's parser bears, whatever this
    Python bears.
    """
    if text.count("[") + text.count("{") < _NESTING_LIMIT:
        return False
    outside = "".join(
        text.replace("\\\\", "").replace('\\"', "").split('"')[::2]
    )  # what is in no string
    brackets = re.sub(r"[^\[\]{}]+", "", outside)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) >= _NESTING_LIMIT


def user_text(value: Any, required: bool, spec: HostSpec) -> str | None:
    """The user as the host keeps it; None where none is given and none is required. Raises
    ``HostError``.
    """
    if not value:
        if required:
            raise spec.errors("user_missing")
        return None
    user = str(value)
    check_storable(user, spec.errors)
    if len(user) > spec.limits.user_characters:
        raise spec.errors("internal_error")
    return user


def check_storable(text: str, errors: HostErrors) -> None:
    """Return if the host's database client can send ``text``. Raises ``HostError``."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise errors("value_error", message=str(error)) from None
    if "\x00" in text:
        raise errors("user_nul")


def run_request(
    body: Mapping[str, Any], app: App, check_files: FileCheck, spec: HostSpec
) -> RunRequest:
    """Check the parsed ``body`` of a run for ``app``. Raises ``HostError``."""
    errors = spec.errors
    user = user_text(body.get("user"), True, spec)
    assert user is not None
    if app.kind is AppKind.CHAT:
        raise errors("not_workflow_app")
    inputs = _inputs(body, errors)
    files = _files(body, errors)
    mode = _response_mode(body, spec)
    if app.workflow is None:
        raise errors("workflow_unpublished")
    image = app.workflow.image_upload
    sys_files = check_files(user, files or [], image) if image else []
    cleaned = {
        variable.name: _cleaned(variable, inputs.get(variable.name), errors)
        for variable in app.workflow.variables
    }
    if not app.workflow.complete and mode != STREAMING:
        raise errors("graph_incomplete")
    return RunRequest(app.workflow, {**cleaned, "sys.files": sys_files}, user, mode == STREAMING)


def _inputs(body: Mapping[str, Any], errors: HostErrors) -> dict[Any, Any]:
    if "inputs" not in body:
        raise errors("parameter_missing", field="inputs")
    if body["inputs"] is None:
        raise errors("parameter_null", field="inputs")
    try:
        return dict(body["inputs"])
    except (TypeError, ValueError) as error:
        raise errors("parameter_invalid", field="inputs", reason=error) from None


def _files(body: Mapping[str, Any], errors: HostErrors) -> list[Any] | None:
    if body.get("files") is None:
        return None
    try:
        return list(body["files"])
    except TypeError as error:
        raise errors("parameter_invalid", field="files", reason=error) from None


def _response_mode(body: Mapping[str, Any], spec: HostSpec) -> str | None:
    """The mode, None where it is left out: that is answered like blocking [C: mode_missing]."""
    if "response_mode" not in body:
        return None
    mode = body["response_mode"] if body["response_mode"] is None else str(body["response_mode"])
    if mode not in spec.response_modes:
        raise spec.errors("choice_invalid", field="response_mode", value=mode)
    return mode


def _cleaned(variable: StartVariable, value: Any, errors: HostErrors) -> str:
    if not value:
        if variable.required:
            raise errors("input_required", variable=variable.name)
        return variable.default if variable.default is not None else ""
    if not isinstance(value, str):
        raise errors("input_not_string", variable=variable.name)
    if variable.options is not None:
        if value not in variable.options:
            raise errors(
                "input_not_in_options", variable=variable.name, options=list(variable.options)
            )
    elif variable.max_length is not None and len(value) > variable.max_length:
        raise errors("input_too_long", variable=variable.name, max_length=variable.max_length)
    return value.replace("\x00", "")
