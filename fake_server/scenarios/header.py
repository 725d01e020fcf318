"""The grammar of ``X-Fake-Scenario: name; key=value; key="quoted, value", name2``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fake_server.scenarios.parameters import ScenarioError

_TOKEN = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^,;="]*))\s*')
_MAX_LENGTH = 2_000


Pairs = list[tuple[str, str]]


def parse_header(value: bytes) -> list[tuple[str, Pairs]]:
    """The name of each scenario and its pairs, as written. Raises ``ScenarioError``."""
    if len(value) > _MAX_LENGTH:
        raise ScenarioError(
            f"the header is longer than {_MAX_LENGTH} characters; use --scenarios for so much"
        )
    return list(_scenarios(value.decode("utf-8", "replace")))


def _scenarios(text: str) -> Iterator[tuple[str, Pairs]]:
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
