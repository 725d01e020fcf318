"""The app's own input form (``GET /v1/parameters``): what a deployment decides for itself is read
from the host.

Whether the model is chosen from a list, and how long a prompt may be, differs by app (FACTS 11).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from contract.evidence import send_once
from contract.result import Skipped
from contract.target import Target
from dify_wire.exchange import Exchange
from dify_wire.text_file import bundled
from dify_wire.yaml_file import load_yaml


@dataclass(frozen=True, slots=True)
class FormField:
    """One input of the app; ``kind`` is Dify's word: paragraph, text-input, select, number."""

    kind: str
    required: bool = False
    max_length: int | None = None
    options: tuple[str, ...] = ()


@functools.cache
def documented_models() -> tuple[str, ...]:
    """The models that the document names, in its order."""
    document = load_yaml(bundled("openapi.yaml"))
    return tuple(document["components"]["schemas"]["ModelName"]["enum"])


def parameters(target: Target) -> Exchange:
    return send_once(target, target.get_request("/v1/parameters"))


def form_field(target: Target, variable: str) -> FormField:
    """The app's input ``variable``; as the document has it where the host sends no form.

    Raises ``Skipped`` where the host sends a form without it.
    """
    form = parameters(target).json_object().get("user_input_form")
    if not isinstance(form, list):
        if variable == "model_name":
            return FormField("select", options=documented_models())
        return FormField("paragraph", required=True)
    for kind, field in form_fields(form):
        if field.get("variable") == variable:
            max_length, options = field.get("max_length"), field.get("options")
            return FormField(
                kind,
                field.get("required") is True,
                max_length if isinstance(max_length, int) else None,
                tuple(map(str, options)) if isinstance(options, list) else (),
            )
    raise Skipped(f"the app has no input {variable}")


def choice_field(target: Target, variable: str) -> FormField:
    """As ``form_field``; raises ``Skipped`` where the app takes any text (FACTS 3, row 11)."""
    field = form_field(target, variable)
    if field.kind != "select":
        raise Skipped(f"the app takes any text as {variable}")
    return field


def form_fields(form: list[Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The kind of each entry of ``user_input_form``, and the field's properties."""
    for entry in form:
        for kind, field in entry.items() if isinstance(entry, dict) else ():
            if isinstance(field, dict):
                yield kind, field
