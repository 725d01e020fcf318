"""Exports of Dify as they are: what one may look like, what stands beside it, and what
``fake-server app check`` prints of it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dify_wire.app_kind import AppKind
from dify_wire.text_file import SpecError
from dify_wire.yaml_file import dump_yaml
from fake_server.apps import load_apps
from fake_server.cli import cli
from fake_server.server.run import log_warnings
from fake_server.settings import SettingsError
from fake_server.spec import load_host
from fake_server.workflow.behaviour import NodeBehaviour
from fake_server.workflow.loader import default_workflow_path, load_workflow
from fake_server.workflow.model import App, RemoteFile
from fake_server.workflow.nodes import NODE_KINDS
from fake_server.workflow.nodes.tool import IMAGE_TOOLS
from fake_server.workflow.problems import NotWorkflowError, WorkflowError
from tests.each import each

Export = dict[str, Any]


def export(
    *others: Mapping[str, Any], edges: str = "s-e", variables: Any = (), **top: Any
) -> Export:
    """An export with a start node s, an end node e and ``others``; ``edges`` as ``a-b c-d``."""
    nodes = [
        {"id": "s", "data": {"type": "start", "title": "Start", "variables": list(variables)}},
        {"id": "e", "data": {"type": "end", "title": "End", "outputs": []}},
        *others,
    ]
    listed = [
        dict(zip(("source", "target"), edge.split("-"), strict=True)) for edge in edges.split()
    ]
    workflow = {"graph": {"nodes": nodes, "edges": listed}, **top.pop("workflow", {})}
    return {"app": {"name": "mine", "mode": "workflow"}, "workflow": workflow, **top}


def llm(node_id: str = "l", title: str = "LLM", **data: Any) -> Mapping[str, Any]:
    prompts = [{"role": "user", "text": "hello"}]
    model = {"mode": "chat", "provider": "p", "name": "m"}
    content = {"type": "llm", "title": title, "model": model, "prompt_template": prompts, **data}
    return {"id": node_id, "data": content}


def written(folder: Path, content: Any, name: str = "mine.yml") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else dump_yaml(content), "utf-8")
    return path


def app_of(what: str, host_version: str = "0.6.4") -> App:
    return load_apps(["a"], [("b", what)], None, load_host(host_version))["b"]


# What an export may look like
# ------------------------------------------------------------------------------------------

PLAIN = export()


@each(
    ("name", "content"),
    [
        ("mine.yml", PLAIN),
        ("mine.json", json.dumps(PLAIN)),
        ("mine.json", json.dumps({"data": dump_yaml(PLAIN)})),
        ("mine.yml", {"data": json.dumps(PLAIN)}),
        ("mine.json", json.dumps({"data": PLAIN})),
        ("mine.json", json.dumps({"id": "1", "mode": "workflow", "export_data": dump_yaml(PLAIN)})),
        ("export", dump_yaml(PLAIN)),
    ],
)
def test_an_export_is_taken_out_of_what_it_is_wrapped_in(
    tmp_path_factory: pytest.TempPathFactory, name: str, content: Any
) -> None:
    """YAML or JSON, as a file or as the console's API sends it."""
    workflow = load_workflow(written(tmp_path_factory.mktemp("app"), content, name))
    assert (workflow.name, list(workflow.nodes)) == ("mine", ["s", "e"])
    assert workflow.warnings == ()


@each(
    ("content", "says"),
    [
        ({"data": "a: [\n"}, "mine.yml: data, line 2, column 1: "),
        ({"data": 5}, "mine.yml: data: expected the YAML of an export, or a mapping, not 5"),
        ({"data": {"a": 1}}, "mine.yml: data.workflow: this key is missing; add it"),
        ({**PLAIN, "version": "new"}, "mine.yml: version: 'new' is not a version; write one such"),
    ],
)
def test_what_is_wrapped_and_wrong_is_named(
    tmp_path_factory: pytest.TempPathFactory, content: Any, says: str
) -> None:
    """The place is inside of what was wrapped."""
    with pytest.raises(SpecError) as caught:
        load_workflow(written(tmp_path_factory.mktemp("app"), content))
    assert says in str(caught.value)


