"""What ``make dist`` goes by: which Pythons it tries, and when it says that two builds differ."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.dist import building, pythons
from tests.dist.trial import Environment

pytestmark = pytest.mark.server


def program(path: Path, says: str, code: int = 0) -> str:
    """A program that stands for an interpreter."""
    path.write_text(f"#!/bin/sh\necho {says}\nexit {code}\n")
    path.chmod(0o755)
    return str(path)


def test_newest_release_of_each_version_is_tried(tmp_path: Path) -> None:
    """A version that is too old, a shim that starts nothing and a missing program are not."""
    named = [
        program(tmp_path / "a", "3 12 1"),
        program(tmp_path / "b", "3 12 11"),
        program(tmp_path / "c", "3 9 19"),
        program(tmp_path / "d", "3 13 0", 1),
        program(tmp_path / "e", "3 11 2"),
        str(tmp_path / "f"),
    ]
    found = pythons.found(" ".join(named))
    assert list(found.items()) == [("3.11", named[4]), ("3.12", named[1])]
    assert pythons.missing(found) == ["3.13", "3.14"]


def test_pythons_on_the_path_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "python3.12", "3 12 1")
    program(tmp_path / "python3.13-config", "3 13 1")
    monkeypatch.setenv("PATH", f"{tmp_path}/nowhere:{tmp_path}")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert pythons.found() == {"3.12": str(tmp_path / "python3.12")}
    pyenv = tmp_path / ".pyenv/versions/3.14.2/bin"
    pyenv.mkdir(parents=True)
    program(pyenv / "python", "3 14 2")
    assert list(pythons.found()) == ["3.12", "3.14"]


def test_this_python_is_one() -> None:
    assert list(pythons.found(sys.executable).values()) == [sys.executable]


def test_a_build_with_other_bytes_is_an_error(tmp_path: Path) -> None:
    first, again = tmp_path / "a.whl", tmp_path / "b.whl"
    first.write_bytes(b"1")
    again.write_bytes(b"1")
    building._expect_same(first, again)
    again.write_bytes(b"2")
    with pytest.raises(building.DistError, match=r"other bytes for a\.whl"):
        building._expect_same(first, again)


def test_versions_of_the_locks_hold_in_an_environment(tmp_path: Path) -> None:
    """As constraints without hashes, markers kept; a program that fails is an error with its
    output.
    """
    environment = Environment(tmp_path, sys.executable)
    pinned = (tmp_path / "constraints.txt").read_text().splitlines()
    names = {line.partition("==")[0] for line in pinned}
    assert {"starlette", "pillow", "pytest", "uvloop"} <= names
    assert not [line for line in pinned if "--hash" in line or "\\" in line]
    assert any(line.startswith("uvloop==") and "sys_platform" in line for line in pinned)
    with pytest.raises(building.DistError, match="exit code 3, not 0"):
        environment.run("python", "-c", "raise SystemExit(3)")
