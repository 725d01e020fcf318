"""YAML files as JSON data, strictly: no key twice, no dates, no objects, and every mistake with its line.

What is written is for people to read: text with line ends as a block, everything else on one line, however long.
PyYAML is imported when a file is parsed or written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from dify_wire.spec_error import SpecError, reason
from dify_wire.yaml_cache import cached

_DEEPEST = 200
_MOST_VALUES = 200_000


def load_yaml(path: Path) -> object:
    """The mapping in the YAML (or JSON) file at ``path``, as JSON data: every key a string, nothing shared.

    Raises ``SpecError`` with the line for a file that cannot be read, is not UTF-8, not YAML, not a mapping, or that
    says a key twice.
    """
    text = _text(path)
    return cached(path, text, Path(__file__), lambda: _parsed(path, text))


def _parsed(path: Path, text: str) -> object:
    import yaml

    _check_depth(path, text)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise SpecError(path, "line 1, column 1", "a mapping is needed at the top; write names with values")
        return _Converter(path, loader).value(node)
    except yaml.MarkedYAMLError as error:
        problem = error.problem or error.context or "this is not YAML"
        raise SpecError(path, _at(error.problem_mark or error.context_mark), f"{problem}; correct the YAML") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise SpecError(path, "line 1, column 1", f"this is not YAML: {error}; correct it") from None
    finally:
        loader.dispose()


def dump_yaml(data: object) -> str:
    """``data`` as a YAML document with its end marked; tuples stand on one line.

    What ``load_yaml`` makes of it is equal to ``data``, tuples being lists there.
    """
    import yaml

    width = 2**31 - 1  # libyaml's most: no line is ever folded
    return str(yaml.dump(data, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=width, explicit_end=True))


_NOT_IN_A_BLOCK = re.compile("[\r\x85\u2028\u2029\ufeff]")  # line ends that a reader would make newlines of


@cache
def _dumper() -> Any:
    import yaml

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # its base is chosen at run time
        def ignore_aliases(self, data: object) -> bool:
            return True

    def text(dumper: Any, said: str) -> Any:
        block = "\n" in said and not _NOT_IN_A_BLOCK.search(said)
        style = "|" if block else '"' if _NOT_IN_A_BLOCK.search(said) or "\n" in said else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", said, style)

    def on_one_line(dumper: Any, said: tuple[object, ...]) -> Any:
        return dumper.represent_sequence("tag:yaml.org,2002:seq", said, flow_style=True)

    Dumper.add_representer(str, text)
    Dumper.add_representer(tuple, on_one_line)
    return Dumper


def _check_depth(path: Path, text: str) -> None:
    """Refuse what is nested beyond any use: libyaml would overflow the stack of the process on it."""
    if max(map(len, text.splitlines()), default=0) < _DEEPEST and text.count("[") + text.count("{") < _DEEPEST:
        return  # too few openers and too little indentation for it
    import yaml

    depth = 0
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise SpecError(path, _at(event.start_mark), f"nested more than {_DEEPEST} levels deep; flatten it")
    except yaml.YAMLError:
        return  # said better by whoever reads it for its content


def _text(path: Path) -> str:
    try:
        return Path(path).read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(path, f"byte {error.start}", "this is not UTF-8 text; save the file as UTF-8") from None
    except OSError as error:
        raise SpecError(
            path, "the file", f"it cannot be read ({reason(error)}); give the path of a YAML file"
        ) from None


def _at(mark: Any) -> str:
    return "line 1, column 1" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"


def line_of(path: Path, place: Sequence[str | int]) -> int:
    """The line on which the value at ``place`` begins: keys and indices from the top; as far as it can be followed."""
    import yaml

    node: Any = yaml.compose(_text(path), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
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
    """Nodes of PyYAML to JSON data. Own code, because PyYAML's constructor lets a later key win, and is slower."""

    _TEXT = frozenset({"tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp"})  # JSON knows no dates
    _NUMBERS = frozenset({"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})

    def __init__(self, path: Path, loader: Any) -> None:
        self._path = path
        self._loader = loader
        self._open: set[int] = set()
        self._values = 0

    def value(self, node: Any) -> Any:
        self._values += 1
        if self._values > _MOST_VALUES:
            raise SpecError(self._path, _at(node.start_mark), "its anchors unfold to too much; write less of it")
        if isinstance(node.value, str):
            return self._scalar(node)
        if id(node) in self._open:
            raise SpecError(self._path, _at(node.start_mark), "this anchor holds itself; write the value out")
        self._open.add(id(node))
        made = self._mapping(node) if node.id == "mapping" else [self.value(child) for child in node.value]
        self._open.discard(id(node))
        return made

    def _mapping(self, node: Any) -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        merges = False
        for key, _ in node.value:
            name = self._key(key)
            merges = merges or key.tag == "tag:yaml.org,2002:merge"
            if name in pairs:
                raise SpecError(self._path, _at(key.start_mark), f"the key {name!r} is here twice; take one out")
            pairs[name] = None
        if merges:
            self._loader.flatten_mapping(node)
            pairs = {}
        for key, value in node.value:
            pairs[key.value] = self.value(value)
        return pairs

    def _key(self, node: Any) -> str:
        if not isinstance(node.value, str):
            raise SpecError(self._path, _at(node.start_mark), "a key must be a word or a number; put it in quotes")
        return node.value  # as written: 200, on and null are names here

    def _scalar(self, node: Any) -> Any:
        tag = node.tag
        if tag in self._TEXT:
            return node.value
        if tag == "tag:yaml.org,2002:null":
            return None
        if tag == "tag:yaml.org,2002:bool":
            return self._loader.construct_yaml_bool(node)
        if tag in self._NUMBERS:
            return self._number(node)
        raise SpecError(self._path, _at(node.start_mark), f"the tag {tag} has no place in JSON data; take it out")

    def _number(self, node: Any) -> int | float:
        construct = self._loader.construct_yaml_int if node.tag.endswith("int") else self._loader.construct_yaml_float
        try:
            number: int | float = construct(node)
        except ValueError:
            raise SpecError(self._path, _at(node.start_mark), "this is no number; put it in quotes") from None
        return number
