"""The hook for pre-commit, tried on a repository with recordings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dify_wire.recording.folder import RecordingWriter, read_recording
from dify_wire.redaction.exchange import RecordingRedactor
from tests.serving import ROOT
from tests.tools import needed

pytestmark = pytest.mark.server

HOOK = "contract-recordings-check"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    return folder


def git(folder: Path, *args: str) -> None:
    subprocess.run([needed("git"), *args], cwd=folder, check=True, capture_output=True)


def test_hook_finds_what_is_secret_and_what_is_cut(
    repository: Path, installed: dict[str, str], tmp_path: Path
) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("pre-commit clones the checkout, and this is none")
    recording = ROOT / "recordings/dify-0.6.4/0001-block_ok_doc_example.yaml"
    whole = recording.read_text("utf-8")
    (repository / "mine").mkdir()
    (repository / "other").mkdir()
    (repository / "other/README.yaml").write_text("not: a recording\n")
    (repository / "mine/0001-secret.yaml").write_text(whole, "utf-8")
    (repository / "mine/0002-cut.yaml").write_text(whole[:-200], "utf-8")
    git(repository, "add", ".")
    ended = try_hook(repository, installed, tmp_path)
    assert ended.returncode == 1
    assert "0001-secret.yaml: request header Authorization looks like a secret" in ended.stdout
    assert "0002-cut.yaml" in ended.stdout
    assert "2 recordings" in ended.stdout
    for name in ("0001-secret", "0002-cut"):
        git(repository, "rm", "--quiet", "-f", f"mine/{name}.yaml")
    with RecordingWriter(repository / "mine", RecordingRedactor()) as writer:
        writer.write(read_recording(recording))
    git(repository, "add", ".")
    ended = try_hook(repository, installed, tmp_path)
    assert ended.returncode == 0, ended.stdout
    assert "Passed" in ended.stdout


def try_hook(
    repository: Path, installed: dict[str, str], tmp_path: Path
) -> subprocess.CompletedProcess[str]:
    """``pre-commit try-repo`` as a user tries it, with its own cache."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        **installed,
        "PRE_COMMIT_HOME": str(tmp_path / "cache"),
        "PRE_COMMIT_COLOR": "never",
    }
    command = [sys.executable, "-P", "-m", "pre_commit", "try-repo", str(ROOT), HOOK, "--all-files"]
    return subprocess.run(
        command,
        cwd=repository,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
