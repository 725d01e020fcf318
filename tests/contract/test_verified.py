"""The entries of verified.toml: complete, and still true of the recorded host."""

from __future__ import annotations

import datetime
import re

import pytest

from contract.check import FAKE_ONLY, VERDICTS, Check, Level, verdicts
from contract.checks import CHECKS
from contract.result import Result, Status
from dify_wire.recording.folder import read_folder
from tests.contract import verdicts as writing


def test_every_check_has_a_verdict_and_every_verdict_a_check() -> None:
    assert list(verdicts()) == sorted(CHECKS), "run .venv/bin/python -m tests.contract.verdicts"


@pytest.mark.server
def test_check_that_passes_nowhere_leaves_the_file_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new = Check("pigs_fly", "Pigs fly.", Level.HOST, "FACTS 0", lambda _: None, "samples")
    monkeypatch.setitem(CHECKS, new.name, new)
    monkeypatch.setattr(
        writing, "on_the_fake", lambda checks: [Result(one, Status.FAILED) for one in checks]
    )
    before = VERDICTS.read_bytes()
    with pytest.raises(SystemExit, match=r"pigs_fly did not pass on the fake .*\nnothing is wri"):
        writing.main()
    assert VERDICTS.read_bytes() == before


def test_sources_name_exchanges_that_are_recorded(recorded: set[str]) -> None:
    unknown = {
        (check.name, name)
        for check in CHECKS.values()
        for names in re.findall(r"recorded: ([^)]*)\)", check.source)
        for name in names.split(", ")
        if name not in recorded
    }
    assert unknown == set(), f"no exchange of these names is in {writing.RECORDING}"


@pytest.fixture(scope="module")
def recorded() -> set[str]:
    return {one.name for one in read_folder(writing.RECORDING)}


def test_verdicts_name_exchanges_that_are_recorded(recorded: set[str]) -> None:
    for name, seen in verdicts().items():
        assert seen.host_version == writing.VERSION
        assert isinstance(seen.day, datetime.date)
        if seen.recording not in (FAKE_ONLY, writing.EVERY_EXCHANGE):
            assert set(seen.recording.split(", ")) <= recorded, name


def test_verdicts_name_versions_that_are_recorded() -> None:
    others = {version for seen in verdicts().values() for version in seen.also_on}
    assert others == set(writing.OTHER_VERSIONS)
    assert "; also on 0.6.9, " in str(verdicts()["unknown_key_is_401"])


@pytest.fixture(scope="module")
def offline() -> dict[str, Status]:
    return {one.result.check.name: one.result.status for one in writing.offline()}


@pytest.mark.server
def test_recorded_host_meets_no_false_alarm(offline: dict[str, Status]) -> None:
    alarms = {
        name: outcome
        for name, outcome in offline.items()
        if outcome not in (Status.PASSED, Status.SKIPPED)
    }
    assert alarms == {}


@pytest.mark.server
def test_what_was_seen_in_a_recording_is_seen_again(offline: dict[str, Status]) -> None:
    seen = {name for name, one in verdicts().items() if one.recording != FAKE_ONLY}
    assert {name for name in seen if offline[name] is not Status.PASSED} == set()
    assert len(seen) > len(CHECKS) // 2
