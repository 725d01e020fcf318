"""Fixtures of all tests: the spec of the newest recorded host, the default app, the built wheel."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from fake_server.host_spec import HostSpec
from fake_server.spec import load_host
from fake_server.workflow.loader import default_workflow_path, load_workflow
from fake_server.workflow.model import Workflow
from tests.browser import browser, page, pytest_pyfunc_call

__all__ = ["browser", "page", "pytest_pyfunc_call"]

_MARK = r"pytest\.mark\.server"
_OF_SERVERS = re.compile(rf"^pytestmark = (\[{_MARK}, .*\]|{_MARK})$", re.MULTILINE)

settings.register_profile("here", deadline=None)  # a busy machine is no failure
settings.register_profile("unit", deadline=None, max_examples=20)
settings.load_profile("here")


@pytest.fixture(scope="session")
def host_spec() -> HostSpec:
    """The compiled spec of Dify 0.6.4."""
    return load_host("0.6.4")


@pytest.fixture(scope="session")
def default_workflow(host_spec: HostSpec) -> Workflow:
    """The workflow of the document's app."""
    return load_workflow(default_workflow_path(), host_spec.inputs)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, as users install it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, *["-m", "hatchling", "build", "--target", "wheel", "--directory"]]
    root = Path(__file__).parent.parent
    subprocess.run([*command, str(folder)], cwd=root, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def pytest_collection_finish() -> None:
    """What has been loaded until now stays: no collection of garbage needs to look at it again."""
    gc.freeze()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """``make unit`` does not even import a file that it would leave out: what servers need is slow
    to import.
    """
    if not config.option.markexpr.startswith("not server") or collection_path.suffix != ".py":
        return None
    return _OF_SERVERS.search(collection_path.read_text("utf-8")) is not None or None
