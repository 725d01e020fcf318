"""``contract drift``: what each day shows of the days before it, and what it keeps."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path
from typing import Any

import pytest

from contract.cli import exit_code
from contract.cli.compare import drift, run_drift
from contract.diff.comparison import Comparison
from contract.diff.difference import Group
from contract.diff.drift import History, HistoryError, Snapshot, drift_delta, read_history
from contract.report.files import comparison_json, to_text
from fake_server.settings import DEFAULT_API_KEY
from tests.contract.hosts import refused_address
from tests.mutants.catalogue import MUTANTS
from tests.mutants.serving import serving, untouched

pytestmark = pytest.mark.server

DAY = datetime.date(2026, 11, 20)
ONE = Group("keys", "body", "task_id", "taskId", 2, ("block_ok",))
TWO = Group("value", "body.message", "'no'", "'nope'", 1, ("missing",))
SEVERAL = Group("value", "body.message", "'a'", "'b'", 9, ("missing",), forms=9)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CONTRACT_")]:
        monkeypatch.delenv(name)


def day(number: int) -> datetime.date:
    return DAY + datetime.timedelta(days=number)


def comparison(*groups: Group) -> Comparison:
    began = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
    return Comparison("a", "b", began, 1.0, 9, (), groups, {})


def keep(found: Comparison, folder: Path, today: datetime.date) -> None:
    History(folder, today).keep(to_text(comparison_json(found)))


def snapshot(number: int, *groups: Group) -> Snapshot:
    lines = {one.identity: f"{one.kind} {one.place}: {one.a} → {one.b}" for one in groups}
    return Snapshot(day(number), lines)


# Since when


def test_first_night_is_all_new() -> None:
    reported = drift_delta(comparison(ONE, TWO), [], DAY)
    assert dict(reported.since) == {ONE.identity: "new", TWO.identity: "new"}
    assert reported.gone == []


def test_old_differences_tell_since_when() -> None:
    snapshots = [snapshot(0, ONE), snapshot(1, ONE), snapshot(2, ONE, TWO)]
    reported = drift_delta(comparison(ONE, TWO), snapshots, day(3))
    assert reported.since[ONE.identity] == "since 2026-11-20, seen on 4 days"
    assert reported.since[TWO.identity] == "since 2026-11-22, seen on 2 days"


def test_what_was_away_for_a_night_is_new_again() -> None:
    reported = drift_delta(comparison(ONE), [snapshot(0, ONE), snapshot(1)], day(2))
    assert reported.since[ONE.identity] == "new"


def test_missed_days_are_no_gap() -> None:
    """A day without a result says nothing."""
    reported = drift_delta(comparison(ONE), [snapshot(0, ONE), snapshot(7, ONE)], day(9))
    assert reported.since[ONE.identity] == "since 2026-11-20, seen on 3 days"


def test_gone_is_what_the_last_night_had() -> None:
    reported = drift_delta(comparison(TWO), [snapshot(0, ONE, TWO)], day(1))
    assert reported.gone == ["keys body: task_id → taskId"]
    assert drift_delta(comparison(TWO), [snapshot(0, ONE), snapshot(1)], day(2)).gone == []


def test_second_look_on_one_day_is_held_against_the_day_before() -> None:
    snapshots = [snapshot(0), snapshot(1, ONE)]
    assert drift_delta(comparison(ONE), snapshots, day(1)).since[ONE.identity] == "new"


def test_many_values_at_one_place_stay_one_difference() -> None:
    other = Group("value", "body.message", "'x'", "'y'", 8, ("missing",), forms=8)
    assert (
        drift_delta(comparison(other), [snapshot(0, SEVERAL)], day(1))
        .since[other.identity]
        .startswith("since")
    )


# The folder


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    keep(comparison(ONE, SEVERAL), tmp_path, DAY)
    keep(comparison(), tmp_path, day(1))
    keep(comparison(TWO), tmp_path, day(1))
    assert [(one.day, set(one.differences)) for one in read_history(tmp_path)] == [
        (DAY, {ONE.identity, SEVERAL.identity}),
        (day(1), {TWO.identity}),
    ]
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "2026-11-20.json",
        "2026-11-21.json",
    ]


def test_no_folder_is_no_history(tmp_path: Path) -> None:
    assert read_history(tmp_path / "none") == []


DAMAGED = {
    "cut": '{"format": 1, "diff',
    "a list": "[]",
    "newer": '{"format": 99, "differences": []}',
    "no differences": '{"format": 1}',
    "a number for a place": json.dumps(
        {
            "format": 1,
            "differences": [
                {"kind": "keys", "place": 1, "a": "", "b": "", "requests": 1, "forms": 1}
            ],
        }
    ),
    "binary": "\x00\x01",
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED)
def test_damaged_night_is_refused_by_name(text: str, tmp_path: Path) -> None:
    """Left out, it would make an old difference look new."""
    keep(comparison(ONE), tmp_path, DAY)
    (tmp_path / "2026-11-21.json").write_text(text)
    with pytest.raises(HistoryError, match=r"2026-11-21\.json.*move it away"):
        read_history(tmp_path)


# The command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recordings")
    with serving(untouched) as url:
        only = ["--only", "documents_own_request_gets_200", "--only", "*_is_405"]
        assert (
            exit_code(
                [
                    "record",
                    "--base-url",
                    url,
                    "--api-key",
                    DEFAULT_API_KEY,
                    "--to",
                    str(path),
                    *only,
                ]
            )
            == 0
        )
    return path


def options(url: str, folder: Path, history: Path) -> dict[str, Any]:
    arguments = ["--base-url", url, "--recordings", str(folder), "--history", str(history)]
    context = drift.make_context("drift", [*arguments, "--api-key", DEFAULT_API_KEY])
    return context.params


def test_days_in_a_row(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A good one, two with a broken host, and one when it has been repaired."""
    with serving(untouched) as url:
        assert run_drift(options(url, folder, tmp_path), DAY) == 0
    assert "No drift." in capsys.readouterr().out
    with serving(MUTANTS["blocking_task_id_camel_case"].wrap) as url:
        assert run_drift(options(url, folder, tmp_path), day(1)) == 1
        assert "keys  body  new" in capsys.readouterr().out
        assert run_drift(options(url, folder, tmp_path), day(2)) == 1
        assert "keys  body  since 2026-11-21, seen on 2 days" in capsys.readouterr().out
    with serving(untouched) as url:
        page = options(url, folder, tmp_path) | {"html": tmp_path / "page.html"}
        assert run_drift(page, day(3)) == 0
    assert "keys body: task_id → taskId" in capsys.readouterr().out
    assert "gone since the last time" in (tmp_path / "page.html").read_text()
    assert len(list(tmp_path.glob("2026-*.json"))) == 4


def test_command_takes_the_day_of_today(folder: Path, tmp_path: Path) -> None:
    with serving(untouched) as url:
        arguments = [
            "drift",
            "--base-url",
            url,
            "--recordings",
            str(folder),
            "--history",
            str(tmp_path / "history"),
        ]
        assert exit_code([*arguments, "--api-key", DEFAULT_API_KEY]) == 0
    assert [len(path.stem) for path in (tmp_path / "history").iterdir()] == [len("2026-11-20")]


def test_night_that_could_not_be_is_2_and_keeps_nothing(folder: Path, tmp_path: Path) -> None:
    arguments = [
        "--base-url",
        refused_address(),
        "--recordings",
        str(folder),
        "--history",
        str(tmp_path),
    ]
    assert exit_code(["drift", *arguments, "--api-key", "k"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_damaged_history_is_2_before_any_request(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "2026-11-20.json").write_text("{")
    arguments = [
        "--base-url",
        "http://127.0.0.1:9",
        "--recordings",
        str(folder),
        "--history",
        str(tmp_path),
    ]
    assert exit_code(["drift", *arguments, "--api-key", "k"]) == 2
    assert "2026-11-20.json" in capsys.readouterr().err
