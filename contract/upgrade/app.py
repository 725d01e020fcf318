"""What an app has of the workflow API, the kinds of its nodes and of its start variables; and which
changes of a host do not concern it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from contract.app_inputs import exported_app, start_variables
from dify_wire.text_file import SpecError, bundled

_OF_NODE = re.compile(r"node_\w+ \(([a-z-]+)\)")
_OF_KIND = {
    "iteration_": "iteration",
    "loop_": "loop",
    "human_input_": "human-input",
    "workflow_paused": "human-input",
    "agent_log": "agent",
}
"""Events that only a kind of node causes, by how their names begin."""

_USUAL = frozenset(
    (
        *("start", "end", "llm", "tool", "if-else", "template-transform"),
        *("text-input", "paragraph", "select"),
    )
)
"""Nodes and variables that say nothing about what an app was recorded for."""


@dataclass(frozen=True, slots=True)
class AppParts:
    """An app as far as changes of the host depend on it."""

    name: str
    nodes: frozenset[str]
    variables: frozenset[str]

    @property
    def unusual(self) -> frozenset[str]:
        return (self.nodes | self.variables) - _USUAL

    def concerned_by(self, places: Iterable[str], recorded: Iterable[AppParts]) -> bool:
        """Whether a client of this app can see a change at one of ``places`` that was recorded
        with the apps ``recorded``.
        """
        if not any(self._can_have(place) for place in places):
            return False
        others = [one.unusual for one in recorded]
        return not others or any(not one or one & self.unusual for one in others)

    def _can_have(self, place: str) -> bool:
        of_node = _OF_NODE.match(place)
        if of_node is not None:
            return of_node[1] in self.nodes
        kinds = [kind for start, kind in _OF_KIND.items() if place.startswith(start)]
        return not kinds or any(kind in self.nodes for kind in kinds)


def read_app(path: Path) -> AppParts:
    """The parts of an exported app. Raises ``SpecError``."""
    name, nodes = exported_app(path)
    variables = (str(one.get("type")) for one in start_variables(path, nodes))
    kinds = (str(node["type"]) for node in nodes if node.get("type"))  # a note has none
    return AppParts(name, frozenset(kinds), frozenset(variables))


@cache
def recorded_app(label: str | None, version: str) -> AppParts | None:
    """The app ``label`` of the recordings of ``version``; None where it has no export."""
    for path in (f"recordings/apps/dify-{version}/{label}.yml", f"recordings/apps/{label}.yml"):
        try:
            return read_app(bundled(path))
        except SpecError:
            continue
    return None
