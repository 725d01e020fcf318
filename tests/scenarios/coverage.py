"""Finds behaviours, parameters and choices that a table of scenarios leaves out."""

from __future__ import annotations

from collections.abc import Iterable

from fake_server.scenarios.behaviours import BEHAVIOURS
from fake_server.scenarios.rules import read_header


def missing(scenarios: Iterable[str]) -> list[str]:
    """What is in no scenario of ``scenarios``, each written as in a header."""
    rules = [rule for text in scenarios for rule in read_header(text.encode())]
    bare = {rule["name"] for rule in rules if not rule.get("with")}
    given = {
        (rule["name"], name, value)
        for rule in rules
        for name, value in rule.get("with", {}).items()
    }
    found = [name for name in BEHAVIOURS if name not in bare]
    for one in BEHAVIOURS.values():
        for parameter in one.parameters.values():
            values = {
                value for name, key, value in given if (name, key) == (one.name, parameter.name)
            }
            choices = set(parameter.choices or ()) - {parameter.default}
            found += [
                f"{one.name}; {parameter.name}={choice}" for choice in sorted(choices - values)
            ]
            found += [] if values else [f"{one.name}; {parameter.name}=…"]
    return found
