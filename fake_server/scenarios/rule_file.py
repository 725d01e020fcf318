"""The file of ``--scenarios``: a YAML file with a list of rules, and its JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dify_wire.text_file import SpecError, file_errors
from dify_wire.yaml_file import line_of, load_yaml
from fake_server.scenarios import conditions
from fake_server.scenarios.behaviour import Behaviour
from fake_server.scenarios.behaviours import BEHAVIOURS
from fake_server.scenarios.conditions import TIMES
from fake_server.scenarios.parameters import ScenarioError, rule_field
from fake_server.scenarios.rules import RuleBook, RuleContext

SCHEMA = Path(__file__).parent.parent / "data" / "scenarios.schema.json"
"""The result of ``schema`` for the bundled spec."""

_TOP = "scenarios"


def load_rule_book(path: Path | None, context: RuleContext, seed: int | None) -> RuleBook:
    """The rule book that begins with the rules of the file at ``path``.

    Raises ``dify_wire.spec.SpecError`` with the line.
    """
    if path is None:
        return RuleBook(context, seed)
    raw = load_yaml(path)
    with file_errors(path, "a file of scenarios"):
        try:
            return RuleBook(context, seed, rule_field(raw).only(_TOP)[_TOP])
        except ScenarioError as error:
            keys = re.findall(r"[^.\[\]]+", error.path)
            place = [int(key) if key.isdigit() else key for key in keys]
            line = line_of(path, place)
            raise SpecError(path, f"line {line}, {error.path}", error.message) from None


def schema(operations: tuple[str, ...]) -> Mapping[str, Any]:
    """The JSON Schema of such a file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Scenarios of fake-server",
        "type": "object",
        "additionalProperties": False,
        "required": [_TOP],
        "properties": {
            _TOP: {"type": "array", "items": {"oneOf": [_rule(one) for one in BEHAVIOURS.values()]}}
        },
        "$defs": {
            _when(one): conditions.schema(tuple(filter(one.acts_on, operations)))
            for one in BEHAVIOURS.values()
        },
    }


def _rule(behaviour: Behaviour) -> Mapping[str, Any]:
    properties = {name: parameter.schema for name, parameter in behaviour.parameters.items()}
    return {
        "type": "object",
        "description": behaviour.doc.partition("\n\n")[0],
        "additionalProperties": False,
        "required": ["name"],
        "properties": {
            "name": {"const": behaviour.name},
            "with": {"type": "object", "additionalProperties": False, "properties": properties},
            "when": {"$ref": f"#/$defs/{_when(behaviour)}"},
            "times": TIMES.schema,
        },
    }


def _when(behaviour: Behaviour) -> str:
    return f"when_{behaviour.scope.name.lower()}"
