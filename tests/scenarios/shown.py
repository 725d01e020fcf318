"""Which behaviours, parameters and choices a table of scenarios shows: a table that leaves one out
is found out.
"""

from __future__ import annotations

from collections.abc import Iterable

from fake_server.scenarios.behaviour import catalogue
from fake_server.scenarios.header import read_header


def missing(scenarios: Iterable[str]) -> list[str]:
    """What is in the catalogue and in none of ``scenarios``, each written as in a header."""
    said = [rule for text in scenarios for rule in read_header(text.encode())]
    bare = {rule["name"] for rule in said if not rule.get("with")}
    given = {
        (rule["name"], name, value) for rule in said for name, value in rule.get("with", {}).items()
    }
    lacking = [name for name in catalogue() if name not in bare]
    for one in catalogue().values():
        for parameter in one.parameters.values():
            shown = {
                value for name, key, value in given if (name, key) == (one.name, parameter.name)
            }
            choices = set(parameter.choices or ()) - {parameter.default}
            lacking += [
                f"{one.name}; {parameter.name}={choice}" for choice in sorted(choices - shown)
            ]
            lacking += [] if shown else [f"{one.name}; {parameter.name}=…"]
    return lacking
