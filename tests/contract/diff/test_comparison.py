"""Whole comparisons: hosts and folders in every order, broken hosts by their own difference, the
recorded host.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from contract.checks import CHECKS
from contract.cli import exit_code
from contract.diff.comparison import Comparison, DiffOptions, compare, names_of, record
from contract.diff.difference import Difference, grouped
from contract.diff.pairing import Folder, Host
from contract.diff.translation import NotComparableError, Translation
from contract.target import file_urls
from dify_wire.exchange import Chunk, Exchange, Recording
from dify_wire.recording.folder import RecordingWriter, read_folder
from dify_wire.redaction.exchange import RecordingRedactor
from fake_server.settings import DEFAULT_API_KEY
from tests.contract.hosts import answer, dify_at_first, host, refused_address, saying
from tests.mutants.catalogue import MUTANTS
from tests.mutants.serving import APP_KEYS, SECRET, serving, untouched
from tests.recorded import KEYS, SECRET_KEY, app_arguments, not_compared, outages
from tests.serving import ROOT, running_server

pytestmark = pytest.mark.server

RECORDED = ROOT / "recordings/dify-0.6.4"
QUICK = [check for check in CHECKS.values() if not check.slow]
LABELS = {DEFAULT_API_KEY: "main"} | {key: kind for kind, key in APP_KEYS.items()}


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CONTRACT_")]:
        monkeypatch.delenv(name)


def host_at(url: str, max_runs: int | None = 6, secret: str | None = SECRET) -> Host:
    return Host(url, {"main": DEFAULT_API_KEY, **APP_KEYS}, secret, max_runs)


@pytest.fixture(scope="module")
def good() -> Iterator[str]:
    with serving(untouched) as url:
        yield url


@pytest.fixture(scope="module")
def recordings(good: str) -> list[Recording]:
    """The fake's responses to the checks' requests."""
    return record(host_at(good), QUICK)


@pytest.fixture(scope="module")
def some(recordings: list[Recording]) -> list[Recording]:
    """The successful ones, and some errors."""
    return [
        one
        for at, one in enumerate(recordings)
        if one.status < 400 or "prompt" in one.name or at % 5 == 0
    ]


@pytest.fixture(scope="module")
def folder(recordings: list[Recording], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them, written without secrets."""
    return written(recordings, tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="module")
