"""The fuzzer of files: its mutations are many and repeatable, and its rules see what must not
be.
"""

from __future__ import annotations

import json
import shlex
import signal
import time
from pathlib import Path
from random import Random
from typing import NoReturn

import pytest

from fake_server.endpoints import ENDPOINTS
from tests.fuzz import files
from tests.fuzz.file_mutations import mutated
from tests.fuzz.files import Outcome, outcome_of, problems, run_command, seeds, write_case

GOOD = "Usage: x\n\nError: f.yaml: line 1: this is wrong; correct it\n"


def test_mutations_are_decided_by_their_random_and_change_the_file() -> None:
    """The same file again for the same seed, and hardly ever the one that there was."""
    text = json.dumps({"a": [1, {"b": "c"}], "d": None})
    made = [mutated(Random(n), text, True, json.loads) for n in range(200)]
    assert made == [mutated(Random(n), text, True, json.loads) for n in range(200)]
    assert len(set(made)) > 150
    assert sum(data == text.encode() for data in made) < 10


def test_every_kind_of_file_is_among_the_cases(tmp_path: Path) -> None:
    """Each with a command that names a file which is there."""
    kinds = set()
    for number in range(100):
        folder = tmp_path / str(number)
        folder.mkdir()
        kind, command = write_case(1, number, folder)
        kinds.add(kind)
        assert str(folder) in shlex.join(command)
        assert list(folder.iterdir())
    assert kinds == set(seeds())


@pytest.mark.parametrize("kind", ["overlay", "app", "scenarios", "recording", "snapshot"])
def test_files_are_used_as_they_are(tmp_path: Path, kind: str) -> None:
    """A mutated file that is refused says something only if the file itself is not."""
    seed = seeds()[kind][-1]
    path = tmp_path / seed.name
    path.write_text(seed.text, "utf-8")
    outcome = outcome_of(lambda: run_command(seed.command(path)))
    assert (outcome.code, list(problems(outcome))) == (0, [])


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        (Outcome(0, ""), None),
        (Outcome(0, "left out: an entry\n"), None),
        (Outcome(2, GOOD), None),
        (Outcome(2, "left out: an entry\n" + GOOD), None),
        (Outcome(2, GOOD + "Error: b.yml: x: expected a list\n"), None),
        (Outcome(2, ""), "without readable lines"),
        (Outcome(2, GOOD + GOOD), "without readable lines"),
        (Outcome(2, "Error: " + "x" * 1_000), "without readable lines"),
        (
            Outcome(2, "Error: x failed: KeyError: this is a mistake in x: please report it"),
            "without readable",
        ),
        (Outcome(1, GOOD), "exit code 1"),
        (
            Outcome(2, "Traceback (most recent call last):\n  a\nKeyError: 1"),
            "traceback: KeyError: 1",
        ),
        (Outcome(-1, "", "KeyError: 1"), "crash: KeyError: 1"),
        (Outcome(0, "", None, 2.0, 300), None),
        (Outcome(0, "", None, 2.1, 300), "time"),
        (Outcome(0, "", None, 2.0, 301), "memory"),
    ],
)
def test_only_use_and_a_readable_error_are_allowed(outcome: Outcome, says: str | None) -> None:
    """Within 2 s and 300 MB."""
    found = list(problems(outcome))
    assert len(found) == (says is not None)
    assert says is None or says in found[0]


def test_planted_crash_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that does not expect a shape is a finding, with the place of the crash."""

    def planted(command: object) -> int:
        raise TypeError("planted")

    monkeypatch.setattr(files, "run_command", planted)
    _, _, outcome, found = files.examine(1, 1, tmp_path / "case")
    assert found == [f"crash: {outcome.crash}"]
    assert "TypeError: planted" in found[0]


def test_crash_of_a_server_that_is_made_of_a_file_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is used when requests are answered by what was made of it."""

    async def failing(call: object) -> NoReturn:
        raise KeyError("planted")

    monkeypatch.setitem(ENDPOINTS, "getMeta", failing)
    seed = seeds()["app"][-1]
    path = tmp_path / seed.name
    path.write_text(seed.text, "utf-8")
    outcome = outcome_of(lambda: run_command(seed.command(path)))
    assert outcome.crash is not None
    assert "KeyError: 'planted'" in outcome.crash


@pytest.mark.slow
def test_memory_of_a_file_is_measured() -> None:
    """What is taken and given back again counts."""

    def greedy() -> int:
        return len(bytearray(b"x" * (320 << 20))) * 0

    assert any("memory" in problem for problem in problems(outcome_of(greedy)))


@pytest.mark.parametrize(("slow", "found"), [(1, 0), (2, 1)])
def test_only_what_is_slow_twice_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: int, found: int
) -> None:
    """A busy machine makes no finding."""
    runs = iter([2.5] * slow + [1.0] * 2)
    monkeypatch.setattr(files, "outcome_of", lambda run: Outcome(0, "", None, next(runs)))
    assert len(files.examine(1, 1, tmp_path / "case")[3]) == found


@pytest.mark.server
def test_what_does_not_end_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop in a reader is interrupted and named."""
    monkeypatch.setattr(files, "MOST_CPU_S", 0.1)
    before = signal.signal(signal.SIGPROF, files.raise_too_slow)
    try:
        outcome = outcome_of(lambda: _spin(time.monotonic() + 20))
    finally:
        signal.signal(signal.SIGPROF, before)
    assert "does not end" in str(outcome.crash)


def _spin(until: float) -> int:
    while time.monotonic() < until:
        pass
    return 0


@pytest.mark.server
def test_no_file_of_a_sample_ends_otherwise_than_in_use_or_in_one_line(tmp_path: Path) -> None:
    """A small campaign with its worker processes."""
    report = files.campaign(20, 1, tmp_path)
    assert not report.findings, str(report)
    assert sum(report.ends.values()) == 20
