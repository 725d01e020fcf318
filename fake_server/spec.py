"""What the fake is compiled from: spec and overlays turned into frozen, typed values once, at
start-up.

Routes, parameters, inputs, enumerations, required-ness, limits, headers and the texts of refusals
come from here. What is missing or contradicts itself is a ``dify_wire.spec.SpecError`` before a
socket opens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dify_wire.profile import overlay_paths
from dify_wire.spec import load, resolved
from dify_wire.text_file import SpecError, bundled, file_errors
from fake_server.http.errors import ErrorTemplate, HostErrors

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_RUN_OPERATION = "runWorkflow"
_PATH_PARAMETERS: Mapping[str, frozenset[str]] = {
    _RUN_OPERATION: frozenset(),
    "stopWorkflowTask": frozenset({"task_id"}),
    "getToolFile": frozenset({"file_id", "extension"}),
    "getImagePreview": frozenset({"file_id"}),
}
"""What the handlers of these operations take from their paths."""

PATH_PARAMETER = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class InputRule:
    """What the spec says of one input of the default app."""

    name: str
    required: bool
    options: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the spec. ``user_in`` says where the host looks for the user: query, json,
    form or nowhere.

    ``query`` are the required parameters of the query, in the order in which the host misses them;
    ``uuids`` are the parameters of the path that only a UUID matches.
    """

    operation_id: str
    method: str
    path: str
    user_in: str | None
    user_required: bool
    refusal: str | None
    query: tuple[str, ...]
    uuids: frozenset[str]


@dataclass(frozen=True, slots=True)
class PingRule:
    """The sign of life of a stream: its bytes, and when it is due in seconds of the run."""

    frame: bytes
    first_s: float
    every_s: float


@dataclass(frozen=True, slots=True)
class Limits:
    """The host's hard limits, in the unit that the name says."""

    request_body_bytes: int
    request_line_bytes: int
    header_line_bytes: int
    headers_bytes: int
    upload_image_bytes: int
    upload_file_bytes: int
    url_lifetime_s: float
    run_s: float
    run_steps: int
    user_characters: int


@dataclass(frozen=True)
class HostSpec:
    """Everything that the fake knows of the host which is not deployment."""

    version: str
    operations: tuple[Operation, ...]
    inputs: tuple[InputRule, ...]
    response_modes: tuple[str, ...]
    example: Mapping[str, Any]
    headers: tuple[tuple[str, str], ...]
    ping: PingRule
    limits: Limits
    image_extensions: frozenset[str]
    document_extensions: frozenset[str]
    cors_methods: tuple[str, ...]
    cors_headers: tuple[str, ...]
    app_prefixes: tuple[str, ...]
    proxy_server: str
    errors: HostErrors

    @cached_property
    def paths(self) -> Mapping[str, str]:
        """The path of each operation by its id, with ``{parameters}``."""
        return {one.operation_id: one.path for one in self.operations}


def load_host(
    host_version: str, spec: Path | None = None, overlays: Sequence[Path] = ()
) -> HostSpec:
    """Compile the spec (the bundled one by default) with the overlay of ``host_version`` and then
    ``overlays``.
    """
    path = spec or bundled("openapi.yaml")
    return compile_host(path, load(path, [*overlay_paths(host_version), *overlays]))


def compile_host(path: Path, document: Mapping[str, Any]) -> HostSpec:
    """Turn the merged ``document`` into a ``HostSpec``; ``path`` is only named in errors."""
    with file_errors(path, "an OpenAPI document of this API"):
        return _compiled(_Reader(path, document))


def _compiled(reader: _Reader) -> HostSpec:
    run = reader.request_properties(_RUN_OPERATION)
    return HostSpec(
        version=str(reader.host("version")),
        operations=tuple(reader.operations()),
        inputs=tuple(reader.inputs(run)),
        response_modes=reader.enumeration(run, "response_mode"),
        example=reader.request_example(_RUN_OPERATION),
        headers=tuple((str(name), str(value)) for name, value in reader.host("headers")),
        ping=PingRule(
            frame=str(reader.host("ping", "frame")).encode(),
            first_s=float(reader.host("ping", "first_s")),
            every_s=float(reader.host("ping", "every_s")),
        ),
        limits=Limits(
            **{name: reader.host("limits", name) for name in Limits.__dataclass_fields__}
        ),
        image_extensions=frozenset(reader.host("upload_extensions", "image")),
        document_extensions=frozenset(reader.host("upload_extensions", "document")),
        cors_methods=tuple(reader.host("cors", "methods")),
        cors_headers=tuple(reader.host("cors", "headers")),
        app_prefixes=tuple(reader.host("app_prefixes")),
        proxy_server=str(reader.host("proxy", "server")),
        errors=HostErrors(
            {
                name: ErrorTemplate(entry["status"], entry["body"])
                for name, entry in reader.host("errors").items()
            }
        ),
    )


