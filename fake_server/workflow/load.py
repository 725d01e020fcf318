"""Reads an app file into a ``Workflow``: Dify's export vocabulary plus ``x-fake``, everything
checked, nothing guessed.

A graph that the host itself would run into the ground (no start node, an unknown node type, no
edges at all) is taken only where the file says ``x-fake: {unchecked: true}``; it then fails as on
the host [C: g_nostart_*, g_badtype_*].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dify_wire.spec import load_yaml
from dify_wire.spec_error import file_errors
from fake_server.runs.random_values import uuid4_for
from fake_server.spec import InputRule
from fake_server.workflow.conditions import OPERATORS
from fake_server.workflow.graph import Behaviour, Node, StartVariable, Workflow
from fake_server.workflow.nodes import NODE_TYPES, RUN_BY_THE_FAKE
from fake_server.workflow.part import Part, WorkflowError
from fake_server.workflow.references import check_references
from fake_server.workflow.tool import GREATEST_NUMBER, NUMBERS, complete_settings
from fake_server.workflow.variables import read_variables

N = TypeVar("N", int, float)

_USUAL_SECONDS = {"start": 0.004, "llm": 3.2, "if-else": 0.003, "tool": 15.3, "end": 0.004}
_OTHER_SECONDS = 0.05
_USUAL_SPREAD = 0.05
_GREATEST_NUMBER = 1e9
_BEHAVIOUR_KEYS = (
    "seconds",
    "spread",
    "error",
    "reply",
    "prompt_tokens",
    "completion_tokens",
    "outputs",
)
_TRANSFER_METHODS = ("remote_url", "local_file")
_PARAMETER_TYPES = ("mixed", "variable", "constant")


def default_workflow_path() -> Path:
    """The workflow of the document's app, shipped with the package."""
    return Path(__file__).parent.parent / "data" / "workflow.yml"


def load_workflow(
    path: Path, rules: Sequence[InputRule] | None = None, models: Sequence[str] = ()
) -> Workflow:
    """Read the app file ``path``; ``rules`` are the inputs of the spec where the file describes the
    default app.

    ``models`` are those of the picture server; its first is that of a tool whose file names none.
    Raises ``dify_wire.spec.SpecError`` with file, place and mend for whatever is wrong with it.
    """
    said = load_yaml(path)
    with file_errors(path, "an app file", WorkflowError):
        return _workflow(Part(path, "", said), rules, models)


def _workflow(top: Part, rules: Sequence[InputRule] | None, models: Sequence[str]) -> Workflow:
    app, extra, workflow = _app(top), _extra(top), top.child("workflow")
    unchecked = bool(extra.get("unchecked"))
    name = str(app.get("name") or top.file.stem)
    graph = workflow.child("graph")
    nodes = _nodes(graph, unchecked, models)
    edges = _edges(graph, nodes or {}, unchecked)
    variables = _variables(graph, nodes, rules)
    if not unchecked:
        check_references(
            graph, frozenset(nodes or ()), frozenset(variable.name for variable in variables)
        )
    return Workflow(
        name=name,
        description=str(app.get("description") or ""),
        workflow_id=str(extra.get("workflow_id") or uuid4_for("workflow", name)),
        features=_shown_features(workflow),
        variables=variables,
        nodes=None if nodes is None or edges is None else nodes,
        edges=edges or {},
    )


def _shown_features(workflow: Part) -> dict[str, Any]:
    """The features that ``GET /v1/parameters`` shows; others that a file has it leaves out."""
    stored = _features(workflow)
    return {name: stored.get(name, usual) for name, usual in default_features("workflow").items()}


def default_features(mode: str) -> Mapping[str, Any]:
    """What ``GET /v1/parameters`` says of an app of ``mode`` that has no features of its own."""
    features = load_yaml(default_workflow_path().with_name("features.yml"))
    assert isinstance(features, dict)
    known: Mapping[str, Any] = features[mode]
    return known


