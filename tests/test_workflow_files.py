"""App files: every way to get one wrong is one line with file, place and mend; what is right is
taken as it stands.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from dify_wire.text_file import SpecError, bundled
from fake_server import Settings, create_app
from fake_server.host_spec import HostSpec, InputRule
from fake_server.settings import DEFAULT_API_KEY
from fake_server.workflow.expressions import OPERATORS
from fake_server.workflow.loader import default_workflow_path, load_workflow
from fake_server.workflow.model import Workflow
from fake_server.workflow.problems import WorkflowError
from tests.asgi import call, json_headers, run_body
from tests.each import each

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
    content = copy.deepcopy(dict(app))
    if change is not None:
        change(content)
    path = folder / "mine.yml"
    path.write_text(json.dumps(content), "utf-8")  # JSON is YAML
    return load_workflow(path, rules)


def graph(app: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = app["workflow"]["graph"]
    return found


DROP = object()


def put(path: str, value: Any) -> Change:
    """Write ``value`` at ``path``, one after the end of a list included; ``DROP`` takes it out.

    ``nodes`` and ``edges`` are those of the graph.
    """

    def change(app: dict[str, Any]) -> None:
        at: Any = app
        *outer, last = keys(full(path))
        for key in outer:
            at = at.setdefault(key, {}) if isinstance(at, dict) else at[key]
        if value is DROP:
            del at[last]
        elif isinstance(at, list) and last == len(at):
            at.append(value)
        else:
            at[last] = value

    return change


def full(path: str) -> str:
    return f"workflow.graph.{path}" if path.startswith(("nodes", "edges")) else path


def keys(path: str) -> list[str | int]:
    parts = re.findall(r"[^.\[\]]+", path)
    return [int(part) if part.isdigit() else part for part in parts]


def add_node(node_id: str, kind: str, **data: Any) -> Change:
    return put("nodes[5]", {"id": node_id, "data": {"type": kind, **data}})


START, LLM, WHICH, TOOL, END = (f"nodes[{index}].data" for index in range(5))
PROMPT, STYLE = (f"{START}.variables[{index}]" for index in range(2))
CONDITION = f"{WHICH}.conditions[0]"
PARAMETER = f"{TOOL}.tool_parameters.prompt"
OUTPUT = f"{END}.outputs[0]"
IMAGE = "workflow.features.file_upload.image"
MISSING = "this key is missing; add it"
ENABLED = {"enabled": True, "number_limits": 3, "transfer_methods": ["local_files"]}
NO_LLM = "the node 'lm' is not in this graph (did you mean 'llm'?)"
NOWHERE = "the edge names the node 'nowhere', which is not in this graph"

# what is written, and the message at that place
WRONG: list[tuple[str, Any, str]] = [
    # the whole
    ("workflow", DROP, MISSING),
    ("workflow.graph", DROP, MISSING),
    ("workflow.graph", [], "expected a mapping of names to values, not a list"),
    ("nodes", {}, "expected a list, not a mapping"),
    ("app", "mine", "expected a mapping of names to values, not 'mine'"),
    ("app.mode", "advanced-chat", "this is an app of mode 'advanced-chat', and only workflow apps"),
    ("x-fake.uncheked", True, "'uncheked' is not a known key (did you mean 'unchecked'?); known:"),
    ("x-fake.unchecked", "no", "expected true or false, not 'no'"),
    ("workflow.features", [], "expected a mapping of names to values, not a list"),
    # nodes and edges
    ("nodes[5]", "llm", "expected a mapping of names to values, not 'llm'"),
    (
        "nodes[5]",
        {"id": "llm", "data": {"type": "end"}},
        "another node has the id 'llm'; give each node its own",
    ),
    ("nodes[1].id", DROP, MISSING),
    ("nodes[1].id", ["llm"], "expected a string, not a list"),
    ("nodes[1].data", DROP, MISSING),
    (f"{LLM}.type", DROP, MISSING),
    (f"{WHICH}.type", 5, "expected a string, not 5"),
    ("edges[4].target", DROP, MISSING),
    # each kind of node
    (f"{LLM}.model", DROP, MISSING),
    (f"{LLM}.model.mode", "chatt", "'chatt' is not a known value (did you mean 'chat'?); known:"),
    (f"{LLM}.prompt_template", DROP, MISSING),
    (f"{LLM}.prompt_template", "x", "expected a list, not 'x'"),
    (f"{LLM}.prompt_template[0].text", DROP, MISSING),
    (f"{LLM}.prompt_template[0].text", ["x"], "expected a string, not a list"),
    (f"{WHICH}.conditions", DROP, MISSING),
    (f"{WHICH}.logical_operator", "nor", "'nor' is not a known logical operator (did you mean"),
    (
        f"{CONDITION}.comparison_operator",
        "starts with",
        "'starts with' is not a known comparison (did you mean 'start with'?)",
    ),
    (f"{CONDITION}.variable_selector", DROP, MISSING),
    (f"{CONDITION}.variable_selector", ["start"], "a selector names a node and one of its outputs"),
    (f"{CONDITION}.variable_selector", "start.style", "expected a list, not 'start.style'"),
    (f"{CONDITION}.variable_selector[0]", 1713938000001, "expected a string, not 1713938000001"),
    (f"{TOOL}.provider_id", DROP, MISSING),
    (f"{PARAMETER}.type", "mix", "'mix' is not a known type (did you mean 'mixed'?)"),
    (PARAMETER, "a cat", "expected a mapping of names to values, not 'a cat'"),
    (f"{TOOL}.tool_configurations.width", 4097, "expected a whole number from 1 to 4096, not 4097"),
    (f"{TOOL}.tool_configurations.height", -1, "expected a whole number from 1 to 4096, not -1"),
    (f"{TOOL}.tool_configurations.steps", "4097", "expected a whole number from 1 to 4096, not"),
    (f"{OUTPUT}.variable", DROP, MISSING),
    (f"{OUTPUT}.value_selector", DROP, MISSING),
    # what the fake adds
    (f"{LLM}.x-fake.second", 1, "'second' is not a known key (did you mean 'seconds'?)"),
    (f"{LLM}.x-fake", 1, "expected a mapping of names to values, not 1"),
    (f"{LLM}.x-fake.seconds", -1, "expected a number from 0 to 1000000000, not -1"),
    (f"{LLM}.x-fake.seconds", "1 s", "expected a number from 0 to 1000000000, not '1 s'"),
    (f"{LLM}.x-fake.seconds", True, "expected a number from 0 to 1000000000, not true"),
    (f"{LLM}.x-fake.spread", 1.5, "expected a number from 0 to 1, not 1.5"),
    (f"{LLM}.x-fake.prompt_tokens", 1.5, "expected a whole number from 0 to 1000000000, not 1.5"),
    (f"{LLM}.x-fake.error", [], "expected a string, not a list"),
    (f"{LLM}.x-fake.outputs", "x", "expected a mapping of names to values, not 'x'"),
    (f"{LLM}.x-fake.fails", 2, "tries that fail need an error; add error"),
    (
        f"{LLM}.x-fake.missing",
        "mode",
        "'mode' is not a known part of the host (did you mean 'model'?)",
    ),
    (f"{LLM}.x-fake.files", -1, "expected a whole number from 0 to 100, not -1"),
    (f"{LLM}.x-fake.json", {}, "expected a list, not a mapping"),
    (f"{LLM}.x-fake.no_image", "yes", "expected true or false, not 'yes'"),
    (f"{LLM}.x-fake.fault", "model", "'fault' is not a known key"),
    (f"{LLM}.xfake", {}, "nothing reads this key here; write it as x-fake"),
    (f"{LLM}.X_Fake", {}, "nothing reads this key here; write it as x-fake"),
    ("nodes[1].x-fake", {}, "nothing reads this key here; write it as data.x-fake"),
    ("workflow.x-fake", {}, "nothing reads this key here; write it as x-fake at the top"),
    ("x_fake", {}, "nothing reads this key here; write it as x-fake at the top of the file"),
    # variables
    (f"{START}.variables", {}, "expected a list, not a mapping"),
    (f"{PROMPT}.variable", DROP, MISSING),
    (f"{STYLE}.options", DROP, MISSING),
    (f"{STYLE}.options[1]", 5, "expected a string, not 5"),
    (f"{PROMPT}.default", 5, "expected a string, not 5"),
    (f"{PROMPT}.max_length", -1, "expected a whole number of at least 0, not -1"),
    (f"{PROMPT}.max_length", "many", "expected a whole number of at least 0, not 'many'"),
    (f"{PROMPT}.json_schema", "{", "this text is not JSON; write a JSON Schema as a mapping"),
    (f"{PROMPT}.json_schema", [], "expected a mapping of names to values, not a list"),
    (f"{PROMPT}.allowed_file_types", "image", "expected a list, not 'image'"),
    ("workflow.environment_variables", {}, "expected a list, not a mapping"),
    (f"{PROMPT}.required", "yes", "expected true or false, not 'yes'"),
]
# what the host accepts silently: the file loads, with a warning
WARNED: list[tuple[str, Any, str, str]] = [
    # references
    (f"{OUTPUT}.value_selector", ["lm", "files"], f"{OUTPUT}.value_selector", NO_LLM),
    (f"{PARAMETER}.value", "a {{#lm.text#}}", f"{PARAMETER}.value", NO_LLM),
    (PARAMETER, {"type": "variable", "value": ["lm", "text"]}, f"{PARAMETER}.value", NO_LLM),
    (
        f"{PARAMETER}.value",
        "a {{#llm.text}} cat",
        f"{PARAMETER}.value",
        "the reference '{{#llm.text' is not closed; write {{#node.output#}}",
    ),
    (
        f"{PARAMETER}.value",
        "a {{#模型.text#}} cat",
        f"{PARAMETER}.value",
        "the reference '{{#模型.text#}}' stays as it is: the host reads names of ASCII",
    ),
    (f"{PARAMETER}.value", "{{#env.KEY#}}", f"{PARAMETER}.value", "there is no env variable 'KEY'"),
    (
        f"{LLM}.prompt_template[0].text",
        "{{#start.promt#}}",
        f"{LLM}.prompt_template[0].text",
        "the start node has no variable 'promt' (did you mean 'prompt'?)",
    ),
    # nodes and edges
    ("nodes", DROP, "workflow.graph", "there are no nodes, so the host cannot run it"),
    ("edges", DROP, "workflow.graph", "there are no edges, so the host cannot run it"),
    ("nodes", [], "nodes", "a graph needs exactly one node of type start, and this one has 0"),
    (
        "nodes[5]",
        {"id": "start2", "data": {"type": "start"}},
        "nodes",
        "a graph needs exactly one node of type start, and this one has 2",
    ),
    (f"{WHICH}.type", "if_else", f"{WHICH}.type", "'if_else' is not a known node type (did you"),
    ("nodes[1].parentId", "loop", LLM, "the node is inside of 'loop', which is not an iteration"),
    ("nodes[1].parentId", "tool", LLM, "the node is inside of 'tool', which is not an iteration"),
    ("edges[5]", {"source": "end", "target": "nowhere"}, "edges[5]", NOWHERE),
    ("edges[5]", {"source": "nowhere", "target": "end"}, "edges[5]", NOWHERE),
    (
        "edges[2].sourceHandle",
        "tru",
        WHICH,
        "an edge leaves this node by 'tru' (did you mean 'true'?), but no run takes it; known:",
    ),
    ("edges[5]", {"source": "tool", "target": "llm"}, "edges", "the edges go in a circle, llm -> "),
    ("edges[5]", {"source": "llm", "target": "llm"}, "edges", "the edges go in a circle, llm -> l"),
    (
        "nodes[5]",
        {"id": "end2", "data": {"type": "end"}},
        "nodes[5].data",
        "no edge leads from the start to the end 'end2', so no run has its outputs; connect it or",
    ),
    (f"{END}.type", "answer", "nodes", "there is no node of type end, so a run has no outputs"),
    # variables
    (f"{PROMPT}.type", "paragraf", f"{PROMPT}.type", "'paragraf' is not a known type of a"),
    (f"{STYLE}.default", "chalk", f"{STYLE}.default", "the default 'chalk' is not one of the"),
    (f"{STYLE}.options", [], STYLE, "a select without options takes no value; give it some"),
]
# where the message stands at another place than what is written
ELSEWHERE: list[tuple[str, Any, str, str]] = [
    (f"{LLM}.x-fake.text", [1], f"{LLM}.x-fake.text[0]", "expected a string, not 1"),
    (
        f"{LLM}.x-fake.files",
        [{"link": "x"}],
        f"{LLM}.x-fake.files[0].link",
        "'link' is not a known key",
    ),
    (
        f"{LLM}.x-fake.logs",
        ["x"],
        f"{LLM}.x-fake.logs[0]",
        "expected a mapping of names to values, not 'x'",
    ),
    (
        f"{LLM}.x-fake.response",
        {"status": 99},
        f"{LLM}.x-fake.response.status",
        "expected a whole number from 100 to 599, not 99",
    ),
    (
        f"{LLM}.x-fake.response",
        {"code": 1},
        f"{LLM}.x-fake.response.code",
        "'code' is not a known key",
    ),
    (
        "workflow.environment_variables",
        ["KEY"],
        "workflow.environment_variables[0]",
        "expected a mapping of names to values, not 'KEY'",
    ),
    (IMAGE, {"enabled": True}, f"{IMAGE}.number_limits", MISSING),
    (
        IMAGE,
        ENABLED,
        f"{IMAGE}.transfer_methods[0]",
        "'local_files' is not a known transfer method",
    ),
    (
        f"{PARAMETER}.type",
        "variable",
        f"{PARAMETER}.value",
        "expected a list, not '{{#llm.text#}}'",
    ),
    (
        f"{STYLE}.variable",
        "prompt",
        STYLE,
        "the variable 'prompt' is declared twice; keep one of them",
    ),
]


def message(tmp_path: Path, change: Change, rules: Sequence[InputRule] | None = None) -> str:
    """The error for a changed file, without the file, on one line."""
    with pytest.raises(WorkflowError) as caught:
        loaded(tmp_path, change, rules=rules)
    text = str(caught.value)
    assert "\n" not in text
    file = f"{tmp_path / 'mine.yml'}: "
    assert text.startswith(file)
    return text.removeprefix(file)


@each(
    ("path", "value", "place", "says"),
    [*((path, value, path, says) for path, value, says in WRONG), *ELSEWHERE],
)
def test_an_error_names_the_place_and_the_correction(
    tmp_path: Path, path: str, value: Any, place: str, says: str
) -> None:
    """One line: file, place, message."""
    assert message(tmp_path, put(path, value)).startswith(f"{full(place)}: {says}")


@each(("path", "value", "place", "says"), WARNED)
def test_what_a_host_accepts_silently_is_a_warning(
    tmp_path: Path, path: str, value: Any, place: str, says: str
) -> None:
    """The file loads; the warning names the place and what to do."""
    warnings = loaded(tmp_path, put(path, value)).warnings
    assert [one for one in warnings if one.place == full(place) and one.message.startswith(says)], (
        warnings
    )


def test_warnings_are_left_out_where_the_file_says_so(tmp_path: Path) -> None:
    """A file that is wrong on purpose has ``x-fake.unchecked``."""

    def unchecked(app: dict[str, Any]) -> None:
        put(f"{OUTPUT}.value_selector", ["lm", "files"])(app)
        app["x-fake"] = {"unchecked": True}

    assert loaded(tmp_path, unchecked).warnings == ()


def test_every_error_of_a_file_is_reported_at_once(tmp_path: Path) -> None:
    """Errors of nodes, variables, edges and of what the fake adds, each with its place."""

    def wrong(app: dict[str, Any]) -> None:
        put("x-fake.uncheked", True)(app)
        put(f"{PROMPT}.required", "yes")(app)
        put(f"{STYLE}.options", DROP)(app)
        put(f"{LLM}.model", DROP)(app)
        put(f"{LLM}.x-fake.second", 1)(app)
        put("edges[0].target", DROP)(app)
        put("edges[1].source", DROP)(app)

    with pytest.raises(WorkflowError) as caught:
        loaded(tmp_path, wrong)
    assert [error.place.removeprefix("workflow.graph.") for error in caught.value.all] == [
        "x-fake.uncheked",
        f"{PROMPT}.required",
        f"{STYLE}.options",
        f"{LLM}.model",
        f"{LLM}.x-fake.second",
        "edges[0].target",
        "edges[1].source",
    ]


def test_the_file_that_the_wrong_ones_are_made_of_is_right(tmp_path: Path) -> None:
    """Each wrong file differs from a good one in one thing."""
    workflow = loaded(tmp_path)
    assert workflow.name == "mine"
    assert [variable.name for variable in workflow.variables] == ["prompt", "style"]
    assert workflow.edges.get(("which", "false")) == ("end",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "mine.yml: the file: it cannot be read (no such file or directory); give the path"),
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
            "data.model: this key is missing; add it",
        ),
    ],
    ids=["missing", "not YAML", "not text", "a list", "empty", "a key twice", "no model"],
)
def test_a_file_that_is_not_an_app_is_an_error(
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
        f"workflow: {{graph: {{nodes: "
        f"[{{id: a, data: {{type: start, x-fake: {{{key}: {value}}}}}}}]}}}}"
    )
    with pytest.raises(WorkflowError, match="number from 0 to 1000000000, not"):
        load_workflow(path)


# The default app, which the spec rules
# ---

RULES = (InputRule("prompt", True, None), InputRule("style", False, ("ink", "oil")))
CONTRADICTIONS: list[tuple[str, Any, str, str]] = [
    (
        f"{START}.variables[2]",
        {"variable": "size", "type": "text-input"},
        f"{START}.variables[2]",
        "the spec has no input 'size', only prompt, style; give an app with variables of its own",
    ),
    (
        f"{STYLE}.options",
        ["ink"],
        STYLE,
        "'options' of 'style' is ['ink'] here but ['ink', 'oil'] in the spec; leave it to the spec",
    ),
    (f"{PROMPT}.required", False, PROMPT, "'required' of 'prompt' is False here but True in the"),
    (f"{PROMPT}.type", "select", PROMPT, "'prompt' is a select here, which contradicts its enumer"),
    (f"{STYLE}.type", "text-input", STYLE, "'style' is a text-input here, which contradicts its"),
]


@pytest.mark.parametrize(("path", "value", "place", "says"), CONTRADICTIONS)
def test_a_default_app_that_contradicts_the_spec_is_an_error(
    tmp_path: Path, path: str, value: Any, place: str, says: str
) -> None:
    """What the spec says of an input is content once; a file that says otherwise is a mistake."""
    assert message(tmp_path, put(path, value), RULES).startswith(f"{full(place)}: {says}")


def test_the_default_app_takes_its_inputs_from_the_spec(tmp_path: Path) -> None:
    """Names, enumeration and required-ness come from the spec, order, default and length from the
    file.
    """
    content = [
        {"variable": "style", "default": "oil", "label": "Style"},
        {"variable": "prompt", "max_length": 5},
    ]
    style, prompt = loaded(tmp_path, put(f"{START}.variables", content), rules=RULES).variables
    assert (style.name, style.type, style.required, style.options) == (
        "style",
        "select",
        False,
        ("ink", "oil"),
    )
    assert (style.default, style.entry["label"]) == ("oil", "Style")
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
    content = [{"variable": "style"}]
    style, prompt = loaded(tmp_path, put(f"{START}.variables", content), rules=RULES).variables
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
    size, *_ = loaded(tmp_path, put(f"{START}.variables", own)).variables
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
# ---


@pytest.mark.parametrize(
    "change",
    [
        lambda app: graph(app).pop("nodes") and graph(app).pop("edges"),
        lambda app: graph(app).pop("edges"),
    ],
    ids=["neither nodes nor edges", "no edges"],
)
def test_a_graph_without_nodes_or_edges_is_loaded_if_unchecked(
    tmp_path: Path, change: Change
) -> None:
    """What the host itself would run into the ground is taken where the file says so [C:
    g_nonodes_block].
    """

    def unchecked(app: dict[str, Any]) -> None:
        change(app)
        app["x-fake"] = {"unchecked": True}

    assert loaded(tmp_path, unchecked).complete is False


def test_a_node_that_only_something_real_could_run_says_what_it_answers(tmp_path: Path) -> None:
    """A code node is taken with canned outputs, and with a canned error."""
    answers: list[dict[str, Any]] = [{"outputs": {"x": "1"}}, {"outputs": {}}, {"error": "broken"}]
    for content in answers:
        workflow = loaded(tmp_path, add_node("code", "code", **{"x-fake": content}))
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
# ---

TEXT, LIST, NUMBER = (
    f"Invalid actual value type: {kind}" for kind in ("string", "string or array", "number")
)
COMPARED: list[tuple[str, Any, Any, bool | str]] = [
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
    ("in", "a", ["a", "b"], True),
    ("in", "c", ["a", "b"], False),
    ("in", "a", "ab", "Invalid expected value type: array"),
    ("not in", "c", ["a", "b"], True),
    ("not in", "a", ["a", "b"], False),
    ("all of", ["a", "b"], ["a"], True),
    ("all of", ["a"], ["a", "b"], False),
    ("exists", "", None, True),
    ("exists", None, None, False),
    ("not exists", None, None, True),
    ("not exists", 0, None, False),
    ("is", True, "true", True),
    ("is", False, "true", False),
    (">", 6, "abc", "invalid literal for int() with base 10: 'abc'"),
]


@each(("name", "actual", "expected", "verdict"), COMPARED)
def test_an_operator_compares_as_the_host_does(
    name: str, actual: Any, expected: Any, verdict: bool | str
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
