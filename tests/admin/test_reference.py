"""The admin calls for reference: the document, the profile, the last report, what is replayed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from contract.check import Level
from contract.result import Result, Status
from dify_wire.overlay import read_overlay
from dify_wire.profile import HOST_VERSIONS, overlay_paths
from dify_wire.spec import load
from dify_wire.text_file import SpecError, bundled
from fake_server import contract_report
from fake_server.app import FakeServer
from tests.admin.calling import admin, host, run
from tests.admin.reports import report_file
from tests.asgi import run_body
from tests.contract import samples
from tests.recorded import HOST
from tests.replay.folders import changed, folder


def found(app: FakeServer, path: str) -> Any:
    answer = admin(app, "GET", path)
    assert answer.status == 200, answer.body
    return answer.json()


def message(app: FakeServer, path: str, status: int) -> str:
    answer = admin(app, "GET", path)
    assert answer.status == status, answer.body
    return str(answer.json()["error"]["message"])


# The document


@pytest.mark.parametrize("version", ["0.6.4", "1.14.2"])
def test_the_document_is_that_of_the_version(version: str) -> None:
    merged = load(bundled("openapi.yaml"), overlay_paths(version))
    assert found(host(host_version=version), "/spec") == json.loads(json.dumps(merged))


def test_as_openapi_3_1_its_stream_is_a_schema_with_an_example() -> None:
    document = found(host(), "/spec?openapi=3.1")
    assert document["openapi"] == "3.1.1"
    responses = document["paths"]["/v1/workflows/run"]["post"]["responses"]
    stream = responses["200"]["content"]["text/event-stream"]
    assert "x-item-schema" in stream
    assert stream["examples"]["stream"]["value"].startswith('data: {"event": "workflow_started"')


def test_the_vendors_document_has_no_overlay() -> None:
    document = found(host(host_version="1.14.2"), "/spec?document=true")
    assert "x-host" not in document
    assert document == json.loads(json.dumps(load(bundled("openapi.yaml"), [])))


def test_overlays_of_the_user_are_in_it(tmp_path: Path) -> None:
    overlay = tmp_path / "ours.yaml"
    overlay.write_text(
        "overlay: 1.0.0\ninfo: {title: Ours, version: '1'}\nactions:\n"
        "  - {target: $.info, description: It is ours., update: {x-ours: true}}\n"
    )
    app = host(overlays=(overlay,))
    assert found(app, "/spec")["info"]["x-ours"] is True
    profile = found(app, "/profile")
    assert profile["overlays"] == ["dify-0.6.4", "ours"]
    assert profile["differences"] == [
        {"version": "1", "description": "It is ours.", "evidence": None}
    ]
    overlay.write_text("overlay: 2.0.0\n")
    assert str(overlay) in message(app, "/profile", 503)


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("openapi=3.0", "openapi"),
        ("document=yes", "document"),
        ("document=true&openapi=3.1", "openapi"),
        ("format=yaml", "format"),
    ],
)
def test_a_document_in_no_known_form_is_refused(query: str, place: str) -> None:
    answer = admin(host(), "GET", f"/spec?{query}")
    assert (answer.status, answer.json()["error"]["place"]) == (400, place)


# The profile


@pytest.mark.parametrize("version", HOST_VERSIONS)
def test_the_profile_says_what_every_overlay_after_the_reference_says(version: str) -> None:
    profile = found(host(host_version=version), "/profile")
    chain = overlay_paths(version)
    assert (profile["version"], profile["base"]) == (version, "0.6.4")
    assert profile["overlays"] == [path.stem for path in chain]
    after = [path for path in chain if path not in overlay_paths("0.6.4")]
    stated = {
        (path.stem.removeprefix("dify-"), action["description"])
        for path in after
        for action in read_overlay(path)["actions"]
        if "description" in action
    }
    shown = [(one["version"], one["description"]) for one in profile["differences"]]
    assert set(shown) == stated
    assert len(shown) == len(stated)
    assert all(one["evidence"] for one in profile["differences"])


def test_the_reference_differs_in_nothing_from_itself() -> None:
    assert found(host(), "/profile")["differences"] == []


# The report


def test_the_report_is_what_the_suite_wrote(tmp_path: Path) -> None:
    path = report_file(tmp_path / "report.json")
    report = found(host(contract_report=path), "/report")
    assert report["file"] == str(path)
    assert report["written_at"] == pytest.approx(path.stat().st_mtime, abs=1e-3)
    assert report["report"] == json.loads(path.read_text())
    assert [one["status"] for one in report["report"]["checks"]] == [
        "failed",
        "skipped",
        "passed",
        "passed",
    ]


def test_format_and_statuses_are_those_of_the_suite() -> None:
    from contract.report.files import FORMAT

    assert contract_report.FORMAT == FORMAT
    assert set(contract_report.STATUSES) == {status.value for status in Status}


def test_the_report_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = report_file(tmp_path / "report.json")
    app = host(contract_report=path)
    assert len(found(app, "/report")["report"]["checks"]) == 4
    report_file(path, Result(samples.check(samples.host_is_of_today, Level.VERSION), Status.PASSED))
    os.utime(path, (1, 1))
    again = found(app, "/report")
    assert len(again["report"]["checks"]) == 5
    assert again["written_at"] == 1
    path.write_text("{")
    assert "cannot be read as JSON" in message(app, "/report", 503)
    path.unlink()
    assert f"{path}: the file: it cannot be read (no such file" in message(app, "/report", 503)


def test_without_the_setting_there_is_none() -> None:
    assert "--contract-report" in message(host(), "/report", 404)
    assert admin(host(), "GET", "/report?a=1").status == 400


NO_REPORTS = {
    "not JSON": ("<html>", "the file: it cannot be read as JSON"),
    "no object": ("[]", "the top level: this is not a report of contract run; write it with"),
    "of a diff": ('{"format": 3, "a": "", "b": ""}', "this is not a report of contract run"),
    "another format": ('{"format": 4, "checks": []}', "format: it is of format 4, and only 3"),
    "no list": ('{"format": 3, "passed": true, "checks": {}}', "checks: expected a list"),
    "no verdict": ('{"format": 3, "checks": []}', "passed: this key is missing"),
    "a check of no name": ('{"format": 3, "passed": true, "checks": [{}]}', "checks[0].name: "),
    "a status of no kind": (
        '{"format": 3, "passed": true, "checks": [{"name": "a", "claim": "", "status": "pass"}]}',
        "checks[0].status: 'pass' is not a known status",
    ),
    "nested too deep": ("[" * 100_000, "it does not have the form of a report of contract run"),
    "not UTF-8": ("\udcff", "this is not UTF-8 text"),
}


@pytest.mark.parametrize(("text", "says"), NO_REPORTS.values(), ids=NO_REPORTS.keys())
def test_a_file_that_is_no_report_is_refused_at_the_start(
    tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SpecError, match=r"report\.json") as caught:
        host(contract_report=path)
    assert says in str(caught.value)


# The recordings


def replaying(path: Path, **settings: Any) -> FakeServer:
    recordings = changed("stream_ok", app="main"), changed("get_v1s", app=None)
    return host(replay=folder(path / "recordings", *recordings), **settings)


def used(app: FakeServer) -> dict[str, int]:
    return {one["path"]: one["used"] for one in found(app, "/recordings")["recordings"]}


def test_recordings_say_how_often_each_was_used(tmp_path: Path) -> None:
    app = replaying(tmp_path)
    assert used(app) == {"/v1/workflows/run": 0, "/v1/": 0}
    body = changed("stream_ok").request.body
    for _ in range(2):
        assert run(app, body).status == 200
    assert used(app) == {"/v1/workflows/run": 2, "/v1/": 0}
    listed = found(app, "/recordings")
    assert listed["folder"] == str(tmp_path / "recordings")
    assert (listed["misses"], listed["more"]) == ([], 0)


@pytest.mark.parametrize("on_miss", ["error", "fake"])
def test_misses_have_the_recordings_that_come_closest(tmp_path: Path, on_miss: str) -> None:
    app = replaying(tmp_path, on_miss=on_miss)
    run(app, run_body("<script>alert(1)</script>"))
    run(app, run_body("another"))
    newest, oldest = found(app, "/recordings")["misses"]
    assert (oldest["method"], oldest["path"]) == ("POST", "/v1/workflows/run")
    assert oldest["given"] == 0
    assert "<script>alert(1)</script>" in oldest["nearest"]
    assert "another" in newest["nearest"]
    assert used(app) == {"/v1/workflows/run": 0, "/v1/": 0}


def test_only_the_newest_misses_are_kept(tmp_path: Path) -> None:
    app = replaying(tmp_path, on_miss="fake")
    for number in range(203):
        run(app, run_body(f"prompt {number}"))
    misses = found(app, "/recordings")["misses"]
    assert len(misses) == 200
    assert "prompt 202" in misses[0]["nearest"]


def test_a_request_beyond_the_last_recording_is_a_miss(tmp_path: Path) -> None:
    app = replaying(tmp_path, after_last="miss")
    body = changed("stream_ok").request.body
    for _ in range(2):
        run(app, body)
    [miss] = found(app, "/recordings")["misses"]
    assert (miss["given"], miss["nearest"]) == (1, None)


def test_a_long_folder_is_listed_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fake_server.admin.reference.MOST_RECORDINGS", 10)
    listed = found(host(replay=HOST), "/recordings")
    assert len(listed["recordings"]) == 10
    assert listed["more"] > 0


def test_where_nothing_is_replayed_there_are_none() -> None:
    assert "--replay" in message(host(), "/recordings", 404)