def _app(top: Part) -> Mapping[str, Any]:
    app = top.get("app")
    if app is None:
        return {}
    mode = app.get("mode")
    if mode and mode.value != "workflow":
        mode.wrong(
            f"this is an app of mode {mode.value!r}, and only workflow apps run here; see --app KEY=chat"
        )
    return app.as_a(dict)


def _extra(top: Part) -> Mapping[str, Any]:
    extra = top.get("x-fake")
    if extra is None:
        return {}
    extra.only(("unchecked", "workflow_id"))
    if (unchecked := extra.get("unchecked")) is not None:
        unchecked.as_a(bool)
    return extra.as_a(dict)


def _features(workflow: Part) -> dict[str, Any]:
    features = workflow.get("features")
    upload = features.get("file_upload") if features else None
    image = upload.get("image") if upload else None
    enabled = image.get("enabled") if image else None
    if image and enabled and enabled.as_a(bool):
        image.child("number_limits").as_a(int)
        for method in image.child("transfer_methods").items():
            method.one_of(_TRANSFER_METHODS)
    return _mapping(workflow, "features")


def _mapping(part: Part, key: str) -> dict[str, Any]:
    child = part.get(key)
    return child.as_a(dict) if child else {}


def _variables(
    graph: Part, nodes: Mapping[str, Node] | None, rules: Sequence[InputRule] | None
) -> tuple[StartVariable, ...]:
    for part in graph.child("nodes").items() if nodes else ():
        data = part.child("data")
        if data.child("type").value == "start":
            return read_variables(data, rules)
    return ()


def _nodes(graph: Part, unchecked: bool, models: Sequence[str]) -> dict[str, Node] | None:
    if unchecked and graph.get("nodes") is None:
        return None
    nodes: dict[str, Node] = {}
    for part in graph.child("nodes").items():
        node = _node(part, unchecked, models)
        if node.node_id in nodes:
            part.wrong(f"the id {node.node_id!r} is taken by another node; give each node its own")
        nodes[node.node_id] = node
    starts = [node.node_id for node in nodes.values() if node.type == "start"]
    if len(starts) != 1 and not unchecked:
        graph.child("nodes").wrong(
            f"a graph needs exactly one node of type start, and this one has {len(starts)}"
        )
    return nodes


def _node(part: Part, unchecked: bool, models: Sequence[str]) -> Node:
    data = part.child("data")
    kind = data.child("type").as_a(str) if unchecked else data.child("type").one_of(NODE_TYPES)
    node_id = str(part.child("id").value)
    title = data.get("title")
    if kind in _CHECKS:
        _CHECKS[kind](data)
    behaviour = _behaviour(data, kind)
    if (
        kind not in RUN_BY_THE_FAKE
        and not unchecked
        and behaviour.outputs is None
        and behaviour.error is None
    ):
        data.wrong(f"a {kind} node is not run by the fake; say in x-fake.outputs what it answers")
    said = data.as_a(dict)
    if kind == "tool":
        said = {**said, "tool_configurations": complete_settings(said, models)}
    return Node(node_id, kind, str(title.value) if title else kind, said, behaviour)


def _behaviour(data: Part, kind: str) -> Behaviour:
    extra = data.get("x-fake") or Part(data.file, data.place, {})
    extra.only(_BEHAVIOUR_KEYS)
    error, reply, outputs = extra.get("error"), extra.get("reply"), extra.get("outputs")
    spread = _number(extra, "spread", _USUAL_SPREAD)
    if spread > 1:
        extra.wrong(f"spread is a fraction from 0 to 1, not {spread}")
    return Behaviour(
        seconds=_number(extra, "seconds", _USUAL_SECONDS.get(kind, _OTHER_SECONDS)),
        spread=spread,
        error=error.as_a(str) if error else None,
        reply=reply.as_a(str) if reply else None,
        prompt_tokens=_number(extra, "prompt_tokens", 0) if extra.get("prompt_tokens") else None,
        completion_tokens=_number(extra, "completion_tokens", 0)
        if extra.get("completion_tokens")
        else None,
        outputs=outputs.as_a(dict) if outputs else None,
    )