class _Reader:
    """Reads the merged document and says precisely what it misses."""

    def __init__(self, path: Path, document: Mapping[str, Any]) -> None:
        self._path = path
        self._document = document

    def wrong(self, place: str, message: str) -> SpecError:
        return SpecError(self._path, place, message)

    def host(self, *keys: str) -> Any:
        value: Any = self._document.get("x-host")
        for index, key in enumerate(keys):
            if not isinstance(value, Mapping) or key not in value:
                place = ".".join(("x-host", *keys[: index + 1]))
                raise self.wrong(
                    place, "this fact of the host is missing; apply the overlay of a host version"
                )
            value = value[key]
        return value

    def operations(self) -> Iterator[Operation]:
        return (self._operation(*entry) for entry in self._entries())

    def _entries(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """Path, method and operation of every entry of the document."""
        for path, item in self._document["paths"].items():
            for method in () if path.startswith("x-") else _METHODS:
                if method in item:
                    yield path, method, item[method]

    def _operation(self, path: str, method: str, said: Mapping[str, Any]) -> Operation:
        if "operationId" not in said:
            raise self.wrong(f"paths.{path}.{method}", "an operation needs an operationId; add it")
        needed = _PATH_PARAMETERS.get(said["operationId"])
        if needed is not None and needed != set(PATH_PARAMETER.findall(path)):
            names = "/".join(f"{{{name}}}" for name in sorted(needed)) or "no parameter"
            raise self.wrong(
                f"paths.{path}", f"the path of {said['operationId']} needs {names}; correct it"
            )
        parameters = list(self._parameters(said))
        return Operation(
            operation_id=said["operationId"],
            method=method.upper(),
            path=path,
            user_in=said.get("x-user") if said.get("x-user") != "none" else None,
            user_required=bool(said.get("x-user-required")),
            refusal=said.get("x-refusal"),
            query=tuple(
                entry["name"]
                for entry in parameters
                if entry["in"] == "query" and entry.get("required")
            ),
            uuids=frozenset(entry["name"] for entry in parameters if self._is_uuid(entry)),
        )

    def _parameters(self, said: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        return (self.resolved(parameter) for parameter in said.get("parameters", ()))

    def _is_uuid(self, parameter: Mapping[str, Any]) -> bool:
        return (
            parameter["in"] == "path"
            and self.resolved(parameter.get("schema", {})).get("format") == "uuid"
        )

    def resolved(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        return resolved(self._document, value) if isinstance(value, Mapping) else value

    def request_properties(self, operation_id: str) -> Mapping[str, Any]:
        place, media = self._json_body(operation_id)
        return self._object_schema(media.get("schema", {}), place)

    def request_example(self, operation_id: str) -> Mapping[str, Any]:
        """The first example of a request, as the document gives it."""
        place, media = self._json_body(operation_id)
        for example in media.get("examples", {}).values():
            value = self.resolved(example).get("value")
            if isinstance(value, Mapping):
                return value
        raise self.wrong(place, "an example of a request is needed here; add examples")

    def _json_body(self, operation_id: str) -> tuple[str, Mapping[str, Any]]:
        for path, method, said in self._entries():
            if said.get("operationId") == operation_id:
                body = self.resolved(said.get("requestBody", {}))
                media: Mapping[str, Any] = body.get("content", {}).get("application/json", {})
                return f"paths.{path}.{method}.requestBody", media
        raise self.wrong(
            "paths",
            f"no operation has the operationId {operation_id!r}; the fake has nothing to run",
        )

    def _object_schema(self, schema: Mapping[str, Any], place: str) -> Mapping[str, Any]:
        """The first schema with ``properties`` among ``schema`` and its alternatives."""
        for alternative in self._alternatives(schema):
            if "properties" in alternative:
                return alternative
        raise self.wrong(place, "a schema with properties is needed here")

    def _alternatives(self, schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """``schema`` and whatever it combines, references followed, outermost first, each once."""
        pending, seen = [schema], set[int]()
        while pending:
            schema = self.resolved(pending.pop())
            if not isinstance(schema, Mapping) or id(schema) in seen:
                continue  # true and false allow all and nothing, and have no alternatives
            seen.add(id(schema))
            yield schema
            inner = [one for key in ("allOf", "anyOf", "oneOf") for one in schema.get(key, ())]
            pending += reversed(inner)

    def _options(self, schema: Mapping[str, Any]) -> tuple[str, ...] | None:
        """The texts to choose from; an alternative that lists blanks (what counts as left out) is
        none of them.
        """
        for alternative in self._alternatives(schema):
            values = alternative.get("enum", ())
            if values and all(isinstance(value, str) and value for value in values):
                return tuple(values)
        return None

    def enumeration(self, schema: Mapping[str, Any], name: str) -> tuple[str, ...]:
        options = self._options(schema["properties"].get(name, {}))
        if options is None:
            raise self.wrong(f"the request's {name}", "an enumeration is needed here; add enum")
        return options

    def inputs(self, run: Mapping[str, Any]) -> Iterator[InputRule]:
        inputs = self._object_schema(run["properties"].get("inputs", {}), "the request's inputs")
        required = inputs.get("required", ())
        for name, schema in inputs["properties"].items():
            yield InputRule(name, name in required, self._options(schema))
