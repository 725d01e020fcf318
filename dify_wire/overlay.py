"""OpenAPI Overlay 1.0: a list of actions that change a document.

The rules, from https://spec.openapis.org/overlay/v1.0.0.html, "Action Object":

1. A target is an RFC 9535 JSONPath. Supported: names (dotted, or quoted in brackets), indexes,
   wildcards, descendants (``..``), and filters that compare or ask for members of ``@``, joined by
   ``&&``. Anything else is an error. (The libraries for all of it take 100 ms to import.)
2. Targets are objects and arrays; a primitive cannot be a target.
3. ``update`` on an object merges recursively: properties are added, primitives replaced, objects
   merged, arrays within it concatenated. On an array it is one entry to append.
4. ``remove: true`` wins over ``update``.

Stricter than the standard:

S1. A target that matches nothing is an error: the change would silently not be made.
S2. Values of different kinds (object, array, primitive) do not merge: remove the old one first.
S3. Paths, the nodes that targets look at, and the size of the document are bounded.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dify_wire.yaml_file import VALUES, load_yaml

__all__ = ["VISITS", "OverlayError", "Selected", "apply_overlay", "copied", "select"]

VISITS = 200_000
"""The most nodes that the targets of one overlay look at; one that needs more is refused."""

_LONGEST_PATH = 1_000


class OverlayError(ValueError):
    """An overlay that cannot be applied; ``place`` is inside the overlay."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}")
        self.place = place
        self.message = message


class Selected(NamedTuple):
    """One node that a JSONPath selects: ``container[key]``; the root has no container."""

    container: dict[str, Any] | list[Any] | None
    key: str | int
    value: Any


def read_overlay(path: Path) -> dict[str, Any]:
    """The overlay at ``path``, read once per state of the file; not to be changed."""
    try:
        state = path.stat()
    except OSError:
        return load_yaml(path)
    return _overlay_once(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=8)
def _overlay_once(path: Path, changed_ns: int, size: int) -> dict[str, Any]:
    return load_yaml(path)


def apply_overlay(document: dict[str, Any], overlay: Mapping[str, Any]) -> None:
    """Apply every action of ``overlay`` to ``document`` in place, in order. Values are copied,
    never shared.

    Raises ``OverlayError``; the document may then be half changed.
    """
    version, actions = overlay.get("overlay"), overlay.get("actions")
    if not isinstance(version, str) or not re.fullmatch(r"1\.0\.\d+", version):
        message = f"this is not an OpenAPI Overlay 1.0 ({version!r}); begin it with overlay: 1.0.0"
        raise OverlayError("overlay", message)
    if not isinstance(actions, list) or not actions:
        raise OverlayError("actions", "an overlay needs a list of at least one action; add one")
    visits, values = [VISITS], size(document)
    for index, action in enumerate(actions):
        place = f"actions[{index}]"
        target = action.get("target") if isinstance(action, Mapping) else None
        if not isinstance(target, str):
            message = "an action is a mapping with a target, a JSONPath in quotes; add it"
            raise OverlayError(place, message)
        place = f"{place} (target {target})"
        try:
            found = select(document, target, visits)
            if not found:  # S1
                raise ValueError(
                    "the target matches nothing; correct the path or take the action out"
                )
            values += size(action.get("update")) * len(found)
            if values > VALUES:
                raise ValueError(
                    f"the document grows to more than {VALUES} values; change fewer places"
                )
            _act(action, found)
        except ValueError as error:
            raise OverlayError(place, str(error)) from None
        except RecursionError:
            raise OverlayError(place, "the document is nested too deep; flatten it") from None


def size(value: Any) -> int:
    """How many values ``value`` holds, itself included."""
    count, pending = 0, [value]
    while pending:
        one = pending.pop()
        count += 1
        pending += [child for _, child in _children(one)]
    return count


def copied(value: Any) -> Any:
    """A deep copy of JSON data, much quicker than ``copy.deepcopy``."""
    if isinstance(value, Mapping):
        return {key: copied(child) for key, child in value.items()}
    if isinstance(value, list):
        return [copied(child) for child in value]
    return value


