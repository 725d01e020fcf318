"""Reads an app file into a ``Workflow``: Dify's export vocabulary plus ``x-fake``, all checked.

A graph that the host accepts and cannot run (no start node, an unknown node type, no edges) is read
only where the file has ``x-fake: {unchecked: true}``; it then fails as on the host
[C: g_nostart_*, g_badtype_*].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dify_wire.strict import Field, did_you_mean
from dify_wire.text_file import SpecError, file_errors
from dify_wire.yaml_file import load_yaml
from fake_server.host_spec import InputRule
from fake_server.runs.random_values import uuid4_for
from fake_server.workflow.expressions import references
from fake_server.workflow.model import Node, NodeBehaviour, Selector, StartVariable, Workflow
from fake_server.workflow.nodes import (
    NODE_KINDS,
    UNKNOWN_KIND,
    NodeKind,
    check_selector,
    complete_settings,
)

VARIABLE_TYPES = ("text-input", "paragraph", "select")
_TRANSFER_METHODS = ("remote_url", "local_file")
_SPREAD = 0.05
_MAX_NUMBER = 1e9


class WorkflowError(SpecError):
    """An app file that cannot be used: names the file, the place in it and the correction."""


def default_workflow_path() -> Path:
    """The bundled app file of the document's app."""
    return Path(__file__).parent.parent / "data" / "workflow.yml"


def load_workflow(
    path: Path, rules: Sequence[InputRule] | None = None, models: Sequence[str] = ()
) -> Workflow:
    """Read the app file at ``path``. Raises ``WorkflowError``.

    ``rules`` are the inputs of the spec, for a file that describes the default app. ``models`` are
    those of the image server; the first is the default of its tool.
    """
    raw = load_yaml(path)
    with file_errors(path, "an app file", WorkflowError):
        top = Field(raw, error=lambda place, message: WorkflowError(path, place, message))
        return _Loader(top, rules, models).workflow(path.stem)


def default_features(mode: str) -> Mapping[str, Any]:
    """The features in ``GET /v1/parameters`` of an app of ``mode`` that has none of its own."""
    features = load_yaml(default_workflow_path().with_name("features.yml"))
    assert isinstance(features, dict)
    known: Mapping[str, Any] = features[mode]
    return known


