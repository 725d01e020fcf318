"""The project's own YAML files are parsed once: an entry is taken for the very same bytes and code,
or not at all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dify_wire.yaml_cache
from dify_wire.yaml_cache import cached

TEXT = "a: 1\n"


class Parsing:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Any:
        self.times += 1
        return {"b": [1.5, None, "é", {}], "a": self.times}


@pytest.fixture
def parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the code is that parses, in a project of its own with a cache of its own."""
    monkeypatch.setattr(dify_wire.yaml_cache, "_OURS", tmp_path / "project")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "project" / "parser.py"
    path.parent.mkdir()
    path.write_text("code")
    return path


def entries(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "fake-dify").glob("*"))


def test_a_file_is_parsed_once(parser: Path, tmp_path: Path) -> None:
    parsing = Parsing()
    made = [cached(parser.parent / "data" / "a.yaml", TEXT, parser, parsing) for _ in range(3)]
    assert made == [{"b": [1.5, None, "é", {}], "a": 1}] * 3
    assert [list(one) for one in made] == [["b", "a"]] * 3
    assert made[1] is not made[2]
    assert [entry.name for entry in entries(tmp_path)] == ["data-a.yaml.json"]
    assert entries(tmp_path)[0].parent.stat().st_mode & 0o077 == 0


def test_other_bytes_or_other_code_are_parsed_again(parser: Path, tmp_path: Path) -> None:
    parsing, path = Parsing(), parser.parent / "a.yaml"
    cached(path, TEXT, parser, parsing)
    assert cached(path, TEXT + " ", parser, parsing)["a"] == 2
    parser.write_text("other code")
    assert cached(path, TEXT + " ", parser, parsing)["a"] == 3
    assert len(entries(tmp_path)) == 1


@pytest.mark.parametrize(
    "content", ["", "nonsense", "{digest}\n", "{digest}\n{{", "0000\n{{}}", "\udc80"]
)
def test_a_spoilt_entry_is_not_taken(content: str, parser: Path, tmp_path: Path) -> None:
    parsing, path = Parsing(), parser.parent / "a.yaml"
    cached(path, TEXT, parser, parsing)
    entry = entries(tmp_path)[0]
    digest = entry.read_text().partition("\n")[0]
    entry.write_bytes(content.format(digest=digest).encode("utf-8", "surrogateescape"))
    assert cached(path, TEXT, parser, parsing)["a"] == 2
    assert cached(path, TEXT, parser, parsing)["a"] == 2


def test_files_of_users_are_never_kept(parser: Path, tmp_path: Path) -> None:
    parsing = Parsing()
    for _ in range(2):
        cached(tmp_path / "mine.yaml", TEXT, parser, parsing)
    assert parsing.times == 2
    assert entries(tmp_path) == []


def test_without_the_code_files_are_parsed(parser: Path, tmp_path: Path) -> None:
    parsing = Parsing()
    parser.unlink()
    for _ in range(2):
        cached(parser.parent / "a.yaml", TEXT, parser, parsing)
    assert (parsing.times, entries(tmp_path)) == (2, [])


def test_an_entry_that_cannot_be_kept_leaves_nothing_behind(parser: Path, tmp_path: Path) -> None:
    parsing = Parsing()
    (tmp_path / "cache" / "fake-dify" / "a.yaml.json" / "taken").mkdir(parents=True)
    for _ in range(2):
        cached(parser.parent / "a.yaml", TEXT, parser, parsing)
    assert (parsing.times, [entry.name for entry in entries(tmp_path)]) == (2, ["a.yaml.json"])


def test_without_a_cache_files_are_parsed(
    parser: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    parsing = Parsing()
    for _ in range(2):
        cached(parser.parent / "a.yaml", TEXT, parser, parsing)
    assert parsing.times == 2
