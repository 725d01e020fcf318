"""Templates of an app file and the pool of values that they name, as Dify 0.6.4 fills them (FACTS
12.7 and 12.9).

A reference ``{{#node.output#}}`` becomes its value. The host strips one pair of braces off whatever
looks like a reference in a value, and then takes ``<|…|>`` out of the whole. A prompt of a model
knows more references than a tool's parameter: ``{{name}}``, ``{{#context#}}``, ``{{#query#}}``,
``{{#histories#}}``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from fake_server.workflow.graph import Selector

_NODE = re.compile(r"\{\{(#\w{1,50}(?:\.[A-Za-z_]\w{0,29}){1,10}#)\}\}", re.ASCII)
_PROMPT = re.compile(
    r"\{\{([A-Za-z_]\w{0,29}|#\w{1,50}\.[\w.]{1,100}#|#(?:histories|query|context)#)\}\}", re.ASCII
)
_SPECIAL_TOKEN = re.compile(r"<\|.*?\|>")

NOT_A_TEXT = "expected string or bytes-like object"
"""What Python's ``re`` says on the host when a reference names anything but a text."""


class VariablePool:
    """The outputs of the nodes that have run; a name that nothing has set has no value
    (``None``).
    """

    def __init__(self) -> None:
        self._values: dict[Selector, Any] = {}

    def add(self, node_id: str, outputs: Mapping[str, Any]) -> None:
        for name, value in outputs.items():
            self._values[(node_id, name)] = value

    def get(self, selector: Selector) -> Any:
        """The value that ``selector`` names: an output of a node, or what stands in it under
        further names.
        """
        value = self._values.get(selector[:2])
        for key in selector[2:]:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value


def references(text: str) -> Iterator[Selector]:
    """The selectors that ``text`` mentions, in order."""
    for match in _NODE.finditer(text):
        yield _selector(match[1])


def fill_parameter(text: str, pool: VariablePool) -> str:
    """A tool's parameter filled. Raises ``ValueError`` for a reference to anything but a text."""
    return _formatted(_NODE, text, lambda key: _text(pool.get(_selector(key))))


def prompt_values(texts: Iterable[str], pool: VariablePool) -> dict[str, Any]:
    """What the references of a model's prompts name. Raises ``ValueError`` for one that names no
    value.
    """
    values: dict[str, Any] = {}
    for match in (match for text in texts for match in _NODE.finditer(text)):
        values[match[1]] = pool.get(_selector(match[1]))
        if values[match[1]] is None:
            raise ValueError(f"Variable {match[1]} not found")
    return values


def fill_prompt(text: str, values: Mapping[str, Any]) -> str:
    """A model's prompt filled. Raises ``ValueError`` for a reference to anything but a text."""
    return _formatted(_PROMPT, text, lambda key: _text(values.get(key, f"{{{{{key}}}}}")))


def fill_answer(text: str, pool: VariablePool) -> str:
    """A template of ``x-fake`` filled: its values as a model has received them, and nothing where
    there is none.
    """
    return _formatted(_NODE, text, lambda key: _shown(pool.get(_selector(key))), _PROMPT)


def _formatted(
    pattern: re.Pattern[str],
    text: str,
    value: Callable[[str], str],
    stripped: re.Pattern[str] | None = None,
) -> str:
    if "{{" not in text and "<|" not in text:
        return text
    stripped = stripped or pattern
    filled = pattern.sub(lambda match: stripped.sub(r"{\1}", value(match[1])), text)
    return _SPECIAL_TOKEN.sub("", filled)


def _selector(reference: str) -> Selector:
    return tuple(reference.strip("#").split("."))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(NOT_A_TEXT)
    return value


def _shown(value: Any) -> str:
    return "" if value is None else str(value)
