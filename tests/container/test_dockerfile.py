"""The Dockerfile: lint, what it promises, and that the build gets what it copies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.container.dockerfile import DockerfileError, context, stages
from tests.serving import ROOT
from tests.tools import needed

pytestmark = pytest.mark.server

TEXT = (ROOT / "Dockerfile").read_text("utf-8")
IGNORE = (ROOT / ".dockerignore").read_text("utf-8")


def test_hadolint_finds_nothing() -> None:
    command = [
        needed(str(Path(sys.executable).with_name("hadolint"))),
        "--no-color",
        str(ROOT / "Dockerfile"),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")


def test_image_is_for_nobody_in_particular() -> None:
    """Not root, exec forms, every interface, and the signal that the server ends well by."""
    last = stages(TEXT)[-1]
    assert last.last("USER").value == "10001:10001"
    assert last.last("STOPSIGNAL").value == "SIGTERM"
    assert last.last("ENTRYPOINT").value.startswith("[")
    assert last.last("CMD").value.startswith("[")
    assert " CMD [" in last.last("HEALTHCHECK").value
    assert "FAKE_SERVER_HOST=0.0.0.0" in last.last("ENV").words
    assert not [step for step in last.steps if step.name == "RUN"]


def test_build_gets_what_it_copies_and_nothing_else() -> None:
    files = {path.as_posix() for path in context(ROOT, IGNORE)}
    tops = {name.partition("/")[0] for name in files}
    copied = {
        name.removeprefix("./").rstrip("/")
        for stage in stages(TEXT)
        for step in stage.steps
        if step.name == "COPY" and "--from" not in step.value
        for name in step.words[:-1]
    }
    assert tops == copied
    assert "dify_wire/py.typed" in files
    assert not [name for name in files if "__pycache__" in name or ".fake-dify" in name]


def test_last_rule_of_dockerignore_decides(tmp_path: Path) -> None:
    for name in ("a/x.py", "a/cache/x.pyc", "a/b/cache/y", "c", "d/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    ignore = "# all\n*\n!a\n!c\n**/cache\n!a/b/cache"
    assert [path.as_posix() for path in context(tmp_path, ignore)] == ["a/b/cache/y", "a/x.py", "c"]


def test_steps_are_read_with_their_lines_joined() -> None:
    read = stages(
        '# x\nFROM a AS b\nRUN one \\\n    && two\n\nFROM c\nCMD ["x", "y z"]\nENV A=1 B=2'
    )
    assert [(one.name, len(one.steps)) for one in read] == [("b", 1), ("1", 2)]
    assert read[0].steps[0].value == "one && two"
    assert read[1].last("CMD").words == ["x", "y z"]
    assert read[1].last("ENV").words == ["A=1", "B=2"]


@pytest.mark.parametrize("text", ["FROM a\nONBUILD RUN x", "RUN x\nFROM a"])
def test_what_is_not_understood_is_an_error(text: str) -> None:
    with pytest.raises(DockerfileError):
        stages(text)


def test_a_missing_instruction_is_an_error() -> None:
    with pytest.raises(DockerfileError, match="the stage 0 has no CMD"):
        stages("FROM a")[0].last("CMD")
