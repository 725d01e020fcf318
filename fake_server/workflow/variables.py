"""The variables of a start node, as a file declares them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dify_wire.strict import Field, did_you_mean
from fake_server.host_spec import InputRule
from fake_server.workflow.model import StartVariable
from fake_server.workflow.problems import Problems

TEXT_TYPES = ("text-input", "paragraph", "select")
VARIABLE_TYPES = (*TEXT_TYPES, "number", "checkbox", "file", "file-list", "json_object")
"""The types of every version; the versions differ in which of them they know."""

_OTHER_TYPES = ("external_data_tool", "url", "json", "files")
"""Types of other modes, which no start node of a recorded host has."""


def read_variables(
    start: Field, rules: Sequence[InputRule] | None, problems: Problems
) -> tuple[StartVariable, ...]:
    """The variables of a start node; what is wrong with each becomes one of ``problems``.

    ``rules`` are those of the spec for the default app: they decide names, types, options and which
    are required; the file adds labels, order, ``max_length`` and defaults. A file that contradicts
    them is an error.
    """
    declared = start.get("variables")
    fields: dict[str, Field] = {}
    for field in declared.entries() if declared else ():
        with problems.collected():
            name = field["variable"].text()
            if name in fields:
                field.fail(f"the variable {name!r} is declared twice; keep one of them")
            fields[name] = field
    if rules is None:
        merged = list(fields.values())
    else:
        by_name = {rule.name: rule for rule in rules}
        merged = [_merged(field, by_name) for field in fields.values()]
        others = [_entry(rule, {}) for rule in rules if rule.name not in fields]
        merged += [Field(entry, start.path, error=start.error) for entry in others]
    variables = []
    for field in merged:
        with problems.collected():
            variables.append(_variable(field, problems))
    return tuple(variables)


def _merged(field: Field, rules: Mapping[str, InputRule]) -> Field:
    name = field.value["variable"]
    rule = rules.get(name)
    if rule is None:
        field.fail(
            f"the spec has no input {name!r}, only {', '.join(rules)}; "
            "give an app with variables of its own a key of its own: --app KEY=FILE"
        )
    entry = _entry(rule, field.value)
    for key in ("required", "options"):
        if key in field.value and field.value[key] != entry[key]:
            field.fail(
                f"{key!r} of {name!r} is {field.value[key]!r} here but {entry[key]!r} in the spec; "
                "leave it to the spec"
            )
    if (entry["type"] == "select") != (rule.options is not None):
        field.fail(
            f"{name!r} is a {entry['type']} here, which contradicts its enumeration in the spec; "
            "leave it to the spec"
        )
    return Field(entry, field.path, error=field.error)


def _entry(rule: InputRule, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The variable as the host shows it: stored keys in their order, others as Dify's editor."""
    written = {
        "variable": rule.name,
        "label": rule.name,
        "type": "paragraph" if rule.options is None else "select",
        "required": rule.required,
        "max_length": None,
        "options": list(rule.options or ()),
    }
    entry = {**written, **stored, "required": rule.required, "options": written["options"]}
    in_editor_order = [key for key in written if key in stored]
    if [key for key in stored if key in written] == in_editor_order:
        return entry
    return {key: entry[key] for key in (*stored, *entry)}


def _variable(field: Field, problems: Problems) -> StartVariable:
    kind, type_field = field["type"].text(), field["type"]
    if kind not in (*VARIABLE_TYPES, *_OTHER_TYPES):
        problems.warn(
            type_field,
            f"{kind!r} is not a known type of a variable{did_you_mean(kind, VARIABLE_TYPES)}, "
            f"so its values are not checked; known: {', '.join(VARIABLE_TYPES)}",
        )
    options, default = None, field.get("default")
    if kind == "select":
        options = field["options"].texts()
        if not options:
            problems.warn(field, "a select without options takes no value; give it some")
    if default and kind in TEXT_TYPES:
        default.text()
    if default and default.value and options and default.value not in options:
        problems.warn(
            default, f"the default {default.value!r} is not one of the options {list(options)}"
        )
    required, label = field.get("required"), field.get("label")
    return StartVariable(
        name=field["variable"].text(),
        type=kind,
        required=required.boolean() if required else False,
        max_length=_max_length(field),
        options=options,
        default=default.value if default else None,
        entry=dict(field.mapping()),
        label=str(label.value) if label else "",
        json_schema=_json_schema(field),
        file_types=_texts(field, "allowed_file_types"),
        file_extensions=_texts(field, "allowed_file_extensions"),
        upload_methods=_texts(field, "allowed_file_upload_methods"),
    )


def _max_length(field: Field) -> int | None:
    """The most characters or files; an export has it as a number, digits, empty or not at all."""
    most = field.get("max_length")
    if most is None or most.value == "":
        return None
    if isinstance(most.value, str) and most.value.isascii() and most.value.isdigit():
        most = Field(int(most.value), most.path, error=most.error)
    return most.whole(0) or None


def _texts(field: Field, key: str) -> tuple[str, ...]:
    entries = field.get(key)
    return entries.texts() if entries else ()


def _json_schema(field: Field) -> Mapping[str, Any] | None:
    """A JSON Schema, which some exports have as a mapping and some as its text."""
    schema = field.get("json_schema")
    if schema is None or schema.value == "":
        return None
    value = schema.value
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            schema.fail("this text is not JSON; write a JSON Schema as a mapping or as JSON")
    return Field(value, schema.path, error=schema.error).mapping()
