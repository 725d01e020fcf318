"""The spec and its overlays, loaded, merged and checked: what both sides take their knowledge of
the wire from.

``openapi.yaml`` says what the vendor's document says; an overlay says what a host of one version
does beside it; a user may bring either of his own. Whatever is wrong with one of them is a
``SpecError``, found here and not by the first request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dify_wire.overlay import OverlayError, apply_overlay, copied, read_overlay
from dify_wire.own_files import kept
from dify_wire.strict import Field
from dify_wire.text_file import SpecError, file_errors, read_text
from dify_wire.yaml_file import load_yaml

DEEPEST = 300
"""The most levels of a merged document; one of more is refused."""

_MERGING = [Path(__file__).with_name(name) for name in ("spec.py", "overlay.py", "yaml_file.py")]
"""The code that a merged document depends on."""

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
_DATA = frozenset(("example", "examples", "default", "const", "enum", "value"))  # no rules
_NAMED = frozenset(
    (
        *("properties", "patternProperties", "$defs", "dependentSchemas", "schemas", "responses"),
        *("headers", "content", "paths", "parameters", "examples", "requestBodies"),
        *("securitySchemes", "links", "callbacks", "encoding"),
    )
)
"""Keywords of mappings whose keys are names."""

_COLLECTIONS = (dict, list)  # quicker than dict | list
_SCHEMAS = (dict, bool)
_PARTS = frozenset(("allOf", "anyOf", "oneOf", "if", "then", "else", "not"))
_TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}
_KEYWORDS: dict[str, tuple[str, tuple[type, ...]]] = {
    word: (expected, kinds)
    for expected, kinds, words in (
        ("a mapping", (dict,), "properties patternProperties $defs dependentSchemas schemas"),
        ("a mapping", (dict,), "responses headers content paths components requestBody"),
        ("a mapping", (dict,), "requestBodies discriminator mapping"),
        ("a list", (list,), "allOf anyOf oneOf prefixItems x-errors"),
        ("a mapping or a list", (dict, list), "parameters examples"),
        ("a mapping, true or false", (dict, bool), "schema itemSchema items if then else not"),
        ("a string", (str,), "operationId in name format pattern x-refusal propertyName"),
        ("a number", (int, float), "minLength maxLength minimum maximum minItems maxItems"),
        ("a number", (int, float), "minProperties maxProperties"),
        ("a string or a list", (str, list), "type"),
    )
    for word in words.split()
}
"""The kinds of value that a keyword may have."""

_RANGES = [(f"min{what}", f"max{what}") for what in ("Length", "imum", "Items", "Properties")]
_PATH = re.compile(r"/(?:[^{}]|\{[^{}/]+\})*")
_TEXT = re.compile("[^\ud800-\udfff]+")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_GREATEST = 1e12
_WHOLE_LIMITS = (
    "request_body_bytes request_line_bytes header_line_bytes headers_bytes upload_image_bytes "
    "upload_file_bytes run_steps user_characters"
)


def resolved(document: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    """``value`` itself, or what it refers to in ``document``, which has passed ``check``."""
    while "$ref" in value:
        target: Any = document
        for key in _steps(value["$ref"]):
            target = target[key]
        value = target
    return value


def _steps(reference: str) -> list[str]:
    steps = reference.removeprefix("#/").split("/")
    return [step.replace("~1", "/").replace("~0", "~") for step in steps]


class Schemas:
    """The schemas of ``document``; each is compiled once.

    jsonschema-rs does the work: Python's jsonschema takes a hundred times as long.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._components = document.get("components", {})
        self._validators: dict[str, Any] = {}

    def errors(self, schema: Mapping[str, Any], value: Any) -> Iterator[Any]:
        """jsonschema-rs's errors of ``value``: ``message``, ``instance_path``, ``schema_path``."""
        key = repr(schema)
        if key not in self._validators:
            import jsonschema_rs  # a server that warns of nothing never needs it

            rooted = {**schema, "components": self._components}
            self._validators[key] = jsonschema_rs.Draft202012Validator(rooted)
        return iter(self._validators[key].iter_errors(value))


