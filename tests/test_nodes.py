"""What nodes get and give, by kind and by version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dify_wire.profile import HOST_VERSIONS
from fake_server.host_spec import HostSpec
from fake_server.runs.random_values import RandomValues
from fake_server.runs.values import FileRef, InputFile
from fake_server.spec import load_host
from fake_server.workflow.behaviour import FakeFile, FakeResponse, NodeBehaviour
from fake_server.workflow.expressions import TOO_LONG, RunSteps
from fake_server.workflow.model import Node, StartVariable
from fake_server.workflow.nodes import (
    NODE_KINDS,
    UNKNOWN_KIND,
    NodeCall,
    NodeOutcome,
    conditions_hold,
    with_used_outputs,
)
from tests.each import each

OLD, NEW = "0.6.4", "1.14.2"
IMAGE = InputFile("remote_url", "http://x/a.png", None, "a.png", ".png", "image/png", size=9)
POOL: dict[str, Any] = {
    "sys": {"files": [], "user_id": "u"},
    "env": {"KEY": "secret"},
    "start": {"prompt": "cat", "n": 5, "none": None, "list": ["a", "b"], "o": {"k": "v"}},
    "files": {"one": IMAGE, "all": [IMAGE]},
    "loop": {"acc": "x", "count": 1, "list": [1], "o": {}},
}


@cache
def spec(version: str) -> HostSpec:
    return load_host(version)


def run(
    kind: str,
    data: Mapping[str, Any],
    version: str = NEW,
    *,
    attempt: int = 0,
    inputs: Mapping[str, Any] | None = None,
    started: Sequence[StartVariable] = (),
    **behaviour: Any,
) -> NodeOutcome:
    node = Node("n", kind, "Title", data, NodeBehaviour(1.0, 0.0, **behaviour))
    return outcome(
        NodeCall(node, started, inputs or {}, POOL, RandomValues(1), 1.0, spec(version), attempt)
    )


def outcome(call: NodeCall) -> NodeOutcome:
    return NODE_KINDS.get(call.node.type, UNKNOWN_KIND).outcome(call)


# Any data
# --------------------------------------------------------------------------------------------------

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "{{#start.o#}}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)
_KEYS = [
    *("advanced_settings", "agent_parameters", "answer", "authorization", "body", "cases"),
    *("classes", "conditions", "context", "filter_by", "inputs", "items", "limit", "model"),
    *("order_by", "outputs", "parameters", "prompt_template", "query", "template"),
    *("tool_configurations", "tool_parameters", "url", "user_actions", "variable"),
    *("variable_selector", "variables"),
]


@each("version", HOST_VERSIONS)
@given(
    kind=st.sampled_from(sorted(NODE_KINDS)),
    data=st.dictionaries(st.sampled_from(_KEYS), _JSON, max_size=4),
)
def test_a_node_with_any_data_ends(version: str, kind: str, data: dict[str, Any]) -> None:
    """In success or with an error, never with an exception: its data is not all checked."""
    outcome = run(kind, data, version, inputs={"sys.files": []})
    assert outcome.error is None or isinstance(outcome.error, str)


# Shapes by version
# --------------------------------------------------------------------------------------------------

LLM = {
    "model": {"provider": "p", "name": "m", "mode": "chat"},
    "prompt_template": [{"role": "system", "text": "draw {{#start.prompt#}}"}],
}
PROMPTS = [{"role": "system", "text": "draw cat", "files": []}]
TOOL = {
    "provider_type": "builtin",
    "provider_id": "a/b/c",
    "tool_name": "stable_diffusion",
    "plugin_unique_identifier": "a/b:1@c",
    "tool_parameters": {"prompt": {"type": "mixed", "value": "{{#start.prompt#}}"}},
    "tool_configurations": {
        "model": {"type": "mixed", "value": "m"},
        "steps": {"type": "constant", "value": 10},
    },
}
CASES = {
    "cases": [
        {
            "case_id": "c1",
            "logical_operator": "and",
            "conditions": [
                {
                    "id": "x",
                    "varType": "string",
                    "comparison_operator": "is",
                    "value": "{{#start.prompt#}}",
                    "variable_selector": ["start", "prompt"],
                }
            ],
        },
        {"case_id": "c2", "logical_operator": "or", "conditions": []},
    ]
}


@each(
    ("version", "inputs", "process", "outputs"),
    [
        ("0.6.4", [], ["model_mode", "prompts"], ["text", "usage"]),
        (
            "0.15.3",
            [],
            ["model_mode", "prompts", "model_provider", "model_name"],
            ["text", "usage", "finish_reason"],
        ),
        (
            "1.4.3",
            [],
            ["model_mode", "prompts", "model_provider", "model_name"],
            ["text", "usage", "finish_reason", "files"],
        ),
        (
            "1.10.1",
            [],
            ["model_mode", "prompts", "usage", "finish_reason", "model_provider", "model_name"],
            ["text", "reasoning_content", "usage", "finish_reason"],
        ),
        (
            "1.14.2",
            ["model_provider", "model_name"],
            ["model_mode", "prompts", "usage", "finish_reason", "model_provider", "model_name"],
            ["text", "reasoning_content", "usage", "finish_reason"],
        ),
    ],
)
def test_a_model_gives_what_its_version_gives(
    version: str, inputs: list[str], process: list[str], outputs: list[str]
) -> None:
    """[C: stream_ok]"""
    outcome = run("llm", LLM, version)
    assert list(outcome.inputs or {}) == inputs
    assert list(outcome.process_data or {}) == process
    assert (outcome.process_data or {})["prompts"] == PROMPTS
    assert list(outcome.outputs or {}) == outputs
    assert (outcome.outputs or {})["text"] == "draw cat"


@each(
    ("version", "price", "timed", "shows_prompts"),
    [
        ("0.6.4", "0.0000000", False, True),
        ("1.4.3", "0E-7", False, True),
        ("1.10.1", "0E-7", True, False),
    ],
)
def test_what_a_model_used_and_how_it_fails(
    version: str, price: str, timed: bool, shows_prompts: bool
) -> None:
    """[C: stream_ok, fail_llm_mode_500_main_stream]"""
    usage = (run("llm", LLM, version).outputs or {})["usage"]
    assert usage["total_price"] == price
    assert ("time_to_first_token" in usage) is timed
    failed = run("llm", LLM, version, fault="model")
    assert failed.error == spec(version).nodes.faults["model"]
    assert bool(failed.process_data) is shows_prompts


@each(
    ("data", "text"),
    [
        (
            {"prompt_template": {"text": "complete {{#start.n#}}", "edition_type": "basic"}},
            "complete 5",
        ),
        (
            {
                "prompt_template": [
                    {
                        "role": "user",
                        "edition_type": "jinja2",
                        "text": "",
                        "jinja2_text": "{{ p }}!",
                    }
                ],
                "prompt_config": {
                    "jinja2_variables": [{"variable": "p", "value_selector": ["start", "prompt"]}]
                },
            },
            "cat!",
        ),
        (
            {"prompt_template": [{"role": "user", "text": "{{#start.none#}}{{#start.o#}}"}]},
            '{"k": "v"}',
        ),
        (
            {
                "context": {"enabled": True, "variable_selector": ["start", "list"]},
                "prompt_template": [{"role": "user", "text": "of {{#context#}}"}],
            },
            "of a\nb",
        ),
    ],
)
def test_prompts_of_every_form_are_filled_in(data: Mapping[str, Any], text: str) -> None:
    """A completion model's, Jinja2's, and values of every type."""
    outcome = run("llm", {**LLM, **data})
    assert outcome.error is None
    assert (outcome.process_data or {})["prompts"][0]["text"] == text


def test_a_model_with_a_schema_gives_what_fits_it() -> None:
    schema = {"properties": {"a": {"type": "string"}, "n": {"enum": [7]}}, "type": "object"}
    data = {**LLM, "structured_output_enabled": True, "structured_output": {"schema": schema}}
    outputs = run("llm", data).outputs or {}
    assert outputs["structured_output"] == {"a": "a", "n": 7}
    assert outputs["text"] == '{"a": "a", "n": 7}'


def test_a_prompt_with_a_reference_to_nothing_fails() -> None:
    data = {**LLM, "prompt_template": [{"role": "user", "text": "{{#start.absent#}}"}]}
    assert run("llm", data).error == "Variable #start.absent# not found"


@each(
    ("version", "inputs", "json", "info"),
    [
        (
            "0.6.4",
            {"prompt": "cat", "model": "m", "steps": 10},
            None,
            ["provider_type", "provider_id"],
        ),
        ("0.15.3", {"prompt": "cat"}, [], ["provider_type", "provider_id"]),
        (
            "1.4.3",
            {"prompt": "cat"},
            [],
            ["provider_type", "provider_id", "plugin_unique_identifier"],
        ),
        (
            "1.10.1",
            {"prompt": "cat"},
            [{"data": []}],
            ["provider_type", "provider_id", "plugin_unique_identifier"],
        ),
        (
            "1.14.2",
            {"prompt": "cat", "model": "m", "steps": "10"},
            [{"data": []}],
            ["provider_type", "provider_id", "plugin_unique_identifier"],
        ),
    ],
)
def test_a_tool_gives_what_its_version_gives(
    version: str, inputs: Mapping[str, Any], json: Any, info: list[str]
) -> None:
    """[C: stream_simple]"""
    outcome = run("tool", TOOL, version)
    outputs, metadata = outcome.outputs or {}, outcome.execution_metadata or {}
    assert list((outcome.inputs or {}).items()) == list(inputs.items())
    assert outputs.get("json") == json
    assert list(metadata["tool_info"]) == info
    assert ("agent_log" in metadata) is (version == "1.4.3")
    assert isinstance(outputs["files"][0], FileRef)


def test_what_a_tool_gives_comes_from_the_file() -> None:
    """[C: toolall_stream, tool_image_url_block]"""
    outcome = run(
        "tool",
        TOOL,
        text=("drawn: ", "done"),
        files=(FakeFile(url="http://x/i.png"), FakeFile()),
        json=({"seed": 42},),
        variables={"seed": 42},
    )
    outputs = outcome.outputs or {}
    assert (outputs["text"], outputs["json"], outputs["seed"]) == (
        "drawn: done",
        [{"seed": 42}],
        42,
    )
    assert [one.remote_url for one in outputs["files"]] == ["http://x/i.png", None]
    assert outcome.chunks == (("text", ("drawn: ", "done", "")), ("seed", ("",)))


@each(("version", "text"), [("0.6.4", "\n"), ("0.6.9", ""), ("0.15.3", ""), ("1.4.3", "\n")])
def test_a_tool_whose_image_server_fails_says_so_in_its_text(version: str, text: str) -> None:
    """[C: fail_sd_mode_500_textmodel_block]"""
    outputs = run("tool", TOOL, version, no_image=True).outputs or {}
    assert (outputs["text"], outputs["files"]) == (f"Failed to generate image{text}", [])


def test_a_tool_draws_where_the_graph_uses_its_files_and_else_gives_a_text() -> None:
    """By a selector or in a text; a tool for images draws anyway."""
    tool = {**TOOL, "tool_name": "search", "tool_parameters": {}}
    nodes = {
        name: Node(name, "tool", name, data, NodeBehaviour(1.0, 0.0))
        for name, data in {"a": tool, "b": tool, "c": tool}.items()
    }
    for one in (
        Node(
            "e", "end", "e", {"outputs": [{"value_selector": ["a", "files"]}]}, nodes["a"].behaviour
        ),
        Node("t", "answer", "t", {"answer": "{{#b.files#}} {{#c.text#}}"}, nodes["a"].behaviour),
    ):
        nodes[one.node_id] = one
    drawn = with_used_outputs(nodes)
    assert [bool(drawn[name].behaviour.files) for name in "abc"] == [True, True, False]
    outputs = run("tool", tool).outputs or {}
    assert outputs["files"] == []
    assert outputs["text"].startswith("search: {")


@each(
    ("version", "results", "chosen", "handle"),
    [
        ("0.6.4", [("is", False)], None, "false"),
        ("1.4.3", [True], "c1", "c1"),
        ("1.14.2", [True], "c1", "c1"),
    ],
)
def test_an_if_else_leaves_by_the_case_that_holds(
    version: str, results: list[Any], chosen: str | None, handle: str
) -> None:
    """0.6 has no cases, and compares with the text as it stands."""
    data = {"cases": CASES["cases"][:1]}
    outcome = run("if-else", data, version)
    shown = (outcome.process_data or {})["condition_results"]
    if version == OLD:
        assert [(one["comparison_operator"], one["result"]) for one in shown] == results
    else:
        assert shown[0]["results"] == results
        assert list(shown[0]["group"]) == ["case_id", "logical_operator", "conditions"]
    assert (outcome.outputs or {}).get("selected_case_id") == chosen
    assert outcome.handle == handle


@each(("version", "chosen"), [("0.15.3", None), ("1.4.3", None), ("1.10.1", "false")])
def test_an_if_else_without_a_case_that_holds(version: str, chosen: str | None) -> None:
    """[C: http10_stream]"""
    condition = {
        "comparison_operator": "is",
        "value": "dog",
        "variable_selector": ["start", "prompt"],
    }
    outcome = run("if-else", {"cases": [{"case_id": "c", "conditions": [condition]}]}, version)
    assert (outcome.outputs or {}) == {"result": False, "selected_case_id": chosen}
    assert outcome.handle == "false"


def condition(operator: str, value: Any, *selector: str) -> dict[str, Any]:
    return {"comparison_operator": operator, "value": value, "variable_selector": list(selector)}


@each(
    ("conditions", "operator", "holds"),
    [
        ([condition("contains", "b", "start", "list")], "and", True),
        ([condition("in", ["cat"], "start", "prompt")], "and", True),
        ([condition("is", "v", "start", "o", "k")], "and", True),
        ([condition("is", "a.png", "files", "one", "name")], "and", True),
        ([condition(">", "4", "start", "n"), condition("<", "1", "start", "n")], "and", False),
        ([condition(">", "4", "start", "n"), condition("<", "1", "start", "n")], "or", True),
        ([condition("exists", "", "files", "one")], "and", True),
        ([condition("empty", "", "start", "none")], "and", True),
    ],
)
def test_conditions_look_into_objects_and_files(
    conditions: list[Any], operator: str, holds: bool
) -> None:
    assert conditions_hold(conditions, operator, POOL, spec(NEW)) is holds


def test_conditions_on_the_attributes_of_files() -> None:
    sub = {
        "logical_operator": "and",
        "conditions": [
            {"key": "extension", "comparison_operator": "is", "value": ".png"},
            {"key": "size", "comparison_operator": "<", "value": "10"},
        ],
    }
    on_files = {**condition("contains", "", "files", "all"), "sub_variable_condition": sub}
    assert conditions_hold([on_files], "and", POOL, spec(NEW))


# Other kinds
# --------------------------------------------------------------------------------------------------


@each(
    ("version", "response", "error", "status"),
    [
        (NEW, FakeResponse(404, body="gone"), None, 404),
        ("1.10.1", FakeResponse(500), "Reached maximum retries (0) for URL http://h/p?q=cat", None),
        (NEW, FakeResponse(500), "Reached maximum retries for URL http://h/p?q=cat", None),
        (OLD, FakeResponse(500), None, 500),
        (
            NEW,
            FakeResponse(headers={"content-type": "image/png", "content-length": "12000288"}),
            "File size is too large, max size is 10.00 MB, but current size is 11.44 MB.",
            None,
        ),
        (
            NEW,
            FakeResponse(body="x" * 1_100_000),
            "Text size is too large, max size is 1.00 MB, but current size is 1.05 MB.",
            None,
        ),
    ],
)
def test_an_http_request_gets_the_response_of_the_file(
    version: str, response: FakeResponse, error: str | None, status: int | None
) -> None:
    """[C: http404_stream, http500_stream, httphuge_block]"""
    data = {"method": "get", "url": "http://h/p?q={{#start.prompt#}}"}
    outcome = run("http-request", data, version, response=response)
    assert outcome.error == error
    assert (outcome.outputs or {}).get("status_code") == status
    assert outcome.process_data == {"request": "GET /p?q=cat HTTP/1.1\r\nHost: h\r\n\r\n"}
    assert outcome.error_type == ("HttpRequestNodeError" if error else "")


def test_an_image_as_a_response_is_a_file() -> None:
    """[C: httpbig_stream]"""
    response = FakeResponse(headers={"content-type": "image/png"})
    outputs = run("http-request", {"url": "http://h"}, response=response).outputs or {}
    assert outputs["body"] == ""
    assert [one.mime_type for one in outputs["files"]] == ["image/png"]


@each(
    ("data", "request_text"),
    [
        (
            {
                "method": "post",
                "headers": "X-A: {{#env.KEY#}}\nX-B",
                "params": "p: {{#start.prompt#}}",
                "body": {
                    "type": "json",
                    "data": [{"type": "text", "value": '{"a": {{#start.n#}}}'}],
                },
            },
            (
                "POST /?p=cat HTTP/1.1\r\nHost: h\r\nX-A: secret\r\nX-B: \r\n"
                'Content-Type: application/json\r\nContent-Length: 8\r\n\r\n{"a": 5}'
            ),
        ),
        (
            {
                "authorization": {"type": "api-key", "config": {"type": "bearer", "api_key": "k1"}},
                "body": {
                    "type": "x-www-form-urlencoded",
                    "data": [{"key": "a", "type": "text", "value": "b c"}],
                },
            },
            (
                "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: *********\r\n"
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 5\r\n\r\na=b+c"
            ),
        ),
    ],
)
def test_the_text_of_a_request_has_no_secret(data: Mapping[str, Any], request_text: str) -> None:
    outcome = run("http-request", {"url": "http://h", **data})
    assert outcome.process_data == {"request": request_text}


@each(
    ("url", "error"),
    [("", "url is required"), ("ftp://h", "url should start with http:// or https://")],
)
def test_a_url_that_is_none_fails(url: str, error: str) -> None:
    assert run("http-request", {"url": url}).error == error


def test_tries_that_fail_are_those_that_the_file_counts() -> None:
    """[C: http_retry_ok_stream]"""
    data = {"url": "http://h"}
    errors = [
        run("http-request", data, attempt=attempt, error="no", fails=2).error
        for attempt in range(4)
    ]
    assert errors == ["no", "no", None, None]


@each(
    ("declared", "value"),
    [
        ({"type": "string"}, "out"),
        ({"type": "number"}, 1),
        ({"type": "boolean"}, True),
        ({"type": "array[string]"}, ["out"]),
        ({"type": "array[object]"}, [{}]),
        ({"type": "object", "children": {"k": {"type": "number"}}}, {"k": 1}),
    ],
)
def test_code_gives_a_placeholder_of_the_declared_type(declared: Any, value: Any) -> None:
    """It is never run."""
    data = {
        "code": "raise SystemExit",
        "outputs": {"out": declared},
        "variables": [{"variable": "p", "value_selector": ["start", "prompt"]}],
    }
    outcome = run("code", data)
    assert (outcome.inputs, outcome.outputs) == ({"p": "cat"}, {"out": value})
    assert run("code", data, outputs={"out": "mine {{#start.prompt#}}"}).outputs == {
        "out": "mine cat"
    }


@each(("branch", "handle"), [(None, "1"), ("2", "2"), ("Other", "2"), ("absent", "1")])
def test_a_classifier_leaves_by_a_class(branch: str | None, handle: str) -> None:
    """The first one, or the one that the file names by id or name."""
    classes = [{"id": "1", "name": "Drawing"}, {"id": "2", "name": "Other"}]
    outcome = run("question-classifier", {"classes": classes, **LLM}, branch=branch)
    assert outcome.handle == handle
    assert (outcome.outputs or {})["class_id"] == handle


def test_an_extractor_gives_its_declared_parameters() -> None:
    parameters = [
        {"name": "n", "type": "number"},
        {"name": "c", "type": "select", "options": ["x"]},
    ]
    outputs = run("parameter-extractor", {**LLM, "parameters": parameters}).outputs or {}
    assert {name: outputs[name] for name in ("__is_success", "n", "c")} == {
        "__is_success": 1,
        "n": 1,
        "c": "x",
    }


def test_an_agent_gives_its_text_in_pieces_and_its_log() -> None:
    """[C: agent_block]"""
    logs = [{"id": "l", "label": "ROUND 1", "metadata": {"total_tokens": 12}}]
    outcome = run("agent", {}, text=("The cat ", "is red."), logs=tuple(logs))
    outputs = outcome.outputs or {}
    assert (outputs["text"], outcome.total_tokens) == ("The cat is red.", 12)
    assert [one.get("label") for one in outputs["json"]] == ["ROUND 1", None]
    assert list(outputs["json"][0])[-1] == "node_id"
    assert outcome.chunks == (("text", ("The cat ", "is red.", "")),)
    assert len(outcome.logs) == 1
    assert (run("agent", {}, "1.4.3").outputs or {})["json"] == [{}]


@each(
    ("data", "outputs"),
    [
        ({"variables": [["absent", "x"], ["start", "prompt"]]}, {"output": "cat"}),
        ({"variables": [["absent", "x"]]}, {}),
        (
            {
                "advanced_settings": {
                    "group_enabled": True,
                    "groups": [{"group_name": "g", "variables": [["start", "n"]]}],
                }
            },
            {"g": {"output": 5}},
        ),
    ],
)
def test_an_aggregator_takes_the_first_that_there_is(
    data: Mapping[str, Any], outputs: Mapping[str, Any]
) -> None:
    assert run("variable-aggregator", data).outputs == outputs


def assigned(
    operation: str, value: Any, name: str = "acc", kind: str = "constant"
) -> dict[str, Any]:
    return {
        "variable_selector": ["loop", name],
        "input_type": kind,
        "operation": operation,
        "value": value,
    }


@each(
    ("item", "value"),
    [
        (assigned("over-write", ["start", "prompt"], kind="variable"), "cat"),
        (assigned("set", "y"), "y"),
        (assigned("set", '{"a": 1}', "o"), {"a": 1}),
        (assigned("clear", None), ""),
        (assigned("append", 2, "list"), [1, 2]),
        (assigned("extend", [2, 3], "list"), [1, 2, 3]),
        (assigned("+=", 2, "count"), 3),
        (assigned("/=", 2, "count"), 0.5),
        (assigned("over-write", ["start", "none"], kind="variable"), "x"),
    ],
)
def test_an_assigner_sets_the_variables_of_a_loop(item: dict[str, Any], value: Any) -> None:
    outcome = run("assigner", {"items": [item]})
    assert outcome.error is None
    assert outcome.writes == ((tuple(item["variable_selector"]), value),)


def test_an_assigner_reads_what_its_items_before_wrote() -> None:
    """As in all versions of its node: langgenius/dify, variable_assigner/v2/node.py."""
    copy = assigned("over-write", ["loop", "count"], kind="variable")
    outcome = run("assigner", {"items": [assigned("+=", 2, "count"), copy]})
    assert dict(outcome.writes) == {("loop", "count"): 3, ("loop", "acc"): 3}


def test_a_number_that_no_host_could_write_out_is_an_error() -> None:
    squared = assigned("*=", ["loop", "count"], "count", "variable")
    items = [assigned("+=", 9, "count"), *[squared] * 40]
    assert "the fake makes" in (run("assigner", {"items": items}).error or "")


@each(
    "item",
    [
        assigned("*=", "xyz", "count"),
        assigned("+=", True, "count"),
        assigned("append", "y"),
        assigned("remove-last", None),
        assigned("extend", "yz", "list"),
        assigned("+=", 1),
        assigned("/=", 0, "count"),
        assigned("set", "{", "o"),
        assigned("jump", 1),
        assigned("set", ["absent", "x"], kind="variable"),
        assigned("set", 1, "absent"),
    ],
)
def test_an_assigner_that_cannot_fails(item: dict[str, Any]) -> None:
    assert run("assigner", {"items": [item]}).error


@each(
    ("data", "result"),
    [
        ({"limit": {"enabled": True, "size": 1}}, ["a"]),
        ({"order_by": {"enabled": True, "value": "desc"}}, ["b", "a"]),
        ({"extract_by": {"enabled": True, "serial": "2"}}, ["b"]),
        (
            {
                "filter_by": {
                    "enabled": True,
                    "conditions": [{"comparison_operator": "is not", "value": "a"}],
                }
            },
            ["b"],
        ),
    ],
)
def test_a_list_operator_works(data: Mapping[str, Any], result: list[str]) -> None:
    outputs = run("list-operator", {"variable": ["start", "list"], **data}).outputs
    assert outputs == {"result": result, "first_record": result[0], "last_record": result[-1]}


def test_a_document_extractor_gives_a_text_for_each_file() -> None:
    for selector, texts in (("one", "text of a.png"), ("all", ["text of a.png"])):
        outputs = run("document-extractor", {"variable_selector": ["files", selector]}).outputs
        assert outputs == {"text": texts}


def test_a_template_takes_values_and_reports_what_it_cannot_do() -> None:
    """[C: answertext_stream]"""
    data = {"variables": [{"variable": "p", "value_selector": ["start", "prompt"]}]}
    assert run("template-transform", {**data, "template": "hello {{ p }}"}).outputs == {
        "output": "hello cat"
    }
    failed = run("template-transform", {**data, "template": "{{ p.x.y }}"})
    assert failed.error == "'str object' has no attribute 'x'"
    long = run("template-transform", {"template": "{{ 'x' * 90000 }}"}, OLD)
    assert long.error == "Output length exceeds 80000 characters"


def test_a_human_input_asks_with_its_form_filled_in() -> None:
    """[C: human_stream]"""
    data = {
        "form_content": "check {{#start.prompt#}} {{#$output.note#}}",
        "inputs": [
            {
                "output_variable_name": "note",
                "type": "paragraph",
                "default": {"type": "variable", "selector": ["start", "prompt"], "value": ""},
            }
        ],
        "user_actions": [{"id": "ok", "title": "OK", "button_style": "primary"}],
        "delivery_methods": [{"type": "webapp", "enabled": True}],
        "timeout": 1,
        "timeout_unit": "hour",
    }
    form = run("human-input", data).form or {}
    assert form["form_content"] == "check cat {{#$output.note#}}"
    assert form["resolved_default_values"] == {"note": "cat"}
    assert list(form["inputs"][0]) == ["output_variable_name", "type", "default"]
    assert (form["display_in_ui"], form["expires_s"]) == (True, 3600.0)


@each(
    ("version", "keys"),
    [
        ("0.6.4", ["sys.files"]),
        ("0.6.9", ["sys.files", "sys.user_id"]),
        (
            "1.4.3",
            ["sys.files", "sys.user_id", "sys.app_id", "sys.workflow_id", "sys.workflow_run_id"],
        ),
        ("1.14.2", []),
    ],
)
def test_a_start_node_shows_the_values_of_sys_of_its_version(version: str, keys: list[str]) -> None:
    """[C: stream_ok]"""
    known = ("files", "user_id", "app_id", "workflow_id", "workflow_run_id", "timestamp")
    inputs = {"prompt": "cat", **{f"sys.{key}": key for key in known}}
    assert list(run("start", {}, version, inputs=inputs).inputs or {}) == ["prompt", *keys]


def test_an_object_that_breaks_its_schema_fails_the_start() -> None:
    """[C: types_j_02]"""
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    variable = StartVariable("j", "json_object", False, None, None, None, {}, json_schema=schema)
    outcome = run("start", {}, inputs={"j": {"x": "y"}}, started=[variable])
    assert outcome.error == (
        "JSON object for 'j' does not match schema: 'y' is not of type 'integer'"
    )


@pytest.mark.parametrize("kind", sorted(set(NODE_KINDS) - {"iteration", "loop"}))
def test_outputs_of_the_file_win_over_those_of_every_kind(kind: str) -> None:
    """By their names, their texts filled in; a form has none."""
    data = {**LLM, **TOOL, "url": "http://h", "variable": ["start", "list"]}
    data |= {"variable_selector": ["files", "one"], "items": []}
    outcome = run(kind, data, outputs={"extra": "of {{#start.prompt#}}"})
    assert outcome.error is None
    assert (outcome.outputs or {})["extra"] == "of cat"


def test_every_error_of_a_scenario_has_its_text_in_every_version() -> None:
    """``fault`` names an entry of the host's own errors."""
    names = {kind.fault for kind in NODE_KINDS.values()} | {"model_dropped", "model_down"}
    for version in HOST_VERSIONS:
        assert names <= set(spec(version).nodes.faults)
    assert "fault" in NodeBehaviour._fields


