"""Reads an app file into a ``Workflow``: Dify's export vocabulary plus ``x-fake``, all checked.

Exports are taken as they are, of every DSL version, also wrapped as the console's API sends them.
What keeps a file from being an app is an error, and all errors of a file are reported at once. What
the host accepts and cannot run, such as a graph without a start node, is a warning; a run of it
ends as on the host [C: g_nostart_block, g_badtype_block].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dify_wire.strict import Field, did_you_mean
from dify_wire.text_file import file_errors
from dify_wire.yaml_file import load_yaml, parse_yaml
from fake_server.host_spec import InputRule
from fake_server.runs.random_values import uuid4_for
from fake_server.workflow.behaviour import NodeBehaviour, read_behaviour
from fake_server.workflow.dsl import release
from fake_server.workflow.graph_checks import check_graph
from fake_server.workflow.model import CONTAINERS, Node, StartVariable, Workflow
from fake_server.workflow.nodes import (
    NODE_KINDS,
    UNKNOWN_KIND,
    complete_settings,
    with_used_outputs,
)
from fake_server.workflow.problems import NotWorkflowError, Problems, WorkflowError
from fake_server.workflow.remote_files import read_remote_files
from fake_server.workflow.variables import read_variables

_WRAPPERS = ("data", "export_data")
"""Where responses of the console have the text of an export."""

_TRANSFER_METHODS = ("remote_url", "local_file")
_NOTE = "custom-note"
_APP_KEYS = ("unchecked", "workflow_id", "max_active_requests", "remote_files", "versions")
_MOST_REQUESTS = 1e9
_NESTED = 10


def default_workflow_path() -> Path:
    """The bundled app file of the document's app."""
    return Path(__file__).parent.parent / "data" / "workflow.yml"


def load_workflow(
    path: Path,
    rules: Sequence[InputRule] | None = None,
    models: Sequence[str] = (),
    beside: Path | None = None,
) -> Workflow:
    """Read the app file at ``path``, and what the file ``beside`` adds to its nodes.

    Raises ``WorkflowError`` with every error, and ``NotWorkflowError`` for an app of another mode.
    ``rules`` are the inputs of the spec, for a file that describes the default app. ``models`` are
    those of the image server; the first is the default of its tool.
    """
    with file_errors(path, "an app file", WorkflowError):
        added = _field(path, {}) if beside is None else _field(beside, load_yaml(beside))
        return _Loader(_top(path), added, rules, models, (path, beside or path)).workflow()


def _field(path: Path, value: Any, place: str = "") -> Field:
    return Field(value, place, error=lambda place, message: WorkflowError(path, place, message))


def _top(path: Path) -> Field:
    """The export in the file at ``path``, taken out of the response that it may be wrapped in."""
    top = _field(path, load_yaml(path))
    for name in () if "workflow" in top or "app" in top else _WRAPPERS:
        inner = top.get(name)
        if inner is not None:
            if isinstance(inner.value, dict):
                return inner
            text = inner.text(expected="the YAML of an export, or a mapping")
            return _field(path, parse_yaml(path, text, inside=name))
    return top


def default_features(mode: str) -> Mapping[str, Any]:
    """The features in ``GET /v1/parameters`` of an app of ``mode`` that has none of its own."""
    features = load_yaml(default_workflow_path().with_name("features.yml"))
    assert isinstance(features, dict)
    known: Mapping[str, Any] = features[mode]
    return known