def _number(extra: Part, key: str, usual: N) -> N:
    """A number of the kind of ``usual``, 0 or more."""
    part = extra.get(key)
    if part is None:
        return usual
    if not 0 <= part.as_a(float) <= _GREATEST_NUMBER:
        part.wrong(f"{key} must be 0 or more, at most {_GREATEST_NUMBER:.0f}, not {part.value}")
    return part.as_a(type(usual))


def _edges(
    graph: Part, nodes: Mapping[str, Node], unchecked: bool
) -> dict[tuple[str, str], str] | None:
    if unchecked and graph.get("edges") is None:
        return None
    edges: dict[tuple[str, str], str] = {}
    for part in graph.child("edges").items():
        source, target = str(part.child("source").value), str(part.child("target").value)
        for end in (source, target):
            if end not in nodes:
                part.wrong(f"the edge names the node {end!r}, which is not in this graph")
        handle = part.get("sourceHandle")
        key = (source, str(handle.value) if handle else "source")
        if key in edges:
            part.wrong(
                f"a second edge leaves {source!r} by {key[1]!r}; a node goes on to one other node"
            )
        edges[key] = target
    return edges


def _check_llm(data: Part) -> None:
    data.child("model").child("mode").one_of(("chat", "completion"))
    template = data.child("prompt_template")
    if template.as_a(list) == []:
        template.wrong("a model needs at least one prompt; add one with role and text")
    for prompt in template.items():
        prompt.child("role").as_a(str)
        prompt.child("text").as_a(str)
    if (context := data.get("context")) is not None:
        if (enabled := context.get("enabled")) is not None:
            enabled.as_a(bool)
        if (selector := context.get("variable_selector")) is not None:
            for entry in selector.items():
                entry.as_a(str)


def _check_if_else(data: Part) -> None:
    operator = data.get("logical_operator")
    if operator:
        operator.one_of(("and", "or"))
    for condition in data.child("conditions").items():
        condition.child("comparison_operator").one_of(OPERATORS)
        if (value := condition.get("value")) is not None:
            value.as_a(str)
        _check_selector(condition.child("variable_selector"))


def _check_tool(data: Part) -> None:
    for key in ("provider_id", "provider_type", "tool_name"):
        data.child(key).as_a(str)
    for name in _mapping(data, "tool_configurations"):
        setting = data.child("tool_configurations").get(name)
        if name in NUMBERS and setting is not None and setting.value:
            _check_number(name, setting)
    for name in _mapping(data, "tool_parameters"):
        parameter = data.child("tool_parameters").child(name)
        kind = parameter.child("type").one_of(_PARAMETER_TYPES)
        if kind == "variable":
            _check_selector(parameter.child("value"))
        elif kind == "mixed":
            parameter.child("value").as_a(str)


def _check_number(name: str, part: Part) -> None:
    """A setting that is a number, or a text that stands for one; empty ones are the tool's default
    (FACTS 12.6).
    """
    text = part.value if isinstance(part.value, str) else ""
    number = int(text) if text.isascii() and text.isdigit() else part.as_a(int)
    if not 1 <= number <= GREATEST_NUMBER:
        part.wrong(f"{name} must be from 1 to {GREATEST_NUMBER}, not {part.value}")


def _check_end(data: Part) -> None:
    outputs = data.get("outputs")
    for output in outputs.items() if outputs else ():
        output.child("variable").as_a(str)
        _check_selector(output.child("value_selector"))


def _check_selector(part: Part) -> None:
    if len([entry.as_a(str) for entry in part.items()]) < 2:
        part.wrong("a selector names a node and one of its outputs: [node id, output]")


_CHECKS = {"llm": _check_llm, "if-else": _check_if_else, "tool": _check_tool, "end": _check_end}
