"""The rules of ``--scenarios``: a YAML file with a list of them, refused with the line of whatever
is wrong in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dify_wire.spec_error import SpecError, file_errors
from dify_wire.yaml_file import line_of, load_yaml
from fake_server.scenarios import conditions
from fake_server.scenarios.behaviour import Behaviour, catalogue
from fake_server.scenarios.conditions import TIMES
from fake_server.scenarios.errors import ScenarioError, shown_place, unknown
from fake_server.scenarios.rule_book import RuleBook
from fake_server.scenarios.rules import Surroundings

_TOP = "scenarios"


def rule_book(path: Path | None, around: Surroundings, seed: int | None) -> RuleBook:
    """The rule book that begins with the rules of ``path``.

    Raises ``dify_wire.spec.SpecError`` for what cannot be used.
    """
    if path is None:
        return RuleBook(around, seed)
    said = load_yaml(path)
    with file_errors(path, "a file of scenarios"):
        try:
            return _book(_rules(said), around, seed)
        except ScenarioError as error:
            place = f"line {line_of(path, error.place)}, {shown_place(error.place)}"
            also = (
                f"; {shown_place(error.besides)} is on line {line_of(path, error.besides)}"
                if error.besides
                else ""
            )
            raise SpecError(path, place, error.message + also) from None


def _book(rules: list[Mapping[str, object]], around: Surroundings, seed: int | None) -> RuleBook:
    try:
        return RuleBook(around, seed, rules)
    except ScenarioError as error:
        raise error.within(_TOP) from None


def _rules(said: object) -> list[Mapping[str, object]]:
    assert isinstance(said, dict)  # load_yaml takes nothing else
    for key in said:
        if key != _TOP:
            raise ScenarioError(unknown("key of a file of scenarios", key, (_TOP,)), (key,))
    rules = said.get(_TOP)
    if not isinstance(rules, list):
        raise ScenarioError(
            f"a list of rules is needed under {_TOP!r}: - {{name: slow, with: {{seconds: 60}}}}",
            (_TOP,),
        )
    return rules


def schema(operations: tuple[str, ...]) -> Mapping[str, Any]:
    """The JSON Schema of such a file, for editors."""
    rules = [_rule(behaviour) for behaviour in catalogue().values()]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Scenarios of fake-server",
        "type": "object",
        "additionalProperties": False,
        "required": [_TOP],
        "properties": {_TOP: {"type": "array", "items": {"oneOf": rules}}},
        "$defs": {
            _when(behaviour): _conditions(behaviour, operations)
            for behaviour in catalogue().values()
        },
    }


def _rule(behaviour: Behaviour) -> Mapping[str, Any]:
    properties = {name: parameter.schema for name, parameter in behaviour.parameters.items()}
    return {
        "type": "object",
        "description": behaviour.about.partition("\n\n")[0],
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


def _conditions(behaviour: Behaviour, operations: tuple[str, ...]) -> Mapping[str, Any]:
    return conditions.schema(
        tuple(operation for operation in operations if behaviour.acts_on(operation))
    )