def small_folder(some: list[Recording], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(some, tmp_path_factory.mktemp("some"))


def written(recordings: list[Recording], folder: Path) -> Path:
    with RecordingWriter(folder, RecordingRedactor(LABELS, secrets=[SECRET])) as writer:
        for recording in recordings:
            writer.write(recording)
    return folder


def drift(comparison: Comparison) -> list[tuple[str, str, str, str]]:
    return [(group.kind, group.place, group.a, group.b) for group in comparison.drift]


# The fake against itself


def test_folder_and_host_show_none(folder: Path, good: str) -> None:
    """Keys, files and tasks of the redacted recordings are found again; nothing is left out."""
    found = compare(Folder(folder, read_folder(folder)), host_at(good), DiffOptions())
    assert drift(found) == []
    assert found.not_compared == {}
    assert found.requests > 150
    assert found.exit_code == 0


def test_host_and_folder_are_the_same_turned_round(small_folder: Path) -> None:
    broken = MUTANTS["blocking_error_empty_text"]
    with serving(broken.wrap) as url:
        found = compare(
            host_at(url), Folder(small_folder, read_folder(small_folder)), DiffOptions()
        )
    assert drift(found) == [("type", "body.data.error", "text", "null")]


def test_request_that_was_shortened_is_compared_too() -> None:
    recorded = read_folder(RECORDED)
    shortened = [one for one in recorded if one.request.shortened]
    assert shortened
    found = compare(Folder(RECORDED, shortened), Folder(RECORDED, shortened), DiffOptions())
    assert (drift(found), found.not_compared) == ([], {})


def test_two_hosts_show_none(good: str) -> None:
    with serving(untouched) as url:
        found = compare(host_at(good), host_at(url), DiffOptions(), QUICK)
    assert drift(found) == []
    assert found.not_compared == {}


def test_two_folders_show_none(good: str, tmp_path: Path) -> None:
    """Each with pseudonyms of its own."""
    checks = QUICK[::4]
    one, other = (
        written(record(host_at(good), checks), tmp_path / name) for name in ("one", "other")
    )
    found = compare(Folder(one, read_folder(one)), Folder(other, read_folder(other)), DiffOptions())
    assert found.requests > 30
    assert drift(found) == []
    left = {name for names in found.not_compared.values() for name in names}
    assert left <= {"sign_in_the_other_alphabet_is_403"}, (
        "which URL it takes depends on a signature's letters"
    )


@pytest.fixture(scope="module")
def slow() -> Iterator[str]:
    with serving(untouched, 10.0) as url:
        yield url


@pytest.fixture(scope="module")
def stopped(slow: str) -> list[Recording]:
    """A stream that was stopped by its user, and before that in vain by somebody else."""
    checks = [check for check in QUICK if check.name == "stopped_run_ends_as_stopped"]
    sent = record(host_at(slow), checks)
    return [
        one
        for one in sent
        if b'"status": "stopped"' in one.body or one.request.path.endswith("/stop")
    ]


def test_stopped_stream_is_stopped_again(folder: Path, stopped: list[Recording], slow: str) -> None:
    """The calls are made when as much time has passed as then."""
    found = compare(Folder(folder, stopped), host_at(slow), DiffOptions())
    assert found.requests == len(stopped) == 3
    assert drift(found) == []
    assert found.not_compared == {}


def test_run_that_is_over_too_soon_cannot_be_stopped(
    folder: Path, stopped: list[Recording], good: str
) -> None:
    """Then it is not compared either, and that is no drift."""
    found = compare(Folder(folder, stopped), host_at(good), DiffOptions())
    run = next(one.name for one in stopped if not one.request.path.endswith("/stop"))
    assert run in found.not_compared["the run was over before it could be stopped"]
    assert drift(found) == []


# Broken hosts

DRIFT: dict[str, list[tuple[str, str, str, str]]] = {
    "blocking_status_201": [("status", "POST /v1/workflows/run", "200", "201")],
    "blocking_task_id_camel_case": [("keys", "body", "task_id", "taskId")],
    "blocking_error_empty_text": [("type", "body.data.error", "null", "text")],
    "blocking_elapsed_zero": [
        (
            "value",
            "body.data.elapsed_time",
            "a number of seconds above 0",
            "a number of seconds of 0",
        )
    ],
    "blocking_json_compact": [("style", "body", "a space after comma and colon", "no spaces")],
    "refusals_without_newline": [("style", "body", r"ends with '\n'", "ends with ''")],
    "refusal_prompt_missing_text_changed": [
        ("value", "body.message", "'prompt is required in input form'", "'Bad.'")
    ],
    "files_two": [("length", "body.data.outputs.files", "1", "2")],
    "node_never_finishes": [("events", "after node_started (llm)", "node_finished (llm)", "-")],
    "event_keys_reordered": [
        (
            "key order",
            "every event",
            "event, workflow_run_id, task_id, data",
            "data, task_id, workflow_run_id, event",
        )
    ],
    "execution_ids_all_the_same": [
        (
            "identity",
            "every event.data.id",
            "another uuid",
            "the uuid of node_started (start).data.id",
        )
    ],
    "stream_crlf": [("frame", "end of a frame", r"\n\n", r"\r\n\r\n")],
    "stream_tells_its_length": [("framing", "text/event-stream", "chunked", "Content-Length")],
    "ping_as_comment": [("ping", "stream", "event: ping", ": ping")],
    "image_one_pixel": [
        ("image", "body", "PNG 1024x1024, 4 bits, colour type 3", "PNG 1x1, 8 bits, colour type 2")
    ],
    "image_may_be_cached": [("header", "cache-control", "-", "max-age=86400")],
}


@pytest.mark.parametrize("name", DRIFT)
def test_broken_host_shows_exactly_its_drift(
    name: str, folder: Path, some: list[Recording]
) -> None:
    """One change of the host is one line, however many answers it is in."""
    with serving(MUTANTS[name].wrap) as url:
        found = compare(Folder(folder, some), host_at(url), DiffOptions())
    assert drift(found) == DRIFT[name]
    assert found.exit_code == 1


def test_cut_pictures_are_drift_of_one_kind(folder: Path, some: list[Recording]) -> None:
    with serving(MUTANTS["image_cut_off"].wrap) as url:
        found = compare(Folder(folder, some), host_at(url), DiffOptions())
    assert {group.kind for group in found.drift} == {"end"}


# The recorded host


def test_recorded_host_and_the_fake_differ_only_where_the_world_did() -> None:
    """All but what was recorded in an outage, and what nobody can repeat
    (recordings/not-compared.yml).
    """
    excused = {entry["name"] for entry in not_compared()} | set(outages())
    options = ("--speed", "instant", "--secret-key", SECRET_KEY, *app_arguments())
    with running_server(*options) as server:
        there = Host(server.url, dict(KEYS), SECRET_KEY)
        found = compare(Folder(RECORDED, read_folder(RECORDED)), there, DiffOptions())
    assert set(found.differing) <= excused
    assert found.requests >= 340
    left = {name for names in found.not_compared.values() for name in names}
    assert left <= {
        "body_16M",
        "deep_json",
        "upload_11M",
        "upload_16M",
        "g_nomax_long",
    } | excused | {"stop_during_stream_call"}


# What cannot be repeated


def test_budget_is_kept_and_reported(folder: Path, some: list[Recording], good: str) -> None:
    found = compare(Folder(folder, some), host_at(good, max_runs=1), DiffOptions())
    assert drift(found) == []
    reasons = list(found.not_compared)
    assert "the budget of 1 accepted runs is spent (--max-runs)" in reasons
    assert "the response with its URL is not among the recordings" in reasons


def test_refusals_do_not_wait_for_a_budget_that_is_spent(
    folder: Path, some: list[Recording], good: str
) -> None:
    """They cost nothing, wherever they stand among the runs."""
    found = compare(Folder(folder, some), host_at(good, max_runs=1), DiffOptions())
    left = found.not_compared["the budget of 1 accepted runs is spent (--max-runs)"]
    statuses = {one.name: one.status for one in some}
    assert {statuses[name] for name in left} == {200}


def test_apps_without_a_key_are_reported(folder: Path, good: str) -> None:
    found = compare(
        Folder(folder, read_folder(folder)),
        Host(good, {"main": DEFAULT_API_KEY}, SECRET, 6),
        DiffOptions(),
    )
    assert "it needs the key of the app 'chat'; give it as KEY=chat" in found.not_compared
    assert drift(found) == []


def test_without_the_secret_signed_requests_are_reported(folder: Path, good: str) -> None:
    found = compare(Folder(folder, read_folder(folder)), host_at(good, secret=None), DiffOptions())
    assert "it was signed with the host's SECRET_KEY; give the other host's" in found.not_compared
    assert drift(found) == []


@pytest.mark.parametrize(
    ("last_words", "cause"),
    [
        (b"", "in a row without a response"),
        (
            answer(b"<title>502</title>", "502 Bad Gateway", "text/html"),
            "a proxy responds, but not the host behind it",
        ),
    ],
)
def test_host_that_dies_is_no_drift_and_gets_no_more_requests(
    last_words: bytes, cause: str, folder: Path, recordings: list[Recording]
) -> None:
    """It passes the first look; nothing that it says after that is compared."""
    with host(dify_at_first(saying(last_words))) as url:
        found = compare(
            Folder(folder, recordings[:40]),
            Host(url, {"main": "k", **APP_KEYS}, timeout_s=2.0),
            DiffOptions(),
        )
    assert (found.exit_code, found.drift) == (2, [])
    assert any(cause in reason for reason in found.not_compared)


def comparison(
    requests: int, left_out: dict[str, list[str]], partial: bool = False, drift: bool = False
) -> Comparison:
    groups = tuple(grouped([Difference("r", "keys", "body", "-", "x")])) if drift else ()
    began = datetime.datetime(2026, 11, 26, tzinfo=datetime.UTC)
    differing = ("r",) if drift else ()
    return Comparison("a", "b", began, 1.0, requests, differing, groups, left_out, partial=partial)


def test_headline_says_what_was_not_compared() -> None:
    two = {"it needs the key of the app 'chat'": ["r1", "r2"]}
    reported = comparison(28, two)
    words = "2 of 30 requests were not compared: it needs the key of the app 'chat'."
    assert reported.headline == f"No drift in the 28 requests that were compared; {words}"
    assert (
        reported.exit_code,
        comparison(28, two, partial=True).exit_code,
        comparison(28, {}).exit_code,
    ) == (2, 0, 0)
    assert (
        comparison(28, two, drift=True).headline
        == f"Drift: 1 difference in 1 of 28 requests; {words}"
    )
    assert comparison(28, two, drift=True, partial=True).exit_code == 1
    several = comparison(1, {"no": ["r1"], "never": ["r2"]}).headline
    assert several.endswith("2 of 3 requests were not compared: no, and other reasons.")
    assert comparison(0, two, partial=True).exit_code == 2


def test_command_ends_with_2_where_something_was_not_compared(
    small_folder: Path, good: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key = f"--api-key-b={DEFAULT_API_KEY}"
    assert diff(small_folder, good, key) == 2
    output = capsys.readouterr().out
    assert "requests were not compared: it needs the key of the app " in output
    assert diff(small_folder, good, key, "--allow-not-compared") == 0


def test_sides_are_named_for_what_they_are(folder: Path, recordings: list[Recording]) -> None:
    recorded, one, other = (
        Folder(folder, recordings),
        Host("http://one", {}),
        Host("http://two", {}),
    )
    assert names_of(recorded, one) == ("recording", "host")
    assert names_of(one, recorded) == ("host", "recording")
    assert names_of(one, other) == ("http://one", "http://two")
    assert names_of(one, one) == ("first", "second")


def test_slower_host_shows_no_drift_in_a_stopped_run(stopped: list[Recording]) -> None:
    """One is at its image when it is stopped, the other still at its model."""
    with serving(untouched, 4.0) as url:
        found = compare(Folder(Path("recorded"), stopped), host_at(url), DiffOptions())
    assert (found.drift, found.not_compared) == ([], {})


def blocking_run(recordings: list[Recording]) -> Exchange:
    """The first run that was answered with one JSON object: which check asked for it depends on
    their order.
    """
    found = (
        one for one in recordings if one.request.target == "/v1/workflows/run" and one.status == 200
    )
    return next(one for one in found if one.media_type == "application/json")


def test_time_that_was_signed_for_a_request_is_as_old_for_the_other_host(
    recordings: list[Recording],
) -> None:
    """However long each side had run by then, and whatever its clock showed."""
    signed = next(one for one in recordings if one.name == "url_is_valid_for_290_seconds")
    ours = blocking_run(recordings)
    (url,) = [url for url in file_urls(ours.json()["data"]["outputs"]) if url is not None]
    later_s, slower_s, ahead_s = 3600, 40, 7
    our_timestamp = int(url.timestamp)
    text = ours.text.replace(
        f"timestamp={url.timestamp}", f"timestamp={our_timestamp + later_s + ahead_s}"
    )
    chunk = Chunk(0.0, text.encode())
    theirs = replace(ours, sent_at=ours.sent_at + later_s, chunks=(chunk,))
    translation = Translation(
        {"main": "k"}, SECRET, now=lambda: signed.sent_at + later_s + slower_s
    )
    translation.learn(ours, theirs)
    stamp = int(translation.request(signed).target.partition("timestamp=")[2][:10])
    then = int(signed.request.target.partition("timestamp=")[2][:10])
    assert abs(stamp - (then + later_s + slower_s + ahead_s)) <= 1


def test_url_that_has_expired_on_one_side_alone_is_not_compared(
    recordings: list[Recording],
) -> None:
    run = blocking_run(recordings)
    (url,) = [url for url in file_urls(run.json()["data"]["outputs"]) if url is not None]
    fetched = next(
        one for one in recordings if one.request.target == url.path and one.status == 200
    )
    for age_s, expired in ((290.0, False), (310.0, True)):
        translation = Translation(
            {"main": "k"}, None, now=partial(float.__add__, run.sent_at, age_s)
        )
        translation.learn(run, run)
        with (
            pytest.raises(NotComparableError, match="a URL lives for 300 s")
            if expired
            else nullcontext()
        ):
            translation.request(fetched)


# The command


def diff(*arguments: str | Path) -> int:
    return exit_code(["diff", *map(str, arguments)])


def keys(side: str) -> list[str]:
    apps = [f"--app{side}={key}={kind}" for kind, key in APP_KEYS.items()]
    return [f"--api-key{side}={DEFAULT_API_KEY}", f"--secret-key{side}={SECRET}", *apps]


def test_command_says_no_drift_with_0(
    small_folder: Path, good: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert diff(small_folder, good, *keys("-b")) == 0
    assert "No drift." in capsys.readouterr().out


def test_command_says_drift_with_1_and_writes_reports(
    small_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, values = tmp_path / "diff.html", tmp_path / "diff.json"
    with serving(MUTANTS["blocking_task_id_camel_case"].wrap) as url:
        assert diff(small_folder, url, *keys("-b"), "--json", values, "--html", page) == 1
    output = capsys.readouterr().out
    assert "✗ keys  body" in output
    assert "recording task_id" in output
    assert "Drift: 1 difference in 2 of" in output
    reported = json.loads(values.read_text())
    assert [(one["kind"], one["a"], one["b"]) for one in reported["differences"]] == [
        ("keys", "task_id", "taskId")
    ]
    assert reported["drift"] is True
    assert len(reported["requests"]["differing"]) == 2
    html = page.read_text()
    assert "<h2>What differs</h2>" in html
    assert "taskId" in html
    assert ":root" in html
    for written in (output, values.read_text(), html):
        assert DEFAULT_API_KEY not in written
        assert SECRET not in written


def test_command_leaves_out_what_matches_its_rules(small_folder: Path) -> None:
    with serving(MUTANTS["blocking_task_id_camel_case"].wrap) as url:
        assert diff(small_folder, url, *keys("-b"), "--ignore", "keys:body") == 0
        assert diff(small_folder, url, *keys("-b"), "--ignore", "keys:elsewhere") == 1


def test_times_are_drift_only_on_request(folder: Path, some: list[Recording]) -> None:
    slow = [replace(one, seconds=4 * one.seconds + 2.0) for one in some]
    sides = Folder(folder, some), Folder(folder, slow)
    found = compare(*sides, DiffOptions())
    assert found.exit_code == 0
    assert {group.kind for group in found.notes} == {"timing"}
    assert found.notes[0].count == len(some)
    assert compare(*sides, DiffOptions(strict_timing=True)).exit_code == 1
    assert compare(*sides, DiffOptions(factor=1e6)).notes == []


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "no key": (("http://127.0.0.1:9", "http://127.0.0.1:9"), "--api-key-a is missing"),
    "no address": (
        ("http://u:p@127.0.0.1:9", "x", "--api-key-a", "k"),
        "leave out user and password",
    ),
    "no folder": (("nowhere", "nowhere"), "cannot be read"),
    "bad rule": (
        ("http://127.0.0.1:9", "x", "--api-key-a", "k", "--ignore", "hedaer"),
        "did you mean 'header'?",
    ),
    "no app": (("x", "http://127.0.0.1:9", "--app-b", "key"), "expected KEY=APP"),
}


@pytest.mark.parametrize(("arguments", "reported"), BAD.values(), ids=BAD)
def test_bad_arguments_are_2(
    arguments: tuple[str, ...], reported: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert diff(*(str(folder) if argument == "x" else argument for argument in arguments)) == 2
    assert reported in capsys.readouterr().err


def test_unreachable_host_is_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diff(folder, refused_address(), "--api-key-b", "k") == 2
    assert "no connection" in capsys.readouterr().err
    with host(saying(answer(b'{"message": "Access token is invalid"}', "401 UNAUTHORIZED"))) as url:
        assert diff(folder, url, "--api-key-b", "k") == 2
    assert "refuses the API key" in capsys.readouterr().err


def test_nothing_in_common_is_2(folder: Path, recordings: list[Recording], tmp_path: Path) -> None:
    other = next(one for one in recordings if one.request.path == "/v1/")
    with RecordingWriter(tmp_path / "a") as writer:
        writer.write(other)
    with RecordingWriter(tmp_path / "b") as writer:
        writer.write(recordings[0])
    assert diff(tmp_path / "a", tmp_path / "b") == 2


def test_damaged_recording_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "0001-x.yaml").write_text("format: 1\n")
    assert diff(tmp_path, tmp_path) == 2
    assert "0001-x.yaml" in capsys.readouterr().err
