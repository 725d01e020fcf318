"""What the fake takes from spec and overlays: routes, parameters, inputs, limits, headers and the
texts of errors, as frozen, typed values. What is missing is a ``SpecError`` at start-up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from dify_wire.error_text import ErrorText
from dify_wire.profile import overlay_paths
from dify_wire.spec import load, resolved
from dify_wire.strict import Field
from dify_wire.text_file import SpecError, bundled, file_errors
from fake_server.host_spec import (
    PATH_PARAMETER,
    AppRules,
    CorsRules,
    EventFields,
    FileRules,
    GraphRules,
    HostErrors,
    HostSpec,
    HttpRules,
    InputFileRules,
    InputRule,
    Limits,
    NodeRules,
    Operation,
    PingRule,
    QueryParameter,
    RecordRules,
    RequestRules,
    RunRules,
    StreamRules,
)

Rules = TypeVar("Rules")

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_RUN_OPERATION = "runWorkflow"
_PATH_PARAMETERS: Mapping[str, frozenset[str]] = {
    _RUN_OPERATION: frozenset(),
    "stopWorkflowTask": frozenset({"task_id"}),
    "getToolFile": frozenset({"file_id", "extension"}),
    "getImagePreview": frozenset({"file_id"}),
}
"""What the handlers of these operations take from their paths."""


def load_host(
    host_version: str, spec: Path | None = None, overlays: Sequence[Path] = ()
) -> HostSpec:
    """Compile the spec (the bundled one by default) with the overlay of ``host_version`` and then
    ``overlays``.
    """
    path = spec or bundled("openapi.yaml")
    own = spec is None and not overlays  # which the tests have checked
    documents = [*overlay_paths(host_version), *overlays]
    return compile_host(path, load(path, documents, checked=own))


def compile_host(path: Path, document: Mapping[str, Any]) -> HostSpec:
    """Turn the merged ``document`` into a ``HostSpec``; ``path`` is only named in errors."""
    with file_errors(path, "an OpenAPI document of this API"):
        return _compiled(_Reader(path, document))


def _compiled(reader: _Reader) -> HostSpec:
    run = reader.request_properties(_RUN_OPERATION)
    host = reader.host()
    ping, errors = host["ping"], host["errors"].items()
    return HostSpec(
        version=host["version"],
        operations=tuple(reader.operations()),
        inputs=tuple(reader.inputs(run)),
        response_modes=reader.enumeration(run, "response_mode"),
        example=reader.request_example(_RUN_OPERATION),
        headers=tuple((name, value) for name, value in host["headers"]),
        ping=PingRule(
            ping["frame"].encode(),
            float(ping["first_s"]),
            float(ping["every_s"]),
            bool(ping["at_once"]),
        ),
        limits=Limits(**{name: host["limits"][name] for name in Limits._fields}),
        upload_extensions={
            kind: frozenset(extensions) for kind, extensions in host["upload_extensions"].items()
        },
        cors=reader.rules(CorsRules, "cors"),
        app_prefixes=tuple(host["app_prefixes"]),
        proxy_server=host["proxy"]["server"],
        errors=HostErrors({name: ErrorText(one["status"], one["body"]) for name, one in errors}),
        http=reader.rules(HttpRules, "http"),
        request=reader.rules(RequestRules, "request"),
        input_files=reader.rules(InputFileRules, "input_files"),
        run=reader.rules(RunRules, "run"),
        graph=reader.rules(GraphRules, "graph"),
        nodes=reader.rules(NodeRules, "nodes"),
        stream=reader.rules(StreamRules, "stream"),
        files=reader.rules(FileRules, "files"),
        app=reader.rules(AppRules, "app"),
        records=reader.rules(RecordRules, "records"),
        fields=reader.fields(),
        events=reader.events(),
        dsl_version=host["dsl_version"],
    )


class _Reader:
    """Reads the merged document, which has passed ``check``, and names what the fake misses."""

    def __init__(self, path: Path, document: Mapping[str, Any]) -> None:
        self._path = path
        self._document = document

    def _error(self, place: str, message: str) -> SpecError:
        return SpecError(self._path, place, message)

    def host(self) -> Mapping[str, Any]:
        """The facts of the host."""
        if "x-host" not in self._document:
            raise self._error(
                "x-host", "the facts of the host are missing; apply the overlay of a host version"
            )
        facts: Mapping[str, Any] = self._document["x-host"]
        return facts

    def rules(self, kind: type[Rules], group: str) -> Rules:
        """The facts of one group of ``x-host``, each of the type that ``kind`` gives it."""
        facts = Field(self.host(), "x-host", error=self._error)[group]
        hints = get_type_hints(kind)
        facts.only(*hints)
        values: dict[str, Any] = {}
        for name, hint in hints.items():
            if name not in facts.value:
                facts.fail(f"{name} is missing; add it")
            value = facts.value[name]
            value = tuple(value) if isinstance(value, list) else value
            kinds = [get_origin(one) or one for one in (get_args(hint) or (hint,))]
            if get_origin(hint) in (tuple, Mapping):
                kinds = [get_origin(hint)]
            if not isinstance(value, tuple(kinds)):
                raise self._error(f"x-host.{group}.{name}", f"{value!r} is of another type here")
            values[name] = value
        return kind(**values)

    def _schemas(self) -> Mapping[str, Any]:
        schemas: Mapping[str, Any] = self._document.get("components", {}).get("schemas", {})
        return schemas

    def fields(self) -> Mapping[str, tuple[str, ...]]:
        return {
            name: tuple(schema["required"])
            for name, schema in self._schemas().items()
            if isinstance(schema, Mapping) and "required" in schema
        }

    def events(self) -> Mapping[str, EventFields]:
        events = self._schemas().get("StreamEvent", {}).get("discriminator", {}).get("mapping", {})
        found = {}
        for name, reference in events.items():
            frame = self.resolved({"$ref": reference})
            data = self.resolved(frame.get("properties", {}).get("data", {}))
            found[name] = EventFields(
                tuple(frame.get("required", ())), tuple(data.get("required", ()))
            )
        return found

    def operations(self) -> Iterator[Operation]:
        return (self._operation(*entry) for entry in self._entries())

    def _entries(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """Path, method and operation of every entry of the document."""
        for path, item in self._document["paths"].items():
            for method in () if path.startswith("x-") else _METHODS:
                if method in item:
                    yield path, method, item[method]

    def _operation(self, path: str, method: str, operation: Mapping[str, Any]) -> Operation:
        name = operation.get("operationId")
        if name is None:
            raise self._error(f"paths.{path}.{method}", "an operation needs an operationId; add it")
        expected = _PATH_PARAMETERS.get(name)
        if expected is not None and expected != set(PATH_PARAMETER.findall(path)):
            names = "/".join(f"{{{one}}}" for one in sorted(expected)) or "no parameter"
            raise self._error(f"paths.{path}", f"the path of {name} needs {names}; correct it")
        parameters = [self.resolved(one) for one in operation.get("parameters", ())]
        user_in = operation.get("x-user", "none")
        return Operation(
            operation_id=name,
            method=method.upper(),
            path=path,
            user_in=None if user_in == "none" else user_in,
            user_required=bool(operation.get("x-user-required")),
            refusal=operation.get("x-refusal"),
            query=tuple(self._query(one) for one in parameters if one["in"] == "query"),
            query_model=operation.get("x-query-model"),
            uuids=frozenset(
                one["name"]
                for one in parameters
                if one["in"] == "path"
                and self.resolved(one.get("schema", {})).get("format") == "uuid"
            ),
            page=operation.get("x-view") == "page",
        )

    def _query(self, parameter: Mapping[str, Any]) -> QueryParameter:
        schema = self.resolved(parameter.get("schema", {}))
        return QueryParameter(
            name=parameter["name"],
            required=bool(parameter.get("required")),
            type=str(schema.get("type", "string")),
            default=schema.get("default"),
            minimum=schema.get("minimum"),
            maximum=schema.get("maximum"),
            choices=tuple(schema.get("enum", ())),
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
        raise self._error(place, "an example of a request is needed here; add examples")

    def _json_body(self, operation_id: str) -> tuple[str, Mapping[str, Any]]:
        for path, method, operation in self._entries():
            if operation.get("operationId") == operation_id:
                body = self.resolved(operation.get("requestBody", {}))
                media: Mapping[str, Any] = body.get("content", {}).get("application/json", {})
                return f"paths.{path}.{method}.requestBody", media
        raise self._error(
            "paths",
            f"no operation has the operationId {operation_id!r}; the fake has nothing to run",
        )

    def _object_schema(self, schema: Mapping[str, Any], place: str) -> Mapping[str, Any]:
        """The first schema with ``properties`` among ``schema`` and its alternatives."""
        for alternative in self._alternatives(schema):
            if "properties" in alternative:
                return alternative
        raise self._error(place, "a schema with properties is needed here")

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
            raise self._error(f"the request's {name}", "an enumeration is needed here; add enum")
        return options

    def inputs(self, run: Mapping[str, Any]) -> Iterator[InputRule]:
        inputs = self._object_schema(run["properties"].get("inputs", {}), "the request's inputs")
        required = inputs.get("required", ())
        for name, schema in inputs["properties"].items():
            yield InputRule(name, name in required, self._options(schema))
