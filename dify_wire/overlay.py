"""OpenAPI Overlay 1.0: a list of actions that change a document.

The rules, from https://spec.openapis.org/overlay/v1.0.0.html, "Action Object":

1. A target is an RFC 9535 JSONPath. Supported here: names (dotted, or quoted in brackets), indexes,
  wildcards,
   descendants (``..``), and filters that compare or ask for members of ``@``, joined by ``&&``.
   Anything else is refused, never ignored. (The libraries for all of it take 100 ms and more to
   import.)
2. Targets are objects and arrays; a primitive cannot be a target.
3. ``update`` on an object merges recursively: new properties are added, primitives replaced,
  objects merged, arrays
   within it concatenated (1.1 spells out the last point). On an array it is one entry to append.
4. ``remove: true`` wins over ``update``.

Stricter than the standard, numbered to be referred to:

S1. A target that matches nothing is an error: a change that silently misses would make the fake
lie. S2. Values of different kinds (object, array, primitive) do not merge: remove the old one
first. S3. A JSONPath has at most 1,000 characters; an overlay looks at no more than ``VISITS``
nodes with all its targets, and
    the document that it makes has no more values than a file may have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from dify_wire.yaml_file import VALUES

__all__ = ["VISITS", "Match", "OverlayError", "apply_overlay", "copied", "select"]

VISITS = 200_000
"""The most nodes that the targets of one overlay look at; one that needs more is refused."""

_LONGEST_PATH = 1_000


class OverlayError(ValueError):
    """An overlay that cannot be applied. ``place`` is inside the overlay; the message says what to
    mend.
    """

    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}")
        self.place = place
        self.message = message


class Match(NamedTuple):
    """One node that a JSONPath selects: ``container[key]``; the root has no container."""

    container: dict[str, Any] | list[Any] | None
    key: str | int
    value: Any


def apply_overlay(document: dict[str, Any], overlay: Mapping[str, Any]) -> None:
    """Apply every action of ``overlay`` to ``document`` in place, in order. Values are copied,
    never shared.

    Raises ``OverlayError``; the document may then be half changed.
    """
    visits, values = [VISITS], size(document)
    for index, action in enumerate(_actions(overlay)):
        place = f"actions[{index}]"
        target = action.get("target") if isinstance(action, Mapping) else None
        if not isinstance(target, str):
            raise OverlayError(
                place, "an action is a mapping with a target, a JSONPath in quotes; add it"
            )
        place = f"{place} (target {target})"
        try:
            matches = select(document, target, visits)
        except ValueError as error:
            raise OverlayError(place, str(error)) from None
        if not matches:  # S1
            raise OverlayError(
                place, "the target matches nothing; correct the path or take the action out"
            )
        values += size(action.get("update")) * len(matches)
        if values > VALUES:
            raise OverlayError(
                place, f"the document grows to more than {VALUES} values; change fewer places"
            )
        try:
            _act(action, matches, place)
        except RecursionError:
            raise OverlayError(place, "the document is nested too deep; flatten it") from None


def size(value: Any) -> int:
    """How many values ``value`` holds, itself included."""
    count, pending = 0, [value]
    while pending:
        one = pending.pop()
        count += 1
        if isinstance(one, dict | list):
            pending += one.values() if isinstance(one, dict) else one
    return count


def _actions(overlay: Mapping[str, Any]) -> list[Any]:
    version = overlay.get("overlay")
    if not isinstance(version, str) or not re.fullmatch(r"1\.0\.\d+", version):
        raise OverlayError(
            "overlay",
            f"this is not an OpenAPI Overlay 1.0 ({version!r}); begin it with overlay: 1.0.0",
        )
    actions = overlay.get("actions")
    if not isinstance(actions, list) or not actions:
        raise OverlayError("actions", "an overlay needs a list of at least one action; add one")
    return actions


def _act(action: Mapping[str, Any], matches: list[Match], place: str) -> None:
    for match in matches:
        if not isinstance(match.value, dict | list):
            raise OverlayError(
                place, "Overlay 1.0 cannot target a primitive value; target what holds it"
            )
    if action.get("remove") is True:
        _remove(matches, place)
    elif "update" in action:
        for match in matches:
            _update(match.value, action["update"], place)
    else:
        raise OverlayError(place, "an action needs update, or remove: true; add one")


def _remove(matches: list[Match], place: str) -> None:
    for match in reversed(matches):  # from the back, so that earlier indexes of a list stay true
        if match.container is None:
            raise OverlayError(place, "the whole document cannot be removed; target a part of it")
        del match.container[match.key]


def _update(node: Any, value: Any, place: str) -> None:
    if isinstance(node, list):
        node.append(copied(value))
    elif isinstance(value, Mapping):
        _merge(node, value, place)
    else:
        raise OverlayError(place, "the update of an object must be an object; write its properties")


def _merge(node: dict[str, Any], update: Mapping[str, Any], place: str) -> None:
    for key, new in update.items():
        old = node.get(key)
        if key not in node:
            node[key] = copied(new)
        elif _kind(old) != _kind(new):  # S2
            raise OverlayError(
                f"{place}, {key}",
                f"{_kind(new)} cannot be merged into {_kind(old)}; remove it first",
            )
        elif isinstance(new, Mapping):
            _merge(node[key], new, place)
        elif isinstance(new, list):
            node[key].extend(copied(new))
        else:
            node[key] = new


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "an object"
    return "an array" if isinstance(value, list) else "a primitive"


def copied(value: Any) -> Any:
    """A deep copy of JSON data, much quicker than ``copy.deepcopy``."""
    if isinstance(value, Mapping):
        return {key: copied(child) for key, child in value.items()}
    if isinstance(value, list):
        return [copied(child) for child in value]
    return value


# JSONPath, the subset of rule 1
# -------------------------------------------------------------------------------------

_Step = Callable[[Any], Iterator[Match]]

_NAME = r"[^\W\d]\w*"  # no dash: RFC 9535 wants ['x-host']
_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_SEGMENT = (
    rf"\.(?P<name>{_NAME})|(?P<every>\.\*|\[\*\])|\[(?P<quoted>{_QUOTED})\]|\[(?P<index>-?\d+)\]"
    rf"""|\[\?(?P<filter>(?:[^\]'"[]|{_QUOTED}|\[{_QUOTED}\])+)\]"""
)
_MEMBER = rf"\.{_NAME}|\[{_QUOTED}\]"
_TEST = (
    rf"\s*@(?P<path>(?:{_MEMBER})+)\s*(?:(?P<operator>==|!=)\s*"
    rf"(?P<literal>{_QUOTED}|-?\d+(?:\.\d+)?|true|false|null))?\s*(?P<and>&&|\Z)"
)
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_MISSING = object()


def select(document: Any, path: str, visits: list[int] | None = None) -> list[Match]:
    """The nodes of ``document`` that JSONPath ``path`` selects, in document order.

    ``visits`` holds how many nodes may still be looked at, and is counted down. Raises
    ``ValueError`` for what is no path, or leads to more than that.
    """
    visits = [VISITS] if visits is None else visits
    if len(path) > _LONGEST_PATH:
        raise ValueError(f"a JSONPath has at most {_LONGEST_PATH} characters; shorten it")
    if not path.startswith("$"):
        raise ValueError(
            f"a JSONPath begins with $, not {path[:20]!r}; write $ and the names from the root"
        )
    matches = [Match(None, "$", document)]
    for step in _steps(path):
        matches = list(_taken(step, matches, visits))
    return matches


def _taken(step: _Step, matches: list[Match], visits: list[int]) -> Iterator[Match]:
    for match in matches:
        visits[0] -= len(match.value) if isinstance(match.value, dict | list) else 1
        for found in step(match.value):
            visits[0] -= 1
            if visits[0] < 0:
                raise ValueError(
                    f"targets that look at more than {VISITS} nodes take too long; write the names out"
                )
            yield found


def _steps(path: str) -> Iterator[_Step]:
    at = 1
    while at < len(path):
        if path.startswith("..", at):
            yield _descend
            at += 2 if path.startswith("[", at + 2) else 1
        segment = re.compile(_SEGMENT).match(
            path, at
        )  # compiled at the first use, not at import; re keeps it
        if segment is None:
            raise ValueError(
                f"{path[at:]!r} is not understood; use .name, ['na-me'], [0], [*] and [?@.name=='x']"
            )
        yield _step(segment)
        at = segment.end()


def _step(segment: re.Match[str]) -> _Step:
    said = segment.groupdict()
    if said["name"] is not None:
        return _child(said["name"])
    if said["quoted"] is not None:
        return _child(_unquoted(said["quoted"]))
    if said["index"] is not None:
        return _item(int(said["index"]))
    if said["filter"] is not None:
        return _filtered(_condition(said["filter"]))
    return _filtered(lambda value: True)


def _descend(value: Any) -> Iterator[Match]:
    """The node itself and all below it, parents first. The following step takes from each of
    them.
    """
    pending = [value]
    while pending:
        value = pending.pop()
        yield Match(None, "..", value)
        if isinstance(value, dict | list):
            pending += reversed(value.values() if isinstance(value, dict) else value)


def _child(name: str) -> _Step:
    def step(value: Any) -> Iterator[Match]:
        if isinstance(value, dict) and name in value:
            yield Match(value, name, value[name])

    return step


def _item(index: int) -> _Step:
    def step(value: Any) -> Iterator[Match]:
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield Match(value, index % len(value), value[index])

    return step


def _filtered(condition: Callable[[Any], bool]) -> _Step:
    def step(value: Any) -> Iterator[Match]:
        if isinstance(value, dict):
            yield from (
                Match(value, key, child) for key, child in value.items() if condition(child)
            )
        elif isinstance(value, list):
            yield from (
                Match(value, index, child) for index, child in enumerate(value) if condition(child)
            )

    return step


def _condition(text: str) -> Callable[[Any], bool]:
    tests: list[Callable[[Any], bool]] = []
    text = text.strip()
    text = text[1:-1] if text.startswith("(") and text.endswith(")") else text
    at, more = 0, True
    while more:
        found = re.compile(_TEST).match(text, at)
        if found is None:
            raise ValueError(
                f"the filter {text!r} is not understood here; write @.name == 'value', joined by &&"
            )
        tests.append(_test(found))
        at, more = found.end(), found["and"] == "&&"
    return lambda value: all(test(value) for test in tests)


def _test(found: re.Match[str]) -> Callable[[Any], bool]:
    names = [
        _unquoted(part[1:-1]) if part.startswith("[") else part[1:]
        for part in re.findall(_MEMBER, found["path"])
    ]
    if found["operator"] is None:
        return lambda value: _member(value, names) is not _MISSING
    literal, equal = _literal(found["literal"]), found["operator"] == "=="
    return lambda value: _same(_member(value, names), literal) is equal


def _member(value: Any, names: list[str]) -> Any:
    for name in names:
        if not isinstance(value, dict) or name not in value:
            return _MISSING
        value = value[name]
    return value


def _same(value: Any, literal: Any) -> bool:
    """JSON equality: ``true`` is not 1."""
    return isinstance(value, bool) == isinstance(literal, bool) and bool(value == literal)


def _literal(text: str) -> str | float | bool | None:
    if text[0] in "'\"":
        return _unquoted(text)
    return _WORDS[text] if text in _WORDS else float(text)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])