def test_a_text_that_grows_at_each_node_ends_with_an_error() -> None:
    """One that doubles has passed any memory after thirty nodes."""
    pool = {**POOL, "start": {"prompt": "x" * 1_000_000}}
    steps = RunSteps()
    data = {"prompt_template": [{"role": "user", "text": "{{#start.prompt#}}" * 20}]}
    node = Node("n", "llm", "Title", {**LLM, **data}, NodeBehaviour(1.0, 0.0))
    long = NodeCall(node, (), {}, pool, RandomValues(1), 1.0, spec(NEW), 0, steps)
    assert outcome(long).error == TOO_LONG
    node = Node("n", "llm", "Title", LLM, NodeBehaviour(1.0, 0.0))
    call = NodeCall(node, (), {}, pool, RandomValues(1), 1.0, spec(NEW), 0, steps)
    errors = [outcome(call).error for _ in range(120)]
    assert (errors[0], errors[-1]) == (None, TOO_LONG)


def test_many_outputs_of_a_long_text_are_an_error() -> None:
    pool = {**POOL, "start": {"prompt": "x" * 1_000_000}}
    outputs = [{"variable": str(n), "value_selector": ["start", "prompt"]} for n in range(100)]
    node = Node("n", "end", "Title", {"outputs": outputs}, NodeBehaviour(1.0, 0.0))
    call = NodeCall(node, (), {}, pool, RandomValues(1), 1.0, spec(NEW))
    assert outcome(call).error == TOO_LONG
