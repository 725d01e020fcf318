"""App files: every way to get one wrong is one line with file, place and mend; what is right is
taken as it stands.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from dify_wire.spec import SpecError, bundled
from fake_server import Settings, create_app
from fake_server.settings import DEFAULT_API_KEY
from fake_server.spec import HostSpec, InputRule
from fake_server.workflow.conditions import OPERATORS
from fake_server.workflow.graph import Workflow
from fake_server.workflow.load import default_workflow_path, load_workflow
from fake_server.workflow.part import WorkflowError
from tests.asgi import call, json_headers, run_body

Change = Callable[[dict[str, Any]], object]

APP: dict[str, Any] = {
    "app": {"name": "mine", "mode": "workflow"},
    "workflow": {
        "graph": {
            "nodes": [
                {
                    "id": "start",
                    "data": {
                        "type": "start",
                        "variables": [
                            {
                                "variable": "prompt",
                                "type": "paragraph",
                                "required": True,
                                "max_length": 48,
                            },
                            {
                                "variable": "style",
                                "type": "select",
                                "options": ["ink", "oil"],
                                "default": "oil",
                            },
                        ],
                    },
                },
                {
                    "id": "llm",
                    "data": {
                        "type": "llm",
                        "model": {"mode": "chat"},
                        "prompt_template": [{"role": "system", "text": "{{#start.prompt#}}"}],
                        "x-fake": {"seconds": 1, "spread": 0.1, "prompt_tokens": 9},
                    },
                },
                {
                    "id": "which",
                    "data": {
                        "type": "if-else",
                        "logical_operator": "and",
                        "conditions": [
                            {
                                "variable_selector": ["start", "style"],
                                "comparison_operator": "is",
                                "value": "ink",
                            }
                        ],
                    },
                },
                {
                    "id": "tool",
                    "data": {
                        "type": "tool",
                        "provider_id": "stablediffusion",
                        "provider_type": "builtin",
                        "tool_name": "stable_diffusion",
                        "tool_parameters": {"prompt": {"type": "mixed", "value": "{{#llm.text#}}"}},
                        "tool_configurations": {"width": 64, "height": 64},
                    },
                },
                {
                    "id": "end",
                    "data": {
                        "type": "end",
                        "outputs": [{"variable": "files", "value_selector": ["tool", "files"]}],
                    },
                },
            ],
            "edges": [
                {"source": "start", "target": "llm"},
                {"source": "llm", "target": "which"},
                {"source": "which", "sourceHandle": "true", "target": "tool"},
                {"source": "which", "sourceHandle": "false", "target": "end"},
                {"source": "tool", "target": "end"},
            ],
        }
    },
}


def loaded(
    folder: Path,
    change: Change | None = None,
    app: Mapping[str, Any] = APP,
    rules: Sequence[InputRule] | None = None,
) -> Workflow:
    """The workflow of a file with ``app``, changed."""
    said = copy.deepcopy(dict(app))
    if change is not None:
        change(said)
    path = folder / "mine.yml"
    path.write_text(json.dumps(said), "utf-8")  # JSON is YAML
    return load_workflow(path, rules)


def graph(app: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = app["workflow"]["graph"]
    return found


def data(app: dict[str, Any], index: int) -> dict[str, Any]:
    """The data of the node at ``index``: 0 start, 1 LLM, 2 if-else, 3 tool, 4 end."""
    found: dict[str, Any] = graph(app)["nodes"][index]["data"]
    return found


def put(index: int, *keys: Any, value: Any) -> Change:
    """Write ``value`` under ``keys`` of the data of the node at ``index``."""

    def change(app: dict[str, Any]) -> None:
        at: Any = data(app, index)
        for key in keys[:-1]:
            at = at.setdefault(key, {}) if isinstance(at, dict) else at[key]
        at[keys[-1]] = value

    return change


def drop(index: int, *keys: Any) -> Change:
    def change(app: dict[str, Any]) -> None:
        at: Any = data(app, index)
        for key in keys[:-1]:
            at = at[key]
        del at[keys[-1]]

    return change


def add_node(node_id: str, kind: str, **said: Any) -> Change:
    return lambda app: graph(app)["nodes"].append({"id": node_id, "data": {"type": kind, **said}})


def add_edge(**said: Any) -> Change:
    return lambda app: graph(app)["edges"].append(said)


START, LLM, WHICH, TOOL, END = (f"workflow.graph.nodes[{index}].data" for index in range(5))
PROMPT, STYLE = (f"{START}.variables[{index}]" for index in range(2))
CONDITION = f"{WHICH}.conditions[0]"

WRONG: dict[str, tuple[Change, str, str]] = {
    "a selector to no node": (
        put(4, "outputs", value=[{"variable": "files", "value_selector": ["tol", "files"]}]),
        "workflow.graph.nodes[4].data.outputs[0].value_selector",
        "the node 'tol' is not in this graph (did you mean 'tool'?)",
    ),
    "a reference to no node": (
        put(3, "tool_parameters", "prompt", value={"type": "mixed", "value": "a {{#lm.text#}}"}),
        "workflow.graph.nodes[3].data.tool_parameters.prompt.value",
        "the node 'lm' is not in this graph (did you mean 'llm'?)",
    ),
    "a parameter from no node": (
        put(3, "tool_parameters", "prompt", value={"type": "variable", "value": ["lm", "text"]}),
        "workflow.graph.nodes[3].data.tool_parameters.prompt.value",
        "the node 'lm' is not in this graph (did you mean 'llm'?)",
    ),
    "a reference to no variable": (
        put(1, "prompt_template", value=[{"role": "system", "text": "{{#start.promt#}}"}]),
        "workflow.graph.nodes[1].data.prompt_template[0].text",
        "the start node has no variable 'promt' (did you mean 'prompt'?)",
    ),
    # the whole
    "no workflow": (
        lambda app: app.pop("workflow"),
        "the top level",
        "the key 'workflow' is missing here; add it",
    ),
    "no graph": (
        lambda app: app["workflow"].pop("graph"),
        "workflow",
        "the key 'graph' is missing here; add it",
    ),
    "graph is a list": (
        lambda app: app["workflow"].update(graph=[]),
        "workflow.graph",
        "a mapping is needed here, not a list",
    ),
    "no nodes": (
        lambda app: graph(app).pop("nodes"),
        "workflow.graph",
        "the key 'nodes' is missing here",
    ),
    "no edges": (
        lambda app: graph(app).pop("edges"),
        "workflow.graph",
        "the key 'edges' is missing here",
    ),
    "nodes is a mapping": (
        lambda app: graph(app).update(nodes={}),
        "workflow.graph.nodes",
        "a list is needed here, not a mapping",
    ),
    "app is a text": (
        lambda app: app.update(app="mine"),
        "app",
        "a mapping is needed here, not 'mine'",
    ),
    "a chat app": (
        lambda app: app["app"].update(mode="advanced-chat"),
        "app.mode",
        "this is an app of mode 'advanced-chat', and only workflow apps run here; see --app KEY=chat",
    ),
    "unknown x-fake key": (
        lambda app: app.update({"x-fake": {"uncheked": True}}),
        "x-fake",
        "the key 'uncheked' is not known here (did you mean 'unchecked'?); known: unchecked, workflow_id",
    ),
    "unchecked is a text": (
        lambda app: app.update({"x-fake": {"unchecked": "no"}}),
        "x-fake.unchecked",
        "true or false is needed here, not 'no'",
    ),
    "features is a list": (
        lambda app: app["workflow"].update(features=[]),
        "workflow.features",
        "a mapping is needed here, not a list",
    ),
    "upload without limits": (
        lambda app: app["workflow"].update(features={"file_upload": {"image": {"enabled": True}}}),
        "workflow.features.file_upload.image",
        "the key 'number_limits' is missing here",
    ),
    "upload by other means": (
        lambda app: app["workflow"].update(
            features={
                "file_upload": {
                    "image": {
                        "enabled": True,
                        "number_limits": 3,
                        "transfer_methods": ["local_files"],
                    }
                }
            }
        ),
        "workflow.features.file_upload.image.transfer_methods[0]",
        "'local_files' is not known here (did you mean 'local_file'?)",
    ),
    # nodes and edges
    "no start": (
        lambda app: graph(app)["nodes"].pop(0),
        "workflow.graph.nodes",
        "a graph needs exactly one node of type start, and this one has 0",
    ),
    "two starts": (
        add_node("start2", "start"),
        "workflow.graph.nodes",
        "a graph needs exactly one node of type start, and this one has 2",
    ),
    "duplicate id": (
        add_node("llm", "end"),
        "workflow.graph.nodes[5]",
        "the id 'llm' is taken by another node; give each node its own",
    ),
    "node without id": (
        lambda app: graph(app)["nodes"][1].pop("id"),
        "workflow.graph.nodes[1]",
        "the key 'id' is",
    ),
    "node without data": (
        lambda app: graph(app)["nodes"][1].pop("data"),
        "workflow.graph.nodes[1]",
        "the key 'data'",
    ),
    "node is a text": (
        lambda app: graph(app)["nodes"].append("llm"),
        "workflow.graph.nodes[5]",
        "a mapping is needed here, not 'llm'",
    ),
    "node without type": (drop(1, "type"), LLM, "the key 'type' is missing here"),
    "unknown node type": (
        put(2, "type", value="if_else"),
        f"{WHICH}.type",
        "'if_else' is not known here (did you mean 'if-else'?); known: answer, code,",
    ),
    "node type is a number": (
        put(2, "type", value=5),
        f"{WHICH}.type",
        "a text is needed here, not 5",
    ),
    "code node without outputs": (
        add_node("code", "code"),
        "workflow.graph.nodes[5].data",
        "a code node is not run by the fake; say in x-fake.outputs what it answers",
    ),
    "edge to nowhere": (
        add_edge(source="end", target="nowhere"),
        "workflow.graph.edges[5]",
        "the edge names the node 'nowhere', which is not in this graph",
    ),
    "edge from nowhere": (
        add_edge(source="nowhere", target="end"),
        "workflow.graph.edges[5]",
        "the edge names the node 'nowhere', which is not in this graph",
    ),
    "edge without target": (
        add_edge(source="end"),
        "workflow.graph.edges[5]",
        "the key 'target' is missing here",
    ),
    "second edge": (
        add_edge(source="start", target="end"),
        "workflow.graph.edges[5]",
        "a second edge leaves 'start' by 'source'; a node goes on to one other node",
    ),
    "second edge by one handle": (
        add_edge(source="which", sourceHandle="true", target="end"),
        "workflow.graph.edges[5]",
        "a second edge leaves 'which' by 'true'",
    ),
    # what each kind of node says
    "no model": (drop(1, "model"), LLM, "the key 'model' is missing here"),
    "unknown model mode": (
        put(1, "model", "mode", value="chatt"),
        f"{LLM}.model.mode",
        "'chatt' is not known here (did you mean 'chat'?); known: chat, completion",
    ),
    "no prompts": (drop(1, "prompt_template"), LLM, "the key 'prompt_template' is missing here"),
    "empty prompts": (
        put(1, "prompt_template", value=[]),
        f"{LLM}.prompt_template",
        "a model needs at least one",
    ),
    "prompts as a mapping": (
        put(1, "prompt_template", value={"text": "x"}),
        f"{LLM}.prompt_template",
        "a list is needed here, not a mapping",
    ),
    "prompt without text": (
        drop(1, "prompt_template", 0, "text"),
        f"{LLM}.prompt_template[0]",
        "the key 'text' is",
    ),
    "prompt text is a list": (
        put(1, "prompt_template", 0, "text", value=["x"]),
        f"{LLM}.prompt_template[0].text",
        "a text is needed here, not a list",
    ),
    "no conditions": (drop(2, "conditions"), WHICH, "the key 'conditions' is missing here"),
    "unknown logical operator": (
        put(2, "logical_operator", value="nor"),
        f"{WHICH}.logical_operator",
        "'nor' is not known here (did you mean 'or'?); known: and, or",
    ),
    "unknown operator": (
        put(2, "conditions", 0, "comparison_operator", value="starts with"),
        f"{CONDITION}.comparison_operator",
        "'starts with' is not known here (did you mean 'start with'?)",
    ),
    "condition without selector": (
        drop(2, "conditions", 0, "variable_selector"),
        CONDITION,
        "the key 'variable_selector' is missing here",
    ),
    "short selector": (
        put(2, "conditions", 0, "variable_selector", value=["start"]),
        f"{CONDITION}.variable_selector",
        "a selector names a node and one of its outputs: [node id, output]",
    ),
    "selector is a text": (
        put(2, "conditions", 0, "variable_selector", value="start.style"),
        f"{CONDITION}.variable_selector",
        "a list is needed here, not 'start.style'",
    ),
    "selector of numbers": (
        put(2, "conditions", 0, "variable_selector", value=[1713938000001, "style"]),
        f"{CONDITION}.variable_selector[0]",
        "a text is needed here, not 1713938000001",
    ),
    "condition value is a number": (
        put(2, "conditions", 0, "value", value=5),
        f"{CONDITION}.value",
        "a text is needed here, not 5",
    ),
    "tool without provider": (
        drop(3, "provider_id"),
        TOOL,
        "the key 'provider_id' is missing here",
    ),
    "unknown parameter type": (
        put(3, "tool_parameters", "prompt", "type", value="mix"),
        f"{TOOL}.tool_parameters.prompt.type",
        "'mix' is not known here (did you mean 'mixed'?)",
    ),
    "mixed parameter is a number": (
        put(3, "tool_parameters", "prompt", "value", value=5),
        f"{TOOL}.tool_parameters.prompt.value",
        "a text is needed here, not 5",
    ),
    "variable parameter is a text": (
        put(3, "tool_parameters", "prompt", "type", value="variable"),
        f"{TOOL}.tool_parameters.prompt.value",
        "a list is needed here, not '{{#llm.text#}}'",
    ),
    "parameter is a text": (
        put(3, "tool_parameters", "prompt", value="a cat"),
        f"{TOOL}.tool_parameters.prompt",
        "a mapping is needed here, not 'a cat'",
    ),
    "picture too wide": (
        put(3, "tool_configurations", "width", value=4097),
        f"{TOOL}.tool_configurations.width",
        "width must be from 1 to 4096, not 4097",
    ),
    "picture of negative height": (
        put(3, "tool_configurations", "height", value=-1),
        f"{TOOL}.tool_configurations.height",
        "height must be from 1 to 4096, not -1",
    ),
    "too many steps as text": (
        put(3, "tool_configurations", "steps", value="4097"),
        f"{TOOL}.tool_configurations.steps",
        "steps must be from 1 to 4096, not 4097",
    ),
    "steps as a word": (
        put(3, "tool_configurations", "steps", value="many"),
        f"{TOOL}.tool_configurations.steps",
        "a whole number is needed here, not 'many'",
    ),
    "output without name": (
        drop(4, "outputs", 0, "variable"),
        f"{END}.outputs[0]",
        "the key 'variable' is missing",
    ),
    "output without selector": (
        drop(4, "outputs", 0, "value_selector"),
        f"{END}.outputs[0]",
        "the key 'value_selector' is missing here",
    ),
    # what the fake adds
    "unknown behaviour": (
        put(1, "x-fake", "second", value=1),
        f"{LLM}.x-fake",
        "the key 'second' is not known here (did you mean 'seconds'?)",
    ),
    "behaviour is a number": (
        put(1, "x-fake", value=1),
        f"{LLM}.x-fake",
        "a mapping is needed here, not 1",
    ),
    "seconds below 0": (
        put(1, "x-fake", "seconds", value=-1),
        f"{LLM}.x-fake.seconds",
        "seconds must be 0 or more",
    ),
    "seconds as text": (
        put(1, "x-fake", "seconds", value="1 s"),
        f"{LLM}.x-fake.seconds",
        "a number is needed here",
    ),
    "seconds true": (
        put(1, "x-fake", "seconds", value=True),
        f"{LLM}.x-fake.seconds",
        "a number is needed here",
    ),
    "spread above 1": (
        put(1, "x-fake", "spread", value=1.5),
        f"{LLM}.x-fake",
        "spread is a fraction from 0 to 1, not 1.5",
    ),
    "half a token": (
        put(1, "x-fake", "prompt_tokens", value=1.5),
        f"{LLM}.x-fake.prompt_tokens",
        "a whole number is needed here, not 1.5",
    ),
    "error is a list": (
        put(1, "x-fake", "error", value=[]),
        f"{LLM}.x-fake.error",
        "a text is needed here",
    ),
    "outputs is a text": (
        put(1, "x-fake", "outputs", value="x"),
        f"{LLM}.x-fake.outputs",
        "a mapping is needed here",
    ),
    # variables
    "variables is a mapping": (
        put(0, "variables", value={}),
        f"{START}.variables",
        "a list is needed here",
    ),
    "variable without name": (
        drop(0, "variables", 0, "variable"),
        PROMPT,
        "the key 'variable' is missing here",
    ),
    "variable twice": (
        put(0, "variables", 1, "variable", value="prompt"),
        PROMPT,
        "the variable 'prompt' is declared twice; keep one of them",
    ),
    "unknown variable type": (
        put(0, "variables", 0, "type", value="paragraf"),
        f"{PROMPT}.type",
        "'paragraf' is not known here (did you mean 'paragraph'?); known: paragraph, select, text-input",
    ),
    "select without options": (
        drop(0, "variables", 1, "options"),
        STYLE,
        "the key 'options' is missing here",
    ),
    "select with no option": (
        put(0, "variables", 1, "options", value=[]),
        STYLE,
        "a select needs at least one option",
    ),
    "option is a number": (
        put(0, "variables", 1, "options", value=["ink", 5]),
        f"{STYLE}.options[1]",
        "a text is needed here, not 5",
    ),
    "default not an option": (
        put(0, "variables", 1, "default", value="chalk"),
        f"{STYLE}.default",
        "the default 'chalk' is none of the options ['ink', 'oil']",
    ),
    "default is a number": (
        put(0, "variables", 0, "default", value=5),
        f"{PROMPT}.default",
        "a text is needed here, not 5",
    ),
    "max_length 0": (
        put(0, "variables", 0, "max_length", value=0),
        f"{PROMPT}.max_length",
        "max_length must be 1 or more, not 0",
    ),
    "max_length as text": (
        put(0, "variables", 0, "max_length", value="48"),
        f"{PROMPT}.max_length",
        "a whole number is needed here, not '48'",
    ),
    "required as text": (
        put(0, "variables", 0, "required", value="yes"),
        f"{PROMPT}.required",
        "true or false is needed here, not 'yes'",
    ),
}


@pytest.mark.parametrize(("change", "place", "says"), WRONG.values(), ids=WRONG.keys())
def test_whatever_is_wrong_is_said_with_its_place(
    tmp_path: Path, change: Change, place: str, says: str
) -> None:
    """One line that begins with the file and the place, and says what to mend."""
    with pytest.raises(WorkflowError) as caught:
        loaded(tmp_path, change)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'mine.yml'}: {place}: {says}")
    assert "\n" not in text


def test_the_file_that_the_wrong_ones_are_made_of_is_right(tmp_path: Path) -> None:
    """Each wrong file differs from a good one in one thing."""
    workflow = loaded(tmp_path)
    assert workflow.name == "mine"
    assert [variable.name for variable in workflow.variables] == ["prompt", "style"]
    assert workflow.after("which", "false") == "end"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            None,
            "mine.yml: the file: it cannot be read (no such file or directory); give the path of a YAML file",
        ),
        (b"workflow: [\n", "mine.yml: line 2, column 1: "),
        (b"\x89PNG\r\n", "mine.yml: byte 0: this is not UTF-8 text"),
        (b"- a\n- b\n", "mine.yml: line 1, column 1: a mapping is needed at the top"),
        (b"", "mine.yml: line 1, column 1: a mapping is needed at the top"),
        (
            b"workflow: {graph: {nodes: [], edges: [], edges: []}}\n",
            "mine.yml: line 1, column 42: ",
        ),
        (
            b"workflow: {graph: {nodes: [{id: a, data: {type: llm, x-fake: {seconds: .inf}}}]}}",
            "the key 'model'",
        ),
    ],
    ids=["missing", "not YAML", "not text", "a list", "empty", "a key twice", "no model"],
)
def test_a_file_that_is_no_app_at_all_is_said(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    """A file that cannot be read or is no YAML is refused with the line."""
    path = tmp_path / "mine.yml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        load_workflow(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["seconds", "prompt_tokens"])
@pytest.mark.parametrize("value", [".inf", ".nan"])
def test_a_number_without_end_is_refused(tmp_path: Path, key: str, value: str) -> None:
    """YAML has infinity and not-a-number; a duration or a count is neither."""
    path = tmp_path / "mine.yml"
    path.write_text(
        f"workflow: {{graph: {{nodes: [{{id: a, data: {{type: start, x-fake: {{{key}: {value}}}}}}}]}}}}"
    )
    with pytest.raises(WorkflowError, match=f"{key} must be 0 or more, at most 1000000000, not"):
        load_workflow(path)


# The default app, which the spec rules
# ------------------------------------------------------------------------------

RULES = (InputRule("prompt", True, None), InputRule("style", False, ("ink", "oil")))
CONTRADICTIONS: dict[str, tuple[Change, str, str]] = {
    "extra variable": (
        lambda app: data(app, 0)["variables"].append({"variable": "size", "type": "text-input"}),
        f"{START}.variables[2]",
        (
            "the variable 'size' is none of the inputs in the spec (prompt, style); "
            "give an app with variables of its own a key of its own: --app KEY=FILE"
        ),
    ),
    "other options": (
        put(0, "variables", 1, "options", value=["ink"]),
        STYLE,
        "'options' of 'style' is ['ink'] here but ['ink', 'oil'] in the spec; leave it to the spec",
    ),
    "required differs": (
        put(0, "variables", 0, "required", value=False),
        PROMPT,
        "'required' of 'prompt' is False here but True in the spec; leave it to the spec",
    ),
    "a select without an enumeration": (
        put(0, "variables", 0, "type", value="select"),
        PROMPT,
        "'prompt' is a select here, which contradicts its enumeration in the spec; leave it to the spec",
    ),
    "an enumeration without a select": (
        put(0, "variables", 1, "type", value="text-input"),
        STYLE,
        "'style' is a text-input here, which contradicts its enumeration in the spec; leave it to the spec",
    ),
}


@pytest.mark.parametrize(
    ("change", "place", "says"), CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys()
)
def test_a_default_app_that_contradicts_the_spec_is_refused(
    tmp_path: Path, change: Change, place: str, says: str
) -> None:
    """What the spec says of an input is said once; a file that says otherwise is a mistake."""
    with pytest.raises(WorkflowError) as caught:
        loaded(tmp_path, change, rules=RULES)
    assert str(caught.value) == f"{tmp_path / 'mine.yml'}: {place}: {says}"


def test_the_default_app_takes_its_inputs_from_the_spec(tmp_path: Path) -> None:
    """Names, enumeration and required-ness come from the spec, order, default and length from the
    file.
    """
    said = [
        {"variable": "style", "default": "oil", "label": "Style"},
        {"variable": "prompt", "max_length": 5},
    ]
    style, prompt = loaded(tmp_path, put(0, "variables", value=said), rules=RULES).variables
    assert (style.name, style.type, style.required, style.options) == (
        "style",
        "select",
        False,
        ("ink", "oil"),
    )
    assert (style.default, style.shown["label"]) == ("oil", "Style")
    assert (prompt.name, prompt.type, prompt.required, prompt.max_length) == (
        "prompt",
        "paragraph",
        True,
        5,
    )


def test_an_input_that_the_file_leaves_out_is_there_all_the_same(tmp_path: Path) -> None:
    """The spec owns the inputs: what the file does not mention follows last, without label or
    length.
    """
    said = [{"variable": "style"}]
    style, prompt = loaded(tmp_path, put(0, "variables", value=said), rules=RULES).variables
    assert (style.name, prompt.name, prompt.required, prompt.max_length) == (
        "style",
        "prompt",
        True,
        None,
    )


def test_an_app_of_ones_own_owns_its_variables(tmp_path: Path) -> None:
    """Without rules a file may say anything that is right in itself."""
    own = [
        {"variable": name, "type": "text-input", "default": "10"}
        for name in ("size", "prompt", "style")
    ]
    size, *_ = loaded(tmp_path, put(0, "variables", value=own)).variables
    assert (size.name, size.type, size.required, size.default, size.options) == (
        "size",
        "text-input",
        False,
        "10",
        None,
    )


def test_the_shipped_app_agrees_with_the_shipped_spec(
    host_spec: HostSpec, default_workflow: Workflow
) -> None:
    """Every input of the spec is a variable of the default app, and the five models are its
    options.
    """
    assert {variable.name for variable in default_workflow.variables} == {
        rule.name for rule in host_spec.inputs
    }
    by_name = {variable.name: variable for variable in default_workflow.variables}
    assert by_name["model_name"].options == next(
        rule.options for rule in host_spec.inputs if rule.options
    )


def test_a_sixth_model_in_the_spec_is_a_sixth_model_of_the_fake(tmp_path: Path) -> None:
    """The list of models stands in the spec alone: a copy with one more makes a fake that takes it
    and lists it.
    """
    text = bundled("openapi.yaml").read_text("utf-8")
    listed = "        - v1-5-pruned-emaonly\n"
    assert text.count(listed) == 1
    path = tmp_path / "openapi.yaml"
    path.write_text(text.replace(listed, f"{listed}        - a-sixth-model\n"), "utf-8")
    app = create_app(Settings(spec=path, speed=None, seed=1))
    headers = json_headers(DEFAULT_API_KEY)
    accepted = call(app, "POST", "/v1/workflows/run", headers, run_body(model_name="a-sixth-model"))
    assert (accepted.status, accepted.json()["data"]["status"]) == (200, "succeeded")
    refused = call(
        app, "POST", "/v1/workflows/run", headers, run_body(model_name="a-seventh-model")
    )
    assert refused.status == 400
    assert refused.json()["message"].endswith("'v1-5-pruned-emaonly', 'a-sixth-model']")
    form = call(app, "GET", "/v1/parameters", headers).json()["user_input_form"]
    assert form[1]["select"]["options"][-1] == "a-sixth-model"


# On purpose
# -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda app: graph(app).pop("nodes") and graph(app).pop("edges"),
        lambda app: graph(app).pop("edges"),
    ],
    ids=["neither nodes nor edges", "no edges"],
)
def test_a_graph_without_nodes_or_edges_may_be_asked_for(tmp_path: Path, change: Change) -> None:
    """What the host itself would run into the ground is taken where the file says so [C:
    g_nonodes_block].
    """

    def unchecked(app: dict[str, Any]) -> None:
        change(app)
        app["x-fake"] = {"unchecked": True}

    assert loaded(tmp_path, unchecked).nodes is None


def test_a_node_that_only_something_real_could_run_says_what_it_answers(tmp_path: Path) -> None:
    """A code node is taken with canned outputs, and with a canned error."""
    answers: list[dict[str, Any]] = [{"outputs": {"x": "1"}}, {"outputs": {}}, {"error": "broken"}]
    for said in answers:
        workflow = loaded(tmp_path, add_node("code", "code", **{"x-fake": said}))
        assert workflow.nodes is not None
        assert workflow.nodes["code"].type == "code"


def test_an_unpromising_name_is_no_mistake(tmp_path: Path) -> None:
    """An app without a name takes the file's; its workflow id stays the same as long as the name
    does.
    """
    first, second = (
        loaded(tmp_path, lambda app: app.pop("app")),
        loaded(tmp_path, lambda app: app.pop("app")),
    )
    assert (first.name, first.workflow_id) == ("mine", second.workflow_id)
    assert (
        loaded(tmp_path, lambda app: app["app"].update(name="other")).workflow_id
        != first.workflow_id
    )


def test_the_document_app_is_a_file_that_can_be_copied(tmp_path: Path, host_spec: HostSpec) -> None:
    """The shipped app file works from another place, under a key of its own too."""
    path = tmp_path / "copied.yml"
    path.write_bytes(default_workflow_path().read_bytes())
    assert load_workflow(path, host_spec.inputs) == load_workflow(
        default_workflow_path(), host_spec.inputs
    )


# Conditions
# -----------------------------------------------------------------------------------------------------------

TEXT, LIST, NUMBER = (
    f"Invalid actual value type: {kind}" for kind in ("string", "string or array", "number")
)
COMPARED: list[tuple[str, Any, str, bool | str]] = [
    ("contains", "a cat", "cat", True),
    ("contains", "a cat", "dog", False),
    ("contains", ["cat"], "cat", True),
    ("contains", "", "", False),
    ("contains", None, "x", False),
    ("contains", 5, "5", LIST),
    ("not contains", "a cat", "cat", False),
    ("not contains", "a cat", "dog", True),
    ("not contains", None, "x", True),
    ("not contains", 5, "5", LIST),
    ("start with", "a cat", "a", True),
    ("start with", "a cat", "cat", False),
    ("start with", "", "", False),
    ("start with", None, "a", False),
    ("start with", 5, "5", TEXT),
    ("end with", "a cat", "cat", True),
    ("end with", "a cat", "a ", False),
    ("end with", ["cat"], "cat", TEXT),
    ("is", "ink", "ink", True),
    ("is", "ink", "oil", False),
    ("is", "", "", True),
    ("is", None, "", False),
    ("is", 5, "5", TEXT),
    ("is not", "ink", "oil", True),
    ("is not", "ink", "ink", False),
    ("is not", "", "ink", True),
    ("is not", None, "ink", False),
    ("empty", "", "", True),
    ("empty", None, "", True),
    ("empty", [], "", True),
    ("empty", " ", "", False),
    ("not empty", "x", "", True),
    ("not empty", "", "", False),
    ("not empty", None, "", False),
    ("=", 5, "5", True),
    ("=", 5, "6", False),
    ("=", 5.5, "5.5", True),
    ("=", None, "5", False),
    ("=", "5", "5", NUMBER),
    ("≠", 5, "6", True),
    ("≠", 5, "5", False),
    (">", 6, "5", True),
    (">", 5, "5", False),
    ("<", 4, "5", True),
    ("<", 5, "5", False),
    ("≥", 5, "5", True),
    ("≥", 4, "5", False),
    ("≤", 5, "5", True),
    ("≤", 6, "5", False),
    ("null", None, "", True),
    ("null", "", "", False),
    ("not null", "", "", True),
    ("not null", None, "", False),
    (">", 6, "abc", "invalid literal for int() with base 10: 'abc'"),
]


@pytest.mark.parametrize(("name", "actual", "expected", "verdict"), COMPARED)
def test_an_operator_compares_as_the_host_does(
    name: str, actual: Any, expected: str, verdict: bool | str
) -> None:
    """Each operator by examples; what it cannot compare is an error in the host's words."""
    if isinstance(verdict, bool):
        assert OPERATORS[name](actual, expected) is verdict
    else:
        with pytest.raises(ValueError) as caught:  # noqa: PT011  # the whole text is compared
            OPERATORS[name](actual, expected)
        assert str(caught.value) == verdict


def test_every_operator_has_an_example() -> None:
    """None is without a row that holds and one that does not."""
    for name in OPERATORS:
        assert {verdict for row, _, _, verdict in COMPARED if row == name} >= {True, False}
