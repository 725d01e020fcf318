"""The checks of a request in the host's order (FACTS 3), up to a frozen ``RunRequest``.

    key -> app -> JSON -> user -> (end user is written) -> app mode -> inputs, files,
    response_mode -> published -> files -> variables

The first error wins, and its text is the host's. Where the host shows the text of a Python
exception, the same conversion is made here and its exception shown: that is the rule behind every
recorded text of that kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from dify_wire.exchange import AppKind
from fake_server.host_spec import HostErrors, HostSpec
from fake_server.runs.events import InputFile
from fake_server.workflow.model import App, StartVariable, Workflow

T = TypeVar("T")

STREAMING = "streaming"

FileCheck = Callable[[str, Sequence[Any], Mapping[str, Any]], list[InputFile]]
"""Turns a user's ``files`` into ``sys.files``, given the image part of the app's upload feature."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A request that the host would run; ``inputs`` are cleaned, ``sys.files`` last."""

    workflow: Workflow
    inputs: Mapping[str, Any]
    user: str
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


def run_request(
    body: Mapping[str, Any], app: App, check_files: FileCheck, spec: HostSpec
) -> RunRequest:
    """Check the parsed ``body`` of a run for ``app``. Raises ``HostError``."""
    errors = spec.errors
    user = user_text(body.get("user"), True, spec)
    assert user is not None
    if app.kind is AppKind.CHAT:
        raise errors("not_workflow_app")
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
    workflow = app.workflow
    if workflow is None:
        raise errors("workflow_unpublished")
    image = workflow.image_upload
    sys_files = check_files(user, files, image) if image else []
    cleaned: dict[str, Any] = {}
    for variable in workflow.variables:
        cleaned[variable.name] = _cleaned(variable, inputs.get(variable.name), errors)
    if not workflow.complete and mode != STREAMING:
        raise errors("graph_incomplete")
    cleaned["sys.files"] = sys_files
    return RunRequest(workflow, cleaned, user, mode == STREAMING)


def _converted(
    body: Mapping[str, Any], field: str, kind: Callable[[Any], T], errors: HostErrors
) -> T:
    try:
        return kind(body[field])
    except (TypeError, ValueError) as error:
        raise errors("parameter_invalid", field=field, reason=error) from None


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
