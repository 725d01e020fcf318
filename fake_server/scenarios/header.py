"""``X-Fake-Scenario: name; key=value; key="quoted, value", name2``: rules for one request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fake_server.scenarios.behaviours import find
from fake_server.scenarios.conditions import IN_HEADERS
from fake_server.scenarios.parameters import ScenarioError

_TOKEN = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^,;="]*))\s*')
_MAX_LENGTH = 2_000


def read_header(value: bytes) -> list[dict[str, Any]]:
    """The rules in the header, as a file would write them. Raises ``ScenarioError``.

    Beside the parameters of a behaviour a scenario takes ``times``, ``call``, ``probability`` and
    ``seed``, which count the requests that carry the same header.
    """
    if len(value) > _MAX_LENGTH:
        raise ScenarioError(
            f"the header is longer than {_MAX_LENGTH} characters; use --scenarios for so much"
        )
    return [_rule(name, pairs) for name, pairs in _scenarios(value.decode("utf-8", "replace"))]


def _rule(name: str, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    behaviour = find(name)
    rule: dict[str, Any] = {"name": name}
    for key, text in pairs:
        if key in behaviour.parameters or key not in IN_HEADERS:
            part, value = rule.setdefault("with", {}), behaviour.read_text(key, text)
        else:
            part = rule if key == "times" else rule.setdefault("when", {})
            value = IN_HEADERS[key].read_text(text)
        if key in part:
            raise ScenarioError(f"{name}: {key} is given twice; give it once")
        part[key] = value
    return rule


def _scenarios(text: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The name of each scenario and its pairs, as written."""
    position = 0
    while True:
        name, position = _word(text, position)
        if not name:
            raise ScenarioError(f"the name of a scenario is missing {_at(text, position)}")
        pairs = []
        while text[position : position + 1] == ";":
            key, position = _word(text, position + 1)
            if text[position : position + 1] != "=":
                raise ScenarioError(
                    f"a parameter is written key=value; there is no = {_at(text, position)}"
                )
            value, position = _word(text, position + 1)
            pairs.append((key, value))
        yield name, pairs
        if position == len(text):
            return
        if text[position] != ",":
            raise ScenarioError(
                f"a comma, a semicolon or the end is expected {_at(text, position)}"
            )
        position += 1


def _word(text: str, position: int) -> tuple[str, int]:
    match = _TOKEN.match(text, position)
    assert match is not None  # it matches the empty string, too
    quoted, plain = match.groups()
    word = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain.strip()
    return word, match.end()


def _at(text: str, position: int) -> str:
    return f"at character {position + 1} of {text!r}"
