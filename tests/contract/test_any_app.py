"""Apps other than the document's: inputs from a file, or made for an export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contract.app_inputs import inputs_of_app
from contract.cli import exit_code
from dify_wire.text_file import SpecError
from tests.each import each
from tests.serving import ROOT, running_server

APPS = ROOT / "recordings/apps/dify-1.14.2"
KEY = "app-OfSomebody0123456789"
NO_IMAGE = "needs an app whose run makes an image"
NOT_THE_DOCUMENTS = "needs the app of the document (runs without --inputs and --app-file)"


def export(path: Path, *variables: dict[str, Any]) -> Path:
    start = {"id": "1", "data": {"type": "start", "variables": list(variables)}}
    path.write_text(json.dumps({"workflow": {"graph": {"nodes": [start]}}}), encoding="utf-8")
    return path


def variable(name: str, kind: str, required: bool = True, **more: Any) -> dict[str, Any]:
    return {"variable": name, "type": kind, "required": required, **more}


# The values


def test_what_is_required_gets_a_value_of_its_type(tmp_path: Path) -> None:
    app = export(
        tmp_path / "app.yml",
        variable("text", "text-input", max_length=4),
        variable("long", "paragraph"),
        variable("kind", "select", options=["a", "b"]),
        variable("count", "number"),
        variable("sure", "checkbox"),
        variable("more", "json_object"),
        variable("left_out", "paragraph", required=False),
        variable("picture", "file"),
    )
    picture = {"type": "image", "transfer_method": "remote_url", "url": "http://x.invalid/a.png"}
    values = inputs_of_app(app, {"picture": picture, "long": "given"})
    assert values == {
        "text": "一个胸有",
        "long": "given",
        "kind": "a",
        "count": 3,
        "sure": True,
        "more": {},
        "picture": picture,
    }


def test_downloaded_export_is_unwrapped(tmp_path: Path) -> None:
    text = export(tmp_path / "app.yml", variable("count", "number")).read_text()
    for content in ({"data": text}, {"data": json.loads(text)}):
        wrapped = tmp_path / "wrapped.json"
        wrapped.write_text(json.dumps(content), encoding="utf-8")
        assert inputs_of_app(wrapped, {}) == {"count": 3}


def test_all_problems_of_the_variables_are_named_at_once(tmp_path: Path) -> None:
    app = export(
        tmp_path / "app.yml",
        variable("picture", "file"),
        variable("kind", "select", options=[]),
        variable("mood", "colour"),
        variable("more", "json_object", json_schema={"required": ["x"]}),
    )
    with pytest.raises(SpecError) as raised:
        inputs_of_app(app, {"nobody": 1})
    for words in (
        "nobody is not a variable of this app; take it out of --inputs",
        "picture is a file, which has to be uploaded first",
        "kind is a list without options",
        "mood is of the unknown type 'colour'",
        "more is an object with a schema",
        "--inputs",
    ):
        assert words in str(raised.value)


@each(
    ("content", "words"),
    [
        ("{}", "this is not an exported workflow app"),
        ("workflow: {graph: {nodes: [{}]}}", "this is not an exported workflow app"),
        ("data: 5", "this is not an exported workflow app"),
        ("data: '{'", "data, "),
        ("[1]", "mapping"),
        ("workflow: {graph: {nodes: [{data: {type: start, variables: [{}]}}]}}", "`variable`"),
    ],
)
def test_file_that_cannot_be_used_ends_with_2_before_a_request(
    content: str, words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "app.yml"
    file.write_text(content, encoding="utf-8")
    run = ["run", "--base-url", "http://127.0.0.1:1", "--api-key", KEY]
    assert exit_code([*run, "--app-file", str(file)]) == 2
    error = capfd.readouterr().err
    assert words in error
    assert "app.yml" in error


def test_inputs_that_are_no_mapping_end_with_2(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "inputs.json"
    file.write_text("[1]", encoding="utf-8")
    run = ["run", "--base-url", "http://127.0.0.1:1", "--api-key", KEY]
    assert exit_code([*run, "--inputs", str(file)]) == 2
    assert "inputs.json" in capfd.readouterr().err


# A run


@pytest.mark.server
@pytest.mark.parametrize(("app", "has_images"), [("llmonly", False), ("parallel", True)])
def test_app_of_an_export_meets_no_false_alarm(app: str, has_images: bool, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    file = APPS / f"{app}.yml"
    served = f"{KEY}={file}+{APPS / f'{app}.fake.yml'}"
    with running_server("--app", served, "--host-version", "1.14.2", "--speed", "10") as server:
        run = ["run", "--base-url", server.url, "--api-key", KEY, "--app-file", str(file)]
        assert exit_code([*run, "--json", str(report)]) == 0
    checks = json.loads(report.read_text())["checks"]
    reasons = {one["name"]: one["reason"] for one in checks if one["status"] == "skipped"}
    assert (NO_IMAGE in reasons.values()) is not has_images
    assert reasons["form_has_the_documented_inputs"] == NOT_THE_DOCUMENTS
    passed = {one["name"] for one in checks if one["status"] == "passed"}
    assert {"missing_prompt_is_400", "steps_are_the_nodes_started"} <= passed
    assert ("url_serves_the_image_without_a_key" in passed) is has_images


@pytest.mark.server
def test_app_that_waits_or_has_two_ends_meets_no_false_alarm(tmp_path: Path) -> None:
    picture = {"type": "image", "transfer_method": "remote_url", "url": "http://a.test/b.png"}
    start = variable("picture", "file", label="P", allowed_file_types=["image"])
    two_ends = export(tmp_path / "ends.yml", start)
    graph = json.loads(two_ends.read_text())
    for name in ("a", "b"):
        output = {"variable": name, "value_selector": ["1", "picture"]}
        node = {"id": name, "data": {"type": "end", "title": name, "outputs": [output]}}
        graph["workflow"]["graph"]["nodes"].append(node)
    graph["workflow"]["graph"]["edges"] = [{"source": "1", "target": name} for name in "ab"]
    two_ends.write_text(json.dumps(graph), encoding="utf-8")
    inputs = tmp_path / "inputs.json"
    inputs.write_text(json.dumps({"picture": picture}), encoding="utf-8")
    waiting, report = APPS / "human.yml", tmp_path / "report.json"
    apps = ("--app", f"{KEY}={waiting}", "--app", f"{KEY}-2={two_ends}")
    with running_server(*apps, "--host-version", "1.14.2", "--speed", "10") as server:
        run = ["run", "--base-url", server.url, "--json", str(report), "--api-key"]
        assert exit_code([*run, KEY, "--app-file", str(waiting)]) == 0
        checks = json.loads(report.read_text())["checks"]
        reasons = {one["name"]: one["reason"] for one in checks if one["status"] == "skipped"}
        waits = "the run of this app waits for a human"
        assert reasons["stream_ends_with_one_workflow_finished"] == waits
        more = ("--app-file", str(two_ends), "--inputs", str(inputs))
        assert exit_code([*run, f"{KEY}-2", *more]) == 0