class _Loader:
    def __init__(
        self, top: Field, rules: Sequence[InputRule] | None, models: Sequence[str]
    ) -> None:
        self._top = top
        self._graph = top["workflow"]["graph"]
        self._rules = rules
        self._models = models
        extra = top.get("x-fake") or Field({}, "x-fake", error=top.error)
        extra.only("unchecked", "workflow_id")
        self._extra = extra.mapping()
        unchecked = extra.get("unchecked")
        self._unchecked = unchecked is not None and unchecked.boolean()

    def workflow(self, default_name: str) -> Workflow:
        app = self._app()
        name = str(app.get("name") or default_name)
        nodes, variables = self._nodes()
        edges = self._edges(nodes)
        if not self._unchecked:
            self._check_references(nodes, variables)
        return Workflow(
            name=name,
            description=str(app.get("description") or ""),
            workflow_id=str(self._extra.get("workflow_id") or uuid4_for("workflow", name)),
            features=self._features(),
            variables=variables,
            nodes=nodes,
            edges=edges,
            complete=all(self._graph.get(key) is not None for key in ("nodes", "edges")),
        )

    def _app(self) -> Mapping[str, Any]:
        app = self._top.get("app")
        if app is None:
            return {}
        mode = app.get("mode")
        if mode is not None and mode.value not in ("", "workflow"):
            mode.fail(
                f"this is an app of mode {mode.value!r}, and only workflow apps run here; "
                "see --app KEY=chat"
            )
        return app.mapping()

    def _features(self) -> dict[str, Any]:
        """The features that ``GET /v1/parameters`` has; it leaves out others of a file."""
        features = self._top["workflow"].get("features")
        upload = features.get("file_upload") if features else None
        image = upload.get("image") if upload else None
        enabled = image.get("enabled") if image else None
        if image and enabled and enabled.boolean():
            image["number_limits"].whole()
            for method in image["transfer_methods"].entries():
                method.choice(_TRANSFER_METHODS, "transfer method")
        own = features.mapping() if features else {}
        return {key: own.get(key, value) for key, value in default_features("workflow").items()}

    def _nodes(self) -> tuple[dict[str, Node], tuple[StartVariable, ...]]:
        nodes: dict[str, Node] = {}
        variables: tuple[StartVariable, ...] = ()
        if self._unchecked and self._graph.get("nodes") is None:
            return nodes, variables
        for field in self._graph["nodes"].entries():
            node = self._node(field)
            if node.node_id in nodes:
                field.fail(f"another node has the id {node.node_id!r}; give each node its own")
            nodes[node.node_id] = node
            if node.type == "start":
                variables = read_variables(field["data"], self._rules)
        starts = sum(node.type == "start" for node in nodes.values())
        if starts != 1 and not self._unchecked:
            self._graph["nodes"].fail(
                f"a graph needs exactly one node of type start, and this one has {starts}"
            )
        return nodes, variables

    def _node(self, field: Field) -> Node:
        data = field["data"]
        node_type = data["type"].text()
        if not self._unchecked:
            data["type"].choice(NODE_KINDS, "node type")
        kind = NODE_KINDS.get(node_type, UNKNOWN_KIND)
        kind.check(data)
        behaviour = _behaviour(data, kind)
        fixed = behaviour.outputs is not None or behaviour.error is not None
        if kind.run is UNKNOWN_KIND.run and not fixed and not self._unchecked:
            data.fail(
                f"the fake does not run a {node_type} node; give its outputs in x-fake.outputs"
            )
        content = data.mapping()
        if node_type == "tool":
            content = {**content, "tool_configurations": complete_settings(content, self._models)}
        title = str(content.get("title") or node_type)
        return Node(_identifier(field["id"]), node_type, title, content, behaviour)

    def _edges(self, nodes: Mapping[str, Node]) -> dict[tuple[str, str], str]:
        edges: dict[tuple[str, str], str] = {}
        if self._unchecked and self._graph.get("edges") is None:
            return edges
        for field in self._graph["edges"].entries():
            source, target = _identifier(field["source"]), _identifier(field["target"])
            for end in (source, target):
                if end not in nodes:
                    field.fail(f"the edge names the node {end!r}, which is not in this graph")
            handle = field.get("sourceHandle")
            key = (source, str(handle.value) if handle else "source")
            if key in edges:
                field.fail(
                    f"a second edge leaves {source!r} by {key[1]!r}; one node can follow another"
                )
            edges[key] = target
        return edges

    def _check_references(
        self, nodes: Mapping[str, Node], variables: Sequence[StartVariable]
    ) -> None:
        """Fail for a selector or ``{{#node.output#}}`` that leads nowhere.

        It is the commonest mistake in a graph, and the host accepts it silently.
        """
        names = [variable.name for variable in variables]
        for field in self._graph["nodes"].entries():
            for place, (node_id, name, *_) in _references(field["data"]):
                if node_id != "sys" and node_id not in nodes:
                    place.fail(
                        f"the node {node_id!r} is not in this graph{did_you_mean(node_id, nodes)}"
                    )
                if node_id in nodes and nodes[node_id].type == "start" and name not in names:
                    place.fail(
                        f"the start node has no variable {name!r}{did_you_mean(name, names)}"
                    )


def _identifier(field: Field) -> str:
    return str(field.value) if isinstance(field.value, int) else field.text()


def _behaviour(data: Field, kind: NodeKind) -> NodeBehaviour:
    extra = data.get("x-fake") or Field({}, data.path, error=data.error)
    extra.only(*NodeBehaviour.__dataclass_fields__)
    error, reply, outputs = extra.get("error"), extra.get("reply"), extra.get("outputs")
    seconds, spread = extra.get("seconds"), extra.get("spread")
    prompt, completion = extra.get("prompt_tokens"), extra.get("completion_tokens")
    return NodeBehaviour(
        seconds=seconds.number(0, _MAX_NUMBER) if seconds else kind.seconds,
        spread=spread.number(0, 1) if spread else _SPREAD,
        error=error.text() if error else None,
        reply=reply.text() if reply else None,
        prompt_tokens=prompt.whole(0, _MAX_NUMBER) if prompt else None,
        completion_tokens=completion.whole(0, _MAX_NUMBER) if completion else None,
        outputs=outputs.mapping() if outputs else None,
    )


