"""What the overlays between two versions say: which of their actions a change is."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dify_wire.overlay import read_overlay
from dify_wire.profile import overlay_paths

_MOST = 3
"""Actions that are named with one change."""

_ALIKE = 0.1
"""An action that shares an exchange and is as much alike as this speaks of a change."""

_VERY_ALIKE = 0.25
"""The same of an action that names other exchanges, if none shares one."""

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]{2,}")
_PART = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_COMMON = frozenset(
    (
        *("the", "and", "for", "with", "not", "null", "true", "false", "string", "object", "type"),
        *("components", "schemas", "required", "properties", "const", "update", "host", "ref"),
        *("body", "data", "event", "every", "node", "finished", "value", "status", "message"),
        *("response", "run", "file", "files", "app", "code", "error", "errors", "invalid", "param"),
        *("application", "json", "text", "description", "evidence", "outputs", "inputs", "keys"),
        *(
            "post",
            "get",
            "workflow",
            "workflows",
            "user",
            "payload",
            "validation",
            "number",
            "integer",
            "array",
            "succeeded",
            "uuid",
        ),
    )
)
"""Words that say nothing about which action a change is."""


@dataclass(frozen=True, slots=True)
class Action:
    """An action of an overlay: where it acts, what it says, and the exchanges that show it."""

    version: str
    target: str
    description: str
    exchanges: frozenset[str]
    source: str
    words: frozenset[str]

    @property
    def title(self) -> str:
        return self.description or self.target


@dataclass(frozen=True, slots=True)
class Evidence:
    """An action with the exchanges that show a change."""

    action: Action
    exchanges: tuple[str, ...]


def actions_between(a: str, b: str) -> tuple[Action, ...]:
    """The actions of the overlays that lead from ``a`` to ``b``, or back, in their order."""
    of_a, of_b = overlay_paths(a), overlay_paths(b)
    paths = [path for path in [*of_a, *of_b] if path not in of_a or path not in of_b]
    return tuple(action for path in paths for action in _actions(read_overlay(path)))


def _actions(overlay: Mapping[str, Any]) -> Iterator[Action]:
    for action in overlay["actions"]:
        update = action.get("update")
        if update is None:
            continue  # what is removed is added again, in another form, by the next action
        target, description = action["target"], " ".join(action.get("description", "").split())
        yield Action(
            version=str(overlay["info"]["version"]),
            target=target,
            description=description,
            exchanges=frozenset((*_exchanges(action.get("x-evidence", ())), *_within(update))),
            source=str(action.get("x-source", "")),
            words=frozenset(_words(f"{target} {description} {update!r}")),
        )


def _exchanges(evidence: Iterable[str]) -> Iterator[str]:
    return (name for name in evidence if not name.startswith("FACTS "))


def _within(update: Any) -> Iterator[str]:
    """The evidence of errors, which stands beside each of them."""
    if isinstance(update, Mapping):
        for key, value in update.items():
            if key == "evidence" and isinstance(value, list):
                yield from _exchanges(value)
            else:
                yield from _within(value)


def _words(text: str) -> Iterator[str]:
    """The words of ``text`` in lower case, also those within names such as NodeStartedData."""
    for word in _WORD.findall(text.replace("_", " ")):
        for part in _PART.findall(word):
            if len(part) > 2 and part.lower() not in _COMMON:
                yield part.lower()


def supporting(
    actions: Sequence[Action], requests: Iterable[str], words: Iterable[str]
) -> tuple[Evidence, ...]:
    """The actions that speak of the same as ``words``, the likeliest first."""
    names, of_change = frozenset(requests), frozenset(_words(" ".join(words)))
    found = []
    for action in actions:
        most = math.sqrt(len(action.words) * len(of_change)) or 1
        found.append((len(action.words & of_change) / most, action))
    found.sort(key=lambda one: -one[0])
    shared = [
        Evidence(action, tuple(sorted(action.exchanges & names)))
        for likeness, action in found
        if likeness >= _ALIKE and action.exchanges & names
    ]
    others = [
        Evidence(action, tuple(sorted(action.exchanges)))
        for likeness, action in found[:1]
        if likeness >= _VERY_ALIKE
    ]
    return tuple(shared[:_MOST] or others)
