"""YAML and JSON files as JSON data, strictly: no key twice, no dates, no objects, mistakes with
their line.

No file takes more memory than its size explains: values are counted as anchors unfold them. JSON is
read by its own rules; where it breaks them, the file is read as YAML, which names the place. PyYAML
is imported when a file is parsed or written.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NoReturn

from dify_wire.own_files import is_own, kept
from dify_wire.text_file import SpecError, read_text

NESTING = 200
"""The deepest level of a YAML or JSON file."""

VALUES = 200_000
"""The most values of a YAML or JSON file, anchors and merge keys unfolded."""

_CODE = Path(__file__)
_LARGE = 1 << 18
_SURROGATES = re.compile("[\ud800-\udfff]")
_ESCAPED_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_MERGE = "tag:yaml.org,2002:merge"
_GREATEST = int(sys.float_info.max)
_LONGEST_SCALAR = 10_000


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in the YAML or JSON file at ``path``, as JSON data: every key a string, nothing
    shared. A whole number beyond any float is infinite. Raises ``SpecError`` with the line.
    """
    text = read_text(path, "YAML")
    parse = partial(_parsed, path, text)
    return kept(path, [text], [_CODE], parse) if is_own(path) else parse()


def parse_yaml(path: Path, text: str, inside: str) -> dict[str, Any]:
    """The mapping in ``text``, which the file at ``path`` has under the key ``inside``."""
    try:
        return _parsed(path, text)
    except SpecError as error:
        raise SpecError(path, f"{inside}, {error.place}", error.message) from None


def _parsed(path: Path, text: str) -> dict[str, Any]:
    if _is_json(text):
        try:
            return _json(path, text)
        except (ValueError, RecursionError):
            pass  # the YAML reader names the place of what is wrong
    return _yaml(path, text)


def _is_json(text: str) -> bool:
    return text.lstrip("\ufeff \t\r\n").startswith("{")


def _json(path: Path, text: str) -> dict[str, Any]:
    """``text`` read as JSON. Raises ``ValueError`` or ``RecursionError`` for what JSON does not
    allow.
    """
    value: dict[str, Any] = json.loads(
        text, object_pairs_hook=_unique, parse_int=_integer, parse_constant=_constant
    )
    _check_size(path, value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise ValueError("a key is there twice")
    return mapping


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _check_size(path: Path, value: Any) -> None:
    """Hold JSON to the bounds of YAML; half of a surrogate pair could not be written again."""
    count, level, inner = 0, [value], 0
    while level:
        count, inner = count + len(level), inner + 1
        if count > VALUES or inner > NESTING:
            raise ValueError("too large")
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                below += [*one, *one.values()]
            elif isinstance(one, list):
                below += one
            elif isinstance(one, str) and _SURROGATES.search(one):
                message = f"{one[:40]!r} has half of a surrogate pair; write the character"
                raise SpecError(path, "a text", message)
        level = below


def _integer(digits: str) -> int | float:
    """A whole number; infinite where it is beyond any float, as JSON's ``1e999`` is."""
    number = float(digits)
    return int(digits) if math.isfinite(number) else number


def _yaml(path: Path, text: str) -> dict[str, Any]:
    import yaml

    _check_events(path, text)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            message = "a mapping is needed at the top; write names with values"
            raise SpecError(path, _at(None), message)
        value: dict[str, Any] = _Converter(path, loader).value(node)
        return value
    except yaml.MarkedYAMLError as error:
        problem = error.problem or error.context or "this is not YAML"
        place = _at(error.problem_mark or error.context_mark)
        raise SpecError(path, place, f"{problem}; correct the YAML") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise SpecError(path, _at(None), f"this is not YAML: {error}; correct it") from None
    finally:
        loader.dispose()


def dump_yaml(data: object) -> str:
    """``data`` as a YAML document with its end marked; tuples, which are read as lists, stand on
    one line.
    """
    import yaml

    options: Any = {"sort_keys": False, "allow_unicode": True, "explicit_end": True}
    longest = 2**31 - 1  # libyaml's most: no line is ever folded
    return str(yaml.dump(data, Dumper=_dumper(), width=longest, **options))


_NOT_IN_A_BLOCK = re.compile("[\r\x85\u2028\u2029\ufeff]")  # a reader makes newlines of them


@cache
def _dumper() -> Any:
    import yaml

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        def ignore_aliases(self, data: object) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        block = "\n" in value and not _NOT_IN_A_BLOCK.search(value)
        style = "|" if block else '"' if _NOT_IN_A_BLOCK.search(value) or "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style)

    def on_one_line(dumper: Any, value: tuple[object, ...]) -> Any:
        return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)

    Dumper.add_representer(str, text)
    Dumper.add_representer(tuple, on_one_line)
    return Dumper


