"""``{{#node.name#}}`` in texts, and the pool of values that a run has so far."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fake_server.workflow.graph import Selector

_REFERENCE = re.compile(r"\{\{#([^{}#]+)#\}\}")


class VariablePool:
    """The outputs of the nodes that have run; a name that nothing has set has no value (``None``)."""

    def __init__(self) -> None:
        self._values: dict[Selector, Any] = {}

    def add(self, node_id: str, outputs: Mapping[str, Any]) -> None:
        for name, value in outputs.items():
            self._values[(node_id, name)] = value

    def get(self, selector: Selector) -> Any:
        return self._values.get(selector)


def references(text: str) -> Iterator[Selector]:
    """The selectors that ``text`` mentions, in order."""
    for match in _REFERENCE.finditer(text):
        yield split_reference(match[1])


def split_reference(reference: str) -> Selector:
    return tuple(reference.strip().split(".", 1))


def fill(text: str, pool: VariablePool) -> str:
    """``text`` with each reference replaced by its value, and by nothing where there is none."""
    return _REFERENCE.sub(lambda match: _as_text(pool.get(split_reference(match[1]))), text)


def _as_text(value: Any) -> str:
    return "" if value is None else str(value)