def _references(field: Field) -> Iterator[tuple[Field, Selector]]:
    """Every reference below ``field``, with its place."""
    if isinstance(field.value, dict):
        for key, child in field.items():
            if child.value is None:
                continue
            is_parameter = key == "value" and field.value.get("type") == "variable"
            if key in ("variable_selector", "value_selector") or is_parameter:
                if child.texts():  # an empty one belongs to a disabled context (FACTS 12.1)
                    check_selector(child)
                    yield child, child.texts()
            else:
                yield from _references(child)
    elif isinstance(field.value, list):
        for entry in field.entries():
            yield from _references(entry)
    elif isinstance(field.value, str):
        for _, selector in references(field.value):
            yield field, selector


def read_variables(start: Field, rules: Sequence[InputRule] | None) -> tuple[StartVariable, ...]:
    """The variables of a start node.

    ``rules`` are those of the spec for the default app: they decide names, types, options and which
    are required; the file adds labels, order, ``max_length`` and defaults. A file that contradicts
    them is an error.
    """
    declared = start.get("variables")
    fields = {}
    for field in declared.entries() if declared else ():
        name = field["variable"].text()
        if name in fields:
            field.fail(f"the variable {name!r} is declared twice; keep one of them")
        fields[name] = field
    if rules is None:
        return tuple(_variable(field) for field in fields.values())
    by_name = {rule.name: rule for rule in rules}
    merged = [_merged(field, by_name) for field in fields.values()]
    others = [_entry(rule, {}) for rule in rules if rule.name not in fields]
    merged += [Field(entry, start.path, error=start.error) for entry in others]
    return tuple(_variable(field) for field in merged)


def _merged(field: Field, rules: Mapping[str, InputRule]) -> Field:
    name = field.value["variable"]
    rule = rules.get(name)
    if rule is None:
        field.fail(
            f"the spec has no input {name!r}, only {', '.join(rules)}; "
            "give an app with variables of its own a key of its own: --app KEY=FILE"
        )
    entry = _entry(rule, field.value)
    for key in ("required", "options"):
        if key in field.value and field.value[key] != entry[key]:
            field.fail(
                f"{key!r} of {name!r} is {field.value[key]!r} here but {entry[key]!r} in the spec; "
                "leave it to the spec"
            )
    if (entry["type"] == "select") != (rule.options is not None):
        field.fail(
            f"{name!r} is a {entry['type']} here, which contradicts its enumeration in the spec; "
            "leave it to the spec"
        )
    return Field(entry, field.path, error=field.error)


def _entry(rule: InputRule, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The variable as the host shows it: stored keys in their order, others as Dify's editor."""
    written = {
        "variable": rule.name,
        "label": rule.name,
        "type": "paragraph" if rule.options is None else "select",
        "required": rule.required,
        "max_length": None,
        "options": list(rule.options or ()),
    }
    entry = {**written, **stored, "required": rule.required, "options": written["options"]}
    in_editor_order = [key for key in written if key in stored]
    if [key for key in stored if key in written] == in_editor_order:
        return entry
    return {key: entry[key] for key in (*stored, *entry)}


def _variable(field: Field) -> StartVariable:
    kind = field["type"].choice(VARIABLE_TYPES, "type of a variable")
    options = field["options"].texts() if kind == "select" else None
    if options == ():
        field.fail("a select needs at least one option")
    default = field.get("default")
    if default and default.text() and options is not None and default.value not in options:
        default.fail(f"the default {default.value!r} is not one of the options {list(options)}")
    max_length, required = field.get("max_length"), field.get("required")
    return StartVariable(
        name=field["variable"].text(),
        type=kind,
        required=required.boolean() if required else False,
        max_length=max_length.whole(1) if max_length else None,
        options=options,
        default=default.value if default else None,
        entry=dict(field.mapping()),
    )