def test_notes_are_left_out(tmp_path: Path) -> None:
    """A note on the canvas has a type of its own and is connected to nothing."""
    note = {"id": "n", "type": "custom-note", "data": {"type": "", "text": "mind this"}}
    workflow = load_workflow(written(tmp_path, export(note)))
    assert list(workflow.nodes) == ["s", "e"]
    assert workflow.warnings == ()


def test_the_first_of_two_start_nodes_has_the_variables(tmp_path: Path) -> None:
    """A run begins there, so its inputs are those."""
    variables = [{"variable": "q", "type": "paragraph", "label": "q"}]
    second = {"id": "t", "data": {"type": "start", "title": "Second", "variables": []}}
    workflow = load_workflow(written(tmp_path, export(second, variables=variables)))
    assert workflow.start is not None
    assert workflow.start.node_id == "s"
    assert [one.name for one in workflow.variables] == ["q"]


def test_several_edges_leave_a_node_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Also by one handle; the same edge twice is one."""
    content = export(llm("a"), llm("b"), edges="s-b s-a s-b a-e b-e")
    content["workflow"]["graph"]["edges"][1]["sourceHandle"] = "other"
    workflow = load_workflow(written(tmp_path, content))
    assert workflow.edges["s", "source"] == ("b",)
    assert [tuple(edge) for edge in workflow.outgoing["s"]] == [
        ("s", "source", "b"),
        ("s", "other", "a"),
    ]
    assert [edge.source for edge in workflow.incoming["e"]] == ["a", "b"]


@each(
    ("inside", "edges", "data"),
    [
        (
            [{**llm(), "parentId": "i"}, {"id": "is", "parentId": "i", "data": {"type": "x"}}],
            "",
            {},
        ),
        ([llm(iteration_id="i")], "", {"start_node_id": "l"}),
        ([llm(loop_id="i"), llm("m", loop_id="i")], "l-m", {}),
        (
            [
                {**llm(), "parentId": "i"},
                {"id": "first", "parentId": "i", "data": {"type": "iteration-start"}},
            ],
            "first-l",
            {"start_node_id": "firststart"},
        ),
    ],
)
def test_a_container_has_children_and_a_first_node(
    tmp_path_factory: pytest.TempPathFactory, inside: Any, edges: str, data: Any
) -> None:
    """Named by the container, of the type of a start, or the one that no edge leads to."""
    container = {"id": "i", "data": {"type": "iteration", "title": "Each", **data}}
    content = export(container, *inside, edges=f"s-i i-e {edges}")
    workflow = load_workflow(written(tmp_path_factory.mktemp("app"), content))
    assert [node.node_id for node in workflow.children["i"]] == [node["id"] for node in inside]
    entry = workflow.entry("i")
    assert entry is not None
    assert entry.node_id == ("first" if "first" in edges else "l")


@pytest.mark.parametrize("parents", [["a"], ["b", "a"], [*(f"c{n}" for n in range(1, 12)), ""]])
def test_a_container_is_not_inside_of_itself_or_of_too_many(
    tmp_path: Path, parents: list[str]
) -> None:
    """Nobody can run what has no bottom."""
    names = ["a", "b"][: len(parents)] if len(parents) < 9 else [f"c{n}" for n in range(12)]
    inside = [
        {"id": name, "parentId": parent, "data": {"type": "loop"}}
        for name, parent in zip(names, parents, strict=True)
    ]
    with pytest.raises(WorkflowError, match="inside of more than 10 iterations and loops, or of"):
        load_workflow(written(tmp_path, export(*inside)))


@each(
    ("data", "place", "says"),
    [
        ({"type": "iteration", "iterator_selector": "x"}, "iterator_selector", "expected a list"),
        ({"type": "iteration", "output_selector": [1]}, "output_selector[0]", "expected a string"),
        ({"type": "loop", "break_conditions": ["x"]}, "break_conditions[0]", "expected a mapping"),
        ({"type": "loop", "loop_variables": [{"label": 1}]}, "loop_variables[0].label", "expected"),
        (
            {
                "type": "loop",
                "loop_variables": [{"label": "a", "value_type": "variable", "value": 1}],
            },
            "loop_variables[0].value",
            "expected a list",
        ),
    ],
)
def test_a_container_that_cannot_be_read_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: Any, place: str, says: str
) -> None:
    """With the place in its data."""
    content = export({"id": "c", "data": data}, edges="s-c c-e")
    with pytest.raises(WorkflowError, match=re.escape(f"nodes[2].data.{place}: {says}")):
        load_workflow(written(tmp_path_factory.mktemp("app"), content))


def test_every_type_of_start_variable_is_read(tmp_path: Path) -> None:
    """With all that an export has of it."""
    files = {
        "allowed_file_types": ["image"],
        "allowed_file_extensions": [".JPG"],
        "allowed_file_upload_methods": ["local_file"],
    }
    workflow = load_workflow(
        written(
            tmp_path,
            export(
                variables=[
                    {"variable": "n", "type": "number", "default": 7, "max_length": "48"},
                    {"variable": "k", "type": "checkbox", "default": True, "max_length": None},
                    {"variable": "f", "type": "file", "max_length": "", **files},
                    {"variable": "fl", "type": "file-list", "max_length": 2, "label": "Files"},
                    {"variable": "j", "type": "json_object", "json_schema": '{"type": "object"}'},
                    {"variable": "o", "type": "json_object", "json_schema": {"type": "object"}},
                ]
            ),
        )
    )
    n, k, f, fl, j, o = workflow.variables
    assert (n.default, n.max_length, k.default, k.max_length) == (7, 48, True, None)
    assert (f.max_length, fl.max_length, fl.label) == (None, 2, "Files")
    assert (f.file_types, f.file_extensions, f.upload_methods) == (
        ("image",),
        (".JPG",),
        ("local_file",),
    )
    assert j.json_schema == o.json_schema == {"type": "object"}
    assert workflow.warnings == ()


def test_variables_of_the_environment_and_of_conversations_have_values(tmp_path: Path) -> None:
    """A secret is exported without its value; a reference to either is no warning."""
    workflow = load_workflow(
        written(
            tmp_path,
            export(
                llm(
                    prompt_template=[{"role": "user", "text": "{{#env.KEY#}}{{#conversation.c#}}"}]
                ),
                edges="s-l l-e",
                workflow={
                    "environment_variables": [{"name": "KEY", "value": "", "value_type": "secret"}],
                    "conversation_variables": [{"name": "c", "value": [1]}],
                },
            ),
        )
    )
    assert (workflow.environment, workflow.conversation) == ({"KEY": ""}, {"c": [1]})
    assert workflow.warnings == ()


def test_a_tool_has_the_outputs_that_the_graph_uses_of_it(tmp_path: Path) -> None:
    """No export declares them: an image for files, a text for a variable, a list to iterate."""
    tool = {"type": "tool", "provider_id": "p", "provider_type": "builtin", "tool_name": "t"}
    each_entry = {"type": "iteration", "iterator_selector": ["t", "links"]}
    path = written(
        tmp_path,
        export(
            {"id": "t", "data": tool},
            {"id": "u", "data": {**tool, "x-fake": {"variables": {"page": "given"}}}},
            {"id": "i", "data": each_entry},
            llm(prompt_template=[{"role": "user", "text": "{{#t.page#}}{{#u.page#}}{{#t.text#}}"}]),
            {"id": "a", "data": {"type": "template-transform", "variables": ["t", "files"]}},
            edges="s-t t-u u-i i-l l-a a-e",
        ),
    )
    nodes = load_workflow(path).nodes
    assert nodes["t"].behaviour.variables == {"links": ["links"], "page": "page"}
    assert nodes["u"].behaviour.variables == {"page": "given"}
    assert [nodes[name].behaviour.files is not None for name in "tu"] == [True, False]


# What stands beside it
# ------------------------------------------------------------------------------------------


def test_a_file_beside_an_export_adds_behaviour(tmp_path: Path) -> None:
    """By id or by title; over what the export itself has, the id over the title."""
    path = written(
        tmp_path,
        export(llm("a", "One", **{"x-fake": {"reply": "old", "seconds": 1}}), llm("b", "Two")),
    )
    beside = written(
        tmp_path,
        {
            "app": {"workflow_id": "w", "unchecked": True},
            "nodes": {"a": {"reply": "new"}, "One": {"reply": "title", "spread": 0}, "Two": {}},
        },
        "fake.yml",
    )
    app = app_of(f"{path}+{beside}")
    assert app.workflow is not None
    behaviour = app.workflow.nodes["a"].behaviour
    assert (behaviour.reply, behaviour.seconds, behaviour.spread) == ("new", 1, 0)
    assert (app.workflow.workflow_id, app.warnings) == ("w", ())


def test_every_error_of_a_file_beside_an_export_is_named_with_that_file(tmp_path: Path) -> None:
    """Together with those of the export."""
    content = export(llm())
    del content["workflow"]["graph"]["nodes"][2]["data"]["model"]
    beside = written(
        tmp_path,
        {"app": {"workflowid": "w"}, "nodes": {"l": {"second": 1}, "LLN": {}, "e": {"spread": 2}}},
        "fake.yml",
    )
    with pytest.raises(WorkflowError) as caught:
        load_workflow(written(tmp_path, content), beside=beside)
    assert [(error.path.name, error.place) for error in caught.value.all] == [
        ("fake.yml", "app.workflowid"),
        ("fake.yml", "nodes.e.spread"),
        ("mine.yml", "workflow.graph.nodes[2].data.model"),
        ("fake.yml", "nodes.l.second"),
        ("fake.yml", "nodes.LLN"),
    ]
    assert "has this id or title (did you mean 'LLM'?)" in str(caught.value.all[-1])


def test_a_file_beside_an_export_says_what_the_host_would_find_at_a_url(tmp_path: Path) -> None:
    """And how many runs the app takes at a time."""
    remote = {
        "https://a.example/x": {"mime_type": "image/png", "size": 5, "filename": "x.png"},
        "https://a.example/y": "absent",
        "https://a.example/z": "unreachable",
    }
    added = {"app": {"max_active_requests": 2, "remote_files": remote}}
    beside = written(tmp_path, added, "fake.yml")
    workflow = load_workflow(written(tmp_path, PLAIN), beside=beside)
    assert workflow.max_active_requests == 2
    assert list(workflow.remote_files.values()) == [
        RemoteFile("x.png", "image/png", 5),
        RemoteFile(absent=True),
        RemoteFile(unreachable=True),
    ]


def test_every_wrong_entry_of_the_app_is_named(tmp_path: Path) -> None:
    """Each with its place."""
    remote = {"u": "gone", "v": {"size": -1}, "w": {"mimetype": "x"}, "x": {"size": 1}, "y": []}
    added = {"app": {"max_active_requests": -1, "unchecked": "no", "remote_files": remote}}
    with pytest.raises(WorkflowError) as caught:
        load_workflow(written(tmp_path, PLAIN), beside=written(tmp_path, added, "fake.yml"))
    assert [error.place for error in caught.value.all] == [
        "app.unchecked",
        "app.max_active_requests",
        "app.remote_files.u",
        "app.remote_files.v.size",
        "app.remote_files.w.mimetype",
        "app.remote_files.y",
    ]
    assert "known: absent, unreachable" in str(caught.value.all[2])


def test_a_reference_to_nothing_in_a_file_beside_an_export_is_a_warning(tmp_path: Path) -> None:
    """It names that file."""
    path = written(tmp_path, export(llm(), edges="s-l l-e"))
    beside = written(tmp_path, {"nodes": {"l": {"reply": "{{#x.text#}}"}}}, "fake.yml")
    (warning,) = app_of(f"{path}+{beside}").warnings
    assert (warning.path.name, warning.place) == ("fake.yml", "nodes.l.reply")
    assert warning.message.startswith("the node 'x' is not in this graph")


def test_a_file_beside_an_export_names_earlier_versions(tmp_path: Path) -> None:
    """Exports of them, in the same folder; the current one is a version too."""
    written(tmp_path, export(llm(), edges="s-l l-e"), "old.yml")
    added = {"app": {"workflow_id": "new", "versions": {"old": "old.yml"}}}
    beside = written(tmp_path, added, "fake.yml")
    versions = app_of(f"{written(tmp_path, PLAIN)}+{beside}").versions
    assert {name: len(one.nodes) for name, one in versions.items()} == {"new": 2, "old": 3}
    assert versions["old"].workflow_id == "old"
    beside.write_text("app: {versions: {old: none.yml}}\n")
    with pytest.raises(SpecError, match=r"none.yml: the file: it cannot be read"):
        app_of(f"{tmp_path / 'mine.yml'}+{beside}")


def test_a_plus_may_be_part_of_a_name(tmp_path: Path) -> None:
    """A file of the whole name is that file."""
    assert app_of(str(written(tmp_path, PLAIN, "a+b.yml"))).name == "mine"
    with pytest.raises(SpecError, match=r"nothing.yml: the file: it cannot be read"):
        app_of(f"{written(tmp_path, PLAIN)}+nothing.yml")
    with pytest.raises(SettingsError, match="neither a kind"):
        app_of("chat+fake.yml")


def test_files_of_one_name_are_different_apps(tmp_path: Path) -> None:
    """And one file under two keys is one app."""
    files = [str(written(tmp_path, PLAIN, name)) for name in ("a.yml", "b.yml", "c.yml")]
    others = [("a", files[0]), ("b", files[1]), ("again", files[0]), ("c", files[2])]
    apps = load_apps(["key"], others, None, load_host("0.6.4"))
    assert apps["a"].app_id == apps["again"].app_id == app_of(files[0]).app_id
    assert len({app.app_id for app in apps.values()}) == 4


# Which host it fits
# ------------------------------------------------------------------------------------------

NEWER = [
    ("", "0.6.3", None),
    ("0.1.0", "0.6.4", None),
    ("0.1.5", "0.6.9", ("0.1.0", "serve it with --host-version 0.15.3")),
    ("0.1.5", "0.15.3", None),
    ("0.3.0", "1.4.3", None),
    ("0.5.0", "1.4.3", ("0.3.0", "serve it with --host-version 1.10.1")),
    ("0.6.0", "1.14.2", None),
    ("0.10.0", "1.14.2", ("0.6.0", "no recorded Dify version does")),
]


@each(("dsl_version", "host_version", "says"), NEWER)
def test_an_export_newer_than_the_host_is_reported_with_both_versions(
    tmp_path_factory: pytest.TempPathFactory,
    dsl_version: str,
    host_version: str,
    says: tuple[str, str] | None,
) -> None:
    """It loads nevertheless."""
    content = export(version=dsl_version) if dsl_version else PLAIN
    app = app_of(str(written(tmp_path_factory.mktemp("app"), content)), host_version)
    assert app.workflow is not None
    if says is None:
        assert app.warnings == ()
    else:
        (warning,) = app.warnings
        most, what = says
        host = f"Dify {host_version} imports DSL up to {most}"
        message = f"the export is of DSL {dsl_version}, and {host}; {what}"
        assert (warning.place, warning.message) == ("version", message)


def test_a_way_too_long_for_the_host_is_reported(tmp_path: Path) -> None:
    """Later versions take more steps; edges in a circle have no longest way."""
    names = ["s", *(f"l{n}" for n in range(29)), "e"]
    edges = " ".join("-".join(pair) for pair in pairwise(names))
    content = export(*map(llm, names[1:-1]), edges=f"{edges} s-e")
    path = written(tmp_path, content)
    (warning,) = app_of(str(path), "0.6.9").warnings
    assert warning.message == (
        "the longest way takes 31 steps, and Dify 0.6.9 fails a run of more than 30; "
        "serve it with --host-version 0.15.3"
    )
    assert app_of(str(path), "0.15.3").warnings == ()
    content["workflow"]["graph"]["edges"].append({"source": "l9", "target": "l8"})
    assert load_workflow(written(tmp_path, content)).longest_way == 0


@each(
    ("host_version", "says"),
    [
        ("0.6.4", "Dify 0.6.4 has no start variables of type checkbox, so every run is refused"),
        ("1.4.3", "Dify 1.4.3 has no start variables of type checkbox, so every run is refused"),
        ("1.10.1", None),
    ],
)
def test_a_variable_newer_than_the_host_is_reported(
    tmp_path_factory: pytest.TempPathFactory, host_version: str, says: str | None
) -> None:
    """With a version that knows it."""
    content = export(variables=[{"variable": "k", "type": "checkbox"}])
    app = app_of(str(written(tmp_path_factory.mktemp("app"), content)), host_version)
    messages = [warning.message for warning in app.warnings]
    assert messages == ([f"{says}; serve it with --host-version 1.10.1"] if says else [])


@pytest.mark.parametrize("mode", ["chat", "agent-chat", "advanced-chat", "completion"])
def test_an_app_of_another_mode_is_served_as_one(tmp_path: Path, mode: str) -> None:
    """Its runs are refused, and the warning says what does work."""
    content = {"app": {"mode": mode, "name": "talk", "description": "d"}, "model_config": {}}
    path = written(tmp_path, content)
    app = app_of(str(path))
    assert (app.kind, app.name, app.description) == (AppKind.CHAT, "talk", "d")
    assert f"an app of mode {mode!r}, and only workflow apps run here" in str(app.warnings[0])
    with pytest.raises(NotWorkflowError):
        load_workflow(path)


# fake-server app check
# ------------------------------------------------------------------------------------------


LEFT_OUT = "the edge names the node 'x', which is not in this graph; it is left out"


def check(*args: str | Path) -> Result:
    return CliRunner().invoke(cli, ["app", "check", *map(str, args)])


def test_the_report_lists_inputs_nodes_outputs_and_warnings(tmp_path: Path) -> None:
    """With types, what each node will do, and the version that the export fits."""
    code = {"id": "c", "data": {"type": "code", "title": "Code", "outputs": {}}}
    outputs = [{"variable": "text", "value_selector": ["l", "text"], "value_type": "string"}]
    content = export(
        llm(), code, edges="s-l l-c c-x c-e", version="0.3.0",
        variables=[{"variable": "q", "type": "select", "required": True, "options": ["a", "b"]}],
    )  # fmt: skip
    content["workflow"]["graph"]["nodes"][1]["data"]["outputs"] = outputs
    path = written(tmp_path, content)
    beside = written(tmp_path, {"nodes": {"l": {"reply": "x"}}}, "fake.yml")
    text = check(f"{path}+{beside}").output
    assert text.splitlines() == [
        f"{path}: workflow app 'mine'",
        "  DSL 0.3.0, fits Dify 1.4.3 and later; checked for Dify 1.4.3",
        "",
        "inputs:",
        "  q  select  required, one of a, b",
        "",
        "nodes:",
        "  s  start  run                  Start",
        "  e  end    run                  End",
        "  l  llm    outputs of the file  LLM",
        "  c  code   placeholder          Code",
        "",
        "outputs:",
        "  text  string  l.text",
        "",
        "1 warning:",
        f"  workflow.graph.edges[2]: {LEFT_OUT}",
    ]
    found = json.loads(check(path, "--json", "--host-version", "0.6.4").output)
    assert (found["dsl_version"], found["fits_from"], found["host_version"]) == (
        "0.3.0",
        "1.4.3",
        "0.6.4",
    )
    assert [node["does"] for node in found["nodes"]] == ["run", "run", "placeholder", "placeholder"]
    assert [one["place"] for one in found["warnings"]] == ["version", "workflow.graph.edges[2]"]


def test_the_report_says_what_each_input_takes(tmp_path: Path) -> None:
    """The length where the type has one, options, kinds of files and the default."""
    path = written(
        tmp_path,
        export(
            variables=[
                {"variable": "t", "type": "text-input", "max_length": 9, "default": "é"},
                {"variable": "n", "type": "number", "max_length": 48, "default": 7},
                {
                    "variable": "f",
                    "type": "file-list",
                    "max_length": 2,
                    "allowed_file_types": ["image", "document"],
                },
            ]
        ),
    )
    assert check(path).output.split("inputs:\n")[1].split("\n\n")[0].splitlines() == [
        '  t  text-input  optional, at most 9 characters, default "é"',
        "  n  number      optional, default 7",
        "  f  file-list   optional, at most 2 files, image or document",
    ]


def test_a_file_of_the_default_app_is_checked_with_the_inputs_of_the_spec() -> None:
    """It leaves their types to the spec."""
    result = check(default_workflow_path(), "--default-app")
    assert result.exit_code == 0
    assert "model_name  select" in result.output
    assert check(default_workflow_path()).exit_code != 0


def test_an_export_without_anything_is_reported_too(tmp_path: Path) -> None:
    """A graph that no host runs is a warning, not an error."""
    content = {"app": {"mode": "workflow"}, "workflow": {"graph": {}}}
    result = check(written(tmp_path, content))
    assert result.exit_code == 0
    assert "inputs: none" in result.output
    assert "there are no nodes, so the host cannot run it" in result.output


@each(
    ("content", "args", "says"),
    [
        ("a: [\n", (), "line 2, column 1: "),
        ({"app": {"mode": "chat"}}, (), "only workflow apps run here"),
        (PLAIN, ("--host-version", "9.9.9"), "9.9.9"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(
    tmp_path_factory: pytest.TempPathFactory, content: Any, args: tuple[str, ...], says: str
) -> None:
    """The report is not printed."""
    result = check(written(tmp_path_factory.mktemp("app"), content), *args)
    assert (result.output, says in str(result.exception)) == ("", True), result.exception


def test_a_server_logs_some_warnings_of_each_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And says how to see all of them; an app under two keys is named once."""
    app = app_of(str(written(tmp_path, export(edges=" ".join(f"s-x{n}" for n in range(9))))))
    with caplog.at_level(logging.WARNING, "fake_server"):
        log_warnings([app, app])
    *first, last = [record.getMessage() for record in caplog.records]
    assert len(first) == 5
    assert "edges[0]: the edge names the node 'x0'" in first[0]
    assert "5 more; see fake-server app check" in last


def test_the_documentation_names_every_key_and_every_image_tool() -> None:
    """The lists in docs/apps.md are complete."""
    text = (Path(__file__).parent.parent / "docs" / "apps.md").read_text("utf-8")
    given = set(NodeBehaviour._fields) - {"fault"}  # which scenarios set
    words = {*NODE_KINDS, *IMAGE_TOOLS, *given} - {"answer"}
    places = {"iteration-start", "loop-start", "loop-end"}
    assert [word for word in sorted(words - places) if f"`{word}`" not in text] == []
