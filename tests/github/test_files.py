"""The files for GitHub are valid, and the workflows do no more than call the Makefile."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dify_wire.yaml_file import load_yaml
from tests.serving import ROOT

pytestmark = pytest.mark.server

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(
    set((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) - {GITHUB / "ISSUE_TEMPLATE/config.yml"}
)
_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
_WITHOUT_MAKE = {
    "git diff --exit-code",
    "docker build --tag fake-dify .",
    "docker run --detach --read-only --name fake --publish 127.0.0.1:6060:6060 fake-dify",
    'contract run --base-url "$URL" --api-key "$KEY"',
}
"""What the Makefile cannot do: an engine's own commands, and the steps of a user without make."""


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("custom.github-workflows-require-timeout", WORKFLOWS),
        ("vendor.github-actions", [ROOT / "action.yml"]),
        ("vendor.dependabot", [GITHUB / "dependabot.yml"]),
        ("vendor.github-issue-forms", FORMS),
        ("vendor.github-issue-config", [GITHUB / "ISSUE_TEMPLATE/config.yml"]),
    ],
)
def test_file_is_valid(schema: str, files: list[Path]) -> None:
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        schema,
        *map(str, files),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def jobs() -> dict[str, Any]:
    return {
        f"{path.name}: {name}": job
        for path in WORKFLOWS
        for name, job in load_yaml(path)["jobs"].items()
    }


def commands_of(job: dict[str, Any]) -> list[str]:
    """What the job runs, once for each value of its matrix."""
    matrix = job.get("strategy", {}).get("matrix", {})
    found = []
    for command in (step["run"] for step in job["steps"] if "run" in step):
        name = re.search(r"\$\{\{ matrix\.(\w+) \}\}", command)
        found += [command.replace(name[0], one) for one in matrix[name[1]]] if name else [command]
    return found


@pytest.mark.parametrize("job", jobs().values(), ids=jobs())
def test_job_calls_the_makefile(job: dict[str, Any]) -> None:
    for command in commands_of(job):
        name = re.fullmatch(r"make ([a-z-]+)( \w+=\S+)*", command)
        if name is None:
            assert command in _WITHOUT_MAKE or command.startswith("curl --fail ")
        else:
            assert name[1] in _TARGETS


def test_workflows_may_only_read() -> None:
    """But for the job that publishes the site."""
    for path in WORKFLOWS:
        assert load_yaml(path)["permissions"] == {"contents": "read"}
    more = {name: job["permissions"] for name, job in jobs().items() if "permissions" in job}
    assert more == {"ci.yml: pages": {"pages": "write", "id-token": "write"}}


def test_actions_are_pinned_and_leave_no_token() -> None:
    for job in jobs().values():
        for step in job["steps"]:
            if "uses" in step and step["uses"] != "./":
                assert re.fullmatch(r"actions/[a-z-]+@(v\d+|[0-9a-f]{40})", step["uses"])
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_what_is_long_is_done_by_both() -> None:
    """What .ci/run does, the workflow does too."""
    ours = set(re.findall(r"^make ([a-z-]+)", (ROOT / ".ci/run").read_text("utf-8"), re.MULTILINE))
    called = {
        name
        for job in jobs().values()
        for name in re.findall(r"make ([a-z-]+)", "\n".join(commands_of(job)))
    }
    assert ours - called <= {"bench", "container", "npm"}
