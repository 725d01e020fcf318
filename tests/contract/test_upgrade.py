"""``contract upgrade``: what it finds between two versions, how it weighs it, what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from contract.cli import exit_code
from contract.report.upgrade import upgrade_html, upgrade_json, upgrade_markdown
from contract.upgrade import changes
from contract.upgrade.app import AppParts, read_app
from contract.upgrade.changes import Change, Severity, Upgrade, upgrade, versions_with_recordings
from contract.upgrade.evidence import actions_between
from contract.upgrade.pairs import differences, outcome
from dify_wire.exchange import Chunk, Recording, Request
from dify_wire.profile import HOST_VERSIONS
from dify_wire.recording.folder import read_folder
from dify_wire.text_file import SpecError
from tests.each import each
from tests.serving import ROOT

APPS = ROOT / "recordings" / "apps"


@pytest.fixture(autouse=True)
def _recordings_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "read_folder", read_once)


read_once = cache(read_folder)


@cache
def compared(a: str, b: str) -> Upgrade:
    return upgrade(a, b)


def found(a: str, b: str, severity: Severity, title: str) -> Change:
    """The heaviest change of that weight with the words ``title``; fails where there is none."""
    changes = compared(a, b).of(severity)
    for change in changes:
        if title in f"{change.title}: {change.before} -> {change.after}":
            return change
    raise AssertionError(f"{title!r} is not among {[one.title for one in changes]}")


BREAKS, CHANGES, ADDS, WRITES = Severity


@each(
    "a, b, severity, title",
    [
        ("0.6.4", "0.6.9", ADDS, "workflow_started.data.inputs: - -> gains sys.user_id"),
        (
            "0.6.9",
            "0.15.3",
            BREAKS,
            "fields of body.data.outputs.files[]: loses __variant -> gains",
        ),
        ("0.6.9", "0.15.3", CHANGES, "403 forbidden: The app's API service has been disabled."),
        ("0.6.9", "0.15.3", CHANGES, "header set-cookie: remember_token"),
        ("0.15.3", "1.4.3", BREAKS, "fields of workflow_started.data: loses sequence_number -> -"),
        ("0.15.3", "1.4.3", ADDS, "new: /v1/site: - -> GET: 200"),
        ("1.4.3", "1.10.1", BREAKS, "gone: /v1/: GET: 200 -> -"),
        ("1.4.3", "1.10.1", BREAKS, "event parallel_branch_started"),
        ("1.4.3", "1.10.1", ADDS, 'header www-authenticate: - -> Bearer realm="api"'),
        ("1.4.3", "1.10.1", ADDS, "event text_chunk"),
        ("1.4.3", "1.10.1", CHANGES, "every event.data.index: counts up -> 1"),
        ("1.4.3", "1.10.1", WRITES, "JSON of body: a space after comma and colon -> no spaces"),
        ("1.10.1", "1.13.3", BREAKS, "-> 200, a stream with nothing but pings for 301 s"),
        ("1.10.1", "1.13.3", BREAKS, "a stream with an error frame, not closed"),
        ("1.10.1", "1.13.3", CHANGES, "closed at once -> stays open for 1 s"),
        ("1.10.1", "1.13.3", CHANGES, "ping (stream): - -> event: ping"),
        ("1.13.3", "1.14.2", BREAKS, "400 invalid_param: Invalid upload file"),
        (
            "1.13.3",
            "1.14.2",
            BREAKS,
            "fields of body.data.outputs.files[]: loses tenant_id -> gains reference",
        ),
        ("0.6.4", "1.14.2", BREAKS, "fields of workflow_finished.data: loses sequence_number"),
        ("1.14.2", "0.6.4", ADDS, "header set-cookie: - -> remember_token"),
    ],
)
def test_what_is_known_to_differ_is_found(a: str, b: str, severity: Severity, title: str) -> None:
    change = found(a, b, severity, title)
    assert change.requests
    assert change.sides.request.startswith(("GET", "POST", "PUT", "DELETE", "FOO", "PATCH"))


def test_changes_are_listed_worst_first() -> None:
    changes = compared("0.6.4", "1.14.2").changes
    weights = [(one.severity, -len(one.requests)) for one in changes]
    assert weights == sorted(weights)


def test_what_an_app_or_a_stand_in_decides_is_no_change() -> None:
    """Names, titles, sizes, ids, counts and times of the recordings differ everywhere."""
    for a, b in (
        ("0.6.4", "1.14.2"),
        ("0.15.3", "1.4.3"),
        ("1.4.3", "1.10.1"),
        ("1.13.3", "1.14.2"),
    ):
        ends = ("title", "filename", "size", "description", "_at", "latency", "total_tokens")
        noise = [
            one.title
            for one in compared(a, b).changes
            if one.kind == "value" and one.place.endswith(ends)
        ]
        assert noise == []
        assert not any(one.kind == "timing" for one in compared(a, b).changes)
        assert not any("x-version" in one.title for one in compared(a, b).changes)


def test_a_change_names_the_overlay_that_states_it() -> None:
    change = found("1.4.3", "1.10.1", ADDS, "header www-authenticate")
    actions = [evidence.action for evidence in change.evidence]
    assert any(one.version == "1.10.1" and "http" in one.target for one in actions)
    assert all(one.exchanges for one in change.evidence)
    assert {one.version for one in actions_between("0.15.3", "1.10.1")} == {"1.4.3", "1.10.1"}
    assert actions_between("1.10.1", "1.10.1") == ()
    assert actions_between("1.10.1", "0.15.3") == actions_between("0.15.3", "1.10.1")


@each(
    "a, b, severity, title, targets",
    [
        ("1.4.3", "1.10.1", BREAKS, "400 bad_request", {"$['x-host'].http"}),
        ("1.4.3", "1.10.1", CHANGES, "header allow", {"$['x-host'].http"}),
        ("1.4.3", "1.10.1", BREAKS, "gone: /v1/", {"$.paths"}),
        (
            "1.4.3",
            "1.10.1",
            CHANGES,
            "400 no_file_uploaded",
            {"$['x-host'].errors.upload_without_file"},
        ),
        (
            "1.10.1",
            "1.13.3",
            ADDS,
            "fields of workflow_started.data",
            {"$.components.schemas.WorkflowStartedData"},
        ),
        ("1.10.1", "1.13.3", ADDS, "header access-control-expose-headers", {"$['x-host'].cors"}),
        ("1.13.3", "1.14.2", CHANGES, "fields of node_finished (start).data.inputs", set()),
    ],
)
def test_only_what_concerns_a_change_states_it(
    a: str, b: str, severity: Severity, title: str, targets: set[str]
) -> None:
    """The schema of the object, the error, the path, the fact: none rather than a wrong one."""
    evidence = found(a, b, severity, title).evidence
    assert {one.action.target for one in evidence} == targets


# One request, two responses
# ------------------------------------------------------------------------------------------


def recording(status: int, body: bytes, content_type: str, ended: str = "complete") -> Recording:
    request = Request("POST", "/v1/workflows/run", body=b"{}")
    headers = (("Content-Type", content_type), ("X-Version", "1"))
    return Recording(
        request=request,
        status=status,
        headers=headers,
        chunks=(Chunk(0.1, body),),
        ended=ended,
        seconds=15.0,
        name="one",
        host="http://host",
    )


STREAM, JSON, HTML = "text/event-stream; charset=utf-8", "application/json", "text/html"
FINISHED = b'data: {"event": "workflow_finished", "data": {"status": "failed"}}\n\n'
RUN = b'{"task_id": "a", "workflow_run_id": "b", "data": {"status": "succeeded"}}'


@each(
    "status, body, kind, ended, words",
    [
        (200, RUN, JSON, "complete", "200, run succeeded"),
        (200, FINISHED, STREAM, "complete", "200, run failed"),
        (200, FINISHED, STREAM, "client_left", "200, run failed, not closed"),
        (200, b"event: ping\n\n", STREAM, "complete", "nothing but pings for 15 s"),
        (200, b'data: {"event": "error"}\n\n', STREAM, "cut", "an error frame, broken off"),
        (200, b'data: {"event": "node_started"}\n\n', STREAM, "complete", "up to node_started"),
        (400, b'{"code": "bad", "message": "no\\nmore"}', JSON, "complete", "400 bad: no"),
        (400, b'{"errors": {}}', JSON, "complete", "400 without a code"),
        (404, b"<p>", HTML, "complete", "404, a page"),
        (200, b'{"id": null, "n": 0}', JSON, "complete", "200, without a value"),
        (200, b"", JSON, "cut", "200, broken off"),
    ],
)
def test_outcome_is_what_a_client_distinguishes(
    status: int, body: bytes, kind: str, ended: str, words: str
) -> None:
    assert words in outcome(recording(status, body, kind, ended))


def test_nothing_is_compared_beneath_another_outcome() -> None:
    good, bad = recording(200, RUN, JSON), recording(400, b'{"code": "x"}', JSON)
    (only,) = differences(good, bad, "POST /here")
    assert (only.kind, only.place, only.b) == ("status", "POST /here", "400 x")
    assert list(differences(good, good, "POST /here")) == []


def test_a_header_is_compared_and_the_version_is_not() -> None:
    one = recording(200, RUN, JSON)
    other = replace(one, headers=(*one.headers[:1], ("X-Version", "2"), ("Vary", "Cookie")))
    (only,) = differences(one, other, "POST /here")
    assert (only.kind, only.place) == ("header", "vary")


# An app
# ------------------------------------------------------------------------------------------


def test_an_app_is_not_concerned_by_nodes_that_it_does_not_have() -> None:
    app = read_app(APPS / "main.yml")
    assert app.nodes >= {"start", "llm", "if-else", "tool", "end"}
    of_app, of_all = upgrade("1.4.3", "1.14.2", app), compared("1.4.3", "1.14.2")
    assert len(of_app.changes) + len(of_app.left_out) == len(of_all.changes)
    titles = [one.title for one in of_app.changes]
    assert not [one for one in titles if "iteration" in one or "loop" in one or "(http" in one]
    assert [one for one in titles if "(llm)" in one]
    assert any("loop_" in one.title for one in of_app.left_out)


@each(
    "nodes, variables, place, recorded, concerned",
    [
        ("llm", "", "node_finished (llm).data", [], True),
        ("end", "", "node_finished (llm).data", [], False),
        ("end", "", "iteration_started.data", [], False),
        ("iteration", "", "iteration_started.data", [], True),
        ("end", "", "body.data", ["number"], False),
        ("end", "number", "body.data", ["number"], True),
        ("end", "", "body.data", ["number", ""], True),
    ],
)
def test_a_change_concerns_an_app_with_the_same_parts(
    nodes: str, variables: str, place: str, recorded: list[str], concerned: bool
) -> None:
    app = AppParts("mine", frozenset([nodes]), frozenset(variables.split()))
    others = [AppParts("theirs", frozenset(["start"]), frozenset(one.split())) for one in recorded]
    assert app.concerned_by([place], others) is concerned


def test_an_app_may_be_wrapped_as_the_console_gives_it(tmp_path: Path) -> None:
    text = (APPS / "main.yml").read_text("utf-8")
    (tmp_path / "app.json").write_text(json.dumps({"data": text}))
    assert read_app(tmp_path / "app.json") == read_app(APPS / "main.yml")


@each(
    "text, words",
    [
        ("", "a mapping is needed at the top"),
        ("a: [", "correct the YAML"),
        ("workflow: {graph: {nodes: [1]}}", "this is not an exported workflow app"),
        ("app: {mode: chat}", "this is not an exported workflow app"),
    ],
)
def test_a_file_that_is_no_app_is_refused(text: str, words: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "app.yml"
        path.write_text(text)
        with pytest.raises(SpecError, match=words):
            read_app(path)


# Reports and the command
# ------------------------------------------------------------------------------------------


def test_reports_hold_every_change_with_both_sides() -> None:
    found = compared("1.13.3", "1.14.2")
    values = json.loads(json.dumps(upgrade_json(found)))
    assert len(values["changes"]) == len(found.changes)
    assert all(one["example"]["before"] and one["example"]["after"] for one in values["changes"])
    html, page = upgrade_html(found), upgrade_markdown(found)
    for one in found.changes:
        assert one.sides.name in html
    assert page.count("\n| ") >= len(found.changes)
    assert "<script" not in html


def test_the_command_shows_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = tmp_path / "u.json", tmp_path / "u.html"
    options = ["--json", str(files[0]), "--html", str(files[1])]
    assert exit_code(["upgrade", "0.6.4", "0.6", *options]) == 0
    shown = capsys.readouterr().out
    assert "Dify 0.6.4 to 0.6.9: " in shown
    assert "sys.user_id" in shown
    assert json.loads(files[0].read_text())["to"] == "0.6.9"
    assert "Dify 0.6.4 to 0.6.9" in files[1].read_text()


@each("fail_on, code", [("breaks", 1), ("writes", 1)], ids=str)
def test_a_change_of_some_weight_can_fail(fail_on: str, code: int) -> None:
    assert exit_code(["upgrade", "0.6.4", "0.6.9", "--fail-on", fail_on]) == code


@each(
    "arguments, words",
    [
        (["1.9", "1.14.2"], "Dify 1.9 was not recorded; the nearest older one is 1.4.3"),
        (["0.6.3", "1.14.2"], "no recordings of Dify 0.6.3 are here; compare two of: 0.6.4"),
        (["1.14", "1.14.2"], "both versions are 1.14.2; name two"),
        (["0.6.4", "0.6.9", "--app-file", "nowhere.yml"], "nowhere.yml"),
        (["0.6.4"], "Missing argument"),
    ],
)
def test_what_cannot_be_compared_is_2(arguments: list[str], words: str) -> None:
    import contextlib
    import io

    shown = io.StringIO()
    with contextlib.redirect_stderr(shown):
        assert exit_code(["upgrade", *arguments]) == 2
    assert words in shown.getvalue()


def test_versions_with_recordings_are_the_served_ones_but_one() -> None:
    assert set(HOST_VERSIONS) - set(versions_with_recordings()) == {"0.6.3"}


def test_versions_that_share_no_name_are_compared_by_their_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``contract record`` gives exchanges other names than the recordings of the project have."""

    def renamed(folder: Path) -> list[Recording]:
        recordings = read_once(folder)
        if folder.name != "dify-1.14.2":
            return recordings
        return [replace(one, name=f"mine_{one.name}") for one in recordings]

    monkeypatch.setattr(changes, "read_folder", renamed)
    titles = {one.title for one in upgrade("1.13.3", "1.14.2").changes}
    assert "fields of node_finished (start).data.inputs" in titles
    assert "fields of body.data.outputs.files[]" in titles
