"""The start variables of an app: from its file, and for the default app from spec and file
together.

The spec owns names, types, enumerations and which are required; the file of the default app adds
labels, order, ``max_length`` and defaults. A file of one's own (``--app KEY=FILE``) owns its
variables alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fake_server.spec import InputRule
from fake_server.workflow.graph import StartVariable
from fake_server.workflow.part import Part

TYPES = ("text-input", "paragraph", "select")


def read_variables(start: Part, rules: Sequence[InputRule] | None) -> tuple[StartVariable, ...]:
    """The variables of a start node. Raises ``WorkflowError``, also where the file contradicts
    ``rules``.
    """
    declared = start.get("variables")
    parts = list(declared.items()) if declared else []
    names = [part.child("variable").as_a(str) for part in parts]
    times = Counter(names)
    for part, name in zip(parts, names, strict=True):
        if times[name] > 1:
            part.wrong(f"the variable {name!r} is declared twice; keep one of them")
    if rules is None:
        return tuple(_variable(part, part.value) for part in parts)
    by_name = {rule.name: rule for rule in rules}
    merged = [_variable(part, _merged(part, by_name)) for part in parts]
    left_out = [rule for rule in rules if rule.name not in names]
    return (*merged, *(_variable(start, _entry(rule, {})) for rule in left_out))


def _merged(part: Part, rules: Mapping[str, InputRule]) -> Mapping[str, Any]:
    name = part.value["variable"]
    rule = rules.get(name)
    if rule is None:
        part.wrong(
            f"the variable {name!r} is none of the inputs in the spec ({', '.join(rules)}); "
            "give an app with variables of its own a key of its own: --app KEY=FILE"
        )
    entry = _entry(rule, part.value)
    for key in ("required", "options"):
        if key in part.value and part.value[key] != entry[key]:
            part.wrong(
                f"{key!r} of {name!r} is {part.value[key]!r} here but {entry[key]!r} in the spec; leave it to the spec"
            )
    if (entry["type"] == "select") != (rule.options is not None):
        part.wrong(
            f"{name!r} is a {entry['type']} here, which contradicts its enumeration in the spec; leave it to the spec"
        )
    return entry


def _entry(rule: InputRule, said: Mapping[str, Any]) -> dict[str, Any]:
    """What the host would show of the variable: its keys as the file stores them, those left out as
    Dify's editor.
    """
    written = {
        "variable": rule.name,
        "label": rule.name,
        "type": "paragraph" if rule.options is None else "select",
        "required": rule.required,
        "max_length": None,
        "options": list(rule.options or ()),
    }
    entry = {**written, **said, "required": rule.required, "options": written["options"]}
    stored = [key for key in said if key in written]
    in_order = stored == [key for key in written if key in said]
    return entry if in_order else {key: entry[key] for key in (*said, *entry)}


def _variable(part: Part, entry: Mapping[str, Any]) -> StartVariable:
    at = Part(part.file, part.place, entry)
    kind = at.child("type").one_of(TYPES)
    options = _options(at) if kind == "select" else None
    default = at.get("default")
    if default and options is not None and default.as_a(str) and default.value not in options:
        default.wrong(f"the default {default.value!r} is none of the options {list(options)}")
    max_length = at.get("max_length")
    if max_length and max_length.as_a(int) < 1:
        max_length.wrong(f"max_length must be 1 or more, not {max_length.value}")
    required = at.get("required")
    return StartVariable(
        name=at.child("variable").as_a(str),
        type=kind,
        required=required.as_a(bool) if required else False,
        max_length=max_length.value if max_length else None,
        options=options,
        default=default.as_a(str) if default else None,
        shown=dict(entry),
    )


def _options(at: Part) -> tuple[str, ...]:
    options = tuple(option.as_a(str) for option in at.child("options").items())
    if not options:
        at.wrong("a select needs at least one option")
    return options
