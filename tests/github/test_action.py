"""The steps of the action for users' own workflows, run as a runner does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dify_wire.yaml_file import load_yaml
from tests.dist.trial import expect_runs
from tests.serving import ROOT
from tests.tools import needed

pytestmark = pytest.mark.server

ACTION: dict[str, Any] = load_yaml(ROOT / "action.yml")


class Runner:
    """A job's folder and files, as GitHub's runner gives them to a step."""

    def __init__(self, folder: Path, installed: dict[str, str]) -> None:
        self.temp, self.output, self.path = folder / "temp", folder / "output", folder / "path"
        self.temp.mkdir()
        self._environment = {
            **{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
            **installed,
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_PATH": str(self.path),
            "RUNNER_TEMP": str(self.temp),
        }
        self.work = folder / "work"
        self.work.mkdir()

    def run(self, **inputs: str) -> subprocess.CompletedProcess[str]:
        """Run the steps until one fails; returns the last."""
        given = {name: value["default"] for name, value in ACTION["inputs"].items()}
        assert set(inputs) <= set(given)
        given |= {"python": sys.executable, "port": "0", **inputs}
        for step in ACTION["runs"]["steps"]:
            variables = {
                name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda one: given[one[1]], value)
                for name, value in step["env"].items()
            }
            assert "${{" not in step["run"]  # an input is data, never a part of the script
            with (self.temp / "step.log").open("w+") as log:
                code = subprocess.run(
                    [needed("bash"), "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                    cwd=self.work,
                    env={**self._environment, **variables},
                    stdout=log,
                    stderr=log,
                    check=False,
                ).returncode
                log.seek(0)
                ended = subprocess.CompletedProcess([], code, log.read(), "")
            if ended.returncode:
                break
        return ended

    @property
    def outputs(self) -> dict[str, str]:
        lines = self.output.read_text("utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def runner(tmp_path: Path, installed: dict[str, str]) -> Iterator[Runner]:
    runner = Runner(tmp_path, installed)
    yield runner
    ready = runner.temp / "fake-dify/ready.json"
    if ready.exists():
        os.kill(json.loads(ready.read_text())["pid"], signal.SIGTERM)


def test_action_serves_for_the_steps_that_follow(runner: Runner, wheel: Path) -> None:
    """From a wheel; its outputs are those that it declares, and its commands are on PATH."""
    ended = runner.run(wheel=str(wheel), args="--speed instant --seed 7")
    assert ended.returncode == 0, ended.stdout
    assert set(runner.outputs) == set(ACTION["outputs"])
    expect_runs(runner.outputs["url"])
    assert runner.outputs["api-key"] == "app-FakeHostKey0123456789abc"
    assert "一个胸有成竹的男人" in Path(runner.outputs["log"]).read_text("utf-8")
    assert (Path(runner.path.read_text().strip()) / "contract").exists()


def test_arguments_are_read_as_in_a_shell(runner: Runner, wheel: Path) -> None:
    """With quotes; nothing in them is run."""
    ended = runner.run(wheel=str(wheel), args="--api-key 'app-a $(touch x)' --speed instant")
    assert ended.returncode == 1
    assert "api_key" in ended.stdout or "--api-key" in ended.stdout
    assert "the fake did not start" in ended.stdout
    assert not (runner.work / "x").exists()


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"wheel": "nowhere.whl"}, "::error::wheel: there is no nowhere.whl"),
        ({"python": "false"}, "::error::Python 3.11 or newer is needed"),
    ],
)
def test_a_wrong_input_is_an_error_that_names_it(
    inputs: dict[str, str], says: str, runner: Runner
) -> None:
    ended = runner.run(**inputs)
    assert ended.returncode == 1
    assert says in ended.stdout


def test_a_fake_that_does_not_start_shows_why_at_once(runner: Runner, wheel: Path) -> None:
    began = time.monotonic()
    ended = runner.run(wheel=str(wheel), args="--speed fast")
    assert ended.returncode == 1
    assert "speed" in ended.stdout
    assert "::error::the fake did not start" in ended.stdout
    assert time.monotonic() - began < 25  # not the half minute that it may take
