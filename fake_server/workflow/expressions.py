"""Templates and comparisons of an app file, as Dify 0.6.4 evaluates them (FACTS 12.7 and 12.9).

A reference ``{{#node.output#}}`` becomes its value. The host strips one pair of braces off whatever
looks like a reference in a value, and then takes ``<|…|>`` out of the whole. A prompt of a model
knows more references than a parameter of a tool: ``{{name}}``, ``{{#context#}}``, ``{{#query#}}``,
``{{#histories#}}``. Whatever the host cannot evaluate raises ``ValueError`` with its text, which
becomes the error of the node.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from fake_server.workflow.model import Selector

Pool = dict[str, Mapping[str, Any]]
"""The outputs of the nodes that have run, by node id."""

_NODE = re.compile(r"\{\{(#\w{1,50}(?:\.[A-Za-z_]\w{0,29}){1,10}#)\}\}", re.ASCII)
_PROMPT = re.compile(
    r"\{\{([A-Za-z_]\w{0,29}|#\w{1,50}\.[\w.]{1,100}#|#(?:histories|query|context)#)\}\}", re.ASCII
)
_SPECIAL_TOKEN = re.compile(r"<\|.*?\|>")

NOT_A_STRING = "expected string or bytes-like object"
"""The text of Python's ``re`` on the host for a reference to anything but a string."""


ABSENT = object()


def find(pool: Pool, selector: Iterable[str]) -> Any:
    value: Any = pool
    for key in selector:
        value = value.get(key, ABSENT) if isinstance(value, Mapping) else ABSENT
    return value


def read(pool: Pool, selector: Iterable[str]) -> Any:
    """The value at ``selector``; None where there is none."""
    value = find(pool, selector)
    return None if value is ABSENT else value


@lru_cache(maxsize=4096)
def references(text: str) -> tuple[tuple[str, Selector], ...]:
    """The references to nodes in ``text``: ``#node.output#`` with its selector."""
    return tuple((key, tuple(key.strip("#").split("."))) for key in _NODE.findall(text))


def fill_parameter(text: str, pool: Pool) -> str:
    """A parameter of a tool, filled."""
    values: dict[str, Any] = {}
    for key, selector in references(text):
        value = read(pool, selector)
        values[key] = value
    return _fill(text, _NODE, values)


def prompt_values(prompts: Iterable[Mapping[str, str]], pool: Pool) -> dict[str, Any]:
    """The values of the references in the prompts of a model, each of which must have one."""
    values: dict[str, Any] = {}
    for prompt in prompts:
        for key, selector in references(prompt["text"]):
            values[key] = read(pool, selector)
            if values[key] is None:
                raise ValueError(f"Variable {key} not found")
    return values


def fill_prompt(text: str, values: Mapping[str, Any]) -> str:
    """A prompt of a model, filled; a reference without a value stays."""
    return _fill(text, _PROMPT, values)


def fill_fake(text: str, pool: Pool) -> str:
    """A template of ``x-fake``, filled; a reference without a value becomes nothing."""
    values = {}
    for key, selector in references(text):
        value = read(pool, selector)
        values[key] = "" if value is None else str(value)
    return _fill(text, _NODE, values, _PROMPT)


def _fill(
    text: str,
    pattern: re.Pattern[str],
    values: Mapping[str, Any],
    stripped: re.Pattern[str] | None = None,
) -> str:
    if "{{" not in text and "<|" not in text:
        return text
    parts = pattern.split(text)
    for index in range(1, len(parts), 2):
        key = parts[index]
        value = values.get(key, f"{{{{{key}}}}}")
        if not isinstance(value, str):
            raise ValueError(NOT_A_STRING)
        parts[index] = (stripped or pattern).sub(r"{\1}", value)
    return _SPECIAL_TOKEN.sub("", "".join(parts))


Comparison = Callable[[Any, str], bool]


def _contains(actual: Any, expected: str) -> bool:
    if not actual:
        return False
    if not isinstance(actual, str | list):
        raise ValueError("Invalid actual value type: string or array")
    return expected in actual


def _on_string(holds: Comparison, when_empty: bool = False) -> Comparison:
    def compare(actual: Any, expected: str) -> bool:
        if actual is None or (actual == "" and not when_empty):
            return False
        if not isinstance(actual, str):
            raise ValueError("Invalid actual value type: string")
        return holds(actual, expected)

    return compare


def _on_number(holds: Callable[[Any, Any], bool]) -> Comparison:
    def compare(actual: Any, expected: str) -> bool:
        if actual is None:
            return False
        if not isinstance(actual, int | float):
            raise ValueError("Invalid actual value type: number")
        return holds(actual, type(actual)(expected))

    return compare


OPERATORS: dict[str, Comparison] = {
    "contains": _contains,
    "not contains": lambda actual, expected: not _contains(actual, expected),
    "start with": _on_string(str.startswith),
    "end with": _on_string(str.endswith),
    "is": _on_string(operator.eq, when_empty=True),
    "is not": _on_string(operator.ne, when_empty=True),
    "empty": lambda actual, _: not actual,
    "not empty": lambda actual, _: bool(actual),
    "=": _on_number(operator.eq),
    "≠": _on_number(operator.ne),
    ">": _on_number(operator.gt),
    "<": _on_number(operator.lt),
    "≥": _on_number(operator.ge),
    "≤": _on_number(operator.le),
    "null": lambda actual, _: actual is None,
    "not null": lambda actual, _: actual is not None,
}
"""The comparisons of an if-else node by their names in an export."""
