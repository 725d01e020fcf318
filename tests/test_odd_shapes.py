"""Files of others in every odd shape: each ends in one readable line with file, place and what to
do, soon.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.diff.drift import read_history
from dify_wire.error_text import ErrorText
from dify_wire.overlay import VISITS, OverlayError, apply_overlay, copied, select, size
from dify_wire.profile import overlay_paths
from dify_wire.spec import check, load
from dify_wire.text_file import RecordingError, SpecError, bundled, file_errors
from dify_wire.yaml_file import load_yaml
from fake_server.apps import load_apps
from fake_server.host_spec import HostErrors, PingRule
from fake_server.runs.engine import MOST_PINGS, with_pings
from fake_server.runs.events import Ping
from fake_server.scenarios.parameters import ScenarioError
from fake_server.scenarios.rules import RuleContext, load_rule_book
from fake_server.settings import SettingsError
from fake_server.spec import compile_host, load_host
from fake_server.workflow.loader import default_workflow_path, load_workflow
from fake_server.workflow.problems import WorkflowError

RUN = "/v1/workflows/run"
CONTEXT = RuleContext(("runWorkflow",), frozenset())


def readable(error: SpecError) -> str:
    text = str(error)
    assert "\n" not in text
    assert text.isprintable()
    assert len(text) < 700 + len(str(error.path))
    return text


def document() -> dict[str, Any]:
    made = copied(load(bundled("openapi.yaml"), overlay_paths("0.6.4")))
    assert isinstance(made, dict)
    return made


def put(value: Any, *keys: str | int) -> Callable[[dict[str, Any]], None]:
    """A change that puts ``value`` at the place that ``keys`` lead to."""

    def change(whole: Any) -> None:
        for key in keys[:-1]:
            whole = whole[key]
        whole[keys[-1]] = value

    return change


SCHEMAS = ("components", "schemas")
OPERATION = ("paths", RUN, "post")
MEDIA = (*OPERATION, "requestBody", "content", "application/json")
CHAIN = {f"C{n}": {"allOf": [{"$ref": f"#/components/schemas/C{n + 1}"}] * 2} for n in range(60)}

ODD_SPECS = {
    "bounds that are texts": (put({"minLength": "a", "maxLength": 3}, *SCHEMAS, "A"), "minLength"),
    "bounds of two kinds": (put({"minimum": 1, "maximum": [2]}, *SCHEMAS, "A"), "maximum"),
    "a type that is a mapping": (put({"type": {"a": 1}, "enum": ["x"]}, *SCHEMAS, "A"), "type"),
    "types that are mappings": (put({"type": [{}], "enum": ["x"]}, *SCHEMAS, "A"), "type"),
    "a mapping that is a list": (
        put({"discriminator": {"mapping": []}}, *SCHEMAS, "A"),
        "discriminator.mapping",
    ),
    "a discriminator that is a text": (
        put({"discriminator": "event"}, *SCHEMAS, "A"),
        "discriminator",
    ),
    "x-errors that are a number": (put(5, *OPERATION, "x-errors"), "x-errors"),
    "x-errors of mappings": (put([{}], *OPERATION, "x-errors"), "post"),
    "an x-refusal that is a list": (put(["a"], *OPERATION, "x-refusal"), "x-refusal"),
    "an operationId that is a list": (put(["a"], *OPERATION, "operationId"), "operationId"),
    "an enum that is a number": (put({"enum": 5}, *SCHEMAS, "A"), "enum"),
    "required that is a mapping": (put({"required": {}}, *SCHEMAS, "A"), "required"),
    "properties that are a list": (put({"properties": ["a"]}, *SCHEMAS, "A"), "properties"),
    "a property that is a text": (
        put({"properties": {"a": "text"}}, *SCHEMAS, "A"),
        "properties.a",
    ),
    "allOf that is a mapping": (put({"allOf": {}}, *SCHEMAS, "A"), "allOf"),
    "content that is a list": (put([], *OPERATION, "requestBody", "content"), "content"),
    "content without a mapping": (
        put({"application/json": "x"}, *OPERATION, "requestBody", "content"),
        "json",
    ),
    "a schema that is a text": (put("x", *MEDIA, "schema"), "schema"),
    "examples that are a text": (put("x", *MEDIA, "examples"), "examples"),
    "an example that is a text": (put({"a": "x"}, *MEDIA, "examples"), "examples.a"),
    "an example of nothing": (put({"a": {"$ref": "#/nowhere"}}, *MEDIA, "examples"), "examples.a"),
    "a requestBody that is a list": (put([1], *OPERATION, "requestBody"), "requestBody"),
    "parameters that are a mapping": (put({}, *OPERATION, "parameters"), "parameters"),
    "a parameter without a name": (
        put([{"in": "query"}], *OPERATION, "parameters"),
        "parameters[0]",
    ),
    "a parameter whose name is a list": (
        put([{"name": [], "in": "query"}], *OPERATION, "parameters"),
        "name",
    ),
    "a parameter that is a text": (put(["a"], *OPERATION, "parameters"), "parameters[0]"),
    "components that are a list": (put([], "components"), ""),
    "a reference to itself": (put({"$ref": "#/components/schemas/A"}, *SCHEMAS, "A"), "A"),
    "a reference to a text": (put({"$ref": "#/openapi"}, *SCHEMAS, "A"), "A"),
    "a reference that is a list": (put({"$ref": []}, *SCHEMAS, "A"), "A"),
    "a parameter twice in a path": (
        put({"get": {"operationId": "x"}}, "paths", "/{id}/{id}"),
        "/{id}/{id}",
    ),
    "a path with one brace": (put({"get": {"operationId": "x"}}, "paths", "/a{"), "/a{"),
    "a path without a slash": (put({"get": {"operationId": "x"}}, "paths", "a"), "paths.a"),
    "a header with a line end": (put([["X-A", "a\r\nb: c"]], "x-host", "headers"), "headers"),
    "a header beyond latin-1": (put([["X-A", "€"]], "x-host", "headers"), "headers"),
    "a header's name of two words": (put([["X A", "a"]], "x-host", "headers"), "headers"),
    "a method beyond ASCII": (put(["GÉT"], "x-host", "cors", "methods"), "cors.methods"),
    "a CORS header with a comma": (put(["a,b"], "x-host", "cors", "headers"), "cors.headers"),
    "a server with a line end": (put("nginx\n", "x-host", "proxy", "server"), "proxy.server"),
    "pings without a pause": (put(1e-300, "x-host", "ping", "every_s"), "ping.every_s"),
    "infinite pings": (put(float("inf"), "x-host", "ping", "first_s"), "ping.first_s"),
    "a limit that is no number": (put(float("nan"), "x-host", "limits", "run_s"), "limits.run_s"),
    "half a step": (put(1.5, "x-host", "limits", "run_steps"), "limits.run_steps"),
    "half a character": (put("\ud800", "x-host", "version"), "version"),
}


@pytest.mark.parametrize(("change", "place"), ODD_SPECS.values(), ids=ODD_SPECS.keys())
def test_odd_document_is_refused_with_its_place(change: Callable[[Any], None], place: str) -> None:
    """A keyword of a kind that it cannot have is named, and nothing stumbles over it first."""
    made = document()
    change(made)
    with pytest.raises(SpecError) as caught:
        check(Path("mine.yaml"), made)
    assert place in caught.value.place
    readable(caught.value)


def moved_run(path: str) -> Callable[[dict[str, Any]], None]:
    def change(whole: dict[str, Any]) -> None:
        whole["paths"][path] = whole["paths"].pop(RUN)

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (moved_run("/v1/{id}/run"), "the path of runWorkflow needs no parameter"),
        (moved_run("/v1/{1a}"), "the path of runWorkflow needs no parameter"),
        (put({"value": 5}, *MEDIA, "examples", "x"), None),
        (put({"x": {"value": 5}}, *MEDIA, "examples"), "an example of a request is needed"),
        (put(True, *MEDIA, "schema"), "a schema with properties is needed"),
        (put({"allOf": [{"$ref": "#/components/schemas/A"}]}, *SCHEMAS, "A"), None),
        (put({"$ref": "#/components/schemas/C0"}, *MEDIA, "schema"), "a schema with properties"),
    ],
)
def test_document_that_the_fake_cannot_be_made_of_is_refused(
    change: Callable[[dict[str, Any]], None], says: str | None
) -> None:
    """What the fake takes from a document is there and of its kind; None means that it can do
    without.
    """
    made = document()
    made["components"]["schemas"] |= {**CHAIN, "C60": {"type": "object"}}
    change(made)
    check(Path("mine.yaml"), made)
    if says is None:
        compile_host(Path("mine.yaml"), made)
        return
    with pytest.raises(SpecError, match=says) as caught:
        compile_host(Path("mine.yaml"), made)
    readable(caught.value)


def test_document_deeper_than_300_levels_is_refused() -> None:
    """Overlays can nest what each of them has; the bound holds for the sum."""
    whole: dict[str, Any] = {"openapi": "3.2.0", "paths": {}, "x-deep": {}}
    inner = whole["x-deep"]
    for _ in range(297):
        inner["a"] = inner = {}
    check(Path("mine.yaml"), whole)
    inner["a"] = [[]]
    with pytest.raises(SpecError, match="nested more than 300 levels"):
        check(Path("mine.yaml"), whole)


def overlay(*actions: dict[str, Any]) -> dict[str, Any]:
    return {"overlay": "1.0.0", "actions": list(actions)}


def test_growth_of_a_document_is_bounded() -> None:
    """An update at many places counts as often; 200,000 values are the most, the document's own
    among them.
    """
    update = {"x": [0] * 197}
    action = {"target": "$.a.*", "update": update}
    assert size(update) == 199

    def grown(besides: int) -> int:
        made = {"a": {f"k{n}": {} for n in range(990)}, "b": [0] * besides}
        apply_overlay(made, overlay(action))
        return size(made)

    most = 200_000 - 990 * 199 - 990 - 3
    assert grown(most) == 200_000 - 990  # of each update its own mapping is not added
    with pytest.raises(OverlayError, match="grows to more than 200000 values"):
        grown(most + 1)


@pytest.mark.slow
def test_targets_look_at_a_bounded_number_of_nodes() -> None:
    """Each .. after another counts every node as often as it has ancestors."""
    made: dict[str, Any] = {"a": {}}
    inner = made["a"]
    for _ in range(150):
        inner["a"] = inner = {}
    assert len(select(made, "$..*")) == 151
    with pytest.raises(ValueError, match=f"more than {VISITS} nodes"):
        select(made, "$" + "..*" * 12)


def test_length_of_a_path_is_bounded() -> None:
    """1,000 characters are enough for any place."""
    name = "a" * 998
    assert select({name: 1}, f"$.{name}")
    with pytest.raises(ValueError, match="at most 1000 characters"):
        select({name: 1}, f"$.{name}a")


def test_overlay_that_nests_too_deep_is_refused() -> None:
    """A document that a recursion cannot follow is refused in place of a crash."""
    deep: dict[str, Any] = {}
    inner = deep
    for _ in range(3_000):
        inner["a"] = inner = {}
    with pytest.raises(OverlayError, match="nested too deep"):
        apply_overlay({}, overlay({"target": "$", "update": deep}))


# App files
# ------------------------------------------------------------------------------------------------


def app_with(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    whole = load_yaml(default_workflow_path())
    assert isinstance(whole, dict)
    made: dict[str, Any] = copied(whole)
    change(made)
    return made


def node(kind: str, value: Any, *keys: str | int) -> Callable[[dict[str, Any]], None]:
    def change(whole: dict[str, Any]) -> None:
        found = next(
            one for one in whole["workflow"]["graph"]["nodes"] if one["data"]["type"] == kind
        )
        put(value, "data", *keys)(found)

    return change


ODD_APPS = {
    "nodes that are a mapping": put({}, "workflow", "graph", "nodes"),
    "an edge that is a text": put(["a"], "workflow", "graph", "edges"),
    "variables that are a text": node("start", "abc", "variables"),
    "a context's selector of lists": node(
        "llm", {"enabled": True, "variable_selector": [["a"], "b"]}, "context"
    ),
    "a context that is a text": node("llm", "x", "context"),
    "a selector that is a mapping": node(
        "end", [{"variable": "a", "value_selector": {}}], "outputs"
    ),
    "a parameter that is a number": node("tool", {"prompt": 5}, "tool_parameters"),
    "settings that are a list": node("tool", [1], "tool_configurations"),
    "a node that takes for ever": node("llm", {"seconds": 1e300}, "x-fake"),
    "an app that is a list": put([], "app"),
}


@pytest.mark.parametrize("change", ODD_APPS.values(), ids=ODD_APPS.keys())
def test_odd_app_file_is_refused_with_its_place(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    """One readable line, and never the last net: each of these has a place of its own."""
    path = tmp_path / "app.yml"
    path.write_text(_json(app_with(change)), "utf-8")
    with pytest.raises(WorkflowError) as caught:
        load_workflow(path)
    assert caught.value.place != "the file"
    readable(caught.value)


def test_many_variables_are_compared_in_linear_time(tmp_path: Path) -> None:
    """5,000 variables of an app are no work, and the one that is there twice is found."""
    variables = [{"variable": f"v{n}", "type": "paragraph"} for n in range(5_000)]
    path = tmp_path / "app.yml"
    path.write_text(
        _json(app_with(node("start", [*variables, variables[0]], "variables"))), "utf-8"
    )
    with pytest.raises(WorkflowError, match="'v0' is declared twice"):
        load_workflow(path)


def test_app_of_a_name_too_long_for_any_file_is_no_app() -> None:
    """The system refuses to look for it; the error says what could stand there."""
    with pytest.raises(SettingsError, match="neither a kind"):
        load_apps(["app-a"], [("app-b", "x" * 5_000)], None, load_host("0.6.4"))


def _json(value: Any) -> str:
    import json

    return json.dumps(value)


# Scenarios, recordings, words
# ----------------------------------------------------------------------------------------


_DIFFERENCE = '{"kind": "k", "place": "p", "a": "1", "b": "2", "forms": 1, "requests": %s}'
NIGHT = f'{{"format": 1, "differences": [{_DIFFERENCE}]}}'


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        NIGHT % "1e999",
        NIGHT % "[]",
        "[]",
        "5",
        '{"format": 1, "differences": 5}',
        "\x00",
        NIGHT % "\ud800",
    ],
)
def test_odd_result_of_a_night_is_refused(tmp_path: Path, text: str) -> None:
    """A night that is left out would make a difference look new."""
    path = tmp_path / "2024-04-24.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(SpecError) as caught:
        read_history(tmp_path)
    assert caught.value.path == path
    readable(caught.value)


def test_night_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    """Nobody waits for somebody to write into it."""
    os.mkfifo(tmp_path / "2024-04-24.json")
    with pytest.raises(SpecError, match="it is a pipe"):
        read_history(tmp_path)


@pytest.mark.slow
def test_pings_of_one_run_are_bounded() -> None:
    """However slow a run and however quick its pings."""
    timeline = with_pings(((0.0, Ping()), (1e9, Ping())), PingRule(b"", 1.0, 0.001))
    assert len(timeline) == MOST_PINGS + 2


def test_braces_that_are_no_placeholder_stay() -> None:
    """Words of an overlay are never taken for a program."""
    errors = HostErrors({"x": ErrorText(400, {"message": "{one.__class__} {0} {two} { {one}"})})
    assert errors("x", one=1).body == {"message": "{one.__class__} {0} {two} { 1"}


# The error itself
# ------------------------------------------------------------------------------------------------


def test_error_is_one_line_that_can_be_read() -> None:
    """Long values lose their middle, and what a terminal would act on is escaped."""
    error = SpecError(
        "f.yaml", "p" * 1_000, "begin " + "v" * 10_000 + "\n\x1b[31m\u202e end; correct it"
    )
    text = readable(error)
    assert len(text) <= len("f.yaml") + 160 + 400 + 4 + 30
    assert text.startswith("f.yaml: ppp")
    assert text.endswith("\\x1b[31m\\u202e end; correct it")
    assert str(SpecError("f.yaml", "p" * 160, "m" * 400)) == f"f.yaml: {'p' * 160}: {'m' * 400}"


@pytest.mark.parametrize(
    "unforeseen",
    [
        AttributeError("a"),
        TypeError("a"),
        KeyError("a"),
        IndexError("a"),
        ValueError("a"),
        RecursionError("a"),
    ],
)
def test_what_no_check_foresees_is_an_error_of_the_file(unforeseen: Exception) -> None:
    """The last net names the file and what it should have been, and keeps the cause."""
    with (
        pytest.raises(RecordingError, match="the form of a recording") as caught,
        file_errors(Path("f.yaml"), "a recording", RecordingError),
    ):
        raise unforeseen
    assert caught.value.__cause__ is unforeseen
    readable(caught.value)


def test_errors_with_a_place_pass_the_net() -> None:
    """Nothing that is said better is said again, and a programmer's mistake stays one."""
    for error in (SpecError("f", "here", "wrong"), AssertionError("ours"), ImportError("ours")):
        with pytest.raises(type(error)) as caught, file_errors(Path("g"), "anything"):
            raise error
        assert caught.value is error


def test_scenario_errors_are_not_swallowed(tmp_path: Path) -> None:
    """They are ``ValueError``s, and their place is the better one."""
    path = tmp_path / "s.yml"
    path.write_text("scenarios: [{name: no_such}]")
    with pytest.raises(SpecError, match=r"scenarios\[0\]\.name"):
        load_rule_book(path, CONTEXT, 1)
    assert issubclass(ScenarioError, ValueError)