def _act(action: Mapping[str, Any], found: list[Selected]) -> None:
    if any(not isinstance(one.value, dict | list) for one in found):
        raise ValueError("Overlay 1.0 cannot target a primitive value; target what holds it")
    if action.get("remove") is True:
        for one in reversed(found):  # from the back, so that indexes before it stay true
            if one.container is None:
                raise ValueError("the whole document cannot be removed; target a part of it")
            del one.container[one.key]
    elif "update" not in action:
        raise ValueError("an action needs update, or remove: true; add one")
    for one in found if action.get("remove") is not True else ():
        if isinstance(one.value, list):
            one.value.append(copied(action["update"]))
        elif isinstance(action["update"], Mapping):
            _merge(one.value, action["update"])
        else:
            raise ValueError("the update of an object must be an object; write its properties")


def _merge(node: dict[str, Any], update: Mapping[str, Any]) -> None:
    for key, new in update.items():
        old = node.get(key)
        if key not in node:
            node[key] = copied(new)
        elif _kind(old) != _kind(new):  # S2
            raise ValueError(
                f"{key}: {_kind(new)} cannot be merged into {_kind(old)}; remove it first"
            )
        elif isinstance(new, Mapping):
            _merge(node[key], new)
        elif isinstance(new, list):
            node[key].extend(copied(new))
        else:
            node[key] = new


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "an object"
    return "an array" if isinstance(value, list) else "a primitive"


# JSONPath, the subset of rule 1
# -------------------------------------------------------------------------------------

_Step = Callable[[Any], Iterable[Selected]]
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
_MISSING = object()


def select(document: Any, path: str, visits: list[int] | None = None) -> list[Selected]:
    """The nodes of ``document`` that JSONPath ``path`` selects, in document order.

    ``visits`` holds how many nodes may still be looked at, and is counted down. Raises
    ``ValueError`` for what is not a path of the subset, or leads to more than that.
    """
    visits = [VISITS] if visits is None else visits
    if len(path) > _LONGEST_PATH:
        raise ValueError(f"a JSONPath has at most {_LONGEST_PATH} characters; shorten it")
    if not path.startswith("$"):
        raise ValueError(
            f"a JSONPath begins with $, not {path[:20]!r}; write $ and the names from the root"
        )
    found = [Selected(None, "$", document)]
    for step in _steps(path):
        found = list(_taken(step, found, visits))
    return found


def _taken(step: _Step, found: list[Selected], visits: list[int]) -> Iterator[Selected]:
    for one in found:
        visits[0] -= len(one.value) if isinstance(one.value, dict | list) else 1
        for selected in step(one.value):
            visits[0] -= 1
            if visits[0] < 0:
                raise ValueError(
                    f"targets look at more than {VISITS} nodes, which takes too long; "
                    "write the names out"
                )
            yield selected


def _steps(path: str) -> Iterator[_Step]:
    at = 1
    while at < len(path):
        if path.startswith("..", at):
            yield _descend
            at += 2 if path.startswith("[", at + 2) else 1
        segment = re.compile(_SEGMENT).match(path, at)  # at the first use, not at import
        if segment is None:
            raise ValueError(
                f"{path[at:]!r} is not understood; "
                "use .name, ['na-me'], [0], [*] and [?@.name=='x']"
            )
        yield _step(segment)
        at = segment.end()


def _descend(value: Any) -> Iterator[Selected]:
    """The node itself and all below it, parents first; the next step takes from each of them."""
    pending = [value]
    while pending:
        value = pending.pop()
        yield Selected(None, "..", value)
        pending += [child for _, child in reversed(_children(value))]


def _children(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []


def _step(segment: re.Match[str]) -> _Step:
    name, index = segment["name"], segment["index"]
    if segment["quoted"] is not None:
        name = _unquoted(segment["quoted"])
    condition = _condition(segment["filter"]) if segment["filter"] is not None else None

    def step(value: Any) -> Iterator[Selected]:
        if name is not None:
            if isinstance(value, dict) and name in value:
                yield Selected(value, name, value[name])
        elif index is not None:
            if isinstance(value, list) and -len(value) <= int(index) < len(value):
                yield Selected(value, int(index) % len(value), value[int(index)])
        else:
            for key, child in _children(value):
                if condition is None or condition(child):
                    yield Selected(value, key, child)

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
    text, equal = found["literal"], found["operator"] == "=="
    literal: Any = _unquoted(text) if text[0] in "'\"" else json.loads(text)

    def test(value: Any) -> bool:
        member = _member(value, names)  # JSON equality: true is not 1
        same = isinstance(member, bool) == isinstance(literal, bool) and bool(member == literal)
        return same is equal

    return test


def _member(value: Any, names: list[str]) -> Any:
    for name in names:
        if not isinstance(value, dict) or name not in value:
            return _MISSING
        value = value[name]
    return value


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])
