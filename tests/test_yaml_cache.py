"""The project's own YAML files are parsed and merged once: a cache entry is used for the very same
bytes and code, or not at all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dify_wire.own_files
import dify_wire.spec
import dify_wire.yaml_file
from dify_wire.yaml_file import load_yaml

TEXT = "b: [1.5, null, é, {}]\na: 1\n"
VALUE = {"b": [1.5, None, "é", {}], "a": 1}
CACHED = {"from": "the cache"}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of a project with code of its own and a cache of its own."""
    project = tmp_path / "project"
    (project / "data").mkdir(parents=True)
    (project / "code.py").write_text("code")
    monkeypatch.setattr(dify_wire.own_files, "_OURS", project)
    monkeypatch.setattr(dify_wire.yaml_file, "_CODE", project / "code.py")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = project / "data" / "a.yaml"
    path.write_text(TEXT, "utf-8")
    return path


def entries(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "fake-dify").glob("*"))


def digest(entry: Path) -> str:
    return entry.read_text("utf-8").partition("\n")[0]


def mark(entry: Path) -> None:
    """Make the entry tell that it was used."""
    entry.write_text(f'{digest(entry)}\n{{"from": "the cache"}}', "utf-8")


def test_file_is_parsed_once(path: Path, tmp_path: Path) -> None:
    assert [load_yaml(path), load_yaml(path)] == [VALUE, VALUE]
    (entry,) = entries(tmp_path)
    assert entry.name == "data-a.yaml.json"
    assert entry.parent.stat().st_mode & 0o077 == 0
    mark(entry)
    assert load_yaml(path) == CACHED


def test_other_bytes_or_other_code_are_parsed_again(path: Path, tmp_path: Path) -> None:
    load_yaml(path)
    (entry,) = entries(tmp_path)
    mark(entry)
    path.write_text(TEXT + " ", "utf-8")
    assert load_yaml(path) == VALUE
    mark(entry)
    (path.parent.parent / "code.py").write_text("other code")
    assert load_yaml(path) == VALUE
    assert entries(tmp_path) == [entry]


@pytest.mark.parametrize(
    "content", ["", "nonsense", "{digest}\n", "{digest}\n{{", "0000\n{{}}", "\udc80"]
)
def test_damaged_entry_is_not_used(content: str, path: Path, tmp_path: Path) -> None:
    load_yaml(path)
    (entry,) = entries(tmp_path)
    text = content.format(digest=digest(entry))
    entry.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert load_yaml(path) == VALUE
    mark(entry)
    assert load_yaml(path) == CACHED


def test_files_of_users_are_never_kept(path: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text(TEXT, "utf-8")
    assert load_yaml(own) == VALUE
    assert entries(tmp_path) == []


def test_without_the_code_files_are_parsed(path: Path, tmp_path: Path) -> None:
    (path.parent.parent / "code.py").unlink()
    assert load_yaml(path) == VALUE
    assert entries(tmp_path) == []


def test_entry_that_cannot_be_written_leaves_nothing_behind(path: Path, tmp_path: Path) -> None:
    (tmp_path / "cache" / "fake-dify" / "data-a.yaml.json" / "taken").mkdir(parents=True)
    assert load_yaml(path) == VALUE
    assert [entry.name for entry in entries(tmp_path)] == ["data-a.yaml.json"]


def test_without_a_cache_files_are_parsed(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert load_yaml(path) == VALUE


def test_a_merged_document_is_kept_for_the_same_files_and_code(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of its files, or of the code that merged them, is another, it is merged anew."""
    code = path.parent / "merging.py"
    code.write_text("code")
    monkeypatch.setattr(dify_wire.spec, "_MERGING", [code])
    spec, overlay = path.with_name("spec.yaml"), path.with_name("overlay.yaml")
    spec.write_text("openapi: 3.2.0\npaths: {}\n")
    overlay.write_text('overlay: 1.0.0\nactions: [{target: "$", update: {x-host: 1}}]\n')

    def load() -> dict[str, Any]:
        return dify_wire.spec.load(spec, [overlay], checked=True)

    merged = {"openapi": "3.2.0", "paths": {}, "x-host": 1}
    assert load() == merged
    [entry] = [one for one in entries(tmp_path) if "merged" in one.name]
    for changed in (spec, overlay, code):
        mark(entry)
        assert load() == CACHED
        changed.write_text(changed.read_text() + "\n")
        assert load() == merged