class _Loader:
    """Reads one app. ``beside`` is the content of the file beside it, whose path is the second."""

    def __init__(
        self,
        top: Field,
        beside: Field,
        rules: Sequence[InputRule] | None,
        models: Sequence[str],
        paths: tuple[Path, Path],
    ) -> None:
        self._top = top
        self._beside = beside
        self._rules = rules
        self._models = models
        self._path, self._added_path = paths
        self._problems = Problems(self._path)
        self._data: dict[str, Field] = {}

    def workflow(self) -> Workflow:
        problems = self._problems
        app = self._app()
        name = str(app.get("name") or self._path.stem)
        graph = self._top["workflow"]["graph"]
        graph.mapping()
        self._check_misplaced(self._top, "x-fake at the top of the file")
        self._check_misplaced(self._top["workflow"], "x-fake at the top", allowed=False)
        fake: Mapping[str, Any] = {}
        features = default_features("workflow")
        with problems.collected():
            fake = self._fake_app()
        with problems.collected():
            features = self._features()
        nodes, variables = self._nodes(graph)
        workflow = Workflow(
            name=name,
            description=str(app.get("description") or ""),
            workflow_id=str(fake.get("workflow_id") or uuid4_for("workflow", name)),
            features=features,
            variables=variables,
            nodes=nodes,
            edges=self._edges(graph, nodes),
            complete=all(graph.get(key) is not None for key in ("nodes", "edges")),
            environment=self._values("environment_variables"),
            conversation=self._values("conversation_variables"),
            dsl_version=self._dsl_version(),
            app=app,
            path=self._path,
            max_active_requests=fake.get("max_active_requests", 0),
            remote_files=fake.get("remote_files", {}),
            older=fake.get("versions", {}),
        )
        problems.raise_errors()
        if fake.get("unchecked"):
            return workflow
        beside = self._beside.get("nodes")
        added = [] if beside is None else [field for _, field in beside.items()]
        check_graph(workflow, graph, self._data, added, problems)
        return replace(workflow, warnings=tuple(problems.warnings))

    def _app(self) -> Mapping[str, Any]:
        app = self._top.get("app")
        if app is None:
            return {}
        mode = app.get("mode")
        if mode is not None and mode.value not in ("", "workflow"):
            raise NotWorkflowError(self._path, mode.path, str(mode.value), app.mapping())
        return app.mapping()

    def _dsl_version(self) -> str:
        """The version of the export, which YAML may have made a number of; empty if it has none."""
        version = self._top.get("version")
        with self._problems.collected():
            try:
                release(str(version.value) if version else "")
            except ValueError as error:
                self._top["version"].fail(str(error))
        return str(version.value) if version else ""

    def _fake_app(self) -> Mapping[str, Any]:
        """What the fake adds to the app; the file beside it wins."""
        self._beside.only("app", "nodes")
        added: dict[str, Any] = {}
        collected = self._problems.collected
        for extra in (self._top.get("x-fake"), self._beside.get("app")):
            if extra is None:
                continue
            with collected():
                extra.only(*_APP_KEYS)
            added |= extra.mapping()
            with collected():
                if unchecked := extra.get("unchecked"):
                    unchecked.boolean()
            with collected():
                if most := extra.get("max_active_requests"):
                    added["max_active_requests"] = most.whole(0, _MOST_REQUESTS)
            with collected():
                if remote := extra.get("remote_files"):
                    added["remote_files"] = read_remote_files(remote, collected)
            with collected():
                if versions := extra.get("versions"):
                    added["versions"] = dict(self._older(versions))
        return added

    def _older(self, versions: Field) -> Iterator[tuple[str, Workflow]]:
        """Earlier versions of the workflow: the names of their exports stand beside their ids."""
        for workflow_id, export in versions.items():
            path = self._added_path.parent / export.text()
            workflow = load_workflow(path, models=self._models)
            yield workflow_id, replace(workflow, workflow_id=workflow_id)

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

    def _values(self, key: str) -> Mapping[str, Any]:
        """The values of environment or conversation variables by name."""
        values: dict[str, Any] = {}
        variables = self._top["workflow"].get(key)
        with self._problems.collected():
            for variable in variables.entries() if variables else ():
                values[variable["name"].text()] = variable.mapping().get("value")
        return values

    def _nodes(self, graph: Field) -> tuple[dict[str, Node], tuple[StartVariable, ...]]:
        nodes: dict[str, Node] = {}
        variables: tuple[StartVariable, ...] = ()
        beside: dict[str, Field] = {}
        with self._problems.collected():
            entries = self._beside.get("nodes")
            beside = dict(entries.items()) if entries else {}
        for field in self._entries(graph, "nodes"):
            with self._problems.collected():
                if field.mapping().get("type") == _NOTE:
                    continue
                node = self._node(field, beside)
                if node.node_id in nodes:
                    field.fail(f"another node has the id {node.node_id!r}; give each node its own")
                is_first_start = node.type == "start" and all(
                    one.type != "start" for one in nodes.values()
                )
                nodes[node.node_id] = node
                self._data[node.node_id] = field["data"]
                if is_first_start:  # a run begins there
                    variables = read_variables(field["data"], self._rules, self._problems)
        self._inside(nodes)
        names = [name for node in nodes.values() for name in (node.node_id, node.title)]
        for name, field in beside.items():
            with self._problems.collected():
                if name not in names:
                    known = did_you_mean(name, names) or f"; known: {', '.join(nodes)}"
                    field.fail(f"no node of {self._path.name} has this id or title{known}")
        return with_used_outputs(nodes), variables

    def _entries(self, graph: Field, key: str) -> Iterator[Field]:
        """The entries of a list of the graph, which a graph that no host runs may lack."""
        listed = graph.get(key)
        if listed is None:
            self._problems.warn(graph, f"there are no {key}, so the host cannot run it")
            return
        with self._problems.collected():
            yield from listed.entries()

    def _node(self, field: Field, beside: Mapping[str, Field]) -> Node:
        data = field["data"]
        self._check_misplaced(field, "data.x-fake", allowed=False)
        self._check_misplaced(data, "x-fake")
        node_id, node_type = _identifier(field["id"]), data["type"].text()
        kind = NODE_KINDS.get(node_type, UNKNOWN_KIND)
        content = data.mapping()
        title = str(content.get("title") or node_type)
        with self._problems.collected():
            kind.check(data)
            if node_type == "tool":
                settings = complete_settings(content, self._models)
                content = {**content, "tool_configurations": settings}
        behaviour = read_behaviour(None, kind.seconds)
        with self._problems.collected():
            described = (data.get("x-fake"), beside.get(title), beside.get(node_id))
            behaviour = _joined(described, kind.seconds)
        outer = field.get("parentId") or data.get("iteration_id") or data.get("loop_id")
        parent = _identifier(outer) if outer and outer.value else None
        return Node(node_id, node_type, title, content, behaviour, parent)

    def _check_misplaced(self, field: Field, right: str, *, allowed: bool = True) -> None:
        """Refuse what looks like ``x-fake`` and would be ignored."""
        for key, value in field.items():
            plain = key.lower().replace("-", "").replace("_", "")
            if plain == "xfake" and not (allowed and key == "x-fake"):
                with self._problems.collected():
                    value.fail(f"nothing reads this key here; write it as {right}")

    def _inside(self, nodes: dict[str, Node]) -> None:
        """Leave out containers that are not in the graph, or hold none; refuse endless nesting."""
        for node in list(nodes.values()):
            around, outer = 0, node.parent
            while outer is not None and around <= _NESTED:
                around, outer = around + 1, nodes[outer].parent if outer in nodes else None
            with self._problems.collected():
                if around > _NESTED:
                    self._data[node.node_id].fail(
                        f"the node is inside of more than {_NESTED} iterations and loops, or of "
                        "itself; take it out of some"
                    )
            parent = None if node.parent is None else nodes.get(node.parent)
            if node.parent is not None and (parent is None or parent.type not in CONTAINERS):
                self._problems.warn(
                    self._data[node.node_id],
                    f"the node is inside of {node.parent!r}, which is not an iteration or loop of "
                    "this graph; it stands alone",
                )
                nodes[node.node_id] = node._replace(parent=None)

    def _edges(self, graph: Field, nodes: Mapping[str, Node]) -> dict[tuple[str, str], Any]:
        edges: dict[tuple[str, str], dict[str, None]] = {}
        for field in self._entries(graph, "edges"):
            with self._problems.collected():
                source, target = _identifier(field["source"]), _identifier(field["target"])
                missing = next((end for end in (source, target) if end not in nodes), None)
                handle = field.get("sourceHandle")
                if missing is None:
                    key = (source, str(handle.value) if handle else "source")
                    edges.setdefault(key, {})[target] = None
                elif not self._problems.full:
                    self._problems.warn(
                        field,
                        f"the edge names the node {missing!r}, which is not in this graph"
                        f"{did_you_mean(missing, nodes)}; it is left out",
                    )
        return {key: tuple(targets) for key, targets in edges.items()}


def _identifier(field: Field) -> str:
    return str(field.value) if isinstance(field.value, int) else field.text()


def _joined(extras: Sequence[Field | None], seconds: float) -> NodeBehaviour:
    """The behaviour of a node from everything that describes it; the last one wins."""
    given = [extra for extra in extras if extra is not None]
    for extra in given:
        read_behaviour(extra, seconds)
    joined = {key: value for extra in given for key, value in extra.mapping().items()}
    top = Field(joined, given[-1].path, error=given[-1].error) if given else None
    return read_behaviour(top, seconds)
