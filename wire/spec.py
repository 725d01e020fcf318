"""The spec and its overlays, loaded, merged and checked: what both sides take their knowledge of the wire from.

``openapi.yaml`` says what the vendor's document says; an overlay says what a host of one version does beside it; a user
may bring either of his own. Whatever is wrong with one of them is a ``SpecError``, found here and not by the first
request. Only PyYAML is imported, and only when a file is read.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wire.overlay import OverlayError, apply_overlay, copied

if TYPE_CHECKING:
    import yaml

__all__ = ["HOST_VERSIONS", "SpecError", "bundled", "check", "load", "load_yaml", "overlay_paths", "to_openapi_31"]

_HERE = Path(__file__).resolve().parent
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")


class SpecError(Exception):
    """A spec, an overlay or a host version that cannot be used.

    ``path`` is the file, ``place`` where in it (``line 12, column 3`` or ``paths./v1/workflows/run.post``), ``message``
    what is wrong and how to mend it. As text it is one line of the three.
    """

    def __init__(self, path: Path | str, place: str, message: str) -> None:
        super().__init__(path, place, message)
        self.path = Path(path)
        self.place = place
        self.message = message

    def __str__(self) -> str:
        return " ".join(f"{self.path}: {self.place}: {self.message}".split())


# Files --------------------------------------------------------------------------------------------------------------


def bundled(name: str) -> Path:
    """The path of a file that comes with the project: ``openapi.yaml`` or ``overlays/…``.

    In a wheel the build has put it into ``wire/data``; in a checkout it lies at the root.
    """
    for root in (_HERE / "data", _HERE.parent):
        if (root / name).exists():
            return root / name
    raise SpecError(_HERE / "data" / name, "the file", "it should have come with the installation; install it again")


def _known_versions() -> tuple[str, ...]:
    try:
        names = [path.name for path in bundled("overlays").iterdir()]
    except (SpecError, OSError):
        return ()
    versions = [name[5:-5] for name in names if name.startswith("dify-") and name.endswith(".yaml")]
    return tuple(sorted(versions, key=lambda version: [int(part) for part in version.split(".")], reverse=True))


HOST_VERSIONS: tuple[str, ...] = _known_versions()
"""The host versions that have an overlay here, newest first."""


def overlay_paths(host_version: str) -> list[Path]:
    """The bundled overlays that make the spec a host of ``host_version``, in the order in which they apply.

    An overlay whose root says ``x-after`` applies after the one that it names.
    """
    if host_version not in HOST_VERSIONS:
        known = ", ".join(HOST_VERSIONS) or "none"
        raise SpecError(_overlay_folder(), "the host version", f"{host_version!r} is unknown; use one of: {known}")
    paths = [bundled(f"overlays/dify-{host_version}.yaml")]
    while (after := _overlay(paths[0]).get("x-after")) is not None:
        path = paths[0].parent / str(after)
        if path in paths:
            raise SpecError(path, "x-after", "these overlays each come after the other; take one x-after out")
        paths.insert(0, path)
    return paths


def _overlay_folder() -> Path:
    return bundled("overlays") if HOST_VERSIONS else _HERE


def _overlay(path: Path) -> dict[str, Any]:
    """The overlay at ``path``, read once per state of the file; not to be changed."""
    try:
        state = path.stat()
    except OSError:
        return _mapping(path)
    return _overlay_once(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=8)
def _overlay_once(path: Path, changed_ns: int, size: int) -> dict[str, Any]:
    return _mapping(path)


def _mapping(path: Path) -> dict[str, Any]:
    value = load_yaml(path)
    assert isinstance(value, dict)
    return value


# YAML ---------------------------------------------------------------------------------------------------------------


def load_yaml(path: Path) -> object:
    """The mapping in the YAML (or JSON) file at ``path``, as JSON data: every key a string, nothing shared.

    Raises ``SpecError`` with the line for a file that cannot be read, is not UTF-8, not YAML, not a mapping, or that
    says a key twice.
    """
    import yaml

    text = _text(path)
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


def _text(path: Path) -> str:
    try:
        return Path(path).read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(path, f"byte {error.start}", "this is not UTF-8 text; save the file as UTF-8") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SpecError(path, "the file", f"it cannot be read ({reason}); give the path of a YAML file") from None


def _at(mark: yaml.Mark | None) -> str:
    return "line 1, column 1" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"


class _Converter:
    """Nodes of PyYAML to JSON data. Own code, because PyYAML's constructor lets a later key win, and is slower."""

    _TEXT = frozenset({"tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp"})  # JSON knows no dates
    _NUMBERS = frozenset({"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})

    def __init__(self, path: Path, loader: Any) -> None:
        self._path = path
        self._loader = loader
        self._open: set[int] = set()

    def value(self, node: Any) -> Any:
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


# The merged document ------------------------------------------------------------------------------------------------


def load(spec: Path, overlays: Sequence[Path]) -> dict[str, Any]:
    """The document of ``spec`` with ``overlays`` applied in order, checked.

    Raises ``SpecError`` for a file that cannot be used, an overlay that does not fit, a ``$ref`` to nothing, and for
    rules that contradict each other; then no socket should open.
    """
    document = _mapping(spec)
    _check_version(spec, document)
    last = spec
    for path in overlays:
        try:
            apply_overlay(document, _overlay(path))
        except OverlayError as error:
            raise SpecError(path, error.place, error.message) from None
        last = path
    check(last, document)
    return document


def check(path: Path, document: Mapping[str, Any]) -> None:
    """Raise ``SpecError`` for the first rule of a merged ``document`` that cannot hold; ``path`` is only named."""
    _Checker(path, document).check()


def to_openapi_31(document: Mapping[str, Any]) -> dict[str, Any]:
    """The OpenAPI 3.1 form of ``document``, for tools that do not know 3.2; every other verdict stays the same.

    The version is 3.1.1. An ``itemSchema`` becomes ``x-item-schema``, and the schema is a text or such an item: a tool
    that judges the body as a whole sees a text, and one that judges each event (as schemathesis does) sees the items.
    """
    made = copied(document)
    made["openapi"] = "3.1.1"
    for holder in _holders_of_item_schema(made):
        item = holder["x-item-schema"] = holder.pop("itemSchema")
        holder.setdefault("schema", {"anyOf": [{"type": "string"}, copied(item)]})
    assert isinstance(made, dict)
    return made


def _holders_of_item_schema(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        for content in (value.get("content"),):
            if isinstance(content, dict):
                yield from (media for media in content.values() if isinstance(media, dict) and "itemSchema" in media)
        for child in value.values():
            yield from _holders_of_item_schema(child)
    elif isinstance(value, list):
        for child in value:
            yield from _holders_of_item_schema(child)


def _check_version(path: Path, document: Mapping[str, Any]) -> None:
    version = document.get("openapi")
    if not isinstance(version, str) or not re.fullmatch(r"3\.[12]\.\d+", version):
        found = f"this says {version!r}" if "openapi" in document else "this says no OpenAPI version"
        raise SpecError(path, "openapi", f"{found}; OpenAPI 3.1 and 3.2 can be read, so write openapi: 3.2.0")
    if not isinstance(document.get("paths"), dict):
        raise SpecError(path, "paths", "a mapping of paths is needed; add it")


# Contradictions -----------------------------------------------------------------------------------------------------

_DATA = frozenset({"example", "examples", "default", "const", "enum", "value"})  # values, not rules
_NAMED = frozenset(  # their keys are names
    {
        "properties",
        "patternProperties",
        "$defs",
        "dependentSchemas",
        "schemas",
        "responses",
        "headers",
        "content",
        "paths",
    }
)
_PARTS = frozenset({"allOf", "anyOf", "oneOf", "if", "then", "else", "not"})  # may speak of what the whole defines
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}
_RANGES = (
    ("minLength", "maxLength"),
    ("minimum", "maximum"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
)


class _Checker:
    """Walks the merged document and raises at the first rule that cannot hold."""

    def __init__(self, path: Path, document: Mapping[str, Any]) -> None:
        self._path = path
        self._document = document

    def check(self) -> None:
        self._walk(self._document, "")
        if "x-host" in self._document:
            _HostChecker(self._path, self._document["x-host"]).check()
        self._operations()

    def _wrong(self, place: str, message: str) -> SpecError:
        return SpecError(self._path, place or "the top", message)

    def _walk(self, value: Any, place: str, *, named: bool = False, part: bool = False) -> None:
        if isinstance(value, dict):
            if not named:
                self._object(value, place, part=part)
            for key, child in value.items():
                if isinstance(child, dict | list) and (named or not (key in _DATA or key.startswith("x-"))):
                    inner = f"{place}.{key}" if place else key
                    self._walk(child, inner, named=not named and key in _NAMED, part=not named and key in _PARTS)
        elif isinstance(value, list):
            for index, child in enumerate(value):
                if isinstance(child, dict | list):
                    self._walk(child, f"{place}[{index}]", part=part)

    def _object(self, value: dict[str, Any], place: str, *, part: bool) -> None:
        if "$ref" in value:
            self._resolved(value["$ref"], place)
        if "discriminator" in value and isinstance(value["discriminator"], dict):
            for reference in value["discriminator"].get("mapping", {}).values():
                self._resolved(reference, f"{place}.discriminator.mapping")
        if "required" in value:
            self._required(value, place, whole=not part and not _PARTS & value.keys() and "$ref" not in value)
        if "enum" in value or "default" in value or "const" in value:
            self._values(value, place)
        for low, high in _RANGES:
            if low in value and high in value and value[low] > value[high]:
                raise self._wrong(place, f"{low} is greater than {high}; no value can satisfy both, change one")

    def _resolved(self, reference: Any, place: str) -> Any:
        target: Any = self._document
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise self._wrong(place, f"$ref {reference!r} leads out of the document; write #/components/…")
        for name in reference[2:].split("/"):
            key = name.replace("~1", "/").replace("~0", "~")
            if not isinstance(target, dict) or key not in target:
                raise self._wrong(place, f"$ref {reference} leads to nothing; add {key!r} or correct it")
            target = target[key]
        return target

    def _required(self, value: dict[str, Any], place: str, *, whole: bool) -> None:
        required, properties = value["required"], value.get("properties")
        if isinstance(required, bool):  # of a parameter or a request body
            return
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            raise self._wrong(f"{place}.required", "a list of property names is needed here; write one")
        for name in required:
            if whole and isinstance(properties, dict) and name not in properties:
                raise self._wrong(f"{place}.required", f"{name!r} is required and not among properties; add it there")

    def _values(self, value: dict[str, Any], place: str) -> None:
        said = value.get("enum", self._enumeration(value, place))
        if said is not None and (not isinstance(said, list) or not said):
            raise self._wrong(f"{place}.enum", "an enumeration needs a list of at least one value; add one")
        if said is not None and "default" in value and not _among(value["default"], said):
            raise self._wrong(f"{place}.default", f"{value['default']!r} is not in enum; add it or change it")
        kinds = value.get("type")
        for entry in (*value.get("enum", ()), *(value[key] for key in ("default", "const") if key in value)):
            if kinds is not None and not _is(entry, kinds):
                raise self._wrong(place, f"{entry!r} is not of type {kinds!r}; change one of the two")

    def _enumeration(self, value: dict[str, Any], place: str) -> Any:
        target = self._resolved(value["$ref"], place) if "$ref" in value else None
        return target.get("enum") if isinstance(target, dict) else None

    def _operations(self) -> None:
        seen: dict[str, str] = {}
        errors = self._document["x-host"]["errors"] if "x-host" in self._document else None
        for path, item in self._document["paths"].items():
            if not isinstance(item, dict):
                raise self._wrong(f"paths.{path}", "a mapping of methods is needed here; write one")
            for method in _METHODS:
                if method in item:
                    self._operation(item[method], f"paths.{path}.{method}", seen, errors)

    def _operation(self, said: Any, place: str, seen: dict[str, str], errors: Mapping[str, Any] | None) -> None:
        if not isinstance(said, dict):
            raise self._wrong(place, "a mapping is needed here; write the operation")
        name = said.get("operationId")
        if isinstance(name, str):
            if name in seen:
                raise self._wrong(place, f"the operationId {name!r} is that of {seen[name]} too; give it another")
            seen[name] = place
        if said.get("x-user", "none") not in ("query", "json", "form", "none"):
            raise self._wrong(f"{place}.x-user", "the user is in query, json, form or none; write one of them")
        if not isinstance(said.get("x-user-required", False), bool):
            raise self._wrong(f"{place}.x-user-required", "true or false is needed here; write one")
        refusal = [said["x-refusal"]] if "x-refusal" in said else []
        for error in (*said.get("x-errors", ()), *refusal):
            if errors is not None and error not in errors:
                raise self._wrong(place, f"x-host.errors has no {error!r}; add it there or correct the name")


def _among(value: Any, entries: list[Any]) -> bool:
    return any(value == entry and isinstance(value, bool) == isinstance(entry, bool) for entry in entries)


def _is(value: Any, kinds: Any) -> bool:
    if isinstance(kinds, list):
        return any(_is(value, kind) for kind in kinds)
    if isinstance(value, bool):
        return bool(kinds == "boolean")
    if kinds == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kinds, object))


# Facts of the host --------------------------------------------------------------------------------------------------

_LIMITS = (
    "request_body_bytes",
    "request_line_bytes",
    "header_line_bytes",
    "headers_bytes",
    "upload_image_bytes",
    "upload_file_bytes",
    "url_lifetime_s",
    "run_s",
    "run_steps",
    "user_characters",
)
_TEXT_LISTS = (
    ("upload_extensions", "image"),
    ("upload_extensions", "document"),
    ("cors", "methods"),
    ("cors", "headers"),
    ("app_prefixes",),
)


class _HostChecker:
    """Checks that ``x-host`` has every fact that the fake is compiled from, each of its type."""

    def __init__(self, path: Path, host: Any) -> None:
        self._path = path
        self._host = host

    def check(self) -> None:
        for keys in (("version",), ("ping", "frame"), ("proxy", "server")):
            self._expect(keys, lambda value: isinstance(value, str) and value != "", "a text in quotes")
        for keys in (("ping", "first_s"), ("ping", "every_s"), *(("limits", name) for name in _LIMITS)):
            self._expect(keys, lambda value: _is(value, "number") and value > 0, "a number greater than 0")
        for keys in _TEXT_LISTS:
            self._expect(keys, _texts, "a list of texts")
        self._expect(("headers",), _header_pairs, "a list of pairs [name, value]")
        self._expect(("errors",), lambda value: isinstance(value, dict), "a mapping of errors by name")
        for name, error in self._host["errors"].items():
            self._error(name, error)

    def _expect(self, keys: Sequence[str], holds: Any, wanted: str) -> None:
        value: Any = self._host
        for index, key in enumerate(keys):
            place = ".".join(("x-host", *keys[: index + 1]))
            if not isinstance(value, dict) or key not in value:
                raise SpecError(self._path, place, f"this fact of the host is missing; write {wanted}")
            value = value[key]
        if not holds(value):
            raise SpecError(self._path, place, f"{value!r} will not do; write {wanted}")

    def _error(self, name: str, error: Any) -> None:
        place = f"x-host.errors.{name}"
        if not isinstance(error, dict) or not isinstance(error.get("body"), dict) or not error["body"]:
            raise SpecError(self._path, place, "an error has a status and a body with its keys in order; write both")
        status = error.get("status")
        if not isinstance(status, int) or not 400 <= status <= 599:
            raise SpecError(self._path, f"{place}.status", f"{status!r} will not do; write a status from 400 to 599")
        if error["body"].get("status", status) != status:
            raise SpecError(self._path, f"{place}.body.status", f"it differs from the status {status}; make them equal")
        if not _texts(error.get("evidence", [])) or not ("evidence" in error or "source" in error):
            raise SpecError(self._path, f"{place}.evidence", "an error names its evidence or source; add one")


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _header_pairs(value: Any) -> bool:
    return isinstance(value, list) and all(_texts(pair) and len(pair) == 2 for pair in value)
