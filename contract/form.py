"""The app's own input form (``GET /v1/parameters``): what a deployment decides for itself is asked,
not guessed.

Whether the model is chosen from a list, and how long a prompt may be, is the app's own affair
(FACTS 11).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from contract.result import Skipped
from contract.target import Target
from dify_wire import spec
from dify_wire.exchange import Exchange


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
    document: Any = spec.load_yaml(spec.bundled("openapi.yaml"))
    return tuple(document["components"]["schemas"]["ModelName"]["enum"])


def parameters(target: Target) -> Exchange:
    """What the host says about its app, asked once."""
    found: Exchange = target.shared(
        "parameters", lambda: target.send(target.get_request("/v1/parameters"))
    )
    return found


def form_field(target: Target, variable: str) -> FormField:
    """The app's input ``variable``; as the document has it where the host tells no form.

    Raises ``Skipped`` where the host tells a form without it.
    """
    form = parameters(target).json_object().get("user_input_form")
    if not isinstance(form, list):
        return _documented(variable)
    for kind, field in told_fields(form):
        if field.get("variable") == variable:
            return _field(kind, field)
    raise Skipped(f"the app has no input {variable}")


def choice_field(target: Target, variable: str) -> FormField:
    """As ``form_field``; raises ``Skipped`` where the app takes any text (FACTS 3, row
    11).
    """
    field = form_field(target, variable)
    if field.kind != "select":
        raise Skipped(f"the app takes any text as {variable}")
    return field


def told_fields(form: list[Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The kind of each entry of ``user_input_form``, and what is told of it."""
    for entry in form:
        for kind, field in entry.items() if isinstance(entry, dict) else ():
            if isinstance(field, dict):
                yield kind, field


def _field(kind: str, field: Mapping[str, Any]) -> FormField:
    max_length, options = field.get("max_length"), field.get("options")
    return FormField(
        kind,
        field.get("required") is True,
        max_length if isinstance(max_length, int) else None,
        tuple(str(option) for option in options) if isinstance(options, list) else (),
    )


def _documented(variable: str) -> FormField:
    if variable == "model_name":
        return FormField("select", options=documented_models())
    return FormField("paragraph", required=True)
