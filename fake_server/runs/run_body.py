"""The body of a run's request: its user, and its fields inputs, files and response mode.

Versions check the fields in one of two ways. The older ones convert each field and name the first
that fails: where the host shows the text of a Python exception, the same conversion is made here
and its exception shown, which is the rule behind every recorded text of that kind. The later ones
check all fields at once by a pydantic model.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from fake_server.host_spec import HostErrors, HostSpec
from fake_server.http.validation_text import Invalid, missing, validation_text

T = TypeVar("T")

STREAMING = "streaming"

_DATABASE_UUID = re.compile(r"(?i)(\{)?(?:[0-9a-f]{4}-?){7}[0-9a-f]{4}(?(1)\})")
"""What PostgreSQL accepts as a UUID."""

_MODEL = "WorkflowRunPayload"
_NO_MAPPING = "Input should be a valid dictionary", "dict_type"


class RunBody(NamedTuple):
    """The fields of a run's body. An entry of ``files`` may still be anything."""

    inputs: Mapping[Any, Any]
    files: Sequence[Any]
    streaming: bool


def user_text(value: Any, required: bool, spec: HostSpec) -> str | None:
    """The user as the host stores it; None where it may be missing. Raises ``HostError``."""
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


def database_uuid(text: str) -> str | None:
    """The UUID that ``text`` is for the host's database; None where it is not one."""
    return str(uuid.UUID(text)) if _DATABASE_UUID.fullmatch(text) else None


def run_body(body: Mapping[str, Any], spec: HostSpec) -> RunBody:
    """The fields of ``body``. Raises ``HostError``."""
    read = _by_model if spec.request.body_check == "model" else _by_conversion
    return read(body, spec)


def _by_conversion(body: Mapping[str, Any], spec: HostSpec) -> RunBody:
    errors = spec.errors
    if "inputs" not in body:
        raise errors("parameter_missing", field="inputs")
    if body["inputs"] is None:
        raise errors("parameter_null", field="inputs")
    inputs: dict[Any, Any] = _converted(body, "inputs", dict, errors)
    files: list[Any] = []
    if body.get("files") is not None:
        files = _converted(body, "files", list, errors)
    mode = body.get("response_mode")  # where it is left out, the run is blocking [C: mode_missing]
    if "response_mode" in body:
        mode = mode if mode is None else str(mode)
        if mode not in spec.response_modes:
            raise errors("choice_invalid", field="response_mode", value=mode)
    return RunBody(inputs, files, mode == STREAMING)


def _converted(
    body: Mapping[str, Any], field: str, kind: Callable[[Any], T], errors: HostErrors
) -> T:
    try:
        return kind(body[field])
    except (TypeError, ValueError) as error:
        raise errors("parameter_invalid", field=field, reason=error) from None


def _by_model(body: Mapping[str, Any], spec: HostSpec) -> RunBody:
    """Null counts as left out for files and response_mode [C: mode_null, files_enabled_null]."""
    problems = []
    inputs, files, mode = (body.get(name) for name in ("inputs", "files", "response_mode"))
    if "inputs" not in body:
        problems.append(missing("inputs", body))
    elif not isinstance(inputs, dict):
        problems.append(Invalid("inputs", *_NO_MAPPING, inputs))
    if isinstance(files, list):
        problems += [
            Invalid(f"files.{index}", *_NO_MAPPING, file)
            for index, file in enumerate(files)
            if not isinstance(file, dict)
        ]
    elif files is not None:
        problems.append(Invalid("files", "Input should be a valid list", "list_type", files))
    if mode is not None and mode not in spec.response_modes:
        expected = " or ".join(f"'{name}'" for name in sorted(spec.response_modes))
        message = f"Input should be {expected}"
        problems.append(Invalid("response_mode", message, "literal_error", mode))
    if problems:
        raise spec.errors("value_error", message=validation_text(_MODEL, problems))
    return RunBody(inputs or {}, files or [], mode == STREAMING)