def _check_events(path: Path, text: str) -> None:
    """Refuse what is nested so deep that libyaml's stack overflows, and too many values."""
    longest = max(map(len, text.splitlines()), default=0)
    if len(text) < _LARGE and longest < NESTING and text.count("[") + text.count("{") < NESTING:
        return  # too few values, openers and too little indentation for it
    import yaml

    depth = values = 0
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            values += isinstance(event, yaml.NodeEvent)
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > NESTING:
                message = f"nested more than {NESTING} levels deep; flatten it"
                raise SpecError(path, _at(event.start_mark), message)
            if values > 2 * VALUES:  # keys and values
                message = f"more than {VALUES} values; write fewer"
                raise SpecError(path, _at(event.start_mark), message)
    except (yaml.YAMLError, ValueError):
        return  # the reader of the content reports it


def _at(mark: Any) -> str:
    return "line 1, column 1" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"


def line_of(path: Path, place: Sequence[str | int]) -> int:
    """The line on which the value at ``place`` begins: keys and indices from the top; as far as it
    can be followed.
    """
    import yaml

    text = read_text(path, "YAML")
    if _is_json(text):  # what only JSON allows becomes as many characters that YAML allows too
        text = _ESCAPED_PAIR.sub("?" * 12, text).replace("\t", " ")
    try:
        node: Any = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return 1
    line = node.start_mark.line
    for key in place:
        if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
            line = node.start_mark.line
            continue
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        found = next(((name, value) for name, value in pairs if name.value == key), None)
        if found is None:
            break
        line, node = found[0].start_mark.line, found[1]
    return int(line) + 1


class _Converter:
    """Nodes of PyYAML to JSON data. PyYAML's constructor lets a later key win, and is slower."""

    _TEXT = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp")  # JSON knows no dates
    _COLLECTIONS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")

    def __init__(self, path: Path, loader: Any) -> None:
        self._path = path
        self._loader = loader
        self._open: set[int] = set()
        self._merged: dict[int, dict[str, Any]] = {}
        self._values = 0

    def value(self, node: Any) -> Any:
        self._count(node)
        if isinstance(node.value, str):
            return self._scalar(node)
        if node.tag not in self._COLLECTIONS:
            raise self._error(node, f"the tag {node.tag} has no place in JSON data; take it out")
        self._enter(node)
        if node.id == "mapping":
            made: Any = {name: self.value(child) for name, child in self._pairs(node).items()}
        else:
            made = [self.value(child) for child in node.value]
        self._open.discard(id(node))
        return made

    def _count(self, node: Any) -> None:
        self._values += 1
        if self._values > VALUES:
            message = f"more than {VALUES} values, with its anchors unfolded; write fewer"
            raise self._error(node, message)

    def _enter(self, node: Any) -> None:
        if id(node) in self._open:
            raise self._error(node, "this anchor holds itself; write the value out")
        self._open.add(id(node))

    def _pairs(self, node: Any) -> dict[str, Any]:
        """The nodes of a mapping's values by name, those of its merge keys first."""
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                self._merge(value, merged)
                continue
            if not isinstance(key.value, str):
                raise self._error(key, "a key must be a word or a number; put it in quotes")
            name = key.value  # as written: 200, on and null are names here
            if name in own:
                raise self._error(key, f"the key {name!r} is here twice; take one out")
            own[name] = value
        return {**merged, **own}

    def _merge(self, source: Any, merged: dict[str, Any]) -> None:
        """Add what ``source``, a mapping or a list of them, has besides: of two values the first
        counts.
        """
        for one in source.value if source.id == "sequence" else [source]:
            if one.id != "mapping":
                message = "a merge key << takes a mapping or a list of mappings; write one"
                raise self._error(one, message)
            if id(one) not in self._merged:
                self._enter(one)
                self._merged[id(one)] = self._pairs(one)
                self._open.discard(id(one))
            for name, value in self._merged[id(one)].items():
                self._count(one)
                merged.setdefault(name, value)

    def _error(self, node: Any, message: str) -> SpecError:
        return SpecError(self._path, _at(node.start_mark), message)

    def _scalar(self, node: Any) -> Any:
        tag = node.tag
        if tag in self._TEXT:
            return node.value
        if tag == "tag:yaml.org,2002:null":
            return None
        if tag == "tag:yaml.org,2002:bool":
            return self._made(node, self._loader.construct_yaml_bool, "true or false")
        if tag == "tag:yaml.org,2002:int":
            number = self._made(node, self._loader.construct_yaml_int, "a whole number")
            return number if abs(number) <= _GREATEST else math.inf if number > 0 else -math.inf
        if tag == "tag:yaml.org,2002:float":
            return self._made(node, self._loader.construct_yaml_float, "a number")
        raise self._error(node, f"the tag {tag} has no place in JSON data; take it out")

    def _made(self, node: Any, construct: Any, kind: str) -> Any:
        if len(node.value) > _LONGEST_SCALAR:
            raise self._error(node, f"{kind} is not that long; put it in quotes")
        try:
            return construct(node)
        except (ValueError, KeyError, IndexError, OverflowError):
            message = f"{node.value[:40]!r} is not {kind}; put it in quotes"
            raise self._error(node, message) from None