def load(spec: Path, overlays: Sequence[Path], *, checked: bool = False) -> dict[str, Any]:
    """The document of ``spec`` with ``overlays`` applied in order, checked unless it has been, as
    that of the project's own files has; it is kept, too.

    Raises ``SpecError`` for a file that cannot be used, an overlay that does not fit, a ``$ref`` to
    nothing, and for rules that contradict each other; then no socket should open.
    """
    last = overlays[-1] if overlays else spec
    merge = partial(_merged, spec, overlays)
    if checked:
        texts = [read_text(path, "YAML") for path in (spec, *overlays)]
        return kept(last.with_suffix(".merged"), texts, _MERGING, merge)
    document = merge()
    with file_errors(
        last,
        "an OpenAPI document that an overlay has changed" if overlays else "an OpenAPI document",
    ):
        check(last, document)
    return document


def _merged(spec: Path, overlays: Sequence[Path]) -> dict[str, Any]:
    document = load_yaml(spec)
    _check_version(spec, document)
    for path in overlays:
        try:
            apply_overlay(document, read_overlay(path))
        except OverlayError as error:
            raise SpecError(path, error.place, f"{error.message} (applied to {spec})") from None
    return document


def to_openapi_31(value: Any) -> Any:
    """A copy of a document, or of a part of it, as OpenAPI 3.1 for tools that do not know 3.2.

    An ``itemSchema`` becomes ``x-item-schema``, and the schema is a string or such an item: a tool
    that validates the whole body sees a string, one that validates each event (as schemathesis
    does) sees the items. So every verdict stays the same.
    """
    if isinstance(value, list):
        return [to_openapi_31(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    made = {key: to_openapi_31(entry) for key, entry in value.items()}
    if "itemSchema" in made:
        item = made["x-item-schema"] = made.pop("itemSchema")
        made.setdefault("schema", {"anyOf": [{"type": "string"}, copied(item)]})
    if "openapi" in made and "paths" in made:
        made["openapi"] = "3.1.1"
    return made


def _check_version(path: Path, document: Mapping[str, Any]) -> None:
    version = document.get("openapi")
    if not isinstance(version, str) or not re.fullmatch(r"3\.[12]\.\d+", version):
        found = repr(version) if "openapi" in document else "no OpenAPI version"
        advice = "OpenAPI 3.1 and 3.2 can be read, so write openapi: 3.2.0"
        raise SpecError(path, "openapi", f"this says {found}; {advice}")
    if not isinstance(document.get("paths"), dict):
        raise SpecError(path, "paths", "a mapping of paths is needed; add it")


def check(path: Path, document: Mapping[str, Any]) -> None:
    """Raise ``SpecError`` for the first rule of the merged ``document`` that cannot hold; ``path``
    is only named.
    """
    field = Field(document, error=lambda place, message: SpecError(path, place, message))
    _check_depth(field)
    rules = _Rules(field)
    rules.check(field)
    errors = None
    if "x-host" in document:
        _check_host(field["x-host"])
        errors = document["x-host"]["errors"]
    _check_operations(field, rules, errors)


def _check_depth(field: Field) -> None:
    """Hold the document to a depth that every recursion over it can bear; overlays add up."""
    level: list[Any] = [field.value]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for value in level:
            below += value.values() if isinstance(value, dict) else value
        level = [value for value in below if isinstance(value, _COLLECTIONS)]
        if not level:
            return
    field.fail(f"it is nested more than {DEEPEST} levels deep; flatten it")


class _Rules:
    """The rules of one document, wherever in it they stand."""

    def __init__(self, document: Field) -> None:
        self._document = document
        self._targets: dict[str, Any] = {}

    def check(self, field: Field, *, named: bool = False, part: bool = False) -> None:
        """Check the rules in ``field`` and below. ``named``: its keys are names; ``part``: it is a
        part of a schema.
        """
        value, path, error = field.value, field.path, field.error
        if isinstance(value, list):
            for index, entry in enumerate(value):
                if isinstance(entry, _COLLECTIONS):
                    self.check(Field(entry, f"{path}[{index}]", error=error), part=part)
            return
        if not named:
            self._object(field, part)
        for key, child in value.items():
            if isinstance(child, _COLLECTIONS) and (named or not _is_data(key, child)):
                below = Field(child, f"{path}.{key}" if path else key, error=error)
                if named and isinstance(child, list) and not key.startswith("x-"):
                    below.mapping()
                names, parts = not named and key in _NAMED, not named and key in _PARTS
                self.check(below, named=names, part=parts)
            elif named and not isinstance(child, _SCHEMAS) and not key.startswith("x-"):
                field[key].mapping()

    def _object(self, field: Field, part: bool) -> None:
        rules = field.value
        for keyword, value in rules.items():
            if keyword in _KEYWORDS:
                expected, kinds = _KEYWORDS[keyword]
                fits = bool in kinds if isinstance(value, bool) else isinstance(value, kinds)
                if not fits:
                    field[keyword].expect(False, expected)
        if "$ref" in rules:
            self.resolved(field, rules["$ref"])
        mapping = field["discriminator"].get("mapping") if "discriminator" in rules else None
        for _, reference in mapping.items() if mapping else ():
            self.resolved(reference, reference.value)
        if "required" in rules:
            self._required(
                field, whole=not part and not _PARTS & rules.keys() and "$ref" not in rules
            )
        if "enum" in rules or "default" in rules or "const" in rules:
            self._values(field)
        for low, high in _RANGES:
            if low in rules and high in rules and rules[low] > rules[high]:
                field.fail(f"{low} is greater than {high}; no value can satisfy both, change one")

    def resolved(self, field: Field, reference: Any) -> Any:
        """What ``reference`` in ``field``, and those that it leads to, refer to in the end."""
        first = reference if isinstance(reference, str) else ""
        if first in self._targets:
            return self._targets[first]
        seen: set[str] = set()
        target: Any = {"$ref": reference}
        while isinstance(target, dict) and "$ref" in target:
            reference = target["$ref"]
            if not isinstance(reference, str) or not reference.startswith("#/"):
                field.fail(f"$ref {reference!r} leads out of the document; write #/components/…")
            if reference in seen:
                field.fail(f"$ref {reference} leads back to itself; write the value out")
            seen.add(reference)
            target = self._document.value
            for key in _steps(reference):
                if not isinstance(target, dict) or key not in target:
                    field.fail(f"$ref {reference} leads to nothing; add {key!r} or correct it")
                target = target[key]
        if not isinstance(target, dict | bool):
            field.fail(f"$ref {reference} leads to {target!r}, not to a mapping; correct it")
        self._targets[first] = target
        return target

    def _required(self, field: Field, whole: bool) -> None:
        required, properties = field["required"], field.value.get("properties")
        if isinstance(required.value, bool):  # of a parameter or a request body
            return
        for name in required.texts():
            if whole and isinstance(properties, dict) and name not in properties:
                required.fail(f"{name!r} is required and not among properties; add it there")

    def _values(self, field: Field) -> None:
        rules = field.value
        enum = rules.get("enum")
        if enum is None and "$ref" in rules:
            target = self.resolved(field, rules["$ref"])
            enum = target.get("enum") if isinstance(target, dict) else None
        if enum is not None and (not isinstance(enum, list) or not enum):
            Field(enum, f"{field.path}.enum", error=field.error).fail(
                "an enumeration needs a list of at least one value; add one"
            )
        if enum is not None and "default" in rules:
            default = field["default"]
            boolean = isinstance(default.value, bool)  # JSON's true is not 1
            if not any(one == default.value and isinstance(one, bool) == boolean for one in enum):
                default.fail(f"{default.value!r} is not in enum; add it or change it")
        types = rules.get("type")
        if isinstance(types, list):
            field["type"].texts()
        values = (
            *rules.get("enum", ()),
            *(rules[key] for key in ("default", "const") if key in rules),
        )
        for value in values if types is not None else ():
            if not _is_type(value, types):
                field.fail(f"{value!r} is not of type {types!r}; change one of the two")


def _is_data(key: str, child: Any) -> bool:
    """Whether ``key`` of an object holds values, which are not part of the rules."""
    if key == "examples":
        return isinstance(child, list)  # of a schema; those of a medium have names
    return key in _DATA or key.startswith("x-")


def _is_type(value: Any, types: Any) -> bool:
    if isinstance(types, list):
        return any(_is_type(value, one) for one in types)
    if isinstance(value, bool):
        return bool(types == "boolean")
    if types == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(types, object))


def _check_operations(document: Field, rules: _Rules, errors: Mapping[str, Any] | None) -> None:
    seen: dict[str, str] = {}
    for path, item in document["paths"].items():
        if path.startswith("x-"):
            continue
        names = re.findall(r"\{([^{}]*)\}", path)
        if not _PATH.fullmatch(path) or len(set(names)) < len(names):
            item.fail("a path begins with /, and its parameters are names in braces, each once")
        for method in _METHODS:
            if method not in item:
                continue
            operation = item[method]
            if name := operation.mapping().get("operationId"):
                if name in seen:
                    operation.fail(
                        f"the operationId {name!r} is that of {seen[name]} too; change it"
                    )
                seen[name] = operation.path
            _check_operation(operation, rules, errors)


def _check_operation(operation: Field, rules: _Rules, errors: Mapping[str, Any] | None) -> None:
    for entry in operation["parameters"].entries() if "parameters" in operation else ():
        parameter = entry.mapping()
        if "$ref" in parameter:
            parameter = rules.resolved(entry, parameter["$ref"])
        if not isinstance(parameter, dict) or not {"name", "in"} <= parameter.keys():
            entry.fail("a parameter is a mapping with name and in; write both")
    if "x-user" in operation:
        operation["x-user"].choice(("query", "json", "form", "none"), "place of the user")
    if "x-user-required" in operation:
        operation["x-user-required"].boolean()
    refused = [operation.value["x-refusal"]] if "x-refusal" in operation else []
    for error in (*operation.value.get("x-errors", ()), *refused):
        if errors is not None and not (isinstance(error, str) and error in errors):
            operation.fail(f"x-host.errors has no {error!r}; add it there or correct the name")


def _check_host(host: Field) -> None:
    """Every fact of ``x-host`` that the fake is made of is there, and of its type."""
    host["version"].text(_TEXT, "a string in quotes")
    host["ping"]["frame"].text(_TEXT, "a string in quotes")
    for name in ("first_s", "every_s"):
        host["ping"][name].number(0.001, _GREATEST)
    for name in _WHOLE_LIMITS.split():
        host["limits"][name].whole(1, _GREATEST)
    for name in ("url_lifetime_s", "run_s"):
        host["limits"][name].number(0.001, _GREATEST)
    host["proxy"]["server"].text(_HEADER_VALUE, "a header's value")
    for name in ("image", "document"):
        host["upload_extensions"][name].texts()
    host["app_prefixes"].texts()
    for name in ("methods", "headers"):
        for token in host["cors"][name].entries():
            token.text(_TOKEN, "a name as headers have it")
    for pair in host["headers"].entries():
        name_and_value = list(pair.entries())
        pair.expect(len(name_and_value) == 2, "a pair [name, value]")
        name_and_value[0].text(_TOKEN, "a header's name")
        name_and_value[1].text(_HEADER_VALUE, "a header's value")
    for error in (field for _, field in host["errors"].items()):
        status = error["status"].whole(400, 599)
        body = error["body"]
        if not body.mapping():
            body.fail("it is empty; write its keys in the host's order")
        if body.value.get("status", status) != status:
            body["status"].fail(f"it differs from the status {status}; make them equal")
        if "evidence" in error:
            error["evidence"].texts()
        elif "source" not in error:
            error.fail("an error names its evidence or source; add one")
